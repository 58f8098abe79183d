//! POP3, the server's machine (RFC 1939, 2449, 2595, 3206, 5034, 6856).

mod auth;
mod commands;
mod server;

pub use server::{Answer, Ask, Config, Context, Denial, Listed, Listing, Pop3Session};

#[cfg(test)]
mod tests;
