//! The test mode of the rules, by itself and beside the real sendmail.

use super::world::{bin, feed};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FILE: &str = "V10/Berkeley\nO OperatorChars=.:%@!^/[]+\nCPlocal.test\nMlocal, P=/bin/sh, F=lsDFMAw5:/|@q, A=sh $u\n\
Mnet, P=[IPC], F=mDFMuX, E=\\r\\n, L=990, A=TCP $h\nScanonify=3\nR$* < $+ > $*\t$: $2\nR$+ @ $+\t$: $1 < @ $2 >\n\
Sfinal=4\nR$* < $+ > $*\t$: $1 $2 $3\nSparse=0\nR$+ < @ $=P >\t$#local $: $1\nR$+ < @ $+ >\t$#net $@ $2 $: $1 < @ $2 >\n\
Rnobody\t$#error $@ 5.1.1 $: \"550 no such user\"\nR$+\t$#local $: $1\n";

fn test_mode(program: &Path, file: &Path, input: &str) -> Output {
    let mut command = Command::new(program);
    command.args(["-bt", "-C"]).arg(file).env_remove("EM_ROOT").env("LC_ALL", "C");
    feed(&mut command, input.as_bytes())
}

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("test.cf");
    std::fs::write(&file, text).unwrap();
    (dir, file)
}

#[test]
fn a_file_is_tested_line_by_line() {
    let (_dir, file) = written(FILE);
    let out = test_mode(&bin("emsend"), &file, "3,0 Alice@local.test\n/parse bob@Far.test\n.Dxnew\n$x\n/quit\n");
    assert!(out.status.success(), "{out:?}");
    let expected = "\
ADDRESS TEST MODE (ruleset 3 NOT automatically invoked)
Enter <ruleset> <address>
> canonify           input: Alice @ local . test
canonify         returns: Alice < @ local . test >
parse              input: Alice < @ local . test >
parse            returns: $# local $: Alice
> Cracked address = $g
Parsing envelope recipient address
canonify           input: bob @ Far . test
canonify         returns: bob < @ Far . test >
parse              input: bob < @ Far . test >
parse            returns: $# net $@ Far . test $: bob < @ Far . test >
2                  input: bob < @ Far . test >
2                returns: bob < @ Far . test >
final              input: bob < @ Far . test >
final            returns: bob @ Far . test
mailer net, host far.test, user bob@Far.test
> > new
> ";
    assert_eq!(String::from_utf8_lossy(&out.stdout), expected);
}

#[test]
fn mistakes_are_told_and_end_in_70_a_missing_file_in_72() {
    let (dir, file) = written(&format!("{FILE}Z what\n"));
    let out = test_mode(&bin("emsend"), &file, "");
    assert_eq!(out.status.code(), Some(70), "{out:?}");
    assert!(
        String::from_utf8_lossy(&out.stdout).contains(": line 16: unknown configuration line \"Z what\"\n"),
        "{out:?}"
    );
    let out = test_mode(&bin("emsend"), &dir.path().join("none.cf"), "");
    assert_eq!(out.status.code(), Some(72), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("line 0: cannot open: No such file or directory"), "{out:?}");
}

/// Where Debian's packages sendmail-bin and sendmail-cf are: installed, or unpacked below EM_SENDMAIL_ROOT.
fn sendmail() -> Option<(PathBuf, PathBuf)> {
    let root = PathBuf::from(std::env::var_os("EM_SENDMAIL_ROOT").unwrap_or_else(|| "/".into()));
    let (program, cf) = (root.join("usr/libexec/sendmail/sendmail"), root.join("usr/share/sendmail/cf"));
    let found = program.exists() && cf.join("m4/cf.m4").exists();
    if !found {
        println!("skipped: sendmail-bin and sendmail-cf are not installed");
    }
    found.then_some((program, cf))
}

/// A file in `dir` as m4 makes it from Debian's package; `None` without m4.
fn generated(cf: &Path, lines: &str, dir: &Path) -> Option<PathBuf> {
    let (source, switch, file) = (dir.join("test.mc"), dir.join("switch"), dir.join("test.cf"));
    // Neither side asks the DNS.
    std::fs::write(&switch, "hosts\tfiles\n").unwrap();
    let head = format!("OSTYPE(`linux')dnl\ndefine(`confSERVICE_SWITCH_FILE',`{}')dnl\n", switch.display());
    std::fs::write(&source, format!("{head}{lines}MAILER(`local')dnl\nMAILER(`smtp')dnl\n")).unwrap();
    let define = format!("-D_CF_DIR_={}/", cf.display());
    let out = Command::new("m4").arg(define).arg(cf.join("m4/cf.m4")).arg(&source).output().ok()?;
    std::fs::write(&file, &out.stdout).unwrap();
    out.status.success().then_some(file)
}

/// The real program, which may wait for a name server at its start; `None` when it does.
fn bounded(program: &Path, file: &Path, input: &str) -> Option<Output> {
    let mut command = Command::new("timeout");
    command.arg("60").arg(program).args(["-bt", "-C"]).arg(file).env("LC_ALL", "C");
    let out = feed(&mut command, input.as_bytes());
    (out.status.code() != Some(124)).then_some(out)
}

#[test]
fn generated_files_give_the_answers_of_sendmail() {
    let Some((program, cf)) = sendmail() else { return };
    let configurations = [
        "",
        "define(`confDOMAIN_NAME',`mail.example.com')dnl\nMASQUERADE_AS(`example.com')dnl\nFEATURE(`masquerade_envelope')dnl\n",
        "define(`confDOMAIN_NAME',`mail.example.com')dnl\ndefine(`SMART_HOST',`relay.example.net')dnl\nFEATURE(`nocanonify')dnl\n",
    ];
    let users = ["a", "Joe.User", "\"q q\"", "a+b", "a%h.test", "h!u", "\"a@b\""];
    let hosts = ["", "@localhost", "@mail.example.com", "@other.test", "@a.b.c", "@[10.1.2.3]", "@x.UUCP", "@b@c"];
    let mut input = String::new();
    for user in users {
        for host in hosts {
            input.push_str(&format!("3,0 {user}{host}\n/parse {user}{host}\n/try esmtp {user}{host}\n"));
        }
    }
    for odd in ["<>", "<a@b>", "<@a,@b:c@d>", "Joe <j@x.test>", "a b", "@", "a..b@c", "list: a@b;", "(", "<", ">"] {
        input.push_str(&format!("3,0 {odd}\n/parse {odd}\n"));
    }
    for lines in configurations {
        let dir = tempfile::tempdir().unwrap();
        let Some(file) = generated(&cf, lines, dir.path()) else { return println!("skipped: m4 is not installed") };
        let Some(theirs) = bounded(&program, &file, &input) else {
            return println!("skipped: sendmail waits for a name server");
        };
        let ours = test_mode(&bin("emsend"), &file, &input);
        let lines = |out: &Output| -> Vec<String> {
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            text.lines().filter(|l| !l.starts_with("WARNING: local host name")).map(str::to_string).collect()
        };
        let (theirs, ours) = (lines(&theirs), lines(&ours));
        assert!(theirs.len() > 1000, "{theirs:?}");
        for (number, (their, our)) in theirs.iter().zip(&ours).enumerate() {
            assert_eq!(our, their, "line {number}");
        }
        assert_eq!(ours.len(), theirs.len());
    }
}
