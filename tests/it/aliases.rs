//! Aliases of all kinds, end to end.

use super::world::World;

fn send(world: &World, to: &str, text: &str) -> std::process::Output {
    world.run_with("emsend", &["-f", "bob@example.test", to], text.as_bytes())
}

#[test]
fn files_programs_includes_and_owners() {
    let world = World::new();
    world.add("carol@example.test", &[]);
    let script = world.path("prog.sh");
    std::fs::write(&script, "#!/bin/sh\n{ echo \"$SENDER $RECIPIENT $1\"; cat; } > \"$2\"\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(world.root(), std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::write(world.path("members"), "alice\n# no\ncarol@example.test\n").unwrap();
    let root = world.root().display();
    let aliases = format!(
        "tofile: {root}/box\ntoprog: \"|{root}/prog.sh 'a b;c' {root}/out\"\nlist: :include:{root}/members\nowner-list: carol\n\
         loud: \"|/bin/sh -c 'echo something is wrong; exit 69'\"\nshelled: \"|sh: cat > {root}/shell-out\"\ngone: error:5.1.6 Moved away\n"
    );
    std::fs::write(world.path("etc/aliases"), aliases).unwrap();
    world.start();
    assert!(send(&world, "tofile", "Subject: f\n\nFrom the start\n").status.success());
    assert!(send(&world, "toprog", "Subject: p\n\nbody\n").status.success());
    assert!(send(&world, "shelled", "Subject: s\n\nbody\n").status.success());
    assert!(send(&world, "list", "Subject: l\n\nbody\n").status.success());
    assert!(send(&world, "loud", "Subject: bad\n\nbody\n").status.success());
    let gone = send(&world, "gone", "x\n");
    assert!(!gone.status.success() && String::from_utf8_lossy(&gone.stderr).contains("Moved away"), "{gone:?}");
    super::world::wait_until("the file", || world.path("box").exists());
    super::world::wait_until("the program", || {
        std::fs::read_to_string(world.path("out")).is_ok_and(|t| t.contains("body"))
    });
    super::world::wait_until("the shell", || {
        std::fs::read_to_string(world.path("shell-out")).is_ok_and(|t| t.contains("body"))
    });
    super::world::wait_until("the file's text", || {
        std::fs::read_to_string(world.path("box")).is_ok_and(|t| t.ends_with("\n>From the start\n\n"))
    });
    let out = std::fs::read_to_string(world.path("out")).unwrap();
    assert!(out.starts_with("bob@example.test toprog@example.test a b;c\n"), "{out}");
    assert!(world.await_mail("alice", 1)[0].starts_with("Return-Path: <owner-list@example.test>\n"));
    world.await_mail("carol", 1);
    let bounce = &world.await_mail("bob", 1)[0];
    assert!(bounce.contains("something is wrong") && bounce.contains("Status: 5.3.0"), "{bounce}");
}

#[test]
fn edits_are_seen_without_a_restart() {
    let world = World::new();
    world.start();
    let mut smtp = super::wire::Client::connect(world.address("smtp"));
    smtp.reply();
    smtp.ask("EHLO x");
    smtp.ask("MAIL FROM:<>");
    assert!(smtp.ask("RCPT TO:<new@example.test>").starts_with("550"));
    std::fs::write(world.path("etc/aliases"), "new: alice\n").unwrap();
    assert!(smtp.ask("RCPT TO:<new@example.test>").starts_with("250"));
    std::fs::write(world.path("etc/aliases"), "broken\n").unwrap();
    assert!(smtp.ask("RCPT TO:<new@example.test>").starts_with("250"), "the last good table stays in force");
}

#[test]
fn system_accounts_get_mail_as_themselves() {
    let world = World::new();
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root to become another account");
        return;
    }
    world.set("accounts.system", "true");
    // An account with a home of its own, on any Debian.
    let Some(user) = nix::unistd::User::from_name("games").ok().flatten() else {
        println!("skipped: there is no account games");
        return;
    };
    assert!(world.ok("emsend", &["-bv", "games"]).contains("mailer system, user games"));
    let _ = user;
    let out = world.run_with("emlocal", &["-d", "root"], b"x\n");
    assert_eq!(out.status.code(), Some(67), "never as root: {out:?}");
}
