//! `emd pair`: two installations as one. The front is what everybody reaches; it keeps the mail of some domains. The box, behind it, is
//! where the domains live: nobody can connect to it, so it fetches their mail (ATRN, over verified TLS) and sends its own out through the front.
//!
//! `front` makes an account for the box and says all that the box must know, as a text; `box` reads that text. Both only change settings that
//! exist: whoever wants it another way edits them. Done twice, it ends in the same state, with a new password.
//! Trust: the text holds a password and says by which key the front is known. Its words are checked before anything is written.

use super::super::{Done, Ended, say};
use crate::addr::{Address, normal_domain};
use crate::config::{self, Site};
use crate::drive::{certificate_key, ensure_certificate};
use crate::fsx;
use crate::settings::Root;
use crate::status::Exit;
use crate::tables::{Table, TlsPolicies};
use crate::users::{self, Account, Users};
use std::collections::BTreeSet;
use std::io::Read;
use std::net::IpAddr;
use toml_edit::{Array, DocumentMut, Value};

/// The port of on-demand mail relay (RFC 2645 §3), on all addresses.
const ODMR: &str = "0.0.0.0:366";
/// Octets of the password before they are encoded.
const PASSWORD: usize = 24;
/// Longest text that is read, in octets.
const TEXT_LIMIT: u64 = 64 << 10;
/// Longest table that is changed, in octets.
const TABLE_LIMIT: u64 = 1 << 20;

/// The two sides.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Side {
    /// Here everybody's mail for the domains comes in and is kept; prints what the box must know, with a password
    Front {
        /// A domain whose mail the box fetches; may be given several times
        #[arg(long = "domain", required = true)]
        domains: Vec<String>,
        /// Name or address by which the box reaches this machine, if not server.hostname
        #[arg(long)]
        host: Option<String>,
    },
    /// Here the domains live: reads what `emd pair front` has printed from standard input
    Box {
        /// How often mail is fetched
        #[arg(long, default_value = "1m")]
        every: String,
        /// Replace the smart host that is set
        #[arg(long)]
        replace: bool,
    },
}

pub(super) fn pair(root: &Root, side: Side) -> Done {
    match side {
        Side::Front { domains, host } => front(root, &domains, host.as_deref()),
        Side::Box { every, replace } => boxed(root, &every, replace),
    }
}

fn wrong(text: impl Into<String>) -> Ended {
    Ended::new(Exit::Usage, text)
}

fn front(root: &Root, domains: &[String], host: Option<&str>) -> Done {
    let site = config::load(root)?;
    let domains = read_domains(domains.iter().map(String::as_str))?;
    if let Some(own) = domains.iter().find(|domain| site.is_local(domain)) {
        return Err(wrong(format!("{own} is delivered here: take it out of server.domains first")));
    }
    let host = read_host(host.unwrap_or(&site.hostname()))?;
    let submission = site.listens("submission").first().map(|address| address.port());
    let submission = submission.ok_or_else(|| wrong("services.submission is empty: the box sends its mail there"))?;
    let odmr = site.listens("odmr").first().map_or(366, |address| address.port());
    ensure_certificate(&site).map_err(|e| Ended::new(Exit::OsErr, e))?;
    let key = certificate_key(&site).map_err(|e| Ended::new(Exit::Config, e))?;
    let (user, password) = account(&site, &domains)?;
    let mut fetched = Array::new();
    let others = site.settings.odmr.domains.iter().filter(|other| !domains.contains(&other.domain));
    others.for_each(|other| fetched.push(format!("{} {}", other.domain, other.account)));
    domains.iter().for_each(|domain| fetched.push(format!("{domain} {user}")));
    config::set(root, "odmr.domains", &fetched.to_string())?;
    if site.listens("odmr").is_empty() {
        config::set(root, "services.odmr", &list(&BTreeSet::from([ODMR.to_string()])))?;
    }
    say(&format!(
        "# What the box must know: run `emd pair box` there with this on its standard input. It holds a password.\n\
         front = {host}\nodmr = {odmr}\nsubmission = {submission}\nuser = {user}\npassword = {password}\n\
         key = \"sha256:{key}\"\ndomains = {domains}\n",
        host = Value::from(host),
        user = Value::from(user.to_string()),
        password = Value::from(password),
        domains = list(&domains),
    ))?;
    eprint("Now: `emd restart` here, and MX records of the domains that name this machine.");
    Ok(Exit::Ok)
}

