//! MAIL and RCPT: paths and ESMTP parameters.
//!
//! What asks for special handling (BY, HOLDFOR, MT-PRIORITY and their kin) is read by `requests`.
//! RFC 5321 §4.1.1.2 and §4.1.1.3, RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 3461 (DSN), RFC 6531 (SMTPUTF8), RFC 4954 §5 (AUTH=).

use super::requests::Offer;
use crate::addr::{Address, AddressError, parse_path_prefix};
use crate::envelope::{Handling, Notify};
use crate::status::{Enhanced, Reply};

/// MAIL FROM, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mail {
    /// The reverse path; `None` is `<>`.
    pub sender: Option<Address>,
    /// SIZE=; 0 when not given.
    pub size: u64,
    /// BODY=8BITMIME.
    pub eight_bit: bool,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// RET=FULL.
    pub ret_full: bool,
    /// ENVID=, decoded.
    pub envid: Option<String>,
    /// BY=, HOLDFOR=, HOLDUNTIL=, MT-PRIORITY= and REQUIRETLS.
    pub handling: Handling,
}

/// RCPT TO, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    /// The forward path.
    pub address: Address,
    /// NOTIFY=.
    pub notify: Notify,
    /// ORCPT=, decoded: type and address.
    pub orcpt: Option<(String, String)>,
}

fn syntax(text: &str) -> Reply {
    Reply::new(501, Enhanced(5, 5, 4), text)
}

/// Reads what stands behind `MAIL FROM:`. `is_lmtp` and `has_extensions` decide nothing here: HELO clients send no parameters.
pub(super) fn mail(text: &str, domain: &str, offer: &Offer<'_>) -> Result<Mail, Reply> {
    // RFC 3463 §3.2: 7 is the sender's bad syntax, 3 the recipient's.
    let (sender, rest) = path(text, domain, 7)?;
    let mut mail = Mail { sender, ..Mail::default() };
    for (key, value) in parameters(rest)? {
        match (key.as_str(), value) {
            ("SIZE", Some(size)) if size.len() <= 20 && size.bytes().all(|b| b.is_ascii_digit()) => {
                // What does not fit is larger than any limit.
                mail.size = size.parse().unwrap_or(u64::MAX);
            }
            ("SIZE", _) => return Err(syntax("SIZE wants a number")),
            ("BODY", Some(body)) if body.eq_ignore_ascii_case("7BIT") => {}
            ("BODY", Some(body)) if body.eq_ignore_ascii_case("8BITMIME") => mail.eight_bit = true,
            ("BODY", _) => return Err(syntax("BODY is 7BIT or 8BITMIME")),
            ("SMTPUTF8", None) => mail.smtputf8 = true,
            ("RET", Some(ret)) if ret.eq_ignore_ascii_case("FULL") => mail.ret_full = true,
            ("RET", Some(ret)) if ret.eq_ignore_ascii_case("HDRS") => {}
            ("ENVID", Some(envid)) if envid.len() <= 100 => {
                mail.envid = Some(xtext(envid).ok_or_else(|| syntax("ENVID is not xtext"))?);
            }
            // RFC 4954 §5: a submitter's name that we don't vouch for; read and dropped.
            ("AUTH", Some(name)) if xtext(name).is_some() => {}
            (key, value) if offer.read(key, value, &mut mail.handling)? => {}
            _ => return Err(unknown(&key)),
        }
    }
    offer.check(&mail.handling)?;
    if mail.sender.as_ref().is_some_and(Address::is_utf8) && !mail.smtputf8 {
        return Err(Reply::new(553, Enhanced(5, 6, 7), "The address needs SMTPUTF8"));
    }
    Ok(mail)
}

/// Reads what stands behind `RCPT TO:`.
pub(super) fn rcpt(text: &str, domain: &str, smtputf8: bool) -> Result<Rcpt, Reply> {
    let (address, rest) = path(text, domain, 3)?;
    let Some(address) = address else {
        return Err(Reply::new(501, Enhanced(5, 1, 3), "A recipient can't be the null address"));
    };
    let mut rcpt = Rcpt { address, notify: Notify::default(), orcpt: None };
    for (key, value) in parameters(rest)? {
        match (key.as_str(), value) {
            ("NOTIFY", Some(notify)) => {
                rcpt.notify = notify.parse().map_err(|()| syntax("NOTIFY is NEVER, or SUCCESS, FAILURE, DELAY"))?;
            }
            ("ORCPT", Some(orcpt)) if orcpt.len() <= 500 => {
                let parts = orcpt.split_once(';').and_then(|(kind, a)| Some((kind.to_string(), xtext(a)?)));
                rcpt.orcpt = Some(parts.ok_or_else(|| syntax("ORCPT is type;xtext"))?);
            }
            _ => return Err(unknown(&key)),
        }
    }
    if rcpt.address.is_utf8() && !smtputf8 {
        return Err(Reply::new(553, Enhanced(5, 6, 7), "The address needs SMTPUTF8"));
    }
    Ok(rcpt)
}

