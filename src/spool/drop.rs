//! The drop folder: messages of callers who may not write the queue.
//!
//! emsend, set-gid `emdrop`, writes a file `.NAME.new`, syncs it and renames it to `NAME`; the queue daemon takes it over. The
//! content is as little trusted as any peer's; the file's owner tells who handed it in.
//! Format: `em-drop 1`, a line `mail from=… …`, lines `rcpt to=… …`, an empty line, the message.

use super::{Id, Spool};
use crate::fields;
use crate::fsx;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

const HEADER: &str = "em-drop 1";
/// Longest head read, in octets.
const LIMIT: usize = 4 << 20;

/// What a caller asked for, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handed {
    /// Fields about the message: `from`, `envid`, `ret`, `8bit`, `utf8`.
    pub mail: BTreeMap<String, String>,
    /// Fields about each recipient: `to`, `notify`, `orcpt`.
    pub recipients: Vec<BTreeMap<String, String>>,
}

/// A message found in the drop folder.
#[derive(Debug)]
pub struct Dropped {
    /// The file.
    pub path: PathBuf,
    /// Numeric user id of its owner.
    pub owner: u32,
    /// What is asked.
    pub handed: Handed,
    /// Positioned at the message's first octet.
    pub message: File,
}

impl Spool {
    /// Hands a message in; on return it is durable.
    pub fn hand_in(&self, id: &Id, handed: &Handed, message: &mut dyn Read) -> io::Result<()> {
        let mut head = String::from(HEADER);
        let mut line = |verb: &str, map: &BTreeMap<String, String>| {
            head.push('\n');
            head.push_str(verb);
            for (key, value) in map {
                fields::push(&mut head, key, value);
            }
        };
        line("mail", &handed.mail);
        handed.recipients.iter().for_each(|r| line("rcpt", r));
        head.push_str("\n\n");
        let dir = self.drop_dir();
        let mut draft = fsx::Draft::new(dir.join(format!(".{id}.new")), 0o644);
        draft.write(head.as_bytes())?;
        // The file is the caller's, whatever his umask; the queue reads it as another user. Nobody else can enter the folder.
        draft.file()?.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match message.read(&mut buffer)? {
                0 => break,
                n => draft.write(&buffer[..n])?,
            }
        }
        draft.publish(&dir.join(id.as_str()))
    }

    /// The messages waiting in the drop folder, oldest first.
    pub fn dropped(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> = super::read_dir(&self.drop_dir())?
            .into_iter()
            .filter(|e| e.file_name().to_str().and_then(Id::parse).is_some())
            .map(|e| e.path())
            .collect();
        paths.sort();
        Ok(paths)
    }

    /// Opens one; `None` when another process has taken it. A damaged one goes to `bad/`.
    pub fn open_dropped(&self, path: PathBuf) -> io::Result<Option<Dropped>> {
        let file = match fsx::open_read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other,
        };
        let read = file.and_then(read);
        match read {
            Ok((handed, message, owner)) => Ok(Some(Dropped { path, owner, handed, message })),
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                self.set_aside(&path, &name, &e.to_string())?;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

fn read(mut file: File) -> io::Result<(Handed, File, u32)> {
    let owner = file.metadata()?.uid();
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        let from = head.len().saturating_sub(1);
        let n = file.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..n]);
        if let Some(at) = memchr::memmem::find(&head[from..], b"\n\n") {
            break from + at + 2;
        }
        if n == 0 || head.len() > LIMIT {
            return Err(damaged());
        }
    };
    let text = std::str::from_utf8(&head[..end]).map_err(|_| damaged())?;
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(damaged());
    }
    let mut handed = Handed::default();
    for line in lines.filter(|l| !l.is_empty()) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let map: BTreeMap<String, String> = fields::pairs(rest).ok_or_else(damaged)?.into_iter().collect();
        match verb {
            "mail" => handed.mail = map,
            "rcpt" => handed.recipients.push(map),
            _ => return Err(damaged()),
        }
    }
    io::Seek::seek(&mut file, io::SeekFrom::Start(end as u64))?;
    Ok((handed, file, owner))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a handed-in message")
}
