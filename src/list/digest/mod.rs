//! Digests: many posts in one mail.
//!
//! Called by `emlist digest` and by the command `get`, whose answers are digests, too. The composers are pure; [`job`] decides when one is
//! due, and sends it.
//!
//! | form | shape |
//! |---|---|
//! | MIME | multipart/mixed: preamble with the table of contents, multipart/digest with the posts as they are, trailer |
//! | plain | one text (RFC 1153): preamble, 70 hyphens, posts with 30 hyphens between them, trailer |
//!
//! A MIME digest keeps every post's own charset; the plain one is in the list's charset where that has all its characters, in UTF-8 elsewhere.
//! RFC 2046 §5.1.5, RFC 1153.

pub mod job;
mod mime;
mod plain;

pub use mime::{mime, posts_part};
pub use plain::plain;

use crate::clock::Timestamp;
use crate::lists::archive::Entry;
use crate::lists::settings::Language;
use crate::msg::encode::Charset;

/// What stands around the posts.
#[derive(Debug, Clone)]
pub struct Masthead<'a> {
    /// `talk Digest`.
    pub title: String,
    /// The year.
    pub volume: String,
    /// Its number within the list.
    pub issue: u64,
    /// When it is made.
    pub now: Timestamp,
    /// All fields of the header but those of MIME, with their line ends.
    pub header: &'a str,
    /// The charset of our texts.
    pub charset: Charset,
    /// The language of our texts.
    pub language: Language,
    /// What is said to readers behind the table of contents; may be empty.
    pub notes: &'a str,
}

/// A post with what the index knows of it.
#[derive(Debug, Clone)]
pub struct Collected {
    /// What is known of it.
    pub entry: Entry,
    /// Its text.
    pub message: Vec<u8>,
}

impl Masthead<'_> {
    /// The preamble of RFC 1153: title, date and number, the table of contents, notes.
    fn preamble(&self, posts: &[Collected]) -> String {
        let date = self.now.local("%a, %d %b %Y");
        let mut text = format!("{}    {date}    Volume {} : Issue {}\n\n", self.title, self.volume, self.issue);
        text.push_str(match self.language {
            Language::English => "Today's Topics:\n\n",
            Language::Japanese => "今回の投稿:\n\n",
        });
        for post in posts {
            let entry = &post.entry;
            let author = if entry.name.is_empty() { &entry.from } else { &entry.name };
            text.push_str(&format!("  {:>5}  {} ({author})\n", entry.number, entry.subject));
        }
        if !self.notes.trim().is_empty() {
            text.push_str(match self.language {
                Language::English => "\nAdministrivia:\n\n",
                Language::Japanese => "\nお知らせ:\n\n",
            });
            text.push_str(self.notes.trim_end());
            text.push('\n');
        }
        text
    }

    /// The two lines of RFC 1153's trailer.
    fn trailer(&self) -> String {
        let line = format!("End of {} V{} Issue #{}", self.title, self.volume, self.issue);
        let stars = "*".repeat(line.chars().count());
        format!("{line}\n{stars}\n")
    }
}

#[cfg(test)]
mod tests;
