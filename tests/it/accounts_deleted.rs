//! Deleted accounts: kept with their mail for a while, brought back, or gone for good; and nobody inherits anything.

use super::world::{World, feed};

fn deliver(world: &World, user: &str, subject: &str) {
    let text = format!("Message-ID: <{subject}@example.test>\nSubject: {subject}\n\nbody\n");
    let out = world.run_with("emlocal", &["-d", &format!("{user}@example.test")], text.as_bytes());
    assert!(out.status.success(), "{out:?}");
}

fn imap(world: &World, user: &str, commands: &[&str]) -> String {
    let mut script = format!("l LOGIN {user}@example.test demo\r\n");
    commands.iter().for_each(|command| script.push_str(&format!("c {command}\r\n")));
    script.push_str("z LOGOUT\r\n");
    String::from_utf8(world.run_with("emimap", &[], script.as_bytes()).stdout).unwrap()
}

/// How many deleted accounts are in the domain's folder, whatever their names are.
fn kept(world: &World) -> usize {
    std::fs::read_dir(world.path("mail/example.test/.deleted")).map_or(0, |dir| dir.count())
}

/// Alice shares a mailbox with bob, who has mail and a script.
fn world() -> World {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "always");
    deliver(&world, "bob", "old");
    deliver(&world, "alice", "hers");
    world.run_with("emuser", &["sieve", "put", "bob", "-", "--name", "main"], b"discard;\n");
    imap(&world, "alice", &["CREATE Plans"]);
    world.ok("emuser", &["acl", "set", "alice", "Plans", "bob", "lrs"]);
    world.ok("emuser", &["share", "create", "shared", "team"]);
    world.ok("emuser", &["acl", "set", "shared", "team", "bob", "lri"]);
    world.ok("emuser", &["modify", "bob", "--aliases", "robert"]);
    world
}

fn rights(world: &World) -> (bool, bool) {
    let has = |owner: &str, mailbox: &str| world.ok("emuser", &["acl", "show", owner, mailbox]).contains("bob@");
    (has("alice", "Plans"), has("shared", "team"))
}

#[test]
fn a_new_account_inherits_nothing_and_the_old_one_comes_back_whole() {
    let world = world();
    let line = |world: &World| {
        let text = std::fs::read_to_string(world.path("etc/users")).unwrap();
        text.lines().find(|line| line.starts_with("bob@")).map(str::to_string)
    };
    let before = line(&world);
    let out = world.run("emuser", &["delete", "bob"]);
    assert!(out.status.success(), "{out:?}");
    assert_eq!(
        String::from_utf8_lossy(&out.stderr),
        "emuser: bob@example.test is kept with all mail for 30days; emuser restore brings back\n"
    );
    assert!(!world.path("mail/example.test/bob").exists());
    assert_eq!(rights(&world), (false, false));
    let listed = world.ok("emuser", &["list", "--deleted"]);
    assert!(listed.starts_with("bob@example.test deleted "), "{listed}");
    let json: serde_json::Value =
        serde_json::from_str(&world.ok("emuser", &["list", "--deleted", "--json", "--domain", "example.test"]))
            .unwrap();
    assert_eq!(json["address"], "bob@example.test");
    assert_eq!(world.ok("emuser", &["list", "--deleted", "--domain", "other.test"]), "");

    world.add("bob@example.test", &[]);
    let seen = imap(&world, "bob", &["STATUS INBOX (MESSAGES)", "LIST \"\" *"]);
    assert!(seen.contains("(MESSAGES 0)") && !seen.contains("Plans") && !seen.contains("team"), "{seen}");
    assert_eq!(world.ok("emuser", &["sieve", "list", "bob"]), "");
    assert_eq!(world.run("emuser", &["restore", "bob"]).status.code(), Some(73));
    let out = world.run("emuser", &["restore", "bob", "--as", "carl@elsewhere.test"]);
    assert_eq!(out.status.code(), Some(78), "{out:?}");
    world.ok("emuser", &["delete", "bob", "--keep-mail"]);
    let out = world.run("emuser", &["restore", "bob"]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("mail of a former bob@example.test lies in"), "{out:?}");
    std::fs::remove_dir_all(world.path("mail/example.test/bob")).unwrap();

    // Somebody has its alias by now.
    world.ok("emuser", &["modify", "alice", "--aliases", "robert"]);
    let out = world.run("emuser", &["restore", "bob"]);
    assert_eq!(out.status.code(), Some(73), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("robert@example.test"), "{out:?}");
    world.ok("emuser", &["modify", "alice", "--aliases", ""]);
    assert_eq!(world.ok("emuser", &["restore", "bob"]), "bob@example.test is back\n");
    assert_eq!(line(&world), before, "password, secret, aliases and all");
    assert_eq!(rights(&world), (true, true));
    let seen = imap(&world, "bob", &["STATUS INBOX (MESSAGES)", "STATUS ~alice@example.test/Plans (MESSAGES)"]);
    assert!(seen.contains("(MESSAGES 1)") && seen.matches("\r\nc OK").count() == 2, "{seen}");
    assert_eq!(world.ok("emuser", &["sieve", "list", "bob"]).trim(), "main");
    assert_eq!(kept(&world), 0);
    assert!(!world.path("mail/example.test/bob/deleted-account").exists());
    assert_eq!(world.run("emuser", &["restore", "bob"]).status.code(), Some(73));
    assert_eq!(world.run("emuser", &["restore", "nobody"]).status.code(), Some(67));
}

