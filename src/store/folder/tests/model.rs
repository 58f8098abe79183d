//! Random steps by us and by a program that knows nothing of us, compared with a model after each.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
enum Step {
    /// Another program delivers.
    Deliver,
    /// Another program toggles a flag in the name of a file, moving it to `cur`.
    Rename(usize, System),
    /// Another program deletes a file.
    Delete(usize),
    Append(u8, Option<usize>),
    Store(Vec<usize>, How, u8, Option<usize>),
    Expunge,
    Copy(Vec<usize>),
    MoveAway(Vec<usize>),
    TakeRecent,
    Settle(usize),
    /// The process ends, another begins.
    Reopen,
    /// The caches are deleted.
    LoseIndex,
    /// All files of ours are deleted.
    LoseAll,
}

/// A change by somebody who may change `\\Seen` and keywords, and no other flags.
const WITHIN: How = How::ReplaceWithin(Flags { system: 8, keywords: u64::MAX });

const KEYWORDS: [&str; 3] = ["work", "$Junk", "later"];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    text: String,
    system: u8,
    keywords: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Model {
    messages: BTreeMap<u32, Message>,
    next: u32,
    gone: BTreeSet<u32>,
}

fn any_step() -> impl Strategy<Value = Step> {
    let which = || prop::collection::vec(0usize..8, 1..4);
    let flag = || prop::sample::select(System::ALL.to_vec());
    let keyword = || prop::option::of(0usize..3);
    prop_oneof![
        4 => Just(Step::Deliver),
        3 => (0usize..8, flag()).prop_map(|(k, f)| Step::Rename(k, f)),
        1 => (0usize..8).prop_map(Step::Delete),
        3 => (0u8..32, keyword()).prop_map(|(f, k)| Step::Append(f, k)),
        5 => (which(), prop::sample::select(vec![How::Add, How::Remove, How::Replace, WITHIN]), 0u8..32, keyword())
            .prop_map(|(w, h, f, k)| Step::Store(w, h, f, k)),
        2 => Just(Step::Expunge),
        1 => which().prop_map(Step::Copy),
        1 => which().prop_map(Step::MoveAway),
        1 => Just(Step::TakeRecent),
        2 => (1usize..4).prop_map(Step::Settle),
        1 => Just(Step::Reopen),
        1 => Just(Step::LoseIndex),
        1 => Just(Step::LoseAll),
    ]
}

impl Model {
    fn add(&mut self, message: Message) {
        self.messages.insert(self.next, message);
        self.next += 1;
    }

    /// The identifier of the k-th message, counted round.
    fn pick(&self, k: usize) -> Option<u32> {
        let count = self.messages.len();
        (count > 0).then(|| *self.messages.keys().nth(k % count).unwrap())
    }

    fn pick_all(&self, which: &[usize]) -> BTreeSet<u32> {
        which.iter().filter_map(|k| self.pick(*k)).collect()
    }

    fn remove(&mut self, uid: u32) {
        self.messages.remove(&uid);
        self.gone.insert(uid);
    }
}

/// The file of a message, found by its text as another program would.
fn file_of(home: &Path, text: &str) -> PathBuf {
    for sub in ["new", "cur"] {
        for name in files(&home.join("Maildir").join(sub)) {
            let path = home.join("Maildir").join(sub).join(name);
            if std::fs::read_to_string(&path).unwrap() == text {
                return path;
            }
        }
    }
    panic!("no file holds {text:?}");
}

