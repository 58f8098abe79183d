//! Maps of class `ldap`: what their K line (or a class that comes from a directory) asks of which server.
//!
//! Called by [`super::map`] and [`super::read`]; nothing is asked here. Flags are letters with their value glued to them or behind a
//! blank, and quotes keep blanks in a value. `O LDAPDefaultSpec` sets what a line does not; it counts for the lines behind it.
//! What is wrong is told in sendmail's words, and such a map is never asked.

use super::map::Map;

/// Most attributes of one map, `objectClass` among them.
const ATTRIBUTE_LIMIT: usize = 64;
/// The port of LDAP.
pub const PORT: u16 = 389;

/// How deep a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The entry itself.
    Base,
    /// Right below it.
    One,
    /// It and all below.
    Sub,
}

/// Where aliases in the tree are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deref {
    /// Nowhere.
    Never,
    /// Everywhere.
    Always,
    /// Below the start.
    Search,
    /// On the way to the start.
    Find,
}

/// What the values of an attribute are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Asked for, to tell the kinds of entries apart; no result.
    ObjectClass,
    /// Results.
    Normal,
    /// Names of further entries.
    Dn,
    /// Filters of further searches.
    Filter,
    /// Further searches, as URLs.
    Url,
}

/// An attribute that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: Vec<u8>,
    /// What its values are.
    pub kind: Kind,
    /// It counts only in entries of one of these classes; none stands for any entry.
    pub classes: Vec<Vec<u8>>,
}

/// What a map asks, and whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// -h: hosts, with their ports.
    pub hosts: Vec<u8>,
    /// -H: servers as URLs.
    pub uris: Vec<u8>,
    /// -p: the port of hosts that name none.
    pub port: u16,
    /// -b: the entry that searches start at.
    pub base: Vec<u8>,
    /// -s: how deep they go.
    pub scope: Scope,
    /// -r: where aliases are followed.
    pub deref: Deref,
    /// -k: the filter, with %0 for the key.
    pub filter: Vec<u8>,
    /// -v: attributes; none stands for no result.
    pub attributes: Vec<Attribute>,
    /// -z: stands between values; without it the first one is the result.
    pub separator: Option<u8>,
    /// -V: stands between the name of an attribute and its value.
    pub name_mark: Option<u8>,
    /// -n: names of attributes are the result.
    pub names_only: bool,
    /// -1: a second match makes it none.
    pub is_single: bool,
    /// -K: %1 to %9 stand for the arguments of the look-up.
    pub takes_arguments: bool,
    /// -d: the name to log in with.
    pub bind_dn: Vec<u8>,
    /// -M none: without a login.
    pub without_login: bool,
    /// -P: the file with the password in its first line.
    pub password_file: Vec<u8>,
    /// -l: seconds that a search may take.
    pub time_limit: u32,
    /// -Z: most entries.
    pub size_limit: u32,
    /// -c: seconds that a connection may take.
    pub connect_time: u32,
    /// -R: a server that sends us to another one is not followed.
    pub ignores_referrals: bool,
    /// -w: the version asked for; 0 where none is.
    pub version: u8,
}

impl Default for Inquiry {
    fn default() -> Inquiry {
        Inquiry {
            hosts: Vec::new(),
            uris: Vec::new(),
            port: PORT,
            base: Vec::new(),
            scope: Scope::Sub,
            deref: Deref::Never,
            filter: Vec::new(),
            attributes: Vec::new(),
            separator: None,
            name_mark: None,
            names_only: false,
            is_single: false,
            takes_arguments: false,
            bind_dn: Vec::new(),
            without_login: false,
            password_file: Vec::new(),
            time_limit: 0,
            size_limit: 0,
            connect_time: 0,
            ignores_referrals: false,
            version: 0,
        }
    }
}

impl Inquiry {
    /// Reads the flags of `map`, whose general ones go into it; `None` with the faults where there is nothing to ask.
    pub(super) fn read(spec: &[u8], map: &mut Map, defaults: &Inquiry) -> (Option<Inquiry>, Vec<String>) {
        let mut reader = Reader { inquiry: defaults.clone(), attributes: None, faults: Vec::new(), is_usable: true };
        reader.flags(spec, map);
        if reader.is_usable && reader.inquiry.filter.is_empty() {
            reader.refuse(format!("No filter given in map {}", shown(&map.name)));
        }
        if let Some(attributes) = reader.attributes.take().filter(|_| reader.is_usable) {
            reader.attributes(&attributes, &map.name);
        }
        (Some(reader.inquiry).filter(|_| reader.is_usable), reader.faults)
    }

