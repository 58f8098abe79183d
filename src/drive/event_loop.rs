//! The event loop: thousands of connections on one thread, with a pool of workers for what blocks.
//!
//! A connection whose open question may block travels to a worker with its socket. The worker answers, writes, reads on, and hands
//! it back when it would wait for the peer: a burst of work costs two thread changes, not two a question. While it travels its
//! slot in the slab is empty and events for it are dropped; after its return everything is tried once more, so none is missed.
//! While other workers are free, a worker waits [`LINGER`] for the peer's next word before it hands the connection back: a client that
//! sends one message after the other is served by one thread, without a change.
//! Fairness: a connection that always has more to do yields after [`TURNS`] rounds and stands behind the others.
//! A panic in a machine or a service ends its own connection, on whichever thread it strikes.

use super::conn::{Conn, Want};
use super::panics;
use super::signals::Signals;
use super::watch::Watcher;
use super::workers::{Calm, Pool};
use crate::log;
use crate::proto::Session;
use crate::serve::Service;
use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::collections::{BTreeSet, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

const WAKER: Token = Token(usize::MAX);
const SIGNAL: Token = Token(usize::MAX - 1);
const WATCHER: Token = Token(usize::MAX - 2);
/// Tokens from here on are listeners.
const LISTENERS: usize = usize::MAX - 1024;
/// Rounds of reading and writing before the others have their turn: about 4 MiB of input.
const TURNS: usize = 64;
/// Pause of accepting when the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for workers at the end.
const LAST_WORK: Duration = Duration::from_secs(20);
/// Octets read at once.
const READ: usize = 64 << 10;
/// How long a worker with nothing else to do waits for its peer.
const LINGER: TimeSpec = TimeSpec::new(0, 500_000);

/// A listening socket and what it makes of a connection.
pub struct Port<S: Session, V> {
    /// The socket, not blocking.
    pub socket: std::net::TcpListener,
    /// Makes the connection's machine and service.
    pub make: Box<dyn Fn(SocketAddr) -> Conn<S, V>>,
}

struct Live<S: Session, V> {
    conn: Conn<S, V>,
    stream: TcpStream,
    slot: usize,
    timer: Option<Instant>,
    /// Its deadline has passed and it was not told yet.
    is_due: bool,
}

type Parcel<S, V> = Box<Live<S, V>>;
type Maker<S, V> = Box<dyn Fn(SocketAddr) -> Conn<S, V>>;

/// The loop of one process.
pub struct EventLoop<S: Session, V> {
    poll: Poll,
    ports: Vec<(TcpListener, Maker<S, V>)>,
    slots: Vec<Option<Parcel<S, V>>>,
    free: Vec<usize>,
    away: usize,
    timers: BTreeSet<(Instant, usize)>,
    /// Slots that have yielded.
    ready: VecDeque<usize>,
    workers: Pool<Parcel<S, V>, (Parcel<S, V>, Pumped)>,
    signals: Signals,
    watcher: Watcher,
    /// Connections that were on their way when there was news for them.
    missed: BTreeSet<usize>,
    accept_again: Option<Instant>,
    buffer: Vec<u8>,
}

impl<S, V> EventLoop<S, V>
where
    S: Session + Send + 'static,
    S::Ask: Send,
    V: Service<Ask = S::Ask, Answer = S::Answer> + 'static,
{
    /// A loop over these ports with a number of workers.
    pub fn new(ports: Vec<Port<S, V>>, workers: usize, mut signals: Signals) -> io::Result<EventLoop<S, V>> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        poll.registry().register(signals.source(), SIGNAL, Interest::READABLE)?;
        let mut watcher = Watcher::new(Instant::now());
        watcher.open();
        if let Some(descriptor) = watcher.as_fd() {
            poll.registry().register(&mut SourceFd(&descriptor.as_raw_fd()), WATCHER, Interest::READABLE)?;
        }
        let mut listeners = Vec::new();
        for (index, port) in ports.into_iter().enumerate() {
            port.socket.set_nonblocking(true)?;
            let mut socket = TcpListener::from_std(port.socket);
            poll.registry().register(&mut socket, Token(LISTENERS + index), Interest::READABLE)?;
            listeners.push((socket, port.make));
        }
        let hire = || {
            let mut buffer = vec![0; READ];
            move |mut live: Parcel<S, V>, calm: &Calm<'_>| {
                let pumped = serve(&mut live, calm, &mut buffer);
                (live, pumped)
            }
        };
        let workers = Pool::start(workers, hire, move || drop(waker.wake()))?;
        Ok(EventLoop {
            poll,
            ports: listeners,
            slots: Vec::new(),
            free: Vec::new(),
            away: 0,
            timers: BTreeSet::new(),
            ready: VecDeque::new(),
            workers,
            signals,
            watcher,
            missed: BTreeSet::new(),
            accept_again: None,
            buffer: vec![0; READ],
        })
    }

    /// Runs until a signal ends it; messages that are being made durable are finished.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => other?,
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    WATCHER => {
                        let told = self.watcher.read(Instant::now());
                        self.tell(told);
                    }
                    SIGNAL => {
                        if self.signals.read().iter().any(|s| *s != signal_hook::consts::SIGHUP) {
                            self.finish();
                            return Ok(());
                        }
                    }
                    Token(token) if token >= LISTENERS => self.accept(token - LISTENERS),
                    Token(slot) => self.turn(slot),
                }
            }
            for (live, pumped) in self.workers.take() {
                self.away -= 1;
                if pumped == Pumped::Closed {
                    self.close(*live);
                    continue;
                }
                let slot = live.slot;
                let mut live = live;
                if self.missed.remove(&slot) {
                    live.conn.notify();
                }
                self.slots[slot] = Some(live);
                self.turn(slot);
            }
            let told = self.watcher.poll(Instant::now());
            self.tell(told);
            for _ in 0..self.ready.len() {
                if let Some(slot) = self.ready.pop_front() {
                    self.turn(slot);
                }
            }
            self.fire_timers();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let first = self.timers.first().map(|(when, _)| *when);
        let next = [first, self.accept_again, self.watcher.deadline()].into_iter().flatten().min()?;
        // Rounded up: the timer is due when we wake.
        Some(next.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }

    /// Lets connections look at what has changed.
    fn tell(&mut self, slots: BTreeSet<usize>) {
        for slot in slots {
            match self.slots.get_mut(slot).and_then(Option::as_mut) {
                Some(live) => live.conn.notify(),
                None => {
                    self.missed.insert(slot);
                    continue;
                }
            }
            self.turn(slot);
        }
    }

    fn accept(&mut self, index: usize) {
        loop {
            match self.ports[index].0.accept() {
                Ok((stream, peer)) => {
                    // An answer is written in one piece; waiting for more would only delay it.
                    let _ = stream.set_nodelay(true);
                    let make = &self.ports[index].1;
                    if let Some(conn) = panics::caught(|| make(peer)) {
                        self.insert(conn, stream);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // The peer was gone before we came.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                // No more descriptors, no memory, a socket that is none: trying on at once would help nobody.
                Err(e) => {
                    if self.accept_again.is_none() {
                        log::event("accept-failed").field("reason", e).error().write();
                    }
                    self.accept_again = Some(Instant::now() + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn insert(&mut self, conn: Conn<S, V>, mut stream: TcpStream) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(e) = self.poll.registry().register(&mut stream, Token(slot), interest) {
            log::event("register-failed").field("reason", e).error().write();
            self.free.push(slot);
            return;
        }
        self.slots[slot] = Some(Box::new(Live { conn, stream, slot, timer: None, is_due: false }));
        self.turn(slot);
    }

    /// Lets a connection go on as far as it can.
    fn turn(&mut self, slot: usize) {
        let Some(mut live) = self.slots.get_mut(slot).and_then(Option::take) else { return };
        match pump(&mut live, false, &mut self.buffer) {
            Pumped::Idle => {
                let deadline = live.conn.deadline();
                if deadline != live.timer {
                    if let Some(old) = live.timer.take() {
                        self.timers.remove(&(old, slot));
                    }
                    if let Some(when) = deadline {
                        self.timers.insert((when, slot));
                    }
                    live.timer = deadline;
                }
                if self.watcher.set(slot, live.conn.watched()) {
                    live.conn.notify();
                    self.ready.push_back(slot);
                }
                self.slots[slot] = Some(live);
            }
            Pumped::Worker => {
                if let Some(old) = live.timer.take() {
                    self.timers.remove(&(old, slot));
                }
                self.away += 1;
                self.workers.send(live);
            }
            Pumped::Yield => {
                self.ready.push_back(slot);
                self.slots[slot] = Some(live);
            }
            Pumped::Closed => self.close(*live),
        }
    }

    fn close(&mut self, mut live: Live<S, V>) {
        if let Some(old) = live.timer.take() {
            self.timers.remove(&(old, live.slot));
        }
        let slot = live.slot;
        self.watcher.set(slot, &[]);
        self.missed.remove(&slot);
        panics::caught(|| live.conn.closed());
        let _ = self.poll.registry().deregister(&mut live.stream);
        self.free.push(slot);
    }

    fn fire_timers(&mut self) {
        let now = Instant::now();
        if self.accept_again.is_some_and(|when| when <= now) {
            self.accept_again = None;
            (0..self.ports.len()).for_each(|index| self.accept(index));
        }
        // Each once: a machine that stays due must not keep us here.
        let later = self.timers.split_off(&(now, usize::MAX));
        for (_, slot) in std::mem::replace(&mut self.timers, later) {
            if let Some(live) = self.slots.get_mut(slot).and_then(Option::as_mut) {
                live.timer = None;
                live.is_due = true;
            }
            self.turn(slot);
        }
    }

    /// The end: no new work, but what workers hold is finished and answered.
    fn finish(&mut self) {
        self.ports.clear();
        let until = Instant::now() + LAST_WORK;
        while self.away > 0 {
            let back = self.workers.wait(until);
            if back.is_empty() {
                break;
            }
            for (mut live, _) in back {
                self.away -= 1;
                last_words(&mut live);
            }
        }
        self.slots.iter_mut().flatten().for_each(|live| last_words(live));
    }
}

/// What a connection is told at the end, as far as its peer takes it at once.
fn last_words<S, V>(live: &mut Live<S, V>)
where
    S: Session,
    V: Service<Ask = S::Ask, Answer = S::Answer>,
{
    panics::caught(|| {
        // The last answer first: it may be what the peer waits for.
        if write_out(live) {
            live.conn.farewell();
            live.conn.step(false);
            write_out(live);
        }
    });
    panics::caught(|| live.conn.closed());
}

/// Writes what is there; false when not all of it was taken.
fn write_out<S, V>(live: &mut Live<S, V>) -> bool
where
    S: Session,
    V: Service<Ask = S::Ask, Answer = S::Answer>,
{
    let out = live.conn.outgoing().to_vec();
    let written = live.stream.write(&out).unwrap_or(0);
    live.conn.wrote(written);
    written == out.len()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pumped {
    Idle,
    Worker,
    /// More could be done at once.
    Yield,
    Closed,
}

/// A worker's part: as long as others are free, it waits a moment for what the peer says next.
fn serve<S, V>(live: &mut Live<S, V>, calm: &Calm<'_>, buffer: &mut [u8]) -> Pumped
where
    S: Session,
    V: Service<Ask = S::Ask, Answer = S::Answer>,
{
    loop {
        let pumped = pump(live, true, buffer);
        let may_linger = pumped == Pumped::Idle && live.conn.outgoing().is_empty() && live.conn.wants_input();
        if !may_linger || !calm.is_calm() || !has_input(&live.stream) {
            return pumped;
        }
    }
}

/// True when the peer says something within [`LINGER`].
fn has_input(stream: &TcpStream) -> bool {
    let mut watched = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    matches!(ppoll(&mut watched, Some(LINGER), None), Ok(1..))
}

/// Steps, writes and reads until the peer must be waited for, or others have waited long enough.
fn pump<S, V>(live: &mut Live<S, V>, on_worker: bool, buffer: &mut [u8]) -> Pumped
where
    S: Session,
    V: Service<Ask = S::Ask, Answer = S::Answer>,
{
    let rounds = || {
        if std::mem::take(&mut live.is_due) {
            live.conn.tick();
        }
        go_on(live, on_worker, buffer)
    };
    // What has struck once is closed and never asked again.
    panics::caught(rounds).unwrap_or(Pumped::Closed)
}

fn go_on<S, V>(live: &mut Live<S, V>, on_worker: bool, buffer: &mut [u8]) -> Pumped
where
    S: Session,
    V: Service<Ask = S::Ask, Answer = S::Answer>,
{
    for _ in 0..TURNS {
        let want = live.conn.step(on_worker);
        let was_full = live.conn.is_full();
        let mut is_blocked = false;
        while !live.conn.outgoing().is_empty() {
            match live.stream.write(live.conn.outgoing()) {
                Ok(0) => return Pumped::Closed,
                Ok(n) => live.conn.wrote(n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    is_blocked = true;
                    break;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Pumped::Closed,
            }
        }
        match want {
            Want::Worker => return Pumped::Worker,
            Want::Again if !is_blocked => continue,
            Want::Again => return Pumped::Idle,
            Want::Close if is_blocked => return Pumped::Idle,
            Want::Close => return Pumped::Closed,
            Want::Io => {}
        }
        if was_full && !is_blocked {
            continue;
        }
        if !live.conn.wants_input() {
            return Pumped::Idle;
        }
        match live.stream.read(buffer) {
            Ok(n) => live.conn.feed(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Pumped::Idle,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => live.conn.feed(&[]),
        }
    }
    Pumped::Yield
}

#[cfg(test)]
mod tests;
