//! What the index keeps of a message, so that its file need not be opened again: the printed ENVELOPE, BODY and BODYSTRUCTURE, and
//! what SEARCH, SORT and THREAD compare.
//!
//! Made once ([`Digest::of`]), kept as one record of bytes, read in place ([`Digest::read`]). Texts are folded ([`fold_for_search`]), so
//! that a search is a comparison of bytes. A record of another version, or a damaged one, is no record: it is made anew.
//!
//! A record tells of the whole message, or of its header only ([`Digest::of_header`]): then [`Part::Body`], [`Part::BodyStructure`] and
//! [`Part::Preview`] are empty. Whoever asks for an envelope, sorts or threads need not read the texts for it.
//!
//! Record: version (1 octet; another one where it is of the header only), flags (1), day as year × 512 + month × 32 + day (4), sent date in seconds (8), lengths of the fields (4 each),
//! the fields. Numbers are little-endian.

use super::address::Listed;
use super::bodystructure;
use super::date::{self, Day};
use super::envelope::Envelope;
use super::folding::fold_for_search;
use super::nstring::Quoting;
use super::structure::Structure;
use super::subject::base_subject;
use super::text::preview;
use super::words::decode_text;
use super::{all_fields, header_end};

/// This layout and these rules of folding.
const VERSION: u8 = 2;
/// The same of a header only.
const HEADER_VERSION: u8 = 3;
const HEAD: usize = 14;
const COUNT: usize = 15;
/// Most ancestors kept, the last ones: a thread holds together by them.
const REFERENCES_LIMIT: usize = 100;
/// Longest identifier kept, in octets.
const ID_LIMIT: usize = 500;

const IS_REPLY: u8 = 1;
const HAS_DATE: u8 = 2;

/// The fields of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Part {
    /// The printed ENVELOPE.
    Envelope,
    /// The printed BODY.
    Body,
    /// The printed BODYSTRUCTURE.
    BodyStructure,
    /// The subject, folded.
    Subject,
    /// The base subject, folded (RFC 5256 §2.1).
    BaseSubject,
    /// From, decoded and folded: names and addresses.
    From,
    /// To.
    To,
    /// Cc.
    Cc,
    /// Bcc.
    Bcc,
    /// What SORT compares of From, To and Cc: three lines of mailbox names (RFC 5256 §3).
    SortKeys,
    /// What SORT=DISPLAY compares of From and To: two lines (RFC 5957 §3).
    DisplayKeys,
    /// The Message-ID without its brackets.
    MessageId,
    /// The ancestors' identifiers, one a line.
    References,
    /// The preview.
    Preview,
    /// EMAILID: a digest of the stored text, the same for all copies (RFC 8474 §5.1). Empty until [`Digest::identified`]. The last field.
    EmailId,
}

/// A record, read in place.
#[derive(Debug, Clone, Copy)]
pub struct Digest<'a> {
    record: &'a [u8],
}

impl<'a> Digest<'a> {
    /// Makes the record of a stored message.
    pub fn of(text: &[u8]) -> Vec<u8> {
        Digest::make(VERSION, text, of_body(text))
    }

    /// Makes the record of a stored message of which the header's record is known: most of the work is done.
    pub fn completed(record: &[u8], text: &[u8]) -> Vec<u8> {
        let Some(digest) = Digest::read(record).filter(|digest| !digest.is_whole()) else { return Digest::of(text) };
        let mut completed = record[..HEAD + 4 * COUNT].to_vec();
        completed[0] = VERSION;
        let body = of_body(text);
        for index in 0..COUNT {
            let made = body.iter().find(|(part, _)| *part as usize == index);
            let bytes = made.map_or_else(|| digest.field(index), |(_, bytes)| bytes);
            completed[HEAD + 4 * index..][..4].copy_from_slice(&length_of(bytes).to_le_bytes());
            completed.extend_from_slice(bytes);
        }
        completed
    }

