//! SCRAM-SHA-256, the server's side (RFC 5802 §5, RFC 7677).

use super::{Evidence, Lookup, Proven, Step, encode};
use encodify::base64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What is stored of a password for SCRAM (RFC 5803); the password can't be computed from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// Salt, 16 octets in ours.
    pub salt: Vec<u8>,
    /// H(ClientKey).
    pub stored_key: [u8; 32],
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: [u8; 32],
}

/// Rounds for new keys.
const ITERATIONS: u32 = 10_000;

impl ScramKeys {
    /// Derives the keys of a password.
    pub fn derive(password: &str, salt: &[u8]) -> ScramKeys {
        ScramKeys::derive_rounds(password, salt, ITERATIONS)
    }

    fn derive_rounds(password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted);
        let client_key = hmac_sha256(&salted, b"Client Key");
        ScramKeys {
            iterations,
            salt: salt.to_vec(),
            stored_key: Sha256::digest(client_key).into(),
            server_key: hmac_sha256(&salted, b"Server Key"),
        }
    }

    /// Keys for a user that does not exist: the same ones each time, so that nobody can tell (RFC 5802 §9).
    pub fn made_up(secret: &[u8; 32], user: &str) -> ScramKeys {
        let salt = hmac_sha256(secret, format!("salt {user}").as_bytes());
        let key = hmac_sha256(secret, format!("key {user}").as_bytes());
        ScramKeys { iterations: ITERATIONS, salt: salt[..16].to_vec(), stored_key: key, server_key: key }
    }

    /// The text form of RFC 5803.
    pub fn print(&self) -> String {
        format!(
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            encode(&self.salt),
            encode(&self.stored_key),
            encode(&self.server_key)
        )
    }

    /// Reads [`ScramKeys::print`]'s form.
    pub fn parse(text: &str) -> Option<ScramKeys> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (iterations, rest) = rest.split_once(':')?;
        let (salt, rest) = rest.split_once('$')?;
        let (stored, server) = rest.split_once(':')?;
        let decode = |text: &str| base64::STANDARD.decode(text).ok();
        Some(ScramKeys {
            iterations: iterations.parse().ok()?,
            salt: decode(salt)?,
            stored_key: decode(stored)?.try_into().ok()?,
            server_key: decode(server)?.try_into().ok()?,
        })
    }
}

/// HMAC-SHA-256 in one call.
pub fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length, so the error can't happen; an all-zero key would match nothing.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[derive(Debug)]
enum State {
    ExpectFirst,
    Looking {
        user: String,
        bare: String,
        client_nonce: String,
    },
    ExpectFinal {
        user: String,
        keys: ScramKeys,
        bare: String,
        first: String,
        nonce: String,
    },
    /// The proof was right and `v=` is sent; the client's empty answer ends it.
    ExpectEnd(String),
    Done,
}

#[derive(Debug)]
pub(super) struct Scram {
    state: State,
    nonce: String,
    /// `Some` for -PLUS: the channel binding data.
    exporter: Option<Vec<u8>>,
    plus_offered: bool,
    gs2: String,
}

impl Scram {
    pub(super) fn new(nonce: &str, exporter: Option<&[u8]>, plus_offered: bool) -> Scram {
        Scram {
            state: State::ExpectFirst,
            nonce: nonce.to_string(),
            exporter: exporter.map(<[u8]>::to_vec),
            plus_offered,
            gs2: String::new(),
        }
    }

    pub(super) fn input(&mut self, message: &[u8]) -> Step {
        let Ok(text) = std::str::from_utf8(message) else { return Step::Malformed };
        match std::mem::replace(&mut self.state, State::Done) {
            State::ExpectFirst => self.client_first(text).unwrap_or_else(|step| step),
            State::ExpectFinal { user, keys, bare, first, nonce } => {
                self.client_final(text, user, &keys, &bare, &first, &nonce)
            }
            State::ExpectEnd(user) if message.is_empty() => {
                let mechanism = if self.exporter.is_some() { "SCRAM-SHA-256-PLUS" } else { "SCRAM-SHA-256" };
                Step::Login(Evidence::Proven(Proven { user, mechanism }))
            }
            _ => Step::Malformed,
        }
    }

    /// `client-first-message` (RFC 5802 §7).
    fn client_first(&mut self, text: &str) -> Result<Step, Step> {
        let mut parts = text.splitn(3, ',');
        let (flag, authzid, bare) = match (parts.next(), parts.next(), parts.next()) {
            (Some(flag), Some(authzid), Some(bare)) => (flag, authzid, bare),
            _ => return Err(Step::Malformed),
        };
        match (flag, &self.exporter) {
            ("n", None) => {}
            // The client could bind and thinks we can't: somebody took -PLUS out of our list (RFC 5802 §6).
            ("y", None) if !self.plus_offered => {}
            ("y", None) => return Err(Step::Failed),
            ("p=tls-exporter", Some(data)) if !data.is_empty() => {}
            _ => return Err(Step::Malformed),
        }
        let mut fields = bare.split(',');
        let name = fields.next().and_then(|f| f.strip_prefix("n=")).ok_or(Step::Malformed)?;
        let client_nonce = fields.next().and_then(|f| f.strip_prefix("r=")).ok_or(Step::Malformed)?;
        if client_nonce.is_empty() || name.is_empty() {
            return Err(Step::Malformed);
        }
        // RFC 5802 §5.1: any other `=` fails.
        if name.split('=').skip(1).any(|after| !after.starts_with("2C") && !after.starts_with("3D")) {
            return Err(Step::Malformed);
        }
        let user = name.replace("=2C", ",").replace("=3D", "=");
        if !authzid.is_empty() && authzid.strip_prefix("a=") != Some(name) {
            return Err(Step::Refused);
        }
        self.gs2 = format!("{flag},{authzid},");
        let lookup = Lookup::Scram(user.clone());
        self.state = State::Looking { user, bare: bare.to_string(), client_nonce: client_nonce.to_string() };
        Ok(Step::Look(lookup))
    }

