//! The flags of sendmail(8).

use crate::envelope::Notify;
use crate::queue::{Selection, Selector};
use std::path::PathBuf;
use std::time::Duration;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Deliver,
    Smtp,
    Verify,
    Mailq,
    Newaliases,
    Daemon,
    Queue(Selection, Option<Duration>),
    Help,
    Version,
}

/// How delivery errors are told (-oe).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorMode {
    Print,
    Mail,
    Quiet,
}

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) mode: Mode,
    pub(super) root: Option<PathBuf>,
    pub(super) from_header: bool,
    pub(super) dot_ends: bool,
    pub(super) sender: Option<String>,
    pub(super) full_name: Option<String>,
    pub(super) notify: Notify,
    pub(super) ret_full: bool,
    pub(super) envid: Option<String>,
    pub(super) eight_bit: bool,
    pub(super) errors: ErrorMode,
    /// -odq: leave it in the queue.
    pub(super) queue_only: bool,
    pub(super) verbose: bool,
    pub(super) recipients: Vec<String>,
}

/// Flags that take no value and change nothing here.
const IGNORED: &str = "mnUGsw";
/// Flags with a value that change nothing here.
const IGNORED_WITH_VALUE: &str = "hLXAdMDCpa";

/// Reads the command line; `called_as` is the program's name.
pub(super) fn parse(called_as: &str, words: Vec<String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        mode: match called_as {
            "mailq" => Mode::Mailq,
            "newaliases" => Mode::Newaliases,
            _ => Mode::Deliver,
        },
        root: None,
        from_header: false,
        dot_ends: true,
        sender: None,
        full_name: None,
        notify: Notify::default(),
        ret_full: false,
        envid: None,
        eight_bit: false,
        errors: ErrorMode::Print,
        queue_only: false,
        verbose: false,
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
    Ok(arguments)
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
        other => {
            let near = crate::settings::nearest(other, ["help", "version", "root"].into_iter());
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
            'i' => arguments.dot_ends = false,
            'v' => arguments.verbose = true,
            'f' | 'r' => arguments.sender = Some(value()?),
            'F' => arguments.full_name = Some(value()?),
            'B' => arguments.eight_bit = value()?.eq_ignore_ascii_case("8BITMIME"),
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
            'V' => arguments.envid = Some(value()?),
            'b' => arguments.mode = mode(&value()?)?,
            'q' => {
                let glued = std::mem::take(&mut rest);
                arguments.mode = queue(glued, &arguments.mode)?;
            }
            'o' => option_letter(arguments, &value()?)?,
            'O' => option_name(arguments, &value()?)?,
            'e' => errors(arguments, &value()?)?,
            flag if IGNORED.contains(flag) => {}
            flag if IGNORED_WITH_VALUE.contains(flag) => {
                value()?;
            }
            flag => {
                return Err(format!(
                    "unknown option -{flag}\nUsage: emsend [options] [recipient ...]; see emsend --help"
                ));
            }
        }
    }
    Ok(())
}

fn mode(letter: &str) -> Result<Mode, String> {
    Ok(match letter {
        "m" | "a" => Mode::Deliver,
        "s" => Mode::Smtp,
        "v" => Mode::Verify,
        "p" => Mode::Mailq,
        "i" => Mode::Newaliases,
        "d" | "D" => Mode::Daemon,
        "t" => return Err("-bt: the rule test waits for the rule engine; -bv shows where an address goes".to_string()),
        other => return Err(format!("-b{other}: one of -bm -bs -bv -bp -bi -bd -bD")),
    })
}

/// -q, -q15m, -qItext, -q!Rtext, -qS!text; several conditions add up.
fn queue(text: &str, before: &Mode) -> Result<Mode, String> {
    let (mut selection, mut every) = match before {
        Mode::Queue(selection, every) => (selection.clone(), *every),
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
        Some(_) => every = Some(span(rest.trim_start_matches('p'))?),
    }
    Ok(Mode::Queue(selection, every))
}

/// sendmail's spans: `15m`, `1h30m`, a bare number in minutes.
fn span(text: &str) -> Result<Duration, String> {
    if let Ok(minutes) = text.parse::<u64>() {
        return Ok(Duration::from_secs(minutes.saturating_mul(60)));
    }
    humantime::parse_duration(text).map_err(|e| format!("-q{text}: {e}"))
}

/// -oX[value]: the old one-letter options.
fn option_letter(arguments: &mut Arguments, text: &str) -> Result<(), String> {
    let mut chars = text.chars();
    match (chars.next(), chars.as_str()) {
        (Some('i'), _) => arguments.dot_ends = false,
        (Some('v'), _) => arguments.verbose = true,
        (Some('d'), value) => arguments.queue_only = value.starts_with(['q', 'd']),
        (Some('e'), value) => errors(arguments, value)?,
        // The others set the daemon's numbers, or say what we do anyway (-om, -o7, -o8).
        _ => {}
    }
    Ok(())
}

/// -O Name=value: the long names of the same.
fn option_name(arguments: &mut Arguments, text: &str) -> Result<(), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, "true"));
    let is_on = !value.to_ascii_lowercase().starts_with(['f', 'n', '0']);
    match name.to_ascii_lowercase().as_str() {
        "ignoredots" => arguments.dot_ends = !is_on,
        "deliverymode" => arguments.queue_only = value.starts_with(['q', 'd']),
        "errormode" => errors(arguments, value)?,
        "verbose" => arguments.verbose = is_on,
        _ => {}
    }
    Ok(())
}

fn errors(arguments: &mut Arguments, value: &str) -> Result<(), String> {
    arguments.errors = match value.chars().next() {
        Some('p') => ErrorMode::Print,
        Some('m' | 'w' | 'e') => ErrorMode::Mail,
        Some('q') => ErrorMode::Quiet,
        _ => return Err(format!("-oe{value}: one of -oem -oep -oeq -oew")),
    };
    Ok(())
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
        assert!(cron.from_header && !cron.dot_ends && cron.eight_bit && cron.errors == ErrorMode::Mail);
        assert_eq!((cron.full_name.as_deref(), cron.sender.as_deref()), (Some("CronDaemon"), Some("root")));
        let mutt = read("-oem -oi -f me@example.test -- a@b.test c@d.test");
        assert_eq!(mutt.recipients, ["a@b.test", "c@d.test"]);
        let git = read("-i a@b.test");
        assert!(!git.dot_ends && git.recipients.len() == 1);
        assert!(read("-t -i").from_header);
        assert!(read("-ti").from_header);
        let dsn = read("-N success,delay -R full -V id1 x@y.test");
        assert!(dsn.notify.success && dsn.notify.delay && !dsn.notify.failure && dsn.ret_full);
        assert_eq!(read("-f<> x").sender.as_deref(), Some("<>"));
        assert!(read("-odq x").queue_only && read("-O DeliveryMode=q x").queue_only);
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
        ] {
            let error = parse("emsend", words.into_iter().map(String::from).collect()).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        assert_eq!(parse("mailq", vec![]).unwrap().mode, Mode::Mailq);
    }
}
