//! Crash safety: the process dies at its n-th file operation, for every n, or at any moment; then the disk is looked at.
//!
//! What must hold: everything acknowledged is there, nothing is there more than twice, and after the sweep nothing is left over.

use super::queue::walk;
use super::wire::Sink;
use super::world::{World, feed};
use std::process::Stdio;

const LAST_OPERATION: u32 = 80;

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
    ["tmp", "log"].iter().flat_map(|d| walk(&world.path(&format!("spool/{d}")))).collect()
}

/// Makes drafts old enough for the sweep, and sweeps.
fn sweep(world: &World) {
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(48 * 3600);
    for path in walk(&world.path("spool/tmp")) {
        std::fs::File::open(path).unwrap().set_modified(old).unwrap();
    }
    world.ok("emqueue", &["sweep"]);
}

#[test]
fn the_receiver_dies_at_every_operation() {
    let mut died = 0;
    for n in 1..=LAST_OPERATION {
        let world = World::new();
        std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
        world.set("server.networks_trusted", "0.0.0.0/0");
        // One mailbox (rename), two (links), and the queue.
        let mut all_finished = true;
        for (to, is_queued) in
            [(vec!["alice@example.test"], false), (vec!["alice@example.test", "bob@example.test"], false)]
        {
            let before = world.mailbox("alice").len();
            let mut command = world.command("emsmtp");
            command.env("EM_FAULT", format!("kill:{n}"));
            let out = feed(&mut command, &dialogue(&to));
            all_finished &= out.status.success();
            let arrived = world.mailbox("alice").len() - before;
            assert!(arrived <= 1, "operation {n}");
            assert!(!acknowledged(&out) || arrived == 1, "operation {n}: acknowledged and lost");
            assert!(!is_queued || world.queued().len() <= 1);
            for text in world.mailbox("alice") {
                assert!(text.ends_with("Subject: crash\n\nbody\n"), "operation {n}: torn: {text}");
            }
        }
        sweep(&world);
        assert!(leftovers(&world).is_empty(), "operation {n}: {:?}", leftovers(&world));
        if all_finished {
            assert!(died > 5, "the plan never struck");
            return;
        }
        died += 1;
    }
    panic!("more than {LAST_OPERATION} operations for two messages");
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
        let mut command = world.command("emsend");
        command.args(["-odq", "-f", "bob@example.test", "alice@example.test", "x@remote.test", "no@remote.test"]);
        assert!(feed(&mut command, b"Subject: crash\n\nbody\n").status.success());
        let mut command = world.command("emqueue");
        command.args(["run", "--all"]).env("EM_FAULT", format!("kill:{n}"));
        let finished = feed(&mut command, b"").status.success();
        for _ in 0..3 {
            world.run("emqueue", &["run", "--all"]);
        }
        assert!(world.queued().is_empty(), "operation {n}");
        let count = |texts: Vec<String>| texts.iter().filter(|t| t.contains("Subject: crash")).count();
        for (what, found) in [
            ("mailbox", count(world.mailbox("alice"))),
            ("remote", sink.texts().len()),
            ("bounce", count(world.mailbox("bob"))),
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

#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    use std::io::{BufRead, BufReader, Write};
    let world = World::new();
    let mut acknowledged = Vec::new();
    for round in 0u64..25 {
        let mut child = world.command("emsmtp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(b"EHLO x\r\n");
            for i in 0..200 {
                let text = format!(
                    "MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: k{round}-{i}\r\n\r\nb\r\n.\r\n"
                );
                if stdin.write_all(text.as_bytes()).is_err() {
                    break;
                }
            }
        });
        let killer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(5 + round * 7 % 60));
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        });
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if line.starts_with("250 2.0.0 Ok: ") {
                acknowledged.push(format!("Subject: k{round}-{seen}\n"));
                seen += 1;
            }
        }
        let _ = child.wait();
        let _ = (writer.join(), killer.join());
    }
    assert!(!acknowledged.is_empty());
    let texts = world.mailbox("alice").join("\u{0}");
    for subject in &acknowledged {
        assert_eq!(texts.matches(subject.as_str()).count(), 1, "{subject}");
    }
    sweep(&world);
    assert!(leftovers(&world).is_empty());
}
