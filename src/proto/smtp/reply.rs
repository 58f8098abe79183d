//! Reading another server's replies (RFC 5321 §4.2).

use crate::line::{LineEvent, LineSplitter};
use crate::status::{Enhanced, Reply};

/// Longest reply line taken, in octets; RFC 5321 §4.5.3.1.5 allows 512, some servers say more.
const LINE_LIMIT: usize = 4096;
/// Most lines of one reply.
const LINES_LIMIT: usize = 200;

/// Puts lines together to replies.
#[derive(Debug)]
pub struct ReplyReader {
    lines: LineSplitter,
    open: Option<Reply>,
}

/// The peer does not speak SMTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an SMTP reply: {0:?}")]
pub struct NotAReply(pub String);

impl Default for ReplyReader {
    fn default() -> Self {
        ReplyReader { lines: LineSplitter::new(LINE_LIMIT), open: None }
    }
}

impl ReplyReader {
    /// Takes input up to the end of one reply. Returns what was taken and the reply, if it is complete.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), NotAReply> {
        let mut taken = 0;
        while taken < input.len() {
            let (used, event) = self.lines.feed(&input[taken..]);
            taken += used;
            let line = match event {
                LineEvent::More => break,
                LineEvent::TooLong => return Err(NotAReply("a line without end".to_string())),
                LineEvent::Line(line, _) => String::from_utf8_lossy(line),
            };
            let code = line.get(..3).and_then(|c| c.parse::<u16>().ok()).filter(|c| (200..600).contains(c));
            let code = code.ok_or_else(|| NotAReply(line.chars().take(80).collect()))?;
            let is_last = match line.as_bytes().get(3) {
                None | Some(b' ') => true,
                Some(b'-') => false,
                _ => return Err(NotAReply(line.chars().take(80).collect())),
            };
            let text = line.get(4..).unwrap_or("");
            let (enhanced, text) = match Enhanced::parse_prefix(text) {
                Some((enhanced, rest)) if u16::from(enhanced.0) == code / 100 => (Some(enhanced), rest),
                _ => (None, text),
            };
            let reply = self.open.get_or_insert_with(|| Reply { code, enhanced, lines: Vec::new() });
            if reply.lines.len() >= LINES_LIMIT {
                return Err(NotAReply("a reply without end".to_string()));
            }
            reply.lines.push(text.to_string());
            reply.code = code;
            if is_last {
                return Ok((taken, self.open.take()));
            }
        }
        Ok((taken, None))
    }
}

/// A number behind a keyword of EHLO; `None` for what is none or too large.
pub fn number(word: &str) -> Option<u64> {
    crate::proto::digits(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_do_not_depend_on_the_pieces() {
        let wire = b"250-mx.test\r\n250-SIZE 100\r\n250 HELP\r\n550 5.1.1 no such user\r\n";
        for step in 1..wire.len() {
            let mut reader = ReplyReader::default();
            let mut found = Vec::new();
            for piece in wire.chunks(step) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let (taken, reply) = reader.feed(rest).unwrap();
                    found.extend(reply);
                    rest = &rest[taken..];
                }
            }
            assert_eq!(found.len(), 2);
            assert_eq!(found[0].lines, ["mx.test", "SIZE 100", "HELP"]);
            assert_eq!((found[1].code, found[1].enhanced), (550, Some(Enhanced(5, 1, 1))));
        }
        for bad in ["hello\r\n", "99 x\r\n", "250+x\r\n", "HTTP/1.1 400\r\n"] {
            assert!(ReplyReader::default().feed(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
