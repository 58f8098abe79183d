//! What has been copied: `HOME/migrate/USER@HOST`, a log of lines that is only appended to.
//!
//! First line `# em-migrate 1`; then `WORD key=value …` (see `fields`):
//!
//! | line | meaning |
//! |---|---|
//! | `folder validity=V name=NAME local=NAME` | from here on, lines are about this mailbox of theirs with this UIDVALIDITY, and ours |
//! | `copy next=U`, `item uid=… date=… digest=… flags=…` …, `sent` | these messages are going to be appended here, behind the identifier before U |
//! | `done first=U` | they have been, with identifiers from U on |
//! | `have uid=… local=… date=… digest=… flags=…` | this message is here |
//! | `over` | the appending before did not come to its end; what of it is here has its `have` |
//! | `flags uid=… flags=…` | their flags of it have been set here anew |
//!
//! Lines up to `sent` are durable before anything is appended, so a run that is killed in between knows at its next start what may be
//! there, and looks ([`State::pending`]). A line counts when its end is there; the next run trims a torn tail. `copy` without `sent` is
//! nothing. Without this file everything would be copied once more.

use crate::fields;
use crate::fsx::{self, Lock, LockError};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const HEADER: &str = "# em-migrate 1\n";
/// Largest log read, in octets: some million messages.
const LIMIT: u64 = 2 << 30;
/// How long another run on the same account is waited for.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);

/// A SHA-256 digest of a message as it lies here.
pub(super) type Digest = [u8; 32];

/// A message of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) uid: u32,
    /// Seconds of its INTERNALDATE.
    pub(super) date: i64,
    pub(super) digest: Digest,
    /// Its flags there, with blanks between.
    pub(super) flags: String,
}

/// One that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) local: u32,
    pub(super) item: Item,
}

/// Messages whose appending may not have come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) folder: usize,
    /// The first identifier that they can have.
    pub(super) next: u32,
    pub(super) items: Vec<Item>,
}

/// One mailbox of theirs in one life.
#[derive(Debug, Default)]
pub(super) struct Copied {
    name: String,
    validity: u32,
    pub(super) local: String,
    pub(super) known: BTreeMap<u32, Known>,
}

/// The log, open for this run alone.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    file: File,
    folders: Vec<Copied>,
    /// The mailbox that the last line is about.
    current: Option<usize>,
    pending: Option<Pending>,
    _lock: Lock,
}

impl State {
    /// Opens the log of an account there, or begins it.
    pub(super) fn open(path: &Path) -> io::Result<State> {
        let dir = path.parent().unwrap_or(Path::new("."));
        fsx::create_dirs(dir, 0o700)?;
        let lock = path.with_added_extension("lock");
        let lock = Lock::wait(&lock, LOCK_PATIENCE).map_err(|e| match e {
            LockError::Io(e) => e,
            LockError::Held | LockError::Gone => {
                io::Error::new(io::ErrorKind::WouldBlock, "another run copies the same account")
            }
        })?;
        let text = match fsx::read(path, LIMIT) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        let mut file = fsx::open_append(path, 0o600)?;
        if whole < text.len() {
            fsx::truncate(&file, path, whole as u64)?;
        }
        if whole == 0 {
            fsx::write_all(&mut file, path, HEADER.as_bytes())?;
            fsx::sync_data(&file, path)?;
            fsx::sync_dir(dir)?;
        }
        let mut state =
            State { path: path.to_path_buf(), file, folders: Vec::new(), current: None, pending: None, _lock: lock };
        let text = std::str::from_utf8(&text[..whole]).map_err(|_| state.damaged(0))?;
        let mut reading = Reading::default();
        for (number, line) in text.lines().enumerate() {
            match number {
                0 if format!("{line}\n") != HEADER => return Err(state.damaged(1)),
                0 => {}
                _ => state.read(line, &mut reading).ok_or_else(|| state.damaged(number + 1))?,
            }
        }
        Ok(state)
    }

    fn damaged(&self, line: usize) -> io::Error {
        let text = format!("line {line} is damaged; without this file everything is copied again");
        fsx::context("read", &self.path, io::Error::new(io::ErrorKind::InvalidData, text))
    }

