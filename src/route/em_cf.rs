//! The rules in force: etc/em.cf, compiled once and again when it or a file it names changes; the built-in copy when there is none.
//!
//! Called by `route` for every address. A broken file is not taken: a running process keeps the last good one and says so once; one
//! that has none yet answers "try again later". So it is with a directory that gives no words for a class, but then the file is
//! read again after a minute: a class from a directory is as old as the reading. Rules that ask directories are read anew on a thread of
//! their own, and the last good ones serve meanwhile: no connection waits for a directory that is slow. The site's names go into macros
//! and class w before the file is read.

use super::mailers::Act;
use super::maps::Maps;
use crate::config::{ConfigError, Site, cf};
use crate::fsx::{self, Seen};
use crate::log;
use crate::rules::Rules;
use crate::rules::listing::{Listing, Source};
use crate::rules::macros::{ClassId, Values};
use crate::rules::map::{Class, Map};
use crate::rules::meta;
use crate::rules::names::ByName;
use crate::rules::stranger::{Familiar, Stranger};
use crate::tables::{Kind, Search, TextTable};
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// The rules of a site that has no etc/em.cf.
pub const BUILT_IN: &str = include_str!("../../etc/em.cf");
/// What they are called in messages.
const BUILT_IN_NAME: &str = "em.cf (built in)";
/// Largest file of rules or of a class, in octets.
const SIZE_LIMIT: u64 = 64 << 20;

/// `$v` of a sendmail.cf, in greetings and Received fields.
const PROGRAM: &str = concat!("ExpressMail-", env!("CARGO_PKG_VERSION"));

/// How long rules are kept whose directory gave no words for a class, before they are read again.
const AGAIN: Duration = Duration::from_secs(60);

/// Files, each in the state in which it was read.
type Files = Vec<Seen>;

/// The file of rules of a site.
#[derive(Debug)]
pub struct EmCf {
    site: Arc<Site>,
    path: PathBuf,
    smart_host: Option<String>,
    maps: Arc<Maps>,
    /// Tables by path: they outlive a change of the rules.
    tables: Mutex<HashMap<PathBuf, TextTable>>,
    held: RwLock<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    /// The files that the rules were made of, in the state in which they were, or in which they were refused.
    files: Files,
    compiled: Arc<Compiled>,
    /// When the files are read again, although they are as they were: a directory had no answer.
    again: Option<Instant>,
    /// To read them is to ask a directory.
    asks: bool,
    /// A thread reads them.
    renewing: bool,
}

impl Held {
    fn is_current(&self) -> bool {
        self.files.iter().all(Seen::is_current) && self.again.is_none_or(|again| Instant::now() < again)
    }
}

/// What a reading of the file came to.
struct Reading {
    files: Files,
    /// A directory was asked for a class.
    asked: bool,
    /// It had no answer.
    was_unanswered: bool,
    compiled: Result<Compiled, ConfigError>,
}

/// Rules ready for use.
#[derive(Debug)]
pub struct Compiled {
    /// The rules.
    pub rules: Rules,
    /// The file's name for messages.
    pub name: String,
    /// What each mailer means here, by its number.
    pub acts: Vec<Act>,
    /// Tables by the name of the map, with the order of look-ups.
    pub tables: ByName<(TextTable, Search)>,
    /// The maps that rules may ask and that neither the engine nor a table answers.
    pub outside: Vec<Map>,
    /// Class w, if the file has one.
    pub own: Option<ClassId>,
    /// The rule sets that are called by name.
    pub sets: CheckSets,
    /// The words that the rules know, once they were asked for often enough.
    familiar: OnceLock<Familiar>,
    asked: AtomicU32,
}

/// Numbers of the check_ sets that the file has rules for.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckSets {
    /// At the connection.
    pub relay: Option<usize>,
    /// At MAIL FROM.
    pub mail: Option<usize>,
    /// At RCPT TO.
    pub rcpt: Option<usize>,
    /// For a sender and a recipient together.
    pub compat: Option<usize>,
    /// Before the text comes.
    pub data: Option<usize>,
    /// At the end of the header.
    pub end_of_header: Option<usize>,
    /// At the end of the text.
    pub end_of_message: Option<usize>,
    /// At ETRN.
    pub etrn: Option<usize>,
    /// At VRFY.
    pub vrfy: Option<usize>,
    /// At EXPN.
    pub expn: Option<usize>,
    /// Local users that nobody knows.
    pub local: Option<usize>,
}

impl EmCf {
    /// The rules of a site; `smart_host` is the macro of that name. Classes that come from a directory are asked of `maps`.
    pub fn new(site: Arc<Site>, smart_host: Option<String>, maps: Arc<Maps>) -> EmCf {
        let path = site.root.cf.as_ref().map_or_else(|| site.root.etc.join("em.cf"), |file| file.path.clone());
        EmCf { site, path, smart_host, maps, tables: Mutex::default(), held: RwLock::default() }
    }

    /// The same rules, not read yet, with other maps.
    pub fn with_maps(&self, maps: Arc<Maps>) -> EmCf {
        EmCf::new(self.site.clone(), self.smart_host.clone(), maps)
    }

