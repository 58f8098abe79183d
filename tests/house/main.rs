//! The house rules, checked: floors, unsafe code, manual pages, the RFC table, leftovers.

mod examples;
mod floors;
mod manuals;
mod rfcs;
mod tidiness;

use std::path::{Path, PathBuf};

/// The project's folder.
pub fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `dir` with one of these endings, sorted.
pub fn files(dir: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if endings.iter().any(|e| path.to_string_lossy().ends_with(e)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A file's text, with its path in the failure.
pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The path as a developer types it.
pub fn short(path: &Path) -> String {
    path.strip_prefix(top()).unwrap_or(path).display().to_string()
}

/// A source file without its tests, which may do what the product may not.
pub fn code(path: &Path) -> String {
    if path.ends_with("tests.rs") || short(path).contains("/tests/") {
        return String::new();
    }
    let text = text(path);
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(&text).to_string()
}
