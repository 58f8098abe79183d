//! The Content fields of a part's header: type, encoding, disposition and their parameters, undecoded.
//!
//! Called by the structure scanner, which needs the type and its boundary, and by the printers of BODYSTRUCTURE. IMAP shows these
//! values raw: nothing here decodes encoded words or character sets.
//! Trust: input is hostile. What breaks the grammar is read as mail readers do: a value that should have been quoted runs to
//! the next blank (a file name: to the next semicolon), a quote that never closes holds the rest of the field, a type that is none
//! is text/plain (RFC 2045 §5.2). The first of several equal fields counts.
//! RFC 2045 §5, RFC 2045 §6, RFC 2183, RFC 2231 §3, RFC 2557 §4, RFC 3282.

use super::header::all_fields;
use std::borrow::Cow;
use std::collections::HashMap;

/// So many pieces of one parameter are joined (RFC 2231 §3); those behind are dropped.
pub const PIECE_LIMIT: usize = 128;

/// `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// The name as written, with RFC 2231's asterisks.
    pub name: Cow<'a, [u8]>,
    /// The value, unquoted and unfolded, not decoded.
    pub value: Cow<'a, [u8]>,
}

/// A media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media<'a> {
    /// `text` of `text/plain`, as written.
    pub kind: &'a [u8],
    /// `plain` of `text/plain`, as written.
    pub subtype: &'a [u8],
    /// In the order of the field.
    pub parameters: Vec<Parameter<'a>>,
}

/// A Content-Disposition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition<'a> {
    /// `inline`, `attachment` or another word, as written.
    pub kind: &'a [u8],
    /// In the order of the field.
    pub parameters: Vec<Parameter<'a>>,
}

/// What a part's header says of its body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content<'a> {
    /// Content-Type; `None` when there is no such field.
    pub media: Option<Media<'a>>,
    /// Content-ID, with its angle brackets.
    pub id: Option<Cow<'a, [u8]>>,
    /// Content-Description.
    pub description: Option<Cow<'a, [u8]>>,
    /// Content-Transfer-Encoding.
    pub encoding: Option<&'a [u8]>,
    /// Content-MD5.
    pub md5: Option<Cow<'a, [u8]>>,
    /// Content-Disposition.
    pub disposition: Option<Disposition<'a>>,
    /// Content-Language: tags.
    pub language: Vec<&'a [u8]>,
    /// Content-Location.
    pub location: Option<Cow<'a, [u8]>>,
}

impl<'a> Media<'a> {
    /// `text/plain` without parameters.
    pub const PLAIN: Media<'static> = Media { kind: b"text", subtype: b"plain", parameters: Vec::new() };
    /// `message/rfc822` without parameters.
    pub const MESSAGE: Media<'static> = Media { kind: b"message", subtype: b"rfc822", parameters: Vec::new() };

    /// Reads a field body; what is no media type is text/plain.
    fn read(body: &'a [u8]) -> Media<'a> {
        let mut cursor = Cursor { rest: body };
        let kind = cursor.token();
        let slash = cursor.take(b'/');
        let subtype = if slash { cursor.token() } else { b"" };
        match (kind.is_empty(), subtype.is_empty()) {
            (false, false) => Media { kind, subtype, parameters: cursor.parameters() },
            // `Content-Type: text` is older than MIME; its parameters are worth having.
            (false, true) if kind.eq_ignore_ascii_case(b"text") => {
                Media { parameters: cursor.parameters(), ..Media::PLAIN }
            }
            _ => Media::PLAIN,
        }
    }

    /// True for this type, in any case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.is_kind(kind) && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// True for any subtype of this type, in any case.
    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
    }

    /// The value of the first parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        let found = self.parameters.iter().find(|p| p.name.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|p| p.value.as_ref())
    }
}

impl<'a> Content<'a> {
    /// Reads them from a part's header.
    pub fn read(header: &'a [u8]) -> Content<'a> {
        let mut content = Content::default();
        for field in all_fields(header) {
            let Some(name) = field.name.get(8..).filter(|_| field.name[..8].eq_ignore_ascii_case("content-")) else {
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "type" if content.media.is_none() => content.media = Some(Media::read(field.body())),
                "id" => first(&mut content.id, || field.unfolded()),
                "description" => first(&mut content.description, || field.unfolded()),
                "md5" => first(&mut content.md5, || field.unfolded()),
                "location" => first(&mut content.location, || location(field.body())),
                "transfer-encoding" if content.encoding.is_none() => {
                    content.encoding = Some(Cursor { rest: field.body() }.token()).filter(|token| !token.is_empty());
                }
                "disposition" if content.disposition.is_none() => {
                    let mut cursor = Cursor { rest: field.body() };
                    let kind = cursor.token();
                    if !kind.is_empty() {
                        content.disposition = Some(Disposition { kind, parameters: cursor.parameters() });
                    }
                }
                "language" if content.language.is_empty() => content.language = languages(field.body()),
                _ => {}
            }
        }
        content
    }

    /// True when the body is encoded: base64 or quoted-printable.
    pub fn is_encoded(&self) -> bool {
        self.encoding.is_some_and(|e| e.eq_ignore_ascii_case(b"base64") || e.eq_ignore_ascii_case(b"quoted-printable"))
    }
}

fn first<'a>(value: &mut Option<Cow<'a, [u8]>>, read: impl FnOnce() -> Cow<'a, [u8]>) {
    if value.is_none() {
        *value = Some(read());
    }
}