    /// What `O LDAPDefaultSpec` says.
    pub(super) fn defaults(spec: &[u8]) -> (Inquiry, Vec<String>) {
        const WHERE: &str = "readcf: option LDAPDefaultSpec: Do not set";
        let mut map = Map::blank(b"O LDAPDefaultSpec", "ldap", 0);
        let mut reader = Reader { inquiry: Inquiry::default(), attributes: None, faults: Vec::new(), is_usable: true };
        reader.flags(spec, &mut map);
        if !map.flags.is_empty() || !map.append.is_empty() || map.append_later.is_some() || map.blank.is_some() {
            reader.faults.push(format!("{WHERE} non-LDAP specific flags"));
        }
        if !reader.inquiry.filter.is_empty() {
            reader.faults.push(format!("{WHERE} the LDAP search filter"));
            reader.inquiry.filter.clear();
        }
        if reader.attributes.is_some() {
            reader.faults.push(format!("{WHERE} the requested LDAP attributes"));
        }
        (reader.inquiry, reader.faults)
    }

    /// The specification of a class without one of its own (`F{name}@LDAP`), by the schema of sendmail's authors.
    pub(super) fn of_class(class: &[u8], cluster: &[u8], host: &[u8]) -> Vec<u8> {
        let host = if host.is_empty() { b"localhost" } else { host };
        [
            b"-k (&(objectClass=sendmailMTAClass)(sendmailMTAClassName=",
            class,
            b")(|(sendmailMTACluster=",
            cluster,
            b")(sendmailMTAHost=",
            host,
            b"))) -v sendmailMTAClassValue,sendmailMTAClassSearch:FILTER:sendmailMTAClass,sendmailMTAClassURL:URL:sendmailMTAClass",
        ]
        .concat()
    }
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

struct Reader {
    inquiry: Inquiry,
    /// What -v said.
    attributes: Option<Vec<u8>>,
    faults: Vec<String>,
    is_usable: bool,
}

impl Reader {
    fn refuse(&mut self, fault: String) {
        self.is_usable = false;
        self.faults.push(fault);
    }

    fn flags(&mut self, spec: &[u8], map: &mut Map) {
        let mut rest = spec;
        loop {
            rest = rest.trim_ascii_start();
            let Some(([letter], after)) = rest.strip_prefix(b"-").and_then(|flag| flag.split_at_checked(1)) else {
                break;
            };
            let takes_apart = b"bcdHhklMPprsvwZ".contains(letter);
            let value = if takes_apart { after.trim_ascii_start() } else { after };
            let (word, after) = value.split_at(word_length(value));
            self.flag(*letter, unquoted(word), map);
            if !self.is_usable {
                return;
            }
            rest = after;
        }
        map.rest = rest.trim_ascii_end().to_vec();
        if self.inquiry.is_single {
            // Enough to see that there is a second one.
            self.inquiry.size_limit = 2;
        }
    }

    fn flag(&mut self, letter: u8, value: &[u8], map: &mut Map) {
        let name = shown(&map.name);
        let number = || {
            let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
            std::str::from_utf8(&value[..digits]).ok().and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0)
        };
        let inquiry = &mut self.inquiry;
        match letter {
            b'A' | b'D' | b'f' | b'm' | b'N' | b'O' | b'o' | b'q' | b't' => map.flags.push(letter),
            b'a' => map.append = value.to_vec(),
            b'T' => map.append_later = Some(value.to_vec()),
            b'S' => map.blank = value.first().copied(),
            b'z' => inquiry.separator = mark(value),
            b'V' => inquiry.name_mark = mark(value),
            b'1' => inquiry.is_single = true,
            b'n' => inquiry.names_only = true,
            b'K' => inquiry.takes_arguments = true,
            b'R' => inquiry.ignores_referrals = true,
            b'b' => inquiry.base = value.to_vec(),
            b'd' => inquiry.bind_dn = value.to_vec(),
            b'P' => inquiry.password_file = value.to_vec(),
            b'k' => inquiry.filter = value.to_vec(),
            b'v' => self.attributes = Some(value.to_vec()),
            b'c' => inquiry.connect_time = number(),
            b'l' => inquiry.time_limit = number(),
            b'Z' => inquiry.size_limit = number(),
            b'p' => inquiry.port = u16::try_from(number()).ok().filter(|port| *port > 0).unwrap_or(PORT),
            b'h' | b'H' => {
                let (own, other) = match letter {
                    b'h' => (&mut inquiry.hosts, &inquiry.uris),
                    _ => (&mut inquiry.uris, &inquiry.hosts),
                };
                *own = value.to_vec();
                if !other.is_empty() {
                    self.refuse(format!("Can not specify both an LDAP host and an LDAP URI in map {name}"));
                }
            }
            b's' => {
                match word(value, b"LDAP_SCOPE_", &[("base", Scope::Base), ("one", Scope::One), ("sub", Scope::Sub)]) {
                    Some(scope) => inquiry.scope = scope,
                    None => self.refuse(format!("Scope must be [base|one|sub] (not {}) in map {name}", shown(value))),
                }
            }
            b'M' => match word(value, b"LDAP_AUTH_", &[("none", true), ("simple", false)]) {
                Some(without_login) => inquiry.without_login = without_login,
                None => {
                    let text =
                        format!("Method for binding must be [none|simple|krbv4] (not {}) in map {name}", shown(value));
                    self.refuse(text);
                }
            },
            b'r' => {
                let words = [
                    ("never", Deref::Never),
                    ("always", Deref::Always),
                    ("search", Deref::Search),
                    ("find", Deref::Find),
                ];
                match word(value, b"LDAP_DEREF_", &words) {
                    Some(deref) => inquiry.deref = deref,
                    None => {
                        let text =
                            format!("Deref must be [never|always|search|find] (not {}) in map {name}", shown(value));
                        self.refuse(text);
                    }
                }
            }
            b'w' => match number() {
                version @ (2 | 3) => inquiry.version = version as u8,
                version @ 0..2 => self.refuse(format!("LDAP version {version} is lower than min of 2 in map {name}")),
                version => self.refuse(format!("LDAP version {version} exceeds max of 3 in map {name}")),
            },
            // Taken as sendmail takes it; it does nothing.
            b'x' => {}
            other => self.faults.push(format!("Illegal option {} map {name}", char::from(other))),
        }
    }

