//! The numbers of a list's posts, and which messages were posted lately: the file `posts`.
//!
//! Called by `list` under the list's lock. Format: first line `# em-posts 1`, then one record a line, which counts when its line end is
//! there; the next writer trims a torn tail first.
//!
//! | record | meaning |
//! |---|---|
//! | `begin number=N at=TIME source=ID queue=ID [mid=MESSAGE-ID]` | the queued message ID becomes post N, which is queued as the other ID |
//! | `queued number=N` | the copies that go through the queue are there |
//! | `done number=N` | all is done: archived, queued, in the mailboxes here |
//! | `set number=N` | the next post is N+1 |
//!
//! A `begin` without its `done` is a post that was cut short: its source is tried again and goes on under the same number, behind what was
//! done. So a crash neither loses a post nor gives its number to another one; only between two steps may it do the first one twice.
//! The file is written anew without what is older than the list's `duplicates` when it has grown.

use super::List;
use crate::clock::Timestamp;
use crate::fields;
use crate::fsx::{self, Lock};
use crate::line;
use crate::spool::Id;
use std::io;
use std::path::{Path, PathBuf};

const HEADER: &str = "# em-posts 1\n";
/// Larger than this it is written anew, in octets, when that makes it smaller.
const COMPACT: u64 = 256 << 10;
/// Largest file, in octets.
const LIMIT: u64 = 64 << 20;
/// Longest Message-ID that is remembered whole, in octets; of longer ones the beginning.
const MESSAGE_ID_LIMIT: usize = 500;

/// One post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Its number.
    pub number: u64,
    /// When it was taken.
    pub at: Timestamp,
    /// The queued message that it was made of.
    pub source: String,
    /// The queued message with its copies.
    pub queue: Id,
    /// Its Message-ID; may be empty.
    pub message_id: String,
    /// The copies that go through the queue are there.
    pub is_queued: bool,
    /// All is done.
    pub is_done: bool,
}

/// The posts of late.
#[derive(Debug)]
pub struct Posts {
    path: PathBuf,
    last: u64,
    posts: Vec<Post>,
}

impl List {
    /// The posts of late, to be added to under the list's lock.
    pub fn posts(&self, _lock: &Lock) -> io::Result<Posts> {
        Posts::read(self.spool().join("posts"))
    }

    /// The number of the last post; 0 before the first.
    pub fn last_number(&self) -> io::Result<u64> {
        Ok(Posts::read(self.spool().join("posts"))?.last)
    }
}

impl Posts {
    fn read(path: PathBuf) -> io::Result<Posts> {
        let mut posts = Posts { path, last: 0, posts: Vec::new() };
        let bytes = match fsx::read(&posts.path, LIMIT) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(posts),
            other => other?,
        };
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        for line in line::lines(&bytes[..whole]) {
            // A record of a newer version, or a damaged one, is passed over.
            let _ = std::str::from_utf8(line).ok().and_then(|line| posts.apply(line));
        }
        Ok(posts)
    }

    fn apply(&mut self, line: &str) -> Option<()> {
        let (verb, rest) = line.split_once(' ')?;
        let pairs = fields::pairs(rest)?;
        let field = |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        let number: u64 = field("number")?.parse().ok()?;
        match verb {
            "begin" => {
                self.posts.push(Post {
                    number,
                    at: Timestamp(field("at")?.parse().ok()?),
                    source: field("source")?.to_string(),
                    queue: Id::parse(field("queue")?)?,
                    message_id: field("mid").unwrap_or_default().to_string(),
                    is_queued: false,
                    is_done: false,
                });
                self.last = self.last.max(number);
            }
            "queued" | "done" => {
                if let Some(post) = self.posts.iter_mut().rev().find(|post| post.number == number) {
                    post.is_queued = true;
                    post.is_done = verb == "done";
                }
            }
            "set" => self.last = number,
            _ => {}
        }
        Some(())
    }

    /// The number of the last post.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The post that was made of this queued message.
    pub fn of_source(&self, source: &str) -> Option<&Post> {
        self.posts.iter().rev().find(|post| post.source == source)
    }

    /// A post after `since` with this Message-ID.
    pub fn with_message_id(&self, message_id: &str, since: Timestamp) -> Option<&Post> {
        let wanted = cut(message_id);
        let is_meant = |post: &&Post| post.at >= since && !wanted.is_empty() && post.message_id == wanted;
        self.posts.iter().rev().find(is_meant)
    }

    /// Takes the next number for a message; durable on return.
    pub fn begin(&mut self, source: &str, queue: &Id, message_id: &str, now: Timestamp) -> io::Result<u64> {
        let number = self.last + 1;
        let post = Post {
            number,
            at: now,
            source: source.to_string(),
            queue: queue.clone(),
            message_id: cut(message_id).to_string(),
            is_queued: false,
            is_done: false,
        };
        append(&self.path, &print(&post))?;
        self.last = number;
        self.posts.push(post);
        Ok(number)
    }

    /// Notes that the copies which go through the queue are there: they are never queued again.
    pub fn queued(&mut self, number: u64) -> io::Result<()> {
        append(&self.path, &format!("queued number={number}\n"))
    }

    /// Notes that all is done; writes the file anew when it has grown.
    pub fn done(&mut self, number: u64, forget_before: Timestamp) -> io::Result<()> {
        append(&self.path, &format!("done number={number}\n"))?;
        if let Some(post) = self.posts.iter_mut().rev().find(|post| post.number == number) {
            post.is_done = true;
        }
        if std::fs::metadata(&self.path).is_ok_and(|file| file.len() > COMPACT) {
            let before = self.posts.len();
            self.posts.retain(|post| !post.is_done || post.at >= forget_before);
            if self.posts.len() <= before / 2 {
                self.rewrite()?;
            }
        }
        Ok(())
    }

    /// Lets the next post have the number after this one.
    pub fn set_last(&mut self, number: u64) -> io::Result<()> {
        append(&self.path, &format!("set number={number}\n"))?;
        self.last = number;
        Ok(())
    }

    fn rewrite(&self) -> io::Result<()> {
        let mut text = String::from(HEADER);
        for post in &self.posts {
            text.push_str(&print(post));
            if post.is_done {
                text.push_str(&format!("done number={}\n", post.number));
            }
        }
        text.push_str(&format!("set number={}\n", self.last));
        fsx::replace(&self.path, text.as_bytes(), 0o600)
    }
}

