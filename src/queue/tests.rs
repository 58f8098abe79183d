//! Attempts against a network that says what the test wants.

use super::{Attempted, Runner};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::envelope::{Delivery, Envelope, Handling, Mailer, Notify, Recipient, Source};
use crate::fsx::fault::{Plan, with_plan};
use crate::nexthop::{Net, NetError, NextHops, NoDns, Own, Security, TlsError, TlsFault, Wire};
use crate::serve::Gate;
use crate::settings::{Root, Settings};
use crate::spool::Id;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

mod connections;
mod hosts;
mod reports;
mod taking;
mod turned;
mod wishes;

/// Says what a host answers to a line; `END` is a message's end, `CLOSE` ends the connection.
type Answer = dyn Fn(&str) -> String + Send + Sync;

/// A host: its answers, and what it was told.
#[derive(Clone)]
struct Host {
    answer: Arc<Answer>,
    heard: Arc<Mutex<Vec<String>>>,
    texts: Arc<Mutex<Vec<String>>>,
    is_lmtp: bool,
}

impl Host {
    fn new(answer: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> Host {
        let standard = move |line: &str| match (answer(line), line.split([' ', ':']).next()) {
            (Some(own), _) => own.to_string(),
            (None, Some("EHLO" | "LHLO")) => "250-peer\r\n250-PIPELINING\r\n250-DSN\r\n250 8BITMIME".to_string(),
            (None, Some("DATA")) => "354 go on".to_string(),
            _ => "250 2.0.0 ok".to_string(),
        };
        Host { answer: Arc::new(standard), heard: Default::default(), texts: Default::default(), is_lmtp: false }
    }

    fn heard(&self, what: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|line| line.contains(what)).count()
    }

    fn texts(&self) -> usize {
        self.texts.lock().unwrap().len()
    }
}

struct Talk {
    host: Host,
    said: Vec<u8>,
    is_text: bool,
    accepted: Vec<String>,
    /// MAIL was taken.
    has_mail: bool,
    replies: Vec<u8>,
    is_closed: bool,
}

impl Host {
    /// The host at the other end of a new connection.
    fn talk(&self) -> Talk {
        let (said, accepted, replies) = (Vec::new(), Vec::new(), b"220 peer\r\n".to_vec());
        Talk { host: self.clone(), said, is_text: false, accepted, has_mail: false, replies, is_closed: false }
    }
}

impl Net for Host {
    fn connect(&self, _: SocketAddr, _: Option<IpAddr>, _: Duration) -> Result<Box<dyn Wire>, NetError> {
        Ok(Box::new(self.talk()))
    }
}

impl Talk {
    /// A message has come whole.
    fn end(&mut self, text: Vec<u8>) {
        if self.accepted.is_empty() {
            self.replies.extend(b"503 5.5.1 no valid recipients\r\n");
            return;
        }
        let enders = if self.host.is_lmtp { std::mem::take(&mut self.accepted) } else { vec![String::new()] };
        for ender in enders {
            if self.reply(format!("END{ender}").as_str()) {
                self.host.texts.lock().unwrap().push(String::from_utf8_lossy(&text).into_owned());
            }
        }
    }

    fn reply(&mut self, line: &str) -> bool {
        self.host.heard.lock().unwrap().push(line.to_string());
        let reply = (self.host.answer)(line);
        self.is_closed |= reply == "CLOSE";
        if !self.is_closed {
            self.replies.extend(format!("{reply}\r\n").bytes());
        }
        reply.starts_with('2') || reply.starts_with('3')
    }
}

