//! Messages, looked into: header fields, MIME structure, and what IMAP shows of them and searches in them.
//!
//! Called by the services for limits, loops and completion, and by IMAP and its index. Values only: text in, values out;
//! nothing here touches a file. Texts are stored ones, with LF line ends as a rule; sizes are those of the CRLF form.
//!
//! | what | where |
//! |---|---|
//! | raw: as the message has it | this file, `content`, `structure`, `address`, `envelope`, `section` |
//! | many in one file | `mbox` |
//! | printed for IMAP | `nstring`, `bodystructure` |
//! | rewritten for clients that read ASCII headers only | `surrogate` |
//! | encoded: texts of our own | `encode` |
//! | rewritten for hosts that take seven bits only | `seven_bit` |
//! | rewritten for mailers that want eight | `eight_bit` |
//! | signed: messages of our own | `dkim` |
//! | decoded: for people who search and read | `charset`, `transfer`, `words`, `html`, `text`, `folding`, `subject`, `date` |

pub mod address;
pub mod automatic;
pub mod bodystructure;
pub mod charset;
pub mod content;
pub mod date;
pub mod digest;
pub mod dkim;
pub mod eight_bit;
pub mod encode;
pub mod envelope;
pub mod folding;
pub mod grams;
mod header;
pub mod html;
pub mod mbox;
pub mod nstring;
pub mod section;
pub mod seven_bit;
pub mod structure;
pub mod subject;
pub mod surrogate;
pub mod text;
pub mod transfer;
pub mod words;

pub use header::{
    FIELD_LIMIT, Facts, Field, HEADER_LIMIT, Piece, all_fields, fields, find, fold, header_end, is_field_start, pieces,
};
