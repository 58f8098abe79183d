//! Flags: the system's five and a mailbox's own keywords.

use std::sync::Arc;

/// Most keywords of one mailbox: each is one bit of a message.
pub const KEYWORDS_LIMIT: usize = 64;
/// Longest keyword, in octets.
const KEYWORD_LENGTH: usize = 255;

/// The system flags that are kept (RFC 9051 §2.3.2). `\Recent` is no flag of a message but of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum System {
    /// `\Answered`; `R` in a Maildir name.
    Answered = 1,
    /// `\Flagged`; `F`.
    Flagged = 2,
    /// `\Deleted`; `T`.
    Deleted = 4,
    /// `\Seen`; `S`.
    Seen = 8,
    /// `\Draft`; `D`.
    Draft = 16,
}

impl System {
    /// All of them, in the order of their IMAP names.
    pub const ALL: [System; 5] = [System::Answered, System::Flagged, System::Deleted, System::Seen, System::Draft];

    /// `\Seen`.
    pub fn name(self) -> &'static str {
        match self {
            System::Answered => "\\Answered",
            System::Flagged => "\\Flagged",
            System::Deleted => "\\Deleted",
            System::Seen => "\\Seen",
            System::Draft => "\\Draft",
        }
    }

    /// Its letter in a Maildir name.
    pub fn letter(self) -> char {
        match self {
            System::Answered => 'R',
            System::Flagged => 'F',
            System::Deleted => 'T',
            System::Seen => 'S',
            System::Draft => 'D',
        }
    }

    /// Reads a name in any case.
    pub fn parse(name: &str) -> Option<System> {
        System::ALL.into_iter().find(|flag| flag.name().eq_ignore_ascii_case(name))
    }

    /// Reads a letter of a Maildir name.
    pub fn from_letter(letter: char) -> Option<System> {
        System::ALL.into_iter().find(|flag| flag.letter() == letter)
    }
}

/// A message's flags: system flags, and one bit for each of its mailbox's [`Keywords`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags {
    /// Bits of [`System`].
    pub system: u8,
    /// Bit n is the n-th keyword of the mailbox.
    pub keywords: u64,
}

impl Flags {
    /// No flags.
    pub const NONE: Flags = Flags { system: 0, keywords: 0 };

    /// All flags that there may be, as a mask.
    pub const ALL: Flags = Flags { system: 31, keywords: u64::MAX };

    /// True when the system flag is set.
    pub fn has(self, flag: System) -> bool {
        self.system & flag as u8 != 0
    }

    /// With a system flag.
    pub fn with(mut self, flag: System) -> Flags {
        self.system |= flag as u8;
        self
    }

    /// All of both.
    pub fn union(self, other: Flags) -> Flags {
        Flags { system: self.system | other.system, keywords: self.keywords | other.keywords }
    }

    /// Without those of the other.
    pub fn minus(self, other: Flags) -> Flags {
        Flags { system: self.system & !other.system, keywords: self.keywords & !other.keywords }
    }

    /// Those that are in both.
    pub fn within(self, mask: Flags) -> Flags {
        Flags { system: self.system & mask.system, keywords: self.keywords & mask.keywords }
    }

    /// True when all flags of the other are set.
    pub fn holds(self, other: Flags) -> bool {
        self.union(other) == self
    }
}

/// The keywords of a mailbox, in the order they were first used; a name keeps its place for good.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keywords(Arc<[Box<str>]>);

impl Keywords {
    /// These names, in this order; those beyond [`KEYWORDS_LIMIT`] are dropped.
    pub fn new(names: impl IntoIterator<Item = Box<str>>) -> Keywords {
        Keywords(names.into_iter().take(KEYWORDS_LIMIT).collect())
    }

    /// The names.
    pub fn names(&self) -> &[Box<str>] {
        &self.0
    }

    /// The place of a keyword, in any case (RFC 9051 §2.3.2).
    pub fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| known.eq_ignore_ascii_case(name))
    }

    /// With one more name at the end; `None` when there is no room or it is no keyword.
    pub fn with(&self, name: &str) -> Option<Keywords> {
        if self.0.len() >= KEYWORDS_LIMIT || !is_keyword(name) {
            return None;
        }
        Some(Keywords(self.0.iter().cloned().chain([Box::from(name)]).collect()))
    }

    /// The names of a message's flags, system flags first.
    pub fn print(&self, flags: Flags) -> impl Iterator<Item = &str> {
        let system = System::ALL.into_iter().filter(move |flag| flags.has(*flag)).map(|flag| -> &str { flag.name() });
        let own = self.0.iter().enumerate().filter(move |(bit, _)| flags.keywords >> bit & 1 == 1);
        system.chain(own.map(|(_, name)| &**name))
    }
}

/// True for `flag-keyword` (RFC 9051 §9): an atom of bounded length.
pub fn is_keyword(name: &str) -> bool {
    let is_atom_char = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
    !name.is_empty() && name.len() <= KEYWORD_LENGTH && name.bytes().all(is_atom_char)
}
