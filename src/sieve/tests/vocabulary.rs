//! Commands and tests of Pigeonhole's conformance suite, for its scripts only.

use crate::sieve::fault::SieveError;
use crate::sieve::vocabulary::{Kind, MATCH_TYPE, Row, TagRow, Takes, Tests};

/// What those scripts require besides.
pub const EXTENSIONS: &[&str] = &["vnd.dovecot.testsuite"];

/// One of them, called.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its tags with their strings.
    pub tags: Vec<(&'static str, Vec<String>)>,
    /// Its arguments.
    pub arguments: Vec<Vec<String>>,
    /// Set when its block has ended: with an error or without.
    pub end: Option<Option<SieveError>>,
}

impl Call {
    /// The same, at its end.
    pub fn ended(&self, error: Option<SieveError>) -> Call {
        Call { end: Some(error), ..self.clone() }
    }

    /// The strings behind a tag.
    pub fn tag(&self, name: &str) -> Option<&[String]> {
        self.tags.iter().find(|(tag, _)| *tag == name).map(|(_, strings)| &**strings)
    }

    /// The one string of an argument.
    pub fn text(&self, at: usize) -> &str {
        self.arguments.get(at).and_then(|list| list.first()).map_or("", String::as_str)
    }
}

const fn tag(name: &'static str, takes: Option<Takes>, group: &'static str) -> TagRow {
    TagRow { name, needs: "", takes, group }
}

const MATCH: &[TagRow] = &[
    tag("is", None, MATCH_TYPE),
    tag("contains", None, MATCH_TYPE),
    tag("matches", None, MATCH_TYPE),
    tag("count", Some(Takes::Text), MATCH_TYPE),
    tag("value", Some(Takes::Text), MATCH_TYPE),
    tag("comparator", Some(Takes::Text), ""),
    tag("index", Some(Takes::Number), ""),
];
const COMMAND: Row = Row {
    name: "",
    kind: Kind::Suite,
    is_test: false,
    needs: &[],
    tags: &[],
    takes: &[],
    optional: 0,
    may_end_early: false,
    tests: Tests::No,
    has_block: false,
};
const TEST: Row = Row { is_test: true, ..COMMAND };
const MESSAGE: &[TagRow] = &[tag("smtp", None, "source"), tag("folder", Some(Takes::Text), "source")];

/// All of them.
pub const ROWS: &[Row] = &[
    Row { name: "test", takes: &[Takes::Text], has_block: true, ..COMMAND },
    Row { name: "test_set", takes: &[Takes::Text, Takes::Text], ..COMMAND },
    Row { name: "test_fail", takes: &[Takes::Text], ..COMMAND },
    Row {
        name: "test_config_set",
        tags: &[&[tag("type", Some(Takes::Text), "")]],
        takes: &[Takes::Text, Takes::Text],
        ..COMMAND
    },
    Row { name: "test_config_unset", takes: &[Takes::Text], ..COMMAND },
    Row { name: "test_config_reload", tags: &[&[tag("extension", Some(Takes::Text), "")]], ..COMMAND },
    Row { name: "test_result_reset", ..COMMAND },
    Row { name: "test_result_print", ..COMMAND },
    Row { name: "test_mailbox_create", takes: &[Takes::Text], ..COMMAND },
    Row { name: "test_binary_save", takes: &[Takes::Text], ..COMMAND },
    Row { name: "test_binary_load", takes: &[Takes::Text], ..COMMAND },
    Row { name: "test_message", tags: &[MESSAGE], takes: &[Takes::Number], ..COMMAND },
    Row { name: "test_message", tags: &[MESSAGE], takes: &[Takes::Number], ..TEST },
    Row { name: "test_script_compile", takes: &[Takes::Text], ..TEST },
    Row { name: "test_script_run", tags: &[&[tag("append_result", None, ""), tag("append", None, "")]], ..TEST },
    Row { name: "test_multiscript", takes: &[Takes::List], ..TEST },
    Row { name: "test_result_execute", ..TEST },
    Row { name: "test_error", tags: &[MATCH], takes: &[Takes::List], ..TEST },
    Row { name: "test_result_action", tags: &[MATCH], takes: &[Takes::List], ..TEST },
];
