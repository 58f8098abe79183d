//! Files of random rules and random addresses, beside Debian's sendmail: what no list of examples thinks of.
//!
//! The files are the same in each run. Left out is what is known to differ: chance, clocks, names of hosts, and addresses that grow past
//! the 255 octets at which sendmail cuts them.

use super::super::world::{bin, feed};
use super::sendmail::{Bed, answers};
use std::fmt::Write;
use std::path::Path;

const FILES: u64 = 40;
const LINES: usize = 40;
/// sendmail cuts what is longer.
const LONGEST: usize = 255;
/// At least so many files are compared to their end, or the test compares nothing.
const COMPARED: usize = 25;

const WORDS: [&str; 12] = ["a", "b", "bob", "x", "y.z", "host", "com", "joe", "A", "Bob", "net", "list"];
const SIGNS: [&str; 20] =
    ["@", ".", "<", ">", "!", "%", ":", "+", "[", "]", "/", ";", ",", "|", "-", "=", "\"q q\"", "\\!", "$$", "&"];
const CLASSES: [&str; 4] = ["A", "B", "w", "{long}"];
const MACROS: [&str; 6] = ["x", "y", "{lg}", "z", "u", "n"];
const MAPS: [&str; 10] = ["ar", "dq", "dqs", "re", "re2", "re3", "re4", "ma", "sq", "nomap"];
const HEAD: &str = "\
Kar arith
Kdq dequote
Kdqs dequote -s.
Kre regex -a@R ^(.)
Kre2 regex -s1,2 -d+ (a*)(b*)
Kre3 regex -m -n x
Kre4 regex -f BOB
Kma macro
Ksq sequence dq re
";
const MAILERS: &str = "\
Mlocal, P=/bin/true, F=lsDFMAw5:/|@qPSn9, S=1/2, R=2/1, T=DNS/RFC822/X-Unix, A=mail -d $u
Mprog, P=/bin/sh, F=lsDFMoqeu9, S=1, R=2, T=X-Unix/X-Unix/X-Unix, A=sh -c $u
Mesmtp, P=[IPC], F=mDFMuXa, S=1/3, R=2, E=\\r\\n, L=990, T=DNS/RFC822/SMTP, A=TCP $h
";

/// xorshift64* (Marsaglia, Vigna).
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % most
    }

    /// True so many times of a hundred.
    fn percent(&mut self, of_hundred: usize) -> bool {
        self.below(100) < of_hundred
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn joined(&mut self, most: usize, between: &str, mut piece: impl FnMut(&mut Random) -> String) -> String {
        let count = 1 + self.below(most);
        (0..count).map(|_| piece(self)).collect::<Vec<_>>().join(between)
    }
}

/// A left side, and how many wildcards it has.
fn left(random: &mut Random) -> (String, usize) {
    let mut wildcards = 0;
    let text = random.joined(6, " ", |random| match random.below(100) {
        0..32 => {
            wildcards += 1;
            random.of(&["$*", "$+", "$-"]).to_string()
        }
        32..44 => {
            wildcards += 1;
            format!("{}{}", random.of(&["$=", "$~"]), random.of(&CLASSES))
        }
        44..47 => "$@".to_string(),
        47..51 => format!("$&{}", random.of(&MACROS)),
        51..75 => random.of(&WORDS).to_string(),
        75..97 => random.of(&SIGNS).to_string(),
        _ => "$|".to_string(),
    });
    (text, wildcards)
}

/// A piece of a right side; look-ups and calls do not stand in others.
fn right(random: &mut Random, wildcards: usize, is_inner: bool) -> String {
    match random.below(100) {
        0..45 if wildcards > 0 => format!("${}", 1 + random.below(wildcards)),
        45..52 => format!("$&{}", random.of(&MACROS)),
        52..70 => random.of(&WORDS).to_string(),
        70..75 if !is_inner => format!("$>{}", 1 + random.below(5)),
        75..83 if !is_inner => {
            let map = random.of(&MAPS);
            let key = match map {
                "ar" => random.of(&["+", "-", "*", "/", "=", "<", "l", "&", "|", "^"]).to_string(),
                _ => random.joined(3, " ", |random| right(random, wildcards, true)),
            };
            let mut text = format!("$({map} {key}");
            for _ in 0..random.below(3) {
                let piece = right(random, wildcards, true);
                let _ = write!(text, " $@ {}", random.of(&["1", "2", "12", "x", "-3", piece.as_str()]));
            }
            if random.percent(50) {
                let _ = write!(text, " $: {}", right(random, wildcards, true));
            }
            text + " $)"
        }
        83..86 => "$|".to_string(),
        _ => random.of(&SIGNS).to_string(),
    }
}

