//! Answers the SMTP machine's questions: who may send, which recipients exist, and taking the message.

use super::accept::{Gate, Incoming, Request};
use super::login::LoginDesk;
use super::odmr::Turned;
use super::{Moment, Service, old_file, received, recipients, wishes};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::{Delivery, Envelope, Mailer, Recipient, Source};
use crate::log;
use crate::policy::{self, Admission, Connections};
use crate::proto::smtp::{Answer, Ask, Begin, Kind, Rcpt, Said, Then};
use crate::route::{Admitted, Client, ClientName, Steps, Told};
use crate::spool::Id;
use crate::status::{Enhanced, Failure, Reply};
use crate::users::LoggedIn;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What all connections of a port share.
#[derive(Debug)]
pub struct SmtpDesk {
    /// Takes messages.
    pub gate: Arc<Gate>,
    /// Grants logins.
    pub logins: Arc<LoginDesk>,
    /// Counts connections.
    pub connections: Arc<Connections>,
    /// What the port is for.
    pub kind: Kind,
    /// A program of this host speaks, through a pipe (`sendmail -bs`): it may send anywhere, as it may with `sendmail ADDRESS`.
    pub is_local: bool,
}

/// One connection's answers.
#[derive(Debug)]
pub struct SmtpService {
    pub(super) desk: Arc<SmtpDesk>,
    ip: Option<IpAddr>,
    /// What DNS calls the client.
    name: Option<ClientName>,
    /// The rules may ask what takes its time.
    waits: bool,
    admission: Option<Admission>,
    login: Option<LoggedIn>,
    /// What em.cf says of the client's messages.
    fate: Admitted,
    txn: Option<Box<Txn>>,
    /// What the rules were told for the last message: the next one often comes from the same sender.
    told: Option<Box<ToldOf>>,
    /// The conversation on a connection that was turned round.
    turned: Option<Turned>,
}

/// What rules are told of a client and a sender, and of which they were told.
#[derive(Debug)]
struct ToldOf {
    sender: Option<Address>,
    helo: Option<String>,
    tls: Option<(String, String)>,
    told: Told,
}

#[derive(Debug)]
struct Txn {
    begin: Begin,
    id: Id,
    recipients: Vec<Recipient>,
    /// Where in `recipients` each delivery stands: two ways to one mailbox are one delivery.
    known: HashMap<Delivery, usize>,
    /// The accepted RCPTs in order, each with its deliveries: LMTP answers for each (RFC 2033 §4.2).
    accepted: Vec<(Address, Vec<usize>)>,
    incoming: Option<Incoming>,
    /// What becomes of the message, by the client, the sender and the recipients.
    fate: Admitted,
    /// What the rules are told for each recipient.
    told: Option<Told>,
}

impl SmtpService {
    /// Answers for one connection.
    pub fn new(desk: Arc<SmtpDesk>) -> SmtpService {
        let fate = Admitted::Yes;
        let waits = desk.gate.router.may_wait();
        SmtpService {
            desk,
            ip: None,
            name: None,
            waits,
            admission: None,
            login: None,
            fate,
            txn: None,
            told: None,
            turned: None,
        }
    }

    fn connect(&mut self, ip: Option<IpAddr>, port: u16) -> Result<(), Reply> {
        self.login = None;
        self.txn = None;
        self.told = None;
        // XCLIENT names another client: that one is counted, not its front end.
        if self.admission.is_none() || self.ip != ip {
            self.ip = ip;
            self.admission = None;
            match self.desk.connections.admit(ip) {
                Ok(admission) => self.admission = Some(admission),
                Err(text) => {
                    log::event("connection-refused").maybe("ip", ip).field("port", port).field("reason", text).write();
                    return Err(Reply::new(421, Enhanced(4, 7, 0), text));
                }
            }
        }
        self.fate = Admitted::Yes;
        if self.asks_the_rules() {
            self.name = ip.map(|ip| self.desk.gate.router.names().find(ip));
            let verdict = self.desk.gate.router.check_client(&self.client(None));
            self.fate = verdict.map_err(|failure| {
                log::event("connection-refused").maybe("ip", ip).field("port", port).field("reason", &failure).write();
                // RFC 5321 §3.1: in place of the greeting.
                let code = if failure.is_temporary() { 421 } else { 554 };
                failure.with_code(code).reply()
            })?;
        }
        Ok(())
    }

