//! Mailer definitions: the M line.

use super::meta;
use super::said::munched;
use std::collections::BTreeSet;

/// Most mailers of a file.
pub const MAILER_LIMIT: usize = 25;
/// Line limit that flag `L` gives, in octets.
const SMTP_LINE: i64 = 990;

/// Which rule set a side of a mailer names: on the envelope and in headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// For envelope addresses; 0 for none.
    pub envelope: usize,
    /// For header addresses; 0 for none.
    pub header: usize,
}

/// An agent that delivers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailer {
    /// Its name.
    pub name: String,
    /// P=: path of the program, `[IPC]` or `[FILE]`.
    pub path: Vec<u8>,
    /// F=: flags.
    pub flags: BTreeSet<u8>,
    /// S=: rule sets for senders.
    pub sender: Sets,
    /// R=: rule sets for recipients.
    pub recipient: Sets,
    /// A=: arguments, unexpanded.
    pub arguments: Vec<Vec<u8>>,
    /// E=: line end.
    pub line_end: Vec<u8>,
    /// L=: longest line, in octets; 0 without limit.
    pub line_limit: i64,
    /// M=: largest message, in octets; 0 without limit.
    pub size_limit: i64,
    /// r=: most recipients of one transaction.
    pub recipients_limit: i64,
    /// m=: most messages of one connection; 0 without limit.
    pub messages_limit: i64,
    /// U=: user, as written (`name`, `name:group`, numbers).
    pub user: Vec<u8>,
    /// D=: folders to run in.
    pub folder: Vec<u8>,
    /// N=: added to the process's niceness.
    pub nice: i64,
    /// C=: character set of unlabelled 8-bit text.
    pub charset: Vec<u8>,
    /// T=: types of MTA names, addresses and diagnostics for notifications.
    pub types: Option<[String; 3]>,
    /// W=: how long to wait for the program's end, as written.
    pub wait: Vec<u8>,
    /// Q=: queue group.
    pub queue_group: Vec<u8>,
    /// /=: root folder.
    pub root: Vec<u8>,
    /// Line of the file, from 1; 0 for those built in.
    pub line: usize,
}

/// What is wrong with an M line: the piece and the words.
pub type Wrong = (Vec<u8>, String);

