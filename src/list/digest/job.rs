//! When a digest is due, and sending it.
//!
//! Called by `emlist digest`, and after each post. What has gone out stands in `digest` in the list's spool folder: one line, `last=NUMBER at=TIME
//! volume=YEAR issue=N`, replaced whole once the digest is queued; a damaged one counts as none. A crash between the two sends the same
//! digest once more, under the same Message-ID.
//!
//! A digest takes the posts after `last`. It is due when the one before is as old as the list's `digest_every`, or when the posts are as many
//! as `digest_posts` or as large as `digest_size`. The first digest goes no further back than `digest_every`: who takes a list over
//! with ten thousand posts does not send them. A list where nobody wants digests has no such file.

use super::{Collected, Masthead, mime, plain};
use crate::clock::Timestamp;
use crate::envelope::{Notify, Recipient};
use crate::fields;
use crate::fsx;
use crate::list::Desk;
use crate::list::copy;
use crate::lists::List;
use crate::lists::archive::{Archive, Entry};
use crate::lists::members::{Member, State};
use crate::lists::settings::DigestForm;
use crate::log;
use crate::spool::Id;
use crate::status::Failure;
use std::io;

/// Most posts, and octets, of one digest; the rest goes into the next one.
const POSTS_LIMIT: usize = 500;
const OCTETS_LIMIT: u64 = 32 << 20;
/// Largest state file, in octets.
const STATE_LIMIT: u64 = 4096;

/// A digest that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its number in its volume.
    pub issue: u64,
    /// How many posts.
    pub posts: usize,
    /// To how many members.
    pub members: usize,
    /// More posts wait for the next one.
    pub is_cut: bool,
}

/// How far digests have come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Progress {
    last: u64,
    at: Timestamp,
    volume: String,
    issue: u64,
}

impl Desk<'_> {
    /// Sends a digest when one is due, or with `is_wanted` when anything waits. `None` when there was nothing to send.
    pub fn send_digest(&self, list: &List, is_wanted: bool) -> Result<Option<Sent>, Failure> {
        let local = |e: io::Error| Failure::local(&e);
        let members = list.members().map_err(local)?;
        let readers: Vec<&Member> = members.in_state(State::Digest).collect();
        if readers.is_empty() {
            // Whoever wants digests one day begins with the posts of that day.
            return fsx::remove(&list.spool().join("digest")).map(|()| None).map_err(local);
        }
        // Routing may take its time: before the lock.
        let mime_readers =
            self.digest_readers(list, readers.iter().filter(|member| !wants_plain(list, member)).copied())?;
        let plain_readers =
            self.digest_readers(list, readers.iter().filter(|member| wants_plain(list, member)).copied())?;
        let _lock = list.lock().map_err(local)?;
        let archive = Archive::of(list);
        let index = archive.index().map_err(local)?;
        let known = Progress::read(list).map_err(local)?;
        let first_at =
            self.now.0.saturating_sub(i64::try_from(list.settings.digest_every.as_micros()).unwrap_or(i64::MAX));
        let from = known.as_ref().map_or(0, |progress| progress.last.saturating_add(1));
        let is_wanted_post = |entry: &Entry| known.is_some() || entry.date.0 >= first_at;
        let waiting: Vec<Entry> = index.entries(&[(from, u64::MAX)]).filter(is_wanted_post).collect();
        let progress = match known {
            Some(progress) => progress,
            None => {
                let last = waiting.first().map_or(index.last(), |entry| entry.number.saturating_sub(1));
                let begun = Progress { last, at: self.now, ..Progress::default() };
                begun.write(list).map_err(local)?;
                begun
            }
        };
        if waiting.is_empty() || !(is_wanted || is_due(list, &progress, &waiting, self.now)) {
            return Ok(None);
        }
        let (posts, last, is_cut) = collect(&archive, &waiting).map_err(local)?;
        if posts.is_empty() {
            // All of them are gone from the archive: nothing to send, today and later.
            return Progress { last, ..progress }.write(list).map(|()| None).map_err(local);
        }
        let volume = self.now.local("%Y");
        let issue = if volume == progress.volume { progress.issue.saturating_add(1) } else { 1 };
        let sent = Sent { issue, posts: posts.len(), members: readers.len(), is_cut };
        for (readers, form) in [(mime_readers, DigestForm::Mime), (plain_readers, DigestForm::Plain)] {
            let text = self.print_digest(list, &posts, (&volume, issue), form);
            self.take(list, Id::new(self.now), readers, &text)?;
        }
        Progress { last, at: self.now, volume, issue }.write(list).map_err(local)?;
        let event = log::event("digest").field("list", &list.name).field("issue", issue);
        event.field("posts", sent.posts).field("members", sent.members).write();
        Ok(Some(sent))
    }

    fn digest_readers<'m>(
        &self,
        list: &List,
        members: impl Iterator<Item = &'m Member>,
    ) -> Result<Vec<Recipient>, Failure> {
        let mut readers = Vec::new();
        for member in members {
            for delivery in self.ways(list, member)? {
                let notify = Notify { failure: true, ..Notify::NEVER };
                readers.push(Recipient { original: member.address.clone(), orcpt: None, notify, delivery });
            }
        }
        Ok(readers)
    }

    fn print_digest(
        &self,
        list: &List,
        posts: &[Collected],
        (volume, issue): (&str, u64),
        form: DigestForm,
    ) -> Vec<u8> {
        let name = &list.name;
        let charset = copy::charset(&list.settings);
        let title = format!("{} Digest", name.name());
        let word = match form {
            DigestForm::Mime => "digest",
            DigestForm::Plain => "plain-digest",
        };
        let mut header = format!(
            "Date: {}\nFrom: <{}>\nTo: <{}>\nReply-To: <{}>\nSubject: {title} V{volume} #{issue}\n\
             Message-ID: <{word}-{volume}-{issue}.{}@{}>\n",
            self.now.rfc5322(),
            name.role("request"),
            name.address(),
            name.address(),
            name.name(),
            name.domain(),
        );
        header.push_str(&copy::list_fields(name, &list.settings));
        header.push_str(&format!("Precedence: {}\nX-Loop: {}\n", list.settings.precedence.word(), name.address()));
        let notes = format!("<{}>: help, on, off, get 3,7-9", name.role("control"));
        let head = Masthead {
            title,
            volume: volume.to_string(),
            issue,
            now: self.now,
            header: &header,
            charset,
            language: list.settings.language,
            notes: &notes,
        };
        match form {
            DigestForm::Mime => mime(&head, posts),
            DigestForm::Plain => plain(&head, posts),
        }
    }
}

