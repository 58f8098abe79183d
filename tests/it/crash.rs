//! Crash safety: the process dies at its n-th file operation, for every n, or at any moment; then the disk is looked at.
//!
//! What must hold: everything acknowledged is there, nothing is there more than twice, and after the sweep nothing is left over.

use super::queue::walk;
use super::wire::Sink;
use super::world::{World, feed};
use std::process::Stdio;

const LAST_OPERATION: u32 = 120;

fn dialogue(to: &[&str]) -> Vec<u8> {
    let mut text = String::from("EHLO x\r\nMAIL FROM:<bob@example.test>\r\n");
    to.iter().for_each(|to| text.push_str(&format!("RCPT TO:<{to}>\r\n")));
    text.push_str("DATA\r\nSubject: crash\r\n\r\nbody\r\n.\r\nQUIT\r\n");
    text.into_bytes()
}

fn acknowledged(out: &std::process::Output) -> bool {
    String::from_utf8_lossy(&out.stdout).contains("\r\n250 2.0.0 Ok: ")
}

fn leftovers(world: &World) -> Vec<std::path::PathBuf> {
    [world.drafts(), walk(&world.path("spool/log"))].concat()
}

/// Makes drafts old enough for the sweep, and sweeps.
fn sweep(world: &World) {
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(48 * 3600);
    for path in world.drafts() {
        std::fs::File::open(path).unwrap().set_modified(old).unwrap();
    }
    world.ok("emqueue", &["sweep"]);
}

/// A world with an alias that leads away, so that a client on a pipe can fill the queue, and four more mailboxes.
fn world(routes: &str) -> World {
    let world = World::new();
    for name in ["c1", "c2", "c3"] {
        world.add(&format!("{name}@example.test"), &[]);
    }
    std::fs::write(world.path("etc/routes"), routes).unwrap();
    std::fs::write(world.path("etc/aliases"), "out: x@remote.test\n").unwrap();
    world
}

#[test]
fn the_receiver_dies_at_every_operation() {
    let ways = [
        // One mailbox: a rename. Two: links and a sync each. Five: links and one sync of the file system. And the queue.
        vec!["alice@example.test"],
        vec!["alice@example.test", "bob@example.test"],
        vec!["alice@example.test", "bob@example.test", "c1@example.test", "c2@example.test", "c3@example.test"],
        vec!["out@example.test"],
        vec!["out@example.test", "bob@example.test"],
    ];
    for n in 1..=LAST_OPERATION {
        let world = world("remote.test esmtp:[127.0.0.1]:1\n");
        let mut all_finished = true;
        for to in &ways {
            let is_queued = to.contains(&"out@example.test");
            let count = |world: &World| match is_queued {
                true => world.queued().len(),
                false => world.mailbox("alice").len(),
            };
            let before = count(&world);
            let mut command = world.command("emsmtp");
            command.env("EM_FAULT", format!("kill:{n}"));
            let out = feed(&mut command, &dialogue(to));
            all_finished &= out.status.success();
            let arrived = count(&world) - before;
            assert!(arrived <= 1, "operation {n}");
            assert!(!acknowledged(&out) || arrived == 1, "operation {n}: acknowledged and lost");
            if acknowledged(&out) && !is_queued {
                for user in to {
                    let user = user.split('@').next().unwrap();
                    assert!(!world.mailbox(user).is_empty(), "operation {n}: acknowledged and lost for {user}");
                }
            }
        }
        for user in ["alice", "bob", "c1", "c2", "c3"] {
            for text in world.mailbox(user) {
                assert!(text.ends_with("Subject: crash\n\nbody\n"), "operation {n}: torn: {text}");
            }
        }
        for id in world.queued() {
            let text = world.ok("emqueue", &["show", "--text", &id]);
            assert!(text.ends_with("Subject: crash\n\nbody\n"), "operation {n}: torn: {text}");
        }
        sweep(&world);
        assert!(leftovers(&world).is_empty(), "operation {n}: {:?}", leftovers(&world));
        if all_finished {
            assert!(n > 6, "the plan never struck");
            return;
        }
    }
    panic!("more than {LAST_OPERATION} operations for one message");
}

#[test]
fn the_sender_dies_at_every_operation() {
    for n in 1..=LAST_OPERATION {
        let world = World::new();
        std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
        let mut command = world.command("emsend");
        command.args(["-odq", "alice@example.test", "x@remote.test"]).env("EM_FAULT", format!("kill:{n}"));
        let out = feed(&mut command, b"Subject: crash\n\nbody\n");
        let queued = world.queued();
        assert!(queued.len() <= 1, "operation {n}");
        assert!(!out.status.success() || queued.len() == 1, "operation {n}: acknowledged and lost");
        sweep(&world);
        assert!(leftovers(&world).is_empty(), "operation {n}: {:?}", leftovers(&world));
        if out.status.success() {
            assert!(n > 5, "the plan never struck");
            return;
        }
    }
    panic!("more than {LAST_OPERATION} operations for one message");
}

