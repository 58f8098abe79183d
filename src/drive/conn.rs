//! One connection: a machine, its service, and TLS between them and the wire. Moves no bytes by itself.
//!
//! The driver feeds what the network brought ([`Conn::feed`]), calls [`Conn::step`] until it wants input, and writes what
//! [`Conn::outgoing`] holds. Back-pressure: while more than [`HIGH_WATER`] octets wait to be written, the machine is not asked on.
//! A peer that takes nothing of what waits for it, for the service's patience, has left: the connection ends.
//! Memory: an idle connection holds no buffers.
//! Security: plaintext that stands behind STARTTLS closes the connection (RELIABILITY R15).

mod input;

use super::deflate::Deflate;
use super::tls::TlsSource;
use crate::clock::Timestamp;
use crate::fsx::Glance;
use crate::log;
use crate::proto::{Session, Step, TlsFacts};
use crate::serve::{Moment, Service};
use input::Input;
use rustls::ServerConnection;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Octets that may wait to be written before the machine is held back. Less than a piece of a large answer has: it then goes out
/// as it was made, and is not copied behind another one.
const HIGH_WATER: usize = 64 << 10;

/// Octets that are inflated at once.
const INFLATED: usize = 64 << 10;

/// A worker that has been at it for so long lets what there is go out before the next answer, which may take as long.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// More input, or room for output, or time.
    Io,
    /// The open question may block: [`Conn::step`] again on a worker.
    Worker,
    /// Write what is outgoing, then step again: something was just made durable, and its acknowledgement should not wait for
    /// what stands behind it.
    Again,
    /// Write what is outgoing, then close.
    Close,
}

/// A connection's state.
pub struct Conn<S: Session, V> {
    session: S,
    service: V,
    tls: Option<Box<ServerConnection>>,
    tls_source: Option<Arc<TlsSource>>,
    tls_told: bool,
    deflate: Option<Box<Deflate>>,
    handshake_until: Option<Instant>,
    input: Input,
    out: Vec<u8>,
    written: usize,
    /// Longest wait for the peer to take something.
    patience: Duration,
    /// The end of that wait; `None` while nothing waits to be written.
    out_until: Option<Instant>,
    pending: Option<S::Ask>,
    /// [`FLUSH_AFTER`], but for tests.
    flush_after: Duration,
    input_ended: bool,
    end_told: bool,
    is_closing: bool,
}

/// The present.
pub fn present() -> Moment {
    Moment { instant: Instant::now(), time: Timestamp::now() }
}

impl<S: Session, V: Service<Ask = S::Ask, Answer = S::Answer>> Conn<S, V> {
    /// A connection that may start TLS when its machine says so; `patience` is how long a peer may take no output.
    pub fn new(session: S, service: V, tls_source: Option<Arc<TlsSource>>, patience: Duration) -> Conn<S, V> {
        Conn {
            session,
            service,
            tls: None,
            tls_source,
            tls_told: false,
            deflate: None,
            handshake_until: None,
            input: Input::default(),
            out: Vec::new(),
            written: 0,
            patience,
            out_until: None,
            pending: None,
            flush_after: FLUSH_AFTER,
            input_ended: false,
            end_told: false,
            is_closing: false,
        }
    }

    fn start_tls(&mut self) {
        match self.tls_source.as_ref().map(|source| source.accept()) {
            Some(Ok(tls)) => {
                self.tls = Some(Box::new(tls));
                self.handshake_until = Some(Instant::now() + HANDSHAKE);
            }
            Some(Err(e)) => {
                log::event("tls-failed").field("reason", e).error().write();
                self.is_closing = true;
            }
            None => self.is_closing = true,
        }
    }

