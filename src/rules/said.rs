//! Texts around an address: complaints about it, and words without their quotes.

/// A complaint about an address, which is shortened when it is long.
pub fn about(address: &[u8], complaint: &str) -> Vec<u8> {
    /// Octets of each end that are left.
    const END: usize = 100;
    let shown = match address.len() > 2 * END + 3 {
        true => [&address[..END], b"...", &address[address.len() - END..]].concat(),
        false => address.to_vec(),
    };
    [&shown[..], b"... ", complaint.as_bytes()].concat()
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
