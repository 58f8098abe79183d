//! Several processes (here: folders that share nothing) hammer one mailbox for a number of steps.

use super::*;
use std::collections::BTreeMap;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn no_update_is_lost_and_no_identifier_means_two_messages() {
    const STEPS: u64 = 60;
    let home = home();
    let path = home.path();
    let mut meanings: BTreeMap<u32, String> = BTreeMap::new();
    let (mut arrived, mut expunged) = (0, 0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3u64)
            .map(|worker| {
                scope.spawn(move || {
                    let mut dice = Dice(worker);
                    let mut folder = open(path);
                    let (mut appended, mut expunged) = (0u64, 0u64);
                    let mut seen: BTreeMap<u32, String> = BTreeMap::new();
                    for step in 0..STEPS {
                        let snapshot = folder.refresh().unwrap();
                        assert!(snapshot.entries.is_sorted_by(|a, b| a.uid < b.uid));
                        let pick = |dice: &mut Dice| {
                            let index = dice.roll(snapshot.entries.len().max(1) as u64) as usize;
                            snapshot.entries.get(index).map(|e| e.uid)
                        };
                        match dice.roll(8) {
                            0 | 1 => {
                                let body = format!("worker {worker} step {step}\n");
                                seen.insert(append(&folder, &body).number(), body);
                                appended += 1;
                            }
                            2 | 3 => {
                                let Some(uid) = pick(&mut dice) else { continue };
                                mark(&folder, &[uid].into_iter().collect(), System::ALL[dice.roll(5) as usize]);
                            }
                            4 => expunged += folder.expunge(None).unwrap().len(),
                            5 => drop(folder.settle(20).unwrap()),
                            6 => {
                                let Some(uid) = pick(&mut dice) else { continue };
                                match folder.text(uid) {
                                    Ok(mut file) => {
                                        let mut body = String::new();
                                        file.read_to_string(&mut body).unwrap();
                                        assert_eq!(seen.entry(uid.number()).or_insert(body.clone()), &body);
                                    }
                                    Err(FolderError::Expunged) => {}
                                    Err(error) => panic!("{error}"),
                                }
                            }
                            _ if dice.roll(2) == 0 => {
                                let _ = std::fs::remove_file(path.join("Maildir/em-index"));
                            }
                            _ => folder = open(path),
                        }
                    }
                    (appended, expunged, seen)
                })
            })
            .collect();
        let deliverer = scope.spawn(move || {
            for n in 0..STEPS {
                let name = format!("{n}.M1P1.deliverer");
                deliver(path, &format!("tmp/{name}"), &format!("delivery {n}\n"));
                let maildir = path.join("Maildir");
                std::fs::rename(maildir.join("tmp").join(&name), maildir.join("new").join(&name)).unwrap();
            }
        });
        for worker in workers {
            let (a, e, seen) = worker.join().unwrap();
            arrived += a;
            expunged += e;
            for (uid, body) in seen {
                assert_eq!(meanings.entry(uid).or_insert(body.clone()), &body);
            }
        }
        deliverer.join().unwrap();
    });
    let (one, two) = (open(path), open(path));
    let snapshot = one.rescan().unwrap();
    assert_eq!(*snapshot, *two.rescan().unwrap());
    assert_eq!(u64::from(snapshot.len()) + expunged, arrived + STEPS);
    assert_eq!(one.expunged_since(ModSeq::ZERO).unwrap().unwrap().len(), expunged);
    for entry in snapshot.entries.iter() {
        let body = text(&one, entry.uid);
        assert_eq!(meanings.entry(entry.uid.number()).or_insert(body.clone()), &body);
    }
    while one.settle(1000).unwrap() {}
    assert_eq!(one.rescan().unwrap().highest_modseq, snapshot.highest_modseq);
}
