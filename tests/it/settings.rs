//! Settings: mistakes with their place, reading and changing from scripts.

use super::world::World;

#[test]
fn a_mistake_is_shown_with_its_place_and_nothing_starts() {
    let world = World::empty();
    let path = world.path("etc/em.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replace("[smtp]", "[smtp]\nmesage_size = \"5M\"")).unwrap();
    for (program, arguments) in
        [("emconf", vec!["check"]), ("emd", vec!["start"]), ("emsend", vec!["x@y.test"]), ("empop", vec!["--check"])]
    {
        let out = world.run(program, &arguments);
        let text = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(78), "{program}: {text}");
        assert!(text.contains("em.toml:") && text.contains("unknown setting smtp.mesage_size"), "{text}");
        assert!(text.contains("| ^^^^^^^^^^^") && text.contains("did you mean message_size?"), "{text}");
    }
}

#[test]
fn values_go_in_and_out() {
    let world = World::empty();
    world.set("smtp.message_size", "7M");
    assert_eq!(world.ok("emconf", &["get", "smtp.message_size"]), "7M\n");
    world.ok("emconf", &["set", "server.domains", "example.test", "other.test"]);
    assert_eq!(world.ok("emconf", &["get", "server.domains"]), "example.test\nother.test\n");
    assert!(world.ok("emconf", &["show"]).contains("message_size = \"7M\""));
    assert!(world.ok("emconf", &["show", "--all"]).contains("hops = 50"));
    world.ok("emconf", &["unset", "smtp.message_size"]);
    assert_eq!(world.ok("emconf", &["get", "smtp.message_size"]), "50M\n");
    let wrong = world.run("emconf", &["set", "smtp.mesage_size", "1"]);
    assert_eq!(wrong.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean smtp.message_size?"));
    assert_eq!(world.run("emconf", &["get", "nothing.here"]).status.code(), Some(64));
}

#[test]
fn a_root_is_made_once_and_only_from_good_names() {
    let world = World::empty();
    let text = std::fs::read_to_string(world.path("etc/em.toml")).unwrap();
    let again = world.run("emconf", &["init", "--domain", "other.test"]);
    assert_eq!(again.status.code(), Some(73), "{again:?}");
    assert_eq!(std::fs::read_to_string(world.path("etc/em.toml")).unwrap(), text);
    let fresh = tempfile::tempdir().unwrap();
    let root = fresh.path().join("r");
    for (arguments, said) in [
        (vec!["--domain", "a b"], "--domain"),
        (vec!["--domain", "x.test", "--hostname", "a b"], "--hostname"),
        (vec!["--domain", "x.test", "--port-base", "65000"], "64540 at most"),
        (vec!["--domain", "x.test", "--free-ports"], "--port-base"),
    ] {
        let mut command = std::process::Command::new(super::world::bin("emconf"));
        let out = command.arg("--root").arg(&root).arg("init").args(&arguments).output().unwrap();
        assert_eq!(out.status.code(), Some(64), "{arguments:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(said), "{out:?}");
        assert!(!root.exists(), "nothing is left of {arguments:?}");
    }
}

#[test]
fn changes_at_once_lose_nothing() {
    let world = World::empty();
    let keys = ["smtp.hops", "smtp.recipients", "smtp.errors", "smtp.commands", "queue.concurrency", "auth.attempts"];
    std::thread::scope(|scope| {
        for key in keys {
            let mut command = world.command("emconf");
            command.args(["set", key, "17"]);
            scope.spawn(move || assert!(command.output().unwrap().status.success()));
        }
    });
    for key in keys {
        assert_eq!(world.ok("emconf", &["get", key]), "17\n", "{key}");
    }
}

#[test]
fn check_finds_what_is_wrong_everywhere() {
    let world = World::new();
    assert_eq!(
        world.run("emconf", &["check"]).status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&world.run("emconf", &["check"]).stdout)
    );
    std::fs::write(world.path("etc/aliases"), "a: b\nb: a\nbad: nobody\nbroken line\n").unwrap();
    let out = world.run("emconf", &["check"]);
    assert_eq!(out.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&out.stdout).contains("aliases:4:1: no colon"));
    std::fs::write(world.path("etc/aliases"), "a: b\nb: a\nbad: nobody\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(world.path("etc/users"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = String::from_utf8(world.run("emconf", &["check"]).stdout).unwrap();
    assert!(text.contains("aliases:1: a:") && text.contains("loop") && text.contains("aliases:3: bad:"), "{text}");
    assert!(text.contains("password hashes"), "{text}");
    assert_eq!(world.run("emconf", &["set", "jobs.x", "every 1q: emqueue sweep"]).status.code(), Some(78));
    world.set("delivery.program_user", "no-such-user");
    let text = String::from_utf8(world.run("emconf", &["check"]).stdout).unwrap();
    assert!(text.contains("there is no user no-such-user"), "{text}");
    let held = std::net::TcpListener::bind(world.address("smtp")).unwrap();
    assert!(String::from_utf8_lossy(&world.run("emconf", &["check"]).stdout).contains("services.smtp"));
    drop(held);
}

#[test]
fn every_command_explains_itself_and_suggests_spellings() {
    let world = World::empty();
    for program in
        ["emsend", "emsmtp", "emqueue", "emlocal", "empop", "emimap", "empass", "emsieve", "emuser", "emconf", "emd"]
    {
        let help = world.run(program, &["--help"]);
        assert!(help.status.success() && help.stdout.len() > 100, "{program}");
        let version = world.run(program, &["--version"]);
        assert!(String::from_utf8_lossy(&version.stdout).starts_with(&format!("{program} ")), "{program}");
        let wrong = world.run(program, &["--versoin"]);
        assert_eq!(wrong.status.code(), Some(64), "{program}");
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("--version"), "{program}: {wrong:?}");
    }
    let wrong = world.run("emuser", &["ad", "x@example.test"]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("'add'"));
}

#[test]
fn the_manual_lists_the_settings_there_are() {
    let world = World::empty();
    let printed = world.ok("emconf", &["manual"]);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/man/em.toml.5")).unwrap();
    assert!(page.contains(printed.trim_end()), "man/em.toml.5 is not what `emconf manual` prints");
    let sample = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/em.toml")).unwrap();
    assert_eq!(sample, world.ok("emconf", &["sample"]), "etc/em.toml is not what `emconf sample` prints");
}
