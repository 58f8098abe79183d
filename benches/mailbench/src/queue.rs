//! A queue of many messages, written straight into the folders of em-spool(5), and the time until the first of them comes out.

use crate::args::{Args, Problem};
use crate::message;
use crate::process::Tree;
use crate::sink;
use crate::smtp::{FROM, PATIENCE};
use crate::stats::Figures;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The letters of ids, in order.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Octets of a seeded message.
const SIZE: usize = 1024;
/// How many messages a listing's first page has.
const PAGE: &str = "50";

/// The id of the n-th message: microseconds, then a number.
fn id(micros: u64, number: u64) -> (String, String) {
    let letters =
        |value: u64, count: u32| (0..count).rev().map(move |i| ALPHABET[(value >> (5 * i) & 31) as usize] as char);
    let text = letters(micros, 10).chain(letters(number & 0x3fff_ffff, 6)).collect();
    (text, format!("{:02x}", number & 63))
}

/// `mailbench seedqueue`: makes M messages, for domain d0 (`--dead` of each hundred) and for d1 .. dK.
pub fn seed(args: &Args) -> Result<Figures, Problem> {
    let spool: String = args.value("spool", String::new())?;
    let (count, domains): (u64, u64) = (args.value("messages", 1_000_000)?, args.value("domains", 50)?);
    let dead: u64 = args.value("dead", 50)?;
    let queue = Path::new(&spool).join("queue");
    for bucket in 0..64 {
        fs::create_dir_all(queue.join(format!("{bucket:02x}")))?;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_micros() as u64 - count;
    let text = message::with_lf(1, FROM, "user@relay.test", SIZE);
    for number in 0..count {
        let (name, bucket) = id(now + number, number);
        let domain = if number % 100 < dead { 0 } else { number % domains + 1 };
        let to = format!("user{number}@d{domain}.relay.test");
        let head = format!(
            "em-queue 1\nmail arrived={} from={FROM} protocol=ESMTP ip=127.0.0.1 helo=bench\nrcpt mailer=smtp user={to} for={to} host=d{domain}.relay.test\n\n",
            now + number
        );
        fs::write(queue.join(bucket).join(name), head + &text)?;
    }
    Ok(Figures::default().with("messages", count as f64))
}

/// `mailbench queue`: starts a program and measures how a seeded queue drains into a sink.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let counts = sink::start(args.value("sink", 22_825)?)?;
    let (program, rest) = args.command.split_first().ok_or("no command")?;
    let start = Instant::now();
    let mut child = Command::new(program).args(rest).stdin(Stdio::null()).spawn()?;
    let tree = Tree::below(child.id());
    let (first, seen) = counts.wait_for(1, PATIENCE);
    if seen == 0 {
        let _ = child.kill();
        return Err("nothing came out of the queue".into());
    }
    let first = (first - start).as_secs_f64();
    // The busiest time: while the queue is still being read, and for a while after that.
    let span = args.seconds()?;
    let (mut most, began) = (0.0f64, counts.messages());
    let since = Instant::now();
    while since.elapsed() < span {
        most = most.max(tree.rss_kib());
        std::thread::sleep(Duration::from_millis(100));
    }
    let rate = (counts.messages() - began) as f64 / since.elapsed().as_secs_f64();
    let mut pages = Vec::new();
    let list: String = args.value("list", String::new())?;
    if !list.is_empty() {
        for _ in 0..5 {
            let asked = Instant::now();
            let mut words = list.split_whitespace();
            let program = words.next().ok_or("no listing command")?;
            let status = Command::new(program).args(words).args(["--limit", PAGE]).stdout(Stdio::null()).status()?;
            if !status.success() {
                return Err(format!("the listing failed: {status}").into());
            }
            pages.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        pages.sort_by(f64::total_cmp);
    }
    let cpu = tree.cpu_ms();
    Command::new("kill").arg(child.id().to_string()).status()?;
    child.wait()?;
    Ok(Figures::default()
        .with("first_s", first)
        .with("relayed_s", rate)
        .with("rss_mib", most / 1024.0)
        .with("page_ms", pages.get(pages.len() / 2).copied().unwrap_or(0.0))
        .with("cpu_s", cpu / 1e3))
}
