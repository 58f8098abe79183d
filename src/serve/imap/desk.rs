//! What all connections of the IMAP service share, and what it offers them.

use super::limit::MessageLimits;
use crate::config::Site;
use crate::policy::{Connections, Sessions};
use crate::serve::login::LoginDesk;
use crate::store::Registry;
use std::sync::Arc;

/// What all connections share.
#[derive(Debug)]
pub struct ImapDesk {
    /// The site.
    pub site: Arc<Site>,
    /// Grants logins.
    pub logins: Arc<LoginDesk>,
    /// Counts connections.
    pub connections: Arc<Connections>,
    /// Counts the accounts' sessions.
    pub sessions: Arc<Sessions>,
    /// The open mailboxes.
    pub registry: Arc<Registry>,
}

impl ImapDesk {
    /// What this service does whole, to be offered as CAPABILITY.
    pub fn capabilities(&self) -> Vec<String> {
        let limit = format!("APPENDLIMIT={}", self.site.settings.smtp.message_size.0);
        let limits = MessageLimits::of(self).capability();
        let progress = (!self.site.settings.imap.progress.is_zero()).then(|| "INPROGRESS".to_string());
        CAPABILITIES.iter().map(|name| name.to_string()).chain([limit]).chain(limits).chain(progress).collect()
    }
}

const CAPABILITIES: &[&str] = &[
    "IMAP4rev2",
    "IMAP4rev1",
    "LITERAL+",
    "SASL-IR",
    "ID",
    "ENABLE",
    "IDLE",
    "NAMESPACE",
    "UIDPLUS",
    "MOVE",
    "UNSELECT",
    "CHILDREN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LIST-METADATA",
    "LIST-MYRIGHTS",
    "METADATA",
    "NOTIFY",
    "ACL",
    "RIGHTS=texk",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "ESEARCH",
    "SEARCHRES",
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "WITHIN",
    "SEARCH=FUZZY",
    "CONTEXT=SEARCH",
    "CONTEXT=SORT",
    "MULTISEARCH",
    "PARTIAL",
    "CONDSTORE",
    "QRESYNC",
    "UIDONLY",
    "UIDBATCHES",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "QUOTA=RES-MESSAGE",
    "MULTIAPPEND",
    "CATENATE",
    "REPLACE",
    "BINARY",
    "UTF8=ACCEPT",
    "I18NLEVEL=1",
    "LANGUAGE",
    "OBJECTID",
    "PREVIEW",
    "SAVEDATE",
    "STATUS=SIZE",
    "UNAUTHENTICATE",
    "COMPRESS=DEFLATE",
    "URLAUTH",
];
