use super::*;
use crate::config::Site;
use crate::settings::{Root, Settings};
use std::fs;
use std::path::PathBuf;

fn world() -> (tempfile::TempDir, Lists, ListName) {
    let dir = tempfile::tempdir().unwrap();
    let site = Site { root: Root::under(&dir.path().join("root")), settings: Settings::default() };
    (dir, Lists::of(&site), "talk@example.test".parse().unwrap())
}

/// Writes files, each a path and its text, with their folders.
fn tree(dir: &Path, files: &[(&str, &str)]) -> PathBuf {
    let top = dir.join("old");
    for (name, text) in files {
        let path = top.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    top
}

fn shown(lists: &Lists, name: &ListName) -> Vec<String> {
    let members = lists.open(name).unwrap().members().unwrap();
    members
        .iter()
        .map(|m| {
            let plain = if m.has_option("plain") { " plain" } else { "" };
            let name = m.field("name").map(|name| format!(" {name}")).unwrap_or_default();
            format!("{} {}{plain}{name}", m.address, m.state.word())
        })
        .collect()
}

#[test]
fn a_list_of_fml_comes_with_its_numbers() {
    let (dir, lists, name) = world();
    let post = |n: u32| format!("From: a@a.test\nMessage-ID: <{n}@a.test>\nSubject: {n}\n\nx\n");
    let old = tree(
        dir.path(),
        &[
            ("members", "## a note\nann@a.test\nbob@b.test\ncarol@c.test\ndan@d.test\nno address\n"),
            ("actives", "#.header\nann@a.test\n# bob@b.test\ndan@d.test m=3u\nerik@e.test s=skip r=relay\n"),
            ("seq", "12\n"),
            (
                "config.ph",
                "$MAINTAINER = \"talk-admin@a.test\";\n$SUBJECT_TAG_TYPE = \"[:]\";\n$PERMIT_POST_FROM = 'members_only';\n",
            ),
            ("spool/7", &post(7)),
            ("spool/12", &post(12)),
            ("spool/readme", "x"),
        ],
    );
    let foreign = read(From::Fml, &old).unwrap();
    let taken = take_over(&lists, &name, &foreign, Timestamp(0)).unwrap();
    assert!(taken.is_new && taken.members == (5, 0) && taken.posts == 2, "{taken:?}");
    assert_eq!(
        shown(&lists, &name),
        ["ann@a.test on", "bob@b.test off", "carol@c.test off", "dan@d.test digest plain", "erik@e.test off"]
    );
    let list = lists.open(&name).unwrap();
    assert_eq!((list.settings.prefix.as_str(), list.settings.owners.len()), ("[%M:%5S]", 1));
    assert_eq!(list.last_number().unwrap(), 12);
    let archive = Archive::of(&list);
    assert_eq!(archive.index().unwrap().numbers().collect::<Vec<_>>(), [7, 12]);
    assert_eq!(archive.message(7).unwrap().unwrap(), post(7).into_bytes());
    // Once more: nothing is doubled.
    let again = take_over(&lists, &name, &foreign, Timestamp(0)).unwrap();
    assert_eq!((again.is_new, again.members, again.posts, again.known), (false, (0, 5), 0, 2));
}

#[test]
fn a_list_of_majordomo() {
    let (dir, lists, name) = world();
    let old = tree(
        dir.path(),
        &[
            ("talk", "ann@a.test\nBob <bob@b.test>\ncarol@c.test (Carol)\nbroken@\n"),
            ("talk-digest", "dan@d.test\n"),
            (
                "talk.config",
                "# x\nsubject_prefix = [$LIST:$SEQNUM]\nrestrict_post = talk\nsubscribe_policy = open+confirm\nreply_to = talk@a\nmessage_footer << END\nbye\nEND\n",
            ),
            ("talk.archive/talk.archive.9912", "From a@a Mon Nov 29 09:00:00 1999\nMessage-ID: <1@a>\n\nold\n\n"),
            ("talk.archive/INDEX", "no mbox\n"),
            ("talk.archive/talk.archive.0001", "From a@a Sat Jan  1 09:00:00 2000\nMessage-ID: <2@a>\n\nnew\n\n"),
        ],
    );
    let foreign = read(From::Majordomo, &old.join("talk")).unwrap();
    let taken = take_over(&lists, &name, &foreign, Timestamp(0)).unwrap();
    assert_eq!(shown(&lists, &name), ["ann@a.test on", "bob@b.test on Bob", "carol@c.test on", "dan@d.test digest"]);
    assert!(
        taken.notes.lines().iter().any(|note| note.contains("broken@")) && taken.notes.lines().len() == 3,
        "{:?}",
        taken.notes
    );
    let list = lists.open(&name).unwrap();
    assert_eq!(list.settings.prefix, "[%M:%S]");
    let archive = Archive::of(&list);
    assert!(archive.message(1).unwrap().unwrap().ends_with(b"old\n") && archive.message(2).unwrap().is_some());
}

#[test]
fn answers_of_mailman_3() {
    let (dir, lists, name) = world();
    let old = tree(
        dir.path(),
        &[
            (
                "config.json",
                r#"{"description": "Talk", "subject_prefix": "[Talk %d] ", "default_nonmember_action": "hold", "post_id": 41, "max_message_size": 40, "reply_goes_to_list": "point_to_list", "subscription_policy": "confirm_then_moderate"}"#,
            ),
            (
                "members.json",
                r#"{"entries": [{"email": "ann@a.test", "role": "member", "delivery_mode": "regular", "display_name": "Ann"}, {"email": "bob@b.test", "role": "member", "delivery_mode": "plaintext_digests"}, {"email": "c@c.test", "role": "member", "delivery_status": "by_bounces"}]}"#,
            ),
            ("owners.json", r#"[{"email": "own@a.test", "role": "owner"}]"#),
        ],
    );
    take_over(&lists, &name, &read(From::Mailman3, &old).unwrap(), Timestamp(0)).unwrap();
    assert_eq!(shown(&lists, &name), ["ann@a.test on Ann", "bob@b.test digest plain", "c@c.test off"]);
    let list = lists.open(&name).unwrap();
    assert_eq!(
        (list.settings.prefix.as_str(), list.settings.size.0, list.last_number().unwrap()),
        ("[Talk %S]", 40960, 40)
    );
    fs::write(old.join("bad.json"), "{\n x").unwrap();
    assert!(read(From::Mailman3, &old).unwrap_err().to_string().contains("line 2, column 2"));
}

#[test]
fn what_is_no_list_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for from in [From::Mailman2, From::Mailman3, From::Mlmmj, From::Majordomo, From::Fml] {
        assert!(read(from, dir.path()).is_err(), "{from:?}");
    }
    fs::write(dir.path().join("config.pck"), "nonsense").unwrap();
    assert!(read(From::Mailman2, dir.path()).unwrap_err().to_string().contains("no pickle"));
}

#[test]
fn prefixes_of_printf() {
    for (text, expected) in
        [("[Talk %d] ", "[Talk %S]"), ("[x:%05d]", "[x:%5S]"), ("100% fun", "100% fun"), ("%", "%"), ("", "")]
    {
        assert_eq!(prefix(text), expected);
    }
}

#[test]
fn what_can_not_be_taken_is_named() {
    let (dir, lists, name) = world();
    let post = |n: u32| format!("From: a@a.test\nMessage-ID: <{n}@a.test>\nSubject: {n}\n\nx\n");
    let old = tree(dir.path(), &[("actives", "ann@a.test\n"), ("spool/1", &post(1)), ("spool/2", &post(2))]);
    for odd in ["spool/007", "spool/0", "spool/99999999999999999999999", "spool/+3", "spool/3.bak"] {
        fs::write(old.join(odd), post(7)).unwrap();
    }
    std::os::unix::fs::symlink("1", old.join("spool/5")).unwrap();
    fs::create_dir(old.join("spool/6")).unwrap();
    let list = lists.create(&name, &[]).unwrap();
    Archive::of(&list).append(2, b"Message-ID: <own@x>\n\nour own\n", Timestamp(0)).unwrap();
    let taken = take_over(&lists, &name, &read(From::Fml, &old).unwrap(), Timestamp(0)).unwrap();
    assert_eq!((taken.posts, taken.known), (1, 0));
    let notes = taken.notes.lines();
    for what in ["post 2: left out", "spool/007", "spool/0:", "spool/9999", "spool/5", "spool/6"] {
        assert!(notes.iter().any(|note| note.contains(what)), "{what}: {notes:?}");
    }
    assert_eq!(notes.len(), 6, "{notes:?}");
    let mut many = Notes::default();
    (0..NOTES_LIMIT + 3).for_each(|n| many.add(n.to_string()));
    assert_eq!(many.lines().last().unwrap(), "and 3 more of these");
}

#[test]
fn a_hundred_thousand_members_take_no_longer_than_they_should() {
    let (dir, lists, name) = world();
    let actives: String = (0..100_000).map(|n| format!("user{n}@example.test\n")).collect();
    let old = tree(dir.path(), &[("actives", &actives), ("members", &actives)]);
    let start = std::time::Instant::now();
    let taken = take_over(&lists, &name, &read(From::Fml, &old).unwrap(), Timestamp(0)).unwrap();
    assert_eq!(taken.members, (100_000, 0));
    // Looking each of them up by going through all took hours.
    assert!(start.elapsed() < std::time::Duration::from_secs(120));
}
