//! Fields of a message's header before rule sets: `HSubject: $>CheckSubject`, `H*: $>+CheckAny`.
//!
//! Called by `route` while a message comes in, and by the test mode. A field is checked by the set of its own H line, else by that of
//! `H*`; with `$>` its comments vanish first, with `$>+` they stay. The set finds the field's name in `${hdr_name}`, its whole text, as
//! one token, in `${currHeader}` and its length in `${hdrlen}`.
//! Trust: fields are hostile. What has too many or too long tokens is not checked, as with sendmail.

use super::address::Verdict;
use super::meta;
use super::read::{Header, Rules};
use super::run::Run;
use super::scan::Style;

/// Octets of `${currHeader}`, with its quotes.
const SHOWN: usize = 254;

/// The fields that name who sends; their rule sets are told so.
const SENDERS: [&str; 8] = [
    "resent-sender",
    "resent-from",
    "resent-reply-to",
    "sender",
    "from",
    "reply-to",
    "errors-to",
    "disposition-notification-to",
];
/// The fields that name who receives.
const RECIPIENTS: [&str; 7] = ["to", "resent-to", "cc", "resent-cc", "bcc", "resent-bcc", "apparently-to"];

/// Which set checks a field, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldCheck {
    /// The set's number.
    pub set: usize,
    /// Comments stay (`$>+`).
    pub keeps_comments: bool,
    /// It is the field's own, and not that of `H*`.
    pub is_own: bool,
}

impl Header {
    /// The name of the set behind `$>`, and whether comments stay; `None` for a line that makes a field.
    pub fn check(&self) -> Option<(&[u8], bool)> {
        let rest = self.value.strip_prefix(&[meta::MACRO, b'>'])?;
        let (rest, keeps_comments) = match rest.strip_prefix(b"+") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let rest = rest.trim_ascii_start();
        let end = rest.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(rest.len());
        Some((&rest[..end], keeps_comments))
    }
}

impl Rules {
    /// True when fields are checked at all.
    pub fn checks_fields(&self) -> bool {
        self.headers.iter().any(|line| line.check().is_some())
    }

    /// What checks a field of this name. The last line counts.
    pub fn field_check(&self, name: &str) -> Option<FieldCheck> {
        let found = |wanted: &str| {
            let lines = self.headers.iter().rev().filter(|line| line.name.eq_ignore_ascii_case(wanted));
            let (set, keeps_comments) = lines.filter_map(Header::check).next()?;
            let set = self.find_set(set).filter(|set| !self.set(*set).is_empty())?;
            Some(FieldCheck { set, keeps_comments, is_own: wanted != ANY })
        };
        found(name).or_else(|| found(ANY))
    }
}

/// The name in an H line that stands for all fields without a line of their own.
const ANY: &str = "*";

impl Run<'_> {
    /// Lets the file's rule sets check a field. `body` is what stands behind its colon, without the last line end; `None` when no set does.
    pub fn check_field(&mut self, name: &str, body: &[u8]) -> Option<Verdict> {
        let check = self.rules.field_check(name).filter(|_| !ends_header(name))?;
        let is_in = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        let kind = match (is_in(&SENDERS), is_in(&RECIPIENTS)) {
            (true, _) => "h s",
            (_, true) => "h r",
            _ => "h",
        };
        self.message.set(b"{addr_type}", kind.into());
        self.message.set(b"{hdr_name}", name.into());
        self.message.set(b"{hdrlen}", body.len().to_string().into_bytes());
        self.message.set(b"{currHeader}", quoted(body));
        let style = if check.keeps_comments { Style::Typed } else { Style::Mail };
        // What is unbalanced in a text is no news.
        let found = self.rules.alphabet().scan(body, 0, style).ok()?;
        Some(self.judged(check.set, found.tokens))
    }
}

