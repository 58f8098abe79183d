//! A sendmail.cf alone, and its mailers: what their flags, their equates and the options about them make of a message.

use super::old_cf::Old;
use super::world::{bin, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A file whose mailer `script` has these flags and equates.
fn with_script(old: &Old, flags: &str, more: &str) {
    let file = old.read("sendmail.cf");
    let line = file.lines().find(|line| line.starts_with("Mscript")).unwrap();
    let (head, rest) = line.split_once("F=").unwrap();
    let (_, rest) = rest.split_once(',').unwrap();
    old.write("sendmail.cf", &(file.replace(line, &format!("{head}F={flags},{rest}")) + more));
}

/// Takes mail at this port; gives what the clients said in so many connections.
fn sink(server: TcpListener, connections: usize) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut heard = String::new();
        for _ in 0..connections {
            let (mut socket, _) = server.accept().unwrap();
            let mut lines = BufReader::new(socket.try_clone().unwrap());
            socket.write_all(b"220 far.test ESMTP\r\n").unwrap();
            let mut in_text = false;
            let mut line = String::new();
            while lines.read_line(&mut line).unwrap_or(0) > 0 {
                let reply: &[u8] = match (in_text, line.trim_end()) {
                    (true, ".") => b"250 ok\r\n",
                    (true, _) => b"",
                    (_, "DATA") => b"354 go\r\n",
                    _ => b"250 ok\r\n",
                };
                in_text = reply.starts_with(b"354") || in_text && reply.is_empty();
                heard.push_str(&line);
                line.clear();
                socket.write_all(reply).unwrap();
            }
        }
        heard
    })
}

#[test]
fn flags_of_a_mailer_shape_what_it_gets() {
    let old = Old::new();
    with_script(&old, "mDFMSnb6cB", "");
    assert_eq!(old.send(&["\\\\a@script.test"]), (0, String::new()));
    assert!(old.read("log").starts_with("ARGS script thehost a@script.test\n"), "{}", old.read("log"));
    let text = "X-H: \u{e9}\nTo: Joe Doe <a@script.test> (his name)\n\nbody \u{e9}\n";
    assert_eq!(old.run(&["-f", "q@far.test", "a@script.test"], text), (0, String::new()));
    let log = old.read("log");
    assert!(log.contains("\nX-H: C)\nTo: a@script.test\n"), "{log}");
    assert!(log.ends_with("\n\nbody \u{e9}\n\n"), "{log:?}");
    // A body that ends with an empty line has one.
    assert_eq!(old.run(&["a@script.test"], "Subject: x\n\nlast\n\n"), (0, String::new()));
    assert!(old.read("log").ends_with("\nlast\n\n") && !old.read("log").ends_with("\n\n\n"), "{:?}", old.read("log"));
}

#[test]
fn a_mailer_of_seven_bits_gets_the_message_encoded() {
    let old = Old::new();
    with_script(&old, "mDFMSn7", "");
    assert_eq!(old.run(&["a@script.test"], "Subject: x\n\ncaf\u{e9}\n"), (0, String::new()));
    let log = old.read("log");
    assert!(log.is_ascii() && log.contains("\nContent-Transfer-Encoding: "), "{log}");
    assert!(log.contains("caf=C3=A9") || log.contains("Y2Fmw6k"), "{log}");
}

#[test]
fn names_without_a_domain_get_that_of_a_sender_whose_mailer_says_so() {
    let old = Old::new();
    with_script(&old, "mDFMSnC", "");
    let text = "From: plain\nTo: other, a@far.test\n\nbody\n";
    assert_eq!(old.run(&["-f", "q@script.test", "a@script.test"], text), (0, String::new()));
    let log = old.read("log");
    assert!(log.contains("\nFrom: plain@script.test\nTo: other@script.test, a@far.test\n"), "{log}");
}

#[test]
fn headers_of_old_are_lists_with_blanks_where_the_file_says_so() {
    let old = Old::new();
    old.write("sendmail.cf", &(old.read("sendmail.cf") + "O OldStyleHeaders=True\nO SingleLineFromHeader=True\n"));
    let text = "From: Some\n Body <me@far.test>\nTo: a@script.test b@script.test\n\nbody\n";
    assert_eq!(old.run(&["-t"], text), (0, String::new()));
    let log = old.read("log");
    assert!(log.starts_with("ARGS script thehost "), "{log}");
    assert!(log.contains("a@script.test") && log.contains("\nTo: a@script.test, b@script.test\n"), "{log}");
    assert!(log.contains("\nFrom: Some Body <me@far.test>\n"), "{log}");
}

