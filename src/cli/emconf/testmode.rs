//! `emsend -bt`: the test mode of the rules on standard input and output, with what the rules may ask of this machine.
//!
//! Without -C these are the rules in force: etc/em.cf, or the built-in ones, with the site's names and tables. Maps of files are read
//! from their text source; programs, servers and names are asked as a running service asks them ([`crate::route::maps`]).

use super::super::{Ended, say};
use crate::config::{Machine, Site};
use crate::drive::{ClientTls, Dns, Outgoing};
use crate::fsx;
use crate::nexthop::cache::Cached;
use crate::route::maps::Maps;
use crate::rules::Rules;
use crate::rules::listing::{Listing, Source};
use crate::rules::map::Map;
use crate::rules::testmode::{Answer, BANNER, PROMPT, TestMode};
use crate::rules::world::{Looked, MailHosts, World, exit};
use crate::settings::Root;
use crate::status::Exit;
use crate::tables::{Kind, Search, TextTable};
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file read, in octets.
const FILE_LIMIT: u64 = 64 << 20;

/// Runs the test mode over `file`, or over etc/em.cf; with these traces from the start. Options of the command line count beside those of
/// a file that the caller names.
pub(super) fn run(root: &Root, file: Option<&Path>, traces: &[String], options: &[String]) -> super::super::Done {
    let path = file.map_or_else(|| root.etc.join("em.cf"), Path::to_path_buf);
    let shown = path.display().to_string();
    let text = match fsx::read(&path, FILE_LIMIT) {
        Err(error) if error.kind() == ErrorKind::NotFound && file.is_none() => crate::route::BUILT_IN.into(),
        read => read.map_err(|error| {
            let why = if path.is_dir() { "not a plain file".to_string() } else { plain(&error) };
            Ended::new(Exit::OsFile, format!("{shown}: line 0: cannot open: {why}"))
        })?,
    };
    let site = if file.is_none() { Some(super::super::site("emsend", root)?) } else { None };
    let mut machine = Desk::new(site.as_ref());
    let mut rules = Rules::new();
    machine.machine.describe(&mut rules);
    if let Some(site) = site {
        machine.folder = root.etc.clone();
        rules.macros.set(b"{default_domain}", site.default_domain().into_bytes());
        for name in site.settings.server.domains.iter().chain([&site.hostname()]) {
            rules.classes.add(b"w", name.as_bytes());
        }
    }
    rules.macros.set(b"{opMode}", b"t".to_vec());
    rules.macros.set(b"{deliveryMode}", b"i".to_vec());
    rules.read(&text, &shown, &mut machine);
    if file.is_some() {
        crate::config::cf::add_options(&mut rules, options);
    }
    for fault in &rules.faults {
        say(&format!("{}\n", fault.in_one_line()))?;
    }
    machine.maps = machine.maps.with_options(&rules.options);
    let mut test = TestMode::new(rules);
    traces.iter().for_each(|words| test.trace(words.as_bytes()));
    session(&mut test, &mut machine)?;
    Ok(exit_of(test.status()))
}

fn session(test: &mut TestMode, machine: &mut Desk) -> Result<(), Ended> {
    say(BANNER)?;
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        say(PROMPT)?;
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        while line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
            line.pop();
        }
        match test.line(&line, machine) {
            Answer::Quit => return Ok(()),
            Answer::Text(text) => {
                let mut out = std::io::stdout().lock();
                match out.write_all(&text).and_then(|()| out.flush()) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    done => done?,
                }
            }
        }
    }
}

fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "No such file or directory".to_string(),
        ErrorKind::PermissionDenied => "Permission denied".to_string(),
        _ => error.to_string(),
    }
}