/// The box's account, with a new password: for fetching and sending, and for nothing else.
fn account(site: &Site, domains: &BTreeSet<String>) -> Result<(Address, String), Ended> {
    let first = domains.first().map_or("", String::as_str);
    let address = Address::new(&format!("pair.{first}"), &site.default_domain()).map_err(|e| wrong(e.to_string()))?;
    let mut random = [0; PASSWORD];
    getrandom::fill(&mut random).map_err(|e| Ended::new(Exit::OsErr, e.to_string()))?;
    let password = encodify::base64::URL_SAFE_NO_PAD.encode(random);
    let scheme = &site.settings.accounts.password_scheme;
    Users::of(site).update(|all| {
        let is_other = |account: &Account| account.field("services") != Some("submission");
        if all.get(&users::key(&address)).is_some_and(is_other) {
            return Err(Ended::new(
                Exit::CantCreat,
                format!("{address} is an account of somebody's: it is left alone"),
            ));
        }
        let account = all.entry(users::key(&address)).or_insert_with(|| Account::new(&address));
        account.set_password(&password, scheme, false).map_err(|e| Ended::new(Exit::OsErr, e.to_string()))?;
        account.put("services", Some("submission".to_string()));
        Ok::<_, Ended>(())
    })?;
    Ok((address, password))
}

/// What the front has printed.
struct Paired {
    host: String,
    odmr: u16,
    submission: u16,
    user: Address,
    password: String,
    /// SHA-256 of the front's public key, in hexadecimal.
    key: String,
    domains: BTreeSet<String>,
}

impl Paired {
    fn read(text: &str) -> Result<Paired, Ended> {
        let document: DocumentMut =
            text.parse().map_err(|e: toml_edit::TomlError| Ended::new(Exit::DataErr, e.message()))?;
        let missing =
            |key: &str| Ended::new(Exit::DataErr, format!("no {key}: this is not what `emd pair front` has printed"));
        let word = |key: &str| document.get(key).and_then(|item| item.as_str()).ok_or_else(|| missing(key));
        let port = |key: &str| {
            let number = document.get(key).and_then(|item| item.as_integer());
            number.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0).ok_or_else(|| missing(key))
        };
        let key = word("key")?.strip_prefix("sha256:").filter(|key| key.len() == 64).ok_or_else(|| missing("key"))?;
        if !key.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing("key"));
        }
        let password = word("password")?;
        if password.is_empty() || !password.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(missing("password"));
        }
        // It becomes a word of a job.
        let user = word("user")?;
        if !user.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'@'))
            || user.starts_with('-')
        {
            return Err(missing("user"));
        }
        let domains = document.get("domains").and_then(|item| item.as_array()).ok_or_else(|| missing("domains"))?;
        let domains = read_domains(domains.iter().filter_map(Value::as_str))?;
        if domains.is_empty() {
            return Err(missing("domains"));
        }
        Ok(Paired {
            host: read_host(word("front")?)?,
            odmr: port("odmr")?,
            submission: port("submission")?,
            user: Address::parse(user).map_err(|_| missing("user"))?,
            password: password.to_string(),
            key: key.to_string(),
            domains,
        })
    }

    /// The front as routes and etc/tls-policies name it.
    fn bracketed(&self) -> String {
        match self.host.parse() {
            Ok(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
            _ => format!("[{}]", self.host),
        }
    }
}