    /// LMTP's client is a mail server that has asked already; a program of this host may send in any case.
    fn asks_the_rules(&self) -> bool {
        self.desk.kind != Kind::Lmtp && !self.desk.is_local
    }

    /// Who speaks, as the rules are told.
    pub(super) fn client<'a>(&'a self, begin: Option<&'a Begin>) -> Client<'a> {
        Client {
            ip: self.ip,
            name: self.name.as_ref(),
            helo: begin.and_then(|b| b.helo.as_deref()),
            login: self.login.as_ref().map(|l| l.account().name()),
            is_trusted: self.is_trusted(),
            tls: begin.and_then(|b| b.tls.as_ref()).map(|(version, cipher)| (version.as_str(), cipher.as_str())),
            told: None,
        }
    }

    /// What the rules are told of the client and this sender.
    fn tell(&mut self, begin: &Begin) -> Told {
        let Begin { mail, helo, tls, .. } = begin;
        if let Some(last) = &self.told
            && (&last.sender, &last.helo, &last.tls) == (&mail.sender, helo, tls)
        {
            return last.told.clone();
        }
        let told = self.client(Some(begin)).tell(mail.sender.as_ref());
        let (sender, helo, tls) = (mail.sender.clone(), helo.clone(), tls.clone());
        self.told = Some(Box::new(ToldOf { sender, helo, tls, told: told.clone() }));
        told
    }

    /// True for those who may send anywhere: they may also lift a message above others.
    fn is_trusted(&self) -> bool {
        self.desk.is_local || policy::may_relay(&self.desk.gate.site, self.ip, self.login.as_ref()).is_ok()
    }

    fn sender(&mut self, begin: Begin, now: Moment) -> Answer {
        match self.admit(begin, now) {
            Ok(note) => note.map_or(Answer::Verdict(Ok(())), Answer::Begun),
            Err(reply) => Answer::Verdict(Err(reply)),
        }
    }

    /// Begins a transaction; gives what the client is told beside the yes.
    fn admit(&mut self, mut begin: Begin, now: Moment) -> Result<Option<Reply>, Reply> {
        let site = &self.desk.gate.site;
        old_file::check_room(site)?;
        let sent_ok = || old_file::taken(site, Enhanced(2, 1, 0), begin.mail.sender.as_ref(), "Sender");
        let note = wishes::grant(&mut begin.mail.handling, self.is_trusted()).or_else(sent_ok);
        let id = Id::new(now.time);
        let mut fate = self.fate.clone();
        let mut told = None;
        if self.asks_the_rules() {
            told = Some(self.tell(&begin));
            let client = Client { told: told.as_ref(), ..self.client(Some(&begin)) };
            let verdict = self.desk.gate.router.check_sender(&client, begin.mail.sender.as_ref());
            let verdict = verdict.map_err(|failure| {
                log::event("sender-refused")
                    .id(&id)
                    .field("from", crate::addr::print_path(begin.mail.sender.as_ref()))
                    .maybe("ip", self.ip)
                    .field("reason", &failure)
                    .write();
                old_file::about(&self.desk.gate.site, begin.mail.sender.as_ref(), failure).reply()
            })?;
            fate.join(verdict);
        }
        self.txn = Some(Box::new(Txn {
            begin,
            id,
            recipients: Vec::new(),
            known: HashMap::new(),
            accepted: Vec::new(),
            incoming: None,
            fate,
            told,
        }));
        Ok(note)
    }

    fn recipient(&mut self, rcpt: Rcpt, now: Timestamp) -> Answer {
        let note = old_file::taken(&self.desk.gate.site, Enhanced(2, 1, 5), Some(&rcpt.address), "Recipient");
        match (self.add_recipient(rcpt, now), note) {
            (Ok(()), Some(note)) => Answer::Begun(note),
            (verdict, _) => Answer::Verdict(verdict),
        }
    }