fn check(model: &Model, folder: &Folder) -> Result<(), TestCaseError> {
    let snapshot = folder.rescan().unwrap();
    let seen: BTreeMap<u32, Message> = snapshot
        .entries
        .iter()
        .map(|e| {
            let own = Flags { system: 0, ..e.flags };
            let keywords = snapshot.keywords.print(own).map(str::to_string).collect();
            (e.uid.number(), Message { text: text(folder, e.uid), system: e.flags.system, keywords })
        })
        .collect();
    prop_assert_eq!(&seen, &model.messages);
    prop_assert_eq!(snapshot.uid_next.number(), model.next);
    let gone: BTreeSet<u32> = folder.expunged_since(ModSeq::ZERO).unwrap().unwrap().iter().collect();
    prop_assert_eq!(&gone, &model.gone);
    Ok(())
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let home = home();
    let mut folder = open(home.path());
    // A second process, which only looks.
    let mut reader = open(home.path());
    let archive = other(home.path());
    let mut model = Model { next: 1, ..Model::default() };
    let mut validity = folder.refresh().unwrap().uid_validity;
    for (number, step) in steps.into_iter().enumerate() {
        let body = format!("message {number}\n");
        let fresh = Message { text: body.clone(), system: 0, keywords: BTreeSet::new() };
        let keyword = |k: Option<usize>| k.map(|k| KEYWORDS[k].to_string());
        match step {
            Step::Deliver => {
                deliver(home.path(), &format!("new/{}.M1P1.h", 1_000_000 + number), &body);
                model.add(fresh);
            }
            Step::Rename(k, flag) => {
                let Some(uid) = model.pick(k) else { continue };
                let message = model.messages.get_mut(&uid).unwrap();
                let old = file_of(home.path(), &message.text);
                let name = old.file_name().unwrap().to_string_lossy().into_owned();
                let (base, letters) = name.split_once(":2,").unwrap_or((&name, ""));
                let mut letters: BTreeSet<char> = letters.chars().collect();
                let is_set = letters.insert(flag.letter()) || {
                    letters.remove(&flag.letter());
                    false
                };
                let letters: String = letters.into_iter().collect();
                std::fs::rename(&old, home.path().join("Maildir/cur").join(format!("{base}:2,{letters}"))).unwrap();
                message.system = if is_set { message.system | flag as u8 } else { message.system & !(flag as u8) };
            }
            Step::Delete(k) => {
                let Some(uid) = model.pick(k) else { continue };
                std::fs::remove_file(file_of(home.path(), &model.messages[&uid].text)).unwrap();
                model.remove(uid);
            }
            Step::Append(system, k) => {
                let mut message = add(&folder, &body);
                message.system = system;
                message.keywords = keyword(k).into_iter().collect();
                let uid = folder.append(vec![message]).unwrap()[0].number();
                prop_assert_eq!(uid, model.next);
                model.add(Message { system, keywords: keyword(k).into_iter().collect(), ..fresh });
            }
            Step::Store(which, how, system, k) => {
                let uids = model.pick_all(&which);
                let keywords: Vec<&str> = k.iter().map(|k| KEYWORDS[*k]).collect();
                let change = FlagChange { how, system, keywords: &keywords };
                let outcome = folder.store(&uids.iter().copied().collect(), change, None).unwrap();
                let mut changed = UidSet::default();
                for uid in uids {
                    let message = model.messages.get_mut(&uid).unwrap();
                    let before = message.clone();
                    match how {
                        How::Add => {
                            message.system |= system;
                            message.keywords.extend(keyword(k));
                        }
                        How::Remove => {
                            message.system &= !system;
                            if let Some(keyword) = keyword(k) {
                                message.keywords.remove(&keyword);
                            }
                        }
                        How::Replace => {
                            message.system = system;
                            message.keywords = keyword(k).into_iter().collect();
                        }
                        How::ReplaceWithin(mask) => {
                            message.system = (message.system & !mask.system) | (system & mask.system);
                            message.keywords = keyword(k).into_iter().collect();
                        }
                    }
                    if *message != before {
                        changed.push(uid);
                    }
                }
                prop_assert_eq!(outcome.changed, changed);
            }
            Step::Expunge => {
                let deleted = |m: &Message| m.system & System::Deleted as u8 != 0;
                let wanted: UidSet = model.messages.iter().filter(|(_, m)| deleted(m)).map(|(u, _)| *u).collect();
                prop_assert_eq!(&folder.expunge(None).unwrap(), &wanted);
                wanted.iter().for_each(|uid| model.remove(uid));
            }
            Step::Copy(which) => {
                // A copy would have the same text; the model finds files by their text, so that it moves on at once.
                let uids: UidSet = model.pick_all(&which).into_iter().collect();
                prop_assert_eq!(folder.copy(&uids, &archive).unwrap().len() as u64, uids.len());
            }
            Step::MoveAway(which) => {
                let uids = model.pick_all(&which);
                let moved = folder.move_to(&uids.iter().copied().collect(), &archive).unwrap();
                prop_assert_eq!(moved.len(), uids.len());
                for (uid, (old, new)) in uids.into_iter().zip(moved) {
                    prop_assert_eq!(old.number(), uid);
                    prop_assert_eq!(&text(&archive, new), &model.messages[&uid].text);
                    model.remove(uid);
                }
            }
            Step::TakeRecent => drop(folder.take_recent().unwrap()),
            Step::Settle(limit) => drop(folder.settle(limit).unwrap()),
            Step::Reopen => folder = open(home.path()),
            Step::LoseIndex => {
                for name in ["em-index", "em-cache"] {
                    let _ = std::fs::remove_file(home.path().join("Maildir").join(name));
                }
                folder = open(home.path());
            }
            Step::LoseAll => {
                while folder.settle(100).unwrap() {}
                let before = folder.refresh().unwrap();
                reader = open(home.path());
                for name in files(&home.path().join("Maildir")).iter().filter(|n| n.starts_with("em-")) {
                    std::fs::remove_file(home.path().join("Maildir").join(name)).unwrap();
                }
                let known = &before.keywords;
                let now = folder.refresh().unwrap();
                prop_assert!(now.uid_validity > validity);
                validity = now.uid_validity;
                // New identifiers, in the order that the names give; keywords have lost their names, but not their letters.
                let mut messages: Vec<Message> = std::mem::take(&mut model.messages).into_values().collect();
                for message in &mut messages {
                    let unknown = |k: &String| format!("unknown-{}", known.find(k).unwrap());
                    message.keywords = message.keywords.iter().map(unknown).collect();
                }
                messages.sort_by_cached_key(|m| {
                    let path = file_of(home.path(), &m.text);
                    let name = path.file_name().unwrap().as_encoded_bytes().to_vec();
                    (name::arrival_order(&name), name)
                });
                model = Model { next: 1, ..Model::default() };
                messages.into_iter().for_each(|m| model.add(m));
            }
        }
        check(&model, &folder)?;
        prop_assert_eq!(&*reader.refresh().unwrap(), &*folder.refresh().unwrap());
        prop_assert_eq!(folder.refresh().unwrap().uid_validity, validity);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn whoever_changes_the_mailbox_it_is_as_the_model_says(steps in prop::collection::vec(any_step(), 1..40)) {
        run(steps)?;
    }
}
