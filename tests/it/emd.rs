//! The supervisor.

use super::wire::Client;
use super::world::{World, wait_until};

fn pid_of(world: &World, program: &str) -> u32 {
    let text = world.ok("emd", &["status", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let one = all.as_array().unwrap().iter().find(|s| s["program"] == program).unwrap();
    one["pid"].as_u64().unwrap_or(0) as u32
}

#[test]
fn what_dies_is_started_again_on_the_same_socket() {
    let world = World::new();
    world.start();
    let before = pid_of(&world, "empop");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(before as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    // The socket stays open in the supervisor: this connection waits, it is not refused.
    let mut pop = Client::connect(world.address("pop3"));
    assert!(pop.line().starts_with("+OK"));
    wait_until("a new process", || {
        let text = world.run("emd", &["status", "--json"]);
        text.status.success() && pid_of(&world, "empop") != before
    });
}

#[test]
fn services_stop_start_and_reload_alone() {
    let world = World::new();
    world.start();
    let smtp = pid_of(&world, "emsmtp");
    world.ok("emd", &["stop", "pop3"]);
    assert_eq!(world.run("emd", &["status"]).status.code(), Some(1));
    assert!(String::from_utf8_lossy(&world.run("emd", &["status"]).stdout).contains("stopped"));
    world.ok("emd", &["start", "empop"]);
    world.ok("emd", &["status"]);
    world.ok("emd", &["restart", "smtp"]);
    assert!(Client::connect(world.address("smtp")).line().starts_with("220"));
    let smtp = if pid_of(&world, "emsmtp") == smtp { panic!("not restarted") } else { pid_of(&world, "emsmtp") };
    world.ok("emd", &["restart", "empop"]);
    assert_eq!(pid_of(&world, "emsmtp"), smtp, "the others are left alone");
    world.set("smtp.recipients", "7");
    wait_until("the changed file to be seen", || {
        let mut client = Client::connect(world.address("smtp"));
        client.reply();
        client.send("EHLO x\r\nQUIT\r\n");
        client.rest().contains("RCPTMAX=7")
    });
    assert_eq!(world.run("emd", &["stop", "nothing"]).status.code(), Some(64));
}

#[test]
fn a_taken_port_is_named() {
    let world = World::new();
    let _held = std::net::TcpListener::bind(world.address("smtp")).unwrap();
    let out = world.run("emd", &["start"]);
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("services.smtp") && text.contains("in use"), "{text}");
}

#[test]
fn jobs_run() {
    let world = World::new();
    let marker = world.path("marker");
    world.set("jobs.touch", &format!("every 1s: /usr/bin/touch {}", marker.display()));
    world.start();
    wait_until("the job", || marker.exists());
}

fn kill(pid: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).unwrap();
}

fn is_alive(pid: u32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), None).is_ok()
}

#[test]
fn a_killed_supervisor_takes_its_programs_along_and_can_start_again() {
    let world = World::new();
    world.start();
    let programs: Vec<u32> = ["emsmtp", "empop", "empass", "emqueue"].iter().map(|name| pid_of(&world, name)).collect();
    let emd = std::fs::read_to_string(world.path("spool/run/emd.pid")).unwrap().trim().parse().unwrap();
    kill(emd, nix::sys::signal::Signal::SIGKILL);
    wait_until("the supervisor to be gone", || world.run("emd", &["status"]).stdout.is_empty());
    world.start();
    wait_until("the old programs to end", || programs.iter().all(|pid| !is_alive(*pid)));
    assert!(programs.iter().all(|old| pid_of(&world, "emsmtp") != *old));
}

