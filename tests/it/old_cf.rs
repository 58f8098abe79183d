//! A sendmail.cf alone: `emsend -C FILE` takes, routes, delivers, lists and tells as the file says, without any em.toml.

use super::rules::sendmail::Bed;
use super::world::{bin, feed};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FILE: &str = include_str!("old_cf/sendmail.cf");

/// A folder with a sendmail.cf, an agent that writes down what it gets, and an empty queue.
pub struct Old {
    dir: tempfile::TempDir,
    port: u16,
    pub server: Option<TcpListener>,
}

impl Old {
    pub fn new() -> Old {
        let dir = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let old = Old { port: server.local_addr().unwrap().port(), server: Some(server), dir };
        std::fs::create_dir(old.path("q")).unwrap();
        std::fs::set_permissions(old.path("q"), std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::set_permissions(old.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let agent = "#!/bin/sh\n{ echo \"ARGS $*\"; echo \"ENV $AGENT $X-$HOME\"; pwd; cat; } >> DIR/log\n\
                     for word; do last=$word; done\ncase $last in games) exit 67;; bin) exit 75;; sys) exit 77;; esac\n";
        old.write("agent", &agent.replace("DIR", &old.dir.path().display().to_string()));
        std::fs::set_permissions(old.path("agent"), std::fs::Permissions::from_mode(0o755)).unwrap();
        old.write("aliases", "list: root, games\nlist: sync, games\nprog: \"|cat > DIR/prog; exit 0\"\nmany: a@script.test, b@script.test\n");
        old.write("sendmail.cf", FILE);
        old
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let text = text.replace("DIR", &self.dir.path().display().to_string()).replace("PORT", &self.port.to_string());
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn run(&self, arguments: &[&str], input: &str) -> (i32, String) {
        let mut command = Command::new(bin("emsend"));
        command.env_remove("EM_ROOT").arg("-C").arg(self.path("sendmail.cf")).args(arguments);
        let out = feed(&mut command, input.as_bytes());
        // Where there is no system log, standard error has it.
        let log = text(&out.stderr)
            .lines()
            .filter(|line| !line.starts_with("<22>") && !line.starts_with("<19>"))
            .fold(String::new(), |all, line| all + line + "\n");
        (out.status.code().unwrap_or(-1), text(&out.stdout) + &log)
    }

    pub fn send(&self, arguments: &[&str]) -> (i32, String) {
        self.run(arguments, "Subject: hello\n\nbody\nFrom here\n.\n")
    }

    pub fn queued(&self) -> usize {
        let said = self.run(&["-bP"], "").1;
        said.trim().trim_start_matches("Total requests: ").parse().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn addresses_are_verified_in_sendmails_words() {
    let old = Old::new();
    let (code, said) = old.run(&["-bv", "root", "nobodyx", "list", "prog", "x@far.test", "a@script.test"], "");
    let expected = format!(
        "nobodyx... User unknown\nroot... deliverable: mailer local, user root\ngames... deliverable: mailer local, user games\n\
         sync... deliverable: mailer local, user sync\n\
         \"|cat > {0}/prog; exit 0\"... deliverable: mailer prog, user \"|cat > {0}/prog; exit 0\"\n\
         x@far.test... deliverable: mailer relay, host [127.0.0.1], user x@far.test\n\
         a@script.test... deliverable: mailer script, host thehost, user a@script.test\n",
        old.dir.path().display()
    );
    assert_eq!((code, said), (67, expected));
}

#[test]
fn a_local_mailer_gets_the_message_as_its_line_says() {
    let old = Old::new();
    assert_eq!(old.send(&["-froot", "-FSome Body", "root"]), (0, String::new()));
    let log = old.read("log");
    assert!(log.starts_with("ARGS local root\nENV sendmail seven-\n"), "{log}");
    let (_, message) = log.split_once("Return-Path: ").unwrap();
    assert!(message.starts_with("<root>\nReceived: (from "), "{log}");
    for line in [
        "\tfor root; ",
        "\nDate: ",
        "\nFrom: Some Body <root>\n",
        "\nMessage-Id: <",
        "\nSubject: hello\n\nbody\nFrom here\n",
    ] {
        assert!(message.contains(line), "{line:?} in {log}");
    }
    assert!(!message.contains("Full-Name") && !message.contains("\n.\n"), "{log}");
    assert_eq!(old.queued(), 0);
}

#[test]
fn exit_codes_of_agents_are_those_of_the_command() {
    let old = Old::new();
    assert_eq!(old.send(&["games"]).0, 67);
    assert_eq!(old.send(&["sys"]).0, 77);
    assert_eq!(old.send(&["-oee", "games"]).0, 0);
    assert_eq!(old.send(&["nobodyx"]), (67, "nobodyx... User unknown\n".to_string()));
    assert_eq!(old.send(&["nobodyx", "root"]).0, 67);
    // The other recipient has the message nevertheless.
    assert!(old.read("log").contains("ARGS local root\n"));
    assert_eq!(old.send(&["bin"]), (0, String::new()));
    assert_eq!(old.queued(), 1);
    let (_, listed) = old.run(&["-bp"], "");
    assert!(
        listed.contains(" root\n") && listed.contains("(Deferred") && listed.contains("\t\t\t\t\t bin\n"),
        "{listed}"
    );
    assert!(listed.ends_with("\t\tTotal requests: 1\n"), "{listed}");
    old.write("agent", "#!/bin/sh\ncat > DIR/second\n");
    old.run(&["-q"], "");
    assert_eq!(old.queued(), 0);
    assert!(old.read("second").contains("Subject: hello"));
}

#[test]
fn queue_only_and_modes_of_the_command_line_stand_above_the_file() {
    let old = Old::new();
    assert_eq!(old.send(&["-odq", "root"]), (0, String::new()));
    assert_eq!((old.queued(), old.read("log")), (1, String::new()));
    assert_eq!(old.send(&["-O", "QueueDirectory=/nonexistent/q", "root"]).0, 71);
    let (code, said) = old.run(&["-O", "MaxMessageSize=100", "root"], &"x".repeat(500));
    assert!(code != 0 && said.contains("100"), "{code} {said}");
    old.run(&["-q"], "");
    assert!(old.read("log").contains("ARGS local root"));
}

#[test]
fn flag_m_takes_all_recipients_at_once_and_prog_runs_a_shell() {
    let old = Old::new();
    assert_eq!(old.send(&["many"]).0, 0);
    assert!(old.read("log").starts_with("ARGS script thehost b@script.test a@script.test\n"), "{}", old.read("log"));
    assert!(old.read("log").contains("\n>From here\n"), "flag E: {}", old.read("log"));
    assert_eq!(old.send(&["prog"]), (0, String::new()));
    assert!(
        old.read("prog").starts_with("From ") && old.read("prog").contains("\nSubject: hello\n"),
        "{}",
        old.read("prog")
    );
}

/// Speaks LMTP by standard input and output, and writes down what it hears; nobody is called games.
const LMTPD: &str = r#"#!/bin/sh
cr=$(printf '\r') n=0
say() { printf '%s\r\n' "$1"; }
say "220 lmtpd ready"
while IFS= read -r line; do
  line=${line%"$cr"}
  echo "$line" >> DIR/log
  case $line in
  LHLO*) say 250-lmtpd; say "250 PIPELINING" ;;
  RCPT*games*) say "550 5.1.1 no such user" ;;
  RCPT*) n=$((n + 1)); say "250 ok" ;;
  DATA)
    say "354 go on"
    while IFS= read -r text && text=${text%"$cr"} && [ "$text" != . ]; do echo "$text" >> DIR/log; done
    while [ $n -gt 0 ]; do n=$((n - 1)); say "250 2.1.5 kept"; done ;;
  QUIT) say "221 bye"; exit ;;
  *) say "250 ok" ;;
  esac
