//! One post in the index of an archive.
//!
//! Line: `NUMBER date=… size=… from=… name=… subject=… id=… refs=… crc=XXXXXXXX`, words as in `fields`; the checksum is the CRC-32 of
//! what stands before ` crc=`. Texts are decoded, on one line, and cut. Words that this version does not know are passed over.

use crate::clock::Timestamp;
use crate::fields;
use crate::msg::address::Listed;
use crate::msg::envelope::Envelope;
use crate::msg::{self, date, digest, words};

/// Longest line, in octets; what goes into one is cut so that it never is.
pub(super) const LINE_LIMIT: usize = 32 * 1024;
/// Characters of a subject or name that are kept; each may take twelve octets.
const TEXT_LIMIT: usize = 500;
/// Octets of an identifier that are kept; each may take three.
const ID_LIMIT: usize = 250;
/// References that are kept: the first one and the last ones.
const REFERENCES_LIMIT: usize = 12;

/// What the index knows of a post.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// When it was sent, by its Date, or else when it came.
    pub date: Timestamp,
    /// Its size in octets.
    pub size: u64,
    /// The author's address.
    pub from: String,
    /// The author's name; often empty.
    pub name: String,
    /// The subject, decoded.
    pub subject: String,
    /// The Message-ID without its brackets.
    pub message_id: String,
    /// The identifiers of its ancestors, oldest first.
    pub references: Vec<String>,
}

impl Entry {
    /// Reads them from a post.
    pub fn of(number: u64, message: &[u8], received: Timestamp) -> Entry {
        let header = &message[..msg::header_end(message).unwrap_or(message.len())];
        let find = |name: &str| msg::all_fields(header).find(|field| field.is(name));
        let envelope = Envelope::of(header);
        let author = find("from").and_then(|field| {
            let mut listed = Vec::new();
            msg::address::read_list(field.body(), &mut listed);
            listed.into_iter().find_map(|listed| match listed {
                Listed::Mailbox(raw) => Some(raw),
                _ => None,
            })
        });
        let author = author.unwrap_or_default();
        let address = match author.domain.is_empty() {
            true => String::from_utf8_lossy(&author.local).into_owned(),
            false => format!("{}@{}", String::from_utf8_lossy(&author.local), String::from_utf8_lossy(&author.domain)),
        };
        let text = |body: Option<&[u8]>| body.map(|body| one_line(&words::decode_text(body))).unwrap_or_default();
        let id = |raw: &[u8]| cut(&String::from_utf8_lossy(raw), ID_LIMIT);
        let mut references: Vec<String> = digest::references(header, &envelope).iter().map(|r| id(r)).collect();
        if references.len() > REFERENCES_LIMIT {
            references.drain(1..references.len() - REFERENCES_LIMIT + 1);
        }
        let message_id = envelope.message_id.as_deref().and_then(|raw| digest::identifiers(raw).pop());
        Entry {
            number,
            date: find("date").and_then(|field| date::parse(field.body())).map_or(received, |sent| sent.at),
            size: message.len() as u64,
            from: one_line(&address),
            name: text(author.name.as_deref()),
            subject: text(find("subject").map(|field| field.body())),
            message_id: message_id.map(|raw| id(&raw)).unwrap_or_default(),
            references,
        }
    }

    /// Its line, with the line end.
    pub(super) fn print(&self) -> String {
        let mut line = self.number.to_string();
        let date = self.date.rfc3339();
        fields::push(&mut line, "date", &format!("{}Z", date.get(..19).unwrap_or(&date)));
        fields::push(&mut line, "size", &self.size.to_string());
        let texts = [("from", &self.from), ("name", &self.name), ("subject", &self.subject), ("id", &self.message_id)];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            fields::push(&mut line, key, text);
        }
        if !self.references.is_empty() {
            // A blank can stand in no identifier that was read from a header.
            fields::push(&mut line, "refs", &self.references.join(" "));
        }
        let crc = crc32fast::hash(line.as_bytes());
        line.push_str(&format!(" crc={crc:08x}\n"));
        line
    }

    /// Reads a line without its end; `None` when it is damaged.
    pub(super) fn parse(line: &[u8]) -> Option<Entry> {
        let line = std::str::from_utf8(line).ok()?;
        let (text, crc) = line.rsplit_once(" crc=")?;
        if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(text.as_bytes()) {
            return None;
        }
        let (number, words) = text.split_once(' ')?;
        let mut entry = Entry { number: number.parse().ok()?, ..Entry::default() };
        for word in words.split(' ') {
            let (key, value) = word.split_once('=')?;
            match key {
                "date" => entry.date = Timestamp::parse_rfc3339(value)?,
                "size" => entry.size = value.parse().ok()?,
                "from" => entry.from = fields::decode(value)?,
                "name" => entry.name = fields::decode(value)?,
                "subject" => entry.subject = fields::decode(value)?,
                "id" => entry.message_id = fields::decode(value)?,
                "refs" => entry.references = fields::decode(value)?.split(' ').map(str::to_string).collect(),
                _ => {}
            }
        }
        Some(entry)
    }
}

/// The number that a line begins with, if it looks like one of a post.
pub(super) fn number_of(line: &[u8]) -> Option<u64> {
    let end = memchr::memchr(b' ', line)?;
    std::str::from_utf8(&line[..end]).ok()?.parse().ok()
}

fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(TEXT_LIMIT).collect()
}

fn cut(text: &str, limit: usize) -> String {
    let text: String = text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    text[..text.floor_char_boundary(limit)].to_string()
}
