//! The client's side of SASL, for logging in at other hosts: SCRAM-SHA-256, PLAIN, LOGIN and CRAM-MD5. No I/O.
//!
//! Called by `queue` for the smart host. The strongest mechanism that the server offers is taken; the caller has made sure that the
//! connection may carry a password.
//! Trust: the server is hostile until SCRAM has proved that it knows the password, too; its numbers are bounded.
//! RFC 2195 (CRAM-MD5), RFC 4616 (PLAIN), RFC 5802 and RFC 7677 (SCRAM).

use super::cram_md5;
use super::scram::hmac_sha256;
use encodify::base64;
use hmac::digest::Digest;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Fewest rounds that a server may ask for (RFC 7677 §4).
const ROUNDS_LEAST: u32 = 4096;
/// Most rounds: some seconds of work.
const ROUNDS_MOST: u32 = 2_000_000;

/// Why an exchange can't go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(pub &'static str);

enum State {
    /// All is said.
    Said,
    LoginUser {
        user: String,
        password: Zeroizing<String>,
    },
    LoginPassword(Zeroizing<String>),
    Cram {
        user: String,
        password: Zeroizing<String>,
    },
    ScramFirst {
        bare: String,
        nonce: String,
        password: Zeroizing<String>,
    },
    ScramFinal {
        verifier: [u8; 32],
    },
}

/// One login, seen from the client.
pub struct ClientDialog {
    state: State,
}

impl ClientDialog {
    /// Begins with the best of the mechanisms offered; `None` when there is none that we know. Gives the mechanism's name and the
    /// initial response, as it stands in the command; LOGIN has none.
    pub fn start<'a>(
        offered: impl Iterator<Item = &'a str> + Clone,
        user: &str,
        password: &str,
        nonce: &str,
    ) -> Option<(ClientDialog, &'static str, Option<String>)> {
        let has = |name: &str| offered.clone().any(|o| o.eq_ignore_ascii_case(name));
        let password = Zeroizing::new(password.to_string());
        let (name, state, initial) = if has("SCRAM-SHA-256") {
            let bare = format!("n={},r={nonce}", user.replace('=', "=3D").replace(',', "=2C"));
            let initial = base64::STANDARD.encode(format!("n,,{bare}").as_bytes());
            ("SCRAM-SHA-256", State::ScramFirst { bare, nonce: nonce.to_string(), password }, Some(initial))
        } else if has("PLAIN") {
            let message = Zeroizing::new(format!("\0{user}\0{}", *password));
            ("PLAIN", State::Said, Some(base64::STANDARD.encode(message.as_bytes())))
        } else if has("LOGIN") {
            ("LOGIN", State::LoginUser { user: user.to_string(), password }, None)
        } else if has("CRAM-MD5") {
            // Last: servers offer it also for accounts whose passwords they can't read.
            ("CRAM-MD5", State::Cram { user: user.to_string(), password }, None)
        } else {
            return None;
        };
        Some((ClientDialog { state }, name, initial))
    }

    /// Answers a challenge; both in base64.
    pub fn answer(&mut self, challenge: &str) -> Result<String, ClientError> {
        let message =
            base64::STANDARD.decode(challenge.trim()).map_err(|_| ClientError("a challenge that is no base64"));
        match std::mem::replace(&mut self.state, State::Said) {
            // What the questions say differs; their order does not.
            State::LoginUser { user, password } => {
                self.state = State::LoginPassword(password);
                Ok(base64::STANDARD.encode(user.as_bytes()))
            }
            State::Cram { user, password } => {
                let message = message?;
                let challenge =
                    std::str::from_utf8(&message).map_err(|_| ClientError("a challenge that is no text"))?;
                let answer = format!("{user} {}", cram_md5(&password, challenge));
                Ok(base64::STANDARD.encode(answer.as_bytes()))
            }
            State::LoginPassword(password) => Ok(base64::STANDARD.encode(password.as_bytes())),
            State::ScramFirst { bare, nonce, password } => {
                let message = message?;
                let first = std::str::from_utf8(&message).map_err(|_| ClientError("a challenge that is no text"))?;
                let (last, verifier) = client_final(&bare, &nonce, first, &password)?;
                self.state = State::ScramFinal { verifier };
                Ok(base64::STANDARD.encode(last.as_bytes()))
            }
            State::ScramFinal { verifier } => {
                let message = message?;
                let text = std::str::from_utf8(&message).unwrap_or_default();
                let theirs = text.strip_prefix("v=").and_then(|v| base64::STANDARD.decode(v).ok()).unwrap_or_default();
                match bool::from(theirs.as_slice().ct_eq(&verifier)) {
                    true => Ok(String::new()),
                    false => {
                        self.state = State::ScramFinal { verifier };
                        Err(ClientError("the server does not know the password"))
                    }
                }
            }
            State::Said => Err(ClientError("a challenge too many")),
        }
    }

    /// True when the server's yes may be believed: with SCRAM, after its proof.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Said)
    }
}

