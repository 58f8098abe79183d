//! Answers poppassd's questions.

use super::{LoginDesk, Moment, Service};
use crate::proto::poppass::{Answer, Ask};
use crate::sasl::Evidence;
use crate::users::LoggedIn;
use std::net::IpAddr;
use std::sync::Arc;

/// One connection's answers.
#[derive(Debug)]
pub struct PoppassService {
    logins: Arc<LoginDesk>,
    ip: Option<IpAddr>,
    login: Option<LoggedIn>,
}

impl PoppassService {
    /// Answers for one connection.
    pub fn new(logins: Arc<LoginDesk>, ip: Option<IpAddr>) -> PoppassService {
        PoppassService { logins, ip, login: None }
    }
}

impl Service for PoppassService {
    type Ask = Ask;
    type Answer = Answer;

    fn may_block(&self, _ask: &Ask) -> bool {
        true
    }

    fn answer(&mut self, now: Moment, ask: Ask) -> Answer {
        match ask {
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
}
