//! `key=value` words of our own text files: accounts, envelopes, journals.
//!
//! One line holds words separated by one blank; a value's bytes outside a plain set are written `%XX`, so that
//! every line stays one line, sorts by bytes, and can be read by eye, grep and awk.
//! Called by `users` and `spool`. Unknown words are the reader's to keep: older and newer binaries share files.

use std::fmt::Write as _;

/// Writes `text` with everything but letters, digits and `@ . _ - + = / : , $ [ ] < > * ~ ^` as `%XX`.
///
/// `#` is always encoded, so that a comment sorts and reads apart from data.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"@._-+=/:,$[]<>*~^".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}

/// Reads what [`encode`] wrote; `None` for a broken `%XX` or bytes that are no UTF-8.
pub fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_string());
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
    String::from_utf8(out).ok()
}

/// The words of a line after its first: pairs of key and decoded value, in order.
pub fn pairs(line: &str) -> Option<Vec<(String, String)>> {
    line.split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| {
            let (key, value) = word.split_once('=')?;
            Some((key.to_string(), decode(value)?))
        })
        .collect()
}

/// Appends ` key=value`.
pub fn push(line: &mut String, key: &str, value: &str) {
    let _ = write!(line, " {key}={}", encode(value));
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
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