    fn add_recipient(&mut self, rcpt: Rcpt, now: Timestamp) -> Result<(), Reply> {
        let desk = self.desk.clone();
        let gate = &desk.gate;
        let Some(mut txn) = self.txn.take() else {
            return Err(Reply::new(503, Enhanced(5, 5, 1), "MAIL first"));
        };
        let result = self.recipient_of(gate, &mut txn, rcpt, now);
        self.txn = Some(txn);
        result
    }

    fn recipient_of(&self, gate: &Gate, txn: &mut Txn, rcpt: Rcpt, now: Timestamp) -> Result<(), Reply> {
        let sender = txn.begin.mail.sender.as_ref();
        let refused = |reply: &Reply| {
            log::event("rcpt-refused")
                .id(&txn.id)
                .field("from", crate::addr::print_path(sender))
                .field("to", &rcpt.address)
                .maybe("ip", self.ip)
                .field("reply", reply)
                .write();
        };
        // A bounce of forwarded mail goes where the message came from.
        let back = gate.forwarding.incoming(sender, &rcpt.address, now);
        let back = back.transpose().map_err(|f| f.reply()).inspect_err(refused)?;
        let is_ours = gate.router.is_local(rcpt.address.domain());
        let is_fetched = gate.router.is_fetched(rcpt.address.domain());
        let routed = match &back {
            Some(back) => gate.router.resolve(back).map(|deliveries| (Admitted::Yes, deliveries)),
            None if self.asks_the_rules() => {
                let client = Client { told: txn.told.as_ref(), ..self.client(Some(&txn.begin)) };
                gate.router.check_recipient(&client, sender, &rcpt.address, &Steps::unwanted())
            }
            None if self.desk.kind == Kind::Lmtp && !is_ours && !is_fetched => {
                Err(Failure::permanent((7, 1), "LMTP delivers here only", ""))
            }
            None => gate.router.resolve(&rcpt.address).map(|deliveries| (Admitted::Yes, deliveries)),
        };
        let told = |failure| old_file::about(&gate.site, Some(&rcpt.address), failure).reply();
        let (admitted, mut deliveries) = routed.map_err(told).inspect_err(refused)?;
        gate.router.spare_sender(sender, &rcpt.address, &mut deliveries);
        let is_forwarded = gate.router.is_local(back.as_ref().unwrap_or(&rcpt.address).domain());
        gate.forwarding.outgoing(sender, is_forwarded, &mut deliveries, now);
        // One full mailbox among the members of a list must not stop the others: its own delivery fails later.
        if let [only] = deliveries.as_slice()
            && only.mailer == Mailer::Mailbox
        {
            gate.postman.check_quota(only, txn.begin.mail.size).map_err(|f| f.reply()).inspect_err(refused)?;
        }
        txn.fate.join(admitted);
        let mut indexes = Vec::with_capacity(deliveries.len());
        let notify = old_file::granted_receipts(&gate.site, rcpt.notify);
        for recipient in recipients(&rcpt.address, notify, rcpt.orcpt.as_ref(), deliveries) {
            let next = txn.recipients.len();
            let index = *txn.known.entry(recipient.delivery.clone()).or_insert(next);
            if index == next {
                txn.recipients.push(recipient);
            }
            indexes.push(index);
        }
        txn.accepted.push((rcpt.address, indexes));
        Ok(())
    }

    /// Asks check_data, as the last rule set before the text.
    fn check_data(&self) -> Result<Admitted, Reply> {
        let Some(txn) = self.txn.as_ref().filter(|_| self.desk.kind != Kind::Lmtp) else { return Ok(Admitted::Yes) };
        let client = self.client(Some(&txn.begin));
        let sender = txn.begin.mail.sender.as_ref();
        let verdict = self.desk.gate.router.check_text(&client, sender, txn.accepted.len());
        verdict.map_err(|failure| {
            log::event("rejected").id(&txn.id).maybe("ip", self.ip).field("reason", &failure).write();
            failure.reply()
        })
    }

