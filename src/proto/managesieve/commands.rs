//! The commands: one row each, with the state where it is legal (RFC 5804 §2).

use super::ask::{Ask, Listed, Refusal};
use super::frame::Part;
use super::reply::{self, Code};
use super::server::{ManageSieveSession, Wait};
use super::words::{TooLarge, Words};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before login.
    NotAuthenticated,
    /// After it.
    Authenticated,
    Any,
}

struct Row {
    verb: &'static str,
    state: State,
    act: fn(&mut ManageSieveSession, &mut Words) -> Result<(), Refusal>,
}

const ROWS: &[Row] = &[
    Row { verb: "AUTHENTICATE", state: State::NotAuthenticated, act: ManageSieveSession::authenticate },
    Row { verb: "STARTTLS", state: State::NotAuthenticated, act: ManageSieveSession::starttls },
    Row { verb: "CAPABILITY", state: State::Any, act: ManageSieveSession::capability },
    Row { verb: "LOGOUT", state: State::Any, act: ManageSieveSession::logout },
    Row { verb: "NOOP", state: State::Any, act: ManageSieveSession::noop },
    Row { verb: "UNAUTHENTICATE", state: State::Authenticated, act: ManageSieveSession::unauthenticate },
    Row { verb: "HAVESPACE", state: State::Authenticated, act: ManageSieveSession::have_space },
    Row { verb: "PUTSCRIPT", state: State::Authenticated, act: ManageSieveSession::put_script },
    Row { verb: "CHECKSCRIPT", state: State::Authenticated, act: ManageSieveSession::check_script },
    Row { verb: "LISTSCRIPTS", state: State::Authenticated, act: ManageSieveSession::list_scripts },
    Row { verb: "SETACTIVE", state: State::Authenticated, act: ManageSieveSession::set_active },
    Row { verb: "GETSCRIPT", state: State::Authenticated, act: ManageSieveSession::get_script },
    Row { verb: "DELETESCRIPT", state: State::Authenticated, act: ManageSieveSession::delete_script },
    Row { verb: "RENAMESCRIPT", state: State::Authenticated, act: ManageSieveSession::rename_script },
];

/// What the answers call an argument.
const NAME: &str = "script name";

/// Runs one command.
pub(super) fn run(session: &mut ManageSieveSession, parts: Vec<Part>) -> Result<(), Refusal> {
    let mut words = Words::read(parts)?;
    let verb = words.verb()?;
    let Some(row) = ROWS.iter().find(|row| row.verb.eq_ignore_ascii_case(&verb)) else {
        return Err("Unknown command".into());
    };
    match (row.state, session.owner.is_some()) {
        (State::NotAuthenticated, true) => Err("You are logged in".into()),
        (State::Authenticated, false) => Err("Log in first".into()),
        _ => (row.act)(session, &mut words),
    }
}

impl ManageSieveSession {
    fn capability(&mut self, words: &mut Words) -> Result<(), Refusal> {
        words.end()?;
        self.capabilities("");
        Ok(())
    }

    /// What we can do, and the reply behind it (RFC 5804 §1.7).
    pub(super) fn capabilities(&mut self, text: &str) {
        let mechanisms: Vec<&str> = self.mechanisms().iter().map(|mechanism| mechanism.name()).collect();
        let redirects = self.config.redirects.to_string();
        let (config, out) = (&self.config, &mut self.out);
        reply::capability(out, "IMPLEMENTATION", Some("ExpressMail"));
        reply::capability(out, "SASL", Some(&mechanisms.join(" ")));
        reply::capability(out, "SIEVE", Some(&config.extensions));
        if !config.notify.is_empty() {
            reply::capability(out, "NOTIFY", Some(&config.notify));
        }
        reply::capability(out, "MAXREDIRECTS", Some(&redirects));
        if config.starttls && self.tls.is_none() && self.owner.is_none() {
            reply::capability(out, "STARTTLS", None);
        }
        if let Some(owner) = &self.owner {
            reply::capability(out, "OWNER", Some(owner));
        }
        reply::capability(out, "UNAUTHENTICATE", None);
        reply::capability(out, "LANGUAGE", Some("en"));
        reply::capability(out, "VERSION", Some("1.0"));
        self.ok(text);
    }

