//! `emlist import`: taking over lists of other programs.

use crate::cli::{Done, Ended, say};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::list::import::{self, From, Notes};
use crate::lists::Lists;
use crate::status::Exit;
use std::path::PathBuf;

/// What is imported.
#[derive(Debug, clap::Args)]
pub struct ImportArguments {
    /// Whose list it was: mailman2, mailman3, mlmmj, majordomo or fml
    #[arg(long, value_name = "PROGRAM", value_parser = program)]
    pub from: From,
    /// Only say what would be taken over
    #[arg(long)]
    pub dry_run: bool,
    /// Where its files are
    pub path: PathBuf,
    /// The list to make, or to add to: NAME@DOMAIN
    pub list: String,
}

fn program(word: &str) -> Result<From, String> {
    match word {
        "mailman2" => Ok(From::Mailman2),
        "mailman3" => Ok(From::Mailman3),
        "mlmmj" => Ok(From::Mlmmj),
        "majordomo" => Ok(From::Majordomo),
        "fml" => Ok(From::Fml),
        _ => Err("write mailman2, mailman3, mlmmj, majordomo or fml".to_string()),
    }
}

/// Does it.
pub fn run(site: &Site, lists: &Lists, arguments: &ImportArguments) -> Done {
    let name = super::own_name(site, &arguments.list)?;
    let foreign = import::read(arguments.from, &arguments.path).map_err(|e| match e.kind() {
        std::io::ErrorKind::InvalidData => Ended::new(Exit::DataErr, e.to_string()),
        std::io::ErrorKind::NotFound => Ended::new(Exit::NoInput, e.to_string()),
        _ => Ended::from(e),
    })?;
    if arguments.dry_run {
        let mut text = String::new();
        for (key, value) in &foreign.settings {
            text.push_str(&format!("{key} = {value}\n"));
        }
        for member in &foreign.members {
            text.push_str(&format!("member {} {}\n", member.address, member.state.word()));
        }
        for path in foreign.posts.iter().flat_map(|posts| posts.paths()) {
            text.push_str(&format!("posts {}\n", path.display()));
        }
        text.push_str(&notes(&foreign.notes));
        say(&text)?;
        return Ok(Exit::Ok);
    }
    let taken = import::take_over(lists, &name, &foreign, Timestamp::now()).map_err(super::of_lists)?;
    let made = if taken.is_new { "made" } else { "was there: its settings stay" };
    say(&format!(
        "{} {made}\n{} members added, {} were members already\n{} posts added, {} were here already\n{}",
        name,
        taken.members.0,
        taken.members.1,
        taken.posts,
        taken.known,
        notes(&taken.notes)
    ))?;
    Ok(Exit::Ok)
}

fn notes(notes: &Notes) -> String {
    // What old files hold goes to a terminal.
    let clean = |text: &str| text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>();
    notes.lines().iter().map(|text| format!("note: {}\n", clean(text))).collect()
}
