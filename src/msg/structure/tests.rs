use super::*;

/// Leaves as `subtype"body"`, others as `subtype{parts}`.
fn show(text: &[u8]) -> String {
    let structure = Structure::of(text);
    check(text, &structure);
    let mut out = String::new();
    fn put(out: &mut String, text: &[u8], structure: &Structure, at: usize) {
        let part = &structure.parts()[at];
        out.push_str(&part.media.subtype.escape_ascii().to_string());
        if part.shape == Shape::Leaf {
            out.push_str(&format!("{:?}", String::from_utf8_lossy(&text[part.body.clone()])));
            return;
        }
        out.push('{');
        for (i, child) in structure.children(at).enumerate() {
            out.push_str(if i > 0 { " " } else { "" });
            put(out, text, structure, child);
        }
        out.push('}');
    }
    put(&mut out, text, &structure, 0);
    out
}

/// The invariants of the module header.
fn check(text: &[u8], structure: &Structure) {
    for (i, part) in structure.parts().iter().enumerate() {
        assert!(part.header.start <= part.header.end && part.header.end <= part.body.start);
        assert!(part.body.start <= part.body.end && part.body.end <= text.len());
        let body = &text[part.body.clone()];
        assert_eq!(part.octets, dot::crlf_size(body), "octets of part {i}");
        assert_eq!(part.lines, body.iter().filter(|b| **b == b'\n').count() as u64, "lines of part {i}");
        if let Some(parent) = part.parent {
            let outer = &structure.parts()[parent].body;
            assert!(parent < i && outer.start <= part.header.start && part.body.end <= outer.end, "part {i}");
        }
        if let Some(next) = part.next {
            assert!(part.body.end <= structure.parts()[next].header.start);
            assert_eq!(structure.parts()[next].parent, part.parent);
        }
        let children = structure.children(i).count();
        match part.shape {
            Shape::Leaf => assert_eq!(children, 0),
            Shape::Multipart => assert!(children > 0),
            Shape::Message => assert_eq!(children, 1),
        }
    }
}

fn multipart(boundary: &str, body: &str) -> String {
    format!("Content-Type: multipart/mixed; boundary={boundary}\n\n{body}")
}

