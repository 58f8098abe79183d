//! Strings of a script that are not finished before it runs: encoded characters and variables.
//!
//! Called by `checker`, once for each string; what has no variable in it is a plain text from then on.
//! RFC 5228 §2.4.2.4, RFC 5229 §3, RFC 6609 §3.3.

/// A string of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// The same whenever it is looked at.
    Plain(Box<str>),
    /// With references in it.
    Mixed(Box<[Piece]>),
}

/// A part of a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Plain(Box<str>),
    /// A variable, by its name in lower case.
    Variable(Box<str>),
    /// A global variable that is named as such.
    Global(Box<str>),
    /// What a wildcard or group has matched.
    Match(usize),
}

/// What a `${...}` is.
#[derive(Debug, PartialEq, Eq)]
pub enum Reference {
    /// A piece of the string.
    Known(Piece),
    /// A variable of a namespace that we don't have.
    Foreign(String),
}

/// The highest number of a match variable; beyond it, the text is empty.
pub const MATCH_LIMIT: usize = 32;
/// A variable's name has at most so many characters.
pub const NAME_LIMIT: usize = 64;

impl Text {
    /// The text, when it is the same at any time.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Text::Plain(text) => Some(text),
            Text::Mixed(_) => None,
        }
    }
}

/// Replaces `${hex:...}` and `${unicode:...}`; the error says which character there is none of.
pub fn decode_characters(text: &str) -> Result<String, String> {
    if !text.contains("${") {
        return Ok(text.to_string());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        match encoded(rest)? {
            Some((bytes, after)) => {
                out.extend(bytes);
                rest = after;
            }
            None => {
                out.extend_from_slice(b"${");
                rest = &rest[2..];
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    let text = String::from_utf8(out).map_err(|_| "encoded characters make no UTF-8".to_string())?;
    if text.contains('\0') { Err("an encoded character is NUL".to_string()) } else { Ok(text) }
}

/// One encoded-arb-octets or encoded-unicode-char, and what stands behind it; `None` when it is neither.
fn encoded(text: &str) -> Result<Option<(Vec<u8>, &str)>, String> {
    let Some((inner, after)) = text[2..].split_once('}') else { return Ok(None) };
    let Some((kind, numbers)) = inner.split_once(':') else { return Ok(None) };
    let words: Vec<&str> = numbers.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect();
    let are_hex = |longest: usize| {
        !words.is_empty() && words.iter().all(|w| w.len() <= longest && w.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let mut bytes = Vec::new();
    if kind.eq_ignore_ascii_case("hex") && are_hex(2) {
        bytes.extend(words.iter().filter_map(|word| u8::from_str_radix(word, 16).ok()));
    } else if kind.eq_ignore_ascii_case("unicode") && are_hex(usize::MAX) {
        for word in words {
            let c = u32::from_str_radix(word, 16).ok().and_then(char::from_u32);
            let c = c.ok_or_else(|| format!("there is no character U+{word}"))?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    } else {
        return Ok(None);
    }
    Ok(Some((bytes, after)))
}

/// Cuts a string at its references; the error names a namespace that we don't have.
pub fn with_variables(text: &str) -> Result<Text, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((Reference::Known(piece), after)) => {
                if !plain.is_empty() {
                    pieces.push(Piece::Plain(std::mem::take(&mut plain).into()));
                }
                pieces.push(piece);
                rest = after;
            }
            Some((Reference::Foreign(space), _)) => return Err(space),
            None => {
                plain.push_str("${");
                rest = &rest[2..];
            }
        }
    }
    plain.push_str(rest);
    if pieces.is_empty() {
        return Ok(Text::Plain(plain.into()));
    }
    if !plain.is_empty() {
        pieces.push(Piece::Plain(plain.into()));
    }
    Ok(Text::Mixed(pieces.into()))
}

/// variable-ref at the start of a text, and what stands behind it.
fn reference(text: &str) -> Option<(Reference, &str)> {
    let (inner, after) = text[2..].split_once('}')?;
    if inner.bytes().next()?.is_ascii_digit() {
        let digits = inner.bytes().all(|b| b.is_ascii_digit());
        // A number that is too large for us names nothing, which is the empty text.
        return digits.then(|| (Reference::Known(Piece::Match(inner.parse().unwrap_or(usize::MAX))), after));
    }
    match inner.rsplit_once('.') {
        None if is_name(inner) => Some((Reference::Known(Piece::Variable(inner.to_ascii_lowercase().into())), after)),
        None => None,
        Some((space, name)) if space.eq_ignore_ascii_case("global") && is_name(name) => {
            Some((Reference::Known(Piece::Global(name.to_ascii_lowercase().into())), after))
        }
        Some((space, name)) if space.split('.').all(is_name) && (is_name(name) || is_number(name)) => {
            Some((Reference::Foreign(space.to_string()), after))
        }
        Some(_) => None,
    }
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())
}

/// True for `identifier`: what a variable may be called.
pub fn is_name(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    name.len() <= NAME_LIMIT
        && name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|b| is_letter(b) || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_characters() {
        for (text, expected) in [
            ("$${hex:40}", Ok("$@")),
            ("${hex: 40 }", Ok("@")),
            ("${HEX: 40 41}", Ok("@A")),
            ("${hex:40", Ok("${hex:40")),
            ("${hex:400}", Ok("${hex:400}")),
            ("${hex:c3}${hex:A9}", Ok("é")),
            ("${unicode:000003a9}", Ok("Ω")),
            ("${Unicode:40 41}", Ok("@A")),
            ("${unicode:4Z}", Ok("${unicode:4Z}")),
            ("${unicode:D800}", Err("there is no character U+D800")),
            ("${hex:ff}", Err("encoded characters make no UTF-8")),
        ] {
            assert_eq!(decode_characters(text).as_deref().map_err(String::as_str), expected, "{text}");
        }
    }

    #[test]
    fn references() {
        let plain = |s: &str| Piece::Plain(s.into());
        let variable = |s: &str| Piece::Variable(s.into());
        for (text, expected) in [
            ("&%${}!", Ok(Text::Plain("&%${}!".into()))),
            ("${doh!}", Ok(Text::Plain("${doh!}".into()))),
            ("${", Ok(Text::Plain("${".into()))),
            ("a${Name}${2}b", Ok(Text::Mixed([plain("a"), variable("name"), Piece::Match(2), plain("b")].into()))),
            ("${${x}}", Ok(Text::Mixed([plain("${"), variable("x"), plain("}")].into()))),
            ("${global.x}", Ok(Text::Mixed([Piece::Global("x".into())].into()))),
            ("${2a}", Ok(Text::Plain("${2a}".into()))),
            ("${imap.flag}", Err("imap".to_string())),
        ] {
            assert_eq!(with_variables(text), expected, "{text}");
        }
    }
}
