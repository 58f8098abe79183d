//! Tables from the shell, and tables of a size.

use super::world::World;

fn text(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.path("etc").join(name)).unwrap()
}

#[test]
fn rows_are_set_and_removed_and_comments_stay() {
    let world = World::new();
    std::fs::write(world.path("etc/virtusers"), "# ours\njoe@a.test alice\n\n# theirs\nann@a.test bob\n").unwrap();
    world.ok("emconf", &["table", "virtusers", "set", "Joe@A.test", "bob"]);
    world.ok("emconf", &["table", "virtusers", "set", "new@a.test", "error:nouser", "550", "not", "here"]);
    assert_eq!(
        text(&world, "virtusers"),
        "# ours\nJoe@A.test\tbob\n\n# theirs\nann@a.test bob\nnew@a.test\terror:nouser 550 not here\n"
    );
    assert_eq!(world.ok("emconf", &["table", "virtusers", "get", "joe+x@a.test"]), "joe@a.test\tbob\n");
    assert_eq!(world.run("emconf", &["table", "virtusers", "get", "no@a.test"]).status.code(), Some(1));
    world.ok("emconf", &["table", "virtusers", "remove", "ann@a.test"]);
    assert_eq!(world.run("emconf", &["table", "virtusers", "remove", "ann@a.test"]).status.code(), Some(1));
    assert_eq!(
        world.ok("emconf", &["table", "virtusers", "list"]),
        "Joe@A.test\tbob\nnew@a.test\terror:nouser 550 not here\n"
    );
    let json = world.ok("emconf", &["table", "virtusers", "list", "--json"]);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first, serde_json::json!({ "key": "Joe@A.test", "value": "bob", "line": 2 }));
    world.ok("emconf", &["table", "local-host-names", "set", "b.test"]);
    assert_eq!(text(&world, "local-host-names"), "b.test\n");
    assert_eq!(world.ok("emconf", &["table", "access", "list"]), "");
}

#[test]
fn a_mistake_is_shown_with_its_place_and_nothing_is_replaced() {
    let world = World::new();
    std::fs::write(world.path("etc/access"), "From:a.test REJECT\n").unwrap();
    for (arguments, wanted) in [
        (vec!["table", "access", "set", "From:b.test", "REJEKT"], "access:2:13: \"REJEKT\" is no verdict"),
        (vec!["table", "routes", "set", "b.test", "uucp:x"], "unknown mailer \"uucp\""),
        (vec!["table", "virtusers", "set", "joe", "alice"], "\"joe\" has no @"),
        (vec!["table", "virtusers", "set", "#joe@a.test", "alice"], "is no key"),
    ] {
        let out = world.run("emconf", &arguments);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(78) && said.contains(wanted), "{arguments:?}: {out:?}");
    }
    assert_eq!(text(&world, "access"), "From:a.test REJECT\n");
    std::fs::write(world.path("etc/access"), "From:a.test REJECT\nFrom:A.test OK\n").unwrap();
    let out = world.run("emconf", &["check"]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.code() == Some(78) && said.contains("etc/access:2:1: From:A.test is there twice"), "{said}");
    assert!(said.contains(" 2 | From:A.test OK\n   | ^^^^^^^^^^^"), "{said}");
    assert_eq!(world.run("emconf", &["table", "access", "check"]).status.code(), Some(78));
    let wrong = world.run("emconf", &["table", "virtuser", "list"]);
    assert!(wrong.status.code() == Some(64), "{wrong:?}");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean virtusers?"), "{wrong:?}");
}

#[test]
fn a_big_table_is_looked_up_in_its_compiled_form() {
    const ROWS: usize = 100_000;
    let world = World::new();
    let rows: String = (0..ROWS).map(|n| format!("user{n}@big.test alice+{n}@example.test\n")).collect();
    std::fs::write(world.path("etc/virtusers"), &rows).unwrap();
    assert!(!world.path("etc/virtusers.cdb").exists());
    let verdict = |address: &str| String::from_utf8(world.run("emsend", &["-bv", address]).stdout).unwrap();
    assert!(verdict("user77@big.test").contains("user alice+77@example.test"));
    let made = std::fs::metadata(world.path("etc/virtusers.cdb")).unwrap();
    assert!(verdict(&format!("user{}@big.test", ROWS - 1)).contains("user alice+99999@example.test"));
    // Another process looked into the same file.
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(world.path("etc/virtusers.cdb")).unwrap().ino(), made.ino());
    world.ok("emconf", &["table", "virtusers", "set", "user77@big.test", "bob@example.test"]);
    assert_ne!(std::fs::metadata(world.path("etc/virtusers.cdb")).unwrap().ino(), made.ino());
    assert!(verdict("user77@big.test").contains("user bob@example.test"));
    // A text edited by hand, and one that is small again.
    std::fs::write(world.path("etc/virtusers"), rows.replace("alice+5@", "bob+5@")).unwrap();
    assert!(verdict("user5@big.test").contains("user bob+5@example.test"));
    std::fs::write(world.path("etc/virtusers"), "user5@big.test alice@example.test\n").unwrap();
    assert!(verdict("user5@big.test").contains("user alice@example.test"));
}

#[test]
fn a_table_that_cannot_be_compiled_is_held_in_memory_and_said_once() {
    let world = World::new();
    let rows: String = (0..40_000).map(|n| format!("user{n}@big.test alice+{n}@example.test\n")).collect();
    std::fs::write(world.path("etc/virtusers"), rows).unwrap();
    // A folder stands where the file would be put; root may write everywhere else.
    std::fs::create_dir(world.path("etc/virtusers.cdb")).unwrap();
    let out = world.run("emsend", &["-bv", "user7@big.test", "user8@big.test"]);
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(said.contains("user alice+7@example.test") && said.contains("user alice+8@example.test"), "{said}");
    assert_eq!(world.log().matches("event=table-not-compiled").count(), 1, "{}", world.log());
}