impl Mailer {
    /// True when the flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags.contains(&flag)
    }

    /// Reads an M line behind the M; `set` gives the number of a rule set's name.
    pub fn read(
        text: &[u8],
        line: usize,
        level: u32,
        set: &mut dyn FnMut(&[u8]) -> Result<usize, String>,
    ) -> (Option<Mailer>, Vec<Wrong>) {
        let length = text.iter().position(|b| *b == b',' || b.is_ascii_whitespace()).unwrap_or(text.len());
        let name = String::from_utf8_lossy(&text[..length]).into_owned();
        if name.is_empty() {
            return (None, vec![(Vec::new(), "name required for mailer".to_string())]);
        }
        let mut mailer = Mailer { name, line, recipients_limit: 100, ..Mailer::default() };
        let mut wrong = Vec::new();
        let mut rest = &text[length..];
        loop {
            let skip = rest.iter().take_while(|b| **b == b',' || b.is_ascii_whitespace()).count();
            rest = &rest[skip..];
            let Some(&code) = rest.first() else { break };
            let end = rest.iter().position(|b| *b == b'=' || *b == b',');
            let Some(end) = end.filter(|end| rest[*end] == b'=') else {
                wrong.push((rest.to_vec(), format!("mailer {}: `=' expected", mailer.name)));
                return (None, wrong);
            };
            let (body, length) = munched(rest[end + 1..].trim_ascii_start(), Some(b','));
            let blanks = rest[end + 1..].len() - rest[end + 1..].trim_ascii_start().len();
            rest = &rest[end + 1 + blanks + length..];
            if let Err(text) = mailer.equate(code, &body, set) {
                let fatal = matches!(code, b'S' | b'R');
                wrong.push((vec![code, b'='], text));
                if fatal {
                    return (None, wrong);
                }
            }
        }
        match mailer.finish(level, &mut wrong) {
            true => (Some(mailer), wrong),
            false => (None, wrong),
        }
    }

    fn equate(
        &mut self,
        code: u8,
        body: &[u8],
        set: &mut dyn FnMut(&[u8]) -> Result<usize, String>,
    ) -> Result<(), String> {
        let number = || String::from_utf8_lossy(body).trim().parse::<i64>().unwrap_or(0);
        match code {
            b'P' => self.path = body.to_vec(),
            b'F' => self.flags.extend(body.iter().filter(|b| !b.is_ascii_whitespace())),
            b'S' | b'R' => {
                let mut parts = body.splitn(2, |b| *b == b'/');
                let envelope = set(parts.next().unwrap_or(b""))?;
                let header = parts.next().map_or(Ok(envelope), set)?;
                let sets = Sets { envelope, header };
                *(if code == b'S' { &mut self.sender } else { &mut self.recipient }) = sets;
            }
            b'A' => {
                self.arguments =
                    body.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).map(<[u8]>::to_vec).collect()
            }
            b'E' => self.line_end = body.to_vec(),
            b'L' => self.line_limit = number().max(0),
            b'M' => self.size_limit = number(),
            b'r' => self.recipients_limit = number(),
            b'm' => self.messages_limit = number(),
            b'U' => self.user = body.to_vec(),
            b'D' => self.folder = body.to_vec(),
            b'N' => self.nice = number(),
            b'C' => self.charset = body.to_vec(),
            b'W' => self.wait = body.to_vec(),
            b'Q' => self.queue_group = body.to_vec(),
            b'/' => self.root = body.to_vec(),
            b'T' => {
                let text = String::from_utf8_lossy(body).into_owned();
                let mut parts = text.splitn(3, '/');
                let mut part = |default: &str| parts.next().filter(|p| !p.is_empty()).unwrap_or(default).to_string();
                self.types = Some([part("dns"), part("rfc822"), part("smtp")]);
            }
            _ => return Err(format!("M{}: unknown mailer equate {}=", self.name, char::from(code))),
        }
        Ok(())
    }

    /// Checks what is there and fills in what is not; false when there is nothing to work with.
    fn finish(&mut self, level: u32, wrong: &mut Vec<Wrong>) -> bool {
        let name = self.name.clone();
        let mut say = |text: String| wrong.push((Vec::new(), text));
        if self.arguments.is_empty() {
            say(format!("M{name}: A= argument required"));
            return false;
        }
        if self.path.is_empty() {
            say(format!("M{name}: P= argument required"));
            return false;
        }
        if self.has(b'L') {
            self.line_limit = if self.line_limit == 0 { SMTP_LINE } else { self.line_limit };
            if level < 2 {
                self.flags.insert(b'7');
            }
        }
        match &self.path[..] {
            b"[TCP]" => say(format!("M{name}: P=[TCP] must be replaced by P=[IPC]")),
            b"[IPC]" if self.arguments.len() < 2 => {
                say(format!("M{name}: too few parameters for [IPC] mailer"));
            }
            b"[FILE]" if self.arguments.len() != 2 => {
                let amount = if self.arguments.len() < 2 { "few" } else { "many" };
                say(format!("M{name}: too {amount} parameters for [FILE] mailer"));
            }
            _ => {}
        }
        if self.path == b"[IPC]" && self.types.is_none() {
            let diagnostics = if self.arguments[0] == b"FILE" { "x-unix" } else { "smtp" };
            self.types = Some(["dns", "rfc822", diagnostics].map(str::to_string));
        }
        if self.line_end.is_empty() {
            let names_user = self.arguments.iter().any(|a| a.windows(2).any(|w| w == [meta::MACRO, b'u']));
            self.line_end = if names_user { b"\n".to_vec() } else { b"\r\n".to_vec() };
        }
        true
    }

    /// One line as `=M` of `emsend -bt` prints it; `set` gives a rule set's name.
    pub fn show(&self, number: usize, set: &dyn Fn(usize) -> String) -> Vec<u8> {
        let mut out = format!("mailer {number} ({}): P=", self.name).into_bytes();
        out.extend_from_slice(&self.path);
        let (s, r) = (self.sender, self.recipient);
        let sets = [s.envelope, s.header, r.envelope, r.header].map(set);
        let (user, group) = self.ids();
        let text =
            format!(" S={}/{} R={}/{} M={} U={user}:{group} F=", sets[0], sets[1], sets[2], sets[3], self.size_limit);
        out.extend(text.into_bytes());
        out.extend(self.flags.iter());
        out.extend(format!(" L={} E=", self.line_limit).into_bytes());
        meta::show(&self.line_end, &mut out);
        if !self.charset.is_empty() {
            out.extend([b" C=", &self.charset[..]].concat());
        }
        let types = self.types.as_ref().map_or(["<undefined>"; 3], |types| [&types[0], &types[1], &types[2]]);
        out.extend(format!(" T={} r={} A=", types.join("/"), self.recipients_limit).into_bytes());
        for (index, argument) in self.arguments.iter().enumerate() {
            if index > 0 {
                out.push(b' ');
            }
            meta::show(argument, &mut out);
        }
        out
    }

    /// U= where it is numbers; -1 where it is not.
    fn ids(&self) -> (i64, i64) {
        let text = String::from_utf8_lossy(&self.user).into_owned();
        let mut parts = text.split([':', '.']).map(|part| part.trim().parse().unwrap_or(-1));
        (parts.next().unwrap_or(-1), parts.next().unwrap_or(-1))
    }
}

