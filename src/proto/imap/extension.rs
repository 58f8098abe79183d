//! What ENABLE switches on (RFC 5161, RFC 9051 §6.3.1).

/// An extension that changes what the server says, and so has to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Extension {
    /// MODSEQ in FETCH responses (RFC 7162 §3.1); also switched on by the commands that speak of it.
    Condstore = 1,
    /// VANISHED in place of EXPUNGE (RFC 7162 §3.2).
    Qresync = 2,
    /// UTF-8 in quoted strings and mailbox names (RFC 9755).
    Utf8Accept = 4,
    /// No RECENT, ESEARCH for SEARCH, UTF-8 names (RFC 9051).
    Imap4Rev2 = 8,
    /// No sequence numbers (RFC 9586).
    UidOnly = 16,
}

impl Extension {
    /// All of them.
    pub const ALL: [Extension; 5] =
        [Extension::Condstore, Extension::Qresync, Extension::Utf8Accept, Extension::Imap4Rev2, Extension::UidOnly];

    /// Its capability.
    pub fn name(self) -> &'static str {
        match self {
            Extension::Condstore => "CONDSTORE",
            Extension::Qresync => "QRESYNC",
            Extension::Utf8Accept => "UTF8=ACCEPT",
            Extension::Imap4Rev2 => "IMAP4rev2",
            Extension::UidOnly => "UIDONLY",
        }
    }

    /// Reads a capability in any case.
    pub fn parse(name: &str) -> Option<Extension> {
        Extension::ALL.into_iter().find(|extension| extension.name().eq_ignore_ascii_case(name))
    }
}

/// The extensions that a session has switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Enabled(u8);

impl Enabled {
    /// None.
    pub const NONE: Enabled = Enabled(0);

    /// With one more; QRESYNC brings CONDSTORE (RFC 7162 §3.2.3).
    pub fn with(self, extension: Extension) -> Enabled {
        let implied = if extension == Extension::Qresync { Extension::Condstore as u8 } else { 0 };
        Enabled(self.0 | extension as u8 | implied)
    }

    /// True when it is on.
    pub fn has(self, extension: Extension) -> bool {
        self.0 & extension as u8 != 0
    }

    /// True when mailbox names and texts are UTF-8 (RFC 9051 §5.1, RFC 9755).
    pub fn is_utf8(self) -> bool {
        self.has(Extension::Utf8Accept) || self.has(Extension::Imap4Rev2)
    }

    /// All of both.
    pub fn union(self, other: Enabled) -> Enabled {
        Enabled(self.0 | other.0)
    }

    /// Without those of the other.
    pub fn minus(self, other: Enabled) -> Enabled {
        Enabled(self.0 & !other.0)
    }

    /// True when none is on.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those on.
    pub fn iter(self) -> impl Iterator<Item = Extension> {
        Extension::ALL.into_iter().filter(move |extension| self.has(*extension))
    }
}