done
"#;

#[test]
fn a_program_with_flag_z_is_spoken_to_by_lmtp() {
    let old = Old::new();
    old.write("lmtpd", LMTPD);
    std::fs::set_permissions(old.path("lmtpd"), std::fs::Permissions::from_mode(0o755)).unwrap();
    old.write("log", "");
    if nix::unistd::geteuid().is_root() {
        nix::unistd::chown(&old.path("log"), Some(nix::unistd::Uid::from_raw(1)), None).unwrap();
    }
    let local = FILE.lines().find(|line| line.starts_with("Mlocal")).unwrap();
    let file = FILE.replace(local, "Mlocal, P=DIR/lmtpd, F=lsDFMmnz, A=lmtpd -l");
    old.write("sendmail.cf", &file.replace("R$+ < @ script.test >", "R$+ < @ nowhere.test >"));
    old.write("aliases", "both: bin, sys\nsome: bin, games\n");
    assert_eq!(old.send(&["both"]), (0, String::new()));
    let log = old.read("log");
    assert!(log.starts_with("LHLO mail.example.test\nMAIL FROM:<"), "{log}");
    assert!(log.contains("\nRCPT TO:<sys>\nRCPT TO:<bin>\nDATA\n"), "{log}");
    // In one conversation, with all lines as they were, and an end of our own.
    assert!(log.contains("\nSubject: hello\n") && log.ends_with("\nbody\nFrom here\nQUIT\n"), "{log}");
    assert_eq!(log.matches("LHLO").count(), 1, "{log}");
    assert_eq!(old.queued(), 0);
    // Each recipient has a reply of its own.
    let (code, _) = old.send(&["some"]);
    assert_eq!((code, old.queued()), (67, 0));
    assert!(old.read("log").contains("\nRCPT TO:<games>\n"), "{}", old.read("log"));
    // No argument names them, so that a dash does no harm.
    let to_dash = file.replace("R$+ < @ script.test >", "R-oops < @ $=w >\t$#local $: -oops\nR$+ < @ nowhere.test >");
    old.write("sendmail.cf", &to_dash);
    assert_eq!(old.run(&["-t"], "To: -oops@localhost\n\nbody\n"), (0, String::new()));
    assert!(old.read("log").contains("\nRCPT TO:<-oops>\n"), "{}", old.read("log"));
    // A program that says nothing sensible has taken nothing.
    old.write("lmtpd", "#!/bin/sh\nexit 0\n");
    assert_eq!((old.send(&["bin"]).0, old.queued()), (0, 1));
}

