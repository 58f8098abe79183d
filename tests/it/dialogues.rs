//! tests/dialogues/*.txt: each conversation runs whole and byte by byte through the binary's standard input, and over TCP.
//!
//! Lines: `# program arguments` first; `C: text` is sent with CRLF (`\n`, `\r`, `\t`, `\0` and `\\` are escapes; a line that ends in `\` gets no
//! CRLF); `S: text` is an expected line (where `␀` is NUL), `S: text…text` its beginning and its end, `S* text` skips lines up to one that
//! begins so; `S.` is the connection's end.
//! `# setting KEY VALUE` changes a setting first, `# table NAME ROW` adds a row to a table; `# only TCP` is for what a pipe can't show, because it has no peer's address.

use super::world::{PATIENCE, World, feed};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

struct Script {
    path: PathBuf,
    program: String,
    service: String,
    settings: Vec<(String, String)>,
    rows: Vec<(String, String)>,
    only_tcp: bool,
    sent: Vec<u8>,
    expected: Vec<(bool, String)>,
}

fn unescape(text: &str) -> Vec<u8> {
    let (body, ending) = match text.strip_suffix('\\').filter(|b| !b.ends_with('\\')) {
        Some(body) => (body, ""),
        None => (text, "\r\n"),
    };
    let mut out = body
        .replace("\\\\", "\u{1}")
        .replace("\\n", "\n")
        .replace("\\r", "\r")
        .replace("\\t", "\t")
        .replace("\\0", "\0")
        .replace('\u{1}', "\\");
    out.push_str(ending);
    out.into_bytes()
}

fn read(path: &Path) -> Script {
    let text = std::fs::read_to_string(path).unwrap();
    let mut script = Script {
        path: path.into(),
        program: String::new(),
        service: String::new(),
        settings: Vec::new(),
        rows: Vec::new(),
        only_tcp: false,
        sent: Vec::new(),
        expected: Vec::new(),
    };
    for line in text.lines() {
        match line.split_at_checked(3) {
            Some(("C: ", rest)) => script.sent.extend(unescape(rest)),
            Some(("S: ", rest)) => script.expected.push((false, rest.to_string())),
            Some(("S* ", rest)) => script.expected.push((true, rest.to_string())),
            _ if line == "S." => {}
            _ if line == "# only TCP" => script.only_tcp = true,
            _ if line.starts_with("# setting ") => {
                let (key, value) = line["# setting ".len()..].split_once(' ').unwrap();
                script.settings.push((key.to_string(), value.to_string()));
            }
            _ if line.starts_with("# table ") => {
                let (name, row) = line["# table ".len()..].split_once(' ').unwrap();
                script.rows.push((name.to_string(), format!("{row}\n")));
            }
            _ if line.starts_with("# program ") => {
                let mut words = line["# program ".len()..].split(' ');
                script.program = words.next().unwrap().to_string();
                script.service = words.next().unwrap().to_string();
            }
            _ => assert!(line.is_empty() || line.starts_with('#'), "{}: {line}", path.display()),
        }
    }
    assert!(!script.program.is_empty(), "{}", path.display());
    script
}

fn check(script: &Script, how: &str, answer: &[u8]) {
    let text = String::from_utf8_lossy(answer).replace('\0', "␀");
    let mut lines = text.split("\r\n");
    for (skips, wanted) in &script.expected {
        let fits = |line: &str| match wanted.split_once('…') {
            Some((start, end)) => line.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
            None if *skips => line.starts_with(wanted.as_str()),
            None => line == wanted,
        };
        let line = if *skips { lines.find(|l| fits(l)) } else { lines.next() };
        let line =
            line.unwrap_or_else(|| panic!("{} ({how}): {wanted:?} did not come in:\n{text}", script.path.display()));
        assert!(fits(line), "{} ({how}): wanted {wanted:?}, got {line:?} in:\n{text}", script.path.display());
    }
    let rest: Vec<&str> = lines.collect();
    assert_eq!(rest, [""], "{} ({how}): more came than expected", script.path.display());
}

#[test]
fn every_dialogue_in_every_way() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 5);
    for path in paths {
        let script = read(&path);
        if !script.only_tcp {
            let world = prepared(&script);
            let mut command = world.command(&script.program);
            if has_services(&script) {
                command.args(["--service", &script.service]);
            }
            check(&script, "whole", &feed(&mut command, &script.sent).stdout);

            let world = prepared(&script);
            check(&script, "byte by byte", &byte_by_byte(&world, &script));
        }
        let world = prepared(&script);
        world.start();
        let mut stream = std::net::TcpStream::connect(world.address(&script.service)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let answer = std::thread::spawn(move || {
            let mut answer = Vec::new();
            let _ = reader.read_to_end(&mut answer);
            answer
        });
        // The server may close before all is sent.
        let _ = stream.write_all(&script.sent);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        check(&script, "TCP", &answer.join().unwrap());
    }
}

/// True where the program has more than one service.
fn has_services(script: &Script) -> bool {
    !["empass", "emsieve"].contains(&script.program.as_str())
}

/// A world whose numbers the scripts know.
fn prepared(script: &Script) -> World {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "always");
    world.set("smtp.message_size", "100K");
    world.set("smtp.recipients", "3");
    world.set("smtp.errors", "6");
    world.set("smtp.vrfy", "true");
    world.set("smtp.expn", "true");
    for (key, value) in &script.settings {
        world.set(key, value);
    }
    for (name, row) in &script.rows {
        let path = world.path("etc").join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(path, text + row).unwrap();
    }
    // What emd would make at its start: TLS is offered over a pipe too.
    let site = expressmail::config::load(&expressmail::settings::Root::under(world.root())).unwrap();
    expressmail::drive::ensure_certificate(&site).unwrap();
    std::fs::write(world.path("etc/aliases"), "staff: alice, bob\n").unwrap();
    for text in ["Subject: one\n\n.first\n", "Subject: two\n\nsecond\n"] {
        let out = world.run_with("emlocal", &["-d", "alice@example.test"], text.as_bytes());
        assert!(out.status.success(), "{out:?}");
    }
    world
}

fn byte_by_byte(world: &World, script: &Script) -> Vec<u8> {
    let mut command = world.command(&script.program);
    if has_services(script) {
        command.args(["--service", &script.service]);
    }
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = script.sent.clone();
    let writer = std::thread::spawn(move || {
        for byte in sent {
            if stdin.write_all(&[byte]).and_then(|()| stdin.flush()).is_err() {
                break;
            }
        }
    });
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    out.stdout
}
