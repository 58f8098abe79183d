//! Names of clients by DNS: in rules, in etc/access, in the Received field; and that nobody waits for them who need not.

use super::name_server::{NameServer, Says, a, name, nobody, nothing, world_with};
use super::wire::Client;
use super::world::World;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::PTR;
use hickory_resolver::proto::rr::{RData, RecordType};
use std::time::{Duration, Instant};

fn ptr(host: &str) -> Says {
    Says::Records(vec![RData::PTR(PTR(name(host)))])
}

fn zone(asked: &str, kind: RecordType) -> Says {
    match (asked, kind) {
        ("1.0.0.11.in-addr.arpa", RecordType::PTR) => ptr("good.names.test"),
        ("2.0.0.11.in-addr.arpa", RecordType::PTR) => ptr("good.names.test"),
        ("3.0.0.11.in-addr.arpa", RecordType::PTR) => Says::Code(ResponseCode::ServFail),
        ("4.0.0.11.in-addr.arpa", RecordType::PTR) => ptr("host.bad.test"),
        ("good.names.test", RecordType::A) => Says::Records(vec![a("11.0.0.1")]),
        ("host.bad.test", RecordType::A) => Says::Records(vec![a("11.0.0.4")]),
        (asked, _) if asked.ends_with(".0.9.11.in-addr.arpa") => Says::Silence,
        (asked, _) if asked.ends_with(".arpa") => nobody(),
        _ => nothing(),
    }
}

fn world_of_names(server: &NameServer) -> World {
    let world = world_with(server);
    world.set("smtp.client_names_time", "2s");
    world.set("smtp.xclient_from", "127.0.0.0/8");
    world
}

/// A connection of this client, by way of a front end.
fn connected(world: &World, ip: &str) -> (Client, String) {
    let mut smtp = Client::connect(world.address("smtp"));
    assert!(smtp.reply().starts_with("220"));
    let greeting = smtp.ask(&format!("XCLIENT ADDR={ip}"));
    (smtp, greeting)
}

#[test]
fn a_name_that_leads_back_stands_in_received_and_others_do_not() {
    let server = NameServer::start(zone);
    let world = world_of_names(&server);
    world.start();
    for (number, (ip, wanted)) in [
        ("11.0.0.1", "from c.test (good.names.test [11.0.0.1])"),
        ("11.0.0.2", "from c.test ([11.0.0.2])"),
        ("11.0.0.3", "from c.test ([11.0.0.3])"),
        ("192.0.2.1", "from c.test ([192.0.2.1])"),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut smtp, greeting) = connected(&world, ip);
        assert!(greeting.starts_with("220"), "{greeting}");
        assert!(smtp.ask("EHLO c.test").starts_with("250"));
        assert!(smtp.ask("MAIL FROM:<x@other.test>").starts_with("250"));
        assert!(smtp.ask("RCPT TO:<alice@example.test>").starts_with("250"));
        assert!(smtp.ask("DATA").starts_with("354"));
        smtp.send(&format!("Subject: {number}\r\n\r\nx\r\n"));
        assert!(smtp.ask(".").starts_with("250"));
        let texts = world.await_mail("alice", number + 1);
        let text = texts.iter().find(|text| text.contains(&format!("Subject: {number}\n"))).unwrap();
        assert!(text.replace("\n\t", " ").contains(wanted), "{text}");
    }
    let asked = server.asked();
    assert!(!asked.iter().any(|question| question.contains("127") || question.contains("2.0.192")), "{asked:?}");
}

#[test]
fn names_are_refused_and_admitted_by_the_access_table() {
    let server = NameServer::start(zone);
    let world = world_of_names(&server);
    std::fs::write(
        world.path("etc/access"),
        "Connect:bad.test ERROR:5.7.1:550 not you\nConnect:good.names.test RELAY\n",
    )
    .unwrap();
    world.start();
    let (_, greeting) = connected(&world, "11.0.0.4");
    assert!(greeting.starts_with("554") && greeting.contains("not you"), "{greeting}");
    let (_, greeting) = connected(&world, "11.0.0.2");
    assert!(greeting.starts_with("220"), "its name is forged, whatever it says: {greeting}");
    let explained = world.ok("emsend", &["-bt", "--explain", "alice@example.test", "--client", "11.0.0.1"]);
    assert!(explained.contains("good.names.test"), "{explained}");
    world.set("smtp.client_names", "false");
    let explained = world.ok("emsend", &["-bt", "--explain", "alice@example.test", "--client", "11.0.0.1"]);
    assert!(!explained.contains("good.names.test"), "{explained}");
}

#[test]
fn a_slow_name_keeps_nobody_else_waiting() {
    let server = NameServer::start(zone);
    let world = world_of_names(&server);
    world.set("dns.timeout", "5s");
    world.set("smtp.client_names_time", "4s");
    world.start();
    let address = world.address("smtp");
    // More than there are threads for.
    let slow: Vec<_> = (1..40)
        .map(|n| {
            let mut smtp = Client::connect(address);
            assert!(smtp.reply().starts_with("220"));
            smtp.send(&format!("XCLIENT ADDR=11.9.0.{n}\r\n"));
            smtp
        })
        .collect();
    let started = Instant::now();
    let mut smtp = Client::connect(address);
    assert!(smtp.reply().starts_with("220"));
    assert!(smtp.ask("EHLO c.test").starts_with("250"));
    assert!(smtp.ask("MAIL FROM:<x@other.test>").starts_with("250"));
    assert!(smtp.ask("RCPT TO:<alice@example.test>").starts_with("250"));
    assert!(smtp.ask("DATA").starts_with("354"));
    smtp.send("Subject: quick\r\n\r\nx\r\n");
    assert!(smtp.ask(".").starts_with("250"));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    drop(slow);
}
