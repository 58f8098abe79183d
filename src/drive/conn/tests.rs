use super::*;

/// Answers lines with themselves; behind `GO` in DEFLATE.
struct Echo {
    line: Vec<u8>,
    out: Vec<u8>,
    starts: bool,
    now: Instant,
}

impl Session for Echo {
    type Ask = ();
    type Answer = ();

    fn input(&mut self, _now: Instant, bytes: &[u8]) -> usize {
        if self.starts {
            return 0;
        }
        let end = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |i| i + 1);
        self.line.extend_from_slice(&bytes[..end]);
        if self.line.ends_with(b"\n") {
            self.starts = self.line == b"GO\n";
            self.out.append(&mut self.line);
        }
        end
    }

    fn input_closed(&mut self, _now: Instant) {}
    fn answer(&mut self, _now: Instant, (): ()) {}
    fn tls_started(&mut self, _now: Instant, _tls: TlsFacts) {}

    fn deadline(&self) -> Option<Instant> {
        Some(self.now)
    }

    fn timeout(&mut self, _now: Instant) {}

    fn next(&mut self) -> Step<()> {
        if !self.out.is_empty() {
            return Step::Send(std::mem::take(&mut self.out));
        }
        match std::mem::take(&mut self.starts) {
            true => Step::Compress,
            false => Step::Wait,
        }
    }
}

struct Nothing;

impl Service for Nothing {
    type Ask = ();
    type Answer = ();

    fn may_block(&self, (): &()) -> bool {
        false
    }

    fn answer(&mut self, _now: Moment, (): ()) {}
}

fn conn() -> Conn<Echo, Nothing> {
    let echo = Echo { line: Vec::new(), out: Vec::new(), starts: false, now: Instant::now() };
    Conn::new(echo, Nothing, None, Duration::from_secs(60))
}

fn taken(conn: &mut Conn<Echo, Nothing>) -> Vec<u8> {
    let out = conn.outgoing().to_vec();
    conn.wrote(out.len());
    out
}

fn unpacked(client: &mut Deflate, wire: &[u8]) -> Vec<u8> {
    client.packed().extend_from_slice(wire);
    let mut out = Vec::new();
    while !client.is_empty() {
        client.unpack(1000, &mut out).unwrap();
    }
    out
}

#[test]
fn both_directions_are_compressed_behind_the_reply() {
    for cut in [1, 1000] {
        let (mut conn, mut client) = (conn(), Deflate::new(Vec::new()));
        let mut wire = b"hello\nGO\n".to_vec();
        client.pack(b"abc\nxyz\n", &mut wire);
        let mut out = Vec::new();
        for piece in wire.chunks(cut) {
            conn.feed(piece);
            assert_eq!(conn.step(false), Want::Io);
            out.extend(taken(&mut conn));
        }
        let (clear, packed) = out.split_at(9);
        assert_eq!(clear, b"hello\nGO\n");
        assert_eq!(unpacked(&mut client, packed), b"abc\nxyz\n");
        assert!(conn.wants_input());
    }
}

#[test]
fn a_long_line_comes_in_pieces_and_nonsense_ends_the_connection() {
    let (mut conn, mut client) = (conn(), Deflate::new(Vec::new()));
    let long = [vec![b'x'; 3 * INFLATED], b"\n".to_vec()].concat();
    let mut wire = b"GO\n".to_vec();
    client.pack(&long, &mut wire);
    conn.feed(&wire);
    assert_eq!(conn.step(false), Want::Io);
    let out = taken(&mut conn);
    assert_eq!(unpacked(&mut client, &out[3..]), long);
    conn.feed(b"in clear\n");
    assert_eq!(conn.step(false), Want::Close);
}

/// Asks three times before it waits, and sends each answer.
struct Asker {
    left: u32,
    out: Vec<u8>,
}

impl Session for Asker {
    type Ask = u32;
    type Answer = u8;

    fn input(&mut self, _now: Instant, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn input_closed(&mut self, _now: Instant) {}

    fn answer(&mut self, _now: Instant, answer: u8) {
        self.out.push(answer);
    }

    fn tls_started(&mut self, _now: Instant, _tls: TlsFacts) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn timeout(&mut self, _now: Instant) {}

    fn next(&mut self) -> Step<u32> {
        match (self.out.is_empty(), self.left) {
            (false, _) => Step::Send(std::mem::take(&mut self.out)),
            (true, 0) => Step::Wait,
            (true, left) => {
                self.left -= 1;
                Step::Ask(left)
            }
        }
    }
}

struct Counter;

impl Service for Counter {
    type Ask = u32;
    type Answer = u8;

    fn may_block(&self, _ask: &u32) -> bool {
        true
    }

    fn answer(&mut self, _now: Moment, ask: u32) -> u8 {
        b'0' + ask as u8
    }
}

#[test]
fn what_a_long_command_says_meanwhile_goes_out_before_it_goes_on() {
    let conn = |flush_after| {
        let asker = Asker { left: 3, out: Vec::new() };
        let mut conn = Conn::new(asker, Counter, None, Duration::from_secs(60));
        conn.flush_after = flush_after;
        conn
    };
    let mut slow = conn(Duration::ZERO);
    for (sent, want) in [(b"3", Want::Again), (b"2", Want::Again), (b"1", Want::Io)] {
        assert_eq!(slow.step(true), want);
        assert_eq!(slow.outgoing(), sent);
        slow.wrote(1);
    }
    let mut fast = conn(Duration::from_secs(60));
    assert_eq!(fast.step(false), Want::Worker);
    assert_eq!(fast.step(true), Want::Io);
    assert_eq!(fast.outgoing(), b"321");
}
