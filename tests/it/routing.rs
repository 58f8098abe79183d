//! Where mail goes: virtual users, routes, access and senders by em.cf and its tables, and what an administrator's own rules do.

use super::name_server::{NameServer, Says, a, nothing};
use super::rules::sendmail;
use super::wire::{Client, Sink};
use super::world::{World, wait_until};
use hickory_resolver::proto::rr::RecordType;

fn table(world: &World, name: &str, text: &str) {
    std::fs::write(world.path("etc").join(name), text).unwrap();
}

/// What `emsend -bv` says last.
fn verdict(world: &World, address: &str) -> String {
    let out = world.run("emsend", &["-bv", address]);
    String::from_utf8(out.stdout).unwrap().lines().last().unwrap_or_default().to_string()
}

fn explained(world: &World, arguments: &[&str]) -> (String, Option<i32>) {
    let out = world.run("emsend", &[&["-bt", "--explain"], arguments].concat());
    (String::from_utf8(out.stdout).unwrap(), out.status.code())
}

#[test]
fn virtual_users_lead_elsewhere() {
    let world = World::new();
    table(
        &world,
        "virtusers",
        "# ours\ninfo@example.test alice\n@virt.test %1@example.test\nbob+*@virt.test alice+%2@example.test\n\
         gone@virt.test error:nouser 550 gone (for good)\nself@example.test self@example.test\nfar@virt.test x@far.test\n",
    );
    table(&world, "local-host-names", "virt.test\n");
    for (address, wanted) in [
        ("info@example.test", "mailer mailbox, user alice@example.test"),
        ("Alice@VIRT.test", "mailer mailbox, user alice@example.test"),
        ("bob+news@virt.test", "user alice+news@example.test"),
        ("far@virt.test", "mailer smtp, host far.test, user x@far.test"),
        ("gone@virt.test", "550 5.1.1 gone (for good)"),
        ("self@example.test", "550 5.1.1 <self@example.test>: Recipient address rejected: User unknown"),
        ("nobody@virt.test", "550 5.1.1"),
    ] {
        let said = verdict(&world, address);
        assert!(said.contains(wanted), "{address}: {said}");
    }
    world.start();
    let mut smtp = Client::connect(world.address("smtp"));
    smtp.reply();
    smtp.ask("EHLO x");
    smtp.ask("MAIL FROM:<>");
    assert!(smtp.ask("RCPT TO:<info@example.test>").starts_with("250"));
    assert!(smtp.ask("RCPT TO:<alice@virt.test>").starts_with("250"));
    // The domain is ours, so anybody may write to it, and the row sends it on.
    assert!(smtp.ask("RCPT TO:<far@virt.test>").starts_with("250"));
    assert!(smtp.ask("RCPT TO:<gone@virt.test>").starts_with("550 5.1.1 gone"));
    // Seen without a restart, in a session that goes on.
    table(&world, "virtusers", "info@example.test error:5.7.1:550 closed\n");
    assert!(smtp.ask("RCPT TO:<info@example.test>").starts_with("550 5.7.1 closed"));
}

#[test]
fn routes_have_every_form_of_a_mailertable() {
    let world = World::new();
    table(
        &world,
        "routes",
        "a.test esmtp:[192.0.2.1]:2525\n.a.test [192.0.2.2]\nb.test [inside.test]:26\nc.test hub.test\nd.test lmtp:[192.0.2.3]:24\n\
         e.test local:alice\nf.test discard:\ng.test error:5.7.0:550 no way\nh.test smtp:joe@hub.test\ni.test lmtp:/run/x.sock\n. relay:default.test\n",
    );
    let hop = |address: &str| {
        let (text, _) = explained(&world, &[address]);
        let hop = text.lines().find(|line| line.contains("would ")).unwrap_or_default();
        let at = hop.find("would ").unwrap_or(0);
        format!("{} | {}", &hop[at..], text.lines().last().unwrap())
    };
    for (address, wanted) in [
        (
            "x@a.test",
            "would connect to [192.0.2.1]:2525 by smtp | x@a.test... deliverable: mailer smtp, host a.test, user x@a.test",
        ),
        ("x@b.a.test", "would connect to [192.0.2.2] by smtp"),
        ("x@b.test", "would connect to [inside.test]:26 by smtp"),
        ("x@c.test", "would look up MX of hub.test by smtp"),
        ("x@d.test", "would connect to [192.0.2.3]:24 by lmtp"),
        ("x@e.test", " | x@e.test... deliverable: mailer mailbox, user alice@example.test"),
        ("x@f.test", " | x@f.test... deliverable: mailer discard, user "),
        ("x@g.test", " | x@g.test... 550 5.7.0 no way"),
        (
            "x@h.test",
            "would look up MX of hub.test by smtp | x@h.test... deliverable: mailer smtp, host hub.test, user joe@hub.test",
        ),
        ("x@i.test", "would connect to /run/x.sock by lmtp"),
        ("x@other.test", "would look up MX of default.test by smtp"),
    ] {
        let said = hop(address);
        assert!(said.starts_with(wanted), "{address}: {said}");
    }
    let sink = Sink::start(|_| None);
    table(&world, "routes", &sink.route("a.test"));
    let out = world.run_with("emsend", &["x@a.test"], b"Subject: routed\n\nx\n");
    assert!(out.status.success(), "{out:?}");
    wait_until("the routed message", || sink.texts().iter().any(|text| text.contains("Subject: routed")));
}

