//! One message for many mailboxes: promised when the queue vouches for it, durable in all of them soon after.

use super::queue::walk;
use super::wire::Client;
use super::world::{World, feed, wait_until};

const USERS: usize = 20;
/// More file operations than such a delivery has where all mailboxes have their folders.
const LAST_OPERATION: usize = 60;

/// More mailboxes than a delivery makes durable before its answer.
fn world() -> World {
    let world = World::new();
    let users = world.path("etc/users");
    let text = std::fs::read_to_string(&users).unwrap();
    let alice = text.lines().find(|line| line.starts_with("alice@")).unwrap();
    let rest = alice.split_once(' ').unwrap().1;
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines.extend((0..USERS).map(|number| format!("{}@example.test {rest}", user(number))));
    std::fs::write(&users, lines.join("\n") + "\n").unwrap();
    // Operations are counted: none of them is to make a folder of the queue, or not.
    for bucket in 0..64 {
        std::fs::create_dir_all(world.path(&format!("spool/queue/{bucket:02x}"))).unwrap();
    }
    world
}

fn user(number: usize) -> String {
    format!("u{number:02}")
}

fn dialogue(subject: &str) -> String {
    let mut text = String::from("EHLO x\r\nMAIL FROM:<bob@example.test>\r\n");
    (0..USERS).for_each(|number| text.push_str(&format!("RCPT TO:<{}@example.test>\r\n", user(number))));
    text + &format!("DATA\r\nSubject: {subject}\r\n\r\nbody\r\n.\r\nQUIT\r\n")
}

/// How many copies each of them has.
fn copies(world: &World) -> Vec<usize> {
    let count = |number| {
        let texts = world.mailbox(&user(number));
        assert!(texts.iter().all(|text| text.ends_with("\n\nbody\n")), "torn: {texts:?}");
        texts.len()
    };
    (0..USERS).map(count).collect()
}

/// Forgets all mail; the folders stay.
fn clear(world: &World) {
    let folders = (0..USERS).map(|number| world.path(&format!("mail/example.test/{}/Maildir/new", user(number))));
    let files = folders.flat_map(|folder| walk(&folder)).chain(world.drafts());
    files.for_each(|file| std::fs::remove_file(file).unwrap());
}

/// The answer to the end of the text.
fn sent(world: &World, fault: Option<&str>) -> String {
    let mut command = world.command("emsmtp");
    if let Some(fault) = fault {
        command.env("EM_FAULT", fault);
    }
    let out = feed(&mut command, dialogue("m").as_bytes());
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines().skip_while(|line| !line.starts_with("354 ")).nth(1).unwrap_or_default().to_string()
}

#[test]
fn everybody_has_one_copy_and_the_queue_forgets_its_own() {
    let world = world();
    assert!(sent(&world, None).starts_with("250 2.0.0 Ok: "));
    assert_eq!(copies(&world), [1; USERS]);
    assert_eq!((world.queued().len(), world.drafts().len()), (0, 0));
    // One text, whatever their number.
    let new = world.path("mail/example.test/u00/Maildir/new");
    let file = std::fs::read_dir(new).unwrap().next().unwrap().unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&file.metadata().unwrap()), USERS as u64);
    let story = world.log();
    assert_eq!(story.lines().filter(|line| line.contains("event=delivered ")).count(), USERS, "{story}");
}

#[test]
fn a_server_that_stops_finishes_what_it_has_promised() {
    let world = world();
    for round in 1..=5 {
        world.start();
        let mut client = Client::connect(world.address("smtp"));
        client.reply();
        let talk = dialogue("m");
        let (commands, text) = talk.split_once("DATA\r\n").unwrap();
        commands.lines().for_each(|line| assert!(client.ask(line).starts_with("250"), "{line}"));
        client.ask("DATA");
        assert!(client.ask(text.trim_end_matches("\r\nQUIT\r\n")).starts_with("250 2.0.0 Ok: "));
        world.stop();
        assert_eq!(copies(&world), [round; USERS]);
        assert!(world.queued().is_empty(), "round {round}");
    }
}

#[test]
fn names_that_can_t_be_made_durable_are_taken_back_and_the_queue_delivers() {
    let world = world();
    assert!(sent(&world, Some("EIO:1:syncfs")).starts_with("250 2.0.0 Ok: "));
    assert_eq!((copies(&world), world.queued().len()), (vec![0; USERS], 1));
    assert!(world.log().contains("event=taken-back "), "{}", world.log());
    world.ok("emqueue", &["run", "--all"]);
    assert_eq!((copies(&world), world.queued().len()), (vec![1; USERS], 0));
}

#[test]
fn at_every_operation_that_fails_it_is_refused_or_everybody_gets_it() {
    let world = world();
    assert!(sent(&world, None).starts_with("250 2.0.0 Ok: "));
    // One that fails is made good, but for the one without which nothing can be begun. When all later ones fail, nothing can be taken back from mailboxes or queue.
    for (kind, and_later) in [("EIO", ""), ("ENOSPC", "+")] {
        let mut refused = 0;
        for n in 1..=LAST_OPERATION {
            clear(&world);
            let answer = sent(&world, Some(&format!("{kind}:{n}{and_later}")));
            let is_ok = answer.starts_with("250 2.0.0 Ok: ");
            assert!(is_ok || answer.starts_with("45"), "{kind}:{n}: {answer}");
            refused += usize::from(!is_ok);
            world.run("emqueue", &["run", "--all"]);
            let copies = copies(&world);
            // What fails may be the removal of the queue's copy.
            let range = if is_ok { 1..=2 } else { 0..=2 * and_later.len() };
            assert!(copies.iter().all(|count| range.contains(count)), "{kind}:{n}: {answer}: {copies:?}");
            assert!(world.queued().is_empty(), "{kind}:{n}");
        }
        let most = if and_later.is_empty() { 1 } else { LAST_OPERATION - 1 };
        assert!((1..=most).contains(&refused), "{kind}: {refused}");
    }
}

#[test]
fn the_receiver_dies_at_every_operation_and_everybody_gets_it_and_at_most_one_too_many() {
    let world = world();
    let mut answer = sent(&world, None);
    for n in 1..=LAST_OPERATION {
        clear(&world);
        answer = sent(&world, Some(&format!("kill:{n}")));
        let is_ok = answer.starts_with("250 2.0.0 Ok: ");
        wait_until("an empty queue", || {
            world.run("emqueue", &["run", "--all"]);
            world.queued().is_empty()
        });
        let least = usize::from(is_ok);
        assert!(copies(&world).iter().all(|count| (least..=2).contains(count)), "{n}: {:?}", copies(&world));
    }
    assert!(answer.starts_with("250 2.0.0 Ok: "), "operation {LAST_OPERATION} is not behind the end: {answer}");
}
