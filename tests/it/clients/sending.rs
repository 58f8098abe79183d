//! Clients that send by SMTP, submission and LMTP.

use super::*;
use crate::world::has;

/// One delivered copy for `user`, with this body; gives the text.
fn arrived(world: &World, user: &str, count: usize) -> String {
    let texts = world.await_mail(user, count);
    let text = texts.last().unwrap().clone();
    assert_eq!(body_of(&text), body(), "{text}");
    text
}

#[test]
fn swaks() {
    if !has("swaks") {
        return;
    }
    let world = World::new();
    world.start();
    // swaks adds a line end.
    let data = write(&world, "letter", letter("alice@example.test", "swaks").strip_suffix('\n').unwrap());
    let data = format!("@{}", data.display());
    let send = |to: &str, extra: &[&str]| {
        let mut command = client(&world, "swaks");
        command.args(["--server", "127.0.0.1", "--from", "out@side.test", "--to", to, "--data", &data]);
        succeed(command.args(extra), b"")
    };
    let mut count = 0;
    let mut check = |extra: &[&str], with: &str| {
        send("alice@example.test", extra);
        count += 1;
        let text = arrived(&world, "alice", count);
        assert!(came_with(&text, with), "{with}: {text}");
    };
    check(&["--port", &world.port("smtp")], "ESMTP");
    check(&["--port", &world.port("smtp"), "--protocol", "SMTP"], "SMTP");
    check(&["--port", &world.port("smtp"), "--pipeline"], "ESMTP");
    check(&["--port", &world.port("smtp"), "-tls"], "ESMTPS");
    check(&["--port", &world.port("lmtp"), "--protocol", "LMTP"], "LMTP");
    for mechanism in ["PLAIN", "LOGIN"] {
        let login = ["--auth", mechanism, "--auth-user", "alice@example.test", "--auth-password", "demo"];
        check(&[&["--port", &world.port("submission"), "-tls"][..], &login].concat(), "ESMTPSA");
        check(&[&["--port", &world.port("submissions"), "-tlsc"][..], &login].concat(), "ESMTPSA");
    }
    let login = ["--auth", "CRAM-MD5", "--auth-user", "bob@example.test", "--auth-password", "demo"];
    check(&[&["--port", &world.port("submission"), "-tls"][..], &login].concat(), "ESMTPSA");

    // What must not work: a stranger's relaying, a wrong password, submission without a login.
    let refused = |extra: &[&str], to: &str, code: &str| {
        let mut command = client(&world, "swaks");
        command.args(["--server", "127.0.0.1", "--from", "out@side.test", "--to", to, "--data", &data]).args(extra);
        let out = crate::world::feed(&mut command, b"");
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && said.contains(code), "{extra:?}: {said}");
    };
    refused(&["--port", &world.port("smtp")], "somebody@elsewhere.test", "<** 550 5.7.1");
    refused(&["--port", &world.port("smtp")], "nobody@example.test", "<** 550 5.1.1");
    refused(&["--port", &world.port("submission"), "-tls"], "alice@example.test", "<~* 530 5.7.0");
    let wrong = ["--auth", "PLAIN", "--auth-user", "alice@example.test", "--auth-password", "wrong"];
    let port = world.port("submissions");
    refused(&[&["--port", port.as_str(), "-tlsc"][..], &wrong].concat(), "alice@example.test", "<~* 535 5.7.8");
}

#[test]
fn curl_sends() {
    if !has("curl") {
        return;
    }
    let world = World::new();
    world.start();
    let text = letter("alice@example.test", "curl").replace('\n', "\r\n");
    let letter = write(&world, "letter", &text).display().to_string();
    let urls = [
        (format!("smtp://127.0.0.1:{}/client.test", world.port("smtp")), vec![], "ESMTP"),
        (format!("smtp://127.0.0.1:{}/client.test", world.port("smtp")), vec!["--ssl-reqd"], "ESMTPS"),
        (format!("smtp://127.0.0.1:{}/client.test", world.port("submission")), vec!["--ssl-reqd", "-u"], "ESMTPSA"),
        (format!("smtps://127.0.0.1:{}/client.test", world.port("submissions")), vec!["-u"], "ESMTPSA"),
    ];
    for (count, (url, extra, with)) in urls.iter().enumerate() {
        let mut command = client(&world, "curl");
        command.args(["-sS", "-k", url, "--mail-from", "out@side.test", "--mail-rcpt", "alice@example.test"]);
        command.args(["-T", &letter]).args(extra);
        if extra.contains(&"-u") {
            command.args(["alice@example.test:demo", "--login-options", "AUTH=PLAIN"]);
        }
        succeed(&mut command, b"");
        let text = arrived(&world, "alice", count + 1);
        assert!(came_with(&text, with), "{text}");
    }
    let mut command = client(&world, "curl");
    command.args(["-sS", &urls[0].0, "--mail-from", "out@side.test", "--mail-rcpt", "x@elsewhere.test", "-T", &letter]);
    let out = feed(&mut command, b"");
    assert_eq!(out.status.code(), Some(55), "{out:?}");
}

