//! The operators of the language as bytes inside text, and how text with operators is shown.
//!
//! sendmail keeps an operator such as `$*` as one byte between 0x80 and 0x9F inside ordinary text, and so do we, with its numbers, which
//! show where an operator gets into an address: a macro's value, a map's
//! default and a rule then pass through the same tokeniser, and an operator that a map *value* spells out (`$` and `#`, two
//! characters) can never become one. Addresses with such bytes are refused before they come here.
//!
//! A name follows its operator: one byte, or `{name}` for a long one. Values of macros are kept with their dollars unexpanded
//! ([`MACRO`]), which is an ordinary character to the tokeniser.

/// A dollar as a file is read: a name, a sign or a digit follows. [`super::dollars::expand`] makes operators of the signs.
pub const MACRO: u8 = 0x81;
/// `$*`.
pub const ANY: u8 = 0x90;
/// `$+`.
pub const SOME: u8 = 0x91;
/// `$-`.
pub const ONE: u8 = 0x92;
/// `$=`.
pub const CLASS: u8 = 0x93;
/// `$~`.
pub const NOT_CLASS: u8 = 0x94;
/// `$0` … `$9`.
pub const MATCHED: u8 = 0x95;
/// `$#`.
pub const MAILER: u8 = 0x96;
/// `$@`: zero tokens, return, host, or a map's argument.
pub const HOST: u8 = 0x97;
/// `$:`: apply once, user, or a map's default.
pub const USER: u8 = 0x98;
/// `$>`.
pub const CALL: u8 = 0x99;
/// `$?`.
pub const IF: u8 = 0x9a;
/// `$|`.
pub const ELSE: u8 = 0x9b;
/// `$.`.
pub const END_IF: u8 = 0x9c;
/// `$[`.
pub const HOST_BEGIN: u8 = 0x9d;
/// `$]`.
pub const HOST_END: u8 = 0x9e;
/// `$(`.
pub const MAP_BEGIN: u8 = 0x85;
/// `$)`.
pub const MAP_END: u8 = 0x86;
/// `$&x`: the macro named next, read when the rule runs.
pub const DELAYED: u8 = 0x82;

/// What stands behind the dollar, for each operator but `MATCHED`.
const SIGNS: &[(u8, u8)] = &[
    (b'*', ANY),
    (b'+', SOME),
    (b'-', ONE),
    (b'=', CLASS),
    (b'~', NOT_CLASS),
    (b'#', MAILER),
    (b'@', HOST),
    (b':', USER),
    (b'>', CALL),
    (b'?', IF),
    (b'|', ELSE),
    (b'.', END_IF),
    (b'[', HOST_BEGIN),
    (b']', HOST_END),
    (b'(', MAP_BEGIN),
    (b')', MAP_END),
    (b'&', DELAYED),
];

/// The operator that a sign behind a dollar makes.
pub fn operator(sign: u8) -> Option<u8> {
    SIGNS.iter().find(|(s, _)| *s == sign).map(|(_, code)| *code)
}

/// The sign of an operator.
pub fn sign(operator: u8) -> Option<u8> {
    SIGNS.iter().find(|(_, code)| *code == operator).map(|(s, _)| *s)
}

/// True for operators that a macro or class name follows.
pub fn takes_name(operator: u8) -> bool {
    matches!(operator, MACRO | CLASS | NOT_CLASS | IF | DELAYED)
}

/// How long the name at the start of `text` is: one byte, or a long name with its braces; 0 when there is none.
pub fn name_length(text: &[u8]) -> usize {
    match text.first() {
        None => 0,
        Some(b'{') => text.iter().position(|b| *b == b'}').map_or(1, |end| end + 1),
        Some(_) => 1,
    }
}

/// The name without its braces.
pub fn bare(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"{").and_then(|n| n.strip_suffix(b"}")).unwrap_or(name)
}

/// Shows text as `emsend -bt` does: operators as they are written, bytes above them as `M-x`, line ends and tabs escaped.
pub fn show(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            MATCHED => out.push(b'$'),
            MACRO => out.push(b'$'),
            _ if sign(byte).is_some() => {
                out.push(b'$');
                out.extend(sign(byte));
            }
            0x80.. => {
                out.extend(b"M-");
                printable(byte & 0x7f, out);
            }
            _ => printable(byte, out),
        }
    }
}

fn printable(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b' '..=b'~' => out.push(byte),
        b'\n' => out.extend(b"\\n"),
        b'\r' => out.extend(b"\\r"),
        b'\t' => out.extend(b"\\t"),
        // Other controls are not shown at all.
        _ => {}
    }
}

/// Text of a file as messages of the reader show it: its dollars as the byte 0x01.
pub fn said(text: &[u8]) -> String {
    let plain: Vec<u8> = text.iter().map(|b| if *b == MACRO { 0x01 } else { *b }).collect();
    String::from_utf8_lossy(&plain).into_owned()
}

/// [`show`] as a value, for messages.
pub fn shown(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    show(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_and_signs_are_pairs() {
        for (s, code) in SIGNS {
            assert_eq!(operator(*s), Some(*code));
            assert_eq!(sign(*code), Some(*s));
        }
        assert_eq!(operator(b'x'), None);
    }

    #[test]
    fn text_with_operators_is_shown_as_it_was_written() {
        assert_eq!(shown(&[ANY, b'<', CLASS, b'{', b'L', b'}', MATCHED, b'1', MACRO, b'w']), b"$*<$={L}$1$w");
        assert_eq!(shown(b"a\tb\xe9\x7f"), b"a\\tbM-i");
    }

    #[test]
    fn names_are_one_byte_or_in_braces() {
        assert_eq!((name_length(b"wx"), name_length(b"{long}x"), name_length(b"")), (1, 6, 0));
        assert_eq!((bare(b"{w}"), bare(b"w")), (&b"w"[..], &b"w"[..]));
    }
}
