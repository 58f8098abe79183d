//! The server's side of SASL: EXTERNAL, PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS. No I/O.
//!
//! Called by the protocol machines through [`Dialog`], which also does the base64 lines that SMTP, POP3 and
//! IMAP share. What is stored about a user comes in by [`Dialog::found`]; whether a login is granted is decided by
//! the directory alone, from the [`Evidence`] that comes out.
//! Trust: input is hostile. Secrets are compared in constant time; an unknown user looks like a wrong password.
//! What EXTERNAL relies on, a verified certificate and the addresses in it, is the TLS driver's word (see `certificate`).
//! RFC 4422, RFC 4616 (PLAIN), RFC 2195 (CRAM-MD5), RFC 5802 and RFC 7677 (SCRAM), RFC 9266 (channel binding).
//! Not done: SASLprep (RFC 4013). Passwords are compared as the UTF-8 that was sent.

mod certificate;
mod channel;
pub mod client;
mod scram;

pub use certificate::addresses as certificate_addresses;
pub use channel::Channel;
pub use scram::{ScramKeys, hmac_sha256};

use crate::addr::Address;
use encodify::base64;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use scram::Scram;
use subtle::ConstantTimeEq;

/// Longest decoded message of a client, in octets.
pub const MESSAGE_LIMIT: usize = 8 << 10;

/// The mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4422 appendix A: a client certificate.
    External,
    /// RFC 4616.
    Plain,
    /// The old two-question form.
    Login,
    /// RFC 2195.
    CramMd5,
    /// RFC 7677.
    ScramSha256,
    /// RFC 7677 with tls-exporter binding (RFC 9266).
    ScramSha256Plus,
}

impl Mechanism {
    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::External => "EXTERNAL",
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::CramMd5 => "CRAM-MD5",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// Reads a name in any case.
    pub fn parse(name: &str) -> Option<Mechanism> {
        use Mechanism::*;
        [External, Plain, Login, CramMd5, ScramSha256, ScramSha256Plus]
            .into_iter()
            .find(|m| m.name().eq_ignore_ascii_case(name))
    }

    /// True when the password itself crosses the wire.
    pub fn is_plaintext(self) -> bool {
        matches!(self, Mechanism::Plain | Mechanism::Login)
    }
}

/// What the directory is asked before the exchange goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The SCRAM keys of a user; made-up ones when there is no such user.
    Scram(String),
    /// The shared secret of a user.
    Secret(String),
}

/// The directory's answer to a [`Lookup`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Keys, real or made up.
    Scram(ScramKeys),
    /// The secret, if the user has one.
    Secret(Option<String>),
}

/// What a client has shown about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// A name and a password, not yet compared with anything.
    Password {
        /// As given.
        user: String,
        /// As given.
        password: String,
    },
    /// The client has proved that it knows the user's secret.
    Proven(Proven),
    /// The client's proof was wrong: for the books, and for the pause before the answer.
    Wrong {
        /// As given.
        user: String,
    },
}

/// A proof that succeeded, or that another host vouches for; only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    user: String,
    mechanism: &'static str,
}

impl Proven {
    /// Whom the proof is about.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// How.
    pub fn mechanism(&self) -> &'static str {
        self.mechanism
    }
}

/// A login that a front end has checked already (XCLIENT). The caller has made sure that the front end is one of those that the
/// settings trust.
pub fn vouched(user: &str) -> Evidence {
    Evidence::Proven(Proven { user: user.to_string(), mechanism: "XCLIENT" })
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this challenge (already base64).
    Challenge(String),
    /// Look something up and call [`Dialog::found`].
    Look(Lookup),
    /// Ask the directory to grant the login.
    Login(Evidence),
    /// The client gave up with `*`.
    Cancelled,
    /// Not base64, or not what the mechanism says.
    Malformed,
    /// Authorization to act as somebody else was asked for.
    Refused,
    /// Somebody took -PLUS out of our offer.
    Failed,
}

