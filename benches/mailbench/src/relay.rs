//! `mailbench relay`: messages in by SMTP for domains elsewhere, out to a sink.

use crate::args::{Args, Problem};
use crate::load::{self, Client};
use crate::message;
use crate::process::Tree;
use crate::sink;
use crate::smtp::{FROM, PATIENCE, Session};
use crate::stats::Figures;
use std::time::{Duration, Instant};

/// A session that sends to one domain after the other.
struct Sender {
    session: Session,
    domains: usize,
    size: usize,
}

impl Client for Sender {
    fn transaction(&mut self, number: usize) -> Result<Duration, Problem> {
        let recipient = format!("user{number}@d{}.relay.test", number % self.domains + 1);
        let text = message::for_smtp(number, FROM, &recipient, self.size);
        let start = Instant::now();
        self.session.send(&[recipient], &text)?;
        Ok(start.elapsed())
    }
}

/// Sends for some seconds over N connections, then waits until the sink has everything that was accepted.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let (server, size) = (args.server()?, args.value("size", 10_240)?);
    let domains: usize = args.value("domains", 1)?;
    let counts = sink::start(args.value("sink", 22_825)?)?;
    let tree = Tree::below(args.value("tree", 0)?);
    let cpu = tree.cpu_ms();
    let start = Instant::now();
    let mut done = load::drive(args.value("connections", 10)?, args.seconds()?, |_| {
        Ok(Sender { session: Session::open(server)?, domains, size })
    })?;
    let accepting = start.elapsed().as_secs_f64();
    let accepted = done.times.count();
    let (end, relayed) = counts.wait_for(accepted, PATIENCE);
    let (connections, most) = counts.connections();
    let cpu = tree.cpu_ms() - cpu;
    Ok(Figures::default()
        .with("accepted_s", accepted as f64 / accepting)
        .with("relayed_s", relayed as f64 / (end - start).as_secs_f64())
        .with_times(&mut done.times)
        .with("cpu_ms", cpu / (relayed as f64).max(1.0))
        .with("sink_connections", connections as f64)
        .with("most_at_once", most as f64)
        .with("missing", accepted as f64 - relayed as f64)
        .with("errors", done.errors as f64))
}
