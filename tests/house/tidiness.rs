//! What may not be left in the tree.

use super::{code, files, short, text, top};

#[test]
fn unsafe_code_lives_in_one_reviewed_module_at_most() {
    let mut holders = Vec::new();
    for path in files(&top().join("src"), &[".rs"]) {
        let text = text(&path);
        if text.contains("allow(unsafe_code)") {
            holders.push(short(&path));
        }
        if short(&path).starts_with("src/bin/") {
            assert!(text.contains("#![forbid(unsafe_code)]"), "{} does not forbid unsafe code", short(&path));
        }
    }
    assert!(holders.len() <= 1, "unsafe code is allowed in {holders:?}");
    assert!(text(&top().join("src/lib.rs")).contains("#![deny(unsafe_code)]"));
}

#[test]
fn nothing_is_left_open() {
    let marks = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("#[ign", "ore]"),
        concat!("allow(dead", "_code)"),
    ];
    let mut wrong = Vec::new();
    for dir in ["src", "tests"] {
        for path in files(&top().join(dir), &[".rs"]) {
            for (number, line) in text(&path).lines().enumerate() {
                if marks.iter().any(|mark| line.contains(mark)) {
                    wrong.push(format!("{}:{}: {}", short(&path), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn library_code_does_not_unwrap() {
    let mut wrong = Vec::new();
    for path in files(&top().join("src"), &[".rs"]) {
        let code = code(&path);
        for (number, line) in code.lines().enumerate() {
            if line.split("//").next().unwrap_or("").contains(".unwrap()") {
                wrong.push(format!("{}:{}: {}", short(&path), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_file_name_hides_its_concern() {
    for path in files(&top().join("src"), &[".rs"]) {
        let name = short(&path);
        for vague in ["util", "misc", "common", "manager", "helper"] {
            assert!(!name.contains(vague), "{name}: name the concern");
        }
    }
}
