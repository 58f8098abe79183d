//! No open relay under any address trick.

use super::wire::Client;
use super::world::World;

#[test]
fn no_trick_relays() {
    let world = World::new();
    std::fs::write(world.path("etc/routes"), "* esmtp:[127.0.0.1]:1\n").unwrap();
    world.set("smtp.errors", "1000");
    world.start();
    let paths = [
        "victim@remote.test",
        "victim%remote.test@example.test",
        "victim%remote.test@[127.0.0.1]",
        "remote.test!victim@example.test",
        "remote.test!victim",
        "@example.test:victim@remote.test",
        "@example.test,@mail.example.test:victim@remote.test",
        "\"victim@remote.test\"@example.test",
        "\"victim%remote.test\"@example.test",
        "\"@remote.test:victim\"@example.test",
        "victim@remote.test@example.test",
        "victim@[192.0.2.1]",
        "victim@[IPv6:2001:db8::1]",
        "victim@remote.test%example.test",
        "victim%remote.test",
        "\"victim@remote.test\"",
        "victim@remote.test.",
        "victim@REMOTE.test",
        "alice@example.test@remote.test",
        "|/bin/sh@example.test",
        "/etc/passwd@example.test",
        "\":include:/etc/passwd\"@example.test",
        "alice@xn--example-.test",
        "victim@bücher.test",
        "postmaster@remote.test",
    ];
    let senders = ["<>", "<spam@remote.test>", "<alice@example.test>", "<postmaster@[127.0.0.1]>"];
    for sender in senders {
        let mut smtp = Client::connect(world.address("smtp"));
        smtp.reply();
        smtp.ask("EHLO example.test");
        assert!(smtp.ask(&format!("MAIL FROM:{sender}")).starts_with("250"));
        for path in paths {
            let reply = smtp.ask(&format!("RCPT TO:<{path}>"));
            assert!(reply.starts_with('5'), "{sender} {path}: {reply}");
        }
        assert!(smtp.ask("DATA").starts_with("554"));
    }
    assert!(world.queued().is_empty());
}

#[test]
fn those_who_may_relay_do() {
    let world = World::new();
    std::fs::write(world.path("etc/routes"), "remote.test esmtp:[127.0.0.1]:1\n").unwrap();
    world.set("server.networks_trusted", "127.0.0.0/8");
    world.start();
    let mut smtp = Client::connect(world.address("smtp"));
    smtp.reply();
    smtp.ask("EHLO x");
    smtp.ask("MAIL FROM:<alice@example.test>");
    assert!(smtp.ask("RCPT TO:<victim@remote.test>").starts_with("250"));
}

#[test]
fn plaintext_behind_starttls_ends_the_connection() {
    let world = World::new();
    world.start();
    for (service, hello, command) in [("smtp", "EHLO x\r\n", "STARTTLS\r\nNOOP\r\n"), ("pop3", "", "STLS\r\nNOOP\r\n")]
    {
        let mut client = Client::connect(world.address(service));
        client.reply();
        if !hello.is_empty() {
            client.send(hello);
            client.reply();
        }
        client.send(command);
        let rest = client.rest();
        assert_eq!(rest.lines().count(), 1, "{service}: one reply, then the end: {rest}");
    }
    assert!(world.log().contains("event=starttls-injection"));
}
