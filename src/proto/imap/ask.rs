//! The questions of the machine and their answers.

use super::command::{Command, Flag, MailboxName, Messages};
use super::extension::Enabled;
use super::response::{Code, Status};
use crate::clock::Timestamp;
use crate::sasl::{Evidence, Found, Lookup};
use std::net::IpAddr;
use std::time::Duration;

/// Questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// May this peer connect? Answer: [`Answer::Verdict`].
    Connect(Option<IpAddr>),
    /// SASL looks something up. Answer: [`Answer::Found`].
    Look(Lookup),
    /// A login. Answer: [`Answer::Login`].
    Login(Evidence),
    /// What the client says about itself (RFC 2971), for the log. Answer: [`Answer::Done`].
    Id(Vec<(String, Option<String>)>),
    /// A command. Answer: [`Answer::Output`].
    Run(Box<Request>),
    /// More of the command's output: the last one was taken. Answer: [`Answer::Output`].
    More,
    /// IDLE begins (RFC 9051 §6.3.13); what has changed is told at once. Answer: [`Answer::Untagged`].
    IdleStart,
    /// Something has changed during IDLE, or under NOTIFY; also asked for the rest of what did not fit. Answer: [`Answer::Untagged`].
    Changes,
    /// IDLE ends; what changed last is told before the tagged reply. Answer: [`Answer::Done`] or [`Answer::Untagged`].
    IdleEnd,
    /// A message of APPEND or REPLACE begins; its octets have not been sent yet. Answer: [`Answer::Verdict`].
    AppendBegin(Box<AppendMessage>),
    /// CATENATE: so many octets of text come (RFC 4469). Answer: [`Answer::Verdict`].
    AppendText(u64),
    /// CATENATE: what this URL names. Answer: [`Answer::Verdict`].
    AppendUrl(String),
    /// Octets of the message as the client sent them: line ends are CRLF where the client keeps the standard, and nothing is repaired;
    /// without [`AppendMessage::is_binary`] there is no NUL. Answer: [`Answer::Verdict`].
    AppendChunk(Vec<u8>),
    /// The message is whole. Answer: [`Answer::Verdict`].
    AppendEnd,
    /// All messages are whole: store all or none (RFC 3502), and for REPLACE remove the old one. Answer: [`Answer::Output`].
    AppendCommit,
    /// The command failed: nothing of it is stored. A connection that ends before [`Ask::AppendCommit`] means the same. Answer: [`Answer::Done`].
    AppendAbort,
    /// UNAUTHENTICATE (RFC 8437): forget the login and the mailbox. Answer: [`Answer::Done`].
    Unauthenticate,
}

/// A command with what its execution depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// For the correlators of ESEARCH and for contexts.
    pub tag: Box<str>,
    /// What is switched on, this command's own effect included.
    pub enabled: Enabled,
    /// The command.
    pub command: Command,
}

/// A message that APPEND or REPLACE announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendMessage {
    /// Where to.
    pub mailbox: MailboxName,
    /// REPLACE: the message that goes (RFC 8508).
    pub replaces: Option<Messages>,
    /// Its number within the command, from 0.
    pub index: u32,
    /// Its flags.
    pub flags: Vec<Flag>,
    /// INTERNALDATE.
    pub date: Option<Timestamp>,
    /// Octets on the wire; `None` with CATENATE.
    pub size: Option<u64>,
    /// It may hold NUL (RFC 3516 §4.4).
    pub is_binary: bool,
    /// It came as `UTF8 (~{n}` (RFC 6855 §4).
    pub is_utf8: bool,
    /// What is switched on.
    pub enabled: Enabled,
}

/// Answers. Where several are named for a question, or another one comes, the connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Go on, or refuse.
    Verdict(Result<(), Refusal>),
    /// What was looked up.
    Found(Found),
    /// Logged in, or not.
    Login(Result<(), Denial>),
    /// Untagged responses, ready to send.
    Output {
        /// Octets of whole lines; a line may go on in the next output, its literals too.
        bytes: Vec<u8>,
        /// How the command ended; `None` when more output comes.
        outcome: Option<Outcome>,
    },
    /// Untagged responses, ready to send.
    Untagged {
        /// Whole lines.
        bytes: Vec<u8>,
        /// More of it comes: [`Ask::Changes`] follows.
        is_more: bool,
    },
    /// It is done.
    Done,
    /// The session can't go on: `* BYE`, in place of any other answer.
    Bye(String),
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// OK, NO or BAD.
    pub status: Status,
    /// The response code.
    pub code: Option<Code>,
    /// For people.
    pub text: String,
    /// What became of the session's state.
    pub effect: Effect,
}

impl Outcome {
    /// OK, and no change of state.
    pub fn ok(text: impl Into<String>) -> Outcome {
        Outcome { status: Status::Ok, code: None, text: text.into(), effect: Effect::Unchanged }
    }

    /// NO, and no change of state.
    pub fn no(code: Option<Code>, text: impl Into<String>) -> Outcome {
        Outcome { status: Status::No, code, text: text.into(), effect: Effect::Unchanged }
    }

    /// With a response code.
    pub fn with_code(self, code: Code) -> Outcome {
        Outcome { code: Some(code), ..self }
    }

    /// With an effect.
    pub fn with_effect(self, effect: Effect) -> Outcome {
        Outcome { effect, ..self }
    }
}

/// What a command does to the session's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Unchanged,
    /// A mailbox is selected now.
    Selected,
    /// No mailbox is selected now.
    Unselected,
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// NO or BAD.
    pub status: Status,
    /// The response code.
    pub code: Option<Code>,
    /// For people.
    pub text: String,
}

impl Refusal {
    /// NO.
    pub fn no(code: Option<Code>, text: impl Into<String>) -> Refusal {
        Refusal { status: Status::No, code, text: text.into() }
    }

    /// BAD.
    pub fn bad(text: impl Into<String>) -> Refusal {
        Refusal { status: Status::Bad, code: None, text: text.into() }
    }

    pub(super) fn with_code(self, code: Code) -> Refusal {
        Refusal { code: Some(code), ..self }
    }
}

/// Why a login was not granted (RFC 5530 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// Wrong name or password: say so after the pause.
    Wrong(Duration),
    /// Right, but not allowed here.
    Forbidden(String),
    /// Right, but a limit is reached.
    Limit(String),
    /// Our trouble.
    Unavailable(String),
}
