//! `key=value` words of our own text files: accounts, envelopes, journals.
//!
//! One line holds words separated by one blank; a value's bytes outside a plain set are written `%XX`, so that
//! every line stays one line, sorts by bytes, and can be read by eye, grep and awk.
//! Called by `users` and `spool`. Unknown words are the reader's to keep: older and newer binaries share files.

use std::borrow::Cow;

/// Writes `text` with everything but letters, digits and `@ . _ - + = / : , $ [ ] < > * ~ ^` as `%XX`.
///
/// `#` is always encoded, so that a comment sorts and reads apart from data.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_encoded(&mut out, text);
    out
}

fn push_encoded(out: &mut String, text: &str) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._-+=/:,$[]<>*~^".contains(&byte);
    if text.bytes().all(is_plain) {
        return out.push_str(text);
    }
    for byte in text.bytes() {
        match is_plain(byte) {
            true => out.push(char::from(byte)),
            false => out.extend(['%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
        }
    }
}

/// Reads what [`encode`] wrote; `None` for a broken `%XX` or bytes that are no UTF-8.
pub fn decode(text: &str) -> Option<String> {
    read(text).map(Cow::into_owned)
}

/// The same, borrowed where nothing was encoded.
fn read(text: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'%', text.as_bytes()).is_none() {
        return Some(text.into());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = (bytes.next()? as char).to_digit(16)?;
            let low = (bytes.next()? as char).to_digit(16)?;
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// The words of a line after its first: pairs of key and decoded value, in order.
pub fn pairs(line: &str) -> Option<Vec<(String, String)>> {
    let words = words(line)?.into_iter();
    Some(words.map(|(key, value)| (key.to_string(), value.into_owned())).collect())
}

/// The same, borrowed as far as that is possible.
fn words(line: &str) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let mut found = Vec::with_capacity(8);
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        let (key, value) = word.split_once('=')?;
        found.push((key, read(value)?));
    }
    Some(found)
}

/// The words of a line, to be asked for by key.
#[derive(Debug)]
pub struct Words<'a>(Vec<(&'a str, Cow<'a, str>)>);

impl<'a> Words<'a> {
    /// Reads them as [`pairs`] does.
    pub fn of(line: &'a str) -> Option<Words<'a>> {
        words(line).map(Words)
    }

    /// The value of a key; the last one counts.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| *known == key).map(|(_, value)| &**value)
    }

    /// The same, to be kept.
    pub fn take(&self, key: &str) -> Option<String> {
        self.get(key).map(str::to_string)
    }

    /// True when the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
}

/// Appends ` key=value`.
pub fn push(line: &mut String, key: &str, value: &str) {
    line.reserve(key.len() + value.len() + 2);
    line.push(' ');
    line.push_str(key);
    line.push('=');
    push_encoded(line, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        for value in ["", "plain", "two words", "100%", "a\nb", "日本", "#x", "k=v"] {
            let mut line = String::from("head");
            push(&mut line, "v", value);
            assert!(!line.contains('\n'));
            assert_eq!(pairs(&line["head".len()..]), Some(vec![("v".to_string(), value.to_string())]));
        }
        let words = Words::of("a=1 b=x%20y a=2").unwrap();
        assert_eq!((words.get("a"), words.get("b"), words.has("c")), (Some("2"), Some("x y"), false));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
