//! What is wrong with a password that a user wants: too short, guessed first, the name, or the old one.
//!
//! Asked by empass. What the administrator sets with emuser is the administrator's choice.

use super::{Account, check_password};
use crate::settings::Accounts;

/// Names so short are in too many words to be looked for inside a password.
const SHORT_NAME: usize = 4;

/// Why a new password is not taken, as a sentence for its owner; `None` when it is good enough.
pub fn weakness_of(password: &str, account: &Account, settings: &Accounts) -> Option<String> {
    let lower = password.to_lowercase();
    let length = settings.password_length as usize;
    if password.chars().count() < length {
        return Some(format!("the password is too short: {length} characters at least"));
    }
    if settings.passwords_refused.iter().any(|known| known.to_lowercase() == lower) {
        return Some("the password is one of those that are guessed first".to_string());
    }
    let local = account.address.local().to_lowercase();
    let domain = account.address.domain();
    let is_name = lower == local || lower == domain || lower == account.name().to_lowercase();
    if is_name || local.chars().count() >= SHORT_NAME && lower.contains(&local) {
        return Some("the password has your name in it".to_string());
    }
    // Last, because it costs a hash.
    match account.password() {
        Some(old) if check_password(password, Some(old)) => Some("the password is the old one".to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Address;

    #[test]
    fn weak_passwords_are_named() {
        let mut account = Account::new(&Address::parse("alice@example.test").unwrap());
        account.set_password("the old password", "argon2id", false).unwrap();
        account.put("name", Some("Alice Jones".to_string()));
        let settings = Accounts::default();
        for (password, text) in [
            ("short", "too short"),
            ("äöüäöüä", "too short"),
            ("Password1", "guessed first"),
            ("xxALICExx", "your name"),
            ("alice jones", "your name"),
            ("example.test", "your name"),
            ("the old password", "the old one"),
        ] {
            let weakness = weakness_of(password, &account, &settings);
            assert!(weakness.as_ref().is_some_and(|w| w.contains(text)), "{password}: {weakness:?}");
        }
        assert_eq!(weakness_of("a better one", &account, &settings), None);
    }
}
