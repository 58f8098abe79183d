//! The envelope's text at the head of a queue file.
//!
//! ```text
//! em-queue 1
//! mail arrived=1795522071000123 from=alice@example.test protocol=ESMTP ip=192.0.2.1 helo=client
//! rcpt mailer=smtp user=bob@example.org host=example.org for=bob@example.org notify=NEVER
//!
//! ```
//! An empty line ends it; the message follows to the end of the file. `from=` with nothing is the null sender.
//! Words that a reader does not know are passed over: an older program delivers what a newer one has queued, without what the new
//! words ask for. What an older one must not deliver so gets version 2, which it leaves alone.

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::{Delivery, Envelope, Handling, Recipient, Source, TlsWish};
use crate::fields::{self, Words};
use std::fs::File;
use std::io::{self, Read};

const MAGIC: &str = "em-queue ";
/// The version written where an older program may pass over what it does not know.
const VERSION: u32 = 1;
/// The version written where it may not, and the newest that is read: 2 is for REQUIRETLS (`tls=required`).
const STRICT: u32 = 2;
/// Longest envelope written and read, in octets: some hundred thousand recipients.
pub(super) const LIMIT: usize = 64 << 20;

pub(super) fn print(envelope: &Envelope) -> String {
    let version = if envelope.handling.tls == TlsWish::Required { STRICT } else { VERSION };
    let mut text = format!("{MAGIC}{version}\nmail");
    fields::push(&mut text, "arrived", &envelope.arrived.0.to_string());
    fields::push(&mut text, "from", &envelope.sender.as_ref().map(Address::to_string).unwrap_or_default());
    let source = &envelope.source;
    let mut maybe = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            fields::push(&mut text, key, &value);
        }
    };
    maybe("protocol", Some(source.protocol.clone()));
    maybe("ip", source.ip.map(|ip| ip.to_string()));
    maybe("client", source.name.clone());
    maybe("helo", source.helo.clone());
    maybe("user", source.user.clone());
    maybe("envid", envelope.envid.clone());
    maybe("8bit", envelope.eight_bit.then(|| "1".to_string()));
    maybe("utf8", envelope.smtputf8.then(|| "1".to_string()));
    maybe("full", envelope.ret_full.then(|| "1".to_string()));
    let handling = &envelope.handling;
    maybe("by", handling.by.map(|by| by.to_string()));
    maybe("hold", handling.hold.as_ref().map(ToString::to_string));
    maybe("priority", handling.priority.map(|priority| priority.to_string()));
    maybe("tls", handling.tls.word().map(str::to_string));
    for recipient in &envelope.recipients {
        text.push_str("\nrcpt");
        let delivery = &recipient.delivery;
        fields::push(&mut text, "mailer", delivery.mailer.name());
        fields::push(&mut text, "user", &delivery.user);
        fields::push(&mut text, "for", &recipient.original.to_string());
        let mut maybe = |key: &str, value: &str| {
            if !value.is_empty() {
                fields::push(&mut text, key, value);
            }
        };
        maybe("host", &delivery.host);
        maybe("by", &delivery.by);
        maybe("from", &delivery.sender);
        if let Some((kind, address)) = &recipient.orcpt {
            maybe("orcpt", &format!("{kind};{address}"));
        }
        if !recipient.notify.is_default() {
            maybe("notify", &recipient.notify.to_string());
        }
    }
    text.push_str("\n\n");
    text
}

/// Reads the envelope; gives the offset of the message too.
pub(super) fn read(file: &File) -> io::Result<(Envelope, u64)> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(damaged("not a regular file"));
    }
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    let mut reader = file;
    let end = loop {
        let from = head.len().saturating_sub(1);
        let n = reader.read(&mut buffer)?;
        let is_first = head.is_empty();
        head.extend_from_slice(&buffer[..n]);
        if is_first && version(&head).is_some_and(|v| v > STRICT) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "written by a newer version"));
        }
        if let Some(at) = memchr::memmem::find(&head[from..], b"\n\n") {
            break from + at + 2;
        }
        if n == 0 || head.len() > LIMIT {
            return Err(damaged("the envelope has no end"));
        }
    };
    let text = std::str::from_utf8(&head[..end]).map_err(|_| damaged("the envelope is not UTF-8"))?;
    let mut envelope = parse(text).ok_or_else(|| damaged("the envelope is not understood"))?;
    envelope.size = metadata.len().saturating_sub(end as u64);
    Ok((envelope, end as u64))
}

/// True for the error that [`read`] gives for a file of a newer version.
pub(super) fn is_newer(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported && error.raw_os_error().is_none()
}

/// The version in the first line.
fn version(head: &[u8]) -> Option<u32> {
    let line = head.split(|b| *b == b'\n').next()?.strip_prefix(MAGIC.as_bytes())?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

fn parse(text: &str) -> Option<Envelope> {
    let mut lines = text.lines();
    if !(VERSION..=STRICT).contains(&version(lines.next()?.as_bytes())?) {
        return None;
    }
    let mail = Words::of(lines.next()?.strip_prefix("mail ")?)?;
    let mut envelope = Envelope {
        sender: match mail.get("from")? {
            "" => None,
            sender => Some(Address::parse(sender).ok()?),
        },
        arrived: Timestamp(mail.get("arrived")?.parse().ok()?),
        source: Source {
            ip: mail.get("ip").and_then(|ip| ip.parse().ok()),
            name: mail.take("client"),
            helo: mail.take("helo"),
            protocol: mail.take("protocol").unwrap_or_default(),
            user: mail.take("user"),
        },
        eight_bit: mail.has("8bit"),
        smtputf8: mail.has("utf8"),
        ret_full: mail.has("full"),
        envid: mail.take("envid"),
        handling: Handling {
            by: mail.get("by").and_then(|by| by.parse().ok()),
            hold: mail.get("hold").and_then(|hold| hold.parse().ok()),
            priority: mail.get("priority").and_then(|priority| priority.parse().ok()),
            tls: mail.get("tls").map_or(TlsWish::Usual, TlsWish::parse),
        },
        size: 0,
        recipients: Vec::new(),
    };
    for line in lines.filter(|line| !line.is_empty()) {
        let rcpt = Words::of(line.strip_prefix("rcpt ")?)?;
        envelope.recipients.push(Recipient {
            original: Address::parse(rcpt.get("for")?).ok()?,
            orcpt: rcpt.get("orcpt").and_then(|o| o.split_once(';')).map(|(k, a)| (k.to_string(), a.to_string())),
            notify: rcpt.get("notify").and_then(|n| n.parse().ok()).unwrap_or_default(),
            delivery: Delivery {
                mailer: rcpt.get("mailer")?.parse().ok()?,
                host: rcpt.take("host").unwrap_or_default(),
                user: rcpt.take("user")?,
                by: rcpt.take("by").unwrap_or_default(),
                sender: rcpt.take("from").unwrap_or_default(),
            },
        });
    }
    (!envelope.recipients.is_empty()).then_some(envelope)
}
