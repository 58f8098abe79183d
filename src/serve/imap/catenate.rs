//! CATENATE: messages put together from texts of the client and parts of messages that are here (RFC 4469).

use super::fetch::ranges;
use super::{ImapService, Trouble};
use crate::dot::CrlfWindow;
use crate::mailbox::Rights;
use crate::proto::imap::response::Code;
use crate::proto::imap::{Answer, MessageUrl, Refusal};
use crate::store::{Folder, FolderError, TreeError};
use std::io::Read;

impl ImapService {
    pub(super) fn append_url(&mut self, url: &str) -> Answer {
        Answer::Verdict(self.take_url(url))
    }

    fn take_url(&mut self, text: &str) -> Result<(), Refusal> {
        let bad = || Refusal::no(Some(Code::BadUrl(text.to_string())), "this URL leads to no text");
        let url = MessageUrl::parse(text).ok_or_else(bad)?;
        let octets = match self.text_at(&url) {
            Ok(octets) => octets.ok_or_else(bad)?,
            Err(Trouble::NoPerm) => return Err(bad()),
            Err(trouble) if leads_nowhere(&trouble) => return Err(bad()),
            Err(trouble) => return Err(self.refusal(trouble)),
        };
        self.make_room(octets.len() as u64)?;
        self.write_text(&octets)
    }

    /// The octets that a URL leads to, as FETCH gives them; nothing is marked as seen.
    fn text_at(&mut self, url: &MessageUrl) -> Result<Option<Vec<u8>>, Trouble> {
        let folder = match (&url.mailbox, &self.selected) {
            (Some(name), _) => self.reach(name, Rights::READ)?.folder()?,
            (None, Some(_)) => self.selected()?.folder.clone(),
            (None, None) => return Ok(None),
        };
        let found = window_at(&folder, url)?.map(|(text, mut window)| {
            let mut octets = Vec::new();
            window.fill(&text, usize::MAX, &mut octets);
            octets
        });
        Ok(found)
    }
}

/// A message's stored text, and the part of it that a URL names; `None` when there is no such part.
pub(super) fn window_at(folder: &Folder, url: &MessageUrl) -> Result<Option<(Vec<u8>, CrlfWindow)>, Trouble> {
    let snapshot = folder.refresh()?;
    let is_another = url.uid_validity.is_some_and(|validity| validity != snapshot.uid_validity);
    if is_another || snapshot.find(url.uid).is_none() {
        return Ok(None);
    }
    let mut text = Vec::new();
    folder.text(url.uid)?.read_to_end(&mut text).map_err(FolderError::from)?;
    let Some(ranges) = ranges(&text, &url.section) else { return Ok(None) };
    let window = CrlfWindow::new(&text, ranges, url.partial);
    Ok(Some((text, window)))
}

/// True when a URL's mailbox or message is not there, or not any more.
pub(super) fn leads_nowhere(trouble: &Trouble) -> bool {
    use FolderError::{Expunged, Gone};
    matches!(trouble, Trouble::Tree(TreeError::Missing | TreeError::BadName | TreeError::Folder(Gone | Expunged)))
}
