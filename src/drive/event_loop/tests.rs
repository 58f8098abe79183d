use super::*;
use crate::proto::{Step, TlsFacts};
use crate::serve::Moment;
use std::io::{BufRead, BufReader};
use std::net::TcpStream as Stream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Octets that `flood` sends: more than any socket's buffers hold.
const FLOOD: usize = 64 << 20;
const PATIENCE: Duration = Duration::from_millis(300);

/// Answers lines with themselves; some words do harm.
struct Harmful {
    line: Vec<u8>,
    out: Vec<u8>,
    flood: usize,
    ask: Option<&'static str>,
    waits: bool,
    is_closing: bool,
    deadline: Instant,
}

impl Session for Harmful {
    type Ask = &'static str;
    type Answer = ();

    fn input(&mut self, _now: Instant, bytes: &[u8]) -> usize {
        if self.waits || self.flood > 0 {
            return 0;
        }
        let end = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |i| i + 1);
        self.line.extend_from_slice(&bytes[..end]);
        if self.line.ends_with(b"\n") {
            let line = std::mem::take(&mut self.line);
            match &line[..line.len() - 1] {
                b"panic" => panic!("asked for"),
                b"work" => (self.ask, self.waits) = (Some("work"), true),
                b"panic at work" => (self.ask, self.waits) = (Some("panic"), true),
                b"flood" => self.flood = FLOOD,
                b"flood and close" => (self.flood, self.is_closing) = (FLOOD, true),
                _ => self.out = line,
            }
        }
        end
    }

    fn input_closed(&mut self, _now: Instant) {
        self.is_closing = true;
    }

    fn answer(&mut self, _now: Instant, (): ()) {
        self.waits = false;
        self.out = b"worked\n".to_vec();
    }

    fn tls_started(&mut self, _now: Instant, _tls: TlsFacts) {}

    fn deadline(&self) -> Option<Instant> {
        Some(self.deadline)
    }

    /// A machine that stays due: the loop must not spin on it.
    fn timeout(&mut self, _now: Instant) {}

    fn next(&mut self) -> Step<&'static str> {
        if self.flood > 0 {
            let piece = self.flood.min(64 << 10);
            self.flood -= piece;
            return Step::Send(vec![b'x'; piece]);
        }
        if !self.out.is_empty() {
            return Step::Send(std::mem::take(&mut self.out));
        }
        match self.ask.take() {
            Some(ask) => Step::Ask(ask),
            None if self.is_closing => Step::Close,
            None => Step::Wait,
        }
    }
}

struct Desk(Arc<AtomicUsize>);

impl Service for Desk {
    type Ask = &'static str;
    type Answer = ();

    fn may_block(&self, _ask: &&'static str) -> bool {
        true
    }

    fn answer(&mut self, _now: Moment, ask: &'static str) {
        assert_ne!(ask, "panic", "asked for");
    }

    fn closed(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A loop with two workers on a thread of its own; where it listens, and how many connections have ended.
fn start(due_in: Duration) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let closed = Arc::new(AtomicUsize::new(0));
    let count = closed.clone();
    std::thread::spawn(move || {
        let make = move |_| {
            let deadline = Instant::now() + due_in;
            let session = Harmful {
                line: Vec::new(),
                out: Vec::new(),
                flood: 0,
                ask: None,
                waits: false,
                is_closing: false,
                deadline,
            };
            Conn::new(session, Desk(count.clone()), None, PATIENCE)
        };
        let signals = Signals::catch(&[]).unwrap();
        let ports = vec![Port { socket, make: Box::new(make) }];
        EventLoop::new(ports, 2, signals).unwrap().run().unwrap();
    });
    (address, closed)
}

fn connect(address: SocketAddr) -> BufReader<Stream> {
    let stream = Stream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    BufReader::new(stream)
}

/// Says something; gives the answer, empty at the connection's end.
fn ask(stream: &mut BufReader<Stream>, text: &str) -> String {
    stream.get_mut().write_all(text.as_bytes()).unwrap();
    let mut line = String::new();
    match stream.read_line(&mut line) {
        Err(e) if e.kind() != ErrorKind::ConnectionReset => panic!("{text:?}: {e}"),
        _ => line,
    }
}

fn await_closed(closed: &AtomicUsize, count: usize) {
    let until = Instant::now() + Duration::from_secs(20);
    while closed.load(Ordering::SeqCst) < count {
        assert!(Instant::now() < until, "{} of {count} connections ended", closed.load(Ordering::SeqCst));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_panic_ends_one_connection_on_the_loop_and_on_workers() {
    let (address, closed) = start(Duration::from_secs(60));
    let mut witness = connect(address);
    // More of them than workers: none may be lost.
    for text in ["panic\n", "panic at work\n", "panic at work\n", "panic at work\n"] {
        assert_eq!(ask(&mut connect(address), text), "");
    }
    await_closed(&closed, 4);
    assert_eq!(ask(&mut witness, "work\n"), "worked\n");
    assert_eq!(ask(&mut witness, "still here\n"), "still here\n");
}

#[test]
fn a_peer_that_takes_nothing_is_left_and_delays_nobody() {
    let (address, closed) = start(Duration::from_millis(1));
    let mut stuck = [connect(address), connect(address)];
    stuck[0].get_mut().write_all(b"flood\n").unwrap();
    stuck[1].get_mut().write_all(b"flood and close\n").unwrap();
    await_closed(&closed, 2);
    assert_eq!(ask(&mut connect(address), "others\n"), "others\n");
}

#[test]
fn a_peer_that_never_pauses_does_not_keep_the_others_waiting() {
    let (address, _) = start(Duration::from_secs(60));
    let mut greedy = connect(address);
    greedy.get_mut().write_all(b"flood\n").unwrap();
    let mut other = greedy.get_ref().try_clone().unwrap();
    let drinking = std::thread::spawn(move || {
        let (mut taken, mut buffer) = (0, vec![0; 1 << 20]);
        while taken < FLOOD {
            taken += other.read(&mut buffer).unwrap();
        }
    });
    assert_eq!(ask(&mut connect(address), "others\n"), "others\n");
    drinking.join().unwrap();
}