#[test]
fn msmtp() {
    if !has("msmtp") {
        return;
    }
    let world = World::new();
    world.start();
    let mut config =
        String::from("defaults\nhost 127.0.0.1\ntls_certcheck off\nfrom out@side.test\nlogfile -\npassword demo\n");
    let accounts = [
        ("plain", "smtp", "auth off\ntls off", "ESMTP"),
        ("starttls", "submission", "auth plain\nuser alice@example.test\ntls on", "ESMTPSA"),
        ("login", "submission", "auth login\nuser alice@example.test\ntls on", "ESMTPSA"),
        ("tls", "submissions", "auth scram-sha-256\nuser alice@example.test\ntls on\ntls_starttls off", "ESMTPSA"),
        ("cram", "submissions", "auth cram-md5\nuser bob@example.test\ntls on\ntls_starttls off", "ESMTPSA"),
    ];
    for (name, service, lines, _) in accounts {
        config.push_str(&format!("account {name}\nport {}\n{lines}\n", world.port(service)));
    }
    let config = write(&world, "msmtprc", &config);
    for (count, (name, _, _, with)) in accounts.iter().enumerate() {
        let mut command = client(&world, "msmtp");
        command.arg("-C").arg(&config).args(["-a", name, "alice@example.test"]);
        succeed(&mut command, letter("alice@example.test", name).as_bytes());
        let text = arrived(&world, "alice", count + 1);
        assert!(came_with(&text, with) && text.contains(&format!("Subject: {name}\n")), "{text}");
    }
}

#[test]
fn smtplib() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    world.start();
    let letter = write(&world, "letter", &letter("alice@example.test, bob@example.test", "smtplib"));
    let script = r#"
import smtplib, ssl, sys
smtp, submission, submissions, lmtp, letter = sys.argv[1:]
text = open(letter, "rb").read().replace(b"\n", b"\r\n")
context = ssl._create_unverified_context()
both = ["alice@example.test", "bob@example.test"]
with smtplib.SMTP("127.0.0.1", int(smtp)) as s:
    s.ehlo()
    assert all(s.has_extn(e) for e in ("size", "8bitmime", "smtputf8", "pipelining", "chunking", "dsn", "enhancedstatuscodes", "starttls", "limits")), s.esmtp_features
    assert s.sendmail("out@side.test", both, text, mail_options=["BODY=8BITMIME"]) == {}
    refused = s.sendmail("out@side.test", both + ["nobody@example.test"], text)
    assert list(refused) == ["nobody@example.test"] and refused["nobody@example.test"][0] == 550, refused
with smtplib.SMTP("127.0.0.1", int(submission)) as s:
    s.starttls(context=context)
    s.ehlo()
    s.user, s.password = "bob@example.test", "demo"
    assert s.auth("CRAM-MD5", s.auth_cram_md5)[0] == 235
    assert s.sendmail("bob@example.test", both, text) == {}
with smtplib.SMTP_SSL("127.0.0.1", int(submissions), context=context) as s:
    try:
        s.login("alice@example.test", "wrong")
        raise SystemExit("a wrong password was taken")
    except smtplib.SMTPAuthenticationError as e:
        assert e.smtp_code == 535, e
    s.login("alice@example.test", "demo")
    assert s.sendmail("alice@example.test", both, text) == {}
with smtplib.LMTP("127.0.0.1", int(lmtp)) as s:
    for to in both:  # smtplib reads one reply after the data, whatever the number of recipients
        assert s.sendmail("", [to], text) == {}
"#;
    let ports: Vec<String> =
        ["smtp", "submission", "submissions", "lmtp"].iter().map(|service| world.port(service)).collect();
    let mut arguments: Vec<&str> = ports.iter().map(String::as_str).collect();
    let path = letter.display().to_string();
    arguments.push(&path);
    python(&world, script, &arguments);
    for user in ["alice", "bob"] {
        for text in world.await_mail(user, 5) {
            assert_eq!(body_of(&text), body(), "{text}");
        }
    }
}

#[test]
fn s_nail_and_mutt_by_submission() {
    let world = World::new();
    world.start();
    let mut count = 0;
    let port = world.port("submission");
    if has("s-nail") {
        let mut command = client(&world, "s-nail");
        let url = format!("mta=submission://alice%40example.test:demo@127.0.0.1:{port}");
        command.args(["-:/", "-Sv15-compat", "-Stls-verify=ignore", "-Ssmtp-use-starttls"]);
        command.args(["-Ssmtp-config=plain,starttls", "-Sfrom=alice@example.test", "-Ssendwait", "-S", &url]);
        succeed(command.args(["-s", "s-nail", "bob@example.test"]), b"hello\n.dot\n");
        count += 1;
        let text = world.await_mail("bob", count).pop().unwrap();
        assert!(text.contains("Subject: s-nail\n") && body_of(&text) == "hello\n.dot\n", "{text}");
        assert!(came_with(&text, "ESMTPSA"), "{text}");
    }
    if has("mutt") {
        // mutt keeps a question about the self-signed certificate to itself when it has no terminal: submission on loopback, as a
        // webmail server beside us would.
        let mut config = format!("set smtp_url=\"smtp://127.0.0.1:{}\"\n", world.port("smtp"));
        config.push_str("set ssl_starttls=no\nset ssl_force_tls=no\nset from=alice@example.test\nset copy=no\n");
        let config = write(&world, "muttrc", &config);
        let mut command = client(&world, "mutt");
        command.arg("-n").arg("-F").arg(&config).args(["-s", "mutt", "--", "bob@example.test"]);
        succeed(&mut command, b"hello\n.dot\n");
        count += 1;
        let text = world.await_mail("bob", count).pop().unwrap();
        assert!(text.contains("Subject: mutt\n") && body_of(&text) == "hello\n.dot\n", "{text}");
    }
}