#[test]
fn a_mailer_that_waits_too_long_is_ended() {
    let old = Old::new();
    old.write("agent", "#!/bin/sh\ncat > /dev/null\nexec sleep 60\n");
    with_script(&old, "mDFMSn, W=1s", "");
    let begun = Instant::now();
    assert_eq!(old.send(&["a@script.test"]), (0, String::new()));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(old.queued(), 1);
}

#[test]
fn mail_for_a_mailer_on_demand_waits_until_it_is_asked_for() {
    let old = Old::new();
    with_script(&old, "mDFMSn%", "");
    assert_eq!(old.send(&["a@script.test"]), (0, String::new()));
    old.run(&["-q"], "");
    assert_eq!((old.queued(), old.read("log")), (1, String::new()));
    old.run(&["-qRscript.test"], "");
    assert_eq!(old.queued(), 0);
    assert!(old.read("log").starts_with("ARGS script thehost a@script.test\n"), "{}", old.read("log"));
}

#[test]
fn a_host_is_found_and_greeted_as_the_file_says() {
    let mut old = Old::new();
    let heard = sink(old.server.take().unwrap(), 2);
    let file =
        old.read("sendmail.cf").replace("$#relay $@ [127.0.0.1]", "$#relay $@ $2").replace("F=mDFMuX", "F=mDFMuX0gp");
    old.write("hosts", "192.0.2.1 far.test\n");
    old.write("switch", "hosts files\n");
    let more = "O HostsFile=DIR/hosts\nO ServiceSwitchFile=DIR/switch\nO ConnectOnlyTo=127.0.0.1\nO HeloName=other.example.test\nDnMAILER-DAEMON\n";
    old.write("sendmail.cf", &(file + more));
    assert_eq!(old.send(&["-f", "me@here.test", "x@far.test"]), (0, String::new()));
    // A report comes from our postman, who has a name here.
    assert_eq!(old.send(&["-f", "<>", "y@far.test"]), (0, String::new()));
    assert_eq!(old.queued(), 0);
    let heard = heard.join().unwrap();
    assert!(heard.starts_with("EHLO other.example.test\r\n"), "{heard}");
    assert!(heard.contains("\r\nMAIL FROM:<@mail.example.test:me@here.test>\r\nRCPT TO:<x@far.test>\r\n"), "{heard}");
    assert!(heard.contains("MAIL FROM:<MAILER-DAEMON@mail.example.test>\r\nRCPT TO:<y@far.test>\r\n"), "{heard}");
}

#[test]
fn aliases_lead_as_deep_as_the_file_says() {
    let old = Old::new();
    let chain: String = (1..15).map(|n| format!("c{n}: c{}\n", n + 1)).collect();
    old.write("aliases", &format!("{chain}c15: root\n"));
    let broken =
        |deep: usize, most: usize| (64, format!("aliasing/forwarding loop broken ({deep} aliases deep; {most} max)\n"));
    assert_eq!(old.run(&["-bv", "c5"], ""), broken(11, 10));
    assert_eq!(old.run(&["-bv", "c6"], ""), (0, "root... deliverable: mailer local, user root\n".to_string()));
    assert_eq!(old.run(&["-O", "MaxAliasRecursion=3", "-bv", "c6"], ""), broken(4, 3));
    assert_eq!(old.run(&["-O", "MaxAliasRecursion=20", "-bv", "c1"], "").0, 0);
}

#[test]
fn mail_for_a_host_that_can_not_be_reached_is_left_alone_by_the_daemon() {
    let mut old = Old::new();
    drop(old.server.take());
    for number in 0..9 {
        assert_eq!(old.send(&["-odq", "-f", &format!("s{number}@here.test"), &format!("x{number}@far.test")]).0, 0);
    }
    let mut daemon = Command::new(bin("emqueue"));
    daemon.env_remove("EM_ROOT").arg("--cf").arg(old.path("sendmail.cf")).arg("daemon");
    let mut daemon = daemon.stderr(Stdio::null()).spawn().unwrap();
    let tried = || old.run(&["-bp"], "").1.matches("(Deferred: ").count();
    wait_until("three attempts", || tried() >= 3);
    // The others have had the time to be tried, too.
    std::thread::sleep(Duration::from_secs(2));
    let count = tried();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.id() as i32), nix::sys::signal::Signal::SIGTERM).unwrap();
    daemon.wait().unwrap();
    assert!((3..9).contains(&count), "{count}");
    assert_eq!(old.queued(), 9);
}

