//! The views of messages, held against whole messages: our own nasty ones, those of other projects where they are at hand, and
//! made-up ones. What IMAP shows is read back by a grammar checker that knows nothing of the printer.

mod corpus;
mod grammar;
mod growth;
mod mutations;
mod properties;

use expressmail::dot::CrlfWindow;
use expressmail::msg::{
    self,
    structure::{DEPTH_LIMIT, PART_LIMIT, Shape, Structure},
};
use expressmail::msg::{
    bodystructure, date, envelope::Envelope, folding, nstring::Quoting, section, subject, text, words,
};
use std::ops::Range;

/// Everything a client may ask of one message; panics, with the reason, when an answer is not what it must be.
pub fn examine(message: &[u8]) {
    let structure = Structure::of(message);
    ranges_are_in_order(message, &structure);
    answers_are_grammatical(message, &structure);
    sections_are_byte_for_byte(message, &structure);
    crlf_changes_nothing(message, &structure);
    texts_are_read(message, &structure);
}

fn ranges_are_in_order(message: &[u8], structure: &Structure) {
    let parts = structure.parts();
    assert!((1..=PART_LIMIT).contains(&parts.len()));
    let mut depths = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        assert!(part.header.start <= part.header.end && part.header.end <= part.body.start);
        assert!(part.body.start <= part.body.end && part.body.end <= message.len());
        let depth = part.parent.map_or(1, |parent: usize| depths[parent] + 1);
        assert!(depth <= DEPTH_LIMIT, "part {i} is {depth} deep");
        depths.push(depth);
        if let Some(parent) = part.parent {
            let outer = &parts[parent].body;
            assert!(outer.start <= part.header.start && part.body.end <= outer.end, "part {i} leaves its parent");
        }
        let mut end = part.body.start;
        let mut children = 0;
        for child in structure.children(i) {
            assert!(child > i && parts[child].parent == Some(i) && parts[child].header.start >= end);
            end = parts[child].body.end;
            children += 1;
        }
        let is_right = match part.shape {
            Shape::Leaf => children == 0,
            Shape::Multipart => children > 0,
            Shape::Message => children == 1,
        };
        assert!(is_right, "part {i} is a {:?} with {children} children", part.shape);
        let body = wire(&message[part.body.clone()]);
        assert_eq!(part.octets, body.len() as u64, "octets of part {i}");
    }
}

fn answers_are_grammatical(message: &[u8], structure: &Structure) {
    for quoting in [Quoting::Ascii, Quoting::Utf8] {
        let mut out = Vec::new();
        let header = &message[structure.root().header.clone()];
        bodystructure::envelope(&Envelope::of(header), quoting, &mut out);
        if let Err(error) = grammar::envelope(&out, quoting) {
            panic!("ENVELOPE: {error}: {}", out.escape_ascii());
        }
        for extended in [false, true] {
            let mut out = Vec::new();
            bodystructure::body(message, structure, extended, quoting, &mut out);
            if let Err(error) = grammar::body(&out, extended, quoting) {
                panic!("BODY, extended {extended}: {error}: {}", out.escape_ascii());
            }
        }
    }
}

fn sections_are_byte_for_byte(message: &[u8], structure: &Structure) {
    let whole = |text| section::locate(message, structure, &section::Section { path: Vec::new(), text });
    let of = |ranges: Option<Vec<Range<usize>>>| {
        let mut window = CrlfWindow::new(message, ranges.expect("a section of the message"), None);
        let (size, mut out) = (window.left(), Vec::new());
        while window.left() > 0 {
            window.fill(message, 1000, &mut out);
        }
        assert_eq!(size, out.len() as u64);
        out
    };
    let body = of(whole(section::SectionText::Whole));
    assert!(body == wire(message), "BODY[] is not the message");
    let mut halves = of(whole(section::SectionText::Header));
    halves.extend(of(whole(section::SectionText::Text)));
    assert!(halves == body, "header and text are not the message");
    let mut fields = of(whole(section::SectionText::HeaderFieldsNot(Vec::new())));
    fields.extend(of(whole(section::SectionText::Text)));
    assert!(fields == body, "all fields and the text are not the message");
}

/// A message and its CRLF form look the same to a client.
fn crlf_changes_nothing(message: &[u8], structure: &Structure) {
    let print = |text: &[u8], structure: &Structure| {
        let mut out = Vec::new();
        bodystructure::body(text, structure, true, Quoting::Ascii, &mut out);
        out
    };
    let crlf = wire(message);
    // A header at its limit is cut where the limit is, and that is elsewhere in the CRLF form.
    if structure.parts().iter().all(|part| part.header.len() < msg::HEADER_LIMIT / 2) {
        let (stored, sent) = (print(message, structure), print(&crlf, &Structure::of(&crlf)));
        assert!(stored == sent, "{}\n{}", stored.escape_ascii(), sent.escape_ascii());
    }
}

fn texts_are_read(message: &[u8], structure: &Structure) {
    text::any_body_text(message, structure, |found| {
        folding::fold_for_search(found);
        false
    });
    assert!(text::preview(message, structure).chars().count() <= text::PREVIEW_LIMIT);
    let header = &message[structure.root().header.clone()];
    text::header_text(header);
    let envelope = Envelope::of(header);
    subject::base_subject(&words::decode_text(envelope.subject.as_deref().unwrap_or(b"")));
    date::parse(envelope.date.as_deref().unwrap_or(b""));
    structure.parts().iter().for_each(|part| drop(words::file_name(part)));
}

/// The CRLF form, made the slow way.
pub fn wire(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 16);
    for byte in text {
        if *byte == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}
