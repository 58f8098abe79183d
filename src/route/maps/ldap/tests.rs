//! What a directory of a few entries gives, without a network; and a server that says nonsense.

use super::gather::{Gathered, Searcher, gather};
use super::line::{Found, Trouble};
use super::*;
use crate::proto::ldap::{Entry, Outcome, Scope};

/// Entries by the filter or the name that finds them.
#[derive(Default)]
struct Book {
    by_filter: Vec<(Filter, Vec<Entry>)>,
    by_name: Vec<(Vec<u8>, Vec<Entry>)>,
    /// The code of an answer to a filter.
    codes: Vec<(Filter, u32)>,
    asked: usize,
}

fn entry(dn: &str, attributes: &[(&str, &[&str])]) -> Entry {
    let octets = |text: &&str| text.as_bytes().to_vec();
    let attributes =
        attributes.iter().map(|(name, values)| (octets(name), values.iter().map(octets).collect())).collect();
    Entry { dn: dn.into(), attributes }
}

fn filter(text: &str) -> Filter {
    Filter::read(text.as_bytes()).unwrap()
}

impl Searcher for Book {
    fn search(&mut self, search: &Search) -> Result<Found, Trouble> {
        self.asked += 1;
        let found = match search.filter == Filter::all() {
            true => self.by_name.iter().find(|(name, _)| *name == search.base).map(|(_, entries)| entries),
            false => self.by_filter.iter().find(|(filter, _)| *filter == search.filter).map(|(_, entries)| entries),
        };
        let code = self.codes.iter().find(|(filter, _)| *filter == search.filter).map_or(0, |(_, code)| *code);
        let mut entries = found.cloned().unwrap_or_default();
        if !search.attributes.is_empty() {
            let wanted = |name: &[u8]| search.attributes.iter().any(|known| known.eq_ignore_ascii_case(name));
            entries.iter_mut().for_each(|entry| entry.attributes.retain(|(name, _)| wanted(name)));
        }
        Ok(Found { entries, outcome: Outcome { code, text: Vec::new(), referrals: Vec::new() } })
    }
}

fn inquiry(flags: &str) -> (Map, Inquiry) {
    let (map, faults) = Map::read(format!("m ldap -k (x=%0) {flags}").as_bytes(), 1);
    assert!(faults.is_empty(), "{faults:?}");
    let map = map.unwrap();
    let crate::rules::map::Class::Ldap(inquiry) = map.kind.clone() else { panic!("no directory in {flags}") };
    (map, *inquiry)
}

fn asked(flags: &str, book: &mut Book) -> Gathered {
    let (map, inquiry) = inquiry(flags);
    gather(&inquiry, map.has(b'm'), filter("(x=k)"), book).unwrap()
}

fn value(text: &str) -> Gathered {
    Gathered::Value(Some(text.into()))
}

fn people() -> Book {
    let ann = entry("cn=Ann", &[("objectClass", &["person"]), ("mail", &["a@x", "ann@x"]), ("cn", &["Ann"])]);
    let bob = entry("cn=bob", &[("objectClass", &["person"]), ("mail", &["b@x"])]);
    Book { by_filter: vec![(filter("(x=k)"), vec![ann, bob])], ..Book::default() }
}

#[test]
fn values_are_joined_as_the_flags_say() {
    let mut one = people();
    one.by_filter[0].1.truncate(1);
    for (flags, wanted) in [
        ("-v mail", value("a@x")),
        ("-v mail -1", value("a@x")),
        ("-v mail -z,", value("a@x,ann@x")),
        ("-v mail -z, -1", value("a@x,ann@x")),
        ("-v mail,cn -z, -1", Gathered::Nothing),
        ("-v cn,mail -z| -V=", value("mail=a@x|mail=ann@x|cn=Ann")),
        ("-v mail,cn -n", value("mail")),
        ("-v mail,cn -n -z,", value("mail,cn")),
        ("-v phone", Gathered::Nothing),
        ("-v mail -m", Gathered::Value(None)),
        ("-v mail::robot -z,", Gathered::Nothing),
        ("-v mail:NORMAL:robot|PERSON -z,", value("a@x,ann@x")),
        ("-v objectClass,cn -z,", value("person,Ann")),
        ("", Gathered::Senseless),
    ] {
        assert_eq!(asked(flags, &mut one), wanted, "{flags}");
    }
}

#[test]
fn a_second_match_is_none_for_maps_that_want_one() {
    assert_eq!(asked("-v mail -1", &mut people()), Gathered::Nothing);
    assert_eq!(asked("-v mail -1 -z,", &mut people()), Gathered::Nothing);
    assert_eq!(asked("-v mail", &mut people()), value("a@x"));
    assert_eq!(asked("-v mail -z,", &mut people()), value("a@x,ann@x,b@x"));
    assert_eq!(asked("-v mail", &mut Book::default()), Gathered::Nothing);
}

#[test]
fn a_directory_that_can_not_tell_is_never_one_without_the_key() {
    for code in [3, 4, 10, 11, 32, 50, 80] {
        let mut book = Book { codes: vec![(filter("(x=k)"), code)], ..Book::default() };
        assert!(matches!(asked("-v mail", &mut book), Gathered::Later(..)), "{code}");
    }
    // One value is wanted, and there was one before the end: as with the model, how the search ends does not matter.
    let mut book = Book { codes: vec![(filter("(x=k)"), 4)], ..people() };
    assert_eq!(asked("-v mail", &mut book), value("a@x"));
    assert!(matches!(asked("-v mail -z,", &mut book), Gathered::Later(..)));
}

