//! One mailbox: what is there, what of it is missing here, and how it comes here.

use super::names::Remote;
use super::state::{Digest, Item, Known};
use super::{MigrateError, Progress, Run};
use crate::clock::Timestamp;
use crate::dot::MeasuredDecoder;
use crate::mailbox::{System, Uid, UidSet};
use crate::proto::imap_client::{Event, Fetched, ServerError, Status, code, quoted};
use crate::store::{Append, FlagChange, Folder, How};
use sha2::Digest as _;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

/// Most messages of a batch.
const BATCH: usize = 100;
/// Octets after which a batch is full.
const BATCH_OCTETS: u64 = 16 << 20;
/// Most octets of memory for the list of a mailbox: some millions of messages.
const LISTING_LIMIT: usize = 512 << 20;
/// Most things left out that are named.
const LEFT_OUT_LIMIT: usize = 10_000;
/// Most keywords of a message: a mailbox here has no more.
const KEYWORDS_LIMIT: usize = 64;
/// Octets that are read at once to look for a message here.
const PIECE: usize = 64 << 10;

/// Where messages of an earlier life of the mailbox lie.
type Earlier = HashMap<(Digest, i64), Vec<u32>>;

/// A message as the other server lists it.
#[derive(Debug, Clone)]
struct Meta {
    uid: u32,
    size: u64,
    date: Timestamp,
    system: u8,
    keywords: Vec<String>,
}

impl Meta {
    /// Its flags in one spelling.
    fn flags(&self) -> String {
        let system = System::ALL.into_iter().filter(|flag| self.system & *flag as u8 != 0).map(System::name);
        let mut keywords: Vec<&str> = self.keywords.iter().map(String::as_str).collect();
        keywords.sort_unstable();
        let mut words: Vec<&str> = system.collect();
        words.extend(keywords);
        words.join(" ")
    }
}

/// A message that is coming in.
struct Incoming {
    append: Append,
    decoder: MeasuredDecoder,
    digest: sha2::Sha256,
}

impl Incoming {
    fn new(folder: &Folder) -> Incoming {
        let append =
            Append { draft: folder.draft(), wire_size: 0, system: 0, keywords: Vec::new(), internal_date: None };
        Incoming { append, decoder: MeasuredDecoder::default(), digest: sha2::Sha256::new() }
    }

    fn write(&mut self, octets: &[u8]) -> std::io::Result<()> {
        let text = self.decoder.feed(octets);
        self.put(&text)
    }

    fn put(&mut self, text: &[u8]) -> std::io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.digest.update(text);
        self.append.draft.write(text)
    }

    fn finish(mut self, meta: &Meta) -> std::io::Result<(Item, Append)> {
        let text = self.decoder.finish();
        self.put(&text)?;
        self.append.wire_size = self.decoder.wire_size();
        let mut append = self.append;
        append.system = meta.system;
        append.keywords.clone_from(&meta.keywords);
        append.internal_date = Some(meta.date);
        let digest = self.digest.finalize().into();
        Ok((Item { uid: meta.uid, date: meta.date.seconds(), digest, flags: meta.flags() }, append))
    }
}

