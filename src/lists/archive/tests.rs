use super::*;
use crate::fsx::fault::{Plan, with_plan};
use crate::msg::mbox::Quoting;

fn post(number: u64, subject: &str, more: &str) -> Vec<u8> {
    format!(
        "From: Ann <ann@a.test>\nSubject: {subject}\nDate: Mon, 30 Nov 2026 09:00:{:02} +0000\nMessage-ID: <{number}@a.test>\n{more}\n\
         Hello number {number}.\nFrom here.\n",
        number % 60
    )
    .into_bytes()
}

fn archive() -> (tempfile::TempDir, Archive) {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::at(dir.path().join("archive"));
    (dir, archive)
}

fn fill(archive: &Archive, count: u64) {
    for number in 1..=count {
        let more = if number > 1 { "In-Reply-To: <1@a.test>\n" } else { "" };
        archive.append(number, &post(number, "=?utf-8?q?caf=C3=A9?=", more), Timestamp(0)).unwrap();
    }
}

#[test]
fn posts_come_back_with_what_the_index_says() {
    let (_dir, archive) = archive();
    fill(&archive, 3);
    assert_eq!(archive.message(2).unwrap().unwrap(), post(2, "=?utf-8?q?caf=C3=A9?=", "In-Reply-To: <1@a.test>\n"));
    assert_eq!(archive.message(4).unwrap(), None);
    let index = archive.index().unwrap();
    assert_eq!((index.first(), index.last(), index.len()), (1, 3, 3));
    let entry = index.entry(2).unwrap();
    assert_eq!((entry.from.as_str(), entry.name.as_str(), entry.subject.as_str()), ("ann@a.test", "Ann", "café"));
    assert_eq!((entry.message_id.as_str(), entry.references.as_slice()), ("2@a.test", &["1@a.test".to_string()][..]));
    assert_eq!(entry.date.rfc3339(), "2026-11-30T09:00:02.000000Z");
    let numbers: Vec<u64> = index.entries(&[(2, 9)]).map(|e| e.number).collect();
    assert_eq!(numbers, [2, 3]);
    assert!(archive.check().unwrap().is_good());
}

