//! Spam and virus marks of a message, as `spamtest` and `virustest` see them.
//!
//! Filters in front of us say what they think in a header field; the administrator tells which one and how to read it.
//! RFC 5235.

use regex::Regex;

/// Which field holds a verdict, and how it reads.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// The field.
    pub field: String,
    /// The part of its value that counts: the first group, or the whole match; `None` takes the value as it is.
    pub pattern: Option<Regex>,
    /// How that part reads.
    pub form: Form,
}

/// The form of a verdict.
#[derive(Debug, Clone)]
pub enum Form {
    /// A number, compared with the largest there is.
    Score { most: f64 },
    /// A number, compared with one in another field.
    ScoreOf { most: Box<Verdict> },
    /// As many characters as there are, compared with the most there are.
    Length { most: f64 },
    /// A text of a table, which is numbered.
    Words(Vec<(u8, String)>),
    /// The field is there; the pattern finds something in it when there is something to find.
    Found,
}

impl Default for Form {
    fn default() -> Form {
        Form::Score { most: 10.0 }
    }
}

/// The site's rules; `None` means that no filter marks messages.
#[derive(Debug, Clone, Default)]
pub struct SpamRules {
    /// For `spamtest`.
    pub spam: Option<Verdict>,
    /// For `virustest`.
    pub virus: Option<Verdict>,
}

/// A verdict on a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Score {
    /// 0 is surely none, 1 surely one.
    Part(f64),
    /// A value of the table.
    Fixed(u8),
}

impl Verdict {
    /// Reads the verdict; `field` gives the value of a field. `None` when the message was not tested.
    pub fn read(&self, field: &impl Fn(&str) -> Option<String>) -> Option<Score> {
        if matches!(self.form, Form::Found) {
            let value = field(&self.field)?;
            let is_found = self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&value));
            return Some(Score::Part(if is_found { 1.0 } else { 0.0 }));
        }
        let text = self.text(field)?;
        match &self.form {
            Form::Score { most } => part(number(&text)?, *most),
            Form::ScoreOf { most } => part(number(&text)?, number(&most.text(field)?)?),
            Form::Length { most } => part(text.chars().count() as f64, *most),
            Form::Found => None,
            Form::Words(words) => words.iter().find(|(_, word)| *word == text).map(|(value, _)| Score::Fixed(*value)),
        }
    }

    fn text(&self, field: &impl Fn(&str) -> Option<String>) -> Option<String> {
        let value = field(&self.field)?;
        let Some(pattern) = &self.pattern else { return Some(value.trim().to_string()) };
        let groups = pattern.captures(&value)?;
        groups.get(1).or_else(|| groups.get(0)).map(|found| found.as_str().to_string())
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|n: &f64| n.is_finite())
}

fn part(value: f64, most: f64) -> Option<Score> {
    (most > 0.0).then(|| Score::Part((value / most).clamp(0.0, 1.0)))
}

/// The value of `spamtest`: 0 is untested, 1 clean, 10 spam; with `:percent` 0 to 100 (RFC 5235 §2).
pub fn spam_value(score: Option<Score>, in_percent: bool) -> String {
    let value = match (score, in_percent) {
        (None, _) => 0,
        (Some(Score::Fixed(value)), false) => value.min(10),
        (Some(Score::Fixed(value)), true) => (value.saturating_sub(1)).min(9) * 11 + u8::from(value >= 10),
        (Some(Score::Part(part)), true) => (part * 100.0).round() as u8,
        (Some(Score::Part(part)), false) => 1 + (part * 9.0).floor() as u8,
    };
    value.to_string()
}

/// The value of `virustest`: 0 is untested, 1 clean, 5 infected (RFC 5235 §3).
pub fn virus_value(score: Option<Score>) -> String {
    let value = match score {
        None => 0,
        Some(Score::Fixed(value)) => value.min(5),
        Some(Score::Part(part)) => 1 + (part * 4.0).floor() as u8,
    };
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        let verdict = |form| Verdict {
            field: "X-Spam".to_string(),
            pattern: Some(Regex::new("score=(-?[0-9.]+)").unwrap()),
            form,
        };
        let field = |value: &'static str| move |name: &str| (name == "X-Spam").then(|| value.to_string());
        let ten = verdict(Form::Score { most: 10.0 });
        for (value, spam, percent) in
            [("score=-3", "1", "0"), ("score=5.0", "5", "50"), ("score=22", "10", "100"), ("none", "0", "0")]
        {
            let score = ten.read(&field(value));
            assert_eq!(
                (spam_value(score, false).as_str(), spam_value(score, true).as_str()),
                (spam, percent),
                "{value}"
            );
        }
        let words = Verdict {
            pattern: None,
            form: Form::Words(vec![(1, "Clean".to_string()), (5, "Found".to_string())]),
            ..verdict(Form::default())
        };
        assert_eq!(virus_value(words.read(&field("Found"))), "5");
        assert_eq!(virus_value(words.read(&field("?"))), "0");
        let found = Verdict { pattern: Some(Regex::new("(?i)infected").unwrap()), ..verdict(Form::Found) };
        assert_eq!(virus_value(found.read(&field("Infected: x"))), "5");
        assert_eq!(virus_value(found.read(&field("clean"))), "1");
    }
}
