//! Protocol machines: bytes and time in, steps out; no I/O.
//!
//! A machine takes input only while it waits for some; when it needs something only the world can
//! answer it emits [`Step::Ask`] and takes no input until [`Session::answer`]. So pipelined commands are
//! answered in order by construction (RFC 2920 §3.2).
//!
//! Who drives it: `drive` (event loop, stdin under inetd) and the dialogue tests. The driver calls
//! [`Session::next`] until it returns [`Step::Wait`] or [`Step::Close`], but not while its own output is above
//! its high-water mark: that is how big answers stream with back-pressure.

pub mod imap;
pub mod imap_client;
pub mod ldap;
pub mod managesieve;
pub mod pop3;
pub mod poppass;
pub mod proxy;
pub mod smtp;

use std::time::Instant;

/// One connection's protocol state.
pub trait Session {
    /// A question that only the outside can answer.
    type Ask;
    /// Exactly one for each question, in order.
    type Answer;

    /// Offers input. Returns how much was taken; the rest is offered again after the next steps.
    ///
    /// Takes nothing while a question is open, a TLS handshake is due, or the session is closing.
    fn input(&mut self, now: Instant, bytes: &[u8]) -> usize;

    /// The peer will send no more.
    fn input_closed(&mut self, now: Instant);

    /// Answers the open question.
    fn answer(&mut self, now: Instant, answer: Self::Answer);

    /// TLS is up: all that was learnt in plaintext is forgotten (RFC 3207 §4.2). Also called after
    /// [`Step::ExpectTls`], on ports where TLS comes before the greeting.
    fn tls_started(&mut self, now: Instant, tls: TlsFacts);

    /// When [`Session::timeout`] wants to be called; `None` while only we are working.
    fn deadline(&self) -> Option<Instant>;

    /// The deadline has passed.
    fn timeout(&mut self, now: Instant);

    /// The server ends now, and this peer has had all its answers. A protocol that has a word for it says it, and closes.
    fn shutdown(&mut self, _now: Instant) {}

    /// What the service watches has changed. Most protocols have no word for that.
    fn notified(&mut self, _now: Instant) {}

    /// The next thing to do.
    fn next(&mut self) -> Step<Self::Ask>;
}

/// What a machine wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<A> {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Answer this question.
    Ask(A),
    /// Flush what was sent, then start the TLS handshake. Plaintext that has already arrived behind the command
    /// is an attack: the driver closes the connection (RELIABILITY R15).
    StartTls,
    /// The port begins with TLS: what has arrived, and what comes now, is the handshake (RFC 8314 §3.3).
    ExpectTls,
    /// Behind what was sent, both directions are compressed with DEFLATE (RFC 4978).
    Compress,
    /// Nothing to do before more input, or the deadline.
    Wait,
    /// Flush, then close the connection.
    Close,
}

/// A number as the protocols write it: digits only, where Rust's own parser takes a sign as well.
fn digits<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// What TLS knows about a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFacts {
    /// `TLSv1.3`.
    pub version: String,
    /// The suite's name, as in Received fields.
    pub cipher: String,
    /// `tls-exporter` channel binding (RFC 9266); `None` where the version gives none.
    pub exporter: Option<Vec<u8>>,
    /// The server name asked for.
    pub sni: Option<String>,
    /// The addresses in the client's certificate, where there is one and it was verified.
    pub client_names: Vec<String>,
}
