//! Lists over the years: their archives, digests, members whose mail comes back, and lists of other programs.

use super::world::{World, has};
use std::fs;
use std::process::Command;

const LIST: &str = "talk@example.test";

/// A site with a list: alice owns it, bob reads each post.
fn world() -> World {
    let world = World::new();
    world.ok("emlist", &["create", LIST, "--owner", "alice@example.test"]);
    for key in ["subscription=open", "welcome=false"] {
        let (key, value) = key.split_once('=').unwrap();
        world.ok("emlist", &["set", LIST, key, value]);
    }
    world.ok("emlist", &["members", LIST, "add", "bob@example.test"]);
    world
}

/// Some posts in the archive, as they came from elsewhere.
fn fill(world: &World, count: u32) {
    let mut text = String::new();
    for number in 1..=count {
        let reply = if number > 1 { "In-Reply-To: <1@a.test>\n" } else { "" };
        text.push_str(&format!(
            "From ann@a.test Mon Nov 30 09:00:00 2026\nFrom: Ann <ann@a.test>\nSubject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?= {number}\n\
             Date: Mon, 30 Nov 2026 09:00:{:02} +0000\nMessage-ID: <{number}@a.test>\n{reply}\nHello number {number}.\n>From here.\n\n",
            number % 60
        ));
    }
    let path = world.path("old.mbox");
    fs::write(&path, text).unwrap();
    let said = world.ok("emlist", &["archive", LIST, "import", path.to_str().unwrap()]);
    assert_eq!(said, format!("{count} posts added, numbers 1 to {count}; 0 were here already\n"));
}

#[test]
fn an_archive_is_listed_read_and_searched() {
    let world = world();
    fill(&world, 12);
    let listed = world.ok("emlist", &["archive", LIST, "list", "2,11-"]);
    let lines: Vec<&str> = listed.lines().map(|line| &line[18..]).collect();
    assert_eq!(lines, ["[2:ann@a.test] 日本 2", "[11:ann@a.test] 日本 11", "[12:ann@a.test] 日本 12"]);
    let json = world.ok("emlist", &["archive", LIST, "list", "--json", "last:1"]);
    assert!(json.contains("\"number\":12") && json.contains("\"references\":[\"1@a.test\"]"), "{json}");
    assert!(world.ok("emlist", &["archive", LIST, "show", "3"]).ends_with("\n\nHello number 3.\nFrom here.\n"));
    assert_eq!(world.ok("emlist", &["archive", LIST, "search", "HELLO", "日本", "11"]).lines().count(), 1);
    assert_eq!(world.run("emlist", &["archive", LIST, "search", "nowhere"]).status.code(), Some(1));
    let threads = world.ok("emlist", &["archive", LIST, "threads"]);
    assert_eq!(threads.lines().filter(|line| line.starts_with("  ")).count(), 11, "{threads}");
    // Mistakes.
    let out = world.run("emlist", &["archive", LIST, "show", "99"]);
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stderr).contains("no such post: 99")), (Some(1), true));
    let out = world.run("emlist", &["archive", LIST, "list", "9-3"]);
    assert_eq!(out.status.code(), Some(64), "{out:?}");
    let out = world.run("emlist", &["archive", LIST, "import", "/dev/null/x"]);
    assert!(out.status.code() != Some(0), "{out:?}");
}

#[test]
fn a_damaged_index_is_found_and_made_anew() {
    let world = world();
    fill(&world, 5);
    let index = world.path("spool/lists/example.test/talk/archive/index");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replacen("size=", "size=9", 1)).unwrap();
    let out = world.run("emlist", &["archive", LIST, "check"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stdout).contains("damaged line there: 1\n"), "{out:?}");
    assert_eq!(world.ok("emlist", &["archive", LIST, "rebuild"]), "5 posts\n");
    assert_eq!(world.ok("emlist", &["archive", LIST, "check"]), "5 posts\n");
    fs::remove_file(&index).unwrap();
    assert_eq!(world.ok("emlist", &["archive", LIST, "rebuild"]), "5 posts\n");
    assert_eq!(world.ok("emlist", &["archive", LIST, "list"]).lines().count(), 5);
}

#[test]
fn python_reads_an_exported_mbox() {
    let world = world();
    fill(&world, 3);
    let mbox = world.path("out.mbox");
    world.ok("emlist", &["archive", LIST, "export", "--format", "mboxo", "--output", mbox.to_str().unwrap()]);
    // An export never writes over a file.
    let again = world.run("emlist", &["archive", LIST, "export", "--output", mbox.to_str().unwrap()]);
    assert!(again.status.code() != Some(0), "{again:?}");
    if !has("python3") {
        return;
    }
    let script = "import mailbox,sys\nm=mailbox.mbox(sys.argv[1])\nprint(len(m),m[2]['Message-ID'],m[2].get_payload().strip().replace(chr(10),'|'))";
    let out = Command::new("python3").args(["-c", script]).arg(&mbox).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "3 <3@a.test> Hello number 3.|>From here.\n", "{out:?}");
}

