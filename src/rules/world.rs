//! What the engine asks and tells: look-ups that need the world, and what happened on the way.

use super::map::Map;
use super::rule::Rule;
use super::token::Token;

/// sysexits(3), as rules and maps use it.
pub mod exit {
    /// All went well.
    pub const OK: u8 = 0;
    /// Wrong use.
    pub const USAGE: u8 = 64;
    /// The text can't be worked with.
    pub const DATA: u8 = 65;
    /// No such user.
    pub const NO_USER: u8 = 67;
    /// No such host; also: no such key.
    pub const NOT_FOUND: u8 = 68;
    /// A service is unavailable.
    pub const UNAVAILABLE: u8 = 69;
    /// An error of the program or its configuration file.
    pub const SOFTWARE: u8 = 70;
    /// The system failed us; also: a file that should be there is not.
    pub const SYSTEM: u8 = 71;
    /// Reading or writing failed.
    pub const IO: u8 = 74;
    /// Try again later.
    pub const TEMPORARY: u8 = 75;
    /// The other side does not keep to the protocol.
    pub const PROTOCOL: u8 = 76;
    /// Something is configured wrong.
    pub const CONFIG: u8 = 78;
}

/// The answer of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The value, when there is one.
    pub value: Option<Vec<u8>>,
    /// One of [`exit`].
    pub status: u8,
}

impl Looked {
    /// A value.
    pub fn found(value: impl Into<Vec<u8>>) -> Looked {
        Looked { value: Some(value.into()), status: exit::OK }
    }

    /// The key is not there.
    pub fn missing() -> Looked {
        Looked { value: None, status: exit::NOT_FOUND }
    }

    /// No answer with this status.
    pub fn failed(status: u8) -> Looked {
        Looked { value: None, status }
    }
}

/// Who takes mail for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailHosts {
    /// These hosts, best first.
    Known(Vec<Vec<u8>>),
    /// The name says that it takes none (RFC 7505).
    Null,
    /// Nobody knows at this time.
    Unsure,
}

/// Answers what only files, network and chance can answer.
pub trait World {
    /// Looks a key up in a map whose class the engine can't serve itself. The key is folded and unquoted as the map's flags say; the
    /// engine appends, substitutes and replaces afterwards.
    fn look_up(&mut self, map: &Map, key: &[u8], arguments: &[Vec<u8>]) -> Looked;

    /// True when the map can be used at all: its file is there, or a failure to open it is to be reported by each look-up.
    fn is_open(&mut self, _map: &Map) -> bool {
        true
    }

    /// True for a table that has no rows: a look-up finds nothing in it, whatever the key.
    fn is_empty(&mut self, _map: &Map) -> bool {
        false
    }

    /// What went wrong in the last look-up and has not been told yet.
    fn complaint(&mut self) -> Option<String> {
        None
    }

    /// The text of the file a `text` map names; `None` when it can't be read.
    fn text(&mut self, file: &[u8]) -> Option<Vec<u8>>;

    /// What a look-up says to whoever looks on, and has not been told yet; it is no failure by itself.
    fn notice(&mut self) -> Option<String> {
        None
    }

    /// Writes down what a `syslog` map was given.
    fn record(&mut self, _map: &Map, _text: &[u8]) {}

    /// The mail hosts of a name.
    fn mail_hosts(&mut self, host: &[u8]) -> MailHosts;

    /// The canonical form of a host name, without a final dot; `None` when it is unknown.
    fn canonical(&mut self, host: &[u8]) -> Option<Vec<u8>>;

    /// A random number.
    fn random(&mut self) -> u64;
}

/// A world in which nothing is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl World for Nowhere {
    fn look_up(&mut self, _map: &Map, _key: &[u8], _arguments: &[Vec<u8>]) -> Looked {
        Looked::missing()
    }

    fn text(&mut self, _file: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn mail_hosts(&mut self, _host: &[u8]) -> MailHosts {
        MailHosts::Known(Vec::new())
    }

    fn canonical(&mut self, _host: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn random(&mut self) -> u64 {
        0
    }
}

/// A rule that fired.
#[derive(Debug, Clone, Copy)]
pub struct Fired<'a> {
    /// The rule set's name, or its number.
    pub set: &'a str,
    /// Which rule of the set, from 1.
    pub number: usize,
    /// The rule, with its line.
    pub rule: &'a Rule,
    /// The workspace before.
    pub before: &'a [Token],
    /// The workspace after, its subroutines done.
    pub after: &'a [Token],
}

/// A macro whose value of now a rule takes (`$&x`).
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// It stands on the left side of the rule.
    pub is_left: bool,
    /// Its name.
    pub name: &'a [u8],
    /// Its value, when it has one.
    pub value: Option<&'a [u8]>,
}

/// Sees what the engine does. Each event may be ignored.
pub trait Watch {
    /// True when every rule that is tried is of interest, and every macro that is read: [`Watch::tries`], [`Watch::matches`],
    /// [`Watch::misses`], [`Watch::skips`] and [`Watch::takes`] are told to nobody else.
    fn traces(&self) -> bool {
        false
    }
    /// A rule is tried.
    fn tries(&mut self, _rule: &Rule) {}
    /// It matches.
    fn matches(&mut self, _rule: &Rule) {}
    /// It doesn't.
    fn misses(&mut self) {}
    /// A set that has no rules is called.
    fn skips(&mut self, _set: &str, _number: usize) {}
    /// A macro is read.
    fn takes(&mut self, _taken: Taken) {}
    /// A rule set begins.
    fn enters(&mut self, _set: &str, _workspace: &[Token]) {}
    /// A rule set ends.
    fn leaves(&mut self, _set: &str, _workspace: &[Token]) {}
    /// A rule fired.
    fn fired(&mut self, _fired: Fired) {}
    /// Something is wrong: an error of the rules or of the address.
    fn complains(&mut self, _text: &[u8]) {}
    /// The same, for what a program ends with this status of [`exit`] for: a refusal by the rules, or a mistake in them.
    fn fails(&mut self, _status: u8, text: &[u8]) {
        self.complains(text);
    }
}

/// Nobody looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}
