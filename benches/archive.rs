//! How long the archive of a list with 100,000 posts takes for what readers ask of it.
//!
//! Called by hand, `cargo run --release --example archive-speed [POSTS]`; prints one line a question, the best and the middle of eleven tries, and
//! at the end the slowest middle of each kind as `name=value` words for `benches/run`.
//! The posts are made up: a few thousand words in different orders, replies to earlier posts, some in Japanese.

use expressmail::clock::Timestamp;
use expressmail::list::retrieve;
use expressmail::lists::archive::{Archive, Post, Ranges};
use std::time::Instant;

const TRIES: usize = 11;

fn main() {
    let posts: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let dir = std::env::temp_dir().join(format!("archive-speed-{}", std::process::id()));
    let archive = Archive::at(dir.clone());
    let start = Instant::now();
    let mut octets = 0;
    for from in (1..=posts).step_by(1000) {
        let batch: Vec<Post> = (from..(from + 1000).min(posts + 1)).map(post).collect();
        octets += batch.iter().map(|post| post.message.len()).sum::<usize>();
        done(archive.append_all(&batch));
    }
    println!("{posts} posts, {} MB, written in {:.1} s", octets >> 20, start.elapsed().as_secs_f64());
    let all = format!("{}-{}", posts / 2, posts / 2 + 9);
    let get = [
        measure("get 10 posts from the middle", || {
            done(retrieve::get(&archive, &done(Ranges::parse(&all)), 50, 10 << 20)).posts.len()
        }),
        measure("get the last 50", || done(retrieve::get(&archive, &Ranges::last(50), 50, 10 << 20)).posts.len()),
    ];
    let summary = [
        measure("summary of the last 100", || done(retrieve::summary(&archive, &Ranges::last(100))).lines().count()),
        measure("summary of all (10,000 lines)", || done(retrieve::summary(&archive, &Ranges::all())).lines().count()),
    ];
    let search = [
        measure("search a common word", || done(archive.search("word100", 100)).len()),
        measure("search a rare word", || done(archive.search("needle77770", 100)).len()),
        measure("search two words", || done(archive.search("word1234 word77", 100)).len()),
        measure("search two, rarely together", || done(archive.search("word2222 needle77770", 100)).len()),
        measure("search Japanese", || done(archive.search("会議の資料", 100)).len()),
        measure("search three letters", || done(archive.search("xqz", 100)).len()),
    ];
    // Where signatures help little: pieces that most texts hold, and words too short to have any.
    let whole = [
        measure("search common pieces, no word", || done(archive.search("word12345", 100)).len()),
        measure("search two letters", || done(archive.search("xq", 100)).len()),
    ];
    measure("threads of the last 1000", || {
        let index = done(archive.index());
        done(archive.threads(&Ranges::last(1000).resolve(&index))).len()
    });
    let mut number = posts;
    measure("append one post", || {
        number += 1;
        done(archive.append(number, &post(number).message, Timestamp(0)));
        1
    });
    done(std::fs::remove_dir_all(dir));
    let slowest = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
    let [get, summary, search, whole] = [slowest(&get), slowest(&summary), slowest(&search), slowest(&whole)];
    println!("get_ms={get:.1} summary_ms={summary:.1} search_ms={search:.1} whole_ms={whole:.1}");
}

fn done<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn measure(what: &str, mut act: impl FnMut() -> usize) -> f64 {
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..TRIES {
        let start = Instant::now();
        found = act();
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    println!("{what:<32} best {:>7.1} ms, middle {:>7.1} ms ({found})", times[0], times[TRIES / 2]);
    times[TRIES / 2]
}

fn post(number: u64) -> Post {
    let mut seed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut text = format!(
        "Received: from mx{}.example.net by mail.example.test; Mon, 30 Nov 2026 09:00:00 +0900\n\
         From: Author {} <author{}@example{}.test>\nTo: talk@example.test\nSubject: [talk:{number:06}] word{} word{}\n\
         Date: Mon, 30 Nov 2026 {:02}:{:02}:{:02} +0900\nMessage-ID: <{number}.{}@example.test>\n",
        next(9),
        next(500),
        next(500),
        next(50),
        next(3000),
        next(3000),
        next(24),
        next(60),
        next(60),
        number % 7
    );
    if number > 10 && next(3) > 0 {
        let above = number - 1 - next(9);
        text.push_str(&format!("In-Reply-To: <{above}.{}@example.test>\n", above % 7));
    }
    text.push_str("MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n\n");
    for line in 0..25 {
        for _ in 0..10 {
            text.push_str(&format!("word{} ", next(3000)));
        }
        if number.is_multiple_of(50) && line == 3 {
            text.push_str("来週の会議の資料を送ります。");
        }
        text.push('\n');
    }
    if number.is_multiple_of(7777) {
        text.push_str(&format!("needle{number}\n"));
    }
    Post { number, message: text.into_bytes(), received: Timestamp(0) }
}
