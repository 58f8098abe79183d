//! Prints ENVELOPE, BODY and BODYSTRUCTURE.
//!
//! Called by FETCH and by the index, which keeps what is printed here. Values are shown raw, as the header has them; only continued
//! parameters are joined ([`joined`]). The order of the fields is that of both revisions of IMAP4.
//! Invariant: the output obeys `envelope` and `body` of RFC 9051 §9, whatever the message. A message that was left a leaf
//! (encoded, or too deep) shows an empty envelope and an empty body, since a message without them is no `body-type-msg`.
//! RFC 9051 §7.5.2, RFC 3501 §7.4.2.

use super::address::Listed;
use super::content::{Disposition, Parameter, joined};
use super::envelope::Envelope;
use super::nstring::Quoting;
use super::structure::{Part, Shape, Structure};
use std::borrow::Cow;

const NO_ENVELOPE: &[u8] = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)";
const NO_BODY: &[u8] = b"(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)";
const NO_BODY_EXTENSION: &[u8] =
    b"(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)";

/// Appends the parenthesized envelope.
pub fn envelope(envelope: &Envelope, quoting: Quoting, out: &mut Vec<u8>) {
    out.push(b'(');
    quoting.nstring(envelope.date.as_deref(), out);
    out.push(b' ');
    quoting.nstring(envelope.subject.as_deref(), out);
    let lists = [&envelope.from, envelope.sender(), envelope.reply_to(), &envelope.to, &envelope.cc, &envelope.bcc];
    for list in lists {
        out.push(b' ');
        addresses(list, quoting, out);
    }
    out.push(b' ');
    quoting.nstring(envelope.in_reply_to.as_deref(), out);
    out.push(b' ');
    quoting.nstring(envelope.message_id.as_deref(), out);
    out.push(b')');
}

/// env-from and its like: no blank stands between addresses.
fn addresses(list: &[Listed], quoting: Quoting, out: &mut Vec<u8>) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for listed in list {
        let fields = match listed {
            Listed::Mailbox(m) => {
                [m.name.as_deref(), m.route.as_deref(), Some(m.local.as_slice()), Some(m.domain.as_slice())]
            }
            Listed::GroupStart(name) => [None, None, Some(name.as_slice()), None],
            Listed::GroupEnd => [None; 4],
        };
        out.push(b'(');
        for (i, field) in fields.into_iter().enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            quoting.nstring(field, out);
        }
        out.push(b')');
    }
    out.push(b')');
}

/// Appends BODY, or BODYSTRUCTURE when `extended`, of the message `text`, whose structure is given.
pub fn body(text: &[u8], structure: &Structure, extended: bool, quoting: Quoting, out: &mut Vec<u8>) {
    let printer = Printer { text, parts: structure.parts(), extended, quoting };
    // Down to the first child, on to the next part, up again when there is none: the links of the parts replace recursion.
    let mut at = 0;
    loop {
        printer.open(&printer.parts[at], out);
        if let Some(child) = printer.parts[at].first_child {
            at = child;
            continue;
        }
        loop {
            printer.close(&printer.parts[at], out);
            match (printer.parts[at].next, printer.parts[at].parent) {
                (Some(next), _) => {
                    at = next;
                    break;
                }
                (None, Some(parent)) => at = parent,
                (None, None) => return,
            }
        }
    }
}

struct Printer<'a> {
    text: &'a [u8],
    parts: &'a [Part<'a>],
    extended: bool,
    quoting: Quoting,
}

