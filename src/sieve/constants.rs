//! Arguments that are known before a script runs, checked.
//!
//! Called by `checker` for each command and test. A string with variables in it is checked by the interpreter, with the same
//! functions, when its value is known.

use super::fault::SieveError;
use super::mailto::Mailto;
use super::text::{Text, is_name};
use super::tree::Node;
use super::vocabulary::Kind;
use crate::addr::Address;

/// A mailbox name has at most so many octets.
pub const MAILBOX_LIMIT: usize = 255;
/// A field that a script adds has at most so many octets.
pub const FIELD_LIMIT: usize = 2048;

/// Fields that hold addresses (RFC 5228 §5.1 wants the test kept to them).
const ADDRESS_FIELDS: &[&str] = &[
    "from",
    "to",
    "cc",
    "bcc",
    "sender",
    "reply-to",
    "resent-from",
    "resent-to",
    "resent-cc",
    "resent-bcc",
    "resent-sender",
    "resent-reply-to",
    "return-path",
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "errors-to",
    "apparently-to",
    "mail-followup-to",
    "mail-reply-to",
    "disposition-notification-to",
    "return-receipt-to",
    "abuse-reports-to",
    "x-complaints-to",
    "x-report-abuse-to",
    "x-beenthere",
    "author",
    "original-recipient",
];

/// The parts of a date (RFC 5260 §4.2).
pub const DATE_PARTS: &[&str] = &[
    "year", "month", "day", "date", "julian", "hour", "minute", "second", "time", "iso8601", "std11", "zone", "weekday",
];

/// The one text behind a tag, when it is there and has no variables.
pub fn plain_tag(node: &Node, tag: &str) -> Option<String> {
    node.tagged(tag)?.first()?.plain().map(str::to_string)
}

/// Checks all that is constant in a command or test.
pub fn check(node: &Node) -> Result<(), SieveError> {
    dependent_tags(node)?;
    match node.kind {
        Kind::Address => each(node, node.texts(0), |name| {
            is_address_field(name).then_some(()).ok_or_else(|| {
                format!("field '{}' holds no addresses: the address test can't be used", name.escape_default())
            })
        }),
        Kind::Date => {
            each(node, node.texts(1), date_part)?;
            each(node, node.tagged("zone").unwrap_or_default(), zone)
        }
        Kind::CurrentDate => {
            each(node, node.texts(0), date_part)?;
            each(node, node.tagged("zone").unwrap_or_default(), zone)
        }
        Kind::Envelope => each(node, node.texts(0), |part| match part.to_ascii_lowercase().as_str() {
            "from" | "to" | "auth" => Ok(()),
            _ => Err(format!("unknown part of the envelope '{}'", part.escape_default())),
        }),
        Kind::Size if node.tags.is_empty() => Err(node.place.error("'size' takes ':over' or ':under'")),
        Kind::Fileinto => each(node, node.texts(0), mailbox),
        Kind::Redirect => each(node, node.texts(0), address),
        Kind::Vacation => {
            each(node, node.tagged("from").unwrap_or_default(), address)?;
            each(node, node.tagged("addresses").unwrap_or_default(), address)
        }
        Kind::Set | Kind::ExtractText => each(node, node.texts(0), variable),
        Kind::SetFlag | Kind::AddFlag | Kind::RemoveFlag | Kind::HasFlag => each(node, node.texts(0), variable),
        Kind::Global => each(node, node.texts(0), variable),
        Kind::Include => each(node, node.texts(0), script_name),
        Kind::AddHeader => {
            each(node, node.texts(0), editable_name)?;
            each(node, node.texts(1), field_value)
        }
        Kind::DeleteHeader => each(node, node.texts(0), editable_name),
        Kind::Notify => notify(node),
        Kind::Duplicate => each(node, node.tagged("header").unwrap_or_default(), field_name),
        Kind::SpecialUseExists => each(node, node.texts(0), mailbox),
        Kind::Enclose => each(node, node.tagged("headers").unwrap_or_default(), |line| match line.split_once(':') {
            Some((name, value)) => field_name(name).and_then(|()| field_value(value)),
            None => Err("a header line of 'enclose' is 'Name: value'".to_string()),
        }),
        _ => Ok(()),
    }
}

