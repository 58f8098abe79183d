//! A sendmail.cf alone, and SMTP: what its options, its check rule sets and its H lines with `$>` make of a conversation, beside the real
//! sendmail where it can be run.

use super::old_cf::Old;
use super::rules::sendmail::Bed;
use super::world::{World, bin, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Speaks: each line gets a reply, but those of a text, which stand behind `|`. Gives the replies, the last line of each.
fn talk(command: &mut Command, lines: &[&str]) -> Vec<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut hear = || {
        let mut line = String::new();
        while output.read_line(&mut line).unwrap_or(0) > 0 {
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_string();
            }
            line.clear();
        }
        "closed".to_string()
    };
    let mut heard = vec![hear()];
    for line in lines {
        let (line, is_text) = line.strip_prefix('|').map_or((*line, false), |text| (text, true));
        let written = input.write_all(format!("{line}\r\n").as_bytes()).and_then(|()| input.flush());
        if !is_text || line == "." {
            heard.push(if written.is_ok() { hear() } else { "closed".to_string() });
        }
    }
    drop(input);
    child.wait().unwrap();
    heard
}

/// A message in a transaction.
fn message<'a>(text: &[&'a str]) -> Vec<&'a str> {
    let head = ["MAIL FROM:<root@mail.example.com>", "RCPT TO:<root@mail.example.com>", "DATA"];
    [&head[..], text, &["|.", "RSET"]].concat()
}

/// A reply without what is different each time: ids, and the programs' names.
fn masked(reply: &str) -> String {
    let is_id = |word: &str| word.len() >= 14 && word.bytes().all(|b| b.is_ascii_alphanumeric());
    reply.split(' ').map(|word| if is_id(word) { "ID" } else { word }).collect::<Vec<_>>().join(" ")
}

/// What both say: replies to MAIL, RCPT and the text in full, of others the code.
fn alike(lines: &[&str], replies: &[String]) -> Vec<String> {
    let asked = lines.iter().filter(|line| !line.starts_with('|') || **line == "|.");
    let asked = std::iter::once(&"").chain(asked).zip(replies);
    asked
        .map(|(line, reply)| match ["MAIL", "RCPT", "|."].iter().any(|full| line.starts_with(full)) {
            // Whom a command may not be said to yet, each tells in his own words.
            true if !reply.starts_with("503 5.0.0 Need") && !reply.starts_with("503 5.5.1") => masked(reply),
            _ => reply.chars().take(3).collect(),
        })
        .collect()
}

const FIELDS: &str = "\
HSubject: $>CheckSubject
HX-Any: $>+CheckParentheses
H*: $>CheckAny
SCheckSubject
R$* bad $*\t$#error $@ 5.7.1 $: \"550 bad subject \" $&{hdr_name} \" \" $&{hdrlen} \" \" $&{currHeader}
R$* discard $*\t$#discard
R$* tmp $*\t$#error $@ 4.7.1 $: \"451 later\"
SCheckAny
R$* anybad $*\t$#error $@ 5.7.1 $: \"554 any \" $&{hdr_name} \" | \" $&{currHeader} \" | \" $&{hdrlen}
SCheckParentheses
R$* ( $* ) $*\t$#error $: \"553 got parentheses\"
Scheck_etrn
R$* no $*\t$#error $@ 5.7.1 $: \"459 no etrn\"
Scheck_vrfy
R$* no $*\t$#error $@ 5.7.1 $: \"550 no vrfy\"
Scheck_expn
R$* no $*\t$#error $@ 5.7.1 $: \"550 no expn\"
Scheck_data
R3\t$#error $@ 5.7.1 $: \"554 three are too many\"
Scheck_eoh
R5 $| $*\t$#error $@ 5.7.1 $: \"554 five fields\"
Scheck_eom
R$*\t$: $1 $| $&f
R$* $| big@ $*\t$#error $@ 5.7.1 $: \"552 too big\"
";

