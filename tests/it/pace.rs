//! When the daemon tries what waits: limits of destinations, hosts that are left alone, and dates that come while nothing else happens.

use super::wire::Sink;
use super::world::{World, free_port, wait_until};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn send(world: &World, to: &str) {
    let out = world.run_with("emsend", &["-f", "alice@example.test", to], b"Subject: s\n\nx\n");
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn a_destination_gets_no_more_messages_than_its_limit() {
    let world = World::new();
    let (slow, free) = (Sink::start(|_| None), Sink::start(|_| None));
    std::fs::write(world.path("etc/routes"), slow.route("slow.test") + &free.route("free.test")).unwrap();
    let host = format!("[127.0.0.1]:{}", slow.address.port());
    world.set("queue.limits", &format!("[\"{host} messages=2/1h connections=1\", \"free.test messages=1/1d\"]"));
    world.start();
    for n in 0..4 {
        send(&world, &format!("x{n}@slow.test"));
        send(&world, &format!("x{n}@free.test"));
    }
    wait_until("what may go", || slow.texts().len() == 2 && free.texts().len() == 4);
    wait_until("the rest", || world.queued().len() == 2);
    // Two domains in one message: the part that has to wait says so.
    let out =
        world.run_with("emsend", &["-f", "alice@example.test", "y@slow.test", "y@free.test"], b"Subject: s\n\nx\n");
    assert!(out.status.success(), "{out:?}");
    wait_until("the reason", || world.ok("emqueue", &["list"]).contains("Waits its turn (queue.limits)"));
    wait_until("the other part", || free.texts().len() == 5);
    assert_eq!(slow.texts().len(), 2);
    let shown = world.ok("emqueue", &["hosts", "slow.test"]);
    assert!(shown.ends_with(&format!("limits of {host}: messages 2/1h, connections at once 1\n")), "{shown}");
    let json = world.ok("emqueue", &["hosts", "--json", "slow.test"]);
    assert!(json.contains("\"messages\":\"2/1h\"") && json.contains("\"connections\":1"), "{json}");
    let wrong = world.run("emconf", &["set", "queue.limits", "[\"slow.test 10/1m\"]"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("neither messages nor connections"), "{wrong:?}");
}

#[test]
fn a_flush_reaches_mail_whose_host_is_left_alone() {
    let world = World::new();
    let port = free_port();
    std::fs::write(world.path("etc/routes"), format!("remote.test esmtp:[127.0.0.1]:{port}\n")).unwrap();
    world.start();
    for n in 0..6 {
        send(&world, &format!("x{n}@remote.test"));
    }
    wait_until("three failures", || world.log().matches("event=deferred").count() >= 3);
    let sink = Sink::start_on(("127.0.0.1", port), |_| None);
    wait_until("all of it", || {
        world.ok("emqueue", &["flush"]);
        std::thread::sleep(Duration::from_millis(200));
        sink.texts().len() == 6
    });
}

#[test]
fn a_date_that_comes_while_nothing_else_happens_is_kept() {
    let world = World::new();
    let asked = AtomicUsize::new(0);
    let sink = Sink::start(move |line| {
        (line.starts_with("RCPT") && asked.fetch_add(1, Ordering::SeqCst) == 0).then(|| "450 4.2.0 greylisted".into())
    });
    std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
    // Longer than a thread waits for work before it ends.
    world.set("queue.retry", "7s");
    world.start();
    send(&world, "x@remote.test");
    wait_until("the second attempt", || sink.texts().len() == 1);
}
