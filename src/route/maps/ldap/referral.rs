//! A server that has not what is asked for names another one, which is asked as nobody.
//!
//! Called for each search of a map without -R. What the other server says takes the place of the referral; where none answers, the
//! referral stays, and is a temporary failure.
//! Trust: a directory decides whom we ask next, but it gets no password by that, no socket of this machine, and no host in clear where
//! the map's own server has TLS.
//! RFC 4511 §4.1.10.

use super::line::{Found, Line};
use super::servers::referred;
use crate::nexthop::Net;
use crate::proto::ldap::{Filter, Search, Url};
use crate::rules::ldap::Inquiry;
use std::time::{Duration, Instant};

/// How often one server may send us to another.
const HOPS: usize = 5;
/// Most servers that are tried of one referral.
const TRIED: usize = 4;
/// `referral`.
const CODE: u32 = 10;

/// The way to other servers.
pub(super) struct Way<'w> {
    pub(super) net: &'w dyn Net,
    /// For one connection.
    pub(super) patience: Duration,
    pub(super) until: Instant,
    pub(super) needs_tls: bool,
}

impl Way<'_> {
    /// The answer, or that of the server that it names.
    pub(super) fn followed(&self, found: Found, search: &Search) -> Found {
        self.hop(found, search, HOPS)
    }

    fn hop(&self, found: Found, search: &Search, hops: usize) -> Found {
        if found.outcome.code != CODE || hops == 0 {
            return found;
        }
        let urls = found.outcome.referrals.iter().take(TRIED);
        match urls.filter_map(|url| Url::read(url).ok()).find_map(|url| self.ask(url, search)) {
            Some((other, search)) => self.hop(other, &search, hops - 1),
            None => found,
        }
    }

    /// What another server says, and to which question.
    fn ask(&self, url: Url, search: &Search) -> Option<(Found, Search)> {
        let server = referred(&url).filter(|server| !self.needs_tls || server.has_tls())?;
        let mut search = search.clone();
        if !url.dn.is_empty() {
            search.base = url.dn;
        }
        search.scope = url.scope.unwrap_or(search.scope);
        if let Some(filter) = url.filter {
            search.filter = Filter::read(&filter).ok()?;
        }
        let mut line = Line::open(self.net, &[server], &Inquiry::default(), self.patience, self.until).ok()?;
        let found = line.search(&search, self.until).ok()?;
        line.close();
        Some((found, search))
    }
}