    fn open(&mut self, now: Moment) -> Result<(), Reply> {
        let is_trusted = self.is_trusted();
        let checked = self.check_data()?;
        let gate = &self.desk.gate;
        let Some(txn) = &mut self.txn else { return Err(Reply::new(503, Enhanced(5, 5, 1), "MAIL first")) };
        let Begin { mail, helo, protocol, tls } = &txn.begin;
        txn.fate.join(checked);
        let source = Source {
            ip: self.ip,
            name: self.name.as_ref().and_then(ClientName::believed).map(str::to_string),
            helo: helo.clone(),
            protocol: protocol.clone(),
            user: self.login.as_ref().map(|l| l.account().address.to_string()),
        };
        let only = match txn.accepted.as_slice() {
            [(only, _)] => Some(only),
            _ => None,
        };
        let tls = tls.as_ref().map(|(version, cipher)| (version.as_str(), cipher.as_str()));
        let received = match gate.site.settings.cf {
            // An H line makes it when the message goes out.
            Some(_) => String::new(),
            None => received(&source, tls, &gate.host, txn.id.as_str(), only, mail.handling.priority, now.time),
        };
        let sender = match (&mail.sender, self.desk.kind) {
            (Some(sender), Kind::Submission) => Some(gate.router.outside_sender(sender).map_err(|f| f.reply())?),
            (sender, _) => sender.clone(),
        };
        let envelope = Envelope {
            sender,
            arrived: now.time,
            source,
            eight_bit: mail.eight_bit,
            smtputf8: mail.smtputf8,
            ret_full: mail.ret_full,
            envid: mail.envid.clone(),
            handling: mail.handling.clone(),
            size: 0,
            recipients: std::mem::take(&mut txn.recipients),
        };
        let completes = self.desk.kind == Kind::Submission;
        let is_checked = self.desk.kind != Kind::Lmtp;
        let mut request = Request { id: txn.id.clone(), envelope, received, completes, is_checked };
        let opened = match &txn.fate {
            Admitted::Yes => gate.open(request),
            Admitted::Quarantine(reason) => gate.open_held(request, reason.clone()),
            Admitted::Discard => {
                log::event("discarded").id(&txn.id).maybe("ip", self.ip).field("reason", "em.cf").write();
                for recipient in &mut request.envelope.recipients {
                    recipient.delivery = Delivery::new(Mailer::Discard, "");
                }
                gate.open(request)
            }
        };
        txn.incoming = Some(opened.map_err(|f| f.reply())?.checking_quotas().trusting_priority(is_trusted));
        Ok(())
    }

    fn chunk(&mut self, text: &[u8], now: Moment) -> Result<(), Reply> {
        let is_labelled = self.txn.as_ref().is_some_and(|txn| txn.begin.mail.eight_bit);
        let Some(incoming) = self.txn.as_mut().and_then(|t| t.incoming.as_mut()) else {
            return Err(Reply::new(451, Enhanced(4, 3, 0), "The message was lost, send it again"));
        };
        let checked = old_file::check_text(&self.desk.gate.site, text, is_labelled);
        match checked.and_then(|()| incoming.chunk(text, now.time)) {
            Ok(()) => Ok(()),
            Err(failure) => {
                log::event("rejected").id(incoming.id()).maybe("ip", self.ip).field("reason", &failure).write();
                if let Some(txn) = &mut self.txn {
                    txn.incoming = None;
                }
                Err(failure.reply())
            }
        }
    }

    fn commit(&mut self, text: &[u8], now: Moment) -> Vec<Reply> {
        let count = self.txn.as_ref().map_or(1, |t| t.accepted.len().max(1));
        let is_lmtp = self.desk.kind == Kind::Lmtp;
        let all = |reply: Reply| if is_lmtp { vec![reply; count] } else { vec![reply] };
        if let Err(reply) = self.chunk(text, now) {
            self.txn = None;
            return all(reply);
        }
        let Some(txn) = self.txn.take() else { return all(Reply::new(451, Enhanced(4, 3, 0), "Send it again")) };
        let Txn { id, accepted, incoming: Some(incoming), .. } = *txn else {
            return all(Reply::new(451, Enhanced(4, 3, 0), "The message was lost, send it again"));
        };
        let results = incoming.commit(&self.desk.gate, now.time);
        let ok = old_file::accepted(&self.desk.gate.site, &id);
        let reply_for = |failure: Option<&Failure>| failure.map_or_else(|| ok.clone(), Failure::reply);
        if is_lmtp {
            let failure = |indexes: &[usize]| indexes.iter().find_map(|i| results.get(*i)?.as_ref().err());
            return accepted.iter().map(|(_, indexes)| reply_for(failure(indexes))).collect();
        }
        // A temporary failure is told first: the client then keeps its copy.
        let failures = || results.iter().filter_map(|r| r.as_ref().err());
        vec![reply_for(failures().find(|f| f.is_temporary()).or_else(|| failures().next()))]
    }

