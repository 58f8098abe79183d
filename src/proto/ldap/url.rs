//! LDAP URLs: where a server is, or what to look for.
//!
//! Called by `route` with the servers of a map, and with values of entries that lead to others. RFC 4516; `ldapi:` has the path of a
//! socket in the place of a host.

use super::Scope;

/// Why a text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(pub &'static str);

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// TCP in clear.
    Ldap,
    /// TLS from the start.
    Ldaps,
    /// A socket of this machine.
    Ldapi,
}

/// An LDAP URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// How the server is reached.
    pub scheme: Scheme,
    /// Its name or address, or the socket's path; may be empty.
    pub host: Vec<u8>,
    /// Its port, where one is named.
    pub port: Option<u16>,
    /// The entry that the search starts at.
    pub dn: Vec<u8>,
    /// The attributes to ask for; none stands for all.
    pub attributes: Vec<Vec<u8>>,
    /// How deep to search, where it says so; in a search of its own the default is the entry itself.
    pub scope: Option<Scope>,
    /// The filter's text, where there is one.
    pub filter: Option<Vec<u8>>,
}

impl Url {
    /// Reads a URL.
    pub fn read(text: &[u8]) -> Result<Url, UrlError> {
        const NONE: UrlError = UrlError("no LDAP URL");
        let colon = text.iter().position(|b| *b == b':').ok_or(NONE)?;
        let scheme = match &text[..colon].to_ascii_lowercase()[..] {
            b"ldap" => Scheme::Ldap,
            b"ldaps" => Scheme::Ldaps,
            b"ldapi" => Scheme::Ldapi,
            _ => return Err(NONE),
        };
        let rest = text[colon + 1..].strip_prefix(b"//").ok_or(NONE)?;
        let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        let (place, rest) = rest.split_at(end);
        let (host, port) = match scheme {
            Scheme::Ldapi => (decoded(place)?, None),
            _ => host_and_port(place)?,
        };
        let mut fields = rest.strip_prefix(b"/").unwrap_or(rest).split(|b| *b == b'?');
        let mut field = || fields.next().unwrap_or_default();
        let dn = decoded(field())?;
        let attributes = field().split(|b| *b == b',').filter(|name| !name.is_empty());
        let attributes = attributes.map(decoded).collect::<Result<_, _>>()?;
        let scope = match &field().to_ascii_lowercase()[..] {
            b"" => None,
            b"base" => Some(Scope::Base),
            b"one" => Some(Scope::One),
            b"sub" => Some(Scope::Sub),
            _ => return Err(UrlError("an unknown scope")),
        };
        let filter = Some(decoded(field())?).filter(|filter| !filter.is_empty());
        // RFC 4516 §2: an extension that must be understood begins with an exclamation mark; we understand none.
        if field().split(|b| *b == b',').any(|extension| extension.first() == Some(&b'!')) {
            return Err(UrlError("an unknown extension"));
        }
        Ok(Url { scheme, host, port, dn, attributes, scope, filter })
    }
}

/// `host`, `host:port`, `[::1]:port`; the brackets are taken off.
pub fn host_and_port(place: &[u8]) -> Result<(Vec<u8>, Option<u16>), UrlError> {
    let (host, port) = match place.strip_prefix(b"[") {
        Some(inner) => {
            let end = inner.iter().position(|b| *b == b']').ok_or(UrlError("a bracket without end"))?;
            let port = match &inner[end + 1..] {
                [] => None,
                [b':', port @ ..] => Some(port),
                _ => return Err(UrlError("no port behind the bracket")),
            };
            (&inner[..end], port)
        }
        None => match place.iter().position(|b| *b == b':') {
            Some(colon) => (&place[..colon], Some(&place[colon + 1..])),
            None => (place, None),
        },
    };
    let port = match port {
        None | Some([]) => None,
        Some(digits) => {
            let digits = std::str::from_utf8(digits).ok().and_then(crate::proto::digits::<u16>);
            Some(digits.filter(|port| *port > 0).ok_or(UrlError("no port"))?)
        }
    };
    Ok((decoded(host)?, port))
}

/// `%41` is `A`.
fn decoded(text: &[u8]) -> Result<Vec<u8>, UrlError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if octet != b'%' {
            out.push(octet);
            continue;
        }
        let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let digits = digits.filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        let octet = digits.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        out.push(octet.ok_or(UrlError("a % without two digits behind it"))?);
        rest = &after[2..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_servers_and_searches() {
        let url = Url::read(b"ldap:///ou=people,dc=x?mail,cn?sub?(uid=a%20b)").unwrap();
        assert_eq!((url.scheme, &url.host[..], url.port, url.scope), (Scheme::Ldap, &b""[..], None, Some(Scope::Sub)));
        assert_eq!(url.attributes, [b"mail".to_vec(), b"cn".to_vec()]);
        assert_eq!((&url.dn[..], url.filter.as_deref()), (&b"ou=people,dc=x"[..], Some(&b"(uid=a b)"[..])));
        for (text, scheme, host, port) in [
            ("ldap://h.test", Scheme::Ldap, "h.test", None),
            ("LDAPS://h.test:6360/", Scheme::Ldaps, "h.test", Some(6360)),
            ("ldap://[2001:db8::1]:390", Scheme::Ldap, "2001:db8::1", Some(390)),
            ("ldapi://%2Frun%2Fldapi/", Scheme::Ldapi, "/run/ldapi", None),
            ("ldapi:///", Scheme::Ldapi, "", None),
        ] {
            let url = Url::read(text.as_bytes()).unwrap();
            assert_eq!((url.scheme, &url.host[..], url.port), (scheme, host.as_bytes(), port), "{text}");
            assert_eq!((url.scope, url.filter), (None, None));
        }
    }

    #[test]
    fn other_texts_are_none() {
        for text in [
            "",
            "x",
            "http://x/",
            "ldap:x",
            "ldap://h:x",
            "ldap://h:0",
            "ldap://h:70000",
            "ldap://[::1",
            "ldap://[::1]x",
            "ldap:///%4",
            "ldap:///%zz",
            "ldap:///x??deep",
            "ldap:///x????!bindname=x",
            "ldap://h:+1",
        ] {
            assert!(Url::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
