//! DATA and BDAT: the text, to its one true end.

use super::ask::Ask;
use super::server::{Mode, SmtpSession, Wait};
use crate::dot::{DotDecoder, Progress};
use crate::status::{Enhanced, Reply};

fn bare_newline() -> Reply {
    Reply::new(550, Enhanced(5, 6, 0), "The message has a bare CR or LF: lines end with CR LF")
}

impl SmtpSession {
    pub(super) fn data_opened(&mut self, verdict: Result<(), Reply>) {
        match (verdict, &mut self.txn) {
            (Ok(()), Some(txn)) => {
                txn.is_open = true;
                txn.pace = Some((self.now, 0));
                self.mode = Mode::Data(DotDecoder::default());
                self.reply(&Reply::bare(354, "End the message with a line that holds a dot only"));
            }
            (Ok(()), None) => self.refuse_with(503, (5, 5, 1), "MAIL first"),
            (Err(reply), _) => {
                self.refuse(&reply);
                self.drop_txn();
            }
        }
    }

    pub(super) fn take_data(&mut self, bytes: &[u8]) -> usize {
        let Mode::Data(decoder) = &mut self.mode else { return 0 };
        let mut text = Vec::with_capacity(bytes.len());
        let (taken, progress) = decoder.feed(bytes, &mut text);
        let failed = self.txn.as_ref().and_then(|t| t.failed.clone());
        match (progress, failed) {
            (Progress::More, None) if !text.is_empty() => self.ask(Ask::Chunk(text), Wait::Chunk),
            (Progress::More, _) => {}
            (Progress::End, None) => {
                self.mode = Mode::Command;
                self.ask(Ask::Commit(text), Wait::Commit);
            }
            (Progress::EndBare, None) => self.end_failed(&bare_newline(), true),
            (Progress::End | Progress::EndBare, Some(reply)) => self.end_failed(&reply, true),
        }
        taken
    }

    /// The text's end, when it is refused: one reply; for LMTP one for each recipient (RFC 2033 §4.2), but only one
    /// for a piece that is not the last (RFC 2033 §4.3).
    fn end_failed(&mut self, reply: &Reply, is_last: bool) {
        self.mode = Mode::Command;
        let count = match (&self.txn, self.config.kind) {
            (Some(txn), super::Kind::Lmtp) if is_last => txn.accepted.len().max(1),
            _ => 1,
        };
        self.drop_txn();
        for _ in 1..count {
            self.reply(reply);
        }
        self.refuse(reply);
    }

    pub(super) fn chunk_answered(&mut self, verdict: Result<(), Reply>) {
        let Some(txn) = &mut self.txn else { return };
        match verdict {
            Ok(()) => txn.is_open = true,
            Err(reply) => txn.failed = Some(reply),
        }
        if let Mode::Bdat(..) = self.mode {
            self.bdat_progress(Vec::new());
        }
    }

    pub(super) fn take_bdat(&mut self, bytes: &[u8]) -> usize {
        let Mode::Bdat(left, _, decoder) = &mut self.mode else { return 0 };
        let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        let mut text = Vec::with_capacity(taken);
        decoder.feed(&bytes[..taken], &mut text);
        *left -= taken as u64;
        self.bdat_progress(text);
        taken
    }

    /// Passes text on, and ends the piece when all of it has come.
    pub(super) fn bdat_progress(&mut self, text: Vec<u8>) {
        let Mode::Bdat(left, is_last, decoder) = &mut self.mode else { return };
        let (left, is_last, is_bare) = (*left, *is_last, decoder.is_bare());
        let failed = self.txn.as_ref().and_then(|t| t.failed.clone());
        if left > 0 {
            if failed.is_none() && !text.is_empty() {
                self.ask(Ask::Chunk(text), Wait::Chunk);
            }
            return;
        }
        if let Some(reply) = failed {
            // RFC 3030 §4.2: the piece was read; the sequence is over.
            return self.end_failed(&reply, is_last);
        }
        if is_last {
            if is_bare {
                return self.end_failed(&bare_newline(), true);
            }
            self.mode = Mode::Command;
            return self.ask(Ask::Commit(text), Wait::Commit);
        }
        if !text.is_empty() {
            // Answered, this comes back here with nothing left, and the reply follows.
            return self.ask(Ask::Chunk(text), Wait::Chunk);
        }
        if let Mode::Bdat(_, _, decoder) = std::mem::replace(&mut self.mode, Mode::Command) {
            self.bdat = Some(decoder);
        }
        // Progress, not idle talk.
        self.commands = self.commands.saturating_sub(1);
        self.say(250, (2, 0, 0), "Piece taken");
    }
}
