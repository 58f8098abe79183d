//! May this post pass?
//!
//! Called for each post, and by `serve` when a header has come by SMTP, so that who may not post hears it there.

use super::content;
use super::inbound::Inbound;
use crate::addr;
use crate::lists::members::Members;
use crate::lists::settings::{Language, Parts, Posting, Refused};
use crate::lists::{ListName, ListSettings};
use crate::msg::structure::Structure;
use crate::msg::{self, automatic};

/// What becomes of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// It is refused, held or dropped.
    Not(Refused, Reason),
    /// It is dropped, whatever the settings say: to answer would make a loop.
    Drop(&'static str),
}

/// Why a post may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Members only.
    NotMember,
    /// Moderators only.
    NotModerator,
    /// Every post is looked at.
    Moderated,
    /// It is too large.
    Size,
    /// It has too many recipients.
    Recipients,
    /// Its media type is not wanted.
    ContentType,
    /// Files are not wanted.
    Attachment,
    /// HTML is not wanted.
    Html,
}

impl Reason {
    /// The reason in words.
    pub fn words(self, language: Language) -> &'static str {
        match language {
            Language::English => match self {
                Reason::NotMember => "only members may post, and the author is none",
                Reason::NotModerator => "only moderators may post",
                Reason::Moderated => "every post is looked at",
                Reason::Size => "it is too large",
                Reason::Recipients => "it has too many recipients",
                Reason::ContentType => "its media type is not allowed",
                Reason::Attachment => "files are not allowed",
                Reason::Html => "HTML is not allowed",
            },
            Language::Japanese => match self {
                Reason::NotMember => "会員でないと投稿できません",
                Reason::NotModerator => "投稿できるのは管理者だけです",
                Reason::Moderated => "投稿はすべて承認が必要です",
                Reason::Size => "大きすぎます",
                Reason::Recipients => "宛先が多すぎます",
                Reason::ContentType => "この種類の内容は許可されていません",
                Reason::Attachment => "添付ファイルは許可されていません",
                Reason::Html => "HTMLは許可されていません",
            },
        }
    }
}

/// What the header alone tells.
pub fn judge_header(name: &ListName, settings: &ListSettings, members: &Members, post: &Inbound<'_>) -> Verdict {
    if post.was_here(name) {
        return Verdict::Drop("it came by this list already");
    }
    if post.sender.is_none() {
        return Verdict::Drop("the sender is empty: a report, not a post");
    }
    // What a program wrote by itself may be a post (a build's report); what answers a copy may not.
    if automatic::auto_submitted(post.header).is_some_and(|how| how.starts_with("auto-replied")) {
        return Verdict::Drop("an automatic answer");
    }
    let author = post.author.as_ref().map(|mailbox| &mailbox.address);
    if author.is_some_and(|author| settings.is_in_charge(author)) {
        return Verdict::Pass;
    }
    let is_member = author.is_some_and(|author| members.find(author).is_some());
    match settings.posting {
        Posting::Moderated => return Verdict::Not(Refused::Hold, Reason::Moderated),
        Posting::Moderators => return Verdict::Not(settings.refused, Reason::NotModerator),
        Posting::Members if !is_member => return Verdict::Not(settings.refused, Reason::NotMember),
        Posting::Members | Posting::Anyone => {}
    }
    if settings.recipients > 0 && recipients(post.header) > settings.recipients as usize {
        return Verdict::Not(settings.refused, Reason::Recipients);
    }
    Verdict::Pass
}

/// The whole judgement.
pub fn judge(name: &ListName, settings: &ListSettings, members: &Members, post: &Inbound<'_>) -> Verdict {
    let verdict = judge_header(name, settings, members, post);
    let author = post.author.as_ref().map(|mailbox| &mailbox.address);
    if verdict != Verdict::Pass || author.is_some_and(|author| settings.is_in_charge(author)) {
        return verdict;
    }
    if settings.size.0 > 0 && post.text.len() as u64 > settings.size.0 {
        return Verdict::Not(settings.refused, Reason::Size);
    }
    let structure = Structure::of(post.text);
    if !content::is_allowed(&settings.content_types, &structure) {
        return Verdict::Not(settings.refused, Reason::ContentType);
    }
    let parts = structure.parts();
    let root_is_file = content::is_file(structure.root());
    let attachments = settings.attachments;
    if (attachments == Parts::Refuse && parts.iter().any(content::is_file))
        || (attachments == Parts::Remove && root_is_file)
    {
        return Verdict::Not(settings.refused, Reason::Attachment);
    }
    if settings.html == Parts::Refuse && parts.iter().any(|part| part.media.is("text", "html")) {
        return Verdict::Not(settings.refused, Reason::Html);
    }
    Verdict::Pass
}