impl Wire for Talk {
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.said.extend_from_slice(bytes);
        while let Some(at) = memchr::memmem::find(&self.said, b"\r\n") {
            if self.is_text {
                let Some(end) = memchr::memmem::find(&self.said, b"\r\n.\r\n") else { break };
                let text: Vec<u8> = self.said.drain(..end + 5).collect();
                self.is_text = false;
                self.end(text);
                continue;
            }
            let line = String::from_utf8_lossy(&self.said[..at]).into_owned();
            self.said.drain(..at + 2);
            if self.is_closed {
                continue;
            }
            if let Some(size) = line.strip_prefix("BDAT ").and_then(|rest| rest.strip_suffix(" LAST")) {
                let text: Vec<u8> = self.said.drain(..size.parse::<usize>().unwrap()).collect();
                self.end(text);
                continue;
            }
            if line.starts_with("RCPT") && !self.has_mail {
                self.replies.extend(b"503 5.5.1 MAIL first\r\n");
                continue;
            }
            if line == "DATA" && self.accepted.is_empty() {
                self.replies.extend(b"554 5.5.1 no valid recipients\r\n");
                continue;
            }
            if line.starts_with("MAIL") {
                self.accepted.clear();
            }
            let is_positive = self.reply(&line);
            if line.starts_with("MAIL") {
                self.has_mail = is_positive;
            }
            if line.starts_with("RCPT") && is_positive {
                self.accepted.push(line[4..].to_string());
            }
            self.is_text = line == "DATA" && self.replies.ends_with(b"354 go on\r\n");
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], _: Duration) -> Result<usize, NetError> {
        if self.replies.is_empty() && !self.is_closed {
            return Err(NetError("timed out".to_string()));
        }
        let n = self.replies.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.replies[..n]);
        self.replies.drain(..n);
        Ok(n)
    }

    fn start_tls(&mut self, _: &Security, _: Duration) -> Result<(), TlsError> {
        Err(TlsError::new(TlsFault::Other, "no TLS here"))
    }

    fn peer(&self) -> String {
        "peer".to_string()
    }
}

const NOW: Timestamp = Timestamp(1_795_522_071_000_000);

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn runner(dir: &Path, host: &Host, change: impl FnOnce(&mut Settings)) -> Runner {
    let mut settings = Settings::default();
    settings.server.hostname = "mail.example.test".into();
    settings.server.domains = vec!["example.test".into()];
    settings.queue.retry = Duration::ZERO;
    change(&mut settings);
    let site = Site { root: Root::under(dir), settings };
    for name in ["tmp", "queue", "log", "bad", "drop", "run"] {
        std::fs::create_dir_all(site.root.spool.join(name)).unwrap();
    }
    std::fs::create_dir_all(&site.root.etc).unwrap();
    std::fs::create_dir_all(&site.root.mail).unwrap();
    let lmtp = if host.is_lmtp { "lmtp" } else { "esmtp" };
    std::fs::write(site.root.etc.join("routes"), format!("* {lmtp}:[192.0.2.1]\n")).unwrap();
    let gate = Gate::new(Arc::new(site), PathBuf::from("/nonexistent/emlocal"));
    gate.router
        .users()
        .file()
        .update(|all| {
            for name in ["alice@example.test", "bob@example.test"] {
                all.insert(name.to_string(), crate::users::Account::new(&address(name)));
            }
            Ok::<_, std::io::Error>(())
        })
        .unwrap();
    let gate = Arc::new(gate);
    let hops = hops(&gate);
    Runner::new(gate, Arc::new(host.clone()), hops)
}

/// Fixed routes need no DNS.
fn hops(gate: &Gate) -> Arc<NextHops> {
    Arc::new(NextHops::new(gate.site.clone(), Arc::new(NoDns), Own::default()))
}

fn remote(mailer: Mailer, to: &str) -> Recipient {
    let original = address(to);
    let mut delivery = Delivery::new(mailer, to);
    delivery.host = original.domain().to_string();
    Recipient { original, orcpt: None, notify: Notify::default(), delivery }
}

fn queue(runner: &Runner, sender: Option<&str>, recipients: Vec<Recipient>) -> Id {
    queue_as(runner, Envelope::local(sender.map(address), NOW, recipients), b"Subject: queued\n\nbody\n")
}

fn queue_as(runner: &Runner, envelope: Envelope, text: &[u8]) -> Id {
    let spool = &runner.gate().spool;
    let mut draft = spool.draft(Id::new(NOW), &envelope).unwrap();
    draft.write(text).unwrap();
    spool.publish(draft).unwrap()
}

fn mailbox(dir: &Path, user: &str) -> Vec<String> {
    let folder = dir.join("mail/example.test").join(user).join("Maildir/new");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap()).collect()
}

fn owed(runner: &Runner, id: &Id) -> Vec<bool> {
    let (_, progress) = runner.gate().spool.peek(id).unwrap().unwrap();
    progress.states.iter().map(|s| s.is_owed()).collect()
}

