//! The base subject of SORT and THREAD: a subject without `Re:`, `[list]` and `(fwd)`.
//!
//! Called by the index. Works on decoded subjects ([`super::words::decode_text`]).
//! The steps are those of RFC 5256 §2.1, numbered below; the rules are those of RFC 5256 §5. Time is linear: a run of blobs without
//! a `re:` behind it is looked at once, not again after each blob that is taken off.

/// A base subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseSubject {
    /// What is left.
    pub text: String,
    /// Something was taken off that an answer or a forwarded message has (RFC 5256 §3).
    pub is_reply: bool,
}

/// Takes the artifacts off a decoded subject.
pub fn base_subject(subject: &str) -> BaseSubject {
    // (1)
    let plain = subject.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let mut text = plain.as_str();
    let mut is_reply = false;
    loop {
        // (2)
        text = text.trim_end_matches(' ');
        while let Some(before) = strip_end(text, "(fwd)") {
            text = before.trim_end_matches(' ');
            is_reply = true;
        }
        // (3), (4), (5)
        loop {
            text = text.trim_start_matches(' ');
            let behind_blobs = std::iter::successors(Some(text), |text| blob(text)).last().unwrap_or(text);
            if let Some(rest) = refwd(behind_blobs) {
                text = rest;
                is_reply = true;
                continue;
            }
            // No leader before the end of these blobs, whichever of them are taken off.
            while let Some(rest) = blob(text).filter(|rest| !rest.is_empty()) {
                text = rest;
            }
            break;
        }
        // (6)
        match strip_start(text, "[fwd:").and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => {
                text = inner;
                is_reply = true;
            }
            None => return BaseSubject { text: text.to_string(), is_reply },
        }
    }
}

/// subj-blob
fn blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = memchr::memchr2(b'[', b']', inner.as_bytes())?;
    inner[end..].strip_prefix(']').map(|rest| rest.trim_start_matches(' '))
}

/// subj-refwd
fn refwd(text: &str) -> Option<&str> {
    let rest = ["re", "fwd", "fw"].iter().find_map(|word| strip_start(text, word))?.trim_start_matches(' ');
    blob(rest).unwrap_or(rest).strip_prefix(':')
}

fn strip_start<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let head = text.get(..start.len())?;
    head.eq_ignore_ascii_case(start).then(|| &text[start.len()..])
}

fn strip_end<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(end.len())?;
    text.get(at..)?.eq_ignore_ascii_case(end).then(|| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        for (subject, expected, is_reply) in [
            ("", "", false),
            ("hello", "hello", false),
            (" a \t b\r\n c ", "a b c", false),
            ("Re: hello", "hello", true),
            ("RE:re: Fwd :fw:hello", "hello", true),
            ("[list] hello", "hello", false),
            ("[list] Re: hello", "hello", true),
            ("Re: [list] hello", "hello", true),
            ("Re [3]: hello", "hello", true),
            ("[a][b] re [c] : [d] hello (fwd) (FWD) ", "hello", true),
            ("[list]", "[list]", false),
            ("[a] [b]", "[b]", false),
            ("[fwd: hello]", "hello", true),
            ("[Fwd: [fwd: Re: hello]]", "hello", true),
            ("[fwd: hello] x", "x", false),
            ("re", "re", false),
            ("reply: x", "reply: x", false),
            ("Re:", "", true),
            ("Réponse: x", "Réponse: x", false),
            ("[a[b] x", "[a[b] x", false),
            ("日本 (fwd)", "日本", true),
        ] {
            let found = base_subject(subject);
            assert_eq!((found.text.as_str(), found.is_reply), (expected, is_reply), "{subject:?}");
        }
    }

    #[test]
    fn hostile_subjects_end_in_time() {
        let many = 100_000;
        assert_eq!(base_subject(&format!("{}x", "[a]".repeat(many))).text, "x");
        assert_eq!(base_subject(&format!("{}x{}", "[fwd:".repeat(many), "]".repeat(many))).text, "x");
        assert_eq!(base_subject(&"re:".repeat(many)).text, "");
        assert_eq!(base_subject(&"(fwd)".repeat(many)).text, "");
        assert_eq!(base_subject(&"[".repeat(many)).text.len(), many);
    }
}
