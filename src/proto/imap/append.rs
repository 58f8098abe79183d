//! APPEND and REPLACE: messages go to the service as they come, none is ever held whole (RFC 9051 §6.3.12, RFC 3502, RFC 4469, RFC 8508).
//!
//! Each line is understood as far as it goes ([`parse::append`]); what was understood becomes questions, asked one after another; then
//! the literal that the line announced is taken. A refusal before a synchronising literal is said at once, in place of `+`; behind any
//! other the client's octets are read and dropped, so that the connection stays in step.

use super::ask::{AppendMessage, Ask, Refusal};
use super::command::{MailboxName, Messages};
use super::commands::Reader;
use super::current::Current;
use super::extension::Extension;
use super::frame::{Announced, Tail};
use super::parse::append::{self as parse, At, Element, Form, Kind, Stop};
use super::response::{self, Code};
use super::scan::{Parsed, Scan};
use super::server::{After, ImapSession, Mode, Wait};
use std::collections::VecDeque;

/// Most octets of a message in one question.
const CHUNK: usize = 64 << 10;

/// Where the command stands.
#[derive(Debug)]
pub(super) struct Appending {
    at: At,
    target: Option<(MailboxName, Option<Messages>)>,
    /// Messages begun.
    messages: u32,
    form: Form,
    /// The service holds something of this command.
    pub(super) is_open: bool,
    /// Understood, not asked yet.
    queue: VecDeque<Element>,
    then: Then,
    /// The literal that flows may hold NUL.
    is_binary: bool,
}

/// What follows when all questions are answered.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// The next line.
    Line,
    /// A message's octets.
    Body(Announced),
    /// A literal that is an argument.
    Argument(Announced),
    /// The command is whole.
    Commit,
}

impl ImapSession {
    /// Takes a line of APPEND or REPLACE.
    pub(super) fn append_line(&mut self, mut current: Box<Current>, tail: &Tail) {
        let announced = match tail {
            Tail::Literal(announced) => Some(*announced),
            _ => None,
        };
        let mut append = current.append.take().unwrap_or_else(|| {
            Box::new(Appending {
                at: At::Verb,
                target: None,
                messages: 0,
                form: Form::Literal,
                is_open: false,
                queue: VecDeque::new(),
                then: Then::Line,
                is_binary: false,
            })
        });
        let read = self.read_elements(&mut current, &mut append, announced);
        current.append = Some(append);
        match read {
            Ok(()) => self.append_on(current),
            Err(refusal) => {
                current.refuse(refusal);
                match announced {
                    Some(announced) => self.drop_literal(current, announced),
                    None => self.report(&current),
                }
            }
        }
    }

    /// Reads as many elements as the pieces hold.
    fn read_elements(&self, current: &mut Current, append: &mut Appending, announced: Option<Announced>) -> Parsed<()> {
        let Some(Reader::Append(kind)) = current.row.map(|row| row.reader) else {
            return Err(Refusal::bad("unknown command"));
        };
        let pieces = std::mem::take(&mut current.pieces);
        let mut scan = Scan::new(&pieces, &self.config, self.enabled);
        loop {
            let before = scan.text_left();
            let found = parse::next(&mut scan, &mut append.at, kind, announced.is_some(), append.messages)?;
            let is_before_body = match &found {
                Ok(Element::Message(_, _, form)) => {
                    append.messages += 1;
                    *form != Form::Catenate
                }
                Ok(element) => *element == Element::Text,
                Err(_) => false,
            };
            let stop = match found {
                Ok(Element::Target(..)) if kind_needs_uid(kind) && self.enabled.has(Extension::UidOnly) => {
                    return Err(Refusal::bad("use UID REPLACE").with_code(Code::UidRequired));
                }
                Ok(element) => {
                    append.queue.push_back(element);
                    None
                }
                Err(stop) => Some(stop),
            };
            current.size = 0;
            append.then = match (stop, announced) {
                (Some(Stop::End), _) => Then::Commit,
                (Some(Stop::Argument), Some(announced)) => {
                    current.keep_text(before);
                    Then::Argument(announced)
                }
                (None, Some(announced)) if is_before_body => {
                    self.check_body(append, announced)?;
                    Then::Body(announced)
                }
                _ => continue,
            };
            return Ok(());
        }
    }