#[derive(Debug)]
enum State {
    /// The names that the connection proves.
    External(Vec<String>),
    Plain,
    LoginUser,
    LoginPassword(String),
    Cram {
        challenge: String,
    },
    CramLook {
        challenge: String,
        user: String,
        digest: String,
    },
    Scram(Box<Scram>),
    Done,
}

/// One exchange, from AUTH to its end.
#[derive(Debug)]
pub struct Dialog {
    state: State,
}

impl Dialog {
    /// Starts an exchange. `initial` is the initial response as it stood in the command (`=` is the empty one).
    ///
    /// `nonce` must be unpredictable and never used twice; `host` is our name (for CRAM-MD5); `plus_offered` says whether the
    /// client could see SCRAM-SHA-256-PLUS.
    pub fn start(
        mechanism: Mechanism,
        initial: Option<&str>,
        nonce: &str,
        host: &str,
        channel: &Channel<'_>,
        plus_offered: bool,
    ) -> (Dialog, Step) {
        let state = match mechanism {
            Mechanism::External => State::External(channel.client_names.to_vec()),
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
            Mechanism::CramMd5 => State::Cram { challenge: format!("<{nonce}@{host}>") },
            Mechanism::ScramSha256 => State::Scram(Box::new(Scram::new(nonce, None, plus_offered))),
            Mechanism::ScramSha256Plus => {
                State::Scram(Box::new(Scram::new(nonce, Some(channel.exporter.unwrap_or_default()), true)))
            }
        };
        let mut dialog = Dialog { state };
        let step = match (initial, &dialog.state) {
            // CRAM-MD5 begins with the server's word (RFC 4422 §5).
            (Some(_), State::Cram { .. }) => Step::Malformed,
            (None, State::Cram { challenge }) => Step::Challenge(encode(challenge.as_bytes())),
            (None, State::LoginUser) => Step::Challenge(encode(b"Username:")),
            (None, _) => Step::Challenge(String::new()),
            (Some("="), _) => dialog.input(b""),
            (Some(initial), _) => dialog.line(initial.as_bytes()),
        };
        (dialog, step)
    }

    /// Takes the client's next line.
    pub fn line(&mut self, line: &[u8]) -> Step {
        if line == b"*" {
            self.state = State::Done;
            return Step::Cancelled;
        }
        match base64::STANDARD.decode(line) {
            Ok(message) if message.len() <= MESSAGE_LIMIT => self.input(&message),
            _ => {
                self.state = State::Done;
                Step::Malformed
            }
        }
    }

    /// Takes the directory's answer.
    pub fn found(&mut self, found: Found) -> Step {
        match (std::mem::replace(&mut self.state, State::Done), found) {
            (State::CramLook { challenge, user, digest }, Found::Secret(secret)) => {
                let right = cram_md5(secret.as_deref().unwrap_or("\0no such secret"), &challenge);
                let is_equal = bool::from(right.as_bytes().ct_eq(digest.as_bytes()));
                if is_equal && secret.is_some() {
                    Step::Login(Evidence::Proven(Proven { user, mechanism: "CRAM-MD5" }))
                } else {
                    Step::Login(Evidence::Wrong { user })
                }
            }
            (State::Scram(mut scram), Found::Scram(keys)) => {
                let first = scram.server_first(keys);
                self.state = State::Scram(scram);
                Step::Challenge(encode(first.as_bytes()))
            }
            _ => Step::Failed,
        }
    }

    fn input(&mut self, message: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Done) {
            State::External(names) => external(&names, message),
            State::Plain => plain(message),
            State::LoginUser => match text(message) {
                Some(user) => {
                    self.state = State::LoginPassword(user);
                    Step::Challenge(encode(b"Password:"))
                }
                None => Step::Malformed,
            },
            State::LoginPassword(user) => match text(message) {
                Some(password) => Step::Login(Evidence::Password { user, password }),
                None => Step::Malformed,
            },
            State::Cram { challenge } => match text(message).as_deref().and_then(|m| m.rsplit_once(' ')) {
                Some((user, digest)) => {
                    let lookup = Lookup::Secret(user.to_string());
                    self.state =
                        State::CramLook { challenge, user: user.to_string(), digest: digest.to_ascii_lowercase() };
                    Step::Look(lookup)
                }
                None => Step::Malformed,
            },
            State::Scram(mut scram) => {
                let step = scram.input(message);
                self.state = State::Scram(scram);
                step
            }
            State::CramLook { .. } | State::Done => Step::Malformed,
        }
    }
}

