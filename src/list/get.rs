//! The commands `summary` and `get`: the archive by mail.
//!
//! The lines of a summary stand in the answer; posts come in a mail of their own, as a digest. `get_posts` and `get_size` of the list limit what
//! one mail with commands gets.

use super::Desk;
use super::commands::may_see;
use super::digest::posts_part;
use super::inbound::Inbound;
use super::letter::Letter;
use super::replies::Reply;
use super::retrieve;
use crate::addr::Address;
use crate::lists::List;
use crate::lists::archive::{Archive, Ranges};
use crate::lists::settings::Language;
use crate::lists::texts::Filled;
use crate::status::Failure;
use std::io;

/// What one mail with commands may still get.
#[derive(Debug)]
pub(super) struct Allowance {
    posts: usize,
    octets: u64,
}

impl Allowance {
    pub(super) fn of(list: &List) -> Allowance {
        let limit = |number: u64| if number == 0 { u64::MAX } else { number };
        let posts = usize::try_from(limit(list.settings.get_posts.into())).unwrap_or(usize::MAX);
        Allowance { posts, octets: limit(list.settings.get_size.0) }
    }
}

/// `# summary [RANGES]`
pub(super) fn summary(list: &List, author: &Address, posts: &str) -> io::Result<Reply> {
    if !list.settings.archive {
        return Ok(Reply::Closed);
    }
    if !may_see(list, author, list.settings.archive_access)? {
        return Ok(Reply::NotAllowed);
    }
    let wanted = match posts {
        "" => Ranges::all(),
        posts => match Ranges::parse(posts) {
            Ok(wanted) => wanted,
            Err(error) => return Ok(Reply::NotANumber(error)),
        },
    };
    let text = retrieve::summary(&Archive::of(list), &wanted)?;
    Ok(if text.is_empty() { Reply::NoPost } else { Reply::Text(text) })
}

impl Desk<'_> {
    /// `# get RANGES`
    pub(super) fn get(
        &self,
        list: &List,
        author: &Address,
        posts: &str,
        post: &Inbound<'_>,
        allowance: &mut Allowance,
    ) -> Result<Reply, Failure> {
        let local = |e: io::Error| Failure::local(&e);
        if !list.settings.archive {
            return Ok(Reply::Closed);
        }
        if !may_see(list, author, list.settings.archive_access).map_err(local)? {
            return Ok(Reply::NotAllowed);
        }
        let wanted = match Ranges::parse(posts) {
            Ok(wanted) => wanted,
            Err(error) => return Ok(Reply::NotANumber(error)),
        };
        let language = list.settings.language;
        if allowance.posts == 0 || allowance.octets == 0 {
            return Ok(Reply::Text(told(language, 0, &[], &[], true)));
        }
        let got = retrieve::get(&Archive::of(list), &wanted, allowance.posts, allowance.octets).map_err(local)?;
        if got.posts.is_empty() {
            return Ok(Reply::NoPost);
        }
        let octets: u64 = got.posts.iter().map(|post| post.message.len() as u64).sum();
        allowance.posts = allowance.posts.saturating_sub(got.posts.len());
        allowance.octets = allowance.octets.saturating_sub(octets);
        let numbers: Vec<u64> = got.posts.iter().map(|post| post.entry.number).collect();
        let subject = format!("{}: get {}", list.name.name(), retrieve::numbers(&numbers));
        let body: String = got.posts.iter().map(|post| retrieve::line(&post.entry) + "\n").collect();
        let letter = Letter {
            from: list.name.role("control"),
            to: author,
            text: Filled { subject, body },
            answers: Some(post),
            attached: None,
        };
        self.send_with(list, &letter, Some(&posts_part(&got.posts)))?;
        Ok(Reply::Text(told(language, numbers.len(), &got.missing, &got.left, false)))
    }
}

/// What became of a request.
fn told(language: Language, posts: usize, missing: &[u64], left: &[u64], is_spent: bool) -> String {
    let english = language == Language::English;
    let mut text = String::new();
    if posts > 0 {
        text.push_str(&match english {
            true => format!("Posts in a mail of their own: {posts}\n"),
            false => format!("別のメールでお送りする投稿の数: {posts}\n"),
        });
    }
    if !missing.is_empty() {
        let numbers = retrieve::numbers(missing);
        text.push_str(&match english {
            true => format!("No such post: {numbers}\n"),
            false => format!("ありません: {numbers}\n"),
        });
    }
    if !left.is_empty() {
        let numbers = retrieve::numbers(left);
        text.push_str(&match english {
            true => format!("Too much for one mail; please ask again for: {numbers}\n"),
            false => format!("一度に送れる量を超えました。改めてご請求ください: {numbers}\n"),
        });
    }
    if is_spent {
        text.push_str(match english {
            true => "Too much for one mail; please ask again.\n",
            false => "一度に送れる量を超えました。改めてご請求ください。\n",
        });
    }
    text
}