/// To sendmail the header ends with these.
fn ends_header(name: &str) -> bool {
    ["message", "text"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// A text in quotes, as far as there is room: one token whatever it holds.
fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in text {
        if out.len() >= SHOWN - 1 {
            break;
        }
        match byte {
            b'\t' | b'\n' | 0x0b | 0x0c | b'\r' => out.push(b' '),
            b'"' => out.extend(b"\\\""),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
    out
}

/// What the test mode shows of a field: sendmail's bits for its kind.
pub(super) fn bits(name: &str, check: Option<FieldCheck>) -> u32 {
    const KINDS: &[(&str, u32)] = &[
        ("resent-sender", 0x108),
        ("resent-from", 0x108),
        ("resent-reply-to", 0x108),
        ("sender", 0x100),
        ("from", 0x100),
        ("reply-to", 0x100),
        ("errors-to", 0x900),
        ("full-name", 0x20),
        ("return-receipt-to", 0x400),
        ("delivery-receipt-to", 0x400),
        ("disposition-notification-to", 0x100),
        ("to", 0x2),
        ("resent-to", 0xa),
        ("cc", 0x2),
        ("resent-cc", 0xa),
        ("bcc", 0x4002),
        ("resent-bcc", 0x400a),
        ("apparently-to", 0x2),
        ("resent-message-id", 0x8),
        ("resent-date", 0x8),
        ("received", 0xc0),
        ("x400-received", 0xc0),
        ("via", 0xc0),
        ("mail-from", 0xc0),
        ("comments", 0x8040),
        ("return-path", 0x20060),
        ("content-transfer-encoding", 0x1000),
        ("content-type", 0x2000),
        ("content-length", 0x20),
        ("subject", 0x8000),
        ("x-authentication-warning", 0x40),
    ];
    if ends_header(name) {
        return 1;
    }
    const USER: u32 = 0x40000;
    const STRIPS_COMMENTS: u32 = 0x10000;
    let kind = KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or(0, |(_, bits)| *bits);
    let strips = check.is_some_and(|check| check.is_own && !check.keeps_comments);
    USER | kind | if strips { STRIPS_COMMENTS } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::address::Reply;
    use crate::rules::listing::NoFiles;
    use crate::rules::macros::Macros;
    use crate::rules::world::{Nowhere, Unwatched};

    const FILE: &str = "V10\nHSubject: $>Subject\nHX-Keep: $>+Keep\nH*: $>Any\nHTo: $>Missing\n\
        SSubject\nR$* bad $*\t$#error $@ 5.7.1 $: \"550 \" $&{hdr_name} $&{hdrlen}\nR$* drop $*\t$#discard\n\
        SKeep\nR$* ( $* ) $*\t$#error $: \"553 parentheses\"\n\
        SAny\nR$* bad $*\t$#error $@ quarantine $: $&{currHeader}\n";

    fn verdict(name: &str, body: &str) -> Option<Verdict> {
        let mut rules = Rules::new();
        rules.read(FILE.as_bytes(), "test.cf", &mut NoFiles);
        assert!(rules.checks_fields());
        let (mut message, mut world, mut watch) = (Macros::default(), Nowhere, Unwatched);
        Run::new(&rules, &mut message, &mut world, &mut watch).check_field(name, body.as_bytes())
    }

    #[test]
    fn a_field_is_checked_by_its_own_set_or_by_that_for_all() {
        let refused = |verdict: Option<Verdict>| match verdict {
            Some(Verdict::Refused(Reply { code, text, .. })) => (code, String::from_utf8(text).unwrap()),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(verdict("subject", " so bad")), (550, "subject 7".to_string()));
        assert_eq!(verdict("Subject", " to drop it"), Some(Verdict::Discarded));
        // Comments vanish, unless they are to stay.
        assert!(matches!(verdict("Subject", " (bad)"), Some(Verdict::Passed(_))));
        assert_eq!(refused(verdict("X-Keep", " a (b) c")), (553, "parentheses".to_string()));
        let quarantined = verdict("X-Other", " a \"bad\" one,\n\tbad");
        assert_eq!(quarantined, Some(Verdict::Quarantined(b" a \"bad\" one,  bad".to_vec())));
        // A set that is not there lets the set for all decide.
        assert!(matches!(verdict("To", " bad"), Some(Verdict::Quarantined(_))));
        assert_eq!(verdict("X-Other", &"a ".repeat(5000)), None);
    }

    #[test]
    fn the_kinds_of_fields_are_sendmails() {
        let own = Some(FieldCheck { set: 9, keeps_comments: false, is_own: true });
        for (name, check, wanted) in [
            ("Subject", own, 0x58000),
            ("x-other", None, 0x40000),
            ("X-Own", own.map(|own| FieldCheck { keeps_comments: true, ..own }), 0x40000),
            ("From", own.map(|own| FieldCheck { is_own: false, ..own }), 0x40100),
            ("Text", own, 1),
        ] {
            assert_eq!(bits(name, check), wanted, "{name}");
        }
    }

    #[test]
    fn what_is_shown_has_its_bounds() {
        let shown = quoted(&[b'"'; 500]);
        assert!(shown.len() <= SHOWN + 1 && shown.ends_with(b"\""), "{}", shown.len());
    }
}