impl Run<'_> {
    pub(super) fn mailbox(&mut self, remote: &Remote, subscribed: &HashSet<String>) -> Result<(), MigrateError> {
        let (validity, exists) = self.examine(remote)?;
        if !self.tree.exists(&remote.local)? {
            self.tree.create(&remote.local, remote.special_use.as_deref())?;
        }
        let folder = self.tree.folder(&remote.local)?;
        let name = remote.wire.escape_ascii().to_string();
        if self.state.turn_to(&name, validity, &remote.local)? && subscribed.contains(&remote.local) {
            self.tree.subscribe(&remote.local, true)?;
        }
        let all = if exists { self.metas()? } else { Vec::new() };
        self.summary.mailboxes += 1;
        let known = self.state.copied().map(|copied| &copied.known);
        let is_known = |meta: &&Meta| known.is_some_and(|known| known.contains_key(&meta.uid));
        let (old, new): (Vec<&Meta>, Vec<&Meta>) = all.iter().partition(is_known);
        self.summary.known += old.len() as u64;
        (self.watch)(Progress::Mailbox(&remote.local, new.len() as u64, old.len() as u64));
        self.reflag(&folder, &old)?;
        let mut earlier = self.state.earlier();
        let mut batch: Vec<&Meta> = Vec::new();
        let mut octets = 0;
        for meta in new {
            if meta.size > self.wanted.message_size {
                self.leave_out(meta, &format!("it has {} octets", meta.size));
                continue;
            }
            octets += meta.size;
            batch.push(meta);
            if batch.len() >= BATCH || octets >= BATCH_OCTETS {
                self.batch(&folder, &std::mem::take(&mut batch), &mut earlier)?;
                octets = 0;
            }
        }
        if !batch.is_empty() {
            self.batch(&folder, &batch, &mut earlier)?;
        }
        Ok(())
    }

    /// Brings a batch here. Where the server refuses it, each message is asked for by itself: one that it can't give keeps no other.
    fn batch(&mut self, folder: &Folder, batch: &[&Meta], earlier: &mut Earlier) -> Result<(), MigrateError> {
        match self.copy(folder, batch, earlier) {
            Err(MigrateError::Refused(_)) => {}
            other => return other,
        }
        for meta in batch {
            match self.copy(folder, &[meta], earlier) {
                Err(MigrateError::Refused(text)) => self.leave_out(meta, &text),
                other => other?,
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, meta: &Meta, why: &str) {
        let name = self.state.copied().map_or("", |copied| &copied.local);
        let text = match self.summary.left_out.len() {
            LEFT_OUT_LIMIT => "more, which are not named".to_string(),
            count if count > LEFT_OUT_LIMIT => return,
            _ => format!("{name}: message {}: {why}", meta.uid),
        };
        self.summary.left_out.push(text);
    }

    /// Opens their mailbox for reading; its UIDVALIDITY, and whether there is anything in it.
    fn examine(&mut self, remote: &Remote) -> Result<(u32, bool), MigrateError> {
        let Some(name) = quoted(&remote.wire) else {
            return Err(MigrateError::Refused("a name that can't be asked for".to_string()));
        };
        let (mut validity, mut exists) = (None, false);
        self.session.run(&format!("EXAMINE {name}"), |event| {
            match event {
                Event::Status(Status::Ok, text) => {
                    validity = code(&text, "UIDVALIDITY").and_then(|v| v.parse().ok()).or(validity);
                }
                Event::Data(data) => {
                    if let [count, word] = data.as_slice()
                        && word.atom().eq_ignore_ascii_case("EXISTS")
                    {
                        exists = count.number::<u32>().is_some_and(|count| count > 0);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        let validity = validity.ok_or_else(|| MigrateError::Refused("the mailbox has no UIDVALIDITY".to_string()))?;
        Ok((validity, exists))
    }

    /// All messages of the mailbox that is open, by their identifiers.
    fn metas(&mut self) -> Result<Vec<Meta>, MigrateError> {
        let now = Timestamp::from_seconds(self.wanted.now.seconds());
        let mut all: Vec<Meta> = Vec::new();
        let mut held = 0;
        self.session.data("UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)", |data| {
            let Some(Fetched { uid: Some(uid), flags: Some((system, mut keywords)), internal_date, size, .. }) =
                Fetched::read(data)
            else {
                return;
            };
            keywords.truncate(KEYWORDS_LIMIT);
            held += size_of::<Meta>() + keywords.iter().map(|k| k.len() + size_of::<String>()).sum::<usize>();
            if held <= LISTING_LIMIT {
                let date = internal_date.unwrap_or(now);
                all.push(Meta { uid, size: size.unwrap_or(0), date, system, keywords });
            }
        })?;
        if held > LISTING_LIMIT {
            return Err(ServerError("more messages than a mailbox can have").into());
        }
        // A message whose flags change meanwhile is told once more: the last word counts.
        all.reverse();
        all.sort_by_key(|meta| meta.uid);
        all.dedup_by_key(|meta| meta.uid);
        Ok(all)
    }

    /// Sets flags here that have changed there since the last run.
    fn reflag(&mut self, folder: &Folder, old: &[&Meta]) -> Result<(), MigrateError> {
        // Those that get the same flags are one change here.
        let mut changes: BTreeMap<String, Vec<(u32, u32)>> = BTreeMap::new();
        for meta in old {
            let flags = meta.flags();
            let known = self.state.copied().and_then(|copied| copied.known.get(&meta.uid));
            if let Some(local) = known.filter(|known| known.item.flags != flags).map(|known| known.local) {
                changes.entry(flags).or_default().push((meta.uid, local));
            }
        }
        for (flags, messages) in changes {
            let mut locals: Vec<Uid> = messages.iter().filter_map(|(_, local)| Uid::new(*local)).collect();
            locals.sort_unstable();
            set_flags(folder, &locals.into_iter().collect(), &flags)?;
            for (uid, _) in &messages {
                self.state.flags(*uid, &flags)?;
            }
            self.summary.flagged += messages.len() as u64;
        }
        Ok(())
    }

    /// Brings a batch here.
    fn copy(&mut self, folder: &Folder, batch: &[&Meta], earlier: &mut Earlier) -> Result<(), MigrateError> {
        let mut found = Vec::new();
        let (mut items, mut messages) = (Vec::new(), Vec::new());
        let mut octets = 0;
        let whole = self.fetch(folder, batch)?;
        let came: HashSet<u32> = whole.iter().map(|(item, _)| item.uid).collect();
        for meta in batch.iter().filter(|meta| !came.contains(&meta.uid)) {
            self.leave_out(meta, "it did not come: it is gone, too large, or the server can't give it");
        }
        for (item, append) in whole {
            // The mailbox has a new life there, but this message came over in the last one.
            if let Some(local) = earlier.get_mut(&(item.digest, item.date)).and_then(Vec::pop) {
                found.push(Known { local, item });
                continue;
            }
            octets += append.draft.size();
            items.push(item);
            messages.push(append);
        }
        self.summary.known += found.len() as u64;
        self.state.have(found)?;
        let count = messages.len() as u64;
        if count > 0 {
            let next = folder.refresh()?.uid_next.number();
            self.state.begin(next, items)?;
            let uids = folder.append(messages)?;
            self.state.done(uids.first().map_or(next, |uid| uid.number()))?;
        }
        self.summary.copied += count;
        self.summary.octets += octets;
        (self.watch)(Progress::Copied(batch.len() as u64, octets));
        Ok(())
    }

    /// Streams messages into drafts. One that is gone by now, or larger than the server had said and than we take, is not among them.
    fn fetch(&mut self, folder: &Folder, batch: &[&Meta]) -> Result<Vec<(Item, Append)>, MigrateError> {
        let set: Vec<String> = batch.iter().map(|meta| meta.uid.to_string()).collect();
        let mut wanted: HashMap<u32, &Meta> = batch.iter().map(|meta| (meta.uid, *meta)).collect();
        let limit = self.wanted.message_size;
        let (mut current, mut whole): (Option<Incoming>, Vec<(Item, Append)>) = (None, Vec::new());
        self.session.run(&format!("UID FETCH {} (UID BODY.PEEK[])", set.join(",")), |event| {
            match event {
                Event::Body(size) if size > limit => current = None,
                Event::Body(_) => current = Some(Incoming::new(folder)),
                Event::Octets(octets) => {
                    if let Some(current) = &mut current {
                        current.write(&octets)?;
                    }
                }
                Event::Data(data) => {
                    let Some(fetched) = Fetched::read(&data) else { return Ok(()) };
                    let mut incoming = current.take();
                    if let Some(text) = &fetched.text {
                        incoming.get_or_insert_with(|| Incoming::new(folder)).write(text)?;
                    }
                    let meta = fetched.uid.and_then(|uid| incoming.as_ref().and_then(|_| wanted.remove(&uid)));
                    if let (Some(incoming), Some(meta)) = (incoming, meta) {
                        whole.push(incoming.finish(meta)?);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        whole.sort_by_key(|(item, _)| item.uid);
        Ok(whole)
    }

    /// Looks for what a run before may have appended without noting it.
    pub(super) fn recover(&mut self) -> Result<(), MigrateError> {
        let Some((pending, local)) = self.state.pending() else { return Ok(()) };
        let mut found = Vec::new();
        if self.tree.exists(&local)? {
            let folder = self.tree.folder(&local)?;
            let snapshot = folder.refresh()?;
            let mut items = pending.items;
            for entry in snapshot.entries.iter().filter(|entry| entry.uid.number() >= pending.next) {
                let date = entry.internal_date.seconds();
                if !items.iter().any(|item| item.date == date) {
                    continue;
                }
                let digest = digest_of(&folder, entry.uid)?;
                let Some(place) = items.iter().position(|item| item.date == date && item.digest == digest) else {
                    continue;
                };
                let item = items.remove(place);
                // A message that was placed, but had no line in the mailbox's log yet, has lost its keywords.
                set_flags(&folder, &[entry.uid].into_iter().collect(), &item.flags)?;
                found.push(Known { local: entry.uid.number(), item });
            }
        }
        Ok(self.state.settle(found)?)
    }
}

/// Gives messages these flags and no others.
fn set_flags(folder: &Folder, uids: &UidSet, flags: &str) -> Result<(), MigrateError> {
    let (mut system, mut keywords) = (0, Vec::new());
    for word in flags.split(' ').filter(|word| !word.is_empty()) {
        match System::parse(word) {
            Some(flag) => system |= flag as u8,
            None => keywords.push(word),
        }
    }
    folder.store(uids, FlagChange { how: How::Replace, system, keywords: &keywords }, None)?;
    Ok(())
}

/// The digest of a message as it lies here.
fn digest_of(folder: &Folder, uid: Uid) -> Result<Digest, MigrateError> {
    let mut file = folder.text(uid)?;
    let mut digest = sha2::Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(digest.finalize().into()),
            count => digest.update(&piece[..count]),
        }
    }
}
