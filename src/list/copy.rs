//! The copy of a post that the members get.
//!
//! Pure: a post and a plan in, a message out. The Date, the Message-ID and the words of the author stay as they are.
//! RFC 2369 (List-Help and the others), RFC 2919 (List-Id), RFC 5322 §3.6.

use super::content;
use super::footer;
use super::inbound::Inbound;
use super::subject::Prefix;
use crate::lists::settings::{Posting, Precedence, ReplyTo, Signatures};
use crate::lists::{self, ListName, ListSettings};
use crate::msg;
use crate::msg::encode::{self, Charset};

/// What is to be done to a post.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The list.
    pub name: &'a ListName,
    /// Its settings.
    pub settings: &'a ListSettings,
    /// The post's number.
    pub number: u64,
    /// What stands below each post; may be empty.
    pub footer: &'a str,
    /// The list stands in From.
    pub rewrites_from: bool,
    /// A word that stands nowhere in the post.
    pub boundary: &'a str,
}

/// Fields of the author's that a copy never has: they are ours to say, or they would have all members answer to one.
const DROPPED: &[&str] = &[
    "return-path",
    "delivered-to",
    "x-original-to",
    "bcc",
    "resent-bcc",
    "precedence",
    "x-ml-name",
    "x-mail-count",
    "errors-to",
    "return-receipt-to",
    "disposition-notification-to",
    "x-confirm-reading-to",
    "x-pmrqc",
    "archived-at",
    "x-original-from",
    "mt-priority",
];
/// Signatures that a change breaks.
const SIGNATURES: &[&str] = &["dkim-signature", "domainkey-signature", "x-google-dkim-signature"];

/// The charset of our texts.
pub fn charset(settings: &ListSettings) -> Charset {
    match settings.charset {
        lists::settings::Charset::Utf8 => Charset::Utf8,
        lists::settings::Charset::Iso2022Jp => Charset::Iso2022Jp,
    }
}

/// The copy.
pub fn make(post: &Inbound<'_>, plan: &Plan<'_>) -> Vec<u8> {
    let settings = plan.settings;
    let charset = charset(settings);
    let shorter = content::without(post.text, settings.attachments, settings.html, (settings.language, charset));
    let text = shorter.as_deref().unwrap_or(post.text);
    let longer = footer::add(text, plan.footer, charset, plan.boundary);
    let text = longer.as_deref().unwrap_or(text);
    let header: usize = msg::fields(text).map(|field| field.raw.len()).sum();
    let mut out = Vec::with_capacity(text.len() + 1024);
    let mut has_subject = false;
    let prefix = Prefix::new(&settings.prefix, plan.name.name());
    let replies = reply_to(post, plan);
    for field in msg::fields(&text[..header]) {
        let name = field.name.to_ascii_lowercase();
        let is_dropped = DROPPED.contains(&name.as_str())
            || name.starts_with("list-")
            || (settings.signatures == Signatures::Remove && SIGNATURES.contains(&name.as_str()))
            || (name == "reply-to" && !matches!(replies, Replies::Leave))
            || (name == "sender" && plan.rewrites_from);
        if is_dropped {
            continue;
        }
        match (name.as_str(), &prefix) {
            ("subject", Some(prefix)) if !has_subject => {
                has_subject = true;
                out.extend_from_slice(&subject(&field, prefix, plan.number, charset));
            }
            ("from", _) if plan.rewrites_from => {
                out.extend_from_slice(&from(post, plan, charset));
                out.extend_from_slice(b"X-Original-From:");
                out.extend_from_slice(field.body());
            }
            _ => out.extend_from_slice(field.raw),
        }
        if !out.ends_with(b"\n") {
            out.push(b'\n');
        }
    }
    if let Some(prefix) = prefix.filter(|_| !has_subject) {
        out.extend_from_slice(encode::unstructured("Subject", &prefix.put("", plan.number), charset).as_bytes());
    }
    if let Replies::To(addresses) = replies {
        let words: Vec<String> = separated(&addresses);
        out.extend_from_slice(msg::fold("Reply-To", &words).as_bytes());
    }
    out.extend_from_slice(own_fields(plan).as_bytes());
    let rest = &text[header..];
    if !rest.starts_with(b"\n") && !rest.starts_with(b"\r\n") {
        out.push(b'\n');
    }
    out.extend_from_slice(rest);
    out
}

