//! Every command has its page, and the pages are clean mdoc.

use super::{files, short, text, top};
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
        let out = Command::new("mandoc").arg("-Tlint").arg(&page).output().expect("mandoc runs");
        // Whether a page that is referred to is installed says nothing about this page; ours are looked for below.
        let said = String::from_utf8_lossy(&out.stdout);
        for line in said.lines().filter(|line| !line.contains("referenced manual not found")) {
            wrong.push_str(&format!("{}: {line}\n", short(&page)));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn pages_refer_to_pages_there_are() {
    let pages = files(&top().join("man"), &[".1", ".5", ".8"]);
    let mut wrong = String::new();
    for page in &pages {
        let text = std::fs::read_to_string(page).expect("a page");
        for reference in text.lines().filter_map(|line| line.strip_prefix(".Xr em")) {
            let mut words = reference.split(' ');
            let file = format!("em{}.{}", words.next().unwrap_or(""), words.next().unwrap_or(""));
            if !top().join("man").join(&file).exists() {
                wrong.push_str(&format!("{}: {file}\n", short(page)));
            }
        }
    }
    assert!(wrong.is_empty(), "no such pages:\n{wrong}");
}

#[test]
fn command_pages_have_their_sections_and_every_subcommand() {
    let mut wrong = String::new();
    for page in files(&top().join("man"), &[".8"]) {
        let text = std::fs::read_to_string(&page).expect("a page");
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "FILES", "EXIT STATUS", "SEE ALSO", "CAVEATS"] {
            if !text.contains(&format!("\n.Sh {section}\n")) {
                wrong.push_str(&format!("{}: no {section}\n", short(&page)));
            }
        }
        let name = page.file_stem().expect("a page has a name");
        let program = std::path::PathBuf::from(env!("CARGO_BIN_EXE_emd")).with_file_name(name);
        let help = Command::new(program).arg("--help").output().expect("a command runs");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let commands = help.split("\nCommands:\n").nth(1).unwrap_or("").split("\n\n").next().unwrap_or("");
        for word in commands.lines().filter_map(|line| line.split_whitespace().next()) {
            if !text.contains(&format!("\n.It Cm {word}")) {
                wrong.push_str(&format!("{}: {word}\n", short(&page)));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Each flag that emsend reads by hand is explained.
#[test]
fn the_page_of_emsend_explains_every_letter() {
    let text = std::fs::read_to_string(top().join("man/emsend.8")).expect("a page");
    let help = Command::new(std::path::PathBuf::from(env!("CARGO_BIN_EXE_emd")).with_file_name("emsend"));
    let help = { help }.arg("--help").output().expect("emsend runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let mut seen = 0;
    for flag in help.split_whitespace().filter(|word| word.starts_with('-')) {
        let flag: String = flag.trim_start_matches('-').chars().take_while(|c| c.is_ascii_alphabetic()).collect();
        let flag = flag.chars().take(2).collect::<String>();
        let is_there = text.contains(&format!("Fl {flag}")) || text.contains(&format!("Fl -{flag}"));
        assert!(is_there, "-{flag} is not explained");
        seen += 1;
    }
    assert!(seen > 30, "{help}");
}

/// The options that `--help` names are explained in the page.
#[test]
fn pages_explain_every_option() {
    let mut wrong = String::new();
    for path in files(&top().join("src/cli"), &[".rs"]) {
        let text = std::fs::read_to_string(&path).expect("a source file");
        let command = short(&path).trim_start_matches("src/cli/").split(['/', '.']).next().unwrap_or("").to_string();
        let Ok(page) = std::fs::read_to_string(top().join("man").join(format!("{command}.8"))) else { continue };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if !line.trim_start().starts_with("#[arg(") || !line.contains("long") || line.contains("hide = true") {
                continue;
            }
            let named = line.split("long = \"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_string);
            let field = || lines.clone().find_map(|l| l.trim().split_once(':').map(|(name, _)| name.replace('_', "-")));
            let option = named.or_else(field).unwrap_or_default();
            let option = option.trim_start_matches("pub ").to_string();
            if !page.contains(&format!("-{option}")) {
                wrong.push_str(&format!("{command}.8: --{option}\n"));
            }
        }
    }
    assert!(wrong.is_empty(), "not explained:\n{wrong}");
}

/// The settings of a list stand in its page, in the table's order.
#[test]
fn every_setting_of_a_list_is_explained() {
    let page = text(&top().join("man/em-lists.5"));
    let explained: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix(".It Cm ")?.split_once(" Pq ")).map(|(key, _)| key).collect();
    let keys: Vec<&str> = expressmail::lists::settings::keys().iter().map(|key| key.name).collect();
    assert_eq!(explained, keys);
}