    /// Makes the record of a stored message's header, from as much of the text as holds it.
    pub fn of_header(text: &[u8]) -> Vec<u8> {
        Digest::make(HEADER_VERSION, text, [])
    }

    fn make<const N: usize>(version: u8, text: &[u8], body: [(Part, Vec<u8>); N]) -> Vec<u8> {
        let header = &text[..header_end(text).unwrap_or(text.len())];
        let envelope = Envelope::of(header);
        let subject = envelope.subject.as_deref().map(decode_text).unwrap_or_default();
        let base = base_subject(&subject);
        let sent = envelope.date.as_deref().and_then(date::parse);
        let mut fields: [Vec<u8>; COUNT] = Default::default();
        let mut put = |part: Part, bytes: Vec<u8>| fields[part as usize] = bytes;
        put(Part::Envelope, printed(|out| bodystructure::envelope(&envelope, Quoting::Ascii, out)));
        body.into_iter().for_each(|(part, bytes)| put(part, bytes));
        put(Part::Subject, fold_for_search(&subject).into_bytes());
        put(Part::BaseSubject, fold_for_search(&base.text).into_bytes());
        for (part, name, list) in [
            (Part::From, "from", &envelope.from),
            (Part::To, "to", &envelope.to),
            (Part::Cc, "cc", &envelope.cc),
            (Part::Bcc, "bcc", &envelope.bcc),
        ] {
            put(part, fold_for_search(&field_text(header, name, list)).into_bytes());
        }
        // RFC 5256 §3: the first address as ENVELOPE has it, where a group begins with its name.
        let key = |list: &[Listed]| match list.first() {
            Some(Listed::Mailbox(mailbox)) => folded(&mailbox.local),
            Some(Listed::GroupStart(name)) => folded(name),
            _ => String::new(),
        };
        put(Part::SortKeys, lines([key(&envelope.from), key(&envelope.to), key(&envelope.cc)]));
        let display = |list: &[Listed]| list.first().map(display_key).unwrap_or_default();
        put(Part::DisplayKeys, lines([display(&envelope.from), display(&envelope.to)]));
        put(Part::MessageId, envelope.message_id.as_deref().and_then(|id| identifiers(id).pop()).unwrap_or_default());
        put(Part::References, references(header, &envelope).join(&b'\n'));
        let mut flags = if base.is_reply { IS_REPLY } else { 0 };
        let (mut day, mut seconds) = (0, 0);
        if let Some(sent) = sent {
            flags |= HAS_DATE;
            day = i32::from(sent.day.year) * 512 + i32::from(sent.day.month) * 32 + i32::from(sent.day.day);
            seconds = sent.at.seconds();
        }
        let size = HEAD + 4 * COUNT + fields.iter().map(Vec::len).sum::<usize>();
        let mut record = Vec::with_capacity(size);
        record.extend_from_slice(&[version, flags]);
        record.extend_from_slice(&day.to_le_bytes());
        record.extend_from_slice(&seconds.to_le_bytes());
        for field in &fields {
            record.extend_from_slice(&length_of(field).to_le_bytes());
        }
        fields.iter().for_each(|field| record.extend_from_slice(field));
        record
    }

    /// The record with the EMAILID of its text, which takes longer to make than all the rest, and is seldom asked for.
    pub fn identified(record: &[u8], text: &[u8]) -> Vec<u8> {
        let Some(digest) = Digest::read(record) else { return record.to_vec() };
        let id = object_id('M', text);
        let at = HEAD + 4 * Part::EmailId as usize;
        let mut identified = record[..record.len() - digest.part(Part::EmailId).len()].to_vec();
        identified[at..at + 4].copy_from_slice(&(id.len() as u32).to_le_bytes());
        identified.extend_from_slice(id.as_bytes());
        identified
    }

