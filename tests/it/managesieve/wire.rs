//! A hand-held ManageSieve client that reads whole responses.

use crate::world::PATIENCE;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One response.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Response {
    /// OK, NO or BYE, and the name of its code.
    Status(String, String),
    /// Strings and atoms, without quotes, with blanks between.
    Words(String),
}

/// Reads one response, literals and all; `next` gives the line behind a literal's octets.
pub fn parse(line: &str, literal: &mut dyn FnMut(usize) -> (String, String)) -> Response {
    let mut words = Vec::new();
    let mut rest = line.to_string();
    loop {
        rest = rest.trim_start_matches(' ').to_string();
        let Some(first) = rest.chars().next() else { break };
        if let Some(size) = rest.strip_prefix('{').and_then(|r| r.strip_suffix('}')).and_then(|n| n.parse().ok()) {
            let (text, after) = literal(size);
            words.push(text);
            rest = after;
        } else if first == '"' {
            let mut text = String::new();
            let mut letters = rest.char_indices().skip(1);
            let end = loop {
                match letters.next() {
                    Some((_, '\\')) => text.extend(letters.next().map(|(_, c)| c)),
                    Some((at, '"')) => break at + 1,
                    Some((_, c)) => text.push(c),
                    None => break rest.len(),
                }
            };
            words.push(text);
            rest = rest[end..].to_string();
        } else {
            let is_sign = "()".contains(first);
            let end = if is_sign { Some(0) } else { rest[1..].find([' ', '"', '(', ')', '{']) };
            let end = end.map_or(rest.len(), |at| at + 1);
            words.push(rest[..end].to_string());
            rest = rest[end..].to_string();
        }
    }
    let is_status = ["OK", "NO", "BYE"].contains(&words.first().map_or("", String::as_str)) && !line.starts_with('"');
    match is_status {
        true => {
            let code = if words.get(1).is_some_and(|word| word == "(") { words.get(2) } else { None };
            Response::Status(words[0].clone(), code.cloned().unwrap_or_default())
        }
        false => Response::Words(words.join(" ")),
    }
}

pub struct Sieve {
    reader: BufReader<TcpStream>,
}

impl Sieve {
    /// Connects, and takes the greeting.
    pub fn connect(address: SocketAddr) -> Sieve {
        let mut sieve = Sieve::connect_unread(address);
        assert_eq!(sieve.reply().last(), Some(&Response::Status("OK".into(), String::new())));
        sieve
    }

    /// Connects; the greeting is still to be read.
    pub fn connect_unread(address: SocketAddr) -> Sieve {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Sieve { reader: BufReader::new(stream) }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    /// One line without its end; `None` at the connection's end.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let n = self.reader.read_line(&mut line).unwrap_or(0);
        (n > 0).then(|| line.trim_end_matches("\r\n").to_string())
    }

    /// One response; `None` at the connection's end.
    pub fn response(&mut self) -> Option<Response> {
        let line = self.line()?;
        Some(parse(&line, &mut |size| {
            let mut text = vec![0; size];
            self.reader.read_exact(&mut text).unwrap();
            (String::from_utf8(text).unwrap(), self.line().unwrap_or_default())
        }))
    }

    /// Responses up to a status.
    pub fn reply(&mut self) -> Vec<Response> {
        let mut found = Vec::new();
        while let Some(response) = self.response() {
            found.push(response);
            if matches!(found.last(), Some(Response::Status(..))) {
                break;
            }
        }
        found
    }

    /// Sends a command that is done; gives what came before the OK.
    pub fn ok(&mut self, command: &str) -> Vec<Response> {
        self.send(format!("{command}\r\n").as_bytes());
        let mut reply = self.reply();
        assert!(matches!(reply.pop(), Some(Response::Status(word, _)) if word == "OK"), "{command}");
        reply
    }

    /// Sends a command that is not done; gives the code.
    pub fn no(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes());
        match self.reply().pop() {
            Some(Response::Status(word, code)) if word == "NO" => code,
            other => panic!("{command}: {other:?}"),
        }
    }

    pub fn log_in(&mut self, user: &str, password: &str) {
        self.ok(&format!("AUTHENTICATE \"PLAIN\" \"{}\"", plain(user, password)));
    }
}

/// The one message of PLAIN.
pub fn plain(user: &str, password: &str) -> String {
    use encodify::base64;
    base64::STANDARD.encode(format!("\0{user}\0{password}"))
}
