//! What only the world knows: the machine's questions and their answers.

use super::params::{Mail, Rcpt};
use super::turn::Said;
use crate::sasl::{Evidence, Found, Lookup};
use crate::status::Reply;
use std::net::IpAddr;
use std::time::Duration;

/// Questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// May this peer connect? Asked again when XCLIENT or PROXY names another one.
    Connect(Option<IpAddr>, u16),
    /// SASL looks something up.
    Look(Lookup),
    /// A login.
    Login(Evidence),
    /// May this sender send?
    Sender(Box<Begin>),
    /// Is this recipient taken?
    Recipient(Box<Rcpt>),
    /// The text will come now.
    Open,
    /// A piece of text, LF line ends.
    Chunk(Vec<u8>),
    /// The last piece; make the message durable.
    Commit(Vec<u8>),
    /// The transaction is over without a message.
    Abort,
    /// VRFY.
    Verify(String),
    /// EXPN.
    Expand(String),
    /// ETRN.
    Etrn(String),
    /// ATRN: may the connection be turned round for these domains? None means all of the account's.
    Turn(Vec<String>),
    /// The connection is turned round, and the other side said this; nothing where the last answer was [`super::Then::Ask`].
    Heard(Vec<u8>),
}

/// A transaction's beginning, with what the session knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// MAIL FROM.
    pub mail: Mail,
    /// The name from EHLO.
    pub helo: Option<String>,
    /// `ESMTPSA` and its kin (RFC 3848).
    pub protocol: String,
    /// TLS version and cipher.
    pub tls: Option<(String, String)>,
}

/// Answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To Connect, Sender, Recipient, Open, Chunk, Turn: go on, or refuse with this reply.
    Verdict(Result<(), Reply>),
    /// To Sender, Recipient: go on, with this reply instead of the usual one.
    Begun(Reply),
    /// To Look.
    Found(Found),
    /// To Login: the account's name; or the pause and, for other trouble than wrong credentials, the reply.
    Login(Result<String, (Duration, Option<Reply>)>),
    /// To Commit: one reply, or for LMTP one for each accepted recipient. To Verify, Expand and Etrn: the reply.
    Replies(Vec<Reply>),
    /// To Heard.
    Said(Said),
    /// To Abort.
    Done,
}
