//! `mailbench imap`: whole sessions of a mail client, one after the other on each connection.
//!
//! A session: login, SELECT, all flags, fifty envelopes, five messages, a flag set, a message appended, one marked and expunged,
//! LOGOUT. So a mailbox keeps its size.

use crate::args::{Args, Problem};
use crate::imap::Session;
use crate::load::{self, Client};
use crate::message;
use crate::process::Tree;
use crate::smtp::FROM;
use crate::stats::{Figures, Times};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Messages whose envelopes a client shows on its first page.
const PAGE: usize = 50;
/// Octets of the message that is appended.
const APPENDED: usize = 10_240;
/// What is timed by itself, beside the whole session.
const STEPS: [&str; 4] = ["login_ms", "select_ms", "append_ms", "expunge_ms"];

struct Reader<'a> {
    args: &'a Args,
    password: String,
    first: usize,
    mailboxes: usize,
    sessions: usize,
    steps: &'a Mutex<[Times; 4]>,
}

impl Client for Reader<'_> {
    fn transaction(&mut self, number: usize) -> Result<Duration, Problem> {
        let user = self.args.address(self.first + self.sessions % self.mailboxes)?;
        self.sessions += 1;
        let text = message::with_lf(number, FROM, &user, APPENDED).replace('\n', "\r\n");
        let start = Instant::now();
        let mut session = Session::open(self.args.server()?, &user, &self.password, 64 << 10)?;
        let logged_in = start.elapsed();
        let count = session.command("SELECT INBOX")?.exists.unwrap_or(0);
        let selected = start.elapsed();
        if count < PAGE {
            return Err(format!("{user} has {count} messages only").into());
        }
        if session.command("FETCH 1:* (UID FLAGS)")?.fetched < count {
            return Err("some messages are missing".into());
        }
        let page = count - PAGE + 1;
        session
            .command(&format!("FETCH {page}:{count} (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"))?;
        for read in 0..5 {
            session.command(&format!("FETCH {} BODY.PEEK[]", count - (number + read * 11) % PAGE))?;
        }
        session.command(&format!("STORE {} +FLAGS (\\Seen)", count - number % PAGE))?;
        let before = start.elapsed();
        session.append("INBOX", text.as_bytes())?;
        let appended = start.elapsed();
        session.command("STORE 1 +FLAGS.SILENT (\\Deleted)")?;
        let marked = start.elapsed();
        session.command("EXPUNGE")?;
        let expunged = start.elapsed();
        session.command("LOGOUT")?;
        let all = start.elapsed();
        let mut steps = self.steps.lock().map_err(|_| "a thread of the generator panicked")?;
        for (times, time) in
            steps.iter_mut().zip([logged_in, selected - logged_in, appended - before, expunged - marked])
        {
            times.add(time);
        }
        Ok(all)
    }
}

/// Runs the load; `--cold 1` makes one session with each mailbox and no more, for mailboxes that nobody has opened yet.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let (threads, first, users): (usize, usize, usize) =
        (args.value("connections", 1)?, args.value("first", 1)?, args.value("users", 50)?);
    let is_cold = args.value("cold", 0)? != 0;
    let password: String = args.value("password", "secret".to_string())?;
    let steps = Mutex::new([const { Times::new() }; 4]);
    let mine = (users / threads).max(1);
    let reader = |thread: usize, mailboxes: usize| Reader {
        args,
        password: password.clone(),
        first: first + thread % (users / mine) * mine,
        mailboxes,
        sessions: 0,
        steps: &steps,
    };
    // A password is verified once and then remembered, by whoever does so.
    for user in first..first + users {
        Session::open(args.server()?, &args.address(user)?, &password, 256)?.command("LOGOUT")?;
    }
    let tree = Tree::below(args.value("tree", 0)?);
    let cpu = tree.cpu_ms();
    let start = Instant::now();
    let mut done = match is_cold {
        true => load::drive_counted(threads, mine, |thread| Ok(reader(thread, mine)))?,
        false => load::drive(threads, args.seconds()?, |thread| Ok(reader(thread, mine)))?,
    };
    let span = start.elapsed().as_secs_f64();
    let sessions = done.times.count() as f64;
    let mut figures = Figures::default()
        .with("sessions_s", sessions / span)
        .with_times(&mut done.times)
        .with("cpu_ms", (tree.cpu_ms() - cpu) / sessions.max(1.0));
    let mut steps = steps.into_inner().map_err(|_| "a thread of the generator panicked")?;
    for (name, times) in STEPS.into_iter().zip(&mut steps) {
        figures = figures.with(name, times.quantile_ms(0.5));
    }
    Ok(figures.with("errors", done.errors as f64))
}
