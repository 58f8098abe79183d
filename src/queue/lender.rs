//! One connection for many conversations, each of which believes that it makes its own.
//!
//! Used by `turned`. What a conversation must not notice: its QUIT is not sent, and answered here; the peer greets once, later
//! conversations are greeted here; STARTTLS is taken out of what the peer offers, because TLS is the matter of who carries the
//! connection. What a conversation may leave behind: replies that it did not wait for are read before the next one begins; inside a text,
//! or after trouble with the network, nothing may follow, and the connection is given up. So one message never runs into the next.
//! Invariant: `owed` is the number of commands sent less the number of replies read.

use super::conversation::{Net, NetError, Wire};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Wait for the reply to the last QUIT, and for a greeting when there is nothing to say.
const GOODBYE: Duration = Duration::from_secs(2);
/// Wait for replies that a conversation has left unread.
const LEFT_OVER: Duration = Duration::from_secs(60);
/// Longest line of a reply, in octets; what is longer breaks the connection.
const LINE_LIMIT: usize = 8192;

/// Lends the connection out.
pub(super) struct Lender {
    loan: Arc<Mutex<Loan>>,
}

/// The connection, and where its dialogue stands.
struct Loan {
    wire: Box<dyn Wire + Send>,
    /// Read from the peer, not a whole line yet.
    torn: Vec<u8>,
    /// Conversations so far.
    count: usize,
    owed: usize,
    /// The peer has asked for the text, and its end was not sent.
    in_text: bool,
    /// The last octets of the text.
    tail: Vec<u8>,
    is_lost: bool,
}

/// The connection in one conversation's hands.
struct Borrowed {
    loan: Arc<Mutex<Loan>>,
    /// To be received.
    ready: Vec<u8>,
}

impl Lender {
    pub(super) fn new(wire: Box<dyn Wire + Send>) -> Lender {
        let (torn, tail) = (Vec::new(), Vec::new());
        // The greeting is owed.
        let loan = Loan { wire, torn, count: 0, owed: 1, in_text: false, tail, is_lost: false };
        Lender { loan: Arc::new(Mutex::new(loan)) }
    }

    /// True when nothing more can be sent.
    pub(super) fn is_lost(&self) -> bool {
        lock(&self.loan).is_lost
    }

    /// The peer's address, for the log.
    pub(super) fn peer(&self) -> String {
        lock(&self.loan).wire.peer()
    }

    /// Says the QUIT that conversations may not say.
    pub(super) fn end(&self) {
        let mut loan = lock(&self.loan);
        if !loan.is_lost && loan.settle(GOODBYE).is_ok() && loan.wire.send(b"QUIT\r\n").is_ok() {
            loan.owed = 1;
            let _ = loan.settle(GOODBYE);
        }
    }
}

/// A panic while it was held leaves a connection that is as good as its last word.
fn lock(loan: &Mutex<Loan>) -> MutexGuard<'_, Loan> {
    loan.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Net for Lender {
    fn connect(&self, _host: &str, _port: u16, patience: Duration) -> Result<Box<dyn Wire>, NetError> {
        let mut loan = lock(&self.loan);
        if loan.is_lost {
            return Err(NetError("the connection is over".to_string()));
        }
        let mut ready = Vec::new();
        if loan.count > 0 {
            loan.settle(LEFT_OVER.min(patience))?;
            ready = b"220 again\r\n".to_vec();
        }
        loan.count += 1;
        Ok(Box::new(Borrowed { loan: self.loan.clone(), ready }))
    }
}

impl Loan {
    /// Reads the replies that are still owed, and drops them.
    fn settle(&mut self, patience: Duration) -> Result<(), NetError> {
        while self.owed > 0 {
            self.lines(patience)?;
        }
        Ok(())
    }

