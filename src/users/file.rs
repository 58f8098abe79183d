//! The sorted text of etc/users: whole, and by binary search in place.

use super::Account;
use crate::line;
use std::io;
use std::os::unix::fs::FileExt;

/// Below this many octets the rest is read and scanned.
const WINDOW: u64 = 4096;
/// Longest line, in octets.
pub(super) const LINE_LIMIT: usize = 16 << 10;

/// Finds the line whose first word is `key` in a file of `size` octets.
pub(super) fn search(file: &impl FileExt, size: u64, key: &str) -> io::Result<Option<String>> {
    let mut low = 0;
    let mut high = size;
    // Invariant: low is the start of a line; the line sought, if any, starts in low..high.
    while high - low > WINDOW {
        let middle = low + (high - low) / 2;
        let Some((start, line)) = account_after(file, middle)?.filter(|(start, _)| *start < high) else {
            // One line reaches from before the middle to the end: what we seek starts before it, or is it.
            return scan(file, low, high, key);
        };
        if first_word(&line) <= key.as_bytes() {
            low = start;
            if first_word(&line) == key.as_bytes() {
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
        } else {
            high = start;
        }
    }
    scan(file, low, high, key)
}

/// The first account line that starts behind `at`, with its place. Comments and empty lines are in no order and say nothing.
fn account_after(file: &impl FileExt, mut at: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    loop {
        match line_after(file, at)? {
            // The line end before the next line is the last octet of this one.
            Some((start, line)) if line.is_empty() || line.starts_with(b"#") => at = start + line.len() as u64,
            other => return Ok(other),
        }
    }
}

/// The first line that starts behind `at`, with its place.
fn line_after(file: &impl FileExt, at: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut buffer = vec![0; 1024];
    let mut filled = 0;
    loop {
        let n = file.read_at(&mut buffer[filled..], at + filled as u64)?;
        filled += n;
        if let Some(lf) = memchr::memchr(b'\n', &buffer[..filled]) {
            let line = &buffer[lf + 1..filled];
            match memchr::memchr(b'\n', line) {
                Some(end) => return Ok(Some((at + lf as u64 + 1, line[..end].to_vec()))),
                None if n == 0 && line.is_empty() => return Ok(None),
                None if n == 0 => return Ok(Some((at + lf as u64 + 1, line.to_vec()))),
                None => {}
            }
        } else if n == 0 {
            return Ok(None);
        }
        if filled > 2 * LINE_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
        }
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
    }
}

/// Reads the lines that start in low..high one by one.
fn scan(file: &impl FileExt, low: u64, high: u64, key: &str) -> io::Result<Option<String>> {
    let window = (high - low) as usize;
    // The last of them reaches beyond `high`, mostly by less than this.
    let mut buffer = vec![0; window + 512];
    let mut filled = 0;
    loop {
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], low + filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        let is_whole = filled < buffer.len() || memchr::memchr(b'\n', &buffer[window.saturating_sub(1)..]).is_some();
        if is_whole || buffer.len() > window + LINE_LIMIT {
            break;
        }
        buffer.resize(window + LINE_LIMIT + 1, 0);
    }
    let found = line::lines(&buffer[..filled]).find(|line| first_word(line) == key.as_bytes());
    Ok(found.map(|line| String::from_utf8_lossy(line).into_owned()))
}

fn first_word(line: &[u8]) -> &[u8] {
    line.split(|b| *b == b' ').next().unwrap_or(line)
}

/// Reads all lines; an error gives the line's number and what is wrong.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Account>, (usize, &'static str)> {
    let mut accounts: Vec<Account> = Vec::new();
    for (number, line) in line::lines(bytes).enumerate() {
        let text = std::str::from_utf8(line).map_err(|_| (number + 1, "not UTF-8"))?;
        if let Some(version) = text.strip_prefix("# em-users ") {
            if version.split(' ').next() != Some("1") {
                return Err((number + 1, "written by a newer version"));
            }
        } else if !text.is_empty() && !text.starts_with('#') {
            let account = Account::parse(text).ok_or((number + 1, "not an account line"))?;
            if accounts.last().is_some_and(|last| last.key() >= account.key()) {
                return Err((number + 1, "out of order or double: accounts are sorted by name"));
            }
            accounts.push(account);
        }
    }
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that counts what is read from it.
    struct Counted {
        text: Vec<u8>,
        reads: std::cell::Cell<(u32, usize)>,
    }

    impl FileExt for Counted {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = self.text.get(offset as usize..).unwrap_or_default();
            let n = rest.len().min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            let (reads, octets) = self.reads.get();
            self.reads.set((reads + 1, octets + n));
            Ok(n)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    impl Counted {
        fn of(text: String) -> Counted {
            Counted { text: text.into_bytes(), reads: Default::default() }
        }

        fn find(&self, key: &str) -> Option<String> {
            search(self, self.text.len() as u64, key).unwrap()
        }
    }

    /// The cost of a look-up, in what makes it slow, so that a busy machine can't fail it: some 20 reads, some 25 KiB.
    #[test]
    fn one_of_a_hundred_thousand_costs_a_few_reads() {
        let mut text = String::from("# em-users 1\n");
        for i in 0..100_000 {
            text.push_str(&format!("user{i:06}@example.test pw={} quota={i}\n", "x".repeat(180)));
        }
        let file = Counted::of(text);
        for i in (0..100_000).step_by(7919) {
            file.reads.set((0, 0));
            assert!(file.find(&format!("user{i:06}@example.test")).is_some());
            let (reads, octets) = file.reads.get();
            assert!(reads <= 24 && octets <= 28 << 10, "{reads} reads, {octets} octets");
        }
    }

    #[test]
    fn comments_and_empty_lines_hide_nobody() {
        let mut text = String::from("# em-users 1\n");
        for i in 0..1000 {
            text.push_str(&format!("user{i:04}@example.test quota={i}\n"));
            text.push_str(["", "\n", "# a note\n", "#\n\n# more\n\n"][i % 4]);
        }
        text.push_str(&"# the end\n".repeat(2000));
        let file = Counted::of(text);
        for i in 0..1000 {
            assert!(file.find(&format!("user{i:04}@example.test")).is_some(), "user {i}");
            assert_eq!(file.find(&format!("user{i:04}@example.tesu")), None);
        }
        assert_eq!(parse(&file.text).unwrap().len(), 1000);
    }

    #[test]
    fn every_line_of_a_big_file_is_found_and_no_other() {
        let mut text = String::from("# em-users 1\n");
        for i in 0..2000 {
            let length = if i % 97 == 7 { 16_000 } else { i % 300 };
            text.push_str(&format!("user{i:05}@example.test pw={} quota={i}\n", "x".repeat(length)));
        }
        let file = Counted::of(text);
        for i in 0..2000 {
            let line = file.find(&format!("user{i:05}@example.test")).unwrap();
            assert!(line.ends_with(&format!("quota={i}")));
            assert_eq!(file.find(&format!("user{i:05}@example.tesu")), None);
        }
        assert_eq!(file.find("a"), None);
        assert_eq!(file.find("z"), None);
    }

    #[test]
    fn damage_is_named_by_line() {
        let error = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(error("# em-users 2\n").0, 1);
        assert_eq!(
            error("# em-users 1\nb@b.test\na@b.test\n"),
            (3, "out of order or double: accounts are sorted by name")
        );
        assert_eq!(error("# em-users 1\nno-address\n").0, 2);
    }
}
