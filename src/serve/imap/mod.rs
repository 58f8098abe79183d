//! Answers the IMAP machine's questions from the mailboxes of an account.
//!
//! One [`ImapDesk`] serves a process; an [`ImapService`] serves a connection. A command runs to its end in one answer, but for FETCH, which goes
//! on piece by piece as the peer takes it, and SEARCH, SORT and THREAD, which may take long. Before each tagged reply the client is told what has
//! changed in the selected mailbox (RFC 9051 §5.2).

mod access;
mod acl;
mod append;
mod arrange;
mod batches;
mod catenate;
mod changes;
mod context;
mod desk;
mod fetch;
mod find;
mod hunt;
mod international;
mod job;
mod limit;
mod mailboxes;
mod message;
mod metadata;
mod multisearch;
mod names;
mod notify;
mod search;
mod select;
mod selected;
mod sort;
mod texts;
mod thread;
mod trouble;
mod url_auth;

use super::{Moment, Service};
use crate::log;
use crate::mailbox::Entry;
use crate::policy::{Admission, Session};
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{
    Answer, Ask, Command, Denial, Effect, Enabled, Extension, MailboxName, Messages, Outcome, Refusal, Request,
};
use crate::sasl::Evidence;
use crate::store::Tree;
use crate::users::{self, LoggedIn};
pub use desk::ImapDesk;

use append::Appending;
use arrange::{Arrangement, Arranging};
use find::Searching;
use job::{Job, Work};
use notify::{Notifying, Told};
use selected::Selected;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use trouble::Trouble;
use url_auth::UrlFetch;

type Run = Result<Outcome, Trouble>;

/// One connection's answers.
#[derive(Debug)]
pub struct ImapService {
    desk: Arc<ImapDesk>,
    ip: Option<IpAddr>,
    admission: Option<Admission>,
    account: Option<Box<Account>>,
    selected: Option<Box<Selected>>,
    /// A command whose output is not all made.
    job: Option<Box<Job>>,
    /// A URLFETCH whose output is not all made.
    urls: Option<Box<UrlFetch>>,
    append: Option<Box<Appending>>,
    enabled: Enabled,
    is_idle: bool,
    /// `None` until the client says NOTIFY.
    notifying: Option<Box<Notifying>>,
    watched: Box<[Arc<Path>]>,
}

/// Who is logged in.
#[derive(Debug)]
struct Account {
    login: LoggedIn,
    tree: Tree,
    _session: Session,
}

impl ImapService {
    /// Answers for one connection.
    pub fn new(desk: Arc<ImapDesk>) -> ImapService {
        ImapService {
            desk,
            ip: None,
            admission: None,
            account: None,
            selected: None,
            job: None,
            urls: None,
            append: None,
            enabled: Enabled::default(),
            is_idle: false,
            notifying: None,
            watched: [].into(),
        }
    }

    fn log_in(&mut self, evidence: &Evidence, now: Moment) -> Result<(), Denial> {
        let login = self.desk.logins.log_in(evidence, "imap", self.ip, now.instant).map_err(|d| match d.failure {
            None => Denial::Wrong(d.pause),
            Some(f) if f.is_temporary() => Denial::Unavailable(f.public),
            Some(f) => Denial::Forbidden(f.public),
        })?;
        let address = &login.account().address;
        let session = self.desk.sessions.begin(&address.to_string()).ok_or_else(|| {
            log::event("session-refused").field("user", address).maybe("ip", self.ip).write();
            Denial::Limit("the account has as many sessions as it may have".to_string())
        })?;
        let home = users::home(&self.desk.site.root.mail, address);
        let tree = Tree::open(self.desk.registry.clone(), &home).map_err(|e| {
            log::event("mailbox-failed").field("user", &login.account().address).field("reason", e).error().write();
            Denial::Unavailable("the mailboxes can't be opened".to_string())
        })?;
        self.account = Some(Box::new(Account { login, tree, _session: session }));
        Ok(())
    }

    /// Leaves the selected mailbox. True when there was one.
    fn leave(&mut self) -> bool {
        let left = self.selected.take();
        if let Some(selected) = &left {
            selected.settle();
            self.note_left(&selected.name, selected.view.snapshot());
        }
        left.is_some()
    }

    fn forget(&mut self) {
        self.job = None;
        self.urls = None;
        self.append = None;
        self.notifying = None;
        self.leave();
        self.account = None;
        self.enabled = Enabled::default();
        self.is_idle = false;
        self.watched = [].into();
    }