#[test]
fn other_names_of_domains_and_domains_of_ours_are_seen_at_once() {
    let world = World::new();
    table(&world, "routes", ". error:5.4.4 not routed\n");
    assert!(verdict(&world, "alice@old.test").contains("550 5.4.4"));
    table(&world, "domaintable", "old.test example.test\n");
    assert!(verdict(&world, "alice@old.test").contains("mailer mailbox, user alice@example.test"));
    assert!(verdict(&world, "postmaster@third.test").contains("550 5.4.4"));
    table(&world, "local-host-names", "third.test\n");
    assert!(verdict(&world, "postmaster@third.test").contains("mailer mailbox"));
}

#[test]
fn a_broken_em_cf_leaves_the_last_good_one_in_force() {
    let world = World::new();
    let good = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/em.cf")).unwrap();
    table(&world, "em.cf", &good);
    world.start();
    let mut smtp = Client::connect(world.address("smtp"));
    smtp.reply();
    smtp.ask("EHLO x");
    smtp.ask("MAIL FROM:<>");
    assert!(smtp.ask("RCPT TO:<alice@example.test>").starts_with("250"));
    table(&world, "em.cf", &good.replace("Striple\n", "Striple\nR$7 x\n"));
    for _ in 0..3 {
        assert!(smtp.ask("RCPT TO:<bob@example.test>").starts_with("250"));
    }
    assert_eq!(world.log().matches("event=rules-refused").count(), 1, "{}", world.log());
    let check = world.run("emconf", &["check"]);
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.code() == Some(78) && said.contains("etc/em.cf:") && said.contains("R$7 x"), "{said}");
    // A program that starts now has no good one to go by.
    assert!(verdict(&world, "alice@example.test").contains("451 4.3.5"));
    table(
        &world,
        "em.cf",
        &good.replace("Slocaladdr=5\n", "Slocaladdr=5\nR$+\t$#error $@ 5.1.6 $: \"550 ask the hub\"\n"),
    );
    assert!(smtp.ask("RCPT TO:<nobody@example.test>").starts_with("550 5.1.6 ask the hub"));
}

#[test]
fn a_mailer_that_cannot_be_acted_on_is_named_and_refused_for_now() {
    let world = World::new();
    let own = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/em.cf")).unwrap();
    let own = own.replace("Striple\n", "Striple\nR$+ < @ fax.test >\t$#fax $@ fax $: $1\n")
        + "Mfax, P=/usr/bin/fax, F=h, A=fax $u\n";
    table(&world, "em.cf", &own);
    assert!(verdict(&world, "5551@fax.test").contains("451 4.3.5"));
    let said = String::from_utf8(world.run("emconf", &["check"]).stdout).unwrap();
    let line = own.lines().position(|line| line.starts_with("Mfax")).unwrap() + 1;
    assert!(said.contains(&format!("em.cf:{line}: mailer fax: its program /usr/bin/fax is not run")), "{said}");
}

#[test]
fn an_access_row_can_drop_or_hold_a_message() {
    let world = World::new();
    table(&world, "access", "From:drop.test DISCARD\nFrom:hold.test QUARANTINE:looks odd\n");
    world.start();
    let send = |from: &str| {
        let mut smtp = Client::connect(world.address("smtp"));
        smtp.reply();
        smtp.ask("EHLO x");
        assert!(smtp.ask(&format!("MAIL FROM:<{from}>")).starts_with("250"));
        assert!(smtp.ask("RCPT TO:<alice@example.test>").starts_with("250"));
        smtp.ask("DATA");
        assert!(smtp.ask("Subject: x\r\n\r\ntext\r\n.").starts_with("250"));
    };
    send("a@drop.test");
    send("a@hold.test");
    wait_until("the dropped message", || world.log().contains("event=discarded"));
    wait_until("one message in the queue", || world.queued().len() == 1);
    let list = world.ok("emqueue", &["list", "--json"]);
    assert!(list.contains("\"held\":true"), "{list}");
    assert!(world.mailbox("alice").is_empty() && world.log().contains("event=quarantined"));
    world.ok("emqueue", &["release", "--all"]);
    world.await_mail("alice", 1);
}

