//! Mail as it comes, for large mailboxes: the same letters for the same numbers in every run.
//!
//! Of a hundred, about 55 are plain text, 20 text with HTML, 16 Japanese (half of them ISO-2022-JP), 9 have an attachment. They come in
//! threads of five. One in a thousand holds [`RARE_WORD`].

use std::fmt::Write;

/// What searches look for.
pub const RARE_WORD: &str = "xyzzyplugh";

const WORDS: [&str; 32] = [
    "the", "quick", "report", "meeting", "schedule", "please", "attached", "update", "project", "server", "queue",
    "delivery", "mailbox", "question", "answer", "thanks", "regards", "tomorrow", "review", "change", "version",
    "release", "budget", "invoice", "customer", "problem", "network", "document", "summary", "garden", "winter",
    "machine",
];
const NAMES: [&str; 16] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "kenji", "laura", "nina",
    "oscar", "peggy", "yuki",
];
const DOMAINS: [&str; 4] = ["example.org", "example.com", "example.net", "example.test"];
const JAPANESE: [&str; 8] = ["会議", "資料", "添付", "確認", "来週", "予定", "報告", "東京"];
/// The same words in JIS X 0208.
const JIS: [&[u8]; 8] = [b"2q5D", b";qNA", b"E:IU", b"3NG'", b"Mh=5", b"M=Dj", b"Js9p", b"El5~"];

/// Numbers that look like chance (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from)
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// The second that letter `number` was sent.
pub fn sent(number: usize) -> u64 {
    1_760_000_000 + number as u64 * 61
}

/// Letter `number`, with LF line ends, and the second it was sent.
pub fn letter(number: usize) -> (Vec<u8>, u64) {
    let sent = sent(number);
    let mut dice = Dice(number as u64 ^ 0x5851_F42D);
    let (from, domain) = (dice.pick(&NAMES), dice.pick(&DOMAINS));
    let kind = dice.below(100);
    let mut topic = Dice((number / 5) as u64);
    let subject = format!("{} {} {}", topic.pick(&WORDS), topic.pick(&WORDS), topic.pick(&WORDS));
    let answer = if number.is_multiple_of(5) { "" } else { "Re: " };
    let subject = match kind {
        75..91 => format!("{answer}=?UTF-8?B?{}?=", base64(topic.pick(&JAPANESE).as_bytes(), usize::MAX)),
        _ => format!("{answer}{subject}"),
    };
    let mut head = String::with_capacity(2048);
    // Writing to a String never fails.
    let _ = write!(
        head,
        "Return-Path: <{from}@{domain}>\nReceived: from mail.{domain} (mail.{domain} [192.0.2.{}])\n\
         \tby mx.example.test with ESMTP id {:08x};\n\t{}\nDKIM-Signature: v=1; a=rsa-sha256; d={domain}; s=one;\n\
         \th=from:to:subject:date:message-id; bh={};\n\tb={}\n\
         Message-ID: <{number}.{}@letters.example.test>\nDate: {}\nFrom: \"{from} Tester\" <{from}@{domain}>\n\
         To: user@example.test\nSubject: {subject}\n",
        dice.below(250),
        dice.next() as u32,
        date(sent),
        base64(&dice.next().to_le_bytes(), usize::MAX),
        base64(&(0..12).flat_map(|_| dice.next().to_le_bytes()).collect::<Vec<_>>(), 70),
        number / 5,
        date(sent),
    );
    if !number.is_multiple_of(5) {
        let parent = format!("<{}.{}@letters.example.test>", number - 1, number / 5);
        let _ = write!(head, "In-Reply-To: {parent}\nReferences: {parent}\n");
    }
    head.push_str("MIME-Version: 1.0\n");
    let mut out = head.into_bytes();
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    let rare = if number % 1000 == 17 { format!("{RARE_WORD} needle\n") } else { String::new() };
    match kind {
        0..55 => {
            put("Content-Type: text/plain; charset=us-ascii\n\n");
            let size = dice.between(400, 6000);
            put(&prose(&mut dice, size));
            put(&rare);
        }
        55..75 => {
            put(
                "Content-Type: multipart/alternative; boundary=\"=_a\"\n\n--=_a\nContent-Type: text/plain; charset=utf-8\n\n",
            );
            let size = dice.between(500, 5000);
            put(&prose(&mut dice, size));
            put(&rare);
            put(
                "--=_a\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n<html><body>\n",
            );
            for _ in 0..dice.between(10, 50) {
                let size = dice.between(100, 500);
                put(&format!("<p class=3D\"x\">{}</p>\n", prose(&mut dice, size)));
            }
            put("</body></html>\n--=_a--\n");
        }
        75..83 => {
            put("Content-Type: text/plain; charset=ISO-2022-JP\n\n");
            let lines = dice.between(5, 50);
            let mut text = Vec::new();
            for _ in 0..lines {
                text.extend_from_slice(b"\x1b$B");
                (0..8).for_each(|_| text.extend_from_slice(dice.pick(&JIS)));
                text.extend_from_slice(b"\x1b(B\n");
            }
            out.extend_from_slice(&text);
            out.extend_from_slice(rare.as_bytes());
        }
        83..91 => {
            put("Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: base64\n\n");
            let mut text = String::new();
            for _ in 0..dice.between(10, 80) {
                (0..10).for_each(|_| text.push_str(dice.pick(&JAPANESE)));
                text.push('\n');
            }
            put(&base64((text + &rare).as_bytes(), 76));
        }
        _ => {
            put(
                "Content-Type: multipart/mixed; boundary=\"=_m\"\n\n--=_m\nContent-Type: text/plain; charset=utf-8\n\n",
            );
            let size = dice.between(300, 2000);
            put(&prose(&mut dice, size));
            put(&rare);
            put("--=_m\nContent-Type: application/pdf; name=\"file.pdf\"\nContent-Transfer-Encoding: base64\n\n");
            let octets: Vec<u8> = (0..dice.between(1_250, 15_000)).flat_map(|_| dice.next().to_le_bytes()).collect();
            put(&base64(&octets, 76));
            put("--=_m--\n");
        }
    }
    (out, sent)
}

