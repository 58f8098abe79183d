//! Logical lines of a file, and mistakes with their places.

use super::world::exit;
use std::fmt;

/// A logical line: its continuations joined, line ends inside kept as LF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The text, without the last line end.
    pub text: Vec<u8>,
    /// Number of its first physical line, from 1.
    pub first: usize,
    /// Number of its last physical line.
    pub last: usize,
}

/// Cuts a file into logical lines; comment lines, empty lines and a continuation of nothing are left out.
pub fn lines(text: &[u8]) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    let (mut start, mut number) = (0, 0);
    while start <= text.len() {
        let end = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |length| start + length);
        let raw = &text[start..end];
        (start, number) = (end + 1, number + 1);
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        let raw = &raw[..memchr::memchr(0, raw).unwrap_or(raw.len())];
        match raw.first() {
            None | Some(b'#') => {}
            Some(b' ' | b'\t') => {
                if let Some(line) = found.last_mut() {
                    line.text.push(b'\n');
                    line.text.extend_from_slice(raw);
                    line.last = number;
                }
            }
            Some(_) => found.push(Line { text: raw.to_vec(), first: number, last: number }),
        }
    }
    found
}

/// Something wrong in a file. It is shown as `file:line:column` with the line and a caret, or as sendmail says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// Number of the line on which the logical line ends; 0 when the file as a whole is meant.
    pub line: usize,
    /// Number of the physical line shown, and the column in it, from 1.
    pub at: (usize, usize),
    /// How many characters the caret underlines.
    pub width: usize,
    /// The physical line.
    pub text: String,
    /// What is wrong, in sendmail's words.
    pub message: String,
    /// True when the file can be used nevertheless.
    pub warning: bool,
    /// True when sendmail names the place: not for the file as a whole, nor in most warnings.
    pub is_placed: bool,
    /// What sendmail ends with because of it, one of [`super::world::exit`].
    pub status: u8,
}

impl Fault {
    /// A fault in a logical line; the caret stands under `part` when the line has it, else under its first character.
    pub fn new(file: &str, line: &Line, part: &[u8], message: String) -> Fault {
        let part = if part.is_empty() { &line.text[..1.min(line.text.len())] } else { part };
        let at = line.text.windows(part.len().max(1)).position(|w| w == part).unwrap_or(0);
        Fault::at(file, line, at, part.len(), message)
    }

    /// A fault at an offset of a logical line.
    pub fn at(file: &str, line: &Line, offset: usize, width: usize, message: String) -> Fault {
        let offset = offset.min(line.text.len());
        let start = line.text[..offset].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let below = line.text[..start].iter().filter(|b| **b == b'\n').count();
        let physical = line.text[start..].split(|b| *b == b'\n').next().unwrap_or(b"");
        let column = String::from_utf8_lossy(&line.text[start..offset]).chars().count() + 1;
        Fault {
            file: file.to_string(),
            line: line.last,
            at: (line.first + below, column),
            width: width.max(1).min(physical.len().saturating_sub(column - 1).max(1)),
            text: String::from_utf8_lossy(physical).into_owned(),
            message,
            warning: false,
            is_placed: true,
            status: exit::SOFTWARE,
        }
    }

    /// A fault of the file as a whole.
    pub fn whole(file: &str, message: String) -> Fault {
        let (at, text) = ((0, 0), String::new());
        let (file, status) = (file.to_string(), exit::SOFTWARE);
        Fault { file, line: 0, at, width: 0, text, message, warning: false, is_placed: false, status }
    }

    /// The same, but the file can be used.
    pub fn as_warning(mut self) -> Fault {
        self.warning = true;
        self.is_placed = false;
        self.status = exit::OK;
        self
    }

    /// As sendmail prints it: `FILE: line N: TEXT`, or the text alone.
    pub fn in_one_line(&self) -> String {
        match self.is_placed {
            true => format!("{}: line {}: {}", self.file, self.line, self.message),
            false => self.message.clone(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.file, self.message);
        }
        let (number, column) = self.at;
        let margin = " ".repeat(number.to_string().len());
        let line: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(f, "{}:{number}:{column}: {}", self.file, self.message)?;
        writeln!(f, " {number} | {line}")?;
        write!(f, " {margin} | {}{}", " ".repeat(column.saturating_sub(1)), "^".repeat(self.width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_continue_and_end_in_any_way() {
        let text = b" first\nDx a\r\n# c\n\n\tb\nCw x\0y\nS3";
        let found: Vec<(Vec<u8>, usize, usize)> = lines(text).into_iter().map(|l| (l.text, l.first, l.last)).collect();
        assert_eq!(found, [(b"Dx a\n\tb".to_vec(), 2, 5), (b"Cw x".to_vec(), 6, 6), (b"S3".to_vec(), 7, 7)]);
    }

    #[test]
    fn a_fault_points_at_its_place() {
        let line = Line { text: b"Mfoo, P=/x,\n\tZ=1".to_vec(), first: 4, last: 5 };
        let fault = Fault::new("a.cf", &line, b"Z=", "Mfoo: unknown mailer equate Z=".to_string());
        assert_eq!(fault.in_one_line(), "a.cf: line 5: Mfoo: unknown mailer equate Z=");
        assert_eq!(fault.to_string(), "a.cf:5:2: Mfoo: unknown mailer equate Z=\n 5 |  Z=1\n   |  ^^");
    }
}
