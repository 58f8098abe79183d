//! What a reply says, whatever the order and the form in which it is said.
//!
//! Data of one message may come in one FETCH response or in several, EXPUNGE from either end, flags in any order; texts for people are
//! everybody's own. RECENT is compared by nobody: it may be told at any time, and RFC 9051 has dropped it.

use super::script::{ANYTHING, fits, is_same};
use crate::imap_wire::Value;

/// One statement of a server.
#[derive(Debug, Clone)]
pub enum Fact {
    /// `OK [CODE ...]`, tagged or not; the code may be missing.
    Status(String, Option<Vec<Value>>),
    /// A message's data: item and value.
    Fetch(u32, Vec<(String, Value)>),
    /// The message that had this number when the command began.
    Expunged(u32),
    /// Messages in the mailbox after all of it.
    Exists(u32),
    /// Everything else.
    Other(Vec<Value>),
}

/// Reads the untagged responses of one reply. `exists` is what the client knew before, and knows then.
pub fn facts(responses: &[Vec<Value>], exists: &mut Option<u32>) -> Vec<Fact> {
    let mut all: Vec<Fact> = Vec::new();
    let mut originals: Vec<u32> = (1..=5000).collect();
    let mut is_told = false;
    for values in responses {
        let number = values[0].number();
        let word = values.get(usize::from(number.is_some())).map_or("", Value::atom).to_ascii_uppercase();
        match (number, word.as_str()) {
            (Some(number), "EXPUNGE") => {
                all.push(Fact::Expunged(originals.remove(number as usize - 1)));
                *exists = exists.map(|count| count.saturating_sub(1));
                is_told = exists.is_some();
            }
            (Some(number), "EXISTS") => {
                *exists = Some(number);
                is_told = true;
            }
            (_, "RECENT") => {}
            (Some(number), "FETCH") if values.len() == 3 && values[2].atom() != ANYTHING => {
                let items = values[2].list().chunks(2);
                let items =
                    items.map(|pair| (pair[0].atom().to_ascii_uppercase(), pair.get(1).unwrap_or(&pair[0]).clone()));
                let known = all.iter_mut().find_map(|fact| match fact {
                    Fact::Fetch(other, known) if *other == number => Some(known),
                    _ => None,
                });
                match known {
                    Some(known) => {
                        for (name, value) in items {
                            known.retain(|(other, _)| *other != name);
                            known.push((name, value));
                        }
                    }
                    None => all.push(Fact::Fetch(number, items.collect())),
                }
            }
            (None, "OK" | "NO" | "BAD" | "BYE" | "PREAUTH") => {
                let code = values.get(1).filter(|code| matches!(code, Value::List(_)));
                all.push(Fact::Status(word, code.map(|code| code.list().to_vec())));
            }
            // `* 5 EXISTS` with an open number says nothing.
            (None, _) if values.get(1).is_some_and(|v| ["EXISTS", "RECENT"].contains(&v.atom())) => {}
            _ => all.push(Fact::Other(values.clone())),
        }
    }
    if is_told && let Some(count) = exists {
        all.push(Fact::Exists(*count));
    }
    all
}

/// Every element of the one list in the other, and the other way round; `\*` and keywords are left to either side.
fn same_flags(expected: &Value, is: &Value) -> bool {
    let text = |value: &Value| value.list().iter().map(Value::atom).collect::<Vec<_>>().join(" ");
    if expected.atom() == ANYTHING || text(expected).contains(ANYTHING) {
        // `\Seen.*` stands for whatever comes behind the flags of every mailbox.
        let expected = text(expected);
        return !expected.starts_with(ANYTHING) || fits(expected.as_bytes(), text(is).as_bytes());
    }
    let set = |value: &Value| {
        let mut set: Vec<String> = value.list().iter().map(|v| v.atom().to_ascii_lowercase()).collect();
        set.retain(|flag| flag != "\\*" && flag != "\\recent" && flag.starts_with('\\'));
        set.sort();
        set
    };
    set(expected) == set(is)
}

/// Letters of rights, without those of RFC 2086 that RFC 4314 §2.1.1 derives from others.
fn same_rights(expected: &Value, is: &Value) -> bool {
    let set = |value: &Value| {
        let mut set: Vec<u8> = value.bytes().to_ascii_lowercase();
        set.retain(|letter| !b"cd".contains(letter));
        set.sort_unstable();
        set
    };
    set(expected) == set(is)
}

/// Identifiers and rights, in any order; ours have a domain.
fn same_entries(expected: &[Value], is: &[Value]) -> bool {
    let local = |value: &Value| {
        let name = String::from_utf8_lossy(value.bytes()).to_lowercase();
        name.split('@').next().unwrap_or_default().to_string()
    };
    let is_told = |pair: &[Value]| {
        is.chunks(2).any(|other| local(&pair[0]) == local(&other[0]) && same_rights(&pair[1], &other[1]))
    };
    expected.len() == is.len() && expected.chunks(2).all(is_told)
}

/// Pairs in any order: STATUS, and the items of FETCH.
fn same_pairs(expected: &[Value], is: &[Value]) -> bool {
    expected.len() == is.len()
        && expected
            .chunks(2)
            .all(|pair| is.chunks(2).any(|other| pair.iter().zip(other).all(|(one, other)| is_same(one, other))))
}

