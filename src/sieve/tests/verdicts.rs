//! What of the suite does not pass, and why; and what the suite sees of what `deliver` would send.

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::deliver::{letters, vacation};
use crate::sieve::{Envelope, Notify, Vacation};

/// File, test (`*` is every failing one, `` the file itself), reason.
pub const KNOWN: &[(&str, &str, &str)] = &[
    ("compile/errors.svtest", "Lexer errors (FIXME: count only)", "counts or words of another compiler's messages"),
    ("compile/errors.svtest", "Parser errors (FIXME: count only)", "counts or words of another compiler's messages"),
    ("compile/errors.svtest", "Header errors", "counts or words of another compiler's messages"),
    ("compile/errors.svtest", "Address errors", "counts or words of another compiler's messages"),
    ("compile/errors.svtest", "If errors (FIXME: count only)", "counts or words of another compiler's messages"),
    ("compile/errors.svtest", "Require errors (FIXME: count only)", "counts or words of another compiler's messages"),
    ("compile/errors.svtest", "Size errors (FIXME: count only)", "counts or words of another compiler's messages"),
    ("compile/errors.svtest", "Envelope errors (FIXME: count only)", "counts or words of another compiler's messages"),
    ("compile/errors.svtest", "Stop errors (FIXME: count only)", "counts or words of another compiler's messages"),
    ("compile/errors.svtest", "Keep errors (FIXME: count only)", "counts or words of another compiler's messages"),
    ("compile/errors.svtest", "Fileinto errors (FIXME: count only)", "counts or words of another compiler's messages"),
    (
        "compile/errors.svtest",
        "COMPARATOR errors (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    (
        "compile/errors.svtest",
        "ADDRESS-PART errors (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    (
        "compile/errors.svtest",
        "MATCH-TYPE errors (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    (
        "compile/errors.svtest",
        "Encoded-character errors (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    (
        "compile/errors.svtest",
        "Outgoing address errors (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    (
        "compile/errors.svtest",
        "Tagged argument errors (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    ("compile/errors.svtest", "Typos", "counts or words of another compiler's messages"),
    (
        "compile/errors.svtest",
        "Unsupported language features (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    ("execute/errors.svtest", "Fileinto invalid folder name", "names of folders are checked by the store"),
    (
        "execute/errors.svtest",
        "Fileinto bad UTF-8 in folder name",
        "a string that is no UTF-8 is an error of the script",
    ),
    ("execute/examples.svtest", "Elvey example", "the scripts are not in the corpus"),
    ("execute/examples.svtest", "M. Johnson example", "the scripts are not in the corpus"),
    ("execute/examples.svtest", "RFC\x203028 example", "the scripts are not in the corpus"),
    ("execute/examples.svtest", "Sieve examples", "the scripts are not in the corpus"),
    ("execute/examples.svtest", "Vivil example", "the scripts are not in the corpus"),
    ("execute/examples.svtest", "Jerry example", "the scripts are not in the corpus"),
    ("execute/examples.svtest", "M. Klose example", "the scripts are not in the corpus"),
    ("execute/examples.svtest", "Sanjay example", "the scripts are not in the corpus"),
    ("execute/examples.svtest", "Relational (RFC5231) example", "the scripts are not in the corpus"),
    ("execute/examples.svtest", "Subaddress (RFC5233) example", "the scripts are not in the corpus"),
    ("execute/smtp.svtest", "Redirect from [recipient]", "the sender of redirects is not a setting: SRS is"),
    ("execute/smtp.svtest", "Redirect from [original recipient]", "the sender of redirects is not a setting: SRS is"),
    ("execute/smtp.svtest", "Redirect from [<explicit>]", "the sender of redirects is not a setting: SRS is"),
    ("execute/smtp.svtest", "Redirect from [<>]", "the sender of redirects is not a setting: SRS is"),
    (
        "execute/smtp.svtest",
        "Redirect from [user email - fallback default]",
        "the sender of redirects is not a setting: SRS is",
    ),
    ("execute/smtp.svtest", "Redirect from [user email]", "the sender of redirects is not a setting: SRS is"),
    (
        "execute/smtp.svtest",
        "Redirect mail loop (sieve_user_email)",
        "loops are known by the recipient, not by a setting",
    ),
    ("extensions/body/errors.svtest", "Invalid Syntax", "counts or words of another compiler's messages"),
    (
        "extensions/body/text.svtest",
        "Double Slash",
        "a media type with two slashes is read as its first two words, as IMAP does here",
    ),
    ("extensions/body/text.svtest", "Nested Search", "an unknown transfer encoding is read as none"),
    ("extensions/duplicate/errors.svtest", "Invalid Syntax", "counts or words of another compiler's messages"),
    ("extensions/editheader/errors.svtest", "Invalid field-name", "counts or words of another compiler's messages"),
    (
        "extensions/editheader/errors.svtest",
        "Invalid field-name at runtime ",
        "counts or words of another compiler's messages",
    ),
    ("extensions/editheader/errors.svtest", "Invalid field value", "counts or words of another compiler's messages"),
    (
        "extensions/editheader/errors.svtest",
        "deleteheader :last without :index",
        "counts or words of another compiler's messages",
    ),
    (
        "extensions/editheader/errors.svtest",
        "Command syntax (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    ("extensions/editheader/errors.svtest", "Size limit", "the limit of a field's size is another one, and no setting"),
    (
        "extensions/editheader/errors.svtest",
        "Size limit at runtime",
        "the limit of a field's size is another one, and no setting",
    ),
    (
        "extensions/enotify/encodeurl.svtest",
        ":encodeurl variable size limit",
        "strings have LF line ends, so fewer octets",
    ),
    (
        "extensions/enotify/encodeurl.svtest",
        ":encodeurl variable size limit UTF-8",
        "strings have LF line ends, so fewer octets",
    ),
    (
        "extensions/enotify/errors.svtest",
        "Invalid URI (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    (
        "extensions/enotify/errors.svtest",
        "Invalid mailto URI (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    (
        "extensions/enotify/errors.svtest",
        "Invalid mailto :from address (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    (
        "extensions/enotify/errors.svtest",
        "Invalid :options argument (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    (
        "extensions/enotify/limits.svtest",
        "Notify prohibited",
        "notifications can't be prohibited by a setting, and their limit is another one",
    ),
    (
        "extensions/enotify/limits.svtest",
        "Notify prohibited after reload",
        "counts or words of another compiler's messages",
    ),
    ("extensions/enotify/mailto.svtest", "Simple", "no X-Sieve field"),
    ("extensions/enotify/mailto.svtest", "Envelope", "notifications have the null reverse path"),
    ("extensions/enotify/mailto.svtest", "Envelope :from", "notifications have the null reverse path"),
    ("extensions/enotify/mailto.svtest", "Envelope config - sender", "notifications have the null reverse path"),
    ("extensions/enotify/mailto.svtest", "Envelope config - recipient", "notifications have the null reverse path"),
    ("extensions/enotify/mailto.svtest", "Envelope config - user_email", "notifications have the null reverse path"),
    ("extensions/enotify/mailto.svtest", "UTF-8 address", "display names of a URI are dropped"),
    ("extensions/enotify/mailto.svtest", "Long message", "other limits"),
    (
        "extensions/envelope.svtest",
        "Envelope - source route errors",
        "an envelope of ours holds no such path: the SMTP server has refused it",
    ),
    (
        "extensions/envelope.svtest",
        "Envelope - Japanese localpart",
        "an envelope of ours holds no such path: the SMTP server has refused it",
    ),
    (
        "extensions/envelope.svtest",
        "Envelope - Non-standard hostnames",
        "an envelope of ours holds no such path: the SMTP server has refused it",
    ),
    ("extensions/extlists/basic.svtest", "", "an extension that we don't have"),
    ("extensions/extlists/multiple.svtest", "", "an extension that we don't have"),
    ("extensions/extlists/valid_ext_list.svtest", "", "an extension that we don't have"),
    ("extensions/imap4flags/errors.svtest", "Invalid Syntax", "counts or words of another compiler's messages"),
    ("extensions/imap4flags/execute.svtest", "Flags Side Effect", "the suite's folders keep no flags here"),
    ("extensions/include/errors.svtest", "Generic", "counts or words of another compiler's messages"),
    (
        "extensions/include/errors.svtest",
        "Circular - direct",
        "included scripts are found when they run, not when the first one is compiled",
    ),
    (
        "extensions/include/errors.svtest",
        "Circular - one intermittent",
        "included scripts are found when they run, not when the first one is compiled",
    ),
    (
        "extensions/include/errors.svtest",
        "Circular - two intermittent",
        "included scripts are found when they run, not when the first one is compiled",
    ),
    ("extensions/include/errors.svtest", "Variables inactive", "counts or words of another compiler's messages"),
    (
        "extensions/include/errors.svtest",
        "Variables",
        "included scripts are found when they run, not when the first one is compiled",
    ),
    ("extensions/include/errors.svtest", "Global Namespace", "counts or words of another compiler's messages"),
    ("extensions/include/errors.svtest", "Invalid Script Names", "counts or words of another compiler's messages"),
    (
        "extensions/include/errors.svtest",
        "Include limit",
        "included scripts are found when they run, not when the first one is compiled",
    ),
    (
        "extensions/include/errors.svtest",
        "Depth limit",
        "included scripts are found when they run, not when the first one is compiled",
    ),
    ("extensions/mailbox/errors.svtest", "", "an extension that we don't have"),
    ("extensions/metadata/execute.svtest", "", "an extension that we don't have"),
    ("extensions/mime/errors.svtest", "Foreverypart command", "counts or words of another compiler's messages"),
    ("extensions/mime/errors.svtest", "Break command", "counts or words of another compiler's messages"),
    ("extensions/mime/errors.svtest", "Header test with :mime tag", "counts or words of another compiler's messages"),
    ("extensions/mime/errors.svtest", "Address test with :mime tag", "counts or words of another compiler's messages"),
    ("extensions/mime/errors.svtest", "Exists test with :mime tag", "counts or words of another compiler's messages"),
    ("extensions/mime/errors.svtest", "Limits", "counts or words of another compiler's messages"),
    ("extensions/mime/errors.svtest", "Extracttext", "counts or words of another compiler's messages"),
    (
        "extensions/mime/errors.svtest",
        "Extracttext - without variables",
        "counts or words of another compiler's messages",
    ),
    (
        "extensions/mime/errors.svtest",
        "Extracttext - without foreverypart",
        "require \"foreverypart\" is not asked for where no loop is written",
    ),
    ("extensions/spamvirustest/errors.svtest", "Syntax errors", "counts or words of another compiler's messages"),
    ("extensions/vacation/message.svtest", "Send from recipient", "answers have the null reverse path"),
    (
        "extensions/vacation/reply.svtest",
        "Reply for original recipient",
        "the suite's settings of the recipient's addresses are not read",
    ),
    (
        "extensions/vacation/reply.svtest",
        "Reply for user's explicitly configured email address",
        "the suite's settings of the recipient's addresses are not read",
    ),
    (
        "extensions/vacation/reply.svtest",
        "Reply for any recipient",
        "the suite's settings of the recipient's addresses are not read",
    ),
    ("extensions/variables/limits.svtest", "Variable size limit", "strings have LF line ends, so fewer octets"),
    ("extensions/variables/limits.svtest", "Variable size limit UTF-8", "strings have LF line ends, so fewer octets"),
    (
        "extensions/variables/limits.svtest",
        ":quotewildcard variable size limit",
        "strings have LF line ends, so fewer octets",
    ),
    ("extensions/vnd.dovecot/debug/execute.svtest", "", "an extension that we don't have"),
    ("extensions/vnd.dovecot/environment/basic.svtest", "", "an extension that we don't have"),
    (
        "extensions/vnd.dovecot/report/errors.svtest",
        "Invalid syntax (FIXME: count only)",
        "counts or words of another compiler's messages",
    ),
    ("extensions/vnd.dovecot/report/execute.svtest", "", "an extension that we don't have"),
    ("failures/mailbox-bad-utf8.svtest", "", "a string that is no UTF-8 is an error of the script"),
    ("multiscript/conflicts.svtest", "Graceful Conflicts", "one script runs on a message"),
    ("plugins/extprograms/execute/errors.svtest", "Unknown program", "an extension that runs programs"),
    ("plugins/extprograms/execute/execute.svtest", "", "an extension that we don't have"),
    ("plugins/extprograms/filter/errors.svtest", "Unknown program", "an extension that runs programs"),
    ("plugins/extprograms/filter/execute.svtest", "", "an extension that we don't have"),
    ("plugins/extprograms/pipe/errors.svtest", "Unknown program", "an extension that runs programs"),
    ("plugins/extprograms/pipe/errors.svtest", "Timeout", "an extension that runs programs"),
    ("plugins/extprograms/pipe/execute.svtest", "", "an extension that we don't have"),
];

/// True when a failure is known.
pub fn is_listed(file: &str, test: &str) -> bool {
    KNOWN.iter().any(|(f, t, _)| *f == file && (*t == test || *t == "*"))
}

fn head(text: &[u8]) -> &[u8] {
    &text[..crate::msg::header_end(text).unwrap_or(text.len())]
}

/// A message that is sent on.
pub fn redirected(text: &[u8], envelope: &Envelope) -> Option<Vec<u8>> {
    let own = Address::parse(&envelope.to).ok()?;
    let top = letters::redirected(head(text), &own).ok()?;
    Some([top.as_bytes(), text].concat())
}

/// What a sender reads about a message that was refused.
pub fn refusal(envelope: &Envelope, reason: &str) -> Option<Vec<u8>> {
    let text = format!("From: postmaster\nTo: <{}>\nSubject: refused\n\n{reason}", envelope.from);
    (!envelope.from.is_empty()).then(|| text.into_bytes())
}

/// The answer of somebody who is away.
pub fn answer(text: &[u8], envelope: &Envelope, vacation: &Vacation) -> Option<Vec<u8>> {
    let (from, to) = (Address::parse(&envelope.from).ok(), Address::parse(&envelope.to).ok()?);
    let mut own = vacation.addresses.clone();
    own.push(to.clone());
    if vacation::refusal(head(text), from.as_ref(), &own).is_some() {
        return None;
    }
    let absence = vacation::Absence::of(vacation);
    Some(vacation::answer(&absence, head(text), &from?, &to, "<1@example.com>", Timestamp::now()).into_bytes())
}

/// A notification.
pub fn notification(text: &[u8], envelope: &Envelope, notify: &Notify) -> Option<Vec<u8>> {
    let own = Address::parse(&envelope.to).ok()?;
    letters::notification(notify, head(text), &own, "<1@example.com>", Timestamp::now()).map(String::into_bytes)
}
