//! A script that has been checked: what the interpreter walks over.

use super::fault::Place;
use super::matching::{Comparator, How};
use super::text::Text;
use super::vocabulary::Kind;
use regex::Regex;

/// The value of an argument.
#[derive(Debug, Clone)]
pub enum Value {
    /// A tag that takes nothing.
    Set,
    /// A number.
    Number(u64),
    /// One string or more.
    Texts(Box<[Text]>),
}

/// How a test compares.
#[derive(Debug, Clone)]
pub struct Matching {
    /// The match type.
    pub how: How,
    /// The comparator.
    pub comparator: Comparator,
    /// The keys' expressions; `None` for one that has variables in it.
    pub expressions: Vec<Option<Regex>>,
}

/// A command or a test.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its meaning.
    pub kind: Kind,
    /// Its name, or, for [`Kind::Unknown`], what is wrong with it.
    pub name: Box<str>,
    /// Where it stands.
    pub place: Place,
    /// Its tags.
    pub tags: Vec<(&'static str, Value)>,
    /// Its positional arguments; one that was left out is `None`.
    pub arguments: Vec<Option<Value>>,
    /// Its tests.
    pub tests: Vec<Node>,
    /// Its block.
    pub block: Vec<Node>,
    /// How it compares, for those that do.
    pub matching: Option<Matching>,
}

impl Node {
    /// True when the tag is there.
    pub fn has(&self, tag: &str) -> bool {
        self.tags.iter().any(|(name, _)| *name == tag)
    }

    /// The number behind a tag.
    pub fn number(&self, tag: &str) -> Option<u64> {
        self.tags.iter().find(|(name, _)| *name == tag).and_then(|(_, value)| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        })
    }

    /// The strings behind a tag.
    pub fn tagged(&self, tag: &str) -> Option<&[Text]> {
        self.tags.iter().find(|(name, _)| *name == tag).and_then(|(_, value)| match value {
            Value::Texts(texts) => Some(&**texts),
            _ => None,
        })
    }

    /// The strings of a positional argument; none when it was left out.
    pub fn texts(&self, argument: usize) -> &[Text] {
        match self.arguments.get(argument) {
            Some(Some(Value::Texts(texts))) => texts,
            _ => &[],
        }
    }

    /// The keys of a test that compares: its last argument.
    pub fn keys(&self) -> &[Text] {
        self.texts(self.arguments.len().saturating_sub(1))
    }

    /// Calls `see` for this node and all inside.
    pub fn walk(&self, see: &mut impl FnMut(&Node)) {
        see(self);
        self.tests.iter().chain(&self.block).for_each(|node| node.walk(see));
    }
}
