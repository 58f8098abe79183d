//! A module imports lower floors only; the protocols and the stores never see each other.

use super::{code, files, short, top};

/// Every module of the library with its floor. `proto` and the stores share a height, not a floor.
const FLOORS: &[(&str, u32)] = &[
    ("line", 0),
    ("dot", 0),
    ("fields", 0),
    ("fsx", 0),
    ("clock", 0),
    ("log", 0),
    ("syscall", 0),
    ("addr", 10),
    ("envelope", 10),
    ("mailbox", 10),
    ("msg", 10),
    ("report", 10),
    ("rules", 10),
    ("sasl", 10),
    ("settings", 10),
    ("sieve", 10),
    ("srs", 10),
    ("status", 10),
    ("proto", 20),
    ("config", 21),
    ("lists", 21),
    ("spool", 21),
    ("store", 21),
    ("tables", 21),
    ("users", 21),
    ("bounce", 30),
    ("deliver", 30),
    ("list", 30),
    ("migrate", 30),
    ("nexthop", 30),
    ("policy", 30),
    ("queue", 30),
    ("route", 30),
    ("serve", 30),
    ("submit", 30),
    ("cli", 40),
    ("drive", 40),
];

fn floor(module: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

fn may_import(from: u32, to: u32) -> bool {
    to <= from && !(from == 21 && to == 20)
}

#[test]
fn modules_import_lower_floors_only() {
    let mut wrong = Vec::new();
    for path in files(&top().join("src"), &[".rs"]) {
        let name = short(&path);
        let module = name.trim_start_matches("src/").split(['/', '.']).next().unwrap_or("").to_string();
        if matches!(module.as_str(), "lib" | "bin") {
            continue;
        }
        let Some(from) = floor(&module) else {
            wrong.push(format!("{name}: module {module} has no floor; give it one in tests/house/floors.rs"));
            continue;
        };
        // Unit tests may reach where they like.
        let code = code(&path);
        for (number, line) in code.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for used in imported(line) {
                if floor(&used).is_some_and(|to| !may_import(from, to)) {
                    wrong.push(format!("{name}:{}: {module} may not use {used}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The top modules that a line names behind `crate::`.
fn imported(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let mut names = Vec::new();
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let mut name = String::new();
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => names.push(std::mem::take(&mut name)),
                        c if depth == 0 => name.push(c),
                        _ => {}
                    }
                }
                names.push(name);
            }
            None => names.push(rest.to_string()),
        }
        for name in names {
            let module: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push(module);
        }
    }
    found
}

#[test]
fn the_import_reader_sees_groups() {
    assert_eq!(imported("use crate::{addr::Address, fsx::{self, Lock}, log};"), ["addr", "fsx", "log"]);
    assert_eq!(imported("let x = crate::line::lines(crate::dot::x);"), ["line", "dot"]);
    assert!(may_import(30, 20) && !may_import(20, 21) && !may_import(21, 20) && may_import(21, 21));
}

#[test]
fn the_ground_the_values_and_the_protocols_do_no_io() {
    let mut wrong = Vec::new();
    for dir in ["addr", "proto", "sasl", "msg", "rules", "settings", "sieve", "srs"] {
        let mut paths = files(&top().join("src").join(dir), &[".rs"]);
        paths.extend(Some(top().join(format!("src/{dir}.rs"))).filter(|p| p.exists()));
        for path in paths {
            let code = code(&path);
            for (number, line) in code.lines().enumerate() {
                let line = line.split("//").next().unwrap_or("");
                for forbidden in [
                    "std::fs",
                    "std::net::Tcp",
                    "Instant::now",
                    "SystemTime::now",
                    "Timestamp::now",
                    "std::env",
                    "File::open",
                ] {
                    if line.contains(forbidden) {
                        wrong.push(format!("{}:{}: {forbidden}", short(&path), number + 1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
