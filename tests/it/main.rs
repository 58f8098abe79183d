//! The product as its users meet it: through the real binaries, one module a capability.

mod accounts;
mod aliases;
mod clients;
mod crash;
mod dialogues;
mod emd;
mod emsend;
mod faults;
mod imap_corpus;
mod imap_foreign;
mod imap_stress;
mod imap_wire;
mod imaptest;
mod inetd;
mod main_job;
mod pop3;
mod queue;
mod relay;
mod rules;
mod sessions;
mod settings;
mod trash;
mod wire;
mod world;
