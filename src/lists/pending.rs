//! Questions that wait for an answer by mail: one file each, `pending/TOKEN`.
//!
//! Called by `list`. Who knows the token was sent it, or stands beside him: so a token is 128 random bits, is good for one action on
//! one address, once, and for seven days. Format: one line of words (see `fields`), first `em-pending-1`.
//! The file goes after the action was done: cut short in between, the same answer does it again, which changes nothing.

use super::List;
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::fields;
use crate::fsx::{self, Lock};
use crate::spool::Id;
use std::io;
use std::time::Duration;

/// Characters of a token: 128 bits.
pub const TOKEN_LENGTH: usize = 26;
/// How long a question waits.
pub const PATIENCE: Duration = Duration::from_secs(7 * 86_400);
/// Largest file, in octets.
const LIMIT: u64 = 16 << 10;
/// Letters and digits that nobody takes for others.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What an answer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Makes the address a member.
    Subscribe,
    /// Takes it out.
    Unsubscribe,
    /// An owner lets it become a member.
    Admit,
    /// An owner does not.
    Refuse,
    /// A moderator lets a held post pass.
    Pass,
    /// A moderator sends it back.
    Reject,
    /// A moderator drops it.
    Drop,
}

impl Action {
    const ALL: [(Action, &'static str); 7] = [
        (Action::Subscribe, "subscribe"),
        (Action::Unsubscribe, "unsubscribe"),
        (Action::Admit, "admit"),
        (Action::Refuse, "refuse"),
        (Action::Pass, "pass"),
        (Action::Reject, "reject"),
        (Action::Drop, "drop"),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Action::ALL.iter().find(|(action, _)| *action == self).map_or("", |(_, word)| word)
    }
}

/// A question that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What its answer does.
    pub action: Action,
    /// To whom.
    pub address: Address,
    /// The name that he gave; may be empty.
    pub name: String,
    /// The held post that it is about.
    pub held: Option<Id>,
    /// When it was asked.
    pub made: Timestamp,
}

impl Question {
    fn print(&self) -> String {
        let mut line = String::from("em-pending-1");
        fields::push(&mut line, "action", self.action.word());
        fields::push(&mut line, "address", &self.address.to_string());
        fields::push(&mut line, "made", &self.made.0.to_string());
        if !self.name.is_empty() {
            fields::push(&mut line, "name", &self.name);
        }
        if let Some(held) = &self.held {
            fields::push(&mut line, "held", held.as_str());
        }
        line.push('\n');
        line
    }

    fn parse(text: &str) -> Option<Question> {
        let pairs = fields::pairs(text.lines().next()?.strip_prefix("em-pending-1")?)?;
        let field = |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        let action = field("action")?;
        Some(Question {
            action: Action::ALL.iter().find(|(_, word)| *word == action)?.0,
            address: Address::parse(field("address")?).ok()?,
            name: field("name").unwrap_or_default().to_string(),
            held: field("held").and_then(Id::parse),
            made: Timestamp(field("made")?.parse().ok()?),
        })
    }
}

impl List {
    /// Asks a question; its token, when it is durable.
    pub fn ask(&self, _lock: &Lock, question: &Question) -> io::Result<String> {
        let token = token()?;
        let folder = self.spool().join("pending");
        fsx::create_dirs(&folder, 0o700)?;
        fsx::replace(&folder.join(&token), question.print().as_bytes(), 0o600)?;
        Ok(token)
    }

    /// The question behind a token; `None` when there is none, or it has waited too long.
    pub fn question(&self, token: &str, now: Timestamp) -> io::Result<Option<Question>> {
        // Nothing else than a token becomes a path.
        let is_token = token.len() == TOKEN_LENGTH && token.bytes().all(|b| ALPHABET.contains(&b));
        if !is_token {
            return Ok(None);
        }
        match fsx::read(&self.spool().join("pending").join(token), LIMIT) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
            Ok(bytes) => {
                let question = std::str::from_utf8(&bytes).ok().and_then(Question::parse);
                Ok(question.filter(|question| now.since(question.made) < PATIENCE))
            }
        }
    }

    /// Forgets a question: it was answered.
    pub fn answered(&self, _lock: &Lock, token: &str) -> io::Result<()> {
        let folder = self.spool().join("pending");
        fsx::remove(&folder.join(token))?;
        fsx::sync_dir(&folder)
    }

    /// All questions with their tokens, oldest first; what can't be read is left out.
    pub fn questions(&self) -> io::Result<Vec<(String, Question)>> {
        let folder = self.spool().join("pending");
        let mut found = Vec::new();
        let mut tokens = Vec::new();
        match fsx::each_name(&folder, |name| tokens.extend(name.to_str().map(str::to_string))) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
            other => other?,
        }
        for token in tokens {
            let text = fsx::read(&folder.join(&token), LIMIT).unwrap_or_default();
            found.extend(std::str::from_utf8(&text).ok().and_then(Question::parse).map(|question| (token, question)));
        }
        found.sort_by_key(|(_, question)| question.made);
        Ok(found)
    }

    /// Removes questions that have waited too long, and those about this held post.
    pub fn sweep_questions(&self, lock: &Lock, about: Option<&Id>, now: Timestamp) -> io::Result<usize> {
        let mut count = 0;
        for (token, question) in self.questions()? {
            let is_about = about.is_some() && question.held.as_ref() == about;
            if is_about || now.since(question.made) >= PATIENCE {
                self.answered(lock, &token)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

/// 128 random bits as text.
fn token() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    let mut number = u128::from_le_bytes(bytes);
    let mut text = String::with_capacity(TOKEN_LENGTH);
    for _ in 0..TOKEN_LENGTH {
        text.push(char::from(ALPHABET[(number & 31) as usize]));
        number >>= 5;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_back_and_tokens_differ() {
        let question = Question {
            action: Action::Pass,
            address: Address::parse("\"a b\"@x.test").unwrap(),
            name: "山田 x=y".into(),
            held: Some(Id::new(Timestamp(5))),
            made: Timestamp(7),
        };
        assert_eq!(Question::parse(&question.print()), Some(question));
        let (one, two) = (token().unwrap(), token().unwrap());
        assert!(one != two && one.len() == TOKEN_LENGTH);
        for (action, word) in Action::ALL {
            assert_eq!(action.word(), word);
        }
    }
}
