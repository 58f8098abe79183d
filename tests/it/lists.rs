//! Mailing lists, end to end: posts, commands by mail, moderation, administration from the shell.

use super::name_server::{NameServer, Says, nobody, txt};
use super::wire::{Client, Sink};
use super::world::{World, feed, has, wait_until};
use hickory_resolver::proto::rr::RecordType;

const LIST: &str = "talk@example.test";

/// A world with a list that alice owns; bob is a member.
fn world(settings: &[&str]) -> World {
    let world = World::new();
    let mut arguments = vec!["create", LIST, "--owner", "alice@example.test"];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    world.ok("emlist", &arguments);
    world.ok("emlist", &["members", LIST, "add", "bob@example.test"]);
    world
}

fn send(world: &World, from: &str, to: &str, header: &str, body: &str) -> std::process::Output {
    let text = format!("From: {from}\nTo: {to}\n{header}\n{body}");
    world.run_with("emsend", &["-f", from, "--", to], text.as_bytes())
}

fn sent(world: &World, from: &str, to: &str, header: &str, body: &str) {
    let out = send(world, from, to, header, body);
    assert!(out.status.success(), "{out:?}");
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = text.split("\n\n").next().unwrap();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The newest message of a mailbox with this in its text.
fn letter(world: &World, user: &str, has: &str) -> String {
    let mut found = None;
    wait_until(&format!("{has:?} for {user}"), || {
        found = world.mailbox(user).into_iter().rev().find(|text| text.contains(has));
        found.is_some()
    });
    found.unwrap()
}

/// The address for an answer behind this word.
fn choice(text: &str, word: &str) -> String {
    let behind = text.split(&format!("{word}:\n  ")).nth(1).unwrap_or_else(|| panic!("{word}: {text}"));
    behind.lines().next().unwrap().to_string()
}

#[test]
fn a_post_goes_to_each_member_with_its_number() {
    let remote = Sink::start(|_| None);
    let world = world(&["prefix=[%M:%5S]", "reply_to=list", "description=Talk about it"]);
    std::fs::write(world.path("etc/routes"), remote.route("remote.test")).unwrap();
    world.add("carol@example.test", &[]);
    world.ok("emlist", &["members", LIST, "add", "x@remote.test", "y@remote.test"]);
    world.ok("emlist", &["members", LIST, "add", "--state", "off", "carol@example.test"]);
    std::fs::write(world.path("etc/lists/example.test/talk/footer.txt"), "-- \nThe list {list}\n").unwrap();
    world.start();
    let header = "Subject: Re: [talk:00007] Re: hello\nMessage-ID: <1@example.test>\nBcc: z@z.test\n";
    sent(&world, "alice@example.test", LIST, header, "first\n");
    let copy = &world.await_mail("bob", 1)[0];
    assert!(copy.starts_with("Return-Path: <talk-bounces@example.test>\n"), "{copy}");
    for (name, expected) in [
        ("Subject", "[talk:00001] Re: hello"),
        ("Message-ID", "<1@example.test>"),
        ("Reply-To", "talk@example.test"),
        ("From", "alice@example.test"),
        ("List-Id", "Talk about it <talk.example.test>"),
        ("List-Post", "<mailto:talk@example.test>"),
        ("X-ML-Name", "talk"),
        ("X-Mail-Count", "1"),
        ("Precedence", "list"),
    ] {
        assert_eq!(field(copy, name), Some(expected), "{copy}");
    }
    assert!(copy.ends_with("\n\nfirst\n-- \nThe list talk@example.test\n"), "{copy}");
    wait_until("the copies for the other host", || remote.texts().len() == 1);
    let commands = remote.commands();
    assert!(commands.iter().any(|c| c.starts_with("MAIL FROM:<talk-bounces@example.test>")), "{commands:?}");
    assert_eq!(commands.iter().filter(|c| c.starts_with("RCPT TO:")).count(), 2, "{commands:?}");
    // The same message again is no post; another one is number 2.
    sent(&world, "alice@example.test", LIST, header, "first\n");
    sent(&world, "alice@example.test", LIST, "Subject: again\nMessage-ID: <2@example.test>\n", "second\n");
    let copies = world.await_mail("bob", 2);
    assert!(copies.iter().any(|copy| field(copy, "Subject") == Some("[talk:00002] again")), "{copies:?}");
    wait_until("an empty queue", || world.queued().is_empty());
    assert!(world.mailbox("carol").is_empty());
    assert!(world.log().contains("event=posted"), "{}", world.log());
}

#[test]
fn who_may_not_post_hears_it_while_the_client_listens() {
    let world = world(&[]);
    world.start();
    let talk = |from: &str, header_from: &str| {
        let mut client = Client::connect(world.address("smtp"));
        client.reply();
        for command in ["EHLO client.test", &format!("MAIL FROM:<{from}>"), &format!("RCPT TO:<{LIST}>")] {
            let reply = client.ask(command);
            assert!(reply.starts_with("250"), "{command}: {reply}");
        }
        assert!(client.ask("DATA").starts_with("354"));
        client.ask(&format!("From: {header_from}\r\nSubject: x\r\n\r\ntext\r\n."))
    };
    let reply = talk("eve@other.test", "eve@other.test");
    assert!(reply.starts_with("550 5.7.1 <talk@example.test>: only members may post"), "{reply}");
    assert!(talk("", "bob@example.test").starts_with("550 5.7.1"));
    assert!(talk("bob@example.test", "bob@example.test").starts_with("250"));
    world.await_mail("bob", 1);
    let mut client = Client::connect(world.address("smtp"));
    client.reply();
    client.ask("EHLO client.test");
    client.ask("MAIL FROM:<eve@other.test>");
    for (to, code) in [
        ("talk-control", "250"),
        ("talk-request", "250"),
        ("talk-owner", "250"),
        ("owner-talk", "250"),
        ("talk-bounces+bob=example.test", "250"),
        ("talk+subscribe", "250"),
        ("talk-nonsense", "550"),
        ("talk+nonsense", "550"),
        ("other-control", "550"),
    ] {
        let reply = client.ask(&format!("RCPT TO:<{to}@example.test>"));
        assert!(reply.starts_with(code), "{to}: {reply}");
    }
    let explained = world.ok("emsend", &["-bv", LIST]);
    assert!(explained.contains("mailing list talk@example.test"), "{explained}");
}

#[test]
fn one_becomes_a_member_by_answering_and_leaves_the_same_way() {
    let world = world(&[]);
    world.add("carol@example.test", &[]);
    world.start();
    let (carol, control) = ("carol@example.test", "talk-control@example.test");
    sent(&world, carol, control, "Subject: x\n", "# subscribe Carol C\n# stat\n-- \n# help\n");
    let results = letter(&world, "carol", ">>> # subscribe Carol C");
    assert!(results.contains("Auto-Submitted: auto-replied"), "{results}");
    let question = letter(&world, "carol", "# confirm ");
    let from = field(&question, "From").unwrap();
    let answer_to = from.split('<').nth(1).unwrap().trim_end_matches('>').to_string();
    assert!(answer_to.starts_with("talk-confirm+"), "{question}");
    assert!(!world.ok("emlist", &["members", LIST, "list"]).contains("carol"));
    // A program's answer is none; a second question does not go out today.
    sent(&world, carol, &answer_to, "Auto-Submitted: auto-replied\n", "I am away\n");
    sent(&world, carol, control, "", "subscribe\n");
    wait_until("the second answer", || world.mailbox("carol").len() == 3);
    assert!(!world.ok("emlist", &["members", LIST, "list"]).contains("carol"));
    sent(&world, carol, &answer_to, "", "yes\n");
    letter(&world, "carol", "Subject: Welcome to talk@example.test");
    wait_until("the member", || world.ok("emlist", &["members", LIST, "list"]).contains("carol@example.test on"));
    letter(&world, "alice", "carol@example.test has become a member");
    // The token was good once.
    sent(&world, carol, &answer_to, "", "yes\n");
    letter(&world, "carol", "Failed: ");
    sent(&world, carol, control, "", "# off\n");
    wait_until("off", || world.ok("emlist", &["members", LIST, "list"]).contains("carol@example.test off"));
    // A list in Japanese answers in its charset.
    world.ok("emlist", &["set", LIST, "language", "ja"]);
    world.ok("emlist", &["set", LIST, "charset", "iso-2022-jp"]);
    sent(&world, carol, "talk-help@example.test", "", "");
    assert!(letter(&world, "carol", "charset=ISO-2022-JP").contains("\u{1b}$B"));
    sent(&world, "bob@example.test", "talk-unsubscribe@example.test", "", "x\n");
    let question = letter(&world, "bob", "# confirm ");
    let token = question.split("# confirm ").nth(1).unwrap().split_whitespace().next().unwrap().to_string();
    sent(&world, "bob@example.test", control, "", &format!("# confirm {token}\n"));
    wait_until("bob's leave", || !world.ok("emlist", &["members", LIST, "list"]).contains("bob"));
    wait_until("no question", || world.ok("emlist", &["stats", LIST, "--json"]).contains("\"questions\":0"));
}

#[test]
fn a_held_post_waits_for_one_word_of_a_moderator() {
    let world = world(&["posting=moderated", "archive=false"]);
    world.start();
    let (bob, alice) = ("bob@example.test", "alice@example.test");
    sent(&world, bob, LIST, "Subject: first\nMessage-ID: <1@b>\n", "one\n");
    let asked = letter(&world, "alice", "Subject: A post to talk@example.test waits: first");
    assert!(asked.contains("Content-Type: message/rfc822") && asked.contains("\none\n"), "{asked}");
    letter(&world, "bob", "waits for a moderator");
    let held: serde_json::Value =
        serde_json::from_str(world.ok("emlist", &["moderate", LIST, "list", "--json"]).trim()).unwrap();
    assert_eq!((held["author"].as_str(), held["subject"].as_str()), (Some(bob), Some("first")));
    sent(&world, alice, &choice(&asked, "Accept"), "", "\n");
    let copy = letter(&world, "bob", "X-Mail-Count: 1");
    assert!(copy.contains("\none\n"), "{copy}");
    assert_eq!(world.ok("emlist", &["moderate", LIST, "list"]), "");
    // The other words have no meaning any more.
    sent(&world, alice, &choice(&asked, "Drop"), "", "\n");
    letter(&world, "alice", "Failed: nobody waits for that answer");
    sent(&world, bob, LIST, "Subject: second\n", "two\n");
    let mut id = String::new();
    wait_until("the second post", || {
        id = world.ok("emlist", &["moderate", LIST, "list"]).split_whitespace().next().unwrap_or("").to_string();
        !id.is_empty()
    });
    assert!(world.ok("emlist", &["moderate", LIST, "show", &id]).contains("two"));
    world.ok("emlist", &["moderate", LIST, "discard", &id]);
    assert_eq!(world.run("emlist", &["moderate", LIST, "approve", &id]).status.code(), Some(66));
    // Moderators' own posts pass.
    sent(&world, alice, LIST, "Subject: third\n", "three\n");
    assert!(letter(&world, "bob", "X-Mail-Count: 2").contains("three"));
}

#[test]
fn the_shell_makes_sets_fills_and_deletes() {
    let world = world(&[]);
    let fails = |arguments: &[&str], code: i32| {
        let out = world.run("emlist", arguments);
        assert_eq!(out.status.code(), Some(code), "{arguments:?}: {out:?}");
        String::from_utf8(out.stderr).unwrap()
    };
    fails(&["create", LIST, "--owner", "alice@example.test"], 73);
    fails(&["create", "x@elsewhere.test", "--owner", "alice@example.test"], 78);
    fails(&["create", "alice@example.test", "--owner", "bob@example.test"], 73);
    fails(&["show", "nothing@example.test"], 67);
    assert!(fails(&["set", LIST, "replyto", "list"], 78).contains("did you mean reply_to?"));
    assert!(fails(&["set", LIST, "posting", "all"], 78).contains("list.toml:"));
    world.ok("emlist", &["set", LIST, "subscription_domains", "*.example.jp, example.jp"]);
    assert_eq!(world.ok("emlist", &["get", LIST, "posting"]), "members\n");
    let shown = world.ok("emlist", &["show", "talk"]);
    assert!(shown.contains("subscription_domains = [\"*.example.jp\", \"example.jp\"]"), "{shown}");
    std::fs::write(
        world.path("in.csv"),
        "address,state\nc@c.test,digest\n\"d@d.test\",off,\"D, E\"\nbob@example.test\n",
    )
    .unwrap();
    let csv = world.path("in.csv").display().to_string();
    world.ok("emlist", &["members", LIST, "import", &csv]);
    let exported = world.ok("emlist", &["members", LIST, "export"]);
    assert!(exported.contains("d@d.test,off,") && exported.contains("\"D, E\""), "{exported}");
    std::fs::write(&csv, "e@e.test\nf@f.test,loud\n").unwrap();
    assert!(fails(&["members", LIST, "import", &csv], 65).contains("in.csv:2: "));
    world.ok("emlist", &["members", LIST, "set", "on", "c@c.test"]);
    fails(&["members", LIST, "remove", "nobody@x.test"], 1);
    let path = world.path("etc/lists/example.test/talk/members");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "half a line\n").unwrap();
    let out = world.run("emlist", &["check"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stdout).contains("members:5: "), "{out:?}");
    assert_eq!(world.ok("emlist", &["members", LIST, "list", "--state", "on"]).lines().count(), 2);
    world.ok("emlist", &["rename", LIST, "chat@example.test"]);
    assert_eq!(world.ok("emlist", &["list"]), "chat@example.test\n");
    fails(&["delete", "chat@example.test"], 64);
    world.ok("emlist", &["delete", "chat@example.test", "--yes"]);
    assert_eq!(world.ok("emlist", &["list"]), "");
}