#[test]
fn who_has_the_message_keeps_it_when_the_conversation_breaks_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = Host::new(|line| match line {
        l if l.starts_with("END TO:<b@") => Some("CLOSE"),
        l if l.starts_with("RCPT TO:<no@") => Some("550 5.1.1 no"),
        _ => None,
    });
    host.is_lmtp = true;
    let runner = runner(dir.path(), &host, |_| {});
    let to = ["no@r.test", "a@r.test", "b@r.test"].map(|to| remote(Mailer::Lmtp, to)).to_vec();
    let id = queue(&runner, Some("alice@example.test"), to);
    assert!(matches!(runner.run(&id, || NOW).unwrap(), Attempted::Later(_)));
    assert_eq!(owed(&runner, &id), [false, false, true], "a has it, no is refused, b is to be tried again");
}

#[test]
fn a_host_that_never_asked_for_the_text_has_not_got_it() {
    for (verb, reply) in [("DATA", "250 fine"), ("DATA", "235 fine"), ("END", "354 what else?")] {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(move |line| (line == verb).then_some(reply));
        let runner = runner(dir.path(), &host, |_| {});
        let id = queue(&runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, "a@r.test")]);
        assert!(matches!(runner.run(&id, || NOW).unwrap(), Attempted::Later(_)), "{verb} {reply}");
        assert_eq!(owed(&runner, &id), [true]);
    }
}

#[test]
fn many_recipients_come_in_several_transactions_of_one_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let count = Arc::new(Mutex::new(0));
    let host = Host::new(move |line| {
        let mut count = count.lock().unwrap();
        match line {
            l if l.starts_with("MAIL") => *count = 0,
            l if l.starts_with("RCPT") => *count += 1,
            _ => {}
        }
        (*count > 60 && line.starts_with("RCPT")).then_some("452 4.5.3 too many recipients")
    });
    let runner = runner(dir.path(), &host, |_| {});
    let to = (0..250).map(|i| remote(Mailer::Smtp, &format!("u{i}@r.test"))).collect();
    let id = queue(&runner, Some("alice@example.test"), to);
    assert_eq!(runner.run(&id, || NOW).unwrap(), Attempted::Finished);
    assert_eq!((host.heard("EHLO"), host.heard("MAIL"), host.texts()), (1, 5, 5));
}

#[test]
fn a_message_that_one_host_refuses_for_a_temporary_reason_is_tried_until_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| line.starts_with("RCPT").then_some("452 4.5.3 too many recipients"));
    let runner = runner(dir.path(), &host, |_| {});
    let id = queue(&runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, "a@r.test")]);
    assert!(matches!(runner.run(&id, || NOW).unwrap(), Attempted::Later(_)));
    assert_eq!(host.heard("RCPT"), 1);
}

/// Sends one octet at a time, a blank at the most for each wait.
struct Drip;

impl Net for Drip {
    fn connect(&self, _: SocketAddr, _: Option<IpAddr>, _: Duration) -> Result<Box<dyn Wire>, NetError> {
        Ok(Box::new(Drip))
    }
}

impl Wire for Drip {
    fn send(&mut self, _: &[u8]) -> Result<(), NetError> {
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, NetError> {
        std::thread::sleep(patience.min(Duration::from_millis(10)));
        buffer[0] = b'2';
        Ok(1)
    }

    fn start_tls(&mut self, _: &Security, _: Duration) -> Result<(), TlsError> {
        Ok(())
    }

    fn peer(&self) -> String {
        String::new()
    }
}

#[test]
fn the_patience_is_for_a_whole_reply() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|_| None);
    let shaped = runner(dir.path(), &host, |s| s.queue.timeout_command = Duration::from_millis(100));
    let dripping = Runner::new(shaped.gate.clone(), Arc::new(Drip), hops(&shaped.gate));
    let id = queue(&dripping, Some("alice@example.test"), vec![remote(Mailer::Smtp, "a@r.test")]);
    let started = Instant::now();
    assert!(matches!(dripping.run(&id, || NOW).unwrap(), Attempted::Later(_)));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn success_that_the_next_host_reports_is_not_reported_by_us_at_a_later_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| line.starts_with("RCPT TO:<later@").then_some("451 4.2.1 busy"));
    let runner = runner(dir.path(), &host, |_| {});
    let mut to = ["now@r.test", "later@r.test"].map(|to| remote(Mailer::Smtp, to)).to_vec();
    to.iter_mut().for_each(|r| r.notify.success = true);
    let id = queue(&runner, Some("alice@example.test"), to);
    for _ in 0..3 {
        assert!(matches!(runner.run(&id, || NOW).unwrap(), Attempted::Later(_)));
    }
    assert!(mailbox(dir.path(), "alice").is_empty(), "{:?}", mailbox(dir.path(), "alice"));
}

