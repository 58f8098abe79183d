//! Changing one row of a text table: comments and the order of rows stay.
//!
//! Called by `emconf table`. The new text is checked before it is published.

use super::kind::Kind;
use super::rows::rows;
use super::text::check;
use crate::config::ConfigError;
use std::path::Path;

/// The text with this row: in place of the one with the same key, or at the end. An error of the new row names its place in the text
/// that was not published.
pub fn set(kind: Kind, path: &Path, text: &str, key: &str, value: &str) -> Result<String, ConfigError> {
    let whole = |message: &str| Err(ConfigError::whole(path.to_path_buf(), message, kind.hint()));
    if key.is_empty() || key.starts_with('#') || key.contains(char::is_whitespace) {
        return whole(&format!("{key:?} is no key"));
    }
    if key.chars().chain(value.chars()).any(char::is_control) {
        return whole("control characters");
    }
    let row = if kind.is_list() && value.is_empty() { format!("{key}\n") } else { format!("{key}\t{value}\n") };
    let new = match place(kind, text, key) {
        Some((start, end)) => format!("{}{row}{}", &text[..start], &text[end..]),
        None => {
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            format!("{text}{end}{row}")
        }
    };
    check(kind, path, &new)?;
    Ok(new)
}

/// The text without the row of this key; `None` when there is no such row.
pub fn remove(kind: Kind, text: &str, key: &str) -> Option<String> {
    let (start, end) = place(kind, text, key)?;
    Some(format!("{}{}", &text[..start], &text[end..]))
}

/// Where the row of a key begins and ends.
fn place(kind: Kind, text: &str, key: &str) -> Option<(usize, usize)> {
    let key = kind.key(key);
    let row = rows(text).find(|row| kind.key(row.key) == key)?;
    let end = text[row.start..].find('\n').map_or(text.len(), |at| row.start + at + 1);
    Some((row.start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# ours\njoe@a.test\tbob\n\n# theirs\nann@a.test carol";

    fn after(key: &str, value: &str) -> Result<String, String> {
        set(Kind::Virtusers, Path::new("v"), TEXT, key, value).map_err(|e| e.to_string())
    }

    #[test]
    fn comments_and_order_stay() {
        assert_eq!(after("Joe@A.test", "dan").unwrap(), "# ours\nJoe@A.test\tdan\n\n# theirs\nann@a.test carol");
        assert_eq!(after("new@a.test", "dan").unwrap(), format!("{TEXT}\nnew@a.test\tdan\n"));
        assert_eq!(remove(Kind::Virtusers, TEXT, "ann@A.TEST").unwrap(), "# ours\njoe@a.test\tbob\n\n# theirs\n");
        assert_eq!(remove(Kind::Virtusers, TEXT, "nobody@a.test"), None);
        assert_eq!(set(Kind::LocalHostNames, Path::new("l"), "", "a.test", "").unwrap(), "a.test\n");
    }

    #[test]
    fn what_is_wrong_is_not_written() {
        for (key, value) in [("joe", "bob"), ("joe@a.test", ""), ("joe@a.test", "x\nevil@a.test y"), ("#x@a", "b c")] {
            assert!(after(key, value).is_err(), "{key} {value}");
        }
    }
}
