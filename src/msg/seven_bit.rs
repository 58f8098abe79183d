//! A message for a host that takes seven bits only: what is outside ASCII is encoded, and says the same once it is decoded.
//!
//! Called by the queue's SMTP client when the next host does not offer 8BITMIME. Pure; the stored message is never changed.
//!
//! | what | becomes |
//! |---|---|
//! | the body of a text part, in clear | quoted-printable, or base64 where that is shorter |
//! | the body of any other part, in clear | base64 |
//! | a part, or a whole message, without Content-Type | text/plain with charset utf-8, or unknown-8bit (RFC 1428) where it is not UTF-8 |
//! | a multipart or message that said 8bit | 7bit, once all inside is |
//! | header fields in UTF-8 | as [`surrogate`] has them |
//! | other header fields | encoded words with charset unknown-8bit |
//! | what stands between the parts and belongs to none | `?` for each octet |
//!
//! multipart/signed and multipart/encrypted keep every octet of their parts, as with sendmail's class n: encoding would break the signature, and
//! hosts that spoil the eighth bit are fewer than readers who check. The same holds for a multipart with a boundary outside ASCII, and for what RFC
//! 2045 §6.4 and RFC 2046 §5.2 do not allow to encode.
//! RFC 2045 §6, RFC 2046 §5.2, RFC 6152 §3, RFC 1428.

mod ebcdic;

use super::content::Content;
use super::header::{find, pieces};
use super::structure::{Part, Shape, Structure};
use super::surrogate;
use super::transfer::Transfer;
use encodify::{base64, qp};
use std::ops::Range;

/// Octets in one encoded word: with its frame it then has at most 75 characters (RFC 2047 §2).
const WORD: usize = 36;

/// The message in seven bits; `None` where nothing changes.
pub fn message(text: &[u8]) -> Option<Vec<u8>> {
    message_for(text, Wish::default())
}

/// What a host wants beside seven bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish<'a> {
    /// What text is called that says nothing of its character set; `None` for a guess.
    pub charset: Option<&'a str>,
    /// Quoted-printable has no characters that EBCDIC may lack.
    pub is_ebcdic: bool,
}

/// The same, as a host wishes it.
pub fn message_for(text: &[u8], wish: Wish<'_>) -> Option<Vec<u8>> {
    if text.is_ascii() {
        return None;
    }
    let structure = Structure::of(text);
    let fates = fates(text, &structure);
    let mut out = Vec::with_capacity(text.len() + text.len() / 2);
    let mut done = 0;
    for (part, fate) in structure.parts().iter().zip(&fates) {
        // What a header of a part inside says of the parts around it is said only once.
        let header = part.header.start.max(done)..part.header.end;
        if *fate == Fate::Inside || header.is_empty() && part.parent.is_some() {
            continue;
        }
        put_gap(&text[done..header.start.max(done)], &mut out);
        let body = encoded(text, part, fate, wish);
        let encoding = body.as_ref().map(|(name, _)| *name);
        put_header(text, header.clone(), part, fate, (encoding, wish.charset), &mut out);
        done = header.end.max(done);
        if let Some((_, body)) = &body {
            out.extend_from_slice(body);
            done = part.body.end;
        } else if *fate == Fate::Kept {
            out.extend_from_slice(&text[part.body.clone()]);
            done = part.body.end;
        }
    }
    put_gap(&text[done..], &mut out);
    (out != text).then_some(out)
}

/// What is to become of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing in it is outside ASCII once its parts, if it has any, are encoded.
    Clear,
    /// The same, but for some part that is kept.
    Mixed,
    /// A leaf to be encoded.
    Encoded,
    /// Its body stays as it is.
    Kept,
    /// It is inside of one that is kept.
    Inside,
}

fn fates(text: &[u8], structure: &Structure) -> Vec<Fate> {
    let parts = structure.parts();
    let mut fates: Vec<Fate> = Vec::with_capacity(parts.len());
    for part in parts {
        let is_inside = part.parent.is_some_and(|parent| matches!(fates[parent], Fate::Kept | Fate::Inside));
        let is_ascii = || text[part.body.clone()].is_ascii();
        fates.push(match part.shape {
            _ if is_inside => Fate::Inside,
            Shape::Multipart if is_sealed(part) => Fate::Kept,
            Shape::Leaf if is_ascii() => Fate::Clear,
            Shape::Leaf if may_encode(&text[part.header.clone()], part) => Fate::Encoded,
            Shape::Leaf => Fate::Kept,
            Shape::Multipart | Shape::Message => Fate::Clear,
        });
    }
    for (at, part) in parts.iter().enumerate().rev() {
        let is_left = fates[at] == Fate::Mixed || fates[at] == Fate::Kept && !text[part.body.clone()].is_ascii();
        if let Some(parent) = part.parent.filter(|parent| is_left && fates[*parent] == Fate::Clear) {
            fates[parent] = Fate::Mixed;
        }
    }
    fates
}

fn is_sealed(part: &Part<'_>) -> bool {
    let boundary = part.media.parameter("boundary").unwrap_or_default();
    part.media.is("multipart", "signed") || part.media.is("multipart", "encrypted") || !boundary.is_ascii()
}