    /// The record that must take the place of the one that is known of this text; `None` when that one is right, as far as it goes.
    pub fn corrected(known: Option<&[u8]>, text: &[u8]) -> Option<Vec<u8>> {
        let digest = known.and_then(Digest::read);
        let mut truth = match digest {
            Some(digest) if !digest.is_whole() => Digest::of_header(text),
            _ => Digest::of(text),
        };
        if digest.is_some_and(|digest| !digest.part(Part::EmailId).is_empty()) {
            truth = Digest::identified(&truth, text);
        }
        (known != Some(&truth[..])).then_some(truth)
    }

    /// Reads a record; `None` when it is not one of this version.
    pub fn read(record: &'a [u8]) -> Option<Digest<'a>> {
        let is_ours = matches!(record.first(), Some(&VERSION | &HEADER_VERSION));
        if !is_ours || record.len() < HEAD + 4 * COUNT {
            return None;
        }
        let digest = Digest { record };
        let size = (0..COUNT).map(|index| digest.length(index)).sum::<usize>();
        (HEAD + 4 * COUNT + size == record.len()).then_some(digest)
    }

    fn length(&self, index: usize) -> usize {
        let at = HEAD + 4 * index;
        self.record.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, |b| u32::from_le_bytes(b) as usize)
    }

    /// True when the record tells of the whole message, not of its header only.
    pub fn is_whole(&self) -> bool {
        self.record.first() == Some(&VERSION)
    }

    /// A field.
    pub fn part(&self, part: Part) -> &'a [u8] {
        self.field(part as usize)
    }

    fn field(&self, at: usize) -> &'a [u8] {
        let start = HEAD + 4 * COUNT + (0..at).map(|index| self.length(index)).sum::<usize>();
        self.record.get(start..start + self.length(at)).unwrap_or_default()
    }

    /// The sent date in seconds since 1970; `None` when the message has none that can be read.
    pub fn sent(&self) -> Option<i64> {
        let seconds = self.record.get(6..14)?.try_into().ok()?;
        (self.record.get(1)? & HAS_DATE != 0).then(|| i64::from_le_bytes(seconds))
    }

    /// The day it was sent on, as its Date field says, in the sender's zone.
    pub fn sent_day(&self) -> Option<Day> {
        self.sent()?;
        let day = i32::from_le_bytes(self.record.get(2..6)?.try_into().ok()?);
        Some(Day { year: (day / 512) as i16, month: (day / 32 % 16) as i8, day: (day % 32) as i8 })
    }

    /// The subject says that it answers or forwards something.
    pub fn is_reply(&self) -> bool {
        self.record.get(1).is_some_and(|flags| flags & IS_REPLY != 0)
    }

    /// The identifiers of its ancestors, oldest first.
    pub fn references(&self) -> impl Iterator<Item = &'a [u8]> {
        self.part(Part::References).split(|b| *b == b'\n').filter(|id| !id.is_empty())
    }

    /// THREADID: the same for a message and all that name it, or the one it names, as the oldest of their ancestors (RFC 8474 §5.2). So it is the
    /// same in every mailbox, and in whatever order the messages come. `None` without any identifier.
    pub fn thread_id(&self) -> Option<String> {
        let own = Some(self.part(Part::MessageId)).filter(|id| !id.is_empty());
        self.references().next().or(own).map(|root| object_id('T', root))
    }

    /// A line of [`Part::SortKeys`] or [`Part::DisplayKeys`].
    pub fn key(&self, part: Part, line: usize) -> &'a [u8] {
        self.part(part).split(|b| *b == b'\n').nth(line).unwrap_or_default()
    }
}

/// The fields that a header does not tell.
fn of_body(text: &[u8]) -> [(Part, Vec<u8>); 3] {
    let structure = Structure::of(text);
    let body = |is_extended| printed(|out| bodystructure::body(text, &structure, is_extended, Quoting::Ascii, out));
    [
        (Part::Body, body(false)),
        (Part::BodyStructure, body(true)),
        (Part::Preview, preview(text, &structure).into_bytes()),
    ]
}

