//! `emlist archive`: the posts of a list.

use crate::cli::{Done, Ended, say};
use crate::clock::Timestamp;
use crate::list::retrieve;
use crate::lists::List;
use crate::lists::archive::{Archive, Checked, Entry, Ranges};
use crate::msg::mbox::Quoting;
use crate::status::Exit;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// What is done with the archive.
#[derive(Debug, clap::Subcommand)]
pub enum ArchiveAction {
    /// Show a line for each post: date, [number:author] subject
    List {
        /// Which posts: 3,4,6 · 4,9-11 · 9- · last:10 · *
        #[arg(default_value = "*", allow_hyphen_values = true)]
        posts: String,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Print posts as they are
    Show {
        /// Which posts
        #[arg(allow_hyphen_values = true)]
        posts: String,
    },
    /// Find posts with all of these words, newest first
    Search {
        /// Words or parts of words
        #[arg(required = true)]
        words: Vec<String>,
        /// Most posts shown
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show posts by thread
    Threads {
        /// Which posts
        #[arg(default_value = "*", allow_hyphen_values = true)]
        posts: String,
    },
    /// Write posts as an mbox
    Export {
        /// Which posts
        #[arg(default_value = "*", allow_hyphen_values = true)]
        posts: String,
        /// How lines that begin with "From " are quoted: mboxrd or mboxo
        #[arg(long, default_value = "mboxrd", value_parser = quoting)]
        format: Quoting,
        /// The file; it must not exist. Without it, standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Add the messages of an mbox behind the posts there are
    Import {
        /// The mbox; - for standard input
        file: PathBuf,
        /// How it quotes lines that begin with "From ": mboxrd or mboxo
        #[arg(long, default_value = "mboxrd", value_parser = quoting)]
        format: Quoting,
    },
    /// Compare the posts with the index
    Check,
    /// Make the index anew from the posts
    Rebuild,
}

fn quoting(word: &str) -> Result<Quoting, String> {
    match word {
        "mboxrd" => Ok(Quoting::Rd),
        "mboxo" => Ok(Quoting::O),
        _ => Err("write mboxrd or mboxo".to_string()),
    }
}

fn ranges(text: &str) -> Result<Ranges, Ended> {
    Ranges::parse(text).map_err(|e| Ended::new(Exit::Usage, e.to_string()))
}

/// Does it.
pub fn run(list: &List, action: &ArchiveAction) -> Done {
    let archive = Archive::of(list);
    match action {
        ArchiveAction::List { posts, json } => {
            let wanted = ranges(posts)?;
            let index = archive.index()?;
            show(index.entries(&wanted.resolve(&index)), *json)?;
            Ok(Exit::Ok)
        }
        ArchiveAction::Show { posts } => print(&archive, &ranges(posts)?),
        ArchiveAction::Search { words, limit, json } => {
            let found = archive.search(&words.join(" "), *limit)?;
            let is_empty = found.is_empty();
            show(found.into_iter(), *json)?;
            Ok(if is_empty { Exit::No } else { Exit::Ok })
        }
        ArchiveAction::Threads { posts } => {
            let wanted = ranges(posts)?.resolve(&archive.index()?);
            let mut text = String::new();
            for threaded in archive.threads(&wanted)? {
                // Deeper than this no terminal shows it.
                let indent = "  ".repeat(threaded.depth.min(40));
                text.push_str(&format!("{indent}{}\n", retrieve::line(&threaded.entry)));
            }
            say(&text)?;
            Ok(Exit::Ok)
        }
        ArchiveAction::Export { posts, format, output } => export(&archive, &ranges(posts)?, *format, output.as_ref()),
        ArchiveAction::Import { file, format } => import(list, &archive, file, *format),
        ArchiveAction::Check => {
            let checked = archive.check()?;
            say(&report(&checked))?;
            Ok(if checked.is_good() { Exit::Ok } else { Exit::No })
        }
        ArchiveAction::Rebuild => {
            say(&format!("{} posts\n", archive.rebuild()?))?;
            Ok(Exit::Ok)
        }
    }
}

fn show(entries: impl Iterator<Item = Entry>, json: bool) -> Result<(), Ended> {
    let mut text = String::new();
    for entry in entries {
        match json {
            true => text.push_str(&as_json(&entry)),
            false => text.push_str(&retrieve::line(&entry)),
        }
        text.push('\n');
        if text.len() > 1 << 20 {
            say(&std::mem::take(&mut text))?;
        }
    }
    say(&text)
}

fn as_json(entry: &Entry) -> String {
    serde_json::json!({
        "number": entry.number,
        "date": entry.date.rfc3339(),
        "from": entry.from,
        "name": entry.name,
        "subject": entry.subject,
        "message_id": entry.message_id,
        "references": entry.references,
        "size": entry.size,
    })
    .to_string()
}

fn print(archive: &Archive, wanted: &Ranges) -> Done {
    let index = archive.index()?;
    let mut shown = 0;
    let mut out = io::stdout().lock();
    let missing: Vec<u64> = wanted.named().filter(|number| index.entry(*number).is_none()).collect();
    for entry in index.entries(&wanted.resolve(&index)) {
        let Some(message) = archive.message(entry.number)? else { continue };
        match out.write_all(&message) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Ok),
            other => other?,
        }
        shown += 1;
    }
    if !missing.is_empty() {
        return Err(Ended::new(Exit::No, format!("no such post: {}", retrieve::numbers(&missing))));
    }
    Ok(if shown == 0 { Exit::No } else { Exit::Ok })
}

fn export(archive: &Archive, wanted: &Ranges, format: Quoting, output: Option<&PathBuf>) -> Done {
    let ranges = wanted.resolve(&archive.index()?);
    let exported = match output {
        Some(path) => {
            let file = crate::fsx::create_new(path, 0o600)?;
            let mut out = BufWriter::with_capacity(1 << 20, file);
            let exported = archive.export(&ranges, format, &mut out)?;
            let file = out.into_inner().map_err(|e| io::Error::other(e.to_string()))?;
            crate::fsx::sync_file(&file, path)?;
            exported
        }
        None => match archive.export(&ranges, format, &mut io::stdout().lock()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Ok),
            other => other?,
        },
    };
    if exported.missing > 0 {
        let text = format!("{} posts of the index are gone; see emlist archive check", exported.missing);
        return Err(Ended::new(Exit::No, text));
    }
    Ok(Exit::Ok)
}

