//! What the test mode prints while the rules run: sets entered and left, and with `-d21.N` each rule on the way.

use super::meta;
use super::rule::Rule;
use super::run::unquoted;
use super::token::Token;
use super::world::{Fired, Taken, Watch, exit};

/// The category of traces that tells of rewriting, and the levels at which it tells more.
pub(super) const REWRITING: usize = 21;
/// Values of macros that rules read.
const MACROS_TOLD: u8 = 2;
/// Sets that are called and have no rules.
const SKIPS_TOLD: u8 = 3;
/// What a rule made of the workspace.
const RESULTS_TOLD: u8 = 4;
/// That a rule did not match.
const MISSES_TOLD: u8 = 10;
/// The sides of the rules that are tried and that match.
const RULES_TOLD: u8 = 12;
/// The lines of the file where they stand.
const LINES_TOLD: u8 = 15;

/// Prints what happens.
#[derive(Default)]
pub(super) struct Printer {
    /// What is to be printed.
    pub(super) out: Vec<u8>,
    /// [`exit`], as far as this line is concerned.
    pub(super) status: u8,
    /// How much is told of rewriting: -d21.
    pub(super) level: u8,
}

impl Printer {
    pub(super) fn line(&mut self, text: impl AsRef<[u8]>) {
        self.out.extend_from_slice(text.as_ref());
        self.out.push(b'\n');
    }

    /// A line for people, which sendmail writes in seven bits.
    pub(super) fn said(&mut self, text: &[u8]) {
        let text: Vec<u8> = text.iter().map(|byte| byte & 0x7f).collect();
        self.line(text);
    }

    fn workspace(&mut self, set: &str, what: &str, workspace: &[Token]) {
        let name: String = set.chars().take(16).collect();
        self.out.extend(format!("{name:<16}{what:>8}:").into_bytes());
        self.tokens(workspace);
    }

    fn rule(&mut self, what: &str, side: &[Token]) {
        self.out.extend(format!("-----{what}:").into_bytes());
        // A set's name loses its quotes when it is called.
        let mut side = side.to_vec();
        for at in 1..side.len() {
            if side[at - 1].is(meta::CALL) {
                side[at] = Token::new(&unquoted(&side[at]));
            }
        }
        self.tokens(&side);
    }

    fn tokens(&mut self, tokens: &[Token]) {
        for token in tokens {
            self.out.push(b' ');
            meta::show(token, &mut self.out);
        }
        self.out.push(b'\n');
    }
}

/// The status to end with: the first that is neither success nor temporary.
pub(super) fn first(before: u8, now: u8) -> u8 {
    match before {
        exit::OK | exit::TEMPORARY => now,
        _ => before,
    }
}

impl Watch for Printer {
    fn traces(&self) -> bool {
        self.level >= MACROS_TOLD
    }

    fn tries(&mut self, rule: &Rule) {
        if self.level >= LINES_TOLD {
            self.rule(&format!("trying rule (line {})", rule.line), &rule.left);
        } else if self.level >= RULES_TOLD {
            self.rule("trying rule", &rule.left);
        }
    }

    fn matches(&mut self, rule: &Rule) {
        if self.level >= RULES_TOLD {
            self.rule("rule matches", &rule.right);
        }
    }

    fn misses(&mut self) {
        if self.level >= MISSES_TOLD {
            self.line("----- rule fails");
        }
    }

    fn skips(&mut self, set: &str, number: usize) {
        if self.level < SKIPS_TOLD {
            return;
        }
        self.line(format!("-----skip subr {set} ({number})"));
    }

    fn takes(&mut self, taken: Taken) {
        let side = if taken.is_left { "LHS" } else { "RHS" };
        let value = taken.value.map_or(b"(NULL)".to_vec(), |value| meta::shown(value).to_vec());
        let name = String::from_utf8_lossy(taken.name).into_owned();
        let name = name.trim_start_matches('{').trim_end_matches('}');
        self.line([format!("rewrite: {side} $&{{{name}}} => \"").as_bytes(), &value, b"\""].concat());
    }

    fn fired(&mut self, fired: Fired) {
        if self.level >= RESULTS_TOLD {
            self.out.extend_from_slice(b"rewritten as:");
            self.tokens(fired.after);
        }
    }

    fn enters(&mut self, set: &str, workspace: &[Token]) {
        self.workspace(set, "input", workspace);
    }

    fn leaves(&mut self, set: &str, workspace: &[Token]) {
        self.workspace(set, "returns", workspace);
    }

    fn complains(&mut self, text: &[u8]) {
        self.said(text);
    }

    fn fails(&mut self, status: u8, text: &[u8]) {
        self.said(text);
        self.status = first(self.status, status);
    }
}
