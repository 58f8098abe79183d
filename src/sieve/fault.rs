//! What is wrong with a script, and where.

use std::fmt;

/// A place in a script; both numbers start at 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Place {
    /// An error at this place.
    pub(super) fn error(self, message: impl Into<String>) -> SieveError {
        SieveError { line: self.line, column: self.column, message: message.into() }
    }
}

/// An error of a script, for its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SieveError {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong. May quote the script: escape it where it is shown.
    pub message: String,
}

impl fmt::Display for SieveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for SieveError {}