/// Tags that make sense beside another one only.
fn dependent_tags(node: &Node) -> Result<(), SieveError> {
    let place = node.place;
    if node.number("index") == Some(0) {
        return Err(place.error("':index' counts from 1"));
    }
    if node.has("last") && !node.has("index") && !matches!(node.kind, Kind::AddHeader | Kind::Duplicate) {
        return Err(place.error("':last' needs ':index'"));
    }
    let option = ["anychild", "type", "subtype", "contenttype", "param"].into_iter().find(|tag| node.has(tag));
    match option {
        Some(tag) if !node.has("mime") => Err(place.error(format!("':{tag}' needs ':mime'"))),
        _ => Ok(()),
    }
}

fn each(node: &Node, texts: &[Text], check: impl Fn(&str) -> Result<(), String>) -> Result<(), SieveError> {
    texts.iter().filter_map(Text::plain).try_for_each(|text| check(text).map_err(|wrong| node.place.error(wrong)))
}

fn is_address_field(name: &str) -> bool {
    ADDRESS_FIELDS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// field-name (RFC 5322 §3.6.8).
pub fn field_name(name: &str) -> Result<(), String> {
    match !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        true => Ok(()),
        false => Err(format!("'{}' is no name of a header field", name.escape_default())),
    }
}

/// The name of a field that a script may add or remove.
pub fn editable_name(name: &str) -> Result<(), String> {
    field_name(name)?;
    match name.len() > FIELD_LIMIT {
        true => Err("the name of the field is too long".to_string()),
        false => Ok(()),
    }
}

/// The value of a field that a script adds.
pub fn field_value(value: &str) -> Result<(), String> {
    if value.len() > FIELD_LIMIT {
        return Err(format!("the value of the field is longer than {FIELD_LIMIT} octets"));
    }
    match value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        true => Err("the value of the field has control characters".to_string()),
        false => Ok(()),
    }
}

/// The name of a mailbox.
pub fn mailbox(name: &str) -> Result<(), String> {
    let is_bad = name.is_empty() || name.len() > MAILBOX_LIMIT || name.chars().any(char::is_control);
    if is_bad { Err(format!("invalid folder name '{}'", name.escape_default())) } else { Ok(()) }
}

/// An address that mail goes to.
pub fn address(text: &str) -> Result<(), String> {
    outgoing(text).map(|_| ())
}

/// Reads an address that mail goes to; a display name is allowed.
pub fn outgoing(text: &str) -> Result<Address, String> {
    Address::parse_loose(text, "").map_err(|error| format!("'{}' is no address: {error}", text.escape_default()))
}

/// The name of a variable; one of the global namespace too.
pub fn variable(name: &str) -> Result<(), String> {
    let bare = name.get(..7).filter(|space| space.eq_ignore_ascii_case("global.")).map_or(name, |_| &name[7..]);
    if is_name(bare) { Ok(()) } else { Err(format!("'{}' is no name of a variable", name.escape_default())) }
}

/// The name of a script: what may be a file's name too.
pub fn script_name(name: &str) -> Result<(), String> {
    let is_bad = name.is_empty() || name.len() > MAILBOX_LIMIT || name.chars().any(|c| c.is_control() || c == '/');
    if is_bad { Err(format!("'{}' is no name of a script", name.escape_default())) } else { Ok(()) }
}

fn date_part(part: &str) -> Result<(), String> {
    match DATE_PARTS.iter().any(|known| known.eq_ignore_ascii_case(part)) {
        true => Ok(()),
        false => Err(format!("unknown part of a date '{}'", part.escape_default())),
    }
}

fn zone(text: &str) -> Result<(), String> {
    match super::dates::offset(text) {
        Some(_) => Ok(()),
        None => Err(format!("'{}' is no time zone: write +hhmm or -hhmm", text.escape_default())),
    }
}

fn notify(node: &Node) -> Result<(), SieveError> {
    each(node, node.tagged("from").unwrap_or_default(), address)?;
    each(node, node.tagged("importance").unwrap_or_default(), |importance| match importance {
        "1" | "2" | "3" => Ok(()),
        _ => Err("':importance' is \"1\", \"2\" or \"3\"".to_string()),
    })?;
    each(node, node.tagged("options").unwrap_or_default(), |option| match option.split_once('=') {
        Some((name, _)) if option_name(name) => Ok(()),
        _ => Err("an option of 'notify' is \"name=value\"".to_string()),
    })?;
    each(node, node.texts(0), |method| Mailto::parse(method).map(|_| ()))
}

/// l-d-p of RFC 5435 §3.4 names: letters, digits, hyphen, dot, underscore.
fn option_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}
