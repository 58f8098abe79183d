//! A DKIM signature for a message of our own. Pure: the private key is its holder's.
//!
//! Called by `cli` for reports on TLS, which nobody obeys unsigned (RFC 8460 §3). Header and body are canonicalized as `relaxed`; the
//! algorithms are rsa-sha256 (RFC 8301) and ed25519-sha256 (RFC 8463). The tag `l=` is not used.
//! RFC 6376 §3.4.2, §3.4.4, §3.5, §3.7.

use super::header::{fields, header_end};
use encodify::base64;
use sha2::{Digest, Sha256};

/// Fields that are signed where they are there. All of them say what a report is about, or how it is to be read.
const SIGNED: [&str; 11] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "TLS-Report-Domain",
    "TLS-Report-Submitter",
    "TLS-Required",
];
/// Octets of base64 in one line of the field.
const LINE: usize = 64;

/// A way of signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rsa,
    /// PureEdDSA over the SHA-256 of the text.
    Ed25519,
}

impl Algorithm {
    /// Its name in `a=`.
    fn name(self) -> &'static str {
        match self {
            Algorithm::Rsa => "rsa-sha256",
            Algorithm::Ed25519 => "ed25519-sha256",
        }
    }
}

/// Holds a private key.
pub trait Key {
    /// What kind of key it is.
    fn algorithm(&self) -> Algorithm;

    /// Signs these octets; RSA hashes them itself.
    fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, String>;
}

/// Whose signature it is.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The domain that answers for the message.
    pub domain: &'a str,
    /// Which of its keys: `SELECTOR._domainkey.DOMAIN` names it.
    pub selector: &'a str,
    /// When, in seconds since 1970.
    pub time: i64,
}

/// The DKIM-Signature field for a message with LF line ends, to stand in front of it; it ends with a line end.
pub fn signature(message: &[u8], signer: &Signer<'_>, key: &dyn Key) -> Result<String, String> {
    let (header, body) = message.split_at(header_end(message).unwrap_or(message.len()));
    let mut text = Vec::new();
    let mut names = Vec::new();
    for name in SIGNED {
        // Of fields that stand there twice the last one is meant (§5.4.2); a message of our own has none.
        if let Some(field) = fields(header).filter(|field| field.is(name)).last() {
            push_relaxed(name, &field.unfolded(), &mut text);
            text.extend_from_slice(b"\r\n");
            names.push(name.to_ascii_lowercase());
        }
    }
    let Signer { domain, selector, time } = signer;
    let digest = base64::STANDARD.encode(Sha256::digest(relaxed_body(body)));
    let algorithm = key.algorithm();
    let head = format!(
        "v=1; a={}; c=relaxed/relaxed; d={domain};\n\ts={selector}; t={time};\n\th={};\n\tbh={digest};\n\tb=",
        algorithm.name(),
        names.join(":\n\t ")
    );
    push_relaxed("DKIM-Signature", head.replace('\n', "").as_bytes(), &mut text);
    let signed = match algorithm {
        Algorithm::Rsa => key.sign(&text)?,
        Algorithm::Ed25519 => key.sign(&Sha256::digest(&text))?,
    };
    let signed = base64::STANDARD.encode(signed);
    let lines: Vec<&str> = signed.as_bytes().chunks(LINE).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    Ok(format!("DKIM-Signature: {head}{}\n", lines.join("\n\t ")))
}

/// `name:value` with single blanks (§3.4.2), without a line end.
fn push_relaxed(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.to_ascii_lowercase().as_bytes());
    out.push(b':');
    let value = value.trim_ascii();
    push_with_single_blanks(value, out);
}

/// Runs of blanks and tabs become one blank.
fn push_with_single_blanks(text: &[u8], out: &mut Vec<u8>) {
    let mut after_blank = false;
    for byte in text {
        let is_blank = matches!(byte, b' ' | b'\t');
        if !is_blank {
            out.push(*byte);
        } else if !after_blank {
            out.push(b' ');
        }
        after_blank = is_blank;
    }
}

/// The body in relaxed form (§3.4.4), with CRLF line ends.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / 32);
    let mut end = 0;
    for line in body.split(|byte| *byte == b'\n') {
        push_with_single_blanks(line, &mut out);
        if out.last() == Some(&b' ') {
            out.pop();
        }
        let is_empty = out.is_empty() || out.ends_with(b"\r\n");
        out.extend_from_slice(b"\r\n");
        if !is_empty {
            end = out.len();
        }
    }
    out.truncate(end);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Signs" by showing what is to be signed.
    struct Open(Algorithm);

    impl Key for Open {
        fn algorithm(&self) -> Algorithm {
            self.0
        }

        fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, String> {
            Ok(octets.to_vec())
        }
    }

    const SIGNER: Signer<'static> = Signer { domain: "example.test", selector: "s", time: 17 };

    #[test]
    fn bodies_are_relaxed() {
        for (body, relaxed) in [
            ("", ""),
            ("\n\n", ""),
            (" \t\n", ""),
            ("a", "a\r\n"),
            // RFC 6376 §3.4.5.
            (" C \nD \t E\n\n\n", " C\r\nD E\r\n"),
            ("a\n\nb\n", "a\r\n\r\nb\r\n"),
        ] {
            assert_eq!(String::from_utf8(relaxed_body(body.as_bytes())).unwrap(), relaxed, "{body:?}");
        }
    }

    #[test]
    fn what_is_signed_is_the_header_in_order_and_the_field_itself() {
        let message = b"Subject:  a\n\t b \nX-Other: no\nFROM: <a@example.test>\n\nbody\n";
        let field = signature(message, &SIGNER, &Open(Algorithm::Rsa)).unwrap();
        let (head, signed) = field.split_once("\tb=").unwrap();
        assert_eq!(
            head,
            "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.test;\n\ts=s; t=17;\n\th=from:\n\t subject;\n\
             \tbh=Ck5SoRNWUpSR4X0COv7R5ub2pUTtl6xz4dTFz++ji4M=;\n"
        );
        let signed: String = signed.split_ascii_whitespace().collect();
        let signed = String::from_utf8(base64::STANDARD.decode(signed.as_bytes()).unwrap()).unwrap();
        let (fields, own) = signed.rsplit_once("\r\n").unwrap();
        assert_eq!(fields, "from:<a@example.test>\r\nsubject:a b");
        assert!(own.starts_with("dkim-signature:v=1; a=rsa-sha256; ") && own.ends_with("; b="), "{own}");
        assert!(!own.contains(['\n', '\t']), "{own}");
        // A shorter one signs the digest.
        let field = signature(message, &SIGNER, &Open(Algorithm::Ed25519)).unwrap();
        assert_eq!(field.rsplit_once("b=").unwrap().1.len(), 44 + 1);
    }
}
