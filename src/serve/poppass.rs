//! Answers poppassd's questions.

use super::{LoginDesk, Moment, Service};
use crate::policy::{Admission, Connections};
use crate::proto::poppass::{Answer, Ask};
use crate::sasl::Evidence;
use crate::users::LoggedIn;
use std::net::IpAddr;
use std::sync::Arc;

/// One connection's answers.
#[derive(Debug)]
pub struct PoppassService {
    logins: Arc<LoginDesk>,
    connections: Arc<Connections>,
    ip: Option<IpAddr>,
    admission: Option<Admission>,
    login: Option<LoggedIn>,
}

impl PoppassService {
    /// Answers for one connection.
    pub fn new(logins: Arc<LoginDesk>, connections: Arc<Connections>) -> PoppassService {
        PoppassService { logins, connections, ip: None, admission: None, login: None }
    }
}

impl Service for PoppassService {
    type Ask = Ask;
    type Answer = Answer;

    fn may_block(&self, ask: &Ask) -> bool {
        !matches!(ask, Ask::Connect(_))
    }

    fn answer(&mut self, now: Moment, ask: Ask) -> Answer {
        match ask {
            Ask::Connect(ip) => {
                self.ip = ip;
                let admitted = self.connections.admit(ip).map(|admission| self.admission = Some(admission));
                Answer::Verdict(admitted.map_err(str::to_string))
            }
            Ask::Login(user, password) => {
                let evidence = Evidence::Password { user, password };
                match self.logins.log_in(&evidence, "poppass", self.ip, now.instant) {
                    Ok(login) => {
                        self.login = Some(login);
                        Answer::Login(Ok(()))
                    }
                    Err(denied) => Answer::Login(Err((denied.pause, denied.failure.map(|f| f.public)))),
                }
            }
            Ask::Change(password) => Answer::Changed(match &self.login {
                Some(login) => self.logins.change_password(login, &password).map_err(|f| f.public),
                None => Err("log in first".to_string()),
            }),
        }
    }
    fn closed(&mut self) {
        self.login = None;
        self.admission = None;
    }
}
