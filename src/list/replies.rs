//! What a command is answered: `Succeeded`, or `Failed` with the reason, in the list's language.

use crate::lists::List;
use crate::lists::archive::RangeError;
use crate::lists::pending::Action;
use crate::lists::settings::Language;

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// It is done.
    Done,
    /// It is done; this is what was asked for.
    Text(String),
    /// A question went to the address.
    Asked,
    /// The owners were asked.
    WaitsForOwner,
    /// The list does not do that by mail.
    Closed,
    /// He is a member already.
    IsMember,
    /// He is none.
    NotMember,
    /// His domain is none of those.
    WrongDomain,
    /// The address is a list's.
    NotAPerson,
    /// A question went there today.
    AskedToday,
    /// No question has this token, or not any more.
    NoQuestion,
    /// It is not for him to see.
    NotAllowed,
    /// A word is missing behind the command.
    Incomplete,
    /// What stands there is no number or range of posts.
    NotANumber(RangeError),
    /// There is no such post.
    NoPost,
    /// There is no such command.
    Unknown,
}

impl Reply {
    /// The reply in words.
    pub(super) fn words(&self, language: Language) -> String {
        let (good, why) = match language {
            Language::English => (self.is_good(), self.english()),
            Language::Japanese => (self.is_good(), self.japanese()),
        };
        match (self, good, why) {
            (Reply::NotANumber(error), ..) if language == Language::English => format!("Failed: {error}"),
            (Reply::Text(text), ..) => format!("Succeeded\n\n{text}"),
            (_, true, "") => "Succeeded".to_string(),
            (_, true, why) => format!("Succeeded: {why}"),
            (_, false, why) => format!("Failed: {why}"),
        }
    }

    fn is_good(&self) -> bool {
        matches!(self, Reply::Done | Reply::Text(_) | Reply::Asked | Reply::WaitsForOwner)
    }

    fn english(&self) -> &'static str {
        match self {
            Reply::Done | Reply::Text(_) => "",
            Reply::Asked => "please answer the mail that was sent to you",
            Reply::WaitsForOwner => "the owners of the list will decide",
            Reply::Closed => "the list does not do that by mail; please write to its owners",
            Reply::IsMember => "you are a member already",
            Reply::NotMember => "you are not a member",
            Reply::WrongDomain => "addresses of your domain can't become members",
            Reply::NotAPerson => "that is the address of a list",
            Reply::AskedToday => "you were asked today already; please answer that mail",
            Reply::NoQuestion => "nobody waits for that answer, or not any more",
            Reply::NotAllowed => "you may not see that",
            Reply::Incomplete => "a word is missing behind the command",
            Reply::NotANumber(_) => "that is no number of a post",
            Reply::NoPost => "there is no such post",
            Reply::Unknown => "unknown command",
        }
    }

    fn japanese(&self) -> &'static str {
        match self {
            Reply::Done | Reply::Text(_) => "",
            Reply::Asked => "お送りした確認のメールに返信してください",
            Reply::WaitsForOwner => "管理者の承認を待っています",
            Reply::Closed => "メールでは受け付けていません。管理者にお問い合わせください",
            Reply::IsMember => "すでに会員です",
            Reply::NotMember => "会員ではありません",
            Reply::WrongDomain => "このドメインのアドレスは入会できません",
            Reply::NotAPerson => "メーリングリストのアドレスです",
            Reply::AskedToday => "本日すでに確認のメールをお送りしました",
            Reply::NoQuestion => "該当する確認がないか、期限が切れています",
            Reply::NotAllowed => "閲覧できません",
            Reply::Incomplete => "引数が足りません",
            Reply::NotANumber(_) => "投稿の番号の指定が正しくありません",
            Reply::NoPost => "その番号の投稿はありません",
            Reply::Unknown => "コマンドがありません",
        }
    }
}

/// The addresses by which a question is decided, a line for each.
pub(super) fn choices(list: &List, tokens: &[(Action, String)]) -> String {
    let mut text = String::from(match list.settings.language {
        Language::English => "To decide, send any mail to one of these addresses within seven days:\n\n",
        Language::Japanese => "7日以内に、次のいずれかの宛先にメールを送ってください (内容は問いません)。\n\n",
    });
    for (action, token) in tokens {
        let word = match (list.settings.language, action) {
            (Language::English, Action::Admit | Action::Pass) => "Accept",
            (Language::English, Action::Refuse) => "Decline",
            (Language::English, Action::Reject) => "Send back",
            (Language::English, _) => "Drop",
            (Language::Japanese, Action::Admit | Action::Pass) => "承認",
            (Language::Japanese, Action::Refuse) => "却下",
            (Language::Japanese, Action::Reject) => "返送",
            (Language::Japanese, _) => "破棄",
        };
        text.push_str(&format!("{word}:\n  {}\n", list.name.confirm(token)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_begin_with_their_word() {
        assert_eq!(Reply::Done.words(Language::English), "Succeeded");
        assert_eq!(Reply::Asked.words(Language::English), "Succeeded: please answer the mail that was sent to you");
        assert_eq!(Reply::Unknown.words(Language::English), "Failed: unknown command");
        assert_eq!(Reply::Text("a\n".into()).words(Language::Japanese), "Succeeded\n\na\n");
        assert_eq!(Reply::NotMember.words(Language::Japanese), "Failed: 会員ではありません");
    }
}
