//! `mailbench list`: one post to a mailing list, and the time until the last member has it.
//!
//! The members' mailboxes are watched (`--maildirs`), or they are recipients at a sink (`--sink`).

use crate::args::{Args, Problem};
use crate::maildirs::Maildirs;
use crate::message;
use crate::process::Tree;
use crate::sink;
use crate::smtp::{FROM, Session};
use crate::stats::Figures;
use std::time::{Duration, Instant};

/// Before the post, so that the folders' change times are older than it.
const PAUSE: Duration = Duration::from_millis(50);

/// Sends one post.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let (members, size): (usize, usize) = (args.value("members", 10_000)?, args.value("size", 10_240)?);
    let list: String = args.needed("to")?;
    let patience = Duration::from_secs(args.value("patience", 600)?);
    let sink = match args.value("sink", 0)? {
        0 => None,
        port => Some(sink::start(port)?),
    };
    let maildirs = match sink {
        None => Some(Maildirs::some(args, args.value("first", 1)?, members)?),
        Some(_) => None,
    };
    let before = maildirs.as_ref().map(|maildirs| maildirs.changed_at()).unwrap_or_default();
    let mut session = Session::open(args.server()?)?;
    let tree = Tree::below(args.value("tree", 0)?);
    std::thread::sleep(PAUSE);
    let text = message::for_smtp(args.value("number", 1)?, FROM, &list, size);
    let (cpu, start) = (tree.cpu_ms(), Instant::now());
    session.send(&[list], &text)?;
    let accepted = start.elapsed();
    let (end, got) = match (&maildirs, &sink) {
        (Some(maildirs), _) if maildirs.wait_for_change(&before, patience) => (Instant::now(), members),
        (_, Some(sink)) => sink.wait_for_recipients(members, patience),
        _ => return Err("not every member got the post".into()),
    };
    let seconds = (end - start).as_secs_f64();
    Ok(Figures::default()
        .with("accepted_ms", accepted.as_secs_f64() * 1000.0)
        .with("all_s", seconds)
        .with("recipients_s", got as f64 / seconds)
        .with("cpu_ms", tree.cpu_ms() - cpu)
        .with("missing", members as f64 - got as f64))
}
