//! POP3 as clients rely on it.

use super::wire::Client;
use super::world::World;

fn log_in(world: &World) -> (Client, String) {
    let mut pop = Client::connect(world.address("pop3"));
    pop.line();
    pop.send("USER alice@example.test\r\nPASS demo\r\n");
    pop.line();
    let answer = pop.line();
    (pop, answer)
}

fn fill(world: &World, count: usize) {
    for i in 0..count {
        let text = format!("Subject: m{i}\n\nbody {i}\n");
        assert!(world.run_with("emlocal", &["-d", "alice@example.test"], text.as_bytes()).status.success());
    }
}

#[test]
fn one_session_at_a_time_and_nothing_is_deleted_without_quit() {
    let world = World::new();
    fill(&world, 2);
    world.start();
    let (mut first, answer) = log_in(&world);
    assert!(answer.starts_with("+OK 2 messages"));
    let (_second, answer) = log_in(&world);
    assert!(answer.starts_with("-ERR [IN-USE]"), "{answer}");
    first.send("DELE 1\r\n");
    assert!(first.line().starts_with("+OK"));
    drop(first);
    let mut count = String::new();
    super::world::wait_until("the lock's end", || {
        let (mut pop, answer) = log_in(&world);
        pop.send("QUIT\r\n");
        pop.line();
        count = answer;
        count.starts_with("+OK")
    });
    assert!(count.starts_with("+OK 2 messages"), "{count}");
}

#[test]
fn unique_ids_stay_and_sizes_are_true() {
    let world = World::new();
    fill(&world, 3);
    world.start();
    let list = |deletes: &str| {
        let mut found = Vec::new();
        super::world::wait_until("a free mailbox", || {
            let (mut pop, answer) = log_in(&world);
            if !answer.starts_with("+OK") {
                return false;
            }
            pop.send(&format!("UIDL\r\n{deletes}QUIT\r\n"));
            found = pop
                .rest()
                .lines()
                .skip(1)
                .take_while(|l| *l != ".")
                .map(|l| l.split(' ').nth(1).unwrap().to_string())
                .collect();
            true
        });
        found
    };
    let first = list("DELE 2\r\n");
    let second = list("");
    assert_eq!(first.len(), 3);
    assert_eq!(second, [first[0].clone(), first[2].clone()]);
    let (mut pop, _) = log_in(&world);
    pop.send("LIST 1\r\nRETR 1\r\n");
    let size: usize = pop.line().split(' ').nth(2).unwrap().parse().unwrap();
    pop.line();
    let mut octets = 0;
    loop {
        let line = pop.line();
        if line == "." {
            break;
        }
        octets += line.len() + 2;
    }
    assert_eq!(octets, size);
}

#[test]
fn apop_works_for_those_who_asked_for_it() {
    let world = World::new();
    world.start();
    let try_apop = |user: &str, secret: &str| {
        let mut pop = Client::connect(world.address("pop3"));
        let greeting = pop.line();
        let stamp = &greeting[greeting.find('<').unwrap()..];
        use md5::Digest;
        let digest: String = md5::Md5::digest(format!("{stamp}{secret}")).iter().map(|b| format!("{b:02x}")).collect();
        pop.send(&format!("APOP {user} {digest}\r\n"));
        pop.line()
    };
    assert!(try_apop("bob@example.test", "demo").starts_with("+OK"));
    assert!(try_apop("bob@example.test", "wrong").starts_with("-ERR [AUTH]"));
    assert!(try_apop("alice@example.test", "demo").starts_with("-ERR [AUTH]"));
}

#[test]
fn a_big_message_streams_to_a_slow_reader() {
    let world = World::new();
    let text = format!("Subject: big\n\n{}", ".0123456789\n".repeat(1_000_000));
    assert!(world.run_with("emlocal", &["-d", "alice@example.test"], text.as_bytes()).status.success());
    world.start();
    let (mut pop, _) = log_in(&world);
    pop.send("RETR 1\r\nQUIT\r\n");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let rest = pop.rest();
    assert_eq!(rest.matches("\r\n..0123456789").count(), 1_000_000);
    assert!(rest.ends_with(".\r\n+OK bye\r\n"));
}
