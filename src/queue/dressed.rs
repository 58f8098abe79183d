//! A message as a mailer of a sendmail.cf gets it: the header that the mailer wants, its lines, and its eight bits.
//!
//! Called by `agent` for each call of a mailer. The stored message is never changed; what is made of it is held in memory only where its
//! text has to be encoded or decoded.
//!
//! | the mailer | the message | what becomes of it |
//! |---|---|---|
//! | flag 7 | has eight bits | encoded, with flag 3 for EBCDIC too; what can't be loses its eighth bits |
//! | without flag 8, EightBitMode=mimify | has eight bits and says nothing of them | labelled |
//! | flag 9, no host | one text/plain, encoded | decoded |

use super::attempt::{Attempt, Runner};
use super::lines::{Lines, Shape};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::Recipient;
use crate::msg::{self, eight_bit, seven_bit};
use crate::route::{Agent, Letterhead};
use crate::rules::macros::Macros;
use crate::rules::meta;
use crate::settings::EightBits;
use crate::status::Failure;
use std::io::{self, Read};
use std::sync::Arc;

/// Largest message that is encoded or decoded for a mailer, in octets: it is in memory then.
const ENCODED: u64 = 32 << 20;
/// Largest header that is rewritten, in octets.
const HEADER_LIMIT: usize = 1 << 20;

/// A message as a mailer gets it.
pub(super) struct Dressed {
    pub(super) agent: Agent,
    pub(super) macros: Macros,
    /// What stands above the header in a mailbox, with its end; nothing with flag n.
    from_line: Vec<u8>,
    header: Vec<u8>,
    /// Octets of the header as it lies in the queue, with its empty line.
    skip: u64,
    shape: Shape,
    /// What text is called that says nothing of its character set.
    charset: Option<String>,
    /// The whole message encoded or decoded, where the mailer wants that.
    made: Option<Arc<[u8]>>,
}

impl Runner {
    /// The message as this mailer wants it.
    pub(super) fn dressed(
        &self,
        attempt: &Attempt,
        agent: &Agent,
        sender: Option<&Address>,
        recipients: &[&Recipient],
        now: Timestamp,
    ) -> Result<Dressed, Failure> {
        let own = attempt.header(HEADER_LIMIT).map_err(|e| Failure::local(&e))?;
        let letter = Letterhead {
            id: attempt.id().as_str(),
            envelope: attempt.envelope(),
            sender,
            recipients,
            header: &own,
            now,
        };
        let router = &self.gate.router;
        let mut macros = router.macros_for(agent, &letter)?;
        let mut header = router.dressed(agent, &letter, &mut macros)?;
        header.push(b'\n');
        let mailer = agent.mailer();
        let cf = self.cf()?;
        // Whoever is spoken with gets the message as a conversation carries it.
        let is_network = agent.is_network() || agent.speaks_lmtp();
        let has_from_line = !mailer.has(b'n') && !is_network;
        let from_line = match has_from_line {
            true => from_line(agent, &cf.from_line, &macros),
            false => Vec::new(),
        };
        let shape = Shape {
            limit: usize::try_from(mailer.line_limit).unwrap_or(0),
            // The network's driver makes its own line ends and dots.
            end: if is_network { b"\n".to_vec() } else { mailer.line_end.clone() },
            stuffs_dots: mailer.has(b'X') && !is_network,
            escapes_from: mailer.has(b'E'),
            seven_bit: mailer.has(b'7'),
            seven_bit_header: mailer.has(b'6'),
            ends_blank: mailer.has(b'b'),
        };
        let fields: usize = msg::fields(&own).map(|field| field.raw.len()).sum();
        let has_end = own.get(fields) == Some(&b'\n');
        let skip = (fields + usize::from(has_end)) as u64;
        let mut dressed =
            Dressed { agent: agent.clone(), macros, from_line, header, skip, shape, charset: None, made: None };
        dressed.charset = router.charset_of(sender);
        dressed.fit_bits(attempt, cf.eight_bits, is_network).map_err(|e| Failure::local(&e))?;
        Ok(dressed)
    }
}

