//! Macros and classes.
//!
//! Macros have two layers: what the file set, and what belongs to the message in work (also `.D` of `-bt` and the map `macro`), which hides
//! the first while it is there. Names are in inner form: one byte, or long in braces.

use super::names::{ByName, Names};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Something that knows macros.
pub trait Values {
    /// The value, unexpanded; `None` when undefined.
    fn value(&self, name: &[u8]) -> Option<&[u8]>;
}

/// One layer of macros. A clone shares them until one of the two is changed.
#[derive(Debug, Clone, Default)]
pub struct Macros {
    values: Option<Arc<ByName<Box<[u8]>>>>,
}

impl PartialEq for Macros {
    fn eq(&self, other: &Macros) -> bool {
        match (&self.values, &other.values) {
            (Some(own), Some(others)) => Arc::ptr_eq(own, others) || own == others,
            (None, None) => true,
            (Some(some), None) | (None, Some(some)) => some.is_empty(),
        }
    }
}

impl Macros {
    /// None yet, with room for so many.
    pub fn with_room(count: usize) -> Macros {
        Macros { values: Some(Arc::new(ByName::with_capacity_and_hasher(count, Default::default()))) }
    }

    /// Defines or redefines.
    pub fn set(&mut self, name: &[u8], value: Vec<u8>) {
        Arc::make_mut(self.values.get_or_insert_default()).insert(name.into(), value.into());
    }

    /// Makes it undefined.
    pub fn unset(&mut self, name: &[u8]) {
        if let Some(values) = self.values.as_mut().filter(|values| values.contains_key(name)) {
            Arc::make_mut(values).remove(name);
        }
    }
}

impl Values for Macros {
    fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.values.as_ref()?.get(name).map(|value| &value[..])
    }
}

/// Two layers seen as one.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// What belongs to the message.
    pub message: &'a Macros,
    /// What the file set.
    pub file: &'a Macros,
}

impl Values for Layers<'_> {
    fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.message.value(name).or_else(|| self.file.value(name))
    }
}

/// Number of a class.
pub type ClassId = usize;

/// All classes.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    ids: ByName<ClassId>,
    members: Vec<Members>,
}

#[derive(Debug, Clone, Default)]
struct Members {
    /// In lower case.
    folded: Names,
    /// As written, in the order of their bytes, for listings.
    written: BTreeSet<Box<[u8]>>,
    longest: usize,
}

impl Classes {
    /// The number of a class, which is made when it is new.
    pub fn id(&mut self, name: &[u8]) -> ClassId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        self.members.push(Members::default());
        self.ids.insert(name.into(), self.members.len() - 1);
        self.members.len() - 1
    }

    /// Adds a member.
    pub fn add(&mut self, name: &[u8], member: &[u8]) {
        let id = self.id(name);
        let members = &mut self.members[id];
        if members.folded.insert(member.to_ascii_lowercase().into()) {
            members.written.insert(member.into());
            members.longest = members.longest.max(member.len());
        }
    }

    /// True when the text is a member, without regard to case.
    pub fn has(&self, id: ClassId, text: &[u8]) -> bool {
        let members = &self.members[id];
        if text.len() > members.longest || members.folded.is_empty() {
            return false;
        }
        match text.iter().any(u8::is_ascii_uppercase) {
            true => members.folded.contains(&text.to_ascii_lowercase()[..]),
            false => members.folded.contains(text),
        }
    }

    /// True when the text is a member of any class.
    pub fn any_has(&self, text: &[u8]) -> bool {
        (0..self.members.len()).any(|id| self.has(id, text))
    }

    /// Length of the longest member, in octets: longer texts are no members.
    pub fn longest(&self, id: ClassId) -> usize {
        self.members[id].longest
    }

    /// The members of a class as they were written, in the order of their bytes.
    pub fn members(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let members = self.ids.get(name).map(|id| &self.members[*id]);
        members.into_iter().flat_map(|m| m.written.iter().map(|w| &w[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_hides_the_file() {
        let (mut file, mut message) = (Macros::default(), Macros::default());
        file.set(b"x", b"old".to_vec());
        message.set(b"x", b"new".to_vec());
        assert_eq!(Layers { message: &message, file: &file }.value(b"x"), Some(&b"new"[..]));
        message.unset(b"x");
        assert_eq!(Layers { message: &message, file: &file }.value(b"x"), Some(&b"old"[..]));
        assert_eq!(Layers { message: &message, file: &file }.value(b"y"), None);
        let mut other = file.clone();
        other.set(b"x", b"other".to_vec());
        other.unset(b"z");
        assert_eq!((file.value(b"x"), other.value(b"x")), (Some(&b"old"[..]), Some(&b"other"[..])));
        other.unset(b"x");
        assert_eq!((file.value(b"x"), other.value(b"x")), (Some(&b"old"[..]), None));
    }

    #[test]
    fn classes_know_no_case() {
        let mut classes = Classes::default();
        classes.add(b"w", b"Mail.Example");
        classes.add(b"w", b"mail.example");
        let id = classes.id(b"w");
        assert!(classes.has(id, b"MAIL.example") && !classes.has(id, b"mail"));
        assert_eq!(classes.members(b"w").collect::<Vec<_>>(), [b"Mail.Example"]);
        let empty = classes.id(b"q");
        assert!(!classes.has(empty, b""));
    }
}
