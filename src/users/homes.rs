//! Where the homes of accounts lie in the mail tree.

use crate::addr::Address;
use std::path::{Path, PathBuf};

/// The home of an account below the mail tree: `mail/DOMAIN/USER`.
///
/// A `/` or a leading dot in a local part can't leave the tree: such bytes are written `%XX`.
pub fn home(mail: &Path, address: &Address) -> PathBuf {
    let key = address.to_key();
    domain_home(mail, key.domain()).join(directory_name(key.local()))
}

/// Where the homes of a domain lie. No account's home begins with a dot there.
pub fn domain_home(mail: &Path, domain: &str) -> PathBuf {
    mail.join(directory_name(domain))
}

/// A text as one name in a directory: no `/`, no leading dot. `fields::decode` reads it again.
pub fn directory_name(text: &str) -> String {
    if !text.starts_with('.') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+=@~".contains(&b)) {
        return text.to_string();
    }
    let mut name = String::with_capacity(text.len());
    for (i, c) in text.chars().enumerate() {
        match c {
            '.' if i == 0 => name.push_str("%2e"),
            c if c.is_alphanumeric() || "._-+=@~".contains(c) => name.push(c),
            c => c.to_string().bytes().for_each(|b| name.push_str(&format!("%{b:02x}"))),
        }
    }
    name
}