fn boxed(root: &Root, every: &str, replaces: bool) -> Done {
    let site = config::load(root)?;
    humantime::parse_duration(every).map_err(|e| wrong(format!("--every {every:?}: {e}")))?;
    let mut text = String::new();
    std::io::stdin().take(TEXT_LIMIT).read_to_string(&mut text)?;
    let paired = Paired::read(&text)?;
    let smart = format!("{}:{}", paired.bracketed(), paired.submission);
    let old = &site.settings.relay.smart_host;
    if !old.is_empty() && *old != smart && !replaces {
        return Err(wrong(format!("relay.smart_host is {old} already: --replace puts the front in its place")));
    }
    let file = root.etc.join("pair-password");
    let policies = root.etc.join("tls-policies");
    let policy = with_policy(&site, &paired)?;
    fsx::replace(&file, format!("{}\n", paired.password).as_bytes(), 0o600)?;
    give_to_em(root, &file)?;
    fsx::replace(&policies, policy.as_bytes(), 0o644)?;
    let domains: BTreeSet<String> = site.settings.server.domains.iter().chain(&paired.domains).cloned().collect();
    // The first one stays the first: it stands for names without a domain.
    let mut ordered = Array::new();
    site.settings.server.domains.iter().for_each(|domain| ordered.push(domain.as_str()));
    domains
        .iter()
        .filter(|d| !site.settings.server.domains.contains(d))
        .for_each(|domain| ordered.push(domain.as_str()));
    let place = match paired.host.parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{}", paired.odmr),
        _ => format!("{}:{}", paired.host, paired.odmr),
    };
    let path = file.display().to_string();
    let user = paired.user.to_string();
    let named: Vec<&str> = paired.domains.iter().map(String::as_str).collect();
    let job = format!(
        "every {every}: emqueue atrn {place} --user {user} --password-file {path:?} {named}",
        named = named.join(" ")
    );
    let quoted = |text: &str| Value::from(text).to_string();
    for (key, value) in [
        ("server.domains", ordered.to_string()),
        ("relay.smart_host", quoted(&smart)),
        ("relay.smart_host_user", quoted(&user)),
        ("relay.smart_host_password_file", quoted(&path)),
        ("jobs.pair", quoted(&job)),
    ] {
        config::set(root, key, &value)?;
    }
    say(&format!(
        "mail for {} is fetched from {place} every {every}, and mail for others goes out by {smart}\n",
        named.join(", ")
    ))?;
    eprint("Now: accounts for the domains (`emuser add`), and `emd restart`.");
    Ok(Exit::Ok)
}

/// etc/tls-policies with a row for the front: it is known by its key, whoever has signed its certificate.
fn with_policy(site: &Site, paired: &Paired) -> Result<String, Ended> {
    let path = site.root.etc.join("tls-policies");
    let text = match fsx::read(&path, TABLE_LIMIT) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|_| Ended::new(Exit::Config, format!("{}: not UTF-8 text", path.display())))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(e.into()),
    };
    let name = if paired.host.parse::<IpAddr>().is_ok() { paired.bracketed() } else { paired.host.clone() };
    let is_other = |line: &&str| !line.split_whitespace().next().is_some_and(|first| first.eq_ignore_ascii_case(&name));
    let mut new: String = text.lines().filter(is_other).flat_map(|line| [line, "\n"]).collect();
    new.push_str(&format!("{name} fingerprint sha256:{}\n", paired.key));
    TlsPolicies::parse(&new, &path)?;
    Ok(new)
}

/// The services read it after they have become em.
fn give_to_em(root: &Root, file: &std::path::Path) -> Result<(), Ended> {
    if let (true, None, Ok(Some(em))) =
        (nix::unistd::geteuid().is_root(), &root.dir, nix::unistd::User::from_name("em"))
    {
        std::os::unix::fs::chown(file, Some(em.uid.as_raw()), Some(em.gid.as_raw()))?;
    }
    Ok(())
}

fn read_domains<'a>(named: impl Iterator<Item = &'a str>) -> Result<BTreeSet<String>, Ended> {
    named.map(|name| normal_domain(name).map_err(|e| wrong(format!("{name:?}: {e}")))).collect()
}

fn read_host(text: &str) -> Result<String, Ended> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => normal_domain(text).map_err(|e| wrong(format!("{text:?}: {e}"))),
    }
}

fn list(words: &BTreeSet<String>) -> String {
    words.iter().map(String::as_str).collect::<Array>().to_string()
}

/// For the administrator; standard output may go to the other machine.
fn eprint(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_and_nothing_else() {
        let key = "ab".repeat(32);
        let good = format!(
            "# x\nfront = \"mail.f.test\"\nodmr = 366\nsubmission = 587\nuser = \"pair.d.test@f.test\"\npassword = \"abc-_\"\n\
             key = \"sha256:{key}\"\ndomains = [\"D.test\"]\n"
        );
        let Ok(paired) = Paired::read(&good) else { panic!("{good}") };
        assert_eq!((paired.bracketed().as_str(), paired.odmr), ("[mail.f.test]", 366));
        assert_eq!(paired.domains, BTreeSet::from(["d.test".to_string()]));
        for (part, other) in [
            ("\"mail.f.test\"", "\"a b\""),
            ("366", "0"),
            ("587", "\"587\""),
            ("pair.d.test@f.test", "nobody"),
            ("pair.d.test@f.test", "\\\"a b\\\"@f.test"),
            ("pair.d.test@f.test", "-x@f.test"),
            ("abc-_", "a\\nb"),
            ("sha256:ab", "sha256:xy"),
            ("[\"D.test\"]", "[]"),
            ("front =", "front"),
        ] {
            assert!(Paired::read(&good.replace(part, other)).is_err(), "{part}");
        }
    }
}
