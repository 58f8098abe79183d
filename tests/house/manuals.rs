//! Every command has its page, and the pages are clean mdoc.

use super::{files, short, top};
use std::process::Command;

#[test]
fn every_command_has_a_manual_page() {
    for path in files(&top().join("src/bin"), &[".rs"]) {
        let command = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let pages = files(&top().join("man"), &[".8", ".1"]);
        assert!(
            pages.iter().any(|p| p.file_stem().is_some_and(|s| s.to_string_lossy() == command)),
            "no manual page for {command}"
        );
    }
}

#[test]
fn manual_pages_pass_mandoc() {
    let pages = files(&top().join("man"), &[".1", ".5", ".8"]);
    assert!(!pages.is_empty());
    if Command::new("mandoc").arg("-Tlint").arg("/dev/null").output().is_err() {
        println!("skipped: mandoc is missing");
        return;
    }
    let mut wrong = String::new();
    for page in pages {
        let out = Command::new("mandoc").args(["-Tlint", "-Wwarning"]).arg(&page).output().expect("mandoc runs");
        let said = String::from_utf8_lossy(&out.stdout);
        if !out.status.success() {
            wrong.push_str(&format!("{}:\n{said}", short(&page)));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