#[test]
fn a_mailer_may_name_a_socket_of_this_machine() {
    let old = Old::new();
    let listener = UnixListener::bind(old.path("socket")).unwrap();
    let heard = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(socket.try_clone().unwrap());
        let mut heard = String::new();
        (&socket).write_all(b"220 lmtpd\r\n").unwrap();
        while lines.read_line(&mut heard).unwrap_or(0) > 0 {
            let reply = match heard.lines().last().unwrap() {
                "DATA" => "354 go\r\n",
                "QUIT" => return heard,
                line if line == "." || line.starts_with("LHLO") || line.contains(":<") => "250 ok\r\n",
                _ => continue,
            };
            (&socket).write_all(reply.as_bytes()).unwrap();
        }
        heard
    });
    let local = FILE.lines().find(|line| line.starts_with("Mlocal")).unwrap();
    old.write("sendmail.cf", &FILE.replace(local, "Mlocal, P=[IPC], F=lsDFMmz, E=\\r\\n, A=FILE DIR/socket"));
    assert_eq!(old.send(&["bin"]), (0, String::new()));
    let heard = heard.join().unwrap();
    assert!(
        heard.starts_with("LHLO ") && heard.contains("\r\nRCPT TO:<bin>\r\n") && heard.contains("\nbody\r\n"),
        "{heard}"
    );
    assert_eq!(old.queued(), 0);
}

#[test]
fn each_file_gets_the_message_whatever_flags_its_mailer_has() {
    let old = Old::new();
    old.write("sendmail.cf", &format!("{FILE}M*file*, P=[FILE], F=lsDFMPEouqm, A=FILE $u\n"));
    old.write("aliases", "files: DIR/one, DIR/two\n");
    for name in ["one", "two"] {
        old.write(name, "");
        let owner = Some(nix::unistd::Uid::from_raw(1)).filter(|_| nix::unistd::geteuid().is_root());
        nix::unistd::chown(&old.path(name), owner, None).unwrap();
    }
    assert_eq!(old.send(&["files"]), (0, String::new()));
    for name in ["one", "two"] {
        assert!(old.read(name).contains("\nSubject: hello\n"), "{name}: {}", old.read(name));
    }
}

#[test]
fn no_address_becomes_an_option_of_a_program() {
    let old = Old::new();
    assert_eq!(old.run(&["-t"], "To: -oops@script.test\n\nbody\n").0, 69);
    // Its sender is told, by the mailer for users.
    let log = old.read("log");
    assert!(log.starts_with("ARGS local root\n") && log.contains("begin with a dash"), "{log}");
    assert!(!log.contains("ARGS script"), "{log}");
    assert_eq!(old.send(&["o-ps@script.test"]).0, 0);
    assert!(old.read("log").contains("ARGS script thehost o-ps@script.test\n"), "{}", old.read("log"));
}