fn length_of(field: &[u8]) -> u32 {
    u32::try_from(field.len()).unwrap_or(u32::MAX)
}

/// An `objectid` (RFC 8474 §7) that follows from these bytes.
fn object_id(kind: char, of: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(of);
    let digits: String = digest.iter().take(15).map(|b| format!("{b:02x}")).collect();
    format!("{kind}{digits}")
}

fn printed(print: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    print(&mut out);
    out
}

/// Lines without line ends of their own.
fn lines<const N: usize>(texts: [String; N]) -> Vec<u8> {
    texts.map(|text| text.replace(['\n', '\r'], " ")).join("\n").into_bytes()
}

fn folded(raw: &[u8]) -> String {
    fold_for_search(&String::from_utf8_lossy(raw))
}

/// The display name, or else the address (RFC 5957 §3).
fn display_key(first: &Listed) -> String {
    let name = match first {
        Listed::Mailbox(mailbox) => mailbox.name.as_deref(),
        Listed::GroupStart(name) => Some(name.as_slice()),
        Listed::GroupEnd => None,
    };
    match (name.map(decode_text).filter(|name| !name.trim().is_empty()), first) {
        (Some(name), _) => fold_for_search(name.trim()),
        (None, Listed::Mailbox(mailbox)) => fold_for_search(&address(&mailbox.local, &mailbox.domain)),
        _ => String::new(),
    }
}

fn address(local: &[u8], domain: &[u8]) -> String {
    let at = if domain.is_empty() { "" } else { "@" };
    format!("{}{at}{}", String::from_utf8_lossy(local), String::from_utf8_lossy(domain))
}

/// The bodies of all fields of this name, decoded. Behind them stand the addresses, where comments and blanks may cut them in the field:
/// a search looks for what ENVELOPE shows (RFC 9051 §6.4.4).
fn field_text(header: &[u8], name: &str, list: &[Listed]) -> String {
    let mut text = String::new();
    let mut is_cut = false;
    for field in all_fields(header).filter(|field| field.is(name)) {
        if !text.is_empty() {
            text.push('\n');
        }
        is_cut |= [&b"("[..], b" @", b"@ "].iter().any(|mark| memchr::memmem::find(field.body(), mark).is_some());
        text.push_str(decode_text(field.body()).trim());
    }
    for listed in list.iter().filter(|_| is_cut) {
        if let Listed::Mailbox(mailbox) = listed {
            text.push('\n');
            text.push_str(&address(&mailbox.local, &mailbox.domain));
        }
    }
    text
}

/// The ancestors: References, or else the first identifier of In-Reply-To (RFC 5256 §3).
pub fn references(header: &[u8], envelope: &Envelope<'_>) -> Vec<Vec<u8>> {
    let field = all_fields(header).find(|field| field.is("references"));
    let mut found = field.map(|field| identifiers(&field.unfolded())).unwrap_or_default();
    if found.is_empty() {
        found = envelope.in_reply_to.as_deref().map(identifiers).unwrap_or_default();
        found.truncate(1);
    }
    // The oldest stays: it names the thread.
    if let Some(surplus) = found.len().checked_sub(REFERENCES_LIMIT) {
        found.drain(1..=surplus);
    }
    found
}

