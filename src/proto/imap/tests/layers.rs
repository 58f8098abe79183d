//! What stands before the first command, and what lies below all of them.

use super::*;

#[test]
fn a_proxy_header_names_the_client() {
    let proxied = || Context { expects_proxy: true, ..context() };
    for step in [1, 5, 100] {
        let mut talk = Talk::new(config(), proxied());
        for piece in b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 143\r\na CAPABILITY\r\n".chunks(step) {
            talk.say(piece);
        }
        let text = talk.text();
        assert!(text.starts_with("* OK [CAPABILITY ") && text.ends_with("a OK done\r\n"), "{text}");
        // What may be done without TLS from here may not be done from there.
        assert!(text.contains("LOGINDISABLED"), "{text}");
        assert_eq!(talk.session.context.ip, Some("192.0.2.1".parse().unwrap()));
    }
    let mut talk = Talk::new(config(), proxied());
    talk.say(b"a NOOP\r\n");
    assert!(talk.is_closed && talk.out.is_empty());
}

#[test]
fn compression_begins_behind_its_reply() {
    let mut config = config();
    config.capabilities.push("COMPRESS=DEFLATE".into());
    let mut talk = Talk::new(config, context());
    talk.say(b"a COMPRESS DEFLATE\r\n");
    assert!(talk.text().contains("\r\na BAD log in first\r\n"), "{}", talk.text());
    talk.say(b"l LOGIN alice right\r\n");
    talk.say(b"b COMPRESS LZW\r\n");
    assert!(talk.text().contains("\r\nb BAD "), "{}", talk.text());
    talk.forget();
    let input = b"c COMPRESS deflate\r\nd NOOP\r\n";
    assert_eq!(talk.session.input(talk.now, input), 20);
    assert!(matches!(talk.session.next(), Step::Send(out) if out.starts_with(b"c OK ")));
    assert_eq!(talk.session.next(), Step::Compress);
    talk.say(b"d COMPRESS DEFLATE\r\n");
    assert!(talk.text().starts_with("d BAD "), "{}", talk.text());
}