/// True for a leaf in clear whose type may be encoded.
fn may_encode(header: &[u8], part: &Part<'_>) -> bool {
    // A broken multipart shows as text; what its header says counts here.
    let media = Content::read(header).media;
    let is_composite = media.as_ref().is_some_and(|media| media.is_kind("multipart") || media.is_kind("message"));
    let is_global = media.as_ref().is_some_and(|media| media.is("message", "global"));
    (!is_composite || is_global) && Transfer::of(part.content.encoding) == Transfer::Identity
}

/// The name of the encoding, and the body in it.
fn encoded(text: &[u8], part: &Part<'_>, fate: &Fate, wish: Wish<'_>) -> Option<(&'static str, Vec<u8>)> {
    if *fate != Fate::Encoded {
        return None;
    }
    let body = &text[part.body.clone()];
    let wire = Transfer::Identity.decode_wire(body)?;
    let as_base64 = base64::MIME.encoded_len(wire.len());
    let is_text = part.media.is_kind("text") || part.media.is_kind("message");
    let (name, made) = match is_text && qp::BODY.encoded_len(body) <= as_base64 {
        true if wish.is_ebcdic => ("quoted-printable", ebcdic::escaped(&qp::BODY.encode(body))),
        true => ("quoted-printable", qp::BODY.encode(body)),
        false => ("base64", base64::MIME.encode(&wire)),
    };
    let mut made = made.replace("\r\n", "\n").into_bytes();
    // The line end before a delimiter is the delimiter's.
    if part.parent.is_some() && name == "base64" && made.last() == Some(&b'\n') {
        made.pop();
    }
    Some((name, made))
}

fn put_gap(text: &[u8], out: &mut Vec<u8>) {
    out.extend(text.iter().map(|b| if b.is_ascii() { *b } else { b'?' }));
}

/// A header with what has become of its body.
fn put_header(
    text: &[u8],
    header: Range<usize>,
    part: &Part<'_>,
    fate: &Fate,
    (encoding, charset): (Option<&str>, Option<&str>),
    out: &mut Vec<u8>,
) {
    let made = surrogate::header(&text[header.clone()]);
    let header = made.as_deref().unwrap_or(&text[header]);
    let claims_bits = part.content.encoding.is_some() && *fate == Fate::Clear && part.shape != Shape::Leaf;
    let is_8bit = Transfer::of(part.content.encoding) == Transfer::Identity;
    let encoding = encoding.or((claims_bits && is_8bit).then_some("7bit"));
    let mut rest = header;
    for piece in pieces(header) {
        rest = &rest[piece.raw.len()..];
        match piece.field {
            Some(field) if encoding.is_some() && field.is("Content-Transfer-Encoding") => {}
            Some(_) => put_field(piece.raw, out),
            None => put_gap(piece.raw, out),
        }
    }
    if let Some(encoding) = encoding {
        if out.last().is_some_and(|b| *b != b'\n') {
            out.push(b'\n');
        }
        let is_root = part.parent.is_none();
        if is_root && find(header, "MIME-Version").is_none() {
            out.extend_from_slice(b"MIME-Version: 1.0\n");
        }
        if *fate == Fate::Encoded && find(header, "Content-Type").is_none() {
            let is_utf8 = std::str::from_utf8(&text[part.body.clone()]).is_ok();
            let charset = charset.unwrap_or(if is_utf8 { "utf-8" } else { "unknown-8bit" });
            out.extend_from_slice(format!("Content-Type: text/plain; charset={charset}\n").as_bytes());
        }
        out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\n").as_bytes());
    }
    put_gap(rest, out);
}

/// A field; what is outside ASCII in it, which is no UTF-8, stands in words. Neighbours share their words, because blanks between
/// encoded words are not shown (RFC 2047 §6.2).
fn put_field(raw: &[u8], out: &mut Vec<u8>) {
    let colon = memchr::memchr(b':', raw).map_or(0, |at| at + 1);
    out.extend_from_slice(&raw[..colon]);
    for line in raw[colon..].split_inclusive(|b| *b == b'\n') {
        let end = line.trim_ascii_end().len();
        let mut rest = &line[..end];
        let mut open: Vec<u8> = Vec::new();
        while !rest.is_empty() {
            let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
            let blank = rest.iter().position(|b| !is_blank(b)).unwrap_or(rest.len());
            let token = rest[blank..].iter().position(is_blank).map_or(rest.len(), |length| blank + length);
            match rest[blank..token].is_ascii() {
                true => {
                    put_words(&mut open, out);
                    out.extend_from_slice(&rest[..token]);
                }
                false if open.is_empty() => {
                    out.extend_from_slice(&rest[..blank]);
                    open.extend_from_slice(&rest[blank..token]);
                }
                false => open.extend_from_slice(&rest[..token]),
            }
            rest = &rest[token..];
        }
        put_words(&mut open, out);
        out.extend_from_slice(&line[end..]);
    }
}

fn put_words(open: &mut Vec<u8>, out: &mut Vec<u8>) {
    let whole = open.as_slice();
    let text = whole.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(whole);
    for (number, word) in text.chunks(WORD).enumerate() {
        let glue = if number == 0 { "" } else { "\n " };
        out.extend_from_slice(format!("{glue}=?unknown-8bit?B?{}?=", base64::STANDARD.encode(word)).as_bytes());
    }
    open.clear();
}

#[cfg(test)]
mod tests;
