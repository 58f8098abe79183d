//! Replies (RFC 5804 §1.2, §1.3 and §4).

/// Longest string between quotes (RFC 5804 §4: `quoted`).
const QUOTED_LIMIT: usize = 1024;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    No,
    Bye,
}

/// Response codes (RFC 5804 §1.3) that stand alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Settings forbid the mechanism.
    AuthTooWeak,
    /// The mechanism is for TLS.
    EncryptNeeded,
    /// The account has as many scripts as it may have.
    MaxScripts,
    /// The script is larger than it may be.
    MaxSize,
    /// There is no room.
    Quota,
    /// Our trouble.
    TryLater,
    /// Not with the active script.
    Active,
    /// No script has this name.
    NonExistent,
    /// A script has this name.
    AlreadyExists,
}

impl Code {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Code::AuthTooWeak => "AUTH-TOO-WEAK",
            Code::EncryptNeeded => "ENCRYPT-NEEDED",
            Code::MaxScripts => "QUOTA/MAXSCRIPTS",
            Code::MaxSize => "QUOTA/MAXSIZE",
            Code::Quota => "QUOTA",
            Code::TryLater => "TRYLATER",
            Code::Active => "ACTIVE",
            Code::NonExistent => "NONEXISTENT",
            Code::AlreadyExists => "ALREADYEXISTS",
        }
    }
}

/// `response-oknobye`
pub(super) fn reply(out: &mut Vec<u8>, status: Status, code: Option<&str>, text: &str) {
    let word = match status {
        Status::Ok => "OK",
        Status::No => "NO",
        Status::Bye => "BYE",
    };
    out.extend_from_slice(word.as_bytes());
    if let Some(code) = code {
        out.extend_from_slice(format!(" ({code})").as_bytes());
    }
    if !text.is_empty() {
        out.push(b' ');
        string(out, text.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// `TAG` with its string (RFC 5804 §2.13).
pub(super) fn tagged(out: &mut Vec<u8>, tag: &[u8], text: &str) {
    out.extend_from_slice(b"OK (TAG ");
    string(out, tag);
    out.extend_from_slice(format!(") \"{text}\"\r\n").as_bytes());
}

/// `single-capability`
pub(super) fn capability(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    string(out, name.as_bytes());
    if let Some(value) = value {
        out.push(b' ');
        string(out, value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// `string`: quoted where that is possible, a literal otherwise.
pub(super) fn string(out: &mut Vec<u8>, text: &[u8]) {
    let is_plain = std::str::from_utf8(text).is_ok() && !text.iter().any(|b| b"\0\r\n".contains(b));
    if !is_plain || text.len() > QUOTED_LIMIT {
        out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if b"\"\\".contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_or_counted() {
        let long = "x".repeat(1025);
        for (text, wanted) in [
            (&b""[..], "\"\"".to_string()),
            (b"a b", "\"a b\"".into()),
            ("ä".as_bytes(), "\"ä\"".into()),
            (b"clever\"script\\", "\"clever\\\"script\\\\\"".into()),
            (b"a\r\nb", "{4}\r\na\r\nb".into()),
            (b"\n", "{1}\r\n\n".into()),
            (long.as_bytes(), format!("{{1025}}\r\n{long}")),
        ] {
            let mut out = Vec::new();
            string(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        }
        let mut out = Vec::new();
        string(&mut out, b"\xff");
        assert_eq!(out, b"{1}\r\n\xff");
    }

    #[test]
    fn replies_have_code_and_text_where_there_is_one() {
        let mut out = Vec::new();
        reply(&mut out, Status::Ok, None, "");
        reply(&mut out, Status::No, Some(Code::MaxSize.name()), "Quota exceeded");
        reply(&mut out, Status::Bye, None, "two\r\nlines");
        tagged(&mut out, b"x\r\n", "Done");
        capability(&mut out, "STARTTLS", None);
        capability(&mut out, "SASL", Some(""));
        let wanted = "OK\r\nNO (QUOTA/MAXSIZE) \"Quota exceeded\"\r\nBYE {10}\r\ntwo\r\nlines\r\n\
            OK (TAG {3}\r\nx\r\n) \"Done\"\r\n\"STARTTLS\"\r\n\"SASL\" \"\"\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}
