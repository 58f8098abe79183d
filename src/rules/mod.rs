//! The rule engine: sendmail.cf as a pure interpreter.
//!
//! A file is read into [`Rules`] once ([`Rules::read`]); a [`Run`] applies rule sets to addresses. Nothing here opens a file, asks
//! the network or looks at a clock: class files come through [`listing::Source`], maps through [`world::World`], and what happens on the
//! way (sets entered, rules fired with their lines, complaints) goes to a [`world::Watch`].
//!
//! | part | what |
//! |---|---|
//! | `lines`, `dollars`, `listing` | logical lines, `$` and conditionals, class files |
//! | `read`, `read_rule`, `mailer`, `option`, `map`, `sets` | the kinds of lines |
//! | `ldap` | what maps and classes ask of a directory |
//! | `scan`, `token`, `meta`, `names` | text to tokens and back, operators as bytes, tables by names |
//! | `rule`, `run` | matching, rewriting |
//! | `pure`, `pattern`, `posix` | maps that need nothing but their key |
//! | `address`, `crack` | from an address to mailer, host and user; header addresses |
//! | `testmode`, `printer`, `trace` | what `emsend -bt` answers |
//!
//! Trust: addresses are hostile; a file is the administrator's. Whatever both say, work is bounded: [`run::STEP_LIMIT`], [`run::ROUND_LIMIT`],
//! `MaxRuleRecursion`, [`scan::TOKENS_LIMIT`].

pub mod address;
mod crack;
pub mod dollars;
pub mod fields;
pub mod ldap;
pub mod lines;
pub mod listing;
pub mod macros;
pub mod mailer;
pub mod map;
pub mod meta;
pub mod names;
pub mod option;
pub mod pattern;
mod posix;
mod printer;
mod pure;
pub mod read;
mod read_rule;
pub mod rule;
pub mod run;
mod said;
pub mod scan;
pub mod sets;
pub mod stranger;
pub mod testmode;
pub mod token;
pub mod trace;
pub mod world;

pub use lines::Fault;
pub use posix::of_text as posix_expression;
pub use read::Rules;
pub use run::Run;

#[cfg(test)]
mod tests;

/// The version of sendmail whose language this is; its messages name it.
pub const VERSION: &str = "8.17.1.9";
