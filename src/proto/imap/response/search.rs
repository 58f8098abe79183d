//! SEARCH, ESEARCH, SORT, THREAD.

use super::{end, mailbox, put, string};
use crate::mailbox::{ModSeq, UidSet, UidValidity};
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

/// `* UIDBATCHES (TAG "…") from:to,…` (RFC 10022): batches from the newest down, the larger identifier of each first.
pub fn uid_batches(out: &mut Vec<u8>, tag: &str, batches: &[(u32, u32)]) {
    put(out, "* UIDBATCHES (TAG ");
    string(out, tag.as_bytes());
    put(out, if batches.is_empty() { ")" } else { ") " });
    ranges(out, batches);
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

/// A message of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its number; 0 for a message that is missing and only holds its children together.
    pub number: u32,
    /// How many of the nodes behind it are below it, children's children included.
    pub below: usize,
}

/// `* THREAD (…)(…)` (RFC 5256 §4). The nodes stand in depth-first order; no recursion, so that a reply chain of any length is fine.
pub fn thread(out: &mut Vec<u8>, nodes: &[Node]) {
    put(out, "* THREAD");
    if !nodes.is_empty() {
        put(out, " ");
    }
    // Ends of the parentheses that are open, by the index behind their last node.
    let mut open: Vec<usize> = Vec::new();
    // True when the node continues its parent's chain without parentheses of its own.
    let mut is_chained = false;
    for (index, node) in nodes.iter().enumerate() {
        let is_only_child = |child: &Node| child.below + 1 == node.below;
        let has_only_child = node.below > 0 && nodes.get(index + 1).is_some_and(is_only_child);
        // A missing message shows itself by holding several children together, and in no other way.
        if node.number > 0 || (node.below > 0 && !has_only_child) {
            match is_chained {
                true => put(out, " "),
                false => {
                    put(out, "(");
                    open.push((index + 1).saturating_add(node.below).min(nodes.len()));
                }
            }
            is_chained = has_only_child;
        }
        if node.number > 0 {
            put(out, &node.number.to_string());
            if node.below > 0 && !has_only_child {
                put(out, " ");
            }
        }
        while open.last().is_some_and(|end| *end == index + 1) {
            open.pop();
            put(out, ")");
        }
    }
    super::end(out);
}
