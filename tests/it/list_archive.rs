//! Lists over the years: their archives, digests, members whose mail comes back, and lists of other programs.

use super::world::{World, has, wait_until};
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
    for (address, options) in
        [("Ann@a.test", &["-s", "-f"][..]), ("dan@d.test", &["-d", "-s", "-f"]), ("nom@n.test", &["-n", "-s", "-f"])]
    {
        let done = Command::new(sub.trim()).arg("-L").arg(&list).args(["-a", address]).args(options).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
    fs::write(list.join("control/prefix"), "[talk]\n").unwrap();
    fs::write(list.join("control/subonlypost"), "").unwrap();
    fs::write(list.join("archive/7"), "From: ann@a.test\r\nSubject: seven\r\nMessage-ID: <7@a.test>\r\n\r\nhello\r\n")
        .unwrap();
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
    assert_eq!(
        world.ok("emlist", &["archive", LIST, "show", "7"]),
        "From: ann@a.test\nSubject: seven\nMessage-ID: <7@a.test>\n\nhello\n"
    );
    assert_eq!(world.ok("emlist", &["get", LIST, "posting"]).trim(), "members");
    let again = world.ok("emlist", &["import", "--from", "mlmmj", path, LIST]);
    assert!(again.contains("3 were members already") && again.contains("1 were here already"), "{again}");
    let wrong = world.run("emlist", &["import", "--from", "fml", path, "other@example.test"]);
    assert_eq!(wrong.status.code(), Some(65), "{wrong:?}");
}

#[test]
fn a_list_of_fml_comes_with_its_packed_posts() {
    if !has("tar") || !has("gzip") {
        return;
    }
    let world = World::new();
    let old = world.path("old");
    for folder in ["spool", "var/archive"] {
        fs::create_dir_all(old.join(folder)).unwrap();
    }
    fs::write(old.join("actives"), "ann@a.test\n").unwrap();
    fs::write(old.join("seq"), "203\n").unwrap();
    for number in 1..=203 {
        let text = format!("From: ann@a.test\nMessage-ID: <{number}@a.test>\nSubject: {number}\n\ntext {number}\n");
        fs::write(old.join(format!("spool/{number}")), text).unwrap();
    }
    // As fml does it; what is packed goes from the spool when it is old.
    for last in [100, 200] {
        let script = format!("tar cf - $(seq -f spool/%.0f {} {last}) | gzip > var/archive/{last}.tar.gz", last - 99);
        let done = Command::new("sh").args(["-c", &script]).current_dir(&old).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
    for number in 1..=150 {
        fs::remove_file(old.join(format!("spool/{number}"))).unwrap();
    }
    let import = || world.ok("emlist", &["import", "--from", "fml", old.to_str().unwrap(), LIST]);
    let said = import();
    assert!(said.contains("203 posts added, 50 were here already"), "{said}");
    assert_eq!(world.ok("emlist", &["archive", LIST, "check"]), "203 posts\n");
    assert!(world.ok("emlist", &["archive", LIST, "show", "42"]).ends_with("\n\ntext 42\n"));
    // Again, with one that is damaged: it is named, and nothing is lost or doubled.
    let pack = old.join("var/archive/200.tar.gz");
    let bytes = fs::read(&pack).unwrap();
    fs::write(&pack, &bytes[..bytes.len() / 2]).unwrap();
    let said = import();
    assert!(said.contains("0 posts added") && said.contains("200.tar.gz: it is damaged"), "{said}");
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
        let said =
            world.ok("emlist", &["import", "--from", "mailman2", old.join("lists/talk").to_str().unwrap(), &name]);
        assert!(said.contains("3 members added") && said.contains("1 posts added"), "{said}");
        let members =
            fs::read_to_string(world.path(&format!("etc/lists/example.test/talk{protocol}/members"))).unwrap();
        for line in ["Ann@a.test on ", "off@a.test off ", "dig@a.test digest "] {
            assert!(members.lines().any(|member| member.starts_with(line)), "{members}");
        }
        for (key, value) in [("prefix", "[Talk %5S]"), ("refused", "reject"), ("description", "About café")] {
            assert_eq!(world.ok("emlist", &["get", &name, key]).trim(), value, "{protocol}");
        }
    }
}

