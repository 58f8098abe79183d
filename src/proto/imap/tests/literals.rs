//! Literals and lines: what is a command, and what never is.

use super::*;

#[test]
fn a_literal_is_never_a_command() {
    // Whatever becomes of the command, what the literal holds stays a literal.
    let inner = b"x LOGOUT\r\ny LOGOUT\r\n";
    for head in [
        "a CREATE ",
        "a XYZZY ",
        "a LOGIN ",
        "a FETCH ",
        "a APPEND ",
        "a APPEND x ",
        "a APPEND none ",
        "a NOOP",
        "",
        "a",
        "a APPEND x (\\Bad) ",
    ] {
        for plus in ["+", ""] {
            let mut input = format!("{head}{{{}{plus}}}\r\n", inner.len()).into_bytes();
            let mut talk = Talk::in_account();
            talk.say(&input);
            if plus == "+" || talk.text().starts_with('+') {
                talk.say(inner);
                talk.say(b"\r\n");
                input.extend_from_slice(inner);
                input.extend_from_slice(b"\r\n");
            }
            talk.say(b"z NOOP\r\n");
            input.extend_from_slice(b"z NOOP\r\n");
            assert!(talk.text().ends_with("z OK done\r\n"), "{head}{plus}: {}", talk.text());
            assert!(!talk.text().contains("BYE"), "{head}{plus}");
            assert_eq!(both(Talk::in_account, &input).text(), talk.text());
        }
    }
}

#[test]
fn literals_have_limits() {
    // Before login.
    let talk = both(without_tls, b"a LOGIN {5}\r\nb NOOP\r\n");
    assert!(talk.text().contains("a NO [PRIVACYREQUIRED] use STARTTLS first\r\nb OK"), "{}", talk.text());
    let talk = both(fresh, b"a LOGIN {9000}\r\nb NOOP\r\n");
    assert!(talk.text().contains("a BAD [TOOBIG] the literal is too large\r\nb OK"), "{}", talk.text());
    assert!(both(fresh, b"a LOGIN {9000+}\r\n").text().ends_with("* BYE [TOOBIG] the literal is too large\r\n"));
    let many = format!("a LOGIN{}\r\nb NOOP\r\n", " {0+}\r\n".repeat(1000));
    assert!(both(fresh, many.as_bytes()).is_closed || both(fresh, many.as_bytes()).text().contains("a BAD"));
    // After it.
    let large = vec![b'x'; 2 << 20];
    let mut input = format!("a SELECT {{{}+}}\r\n", large.len()).into_bytes();
    input.extend_from_slice(&large);
    input.extend_from_slice(b"\r\nb NOOP\r\n");
    let mut talk = Talk::in_account();
    talk.say(&input);
    assert_eq!(talk.text(), "a BAD [TOOBIG] the literal is too large\r\nb OK done\r\n");
    assert!(both(Talk::in_account, b"a SELECT {99999999999+}\r\n").text().starts_with("* BYE [TOOBIG]"));
    assert!(both(Talk::in_account, b"a SELECT {99999999999999999999+}\r\n").text().starts_with("* BYE [TOOBIG]"));
    // LITERAL-.
    let minus = || {
        let mut config = config();
        config.capabilities.retain(|c| c != "LITERAL+");
        let mut talk = Talk::new(config, context());
        talk.say(b"l LOGIN alice right\r\n");
        talk.forget();
        talk
    };
    let mut talk = minus();
    let mut input = b"a APPEND x {5000+}\r\n".to_vec();
    input.extend_from_slice(&large[..5000]);
    input.extend_from_slice(b"\r\nb NOOP\r\n");
    talk.say(&input);
    assert_eq!(talk.text(), "a BAD [TOOBIG] the literal has to wait for us\r\nb OK done\r\n");
}

#[test]
fn a_line_without_end_ends_the_connection() {
    let mut talk = Talk::in_account();
    talk.say(&vec![b'x'; 70_000]);
    talk.say(b"\r\nb NOOP\r\n");
    assert!(talk.is_closed && talk.text() == "* BYE a line is too long\r\n");
    let mut talk = fresh();
    talk.forget();
    talk.say(&vec![b'x'; 20_000]);
    talk.say(b" {5+}\r\n");
    assert!(talk.is_closed);
}
