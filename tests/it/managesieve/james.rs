//! The scripts of Apache James' ManageSieve tests, read where they lie.
//!
//! Statuses are compared by their word and code, strings by what they hold, lines of one reply in any order. James takes a test that the
//! script did not require, a login without SASL's form, and a literal's end for a command's; the scripts are changed there.

use super::wire::{Response, Sieve, parse, plain};
use crate::imap_corpus::outside;
use crate::world::World;

/// Scripts that say nothing about us, and why.
const LEFT_OUT: &[(&str, &str)] = &[("starttls", "goes on in clear behind STARTTLS; a test of ours has TLS there")];

/// What is changed in all scripts, and why.
const CHANGES: &[(&str, &str)] = &[
    // RFC 5228 §5.4: the test needs its require.
    ("[\"fileinto\"]", "[\"fileinto\", \"envelope\"]"),
    ("\\[\"fileinto\"\\]", "\\[\"fileinto\", \"envelope\"\\]"),
    ("{99+}", "{111+}"),
    ("\\{99\\}", "\\{111\\}"),
    ("{97+}", "{109+}"),
    // Their limit is 50 octets.
    ("\"scriptname\" 51", "\"scriptname\" 1048577"),
];

struct Exchange {
    line: usize,
    sent: Vec<u8>,
    expected: Vec<String>,
}

fn read(text: &str) -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(rest) = line.strip_prefix("C:") {
            if all.last().is_none_or(|last| !last.expected.is_empty()) {
                all.push(Exchange { line: index + 1, sent: Vec::new(), expected: Vec::new() });
            }
            let sent = &mut all.last_mut().unwrap().sent;
            sent.extend_from_slice(command(rest.strip_prefix(' ').unwrap_or(rest)).as_bytes());
            sent.extend_from_slice(b"\r\n");
        } else if let Some(rest) = line.strip_prefix("S:") {
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            all.last_mut().unwrap().expected.push(plain_text(rest));
        } else {
            let is_known = line.trim().is_empty() || ["#", "SUB {", "}"].iter().any(|word| line.starts_with(word));
            assert!(is_known, "line {}: {line}", index + 1);
        }
    }
    all
}

/// A line that is sent, in the standard's form.
fn command(line: &str) -> String {
    match line.split_once(' ') {
        Some((user @ ("user" | "tin"), "password")) => {
            format!("\"{}\"", plain(&format!("{user}@example.test"), "demo"))
        }
        _ => line.replace("AHVzZXIAcGFzc3dvcmQ=", &plain("user@example.test", "demo")),
    }
}

/// The text that a regular expression describes; only what the scripts use of that language.
fn plain_text(expression: &str) -> String {
    let mut out = String::new();
    let mut letters = expression.chars();
    while let Some(letter) = letters.next() {
        out.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    out
}

/// The responses that lines make.
fn responses(lines: &[String]) -> Vec<Response> {
    let mut lines = lines.iter();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        found.push(parse(line, &mut |size| {
            let mut text = String::new();
            while text.len() < size {
                text.push_str(lines.next().unwrap());
                text.push_str("\r\n");
            }
            // What stands behind the literal is in its last line, unless that line is all its own.
            let after = text.split_off(size);
            (text, if after.is_empty() { lines.next().unwrap().clone() } else { after.trim_end().to_string() })
        }));
    }
    found
}

/// True when the octets of a literal are the last that a script sends.
fn ends_in_literal(sent: &[u8]) -> bool {
    let text = String::from_utf8_lossy(sent);
    let Some((head, body)) = text.split_once("+}\r\n") else { return false };
    head.rsplit('{').next().and_then(|size| size.parse().ok()) == Some(body.len()) && !head.contains("unterminated")
}

fn play(world: &World, text: &str) -> String {
    let mut sieve = Sieve::connect(world.address("managesieve"));
    let mut wrong = String::new();
    for exchange in read(text) {
        let mut sent = exchange.sent;
        if ends_in_literal(&sent) {
            sent.extend_from_slice(b"\r\n");
        }
        sieve.send(&sent);
        let mut wanted = responses(&exchange.expected);
        // A challenge stands alone.
        let has_status = wanted.iter().any(|response| matches!(response, Response::Status(..)));
        let mut told = if has_status { sieve.reply() } else { sieve.response().into_iter().collect() };
        wanted.sort();
        told.sort();
        if wanted != told {
            wrong.push_str(&format!("line {}: wanted {wanted:?}, got {told:?}\n", exchange.line));
        }
    }
    wrong
}

#[test]
fn scripts_of_james() {
    let Some(dir) = outside().map(|dir| dir.join("managesieve/james-mpt-scripts")).filter(|dir| dir.is_dir()) else {
        return;
    };
    let world = World::empty();
    world.set("auth.plaintext_without_tls", "always");
    world.add("user@example.test", &[]);
    world.start();
    let (mut passed, mut wrong) = (0, String::new());
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_script = path.extension().is_some_and(|ending| ending == "test");
        if !is_script || LEFT_OUT.iter().any(|(other, _)| *other == name) {
            continue;
        }
        let mut text = std::fs::read_to_string(&path).unwrap();
        for (theirs, ours) in CHANGES {
            text = text.replace(theirs, ours);
        }
        let _ = std::fs::remove_dir_all(world.path("mail/example.test/user/sieve"));
        let errors = play(&world, &text);
        passed += usize::from(errors.is_empty());
        wrong.push_str(&errors.lines().map(|line| format!("{name}: {line}\n")).collect::<String>());
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(passed >= 9, "only {passed} scripts");
}
