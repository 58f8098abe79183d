//! Messages, looked into: header fields, and what a header as a whole shows.
//!
//! Called by the services for limits, loops and completion. Values only: text in, values out; nothing here touches a file.

pub mod address;
pub mod bodystructure;
pub mod content;
pub mod envelope;
mod header;
pub mod nstring;
pub mod section;
pub mod structure;

pub use header::{
    FIELD_LIMIT, Facts, Field, HEADER_LIMIT, Piece, all_fields, fields, find, fold, header_end, is_field_start, pieces,
};
