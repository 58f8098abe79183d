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
    wait_until("all to run", || world.run("emd", &["status"]).status.success());
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