fn rule(random: &mut Random, set: usize) -> String {
    let (left, wildcards) = left(random);
    if set == 0 && random.percent(50) {
        let mailer = random.of(&["local", "esmtp", "error", "prog"]);
        let (host, user) = (right(random, wildcards, true), right(random, wildcards, true));
        return format!("R{left}\t$#{mailer} $@ {host} $: {user}\n");
    }
    let prefix = random.of(&["", "", "$: ", "$@ "]);
    let text = random.joined(5, " ", |random| right(random, wildcards, false));
    format!("R{left}\t{prefix}{text}\n")
}

/// A whole sendmail.cf.
fn file(random: &mut Random) -> String {
    let mut text =
        format!("V10/Berkeley\nO OperatorChars={}\n", random.of(&[".:%@!^/[]+", ".:@[]", ".:%@!/[]+&|=", "@"]));
    if random.percent(20) {
        text.push_str("O BlankSub=.\n");
    }
    for name in MACROS.iter().take(4) {
        let value = random.of(&["a", "bob", "x.y", "@host", "\"q\"", "two words", "a.b@c", "a\\\"b"]);
        let _ = writeln!(text, "D{name}{value}");
    }
    for class in CLASSES {
        let members =
            random.joined(3, " ", |random| random.of(&["a", "b", "x.y", "y.z", "bob", "A", "$x", "a@b"]).into());
        let _ = writeln!(text, "C{class} {members}");
    }
    text.push_str(HEAD);
    for set in 0..6 {
        let _ = writeln!(text, "S{set}");
        (0..1 + random.below(5)).for_each(|_| text.push_str(&rule(random, set)));
    }
    text + MAILERS
}

fn address(random: &mut Random) -> String {
    const PIECES: [&str; 32] = [
        "a", "b", "bob", "joe", "x", "y.z", "host", "com", "@", ".", "<", ">", "!", "%", ":", "+", "[", "]", "\"q q\"",
        " ", "(c)", "Bob", "A", "@", "@", "a@b", "list", "=", "&", "/", ",", ";",
    ];
    random.joined(8, "", |random| random.of(&PIECES).to_string())
}

fn input(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..LINES {
        let address = address(random);
        let _ = match random.below(10) {
            0..6 => writeln!(text, "{} {address}", random.of(&["1", "2", "3", "3,0", "1,2", "4", "5", "0", "3,1,4"])),
            6..8 => writeln!(text, "/parse {address}"),
            8 => {
                let flags = random.of(&["HS", "HR", "ES", "ER"]);
                writeln!(text, "/tryflags {flags}\n/try {} bob@{address}", random.of(&["local", "esmtp", "prog"]))
            }
            _ => writeln!(text, "{}", random.of(&["$x", "$y", "${lg}", "=S1", "=S0", "/map dq \"a\"", "/map re2 aab"])),
        };
    }
    text
}

#[test]
fn random_rules_give_the_answers_of_sendmail() {
    let Some(bed) = Bed::new() else { return };
    let path = bed.path().join("random.cf");
    let mut compared = 0;
    for seed in 1..=FILES {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (text, input) = (file(&mut random), input(&mut random));
        std::fs::write(&path, &text).unwrap();
        let run = |program: &Path| {
            let mut command = bed.command(program);
            command.args(["-bt", "-C"]).arg(&path).env_remove("EM_ROOT");
            feed(&mut command, input.as_bytes())
        };
        let theirs = run(&bed.sendmail());
        let their_lines = answers(&theirs);
        // It crashes now and then.
        if theirs.status.code().is_none() || their_lines.iter().any(|line| line.len() > LONGEST) {
            continue;
        }
        let ours = run(&bin("emsend"));
        let our_lines = answers(&ours);
        for (line, (their, our)) in their_lines.iter().zip(&our_lines).enumerate() {
            let before = &their_lines[line.saturating_sub(5)..line];
            assert_eq!(our, their, "file {seed}, line {line}, behind {before:#?}\n{text}");
        }
        assert_eq!(
            (our_lines.len(), ours.status.code()),
            (their_lines.len(), theirs.status.code()),
            "file {seed}\n{text}"
        );
        compared += 1;
    }
    assert!(compared >= COMPARED, "{compared} of {FILES} files");
}
