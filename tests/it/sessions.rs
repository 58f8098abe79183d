//! Sessions under attack: peers that stall, drip, hide behind TLS, or try address tricks; and what a session may count on.

use super::wire::{Client, Tls};
use super::world::{World, feed, wait_until};
use std::io::Write;
use std::time::Duration;

/// A connection whose reader has hardly any room.
fn tight(address: std::net::SocketAddr) -> std::net::TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

#[test]
fn a_peer_that_reads_nothing_is_left_and_stops_nobody() {
    let world = World::new();
    world.set("smtp.timeout_command", "1s");
    world.set("smtp.commands", "100000");
    world.set("smtp.connections_per_client", "2");
    world.start();
    let mut stuck = tight(world.address("smtp"));
    stuck.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    // Answers that nobody takes: 100,000 times a screenful.
    let _ = stuck.write_all("EHLO x\r\n".repeat(100_000).as_bytes());
    // Both places must be free again, though the peer keeps its socket open.
    wait_until("the stalled connection's end", || {
        let (mut one, mut two) = (Client::connect(world.address("smtp")), Client::connect(world.address("smtp")));
        one.reply().starts_with("220") && two.reply().starts_with("220")
    });
    drop(stuck);
}

#[test]
fn who_is_connected_is_told_when_the_server_ends() {
    let world = World::new();
    world.start();
    let connect = |service: &str| Client::connect(world.address(service));
    let (mut smtp, mut body, mut pop) = (connect("smtp"), connect("lmtp"), connect("pop3"));
    let (mut imap, mut idle, mut sieve) = (connect("imap"), connect("imap"), connect("managesieve"));
    assert!(smtp.reply().starts_with("220") && body.reply().starts_with("220"));
    body.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: half\r\n");
    (0..3).for_each(|_| assert!(body.reply().starts_with("250")));
    assert!(body.reply().starts_with("354"));
    assert!(pop.line().starts_with("+OK") && imap.line().starts_with("* OK") && idle.line().starts_with("* OK"));
    idle.send("a LOGIN alice@example.test demo\r\nb SELECT INBOX\r\nc IDLE\r\n");
    while !idle.line().starts_with("+ ") {}
    while !sieve.line().starts_with("OK") {}
    world.stop();
    assert_eq!(smtp.reply().trim_end(), "421 4.3.2 Shutting down; try again in a moment");
    assert!(body.reply().starts_with("421 4.3.2"));
    assert!(imap.line().starts_with("* BYE the server is shutting down"));
    assert!(idle.line().starts_with("* BYE"));
    assert!(sieve.line().starts_with("BYE (TRYLATER)"));
    // POP3 has no such word, and half a message is none.
    assert_eq!(pop.line(), "");
    assert_eq!(world.mailbox("alice").len(), 0);
}

#[test]
fn a_pop3_reader_that_stops_gives_the_mailbox_back() {
    let world = World::new();
    world.set("pop3.idle", "1s");
    let text = format!("Subject: big\n\n{}", "0123456789abcdef\n".repeat(400_000));
    assert!(world.run_with("emlocal", &["-d", "alice@example.test"], text.as_bytes()).status.success());
    world.start();
    let mut stuck = tight(world.address("pop3"));
    stuck.write_all(b"USER alice@example.test\r\nPASS demo\r\nRETR 1\r\n").unwrap();
    wait_until("the login", || world.log().contains("event=login service=pop3"));
    wait_until("the mailbox", || {
        let mut pop = Client::connect(world.address("pop3"));
        pop.line();
        pop.send("USER alice@example.test\r\nPASS demo\r\n");
        pop.line();
        pop.line().starts_with("+OK")
    });
    drop(stuck);
}

#[test]
fn handshakes_that_never_end_are_counted() {
    let world = World::new();
    world.set("smtp.connections_per_client", "2");
    world.start();
    // The supervisor's own probe of the port may still be counted.
    wait_until("room", || {
        let held: Vec<_> = (0..2).map(|_| Client::connect(world.address("submissions"))).collect();
        let third = Client::connect(world.address("submissions"));
        let is_refused = third.rest().is_empty();
        drop(held);
        is_refused
    });
    let log = world.log();
    assert!(log.contains("event=connection-refused"), "{log}");
}