#[test]
fn a_host_is_spoken_to_at_the_mailers_port() {
    let mut old = Old::new();
    let server = old.server.take().unwrap();
    let heard = std::thread::spawn(move || {
        let mut heard = String::new();
        let (mut socket, _) = server.accept().unwrap();
        let mut lines = BufReader::new(socket.try_clone().unwrap());
        socket.write_all(b"220 far.test ESMTP\r\n").unwrap();
        let mut in_text = false;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return heard;
            }
            heard.push_str(&line);
            let reply: &[u8] = match (in_text, line.trim_end()) {
                (true, ".") => b"250 ok\r\n",
                (true, _) => continue,
                (_, "DATA") => b"354 go\r\n",
                (_, "QUIT") => b"221 bye\r\n",
                _ => b"250 ok\r\n",
            };
            in_text = reply.starts_with(b"354");
            socket.write_all(reply).unwrap();
        }
    });
    let long = format!("Subject: x\nTo: y@far.test,\n z@far.test\n\n{}\n", "a".repeat(1500));
    assert_eq!(old.run(&["-f", "me@here.test", "x@far.test"], &long), (0, String::new()));
    let heard = heard.join().unwrap();
    for line in ["MAIL FROM:<me@here.test>", "RCPT TO:<x@far.test>", "\r\nTo: y@far.test, z@far.test\r\n", "!\r\naaa"] {
        assert!(heard.contains(line), "{line:?} in {heard}");
    }
    let longest = heard.lines().map(str::len).max().unwrap();
    assert!(longest <= 990, "{longest}");
    assert_eq!(old.queued(), 0);
}

#[test]
fn smtp_on_standard_input_takes_mail_for_the_files_mailers() {
    let old = Old::new();
    let dialogue = "EHLO x\r\nMAIL FROM:<me@here.test>\r\nRCPT TO:<nobodyx@mail.example.test>\r\n\
                    RCPT TO:<root@mail.example.test>\r\nDATA\r\nSubject: y\r\n\r\nhi\r\n.\r\nQUIT\r\n";
    let (code, said) = old.run(&["-bs"], dialogue);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("220 mail.example.test ESMTP hello from ExpressMail-"), "{said}");
    assert!(
        said.contains("\n550 5.1.1 <nobodyx@mail.example.test>... User unknown") && said.contains("\n354 "),
        "{said}"
    );
    old.run(&["-q"], "");
    let log = old.read("log");
    assert!(log.contains("ARGS local root\n") && log.contains("Return-Path: <me@here.test>\n"), "{log}");
    assert!(log.contains("Received: from x ("), "{log}");
}

#[test]
fn mistakes_and_foreign_queues_are_told_and_nothing_is_touched() {
    let old = Old::new();
    old.write("q/qf6AU9PQeu013973", "V8\n");
    let (code, said) = old.send(&["root"]);
    assert!(
        code == 78 && said.contains("holds messages of sendmail's own") && said.contains("qf6AU9PQeu013973"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(old.path("q")).unwrap().count(), 1);
    assert_eq!(old.run(&["-bv", "root"], "").0, 0);
    old.write("sendmail.cf", &format!("{FILE}Zwhat\n"));
    let (code, said) = old.send(&["root"]);
    assert!(code == 70 && said.contains("unknown configuration line \"Zwhat\""), "{said}");
    let mut command = Command::new(bin("emsend"));
    let out = feed(command.args(["-C", "/nonexistent/sendmail.cf", "root"]), b"x");
    let expected = "/nonexistent/sendmail.cf: line 0: cannot open: No such file or directory\n";
    assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(72), expected));
}

#[test]
fn what_has_no_effect_is_named_once_with_its_line() {
    let old = Old::new();
    let (code, said) = old.run(&["-bC"], "");
    assert_eq!(code, 0, "{said}");
    let line = 1 + FILE.lines().position(|line| line.starts_with("O DialDelay")).unwrap();
    let note = format!("{}:{line}: option DialDelay: ", old.path("sendmail.cf").display());
    assert_eq!(said.matches(&note).count(), 1, "{said}");
    assert!(!said.contains("option QueueDirectory") && !said.contains("H lines"), "{said}");
    let mut command = Command::new(bin("emconf"));
    let out = feed(command.env_remove("EM_ROOT").arg("--cf").arg(old.path("sendmail.cf")).arg("check"), b"");
    assert_eq!(text(&out.stdout), said);
}

#[test]
fn a_forward_file_is_followed_with_its_owners_rights_only_when_it_is_safe() {
    let old = Old::new();
    old.write("forward.root", "list, \"|cat > DIR/forwarded; exit 0\"\n");
    let (_, said) = old.run(&["-bv", "root"], "");
    assert!(
        said.contains("mailer prog, user \"|cat > ") && said.contains("sync... deliverable: mailer local"),
        "{said}"
    );
    std::fs::set_permissions(old.path("forward.root"), std::fs::Permissions::from_mode(0o666)).unwrap();
    let (_, said) = old.run(&["-bv", "root"], "");
    assert_eq!(said, "root... deliverable: mailer local, user root\n");
}

