//! How many addresses a second the rules take: `3,0` over a generated file of sendmail's, or our own em.cf with its tables.
//!
//! Called by `benches/rules` and `benches/run`, with the file to read or with nothing; prints one line, and the figures of our own file in another one. Nothing is asked of the network: the maps of a
//! generated file find nothing.

use expressmail::rules::listing::NoFiles;
use expressmail::rules::macros::Macros;
use expressmail::rules::world::{Nowhere, Unwatched};
use expressmail::rules::{Rules, Run};
use std::time::Instant;

const ADDRESSES: usize = 100_000;
/// Recipients of one message.
const RECIPIENTS: usize = 100;
const USERS: [&str; 5] = ["alice", "bob.builder", "carol+list", "\"d e\"", "frank"];
const DOMAINS: [&str; 6] =
    ["", "@example.com", "@mail.example.com", "@other.test", "@a.b.c.example.net", "@[192.0.2.7]"];

fn main() {
    match std::env::args().nth(1) {
        Some(file) => generated(&file),
        None => built_in(),
    }
}

/// The built-in em.cf in a site with tables of some thousand rows, each consulted as mail consults it.
fn built_in() {
    let dir = std::env::temp_dir().join(format!("rules-speed-{}", std::process::id()));
    let root = expressmail::settings::Root::under(&dir);
    std::fs::create_dir_all(&root.etc).unwrap_or_else(|error| panic!("{}: {error}", root.etc.display()));
    let rows = |make: &dyn Fn(usize) -> String| (0..5000).map(make).collect::<String>();
    for (name, text) in [
        ("virtusers", rows(&|n| format!("joe{n}@virt{n}.test joe{n}@other.test\n"))),
        ("routes", rows(&|n| format!("route{n}.test esmtp:[192.0.2.{}]:25\n", n % 256))),
        ("domaintable", rows(&|n| format!("old{n}.test new{n}.test\n"))),
        ("local-host-names", rows(&|n| format!("ours{n}.test\n"))),
    ] {
        let path = root.etc.join(name);
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let mut settings = expressmail::settings::Settings::default();
    settings.server.hostname = "mail.example.com".to_string();
    settings.server.domains = vec!["example.com".to_string()];
    let site = expressmail::config::Site { root, settings };
    let router = expressmail::route::Router::new(std::sync::Arc::new(site));
    let addresses: Vec<_> = (0..ADDRESSES)
        .map(|n| {
            let domain = match DOMAINS[n % DOMAINS.len()] {
                "" => "@ours7.test",
                domain => domain,
            };
            // Each is a new one: what was found for another address is remembered.
            let user = USERS[n % USERS.len()];
            let text = match user.strip_suffix('"') {
                Some(quoted) => format!("{quoted}{n}\"{domain}"),
                None => format!("{user}{n}{domain}"),
            };
            expressmail::addr::Address::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
        })
        .collect();
    // Compiles the rules and reads the tables.
    let _ = router.goes_away(&addresses[0]);
    let start = Instant::now();
    // The recipients of one message are looked up among rows of one moment.
    let of_message = |recipients: &[expressmail::addr::Address]| {
        let _glance = expressmail::fsx::Glance::begin();
        recipients.iter().filter(|address| router.goes_away(address) == Ok(true)).count()
    };
    let away: usize = addresses.chunks(RECIPIENTS).map(of_message).sum();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "rules: {ADDRESSES} addresses through the built-in em.cf and its tables in {seconds:.3} s: {:.0}/s, {away} for other hosts",
        ADDRESSES as f64 / seconds
    );
    println!("figures per_s={:.0}", ADDRESSES as f64 / seconds);
    let _ = std::fs::remove_dir_all(&dir);
}

fn generated(file: &str) {
    let text = std::fs::read(file).unwrap_or_else(|error| {
        eprintln!("{file}: {error}");
        std::process::exit(66);
    });
    let mut rules = Rules::new();
    for name in ["mail.example.com", "localhost"] {
        rules.classes.add(b"w", name.as_bytes());
    }
    rules.macros.set(b"j", b"mail.example.com".to_vec());
    rules.read(&text, file, &mut NoFiles);
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
