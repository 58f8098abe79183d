//! Rights on a mailbox and the list that grants them (RFC 4314).
//!
//! Values only: `store::tree` keeps the lists, `store::Realm` knows who owns what, `serve` asks before it acts.
//!
//! The text of a list, as `em-acl` holds it: a line with the version, then one line for each identifier, `[-]IDENTIFIER RIGHTS`. An
//! identifier is an account's address (as `fields` writes it) or `anyone`; a dash takes the rights away that others give.
//!
//! ```text
//! em-acl 1
//! bob@example.test lrswi
//! -carol@example.test w
//! anyone lr
//! ```
//!
//! A line that can't be read gives nothing to anybody. One that begins with a dash was to take something away, and nobody knows from whom:
//! the list is closed then, to all but the owner. So is a list of a newer version.

use super::{Flags, System};
use crate::addr::Address;
use crate::fields;
use std::collections::BTreeMap;
use std::fmt;

/// Most identifiers of one list.
pub const ACL_LIMIT: usize = 500;
/// The first line of a list's text.
const HEADER: &str = "em-acl 1";
/// What every version's first line begins with.
const FAMILY: &str = "em-acl ";
/// Everybody, as an identifier.
const ANYONE: &str = "anyone";
/// Everybody who is logged in: the same here, where nobody is anonymous.
const AUTHENTICATED: &str = "authenticated";

/// A set of rights (RFC 4314 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Rights(u16);

impl Rights {
    /// None of them.
    pub const NONE: Rights = Rights(0);
    /// `l`: the mailbox is listed.
    pub const LOOKUP: Rights = Rights(1);
    /// `r`: it may be read.
    pub const READ: Rights = Rights(1 << 1);
    /// `s`: `\Seen` may be changed.
    pub const SEEN: Rights = Rights(1 << 2);
    /// `w`: other flags may be changed, but for `\Deleted`.
    pub const WRITE: Rights = Rights(1 << 3);
    /// `i`: messages may be put into it.
    pub const INSERT: Rights = Rights(1 << 4);
    /// `p`: mail may be sent to it; not IMAP's to enforce.
    pub const POST: Rights = Rights(1 << 5);
    /// `k`: mailboxes may be made below it.
    pub const CREATE: Rights = Rights(1 << 6);
    /// `x`: it may be deleted and renamed.
    pub const DELETE: Rights = Rights(1 << 7);
    /// `t`: `\Deleted` may be changed.
    pub const MARK: Rights = Rights(1 << 8);
    /// `e`: what is marked as deleted may be removed.
    pub const EXPUNGE: Rights = Rights(1 << 9);
    /// `a`: this list may be seen and changed.
    pub const ADMINISTER: Rights = Rights(1 << 10);
    /// All of them.
    pub const ALL: Rights = Rights((1 << 11) - 1);
    /// Those that change something in the mailbox: without any of them it is selected READ-ONLY (RFC 4314 §5.2).
    pub const CHANGING: Rights =
        Rights(Rights::SEEN.0 | Rights::WRITE.0 | Rights::INSERT.0 | Rights::MARK.0 | Rights::EXPUNGE.0);

    /// The rights with their letters, in the order in which they are shown.
    const LETTERS: [(char, Rights); 13] = [
        ('l', Rights::LOOKUP),
        ('r', Rights::READ),
        ('s', Rights::SEEN),
        ('w', Rights::WRITE),
        ('i', Rights::INSERT),
        ('p', Rights::POST),
        ('k', Rights::CREATE),
        ('x', Rights::DELETE),
        ('t', Rights::MARK),
        ('e', Rights::EXPUNGE),
        // RFC 4314 §2.1.1: the two obsolete ones, as groups of today's.
        ('c', Rights(Rights::CREATE.0 | Rights::DELETE.0)),
        ('d', Rights(Rights::MARK.0 | Rights::EXPUNGE.0)),
        ('a', Rights::ADMINISTER),
    ];