#[test]
fn truth_table() {
    let mixed = |body: &str| multipart("b", body);
    let nested = "--b\nContent-Type: multipart/alternative; boundary=i\n\n";
    let rfc822 = "Content-Type: message/rfc822\n";
    let table: &[(String, &str)] = &[
        ("".into(), "plain\"\""),
        ("Subject: x\n".into(), "plain\"\""),
        ("\nbody".into(), "plain\"body\""),
        ("A: b\n\nbody\n--b\n".into(), "plain\"body\\n--b\\n\""),
        (mixed("pre\n--b\n\none\n--b\nA: c\n\ntwo\n\n--b--\npost\n"), "mixed{plain\"one\" plain\"two\\n\"}"),
        // A delimiter directly behind the header, blanks behind it, no close-delimiter, no last line end.
        (mixed("--b \t\n\none\n--b--"), "mixed{plain\"one\"}"),
        (mixed("--b\n\none"), "mixed{plain\"one\"}"),
        (mixed("--b"), "mixed{plain\"\"}"),
        // Not at the start of a line, not alone on it, not all of it.
        (mixed("--b\n\nx --b\n --b\n--bb\n--b-\n--\n--b--x\n-- b\n"),
            "mixed{plain\"x --b\\n --b\\n--bb\\n--b-\\n--\\n--b--x\\n-- b\\n\"}"),
        // Nothing is left behind a close-delimiter.
        (mixed("--b\n\none\n--b--\n--b\n\ntwo\n--b--\n"), "mixed{plain\"one\"}"),
        // No parts, or no boundary: text.
        (mixed("only\n"), "plain\"only\\n\""),
        (mixed("--b--\nonly\n"), "plain\"--b--\\nonly\\n\""),
        ("Content-Type: multipart/mixed\n\n--b\n\nx\n".into(), "plain\"--b\\n\\nx\\n\""),
        (multipart("\"\"", "--\n\nx\n--\n"), "plain\"--\\n\\nx\\n--\\n\""),
        // Parts without header, without body, without anything.
        (mixed("--b\n\n--b\nA: c\n--b\n--b\n--b--\n"), "mixed{plain\"\" plain\"\" plain\"\" plain\"\"}"),
        // An outer delimiter ends inner ones; an outer close-delimiter too.
        (mixed(&format!("{nested}--i\n\none\n--b\n\ntwo\n--i\n--b--\n")),
            "mixed{alternative{plain\"one\"} plain\"two\\n--i\"}"),
        (mixed(&format!("{nested}--i\n\none\n--b--\n--i\n\nx")), "mixed{alternative{plain\"one\"}}"),
        (mixed(&format!("{nested}--i\n\none\n--i--\nepilogue\n--b\n\ntwo\n--b--\n")),
            "mixed{alternative{plain\"one\"} plain\"two\"}"),
        // The inner multipart uses the outer boundary.
        (mixed("--b\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--b--\n--b\n\ntwo\n--b--\n"),
            "mixed{alternative{plain\"one\"} plain\"two\"}"),
        // A multipart's header cut by an outer delimiter.
        (mixed("--b\nContent-Type: multipart/alternative; boundary=i\n--b\n\ntwo\n--b--\n"),
            "mixed{plain\"\" plain\"two\"}"),
        // Its own delimiter in its header, with and without an outer one behind it.
        (
            mixed("--b\nContent-Type: multipart/mixed; boundary=i\nA: b\n--i\nContent-Type: text/html\n\none\n--i--\n--b--\n"),
            "mixed{mixed{html\"one\"}}",
        ),
        (
            mixed("--b\nContent-Type: multipart/mixed; boundary=i\n--i\nA: c\n--b\n\ntwo\n--b--\n"),
            "mixed{mixed{plain\"\"} plain\"two\"}",
        ),
        // Messages.
        (format!("{rfc822}\nSubject: in\n\nbody\n"), "rfc822{plain\"body\\n\"}"),
        (format!("{rfc822}\n"), "rfc822{plain\"\"}"),
        (mixed(&format!("--b\n{rfc822}\nSubject: in\n\nbody\n--b--\n")), "mixed{rfc822{plain\"body\"}}"),
        (mixed(&format!("--b\n{rfc822}\nSubject: in\n--b\n{rfc822}\n--b\n{rfc822}--b--\n")),
            "mixed{rfc822{plain\"\"} rfc822{plain\"\"} rfc822\"\"}"),
        (format!("{rfc822}\n{rfc822}\nA: b\n\nx"), "rfc822{rfc822{plain\"x\"}}"),
        ("Content-Type: message/global\n\nA: b\n\nx".into(), "global{plain\"x\"}"),
        // Encoded ones are leaves, if they are.
        (format!("{rfc822}Content-Transfer-Encoding: base64\n\nQTogYgoKeA==\n"), "rfc822\"QTogYgoKeA==\\n\""),
        (format!("{rfc822}Content-Transfer-Encoding: base64\n\nA: b\n\nx"), "rfc822{plain\"x\"}"),
        ("Content-Type: message/global\nContent-Transfer-Encoding: quoted-printable\n\nA: b\n\nx".into(),
            "global\"A: b\\n\\nx\""),
        (format!("Content-Transfer-Encoding: base64\n{}", mixed("LS1i\n")), "plain\"LS1i\\n\""),
        (format!("Content-Transfer-Encoding: base64\n{}", mixed("--b\n\nx\n--b--\n")), "mixed{plain\"x\"}"),
        // A digest's parts are messages unless they say otherwise.
        ("Content-Type: multipart/digest; boundary=b\n\n--b\n\nA: b\n\nx\n--b\nContent-Type: text/html\n\ny\n--b--\n".into(),
            "digest{rfc822{plain\"x\"} html\"y\"}"),
        (multipart("\"foo\n bar \"", "--foo bar\n\nx\n--foo bar--\n"), "mixed{plain\"x\"}"),
        (multipart("x--", "--x\n\na\n--x--\n\nb\n--x----\n"), "mixed{plain\"b\"}"),
    ];
    for (text, expected) in table {
        assert_eq!(show(text.as_bytes()), *expected, "{text:?}");
        let crlf = text.replace('\n', "\r\n");
        assert_eq!(show(crlf.as_bytes()), expected.replace("\\n", "\\r\\n"), "{crlf:?}");
    }
}

#[test]
fn line_ends_may_be_mixed_and_a_bare_cr_is_a_byte() {
    let text = multipart("b", "--b\r\n\nx\ry\r\n--b\n\r\nz\r\n\n--b--\n");
    assert_eq!(show(text.as_bytes()), "mixed{plain\"x\\ry\" plain\"z\\r\\n\"}");
    let text = multipart("b", "--b\n\nx\r--b\n--b--\r");
    assert_eq!(show(text.as_bytes()), "mixed{plain\"x\\r--b\"}");
}

#[test]
fn headers_hold_their_empty_line() {
    let text = multipart("b", "--b\nA: 1\n\nx\n--b\nA: 2\n\n--b\nA: 3\n--b--\n");
    let structure = Structure::of(text.as_bytes());
    let headers: Vec<&str> = structure.parts().iter().map(|p| &text[p.header.clone()]).collect();
    // Where there is no body, the empty line belongs to the delimiter.
    assert_eq!(headers[1..], ["A: 1\n\n", "A: 2\n", "A: 3"]);
}

