//! The flags of sendmail(8).

use super::options::{errors, option_letter, option_name};
use crate::envelope::Notify;
use crate::queue::{Selection, Selector};
use crate::settings::{DeliveryMode, ErrorMode, Root};
use std::path::PathBuf;
use std::time::Duration;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Mode {
    Deliver,
    Smtp,
    Verify,
    Mailq(Selection),
    /// -bP: how many messages wait.
    Count,
    Newaliases,
    /// -bd: all services in the background.
    Daemon,
    /// -bD: all services in the foreground.
    Foreground,
    /// -bC: check the configuration.
    Check,
    /// -bh, -bH: the status of hosts, which is not kept.
    HostStatus,
    /// -bt: test the rules, of the file of -C if there is one, with the traces of each -d and the options of -o and -O.
    Test(Option<PathBuf>, Vec<String>, Vec<String>),
    /// --explain: why an address goes where it goes.
    Explain(Question),
    Queue(Selection, Option<Duration>),
    Help,
    Version,
}

/// What --explain is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cli) struct Question {
    /// The recipient.
    pub(in crate::cli) address: String,
    /// --from: the sender.
    pub(in crate::cli) from: Option<String>,
    /// --client: the address of who sends.
    pub(in crate::cli) client: Option<String>,
    /// --json.
    pub(in crate::cli) json: bool,
}

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) mode: Mode,
    pub(super) root: Option<PathBuf>,
    /// -C: the file that stands in the place of all settings.
    pub(super) rules: Option<PathBuf>,
    /// Options of -o and -O, as they stand behind the O of a line.
    pub(super) options: Vec<String>,
    /// What is wrong with them. The file of -C is asked instead where there is one, since it says so in sendmail's words.
    pub(super) mistakes: Vec<String>,
    pub(super) from_header: bool,
    /// Whether a line with a dot alone ends the message, where that was said.
    pub(super) dot_ends: Option<bool>,
    pub(super) sender: Option<String>,
    pub(super) full_name: Option<String>,
    pub(super) notify: Notify,
    pub(super) ret_full: bool,
    pub(super) envid: Option<String>,
    /// -B, where it was said.
    pub(super) eight_bit: Option<bool>,
    /// -oe, where it was said.
    pub(super) errors: Option<ErrorMode>,
    /// -od, where it was said.
    pub(super) delivery: Option<DeliveryMode>,
    pub(super) verbose: bool,
    /// The words of each -d.
    pub(super) traces: Vec<String>,
    /// --explain and what belongs to it.
    pub(super) question: Question,
    pub(super) recipients: Vec<String>,
}

/// Flags that take no value and change nothing here.
const IGNORED: &str = "cGnsTUx";
/// Flags with a value that change nothing here.
const IGNORED_WITH_VALUE: &str = "ADhLMpX";
/// Flags that do something, for the suggestion of a right spelling.
const OBEYED: &str = "bBCdeFfiImNOoqrRtvV";

/// Longest envelope id, in octets (RFC 3461 §4.4).
const ENVID_LIMIT: usize = 100;

