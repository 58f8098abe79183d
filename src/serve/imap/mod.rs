//! Answers the IMAP machine's questions from the mailboxes of an account.
//!
//! One [`ImapDesk`] serves a process; an [`ImapService`] serves a connection. A command runs to its end in one answer, but for FETCH, which goes
//! on piece by piece as the peer takes it, and SEARCH, which may take long. Before each tagged reply the client is told what has
//! changed in the selected mailbox (RFC 9051 §5.2).

mod access;
mod acl;
mod append;
mod batches;
mod catenate;
mod changes;
mod context;
mod fetch;
mod find;
mod hunt;
mod international;
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
mod texts;
mod thread;
mod trouble;
mod url_auth;

use super::login::LoginDesk;
use super::{Moment, Service};
use crate::config::Site;
use crate::log;
use crate::mailbox::{Entry, Rights, UidSet};
use crate::policy::{Admission, Connections, Session, Sessions};
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{
    Answer, Ask, Command, Denial, Effect, Enabled, Extension, Fetch as FetchCommand, FetchItem, MailboxName, Messages,
    Outcome, Refusal, Request,
};
use crate::sasl::Evidence;
use crate::store::{Registry, Tree};
use crate::users::{self, LoggedIn};
use append::Appending;
use fetch::Fetch;
use find::Searching;
use international::Downgrade;
use limit::MessageLimits;
use notify::{Notifying, Told};
use selected::Selected;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use trouble::Trouble;
use url_auth::UrlFetch;

/// What all connections share.
#[derive(Debug)]
pub struct ImapDesk {
    /// The site.
    pub site: Arc<Site>,
    /// Grants logins.
    pub logins: Arc<LoginDesk>,
    /// Counts connections.
    pub connections: Arc<Connections>,
    /// Counts the accounts' sessions.
    pub sessions: Arc<Sessions>,
    /// The open mailboxes.
    pub registry: Arc<Registry>,
}

impl ImapDesk {
    /// What this service does whole, to be offered as CAPABILITY.
    pub fn capabilities(&self) -> Vec<String> {
        let limit = format!("APPENDLIMIT={}", self.site.settings.smtp.message_size.0);
        let limits = MessageLimits::of(self).capability();
        let progress = (!self.site.settings.imap.progress.is_zero()).then(|| "INPROGRESS".to_string());
        CAPABILITIES.iter().map(|name| name.to_string()).chain([limit]).chain(limits).chain(progress).collect()
    }
}

const CAPABILITIES: &[&str] = &[
    "IMAP4rev2",
    "IMAP4rev1",
    "LITERAL+",
    "SASL-IR",
    "ID",
    "ENABLE",
    "IDLE",
    "NAMESPACE",
    "UIDPLUS",
    "MOVE",
    "UNSELECT",
    "CHILDREN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LIST-METADATA",
    "LIST-MYRIGHTS",
    "METADATA",
    "NOTIFY",
    "ACL",
    "RIGHTS=texk",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "ESEARCH",
    "SEARCHRES",
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "WITHIN",
    "SEARCH=FUZZY",
    "CONTEXT=SEARCH",
    "CONTEXT=SORT",
    "MULTISEARCH",
    "PARTIAL",
    "CONDSTORE",
    "QRESYNC",
    "UIDONLY",
    "UIDBATCHES",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "QUOTA=RES-MESSAGE",
    "MULTIAPPEND",
    "CATENATE",
    "REPLACE",
    "BINARY",
    "UTF8=ACCEPT",
    "I18NLEVEL=1",
    "LANGUAGE",
    "OBJECTID",
    "PREVIEW",
    "SAVEDATE",
    "STATUS=SIZE",
    "UNAUTHENTICATE",
    "COMPRESS=DEFLATE",
    "URLAUTH",
];

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

#[derive(Debug)]
struct Job {
    work: Work,
    may_expunge: bool,
    /// When the client has last heard of it, or it began.
    told: Instant,
}

#[derive(Debug)]
enum Work {
    Fetch(Box<Fetch>),
    Search(Box<Searching>),
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
            let was_late = selected.view.has_ghosts();
            if let Err(e) = selected.tell_changes(self.enabled, may_expunge, &mut out) {
                return self.lost(&e);
            }
            let is_late = was_late || selected.view.has_ghosts();
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
            Command::Sort(sort) => find::sort(self.selected()?, sort, &request.tag, enabled, now.time, out),
            Command::Thread(thread) => thread::thread(self.selected()?, thread, enabled, now.time, out),
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

