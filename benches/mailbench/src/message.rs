//! Messages of a wanted size, the same in every run, made of plain text lines.

const WORDS: [&str; 16] = [
    "the", "harbour", "letter", "arrives", "before", "noon", "with", "seven", "quiet", "boats", "and", "a", "list",
    "of", "prices", "enclosed",
];

/// A message with LF line ends, `size` bytes long (never less than its header).
pub fn with_lf(number: usize, from: &str, to: &str, size: usize) -> String {
    let mut text = format!(
        "From: Bench <{from}>\nTo: {to}\nSubject: Measurement {number}\nDate: Tue, 06 Jan 2026 10:00:00 +0000\n\
         Message-ID: <{number}.{}@client.example.test>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n",
        std::process::id()
    );
    let mut word = number;
    let mut column = 0;
    while text.len() < size {
        let next = WORDS[word % WORDS.len()];
        word += 1 + word / WORDS.len() % 3;
        text.push_str(next);
        column += next.len() + 1;
        text.push(if column > 66 { '\n' } else { ' ' });
        column = if column > 66 { 0 } else { column };
    }
    text.truncate(size.max(text.find("\n\n").map_or(0, |end| end + 2)));
    text.pop();
    text.push('\n');
    text
}

/// The same with CRLF line ends, as SMTP wants it, closed by the line with the dot; no line begins with a dot.
pub fn for_smtp(number: usize, from: &str, to: &str, size: usize) -> Vec<u8> {
    let mut text = with_lf(number, from, to, size).replace('\n', "\r\n").into_bytes();
    text.extend_from_slice(b".\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_size_asked_for() {
        assert_eq!(with_lf(7, "a@b.test", "c@d.test", 10_240).len(), 10_240);
        assert!(with_lf(7, "a@b.test", "c@d.test", 10).ends_with("\n\n"));
        assert!(for_smtp(7, "a@b.test", "c@d.test", 2_048).ends_with(b"\r\n.\r\n"));
    }
}
