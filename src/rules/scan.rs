//! Text to tokens and back.
//!
//! The tokeniser is a small machine over classes of characters: operators are tokens by themselves, atoms join, a quoted string is
//! one token with its quotes, white space separates and vanishes, comments vanish where the table says so. What is unbalanced is
//! repaired and complained about, except in rules, which are taken as they stand.

use super::meta;
use super::token::Token;

/// Longest token, in octets, less one.
pub const TOKEN_LIMIT: usize = 256;
/// Most tokens of a workspace.
pub const TOKENS_LIMIT: usize = 1000;
/// Most octets of all tokens, with one for the end of each.
pub const SCAN_LIMIT: usize = TOKEN_LIMIT + TOKENS_LIMIT;
/// The delimiters that are operators whatever `OperatorChars` says.
const FIXED: &[u8] = b"()<>,;\r\n";
/// `OperatorChars` when the file names none.
pub const OPERATORS: &[u8] = b".:@[]";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Operator,
    Atom,
    Quote,
    Space,
    /// An operator that takes the name behind it into its token.
    Named,
}

/// The classes of characters.
#[derive(Debug, Clone)]
pub struct Alphabet {
    kinds: [Kind; 256],
    /// Octets that do nothing but make an atom longer.
    plain: [bool; 256],
}

/// How parentheses and imbalance are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Mail text, values of macros and maps: comments vanish, imbalance is repaired and reported, operators are ordinary characters.
    Mail,
    /// A map's default: as `Mail`, but operators count, so that it may call a subroutine.
    Default,
    /// Lines of `-bt`: parentheses are delimiters, imbalance is repaired and reported.
    Typed,
    /// Rules: parentheses are delimiters, nothing is repaired.
    Rule,
    /// Rules of files below level 9: comments vanish, nothing is repaired.
    OldRule,
}

/// Why a text has no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// More than [`SCAN_LIMIT`] octets.
    #[error("Address too long")]
    TooLong,
    /// A token over [`TOKEN_LIMIT`].
    #[error("prescan: token too long")]
    TokenTooLong,
    /// More than [`TOKENS_LIMIT`] tokens.
    #[error("prescan: too many tokens")]
    TooManyTokens,
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// What was repaired, in order.
    pub complaints: Vec<&'static str>,
    /// Where the text ended: at its end or at the stop character.
    pub end: usize,
}

impl Alphabet {
    /// The table for these `OperatorChars`.
    pub fn new(operators: &[u8]) -> Alphabet {
        let mut kinds = [Kind::Atom; 256];
        kinds[0x80..0xa0].fill(Kind::Operator);
        kinds[usize::from(meta::MACRO)] = Kind::Atom;
        for named in [meta::CLASS, meta::NOT_CLASS, meta::MATCHED, meta::DELAYED] {
            kinds[usize::from(named)] = Kind::Named;
        }
        for space in b" \t\x0b\x0c" {
            kinds[usize::from(*space)] = Kind::Space;
        }
        kinds[usize::from(b'"')] = Kind::Quote;
        for operator in operators.iter().chain(FIXED).filter(|b| b.is_ascii()) {
            kinds[usize::from(*operator)] = Kind::Operator;
        }
        for space in b"\r\n" {
            kinds[usize::from(*space)] = Kind::Space;
        }
        let is_plain = |byte: u8| byte.is_ascii() && byte != 0 && !b"\\<>()".contains(&byte);
        let plain = std::array::from_fn(|n| kinds[n] == Kind::Atom && is_plain(n as u8));
        Alphabet { kinds, plain }
    }

    #[inline]
    fn kind(&self, byte: u8) -> Kind {
        self.kinds[usize::from(byte)]
    }

    /// Cuts text into tokens, up to a `stop` character outside quotes, comments and routes (0: to the end).
    pub fn scan(&self, text: &[u8], stop: u8, style: Style) -> Result<Scanned, ScanError> {
        Scanner::new(self, text, stop, style).run()
    }

    /// True for a text that is one atom.
    pub fn is_atom(&self, text: &[u8]) -> bool {
        !text.is_empty() && text.len() < TOKEN_LIMIT && text.iter().all(|byte| self.plain[usize::from(*byte)])
    }

