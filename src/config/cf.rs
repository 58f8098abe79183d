//! A site made of a sendmail.cf alone: `-C FILE` stands in the place of em.toml and of all of etc.
//!
//! Called by [`super::load`] for a root that names such a file. The file is read by `rules`; its O lines become settings here
//! ([`options`]), its rules, mailers and H lines are `route`'s. What has no effect is noted with its line, for `emconf check`.
//! Trust: the file is the caller's, and whoever acts on it has the caller's rights and no others (`cli`).

mod options;
mod timeouts;
mod values;

pub use values::span;

use super::{ConfigError, Machine, Site};
use crate::fsx::{self, Seen};
use crate::rules::dollars::expand;
use crate::rules::lines::Fault;
use crate::rules::listing::{Listing, Source};
use crate::rules::map::Map;
use crate::rules::option::{self, Setting};
use crate::rules::world::exit;
use crate::rules::{Rules, meta};
use crate::settings::{Cf, CfFile, Plaintext, Root, Settings, Size};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Largest file of rules or of a class, in octets.
const SIZE_LIMIT: u64 = 64 << 20;
/// How the files of sendmail's own queues begin: envelopes, texts, transcripts, and what it has set aside.
const QUEUE_FILES: [&str; 6] = ["qf", "df", "xf", "hf", "Qf", "tf"];

/// The folders of our queue.
pub const QUEUE_FOLDERS: [&str; 6] = ["tmp", "queue", "log", "bad", "run", "drop"];

/// Asks what a directory knows for a class.
pub type ClassWords<'a> = &'a dyn Fn(&Map, &[u8]) -> Result<Option<Vec<u8>>, String>;

/// Reads the rules of a sendmail.cf, with the options of the command line behind its own. `files` hears which files were read; `words`
/// is asked for classes that come from a directory.
pub fn read_rules(file: &CfFile, files: &mut Vec<Seen>, words: ClassWords) -> io::Result<Rules> {
    files.push(Seen::of(&file.path));
    let text = fsx::read(&file.path, SIZE_LIMIT)?;
    let mut rules = Rules::new();
    Machine::read().describe(&mut rules);
    rules.read(&text, &file.path.display().to_string(), &mut ClassFiles { files, words });
    add_options(&mut rules, &file.options);
    Ok(rules)
}

/// Reads the options of a command line behind those of the file. What is wrong with them belongs to no line.
pub fn add_options(rules: &mut Rules, options: &[String]) {
    for text in options {
        match option::read(text.as_bytes(), 0) {
            option::Read::Known(setting) => rules.options.push(setting),
            option::Read::Shortened(setting, said) => {
                rules.options.push(setting);
                rules.faults.push(Fault::whole("", said).as_warning());
            }
            option::Read::Unknown(said) => rules.faults.push(Fault::whole("", said)),
        }
    }
}