#[test]
fn entries_lead_on_and_in_circles() {
    let group = entry(
        "cn=group",
        &[
            ("objectClass", &["group"]),
            ("mail", &["g@x"]),
            ("member", &["cn=Bob", "cn=group", "cn=loop"]),
            ("more", &["(x=m)"]),
        ],
    );
    let bob = entry("cn=bob", &[("objectClass", &["person"]), ("mail", &["b@x"])]);
    let looped =
        entry("cn=loop", &[("objectClass", &["group"]), ("member", &["cn=group", "cn=loop"]), ("mail", &["l@x"])]);
    let more = entry("cn=more", &[("mail", &["m@x"]), ("link", &["ldap:///cn=phone?phone"])]);
    let phone = entry("cn=phone", &[("phone", &["12"])]);
    let mut book = Book {
        by_filter: vec![(filter("(x=k)"), vec![group]), (filter("(x=m)"), vec![more])],
        by_name: vec![("cn=Bob".into(), vec![bob]), ("cn=phone".into(), vec![phone]), ("cn=loop".into(), vec![looped])],
        ..Book::default()
    };
    let flags = "-z, -v mail,member:DN:group,more:FILTER:*,link:URL";
    assert_eq!(asked(flags, &mut book), value("g@x,m@x,b@x,l@x,12"));
    assert_eq!(asked("-z, -v mail,member:DN:other", &mut book), value("g@x"));
    // Without -z a value is a value, wherever it would lead.
    assert_eq!(asked("-v mail,member:DN", &mut book), value("g@x"));
    book.codes.push((filter("(x=m)"), 32));
    assert!(matches!(asked(flags, &mut book), Gathered::Later(..)));
    for lead in ["(x=", "((("] {
        let mut book =
            Book { by_filter: vec![(filter("(x=k)"), vec![entry("cn=a", &[("more", &[lead])])])], ..Book::default() };
        assert!(matches!(asked("-z, -v mail,more:FILTER", &mut book), Gathered::Later(..)), "{lead}");
        assert!(matches!(asked("-z, -v mail,more:URL", &mut book), Gathered::Later(..)), "{lead}");
    }
}

#[test]
fn leads_without_end_are_given_up() {
    struct Endless(usize);
    impl Searcher for Endless {
        fn search(&mut self, _: &Search) -> Result<Found, Trouble> {
            self.0 += 1;
            let next = format!("cn={}", self.0);
            let entries = vec![entry(&format!("cn=of{}", self.0), &[("member", &[&next])])];
            let outcome = Outcome { code: 0, text: Vec::new(), referrals: Vec::new() };
            Ok(Found { entries, outcome })
        }
    }
    let (_, inquiry) = inquiry("-z, -v mail,member:DN");
    let mut endless = Endless(0);
    let gathered = gather(&inquiry, false, filter("(x=k)"), &mut endless).unwrap();
    assert!(matches!(gathered, Gathered::Later(..)) && endless.0 < 20, "{gathered:?} {}", endless.0);
}

#[test]
fn a_key_is_one_value_of_the_filter() {
    let (_, plain) = inquiry("-v a");
    let arguments = ["one".into(), "two)".into()];
    for (template, key, takes, wanted) in [
        ("(u=%0)", "Al", false, "(u=al)"),
        ("(u=%s)", "*)(u=*", false, "(u=\\2a\\29\\28u=\\2a)"),
        ("(&(u=%0)(m=%2))", "k", true, "(&(u=k)(m=two\\29))"),
        ("(&(u=%0)(m=%1x))", "k", false, "(&(u=k)(m=%1x))"),
        ("(u=%9)", "k", true, "(u=)"),
        ("(u=100%%)", "k", false, "(u=100%)"),
    ] {
        let inquiry = Inquiry { filter: template.into(), takes_arguments: takes, ..plain.clone() };
        assert_eq!(question(&inquiry, key.as_bytes(), &arguments, true), Ok(filter(wanted)), "{template}");
    }
    let (_, broken) = inquiry("-v a");
    let broken = Inquiry { filter: "(%0".into(), ..broken };
    assert!(question(&broken, b"x", &[], true).is_err());
    // A key that stands for an attribute or a whole filter does not become one.
    let whole = Inquiry { filter: "(&%0)".into(), ..plain };
    assert!(question(&whole, b"(a=b)", &[], true).is_err());
    assert_eq!(plain_scope(), Scope::Sub);
}

/// What a map without -s searches.
fn plain_scope() -> Scope {
    struct Seen(Option<Scope>);
    impl Searcher for Seen {
        fn search(&mut self, search: &Search) -> Result<Found, Trouble> {
            self.0 = Some(search.scope);
            Err(Trouble("seen".to_string()))
        }
    }
    let mut seen = Seen(None);
    let _ = gather(&inquiry("-v a").1, false, filter("(x=k)"), &mut seen);
    seen.0.unwrap()
}
