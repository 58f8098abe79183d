use super::*;
use crate::msg;
use crate::msg::structure::{Shape, Structure};

const HEADER: &str = "From: talk-control@l.test\nTo: talk@l.test\nSubject: talk Digest V2026 #5\n";

fn head() -> Masthead<'static> {
    Masthead {
        title: "talk Digest".into(),
        volume: "2026".into(),
        issue: 5,
        now: Timestamp::parse_rfc3339("2026-11-30T09:00:00Z").unwrap(),
        header: HEADER,
        charset: Charset::Utf8,
        language: Language::English,
        notes: "Write to talk-control@l.test.",
    }
}

fn collected(number: u64, message: &str) -> Collected {
    Collected { entry: Entry::of(number, message.as_bytes(), Timestamp(0)), message: message.as_bytes().to_vec() }
}

fn posts() -> Vec<Collected> {
    vec![
        collected(
            7,
            "Received: from x\nSubject: one\nFrom: Ann <ann@a.test>\nDate: Mon, 30 Nov 2026 09:00:00 +0000\n\n\nHello\n\n",
        ),
        collected(
            8,
            "Subject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\nFrom: bob@b.test\nContent-Type: text/plain; charset=iso-2022-jp\n\n\u{1b}$BF|K\\\u{1b}(B\n------------------------------\n-----\nbye",
        ),
        collected(
            9,
            "Subject: three\nFrom: c@c.test\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\nplain\n--c\nContent-Type: text/html\n\n<p>html\n--c--\n--b\nContent-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\n\nAAAA\n--b--\n",
        ),
    ]
}

#[test]
fn a_plain_digest_follows_its_rfc() {
    let digest = String::from_utf8(plain(&Masthead { charset: Charset::Iso2022Jp, ..head() }, &posts())).unwrap();
    let (header, body) = digest.split_once("\n\n").unwrap();
    assert!(
        header.starts_with(HEADER) && header.contains("charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit"),
        "{header}"
    );
    let (long, short) = ("-".repeat(70), "-".repeat(30));
    let lines: Vec<&str> = body.lines().collect();
    let at = lines.iter().position(|line| *line == long).unwrap();
    assert!(lines[0].starts_with("talk Digest    Mon, 30 Nov 2026    Volume 2026 : Issue 5"), "{}", lines[0]);
    assert!(lines[..at].contains(&"      7  one (Ann)") && lines[at + 1].is_empty(), "{body}");
    let separators: Vec<usize> = (0..lines.len()).filter(|n| lines[*n] == short).collect();
    assert_eq!(separators.len(), 3, "{body}");
    assert!(separators.iter().all(|n| lines[n - 1].is_empty() && lines[n + 1].is_empty()));
    assert_eq!(
        lines[at + 2..at + 7],
        ["Date: Mon, 30 Nov 2026 09:00:00 +0000", "From: Ann <ann@a.test>", "Subject: one", "", "Hello"]
    );
    // The line that would end the post has lost a hyphen to a blank.
    assert!(lines.contains(&format!(" {}", "-".repeat(29)).as_str()) && lines.contains(&"-----"));
    assert!(body.contains("\u{1b}$BF|K\\\u{1b}(B\n"), "{body}");
    assert!(lines.contains(&"plain") && !body.contains("html\n") && lines.contains(&"[image/png a.png, 4 octets]"));
    let end = "End of talk Digest V2026 Issue #5";
    assert!(body.ends_with(&format!("\n{short}\n\n{end}\n{}\n", "*".repeat(end.len()))), "{body}");
}

#[test]
fn a_mime_digest_keeps_each_post_as_it_is() {
    let posts = posts();
    let digest = mime(&head(), &posts);
    let structure = Structure::of(&digest);
    let kinds: Vec<String> = structure
        .parts()
        .iter()
        .map(|part| {
            format!("{}/{}", String::from_utf8_lossy(part.media.kind), String::from_utf8_lossy(part.media.subtype))
        })
        .collect();
    assert_eq!(kinds[..4], ["multipart/mixed", "text/plain", "multipart/digest", "message/rfc822"]);
    assert_eq!(structure.children(0).count(), 3);
    let messages: Vec<&[u8]> = structure
        .children(2)
        .map(|part| {
            assert_eq!(structure.parts()[part].shape, Shape::Message);
            &digest[structure.parts()[part].body.clone()]
        })
        .collect();
    assert_eq!(messages, posts.iter().map(|post| post.message.as_slice()).collect::<Vec<_>>());
    let toc = msg::text::part_text(&digest, &structure.parts()[1]).unwrap();
    assert!(toc.contains("      8  日本 (bob@b.test)"), "{toc}");
}

#[test]
fn a_post_cannot_end_the_digest() {
    let first = mime(&head(), &[collected(1, "Subject: x\n\nx\n")]);
    let text = String::from_utf8(first).unwrap();
    let hostile: String = text.lines().filter(|line| line.starts_with("--=_")).map(|l| format!("{l}\n")).collect();
    let post = collected(1, &format!("Subject: x\n\n{hostile}"));
    let digest = mime(&head(), &[post.clone(), post.clone()]);
    let structure = Structure::of(&digest);
    assert_eq!(structure.children(2).count(), 2);
    // Eight-bit posts are said to be so all the way up (RFC 2045 §6.4).
    let digest = mime(&head(), &[collected(1, "Subject: x\n\ncafé\n")]);
    assert_eq!(String::from_utf8_lossy(&digest).matches("Content-Transfer-Encoding: 8bit\n").count(), 3);
}
