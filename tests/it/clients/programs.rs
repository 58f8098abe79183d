//! Programs that know only sendmail(8).

use super::*;
use crate::world::{bin, has};

/// `emsend` under the name that programs look for.
pub(super) fn sendmail(world: &World) -> String {
    let path = world.path("sendmail");
    if !path.exists() {
        std::os::unix::fs::symlink(bin("emsend"), &path).unwrap();
    }
    path.display().to_string()
}

#[test]
fn mutt() {
    send_with("mutt");
}

#[test]
fn neomutt() {
    send_with("neomutt");
}

/// mutt and its relatives: a letter with an attachment and a hidden copy.
fn send_with(program: &str) {
    if !has(program) {
        return;
    }
    let world = World::new();
    let config = format!(
        "set sendmail=\"{}\"\nset from=alice@example.test\nset copy=no\nset use_envelope_from=yes\n",
        sendmail(&world)
    );
    let config = write(&world, "muttrc", &config);
    let attachment = write(&world, "data.bin", "\u{0}\u{1}binary\r\n.\r\n");
    let mut command = client(&world, program);
    command.arg("-n").arg("-F").arg(&config).args(["-s", "Gr\u{fc}\u{df}e", "-a"]).arg(&attachment);
    succeed(command.args(["-b", "alice@example.test", "--", "bob@example.test"]), b"hello\n.dot\n");
    for user in ["alice", "bob"] {
        let text = world.await_mail(user, 1).pop().unwrap();
        assert!(text.contains("\n\nhello\n.dot\n") && text.contains("data.bin"), "{text}");
        assert!(!text.contains("\nBcc:") && text.starts_with("Return-Path: <alice@example.test>\n"), "{text}");
    }
}

#[test]
fn s_nail() {
    if !has("s-nail") {
        return;
    }
    let world = World::new();
    let mut command = client(&world, "s-nail");
    command.args(["-:/", "-Sv15-compat", "-Ssendwait", "-Smta-bcc-ok", "-S", &format!("mta={}", sendmail(&world))]);
    command.args(["-r", "alice@example.test", "-s", "nail", "-b", "alice@example.test", "bob@example.test"]);
    succeed(&mut command, b"hello\n.\nafter a dot\n");
    for user in ["alice", "bob"] {
        let text = world.await_mail(user, 1).pop().unwrap();
        assert_eq!(body_of(&text), "hello\n.\nafter a dot\n", "{text}");
    }
}

#[test]
fn git_send_email() {
    if !has("git-send-email") {
        return;
    }
    let world = World::new();
    let patch = "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n\
        From: Alice <alice@example.test>\nDate: Tue, 24 Nov 2026 10:00:00 +0000\nSubject: [PATCH] end of lines\n\n\
        Why.\n---\n file | 1 +\n\n--- a/file\n+++ b/file\n@@ -1 +1,2 @@\n line\n+.\n-- \n2.39.0\n\n";
    let patch = write(&world, "0001-end.patch", patch);
    let mut command = client(&world, "/usr/lib/git-core/git-send-email");
    command.env("PATH", "/usr/lib/git-core:/usr/bin:/bin").env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Alice").env(format!("GIT_{role}_EMAIL"), "alice@example.test");
    }
    command.args(["--from=Alice <alice@example.test>", "--to=bob@example.test", "--confirm=never", "--quiet"]);
    command.arg(format!("--smtp-server={}", sendmail(&world))).arg("--suppress-cc=all").arg(&patch);
    succeed(&mut command, b"");
    let text = world.await_mail("bob", 1).pop().unwrap();
    assert!(text.contains("\nSubject: [PATCH] end of lines\n"), "{text}");
    assert!(body_of(&text).ends_with("@@ -1 +1,2 @@\n line\n+.\n-- \n2.39.0\n\n"), "{text}");
}

#[test]
fn php_mail() {
    if !has("php") {
        return;
    }
    let world = World::new();
    let script = r#"
        $headers = ["From" => "shop@example.test", "Bcc" => "alice@example.test", "Content-Type" => "text/plain; charset=utf-8"];
        exit(mail("bob@example.test", "Your order", "Thank you.\r\n.\r\nGr\u{fc}\u{df}e\r\n", $headers, "-fshop@example.test") ? 0 : 1);
    "#;
    let mut command = client(&world, "php");
    command.args(["-n", "-d", &format!("sendmail_path={} -t -i", sendmail(&world)), "-r", script]);
    succeed(&mut command, b"");
    for user in ["alice", "bob"] {
        let text = world.await_mail(user, 1).pop().unwrap();
        assert!(text.starts_with("Return-Path: <shop@example.test>\n") && !text.contains("\nBcc:"), "{text}");
        assert_eq!(body_of(&text).trim_end(), "Thank you.\n.\nGr\u{fc}\u{df}e", "{text}");
    }
}

/// cron's own words: Debian's cron, cronie, and the BSD one.
#[test]
fn cron() {
    let world = World::new();
    std::fs::write(world.path("etc/aliases"), "root: alice\n").unwrap();
    let job = "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> test -x /bin/x\nMIME-Version: 1.0\n\
        Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\n\n.\nit broke\n";
    let lines: [&[&str]; 3] = [
        &["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"],
        &["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"],
        &["-FCronDaemon", "-odi", "-oem", "-oi", "-or0s", "root"],
    ];
    for (count, line) in lines.iter().enumerate() {
        let mut command = client(&world, &sendmail(&world));
        assert_eq!(succeed(command.args(*line), job.as_bytes()), "", "cron would mail what is said");
        let text = world.await_mail("alice", count + 1).pop().unwrap();
        assert_eq!(body_of(&text), ".\nit broke\n", "{text}");
        assert!(text.contains("\nTo: root") && text.contains("Cron Daemon"), "{text}");
    }
}
