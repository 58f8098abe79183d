//! The members of a list: the file `members`, one line each.
//!
//! Format: `ADDRESS STATE key=value …` (see `fields`), sorted by address in lower case; state is `on`, `off` or `digest`, and `on` where
//! it is missing, so that a plain file of addresses is one, too. Known keys: `since` (when he came, RFC 3339), `name`, `why` (who
//! switched him off), `options`. Keys that this version does not know are kept.
//! Lines that begin with `#` are notes. A line that makes no sense is named by [`Members::damaged`] and passed over; the others are
//! used. Notes and damaged lines stay when the file is written anew; they gather at its top and at its end.
//! Trust: the file is the administrator's, its addresses came from the network.

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::fields;
use crate::line;
use std::collections::BTreeMap;

/// The first line.
const HEADER: &str = "# em-members 1";

/// What a member gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Each post.
    On,
    /// Nothing.
    Off,
    /// Digests.
    Digest,
}

impl State {
    /// Its word in the file.
    pub fn word(self) -> &'static str {
        match self {
            State::On => "on",
            State::Off => "off",
            State::Digest => "digest",
        }
    }

    /// Reads a word, in any case; `dgt` is the model's for digest.
    pub fn parse(word: &str) -> Option<State> {
        match word.to_ascii_lowercase().as_str() {
            "on" => Some(State::On),
            "off" => Some(State::Off),
            "digest" | "dgt" => Some(State::Digest),
            _ => None,
        }
    }
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// His address, as he wrote it.
    pub address: Address,
    /// What he gets.
    pub state: State,
    fields: BTreeMap<String, String>,
}

impl Member {
    /// A member who gets each post from now on.
    pub fn new(address: &Address, now: Timestamp) -> Member {
        let mut member = Member { address: address.clone(), state: State::On, fields: BTreeMap::new() };
        let since = now.rfc3339();
        member.put("since", Some(format!("{}Z", since.get(..19).unwrap_or(&since))));
        member
    }

    /// When he came.
    pub fn since(&self) -> Option<Timestamp> {
        let text = self.field("since")?;
        Timestamp::parse_rfc3339(text).or_else(|| Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")))
    }

    /// True when this option is set.
    pub fn has_option(&self, option: &str) -> bool {
        self.field("options").is_some_and(|list| list.split(',').any(|word| word == option))
    }

    /// A field's value.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    /// Sets or clears a field.
    pub fn put(&mut self, key: &str, value: Option<String>) {
        match value {
            Some(value) => self.fields.insert(key.to_string(), value),
            None => self.fields.remove(key),
        };
    }

    /// Changes the state; `why` says who did it where he is switched off.
    pub fn turn(&mut self, state: State, why: Option<&str>) {
        self.state = state;
        self.put("why", why.filter(|_| state == State::Off).map(str::to_string));
    }

    fn print(&self) -> String {
        let mut line = format!("{} {}", fields::encode(&self.address.to_string()), self.state.word());
        for (key, value) in &self.fields {
            fields::push(&mut line, key, value);
        }
        line
    }

    fn parse(line: &str) -> Result<Member, String> {
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let first = words.next().unwrap_or("");
        let decoded = fields::decode(first).ok_or("a % without two hexadecimal digits behind it")?;
        let address = Address::parse(&decoded).map_err(|e| e.to_string())?;
        let mut member = Member { address, state: State::On, fields: BTreeMap::new() };
        for word in words {
            match word.split_once('=') {
                Some((key, value)) => {
                    let value = fields::decode(value).ok_or_else(|| format!("{key}: a broken %"))?;
                    member.fields.insert(key.to_string(), value);
                }
                None => {
                    member.state = State::parse(word).ok_or_else(|| format!("{word:?} is no state: on, off, digest"))?
                }
            }
        }
        Ok(member)
    }
}

/// A line that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Its number, from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// What is wrong.
    pub reason: String,
}

/// All members of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// By address in lower case.
    all: BTreeMap<String, Member>,
    /// Notes, as they stand.
    notes: Vec<String>,
    damaged: Vec<Damaged>,
}

/// The key of an address.
fn key(address: &Address) -> String {
    address.to_key().to_string()
}

