//! From entries to the value of a map: which attributes count, how values are joined, and where they lead on.
//!
//! As sendmail does it, step by step: an entry counts once, whatever leads to it; what entries lead to is looked up in the order of
//! its text, and from the start again after each search. Pure but for the searches, which [`Searcher`] makes.
//! Trust: entries lead on to others, and to themselves: searches have a number, a depth and a time.

use super::line::{Found, Trouble};
use crate::proto::ldap::{self, Entry, Filter, Search, Url};
use crate::rules::ldap::{Attribute, Inquiry, Kind, Scope};
use std::collections::BTreeMap;

/// Most searches of one look-up: a list of so many members may be one by their names.
const SEARCHES_LIMIT: usize = 2000;
/// How far entries may lead.
const DEPTH_LIMIT: usize = 10;
/// Longest value, in octets.
const VALUE_LIMIT: usize = 16 << 20;

/// Makes searches.
pub(super) trait Searcher {
    /// One search.
    fn search(&mut self, search: &Search) -> Result<Found, Trouble>;
}

/// What a look-up came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gathered {
    /// This value; none where entries were found that hold none.
    Value(Option<Vec<u8>>),
    /// No entry, or more than the map's -1 allows.
    Nothing,
    /// The map asks for no attribute.
    Senseless,
    /// The directory can't tell: what sendmail calls it, and what we know of it.
    Later(String, String),
}

/// Looks up what the map asks, with this filter.
pub(super) fn gather(
    inquiry: &Inquiry,
    matches_only: bool,
    filter: Filter,
    searcher: &mut dyn Searcher,
) -> Result<Gathered, Trouble> {
    let mut gathering = Gathering {
        inquiry,
        matches_only,
        searcher,
        value: Vec::new(),
        has_value: false,
        is_matched: false,
        leads: BTreeMap::new(),
        searches: 0,
    };
    let ended = gathering.one(&gathering.question(inquiry.base.clone(), filter), false, 0)?;
    match ended {
        Ended::Well => {}
        Ended::Stopped(stop) => return Ok(stop),
    }
    loop {
        let next =
            gathering.leads.iter().find(|(_, lead)| !lead.is_done).map(|(key, lead)| (key.clone(), lead.clone()));
        let Some((key, lead)) = next else { break };
        match gathering.follow(key.1, &lead)? {
            // A second match behind a lead ends that search alone.
            Ended::Well | Ended::Stopped(Gathered::Nothing) => {}
            Ended::Stopped(stop) => return Ok(stop),
        }
        if let Some(lead) = gathering.leads.get_mut(&key) {
            lead.is_done = true;
        }
    }
    Ok(gathering.finished())
}

/// How a search ended.
enum Ended {
    Well,
    /// With this, whatever else there is.
    Stopped(Gathered),
}

/// What leads on, or has been seen.
#[derive(Debug, Clone)]
struct Lead {
    text: Vec<u8>,
    depth: usize,
    is_done: bool,
}

struct Gathering<'g> {
    inquiry: &'g Inquiry,
    /// -m: that there is an entry is all that is asked.
    matches_only: bool,
    searcher: &'g mut dyn Searcher,
    value: Vec<u8>,
    has_value: bool,
    is_matched: bool,
    /// By their texts, in lower case, and their kinds.
    leads: BTreeMap<(Vec<u8>, Kind), Lead>,
    searches: usize,
}

