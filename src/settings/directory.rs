//! `accounts.directories`: where accounts are looked up, in this order.
//!
//! A member of the list is text: `file`, `system`, `system:PROGRAM ARGUMENTS` or `checkpassword:PROGRAM ARGUMENTS`. Arguments are
//! separated by blanks; there is no quoting, and no shell.

use super::value::Member;
use std::fmt;
use std::str::FromStr;

/// One directory of accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryChoice {
    /// etc/users.
    File,
    /// Accounts of the operating system; the program, if there is one, checks their passwords.
    System(Option<Vec<String>>),
    /// A program with the checkpassword interface, which answers look-ups, too.
    Checkpassword(Vec<String>),
}

impl Member for DirectoryChoice {
    const LIST: &'static str = "a list such as [\"file\", \"system:/usr/local/lib/em/checkpassword-pam em\"]";

    fn member(text: &str) -> Result<DirectoryChoice, String> {
        text.parse()
    }
}

impl FromStr for DirectoryChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<DirectoryChoice, String> {
        let (word, program) = match text.split_once(':') {
            Some((word, program)) => (word, Some(argv(program).map_err(|e| format!("{text:?}: {e}"))?)),
            None => (text, None),
        };
        match (word.trim(), program) {
            ("file", None) => Ok(DirectoryChoice::File),
            ("system", program) => Ok(DirectoryChoice::System(program)),
            ("checkpassword", Some(program)) => Ok(DirectoryChoice::Checkpassword(program)),
            ("checkpassword", None) => Err(format!("{text:?}: write \"checkpassword:/path/to/program arguments\"")),
            _ => {
                Err(format!("{text:?} is none of \"file\", \"system\", \"system:PROGRAM\", \"checkpassword:PROGRAM\""))
            }
        }
    }
}

impl DirectoryChoice {
    /// The program that is asked.
    pub fn program(&self) -> Option<&str> {
        match self {
            DirectoryChoice::File | DirectoryChoice::System(None) => None,
            DirectoryChoice::System(Some(argv)) | DirectoryChoice::Checkpassword(argv) => {
                argv.first().map(String::as_str)
            }
        }
    }
}

fn argv(text: &str) -> Result<Vec<String>, &'static str> {
    let argv: Vec<String> = text.split_whitespace().map(String::from).collect();
    match argv.first() {
        Some(program) if program.starts_with('/') => Ok(argv),
        _ => Err("the program's whole path is wanted, beginning with /"),
    }
}

impl fmt::Display for DirectoryChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DirectoryChoice::File => f.write_str("file"),
            DirectoryChoice::System(None) => f.write_str("system"),
            DirectoryChoice::System(Some(argv)) => write!(f, "system:{}", argv.join(" ")),
            DirectoryChoice::Checkpassword(argv) => write!(f, "checkpassword:{}", argv.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_in_their_one_spelling() {
        for (text, printed) in [
            ("file", "file"),
            ("system", "system"),
            ("system:/a/b  c", "system:/a/b c"),
            ("checkpassword: /a/b -s em ", "checkpassword:/a/b -s em"),
        ] {
            assert_eq!(text.parse::<DirectoryChoice>().unwrap().to_string(), printed);
        }
        for bad in
            ["", "files", "file:/x", "checkpassword", "checkpassword:", "system:", "checkpassword:relative", "ldap:/x"]
        {
            assert!(bad.parse::<DirectoryChoice>().is_err(), "{bad}");
        }
    }
}
