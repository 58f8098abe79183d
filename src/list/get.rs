//! The commands `summary` and `get`: the archive by mail.
//!
//! The lines of a summary stand in the answer; posts come in a mail of their own, as a digest, or with `each` behind their numbers in a mail for
//! each. `get_posts` and `get_size` of the list limit what one mail with commands gets, and [`EACH_LIMIT`] how many mails: whoever forges an
//! author must not fill his mailbox. For the same reason a post comes as a part of our letter, and not as if its author had sent it.

use super::Desk;
use super::commands::may_see;
use super::digest::{Collected, posts_part};
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

/// Most mails with one post each that one mail with commands causes.
const EACH_LIMIT: usize = 20;

/// What one mail with commands may still get.
#[derive(Debug)]
pub(super) struct Allowance {
    posts: usize,
    octets: u64,
    /// Posts in mails of their own.
    each: usize,
}

/// How posts come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// All in one digest.
    Digest,
    /// A mail for each.
    Each,
}

/// The numbers of a request, and the form that its last word names: `each`, or `mp` as fml calls its MIME form.
fn form(request: &str) -> (&str, Form) {
    let (posts, word) = request.trim_end().rsplit_once([' ', '\t']).unwrap_or((request, ""));
    match word.to_ascii_lowercase().as_str() {
        "each" => (posts, Form::Each),
        "mp" => (posts, Form::Digest),
        _ => (request, Form::Digest),
    }
}

impl Allowance {
    pub(super) fn of(list: &List) -> Allowance {
        let limit = |number: u64| if number == 0 { u64::MAX } else { number };
        let posts = usize::try_from(limit(list.settings.get_posts.into())).unwrap_or(usize::MAX);
        Allowance { posts, octets: limit(list.settings.get_size.0), each: EACH_LIMIT }
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
    /// `# get RANGES [each]`
    pub(super) fn get(
        &self,
        list: &List,
        author: &Address,
        request: &str,
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
        let (posts, form) = form(request);
        let wanted = match Ranges::parse(posts) {
            Ok(wanted) => wanted,
            Err(error) => return Ok(Reply::NotANumber(error)),
        };
        let language = list.settings.language;
        let most = if form == Form::Each { allowance.posts.min(allowance.each) } else { allowance.posts };
        if most == 0 || allowance.octets == 0 {
            return Ok(Reply::Text(told(language, (0, form), &[], &[], true)));
        }
        let got = retrieve::get(&Archive::of(list), &wanted, most, allowance.octets).map_err(local)?;
        if got.posts.is_empty() {
            return Ok(Reply::NoPost);
        }
        let octets: u64 = got.posts.iter().map(|post| post.message.len() as u64).sum();
        allowance.posts = allowance.posts.saturating_sub(got.posts.len());
        allowance.octets = allowance.octets.saturating_sub(octets);
        match form {
            Form::Digest => self.send_posts(list, author, &got.posts, post)?,
            Form::Each => {
                allowance.each = allowance.each.saturating_sub(got.posts.len());
                for one in &got.posts {
                    self.send_posts(list, author, std::slice::from_ref(one), post)?;
                }
            }
        }
        Ok(Reply::Text(told(language, (got.posts.len(), form), &got.missing, &got.left, false)))
    }

    /// Sends posts in one mail: several as a digest, one as it is.
    fn send_posts(&self, list: &List, to: &Address, posts: &[Collected], answers: &Inbound<'_>) -> Result<(), Failure> {
        let numbers: Vec<u64> = posts.iter().map(|post| post.entry.number).collect();
        let subject = format!("{}: get {}", list.name.name(), retrieve::numbers(&numbers));
        let body: String = posts.iter().map(|post| retrieve::line(&post.entry) + "\n").collect();
        let (attached, part) = match posts {
            [one] => (Some(one.message.as_slice()), None),
            several => (None, Some(posts_part(several))),
        };
        let letter = Letter {
            from: list.name.role("control"),
            to,
            text: Filled { subject, body },
            answers: Some(answers),
            attached,
        };
        self.send_with(list, &letter, part.as_deref())
    }
}

/// What became of a request.
fn told(language: Language, (posts, form): (usize, Form), missing: &[u64], left: &[u64], is_spent: bool) -> String {
    let english = language == Language::English;
    let mut text = String::new();
    if posts > 0 {
        text.push_str(&match (english, form) {
            (true, Form::Digest) => format!("Posts in a mail of their own: {posts}\n"),
            (true, Form::Each) => format!("Posts, each in a mail of its own: {posts}\n"),
            (false, Form::Digest) => format!("別のメールでお送りする投稿の数: {posts}\n"),
            (false, Form::Each) => format!("1通ずつ別のメールでお送りする投稿の数: {posts}\n"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_may_name_the_form() {
        for (request, expected) in [
            ("3,4", ("3,4", Form::Digest)),
            ("3, 4 6", ("3, 4 6", Form::Digest)),
            ("3, 4 each", ("3, 4", Form::Each)),
            ("1-10\tEACH ", ("1-10", Form::Each)),
            ("1-10 mp", ("1-10", Form::Digest)),
            // Then there is no number, and that is said.
            ("each", ("each", Form::Digest)),
        ] {
            assert_eq!(form(request), expected, "{request:?}");
        }
    }
}