#[test]
fn a_reload_that_fails_is_told_and_changes_nothing() {
    let world = World::new();
    world.start();
    let (smtp, pop) = (world.address("smtp"), world.address("pop3"));
    let held = std::net::TcpListener::bind(("127.0.0.1", super::world::free_port())).unwrap();
    let path = world.path("etc/em.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let wrong = good.replace(&smtp.to_string(), &held.local_addr().unwrap().to_string());
    std::fs::write(&path, wrong).unwrap();
    let out = world.run("emd", &["reload"]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("services.smtp"), "{out:?}");
    // The sockets are still the supervisor's: what dies comes back on them.
    let pids = ["emsmtp", "empop"].map(|program| pid_of(&world, program));
    for (pid, address, greeting) in [(pids[0], smtp, "220"), (pids[1], pop, "+OK")] {
        kill(pid, nix::sys::signal::Signal::SIGKILL);
        assert!(Client::connect(address).line().starts_with(greeting));
    }
    std::fs::write(&path, good.replace("[smtp]", "[smpt]")).unwrap();
    assert_eq!(world.run("emd", &["reload"]).status.code(), Some(78));
    // Two services change places, without a port being free for a moment.
    let mark = "swapped";
    let swapped = good.replace(&smtp.to_string(), mark).replace(&pop.to_string(), &smtp.to_string());
    std::fs::write(&path, swapped.replace(mark, &pop.to_string())).unwrap();
    world.ok("emd", &["reload"]);
    assert!(Client::connect(smtp).line().starts_with("+OK") && Client::connect(pop).line().starts_with("220"));
}

#[test]
fn one_address_for_two_services_is_named() {
    let world = World::new();
    world.set("services.pop3", &world.address("smtp").to_string());
    let out = world.run("emd", &["start"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("stands in services.smtp already"), "{out:?}");
}

#[test]
fn a_start_that_cannot_succeed_says_why_and_leaves_nothing() {
    let world = World::new();
    let path = world.path("etc/em.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let keys = "[tls]\ncertificate = \"/nonexistent.pem\"\nkey = \"/nonexistent.key\"";
    std::fs::write(&path, text.replace("[tls]", keys)).unwrap();
    let begun = std::time::Instant::now();
    let out = world.run("emd", &["start"]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("emsmtp (exit status: 78)") && said.contains("does not answer"), "{said}");
    assert!(begun.elapsed() < super::world::PATIENCE, "it need not be waited for");
    assert!(std::net::TcpListener::bind(world.address("pop3")).is_ok(), "nothing is left behind");
}

#[test]
fn looking_never_disturbs_a_start() {
    let world = World::new();
    let looking = std::sync::atomic::AtomicBool::new(true);
    let root = world.root();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while looking.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut command = std::process::Command::new(super::world::bin("emd"));
                    command.arg("--root").arg(root).arg("status").output().unwrap();
                }
            });
        }
        let outs: Vec<_> = (0..3).map(|_| (world.run("emd", &["start"]), world.run("emd", &["stop"]))).collect();
        looking.store(false, std::sync::atomic::Ordering::Relaxed);
        for (start, stop) in outs {
            assert!(start.status.success() && stop.status.success(), "{start:?} {stop:?}");
        }
    });
}

#[test]
fn a_job_is_not_doubled_by_a_reload() {
    let world = World::new();
    world.set("jobs.slow", "every 1s: /bin/sleep 300");
    world.set("jobs.quick", "every 1s: /bin/true");
    world.start();
    let started = |job: &str| world.log().matches(&format!("event=job-started job={job}")).count();
    wait_until("the slow job", || started("slow") == 1);
    world.set("smtp.recipients", "9");
    world.ok("emd", &["reload"]);
    let before = started("quick");
    wait_until("two more rounds", || started("quick") > before + 1);
    assert_eq!(started("slow"), 1);
    world.stop();
    assert!(world.log().contains("event=emd-ended"));
}

#[test]
fn systemd_is_told_when_all_services_answer() {
    let world = World::new();
    let socket = std::os::unix::net::UnixDatagram::bind(world.path("notify")).unwrap();
    socket.set_read_timeout(Some(super::world::PATIENCE)).unwrap();
    let mut emd = world.command("emd").arg("run").env("NOTIFY_SOCKET", world.path("notify")).spawn().unwrap();
    let mut buffer = [0; 64];
    let n = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..n], b"READY=1\n");
    assert!(Client::connect(world.address("smtp")).line().starts_with("220"));
    kill(emd.id(), nix::sys::signal::Signal::SIGTERM);
    assert!(emd.wait().unwrap().success());
}

#[test]
fn a_descriptor_that_is_no_tcp_socket_is_refused() {
    let world = World::new();
    let mut command = std::process::Command::new("/bin/sh");
    let line = "exec \"$0\" --root \"$1\" 3</dev/null";
    command.args(["-c", line]).arg(super::world::bin("emsmtp")).arg(world.root());
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "smtp").env_remove("LISTEN_PID");
    let out = super::world::feed(&mut command, b"");
    assert!(
        !out.status.success() && String::from_utf8_lossy(&out.stderr).contains("is no listening TCP socket"),
        "{out:?}"
    );
}

#[test]
fn poppass_changes_the_password() {
    let world = World::new();
    world.start();
    let mut client = Client::connect(world.address("poppass"));
    client.line();
    for line in ["USER alice@example.test", "PASS demo", "NEWPASS fresh one", "QUIT"] {
        client.send(&format!("{line}\r\n"));
        let answer = client.line();
        assert!(answer.starts_with('2') || answer.starts_with('3'), "{line}: {answer}");
    }
    let mut pop = Client::connect(world.address("pop3"));
    pop.line();
    pop.send("USER alice@example.test\r\nPASS fresh one\r\n");
    pop.line();
    assert!(pop.line().starts_with("+OK"));
}