/// Language tags, separated by commas (RFC 3282).
fn languages(body: &[u8]) -> Vec<&[u8]> {
    let mut cursor = Cursor { rest: body };
    let mut found = Vec::new();
    loop {
        let tag = cursor.token();
        if !tag.is_empty() {
            found.push(tag);
        }
        if !cursor.take(b',') {
            return found;
        }
    }
}

/// The URI of Content-Location: without comments around it, without the blanks that folding left in it, and without the quotes that
/// some programs add (RFC 2557 §4.2, RFC 2557 §4.4.3). Parentheses inside a word are part of the URI.
fn location(body: &[u8]) -> Cow<'_, [u8]> {
    let mut cursor = Cursor { rest: body };
    let mut found = Cow::Borrowed(&b""[..]);
    loop {
        cursor.skip_blanks();
        let end = cursor.rest.iter().position(u8::is_ascii_whitespace).unwrap_or(cursor.rest.len());
        match cursor.cut(end) {
            b"" => break,
            word if found.is_empty() => found = Cow::Borrowed(word),
            word => found.to_mut().extend_from_slice(word),
        }
    }
    match found {
        Cow::Borrowed([b'"', inside @ .., b'"']) => Cow::Borrowed(inside),
        Cow::Owned(ref quoted) if quoted.len() > 1 && quoted.starts_with(b"\"") && quoted.ends_with(b"\"") => {
            Cow::Owned(quoted[1..quoted.len() - 1].to_vec())
        }
        found => found,
    }
}

/// Joins the pieces of continued parameters (RFC 2231 §3) and leaves the rest as they are.
///
/// `name*0`, `name*1` become `name`. When a piece is an extended one (`name*0*`), the whole becomes `name*`, its value still
/// `charset'language'%XX` with plain pieces escaped; a character that was cut between two pieces is whole again.
/// Pieces count from 0 without a gap; pieces of a parameter without a piece 0 stay as they are.
pub fn joined<'a>(parameters: &[Parameter<'a>]) -> Vec<Parameter<'a>> {
    if !parameters.iter().any(|p| piece(p).is_some()) {
        return parameters.to_vec();
    }
    let mut pieces: HashMap<Vec<u8>, Vec<Piece>> = HashMap::new();
    for parameter in parameters {
        if let Some((name, piece)) = piece(parameter)
            && piece.number < PIECE_LIMIT
        {
            pieces.entry(name.to_ascii_lowercase()).or_default().push(piece);
        }
    }
    let mut out = Vec::new();
    for parameter in parameters {
        let Some((name, Piece { number, .. })) = piece(parameter) else {
            out.push(parameter.clone());
            continue;
        };
        let key = name.to_ascii_lowercase();
        // A name without pieces in the map was joined already; a number beyond the limit is dropped.
        let Some(found) = pieces.get(&key).filter(|_| number < PIECE_LIMIT) else { continue };
        if found.iter().all(|piece| piece.number != 0) {
            out.push(parameter.clone());
        } else if number == 0 {
            out.extend(pieces.remove(&key).map(|found| join(name, found)));
        }
    }
    out
}

fn join<'a>(name: &[u8], mut pieces: Vec<Piece>) -> Parameter<'a> {
    pieces.sort_by_key(|piece| piece.number);
    pieces.dedup_by_key(|piece| piece.number);
    let run = pieces.iter().enumerate().take_while(|(at, piece)| *at == piece.number).count();
    pieces.truncate(run);
    let extended = pieces.iter().any(|piece| piece.extended);
    let mut value = Vec::new();
    if extended && !pieces[0].extended {
        // Plain first piece, so no charset was named.
        value.extend_from_slice(b"''");
    }
    for piece in &pieces {
        for byte in piece.text {
            if !extended || piece.extended || is_attribute_char(*byte) {
                value.push(*byte);
            } else {
                value.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
        }
    }
    let mut name = name.to_vec();
    name.extend(extended.then_some(b'*'));
    Parameter { name: Cow::Owned(name), value: Cow::Owned(value) }
}

/// attribute-char of RFC 2231 §7.
fn is_attribute_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=*'%".contains(&byte)
}