/// Reads the command line; `called_as` is the program's name.
pub(super) fn parse(called_as: &str, words: Vec<String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        mode: match called_as {
            "mailq" => Mode::Mailq(Selection::default()),
            "newaliases" => Mode::Newaliases,
            _ => Mode::Deliver,
        },
        root: None,
        rules: None,
        options: Vec::new(),
        mistakes: Vec::new(),
        from_header: false,
        dot_ends: None,
        sender: None,
        full_name: None,
        notify: Notify::default(),
        ret_full: false,
        envid: None,
        // As sendmail's EightBitMode=pass: what comes is passed on as it is, and called so.
        eight_bit: None,
        errors: None,
        delivery: None,
        verbose: false,
        traces: Vec::new(),
        question: Question::default(),
        recipients: Vec::new(),
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            arguments.recipients.extend(words.by_ref());
        } else if let Some(long) = word.strip_prefix("--") {
            long_flag(&mut arguments, long, &mut words)?;
        } else if word.starts_with('-') && word.len() > 1 {
            short_flags(&mut arguments, &word[1..], &mut words)?;
        } else {
            arguments.recipients.push(word);
        }
    }
    if let (None, Some(mistake)) = (&arguments.rules, arguments.mistakes.first()) {
        return Err(mistake.clone());
    }
    let question = &arguments.question;
    match &mut arguments.mode {
        Mode::Test(..) | Mode::Deliver if !question.address.is_empty() => {
            arguments.mode = Mode::Explain(question.clone());
        }
        _ if question.from.is_some() || question.client.is_some() => {
            return Err("--from and --client belong to --explain ADDRESS".to_string());
        }
        Mode::Test(file, traces, options) => {
            *file = arguments.rules.take();
            *traces = std::mem::take(&mut arguments.traces);
            *options = std::mem::take(&mut arguments.options);
        }
        _ => {}
    }
    Ok(arguments)
}

impl Arguments {
    /// The trees to work on: those of -C's file where there is one.
    pub(super) fn root(&self) -> Root {
        match &self.rules {
            Some(path) => super::super::root_of_cf(path, self.options.clone()),
            None => super::super::root(self.root.as_deref()),
        }
    }
}

fn long_flag(arguments: &mut Arguments, long: &str, words: &mut impl Iterator<Item = String>) -> Result<(), String> {
    let (name, glued) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v.to_string())));
    match name {
        "help" => arguments.mode = Mode::Help,
        "version" => arguments.mode = Mode::Version,
        "root" => {
            let dir = glued.or_else(|| words.next()).ok_or("--root wants a folder")?;
            arguments.root = Some(dir.into());
        }
        "json" => arguments.question.json = true,
        "explain" | "from" | "client" => {
            let value = glued.or_else(|| words.next()).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| format!("--{name} wants an address"))?;
            match name {
                "explain" => arguments.question.address = value,
                "from" => arguments.question.from = Some(value),
                _ => arguments.question.client = Some(value),
            }
        }
        other => {
            let near = crate::settings::nearest(
                other,
                ["help", "version", "root", "explain", "from", "client", "json"].into_iter(),
            );
            let hint = near.map(|n| format!("; did you mean --{n}?")).unwrap_or_default();
            return Err(format!(
                "unknown option --{other}{hint}\nUsage: emsend [options] [recipient ...]; see emsend --help"
            ));
        }
    }
    Ok(())
}

