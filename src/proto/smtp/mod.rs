//! SMTP, submission and LMTP: the server's machine, the commands' grammar, and the reader of replies for the client.

mod ask;
mod auth;
mod body;
mod commands;
mod config;
mod hello;
mod help;
mod params;
pub mod reply;
mod requests;
mod server;
mod turn;

pub use ask::{Answer, Ask, Begin};
pub use config::{Config, Context, Extensions, Kind, Limits, Manners, Names};
pub use help::Help;
pub use params::{Mail, Rcpt};
pub use server::SmtpSession;
pub use turn::{Said, Then};

#[cfg(test)]
mod tests;
