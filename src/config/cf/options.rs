//! What each option of sendmail.cf does here: a row for every name that sendmail knows.
//!
//! A row acts, or says why nothing has to be done, or why nothing is done: the last is told by `emconf check`.

use super::timeouts::{queue_timeout, timeout};
use super::values::{boolean, number, pairs, span, words};
use crate::rules::option::Setting;
use crate::settings::{Cf, DeliveryMode, EightBits, ErrorMode, NoRecipient, Root, Settings, Size};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// What rows act upon.
pub(super) struct Target<'a> {
    pub(super) root: &'a mut Root,
    pub(super) settings: &'a mut Settings,
    pub(super) cf: &'a mut Cf,
}

/// What a row does; an `Err` ends the program, as it ends sendmail.
type Doing = fn(&mut Target, &str) -> Result<(), String>;

enum Row {
    /// It acts.
    Acts(Doing),
    /// The engine of the rules acts on it.
    Rules,
    /// It would be done anyway, whatever it says.
    Anyway,
    /// It would be done anyway, unless it says something else: then nothing is done; why.
    Only(fn(&str) -> bool, &'static str),
    /// Nothing is done; why.
    Idle(&'static str),
}

use Row::{Acts, Anyway, Idle, Only, Rules as OfRules};

const LOAD: &str = "the load is not asked for: deliveries are limited in number";
const ORDER: &str = "the queue has its own order: destinations and senders take turns, the oldest message first";
const MODES: &str = "files of the queue are the owner's alone";
const CACHE: &str = "connections are kept by the queue's own rule";
const SASL: &str = "SMTP AUTH needs accounts of em-users(5)";
const MILTER: &str = "mail filters are not called";
const TLS: &str = "TLS has its own lists of versions and ciphers";
const DAEMON: &str = "the services have their own limits";
const FILES: &str = "file modes are checked in our own way: nobody else may write what is obeyed";

/// Names with what they do; a name that stands nowhere is a row that is missing, which a test finds.
#[rustfmt::skip]
const ROWS: &[(&str, Row)] = &[
    ("QueueDirectory", Acts(|t, v| { t.root.spool = PathBuf::from(v); Ok(()) })),
    ("DeliveryMode", Acts(|t, v| {
        t.cf.delivery = DeliveryMode::parse(v).ok_or_else(|| format!("Unknown delivery mode {}", first(v)))?;
        Ok(())
    })),
    // A letter that is none leaves what was there, as with sendmail.
    ("ErrorMode", Acts(|t, v| { t.cf.errors = ErrorMode::parse(v).unwrap_or(t.cf.errors); Ok(()) })),
    ("EightBitMode", Acts(|t, v| {
        t.cf.eight_bits = EightBits::parse(v).ok_or_else(|| format!("Unknown 8-bit mode {}", first(v)))?;
        Ok(())
    })),
    ("DefaultCharSet", Acts(|t, v| { t.cf.charset = v.to_string(); Ok(()) })),
    ("ErrorHeader", Acts(|t, v| { t.cf.error_header = v.to_string(); Ok(()) })),
    ("HoldExpensive", Acts(|t, v| { t.cf.holds_expensive = boolean(v); Ok(()) })),
    ("IgnoreDots", Acts(|t, v| { t.cf.ignores_dots = boolean(v); Ok(()) })),
    ("Verbose", Acts(|t, v| { t.cf.verbose = boolean(v); Ok(()) })),
    ("DefaultUser", Acts(default_user)),
    ("RunAsUser", Acts(|t, v| { t.cf.run_as = v.split([':', '.']).next().unwrap_or("").to_string(); Ok(()) })),
    ("DoubleBounceAddress", Acts(|t, v| { t.cf.double_bounce = v.to_string(); Ok(()) })),
    ("UseErrorsTo", Acts(|t, v| { t.cf.uses_errors_to = boolean(v); Ok(()) })),
    ("DeadLetterDrop", Acts(|t, v| { t.cf.dead_letters = PathBuf::from(v); Ok(()) })),
    ("PostmasterCopy", Acts(|t, v| { t.cf.postmaster_copy = v.to_string(); Ok(()) })),
    ("NoRecipientAction", Acts(no_recipient)),
    ("TimeZoneSpec", Acts(|t, v| { t.cf.time_zone = Some(v.to_string()); Ok(()) })),
    ("SafeFileEnvironment", Acts(|t, v| { t.cf.safe_folder = Some(PathBuf::from(v)).filter(|_| !v.is_empty()); Ok(()) })),
    ("MaxMessageSize", Acts(|t, v| { t.settings.smtp.message_size = Size(or_no_limit(number(v))); Ok(()) })),
    ("MaxHopCount", Acts(|t, v| { t.settings.smtp.hops = u32::try_from(number(v)).unwrap_or(u32::MAX); Ok(()) })),
    ("MaxHeadersLength", Acts(|t, v| { t.settings.smtp.header_size = Size(header_size(number(v))); Ok(()) })),
    ("MaxRecipientsPerMessage", Acts(|t, v| {
        t.settings.smtp.recipients = u32::try_from(or_no_limit(number(v))).unwrap_or(u32::MAX);
        Ok(())
    })),
    ("MaxDaemonChildren", Acts(|t, v| {
        t.settings.smtp.connections = u32::try_from(or_no_limit(number(v))).unwrap_or(u32::MAX);
        Ok(())
    })),
    ("MinQueueAge", Acts(|t, v| {
        t.cf.least_age = span(v, 'm');
        t.settings.queue.retry = t.cf.least_age.max(t.settings.queue.retry);
        Ok(())
    })),
    ("MaxQueueRunSize", Acts(|t, v| { t.cf.run_size = usize::try_from(number(v)).unwrap_or(usize::MAX); Ok(()) })),
    ("QueueTimeout", Acts(|t, v| { queue_timeout(t, v); Ok(()) })),
    ("FallbackMXhost", Acts(|t, v| { t.settings.relay.fallback = v.to_string(); Ok(()) })),
    ("FallbackSmartHost", Acts(|t, v| { t.settings.relay.fallback = v.to_string(); Ok(()) })),
    ("ClientPortOptions", Acts(client_port)),
    ("DaemonPortOptions", Acts(daemon_port)),
    ("ServiceSwitchFile", Acts(|t, v| { t.cf.hosts_by_files = super::hosts_by_files(v.as_ref()); Ok(()) })),
    ("HostsFile", Acts(|t, v| { t.settings.dns.hosts = v.to_string(); Ok(()) })),
    ("DeliverByMin", Acts(|t, v| {
        t.settings.smtp.deliver_by = !v.starts_with('-');
        t.settings.smtp.deliver_by_least = span(v, 's');
        Ok(())
    })),
    ("StrictTransportSecurity", Acts(|t, v| { t.settings.relay.mta_sts = boolean(v); Ok(()) })),
    ("ServerCertFile", Acts(|t, v| { t.settings.tls.certificate = v.to_string(); Ok(()) })),
    ("ServerKeyFile", Acts(|t, v| { t.settings.tls.key = v.to_string(); Ok(()) })),
    ("ClientCertFile", Acts(|t, v| { t.settings.relay.certificate = v.to_string(); Ok(()) })),
    ("ClientKeyFile", Acts(|t, v| { t.settings.relay.key = v.to_string(); Ok(()) })),
    ("CACertFile", Acts(|t, v| { t.settings.relay.ca_file = v.to_string(); Ok(()) })),
    ("BlankSub", OfRules), ("OperatorChars", OfRules), ("MaxRuleRecursion", OfRules), ("MustQuoteChars", OfRules),
    ("ColonOkInAddr", OfRules), ("LDAPDefaultSpec", OfRules),
    ("MaxAliasRecursion", Acts(|t, v| { t.cf.alias_depth = alias_depth(number(v)); Ok(()) })),
    ("OldStyleHeaders", Acts(|t, v| { t.cf.old_style_headers = boolean(v); Ok(()) })),
    ("SingleLineFromHeader", Acts(|t, v| { t.cf.single_line_from = boolean(v); Ok(()) })),
    ("RrtImpliesDsn", Acts(|t, v| { t.cf.receipts_imply_dsn = boolean(v); Ok(()) })),
    ("MeToo", Acts(|t, v| { t.cf.spares_sender = is_no(v); Ok(()) })),
    ("HeloName", Acts(|t, v| { t.cf.helo_name = v.to_string(); Ok(()) })),
    ("ConnectOnlyTo", Acts(|t, v| {
        t.cf.connect_only_to = Some(v.trim_matches(['[', ']']).parse().map_err(|_| format!("readcf: option ConnectOnlyTo: invalid IP address {v}"))?);
        Ok(())
    })),
    ("SoftBounce", Acts(|t, v| { t.cf.soft_bounce = boolean(v); Ok(()) })),
    ("AllowBogusHELO", Acts(|t, v| { t.cf.any_helo = boolean(v); Ok(()) })),
    ("BadRcptShutdown", Acts(|t, v| { t.cf.bad_recipients = u32::try_from(number(v)).unwrap_or(u32::MAX); Ok(()) })),
    ("BadRcptThrottle", Acts(|t, v| { t.cf.slow_recipients = u32::try_from(number(v)).unwrap_or(u32::MAX); Ok(()) })),
    ("HelpFile", Acts(|t, v| { t.cf.help_file = PathBuf::from(v); Ok(()) })),
    ("RejectNUL", Acts(|t, v| { t.cf.rejects_nul = boolean(v); Ok(()) })),
    ("MinFreeBlocks", Acts(|t, v| { t.cf.least_free_blocks = number(v); Ok(()) })),
    ("MaxQueueChildren", Acts(|t, v| {
        let most = u32::try_from(or_no_limit(number(v))).unwrap_or(u32::MAX);
        t.settings.queue.concurrency = t.settings.queue.concurrency.min(most);
        Ok(())
    })),
    ("PidFile", Acts(|t, v| { t.cf.pid_file = PathBuf::from(v); Ok(()) })),
    ("SuperSafe", Anyway), ("RequiresDirfsync", Anyway),
    ("SendMimeErrors", Only(boolean, "reports are MIME in any case")),
    ("TempFileMode", Only(|v| u32::from_str_radix(v, 8) == Ok(0o600), MODES)),
    ("CheckAliases", Only(is_no, "the members of aliases are looked at when mail comes for them")),
    ("AliasWait", Idle("aliases are read from their text: there is no database to be waited for")),
    ("MaxMimeHeaderLength", Only(|v| number(v) == 0, "fields of MIME are passed on in full length")),
    ("SaveFromLine", Only(is_no, "the separator of a mailbox is no part of a message")),
    ("DontPruneRoutes", Only(is_no, "source routes are dropped (RFC 5321 §4.1.1.3)")),
    ("DontProbeInterfaces", Idle("the addresses of this machine's interfaces are ours in any case")),
    ("SevenBitInput", Only(is_no, "bytes come in as they are")),
    ("CheckpointInterval", Idle("each outcome is written down at once")),
    ("MatchGECOS", Only(is_no, "accounts are known by their login names alone")),
    ("ResolverOptions", Idle("the resolver has its own timeouts")),
    ("ConnectionCacheSize", Idle(CACHE)), ("ConnectionCacheTimeout", Idle(CACHE)),
    ("SingleThreadDelivery", Only(is_no, CACHE)), ("HostStatusDirectory", Idle("the status of hosts is kept in memory alone")),
    ("QueueFactor", Idle(ORDER)), ("RecipientFactor", Idle(ORDER)), ("ClassFactor", Idle(ORDER)), ("RetryFactor", Idle(ORDER)),
    ("QueueLA", Idle(LOAD)), ("RefuseLA", Idle(LOAD)), ("DelayLA", Idle(LOAD)), ("ForkEachJob", Only(is_no, "runs use threads")),
    ("StatusFile", Idle("there are no statistics in a file: emqueue trace reads the log")),
    ("UserDatabaseSpec", Idle("there is no user database")),
    ("TryNullMXList", Idle("a host without MX records is tried at its own address in any case")),
    ("MaxQueueAge", Idle("pauses grow with a message's age, up to queue.retry_max")),
    ("DialDelay", Idle("a failed connection is tried again by the queue")),
    ("MaxRunnersPerQueue", Idle(DAEMON)), ("NiceQueueRun", Idle(DAEMON)),
    ("DirectSubmissionModifiers", Idle(DAEMON)), ("ConnectionRateThrottle", Idle(DAEMON)), ("MaxNOOPCommands", Idle("NOOP counts as any other command")),
    ("BadRcptShutdownGood", Idle("unknown recipients alone are counted")),
    ("ConnectionRateWindowSize", Idle(DAEMON)), ("MaxMessagesPerConnection", Idle(DAEMON)), ("RejectLogInterval", Idle(DAEMON)),
    ("ControlSocketName", Idle("emd is controlled by its own command")),
    ("ProcessTitlePrefix", Idle("processes keep their names")),
    ("TrustedUser", Idle("nobody but the owner is trusted with the aliases")),
    ("DontInitGroups", Only(is_no, "programs get all groups of their user")),
    ("UnsafeGroupWrites", Idle(FILES)), ("DontBlameSendmail", Idle(FILES)), ("QueueFileMode", Idle(MODES)),
    ("DontExpandCnames", Only(boolean, "names of hosts are not expanded")),
    ("XscriptFileBufferSize", Idle("there are no such files")), ("DataFileBufferSize", Idle("there are no such files")),
    ("DefaultAuthInfo", Idle(SASL)), ("AuthMechanisms", Idle(SASL)), ("AuthOptions", Idle(SASL)), ("AuthRealm", Idle(SASL)),
    ("AuthMaxBits", Idle(SASL)),
    ("CACertPath", Idle(TLS)), ("CRLFile", Idle(TLS)), ("CRLPath", Idle(TLS)), ("DHParameters", Idle(TLS)), ("RandFile", Idle(TLS)),
    ("TLSSrvOptions", Idle(TLS)), ("CipherList", Idle(TLS)), ("ServerSSLOptions", Idle(TLS)), ("ClientSSLOptions", Idle(TLS)),
    ("SSLEngine", Idle(TLS)), ("SSLEnginePath", Idle(TLS)), ("CertFingerprintAlgorithm", Idle(TLS)),
    ("TLSFallbacktoClear", Idle("a host whose TLS fails is tried without, where nobody demands it")),
    ("CipherSuites", Idle(TLS)), ("SetCertAltnames", Idle(TLS)),
    ("UseCompressedIPv6Addresses", Idle("addresses are compressed in names of clients, and whole in answers of maps")),
    ("SmtpUTF8", Only(boolean, "SMTPUTF8 is offered in any case")),
    ("InputMailFilters", Idle(MILTER)), ("Milter", Idle(MILTER)),
    ("UseMSP", Idle("the queue is that of QueueDirectory, whoever calls")),
    ("SharedMemoryKey", Idle("there is no shared memory")), ("SharedMemoryKeyFile", Idle("there is no shared memory")),
    ("FastSplit", Idle("a message is one file whatever the number of its recipients")),
    ("MailboxDatabase", Idle("users are those of the system")),
    ("UserSubmission", Idle("senders are checked by the rules alone")),
];

/// Acts on one O line; gives why it has no effect, if it has none.
pub(super) fn act(setting: &Setting, target: &mut Target) -> Result<Option<String>, String> {
    let value = String::from_utf8_lossy(&setting.value).into_owned();
    match setting.name {
        "Timeout" => return timeout(target, &setting.part, &value),
        "QueueSortOrder" => return sort_order(value.trim()),
        // A file's level of the log is that of its system's log: what is logged is not graded here, but may be switched off.
        "LogLevel" if number(&value) > 0 => return Ok(None),
        "LogLevel" => return Ok(Some("the log can't be switched off".to_string())),
        "PrivacyOptions" => return Ok(privacy(target, &value)),
        "AliasFile" => {
            target.cf.aliases = alias_files(&value);
            let others: Vec<&str> = words(&value).filter(|word| !word.contains('/')).collect();
            return Ok((!others.is_empty()).then(|| format!("{}: aliases come from files alone", others.join(", "))));
        }
        // These hold macros that are read when they are used.
        "ForwardPath" => {
            target.cf.forward = setting.value.clone();
            return Ok(None);
        }
        "SmtpGreetingMessage" => {
            target.cf.greeting = setting.value.clone();
            return Ok(None);
        }
        "UnixFromLine" => {
            target.cf.from_line = setting.value.clone();
            return Ok(None);
        }
        _ => {}
    }
    match ROWS.iter().find(|(name, _)| *name == setting.name).map(|(_, row)| row) {
        Some(Acts(doing)) => doing(target, value.trim()).map(|()| None),
        Some(OfRules | Anyway) => Ok(None),
        Some(Only(is_so, why)) => Ok(Some(why.to_string()).filter(|_| !is_so(value.trim()))),
        Some(Idle(why)) => Ok(Some(why.to_string())),
        None => Ok(Some("nothing is done for it".to_string())),
    }
}

/// By host, file name, modification, none, priority, random, time: another word ends the program.
fn sort_order(text: &str) -> Result<Option<String>, String> {
    let is_known = |letter: u8| b"hfmnprt".contains(&letter.to_ascii_lowercase());
    match text.bytes().next().is_some_and(is_known) {
        true => Ok(Some(ORDER.to_string())),
        false => Err(format!("Invalid queue sort order \"{text}\"")),
    }
}

fn is_no(text: &str) -> bool {
    !boolean(text)
}

/// A nesting that the stack of a thread can hold.
fn alias_depth(number: u64) -> usize {
    const MOST: u64 = 100;
    usize::try_from(number.clamp(1, MOST)).unwrap_or(1)
}

fn first(text: &str) -> String {
    text.chars().next().map(String::from).unwrap_or_default()
}

fn or_no_limit(number: u64) -> u64 {
    if number == 0 { u64::MAX } else { number }
}

fn header_size(number: u64) -> u64 {
    // A header is held in memory: without a limit of its own it has ours.
    if number == 0 { Settings::default().smtp.header_size.0 } else { number }
}

/// `/etc/aliases, hash:/etc/other`: the text files, whatever the kind of their databases.
fn alias_files(text: &str) -> Vec<PathBuf> {
    let path =
        |word: &str| PathBuf::from(word.rsplit_once(':').map_or(word, |(_, path)| path).trim_start_matches("-o"));
    words(text).filter(|word| word.contains('/')).map(path).collect()
}

/// Gives the words that have no effect, if there are any.
fn privacy(target: &mut Target, text: &str) -> Option<String> {
    /// What goaway stands for; its DSN and ETRN stay.
    const GOAWAY: [&str; 8] = [
        "authwarnings",
        "needmailhelo",
        "needexpnhelo",
        "needvrfyhelo",
        "noexpn",
        "novrfy",
        "noverb",
        "noactualrecipient",
    ];
    // VERB is not known, reports do not say where a recipient was led to, and members of lists are read with the caller's rights.
    const OBEYED: [&str; 16] = [
        "authwarnings",
        "goaway",
        "needmailhelo",
        "needexpnhelo",
        "needvrfyhelo",
        "noactualrecipient",
        "nobodyreturn",
        "noetrn",
        "noexpn",
        "noreceipts",
        "noverb",
        "novrfy",
        "public",
        "restrictexpand",
        "restrictmailq",
        "restrictqrun",
    ];
    for word in words(text).map(str::to_ascii_lowercase) {
        match word.as_str() {
            "public" => target.cf.privacy.clear(),
            "goaway" => target.cf.privacy.extend(GOAWAY.map(str::to_string)),
            _ => drop(target.cf.privacy.insert(word)),
        }
    }
    target.settings.smtp.vrfy = !target.cf.is_private("novrfy");
    target.settings.smtp.expn = !target.cf.is_private("noexpn");
    let is_idle = |word: &&str| !OBEYED.iter().any(|known| word.eq_ignore_ascii_case(known));
    let idle: Vec<&str> = words(text).filter(is_idle).collect();
    (!idle.is_empty()).then(|| format!("{}: without effect", idle.join(", ")))
}

/// `user`, `user:group`, `1:1`.
fn default_user(target: &mut Target, text: &str) -> Result<(), String> {
    target.cf.default_user = text.to_string();
    Ok(())
}

fn no_recipient(target: &mut Target, text: &str) -> Result<(), String> {
    target.cf.no_recipient = match text.to_ascii_lowercase().as_str() {
        "none" => NoRecipient::None,
        "add-to" => NoRecipient::To,
        "add-to-undisclosed" => NoRecipient::Undisclosed,
        "add-bcc" => NoRecipient::Bcc,
        "add-apparently-to" => NoRecipient::Apparently,
        other => return Err(format!("Invalid NoRecipientAction: {other}")),
    };
    Ok(())
}

/// `Addr=…`: where connections to other hosts come from.
fn client_port(target: &mut Target, text: &str) -> Result<(), String> {
    let addresses = pairs(text).filter(|(key, _)| *key == 'A').filter_map(|(_, value)| value.parse::<IpAddr>().ok());
    target.settings.relay.source.extend(addresses);
    Ok(())
}

/// `Name=MTA, Port=25, Addr=…, Family=inet, Modify=…`: where -bd listens.
fn daemon_port(target: &mut Target, text: &str) -> Result<(), String> {
    let (mut port, mut ip, mut is_six, mut modifiers) = (25, None, false, String::new());
    for (key, value) in pairs(text) {
        match key {
            'P' => {
                let named = || [("smtp", 25), ("submission", 587), ("smtps", 465), ("submissions", 465)];
                let named =
                    named().into_iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, port)| port);
                port = named.or_else(|| value.parse().ok()).ok_or_else(|| format!("service \"{value}\" unknown"))?;
            }
            'A' => ip = value.trim_matches(['[', ']']).trim_start_matches("IPv6:").parse::<IpAddr>().ok(),
            'F' => is_six = value.eq_ignore_ascii_case("inet6"),
            'M' => modifiers = value.to_string(),
            _ => {}
        }
    }
    let any = if is_six { IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    let address = SocketAddr::new(ip.unwrap_or(any), port);
    let services = &mut target.settings.services;
    // `s`: TLS from the start.
    let list = if modifiers.contains('s') { &mut services.submissions } else { &mut services.smtp };
    if !list.contains(&address) {
        list.push(address);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::option::NAMES;

    #[test]
    fn every_option_of_sendmail_has_its_row() {
        let elsewhere = [
            "AliasFile",
            "PrivacyOptions",
            "Timeout",
            "LogLevel",
            "ForwardPath",
            "SmtpGreetingMessage",
            "UnixFromLine",
            "QueueSortOrder",
        ];
        for (_, name) in NAMES {
            let rows = ROWS.iter().filter(|(known, _)| known == name).count();
            assert_eq!(rows + usize::from(elsewhere.contains(name)), 1, "{name}");
        }
        assert_eq!(ROWS.len() + elsewhere.len(), NAMES.len());
    }

    #[test]
    fn files_of_aliases_are_found_whatever_their_databases() {
        assert_eq!(alias_files("/etc/aliases"), [PathBuf::from("/etc/aliases")]);
        assert_eq!(alias_files("hash:/a, dbm:-o/b,nis:mail.aliases"), [PathBuf::from("/a"), PathBuf::from("/b")]);
    }
}
