//! A conversation with another IMAP server: logging in, and commands with what they bring.
//!
//! RFC 9051 §6.2 (TLS and logging in), RFC 2595.

use super::MigrateError;
use crate::nexthop::Security;
use crate::nexthop::Wire;
use crate::proto::imap_client::{Event, Reader, ServerError, Status, Value, quoted};
use crate::sasl::ClientDialog;
use std::time::Duration;

/// Wait for something from the server: it may have to sort out a large mailbox.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(60);
/// Octets that are read at once.
const PIECE: usize = 64 << 10;
/// Most responses to one command.
const EVENTS_LIMIT: u64 = 50_000_000;
/// Most challenges of a login.
const CHALLENGES: usize = 4;

/// How a password gets there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the start, or STARTTLS; with whom the security says.
    Tls(Security),
    /// In clear.
    None,
}

/// One connection.
pub(super) struct Session {
    wire: Box<dyn Wire>,
    reader: Reader,
    commands: u32,
    capabilities: Vec<String>,
}

impl Session {
    /// Greets, starts TLS, logs in.
    pub(super) fn open(
        wire: Box<dyn Wire>,
        protection: &Protection,
        user: &str,
        password: &str,
    ) -> Result<Session, MigrateError> {
        let mut session = Session { wire, reader: Reader::default(), commands: 0, capabilities: Vec::new() };
        if let Protection::Tls(security) = protection
            && security.implicit_tls
        {
            session.start_tls(security)?;
        }
        let is_known = match session.event()? {
            Event::Status(Status::Ok, _) => false,
            Event::Status(Status::PreAuth, _) => true,
            Event::Status(Status::Bye, text) => return Err(MigrateError::Refused(text)),
            _ => return Err(ServerError("no greeting").into()),
        };
        session.ask_capabilities()?;
        if let Protection::Tls(security) = protection
            && !security.implicit_tls
        {
            // RFC 9051 §6.2.1: a session that is logged in can't start TLS; what came before it counts for nothing.
            if is_known || !session.has("STARTTLS") {
                return Err(MigrateError::Refused("the server offers no STARTTLS".to_string()));
            }
            session.ok("STARTTLS")?;
            if !session.reader.is_empty() {
                return Err(ServerError("text behind STARTTLS").into());
            }
            session.start_tls(security)?;
            session.ask_capabilities()?;
        }
        if !is_known {
            session.log_in(user, password)?;
            session.ask_capabilities()?;
        }
        Ok(session)
    }

    fn start_tls(&mut self, security: &Security) -> Result<(), MigrateError> {
        self.wire.start_tls(security, HANDSHAKE).map_err(|e| MigrateError::Tls(e.text))
    }

