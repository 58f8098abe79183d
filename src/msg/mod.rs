//! Messages, looked into: header fields, and what a header as a whole shows.
//!
//! Called by the services for limits, loops and completion. Values only: text in, values out; nothing here touches a file.

mod header;

pub use header::{Facts, Field, fields, find, fold, header_end, is_field_start};