#[test]
fn a_conversation_is_sendmails_whatever_the_options_say() {
    let Some(bed) = Bed::new() else { return };
    let dir = bed.path().display().to_string();
    std::fs::write(bed.path().join("aliases"), "list: root, games\n").unwrap();
    let generated = |queue: &str, more: &str| {
        let path = bed.path().join(queue);
        if !path.is_dir() {
            std::fs::create_dir(&path).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        let lines = format!(
            "OSTYPE(`linux')dnl\ndefine(`confDOMAIN_NAME',`mail.example.com')dnl\ndefine(`confSERVICE_SWITCH_FILE',`{dir}/switch')dnl\n\
             define(`QUEUE_DIR',`{dir}/{queue}')dnl\ndefine(`ALIAS_FILE',`{dir}/aliases')dnl\ndefine(`confDELIVERY_MODE',`queue')dnl\n\
             FEATURE(`local_procmail',`/bin/true',`true')dnl\nFEATURE(nocanonify)dnl\nFEATURE(accept_unresolvable_domains)dnl\n\
             MAILER(local)dnl\nMAILER(smtp)dnl\n"
        );
        let file = bed.path().join(format!("{queue}.cf"));
        std::fs::write(&file, [&bed.generated(&lines)[..], more.as_bytes()].concat()).unwrap();
        file
    };
    let unknown = [
        "RCPT TO:<nobodyx@mail.example.com>",
        "RCPT TO:<nobodyy@mail.example.com>",
        "RCPT TO:<nobodyz@mail.example.com>",
    ];
    let begin = ["EHLO x", "MAIL FROM:<root@mail.example.com>"];
    let end = ["RCPT TO:<root@mail.example.com>", "DATA", "|Subject: x", "|", "|body", "|.", "QUIT"];
    let words = ["EHLO x", "VRFY root", "VRFY nobodyx", "EXPN list", "ETRN far.test", "MAIL FROM:<a@b.test>", "QUIT"];
    let impolite = ["VRFY root", "EXPN list", "MAIL FROM:<root@mail.example.com>", "ETRN far.test", "QUIT"];
    let names = ["HELO b@d", "EHLO a(b", "EHLO x y", "EHLO [192.0.2.1]", "HELO mail.far.test", "QUIT"];
    let three = [
        &begin[..],
        &["RCPT TO:<root@mail.example.com>"; 1],
        &["RCPT TO:<bin@mail.example.com>", "RCPT TO:<sys@mail.example.com>", "DATA", "QUIT"],
    ]
    .concat();
    let fields = [
        &["EHLO x"][..],
        &message(&["|Subject: a bad thing (with comment)", "|", "|x"]),
        &message(&["|Subject: a tmp thing", "|X-Foo: y", "|", "|x"]),
        &message(&["|Subject: a discard thing", "|X-Foo: y anybad z", "|", "|x"]),
        &message(&["|Subject: discard", "|", "|x"]),
        &message(&["|Subject: fine", "|X-Foo: y anybad z (folded", "|\ttext) here", "|", "|x"]),
        &message(&["|Subject: (bad) one", "|X-Any: y z (folded", "|\ttext) here", "|", "|x"]),
        &message(&["|Subject: so bad", "|X-One: anybad 1", "|X-Two: anybad 2", "|", "|x"]),
        &message(&["|X-Two: \"anybad 2", "|Subject: ) it is bad <<", "|", "|x"]),
        &message(&["|A: 1", "|B: 2", "|C: 3", "|D: 4", "|E: 5", "|", "|x"]),
        &[
            "MAIL FROM:<big@mail.example.com>",
            "RCPT TO:<root@mail.example.com>",
            "DATA",
            "|Subject: x",
            "|",
            "|x",
            "|.",
        ],
        &["ETRN no", "VRFY no", "EXPN no", "VRFY root", "QUIT"],
    ]
    .concat();
    let nul =
        [&begin[..], &["RCPT TO:<root@mail.example.com>", "DATA", "|Subject: x", "|", "|a\0b", "|.", "QUIT"]].concat();
    for (more, lines) in [
        ("", [&begin[..], &unknown, &end].concat()),
        ("", impolite.to_vec()),
        ("", words.to_vec()),
        ("O SoftBounce=True\n", [&begin[..], &unknown, &["VRFY nobodyx"], &end].concat()),
        ("O BadRcptShutdown=2\n", [&begin[..], &unknown, &["RCPT TO:<root@mail.example.com>"]].concat()),
        ("O PrivacyOptions=needmailhelo,needvrfyhelo,needexpnhelo,noetrn\n", impolite.to_vec()),
        ("O PrivacyOptions=goaway\n", [&impolite[..4], &words[..]].concat()),
        ("O MinFreeBlocks=100000000000\n", [&begin[..], &["QUIT"]].concat()),
        ("", names.to_vec()),
        ("O AllowBogusHELO=True\n", names.to_vec()),
        ("O RejectNUL=True\n", nul.clone()),
        ("O RejectNUL=False\n", nul),
        (FIELDS, fields),
        (FIELDS, three),
    ] {
        let run = |program: &Path, file: &Path| {
            let mut command = bed.command(program);
            alike(&lines, &talk(command.arg("-C").arg(file).arg("-bs").env_remove("EM_ROOT"), &lines))
        };
        let theirs = run(&bed.sendmail(), &generated("theirs", more));
        let ours = run(&bin("emsend"), &generated("ours", more));
        assert_eq!(ours, theirs, "{more}{lines:#?}");
    }
}

#[test]
fn fields_decide_what_becomes_of_a_message() {
    let old = Old::new();
    let file = old.read("sendmail.cf");
    old.write(
        "sendmail.cf",
        &format!(
            "{file}HSubject: $>Subject\nSSubject\nR$* bad $*\t$#error $@ 5.7.1 $: \"550 a bad subject\"\n\
             R$* drop $*\t$#discard\nR$* hold $*\t$#error $@ quarantine $: looks odd\n"
        ),
    );
    assert_eq!(old.run(&["root"], "Subject: so bad\n\nbody\n"), (65, "a bad subject\n".to_string()));
    assert_eq!(old.run(&["root"], "Subject: to drop\n\nbody\n"), (0, String::new()));
    assert_eq!((old.queued(), old.read("log")), (0, String::new()));
    assert_eq!(old.run(&["root"], "Subject: to hold\n\nbody\n"), (0, String::new()));
    assert_eq!((old.queued(), old.read("log")), (1, String::new()), "held");
    assert_eq!(old.run(&["root"], "Subject: (bad) comment\n\nbody\n"), (0, String::new()));
    assert!(old.read("log").contains("\nSubject: (bad) comment\n"), "{}", old.read("log"));
    let (code, said) = old.run(&["-bt", "-d21.12"], "/header Subject: so bad\n/header nothing\n");
    assert!(code == 65 && said.contains("a bad subject\nul = 0x00058000\n> header syntax error"), "{code} {said}");
    assert!(said.contains("-----trying rule: $* bad $*\n"), "{said}");
}

/// The deliveries that the agent wrote down.
fn delivered(old: &Old) -> usize {
    old.read("log").matches("ARGS local ").count()
}

#[test]
fn receipts_are_given_as_the_file_says() {
    let with_receipt = "Return-Receipt-To: root\nSubject: x\n\nbody\n";
    for (option, asked, text, deliveries) in [
        ("", "success", "Subject: x\n\nbody\n", 2),
        ("", "never", "Subject: x\n\nbody\n", 1),
        ("O PrivacyOptions=noreceipts\n", "success", "Subject: x\n\nbody\n", 1),
        ("", "", with_receipt, 1),
        ("O RrtImpliesDsn=True\n", "", with_receipt, 2),
        ("O RrtImpliesDsn=True\nO PrivacyOptions=noreceipts\n", "", with_receipt, 1),
    ] {
        let old = Old::new();
        old.write("sendmail.cf", &format!("{option}{}", old.read("sendmail.cf")));
        let words: &[&str] = if asked.is_empty() { &["-froot", "bin2"] } else { &["-froot", "-N", asked, "bin2"] };
        old.write("aliases", "bin2: root\n");
        assert_eq!(old.run(words, text).0, 0, "{option} {asked}");
        old.run(&["-q"], "");
        assert_eq!(
            (delivered(&old), old.queued()),
            (deliveries, 0),
            "{option:?} {asked:?} {text:?}: {}",
            old.read("log")
        );
    }
}

#[test]
fn the_queue_is_for_whom_the_file_says() {
    use std::os::unix::process::CommandExt;
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    let old = Old::new();
    let file = old.read("sendmail.cf");
    assert_eq!(old.send(&["-odq", "root"]), (0, String::new()));
    std::fs::set_permissions(old.path("q"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // nobody can't run a binary below a closed folder: copies in an open one.
    for command in ["emsend", "emqueue"] {
        std::fs::copy(bin(command), old.path(command)).unwrap();
    }
    let by_nobody = |option: &str, argument: &str| {
        old.write("sendmail.cf", &format!("{option}{file}"));
        let mut command = Command::new(old.path("emsend"));
        command.env_remove("EM_ROOT").arg("-C").arg(old.path("sendmail.cf")).arg(argument).current_dir("/");
        let out = command.uid(65534).gid(65534).output().unwrap();
        (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    for (option, argument, said) in [
        ("O PrivacyOptions=restrictmailq\n", "-bp", "You are not permitted to see the queue"),
        ("O PrivacyOptions=restrictqrun\n", "-q", "You do not have permission to process the queue"),
    ] {
        let (code, text) = by_nobody(option, argument);
        assert!(code == 77 && text.contains(said), "{option}{argument}: {code} {text}");
        // The other word says nothing about it, and root may do both.
        assert!(!by_nobody("O PrivacyOptions=restrictexpand\n", argument).1.contains(said));
        old.write("sendmail.cf", &format!("{option}{file}"));
        assert_eq!(old.run(&[argument], "").0, 0);
    }
    assert_eq!(old.queued(), 0);
}

#[test]
fn a_daemon_runs_by_the_file_alone() {
    let old = Old::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = old.read("sendmail.cf");
    let options = format!(
        "O DaemonPortOptions=Addr=127.0.0.1, Port={port}\nO PidFile=DIR/pid\nO DeliveryMode=background\nO RunAsUser=daemon\n"
    );
    old.write("sendmail.cf", &(options + &file.replace("O DeliveryMode=interactive\n", "")));
    old.write("log", "");
    if nix::unistd::geteuid().is_root() {
        let (code, said) = old.run(&["-bd"], "");
        assert!(code != 0 && said.contains("/q/): Permission denied\n hint: RunAsUser daemon "), "{code} {said}");
        for name in ["log", "q"] {
            nix::unistd::chown(&old.path(name), Some(nix::unistd::Uid::from_raw(1)), None).unwrap();
        }
    }
    assert_eq!(old.run(&["-bd", "-O", "MaxHopCount=20"], ""), (0, String::new()));
    let pid_file = old.read("pid");
    let (pid, command) = pid_file.trim_end().split_once('\n').unwrap();
    let shown = format!("{} -C {} -bd -OMaxHopCount=20", bin("emsend").display(), old.path("sendmail.cf").display());
    assert_eq!(command, shown);
    let mut peer = BufReader::new(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
    let mut heard = String::new();
    for line in ["", "EHLO x", "MAIL FROM:<root@mail.example.test>", "RCPT TO:<root@mail.example.test>", "DATA"] {
        if !line.is_empty() {
            peer.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        }
        heard.clear();
        while heard.as_bytes().get(3) != Some(&b' ') {
            heard.clear();
            assert!(peer.read_line(&mut heard).unwrap() > 0);
        }
    }
    assert!(heard.starts_with("354"), "{heard}");
    peer.get_mut().write_all(b"Subject: by the daemon\r\n\r\nbody\r\n.\r\n").unwrap();
    heard.clear();
    peer.read_line(&mut heard).unwrap();
    assert!(heard.starts_with("250 2.0.0 ") && heard.contains("Message accepted for delivery"), "{heard}");
    wait_until("the delivery", || old.read("log").contains("\nSubject: by the daemon\n"));
    let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    wait_until("the daemon's end", || !old.path("pid").exists());
}

#[test]
fn our_own_rules_check_fields_too() {
    let world = World::new();
    let rules = world.root().join("etc/em.cf");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/em.cf")).unwrap();
    let more = "HX-Spam: $>+Spam\nSSpam\nRyes $*\t$#error $@ 5.7.1 $: \"554 no spam\"\nRperhaps $*\t$#error $@ quarantine $: spam\n";
    std::fs::write(&rules, text + more).unwrap();
    let send = |field: &str| {
        let lines = [
            "EHLO x",
            "MAIL FROM:<a@far.test>",
            "RCPT TO:<alice@example.test>",
            "DATA",
            field,
            "|",
            "|body",
            "|.",
            "QUIT",
        ];
        talk(&mut world.command("emsmtp"), &lines)[5].clone()
    };
    assert_eq!(send("|X-Spam: yes (sure)"), "554 5.7.1 no spam");
    assert!(send("|X-Spam: perhaps").starts_with("250 2.0.0 "));
    assert_eq!(world.queued().len(), 1);
    assert!(send("|X-Spam: no").starts_with("250 2.0.0 "));
    assert!(world.ok("emconf", &["check"]).contains("em.cf") || !world.ok("emconf", &["check"]).contains("H lines"));
}
