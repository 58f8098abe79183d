//! SMTP as a client speaks it that knows PIPELINING, and the load of many such clients.
//!
//! A message costs two writes and two answers: MAIL, RCPT and DATA together, then the text. RFC 5321, RFC 2920.

use crate::args::{Args, Problem};
use crate::load::{self, Client};
use crate::maildirs::Maildirs;
use crate::message;
use crate::process::Tree;
use crate::stats::Figures;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Envelope sender of everything we send.
pub const FROM: &str = "sender@client.example.test";
/// How long to wait for an answer, and for the last delivery.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One SMTP session after EHLO.
pub struct Session {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Session {
    /// Connects and says EHLO.
    pub fn open(server: (&str, u16)) -> Result<Session, Problem> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = Session { stream: BufReader::new(stream), line: String::new() };
        session.answer('2')?;
        session.write(b"EHLO client.example.test\r\n")?;
        session.answer('2')?;
        Ok(session)
    }

    /// Sends one message; comes back when the server has taken it.
    pub fn send(&mut self, recipients: &[String], text: &[u8]) -> Result<(), Problem> {
        let mut commands = format!("MAIL FROM:<{FROM}>\r\n");
        for recipient in recipients {
            commands.push_str(&format!("RCPT TO:<{recipient}>\r\n"));
        }
        commands.push_str("DATA\r\n");
        self.write(commands.as_bytes())?;
        for _ in 0..=recipients.len() {
            self.answer('2')?;
        }
        self.answer('3')?;
        self.write(text)?;
        self.answer('2')
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// Reads one reply, however many lines it has, and checks its first digit.
    fn answer(&mut self, class: char) -> Result<(), Problem> {
        loop {
            self.line.clear();
            if self.stream.read_line(&mut self.line)? == 0 {
                return Err("the server closed the connection".into());
            }
            if self.line.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
        if self.line.starts_with(class) { Ok(()) } else { Err(format!("refused: {}", self.line.trim_end()).into()) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Politeness only; the server may be gone.
        let _ = self.write(b"QUIT\r\n").and_then(|()| self.answer('2'));
    }
}

/// A session that sends messages to one user after the other.
struct Sender<'a> {
    session: Session,
    args: &'a Args,
    users: usize,
    size: usize,
}

impl Client for Sender<'_> {
    fn transaction(&mut self, number: usize) -> Result<Duration, Problem> {
        let recipient = self.args.address(number % self.users + 1)?;
        let text = message::for_smtp(number, FROM, &recipient, self.size);
        let start = Instant::now();
        self.session.send(&[recipient], &text)?;
        Ok(start.elapsed())
    }
}

/// `mailbench smtp`: sends for some seconds over N connections, then waits until everything accepted is delivered.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let (server, users, size) = (args.server()?, args.value("users", 50)?, args.value("size", 10_240)?);
    let maildirs = Maildirs::of(args, users)?;
    let tree = Tree::below(args.value("tree", 0)?);
    let (already, cpu) = (maildirs.count(), tree.cpu_ms());
    let start = Instant::now();
    let mut done = load::drive(args.value("connections", 1)?, args.seconds()?, |_| {
        Ok(Sender { session: Session::open(server)?, args, users, size })
    })?;
    let accepting = start.elapsed().as_secs_f64();
    let accepted = done.times.count();
    let (end, found) = maildirs.wait_for(already + accepted, PATIENCE);
    let delivered = (found - already) as f64;
    let cpu = tree.cpu_ms() - cpu;
    Ok(Figures::default()
        .with("accepted_s", accepted as f64 / accepting)
        .with("delivered_s", delivered / (end - start).as_secs_f64())
        .with_times(&mut done.times)
        .with("cpu_ms", cpu / delivered.max(1.0))
        .with("missing", accepted as f64 - delivered)
        .with("errors", done.errors as f64))
}