    /// Prepares FETCH; the output is made by [`ImapService::more`].
    fn fetch(&mut self, fetch: &FetchCommand, now: Instant, out: &mut Vec<u8>) -> Run {
        let enabled = self.enabled;
        let selected = self.selected()?;
        let mut numbers = selected.choose(&fetch.messages).ok_or(Trouble::NoSuchMessage)?;
        if let Some(since) = fetch.changed_since {
            if fetch.vanished {
                select::tell_vanished(selected, since, &fetch.messages, out)?;
            }
            let snapshot = selected.view.snapshot();
            numbers = numbers.iter().filter(|n| snapshot.at(*n).is_some_and(|e| e.modseq > since)).collect();
        }
        if let Some(range) = fetch.partial {
            selected.limits.check_partial(range).map_err(Trouble::Told)?;
            numbers = find::window(&numbers, range);
        }
        let (numbers, limit) = selected.limited(numbers);
        let wants = |wanted: &FetchItem| fetch.items.contains(wanted);
        if wants(&FetchItem::InternalDate) || wants(&FetchItem::Size) {
            selected.measure(&numbers, wants(&FetchItem::Size), enabled, out)?;
        }
        let mut seen = UidSet::default();
        // RFC 4314 §4: without the right to it nothing is marked as seen.
        let may_see = !selected.is_read_only && selected.rights.holds(Rights::SEEN);
        if fetch.items.iter().any(|item| item.sets_seen()) && may_see {
            seen = message::see(selected, &numbers, enabled, out)?;
        }
        let mut items = fetch.items.clone();
        complete(&mut items, fetch.messages.is_uid, fetch.changed_since.is_some(), enabled);
        let mut fetch_job = Fetch::new(items, &numbers, fetch.messages.is_uid, seen, selected);
        fetch_job.limit_to(limit);
        fetch_job.downgrade = Downgrade::new(!self.reads_utf8_headers());
        let may_expunge = fetch.messages.is_uid;
        self.job = Some(Box::new(Job { work: Work::Fetch(Box::new(fetch_job)), may_expunge, told: now }));
        Ok(Outcome::ok("fetched"))
    }

    /// The next piece of a command's output.
    fn more(&mut self, mut out: Vec<u8>, now: Instant) -> Answer {
        if let Some(fetch) = self.urls.take() {
            return self.more_of_urls(fetch, out);
        }
        let Some(mut job) = self.job.take() else {
            return self.more_news(out);
        };
        let Some(selected) = self.selected.as_deref() else {
            return self.finish(Ok(not_now("select a mailbox first")), true, out);
        };
        let stepped = match &mut job.work {
            Work::Fetch(fetch) => fetch.step(selected, self.enabled, &mut out),
            Work::Search(search) => search.step(selected),
        };
        match stepped {
            Ok(false) => {
                self.tell_progress(&mut job, now, &mut out);
                self.job = Some(job);
                Answer::Output { bytes: out, outcome: None }
            }
            Ok(true) => {
                let result = self.ended(job.work, &mut out);
                self.finish(result, job.may_expunge, out)
            }
            Err(e) => self.finish(Err(e.into()), job.may_expunge, out),
        }
    }

    /// RFC 9585 §3: a client that waits for a search hears from time to time that it goes on. A FETCH shows it by its own output.
    fn tell_progress(&self, job: &mut Job, now: Instant, out: &mut Vec<u8>) {
        let Work::Search(search) = &job.work else { return };
        let every = self.desk.site.settings.imap.progress;
        if !every.is_zero() && now.saturating_duration_since(job.told) >= every {
            response::untagged(out, Status::Ok, Some(&search.progress()), "still searching");
            job.told = now;
        }
    }

    fn ended(&mut self, work: Work, out: &mut Vec<u8>) -> Run {
        let enabled = self.enabled;
        let mut fetch = match work {
            Work::Search(search) => return search.finish(self.selected()?, enabled, out),
            Work::Fetch(fetch) => fetch,
        };
        // RFC 2180 §4.1.2: the client learns that it did not get everything.
        let outcome = match (fetch.has_unknown_encoding, fetch.has_gaps) {
            (true, _) => Outcome::no(Some(Code::UnknownCte), "a part's encoding is not known"),
            (_, true) => Outcome::no(Some(Code::ExpungeIssued), "some messages are gone"),
            _ => Outcome::ok("fetched"),
        };
        let outcome = limit::told(outcome, fetch.limit.take(), out);
        Ok(fetch.downgrade.tell(outcome, enabled, out))
    }

    /// The next piece of what is fetched unasked before the end of a command.
    fn more_news(&mut self, mut out: Vec<u8>) -> Answer {
        let told = self.selected.as_deref_mut().map(|selected| selected.more_news(self.enabled, &mut out));
        match told {
            Some(Told::More) => Answer::Output { bytes: out, outcome: None },
            Some(Told::All(Some(outcome))) => Answer::Output { bytes: out, outcome: Some(outcome) },
            _ => self.finish(Ok(Outcome::ok("done")), true, out),
        }
    }

    /// What is told without a command: all of it, or the next piece of what is fetched.
    fn untagged(&mut self) -> Answer {
        let mut out = Vec::new();
        let is_going_on = self.selected.as_deref().is_some_and(Selected::is_telling_news);
        if !is_going_on {
            if let Err(ended) = self.tell_rights(&mut out) {
                return ended;
            }
            let (is_quiet, may_expunge) = (self.is_quiet(), self.may_expunge_unasked());
            if let Some(selected) = self.selected.as_deref_mut().filter(|_| !is_quiet)
                && let Err(e) = selected.tell_changes(self.enabled, may_expunge, &mut out)
            {
                return self.lost(&e);
            }
            self.tell_others(&mut out);
            self.rewatch_when_due();
        }
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

/// The items that a response has beside those asked for: UID (RFC 9051 §6.4.9), MODSEQ (RFC 7162 §3.1.4).
fn complete(items: &mut Vec<FetchItem>, is_uid: bool, is_since: bool, enabled: Enabled) {
    // Under UIDONLY the response itself begins with the identifier.
    let wants_uid = is_uid && !enabled.has(Extension::UidOnly);
    let wants_modseq = is_since || (enabled.has(Extension::Condstore) && items.contains(&FetchItem::Flags));
    for (item, is_wanted) in [(FetchItem::Uid, wants_uid), (FetchItem::ModSeq, wants_modseq)] {
        if is_wanted && !items.contains(&item) {
            items.insert(0, item);
        }
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
