//! The sorted text of etc/users: whole, and by binary search in place.

use super::Account;
use crate::line;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Below this many octets the rest is read and scanned.
const WINDOW: u64 = 4096;
/// Longest line, in octets.
const LINE_LIMIT: usize = 16 << 10;

/// Finds the line whose first word is `key`.
pub(super) fn search(file: &File, key: &str) -> io::Result<Option<String>> {
    let mut low = 0;
    let mut high = file.metadata()?.len();
    // Invariant: low is the start of a line; the line sought, if any, starts in low..high.
    while high - low > WINDOW {
        let middle = low + (high - low) / 2;
        let Some((start, line)) = line_after(file, middle)?.filter(|(start, _)| *start < high) else {
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

/// The first line that starts behind `at`, with its place.
fn line_after(file: &File, at: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
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
fn scan(file: &File, low: u64, high: u64, key: &str) -> io::Result<Option<String>> {
    // The last of them may reach beyond `high`.
    let mut buffer = vec![0; (high - low) as usize + LINE_LIMIT];
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], low + filled as u64)? {
            0 => break,
            n => filled += n,
        }
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
    use std::io::Write;

    #[test]
    fn every_line_of_a_big_file_is_found_and_no_other() {
        let mut file = tempfile::tempfile().unwrap();
        let mut text = String::from("# em-users 1\n");
        for i in 0..2000 {
            text.push_str(&format!("user{i:05}@example.test pw={} quota={i}\n", "x".repeat(i % 300)));
        }
        file.write_all(text.as_bytes()).unwrap();
        for i in 0..2000 {
            let line = search(&file, &format!("user{i:05}@example.test")).unwrap().unwrap();
            assert!(line.ends_with(&format!("quota={i}")));
            assert_eq!(search(&file, &format!("user{i:05}@example.tesu")).unwrap(), None);
        }
        assert_eq!(search(&file, "a").unwrap(), None);
        assert_eq!(search(&file, "z").unwrap(), None);
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
