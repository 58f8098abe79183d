use super::*;

fn tokens(text: &[u8], style: Style) -> Vec<String> {
    let alphabet = Alphabet::new(b".:%@!^/[]+");
    let found = alphabet.scan(text, 0, style).unwrap();
    found.tokens.iter().map(|t| String::from_utf8_lossy(t).into_owned()).collect()
}

#[test]
fn tokens_are_cut_by_class() {
    let table: &[(&str, &[&str])] = &[
        ("alice@other.test", &["alice", "@", "other", ".", "test"]),
        ("a\"b\"c", &["a", "\"b\"", "c"]),
        ("a\\.b", &["a\\.b"]),
        ("host\\!user", &["host", "!", "user"]),
        ("\"a\\\"b\" c", &["\"a\\\"b\"", "c"]),
        ("  a   b  ", &["a", "b"]),
        ("a(c (d) e)b", &["a", "b"]),
        ("\"a(b\"", &["\"a(b\""]),
        ("", &[]),
    ];
    for (text, expected) in table {
        assert_eq!(tokens(text.as_bytes(), Style::Mail), *expected, "{text}");
    }
    assert_eq!(tokens(b"a(b)", Style::Typed), ["a", "(", "b", ")"]);
}

#[test]
fn imbalance_is_repaired_and_reported() {
    let alphabet = Alphabet::new(OPERATORS);
    for (text, complaint, joined) in [
        ("<a", "Unbalanced '<'", "<a>"),
        ("a>", "Unbalanced '>'", "a"),
        ("\"a", "Unbalanced '\"'", "\"a\""),
        ("a(b", "Unbalanced '('", "a"),
        ("a)", "Unbalanced ')'", "a"),
    ] {
        let found = alphabet.scan(text.as_bytes(), 0, Style::Mail).unwrap();
        assert_eq!(found.complaints, [complaint], "{text}");
        assert_eq!(alphabet.join(&found.tokens, b' '), joined.as_bytes());
        assert!(alphabet.scan(text.as_bytes(), 0, Style::Rule).unwrap().complaints.is_empty());
    }
}

#[test]
fn blanks_return_between_atoms_only() {
    let alphabet = Alphabet::new(OPERATORS);
    let found = alphabet.scan(b"a . b c \"d\" e", 0, Style::Mail).unwrap();
    assert_eq!(alphabet.join(&found.tokens, b'_'), b"a.b_c\"d\"e");
}

#[test]
fn stable_tokens_are_those_that_come_back() {
    let alphabet = Alphabet::new(OPERATORS);
    let table: &[(&[&str], bool)] = &[
        (&["joe", "<", "@", "a", ".", "b", ">"], true),
        (&[], true),
        (&["a", "b"], false),
        (&["\"a\"", "b"], false),
        (&["a\\", "."], false),
        (&["("], false),
        (&["<"], false),
        (&[">", "<"], false),
        (&["@", "@"], true),
        (&["a b"], false),
        (&["\u{97}"], false),
    ];
    for (texts, stable) in table {
        let tokens: Vec<Token> = texts.iter().map(|text| Token::new(text.as_bytes())).collect();
        assert_eq!(alphabet.is_stable(&tokens), *stable, "{texts:?}");
        if *stable {
            let again = alphabet.scan(&alphabet.join(&tokens, b' '), 0, Style::Default).unwrap();
            assert!(again.complaints.is_empty());
            assert_eq!(again.tokens, tokens, "{texts:?}");
        }
    }
    let long: Vec<Token> = (0..400).flat_map(|_| [Token::new(b"abc"), Token::new(b".")]).collect();
    assert!(!alphabet.is_stable(&long) && alphabet.scan(&alphabet.join(&long, b' '), 0, Style::Default).is_err());
}

#[test]
fn a_stop_counts_outside_quotes_and_routes_only() {
    let alphabet = Alphabet::new(OPERATORS);
    let end = |text: &[u8]| alphabet.scan(text, b',', Style::Mail).unwrap().end;
    assert_eq!(end(b"a\",\",c"), 4);
    assert_eq!(end(b"<@a,@b:c>,d"), 9);
    assert_eq!(end(b"<a,b>"), 2);
}

#[test]
fn limits_are_errors() {
    let alphabet = Alphabet::new(OPERATORS);
    let scan = |text: Vec<u8>| alphabet.scan(&text, 0, Style::Mail).map(|found| found.tokens.len());
    assert_eq!(scan(vec![b'a'; TOKEN_LIMIT - 1]), Ok(1));
    assert_eq!(scan(vec![b'a'; TOKEN_LIMIT]), Err(ScanError::TokenTooLong));
    assert_eq!(scan(vec![b'a'; 2 * SCAN_LIMIT]), Err(ScanError::TooLong));
}

#[test]
fn a_backslash_before_the_end_is_lost_and_before_a_repair_it_stays() {
    let alphabet = Alphabet::new(OPERATORS);
    for (text, tokens, complaints, end) in [
        (&b"a\\,b"[..], &["a"][..], 0, 2),
        (b"\"a\\,b\",c", &["\"a\\,b\""], 0, 6),
        (b"a\\", &["a"], 0, 2),
        (b"<a\\", &["<", "a\\>", ">"], 2, 3),
        (b"<a\\,b", &["<", "a\\>", ">"], 2, 3),
        (b"\"a\\", &["\"a\\\"\""], 2, 3),
    ] {
        let found = alphabet.scan(text, b',', Style::Typed).unwrap();
        let shown: Vec<_> = found.tokens.iter().map(|token| String::from_utf8_lossy(token).into_owned()).collect();
        let text = String::from_utf8_lossy(text);
        assert_eq!(
            (shown, found.complaints.len(), found.end),
            (tokens.iter().map(ToString::to_string).collect(), complaints, end),
            "{text}"
        );
    }
}
