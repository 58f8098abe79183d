//! What a client asks about addresses and the queue: ETRN, VRFY and EXPN.

use super::old_file;
use super::smtp::SmtpService;
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::route::Query;
use crate::status::{Enhanced, Failure, Reply};

impl SmtpService {
    /// Asks check_etrn and its like.
    fn check_query(&self, query: Query, argument: &str) -> Result<(), Reply> {
        let verdict = self.desk.gate.router.check_query(&self.client(None), query, argument);
        verdict.map_err(|failure| failure.reply())
    }

    /// ETRN.
    pub(super) fn flush(&self, domain: &str, now: Timestamp) -> Reply {
        if let Err(reply) = self.check_query(Query::Etrn, domain) {
            return reply;
        }
        match crate::queue::flush_domain(&self.desk.gate.spool, domain, now) {
            Ok(_) if self.desk.gate.site.settings.cf.is_some() => {
                Reply::new(250, Enhanced(2, 0, 0), format!("Queuing for node {domain} started"))
            }
            Ok(0) => Reply::new(251, Enhanced(2, 0, 0), "No messages waiting"),
            Ok(count) => Reply::new(253, Enhanced(2, 0, 0), format!("{count} messages are being tried")),
            Err(e) => Failure::local(&e).reply(),
        }
    }

    /// VRFY.
    pub(super) fn verify(&self, argument: &str) -> Reply {
        let gate = &self.desk.gate;
        if let Err(reply) = self.check_query(Query::Vrfy, argument) {
            return reply;
        }
        if !gate.site.settings.smtp.vrfy {
            return Reply::new(252, Enhanced(2, 5, 0), "Send some mail, it will be tried");
        }
        match Address::parse_loose(argument, &gate.site.default_domain()) {
            Ok(address) if gate.router.is_local(address.domain()) => match gate.router.resolve(&address) {
                Ok(_) => Reply::new(250, Enhanced(2, 1, 5), format!("<{address}>")),
                Err(failure) => failure.reply(),
            },
            Ok(_) => Reply::new(252, Enhanced(2, 5, 0), "Not ours, send some mail"),
            Err(e) => Reply::new(501, Enhanced(5, 1, 3), format!("Bad address: {e}")),
        }
    }

    /// EXPN.
    pub(super) fn expand(&self, argument: &str) -> Reply {
        let gate = &self.desk.gate;
        if let Err(reply) = self.check_query(Query::Expn, argument) {
            return reply;
        }
        if !gate.site.settings.smtp.expn {
            return Reply::new(502, Enhanced(5, 7, 0), "EXPN is switched off");
        }
        let address = match Address::parse_loose(argument, &gate.site.default_domain()) {
            Ok(address) => address,
            Err(e) => return Reply::new(501, Enhanced(5, 1, 3), format!("Bad address: {e}")),
        };
        match gate.router.members(&address) {
            Ok(Some(members)) if !members.is_empty() => Reply {
                code: 250,
                enhanced: Some(Enhanced(2, 1, 5)),
                lines: members.iter().map(|m| old_file::member(&gate.site, m)).collect(),
            },
            Ok(_) => Reply::new(550, Enhanced(5, 1, 1), "That is no list"),
            Err(failure) => failure.reply(),
        }
    }
}
