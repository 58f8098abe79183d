//! Being the server on a connection that we have opened: what a customer does after ATRN (RFC 2645 §5.3).
//!
//! Called by `emqueue atrn`. Blocking, one connection: the machine and the service are those of every SMTP session, the wire is the queue's.

use super::conn::present;
use crate::nexthop::{NetError, Wire};
use crate::proto::smtp::{Answer, Ask, SmtpSession};
use crate::proto::{Session, Step};
use crate::serve::{Service, SmtpService};
use std::time::{Duration, Instant};

/// Runs the session to its end; gives how many messages were taken. `held` is what has been received already.
///
/// An error is the connection's: the messages that were acknowledged before are safe.
pub fn serve_over(
    wire: &mut dyn Wire,
    held: Vec<u8>,
    mut session: SmtpSession,
    mut service: SmtpService,
) -> (usize, Result<(), NetError>) {
    let mut taken = 0;
    let ended = serve(wire, held, &mut session, &mut service, &mut taken);
    service.closed();
    (taken, ended)
}

fn serve(
    wire: &mut dyn Wire,
    mut input: Vec<u8>,
    session: &mut SmtpSession,
    service: &mut SmtpService,
    taken: &mut usize,
) -> Result<(), NetError> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match session.next() {
            Step::Send(bytes) => wire.send(&bytes)?,
            Step::Ask(ask) => {
                let is_commit = matches!(ask, Ask::Commit(_));
                let answer = service.answer(present(), ask);
                if let (true, Answer::Replies(replies)) = (is_commit, &answer) {
                    *taken += usize::from(replies.iter().any(|reply| reply.code == 250));
                }
                session.answer(Instant::now(), answer);
            }
            // TLS lies below, and nothing else is offered.
            Step::Close | Step::StartTls | Step::ExpectTls | Step::Compress => return Ok(()),
            Step::Wait if !input.is_empty() => {
                let n = session.input(Instant::now(), &input);
                input.drain(..n);
                if n == 0 {
                    // A pause: the machine goes on at its deadline.
                    wait(session);
                }
            }
            Step::Wait => {
                let left = session.deadline().map(|until| until.saturating_duration_since(Instant::now()));
                match wire.receive(&mut buffer, left.unwrap_or(Duration::from_secs(60))) {
                    Ok(0) => session.input_closed(Instant::now()),
                    Ok(n) => input.extend_from_slice(&buffer[..n]),
                    Err(_) if session.deadline().is_some_and(|until| until <= Instant::now()) => {
                        session.timeout(Instant::now());
                    }
                    Err(e) => return Err(e),
                }
            }
        }
    }
}

fn wait(session: &mut SmtpSession) {
    let left = session.deadline().map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
    std::thread::sleep(left.max(Duration::from_millis(1)));
    session.timeout(Instant::now());
}
