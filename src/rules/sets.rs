//! Rule sets: their numbers and names.

use super::names::ByName;
use super::rule::Rule;

/// Numbers below this are the file's to give.
pub const NUMBER_LIMIT: usize = 100;
/// Names without a number get one from here downward.
const TOP: usize = 2 * NUMBER_LIMIT;

/// All rule sets of a file.
#[derive(Debug, Clone)]
pub struct Sets {
    rules: Vec<Vec<Rule>>,
    names: ByName<usize>,
    /// The last name a set with rules was given, or its number.
    shown: Vec<Option<Box<str>>>,
    next: usize,
}

impl Default for Sets {
    fn default() -> Sets {
        Sets { rules: vec![Vec::new(); TOP], names: ByName::default(), shown: vec![None; TOP], next: TOP }
    }
}

impl Sets {
    /// The rules of a set; none for a number out of range.
    pub fn rules(&self, set: usize) -> &[Rule] {
        self.rules.get(set).map_or(&[], |rules| rules)
    }

    /// The rules of all sets.
    pub fn all(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().flatten()
    }

    /// Appends a rule.
    pub fn push(&mut self, set: usize, rule: Rule) {
        if let (Some(rules), Some(shown)) = (self.rules.get_mut(set), self.shown.get_mut(set)) {
            rules.push(rule);
            // Whoever calls the set names it.
            shown.get_or_insert_with(|| set.to_string().into());
        }
    }

    /// The last name a set was given, or its number.
    pub fn name(&self, set: usize) -> std::borrow::Cow<'_, str> {
        let given = self.shown.get(set).and_then(Option::as_deref);
        given.map_or_else(|| set.to_string().into(), Into::into)
    }

    /// A set by name or number; the error is the model's text, empty for a name nobody gave.
    pub fn find(&self, text: &[u8]) -> Result<usize, String> {
        match word(text)? {
            Word::Number(number) => Ok(number),
            Word::Name(name, _) => self.names.get(name).copied().ok_or_else(String::new),
        }
    }

    /// A set by name or number; `name=number` binds, a new name gets a number.
    pub fn enter(&mut self, text: &[u8]) -> Result<usize, String> {
        let (name, rest) = match word(text)? {
            Word::Number(number) => return Ok(number),
            Word::Name(name, rest) => (name, rest),
        };
        let shown = String::from_utf8_lossy(name).into();
        // Messages show the whole definition.
        let said = String::from_utf8_lossy(text.trim_ascii_start()).into_owned();
        let old = self.names.get(name).copied();
        let number = match (rest.strip_prefix(b"="), old) {
            (Some(number), _) => {
                let digits = number.trim_ascii_start();
                let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
                let Ok(number) = String::from_utf8_lossy(&digits[..length]).parse::<usize>() else {
                    return Err(format!("bad ruleset definition \"{said}\" (number required after `=')"));
                };
                if number >= NUMBER_LIMIT {
                    return Err(format!("bad ruleset number {number} in \"{said}\" ({NUMBER_LIMIT} max)"));
                }
                number
            }
            (None, Some(old)) => old,
            (None, None) if self.next == NUMBER_LIMIT => {
                return Err(format!("{said}: too many named rulesets ({NUMBER_LIMIT} max)"));
            }
            (None, None) => {
                self.next -= 1;
                self.next
            }
        };
        if let Some(old) = old.filter(|old| *old != number) {
            return Err(format!("{said}: ruleset changed value (old {old}, new {number})"));
        }
        self.names.insert(name.into(), number);
        self.shown[number] = Some(shown);
        Ok(number)
    }
}

enum Word<'a> {
    Number(usize),
    /// A name, and what stands behind it and blanks.
    Name(&'a [u8], &'a [u8]),
}

fn word(text: &[u8]) -> Result<Word<'_>, String> {
    let text = text.trim_ascii_start();
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits > 0 {
        let number = String::from_utf8_lossy(&text[..digits]).parse::<usize>().unwrap_or(usize::MAX);
        return match number < NUMBER_LIMIT {
            true => Ok(Word::Number(number)),
            false => Err(format!("bad ruleset {number} ({NUMBER_LIMIT} max)")),
        };
    }
    let length = text.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
    if length == 0 || !text[0].is_ascii_alphabetic() {
        let shown: String = String::from_utf8_lossy(text).chars().take(20).collect();
        return Err(format!("invalid ruleset name: \"{shown}\""));
    }
    Ok(Word::Name(&text[..length], text[length..].trim_ascii_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_bound() {
        let mut sets = Sets::default();
        assert_eq!(sets.enter(b"canonify=3"), Ok(3));
        assert_eq!(sets.enter(b"foo"), Ok(199));
        assert_eq!(sets.enter(b"bar comment"), Ok(198));
        assert_eq!(sets.enter(b"foo"), Ok(199));
        assert_eq!(sets.find(b"canonify,x"), Ok(3));
        assert_eq!(sets.name(3), "canonify");
        assert_eq!(sets.name(7), "7");
        assert_eq!(sets.find(b"nobody"), Err(String::new()));
        let table: &[(&[u8], &str)] = &[
            (b"500", "bad ruleset 500 (100 max)"),
            (b"x=500", "bad ruleset number 500 in \"x=500\" (100 max)"),
            (b"canonify=4", "canonify=4: ruleset changed value (old 3, new 4)"),
            (b"", "invalid ruleset name: \"\""),
            (b"_x", "invalid ruleset name: \"_x\""),
        ];
        for (text, said) in table {
            assert_eq!(sets.enter(text), Err(said.to_string()));
        }
    }
}
