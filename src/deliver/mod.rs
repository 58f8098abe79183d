//! Local deliveries: mailboxes, files, programs, system accounts.
//!
//! Called by `serve` (mailboxes, at once), by `queue` (all kinds, when their time comes) and by `emlocal`.
//! On `Ok` the message is durable where it belongs. Each failure says whether trying again makes sense.
//! Loop control: a message that already carries `Delivered-To:` with this address is returned (5.4.6).

mod agent;
mod filter;
pub mod letters;
mod mbox;
mod outbox;
mod program;
pub mod vacation;

pub use agent::{AgentCall, Sysexit, run_agent, start_agent, sysexit};
pub use filter::{Mail, Rule, Sorted, script_limits};
pub use mbox::append as append_file;
pub use outbox::{Outbox, Outgoing};
pub use program::{Exec, alias_argv, run as run_program};

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::dot;
use crate::envelope::{Delivery, Mailer};
use crate::fsx;
use crate::mailbox::Quota;
use crate::status::Failure;
use crate::store::{self, Arrival, Linked};
use crate::users::{self, Account, Accounts};
use filter::Filters;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Delivers for one site.
#[derive(Debug, Clone)]
pub struct Postman {
    site: Arc<Site>,
    users: Accounts,
    filters: Arc<Filters>,
    host: String,
    emlocal: PathBuf,
}

/// A message to deliver, read from its start.
pub struct Letter<'a> {
    /// Reverse path.
    pub sender: Option<&'a Address>,
    /// The recipient as its sender wrote it.
    pub original: &'a Address,
    /// The text, LF line ends.
    pub text: &'a mut dyn Read,
}

impl Postman {
    /// A postman; `users` are the site's accounts, `emlocal` is the program for system accounts.
    pub fn new(site: Arc<Site>, users: Accounts, emlocal: PathBuf) -> Postman {
        let host = site.hostname();
        Postman { filters: Arc::new(Filters::of(&site)), site, users, host, emlocal }
    }

