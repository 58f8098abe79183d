//! ManageSieve sessions in every state, with a service that says anything it may.

use super::{MECHANISMS, Random, drive, fuzz};
use expressmail::proto::managesieve::{
    Answer, Ask, Code, Config, Context, Denial, Listed, ManageSieveSession, Piece, Refusal,
};
use expressmail::{sasl, sieve, store};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WORDS: &[&str] = &[
    "\r\n",
    "\r\n",
    " ",
    "\"",
    "\"a\"",
    "\"a b\\\"\" ",
    "{3+}\r\nabc",
    "{0+}\r\n",
    "{70+}\r\n",
    "{4294967296+}\r\n",
    "{5}\r\nNOOP\r",
    "AUTHENTICATE \"PLAIN\" \"AGEAYg==\"\r\n",
    "AUTHENTICATE \"CRAM-MD5\"\r\n",
    "AUTHENTICATE \"SCRAM-SHA-256\" ",
    "\"biwsbj1hLHI9Yg==\"\r\n",
    "\"*\"\r\n",
    "STARTTLS\r\n",
    "CAPABILITY\r\n",
    "HAVESPACE \"a\" 99\r\n",
    "PUTSCRIPT \"a\" ",
    "CHECKSCRIPT ",
    "LISTSCRIPTS\r\n",
    "SETACTIVE \"\"\r\n",
    "GETSCRIPT \"a\"\r\n",
    "DELETESCRIPT {1+}\r\na\r\n",
    "RENAMESCRIPT \"a\" \"b\"\r\n",
    "NOOP \"tag\"\r\n",
    "UNAUTHENTICATE\r\n",
    "LOGOUT\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 5000 4190\r\n",
];

#[test]
fn managesieve_sessions() {
    fuzz("managesieve", WORDS, |random, input| {
        let config = Config {
            host: "h.test".into(),
            mechanisms: MECHANISMS.to_vec(),
            starttls: random.below(2) == 0,
            extensions: "fileinto".into(),
            notify: "mailto".into(),
            redirects: 5,
            script_size: 64,
            attempts: 9,
            login: Duration::from_secs(60),
            autologout: Duration::from_secs(1800),
        };
        let context = Context {
            plaintext_allowed: true,
            has_secrets: true,
            expects_proxy: random.below(8) == 0,
            nonce: "n".into(),
            ..Context::default()
        };
        let mut session = ManageSieveSession::new(Arc::new(config), context, Instant::now());
        let begin: &[u8] = [&b""[..], b"AUTHENTICATE \"PLAIN\" \"AGEAYg==\"\r\n"][random.below(2)];
        drive(&mut session, random, &[begin, input].concat(), answer);
    });
}

fn answer(random: &mut Random, ask: Ask) -> Answer {
    let refusal = || Refusal::coded(Code::TryLater, "x\r\ny");
    let is_refused = random.below(4) == 0;
    match ask {
        Ask::Connect(_) => Answer::Verdict(Ok(())),
        Ask::Look(sasl::Lookup::Secret(_)) => Answer::Found(sasl::Found::Secret(Some("s".into()))),
        Ask::Look(sasl::Lookup::Scram(user)) => {
            Answer::Found(sasl::Found::Scram(sasl::ScramKeys::made_up(&[1; 32], &user)))
        }
        Ask::Login(_) if is_refused => Answer::Login(Err(Denial::Wrong(Duration::from_secs(1)))),
        Ask::Login(_) => Answer::Login(Ok("a".into())),
        Ask::List if is_refused => Answer::Listed(Err(refusal())),
        Ask::List => Answer::Listed(
            vec![Listed { name: "a\"".into(), is_active: true }; random.below(3)].into_iter().map(Ok).collect(),
        ),
        Ask::Get(_) if is_refused => Answer::Piece(Err(refusal())),
        Ask::Get(_) | Ask::More => {
            Answer::Piece(Ok(Piece { size: 6, text: vec![b'x'; random.below(7)], is_last: random.below(2) == 0 }))
        }
        Ask::LogOut => Answer::Done(Ok(())),
        _ if is_refused => Answer::Done(Err(refusal())),
        _ => Answer::Done(Ok(())),
    }
}

#[test]
fn script_names() {
    fuzz("script names", &["a", ".", "/", "..", "%41", "\u{301}", "\u{2028}", "\u{1f4ee}", "%long-"], |_, input| {
        if let Ok(name) = store::ScriptName::parse(&String::from_utf8_lossy(input)) {
            // A name that was taken once is taken again, as it is.
            assert_eq!(store::ScriptName::parse(name.as_str()), Ok(name.clone()));
        }
        let _ = sieve::compile(input, &sieve::Limits::default());
    });
}