/// What a command prints and ends with, without what only sendmail does: a text that the caller may have been shown is kept.
fn answer(out: &Output) -> String {
    let lines = text(&out.stdout)
        .lines()
        .filter(|line| !line.contains("dead.letter"))
        .fold(String::new(), |all, line| all + line + "\n");
    format!("{lines}exit {:?}\n", out.status.code())
}

#[test]
fn a_generated_file_gives_sendmails_answers_and_exit_codes() {
    let Some(bed) = Bed::new() else { return };
    let dir = bed.path().display().to_string();
    let old = Old::new();
    let agent = old.read("agent").replace(&old.dir.path().display().to_string(), &dir);
    std::fs::write(bed.path().join("agent"), agent).unwrap();
    std::fs::set_permissions(bed.path().join("agent"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(
        bed.path().join("aliases"),
        format!("list: root, games\nprog: \"|cat > {dir}/prog; exit 0\"\npartly: root, nobodyx\n"),
    )
    .unwrap();
    std::fs::write(bed.path().join("mailertable"), "script.test script:thehost\n").unwrap();
    let made = |queue: &str| {
        std::fs::create_dir(bed.path().join(queue)).unwrap();
        std::fs::set_permissions(bed.path().join(queue), std::fs::Permissions::from_mode(0o700)).unwrap();
        let lines = format!(
            "OSTYPE(`linux')dnl\ndefine(`confDOMAIN_NAME',`mail.example.com')dnl\ndefine(`confSERVICE_SWITCH_FILE',`{dir}/switch')dnl\n\
             define(`QUEUE_DIR',`{dir}/{queue}')dnl\ndefine(`ALIAS_FILE',`{dir}/aliases')dnl\ndefine(`confDELIVERY_MODE',`i')dnl\n\
             FEATURE(`local_procmail',`{dir}/agent',`agent -a $h -d $u')dnl\n\
             FEATURE(`mailertable',`text -k0 -v1 {dir}/mailertable')dnl\nFEATURE(nouucp,reject)dnl\nFEATURE(nocanonify)dnl\n\
             FEATURE(accept_unresolvable_domains)dnl\ndefine(`SMART_HOST',`relay:[127.0.0.1]')dnl\n\
             define(`RELAY_MAILER_ARGS',`TCP $h 9')dnl\nMAILER(local)dnl\nMAILER(smtp)dnl\n\
             Mscript, P={dir}/agent, F=mDFMnS, S=0, R=0, A=agent script $h $u\n"
        );
        let file = bed.path().join(format!("{queue}.cf"));
        std::fs::write(&file, bed.generated(&lines)).unwrap();
        file
    };
    let (theirs, ours) = (made("theirs"), made("ours"));
    let message = "Subject: x\n\nbody\n";
    for arguments in [
        &["-bv", "root", "nobodyx", "list", "prog", "someone@far.test", "a@script.test", "root+x"][..],
        &["-bv", "list"],
        &["-bv", "b@y.test", "root", "list", "a@x.test", "root@mail.example.com"],
        &["-bv", "partly"],
        &["-bv", "root@"],
        &["-bv", "@x"],
        &["-bv", "a@@b"],
        &["-bv", "|x"],
        &["-bv", "/tmp/x"],
        &["-bv"],
        &["partly"],
        &["a@@b"],
        &["-bi"],
        &["-bp"],
        &["root"],
        &["root+x"],
        &["games"],
        &["sys"],
        &["nobodyx"],
        &["nobodyx", "root"],
        &["list"],
        &["a@script.test"],
        &["-oem", "nobodyx"],
        &["-oeq", "nobodyx"],
        &["-oee", "nobodyx"],
        &["-t"],
        &["-C/nonexistent/file.cf", "root"],
    ] {
        let run = |program: &Path, file: &Path| {
            let mut command = bed.command(program);
            command.arg("-C").arg(file).args(arguments).env_remove("EM_ROOT");
            answer(&feed(&mut command, message.as_bytes()))
        };
        let (their, our) = (run(&bed.sendmail(), &theirs), run(&bin("emsend"), &ours));
        assert_eq!(our.replace("/ours", "/theirs"), their, "{arguments:?}");
    }
}