    /// True when these tokens, joined and cut again, are the same ones: where a value is made of tokens, both can be saved.
    pub fn is_stable(&self, tokens: &[Token]) -> bool {
        let (mut angles, mut after_atom) = (0, false);
        tokens.iter().all(|token| {
            let is_atom = self.is_atom(token);
            let is_stable = match &token[..] {
                _ if is_atom => !after_atom,
                b"<" => {
                    angles += 1;
                    true
                }
                b">" => {
                    angles -= 1;
                    angles >= 0
                }
                [operator] => {
                    operator.is_ascii() && self.kind(*operator) == Kind::Operator && !b"\\()".contains(operator)
                }
                _ => false,
            };
            after_atom = is_atom;
            is_stable
        }) && angles == 0
            && tokens.len() < TOKENS_LIMIT
            && tokens.iter().map(|token| token.len() + 1).sum::<usize>() + 5 < SCAN_LIMIT
    }

    /// Joins tokens to text; `blank` stands between two atoms only.
    pub fn join(&self, tokens: &[Token], blank: u8) -> Vec<u8> {
        let mut out = Vec::new();
        self.join_into(tokens, blank, &mut out);
        out
    }

    /// [`Alphabet::join`] into a buffer, which is emptied first.
    pub fn join_into(&self, tokens: &[Token], blank: u8, out: &mut Vec<u8>) {
        out.clear();
        out.reserve(tokens.iter().map(|token| token.len() + 1).sum());
        let mut after_atom = false;
        for token in tokens {
            let atom = token.first().is_some_and(|b| self.kind(*b) == Kind::Atom);
            if after_atom && atom {
                out.push(blank);
            }
            out.extend_from_slice(token);
            after_atom = atom;
        }
    }
}

struct Scanner<'a> {
    alphabet: &'a Alphabet,
    text: &'a [u8],
    stop: u8,
    style: Style,
    found: Scanned,
    token: Vec<u8>,
    /// Octets of finished tokens with their ends.
    used: usize,
    /// What the token is made of; a space when the next character begins one.
    state: Kind,
    quoted: bool,
    comments: usize,
    angles: usize,
    /// Inside `<@a,@b:c>` a comma separates hops, not addresses.
    route: bool,
}

