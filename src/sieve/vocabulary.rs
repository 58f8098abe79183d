//! Every command and test of the language as a row: its name, the extension it comes from, what it takes.
//!
//! Called by `checker`. A new command is a row here, a [`Kind`], and an arm where the interpreter acts on that kind.

/// What a script may `require`. Nothing stands here that is not complete.
pub const EXTENSIONS: &[&str] = &[
    "body",
    "comparator-i;ascii-casemap",
    "comparator-i;ascii-numeric",
    "comparator-i;octet",
    "copy",
    "date",
    "duplicate",
    "editheader",
    "enclose",
    "encoded-character",
    "enotify",
    "envelope",
    "environment",
    "ereject",
    "extracttext",
    "fileinto",
    "foreverypart",
    "ihave",
    "imap4flags",
    "include",
    "index",
    "mailbox",
    "mailboxid",
    "mime",
    "regex",
    "reject",
    "relational",
    "spamtest",
    "spamtestplus",
    "special-use",
    "subaddress",
    "vacation",
    "vacation-seconds",
    "variables",
    "virustest",
];

/// Commands and tests by their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Require,
    If,
    Elsif,
    Else,
    Stop,
    Keep,
    Discard,
    Redirect,
    Fileinto,
    Reject,
    Ereject,
    Vacation,
    Set,
    SetFlag,
    AddFlag,
    RemoveFlag,
    Include,
    Return,
    Global,
    AddHeader,
    DeleteHeader,
    Error,
    Notify,
    ForEveryPart,
    Break,
    ExtractText,
    Enclose,
    Address,
    AllOf,
    AnyOf,
    Body,
    CurrentDate,
    Date,
    Duplicate,
    Envelope,
    Environment,
    Exists,
    False,
    HasFlag,
    Header,
    Ihave,
    MailboxExists,
    MailboxIdExists,
    Not,
    NotifyMethodCapability,
    Size,
    SpamTest,
    SpecialUseExists,
    StringTest,
    True,
    ValidNotifyMethod,
    VirusTest,
    /// What a script that asks first (`ihave`) uses without our having it: an error when it is reached.
    Unknown,
    /// A command or test of the conformance suite.
    #[cfg(test)]
    Suite,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// One string.
    Text,
    /// A string or a list of them.
    List,
    /// A number.
    Number,
}

/// How many tests belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tests {
    /// None.
    No,
    /// Exactly one.
    One,
    /// A list in parentheses.
    Many,
}

/// A tag.
#[derive(Debug)]
pub struct TagRow {
    /// Without its colon.
    pub name: &'static str,
    /// The extension it comes with; empty for the one of its command.
    pub needs: &'static str,
    /// The argument behind it.
    pub takes: Option<Takes>,
    /// Of one group there may be one; empty for a tag that has no rivals.
    pub group: &'static str,
}

/// A command or a test.
#[derive(Debug)]
pub struct Row {
    /// In lower case.
    pub name: &'static str,
    /// Its meaning.
    pub kind: Kind,
    /// True for a test.
    pub is_test: bool,
    /// The extensions one of which brings it; none for the base language.
    pub needs: &'static [&'static str],
    /// Its tags.
    pub tags: &'static [&'static [TagRow]],
    /// Its positional arguments, in order.
    pub takes: &'static [Takes],
    /// So many of them, at the front, may be left out.
    pub optional: usize,
    /// The last one may be left out.
    pub may_end_early: bool,
    /// Its tests.
    pub tests: Tests,
    /// True when a block follows instead of a semicolon.
    pub has_block: bool,
}

/// Groups of tags, by the name that an error gives them.
pub const MATCH_TYPE: &str = "match type";

const fn tag(name: &'static str, needs: &'static str, takes: Option<Takes>, group: &'static str) -> TagRow {
    TagRow { name, needs, takes, group }
}

const fn flag(name: &'static str) -> TagRow {
    tag(name, "", None, "")
}

const fn with(name: &'static str, takes: Takes) -> TagRow {
    tag(name, "", Some(takes), "")
}

use Takes::{List, Number, Text};

