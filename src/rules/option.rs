//! Options: the O line.

/// An option of the file, its value expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The full name, as in [`NAMES`].
    pub name: &'static str,
    /// What stands behind a dot (`Timeout.queuereturn`); may be empty.
    pub part: String,
    /// The value.
    pub value: Vec<u8>,
    /// Line of the file, from 1.
    pub line: usize,
}

/// The names, with the letter of old for those that have one, in the model's order, in which an abbreviation is looked for.
#[rustfmt::skip]
pub const NAMES: &[(u8, &str)] = &[
    (b'7', "SevenBitInput"), (b'8', "EightBitMode"), (b'A', "AliasFile"), (b'a', "AliasWait"), (b'B', "BlankSub"), (b'b', "MinFreeBlocks"),
    (b'C', "CheckpointInterval"), (b'c', "HoldExpensive"), (b'd', "DeliveryMode"), (b'E', "ErrorHeader"), (b'e', "ErrorMode"),
    (b'F', "TempFileMode"), (b'f', "SaveFromLine"), (b'G', "MatchGECOS"), (b'H', "HelpFile"), (b'h', "MaxHopCount"),
    (b'i', "IgnoreDots"), (b'I', "ResolverOptions"), (b'j', "SendMimeErrors"), (b'J', "ForwardPath"), (b'k', "ConnectionCacheSize"),
    (b'K', "ConnectionCacheTimeout"), (b'L', "LogLevel"), (b'l', "UseErrorsTo"), (b'm', "MeToo"), (b'n', "CheckAliases"),
    (b'O', "DaemonPortOptions"), (b'o', "OldStyleHeaders"), (b'p', "PrivacyOptions"), (b'P', "PostmasterCopy"), (b'q', "QueueFactor"),
    (b'Q', "QueueDirectory"), (b'R', "DontPruneRoutes"), (b'r', "Timeout"), (b'S', "StatusFile"), (b's', "SuperSafe"), (b'T', "QueueTimeout"),
    (b't', "TimeZoneSpec"), (b'u', "DefaultUser"), (b'U', "UserDatabaseSpec"), (b'V', "FallbackMXhost"), (b'v', "Verbose"),
    (b'w', "TryNullMXList"), (b'x', "QueueLA"), (b'X', "RefuseLA"), (b'Y', "ForkEachJob"), (b'y', "RecipientFactor"), (b'z', "ClassFactor"),
    (b'Z', "RetryFactor"), (0, "QueueSortOrder"), (0, "HostsFile"), (0, "MinQueueAge"), (0, "MaxQueueAge"), (0, "DefaultCharSet"),
    (0, "ServiceSwitchFile"), (0, "DialDelay"), (0, "NoRecipientAction"), (0, "SafeFileEnvironment"), (0, "MaxMessageSize"),
    (0, "ColonOkInAddr"), (0, "MaxQueueRunSize"), (0, "MaxDaemonChildren"), (0, "MaxRunnersPerQueue"), (0, "DirectSubmissionModifiers"),
    (0, "MaxAliasRecursion"), (0, "RunAsUser"), (0, "MaxRecipientsPerMessage"), (0, "DoubleBounceAddress"), (0, "HostStatusDirectory"),
    (0, "SingleThreadDelivery"), (0, "SmtpGreetingMessage"), (0, "UnixFromLine"), (0, "OperatorChars"), (0, "DontInitGroups"),
    (0, "SingleLineFromHeader"), (0, "AllowBogusHELO"), (0, "MustQuoteChars"), (0, "UnsafeGroupWrites"), (0, "DontExpandCnames"),
    (0, "MaxHeadersLength"), (0, "MaxMimeHeaderLength"), (0, "ControlSocketName"), (0, "MaxNOOPCommands"), (0, "ConnectionRateThrottle"),
    (0, "DontBlameSendmail"), (0, "PidFile"), (0, "ProcessTitlePrefix"), (0, "ClientPortOptions"), (0, "DontProbeInterfaces"),
    (0, "MaxRuleRecursion"), (0, "TrustedUser"), (0, "MaxQueueChildren"), (0, "NiceQueueRun"), (0, "DeadLetterDrop"), (0, "XscriptFileBufferSize"),
    (0, "DataFileBufferSize"), (0, "DefaultAuthInfo"), (0, "AuthMechanisms"), (0, "AuthOptions"), (0, "AuthRealm"), (0, "AuthMaxBits"),
    (0, "CACertFile"), (0, "CACertPath"), (0, "CRLFile"), (0, "CRLPath"), (0, "ServerCertFile"), (0, "ServerKeyFile"), (0, "ClientCertFile"),
    (0, "ClientKeyFile"), (0, "DHParameters"), (0, "RandFile"), (0, "TLSSrvOptions"), (0, "CipherList"), (0, "ServerSSLOptions"),
    (0, "ClientSSLOptions"), (0, "SSLEngine"), (0, "SSLEnginePath"), (0, "CertFingerprintAlgorithm"), (0, "TLSFallbacktoClear"),
    (0, "InputMailFilters"), (0, "Milter"), (0, "UseMSP"), (0, "SharedMemoryKey"), (0, "SharedMemoryKeyFile"), (0, "FastSplit"),
    (0, "MailboxDatabase"), (0, "QueueFileMode"), (0, "RequiresDirfsync"), (0, "FallbackSmartHost"), (0, "HeloName"), (0, "RejectLogInterval"),
    (0, "SoftBounce"), (0, "BadRcptThrottle"), (0, "BadRcptShutdown"), (0, "BadRcptShutdownGood"), (0, "RrtImpliesDsn"), (0, "LDAPDefaultSpec"),
    (0, "ConnectionRateWindowSize"), (0, "ConnectOnlyTo"), (0, "UserSubmission"), (0, "MaxMessagesPerConnection"), (0, "DelayLA"),
    (0, "DeliverByMin"), (0, "CipherSuites"), (0, "SetCertAltnames"), (0, "StrictTransportSecurity"), (0, "UseCompressedIPv6Addresses"),
    (0, "SmtpUTF8"), (0, "RejectNUL"),
];

