//! etc/em.toml on disk: loading with positions, changing one key, making a new root; and a sendmail.cf in its place ([`cf`]).
//!
//! Called by every program at its start ([`load`]) and by `emconf`. The meaning of keys is `settings`' alone.
//! Trust: the file is the administrator's; a mistake in it is named with its line and column, and nothing starts.

pub mod cf;
mod edit;
mod init;
mod machine;

pub use edit::{remove, set};
pub use init::{OFFSETS, Ports, init, make_tree};
pub use machine::Machine;

use crate::fsx;
use crate::mailbox::Quota;
use crate::sasl::Mechanism;
use crate::settings::{self, DirectoryChoice, Root, Settings};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use toml_edit::{Document, Item};

/// Largest settings file read, in octets.
pub const FILE_LIMIT: u64 = 1 << 20;

/// One installation: where it lies and how it is set.
#[derive(Debug, Clone)]
pub struct Site {
    /// The trees.
    pub root: Root,
    /// The settings in force.
    pub settings: Settings,
}

impl Site {
    /// The quota of accounts that have none of their own.
    pub fn default_quota(&self) -> Quota {
        let accounts = &self.settings.accounts;
        Quota { octets: accounts.quota.0, messages: accounts.quota_messages.into() }
    }

    /// The quota of a domain's shared mailboxes, and that of its public ones.
    pub fn shared_quota(&self) -> Quota {
        let accounts = &self.settings.accounts;
        Quota { octets: accounts.quota_shared.0, messages: accounts.quota_shared_messages.into() }
    }

    /// The SASL mechanisms that are offered. Passwords that another program checks must come as they are: beside such accounts nothing
    /// is offered that would fail for all of them.
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        let all = self.settings.auth.mechanisms.iter().filter_map(|name| Mechanism::parse(name));
        let works =
            |mechanism: &Mechanism| matches!(mechanism, Mechanism::External | Mechanism::Plain | Mechanism::Login);
        all.filter(|mechanism| works(mechanism) || !self.has_foreign_passwords()).collect()
    }

    /// True when another program checks the passwords of some accounts.
    pub fn has_foreign_passwords(&self) -> bool {
        use DirectoryChoice::{Checkpassword, System};
        self.settings.accounts.directories.iter().any(|d| matches!(d, System(Some(_)) | Checkpassword(_)))
    }

    /// Our own name.
    pub fn hostname(&self) -> String {
        if !self.settings.server.hostname.is_empty() {
            return self.settings.server.hostname.clone();
        }
        nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok()).unwrap_or_else(|| "localhost".to_string())
    }

    /// The domain for addresses written without one.
    pub fn default_domain(&self) -> String {
        self.settings.server.domains.first().cloned().unwrap_or_else(|| self.hostname())
    }

    /// The detail separator, if there is one.
    pub fn separator(&self) -> Option<char> {
        self.settings.server.detail_separator.chars().next()
    }

    /// True when mail for this domain (in A-label form) is ours.
    pub fn is_local(&self, domain: &str) -> bool {
        self.settings.server.domains.iter().any(|d| d == domain) || domain == self.hostname()
    }

    /// True when this domain's mail (in A-label form) is kept until somebody fetches it by ATRN.
    pub fn is_fetched(&self, domain: &str) -> bool {
        self.settings.odmr.domains.iter().any(|fetched| fetched.domain == domain)
    }

    /// Whom root becomes where a sendmail.cf says so (RunAsUser).
    pub fn run_as(&self) -> Result<Option<nix::unistd::User>, String> {
        let Some(name) = self.settings.cf.as_ref().map(|cf| &cf.run_as).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        match nix::unistd::User::from_name(name) {
            Ok(Some(user)) => Ok(Some(user)),
            Ok(None) => Err(format!("RunAsUser: there is no user {name}")),
            Err(e) => Err(format!("RunAsUser: {name}: {e}")),
        }
    }

    /// Where a service listens.
    pub fn listens(&self, service: &str) -> &[SocketAddr] {
        let s = &self.settings.services;
        match service {
            "smtp" => &s.smtp,
            "submission" => &s.submission,
            "submissions" => &s.submissions,
            "lmtp" => &s.lmtp,
            "odmr" => &s.odmr,
            "pop3" => &s.pop3,
            "pop3s" => &s.pop3s,
            "imap" => &s.imap,
            "imaps" => &s.imaps,
            "poppass" => &s.poppass,
            "managesieve" => &s.managesieve,
            _ => &[],
        }
    }
}

/// A mistake in a text file of the administrator's, shown as compilers do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file; empty where the message says which.
    pub path: PathBuf,
    /// Line and column, both from 1; line 0 when the file as a whole is meant.
    pub at: (usize, usize),
    /// How many characters the caret underlines.
    pub width: u32,
    /// The line's text.
    pub line: String,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
    /// What a program ends with because of it, of sysexits(3).
    pub exit: u8,
}

