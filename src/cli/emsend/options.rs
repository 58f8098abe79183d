//! sendmail's options: -o with a letter, -O with a name.

use super::arguments::Arguments;
use crate::settings::{DeliveryMode, ErrorMode};

/// sendmail's options by their long names; most set what em.toml sets here, and change nothing.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "AliasFile", "AliasWait", "AllowBogusHELO", "AuthMaxBits", "AuthMechanisms", "AuthOptions", "AuthRealm",
    "BadRcptThrottle", "BlankSub", "CACertFile", "CACertPath", "CRLFile", "CheckAliases", "CheckpointInterval",
    "CipherList", "ClassFactor", "ClientCertFile", "ClientKeyFile", "ClientPortOptions", "ClientSSLOptions",
    "ConnectOnlyTo", "ConnectionCacheSize", "ConnectionCacheTimeout", "ConnectionRateThrottle",
    "ConnectionRateWindowSize", "ControlSocketName", "DHParameters", "DaemonPortOptions", "DataFileBufferSize",
    "DeadLetterDrop", "DefaultAuthInfo", "DefaultCharSet", "DefaultUser", "DelayLA", "DeliveryMode", "DialDelay",
    "DirectSubmissionModifiers", "DontBlameSendmail", "DontExpandCnames", "DontInitGroups", "DontProbeInterfaces",
    "DontPruneRoutes", "DoubleBounceAddress", "EightBitMode", "ErrorHeader", "ErrorMode", "FallbackMXhost",
    "FallbackSmartHost", "FastSplit", "ForkEachJob", "ForwardPath", "HeloName", "HelpFile", "HoldExpensive",
    "HostStatusDirectory", "HostsFile", "IgnoreDots", "InputMailFilters", "LDAPDefaultSpec", "LogLevel",
    "MatchGECOS", "MaxAliasRecursion", "MaxDaemonChildren", "MaxHeadersLength", "MaxHopCount", "MaxMessageSize",
    "MaxMimeHeaderLength", "MaxNOOPCommands", "MaxQueueAge", "MaxQueueChildren", "MaxQueueRunSize",
    "MaxRecipientsPerMessage", "MaxRuleRecursion", "MaxRunnersPerQueue", "MeToo", "Milter", "MinFreeBlocks",
    "MinQueueAge", "MustQuoteChars", "NiceQueueRun", "NoRecipientAction", "OldStyleHeaders", "OperatorChars",
    "PidFile", "PostmasterCopy", "PrivacyOptions", "ProcessTitlePrefix", "QueueDirectory", "QueueFactor",
    "QueueFileMode", "QueueLA", "QueueSortOrder", "QueueTimeout", "RandFile", "RecipientFactor", "RefuseLA",
    "RejectLogInterval", "RequiresDirfsync", "ResolverOptions", "RetryFactor", "RrtImpliesDsn", "RunAsUser",
    "SafeFileEnvironment", "SaveFromLine", "SendMimeErrors", "ServerCertFile", "ServerKeyFile", "ServerSSLOptions",
    "ServiceSwitchFile", "SevenBitInput", "SharedMemoryKey", "SharedMemoryKeyFile", "SingleLineFromHeader",
    "SingleThreadDelivery", "SmtpGreetingMessage", "SoftBounce", "StatusFile", "SuperSafe", "TLSSrvOptions",
    "TempFileMode", "Timeout", "TimeZoneSpec", "TrustedUser", "TryNullMXList", "UnixFromLine", "UnsafeGroupWrites",
    "UseErrorsTo", "UseMSP", "UserDatabaseSpec", "UserSubmission", "Verbose", "XscriptFileBufferSize",
];

/// -oX[value]: the old one-letter options.
pub(super) fn option_letter(arguments: &mut Arguments, text: &str) -> Result<(), String> {
    let mut chars = text.chars();
    match (chars.next(), chars.as_str()) {
        (Some('i'), value) => arguments.dot_ends = Some(!is_on(value)),
        (Some('v'), value) => arguments.verbose = is_on(value),
        (Some('d'), value) => delivery_mode(arguments, value)?,
        (Some('e'), value) => errors(arguments, value)?,
        // The others set the daemon's numbers, or say what we do anyway (-om, -o7, -o8).
        (Some(letter), _) if letter.is_ascii_alphanumeric() => {}
        _ => return Err(format!("-o{text}: a letter and its value")),
    }
    Ok(())
}

/// -O Name=value: the long names of the same, in any case, shortened where that is clear.
pub(super) fn option_name(arguments: &mut Arguments, text: &str) -> Result<(), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    // Timeout.queuereturn and the like.
    let wanted = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let fits = |known: &&str| known.to_ascii_lowercase().starts_with(&wanted);
    let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(&wanted));
    let known =
        known.or_else(|| NAMES.iter().find(|n| fits(n)).filter(|_| NAMES.iter().filter(|n| fits(n)).count() == 1));
    match known.copied() {
        Some("IgnoreDots") => arguments.dot_ends = Some(!is_on(value)),
        Some("DeliveryMode") => delivery_mode(arguments, value)?,
        Some("ErrorMode") => errors(arguments, value)?,
        Some("Verbose") => arguments.verbose = is_on(value),
        Some(_) => {}
        None => {
            let near = crate::settings::nearest(name, NAMES.iter().copied());
            let hint = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            return Err(format!("-O {name}: unknown option name{hint}"));
        }
    }
    Ok(())
}

/// sendmail's booleans: nothing is yes.
fn is_on(value: &str) -> bool {
    !value.to_ascii_lowercase().starts_with(['f', 'n', '0'])
}

fn delivery_mode(arguments: &mut Arguments, value: &str) -> Result<(), String> {
    let mode = DeliveryMode::parse(value).ok_or_else(|| format!("-od{value}: one of -odi -odb -odq -odd"))?;
    arguments.delivery = Some(mode);
    Ok(())
}

pub(super) fn errors(arguments: &mut Arguments, value: &str) -> Result<(), String> {
    let mode = ErrorMode::parse(value).ok_or_else(|| format!("-oe{value}: one of -oem -oep -oeq -oew -oee"))?;
    arguments.errors = Some(mode);
    Ok(())
}
