//! Mailing lists as their readers see them: mutt shows posts and digests, and answers, leaves and joins by its own commands for lists.
//!
//! mutt wants a terminal; `script` gives it one, and keys come from its configuration.

use super::programs::sendmail;
use super::*;
use crate::world::{feed, has, wait_until};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

const LIST: &str = "talk@example.test";

/// A list as one in Japan would be: prefix with a number, ISO-2022-JP, a footer. bob gets posts, dora digests.
fn world() -> World {
    let world = World::new();
    world.add("dora@example.test", &[]);
    world.ok("emlist", &["create", LIST, "--owner", "alice@example.test"]);
    for (key, value) in [
        ("prefix", "[%M:%5S]"),
        ("charset", "iso-2022-jp"),
        ("subscription", "open"),
        ("unsubscription", "open"),
        ("welcome", "false"),
        ("notices", "false"),
    ] {
        world.ok("emlist", &["set", LIST, key, value]);
    }
    fs::write(world.path("etc/lists/example.test/talk/footer.txt"), "フッタ {list}\n").unwrap();
    world.ok("emlist", &["members", LIST, "add", "bob@example.test"]);
    world.ok("emlist", &["members", LIST, "add", "--state", "digest", "dora@example.test"]);
    let post = "From: =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?= <bob@example.test>\nTo: talk@example.test\nMIME-Version: 1.0\n\
                Subject: =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=\nMessage-ID: <first@example.test>\n\
                Content-Type: text/plain; charset=iso-2022-jp\n\n\u{1b}$BF|K\\\u{1b}(B text\n";
    let out = world.run_with("emsend", &["-f", "bob@example.test", "--", LIST], post.as_bytes());
    assert!(out.status.success(), "{out:?}");
    world.await_mail("bob", 1);
    wait_until("an empty queue", || world.queued().is_empty());
    world
}

/// mutt as bob, who presses these keys in this mailbox.
fn mutt(world: &World, mailbox: &Path, keys: &str) {
    let editor = write(world, "editor", "#!/bin/sh\necho 'an answer' >> \"$1\"\n");
    fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let config = format!(
        "set sendmail=\"{}\" from=bob@example.test use_envelope_from=yes editor=\"{}\"\n\
         set folder=\"{home}\" spoolfile=\"{home}/none\" mbox=\"{home}/none\" postponed=\"{home}/none\" record=\"\" copy=no\n\
         set fast_reply=yes include=no abort_nosubject=no abort_unmodified=no recall=no confirmcreate=no\n\
         set pipe_decode=yes wait_key=no quit=yes charset=utf-8\nsubscribe {LIST}\npush \"{keys}\"\n",
        sendmail(world),
        editor.display(),
        home = world.path("home").display(),
    );
    let config = write(world, "muttrc", &config);
    let line = format!("mutt -n -F '{}' -R -f '{}'", config.display(), mailbox.display());
    let run = || {
        let mut command = client(world, "script");
        feed(command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm"), b"")
    };
    let mut out = run();
    // The end of input that script(1) passes on may be the answer to a question of mutt's, which then waits for another one for ever.
    if out.status.signal().is_some() {
        println!("mutt hung: once more");
        out = run();
    }
    assert!(out.status.success(), "{}: {}", out.status, String::from_utf8_lossy(&out.stdout));
}

/// What mutt shows of the first message.
fn shown(world: &World, mailbox: &Path) -> String {
    let file = world.path("shown");
    let _ = fs::remove_file(&file);
    mutt(world, mailbox, &format!("<first-entry><pipe-message>cat > '{}'<enter><quit>", file.display()));
    fs::read_to_string(file).unwrap()
}

#[test]
fn mutt_shows_posts_and_digests() {
    if !has("mutt") || !has("script") {
        return;
    }
    let world = world();
    let whole = |text: &str, what: &str| {
        for line in ["Subject: [talk:00001] 日本\n", "\n日本 text\n", "フッタ talk@example.test"] {
            assert!(text.contains(line), "{what}: {line}: {text}");
        }
    };
    whole(&shown(&world, &world.path("mail/example.test/bob/Maildir")), "post");
    let mbox = world.path("posts.mbox");
    world.ok("emlist", &["archive", LIST, "export", "--output", mbox.to_str().unwrap()]);
    whole(&shown(&world, &mbox), "mbox");
    world.ok("emlist", &["digest", LIST, "--now"]);
    world.await_mail("dora", 1);
    let digest = shown(&world, &world.path("mail/example.test/dora/Maildir"));
    whole(&digest, "digest");
    assert!(digest.contains("Subject: talk Digest V") && digest.contains("  [talk:00001] 日本 (日本)\n"), "{digest}");
}

#[test]
fn mutt_answers_leaves_and_joins() {
    if !has("mutt") || !has("script") {
        return;
    }
    let world = world();
    let maildir = world.path("mail/example.test/bob/Maildir");
    mutt(&world, &maildir, "<first-entry><list-reply><send-message><quit>");
    let posts = world.await_mail("bob", 2);
    let answer = posts.iter().find(|text| text.contains("an answer")).unwrap();
    assert!(
        answer.contains("\nIn-Reply-To: <first@example.test>\n") && answer.contains("\nX-Mail-Count: 2\n"),
        "{answer}"
    );
    let is_member = || world.ok("emlist", &["members", LIST, "list"]).contains("bob@example.test");
    for (action, expected) in [("unsubscribe", false), ("subscribe", true)] {
        // The questions for To and Subject are answered as they stand.
        let keys = format!("<first-entry><list-action><list-{action}><enter><enter><send-message><exit><quit>");
        mutt(&world, &maildir, &keys);
        wait_until(action, || is_member() == expected && world.queued().is_empty());
    }
}
