//! What of the suite does not pass, and why.

use crate::sieve::{Envelope, Notify, Vacation};

/// File, test (`*` is every failing one, `` the file itself), reason.
pub const KNOWN: &[(&str, &str, &str)] = &[];

/// True when a failure is known.
pub fn is_listed(file: &str, test: &str) -> bool {
    KNOWN.iter().any(|(f, t, _)| *f == file && (*t == test || *t == "*"))
}

pub fn refusal(_: &[u8], _: &Envelope, _: &str) -> Option<Vec<u8>> {
    None
}

pub fn answer(_: &[u8], _: &Envelope, _: &Vacation) -> Option<Vec<u8>> {
    None
}

pub fn notification(_: &[u8], _: &Envelope, _: &Notify) -> Option<Vec<u8>> {
    None
}
