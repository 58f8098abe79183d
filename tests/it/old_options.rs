//! A sendmail.cf alone, and its options: what they make of a message, and what is said of those that nobody knows; beside the real
//! sendmail where it can be run.

use super::old_cf::Old;
use super::rules::sendmail::Bed;
use super::world::{bin, feed};
use std::path::{Path, PathBuf};

/// A bed in which both programs work from files of their own that say the same.
struct Pair {
    bed: Bed,
}

impl Pair {
    fn new() -> Option<Pair> {
        let bed = Bed::new()?;
        let pair = Pair { bed };
        pair.write("agent", "#!/bin/sh\n{ echo \"ARGS $*\"; cat; echo END; } >> DIR/log\n");
        std::fs::set_permissions(pair.path("agent"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        pair.write("aliases", "list: root, daemon\nsolo: root\nincluded: :include:DIR/members\n");
        pair.write("members", "root\ndaemon\n");
        Some(pair)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bed.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text.replace("DIR", &self.bed.path().display().to_string())).unwrap();
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }

    /// A file whose queue has this name, with more lines.
    fn file(&self, queue: &str, more: &str) -> PathBuf {
        if !self.path(queue).is_dir() {
            std::fs::create_dir(self.path(queue)).unwrap();
            std::fs::set_permissions(self.path(queue), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        let dir = self.bed.path().display();
        let lines = format!(
            "OSTYPE(`linux')dnl\ndefine(`confDOMAIN_NAME',`mail.example.com')dnl\ndefine(`confSERVICE_SWITCH_FILE',`{dir}/switch')dnl\n\
             define(`QUEUE_DIR',`{dir}/{queue}')dnl\ndefine(`ALIAS_FILE',`{dir}/aliases')dnl\ndefine(`confDELIVERY_MODE',`i')dnl\n\
             FEATURE(`local_procmail',`{dir}/agent',`agent $u')dnl\nFEATURE(nocanonify)dnl\n\
             FEATURE(accept_unresolvable_domains)dnl\nMAILER(local)dnl\nMAILER(smtp)dnl\n"
        );
        let file = self.path(&format!("{queue}.cf"));
        std::fs::write(&file, [&self.bed.generated(&lines)[..], more.as_bytes()].concat()).unwrap();
        file
    }

    /// What both programs say and end with, and what the agent got, theirs first. Without what only sendmail does: a text that the caller
    /// may have been shown is kept.
    fn both(&self, more: &str, arguments: &[&str], input: &[u8]) -> [(String, Option<i32>, String); 2] {
        let theirs = (self.bed.sendmail(), self.file("theirs", more));
        let ours = (bin("emsend"), self.file("ours", more));
        [theirs, ours].map(|(program, file): (PathBuf, PathBuf)| {
            let _ = std::fs::remove_file(self.path("log"));
            let mut command = self.bed.command(&program);
            let out = feed(command.arg("-C").arg(&file).args(arguments).env_remove("EM_ROOT"), input);
            let said = String::from_utf8_lossy(&out.stdout).replace(&shown(&file), "FILE");
            let lines: Vec<&str> = said.lines().filter(|line| !line.contains("dead.letter")).collect();
            (lines.join("\n"), out.status.code(), self.log())
        })
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn options_that_nobody_knows_end_as_with_sendmail() {
    let Some(pair) = Pair::new() else { return };
    for arguments in [
        &["-Ofoo=x", "root"][..],
        &["-O", "foo", "-OBar=1", "-bv", "root"],
        &["-O", "Queue=x", "root"],
        &["-O", "DeliveryMode=z", "root"],
        &["-OEightBitMode=z", "root"],
        &["-odz", "root"],
        &["-oez", "root"],
        &["-oDx", "root"],
        &["-ONoRecipientAction=zz", "root"],
        &["-OConnectOnlyTo=z", "root"],
        &["-ODaemonPortOptions=Port=zz", "root"],
        &["-OTimeout.foo=3", "root"],
        &["-OTimeout.queuewarn=3", "-bv", "root"],
        &["-OMaxHop=20", "-bv", "root"],
    ] {
        let [theirs, ours] = pair.both("", arguments, b"Subject: x\n\nbody\n");
        assert_eq!((&ours.0, ours.1), (&theirs.0, theirs.1), "{arguments:?}");
    }
    for more in [
        "O NoSuch=1\n",
        "O MaxHop=20\n",
        "O MaxHop=20\nO NoSuch\nO DeliveryMode=z\n",
        "O DeliveryMode=z\n",
        "O MaxHop=20\nScanonify=3\nR$*\t$1\nO OperatorChars=.:%@!^/[]+\nV9\n",
        "V12\n",
    ] {
        let [theirs, ours] = pair.both(more, &["-bv", "root"], b"");
        assert_eq!((&ours.0, ours.1), (&theirs.0, theirs.1), "{more:?}");
    }
}

#[test]
fn unknown_options_are_told_of_in_sendmails_words() {
    let old = Old::new();
    assert_eq!(old.send(&["-Ofoo=x", "root"]), (70, "readcf: unknown option name foo\n".to_string()));
    assert_eq!(old.run(&["-bC", "-Ofoo"], "").0, 70);
    let (code, said) = old.run(&["-bt", "-Ofoo"], "=M\n");
    assert!(code == 70 && said.starts_with("readcf: unknown option name foo\nADDRESS TEST MODE"), "{code} {said}");
    let (code, said) = old.run(&["-OMaxHop=20", "-bv", "root"], "");
    let warned = "Option MaxHop used as abbreviation for MaxHopCount\nroot... deliverable: mailer local, user root\n";
    assert_eq!((code, said.as_str()), (0, warned));
    old.write("sendmail.cf", &(old.read("sendmail.cf") + "O NoSuch=1\n"));
    let (code, said) = old.send(&["root"]);
    assert!(code == 70 && said.ends_with(": readcf: unknown option name NoSuch\n"), "{code} {said}");
    assert_eq!(old.read("log"), "");
}

/// Who got a message, in the order of names.
fn reached(log: &str) -> Vec<&str> {
    let mut all: Vec<&str> =
        log.lines().filter_map(|line| line.strip_prefix("ARGS ")?.split(' ').next_back()).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_sender_is_left_out_of_lists_where_the_file_says_so() {
    let old = Old::new();
    old.write("aliases", "list: root, daemon\nsolo: root\ndeep: man, list\nincluded: :include:DIR/members\n");
    old.write("members", "root\nman\n");
    for (arguments, wanted) in [
        (&["-OMeToo=False", "list"][..], &["daemon"][..]),
        (&["list"], &["daemon", "root"]),
        (&["-OMeToo=False", "-m", "list"], &["daemon", "root"]),
        (&["-OMeToo=False", "-om", "list"], &["daemon", "root"]),
        (&["-OMeToo=False", "-fdaemon", "list"], &["root"]),
        (&["-OMeToo=False", "-fx@far.test", "list"], &["daemon", "root"]),
        (&["-OMeToo=False", "deep"], &["daemon", "man"]),
        (&["-OMeToo=False", "included"], &["man"]),
        (&["-OMeToo=False", "solo"], &["root"]),
        (&["-OMeToo=False", "root", "list"], &["daemon", "root"]),
    ] {
        old.write("log", "");
        if nix::unistd::geteuid().is_root() {
            nix::unistd::chown(&old.path("log"), Some(nix::unistd::Uid::from_raw(1)), None).unwrap();
        }
        old.send(arguments);
        assert_eq!(reached(&old.read("log")), wanted, "{arguments:?}");
    }
    let Some(pair) = Pair::new() else { return };
    for arguments in [
        &["-OMeToo=False", "-bv", "list"][..],
        &["-OMeToo=False", "-om", "-bv", "list"],
        &["-OMeToo=False", "-bv", "included"],
        &["-OMeToo=False", "-bv", "solo"],
        &["-OMeToo=False", "-bv", "-fdaemon@mail.example.com", "list"],
    ] {
        let [theirs, ours] = pair.both("", arguments, b"");
        assert_eq!((&ours.0, ours.1), (&theirs.0, theirs.1), "{arguments:?}");
    }
}

const HELP: &str = "#vers\t2\ncpyr\tnobody's\nsmtp\tThis is $j, $$1\nsmtp\t\tHELO\tEHLO\nhelp\tHELP [ <topic> ]\nhelp\t    about help.\n\
                    -bt\tof tests\nnoop\tNOOP\n";

#[test]
fn help_is_that_of_the_file() {
    let asked = b"HELP\r\nHELP noop\r\nhelp NO\r\nHELP help\r\nHELP foo\r\nHELP -bt\r\nHELP noop x\r\nQUIT\r\n";
    let old = Old::new();
    old.write("sendmail.cf", &(old.read("sendmail.cf") + "O HelpFile=DIR/help\n"));
    let (_, said) = old.run(&["-bs"], "HELP noop\r\nQUIT\r\n");
    assert!(said.contains("\n502 5.3.0 ExpressMail ") && said.contains(" -- HELP not implemented\r\n"), "{said}");
    old.write("help", HELP);
    let (_, said) = old.run(&["-bs"], std::str::from_utf8(asked).unwrap());
    let shown = "214-2.0.0 This is mail.example.test, $1\r\n214-2.0.0 \tHELO\tEHLO\r\n214 2.0.0 End of HELP info\r\n\
                 214-2.0.0 NOOP\r\n214 2.0.0 End of HELP info\r\n";
    assert!(said.contains(shown), "{said}");
    let Some(pair) = Pair::new() else { return };
    for text in [HELP, HELP.strip_prefix("#vers\t2\n").unwrap()] {
        pair.write("help", text);
        let more = format!("O HelpFile={}\n", shown_of(&pair, "help"));
        let [theirs, ours] = pair.both(&more, &["-bs"], asked).map(|(said, ..)| {
            let lines = said.lines().filter(|line| line.starts_with("214") || line.starts_with("504"));
            // Each names itself.
            lines.filter(|line| !line.contains(" version ")).collect::<Vec<_>>().join("\n")
        });
        assert_eq!(ours, theirs, "{text}");
    }
}

fn shown_of(pair: &Pair, name: &str) -> String {
    shown(&pair.path(name))
}

#[test]
fn a_client_that_guesses_is_slowed_down() {
    let old = Old::new();
    let rcpts =
        "RCPT TO:<n1@mail.example.test>\r\nRCPT TO:<n2@mail.example.test>\r\nRCPT TO:<root@mail.example.test>\r\n";
    let dialogue = format!("EHLO x\r\nMAIL FROM:<me@here.test>\r\n{rcpts}RSET\r\nQUIT\r\n");
    let taken = |option: &str| {
        let begun = std::time::Instant::now();
        let (_, said) = old.run(&["-bs", option], &dialogue);
        assert_eq!(said.matches("\n550 5.1.1 ").count(), 2, "{said}");
        assert!(said.contains("\n250 2.1.5 <root@mail.example.test>... Recipient ok\r\n"), "{said}");
        begun.elapsed()
    };
    let second = std::time::Duration::from_secs(1);
    assert!(taken("-OBadRcptThrottle=1") >= 2 * second);
    assert!(taken("-OBadRcptThrottle=2") >= second);
}

#[test]
fn a_run_of_the_queue_is_as_large_and_as_patient_as_the_file_says() {
    let old = Old::new();
    for _ in 0..3 {
        assert_eq!(old.send(&["-odq", "bin"]), (0, String::new()));
    }
    old.run(&["-q", "-OMaxQueueRunSize=2"], "");
    assert_eq!((reached(&old.read("log")).len(), old.queued()), (2, 3));
    // Those two are left alone now, unless somebody asks for them.
    old.run(&["-q", "-OMinQueueAge=1h"], "");
    assert_eq!(reached(&old.read("log")).len(), 3);
    old.run(&["-q", "-OMinQueueAge=1h"], "");
    assert_eq!(reached(&old.read("log")).len(), 3);
    old.run(&["-qRbin", "-OMinQueueAge=1h"], "");
    assert_eq!(reached(&old.read("log")).len(), 6);
    let invalid = (70, "Invalid queue sort order \"x\"\n".to_string());
    assert_eq!(old.run(&["-OQueueSortOrder=x", "-bv", "root"], ""), invalid);
    assert_eq!(old.run(&["-OQueueSortOrder=Host", "-bv", "root"], "").0, 0);
}

#[test]
fn whom_a_message_names_is_told_of_its_failure_too() {
    let text = "Errors-To: man\nSubject: x\n\nbody\n";
    for (option, sender, told) in [
        ("-OUseErrorsTo=False", "root", &["games", "root"][..]),
        ("-OUseErrorsTo=True", "root", &["games", "man", "root"]),
        ("-OUseErrorsTo=True", "<>", &["games", "man"]),
    ] {
        let old = Old::new();
        assert_eq!(old.run(&[option, "-oem", "-f", sender, "games"], text).0, 67);
        old.run(&["-q"], "");
        assert_eq!((reached(&old.read("log")), old.queued()), (told.to_vec(), 0), "{option} {sender}");
    }
}

#[test]
fn what_nobody_can_be_told_of_is_kept_in_the_files_mailbox() {
    let old = Old::new();
    let drop = format!("-ODeadLetterDrop={}", shown(&old.path("dead")));
    let options = ["-ODoubleBounceAddress=games", &drop];
    let run = |more: &[&str]| {
        let arguments: Vec<&str> = options.into_iter().chain(more.iter().copied()).collect();
        old.run(&arguments, "Subject: lost\n\nbody\nFrom here\n")
    };
    assert_eq!(run(&["-oem", "-f", "<>", "games"]).0, 67);
    run(&["-q"]);
    let dead = old.read("dead");
    assert!(dead.starts_with("From MAILER-DAEMON ") && dead.contains("Subject: lost\n"), "{dead}");
    assert!(!dead.contains("\nFrom here\n"), "{dead}");
    assert_eq!((old.queued(), std::fs::read_dir(old.path("q/bad")).unwrap().count()), (0, 0));
}

#[test]
fn addresses_that_can_not_be_read_are_told_of_as_the_error_mode_says() {
    let old = Old::new();
    let text = "Subject: x\n\nbody\n";
    for (mode, code, told, reports) in
        [("-oep", 64, true, 0), ("-oeq", 64, false, 0), ("-oem", 64, false, 1), ("-oee", 0, false, 1)]
    {
        for others in [&[][..], &["man"]] {
            let _ = std::fs::remove_file(old.path("log"));
            let arguments = [&["-froot", mode, "a@@b"], others].concat();
            let said = if told { "a@@b... Invalid route address\n".to_string() } else { String::new() };
            assert_eq!(old.run(&arguments, text), (code, said), "{arguments:?}");
            let log = old.read("log");
            let wanted = [others, &["root"][..reports]].concat();
            assert_eq!((reached(&log), old.queued()), (wanted, 0), "{arguments:?}");
            assert_eq!(log.matches("\n    a@@b... Invalid route address\n").count(), reports, "{log}");
        }
    }
    let Some(pair) = Pair::new() else { return };
    for mode in ["-oep", "-oeq", "-oem", "-oee"] {
        for (arguments, text) in [
            (&[mode, "a@@b"][..], text),
            (&[mode, "a@@b", "man"], text),
            (&[mode, "-t"], "To: a@@b, man\n\nbody\n"),
            (&[mode, "-t"], "Subject: x\n\nbody\n"),
            (&[mode], text),
        ] {
            let [theirs, ours] = pair.both("", arguments, text.as_bytes());
            assert_eq!((&ours.0, ours.1), (&theirs.0, theirs.1), "{arguments:?} {text}");
            assert_eq!(reached(&ours.2), reached(&theirs.2), "{arguments:?} {text}");
        }
    }
}

#[test]
fn what_a_mailer_can_not_have_is_named_with_the_reason() {
    let old = Old::new();
    let file = old.read("sendmail.cf");
    let (local, relay) = ("F=lsDFMAw5:/|@qSPn,", "F=mDFMuX,");
    assert!(file.contains(local) && file.contains(relay));
    let file =
        file.replace(local, "F=lsDFMAw5:/|@qSPnHINRUijv~239, C=x, N=5,").replace(relay, "F=mDFMuX9R, Q=q1, m=3,");
    old.write("sendmail.cf", &file);
    let (code, said) = old.run(&["-bC"], "");
    let told: Vec<&str> = said.lines().filter_map(|line| line.split_once(": mailer ").map(|(_, told)| told)).collect();
    let wanted = [
        "local: N=: its program is as nice as who runs the queue",
        "relay: F=9: what is encoded goes to hosts as it is",
        "relay: F=R: connections do not come from ports below 1024",
        "relay: Q=: there is one queue",
    ];
    assert_eq!((code, told), (0, wanted.to_vec()), "{said}");
}

/// What is refused by its text: too large, of eight bits, with octets of value 0.
#[test]
fn texts_that_are_not_taken_are_told_of_as_the_error_mode_says() {
    let Some(pair) = Pair::new() else { return };
    let large = format!("Subject: x\n\n{}", "0123456789\n".repeat(200));
    let header = format!("Subject: x\n{}\nbody\n", "X-Field: 0123456789\n".repeat(200));
    for (more, text) in [
        ("O MaxMessageSize=1000\n", large.as_bytes()),
        ("O MaxHeadersLength=1000\n", header.as_bytes()),
        ("O EightBitMode=strict\n", "Subject: x\n\nb\u{e4}h\n".as_bytes()),
        ("O RejectNUL\n", b"Subject: x\n\nb\0h\n"),
    ] {
        for mode in ["-oep", "-oeq", "-oem", "-oee"] {
            let [theirs, ours] = pair.both(more, &[mode, "man"], text);
            // What a file's reading warns of is not about the message.
            let said = theirs.0.lines().filter(|line| !line.starts_with("Warning: ")).collect::<Vec<_>>().join("\n");
            // sendmail ends with 0 where nobody is told by mail, too.
            let code = if mode == "-oeq" { 65 } else { 0 };
            assert_eq!((&ours.0, ours.1, theirs.1), (&said, Some(code), Some(0)), "{more}{mode}");
            assert_eq!(reached(&ours.2), reached(&theirs.2), "{more}{mode}");
            let told = format!("\n    {said}\n");
            assert_eq!(ours.2.contains(&told), mode != "-oeq", "{more}{mode} {}", ours.2);
            assert!(!ours.2.contains("0123456789\n".repeat(150).as_str()), "{more}{mode}");
        }
    }
}

/// The same in a dialogue, in sendmail's words.
#[test]
fn sizes_are_refused_in_sendmails_words() {
    let old = Old::new();
    let begin = "EHLO x\r\nMAIL FROM:<me@here.test>\r\nRCPT TO:<root@mail.example.test>\r\nDATA\r\nSubject: x\r\n";
    let (line, field) = ("0123456789\r\n".repeat(200), "X-Field: 0123456789\r\n".repeat(200));
    let large = format!("{begin}\r\n{line}.\r\nMAIL FROM:<me@here.test> SIZE=5000\r\nQUIT\r\n");
    let (_, said) = old.run(&["-bs", "-OMaxMessageSize=1000"], &large);
    assert!(said.contains("\n552 5.2.3 Message exceeds maximum fixed size (1000)\r\n"), "{said}");
    assert!(said.contains("\n552 5.2.3 Message size exceeds fixed maximum message size (1000)\r\n"), "{said}");
    let (_, said) = old.run(&["-bs", "-OMaxHeadersLength=1000"], &format!("{begin}{field}\r\n.\r\nQUIT\r\n"));
    assert!(said.contains("\n552 5.6.0 Headers too large (1000 max)\r\n"), "{said}");
}

/// Members stand in sendmail's order: the last of a list first, lines of a file as they stand.
#[test]
fn members_come_in_sendmails_order() {
    let Some(pair) = Pair::new() else { return };
    pair.write(
        "aliases",
        "list: root, daemon, bin, man\nsolo: root\nincluded: :include:DIR/members\nmix: bin, included, games\n\
         far: a@x.test, root, b@y.test, bin, c@x.test\nmany: list, far, nobody-there, mix\n",
    );
    for members in [
        "root\ndaemon\nbin\n",
        "bin\nroot\ndaemon\nman\n",
        "a@x.test\nroot\nb@y.test\nc@x.test\nbin\n",
        "solo, bin\ngames, root\n",
        "list\nfar, man\n",
        "list\nnobody-here, man\n",
    ] {
        pair.write("members", members);
        for name in ["list", "included", "mix", "far", "many"] {
            let [theirs, ours] = pair.both("", &["-bv", name], b"");
            assert_eq!((ours.0, ours.1), (theirs.0, theirs.1), "{members:?} {name}");
        }
    }
}

/// An alias that comes back to itself is a name that was met already, as long as it leads to somebody.
#[test]
fn aliases_in_a_circle_are_told_of_where_they_lead_to_nobody() {
    let Some(pair) = Pair::new() else { return };
    pair.write(
        "aliases",
        "one: root, two\ntwo: one, lp\nnone: nobody1\nnobody1: none\nself: self\nselfish: selfish, root\n\
         big: one, none\nincluded: :include:DIR/members\nfirst: none, root\nbin: bin2\nbin2: bin, root\n\
         daemon: daemon2\ndaemon2: daemon\nman: :include:DIR/men\ngames: games, root\n",
    );
    pair.write("members", "lp\nincluded\none, mail\n");
    pair.write("men", "man\nroot\n");
    for name in [
        "one", "two", "none", "self", "selfish", "big", "first", "included", "bin", "daemon", "man", "games", "bin2",
        "daemon2",
    ] {
        let [theirs, ours] = pair.both("", &["-bv", name], b"");
        // sendmail tells of a user who is not there once for the alias and once for himself.
        let sorted = |text: &str| text.lines().map(str::to_string).collect::<std::collections::BTreeSet<_>>();
        assert_eq!((sorted(&ours.0), ours.1), (sorted(&theirs.0), theirs.1), "{name}");
    }
}
