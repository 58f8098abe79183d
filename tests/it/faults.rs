//! Full disks, broken disks, no more descriptors: a temporary answer, and nothing half done.

use super::world::{World, feed};

#[test]
fn every_operation_that_fails_gets_a_4xx_or_nothing_is_lost() {
    for (kind, to) in [
        ("ENOSPC", "alice"),
        ("EIO", "alice"),
        ("EROFS", "alice"),
        ("EMFILE", "alice"),
        ("ENOSPC", "out"),
        ("EIO", "out"),
    ] {
        for n in 1..60 {
            let world = World::new();
            std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
            std::fs::write(world.path("etc/aliases"), "out: x@remote.test\n").unwrap();
            // The first session of a site makes its certificate; those operations are not the ones to fail.
            assert!(world.run_with("emsmtp", &[], b"QUIT\r\n").status.success());
            let mut command = world.command("emsmtp");
            command.env("EM_FAULT", format!("{kind}:{n}"));
            let talk = format!(
                "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{to}@example.test>\r\nDATA\r\nSubject: f\r\n\r\nb\r\n.\r\nNOOP\r\nQUIT\r\n"
            );
            let out = feed(&mut command, talk.as_bytes());
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let replies: Vec<&str> = text.lines().rev().take(3).collect();
            assert!(
                replies[0].starts_with("221") && replies[1].starts_with("250"),
                "{kind}:{n}: the session goes on: {text}"
            );
            let is_ok = replies[2].starts_with("250 2.0.0 Ok: ");
            assert!(is_ok || replies[2].starts_with("45"), "{kind}:{n}: {}", replies[2]);
            let arrived = world.mailbox("alice").len() + world.queued().len();
            assert_eq!(arrived, usize::from(is_ok), "{kind}:{n}: acknowledged and lost, or refused and kept");
            if is_ok {
                assert!(n > 4, "{kind} never struck");
                break;
            }
            assert!(n < 59);
        }
    }
}

#[test]
fn a_full_disk_is_452_and_exit_75() {
    let world = World::new();
    let talk =
        b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: f\r\n\r\nb\r\n.\r\nQUIT\r\n";
    let mut command = world.command("emsmtp");
    command.env("EM_FAULT", "ENOSPC:1+");
    let out = feed(&mut command, talk);
    assert!(String::from_utf8_lossy(&out.stdout).contains("\r\n452 4.3.1 "), "{out:?}");
    for (program, arguments) in [("emsend", vec!["alice@example.test"]), ("emlocal", vec!["-d", "alice@example.test"])]
    {
        let mut command = world.command(program);
        command.args(arguments).env("EM_FAULT", "ENOSPC:1+");
        let out = feed(&mut command, b"Subject: x\n\ny\n");
        assert_eq!(out.status.code(), Some(75), "{program}: {out:?}");
        assert!(world.mailbox("alice").is_empty());
    }
}

#[test]
fn a_quota_is_kept() {
    let world = World::new();
    world.ok("emuser", &["modify", "alice@example.test", "--quota", "2K"]);
    let big = format!("Subject: x\n\n{}\n", "x".repeat(1500));
    assert!(world.run_with("emlocal", &["-d", "alice@example.test"], big.as_bytes()).status.success());
    assert_eq!(world.run_with("emlocal", &["-d", "alice@example.test"], big.as_bytes()).status.code(), Some(75));
    assert_eq!(world.run_with("emlocal", &["-q", "-d", "alice@example.test"], big.as_bytes()).status.code(), Some(73));
    let out = feed(
        &mut world.command("emsmtp"),
        b"EHLO x\r\nMAIL FROM:<> SIZE=1500\r\nRCPT TO:<alice@example.test>\r\nQUIT\r\n",
    );
    assert!(String::from_utf8_lossy(&out.stdout).contains("452 4.2.2 Mailbox full"));
}

#[test]
fn connections_are_limited_by_client_and_idle_ones_end() {
    let world = World::new();
    world.set("smtp.connections_per_client", "2");
    world.set("smtp.timeout_command", "1s");
    world.start();
    let connect = || {
        let mut client = super::wire::Client::connect(world.address("smtp"));
        (client.reply(), client)
    };
    let ((first, _a), (second, b), (third, _)) = (connect(), connect(), connect());
    assert!(first.starts_with("220") && second.starts_with("220") && third.starts_with("421 4.7.0"), "{third}");
    assert!(b.rest().starts_with("421 4.4.2"));
    super::world::wait_until("room again", || connect().0.starts_with("220"));
}

#[test]
fn a_balancer_and_a_front_end_may_name_the_client() {
    let world = World::new();
    world.set("smtp.proxy_from", "127.0.0.1");
    world.set("smtp.xclient_from", "192.0.2.0/24");
    world.set("smtp.etrn", "198.51.100.0/24");
    world.start();
    let mut client = super::wire::Client::connect(world.address("smtp"));
    client.send("PROXY TCP4 192.0.2.1 127.0.0.1 4000 25\r\n");
    assert!(client.reply().starts_with("220"));
    assert!(client.ask("XCLIENT ADDR=198.51.100.7 HELO=front.test").starts_with("220"));
    assert!(client.ask("EHLO x").starts_with("250"));
    assert!(client.ask("ETRN example.org").starts_with("251"));
    client.ask("MAIL FROM:<>");
    client.ask("RCPT TO:<alice@example.test>");
    client.ask("DATA");
    assert!(client.ask("Subject: x\r\n\r\ny\r\n.").starts_with("250"));
    let text = &world.await_mail("alice", 1)[0];
    assert!(text.contains("([198.51.100.7])"), "{text}");
    let mut liar = super::wire::Client::connect(world.address("smtp"));
    liar.send("EHLO x\r\n");
    assert_eq!(liar.rest(), "", "no header, no service");
}

#[test]
fn limits_and_loops() {
    let world = World::new();
    world.set("smtp.message_size", "10K");
    world.set("smtp.header_size", "2K");
    world.set("smtp.hops", "5");
    let send = |text: &str| {
        let talk = format!("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n{text}\r\n.\r\nQUIT\r\n");
        let out = feed(&mut world.command("emsmtp"), talk.as_bytes());
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.lines().rev().nth(1).unwrap().to_string()
    };
    let line = format!("{}\r\n", "x".repeat(70));
    assert!(send(&format!("Subject: x\r\n\r\n{}", line.repeat(200))).starts_with("552 5.3.4"));
    assert!(send(&format!("Subject: x\r\n{}\r\nb", format!(" {line}").repeat(40))).starts_with("552 5.3.4"));
    assert!(send(&format!("{}\r\nb", "Received: by x\r\n".repeat(6))).starts_with("554 5.4.6"));
    assert!(send("Delivered-To: alice@example.test\r\n\r\nb").starts_with("554 5.4.6"));
    assert!(send("Subject: fine\r\n\r\nb").starts_with("250"));
}
