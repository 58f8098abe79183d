//! Every message of other projects in one mailbox: what FETCH says over the wire is grammatical, and BODY[] is the message.

use super::imap_wire::{Imap, value};
use super::world::World;
use expressmail::msg::nstring::Quoting;
use expressmail::msg::surrogate;
use std::path::{Path, PathBuf};

#[path = "../mime/grammar.rs"]
mod grammar;

/// The folder of other projects' messages, where there is one; says so where there is none.
pub fn outside() -> Option<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found =
        ["../shared/corpus", "../../shared/corpus"].iter().map(|place| top.join(place)).find(|place| place.is_dir());
    if found.is_none() {
        println!("skipped: the corpus of other projects is missing");
    }
    found
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// What BODY[] must be: every line end is CRLF, and no NUL is left.
fn shown(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for octet in text {
        if *octet == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(if *octet == 0 { 0x80 } else { *octet });
    }
    out
}

/// The items of a FETCH response, as they came.
fn items(response: &[u8]) -> Vec<(String, Vec<u8>)> {
    let start = response.windows(8).position(|w| w == b" FETCH (").unwrap() + 8;
    let mut rest = &response[start..];
    let mut found = Vec::new();
    loop {
        let (name, behind) = value(rest).unwrap();
        let text = behind.strip_prefix(b" ").unwrap();
        let (_, behind) = value(text).unwrap_or_else(|e| panic!("{}: {e}", name.atom()));
        found.push((name.atom().to_string(), text[..text.len() - behind.len()].to_vec()));
        match behind {
            b")" => return found,
            _ => rest = behind.strip_prefix(b" ").unwrap(),
        }
    }
}

fn check(response: &[u8], text: &[u8], quoting: Quoting) -> Result<(), String> {
    let size = shown(text).len();
    // RFC 9755: a client that has not enabled it sees headers in ASCII.
    let made = if quoting == Quoting::Ascii { surrogate::message(text) } else { None };
    let wanted = shown(made.as_deref().unwrap_or(text));
    let mut count = 0;
    for (name, raw) in items(response) {
        count += 1;
        let bytes = value(&raw)?.0.bytes().to_vec();
        match name.as_str() {
            "ENVELOPE" => grammar::envelope(&raw, quoting)?,
            "BODY" => grammar::body(&raw, false, quoting)?,
            "BODYSTRUCTURE" => grammar::body(&raw, true, quoting)?,
            "RFC822.SIZE" if bytes != size.to_string().as_bytes() => return Err("size".into()),
            "BODY[]" if bytes != wanted => return Err("BODY[] is not the message".into()),
            "BODY[TEXT]" if !wanted.ends_with(&bytes) => return Err("BODY[TEXT] is not its end".into()),
            "BODY[HEADER]" if !wanted.starts_with(&bytes) => return Err("BODY[HEADER] is not its beginning".into()),
            _ => {}
        }
    }
    if count == 9 { Ok(()) } else { Err(format!("{count} items")) }
}

#[test]
fn every_message_of_the_corpus_is_fetched_whole_and_grammatical() {
    let Some(corpus) = outside() else { return };
    let world = World::new();
    world.start();
    let new = world.path("mail/example.test/alice/Maildir/new");
    std::fs::create_dir_all(&new).unwrap();
    let mut texts = Vec::new();
    for folder in ["mime", "bounces", "fuzz-seeds", "mime-japanese"] {
        for path in files(&corpus.join(folder)) {
            let text = std::fs::read(&path).unwrap();
            // Delivered as another program does it: a file that is simply there.
            std::fs::write(new.join(format!("{}.M{}P1.host", 1_700_000_000 + texts.len(), texts.len())), &text)
                .unwrap();
            texts.push((path, text));
        }
    }
    assert!(texts.len() > 1000, "only {} files", texts.len());
    let mut imap = Imap::log_in(&world, "alice");
    let told = imap.lines("SELECT INBOX");
    assert!(told.contains(&format!("{} EXISTS", texts.len())));
    for quoting in [Quoting::Ascii, Quoting::Utf8] {
        if quoting == Quoting::Utf8 {
            imap.ok("ENABLE UTF8=ACCEPT");
        }
        let command = "FETCH 1:* (ENVELOPE BODY BODYSTRUCTURE RFC822.SIZE PREVIEW BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] EMAILID)";
        let tag = imap.begin(command.as_bytes());
        let mut wrong = String::new();
        for (path, text) in &texts {
            let response = imap.response();
            if let Err(error) = check(&response, text, quoting) {
                wrong.push_str(&format!("{}: {error}\n", path.display()));
            }
        }
        let reply = imap.end(&tag);
        assert!(wrong.is_empty(), "{wrong}");
        let is_told = reply.tagged.starts_with("OK [DOWNGRADED ");
        assert!(reply.untagged.is_empty() && reply.tagged.starts_with("OK"), "{}", reply.tagged);
        assert_eq!(is_told, quoting == Quoting::Ascii, "{}", reply.tagged);
    }
    // Every message is looked through, and none stops it.
    for command in ["SEARCH TEXT zzzzzz", "SORT (SUBJECT FROM DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL"] {
        assert_eq!(imap.ok(command).len(), 1);
    }
}

#[test]
fn what_is_appended_comes_back() {
    let Some(corpus) = outside() else { return };
    let world = World::new();
    world.start();
    let mut imap = Imap::log_in(&world, "alice");
    imap.ok("ENABLE UTF8=ACCEPT");
    imap.ok("SELECT INBOX");
    let mut count = 0;
    for path in files(&corpus.join("mime-japanese")).iter().chain(&files(&corpus.join("fuzz-seeds"))) {
        let text = std::fs::read(path).unwrap();
        // Stored with LF; a CR before CR LF is taken for a part of the line end when it goes out.
        if text.windows(3).any(|w| w == b"\r\r\n") {
            continue;
        }
        count += 1;
        let wire = shown(&text.iter().copied().map(|octet| octet.max(1)).collect::<Vec<u8>>());
        let command = [format!("APPEND INBOX {{{}+}}\r\n", wire.len()).as_bytes(), &wire].concat();
        let tag = imap.begin(&command);
        assert!(imap.end(&tag).tagged.starts_with("OK"), "{}", path.display());
        let response = imap.ok(&format!("FETCH {count} (RFC822.SIZE BODY.PEEK[])")).pop().unwrap();
        let found = items(&response);
        assert!(value(&found[1].1).unwrap().0.bytes() == wire, "{}", path.display());
        assert_eq!(found[0].1, wire.len().to_string().as_bytes());
    }
    assert!(count > 100, "only {count}");
}

#[test]
fn a_search_through_many_texts_says_that_it_goes_on() {
    let world = World::new();
    world.set("imap.progress", "1ms");
    let new = world.path("mail/example.test/alice/Maildir/new");
    std::fs::create_dir_all(&new).unwrap();
    for number in 0..3000 {
        let name = format!("{}.M{number}P1.host", 1_700_000_000 + number);
        std::fs::write(new.join(name), format!("Subject: {number}\n\nA needle of number {number}.\n")).unwrap();
    }
    world.start();
    let mut imap = Imap::log_in(&world, "alice");
    imap.ok("SELECT INBOX");
    let lines = imap.lines("SEARCH TEXT \"number 2999\"");
    let (last, before) = lines.split_last().unwrap();
    assert_eq!(last, "SEARCH 3000");
    assert!(!before.is_empty() && before.iter().all(|line| line.starts_with("OK [INPROGRESS (")), "{before:?}");
}
