//! Sheets of accounts: CSV as spreadsheets and scripts write it, one account a row.
//!
//! Called by `emuser import` and `emuser export`. RFC 4180, and what is met besides: a byte-order mark, other character sets, `;` or
//! tabs for commas (known from the header row, or said by a first line `sep=;`), empty rows, empty columns at the right end.
//! The first row names the columns, in any order. [`wish`] gives the rows their meaning, and [`bulk`] carries it out.
//! Trust: the file is the administrator's, but was written by a program that changes what it is not sure of: a formula, or a
//! spreadsheet's error value, is refused by name and never taken for data.

mod bulk;
mod cells;
mod wish;
mod writing;

pub use bulk::{Outcome, Secret, carry_out};
pub use wish::{Action, PasswordWish, Wish, passwords, wishes};
pub use writing::{WithSecrets, print, print_passwords};

use super::attributes::{ATTRIBUTES, Attribute};
use cells::{cells_of, loose_quote};
use encoding_rs::{Encoding, UTF_8};
use std::ops::Range;

/// Separators that are looked for.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];
/// What a spreadsheet writes where a formula failed.
const ERROR_VALUES: [&str; 8] = ["#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#N/A", "#NULL!", "#NUM!", "Err:"];

/// What a column is about.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// The account.
    Address,
    /// What to do with it.
    Action,
    /// A password in clear.
    Password,
    /// A hash as crypt(3) or PHC writes it.
    PasswordHash,
    /// Keys of SCRAM-SHA-256.
    Scram,
    /// Anything else.
    Attribute(&'static Attribute),
}

impl Column {
    const FIRST: [(&'static str, Column); 5] = [
        ("address", Column::Address),
        ("action", Column::Action),
        ("password", Column::Password),
        ("password_hash", Column::PasswordHash),
        ("scram", Column::Scram),
    ];

    /// Capitals, blanks and dashes of a header don't matter.
    fn of(header: &str) -> Option<Column> {
        let name = header.trim().to_lowercase().replace([' ', '-'], "_");
        let first = Column::FIRST.iter().find(|(known, _)| *known == name).map(|(_, column)| *column);
        first.or_else(|| Attribute::of(&name).map(Column::Attribute))
    }

    /// Its name in the header row.
    pub fn name(self) -> &'static str {
        match self {
            Column::Address => "address",
            Column::Action => "action",
            Column::Password => "password",
            Column::PasswordHash => "password_hash",
            Column::Scram => "scram",
            Column::Attribute(attribute) => attribute.name,
        }
    }
}

/// A sheet that was read.
#[derive(Debug)]
pub struct Sheet {
    text: String,
    separator: u8,
    columns: Vec<Column>,
    rows: Vec<Row>,
}

/// One row that is not empty.
#[derive(Debug)]
struct Row {
    /// Where it begins in the text.
    start: usize,
    cells: csv::StringRecord,
}

/// A mistake in a sheet, and the bytes that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SheetError {
    /// The text, in UTF-8.
    pub text: String,
    /// Where in it.
    pub span: Range<usize>,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Why a row was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Line and column in the text, from 1.
    pub at: (usize, usize),
    /// The column's name.
    pub column: &'static str,
    /// Why.
    pub reason: String,
}