    fn read(&mut self, line: &str, reading: &mut Reading) -> Option<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let pairs: HashMap<String, String> = fields::pairs(rest)?.into_iter().collect();
        let number = |key: &str| pairs.get(key)?.parse::<u32>().ok();
        match word {
            "folder" => {
                self.choose(pairs.get("name")?, number("validity")?, pairs.get("local")?);
            }
            // A group that was torn before its `sent` is forgotten by this.
            "copy" => *reading = Reading { next: number("next")?, items: Vec::new() },
            "item" => reading.items.push(item(&pairs)?),
            "sent" => {
                let items = std::mem::take(&mut reading.items);
                self.pending = Some(Pending { folder: self.current?, next: reading.next, items });
            }
            "done" => {
                let pending = self.pending.take()?;
                self.learn(pending, number("first")?);
            }
            "have" => {
                let item = item(&pairs)?;
                self.current()?.known.insert(item.uid, Known { local: number("local")?, item });
            }
            "over" => self.pending = None,
            "flags" => {
                let known = self.current()?.known.get_mut(&number("uid")?)?;
                known.item.flags = pairs.get("flags")?.clone();
            }
            // A later version's.
            _ => {}
        }
        Some(())
    }

    fn current(&mut self) -> Option<&mut Copied> {
        self.folders.get_mut(self.current?)
    }

    fn choose(&mut self, name: &str, validity: u32, local: &str) -> usize {
        let found = self.folders.iter().position(|f| f.name == name && f.validity == validity);
        let index = found.unwrap_or_else(|| {
            self.folders.push(Copied { name: name.to_string(), validity, ..Copied::default() });
            self.folders.len() - 1
        });
        self.folders[index].local = local.to_string();
        self.current = Some(index);
        index
    }

    fn learn(&mut self, pending: Pending, first: u32) {
        let known = &mut self.folders[pending.folder].known;
        for (item, local) in pending.items.into_iter().zip(first..=u32::MAX) {
            known.insert(item.uid, Known { local, item });
        }
    }

    /// What may have been appended before an earlier run ended, and our name of the mailbox.
    pub(super) fn pending(&self) -> Option<(Pending, String)> {
        self.pending.as_ref().map(|pending| (pending.clone(), self.folders[pending.folder].local.clone()))
    }

    /// Turns to a mailbox; true when nothing of it has ever been copied.
    pub(super) fn turn_to(&mut self, name: &str, validity: u32, local: &str) -> io::Result<bool> {
        let is_new = !self.folders.iter().any(|folder| folder.name == name);
        self.choose(name, validity, local);
        let mut line = String::from("folder");
        fields::push(&mut line, "validity", &validity.to_string());
        fields::push(&mut line, "name", name);
        fields::push(&mut line, "local", local);
        self.write(&[line], false)?;
        Ok(is_new)
    }

    /// The mailbox that was turned to.
    pub(super) fn copied(&self) -> Option<&Copied> {
        self.folders.get(self.current?)
    }

    /// Where messages of the mailbox that was turned to lie since an earlier UIDVALIDITY of it, by what they are; each is one place.
    pub(super) fn earlier(&self) -> HashMap<(Digest, i64), Vec<u32>> {
        let mut found: HashMap<(Digest, i64), Vec<u32>> = HashMap::new();
        let Some(now) = self.copied() else { return found };
        let taken: std::collections::HashSet<u32> = now.known.values().map(|known| known.local).collect();
        let others =
            self.folders.iter().filter(|f| f.name == now.name && f.validity != now.validity && f.local == now.local);
        for known in others.flat_map(|folder| folder.known.values()).filter(|known| !taken.contains(&known.local)) {
            let places = found.entry((known.item.digest, known.item.date)).or_default();
            if !places.contains(&known.local) {
                places.push(known.local);
            }
        }
        found
    }

    /// Notes what is going to be appended; durable when this returns.
    pub(super) fn begin(&mut self, next: u32, items: Vec<Item>) -> io::Result<()> {
        let mut lines = Vec::with_capacity(items.len() + 2);
        lines.push(format!("copy next={next}"));
        lines.extend(items.iter().map(|item| print("item", item, None)));
        lines.push("sent".to_string());
        self.write(&lines, true)?;
        self.pending = self.current.map(|folder| Pending { folder, next, items });
        Ok(())
    }

    /// Notes that it has been appended. Should this line be lost, the next run looks.
    pub(super) fn done(&mut self, first: u32) -> io::Result<()> {
        self.write(&[format!("done first={first}")], false)?;
        if let Some(pending) = self.pending.take() {
            self.learn(pending, first);
        }
        Ok(())
    }

    /// Notes messages that were found here.
    pub(super) fn have(&mut self, found: Vec<Known>) -> io::Result<()> {
        let lines: Vec<String> = found.iter().map(|known| print("have", &known.item, Some(known.local))).collect();
        self.write(&lines, false)?;
        if let Some(current) = self.current() {
            current.known.extend(found.into_iter().map(|known| (known.item.uid, known)));
        }
        Ok(())
    }

    /// Turns to the mailbox of what is pending, notes what of it was found, and that no more will come of it. All of it counts or none.
    pub(super) fn settle(&mut self, found: Vec<Known>) -> io::Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let Copied { name, validity, local, .. } = &self.folders[pending.folder];
        let (name, validity, local) = (name.clone(), *validity, local.clone());
        self.turn_to(&name, validity, &local)?;
        self.have(found)?;
        self.write(&["over".to_string()], true)
    }

    /// Notes new flags of a message.
    pub(super) fn flags(&mut self, uid: u32, flags: &str) -> io::Result<()> {
        let mut line = format!("flags uid={uid}");
        fields::push(&mut line, "flags", flags);
        self.write(&[line], false)?;
        if let Some(known) = self.current().and_then(|current| current.known.get_mut(&uid)) {
            known.item.flags = flags.to_string();
        }
        Ok(())
    }

    fn write(&mut self, lines: &[String], is_durable: bool) -> io::Result<()> {
        let mut text = lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
            fsx::write_all(&mut self.file, &self.path, text.as_bytes())?;
        }
        if is_durable { fsx::sync_data(&self.file, &self.path) } else { Ok(()) }
    }
}