    /// Reads letters; `None` when one of them is no right (RFC 4314 §3.1).
    pub fn parse(letters: &str) -> Option<Rights> {
        let right =
            |letter: char| Rights::LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, rights)| *rights);
        letters.chars().try_fold(Rights::NONE, |rights, letter| Some(rights.union(right(letter)?)))
    }

    /// The letters of all rights, each for itself, as LISTRIGHTS tells them.
    pub fn letters() -> impl Iterator<Item = String> {
        Rights::LETTERS.iter().map(|(letter, _)| letter.to_string())
    }

    /// All of these rights.
    pub fn holds(self, wanted: Rights) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// At least one of these rights.
    pub fn has_any(self, wanted: Rights) -> bool {
        self.0 & wanted.0 != 0
    }

    /// No rights at all.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of both.
    pub fn union(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }

    /// Those that the other has not.
    pub fn minus(self, other: Rights) -> Rights {
        Rights(self.0 & !other.0)
    }

    /// The flags that may be changed, as a mask (RFC 4314 §4).
    pub fn flags(self) -> Flags {
        let mut mask = if self.holds(Rights::WRITE) { Flags::ALL } else { Flags::NONE };
        for (flag, right) in [(System::Seen, Rights::SEEN), (System::Deleted, Rights::MARK)] {
            mask = mask.minus(Flags::NONE.with(flag));
            if self.holds(right) {
                mask = mask.with(flag);
            }
        }
        mask
    }

    /// Without the obsolete letters: what is kept.
    fn kept(self) -> String {
        let is_own = |letter: &char| !matches!(letter, 'c' | 'd');
        Rights::LETTERS.iter().filter(|(l, r)| is_own(l) && self.holds(*r)).map(|(l, _)| *l).collect()
    }
}

/// The letters, `c` and `d` among them when one of their members is there (RFC 4314 §2.1.1).
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = Rights::LETTERS.iter().filter(|(_, r)| self.has_any(*r)).map(|(l, _)| *l).collect();
        f.write_str(&shown)
    }
}

/// Who is meant by a line of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identifier {
    /// One account, by its address in lower case.
    Account(Address),
    /// Every account of the domain that the mailbox belongs to.
    Anyone,
}

/// An identifier, and whether its rights are given or taken away (RFC 4314 §2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Who.
    pub identifier: Identifier,
    /// `-name`: the rights are taken away.
    pub is_negative: bool,
}

impl Subject {
    /// Reads what a client or an administrator wrote; a name without a domain is of this one. `None` when it is no identifier.
    pub fn parse(text: &str, domain: &str) -> Option<Subject> {
        let (is_negative, name) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let identifier = if name.eq_ignore_ascii_case(ANYONE) || name.eq_ignore_ascii_case(AUTHENTICATED) {
            Identifier::Anyone
        } else {
            let address = if name.contains('@') { Address::parse(name) } else { Address::new(name, domain) };
            let address = address.ok()?.to_key();
            // Its dash would be read as another one's.
            if address.local().starts_with('-') {
                return None;
            }
            Identifier::Account(address)
        };
        Some(Subject { identifier, is_negative })
    }

    /// The line's first word.
    fn word(&self) -> String {
        let name = match &self.identifier {
            Identifier::Account(address) => fields::encode(&address.to_string()),
            Identifier::Anyone => ANYONE.to_string(),
        };
        if self.is_negative { format!("-{name}") } else { name }
    }
}

/// The identifier as it is shown: an account's whole address.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_negative { "-" } else { "" })?;
        match &self.identifier {
            Identifier::Account(address) => address.fmt(f),
            Identifier::Anyone => f.write_str(ANYONE),
        }
    }
}

/// What SETACL does to an identifier's rights (RFC 4314 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclChange {
    /// It has these, and no others.
    Replace(Rights),
    /// It has these, too.
    Add(Rights),
    /// It has these no more.
    Remove(Rights),
}