    /// The tree of who is logged in. The machine asks nothing that needs one before.
    fn tree(&self) -> Result<&Tree, Trouble> {
        self.account.as_deref().map(|account| &account.tree).ok_or_else(|| Trouble::Told(not_now("log in first")))
    }

    fn selected(&mut self) -> Result<&mut Selected, Trouble> {
        self.renew_rights()?;
        let selected = self.selected.as_deref_mut().ok_or_else(|| Trouble::Told(not_now("select a mailbox first")))?;
        selected.check()?;
        Ok(selected)
    }

    /// Runs a command, with all that is told before its tagged reply.
    fn run(&mut self, request: &Request, now: Moment) -> Answer {
        let mut out = Vec::new();
        let is_first = request.enabled.minus(self.enabled).has(Extension::Condstore);
        if let (true, Some(selected)) = (is_first, &self.selected)
            && !matches!(request.command, Command::Select(_))
        {
            // RFC 7162 §3.1: the client learns where it begins.
            response::untagged(&mut out, Status::Ok, Some(&Code::HighestModSeq(selected.told)), "last change");
        }
        self.enabled = request.enabled;
        self.note_command(&request.command, now);
        if matches!(request.command, Command::Noop | Command::Check) {
            self.hold_new(false);
        }
        let result = self.command(request, now, &mut out);
        if (self.job.is_some() || self.urls.is_some()) && result.is_ok() {
            return self.more(out, now.instant);
        }
        let may_expunge = request.command.may_expunge();
        self.finish(result, may_expunge, out)
    }

    /// The end of a command.
    fn finish(&mut self, result: Run, may_expunge: bool, mut out: Vec<u8>) -> Answer {
        let mut outcome = match result {
            Ok(outcome) => outcome,
            Err(trouble) => self.explain(trouble),
        };
        if outcome.effect != Effect::Selected
            && let Err(ended) = self.tell_rights(&mut out)
        {
            return ended;
        }
        if outcome.effect != Effect::Selected
            && !self.is_quiet()
            && let Some(selected) = self.selected.as_deref_mut()
        {
            let was_late = selected.view.is_behind();
            if let Err(e) = selected.tell_changes(self.enabled, may_expunge, &mut out) {
                return self.lost(&e);
            }
            let is_late = was_late || selected.view.is_behind();
            if outcome.status == Status::Ok && self.enabled.has(Extension::Qresync) && is_late {
                // RFC 7162 §3.2: an expunge that was not told must not be behind what the client takes for known.
                let code = Code::HighestModSeq(selected.told);
                match outcome.code {
                    None => outcome.code = Some(code),
                    Some(Code::MessageLimit(..)) => {
                        response::untagged(&mut out, Status::Ok, Some(&code), "last change")
                    }
                    Some(_) => {}
                }
            }
        }
        self.hold_new(true);
        self.tell_others_when_due(&mut out);
        let reads_utf8 = self.reads_utf8_headers();
        if let Some(selected) = self.selected.as_deref_mut() {
            match selected.begin_news(self.enabled, reads_utf8, &mut out) {
                Ok(false) => {}
                Ok(true) => {
                    selected.hold_outcome(outcome);
                    return self.more_news(out);
                }
                Err(e) => return self.lost(&e),
            }
        }
        Answer::Output { bytes: out, outcome: Some(outcome) }
    }

    /// With `imap.delays_new_mail`: whether new messages wait for a NOOP, a CHECK or an IDLE.
    fn hold_new(&mut self, holds_new: bool) {
        let is_set = self.desk.site.settings.imap.delays_new_mail;
        if let Some(selected) = self.selected.as_deref_mut() {
            selected.view.hold_new(is_set && holds_new);
        }
    }