#[test]
fn senders_are_shown_as_the_tables_say() {
    let world = World::new();
    let sink = Sink::start(|_| None);
    table(&world, "routes", &sink.route("far.test"));
    table(&world, "genericstable", "alice alice.adams@example.test\n");
    table(&world, "masquerade", "# hosts\n.example.test example.test\nroot@host.example.test -\n");
    let text =
        b"From: \"Adams, A.\" <alice@example.test>, Bob <bob@host.example.test>\nSender: root@host.example.test\n\
                 Reply-To: bob@host.example.test (at work)\nSubject: shown\n\nx alice@example.test\n";
    let out = world.run_with("emsend", &["-f", "alice@example.test", "x@far.test"], text);
    assert!(out.status.success(), "{out:?}");
    wait_until("the message", || !sink.texts().is_empty());
    let text = sink.texts().remove(0).replace("\r\n", "\n");
    assert!(text.contains("From: \"Adams, A.\" <alice.adams@example.test>, Bob <bob@example.test>\n"), "{text}");
    assert!(text.contains("Sender: root@host.example.test\n"), "{text}");
    assert!(text.contains("Reply-To: bob@example.test (at work)\n"), "{text}");
    assert!(text.ends_with("x alice@example.test\n"), "{text}");
    let mail = sink.commands().into_iter().find(|c| c.starts_with("MAIL")).unwrap();
    assert!(mail.starts_with("MAIL FROM:<alice.adams@example.test>"), "{mail}");
}

#[test]
fn an_address_beyond_ascii_passes_through_the_rules() {
    let world = World::new();
    world.add("grü\u{df}e@example.test", &[]);
    table(&world, "virtusers", "żółw@example.test grüße@example.test\n");
    for address in ["grüße@example.test", "żółw@example.test"] {
        let said = verdict(&world, address);
        assert!(said.contains("mailer mailbox, user grüße@example.test"), "{said}");
    }
}

#[test]
fn every_decision_is_explained_with_its_place() {
    let world = World::new();
    table(&world, "virtusers", "# a\n\nsales@example.test staff\n");
    table(&world, "aliases", "staff: alice, x@far.test\n");
    table(&world, "routes", "far.test esmtp:[192.0.2.1]:25\n");
    table(&world, "access", "From:bad.test REJECT\n");
    let (text, code) = explained(&world, &["sales@example.test", "--from", "a@good.test", "--client", "192.0.2.9"]);
    assert_eq!(code, Some(0), "{text}");
    for wanted in [
        "client 192.0.2.9 may send to our domains",
        "em.cf (built in):",
        "etc/virtusers:3: virtusers: sales@example.test found as sales@example.test staff",
        "etc/aliases:1: staff@example.test: alias staff",
        "alice@example.test: account alice@example.test",
        "etc/routes:1: routes: far.test found as far.test esmtp:[192.0.2.1]:25",
        "would connect to [192.0.2.1]:25 by smtp",
        "deliverable: mailer mailbox, user alice@example.test",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
    }
    let (text, code) = explained(&world, &["x@far.test", "--client", "192.0.2.9"]);
    assert!(code == Some(77) && text.ends_with("x@far.test... 550 5.7.1 Relaying denied\n"), "{text}");
    let (text, code) = explained(&world, &["alice@example.test", "--from", "x@bad.test", "--json"]);
    assert_eq!(code, Some(77));
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["deliverable"], &last["text"]), (&false.into(), &"Access denied".into()));
    let row = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let row = row.into_iter().find(|step| step["decider"] == "table").unwrap();
    assert!(row["file"].as_str().unwrap().ends_with("etc/access") && row["line"] == 1, "{row}");
    let quiet = world.ok("emsend", &["-bv", "alice@example.test"]);
    assert!(!quiet.contains("rule 1 of"), "{quiet}");
    let rules = world.ok("emsend", &["-bv", "-v", "alice@example.test"]);
    assert!(rules.contains("of canonify: alice @ example.test becomes alice < @ example.test >"), "{rules}");
}

