//! ExpressMail: a mail system of small Unix commands around a file spool.
//!
//! The library is built in floors; a module imports lower floors only, which `tests/house/floors.rs` checks.
//!
//! | floor | modules |
//! |---|---|
//! | 4 programs | `cli`, `drive` |
//! | 3 services | `serve`, `route`, `policy`, `deliver`, `queue`, `nexthop`, `bounce`, `list`, `submit`, `migrate` |
//! | 2 protocols | `proto` |
//! | 2′ stores | `spool`, `store`, `users`, `lists`, `tables`, `config` |
//! | 1 values | `addr`, `envelope`, `mailbox`, `msg`, `report`, `rules`, `sasl`, `settings`, `sieve`, `status` |
//! | 0 ground | `line`, `dot`, `fields`, `fsx`, `clock`, `log` |

#![deny(unsafe_code)]

pub mod addr;
pub mod bounce;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod dot;
pub mod drive;
pub mod envelope;
pub mod fields;
pub mod fsx;
pub mod line;
pub mod list;
pub mod lists;
pub mod log;
pub mod mailbox;
pub mod migrate;
pub mod msg;
pub mod nexthop;
pub mod policy;
pub mod proto;
pub mod queue;
pub mod report;
pub mod route;
pub mod rules;
pub mod sasl;
pub mod serve;
pub mod settings;
pub mod sieve;
pub mod spool;
pub mod srs;
pub mod status;
pub mod store;
pub mod submit;
mod syscall;
pub mod tables;
pub mod users;
