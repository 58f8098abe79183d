//! Gives a script's phrases their meaning and finds what is wrong with them before they ever run.
//!
//! Called by [`super::compile`]. One error a command is reported, and checking goes on, so that an author sees several at once.
//! After a `require "ihave"`, what we don't have is an error only when it is reached (RFC 5463 §4).

use super::constants;
use super::fault::{Place, SieveError};
use super::grammar::{Argument, Phrase};
use super::matching::{self, Comparator, How, Relation};
use super::text::{self, Text};
use super::tree::{Matching, Node, Value};
use super::vocabulary::{self, Kind, MATCH_TYPE, Row, TagRow, Takes, Tests};
use std::collections::BTreeSet;

/// Extensions that change how strings read.
pub const LEXICAL: &[&str] = &["encoded-character", "variables"];
/// Expressions of a script that are compiled before it runs: each may take a megabyte.
const EXPRESSIONS_LIMIT: usize = 100;
/// So many errors are reported.
const ERROR_LIMIT: usize = 20;

/// Checks all commands of a script.
pub fn check(phrases: &[Phrase]) -> Result<Vec<Node>, Vec<SieveError>> {
    let mut checker = Checker::default();
    let nodes = checker.commands(phrases);
    if checker.errors.is_empty() { Ok(nodes) } else { Err(checker.errors) }
}

#[derive(Default)]
struct Checker {
    required: BTreeSet<&'static str>,
    errors: Vec<SieveError>,
    /// A command other than `require` has been seen.
    has_begun: bool,
    /// Names of the loops around; empty for one without.
    loops: Vec<String>,
    /// Expressions so far.
    expressions: usize,
}

