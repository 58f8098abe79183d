//! Real mail clients, each checked by the content that arrives, byte for byte where the protocol promises it.
//!
//! `tests/clients.sh` installs them; a test whose client is missing says so.

mod fetching;
mod imap;
mod lists;
mod programs;
mod sending;

use super::world::{World, feed};
use std::path::PathBuf;
use std::process::Command;

/// A body that a careless system changes: dots, a mail separator, 8-bit letters, blanks at a line's end, a long line, empty lines.
pub fn body() -> String {
    let long = "x".repeat(990);
    format!(
        "first\n.\n..two dots\n.one\nFrom the start\nGr\u{fc}\u{df}e \u{2014} \u{1f4ec}\nblanks  \n{long}\n\n\tlast\n\n"
    )
}

/// A whole message with LF line ends.
pub fn letter(to: &str, subject: &str) -> String {
    format!(
        "From: Out <out@side.test>\nTo: {to}\nSubject: {subject}\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{}",
        body()
    )
}

/// What stands behind the header.
pub fn body_of(text: &str) -> &str {
    text.split_once("\n\n").map_or("", |(_, body)| body)
}

/// True when the Received field says how it came (RFC 3848).
pub fn came_with(text: &str, protocol: &str) -> bool {
    text.split_whitespace().collect::<Vec<_>>().windows(3).any(|w| w == ["with", protocol, "id"])
}

/// Writes a file for a client below the root.
pub fn write(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.path(name);
    std::fs::write(&path, text).unwrap();
    // msmtp and others refuse files with passwords that anybody may read.
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path
}

/// A client's command with a home of its own, so that no setting of the user at this machine plays in.
pub fn client(world: &World, program: &str) -> Command {
    let mut command = Command::new(program);
    let home = world.path("home");
    std::fs::create_dir_all(&home).unwrap();
    command.env("HOME", &home).env("EM_ROOT", world.root()).env("LC_ALL", "C.UTF-8").current_dir(&home);
    for name in ["MAILRC", "MAIL", "EMAIL", "http_proxy", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

/// Runs a client that must succeed.
pub fn succeed(command: &mut Command, input: &[u8]) -> String {
    let out = feed(command, input);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{command:?}: {}\n{said}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    said
}

/// `python3 -c SCRIPT ARGUMENTS`.
pub fn python(world: &World, script: &str, arguments: &[&str]) -> String {
    succeed(client(world, "python3").arg("-c").arg(script).args(arguments), b"")
}
