//! App passwords: made by us, one for each device, for the services that it needs.
//!
//! Stored in the account's line as `app.NAME=SERVICES:SALT:DIGEST`, services with commas or empty for all. The passwords have
//! 100 random bits, which no search goes through: a digest by HMAC-SHA-256 is enough, and a wrong password costs no more for them.
//! They never fit empass: who finds a lost phone may not change the account's password.

use super::Account;
use crate::sasl::hmac_sha256;
use encodify::base64::URL_SAFE_NO_PAD as BASE64;
use subtle::ConstantTimeEq;

/// Letters and digits of made passwords: none that look like another. Their number divides 256.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
/// Groups of four of a made password; each has 20 bits.
const GROUPS: usize = 5;
/// Most app passwords of an account.
pub const APP_PASSWORDS_LIMIT: usize = 50;
/// Longest name of an app password.
const NAME_LIMIT: usize = 32;
const PREFIX: &str = "app.";
/// The service that changes passwords.
const PASSWORD_SERVICE: &str = "poppass";

/// Makes a password that nobody can guess, such as `k3vw-x8yz-…`; `None` without random numbers.
pub fn generate_password() -> Option<String> {
    let mut bytes = [0; GROUPS * 4];
    getrandom::fill(&mut bytes).ok()?;
    let letter = |byte: &u8| ALPHABET.get(usize::from(byte % 32)).copied().map(char::from);
    let groups: Option<Vec<String>> = bytes.chunks(4).map(|group| group.iter().map(letter).collect()).collect();
    groups.map(|groups| groups.join("-"))
}

/// True for what an app password can be called.
pub fn is_app_name(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(is_letter)
}

impl Account {
    /// Its app passwords: names, and services with commas (empty for all).
    pub fn app_passwords(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.fields.iter().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)));
        named.map(|(name, value)| (name, value.split(':').next().unwrap_or_default()))
    }

    /// Adds an app password; gives it, for the only time. `None` without random numbers.
    pub fn add_app_password(&mut self, name: &str, services: &str) -> Option<String> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).ok()?;
        let password = generate_password()?;
        let digest = BASE64.encode(hmac_sha256(&salt, canonical(&password).as_bytes()));
        self.put(&format!("{PREFIX}{name}"), Some(format!("{services}:{}:{digest}", BASE64.encode(salt))));
        Some(password)
    }

    /// Takes an app password away; false when there was none of this name.
    pub fn remove_app_password(&mut self, name: &str) -> bool {
        self.fields.remove(&format!("{PREFIX}{name}")).is_some()
    }

    /// The name of the app password that this is, if it may be used for the service.
    pub fn app_password(&self, password: &str, service: &str) -> Option<&str> {
        if service == PASSWORD_SERVICE || password.len() > 2 * GROUPS * 5 {
            return None;
        }
        let password = canonical(password);
        let named = self.fields.iter().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)));
        named.filter(|(_, value)| fits(value, &password, service)).map(|(name, _)| name).next()
    }
}

/// As people type it: dashes, blanks and capitals say nothing.
fn canonical(password: &str) -> String {
    password.chars().filter(|c| *c != '-' && *c != ' ').map(|c| c.to_ascii_lowercase()).collect()
}

fn fits(stored: &str, password: &str, service: &str) -> bool {
    let mut parts = stored.split(':');
    let (Some(services), Some(salt), Some(digest)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let (Ok(salt), Ok(digest)) = (BASE64.decode(salt), BASE64.decode(digest)) else { return false };
    let may_use = services.is_empty() || services.split(',').any(|s| s == service);
    may_use && bool::from(hmac_sha256(&salt, password.as_bytes())[..].ct_eq(&digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Address;

    #[test]
    fn app_passwords_fit_their_services_only() {
        let mut account = Account::new(&Address::parse("a@b.test").unwrap());
        let phone = account.add_app_password("phone", "imap,submission").unwrap();
        let all = account.add_app_password("tablet", "").unwrap();
        assert_ne!(phone, all);
        assert_eq!(phone.len(), GROUPS * 5 - 1);
        let account = Account::parse(&account.print()).unwrap();
        for (password, service, name) in [
            (phone.as_str(), "imap", Some("phone")),
            (&phone.replace('-', ""), "submission", Some("phone")),
            (&phone.to_uppercase(), "imap", Some("phone")),
            (&phone, "pop3", None),
            (&all, "pop3", Some("tablet")),
            (&all, "poppass", None),
            (&all[1..], "imap", None),
            ("", "imap", None),
        ] {
            assert_eq!(account.app_password(password, service), name, "{service}");
        }
        assert_eq!(account.app_passwords().collect::<Vec<_>>(), [("phone", "imap,submission"), ("tablet", "")]);
        let mut account = account;
        assert!(account.remove_app_password("phone") && !account.remove_app_password("phone"));
        assert_eq!(account.app_password(&phone, "imap"), None);
        assert!(is_app_name("my-phone_2") && !is_app_name("") && !is_app_name("A") && !is_app_name("a b"));
    }
}
