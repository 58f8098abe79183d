//! Posts and commands against real files. A post whose n-th file operation fails is tried again: nobody is left out, and no number is used
//! twice.

use super::*;
use crate::config::Site;
use crate::envelope::Recipient;
use crate::fsx::fault::{Plan, with_plan};
use crate::lists::pending::Action;
use crate::nexthop::NoDns;
use crate::settings::{Root, Settings};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const NOW: Timestamp = Timestamp(1_795_522_071_000_000);

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn gate(dir: &Path) -> Gate {
    let mut settings = Settings::default();
    settings.server.hostname = "mail.example.test".into();
    settings.server.domains = vec!["example.test".into()];
    let site = Site { root: Root::under(dir), settings };
    crate::config::make_tree(&site.root).unwrap();
    std::fs::write(site.root.etc.join("routes"), "* esmtp:[192.0.2.1]\n").unwrap();
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
    let lists = gate.router.lists();
    let list = lists
        .create(&"talk@example.test".parse().unwrap(), &[("owners", "alice@example.test"), ("from", "never")])
        .unwrap();
    list.update_members(|members| {
        for name in ["alice@example.test", "bob@example.test", "x@r.test", "y@s.test"] {
            members.add(crate::lists::members::Member::new(&address(name), NOW));
        }
        Ok::<_, std::io::Error>(())
    })
    .unwrap();
    gate
}

fn receive(gate: &Gate, to: &str, source: &Id, text: &str) -> Result<String, Failure> {
    let desk = Desk { gate, resolver: &NoDns, now: NOW };
    desk.receive(&address(to), source, Some(&address("bob@example.test")), &mut text.as_bytes())
}

fn mailbox(dir: &Path, user: &str) -> Vec<String> {
    let folder = dir.join("mail/example.test").join(user).join("Maildir/new");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap()).collect()
}

fn queued(gate: &Gate) -> Vec<Envelope> {
    let ids = gate.spool.scan().unwrap();
    ids.iter().map(|id| gate.spool.peek(id).unwrap().unwrap().0).collect()
}

const POST: &str = "From: bob@example.test\nSubject: hello\nMessage-ID: <1@b>\n\nbody\n";

#[test]
fn a_post_survives_every_single_fault() {
    let mut outcomes = (0, 0);
    for n in 1..200 {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        let source = Id::new(NOW);
        let plan = Plan::parse(&format!("ENOSPC:{n}")).unwrap();
        let (first, struck) = with_plan(plan, || receive(&gate, "talk@example.test", &source, POST));
        if let Err(failure) = &first {
            assert!(failure.is_temporary(), "operation {n}: {failure}");
            receive(&gate, "talk@example.test", &source, POST).unwrap();
        }
        let owed: Vec<_> = queued(&gate).into_iter().flat_map(|e| e.recipients).map(|r| r.delivery).collect();
        for user in ["alice", "bob"] {
            let copies = mailbox(dir.path(), user);
            // A mailbox that fails while others have their copy gets it from the queue.
            let waits = owed.iter().any(|delivery| delivery.user == format!("{user}@example.test"));
            assert!(waits || !copies.is_empty(), "operation {n}: nothing for {user}");
            assert!(copies.iter().all(|copy| copy.contains("X-Mail-Count: 1\n")), "operation {n}: {copies:?}");
        }
        let away = owed.iter().filter(|delivery| delivery.mailer == Mailer::Smtp).count();
        assert_eq!(away, 2, "operation {n}: each copy for another host is queued once");
        // The next post has the next number, or a later one.
        receive(&gate, "talk@example.test", &Id::new(NOW), &POST.replace("<1@b>", "<2@b>")).unwrap();
        assert!(mailbox(dir.path(), "bob").iter().any(|copy| copy.contains("X-Mail-Count: 2\n")), "operation {n}");
        outcomes = (outcomes.0 + usize::from(first.is_err()), outcomes.1 + 1);
        if !struck {
            assert!(outcomes.0 > 5, "{outcomes:?}: the faults hit nothing");
            return;
        }
    }
    panic!("a post uses more operations than it should");
}

