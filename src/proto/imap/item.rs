//! What FETCH and STATUS ask for.

use std::fmt;

/// One item of FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// ENVELOPE.
    Envelope,
    /// FLAGS.
    Flags,
    /// INTERNALDATE.
    InternalDate,
    /// RFC822.SIZE.
    Size,
    /// BODY: the structure without extension data.
    Body,
    /// BODYSTRUCTURE.
    BodyStructure,
    /// UID.
    Uid,
    /// MODSEQ (RFC 7162).
    ModSeq,
    /// EMAILID (RFC 8474).
    EmailId,
    /// THREADID (RFC 8474).
    ThreadId,
    /// SAVEDATE (RFC 8514).
    SaveDate,
    /// PREVIEW; true for LAZY (RFC 8970).
    Preview(bool),
    /// RFC822 (RFC 3501 §6.4.5): BODY[] under another name.
    Rfc822,
    /// RFC822.HEADER: BODY.PEEK[HEADER] under another name.
    Rfc822Header,
    /// RFC822.TEXT: BODY[TEXT] under another name.
    Rfc822Text,
    /// BODY[…] and BODY.PEEK[…].
    Section {
        /// Which part.
        section: Section,
        /// First octet and number of octets.
        partial: Option<(u64, u64)>,
        /// `\Seen` is not set.
        is_peek: bool,
    },
    /// BINARY[…] and BINARY.PEEK[…]: a part with its transfer encoding removed (RFC 9051 §6.4.5, RFC 3516).
    Binary {
        /// Which part; the whole message when empty.
        part: Vec<u32>,
        /// First octet and number of octets.
        partial: Option<(u64, u64)>,
        /// `\Seen` is not set.
        is_peek: bool,
    },
    /// BINARY.SIZE[…].
    BinarySize(Vec<u32>),
}

impl FetchItem {
    /// True when fetching it sets `\Seen` (RFC 9051 §6.4.5).
    pub fn sets_seen(&self) -> bool {
        match self {
            FetchItem::Rfc822 | FetchItem::Rfc822Text => true,
            FetchItem::Section { is_peek, .. } | FetchItem::Binary { is_peek, .. } => !is_peek,
            _ => false,
        }
    }

    /// True when it is mostly text of the message, and so has no bound.
    pub fn is_text(&self) -> bool {
        match self {
            FetchItem::Rfc822 | FetchItem::Rfc822Text | FetchItem::Binary { .. } => true,
            FetchItem::Section { section, .. } => matches!(section.text, None | Some(SectionText::Text)),
            _ => false,
        }
    }
}

/// As a client writes it.
impl fmt::Display for FetchItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |partial: &Option<(u64, u64)>| match partial {
            Some((from, count)) => format!("<{from}.{count}>"),
            None => String::new(),
        };
        let peek = |is_peek: &bool| if *is_peek { ".PEEK" } else { "" };
        match self {
            FetchItem::Section { section, partial, is_peek } => {
                write!(f, "BODY{}[{section}]{}", peek(is_peek), range(partial))
            }
            FetchItem::Binary { part, partial, is_peek } => {
                write!(f, "BINARY{}[{}]{}", peek(is_peek), Dotted(part), range(partial))
            }
            FetchItem::BinarySize(part) => write!(f, "BINARY.SIZE[{}]", Dotted(part)),
            FetchItem::Preview(true) => f.write_str("PREVIEW (LAZY)"),
            FetchItem::Envelope => f.write_str("ENVELOPE"),
            FetchItem::Flags => f.write_str("FLAGS"),
            FetchItem::InternalDate => f.write_str("INTERNALDATE"),
            FetchItem::Size => f.write_str("RFC822.SIZE"),
            FetchItem::Body => f.write_str("BODY"),
            FetchItem::BodyStructure => f.write_str("BODYSTRUCTURE"),
            FetchItem::Uid => f.write_str("UID"),
            FetchItem::ModSeq => f.write_str("MODSEQ"),
            FetchItem::EmailId => f.write_str("EMAILID"),
            FetchItem::ThreadId => f.write_str("THREADID"),
            FetchItem::SaveDate => f.write_str("SAVEDATE"),
            FetchItem::Preview(false) => f.write_str("PREVIEW"),
            FetchItem::Rfc822 => f.write_str("RFC822"),
            FetchItem::Rfc822Header => f.write_str("RFC822.HEADER"),
            FetchItem::Rfc822Text => f.write_str("RFC822.TEXT"),
        }
    }
}