    fn command(&mut self, request: &Request, now: Moment, out: &mut Vec<u8>) -> Run {
        let enabled = self.enabled;
        match &request.command {
            Command::Noop => Ok(Outcome::ok("nothing done")),
            Command::Check => {
                self.selected()?.settle();
                Ok(Outcome::ok("checked"))
            }
            Command::Enable(_) => Ok(Outcome::ok("enabled")),
            Command::Select(select) => self.select(select, out),
            Command::Create(name, uses) => self.create(name, uses),
            Command::Delete(name) => self.delete(name),
            Command::Rename(from, to) => self.rename(from, to),
            Command::Subscribe(name) => self.subscribe(name, true),
            Command::Unsubscribe(name) => self.subscribe(name, false),
            Command::List(list) => self.list(list, out),
            Command::Lsub(reference, pattern) => self.lsub(reference, pattern, out),
            Command::Namespace => self.namespace(out),
            Command::Status(name, items) => self.status(name, items, out),
            Command::Close => {
                message::close(self.selected()?)?;
                self.leave();
                Ok(Outcome::ok("closed").with_effect(Effect::Unselected))
            }
            Command::Unselect => {
                self.leave();
                Ok(Outcome::ok("unselected").with_effect(Effect::Unselected))
            }
            Command::Expunge(set) => message::expunge(self.selected()?, set.as_ref(), enabled, out),
            Command::Search(search) if !search.sources.is_empty() => {
                self.search_all(search, &request.tag, now.time, out)
            }
            Command::Search(search) => {
                let selected = self.selected()?;
                let work = Searching::begin(selected, search, &request.tag, enabled, now.time, out)?;
                let may_expunge = request.command.may_expunge();
                self.job = Some(Box::new(Job { work: Work::Search(Box::new(work)), may_expunge, told: now.instant }));
                Ok(Outcome::ok("searched"))
            }
            Command::Sort(sort) => self.arrange(Arrangement::Sort(sort.clone()), request, now, out),
            Command::Thread(thread) => self.arrange(Arrangement::Thread(thread.clone()), request, now, out),
            Command::Fetch(fetch) => self.fetch(fetch, now.instant, out),
            Command::Store(store) => message::store(self.selected()?, store, enabled, out),
            Command::Copy(messages, name) => self.copy(messages, name, false, out),
            Command::Move(messages, name) => self.copy(messages, name, true, out),
            Command::GetQuota(root) => self.get_quota(root, out),
            Command::GetQuotaRoot(name) => self.get_quota_root(name, out),
            Command::SetQuota(..) => Ok(Outcome::no(Some(Code::NoPerm), "quotas are set by the administrator")),
            Command::UidBatches(size, wanted) => {
                batches::uid_batches(self.selected()?, *size, *wanted, &request.tag, out)
            }
            Command::CancelUpdate(tags) => {
                self.selected()?.cancel(tags);
                Ok(Outcome::ok("no more updates"))
            }
            Command::GetMetadata(get) => self.get_metadata(get, out),
            Command::SetMetadata(name, values) => self.set_metadata(name.as_ref(), values),
            Command::Notify(notify) => self.notify(notify.as_ref(), out),
            Command::GetAcl(name) => self.get_acl(name, out),
            Command::SetAcl(name, identifier, change) => self.set_acl(name, identifier, change),
            Command::DeleteAcl(name, identifier) => self.delete_acl(name, identifier),
            Command::ListRights(name, identifier) => self.list_rights(name, identifier, out),
            Command::MyRights(name) => self.my_rights(name, out),
            Command::GenUrlAuth(urls) => self.gen_url_auth(urls, out),
            Command::UrlFetch(urls) => self.url_fetch(urls, now.time),
            Command::ResetKey(mailbox, mechanisms) => self.reset_key(mailbox.as_ref(), mechanisms),
        }
    }

    fn arrange(&mut self, command: Arrangement, request: &Request, now: Moment, out: &mut Vec<u8>) -> Run {
        let enabled = self.enabled;
        let work = Arranging::begin(self.selected()?, command, &request.tag, enabled, now.time, out)?;
        let may_expunge = request.command.may_expunge();
        self.job = Some(Box::new(Job { work: Work::Arrange(Box::new(work)), may_expunge, told: now.instant }));
        Ok(Outcome::ok("arranged"))
    }

    fn copy(&mut self, messages: &Messages, name: &MailboxName, is_move: bool, out: &mut Vec<u8>) -> Run {
        let (place, target) = self.target(name)?;
        let enabled = self.enabled;
        if !is_move {
            let selected = self.selected()?;
            selected.check_copy(&selected.choose(messages).ok_or(Trouble::NoSuchMessage)?)?;
        }
        let is_over = match is_move && self.selected()?.folder.home() == target.home() {
            true => false,
            false if place.quota.is_none() => false,
            false => {
                let selected = self.selected()?;
                let numbers = selected.choose(messages).ok_or(Trouble::NoSuchMessage)?;
                // A size that nobody has measured is no size.
                selected.measure(&numbers, true, enabled, out)?;
                let snapshot = selected.view.snapshot();
                let octets = numbers.iter().filter_map(|n| snapshot.at(n)).map(|e| e.size);
                let octets = octets.filter(|size| *size != Entry::UNKNOWN_SIZE).fold(0, u64::saturating_add);
                place.is_over_quota(octets, numbers.len())?
            }
        };
        if is_over {
            return Ok(Outcome::no(Some(Code::OverQuota), "the quota is exceeded"));
        }
        let to = message::Target { folder: &target, kept: place.rights.flags() };
        let (outcome, added) = message::copy(self.selected()?, messages, to, is_move, enabled, out)?;
        self.note_added(&target, &added);
        Ok(outcome)
    }

