//! POP3 as a mail client speaks it: one command, one answer; and the load of many such clients. RFC 1939.

use crate::args::{Args, Problem};
use crate::load::{self, Client};
use crate::process::Tree;
use crate::smtp::PATIENCE;
use crate::stats::Figures;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// One session after login.
pub struct Session {
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl Session {
    /// Connects and logs in. `buffer` is the size of the reading buffer: small for sessions that only wait.
    pub fn open(server: (&str, u16), user: &str, password: &str, buffer: usize) -> Result<Session, Problem> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = Session { stream: BufReader::with_capacity(buffer, stream), line: Vec::new() };
        session.answer()?;
        session.command(&format!("USER {user}"))?;
        session.command(&format!("PASS {password}"))?;
        Ok(session)
    }

    /// Sends a command and reads the first line of its answer.
    pub fn command(&mut self, command: &str) -> Result<(), Problem> {
        self.stream.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
        self.answer()
    }

    /// The number of messages, from STAT.
    pub fn messages(&mut self) -> Result<usize, Problem> {
        self.command("STAT")?;
        let text = String::from_utf8_lossy(&self.line);
        text.split(' ').nth(1).and_then(|count| count.parse().ok()).ok_or_else(|| format!("odd STAT: {text}").into())
    }

    /// Reads one message to its end.
    pub fn retrieve(&mut self, number: usize) -> Result<(), Problem> {
        self.command(&format!("RETR {number}"))?;
        while self.line != b".\r\n" {
            self.read_line()?;
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<(), Problem> {
        self.read_line()?;
        let text = String::from_utf8_lossy(&self.line);
        if text.starts_with("+OK") { Ok(()) } else { Err(format!("refused: {}", text.trim_end()).into()) }
    }

    fn read_line(&mut self) -> Result<(), Problem> {
        self.line.clear();
        if self.stream.read_until(b'\n', &mut self.line)? == 0 {
            return Err("the server closed the connection".into());
        }
        Ok(())
    }
}

/// A client that opens a session for each transaction, on mailboxes that no other thread uses: they are locked.
struct Reader<'a> {
    args: &'a Args,
    password: String,
    first: usize,
    mailboxes: usize,
    retrieve: bool,
    sessions: usize,
}

impl Client for Reader<'_> {
    fn transaction(&mut self, _: usize) -> Result<Duration, Problem> {
        let user = self.args.address(self.first + self.sessions % self.mailboxes)?;
        self.sessions += 1;
        let start = Instant::now();
        let mut session = Session::open(self.args.server()?, &user, &self.password, 64 << 10)?;
        let messages = session.messages()?;
        if self.retrieve {
            for number in 1..=messages {
                session.retrieve(number)?;
            }
        }
        session.command("QUIT")?;
        Ok(start.elapsed())
    }
}

/// `mailbench pop3`: sessions for some seconds over N connections at once, after one session with each mailbox
/// that is not measured (it fills the servers' caches and indexes).
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let threads: usize = args.value("connections", 10)?;
    let (first, users): (usize, usize) = (args.value("first", 1)?, args.value("users", 50)?);
    let retrieve = args.value("retrieve", 0)? != 0;
    let mailboxes = users / threads;
    if mailboxes == 0 {
        return Err("fewer users than connections: mailboxes are locked while open".into());
    }
    let password: String = args.value("password", "secret".to_string())?;
    let reader = |thread: usize, retrieve: bool| Reader {
        args,
        password: password.clone(),
        first: first + thread * mailboxes,
        mailboxes,
        retrieve,
        sessions: 0,
    };
    let mut everybody = Reader { mailboxes: users, ..reader(0, retrieve) };
    for number in 0..users {
        everybody.transaction(number)?;
    }
    let tree = Tree::below(args.value("tree", 0)?);
    let cpu = tree.cpu_ms();
    let start = Instant::now();
    let mut done = load::drive(threads, args.seconds()?, |thread| Ok(reader(thread, retrieve)))?;
    let span = start.elapsed().as_secs_f64();
    let sessions = done.times.count() as f64;
    Ok(Figures::default()
        .with("sessions_s", sessions / span)
        .with_times(&mut done.times)
        .with("cpu_ms", (tree.cpu_ms() - cpu) / sessions.max(1.0))
        .with("errors", done.errors as f64))
}