    fn starttls(&mut self, words: &mut Words) -> Result<(), Refusal> {
        words.end()?;
        if self.tls.is_some() {
            return Err("TLS is on".into());
        }
        if !self.config.starttls {
            return Err("STARTTLS is not offered".into());
        }
        self.ok("Begin TLS");
        self.starts_tls = true;
        Ok(())
    }

    fn logout(&mut self, words: &mut Words) -> Result<(), Refusal> {
        words.end()?;
        self.ok("Bye");
        self.is_closing = true;
        Ok(())
    }

    fn noop(&mut self, words: &mut Words) -> Result<(), Refusal> {
        if words.is_empty() {
            self.ok("NOOP completed");
            return Ok(());
        }
        let tag = words.string("tag")?.map_err(|TooLarge| Refusal::from("The tag is too long"))?;
        words.end()?;
        reply::tagged(&mut self.out, &tag, "Done");
        Ok(())
    }

    fn have_space(&mut self, words: &mut Words) -> Result<(), Refusal> {
        let (name, size) = (words.text(NAME)?, words.number("script size")?);
        words.end()?;
        self.ask(Ask::HaveSpace(name, u64::from(size)), Wait::Done("There is room for it"));
        Ok(())
    }

    fn put_script(&mut self, words: &mut Words) -> Result<(), Refusal> {
        let (name, script) = (words.text(NAME)?, words.string("script")?);
        words.end()?;
        let is_small = |script: &Vec<u8>| script.len() as u64 <= self.config.script_size;
        match script.ok().filter(is_small) {
            Some(script) => {
                self.ask(Ask::Put(name, script), Wait::Done("Script kept"));
                Ok(())
            }
            None => Err(Refusal::coded(Code::MaxSize, self.too_large())),
        }
    }

    fn check_script(&mut self, words: &mut Words) -> Result<(), Refusal> {
        let script = words.string("script")?;
        words.end()?;
        // RFC 5804 §2.12: no quota counts here. What is larger can't be read all the same.
        let script = script.map_err(|TooLarge| Refusal { code: None, text: self.too_large() })?;
        self.ask(Ask::Check(script), Wait::Done("The script is fine"));
        Ok(())
    }

    fn too_large(&self) -> String {
        format!("A script may have {} octets", self.config.script_size)
    }

    fn list_scripts(&mut self, words: &mut Words) -> Result<(), Refusal> {
        words.end()?;
        self.ask(Ask::List, Wait::List);
        Ok(())
    }

    pub(super) fn listed(&mut self, list: &[Listed]) {
        for script in list {
            reply::string(&mut self.out, script.name.as_bytes());
            self.out.extend_from_slice(if script.is_active { b" ACTIVE\r\n" } else { b"\r\n" });
        }
        self.ok("");
    }

    fn set_active(&mut self, words: &mut Words) -> Result<(), Refusal> {
        let name = words.text(NAME)?;
        words.end()?;
        // RFC 5804 §2.8: the empty name is none.
        let (name, text) = match name.is_empty() {
            true => (None, "No script is active now"),
            false => (Some(name), "Script activated"),
        };
        self.ask(Ask::Activate(name), Wait::Done(text));
        Ok(())
    }

    fn get_script(&mut self, words: &mut Words) -> Result<(), Refusal> {
        let name = words.text(NAME)?;
        words.end()?;
        self.ask(Ask::Get(name), Wait::First);
        Ok(())
    }

    fn delete_script(&mut self, words: &mut Words) -> Result<(), Refusal> {
        let name = words.text(NAME)?;
        words.end()?;
        self.ask(Ask::Delete(name), Wait::Done("Script deleted"));
        Ok(())
    }

    fn rename_script(&mut self, words: &mut Words) -> Result<(), Refusal> {
        let (old, new) = (words.text(NAME)?, words.text("new script name")?);
        words.end()?;
        self.ask(Ask::Rename(old, new), Wait::Done("Script renamed"));
        Ok(())
    }
}