/// The site of a sendmail.cf.
pub(super) fn load(root: &Root, file: &CfFile) -> Result<Site, ConfigError> {
    let whole = |exit: u8, message: String| ConfigError { exit, ..ConfigError::whole(file.path.clone(), message, "") };
    // Its options are wanted, not its classes: no directory is asked.
    let rules = read_rules(file, &mut Vec::new(), &|_, _| Ok(None)).map_err(|e| {
        let why = if file.path.is_dir() { "not a plain file".to_string() } else { plain(&e) };
        whole(FILE_MISSING, format!("line 0: cannot open: {why}"))
    })?;
    let refused = |exit: u8, told: Vec<(usize, String)>| {
        let lines: Vec<String> = told.into_iter().map(|(_, text)| text).collect();
        ConfigError { exit, ..ConfigError::whole(PathBuf::new(), lines.join("\n"), "") }
    };
    // What is wrong, each in a line of its own as sendmail has it, its warnings between; the command line's stand behind the file's.
    let place = |line: usize| if line == 0 { usize::MAX } else { line };
    let mut told: Vec<_> = rules.faults.iter().map(|fault| (place(fault.line), fault.in_one_line())).collect();
    let mut exit = rules.status();
    let mut root = root.clone();
    let mut settings = defaults();
    let mut cf = Cf { from_line: rules_text(b"From $g $d"), alias_depth: ALIAS_DEPTH, ..Cf::default() };
    settings.server.hostname = expanded(&rules, &[meta::MACRO, b'j']);
    for setting in &rules.options {
        let mut target = options::Target { root: &mut root, settings: &mut settings, cf: &mut cf };
        match options::act(setting, &mut target) {
            Ok(None) => {}
            Ok(Some(why)) => cf.notes.push((setting.line, format!("option {}: {why}", name_of(setting)))),
            Err(why) => {
                let at = place(setting.line);
                let text = match setting.line {
                    0 => why,
                    line => format!("{}: line {line}: {why}", file.path.display()),
                };
                // Nothing behind such a line is read.
                if USAGE.contains(&setting.name) {
                    told.retain(|(line, _)| *line <= at);
                    told.push((at, text));
                    return Err(refused(exit::USAGE, told));
                }
                told.push((at, text));
                exit = if exit == exit::OK { exit::SOFTWARE } else { exit };
            }
        }
    }
    told.sort_by_key(|(line, _)| *line);
    if exit != exit::OK {
        return Err(refused(exit, told));
    }
    let is_told = |text: &String| !TEST_WARNINGS.iter().any(|start| text.starts_with(start));
    cf.warnings = told.into_iter().map(|(_, text)| text).filter(is_told).collect();
    settings.cf = Some(cf);
    Ok(Site { root, settings })
}

/// Options whose bad values are mistakes in usage, and not of the file.
const USAGE: [&str; 2] = ["DeliveryMode", "EightBitMode"];
/// Warnings that sendmail gives in its test mode alone.
const TEST_WARNINGS: [&str; 2] = ["WARNING: Ruleset ", "Warning: .cf file is out of date"];
/// MaxAliasRecursion, where the file has none.
const ALIAS_DEPTH: usize = 10;
/// Exit code of a missing file of configuration: EX_OSFILE.
const FILE_MISSING: u8 = 72;

fn name_of(setting: &Setting) -> String {
    let dot = if setting.part.is_empty() { "" } else { "." };
    format!("{}{dot}{}", setting.name, setting.part)
}

/// True when a service switch file (ServiceSwitchFile) has names of hosts come from files alone: `hosts files`. One that can't be
/// read says nothing, and DNS is asked, too.
pub fn hosts_by_files(file: &Path) -> bool {
    let text = fsx::read(file, SIZE_LIMIT).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.lines().map(|line| line.split('#').next().unwrap_or("").split_whitespace());
    let methods = lines.find_map(|mut words| (words.next() == Some("hosts")).then(|| words.collect::<Vec<_>>()));
    methods.is_some_and(|methods| !methods.is_empty() && !methods.contains(&"dns"))
}

/// What holds where the file says nothing, as sendmail has it.
fn defaults() -> Settings {
    let mut settings = Settings::default();
    settings.accounts.system = true;
    settings.server.detail_separator = "+".to_string();
    settings.smtp.message_size = Size(u64::MAX);
    settings.smtp.header_size = Size(32 << 10);
    settings.smtp.hops = 25;
    settings.smtp.vrfy = true;
    settings.smtp.expn = true;
    settings.smtp.timeout_command = Duration::from_secs(3600);
    settings.smtp.timeout_data = Duration::from_secs(3600);
    settings.queue.timeout_command = Duration::from_secs(3600);
    settings.queue.timeout_data = Duration::from_secs(3600);
    settings.auth.mechanisms = Vec::new();
    settings.auth.plaintext_without_tls = Plaintext::Never;
    settings.relay.mta_sts = false;
    settings.delivery.program_user = "daemon".to_string();
    settings.log.target = "syslog".to_string();
    settings
}