impl<'a> Scanner<'a> {
    fn new(alphabet: &'a Alphabet, text: &'a [u8], stop: u8, style: Style) -> Scanner<'a> {
        Scanner {
            alphabet,
            text,
            stop,
            style,
            found: Scanned { tokens: Vec::with_capacity(8), ..Scanned::default() },
            token: Vec::with_capacity(32),
            used: 0,
            state: Kind::Atom,
            quoted: false,
            comments: 0,
            angles: 0,
            route: false,
        }
    }

    fn run(mut self) -> Result<Scanned, ScanError> {
        let mut at = 0;
        while let Some(&byte) = self.text.get(at) {
            if byte == 0 {
                break;
            }
            if byte == self.stop && !self.quoted && self.comments == 0 {
                if self.angles == 0 {
                    break;
                }
                if byte == b',' && !self.route {
                    self.complain("Unbalanced '<'");
                    self.take(b'>')?;
                    continue;
                }
            }
            if !self.quoted && self.comments == 0 && self.alphabet.plain[usize::from(byte)] {
                at += self.plain(at)?;
                continue;
            }
            at += 1;
            if byte == b'<' {
                let next = self.text[at..].iter().find(|b| !b.is_ascii_whitespace());
                self.route = next == Some(&b'@');
            }
            if byte == b'\\' {
                let next = self.text.get(at).copied().filter(|next| *next != 0);
                if next == Some(self.stop) && !self.quoted && self.comments == 0 {
                    // What ends the text ends it here, too, and the backslash is lost; within `<>` it is the repair that is escaped.
                    if self.angles == 0 {
                        break;
                    }
                    if self.stop == b',' && !self.route && self.repairs() {
                        self.complain("Unbalanced '<'");
                        self.escaped(Some(b'>'))?;
                        continue;
                    }
                }
                match (next, self.open()) {
                    // So it is with what is open at the end, which stays open.
                    (None, Some((said, close))) if self.repairs() => {
                        self.complain(said);
                        self.escaped(Some(close))?;
                    }
                    _ => self.escaped(next)?,
                }
                at += usize::from(next.is_some());
                continue;
            }
            self.take(byte)?;
            if self.kind(byte) == Kind::Named && !self.quoted {
                let length = meta::name_length(&self.text[at..]);
                for name in &self.text[at..at + length] {
                    self.push(*name)?;
                }
                at += length;
                self.end_token()?;
            }
        }
        self.found.end = at;
        self.balance()?;
        self.end_token()?;
        Ok(self.found)
    }

    /// Takes the plain octets from here on, as far as they go; gives their number.
    fn plain(&mut self, at: usize) -> Result<usize, ScanError> {
        let rest = &self.text[at..];
        let is_plain = |byte: &u8| self.alphabet.plain[usize::from(*byte)] && *byte != self.stop;
        let length = rest.iter().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
        self.begin(Kind::Atom)?;
        if self.used + self.token.len() + length + 4 >= SCAN_LIMIT {
            return Err(ScanError::TooLong);
        }
        self.token.extend_from_slice(&rest[..length]);
        Ok(length)
    }

    /// A backslash and what stands behind it.
    fn escaped(&mut self, next: Option<u8>) -> Result<(), ScanError> {
        if self.comments > 0 {
            return Ok(());
        }
        if !self.quoted {
            self.begin(Kind::Atom)?;
        }
        match next {
            // For those who type host\!user in a shell.
            Some(b'!') if !self.quoted => self.take(b'!'),
            Some(byte) => {
                self.push(b'\\')?;
                self.push(byte)
            }
            None => Ok(()),
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), ScanError> {
        let strips = matches!(self.style, Style::Mail | Style::Default | Style::OldRule);
        if self.quoted {
            self.push(byte)?;
            if byte == b'"' {
                self.quoted = false;
                self.end_token()?;
            }
            return Ok(());
        }
        match byte {
            b'(' if strips => {
                self.comments += 1;
                return Ok(());
            }
            b')' if strips => {
                match self.comments {
                    0 => self.complain("Unbalanced ')'"),
                    _ => {
                        self.comments -= 1;
                        self.end_token()?;
                    }
                }
                return Ok(());
            }
            _ if self.comments > 0 => return Ok(()),
            b'<' => self.angles += 1,
            b'>' => match self.angles {
                0 if self.repairs() => {
                    self.complain("Unbalanced '>'");
                    return Ok(());
                }
                0 => {}
                _ => self.angles -= 1,
            },
            _ => {}
        }
        let kind = self.kind(byte);
        match kind {
            Kind::Space => self.end_token(),
            Kind::Quote => {
                self.begin(kind)?;
                self.quoted = true;
                self.push(byte)
            }
            Kind::Operator | Kind::Named => {
                self.end_token()?;
                self.begin(kind)?;
                self.push(byte)
            }
            Kind::Atom => {
                self.begin(kind)?;
                self.push(byte)
            }
        }
    }

    /// Starts a token of this kind, unless an atom goes on.
    fn begin(&mut self, kind: Kind) -> Result<(), ScanError> {
        if !(kind == Kind::Atom && self.state == Kind::Atom) {
            self.end_token()?;
        }
        self.state = kind;
        Ok(())
    }

    fn push(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.used + self.token.len() + 5 >= SCAN_LIMIT {
            return Err(ScanError::TooLong);
        }
        self.token.push(if byte == 0xff { 0x7f } else { byte });
        Ok(())
    }

    fn end_token(&mut self) -> Result<(), ScanError> {
        self.state = Kind::Atom;
        if self.token.is_empty() {
            return Ok(());
        }
        if self.found.tokens.len() >= TOKENS_LIMIT {
            return Err(ScanError::TooManyTokens);
        }
        if self.token.len() >= TOKEN_LIMIT {
            return Err(ScanError::TokenTooLong);
        }
        self.found.tokens.push(Token::new(&self.token));
        self.used += self.token.len() + 1;
        self.token.clear();
        Ok(())
    }

    fn kind(&self, byte: u8) -> Kind {
        match self.alphabet.kind(byte) {
            Kind::Operator | Kind::Named if self.style == Style::Mail && !byte.is_ascii() => Kind::Atom,
            kind => kind,
        }
    }

    fn repairs(&self) -> bool {
        matches!(self.style, Style::Mail | Style::Default | Style::Typed)
    }

    fn complain(&mut self, text: &'static str) {
        if self.repairs() {
            self.found.complaints.push(text);
        }
    }

    /// What is open, as a complaint and as the character that closes it.
    fn open(&self) -> Option<(&'static str, u8)> {
        match (self.quoted, self.comments, self.angles) {
            (true, ..) => Some(("Unbalanced '\"'", b'"')),
            (_, 1.., _) => Some(("Unbalanced '('", b')')),
            (_, _, 1..) => Some(("Unbalanced '<'", b'>')),
            _ => None,
        }
    }

    /// Closes what is open at the end.
    fn balance(&mut self) -> Result<(), ScanError> {
        if !self.repairs() {
            return Ok(());
        }
        while let Some((said, close)) = self.open() {
            self.complain(said);
            self.take(close)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
