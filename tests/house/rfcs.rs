//! `docs/rfc.md` names each RFC that the code cites, and no other.

use super::{files, short, text, top};
use std::collections::BTreeMap;

#[test]
fn the_rfc_table_and_the_code_agree() {
    let mut cited: BTreeMap<u32, String> = BTreeMap::new();
    for path in files(&top().join("src"), &[".rs"]) {
        let text = text(&path);
        let mut rest = text.as_str();
        while let Some(at) = rest.find("RFC ") {
            rest = &rest[at + 4..];
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if let Ok(number) = digits.parse() {
                cited.entry(number).or_insert_with(|| short(&path));
            }
        }
    }
    let mut rows = BTreeMap::new();
    for line in text(&top().join("docs/rfc.md")).lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        if let (Some(number), Some(_title), Some(state)) = (cells.next(), cells.next(), cells.next())
            && let Ok(number) = number.parse::<u32>()
        {
            assert!(
                ["whole", "part", "form", "refused"].contains(&state),
                "docs/rfc.md: RFC {number} has the unknown state {state:?}"
            );
            assert!(rows.insert(number, state.to_string()).is_none(), "docs/rfc.md: RFC {number} stands twice");
        }
    }
    let missing: Vec<_> = cited.iter().filter(|(n, _)| !rows.contains_key(n)).collect();
    assert!(missing.is_empty(), "cited in the code, but not in docs/rfc.md: {missing:?}");
    let unused: Vec<_> = rows.keys().filter(|n| !cited.contains_key(n)).collect();
    assert!(unused.is_empty(), "in docs/rfc.md, but cited nowhere in the code: {unused:?}");
}
