//! Who the client is.

use super::*;

#[test]
fn logins() {
    let talk = both(fresh, b"a LOGIN alice wrong\r\nb AUTHENTICATE PLAIN AGFsaWNlAHJpZ2h0\r\n");
    assert!(talk.text().contains("a NO [AUTHENTICATIONFAILED] wrong name or password\r\nb OK [CAPABILITY"));
    let talk = both(fresh, b"a AUTHENTICATE PLAIN\r\nAGFsaWNlAHJpZ2h0\r\nb NOOP\r\n");
    assert!(talk.text().contains("+ \r\na OK [CAPABILITY") && talk.text().ends_with("b OK done\r\n"));
    let talk = both(fresh, b"a AUTHENTICATE LOGIN\r\nYWxpY2U=\r\ncmlnaHQ=\r\nb NOOP\r\n");
    assert!(talk.text().contains("+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\na OK"));
    let talk = both(
        fresh,
        b"a AUTHENTICATE PLAIN\r\n*\r\nb AUTHENTICATE PLAIN =x=\r\nc AUTHENTICATE CRAM-MD5\r\nd AUTHENTICATE PLAIN YQBhbGljZQByaWdodA==\r\n",
    );
    for line in ["a BAD cancelled", "b BAD malformed", "c NO [CANNOT]", "d NO [AUTHORIZATIONFAILED]"] {
        assert!(talk.text().contains(line), "{line} in {}", talk.text());
    }
    let talk = both(without_tls, b"a AUTHENTICATE PLAIN AGFsaWNlAHJpZ2h0\r\nb LOGIN alice right\r\n");
    assert!(talk.text().contains("a NO [PRIVACYREQUIRED]") && talk.text().contains("b NO [PRIVACYREQUIRED]"));
    let talk = both(fresh, b"a LOGIN a no\r\nb LOGIN a no\r\nc LOGIN a no\r\nd LOGIN a right\r\n");
    assert!(
        talk.text().ends_with("c NO [AUTHENTICATIONFAILED] wrong name or password\r\n* BYE too many failed logins\r\n")
    );
    assert!(both(fresh, &b"GET / HTTP/1.1\r\n".repeat(30)).text().ends_with("* BYE too many bad commands\r\n"));
}

#[test]
fn starttls_forgets_and_offers_logins() {
    let mut talk = without_tls();
    talk.say(b"a STARTTLS\r\n");
    assert!(talk.starts_tls && talk.text().ends_with("a OK begin TLS\r\n"));
    talk.starts_tls = false;
    talk.session.tls_started(talk.now, TlsFacts::default());
    talk.say(b"b STARTTLS\r\nc CAPABILITY\r\nd LOGIN alice right\r\n");
    assert!(talk.text().contains("b BAD TLS is on\r\n* CAPABILITY IMAP4rev2 "));
    assert!(
        talk.text().contains(" PREVIEW AUTH=PLAIN AUTH=LOGIN\r\nc OK"),
        "neither STARTTLS nor LOGINDISABLED any more"
    );
    assert!(talk.text().contains("\r\nd OK"));
}