    /// Reads up to the end of a line at least; gives whole lines, and counts the replies in them.
    fn lines(&mut self, patience: Duration) -> Result<Vec<u8>, NetError> {
        let mut buffer = [0; 4096];
        let end = loop {
            if let Some(end) = memchr::memrchr(b'\n', &self.torn) {
                break end + 1;
            }
            let received = if self.torn.len() > LINE_LIMIT {
                Err(NetError("a line without end".to_string()))
            } else {
                self.wire.receive(&mut buffer, patience)
            };
            match received {
                Ok(0) => {
                    self.is_lost = true;
                    return Err(NetError("the connection was closed".to_string()));
                }
                Ok(n) => self.torn.extend_from_slice(&buffer[..n]),
                Err(e) => {
                    self.is_lost = true;
                    return Err(e);
                }
            }
        };
        let rest = self.torn.split_off(end);
        let whole = std::mem::replace(&mut self.torn, rest);
        let mut out = Vec::with_capacity(whole.len());
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            if line.get(3) != Some(&b'-') {
                self.owed = self.owed.saturating_sub(1);
                if line.starts_with(b"354") {
                    self.in_text = true;
                    self.tail = b"\r\n".to_vec();
                }
            }
            let keyword = line.get(4..).unwrap_or_default().trim_ascii();
            match keyword.eq_ignore_ascii_case(b"STARTTLS") {
                true => out.extend([&line[..4], b"X-CARRIED\r\n"].concat()),
                false => out.extend_from_slice(line),
            }
        }
        Ok(out)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        if self.in_text {
            self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(5)..]);
            let cut = self.tail.len().saturating_sub(5);
            self.tail.drain(..cut);
            // Inside a text that is encoded as it must be, this is its end and nothing else (RFC 5321 §4.5.2).
            if self.tail == b"\r\n.\r\n" {
                self.in_text = false;
                self.owed += 1;
            }
        } else {
            self.owed += memchr::memchr_iter(b'\n', bytes).count();
        }
        self.wire.send(bytes).inspect_err(|_| self.is_lost = true)
    }
}

impl Wire for Borrowed {
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        let mut loan = lock(&self.loan);
        if bytes == b"QUIT\r\n" && !loan.in_text {
            self.ready.extend_from_slice(b"221 2.0.0 kept\r\n");
            return Ok(());
        }
        loan.send(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, NetError> {
        if self.ready.is_empty() {
            self.ready = lock(&self.loan).lines(patience)?;
        }
        let n = self.ready.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.ready[..n]);
        self.ready.drain(..n);
        Ok(n)
    }

    fn start_tls(&mut self, _host: &str) -> Result<(), NetError> {
        Err(NetError("the connection is carried by another".to_string()))
    }

    fn peer(&self) -> String {
        lock(&self.loan).wire.peer()
    }
}

/// A text that was not ended must not be taken for a whole one.
impl Drop for Borrowed {
    fn drop(&mut self) {
        let mut loan = lock(&self.loan);
        loan.is_lost |= loan.in_text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each line with the next reply; what it was told lies in `heard`.
    struct Peer {
        replies: std::collections::VecDeque<&'static str>,
        waiting: Vec<u8>,
        heard: Arc<Mutex<Vec<u8>>>,
    }

    impl Wire for Peer {
        fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
            self.heard.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        }

        fn receive(&mut self, buffer: &mut [u8], _: Duration) -> Result<usize, NetError> {
            if self.waiting.is_empty() {
                self.waiting = self.replies.pop_front().unwrap_or_default().as_bytes().to_vec();
            }
            // One octet at a time: lines are put together.
            let Some(first) = self.waiting.first().copied() else { return Ok(0) };
            buffer[0] = first;
            self.waiting.remove(0);
            Ok(1)
        }

        fn start_tls(&mut self, _: &str) -> Result<(), NetError> {
            panic!("TLS is not its matter")
        }

        fn peer(&self) -> String {
            "peer".into()
        }
    }

