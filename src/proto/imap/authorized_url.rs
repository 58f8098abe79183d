//! URLs that carry their own permission: `imap://OWNER@HOST/MAILBOX/;UID=1;EXPIRE=DATE;URLAUTH=ACCESS:MECHANISM:TOKEN` (RFC 4467 §3).
//!
//! Only the form is read here. What stands before the colon behind ACCESS is the rump, octet for octet as it came: that is what a token
//! is made of (RFC 4467 §6). Who may use the URL, and whether the token is right, the service decides.
//! The host is not compared with our names: clients write what they connect to, and a token is only good here.

use super::url::{LIMIT, MessageUrl, decode, split};
use crate::clock::Timestamp;

/// Who may follow a URL (RFC 4467 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// `submit+NAME`: a submission server that acts for NAME.
    Submit(String),
    /// `user+NAME`: who is logged in as NAME.
    User(String),
    /// `authuser`: who is logged in.
    AuthUser,
    /// `anonymous`: everybody.
    Anonymous,
}

/// A URL with `;URLAUTH=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedUrl<'a> {
    /// Whose mailbox: a login name.
    pub owner: String,
    /// What it leads to; the mailbox is always named.
    pub message: MessageUrl,
    /// The last moment at which it is good.
    pub expires: Option<Timestamp>,
    /// Who may follow it.
    pub access: Access,
    /// The URL without mechanism and token.
    pub rump: &'a str,
    /// Mechanism and token, as they stand; `None` in a URL that is yet to be authorised.
    pub proof: Option<(&'a str, &'a str)>,
}

impl AuthorizedUrl<'_> {
    /// Reads a URL; an error says what is wrong with it.
    pub fn parse(url: &str) -> Result<AuthorizedUrl<'_>, &'static str> {
        if url.len() > LIMIT || !url.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("not a URL");
        }
        let (_, rest) = split(url, "imap://").filter(|(before, _)| before.is_empty()).ok_or("not an imap:// URL")?;
        let (server, path) = rest.split_once('/').ok_or("the URL leads to no message")?;
        let (user, host) = server.split_once('@').ok_or("the URL names no owner")?;
        if !is_host(host) {
            return Err("the URL names no host");
        }
        // How to log in is no concern of ours.
        let user = split(user, ";AUTH=").map_or(user, |(user, _)| user);
        let owner = name(user).ok_or("the URL names no owner")?;
        let (target, authorisation) = split(path, ";URLAUTH=").ok_or("the URL has no access identifier")?;
        let (target, expires) = match split(target, ";EXPIRE=") {
            Some((target, date)) => (target, Some(Timestamp::parse_rfc3339(date).ok_or("EXPIRE is no date")?)),
            None => (target, None),
        };
        let message = MessageUrl::parse(&format!("/{target}")).ok_or("the URL leads to no message")?;
        let mut parts = authorisation.splitn(3, ':');
        let access = parts.next().unwrap_or_default();
        let rump_end = url.len() - authorisation.len() + access.len();
        let proof = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(mechanism), Some(token)) => Some((mechanism, token)),
            (Some(_), None) => return Err("the URL has no token"),
        };
        let access = self::access(access).ok_or("no such access identifier")?;
        Ok(AuthorizedUrl { owner, message, expires, access, rump: &url[..rump_end], proof })
    }
}

/// `access`.
fn access(text: &str) -> Option<Access> {
    let behind = |prefix| split(text, prefix).filter(|(before, _)| before.is_empty()).map(|(_, name)| name);
    if let Some(user) = behind("submit+") {
        return Some(Access::Submit(name(user)?));
    }
    if let Some(user) = behind("user+") {
        return Some(Access::User(name(user)?));
    }
    [("authuser", Access::AuthUser), ("anonymous", Access::Anonymous)]
        .into_iter()
        .find_map(|(word, access)| word.eq_ignore_ascii_case(text).then_some(access))
}

/// `enc-user` (RFC 5092 §11): octets that mean something else in a URL stand as `%XX`. Clients leave `@` as it is behind `user+`, where
/// it can mean nothing else.
fn name(text: &str) -> Option<String> {
    let name = decode(text).filter(|_| !text.contains([';', ':', '/', '?', '#']))?;
    (!name.is_empty() && !name.contains(char::is_control)).then_some(name)
}