impl Gathering<'_> {
    fn question(&self, base: Vec<u8>, filter: Filter) -> Search {
        Search {
            base,
            scope: self.inquiry.scope,
            deref: self.inquiry.deref,
            size_limit: self.inquiry.size_limit,
            time_limit: self.inquiry.time_limit,
            names_only: self.inquiry.names_only,
            filter,
            attributes: self.inquiry.attributes.iter().map(|attribute| attribute.name.clone()).collect(),
        }
    }

    /// What a value leads to.
    fn follow(&mut self, kind: Kind, lead: &Lead) -> Result<Ended, Trouble> {
        let wrong = |why: &dyn std::fmt::Display| {
            let shown = String::from_utf8_lossy(&lead.text);
            Ok(Ended::Stopped(Gathered::Later("Unknown error".to_string(), format!("{shown}: {why}"))))
        };
        if lead.depth > DEPTH_LIMIT {
            return wrong(&format!("entries lead on more than {DEPTH_LIMIT} times"));
        }
        let (search, takes_all) = match kind {
            Kind::Filter => match Filter::read(&lead.text) {
                Ok(filter) => (self.question(self.inquiry.base.clone(), filter), false),
                Err(error) => return wrong(&error),
            },
            Kind::Url => match url_search(&lead.text, self.question(Vec::new(), Filter::all())) {
                Ok(search) => (search, true),
                Err(why) => return wrong(&why),
            },
            _ => (self.question(lead.text.clone(), Filter::all()), false),
        };
        self.one(&search, takes_all, lead.depth)
    }

    /// One search; with `takes_all`, attributes that the map does not name count, too.
    fn one(&mut self, search: &Search, takes_all: bool, depth: usize) -> Result<Ended, Trouble> {
        self.searches += 1;
        if self.searches > SEARCHES_LIMIT {
            let why = format!("more than {SEARCHES_LIMIT} searches for one key");
            return Ok(Ended::Stopped(Gathered::Later("Unknown error".to_string(), why)));
        }
        let found = self.searcher.search(search)?;
        for entry in &found.entries {
            // One value is wanted, and there is one: what else there is, and how the search ends, does not matter.
            if self.wants_first() && self.has_value {
                return Ok(Ended::Well);
            }
            if let Some(stop) = self.entry(entry, takes_all, depth) {
                return Ok(Ended::Stopped(stop));
            }
        }
        if found.outcome.code != 0 {
            let meaning = ldap::meaning(found.outcome.code).to_string();
            return Ok(Ended::Stopped(Gathered::Later(meaning, super::line::words(&found.outcome))));
        }
        Ok(Ended::Well)
    }

    fn wants_first(&self) -> bool {
        self.inquiry.separator.is_none() && !self.inquiry.is_single
    }

    fn entry(&mut self, entry: &Entry, takes_all: bool, depth: usize) -> Option<Gathered> {
        if self.matches_only {
            self.is_matched = true;
            return None;
        }
        let key = (entry.dn.to_ascii_lowercase(), Kind::Dn);
        match self.leads.get_mut(&key) {
            Some(lead) if lead.is_done => return None,
            Some(lead) => lead.is_done = true,
            None => {
                self.leads.insert(key, Lead { text: entry.dn.clone(), depth, is_done: true });
            }
        }
        for (name, values) in &entry.attributes {
            let known = self.inquiry.attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name));
            let kind = match known {
                Some(attribute) if attribute.kind == Kind::ObjectClass || !counts(attribute, entry) => continue,
                Some(attribute) => attribute.kind,
                // A URL names the attributes that it wants.
                None if takes_all => Kind::Normal,
                None => return Some(Gathered::Senseless),
            };
            self.is_matched = true;
            match self.inquiry.separator {
                None => match self.first(name, values) {
                    Some(Ended::Stopped(stop)) => return Some(stop),
                    Some(Ended::Well) => return None,
                    None => {}
                },
                Some(separator) => {
                    if let Some(stop) = self.joined(name, values, kind, separator, depth) {
                        return Some(stop);
                    }
                }
            }
        }
        None
    }

    /// Without -z the first value is the result. The answer says that the entry is done with.
    fn first(&mut self, name: &[u8], values: &[Vec<u8>]) -> Option<Ended> {
        if self.has_value {
            return Some(match self.inquiry.is_single {
                true => Ended::Stopped(Gathered::Nothing),
                false => Ended::Well,
            });
        }
        if self.inquiry.names_only {
            self.value = name.to_vec();
        } else {
            let value = values.first()?;
            self.append(name, value);
        }
        self.has_value = true;
        Some(Ended::Well)
    }

    /// With -z all values are, and some of them lead on.
    fn joined(&mut self, name: &[u8], values: &[Vec<u8>], kind: Kind, separator: u8, depth: usize) -> Option<Gathered> {
        if (kind == Kind::Normal || self.inquiry.names_only) && self.inquiry.is_single && self.has_value {
            return Some(Gathered::Nothing);
        }
        if self.inquiry.names_only {
            if self.has_value {
                self.value.push(separator);
            }
            self.value.extend_from_slice(name);
            self.has_value = true;
            return None;
        }
        for value in values {
            if kind != Kind::Normal {
                let lead = Lead { text: value.clone(), depth: depth + 1, is_done: false };
                self.leads.entry((value.to_ascii_lowercase(), kind)).or_insert(lead);
                continue;
            }
            if !self.value.is_empty() {
                self.value.push(separator);
            }
            self.append(name, value);
            self.has_value = true;
            if self.value.len() > VALUE_LIMIT {
                let why = format!("a value of more than {VALUE_LIMIT} octets");
                return Some(Gathered::Later("Unknown error".to_string(), why));
            }
        }
        None
    }

    fn append(&mut self, name: &[u8], value: &[u8]) {
        if let Some(mark) = self.inquiry.name_mark {
            self.value.extend_from_slice(name);
            self.value.push(mark);
        }
        // Rules are about texts: one ends at a NUL.
        self.value.extend(value.iter().take_while(|b| **b != 0));
    }

    fn finished(self) -> Gathered {
        match self.is_matched {
            true => Gathered::Value(Some(self.value).filter(|_| self.has_value)),
            false => Gathered::Nothing,
        }
    }
}

/// True when an attribute counts in this entry: it needs one of the classes that the map names.
fn counts(attribute: &Attribute, entry: &Entry) -> bool {
    let classes = || entry.attributes.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"objectClass"));
    attribute.classes.is_empty()
        || classes()
            .flat_map(|(_, values)| values)
            .any(|own| attribute.classes.iter().any(|class| class.eq_ignore_ascii_case(own)))
}

/// The search that a URL stands for; the server in it does not count, because an entry does not decide whom we ask.
fn url_search(text: &[u8], like: Search) -> Result<Search, String> {
    let url = Url::read(text).map_err(|error| error.to_string())?;
    let filter = match &url.filter {
        Some(filter) => Filter::read(filter).map_err(|error| error.to_string())?,
        None => Filter::all(),
    };
    let asks_class = url.attributes.iter().any(|name| name.eq_ignore_ascii_case(b"objectClass"));
    let mut attributes = url.attributes;
    if !attributes.is_empty() && !asks_class {
        attributes.push(b"objectClass".to_vec());
    }
    Ok(Search { base: url.dn, scope: url.scope.unwrap_or(Scope::Base), filter, attributes, ..like })
}
