//! Sites that are not always there: ETRN and ATRN between two installations.

use super::wire::{Client, Sink};
use super::world::{World, wait_until};
use std::os::unix::fs::PermissionsExt;

/// A provider that keeps mail for home.test and office.test until its customer fetches it.
fn provider() -> World {
    let world = World::new();
    world.add("gateway@example.test", &[]);
    world.set("odmr.domains", r#"["home.test gateway@example.test", "office.test gateway@example.test"]"#);
    world.start();
    world
}

/// The customer: a site of its own, whose users are carol and dave at home.test.
fn customer() -> World {
    let world = World::empty();
    world.set("server.domains", r#"["home.test", "office.test"]"#);
    for user in ["carol@home.test", "dave@office.test"] {
        world.add(user, &[]);
    }
    let file = world.path("password");
    std::fs::write(&file, "demo\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world
}

/// Mail for the customer comes to the provider from anybody.
fn send(world: &World, to: &[&str], body: &str) {
    let mut client = Client::connect(world.address("smtp"));
    client.reply();
    assert!(client.ask("EHLO client.test").starts_with("250"));
    assert!(client.ask("MAIL FROM:<alice@example.test>").starts_with("250"));
    for to in to {
        let reply = client.ask(&format!("RCPT TO:<{to}>"));
        assert!(reply.starts_with("250"), "{to}: {reply}");
    }
    assert!(client.ask("DATA").starts_with("354"));
    assert!(client.ask(&format!("Subject: kept\r\n\r\n{body}\r\n.")).starts_with("250"));
}

fn fetch(customer: &World, provider: &World, more: &[&str]) -> std::process::Output {
    let (place, file) = (provider.address("odmr").to_string(), customer.path("password"));
    let mut arguments =
        vec!["atrn", &place, "--user", "gateway@example.test", "--password-file", file.to_str().unwrap()];
    arguments.extend(more);
    customer.run("emqueue", &arguments)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_customer_fetches_its_mail_over_its_own_connection() {
    let (provider, customer) = (provider(), customer());
    let big = "a line of some length, again and again\r\n..two dots\r\n".repeat(20_000);
    send(&provider, &["carol@home.test", "dave@office.test"], "short");
    send(&provider, &["carol@home.test"], &big);
    send(&provider, &["nobody@home.test"], "to nobody");
    wait_until("a first attempt", || provider.ok("emqueue", &["list"]).matches("fetches it").count() == 4);
    let out = fetch(&customer, &provider, &[]);
    assert_eq!((text(&out.stdout).as_str(), out.status.code()), ("2 messages fetched\n", Some(0)), "{out:?}");
    let texts = customer.mailbox_of("home.test", "carol");
    assert_eq!(texts.len(), 2);
    let long = texts.iter().find(|text| text.len() > 500_000).unwrap();
    let sent = big.replace("\r\n", "\n").replace("\n..two", "\n.two");
    assert!(long.trim_end().ends_with(sent.trim_end()), "the dots are one again");
    assert_eq!(customer.mailbox_of("office.test", "dave").len(), 1);
    wait_until("an empty queue", || provider.queued().is_empty());
    // Who is not there is told by the provider, which has the message.
    let report = &provider.await_mail("alice", 1)[0];
    assert!(report.contains("Final-Recipient: rfc822; nobody@home.test\nAction: failed\nStatus: 5.1.1"), "{report}");
    let out = fetch(&customer, &provider, &[]);
    assert_eq!((text(&out.stdout).as_str(), out.status.code()), ("nothing waits\n", Some(0)), "{out:?}");
    assert!(provider.log().contains("event=fetched") && provider.log().contains("event=atrn "), "{}", provider.log());
}

#[test]
fn one_domain_can_be_fetched_and_others_are_refused() {
    let (provider, customer) = (provider(), customer());
    send(&provider, &["carol@home.test", "dave@office.test"], "both");
    let out = fetch(&customer, &provider, &["office.test"]);
    assert_eq!(text(&out.stdout), "1 message fetched\n", "{out:?}");
    assert!(customer.mailbox_of("home.test", "carol").is_empty());
    assert_eq!(provider.queued().len(), 1, "carol's is still owed");
    let out = fetch(&customer, &provider, &["home.test", "example.test"]);
    assert_eq!(out.status.code(), Some(77), "{out:?}");
    assert!(text(&out.stderr).contains("450 4.7.1"), "{out:?}");
    assert!(customer.mailbox_of("home.test", "carol").is_empty(), "nothing at all is sent");
    assert_eq!(fetch(&customer, &provider, &["@home.test"]).status.code(), Some(64));
}

#[test]
fn logins_are_made_with_the_right_password_from_a_file_of_ones_own() {
    let (provider, customer) = (provider(), customer());
    send(&provider, &["carol@home.test"], "kept");
    let file = customer.path("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let out = fetch(&customer, &provider, &[]);
    assert_eq!(out.status.code(), Some(77), "{out:?}");
    assert!(!text(&out.stderr).contains("wrong"), "{out:?}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let out = fetch(&customer, &provider, &[]);
    assert!(out.status.code() == Some(77) && text(&out.stderr).contains("chmod 600"), "{out:?}");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(fetch(&customer, &provider, &[]).status.code(), Some(66));
    assert_eq!(provider.queued().len(), 1);
    assert!(!provider.log().contains("demo"));
}

/// A customer with another program: in clear on this host, with a server that offers STARTTLS behind the login.
#[test]
fn the_turned_connection_takes_any_server() {
    let provider = provider();
    provider.set("auth.plaintext_without_tls", "loopback");
    provider.ok("emd", &["reload"]);
    send(&provider, &["carol@home.test"], "kept");
    let mut client = Client::connect(provider.address("odmr"));
    client.reply();
    wait_until("a login in clear", || {
        client.ask("EHLO home.test").contains("AUTH ") || {
            client = Client::connect(provider.address("odmr"));
            client.reply();
            false
        }
    });
    assert!(client.ask("AUTH PLAIN AGdhdGV3YXlAZXhhbXBsZS50ZXN0AGRlbW8=").starts_with("235"));
    assert!(client.ask("ATRN home.test").starts_with("250 2.0.0"));
    client.send("220 home.test here\r\n");
    assert_eq!(client.line(), "EHLO mail.example.test");
    client.send("250-home.test\r\n250-STARTTLS\r\n250 8BITMIME\r\n");
    let mail = client.line();
    assert!(mail.starts_with("MAIL FROM:<alice@example.test>"), "no STARTTLS: {mail}");
    client.send("250 ok\r\n");
    assert_eq!(client.line(), "RCPT TO:<carol@home.test>");
    client.send("250 ok\r\n");
    assert_eq!(client.line(), "DATA");
    client.send("354 go on\r\n");
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != ".") {
        lines.push(client.line());
    }
    assert!(lines.contains(&"Subject: kept".to_string()), "{lines:?}");
    client.send("250 ok\r\n");
    assert_eq!(client.line(), "QUIT");
    client.send("221 bye\r\n");
    assert_eq!(client.rest(), "");
    wait_until("an empty queue", || provider.queued().is_empty());
}

#[test]
fn a_customer_that_leaves_in_the_middle_gets_its_mail_the_next_time() {
    let (provider, customer) = (provider(), customer());
    provider.set("auth.plaintext_without_tls", "always");
    provider.ok("emd", &["restart"]);
    send(&provider, &["carol@home.test"], "kept");
    for words in ["", "220 x\r\n", "220 x\r\n250 x\r\n", "220 x\r\n250 x\r\n250 ok\r\n250 ok\r\n354 go\r\n"] {
        let mut client = Client::connect(provider.address("odmr"));
        client.reply();
        client.ask("EHLO home.test");
        assert!(client.ask("AUTH PLAIN AGdhdGV3YXlAZXhhbXBsZS50ZXN0AGRlbW8=").starts_with("235"));
        assert!(client.ask("ATRN").starts_with("250"));
        client.send(words);
        drop(client);
        let claimed = || provider.ok("emqueue", &["list", "--json"]).contains("\"state\":\"deferred\"");
        wait_until("the outcome", claimed);
    }
    wait_until("the mail", || text(&fetch(&customer, &provider, &[]).stdout) == "1 message fetched\n");
    assert_eq!(customer.mailbox_of("home.test", "carol").len(), 1);
}

#[test]
fn etrn_has_another_host_start_its_queue() {
    let (provider, asking) = (World::new(), World::new());
    let sink = Sink::start(|_| None);
    std::fs::write(provider.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
    provider.start();
    let place = provider.address("smtp").to_string();
    let etrn = |words: &[&str]| asking.run("emqueue", &[&["etrn", place.as_str()][..], words].concat());
    let out = etrn(&["remote.test"]);
    assert!(out.status.code() == Some(77) && text(&out.stderr).contains("does not offer ETRN"), "{out:?}");
    provider.set("smtp.etrn", "127.0.0.0/8");
    provider.ok("emd", &["reload"]);
    let out = provider.run_with("emsend", &["-f", "alice@example.test", "x@remote.test"], b"Subject: s\n\ny\n");
    assert!(out.status.success(), "{out:?}");
    wait_until("a first attempt", || provider.ok("emqueue", &["list"]).contains("connect: "));
    std::fs::write(provider.path("etc/routes"), sink.route("remote.test")).unwrap();
    wait_until("the offer", || etrn(&[]).status.success());
    // All of ours: none of them waits there.
    assert_eq!(text(&etrn(&[]).stdout), "example.test: 251 2.0.0 No messages waiting\n");
    wait_until("the text", || {
        let out = etrn(&["@remote.test"]);
        assert!(out.status.success(), "{out:?}");
        sink.texts().len() == 1
    });
    assert_eq!(etrn(&["not a domain"]).status.code(), Some(64));
    assert_eq!(asking.run("emqueue", &["etrn", "127.0.0.1:1"]).status.code(), Some(75));
}

#[test]
fn what_is_kept_for_others_passes_the_checks_of_the_access_table() {
    let (provider, customer) = (provider(), customer());
    let rows = "From:spam@bad.test REJECT\nTo:no@home.test ERROR:5.1.1:550 nobody of that name\nFrom:odd.test QUARANTINE:odd\n";
    std::fs::write(provider.path("etc/access"), rows).unwrap();
    let mut client = Client::connect(provider.address("smtp"));
    client.reply();
    assert!(client.ask("EHLO client.test").starts_with("250"));
    assert!(client.ask("MAIL FROM:<spam@bad.test>").starts_with("550 5.7.1"), "refused at once, as for our own");
    assert!(client.ask("MAIL FROM:<friend@good.test>").starts_with("250"));
    assert!(client.ask("RCPT TO:<no@home.test>").starts_with("550 5.1.1 nobody"));
    assert!(client.ask("RCPT TO:<carol@home.test>").starts_with("250"));
    assert!(client.ask("RCPT TO:<x@elsewhere.test>").starts_with("550 5.7.1"), "no relay for others");
    assert!(client.ask("RSET").starts_with("250"));
    // Where the checks wait for the recipient, they are made there.
    std::fs::write(provider.path("etc/access"), format!("Spam:friend@home.test FRIEND\nConnect:127 REJECT\n{rows}"))
        .unwrap();
    wait_until("the new table", || {
        client.ask("RSET");
        client.ask("MAIL FROM:<spam@bad.test>").starts_with("250")
    });
    assert!(client.ask("RCPT TO:<carol@home.test>").starts_with("550 5.7.1"));
    assert!(client.ask("RCPT TO:<friend@home.test>").starts_with("250"));
    assert!(client.ask("DATA").starts_with("354"));
    assert!(client.ask("Subject: kept\r\n\r\nx\r\n.").starts_with("250"));
    let out = fetch(&customer, &provider, &["home.test"]);
    assert!(text(&out.stdout).contains("nothing waits") || out.status.success(), "{out:?}");
}