/// RFC 5228 §2.7, RFC 5231 §4.
const MATCH: &[TagRow] = &[
    tag("is", "", None, MATCH_TYPE),
    tag("contains", "", None, MATCH_TYPE),
    tag("matches", "", None, MATCH_TYPE),
    tag("regex", "regex", None, MATCH_TYPE),
    tag("count", "relational", Some(Text), MATCH_TYPE),
    tag("value", "relational", Some(Text), MATCH_TYPE),
    with("comparator", Text),
];
/// RFC 5228 §2.7.4, RFC 5233 §4.
const PART: &[TagRow] = &[
    tag("all", "", None, "address part"),
    tag("localpart", "", None, "address part"),
    tag("domain", "", None, "address part"),
    tag("user", "subaddress", None, "address part"),
    tag("detail", "subaddress", None, "address part"),
];
/// RFC 5260 §6.
const INDEX: &[TagRow] = &[tag("index", "index", Some(Number), ""), tag("last", "index", None, "")];
/// RFC 5703 §4.
const MIME: &[TagRow] = &[tag("mime", "mime", None, ""), tag("anychild", "mime", None, "")];
const MIME_PARTS: &[TagRow] = &[
    tag("type", "mime", None, "MIME option"),
    tag("subtype", "mime", None, "MIME option"),
    tag("contenttype", "mime", None, "MIME option"),
    tag("param", "mime", Some(List), "MIME option"),
];
/// RFC 3894 §3.
const COPY: &[TagRow] = &[tag("copy", "copy", None, "")];
const FLAGS: &[TagRow] = &[tag("flags", "imap4flags", Some(List), "")];
/// RFC 5490 §3.2, RFC 9042 §3, RFC 8579 §4.
const FOLDER: &[TagRow] = &[
    tag("create", "mailbox", None, ""),
    tag("mailboxid", "mailboxid", Some(Text), ""),
    tag("specialuse", "special-use", Some(Text), ""),
];
const SIZE: &[TagRow] = &[tag("over", "", Some(Number), "bound"), tag("under", "", Some(Number), "bound")];
const VACATION: &[TagRow] = &[
    tag("days", "", Some(Number), "interval"),
    tag("seconds", "vacation-seconds", Some(Number), "interval"),
    with("subject", Text),
    with("from", Text),
    with("addresses", List),
    flag("mime"),
    with("handle", Text),
];
/// RFC 5229 §4.1, RFC 5435 §6; `:quoteregex` is in the draft of regex.
const MODIFIERS: &[TagRow] = &[
    tag("lower", "variables", None, "modifier of case"),
    tag("upper", "variables", None, "modifier of case"),
    tag("lowerfirst", "variables", None, "modifier of the first letter"),
    tag("upperfirst", "variables", None, "modifier of the first letter"),
    tag("quotewildcard", "variables", None, "modifier that quotes"),
    tag("quoteregex", "regex", None, "modifier that quotes"),
    tag("encodeurl", "enotify", None, "modifier that encodes"),
    tag("length", "variables", None, ""),
];
const INCLUDE: &[TagRow] =
    &[tag("personal", "", None, "location"), tag("global", "", None, "location"), flag("optional"), flag("once")];
const ZONE: &[TagRow] = &[tag("zone", "", Some(Text), "zone"), tag("originalzone", "", None, "zone")];
const ONLY_ZONE: &[TagRow] = &[tag("zone", "", Some(Text), "zone")];
const BODY: &[TagRow] = &[
    tag("raw", "", None, "body transform"),
    tag("content", "", Some(List), "body transform"),
    tag("text", "", None, "body transform"),
];
const DUPLICATE: &[TagRow] = &[
    with("handle", Text),
    tag("header", "", Some(Text), "message identity"),
    tag("uniqueid", "", Some(Text), "message identity"),
    with("seconds", Number),
    flag("last"),
];
const NOTIFY: &[TagRow] = &[with("from", Text), with("importance", Text), with("options", List), with("message", Text)];
const NAME: &[TagRow] = &[with("name", Text)];
const EDIT_INDEX: &[TagRow] = &[tag("index", "", Some(Number), ""), flag("last")];
const ENCLOSE: &[TagRow] = &[with("subject", Text), with("headers", List)];

const COMMAND: Row = Row {
    name: "",
    kind: Kind::Stop,
    is_test: false,
    needs: &[],
    tags: &[],
    takes: &[],
    optional: 0,
    may_end_early: false,
    tests: Tests::No,
    has_block: false,
};
const TEST: Row = Row { is_test: true, ..COMMAND };

