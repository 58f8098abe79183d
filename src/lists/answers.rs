//! Whom a list has answered of late: the file `answers`, so that nobody is answered without end.
//!
//! Called by `list` under the list's lock, before each mail that somebody's mail causes. Format: a line of words for each answer,
//! `TIME KIND to=ADDRESS`; it is written anew without what is older than a week when it has grown.
//! RFC 3834 §2.

use super::List;
use super::posts::append;
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::fields;
use crate::fsx::{self, Lock};
use crate::line;
use std::io;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// Larger than this it is written anew, in octets.
const COMPACT: u64 = 256 << 10;
/// Largest file, in octets.
const LIMIT: u64 = 64 << 20;

/// What an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Commands.
    Commands,
    /// A question to be confirmed: one a day to an address, or others could bury it.
    Confirm,
    /// A post that was refused or held: one a week.
    Post,
}

impl Answer {
    fn word(self) -> &'static str {
        match self {
            Answer::Commands => "commands",
            Answer::Confirm => "confirm",
            Answer::Post => "post",
        }
    }
}

impl List {
    /// True when this address may be answered once more; it is then counted.
    pub fn may_answer(&self, _lock: &Lock, to: &Address, about: Answer, now: Timestamp) -> io::Result<bool> {
        let path = self.spool().join("answers");
        let text = match fsx::read(&path, LIMIT) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let key = to.to_key().to_string();
        let (mut today, mut confirmed, mut posts) = (0, 0, 0);
        let mut young = String::from("# em-answers 1\n");
        for line in line::lines(&text).filter_map(|line| std::str::from_utf8(line).ok()) {
            let Some((at, kind, address)) = parse(line) else { continue };
            let age = now.since(at);
            if age >= WEEK {
                continue;
            }
            young.push_str(line);
            young.push('\n');
            if address != key {
                continue;
            }
            let is_today = age < DAY;
            today += u32::from(is_today);
            confirmed += u32::from(is_today && kind == Answer::Confirm.word());
            posts += u32::from(kind == Answer::Post.word());
        }
        let may = today < self.settings.answers
            && (about != Answer::Confirm || confirmed == 0)
            && (about != Answer::Post || posts == 0);
        if may {
            let mut record = format!("{} {}", now.0, about.word());
            fields::push(&mut record, "to", &key);
            record.push('\n');
            if text.len() as u64 > COMPACT {
                fsx::replace(&path, (young + &record).as_bytes(), 0o600)?;
            } else {
                append(&path, &record)?;
            }
        }
        Ok(may)
    }
}

fn parse(line: &str) -> Option<(Timestamp, &str, String)> {
    let mut words = line.splitn(3, ' ');
    let at = Timestamp(words.next()?.parse().ok()?);
    let kind = words.next()?;
    let pairs = fields::pairs(words.next()?)?;
    let to = pairs.into_iter().find(|(key, _)| key == "to")?.1;
    Some((at, kind, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Site;
    use crate::lists::Lists;
    use crate::settings::{Root, Settings};

    #[test]
    fn nobody_is_answered_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let lists = Lists::of(&Site { root: Root::under(dir.path()), settings: Settings::default() });
        let list = lists.create(&"talk@example.test".parse().unwrap(), &[("answers", "3")]).unwrap();
        let lock = list.lock().unwrap();
        let bob = Address::parse("Bob@b.test").unwrap();
        let mut at = Timestamp::from_seconds(1_000_000);
        let may = |about, at| list.may_answer(&lock, &bob, about, at).unwrap();
        assert!(may(Answer::Confirm, at) && !may(Answer::Confirm, at));
        assert!(may(Answer::Post, at) && !may(Answer::Post, at));
        assert!(may(Answer::Commands, at) && !may(Answer::Commands, at));
        at = at.after(DAY);
        assert!(may(Answer::Confirm, at) && !may(Answer::Post, at) && may(Answer::Commands, at));
        at = at.after(WEEK);
        assert!(may(Answer::Post, at));
    }
}
