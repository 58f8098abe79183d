//! Maps of class `ldap`: a directory is asked for what its entries say.
//!
//! The key goes into the filter as one value, whatever it holds ([`question`]); a connection is opened to the first server that takes us
//! ([`line`]), kept for the next question, and made anew once where the server has closed it in between; what comes back becomes
//! the value ([`gather`]). A directory that gives no answer, or a doubtful one, is a temporary failure, never "not there"; after one
//! that could not be reached, others have their answer at once for a short time, so that a dead server does not hold all threads.
//! RFC 4511, RFC 4515.

mod gather;
mod line;
mod referral;
mod servers;

use super::Heard;
use crate::nexthop::Net;
use crate::proto::ldap::{Filter, FilterError, Search, escape};
use crate::rules::ldap::Inquiry;
use crate::rules::map::Map;
use crate::rules::world::{Looked, exit};
use gather::{Gathered, Searcher};
use line::{Found, Line, Trouble};
use referral::Way;
use servers::{Server, servers};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest look-up where the map does not say (-l).
const TIME: Duration = Duration::from_secs(30);
/// Longest look-up for a class: whoever needs the rules waits for it.
const CLASS_TIME: Duration = Duration::from_secs(10);
/// The most that -l may allow.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// Longest wait for one server, login included, where the map does not say (-c).
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Connections to one directory that are kept without a question.
const KEPT: usize = 16;
/// For how long.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// How long a directory that could not be reached is left alone.
const REST: Duration = Duration::from_secs(5);

/// What tells connections apart: those of maps that agree in all of it serve each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Directory {
    hosts: Vec<u8>,
    uris: Vec<u8>,
    port: u16,
    bind_dn: Vec<u8>,
    password_file: Vec<u8>,
    without_login: bool,
}

impl Directory {
    fn of(inquiry: &Inquiry) -> Directory {
        Directory {
            hosts: inquiry.hosts.clone(),
            uris: inquiry.uris.clone(),
            port: inquiry.port,
            bind_dn: inquiry.bind_dn.clone(),
            password_file: inquiry.password_file.clone(),
            without_login: inquiry.without_login,
        }
    }
}

/// Directories, and the connections to them that wait for a question.
#[derive(Default)]
pub(super) struct Directories {
    net: Option<Arc<dyn Net>>,
    idle: Mutex<HashMap<Directory, Vec<Line>>>,
    /// Directories that could not be reached: when, and why.
    resting: Mutex<HashMap<Directory, (Instant, Trouble)>>,
}

/// Why there is no answer.
enum Failed {
    /// No server took us.
    Opening(Trouble),
    /// One did, but then there was trouble.
    Asking(Trouble),
}

impl Directories {
    /// Directories that are reached by this network.
    pub(super) fn new(net: Arc<dyn Net>) -> Directories {
        Directories { net: Some(net), ..Directories::default() }
    }

    /// Asks a map's directory.
    pub(super) fn ask(&self, map: &Map, inquiry: &Inquiry, key: &[u8], arguments: &[Vec<u8>]) -> Heard {
        let asked = Duration::from_secs(inquiry.time_limit.into());
        let time = if asked.is_zero() { TIME } else { asked.min(TIME_LIMIT) };
        self.ask_within(map, inquiry, (key, arguments), time)
    }

    /// The same for a class, which others wait for.
    pub(super) fn ask_for_class(&self, map: &Map, inquiry: &Inquiry, key: &[u8]) -> Heard {
        self.ask_within(map, inquiry, (key, &[]), CLASS_TIME)
    }