#[test]
fn one_comes_back_under_another_address() {
    let world = world();
    world.ok("emuser", &["delete", "bob"]);
    world.add("bob@example.test", &[]);
    assert_eq!(world.ok("emuser", &["restore", "bob", "--as", "bob2"]), "bob2@example.test is back\n");
    assert_eq!((world.mailbox("bob").len(), world.mailbox("bob2").len()), (0, 1));
    assert!(world.ok("emuser", &["acl", "show", "alice", "Plans"]).contains("bob2@example.test lrs"));
}

#[test]
fn what_was_kept_long_enough_goes_for_good() {
    let world = world();
    world.ok("emuser", &["delete", "bob"]);
    assert_eq!(world.ok("emuser", &["purge", "--all"]), "");
    assert_eq!(kept(&world), 1);
    world.set("accounts.trash", "1us");
    assert_eq!(world.ok("emuser", &["purge", "--all", "--dry-run"]), "1 deleted accounts would be removed for good\n");
    assert_eq!(kept(&world), 1);
    assert_eq!(world.ok("emuser", &["purge", "--all"]), "1 deleted accounts removed for good\n");
    assert_eq!(kept(&world), 0);
    // At once: by the option, the kept ones too; and by the setting.
    world.set("accounts.trash", "30d");
    world.add("bob@example.test", &[]);
    deliver(&world, "bob", "x");
    world.ok("emuser", &["delete", "bob"]);
    world.add("bob@example.test", &[]);
    world.ok("emuser", &["delete", "bob", "--purge"]);
    assert_eq!(kept(&world), 0);
    assert_eq!(world.run("emuser", &["delete", "bob", "--purge"]).status.code(), Some(67));
    world.set("accounts.trash", "0s");
    world.ok("emuser", &["delete", "alice"]);
    assert_eq!(kept(&world), 0);
    assert!(!world.path("mail/example.test/alice").exists());
}

#[test]
fn a_sheet_deletes_the_same_way() {
    let world = world();
    let sheet = b"address,action\nbob@example.test,delete\nalice@example.test,delete\n";
    std::fs::write(world.path("sheet.csv"), sheet).unwrap();
    let path = world.path("sheet.csv").display().to_string();
    assert!(world.run("emuser", &["import", &path, "--dry-run"]).status.success());
    assert!(!world.path("mail/example.test/bob/deleted-account").exists(), "a plan leaves nothing");
    std::fs::write(world.path("bad.csv"), b"address,action\nbob@example.test,delete\nx@example.test,update\n").unwrap();
    let bad = world.path("bad.csv").display().to_string();
    assert_eq!(world.run("emuser", &["import", &bad]).status.code(), Some(65));
    assert!(!world.path("mail/example.test/bob/deleted-account").exists(), "nothing was done");
    assert_eq!(rights(&world), (true, true));
    let out = world.run("emuser", &["import", &path]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("2 deleted accounts are kept"), "{out:?}");
    assert_eq!(kept(&world), 2);
    world.ok("emuser", &["restore", "alice"]);
    world.ok("emuser", &["restore", "bob"]);
    assert_eq!((world.mailbox("alice").len(), world.mailbox("bob").len()), (1, 1));
    assert_eq!(rights(&world), (true, true), "also those of one who was deleted with him");
}

/// Killed before an operation, a delete or a restore is done or not, and the same command finishes it; the mail is always somewhere,
/// and nobody else gets it.
fn kill(way: &str, back: &str) {
    let world = world();
    let is_account = || world.run("emuser", &["show", "bob"]).status.success();
    let is_back = way == "restore";
    if is_back {
        world.ok("emuser", &["delete", "bob"]);
    }
    let mut strikes = 0;
    // Each delete waits a second.
    for n in (1..120).step_by(2) {
        let mut command = world.command("emuser");
        command.args([way, "bob"]).env("EM_FAULT", format!("kill:{n}"));
        let is_whole = feed(&mut command, b"").status.success();
        if !is_account() && world.path("mail/example.test/bob").exists() {
            let out = world.run_with("emuser", &["add", "bob@example.test", "--password-stdin"], b"demo");
            assert_eq!(out.status.code(), Some(75), "{way} {n}: {out:?}");
        }
        if !is_whole {
            strikes += 1;
            let out = world.run("emuser", &[way, "bob"]);
            // Killed behind the last change, there is nothing left to do.
            assert!([0, 67, 73].contains(&out.status.code().unwrap()), "{way} {n}: {out:?}");
        }
        assert_eq!(is_account(), is_back, "{way} {n}");
        assert_eq!(kept(&world), usize::from(!is_back), "{way} {n}");
        assert_eq!(rights(&world), (is_back, is_back), "{way} {n}");
        if is_back {
            assert_eq!(world.mailbox("bob").len(), 1, "{n}");
        }
        if is_whole {
            break;
        }
        world.ok("emuser", &[back, "bob"]);
    }
    assert!(strikes > 5, "{way}: the plan struck {strikes} times");
    if !is_back {
        world.ok("emuser", &["restore", "bob"]);
    }
    assert_eq!(world.mailbox("bob").len(), 1);
}

#[test]
fn a_delete_that_is_killed_anywhere_is_finished_by_the_next() {
    kill("delete", "restore");
}

#[test]
fn a_restore_that_is_killed_anywhere_is_finished_by_the_next() {
    kill("restore", "delete");
}