#[test]
fn part_numbers_name_parts() {
    let inner = "Content-Type: multipart/mixed; boundary=i\n\n--i\n\nfirst\n--i\n\nsecond\n--i--\n";
    let text = multipart(
        "b",
        &format!(
            "--b\n\none\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b\nContent-Type: message/rfc822\n\nA: b\n\nthree\n--b--\n"
        ),
    );
    let structure = Structure::of(text.as_bytes());
    let body = |path: &[u32]| structure.find(path).map(|p| text[structure.parts()[p].body.clone()].trim_end());
    for (path, expected) in [
        (&[1u32][..], Some("one")),
        (&[2, 1], Some("first")),
        (&[2, 2], Some("second")),
        (&[3], Some("A: b\n\nthree")),
        (&[3, 1], Some("three")),
        (&[1, 1], None),
        (&[2, 3], None),
        (&[3, 2], None),
        (&[3, 1, 1], None),
        (&[0], None),
        (&[4], None),
        (&[u32::MAX], None),
    ] {
        assert_eq!(body(path), expected, "{path:?}");
    }
    let plain = Structure::of(b"A: b\n\nbody");
    assert_eq!(
        (plain.find(&[]), plain.find(&[1]), plain.find(&[2]), plain.find(&[1, 1])),
        (Some(0), Some(0), None, None)
    );
    // A message whose body is a message.
    let text = "Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\nA: b\n\nx";
    let structure = Structure::of(text.as_bytes());
    let found: Vec<_> = [&[1u32][..], &[1, 1], &[1, 1, 1], &[1, 1, 1, 1]].iter().map(|p| structure.find(p)).collect();
    assert_eq!(found, [Some(0), Some(1), Some(2), None]);
}

#[test]
fn what_is_too_deep_is_a_leaf() {
    for text in [
        "Content-Type: message/rfc822\n\n".repeat(50_000),
        (0..3000).map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}x\n\n--b{i}x\n")).collect(),
    ] {
        let structure = Structure::of(text.as_bytes());
        check(text.as_bytes(), &structure);
        assert_eq!(structure.parts().len(), DEPTH_LIMIT);
        assert_eq!(structure.parts()[DEPTH_LIMIT - 1].shape, Shape::Leaf);
        assert_eq!(structure.parts()[DEPTH_LIMIT - 1].body.end, text.len());
    }
}

#[test]
fn the_last_part_that_may_be_holds_the_rest() {
    let text = multipart("b", &"--b\n\n".repeat(PART_LIMIT + 100));
    let structure = Structure::of(text.as_bytes());
    check(text.as_bytes(), &structure);
    assert_eq!(structure.parts().len(), PART_LIMIT);
    assert_eq!(structure.parts()[PART_LIMIT - 1].body.end, text.len());
}

/// Twice the text, at most about twice the work: counted in time, the best of several runs, on shapes that are meant to hurt.
#[test]
fn time_is_linear() {
    let deep: String = (0..DEPTH_LIMIT - 1)
        .map(|i| format!("Content-Type: multipart/mixed; boundary=bound{i:02}\n\n--bound{i:02}\n"))
        .collect();
    let shapes: &[&dyn Fn(usize) -> String] = &[
        &|n| format!("{deep}\n{}", "--bound99\n".repeat(n)),
        &|n| format!("{deep}\n{}", "--\n".repeat(n)),
        &|n| format!("{deep}\n--{}", " ".repeat(10 * n)),
        &|n| multipart("b", &"--b\n\n".repeat(2 * n)),
        &|n| "Content-Type: message/rfc822\n\n".repeat(n),
        &|n| (0..n).map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}x\n\n--b{i}x\n")).collect(),
        &|n| format!("Content-Type: a/b{}\n\n", "; x=\"\\".repeat(n)),
        &|n| format!("Content-Type: a/b; {}\n\n", "(".repeat(10 * n)),
        &|n| "\r\n".repeat(5 * n),
    ];
    for (i, shape) in shapes.iter().enumerate() {
        let time = |text: &str| {
            let run = |_| {
                // What this thread works: other programs on the machine do not count.
                let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
                let worked = || nix::time::clock_gettime(clock).map_or(std::time::Duration::ZERO, Into::into);
                let started = worked();
                std::hint::black_box(Structure::of(text.as_bytes()).parts().len());
                worked().saturating_sub(started)
            };
            (0..5).map(run).min().unwrap_or_default()
        };
        let (small, large) = (shape(8_000), shape(32_000));
        // 2.2 a doubling; a millisecond of grace for what is over before the clock ticks. A machine that is busy with something else
        // gets more tries: what is not linear fails them all.
        let grows_as_it_should = || {
            let (once, four_times) = (time(&small), time(&large));
            four_times < once.mul_f64(2.2 * 2.2) + std::time::Duration::from_millis(2)
        };
        assert!((0..10).any(|_| grows_as_it_should()), "shape {i}");
    }
}