fn import(list: &List, archive: &Archive, file: &Path, format: Quoting) -> Done {
    // What root may read and em may not comes by standard input.
    let input: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(crate::fsx::open_read(file)?),
    };
    let input = BufReader::with_capacity(1 << 20, input);
    let lock = list.lock()?;
    let mut posts = list.posts(&lock)?;
    let imported = archive.import(input, format, posts.last(), Timestamp::now()).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => Ended::new(Exit::DataErr, format!("{}: {e}", file.display())),
        _ => Ended::from(e),
    })?;
    if imported.numbers.1 > posts.last() {
        posts.set_last(imported.numbers.1)?;
    }
    let numbers = match imported.posts {
        0 => String::new(),
        _ => format!(", numbers {} to {}", imported.numbers.0, imported.numbers.1),
    };
    say(&format!("{} posts added{numbers}; {} were here already\n", imported.posts, imported.known))?;
    Ok(Exit::Ok)
}

fn report(checked: &Checked) -> String {
    let mut text = format!("{} posts\n", checked.posts);
    for (numbers, what) in [
        (&checked.unknown, "not in the index, or with a damaged line there"),
        (&checked.missing, "in the index, but gone"),
        (&checked.changed, "of another size than the index says"),
    ] {
        if !numbers.is_empty() {
            text.push_str(&format!("{what}: {}\n", retrieve::numbers(numbers)));
        }
    }
    text
}