/// The exit code of a status; a number that is none of ours says only that something was refused.
fn exit_of(status: u8) -> Exit {
    match status {
        exit::OK => Exit::Ok,
        exit::USAGE => Exit::Usage,
        exit::DATA => Exit::DataErr,
        exit::NO_USER => Exit::NoUser,
        exit::NOT_FOUND => Exit::NoHost,
        exit::SOFTWARE => Exit::Software,
        exit::SYSTEM => Exit::OsErr,
        exit::IO => Exit::IoErr,
        exit::PROTOCOL => Exit::Protocol,
        exit::CONFIG => Exit::Config,
        _ => Exit::Unavailable,
    }
}

/// This machine: its names, its files.
struct Desk {
    machine: Machine,
    tables: HashMap<Vec<u8>, HashMap<Vec<u8>, Vec<u8>>>,
    told: HashSet<Vec<u8>>,
    complaint: Option<String>,
    notice: Option<String>,
    maps: Maps,
    /// Where names of files without a folder are looked for.
    folder: PathBuf,
    /// Maps of class `table`, by their file.
    texts: HashMap<PathBuf, TextTable>,
}

impl Desk {
    /// Answers as the services of the site would; without one, as a sendmail.cf by itself wants it.
    fn new(site: Option<&Site>) -> Desk {
        let mut settings = site.map(|site| site.settings.clone()).unwrap_or_default();
        if site.is_none() {
            settings.delivery.program_user = "daemon".to_string();
        }
        let tls = Arc::new(site.map_or_else(ClientTls::default, ClientTls::of));
        let maps = Maps::new(&settings, Arc::new(Cached::new(Dns::with(settings.dns.clone()))));
        let maps = maps.with_net(Arc::new(Outgoing::new(tls)));
        Desk {
            machine: Machine::read(),
            tables: HashMap::new(),
            told: HashSet::new(),
            complaint: None,
            notice: None,
            maps,
            folder: PathBuf::new(),
            texts: HashMap::new(),
        }
    }

    /// The text source of a map's file; the name may lack what a database's name has.
    fn file(map: &Map) -> PathBuf {
        let name = map.rest.split(u8::is_ascii_whitespace).next().unwrap_or(b"");
        let path = Path::new(std::ffi::OsStr::from_bytes(name)).to_path_buf();
        match path.extension().is_some_and(|e| e == "db" || e == "cdb") && path.with_extension("").exists() {
            true => path.with_extension(""),
            false => path,
        }
    }

    /// A row of a map of class `table`.
    fn text_table(&mut self, map: &Map, key: &[u8]) -> Looked {
        let path = self.folder.join(Desk::file(map));
        let kind = path.file_name().and_then(std::ffi::OsStr::to_str).map_or(Kind::Own, Kind::of);
        let table = self.texts.entry(path.clone()).or_insert_with(|| TextTable::new(path, kind));
        let order = map.value(b's').and_then(|order| std::str::from_utf8(order).ok()).and_then(Search::named);
        let key = String::from_utf8_lossy(key).into_owned();
        match table.find(order.unwrap_or_default(), &key) {
            Ok(Some(hit)) => Looked::found(hit.expanded(&key).replace('%', "%%")),
            Ok(None) => Looked::missing(),
            Err(error) => {
                self.complaint = Some(error.to_string());
                Looked::failed(exit::TEMPORARY)
            }
        }
    }