#[test]
fn the_runner_dies_at_every_operation_and_the_next_one_goes_on() {
    for n in 1..=LAST_OPERATION {
        let world = World::new();
        let sink = Sink::start(|line| line.starts_with("RCPT TO:<no@").then(|| "550 5.1.1 no".to_string()));
        std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
        let root = world.root().display().to_string();
        std::fs::set_permissions(world.root(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let aliases = format!("file: {root}/box\nprog: \"|/bin/sh -c 'cat >> {root}/out'\"\n");
        std::fs::write(world.path("etc/aliases"), aliases).unwrap();
        let mut command = world.command("emsend");
        command.args(["-odq", "-f", "bob@example.test", "alice@example.test", "x@remote.test", "no@remote.test"]);
        command.args(["file@example.test", "prog@example.test"]);
        assert!(feed(&mut command, b"Subject: crash\n\nbody\n").status.success());
        let mut command = world.command("emqueue");
        command.args(["run", "--all"]).env("EM_FAULT", format!("kill:{n}"));
        let finished = feed(&mut command, b"").status.success();
        for _ in 0..3 {
            world.run("emqueue", &["run", "--all"]);
        }
        assert!(world.queued().is_empty(), "operation {n}");
        let read = |name: &str| std::fs::read_to_string(world.path(name)).unwrap_or_default();
        let count = |texts: Vec<String>| texts.iter().filter(|t| t.contains("Subject: crash")).count();
        for (what, found) in [
            ("mailbox", count(world.mailbox("alice"))),
            ("remote", sink.texts().len()),
            ("bounce", count(world.mailbox("bob"))),
            ("file", read("box").matches("Subject: crash").count()),
            ("program", read("out").matches("Subject: crash").count()),
        ] {
            assert!((1..=2).contains(&found), "operation {n}: {what}: {found} copies");
        }
        sweep(&world);
        assert!(leftovers(&world).is_empty(), "operation {n}: {:?}", leftovers(&world));
        if finished {
            assert!(n > 10, "the plan never struck");
            return;
        }
    }
    panic!("more than {LAST_OPERATION} operations for one attempt");
}

/// Kills a process after so many milliseconds.
fn kill_after(child: &std::process::Child, milliseconds: u64) -> std::thread::JoinHandle<()> {
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    })
}

/// A moment that is another in each round and each run.
fn moment(round: u64, most: u64) -> u64 {
    let mut random = [0; 2];
    getrandom::fill(&mut random).unwrap();
    (round * 7 + u64::from(u16::from_le_bytes(random))) % most
}

#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    use std::io::{BufRead, BufReader, Write};
    let sink = Sink::start(|_| None);
    let world = world(&sink.route("remote.test"));
    let ways = ["alice@example.test", "out@example.test", "bob@example.test"];
    let mut acknowledged = Vec::new();
    for round in 0u64..25 {
        let mut child = world.command("emsmtp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(b"EHLO x\r\n");
            for i in 0..200 {
                let text = format!(
                    "MAIL FROM:<>\r\nRCPT TO:<{}>\r\nDATA\r\nSubject: k{round}-{i}\r\n\r\nb\r\n.\r\n",
                    ways[i % ways.len()]
                );
                if stdin.write_all(text.as_bytes()).is_err() {
                    break;
                }
            }
        });
        let killer = kill_after(&child, 10 + moment(round, 120));
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if line.starts_with("250 2.0.0 Ok: ") {
                acknowledged.push(format!("Subject: k{round}-{seen}"));
                seen += 1;
            }
        }
        let _ = child.wait();
        let _ = (writer.join(), killer.join());
    }
    assert!(!acknowledged.is_empty());
    world.ok("emqueue", &["run", "--all"]);
    let mut subjects = std::collections::HashMap::new();
    let texts = [world.mailbox("alice"), world.mailbox("bob"), sink.texts()].concat();
    for line in texts.iter().filter_map(|text| text.lines().find(|line| line.starts_with("Subject: k"))) {
        *subjects.entry(line.to_string()).or_insert(0) += 1;
    }
    for subject in &acknowledged {
        assert_eq!(subjects.get(subject), Some(&1), "{subject}");
    }
    sweep(&world);
    assert!(leftovers(&world).is_empty() && world.queued().is_empty());
}

#[test]
fn the_runner_is_killed_at_any_moment_and_everybody_gets_the_message_and_at_most_one_too_many() {
    const MESSAGES: usize = 60;
    let sink = Sink::start(|line| line.starts_with("RCPT TO:<no@").then(|| "550 5.1.1 no".to_string()));
    let world = world(&sink.route("remote.test"));
    world.set("queue.concurrency", "1");
    world.set("queue.retry", "10ms");
    let mut kills = 0;
    for i in 0..MESSAGES {
        let mut command = world.command("emsend");
        command.args(["-odq", "-f", "bob@example.test", "c1@example.test", "x@remote.test", "no@remote.test"]);
        // Some of them in time, some while the runner works.
        assert!(feed(&mut command, format!("Subject: r{i}\n\nbody\n").as_bytes()).status.success());
        if i % 3 == 2 {
            let mut command = world.command("emqueue");
            command.args(if i % 2 == 0 { &["daemon"][..] } else { &["run", "--all"] });
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let killer = kill_after(&child, 20 + moment(i as u64, 300));
            let _ = (child.wait(), killer.join());
            kills += 1;
        }
    }
    super::world::wait_until("an empty queue", || {
        world.run("emqueue", &["run", "--all"]);
        world.queued().is_empty()
    });
    let mut spare = [0, 0, 0];
    let ways = [world.mailbox("c1"), sink.texts(), world.mailbox("bob")];
    for i in 0..MESSAGES {
        for (texts, spare) in ways.iter().zip(&mut spare) {
            let subject = format!("Subject: r{i}");
            let copies = texts.iter().filter(|t| t.lines().any(|line| line == subject)).count();
            assert!(copies >= 1, "{subject} is lost");
            *spare += copies - 1;
        }
    }
    assert!(spare.iter().sum::<usize>() <= kills, "one message at a time: each kill doubles at most one: {spare:?}");
    sweep(&world);
    assert!(leftovers(&world).is_empty(), "{:?}", leftovers(&world));
    assert!(walk(&world.path("spool/bad")).is_empty());
}
