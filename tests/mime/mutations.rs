//! Messages at hand, broken at random: bounded, and repeatable by seed (`FUZZ_SECONDS`, `FUZZ_SEED`, as for the other fuzzing).

use super::corpus::{files, outside, own};
use super::examine;
use std::time::{Duration, Instant};

/// Larger messages take time from smaller ones, which break as well.
const SIZE_LIMIT: usize = 20_000;

/// xorshift64*: repeatable, and no more is needed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n.max(1) as u64) as usize
    }

    /// Breaks one message in one place, sometimes with a piece of another.
    fn change(&mut self, message: &mut Vec<u8>, other: &[u8]) {
        const MARKS: &[u8] = b"\n\r-\";:()<>@=\0\x1b*'%\\[],";
        if message.is_empty() {
            return;
        }
        let at = self.below(message.len());
        match self.below(6) {
            0 => message[at] ^= 1 << self.below(8),
            1 => drop(message.remove(at)),
            2 => message.insert(at, MARKS[self.below(MARKS.len())]),
            3 => {
                let end = message.len().min(at + self.below(200));
                message.drain(at..end);
            }
            4 => {
                let from = self.below(other.len());
                let end = other.len().min(from + self.below(500));
                message.splice(at..at, other[from..end].iter().copied());
            }
            _ => message.truncate(at),
        }
    }
}

#[test]
fn broken_messages_have_grammatical_answers() {
    let variable = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let seed = variable("FUZZ_SEED", 20261124);
    let until = Instant::now() + Duration::from_secs(variable("FUZZ_SECONDS", 2));
    let mut paths = files(&own());
    if let Some(corpus) = outside() {
        paths.extend(["mime", "mime-japanese", "bounces"].iter().flat_map(|folder| files(&corpus.join(folder))));
    }
    let mut messages: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).expect("a message")).collect();
    messages.retain(|message| message.len() < SIZE_LIMIT);
    let mut random = Random(seed | 1);
    let mut count = 0u64;
    while Instant::now() < until {
        let mut message = messages[random.below(messages.len())].clone();
        for _ in 0..=random.below(6) {
            let other = random.below(messages.len());
            random.change(&mut message, &messages[other]);
        }
        let started = Instant::now();
        if let Err(panic) = std::panic::catch_unwind(|| examine(&message)) {
            eprintln!("seed {seed}, message {count}: {}", message.escape_ascii());
            std::panic::resume_unwind(panic);
        }
        assert!(started.elapsed() < Duration::from_secs(1), "seed {seed}, message {count}: slow");
        count += 1;
    }
    println!("{count} messages, seed {seed}");
}
