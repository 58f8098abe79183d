//! `mailbench disk`: how many durable creates a second the file system allows, with nothing else in the way.
//!
//! Each is what a careful Maildir delivery does: create in `tmp`, write, fsync, rename into `new`, fsync `new`.

use crate::args::{Args, Problem};
use crate::load::{self, Client};
use crate::stats::Figures;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Folders the files are spread over, as mail is spread over users.
const FOLDERS: usize = 50;

struct Writer<'a> {
    folders: &'a [PathBuf],
    data: &'a [u8],
}

impl Client for Writer<'_> {
    fn transaction(&mut self, number: usize) -> Result<Duration, Problem> {
        let folder = &self.folders[number % self.folders.len()];
        let (draft, name, new) =
            (folder.join(format!("tmp/{number}")), folder.join(format!("new/{number}")), folder.join("new"));
        let start = Instant::now();
        create(&draft, &name, &new, self.data)?;
        Ok(start.elapsed())
    }
}

fn create(draft: &Path, name: &Path, new: &Path, data: &[u8]) -> std::io::Result<()> {
    let mut file = File::create_new(draft)?;
    file.write_all(data)?;
    file.sync_all()?;
    fs::rename(draft, name)?;
    File::open(new)?.sync_all()
}

/// Creates files for some seconds in a folder of its own below `--dir`, and removes them.
pub fn run(args: &Args) -> Result<Figures, Problem> {
    let top = PathBuf::from(args.needed::<String>("dir")?).join("disk");
    let folders: Vec<PathBuf> = (0..FOLDERS).map(|n| top.join(n.to_string())).collect();
    for folder in &folders {
        fs::create_dir_all(folder.join("tmp"))?;
        fs::create_dir_all(folder.join("new"))?;
    }
    let data = vec![b'x'; args.value("size", 10_240)?];
    let start = Instant::now();
    let done =
        load::drive(args.value("threads", 10)?, args.seconds()?, |_| Ok(Writer { folders: &folders, data: &data }));
    let span = start.elapsed().as_secs_f64();
    fs::remove_dir_all(&top)?;
    let mut done = done?;
    Ok(Figures::default()
        .with("creates_s", done.times.count() as f64 / span)
        .with_times(&mut done.times)
        .with("errors", done.errors as f64))
}