/// As SETACL has it.
impl fmt::Display for AclChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AclChange::Replace(rights) => rights.fmt(f),
            AclChange::Add(rights) => write!(f, "+{rights}"),
            AclChange::Remove(rights) => write!(f, "-{rights}"),
        }
    }
}

/// How much of a list's text could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Whole,
    /// A line that took rights away is damaged.
    Closed,
    /// The text is of a newer version.
    Newer,
}

/// Who has which rights on a mailbox, its owner apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acl {
    entries: BTreeMap<Subject, Rights>,
    state: State,
}

impl Acl {
    /// A list that gives these rights to everybody of the domain.
    pub fn to_anyone(rights: Rights) -> Acl {
        let anyone = Subject { identifier: Identifier::Anyone, is_negative: false };
        Acl { entries: [(anyone, rights)].into(), state: State::Whole }
    }

    /// A list that gives nothing to anybody, because it can't be read.
    pub fn closed() -> Acl {
        Acl { entries: BTreeMap::new(), state: State::Closed }
    }

    /// The identifiers with their rights.
    pub fn entries(&self) -> impl Iterator<Item = (&Subject, Rights)> {
        self.entries.iter().map(|(subject, rights)| (subject, *rights))
    }

    /// True when a newer program wrote it: it must be left alone.
    pub fn is_newer(&self) -> bool {
        self.state == State::Newer
    }

    /// The rights of an account: what all lines that mean it give, without what they take away. `is_neighbour` says that it is of the
    /// domain that the mailbox belongs to.
    pub fn rights(&self, who: &Address, is_neighbour: bool) -> Rights {
        if self.state != State::Whole {
            return Rights::NONE;
        }
        let (mut given, mut taken) = (Rights::NONE, Rights::NONE);
        for (subject, rights) in &self.entries {
            let is_meant = match &subject.identifier {
                Identifier::Account(address) => address == who,
                Identifier::Anyone => is_neighbour,
            };
            match (is_meant, subject.is_negative) {
                (true, false) => given = given.union(*rights),
                (true, true) => taken = taken.union(*rights),
                (false, _) => {}
            }
        }
        given.minus(taken)
    }

    /// True when the identifier is given anything.
    pub fn names(&self, identifier: &Identifier) -> bool {
        self.entries.keys().any(|subject| !subject.is_negative && subject.identifier == *identifier)
    }

    /// Changes one identifier's rights. False when there is no room for another one, and nothing has changed.
    ///
    /// What was damaged is gone then: only the owner, who has seen the rest, can change such a list.
    pub fn change(&mut self, subject: &Subject, change: AclChange) -> bool {
        let before = self.entries.get(subject).copied().unwrap_or_default();
        let after = match change {
            AclChange::Replace(rights) => rights,
            AclChange::Add(rights) => before.union(rights),
            AclChange::Remove(rights) => before.minus(rights),
        };
        if after.is_empty() {
            self.entries.remove(subject);
        } else if self.entries.len() >= ACL_LIMIT && !self.entries.contains_key(subject) {
            return false;
        } else {
            self.entries.insert(subject.clone(), after);
        }
        self.state = State::Whole;
        true
    }

    /// Its text.
    pub fn print(&self) -> String {
        let mut text = format!("{HEADER}\n");
        for (subject, rights) in &self.entries {
            text.push_str(&format!("{} {}\n", subject.word(), rights.kept()));
        }
        text
    }

