//! How long an ordinary Sieve script takes for a message, and how long to compile it: a thousand accounts' scripts, in turns.
//!
//! Called by the part `sieve` of `benches/run`. Prints a line for people and one for programs. Nothing touches the disk: the engine is a value, and its world here is an empty one.

use expressmail::clock::Timestamp;
use expressmail::sieve::{
    Action, Envelope, Environment, Included, Limits, Location, MessageView, Seen, SpamRules, compile,
};
use std::time::{Duration, Instant};

/// Each account has its own script, so that none finds the caches of the one before.
const SCRIPTS: usize = 1_000;
const RUNS: u32 = 20_000;
const SCRIPT: &str = r#"require ["fileinto", "envelope", "imap4flags", "variables", "relational", "subaddress", "date", "vacation"];
if allof (address :is :domain "from" "bank.example", not exists "DKIM-Signature") { fileinto "Junk"; stop; }
if header :contains ["List-Id", "List-Post"] ["rust-users", "dovecot", "postfix", "lkml"] {
    if header :matches "Subject" "[*] *" { set :lower "list" "${1}"; fileinto "Lists/${list}"; stop; }
    fileinto "Lists"; stop;
}
if anyof (header :contains "Subject" ["invoice", "receipt", "order"], address :is "from" ["shop@a.example", "shop@b.example"]) {
    addflag "$money"; fileinto :flags "$money" "Orders"; stop;
}
if envelope :detail "to" ["news", "ads", "test"] { fileinto "Bulk"; stop; }
if header :value "ge" :comparator "i;ascii-casemap" "X-Priority" "5" { fileinto "Later"; stop; }
if header :matches "Subject" ["*urgent*", "*asap*"] { addflag "\\Flagged"; }
keep;
"#;

struct Empty(SpamRules);

impl Environment for Empty {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_780_000_000)
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn item(&self, _: &str) -> Option<String> {
        None
    }
    fn has_mailbox(&mut self, _: &str) -> bool {
        true
    }
    fn has_mailbox_id(&mut self, _: &str) -> bool {
        false
    }
    fn has_special_use(&mut self, _: Option<&str>, _: &str) -> bool {
        false
    }
    fn included(&mut self, _: Location, _: &str) -> Included {
        Included::Missing
    }
    fn was_seen(&mut self, _: &Seen) -> bool {
        false
    }
    fn spam_rules(&self) -> &SpamRules {
        &self.0
    }
}

fn main() {
    let limits = Limits::default();
    let texts: Vec<String> =
        (0..SCRIPTS).map(|n| SCRIPT.replace("bank.example", &format!("bank{n}.example"))).collect();
    let start = Instant::now();
    let scripts: Result<Vec<_>, _> = texts.iter().map(|text| compile(text.as_bytes(), &limits)).collect();
    let compiling = start.elapsed() / SCRIPTS as u32;
    let scripts = scripts.unwrap_or_else(|error| panic!("{error}"));
    let mut header = String::new();
    for n in 0..12 {
        header.push_str(&format!(
            "Received: from h{n}.example by h{}.example with ESMTPS id x{n};\n\tTue, 24 Nov 2026 12:07:51 +0900\n",
            n + 1
        ));
    }
    header.push_str("From: =?utf-8?Q?J=C3=B6rg?= <j@work.example>\nTo: Bob <bob@b.example>, c@d.example\nSubject: Re: the plan for next week\n");
    header
        .push_str("Message-ID: <1@work.example>\nDate: Tue, 24 Nov 2026 12:07:51 +0900\nContent-Type: text/plain\n\n");
    let envelope = Envelope { from: "j@work.example".into(), to: "bob@b.example".into(), auth: None };
    let start = Instant::now();
    let mut stored = 0;
    for script in scripts.iter().cycle().take(RUNS as usize) {
        let mut view = MessageView::new(header.as_bytes(), 20_000, envelope.clone());
        let outcome = script.run(&mut view, &mut Empty(SpamRules::default()), &limits);
        stored += outcome.actions.iter().filter(|action| matches!(action, Action::Store(_))).count();
    }
    let each = start.elapsed() / RUNS;
    let micros = |span: Duration| span.as_secs_f64() * 1e6;
    let lines = SCRIPT.lines().count();
    println!(
        "sieve: {:.1} us to compile a script of {lines} lines, {:.1} us to run one of {SCRIPTS} on a message ({stored} stored)",
        micros(compiling),
        micros(each),
    );
    println!("figures compile_us={:.2} message_us={:.2}", micros(compiling), micros(each));
}
