//! GETMETADATA and SETMETADATA: annotations of mailboxes and of the server (RFC 5464), and those beside LIST (RFC 9590).
//!
//! In one's own mailboxes private and shared entries are kept alike. In others' there are only shared ones: the private ones that lie there
//! are their owner's, and nobody else's to see. What all users of the server share is not theirs to set.

use super::access::Place;
use super::{ImapService, Run, Trouble};
use crate::mailbox::Rights;
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{GetMetadata, MailboxName, MetadataDepth, Outcome};
use crate::store::{AnnotateError, Annotations, VALUE_LIMIT};

/// How to reach the administrator (RFC 5464 §3.2.1.1).
const ADMIN: &str = "/shared/admin";

impl ImapService {
    pub(super) fn get_metadata(&mut self, get: &GetMetadata, out: &mut Vec<u8>) -> Run {
        let annotations = self.annotations(get.mailbox.as_ref())?;
        let mut values: Vec<(&str, Option<&[u8]>)> = Vec::new();
        let mut longest = None;
        for entry in &get.entries {
            if get.depth == MetadataDepth::Zero {
                values.push((entry, annotations.get(&entry.to_ascii_lowercase()).map(Vec::as_slice)));
                continue;
            }
            let found = annotations.iter().filter(|(name, _)| is_within(name, entry, get.depth));
            values.extend(found.map(|(name, value)| (name.as_str(), Some(value.as_slice()))));
        }
        values.retain(|(_, value)| {
            let size = value.map_or(0, <[u8]>::len) as u64;
            let is_long = get.max_size.is_some_and(|limit| size > u64::from(limit));
            if is_long {
                longest = longest.max(Some(size));
            }
            !is_long
        });
        if !values.is_empty() {
            response::metadata(out, get.mailbox.as_ref(), &values, self.enabled);
        }
        let outcome = Outcome::ok("done");
        Ok(match longest {
            // RFC 5464 §4.2.1.
            Some(size) => outcome.with_code(Code::MetadataLongEntries(size)),
            None => outcome,
        })
    }

    pub(super) fn set_metadata(&mut self, mailbox: Option<&MailboxName>, values: &[(String, Option<Vec<u8>>)]) -> Run {
        for (entry, _) in values {
            let entry = entry.to_ascii_lowercase();
            if !entry.starts_with("/private/") && !entry.starts_with("/shared/") {
                return Ok(Outcome {
                    status: Status::Bad,
                    ..Outcome::no(None, "entries begin with /private/ or /shared/")
                });
            }
            // RFC 5464 §3.3: who may make annotations of the server is for us to say.
            if mailbox.is_none() && entry.starts_with("/shared/") {
                return Ok(Outcome::no(Some(Code::NoPerm), "annotations of the server are its administrator's"));
            }
        }
        let place = mailbox.map(|name| self.annotated(name)).transpose()?;
        if let Some(place) = place.as_ref().filter(|place| !place.is_own) {
            if values.iter().any(|(entry, _)| is_private(&entry.to_ascii_lowercase())) {
                return Ok(Outcome::no(Some(Code::MetadataNoPrivate), "only the owner has private annotations here"));
            }
            // RFC 5464 §3.3 asks for less; who may only read a mailbox should not write what all its readers see.
            if !place.rights.holds(Rights::WRITE) {
                return Err(Trouble::NoPerm);
            }
        }
        let tree = place.as_ref().map_or(self.tree()?, |place| &place.tree);
        match tree.annotate(place.as_ref().map(|place| place.name.as_str()), values) {
            Ok(()) => {
                self.note_annotated(place.as_ref().map(|place| &place.shown), values);
                Ok(Outcome::ok("done"))
            }
            Err(AnnotateError::Tree(error)) => Err(error.into()),
            Err(error) => {
                let code = match error {
                    AnnotateError::TooLarge => Code::MetadataMaxSize(VALUE_LIMIT as u64),
                    _ => Code::MetadataTooMany,
                };
                Ok(Outcome::no(Some(code), error.to_string()))
            }
        }
    }

    /// The METADATA response beside LIST; a mailbox whose annotations can't be read has none (RFC 9590).
    pub(super) fn metadata_of_listed(&self, name: &str, entries: &[String], out: &mut Vec<u8>) {
        let Some(name) = MailboxName::new(name) else { return };
        if let Ok(annotations) = self.annotations(Some(&name)) {
            let value = |entry: &String| annotations.get(&entry.to_ascii_lowercase()).map(Vec::as_slice);
            let values: Vec<(&str, Option<&[u8]>)> = entries.iter().map(|e| (e.as_str(), value(e))).collect();
            response::metadata(out, Some(&name), &values, self.enabled);
        }
    }

    fn annotations(&self, mailbox: Option<&MailboxName>) -> Result<Annotations, Trouble> {
        let Some(name) = mailbox else {
            let mut annotations = self.tree()?.annotations(None)?;
            let admin = format!("mailto:postmaster@{}", self.desk.site.default_domain());
            annotations.insert(ADMIN.to_string(), admin.into_bytes());
            return Ok(annotations);
        };
        let place = self.annotated(name)?;
        let mut annotations = place.tree.annotations(Some(&place.name))?;
        annotations.retain(|entry, _| place.is_own || !is_private(entry));
        Ok(annotations)
    }

    /// A mailbox whose annotations one may see (RFC 5464 §3.3).
    fn annotated(&self, name: &MailboxName) -> Result<Place, Trouble> {
        let using = Rights::READ.union(Rights::SEEN).union(Rights::WRITE).union(Rights::INSERT).union(Rights::POST);
        self.reach_if(name, |rights| rights.holds(Rights::LOOKUP) && rights.has_any(using))
    }
}

/// Entries that only the owner of a mailbox has.
pub(super) fn is_private(entry: &str) -> bool {
    entry.starts_with("/private/")
}

/// True when an entry is the one that was asked for, or stands so far below it (RFC 5464 §4.2.2).
fn is_within(name: &str, asked: &str, depth: MetadataDepth) -> bool {
    let Some(rest) = name.strip_prefix(asked.to_ascii_lowercase().as_str()) else { return false };
    let levels = rest.matches('/').count();
    let is_below = rest.is_empty() || rest.starts_with('/');
    is_below && (levels <= 1 || depth == MetadataDepth::Infinity)
}