/// One piece of a continued parameter.
struct Piece<'a> {
    number: usize,
    extended: bool,
    text: &'a [u8],
}

/// `name*3` or `name*3*`: the name, and which piece it is.
fn piece<'a>(parameter: &'a Parameter) -> Option<(&'a [u8], Piece<'a>)> {
    let name = parameter.name.as_ref();
    let (body, extended) = match name.strip_suffix(b"*") {
        Some(body) => (body, true),
        None => (name, false),
    };
    let star = memchr::memrchr(b'*', body)?;
    let digits = std::str::from_utf8(&body[star + 1..]).ok()?;
    if star == 0 || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().unwrap_or(usize::MAX);
    Some((&body[..star], Piece { number, extended, text: &parameter.value }))
}

/// Reads a structured field body from left to right.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Passes blanks, line ends and comments; a comment that never closes is the rest of the field.
    fn skip_blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if self.rest.first() != Some(&b'(') {
                return;
            }
            let mut depth = 0u32;
            let mut at = 0;
            while at < self.rest.len() {
                match self.rest[at] {
                    b'\\' => at += 1,
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    break;
                }
            }
            self.rest = &self.rest[at.min(self.rest.len())..];
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let is_there = self.rest.first() == Some(&byte);
        if is_there {
            self.rest = &self.rest[1..];
        }
        is_there
    }

    fn cut(&mut self, end: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// token of RFC 2045 §5.1; empty when there is none here.
    fn token(&mut self) -> &'a [u8] {
        self.skip_blanks();
        let is_token = |b: &u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(b);
        let end = self.rest.iter().position(|b| !is_token(b)).unwrap_or(self.rest.len());
        self.cut(end)
    }

    fn parameters(&mut self) -> Vec<Parameter<'a>> {
        let mut found = Vec::new();
        loop {
            while self.take(b';') {}
            if self.rest.is_empty() {
                return found;
            }
            let name = self.token();
            if name.is_empty() || !self.take(b'=') {
                // No parameter: on to the next semicolon.
                let end = memchr::memchr(b';', self.rest).unwrap_or(self.rest.len());
                self.cut(end);
                continue;
            }
            let value = self.value(name);
            found.push(Parameter { name: Cow::Borrowed(name), value });
        }
    }

    fn value(&mut self, name: &[u8]) -> Cow<'a, [u8]> {
        self.skip_blanks();
        if self.rest.first() == Some(&b'"') {
            self.rest = &self.rest[1..];
            return self.quoted();
        }
        let is_file = name.eq_ignore_ascii_case(b"name") || name.eq_ignore_ascii_case(b"filename");
        let is_end = |b: &u8| *b == b';' || b"\r\n".contains(b) || (!is_file && b" \t".contains(b));
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        Cow::Borrowed(self.cut(end).trim_ascii_end())
    }

    /// quoted-string behind its opening quote; line ends are taken out.
    fn quoted(&mut self) -> Cow<'a, [u8]> {
        let end = memchr::memchr3(b'"', b'\\', b'\n', self.rest).unwrap_or(self.rest.len());
        if self.rest.get(end) == Some(&b'"') {
            let text = self.cut(end);
            self.rest = &self.rest[1..];
            return Cow::Borrowed(text);
        }
        let mut out = Vec::new();
        let mut at = 0;
        while at < self.rest.len() {
            match self.rest[at] {
                b'"' => {
                    at += 1;
                    break;
                }
                b'\\' if at + 1 < self.rest.len() && !b"\r\n".contains(&self.rest[at + 1]) => {
                    out.push(self.rest[at + 1]);
                    at += 1;
                }
                b'\n' => {}
                b'\r' if self.rest.get(at + 1) == Some(&b'\n') => {}
                byte => out.push(byte),
            }
            at += 1;
        }
        self.cut(at);
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(parameters: &[Parameter]) -> String {
        let pair = |p: &Parameter| format!(" {}={}", p.name.escape_ascii(), p.value.escape_ascii());
        parameters.iter().map(pair).collect()
    }

    #[test]
    fn media_types() {
        for (body, expected) in [
            (" text/plain", "text/plain"),
            (" TEXT / (c) html(x)", "TEXT/html"),
            (" text/plain; charset=us-ascii (Plain text)", "text/plain charset=us-ascii"),
            (" text/plain charset=utf-8", "text/plain charset=utf-8"),
            (" text; charset=x", "text/plain charset=x"),
            ("", "text/plain"),
            (" text/", "text/plain"),
            (" /plain", "text/plain"),
            (" nonsense", "text/plain"),
            (" a/b; boundary=\"x y\"; c=d", "a/b boundary=x y c=d"),
            (" a/b; boundary=\"foo\n bar\"", "a/b boundary=foo bar"),
            (" a/b; x=\"q\\\"\\\\\r\n z\"", "a/b x=q\\\"\\\\ z"),
            (" a/b; boundary=----=_Next/Part?1;;x=y", "a/b boundary=----=_Next/Part?1 x=y"),
            (" a/b; name=my file (1).pdf; x=y", "a/b name=my file (1).pdf x=y"),
            (" a/b; charset=utf-8\r\n\tformat=flowed", "a/b charset=utf-8 format=flowed"),
            (" a/b; novalue; =x; y=", "a/b y="),
            (" a/b; x=\"open; y=z\n", "a/b x=open; y=z"),
            (" a/b (open; x=y", "a/b"),
            (" a/b; x*0*=utf-8''%41; x*1=b", "a/b x*0*=utf-8\\'\\'%41 x*1=b"),
        ] {
            let media = Media::read(body.as_bytes());
            let found =
                format!("{}/{}{}", media.kind.escape_ascii(), media.subtype.escape_ascii(), show(&media.parameters));
            assert_eq!(found, expected, "{body:?}");
        }
    }

    #[test]
    fn pieces_are_joined() {
        for (body, expected) in [
            ("n*0=a; n*1=b; x=y; n*2=c", " n=abc x=y"),
            ("N*1=b; n*0=a; n*3=d", " n=ab"),
            ("n*0*=utf-8'ja'%E3%81; n*1*=%82; n*2=\" a\"", " n*=utf-8\\'ja\\'%E3%81%82%20a"),
            ("n*0=a; n*1*=%41", " n*=\\'\\'a%41"),
            ("n*1=a; n*2=b", " n*1=a n*2=b"),
            ("n*=utf-8''x; n=y", " n*=utf-8\\'\\'x n=y"),
            ("n*0=a; n*0=b; n*999999999999999999999=c", " n=a"),
            ("*0=a; n**=b; n*x=c", " *0=a n**=b n*x=c"),
        ] {
            let text = format!(" a/b; {body}");
            assert_eq!(show(&joined(&Media::read(text.as_bytes()).parameters)), expected, "{body}");
        }
        let many: String = (0..PIECE_LIMIT + 50).map(|i| format!("; n*{i}=x")).collect();
        let found = format!(" a/b{many}");
        assert_eq!(joined(&Media::read(found.as_bytes()).parameters)[0].value.len(), PIECE_LIMIT);
    }

    #[test]
    fn the_other_fields() {
        let header = b"Content-ID: <a@b>\ncontent-id: <c@d>\nContent-Description: two\n words\n\
            CONTENT-TRANSFER-ENCODING: (c) Base64 x\nContent-MD5: Q2hlY2s=\nContent-Disposition: attachment; filename=a b.c\n\
            Content-Language: en (English), de,,\n ja\nContent-Location: http://a.test/x\nX: y\n\n";
        let content = Content::read(header);
        assert_eq!(content.id.as_deref(), Some(&b"<a@b>"[..]));
        assert_eq!(content.description.as_deref(), Some(&b"two words"[..]));
        assert_eq!(content.encoding, Some(&b"Base64"[..]));
        assert!(content.is_encoded() && content.media.is_none());
        assert_eq!(content.md5.as_deref(), Some(&b"Q2hlY2s="[..]));
        let disposition = content.disposition.unwrap();
        assert_eq!((disposition.kind, show(&disposition.parameters).as_str()), (&b"attachment"[..], " filename=a b.c"));
        assert_eq!(content.language, [&b"en"[..], b"de", b"ja"]);
        assert_eq!(content.location.as_deref(), Some(&b"http://a.test/x"[..]));
        assert_eq!(Content::read(b""), Content::default());
    }

    #[test]
    fn locations() {
        for (body, expected) in [
            (" http://a.test/x", "http://a.test/x"),
            (" (before) http://a.test/x (and after)", "http://a.test/x"),
            (" \"http://a.test/long/\n   way/\n\tx\" ", "http://a.test/long/way/x"),
            (" \"a\"", "a"),
            (" \"", "\""),
            (" http://a.test/a_(b)", "http://a.test/a_(b)"),
            (" (open http://a.test/x", ""),
            ("", ""),
        ] {
            assert_eq!(location(body.as_bytes()), expected.as_bytes(), "{body}");
        }
    }
}