/// `section-spec` (RFC 9051 §9).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// The path to a part; the message itself when empty.
    pub part: Vec<u32>,
    /// What of it; all when `None`.
    pub text: Option<SectionText>,
}

/// `section-text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// HEADER.
    Header,
    /// HEADER.FIELDS: names as the client wrote them, printable ASCII without colon or space; true for HEADER.FIELDS.NOT.
    HeaderFields(Vec<String>, bool),
    /// TEXT.
    Text,
    /// MIME: a part's own header fields.
    Mime,
}

/// As it stands between the brackets, in commands and responses alike.
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Dotted(&self.part).fmt(f)?;
        let Some(text) = &self.text else { return Ok(()) };
        if !self.part.is_empty() {
            f.write_str(".")?;
        }
        match text {
            SectionText::Header => f.write_str("HEADER"),
            SectionText::Text => f.write_str("TEXT"),
            SectionText::Mime => f.write_str("MIME"),
            SectionText::HeaderFields(names, is_not) => {
                f.write_str(if *is_not { "HEADER.FIELDS.NOT (" } else { "HEADER.FIELDS (" })?;
                for (index, name) in names.iter().enumerate() {
                    let space = if index > 0 { " " } else { "" };
                    // What is no atom goes into quotes; the names hold neither controls nor 8-bit octets.
                    let is_atom = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
                    match is_atom && !name.is_empty() {
                        true => write!(f, "{space}{name}")?,
                        false => write!(f, "{space}\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))?,
                    }
                }
                f.write_str(")")
            }
        }
    }
}

/// `section-part`: `1.2.3`.
pub(super) struct Dotted<'a>(pub(super) &'a [u32]);

impl fmt::Display for Dotted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, number) in self.0.iter().enumerate() {
            let dot = if index > 0 { "." } else { "" };
            write!(f, "{dot}{number}")?;
        }
        Ok(())
    }
}

/// One item of STATUS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusItem {
    /// MESSAGES.
    Messages,
    /// RECENT (RFC 3501 §6.3.10).
    Recent,
    /// UIDNEXT.
    UidNext,
    /// UIDVALIDITY.
    UidValidity,
    /// UNSEEN.
    Unseen,
    /// DELETED.
    Deleted,
    /// SIZE (RFC 8438).
    Size,
    /// HIGHESTMODSEQ (RFC 7162).
    HighestModSeq,
    /// MAILBOXID (RFC 8474).
    MailboxId,
    /// APPENDLIMIT (RFC 7889).
    AppendLimit,
    /// DELETED-STORAGE (RFC 9208 §5).
    DeletedStorage,
}

impl StatusItem {
    /// All of them.
    pub const ALL: [StatusItem; 11] = [
        StatusItem::Messages,
        StatusItem::Recent,
        StatusItem::UidNext,
        StatusItem::UidValidity,
        StatusItem::Unseen,
        StatusItem::Deleted,
        StatusItem::Size,
        StatusItem::HighestModSeq,
        StatusItem::MailboxId,
        StatusItem::AppendLimit,
        StatusItem::DeletedStorage,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            StatusItem::Messages => "MESSAGES",
            StatusItem::Recent => "RECENT",
            StatusItem::UidNext => "UIDNEXT",
            StatusItem::UidValidity => "UIDVALIDITY",
            StatusItem::Unseen => "UNSEEN",
            StatusItem::Deleted => "DELETED",
            StatusItem::Size => "SIZE",
            StatusItem::HighestModSeq => "HIGHESTMODSEQ",
            StatusItem::MailboxId => "MAILBOXID",
            StatusItem::AppendLimit => "APPENDLIMIT",
            StatusItem::DeletedStorage => "DELETED-STORAGE",
        }
    }

    /// The capability that brings it; empty when every server has it.
    pub(super) fn needs(self) -> &'static str {
        match self {
            StatusItem::Recent => "IMAP4rev1",
            StatusItem::Size => "STATUS=SIZE",
            StatusItem::HighestModSeq => "CONDSTORE",
            StatusItem::MailboxId => "OBJECTID",
            StatusItem::AppendLimit => "APPENDLIMIT",
            StatusItem::DeletedStorage => "QUOTA",
            _ => "",
        }
    }
}
