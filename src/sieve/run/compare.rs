//! Values against keys, by the match type of a test.
//!
//! RFC 5228 §2.7, RFC 5231.

use super::super::fault::SieveError;
use super::super::matching::{self, Comparator, How};
use super::super::tree::Node;
use super::{Run, World};
use std::borrow::Cow;

/// A regular expression looks at so much of a value, in octets.
const EXPRESSION_WINDOW: usize = 1 << 20;

impl Run<'_> {
    /// True when one of the values matches one of the keys.
    pub(super) fn any_match(&mut self, node: &Node, values: &[String], world: &World) -> Result<bool, SieveError> {
        let Some(matching) = &node.matching else { return Ok(false) };
        let keys: Vec<Cow<str>> = node.keys().iter().map(|key| self.expand(key)).collect();
        if let How::Count(relation) = matching.how {
            return Ok(keys.iter().any(|key| matching::count(relation, matching.comparator, values.len(), key)));
        }
        let mut built = Vec::new();
        if matching.how == How::Regex {
            for (at, key) in keys.iter().enumerate() {
                built.push(match matching.expressions.get(at) {
                    Some(Some(expression)) => Cow::Borrowed(expression),
                    _ => {
                        self.charge(1000, node, world)?;
                        let built = matching::expression(key, matching.comparator);
                        Cow::Owned(built.map_err(|wrong| node.place.error(format!("expression: {wrong}")))?)
                    }
                });
            }
        }
        let is_folded = matching.how == How::Contains && matching.comparator == Comparator::Casemap;
        // Large texts are folded once, whatever the number of keys.
        let keys: Vec<Cow<str>> = match is_folded {
            true => keys.into_iter().map(|key| Cow::Owned(key.to_ascii_lowercase())).collect(),
            false => keys,
        };
        let mut found = Vec::new();
        for value in values {
            let folded = is_folded.then(|| value.to_ascii_lowercase());
            for (at, key) in keys.iter().enumerate() {
                let is_match = match (matching.how, built.get(at)) {
                    (How::Regex, Some(expression)) => {
                        self.charge(1 + value.len() as u64 / 100, node, world)?;
                        let window = &value[..value.floor_char_boundary(EXPRESSION_WINDOW)];
                        matching::search(expression, window, &mut found)
                    }
                    (how, _) => {
                        self.charge(1 + value.len() as u64 / 1000, node, world)?;
                        if how == How::Matches {
                            self.charge_product(value.len(), key.len(), node, world)?;
                        }
                        match &folded {
                            Some(folded) => folded.contains(&**key),
                            None => matching::compare(how, matching.comparator, value, key, &mut found),
                        }
                    }
                };
                if is_match {
                    if matches!(matching.how, How::Matches | How::Regex) {
                        self.keep_matched(found);
                    }
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
