//! The texts of HELP where a sendmail.cf names a file with them (HelpFile).
//!
//! Read by `cli` when a service starts. A line is a topic, a blank or a tab, and the text; a line with `#` in front is a comment, but for
//! `#vers`: from 2 on the texts hold macros. HELP without a word asks for topic `smtp`.
//! What a client asks for is the beginning of lines, in any case: `HELP no` shows `noop`.

use crate::status::{Enhanced, Reply};

/// The topic of a HELP without a word.
const USUAL: &str = "smtp";
/// The first version of the form that has macros.
const WITH_MACROS: u32 = 2;

/// The texts of a file, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Help {
    /// Our name and version, parted by a blank.
    program: String,
    /// Whole lines, as they begin, with the texts as they are shown; `None` when the file can't be read.
    lines: Option<Vec<(String, String)>>,
    /// The file is of the old form: it is told which program this is.
    is_old: bool,
}

impl Help {
    /// Reads the file's text; `expanded` puts values in the place of macros.
    pub fn read(text: &str, program: &str, expanded: &dyn Fn(&str) -> String) -> Help {
        let mut version = 0;
        let mut lines = Vec::new();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix('#') {
                let number = comment.strip_prefix("vers").and_then(|number| number.trim().parse().ok());
                version = number.unwrap_or(version);
                continue;
            }
            let shown = line.split_once([' ', '\t']).map_or("", |(_, shown)| shown);
            let shown = if version < WITH_MACROS { shown.to_string() } else { expanded(shown) };
            lines.push((line.to_string(), shown));
        }
        Help { program: program.to_string(), lines: Some(lines), is_old: version < WITH_MACROS }
    }

    /// What there is without a file.
    pub fn missing(program: &str) -> Help {
        Help { program: program.to_string(), lines: None, is_old: false }
    }

    /// The answer to HELP with this word.
    pub(super) fn reply(&self, topic: &str) -> Reply {
        let Some(lines) = &self.lines else {
            return Reply::new(502, Enhanced(5, 3, 0), format!("{} -- HELP not implemented", self.program));
        };
        let asked = if topic.is_empty() { USUAL } else { topic };
        let is_it = |line: &str| line.get(..asked.len()).is_some_and(|start| start.eq_ignore_ascii_case(asked));
        let mut shown: Vec<String> =
            lines.iter().filter(|(line, _)| is_it(line)).map(|(_, text)| text.clone()).collect();
        if shown.is_empty() {
            let asked: String = asked.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            return Reply::new(504, Enhanced(5, 3, 0), format!("HELP topic \"{asked}\" unknown"));
        }
        if self.is_old && topic.is_empty() {
            let (name, version) = self.program.split_once(' ').unwrap_or((&self.program, ""));
            shown.insert(0, format!("This is {name} version {version}"));
        }
        shown.push("End of HELP info".to_string());
        Reply { code: 214, enhanced: Some(Enhanced(2, 0, 0)), lines: shown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#vers\t2\ncpyr\tnothing\nsmtp\tThis is $j\nsmtp\t    HELO\nnoop\tNOOP\nbare\n";

    fn said(help: &Help, topic: &str) -> (u16, String) {
        let reply = help.reply(topic);
        (reply.code, reply.lines.join("|"))
    }

    #[test]
    fn topics_are_shown_as_sendmail_shows_them() {
        let help = Help::read(TEXT, "Us 1.0", &|text| text.replace("$j", "mail.example.com"));
        for (topic, code, lines) in [
            ("", 214, "This is mail.example.com|    HELO|End of HELP info"),
            ("no", 214, "NOOP|End of HELP info"),
            ("NOOP", 214, "NOOP|End of HELP info"),
            ("bare", 214, "|End of HELP info"),
            ("foo\u{7}", 504, "HELP topic \"foo?\" unknown"),
            ("noop x", 504, "HELP topic \"noop x\" unknown"),
        ] {
            assert_eq!(said(&help, topic), (code, lines.to_string()), "{topic:?}");
        }
    }

    #[test]
    fn an_old_file_has_no_macros_and_a_missing_one_no_topics() {
        let old = Help::read(TEXT.strip_prefix("#vers\t2\n").unwrap(), "Us 1.0", &|_| "expanded".to_string());
        let shown = "This is Us version 1.0|This is $j|    HELO|End of HELP info";
        assert_eq!(said(&old, ""), (214, shown.to_string()));
        assert_eq!(said(&old, "noop"), (214, "NOOP|End of HELP info".to_string()));
        assert_eq!(said(&Help::missing("Us 1.0"), "noop"), (502, "Us 1.0 -- HELP not implemented".to_string()));
    }
}