#[test]
fn what_is_done_is_not_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let source = Id::new(NOW);
    receive(&gate, "talk@example.test", &source, POST).unwrap();
    assert!(receive(&gate, "talk@example.test", &source, POST).unwrap().contains("went out before"));
    assert!(receive(&gate, "talk@example.test", &Id::new(NOW), POST).unwrap().contains("the same message"));
    assert_eq!((mailbox(dir.path(), "alice").len(), queued(&gate).len()), (1, 1));
    let envelope = &queued(&gate)[0];
    assert_eq!(envelope.sender, Some(address("talk-bounces@example.test")));
}

#[test]
fn each_copy_names_its_member_where_the_list_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let lists = gate.router.lists();
    lists.open(&"talk@example.test".parse().unwrap()).unwrap().set("verp", Some("true")).unwrap();
    receive(&gate, "talk@example.test", &Id::new(NOW), POST).unwrap();
    let envelope = queued(&gate).remove(0);
    let senders: Vec<&str> = envelope.recipients.iter().map(|recipient| recipient.delivery.sender.as_str()).collect();
    assert_eq!(senders, ["talk-bounces+x=r.test@example.test", "talk-bounces+y=s.test@example.test"]);
}

#[test]
fn a_member_that_leads_back_to_the_list_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    std::fs::write(gate.site.root.etc.join("aliases"), "circle: talk\n").unwrap();
    let list = gate.router.lists().open(&"talk@example.test".parse().unwrap()).unwrap();
    list.update_members(|members| {
        members.add(crate::lists::members::Member::new(&address("circle@example.test"), NOW));
        Ok::<_, std::io::Error>(())
    })
    .unwrap();
    receive(&gate, "talk@example.test", &Id::new(NOW), POST).unwrap();
    assert!(queued(&gate).iter().all(|e| e.recipients.iter().all(|r| r.delivery.mailer != Mailer::List)));
    // Nor does it become one by mail.
    let gate_list = "talk-subscribe@example.test";
    let text = "From: circle@example.test\n\n";
    let desk = Desk { gate: &gate, resolver: &NoDns, now: NOW };
    let sender = address("circle@example.test");
    list.update_members(|members| Ok::<_, std::io::Error>(members.remove(&sender).is_some())).unwrap();
    desk.receive(&address(gate_list), &Id::new(NOW), Some(&sender), &mut text.as_bytes()).unwrap();
    assert!(list.questions().unwrap().is_empty());
}

/// A mail from somebody to an address of the list.
fn mail(gate: &Gate, from: &str, to: &str, text: &str) -> String {
    let desk = Desk { gate, resolver: &NoDns, now: NOW };
    let text = format!("From: {from}\n\n{text}");
    desk.receive(&address(to), &Id::new(NOW), Some(&address(from)), &mut text.as_bytes()).unwrap()
}

fn set(gate: &Gate, key: &str, value: &str) -> List {
    let name = "talk@example.test".parse().unwrap();
    gate.router.lists().open(&name).unwrap().set(key, Some(value)).unwrap();
    gate.router.lists().open(&name).unwrap()
}

/// The one token of this action.
fn token(list: &List, action: Action) -> String {
    let found: Vec<_> = list.questions().unwrap().into_iter().filter(|(_, asked)| asked.action == action).collect();
    assert_eq!(found.len(), 1, "{action:?}: {found:?}");
    found[0].0.clone()
}

