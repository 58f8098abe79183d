//! Dollars in a file: from `$x` to its inner form, and from there to the text it stands for.
//!
//! Reading a line turns each `$` into [`meta::MACRO`] with a checked name behind it. Expanding turns names into values, signs into operators,
//! and settles conditionals (`$?x A $| B $.`: defined and not empty).

use super::macros::Values;
use super::meta;

/// Longest macro or class name, in octets.
pub const NAME_LIMIT: usize = 25;
/// How deep a macro's value may name other macros.
pub const DEPTH_LIMIT: usize = 10;
/// Longest expanded text, in octets; what is longer is cut.
pub const EXPANSION_LIMIT: usize = 4095;
/// Most values that one expansion may open, also those that come to nothing.
const OPENING_LIMIT: usize = 10_000;

/// A line after its dollars were read.
#[derive(Debug, Default)]
pub struct Translated {
    /// The text, with [`meta::MACRO`] for each dollar.
    pub text: Vec<u8>,
    /// What was wrong, with its offset in the line.
    pub faults: Vec<(usize, String)>,
}

/// Reads the dollars of a logical line; with `comments`, a `#` that is not escaped and not part of `$#` ends a line.
pub fn translate(line: &[u8], comments: bool) -> Translated {
    let mut done = Translated { text: Vec::with_capacity(line.len()), faults: Vec::new() };
    let mut at = 0;
    while at < line.len() {
        let plain = memchr::memchr2(b'$', b'#', &line[at..]).unwrap_or(line.len() - at);
        done.text.extend_from_slice(&line[at..at + plain]);
        at += plain;
        let Some(&byte) = line.get(at) else { break };
        match byte {
            b'#' if comments && at > 0 => {
                if done.text.last() == Some(&b'\\') {
                    done.text.pop();
                    done.text.push(b'#');
                    at += 1;
                    continue;
                }
                while done.text.len() > 1 && done.text.last().is_some_and(|b| b.is_ascii_whitespace() && *b != b'\n') {
                    done.text.pop();
                }
                // A comment ends with its line; the continuation goes on.
                at += line[at..].iter().position(|b| *b == b'\n').unwrap_or(line.len() - at);
            }
            b'$' if line.get(at + 1) == Some(&b'$') => {
                done.text.push(b'$');
                at += 2;
            }
            b'$' if at + 1 < line.len() => at = dollar(line, at + 1, &mut done),
            _ => {
                done.text.push(byte);
                at += 1;
            }
        }
    }
    while done.text.len() > 1 && done.text.last().is_some_and(u8::is_ascii_whitespace) {
        done.text.pop();
    }
    done
}

/// What stands behind a dollar; gives where the line goes on.
fn dollar(line: &[u8], at: usize, done: &mut Translated) -> usize {
    done.text.push(meta::MACRO);
    let mut at = at;
    if let sign @ (b'=' | b'~' | b'&' | b'?') = line[at] {
        done.text.push(sign);
        at += 1;
    }
    // Most names are one octet, and no brace.
    if !matches!(line.get(at), None | Some(b'{')) {
        done.text.push(line[at]);
        return at + 1;
    }
    let (name, after, fault) = name(line, at);
    done.faults.extend(fault.map(|text| (at, text)));
    done.text.extend(name);
    after
}

/// Reads a name at `at`: its inner form (one byte, or in braces), where the text goes on, and what is wrong with it.
pub fn name(text: &[u8], at: usize) -> (Vec<u8>, usize, Option<String>) {
    let rest = &text[at.min(text.len())..];
    if rest.is_empty() || rest.starts_with(b"{}") {
        return (Vec::new(), at + rest.len().min(2), Some("Name required for macro/class".to_string()));
    }
    if rest[0] != b'{' {
        return (vec![rest[0]], at + 1, None);
    }
    let mut name = Vec::new();
    let mut fault = None;
    for (index, &byte) in rest.iter().enumerate().skip(1) {
        let after = at + index;
        match byte {
            b'}' if fault.is_some() => return (Vec::new(), after + 1, fault),
            b'}' if name.len() == 1 => return (name, after + 1, None),
            b'}' => return ([b"{", &name[..], b"}"].concat(), after + 1, None),
            _ if name.len() == NAME_LIMIT => {
                let shown = String::from_utf8_lossy(&name).into_owned();
                let text = format!("Macro/class name ({{{shown}}}) too long ({NAME_LIMIT} chars max)");
                return (Vec::new(), after, Some(text));
            }
            _ if byte.is_ascii_alphanumeric() || byte == b'_' => name.push(byte),
            _ => {
                let shown = char::from(byte);
                fault.get_or_insert_with(|| format!("Invalid macro/class character {shown}"));
            }
        }
    }
    // An unclosed brace takes the rest of the line.
    let text = format!("Unbalanced {{ on {}", String::from_utf8_lossy(&name));
    (Vec::new(), at + rest.len(), Some(text))
}

/// Expands macros and conditionals of a text in inner form.
pub fn expand(text: &[u8], values: &dyn Values) -> Vec<u8> {
    expand_noting(text, values).0
}

/// The same; true beside it where a value names others, these again others, and so on, deeper than [`DEPTH_LIMIT`].
pub fn expand_noting(text: &[u8], values: &dyn Values) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(text.len());
    let mut state = Conditions::default();
    expand_into(text, values, DEPTH_LIMIT, &mut state, &mut out);
    (out, state.is_too_deep)
}