#[test]
fn a_post_to_ten_thousand_is_one_message_in_the_queue() {
    let world = world(&["archive=false"]);
    let csv: String = (0..10_000).map(|number| format!("user{number}@remote.test\n")).collect();
    let out = world.run_with("emlist", &["members", LIST, "import", "-"], csv.as_bytes());
    assert!(out.status.success(), "{out:?}");
    world.ok("emlist", &["members", LIST, "remove", "bob@example.test"]);
    // Nobody listens there: what is queued stays.
    std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
    sent(&world, "alice@example.test", LIST, "Subject: x\n", "text\n");
    // emsend has the queue looked at in the background; the post itself leaves the queue when its copies are there.
    let queued = || -> Vec<String> {
        let buckets = std::fs::read_dir(world.path("spool/queue")).unwrap();
        let files = buckets.flat_map(|bucket| std::fs::read_dir(bucket.unwrap().path()).unwrap());
        files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok()).collect()
    };
    wait_until("the copies alone", || matches!(queued().as_slice(), [one] if one.contains("user9999@remote.test")));
    let text = queued().remove(0);
    assert_eq!(text.matches("\nrcpt ").count(), 10_000, "{}", text.len());
}

#[test]
fn the_list_stands_in_from_where_the_authors_domain_is_strict() {
    let dns = NameServer::start(|name, kind| match (name, kind) {
        ("_dmarc.strict.test", RecordType::TXT) => Says::Records(vec![txt(&["v=DMARC1; p=reject"])]),
        ("_dmarc.lax.test", RecordType::TXT) => Says::Records(vec![txt(&["v=DMARC1; p=none"])]),
        _ => nobody(),
    });
    let world = world(&["posting=anyone"]);
    world.set("dns.servers", &dns.address.to_string());
    world.set("dns.hosts", "");
    world.start();
    for (number, domain) in ["strict.test", "lax.test"].iter().enumerate() {
        let mut client = Client::connect(world.address("smtp"));
        client.reply();
        client.ask("EHLO client.test");
        client.ask(&format!("MAIL FROM:<ann@{domain}>"));
        client.ask(&format!("RCPT TO:<{LIST}>"));
        client.ask("DATA");
        let reply = client.ask(&format!("From: Ann <ann@{domain}>\r\nMessage-ID: <{number}@x>\r\n\r\ntext\r\n."));
        assert!(reply.starts_with("250"), "{reply}");
    }
    let copies = world.await_mail("bob", 2);
    let strict = copies.iter().find(|copy| copy.contains("ann@strict.test")).unwrap();
    assert_eq!(field(strict, "From"), Some("Ann via talk <talk@example.test>"));
    assert_eq!(field(strict, "Reply-To"), Some("ann@strict.test"));
    assert_eq!(field(strict, "X-Original-From"), Some("Ann <ann@strict.test>"));
    let lax = copies.iter().find(|copy| copy.contains("ann@lax.test")).unwrap();
    assert_eq!(field(lax, "From"), Some("Ann <ann@lax.test>"));
}

#[test]
fn swaks_posts_and_hears_refusals() {
    if !has("swaks") {
        return;
    }
    let world = world(&["prefix=[%M %S]"]);
    world.start();
    let swaks = |from: &str, to: &str| {
        let mut command = std::process::Command::new("swaks");
        let server = world.address("smtp").to_string();
        command.args(["--server", &server, "--from", from, "--to", to, "--helo", "client.test"]);
        command.args(["--header", "Subject: by swaks", "--body", "text"]);
        feed(&mut command, b"")
    };
    let out = swaks("bob@example.test", LIST);
    assert!(out.status.success(), "{out:?}");
    assert_eq!(field(&world.await_mail("bob", 1)[0], "Subject"), Some("[talk 1] by swaks"));
    let out = swaks("eve@other.test", LIST);
    assert!(!out.status.success() && String::from_utf8_lossy(&out.stdout).contains("550 5.7.1"), "{out:?}");
    let out = swaks("bob@example.test", "talk-owner@example.test");
    assert!(out.status.success(), "{out:?}");
    letter(&world, "alice", "by swaks");
}
