//! IMAP, the client's side: what a server sends, cut into responses. No I/O.
//!
//! Called by `migrate`. [`Reader::feed`] takes octets as they come; [`Reader::event`] gives what is whole. A message's octets
//! (`BODY[]` of a FETCH) are handed on as they come and are never held; all else is bounded.
//! Trust: the server is hostile. Lines, literals and nesting have limits; what exceeds them ends the conversation.
//! RFC 9051 §2.2, RFC 9051 §9 (`response`), RFC 3501.

mod fetched;
mod value;

pub use fetched::{Fetched, date_time};
pub use value::Value;

/// Longest line, in octets: FLAGS of a mailbox with many keywords, or a long name.
const LINE_LIMIT: usize = 64 << 10;
/// Largest literal that is no message.
const LITERAL_LIMIT: u64 = 64 << 10;
/// Most octets of one response without its message.
const RESPONSE_LIMIT: usize = 512 << 10;

/// What the server did that no server may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ServerError(pub &'static str);

/// How a command ended, or what an untagged status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// OK.
    Ok,
    /// NO.
    No,
    /// BAD.
    Bad,
    /// BYE.
    Bye,
    /// PREAUTH.
    PreAuth,
}

/// One thing that the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message's octets follow, so many.
    Body(u64),
    /// Some of them.
    Octets(Vec<u8>),
    /// `*` and data; the message in it is [`Value::Streamed`].
    Data(Vec<Value>),
    /// `* OK`, `* BYE` and so on, with the text.
    Status(Status, String),
    /// `+`, with the text.
    Continue(String),
    /// The end of the command with this tag.
    Tagged(String, Status, String),
}

/// A part of a response that is not at its end.
#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Literal(Vec<u8>),
    Streamed(u64),
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Line,
    /// Octets that are missing of the literal at the end of the pieces.
    Literal(u64),
    /// Octets that are missing of a message.
    Body(u64),
}

/// Cuts a server's octets into events.
#[derive(Debug, Default)]
pub struct Reader {
    input: Vec<u8>,
    taken: usize,
    state: State,
    pieces: Vec<Piece>,
    held: usize,
}

impl Reader {
    /// Takes what the network brought.
    pub fn feed(&mut self, octets: &[u8]) {
        self.input.drain(..self.taken);
        self.taken = 0;
        self.input.extend_from_slice(octets);
    }

    /// True when nothing is left: behind STARTTLS nothing may be.
    pub fn is_empty(&self) -> bool {
        self.taken == self.input.len() && self.pieces.is_empty()
    }

    /// The next event; nothing when more octets are needed.
    pub fn event(&mut self) -> Result<Option<Event>, ServerError> {
        loop {
            let rest = &self.input[self.taken..];
            match self.state {
                State::Body(0) | State::Literal(0) => self.state = State::Line,
                State::Body(left) => {
                    let count = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if count == 0 {
                        return Ok(None);
                    }
                    let octets = rest[..count].to_vec();
                    self.taken += count;
                    self.state = State::Body(left - count as u64);
                    return Ok(Some(Event::Octets(octets)));
                }
                State::Literal(left) => {
                    let count = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if count == 0 {
                        return Ok(None);
                    }
                    if let Some(Piece::Literal(literal)) = self.pieces.last_mut() {
                        literal.extend_from_slice(&rest[..count]);
                    }
                    self.taken += count;
                    self.state = State::Literal(left - count as u64);
                }
                State::Line => {
                    let Some(end) = memchr::memchr(b'\n', rest) else {
                        return if rest.len() > LINE_LIMIT { Err(ServerError("a line too long")) } else { Ok(None) };
                    };
                    if end > LINE_LIMIT {
                        return Err(ServerError("a line too long"));
                    }
                    let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]).to_vec();
                    self.taken += end + 1;
                    if let Some(event) = self.line(line)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    /// Takes a line; gives what begins or ends with it.
    fn line(&mut self, line: Vec<u8>) -> Result<Option<Event>, ServerError> {
        if self.pieces.is_empty()
            && let Some(event) = plain(&line)
        {
            return Ok(Some(event));
        }
        self.held += line.len();
        if self.held > RESPONSE_LIMIT {
            return Err(ServerError("a response too long"));
        }
        let Some((text, size)) = literal(&line) else {
            self.pieces.push(Piece::Text(line));
            self.held = 0;
            return value::read(std::mem::take(&mut self.pieces)).map(|data| Some(Event::Data(data)));
        };
        let is_message = text.trim_ascii_end().to_ascii_uppercase().ends_with(b"BODY[]");
        self.pieces.push(Piece::Text(text.to_vec()));
        if is_message {
            self.pieces.push(Piece::Streamed(size));
            self.state = State::Body(size);
            return Ok(Some(Event::Body(size)));
        }
        self.held = self.held.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        if size > LITERAL_LIMIT || self.held > RESPONSE_LIMIT {
            return Err(ServerError("a literal too long"));
        }
        self.pieces.push(Piece::Literal(Vec::new()));
        self.state = State::Literal(size);
        Ok(None)
    }
}

/// Responses of one line whose text is for people: a `{5}` at the end of it is no literal.
fn plain(line: &[u8]) -> Option<Event> {
    let text = String::from_utf8_lossy(line);
    let (tag, rest) = text.split_once(' ').unwrap_or((&text, ""));
    if tag == "+" {
        return Some(Event::Continue(rest.to_string()));
    }
    let (word, said) = rest.split_once(' ').unwrap_or((rest, ""));
    let status = match word.to_ascii_uppercase().as_str() {
        "OK" => Status::Ok,
        "NO" => Status::No,
        "BAD" => Status::Bad,
        "BYE" => Status::Bye,
        "PREAUTH" => Status::PreAuth,
        _ => return None,
    };
    match tag {
        "*" => Some(Event::Status(status, said.to_string())),
        _ => Some(Event::Tagged(tag.to_string(), status, said.to_string())),
    }
}

/// The text before a literal that a line ends with, and its size.
fn literal(line: &[u8]) -> Option<(&[u8], u64)> {
    let open = memchr::memrchr(b'{', line.strip_suffix(b"}")?)?;
    let digits = std::str::from_utf8(&line[open + 1..line.len() - 1]).ok()?;
    let digits = digits.strip_suffix('+').unwrap_or(digits);
    let size = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    Some((line[..open].strip_suffix(b"~").unwrap_or(&line[..open]), size))
}

/// A value of a response code in a status text: `[UIDVALIDITY 5] …`.
pub fn code<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let inside = text.strip_prefix('[')?.split(']').next()?;
    let (word, value) = inside.split_once(' ').unwrap_or((inside, ""));
    word.eq_ignore_ascii_case(name).then_some(value)
}

/// A string of a command: quoted when it can be; nothing when it takes a literal.
pub fn quoted(text: &[u8]) -> Option<String> {
    if !text.iter().all(|b| (b' '..=b'~').contains(b)) {
        return None;
    }
    let mut out = String::from("\"");
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push('\\');
        }
        out.push(char::from(*byte));
    }
    out.push('"');
    Some(out)
}

#[cfg(test)]
mod tests;
