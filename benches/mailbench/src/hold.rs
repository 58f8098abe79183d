//! `mailbench hold`: the memory that logged-in POP3 sessions cost while their clients say nothing.

use crate::args::{Args, Problem};
use crate::pop3::Session;
use crate::process::Tree;
use crate::stats::Figures;
use std::time::{Duration, Instant};

/// Threads that open the sessions; logging in one after the other would take minutes with slow password hashes.
const OPENERS: usize = 8;
/// Lets the server put away what the logins left.
const SETTLE: Duration = Duration::from_secs(2);

/// Opens the sessions, one user each, weighs the target before and after, and checks that all still answer.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let (count, first): (usize, usize) = (args.value("connections", 5000)?, args.value("first", 1)?);
    let password: String = args.value("password", "secret".to_string())?;
    let server = args.server()?;
    let tree = Tree::below(args.needed("tree")?);
    // One session that is not counted, so that what the first login loads is in the weight before.
    drop(Session::open(server, &args.address(first)?, &password, 256)?);
    std::thread::sleep(SETTLE);
    let before = tree.pss_kib();
    let start = Instant::now();
    let mut sessions = std::thread::scope(|scope| -> Result<Vec<Session>, Problem> {
        let openers: Vec<_> = (0..OPENERS)
            .map(|opener| {
                let password = &password;
                scope.spawn(move || -> Result<Vec<Session>, Problem> {
                    (opener..count)
                        .step_by(OPENERS)
                        .map(|n| Session::open(server, &args.address(first + n)?, password, 256))
                        .collect()
                })
            })
            .collect();
        let mut all = Vec::new();
        for opener in openers {
            all.extend(opener.join().map_err(|_| "a thread of the generator panicked")??);
        }
        Ok(all)
    })?;
    let opening = start.elapsed().as_secs_f64();
    std::thread::sleep(SETTLE);
    let (held, processes) = (tree.pss_kib(), tree.processes());
    let lost = sessions.iter_mut().map(|session| session.command("NOOP")).filter(Result::is_err).count();
    for session in &mut sessions {
        let _ = session.command("QUIT");
    }
    Ok(Figures::default()
        .with("pss_kib", (held - before) / count as f64)
        .with("total_kib", held)
        .with("processes", processes as f64)
        .with("opened_s", count as f64 / opening)
        .with("errors", lost as f64))
}