/// The member's own option, or else the list's setting.
fn wants_plain(list: &List, member: &Member) -> bool {
    member.has_option("plain") || (list.settings.digest == DigestForm::Plain && !member.has_option("mime"))
}

fn is_due(list: &List, progress: &Progress, waiting: &[Entry], now: Timestamp) -> bool {
    let settings = &list.settings;
    let octets: u64 = waiting.iter().map(|entry| entry.size).sum();
    (settings.digest_posts > 0 && waiting.len() >= settings.digest_posts as usize)
        || (settings.digest_size.0 > 0 && octets >= settings.digest_size.0)
        || now.since(progress.at) >= settings.digest_every
}

/// The posts of a digest, the last number that was looked at, and whether others wait for the next one.
fn collect(archive: &Archive, waiting: &[Entry]) -> io::Result<(Vec<Collected>, u64, bool)> {
    let mut posts = Vec::new();
    let mut octets: u64 = 0;
    let mut last = 0;
    for entry in waiting {
        if posts.len() >= POSTS_LIMIT || (!posts.is_empty() && octets.saturating_add(entry.size) > OCTETS_LIMIT) {
            return Ok((posts, last, true));
        }
        last = entry.number;
        if let Some(message) = archive.message(entry.number)? {
            octets = octets.saturating_add(entry.size);
            posts.push(Collected { entry: entry.clone(), message });
        }
    }
    Ok((posts, last, false))
}

impl Progress {
    fn read(list: &List) -> io::Result<Option<Progress>> {
        let text = match fsx::read(&list.spool().join("digest"), STATE_LIMIT) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        Ok(std::str::from_utf8(&text).ok().and_then(Progress::parse))
    }

    fn parse(text: &str) -> Option<Progress> {
        let mut progress = Progress::default();
        let mut has_last = false;
        for (key, value) in fields::pairs(text.strip_suffix('\n')?)? {
            match key.as_str() {
                "last" => (progress.last, has_last) = (value.parse().ok()?, true),
                "at" => progress.at = Timestamp(value.parse().ok()?),
                "volume" => progress.volume = value,
                "issue" => progress.issue = value.parse().ok()?,
                _ => {}
            }
        }
        has_last.then_some(progress)
    }

    fn write(&self, list: &List) -> io::Result<()> {
        let mut line = String::new();
        fields::push(&mut line, "last", &self.last.to_string());
        fields::push(&mut line, "at", &self.at.0.to_string());
        fields::push(&mut line, "volume", &self.volume);
        fields::push(&mut line, "issue", &self.issue.to_string());
        line.push('\n');
        fsx::replace(&list.spool().join("digest"), line.as_bytes(), 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_or_there_is_none() {
        let whole = " last=7 at=5 volume=2026 issue=3 new=x\n";
        let read = Progress::parse(whole).unwrap();
        assert_eq!((read.last, read.at, read.volume.as_str(), read.issue), (7, Timestamp(5), "2026", 3));
        for broken in ["", "last=7", "last=x\n", "at=5\n", "nonsense\n"] {
            assert_eq!(Progress::parse(broken), None, "{broken}");
        }
    }
}
