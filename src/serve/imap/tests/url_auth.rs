//! Authorised URLs of one account; tests/it/imap_urls.rs has two.

use super::{Client, World};

impl Client {
    /// Sends a line; gives what comes.
    fn told(&mut self, line: &str) -> String {
        self.say(format!("{line}\r\n").as_bytes());
        self.heard()
    }

    /// Has a URL authorised.
    fn authorised(&mut self, rump: &str) -> String {
        let answer = self.told(&format!("g GENURLAUTH \"{rump}\" INTERNAL"));
        let url =
            answer.strip_prefix("* GENURLAUTH \"").and_then(|rest| rest.strip_suffix("\"\r\ng OK authorised\r\n"));
        url.unwrap_or_else(|| panic!("{answer}")).to_string()
    }

    /// What a URL leads to.
    fn followed(&mut self, url: &str) -> Option<String> {
        let answer = self.told(&format!("u URLFETCH \"{url}\""));
        let rest = answer.strip_prefix(&format!("* URLFETCH \"{url}\" ")).unwrap_or_else(|| panic!("{answer}"));
        let rest = rest.strip_suffix("\r\nu OK fetched\r\n").unwrap_or_else(|| panic!("{answer}"));
        if rest == "NIL" {
            return None;
        }
        let (size, text) = rest.split_once("\r\n").unwrap();
        assert_eq!(size, format!("{{{}}}", text.len()));
        Some(text.to_string())
    }
}

const INBOX: &str = "imap://alice@imap.test/INBOX/;UID=1";

#[test]
fn a_url_leads_to_its_part_until_its_key_is_gone() {
    let world = World::new();
    world.three();
    let mut client = world.client();
    let url = client.authorised(&format!("{INBOX}/;SECTION=TEXT;URLAUTH=user+alice"));
    assert!(url.contains(";URLAUTH=user+alice:INTERNAL:01"), "{url}");
    assert_eq!(url.len() - url.find("INTERNAL:").unwrap(), "INTERNAL:".len() + 66);
    assert_eq!(client.followed(&url).as_deref(), Some("Text one.\r\n"));
    assert_eq!(client.authorised(&format!("{INBOX}/;SECTION=TEXT;URLAUTH=user+alice")), url);
    // A session that has the mailbox selected, and one that is not there.
    let mut other = world.client();
    other.told("a SELECT INBOX");
    assert_eq!(client.told("a RESETKEY INBOX"), "a OK [URLMECH INTERNAL] a new key\r\n");
    assert_eq!(other.told("b NOOP"), "* OK [URLMECH INTERNAL] URLs can be authorised\r\nb OK nothing done\r\n");
    assert_eq!(other.told("c NOOP"), "c OK nothing done\r\n");
    assert_eq!(client.followed(&url), None);
    let again = client.authorised(&format!("{INBOX}/;SECTION=TEXT;URLAUTH=user+alice"));
    assert!(again != url && client.followed(&again).is_some());
    client.told("d SELECT INBOX");
    assert_eq!(client.told("e RESETKEY"), "e OK all keys are gone\r\n");
    assert_eq!(client.followed(&again), None);
    assert_eq!(other.told("f NOOP"), "* OK [URLMECH INTERNAL] URLs can be authorised\r\nf OK nothing done\r\n");
    // Nothing was marked as seen.
    let flags = client.told("g FETCH 1 FLAGS");
    assert!(flags.contains("\\Flagged") && !flags.contains("\\Seen"), "{flags}");
}