#[test]
fn a_list_of_mlmmj_is_taken_over() {
    if !has("mlmmj-make-ml") || !has("mlmmj-sub") {
        return;
    }
    let world = World::new();
    let old = world.path("old");
    fs::create_dir(&old).unwrap();
    let make = super::world::feed(
        Command::new("mlmmj-make-ml").args(["-L", "talk", "-s", old.to_str().unwrap()]),
        b"example.test\nolga@example.test\nen\n",
    );
    assert!(old.join("talk/control/owner").is_file(), "{make:?}");
    let sub = String::from_utf8(Command::new("which").arg("mlmmj-sub").output().unwrap().stdout).unwrap();
    let list = old.join("talk");
    for (address, options) in [("Ann@a.test", &["-s", "-f"][..]), ("dan@d.test", &["-d", "-s", "-f"]), ("nom@n.test", &["-n", "-s", "-f"])] {
        let done = Command::new(sub.trim()).arg("-L").arg(&list).args(["-a", address]).args(options).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
    fs::write(list.join("control/prefix"), "[talk]\n").unwrap();
    fs::write(list.join("control/subonlypost"), "").unwrap();
    fs::write(list.join("archive/7"), "From: ann@a.test\r\nSubject: seven\r\nMessage-ID: <7@a.test>\r\n\r\nhello\r\n").unwrap();
    fs::write(list.join("index"), "9").unwrap();
    let path = list.to_str().unwrap();
    let dry = world.ok("emlist", &["import", "--from", "mlmmj", "--dry-run", path, LIST]);
    assert!(dry.contains("prefix = \"[talk]\"") && dry.contains("member dan@d.test digest"), "{dry}");
    let said = world.ok("emlist", &["import", "--from", "mlmmj", path, LIST]);
    assert!(said.contains("3 members added") && said.contains("1 posts added"), "{said}");
    let members = fs::read_to_string(world.path("etc/lists/example.test/talk/members")).unwrap();
    for line in ["ann@a.test on ", "dan@d.test digest ", "nom@n.test off "] {
        assert!(members.lines().any(|member| member.starts_with(line)), "{members}");
    }
    assert_eq!(world.ok("emlist", &["archive", LIST, "show", "7"]), "From: ann@a.test\nSubject: seven\nMessage-ID: <7@a.test>\n\nhello\n");
    assert_eq!(world.ok("emlist", &["get", LIST, "posting"]).trim(), "\"members\"");
    let again = world.ok("emlist", &["import", "--from", "mlmmj", path, LIST]);
    assert!(again.contains("3 were members already") && again.contains("1 were here already"), "{again}");
    let wrong = world.run("emlist", &["import", "--from", "fml", path, "other@example.test"]);
    assert_eq!(wrong.status.code(), Some(65), "{wrong:?}");
}

#[test]
fn a_list_of_mailman_2_is_taken_over() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    let old = world.path("old");
    fs::create_dir_all(old.join("lists/talk")).unwrap();
    fs::create_dir_all(old.join("archives/private/talk.mbox")).unwrap();
    let script = r#"
import pickle, sys, datetime
class Odd: pass
d = {'real_name': 'Talk', 'host_name': 'example.test', 'owner': ['olga@example.test'], 'moderator': [],
 'description': 'About caf\u00e9', 'subject_prefix': '[Talk %05d] ', 'reply_goes_to_list': 1, 'max_message_size': 40,
 'generic_nonmember_action': 2, 'default_member_moderation': 0, 'subscribe_policy': 1, 'post_id': 42.0,
 'members': {'ann@a.test': 'Ann@a.test', 'off@a.test': 0}, 'digest_members': {'dig@a.test': 0},
 'user_options': {'dig@a.test': 8}, 'delivery_status': {'off@a.test': (2, 1.0)}, 'usernames': {'ann@a.test': 'Ann'},
 'bounce_info': {'off@a.test': Odd()}, 'created': datetime.datetime.now(), 'big': 2**80, 'raw': b'\xe9'}
pickle.dump(d, open(sys.argv[1], 'wb'), int(sys.argv[2]))
"#;
    let config = old.join("lists/talk/config.pck");
    fs::write(
        old.join("archives/private/talk.mbox/talk.mbox"),
        "From ann at a.test Mon Nov 30 09:00:00 2026\nFrom: ann@a.test\nMessage-ID: <1@a.test>\n\nhello\n\n",
    )
    .unwrap();
    for protocol in ["0", "2", "4"] {
        let made = Command::new("python3").args(["-c", script]).arg(&config).arg(protocol).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let name = format!("talk{protocol}@example.test");
        let said = world.ok("emlist", &["import", "--from", "mailman2", old.join("lists/talk").to_str().unwrap(), &name]);
        assert!(said.contains("3 members added") && said.contains("1 posts added"), "{said}");
        let members = fs::read_to_string(world.path(&format!("etc/lists/example.test/talk{protocol}/members"))).unwrap();
        for line in ["Ann@a.test on ", "off@a.test off ", "dig@a.test digest "] {
            assert!(members.lines().any(|member| member.starts_with(line)), "{members}");
        }
        for (key, value) in [("prefix", "\"[Talk %5S]\""), ("refused", "\"reject\""), ("description", "\"About café\"")] {
            assert_eq!(world.ok("emlist", &["get", &name, key]).trim(), value, "{protocol}");
        }
    }
}