#[test]
fn an_owner_has_the_last_word_where_the_list_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let list = set(&gate, "subscription", "approve");
    let control = "talk-control@example.test";
    let is_member = |who: &str| list.members().unwrap().find(&address(who)).is_some();
    for (who, word, expected) in [("c@r.test", Action::Admit, true), ("d@r.test", Action::Refuse, false)] {
        mail(&gate, who, control, "# subscribe\n");
        mail(&gate, who, &list.name.confirm(&token(&list, Action::Subscribe)).to_string(), "yes\n");
        assert!(!is_member(who), "{who}: the owner has said nothing yet");
        let asked =
            mailbox(dir.path(), "alice").into_iter().find(|text| text.contains(&format!("{who} asks"))).unwrap();
        let token = token(&list, word);
        assert!(asked.contains(&token), "{asked}");
        mail(&gate, "alice@example.test", control, &format!("# confirm {token}\n"));
        assert_eq!(is_member(who), expected, "{who}");
        assert!(list.questions().unwrap().is_empty(), "{who}: the other word is void");
    }
}

#[test]
fn one_question_a_day_and_only_to_welcome_domains() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let list = set(&gate, "subscription_domains", "r.test");
    for _ in 0..5 {
        mail(&gate, "c@r.test", "talk-subscribe@example.test", "");
    }
    assert_eq!(list.questions().unwrap().len(), 1);
    mail(&gate, "c@sub.r.test", "talk-subscribe@example.test", "");
    assert_eq!(list.questions().unwrap().len(), 1);
    // Who has had all answers of the day may still answer a question.
    for _ in 0..20 {
        mail(&gate, "c@r.test", "talk-control@example.test", "# stat\n# off\n");
    }
    mail(&gate, "c@r.test", &list.name.confirm(&token(&list, Action::Subscribe)).to_string(), "");
    let members = list.members().unwrap();
    assert_eq!(members.find(&address("c@r.test")).unwrap().state, crate::lists::members::State::On);
    // What is asked without an answer is not done.
    mail(&gate, "c@r.test", "talk-control@example.test", "# off\n");
    assert_eq!(list.members().unwrap().find(&address("c@r.test")).unwrap().state, crate::lists::members::State::On);
}

#[test]
fn who_may_see_the_members() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let shown = |access: &str, from: &str| {
        set(&gate, "member_list", access);
        let before = mailbox(dir.path(), from.split('@').next().unwrap()).len();
        mail(&gate, from, "talk-control@example.test", "# member\n");
        let letters = mailbox(dir.path(), from.split('@').next().unwrap());
        assert_eq!(letters.len(), before + 1);
        letters.iter().any(|text| text.contains("ON: x@r.test"))
    };
    assert!(!shown("owners", "bob@example.test"));
    assert!(shown("members", "bob@example.test"));
    assert!(shown("owners", "alice@example.test"));
}

#[test]
fn a_refusal_needs_all_recipients_to_be_such_lists() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let to = |names: &[&str]| {
        let mut recipients = Vec::new();
        for name in names {
            for delivery in gate.router.resolve(&address(name)).unwrap() {
                let original = address(name);
                recipients.push(Recipient { original, orcpt: None, notify: Default::default(), delivery });
            }
        }
        Envelope::local(Some(address("eve@e.test")), NOW, recipients)
    };
    let refused = |names: &[&str], header: &str| refusal(gate.router.lists(), &to(names), header.as_bytes());
    let failure = refused(&["talk@example.test"], "From: eve@e.test\n\n").unwrap();
    assert_eq!((failure.code, failure.enhanced.to_string().as_str()), (550, "5.7.1"));
    assert_eq!(refused(&["talk@example.test"], "From: bob@example.test\n\n"), None);
    assert_eq!(refused(&["talk@example.test", "alice@example.test"], "From: eve@e.test\n\n"), None);
    assert_eq!(refused(&["talk-control@example.test"], "From: eve@e.test\n\n"), None);
    assert_eq!(refused(&["talk-owner@example.test"], "From: eve@e.test\n\n"), None);
    assert!(refused(&["talk@example.test"], "From: bob@example.test\nX-Loop: talk@example.test\n\n").is_some());
}
