//! Password hashes: argon2id for new ones; yescrypt, SHA-crypt and bcrypt of crypt(3) are verified.

use crate::settings::PASSWORD_SCHEMES;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::sync::OnceLock;

/// Longest password, in octets: longer ones only cost time.
pub const PASSWORD_LIMIT: usize = 1024;

/// What bcrypt looks at, in octets.
const BCRYPT_LIMIT: usize = 72;

/// Why a password was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing there.
    #[error("the password is empty")]
    Empty,
    /// Too long.
    #[error("the password is longer than {PASSWORD_LIMIT} octets")]
    TooLong,
    /// The scheme would not look at all of it.
    #[error("the password is longer than the {1} octets that {0} looks at")]
    TooLongFor(&'static str, usize),
    /// NUL or a line end could not be typed into any client.
    #[error("the password has control characters")]
    Control,
    /// No such scheme.
    #[error("unknown password scheme {0:?}: one of {names}", names = PASSWORD_SCHEMES.join(", "))]
    Scheme(String),
    /// The system gave no random numbers.
    #[error("no random numbers from the system")]
    Random,
    /// The hash function said no.
    #[error("hashing failed: {0}")]
    Hash(String),
}

/// Refuses what [`hash`] can't make a password of.
pub fn check_new(password: &str, scheme: &str) -> Result<(), PasswordError> {
    if password.is_empty() {
        return Err(PasswordError::Empty);
    }
    if password.len() > PASSWORD_LIMIT {
        return Err(PasswordError::TooLong);
    }
    if password.chars().any(char::is_control) {
        return Err(PasswordError::Control);
    }
    match scheme {
        // What lies behind would not count, and nobody would know.
        "bcrypt" if password.len() > BCRYPT_LIMIT => Err(PasswordError::TooLongFor("bcrypt", BCRYPT_LIMIT)),
        _ => Ok(()),
    }
}

/// Hashes a new password by one of [`PASSWORD_SCHEMES`].
pub fn hash(password: &str, scheme: &str) -> Result<String, PasswordError> {
    check_new(password, scheme)?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| PasswordError::Random)?;
    let failed = |e: &dyn std::fmt::Display| PasswordError::Hash(e.to_string());
    let bytes = password.as_bytes();
    match scheme {
        "argon2id" => {
            Argon2::default().hash_password_with_salt(bytes, &salt).map(|h| h.to_string()).map_err(|e| failed(&e))
        }
        "yescrypt" => {
            let hasher = yescrypt::Yescrypt::default();
            hasher.hash_password_with_salt(bytes, &salt).map(|h| h.to_string()).map_err(|e| failed(&e))
        }
        "sha512-crypt" => {
            let hasher = sha_crypt::ShaCrypt::default();
            hasher.hash_password_with_salt(bytes, &salt).map(|h| h.to_string()).map_err(|e| failed(&e))
        }
        "bcrypt" => bcrypt::hash(password, bcrypt::DEFAULT_COST).map_err(|e| failed(&e)),
        other => Err(PasswordError::Scheme(other.to_string())),
    }
}

/// Compares a password with a stored hash. Without a hash the same work is done for nothing, so that
/// an unknown user can't be told by the time of the answer.
pub fn check(password: &str, hash: Option<&str>) -> bool {
    static DUMMY: OnceLock<String> = OnceLock::new();
    if password.len() > PASSWORD_LIMIT {
        return false;
    }
    match hash {
        Some(hash) => verify(password.as_bytes(), hash),
        None => {
            let dummy = DUMMY.get_or_init(|| self::hash("no such user", "argon2id").unwrap_or_default());
            let _ = verify(password.as_bytes(), dummy);
            false
        }
    }
}

fn verify(password: &[u8], hash: &str) -> bool {
    if hash.starts_with("$argon2") {
        return PasswordHash::new(hash)
            .is_ok_and(|parsed| Argon2::default().verify_password(password, &parsed).is_ok());
    }
    if hash.starts_with("$y$") {
        return yescrypt::Yescrypt::default().verify_password(password, hash).is_ok();
    }
    if hash.starts_with("$5$") || hash.starts_with("$6$") {
        return sha_crypt::ShaCrypt::default().verify_password(password, hash).is_ok();
    }
    if ["$2a$", "$2b$", "$2y$"].iter().any(|p| hash.starts_with(p)) {
        return bcrypt::verify(password, hash).unwrap_or(false);
    }
    false
}

