//! The texts that a list sends: built in, in English and Japanese, or the list's own in `NAME.txt` beside its settings.
//!
//! Called by `list`. A text begins with its subject, `Subject: …`, an empty line, and the body. Words in braces are filled in:
//! `{list}` (its address), `{name}`, `{description}`, `{control}`, `{owner}`, `{address}` (whom it is about), `{confirm}` (where to
//! answer), `{token}`, `{reason}`, `{lost}` (numbers of posts), `{left}` (warnings), `{subject}`, `{command}`. Other words in braces stay as they are.
//! Trust: the files are the administrator's; what is filled in came from the network and has lost its control characters.

mod english;
mod japanese;

use super::List;
use super::settings::Language;
use crate::fsx;
use std::collections::BTreeMap;
use std::io;

/// Largest text file, in octets.
const LIMIT: u64 = 256 << 10;

/// One text with its place in the languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// The answer to `# help`.
    Help,
    /// To a new member.
    Welcome,
    /// To somebody who has left.
    Goodbye,
    /// Will you become a member?
    ConfirmSubscribe,
    /// Will you leave?
    ConfirmUnsubscribe,
    /// To the owners: somebody asks to become a member.
    Approve,
    /// To him, when they say no.
    Declined,
    /// To the moderators: a post waits.
    Moderate,
    /// To its author: it waits.
    Held,
    /// To the author: it was refused.
    Refused,
    /// To the owners: somebody came.
    Came,
    /// To the owners: somebody left.
    Left,
    /// To a member who was switched off because his mail comes back.
    BounceWarning,
    /// To the owners: he was.
    BounceOff,
    /// To the owners: he was taken out.
    BounceOut,
    /// To the owners: he called a post spam, and was taken out.
    Complained,
    /// Before the answers to commands.
    Results,
    /// Below each post; empty unless the list has its own.
    Footer,
}

impl Text {
    /// All of them.
    pub const ALL: [Text; 18] = [
        Text::Help,
        Text::Welcome,
        Text::Goodbye,
        Text::ConfirmSubscribe,
        Text::ConfirmUnsubscribe,
        Text::Approve,
        Text::Declined,
        Text::Moderate,
        Text::Held,
        Text::Refused,
        Text::Came,
        Text::Left,
        Text::BounceWarning,
        Text::BounceOff,
        Text::BounceOut,
        Text::Complained,
        Text::Results,
        Text::Footer,
    ];

    /// The name of its file, without `.txt`.
    pub fn name(self) -> &'static str {
        match self {
            Text::Help => "help",
            Text::Welcome => "welcome",
            Text::Goodbye => "goodbye",
            Text::ConfirmSubscribe => "confirm-subscribe",
            Text::ConfirmUnsubscribe => "confirm-unsubscribe",
            Text::Approve => "approve",
            Text::Declined => "declined",
            Text::Moderate => "moderate",
            Text::Held => "held",
            Text::Refused => "refused",
            Text::Came => "came",
            Text::Left => "left",
            Text::BounceWarning => "bounce-warning",
            Text::BounceOff => "bounce-off",
            Text::BounceOut => "bounce-out",
            Text::Complained => "complained",
            Text::Results => "results",
            Text::Footer => "footer",
        }
    }

    /// The built-in text.
    pub fn built_in(self, language: Language) -> &'static str {
        match language {
            Language::English => english::text(self),
            Language::Japanese => japanese::text(self),
        }
    }
}

/// A text with all filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// Its subject.
    pub subject: String,
    /// Its body, with LF line ends.
    pub body: String,
}

impl List {
    /// A text, filled in with these words and the list's own.
    pub fn text(&self, text: Text, words: &[(&str, &str)]) -> io::Result<Filled> {
        let own = match fsx::read(&self.etc().join(format!("{}.txt", text.name())), LIMIT) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            other => Some(String::from_utf8_lossy(&other?).replace("\r\n", "\n")),
        };
        let template = own.as_deref().unwrap_or_else(|| text.built_in(self.settings.language));
        let mut all: BTreeMap<&str, String> = BTreeMap::new();
        all.insert("list", self.name.to_string());
        all.insert("name", self.name.name().to_string());
        all.insert("control", self.name.role("control").to_string());
        all.insert("owner", self.name.role("owner").to_string());
        let description = &self.settings.description;
        all.insert("description", if description.is_empty() { self.name.name() } else { description }.to_string());
        for (word, value) in words {
            all.insert(word, value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect());
        }
        let filled = fill(template, &all);
        let (subject, body) = match filled.strip_prefix("Subject:").and_then(|rest| rest.split_once('\n')) {
            Some((subject, body)) => (subject.trim().to_string(), body.strip_prefix('\n').unwrap_or(body).to_string()),
            None => (format!("{}: {}", self.name.name(), text.name()), filled),
        };
        Ok(Filled { subject, body })
    }
}

/// Fills in the words in braces; what was filled in is not looked at again.
fn fill(template: &str, words: &BTreeMap<&str, String>) -> String {
    let mut out = String::with_capacity(template.len() + 200);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let word = rest[1..].split_once('}').and_then(|(word, behind)| Some((words.get(word)?, behind)));
        match word {
            Some((value, behind)) => {
                out.push_str(value);
                rest = behind;
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_filled_in_once() {
        let words = BTreeMap::from([("a", "{b}".to_string()), ("b", "x".to_string())]);
        assert_eq!(fill("{a} {b} {c} { {b", &words), "{b} x {c} { {b");
    }

    #[test]
    fn every_text_is_there_in_every_language() {
        let known = "list name description control owner address confirm token reason subject command lost left";
        for text in Text::ALL.into_iter().filter(|text| *text != Text::Footer) {
            for language in [Language::English, Language::Japanese] {
                let template = text.built_in(language);
                assert!(template.starts_with("Subject: ") && template.contains("\n\n"), "{text:?} {language:?}");
                for word in template.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                    assert!(known.split(' ').any(|k| k == word), "{text:?} {language:?}: {{{word}}}");
                }
                // Lists in ISO-2022-JP can say it.
                assert!(crate::msg::encode::Charset::Iso2022Jp.encode(template).is_some(), "{text:?} {language:?}");
            }
        }
    }
}
