//! `mailbench start`: the wall time of one program from its start to its end, beside that of a program that does
//! nothing. The two alternate, so that a busy moment of the machine meets both.

use crate::args::{Args, Problem};
use crate::message;
use crate::smtp::FROM;
use crate::stats::{Figures, Times};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs both programs `--runs` times with the same message on standard input.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let runs: usize = args.value("runs", 200)?;
    let size: usize = args.value("size", 0)?;
    let pause = Duration::from_millis(args.value("pause-ms", 0)?);
    let to: String = args.value("to", "user1@example.test".to_string())?;
    let floor: Vec<String> =
        args.value("floor", "/bin/true".to_string())?.split_whitespace().map(String::from).collect();
    let (mut times, mut floor_times, mut errors) = (Times::default(), Times::default(), 0);
    for number in 0..runs {
        let text = if size == 0 { None } else { Some(message::with_lf(number, FROM, &to, size)) };
        let (time, good) = once(&args.command, text.as_deref())?;
        times.add(time);
        errors += usize::from(!good);
        std::thread::sleep(pause);
        floor_times.add(once(&floor, text.as_deref())?.0);
        std::thread::sleep(pause);
    }
    let over = times.quantile_ms(0.5) - floor_times.quantile_ms(0.5);
    Ok(Figures::default()
        .with_times(&mut times)
        .with("floor_ms", floor_times.quantile_ms(0.5))
        .with("over_ms", over)
        .with("errors", errors as f64))
}

fn once(command: &[String], text: Option<&str>) -> Result<(Duration, bool), Problem> {
    let (program, words) = command.split_first().ok_or("no command after --")?;
    let stdin = if text.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut prepared = Command::new(program);
    prepared.args(words).stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = prepared.spawn().map_err(|problem| format!("{program}: {problem}"))?;
    if let (Some(text), Some(mut pipe)) = (text, child.stdin.take()) {
        // A program that does not read its input may be gone already.
        let _ = pipe.write_all(text.as_bytes());
    }
    let status = child.wait()?;
    Ok((start.elapsed(), status.success()))
}