/// `client-final-message`, and what the server must answer (RFC 5802 §3).
fn client_final(bare: &str, nonce: &str, first: &str, password: &str) -> Result<(String, [u8; 32]), ClientError> {
    let mut fields = first.split(',');
    let mut field = |name: &str| fields.next().and_then(|f| f.strip_prefix(name));
    let (Some(whole), Some(salt), Some(rounds)) = (field("r="), field("s="), field("i=")) else {
        return Err(ClientError("a challenge that is not SCRAM's"));
    };
    if !whole.starts_with(nonce) || whole.len() == nonce.len() {
        return Err(ClientError("a nonce that is not ours"));
    }
    let salt = base64::STANDARD.decode(salt).map_err(|_| ClientError("a salt that is no base64"))?;
    let rounds: u32 = rounds.parse().map_err(|_| ClientError("a number of rounds that is none"))?;
    if !(ROUNDS_LEAST..=ROUNDS_MOST).contains(&rounds) {
        return Err(ClientError("a number of rounds out of bounds"));
    }
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, rounds, &mut *salted);
    let client_key = hmac_sha256(&*salted, b"Client Key");
    let stored_key: [u8; 32] = Sha256::digest(client_key).into();
    let without_proof = format!("c=biws,r={whole}");
    let auth_message = format!("{bare},{first},{without_proof}");
    let mut proof = client_key;
    for (byte, mask) in proof.iter_mut().zip(hmac_sha256(&stored_key, auth_message.as_bytes())) {
        *byte ^= mask;
    }
    let verifier = hmac_sha256(&hmac_sha256(&*salted, b"Server Key"), auth_message.as_bytes());
    Ok((format!("{without_proof},p={}", base64::STANDARD.encode(proof)), verifier))
}

#[cfg(test)]
mod tests {
    use super::super::{Channel, Dialog, Evidence, Found, Lookup, Mechanism, ScramKeys, Step};
    use super::*;

    fn start(offered: &[&str]) -> Option<(ClientDialog, &'static str, Option<String>)> {
        ClientDialog::start(offered.iter().copied(), "user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    }

    fn encode(text: &str) -> String {
        base64::STANDARD.encode(text.as_bytes())
    }

    /// The exchange of RFC 7677 §3.
    #[test]
    fn example_of_rfc_7677() {
        let (mut dialog, name, initial) = start(&["PLAIN", "scram-sha-256"]).unwrap();
        assert_eq!(name, "SCRAM-SHA-256");
        assert_eq!(initial.unwrap(), encode("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
        let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = dialog.answer(&encode(first)).unwrap();
        let right = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(last, encode(right));
        assert!(!dialog.is_complete());
        assert!(dialog.answer(&encode("v=AAAA")).is_err());
        assert!(!dialog.is_complete());
        assert_eq!(dialog.answer(&encode("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")), Ok(String::new()));
        assert!(dialog.is_complete());
    }

    /// The exchange of RFC 2195 §2.
    #[test]
    fn example_of_rfc_2195() {
        let (mut dialog, name, initial) =
            ClientDialog::start(["CRAM-MD5"].into_iter(), "tim", "tanstaaftanstaaf", "n").unwrap();
        assert_eq!((name, initial), ("CRAM-MD5", None));
        let answer = dialog.answer(&encode("<1896.697170952@postoffice.reston.mci.net>")).unwrap();
        assert_eq!(answer, encode("tim b913a602c7eda7a495b4e6e7334d3890"));
        assert!(dialog.is_complete());
    }

    #[test]
    fn our_own_server_takes_each_mechanism() {
        for offered in ["SCRAM-SHA-256", "PLAIN", "LOGIN"] {
            let (mut client, name, initial) = start(&[offered]).unwrap();
            let mechanism = Mechanism::parse(name).unwrap();
            let channel = Channel::default();
            let (mut server, mut step) = Dialog::start(mechanism, initial.as_deref(), "nonce", "h", &channel, false);
            let evidence = loop {
                step = match step {
                    Step::Challenge(challenge) => server.line(client.answer(&challenge).unwrap().as_bytes()),
                    Step::Look(Lookup::Scram(user)) => {
                        assert_eq!(user, "user");
                        server.found(Found::Scram(ScramKeys::derive("pencil", b"0123456789abcdef")))
                    }
                    Step::Login(evidence) => break evidence,
                    other => panic!("{offered}: {other:?}"),
                };
            };
            assert!(client.is_complete(), "{offered}");
            match evidence {
                Evidence::Proven(proven) => assert_eq!(proven.user(), "user"),
                Evidence::Password { user, password } => assert_eq!((&*user, &*password), ("user", "pencil")),
                Evidence::Wrong { .. } => panic!("{offered}"),
            }
        }
        assert!(start(&["GSSAPI", "NTLM"]).is_none());
    }

    #[test]
    fn hostile_challenges_are_refused() {
        let salt = "W22ZaJ0SNY7soEsUEjb6gQ==";
        let nonce = "rOprNGfwEbeRWgbNEkqO";
        for bad in [
            format!("r={nonce}x,s={salt},i=1"),
            format!("r={nonce}x,s={salt},i=4294967295"),
            format!("r={nonce},s={salt},i=4096"),
            format!("r=other,s={salt},i=4096"),
            format!("r={nonce}x,s=!,i=4096"),
            "e=other-error".to_string(),
            String::new(),
        ] {
            let (mut dialog, _, _) = start(&["SCRAM-SHA-256"]).unwrap();
            assert!(dialog.answer(&encode(&bad)).is_err(), "{bad}");
        }
        let (mut dialog, _, _) = start(&["PLAIN"]).unwrap();
        assert!(dialog.answer("").is_err());
    }
}
