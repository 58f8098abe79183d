//! mbox: many messages in one file, each behind a line that begins with `From `.
//!
//! Called by the delivery to files and by the archives of lists. A line of a message that looks like such a line is quoted with `>`: in mboxrd
//! also one that is quoted already, so that every message comes back as it was; in mboxo, which is older and which Python's mailbox
//! module writes, only the bare one, so that a reader can't know what stood there. Lines end in LF or CRLF.
//! Trust: input is hostile. A separator counts behind an empty line or at the start of the file, and only when it is one: a word, a blank,
//! and a year; so that prose that begins with "From " and was never quoted cuts nothing.

use std::io::{self, BufRead, Read};

/// How lines that look like separators are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// `>` before `From ` behind any number of `>`.
    Rd,
    /// `>` before `From ` only; it stays when the message is read.
    O,
}

/// Octets gathered before they are written.
const BUFFER: usize = 64 << 10;

/// Copies a message with its quoting and an empty line at its end.
pub fn escape(text: &mut dyn Read, quoting: Quoting, put: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut at_line_start = true;
    loop {
        let n = text.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..n]);
        // Whole lines are written; the rest waits for its end, at most one buffer long.
        let cut = match memchr::memrchr(b'\n', &bytes) {
            Some(lf) if n > 0 => lf + 1,
            None if n > 0 && bytes.len() < buffer.len() => 0,
            _ => bytes.len(),
        };
        for line in bytes[..cut].split_inclusive(|b| *b == b'\n') {
            let marks = match quoting {
                Quoting::Rd => line.iter().take_while(|b| **b == b'>').count(),
                Quoting::O => 0,
            };
            if at_line_start && line[marks..].starts_with(b"From ") {
                put(b">")?;
            }
            put(line)?;
            at_line_start = line.ends_with(b"\n");
        }
        bytes.drain(..cut);
        if n == 0 {
            return put(if at_line_start { b"\n" } else { b"\n\n" });
        }
    }
}

/// One message of an mbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Boxed {
    /// The separator's line, without its end: the envelope sender and a date, often.
    pub separator: Vec<u8>,
    /// The message, with LF line ends, unquoted.
    pub message: Vec<u8>,
}

/// Reads the messages of an mbox, one after the other.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    quoting: Quoting,
    limit: usize,
    /// The separator of the next message, already read.
    next: Option<Vec<u8>>,
    is_at_start: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads from here; a message larger than `limit` octets is an error.
    pub fn new(input: R, quoting: Quoting, limit: usize) -> Reader<R> {
        Reader { input, quoting, limit, next: None, is_at_start: true }
    }

    /// The next message; `None` at the end.
    pub fn read(&mut self) -> io::Result<Option<Boxed>> {
        let mut line = Vec::new();
        while self.next.is_none() {
            if !self.line(&mut line)? {
                return Ok(None);
            }
            match is_separator(&line) {
                true => self.next = Some(line.clone()),
                false if self.is_at_start && !line.trim_ascii().is_empty() => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "no mbox: its first line is no \"From \" line",
                    ));
                }
                false => {}
            }
        }
        self.is_at_start = false;
        let mut boxed = Boxed { separator: self.next.take().unwrap_or_default(), message: Vec::new() };
        boxed.separator.truncate(boxed.separator.trim_ascii_end().len());
        let mut is_behind_empty = false;
        loop {
            if !self.line(&mut line)? {
                break;
            }
            if is_behind_empty && is_separator(&line) {
                self.next = Some(line);
                break;
            }
            is_behind_empty = line == b"\n";
            let marks = line.iter().take_while(|b| **b == b'>').count();
            let is_quoted = self.quoting == Quoting::Rd && marks > 0 && line[marks..].starts_with(b"From ");
            boxed.message.extend_from_slice(if is_quoted { &line[1..] } else { &line });
            if boxed.message.len() > self.limit {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a message is larger than its limit"));
            }
        }
        // The empty line before the next separator is the file's.
        if is_behind_empty {
            boxed.message.pop();
        }
        Ok(Some(boxed))
    }

    /// One line with an LF at its end; false at the end of the file.
    fn line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        let room = self.limit as u64 + 1;
        (&mut self.input).take(room).read_until(b'\n', line)?;
        if line.ends_with(b"\r\n") {
            line.truncate(line.len() - 2);
            line.push(b'\n');
        }
        if !line.is_empty() && !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        Ok(!line.is_empty())
    }
}

/// `From SENDER DATE`: a date ends in a year, or has one before a zone.
fn is_separator(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else { return false };
    let words: Vec<&[u8]> = rest.trim_ascii().split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).collect();
    let is_year = |word: &[u8]| word.len() == 4 && word.iter().all(u8::is_ascii_digit);
    let has_time = words.iter().any(|word| word.contains(&b':'));
    words.len() >= 5 && has_time && words.iter().rev().take(3).any(|word| is_year(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxes(text: &[u8], quoting: Quoting) -> Vec<Boxed> {
        let mut reader = Reader::new(text, quoting, 10_000);
        std::iter::from_fn(|| reader.read().unwrap()).collect()
    }

    fn written(message: &[u8], quoting: Quoting) -> Vec<u8> {
        let mut out = b"From a@b.test Mon Nov 30 09:00:00 2026\n".to_vec();
        escape(&mut &message[..], quoting, &mut |bytes| {
            out.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        out
    }

    #[test]
    fn what_is_written_comes_back() {
        for message in [
            &b"Subject: x\n\nFrom here\n>From there\n>>From everywhere\n"[..],
            b"Subject: x\n\n\n\n",
            b"Subject: x\n",
            b"",
            b"Subject: x\n\nFrom a@b.test Mon Nov 30 09:00:00 2026\n\nFrom c@d.test Mon Nov 30 09:00:00 2026\n",
        ] {
            let text = [written(message, Quoting::Rd), written(b"Subject: next\n", Quoting::Rd)].concat();
            let found = boxes(&text, Quoting::Rd);
            assert_eq!(found.len(), 2, "{}", text.escape_ascii());
            assert_eq!(found[0].message, message, "{}", text.escape_ascii());
            assert_eq!(found[0].separator, b"From a@b.test Mon Nov 30 09:00:00 2026");
        }
        let old = written(b"S: x\n\nFrom here\n>From there\n", Quoting::O);
        assert_eq!(boxes(&old, Quoting::O)[0].message, b"S: x\n\n>From here\n>From there\n");
    }

    #[test]
    fn prose_cuts_nothing_and_nonsense_is_refused() {
        let text =
            b"From a Mon Nov 30 09:00:00 2026\r\nS: x\r\n\r\nhello\r\n\r\nFrom now on we meet at 9:00.\r\nbye\r\n";
        let found = boxes(text, Quoting::Rd);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.ends_with(b"\n\nFrom now on we meet at 9:00.\nbye\n"));
        assert!(Reader::new(&b"Subject: x\n"[..], Quoting::Rd, 100).read().is_err());
        assert!(Reader::new(&b""[..], Quoting::Rd, 100).read().unwrap().is_none());
        let long = format!("From a Mon Nov 30 09:00:00 2026\n{}\n", "x".repeat(500));
        assert!(Reader::new(long.as_bytes(), Quoting::Rd, 100).read().is_err());
        assert!(is_separator(b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"));
        assert!(is_separator(b"From a@b Thu Jan  1 00:00:00 1970 +0900\n") && !is_separator(b"From: a\n"));
    }
}