#[test]
fn a_report_that_goes_through_a_list_stays_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| line.starts_with("RCPT").then_some("550 5.1.1 no"));
    let runner = runner(dir.path(), &host, |_| {});
    // The owner of the list is the list itself: with the owner for sender the report would go round for ever.
    std::fs::write(dir.path().join("etc/aliases"), "staff: x@r.test\nowner-staff: staff\npostmaster: bob\n").unwrap();
    let mut member = remote(Mailer::Smtp, "x@r.test");
    member.delivery.sender = "owner-staff@example.test".to_string();
    let id = queue(&runner, Some("alice@example.test"), vec![member]);
    assert_eq!(runner.run(&id, || NOW).unwrap(), Attempted::Finished);
    for _ in 0..5 {
        for id in runner.gate().spool.scan().unwrap() {
            runner.run(&id, || NOW).unwrap();
        }
    }
    assert!(runner.gate().spool.scan().unwrap().is_empty());
    assert_eq!(host.heard("MAIL FROM:<owner-staff@example.test>"), 1);
    assert_eq!(host.heard("MAIL FROM:<>"), 1);
    assert_eq!(mailbox(dir.path(), "bob").len(), 1);
}

#[test]
fn what_lies_behind_a_local_fault_is_not_told_to_the_sender() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|_| None);
    let runner = runner(dir.path(), &host, |s| s.queue.expire = Duration::ZERO);
    let mut to = remote(Mailer::File, "file@example.test");
    to.delivery = Delivery::new(Mailer::File, dir.path().join("secret/folder/box").to_string_lossy());
    to.delivery.by = "file".to_string();
    let id = queue(&runner, Some("alice@example.test"), vec![to]);
    assert_eq!(runner.run(&id, || NOW).unwrap(), Attempted::Finished);
    let report = &mailbox(dir.path(), "alice")[0];
    assert!(report.contains("Can't create output file") && !report.contains("secret"), "{report}");
}

#[test]
fn a_fault_at_any_operation_of_an_attempt_loses_nothing_and_doubles_nothing() {
    for kind in ["ENOSPC", "EIO"] {
        for n in 1..200 {
            let dir = tempfile::tempdir().unwrap();
            let host = Host::new(|line| line.starts_with("RCPT TO:<no@").then_some("550 5.1.1 no"));
            let runner = runner(dir.path(), &host, |_| {});
            let mut to = ["yes@r.test", "no@r.test"].map(|to| remote(Mailer::Smtp, to)).to_vec();
            let mut local = remote(Mailer::Mailbox, "bob@example.test");
            local.delivery = Delivery::new(Mailer::Mailbox, "bob@example.test");
            to.push(local);
            let id = queue(&runner, Some("alice@example.test"), to);
            let plan = Plan::parse(&format!("{kind}:{n}")).unwrap();
            let (_, struck) = with_plan(plan, || runner.run(&id, || NOW));
            for _ in 0..3 {
                runner.run(&id, || NOW).unwrap();
            }
            let at = format!("{kind} at operation {n}");
            assert!(!runner.gate().spool.is_queued(&id), "{at}");
            assert_eq!(host.texts(), 1, "{at}: remote");
            assert_eq!(mailbox(dir.path(), "bob").len(), 1, "{at}: mailbox");
            assert_eq!(mailbox(dir.path(), "alice").len(), 1, "{at}: report");
            assert_eq!(std::fs::read_dir(dir.path().join("spool/tmp")).unwrap().count(), 0, "{at}: left over");
            if !struck {
                assert!(n > 20, "{n}");
                break;
            }
        }
    }
}

#[test]
fn with_a_full_disk_nothing_is_tried_whose_outcome_could_not_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|_| None);
    let runner = runner(dir.path(), &host, |_| {});
    let id = queue(
        &runner,
        Some("alice@example.test"),
        vec![remote(Mailer::Smtp, "a@r.test"), remote(Mailer::Smtp, "b@r.test")],
    );
    let (result, _) = with_plan(Plan::parse("ENOSPC:1+").unwrap(), || runner.run(&id, || NOW));
    assert!(result.is_err());
    assert_eq!(host.heard("MAIL"), 0);
}
