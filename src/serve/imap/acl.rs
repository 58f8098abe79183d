//! GETACL, SETACL, DELETEACL, LISTRIGHTS and MYRIGHTS (RFC 4314 §3), and MYRIGHTS beside LIST (RFC 8440).
//!
//! An identifier need not be an account: whether there is one is nobody's to learn by this way.

use super::access::Place;
use super::{ImapService, Run, Trouble};
use crate::log;
use crate::mailbox::{AclChange, Identifier, Rights, Subject};
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{MailboxName, Outcome, RightsChange};
use crate::store::{AclError, TreeError};

impl ImapService {
    pub(super) fn get_acl(&mut self, name: &MailboxName, out: &mut Vec<u8>) -> Run {
        let place = self.administered(name)?;
        let acl = place.tree.acl(&place.name)?;
        let default = place.realm.default_acl();
        let owner = place.realm.owner().map(|owner| (owner.to_string(), Rights::ALL.to_string()));
        let others = acl.as_deref().unwrap_or(&default).entries();
        let others = others.map(|(subject, rights)| (subject.to_string(), rights.to_string()));
        let shown: Vec<(String, String)> = owner.into_iter().chain(others).collect();
        let entries: Vec<(&str, &str)> = shown.iter().map(|(who, rights)| (who.as_str(), rights.as_str())).collect();
        response::acl(out, name, &entries, self.enabled);
        Ok(Outcome::ok("done"))
    }

    pub(super) fn set_acl(&mut self, name: &MailboxName, identifier: &str, change: &RightsChange) -> Run {
        let letters = match change {
            RightsChange::Replace(letters) | RightsChange::Add(letters) | RightsChange::Remove(letters) => letters,
        };
        let Some(rights) = Rights::parse(letters) else { return Ok(super::not_now("there is no such right")) };
        let change = match change {
            RightsChange::Replace(_) => AclChange::Replace(rights),
            RightsChange::Add(_) => AclChange::Add(rights),
            RightsChange::Remove(_) => AclChange::Remove(rights),
        };
        self.change_acl(name, identifier, change)
    }

    pub(super) fn delete_acl(&mut self, name: &MailboxName, identifier: &str) -> Run {
        self.change_acl(name, identifier, AclChange::Replace(Rights::NONE))
    }

    fn change_acl(&mut self, name: &MailboxName, identifier: &str, change: AclChange) -> Run {
        let Some(domain) = self.domain_of(name)? else { return Err(TreeError::Missing.into()) };
        let Some(subject) = Subject::parse(identifier, &domain) else { return Ok(not_an_identifier()) };
        let place = self.administered(name)?;
        if let Identifier::Account(account) = &subject.identifier {
            if place.realm.owner() == Some(account) {
                let is_kept =
                    !subject.is_negative && matches!(change, AclChange::Add(_) | AclChange::Replace(Rights::ALL));
                return Ok(match is_kept {
                    true => Outcome::ok("the owner has all rights"),
                    false => Outcome::no(Some(Code::Cannot), "the owner has all rights, always"),
                });
            }
            if !self.desk.site.is_local(account.domain()) {
                return Ok(Outcome::no(Some(Code::Cannot), "no account of that domain can log in here"));
            }
        }
        let mail = &self.desk.site.root.mail;
        match place.tree.change_acl(&place.realm, mail, &place.name, &subject, change) {
            Ok(()) => {
                let event = log::event("acl-changed").field("user", self.me()?).field("owner", &place.realm);
                event.field("folder", &place.name).field("who", &subject).field("rights", change).write();
                Ok(Outcome::ok("done"))
            }
            Err(AclError::Tree(error)) => Err(error.into()),
            Err(error) => Ok(Outcome::no(Some(Code::Limit), error.to_string())),
        }
    }

    pub(super) fn list_rights(&mut self, name: &MailboxName, identifier: &str, out: &mut Vec<u8>) -> Run {
        let Some(domain) = self.domain_of(name)? else { return Err(TreeError::Missing.into()) };
        let Some(subject) = Subject::parse(identifier, &domain) else { return Ok(not_an_identifier()) };
        let place = self.administered(name)?;
        let is_owner = matches!(&subject.identifier, Identifier::Account(a) if place.realm.owner() == Some(a));
        // RFC 4314 §3.7: what the identifier has in any case, then what it can be given; nothing is tied.
        let letters: Vec<String> = Rights::letters().collect();
        let (required, optional) = match is_owner {
            true => (Rights::ALL.to_string(), Vec::new()),
            false => (String::new(), letters.iter().map(String::as_str).collect()),
        };
        response::list_rights(out, name, identifier, &required, &optional, self.enabled);
        Ok(Outcome::ok("done"))
    }

    pub(super) fn my_rights(&mut self, name: &MailboxName, out: &mut Vec<u8>) -> Run {
        let rights = self.own_rights(name)?;
        response::my_rights(out, name, &rights.to_string(), self.enabled);
        Ok(Outcome::ok("done"))
    }

    /// MYRIGHTS beside LIST; a mailbox whose rights can't be found out has none (RFC 8440 §3).
    pub(super) fn my_rights_of_listed(&self, name: &str, out: &mut Vec<u8>) {
        if let Some(name) = MailboxName::new(name)
            && let Ok(rights) = self.own_rights(&name)
        {
            response::my_rights(out, &name, &rights.to_string(), self.enabled);
        }
    }

    fn own_rights(&self, name: &MailboxName) -> Result<Rights, Trouble> {
        // RFC 4314 §4: any of these shows that the mailbox is there.
        let telling = Rights::LOOKUP.union(Rights::READ).union(Rights::INSERT).union(Rights::CREATE);
        let telling = telling.union(Rights::DELETE).union(Rights::ADMINISTER);
        let place = self.reach_if(name, |rights| rights.has_any(telling))?;
        match place.tree.exists(&place.name)? {
            true => Ok(place.rights),
            false => Err(TreeError::Missing.into()),
        }
    }

    /// A mailbox whose list one may see and change.
    fn administered(&self, name: &MailboxName) -> Result<Place, Trouble> {
        let place = self.reach(name, Rights::ADMINISTER)?;
        match place.tree.exists(&place.name)? {
            true => Ok(place),
            false => Err(TreeError::Missing.into()),
        }
    }

    /// The domain in which an identifier without one is looked for: the mailbox's, whether or not it is there.
    fn domain_of(&self, name: &MailboxName) -> Result<Option<String>, Trouble> {
        Ok(super::names::follow(name.as_str(), self.me()?).map(|target| target.realm.domain().to_string()))
    }
}

fn not_an_identifier() -> Outcome {
    Outcome { status: Status::Bad, ..Outcome::no(None, "not an identifier") }
}