fn print(post: &Post) -> String {
    let mut line = String::from("begin");
    fields::push(&mut line, "number", &post.number.to_string());
    fields::push(&mut line, "at", &post.at.0.to_string());
    fields::push(&mut line, "source", &post.source);
    fields::push(&mut line, "queue", post.queue.as_str());
    if !post.message_id.is_empty() {
        fields::push(&mut line, "mid", &post.message_id);
    }
    line.push('\n');
    line
}

/// The part of a Message-ID that is remembered.
fn cut(message_id: &str) -> &str {
    let end = (0..=message_id.len().min(MESSAGE_ID_LIMIT)).rev().find(|at| message_id.is_char_boundary(*at));
    &message_id[..end.unwrap_or(0)]
}

/// Appends a record and makes it durable; a torn tail goes first.
pub(super) fn append(path: &Path, record: &str) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut file = fsx::open_append(path, 0o600)?;
    let size = file.metadata()?.len();
    let mut text = String::new();
    if size > 0 {
        let mut last = [0];
        file.read_exact_at(&mut last, size - 1)?;
        if last != *b"\n" {
            let bytes = fsx::read(path, LIMIT)?;
            fsx::truncate(&file, path, memchr::memrchr(b'\n', &bytes).map_or(0, |at| at as u64 + 1))?;
        }
    } else {
        text.push_str(HEADER);
    }
    text.push_str(record);
    fsx::write_all(&mut file, path, text.as_bytes())?;
    fsx::sync_data(&file, path)?;
    match path.parent() {
        Some(dir) if size == 0 => fsx::sync_dir(dir),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_that_was_cut_short_goes_on_under_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("posts");
        let queue = Id::new(Timestamp(1));
        let mut posts = Posts::read(path.clone()).unwrap();
        assert_eq!(posts.begin("s1", &queue, "<a@x>", Timestamp(10)).unwrap(), 1);
        posts.done(1, Timestamp(0)).unwrap();
        assert_eq!(posts.begin("s2", &queue, "<b@x>", Timestamp(20)).unwrap(), 2);
        // The machine stops while a record is being written.
        std::io::Write::write_all(&mut fsx::open_append(&path, 0o600).unwrap(), b"done num").unwrap();
        let mut posts = Posts::read(path.clone()).unwrap();
        assert_eq!((posts.last(), posts.of_source("s2").unwrap().is_done), (2, false));
        assert!(posts.of_source("s1").unwrap().is_done);
        assert_eq!(posts.with_message_id("<a@x>", Timestamp(5)).unwrap().number, 1);
        assert_eq!(posts.with_message_id("<a@x>", Timestamp(11)), None);
        assert_eq!(posts.with_message_id("", Timestamp(0)), None);
        posts.done(2, Timestamp(0)).unwrap();
        posts.set_last(100).unwrap();
        let posts = Posts::read(path.clone()).unwrap();
        assert_eq!((posts.last(), posts.of_source("s2").unwrap().is_done), (100, true));
        assert!(!std::fs::read_to_string(&path).unwrap().contains("done num\n"));
    }

    #[test]
    fn the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("posts");
        let queue = Id::new(Timestamp(1));
        let mut text = String::from(HEADER);
        for number in 1..=3000 {
            let at = Timestamp(number as i64);
            let post = Post {
                number,
                at,
                source: "s".into(),
                queue: queue.clone(),
                message_id: "m".repeat(40),
                is_queued: true,
                is_done: true,
            };
            text.push_str(&print(&post));
            text.push_str(&format!("done number={number}\n"));
        }
        std::fs::write(&path, text).unwrap();
        let mut posts = Posts::read(path.clone()).unwrap();
        let number = posts.begin("t", &queue, "x", Timestamp(5000)).unwrap();
        posts.done(number, Timestamp(2900)).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 32 << 10);
        let posts = Posts::read(path).unwrap();
        assert_eq!((posts.last(), posts.posts.len()), (3001, 102));
    }
}
