//! Load generator of `make bench`: drives an SMTP, POP3 or IMAP server from plain threads and prints what it measured.
//!
//! Called by `benches/run`, once for each measurement. Prints one line of `name=value` words on standard output, which
//! `benches/report.awk` turns into the table. It knows nothing of ExpressMail: the same code drives every target.
//! Exit code 1 when a run could not be made at all; single failed transactions are counted as `errors`.

mod args;
mod disk;
mod fanout;
mod hold;
mod idle;
mod imap;
mod letters;
mod list;
mod load;
mod mailbox;
mod maildirs;
mod message;
mod mix;
mod pop3;
mod process;
mod queue;
mod relay;
mod seed;
mod sink;
mod smtp;
mod start;
mod stats;

use std::process::ExitCode;

const USAGE: &str = "usage: mailbench COMMAND --name value ...
  smtp    --port P --connections N --seconds S --size B --users K --maildirs PATTERN --tree PID
          sends for S seconds, waits until all is delivered
  relay   --port P --connections N --seconds S --size B --domains K --sink PORT --tree PID
          sends to K domains dN.relay.test for S seconds, waits until a sink on PORT has all
  seedqueue --spool DIR --messages M --domains K --dead PERCENT
          a queue of M messages, PERCENT of them for d0.relay.test, the others for d1 .. dK
  queue   --sink PORT --seconds S [--list 'COMMAND'] -- COMMAND ...
          starts a queue daemon; time to the first message, messages a second, memory, first page of a listing
  fanout  --port P --recipients K --repeat R --size B --maildirs PATTERN --tree PID
          one message to K recipients, R times
  list    --port P --to LIST --members K --size B --tree PID (--maildirs PATTERN --first F | --sink PORT) [--patience S]
          one post to a mailing list, until all members have it: users from F on, or recipients at a sink
  pop3    --port P --connections N --seconds S --users K --first F --retrieve 0|1 --tree PID
          sessions, each with login and QUIT; with --retrieve 1 every message is read
  hold    --port P --connections N --first F --tree PID
          memory of N logged-in POP3 sessions held at once, one user each
  imap    --port P --connections N --seconds S --users K --first F --tree PID [--cold 1]
          whole sessions of a mail client; with --cold 1 one for each mailbox
  mailbox --port P --first F --tree PID
          commands about all messages of the INBOX of user F, which it changes for good
  idle    --port P --connections N --first F --tree PID [--maildirs PATTERN --repeat R] [-- COMMAND ...]
          memory of N idling IMAP sessions held at once, one user each, and the time from delivery to EXISTS
  disk    --dir D --threads N --seconds S --size B
          files a second: created, written, synced, renamed, folder synced
  start   --runs N --size B --floor 'COMMAND' [--to ADDRESS] [--pause-ms M] -- COMMAND ...
          wall time of a program, alternating with the floor; --size 0: nothing on standard input
  seed    --maildirs PATTERN --users K --first F --messages M [--owner UID] [--link 1]
          makes mailboxes with the same messages each time; with --letters 1 --store D, of real looking mail, kept in D
PATTERN is the path of a user's Maildir, with % for the user's name: user1, user2 ... userK.
Users are userN@DOMAIN (--domain, default example.test) with the password of --password (default secret).";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = words.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    let run = match command.as_str() {
        "smtp" => smtp::run,
        "relay" => relay::run,
        "seedqueue" => queue::seed,
        "queue" => queue::run,
        "fanout" => fanout::run,
        "list" => list::run,
        "pop3" => pop3::run,
        "hold" => hold::run,
        "imap" => mix::run,
        "mailbox" => mailbox::run,
        "idle" => idle::run,
        "disk" => disk::run,
        "start" => start::run,
        "seed" => seed::run,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match args::Args::parse(rest).and_then(|args| run(&args)) {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("mailbench {command}: {problem}");
            ExitCode::FAILURE
        }
    }
}