/// One word of flags: letters without values may share it, a value may be glued or stand next.
fn short_flags(arguments: &mut Arguments, flags: &str, words: &mut impl Iterator<Item = String>) -> Result<(), String> {
    let mut rest = flags;
    while let Some(flag) = rest.chars().next() {
        rest = &rest[flag.len_utf8()..];
        let mut value = || {
            let glued = std::mem::take(&mut rest);
            match glued.is_empty() {
                true => words.next().ok_or_else(|| format!("-{flag} wants a value")),
                false => Ok(glued.to_string()),
            }
        };
        match flag {
            't' => arguments.from_header = true,
            'i' => arguments.dot_ends = Some(false),
            'v' => arguments.verbose = true,
            // MeToo, as -om.
            'm' => arguments.options.push("m".to_string()),
            'f' | 'r' => {
                if arguments.sender.replace(value()?).is_some() {
                    return Err(format!("-{flag}: more than one sender"));
                }
            }
            'I' => arguments.mode = Mode::Newaliases,
            'C' => arguments.rules = Some(value()?.into()),
            'F' => arguments.full_name = Some(value()?),
            'B' => {
                arguments.eight_bit = match value()?.to_ascii_uppercase().as_str() {
                    "8BITMIME" => Some(true),
                    "7BIT" => Some(false),
                    other => return Err(format!("-B {other}: 7BIT or 8BITMIME")),
                }
            }
            'N' => {
                let text = value()?;
                arguments.notify =
                    text.parse().map_err(|()| format!("-N {text}: never, or success, failure, delay"))?;
            }
            'R' => match value()?.to_ascii_lowercase().as_str() {
                "full" => arguments.ret_full = true,
                "hdrs" => arguments.ret_full = false,
                other => return Err(format!("-R {other}: full or hdrs")),
            },
            'V' => {
                let text = value()?;
                let envid =
                    xtext(&text).ok_or_else(|| format!("-V {text}: not xtext (printable, `+` and `=` as +2B, +3D)"))?;
                arguments.envid = Some(envid);
            }
            'b' => arguments.mode = mode(&value()?, &arguments.mode)?,
            'q' => {
                let glued = std::mem::take(&mut rest);
                arguments.mode = queue(glued, &arguments.mode)?;
            }
            'o' => {
                let text = value()?;
                let read = option_letter(arguments, &text);
                arguments.mistakes.extend(read.err());
                arguments.options.push(text);
            }
            'O' => {
                let text = value()?;
                let read = option_name(arguments, &text);
                arguments.mistakes.extend(read.err());
                arguments.options.push(format!(" {text}"));
            }
            'e' => errors(arguments, &value()?)?,
            // A word behind it is none of its own.
            'd' => arguments.traces.push(std::mem::take(&mut rest).to_string()),
            flag if IGNORED.contains(flag) => {}
            flag if IGNORED_WITH_VALUE.contains(flag) => {
                value()?;
            }
            'Q' => return Err("-Q: there is no quarantine; `emqueue hold` keeps a message back".to_string()),
            flag => return Err(unknown(flag)),
        }
    }
    Ok(())
}

/// An option we do not know, with the one that was probably meant: the same letter in the other case.
fn unknown(flag: char) -> String {
    let other = if flag.is_ascii_lowercase() { flag.to_ascii_uppercase() } else { flag.to_ascii_lowercase() };
    let is_known = |c: char| [OBEYED, IGNORED, IGNORED_WITH_VALUE].iter().any(|known| known.contains(c));
    let hint = if is_known(other) { format!("; did you mean -{other}?") } else { String::new() };
    format!("unknown option -{flag}{hint}\nUsage: emsend [options] [recipient ...]; see emsend --help")
}

/// xtext (RFC 3461 §4), decoded.
fn xtext(text: &str) -> Option<String> {
    if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'=') {
        return None;
    }
    let bytes = encodify::hex::XTEXT.decode(text.as_bytes()).ok()?;
    let text = String::from_utf8(bytes.to_vec()).ok()?;
    (!text.is_empty() && text.len() <= ENVID_LIMIT && !text.chars().any(char::is_control)).then_some(text)
}

/// -bX. A queue selection that stood before it is kept for -bp.
fn mode(letter: &str, before: &Mode) -> Result<Mode, String> {
    Ok(match letter {
        "m" | "a" => Mode::Deliver,
        "s" => Mode::Smtp,
        "v" => Mode::Verify,
        "p" => Mode::Mailq(match before {
            Mode::Queue(selection, _) | Mode::Mailq(selection) => selection.clone(),
            _ => Selection::default(),
        }),
        "P" => Mode::Count,
        "i" => Mode::Newaliases,
        "d" => Mode::Daemon,
        "D" => Mode::Foreground,
        "C" => Mode::Check,
        "h" | "H" => Mode::HostStatus,
        "t" => Mode::Test(None, Vec::new(), Vec::new()),
        other => return Err(format!("-b{other}: one of -bm -bs -bv -bt -bp -bP -bi -bd -bD -bC -bh -bH")),
    })
}