impl Sheet {
    /// Reads a sheet; a byte-order mark stands above `charset`, which is a name of the WHATWG list, and UTF-8 without one.
    pub fn read(bytes: &[u8], charset: Option<&'static Encoding>) -> Result<Sheet, SheetError> {
        let text = decode(bytes, charset)?;
        let start = text.len() - text.trim_start_matches(['\r', '\n', ' ']).len();
        let (separator, start) = match declared_separator(&text[start..]) {
            Some((separator, length)) => (separator, start + length),
            None => (separator_of(&text[start..]), start),
        };
        if let Some((span, message)) = loose_quote(&text, start, separator) {
            let hint = "a quote in a cell is doubled, and the cell stands in quotes: \"say \"\"hello\"\"\"".to_string();
            return Err(SheetError { text, span, message: message.to_string(), hint });
        }
        let mut reader = csv::ReaderBuilder::new();
        reader.delimiter(separator).has_headers(false).flexible(true);
        let mut reader = reader.from_reader(&text.as_bytes()[start..]);
        let mut rows = Vec::new();
        let mut cells = csv::StringRecord::new();
        loop {
            match reader.read_record(&mut cells) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => return Err(SheetError { text, span: 0..0, message: e.to_string(), hint: String::new() }),
            }
            if cells.iter().all(|cell| cell.trim().is_empty()) {
                continue;
            }
            let at = cells.position().map_or(0, |position| position.byte() as usize) + start;
            // The place is before the line ends that are skipped.
            let skipped = text.get(at..).map_or(0, |rest| rest.len() - rest.trim_start_matches(['\r', '\n']).len());
            rows.push(Row { start: at + skipped, cells: cells.clone() });
        }
        let mut sheet = Sheet { text, separator, columns: Vec::new(), rows };
        sheet.columns = sheet.read_header()?;
        Ok(sheet)
    }

    /// Rows below the header.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without any row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn read_header(&mut self) -> Result<Vec<Column>, SheetError> {
        if self.rows.is_empty() {
            return Err(self.mistake(0..0, "the sheet is empty".to_string(), "the first row names the columns"));
        }
        let header = self.rows.remove(0);
        let filled = header.cells.iter().enumerate().filter(|(_, cell)| !cell.trim().is_empty());
        let used = filled.map(|(index, _)| index + 1).last().unwrap_or(0);
        let mut columns: Vec<Column> = Vec::new();
        for (index, cell) in header.cells.iter().take(used).enumerate() {
            let span = || self.span(&header, index);
            let Some(column) = Column::of(cell) else {
                let known: Vec<&str> = Column::FIRST.map(|(name, _)| name).into_iter().collect();
                let known: Vec<&str> = known.into_iter().chain(ATTRIBUTES.iter().map(|row| row.name)).collect();
                let hint = format!("known are {}", known.join(", "));
                return Err(self.mistake(span(), format!("no column is called {:?}", cell.trim()), &hint));
            };
            if columns.iter().any(|other| other.name() == column.name()) {
                return Err(self.mistake(span(), format!("a second column {}", column.name()), "take one away"));
            }
            columns.push(column);
        }
        match columns.iter().any(|column| matches!(column, Column::Address)) {
            true => Ok(columns),
            false => {
                let hint = "the first row names the columns; commas, semicolons or tabs between them";
                Err(self.mistake(self.span(&header, 0), "no column address".to_string(), hint))
            }
        }
    }

    fn mistake(&self, span: Range<usize>, message: String, hint: &str) -> SheetError {
        SheetError { text: self.text.clone(), span, message, hint: hint.to_string() }
    }

    /// The bytes of a cell; of the row's start when there is no such cell.
    fn span(&self, row: &Row, index: usize) -> Range<usize> {
        cells_of(&self.text, row.start, self.separator).nth(index).unwrap_or(row.start..row.start)
    }

    /// Line and column of a cell, in characters from 1, of a row that begins in `line`.
    fn place(&self, row: &Row, index: usize, line: usize) -> (usize, usize) {
        let start = self.span(row, index).start;
        let before = self.text.get(row.start..start).unwrap_or_default();
        let last = before.rsplit('\n').next().unwrap_or_default();
        (line + memchr::memchr_iter(b'\n', before.as_bytes()).count(), last.chars().count() + 1)
    }

    /// The cell of a row as data, or why it can't be.
    fn cell<'a>(&self, row: &'a Row, index: usize) -> Result<&'a str, String> {
        let cell = row.cells.get(index).unwrap_or_default();
        if matches!(self.columns.get(index), Some(Column::Password | Column::PasswordHash)) {
            return Ok(cell);
        }
        let trimmed = cell.trim();
        if trimmed.starts_with('=') {
            return Err(format!("{trimmed:?} is a formula: save the sheet with its values"));
        }
        if ERROR_VALUES.iter().any(|error| trimmed.starts_with(error)) {
            return Err(format!("{trimmed:?} is a spreadsheet's error, not a value"));
        }
        Ok(unguarded(trimmed))
    }
}

/// Characters with which a spreadsheet takes a cell for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

fn is_dangerous(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(FORMULA)
}

/// A value that no spreadsheet takes for a formula: with an apostrophe before it where it would.
fn guarded(text: &str) -> String {
    if is_dangerous(text) { format!("'{text}") } else { text.to_string() }
}

/// The value that [`guarded`] made safe.
fn unguarded(text: &str) -> &str {
    text.strip_prefix('\'').filter(|_| is_dangerous(text)).unwrap_or(text)
}

fn decode(bytes: &[u8], charset: Option<&'static Encoding>) -> Result<String, SheetError> {
    let (encoding, mark) = match (Encoding::for_bom(bytes), charset) {
        (Some((marked, length)), _) => (marked, length),
        (None, charset) => (charset.unwrap_or(UTF_8), 0),
    };
    let bytes = &bytes[mark..];
    if let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes) {
        return Ok(text.into_owned());
    }
    let text = encoding.decode_without_bom_handling(bytes).0.into_owned();
    let at = text.find('\u{fffd}').unwrap_or(0);
    let message = format!("this is not {}", encoding.name());
    let hint = "name the character set that it was saved in, such as --charset shift_jis or windows-1252".to_string();
    Err(SheetError { text, span: at..at + '\u{fffd}'.len_utf8(), message, hint })
}

/// `sep=;` in a line of its own: the separator, and how long that line is.
fn declared_separator(text: &str) -> Option<(u8, usize)> {
    let line = text.lines().next()?;
    let separator = *line.trim_matches('"').strip_prefix("sep=")?.as_bytes().first()?;
    let rest = text.get(line.len()..)?;
    let ends = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
    separator.is_ascii().then_some((separator, line.len() + ends))
}

/// The separator by which the header row has the most columns that we know; a comma when none tells.
fn separator_of(text: &str) -> u8 {
    let known = |separator: u8| {
        cells_of(text, 0, separator).filter(|span| Column::of(text[span.clone()].trim_matches('"')).is_some()).count()
    };
    let best = SEPARATORS.into_iter().rev().max_by_key(|separator| known(*separator));
    best.filter(|separator| known(*separator) > 0).unwrap_or(b',')
}

#[cfg(test)]
mod tests;
