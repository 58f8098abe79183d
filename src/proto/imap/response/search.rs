//! SEARCH, ESEARCH, SORT, THREAD.

use super::{end, mailbox, put, string};
use crate::mailbox::{ModSeq, Threads, UidSet, UidValidity};
use crate::proto::imap::command::{MailboxName, PartialRange};
use crate::proto::imap::extension::Enabled;

/// `* SEARCH n n …` of IMAP4rev1, with the highest modification sequence where MODSEQ was searched for (RFC 7162 §3.1.5).
pub fn search(out: &mut Vec<u8>, numbers: impl IntoIterator<Item = u32>, modseq: Option<ModSeq>) {
    numbers_line(out, "* SEARCH", numbers, modseq);
}

/// `* SORT n n …` (RFC 5256 §4).
pub fn sort(out: &mut Vec<u8>, numbers: impl IntoIterator<Item = u32>, modseq: Option<ModSeq>) {
    numbers_line(out, "* SORT", numbers, modseq);
}

fn numbers_line(out: &mut Vec<u8>, verb: &str, numbers: impl IntoIterator<Item = u32>, modseq: Option<ModSeq>) {
    put(out, verb);
    let before = out.len();
    for number in numbers {
        put(out, &format!(" {number}"));
    }
    // RFC 7162 §7: only behind a result.
    if let Some(modseq) = modseq.filter(|_| out.len() > before) {
        put(out, &format!(" (MODSEQ {modseq})"));
    }
    end(out);
}

/// What an ESEARCH response tells (RFC 4731, RFC 5267, RFC 6203, RFC 7377, RFC 9394).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Esearch<'a> {
    /// The command's tag.
    pub tag: &'a str,
    /// ESEARCH of several mailboxes: this one, and its generation.
    pub mailbox: Option<(&'a MailboxName, UidValidity)>,
    /// Numbers are identifiers.
    pub is_uid: bool,
    /// MIN.
    pub min: Option<u32>,
    /// MAX.
    pub max: Option<u32>,
    /// COUNT.
    pub count: Option<u32>,
    /// ALL; left out when empty. For SORT in its order, as ranges.
    pub all: Option<&'a [(u32, u32)]>,
    /// PARTIAL: the range asked for, and the numbers in it, in their order.
    pub partial: Option<(PartialRange, &'a [(u32, u32)])>,
    /// ADDTO: position in the result (0 when it has no order) and numbers.
    pub add_to: &'a [(u32, UidSet)],
    /// REMOVEFROM.
    pub remove_from: &'a [(u32, UidSet)],
    /// RELEVANCY: scores from 1 to 100, in the order of the results.
    pub relevancy: Option<&'a [u8]>,
    /// MODSEQ.
    pub modseq: Option<ModSeq>,
}

/// `* ESEARCH …`.
pub fn esearch(out: &mut Vec<u8>, found: &Esearch, enabled: Enabled) {
    put(out, "* ESEARCH (TAG ");
    string(out, found.tag.as_bytes());
    if let Some((name, validity)) = found.mailbox {
        put(out, " MAILBOX ");
        mailbox(out, name, enabled);
        put(out, &format!(" UIDVALIDITY {validity}"));
    }
    put(out, if found.is_uid { ") UID" } else { ")" });
    for (name, number) in [(" MIN ", found.min), (" MAX ", found.max), (" COUNT ", found.count)] {
        if let Some(number) = number {
            put(out, &format!("{name}{number}"));
        }
    }
    if let Some(all) = found.all.filter(|all| !all.is_empty()) {
        put(out, " ALL ");
        ranges(out, all);
    }
    if let Some((range, numbers)) = found.partial {
        // RFC 5267 §4.4 lets clients write the ends in any order; the answer has the smaller one first.
        let range = PartialRange { from: range.from.min(range.to), to: range.from.max(range.to), ..range };
        put(out, &format!(" PARTIAL ({range} "));
        match numbers.is_empty() {
            true => put(out, "NIL"),
            false => ranges(out, numbers),
        }
        put(out, ")");
    }
    for (name, updates) in [(" ADDTO (", found.add_to), (" REMOVEFROM (", found.remove_from)] {
        for (index, (position, numbers)) in updates.iter().enumerate() {
            put(out, if index == 0 { name } else { " " });
            put(out, &format!("{position} {numbers}"));
        }
        if !updates.is_empty() {
            put(out, ")");
        }
    }
    if let Some(scores) = found.relevancy {
        put(out, " RELEVANCY ");
        super::list_of(out, scores, |out, score| put(out, &score.to_string()));
    }
    if let Some(modseq) = found.modseq {
        put(out, &format!(" MODSEQ {modseq}"));
    }
    end(out);
}

/// `* UIDBATCHES (TAG "…") from:to,…` (RFC 10022 §3.1.2): batches from the newest down, the larger identifier of each first; a batch of one
/// identifier names it twice.
pub fn uid_batches(out: &mut Vec<u8>, tag: &str, batches: &[(u32, u32)]) {
    put(out, "* UIDBATCHES (TAG ");
    string(out, tag.as_bytes());
    put(out, ")");
    for (index, (from, to)) in batches.iter().enumerate() {
        let between = if index > 0 { "," } else { " " };
        put(out, &format!("{between}{from}:{to}"));
    }
    end(out);
}

fn ranges(out: &mut Vec<u8>, ranges: &[(u32, u32)]) {
    for (index, (from, to)) in ranges.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        match from == to {
            true => put(out, &format!("{comma}{from}")),
            false => put(out, &format!("{comma}{from}:{to}")),
        }
    }
}

/// `* THREAD (…)(…)` (RFC 5256 §4).
pub fn thread(out: &mut Vec<u8>, threads: &Threads) {
    put(out, "* THREAD ");
    let before = out.len();
    threads.print(out);
    if out.len() == before {
        out.pop();
    }
    end(out);
}