    fn ask_within(&self, map: &Map, inquiry: &Inquiry, (key, arguments): (&[u8], &[Vec<u8>]), time: Duration) -> Heard {
        let name = String::from_utf8_lossy(&map.name).into_owned();
        let is_told = !map.has(b'o');
        let later = |said: String, cause: String| Heard {
            notice: Some(said).filter(|_| is_told),
            ..super::later(format!("map {name}: {cause}"))
        };
        let filter = match question(inquiry, key, arguments, !map.has(b'f')) {
            Ok(filter) => filter,
            Err(error) => {
                return later(
                    format!("Error in ldap_search in map {name}: Bad search filter"),
                    format!("its filter: {error}"),
                );
            }
        };
        match self.gather(inquiry, map.has(b'm'), &filter, Instant::now() + time) {
            Ok(Gathered::Value(Some(value))) => Heard::found(value),
            Ok(Gathered::Value(None)) if map.has(b'm') => Heard::found(""),
            Ok(Gathered::Value(None)) => Heard { looked: Looked::failed(exit::OK), ..Heard::missing() },
            Ok(Gathered::Nothing) => Heard::missing(),
            Ok(Gathered::Senseless) => Heard {
                looked: Looked::failed(exit::SOFTWARE),
                ..later(results(&name, key, "Bad address"), "no attribute is asked for (-v)".to_string())
            },
            Ok(Gathered::Later(said, cause)) => later(results(&name, key, &said), cause),
            Err(Failed::Asking(trouble)) => later(results(&name, key, "Can't contact LDAP server"), trouble.0),
            // A map that is wished for and not there is one that has nothing.
            Err(Failed::Opening(_)) if map.has(b'o') => Heard::missing(),
            Err(Failed::Opening(trouble)) => {
                let id = [&inquiry.hosts, &inquiry.uris].into_iter().find(|text| !text.is_empty());
                let id = id.map_or_else(|| "localhost".into(), |id| String::from_utf8_lossy(id).into_owned());
                let complaint = format!("ldap_init/ldap_bind failed to {id} in map {name}: {}", trouble.0);
                Heard { complaint: Some(complaint), ..super::later(format!("map {name}: {}", trouble.0)) }
            }
        }
    }

    /// True when a server of the map's directory takes us.
    pub(super) fn opens(&self, inquiry: &Inquiry) -> bool {
        let directory = Directory::of(inquiry);
        match self.take(&directory).map_or_else(|| self.open(inquiry, &directory, Instant::now() + TIME), Ok) {
            Ok(line) => {
                self.keep(directory, line);
                true
            }
            Err(_) => false,
        }
    }

    fn gather(
        &self,
        inquiry: &Inquiry,
        matches_only: bool,
        filter: &Filter,
        until: Instant,
    ) -> Result<Gathered, Failed> {
        let directory = Directory::of(inquiry);
        let attempt = |line: Line| {
            let way = self.net.as_deref().filter(|_| !inquiry.ignores_referrals).map(|net| Way {
                net,
                patience: patience(inquiry),
                until,
                needs_tls: servers(inquiry).is_ok_and(|all| all.iter().any(Server::has_tls)),
            });
            let mut caller = Caller { line, until, way };
            let gathered = gather::gather(inquiry, matches_only, filter.clone(), &mut caller)?;
            self.keep(directory.clone(), caller.line);
            Ok(gathered)
        };
        if let Some(line) = self.take(&directory) {
            match attempt(line) {
                Ok(gathered) => return Ok(gathered),
                // The server has closed it in between, or is slow: the time that is left decides.
                Err::<_, Trouble>(trouble) if Instant::now() >= until => return Err(Failed::Asking(trouble)),
                Err(_) => {}
            }
        }
        let line = self.open(inquiry, &directory, until).map_err(Failed::Opening)?;
        attempt(line).map_err(Failed::Asking)
    }

    fn open(&self, inquiry: &Inquiry, directory: &Directory, until: Instant) -> Result<Line, Trouble> {
        let net = self.net.as_ref().ok_or_else(|| Trouble("this command reaches no directory".to_string()))?;
        if let Some((since, trouble)) = held(&self.resting).get(directory)
            && since.elapsed() < REST
        {
            return Err(trouble.clone());
        }
        let patience = patience(inquiry);
        let opened = servers(inquiry)
            .map_err(Trouble)
            .and_then(|servers| Line::open(&**net, &servers, inquiry, patience, until));
        match opened {
            Ok(line) => {
                held(&self.resting).remove(directory);
                Ok(line)
            }
            Err(trouble) => {
                held(&self.resting).insert(directory.clone(), (Instant::now(), trouble.clone()));
                Err(trouble)
            }
        }
    }