/// Tags and positional arguments.
type Arguments = (Vec<(&'static str, Value)>, Vec<Option<Value>>);

/// What may become an error of the running script instead.
enum Wrong {
    /// We don't have it, or it was not required.
    Missing(SieveError),
    Fatal(SieveError),
}

impl From<SieveError> for Wrong {
    fn from(error: SieveError) -> Wrong {
        Wrong::Fatal(error)
    }
}

impl Checker {
    fn has(&self, extension: &str) -> bool {
        self.required.contains(extension)
    }

    fn commands(&mut self, phrases: &[Phrase]) -> Vec<Node> {
        let mut nodes: Vec<Node> = Vec::with_capacity(phrases.len());
        for phrase in phrases {
            if self.errors.len() >= ERROR_LIMIT {
                break;
            }
            let before = nodes.last().map(|node| node.kind);
            match self.phrase(phrase, false, before) {
                Ok(node) if node.kind == Kind::Require => {}
                Ok(node) => nodes.push(node),
                Err(error) => self.errors.push(error),
            }
        }
        nodes
    }

    fn phrase(&mut self, phrase: &Phrase, is_test: bool, before: Option<Kind>) -> Result<Node, SieveError> {
        match self.known(phrase, is_test, before) {
            Ok(node) => Ok(node),
            Err(Wrong::Missing(error)) if self.has("ihave") => Ok(unknown(&error)),
            Err(Wrong::Missing(error) | Wrong::Fatal(error)) => Err(error),
        }
    }

    fn known(&mut self, phrase: &Phrase, is_test: bool, before: Option<Kind>) -> Result<Node, Wrong> {
        let (name, place) = (&phrase.name, phrase.place);
        let Some(row) = vocabulary::row(name, is_test) else {
            let (is, other) = if is_test { ("command", "test") } else { ("test", "command") };
            return match vocabulary::row(name, !is_test) {
                Some(_) => Err(place.error(format!("'{name}' is a {is} and can't be used as a {other}")).into()),
                None => Err(Wrong::Missing(place.error(format!("unknown {other} '{name}'")))),
            };
        };
        if let Some(needed) = row.needs.first()
            && !row.needs.iter().any(|needed| self.has(needed))
        {
            return Err(Wrong::Missing(place.error(format!("'{name}' needs require \"{needed}\""))));
        }
        self.order(row, place, before)?;
        let (tags, arguments) = self.arguments(phrase, row)?;
        let mut node = Node {
            kind: row.kind,
            name: name.as_str().into(),
            place,
            tags,
            arguments,
            tests: Vec::new(),
            block: Vec::new(),
            matching: None,
        };
        if row.tags.iter().any(|tags| tags.iter().any(|tag| tag.group == MATCH_TYPE)) {
            node.matching = Some(self.matching(&node)?);
        }
        constants::check(&node)?;
        self.surroundings(&node)?;
        node.tests = self.tests(phrase, row)?;
        if row.kind == Kind::Ihave {
            self.enable(&mut node);
        }
        node.block = self.block(phrase, row, &node)?;
        Ok(node)
    }

    /// `require` comes first, and each `else` has its `if` (RFC 5228 §3.1, §3.2).
    fn order(&mut self, row: &Row, place: Place, before: Option<Kind>) -> Result<(), SieveError> {
        match row.kind {
            Kind::Require if self.has_begun => Err(place.error("'require' stands before all other commands")),
            Kind::Require => Ok(()),
            Kind::Elsif | Kind::Else if !matches!(before, Some(Kind::If | Kind::Elsif)) => {
                Err(place.error(format!("'{}' without an 'if' before it", row.name)))
            }
            #[cfg(test)]
            Kind::Suite => Ok(()),
            _ => {
                self.has_begun = true;
                Ok(())
            }
        }
    }

    fn arguments(&mut self, phrase: &Phrase, row: &'static Row) -> Result<Arguments, Wrong> {
        let name = row.name;
        let mut tags: Vec<(&'static TagRow, Value)> = Vec::new();
        let mut given: Vec<(&Argument, Place)> = Vec::new();
        let mut rest = phrase.arguments.iter();
        while let Some((argument, place)) = rest.next() {
            let Argument::Tag(tag) = argument else {
                given.push((argument, *place));
                continue;
            };
            if !given.is_empty() {
                return Err(place
                    .error(format!("':{tag}' stands behind the arguments of '{name}', not before"))
                    .into());
            }
            let tag = self.tag(row, tag, *place)?;
            if let Some((rival, _)) =
                tags.iter().find(|(t, _)| t.name == tag.name || (!t.group.is_empty() && t.group == tag.group))
            {
                let what = match tag.group {
                    _ if rival.name == tag.name => format!("':{}' is given twice", tag.name),
                    group => format!("':{}' and ':{}': '{name}' takes one {group}", rival.name, tag.name),
                };
                return Err(place.error(what).into());
            }
            let value = match tag.takes {
                None => Value::Set,
                Some(takes) => match rest.next() {
                    Some((argument, place)) => self.value(argument, *place, takes, &format!(":{}", tag.name))?,
                    None => return Err(place.error(format!("':{}' takes {}", tag.name, noun(takes))).into()),
                },
            };
            tags.push((tag, value));
        }
        let arguments = self.positional(phrase, row, &given)?;
        Ok((tags.into_iter().map(|(tag, value)| (tag.name, value)).collect(), arguments))
    }

    fn tag(&self, row: &'static Row, name: &str, place: Place) -> Result<&'static TagRow, Wrong> {
        let found = row.tags.iter().flat_map(|tags| tags.iter()).find(|tag| tag.name == name);
        let Some(tag) = found else {
            return Err(Wrong::Missing(place.error(format!("'{}' has no tag ':{name}'", row.name))));
        };
        if !tag.needs.is_empty() && !self.has(tag.needs) {
            return Err(Wrong::Missing(place.error(format!("':{name}' needs require \"{}\"", tag.needs))));
        }
        Ok(tag)
    }

    fn positional(
        &self,
        phrase: &Phrase,
        row: &Row,
        given: &[(&Argument, Place)],
    ) -> Result<Vec<Option<Value>>, Wrong> {
        let (name, wanted, count) = (row.name, row.takes.len(), given.len());
        let may_miss = row.optional + usize::from(row.may_end_early);
        if count > wanted || count + may_miss < wanted {
            let place = given.get(wanted).map_or(phrase.place, |(_, place)| *place);
            return Err(place.error(format!("'{name}' takes {wanted} arguments behind its tags, not {count}")).into());
        }
        let left_out = if row.may_end_early { 0 } else { wanted - count };
        let mut values: Vec<Option<Value>> = vec![None; left_out];
        for ((argument, place), takes) in given.iter().zip(row.takes.iter().skip(left_out)) {
            values.push(Some(self.value(argument, *place, *takes, name)?));
        }
        values.resize(wanted, None);
        Ok(values)
    }

    fn value(&self, argument: &Argument, place: Place, takes: Takes, of: &str) -> Result<Value, Wrong> {
        Ok(match (argument, takes) {
            (Argument::Number(number), Takes::Number) => Value::Number(*number),
            (Argument::Text(text, place), Takes::Text | Takes::List) => Value::Texts([self.text(text, *place)?].into()),
            (Argument::List(list), Takes::List) => {
                let texts: Result<Vec<_>, _> = list.iter().map(|(text, place)| self.text(text, *place)).collect();
                Value::Texts(texts?.into())
            }
            _ => return Err(place.error(format!("'{of}' takes {} here", noun(takes))).into()),
        })
    }

    fn text(&self, text: &str, place: Place) -> Result<Text, SieveError> {
        let text = match self.has("encoded-character") {
            true => text::decode_characters(text).map_err(|wrong| place.error(wrong))?,
            false => text.to_string(),
        };
        if !self.has("variables") {
            return Ok(Text::Plain(text.into()));
        }
        let text = text::with_variables(&text)
            .map_err(|space| place.error(format!("there are no variables '{}.…'", space.escape_default())))?;
        match &text {
            Text::Mixed(pieces)
                if !self.has("include") && pieces.iter().any(|p| matches!(p, text::Piece::Global(_))) =>
            {
                Err(place.error("'${global.…}' needs require \"include\""))
            }
            _ => Ok(text),
        }
    }

    fn matching(&mut self, node: &Node) -> Result<Matching, SieveError> {
        let place = node.place;
        let relation = |tag: &str| match node.tagged(tag).and_then(|texts| texts.first()) {
            None => Ok(None),
            Some(text) => match text.plain().and_then(Relation::parse) {
                Some(relation) => Ok(Some(relation)),
                None => Err(place.error(format!("':{tag}' takes \"gt\", \"ge\", \"lt\", \"le\", \"eq\" or \"ne\""))),
            },
        };
        let how = match (relation("value")?, relation("count")?) {
            (Some(relation), _) => How::Value(relation),
            (_, Some(relation)) => How::Count(relation),
            _ if node.has("contains") => How::Contains,
            _ if node.has("matches") => How::Matches,
            _ if node.has("regex") => How::Regex,
            _ => How::Is,
        };
        let comparator = match node.tagged("comparator").and_then(|texts| texts.first()) {
            None => Comparator::default(),
            Some(text) => self.comparator(text.plain().unwrap_or(""), place)?,
        };
        if comparator == Comparator::Numeric && matches!(how, How::Contains | How::Matches | How::Regex) {
            return Err(place.error("comparator \"i;ascii-numeric\" can't look for parts of a text"));
        }
        let mut expressions = Vec::new();
        if how == How::Regex {
            self.expressions = self.expressions.saturating_add(node.keys().len());
            if self.expressions > EXPRESSIONS_LIMIT {
                return Err(place.error(format!("a script has at most {EXPRESSIONS_LIMIT} expressions")));
            }
            for key in node.keys() {
                expressions.push(match key.plain().map(|key| matching::expression(key, comparator)) {
                    Some(Err(wrong)) => return Err(place.error(format!("expression: {wrong}"))),
                    Some(Ok(expression)) => Some(expression),
                    None => None,
                });
            }
        }
        Ok(Matching { how, comparator, expressions })
    }

    fn comparator(&self, name: &str, place: Place) -> Result<Comparator, SieveError> {
        let Some(comparator) = Comparator::parse(name) else {
            return Err(place.error(format!("unknown comparator \"{}\"", name.escape_default())));
        };
        if comparator == Comparator::Numeric && !self.has("comparator-i;ascii-numeric") {
            return Err(place.error("\"i;ascii-numeric\" needs require \"comparator-i;ascii-numeric\""));
        }
        Ok(comparator)
    }

    /// What depends on the commands around.
    fn surroundings(&mut self, node: &Node) -> Result<(), SieveError> {
        let place = node.place;
        match node.kind {
            Kind::Require => self.require(node),
            Kind::Break => {
                let name = constants::plain_tag(node, "name").unwrap_or_default();
                match self.loops.iter().any(|l| name.is_empty() || *l == name) {
                    true => Ok(()),
                    false if name.is_empty() => Err(place.error("'break' stands inside a 'foreverypart'")),
                    false => Err(place.error("no 'foreverypart' around has this name")),
                }
            }
            Kind::ExtractText if self.loops.is_empty() => {
                Err(place.error("'extracttext' stands inside a 'foreverypart'"))
            }
            Kind::ExtractText if !self.has("variables") => {
                Err(place.error("'extracttext' needs require \"variables\""))
            }
            Kind::Global if !self.has("variables") => Err(place.error("'global' needs require \"variables\"")),
            // RFC 5232 §3: without variables there is the one internal variable.
            Kind::SetFlag | Kind::AddFlag | Kind::RemoveFlag | Kind::HasFlag
                if node.arguments.first().is_some_and(Option::is_some) && !self.has("variables") =>
            {
                Err(place.error(format!("the variable of '{}' needs require \"variables\"", node.name)))
            }
            _ => Ok(()),
        }
    }

    fn require(&mut self, node: &Node) -> Result<(), SieveError> {
        for name in node.texts(0) {
            let name = name.plain().unwrap_or("");
            match vocabulary::extension(name) {
                Some(known) => self.required.insert(known),
                None => {
                    return Err(node.place.error(format!("unknown extension \"{}\"", name.escape_default())));
                }
            };
        }
        Ok(())
    }

    /// What a script has asked for it may use (RFC 5463 §4). What changes how strings read must have been required.
    fn enable(&mut self, node: &mut Node) {
        let named: Option<Vec<_>> =
            node.texts(0).iter().map(|name| name.plain().and_then(vocabulary::extension)).collect();
        if let Some(Some(Value::Texts(texts))) = node.arguments.first_mut() {
            let is_open = |text: &&Text| text.plain().is_none_or(|name| !self.required.contains(name));
            *texts = texts.iter().filter(is_open).cloned().collect();
        }
        self.required.extend(named.unwrap_or_default().into_iter().filter(|name| !LEXICAL.contains(name)));
    }

    fn tests(&mut self, phrase: &Phrase, row: &Row) -> Result<Vec<Node>, SieveError> {
        let place = phrase.tests.first().map_or(phrase.place, |test| test.place);
        let count = phrase.tests.len();
        match row.tests {
            Tests::No if count > 0 => return Err(place.error(format!("'{}' takes no test", row.name))),
            Tests::One if count != 1 || phrase.is_list => {
                return Err(place.error(format!("'{}' takes one test, without parentheses", row.name)));
            }
            Tests::Many if !phrase.is_list => {
                return Err(place.error(format!("'{}' takes a list of tests in parentheses", row.name)));
            }
            _ => {}
        }
        phrase.tests.iter().map(|test| self.phrase(test, true, None)).collect()
    }

    fn block(&mut self, phrase: &Phrase, row: &Row, node: &Node) -> Result<Vec<Node>, SieveError> {
        match (&phrase.block, row.has_block) {
            (Some(_), false) => Err(phrase.place.error(format!("'{}' takes no block", row.name))),
            (None, true) => Err(phrase.place.error(format!("'{}' takes a block in braces", row.name))),
            (None, false) => Ok(Vec::new()),
            (Some(block), true) => {
                if row.kind == Kind::ForEveryPart {
                    if self.loops.len() >= super::LOOP_DEPTH_LIMIT {
                        let limit = super::LOOP_DEPTH_LIMIT;
                        return Err(phrase.place.error(format!("'foreverypart' is nested deeper than {limit}")));
                    }
                    self.loops.push(constants::plain_tag(node, "name").unwrap_or_default());
                }
                let nodes = self.commands(block);
                if row.kind == Kind::ForEveryPart {
                    self.loops.pop();
                }
                Ok(nodes)
            }
        }
    }
}

fn unknown(error: &SieveError) -> Node {
    Node {
        kind: Kind::Unknown,
        name: error.message.as_str().into(),
        place: Place { line: error.line, column: error.column },
        tags: Vec::new(),
        arguments: Vec::new(),
        tests: Vec::new(),
        block: Vec::new(),
        matching: None,
    }
}

fn noun(takes: Takes) -> &'static str {
    match takes {
        Takes::Text => "a string",
        Takes::List => "a string or a list of strings",
        Takes::Number => "a number",
    }
}
