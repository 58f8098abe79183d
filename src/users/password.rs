//! Password hashes: argon2id for new ones; yescrypt, SHA-crypt and bcrypt of crypt(3) are verified.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::sync::OnceLock;

/// Longest password, in octets: longer ones only cost time.
pub const PASSWORD_LIMIT: usize = 1024;

/// Why a password was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing there.
    #[error("the password is empty")]
    Empty,
    /// Too long.
    #[error("the password is longer than {PASSWORD_LIMIT} octets")]
    TooLong,
    /// NUL or a line end could not be typed into any client.
    #[error("the password has control characters")]
    Control,
    /// No such scheme.
    #[error("unknown password scheme {0:?}: argon2id, yescrypt, sha512-crypt or bcrypt")]
    Scheme(String),
    /// The system gave no random numbers.
    #[error("no random numbers from the system")]
    Random,
    /// The hash function said no.
    #[error("hashing failed: {0}")]
    Hash(String),
}

/// Hashes a new password.
pub fn hash(password: &str, scheme: &str) -> Result<String, PasswordError> {
    if password.is_empty() {
        return Err(PasswordError::Empty);
    }
    if password.len() > PASSWORD_LIMIT {
        return Err(PasswordError::TooLong);
    }
    if password.chars().any(char::is_control) {
        return Err(PasswordError::Control);
    }
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
