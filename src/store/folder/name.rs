//! Names of message files: what other programs wrote into them, and what we write.
//!
//! `BASE` in `new`, `BASE:2,LETTERS` in `cur`. The base never changes: it is the message's identity. Letters are the system flags'
//! (`DFRST`) and `a`–`z` for the mailbox's first 26 keywords, as Dovecot has them. Letters that mean nothing to us stay in the name.
//! Names are octets: other programs may use any but `/` and NUL.

use crate::clock::Timestamp;
use crate::mailbox::{Flags, System};
use std::io::Write;

/// How many keywords have a letter.
const LETTERS: usize = 26;
/// What stands between base and letters.
const MARK: &[u8] = b":2,";

/// Where a message file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Delivered, and not yet taken over by a session.
    New,
    /// Seen by a session.
    Cur,
}

impl Place {
    /// Both, in the order in which they are read.
    pub const ALL: [Place; 2] = [Place::New, Place::Cur];

    /// The folder's name.
    pub fn dir(self) -> &'static str {
        match self {
            Place::New => "new",
            Place::Cur => "cur",
        }
    }
}

/// The flags that a name shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// Bits of [`System`].
    pub system: u8,
    /// Bit n is keyword n, of those that have a letter.
    pub letters: u32,
}

impl Shown {
    /// What a name can show of these flags.
    pub fn of(flags: Flags) -> Shown {
        Shown { system: flags.system, letters: (flags.keywords & ((1 << LETTERS) - 1)) as u32 }
    }

    /// The same as flags.
    pub fn flags(self) -> Flags {
        Flags { system: self.system, keywords: u64::from(self.letters) }
    }
}

/// Cuts a name into base and the rest, which begins with its colon or is empty.
pub fn split(name: &[u8]) -> (&[u8], &[u8]) {
    name.split_at(memchr::memchr(b':', name).unwrap_or(name.len()))
}

/// The flags in the part behind the base. Letters of keywords beyond the first `known` mean nothing.
pub fn shown(info: &[u8], known: usize) -> Shown {
    let mut shown = Shown::default();
    let Some(letters) = info.strip_prefix(MARK) else { return shown };
    for letter in letters.iter().take_while(|b| **b != b',') {
        match letter {
            b'a'..=b'z' if usize::from(letter - b'a') < known => shown.letters |= 1 << (letter - b'a'),
            _ => shown.system |= System::from_letter(char::from(*letter)).map_or(0, |flag| flag as u8),
        }
    }
    shown
}

/// How many keywords there must be for all letters of a name to have one.
pub fn letters_used(info: &[u8]) -> usize {
    let letters = info.strip_prefix(MARK).unwrap_or_default().iter().take_while(|b| **b != b',');
    letters.filter(|b| b.is_ascii_lowercase()).map(|b| usize::from(b - b'a') + 1).max().unwrap_or(0)
}

/// Appends `:2,` and the letters, sorted.
pub fn print(shown: Shown, out: &mut Vec<u8>) {
    // Writing to a Vec never fails.
    let _ = print_to(shown, out);
}

fn print_to(shown: Shown, out: &mut impl Write) -> std::io::Result<()> {
    out.write_all(MARK)?;
    // The system's letters in the order of the alphabet, which is also that of their octets.
    for flag in [System::Draft, System::Flagged, System::Answered, System::Seen, System::Deleted] {
        if shown.system & flag as u8 != 0 {
            out.write_all(&[flag.letter() as u8])?;
        }
    }
    let mut letters = shown.letters;
    while letters != 0 {
        out.write_all(&[b'a' + letters.trailing_zeros() as u8])?;
        letters &= letters - 1;
    }
    Ok(())
}

/// True when this is what [`print`] makes of the flags.
pub fn shows(info: &[u8], shown: Shown) -> bool {
    let mut usual = [0; MARK.len() + 5 + LETTERS];
    let mut free = &mut usual[..];
    // An array has room for all there can be.
    let is_printed = print_to(shown, &mut free).is_ok();
    let used = MARK.len() + 5 + LETTERS - free.len();
    is_printed && usual[..used] == *info
}

/// The part behind the base for new flags, when it was `old` before: what we don't understand in it stays.
pub fn rewrite(shown: Shown, old: &[u8], known: usize) -> Vec<u8> {
    let mut info = Vec::with_capacity(old.len() + 8);
    print(shown, &mut info);
    let Some(letters) = old.strip_prefix(MARK) else { return info };
    let end = memchr::memchr(b',', letters).unwrap_or(letters.len());
    let is_foreign = |b: &u8| match b {
        b'a'..=b'z' => usize::from(b - b'a') >= known,
        _ => System::from_letter(char::from(*b)).is_none(),
    };
    info.extend(letters[..end].iter().filter(|b| is_foreign(b)));
    info[MARK.len()..].sort_unstable();
    info.extend_from_slice(&letters[end..]);
    info
}

/// The order in which messages of one look at a mailbox get their identifiers: by the time in the name, then by name.
pub fn arrival_order(base: &[u8]) -> (u64, u64) {
    let (seconds, rest) = digits(base);
    let micros = rest.strip_prefix(b".M").map_or(0, |rest| digits(rest).0);
    (seconds, micros)
}

/// The number at the front, and what follows it.
fn digits(text: &[u8]) -> (u64, &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..end].iter().fold(0u64, |n, b| n.saturating_mul(10).saturating_add(u64::from(b - b'0')));
    (number, &text[end..])
}

/// The number behind `,S=` or `,W=`.
pub fn size(base: &[u8], key: &[u8]) -> Option<u64> {
    // Names have few commas or none: this is a fifth of the work of a search for the key.
    let at = memchr::memchr_iter(b',', base).find(|at| base[*at..].starts_with(key))? + key.len();
    base.get(at).filter(|b| b.is_ascii_digit())?;
    Some(digits(&base[at..]).0)
}