/// Addresses in To and Cc.
fn recipients(header: &[u8]) -> usize {
    let fields = msg::fields(header).filter(|field| field.is("to") || field.is("cc"));
    fields.map(|field| addr::parse_list(&field.value(), "invalid.test").map_or(0, |list| list.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Address;
    use crate::clock::Timestamp;
    use crate::lists::members::Member;
    use crate::settings::Size;

    fn judged(change: impl FnOnce(&mut ListSettings), from: &str, rest: &str) -> Verdict {
        let mut settings =
            ListSettings { owners: vec![Address::parse("olga@x.test").unwrap()], ..ListSettings::default() };
        change(&mut settings);
        let mut members = Members::default();
        members.add(Member::new(&Address::parse("mia@x.test").unwrap(), Timestamp(0)));
        let sender = Address::parse("envelope@x.test").unwrap();
        let text = format!("From: {from}\n{rest}");
        judge(&"talk@x.test".parse().unwrap(), &settings, &members, &Inbound::read(text.as_bytes(), Some(&sender)))
    }

    #[test]
    fn who_may_post() {
        use Posting::*;
        let not = |refused, reason| Verdict::Not(refused, reason);
        for (posting, from, expected) in [
            (Anyone, "nobody@y.test", Verdict::Pass),
            (Members, "MIA@x.test", Verdict::Pass),
            (Members, "nobody@y.test", not(Refused::Reject, Reason::NotMember)),
            (Members, "broken", not(Refused::Reject, Reason::NotMember)),
            (Moderators, "mia@x.test", not(Refused::Reject, Reason::NotModerator)),
            (Moderators, "olga@x.test", Verdict::Pass),
            (Moderated, "mia@x.test", not(Refused::Hold, Reason::Moderated)),
            (Moderated, "Olga@x.test", Verdict::Pass),
        ] {
            assert_eq!(judged(|s| s.posting = posting, from, "\nbody\n"), expected, "{posting:?} {from}");
        }
    }

    #[test]
    fn what_may_be_posted() {
        let html = "Content-Type: text/html\n\n<p>x\n";
        let file = "Content-Type: application/pdf\n\nx\n";
        let not = |reason| Verdict::Not(Refused::Reject, reason);
        let judged = |change: fn(&mut ListSettings), rest: &str| judged(change, "mia@x.test", rest);
        assert_eq!(judged(|s| s.size = Size(10), "\nbody\n"), not(Reason::Size));
        assert_eq!(judged(|s| s.recipients = 1, "To: a@x.test, b@x.test\n\n"), not(Reason::Recipients));
        assert_eq!(judged(|s| s.html = Parts::Refuse, html), not(Reason::Html));
        assert_eq!(judged(|s| s.attachments = Parts::Refuse, file), not(Reason::Attachment));
        assert_eq!(judged(|s| s.attachments = Parts::Remove, file), not(Reason::Attachment));
        assert_eq!(judged(|s| s.content_types = vec!["text/plain".into()], html), not(Reason::ContentType));
        assert_eq!(judged(|s| s.content_types = vec!["text/*".into()], html), Verdict::Pass);
    }

    #[test]
    fn loops_are_dropped_without_a_word() {
        let judged = |rest: &str| judged(|s| s.posting = Posting::Anyone, "mia@x.test", rest);
        assert!(matches!(judged("List-Id: <talk.x.test>\n\n"), Verdict::Drop(_)));
        assert!(matches!(judged("Auto-Submitted: auto-replied\n\n"), Verdict::Drop(_)));
        assert_eq!(judged("Auto-Submitted: auto-generated\n\n"), Verdict::Pass);
    }
}
