//! Posts that fml has packed: a hundred of them, or as many as it was told, in a file `100.tar.gz`.
//!
//! Called by `fml` and [`super::posts`]. Reads the tar format of POSIX and GNU as far as it is needed: plain files whose last part of the name is a
//! number; everything else is passed over.
//! Trust: the files are the administrator's; a damaged one is a note, what stands before the damage is taken. Nothing is unpacked
//! to disk, so that names with `..` mean nothing, and no post is larger than one may be.

use super::posts::NUMBER_LIMIT;
use crate::clock::Timestamp;
use crate::fsx;
use crate::lists::archive::{MESSAGE_LIMIT, Post};
use flate2::read::MultiGzDecoder;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Octets of a block: a header is one, a file fills whole ones.
const BLOCK: usize = 512;
/// Most octets of a file that is passed over: tar has no shorter way to the next one, and a bomb would have no end.
const PASSED_LIMIT: u64 = 4 << 30;

/// Why a file of posts could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
    /// It can't be opened.
    #[error(transparent)]
    Open(io::Error),
    /// From some point on it is no gzip, or not whole.
    #[error("it is damaged: {0}")]
    Damaged(io::Error),
    /// No header of a file.
    #[error("it is no tar file, or damaged")]
    NoTar,
    /// A post that is larger than any may be.
    #[error("post {0} is larger than {MESSAGE_LIMIT} octets, and what stands behind it is not read")]
    Large(u64),
}

/// The packed posts in a folder, with the numbers in their names; none where there is no such folder.
pub(super) fn packs(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    let each = |name: &std::ffi::OsStr| {
        let Some(name) = name.to_str() else { return };
        let stem = [".tar.gz", ".tgz", ".gz"].iter().find_map(|ending| name.strip_suffix(ending));
        if let Some(number) = stem.and_then(|stem| stem.parse::<u64>().ok()) {
            found.push((number, folder.join(name)));
        }
    };
    match fsx::each_name(folder, each) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    }
    Ok(found)
}

