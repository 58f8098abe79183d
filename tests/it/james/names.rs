//! Names of mailboxes: `.` between levels there, `/` here; `#private` and `#user.boby` there, `~boby` here.

use crate::imap_wire::Value;

/// Prefixes and whole names, as text of a command or a response; the first that fits counts.
const PLACES: &[(&str, &str)] = &[
    ("#private.imapuser.", ""),
    ("#private.", ""),
    ("\"#user.diana\" \"", "\"~diana/\" \""),
    ("\"#user.\" \"", "\"\" \"~"),
    ("\"#user\" \"", "\"\" \"~"),
    ("#user.", "~"),
    ("\"user.\" \"Boby\"", "\"~boby/\" \"INBOX\""),
    ("user.Boby.", "~boby/INBOX/"),
    ("user.Boby", "~boby/INBOX"),
    ("user.imapuser.", ""),
    ("user.imapuser", "INBOX"),
];

/// Commands with mailbox names.
const VERBS: &[&str] = &[
    "CREATE",
    "DELETE",
    "RENAME",
    "SELECT",
    "EXAMINE",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST",
    "LSUB",
    "STATUS",
    "APPEND",
    "COPY",
    "MOVE",
    "MYRIGHTS",
    "SETACL",
    "GETACL",
    "DELETEACL",
    "LISTRIGHTS",
    "GETMETADATA",
    "SETMETADATA",
    "GETQUOTAROOT",
];

fn placed(text: &str) -> String {
    PLACES.iter().fold(text.to_string(), |text, (theirs, ours)| text.replace(theirs, ours))
}

/// A script's command, for us. Text behind a literal's size is left alone.
pub fn command(sent: &[u8], domain: &str) -> Vec<u8> {
    let end = sent.windows(2).position(|w| w == b"\r\n").unwrap_or(sent.len());
    let Ok(line) = std::str::from_utf8(&sent[..end]) else { return sent.to_vec() };
    let words: Vec<String> = line.split(' ').take(3).map(str::to_ascii_uppercase).collect();
    let verb = if words.get(1).is_some_and(|word| word == "UID") { words.get(2) } else { words.get(1) };
    let Some(verb) = verb else { return sent.to_vec() };
    let mut ours = line.to_string();
    if verb == "LOGIN" {
        ours = line.replace("imapuser password", &format!("imapuser@{domain} demo"));
        ours = ours.replace("imapuser ", &format!("imapuser@{domain} "));
    } else if VERBS.contains(&verb.as_str()) {
        let mut depth = 0;
        ours = String::new();
        for letter in placed(line).chars() {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            ours.push(if letter == '.' && depth == 0 { '/' } else { letter });
        }
    }
    let rest = &sent[end..];
    // More than one command may be sent at once; a literal ends the line with a brace.
    if !line.ends_with('}') && rest.len() > 2 {
        return [ours.as_bytes(), b"\r\n", &command(&rest[2..], domain)].concat();
    }
    [ours.as_bytes(), rest].concat()
}

/// An expected response with our names and our delimiter.
pub fn response(values: &mut [Value]) {
    let word = values[0].atom().to_ascii_uppercase();
    let places: &[usize] = match word.as_str() {
        "LIST" | "LSUB" => &[2, 3],
        "STATUS" | "MYRIGHTS" | "ACL" | "METADATA" | "QUOTAROOT" | "LISTRIGHTS" => &[1],
        _ => return,
    };
    for place in places {
        if let Some(value) = values.get_mut(*place) {
            let name = String::from_utf8_lossy(value.bytes()).into_owned();
            *value = Value::Text(placed(&name).replace('.', "/").into_bytes());
        }
    }
}