    pub(super) fn server_first(&mut self, keys: ScramKeys) -> String {
        let State::Looking { user, bare, client_nonce } = std::mem::replace(&mut self.state, State::Done) else {
            return String::new();
        };
        let nonce = format!("{client_nonce}{}", self.nonce);
        let first = format!("r={nonce},s={},i={}", encode(&keys.salt), keys.iterations);
        self.state = State::ExpectFinal { user, keys, bare, first: first.clone(), nonce };
        first
    }

    /// `client-final-message` (RFC 5802 §7).
    fn client_final(
        &mut self,
        text: &str,
        user: String,
        keys: &ScramKeys,
        bare: &str,
        first: &str,
        nonce: &str,
    ) -> Step {
        let Some((without_proof, proof)) = text.rsplit_once(",p=") else { return Step::Malformed };
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|f| f.strip_prefix("c=")).and_then(|c| base64::STANDARD.decode(c).ok());
        let their_nonce = fields.next().and_then(|f| f.strip_prefix("r="));
        let proof = base64::STANDARD.decode(proof).ok().and_then(|p| <[u8; 32]>::try_from(p).ok());
        let (Some(binding), Some(their_nonce), Some(proof)) = (binding, their_nonce, proof) else {
            return Step::Malformed;
        };
        let mut right = self.gs2.clone().into_bytes();
        right.extend_from_slice(self.exporter.as_deref().unwrap_or_default());
        if their_nonce != nonce || !bool::from(binding.as_slice().ct_eq(&right)) {
            return Step::Login(Evidence::Wrong { user });
        }
        let auth_message = format!("{bare},{first},{without_proof}");
        let signature = hmac_sha256(&keys.stored_key, auth_message.as_bytes());
        let mut client_key = proof;
        for (byte, mask) in client_key.iter_mut().zip(signature) {
            *byte ^= mask;
        }
        let stored: [u8; 32] = Sha256::digest(client_key).into();
        if !bool::from(stored.ct_eq(&keys.stored_key)) {
            return Step::Login(Evidence::Wrong { user });
        }
        let verifier = hmac_sha256(&keys.server_key, auth_message.as_bytes());
        self.state = State::ExpectEnd(user);
        Step::Challenge(encode(format!("v={}", encode(&verifier)).as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Channel, Dialog, Found, Mechanism};
    use super::*;

    /// The exchange of RFC 7677 §3.
    #[test]
    fn example_of_rfc_7677() {
        let salt = base64::STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramKeys::derive_rounds("pencil", &salt, 4096);
        let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let first = encode(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (mut dialog, step) =
            Dialog::start(Mechanism::ScramSha256, Some(&first), nonce, "h", &Channel::default(), false);
        assert_eq!(step, Step::Look(Lookup::Scram("user".into())));
        let server_first = dialog.found(Found::Scram(keys));
        assert_eq!(
            server_first,
            Step::Challenge(encode(
                b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
            ))
        );
        let last = encode(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        );
        assert_eq!(
            dialog.line(last.as_bytes()),
            Step::Challenge(encode(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="))
        );
        assert!(matches!(dialog.line(b""), Step::Login(Evidence::Proven(_))));
    }

    #[test]
    fn keys_round_trip_and_wrong_proofs_fail() {
        let keys = ScramKeys::derive_rounds("x", b"0123456789abcdef", 10);
        assert_eq!(ScramKeys::parse(&keys.print()), Some(keys.clone()));
        let (mut dialog, _) =
            Dialog::start(Mechanism::ScramSha256, Some(&encode(b"n,,n=u,r=c")), "s", "h", &Channel::default(), false);
        dialog.found(Found::Scram(keys));
        let wrong = encode(format!("c=biws,r=cs,p={}", encode(&[7; 32])).as_bytes());
        assert_eq!(dialog.line(wrong.as_bytes()), Step::Login(Evidence::Wrong { user: "u".into() }));
    }

    #[test]
    fn a_stripped_plus_is_noticed() {
        let start = |flag: &str, plus| {
            let first = encode(format!("{flag},,n=u,r=c").as_bytes());
            Dialog::start(Mechanism::ScramSha256, Some(&first), "s", "h", &Channel::default(), plus).1
        };
        assert_eq!(start("y", true), Step::Failed);
        assert!(matches!(start("y", false), Step::Look(_)));
        assert_eq!(start("p=tls-unique", false), Step::Malformed);
    }

    #[test]
    fn names_are_unescaped_strictly() {
        let start = |name: &str| {
            let first = encode(format!("n,,n={name},r=c").as_bytes());
            Dialog::start(Mechanism::ScramSha256, Some(&first), "s", "h", &Channel::default(), false).1
        };
        assert_eq!(start("a=2Cb=3D2C"), Step::Look(Lookup::Scram("a,b=2C".into())));
        for bad in ["a=", "a=2c", "=41", ""] {
            assert_eq!(start(bad), Step::Malformed, "{bad}");
        }
    }
}
