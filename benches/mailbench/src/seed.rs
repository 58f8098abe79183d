//! `mailbench seed`: mailboxes full of the same messages each time, for the POP3 measurements.

use crate::args::{Args, Problem};
use crate::message;
use crate::smtp::FROM;
use crate::stats::Figures;
use std::fs;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

/// Sizes in turn: most mail is small, a little is large. Median 5 KB, mean 15 KB.
const SIZES: [usize; 10] = [1_500, 2_200, 3_000, 4_000, 4_900, 5_100, 7_500, 13_000, 31_000, 78_000];

/// Makes the Maildirs of `--users` users from `--first` on. With `--link 1` they share the files of the first one.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let pattern: String = args.needed("maildirs")?;
    let (first, users, messages): (usize, usize, usize) =
        (args.value("first", 1)?, args.value("users", 50)?, args.value("messages", 100)?);
    let owner: Option<u32> = args.value("owner", 0).map(|uid| (uid != 0).then_some(uid))?;
    let link = args.value("link", 0)? != 0;
    let maildir = |user: usize| PathBuf::from(pattern.replace('%', &format!("user{user}")));
    let texts: Vec<String> = (0..messages)
        .map(|number| message::with_lf(number, FROM, "user@example.test", SIZES[number % SIZES.len()]))
        .collect();
    let mut bytes = 0;
    for user in first..first + users {
        let folder = maildir(user);
        for part in ["", "tmp", "new", "cur"] {
            make(&folder.join(part), owner)?;
        }
        for (number, text) in texts.iter().enumerate() {
            let on_the_wire = text.len() + text.matches('\n').count();
            let name = format!(
                "cur/{}.M{number}P1Q{number}.bench,S={},W={on_the_wire}:2,S",
                1_760_000_000 + number,
                text.len()
            );
            let path = folder.join(&name);
            if path.exists() {
                continue;
            }
            if link && user != first {
                fs::hard_link(maildir(first).join(&name), &path)?;
            } else {
                fs::write(&path, text)?;
                lchown(&path, owner, owner)?;
            }
            bytes += text.len();
        }
    }
    Ok(Figures::default().with("users", users as f64).with("messages", messages as f64).with("bytes", bytes as f64))
}

/// A folder and those above it that are missing, all owned by the user.
fn make(folder: &Path, owner: Option<u32>) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make(above, owner)?;
    }
    fs::create_dir(folder)?;
    lchown(folder, owner, owner)
}