    /// Another program of ours, in the folder of emlocal.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.emlocal.with_file_name(name)
    }

    /// Home of a mailbox delivery.
    pub fn home(&self, delivery: &Delivery) -> Result<PathBuf, Failure> {
        self.owner(delivery).map(|(_, home)| home)
    }

    /// Whose mailbox it is, when an account of that name exists still, and its home.
    fn owner(&self, delivery: &Delivery) -> Result<(Option<Arc<Account>>, PathBuf), Failure> {
        let account = if delivery.host.is_empty() { &delivery.user } else { &delivery.host };
        let address = Address::parse(account).map_err(|e| Failure::permanent((1, 3), e.to_string(), account))?;
        // It may have got another address since it was routed here; the old one is its alias then.
        let account = self.users.find(&address)?;
        if account.as_ref().is_some_and(|account| account.is_moving()) {
            return Err(Failure::temporary((2, 1), "Mailbox is being moved, try again later", "emuser rename"));
        }
        let home = users::home(&self.site.root.mail, account.as_ref().map_or(&address, |account| &account.address));
        Ok((account, home))
    }

    /// Whose mailbox it is, when an account of that name exists still.
    fn account(&self, delivery: &Delivery) -> Result<Option<Arc<Account>>, Failure> {
        let account = if delivery.host.is_empty() { &delivery.user } else { &delivery.host };
        match Address::parse(account) {
            Ok(address) => self.users.find(&address),
            Err(_) => Ok(None),
        }
    }

    /// Refuses what would exceed the mailbox's quota.
    pub fn check_quota(&self, delivery: &Delivery, size: u64) -> Result<(), Failure> {
        let default = self.site.default_quota();
        let quota = self.account(delivery)?.map_or(Quota::default(), |a| a.quota(default));
        if quota.is_none() {
            return Ok(());
        }
        let used = store::usage(&self.home(delivery)?).map_err(|e| Failure::local(&e))?;
        // Also when the size is not known yet, there will be something of it.
        if quota.is_exceeded((used.octets, used.messages), (size.max(1), 1)) {
            let Quota { octets, messages } = quota;
            let cause = format!("{} octets of {octets}, {} messages of {messages}", used.octets, used.messages);
            return Err(Failure::temporary((2, 2), "Mailbox full", cause).with_code(452));
        }
        Ok(())
    }

    /// Puts one draft into all these Maildirs: one data write, one flush. One result each, in order.
    pub fn place(&self, arrival: &mut Arrival, dirs: &[PathBuf], now: Timestamp) -> Vec<Result<(), Failure>> {
        if dirs.is_empty() {
            return Vec::new();
        }
        let results = store::deliver_into(arrival, dirs, now, &self.host);
        results.into_iter().map(|r| r.map_err(|e| Failure::local(&e))).collect()
    }

    /// The same for a caller who has the message durable elsewhere until what comes with the results is finished, where the draft
    /// [may be named first](fsx::Draft::may_name_first).
    pub fn link(&self, arrival: &mut Arrival, dirs: &[PathBuf], now: Timestamp) -> io::Result<Linked<Failure>> {
        let (results, unsynced) = store::link_into(arrival, dirs, now, &self.host)?;
        Ok((results.into_iter().map(|r| r.map_err(|e| Failure::local(&e))).collect(), unsynced))
    }

    /// Delivers a queued message to one local recipient. The text says how it went, for the journal.
    pub fn deliver(
        &self,
        delivery: &Delivery,
        letter: &mut Letter<'_>,
        draft: fsx::Draft,
        outbox: &dyn Outbox,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let own = match delivery.mailer {
            Mailer::Mailbox => delivery.user.clone(),
            _ => letter.original.to_string(),
        };
        let settings = &self.site.settings.delivery;
        let head = read_head(letter.text)?;
        if loops(&head, &own) {
            return Err(Failure::permanent((4, 6), "Mail forwarding loop", format!("Delivered-To: {own}")));
        }
        let (sender, original) = (letter.sender, letter.original);
        // emlocal puts its own stamp on top, as the recipient's.
        let stamp = if delivery.mailer == Mailer::System { String::new() } else { stamp(sender, Some(&own)) };
        let mut text = stamp.as_bytes().chain(head.as_slice()).chain(&mut *letter.text);
        match delivery.mailer {
            Mailer::Mailbox => {
                let home = self.home(delivery)?;
                let mail =
                    Mail { home: &home, delivery, sender, original, skip: stamp.len() as u64, checks_quota: true, now };
                self.mailbox(&mail, &mut text, draft, outbox)
            }
            Mailer::File => mbox::append(Path::new(&delivery.user), sender, &mut text, now),
            Mailer::Program => {
                let exec = Exec::of_alias(&delivery.user, settings, &self.emlocal)?;
                program::run(&exec, sender, original, &mut text)
            }
            Mailer::System => {
                let exec = Exec::emlocal(&self.emlocal, &delivery.user, sender, &self.site.root, settings);
                program::run(&exec, sender, original, &mut text)
            }
            Mailer::Discard => Ok("discarded by an alias".to_string()),
            Mailer::Smtp | Mailer::Lmtp | Mailer::List | Mailer::Agent | Mailer::Error => {
                Err(Failure::temporary((3, 5), "Internal routing error", "not a local mailer"))
            }
        }
    }

    fn mailbox(
        &self,
        mail: &Mail<'_>,
        text: &mut dyn Read,
        mut draft: fsx::Draft,
        outbox: &dyn Outbox,
    ) -> Result<String, Failure> {
        let (delivery, now) = (mail.delivery, mail.now);
        let local = |e: std::io::Error| Failure::local(&e);
        let mut wire_size = 0;
        let mut buffer = vec![0; 16 << 10];
        loop {
            let n = text.read(&mut buffer).map_err(local)?;
            if n == 0 {
                break;
            }
            wire_size += dot::crlf_size(&buffer[..n]);
            draft.write(&buffer[..n]).map_err(local)?;
        }
        let size = draft.size();
        let mut arrival = Arrival { draft, size, wire_size };
        if let Some(rule) = self.rule(delivery, now)? {
            self.filter(&rule, mail, &mut arrival, outbox)?;
            return Ok(format!("filtered by {:?}", rule.name()));
        }
        self.check_quota(delivery, size)?;
        let placed = self.place(&mut arrival, &[store::inbox(mail.home)], now);
        placed.into_iter().collect::<Result<Vec<()>, Failure>>().map(|_| "delivered to mailbox".to_string())
    }
}

/// What final delivery puts on top (RFC 5321 §4.4).
pub fn stamp(sender: Option<&Address>, delivered_to: Option<&str>) -> String {
    let mut text = format!("Return-Path: {}\n", crate::addr::print_path(sender));
    if let Some(address) = delivered_to {
        text.push_str(&format!("Delivered-To: {address}\n"));
    }
    text
}

/// True when the header says that the message was here before.
pub fn loops(header: &[u8], own: &str) -> bool {
    crate::msg::fields(header).any(|f| f.is("delivered-to") && f.value().eq_ignore_ascii_case(own))
}

/// Largest header looked at, in octets.
const HEAD_LIMIT: usize = 1 << 20;

/// Reads up to the end of the header, or a little more.
fn read_head(text: &mut dyn Read) -> Result<Vec<u8>, Failure> {
    let mut head = Vec::new();
    let mut buffer = [0; 8192];
    while crate::msg::header_end(&head).is_none() && head.len() < HEAD_LIMIT {
        match text.read(&mut buffer).map_err(|e| Failure::local(&e))? {
            0 => break,
            n => head.extend_from_slice(&buffer[..n]),
        }
    }
    Ok(head)
}