#[test]
fn what_is_authorised_is_one_url_of_an_own_mailbox() {
    let world = World::new();
    world.three();
    let mut client = world.client();
    for (rump, reason) in [
        ("imap://alice@h/INBOX/;UID=1", "the URL has no access identifier"),
        ("imap://h/INBOX/;UID=1;URLAUTH=anonymous", "the URL names no owner"),
        ("imap://bob@h/INBOX/;UID=1;URLAUTH=anonymous", "only the owner of a mailbox can authorise its URLs"),
        ("imap://alice@h/none/;UID=1;URLAUTH=anonymous", "no such mailbox"),
        ("imap://alice@h/%2e%2e/;UID=1;URLAUTH=anonymous", "no such mailbox"),
        ("imap://alice@h/INBOX;URLAUTH=anonymous", "the URL leads to no message"),
        ("imap://alice@h/INBOX/;UID=1;URLAUTH=anonymous:INTERNAL:00", "the URL has a token already"),
    ] {
        assert_eq!(client.told(&format!("a GENURLAUTH \"{rump}\" INTERNAL")), format!("a BAD {reason}\r\n"));
    }
    assert_eq!(
        client.told(&format!("a GENURLAUTH \"{INBOX};URLAUTH=anonymous\" XSAMPLE")),
        "a BAD the mechanism is INTERNAL\r\n"
    );
    assert_eq!(client.told("a RESETKEY INBOX XSAMPLE"), "a NO [CANNOT] the mechanism is INTERNAL\r\n");
    assert_eq!(client.told("a RESETKEY none"), "a NO [NONEXISTENT] no such mailbox\r\n");
    // One that is wrong spoils all.
    let pair = format!("\"{INBOX};URLAUTH=anonymous\" internal");
    assert!(client.told(&format!("a GENURLAUTH {pair} \"imap://x\" INTERNAL")).starts_with("a BAD "));
    let answer = client.told(&format!("a GENURLAUTH {pair} {pair}"));
    assert_eq!((answer.matches(":INTERNAL:").count(), answer.matches("* GENURLAUTH ").count()), (2, 1));
}

#[test]
fn a_url_that_was_touched_or_is_late_leads_nowhere() {
    let world = World::new();
    world.three();
    let mut client = world.client();
    let good = client.authorised(&format!("{INBOX};EXPIRE=2120-01-01T00:00:00Z;URLAUTH=authuser"));
    assert_eq!(client.followed(&good).as_deref(), Some("From: one@x.test\r\nSubject: one\r\n\r\nText one.\r\n"));
    let (rump, token) = good.split_once(":INTERNAL:").unwrap();
    for touched in [
        good.replace("UID=1", "UID=2"),
        good.replace("UID=1", "uid=1"),
        good.replace("INBOX", "inbox"),
        good.replace("INBOX", "%49NBOX"),
        good.replace("2120", "2121"),
        good.replace("authuser", "anonymous"),
        good.replace("imap.test", "other.test"),
        good.replace("INTERNAL", "XSAMPLE"),
        good.replace(token, &token.replace(&token[4..8], "0000")),
        good.replace(token, &token[..64]),
        format!("{good}0"),
        rump.to_string(),
        format!("{rump}:INTERNAL:"),
        "imap://alice@imap.test/".to_string(),
        "imap://alice@imap.test/INBOX".to_string(),
        "imap://alice@imap.test/INBOX?ALL".to_string(),
        "/INBOX/;UID=1".to_string(),
        String::new(),
    ] {
        assert_eq!(client.followed(&touched), None, "{touched}");
    }
    let capitals = format!("{rump}:internal:{}", token.to_uppercase());
    assert!(client.followed(&capitals).is_some());
    let late = client.authorised(&format!("{INBOX};EXPIRE=2020-01-01T00:00:00Z;URLAUTH=authuser"));
    assert_eq!(client.followed(&late), None);
    let absent = client.authorised("imap://alice@imap.test/INBOX/;UID=99;URLAUTH=authuser");
    assert_eq!(client.followed(&absent), None);
    // Nobody acts as a submission server unless the settings say so.
    let submit = client.authorised(&format!("{INBOX};URLAUTH=submit+alice"));
    assert_eq!(client.followed(&submit), None);
    let world = World::with(|settings| settings.imap.submission_servers = vec!["alice@example.test".into()]);
    world.three();
    let mut client = world.client();
    let submit = client.authorised(&format!("{INBOX}/;PARTIAL=6.3;URLAUTH=submit+whoever"));
    assert_eq!(client.followed(&submit).as_deref(), Some("one"));
}

