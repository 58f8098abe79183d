//! R lines: two sides between tabs, checked and compiled.

use super::lines::Line;
use super::meta;
use super::read::Reader;
use super::rule::{Rule, WILDCARD_LIMIT};
use super::scan::Style;
use super::token::Token;

impl Reader<'_> {
    pub(super) fn rule(&mut self, line: &Line, text: &[u8]) {
        let shown = || meta::said(&[b"R", text].concat());
        let Some(set) = self.set else {
            return self.fault(line, b"", format!("missing valid ruleset for \"{}\"", shown()));
        };
        let Some(tab) = text.iter().position(|b| *b == b'\t') else {
            return self.fault(line, b"", format!("invalid rewrite line \"{}\" (tab expected)", shown()));
        };
        let (left, right) = (&text[..tab], &text[tab..]);
        let start = right.iter().position(|b| *b != b'\t').unwrap_or(right.len());
        let right = right[start..].split(|b| *b == b'\t').next().unwrap_or(b"");
        let left = self.tokens(line, left);
        let right = self.tokens(line, right);
        let wildcards = self.check_left(line, &left);
        let left = if wildcards > WILDCARD_LIMIT { Vec::new() } else { left };
        self.check_right(line, &right, wildcards);
        // A side out of bounds never fires usefully; the error is told, and the rule is kept as the model keeps it.
        let rules = &mut *self.rules;
        let rule = Rule::new(line.last, left, right, &mut rules.classes);
        rules.sets.push(set, rule);
    }

    fn tokens(&mut self, line: &Line, text: &[u8]) -> Vec<Token> {
        let text = self.expanded(line, text);
        let style = if self.rules.level >= 9 { Style::Rule } else { Style::OldRule };
        match self.rules.alphabet().scan(&text, 0, style) {
            Ok(found) => found.tokens,
            Err(error) => {
                self.fault(line, b"", error.to_string());
                Vec::new()
            }
        }
    }

    /// Counts the wildcards of a left side and names what does not belong there.
    fn check_left(&mut self, line: &Line, left: &[Token]) -> usize {
        if left.is_empty() {
            self.fault(line, b"R", "R line: null LHS".to_string());
        }
        let mut wildcards = 0;
        for token in left {
            let botch = match token.first() {
                Some(&(meta::ANY | meta::SOME | meta::ONE | meta::CLASS | meta::NOT_CLASS)) => {
                    wildcards += 1;
                    continue;
                }
                Some(&meta::MATCHED) => "$1-$9",
                Some(&meta::USER) => "$:",
                Some(&meta::CALL) => "$>",
                Some(&meta::IF) => "$?",
                Some(&meta::END_IF) => "$.",
                Some(&meta::HOST_BEGIN) => "$[",
                Some(&meta::HOST_END) => "$]",
                Some(&meta::MAP_BEGIN) => "$(",
                Some(&meta::MAP_END) => "$)",
                _ => continue,
            };
            let part = if botch == "$1-$9" { &b"$"[..] } else { botch.as_bytes() };
            self.fault(line, part, format!("Inappropriate use of {botch} on LHS"));
        }
        if wildcards > WILDCARD_LIMIT {
            self.fault(line, b"R", "R line: too many wildcards".to_string());
        }
        wildcards
    }

    fn check_right(&mut self, line: &Line, right: &[Token], wildcards: usize) {
        if right.is_empty() {
            self.fault(line, b"R", "R line: null RHS".to_string());
        }
        let mut closes: Option<u8> = None;
        for token in right {
            let botch = match token.first() {
                Some(&meta::MATCHED) => {
                    let digit = token.get(1).copied().unwrap_or(b'0');
                    let n = usize::from(digit.wrapping_sub(b'0'));
                    if n == 0 || n > wildcards {
                        let part = [b'$', digit];
                        self.fault(line, &part, format!("replacement ${} out of bounds", char::from(digit)));
                    }
                    continue;
                }
                Some(&open @ (meta::HOST_BEGIN | meta::MAP_BEGIN)) => {
                    if closes.is_some() {
                        self.fault(line, b"$(", "cannot nest map lookups".to_string());
                    }
                    closes = Some(if open == meta::HOST_BEGIN { meta::HOST_END } else { meta::MAP_END });
                    continue;
                }
                Some(&close @ (meta::HOST_END | meta::MAP_END)) => {
                    if closes == Some(close) {
                        closes = None;
                    }
                    continue;
                }
                Some(&meta::ANY) => "$*",
                Some(&meta::SOME) => "$+",
                Some(&meta::ONE) => "$-",
                Some(&meta::CLASS) => "$=",
                Some(&meta::NOT_CLASS) => "$~",
                _ => continue,
            };
            self.fault(line, botch.as_bytes(), format!("Inappropriate use of {botch} on RHS"));
        }
        if closes.is_some() {
            self.fault(line, b"$", "missing map closing token".to_string());
        }
    }
}