/// Lines of words, about so many octets.
fn prose(dice: &mut Dice, size: usize) -> String {
    let mut text = String::with_capacity(size + 80);
    let mut column = 0;
    while text.len() < size {
        let word = dice.pick(&WORDS);
        text.push_str(word);
        column += word.len() + 1;
        text.push(if column > 66 { '\n' } else { ' ' });
        column = if column > 66 { 0 } else { column };
    }
    text.push('\n');
    text
}

fn base64(octets: &[u8], width: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(octets.len() * 3 / 2 + 4);
    let mut column = 0;
    for group in octets.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let is_padding = digit > group.len();
            out.push(if is_padding { '=' } else { ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize] as char });
        }
        column += 4;
        if column >= width {
            out.push_str(if width == 76 { "\n" } else { "\n\t" });
            column = 0;
        }
    }
    if width == 76 && column > 0 {
        out.push('\n');
    }
    out
}

/// `Sat, 10 Oct 2026 12:00:00 +0000` (RFC 5322 §3.3), by the civil calendar.
fn date(second: u64) -> String {
    let (days, rest) = (second / 86_400, second % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(days % 7) as usize];
    let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month as usize - 1];
    format!("{weekday}, {day} {name} {year} {:02}:{:02}:{:02} +0000", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_the_same_each_time_and_dated_right() {
        assert_eq!(letter(7).0, letter(7).0);
        assert_eq!(date(1_760_000_000), "Thu, 9 Oct 2025 08:53:20 +0000");
        assert_eq!(base64(b"ab", 76), "YWI=\n");
        let rare = (0..2000).filter(|n| letter(*n).0.windows(6).any(|w| w == b"needle")).count();
        assert!(rare <= 2);
    }
}
