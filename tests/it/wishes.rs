//! By when, not before, how urgent, how secret: from MAIL to the queue, its listings, the log and the reports.

use super::wire::{Client, Sink, Tls};
use super::world::World;

const LOGIN: &str = "AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABkZW1v";

/// A world whose queue does not run: what is queued stays to be looked at.
fn world(settings: &[(&str, &str)]) -> World {
    let world = World::new();
    world.set("services.queue", "false");
    world.set("auth.plaintext_without_tls", "always");
    for (key, value) in settings {
        world.set(key, value);
    }
    std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
    world.start();
    world
}

/// Hands a message in by submission, as alice.
fn submit(world: &World, parameters: &str, to: &str) {
    let mut client = Client::connect(world.address("submission"));
    client.reply();
    for (command, code) in [
        ("EHLO client.test".to_string(), "250"),
        (LOGIN.to_string(), "235"),
        (format!("MAIL FROM:<alice@example.test> {parameters}"), "250"),
        (format!("RCPT TO:<{to}>"), "250"),
        ("DATA".to_string(), "354"),
        ("Subject: wish\r\n\r\ntext\r\n.".to_string(), "250"),
    ] {
        let reply = client.ask(&command);
        assert!(reply.starts_with(code), "{command}: {reply}");
    }
}

fn only(world: &World) -> serde_json::Value {
    let text = world.ok("emqueue", &["list", "--json"]);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_held_message_waits_in_the_queue_until_it_is_released() {
    let world = world(&[("smtp.future_release", "1d")]);
    // Also for a mailbox of our own, which else gets its mail at once.
    submit(&world, "HOLDFOR=3600", "bob@example.test");
    assert!(world.mailbox("bob").is_empty());
    let (id, entry) = (world.queued().remove(0), only(&world));
    assert!(entry["held_until"].is_string(), "{entry}");
    let show = |words: &[&str]| world.ok("emqueue", words);
    assert!(show(&["list"]).contains(" held until "), "{}", show(&["list"]));
    assert!(show(&["show", &id]).contains("\nheld      until "), "{}", show(&["show", &id]));
    assert!(world.log().contains(" hold=20"), "{}", world.log());
    show(&["release", &id]);
    assert!(only(&world)["held_until"].is_null());
    show(&["run", &id]);
    assert_eq!(world.mailbox("bob").len(), 1);
}

#[test]
fn wishes_are_kept_shown_and_logged() {
    let world = world(&[("smtp.deliver_by", "true"), ("smtp.priorities", "true")]);
    submit(&world, "BY=600;NT MT-PRIORITY=3", "x@remote.test");
    let (id, entry) = (world.queued().remove(0), only(&world));
    assert_eq!((entry["priority"].as_i64(), entry["deliver_by"]["mode"].as_str()), (Some(3), Some("NT")));
    let show = world.ok("emqueue", &["show", &id]);
    assert!(show.contains("\npriority  3\n") && show.contains(" (NT)\n"), "{show}");
    assert!(show.replace("\n\t", " ").contains(" for <x@remote.test> PRIORITY 3;"), "{show}");
    assert!(world.ok("emqueue", &["list"]).contains(" priority 3\n"));
    let story = world.ok("emqueue", &["trace", &id]);
    assert!(story.contains("priority=3") && story.contains(";NT"), "{story}");
}

#[test]
fn requiretls_is_offered_inside_tls_and_older_programs_leave_such_a_message_alone() {
    let world = world(&[("smtp.require_tls", "true")]);
    let mut client = Tls::connect(world.address("submission"), b"EHLO c\r\nSTARTTLS\r\n");
    client.reply();
    assert!(!client.reply().contains("REQUIRETLS"));
    assert!(client.reply().starts_with("220"));
    client.start();
    assert!(client.ask("EHLO c").contains("250-REQUIRETLS"));
    for (command, code) in [
        (LOGIN, "235"),
        ("MAIL FROM:<alice@example.test> REQUIRETLS", "250"),
        ("RCPT TO:<x@remote.test>", "250"),
        ("DATA", "354"),
        ("Subject: secret\r\nTLS-Required: No\r\n\r\ntext\r\n.", "250"),
    ] {
        let reply = client.ask(command);
        assert!(reply.starts_with(code), "{command}: {reply}");
    }
    assert_eq!(only(&world)["tls"], "required", "the field counts only where MAIL says nothing");
    let id = world.queued().remove(0);
    let bucket = std::fs::read_dir(world.path("spool/queue")).unwrap().next().unwrap().unwrap().path();
    assert!(std::fs::read_to_string(bucket.join(id)).unwrap().starts_with("em-queue 2\n"));
}

#[test]
fn the_header_says_that_tls_is_not_required_and_how_urgent_a_message_is() {
    let world = world(&[("smtp.priorities", "true")]);
    let text = b"TLS-Required: No\nMT-Priority: 4\nSubject: s\n\nx\n";
    let out = world.run_with("emsend", &["-odq", "-f", "alice@example.test", "x@remote.test"], text);
    assert!(out.status.success(), "{out:?}");
    let entry = only(&world);
    assert_eq!((entry["tls"].as_str(), entry["priority"].as_i64()), (Some("not-required"), Some(4)));
}

#[test]
fn an_alias_is_expanded_and_a_list_delivered_in_one_report() {
    let world = World::new();
    std::fs::write(world.path("etc/aliases"), "staff: alice, bob\nclub: bob, carol\nowner-club: bob\ncarol: alice\n")
        .unwrap();
    for (to, action) in [("staff@example.test", "expanded"), ("club@example.test", "delivered")] {
        let before = world.mailbox("alice").len();
        let arguments = ["-v", "-f", "alice@example.test", "-N", "success", to];
        let out = world.run_with("emsend", &arguments, b"Subject: s\n\ny\n");
        assert!(out.status.success(), "{out:?}");
        world.run("emqueue", &["run", "--all"]);
        let texts = world.await_mail("alice", before + 2);
        let reports: Vec<&String> = texts[before..].iter().filter(|t| t.contains("multipart/report")).collect();
        assert_eq!(reports.len(), 1, "{texts:#?}");
        let group = format!("Final-Recipient: rfc822; {to}\nAction: {action}\nStatus: 2.0.0\n");
        assert!(reports[0].contains(&group), "{}", reports[0]);
        assert_eq!(reports[0].matches("\nAction: ").count(), 1, "{}", reports[0]);
    }
    assert!(world.queued().is_empty());
}

#[test]
fn success_is_relayed_where_the_next_host_has_no_dsn() {
    let world = World::new();
    let sink = Sink::start(|line| line.starts_with("EHLO").then(|| "250 sink".to_string()));
    std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
    let arguments = ["-v", "-f", "alice@example.test", "-N", "success", "x@remote.test"];
    let out = world.run_with("emsend", &arguments, b"Subject: s\n\ny\n");
    assert!(out.status.success(), "{out:?}");
    let report = &world.await_mail("alice", 1)[0];
    assert!(report.contains("Action: relayed\nStatus: 2.0.0\n") && report.contains("was passed on"), "{report}");
    assert!(!sink.commands().iter().any(|c| c.contains("NOTIFY") || c.contains("ORCPT")), "{:?}", sink.commands());
}
