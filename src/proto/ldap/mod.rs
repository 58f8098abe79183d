//! LDAP, the client's side: questions to a directory, and what comes back. No I/O.
//!
//! Called by `route` for maps of class `ldap`. Three requests: log in, search, say farewell. [`Reader::feed`] takes octets as they come,
//! [`Reader::message`] gives messages that are whole.
//! Trust: the server is hostile. Elements have to fit into each other, a message has a limit; what breaks that ends the conversation.
//! Not here: writing to a directory, StartTLS, SASL, controls; sendmail's maps need none of them.
//! RFC 4511, RFC 4513 §5.1, RFC 4515, RFC 4516.

mod ber;
mod filter;
mod message;
mod url;

pub use filter::{Filter, FilterError, escape};
pub use message::{Deref, Entry, Outcome, Response, Scope, Search, bind, meaning, search, unbind};
pub use url::{Scheme, Url, UrlError, host_and_port};

/// Largest message, in octets: a group with a hundred thousand members is one entry.
const MESSAGE_LIMIT: usize = 16 << 20;

/// What the server did that no server may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ServerError(pub &'static str);

/// Cuts a server's octets into messages.
#[derive(Debug, Default)]
pub struct Reader {
    input: Vec<u8>,
    taken: usize,
}

impl Reader {
    /// Takes what has come.
    pub fn feed(&mut self, octets: &[u8]) {
        if self.taken > 0 {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
        self.input.extend_from_slice(octets);
    }

    /// The next message and its number; `None` when more must come.
    pub fn message(&mut self) -> Result<Option<(u32, Response)>, ServerError> {
        let rest = self.input.get(self.taken..).unwrap_or_default();
        if rest.first().is_some_and(|tag| *tag != ber::SEQUENCE) {
            return Err(ServerError("no message"));
        }
        let Some(length) = ber::whole_length(rest)? else { return Ok(None) };
        if length > MESSAGE_LIMIT {
            return Err(ServerError("a message that is too long"));
        }
        let Some(text) = rest.get(..length) else { return Ok(None) };
        let found = message::response(text)?;
        self.taken += length;
        Ok(Some(found))
    }

    /// True when nothing is left that has not been given.
    pub fn is_empty(&self) -> bool {
        self.taken == self.input.len()
    }
}

#[cfg(test)]
mod tests;