fn same_items(expected: &[(String, Value)], is: &[(String, Value)]) -> bool {
    let is_told = |(name, value): &(String, Value)| {
        is.iter().any(|(other, is)| {
            // RFC 3501 §6.4.5 leaves open whether a part that does not exist is empty or NIL.
            let is_nothing = |value: &Value| value.atom() == "NIL" || *value == Value::Text(Vec::new());
            let is_known = name == "FLAGS" && same_flags(value, is);
            let is_missing = name.starts_with("BODY[") && is_nothing(value) && is_nothing(is);
            fits(name.as_bytes(), other.as_bytes())
                && (is_known || is_missing || (name != "FLAGS" && is_same(value, is)))
        })
    };
    // A server may always say more about a message (RFC 3501 §7.4.2), but not what nobody asked for and is large.
    let is_free = |name: &str| ["FLAGS", "UID", "MODSEQ"].contains(&name);
    let is_asked =
        |name: &str| is_free(name) || expected.iter().any(|(wanted, _)| fits(wanted.as_bytes(), name.as_bytes()));
    expected.iter().all(is_told) && is.iter().all(|(name, _)| is_asked(name))
}

fn same_others(expected: &[Value], is: &[Value]) -> bool {
    let (word, other) = (expected[0].atom().to_ascii_uppercase(), is[0].atom().to_ascii_uppercase());
    if word != other {
        return false;
    }
    match (word.as_str(), expected, is) {
        ("CAPABILITY", [_, expected @ ..], [_, is @ ..]) => {
            let text = |values: &[Value]| values.iter().map(Value::atom).collect::<Vec<_>>().join(" ");
            fits(text(expected).as_bytes(), text(is).as_bytes())
        }
        ("ACL", [_, name, expected @ ..], [_, other, is @ ..]) => is_same(name, other) && same_entries(expected, is),
        // Everybody has a name of his own.
        ("ID", ..) => true,
        ("FLAGS", [_, expected], [_, is]) => same_flags(expected, is),
        ("STATUS", [_, name, expected], [_, other, is]) => {
            is_same(name, other) && same_pairs(expected.list(), is.list())
        }
        ("LIST" | "LSUB", [_, expected, delimiter, name], [_, is, other, place, ..]) => {
            // Special uses and the like are ours; what the script wants must be there, and children must not be said both ways.
            let has = |flag: &Value| is.list().iter().any(|v| v.atom().eq_ignore_ascii_case(flag.atom()));
            expected.list().iter().all(has) && is_same(delimiter, other) && is_same(name, place)
        }
        ("SEARCH", [_, expected @ ..], [_, is @ ..]) => {
            expected.len() == is.len() && expected.iter().all(|one| is.iter().any(|other| is_same(one, other)))
        }
        ("MYRIGHTS", [_, name, expected], [_, other, is]) => is_same(name, other) && same_rights(expected, is),
        _ => expected.len() == is.len() && expected.iter().zip(is).all(|(one, other)| is_same(one, other)),
    }
}

fn same_codes(expected: &[Value], is: &[Value]) -> bool {
    match (expected, is) {
        ([name, expected], [other, is]) if name.atom() == "PERMANENTFLAGS" => name == other && same_flags(expected, is),
        // Numbers of one server's own counting.
        ([name, _], [other, _]) if ["UIDVALIDITY", "HIGHESTMODSEQ"].contains(&name.atom()) => name == other,
        _ => expected.len() == is.len() && expected.iter().zip(is).all(|(one, other)| is_same(one, other)),
    }
}

/// True when what was said is what was expected.
pub fn is_told(expected: &Fact, is: &Fact) -> bool {
    match (expected, is) {
        (Fact::Status(word, code), Fact::Status(other, is)) => {
            word == other && code.as_ref().is_none_or(|code| is.as_ref().is_some_and(|is| same_codes(code, is)))
        }
        (Fact::Fetch(number, expected), Fact::Fetch(other, is)) => number == other && same_items(expected, is),
        (Fact::Expunged(number), Fact::Expunged(other)) | (Fact::Exists(number), Fact::Exists(other)) => {
            number == other
        }
        (Fact::Other(expected), Fact::Other(is)) => same_others(expected, is),
        // `* 1 FETCH` with anything.
        (Fact::Other(expected), Fact::Fetch(number, _)) => {
            expected[0].number() == Some(*number) && expected.get(1).is_some_and(|v| v.atom() == "FETCH")
        }
        _ => false,
    }
}

/// What nobody has to expect: codes, and the flags of a mailbox.
pub fn is_free(fact: &Fact) -> bool {
    match fact {
        Fact::Status(word, _) => word == "OK",
        Fact::Exists(_) => true,
        // A level above shared mailboxes that is none itself (RFC 3501 §7.2.2, \\Noselect).
        Fact::Other(values) if values[0].atom() == "LIST" => {
            let is_level = |v: &Value| ["\\Noselect", "\\NonExistent"].contains(&v.atom());
            values[1].list().iter().any(is_level) && values[3].bytes().starts_with(b"~")
        }
        Fact::Other(values) => values[0].atom() == "FLAGS",
        _ => false,
    }
}
