//! Reading a script, and the messages that belong to it.

use std::collections::HashMap;

/// A command of a script, with what is expected.
#[derive(Debug, Default)]
pub struct Act {
    pub line: usize,
    pub connection: usize,
    pub tag: Option<String>,
    pub command: Vec<u8>,
    /// The status, and how the reply goes on. Empty: anything.
    pub status: Option<(String, String)>,
    pub untagged: Vec<(bool, Vec<u8>)>,
}

pub struct Script {
    pub header: HashMap<String, String>,
    pub acts: Vec<Act>,
}

/// Logical lines: a `{{{` block belongs to its line, as a literal.
fn lines(text: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut found: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut block: Option<(bool, Vec<u8>)> = None;
    for (number, line) in text.split_inclusive(|b| *b == b'\n').enumerate() {
        let (start, mut rest) = match block.take() {
            Some((is_binary, mut content)) => {
                let Some(behind) = line.strip_prefix(b"}}}") else {
                    content.extend_from_slice(line);
                    block = Some((is_binary, content));
                    continue;
                };
                // The last line end belongs to the mark.
                content.pop();
                let mut bytes = Vec::new();
                for octet in content {
                    if octet == b'\n' && !is_binary && bytes.last() != Some(&b'\r') {
                        bytes.push(b'\r');
                    }
                    bytes.push(octet);
                }
                let (_, mut whole) = found.pop().unwrap();
                // What is sent does not wait for the server; what is expected may be any octets.
                let mark = match (whole[0], is_binary) {
                    (b'*' | b'!', false) => format!("~{{{}}}\r\n", bytes.len()),
                    (b'*' | b'!', true) => format!("{{{}}}\r\n", bytes.len()),
                    _ => format!("{{{}+}}\r\n", bytes.len()),
                };
                whole.extend_from_slice(mark.as_bytes());
                whole.extend(bytes);
                (whole, behind)
            }
            None => (Vec::new(), line),
        };
        rest = rest.strip_suffix(b"\n").unwrap_or(rest);
        let whole = |rest: &[u8]| [start.as_slice(), rest].concat();
        match rest.strip_suffix(b"{{{") {
            Some(head) => {
                block = Some((head.ends_with(b"~"), Vec::new()));
                found.push((number + 1, whole(head)));
            }
            None => found.push((number + 1, whole(rest))),
        }
    }
    found
}

/// Cuts the first word off.
fn word(line: &[u8]) -> (String, &[u8]) {
    let end = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
    (String::from_utf8_lossy(&line[..end]).into_owned(), line.get(end + 1..).unwrap_or_default())
}

fn is_status(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "ok" | "no" | "bad" | "\"\"")
}

/// Reads a whole script.
pub fn read(text: &[u8]) -> Script {
    let mut script = Script { header: HashMap::new(), acts: Vec::new() };
    let mut all = lines(text).into_iter().peekable();
    while let Some((_, line)) = all.next_if(|(_, line)| line.starts_with(b"#") || line.contains(&b':')) {
        if let Some((key, value)) = String::from_utf8_lossy(&line).split_once(": ") {
            script.header.insert(key.to_string(), value.trim().to_string());
        }
    }
    let is_multiple = script.header.get("connections").is_some_and(|n| n != "1");
    for (number, line) in all {
        match line.first() {
            // `?` may come or not.
            None | Some(b'#' | b'?') => {}
            Some(sign @ (b'*' | b'!')) => {
                let act = script.acts.last_mut().unwrap();
                act.untagged.push((*sign == b'*', line[2..].to_vec()));
            }
            _ => {
                let (connection, rest) = match is_multiple {
                    true => (word(&line).0.parse().unwrap(), word(&line).1),
                    false => (1, line.as_slice()),
                };
                let (first, behind) = word(rest);
                let is_tag = first.starts_with("tag") && first.len() > 3;
                let (tag, first, rest, behind) = match is_tag {
                    true => (Some(first), word(behind).0, behind, word(behind).1),
                    false => (None, first, rest, behind),
                };
                let result = |act: &&mut Act| act.status.is_none() && act.connection == connection && act.tag == tag;
                match is_status(&first) {
                    true => match script.acts.iter_mut().find(result) {
                        Some(act) => act.status = Some((first, String::from_utf8_lossy(behind).into_owned())),
                        None => script.acts.push(Act {
                            line: number,
                            connection,
                            command: behind.to_vec(),
                            status: Some((first, String::new())),
                            ..Act::default()
                        }),
                    },
                    false => script.acts.push(Act {
                        line: number,
                        connection,
                        tag,
                        command: rest.to_vec(),
                        ..Act::default()
                    }),
                }
            }
        }
    }
    script
}

/// The messages of an mbox, with their dates.
pub fn messages(mbox: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for line in mbox.split_inclusive(|b| *b == b'\n') {
        if let Some(rest) = line.strip_prefix(b"From ") {
            // From user@domain  Fri Feb 22 17:06:23 2008 [+0200]
            let text = String::from_utf8_lossy(rest).into_owned();
            let words: Vec<&str> = text.split_whitespace().collect();
            let zone = words.get(6).unwrap_or(&"+0000");
            let day: u32 = words[3].parse().unwrap();
            found.push((format!("\"{day:2}-{}-{} {} {zone}\"", words[2], words[5], words[4]), Vec::new()));
        } else {
            let text = &mut found.last_mut().unwrap().1;
            text.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            text.extend_from_slice(b"\r\n");
        }
    }
    found
}