/// A mail handed in by `from`; returns when the list is done with it.
fn sent(world: &World, from: &str, to: &str, rest: &str) {
    let text = format!("From: {from}\nTo: {to}\n{rest}");
    let out = world.run_with("emsend", &["-f", from, "--", to], text.as_bytes());
    assert!(out.status.success(), "{out:?}");
    wait_until("an empty queue", || world.queued().is_empty());
}

/// The newest mail of a user with these words in it.
fn letter(world: &World, user: &str, words: &str) -> String {
    let found = world.mailbox(user).into_iter().rev().find(|text| text.contains(words));
    found.unwrap_or_else(|| panic!("no {words:?} for {user}: {:#?}\n{}", world.mailbox(user), world.log()))
}

#[test]
fn posts_are_kept_and_fetched_by_mail() {
    let world = world();
    for (number, subject) in [(1, "one"), (2, "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?="), (3, "three")] {
        sent(
            &world,
            "bob@example.test",
            LIST,
            &format!("Subject: {subject}\nMessage-ID: <{number}@b.test>\n\ntext {number}\n"),
        );
    }
    assert_eq!(world.ok("emlist", &["archive", LIST, "list"]).lines().count(), 3);
    assert!(world.ok("emlist", &["archive", LIST, "show", "2"]).contains("\nX-Mail-Count: 2\n"));
    let control = "talk-control@example.test";
    sent(&world, "bob@example.test", control, "Subject: x\n\n# summary 2-\n# get 1,3,9\n# get 4-2\n# get\n# get 77\n");
    let answer = letter(&world, "bob", "Results of your commands");
    let structure = answer.split_once("\n\n").unwrap().1;
    let body = match answer.contains("base64") {
        true => {
            let script =
                "import email,sys;m=email.message_from_file(sys.stdin);print(m.get_payload(decode=True).decode())";
            let out = super::world::feed(Command::new("python3").args(["-c", script]), answer.as_bytes());
            String::from_utf8(out.stdout).unwrap().replace("\r\n", "\n")
        }
        false => structure.to_string(),
    };
    assert!(body.contains("[2:bob@example.test] 日本\n") && body.contains("[3:bob@example.test] three\n"), "{body}");
    assert!(body.contains("Posts in a mail of their own: 2\nNo such post: 9\n"), "{body}");
    assert!(body.contains("Failed: \"4-2\": the first number is larger"), "{body}");
    assert!(body.contains("Failed: a word is missing") && body.contains("Failed: there is no such post"), "{body}");
    // One by one, each as a part of its own mail; what one request may not have is named.
    sent(&world, "bob@example.test", control, "Subject: x\n\n# get 2-3 each\n# mget 3 mp\n");
    for (number, text) in [(2, "\ntext 2\n"), (3, "\ntext 3\n")] {
        let one = letter(&world, "bob", &format!("Subject: talk: get {number}\n"));
        assert!(one.contains("\nContent-Type: message/rfc822\n") && one.contains(text), "{one}");
        assert!(one.contains("\nAuto-Submitted: auto-replied\n") && one.starts_with("Return-Path: <>\n"), "{one}");
    }
    assert_eq!(world.mailbox("bob").iter().filter(|text| text.contains("Subject: talk: get 3\n")).count(), 2);
    let answer = letter(&world, "bob", "each in a mail of its own: 2");
    assert!(answer.contains(">>> # get 2-3 each\nSucceeded"), "{answer}");
    let posts = letter(&world, "bob", "Subject: talk: get 1, 3");
    assert!(
        posts.contains("Content-Type: multipart/digest")
            && posts.contains("\ntext 1\n")
            && posts.contains("\ntext 3\n"),
        "{posts}"
    );
    assert!(!posts.contains("\ntext 2\n"));
    // Strangers get nothing.
    sent(&world, "eve@example.test", control, "Subject: x\n\n# get 1\n");
    assert!(world.log().contains("you may not see that"), "{}", world.log());
}