/// A text of the file in inner form, from one that has `$` for its macros.
fn rules_text(text: &[u8]) -> Vec<u8> {
    text.iter().map(|b| if *b == b'$' { meta::MACRO } else { *b }).collect()
}

fn expanded(rules: &Rules, text: &[u8]) -> String {
    String::from_utf8_lossy(&expand(text, &rules.macros)).into_owned()
}

/// Makes the folders of our queue in the file's queue directory. One that holds messages of sendmail's own is left alone: neither of
/// us can read the other's.
pub fn open_queue(site: &Site) -> Result<(), ConfigError> {
    let Some(file) = &site.root.cf else { return Ok(()) };
    let dir = &site.root.spool;
    let wrong = |exit: u8, message: String, hint: &str| ConfigError {
        exit,
        ..ConfigError::whole(file.path.clone(), message, hint)
    };
    let shown = dir.display();
    if shown.to_string().contains('*') {
        let hint = "name one with -O QueueDirectory=DIR";
        return Err(wrong(exit::CONFIG, format!("QueueDirectory {shown} names several folders"), hint));
    }
    let unreadable = |e: io::Error| wrong(exit::SYSTEM, format!("cannot chdir({shown}/): {}", plain(&e)), "");
    if let Some(found) = queue_file(dir).map_err(unreadable)? {
        let message = format!("QueueDirectory {shown} holds messages of sendmail's own ({})", found.display());
        let hint = "let sendmail deliver them (sendmail -q), or name another folder with -O QueueDirectory=DIR";
        return Err(wrong(exit::CONFIG, message, hint));
    }
    let made = QUEUE_FOLDERS.iter().try_for_each(|name| match dir.join(name).is_dir() {
        true => Ok(()),
        false => fsx::create_dirs(&dir.join(name), 0o700),
    });
    made.map_err(|e| wrong(exit::SYSTEM, e.to_string(), ""))
}

/// A file of a queue of sendmail's: in the folder itself, or in the folders that split it by kind.
fn queue_file(dir: &Path) -> io::Result<Option<PathBuf>> {
    let is_one = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.len() > 8 && name.get(..2).is_some_and(|kind| QUEUE_FILES.contains(&kind))
    };
    let first = |dir: &Path| -> io::Result<Option<PathBuf>> {
        Ok(std::fs::read_dir(dir)?.filter_map(Result::ok).map(|entry| entry.path()).find(|path| is_one(path)))
    };
    if let Some(found) = first(dir)? {
        return Ok(Some(found));
    }
    for kind in QUEUE_FILES.map(|kind| dir.join(kind)).iter().filter(|kind| kind.is_dir()) {
        if let Some(found) = first(kind)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "No such file or directory".to_string(),
        io::ErrorKind::PermissionDenied => "Permission denied".to_string(),
        _ => error.to_string(),
    }
}

/// Reads the files of classes, runs their programs, and remembers the files.
struct ClassFiles<'a> {
    files: &'a mut Vec<Seen>,
    words: ClassWords<'a>,
}

impl Source for ClassFiles<'_> {
    fn fetch(&mut self, listing: &Listing) -> Result<Vec<u8>, String> {
        if listing.is_program {
            return output_of(&listing.name);
        }
        let path = Path::new(OsStr::from_bytes(&listing.name));
        self.files.push(Seen::of(path));
        fsx::read(path, SIZE_LIMIT).map_err(|error| plain(&error))
    }

    fn look_up(&mut self, map: &Map, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        (self.words)(map, key)
    }
}

