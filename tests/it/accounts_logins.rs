//! Who may log in from where with which password, and what a new password must be.

use super::wire::Client;
use super::world::World;

/// A POP3 login; the last reply.
fn pop3(world: &World, user: &str, password: &str) -> String {
    let mut client = Client::connect(world.address("pop3"));
    client.line();
    client.send(&format!("USER {user}\r\nPASS {password}\r\n"));
    client.line();
    client.line()
}

/// A POP3 login by SASL PLAIN.
fn pop3_plain(world: &World, user: &str, password: &str) -> String {
    let mut client = Client::connect(world.address("pop3"));
    client.line();
    let text = encodify::base64::STANDARD.encode(format!("\0{user}\0{password}").as_bytes());
    client.send(&format!("AUTH PLAIN {text}\r\n"));
    client.line()
}

/// An IMAP login; the tagged reply.
fn imap(world: &World, user: &str, password: &str) -> String {
    let mut client = Client::connect(world.address("imap"));
    client.line();
    client.send(&format!("a LOGIN {user} \"{password}\"\r\n"));
    client.line()
}

fn submission(world: &World, user: &str, password: &str) -> String {
    let mut client = Client::connect(world.address("submission"));
    client.reply();
    client.ask("EHLO client.test");
    let text = encodify::base64::STANDARD.encode(format!("\0{user}\0{password}").as_bytes());
    client.ask(&format!("AUTH PLAIN {text}"))
}

/// A change of password; the reply to each line.
fn poppass(world: &World, lines: &[&str]) -> Vec<String> {
    let mut client = Client::connect(world.address("poppass"));
    client.line();
    let mut ask = |line: &&str| {
        client.send(&format!("{line}\r\n"));
        client.line()
    };
    lines.iter().map(&mut ask).collect()
}

fn world() -> World {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "always");
    world.start();
    world
}

#[test]
fn app_passwords_open_what_they_are_for() {
    let world = world();
    let phone = world.ok("emuser", &["app-password", "alice", "add", "phone", "--services", "imap,submission"]);
    let phone = phone.trim();
    let any = world.ok("emuser", &["app-password", "alice", "add", "tablet"]);
    let any = any.trim();
    assert!(!std::fs::read_to_string(world.path("etc/users")).unwrap().contains(phone), "never stored in clear");
    assert_eq!(world.ok("emuser", &["app-password", "alice", "list"]), "phone imap,submission\ntablet all\n");
    assert!(imap(&world, "alice", phone).starts_with("a OK"));
    assert!(submission(&world, "alice", &phone.replace('-', "")).starts_with("235"));
    assert!(pop3(&world, "alice", phone).starts_with("-ERR"));
    assert!(pop3(&world, "alice", any).starts_with("+OK"));
    assert!(pop3_plain(&world, "alice@example.test", any).starts_with("+OK"));
    assert!(imap(&world, "bob", any).starts_with("a NO"));
    assert!(imap(&world, "alice", "demo").starts_with("a OK"), "the account's own password goes on");
    let changed = poppass(&world, &["USER alice", &format!("PASS {any}")]);
    assert!(changed[1].starts_with("500"), "{changed:?}");
    world.ok("emuser", &["app-password", "alice", "remove", "tablet"]);
    assert!(pop3(&world, "alice", any).starts_with("-ERR"));
    for (arguments, code) in [
        (vec!["alice", "add", "phone"], 73),
        (vec!["alice", "add", "My Phone"], 64),
        (vec!["alice", "add", "x", "--services", "poppass"], 64),
        (vec!["alice", "add", "x", "--services", "telnet"], 64),
        (vec!["alice", "remove", "tablet"], 1),
        (vec!["nobody", "list"], 67),
    ] {
        let out = world.run("emuser", &[&["app-password"], &arguments[..]].concat());
        assert_eq!(out.status.code(), Some(code), "{arguments:?}: {out:?}");
    }
}

#[test]
fn logins_come_from_the_accounts_networks_only() {
    let world = world();
    world.ok("emuser", &["modify", "alice", "--networks", "192.0.2.0/24, 2001:db8::/32"]);
    let (inside, outside) = (imap(&world, "alice", "wrong"), imap(&world, "alice", "demo"));
    assert_eq!(inside, outside, "from elsewhere nobody learns that a password is right");
    assert!(world.log().contains("reason=networks"), "{}", world.log());
    world.ok("emuser", &["modify", "alice", "--networks", "127.0.0.0/8"]);
    assert!(imap(&world, "alice", "demo").starts_with("a OK"));
    world.ok("emuser", &["modify", "alice", "--networks", ""]);
    assert!(pop3(&world, "alice", "demo").starts_with("+OK"));
}

#[test]
fn an_alias_logs_in_to_its_account() {
    let world = world();
    world.ok("emuser", &["modify", "alice", "--aliases", "al"]);
    assert!(imap(&world, "al@example.test", "demo").starts_with("a OK"));
    world.ok("emuser", &["modify", "alice", "--aliases", ""]);
    assert!(imap(&world, "al@example.test", "demo").starts_with("a NO"));
}

#[test]
fn a_password_that_must_be_changed_opens_empass_alone() {
    let world = world();
    assert!(pop3(&world, "alice", "demo").starts_with("+OK"), "also when it is remembered from a login before");
    world.ok("emuser", &["modify", "alice", "--must-change-password", "yes"]);
    for reply in [pop3(&world, "alice", "demo"), imap(&world, "alice", "demo"), submission(&world, "alice", "demo")] {
        assert!(reply.contains("Set a new password first"), "{reply}");
    }
    assert!(!pop3(&world, "alice", "wrong").contains("Set a new"), "others don't learn it");
    let weak = ["password", "short", "alice-2026!", "demo"].map(|new| format!("NEWPASS {new}"));
    let mut lines = vec!["USER alice", "PASS demo"];
    lines.extend(weak.iter().map(String::as_str));
    lines.push("NEWPASS good enough now");
    let said = poppass(&world, &lines);
    for (reply, text) in said[2..].iter().zip([
        "500 the password is one of those that are guessed first",
        "500 the password is too short: 8 characters at least",
        "500 the password has your name in it",
        "500 the password is too short",
        "200 password changed",
    ]) {
        assert!(reply.starts_with(text), "{said:?}");
    }
    assert!(pop3(&world, "alice", "good enough now").starts_with("+OK"));
    let again = poppass(&world, &["USER alice", "PASS good enough now", "NEWPASS good enough now"]);
    assert!(again[2].starts_with("500 the password is the old one"), "{again:?}");
    let out = world.run_with("emuser", &["passwd", "alice", "--password-stdin", "--must-change"], b"first1");
    assert!(out.status.success());
    assert!(world.ok("emuser", &["show", "alice"]).contains("login     waits for a new password\n"));
}

#[test]
fn a_disabled_account_takes_neither_logins_nor_mail() {
    let world = world();
    world.ok("emuser", &["modify", "bob", "--disabled", "yes"]);
    assert!(imap(&world, "bob", "demo").starts_with("a NO"));
    let mut smtp = Client::connect(world.address("smtp"));
    smtp.reply();
    smtp.ask("EHLO x");
    smtp.ask("MAIL FROM:<>");
    let reply = smtp.ask("RCPT TO:<bob@example.test>");
    assert!(reply.starts_with("550 5.2.1 "), "{reply}");
    world.ok("emuser", &["modify", "bob", "--disabled", "no"]);
    assert!(smtp.ask("RCPT TO:<bob@example.test>").starts_with("250"));
    assert!(imap(&world, "bob", "demo").starts_with("a OK"));
}
