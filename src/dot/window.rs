//! A window of the CRLF form of stored text, given out piece by piece: what an IMAP literal holds.
//!
//! Called by FETCH and by whatever sends text of a known size without stuffing. Nothing but LF without CR changes: a bare CR stays
//! (RFC 9051 §4.3 lets a literal hold it), since the client must see what is stored. So does NUL, which only a `literal8` may hold:
//! what to do about it is the caller's decision.
//! The cursor keeps no reference to the text: the session holds it while other things happen, and offers the same text again.

use std::ops::Range;

/// Where the next octet comes from.
#[derive(Debug, Clone)]
pub struct CrlfWindow {
    /// Ranges of the stored text still to come, last first; the last one is begun.
    ranges: Vec<Range<usize>>,
    /// A CR was given out for the LF at the start of the range that is begun.
    lf_due: bool,
    /// Octets still to come.
    left: u64,
}

impl CrlfWindow {
    /// Makes a window on these ranges of `text`, one after the other; `partial` is the first octet and the greatest number of
    /// octets, counted in CRLF form (RFC 9051 §6.4.5.1).
    ///
    /// # Panics
    /// When a range is not inside the text.
    pub fn new(text: &[u8], mut ranges: Vec<Range<usize>>, partial: Option<(u64, u64)>) -> CrlfWindow {
        ranges.reverse();
        let (mut skip, count) = partial.unwrap_or((0, u64::MAX));
        let mut window = CrlfWindow { ranges, lf_due: false, left: 0 };
        while let Some(range) = window.ranges.last_mut() {
            let size = super::crlf_size(&text[range.clone()]);
            if skip < size {
                let (passed, in_ending) = pass(&text[range.clone()], skip);
                range.start += passed;
                window.lf_due = in_ending;
                window.left = size - skip;
                break;
            }
            skip -= size;
            window.ranges.pop();
        }
        for range in window.ranges.iter().rev().skip(1) {
            // Enough is enough: counting costs a pass over the text.
            if window.left >= count {
                break;
            }
            window.left += super::crlf_size(&text[range.clone()]);
        }
        window.left = window.left.min(count);
        window
    }

    /// Octets still to come; of a new window, the size of the literal.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Appends at most `room` octets of the window to `out`.
    pub fn fill(&mut self, text: &[u8], room: usize, out: &mut Vec<u8>) {
        let mut room = room.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= room as u64;
        while room > 0 {
            let Some(range) = self.ranges.last_mut() else { return };
            if range.start == range.end {
                self.ranges.pop();
                continue;
            }
            let rest = &text[range.clone()];
            if self.lf_due {
                self.lf_due = false;
                out.push(b'\n');
                range.start += 1;
                room -= 1;
                continue;
            }
            let (taken, made) = whole_lines(rest, room, out);
            if taken > 0 {
                range.start += taken;
                room -= made;
                continue;
            }
            let run = match memchr::memchr(b'\n', rest) {
                // A CR of its own is written, and the LF comes with the next turn.
                Some(0) => {
                    out.push(b'\r');
                    self.lf_due = true;
                    room -= 1;
                    continue;
                }
                Some(lf) if rest[lf - 1] == b'\r' => lf + 1,
                Some(lf) => lf,
                None => rest.len(),
            };
            let taken = run.min(room);
            out.extend_from_slice(&rest[..taken]);
            range.start += taken;
            room -= taken;
            // Cut between a stored CR and its LF: no second CR.
            self.lf_due = taken > 0 && rest[taken - 1] == b'\r' && rest.get(taken) == Some(&b'\n');
        }
    }
}

/// Appends the lines at the front that fit: how many stored octets that took, and how many it made.
fn whole_lines(text: &[u8], room: usize, out: &mut Vec<u8>) -> (usize, usize) {
    let (start, mut from) = (out.len(), 0);
    for lf in memchr::memchr_iter(b'\n', text) {
        let ending: &[u8] = if lf > 0 && text[lf - 1] == b'\r' { b"\n" } else { b"\r\n" };
        if out.len() - start + (lf - from) + ending.len() > room {
            break;
        }
        out.extend_from_slice(&text[from..lf]);
        out.extend_from_slice(ending);
        from = lf + 1;
    }
    (from, out.len() - start)
}

/// How many stored bytes make `octets` of the CRLF form, and whether the last octet is the CR of the LF that follows.
fn pass(text: &[u8], octets: u64) -> (usize, bool) {
    let mut added = 0;
    for lf in memchr::memchr_iter(b'\n', text) {
        if lf as u64 + added >= octets {
            break;
        }
        if lf == 0 || text[lf - 1] != b'\r' {
            added += 1;
            if lf as u64 + added == octets {
                return (lf, true);
            }
        }
    }
    // Fits: the offset is smaller than the text's CRLF form, which is at most twice as long as the text.
    let passed = (octets - added) as usize;
    (passed, passed > 0 && text[passed - 1] == b'\r' && text.get(passed) == Some(&b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CRLF form, made the slow way.
    fn wire(text: &[u8]) -> Vec<u8> {
        let mut out: Vec<u8> = Vec::new();
        for byte in text {
            if *byte == b'\n' && out.last() != Some(&b'\r') {
                out.push(b'\r');
            }
            out.push(*byte);
        }
        out
    }

    #[test]
    fn every_window_of_every_text_in_pieces_of_every_size() {
        for text in [&b""[..], b"\n", b"a\nb\r\nc", b"\n\n\r\n\r\r\n\n", b"\r", b"x\ry\r\n\rz\n"] {
            let whole = wire(text);
            for origin in 0..=whole.len() + 1 {
                for count in 0..=whole.len() + 1 {
                    let end = whole.len().min(origin + count);
                    let expected = whole.get(origin..end).unwrap_or(b"");
                    for room in 1..=whole.len().max(1) {
                        let ranges = std::iter::once(0..text.len()).collect();
                        let mut window = CrlfWindow::new(text, ranges, Some((origin as u64, count as u64)));
                        assert_eq!(window.left(), expected.len() as u64, "{text:?} {origin}.{count}");
                        let mut out = Vec::new();
                        while window.left() > 0 {
                            window.fill(text, room, &mut out);
                        }
                        assert_eq!(out, expected, "{text:?} {origin}.{count} by {room}");
                    }
                }
            }
        }
    }

    #[test]
    fn ranges_follow_each_other() {
        let text = b"one\ntwo\nthree\n";
        let ranges = || vec![0..4, 4..4, 8..14];
        let mut window = CrlfWindow::new(text, ranges(), None);
        let mut out = Vec::new();
        assert_eq!(window.left(), 12);
        window.fill(text, usize::MAX, &mut out);
        assert_eq!(out, b"one\r\nthree\r\n");
        for origin in 0..13 {
            let mut window = CrlfWindow::new(text, ranges(), Some((origin, 3)));
            let mut part = Vec::new();
            window.fill(text, usize::MAX, &mut part);
            let from = origin as usize;
            assert_eq!(part, out[from..(from + 3).min(12)], "{origin}");
        }
    }
}
