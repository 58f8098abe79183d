//! A hand-held client, and a small SMTP server that says what the test wants.

use super::world::PATIENCE;
use expressmail::drive::Outgoing;
use expressmail::nexthop::Security;
use expressmail::nexthop::{Net, Wire};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A line-wise client.
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { reader: BufReader::new(stream) }
    }

    pub fn send(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// One line without its end; empty at the connection's end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.reader.read_line(&mut line);
        line.trim_end().to_string()
    }

    /// One SMTP reply: its last line.
    pub fn reply(&mut self) -> String {
        loop {
            let line = self.line();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    /// Sends a command; gives the reply's last line.
    pub fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{command}\r\n"));
        self.reply()
    }

    /// All that comes until the connection ends.
    pub fn rest(mut self) -> String {
        let mut text = String::new();
        let _ = self.reader.read_to_string(&mut text);
        text
    }
}

/// A client that can speak TLS, by the product's own client side; certificates are not checked.
pub struct Tls {
    wire: Box<dyn Wire>,
    held: Vec<u8>,
}

impl Tls {
    /// Connects and sends this in clear.
    pub fn connect(address: SocketAddr, first: &[u8]) -> Tls {
        let mut wire = Outgoing::default().connect(address, None, PATIENCE).unwrap();
        wire.send(first).unwrap();
        Tls { wire, held: Vec::new() }
    }

    pub fn start(&mut self) {
        self.wire.start_tls(&Security::opportunistic("localhost"), PATIENCE).unwrap();
    }

    pub fn send(&mut self, text: &str) {
        self.wire.send(text.as_bytes()).unwrap();
    }

    /// One line without its end; empty at the connection's end.
    pub fn line(&mut self) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.held.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                return String::from_utf8(line).unwrap().trim_end().to_string();
            }
            match self.wire.receive(&mut buffer, PATIENCE) {
                Ok(n) if n > 0 => self.held.extend_from_slice(&buffer[..n]),
                _ => return String::new(),
            }
        }
    }

    /// Lines up to one that is this, each with a line end before and behind it.
    pub fn lines_to(&mut self, last: &str) -> String {
        let mut text = String::from("\n");
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "{text}");
            if line == last {
                return text;
            }
            text.push_str(&line);
            text.push('\n');
        }
    }

    /// One SMTP reply, all lines.
    pub fn reply(&mut self) -> String {
        let mut text = String::new();
        loop {
            let line = self.line();
            text.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return text;
            }
        }
    }

    /// Sends a command; gives the reply.
    pub fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{command}\r\n"));
        self.reply()
    }
}

/// What an SMTP sink has got.
#[derive(Debug, Clone, Default)]
pub struct Got {
    pub commands: Vec<String>,
    pub texts: Vec<String>,
}

/// A server for outgoing mail; `answer` may override the reply to a command (upper-case verb, whole line).
pub struct Sink {
    pub address: SocketAddr,
    pub got: Arc<Mutex<Got>>,
}

impl Sink {
    pub fn start(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Sink {
        Sink::start_on(("127.0.0.1", 0), answer)
    }

    /// The same at an address and port.
    pub fn start_on(at: (&str, u16), answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Sink {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Got::default()));
        let (shared, answer) = (got.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (got, answer) = (shared.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &got, &*answer));
            }
        });
        Sink { address, got }
    }

    /// The same at the path of a socket; gives what it gets.
    pub fn start_at(path: &Path, answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Arc<Mutex<Got>> {
        let listener = UnixListener::bind(path).unwrap();
        let got = Arc::new(Mutex::new(Got::default()));
        let shared = got.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, &shared, &answer)));
        got
    }

    /// A line of etc/routes that leads here.
    pub fn route(&self, domain: &str) -> String {
        format!("{domain} esmtp:[127.0.0.1]:{}\n", self.address.port())
    }

    pub fn texts(&self) -> Vec<String> {
        self.got.lock().unwrap().texts.clone()
    }

    pub fn commands(&self) -> Vec<String> {
        self.got.lock().unwrap().commands.clone()
    }
}

fn serve<S: Read + Write>(stream: S, got: &Mutex<Got>, answer: &dyn Fn(&str) -> Option<String>) {
    let mut reader = BufReader::new(stream);
    let say = |reader: &mut BufReader<S>, text: &str| reader.get_mut().write_all(format!("{text}\r\n").as_bytes());
    if say(&mut reader, &answer("CONNECT").unwrap_or("220 sink ESMTP".into())).is_err() {
        return;
    }
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap_or(0) > 0 {
        let command = std::mem::take(&mut line).trim_end().to_string();
        got.lock().unwrap().commands.push(command.clone());
        let verb = command.split([' ', ':']).next().unwrap_or("").to_uppercase();
        let custom = answer(&command);
        let refused = custom.as_ref().is_some_and(|c| !c.starts_with(['2', '3']));
        let standard = match verb.as_str() {
            "EHLO" => "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE\r\n250 DSN",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 2.0.0 ok",
        };
        if say(&mut reader, &custom.unwrap_or(standard.into())).is_err() || verb == "QUIT" {
            return;
        }
        if verb == "DATA" && !refused {
            let mut text = String::new();
            let mut row = String::new();
            while reader.read_line(&mut row).unwrap_or(0) > 0 && row != ".\r\n" {
                text.push_str(&row);
                row.clear();
            }
            let reply = answer("END").unwrap_or("250 2.0.0 taken".into());
            if reply.starts_with('2') {
                got.lock().unwrap().texts.push(text);
            }
            if say(&mut reader, &reply).is_err() {
                return;
            }
        }
    }
}