/// The fields of the list in everything that comes from it: copies, digests, answers.
pub fn list_fields(name: &ListName, settings: &ListSettings) -> String {
    let description = &settings.description;
    let id = match description.is_empty() {
        true => format!("List-Id: <{}>\n", name.list_id()),
        false => {
            let words = [encode::phrase(description, charset(settings)), format!("<{}>", name.list_id())];
            msg::fold("List-Id", &words)
        }
    };
    // RFC 2369 §3.4: "NO" says that nobody may post.
    let post = match settings.posting {
        Posting::Moderators => "NO".to_string(),
        _ => format!("<mailto:{}>", name.address()),
    };
    format!(
        "{id}List-Post: {post}\nList-Help: <mailto:{}>\nList-Subscribe: <mailto:{}>\nList-Unsubscribe: <mailto:{}>\n\
         List-Owner: <mailto:{}>\n",
        name.role("help"),
        name.role("subscribe"),
        name.role("unsubscribe"),
        name.role("owner"),
    )
}

fn own_fields(plan: &Plan<'_>) -> String {
    let precedence = match plan.settings.precedence {
        Precedence::List => "list",
        Precedence::Bulk => "bulk",
        Precedence::Junk => "junk",
    };
    let Plan { name, number, .. } = plan;
    format!(
        "Precedence: {precedence}\n{}X-ML-Name: {}\nX-Mail-Count: {number}\nX-Loop: {}\n",
        list_fields(name, plan.settings),
        name.name(),
        name.address(),
    )
}

/// The Subject with its prefix, in the charset in which the author wrote it when that is ISO-2022-JP.
fn subject(field: &msg::Field<'_>, prefix: &Prefix, number: u64, charset: Charset) -> Vec<u8> {
    let raw = field.unfolded();
    let lower = raw.to_ascii_lowercase();
    let is_jis =
        memchr::memmem::find(&lower, b"=?iso-2022-jp").is_some() || memchr::memmem::find(&raw, b"\x1b$").is_some();
    let charset = if is_jis { Charset::Iso2022Jp } else { charset };
    let text = prefix.put(&msg::words::decode_text(&raw), number);
    encode::unstructured("Subject", &text, charset).into_bytes()
}

/// The list in the author's place, under his name.
fn from(post: &Inbound<'_>, plan: &Plan<'_>, charset: Charset) -> Vec<u8> {
    let name = post.author.as_ref().map_or(String::new(), |author| {
        let name = msg::words::decode_text(author.name.as_bytes());
        if name.is_empty() { author.address.local().to_string() } else { name }
    });
    let shown = encode::phrase(format!("{name} via {}", plan.name.name()).trim(), charset);
    msg::fold("From", &[shown, format!("<{}>", plan.name.address())]).into_bytes()
}

enum Replies {
    Leave,
    To(Vec<String>),
    Remove,
}

fn reply_to(post: &Inbound<'_>, plan: &Plan<'_>) -> Replies {
    let list = plan.name.address().to_string();
    let author = post.author.as_ref().map(|author| author.address.to_string());
    let own = msg::find(post.header, "reply-to").filter(|field| !field.value().is_empty());
    match plan.settings.reply_to {
        // With the list in From, only this tells whom to answer.
        ReplyTo::Leave if plan.rewrites_from && own.is_none() => Replies::To(author.into_iter().collect()),
        ReplyTo::Leave => Replies::Leave,
        ReplyTo::Remove if plan.rewrites_from => Replies::To(author.into_iter().collect()),
        ReplyTo::Remove => Replies::Remove,
        ReplyTo::List => Replies::To(vec![list]),
        ReplyTo::Sender => Replies::To(author.into_iter().collect()),
        ReplyTo::Both => {
            let other = author.filter(|author| *author != list);
            Replies::To(other.into_iter().chain([list]).collect())
        }
    }
}

