//! Twice the message, about twice the time: everything that is shown of a message is linear in it.

use expressmail::msg::{
    bodystructure, date, envelope::Envelope, folding, html, nstring::Quoting, structure::Structure, subject, text,
    words,
};
use std::time::Duration;

/// Everything that is not counted in bytes of the stored text already.
fn work(message: &[u8]) {
    let structure = Structure::of(message);
    let mut out = Vec::new();
    bodystructure::envelope(&Envelope::of(message), Quoting::Ascii, &mut out);
    bodystructure::body(message, &structure, true, Quoting::Ascii, &mut out);
    std::hint::black_box(out.len());
    text::any_body_text(message, &structure, |found| folding::fold_for_search(found).is_empty());
    std::hint::black_box(text::preview(message, &structure));
}

/// What this thread has worked so far: other programs on the machine do not count.
fn worked() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

/// A doubling may cost 2.2 times; measured over two doublings, the best of a few runs, so that a busy machine passes too.
fn is_linear(name: &str, shape: &dyn Fn(usize) -> String, mut act: impl FnMut(&[u8])) {
    let mut time = |text: &str| {
        let run = |_| {
            let started = worked();
            act(text.as_bytes());
            worked().saturating_sub(started)
        };
        (0..4).map(run).min().unwrap_or_default()
    };
    let (small, large) = (shape(4_000), shape(16_000));
    // What is not linear fails every try.
    let grows_as_it_should = (0..10).any(|_| {
        let once = time(&small);
        time(&large) < once.mul_f64(2.2 * 2.2) + Duration::from_millis(3)
    });
    assert!(grows_as_it_should, "{name}");
}

type Shape = (&'static str, fn(usize) -> String);

const HEADERS: &[Shape] = &[
    ("addresses", |n| format!("To: {}\n\n", "a@b.c, ".repeat(n))),
    ("quotes", |n| format!("To: {}\n\n", "\"\\".repeat(n))),
    ("open comments", |n| format!("To: {}\n\n", "(a ".repeat(n))),
    ("open literals", |n| format!("To: {}\n\n", "[a ".repeat(n))),
    ("angles", |n| format!("To: {}\n\n", "<a@".repeat(n))),
    ("groups", |n| format!("To: {}\n\n", "a:".repeat(n))),
    ("escapes", |n| format!("To: {}\n\n", "\x1b$B".repeat(n))),
    ("one member", |n| format!("To: {}\n\n", "a b@c ".repeat(n))),
    ("folded", |n| format!("Subject: {}\n\n", "a\n ".repeat(n))),
    ("encoded words", |n| format!("Subject: {}\n\n", "=?utf-8?Q?a?= ".repeat(n))),
    ("open encoded words", |n| format!("Subject: {}\n\n", "=?utf-8?Q?a ".repeat(n))),
    ("pieces", |n| format!("Content-Type: a/b{}\n\n", (0..n).map(|i| format!(";x*{i}=y")).collect::<String>())),
    ("names of pieces", |n| {
        format!("Content-Type: a/b{}\n\n", (0..n).map(|i| format!(";x{i}*0=y")).collect::<String>())
    }),
    ("languages", |n| format!("Content-Language: {}\n\n", "en,".repeat(n))),
];

const BODIES: &[Shape] = &[
    ("parts", |n| format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(n))),
    ("messages", |n| "Content-Type: message/rfc822\n\n".repeat(n)),
    ("boundaries", |n| (0..n).map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}x\n\n--b{i}x\n")).collect()),
    ("delimiters in headers", |n| {
        (0..n).map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}x\n--b{i}x\n")).collect()
    }),
    ("html", |n| format!("Content-Type: text/html\n\n{}", "<a <b>&amp;".repeat(n))),
    ("open html", |n| format!("Content-Type: text/html\n\n{}", "<script></script ".repeat(n))),
    ("base64", |n| format!("Content-Transfer-Encoding: base64\n\n{}", "QUJD*\n".repeat(n))),
    ("quoted-printable", |n| format!("Content-Transfer-Encoding: quoted-printable\n\n{}", "=C3=A9 \t\n".repeat(n))),
    ("iso-2022-jp", |n| format!("Content-Type: text/plain; charset=iso-2022-jp\n\n{}", "\x1b$BF|\x1b(B".repeat(n))),
    ("combining", |n| format!("Content-Type: text/plain; charset=utf-8\n\n{}", "e\u{301}\u{323}".repeat(n))),
    ("blanks", |n| format!("A: b\n\n{}", " \t\n".repeat(n))),
];

#[test]
fn whole_messages_cost_linear_time() {
    for (name, shape) in HEADERS.iter().chain(BODIES) {
        is_linear(name, shape, work);
    }
}

#[test]
fn single_readers_cost_linear_time() {
    is_linear("comments in dates", &|n| "(".repeat(n), |text| assert_eq!(date::parse(text), None));
    is_linear("blobs", &|n| "[a]".repeat(n), |text| drop(subject::base_subject(&String::from_utf8_lossy(text))));
    is_linear("fwd", &|n| "[fwd:re[x]:".repeat(n), |text| drop(subject::base_subject(&String::from_utf8_lossy(text))));
    is_linear("entities", &|n| "&amp".repeat(n), |text| drop(html::text(&String::from_utf8_lossy(text))));
    is_linear("words", &|n| "=?utf-8?B?=?= =?".repeat(n), |text| drop(words::decode_text(text)));
}