    /// True when the server has said that it can.
    pub(super) fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|c| c.eq_ignore_ascii_case(capability))
    }

    fn ask_capabilities(&mut self) -> Result<(), MigrateError> {
        let mut found = Vec::new();
        self.data("CAPABILITY", |data| {
            if data.first().is_some_and(|word| word.atom().eq_ignore_ascii_case("CAPABILITY")) {
                found = data[1..].iter().map(|word| word.atom().to_string()).collect();
            }
        })?;
        self.capabilities = found;
        Ok(())
    }

    fn log_in(&mut self, user: &str, password: &str) -> Result<(), MigrateError> {
        let mut random = [0; 18];
        getrandom::fill(&mut random).map_err(|e| MigrateError::Login(format!("no randomness: {e}")))?;
        let nonce = encodify::base64::STANDARD.encode(random);
        let capabilities = self.capabilities.clone();
        let offered = capabilities.iter().filter_map(|c| {
            let (head, name) = c.split_once('=')?;
            head.eq_ignore_ascii_case("AUTH").then_some(name)
        });
        let Some((mut dialog, mechanism, mut initial)) = ClientDialog::start(offered, user, password, &nonce) else {
            return self.log_in_plainly(user, password);
        };
        let tag = self.begin(&format!("AUTHENTICATE {mechanism}"))?;
        let mut left = CHALLENGES;
        loop {
            match self.event()? {
                Event::Continue(challenge) => {
                    left = left.checked_sub(1).ok_or(ServerError("a challenge too many"))?;
                    let answer = match initial.take() {
                        Some(initial) => initial,
                        None => dialog.answer(&challenge).map_err(|e| MigrateError::Login(e.to_string()))?,
                    };
                    self.send(format!("{answer}\r\n").as_bytes())?;
                }
                Event::Tagged(other, Status::Ok, _) if other == tag => {
                    let is_complete = dialog.is_complete();
                    let text = "the server has not shown that it knows the password";
                    return if is_complete { Ok(()) } else { Err(MigrateError::Login(text.to_string())) };
                }
                Event::Tagged(other, _, text) if other == tag => return Err(MigrateError::Login(text)),
                Event::Status(Status::Bye, text) => return Err(MigrateError::Refused(text)),
                _ => {}
            }
        }
    }

    /// LOGIN, for servers that offer no mechanism we know.
    fn log_in_plainly(&mut self, user: &str, password: &str) -> Result<(), MigrateError> {
        let refused = |text: &str| Err(MigrateError::Login(text.to_string()));
        if self.has("LOGINDISABLED") {
            return refused("the server offers no way to log in that we know");
        }
        let (Some(user), Some(password)) = (quoted(user.as_bytes()), quoted(password.as_bytes())) else {
            return refused("LOGIN takes no such name or password");
        };
        match self.ok(&format!("LOGIN {user} {password}")) {
            Err(MigrateError::Refused(text)) => Err(MigrateError::Login(text)),
            other => other.map(|_| ()),
        }
    }

    fn send(&mut self, octets: &[u8]) -> Result<(), MigrateError> {
        Ok(self.wire.send(octets)?)
    }

    fn event(&mut self) -> Result<Event, MigrateError> {
        loop {
            if let Some(event) = self.reader.event()? {
                return Ok(event);
            }
            let mut piece = vec![0; PIECE];
            match self.wire.receive(&mut piece, PATIENCE)? {
                0 => return Err(MigrateError::Net("the server closed the connection".to_string())),
                count => self.reader.feed(&piece[..count]),
            }
        }
    }

    /// Sends a command; gives its tag.
    fn begin(&mut self, command: &str) -> Result<String, MigrateError> {
        self.commands += 1;
        let tag = format!("M{}", self.commands);
        self.send(format!("{tag} {command}\r\n").as_bytes())?;
        Ok(tag)
    }

    /// Runs a command; what comes until its end goes to `hear`. The text of its OK.
    pub(super) fn run(
        &mut self,
        command: &str,
        mut hear: impl FnMut(Event) -> Result<(), MigrateError>,
    ) -> Result<String, MigrateError> {
        let tag = self.begin(command)?;
        for _ in 0..EVENTS_LIMIT {
            match self.event()? {
                Event::Tagged(other, Status::Ok, text) if other == tag => return Ok(text),
                Event::Tagged(other, _, text) if other == tag => return Err(MigrateError::Refused(text)),
                Event::Tagged(..) | Event::Continue(_) => return Err(ServerError("an answer to nothing").into()),
                Event::Status(Status::Bye, text) => return Err(MigrateError::Net(format!("the server ended: {text}"))),
                event => hear(event)?,
            }
        }
        Err(ServerError("responses without end").into())
    }

    /// The same for commands that bring data.
    pub(super) fn data(&mut self, command: &str, mut hear: impl FnMut(&[Value])) -> Result<String, MigrateError> {
        self.run(command, |event| {
            if let Event::Data(data) = event {
                hear(&data);
            }
            Ok(())
        })
    }

    fn ok(&mut self, command: &str) -> Result<String, MigrateError> {
        self.run(command, |_| Ok(()))
    }

    /// Says good-bye; nobody waits for the answer.
    pub(super) fn close(mut self) {
        let _ = self.begin("LOGOUT");
    }
}