/// -q, -q15m, -qItext, -q!Rtext, -qS!text; several conditions add up. They narrow a listing that was asked for before;
/// beside -bd they change nothing: the services run the queue.
fn queue(text: &str, before: &Mode) -> Result<Mode, String> {
    let (mut selection, mut every) = match before {
        Mode::Queue(selection, every) => (selection.clone(), *every),
        Mode::Mailq(selection) => (selection.clone(), None),
        _ => (Selection::default(), None),
    };
    let (negated, rest) = text.strip_prefix('!').map_or((false, text), |r| (true, r));
    match rest.chars().next() {
        None | Some('f') => {}
        Some(letter @ ('I' | 'R' | 'S')) => {
            let pattern = &rest[1..];
            let pattern = if negated { format!("!{pattern}") } else { pattern.to_string() };
            match letter {
                'I' => selection.add(&pattern, Selector::Id),
                'R' => selection.add(&pattern, Selector::Recipient),
                _ => selection.add(&pattern, Selector::Sender),
            }
        }
        Some('G' | 'L' | 'Q') => return Err(format!("-q{text}: there are no queue groups and no quarantine")),
        Some(_) => every = Some(span(rest.trim_start_matches('p'))?),
    }
    Ok(match before {
        Mode::Mailq(_) => Mode::Mailq(selection),
        Mode::Daemon | Mode::Foreground => before.clone(),
        _ => Mode::Queue(selection, every),
    })
}

