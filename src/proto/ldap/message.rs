//! LDAP messages: requests that are printed, responses that are read.
//!
//! RFC 4511 §4.1.1 and the sections of each operation. Controls are neither sent nor looked at.

use super::ber::{self, Elements, put, put_nested, put_number};
use super::{Filter, ServerError};

pub use crate::rules::ldap::{Deref, Scope};

const BIND: u8 = 0x60;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const BOUND: u8 = 0x61;
const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;
const REFERENCE: u8 = 0x73;
const EXTENDED: u8 = 0x78;
/// `simple` of a bind request.
const SIMPLE: u8 = 0x80;
/// `referral` of a result.
const REFERRAL: u8 = 0xa3;
/// The version we speak.
const VERSION: u32 = 3;

/// What a search asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The entry it starts at.
    pub base: Vec<u8>,
    /// How deep it goes.
    pub scope: Scope,
    /// Where aliases are followed.
    pub deref: Deref,
    /// Most entries; 0 is no limit.
    pub size_limit: u32,
    /// Most seconds; 0 is no limit.
    pub time_limit: u32,
    /// Names of attributes without their values.
    pub names_only: bool,
    /// Which entries.
    pub filter: Filter,
    /// Which attributes; none stands for all.
    pub attributes: Vec<Vec<u8>>,
}

/// A request, ready to be sent.
fn request(id: u32, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put_nested(&mut out, ber::SEQUENCE, |out| {
        put_number(out, ber::INTEGER, id);
        fill(out);
    });
    out
}

/// Logs in with a password; with neither name nor password, as nobody (RFC 4513 §5.1).
pub fn bind(id: u32, name: &[u8], password: &[u8]) -> Vec<u8> {
    request(id, |out| {
        put_nested(out, BIND, |out| {
            put_number(out, ber::INTEGER, VERSION);
            put(out, ber::OCTETS, name);
            put(out, SIMPLE, password);
        });
    })
}

/// Searches.
pub fn search(id: u32, search: &Search) -> Vec<u8> {
    let scope = match search.scope {
        Scope::Base => 0,
        Scope::One => 1,
        Scope::Sub => 2,
    };
    let deref = match search.deref {
        Deref::Never => 0,
        Deref::Search => 1,
        Deref::Find => 2,
        Deref::Always => 3,
    };
    request(id, |out| {
        put_nested(out, SEARCH, |out| {
            put(out, ber::OCTETS, &search.base);
            put_number(out, ber::ENUMERATED, scope);
            put_number(out, ber::ENUMERATED, deref);
            put_number(out, ber::INTEGER, search.size_limit.min(i32::MAX as u32));
            put_number(out, ber::INTEGER, search.time_limit.min(i32::MAX as u32));
            put(out, ber::BOOLEAN, &[if search.names_only { 0xff } else { 0 }]);
            out.extend_from_slice(search.filter.octets());
            put_nested(out, ber::SEQUENCE, |out| {
                search.attributes.iter().for_each(|name| put(out, ber::OCTETS, name));
            });
        });
    })
}

/// Says farewell; nothing comes back.
pub fn unbind(id: u32) -> Vec<u8> {
    request(id, |out| put(out, UNBIND, &[]))
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The result code (RFC 4511 §4.1.9).
    pub code: u32,
    /// What the server says to it.
    pub text: Vec<u8>,
    /// Other servers that it names.
    pub referrals: Vec<Vec<u8>>,
}

/// An entry that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub dn: Vec<u8>,
    /// Attributes and their values.
    pub attributes: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// The end of a login.
    Bound(Outcome),
    /// An entry.
    Entry(Entry),
    /// Other servers know more.
    Reference(Vec<Vec<u8>>),
    /// The end of a search.
    Done(Outcome),
    /// An answer that nobody has asked for, with number 0: the server hangs up (RFC 4511 §4.4.1).
    Notice(Outcome),
}

/// Reads one message: its number, and what it says.
pub(super) fn response(text: &[u8]) -> Result<(u32, Response), ServerError> {
    let mut message = Elements::of(Elements::of(text).expect(ber::SEQUENCE)?);
    let id = ber::number(message.expect(ber::INTEGER)?)?;
    let id = u32::try_from(id).map_err(|_| ServerError("a message without a number"))?;
    let (tag, content) = message.next()?.ok_or(ServerError("a message without content"))?;
    let response = match tag {
        BOUND => Response::Bound(outcome(content)?),
        ENTRY => Response::Entry(entry(content)?),
        REFERENCE => Response::Reference(texts(content)?),
        DONE => Response::Done(outcome(content)?),
        EXTENDED => Response::Notice(outcome(content)?),
        _ => return Err(ServerError("an answer to another question")),
    };
    Ok((id, response))
}

/// `LDAPResult`; what stands behind it is passed over.
fn outcome(content: &[u8]) -> Result<Outcome, ServerError> {
    let mut elements = Elements::of(content);
    let code = ber::number(elements.expect(ber::ENUMERATED)?)?;
    let code = u32::try_from(code).map_err(|_| ServerError("no result code"))?;
    let _matched = elements.expect(ber::OCTETS)?;
    let text = elements.expect(ber::OCTETS)?.to_vec();
    let referrals = match elements.next()? {
        Some((REFERRAL, content)) => texts(content)?,
        _ => Vec::new(),
    };
    Ok(Outcome { code, text, referrals })
}

fn entry(content: &[u8]) -> Result<Entry, ServerError> {
    let mut elements = Elements::of(content);
    let dn = elements.expect(ber::OCTETS)?.to_vec();
    let mut list = Elements::of(elements.expect(ber::SEQUENCE)?);
    let mut attributes = Vec::new();
    while let Some((tag, content)) = list.next()? {
        if tag != ber::SEQUENCE {
            return Err(ServerError("an attribute that is none"));
        }
        let mut attribute = Elements::of(content);
        let name = attribute.expect(ber::OCTETS)?.to_vec();
        attributes.push((name, texts(attribute.expect(ber::SET)?)?));
    }
    Ok(Entry { dn, attributes })
}

/// Octet strings, one behind the other.
fn texts(content: &[u8]) -> Result<Vec<Vec<u8>>, ServerError> {
    let mut elements = Elements::of(content);
    let mut texts = Vec::new();
    while let Some((tag, text)) = elements.next()? {
        if tag != ber::OCTETS {
            return Err(ServerError("a text that is none"));
        }
        texts.push(text.to_vec());
    }
    Ok(texts)
}

/// What a result code means, in words.
pub fn meaning(code: u32) -> &'static str {
    match code {
        0 => "Success",
        1 => "Operations error",
        2 => "Protocol error",
        3 => "Time limit exceeded",
        4 => "Size limit exceeded",
        7 => "Authentication method not supported",
        8 => "Strong(er) authentication required",
        10 => "Referral",
        11 => "Administrative limit exceeded",
        12 => "Critical extension is unavailable",
        13 => "Confidentiality required",
        16 => "No such attribute",
        17 => "Undefined attribute type",
        18 => "Inappropriate matching",
        21 => "Invalid syntax",
        32 => "No such object",
        33 => "Alias problem",
        34 => "Invalid DN syntax",
        36 => "Alias dereferencing problem",
        48 => "Inappropriate authentication",
        49 => "Invalid credentials",
        50 => "Insufficient access",
        51 => "Server is busy",
        52 => "Server is unavailable",
        53 => "Server is unwilling to perform",
        54 => "Loop detected",
        _ => "Other error",
    }
}
