//! A whole command is run: by the machine itself, or by the service.

use super::ask::{Ask, Refusal, Request};
use super::command::{Command, SortCriterion};
use super::commands::{Own, Parse, Reader};
use super::current::Current;
use super::extension::Extension;
use super::key::Source;
use super::response::{self, Code, Status};
use super::scan::{Parsed, Scan};
use super::server::{After, ImapSession, Phase, Wait};

impl ImapSession {
    /// The command is whole.
    pub(super) fn run(&mut self, mut current: Box<Current>) {
        let (Some(row), Some(tag)) = (current.row, current.tag.take()) else { return };
        let Reader::Whole(read) = row.reader else { return };
        let mut scan = Scan::new(&current.pieces, &self.config, self.enabled);
        let parsed = read(&mut scan).and_then(|parse| scan.end().map(|()| parse)).and_then(|parse| self.check(parse));
        drop(current);
        match parsed {
            Ok(Parse::Own(own)) => self.run_own(tag, own),
            Ok(Parse::Run(Command::Noop)) if self.phase == Phase::NotAuthenticated => self.ok(&tag, "done"),
            Ok(Parse::Run(command)) => self.run_data(tag, command),
            Err(refusal) => self.refuse(Some(&tag), &refusal),
        }
    }

    /// What the grammar alone does not say.
    fn check(&self, parse: Parse) -> Parsed<Parse> {
        if let Parse::Run(command) = &parse {
            // RFC 9586 §3.
            if self.enabled.has(Extension::UidOnly) && command.uses_sequence_numbers() {
                return Err(Refusal::bad("no sequence numbers").with_code(Code::UidRequired));
            }
            // RFC 6203 §4 and §6.
            let (key, returns, is_by_relevancy) = match command {
                Command::Search(search) => (Some(&search.key), search.returns.as_ref(), false),
                Command::Sort(sort) => {
                    let by = sort.criteria.iter().any(|(by, _)| *by == SortCriterion::Relevancy);
                    (Some(&sort.key), sort.returns.as_ref(), by)
                }
                _ => (None, None, false),
            };
            let is_scored = is_by_relevancy || returns.is_some_and(|returns| returns.relevancy);
            if is_scored && key.is_some_and(|key| !key.has_fuzzy()) {
                return Err(Refusal::bad("RELEVANCY needs FUZZY"));
            }
            if let Command::Search(search) = command {
                // RFC 7377 §2.2.
                let is_only_here = search.sources.iter().all(|source| *source == Source::Selected);
                let saves = search.returns.as_ref().is_some_and(|returns| returns.save);
                if search.sources.contains(&Source::SelectedDelayed) || (saves && !is_only_here) {
                    return Err(Refusal::bad("not with these mailboxes"));
                }
                let is_here = |source: &Source| matches!(source, Source::Selected | Source::SelectedDelayed);
                let needs_mailbox = search.sources.is_empty() || search.sources.iter().any(is_here);
                if needs_mailbox && self.phase != Phase::Selected {
                    return Err(Refusal::bad("no mailbox is selected"));
                }
            }
        }
        Ok(parse)
    }

    fn run_data(&mut self, tag: Box<str>, command: Command) {
        if command.enables_condstore() {
            self.enabled = self.enabled.with(Extension::Condstore);
        }
        let after = match &command {
            Command::Notify(notify) => After::Notify(notify.is_some()),
            _ => After::Nothing,
        };
        let request = Request { tag: tag.clone(), enabled: self.enabled, command };
        self.ask(Ask::Run(Box::new(request)), Wait::Run(tag, after));
    }

    fn run_own(&mut self, tag: Box<str>, own: Own) {
        match own {
            Own::Capability => {
                let capabilities = self.capabilities();
                response::capability(&mut self.out, &capabilities);
                self.ok(&tag, "done");
            }
            Own::Logout => {
                response::untagged(&mut self.out, Status::Bye, None, "logging out");
                self.ok(&tag, "bye");
                self.is_closing = true;
            }
            Own::Id(fields) => self.ask(Ask::Id(fields), Wait::Id(tag)),
            Own::Language(ranges) => self.language(&tag, &ranges),
            Own::StartTls if self.tls.is_some() => self.refuse(Some(&tag), &Refusal::bad("TLS is on")),
            Own::StartTls if !self.config.starttls => {
                self.refuse(Some(&tag), &Refusal::bad("STARTTLS is not offered"));
            }
            Own::StartTls => {
                self.ok(&tag, "begin TLS");
                self.starts_tls = true;
            }
            Own::Login { user, password } => self.login(tag, user, password),
            Own::Authenticate { mechanism, initial } => self.authenticate(tag, &mechanism, initial.as_deref()),
            Own::Enable(wanted) => {
                let new = wanted.minus(self.enabled);
                response::enabled(&mut self.out, new);
                self.enabled = self.enabled.union(new);
                match new.is_empty() {
                    true => self.ok(&tag, "done"),
                    false => self.run_data(tag, Command::Enable(new)),
                }
            }
            Own::Compress(by) if by != "DEFLATE" => {
                self.refuse(Some(&tag), &Refusal::bad("this compression is not known"));
            }
            // RFC 4978 §3.
            Own::Compress(_) if self.is_compressed => self.refuse(Some(&tag), &Refusal::bad("DEFLATE is on")),
            Own::Compress(_) => {
                self.ok(&tag, "begin DEFLATE");
                self.starts_compressing = true;
            }
            Own::Idle => self.ask(Ask::IdleStart, Wait::IdleStart(tag)),
            Own::Unauthenticate => self.ask(Ask::Unauthenticate, Wait::Unauthenticate(tag)),
        }
    }

    /// RFC 5255 §3: texts are in English, which is what `i-default` means here.
    fn language(&mut self, tag: &str, ranges: &[String]) {
        let is_known = |range: &String| ["*", "en", "i-default"].iter().any(|known| range.eq_ignore_ascii_case(known));
        if ranges.is_empty() {
            response::language(&mut self.out, &["i-default"]);
            self.ok(tag, "done");
        } else if ranges.iter().any(is_known) {
            response::language(&mut self.out, &["i-default"]);
            self.ok(tag, "English it is");
        } else {
            self.refuse(Some(tag), &Refusal::no(None, "none of these languages"));
        }
    }
}
