//! The client's side of SASL: SCRAM-SHA-256, CRAM-MD5 and PLAIN, the best first. No I/O.
//!
//! Used by programs of ours that log in at another host. Trust: the server is not: its challenges are read strictly, its
//! rounds are bounded, and with SCRAM it must show that it knows the password too.
//! RFC 5802 §5 and §9, RFC 7677, RFC 2195, RFC 4616.

use super::{Mechanism, cram_md5, encode, hmac_sha256};
use encodify::base64;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Most rounds of PBKDF2 that a server may ask for: seconds of work.
const ROUNDS_LIMIT: u32 = 1_000_000;

/// One login.
#[derive(Debug)]
pub struct Login {
    mechanism: Mechanism,
    user: String,
    password: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun {
        bare: String,
        nonce: String,
    },
    /// The signature that the server must show.
    Proven([u8; 32]),
    Done,
}

/// The server says what the mechanism has no place for, or does not know the password itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mistrust {
    /// Not a message of the mechanism.
    #[error("the server's challenge is not understood")]
    Malformed,
    /// Its signature is wrong.
    #[error("the server does not know the password")]
    Impostor,
}

impl Login {
    /// The best mechanism among those that a server names. PLAIN shows the password: only where `may_send_password`.
    pub fn choose(offered: &[&str], may_send_password: bool) -> Option<Mechanism> {
        let has = |mechanism: &Mechanism| offered.iter().any(|name| Mechanism::parse(name) == Some(*mechanism));
        let safe = [Mechanism::ScramSha256, Mechanism::CramMd5].into_iter().find(has);
        safe.or_else(|| Some(Mechanism::Plain).filter(|plain| may_send_password && has(plain)))
    }

    /// Begins; gives the initial response, in base64, where the mechanism has one. `nonce` must be unpredictable.
    pub fn begin(mechanism: Mechanism, user: &str, password: &str, nonce: &str) -> (Login, Option<String>) {
        let bare = format!("n={},r={nonce}", user.replace('=', "=3D").replace(',', "=2C"));
        let initial = match mechanism {
            Mechanism::ScramSha256 => Some(encode(format!("n,,{bare}").as_bytes())),
            Mechanism::Plain => Some(encode(format!("\0{user}\0{password}").as_bytes())),
            _ => None,
        };
        let state = State::Begun { bare, nonce: nonce.to_string() };
        (Login { mechanism, user: user.to_string(), password: password.to_string(), state }, initial)
    }

