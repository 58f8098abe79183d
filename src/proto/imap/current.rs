//! The command that is being received.

use super::append::Appending;
use super::ask::Refusal;
use super::commands::{self, Row, State};
use super::config::Config;
use super::extension::Enabled;
use super::frame::Piece;
use super::scan::Scan;

/// Longest tag, in octets.
const TAG: usize = 128;
/// What a piece costs beside its octets: many empty literals are not free.
const PIECE: usize = 64;

/// Its pieces so far, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Current {
    /// `None` until the first line is read, and when there was none in it.
    pub(super) tag: Option<Box<str>>,
    pub(super) row: Option<&'static Row>,
    /// The pieces behind the verb that are not understood yet.
    pub(super) pieces: Vec<Piece>,
    /// Octets held.
    pub(super) size: usize,
    /// It is refused: the rest is read and dropped, then this is said.
    pub(super) refused: Option<Refusal>,
    pub(super) append: Option<Box<Appending>>,
}

impl Current {
    /// Adds text up to a line's end or announcement.
    pub(super) fn push_text(&mut self, text: &[u8], limit: usize) {
        self.size += text.len() + PIECE;
        match self.size > limit {
            true => self.refuse(Refusal::bad("the command is too long")),
            false => self.pieces.push(Piece::Text(text.into())),
        }
    }

    /// Makes room for a literal; its octets come by [`Current::fill`].
    pub(super) fn push_literal(&mut self, is_binary: bool) {
        self.size += PIECE;
        self.pieces.push(Piece::Literal(Vec::new(), is_binary));
    }

    pub(super) fn fill(&mut self, octets: &[u8]) {
        if let Some(Piece::Literal(literal, _)) = self.pieces.last_mut() {
            literal.extend_from_slice(octets);
            self.size += octets.len();
        }
    }

    /// What was framed is understood, but for this text.
    pub(super) fn keep_text(&mut self, text: &[u8]) {
        self.pieces = vec![Piece::Text(text.into())];
        self.size = text.len() + PIECE;
    }

    /// From here on the command is only read to its end. The first reason counts.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.refused.get_or_insert(refusal);
        self.pieces = Vec::new();
    }

    /// Reads tag and verb, when their line is there.
    pub(super) fn begin(&mut self, config: &Config, enabled: Enabled, is_legal: impl Fn(State) -> Result<(), Refusal>) {
        let pieces = std::mem::take(&mut self.pieces);
        let mut scan = Scan::new(&pieces, config, enabled);
        match scan.tag() {
            Some(tag) if tag.len() > TAG => return self.refuse(Refusal::bad("the tag is too long")),
            Some(tag) if scan.peek() == Some(b' ') => self.tag = Some(tag.into()),
            _ => return self.refuse(Refusal::bad("expected a tag and a command")),
        }
        let found = scan.sp().and_then(|()| commands::find(&mut scan));
        match found.and_then(|row| is_legal(row.state).map(|()| row)) {
            Ok(row) => {
                self.row = Some(row);
                self.keep_text(scan.text_left());
            }
            Err(refusal) => self.refuse(refusal),
        }
    }
}
