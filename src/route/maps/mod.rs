//! Maps that the world answers: programs, socketmap servers, directories, names of hosts and other records of DNS.
//!
//! Called by the rules of a running service ([`super::surroundings`]) and by `emsend -bt`, so that both get the same answers. Tables of
//! keys and values are not here: each of the two has its own way to them.
//! Trust: keys come from addresses and are hostile. They reach a program as one argument and never a shell, a server as one netstring, a
//! directory as one value of a filter, and DNS as a name; what comes back is bounded in size and in time, and the engine reads it as the text of an address.

mod ldap;
mod names;
mod program;
mod socket;

use crate::nexthop::Net;
use crate::nexthop::resolver::Resolver;
use crate::rules::map::{Class, Map};
use crate::rules::option::Setting;
use crate::rules::world::{Looked, exit};
use crate::settings::Settings;
use ldap::Directories;
use socket::Sockets;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Classes that are answered here.
const SERVED: [&str; 7] = ["bestmx", "dns", "host", "ldap", "program", "socket", "socketmap"];

/// What a look-up came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The answer.
    pub looked: Looked,
    /// What sendmail says of it to whoever looks on.
    pub notice: Option<String>,
    /// What it complains of before it answers, once for a map.
    pub complaint: Option<String>,
    /// Why there is no answer, for the log.
    pub cause: Option<String>,
}

impl Heard {
    fn found(value: impl Into<Vec<u8>>) -> Heard {
        Heard { looked: Looked::found(value), notice: None, complaint: None, cause: None }
    }

    fn missing() -> Heard {
        Heard { looked: Looked::missing(), notice: None, complaint: None, cause: None }
    }

    fn failed(status: u8, cause: impl Into<String>) -> Heard {
        Heard { looked: Looked::failed(status), notice: None, complaint: None, cause: Some(cause.into()) }
    }
}

/// Answers look-ups; shared by all threads of a process.
pub struct Maps {
    resolver: Arc<dyn Resolver>,
    /// Host names may be looked up in DNS.
    asks_dns: bool,
    search: String,
    patience: Duration,
    program_user: String,
    sockets: Sockets,
    directories: Directories,
}

impl std::fmt::Debug for Maps {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Maps").field("asks_dns", &self.asks_dns).finish_non_exhaustive()
    }
}

impl Maps {
    /// Look-ups as the settings say, names by this resolver.
    pub fn new(settings: &Settings, resolver: Arc<dyn Resolver>) -> Maps {
        let cf = settings.cf.as_ref();
        let user = cf.map(|cf| name_of_user(&cf.default_user)).filter(|user| !user.is_empty());
        Maps {
            resolver,
            asks_dns: cf.is_none_or(|cf| !cf.hosts_by_files),
            search: settings.dns.search.trim_matches('.').to_string(),
            patience: settings.dns.time,
            program_user: user.unwrap_or(&settings.delivery.program_user).to_string(),
            sockets: Sockets::default(),
            directories: Directories::default(),
        }
    }

    /// The same, with directories that are reached by this network.
    pub fn with_net(mut self, net: Arc<dyn Net>) -> Maps {
        self.directories = Directories::new(net);
        self
    }

    /// The same, with what a file's options say of it.
    pub fn with_options(mut self, options: &[Setting]) -> Maps {
        let value =
            |name: &str| options.iter().rev().find(|option| option.name == name).map(|option| &option.value[..]);
        if let Some(user) = value("DefaultUser") {
            self.program_user = name_of_user(&String::from_utf8_lossy(user)).to_string();
        }
        if let Some(file) = value("ServiceSwitchFile") {
            self.asks_dns = !crate::config::cf::hosts_by_files(Path::new(&*String::from_utf8_lossy(file)));
        }
        self
    }

    /// True when names of hosts are looked up in DNS, and there is one.
    pub fn has_dns(&self) -> bool {
        self.asks_dns && self.resolver.has_servers()
    }

    /// True when an answer of this map may take its time.
    pub fn may_wait(&self, map: &Map) -> bool {
        match map.class.as_str() {
            "host" | "bestmx" => self.has_dns(),
            "dns" => self.resolver.has_servers(),
            class => SERVED.contains(&class),
        }
    }

    /// True when a map can be asked at all: its line is whole, and a directory that may be missing (-o) is there.
    pub fn is_open(&self, map: &Map) -> bool {
        match &map.kind {
            Class::Ldap(inquiry) if map.has(b'o') => self.directories.opens(inquiry),
            _ => !map.is_broken(),
        }
    }

    /// What a directory knows for a class of the rules' file.
    pub fn class_words(&self, map: &Map, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let Class::Ldap(inquiry) = &map.kind else { return Err("map open failed".to_string()) };
        match self.directories.ask_for_class(map, inquiry, key) {
            Heard { looked: Looked { value, status: exit::OK | exit::NOT_FOUND }, .. } => Ok(value),
            heard => {
                let failed = if heard.complaint.is_some() { "map open failed" } else { "map lookup failed" };
                Err(format!("{failed}: {}", heard.cause.unwrap_or_default()))
            }
        }
    }

    /// Looks a key up; `None` where the class is none of ours.
    pub fn look_up(&self, map: &Map, key: &[u8], arguments: &[Vec<u8>]) -> Option<Heard> {
        if let Class::Ldap(inquiry) = &map.kind {
            return Some(self.directories.ask(map, inquiry, key, arguments));
        }
        Some(match map.class.as_str() {
            "host" => self.host(key),
            "bestmx" => self.best_hosts(map, key),
            "dns" => self.records(map, key),
            "program" => program::ask(map, key, &self.program_user),
            "socket" | "socketmap" => self.sockets.ask(map, key),
            _ => return None,
        })
    }
}

/// True for a map of DNS whose records are none that we ask for.
pub fn lacks_type(map: &Map) -> bool {
    map.class == "dns" && names::kind_of(map).is_none()
}

/// What is worth knowing of a map before it is asked.
pub fn notes(map: &Map) -> Vec<String> {
    match &map.kind {
        Class::Ldap(inquiry) => ldap::notes(inquiry),
        _ => Vec::new(),
    }
}

/// `user:group` or `user.group`, as DefaultUser has it.
fn name_of_user(text: &str) -> &str {
    text.split([':', '.']).next().unwrap_or("").trim()
}

/// Not sure is temporary.
fn later(cause: impl Into<String>) -> Heard {
    Heard::failed(exit::TEMPORARY, cause)
}
