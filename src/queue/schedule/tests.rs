use super::*;
use crate::addr::Address;
use crate::envelope::{DeliverBy, Delivery, Handling, Hold, Mailer, Notify, Recipient};

const ARRIVED: Timestamp = Timestamp(1_795_522_071_000_000);

fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

fn hours(n: u64) -> Duration {
    minutes(n * 60)
}

fn envelope(handling: Handling) -> Envelope {
    let address = Address::parse("a@b.test").unwrap();
    let delivery = Delivery::new(Mailer::Smtp, "a@b.test");
    let recipient = Recipient { original: address.clone(), orcpt: None, notify: Notify::default(), delivery };
    Envelope { handling, ..Envelope::local(Some(address), ARRIVED, vec![recipient]) }
}

fn by(span: Duration, mode: ByMode) -> Handling {
    Handling { by: Some(DeliverBy { at: ARRIVED.after(span), mode, trace: false }), ..Handling::default() }
}

fn held(span: Duration) -> Handling {
    Handling { hold: Some(Hold { until: ARRIVED.after(span), asked: "for;1".into() }), ..Handling::default() }
}

#[test]
fn pauses_double_up_to_the_limit() {
    let settings = settings::Queue::default();
    let plain = envelope(Handling::default());
    let mut now = ARRIVED;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let due = next_attempt(&plain, &Progress::default(), now, &settings);
        pauses.push(due.since(now).as_secs() / 60);
        now = due;
    }
    assert_eq!(pauses, [5, 5, 10, 20, 40, 80, 160, 240, 240]);
    let late = ARRIVED.after(hours(119));
    assert_eq!(next_attempt(&plain, &Progress::default(), late, &settings), ARRIVED.after(settings.expire));
}

#[test]
fn a_held_message_waits_for_its_date_and_no_longer() {
    let settings = settings::Queue::default();
    let (envelope, progress) = (envelope(held(hours(200))), Progress::default());
    let release = ARRIVED.after(hours(200));
    assert_eq!(held_until(&envelope, &progress, ARRIVED), Some(release));
    assert_eq!(held_until(&envelope, &progress, release), None);
    assert_eq!(next_attempt(&envelope, &progress, ARRIVED, &settings), release);
    // The wait makes it neither late nor too old.
    assert_eq!(late(&envelope, &progress, release, &settings), None);
    assert_eq!(expiry(&envelope, &progress, &settings).0, release.after(settings.expire));
    assert_eq!(next_attempt(&envelope, &progress, release, &settings), release.after(settings.retry));
}

#[test]
fn the_administrator_can_release_it() {
    let envelope = envelope(held(hours(200)));
    let mut progress = Progress::default();
    progress.apply(ARRIVED, &crate::spool::Record::Released);
    assert_eq!(held_until(&envelope, &progress, ARRIVED), None);
    // Its age begins with the release, and a second release does not make it younger.
    let settings = settings::Queue::default();
    progress.apply(ARRIVED.after(hours(1)), &crate::spool::Record::Released);
    assert_eq!(expiry(&envelope, &progress, &settings).0, ARRIVED.after(settings.expire));
}

#[test]
fn by_with_return_ends_a_message_at_its_time() {
    let settings = settings::Queue::default();
    let message = envelope(by(minutes(7), ByMode::Return));
    assert_eq!(expiry(&message, &Progress::default(), &settings), (ARRIVED.after(minutes(7)), Ending::DeliverBy));
    // The attempt comes in time to say so.
    assert_eq!(
        next_attempt(&message, &Progress::default(), ARRIVED.after(minutes(5)), &settings),
        ARRIVED.after(minutes(7))
    );
    // It does not make a message older than others.
    let long = envelope(by(hours(500), ByMode::Return));
    assert_eq!(
        expiry(&long, &Progress::default(), &settings),
        (ARRIVED.after(settings.expire), Ending::Age(settings.expire))
    );
}

#[test]
fn by_with_notify_warns_at_its_time_and_goes_on() {
    let settings = settings::Queue::default();
    let message = envelope(by(minutes(7), ByMode::Notify));
    let mut progress = Progress::default();
    let time = ARRIVED.after(minutes(7));
    assert_eq!(next_attempt(&message, &progress, ARRIVED.after(minutes(5)), &settings), time);
    assert_eq!(late(&message, &progress, ARRIVED.after(minutes(6)), &settings), None);
    assert_eq!(late(&message, &progress, time, &settings), Some(Late::Overdue));
    progress.apply(time, &crate::spool::Record::Overdue);
    assert_eq!(late(&message, &progress, time, &settings), None);
    assert_eq!(expiry(&message, &progress, &settings).0, ARRIVED.after(settings.expire));
    // The usual warning is another one, in either order.
    assert_eq!(late(&message, &progress, ARRIVED.after(hours(4)), &settings), Some(Late::Old));
    progress.apply(time, &crate::spool::Record::Warned);
    assert_eq!(late(&message, &progress, ARRIVED.after(hours(5)), &settings), None);
    let report = Envelope { sender: None, ..message };
    assert_eq!(late(&report, &Progress::default(), time, &settings), None);
}

#[test]
fn priorities_have_their_own_spans_and_reports_theirs() {
    let rule = |text: &str| text.parse().unwrap();
    let settings = settings::Queue {
        priorities: vec![rule("1..9 retry=1m warn=30m expire=1d"), rule("-9..-1 retry=10m")],
        expire_bounces: hours(48),
        ..settings::Queue::default()
    };
    let with = |priority: &str| envelope(Handling { priority: priority.parse().ok(), ..Handling::default() });
    let urgent = spans(&with("4"), &settings);
    assert_eq!(
        (urgent.retry, urgent.retry_max, urgent.warn, urgent.expire),
        (minutes(1), minutes(48), minutes(30), hours(24))
    );
    let low = spans(&with("-4"), &settings);
    assert_eq!((low.retry, low.retry_max, low.expire), (minutes(10), hours(8), hours(120)));
    assert_eq!(spans(&with("0"), &settings), spans(&envelope(Handling::default()), &settings));
    let report = |priority: &str| Envelope { sender: None, ..with(priority) };
    assert_eq!(spans(&report("0"), &settings).expire, hours(48));
    assert_eq!(spans(&report("4"), &settings).expire, hours(24));
}

#[test]
fn a_sender_is_cared_for_at_the_first_date_that_concerns_him() {
    let settings = settings::Queue::default();
    let at = |handling, progress: &Progress| care(&envelope(handling), progress, &settings).since(ARRIVED);
    let fresh = Progress::default();
    let warned = Progress { warned: true, ..Progress::default() };
    assert_eq!(at(Handling::default(), &fresh), settings.warn);
    assert_eq!(at(Handling::default(), &warned), settings.expire);
    assert_eq!(at(by(hours(1), ByMode::Notify), &fresh), hours(1));
    assert_eq!(at(by(hours(9), ByMode::Return), &warned), hours(9));
}

#[test]
fn the_first_pattern_that_fits_says_whether_mail_waits_for_the_line() {
    let patterns = ["!inside.test", "!.inside.test", "*"].map(String::from);
    for (domain, waits) in
        [("inside.test", false), ("a.b.inside.test", false), ("outinside.test", true), ("x.test", true)]
    {
        assert_eq!(is_on_demand(&patterns, domain), waits, "{domain}");
    }
    assert!(!is_on_demand(&[], "x.test") && !is_on_demand(&["y.test".to_string()], "x.test"));
}