    /// Reads a text; with the numbers of the lines that could not be read.
    pub fn parse(text: &[u8]) -> (Acl, Vec<usize>) {
        let mut acl = Acl::default();
        let mut damaged = Vec::new();
        for (index, line) in crate::line::lines(text).enumerate() {
            let words = std::str::from_utf8(line);
            if index == 0 {
                acl.state = match words {
                    Ok(HEADER) => continue,
                    Ok(header) if header.starts_with(FAMILY) => State::Newer,
                    _ => State::Closed,
                };
                return (acl, vec![1]);
            }
            match words.ok().and_then(entry) {
                Some((subject, rights)) => {
                    let all = acl.entries.entry(subject).or_default();
                    *all = all.union(rights);
                }
                None if line.is_empty() || line.starts_with(b"#") => {}
                None => {
                    damaged.push(index + 1);
                    if line.trim_ascii_start().starts_with(b"-") {
                        acl.state = State::Closed;
                    }
                }
            }
        }
        if text.is_empty() {
            return (Acl::closed(), vec![1]);
        }
        (acl, damaged)
    }
}

fn entry(line: &str) -> Option<(Subject, Rights)> {
    let (word, letters) = line.split_once(' ')?;
    let name = fields::decode(word.strip_prefix('-').unwrap_or(word))?;
    // A name without a domain would be of whichever one reads it.
    if name != ANYONE && !name.contains('@') {
        return None;
    }
    let is_negative = word.starts_with('-');
    let subject = Subject { is_negative, ..Subject::parse(&name, "").filter(|subject| !subject.is_negative)? };
    Some((subject, Rights::parse(letters).filter(|rights| !rights.is_empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn letters_and_their_groups() {
        for (text, shown) in [
            ("", ""),
            ("lrswida", "lrswiteda"),
            ("lrswikda", "lrswiktecda"),
            ("c", "kxc"),
            ("x", "xc"),
            ("t", "td"),
            ("lrswipkxtea", "lrswipkxtecda"),
            ("rrll", "lr"),
        ] {
            assert_eq!(Rights::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for bad in ["q", "L", "lr ", "0", "é"] {
            assert_eq!(Rights::parse(bad), None, "{bad}");
        }
        assert_eq!(Rights::parse("lrswipkxtea"), Some(Rights::ALL));
        assert_eq!(Rights::letters().collect::<String>(), "lrswipkxtecda");
    }

    #[test]
    fn flags_have_three_rights() {
        for (letters, system, has_keywords) in
            [("s", 8, false), ("t", 4, false), ("w", 19, true), ("swt", 31, true), ("lrie", 0, false)]
        {
            let mask = Rights::parse(letters).unwrap().flags();
            assert_eq!((mask.system, mask.keywords != 0), (system, has_keywords), "{letters}");
        }
    }

    #[test]
    fn identifiers_are_accounts_or_anyone() {
        for (text, shown) in [
            ("bob", "bob@d.test"),
            ("BOB", "bob@d.test"),
            ("bob@other.test", "bob@other.test"),
            ("-bob", "-bob@d.test"),
            ("Anyone", "anyone"),
            ("-authenticated", "-anyone"),
            ("anyone@d.test", "anyone@d.test"),
            ("../../etc", "\"../../etc\"@d.test"),
        ] {
            assert_eq!(Subject::parse(text, "d.test").unwrap().to_string(), shown, "{text}");
        }
        for bad in ["", "-", "a\nb", "\"-x\"@d.test", "--x", "a@b@c", "x@", "@d.test", "a@../x", &"x".repeat(65)] {
            assert_eq!(Subject::parse(bad, "d.test"), None, "{bad:?}");
        }
    }

    #[test]
    fn rights_are_given_and_taken() {
        let (acl, damaged) = Acl::parse(b"em-acl 1\nbob@d.test lrs\nanyone lrw\n-bob@d.test w\n-anyone r\n");
        assert!(damaged.is_empty());
        let rights = |who: &str, is_neighbour| acl.rights(&address(who), is_neighbour).to_string();
        assert_eq!(rights("bob@d.test", true), "ls");
        assert_eq!(rights("carol@d.test", true), "lw");
        assert_eq!(rights("carol@e.test", false), "");
        assert_eq!(rights("bob@d.testx", false), "");
    }

    #[test]
    fn what_is_damaged_gives_nothing() {
        let bob = |text: &str| {
            let (acl, damaged) = Acl::parse(text.as_bytes());
            (acl.rights(&address("bob@d.test"), true).to_string(), damaged)
        };
        for (text, rights, damaged) in [
            ("em-acl 1\n", "", vec![]),
            ("em-acl 1\nbob@d.test lr", "lr", vec![]),
            ("em-acl 1\n# note\n\nbob@d.test lr\n", "lr", vec![]),
            ("em-acl 1\nbob@d.test lrQ\nanyone l\n", "l", vec![2]),
            ("em-acl 1\nbob lr\n", "", vec![2]),
            ("em-acl 1\nbob@d.test\n", "", vec![2]),
            ("em-acl 1\nbob@d.test  lr\n", "", vec![2]),
            ("em-acl 1\n bob@d.test lr\n", "", vec![2]),
            ("em-acl 1\nanyone lrw\n-bob@d.test w%\n", "", vec![3]),
            ("em-acl 1\nanyone lrw\n -bob@d.test w\n", "", vec![3]),
            ("em-acl 1\nbob@d.test lr\n-%zz w\n", "", vec![3]),
            ("em-acl 1\nauthenticated lr\n", "", vec![2]),
            ("em-acl 1\n--bob@d.test lr\n", "", vec![2]),
            ("em-acl 2\nbob@d.test lr\n", "", vec![1]),
            ("bob@d.test lr\n", "", vec![1]),
            ("", "", vec![1]),
        ] {
            assert_eq!(bob(text), (rights.to_string(), damaged), "{text:?}");
        }
        assert!(Acl::parse(b"em-acl 2\n").0.is_newer() && !Acl::parse(b"x\n").0.is_newer());
        let (mut acl, _) = Acl::parse(b"em-acl 1\nanyone lr\n-bob@ w\n");
        assert!(acl.change(&Subject::parse("carol@d.test", "").unwrap(), AclChange::Add(Rights::READ)));
        assert_eq!(acl.print(), "em-acl 1\ncarol@d.test r\nanyone lr\n");
    }

    #[test]
    fn changes_and_their_limit() {
        let mut acl = Acl::default();
        let bob = Subject::parse("bob", "d.test").unwrap();
        let steps = [
            (AclChange::Replace(Rights::parse("lrs").unwrap()), "lrs"),
            (AclChange::Add(Rights::parse("d").unwrap()), "lrsted"),
            (AclChange::Remove(Rights::parse("te").unwrap()), "lrs"),
            (AclChange::Remove(Rights::parse("lrswa").unwrap()), ""),
        ];
        for (change, shown) in steps {
            assert!(acl.change(&bob, change));
            assert_eq!(acl.rights(&address("bob@d.test"), true).to_string(), shown);
        }
        assert_eq!(acl, Acl::default());
        let some = AclChange::Add(Rights::READ);
        for number in 0..ACL_LIMIT {
            assert!(acl.change(&Subject::parse(&format!("u{number}"), "d.test").unwrap(), some));
        }
        assert!(!acl.change(&bob, some) && !acl.names(&bob.identifier));
        assert!(acl.change(&Subject::parse("u7", "d.test").unwrap(), AclChange::Add(Rights::LOOKUP)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Acl::parse(&text);
            let _ = Acl::parse(&[b"em-acl 1\n", text.as_slice()].concat());
        }

        #[test]
        fn lists_are_read_as_they_were_written(names in proptest::collection::vec("[a-z -]?[^@\\p{Cc}]{0,6}", 1..6), bits in 1u16..2048) {
            let mut acl = Acl::default();
            for name in &names {
                if let Some(subject) = Subject::parse(name, "d.test") {
                    acl.change(&subject, AclChange::Add(Rights(bits)));
                }
            }
            let (read, damaged) = Acl::parse(acl.print().as_bytes());
            prop_assert_eq!(read, acl);
            prop_assert!(damaged.is_empty());
        }
    }
}