#[test]
fn a_balancer_may_stand_before_implicit_tls() {
    let world = World::new();
    world.set("smtp.proxy_from", "127.0.0.1");
    world.start();
    let mut tls = Tls::connect(world.address("submissions"), b"PROXY TCP4 192.0.2.1 127.0.0.1 4000 465\r\n");
    tls.start();
    assert!(tls.reply().starts_with("220"));
    assert!(tls.ask("EHLO c").contains("AUTH"));
    assert!(tls.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABkZW1v").starts_with("235"));
    assert!(world.log().contains("ip=192.0.2.1"));
}

#[test]
fn starttls_forgets_and_offers_anew() {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "never");
    world.start();
    let mut tls = Tls::connect(world.address("submission"), b"");
    assert!(tls.reply().starts_with("220"));
    let offer = tls.ask("EHLO before");
    assert!(offer.contains("STARTTLS") && !offer.contains("AUTH"), "{offer}");
    assert!(tls.ask("STARTTLS now").starts_with("501"));
    assert!(tls.ask("STARTTLS").starts_with("220 2.0.0"));
    tls.start();
    assert!(tls.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABkZW1v").starts_with("503"), "EHLO is forgotten");
    let offer = tls.ask("EHLO after");
    assert!(!offer.contains("STARTTLS") && offer.contains("SCRAM-SHA-256-PLUS"), "{offer}");
    assert!(tls.ask("STARTTLS").starts_with("503"));
    assert!(tls.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABkZW1v").starts_with("235"));
    assert!(tls.ask("MAIL FROM:<alice@example.test>").starts_with("250"));

    let mut tls = Tls::connect(world.address("pop3"), b"");
    assert!(tls.line().starts_with("+OK"));
    tls.send("CAPA\r\n");
    let capabilities = tls.lines_to(".");
    assert!(capabilities.contains("\nSTLS\n") && !capabilities.contains("\nUSER\n"), "{capabilities}");
    tls.send("USER alice@example.test\r\n");
    assert!(tls.line().starts_with("-ERR use STLS"));
    tls.send("STLS\r\n");
    assert!(tls.line().starts_with("+OK"));
    tls.start();
    tls.send("CAPA\r\n");
    let capabilities = tls.lines_to(".");
    assert!(!capabilities.contains("\nSTLS\n") && capabilities.contains("\nUSER\n"), "{capabilities}");
    tls.send("STLS\r\nUSER alice@example.test\r\nPASS demo\r\nSTLS\r\n");
    for answer in ["-ERR", "+OK", "+OK", "-ERR"] {
        assert!(tls.line().starts_with(answer));
    }
}

#[test]
fn plaintext_behind_starttls_ends_the_connection() {
    let world = World::new();
    world.start();
    for (service, talk) in [
        ("smtp", "EHLO x\r\nSTARTTLS\r\nMAIL FROM:<evil@e.test>\r\nRCPT TO:<alice@example.test>\r\n"),
        ("pop3", "STLS\r\nUSER alice@example.test\r\n"),
    ] {
        let mut client = Client::connect(world.address(service));
        client.send(talk);
        let rest = client.rest();
        let last = rest.lines().last().unwrap();
        assert!(last.starts_with("220 2.0.0") || last.starts_with("+OK begin TLS"), "{rest}");
    }
    assert_eq!(world.log().matches("event=starttls-injection").count(), 2);
}

#[test]
fn made_up_salts_outlive_the_process_and_do_not_tell_spellings() {
    let world = World::new();
    let salt = |user: &str| {
        let first = encoded(&format!("n,,n={user},r=c"));
        let talk = format!("EHLO c\r\nAUTH SCRAM-SHA-256 {first}\r\n*\r\nQUIT\r\n");
        let out = feed(world.command("emsmtp").args(["--service", "smtp"]), talk.as_bytes());
        let text = String::from_utf8(out.stdout).unwrap();
        let challenge = text.lines().find_map(|l| l.strip_prefix("334 ")).unwrap().to_string();
        let challenge = String::from_utf8(decoded(&challenge)).unwrap();
        challenge.split(',').find(|f| f.starts_with("s=")).unwrap().to_string()
    };
    // A real account, and one that is none: each process, each spelling, one salt.
    for user in ["alice", "nobody"] {
        let spellings = [user.to_string(), user.to_uppercase(), format!("{user}@example.test"), user.to_string()];
        let salts: Vec<String> = spellings.iter().map(|name| salt(name)).collect();
        assert!(salts.iter().all(|s| *s == salts[0]), "{user}: {salts:?}");
    }
    assert_ne!(salt("nobody"), salt("noone"));
}

fn encoded(text: &str) -> String {
    encodify::base64::STANDARD.encode(text)
}

fn decoded(text: &str) -> Vec<u8> {
    encodify::base64::STANDARD.decode(text.as_bytes()).unwrap().to_vec()
}

#[test]
fn lmtp_answers_truly_for_two_ways_to_one_mailbox() {
    let world = World::new();
    std::fs::write(world.path("etc/aliases"), "team: alice\n").unwrap();
    let talk = "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<team@example.test>\r\nRCPT TO:<Alice@example.test>\r\n\
                RCPT TO:<alice@example.test>\r\nDATA\r\nSubject: x\r\n\r\ny\r\n.\r\nQUIT\r\n";
    let run = |fault: Option<&str>| {
        let mut command = world.command("emsmtp");
        command.args(["--service", "lmtp"]);
        if let Some(fault) = fault {
            command.env("EM_FAULT", fault);
        }
        let out = feed(&mut command, talk.as_bytes());
        String::from_utf8(out.stdout)
            .unwrap()
            .lines()
            .rev()
            .skip(1)
            .take(3)
            .map(|l| l[..3].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(Some("ENOSPC:1+")), ["452", "452", "452"], "nothing was delivered, so nobody may be told so");
    assert_eq!(run(None), ["250", "250", "250"]);
    assert_eq!(world.mailbox("alice").len(), 1);
}

#[test]
fn a_full_mailbox_stops_neither_a_list_nor_counts_by_what_the_client_says() {
    let world = World::new();
    std::fs::write(world.path("etc/aliases"), "team: alice, bob\n").unwrap();
    world.ok("emuser", &["modify", "alice@example.test", "--quota", "1K"]);
    let send = |to: &str, size: usize| {
        let text = "x".repeat(60) + "\r\n";
        let talk = format!(
            "EHLO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<{to}@example.test>\r\nDATA\r\nSubject: x\r\n\r\n{}.\r\nQUIT\r\n",
            text.repeat(size / 62)
        );
        let out = feed(&mut world.command("emsmtp"), talk.as_bytes());
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().rev().nth(1).unwrap().to_string()
    };
    assert!(send("alice", 2000).starts_with("452 4.2.2"), "the size was not declared, and is still too much");
    assert!(send("alice", 600).starts_with("250"));
    assert!(send("team", 600).starts_with("250"));
    assert_eq!((world.mailbox("alice").len(), world.mailbox("bob").len()), (1, 1));
    assert_eq!(world.queued().len(), 1, "alice's copy waits for room");
}

#[test]
fn submission_keeps_bcc_to_itself() {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "always");
    let talk = "EHLO x\r\nAUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABkZW1v\r\nMAIL FROM:<alice@example.test>\r\n\
                RCPT TO:<bob@example.test>\r\nDATA\r\nTo: x@example.test\r\nBCC: bob@example.test,\r\n\tcarol@example.test\r\nSubject: x\r\n\r\nBcc: body\r\n.\r\nQUIT\r\n";
    let out = feed(world.command("emsmtp").args(["--service", "submission"]), talk.as_bytes());
    assert!(out.status.success());
    let text = &world.mailbox("bob")[0];
    assert!(!text.contains("carol") && text.contains("\nSubject: x\n\nBcc: body\n"), "{text}");
}

#[test]
fn a_local_program_may_send_anywhere_over_bs() {
    let world = World::new();
    std::fs::write(world.path("etc/routes"), "elsewhere.test esmtp:[127.0.0.1]:9\n").unwrap();
    let talk = "HELO x\r\nMAIL FROM:<alice@example.test>\r\nRCPT TO:<x@elsewhere.test>\r\nDATA\r\nSubject: x\r\n\r\ny\r\n.\r\nQUIT\r\n";
    let out = feed(world.command("emsend").arg("-bs"), talk.as_bytes());
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.lines().rev().nth(1).unwrap().starts_with("250 2.0.0"), "{text}");
    let out = feed(&mut world.command("emsmtp"), talk.as_bytes());
    assert!(String::from_utf8(out.stdout).unwrap().contains("550 5.7.1"), "a pipe to the server is no local program");
}

#[test]
fn a_reload_that_fails_leaves_everything_running() {
    let world = World::new();
    world.start();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let before = world.port("smtp");
    world.set("services.pop3", &held.local_addr().unwrap().to_string());
    wait_until("the reload", || world.log().contains("event=reload-failed"));
    // The program that dies now still gets its sockets.
    let status = String::from_utf8(world.run("emd", &["status", "--json"]).stdout).unwrap();
    let all: serde_json::Value = serde_json::from_str(&status).unwrap();
    let pid = all.as_array().unwrap().iter().find(|s| s["program"] == "emsmtp").unwrap()["pid"].as_i64().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    let mut client = Client::connect(format!("127.0.0.1:{before}").parse().unwrap());
    assert!(client.reply().starts_with("220"));
}

#[test]
fn inherited_descriptors_that_do_not_listen_are_refused() {
    let world = World::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // The connection comes as standard input; the shell makes it descriptor 3.
    let emsmtp = super::world::bin("emsmtp");
    let line = format!("exec timeout 20 {} --root {} 3<&0 </dev/null", emsmtp.display(), world.root().display());
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", &line]).env("LISTEN_FDS", "1").stdin(std::os::fd::OwnedFd::from(connection));
    let out = command.output().unwrap();
    assert_eq!(out.status.code(), Some(74), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("no listening"), "{out:?}");
}

#[test]
fn poppass_counts_mistakes_and_connections() {
    let world = World::new();
    let out = feed(&mut world.command("empass"), "X\r\n".repeat(100).as_bytes());
    assert_eq!(String::from_utf8(out.stdout).unwrap().lines().count(), 11);
    world.start();
    let held: Vec<Client> = (0..20).map(|_| Client::connect(world.address("poppass"))).collect();
    let mut greetings: Vec<String> = held
        .into_iter()
        .map(|mut client| {
            let line = client.line();
            std::mem::forget(client);
            line
        })
        .collect();
    greetings.push(Client::connect(world.address("poppass")).line());
    assert!(greetings[0].starts_with("200") && greetings.last().unwrap().starts_with("500"), "{greetings:?}");
}

#[test]
fn memory_of_password_hashes_is_given_back() {
    let world = World::new();
    world.start();
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(world.address("pop3"))).collect();
    for client in &mut clients {
        client.line();
        client.send("USER alice@example.test\r\nPASS wrong\r\n");
    }
    for client in &mut clients {
        client.line();
        assert!(client.line().starts_with("-ERR [AUTH]"));
    }
    let status = String::from_utf8(world.run("emd", &["status", "--json"]).stdout).unwrap();
    let all: serde_json::Value = serde_json::from_str(&status).unwrap();
    let pid = &all.as_array().unwrap().iter().find(|s| s["program"] == "empop").unwrap()["pid"];
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let pss: u64 =
        rollup.lines().find_map(|l| l.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok()).unwrap();
    assert!(pss < 40_000, "{pss} KiB after eight hashes of 19 MiB");
}

#[test]
fn a_client_without_utf8_gets_ascii_headers() {
    let world = World::new();
    let text = "Subject: Gr\u{fc}\u{df}e\n\nGr\u{fc}\u{df}e\n";
    assert!(world.run_with("emlocal", &["-d", "alice@example.test"], text.as_bytes()).status.success());
    for (utf8, subject) in [("", "Subject: =?UTF-8?B?R3LDvMOfZQ==?="), ("UTF8\r\n", "Subject: Gr\u{fc}\u{df}e")] {
        let talk = format!("{utf8}USER alice\r\nPASS demo\r\nRETR 1\r\nTOP 1 0\r\nQUIT\r\n");
        world.set("auth.plaintext_without_tls", "always");
        let out = feed(&mut world.command("empop"), talk.as_bytes());
        let answer = String::from_utf8(out.stdout).unwrap();
        assert_eq!(answer.matches(&format!("\r\n{subject}\r\n\r\n")).count(), 2, "{answer}");
        assert_eq!(answer.matches("\r\n\r\nGr\u{fc}\u{df}e\r\n.\r\n").count(), 1, "{answer}");
    }
}
