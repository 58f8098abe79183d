//! One form for texts that a searching reader takes for equal: case and width do not count.
//!
//! Called by SEARCH and by the full-text index, which must agree. Half-width kana become full-width, full-width letters and ligatures
//! become plain ones (Unicode's NFKC), and letters lose their case: first to upper, then to lower case, which takes `ß` for
//! `SS` and every sigma for the same. Accents count.
//! RFC 9051 §6.4.4 leaves the comparison to the server; this one is wider than `i;ascii-casemap` (RFC 4790 §9.2).

use unicode_normalization::UnicodeNormalization;

/// Folds a text for comparison. Folding twice changes nothing more.
pub fn fold_for_search(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
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

    proptest::proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,20}") {
            let folded = fold_for_search(&text);
            proptest::prop_assert_eq!(fold_for_search(&folded), folded);
        }
    }
}
