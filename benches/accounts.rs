//! What accounts cost: a look-up among a million in a fresh process, logins with and without the cache, passwords of an import.
//!
//! Called by `benches/accounts` and the part `accounts` of `benches/run`; prints a line for each figure, and one with all of them for programs. `accounts-speed --once DIR ADDRESS` is the fresh process.

use expressmail::addr::Address;
use expressmail::config::Site;
use expressmail::sasl::{Evidence, ScramKeys};
use expressmail::serve::LoginDesk;
use expressmail::settings::{Root, Settings};
use expressmail::users::{Account, Users, hash_password, key};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ACCOUNTS: usize = 1_000_000;
const LOOK_UPS: usize = 200;
const LOGINS: usize = 200_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, once, dir, address] = arguments.as_slice()
        && once == "--once"
    {
        return look_up_once(Path::new(dir), address);
    }
    let dir = std::env::temp_dir().join(format!("accounts-speed-{}", std::process::id()));
    let site = site(&dir);
    std::fs::create_dir_all(&site.root.etc).expect("a folder for the accounts");
    let figures = [million(&site), fresh_processes(&dir), logins(site.clone()), passwords()];
    println!("figures {}", figures.join(" "));
    let _ = std::fs::remove_dir_all(&dir);
}

fn site(dir: &Path) -> Arc<Site> {
    let mut settings = Settings::default();
    settings.server.hostname = "mail.example.com".to_string();
    settings.server.domains = vec!["example.com".to_string()];
    Arc::new(Site { root: Root::under(dir), settings })
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

/// A file as the program writes it, with the account that logs in.
fn million(site: &Site) -> String {
    let mut alice = Account::new(&address("zz-alice@example.com"));
    alice.set_password("correct horse battery", "argon2id", false).expect("a password");
    let mut text = String::from("# em-users 1\n");
    let hash = alice.password().unwrap_or_default().to_string();
    for i in 0..ACCOUNTS {
        let _ = writeln!(text, "user{i:07}@example.com name=User%20{i} pw={hash} quota=1073741824");
    }
    let path = site.root.etc.join("users");
    std::fs::write(path, text).expect("the accounts");
    let users = Users::of(site);
    let start = Instant::now();
    users
        .update(|accounts| {
            accounts.insert(key(&alice.address), alice);
            Ok::<_, std::io::Error>(())
        })
        .expect("a change");
    let seconds = start.elapsed().as_secs_f64();
    println!("accounts: one change among {ACCOUNTS} in {seconds:.2} s");
    format!("change_s={seconds:.3}")
}

fn look_up_once(dir: &Path, text: &str) {
    let start = Instant::now();
    let found = Users::of(&site(dir)).lookup(&address(text)).expect("a look-up");
    println!("{} {}", start.elapsed().as_nanos(), found.is_some());
}

fn fresh_processes(dir: &Path) -> String {
    let program = std::env::current_exe().expect("our own path");
    let mut times: Vec<Duration> = (0..LOOK_UPS)
        .map(|i| {
            let text = format!("user{:07}@example.com", i * 7919 % ACCOUNTS);
            let out =
                std::process::Command::new(&program).arg("--once").arg(dir).arg(text).output().expect("ourselves");
            let said = String::from_utf8_lossy(&out.stdout).into_owned();
            let nanos = said.strip_suffix(" true\n").and_then(|nanos| nanos.parse().ok()).expect("an account");
            Duration::from_nanos(nanos)
        })
        .collect();
    times.sort_unstable();
    let micros = |at: usize| times[at].as_secs_f64() * 1e6;
    let (half, most) = (micros(LOOK_UPS / 2), micros(LOOK_UPS * 99 / 100));
    println!(
        "accounts: a look-up among {ACCOUNTS} in a fresh process: median {half:.0} µs, 99 of 100 below {most:.0} µs"
    );
    format!("look_up_us={half:.1} look_up_p99_us={most:.1}")
}

fn logins(site: Arc<Site>) -> String {
    let desk = LoginDesk::new(site);
    let evidence = Evidence::Password { user: "zz-alice".to_string(), password: "correct horse battery".to_string() };
    let now = Instant::now();
    assert!(desk.log_in(&evidence, "imap", None, now).is_ok(), "the first login");
    let first = now.elapsed().as_secs_f64() * 1e3;
    println!("accounts: the first login of an account in {first:.1} ms");
    let start = Instant::now();
    for _ in 0..LOGINS {
        assert!(desk.log_in(&evidence, "imap", None, start).is_ok());
    }
    let rate = LOGINS as f64 / start.elapsed().as_secs_f64();
    println!("accounts: {rate:.0} logins a second with the cache, on one core");
    format!("first_login_ms={first:.2} logins_s={rate:.0}")
}

/// What a row with a password in clear costs an import.
fn passwords() -> String {
    let mut figures = Vec::new();
    for scheme in ["argon2id", "yescrypt", "sha512-crypt", "bcrypt"] {
        let start = Instant::now();
        (0..10).for_each(|_| drop(hash_password("correct horse battery", scheme).expect("a hash")));
        let each = start.elapsed().as_secs_f64() * 1e2;
        println!("accounts: {scheme}: {each:.1} ms a password");
        figures.push(format!("{}_ms={each:.2}", scheme.replace('-', "_")));
    }
    let start = Instant::now();
    (0..100).for_each(|_| drop(ScramKeys::derive("correct horse battery", b"0123456789abcdef")));
    let each = start.elapsed().as_secs_f64() * 10.0;
    println!("accounts: SCRAM keys: {each:.2} ms a password");
    figures.push(format!("scram_ms={each:.2}"));
    figures.join(" ")
}
