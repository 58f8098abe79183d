//! ManageSieve, the server's machine (RFC 5804): clients put, list and choose their Sieve scripts.
//!
//! Driven by `drive`, answered by `serve::managesieve`. A command is framed first and understood second: what a literal holds can never
//! be read as a command. Names and scripts are handed on as they came; what may be a name, and whether a script is one, is the
//! service's to say.
//! Not done: SASL security layers, REFERRAL, and SCRAM-SHA-1 (no key for it is stored; SCRAM-SHA-256 takes its place).

mod ask;
mod auth;
mod commands;
mod frame;
mod reply;
mod server;
mod words;

pub use ask::{Answer, Ask, Config, Context, Denial, Listed, Piece, Refusal};
pub use reply::Code;
pub use server::ManageSieveSession;

#[cfg(test)]
mod tests;
