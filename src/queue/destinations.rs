//! Names of destinations: what is limited together on the board, and unreachable together.
//!
//! Called by `crew` for each message. A mailbox or a program is one destination, whoever gets the mail; a host is one however a route writes
//! it, and whether a route or a mailer of a sendmail.cf leads there.

use super::attempt::Runner;
use crate::envelope::{Delivery, Mailer};
use crate::nexthop::HostText;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long the name of a destination is kept, and how many are.
const NAME_AGE: Duration = Duration::from_secs(5);
const NAMES: usize = 10_000;

impl Runner {
    /// The name of the destination that a delivery goes to ([`Hint::place`]): what is limited together, and unreachable together. It is
    /// kept for some seconds: each message asks, and where it really goes is found out at its attempt.
    pub(super) fn destination(&self, mailer: Mailer, host: &str) -> String {
        if !matches!(mailer, Mailer::Smtp | Mailer::Lmtp | Mailer::Agent) {
            // Programs may take long; mailboxes must not wait for them.
            return mailer.name().to_string();
        }
        let mut names = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, name)) = names.get(host)
            && since.elapsed() < NAME_AGE
        {
            return name.clone();
        }
        let hop = match mailer {
            Mailer::Agent => self.hop_of_agent(host),
            _ => {
                let user = format!("postmaster@{host}");
                self.gate().router.next_hop(&Delivery { host: host.to_string(), ..Delivery::new(mailer, user) }).ok()
            }
        };
        let name = match hop {
            // One name however a route writes it.
            Some((mailer, host)) => {
                let key = HostText::parse(&host, mailer).map_or(host, |text| text.key());
                format!("{}:{key}", mailer.name())
            }
            None => format!("{}:{host}", mailer.name()),
        };
        if names.len() >= NAMES {
            names.clear();
        }
        names.insert(host.to_string(), (Instant::now(), name.clone()));
        name
    }

    /// Whom a mailer of a sendmail.cf speaks to, where it is a host's server: `place` is the mailer's name, `/` and the host.
    fn hop_of_agent(&self, place: &str) -> Option<(Mailer, String)> {
        let (by, host) = place.split_once('/')?;
        let delivery = Delivery { by: by.to_string(), host: host.to_string(), ..Delivery::new(Mailer::Agent, "") };
        let agent = self.gate().router.agent(&delivery).ok().filter(|agent| agent.is_network())?;
        agent.hop_to(host).ok()
    }
}