/// All of them.
pub const ROWS: &[Row] = &[
    Row { name: "require", kind: Kind::Require, takes: &[List], ..COMMAND },
    Row { name: "if", kind: Kind::If, tests: Tests::One, has_block: true, ..COMMAND },
    Row { name: "elsif", kind: Kind::Elsif, tests: Tests::One, has_block: true, ..COMMAND },
    Row { name: "else", kind: Kind::Else, has_block: true, ..COMMAND },
    Row { name: "stop", kind: Kind::Stop, ..COMMAND },
    Row { name: "keep", kind: Kind::Keep, tags: &[FLAGS], ..COMMAND },
    Row { name: "discard", kind: Kind::Discard, ..COMMAND },
    Row { name: "redirect", kind: Kind::Redirect, tags: &[COPY], takes: &[Text], ..COMMAND },
    Row {
        name: "fileinto",
        kind: Kind::Fileinto,
        needs: &["fileinto"],
        tags: &[COPY, FLAGS, FOLDER],
        takes: &[Text],
        ..COMMAND
    },
    Row { name: "reject", kind: Kind::Reject, needs: &["reject"], takes: &[Text], ..COMMAND },
    Row { name: "ereject", kind: Kind::Ereject, needs: &["ereject"], takes: &[Text], ..COMMAND },
    Row {
        name: "vacation",
        kind: Kind::Vacation,
        needs: &["vacation", "vacation-seconds"],
        tags: &[VACATION],
        takes: &[Text],
        ..COMMAND
    },
    Row { name: "set", kind: Kind::Set, needs: &["variables"], tags: &[MODIFIERS], takes: &[Text, Text], ..COMMAND },
    Row { name: "setflag", kind: Kind::SetFlag, takes: &[Text, List], ..FLAG_COMMAND },
    Row { name: "addflag", kind: Kind::AddFlag, takes: &[Text, List], ..FLAG_COMMAND },
    Row { name: "removeflag", kind: Kind::RemoveFlag, takes: &[Text, List], ..FLAG_COMMAND },
    Row { name: "include", kind: Kind::Include, needs: &["include"], tags: &[INCLUDE], takes: &[Text], ..COMMAND },
    Row { name: "return", kind: Kind::Return, needs: &["include"], ..COMMAND },
    Row { name: "global", kind: Kind::Global, needs: &["include"], takes: &[List], ..COMMAND },
    Row {
        name: "addheader",
        kind: Kind::AddHeader,
        needs: &["editheader"],
        tags: &[&[flag("last")]],
        takes: &[Text, Text],
        ..COMMAND
    },
    Row {
        name: "deleteheader",
        kind: Kind::DeleteHeader,
        needs: &["editheader"],
        tags: &[EDIT_INDEX, MATCH],
        takes: &[Text, List],
        may_end_early: true,
        ..COMMAND
    },
    Row { name: "error", kind: Kind::Error, needs: &["ihave"], takes: &[Text], ..COMMAND },
    Row { name: "notify", kind: Kind::Notify, needs: &["enotify"], tags: &[NOTIFY], takes: &[Text], ..COMMAND },
    Row {
        name: "foreverypart",
        kind: Kind::ForEveryPart,
        needs: &["foreverypart"],
        tags: &[NAME],
        has_block: true,
        ..COMMAND
    },
    Row { name: "break", kind: Kind::Break, needs: &["foreverypart"], tags: &[NAME], ..COMMAND },
    Row {
        name: "extracttext",
        kind: Kind::ExtractText,
        needs: &["extracttext"],
        tags: &[MODIFIERS, &[with("first", Number)]],
        takes: &[Text],
        ..COMMAND
    },
    Row { name: "enclose", kind: Kind::Enclose, needs: &["enclose"], tags: &[ENCLOSE], takes: &[Text], ..COMMAND },
    // Tests
    Row { name: "address", kind: Kind::Address, tags: &[MATCH, PART, INDEX, MIME], takes: &[List, List], ..TEST },
    Row { name: "allof", kind: Kind::AllOf, tests: Tests::Many, ..TEST },
    Row { name: "anyof", kind: Kind::AnyOf, tests: Tests::Many, ..TEST },
    Row { name: "body", kind: Kind::Body, needs: &["body"], tags: &[MATCH, BODY], takes: &[List], ..TEST },
    Row {
        name: "currentdate",
        kind: Kind::CurrentDate,
        needs: &["date"],
        tags: &[MATCH, ONLY_ZONE],
        takes: &[Text, List],
        ..TEST
    },
    Row {
        name: "date",
        kind: Kind::Date,
        needs: &["date"],
        tags: &[MATCH, ZONE, INDEX],
        takes: &[Text, Text, List],
        ..TEST
    },
    Row { name: "duplicate", kind: Kind::Duplicate, needs: &["duplicate"], tags: &[DUPLICATE], ..TEST },
    Row {
        name: "envelope",
        kind: Kind::Envelope,
        needs: &["envelope"],
        tags: &[MATCH, PART],
        takes: &[List, List],
        ..TEST
    },
    Row {
        name: "environment",
        kind: Kind::Environment,
        needs: &["environment"],
        tags: &[MATCH],
        takes: &[Text, List],
        ..TEST
    },
    Row { name: "exists", kind: Kind::Exists, tags: &[MIME], takes: &[List], ..TEST },
    Row { name: "false", kind: Kind::False, ..TEST },
    Row {
        name: "hasflag",
        kind: Kind::HasFlag,
        needs: &["imap4flags"],
        tags: &[MATCH],
        takes: &[List, List],
        optional: 1,
        ..TEST
    },
    Row { name: "header", kind: Kind::Header, tags: &[MATCH, INDEX, MIME, MIME_PARTS], takes: &[List, List], ..TEST },
    Row { name: "ihave", kind: Kind::Ihave, needs: &["ihave"], takes: &[List], ..TEST },
    Row { name: "mailboxexists", kind: Kind::MailboxExists, needs: &["mailbox"], takes: &[List], ..TEST },
    Row { name: "mailboxidexists", kind: Kind::MailboxIdExists, needs: &["mailboxid"], takes: &[List], ..TEST },
    Row { name: "not", kind: Kind::Not, tests: Tests::One, ..TEST },
    Row {
        name: "notify_method_capability",
        kind: Kind::NotifyMethodCapability,
        needs: &["enotify"],
        tags: &[MATCH],
        takes: &[Text, Text, List],
        ..TEST
    },
    Row { name: "size", kind: Kind::Size, tags: &[SIZE], ..TEST },
    Row {
        name: "spamtest",
        kind: Kind::SpamTest,
        needs: &["spamtest", "spamtestplus"],
        tags: &[MATCH, &[tag("percent", "spamtestplus", None, "")]],
        takes: &[Text],
        ..TEST
    },
    Row {
        name: "specialuse_exists",
        kind: Kind::SpecialUseExists,
        needs: &["special-use"],
        takes: &[Text, List],
        optional: 1,
        ..TEST
    },
    Row { name: "string", kind: Kind::StringTest, needs: &["variables"], tags: &[MATCH], takes: &[List, List], ..TEST },
    Row { name: "true", kind: Kind::True, ..TEST },
    Row { name: "valid_notify_method", kind: Kind::ValidNotifyMethod, needs: &["enotify"], takes: &[List], ..TEST },
    Row { name: "virustest", kind: Kind::VirusTest, needs: &["virustest"], tags: &[MATCH], takes: &[Text], ..TEST },
];

const FLAG_COMMAND: Row = Row { needs: &["imap4flags"], optional: 1, ..COMMAND };

/// The row of a command or test.
pub fn row(name: &str, is_test: bool) -> Option<&'static Row> {
    #[cfg(test)]
    let rows = ROWS.iter().chain(super::tests::vocabulary::ROWS);
    #[cfg(not(test))]
    let rows = ROWS.iter();
    rows.into_iter().find(|row| row.name == name && row.is_test == is_test)
}

/// The extension of this name, when we have it.
pub fn extension(name: &str) -> Option<&'static str> {
    #[cfg(test)]
    if let Some(known) = super::tests::vocabulary::EXTENSIONS.iter().find(|known| **known == name) {
        return Some(known);
    }
    EXTENSIONS.iter().find(|known| **known == name).copied()
}