/// Addresses with commas between them.
fn separated(addresses: &[String]) -> Vec<String> {
    let last = addresses.len().saturating_sub(1);
    addresses.iter().enumerate().map(|(i, a)| if i < last { format!("{a},") } else { a.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Address;
    use crate::msg::words::decode_text;

    fn copy(text: &str, change: impl FnOnce(&mut ListSettings), rewrites_from: bool) -> String {
        let mut settings = ListSettings::default();
        change(&mut settings);
        let name = "talk@x.test".parse().unwrap();
        let sender = Address::parse("a@y.test").unwrap();
        let post = Inbound::read(text.as_bytes(), Some(&sender));
        let plan = Plan { name: &name, settings: &settings, number: 7, footer: "", rewrites_from, boundary: "=b=" };
        String::from_utf8(make(&post, &plan)).unwrap()
    }

    fn field(text: &str, name: &str) -> Option<String> {
        let end = msg::header_end(text.as_bytes()).unwrap();
        msg::find(&text.as_bytes()[..end], name).map(|field| decode_text(&field.unfolded()))
    }

    #[test]
    fn a_copy_says_which_list_it_is_of() {
        let text = copy(
            "Return-Path: <x@y.test>\nFrom: Al <a@y.test>\nTo: talk@x.test\nSubject: hi\nMessage-ID: <1@y>\nDate: d\n\
             List-Id: <other.y.test>\nDKIM-Signature: x\nReturn-Receipt-To: a@y.test\nBcc: c@y.test\n\nbody\n",
            |s| s.description = "Talk, about \"it\"".into(),
            false,
        );
        assert_eq!(
            text,
            "From: Al <a@y.test>\nTo: talk@x.test\nSubject: hi\nMessage-ID: <1@y>\nDate: d\nPrecedence: list\n\
             List-Id: \"Talk, about \\\"it\\\"\" <talk.x.test>\nList-Post: <mailto:talk@x.test>\n\
             List-Help: <mailto:talk-help@x.test>\nList-Subscribe: <mailto:talk-subscribe@x.test>\n\
             List-Unsubscribe: <mailto:talk-unsubscribe@x.test>\nList-Owner: <mailto:talk-owner@x.test>\n\
             X-ML-Name: talk\nX-Mail-Count: 7\nX-Loop: talk@x.test\n\nbody\n"
        );
    }

    #[test]
    fn subjects_stay_in_their_charset() {
        let prefixed = |subject: &str, charset| {
            copy(
                &format!("From: a@y.test\nSubject: {subject}\n\nx\n"),
                |s| {
                    s.prefix = "[%M %S]".into();
                    s.charset = charset;
                },
                false,
            )
        };
        let jis = prefixed("Re: =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=", lists::settings::Charset::Utf8);
        assert!(jis.contains("Subject: [talk 7] Re: =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=\n"), "{jis}");
        assert_eq!(field(&jis, "subject").as_deref(), Some("[talk 7] Re: 日本"));
        let utf = prefixed("=?utf-8?B?5pel?=", lists::settings::Charset::Utf8);
        assert!(utf.contains("[talk 7] =?UTF-8?B?5pel?=\n"), "{utf}");
        let none = copy("From: a@y.test\n\nx\n", |s| s.prefix = "[%M %S]".into(), false);
        assert_eq!(field(&none, "subject").as_deref(), Some("[talk 7]"));
        let raw = copy("From: a@y.test\nSubject:   odd  =?bad\n\nx\n", |_| {}, false);
        assert!(raw.contains("Subject:   odd  =?bad\n"));
    }

    #[test]
    fn reply_to_follows_the_policy() {
        use ReplyTo::*;
        for (policy, rewrites, own, expected) in [
            (Leave, false, "", None),
            (Leave, false, "Reply-To: o@y.test\n", Some("o@y.test")),
            (Leave, true, "", Some("a@y.test")),
            (Leave, true, "Reply-To: o@y.test\n", Some("o@y.test")),
            (List, false, "Reply-To: o@y.test\n", Some("talk@x.test")),
            (Sender, false, "Reply-To: o@y.test\n", Some("a@y.test")),
            (Both, false, "", Some("a@y.test, talk@x.test")),
            (Remove, false, "Reply-To: o@y.test\n", None),
            (Remove, true, "Reply-To: o@y.test\n", Some("a@y.test")),
        ] {
            let text = copy(&format!("From: a@y.test\n{own}\nx\n"), |s| s.reply_to = policy, rewrites);
            assert_eq!(field(&text, "reply-to").as_deref(), expected, "{policy:?} {rewrites} {own}");
        }
    }

    #[test]
    fn the_list_stands_in_from_with_the_authors_name() {
        let text = copy("From: =?utf-8?B?5pel?= <a@y.test>\nSender: s@y.test\n\nx\n", |_| {}, true);
        assert_eq!(field(&text, "from").as_deref(), Some("日 via talk <talk@x.test>"));
        assert_eq!(field(&text, "x-original-from").as_deref(), Some("日 <a@y.test>"));
        assert_eq!(field(&text, "sender"), None);
        assert!(copy("From: a@y.test\n\nx\n", |_| {}, true).starts_with("From: a via talk <talk@x.test>\n"));
    }

    #[test]
    fn a_post_without_an_empty_line_gets_one() {
        assert!(copy("From: a@y.test\nno field\n", |_| {}, false).ends_with("X-Loop: talk@x.test\n\nno field\n"));
    }
}