/// What a program prints, with the caller's rights: words are cut at blanks, no shell reads them.
fn output_of(line: &[u8]) -> Result<Vec<u8>, String> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(OsStr::from_bytes);
    let program = words.next().ok_or("no program")?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stderr(Stdio::inherit());
    command.output().map(|output| output.stdout).map_err(|error| plain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(lines: &str) -> Result<Site, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sendmail.cf");
        let text =
            format!("V10/Berkeley\nDjmail.example.test\nMlocal, P=/bin/mail, F=lsDFMAw5:/|@q, A=mail $u\n{lines}\n");
        std::fs::write(&path, text).unwrap();
        let file = CfFile { path, options: vec![" DeliveryMode=q".to_string()] };
        super::super::load(&Root::of_cf(file))
    }

    #[test]
    fn options_become_settings() {
        let site = site(
            "O QueueDirectory=/q\nO MaxMessageSize=1000\nO MaxHopCount=7\nO DeliveryMode=i\nO Timeout.queuereturn=2d\n\
             O PrivacyOptions=goaway,authwarnings\nO AliasFile=/a, hash:/b\nO ErrorMode=m\nO MinFreeBlocks=100\nO DialDelay=5s",
        )
        .unwrap();
        assert_eq!(site.root.spool, Path::new("/q"));
        assert_eq!(site.hostname(), "mail.example.test");
        let (settings, cf) = (&site.settings, site.settings.cf.as_ref().unwrap());
        assert_eq!((settings.smtp.message_size.0, settings.smtp.hops, settings.smtp.vrfy), (1000, 7, false));
        assert_eq!(settings.queue.expire, Duration::from_secs(2 * 86400));
        assert_eq!(cf.delivery, crate::settings::DeliveryMode::Queue, "the command line's is the last");
        assert_eq!(cf.aliases, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert!(cf.is_private("novrfy") && cf.is_private("authwarnings"));
        assert_eq!((cf.least_free_blocks, cf.alias_depth), (100, 10));
        assert!(cf.notes.iter().any(|(line, why)| *line == 13 && why.contains("DialDelay")), "{:?}", cf.notes);
        assert_eq!(cf.notes.len(), 1, "{:?}", cf.notes);
    }

    #[test]
    fn a_switch_file_keeps_names_from_dns() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("switch");
        for (text, wanted) in [
            ("hosts\tfiles\naliases\tfiles\n", true),
            ("# hosts files\nhosts files dns # both\n", false),
            ("hosts\n", false),
            ("aliases files\n", false),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(hosts_by_files(&file), wanted, "{text:?}");
        }
        assert!(!hosts_by_files(&dir.path().join("none")));
    }

    #[test]
    fn mistakes_end_as_with_sendmail() {
        let error = site("Zwhat").unwrap_err();
        assert_eq!(error.exit, 70);
        assert!(error.to_string().contains("line 4: unknown configuration line \"Zwhat\""), "{error}");
        let error = site("O EightBitMode=z").unwrap_err();
        assert!(error.exit == 64 && error.to_string().contains("Unknown 8-bit mode z"), "{error}");
        let error = site("O DeliveryMode=z").unwrap_err();
        assert!(error.exit == 64 && error.to_string().contains("Unknown delivery mode z"), "{error}");
        let missing = CfFile { path: "/nonexistent/sendmail.cf".into(), options: Vec::new() };
        let error = super::super::load(&Root::of_cf(missing)).unwrap_err();
        assert!(error.exit == 72 && error.to_string().contains("No such file or directory"), "{error}");
    }

    #[test]
    fn a_queue_of_sendmails_own_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let mut site = site("").unwrap();
        site.root.spool = dir.path().to_path_buf();
        std::fs::write(dir.path().join("qfABCDEF123456"), "V8\n").unwrap();
        let error = open_queue(&site).unwrap_err();
        assert!(error.exit == 78 && error.to_string().contains("qfABCDEF123456"), "{error}");
        assert!(!dir.path().join("queue").exists());
        std::fs::remove_file(dir.path().join("qfABCDEF123456")).unwrap();
        open_queue(&site).unwrap();
        assert!(dir.path().join("queue").is_dir());
    }
}
