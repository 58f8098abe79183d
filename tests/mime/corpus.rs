//! Every message at hand.

use super::examine;
use expressmail::msg::bodystructure;
use expressmail::msg::envelope::Envelope;
use expressmail::msg::nstring::Quoting;
use expressmail::msg::structure::Structure;
use std::path::{Path, PathBuf};

/// The folder of our own messages.
pub fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/mime")
}

/// The folder of other projects' messages, where there is one.
pub fn outside() -> Option<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["../shared/corpus", "../../shared/corpus"].iter().map(|place| top.join(place)).find(|place| place.is_dir())
}

/// All files below a folder, sorted.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = Vec::from([dir.to_path_buf()]);
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn examine_file(path: &Path) {
    let text = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if let Err(panic) = std::panic::catch_unwind(|| examine(&text)) {
        eprintln!("in {}", path.display());
        std::panic::resume_unwind(panic);
    }
}

/// The messages of other projects, read where they are; without them there is nothing to check.
#[test]
fn messages_of_other_projects_have_grammatical_answers() {
    let Some(corpus) = outside() else {
        println!("skipped: the corpus of other projects' messages is missing");
        return;
    };
    let mut count = 0;
    for folder in ["mime", "bounces", "fuzz-seeds", "mime-japanese"] {
        for path in files(&corpus.join(folder)) {
            examine_file(&path);
            count += 1;
        }
    }
    println!("{count} files");
    assert!(count > 1000, "only {count} files");
}

/// Our own: beside each message `x.eml` stands `x.imap`, its ENVELOPE and its BODYSTRUCTURE as a client gets them.
#[test]
fn our_own_messages_are_shown_as_they_always_were() {
    let messages: Vec<PathBuf> =
        files(&own()).into_iter().filter(|path| path.extension().is_some_and(|e| e == "eml")).collect();
    assert!(messages.len() >= 12);
    let mut wrong = String::new();
    for path in messages {
        examine_file(&path);
        let text = std::fs::read(&path).unwrap();
        let structure = Structure::of(&text);
        let mut shown = b"ENVELOPE ".to_vec();
        let header = &text[structure.root().header.clone()];
        bodystructure::envelope(&Envelope::of(header), Quoting::Ascii, &mut shown);
        shown.extend_from_slice(b"\nBODYSTRUCTURE ");
        bodystructure::body(&text, &structure, true, Quoting::Ascii, &mut shown);
        shown.push(b'\n');
        let expected = std::fs::read(path.with_extension("imap")).unwrap_or_default();
        if shown != expected {
            wrong.push_str(&format!("{}:\n{}\n", path.display(), String::from_utf8_lossy(&shown)));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
