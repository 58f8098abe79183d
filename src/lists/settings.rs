//! The settings of one list, `list.toml`: one table that feeds the parser, the defaults, `emlist get` and the manual page.
//!
//! As `crate::settings` for the site; a key stands alone, without a section. Unknown key = error with its place.

use crate::addr::Address;
use crate::config::ConfigError;
use crate::settings::{Kind, Size, nearest};
use std::path::Path;
use std::time::Duration;
use toml_edit::{Document, Item, Value};

macro_rules! words {
    ($($(#[doc = $doc:literal])* $type:ident {
        $($(#[doc = $variant_doc:literal])* $variant:ident = $word:literal,)*
    })*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type { $($(#[doc = $variant_doc])* $variant,)* }

        impl $type {
            /// Its word in list.toml.
            pub fn word(self) -> &'static str {
                match self { $($type::$variant => $word,)* }
            }
        }

        impl Kind for $type {
            const NAME: &'static str = concat!("one of" $(, " ", $word)*);

            fn read(value: &Value) -> Result<$type, String> {
                match String::read(value)?.as_str() {
                    $($word => Ok($type::$variant),)*
                    other => Err(format!("{other:?} is not {}", <$type as Kind>::NAME)),
                }
            }

            fn print(&self) -> String {
                format!("{:?}", self.word())
            }
        }
    )*};
}

words! {
    /// The language of our texts.
    Language {
        /// English.
        English = "en",
        /// Japanese.
        Japanese = "ja",
    }
    /// The charset of our texts.
    Charset {
        /// UTF-8.
        Utf8 = "utf-8",
        /// ISO-2022-JP (RFC 1468).
        Iso2022Jp = "iso-2022-jp",
    }
    /// Who may post without being asked.
    Posting {
        /// Everybody.
        Anyone = "anyone",
        /// Members, owners and moderators.
        Members = "members",
        /// Owners and moderators.
        Moderators = "moderators",
        /// Owners and moderators; every other post is held.
        Moderated = "moderated",
    }
    /// What becomes of a post that may not pass.
    Refused {
        /// It is refused.
        Reject = "reject",
        /// The moderators are asked.
        Hold = "hold",
        /// It is dropped.
        Discard = "discard",
    }
    /// What becomes of a part of a post.
    Parts {
        /// It stays.
        Keep = "keep",
        /// It is taken out.
        Remove = "remove",
        /// The post is treated as `refused` says.
        Refuse = "refuse",
    }
    /// Reply-To of the copies.
    ReplyTo {
        /// As the author wrote it.
        Leave = "leave",
        /// The list.
        List = "list",
        /// The author.
        Sender = "sender",
        /// Author and list.
        Both = "both",
        /// None.
        Remove = "remove",
    }
    /// Precedence of the copies.
    Precedence {
        /// The usual one.
        List = "list",
        /// Bulk.
        Bulk = "bulk",
        /// Junk.
        Junk = "junk",
    }
    /// Signatures that the copies would break.
    Signatures {
        /// They are taken out.
        Remove = "remove",
        /// They stay.
        Keep = "keep",
    }
    /// When the list stands in From instead of the author.
    Rewrite {
        /// Never.
        Never = "never",
        /// When the author's domain publishes a DMARC policy that would have copies refused.
        Policy = "policy",
        /// Always.
        Always = "always",
    }
    /// How one becomes a member by mail.
    Subscription {
        /// By asking.
        Open = "open",
        /// By answering a question to the new address.
        Confirm = "confirm",
        /// The same, and an owner's word.
        Approve = "approve",
        /// Not at all.
        Closed = "closed",
    }
    /// How one ceases to be a member by mail.
    Unsubscription {
        /// By asking.
        Open = "open",
        /// By answering a question to the address.
        Confirm = "confirm",
        /// Not at all.
        Closed = "closed",
    }
    /// Who may see something.
    Access {
        /// Owners and moderators.
        Owners = "owners",
        /// Members too.
        Members = "members",
        /// Everybody.
        Anyone = "anyone",
    }
    /// The form of digests.
    DigestForm {
        /// multipart/digest (RFC 2046 §5.1.5).
        Mime = "mime",
        /// One text (RFC 1153).
        Plain = "plain",
    }
}

/// One row of the table, as data.
#[derive(Debug, Clone)]
pub struct ListKey {
    /// `reply_to`.
    pub name: &'static str,
    /// What the value must be, in words.
    pub kind: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// The default, as TOML.
    pub default: String,
}

macro_rules! list_settings {
    ($($name:ident: $kind:ty = $default:expr, $doc:literal;)*) => {
        /// The settings of one list.
        #[derive(Debug, Clone, PartialEq)]
        pub struct ListSettings { $(#[doc = $doc] pub $name: $kind,)* }

        impl Default for ListSettings {
            fn default() -> Self { ListSettings { $($name: $default,)* } }
        }

        impl ListSettings {
            /// Sets one key; `None` when there is no such key, an error when the value does not fit.
            pub fn set(&mut self, name: &str, value: &Value) -> Option<Result<(), String>> {
                match name {
                    $(stringify!($name) => Some(<$kind as Kind>::read(value).map(|v| self.$name = v)),)*
                    _ => None,
                }
            }

            /// The value of one key, as TOML; `None` when there is no such key.
            pub fn print(&self, name: &str) -> Option<String> {
                match name {
                    $(stringify!($name) => Some(self.$name.print()),)*
                    _ => None,
                }
            }
        }

        /// Every key, in the order of the manual.
        pub fn keys() -> Vec<ListKey> {
            let defaults = ListSettings::default();
            vec![$(ListKey {
                name: stringify!($name),
                kind: <$kind as Kind>::NAME,
                doc: $doc,
                default: defaults.$name.print(),
            },)*]
        }
    };
}

const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

list_settings! {
    description: String = String::new(), "What the list is about, in one line: it stands in List-Id and in the texts.";
    owners: Vec<Address> = Vec::new(), "Who looks after the list: they get what is sent to NAME-owner, and may do what moderators may.";
    moderators: Vec<Address> = Vec::new(), "Who decides about held posts and requests; none leaves that to the owners.";
    language: Language = Language::English, "The language of the list's texts.";
    charset: Charset = Charset::Utf8, "The charset of the list's texts.";
    posting: Posting = Posting::Members, "Who may post without being asked; with \"moderated\" every post but those of owners and moderators is held.";
    refused: Refused = Refused::Reject, "What becomes of a post that may not pass.";
    size: Size = Size(0), "Largest post; 0 leaves it to smtp.message_size.";
    recipients: u32 = 0, "Most addresses in To and Cc of a post; 0 for no limit.";
    content_types: Vec<String> = Vec::new(), "Media types that a post may have, such as \"text/plain\", \"text/*\" or \"text/plain; charset=iso-2022-jp\"; none allows all.";
    attachments: Parts = Parts::Keep, "Parts that are files.";
    html: Parts = Parts::Keep, "HTML; with \"remove\" it goes where the same text is there as plain text, and becomes plain text elsewhere.";
    prefix: String = String::new(), "What stands before each Subject: %M is the list's name, %S the post's number, %5S the same with at least 5 digits.";
    reply_to: ReplyTo = ReplyTo::Leave, "Reply-To of the copies.";
    precedence: Precedence = Precedence::List, "Precedence of the copies.";
    signatures: Signatures = Signatures::Remove, "DKIM and DomainKeys signatures of the author's host, which copies with a new Subject or footer break.";
    from: Rewrite = Rewrite::Policy, "When the list stands in From, with the author's name: his domain's DMARC policy is looked up in the DNS.";
    verp: bool = false, "A sender of its own for each member, so that every bounce names him; each copy then goes by itself.";
    subscription: Subscription = Subscription::Confirm, "How one becomes a member by mail.";
    subscription_domains: Vec<String> = Vec::new(), "Only addresses in these domains become members by mail: \"example.jp\", \"*.example.jp\"; none allows all.";
    unsubscription: Unsubscription = Unsubscription::Confirm, "How one ceases to be a member by mail.";
    welcome: bool = true, "New members get the welcome text, those who leave a farewell.";
    notices: bool = true, "The owners hear of members who come and go by mail.";
    member_list: Access = Access::Owners, "Who gets the answer to `# member`.";
    archive: bool = true, "Posts are kept for `# get`, `# summary` and digests.";
    archive_access: Access = Access::Members, "Who may read the archive.";
    get_posts: u32 = 50, "Most posts in the answer to one mail with `# get`.";
    get_size: Size = Size(10 << 20), "Most octets of them.";
    digest: DigestForm = DigestForm::Mime, "The form of digests.";
    digest_every: Duration = DAY, "How often a digest is made.";
    digest_posts: u32 = 50, "So many waiting posts make a digest earlier; 0 for never.";
    digest_size: Size = Size(512 << 10), "So many octets of waiting posts make a digest earlier; 0 for never.";
    bounce_score: u32 = 5, "A member whose copies came back on so many days is switched off; temporary failures count half. 0 switches nobody off.";
    bounce_stale: Duration = WEEK, "A score that did not grow for so long is forgotten.";
    bounce_warnings: u32 = 3, "So many warnings go to a member who was switched off, before he is taken out; 0 keeps him.";
    bounce_warning_every: Duration = WEEK, "Time between these warnings.";
    answers: u32 = 10, "Most answers to one address a day.";
    duplicates: Duration = WEEK, "A post with the Message-ID of one that is younger than this is dropped.";
}

impl ListSettings {
    /// Those who decide: the moderators, or the owners where there are none.
    pub fn deciders(&self) -> &[Address] {
        if self.moderators.is_empty() { &self.owners } else { &self.moderators }
    }

    /// True for owners and moderators.
    pub fn is_in_charge(&self, address: &Address) -> bool {
        let key = address.to_key();
        self.owners.iter().chain(&self.moderators).any(|a| a.to_key() == key)
    }
}

/// Reads a list's settings; the first mistake in the order of the file is reported.
pub fn parse(text: &str, path: &Path) -> Result<ListSettings, ConfigError> {
    let fail = |span: Option<std::ops::Range<usize>>, message: String, hint: String| {
        ConfigError::spanned(path.to_path_buf(), text, span.unwrap_or(0..0), message, hint)
    };
    let document = Document::parse(text).map_err(|e| fail(e.span(), e.message().replace('\n', ", "), String::new()))?;
    let mut settings = ListSettings::default();
    for (name, item) in document.iter() {
        let span = document.as_table().get_key_value(name).and_then(|(key, _)| key.span());
        let done = match item {
            Item::Value(value) => settings.set(name, value),
            _ => {
                let hint = "every setting of a list stands alone: KEY = VALUE";
                return Err(fail(span, format!("section {name:?} is not known"), hint.to_string()));
            }
        };
        match done {
            Some(Ok(())) => {}
            Some(Err(message)) => return Err(fail(item.span().or(span), format!("{name}: {message}"), String::new())),
            None => return Err(fail(span, format!("unknown setting {name}"), hint(name))),
        }
    }
    check(&settings).map_err(|(name, message)| {
        let span = document.get(name).and_then(Item::span);
        fail(span, format!("{name}: {message}"), String::new())
    })?;
    Ok(settings)
}

/// What to do about an unknown key.
pub fn hint(name: &str) -> String {
    match nearest(name, keys().iter().map(|key| key.name)) {
        Some(near) => format!("did you mean {near}?"),
        None => "em-lists(5) has all settings of a list".to_string(),
    }
}

/// What types alone can't say.
fn check(settings: &ListSettings) -> Result<(), (&'static str, String)> {
    for (key, text) in [("description", &settings.description), ("prefix", &settings.prefix)] {
        if text.chars().any(char::is_control) {
            return Err((key, "control characters can't stand in a header".to_string()));
        }
    }
    for pattern in &settings.subscription_domains {
        let domain = pattern.strip_prefix("*.").unwrap_or(pattern);
        if crate::addr::normal_domain(domain).is_err() {
            return Err(("subscription_domains", format!("{pattern:?} is neither a domain nor *.domain")));
        }
    }
    for kind in &settings.content_types {
        let media = kind.split(';').next().unwrap_or(kind).trim();
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        if !media.split_once('/').is_some_and(|(kind, subtype)| is_word(kind) && is_word(subtype)) {
            return Err(("content_types", format!("{kind:?} is not a media type such as \"text/plain\"")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, Path::new("list.toml")).unwrap_err().to_string()
    }

    #[test]
    fn every_default_reads_back_as_itself() {
        let mut settings = ListSettings::default();
        for key in keys() {
            let value: Value = key.default.parse().unwrap();
            assert_eq!(settings.set(key.name, &value), Some(Ok(())), "{}", key.name);
            assert_eq!(settings.print(key.name).unwrap(), key.default);
            assert!(key.doc.ends_with('.'), "{}", key.name);
        }
        assert_eq!(settings, ListSettings::default());
    }

    #[test]
    fn mistakes_are_shown_with_their_place() {
        assert_eq!(
            error("owners = [\"a@x.test\"]\nreplyto = \"list\"\n"),
            "list.toml:2:1: unknown setting replyto\n 2 | replyto = \"list\"\n   | ^^^^^^^\n hint: did you mean reply_to?"
        );
        assert!(
            error("posting = \"all\"\n").starts_with("list.toml:1:11: posting: \"all\" is not one of anyone members")
        );
        assert!(error("owners = [\"alice\"]\n").starts_with("list.toml:1:10: owners: \"alice\""));
        assert!(error("[posting]\n").contains("section \"posting\" is not known"));
        assert!(error("prefix = \"a\\nBcc: x\"\n").contains("list.toml:1:10: prefix: control characters"));
        assert!(error("subscription_domains = [\"*.a b\"]\n").contains("neither a domain nor"));
        assert!(error("content_types = \"text\"\n").contains("not a media type"));
    }
}