#[test]
fn digests_go_to_those_who_want_them() {
    let world = world();
    world.add("dora@example.test", &[]);
    world.add("paul@example.test", &[]);
    world.ok("emlist", &["members", LIST, "add", "--state", "digest", "dora@example.test", "paul@example.test"]);
    world.ok("emlist", &["members", LIST, "options", "paul@example.test", "plain"]);
    world.ok("emlist", &["set", LIST, "charset", "iso-2022-jp"]);
    let body = "Content-Type: text/plain; charset=iso-2022-jp\n\n\u{1b}$BF|K\\\u{1b}(B text\n";
    for number in 1..=2 {
        let rest =
            format!("Subject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?= {number}\nMessage-ID: <{number}@b.test>\n{body}");
        sent(&world, "bob@example.test", LIST, &rest);
    }
    assert_eq!((world.mailbox("bob").len(), world.mailbox("dora").len()), (2, 0));
    // Not due yet; then wanted now.
    assert_eq!(world.ok("emlist", &["digest", LIST]), "");
    let said = world.ok("emlist", &["digest", "--all", "--now"]);
    assert_eq!(said, format!("{LIST}: #1, 2 posts to 2 members\n"));
    assert_eq!(world.ok("emlist", &["digest", LIST, "--now"]), "");
    let mime = letter(&world, "dora", "Subject: talk Digest V");
    for field in
        ["List-Id: ", "Message-ID: <digest-", "Date: ", "Content-Type: multipart/mixed", "To: <talk@example.test>"]
    {
        assert!(mime.lines().any(|line| line.starts_with(field)), "{field}: {mime}");
    }
    let plain = letter(&world, "paul", "Subject: talk Digest V");
    assert!(plain.contains("charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit\n"), "{plain}");
    assert!(
        plain.contains(&format!("\n\n{}\n\nDate: ", "-".repeat(70))) && plain.contains("\nEnd of talk Digest V"),
        "{plain}"
    );
    // A third post makes one due by number.
    world.ok("emlist", &["set", LIST, "digest_posts", "1"]);
    sent(&world, "bob@example.test", LIST, "Subject: three\nMessage-ID: <3@b.test>\n\nx\n");
    wait_until("an empty queue", || world.queued().is_empty());
    assert_eq!(world.mailbox("dora").len(), 2, "{}", world.log());
    // Posts that the administrator has removed meanwhile make no empty digest, today or later.
    world.ok("emlist", &["set", LIST, "digest_posts", "50"]);
    sent(&world, "bob@example.test", LIST, "Subject: four\nMessage-ID: <4@b.test>\n\nx\n");
    fs::remove_file(world.path("spool/lists/example.test/talk/archive/0/4")).unwrap();
    assert_eq!(world.ok("emlist", &["digest", LIST, "--now"]), "");
    sent(&world, "bob@example.test", LIST, "Subject: five\nMessage-ID: <5@b.test>\n\nx\n");
    assert_eq!(world.ok("emlist", &["digest", LIST, "--now"]), format!("{LIST}: #3, 1 posts to 2 members\n"));
}

#[test]
fn a_post_gets_no_number_that_an_import_has_given() {
    let world = world();
    fill(&world, 12);
    // The import was cut short before it had said how far it came.
    fs::remove_file(world.path("spool/lists/example.test/talk/posts")).unwrap();
    sent(&world, "bob@example.test", LIST, "Subject: new\nMessage-ID: <new@b.test>\n\nx\n");
    assert!(world.ok("emlist", &["archive", LIST, "show", "13"]).contains("\nX-Mail-Count: 13\n"));
}

fn report(recipient: &str, status: &str, number: u32) -> String {
    format!(
        "Subject: Undelivered\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\nMIME-Version: 1.0\n\n\
         --b\n\nno\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n\
         Final-Recipient: rfc822; {recipient}\nAction: failed\nStatus: {status}\n\n\
         --b\nContent-Type: message/rfc822\n\nX-ML-Name: talk\nX-Mail-Count: {number}\n\nx\n--b--\n"
    )
}

/// A report as another host sends it: with the null reverse path.
fn returned(world: &World, to: &str, text: &str) {
    let text = format!("From: mailer-daemon@x.test\nTo: {to}\n{text}");
    let out = world.run_with("emsend", &["-f", "<>", "--", to], text.as_bytes());
    assert!(out.status.success(), "{out:?}");
    wait_until("an empty queue", || world.queued().is_empty());
}

