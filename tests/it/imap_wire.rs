//! A hand-held IMAP client that reads whole responses, strictly.

use super::world::{PATIENCE, World};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A part of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Also numbers, NIL, and names as `BODY[HEADER.FIELDS (SUBJECT)]<0>`.
    Atom(String),
    /// Quoted or literal.
    Text(Vec<u8>),
    List(Vec<Value>),
}

impl Value {
    pub fn atom(&self) -> &str {
        if let Value::Atom(text) = self { text } else { "" }
    }

    pub fn number(&self) -> Option<u32> {
        self.atom().parse().ok()
    }

    pub fn list(&self) -> &[Value] {
        if let Value::List(list) = self { list } else { &[] }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Atom(text) => text.as_bytes(),
            Value::Text(bytes) => bytes,
            Value::List(_) => b"",
        }
    }
}

/// A value and what stands behind it; the error says what is wrong. Nothing but `(` and `)` may touch each other.
pub fn value(text: &[u8]) -> Result<(Value, &[u8]), String> {
    let wrong = |what: &str| Err(format!("{what}: {}", text[..text.len().min(80)].escape_ascii()));
    match text.first() {
        Some(b'(') => {
            let (mut list, mut rest) = (Vec::new(), &text[1..]);
            while rest.first() != Some(&b')') {
                let is_touching = rest.first() == Some(&b'(') && matches!(list.last(), Some(Value::List(_)));
                if !list.is_empty() && !is_touching {
                    rest = rest.strip_prefix(b" ").ok_or_else(|| format!("no blank: {}", rest.escape_ascii()))?;
                }
                let (one, behind) = value(rest)?;
                list.push(one);
                rest = behind;
            }
            Ok((Value::List(list), &rest[1..]))
        }
        Some(b'"') => {
            let mut bytes = Vec::new();
            let mut rest = text[1..].iter().copied();
            loop {
                match rest.next() {
                    Some(b'"') => return Ok((Value::Text(bytes), &text[text.len() - rest.len()..])),
                    Some(b'\\') => match rest.next() {
                        Some(byte @ (b'"' | b'\\')) => bytes.push(byte),
                        _ => return wrong("escape"),
                    },
                    Some(byte) if byte != 0 && byte != b'\r' && byte != b'\n' => bytes.push(byte),
                    _ => return wrong("quoted string"),
                }
            }
        }
        Some(b'{' | b'~') => {
            let is_binary = text[0] == b'~';
            let head = text.strip_prefix(b"~").unwrap_or(text);
            let end = head.iter().position(|b| *b == b'}').ok_or("open literal")?;
            let Some(size) = head.get(1..end).and_then(|n| std::str::from_utf8(n).ok()?.parse::<usize>().ok()) else {
                return wrong("literal's size");
            };
            let body = head[end + 1..].strip_prefix(b"\r\n").ok_or("literal's line")?;
            let bytes = body.get(..size).ok_or("short literal")?;
            if !is_binary && bytes.contains(&0) {
                return wrong("NUL in a literal");
            }
            Ok((Value::Text(bytes.to_vec()), &body[size..]))
        }
        _ => {
            let (mut end, mut brackets) = (0, 0);
            for byte in text {
                match byte {
                    b'[' => brackets += 1,
                    b']' => brackets -= 1,
                    b' ' | b'(' | b')' | b'"' | b'{' if brackets == 0 => break,
                    0..32 | 127.. => return wrong("octet"),
                    _ => {}
                }
                end += 1;
            }
            if end == 0 {
                return wrong("nothing");
            }
            Ok((Value::Atom(String::from_utf8_lossy(&text[..end]).into_owned()), &text[end..]))
        }
    }
}

/// All values of a line, one blank between each.
pub fn values(mut text: &[u8]) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    while !text.is_empty() {
        if !all.is_empty() {
            text = text.strip_prefix(b" ").ok_or_else(|| format!("no blank: {}", text.escape_ascii()))?;
        }
        let (one, rest) = value(text)?;
        all.push(one);
        text = rest;
    }
    Ok(all)
}

/// The answer to a command.
#[derive(Debug)]
pub struct Reply {
    /// Without `* ` and the line end.
    pub untagged: Vec<Vec<u8>>,
    /// Without the tag.
    pub tagged: String,
}

/// A connection.
pub struct Imap {
    reader: BufReader<TcpStream>,
    tags: u32,
}

impl Imap {
    /// Connects and reads the greeting.
    pub fn connect(address: SocketAddr) -> Imap {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut imap = Imap { reader: BufReader::new(stream), tags: 0 };
        assert!(imap.response().starts_with(b"* OK "));
        imap
    }

    /// Logs in; a name without domain is one of example.test.
    pub fn log_in(world: &World, user: &str) -> Imap {
        Imap::log_in_at(world.address("imap"), user)
    }

    /// The same at another server.
    pub fn log_in_at(address: SocketAddr, user: &str) -> Imap {
        let mut imap = Imap::connect(address);
        imap.ok(&format!("LOGIN {user}@example.test demo"));
        imap
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// The same, to a server that may have gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// One response with its literals, without the last line end.
    pub fn response(&mut self) -> Vec<u8> {
        self.try_response().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same; the error says that the connection ended, or that nothing came.
    pub fn try_response(&mut self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        loop {
            let start = bytes.len();
            if let Err(error) = self.reader.read_until(b'\n', &mut bytes) {
                return Err(format!("{error} behind {}", bytes.escape_ascii()));
            }
            if !bytes.ends_with(b"\r\n") {
                return Err(format!("the connection ended: {}", bytes.escape_ascii()));
            }
            bytes.truncate(bytes.len() - 2);
            let size = bytes[start..].strip_suffix(b"}").and_then(|line| {
                let digits = line.rsplit(|b| *b == b'{').next()?;
                std::str::from_utf8(digits).ok()?.parse::<usize>().ok()
            });
            let Some(size) = size else { return Ok(bytes) };
            bytes.extend_from_slice(b"\r\n");
            let start = bytes.len();
            bytes.resize(start + size, 0);
            self.reader.read_exact(&mut bytes[start..]).map_err(|error| error.to_string())?;
        }
    }

    /// Sends a command; gives its tag.
    pub fn begin(&mut self, command: &[u8]) -> String {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.send(&[tag.as_bytes(), b" ", command, b"\r\n"].concat());
        tag
    }

    /// Reads up to the tagged reply.
    pub fn end(&mut self, tag: &str) -> Reply {
        let mut untagged = Vec::new();
        loop {
            let response = self.response();
            if let Some(rest) = response.strip_prefix(b"* ") {
                untagged.push(rest.to_vec());
            } else if let Some(rest) = response.strip_prefix(format!("{tag} ").as_bytes()) {
                return Reply { untagged, tagged: String::from_utf8_lossy(rest).into_owned() };
            } else {
                panic!("waiting for {tag}: {}", response.escape_ascii());
            }
        }
    }

    pub fn ask(&mut self, command: &str) -> Reply {
        let tag = self.begin(command.as_bytes());
        self.end(&tag)
    }

    /// A command that must succeed.
    pub fn ok(&mut self, command: &str) -> Vec<Vec<u8>> {
        let reply = self.ask(command);
        assert!(reply.tagged.starts_with("OK"), "{command}: {}", reply.tagged);
        reply.untagged
    }

    /// The same; the untagged lines as text.
    pub fn lines(&mut self, command: &str) -> Vec<String> {
        self.ok(command).iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }
}