    /// ATRN.
    fn turn(&mut self, domains: &[String], now: Moment) -> Result<(), Reply> {
        let Some(login) = &self.login else {
            return Err(Reply::new(530, Enhanced(5, 7, 0), "Authentication required"));
        };
        let account = login.account().address.to_key().to_string();
        self.turned = Some(Turned::begin(&self.desk.gate, &account, domains, self.ip, now.time)?);
        Ok(())
    }

    /// What comes over a turned connection.
    fn hear(&mut self, bytes: Vec<u8>) -> Said {
        let said = self.turned.as_ref().map(|turned| turned.hear(bytes));
        said.unwrap_or(Said { bytes: Vec::new(), then: Then::End })
    }
}

impl Service for SmtpService {
    type Ask = Ask;
    type Answer = Answer;

    fn may_block(&self, ask: &Ask) -> bool {
        match ask {
            Ask::Login(_) | Ask::Commit(_) | Ask::Expand(_) | Ask::Etrn(_) | Ask::Turn(_) | Ask::Heard(_) => true,
            Ask::Chunk(text) => {
                let incoming = self.txn.as_ref().and_then(|t| t.incoming.as_ref());
                incoming.is_some_and(|i| i.would_block(text.len()))
            }
            Ask::Connect(ip, _) => {
                let names = self.desk.gate.router.names();
                self.asks_the_rules() && (self.waits || ip.is_some_and(|ip| names.may_wait(ip)))
            }
            Ask::Look(_) | Ask::Abort => false,
            // Look-ups in files read a few cached pages; a thread's change would cost more.
            _ => self.waits || self.desk.logins.may_wait(),
        }
    }

    fn answer(&mut self, now: Moment, ask: Ask) -> Answer {
        match ask {
            Ask::Connect(ip, port) => Answer::Verdict(self.connect(ip, port)),
            Ask::Look(lookup) => Answer::Found(self.desk.logins.look_up(&lookup)),
            Ask::Login(evidence) => {
                let service = if self.desk.kind == Kind::Smtp { "smtp" } else { "submission" };
                match self.desk.logins.log_in(&evidence, service, self.ip, now.instant) {
                    Ok(login) => {
                        let name = login.account().address.to_string();
                        self.login = Some(login);
                        self.told = None;
                        Answer::Login(Ok(name))
                    }
                    Err(denied) => Answer::Login(Err((denied.pause, denied.failure.map(|f| f.reply())))),
                }
            }
            Ask::Sender(begin) => self.sender(*begin, now),
            Ask::Recipient(rcpt) => self.recipient(*rcpt, now.time),
            Ask::Open => Answer::Verdict(self.open(now)),
            Ask::Chunk(text) => Answer::Verdict(self.chunk(&text, now)),
            Ask::Commit(text) => Answer::Replies(self.commit(&text, now)),
            Ask::Turn(domains) => Answer::Verdict(self.turn(&domains, now)),
            Ask::Heard(bytes) => Answer::Said(self.hear(bytes)),
            Ask::Abort => {
                self.txn = None;
                Answer::Done
            }
            Ask::Verify(argument) => Answer::Replies(vec![self.verify(&argument)]),
            Ask::Expand(argument) => Answer::Replies(vec![self.expand(&argument)]),
            Ask::Etrn(domain) => Answer::Replies(vec![self.flush(&domain, now.time)]),
        }
    }

    fn closed(&mut self) {
        self.txn = None;
        self.told = None;
        self.turned = None;
        self.login = None;
        self.admission = None;
    }
}