/// `msg-id`s of a text, without brackets and in normal form: quotes that need not be are gone.
pub fn identifiers(text: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = memchr::memchr(b'<', rest) {
        rest = &rest[start + 1..];
        let Some(end) = memchr::memchr(b'>', rest) else { break };
        let id: Vec<u8> = rest[..end].iter().copied().filter(|b| !b"\"\\ \t\r\n".contains(b)).collect();
        rest = &rest[end + 1..];
        if !id.is_empty() && id.len() <= ID_LIMIT && memchr::memchr(b'<', &id).is_none() {
            found.push(id);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"Date: Thu, 1 Jan 1970 01:00:10 +0100\nFrom: =?utf-8?q?J=C3=BCrgen?= <J.Doe@example.org>\n\
        To: <b@example.org>, c@example.org\nSubject: Re: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nMessage-ID: <\"q\"@x>\n\
        References: <a@x> <b@x>\n\t<c@x>\nIn-Reply-To: <z@x>\n\nHello\n\nWorld\n";

    #[test]
    fn a_record_says_what_the_message_says() {
        let record = Digest::of(TEXT);
        let digest = Digest::read(&record).unwrap();
        let text = |part: Part| String::from_utf8_lossy(digest.part(part)).into_owned();
        assert_eq!((digest.sent(), digest.is_reply()), (Some(10), true));
        assert_eq!(digest.sent_day(), Some(Day { year: 1970, month: 1, day: 1 }));
        assert_eq!(text(Part::Subject), "re: grüsse");
        assert_eq!(text(Part::BaseSubject), "grüsse");
        assert_eq!(text(Part::From), "jürgen <j.doe@example.org>");
        assert_eq!(digest.key(Part::SortKeys, 0), b"j.doe");
        assert_eq!((digest.key(Part::SortKeys, 1), digest.key(Part::SortKeys, 2)), (&b"b"[..], &b""[..]));
        assert_eq!(digest.key(Part::DisplayKeys, 0), "jürgen".as_bytes());
        assert_eq!(digest.key(Part::DisplayKeys, 1), b"b@example.org");
        assert_eq!(text(Part::MessageId), "q@x");
        assert_eq!(digest.references().collect::<Vec<_>>(), [b"a@x", b"b@x", b"c@x"]);
        assert_eq!(text(Part::Preview), "Hello World");
        assert!(text(Part::Envelope).starts_with("(\"Thu, 1 Jan 1970 01:00:10 +0100\" "));
        assert!(text(Part::BodyStructure).len() > text(Part::Body).len());
        assert_eq!(text(Part::EmailId), "");
        let record = Digest::identified(&record, TEXT);
        let text = |part: Part| String::from_utf8_lossy(Digest::read(&record).unwrap().part(part)).into_owned();
        assert_eq!((text(Part::EmailId).len(), &text(Part::EmailId)[..1]), (31, "M"));
        assert_eq!(
            (text(Part::Preview), Digest::identified(&record, TEXT)),
            ("Hello World".to_string(), record.clone())
        );
    }

    #[test]
    fn a_record_of_a_header_says_the_same_as_far_as_it_goes() {
        let header = &TEXT[..header_end(TEXT).unwrap()];
        let (record, whole) = (Digest::of_header(header), Digest::of(TEXT));
        assert_eq!(record, Digest::of_header(TEXT));
        let (short, long) = (Digest::read(&record).unwrap(), Digest::read(&whole).unwrap());
        assert_eq!((short.is_whole(), long.is_whole()), (false, true));
        assert_eq!((short.sent(), short.is_reply(), short.thread_id()), (long.sent(), true, long.thread_id()));
        let of_body = [Part::Body, Part::BodyStructure, Part::Preview];
        for part in [
            Part::Envelope,
            Part::Subject,
            Part::BaseSubject,
            Part::From,
            Part::To,
            Part::SortKeys,
            Part::DisplayKeys,
            Part::MessageId,
            Part::References,
        ] {
            assert!(!long.part(part).is_empty() && short.part(part) == long.part(part), "{part:?}");
        }
        assert!(of_body.iter().all(|part| short.part(*part).is_empty() && !long.part(*part).is_empty()));
        assert_eq!(Digest::completed(&record, TEXT), whole);
        let (identified, completed) = (Digest::identified(&record, TEXT), Digest::identified(&whole, TEXT));
        assert_eq!(Digest::completed(&identified, TEXT), completed);
        // What is no header's record is of no use.
        for other in [&whole[..], b"?", b""] {
            assert_eq!(Digest::completed(other, TEXT), whole);
        }
    }

    #[test]
    fn a_record_that_is_right_needs_no_other() {
        let (header, whole) = (Digest::of_header(TEXT), Digest::of(TEXT));
        for record in [&header, &whole] {
            assert_eq!(Digest::corrected(Some(record), TEXT), None);
            assert_eq!(Digest::corrected(Some(&Digest::identified(record, TEXT)), TEXT), None);
            // Of another text.
            let other = [b"X: y\n", TEXT, b"more\n"].concat();
            let corrected = Digest::corrected(Some(&Digest::identified(record, &other)), TEXT);
            assert_eq!(corrected, Some(Digest::identified(record, TEXT)));
        }
        for damaged in [None, Some(&b"?"[..]), Some(&whole[1..])] {
            assert_eq!(Digest::corrected(damaged, TEXT).as_ref(), Some(&whole));
        }
    }

    #[test]
    fn a_thread_has_the_name_of_its_oldest_message() {
        let thread =
            |header: &str| Digest::read(&Digest::of(format!("{header}\n\nx\n").as_bytes())).unwrap().thread_id();
        let root = thread("Message-ID: <a@x>");
        assert!(root.as_ref().is_some_and(|id| id.len() == 31 && id.starts_with('T')), "{root:?}");
        assert_eq!(thread("Message-ID: <b@x>\nIn-Reply-To: <a@x>"), root);
        assert_eq!(thread("Message-ID: <c@x>\nReferences: <\"a\"@x> <b@x>\nIn-Reply-To: <b@x>"), root);
        // However long it gets.
        let long: String = (0..1000).map(|n| format!(" <{n}@x>")).collect();
        assert_eq!(thread(&format!("Message-ID: <d@x>\nReferences: <a@x>{long}")), root);
        assert_ne!(thread("Message-ID: <b@x>"), root);
        assert_eq!((thread("Subject: a@x"), thread("Message-ID: <>")), (None, None));
    }

    #[test]
    fn addresses_are_found_and_sorted_as_the_envelope_shows_them() {
        let record = Digest::of(b"From: <Ann (x)@ (y) side.test>\nTo: =?utf-8?q?Gr=C3=BC=C3=9Fe?=: b@x;\nCc: c @x\n\n");
        let digest = Digest::read(&record).unwrap();
        let has = |part: Part, text: &str| memchr::memmem::find(digest.part(part), text.as_bytes()).is_some();
        assert!(has(Part::From, "ann@side.test") && has(Part::From, "(y)") && has(Part::Cc, "c@x"));
        assert_eq!(digest.key(Part::DisplayKeys, 1), "grüsse".as_bytes());
        let record = Digest::of(b"Cc: team: b@x;\n\n");
        assert_eq!(Digest::read(&record).unwrap().key(Part::SortKeys, 2), b"team");
    }

    #[test]
    fn in_reply_to_stands_in_for_references() {
        let record = Digest::of(b"In-Reply-To: your letter <a@x> of <b@x>\n\n");
        let digest = Digest::read(&record).unwrap();
        assert_eq!(digest.references().collect::<Vec<_>>(), [b"a@x"]);
        assert_eq!((digest.sent(), digest.sent_day(), digest.is_reply()), (None, None, false));
    }

    #[test]
    fn what_is_no_record_is_not_read() {
        let record = Digest::of(TEXT);
        for end in 0..record.len() {
            assert!(Digest::read(&record[..end]).is_none(), "{end}");
        }
        let mut other = record.clone();
        other[0] = HEADER_VERSION + 1;
        assert!(Digest::read(&other).is_none());
        other = record;
        other[HEAD] ^= 1;
        assert!(Digest::read(&other).is_none());
    }
}
