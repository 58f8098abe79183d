//! Posts in and out of an archive as mbox files.

use super::{Archive, Entry, Post};
use crate::clock::Timestamp;
use crate::log;
use crate::msg::mbox::{Quoting, Reader, escape};
use std::io::{self, BufRead, Write};

/// Largest post that is taken, in octets.
pub const MESSAGE_LIMIT: usize = 256 << 20;
/// Posts, and octets of posts, that are written before the disk is waited for.
const BATCH: usize = 1000;
const BATCH_OCTETS: usize = 64 << 20;

/// What an export has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Posts.
    pub posts: u64,
    /// Posts of the index whose file is gone.
    pub missing: u64,
}

/// What an import has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Posts added.
    pub posts: u64,
    /// Posts whose Message-ID was here already.
    pub known: u64,
    /// The first and the last number given.
    pub numbers: (u64, u64),
}

impl Archive {
    /// Writes the posts in these ranges as an mbox, ascending.
    pub fn export(&self, ranges: &[(u64, u64)], quoting: Quoting, out: &mut dyn Write) -> io::Result<Exported> {
        let mut exported = Exported::default();
        for entry in self.index()?.entries(ranges) {
            let Some(message) = self.message(entry.number)? else {
                exported.missing += 1;
                continue;
            };
            out.write_all(separator(&entry).as_bytes())?;
            escape(&mut &message[..], quoting, &mut |bytes| out.write_all(bytes))?;
            exported.posts += 1;
        }
        out.flush()?;
        Ok(exported)
    }

    /// Adds the messages of an mbox, numbered from the first free number on, in the order of the file.
    ///
    /// A message whose Message-ID the archive has already is passed over, so that an import that was cut short can be started again.
    /// Behind the numbers up to `after`, those of a list whose earlier posts are not here.
    pub fn import(&self, input: impl BufRead, quoting: Quoting, after: u64, now: Timestamp) -> io::Result<Imported> {
        let mut reader = Reader::new(input, quoting, MESSAGE_LIMIT);
        self.import_messages(after, &mut || Ok(reader.read()?.map(|boxed| (boxed.message, now))))
    }

    /// The same for messages from anywhere, each with the time when it came.
    pub fn import_messages(
        &self,
        after: u64,
        next: &mut dyn FnMut() -> io::Result<Option<(Vec<u8>, Timestamp)>>,
    ) -> io::Result<Imported> {
        let index = self.index()?;
        let mut known: std::collections::HashSet<String> =
            index.all().map(|entry| entry.message_id).filter(|id| !id.is_empty()).collect();
        let mut number = index.last().max(after);
        let mut imported = Imported { numbers: (number + 1, number), ..Imported::default() };
        let mut batch: Vec<Post> = Vec::new();
        let mut octets = 0;
        loop {
            let one = match next() {
                Ok(one) => one,
                Err(error) => {
                    // What came before it is not lost.
                    self.append_all(&batch)?;
                    return Err(error);
                }
            };
            let is_end = one.is_none();
            if let Some((message, received)) = one {
                let id = Entry::of(0, &message, received).message_id;
                if !id.is_empty() && !known.insert(id) {
                    imported.known += 1;
                    continue;
                }
                number += 1;
                octets += message.len();
                imported.posts += 1;
                batch.push(Post { number, message, received });
            }
            if batch.len() >= BATCH || octets >= BATCH_OCTETS || (is_end && !batch.is_empty()) {
                self.append_all(&batch)?;
                batch.clear();
                octets = 0;
            }
            if is_end {
                imported.numbers.1 = number;
                log::event("list-import").field("posts", imported.posts).field("known", imported.known).write();
                return Ok(imported);
            }
        }
    }
}

/// `From ADDRESS DATE`, the date as asctime prints it.
fn separator(entry: &Entry) -> String {
    let address: String = entry.from.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
    let address = if address.is_empty() { "MAILER-DAEMON" } else { &address };
    format!("From {address} {}\n", entry.date.local("%a %b %e %H:%M:%S %Y"))
}