#[test]
fn keys_go_where_their_mailbox_goes() {
    let world = World::new();
    let mut client = world.client();
    let fill = |client: &mut Client, name: &str| {
        client.told(&format!("a CREATE {name}"));
        let answer = client.told(&format!("a APPEND {name} {{3+}}\r\n{name:.3}"));
        assert!(answer.contains("a OK"), "{answer}");
    };
    fill(&mut client, "one");
    let rump = "imap://alice@imap.test/one/;UID=1;URLAUTH=user+alice%40example.test";
    let url = client.authorised(rump);
    assert_eq!(client.followed(&url).as_deref(), Some("one"));
    client.told("a RENAME one two");
    assert_eq!(client.followed(&url), None);
    assert_eq!(client.followed(&url.replace("/one/", "/two/")), None);
    client.told("a RENAME two one");
    assert_eq!(client.followed(&url).as_deref(), Some("one"));
    client.told("a DELETE one");
    assert_eq!(client.followed(&url), None);
    fill(&mut client, "one");
    assert_eq!(client.followed(&url), None);
    assert_ne!(client.authorised(rump), url);
}

#[test]
fn a_key_of_other_identifiers_or_another_version_is_none() {
    let world = World::new();
    world.three();
    let mut client = world.client();
    let url = client.authorised(&format!("{INBOX};URLAUTH=anonymous"));
    let path = world.maildir("").join("em-url-key");
    let good = std::fs::read_to_string(&path).unwrap();
    let words: Vec<&str> = good.split(' ').collect();
    std::fs::write(&path, good.replace(words[2], "77")).unwrap();
    assert_eq!(client.followed(&url), None);
    assert_ne!(client.authorised(&format!("{INBOX};URLAUTH=anonymous")), url);
    std::fs::write(&path, good.replace("key 1", "key 2")).unwrap();
    assert_eq!(client.followed(&url), None);
    let answer = client.told(&format!("a GENURLAUTH \"{INBOX};URLAUTH=anonymous\" INTERNAL"));
    assert!(answer.starts_with("a NO [UNAVAILABLE]"), "{answer}");
    assert!(client.told("a RESETKEY INBOX").starts_with("a OK"));
    std::fs::write(&path, &good).unwrap();
    assert!(client.followed(&url).is_some());
}

#[test]
fn large_texts_come_in_pieces_and_in_order() {
    let world = World::new();
    let body = "0123456789abcdef\n".repeat(40_000);
    for name in ["one", "two"] {
        world.mail("", "", &format!("Subject: {name}\n\n{body}\0"));
    }
    let mut client = world.client();
    let urls: Vec<String> = [1, 2, 9]
        .map(|uid| client.authorised(&format!("imap://alice@h/INBOX/;UID={uid}/;SECTION=TEXT;URLAUTH=anonymous")))
        .to_vec();
    let answer = client.told(&format!("u URLFETCH \"{}\" \"{}\" \"{}\" x", urls[0], urls[2], urls[1]));
    let text = body.replace('\n', "\r\n");
    let head = |url: &str| format!("* URLFETCH \"{url}\" {{{}}}\r\n", text.len() + 1);
    // 0x80 stands for NUL, and is shown as U+FFFD here.
    let expected = format!(
        "{}{text}\u{fffd}\r\n* URLFETCH \"{}\" NIL\r\n{}{text}\u{fffd}\r\n* URLFETCH \"x\" NIL\r\nu OK fetched\r\n",
        head(&urls[0]),
        urls[2],
        head(&urls[1])
    );
    assert!(answer == expected, "{} and {}", answer.len(), expected.len());
    assert!(client.told("n NOOP").ends_with("n OK nothing done\r\n"));
}
