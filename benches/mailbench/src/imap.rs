//! IMAP as a mail client speaks it, as far as the loads need it. RFC 9051, RFC 3502.

use crate::args::Problem;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long to wait for an answer: commands about a hundred thousand messages take their time.
const PATIENCE: Duration = Duration::from_secs(120);

/// One session after login.
pub struct Session {
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
    tags: u32,
}

/// What came with the answer to a command.
#[derive(Default)]
pub struct Answer {
    /// Octets, literals too.
    pub octets: usize,
    /// Untagged FETCH responses.
    pub fetched: usize,
    /// The number of the last EXISTS.
    pub exists: Option<usize>,
    /// Messages that a SEARCH or SORT names.
    pub found: usize,
}

impl Session {
    /// Connects and logs in. `buffer` is the size of the reading buffer: small for sessions that only wait.
    pub fn open(server: (&str, u16), user: &str, password: &str, buffer: usize) -> Result<Session, Problem> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = Session { stream: BufReader::with_capacity(buffer, stream), line: Vec::new(), tags: 0 };
        session.read_line()?;
        if !session.line.starts_with(b"* OK") {
            return Err(session.complaint());
        }
        session.command(&format!("LOGIN {user} {password}"))?;
        Ok(session)
    }

    /// Sends a command and reads its answer to the tagged line, which must say OK.
    pub fn command(&mut self, command: &str) -> Result<Answer, Problem> {
        let tag = self.tag();
        self.write(format!("{tag} {command}\r\n").as_bytes())?;
        self.answer(&tag)
    }

    /// Appends one message, waiting for the server before the text, as a client without LITERAL+ does.
    pub fn append(&mut self, mailbox: &str, text: &[u8]) -> Result<Answer, Problem> {
        let tag = self.tag();
        self.write(format!("{tag} APPEND {mailbox} (\\Seen) {{{}}}\r\n", text.len()).as_bytes())?;
        self.go_ahead()?;
        self.write(&[text, b"\r\n"].concat())?;
        self.answer(&tag)
    }

    /// Appends many messages with one command and without waiting.
    pub fn append_all(&mut self, mailbox: &str, texts: &[Vec<u8>]) -> Result<Answer, Problem> {
        let tag = self.tag();
        let mut out = BufWriter::with_capacity(256 << 10, self.stream.get_ref().try_clone()?);
        write!(out, "{tag} APPEND {mailbox}")?;
        for text in texts {
            write!(out, " (\\Seen) {{{}+}}\r\n", text.len())?;
            out.write_all(text)?;
        }
        out.write_all(b"\r\n")?;
        out.flush()?;
        self.answer(&tag)
    }

    /// Begins to idle.
    pub fn idle(&mut self) -> Result<(), Problem> {
        let tag = self.tag();
        self.write(format!("{tag} IDLE\r\n").as_bytes())?;
        self.go_ahead()
    }

    /// While idling: waits until the server tells of new messages.
    pub fn wait_for_exists(&mut self) -> Result<(), Problem> {
        loop {
            self.read_line()?;
            if self.line.ends_with(b" EXISTS\r\n") {
                return Ok(());
            }
        }
    }

    /// Ends idling; the server must answer.
    pub fn done(&mut self) -> Result<(), Problem> {
        let tag = format!("a{}", self.tags);
        self.write(b"DONE\r\n")?;
        self.answer(&tag).map(|_| ())
    }

    fn tag(&mut self) -> String {
        self.tags += 1;
        format!("a{}", self.tags)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    fn go_ahead(&mut self) -> Result<(), Problem> {
        loop {
            self.read_line()?;
            match self.line.first() {
                Some(b'+') => return Ok(()),
                Some(b'*') => {}
                _ => return Err(self.complaint()),
            }
        }
    }

    fn answer(&mut self, tag: &str) -> Result<Answer, Problem> {
        let mut answer = Answer::default();
        loop {
            answer.octets += self.read_line()?;
            let line = self.line.as_slice();
            if let Some(rest) = line.strip_prefix(tag.as_bytes()).and_then(|rest| rest.strip_prefix(b" ")) {
                return if rest.starts_with(b"OK") { Ok(answer) } else { Err(self.complaint()) };
            }
            if line.starts_with(b"* SEARCH") || line.starts_with(b"* SORT") {
                answer.found += line.split(|b| *b == b' ').filter(|word| word[0].is_ascii_digit()).count();
            } else if line.ends_with(b" EXISTS\r\n") {
                answer.exists = String::from_utf8_lossy(line).split(' ').nth(1).and_then(|n| n.parse().ok());
            } else if line.get(2).is_some_and(u8::is_ascii_digit) {
                answer.fetched += 1;
            }
        }
    }

    fn complaint(&self) -> Problem {
        format!("refused: {}", String::from_utf8_lossy(&self.line).trim_end()).into()
    }

    /// Reads one response line; its literals are passed over. How many octets there were.
    fn read_line(&mut self) -> Result<usize, Problem> {
        self.line.clear();
        let mut octets = 0;
        loop {
            let from = self.line.len();
            let read = self.stream.read_until(b'\n', &mut self.line)?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            octets += read;
            let Some(length) = literal(&self.line[from..]) else { return Ok(octets) };
            std::io::copy(&mut (&mut self.stream).take(length), &mut std::io::sink())?;
            octets += length as usize;
        }
    }
}

/// The length of the literal that a line announces at its end.
fn literal(line: &[u8]) -> Option<u64> {
    let head = line.strip_suffix(b"}\r\n")?;
    let open = head.iter().rposition(|b| *b == b'{')?;
    std::str::from_utf8(&head[open + 1..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn a_line_that_ends_in_a_literal_says_its_length() {
        assert_eq!(literal(b"* 1 FETCH (BODY[] {120}\r\n"), Some(120));
        assert_eq!(literal(b"* 1 FETCH (FLAGS ())\r\n"), None);
        assert_eq!(literal(b"* OK {x}\r\n"), None);
    }
}
