//! SMTP, submission and LMTP: the server's machine, the commands' grammar, and the reader of replies for the client.

mod auth;
mod body;
mod commands;
mod hello;
mod params;
pub mod reply;
mod server;

pub use params::{Mail, Rcpt};
pub use server::{Answer, Ask, Begin, Config, Context, Kind, Limits, SmtpSession};

#[cfg(test)]
mod tests;
