//! Sieve, the mail filtering language: a script in, a list of actions out.
//!
//! Called by `deliver` (runs scripts on mail) and `serve` (checks scripts that users upload). Values only: nothing here touches a
//! file, a clock or a socket; what a script asks of the world goes through [`Environment`].
//!
//! | file | what |
//! |---|---|
//! | `lexer`, `grammar` | text to phrases: RFC 5228 §8 |
//! | `vocabulary` | every command, test, tag and extension as a row |
//! | `checker`, `constants` | phrases to nodes; what is wrong is found here, with its place |
//! | `text`, `matching`, `dates`, `mailto`, `spam` | strings with variables, comparators, dates, URIs, verdicts |
//! | `message`, `parts` | the message as a script sees and changes it |
//! | `run` | the interpreter |
//! | `outcome`, `environment` | what comes out; what it asks |
//!
//! Trust: scripts are written by users, messages by anybody. Work and memory are bounded by [`Limits`], nesting by the constants of
//! each file. A script that fails keeps the message.
//!
//! RFC 5228 and the extensions that [`EXTENSIONS`] names; man page em-sieve(7) says which document each comes from.

mod checker;
mod constants;
mod dates;
mod environment;
mod fault;
mod grammar;
mod lexer;
mod mailto;
mod matching;
mod message;
mod outcome;
mod parts;
mod run;
mod spam;
mod text;
mod tree;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use environment::{Environment, Included, Location};
pub use fault::{Place, SieveError};
pub use mailto::Mailto;
pub use message::{Envelope, MessageView, decoded, field};
pub use outcome::{Action, Edition, Notify, Outcome, Redirect, Reject, Seen, Step, Store, Vacation};
pub use spam::{Form, SpamRules, Verdict};
pub use vocabulary::EXTENSIONS;

use run::{Run, World};
use std::time::Duration;
use tree::Node;
use vocabulary::Kind;

/// Loops over parts may be nested so deep.
pub const LOOP_DEPTH_LIMIT: usize = 4;

/// What a script may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Octets of a script.
    pub script_size: usize,
    /// Steps of a run: commands, tests, and comparisons by their length.
    pub steps: u64,
    /// Processor time of a run.
    pub time: Duration,
    /// Actions of a run.
    pub actions: usize,
    /// Redirects of a run.
    pub redirects: usize,
    /// Notifications of a run.
    pub notifications: usize,
    /// Scripts inside each other.
    pub include_depth: usize,
    /// Scripts included by a run.
    pub includes: usize,
    /// Enclosures of a run.
    pub enclosures: u32,
    /// Variables of a script, and global ones.
    pub variables: usize,
    /// Octets of a variable.
    pub variable_size: usize,
    /// Octets of a string with its variables.
    pub string_size: usize,
    /// What separates user and detail of an address.
    pub subaddress: char,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            script_size: 1 << 20,
            steps: 1_000_000,
            time: Duration::from_millis(50),
            actions: 32,
            redirects: 5,
            notifications: 3,
            include_depth: 10,
            includes: 255,
            enclosures: 4,
            variables: 255,
            variable_size: 4 << 10,
            string_size: 64 << 10,
            subaddress: '+',
        }
    }
}

/// A script that has been read and checked.
///
/// The default is the empty script: it keeps every message.
#[derive(Debug, Clone, Default)]
pub struct Script {
    nodes: Vec<Node>,
    looks: Looks,
}

/// What a script may do, as far as its text tells.
#[derive(Debug, Clone, Copy, Default)]
struct Looks {
    at_body: bool,
    beyond: bool,
    edits: bool,
}

/// Reads and checks a script; the error is the first one.
pub fn compile(text: &[u8], limits: &Limits) -> Result<Script, SieveError> {
    compile_all(text, limits).map_err(|errors| errors.into_iter().next().unwrap_or_else(|| Place::default().error("")))
}

/// Reads and checks a script; there is at least one error, in order.
pub fn compile_all(text: &[u8], limits: &Limits) -> Result<Script, Vec<SieveError>> {
    let start = Place { line: 1, column: 1 };
    if text.len() > limits.script_size {
        return Err(vec![start.error(format!("the script is larger than {} octets", limits.script_size))]);
    }
    let text = std::str::from_utf8(text).map_err(|error| vec![bad_octet(text, error.valid_up_to())])?;
    let phrases = grammar::read(text).map_err(|error| vec![error])?;
    let nodes = checker::check(&phrases)?;
    let mut looks = Looks::default();
    for node in &nodes {
        node.walk(&mut |node| looks.see(node));
    }
    Ok(Script { nodes, looks })
}

fn bad_octet(text: &[u8], at: usize) -> SieveError {
    let before = String::from_utf8_lossy(text.get(..at).unwrap_or_default()).into_owned();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let place =
        Place { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) };
    place.error("the script is not UTF-8 here")
}

impl Looks {
    fn see(&mut self, node: &Node) {
        self.at_body |= matches!(node.kind, Kind::Body | Kind::ForEveryPart | Kind::ExtractText | Kind::Include)
            || node.has("mime");
        // A refusal is said at once where the message comes in; the others send something.
        self.beyond |= matches!(node.kind, Kind::Redirect | Kind::Vacation | Kind::Notify | Kind::Include);
        self.edits |= matches!(node.kind, Kind::AddHeader | Kind::DeleteHeader | Kind::Enclose | Kind::Include);
    }
}

impl Script {
    /// True when it needs more of a message than its header and size.
    pub fn reads_body(&self) -> bool {
        self.looks.at_body
    }

    /// True when it may send something: a redirect, an answer, a notification, or what an included script does.
    pub fn may_send(&self) -> bool {
        self.looks.beyond
    }

    /// True when it may change the message, itself or by an included script.
    pub fn may_edit(&self) -> bool {
        self.looks.edits
    }

    /// Runs it on a message.
    pub fn run(&self, message: &mut MessageView, environment: &mut dyn Environment, limits: &Limits) -> Outcome {
        Run::new(limits, false).script(self, &mut World { environment, message })
    }

    /// Runs it and tells what each line did.
    pub fn explain(&self, message: &mut MessageView, environment: &mut dyn Environment, limits: &Limits) -> Outcome {
        Run::new(limits, true).script(self, &mut World { environment, message })
    }
}