impl Members {
    /// Reads the file's text.
    pub fn parse(bytes: &[u8]) -> Members {
        let mut members = Members::default();
        for (number, line) in line::lines(bytes).enumerate() {
            let text = String::from_utf8_lossy(line.trim_ascii());
            if text.is_empty() || text == HEADER {
                continue;
            }
            if text.starts_with('#') {
                members.notes.push(text.into_owned());
                continue;
            }
            let wrong = match Member::parse(&text) {
                Ok(member) => match members.all.contains_key(&key(&member.address)) {
                    false => {
                        members.all.insert(key(&member.address), member);
                        continue;
                    }
                    true => "stands there twice: the first line counts".to_string(),
                },
                Err(reason) => reason,
            };
            members.damaged.push(Damaged { line: number + 1, text: text.into_owned(), reason: wrong });
        }
        members
    }

    /// The file's text.
    pub fn print(&self) -> String {
        let mut text = String::with_capacity(64 * (self.all.len() + 1));
        let mut line = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        line(HEADER);
        self.notes.iter().for_each(|note| line(note));
        self.all.values().for_each(|member| line(&member.print()));
        // Behind the members: of a line that stands there twice the first counts, today and after this.
        self.damaged.iter().for_each(|damaged| line(&damaged.text));
        text
    }

    /// Lines that were passed over.
    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// One member, without regard to case.
    pub fn find(&self, address: &Address) -> Option<&Member> {
        self.all.get(&key(address))
    }

    /// The same, to be changed; his address stays.
    pub fn find_mut(&mut self, address: &Address) -> Option<&mut Member> {
        self.all.get_mut(&key(address))
    }

    /// All, sorted by address.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.all.values()
    }

    /// Those in a state.
    pub fn in_state(&self, state: State) -> impl Iterator<Item = &Member> {
        self.iter().filter(move |member| member.state == state)
    }

    /// Adds one; false when the address is there already, which then stays as it is.
    pub fn add(&mut self, member: Member) -> bool {
        let key = key(&member.address);
        let is_new = !self.all.contains_key(&key);
        if is_new {
            self.all.insert(key, member);
        }
        is_new
    }

    /// Takes one out.
    pub fn remove(&mut self, address: &Address) -> Option<Member> {
        self.all.remove(&key(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn a_file_comes_back_with_what_hands_wrote_into_it() {
        let text = "# em-members 1\nbob@b.test digest since=2026-11-30\n# a note\nalice@a.test\nno address\n\
                    Carol@c.test off why=bounces x=1\nALICE@a.test off\ndave@d.test loud\n";
        let members = Members::parse(text.as_bytes());
        let damaged: Vec<(usize, &str)> = members.damaged().iter().map(|d| (d.line, d.reason.as_str())).collect();
        assert_eq!(damaged[0], (5, "domain is missing"));
        assert_eq!(damaged[1], (7, "stands there twice: the first line counts"));
        assert_eq!(damaged[2], (8, "\"loud\" is no state: on, off, digest"));
        assert_eq!(members.len(), 3);
        assert_eq!(members.find(&address("alice@A.test")).unwrap().state, State::On);
        let carol = members.find(&address("carol@c.test")).unwrap();
        assert_eq!((carol.state, carol.field("why"), carol.field("x")), (State::Off, Some("bounces"), Some("1")));
        let since = members.find(&address("bob@b.test")).unwrap().since().unwrap();
        assert_eq!(since.rfc3339(), "2026-11-30T00:00:00.000000Z");
        let printed = members.print();
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines[..3], ["# em-members 1", "# a note", "alice@a.test on"]);
        assert_eq!(lines[5..], ["no address", "ALICE@a.test off", "dave@d.test loud"]);
        assert_eq!(Members::parse(printed.as_bytes()).print(), printed);
    }

    #[test]
    fn members_come_change_and_go() {
        let mut members = Members::default();
        assert!(members.add(Member::new(&address("\"a b\"@a.test"), Timestamp(0))));
        assert!(!members.add(Member::new(&address("\"A B\"@a.test"), Timestamp(0))));
        members.find_mut(&address("\"a b\"@a.test")).unwrap().turn(State::Off, Some("bounces"));
        let again = Members::parse(members.print().as_bytes());
        assert_eq!(again, members);
        assert!(members.print().contains("%22a%20b%22@a.test off since=1970-01-01T00:00:00Z why=bounces"));
        assert!(members.remove(&address("\"a b\"@a.test")).is_some() && members.is_empty());
    }

    #[test]
    fn a_hundred_thousand_members_are_read_and_printed() {
        let mut text = String::new();
        for number in (0..100_000).rev() {
            text.push_str(&format!("user{number}@example.test\n"));
        }
        let members = Members::parse(text.as_bytes());
        assert_eq!((members.len(), members.damaged().len()), (100_000, 0));
        assert_eq!(Members::parse(members.print().as_bytes()), members);
    }
}