/// The APOP digest's check (RFC 1939 §7): MD5 over the greeting's stamp and the secret, in hexadecimal.
pub fn apop(user: &str, stamp: &str, secret: Option<&str>, digest: &str) -> Option<Proven> {
    use md5::Digest;
    let mut hash = Md5::new();
    hash.update(stamp.as_bytes());
    hash.update(secret.unwrap_or("\0no such secret").as_bytes());
    let right = hex(&hash.finalize());
    let is_equal = bool::from(right.as_bytes().ct_eq(digest.to_ascii_lowercase().as_bytes()));
    (is_equal && secret.is_some()).then(|| Proven { user: user.to_string(), mechanism: "APOP" })
}

fn cram_md5(secret: &str, challenge: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(challenge.as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `message` of RFC 4616 §2: authzid NUL authcid NUL passwd.
fn plain(message: &[u8]) -> Step {
    let mut parts = message.split(|b| *b == 0);
    let fields = (parts.next().and_then(text), parts.next().and_then(text), parts.next().and_then(text), parts.next());
    match fields {
        (Some(authzid), Some(user), Some(password), None) if !user.is_empty() && !password.is_empty() => {
            if authzid.is_empty() || authzid.eq_ignore_ascii_case(&user) {
                Step::Login(Evidence::Password { user, password })
            } else {
                Step::Refused
            }
        }
        _ => Step::Malformed,
    }
}

/// RFC 4422 appendix A: the identity to act as, or nothing for the one that the channel proves first.
fn external(names: &[String], message: &[u8]) -> Step {
    let Some(wanted) = text(message) else { return Step::Malformed };
    let key = |name: &str| Address::parse(name).ok().map(|address| address.to_key());
    let name = match wanted.is_empty() {
        true => names.first(),
        false => key(&wanted).and_then(|wanted| names.iter().find(|name| key(name).as_ref() == Some(&wanted))),
    };
    match name {
        Some(name) => Step::Login(Evidence::Proven(Proven { user: name.clone(), mechanism: "EXTERNAL" })),
        None => Step::Refused,
    }
}

fn text(message: &[u8]) -> Option<String> {
    if message.contains(&0) {
        return None;
    }
    std::str::from_utf8(message).ok().map(str::to_string)
}

fn encode(message: &[u8]) -> String {
    base64::STANDARD.encode(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(mechanism: Mechanism, initial: Option<&str>) -> (Dialog, Step) {
        Dialog::start(mechanism, initial, "1896.697170952", "postoffice.reston.mci.net", &Channel::default(), false)
    }

    #[test]
    fn plain_in_one_and_in_two_steps() {
        let login = |user: &str, password: &str| {
            Step::Login(Evidence::Password { user: user.into(), password: password.into() })
        };
        let message = encode(b"\0tim\0tanstaaftanstaaf");
        assert_eq!(start(Mechanism::Plain, Some(&message)).1, login("tim", "tanstaaftanstaaf"));
        let (mut dialog, step) = start(Mechanism::Plain, None);
        assert_eq!(step, Step::Challenge(String::new()));
        assert_eq!(dialog.line(encode(b"tim\0tim\0x y").as_bytes()), login("tim", "x y"));
        assert_eq!(start(Mechanism::Plain, Some(&encode(b"root\0tim\0x"))).1, Step::Refused);
        for bad in [&b"tim"[..], b"\0tim", b"\0tim\0x\0y", b"\0\0x", b"\0tim\0", b"\0\xff\0x"] {
            assert_eq!(start(Mechanism::Plain, Some(&encode(bad))).1, Step::Malformed);
        }
        assert_eq!(start(Mechanism::Plain, Some("not base64!")).1, Step::Malformed);
        assert_eq!(start(Mechanism::Plain, Some("*")).1, Step::Cancelled);
    }

    #[test]
    fn external_takes_the_identities_of_the_certificate_and_no_other() {
        let names = ["alice@example.test".to_string(), "sales@example.test".to_string()];
        let channel = Channel { client_names: &names, ..Channel::default() };
        let start = |initial: Option<&str>| Dialog::start(Mechanism::External, initial, "n", "h", &channel, false);
        let proven = |user: &str| Step::Login(Evidence::Proven(Proven { user: user.into(), mechanism: "EXTERNAL" }));
        assert_eq!(start(Some("=")).1, proven("alice@example.test"));
        let (mut dialog, step) = start(None);
        assert_eq!(step, Step::Challenge(String::new()));
        assert_eq!(dialog.line(b""), proven("alice@example.test"));
        assert_eq!(dialog.line(b""), Step::Malformed);
        for (wanted, name) in
            [("sales@example.test", "sales@example.test"), ("Alice@EXAMPLE.test", "alice@example.test")]
        {
            assert_eq!(start(Some(&encode(wanted.as_bytes()))).1, proven(name));
        }
        for wanted in ["bob@example.test", "alice", "alice@example.test ", "alice@example.tes", "*"] {
            assert_eq!(start(Some(&encode(wanted.as_bytes()))).1, Step::Refused, "{wanted}");
        }
        for bad in [&b"alice@example.test\0"[..], b"\0", b"\xff"] {
            assert_eq!(start(Some(&encode(bad))).1, Step::Malformed);
        }
        let nobody = Channel::default();
        assert_eq!(Dialog::start(Mechanism::External, Some("="), "n", "h", &nobody, false).1, Step::Refused);
    }

    #[test]
    fn cram_md5_example_of_rfc_2195() {
        let (mut dialog, step) = start(Mechanism::CramMd5, None);
        assert_eq!(step, Step::Challenge("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+".into()));
        let answer = encode(b"tim b913a602c7eda7a495b4e6e7334d3890");
        assert_eq!(dialog.line(answer.as_bytes()), Step::Look(Lookup::Secret("tim".into())));
        // The RFC's digest is over a stamp with a process number; ours is checked against our own computation.
        let right = cram_md5("tanstaaftanstaaf", "<1896.697170952@postoffice.reston.mci.net>");
        assert_eq!(right, "b913a602c7eda7a495b4e6e7334d3890");
        assert!(matches!(
            dialog.found(Found::Secret(Some("tanstaaftanstaaf".into()))),
            Step::Login(Evidence::Proven(Proven { ref user, .. })) if user == "tim"
        ));
        let (mut dialog, _) = start(Mechanism::CramMd5, None);
        dialog.line(answer.as_bytes());
        assert_eq!(dialog.found(Found::Secret(None)), Step::Login(Evidence::Wrong { user: "tim".into() }));
    }

    #[test]
    fn login_asks_twice() {
        let (mut dialog, step) = start(Mechanism::Login, None);
        assert_eq!(step, Step::Challenge("VXNlcm5hbWU6".into()));
        assert_eq!(dialog.line(encode(b"tim").as_bytes()), Step::Challenge("UGFzc3dvcmQ6".into()));
        assert!(matches!(dialog.line(encode(b"pw").as_bytes()), Step::Login(_)));
        assert_eq!(dialog.line(b""), Step::Malformed);
    }

    #[test]
    fn apop_example_of_rfc_1939() {
        let stamp = "<1896.697170952@dbc.mtview.ca.us>";
        assert!(apop("mrose", stamp, Some("tanstaaf"), "c4c9334bac560ecc979e58001b3e22fb").is_some());
        assert!(apop("mrose", stamp, Some("tanstaaf"), "c4c9334bac560ecc979e58001b3e22fc").is_none());
        assert!(apop("mrose", stamp, None, "c4c9334bac560ecc979e58001b3e22fb").is_none());
    }
}
