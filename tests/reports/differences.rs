//! Where a report is read in another way than its collection says, and why.

/// One of them.
pub struct Difference {
    /// The file, and the number of the recipient where the collection counts them.
    pub key: &'static str,
    /// Why it is right like that.
    pub why: &'static str,
}

const fn row(key: &'static str, why: &'static str) -> Difference {
    Difference { key, why }
}

pub const SISIMAI: &[Difference] = &[];

pub const FLUFL: &[Difference] = &[];