#[test]
fn the_same_post_twice_is_one_and_another_is_refused() {
    let (_dir, archive) = archive();
    fill(&archive, 2);
    fill(&archive, 2);
    assert_eq!(archive.index().unwrap().len(), 2);
    let error = archive.append(2, b"Subject: other\n\n", Timestamp(0)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn a_torn_or_damaged_index_is_healed() {
    let (_dir, archive) = archive();
    fill(&archive, 3);
    let path = archive.index_path();
    let text = std::fs::read_to_string(&path).unwrap();
    // Torn in the last line: the next post brings it back.
    std::fs::write(&path, &text[..text.len() - 20]).unwrap();
    assert_eq!(archive.index().unwrap().len(), 2);
    archive.append(4, &post(4, "x", ""), Timestamp(0)).unwrap();
    assert!(archive.check().unwrap().is_good() && archive.index().unwrap().len() == 4);
    // A damaged line is named, and made anew.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("caf", "caz", 1)).unwrap();
    assert_eq!(archive.check().unwrap().unknown, [1]);
    assert_eq!(archive.message(1).unwrap().unwrap(), post(1, "=?utf-8?q?caf=C3=A9?=", ""));
    assert_eq!(archive.rebuild().unwrap(), 4);
    assert!(archive.check().unwrap().is_good());
    // A post that the administrator has removed.
    std::fs::remove_file(archive.path(2)).unwrap();
    assert_eq!(archive.check().unwrap().missing, [2]);
    assert_eq!(archive.rebuild().unwrap(), 3);
}

#[test]
fn a_post_is_there_or_not_at_every_fault() {
    for n in 1..40 {
        let (_dir, archive) = archive();
        fill(&archive, 1);
        let plan = Plan::parse(&format!("ENOSPC:{n}")).unwrap();
        let message = post(2, "x", "");
        let (result, struck) = with_plan(plan, || archive.append(2, &message, Timestamp(0)));
        if result.is_ok() {
            assert_eq!(archive.index().unwrap().last(), 2, "{n}");
            assert_eq!(archive.message(2).unwrap().as_deref(), Some(&message[..]), "{n}");
        }
        // The list tries again.
        archive.append(2, &message, Timestamp(0)).unwrap();
        assert!(archive.check().unwrap().is_good(), "{n}");
        assert_eq!(archive.search("number 2", 9).unwrap().len(), 1, "{n}");
        if !struck {
            assert!(n > 6);
            return;
        }
    }
    panic!("appending uses more operations than it should");
}

#[test]
fn words_are_found_in_any_spelling_newest_first() {
    let (_dir, archive) = archive();
    fill(&archive, 12);
    archive
        .append(13, "Subject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\n\nＴＥＡ time\n".as_bytes(), Timestamp(0))
        .unwrap();
    let find = |words: &str| archive.search(words, 3).unwrap().iter().map(|e| e.number).collect::<Vec<_>>();
    assert_eq!(find("HELLO"), [12, 11, 10]);
    assert_eq!(find("hello 11."), [11]);
    assert_eq!(find("CAFÉ ann 12"), [12]);
    assert_eq!((find("日本"), find("tea"), find("tea hello"), find(" ")), (vec![13], vec![13], vec![], vec![]));
    // Without the texts, with damaged ones, and with one that is missing: the same.
    std::fs::remove_file(archive.text_path()).unwrap();
    assert_eq!(find("hello 11."), [11]);
    let mut bytes = std::fs::read(archive.text_path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(archive.text_path(), &bytes).unwrap();
    assert_eq!(find("hello"), [12, 11, 10]);
    let size = std::fs::metadata(archive.text_path()).unwrap().len();
    std::fs::write(archive.text_path(), &std::fs::read(archive.text_path()).unwrap()[..size as usize - 3]).unwrap();
    assert_eq!(find("tea"), [13]);
}

#[test]
fn threads_follow_references() {
    let (_dir, archive) = archive();
    fill(&archive, 2);
    archive.append(3, &post(3, "other", ""), Timestamp(0)).unwrap();
    archive.append(4, &post(4, "Re: more", "References: <1@a.test> <2@a.test>\n"), Timestamp(0)).unwrap();
    let found: Vec<(usize, u64)> =
        archive.threads(&[(1, u64::MAX)]).unwrap().iter().map(|t| (t.depth, t.entry.number)).collect();
    assert_eq!(found, [(0, 1), (1, 2), (2, 4), (0, 3)]);
}

#[test]
fn an_mbox_goes_out_and_comes_in() {
    let (dir, archive) = archive();
    fill(&archive, 5);
    for quoting in [Quoting::Rd, Quoting::O] {
        let mut out = Vec::new();
        assert_eq!(archive.export(&[(2, 4)], quoting, &mut out).unwrap().posts, 3);
        let other = Archive::at(dir.path().join(format!("{quoting:?}")));
        let imported = other.import(out.as_slice(), quoting, 10, Timestamp(0)).unwrap();
        assert_eq!((imported.posts, imported.known, imported.numbers), (3, 0, (11, 13)));
        // Once more: nothing is doubled.
        assert_eq!(other.import(out.as_slice(), quoting, 10, Timestamp(0)).unwrap().known, 3);
        assert!(other.check().unwrap().is_good());
        if quoting == Quoting::Rd {
            assert_eq!(other.message(11).unwrap(), archive.message(2).unwrap());
        }
    }
    assert!(archive.import(&b"no mbox"[..], Quoting::Rd, 0, Timestamp(0)).is_err());
}

#[test]
fn hostile_headers_make_one_line_within_its_limit() {
    let long = "=?utf-8?q?=E6=97=A5?=".repeat(3000);
    let references: String = (0..500).map(|n| format!(" <{n}{}@x>\n", "y".repeat(300))).collect();
    let message = format!("From: \"{long}\n {long}\" <a\u{7}b@c>\nSubject: {long}\nReferences:{references}\n\n");
    let entry = Entry::of(7, message.as_bytes(), Timestamp(5));
    let line = entry.print();
    assert!(line.len() < entry::LINE_LIMIT && line.matches('\n').count() == 1, "{}", line.len());
    let mut whole = entry.clone();
    whole.date = Timestamp(0);
    assert_eq!(Entry::parse(line.trim_end().as_bytes()), Some(whole));
}

/// Posts of words that stand in many of them, and one of their own each; 1.7 MB of them. Their numbers, and what they say.
fn large(archive: &Archive) -> Vec<(u64, String)> {
    let posts: Vec<Post> = (1..=500)
        .map(|number: u64| {
            let words: String =
                (0..700).map(|n| format!("w{:03} ", (number * 7 + n * n * 13 + number * n) % 900)).collect();
            let text = format!(
                "Subject: s{}\n\n{words} own{number}x 会議{} z\n",
                number % 9,
                "資料".repeat((number % 2) as usize)
            );
            Post { number: number * 2, message: text.into_bytes(), received: Timestamp(0) }
        })
        .collect();
    archive.append_all(&posts).unwrap();
    posts.iter().map(|post| (post.number, texts::said(&post.message))).collect()
}

#[test]
fn a_search_finds_the_same_with_signatures_and_without() {
    let (_dir, archive) = archive();
    let posts = large(&archive);
    let queries =
        ["w100", "w1", "z", "own250x", "own25", "w899 w003", "会議", "会議資料", "s3 own", "nowhere", "料 z w5", "W1"];
    let expected = |words: &str, limit: usize| -> Vec<u64> {
        let words = words.to_lowercase();
        let has = |post: &&(u64, String)| words.split(' ').all(|word| post.1.contains(word));
        posts.iter().rev().filter(has).map(|post| post.0).take(limit).collect()
    };
    let check = |state: &str| {
        for query in queries {
            for limit in [1, 7, 1000] {
                let found: Vec<u64> = archive.search(query, limit).unwrap().iter().map(|entry| entry.number).collect();
                assert_eq!(found, expected(query, limit), "{state}: {query} {limit}");
            }
        }
    };
    let covered = || archive.signatures(&mut |_, _| {}).unwrap();
    assert!(covered().is_some_and(|covered| covered > 1 << 20), "they are made while posts come");
    check("whole");
    let (signatures, text) = (archive.signatures_path(), archive.text_path());
    let whole = std::fs::read(&signatures).unwrap();
    let damage = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    for at in [3, 10, 20, whole.len() / 2, whole.len() - 1] {
        damage(&signatures, at);
        check("damaged signatures");
        std::fs::write(&signatures, &whole).unwrap();
    }
    std::fs::write(&signatures, &whole[..whole.len() - 5]).unwrap();
    check("torn signatures");
    std::fs::remove_file(&signatures).unwrap();
    check("no signatures");
    archive.sign_texts(&archive.texts().unwrap().unwrap()).unwrap();
    assert_eq!(covered(), Some(std::fs::metadata(&text).unwrap().len()));
    check("all signed");
    damage(&text, 700_000);
    check("damaged texts");
    let bytes = std::fs::read(&text).unwrap();
    std::fs::write(&text, &bytes[..bytes.len() / 3]).unwrap();
    check("torn texts");
    std::fs::remove_file(&text).unwrap();
    check("no texts, and signatures of other ones");
    std::fs::remove_file(&text).unwrap();
    std::fs::remove_file(&signatures).unwrap();
    check("nothing");
}