    /// The rules as they are now.
    pub fn current(self: &Arc<EmCf>) -> Result<Arc<Compiled>, ConfigError> {
        // A panic while it was held leaves rules that are as good as before.
        if let Some(held) = &*self.held.read().unwrap_or_else(PoisonError::into_inner)
            && held.is_current()
        {
            return Ok(held.compiled.clone());
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            // Another one may have been faster.
            Some(held) if held.is_current() => return Ok(held.compiled.clone()),
            Some(held) if held.asks => {
                if !held.renewing {
                    let own = self.clone();
                    let work = move || own.renew();
                    // Without a thread to be had, the next one tries.
                    held.renewing = std::thread::Builder::new().name("rules".to_string()).spawn(work).is_ok();
                }
                return Ok(held.compiled.clone());
            }
            _ => {}
        }
        self.take(&mut held, self.read())
    }

    /// Reads them anew, while the old ones serve.
    fn renew(&self) {
        let reading = self.read();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        // What is wrong was logged.
        let _ = self.take(&mut held, reading);
    }

    /// Puts what was read in the place of what is held; with a mistake in it, the last good rules stay.
    fn take(&self, held: &mut Option<Held>, reading: Reading) -> Result<Arc<Compiled>, ConfigError> {
        let Reading { files, asked, was_unanswered, compiled } = reading;
        let again = was_unanswered.then(|| Instant::now() + AGAIN);
        match (compiled, held) {
            (Ok(compiled), held) => {
                let compiled = Arc::new(compiled);
                *held = Some(Held { files, compiled: compiled.clone(), again, asks: asked, renewing: false });
                Ok(compiled)
            }
            (Err(error), Some(held)) => {
                log::event("rules-refused").field("file", self.path.display()).field("reason", &error).error().write();
                *held = Held { files, compiled: held.compiled.clone(), again, asks: asked, renewing: false };
                Ok(held.compiled.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Reads the file without regard to what is held: gives the first mistake, if there is one. Warnings are in the rules' faults.
    pub fn check(&self) -> Result<Compiled, ConfigError> {
        self.read().compiled
    }

    fn read(&self) -> Reading {
        let mut files = Vec::new();
        let (asked, was_unanswered) = (Cell::new(false), Cell::new(false));
        let words = |map: &Map, key: &[u8]| {
            asked.set(true);
            self.maps.class_words(map, key).inspect_err(|_| was_unanswered.set(true))
        };
        let compiled = match &self.site.root.cf {
            Some(file) => {
                let read = cf::read_rules(file, &mut files, &words);
                let read = read.map_err(|e| ConfigError::whole(self.path.clone(), e.to_string(), ""));
                read.and_then(|rules| self.checked(rules, file.path.display().to_string()))
            }
            None => self.read_ours(&mut files, &words),
        };
        Reading { files, asked: asked.get(), was_unanswered: was_unanswered.get(), compiled }
    }

    fn read_ours(&self, files: &mut Files, words: cf::ClassWords) -> Result<Compiled, ConfigError> {
        files.push(Seen::of(&self.path));
        let (text, name) = match fsx::read(&self.path, SIZE_LIMIT) {
            Ok(text) => (text, self.path.display().to_string()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => (BUILT_IN.into(), BUILT_IN_NAME.to_string()),
            Err(e) => return Err(ConfigError::whole(self.path.clone(), e.to_string(), "")),
        };
        let mut rules = Rules::new();
        self.describe(&mut rules);
        rules.read(&text, &name, &mut ClassFiles { etc: &self.site.root.etc, files, words });
        self.checked(rules, name)
    }

    /// The first mistake of a file that was read, or what is made of it.
    fn checked(&self, mut rules: Rules, name: String) -> Result<Compiled, ConfigError> {
        if let Some(fault) = rules.faults.iter().find(|fault| !fault.warning) {
            let error = ConfigError {
                path: PathBuf::from(&fault.file),
                at: fault.at,
                width: u32::try_from(fault.width).unwrap_or(1),
                line: fault.text.clone(),
                ..ConfigError::whole(PathBuf::new(), fault.message.clone(), "")
            };
            return Err(error);
        }
        self.present(&mut rules);
        Ok(self.compiled(rules, name))
    }

    fn compiled(&self, mut rules: Rules, name: String) -> Compiled {
        let own = Some(rules.classes.id(b"w"));
        let act = if self.site.root.cf.is_some() { Act::of_cf } else { Act::of };
        let acts = rules.mailers.iter().map(act).collect();
        let find = |name: &str| rules.find_set(name.as_bytes()).filter(|set| !rules.set(*set).is_empty());
        let sets = CheckSets {
            relay: find("check_relay"),
            mail: find("check_mail"),
            rcpt: find("check_rcpt"),
            compat: find("check_compat"),
            data: find("check_data"),
            end_of_header: find("check_eoh"),
            end_of_message: find("check_eom"),
            etrn: find("check_etrn"),
            vrfy: find("check_vrfy"),
            expn: find("check_expn"),
            local: find("5"),
        };
        let tables = rules.maps.values().filter_map(|map| Some((map.name[..].into(), self.table(map)?))).collect();
        let outside = outside(&rules);
        Compiled { rules, name, acts, tables, outside, own, sets, familiar: OnceLock::new(), asked: AtomicU32::new(0) }
    }

    /// The table of a map that names a file of keys and values.
    fn table(&self, map: &Map) -> Option<(TextTable, Search)> {
        if !matches!(map.class.as_str(), "table" | "hash" | "btree" | "dbm" | "cdb" | "lmdb") {
            return None;
        }
        let named = map.rest.split(u8::is_ascii_whitespace).next().unwrap_or(b"");
        let path = text_of(&self.site.root.etc.join(OsStr::from_bytes(named)));
        let is_ours = path.parent() == Some(&self.site.root.etc);
        let kind = match path.file_name().and_then(OsStr::to_str) {
            Some(name) if is_ours => Kind::of(name),
            _ => Kind::Own,
        };
        let order = map.value(b's').and_then(|order| std::str::from_utf8(order).ok());
        let search = match map.class.as_str() {
            "table" => order.and_then(Search::named).unwrap_or_default(),
            _ => Search::Exact,
        };
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let table = tables.entry(path.clone()).or_insert_with(|| TextTable::new(path, kind));
        Some((table.clone(), search))
    }

    /// Sets what rules expect to be set while a message is handled, where the file does not.
    fn present(&self, rules: &mut Rules) {
        for (name, value) in [(&b"b"[..], ""), (b"{deliveryMode}", "i"), (b"{daemon_flags}", ""), (b"v", PROGRAM)] {
            if rules.macros.value(name).is_none() {
                rules.macros.set(name, value.into());
            }
        }
    }

    /// Sets the macros and classes that name this site.
    fn describe(&self, rules: &mut Rules) {
        let host = self.site.hostname();
        let default = self.site.default_domain();
        // The V line makes the short name of $w.
        for (name, value) in [(&b"w"[..], host.as_str()), (b"j", &host), (b"k", &host), (b"{default_domain}", &default)]
        {
            rules.macros.set(name, value.into());
        }
        if let Some((_, domain)) = host.split_once('.') {
            rules.macros.set(b"m", domain.into());
            rules.classes.add(b"m", domain.as_bytes());
        }
        if let Some(smart_host) = &self.smart_host {
            rules.macros.set(b"{smart_host}", smart_host.as_bytes().to_vec());
        }
        for member in self.site.settings.server.domains.iter().chain([&host]) {
            rules.classes.add(b"w", member.as_bytes());
        }
    }
}

impl Compiled {
    /// A user's name as a word that the rules do not know; `None` for one that they do. `domain` stands behind it.
    pub(super) fn stranger(&self, user: &str, domain: &str) -> Option<Stranger> {
        /// The longest user must not make an address that is too long for the rules.
        const DOMAIN: usize = 180;
        /// A program that sends one message need not know the words.
        const OFTEN: u32 = 8;
        if self.familiar.get().is_none() && self.asked.fetch_add(1, Ordering::Relaxed) < OFTEN {
            return None;
        }
        let familiar = self.familiar.get_or_init(|| Familiar::of(&self.rules));
        if domain.len() > DOMAIN { None } else { familiar.stranger(&self.rules, user) }
    }

    /// True when the domain is one of class w.
    pub fn is_own(&self, domain: &str) -> bool {
        self.own.is_some_and(|class| self.rules.classes.has(class, domain.as_bytes()))
    }
}

/// The maps that need the world. The one of `$[ $]` is always there and counts where a rule has those.
fn outside(rules: &Rules) -> Vec<Map> {
    let has_brackets = rules.sets.all().any(|rule| rule.right.iter().any(|token| token.is(meta::HOST_BEGIN)));
    let maps = rules
        .maps
        .values()
        .filter(|map| matches!(map.kind, Class::Asked | Class::Ldap(_)) && (map.line > 0 || has_brackets));
    maps.cloned().collect()
}

/// The text that a database was made of: the name may have what a database's name has.
fn text_of(path: &Path) -> PathBuf {
    let is_database = path.extension().is_some_and(|e| e == "db" || e == "cdb");
    if is_database { path.with_extension("") } else { path.to_path_buf() }
}

/// Reads the files of classes and remembers them.
struct ClassFiles<'a> {
    etc: &'a Path,
    files: &'a mut Files,
    words: cf::ClassWords<'a>,
}

impl Source for ClassFiles<'_> {
    fn fetch(&mut self, listing: &Listing) -> Result<Vec<u8>, String> {
        if listing.is_program {
            return Err("programs are not run for classes".to_string());
        }
        let path = self.etc.join(OsStr::from_bytes(&listing.name));
        self.files.push(Seen::of(&path));
        fsx::read(&path, SIZE_LIMIT).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "No such file or directory".to_string(),
            _ => error.to_string(),
        })
    }

    fn look_up(&mut self, map: &Map, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        (self.words)(map, key)
    }
}