/// Where we are among nested conditionals.
#[derive(Default)]
struct Conditions {
    open: usize,
    /// Conditionals opened inside a part that is skipped.
    inside: usize,
    /// Values opened so far.
    values: usize,
    skips: bool,
    is_too_deep: bool,
}

fn expand_into(text: &[u8], values: &dyn Values, depth: usize, state: &mut Conditions, out: &mut Vec<u8>) {
    let mut at = 0;
    while at < text.len() {
        let room = EXPANSION_LIMIT.saturating_sub(out.len());
        if room == 0 {
            return;
        }
        let plain = memchr::memchr(meta::MACRO, &text[at..]).unwrap_or(text.len() - at);
        if !state.skips {
            out.extend_from_slice(&text[at..at + plain.min(room)]);
            if plain >= room {
                return;
            }
        }
        at += plain + 1;
        let Some(&sign) = text.get(at) else { return };
        match sign {
            b'?' => {
                let length = meta::name_length(&text[at + 1..]);
                let name = &text[at + 1..at + 1 + length];
                at += 1 + length;
                state.open += 1;
                match state.skips {
                    true => state.inside += 1,
                    false => state.skips = values.value(name).is_none_or(<[u8]>::is_empty),
                }
            }
            b'|' if state.open > 0 => {
                at += 1;
                if state.inside == 0 {
                    state.skips = !state.skips;
                }
            }
            b'.' if state.open > 0 => {
                at += 1;
                state.open -= 1;
                match state.inside {
                    0 => state.skips = false,
                    _ => state.inside -= 1,
                }
            }
            b'0'..=b'9' => {
                at += 1;
                if !state.skips {
                    out.extend([meta::MATCHED, sign]);
                }
            }
            _ => match meta::operator(sign) {
                Some(operator) => {
                    at += 1;
                    if !state.skips {
                        out.push(operator);
                    }
                }
                None => {
                    let length = meta::name_length(&text[at..]);
                    let name = &text[at..at + length];
                    at += length;
                    let may_open = !state.skips && state.values < OPENING_LIMIT;
                    if let Some(value) = values.value(name).filter(|_| may_open) {
                        state.values += 1;
                        match depth {
                            0 => state.is_too_deep = true,
                            _ => expand_into(value, values, depth - 1, state, out),
                        }
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::macros::Macros;
    use super::*;

    fn read(line: &str) -> Vec<u8> {
        meta::shown(&translate(line.as_bytes(), true).text)
    }

    #[test]
    fn comments_and_dollars_are_read() {
        let table = [
            ("Dxval # c", "Dxval"),
            ("CZ a b # c", "CZ a b"),
            ("Da\\#b", "Da#b"),
            ("R$#x", "R$#x"),
            ("Dx$$5", "Dx$5"),
            ("Dx$", "Dx$"),
            ("Dx${w}$={w}$&{long}", "Dx$w$=w$&{long}"),
            ("H a # c\n\tb", "H a\n\tb"),
        ];
        for (line, expected) in table {
            // A tab inside text is shown escaped.
            let expected = expected.replace('\n', "\\n").replace('\t', "\\t");
            assert_eq!(String::from_utf8_lossy(&read(line)), expected, "{line}");
        }
        assert_eq!(translate(b"Dx#y", false).text, b"Dx#y");
    }

    #[test]
    fn bad_names_are_faults() {
        for (line, fault) in [
            ("Dx${", "Unbalanced { on "),
            ("Dx${ab", "Unbalanced { on ab"),
            ("Dx${}", "Name required for macro/class"),
            ("Dx${a-b}", "Invalid macro/class character -"),
            ("Dx$=", "Name required for macro/class"),
            (
                "Dx${abcdefghijklmnopqrstuvwxyz}",
                "Macro/class name ({abcdefghijklmnopqrstuvwxy}) too long (25 chars max)",
            ),
        ] {
            let faults = translate(line.as_bytes(), true).faults;
            assert_eq!(faults.first().map(|(_, text)| text.as_str()), Some(fault), "{line}");
        }
    }

    #[test]
    fn conditionals_nest() {
        let mut macros = Macros::default();
        macros.set(b"x", b"yes".to_vec());
        macros.set(b"e", Vec::new());
        let test = |line: &str| {
            let text = translate(format!("D{line}").as_bytes(), true).text;
            String::from_utf8(expand(&text, &macros)[1..].to_vec()).unwrap()
        };
        assert_eq!(test("$?x A $| B $. z"), " A  z");
        assert_eq!(test("$?e A $| B $. z"), " B  z");
        assert_eq!(test("$?u$?x a$|b$.$|c$.d"), "cd");
        assert_eq!(test("$?x$?u a$|b$.$|c$.d"), "bd");
        assert_eq!(test("[$x$u]"), "[yes]");
    }

    #[test]
    fn endless_values_end() {
        let mut macros = Macros::default();
        macros.set(b"a", [meta::MACRO, b'a', b'.', meta::MACRO, b'a', b'.'].to_vec());
        assert!(expand(&[meta::MACRO, b'a'], &macros).len() <= EXPANSION_LIMIT + 1);
        // Ten levels of a thousand values that come to nothing.
        for (name, next) in (b'a'..b'k').zip(b'b'..=b'k') {
            macros.set(&[name], [meta::MACRO, next].repeat(1000));
        }
        assert_eq!(expand(&[meta::MACRO, b'a'], &macros), b"");
    }
}
