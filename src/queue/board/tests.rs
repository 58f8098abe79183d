use super::*;
use crate::clock::Timestamp;
use crate::spool::Id;
use crate::status::Enhanced;

const LIMITS: Limits = Limits { all: 100, each: 20, pause: 60, pause_most: 1800 };

fn item(sender: u32) -> Item {
    let id = Id::new(Timestamp(1_795_522_071_000_000)).pack();
    Item { id, sender, priority: 128, care: u32::MAX }
}

fn unreachable() -> Verdict {
    Verdict::Unreachable(Outcome::new(Enhanced(4, 4, 2), "no route to host", "dead"))
}

fn taken(board: &mut Board<u8>, now: u32) -> Option<(Number, PackedId)> {
    match board.take(now, None)? {
        (number, Task::Message(id)) => Some((number, id)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_waits_for_its_date_and_is_given_once() {
    let mut board: Board<u8> = Board::new(LIMITS, Vec::new());
    let a = board.destination("a");
    let item = item(1);
    assert!(board.learn(item, a, 100, 50) && !board.learn(item, a, 100, 50));
    assert!(taken(&mut board, 99).is_none() && !board.has_work(99));
    assert_eq!(board.next_date(), Some(100));
    assert!(board.has_work(100), "whoever asks learns that it is due");
    assert_eq!(taken(&mut board, 100), Some((a, item.id)));
    assert!(taken(&mut board, 100).is_none() && !board.learn(item, a, 0, 100), "it is under way");
    board.again(item, a, 200, 100);
    board.ended(a, Verdict::Reached, 100);
    assert!(taken(&mut board, 199).is_none());
    assert_eq!(taken(&mut board, 200), Some((a, item.id)));
    board.forget(item.id);
    board.ended(a, Verdict::Reached, 200);
    assert_eq!(board.counts(), (0, 0, 0));
}

#[test]
fn what_is_hastened_does_not_come_twice() {
    let mut board: Board<u8> = Board::new(LIMITS, Vec::new());
    let a = board.destination("a");
    let item = item(1);
    board.learn(item, a, 1000, 50);
    board.hasten(item, a, 60);
    assert!(taken(&mut board, 60).is_some());
    // Its attempt ends; the entry from before the hint is still there.
    board.again(item, a, 2000, 61);
    board.ended(a, Verdict::Reached, 61);
    assert!(taken(&mut board, 1000).is_some());
    board.not_due(item, a, 2000, 1000);
    board.ended(a, Verdict::Unknown, 1000);
    assert!(taken(&mut board, 1999).is_none());
    assert!(taken(&mut board, 2000).is_some());
    board.forget(item.id);
    board.ended(a, Verdict::Reached, 2000);
    assert!(taken(&mut board, u32::MAX).is_none());
}

#[test]
fn destinations_take_turns_and_have_windows() {
    let mut board: Board<u8> = Board::new(LIMITS, Vec::new());
    let (a, b) = (board.destination("a"), board.destination("b"));
    for _ in 0..1000 {
        board.learn(item(1), a, 0, 1);
    }
    board.learn(item(2), b, 0, 1);
    let order: Vec<Number> = std::iter::from_fn(|| taken(&mut board, 1)).map(|(number, _)| number).collect();
    assert_eq!(order, [a, b, a, a, a, a], "a window of five, and b's turn second");
    // Each success makes room for one more, up to the limit.
    for round in 0..30 {
        board.ended(a, Verdict::Reached, 1);
        while taken(&mut board, 1).is_some() {}
        assert_eq!(board.destinations[a as usize].running, (6 + round).min(20));
    }
}

#[test]
fn a_destination_that_cannot_be_reached_is_left_alone_and_probed() {
    let mut board: Board<u8> = Board::new(LIMITS, Vec::new());
    let (dead, live) = (board.destination("dead"), board.destination("live"));
    for _ in 0..500 {
        board.learn(item(1), dead, 0, 1);
        board.learn(item(1), live, 0, 1);
    }
    let first: Vec<_> = std::iter::from_fn(|| taken(&mut board, 1)).collect();
    let tried = first.iter().filter(|(number, _)| *number == dead).count();
    assert_eq!(tried, 5);
    board.push_part(dead, 7);
    for _ in 0..tried {
        board.ended(dead, unreachable(), 1);
    }
    assert_eq!(board.counts().2, 1);
    assert!(matches!(board.take(1, None), Some((number, Task::Unreachable(7, _))) if number == dead));
    board.ended(dead, Verdict::Unknown, 1);
    assert!(taken(&mut board, 60).is_none(), "the live one's window is full");
    board.ended(live, Verdict::Reached, 60);
    assert!(taken(&mut board, 60).is_some_and(|(number, _)| number == live));
    // One probe at the date; it fails, and the next pause is longer.
    while taken(&mut board, 60).is_some() {}
    let probes: Vec<_> = std::iter::from_fn(|| taken(&mut board, 61)).collect();
    assert_eq!(probes.len(), 1);
    board.ended(dead, unreachable(), 62);
    assert!(taken(&mut board, 181).is_none());
    assert_eq!(taken(&mut board, 182).map(|(number, _)| number), Some(dead));
    board.ended(dead, Verdict::Reached, 182);
    assert_eq!(std::iter::from_fn(|| taken(&mut board, 182)).count(), 6, "the window is open again");
}

#[test]
fn senders_of_neglected_messages_are_told_in_time() {
    let mut board: Board<u8> = Board::new(LIMITS, Vec::new());
    let dead = board.destination("dead");
    let late = Item { care: 500, ..item(1) };
    (0..8).for_each(|_| assert!(board.learn(item(1), dead, 0, 1)));
    board.learn(late, dead, 0, 1);
    let tried = std::iter::from_fn(|| taken(&mut board, 1)).count();
    (0..tried).for_each(|_| board.ended(dead, unreachable(), 1));
    board.look_after(499);
    assert!(board.take(2, None).is_none());
    board.look_after(500);
    match board.take(2, None) {
        Some((number, Task::Neglected(id, _))) => assert_eq!((number, id), (dead, late.id)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn senders_take_turns_and_the_urgent_go_first() {
    let mut board: Board<u8> = Board::new(Limits { each: 1, ..LIMITS }, Vec::new());
    let a = board.destination("a");
    for _ in 0..1000 {
        board.learn(item(1), a, 0, 1);
    }
    let next = |board: &mut Board<u8>| {
        let (_, id) = taken(board, 1).unwrap();
        board.ended(a, Verdict::Reached, 1);
        id
    };
    next(&mut board);
    let (late, urgent) = (item(2), Item { priority: 1, ..item(3) });
    board.learn(late, a, 0, 1);
    board.learn(urgent, a, 0, 1);
    assert_eq!(next(&mut board), urgent.id);
    let first = [next(&mut board), next(&mut board)];
    assert!(first.contains(&late.id), "not behind all that another has queued");
}

#[test]
fn a_folder_is_compared_with_what_is_known() {
    let mut board: Board<u8> = Board::new(LIMITS, Vec::new());
    let a = board.destination("a");
    let items: Vec<Item> = (0..500).map(|_| item(1)).collect();
    items[..400].iter().for_each(|i| assert!(board.learn(*i, a, 0, 1)));
    let mut news = Vec::new();
    for bucket in 0..crate::spool::BUCKETS {
        let there: Vec<_> = items[100..].iter().map(|i| i.id).filter(|id| id.bucket() == bucket).collect();
        news.extend(board.compare(bucket, &there));
    }
    news.sort();
    assert_eq!(news, items[400..].iter().map(|i| i.id).collect::<Vec<_>>());
    assert_eq!(board.counts().0, 300);
    // What has gone is passed over.
    assert_eq!(taken(&mut board, 1).unwrap().1, items[100].id);
}

#[test]
fn a_million_messages_take_little_memory() {
    assert!(std::mem::size_of::<Waiting>() <= 28);
    assert!(std::mem::size_of::<Reverse<destination::Ready>>() <= 20);
    assert_eq!(std::mem::size_of::<PackedId>(), 10);
}

#[test]
fn destinations_without_mail_are_forgotten_in_the_end() {
    let mut board: Board<u8> = Board::new(LIMITS, Vec::new());
    let kept = board.destination("kept");
    let late = item(1);
    board.learn(late, kept, 1000, 1);
    for round in 0..5 {
        for n in 0..DESTINATIONS {
            let number = board.destination(&format!("{round}/{n}"));
            let item = item(1);
            board.learn(item, number, 0, 1);
            assert_eq!(taken(&mut board, 1), Some((number, item.id)));
            board.forget(item.id);
            board.ended(number, Verdict::Reached, 1);
        }
    }
    assert!(board.destinations.len() <= 2 * DESTINATIONS + 1, "{}", board.destinations.len());
    assert_eq!(taken(&mut board, 1000), Some((kept, late.id)));
}

#[test]
fn whoever_wants_a_message_tried_has_its_host_probed_at_once_and_changes_no_plans() {
    let mut board: Board<u8> = Board::new(LIMITS, Vec::new());
    let dead = board.destination("dead");
    let items: Vec<Item> = (0..20).map(|_| item(1)).collect();
    items.iter().for_each(|item| assert!(board.learn(*item, dead, 0, 101)));
    let tried = std::iter::from_fn(|| taken(&mut board, 101)).count();
    (0..tried).for_each(|_| board.ended(dead, unreachable(), 101));
    assert_eq!((board.counts().2, board.next_date()), (1, Some(161)));
    // A flush makes all of them due: one goes out, and the others wait for what it finds.
    items[10..].iter().for_each(|item| board.hasten(*item, dead, 103));
    assert!(board.has_work(103));
    assert_eq!(std::iter::from_fn(|| taken(&mut board, 103)).count(), 1);
    board.ended(dead, unreachable(), 104);
    assert_eq!(board.next_date(), Some(161), "the pause is no longer for it");
    // Not more than one in five seconds, and none is forgotten.
    board.hasten(items[10], dead, 105);
    assert!(!board.has_work(107) && board.next_date() == Some(108));
    assert!(taken(&mut board, 108).is_some());
    board.ended(dead, Verdict::Reached, 108);
    assert_eq!(board.counts().2, 0);
    assert!(std::iter::from_fn(|| taken(&mut board, 108)).count() > 1, "it is open again");
}

#[test]
fn a_destination_gets_no_more_than_its_limits() {
    let own = ["a.test messages=3/10s", "b.test connections=2"].map(|text| text.parse().unwrap()).to_vec();
    let mut board: Board<u8> = Board::new(LIMITS, own);
    let [a, b, c] = ["smtp:a.test", "smtp:b.test", "smtp:c.test"].map(|name| board.destination(name));
    for number in [a, b, c] {
        (0..10).for_each(|_| assert!(board.learn(item(1), number, 0, 100)));
    }
    let begun = |board: &mut Board<u8>, now: u32| -> Vec<usize> {
        let all: Vec<Number> = std::iter::from_fn(|| taken(board, now)).map(|(number, _)| number).collect();
        [a, b, c].iter().map(|number| all.iter().filter(|n| *n == number).count()).collect()
    };
    assert_eq!(begun(&mut board, 100), [3, 2, 5]);
    for number in [a, b] {
        board.ended(number, Verdict::Reached, 100);
    }
    assert_eq!(begun(&mut board, 101), [0, 1, 0]);
    // What is claimed already does not wait for its turn.
    board.push_part(a, 7);
    assert!(matches!(board.take(101, None), Some((number, Task::Unreachable(7, _))) if number == a));
    board.ended(a, Verdict::Unknown, 101);
    assert!(!board.has_work(109) && board.next_date() == Some(110));
    assert_eq!(begun(&mut board, 110), [3, 0, 0]);
    // As soon as its share is used up, also what had been taken in before.
    let mut board: Board<u8> = Board::new(LIMITS, vec!["* messages=1/1m".parse().unwrap()]);
    let a = board.destination("smtp:a.test");
    board.push_part(a, 1);
    board.push_part(a, 2);
    assert!(matches!(board.take(100, None), Some((_, Task::Part(1)))));
    assert!(matches!(board.take(100, None), Some((_, Task::Unreachable(2, _)))));
    let local = board.destination("local");
    (0..5).for_each(|_| assert!(board.learn(item(1), local, 0, 100)));
    assert_eq!(std::iter::from_fn(|| taken(&mut board, 100)).count(), 5, "mailboxes are no hosts");
}
