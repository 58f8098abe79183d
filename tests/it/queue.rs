//! The queue against real listening peers.

use super::wire::Sink;
use super::world::{World, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn send(world: &World, arguments: &[&str]) {
    let mut all = vec!["-i", "-f", "alice@example.test"];
    all.extend(arguments);
    let out = world.run_with("emsend", &all, b"Subject: out\n\nline\n.. dots\n");
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn mail_for_others_goes_out_and_dsn_parameters_with_it() {
    let world = World::new();
    let sink = Sink::start(|_| None);
    std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
    send(&world, &["-v", "-N", "success,failure", "-V", "env+201", "x@remote.test", "y@remote.test"]);
    wait_until("the text", || sink.texts().len() == 1);
    assert!(sink.texts()[0].ends_with("Subject: out\r\n\r\nline\r\n... dots\r\n"), "{:?}", sink.texts());
    let commands = sink.commands().join("\n");
    assert!(
        commands.contains("MAIL FROM:<alice@example.test> SIZE=") && commands.contains("ENVID=env+201"),
        "{commands}"
    );
    assert!(
        commands.contains("RCPT TO:<x@remote.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@remote.test"),
        "{commands}"
    );
    assert!(world.queued().is_empty());
    // The next host said DSN: it reports, we don't.
    assert!(world.mailbox("alice").is_empty());
}

#[test]
fn temporary_trouble_is_tried_again_and_final_trouble_returned() {
    let world = World::new();
    let tries = Arc::new(AtomicU32::new(0));
    let count = tries.clone();
    let sink = Sink::start(move |line| match line {
        l if l.starts_with("RCPT TO:<later@") && count.fetch_add(1, Ordering::SeqCst) == 0 => {
            Some("451 4.2.1 busy".into())
        }
        l if l.starts_with("RCPT TO:<never@") => Some("550 5.1.1 no such\u{7} user".into()),
        _ => None,
    });
    std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
    world.set("queue.retry", "100ms");
    world.start();
    send(&world, &["-i", "later@remote.test", "never@remote.test", "now@remote.test"]);
    let bounce = &world.await_mail("alice", 1)[0];
    for wanted in [
        "Return-Path: <>",
        "Content-Type: multipart/report; report-type=delivery-status;",
        "Final-Recipient: rfc822; never@remote.test\nAction: failed\nStatus: 5.1.1\n",
        "Diagnostic-Code: smtp; 550 5.1.1 no such  user",
        "Content-Type: text/rfc822-headers",
        "Subject: out",
    ] {
        assert!(bounce.contains(wanted), "{wanted}: {bounce}");
    }
    assert!(!bounce.contains("later@") && !bounce.contains("now@"), "{bounce}");
    wait_until("the second try", || sink.texts().len() == 2 && world.queued().is_empty());
    let commands = sink.commands().join("\n");
    assert_eq!(commands.matches("RCPT TO:<now@remote.test>").count(), 1, "delivered once");
    let story = world.ok("emqueue", &["trace", "later@remote.test"]);
    for event in ["accepted", "queued", "deferred", "delivered", "failed", "report", "finished"] {
        assert!(story.contains(&format!(" {event} ")), "{event}: {story}");
    }
}

#[test]
fn a_queue_is_listed_held_released_and_deleted() {
    let world = World::new();
    std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
    for to in ["a@remote.test", "b@remote.test", "c@remote.test"] {
        send(&world, &["-odq", to]);
    }
    let ids = world.queued();
    assert_eq!(ids.len(), 3);
    world.ok("emqueue", &["hold", &ids[0]]);
    world.ok("emqueue", &["delete", "--recipient", "b@remote"]);
    assert_eq!(world.queued().len(), 2);
    let out = world.run("emqueue", &["run", "--all"]);
    assert_eq!(out.status.code(), Some(75), "{out:?}");
    let list = world.ok("emqueue", &["list"]);
    assert!(list.contains(" held") && list.contains("connect: "), "{list}");
    assert!(world.ok("emqueue", &["show", &ids[0]]).contains("Subject: out"));
    assert_eq!(world.ok("emqueue", &["show", "--text", &ids[2]]).matches("Subject").count(), 1);
    let sink = Sink::start(|_| None);
    std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
    world.ok("emqueue", &["release", &ids[0]]);
    world.ok("emqueue", &["run", "--all"]);
    assert_eq!(sink.texts().len(), 2);
    assert!(world.queued().is_empty());
    assert_eq!(world.run("emqueue", &["delete"]).status.code(), Some(64));
    assert_eq!(world.run("emqueue", &["show", "0000000000000000"]).status.code(), Some(66));
}

#[test]
fn sendmail_patterns_choose() {
    let world = World::new();
    let sink = Sink::start(|_| None);
    std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
    for to in ["a@remote.test", "b@remote.test"] {
        send(&world, &["-odq", to]);
    }
    world.ok("emsend", &["-qRa@remote"]);
    assert_eq!(world.queued().len(), 1);
    world.ok("emsend", &["-q!Sbob"]);
    assert!(world.queued().is_empty());
}

#[test]
fn late_mail_is_warned_about_once_and_returned_at_its_end() {
    let world = World::new();
    std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
    world.set("queue.warn", "0s");
    send(&world, &["-odq", "x@remote.test"]);
    world.run("emqueue", &["run", "--all"]);
    world.run("emqueue", &["run", "--all"]);
    let warning = &world.await_mail("alice", 1)[0];
    assert!(warning.contains("Action: delayed") && warning.contains("Will-Retry-Until"), "{warning}");
    world.set("queue.expire", "0s");
    world.run("emqueue", &["run", "--all"]);
    let texts = world.await_mail("alice", 2);
    assert!(texts[1].contains("Status: 5.4.7") && texts[1].contains("Action: failed"), "{}", texts[1]);
    assert!(world.queued().is_empty());
}

#[test]
fn a_report_that_can_not_be_delivered_goes_to_the_postmaster_once() {
    let world = World::new();
    let sink = Sink::start(|line| line.starts_with("RCPT").then(|| "550 5.1.1 no".to_string()));
    std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
    std::fs::write(world.path("etc/aliases"), "postmaster: bob\n").unwrap();
    let out = world.run_with("emsend", &["-v", "-f", "ghost@remote.test", "x@remote.test"], b"Subject: out\n\ny\n");
    assert!(out.status.success(), "{out:?}");
    wait_until("an empty queue", || {
        world.run("emqueue", &["run", "--all"]);
        world.queued().is_empty()
    });
    let texts = world.await_mail("bob", 1);
    assert!(texts[0].contains("ghost@remote.test"), "{}", texts[0]);
}

#[test]
fn a_success_report_is_sent_where_it_was_asked_for() {
    let world = World::new();
    let out = world.run_with(
        "emsend",
        &["-f", "alice@example.test", "-N", "success", "bob@example.test"],
        b"Subject: s\n\ny\n",
    );
    assert!(out.status.success(), "{out:?}");
    world.await_mail("bob", 1);
    let report = &world.await_mail("alice", 1)[0];
    assert!(
        report.contains("Action: delivered\nStatus: 2.0.0") && report.contains("Your message was delivered"),
        "{report}"
    );
}

#[test]
fn requeue_routes_anew() {
    let world = World::new();
    std::fs::write(world.path("etc/aliases"), "moved: x@remote.test\n").unwrap();
    std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
    send(&world, &["-odq", "moved@example.test"]);
    std::fs::write(world.path("etc/aliases"), "moved: bob\n").unwrap();
    world.ok("emqueue", &["requeue", "--all"]);
    assert!(world.await_mail("bob", 1)[0].contains("Subject: out"));
    assert!(world.queued().is_empty());
}

#[test]
fn damaged_files_are_put_aside() {
    let world = World::new();
    std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
    send(&world, &["-odq", "x@remote.test"]);
    let id = &world.queued()[0];
    let file = walk(&world.path("spool/queue")).into_iter().find(|p| p.ends_with(id)).unwrap();
    std::fs::write(&file, "nonsense\n\n").unwrap();
    world.run("emqueue", &["run", "--all"]);
    assert_eq!(std::fs::read_to_string(world.path("spool/bad").join(id)).unwrap(), "nonsense\n\n");
    assert!(world.queued().is_empty() && world.log().contains("event=quarantined"));
}

#[test]
fn a_file_of_a_newer_version_stays_in_the_queue_and_is_spoken_of() {
    let world = World::new();
    std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
    send(&world, &["-odq", "x@remote.test"]);
    let file = walk(&world.path("spool/queue")).remove(0);
    std::fs::write(&file, "em-queue 3\nwho knows\n\nbody\n").unwrap();
    assert_eq!(world.run("emqueue", &["run", "--all"]).status.code(), Some(75));
    let list = world.run("emqueue", &["list"]);
    assert!(String::from_utf8_lossy(&list.stderr).contains("newer version"), "{list:?}");
    let delete = world.run("emqueue", &["delete", "--all"]);
    assert!(String::from_utf8_lossy(&delete.stderr).contains("newer version"), "{delete:?}");
    assert!(file.exists() && walk(&world.path("spool/bad")).is_empty());
    assert!(world.log().contains("event=not-understood"));
}

#[test]
fn a_flush_is_for_all_and_leaves_what_is_held() {
    let world = World::new();
    std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
    for to in ["a@remote.test", "b@remote.test"] {
        send(&world, &["-odq", to]);
    }
    let ids = world.queued();
    world.ok("emqueue", &["hold", &ids[0]]);
    world.run("emqueue", &["run", "--all"]);
    let next = |id: &str| {
        let text = world.ok("emqueue", &["list", "--json"]);
        let line = text.lines().find(|l| l.contains(id)).unwrap().to_string();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()
    };
    assert!(!next(&ids[1])["next"].is_null());
    world.ok("emqueue", &["flush"]);
    assert!(next(&ids[1])["next"].is_null());
    assert_eq!(next(&ids[0])["held"], true);
    world.ok("emqueue", &["flush", &ids[0]]);
    assert_eq!(next(&ids[0])["held"], true);
    world.ok("emqueue", &["release", &ids[0]]);
    assert_eq!(next(&ids[0])["held"], false);
}

#[test]
fn requeue_gives_nobody_a_second_copy() {
    let world = World::new();
    std::fs::write(world.path("etc/aliases"), "list: bob, a@remote.test, b@remote.test\n").unwrap();
    std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
    send(&world, &["-odq", "list@example.test", "a@remote.test"]);
    world.run("emqueue", &["run", "--all"]);
    assert_eq!(world.mailbox("bob").len(), 1);
    let sink = Sink::start(|_| None);
    std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
    world.ok("emqueue", &["requeue", "--all"]);
    world.ok("emqueue", &["run", "--all"]);
    assert_eq!(world.mailbox("bob").len(), 1);
    let commands = sink.commands().join("\n");
    for to in ["a", "b"] {
        assert_eq!(commands.matches(&format!("RCPT TO:<{to}@remote.test>")).count(), 1, "{commands}");
    }
}

#[test]
fn requeue_does_not_forget_a_report_that_is_owed() {
    let world = World::new();
    let sink = Sink::start(|line| line.starts_with("RCPT TO:<no@").then(|| "550 5.1.1 no".to_string()));
    std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
    // The sender can't be told now.
    std::fs::write(world.path("etc/aliases"), "alice: :include:/nonexistent/members\n").unwrap();
    send(&world, &["-odq", "no@remote.test"]);
    assert_eq!(world.run("emqueue", &["run", "--all"]).status.code(), Some(75));
    assert_eq!(world.run("emqueue", &["requeue", "--all"]).status.code(), Some(75));
    assert_eq!(world.queued().len(), 1);
    std::fs::write(world.path("etc/aliases"), "").unwrap();
    world.ok("emqueue", &["run", "--all"]);
    world.await_mail("alice", 1);
    assert!(world.queued().is_empty());
}

#[test]
fn trace_shows_no_control_characters_and_reads_past_broken_lines() {
    let world = World::new();
    let text = b"Message-ID: <a\x1b[2Jb@example.test>\nSubject: x\n\ny\n";
    assert!(world.run_with("emsend", &["-f", "alice@example.test", "bob@example.test"], text).status.success());
    let log = world.path("log/em.log");
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, [b"\xff\xfe broken\n".as_slice(), &whole].concat()).unwrap();
    let story = world.ok("emqueue", &["trace", "bob@example.test"]);
    assert!(story.contains("2Jb@example.test") && !story.contains('\u{1b}'), "{story:?}");
    std::fs::rename(&log, world.path("log/em.log.1")).unwrap();
    std::fs::write(&log, "").unwrap();
    assert_eq!(world.ok("emqueue", &["trace", "bob@example.test"]), story, "the rotated log belongs to the story");
}

#[test]
fn an_empty_queue_is_said_as_sendmail_says_it() {
    let world = World::new();
    let text = world.ok("emsend", &["-bp"]);
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(first.ends_with("/spool is empty") && rest == "\t\tTotal requests: 0\n", "{text}");
}

#[test]
fn what_was_handed_in_is_taken_and_tried_in_one_run() {
    let world = World::new();
    let sink = Sink::start(|_| None);
    std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
    let id = "0000000000000001";
    let text = "em-drop 1\nmail from=alice@example.test\nrcpt to=x@remote.test\n\nSubject: x\n\ny\n";
    std::fs::write(world.path("spool/drop").join(id), text).unwrap();
    world.ok("emqueue", &["run"]);
    assert_eq!(sink.texts().len(), 1);
}

/// All files below a folder.
pub fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return found };
    for entry in entries.flatten() {
        match entry.path().is_dir() {
            true => found.extend(walk(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

#[test]
fn mail_waits_for_the_line_where_the_settings_say_so() {
    let world = World::new();
    let (far, near) = (Sink::start(|_| None), Sink::start(|_| None));
    std::fs::write(world.path("etc/routes"), far.route("far.test") + &near.route("near.test")).unwrap();
    world.set("queue.on_demand", r#"["!near.test", "*"]"#);
    world.start();
    send(&world, &["x@far.test", "y@near.test", "bob@example.test"]);
    wait_until("what needs no line", || near.texts().len() == 1);
    world.await_mail("bob", 1);
    wait_until("the reason", || world.ok("emqueue", &["list"]).contains("Waits until the line is there"));
    assert_eq!(far.texts().len(), 0);
    world.ok("emqueue", &["flush"]);
    wait_until("the rest", || far.texts().len() == 1);
    wait_until("an empty queue", || world.queued().is_empty());
    assert_eq!(near.texts().len(), 1);
}
