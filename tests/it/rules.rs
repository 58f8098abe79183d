//! The test mode of the rules, by itself and beside the real sendmail.

mod outside;
mod random;
pub mod sendmail;

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