    /// What is told without a command: all of it, or the next piece of what is fetched.
    fn untagged(&mut self) -> Answer {
        let mut out = Vec::new();
        let is_going_on = self.selected.as_deref().is_some_and(Selected::is_telling_news);
        if !is_going_on {
            if let Err(ended) = self.tell_rights(&mut out) {
                return ended;
            }
            self.hold_new(false);
            let (is_quiet, may_expunge) = (self.is_quiet(), self.may_expunge_unasked());
            if let Some(selected) = self.selected.as_deref_mut().filter(|_| !is_quiet)
                && let Err(e) = selected.tell_changes(self.enabled, may_expunge, &mut out)
            {
                return self.lost(&e);
            }
            self.tell_others(&mut out);
            self.rewatch_when_due();
        }
        self.hold_new(true);
        let (mut is_more, reads_utf8) = (false, self.reads_utf8_headers());
        if let Some(selected) = self.selected.as_deref_mut() {
            if !is_going_on && let Err(e) = selected.begin_news(self.enabled, reads_utf8, &mut out) {
                return self.lost(&e);
            }
            is_more = matches!(selected.more_news(self.enabled, &mut out), Told::More);
        }
        Answer::Untagged { bytes: out, is_more }
    }

    fn watch(&mut self, is_idle: bool) {
        self.is_idle = is_idle;
        self.rewatch();
    }
}

fn not_now(text: &str) -> Outcome {
    Outcome { status: Status::Bad, ..Outcome::no(None, text) }
}

impl Service for ImapService {
    type Ask = Ask;
    type Answer = Answer;

    fn may_block(&self, ask: &Ask) -> bool {
        !matches!(ask, Ask::Connect(_) | Ask::Look(_) | Ask::Id(_) | Ask::AppendAbort)
    }

    fn answer(&mut self, now: Moment, ask: Ask) -> Answer {
        match ask {
            Ask::Connect(ip) => {
                self.ip = ip;
                match self.desk.connections.admit(ip) {
                    Ok(admission) => {
                        self.admission = Some(admission);
                        Answer::Verdict(Ok(()))
                    }
                    Err(text) => Answer::Verdict(Err(Refusal::no(Some(Code::Unavailable), text.to_string()))),
                }
            }
            Ask::Look(lookup) => Answer::Found(self.desk.logins.look_up(&lookup)),
            Ask::Login(evidence) => Answer::Login(self.log_in(&evidence, now)),
            Ask::Id(fields) => {
                let told =
                    fields.iter().filter_map(|(k, v)| Some(format!("{k}={}", v.as_deref()?))).collect::<Vec<_>>();
                log::event("client-id").maybe("ip", self.ip).field("says", told.join(" ")).write();
                Answer::Done
            }
            Ask::Run(request) => self.run(&request, now),
            Ask::More => self.more(Vec::new(), now.instant),
            Ask::IdleStart => {
                if let Some(selected) = &self.selected {
                    selected.settle();
                }
                self.watch(true);
                self.untagged()
            }
            Ask::Changes => self.untagged(),
            Ask::IdleEnd => {
                let answer = self.untagged();
                self.watch(false);
                answer
            }
            Ask::AppendBegin(message) => self.append_begin(*message),
            Ask::AppendText(octets) => self.append_text(octets),
            Ask::AppendUrl(url) => self.append_url(&url),
            Ask::AppendChunk(octets) => self.append_chunk(&octets),
            Ask::AppendEnd => self.append_end(),
            Ask::AppendCommit => self.append_commit(),
            Ask::AppendAbort => {
                self.append = None;
                Answer::Done
            }
            Ask::Unauthenticate => {
                self.forget();
                Answer::Done
            }
        }
    }

    fn watched(&self) -> &[Arc<Path>] {
        &self.watched
    }

    fn closed(&mut self) {
        self.forget();
        self.admission = None;
    }
}

#[cfg(test)]
mod tests;