/// Options whose macros stand for what is known when they are used, not when the line is read.
pub const LATE: [&str; 3] = ["ForwardPath", "SmtpGreetingMessage", "UnixFromLine"];

/// What reading an O line gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The option.
    Known(Setting),
    /// The option, shortened: it is used, with this warning.
    Shortened(Setting, String),
    /// It is not used: why.
    Unknown(String),
}

/// Reads an O line behind the O, its macros expanded.
pub fn read(text: &[u8], line: usize) -> Read {
    let set = |name: &'static str, part: String, value: &[u8]| Setting { name, part, value: value.to_vec(), line };
    let Some(long) = text.strip_prefix(b" ") else {
        let letter = text.first().copied().unwrap_or(0);
        return match NAMES.iter().find(|(l, _)| *l == letter && letter != 0) {
            Some((_, name)) => Read::Known(set(name, String::new(), &text[1..])),
            None => Read::Unknown(format!("readcf: unknown option name 0x{letter:x}")),
        };
    };
    let (key, value) = match long.iter().position(|b| *b == b'=') {
        Some(at) => (&long[..at], &long[at + 1..]),
        None => (long, &b""[..]),
    };
    let key = String::from_utf8_lossy(key).trim().to_string();
    let (key, part) = key.split_once('.').map_or((key.as_str(), ""), |(key, part)| (key, part));
    if key.is_empty() {
        return Read::Unknown("readcf: null option name".to_string());
    }
    let value = value.trim_ascii_start();
    let known = |name: &&str| name.len() >= key.len() && name[..key.len()].eq_ignore_ascii_case(key);
    let fits: Vec<&'static str> = NAMES.iter().map(|(_, name)| *name).filter(|n| key.is_ascii() && known(n)).collect();
    if let Some(whole) = fits.iter().find(|name| name.len() == key.len()) {
        return Read::Known(set(whole, part.to_string(), value));
    }
    match fits[..] {
        [] => Read::Unknown(format!("readcf: unknown option name {key}")),
        [one] => {
            let said = format!("Option {key} used as abbreviation for {one}");
            Read::Shortened(set(one, part.to_string(), value), said)
        }
        [first, second, ..] => {
            Read::Unknown(format!("readcf: ambiguous option name {key} (matches {first} and {second})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_shortened_where_that_is_clear() {
        let known = |text: &str| match read(text.as_bytes(), 1) {
            Read::Known(s) => format!("{}|{}|{}", s.name, s.part, String::from_utf8_lossy(&s.value)),
            Read::Shortened(s, said) => format!("{} ({said})", s.name),
            Read::Unknown(said) => said,
        };
        assert_eq!(known(" queuedirectory=/x"), "QueueDirectory||/x");
        assert_eq!(known(" Timeout.queuereturn = 5d"), "Timeout|queuereturn|5d");
        assert_eq!(known("Q/x"), "QueueDirectory||/x");
        assert_eq!(known(" QueueDir=/x"), "QueueDirectory (Option QueueDir used as abbreviation for QueueDirectory)");
        assert_eq!(known(" Queue=1"), "readcf: ambiguous option name Queue (matches QueueFactor and QueueDirectory)");
        assert_eq!(known(" xyz"), "readcf: unknown option name xyz");
        assert_eq!(known(" HoldExpensive"), "HoldExpensive||");
    }
}
