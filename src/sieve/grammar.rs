//! The grammar of Sieve: commands, tests and arguments, without knowing any of them by name.
//!
//! Called by [`super::compile`]; `checker` gives the result its meaning. Depth is bounded, so recursion is.
//! RFC 5228 §8.2.

use super::fault::{Place, SieveError};
use super::lexer::{Lexer, Token};

/// Blocks, tests and test lists may be nested so deep.
pub const DEPTH_LIMIT: usize = 32;
/// A string list has at most so many members.
pub const LIST_LIMIT: usize = 10_000;

/// An argument as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// `:name`.
    Tag(String),
    /// A number.
    Number(u64),
    /// A string, which is as good as a list of one.
    Text(String, Place),
    /// A list of strings.
    List(Vec<(String, Place)>),
}

/// A command or a test as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    /// Its name, in lower case.
    pub name: String,
    /// Where the name stands.
    pub place: Place,
    /// In order.
    pub arguments: Vec<(Argument, Place)>,
    /// One test, or those of a list.
    pub tests: Vec<Phrase>,
    /// True when the tests stood in parentheses.
    pub is_list: bool,
    /// The block of a command that has one.
    pub block: Option<Vec<Phrase>>,
}

/// Reads a whole script.
pub fn read(text: &str) -> Result<Vec<Phrase>, SieveError> {
    let mut lexer = Lexer::of(text);
    let ahead = lexer.next()?;
    let mut reader = Reader { lexer, ahead };
    let commands = reader.commands(0)?;
    match reader.ahead {
        (Token::End, _) => Ok(commands),
        (token, place) => Err(place.error(format!("{} stands where a command should", name(&token)))),
    }
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    ahead: (Token, Place),
}

impl Reader<'_> {
    fn take(&mut self) -> Result<(Token, Place), SieveError> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.ahead, next))
    }

    fn is_mark(&self, mark: char) -> bool {
        self.ahead.0 == Token::Mark(mark)
    }

    fn expect(&mut self, mark: char, why: &str) -> Result<(), SieveError> {
        if self.is_mark(mark) {
            self.take()?;
            return Ok(());
        }
        Err(self.ahead.1.error(format!("'{mark}' is missing {why}; {} stands here", name(&self.ahead.0))))
    }

    /// commands: up to something that begins none.
    fn commands(&mut self, depth: usize) -> Result<Vec<Phrase>, SieveError> {
        let mut commands = Vec::new();
        while let Token::Identifier(_) = self.ahead.0 {
            let mut command = self.phrase(depth)?;
            if self.is_mark('{') {
                self.take()?;
                command.block = Some(self.commands(depth + 1)?);
                self.expect('}', "at the end of the block")?;
            } else {
                self.expect(';', &format!("behind '{}'", command.name))?;
            }
            commands.push(command);
        }
        Ok(commands)
    }

    /// A name, its arguments, its tests.
    fn phrase(&mut self, depth: usize) -> Result<Phrase, SieveError> {
        let (token, place) = self.take()?;
        let Token::Identifier(name) = token else {
            return Err(place.error(format!("{} stands where a test should", self::name(&token))));
        };
        if depth > DEPTH_LIMIT {
            return Err(place.error(format!("blocks and tests are nested deeper than {DEPTH_LIMIT}")));
        }
        let mut phrase = Phrase { name, place, arguments: Vec::new(), tests: Vec::new(), is_list: false, block: None };
        while let Some(argument) = self.argument()? {
            phrase.arguments.push(argument);
        }
        if matches!(self.ahead.0, Token::Identifier(_)) {
            phrase.tests.push(self.phrase(depth + 1)?);
        } else if self.is_mark('(') {
            self.take()?;
            phrase.is_list = true;
            loop {
                phrase.tests.push(self.phrase(depth + 1)?);
                if !self.is_mark(',') {
                    break;
                }
                self.take()?;
            }
            self.expect(')', "at the end of the list of tests")?;
        }
        Ok(phrase)
    }

    fn argument(&mut self) -> Result<Option<(Argument, Place)>, SieveError> {
        let is_argument =
            matches!(self.ahead.0, Token::Tag(_) | Token::Number(_) | Token::Text(_)) || self.is_mark('[');
        if !is_argument {
            return Ok(None);
        }
        let (token, place) = self.take()?;
        let argument = match token {
            Token::Tag(tag) => Argument::Tag(tag),
            Token::Number(number) => Argument::Number(number),
            Token::Text(text) => Argument::Text(text, place),
            _ => Argument::List(self.list()?),
        };
        Ok(Some((argument, place)))
    }

    /// string-list, behind its bracket.
    fn list(&mut self) -> Result<Vec<(String, Place)>, SieveError> {
        let mut members = Vec::new();
        loop {
            match self.take()? {
                (Token::Text(text), place) if members.len() < LIST_LIMIT => members.push((text, place)),
                (Token::Text(_), place) => {
                    return Err(place.error(format!("a list has at most {LIST_LIMIT} strings")));
                }
                (token, place) => {
                    return Err(place.error(format!("{} stands where a string of the list should", name(&token))));
                }
            }
            if !self.is_mark(',') {
                self.expect(']', "at the end of the list of strings")?;
                return Ok(members);
            }
            self.take()?;
        }
    }
}

fn name(token: &Token) -> String {
    match token {
        Token::Identifier(word) => format!("'{word}'"),
        Token::Tag(word) => format!("':{word}'"),
        Token::Number(number) => format!("the number {number}"),
        Token::Text(_) => "a string".to_string(),
        Token::Mark(mark) => format!("'{mark}'"),
        Token::End => "the end of the script".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_commands_with_tests_and_blocks() {
        let script = "if anyof (not exists \"a\", header :is [\"x\", \"y\"] \"z\") { keep; } else { stop; }";
        let commands = read(script).unwrap();
        assert_eq!(commands.len(), 2);
        assert!(commands[0].tests[0].is_list && commands[0].tests[0].tests.len() == 2);
        assert_eq!(commands[0].tests[0].tests[0].tests[0].name, "exists");
        assert_eq!(commands[1].block.as_ref().map(Vec::len), Some(1));
    }

    #[test]
    fn errors_say_what_is_missing_where() {
        for (script, expected) in [
            (
                "if true { keep;",
                "line 1, column 16: '}' is missing at the end of the block; the end of the script stands here",
            ),
            (
                "redirect [\"a\" \"b\"];",
                "line 1, column 15: ']' is missing at the end of the list of strings; a string stands here",
            ),
            ("}", "line 1, column 1: '}' stands where a command should"),
            ("if not (", "line 1, column 9: the end of the script stands where a test should"),
        ] {
            let found = read(script).map(|_| String::new()).unwrap_or_else(|e| e.to_string());
            assert_eq!(found, expected, "{script}");
        }
        let deep = format!("if {}true {{}}", "not ".repeat(100));
        assert!(read(&deep).unwrap_err().message.contains("nested deeper"));
    }
}
