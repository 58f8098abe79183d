//! What a sendmail.cf that stands in the place of all of etc (-C FILE) says beside the table of settings.
//!
//! Made by `config::cf` from the file's O lines; `None` in [`super::Settings`] for a site of our own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A sendmail.cf in the place of em.toml, and what a command line says above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CfFile {
    /// The file.
    pub path: PathBuf,
    /// Options of the command line, as they stand behind the `O` of a line: `dq`, ` DeliveryMode=q`.
    pub options: Vec<String>,
}

/// When a message that was just taken is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryMode {
    /// Before the command ends.
    Interactive,
    /// By a process of its own.
    #[default]
    Background,
    /// When the queue is run.
    Queue,
}

impl DeliveryMode {
    /// sendmail's letter: `i`, `b`, `q`, or `d`, which is as `q` here.
    pub fn parse(text: &str) -> Option<DeliveryMode> {
        match text.bytes().next()?.to_ascii_lowercase() {
            b'i' => Some(DeliveryMode::Interactive),
            b'b' => Some(DeliveryMode::Background),
            b'q' | b'd' => Some(DeliveryMode::Queue),
            _ => None,
        }
    }
}

/// How delivery errors are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorMode {
    /// To the caller, and as the exit code.
    #[default]
    Print,
    /// By mail, and as the exit code.
    Mail,
    /// By mail alone: the exit code is 0.
    Always,
    /// By the exit code alone.
    Quiet,
}

impl ErrorMode {
    /// sendmail's letter: `p`, `m`, `w` (as `m`), `e`, `q`.
    pub fn parse(text: &str) -> Option<ErrorMode> {
        match text.bytes().next()? {
            b'p' => Some(ErrorMode::Print),
            b'm' | b'w' => Some(ErrorMode::Mail),
            b'e' => Some(ErrorMode::Always),
            b'q' => Some(ErrorMode::Quiet),
            _ => None,
        }
    }
}

/// What is done with text of eight bits that nobody has called so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EightBits {
    /// It is passed on as it is.
    #[default]
    Pass,
    /// It is labelled for MIME where it goes out.
    Mimify,
    /// It is refused.
    Strict,
}

impl EightBits {
    /// sendmail's letter: `p`, `m`, `s`.
    pub fn parse(text: &str) -> Option<EightBits> {
        match text.bytes().next()?.to_ascii_lowercase() {
            b'p' => Some(EightBits::Pass),
            b'm' => Some(EightBits::Mimify),
            b's' => Some(EightBits::Strict),
            _ => None,
        }
    }
}

/// What is done with a message whose header names no recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoRecipient {
    /// Nothing.
    #[default]
    None,
    /// `To:` with all recipients.
    To,
    /// `To: undisclosed-recipients:;`.
    Undisclosed,
    /// An empty `Bcc:`.
    Bcc,
    /// `Apparently-To:` with all recipients.
    Apparently,
}

