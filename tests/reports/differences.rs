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

const EXACT: &str = "5.0.0 says no more than that it failed; the words of the host say why, and so do we";

pub const SISIMAI: &[Difference] = &[
    row("lhost-courier-02.eml 1", EXACT),
    row("lhost-ezweb-02.eml 1", EXACT),
    row("lhost-gsuite-02.eml 1", EXACT),
    row("lhost-messagelabs-01.eml 1", EXACT),
    row("lhost-messagelabs-02.eml 1", EXACT),
    row("lhost-powermta-02.eml 1", EXACT),
    row("lhost-qmail-04.eml 1", EXACT),
    row("lhost-surfcontrol-01.eml 1", EXACT),
    row("rfc3464-03.eml 1", EXACT),
    row("lhost-notes-01.eml 1", "the text says nothing, and the private code says that; 5.0.0 does too"),
    row("lhost-v5sendmail-05.eml 1", "the line that sendmail has for this recipient: the connection broke"),
    row("lhost-v5sendmail-07.eml 1", "the line that sendmail has for this recipient: a remote protocol error"),
    row("lhost-x3-02.eml 1", "no gateway was found, which is why it expired"),
    row("rfc3464-01.eml 1", "the report says 5.1.1 and user unknown: hard, whatever the name of the mailbox"),
    row("rfc3464-28.eml 2", "two reports in one file: a message has one"),
];

pub const FLUFL: &[Difference] = &[];
