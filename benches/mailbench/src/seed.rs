//! `mailbench seed`: mailboxes full of the same messages each time.

use crate::args::{Args, Problem};
use crate::letters;
use crate::message;
use crate::smtp::FROM;
use crate::stats::Figures;
use std::fs;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

/// Sizes in turn: most mail is small, a little is large. Median 5 KB, mean 15 KB.
const SIZES: [usize; 10] = [1_500, 2_200, 3_000, 4_000, 4_900, 5_100, 7_500, 13_000, 31_000, 78_000];

/// What the names of letters show, in turn.
const FLAGS: [&str; 4] = ["S", "S", "RS", ""];

/// Makes the Maildirs of `--users` users from `--first` on. With `--link 1` they share the files of the first one. With `--letters 1`
/// the messages are like real mail, and their names say nothing of their sizes, as Postfix and other programs deliver them.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    if args.value("letters", 0)? != 0 {
        return many_letters(args);
    }
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

/// One folder of letters, made once below `--store` and linked into each Maildir: a hundred thousand are 1.4 GB.
fn many_letters(args: &Args) -> Result<Figures, Problem> {
    let pattern: String = args.needed("maildirs")?;
    let store = PathBuf::from(args.needed::<String>("store")?);
    let (first, users, messages): (usize, usize, usize) =
        (args.value("first", 1)?, args.value("users", 1)?, args.value("messages", 100_000)?);
    let owner: Option<u32> = args.value("owner", 0).map(|uid| (uid != 0).then_some(uid))?;
    let name =
        |number: usize, sent: u64| format!("{sent}.M{}P{number}.bench:2,{}", number % 1_000_000, FLAGS[number % 4]);
    fs::create_dir_all(&store)?;
    let mut names = Vec::with_capacity(messages);
    for number in 0..messages {
        let path = store.join(number.to_string());
        let sent = match fs::metadata(&path) {
            Ok(_) => letters::sent(number),
            Err(_) => {
                let (text, sent) = letters::letter(number);
                fs::write(&path, text)?;
                lchown(&path, owner, owner)?;
                sent
            }
        };
        names.push((path, name(number, sent)));
    }
    for user in first..first + users {
        let folder = PathBuf::from(pattern.replace('%', &format!("user{user}")));
        for part in ["", "tmp", "new", "cur"] {
            make(&folder.join(part), owner)?;
        }
        for (path, name) in &names {
            match fs::hard_link(path, folder.join("cur").join(name)) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
        }
    }
    Ok(Figures::default().with("users", users as f64).with("messages", messages as f64))
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
