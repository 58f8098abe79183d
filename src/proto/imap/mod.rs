//! IMAP, the server's machine: IMAP4rev2 (RFC 9051), IMAP4rev1 (RFC 3501) and their extensions. No I/O.
//!
//! A command is framed first (`frame`: lines and literals), then read (`scan`, `parse`) into a [`Command`], then run: what the machine
//! can't do alone is a question ([`Ask`]) to the service, which answers with lines it made by [`response`]. Messages of APPEND stream.
//! What is not in [`Config::capabilities`] is not understood either, so that nothing unadvertised half works.

mod append;
mod ask;
mod auth;
mod authorized_url;
mod command;
mod commands;
mod config;
mod current;
mod extension;
mod frame;
mod idle;
mod item;
mod key;
mod parse;
mod receive;
pub mod response;
mod run;
mod scan;
mod server;
mod url;

pub use ask::{Answer, AppendMessage, Ask, Denial, Effect, Outcome, Refusal, Request};
pub use authorized_url::{Access, AuthorizedUrl};
pub use command::{
    Command, Event, Fetch, Flag, GetMetadata, List, ListReturns, MailboxName, Messages, MetadataDepth, Notify,
    PartialRange, Qresync, RightsChange, Search, Select, Set, Sort, SortCriterion, Store, StoreAction, Thread,
    ThreadAlgorithm,
};
pub use config::{Config, Context, Limits};
pub use extension::{Enabled, Extension};
pub use item::{FetchItem, Section, SectionText, StatusItem};
pub use key::{AddressField, Date, DateField, Relation, Returns, SearchKey, Source};
pub use server::ImapSession;
pub use url::MessageUrl;

#[cfg(test)]
mod tests;
