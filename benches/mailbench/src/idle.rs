//! `mailbench idle`: what logged-in, idling IMAP sessions weigh, and how soon they hear of a delivery.
//!
//! With `--command`, the sessions are opened by that program instead (it speaks TLS, which this one does not): it prints a line when all
//! are open, and closes them when its standard input ends.

use crate::args::{Args, Problem};
use crate::imap::Session;
use crate::process::Tree;
use crate::stats::{Figures, Times};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const OPENERS: usize = 8;
/// Lets the server put away what the logins left.
const SETTLE: Duration = Duration::from_secs(2);
/// Between two deliveries.
const PAUSE: Duration = Duration::from_millis(300);

/// Opens the sessions, one user each, and weighs the target before and after.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let (count, first): (usize, usize) = (args.value("connections", 10_000)?, args.value("first", 1)?);
    let password: String = args.value("password", "secret".to_string())?;
    let server = args.server()?;
    let tree = Tree::below(args.needed("tree")?);
    // One session that is not counted, so that what the first login loads is in the weight before.
    drop(idling(server, &args.address(first)?, &password)?);
    std::thread::sleep(SETTLE);
    let before = tree.pss_kib();
    let start = Instant::now();
    if !args.command.is_empty() {
        let mut child = Command::new(&args.command[0])
            .args(&args.command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let (opening, opened) = (start.elapsed().as_secs_f64(), line.trim().parse().unwrap_or(0));
        std::thread::sleep(SETTLE);
        let held = tree.pss_kib();
        drop(child.stdin.take());
        let lost = if child.wait()?.success() { count.saturating_sub(opened) } else { count };
        return Ok(weight(before, held, count, opening, lost));
    }
    let sessions = open_all(server, args, first, count, &password)?;
    let opening = start.elapsed().as_secs_f64();
    std::thread::sleep(SETTLE);
    let held = tree.pss_kib();
    let mut figures = weight(before, held, count, opening, 0);
    if let Some(maildirs) = args.value::<String>("maildirs", String::new()).ok().filter(|m| !m.is_empty()) {
        let inbox = maildirs.replace('%', &format!("user{first}"));
        let mut times = deliveries(server, &args.address(first)?, &password, &inbox, args.value("repeat", 21)?)?;
        figures = figures.with("exists_ms", times.quantile_ms(0.5)).with("exists_p99_ms", times.quantile_ms(0.99));
    }
    let mut lost = 0;
    for mut session in sessions {
        lost += usize::from(session.done().is_err());
    }
    Ok(figures.with("errors", lost as f64))
}

fn weight(before: f64, held: f64, count: usize, opening: f64, lost: usize) -> Figures {
    let figures = Figures::default()
        .with("pss_kib", (held - before) / count as f64)
        .with("total_kib", held)
        .with("opened_s", count as f64 / opening);
    if lost > 0 { figures.with("missing", lost as f64) } else { figures }
}

fn idling(server: (&str, u16), user: &str, password: &str) -> Result<Session, Problem> {
    let mut session = Session::open(server, user, password, 256)?;
    session.command("SELECT INBOX")?;
    session.idle()?;
    Ok(session)
}

fn open_all(
    server: (&'static str, u16),
    args: &Args,
    first: usize,
    count: usize,
    password: &str,
) -> Result<Vec<Session>, Problem> {
    std::thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|opener| {
                scope.spawn(move || -> Result<Vec<Session>, Problem> {
                    let mine = (opener..count).step_by(OPENERS);
                    mine.map(|n| idling(server, &args.address(first + n)?, password)).collect()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(count);
        for opener in openers {
            all.extend(opener.join().map_err(|_| "a thread of the generator panicked")??);
        }
        Ok(all)
    })
}

/// Delivers messages into a Maildir, as any program does, and takes the time until an idling session is told.
fn deliveries(server: (&str, u16), user: &str, password: &str, inbox: &str, repeat: usize) -> Result<Times, Problem> {
    let mut session = idling(server, user, password)?;
    let mut times = Times::default();
    for number in 0..repeat {
        std::thread::sleep(PAUSE);
        let name = format!("{}.M{number}P{}.bench", 1_800_000_000 + number, std::process::id());
        let (draft, new) = (Path::new(inbox).join("tmp").join(&name), Path::new(inbox).join("new").join(&name));
        let start = Instant::now();
        std::fs::write(&draft, "From: a@client.example.test\nSubject: news\n\nHello\n")?;
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(inbox)?);
        std::os::unix::fs::chown(&draft, Some(owner), Some(owner))?;
        std::fs::rename(&draft, &new)?;
        session.wait_for_exists()?;
        times.add(start.elapsed());
    }
    Ok(times)
}
