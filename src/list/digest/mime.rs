//! The MIME form of a digest.

use super::{Collected, Masthead};
use crate::msg::encode;

/// A digest as a whole message.
pub fn mime(head: &Masthead, posts: &[Collected]) -> Vec<u8> {
    let inner = posts_part(posts);
    let outer = boundary("digest", &[&inner]);
    let mut out = head.header.as_bytes().to_vec();
    out.extend_from_slice(
        format!("MIME-Version: 1.0\nContent-Type: multipart/mixed;\n\tboundary=\"{outer}\"\n").as_bytes(),
    );
    if !inner.is_ascii() {
        out.extend_from_slice(b"Content-Transfer-Encoding: 8bit\n");
    }
    out.extend_from_slice(format!("\n--{outer}\n").as_bytes());
    text_part(&head.preamble(posts), head, &mut out);
    out.extend_from_slice(format!("\n--{outer}\n").as_bytes());
    out.extend_from_slice(&inner);
    out.extend_from_slice(format!("\n--{outer}\n").as_bytes());
    text_part(&head.trailer(), head, &mut out);
    out.extend_from_slice(format!("\n--{outer}--\n").as_bytes());
    out
}

/// The posts as one part, multipart/digest, with its header: for a mail that has other parts, too.
pub fn posts_part(posts: &[Collected]) -> Vec<u8> {
    let messages: Vec<&[u8]> = posts.iter().map(|post| post.message.as_slice()).collect();
    let boundary = boundary("posts", &messages);
    let mut out = format!("Content-Type: multipart/digest;\n\tboundary=\"{boundary}\"\n").into_bytes();
    if messages.iter().any(|message| !message.is_ascii()) {
        out.extend_from_slice(b"Content-Transfer-Encoding: 8bit\n");
    }
    for message in messages {
        out.extend_from_slice(format!("\n--{boundary}\nContent-Type: message/rfc822\n").as_bytes());
        if !message.is_ascii() {
            out.extend_from_slice(b"Content-Transfer-Encoding: 8bit\n");
        }
        out.push(b'\n');
        // The line end before a delimiter is the delimiter's (RFC 2046 §5.1.1): the post keeps its own.
        out.extend_from_slice(message);
    }
    out.extend_from_slice(format!("\n--{boundary}--\n").as_bytes());
    out
}

fn text_part(text: &str, head: &Masthead, out: &mut Vec<u8>) {
    let body = encode::body(text, head.charset);
    let header = format!(
        "Content-Type: text/plain; charset={}\nContent-Transfer-Encoding: {}\nContent-Disposition: inline\n\n",
        body.charset, body.encoding
    );
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&body.octets);
}

/// A boundary that no line of these texts begins with.
fn boundary(name: &str, texts: &[&[u8]]) -> String {
    let crc = texts.iter().fold(0, |crc, text| crc32fast::hash(text) ^ crc32fast::hash(&u32::to_le_bytes(crc)));
    let mut salt = crc;
    loop {
        let boundary = format!("=_{name}_{salt:08x}");
        if texts.iter().all(|text| memchr::memmem::find(text, boundary.as_bytes()).is_none()) {
            return boundary;
        }
        salt = salt.wrapping_add(1);
    }
}
