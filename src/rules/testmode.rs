//! `emsend -bt`: what the rules make of addresses, line by line, in sendmail's form.
//!
//! Pure: a line in, text out; look-ups go to the [`World`]. The prompt and the reading of lines are the caller's.

use super::address::{Role, Target, Verdict, place, unusable};
use super::macros::{Layers, Macros, Values};
use super::map;
use super::meta;
use super::printer::{Printer, REWRITING, first};
use super::read::Rules;
use super::run::{Run, about};
use super::scan::Style;
use super::token::Token;
use super::trace::Trace;
use super::world::{MailHosts, Watch, World, exit};
use super::{dollars, fields, run};

/// What is printed before the first prompt.
pub const BANNER: &str = "ADDRESS TEST MODE (ruleset 3 NOT automatically invoked)\nEnter <ruleset> <address>\n";
/// Printed before each line is read.
pub const PROMPT: &str = "> ";

const HELP: &str = "\
Help for test mode:
?                :this help message.
.Dmvalue         :define macro `m' to `value'.
.Ccvalue         :add `value' to class `c'.
=Sruleset        :dump the contents of the indicated ruleset.
=M               :display the known mailers.
-ddebug-spec     :trace: -d21.12 shows each rule tried, -d21.4 what rules make of the workspace, -d21.0 ends it.
$m               :print the value of macro $m.
$=c              :print the contents of class $=c.
/mx host         :returns the mail hosts for `host'.
/parse address   :parse address, returning the value of crackaddr, and the parsed address.
/sender address  :take the address as the sender of a message.
/try mailer addr :rewrite address into the form it will have when presented to the indicated mailer.
/tryflags flags  :set flags used by parsing: `H' for header or `E' for envelope, and `S' for sender or `R' for recipient.
/gethostbyname h :ask for the addresses of a host; with -d61.10 say what came of it.
/canon hostname  :try to canonify hostname.
/map mapname key :look up `key' in the indicated `mapname'.
/expand string   :expand macros.
/header field    :check a field of a header, `Name: text', by the rule set of its H line.
/quit            :quit address test mode.
rules addr       :run the indicated address through the named rules, a comma separated list of sets.
";

/// The category of look-ups of hosts, and the level at which they are told.
const HOSTS: usize = 61;
const HOSTS_TOLD: u8 = 10;

/// A test session over a file.
pub struct TestMode {
    rules: Rules,
    message: Macros,
    role: Role,
    status: u8,
    trace: Trace,
}

/// What a line came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Text to print.
    Text(Vec<u8>),
    /// The end was asked for.
    Quit,
}

impl TestMode {
    /// A session over these rules.
    pub fn new(rules: Rules) -> TestMode {
        let status = rules.status();
        TestMode { rules, message: Macros::default(), role: Role::default(), status, trace: Trace::default() }
    }

    /// Turns traces on, as a line with `-d` does.
    pub fn trace(&mut self, words: &[u8]) {
        self.trace.set(words);
    }

    /// What the program ends with: what reading the file came to, else the first failure of the session.
    pub fn status(&self) -> u8 {
        if self.status == exit::TEMPORARY { exit::OK } else { self.status }
    }

    /// The rules, as the session's lines have left them.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Answers one line (without its line end).
    pub fn line(&mut self, line: &[u8], world: &mut dyn World) -> Answer {
        let line = line.trim_ascii_start();
        let mut printer = Printer { level: self.trace.level(REWRITING), ..Printer::default() };
        match line.first() {
            None | Some(b'#') => {}
            Some(b'?') => printer.out.extend_from_slice(HELP.as_bytes()),
            Some(b'.') => self.define(line, &mut printer),
            Some(b'=') => self.dump(line, &mut printer),
            Some(b'$') => self.print(line, &mut printer),
            Some(b'-') => match line.get(1) {
                Some(b'd') => self.trace.set(&line[2..]),
                None => printer.line("Usage: -d{debug arguments}"),
                Some(_) => printer.line([b"Unknown \"-\" command ", line].concat()),
            },
            Some(b'/') => {
                let line = line.trim_ascii_end();
                let end = line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
                let rest = line[end..].trim_ascii_start();
                let word = line[1..end].to_ascii_lowercase();
                if word == b"quit" {
                    return Answer::Quit;
                }
                self.command(&word, rest, line, world, &mut printer);
            }
            Some(_) => self.sets(line, world, &mut printer),
        }
        self.status = first(self.status, printer.status);
        Answer::Text(printer.out)
    }

    /// `.Dxvalue` and `.Cxvalue`.
    fn define(&mut self, line: &[u8], printer: &mut Printer) {
        let kind = line.get(1).copied();
        match kind {
            None => return printer.line("Usage: .[DC]macro value(s)"),
            Some(b'D' | b'C') => {}
            Some(_) => return printer.line([b"Unknown \".\" command ", line].concat()),
        }
        if kind == Some(b'C') && line.len() == 2 {
            return;
        }
        let (name, after, fault) = dollars::name(line, 2);
        if let Some(fault) = fault {
            return printer.line(fault);
        }
        let value = line.get(after..).unwrap_or(b"");
        match kind {
            Some(b'D') => self.message.set(&name, value.to_vec()),
            _ => {
                let words = value.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
                words.for_each(|word| self.rules.classes.add(&name, word));
            }
        }
    }

    /// `=Sset` and `=M`.
    fn dump(&mut self, line: &[u8], printer: &mut Printer) {
        match line.get(1) {
            Some(b'S') => {
                let Some(set) = self.set(&line[2..], printer) else { return };
                for rule in self.rules.set(set) {
                    printer.out.push(b'R');
                    for (tokens, end) in [(&rule.left, "\t\t"), (&rule.right, "\n")] {
                        for token in tokens {
                            meta::show(token, &mut printer.out);
                            printer.out.push(b' ');
                        }
                        printer.out.extend_from_slice(end.as_bytes());
                    }
                }
            }
            Some(b'M') => {
                let rules = &self.rules;
                for (number, mailer) in rules.mailers.iter().enumerate() {
                    printer.line(mailer.show(number, &|set| rules.set_name(set).into_owned()));
                }
            }
            None => printer.line("Usage: =Sruleset or =M"),
            Some(_) => printer.line([b"Unknown \"=\" command ", line].concat()),
        }
    }

    /// `$x` and `$=x`.
    fn print(&mut self, line: &[u8], printer: &mut Printer) {
        let is_class = line.get(1) == Some(&b'=');
        let (name, _, fault) = dollars::name(line, if is_class { 2 } else { 1 });
        if let Some(fault) = fault {
            return printer.line(fault);
        }
        if is_class {
            for member in self.rules.classes.members(&name) {
                printer.line(member);
            }
            return;
        }
        let macros = Layers { message: &self.message, file: &self.rules.macros };
        match macros.value(&name) {
            None => printer.line("Undefined"),
            Some(value) => printer.line(meta::shown(value)),
        }
    }

    fn set(&self, text: &[u8], printer: &mut Printer) -> Option<usize> {
        match self.rules.sets.find(text) {
            Ok(set) => Some(set),
            Err(said) => {
                if !said.is_empty() {
                    printer.line(said);
                }
                printer.line([b"Undefined ruleset ", text].concat());
                None
            }
        }
    }

    fn command(&mut self, word: &[u8], rest: &[u8], line: &[u8], world: &mut dyn World, printer: &mut Printer) {
        match word {
            b"" => printer.line("Usage: /[canon|map|mx|parse|try|tryflags]"),
            b"mx" if rest.is_empty() => printer.line("Usage: /mx address"),
            b"mx" => {
                let (said, hosts) = match world.mail_hosts(rest) {
                    MailHosts::Known(hosts) => (format!("{} value(s):", hosts.len()), hosts),
                    MailHosts::Null => ("null MX (See RFC7505)".to_string(), Vec::new()),
                    MailHosts::Unsure => ("-1 value(s):".to_string(), Vec::new()),
                };
                printer.line([b"getmxrr(", rest, b") returns ", said.as_bytes()].concat());
                hosts.iter().for_each(|host| printer.line([b"\t", &host[..]].concat()));
            }
            b"canon" if rest.is_empty() => printer.line("Usage: /canon address"),
            b"canon" => {
                let found = world.canonical(rest).unwrap_or_else(|| rest.to_vec());
                printer.line([b"getcanonname(", rest, b") returns ", &found].concat());
            }
            b"gethostbyname" if rest.is_empty() => printer.line("Usage: /gethostbyname address"),
            b"gethostbyname" => self.host(rest, world, printer),
            b"map" => self.map(rest, world, printer),
            b"parse" if rest.is_empty() => printer.line("Usage: /parse address"),
            b"parse" => self.parse(rest, world, printer),
            b"sender" if rest.is_empty() => printer.line("Usage: /sender address"),
            b"sender" => self.sender(rest, world, printer),
            b"try" => self.attempt(rest, world, printer),
            b"tryflags" if rest.is_empty() => printer.line("Usage: /tryflags [Hh|Ee][Ss|Rr]"),
            b"tryflags" => {
                for flag in rest.to_ascii_lowercase() {
                    match flag {
                        b'h' => self.role.header = true,
                        b'e' => self.role.header = false,
                        b's' => self.role.sender = true,
                        b'r' => self.role.sender = false,
                        _ => {}
                    }
                }
            }
            b"header" => self.header(rest, world, printer),
            b"expand" if rest.is_empty() => printer.line("Usage: /expand string"),
            b"expand" => {
                let macros = Layers { message: &self.message, file: &self.rules.macros };
                printer.out.extend(dollars::expand(rest, &macros));
            }
            _ => printer.line([b"Unknown \"/\" command ", line].concat()),
        }
    }

    /// `/gethostbyname`: like the model's, it speaks only when it is traced.
    fn host(&self, rest: &[u8], world: &mut dyn World, printer: &mut Printer) {
        if self.trace.level(HOSTS) < HOSTS_TOLD {
            return;
        }
        let (name, family) = match rest.iter().position(|b| matches!(b, b' ' | b'\t')) {
            Some(blank) if rest[blank..].trim_ascii_start().eq_ignore_ascii_case(b"inet6") => (&rest[..blank], 10),
            Some(blank) => (&rest[..blank], 2),
            None => (rest, 2),
        };
        let head = [b"sm_gethostbyname(", name, format!(", {family})... ").as_bytes()].concat();
        match world.canonical(name) {
            Some(found) => printer.line([&head[..], &found[..]].concat()),
            None => printer.line([&head[..], b"failure"].concat()),
        }
    }

    fn map(&mut self, rest: &[u8], world: &mut dyn World, printer: &mut Printer) {
        if rest.is_empty() {
            return printer.line("Usage: /map mapname key");
        }
        let Some(blank) = rest.iter().position(u8::is_ascii_whitespace) else {
            return printer.line("No key specified");
        };
        let (name, key) = (&rest[..blank], &rest[blank + 1..]);
        let Some(map) = self.rules.maps.get(name) else {
            return printer.line([b"Map named \"", name, b"\" not found"].concat());
        };
        if !world.is_open(map) {
            return printer.line([b"Map named \"", name, b"\" not open"].concat());
        }
        let mut call = map::Call { rules: &self.rules, message: &mut self.message, world, complaint: None };
        let looked = call.look_up_plainly(map, key, &[]);
        if let Some(complaint) = world.complaint() {
            printer.fails(exit::SYSTEM, complaint.as_bytes());
        }
        let mut text = [b"map_lookup: ", name, b" (", key, b") "].concat();
        if let Some(notice) = world.notice() {
            text.extend([notice.as_bytes(), b"\n"].concat());
        }
        match looked.value {
            Some(value) => text.extend([b"returns ", &value[..], b" (0)"].concat()),
            None => text.extend(format!("no match ({})", looked.status).into_bytes()),
        }
        printer.line(text);
    }

    /// `/header`: a field, before the rule set that checks it.
    fn header(&mut self, field: &[u8], world: &mut dyn World, printer: &mut Printer) {
        let colon = field.iter().position(|b| *b == b':');
        let name = colon.map(|colon| field[..colon].trim_ascii());
        let name = name.filter(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        let (Some(colon), Some(name)) = (colon, name) else {
            printer.line([b"header syntax error, line \"", field, b"\""].concat());
            return printer.line("ul = 00000000");
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let mut run = Run::new(&self.rules, &mut self.message, world, printer);
        if let Some(Verdict::Refused(reply)) = run.check_field(&name, &field[colon + 1..]) {
            printer.fails(reply.status, &reply.text);
        }
        let bits = fields::bits(&name, self.rules.field_check(&name));
        printer.line(format!("ul = {bits:#010x}"));
    }

    fn role_text(&self) -> &'static str {
        match (self.role.header, self.role.sender) {
            (false, false) => "envelope recipient",
            (false, true) => "envelope sender",
            (true, false) => "header recipient",
            (true, true) => "header sender",
        }
    }

    fn parse(&mut self, address: &[u8], world: &mut dyn World, printer: &mut Printer) {
        let role = self.role;
        let parsing = format!("Parsing {} address", self.role_text());
        let mut head = Printer::default();
        let mut run = Run::new(&self.rules, &mut self.message, world, printer);
        head.line([b"Cracked address = ", &meta::shown(&run.cracked(address))[..]].concat());
        head.line(parsing);
        let (target, _) = run.parse(address, role);
        printer.out.splice(0..0, head.out);
        let (mailer, host, user) = match target {
            Target::NoAddress => return printer.line("Cannot parse"),
            Target::Broken => ("*error*", Vec::new(), Vec::new()),
            Target::Refused { host, user, .. } => ("*error*", host, user),
            Target::Mailer { mailer, host, user } => (&self.rules.mailers[mailer].name[..], host, user),
        };
        let mut text = format!("mailer {mailer}").into_bytes();
        if !host.is_empty() {
            text.extend([b", host ", &host[..]].concat());
        }
        text.extend([b", user ", &user[..]].concat());
        printer.line(text);
    }

    /// `/sender`: as the envelope sender of a message is taken.
    fn sender(&mut self, address: &[u8], world: &mut dyn World, printer: &mut Printer) {
        let mut run = Run::new(&self.rules, &mut self.message, world, printer);
        let (target, _) = run.parse(address, Role { header: false, sender: true });
        if let Ok(mut workspace) = run.scan(address) {
            for set in [place::CANONIFY, place::SENDER, place::FINAL] {
                run.rewrite(set, &mut workspace);
            }
        }
        if let Target::Mailer { user, .. } = target {
            printer.line([b"addr=", &user[..]].concat());
        }
    }

    fn attempt(&mut self, rest: &[u8], world: &mut dyn World, printer: &mut Printer) {
        let blank = rest.iter().position(|b| matches!(b, b' ' | b'\t'));
        let Some((name, address)) = blank.map(|at| (&rest[..at], rest[at..].trim_ascii_start())) else {
            return printer.line("Usage: /try mailer address");
        };
        let Some(mailer) = self.rules.mailer(name) else {
            return printer.line([b"Unknown mailer ", name].concat());
        };
        let text = format!("Trying {} address ", self.role_text());
        printer.line([text.as_bytes(), address, b" for mailer ", name].concat());
        let mut run = Run::new(&self.rules, &mut self.message, world, printer);
        let (found, status) = run.address_for(mailer, address, self.role, None);
        printer.line([format!("Rcode = {status}, addr = ").as_bytes(), &found[..]].concat());
    }

    /// `SETS ADDRESSES`: each address through each set.
    fn sets(&mut self, line: &[u8], world: &mut dyn World, printer: &mut Printer) {
        let Some(blank) = line.iter().position(u8::is_ascii_whitespace) else {
            return printer.line("No address!");
        };
        let (sets, addresses) = (&line[..blank], &line[blank + 1..]);
        if let Some(fault) = unusable(addresses) {
            return printer.line(fault);
        }
        let mut at = 0;
        while at <= addresses.len() {
            let address = &addresses[at..];
            let style = if self.rules.level >= 9 { Style::Typed } else { Style::Mail };
            match self.rules.alphabet().scan(address, b',', style) {
                Err(error) => {
                    printer.said(&about(address, error.to_string()));
                    return;
                }
                Ok(found) => {
                    for complaint in found.complaints {
                        printer.said(&about(address, complaint));
                    }
                    at += found.end + 1;
                    if !found.tokens.is_empty() {
                        self.through(sets, found.tokens, world, printer);
                    }
                }
            }
        }
    }

    fn through(&mut self, sets: &[u8], tokens: Vec<Token>, world: &mut dyn World, printer: &mut Printer) {
        let mut workspace = tokens;
        let mut rest = sets;
        while !rest.is_empty() {
            let Some(set) = self.set(rest, printer) else { return };
            let mut run = run::Run::new(&self.rules, &mut self.message, world, printer);
            let status = run.rewrite(set, &mut workspace);
            if status != exit::OK {
                let shown = String::from_utf8_lossy(rest).into_owned();
                printer.line(format!("== Ruleset {shown} ({set}) status {status}"));
            }
            rest = match rest.iter().position(|b| *b == b',') {
                Some(comma) => &rest[comma + 1..],
                None => b"",
            };
        }
    }
}
