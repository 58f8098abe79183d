//! Asking another host's SMTP server for something: ETRN, ATRN.
//!
//! Called by `emqueue`. The host is reached as mail would reach it: addresses, TLS and login are a plan's.

use super::conversation::GOODBYE;
use super::opening::{Open, Opening, Stop};
use crate::nexthop::{Net, Plan, Wire};
use crate::settings;
use crate::status::{Enhanced, Failure, Reply};
use std::net::SocketAddr;

/// A host that listens.
pub struct Call {
    open: Open,
}

fn failure(host: &str, stop: Stop) -> Failure {
    let outcome = stop.outcome(host);
    let Enhanced(_, subject, detail) = outcome.enhanced;
    Failure::temporary((subject, detail), format!("{host}: {}", outcome.text), outcome.cause)
}

impl Call {
    /// Connects to the first host of the plan that is ready; TLS and login are as the plan says. `hello` is our name.
    pub fn begin(net: &dyn Net, plan: &Plan, hello: &str, settings: &settings::Queue) -> Result<Call, Failure> {
        let opening = Opening { net, plan, hello, settings, source: &[], is_plain: false };
        match opening.open() {
            Ok(open) => Ok(Call { open }),
            Err((host, stop)) => Err(failure(&host, stop)),
        }
    }

    /// True when the host's EHLO named this keyword.
    pub fn offers(&self, keyword: &str) -> bool {
        self.open.extensions.has(keyword)
    }

    /// Sends a command; gives the reply, whatever it is, but for 421.
    pub fn ask(&mut self, command: &str) -> Result<Reply, Failure> {
        self.open.line.ask(command).map_err(|stop| failure(&self.open.host, stop))
    }

    /// The other side's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.open.line.wire.peer().parse().ok()
    }

    /// The connection, with what has been received already.
    pub fn into_wire(self) -> (Box<dyn Wire>, Vec<u8>) {
        self.open.line.into_parts()
    }

    /// Says goodbye.
    pub fn end(self) {
        self.open.quit(GOODBYE);
    }
}
