//! One form for texts that a searching reader takes for equal: case and width do not count.
//!
//! Called by SEARCH and by the full-text index, which must agree. Half-width kana become full-width, full-width letters and ligatures
//! become plain ones (Unicode's NFKC), and letters lose their case: first to upper, then to lower case, which takes `ß` for
//! `SS` and every sigma for the same. Accents count.
//! RFC 9051 §6.4.4 leaves the comparison to the server; this one is wider than `i;ascii-casemap` (RFC 4790 §9.2).

use unicode_normalization::UnicodeNormalization;

/// Folds a text for comparison. Folding twice changes nothing more.
pub fn fold_for_search(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Most of most texts is made of characters that stand for themselves, whatever is around them; only what lies between is looked
    // at closely, together with the character before it, on which an accent may stand.
    while let Some((plain, hard)) = next_hard(rest) {
        push_plain(&rest[..plain], &mut out);
        out.push_str(&fold_hard(&rest[plain..hard]));
        rest = &rest[hard..];
    }
    push_plain(rest, &mut out);
    out
}

/// Where the next part begins that needs a closer look, and where it ends.
fn next_hard(text: &str) -> Option<(usize, usize)> {
    if text.is_ascii() {
        return None;
    }
    let mut before = 0;
    let mut chars = text.char_indices();
    for (at, c) in chars.by_ref() {
        if !is_plain(c) {
            let end = chars.find(|(_, c)| is_plain(*c)).map_or(text.len(), |(end, _)| end);
            return Some((if at == 0 { 0 } else { before }, end));
        }
        before = at;
    }
    None
}

/// True for characters that folding leaves alone but for the case of A to Z, and that combine with nothing before them.
fn is_plain(c: char) -> bool {
    // ASCII; Japanese punctuation, hiragana and katakana without their combining and compatibility marks; Han.
    c.is_ascii()
        || matches!(c, '\u{3001}'..='\u{3029}' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fe}' | '\u{4e00}'..='\u{9fff}')
}

fn push_plain(text: &str, out: &mut String) {
    let from = out.len();
    out.push_str(text);
    out[from..].make_ascii_lowercase();
}

/// The whole rule.
fn fold_hard(text: &str) -> String {
    let lower = |text: &str| -> String {
        text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect()
    };
    let folded = lower(&text.nfkc().collect::<String>());
    // Compositions that came of the change of case may have a case of their own.
    let again = lower(&folded);
    if again == folded { folded } else { again }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        for (text, expected) in [
            ("Hello", "hello"),
            ("ＨＥＬＬＯ　１", "hello 1"),
            ("ｶﾞｷﾞｸﾞ", "ガギグ"),
            ("ﾊﾟｿｺﾝ", "パソコン"),
            ("ガ", "ガ"),
            ("カ\u{3099}", "ガ"),
            ("Straße STRASSE", "strasse strasse"),
            ("ΣΊΣΥΦΟΣ σίσυφος", "σίσυφοσ σίσυφοσ"),
            ("É", "é"),
            ("e\u{301}", "é"),
            ("ﬁ ① ㈱", "fi 1 (株)"),
            ("İ", "i\u{307}"),
        ] {
            assert_eq!(fold_for_search(text), expected, "{text}");
        }
    }

    #[test]
    fn plain_characters_are_left_alone() {
        for c in (0..=char::MAX as u32).filter_map(char::from_u32).filter(|c| is_plain(*c)) {
            let text = c.to_string();
            assert_eq!(fold_hard(&text), text.to_ascii_lowercase(), "{c:?}");
            // Nothing before it takes it in.
            for before in ["か", "e", "\u{1100}", "\u{301}"] {
                assert_eq!(fold_hard(&format!("{before}{c}")), fold_hard(before) + &fold_hard(&text), "{before} {c:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn the_short_way_is_the_long_one(text in "([a-cA-C]|[か-ヿ]|[\u{300}-\u{345}]|\u{3099}|[ｦ-ﾟ]|[É-ü]|[가-각]|\u{1100}|\u{1161}|漢|\\PC){0,12}") {
            proptest::prop_assert_eq!(fold_for_search(&text), fold_hard(&text));
        }

        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,20}") {
            let folded = fold_for_search(&text);
            proptest::prop_assert_eq!(fold_for_search(&folded), folded);
        }
    }
}