    /// `name`, `name:kind` or `name:kind:class|class`, at commas.
    fn attributes(&mut self, text: &[u8], map: &[u8]) {
        let map = shown(map);
        let mut found = vec![Attribute { name: b"objectClass".to_vec(), kind: Kind::ObjectClass, classes: Vec::new() }];
        for word in text.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty()) {
            if found.len() >= ATTRIBUTE_LIMIT {
                return self.refuse(format!("Too many return attributes in {map} (max {ATTRIBUTE_LIMIT})"));
            }
            let mut parts = word.splitn(3, |b| *b == b':');
            let name = parts.next().unwrap_or_default();
            let kind = match &parts.next().unwrap_or_default().to_ascii_lowercase()[..] {
                b"" | b"normal" => Kind::Normal,
                b"dn" => Kind::Dn,
                b"filter" => Kind::Filter,
                b"url" => Kind::Url,
                other => return self.refuse(format!("Unknown attribute type ({}) in {map}", shown(other))),
            };
            let classes = parts.next().filter(|classes| !classes.starts_with(b"*")).unwrap_or_default();
            let classes = classes.split(|b| *b == b'|').filter(|class| !class.is_empty()).map(<[u8]>::to_vec).collect();
            let attribute = Attribute { name: name.to_vec(), kind, classes };
            match found.iter().position(|known| known.name.eq_ignore_ascii_case(name)) {
                Some(0) => found[0] = Attribute { classes: Vec::new(), ..attribute },
                Some(_) => return self.refuse(format!("Duplicate attribute ({}) in {map}", shown(name))),
                None => found.push(attribute),
            }
        }
        let leads_on = found.iter().any(|a| matches!(a.kind, Kind::Dn | Kind::Filter | Kind::Url));
        if leads_on && !found.iter().any(|a| a.kind == Kind::Normal) {
            return self.refuse(format!("LDAP recursion requested in {map} but no returnable attribute given"));
        }
        if leads_on && self.inquiry.names_only {
            return self.refuse(format!("LDAP recursion requested in {map} can not be used with -n"));
        }
        self.inquiry.attributes = found;
    }
}

/// How long a word is: blanks within quotes belong to it.
fn word_length(text: &[u8]) -> usize {
    let mut is_quoted = false;
    let ends = |byte: &u8| {
        is_quoted ^= *byte == b'"';
        byte.is_ascii_whitespace() && !is_quoted
    };
    text.iter().position(ends).unwrap_or(text.len())
}

/// What stands between quotes, where a word begins with one.
fn unquoted(word: &[u8]) -> &[u8] {
    match word.strip_prefix(b"\"") {
        Some(inner) => inner.split(|b| *b == b'"').next().unwrap_or_default(),
        None => word,
    }
}

/// A character that stands between two texts; `\n` and `\t` are what they are in C.
fn mark(value: &[u8]) -> Option<u8> {
    match value {
        [b'\\', b'n', ..] => Some(b'\n'),
        [b'\\', b't', ..] => Some(b'\t'),
        [first, ..] => Some(*first),
        [] => None,
    }
}