/// The file's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cf {
    /// AliasFile, the first that knows a name counts.
    pub aliases: Vec<PathBuf>,
    /// ForwardPath, its macros not expanded yet.
    pub forward: Vec<u8>,
    /// DeliveryMode.
    pub delivery: DeliveryMode,
    /// ErrorMode.
    pub errors: ErrorMode,
    /// EightBitMode.
    pub eight_bits: EightBits,
    /// DefaultCharSet: what text is called that says nothing of its own; empty for a guess.
    pub charset: String,
    /// IgnoreDots.
    pub ignores_dots: bool,
    /// Verbose.
    pub verbose: bool,
    /// HoldExpensive: mailers with flag e wait for a run of the queue.
    pub holds_expensive: bool,
    /// PrivacyOptions.
    pub privacy: BTreeSet<String>,
    /// SmtpGreetingMessage, its macros not expanded yet; empty for our own.
    pub greeting: Vec<u8>,
    /// ErrorHeader: text in front of a report, or the path of a file with it.
    pub error_header: String,
    /// DoubleBounceAddress.
    pub double_bounce: String,
    /// UseErrorsTo: whom Errors-To names is told of failures, too.
    pub uses_errors_to: bool,
    /// DeadLetterDrop: the mailbox of what nobody can be told about; empty for none.
    pub dead_letters: PathBuf,
    /// PostmasterCopy.
    pub postmaster_copy: String,
    /// DefaultUser, as written.
    pub default_user: String,
    /// RunAsUser: whom root becomes; empty stays root, except for services, which then do not start.
    pub run_as: String,
    /// NoRecipientAction.
    pub no_recipient: NoRecipient,
    /// UnixFromLine, its macros not expanded yet.
    pub from_line: Vec<u8>,
    /// TimeZoneSpec, where it is set.
    pub time_zone: Option<String>,
    /// SafeFileEnvironment: the folder that files to be appended to must lie in.
    pub safe_folder: Option<PathBuf>,
    /// ServiceSwitchFile: names of hosts come from files alone.
    pub hosts_by_files: bool,
    /// MaxAliasRecursion: so deep may aliases lead.
    pub alias_depth: usize,
    /// OldStyleHeaders: blanks separate addresses where nothing else does.
    pub old_style_headers: bool,
    /// SingleLineFromHeader: From goes out on one line.
    pub single_line_from: bool,
    /// MeToo=False: who sends gets no copy of what an alias brings to him.
    pub spares_sender: bool,
    /// RrtImpliesDsn: Return-Receipt-To asks for a notification of success.
    pub receipts_imply_dsn: bool,
    /// HeloName: our name in EHLO, where it is not the host's.
    pub helo_name: String,
    /// ConnectOnlyTo: the one address that all mail goes to.
    pub connect_only_to: Option<IpAddr>,
    /// SoftBounce: what is refused for good is refused for now.
    pub soft_bounce: bool,
    /// AllowBogusHELO: any name is taken.
    pub any_helo: bool,
    /// BadRcptShutdown: after so many unknown recipients a client is sent away; 0 for no limit.
    pub bad_recipients: u32,
    /// BadRcptThrottle: after so many unknown recipients of a message each RCPT takes a second; 0 for never.
    pub slow_recipients: u32,
    /// HelpFile: the texts of HELP; empty for our own.
    pub help_file: PathBuf,
    /// RejectNUL: no message with octets of value 0.
    pub rejects_nul: bool,
    /// MinFreeBlocks: with fewer left in the queue's file system nothing is taken.
    pub least_free_blocks: u64,
    /// MinQueueAge: a run of the queue leaves alone what was tried within this time.
    pub least_age: Duration,
    /// MaxQueueRunSize: so many messages are looked at in a run, the oldest first; 0 for all.
    pub run_size: usize,
    /// PidFile: where the daemon writes its process and how it is started again; empty for nowhere.
    pub pid_file: PathBuf,
    /// What sendmail warns of when it reads the file, as it says it.
    pub warnings: Vec<String>,
    /// What has no effect: the line, from 1, and why.
    pub notes: Vec<(usize, String)>,
}

impl Cf {
    /// True when the privacy options name this.
    pub fn is_private(&self, word: &str) -> bool {
        self.privacy.contains(word)
    }

    /// True when who asks to hear of success does (noreceipts).
    pub fn gives_receipts(&self) -> bool {
        !self.is_private("noreceipts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_modes_are_sendmails() {
        assert_eq!(DeliveryMode::parse("background"), Some(DeliveryMode::Background));
        assert_eq!(DeliveryMode::parse("Interactive"), Some(DeliveryMode::Interactive));
        assert_eq!(DeliveryMode::parse("d"), Some(DeliveryMode::Queue));
        assert_eq!(DeliveryMode::parse("z"), None);
        assert_eq!(EightBits::parse("mimify"), Some(EightBits::Mimify));
        assert_eq!((EightBits::parse("Strict"), EightBits::parse("8")), (Some(EightBits::Strict), None));
        assert_eq!(ErrorMode::parse("w"), Some(ErrorMode::Mail));
        assert_eq!(ErrorMode::parse(""), None);
    }
}
