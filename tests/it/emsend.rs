//! emsend as programs use it.

use super::world::{World, bin};
use std::process::Command;

#[test]
fn dots_crlf_and_exit_codes() {
    let world = World::new();
    std::fs::write(world.path("etc/routes"), "unrouted.test error:nohost 550 no way there\n").unwrap();
    let out = world.run_with("emsend", &["alice@example.test"], b"Subject: x\r\n\r\nline\r\n.\r\nafter\r\n");
    assert!(out.status.success(), "{out:?}");
    let out = world.run_with("emsend", &["-i", "alice@example.test"], b"Subject: x\n\n.\nafter\n");
    assert!(out.status.success(), "{out:?}");
    let texts = world.await_mail("alice", 2);
    assert!(texts[0].ends_with("\n\nline\n"), "{}", texts[0]);
    assert!(texts[1].ends_with("\n\n.\nafter\n"), "{}", texts[1]);
    for (arguments, code) in [
        (vec!["nobody@example.test"], 67),
        (vec!["x@unrouted.test"], 68),
        (vec![], 64),
        (vec!["-Z"], 64),
        (vec!["not an address <"], 64),
        (vec![""], 64),
        (vec!["-t"], 64),
        (vec!["-f", "a@b@c", "alice@example.test"], 64),
        (vec!["-f", "a", "-f", "b", "alice@example.test"], 64),
        (vec!["-B", "x", "alice@example.test"], 64),
        (vec!["-N", "never,success", "alice@example.test"], 64),
        (vec!["-bs", "-Z"], 64),
        (vec!["alice@example.test", "nobody@example.test"], 67),
        (vec!["-oeq", "nobody@example.test"], 67),
    ] {
        let out = world.run_with("emsend", &arguments, b"Subject: x\n\ny\n");
        assert_eq!(out.status.code(), Some(code), "{arguments:?}: {out:?}");
        assert_eq!(out.stderr.is_empty(), arguments[..].contains(&"-oeq"), "{arguments:?}: {out:?}");
    }
}

#[test]
fn it_answers_to_its_old_names() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let call = |name: &str, arguments: &[&str]| {
        let path = dir.path().join(name);
        let _ = std::os::unix::fs::symlink(bin("emsend"), &path);
        let out = Command::new(path).args(arguments).env("EM_ROOT", world.root()).output().unwrap();
        assert!(out.status.success(), "{name}: {out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    assert!(call("mailq", &[]).contains("spool is empty"));
    assert!(call("newaliases", &[]).contains("4 aliases"));
    assert!(call("sendmail", &["-bv", "postmaster"]).contains("deliverable: mailer mailbox"));
    std::fs::write(world.path("etc/routes"), "away.test esmtp:[127.0.0.1]:1\n").unwrap();
    let out = world.run_with("emsend", &["-odq", "-f", "alice@example.test", "x@away.test"], b"Subject: q\n\ny\n");
    assert!(out.status.success(), "{out:?}");
    let text = call("mailq", &[]);
    assert!(
        text.contains("(1 request)") && text.contains("<alice@example.test>") && text.contains("<x@away.test>"),
        "{text}"
    );
}

#[test]
fn odd_input_is_taken_and_odd_headers_are_named() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    // A name in Latin-1, as an old program passes it.
    let mut command = world.command("emsend");
    command.arg(std::ffi::OsStr::from_bytes(b"-FJos\xe9")).args(["-f", "Alice <alice@example.test>", "bob"]);
    let out = super::world::feed(&mut command, b"");
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    let text = &world.await_mail("bob", 1)[0];
    assert!(text.starts_with("Return-Path: <alice@example.test>\n") && text.contains("\nFrom: =?utf-8?B?"), "{text}");
    let out = world.run_with("emsend", &["-t"], b"To: alice, <bob@\nSubject: x\n\ny\n");
    assert_eq!(out.status.code(), Some(65), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("To: "), "{out:?}");
    world.set("smtp.message_size", "2k");
    let long = [b"Subject: x\n\n".as_slice(), &b"0123456789\n".repeat(300)].concat();
    let out = world.run_with("emsend", &["alice"], &long);
    assert_eq!(out.status.code(), Some(65), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("larger than 2048 octets"), "{out:?}");
    assert!(world.mailbox("alice").is_empty() && world.queued().is_empty());
}

