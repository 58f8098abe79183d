//! Classes that come from a file, a program or a map: the F line, and the words of the text it names.
//!
//! The text itself is the caller's to fetch.

use super::map::Map;

/// What an F line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Path of the file, or the command line of the program.
    pub name: Vec<u8>,
    /// True for the output of a program.
    pub is_program: bool,
    /// True when a missing file is an empty one.
    pub optional: bool,
    format: Vec<u8>,
}

/// Fetches what F lines name.
pub trait Source {
    /// The text; or why there is none, in the words of the system (`No such file or directory`).
    fn fetch(&mut self, listing: &Listing) -> Result<Vec<u8>, String>;

    /// What a map finds for a key, if it finds anything; or why there is no answer.
    fn look_up(&mut self, _map: &Map, _key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Err("map open failed".to_string())
    }
}

/// A class whose words a map finds: `F{class}key@map class:flags`, or `F{class}@LDAP` with flags that everybody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The key, mostly empty.
    pub key: Vec<u8>,
    /// The class of the map.
    pub class: Vec<u8>,
    /// Its flags, where the line has them.
    pub flags: Option<Vec<u8>>,
    /// True when a map that gives no answer is one that has nothing.
    pub optional: bool,
}

impl Asked {
    /// Reads an F line behind the class name; `None` when it names a file or a program.
    pub fn read(text: &[u8]) -> Option<Asked> {
        let (optional, rest) = without_option(text);
        if matches!(rest.first(), Some(b'/' | b'|')) {
            return None;
        }
        let at = rest.iter().position(|b| *b == b'@')?;
        let (key, map) = (rest[..at].to_vec(), &rest[at + 1..]);
        if map.trim_ascii_end() == b"LDAP" {
            return Some(Asked { key, class: b"ldap".to_vec(), flags: None, optional });
        }
        let colon = map.iter().position(|b| *b == b':').filter(|colon| *colon > 0)?;
        Some(Asked { key, class: map[..colon].to_vec(), flags: Some(map[colon + 1..].to_vec()), optional })
    }
}

/// The rest of an F line, and whether -o stood before it.
fn without_option(text: &[u8]) -> (bool, &[u8]) {
    let rest = text.trim_ascii_start();
    if !rest.starts_with(b"-o") {
        return (false, rest);
    }
    let length = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    (true, rest[length..].trim_ascii_start())
}

/// A source that has nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl Source for NoFiles {
    fn fetch(&mut self, _listing: &Listing) -> Result<Vec<u8>, String> {
        Err("No such file or directory".to_string())
    }
}

impl Listing {
    /// Reads an F line behind the class name.
    pub fn read(text: &[u8]) -> Listing {
        let (optional, rest) = without_option(text);
        if let Some(command) = rest.strip_prefix(b"|") {
            return Listing { name: command.to_vec(), is_program: true, optional, format: b"%s".to_vec() };
        }
        let length = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        let format = rest[length..].trim_ascii_start();
        Listing {
            name: rest[..length].to_vec(),
            is_program: false,
            optional,
            format: if format.is_empty() { b"%s".to_vec() } else { format.to_vec() },
        }
    }

    /// The members that a text gives: of each line what the scan format takes first, cut into words.
    pub fn words(&self, text: &[u8]) -> Vec<Vec<u8>> {
        let mut words = Vec::new();
        for line in text.split_inclusive(|b| *b == b'\n').filter(|line| line[0] != b'#') {
            let found = taken(&self.format, line).unwrap_or_default();
            words.extend(found.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).map(<[u8]>::to_vec));
        }
        words
    }
}

/// The first conversion of a scanf(3) format that is not `%*`.
fn taken(format: &[u8], line: &[u8]) -> Option<Vec<u8>> {
    let (mut format, mut line) = (format, line);
    while let Some((&byte, rest)) = format.split_first() {
        format = rest;
        match byte {
            b'%' => {
                let skips = format.first() == Some(&b'*');
                format = &format[usize::from(skips)..];
                let digits = format.iter().take_while(|b| b.is_ascii_digit()).count();
                let width = std::str::from_utf8(&format[..digits]).ok().and_then(|d| d.parse().ok());
                format = &format[digits..];
                let (&kind, rest) = format.split_first()?;
                format = rest;
                let fits: Box<dyn Fn(u8) -> bool> = match kind {
                    b's' => Box::new(|b: u8| !b.is_ascii_whitespace()),
                    b'[' => {
                        let negated = format.first() == Some(&b'^');
                        let set = &format[usize::from(negated)..];
                        let end = set.iter().skip(1).position(|b| *b == b']')? + 1;
                        format = &set[end + 1..];
                        let set = set[..end].to_vec();
                        Box::new(move |b: u8| in_set(&set, b) != negated)
                    }
                    b'd' => Box::new(|b: u8| b.is_ascii_digit()),
                    b'%' => {
                        line = line.trim_ascii_start().strip_prefix(b"%")?;
                        continue;
                    }
                    _ => return None,
                };
                if kind != b'[' {
                    line = line.trim_ascii_start();
                }
                let length = line.iter().take_while(|b| fits(**b)).count().min(width.unwrap_or(usize::MAX));
                if length == 0 {
                    return None;
                }
                let (found, after) = line.split_at(length);
                line = after;
                if !skips {
                    return Some(found.to_vec());
                }
            }
            _ if byte.is_ascii_whitespace() => line = line.trim_ascii_start(),
            _ => line = line.strip_prefix(&[byte])?,
        }
    }
    None
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set.get(at + 1) == Some(&b'-') && at + 2 < set.len() {
            if (set[at]..=set[at + 2]).contains(&byte) {
                return true;
            }
            at += 3;
        } else if set[at] == byte {
            return true;
        } else {
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_told_from_a_file() {
        let read = |line: &str| {
            let asked = Asked::read(line.as_bytes())?;
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
            Some((text(&asked.key), text(&asked.class), asked.flags.as_deref().map(text), asked.optional))
        };
        let some = |key: &str, class: &str, flags: Option<&str>, optional| {
            Some((key.to_string(), class.to_string(), flags.map(str::to_string), optional))
        };
        for (line, wanted) in [
            ("@LDAP", some("", "ldap", None, false)),
            ("@ldap:-k (x) -v a:DN", some("", "ldap", Some("-k (x) -v a:DN"), false)),
            (" -o key@hash:/x", some("key", "hash", Some("/x"), true)),
            ("@ldap", None),
            ("x@:y", None),
            ("/etc/a@b:c", None),
            ("|/bin/echo a@b:c", None),
            ("-o /etc/mail/x", None),
        ] {
            assert_eq!(read(line), wanted, "{line}");
        }
    }

    #[test]
    fn words_are_taken_by_the_format() {
        let text = b"# head\na b # c\n\n  d\ne\tf";
        let words = |line: &[u8]| -> Vec<String> {
            Listing::read(line).words(text).into_iter().map(|w| String::from_utf8(w).unwrap()).collect()
        };
        assert_eq!(words(b"/x"), ["a", "d", "e"]);
        assert_eq!(words(b"-o /x %[^#]"), ["a", "b", "d", "e", "f"]);
        assert_eq!(words(b"/x %*s %s"), ["b", "f"]);
        let program = Listing::read(b"|/bin/echo a b");
        assert!(program.is_program && program.name == b"/bin/echo a b");
        assert!(Listing::read(b" -o /etc/w %[^\\#]").optional);
    }
}