    /// Takes what the network brought; an empty slice is the end of input.
    pub fn feed(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.input_ended = true;
            return;
        }
        let Some(tls) = &mut self.tls else {
            return incoming(&mut self.input, &mut self.deflate).extend_from_slice(bytes);
        };
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_closing {
            let failed = match tls.read_tls(&mut rest) {
                Ok(0) => None,
                Ok(_) => tls.process_new_packets().err().map(|e| e.to_string()),
                Err(e) => Some(e.to_string()),
            };
            if let Some(reason) = failed {
                log::event("tls-failed").field("reason", reason).write();
                self.is_closing = true;
            }
            loop {
                let input = incoming(&mut self.input, &mut self.deflate);
                let before = input.len();
                input.resize(before + 16384, 0);
                let n = match tls.reader().read(&mut input[before..]) {
                    Ok(0) => {
                        self.input_ended = true;
                        0
                    }
                    Ok(n) => n,
                    // No plaintext now, or the peer left without close_notify: a truncated session ends.
                    Err(e) => {
                        self.input_ended |= e.kind() == io::ErrorKind::UnexpectedEof;
                        0
                    }
                };
                input.truncate(before + n);
                if n == 0 {
                    break;
                }
            }
        }
        self.input.settle();
        self.flush_tls();
    }

    /// Goes on until something is wanted. On a worker questions that block are answered here.
    pub fn step(&mut self, on_worker: bool) -> Want {
        let now = present();
        // All that is answered here was sent before.
        let _glance = Glance::begin();
        if let Some(ask) = self.pending.take() {
            if !on_worker {
                self.pending = Some(ask);
                return Want::Worker;
            }
            let answer = self.service.answer(now, ask);
            self.session.answer(Instant::now(), answer);
        }
        let mut again = false;
        loop {
            if self.is_closing {
                return Want::Close;
            }
            if let Some(tls) = &self.tls {
                if tls.is_handshaking() {
                    if self.input_ended {
                        self.is_closing = true;
                        continue;
                    }
                    return Want::Io;
                }
                if !self.tls_told {
                    self.tls_told = true;
                    self.handshake_until = None;
                    let names = self.tls_source.as_ref().map(|source| source.client_names(tls));
                    let facts = facts(tls, names.unwrap_or_default());
                    self.session.tls_started(now.instant, facts);
                }
            }
            if self.is_full() {
                return Want::Io;
            }
            match self.session.next() {
                Step::Send(bytes) => self.send(bytes),
                Step::Ask(ask) if !on_worker && self.service.may_block(&ask) => {
                    self.pending = Some(ask);
                    return Want::Worker;
                }
                Step::Ask(ask)
                    if on_worker && !self.outgoing().is_empty() && now.instant.elapsed() >= self.flush_after =>
                {
                    self.pending = Some(ask);
                    return Want::Again;
                }
                Step::Ask(ask) => {
                    again = on_worker && self.service.may_block(&ask);
                    let answer = self.service.answer(present(), ask);
                    self.session.answer(Instant::now(), answer);
                }
                Step::Wait if again && !self.input.is_empty() => return Want::Again,
                Step::StartTls => {
                    if !self.input.is_empty() {
                        log::event("starttls-injection").write();
                        self.is_closing = true;
                    } else {
                        self.start_tls();
                    }
                }
                Step::ExpectTls => {
                    let early = self.input.take_all();
                    self.start_tls();
                    if !early.is_empty() {
                        self.feed(&early);
                    }
                }
                Step::Close => {
                    self.is_closing = true;
                    if let Some(tls) = &mut self.tls {
                        tls.send_close_notify();
                    }
                    self.flush_tls();
                }
                Step::Compress => {
                    // RFC 4978 §3: whatever stands behind the command is compressed.
                    self.deflate = Some(Box::new(Deflate::new(self.input.take_all())));
                }
                Step::Wait if self.input.is_empty() && self.deflate.as_ref().is_some_and(|d| !d.is_empty()) => {
                    let unpacked = self.deflate.as_mut().map(|deflate| deflate.unpack(INFLATED, self.input.buffer()));
                    if let Some(Err(e)) = unpacked {
                        log::event("deflate-failed").field("reason", e).write();
                        self.is_closing = true;
                    }
                }
                Step::Wait if !self.input.is_empty() => {
                    let taken = self.session.input(now.instant, self.input.rest());
                    if taken == 0 {
                        return Want::Io;
                    }
                    self.input.take(taken);
                }
                Step::Wait if self.input_ended && !self.end_told => {
                    self.end_told = true;
                    self.session.input_closed(now.instant);
                }
                Step::Wait => {
                    if let Some(deflate) = &mut self.deflate
                        && !self.service.watched().is_empty()
                    {
                        // It may be long before there is something to say.
                        deflate.rest();
                    }
                    return Want::Io;
                }
            }
        }
    }

    /// When [`Conn::tick`] wants to be called.
    ///
    /// While the machine is held back, or has ended, only the peer's taking of output counts.
    pub fn deadline(&self) -> Option<Instant> {
        let machine = match self.handshake_until {
            _ if self.is_closing || self.is_full() => None,
            Some(until) => Some(until),
            None => self.session.deadline(),
        };
        [machine, self.out_until].into_iter().flatten().min()
    }

    /// Acts on the deadline that has passed.
    pub fn tick(&mut self) {
        let now = Instant::now();
        if self.out_until.is_some_and(|until| until <= now) {
            self.is_closing = true;
            self.wrote(self.out.len() - self.written);
        } else if let Some(until) = self.handshake_until {
            self.is_closing |= until <= now;
        } else if self.session.deadline().is_some_and(|d| d <= now) {
            self.session.timeout(now);
        }
    }

    /// Folders whose changes the connection wants to hear of.
    pub fn watched(&self) -> &[Arc<Path>] {
        self.service.watched()
    }

    /// Something in them has changed.
    pub fn notify(&mut self) {
        self.session.notified(Instant::now());
    }

    /// True when the network may be read: otherwise the peer waits (back-pressure).
    pub fn wants_input(&self) -> bool {
        // What the machine has not taken yet is enough; the rest waits in the kernel.
        !self.input_ended
            && !self.is_closing
            && !self.is_full()
            && self.input.is_empty()
            && self.deflate.as_ref().is_none_or(|deflate| deflate.is_empty())
    }

    /// True when the machine is held back until output is taken.
    pub fn is_full(&self) -> bool {
        self.out.len() - self.written > HIGH_WATER
    }

    /// What is to be written.
    pub fn outgoing(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// So much was written.
    pub fn wrote(&mut self, n: usize) {
        self.written += n;
        if self.written == self.out.len() {
            self.out = Vec::new();
            self.written = 0;
            self.out_until = None;
        } else {
            self.out_until = Some(Instant::now() + self.patience);
        }
    }

    /// How long a peer may take no output.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The server ends: a peer that waits for nothing is told so where its protocol has a word for that. What is left to do is done by
    /// [`Conn::step`].
    pub fn farewell(&mut self) {
        if self.outgoing().is_empty() && self.pending.is_none() && self.handshake_until.is_none() && !self.is_closing {
            self.session.shutdown(Instant::now());
        }
    }

    /// The connection is over.
    pub fn closed(&mut self) {
        self.pending = None;
        self.service.closed();
    }

    fn send(&mut self, mut bytes: Vec<u8>) {
        if let Some(deflate) = &mut self.deflate {
            let mut packed = Vec::new();
            deflate.pack(&bytes, &mut packed);
            bytes = packed;
        }
        match &mut self.tls {
            Some(tls) => {
                // rustls buffers all of it; writing to memory does not fail.
                let _ = tls.writer().write_all(&bytes);
                self.flush_tls();
            }
            None if self.out.is_empty() => self.out = bytes,
            None => self.out.extend_from_slice(&bytes),
        }
        self.note_output();
    }

    /// Starts the clock for output that waits.
    fn note_output(&mut self) {
        if self.out_until.is_none() && !self.out.is_empty() {
            self.out_until = Some(Instant::now() + self.patience);
        }
    }

    fn flush_tls(&mut self) {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                if tls.write_tls(&mut self.out).is_err() {
                    break;
                }
            }
        }
        self.note_output();
    }
}

/// Where what came in clear, or out of TLS, is put.
fn incoming<'a>(input: &'a mut Input, deflate: &'a mut Option<Box<Deflate>>) -> &'a mut Vec<u8> {
    match deflate {
        Some(deflate) => deflate.packed(),
        None => input.buffer(),
    }
}

fn facts(tls: &ServerConnection, client_names: Vec<String>) -> TlsFacts {
    let version = match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLS",
    };
    let cipher = tls.negotiated_cipher_suite().map(|c| format!("{:?}", c.suite())).unwrap_or_default();
    // RFC 9266 §4: label and length; TLS 1.2 only binds with the extended master secret, which rustls insists on.
    let exporter = tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).ok();
    TlsFacts {
        version: version.to_string(),
        cipher,
        exporter: exporter.map(|e| e.to_vec()),
        sni: tls.server_name().map(str::to_string),
        client_names,
    }
}

#[cfg(test)]
mod tests;