#[test]
fn a_host_is_greeted_plainly_and_left_after_so_many_messages() {
    let mut old = Old::new();
    let heard = sink(old.server.take().unwrap(), 2);
    let file = old.read("sendmail.cf").replace("F=mDFMuX, E=\\r\\n,", "F=mDFMuX2, E=\\r\\n, m=1,");
    old.write("sendmail.cf", &file);
    for name in ["x", "y"] {
        assert_eq!(old.send(&["-odq", "-f", "me@here.test", &format!("{name}@far.test")]), (0, String::new()));
    }
    old.run(&["-q"], "");
    assert_eq!(old.queued(), 0);
    let heard = heard.join().unwrap();
    assert_eq!((heard.matches("HELO ").count(), heard.matches("EHLO ").count()), (2, 0), "{heard}");
    assert_eq!(heard.matches("QUIT\r\n").count(), 2, "{heard}");
}

#[test]
fn a_program_of_uucp_gets_its_line() {
    let old = Old::new();
    with_script(&old, "mDFMSU", "");
    assert_eq!(old.send(&["-f", "there!me@far.test", "a@script.test"]), (0, String::new()));
    let log = old.read("log");
    let line = log.lines().find(|line| line.starts_with("From ")).unwrap();
    assert!(line.starts_with("From me@far.test  ") && line.ends_with(" remote from there"), "{log}");
}

#[test]
fn what_was_encoded_for_the_way_is_decoded_for_a_mailer_that_says_so() {
    let old = Old::new();
    with_script(&old, "mDFMSn9", "");
    let text = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\ncaf=C3=A9\nFrom=20here\n";
    assert_eq!(old.run(&["a@script.test"], text), (0, String::new()));
    let log = old.read("log");
    assert!(log.contains("\nContent-Transfer-Encoding: 8bit\nX-MIME-Autoconverted: from quoted-printable to 8bit by mail.example.test id "), "{log}");
    assert!(log.contains("\n\ncaf\u{e9}\nFrom here\n") && !log.contains("quoted-printable\n"), "{log}");
}

#[test]
fn text_of_eight_bits_is_labelled_or_refused_as_the_file_says() {
    let old = Old::new();
    with_script(&old, "mDFMSn", "");
    let text = "Subject: x\n\ncaf\u{e9}\n";
    for (options, wanted) in [
        (&["-OEightBitMode=p"][..], None),
        (&["-OEightBitMode=m"], Some("unknown-8bit")),
        (&["-OEightBitMode=m", "-ODefaultCharSet=utf-8"], Some("utf-8")),
    ] {
        old.write("log", "");
        assert_eq!(old.run(&[options, &["a@script.test"]].concat(), text), (0, String::new()));
        let log = old.read("log");
        let label = |charset| {
            format!(
                "\nMIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: 8bit\n\ncaf\u{e9}\n"
            )
        };
        assert_eq!(log.contains("MIME-Version"), wanted.is_some(), "{options:?} {log}");
        assert!(wanted.is_none_or(|charset| log.contains(&label(charset))), "{options:?} {log}");
    }
    old.write("log", "");
    let refused = (65, "Eight bit data not allowed\n".to_string());
    assert_eq!(old.run(&["-OEightBitMode=s", "-oeq", "a@script.test"], text), refused);
    assert_eq!((old.queued(), old.read("log")), (0, String::new()));
    assert_eq!(old.run(&["-OEightBitMode=s", "-B8BITMIME", "a@script.test"], text).0, 0);
    assert_eq!(old.run(&["-OEightBitMode=s", "a@script.test"], "Subject: x\n\nplain\n").0, 0);
    // A charset of the sender's own mailer stands above the file's.
    let file = old.read("sendmail.cf").replace("Mlocal, ", "Mlocal, C=koi8-r, ");
    old.write("sendmail.cf", &file);
    old.write("log", "");
    assert_eq!(old.run(&["-OEightBitMode=m", "-froot", "a@script.test"], text).0, 0);
    assert!(old.read("log").contains("charset=koi8-r\n"), "{}", old.read("log"));
}

#[test]
fn a_mailer_of_ebcdic_gets_no_characters_that_it_may_lack() {
    let old = Old::new();
    with_script(&old, "mDFMSn73", "");
    assert_eq!(old.run(&["a@script.test"], "Subject: x\n\ncaf\u{e9} costs 3$!\n"), (0, String::new()));
    let log = old.read("log");
    assert!(log.contains("\ncaf=C3=A9 costs 3=24=21\n"), "{log}");
}
