//! The rows of a table: `KEY VALUE` a line, as makemap(8) reads them, or one word a line for a list.
//!
//! `#` begins a comment line, empty lines count for nothing. A key ends at the first blank; the value is the rest of the line without
//! the blanks around it. Keys know no case.

use crate::config::ConfigError;
use std::path::Path;

/// Longest line, in octets.
pub const LINE_LIMIT: usize = 8192;

/// One row of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// The key as written.
    pub key: &'a str,
    /// The value as written; empty when there is none.
    pub value: &'a str,
    /// The line's number, from 1.
    pub line: usize,
    /// Where the line begins in the text, in octets.
    pub start: usize,
}

/// What is wrong with a part of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The part, which stands in the row's line.
    pub part: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead; may be empty.
    pub hint: &'static str,
}

impl Wrong {
    /// A mistake in this part of a row.
    pub fn new(part: &str, message: impl Into<String>, hint: &'static str) -> Wrong {
        Wrong { part: part.to_string(), message: message.into(), hint }
    }
}

/// The rows of a text, one by one.
pub fn rows(text: &str) -> impl Iterator<Item = Row<'_>> {
    let mut start = 0;
    text.split_inclusive('\n').enumerate().filter_map(move |(number, whole)| {
        let at = start;
        start += whole.len();
        let line = whole.trim_end_matches(['\n', '\r']);
        if line.starts_with('#') || line.trim().is_empty() {
            return None;
        }
        let end = line.find([' ', '\t']).unwrap_or(line.len());
        Some(Row { key: &line[..end], value: line[end..].trim(), line: number + 1, start: at })
    })
}

impl Row<'_> {
    /// The mistake with its place in the file.
    pub fn error(&self, path: &Path, text: &str, wrong: Wrong) -> ConfigError {
        let line = text[self.start..].split('\n').next().unwrap_or("");
        // The key is looked for in front, a part of the value behind it.
        let from = if self.key.contains(&wrong.part) { 0 } else { self.key.len() };
        let at = line.get(from..).and_then(|rest| rest.find(&wrong.part)).map_or(0, |at| from + at);
        let span = self.start + at..self.start + at + wrong.part.len().max(1);
        ConfigError::spanned(path.to_path_buf(), text, span, wrong.message, wrong.hint.to_string())
    }

    /// What is wrong with the row whatever the table.
    pub fn check(&self) -> Result<(), Wrong> {
        if self.key.is_empty() {
            return Err(Wrong::new("", "a blank in front of the entry", "entries begin in column 1"));
        }
        if self.key.len() + self.value.len() > LINE_LIMIT {
            return Err(Wrong::new(self.key, format!("longer than {LINE_LIMIT} octets"), ""));
        }
        if self.key.chars().chain(self.value.chars()).any(|c| c.is_control() && c != '\t') {
            return Err(Wrong::new(self.key, "control characters", ""));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_keys_values_and_places() {
        let text = "# head\nA.b\tesmtp:x  y \r\n\n@c  d\nlone\n lead x\n";
        let found: Vec<_> = rows(text).map(|r| (r.key, r.value, r.line, r.start)).collect();
        assert_eq!(
            found,
            [("A.b", "esmtp:x  y", 2, 7), ("@c", "d", 4, 25), ("lone", "", 5, 31), ("", "lead x", 6, 36)]
        );
        let last = rows(text).last().unwrap();
        let error = last.error(Path::new("t"), text, last.check().unwrap_err());
        assert_eq!(error.at, (6, 1));
        let second = rows(text).next().unwrap();
        assert_eq!(second.error(Path::new("t"), text, Wrong::new("x  y", "no", "")).at, (2, 11));
    }
}