fn unknown(key: &str) -> Reply {
    let shown: String = key.chars().take(40).collect();
    Reply::new(555, Enhanced(5, 5, 4), format!("Parameter not understood: {shown}"))
}

/// The path at the start; old clients put a blank before it.
fn path<'a>(text: &'a str, domain: &str, detail: u16) -> Result<(Option<Address>, &'a str), Reply> {
    let text = text.trim_start_matches(' ');
    if !text.starts_with('<') {
        return Err(Reply::new(501, Enhanced(5, 5, 2), "The address stands in < >"));
    }
    let (path, rest) = parse_path_prefix(text, domain).map_err(|e| match e {
        AddressError::NoDomain => Reply::new(553, Enhanced(5, 1, detail), "The address needs a domain"),
        e => Reply::new(501, Enhanced(5, 1, detail), format!("Bad address: {e}")),
    })?;
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(Reply::new(501, Enhanced(5, 5, 2), "Something stands behind the address"));
    }
    Ok((path, rest))
}

type Parameter<'a> = (String, Option<&'a str>);

/// `esmtp-param` of RFC 5321 §4.1.2; each keyword once.
fn parameters(text: &str) -> Result<Vec<Parameter<'_>>, Reply> {
    let mut found: Vec<Parameter<'_>> = Vec::new();
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let (key, value) = word.split_once('=').map_or((word, None), |(k, v)| (k, Some(v)));
        let is_keyword = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_keyword || value.is_some_and(|v| v.is_empty() || v.chars().any(|c| c == '=' || c.is_control())) {
            return Err(syntax("Bad parameter syntax"));
        }
        let key = key.to_ascii_uppercase();
        if found.iter().any(|(k, _)| *k == key) {
            return Err(syntax("A parameter stands twice"));
        }
        found.push((key, value));
    }
    Ok(found)
}

/// Decodes xtext (RFC 3461 §4) to printable text.
pub(super) fn xtext(text: &str) -> Option<String> {
    let bytes = encodify::hex::XTEXT.decode(text.as_bytes()).ok()?;
    let text = String::from_utf8(bytes.to_vec()).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::config::{Extensions, Kind};
    use super::*;
    use crate::clock::Timestamp;

    fn mail(text: &str, domain: &str) -> Result<Mail, Reply> {
        let extensions = Extensions { priority: Some(String::new()), ..Extensions::default() };
        let offer = Offer { extensions: &extensions, kind: Kind::Smtp, has_tls: false, now: Timestamp(0) };
        super::mail(text, domain, &offer)
    }

    #[test]
    fn mail_parameters() {
        let ok = mail("<a@b.test> SIZE=100 BODY=8BITMIME RET=FULL ENVID=x+20y AUTH=<>", "h").unwrap();
        assert_eq!((ok.size, ok.eight_bit, ok.ret_full, ok.envid.as_deref()), (100, true, true, Some("x y")));
        assert_eq!(mail("<>", "h").unwrap().sender, None);
        assert_eq!(mail("<> SIZE=99999999999999999999", "h").unwrap().size, u64::MAX);
        assert_eq!(mail(" <a@b.test>", "h").unwrap().sender.unwrap().to_string(), "a@b.test");
        for (bad, code) in [
            ("a@b.test", 501),
            ("<a@b.test>SIZE=1", 501),
            ("<a@b.test> SIZE=x", 501),
            ("<a@b.test> SIZE=+1", 501),
            ("<a@b.test> SIZE", 501),
            ("<a@b.test> SIZE=1 SIZE=2", 501),
            ("<a@b.test> BODY=BINARYMIME", 501),
            ("<a@b.test> WHAT=1", 555),
            ("<a@b.test> MT-PRIORITY=x", 501),
            ("<a@b.test> MT-PRIORITY=1 mt-priority=1", 501),
            ("<a@b.test> BY=9;N", 555),
            ("<a@b.test> =", 501),
            ("<日@b.test>", 553),
            ("<a b@b.test>", 501),
            ("<a@b.test", 501),
        ] {
            assert_eq!(mail(bad, "h").unwrap_err().code, code, "{bad}");
        }
    }

    #[test]
    fn rcpt_parameters() {
        let ok = rcpt("<a@b.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2B@c.test", "h", false).unwrap();
        assert_eq!(ok.orcpt, Some(("rfc822".into(), "Bob+@c.test".into())));
        assert_eq!(rcpt("<Postmaster>", "h.test", false).unwrap().address.to_string(), "Postmaster@h.test");
        assert_eq!(rcpt("<>", "h", false).unwrap_err().code, 501);
        assert_eq!(rcpt("<a>", "h", false).unwrap_err().code, 553);
        assert_eq!(rcpt("<a@b.test> NOTIFY=NEVER,DELAY", "h", false).unwrap_err().code, 501);
        assert!(rcpt("<日@b.test>", "h", true).is_ok());
    }
}
