//! What holds for every command and for all input.

use super::*;
use proptest::prelude::*;

/// Every command of a good-sized list, whole and octet by octet.
#[test]
fn every_command_reads_the_same_in_pieces() {
    let commands = [
        "CAPABILITY",
        "NOOP",
        "ENABLE CONDSTORE",
        "SELECT {5+}\r\nINBOX",
        "EXAMINE a (CONDSTORE)",
        "CREATE \"a \\\"b\"",
        "RENAME a {1}\r\nb",
        "SUBSCRIBE a",
        "UNSUBSCRIBE a",
        "LIST (SUBSCRIBED) \"\" (a b) RETURN (STATUS (MESSAGES))",
        "LSUB \"\" *",
        "NAMESPACE",
        "STATUS a (UNSEEN)",
        "CHECK",
        "EXPUNGE",
        "UID EXPUNGE 1:2",
        "SEARCH {3+}\r\nALL",
        "SEARCH SUBJECT {3+}\r\na\r\n FROM {0}\r\n",
        "UID SEARCH RETURN () 1:*",
        "SORT (REVERSE DATE) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "FETCH 1 (BODY.PEEK[HEADER.FIELDS ({4+}\r\nFrom To)])",
        "STORE 1 +FLAGS (\\Seen)",
        "COPY 1 {1+}\r\nx",
        "UID MOVE 1 x",
        "GETQUOTA \"\"",
        "GETQUOTAROOT INBOX",
        "GETACL a",
        "SETACL a b +l",
        "GETMETADATA a /shared/b",
        "SETMETADATA a (/shared/b {3+}\r\n\r\n\"c)",
        "ESEARCH IN (inboxes) ALL",
        "NOTIFY NONE",
        "ID NIL",
        "APPEND x {3}\r\nabc",
        "REPLACE 1 x {3+}\r\nabc",
        "CLOSE",
        "UNSELECT",
        "IDLE\r\nDONE",
        "UNAUTHENTICATE",
        "LOGOUT",
        "XYZZY {2+}\r\nab",
    ];
    for command in commands {
        let talk = both(Talk::in_mailbox, format!("t1 {command}\r\nt2 NOOP\r\n").as_bytes());
        let text = talk.text();
        assert_eq!(text.matches("\r\nt1 ").count() + usize::from(text.starts_with("t1 ")), 1, "{command}: {text}");
        assert!(command == "LOGOUT" || text.ends_with("t2 OK done\r\n"), "{command}: {text}");
    }
    let all: String =
        commands.iter().filter(|c| !["LOGOUT", "UNAUTHENTICATE"].contains(c)).map(|c| format!("t {c}\r\n")).collect();
    both(Talk::in_mailbox, all.as_bytes());
}

#[test]
fn large_commands_cost_linear_time() {
    // Each of these is near the limit of what a command may hold; together they take a moment, not minutes.
    let literals = format!("a SEARCH{}\r\n", " SUBJECT {1+}\r\nx".repeat(7000));
    let urls = format!("a APPEND x CATENATE ({}TEXT {{1+}}\r\nx)\r\n", "URL {1+}\r\nu ".repeat(20_000));
    let chain = format!("a SEARCH {}ALL\r\n", "OR SEEN ".repeat(8000));
    let set = format!("a FETCH {} UID\r\n", (1..10_000).map(|n| (2 * n).to_string()).collect::<Vec<_>>().join(","));
    let names = format!("a FETCH 1 BODY.PEEK[HEADER.FIELDS ({})]\r\n", vec!["x"; 30_000].join(" "));
    for input in [literals, urls, chain, set, names] {
        let started = Instant::now();
        let mut talk = Talk::in_mailbox();
        for piece in input.as_bytes().chunks(1000) {
            talk.say(piece);
        }
        assert!(talk.text().contains("a OK"), "{}: {}", &input[..40], talk.text());
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

/// Pieces of protocol, to be strung together.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: [&str; 40] = [
        "a ",
        "b ",
        "\r\n",
        "\r\n",
        "\r\n",
        " ",
        "NOOP",
        "LOGIN ",
        "alice right",
        "AUTHENTICATE PLAIN",
        "=",
        "*",
        "SELECT ",
        "INBOX",
        "IDLE",
        "DONE",
        "APPEND x ",
        "REPLACE 1 x ",
        "CATENATE (",
        "URL a",
        "TEXT ",
        "{3}",
        "{3+}",
        "~{2+}",
        "{0+}",
        "{99999+}",
        "abc",
        "(",
        ")",
        "UID ",
        "FETCH 1 ",
        "SEARCH ",
        "OR ",
        "NOT ",
        "BODY[",
        "]",
        "\"",
        "\\",
        "\n",
        "LOGOUT",
    ];
    let word = prop_oneof![
        8 => (0..WORDS.len()).prop_map(|i| WORDS[i].as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_input_in_any_state_makes_a_panic_or_depends_on_its_pieces(input in noise(), state in 0..4usize, step in 1..9usize) {
        let begin = [fresh as fn() -> Talk, without_tls, Talk::in_account, Talk::in_mailbox][state];
        let (mut whole, mut pieces) = (begin(), begin());
        whole.say(&input);
        for piece in input.chunks(step) {
            pieces.say(piece);
        }
        prop_assert_eq!(whole.text(), pieces.text());
        prop_assert_eq!(&whole.asked, &pieces.asked);
        whole.session.input_closed(whole.now);
        whole.drain();
        prop_assert!(whole.is_closed || whole.starts_tls);
    }
}