#[test]
fn listings_are_narrowed_and_daemons_are_daemons() {
    let world = World::new();
    std::fs::write(world.path("etc/routes"), "away.test esmtp:[127.0.0.1]:1\n").unwrap();
    for to in ["one@away.test", "two@away.test"] {
        assert!(world.run_with("emsend", &["-odq", to], b"x\n").status.success());
    }
    for arguments in [vec!["-bp", "-qRone@"], vec!["-qRone@", "-bp"]] {
        let text = world.ok("emsend", &arguments);
        assert!(text.contains("(1 request)") && !text.contains("two@"), "{text}");
    }
    assert_eq!(world.ok("emsend", &["-bP"]), "Total requests: 2\n");
    assert_eq!(world.queued().len(), 2, "listing runs nothing");
    world.ok("emsend", &["-bC"]);
    world.ok("emsend", &["-bd", "-q15m"]);
    world.ok("emd", &["status"]);
    world.ok("emd", &["stop"]);
}

#[test]
fn bs_speaks_smtp_on_standard_input() {
    let world = World::new();
    let talk = b"EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: x\r\n\r\ny\r\n.\r\nQUIT\r\n";
    let out = world.run_with("emsend", &["-bs"], talk);
    assert!(String::from_utf8_lossy(&out.stdout).contains("\r\n250 2.0.0 Ok: "), "{out:?}");
    world.await_mail("bob", 1);
}

#[test]
fn a_caller_without_rights_hands_in_and_the_queue_takes_over() {
    use std::os::unix::fs::PermissionsExt;
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can act as another user");
        return;
    }
    let world = World::new();
    let open = |name: &str, mode: u32| {
        std::fs::set_permissions(world.path(name), std::fs::Permissions::from_mode(mode)).unwrap()
    };
    std::fs::set_permissions(world.root(), std::fs::Permissions::from_mode(0o755)).unwrap();
    open("spool/drop", 0o1777);
    open("etc/users", 0o644);
    // nobody can't run a binary below a closed folder: a copy in an open one.
    let bins = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let copy = bins.path().join("emsend");
    for command in ["emsend", "emsmtp"] {
        std::fs::copy(bin(command), bins.path().join(command)).unwrap();
    }
    use std::os::unix::process::CommandExt;
    let call = |arguments: &[&str]| {
        let mut command = Command::new(&copy);
        command.arg("--root").arg(world.root()).args(arguments).uid(65534).gid(65534).current_dir("/");
        command
    };
    let message = b"To: bob@example.test\nSubject: dropped\n\ntext\n";
    let out = super::world::feed(&mut call(&["-t", "-f", "alice@example.test"]), message);
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    let out = super::world::feed(&mut call(&["-t"]), b"Subject: nobody named\n\n");
    assert_eq!(out.status.code(), Some(64), "nobody reads an answer later: {out:?}");
    let out = super::world::feed(&mut call(&["-bs"]), b"EHLO x\r\n");
    assert_eq!(out.status.code(), Some(77), "{out:?}");
    // Who may not look says why it can't be told, and not only that.
    open("etc/users", 0o600);
    let out = super::world::feed(&mut call(&["-bv", "bob@example.test"]), b"");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("/etc/users: Permission denied") && said.contains("... 451 4.3.0 "), "{said}");
    open("etc/users", 0o644);
    assert!(world.mailbox("bob").is_empty());
    world.ok("emqueue", &["run"]);
    let text = &world.await_mail("bob", 1)[0];
    assert!(
        text.contains("Subject: dropped")
            && text.contains("X-Authentication-Warning: mail.example.test: nobody set sender to alice@example.test"),
        "{text}"
    );
}