/// The line above the header. Flag U has UUCP's form for a sender with a `!`: `From REST  DATE remote from HOST`.
fn from_line(agent: &Agent, usual: &[u8], macros: &Macros) -> Vec<u8> {
    let expanded = |text: &[u8]| agent.expanded(text, macros);
    let sender = expanded(&[meta::MACRO, b'g']);
    match memchr::memchr(b'!', &sender).filter(|_| agent.mailer().has(b'U')) {
        None => [&expanded(usual)[..], b"\n"].concat(),
        Some(at) => {
            let (host, rest) = (&sender[..at], &sender[at + 1..]);
            [b"From ", rest, b"  ", &expanded(&[meta::MACRO, b'd']), b" remote from ", host, b"\n"].concat()
        }
    }
}

impl Dressed {
    /// Makes of its eight bits what the mailer wants.
    fn fit_bits(&mut self, attempt: &Attempt, mode: EightBits, is_network: bool) -> io::Result<()> {
        let mailer = self.agent.mailer();
        let (wants_seven, wants_eight) = (mailer.has(b'7'), mailer.has(b'9') && !is_network);
        let labels = mode == EightBits::Mimify && !mailer.has(b'8');
        if labels && msg::find(&self.header, "MIME-Version").is_none() && self.has_eight_bits(attempt)? {
            let label = eight_bit::label(&self.header, self.charset.as_deref());
            let end = self.header.len() - 1;
            self.header.splice(end..end, label.into_bytes());
        }
        // Most texts are in clear: they need not be held in memory.
        let is_for_us = wants_seven || wants_eight && eight_bit::is_encoded(&self.header);
        if !is_for_us || attempt.envelope().size > ENCODED {
            return Ok(());
        }
        let mut whole = Vec::new();
        self.whole(attempt)?.read_to_end(&mut whole)?;
        let made = match wants_seven {
            true => seven_bit::message_for(&whole, self.wish()),
            false => eight_bit::message(&whole, &self.note(attempt)),
        };
        self.made = made.map(Arc::from);
        Ok(())
    }

    /// How it is encoded for who takes seven bits.
    pub(super) fn wish(&self) -> seven_bit::Wish<'_> {
        seven_bit::Wish { charset: self.charset.as_deref(), is_ebcdic: self.agent.mailer().has(b'3') }
    }

    /// Who has decoded a text: our name, and the message's.
    fn note(&self, attempt: &Attempt) -> String {
        let host = self.agent.expanded(&[meta::MACRO, b'j'], &self.macros);
        format!("by {} id {}", String::from_utf8_lossy(&host), attempt.id())
    }

    /// True when the body has octets outside ASCII.
    fn has_eight_bits(&self, attempt: &Attempt) -> io::Result<bool> {
        let mut message = attempt.work().claim.message();
        io::copy(&mut (&mut message).take(self.skip), &mut io::sink())?;
        let mut buffer = vec![0; 16 << 10];
        loop {
            match message.read(&mut buffer)? {
                0 => return Ok(false),
                n if !buffer[..n].is_ascii() => return Ok(true),
                _ => {}
            }
        }
    }

    /// The message from its start.
    pub(super) fn text(&self, attempt: &Attempt) -> io::Result<Lines<Box<dyn Read>>> {
        let (text, header): (Box<dyn Read>, usize) = match &self.made {
            None => (self.whole(attempt)?, self.header.len()),
            Some(made) => {
                let header = msg::header_end(made).unwrap_or(made.len());
                (Box::new(io::Cursor::new(made.clone())), header)
            }
        };
        let header = self.from_line.len() + header;
        let text: Box<dyn Read> = Box::new(io::Cursor::new(self.from_line.clone()).chain(text));
        Ok(Lines::new(text, self.shape.clone(), header))
    }

    /// The same in the lines it has.
    fn whole(&self, attempt: &Attempt) -> io::Result<Box<dyn Read>> {
        let mut message = attempt.work().claim.message();
        io::copy(&mut (&mut message).take(self.skip), &mut io::sink())?;
        Ok(Box::new(io::Cursor::new(self.header.clone()).chain(message)))
    }
}
