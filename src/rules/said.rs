//! Texts around an address and of a line: complaints, and words without their quotes and backslashes.

/// A complaint about an address, which is shortened when it is long.
pub fn about(address: &[u8], complaint: impl AsRef<[u8]>) -> Vec<u8> {
    /// Octets of each end that are left.
    const END: usize = 100;
    let shown = match address.len() > 2 * END + 3 {
        true => [&address[..END], b"...", &address[address.len() - END..]].concat(),
        false => address.to_vec(),
    };
    [&shown[..], b"... ", complaint.as_ref()].concat()
}

/// Text without its double quotes; a backslash keeps the next character.
pub fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut escaped = false;
    for &byte in text {
        match byte {
            b'\\' if !escaped => {
                escaped = true;
                continue;
            }
            b'"' if !escaped => {}
            _ => out.push(byte),
        }
        escaped = false;
    }
    out
}

/// A value of a line up to this octet outside quotes, without its quotes and backslashes; and how much of the text it took. `\\n` and its
/// like are what they are in C, but for the tab, which sendmail takes for a `t`.
pub fn munched(text: &[u8], stop: Option<u8>) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(text.len());
    let (mut at, mut quoted) = (0, false);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => {
                at += 1;
                out.extend(text.get(at).map(|next| match next {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    other => *other,
                }));
            }
            b'"' => quoted = !quoted,
            _ if Some(byte) == stop && !quoted => return (out, at),
            _ => out.push(byte),
        }
        at += 1;
    }
    (out, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_taken_off() {
        for (text, wanted, taken) in [
            (&b"a b"[..], &b"a b"[..], 3),
            (b"\"q q\" b\\n\\t\\\"d", b"q q b\nt\"d", 14),
            (b"a\\,b, c", b"a,b", 4),
            (b"\"a,b\",c", b"a,b", 5),
            (b"\"open, c", b"open, c", 8),
            (b"end\\", b"end", 4),
        ] {
            assert_eq!(munched(text, Some(b',')), (wanted.to_vec(), taken), "{}", String::from_utf8_lossy(text));
        }
    }
}
