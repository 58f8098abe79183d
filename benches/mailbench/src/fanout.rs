//! `mailbench fanout`: one message to many local recipients, and the time until the last of them has it.

use crate::args::{Args, Problem};
use crate::maildirs::Maildirs;
use crate::message;
use crate::process::Tree;
use crate::smtp::{FROM, PATIENCE, Session};
use crate::stats::{Figures, Times};
use std::time::{Duration, Instant};

/// Between two messages, so that the folders' change times differ and nothing is left to do from the last one.
const PAUSE: Duration = Duration::from_millis(50);

/// Sends the message `--repeat` times over one connection.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let (count, repeat, size) =
        (args.value("recipients", 200)?, args.value("repeat", 10)?, args.value("size", 10_240)?);
    let recipients = (1..=count).map(|n| args.address(n)).collect::<Result<Vec<_>, _>>()?;
    let maildirs = Maildirs::of(args, count)?;
    let already = maildirs.count();
    let mut session = Session::open(args.server()?)?;
    let tree = Tree::below(args.value("tree", 0)?);
    let cpu = tree.cpu_ms();
    let mut times = Times::default();
    for number in 0..repeat {
        std::thread::sleep(PAUSE);
        let text = message::for_smtp(number, FROM, "undisclosed-recipients:;", size);
        let before = maildirs.changed_at();
        let start = Instant::now();
        session.send(&recipients, &text)?;
        if !maildirs.wait_for_change(&before, PATIENCE) {
            return Err("not everybody got the message".into());
        }
        times.add(start.elapsed());
    }
    let cpu = tree.cpu_ms() - cpu;
    let (_, found) = maildirs.wait_for(already + repeat * count, PATIENCE);
    Ok(Figures::default()
        .with_times(&mut times)
        .with("cpu_ms", cpu / repeat.max(1) as f64)
        .with("missing", (already + repeat * count) as f64 - found as f64))
}