    /// The answer to a challenge, both in base64.
    pub fn answer(&mut self, challenge: &str) -> Result<String, Mistrust> {
        let bytes = base64::STANDARD.decode(challenge.trim().as_bytes()).map_err(|_| Mistrust::Malformed)?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| Mistrust::Malformed)?;
        match (self.mechanism, std::mem::replace(&mut self.state, State::Done)) {
            (Mechanism::CramMd5, State::Begun { .. }) => {
                Ok(encode(format!("{} {}", self.user, cram_md5(&self.password, &text)).as_bytes()))
            }
            (Mechanism::ScramSha256, State::Begun { bare, nonce }) => self.prove(&bare, &nonce, &text),
            (Mechanism::ScramSha256, State::Proven(signature)) => {
                let shown = text.strip_prefix("v=").and_then(|v| base64::STANDARD.decode(v.as_bytes()).ok());
                let shown = shown.ok_or(Mistrust::Impostor)?;
                let is_equal = bool::from(shown.as_slice().ct_eq(&signature));
                if is_equal { Ok(String::new()) } else { Err(Mistrust::Impostor) }
            }
            _ => Err(Mistrust::Malformed),
        }
    }

    /// True when the server's word that we are in may be believed: with SCRAM only once it has shown its signature.
    pub fn is_settled(&self) -> bool {
        self.mechanism != Mechanism::ScramSha256 || matches!(self.state, State::Done)
    }

    /// `client-final-message` (RFC 5802 §7).
    fn prove(&mut self, bare: &str, nonce: &str, first: &str) -> Result<String, Mistrust> {
        let mut fields = first.split(',');
        let mut field = |key: &str| fields.next().and_then(|field| field.strip_prefix(key));
        let (their_nonce, salt, rounds) = (field("r="), field("s="), field("i="));
        let their_nonce = their_nonce.filter(|theirs| theirs.len() > nonce.len() && theirs.starts_with(nonce));
        let salt = salt.and_then(|salt| base64::STANDARD.decode(salt.as_bytes()).ok());
        let rounds = rounds.and_then(|rounds| rounds.parse::<u32>().ok()).filter(|n| (1..=ROUNDS_LIMIT).contains(n));
        let (Some(their_nonce), Some(salt), Some(rounds)) = (their_nonce, salt, rounds) else {
            return Err(Mistrust::Malformed);
        };
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(self.password.as_bytes(), &salt, rounds, &mut salted);
        // `biws` is "n,,": no channel binding.
        let without_proof = format!("c=biws,r={their_nonce}");
        let message = format!("{bare},{first},{without_proof}");
        let client_key = hmac_sha256(&salted, b"Client Key");
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        let mut proof = hmac_sha256(&stored_key, message.as_bytes());
        for (byte, key) in proof.iter_mut().zip(client_key) {
            *byte ^= key;
        }
        let server_key = hmac_sha256(&salted, b"Server Key");
        self.state = State::Proven(hmac_sha256(&server_key, message.as_bytes()));
        Ok(encode(format!("{without_proof},p={}", encode(&proof)).as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Channel, Dialog, Evidence, Found, ScramKeys, Step};
    use super::*;

    #[test]
    fn example_of_rfc_7677() {
        let (mut login, initial) = Login::begin(Mechanism::ScramSha256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(initial.unwrap(), encode(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
        let first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(login.answer(&encode(first)).unwrap(), encode(last));
        assert!(!login.is_settled(), "the server has shown nothing yet");
        assert_eq!(login.answer(&encode(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")), Ok(String::new()));
        assert!(login.is_settled());
    }

    #[test]
    fn an_impostor_and_a_slave_driver_are_found_out() {
        let begin = || Login::begin(Mechanism::ScramSha256, "user", "pencil", "abc").0;
        for first in [
            "r=abc,s=AAAA,i=4096",
            "r=xyzabc,s=AAAA,i=4096",
            "r=abcd,s=AAAA,i=0",
            "r=abcd,s=AAAA,i=9999999",
            "r=abcd",
            "e=x",
        ] {
            assert_eq!(begin().answer(&encode(first.as_bytes())), Err(Mistrust::Malformed), "{first}");
        }
        let mut login = begin();
        login.answer(&encode(b"r=abcd,s=AAAA,i=10")).unwrap();
        assert_eq!(login.answer(&encode(format!("v={}", encode(&[7; 32])).as_bytes())), Err(Mistrust::Impostor));
        assert_eq!(begin().answer("***"), Err(Mistrust::Malformed));
    }

    /// The example of RFC 2195 §2.
    #[test]
    fn cram_md5_answers_as_in_its_rfc() {
        let (mut login, initial) = Login::begin(Mechanism::CramMd5, "tim", "tanstaaftanstaaf", "");
        assert_eq!(initial, None);
        let answer = login.answer("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+").unwrap();
        assert_eq!(answer, "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw");
        assert!(login.is_settled() && login.answer("").is_err());
    }

    #[test]
    fn our_own_server_takes_our_client() {
        let keys = ScramKeys::derive("p,=w", b"0123456789abcdef");
        let (mut login, initial) = Login::begin(Mechanism::ScramSha256, "a,b=c@x.test", "p,=w", "client");
        let (mut dialog, _) =
            Dialog::start(Mechanism::ScramSha256, initial.as_deref(), "server", "h", &Channel::default(), false);
        let mut step = dialog.found(Found::Scram(keys));
        for _ in 0..2 {
            let Step::Challenge(challenge) = step else { panic!("{step:?}") };
            step = dialog.line(login.answer(&challenge).unwrap().as_bytes());
        }
        assert!(matches!(step, Step::Login(Evidence::Proven(proven)) if proven.user() == "a,b=c@x.test"));
    }

    #[test]
    fn the_best_is_chosen_and_the_password_shown_only_where_it_may() {
        let choose =
            |offered: &str, may| Login::choose(&offered.split(' ').collect::<Vec<_>>(), may).map(Mechanism::name);
        assert_eq!(choose("PLAIN LOGIN scram-sha-256 CRAM-MD5", true), Some("SCRAM-SHA-256"));
        assert_eq!(choose("PLAIN CRAM-MD5", true), Some("CRAM-MD5"));
        assert_eq!((choose("PLAIN", true), choose("PLAIN", false), choose("", true)), (Some("PLAIN"), None, None));
    }
}
