//! The commands: one row each, with the states where it is legal and the capability that brings it.

use super::ask::Refusal;
use super::command::Command;
use super::extension::Enabled;
use super::parse::append::Kind;
use super::parse::{access, auth, fetch, list, mailbox, message, notify, search};
use super::scan::{Parsed, Scan};

/// What a command line came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Parse {
    /// For the service.
    Run(Command),
    /// For the machine.
    Own(Own),
}

/// What the machine does by itself.
#[derive(Debug, PartialEq, Eq)]
pub enum Own {
    /// CAPABILITY.
    Capability,
    /// LOGOUT.
    Logout,
    /// ID.
    Id(Vec<(String, Option<String>)>),
    /// LANGUAGE: ranges, best first.
    Language(Vec<String>),
    /// STARTTLS.
    StartTls,
    /// LOGIN.
    Login { user: String, password: String },
    /// AUTHENTICATE.
    Authenticate { mechanism: String, initial: Option<String> },
    /// ENABLE.
    Enable(Enabled),
    /// COMPRESS: by what.
    Compress(String),
    /// IDLE.
    Idle,
    /// UNAUTHENTICATE.
    Unauthenticate,
}

/// Where a command is legal (RFC 9051 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Everywhere.
    Any,
    /// Before login.
    NotAuthenticated,
    /// After login, mailbox or not.
    Authenticated,
    /// With a mailbox.
    Selected,
}

/// How its arguments are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reader {
    /// When all of it has arrived.
    Whole(fn(&mut Scan) -> Parsed<Parse>),
    /// As it arrives.
    Append(Kind),
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) verb: &'static str,
    pub(super) state: State,
    needs: &'static str,
    pub(super) reader: Reader,
}

const fn row(verb: &'static str, state: State, needs: &'static str, read: fn(&mut Scan) -> Parsed<Parse>) -> Row {
    Row { verb, state, needs, reader: Reader::Whole(read) }
}

const fn append(verb: &'static str, state: State, needs: &'static str, kind: Kind) -> Row {
    Row { verb, state, needs, reader: Reader::Append(kind) }
}

use State::{Any, Authenticated, NotAuthenticated, Selected};

const ROWS: &[Row] = &[
    row("CAPABILITY", Any, "", |_| Ok(Parse::Own(Own::Capability))),
    row("NOOP", Any, "", |_| Ok(Parse::Run(Command::Noop))),
    row("LOGOUT", Any, "", |_| Ok(Parse::Own(Own::Logout))),
    row("ID", Any, "ID", auth::id),
    row("LANGUAGE", Any, "LANGUAGE", auth::language),
    row("STARTTLS", NotAuthenticated, "", |_| Ok(Parse::Own(Own::StartTls))),
    row("LOGIN", NotAuthenticated, "", auth::login),
    row("AUTHENTICATE", NotAuthenticated, "", auth::authenticate),
    row("ENABLE", Authenticated, "ENABLE", auth::enable),
    row("IDLE", Authenticated, "IDLE", |_| Ok(Parse::Own(Own::Idle))),
    row("COMPRESS", Authenticated, "COMPRESS", auth::compress),
    row("UNAUTHENTICATE", Authenticated, "UNAUTHENTICATE", |_| Ok(Parse::Own(Own::Unauthenticate))),
    row("SELECT", Authenticated, "", mailbox::select),
    row("EXAMINE", Authenticated, "", mailbox::examine),
    row("CREATE", Authenticated, "", mailbox::create),
    row("DELETE", Authenticated, "", mailbox::delete),
    row("RENAME", Authenticated, "", mailbox::rename),
    row("SUBSCRIBE", Authenticated, "", mailbox::subscribe),
    row("UNSUBSCRIBE", Authenticated, "", mailbox::unsubscribe),
    row("LIST", Authenticated, "", list::list),
    row("LSUB", Authenticated, "IMAP4rev1", list::lsub),
    row("NAMESPACE", Authenticated, "NAMESPACE", |_| Ok(Parse::Run(Command::Namespace))),
    row("STATUS", Authenticated, "", mailbox::status),
    append("APPEND", Authenticated, "", Kind::Append),
    row("NOTIFY", Authenticated, "NOTIFY", notify::notify),
    row("ESEARCH", Authenticated, "MULTISEARCH", search::esearch),
    row("GETQUOTA", Authenticated, "QUOTA", access::get_quota),
    row("GETQUOTAROOT", Authenticated, "QUOTA", access::get_quota_root),
    row("SETQUOTA", Authenticated, "QUOTASET", access::set_quota),
    row("GETACL", Authenticated, "ACL", access::get_acl),
    row("SETACL", Authenticated, "ACL", access::set_acl),
    row("DELETEACL", Authenticated, "ACL", access::delete_acl),
    row("LISTRIGHTS", Authenticated, "ACL", access::list_rights),
    row("MYRIGHTS", Authenticated, "ACL", access::my_rights),
    row("GETMETADATA", Authenticated, "METADATA", access::get_metadata),
    row("SETMETADATA", Authenticated, "METADATA", access::set_metadata),
    row("GENURLAUTH", Authenticated, "URLAUTH", access::gen_url_auth),
    row("URLFETCH", Authenticated, "URLAUTH", access::url_fetch),
    row("RESETKEY", Authenticated, "URLAUTH", access::reset_key),
    row("CHECK", Selected, "IMAP4rev1", |_| Ok(Parse::Run(Command::Check))),
    row("CLOSE", Selected, "", |_| Ok(Parse::Run(Command::Close))),
    row("UNSELECT", Selected, "UNSELECT", |_| Ok(Parse::Run(Command::Unselect))),
    row("EXPUNGE", Selected, "", |_| Ok(Parse::Run(Command::Expunge(None)))),
    row("SEARCH", Selected, "", search::search),
    row("SORT", Selected, "SORT", search::sort),
    row("THREAD", Selected, "THREAD", search::thread),
    row("UIDBATCHES", Selected, "UIDBATCHES", message::uid_batches),
    row("CANCELUPDATE", Selected, "CONTEXT", message::cancel_update),
    row("FETCH", Selected, "", fetch::fetch),
    row("STORE", Selected, "", message::store),
    row("COPY", Selected, "", message::copy),
    row("MOVE", Selected, "MOVE", message::move_),
    append("REPLACE", Selected, "REPLACE", Kind::Replace { is_uid: false }),
];

/// Those behind `UID `.
const UID_ROWS: &[Row] = &[
    row("EXPUNGE", Selected, "UIDPLUS", message::uid_expunge),
    row("SEARCH", Selected, "", search::uid_search),
    row("SORT", Selected, "SORT", search::uid_sort),
    row("THREAD", Selected, "THREAD", search::uid_thread),
    row("FETCH", Selected, "", fetch::uid_fetch),
    row("STORE", Selected, "", message::uid_store),
    row("COPY", Selected, "", message::uid_copy),
    row("MOVE", Selected, "MOVE", message::uid_move),
    append("REPLACE", Selected, "REPLACE", Kind::Replace { is_uid: true }),
];

/// Reads the verb and finds its row.
pub(super) fn find(scan: &mut Scan) -> Parsed<&'static Row> {
    let mut verb = scan.atom()?;
    let rows = match verb == "UID" {
        true => {
            scan.sp()?;
            verb = scan.atom()?;
            UID_ROWS
        }
        false => ROWS,
    };
    match rows.iter().find(|row| row.verb == verb && scan.offers(row.needs)) {
        Some(row) => Ok(row),
        None => Err(Refusal::bad("unknown command")),
    }
}
