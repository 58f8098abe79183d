//! Accounts from the shell.

use super::world::World;

#[test]
fn accounts_are_added_shown_changed_and_deleted() {
    let world = World::new();
    world.ok("emuser", &["modify", "alice@example.test", "--name", "Alice Öst", "--quota", "1G", "--services", "pop3"]);
    let shown = world.ok("emuser", &["show", "alice@example.test"]);
    assert!(shown.contains("Alice Öst") && shown.contains("1G") && shown.contains("argon2id"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&world.ok("emuser", &["show", "alice", "--json"])).unwrap();
    assert_eq!(json["quota"], 1 << 30);
    assert_eq!(json["services"][0], "pop3");
    assert_eq!(world.ok("emuser", &["list"]), "alice@example.test\nbob@example.test\n");
    assert_eq!(world.run("emuser", &["add", "alice@example.test", "--no-password"]).status.code(), Some(73));
    assert_eq!(world.run("emuser", &["add", "x@elsewhere.test", "--no-password"]).status.code(), Some(78));
    assert_eq!(world.run("emuser", &["show", "nobody@example.test"]).status.code(), Some(67));
    assert_eq!(
        world.run_with("emuser", &["passwd", "bob@example.test", "--password-stdin"], b"").status.code(),
        Some(65)
    );
    world.ok("emuser", &["delete", "bob@example.test"]);
    assert_eq!(world.ok("emuser", &["list"]), "alice@example.test\n");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(world.path("etc/users")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(world.path("etc/users")).unwrap();
    assert!(!text.contains("demo"), "no recoverable password without --apop");
}

#[test]
fn wrong_input_is_named() {
    let world = World::new();
    world.ok("emconf", &["set", "server.domains", "example.test", "other.test", "bücher.example"]);
    world.ok("emuser", &["add", "x@other.test", "--no-password"]);
    world.ok("emuser", &["add", "ü@Bücher.example", "--no-password"]);
    assert_eq!(world.ok("emuser", &["list", "--domain", "OTHER.test"]), "x@other.test\n");
    assert_eq!(world.ok("emuser", &["list", "--domain", "Bücher.example"]).lines().count(), 1);
    for (arguments, input, code) in [
        (vec!["modify", "x@other.test"], "", 64),
        (vec!["modify", "x@other.test", "--name", "a\nb"], "", 64),
        (vec!["modify", "x@other.test", "--quota", "much"], "", 64),
        (vec!["modify", "x@other.test", "--services", "pop3,imup"], "", 64),
        (vec!["modify", "x@other.test", "--lock", "--unlock"], "", 64),
        (vec!["add", "y@other.test", "--no-password", "--apop"], "", 64),
        (vec!["add", "y@other.test"], "", 64),
        (vec!["add", "y+z@other.test", "--no-password"], "", 64),
        (vec!["add", "y@other.test", "--password-hash", "$1$old$hash"], "", 64),
        (vec!["add", "y@other.test", "--password-stdin"], "a\tb\n", 65),
        (vec!["list", "--domain", "a b"], "", 64),
        (vec!["delete", "nobody@other.test"], "", 67),
    ] {
        let out = world.run_with("emuser", &arguments, input.as_bytes());
        assert_eq!(out.status.code(), Some(code), "{arguments:?}: {out:?}");
        assert!(!out.stderr.is_empty() && out.stdout.is_empty(), "{arguments:?}: {out:?}");
    }
    world.ok(
        "emuser",
        &[
            "passwd",
            "x@other.test",
            "--password-hash",
            "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$42RgPIrXdXSEEs77lDi/4IqKVqFBAVaHJkzw5uD1r57",
        ],
    );
    assert!(world.ok("emuser", &["show", "x@other.test"]).contains("password  y\n"));
    std::fs::write(world.path("etc/users"), "# em-users 1\nb@other.test\na@other.test\n").unwrap();
    for arguments in [vec!["list"], vec!["add", "c@other.test", "--no-password"]] {
        let out = world.run("emuser", &arguments);
        assert_eq!(out.status.code(), Some(78), "{out:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("line 3: out of order"), "{out:?}");
    }
    std::fs::write(world.path("etc/users"), "# em-users 2\n").unwrap();
    let out = world.run("emuser", &["add", "c@other.test", "--no-password"]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("newer version"), "{out:?}");
    assert_eq!(std::fs::read_to_string(world.path("etc/users")).unwrap(), "# em-users 2\n", "left alone");
}

#[test]
fn concurrent_changes_lose_nothing() {
    let world = World::empty();
    let root = world.root().to_path_buf();
    let threads: Vec<_> = (0..8)
        .map(|t| {
            let root = root.clone();
            std::thread::spawn(move || {
                for i in 0..5 {
                    let out = std::process::Command::new(super::world::bin("emuser"))
                        .arg("--root")
                        .arg(&root)
                        .args(["add", &format!("u{t}-{i}@example.test"), "--no-password"])
                        .output()
                        .unwrap();
                    assert!(out.status.success(), "{out:?}");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(world.ok("emuser", &["list"]).lines().count(), 40);
}

#[test]
fn one_of_a_hundred_thousand_is_found_at_once() {
    let world = World::empty();
    let mut text = String::from("# em-users 1\n");
    for i in 0..100_000 {
        text.push_str(&format!("user{i:06}@example.test pw=$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA quota={i}\n"));
    }
    std::fs::write(world.path("etc/users"), text).unwrap();
    let started = std::time::Instant::now();
    let shown = world.ok("emuser", &["show", "user077777@example.test", "--json"]);
    let first = started.elapsed();
    assert!(shown.contains("77777"), "{shown}");
    // The whole fresh process, in a debug build on a busy machine; the lookup alone is measured by the bench.
    assert!(first < std::time::Duration::from_millis(500), "{first:?}");
}
