//! Who takes what: claims of other processes, and hand-ins of local programs.

use super::*;
use crate::queue::{Daemon, Wake, take_dropped};

static CLOCK: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(NOW.0);

fn clock() -> Timestamp {
    Timestamp(CLOCK.load(std::sync::atomic::Ordering::SeqCst))
}

#[test]
fn a_message_that_another_process_works_on_is_looked_at_again() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|_| None);
    let runner = Arc::new(runner(dir.path(), &host, |_| {}));
    let spool = runner.gate().spool.clone();
    let id = queue(&runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, "a@r.test")]);
    let mut claim = Some(spool.claim(&id).unwrap());
    let mut rounds = 0;
    Daemon::new(runner).run(clock, |_| {
        rounds += 1;
        std::thread::sleep(Duration::from_millis(2));
        // The other process leaves it after a while; then a minute goes by with each round.
        if rounds > 50 {
            claim = None;
            CLOCK.fetch_add(60_000_000, std::sync::atomic::Ordering::SeqCst);
        }
        if rounds > 300 || !spool.is_queued(&id) { Wake::Stop } else { Wake::Time }
    });
    assert_eq!(host.texts(), 1);
}

#[test]
fn one_hand_in_that_can_not_be_taken_does_not_stop_the_others_and_none_is_taken_twice() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|_| None);
    let runner = runner(dir.path(), &host, |_| {});
    let spool = &runner.gate().spool;
    let hand_in = |number: i64, to: &str| {
        let mut handed = crate::spool::Handed::default();
        handed.mail.insert("from".into(), "alice@example.test".into());
        handed.recipients.push([("to".to_string(), to.to_string())].into());
        spool.hand_in(&Id::new(Timestamp(number)), &handed, &mut &b"Subject: x\n\ny\n"[..]).unwrap();
    };
    hand_in(1, "not an address");
    hand_in(2, "bob@example.test");
    std::fs::remove_dir(dir.path().join("spool/bad")).unwrap();
    std::fs::write(dir.path().join("spool/bad"), "in the way").unwrap();
    let two_at_once = std::thread::scope(|scope| {
        let other = scope.spawn(|| take_dropped(runner.gate(), NOW));
        let own = take_dropped(runner.gate(), NOW).unwrap();
        own + other.join().unwrap().unwrap()
    });
    assert_eq!((two_at_once, mailbox(dir.path(), "bob").len()), (1, 1));
    assert_eq!(spool.dropped().unwrap().len(), 1, "the broken one waits until bad is a folder again");
    std::fs::remove_file(dir.path().join("spool/bad")).unwrap();
    take_dropped(runner.gate(), NOW).unwrap();
    assert!(spool.dropped().unwrap().is_empty());
}

#[test]
fn two_takers_never_take_one_hand_in_twice() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|_| None);
    let runner = runner(dir.path(), &host, |_| {});
    for number in 0..40 {
        let mut handed = crate::spool::Handed::default();
        handed.mail.insert("from".into(), "alice@example.test".into());
        handed.recipients.push([("to".to_string(), "bob@example.test".to_string())].into());
        let id = Id::new(Timestamp(number));
        runner.gate().spool.hand_in(&id, &handed, &mut &b"Subject: x\n\ny\n"[..]).unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| take_dropped(runner.gate(), NOW).unwrap());
        }
    });
    take_dropped(runner.gate(), NOW).unwrap();
    assert_eq!(mailbox(dir.path(), "bob").len(), 40);
}
