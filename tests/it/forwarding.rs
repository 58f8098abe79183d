//! Mail forwarded for strangers goes out with a sender of ours (SRS), and its bounces find the way back.

use super::wire::{Client, Sink};
use super::world::{World, wait_until};

/// `forward@example.test` goes to another host; the stranger's domain is somewhere else.
fn world(forward_to: &Sink, home: &Sink) -> World {
    let world = World::new();
    world.set("srs.domain", "srs.example.test");
    std::fs::write(world.path("etc/aliases"), "forward: x@remote.test\nlocal: bob\n").unwrap();
    let routes = [forward_to.route("remote.test"), home.route("stranger.test")].concat();
    std::fs::write(world.path("etc/routes"), routes).unwrap();
    world.start();
    world
}

fn send(world: &World, from: &str, to: &str) -> Vec<String> {
    let mut client = Client::connect(world.address("smtp"));
    client.reply();
    let commands = ["EHLO client.test", &format!("MAIL FROM:<{from}>"), &format!("RCPT TO:<{to}>"), "DATA"];
    let mut replies: Vec<String> = commands.iter().map(|command| client.ask(command)).collect();
    if replies[3].starts_with("354") {
        replies.push(client.ask("Subject: forwarded\r\n\r\ntext\r\n."));
    }
    replies
}

fn sender(sink: &Sink) -> String {
    let commands = sink.commands();
    let mail = commands.iter().rev().find_map(|command| command.strip_prefix("MAIL FROM:<")).unwrap();
    mail.split('>').next().unwrap().to_string()
}

#[test]
fn a_forwarded_message_bounces_through_us_to_its_sender() {
    let (remote, home) = (Sink::start(|_| None), Sink::start(|_| None));
    let world = world(&remote, &home);
    let replies = send(&world, "alice@stranger.test", "forward@example.test");
    assert!(replies[4].starts_with("250"), "{replies:?}");
    wait_until("the forwarded text", || remote.texts().len() == 1);
    let own = sender(&remote);
    assert!(own.starts_with("SRS0=") && own.ends_with("=stranger.test=alice@srs.example.test"), "{own}");
    // The other host bounces it to the sender it knows, in letters of its own.
    let replies = send(&world, "", &own.to_lowercase());
    assert!(replies[2].starts_with("250") && replies[4].starts_with("250"), "{replies:?}");
    wait_until("the bounce", || home.texts().len() == 1);
    assert!(home.commands().iter().any(|c| c.starts_with("RCPT TO:<alice@stranger.test>")), "{:?}", home.commands());
    assert_eq!(sender(&home), "");
    // Nobody else comes in by that address: neither a person nor a forger.
    assert!(send(&world, "spam@stranger.test", &own)[2].starts_with("550 5.7.1"));
    let forged = own.replace("alice", "victim");
    assert!(send(&world, "", &forged)[2].starts_with("550 5.1.1"));
    assert!(send(&world, "", "SRS0=AAAAAA=AA=victim.test=x@srs.example.test")[2].starts_with("550 5.1.1"));
}

#[test]
fn what_the_next_host_refuses_is_told_to_the_stranger_himself() {
    let remote = Sink::start(|line| line.starts_with("RCPT").then(|| "550 5.7.23 SPF says no".to_string()));
    let home = Sink::start(|_| None);
    let world = world(&remote, &home);
    let replies = send(&world, "alice@stranger.test", "forward@example.test");
    assert!(replies[4].starts_with("250"), "{replies:?}");
    wait_until("the report", || home.texts().len() == 1);
    let report = &home.texts()[0];
    assert!(report.contains("Final-Recipient: rfc822; forward@example.test\r\nAction: failed"), "{report}");
    assert!(report.contains("To: <alice@stranger.test>"), "{report}");
}

#[test]
fn our_own_senders_and_direct_mail_are_left_alone() {
    let (remote, home) = (Sink::start(|_| None), Sink::start(|_| None));
    let world = world(&remote, &home);
    world.set("server.networks_trusted", "127.0.0.0/8");
    world.ok("emd", &["reload"]);
    for (number, (from, to, expected)) in [
        ("alice@example.test", "forward@example.test", "alice@example.test"),
        ("alice@stranger.test", "x@remote.test", "alice@stranger.test"),
    ]
    .into_iter()
    .enumerate()
    {
        wait_until("the new settings", || send(&world, from, to).get(4).is_some_and(|reply| reply.starts_with("250")));
        wait_until("the text", || remote.texts().len() > number);
        assert_eq!(sender(&remote), expected);
    }
}