/// The time of delivery, when the name proves that our own delivery made it: the file's time is then the same within a moment.
pub fn delivery_time(base: &[u8]) -> Option<Timestamp> {
    let (seconds, rest) = digits(base);
    let (micros, rest) = digits(rest.strip_prefix(b".M")?);
    let (_, rest) = digits(rest.strip_prefix(b"P")?);
    let (_, rest) = digits(rest.strip_prefix(b"Q")?);
    let rest = rest.strip_prefix(b"_")?;
    let is_ours = rest.len() > 9 && rest[..8].iter().all(u8::is_ascii_hexdigit) && rest[8] == b'.';
    let micros = i64::try_from(micros).ok().filter(|m| *m < 1_000_000)?;
    let seconds = i64::try_from(seconds).ok().filter(|s| is_ours && *s < 1 << 40)?;
    Some(Timestamp(seconds * 1_000_000 + micros))
}

/// Turns the name that [`crate::store::name`] makes for a delivery into one that promises nothing about the file's time.
pub fn saved(delivered: &str) -> Vec<u8> {
    delivered.replacen('_', "R", 1).into_bytes()
}

/// Appends a name as a word of a text line: what is no plain character, and `%`, become `%XX`. An empty name becomes `-`.
pub fn escape(name: &[u8], out: &mut Vec<u8>) {
    if name.is_empty() || name == b"-" {
        out.extend_from_slice(if name.is_empty() { b"-" } else { b"%2D" });
        return;
    }
    // Without an early end, the compiler looks at many octets at once.
    let is_plain = name.iter().fold(true, |plain, b| plain & matches!(b, b'!'..=b'~') & (*b != b'%'));
    if is_plain {
        return out.extend_from_slice(name);
    }
    for b in name {
        match b {
            b'%' | 0..=b' ' | 0x7f.. => {
                // Writing to a Vec never fails.
                let _ = write!(out, "%{b:02X}");
            }
            _ => out.push(*b),
        }
    }
}

/// Reads what [`escape`] wrote; `None` when it is damaged or no file name.
pub fn unescape(word: &[u8]) -> Option<Vec<u8>> {
    unescape_octets(word).filter(|name| name.len() <= 255 && !name.contains(&b'/') && !name.contains(&0))
}

/// The same for what is no file name.
pub fn unescape_octets(word: &[u8]) -> Option<Vec<u8>> {
    if word == b"-" {
        return Some(Vec::new());
    }
    let mut name = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = memchr::memchr(b'%', rest) {
        name.extend_from_slice(&rest[..at]);
        let hex = std::str::from_utf8(rest.get(at + 1..at + 3)?).ok()?;
        name.push(u8::from_str_radix(hex, 16).ok()?);
        rest = &rest[at + 3..];
    }
    name.extend_from_slice(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_from_names_and_written_back() {
        let table: [(&str, usize, &str, u32); 7] = [
            (":2,", 0, "", 0),
            (":2,FS", 0, "FS", 0),
            (":2,Sab", 2, "S", 0b11),
            (":2,Sab", 1, "S", 0b1),
            (":2,PS", 0, "S", 0),
            (":1,S", 0, "", 0),
            ("", 0, "", 0),
        ];
        for (info, known, system, letters) in table {
            let system = system.chars().map(|c| System::from_letter(c).unwrap() as u8).sum();
            assert_eq!(shown(info.as_bytes(), known), Shown { system, letters }, "{info}");
        }
        let all = Shown { system: 31, letters: 0b101 };
        let mut out = Vec::new();
        print(all, &mut out);
        assert_eq!(out, b":2,DFRSTac");
        assert_eq!(shown(&out, 3), all);
    }

    #[test]
    fn what_we_do_not_understand_stays_in_the_name() {
        let seen = Shown { system: System::Seen as u8, letters: 1 };
        assert_eq!(rewrite(seen, b":2,FPz", 1), b":2,PSaz");
        assert_eq!(rewrite(seen, b":2,F,more", 1), b":2,Sa,more");
        assert_eq!(rewrite(seen, b"", 1), b":2,Sa");
        assert_eq!(rewrite(Shown::default(), b":2,\xffS", 0), b":2,\xff");
    }

    #[test]
    fn the_time_of_our_own_deliveries_is_in_the_name() {
        let ours = crate::store::name(Timestamp(1_700_000_000_123_456), "h.example", 5, 6);
        assert_eq!(delivery_time(ours.as_bytes()), Some(Timestamp(1_700_000_000_123_456)));
        assert_eq!(delivery_time(&saved(&ours)), None);
        assert_eq!(size(ours.as_bytes(), b",W="), Some(6));
        for other in ["1.M2P3.h,S=1,W=2", "1.x", "", "9999999999999999999999.M1P1Q1_deadbeef.h"] {
            assert_eq!(delivery_time(other.as_bytes()), None, "{other}");
        }
        assert!(arrival_order(b"9.M5P1") < arrival_order(b"10.M1"));
        assert!(arrival_order(b"9.M5P1") > arrival_order(b"9.M3P1"));
    }

    #[test]
    fn names_survive_text_lines() {
        for name in [&b"a b"[..], b"", b"-", b"%41", b"x\n\xff", b"1.M2:2,S"] {
            let mut word = Vec::new();
            escape(name, &mut word);
            assert!(word.iter().all(|b| b.is_ascii_graphic()));
            assert_eq!(unescape(&word).as_deref(), Some(name));
        }
        for bad in [&b"%"[..], b"%4", b"%zz", b"a%2Fb", b"%00"] {
            assert_eq!(unescape(bad), None);
        }
    }
}