/// `host [":" port]`.
fn is_host(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-._~[]:%".contains(c);
    text.chars().all(is_part) && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "imap://joe%40b.test@h.test/INBOX/;uid=20/;section=1.2;urlauth=submit+fred:internal:91354a47";

    #[test]
    fn the_parts_of_a_url() {
        let url = AuthorizedUrl::parse(GOOD).unwrap();
        assert_eq!(url.owner, "joe@b.test");
        assert_eq!(url.message.mailbox.as_ref().unwrap().as_str(), "INBOX");
        assert_eq!((url.message.uid.number(), url.message.section.to_string().as_str()), (20, "1.2"));
        assert_eq!(url.access, Access::Submit("fred".into()));
        assert_eq!(url.rump, GOOD.strip_suffix(":internal:91354a47").unwrap());
        assert_eq!(url.proof, Some(("internal", "91354a47")));
        let url = AuthorizedUrl::parse("IMAP://a;AUTH=*@[::1]:143/x;UIDVALIDITY=7/;UID=1/;PARTIAL=2.3;EXPIRE=1970-01-01T00:00:01Z;URLAUTH=ANONYMOUS").unwrap();
        assert_eq!((url.owner.as_str(), url.access, url.proof), ("a", Access::Anonymous, None));
        assert_eq!((url.expires, url.message.partial), (Some(Timestamp::from_seconds(1)), Some((2, 3))));
        for (text, access) in [
            ("authuser", Access::AuthUser),
            ("user+b%40c.test", Access::User("b@c.test".into())),
            ("submit+b@c.test", Access::Submit("b@c.test".into())),
        ] {
            let text = format!("imap://a@h/x/;UID=1;URLAUTH={text}");
            let url = AuthorizedUrl::parse(&text).unwrap();
            assert_eq!((url.access, url.rump), (access, text.as_str()));
        }
    }

    #[test]
    fn what_is_no_such_url() {
        let wrong = [
            "",
            "imap://",
            "imap://a@h",
            "imap://a@h/",
            "/x/;UID=1;URLAUTH=anonymous",
            "http://a@h/x/;UID=1;URLAUTH=anonymous",
            "ximap://a@h/x/;UID=1;URLAUTH=anonymous",
            "imap://h/x/;UID=1;URLAUTH=anonymous",
            "imap://@h/x/;UID=1;URLAUTH=anonymous",
            "imap://a@b@h/x/;UID=1;URLAUTH=anonymous",
            "imap://a:b@h/x/;UID=1;URLAUTH=anonymous",
            "imap://a%00@h/x/;UID=1;URLAUTH=anonymous",
            "imap://a%zz@h/x/;UID=1;URLAUTH=anonymous",
            "imap://a@/x/;UID=1;URLAUTH=anonymous",
            "imap://a@h/;UID=1;URLAUTH=anonymous",
            "imap://a@h//x/;UID=1;URLAUTH=anonymous",
            "imap://a@h/x;URLAUTH=anonymous",
            "imap://a@h/x?FROM%20b;URLAUTH=anonymous",
            "imap://a@h/x/;UID=1",
            "imap://a@h/x/;UID=0;URLAUTH=anonymous",
            "imap://a@h/x/;UID=1/;SECTION=z;URLAUTH=anonymous",
            "imap://a@h/x/;UID=1;URLAUTH=",
            "imap://a@h/x/;UID=1;URLAUTH=anybody",
            "imap://a@h/x/;UID=1;URLAUTH=anonymous+a",
            "imap://a@h/x/;UID=1;URLAUTH=user+",
            "imap://a@h/x/;UID=1;URLAUTH=user+a;URLAUTH=anonymous",
            "imap://a@h/x/;UID=1;URLAUTH=user+a;EXPIRE=2030-01-01T00:00:00Z",
            "imap://a@h/x/;UID=1;EXPIRE=tomorrow;URLAUTH=anonymous",
            "imap://a@h/x/;UID=1;EXPIRE=;URLAUTH=anonymous",
            "imap://a@h/x/;UID=1;URLAUTH=anonymous:INTERNAL",
            "imap://a@h/x y/;UID=1;URLAUTH=anonymous",
            "imap://a@h/x\n/;UID=1;URLAUTH=anonymous",
            "imap://a@h/\u{e9}/;UID=1;URLAUTH=anonymous",
        ];
        for url in wrong {
            assert!(AuthorizedUrl::parse(url).is_err(), "{url}");
        }
        let long = format!("imap://a@h/{}/;UID=1;URLAUTH=anonymous", "x".repeat(LIMIT));
        assert!(AuthorizedUrl::parse(&long).is_err());
        for end in 0..GOOD.len() {
            let _ = AuthorizedUrl::parse(&GOOD[..end]);
        }
    }
}