/// Shows the posts of one file, as they come.
pub(super) fn read<E>(path: &Path, mut see: impl FnMut(Post) -> Result<(), E>) -> Result<Result<(), PackError>, E> {
    let file = match fsx::open_read(path) {
        Ok(file) => file,
        Err(e) => return Ok(Err(PackError::Open(e))),
    };
    // The decoder takes an empty file for a whole one.
    if file.metadata().is_ok_and(|file| file.len() == 0) {
        return Ok(Err(PackError::NoTar));
    }
    let mut tar = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file));
    loop {
        match next(&mut tar) {
            Ok(Some(post)) => see(post)?,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// The next post; `None` at the end.
fn next(tar: &mut impl Read) -> Result<Option<Post>, PackError> {
    let mut header = [0; BLOCK];
    loop {
        match tar.read(&mut header[..1]).map_err(PackError::Damaged)? {
            // A tar without its two empty blocks is whole, too.
            0 => return Ok(None),
            _ => tar.read_exact(&mut header[1..]).map_err(PackError::Damaged)?,
        }
        if header.iter().all(|octet| *octet == 0) {
            // The checksum of the gzip stands behind all of it.
            io::copy(&mut tar.take(PASSED_LIMIT), &mut io::sink()).map_err(PackError::Damaged)?;
            return Ok(None);
        }
        let entry = Entry::read(&header).ok_or(PackError::NoTar)?;
        let padded = entry.size.next_multiple_of(BLOCK as u64);
        match entry.number {
            Some(number) if entry.size > MESSAGE_LIMIT as u64 => return Err(PackError::Large(number)),
            Some(number) => {
                let mut message = Vec::new();
                tar.by_ref().take(entry.size).read_to_end(&mut message).map_err(PackError::Damaged)?;
                if message.len() as u64 != entry.size {
                    return Err(PackError::Damaged(io::ErrorKind::UnexpectedEof.into()));
                }
                pass(tar, padded - entry.size)?;
                return Ok(Some(Post { number, message, received: entry.modified }));
            }
            None => pass(tar, padded)?,
        }
    }
}

fn pass(tar: &mut impl Read, octets: u64) -> Result<(), PackError> {
    match io::copy(&mut tar.take(octets.min(PASSED_LIMIT)), &mut io::sink()).map_err(PackError::Damaged)? {
        passed if passed == octets => Ok(()),
        _ => Err(PackError::Damaged(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// What a header says.
struct Entry {
    /// The number of the post; `None` for what is none.
    number: Option<u64>,
    size: u64,
    modified: Timestamp,
}

impl Entry {
    /// Reads name (100), size (12 at 124), time (12 at 136), checksum (8 at 148), kind (1 at 156); `None` when the checksum is wrong.
    fn read(header: &[u8; BLOCK]) -> Option<Entry> {
        let blank = |at: usize| (148..156).contains(&at);
        let sum: u64 =
            header.iter().enumerate().map(|(at, octet)| u64::from(if blank(at) { b' ' } else { *octet })).sum();
        if octal(header.get(148..156)?)? != sum {
            return None;
        }
        let size = octal(header.get(124..136)?)?;
        let seconds = octal(header.get(136..148)?).unwrap_or(0).min(u32::MAX.into());
        let name = header.get(..100)?.split(|octet| *octet == 0).next()?;
        let is_file = matches!(header.get(156)?, b'0' | 0 | b'7');
        let last = std::str::from_utf8(name).ok()?.rsplit('/').next();
        let number: Option<u64> = last.filter(|_| is_file).and_then(|last| last.parse().ok());
        let number = number.filter(|number| (1..=NUMBER_LIMIT).contains(number));
        // Links and folders have a size at times, and never a body.
        let has_body = !matches!(header.get(156)?, b'1'..=b'6');
        let modified = Timestamp::from_seconds(seconds as i64);
        Some(Entry { number, size: if has_body { size } else { 0 }, modified })
    }
}

/// A number in octal digits between blanks and zeros.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    match text {
        "" => Some(0),
        text => u64::from_str_radix(text, 8).ok().filter(|_| !text.starts_with('+')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(name: &str, kind: u8, body: &[u8]) -> Vec<u8> {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..136].copy_from_slice(format!("{:011o} ", body.len()).as_bytes());
        header[136..148].copy_from_slice(b"07000000000\0");
        header[148..156].fill(b' ');
        header[156] = kind;
        let sum: u32 = header.iter().map(|octet| u32::from(*octet)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut out = header.to_vec();
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        out
    }

    fn packed(dir: &Path, tar: &[u8]) -> PathBuf {
        let path = dir.join("100.tar.gz");
        let mut gzip =
            flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
        gzip.write_all(tar).unwrap();
        gzip.finish().unwrap();
        path
    }

    fn numbers(path: &Path) -> (Vec<(u64, usize)>, Result<(), String>) {
        let mut seen = Vec::new();
        let ended = read(path, |post| {
            seen.push((post.number, post.message.len()));
            Ok::<_, io::Error>(())
        });
        (seen, ended.unwrap().map_err(|e| e.to_string()))
    }

    #[test]
    fn plain_files_with_numbers_are_posts() {
        let dir = tempfile::tempdir().unwrap();
        let tar = [
            file("spool/", b'5', b""),
            file("spool/1", b'0', b"one"),
            file("spool/readme", b'0', &[b'x'; 600]),
            file("../../../2", 0, &[b'y'; 512]),
            file("spool/3", b'2', b""),
            file("var/spool/04", b'0', b""),
            vec![0; 1024],
        ];
        assert_eq!(numbers(&packed(dir.path(), &tar.concat())), (vec![(1, 3), (2, 512), (4, 0)], Ok(())));
        let found = packs(dir.path()).unwrap();
        assert_eq!(found, [(100, dir.path().join("100.tar.gz"))]);
        assert!(packs(&dir.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn of_a_damaged_one_the_beginning_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let tar = [file("spool/1", b'0', b"one"), file("spool/2", b'0', &[b'y'; 2000])].concat();
        let (seen, ended) = numbers(&packed(dir.path(), &tar[..1800]));
        assert!(seen == [(1, 3)] && ended.unwrap_err().starts_with("it is damaged"));
        // Cut off, no gzip, no tar, and a size that is none.
        let path = packed(dir.path(), &tar);
        let whole = std::fs::read(&path).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(numbers(&path).1.is_err(), "{end}");
        }
        std::fs::write(&path, "no gzip").unwrap();
        assert!(numbers(&path).1.is_err());
        assert_eq!(numbers(&packed(dir.path(), &[b'x'; 1024])).1.unwrap_err(), PackError::NoTar.to_string());
        let mut large = file("spool/5", b'0', b"");
        large[124..136].copy_from_slice(b"77777777777\0");
        large[148..156].fill(b' ');
        let sum: u32 = large[..BLOCK].iter().map(|octet| u32::from(*octet)).sum();
        large[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(numbers(&packed(dir.path(), &large)).1.unwrap_err().starts_with("post 5 is larger"));
    }
}