/// What a word stands for, which may have a prefix and a tail.
fn word<T: Copy>(value: &[u8], prefix: &[u8], words: &[(&str, T)]) -> Option<T> {
    let begins = |text: &[u8], with: &[u8]| text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    let value = if begins(value, prefix) { &value[prefix.len()..] } else { value };
    words.iter().find(|(word, _)| begins(value, word.as_bytes())).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: &str) -> (Option<Inquiry>, Map, Vec<String>) {
        let mut map = Map::blank(b"m", "ldap", 1);
        let (inquiry, faults) = Inquiry::read(spec.as_bytes(), &mut map, &Inquiry::default());
        (inquiry, map, faults)
    }

    #[test]
    fn flags_are_glued_or_apart_and_quotes_keep_blanks() {
        let (inquiry, map, faults) = read(
            "-1 -T<TMPF> -a.x -h \"a.test b.test:390\" -p3890 -b \"ou=x y,dc=z\" -s LDAP_SCOPE_ONE -r find -l 5 -Z9 -c 3 \
             -d cn=x -M simple -P /f -R -w 3 -z, -V\\n -K -k \"(cn=a %0)\" -v mail,ref:DN,s:FILTER:c1|c2,u:url:* -o -f",
        );
        let inquiry = inquiry.unwrap();
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(
            (&map.append[..], map.append_later.as_deref(), &map.flags[..]),
            (&b".x"[..], Some(&b"<TMPF>"[..]), &b"of"[..])
        );
        assert_eq!(
            (&inquiry.hosts[..], inquiry.port, &inquiry.base[..]),
            (&b"a.test b.test:390"[..], 3890, &b"ou=x y,dc=z"[..])
        );
        assert_eq!(
            (inquiry.scope, inquiry.deref, inquiry.time_limit, inquiry.size_limit),
            (Scope::One, Deref::Find, 5, 2)
        );
        assert_eq!((inquiry.separator, inquiry.name_mark, inquiry.version), (Some(b','), Some(b'\n'), 3));
        assert!(inquiry.is_single && inquiry.takes_arguments && inquiry.ignores_referrals && !inquiry.without_login);
        assert_eq!((&inquiry.filter[..], inquiry.connect_time), (&b"(cn=a %0)"[..], 3));
        let attribute = |name: &str, kind, classes: &[&str]| Attribute {
            name: name.into(),
            kind,
            classes: classes.iter().map(|class| class.as_bytes().to_vec()).collect(),
        };
        let wanted = [
            attribute("objectClass", Kind::ObjectClass, &[]),
            attribute("mail", Kind::Normal, &[]),
            attribute("ref", Kind::Dn, &[]),
            attribute("s", Kind::Filter, &["c1", "c2"]),
            attribute("u", Kind::Url, &[]),
        ];
        assert_eq!(inquiry.attributes, wanted);
    }

    #[test]
    fn what_is_wrong_is_told_in_sendmails_words() {
        for (spec, wanted) in [
            ("-v a", "No filter given in map m"),
            ("-k (x) -v a:DN", "LDAP recursion requested in m but no returnable attribute given"),
            ("-k (x) -v a:foo", "Unknown attribute type (foo) in m"),
            ("-k (x) -v a,b,A", "Duplicate attribute (A) in m"),
            ("-k (x) -n -v a,b:DN", "LDAP recursion requested in m can not be used with -n"),
            ("-k (x) -s foo", "Scope must be [base|one|sub] (not foo) in map m"),
            ("-k (x) -M krbv5", "Method for binding must be [none|simple|krbv4] (not krbv5) in map m"),
            ("-k (x) -r foo", "Deref must be [never|always|search|find] (not foo) in map m"),
            ("-k (x) -w 5", "LDAP version 5 exceeds max of 3 in map m"),
            ("-k (x) -w 1", "LDAP version 1 is lower than min of 2 in map m"),
            ("-h x -H ldap://y -k (x)", "Can not specify both an LDAP host and an LDAP URI in map m"),
        ] {
            let (inquiry, _, faults) = read(spec);
            assert_eq!((inquiry, &faults[..]), (None, &[wanted.to_string()][..]), "{spec}");
        }
        let (inquiry, _, faults) = read("-2 -k (x)");
        assert!(inquiry.is_some() && faults == ["Illegal option 2 map m"], "{faults:?}");
    }

    #[test]
    fn defaults_hold_for_what_a_line_does_not_say() {
        let (defaults, faults) = Inquiry::defaults(b"-w 3 -h h.test -b dc=x");
        assert!(faults.is_empty(), "{faults:?}");
        let mut map = Map::blank(b"m", "ldap", 1);
        let inquiry = Inquiry::read(b"-k (x) -b dc=y", &mut map, &defaults).0.unwrap();
        assert_eq!((&inquiry.hosts[..], &inquiry.base[..], inquiry.version), (&b"h.test"[..], &b"dc=y"[..], 3));
        let (_, faults) = Inquiry::defaults(b"-k (x) -v a -ax");
        assert_eq!(faults.len(), 3, "{faults:?}");
    }
}