/// sendmail's spans: `15m`, `1h30m`, a bare number in minutes.
fn span(text: &str) -> Result<Duration, String> {
    if let Ok(minutes) = text.parse::<u64>() {
        return Ok(Duration::from_secs(minutes.saturating_mul(60)));
    }
    humantime::parse_duration(text).map_err(|e| format!("-q{text}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Arguments {
        parse("sendmail", line.split(' ').map(str::to_string).collect()).unwrap()
    }

    #[test]
    fn what_programs_say() {
        // cron, mutt, git send-email, PHP, mailx.
        let cron = read("-FCronDaemon -i -B8BITMIME -oem -t -f root");
        assert!(cron.from_header && cron.dot_ends == Some(false) && cron.eight_bit == Some(true));
        assert_eq!(cron.errors, Some(ErrorMode::Mail));
        assert_eq!((cron.full_name.as_deref(), cron.sender.as_deref()), (Some("CronDaemon"), Some("root")));
        let mutt = read("-oem -oi -f me@example.test -- a@b.test c@d.test");
        assert_eq!(mutt.recipients, ["a@b.test", "c@d.test"]);
        let git = read("-i a@b.test");
        assert!(git.dot_ends == Some(false) && git.recipients.len() == 1);
        assert!(read("-t -i").from_header);
        assert!(read("-ti").from_header);
        let dsn = read("-N success,delay -R full -V id1 x@y.test");
        assert!(dsn.notify.success && dsn.notify.delay && !dsn.notify.failure && dsn.ret_full);
        assert_eq!(read("-f<> x").sender.as_deref(), Some("<>"));
        for queued in ["-odq x", "-O DeliveryMode=q x"] {
            assert_eq!(read(queued).delivery, Some(DeliveryMode::Queue));
        }
    }

    #[test]
    fn queue_flags() {
        assert!(matches!(read("-q").mode, Mode::Queue(ref s, None) if s.is_empty()));
        assert!(matches!(read("-q15m").mode, Mode::Queue(_, Some(d)) if d.as_secs() == 900));
        assert!(matches!(read("-q30").mode, Mode::Queue(_, Some(d)) if d.as_secs() == 1800));
        assert!(matches!(read("-qRexample.test -qSbob").mode, Mode::Queue(ref s, None) if !s.is_empty()));
        assert!(parse("x", vec!["-qx1".into()]).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        for (words, wanted) in [
            (vec!["-Z"], "unknown option -Z"),
            (vec!["--rot", "x"], "did you mean --root?"),
            (vec!["-f"], "-f wants a value"),
            (vec!["-N", "often"], "-N often"),
            (vec!["-bx"], "-bx"),
            (vec!["-P"], "did you mean -p?"),
            (vec!["-B", "9BIT"], "-B 9BIT: 7BIT or 8BITMIME"),
            (vec!["-V", "a=b"], "not xtext"),
            (vec!["-f", "a", "-f", "b"], "more than one sender"),
            (vec!["-odz"], "-odz"),
            (vec!["-oez"], "-oez"),
            (vec!["-O", "DeliveryMoed=q"], "did you mean DeliveryMode?"),
            (vec!["-qGmain"], "no queue groups"),
            (vec!["-Qreason"], "emqueue hold"),
            (vec!["-bt", "--explain"], "--explain wants an address"),
            (vec!["-bt", "--from", "a@b"], "belong to --explain"),
        ] {
            let error = parse("emsend", words.into_iter().map(String::from).collect()).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        assert_eq!(parse("mailq", vec![]).unwrap().mode, Mode::Mailq(Selection::default()));
    }

    #[test]
    fn a_selection_narrows_a_listing_and_leaves_the_daemon_alone() {
        let selection = |line: &str| match parse("mailq", line.split(' ').map(str::to_string).collect()).unwrap().mode {
            Mode::Mailq(selection) => !selection.is_empty(),
            other => panic!("{line}: {other:?}"),
        };
        assert!(selection("-qRexample.test") && selection("-qSbob -bp") && !selection("-v"));
        assert_eq!(read("-bd -q15m").mode, Mode::Daemon);
        assert_eq!(read("-bD -q1h").mode, Mode::Foreground);
    }

    #[test]
    fn a_question_takes_the_place_of_the_test_mode() {
        let Mode::Explain(question) = read("-bt --explain x@y.test --from=<> --client 192.0.2.1 --json").mode else {
            panic!("no question");
        };
        assert_eq!((question.address.as_str(), question.json), ("x@y.test", true));
        assert_eq!((question.from.as_deref(), question.client.as_deref()), (Some("<>"), Some("192.0.2.1")));
        assert!(matches!(read("--explain x").mode, Mode::Explain(_)));
    }

    #[test]
    fn options_of_old_are_taken() {
        for line in [
            "-oem -odb -oi -om -oQ/var/spool/mqueue -o7 -oT3d -oo x",
            "-odi -Am -Ac -L tag -X /tmp/log -G -n -U -x -s -h 3 -pESMTP:host -C /etc/mail/sendmail.cf -d0.1 x",
            "-O Timeout.queuereturn=5d -OPrivacyOptions=goaway -O ignoredots=f -OVerb x",
            "-R hdrs -Nnever -VQQ+2B1 -B7BIT x",
        ] {
            assert_eq!(read(line).recipients, ["x"], "{line}");
        }
        assert_eq!(read("-O IgnoreDots=false x").dot_ends, Some(true));
        assert!(read("-oitrue x").dot_ends == Some(false) && read("-OVerb x").verbose);
        assert_eq!(read("-oi -O MaxHopCount=3 x").options, ["i", " MaxHopCount=3"]);
        assert_eq!(read("-VQQ+2B1 x").envid.as_deref(), Some("QQ+1"));
        assert_eq!((read("x").eight_bit, read("-B7BIT x").eight_bit), (None, Some(false)));
        for line in ["-d x", "-d0 x", "-d21.12 x", "-d0-5.3 x", "-dANSI x", "-d99.100 -d21 x"] {
            assert_eq!(read(line).recipients, ["x"], "{line}");
        }
        let traces = ["21.12", "", "ANSI"].map(str::to_string).to_vec();
        assert_eq!(
            read("-d21.12 -C /a -bt -d -Ofoo -dANSI").mode,
            Mode::Test(Some("/a".into()), traces, vec![" foo".into()])
        );
        assert_eq!(read("-bh").mode, Mode::HostStatus);
        assert_eq!(read("-bP").mode, Mode::Count);
        assert_eq!(read("-I").mode, Mode::Newaliases);
    }
}