#[test]
fn a_sendmail_cf_of_m4_routes_in_the_place_of_ours() {
    let world = World::new();
    let etc = world.path("etc");
    let lines = "OSTYPE(`linux')dnl
define(`confDOMAIN_NAME',`mail.example.test')dnl
LOCAL_DOMAIN(`virt.test')dnl
define(`LUSER_RELAY',`esmtp:hub.example.net')dnl
FEATURE(`mailertable',`hash -o DIR/mailertable')dnl
FEATURE(`virtusertable',`hash -o DIR/virtusertable')dnl
FEATURE(`access_db',`hash -o -T<TMPF> DIR/access')dnl
FEATURE(`genericstable',`hash -o DIR/generics')dnl
GENERICS_DOMAIN(`example.test')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
MAILER(`procmail')dnl
";
    let Some(cf) = sendmail::generated(&lines.replace("DIR", &etc.display().to_string())) else {
        return println!("skipped: sendmail-cf is not there");
    };
    let sink = Sink::start(|_| None);
    // These rules ask DNS about the domains of senders.
    let names = NameServer::start(|_, kind| match kind {
        RecordType::A => Says::Records(vec![a("192.0.2.1")]),
        _ => nothing(),
    });
    world.set("dns.servers", &names.address.to_string());
    table(&world, "em.cf", &cf);
    table(
        &world,
        "mailertable",
        "route.test esmtp:[127.0.0.2]\nerr.test error:5.7.0:550 no way\n.sub.test smtp:hub.sub.test\n",
    );
    table(&world, "virtusertable", "joe@virt.test bob\n@virt.test %1@far.test\n");
    table(&world, "access", "From:spam.test REJECT\nTo:partner.test RELAY\n");
    table(&world, "generics", "alice@example.test alice.adams@example.test\n");
    let client = ["--client", "192.0.2.9", "--from", "a@good.test"];
    for (address, more, wanted) in [
        ("alice@example.test", &[][..], "deliverable: mailer mailbox, user alice@example.test"),
        (
            "Alice+x@example.test",
            &[],
            "deliverable: mailer mailbox, host alice@example.test, user alice+x@example.test",
        ),
        ("joe@virt.test", &[], "deliverable: mailer mailbox, user bob@example.test"),
        ("ann@virt.test", &[], "deliverable: mailer smtp, host far.test, user ann@far.test"),
        ("x@route.test", &[], "would connect to [127.0.0.2] by smtp"),
        ("x@a.sub.test", &[], "would look up MX of hub.sub.test by smtp"),
        ("x@other.test", &[], "would look up MX of other.test by smtp"),
        ("x@err.test", &[], "x@err.test... 550 5.7.0 no way"),
        ("nobody@example.test", &[], "would look up MX of hub.example.net by smtp"),
        ("alice@example.test", &client, "deliverable: mailer mailbox, user alice@example.test"),
        ("x@partner.test", &client, "deliverable: mailer smtp, host partner.test, user x@partner.test"),
        ("victim@remote.test", &client, "550 5.7.1 Relaying denied"),
        ("victim%remote.test@example.test", &client, "550 5.7.1 Relaying denied"),
        ("remote.test!victim@example.test", &client, "550 5.7.1 Relaying denied"),
        ("\"victim@remote.test\"@example.test", &client, "550 5.7.1 Relaying denied"),
        ("\"|/bin/sh\"@example.test", &client, "Cannot mail directly to programs"),
        ("/etc/passwd@example.test", &client, "Cannot mail directly to files"),
        ("alice@example.test", &["--client", "192.0.2.9", "--from", "x@spam.test"], "550 5.7.1 Access denied"),
    ] {
        let (text, _) = explained(&world, &[&[address], more].concat());
        let end = text.lines().filter(|line| !line.contains(": rule ")).collect::<Vec<_>>().join("\n");
        assert!(end.contains(wanted), "{address} {more:?}: {wanted} is not in\n{end}");
    }
    let check = String::from_utf8(world.run("emconf", &["check"]).stdout).unwrap();
    let last = cf.lines().position(|line| line.starts_with("Mprocmail")).unwrap() + 3;
    assert!(check.contains(&format!("etc/em.cf:{last}: mailer procmail: its program /usr/bin/procmail")), "{check}");
    let queue = cf.lines().position(|line| line.starts_with("O QueueDirectory")).unwrap() + 1;
    assert_eq!(
        check
            .matches(&format!(
                "note: {}:{queue}: option QueueDirectory: em.toml decides\n",
                etc.join("em.cf").display()
            ))
            .count(),
        1
    );
    table(&world, "mailertable", &sink.route("route.test"));
    let out = world.run_with(
        "emsend",
        &["-f", "alice@example.test", "x@route.test"],
        b"From: alice@example.test\nSubject: old rules\n\nx\n",
    );
    assert!(out.status.success(), "{out:?}");
    wait_until("the message", || sink.texts().iter().any(|text| text.contains("From: alice.adams@example.test")));
}