/// True when a stored hash has a form that [`check`] can compare.
pub fn is_known(hash: &str) -> bool {
    ["$argon2", "$y$", "$5$", "$6$", "$2a$", "$2b$", "$2y$"].iter().any(|p| hash.starts_with(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_verifies_its_own() {
        for scheme in ["argon2id", "yescrypt", "sha512-crypt", "bcrypt"] {
            let hash = hash("pässword", scheme).unwrap();
            assert!(is_known(&hash), "{hash}");
            assert!(check("pässword", Some(&hash)), "{hash}");
            assert!(!check("passwort", Some(&hash)), "{hash}");
        }
        assert!(matches!(hash("x", "rot13"), Err(PasswordError::Scheme(_))));
        assert_eq!(hash("", "argon2id"), Err(PasswordError::Empty));
        assert_eq!(hash("a\nb", "argon2id"), Err(PasswordError::Control));
    }

    /// The same, with other costs, prefixes and salts; and passwords longer than the hash looks at.
    #[test]
    fn hashes_of_crypt_3_in_all_their_forms() {
        for hash in [
            "$6$rounds=1000$saltsalt$a0qdvNRfpFyh.50L.r2iKKgctWudyl9AQWPT/iJ4sIA1591RJ5U7/TXSe84BNSPTMqBxGyWAgNQp5WPvpdIDh/",
            "$6$abcdefghijklmnop$PzFUDLQ1Ug7jXApZXab1fqHaUiVe8wk0tLU51bqPSXNp1yI5bkRHRojoa2LtS11igR2kC/6lYPCm0aaXfB7xE.",
            "$5$rounds=1400$anotherlongsalts$RJOc/bfokLsGt4q.3PREHvepEdjaYIUL324G.KtEl39",
            "$y$j9T$AAAAAAAAAAAAAAAAAAAAA.$IUC7Tf9jUdQ.busBfAcU.Vtkk5PWxPbwGdlFhoBG.20",
            "$y$j75$AAAAAAAAAAAAAAAAAAAAA.$VIfL5bRKwgGixj1J3j7aQY./aSZhZHnhuABJjbcldA4",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.6AfJ0TCleSYhqpSMYwcKshQi6Z9eAZW",
            "$2y$06$CCCCCCCCCCCCCCCCCCCCC.SbkIGmmWrT0fqwdrvnpZdiUTXg0JO8C",
            "$2b$04$CCCCCCCCCCCCCCCCCCCCC.tlnfrByxrls2q6dMYwJ0PBMU3wtngtG",
        ] {
            assert!(check("pässword €", Some(hash)), "{hash}");
            assert!(!check("passwörd €", Some(hash)), "{hash}");
        }
        let long = "$2b$04$CCCCCCCCCCCCCCCCCCCCC.ug0A3dTXhy5U.dFjx/qguZ8I4CB77BC";
        assert!(check(&"x".repeat(100), Some(long)), "crypt(3) looks at 72 octets");
        assert_eq!(hash(&"x".repeat(73), "bcrypt"), Err(PasswordError::TooLongFor("bcrypt", 72)));
        assert!(hash(&"x".repeat(72), "bcrypt").is_ok());
        let long = "$6$saltsalt$FymJtOlIksbVcNpPDPnizLCDeNGcl9ImMFZ3Y/czWldJfFhkmy.0dYLVf/2XPO5Eh/0VPaZuBspZbV2gh3d6Q.";
        assert!(check(&"x".repeat(300), Some(long)));
    }

    /// Hashes as crypt(3) of libxcrypt prints them.
    #[test]
    fn hashes_of_crypt_3() {
        for hash in [
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$42RgPIrXdXSEEs77lDi/4IqKVqFBAVaHJkzw5uD1r57",
            "$2b$05$abcdefghijklmnopqrstuu7nFISH/8YdwlXD3lw69A4iBUf6fvWAW",
        ] {
            assert!(check("Hello world!", Some(hash)), "{hash}");
            assert!(!check("Hello world", Some(hash)), "{hash}");
        }
        assert!(!check("x", Some("plain")) && !check("x", Some("")) && !check("x", None));
    }
}
