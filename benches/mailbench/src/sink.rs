//! A host that takes every message and throws it away: the far end of a relay.
//!
//! It knows PIPELINING and CHUNKING, answers at once, and counts. It listens on all loopback addresses, so that many
//! destinations can be told apart by their addresses.

use crate::args::Problem;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Longest command line taken.
const LINE: u64 = 4096;

/// What came in.
#[derive(Default)]
pub struct Counts {
    messages: AtomicUsize,
    recipients: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Counts {
    /// Messages so far.
    pub fn messages(&self) -> usize {
        self.messages.load(Relaxed)
    }

    /// Recipients of these messages so far.
    pub fn recipients(&self) -> usize {
        self.recipients.load(Relaxed)
    }

    /// Connections so far, and the most that were open at once.
    pub fn connections(&self) -> (usize, usize) {
        (self.connections.load(Relaxed), self.most.load(Relaxed))
    }

    /// Counts one message to so many, and begins anew.
    fn add(&self, recipients: &mut usize) {
        self.messages.fetch_add(1, Relaxed);
        self.recipients.fetch_add(std::mem::take(recipients), Relaxed);
    }

    /// Waits until this many messages have come; gives the time at which the last one came that did.
    pub fn wait_for(&self, count: usize, patience: Duration) -> (Instant, usize) {
        wait(count, patience, || self.messages())
    }

    /// The same for recipients.
    pub fn wait_for_recipients(&self, count: usize, patience: Duration) -> (Instant, usize) {
        wait(count, patience, || self.recipients())
    }
}

fn wait(count: usize, patience: Duration, seen_now: impl Fn() -> usize) -> (Instant, usize) {
    let (mut last, mut seen) = (Instant::now(), seen_now());
    while seen < count && last.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(1));
        let now = seen_now();
        if now != seen {
            (last, seen) = (Instant::now(), now);
        }
    }
    (last, seen)
}

/// Starts a sink on a port of all addresses.
pub fn start(port: u16) -> Result<Arc<Counts>, Problem> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    let counts = Arc::new(Counts::default());
    let all = counts.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counts = all.clone();
            // A connection that can't have a thread is closed; the peer comes again.
            let _ = std::thread::Builder::new().stack_size(128 << 10).spawn(move || {
                counts.connections.fetch_add(1, Relaxed);
                let open = counts.open.fetch_add(1, Relaxed) + 1;
                counts.most.fetch_max(open, Relaxed);
                let _ = serve(stream, &counts);
                counts.open.fetch_sub(1, Relaxed);
            });
        }
    });
    Ok(counts)
}

fn serve(stream: TcpStream, counts: &Counts) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut input = BufReader::with_capacity(64 << 10, stream);
    let mut replies = b"220 sink.test ESMTP\r\n".to_vec();
    let mut line = Vec::new();
    let mut recipients = 0;
    loop {
        // Answers wait until what was sent together is read: so does every server that knows PIPELINING.
        if input.buffer().is_empty() && !replies.is_empty() {
            out.write_all(&replies)?;
            replies.clear();
        }
        line.clear();
        if (&mut input).take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_slice() {
            b"EHLO" => replies.extend_from_slice(
                b"250-sink.test\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n",
            ),
            b"DATA" => {
                replies.extend_from_slice(b"354 go on\r\n");
                out.write_all(&replies)?;
                replies.clear();
                skip_text(&mut input)?;
                counts.add(&mut recipients);
                replies.extend_from_slice(b"250 2.0.0 taken\r\n");
            }
            b"BDAT" => {
                let words = String::from_utf8_lossy(&line).to_ascii_uppercase();
                let size: u64 = words.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
                std::io::copy(&mut (&mut input).take(size), &mut std::io::sink())?;
                if words.contains("LAST") {
                    counts.add(&mut recipients);
                }
                replies.extend_from_slice(b"250 2.0.0 taken\r\n");
            }
            b"QUIT" => {
                replies.extend_from_slice(b"221 2.0.0 bye\r\n");
                return out.write_all(&replies);
            }
            _ => {
                recipients = if verb == b"RCPT" { recipients + 1 } else { 0 };
                replies.extend_from_slice(b"250 2.0.0 ok\r\n");
            }
        }
    }
}

/// Reads up to the line with the dot.
fn skip_text(input: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    const END: &[u8] = b"\r\n.\r\n";
    let mut matched = 2;
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut used = bytes.len();
        for (at, byte) in bytes.iter().enumerate() {
            matched = match matched {
                n if *byte == END[n] => n + 1,
                _ if *byte == b'\r' => 1,
                _ => 0,
            };
            if matched == END.len() {
                used = at + 1;
                break;
            }
        }
        input.consume(used);
        if matched == END.len() {
            return Ok(());
        }
    }
}