    fn lender(replies: &[&'static str]) -> (Lender, Arc<Mutex<Vec<u8>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let replies = replies.iter().copied().collect();
        (Lender::new(Box::new(Peer { replies, waiting: Vec::new(), heard: heard.clone() })), heard)
    }

    fn hear(wire: &mut Box<dyn Wire>) -> String {
        let mut buffer = [0; 4096];
        let n = wire.receive(&mut buffer, GOODBYE).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }

    fn borrow(lender: &Lender) -> Result<Box<dyn Wire>, NetError> {
        lender.connect("", 0, GOODBYE)
    }

    #[test]
    fn the_peer_greets_once_and_hears_one_quit() {
        let (lender, heard) = lender(&[
            "220 peer\r\n",
            "250-peer\r\n",
            "250-starttls\r\n",
            "250 DSN\r\n",
            "250 again\r\n",
            "221 bye\r\n",
        ]);
        let mut first = borrow(&lender).unwrap();
        assert_eq!(hear(&mut first), "220 peer\r\n");
        first.send(b"EHLO us\r\n").unwrap();
        assert_eq!(
            [hear(&mut first), hear(&mut first), hear(&mut first)].concat(),
            "250-peer\r\n250-X-CARRIED\r\n250 DSN\r\n"
        );
        assert!(first.start_tls("h").is_err());
        first.send(b"QUIT\r\n").unwrap();
        assert!(hear(&mut first).starts_with("221"));
        drop(first);
        let mut second = borrow(&lender).unwrap();
        assert!(hear(&mut second).starts_with("220"));
        second.send(b"EHLO us\r\n").unwrap();
        assert_eq!(hear(&mut second), "250 again\r\n");
        drop(second);
        lender.end();
        assert_eq!(*heard.lock().unwrap(), b"EHLO us\r\nEHLO us\r\nQUIT\r\n");
        assert!(!lender.is_lost());
    }

    #[test]
    fn replies_that_were_left_are_not_the_next_ones() {
        let (lender, _) = lender(&["220 x\r\n", "550 no\r\n", "503 MAIL first\r\n", "250 fine\r\n"]);
        let mut first = borrow(&lender).unwrap();
        hear(&mut first);
        first.send(b"MAIL FROM:<>\r\nRCPT TO:<a@b>\r\n").unwrap();
        assert_eq!(hear(&mut first), "550 no\r\n");
        drop(first);
        let mut second = borrow(&lender).unwrap();
        assert!(hear(&mut second).starts_with("220"));
        second.send(b"EHLO us\r\n").unwrap();
        assert_eq!(hear(&mut second), "250 fine\r\n");
    }

    #[test]
    fn nothing_follows_a_text_without_end() {
        for (pieces, is_lost) in [
            (&[&b"Subject: x\r\n\r\nhalf"[..]][..], true),
            (&[b"no dot\r\n.", b"\r\n"], false),
            (&[b".\r\n"], false),
            (&[b"a line that ends so.\r\n"], true),
            (&[b"x\r\n", b"..\r\n"], true),
            (&[b"x\r\n", b".\r\n"], false),
        ] {
            let (lender, heard) = lender(&["220 x\r\n", "354 go on\r\n", "250 ok\r\n", "250 fine\r\n"]);
            let mut first = borrow(&lender).unwrap();
            hear(&mut first);
            first.send(b"DATA\r\n").unwrap();
            hear(&mut first);
            pieces.iter().for_each(|piece| first.send(piece).unwrap());
            drop(first);
            assert_eq!((lender.is_lost(), borrow(&lender).is_err()), (is_lost, is_lost), "{pieces:?}");
            lender.end();
            assert_eq!(heard.lock().unwrap().ends_with(b"QUIT\r\n"), !is_lost, "{pieces:?}");
        }
    }

    #[test]
    fn a_peer_that_leaves_or_never_ends_a_line_ends_it() {
        let (lender, _) = lender(&["220 x\r\n"]);
        let mut first = borrow(&lender).unwrap();
        hear(&mut first);
        first.send(b"EHLO us\r\n").unwrap();
        assert!(first.receive(&mut [0; 10], GOODBYE).is_err() && lender.is_lost());
        let (lender, _) = super::tests::lender(&[Box::leak("2".repeat(LINE_LIMIT + 10).into_boxed_str())]);
        assert!(borrow(&lender).unwrap().receive(&mut [0; 10], GOODBYE).is_err() && lender.is_lost());
    }
}
