//! On-demand mail relay, the provider's side: who may fetch which domains, and the conversation on a turned connection.
//!
//! Called by `smtp` for ATRN and for what comes after it. The conversation is `queue`'s and runs on a thread of its own, as all outgoing
//! ones do; here is its far end: what the customer says goes in, what the conversation says comes out, in turns.
//! Invariant: the conversation runs only between a word heard and the next [`Said`], so that one of the two sides waits at any time and
//! nothing piles up. A service that is dropped ends it: its next word finds nobody.
//! RFC 2645 §5.2.1 and §5.3.

use super::Gate;
use crate::clock::Timestamp;
use crate::log;
use crate::nexthop::{NetError, Wire};
use crate::nexthop::{Security, TlsError, TlsFault};
use crate::proto::smtp::{Said, Then};
use crate::queue::{send_over, waiting_for};
use crate::settings::Settings;
use crate::status::{Enhanced, Failure, Reply};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// So many octets are said at once, at the least, while there are more.
const PIECE: usize = 64 << 10;
/// Longest wait for the connection to take what was said.
const PATIENCE: Duration = Duration::from_secs(600);

/// The domains that an account may fetch.
pub(super) fn domains_of(settings: &Settings, account: &str) -> Vec<String> {
    let fetched = settings.odmr.domains.iter().filter(|fetched| fetched.account == account);
    fetched.map(|fetched| fetched.domain.clone()).collect()
}

/// The service's end of a turned connection.
#[derive(Debug)]
pub(super) struct Turned {
    heard: Sender<Vec<u8>>,
    said: Receiver<Said>,
}

impl Turned {
    /// Begins the conversation, or says why not. `account` is who has logged in; no domains are all of the account's.
    pub(super) fn begin(
        gate: &Arc<Gate>,
        account: &str,
        asked: &[String],
        ip: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Turned, Reply> {
        let own = domains_of(&gate.site.settings, account);
        let refused = |reply: Reply| {
            log::event("atrn-refused")
                .field("user", account)
                .field("domains", asked.join(","))
                .maybe("ip", ip)
                .field("reply", &reply)
                .write();
            reply
        };
        if own.is_empty() || asked.iter().any(|domain| !own.contains(domain)) {
            // RFC 2645 §5.2.1: 450, and nothing is sent, not even for the domains that are his.
            return Err(refused(Reply::new(450, Enhanced(4, 7, 1), "ATRN request refused: not your domain")));
        }
        let domains = if asked.is_empty() { own } else { asked.to_vec() };
        let ids =
            waiting_for(&gate.spool, &domains, now).map_err(|e| refused(Failure::local(&e).with_code(451).reply()))?;
        if ids.is_empty() {
            return Err(refused(Reply::new(453, Enhanced(4, 0, 0), "You have no mail")));
        }
        let (heard, to_hear) = channel();
        let (to_say, said) = channel();
        let peer = ip.map_or_else(|| "pipe".to_string(), |ip| ip.to_string());
        let mut wire = Carried { heard: to_hear, said: to_say, held: Vec::new(), out: Vec::new(), peer };
        let (gate, account) = (gate.clone(), account.to_string());
        let work = move || {
            // The customer greets first.
            if wire.turn(Then::Hear, PATIENCE).is_err() {
                return;
            }
            let count = ids.len();
            let taken = send_over(&gate, &ids, &domains, Box::new(wire), Timestamp::now);
            log::event("atrn")
                .field("user", account)
                .field("domains", domains.join(","))
                .maybe("ip", ip)
                .field("messages", count)
                .field("taken", taken)
                .write();
        };
        let began = std::thread::Builder::new().stack_size(512 << 10).spawn(work);
        began.map_err(|e| refused(Failure::local(&e).with_code(451).reply()))?;
        let turned = Turned { heard, said };
        // Its first word is that it listens.
        match turned.said.recv() {
            Ok(_) => Ok(turned),
            Err(_) => Err(refused(Reply::new(451, Enhanced(4, 3, 0), "Unable to process ATRN request now"))),
        }
    }

    /// Passes on what the customer said; gives what the conversation says to it.
    pub(super) fn hear(&self, bytes: Vec<u8>) -> Said {
        let said = self.heard.send(bytes).ok().and_then(|()| self.said.recv().ok());
        said.unwrap_or(Said { bytes: Vec::new(), then: Then::End })
    }
}

/// The conversation's end.
struct Carried {
    heard: Receiver<Vec<u8>>,
    said: Sender<Said>,
    /// Heard, and not received yet.
    held: Vec<u8>,
    /// To be said.
    out: Vec<u8>,
    peer: String,
}

impl Carried {
    /// Says what there is, and waits for its turn.
    fn turn(&mut self, then: Then, patience: Duration) -> Result<(), NetError> {
        let gone = || NetError("the connection was closed".to_string());
        self.said.send(Said { bytes: std::mem::take(&mut self.out), then }).map_err(|_| gone())?;
        match self.heard.recv_timeout(patience) {
            Ok(bytes) => self.held.extend(bytes),
            Err(RecvTimeoutError::Timeout) => return Err(NetError("timed out".to_string())),
            Err(RecvTimeoutError::Disconnected) => return Err(gone()),
        }
        Ok(())
    }
}

impl Wire for Carried {
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.out.extend_from_slice(bytes);
        if self.out.len() >= PIECE { self.turn(Then::Ask, PATIENCE) } else { Ok(()) }
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, NetError> {
        while self.held.is_empty() {
            self.turn(Then::Hear, patience)?;
        }
        let n = self.held.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.held[..n]);
        self.held.drain(..n);
        Ok(n)
    }

    fn start_tls(&mut self, _: &Security, _: Duration) -> Result<(), TlsError> {
        Err(TlsError::new(TlsFault::Other, "the connection is carried by another"))
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }
}

/// What was said last goes out, and then the connection ends.
impl Drop for Carried {
    fn drop(&mut self) {
        let _ = self.said.send(Said { bytes: std::mem::take(&mut self.out), then: Then::End });
    }
}