/// Something is configured wrong: what most mistakes end with.
const CONFIG: u8 = 78;

impl ConfigError {
    /// A mistake that has no place in the text.
    pub fn whole(path: PathBuf, message: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        ConfigError {
            path,
            at: (0, 0),
            width: 0,
            line: String::new(),
            message: message.into(),
            hint: hint.into(),
            exit: CONFIG,
        }
    }

    /// A mistake at a byte range of `text`.
    pub fn spanned(path: PathBuf, text: &str, span: Range<usize>, message: String, hint: String) -> ConfigError {
        let start = (0..=span.start.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line = text[line_start..].lines().next().unwrap_or("").to_string();
        let column = text[line_start..start].chars().count() + 1;
        let number = text[..line_start].matches('\n').count() + 1;
        let inside = text.get(start..span.end.min(line_start + line.len())).unwrap_or("");
        ConfigError {
            path,
            at: (number, column),
            width: u32::try_from(inside.chars().count().max(1)).unwrap_or(1),
            line,
            message,
            hint,
            exit: CONFIG,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.as_os_str().is_empty() {
            // Its text names its places.
            write!(f, "{}", self.message)?;
        } else if self.at.0 == 0 {
            write!(f, "{}: {}", self.path.display(), self.message)?;
        } else {
            let number = self.at.0.to_string();
            let margin = " ".repeat(number.len());
            let line: String = self.line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            writeln!(f, "{}:{}:{}: {}", self.path.display(), self.at.0, self.at.1, self.message)?;
            writeln!(f, " {number} | {line}")?;
            write!(f, " {margin} | {}{}", " ".repeat(self.at.1 - 1), "^".repeat(self.width as usize))?;
        }
        if !self.hint.is_empty() {
            write!(f, "\n hint: {}", self.hint)?;
        }
        Ok(())
    }
}

/// Reads the settings of a root.
pub fn load(root: &Root) -> Result<Site, ConfigError> {
    if let Some(file) = &root.cf {
        return cf::load(root, file);
    }
    let path = root.settings_file();
    let bytes = fsx::read(&path, FILE_LIMIT).map_err(|e| {
        let hint = match (e.kind(), &root.dir) {
            (std::io::ErrorKind::NotFound, Some(dir)) => {
                format!("make a new root: emconf --root {} init --domain example.org", dir.display())
            }
            (std::io::ErrorKind::NotFound, None) => "make it: emconf init --domain example.org".to_string(),
            _ => String::new(),
        };
        ConfigError::whole(path.clone(), e.to_string(), hint)
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| ConfigError::whole(path.clone(), "not UTF-8 text", "save the file as UTF-8"))?;
    let settings = parse(&text, &path)?;
    Ok(Site { root: root.clone(), settings })
}

/// Reads settings from text; the first mistake in the order of the file is reported.
pub fn parse(text: &str, path: &std::path::Path) -> Result<Settings, ConfigError> {
    // The sample file is nearly all comments, and each command reads it at its start.
    match without_comments(text).and_then(|bare| parse_whole(&bare, path).ok()) {
        Some(settings) => Ok(settings),
        // The mistake is shown as it stands in the file.
        None => parse_whole(text, path),
    }
}

/// The text without its lines of comment; `None` where a string may span lines, so that a `#` need not begin one.
fn without_comments(text: &str) -> Option<String> {
    if [&b"\"\"\""[..], b"'''"].iter().any(|quotes| memchr::memmem::find(text.as_bytes(), quotes).is_some()) {
        return None;
    }
    let mut bare = String::with_capacity(text.len() / 4);
    let mut start = 0;
    while start < text.len() {
        let end = memchr::memchr(b'\n', &text.as_bytes()[start..]).map_or(text.len(), |at| start + at + 1);
        let line = &text[start..end];
        if line != "\n" && !is_comment(line) {
            bare.push_str(line);
        }
        start = end;
    }
    Some(bare)
}

/// True for a line that says nothing to TOML. One with octets that no comment may hold is left for the reader to complain about.
fn is_comment(line: &str) -> bool {
    let is_forbidden = |byte: u8| byte.is_ascii_control() & !matches!(byte, b'\t' | b'\n' | b'\r');
    // All octets, without a stop at the first: so a processor looks at many at once.
    let holds_forbidden = || line.bytes().fold(false, |found, byte| found | is_forbidden(byte));
    let first = line.bytes().find(|byte| !matches!(byte, b' ' | b'\t'));
    first == Some(b'#') && !holds_forbidden()
}

fn parse_whole(text: &str, path: &std::path::Path) -> Result<Settings, ConfigError> {
    let fail = |span: Option<Range<usize>>, message: String, hint: String| {
        ConfigError::spanned(path.to_path_buf(), text, span.unwrap_or(0..0), message, hint)
    };
    let document = Document::parse(text).map_err(|e| fail(e.span(), e.message().replace('\n', ", "), String::new()))?;
    let mut settings = Settings::default();
    for (section, item) in document.iter() {
        let key_span = document.as_table().get_key_value(section).and_then(|(k, _)| k.span());
        let Some(table) = item.as_table_like() else {
            return Err(fail(
                key_span,
                format!("{section:?} stands outside a section"),
                "settings belong into a [section]; see em.toml(5)".to_string(),
            ));
        };
        if !settings::SECTIONS.iter().any(|(name, _)| *name == section) {
            let hint = settings::nearest(section, settings::SECTIONS.iter().map(|(n, _)| *n));
            return Err(fail(key_span, format!("unknown section [{section}]"), meant(hint)));
        }
        for (name, item) in table.iter() {
            let span = table.get_key_value(name).and_then(|(k, _)| k.span());
            let done = match item {
                Item::Value(value) => settings.set(section, name, value),
                _ => Some(Err("expected a value, found a table".to_string())),
            };
            match done {
                Some(Ok(())) => {}
                Some(Err(message)) => {
                    return Err(fail(item.span().or(span), format!("{section}.{name}: {message}"), String::new()));
                }
                None => return Err(fail(span, format!("unknown setting {section}.{name}"), meant_key(section, name))),
            }
        }
    }
    check(&mut settings).map_err(|(key, message)| {
        let span = document
            .as_table()
            .get(key.0)
            .and_then(Item::as_table_like)
            .and_then(|t| t.get(key.1))
            .and_then(Item::span);
        fail(span, format!("{}.{}: {message}", key.0, key.1), String::new())
    })?;
    Ok(settings)
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|word| format!("did you mean {word}?")).unwrap_or_default()
}

fn meant_key(section: &str, name: &str) -> String {
    let keys = settings::keys();
    if let Some(near) = settings::nearest(name, keys.iter().filter(|k| k.section == section).map(|k| k.name)) {
        return format!("did you mean {near}?");
    }
    match keys.iter().find(|k| k.name == name) {
        Some(key) => format!("{name} belongs into section [{}]", key.section),
        None => format!("`emconf show --all` lists all settings of [{section}]"),
    }
}

type KeyName = (&'static str, &'static str);

/// What types alone can't say; brings domains into their one spelling.
fn check(settings: &mut Settings) -> Result<(), (KeyName, String)> {
    for domain in &mut settings.server.domains {
        *domain =
            crate::addr::normal_domain(domain).map_err(|e| (("server", "domains"), format!("{domain:?}: {e}")))?;
    }
    let hostname = &mut settings.server.hostname;
    if !hostname.is_empty() {
        *hostname =
            crate::addr::normal_domain(hostname).map_err(|e| (("server", "hostname"), format!("{hostname:?}: {e}")))?;
    }
    let srs = &mut settings.srs.domain;
    if !srs.is_empty() {
        *srs = crate::addr::normal_domain(srs).map_err(|e| (("srs", "domain"), format!("{srs:?}: {e}")))?;
    }
    let separator = &settings.server.detail_separator;
    let separates = |c: char| c.is_ascii_punctuation() && !"@\"\\<>()[],:;".contains(c);
    if separator.chars().count() > 1 || !separator.chars().all(separates) {
        return Err((("server", "detail_separator"), "one sign such as \"+\" or \"-\", or nothing".to_string()));
    }
    let policy = &settings.smtp.priorities_policy;
    // priority-profile of RFC 6710 §7.
    if policy.len() > 20 || !policy.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        let text = "up to 20 letters, digits, \"-\", \"_\" and \".\", or nothing".to_string();
        return Err((("smtp", "priorities_policy"), text));
    }
    if !settings::PASSWORD_SCHEMES.contains(&settings.accounts.password_scheme.as_str()) {
        return Err((
            ("accounts", "password_scheme"),
            format!("expected one of {}", settings::PASSWORD_SCHEMES.join(", ")),
        ));
    }
    if !["1.2", "1.3"].contains(&settings.tls.minimum.as_str()) {
        return Err((("tls", "minimum"), "expected \"1.2\" or \"1.3\"".to_string()));
    }
    if settings.tls.certificate.is_empty() != settings.tls.key.is_empty() {
        return Err((("tls", "key"), "certificate and key are set together or not at all".to_string()));
    }
    if settings.tls.client_ca.is_empty() && !settings.tls.client_crl.is_empty() {
        return Err((("tls", "client_crl"), "means nothing without tls.client_ca".to_string()));
    }
    if settings.delivery.program_user == "root" {
        return Err((("delivery", "program_user"), "programs never run as root".to_string()));
    }
    let sieve = &settings.sieve;
    for (name, field, pattern) in [
        ("spam_pattern", &sieve.spam_field, &sieve.spam_pattern),
        ("virus_pattern", &sieve.virus_field, &sieve.virus_pattern),
    ] {
        // Compiled only where it is used: each command reads the settings.
        if let Some(Err(error)) = (!field.is_empty()).then(|| regex::Regex::new(pattern)) {
            return Err((("sieve", name), error.to_string().lines().last().unwrap_or("").trim().to_string()));
        }
    }
    let target = &settings.log.target;
    if !["file", "stderr", "syslog", "journal"].contains(&target.as_str()) && !target.starts_with("file:/") {
        return Err((
            ("log", "target"),
            "expected \"file\", \"stderr\", \"syslog\", \"journal\" or \"file:/path\"".to_string(),
        ));
    }
    let known = settings::Auth::default().mechanisms;
    if let Some(strange) = settings.auth.mechanisms.iter().find(|m| !known.contains(m)) {
        return Err((("auth", "mechanisms"), format!("{strange:?} is none of {}", known.join(", "))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn error(text: &str) -> String {
        parse(text, Path::new("em.toml")).unwrap_err().to_string()
    }

    #[test]
    fn comments_cost_nothing_and_move_nothing() {
        let text = "# one\n\n[smtp] # two\n  # three\nrecipients = 7\n\t# four\nhops = \"x\" # five\n";
        assert!(error(text).starts_with("em.toml:7:8: smtp.hops"), "{}", error(text));
        let text = text.replace("\"x\"", "9");
        assert_eq!(without_comments(&text).unwrap(), "[smtp] # two\nrecipients = 7\nhops = 9 # five\n");
        let settings = parse(&text, Path::new("em.toml")).unwrap();
        assert_eq!((settings.smtp.recipients, settings.smtp.hops), (7, 9));
        // What no comment may hold is told of, as `emconf set` would.
        assert!(error("# a\u{1}b\n[smtp]\n").starts_with("em.toml:1:4"), "{}", error("# a\u{1}b\n[smtp]\n"));
        assert!(error("\u{c}# form feed\n").starts_with("em.toml:1:"));
        // What looks like a comment is a text's line.
        let text = "[server]\npostmaster = \"\"\"\\\n  # x\"\"\"\n";
        assert_eq!(without_comments(text), None);
        assert_eq!(parse(text, Path::new("em.toml")).unwrap().server.postmaster, "# x");
    }

    #[test]
    fn mistakes_are_shown_with_their_place() {
        assert_eq!(
            error("[smtp]\nmesage_size = \"5M\"\n"),
            "em.toml:2:1: unknown setting smtp.mesage_size\n 2 | mesage_size = \"5M\"\n   | ^^^^^^^^^^^\n hint: did you mean message_size?"
        );
        assert_eq!(
            error("[smtp]\nrecipients = \"many\"\n"),
            "em.toml:2:14: smtp.recipients: expected a number, found string\n 2 | recipients = \"many\"\n   |              ^^^^^^"
        );
        assert!(error("[smpt]\n").contains("did you mean smtp?"));
        assert!(error("[smtp]\nidle = \"5m\"\n").contains("idle belongs into section [pop3]"));
        assert!(error("hostname = \"x\"\n").contains("outside a section"));
        assert!(error("[smtp\n").starts_with("em.toml:1:"));
        assert!(error("[queue]\nwarn = \"soon\"\n").contains("2:8"));
        assert!(error("[server]\ndomains = [\"a b\"]\n").contains("server.domains"));
        assert!(
            error("[accounts]\npassword_scheme = \"md5\"\n")
                .contains("2:19: accounts.password_scheme: expected one of")
        );
        assert!(error("[tls]\nclient_crl = \"x\"\n").contains("2:14: tls.client_crl: means nothing without"));
        for separator in ["++", "@", "a", " "] {
            assert!(
                error(&format!("[server]\ndetail_separator = \"{separator}\"\n")).contains("em.toml:2:20"),
                "{separator}"
            );
        }
    }

    #[test]
    fn domains_take_their_one_spelling() {
        let settings = parse("[server]\ndomains = [\"Bücher.Example\"]\n", Path::new("x")).unwrap();
        assert_eq!(settings.server.domains, ["xn--bcher-kva.example"]);
    }

    #[test]
    fn the_sample_is_all_defaults() {
        assert_eq!(parse(&settings::sample(), Path::new("x")).unwrap(), Settings::default());
    }
}
