//! How many addresses a second the rules take: `3,0` over a generated file of sendmail's.
//!
//! Called by `benches/rules` with the file to read; prints one line. Nothing is asked of the network: maps find nothing.

use expressmail::rules::listing::NoFiles;
use expressmail::rules::macros::Macros;
use expressmail::rules::world::{Nowhere, Unwatched};
use expressmail::rules::{Rules, Run};
use std::time::Instant;

const ADDRESSES: usize = 100_000;
const USERS: [&str; 5] = ["alice", "bob.builder", "carol+list", "\"d e\"", "frank"];
const DOMAINS: [&str; 6] =
    ["", "@example.com", "@mail.example.com", "@other.test", "@a.b.c.example.net", "@[192.0.2.7]"];

fn main() {
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("usage: rules-speed FILE");
        std::process::exit(64);
    };
    let text = std::fs::read(&file).unwrap_or_else(|error| {
        eprintln!("{file}: {error}");
        std::process::exit(66);
    });
    let mut rules = Rules::new();
    for name in ["mail.example.com", "localhost"] {
        rules.classes.add(b"w", name.as_bytes());
    }
    rules.macros.set(b"j", b"mail.example.com".to_vec());
    rules.read(&text, &file, &mut NoFiles);
    let sets = ["3", "0"].map(|set| rules.find_set(set.as_bytes()).unwrap_or(0));
    let addresses: Vec<String> = (0..ADDRESSES)
        .map(|n| match n % 3 {
            0 => format!("{}{n}{}", USERS[n % USERS.len()].trim_matches('"'), DOMAINS[n % DOMAINS.len()]),
            _ => format!("{}{}", USERS[n % USERS.len()], DOMAINS[n % DOMAINS.len()]),
        })
        .collect();
    let (mut message, mut world, mut watch) = (Macros::default(), Nowhere, Unwatched);
    let mut run = Run::new(&rules, &mut message, &mut world, &mut watch);
    let start = Instant::now();
    let mut resolved = 0;
    for address in &addresses {
        let Ok(mut workspace) = run.scan(address.as_bytes()) else { continue };
        for set in sets {
            run.rewrite(set, &mut workspace);
        }
        resolved += usize::from(workspace.first().is_some_and(|t| t.is(expressmail::rules::meta::MAILER)));
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "rules: {ADDRESSES} addresses through 3,0 in {seconds:.3} s: {:.0}/s, {resolved} resolved",
        ADDRESSES as f64 / seconds
    );
}
