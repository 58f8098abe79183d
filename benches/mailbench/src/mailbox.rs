//! `mailbench mailbox`: commands about all messages of one large mailbox, each timed once. Changes the mailbox for good.

use crate::args::{Args, Problem};
use crate::imap::{Answer, Session};
use crate::letters::RARE_WORD;
use crate::message;
use crate::process::Tree;
use crate::smtp::FROM;
use crate::stats::Figures;
use std::time::Instant;

/// Messages that are appended, and those whose texts are fetched.
const SOME: usize = 1000;

/// The session and what was measured with it.
struct Bench {
    session: Session,
    figures: Figures,
    errors: usize,
}

impl Bench {
    /// Times one command.
    fn time(&mut self, name: &'static str, command: &str) -> Answer {
        self.clock(name, |session| session.command(command))
    }

    fn clock(&mut self, name: &'static str, run: impl FnOnce(&mut Session) -> Result<Answer, Problem>) -> Answer {
        let start = Instant::now();
        let answer = run(&mut self.session);
        let time = start.elapsed().as_secs_f64() * 1e3;
        match answer {
            Ok(answer) => {
                self.figures = std::mem::take(&mut self.figures).with(name, time);
                answer
            }
            Err(problem) => {
                eprintln!("mailbench mailbox: {name}: {problem}");
                self.errors += 1;
                Answer::default()
            }
        }
    }

    /// Counts an error when a command gave another number than it must.
    fn expect(&mut self, what: &str, found: usize, wanted: usize) {
        if found != wanted {
            eprintln!("mailbench mailbox: {what}: {found} instead of {wanted}");
            self.errors += 1;
        }
    }
}

/// Runs all commands on INBOX of user number `--first`.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let user = args.address(args.value("first", 1)?)?;
    let password: String = args.value("password", "secret".to_string())?;
    let open = || Session::open(args.server()?, &user, &password, 64 << 10);
    let tree = Tree::below(args.value("tree", 0)?);
    let cpu = tree.cpu_ms();
    let mut bench = Bench { session: open()?, figures: Figures::default(), errors: 0 };
    let all = bench.time("select_cold_ms", "SELECT INBOX").exists.unwrap_or(0);
    if all == 0 {
        return Err("the mailbox is empty".into());
    }
    bench.session.command("LOGOUT")?;
    bench.session = open()?;
    bench.time("select_warm_ms", "SELECT INBOX");
    let last = all.saturating_sub(SOME - 1).max(1);
    for (name, items) in [
        ("flags_ms", "FLAGS"),
        ("size_first_ms", "RFC822.SIZE"),
        ("size_again_ms", "RFC822.SIZE"),
        ("envelope_first_ms", "ENVELOPE"),
        ("envelope_again_ms", "ENVELOPE"),
    ] {
        let uid = if items == "FLAGS" { "UID " } else { "" };
        let fetched = bench.time(name, &format!("{uid}FETCH 1:* ({items})")).fetched;
        bench.expect(name, fetched, all);
    }
    bench.time("structure_ms", &format!("FETCH {last}:* (BODYSTRUCTURE)"));
    let texts = bench.time("body_ms", &format!("FETCH {last}:* (BODY.PEEK[])"));
    bench.expect("body_ms", texts.fetched, all - last + 1);
    bench.time("from_ms", "SEARCH FROM alice");
    bench.time("from_again_ms", "SEARCH FROM alice");
    // The word stands in one message of a thousand.
    let rare = all / 1000;
    for (name, key) in [("search_body_ms", "BODY"), ("search_text_ms", "TEXT"), ("search_again_ms", "TEXT")] {
        let found = bench.time(name, &format!("SEARCH {key} {RARE_WORD}")).found;
        bench.expect(name, found, rare);
    }
    bench.time("unseen_ms", "SEARCH UNSEEN");
    bench.time("sort_date_ms", "SORT (REVERSE DATE) UTF-8 ALL");
    bench.time("sort_subject_ms", "SORT (SUBJECT) UTF-8 ALL");
    bench.time("thread_first_ms", "THREAD REFERENCES UTF-8 ALL");
    bench.time("thread_again_ms", "THREAD REFERENCES UTF-8 ALL");
    for folder in ["BenchOne", "BenchMany", "BenchCopy", "BenchMove"] {
        bench.session.command(&format!("CREATE {folder}"))?;
    }
    let texts: Vec<Vec<u8>> = (0..SOME)
        .map(|number| message::with_lf(number, FROM, &user, 4096).replace('\n', "\r\n").into_bytes())
        .collect();
    bench.clock("append_ms", |session| {
        texts.iter().try_fold(Answer::default(), |_, text| session.append("BenchOne", text))
    });
    bench.clock("multiappend_ms", |session| session.append_all("BenchMany", &texts));
    bench.time("store_flagged_ms", "STORE 1:* +FLAGS (\\Flagged)");
    bench.time("copy_ms", "COPY 1:* BenchCopy");
    bench.time("move_ms", "MOVE 1:* BenchMove");
    let moved = bench.time("select_moved_ms", "SELECT BenchMove").exists.unwrap_or(0);
    bench.expect("select_moved_ms", moved, all);
    bench.time("store_deleted_ms", "STORE 1:* +FLAGS.SILENT (\\Deleted)");
    bench.time("expunge_ms", "EXPUNGE");
    let copied = bench.session.command("SELECT BenchCopy")?.exists.unwrap_or(0);
    bench.expect("copy_ms", copied, all);
    bench.session.command("LOGOUT")?;
    let errors = bench.errors;
    Ok(bench.figures.with("cpu_s", (tree.cpu_ms() - cpu) / 1e3).with("errors", errors as f64))
}