#[test]
fn whose_mail_comes_back_is_switched_off_warned_and_taken_out() {
    let world = world();
    world.ok("emlist", &["set", LIST, "bounce_score", "1"]);
    let bounces = "talk-bounces@example.test";
    returned(&world, bounces, &report("bob@example.test", "5.7.1", 3));
    assert_eq!(world.ok("emlist", &["bounces", LIST]), "");
    returned(&world, bounces, &report("bob@example.test", "4.2.2", 4));
    assert!(world.ok("emlist", &["bounces", LIST]).starts_with("bob@example.test 0.5 last "));
    // A stranger's failures are nobody's.
    returned(&world, bounces, &report("eve@example.test", "5.1.1", 4));
    let score = world.path("spool/lists/example.test/talk/bounces");
    let text = fs::read_to_string(&score).unwrap();
    // The day after: the half of yesterday is a day older.
    let yesterday = text.split(" at=").nth(1).unwrap().split(' ').next().unwrap().to_string();
    let earlier = (yesterday.parse::<i64>().unwrap() - 90_000_000_000).to_string();
    fs::write(&score, text.replace(&yesterday, &earlier)).unwrap();
    returned(&world, "talk-bounces+bob=example.test@example.test", &report("other@example.test", "5.1.1", 7));
    let shown = world.ok("emlist", &["bounces", LIST]);
    assert!(
        shown.starts_with("bob@example.test 1.5 off, 1 warnings,") && shown.contains("lost 4, 7: 5.1.1"),
        "{shown}"
    );
    let members = || fs::read_to_string(world.path("etc/lists/example.test/talk/members")).unwrap();
    assert!(members().contains("bob@example.test off ") && members().contains("why=bounces"), "{}", members());
    let warning = letter(&world, "bob", "Subject: Your mail from talk@example.test comes back");
    assert!(warning.contains("did not get: 4, 7\n") && warning.contains("5.1.1"), "{warning}");
    assert!(letter(&world, "alice", "was switched off").contains("bob@example.test"));
    // He comes back by himself, and starts from nothing.
    sent(&world, "bob@example.test", "talk-control@example.test", "Subject: x\n\n# on\n");
    assert!(members().contains("bob@example.test on "));
    assert_eq!(world.ok("emlist", &["bounces", LIST]), "");
    // Or he does not, and the warnings run out.
    returned(&world, bounces, &report("bob@example.test", "5.1.1", 8));
    world.ok("emlist", &["set", LIST, "bounce_warning_every", "0s"]);
    let said: Vec<String> = (0..3).map(|_| world.ok("emlist", &["bounces", "--all", "--due"])).collect();
    assert_eq!(said[..2], [format!("{LIST}: 1 warned, 0 taken out\n"), format!("{LIST}: 1 warned, 0 taken out\n")]);
    assert_eq!(said[2], format!("{LIST}: 0 warned, 1 taken out\n"));
    assert!(!members().contains("bob@example.test"));
    assert!(letter(&world, "alice", "was taken out").contains("bob@example.test"));
}

#[test]
fn a_complaint_takes_a_member_out_and_letters_to_the_bounce_address_reach_the_owners() {
    let world = world();
    let complaint = |more: &str| {
        format!(
            "Subject: complaint\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\nMIME-Version: 1.0\n\n--b\n\nspam\n\
             --b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: x/1\nVersion: 1\nOriginal-Rcpt-To: <bob@example.test>\n\
             --b\nContent-Type: message/rfc822\n\n{more}Subject: x\n\nx\n--b--\n"
        )
    };
    let bounces = "talk-bounces@example.test";
    let members = || fs::read_to_string(world.path("etc/lists/example.test/talk/members")).unwrap();
    // Without a post of the list in it, anybody could have written it.
    returned(&world, bounces, &complaint(""));
    assert!(members().contains("bob@example.test on"));
    returned(&world, bounces, &complaint("X-ML-Name: talk\nX-Mail-Count: 7\n"));
    assert!(!members().contains("bob@example.test"), "{}", world.log());
    assert!(letter(&world, "alice", "after a complaint").contains("bob@example.test"));
    sent(&world, "bob@example.test", bounces, "Subject: a question\n\nWho are you?\n");
    assert!(letter(&world, "alice", "Who are you?").contains("a question"));
}