    /// What can be said of a body before its first octet.
    fn check_body(&self, append: &mut Appending, announced: Announced) -> Parsed<()> {
        let may_be_binary = match append.queue.back() {
            Some(Element::Message(_, _, Form::Literal)) => self.config.offers("BINARY"),
            Some(Element::Message(..)) => true,
            _ => false,
        };
        if announced.is_binary && !may_be_binary {
            return Err(Refusal::bad("literal8 is not offered here"));
        }
        // `UTF8 (~{n}` says that header fields are UTF-8, not that there is NUL.
        let is_plain = matches!(append.queue.back(), Some(Element::Message(_, _, Form::Literal)));
        append.is_binary = announced.is_binary && is_plain;
        // RFC 3502: how a client takes a MULTIAPPEND back.
        if announced.size == 0 && matches!(append.queue.back(), Some(Element::Message(..))) {
            return Err(Refusal::no(None, "an empty message is none"));
        }
        self.check_non_sync(announced)
    }

    /// Asks the next question, or does what follows the last one.
    fn append_on(&mut self, mut current: Box<Current>) {
        let Some(append) = &mut current.append else { return };
        while let Some(element) = append.queue.pop_front() {
            let size = match append.then {
                Then::Body(announced) => Some(announced.size),
                _ => None,
            };
            let ask = match element {
                Element::Target(mailbox, replaces) => {
                    append.target = Some((mailbox, replaces));
                    continue;
                }
                Element::Message(flags, date, form) => {
                    let Some((mailbox, replaces)) = append.target.clone() else { continue };
                    append.form = form;
                    append.is_open = true;
                    Ask::AppendBegin(Box::new(AppendMessage {
                        mailbox,
                        replaces,
                        index: append.messages - 1,
                        flags,
                        date,
                        size: size.filter(|_| form != Form::Catenate),
                        is_binary: append.is_binary && form == Form::Literal,
                        is_utf8: form == Form::Utf8,
                        enabled: self.enabled,
                    }))
                }
                Element::Text => Ask::AppendText(size.unwrap_or(0)),
                Element::Url(url) => Ask::AppendUrl(url),
                Element::MessageEnd => Ask::AppendEnd,
            };
            self.current = Some(current);
            return self.ask(ask, Wait::Append);
        }
        match std::mem::replace(&mut append.then, Then::Line) {
            Then::Line => self.current = Some(current),
            Then::Argument(announced) => self.take_literal(current, announced),
            Then::Commit => match current.tag.take() {
                Some(tag) => self.ask(Ask::AppendCommit, Wait::Run(tag, After::Nothing)),
                None => self.report(&current),
            },
            Then::Body(announced) => {
                if announced.is_sync {
                    response::continuation(&mut self.out, "send the message");
                }
                self.mode = Mode::Message(announced.size);
                self.current = Some(current);
                if announced.size == 0 {
                    self.body_taken();
                }
            }
        }
    }

    /// A question about the message was answered.
    pub(super) fn append_answered(&mut self, verdict: Result<(), Refusal>) {
        let Some(mut current) = self.current.take() else { return };
        let Err(refusal) = verdict else { return self.append_on(current) };
        let Some(append) = &mut current.append else { return };
        append.queue.clear();
        let then = std::mem::replace(&mut append.then, Then::Line);
        current.refuse(refusal);
        match then {
            Then::Line => self.current = Some(current),
            Then::Body(announced) | Then::Argument(announced) => self.drop_literal(current, announced),
            Then::Commit => self.report(&current),
        }
    }

    /// Takes octets of the message.
    pub(super) fn take_message(&mut self, left: u64, octets: &[u8]) -> usize {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(octets.len()).min(CHUNK);
        let octets = &octets[..length];
        self.mode = Mode::Message(left - length as u64);
        let Some(current) = &mut self.current else { return length };
        let may_hold_nul = current.append.as_ref().is_some_and(|append| append.is_binary);
        if !may_hold_nul && memchr::memchr(0, octets).is_some() {
            // RFC 9051 §4.3.1.
            current.refuse(Refusal::bad("NUL in a message that is no literal8"));
            self.skip(left - length as u64);
        } else {
            self.ask(Ask::AppendChunk(octets.to_vec()), Wait::Chunk);
        }
        length
    }

    /// A piece of the message was taken, or not.
    pub(super) fn chunk_answered(&mut self, verdict: Result<(), Refusal>) {
        let left = match self.mode {
            Mode::Message(left) => left,
            _ => 0,
        };
        match (verdict, &mut self.current) {
            (Err(refusal), Some(current)) => {
                current.refuse(refusal);
                self.skip(left);
            }
            _ if left == 0 => self.body_taken(),
            _ => {}
        }
    }

    /// The literal is whole: for the plain form that is the message.
    fn body_taken(&mut self) {
        self.mode = Mode::Command;
        let Some(mut current) = self.current.take() else { return };
        if let Some(append) = current.append.as_mut().filter(|append| append.form == Form::Literal) {
            append.queue.push_back(Element::MessageEnd);
        }
        self.append_on(current);
    }
}

/// REPLACE names its message by number.
fn kind_needs_uid(kind: Kind) -> bool {
    kind == Kind::Replace { is_uid: false }
}
