//! What em.cf says of a message's text: H lines with `$>` check its fields, check_eoh its header as a whole, check_data and check_eom
//! its beginning and its end; and check_etrn, check_vrfy and check_expn what a client asks.
//!
//! Called by `serve` while a message comes in. In our own em.cf and in a sendmail.cf alike; the built-in rules have none of these.
//! Each field has its say: one that is refused does not stop the others, and the last refusal is told, as with sendmail.

use super::clients::{ClientName, Standing};
use super::em_cf::Compiled;
use super::steps::Steps;
use super::surroundings::to_rules;
use super::{Admitted, Client, Router, broken_table};
use crate::addr::Address;
use crate::envelope::Envelope;
use crate::msg;
use crate::rules::macros::Macros;
use crate::status::Failure;
use std::sync::Arc;

/// A client's question that rules may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// check_etrn.
    Etrn,
    /// check_vrfy.
    Vrfy,
    /// check_expn.
    Expn,
}

/// The rules that are to see the text of one message.
#[derive(Debug)]
pub struct TextChecks {
    router: Router,
    rules: Arc<Compiled>,
    message: Macros,
}

impl Router {
    /// The rules that are to see a message's text; `None` where the file has none.
    pub fn text_checks(&self, id: &str, envelope: &Envelope) -> Result<Option<TextChecks>, Failure> {
        let rules = self.rules.current().map_err(broken_table)?;
        if !rules.rules.checks_fields() && rules.sets.end_of_header.is_none() && rules.sets.end_of_message.is_none() {
            return Ok(None);
        }
        let source = &envelope.source;
        let name = source.name.as_ref().map(|ptr| ClientName { standing: Standing::Ok, ptr: ptr.clone() });
        let client = Client {
            ip: source.ip,
            name: name.as_ref(),
            helo: source.helo.as_deref(),
            login: source.user.as_deref().filter(|_| source.ip.is_some()),
            is_trusted: source.protocol == "local",
            tls: None,
            told: None,
        };
        let mut message = client.macros(Some(envelope.sender.as_ref()));
        message.set(b"i", to_rules(id));
        message.set(b"{nrcpts}", envelope.recipients.len().to_string().into_bytes());
        Ok(Some(TextChecks { router: self.clone(), rules, message }))
    }

    /// May the client send this text?
    pub fn check_text(
        &self,
        client: &Client,
        sender: Option<&Address>,
        recipients: usize,
    ) -> Result<Admitted, Failure> {
        let cf = self.rules.current().map_err(broken_table)?;
        let Some(set) = cf.sets.data else { return Ok(Admitted::Yes) };
        let mut message = client.macros(Some(sender));
        self.judge(&cf, set, &mut message, &[recipients.to_string().as_bytes()])
    }

    /// May the client ask this?
    pub fn check_query(&self, client: &Client, query: Query, argument: &str) -> Result<(), Failure> {
        let cf = self.rules.current().map_err(broken_table)?;
        let set = match query {
            Query::Etrn => cf.sets.etrn,
            Query::Vrfy => cf.sets.vrfy,
            Query::Expn => cf.sets.expn,
        };
        let Some(set) = set else { return Ok(()) };
        let mut message = client.macros(None);
        self.judge(&cf, set, &mut message, &[&to_rules(argument)]).map(|_| ())
    }

    fn judge(&self, cf: &Compiled, set: usize, message: &mut Macros, texts: &[&[u8]]) -> Result<Admitted, Failure> {
        let verdict = self.with_rules(cf, &Steps::unwanted(), message, |run| Ok(run.check(set, texts)))?;
        super::checks::settled(verdict).map(|(admitted, _)| admitted)
    }
}

impl TextChecks {
    /// What is done with a message that has this header.
    pub fn header(&mut self, header: &[u8]) -> Result<Admitted, Failure> {
        let (mut admitted, mut refused) = (Admitted::Yes, None);
        let mut hear = |said: Result<Admitted, Failure>| match said {
            Ok(said) => admitted.join(said),
            Err(failure) => refused = Some(failure),
        };
        let mut count = 0usize;
        for field in msg::fields(header) {
            count += 1;
            let body = String::from_utf8_lossy(field.body()).into_owned();
            let body = to_rules(body.trim_end_matches(['\r', '\n']));
            let router = &self.router;
            let verdict = router.with_rules(&self.rules, &Steps::unwanted(), &mut self.message, |run| {
                Ok(run.check_field(field.name, &body))
            })?;
            if let Some(verdict) = verdict {
                hear(super::checks::settled(verdict).map(|(admitted, _)| admitted));
            }
        }
        if let Some(set) = self.rules.sets.end_of_header {
            let (count, octets) = (count.to_string(), header.len().to_string());
            hear(self.router.judge(&self.rules, set, &mut self.message, &[count.as_bytes(), octets.as_bytes()]));
        }
        refused.map_or(Ok(admitted), Err)
    }

    /// What is done with a message of so many octets.
    pub fn end(&mut self, octets: u64) -> Result<Admitted, Failure> {
        let Some(set) = self.rules.sets.end_of_message else { return Ok(Admitted::Yes) };
        self.message.set(b"{msg_size}", octets.to_string().into_bytes());
        self.router.judge(&self.rules, set, &mut self.message, &[octets.to_string().as_bytes()])
    }
}