    /// A table of keys and values, read at its first use.
    fn table(&mut self, map: &Map) -> Option<&HashMap<Vec<u8>, Vec<u8>>> {
        if !self.tables.contains_key(&map.name) {
            let path = Desk::file(map);
            let text = match fsx::read(&path, FILE_LIMIT) {
                Ok(text) => text,
                Err(error) => {
                    if !map.has(b'o') && self.told.insert(map.name.clone()) {
                        let name = String::from_utf8_lossy(&map.name).into_owned();
                        let database = if map.class == "hash" || map.class == "btree" { ".db" } else { "" };
                        self.complaint = Some(format!(
                            "{} map \"{name}\": missing map file {}{database}: {}",
                            map.class,
                            path.display(),
                            plain(&error)
                        ));
                    }
                    return None;
                }
            };
            let folds = !map.has(b'f');
            let split = |line: &[u8]| match map.class.as_str() {
                "implicit" | "stab" => {
                    let colon = line.iter().position(|b| *b == b':')?;
                    Some((line[..colon].trim_ascii().to_vec(), line[colon + 1..].trim_ascii().to_vec()))
                }
                _ => {
                    let end = line.iter().position(u8::is_ascii_whitespace)?;
                    Some((line[..end].to_vec(), line[end..].trim_ascii().to_vec()))
                }
            };
            let mut table = HashMap::new();
            for line in text.split(|b| *b == b'\n').filter(|line| !line.starts_with(b"#")) {
                if let Some((key, value)) = split(line) {
                    let key = if folds { key.to_ascii_lowercase() } else { key };
                    table.entry(key).or_insert(value);
                }
            }
            self.tables.insert(map.name.clone(), table);
        }
        self.tables.get(&map.name)
    }
}

impl Source for Desk {
    fn fetch(&mut self, listing: &Listing) -> Result<Vec<u8>, String> {
        if listing.is_program {
            return Err("programs are not run by -bt".to_string());
        }
        let path = self.folder.join(std::ffi::OsStr::from_bytes(&listing.name));
        fsx::read(&path, FILE_LIMIT).map_err(|error| plain(&error))
    }

    fn look_up(&mut self, map: &Map, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.maps.class_words(map, key)
    }
}

impl World for Desk {
    fn look_up(&mut self, map: &Map, key: &[u8], arguments: &[Vec<u8>]) -> Looked {
        match map.class.as_str() {
            "table" => self.text_table(map, key),
            "hash" | "btree" | "dbm" | "cdb" | "lmdb" | "implicit" | "stab" => match self.table(map) {
                Some(table) => table.get(key).map_or_else(Looked::missing, |value| Looked::found(value.clone())),
                None if map.has(b'o') => Looked::missing(),
                None => Looked::failed(exit::TEMPORARY),
            },
            _ => match self.maps.look_up(map, key, arguments) {
                Some(heard) => {
                    self.notice = heard.notice;
                    if heard.complaint.is_some() && self.told.insert(map.name.clone()) {
                        self.complaint = heard.complaint;
                    }
                    heard.looked
                }
                None => {
                    if map.class == "nis" && !map.has(b'o') && self.told.insert(map.name.clone()) {
                        let table = String::from_utf8_lossy(&map.rest);
                        self.complaint = Some(format!("NIS map {table} specified, but NIS not running"));
                    }
                    Looked::failed(exit::TEMPORARY)
                }
            },
        }
    }

    fn is_open(&mut self, map: &Map) -> bool {
        match map.class.as_str() {
            "stab" | "implicit" if map.rest.is_empty() => false,
            "hash" | "btree" | "dbm" | "cdb" | "lmdb" | "text" | "table" | "stab" | "implicit" => {
                !map.has(b'o') || Desk::file(map).exists()
            }
            _ => self.maps.is_open(map),
        }
    }

    fn complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    fn text(&mut self, file: &[u8]) -> Option<Vec<u8>> {
        fsx::read(Path::new(std::ffi::OsStr::from_bytes(file)), FILE_LIMIT).ok()
    }

    fn notice(&mut self) -> Option<String> {
        self.notice.take()
    }

    fn mail_hosts(&mut self, host: &[u8]) -> MailHosts {
        self.maps.mail_hosts(&String::from_utf8_lossy(host))
    }

    fn canonical(&mut self, host: &[u8]) -> Option<Vec<u8>> {
        self.maps.canonical(&String::from_utf8_lossy(host)).ok().flatten().map(String::into_bytes)
    }

    fn random(&mut self) -> u64 {
        let mut bytes = [0; 8];
        // Without randomness the number is 0, which is as good as any other here.
        let _ = getrandom::fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