    fn take(&self, directory: &Directory) -> Option<Line> {
        let mut idle = held(&self.idle);
        let lines = idle.get_mut(directory)?;
        let fresh = lines.pop().filter(|line| line.used.elapsed() < IDLE_TIME);
        if fresh.is_none() {
            // The others have waited for even longer.
            lines.clear();
        }
        fresh
    }

    fn keep(&self, directory: Directory, line: Line) {
        let mut idle = held(&self.idle);
        let lines = idle.entry(directory).or_default();
        match lines.len() < KEPT {
            true => lines.push(line),
            false => {
                drop(idle);
                line.close();
            }
        }
    }
}

/// The longest wait for one server.
fn patience(inquiry: &Inquiry) -> Duration {
    match inquiry.connect_time {
        0 => CONNECT_TIME,
        seconds => Duration::from_secs(seconds.into()).min(TIME_LIMIT),
    }
}

/// A panic while it was held leaves what is as good as before.
fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What sendmail says of a search that failed.
fn results(map: &str, key: &[u8], why: &str) -> String {
    format!("Error getting LDAP results, map={map}, name={}: {why}", String::from_utf8_lossy(key))
}

/// Searches over one connection, all until the same time, and where its server sends us.
struct Caller<'c> {
    line: Line,
    until: Instant,
    /// `None` where referrals are not followed (-R).
    way: Option<Way<'c>>,
}

impl Searcher for Caller<'_> {
    fn search(&mut self, search: &Search) -> Result<Found, Trouble> {
        let found = self.line.search(search, self.until)?;
        Ok(match &self.way {
            Some(way) => way.followed(found, search),
            None => found,
        })
    }
}

/// The map's filter with the key in it, and the arguments where the map takes them (-K). A key is one value whatever it holds
/// (RFC 4515 §3); sendmail puts it in as it stands for `%s`, which lets the sender of a message write a part of the filter.
fn question(inquiry: &Inquiry, key: &[u8], arguments: &[Vec<u8>], folds: bool) -> Result<Filter, FilterError> {
    let mut text = Vec::new();
    let put = |value: &[u8], text: &mut Vec<u8>| match folds {
        true => escape(&value.to_ascii_lowercase(), text),
        false => escape(value, text),
    };
    let mut rest = &inquiry.filter[..];
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after.first()) {
            (b'%', Some(b's' | b'0')) => put(key, &mut text),
            (b'%', Some(digit @ b'1'..=b'9')) if inquiry.takes_arguments => {
                // One that is missing is empty.
                put(arguments.get(usize::from(digit - b'1')).map_or(&b""[..], |argument| argument), &mut text);
            }
            (b'%', Some(b'%')) => text.push(b'%'),
            _ => {
                text.push(byte);
                continue;
            }
        }
        rest = after.get(1..).unwrap_or_default();
    }
    Filter::read(&text)
}

/// What the administrator should know of a map before it is asked.
pub(super) fn notes(inquiry: &Inquiry) -> Vec<String> {
    let mut notes = Vec::new();
    let argument = b"x".to_vec();
    if let Err(error) = question(inquiry, b"x", &vec![argument; 9], true) {
        notes.push(format!("its filter is none ({error}): look-ups fail for now"));
    }
    let servers = match servers(inquiry) {
        Ok(servers) => servers,
        Err(why) => {
            notes.push(format!("{why}: look-ups fail for now"));
            Vec::new()
        }
    };
    if inquiry.version == 2 {
        notes.push("-w 2: version 3 is spoken in any case".to_string());
    }
    if !inquiry.password_file.is_empty() && !inquiry.without_login {
        use std::os::unix::ffi::OsStrExt;
        let file = Path::new(std::ffi::OsStr::from_bytes(&inquiry.password_file));
        if let Err(why) = line::password(file) {
            notes.push(format!("{why}: look-ups fail for now"));
        }
        for server in servers.iter().filter(|server| server.is_heard()) {
            notes.push(format!("its password goes to {server} in clear: ldaps://HOST keeps it"));
        }
    }
    notes
}

#[cfg(test)]
mod tests;
