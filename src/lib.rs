//! ExpressMail: a mail system of small Unix commands around a file spool.
//!
//! The library is built in floors; a module imports lower floors only, which `tests/layers.rs` checks.
//!
//! | floor | modules |
//! |---|---|
//! | 4 programs | `cli`, `drive` |
//! | 3 services | `serve`, `route`, `policy`, `deliver`, `queue`, `bounce`, `submit` |
//! | 2 protocols | `proto` |
//! | 2′ stores | `spool`, `store`, `users`, `tables`, `config` |
//! | 1 values | `addr`, `envelope`, `msg`, `sasl`, `settings`, `status` |
//! | 0 ground | `line`, `dot`, `fsx`, `clock`, `log` |

#![deny(unsafe_code)]

pub mod addr;
pub mod clock;
pub mod dot;
pub mod envelope;
pub mod fsx;
pub mod line;
pub mod log;
pub mod proto;
pub mod status;
