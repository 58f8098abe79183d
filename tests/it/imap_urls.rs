//! Authorised URLs (URLAUTH) between two accounts, a submission server and strangers.

use super::wire::Client;
use super::world::World;

struct Session(Client);

impl Session {
    fn of(world: &World, user: &str) -> Session {
        let mut session = Session(Client::connect(world.address("imap")));
        assert!(session.0.line().contains(" URLAUTH"));
        assert!(session.ask(&format!("LOGIN {user} demo")).starts_with("t OK"));
        session
    }

    /// Sends a command; gives all lines of the answer.
    fn ask(&mut self, command: &str) -> String {
        self.0.send(&format!("t {command}\r\n"));
        let mut text = String::new();
        loop {
            let line = self.0.line();
            assert!(!line.is_empty() || text.contains('{'), "{command}: {text}");
            text.push_str(&line);
            if line.starts_with("t ") {
                return text;
            }
            text.push('\n');
        }
    }

    fn authorise(&mut self, rump: &str) -> String {
        let answer = self.ask(&format!("GENURLAUTH \"{rump}\" INTERNAL"));
        answer.split('"').nth(1).unwrap_or_else(|| panic!("{answer}")).to_string()
    }

    /// True when the URL gives the text, false when it gives nothing.
    fn may_follow(&mut self, url: &str) -> bool {
        let answer = self.ask(&format!("URLFETCH \"{url}\""));
        assert!(answer.ends_with("\nt OK fetched"), "{answer}");
        match answer.strip_prefix(&format!("* URLFETCH \"{url}\" ")).unwrap() {
            "NIL\nt OK fetched" => false,
            text => {
                assert_eq!(text, "{8}\nsecret\n\nt OK fetched");
                true
            }
        }
    }
}

fn rump(access: &str) -> String {
    format!("imap://alice%40example.test@mail.example.test/INBOX/;UID=1/;SECTION=TEXT;URLAUTH={access}")
}

fn world() -> World {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "always");
    world.add("submitter@example.test", &[]);
    world.set("imap.submission_servers", "submitter@example.test");
    let text = "Subject: one\n\nsecret\n";
    assert!(world.run_with("emlocal", &["-d", "alice@example.test"], text.as_bytes()).status.success());
    world.start();
    world
}

#[test]
fn urls_are_for_whom_they_name() {
    let world = world();
    let mut alice = Session::of(&world, "alice");
    let mut bob = Session::of(&world, "bob@example.test");
    let mut submitter = Session::of(&world, "submitter@example.test");
    for (access, of_alice, of_bob, of_submitter) in [
        ("anonymous", true, true, true),
        ("authuser", true, true, true),
        ("user+alice", true, false, false),
        ("user+bob%40example.test", false, true, false),
        ("user+BOB", false, true, false),
        ("user+nobody", false, false, false),
        ("submit+alice", false, false, true),
        ("submit+bob", false, false, true),
    ] {
        let url = alice.authorise(&rump(access));
        assert_eq!(alice.may_follow(&url), of_alice, "alice, {access}");
        assert_eq!(bob.may_follow(&url), of_bob, "bob, {access}");
        assert_eq!(submitter.may_follow(&url), of_submitter, "submitter, {access}");
    }
    let refused = "t BAD only the owner of a mailbox can authorise its URLs";
    assert_eq!(bob.ask(&format!("GENURLAUTH \"{}\" INTERNAL", rump("anonymous"))), refused);
    assert_eq!(bob.ask("GENURLAUTH \"imap://nobody@h/INBOX/;UID=1;URLAUTH=anonymous\" INTERNAL"), refused);
}

#[test]
fn hostile_urls_get_one_answer() {
    let world = world();
    let mut alice = Session::of(&world, "alice");
    let mut bob = Session::of(&world, "bob@example.test");
    let good = alice.authorise(&rump("anonymous"));
    let token = good.rsplit(':').next().unwrap().to_string();
    assert!(bob.may_follow(&good));
    let path = world.path("mail/example.test/alice/Maildir/em-url-key");
    let key = std::fs::read_to_string(&path).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!((mode & 0o777, key.lines().count()), (0o600, 1));
    let with = |rump: &str| format!("{rump}:INTERNAL:{token}");
    for url in [
        with("imap://alice@mail.example.test/INBOX/;UID=2;URLAUTH=anonymous"),
        with("imap://alice@mail.example.test/none/;UID=1;URLAUTH=anonymous"),
        with("imap://alice@mail.example.test/%2e%2e%2fbob%2fMaildir/;UID=1;URLAUTH=anonymous"),
        with("imap://alice@mail.example.test/..none/;UID=1;URLAUTH=anonymous"),
        with("imap://bob@mail.example.test/INBOX/;UID=1;URLAUTH=anonymous"),
        with("imap://nobody@mail.example.test/INBOX/;UID=1;URLAUTH=anonymous"),
        with("imap://%2e%2e%2f@mail.example.test/INBOX/;UID=1;URLAUTH=anonymous"),
        with("imap://alice@mail.example.test/INBOX/;UID=1/;SECTION=1.1.1.1.1.1;URLAUTH=anonymous"),
        good.replace(&token, &"0".repeat(66)),
        good.replace("%40", "@"),
        format!("{good};URLAUTH=anonymous"),
        "imap://alice@mail.example.test/INBOX/;UID=1".to_string(),
    ] {
        assert!(!bob.may_follow(&url), "{url}");
    }
    let long = "x".repeat(20_000);
    assert_eq!(bob.ask(&format!("URLFETCH {long}")), format!("* URLFETCH {{20000}}\n{long} NIL\nt OK fetched"));
    // Nothing was made for an account that is none.
    assert!(!world.path("mail/example.test/nobody").exists());
    // A literal as a URL stays one.
    bob.0.send("t URLFETCH {9+}\r\nx\r\nt NOOP\r\n");
    assert!(bob.0.line().starts_with("* URLFETCH {9}"));
    assert_eq!([bob.0.line(), bob.0.line(), bob.0.line()], ["x", "t NOOP NIL", "t OK fetched"]);
}

#[test]
fn revoking_locking_and_restarting() {
    let world = world();
    let mut alice = Session::of(&world, "alice");
    let url = alice.authorise(&rump("authuser"));
    drop(alice);
    world.stop();
    world.start();
    let mut bob = Session::of(&world, "bob@example.test");
    assert!(bob.may_follow(&url), "a key outlives the server");
    world.ok("emuser", &["modify", "alice@example.test", "--lock"]);
    assert!(!bob.may_follow(&url));
    world.ok("emuser", &["modify", "alice@example.test", "--unlock"]);
    assert!(bob.may_follow(&url));
    let mut alice = Session::of(&world, "alice");
    assert_eq!(alice.ask("RESETKEY INBOX"), "t OK [URLMECH INTERNAL] a new key");
    assert!(!bob.may_follow(&url));
    let url = alice.authorise(&rump("authuser"));
    assert!(bob.may_follow(&url));
    alice.ask("SELECT INBOX");
    alice.ask("STORE 1 +FLAGS (\\Deleted)");
    alice.ask("EXPUNGE");
    assert!(!bob.may_follow(&url), "the message is gone");
}