/// The mailers that are there without a line of the file.
pub fn built_in() -> Vec<Mailer> {
    let shape = |name: &str, path: &str, flags: &[u8], first: &[&str], types: bool| {
        let mut arguments: Vec<Vec<u8>> = first.iter().map(|a| a.as_bytes().to_vec()).collect();
        arguments.push(vec![meta::MACRO, b'u']);
        Mailer {
            name: name.to_string(),
            path: path.as_bytes().to_vec(),
            flags: flags.iter().copied().collect(),
            arguments,
            line_end: b"\n".to_vec(),
            recipients_limit: 100,
            types: types.then(|| ["X-Unix"; 3].map(str::to_string)),
            ..Mailer::default()
        }
    };
    vec![
        shape("prog", "/bin/sh", b"lsouDq9", &["sh", "-c"], true),
        shape("*file*", "[FILE]", b"lsDFMPEouq9", &["FILE"], true),
        shape("*include*", "/dev/null", b"su", &["INCLUDE"], false),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> (Option<Mailer>, Vec<Wrong>) {
        Mailer::read(text, 1, 10, &mut |name| {
            String::from_utf8_lossy(name).parse().map_err(|_| "no number".to_string())
        })
    }

    #[test]
    fn a_whole_mailer_is_read_and_shown() {
        let (mailer, wrong) =
            read(b"nn, P=[IPC], F=mL, S=1/2, R=3, E=\\r\\n, M=1000, U=1:2, r=5, C=utf-8, A=TCP \x81h");
        assert!(wrong.is_empty());
        let shown = mailer.unwrap().show(4, &|n| n.to_string());
        let expected = "mailer 4 (nn): P=[IPC] S=1/2 R=3/3 M=1000 U=1:2 F=Lm L=990 E=\\r\\n C=utf-8 T=dns/rfc822/smtp r=5 A=TCP $h";
        assert_eq!(String::from_utf8(shown).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_said_in_the_models_words() {
        for (text, said) in [
            ("", "name required for mailer"),
            ("foo, P=/x", "Mfoo: A= argument required"),
            ("foo, A=x", "Mfoo: P= argument required"),
            ("foo, Z=1, P=/x, A=x", "Mfoo: unknown mailer equate Z="),
            ("foo, P", "mailer foo: `=' expected"),
            ("foo, P=[IPC], A=TCP", "Mfoo: too few parameters for [IPC] mailer"),
        ] {
            assert_eq!(read(text.as_bytes()).1[0].1, said, "{text}");
        }
    }
}
