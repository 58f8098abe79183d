//! Clients that fetch by POP3.

use super::*;
use crate::world::{feed, has};

/// A site with three letters for bob, and their texts as they lie in the mailbox.
fn with_letters() -> (World, Vec<String>) {
    let world = World::new();
    world.start();
    for subject in ["one", "two", "three"] {
        let out = world.run_with("emsend", &["-i", "bob@example.test"], letter("bob@example.test", subject).as_bytes());
        assert!(out.status.success(), "{out:?}");
    }
    let texts = world.await_mail("bob", 3);
    (world, texts)
}

/// The files of a Maildir, by their texts.
fn maildir(world: &World, name: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for sub in ["new", "cur"] {
        let Ok(entries) = std::fs::read_dir(world.path(name).join(sub)) else { continue };
        texts.extend(entries.map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap()));
    }
    texts
}

fn make_maildir(world: &World, name: &str) -> String {
    for sub in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(world.path(name).join(sub)).unwrap();
    }
    format!("{}/", world.path(name).display())
}

#[test]
fn curl_fetches() {
    if !has("curl") {
        return;
    }
    let (world, texts) = with_letters();
    let get = |url: &str, extra: &[&str]| {
        let mut command = client(&world, "curl");
        command.args(["-sS", "-k", "-u", "bob@example.test:demo", url]).args(extra);
        let out = feed(&mut command, b"");
        assert!(out.status.success(), "{url} {extra:?}: {out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let clear = format!("pop3://127.0.0.1:{}/", world.port("pop3"));
    let tls = format!("pop3s://127.0.0.1:{}/", world.port("pop3s"));
    let extras: [(&str, &[&str]); 5] = [
        (&clear, &["--login-options", "AUTH=+APOP"]),
        (&clear, &["--login-options", "AUTH=CRAM-MD5"]),
        (&clear, &["--ssl-reqd", "--login-options", "AUTH=PLAIN"]),
        (&tls, &["--login-options", "AUTH=LOGIN"]),
        (&tls, &[]),
    ];
    for (base, extra) in extras {
        for (number, text) in texts.iter().enumerate() {
            let got = get(&format!("{base}{}", number + 1), extra);
            assert_eq!(got, text.replace('\n', "\r\n"), "{base} {extra:?}, byte for byte");
        }
        let list = get(base, extra);
        let sizes: Vec<String> =
            texts.iter().enumerate().map(|(i, t)| format!("{} {}", i + 1, t.replace('\n', "\r\n").len())).collect();
        assert_eq!(list.lines().collect::<Vec<_>>(), sizes, "LIST says the octets that are sent");
    }
    get(&format!("{tls}2"), &["-X", "DELE", "--head"]);
    assert_eq!(world.mailbox("bob"), [texts[0].clone(), texts[2].clone()]);
}

#[test]
fn poplib() {
    if !has("python3") {
        return;
    }
    let (world, texts) = with_letters();
    let script = r#"
import poplib, ssl, sys
clear, tls = map(int, sys.argv[1:])
context = ssl._create_unverified_context()
def all_of(p):
    return [b"\n".join(p.retr(n + 1)[1]) + b"\n" for n in range(p.stat()[0])]
p = poplib.POP3("127.0.0.1", clear)
capabilities = p.capa()
assert {"TOP", "UIDL", "STLS", "USER", "SASL", "PIPELINING", "UTF8", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE"} <= set(capabilities), capabilities
p.apop("bob@example.test", "demo")
first = all_of(p)
ids = p.uidl()[1]
q = poplib.POP3("127.0.0.1", clear)
try:
    q.user("bob@example.test"); q.pass_("demo")
    raise SystemExit("two sessions in one mailbox")
except poplib.error_proto as e:
    assert b"[IN-USE]" in e.args[0], e
q.close()
p.dele(1)
p.close()            # no QUIT: nothing is deleted
p = poplib.POP3("127.0.0.1", clear)
p.stls(context)
p.utf8()
p.user("bob"); p.pass_("demo")
assert p.uidl()[1] == ids and all_of(p) == first
head = p.top(1, 2)[1]
assert head[-3:] == [b"", b"first", b"."], head[-3:]
p.rset(); p.noop(); p.quit()
p = poplib.POP3_SSL("127.0.0.1", tls, context=context)
try:
    p.user("bob@example.test"); p.pass_("wrong")
    raise SystemExit("a wrong password was taken")
except poplib.error_proto as e:
    assert b"[AUTH]" in e.args[0], e
p.user("bob@example.test"); p.pass_("demo")
assert all_of(p) == first
for n in range(3): p.dele(n + 1)
p.quit()
sys.stdout.buffer.write(b"".join(first))
"#;
    let said = python(&world, script, &[&world.port("pop3"), &world.port("pop3s")]);
    assert_eq!(said, texts.concat(), "byte for byte");
    assert!(world.mailbox("bob").is_empty());
}

#[test]
fn fetchmail() {
    if !has("fetchmail") {
        return;
    }
    for (how, options) in [
        ("pop3s", "ssl sslproto 'TLS1.2+' no sslcertck"),
        ("pop3", "sslproto 'TLS1.2+' no sslcertck"),
        ("pop3", "sslproto ''"),
    ] {
        let (world, texts) = with_letters();
        let folder = world.path("fetched");
        let deliver = format!("cat > {}.$$", folder.display());
        let deliver = write(&world, "deliver.sh", &format!("#!/bin/sh\n{deliver}\n")).display().to_string();
        let config = format!(
            "poll 127.0.0.1 protocol pop3 port {} user 'bob@example.test' password 'demo' {options} \
             mda '/bin/sh {deliver}' no rewrite pass8bits fetchall\n",
            world.port(how)
        );
        let config = write(&world, "fetchmailrc", &config);
        let mut command = client(&world, "fetchmail");
        command.env("FETCHMAILHOME", world.path("home")).arg("-f").arg(&config).args(["--nodetach", "--nosyslog"]);
        succeed(command.args(["--invisible", "--idfile"]).arg(world.path("fetchids")), b"");
        let mut got: Vec<String> = std::fs::read_dir(world.root())
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.display().to_string().contains("/fetched."))
            .map(|p| std::fs::read_to_string(p).unwrap())
            .collect();
        let by_subject =
            |text: &String| ["one", "two", "three"].iter().position(|s| text.contains(&format!("Subject: {s}\n")));
        got.sort_by_key(by_subject);
        assert_eq!(got.len(), 3, "{options}");
        for (got, text) in got.iter().zip(&texts) {
            // fetchmail writes its own opinion of the header; the body is ours.
            assert_eq!(body_of(got), body_of(text), "{options}");
        }
        assert!(world.mailbox("bob").is_empty(), "fetched mail is deleted");
    }
}

#[test]
fn getmail() {
    if !has("getmail") {
        return;
    }
    for (kind, service) in [("SimplePOP3Retriever", "pop3"), ("SimplePOP3SSLRetriever", "pop3s")] {
        let (world, texts) = with_letters();
        make_maildir(&world, "got");
        // As root getmail delivers by a program only, and misses the end of one that is over before it waits for it.
        let deliver = format!("#!/bin/sh\nsleep 0.3\ncat > {}/new/$$\n", world.path("got").display());
        let deliver = write(&world, "deliver.sh", &deliver).display().to_string();
        let config = format!(
            "[retriever]\ntype = {kind}\nserver = 127.0.0.1\nport = {}\nusername = bob@example.test\npassword = demo\n\
             [destination]\ntype = MDA_external\npath = /bin/sh\narguments = ('{deliver}',)\nallow_root_commands = true\n\
             [options]\nread_all = true\ndelete = true\ndelivered_to = false\nreceived = false\nverbose = 0\n",
            world.port(service)
        );
        let config = write(&world, "getmailrc", &config);
        let mut command = client(&world, "getmail");
        succeed(
            command
                .arg(format!("--getmaildir={}", world.root().display()))
                .arg(format!("--rcfile={}", config.display())),
            b"",
        );
        let got = maildir(&world, "got");
        assert_eq!(got.len(), 3);
        for text in &texts {
            assert!(got.iter().any(|g| body_of(g) == body_of(text) && same_header(g, text)), "{kind}: {got:#?}");
        }
        assert!(world.mailbox("bob").is_empty());
    }
}

/// Every line of the header is there.
fn same_header(got: &str, text: &str) -> bool {
    let head = |t: &str| t.split_once("\n\n").map_or(String::new(), |(head, _)| head.to_string());
    let got = head(got);
    // getmail keeps Return-Path for the destination's own.
    head(text).lines().filter(|l| !l.starts_with("Return-Path:")).all(|line| got.contains(line))
}

#[test]
fn mpop() {
    if !has("mpop") {
        return;
    }
    for (service, auth, tls) in [
        ("pop3", "apop", "off"),
        ("pop3", "user", "on\ntls_starttls on"),
        ("pop3s", "scram-sha-256", "on\ntls_starttls off"),
        ("pop3s", "plain", "on\ntls_starttls off"),
    ] {
        let (world, texts) = with_letters();
        let folder = make_maildir(&world, "got");
        let config = format!(
            "defaults\ntls_certcheck off\nreceived_header off\nuidls_file {}\naccount a\nhost 127.0.0.1\nport {}\n\
             user bob@example.test\npassword demo\nauth {auth}\ntls {tls}\ndelivery maildir {folder}\nkeep off\n",
            world.path("uidls").display(),
            world.port(service)
        );
        let config = write(&world, "mpoprc", &config);
        let mut command = client(&world, "mpop");
        succeed(command.arg("-C").arg(&config).args(["-Q", "a"]), b"");
        let got = maildir(&world, "got");
        assert_eq!(got.len(), 3, "{auth}");
        for text in &texts {
            assert!(got.contains(text), "{auth}: byte for byte: {got:#?}");
        }
        assert!(world.mailbox("bob").is_empty());
    }
}