/// A group that is being read.
#[derive(Default)]
struct Reading {
    next: u32,
    items: Vec<Item>,
}

fn print(word: &str, item: &Item, local: Option<u32>) -> String {
    let mut line = format!("{word} uid={}", item.uid);
    if let Some(local) = local {
        line.push_str(&format!(" local={local}"));
    }
    let digest: String = item.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    line.push_str(&format!(" date={} digest={digest}", item.date));
    fields::push(&mut line, "flags", &item.flags);
    line
}

fn item(pairs: &HashMap<String, String>) -> Option<Item> {
    let hex = pairs.get("digest").filter(|hex| hex.len() == 64 && hex.is_ascii())?;
    let mut digest = [0; 32];
    for (byte, place) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(place..place + 2)?, 16).ok()?;
    }
    let uid = pairs.get("uid")?.parse().ok()?;
    Some(Item { uid, date: pairs.get("date")?.parse().ok()?, digest, flags: pairs.get("flags")?.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(uid: u32) -> Item {
        Item { uid, date: 1_700_000_000, digest: [uid as u8; 32], flags: "\\Seen $a%b".to_string() }
    }

    #[test]
    fn what_is_written_comes_back_and_a_torn_tail_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("migrate/u@h");
        let mut state = State::open(&path).unwrap();
        assert!(State::open(&path).is_err(), "one run at a time");
        assert!(state.turn_to("INBOX", 5, "INBOX").unwrap());
        state.begin(17, vec![item(1), item(2)]).unwrap();
        state.done(17).unwrap();
        state.flags(2, "").unwrap();
        state.begin(20, vec![item(3)]).unwrap();
        drop(state);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [whole.as_slice(), b"copy next=21\nitem uid=9 da"].concat()).unwrap();
        let mut state = State::open(&path).unwrap();
        let (pending, local) = state.pending().unwrap();
        assert_eq!((pending.next, pending.items.as_slice(), local.as_str()), (20, [item(3)].as_slice(), "INBOX"));
        state.settle(vec![Known { local: 21, item: item(3) }]).unwrap();
        drop(state);
        let mut state = State::open(&path).unwrap();
        assert!(state.pending().is_none());
        assert!(!state.turn_to("INBOX", 5, "INBOX").unwrap());
        let known = &state.copied().unwrap().known;
        assert_eq!(known.values().map(|k| (k.item.uid, k.local)).collect::<Vec<_>>(), [(1, 17), (2, 18), (3, 21)]);
        assert_eq!((known[&1].item.flags.as_str(), known[&2].item.flags.as_str()), ("\\Seen $a%b", ""));
        assert!(!state.turn_to("INBOX", 6, "INBOX").unwrap());
        assert_eq!(state.earlier()[&([3; 32], 1_700_000_000)], [21]);
    }

    #[test]
    fn every_cut_of_the_log_is_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("u@h");
        let mut state = State::open(&path).unwrap();
        state.turn_to("a b", 5, "a b").unwrap();
        state.begin(1, vec![item(1), item(2)]).unwrap();
        state.done(1).unwrap();
        drop(state);
        let whole = std::fs::read(&path).unwrap();
        for end in 0..=whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let state = State::open(&path).unwrap();
            let known = state.copied().map_or(0, |copied| copied.known.len());
            assert_eq!(known == 2, end == whole.len(), "{end}");
        }
    }

    #[test]
    fn a_damaged_log_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("u@h");
        for bad in ["# other\n", "# em-migrate 1\nitem uid=x\n", "# em-migrate 1\ndone first=1\n"] {
            std::fs::write(&path, bad).unwrap();
            let error = State::open(&path).unwrap_err().to_string();
            assert!(error.contains("is damaged"), "{error}");
        }
    }
}