impl Printer<'_> {
    /// What stands before a part's children.
    fn open(&self, part: &Part, out: &mut Vec<u8>) {
        out.push(b'(');
        if part.shape == Shape::Multipart {
            return;
        }
        self.quoting.string(part.media.kind, out);
        out.push(b' ');
        self.quoting.string(part.media.subtype, out);
        out.push(b' ');
        let mut parameters = Cow::Borrowed(part.media.parameters.as_slice());
        if part.media.is_kind("text") && part.media.parameter("charset").is_none() {
            // RFC 2045 §5.2
            let default = Parameter { name: Cow::Borrowed(b"charset"), value: Cow::Borrowed(b"us-ascii") };
            parameters.to_mut().push(default);
        }
        self.parameters(&parameters, out);
        for text in [part.content.id.as_deref(), part.content.description.as_deref()] {
            out.push(b' ');
            self.quoting.nstring(text, out);
        }
        out.push(b' ');
        self.quoting.string(part.content.encoding.unwrap_or(b"7bit"), out);
        out.extend_from_slice(format!(" {}", part.octets).as_bytes());
        if part.media.is("message", "rfc822") || part.media.is("message", "global") {
            out.push(b' ');
            match part.first_child {
                Some(child) => {
                    let header = &self.text[self.parts[child].header.clone()];
                    envelope(&Envelope::of(header), self.quoting, out);
                    out.push(b' ');
                }
                None => {
                    out.extend_from_slice(NO_ENVELOPE);
                    out.push(b' ');
                    out.extend_from_slice(if self.extended { NO_BODY_EXTENSION } else { NO_BODY });
                }
            }
        }
    }

    /// What stands behind them.
    fn close(&self, part: &Part, out: &mut Vec<u8>) {
        if part.shape == Shape::Multipart {
            out.push(b' ');
            self.quoting.string(part.media.subtype, out);
        } else {
            let has_lines =
                part.media.is_kind("text") || part.media.is("message", "rfc822") || part.media.is("message", "global");
            if has_lines {
                out.extend_from_slice(format!(" {}", part.lines).as_bytes());
            }
        }
        if self.extended {
            out.push(b' ');
            match part.shape {
                Shape::Multipart => self.parameters(&part.media.parameters, out),
                _ => self.quoting.nstring(part.content.md5.as_deref(), out),
            }
            self.extension(part, out);
        }
        out.push(b')');
    }

    /// Disposition, language and location: the end of body-ext-1part and body-ext-mpart.
    fn extension(&self, part: &Part, out: &mut Vec<u8>) {
        out.push(b' ');
        match &part.content.disposition {
            Some(Disposition { kind, parameters }) => {
                out.push(b'(');
                self.quoting.string(kind, out);
                out.push(b' ');
                self.parameters(parameters, out);
                out.push(b')');
            }
            None => out.extend_from_slice(b"NIL"),
        }
        out.push(b' ');
        self.list(part.content.language.iter().copied(), out);
        out.push(b' ');
        self.quoting.nstring(part.content.location.as_deref(), out);
    }

    fn parameters(&self, parameters: &[Parameter], out: &mut Vec<u8>) {
        let parameters = joined(parameters);
        self.list(parameters.iter().flat_map(|p| [p.name.as_ref(), p.value.as_ref()]), out);
    }

    /// A parenthesized list, or NIL for an empty one.
    fn list<'s>(&self, strings: impl Iterator<Item = &'s [u8]>, out: &mut Vec<u8>) {
        let mut is_first = true;
        for string in strings {
            out.push(if is_first { b'(' } else { b' ' });
            is_first = false;
            self.quoting.string(string, out);
        }
        out.extend_from_slice(if is_first { b"NIL" } else { b")" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, extended: bool) -> String {
        let mut out = Vec::new();
        body(text.as_bytes(), &Structure::of(text.as_bytes()), extended, Quoting::Ascii, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn envelopes() {
        for (header, expected) in [
            ("", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
            (
                "Date: d\nSubject:\nFrom: F <f@x>\nTo: g: a@b,\n <@r:c@d>;\nMessage-ID: <m>\n",
                "(\"d\" \"\" ((\"F\" NIL \"f\" \"x\")) ((\"F\" NIL \"f\" \"x\")) ((\"F\" NIL \"f\" \"x\")) \
                 ((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL \"@r\" \"c\" \"d\")(NIL NIL NIL NIL)) NIL NIL NIL \"<m>\")",
            ),
            (
                "From: root\n",
                "(NIL NIL ((NIL NIL \"root\" \"\")) ((NIL NIL \"root\" \"\")) ((NIL NIL \"root\" \"\")) NIL NIL NIL NIL NIL)",
            ),
            ("Subject: \u{e9}\"\n", "(NIL {3}\r\n\u{e9}\" NIL NIL NIL NIL NIL NIL NIL NIL)"),
        ] {
            let mut out = Vec::new();
            envelope(&Envelope::of(header.as_bytes()), Quoting::Ascii, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn one_part() {
        let plain = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 6 1";
        assert_eq!(show("A: b\n\nbody\n", false), format!("{plain})"));
        assert_eq!(show("A: b\n\nbody\n", true), format!("{plain} NIL NIL NIL NIL)"));
        let text = "Content-Type: IMAGE/png; name=\"a\\\"b\"; x*0=1; x*1=2\nContent-ID: <i>\nContent-Description: d\n\
            Content-Transfer-Encoding: base64\nContent-MD5: m\nContent-Disposition: inline\nContent-Language: en\n\
            Content-Location: l\n\nAAAA";
        let basic = "(\"IMAGE\" \"png\" (\"name\" \"a\\\"b\" \"x\" \"12\") \"<i>\" \"d\" \"base64\" 4";
        assert_eq!(show(text, false), format!("{basic})"));
        assert_eq!(show(text, true), format!("{basic} \"m\" (\"inline\" NIL) (\"en\") \"l\")"));
    }

    #[test]
    fn several_parts() {
        let nested = "Subject: s\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\ny\n--c--";
        let text = format!(
            "Content-Type: multipart/mixed; boundary=b\nContent-Disposition: inline; a=b\n\n\
            --b\nContent-Type: text/html; CHARSET=utf-8\n\nx\n\n--b\nContent-Type: message/rfc822\n\n{nested}\n--b--\n"
        );
        let size = nested.replace('\n', "\r\n").len();
        for (extended, single, alternative, mixed) in [
            (false, "", "", ""),
            (
                true,
                " NIL NIL NIL NIL",
                " (\"boundary\" \"c\") NIL NIL NIL",
                " (\"boundary\" \"b\") (\"inline\" (\"a\" \"b\")) NIL NIL",
            ),
        ] {
            let html = format!("(\"text\" \"html\" (\"CHARSET\" \"utf-8\") NIL NIL \"7bit\" 3 1{single})");
            let inner = format!("(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0{single})");
            let message = format!(
                "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" {size} (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) \
                ({inner} \"alternative\"{alternative}) 6{single})"
            );
            assert_eq!(show(&text, extended), format!("({html}{message} \"mixed\"{mixed})"));
        }
    }

    #[test]
    fn messages_that_stay_closed_have_an_empty_inside() {
        let text = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nAAAA\n";
        let head = "(\"message\" \"rfc822\" NIL NIL NIL \"base64\" 6 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) \
            (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0";
        assert_eq!(show(text, false), format!("{head}) 1)"));
        assert_eq!(show(text, true), format!("{head} NIL NIL NIL NIL) 1 NIL NIL NIL NIL)"));
    }
}
