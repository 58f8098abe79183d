//! Forwarded mail: the sender that it gets (SRS), and the way back of what is told to that sender.
//!
//! Called by `smtp` and `submit` once recipients are routed, by `smtp` at RCPT, and by `bounce`.
//! Off without `srs.domain`. The secrets are lines of a file, made when it is first needed; the first one signs, and the others verify what
//! was signed before it was put in front. Where the file can't be read or made, mail is forwarded as it came: that harms less than to stop it.
//! Trust: an address of the scheme is only turned round for the null sender. Who answers a person writes to the person.

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::envelope::{Delivery, Mailer};
use crate::fsx;
use crate::log;
use crate::srs::{Srs, SrsError, is_rewritten};
use crate::status::Failure;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Longest file of secrets read, in octets.
const SECRETS_LIMIT: u64 = 64 << 10;
/// Random octets of a new secret.
const SECRET: usize = 32;

/// A site's forwarding.
#[derive(Debug)]
pub struct Forwarding {
    site: Arc<Site>,
    scheme: OnceLock<Option<Srs>>,
}

impl Forwarding {
    /// That of a site; nothing is read before it is needed.
    pub fn new(site: Arc<Site>) -> Forwarding {
        Forwarding { site, scheme: OnceLock::new() }
    }

    fn domain(&self) -> Option<&str> {
        Some(self.site.settings.srs.domain.as_str()).filter(|domain| !domain.is_empty())
    }

    fn scheme(&self) -> Option<&Srs> {
        let domain = self.domain()?;
        let make = || {
            let path = secret_file(&self.site);
            match secrets(&path) {
                Ok(secrets) => Srs::new(domain, secrets, self.site.settings.srs.valid_days),
                Err(reason) => {
                    log::event("srs-unavailable").field("file", path.display()).field("reason", reason).error().write();
                    None
                }
            }
        };
        self.scheme.get_or_init(make).as_ref()
    }

    /// Gives deliveries to other hosts a sender of ours, when the message is passed on for somebody else: the sender is not ours, and
    /// the recipient was (`is_forwarded`). A list has its owner for sender already.
    pub fn outgoing(&self, sender: Option<&Address>, is_forwarded: bool, deliveries: &mut [Delivery], now: Timestamp) {
        let is_ours = |sender: &Address| self.site.is_local(sender.domain()) || Some(sender.domain()) == self.domain();
        let Some(sender) = sender.filter(|sender| is_forwarded && !is_ours(sender)) else { return };
        let goes_out = |delivery: &&mut Delivery| delivery.mailer == Mailer::Smtp && delivery.sender.is_empty();
        let mut rewritten = None;
        for delivery in deliveries.iter_mut().filter(goes_out) {
            let Some(scheme) = self.scheme() else { return };
            let Some(own) = rewritten.get_or_insert_with(|| scheme.forward(sender, now)) else {
                return log::event("srs-too-long").field("from", sender).write();
            };
            delivery.sender = own.to_string();
        }
    }

    /// Where mail to a rewritten sender of ours goes: `None` for every other address, and a refusal for one that leads nowhere.
    pub fn incoming(&self, sender: Option<&Address>, to: &Address, now: Timestamp) -> Option<Result<Address, Failure>> {
        if Some(to.domain()) != self.domain() || !is_rewritten(to.local()) {
            return None;
        }
        if sender.is_some() {
            let text = format!("<{to}>: This address takes delivery reports only");
            return Some(Err(Failure::permanent((7, 1), text, "rewritten sender with a sender")));
        }
        let Some(scheme) = self.scheme() else {
            return Some(Err(Failure::temporary(
                (3, 5),
                "Local configuration error, try again later",
                "no SRS secrets",
            )));
        };
        Some(scheme.reverse(to, now).map_err(|error| {
            let (detail, text) = match error {
                SrsError::Expired => ((7, 1), "This address has expired"),
                SrsError::Forged | SrsError::NotOurs => ((1, 1), "Recipient address rejected: User unknown"),
            };
            Failure::permanent(detail, format!("<{to}>: {text}"), error)
        }))
    }
}

/// The file of secrets.
fn secret_file(site: &Site) -> PathBuf {
    match site.settings.srs.secret_file.as_str() {
        "" => site.root.run().join("srs.secret"),
        path => PathBuf::from(path),
    }
}

/// Reads the secrets; makes a file with one where there is none.
fn secrets(path: &Path) -> io::Result<Vec<String>> {
    let bytes = match fsx::read(path, SECRETS_LIMIT) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_secret(path)?;
            fsx::read(path, SECRETS_LIMIT)?
        }
        other => other?,
    };
    let text = String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let secrets: Vec<String> = lines.map(str::to_string).collect();
    match secrets.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, "the file holds no secret")),
        false => Ok(secrets),
    }
}

/// Makes the file under its name at once and whole, or leaves the one that another process has made meanwhile.
fn make_secret(path: &Path) -> io::Result<()> {
    let mut secret = [0; SECRET];
    let mut name = [0; 8];
    getrandom::fill(&mut secret).and_then(|()| getrandom::fill(&mut name)).map_err(io::Error::other)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{:016x}", u64::from_ne_bytes(name)));
    let mut draft = fsx::Draft::new(draft.into(), 0o600);
    draft.write(format!("{}\n", encodify::base64::URL_SAFE_NO_PAD.encode(secret)).as_bytes())?;
    draft.sync()?;
    match fsx::link(draft.path(), path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
        Ok(()) => path.parent().map_or(Ok(()), fsx::sync_dir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Root, Settings};

    const NOW: Timestamp = Timestamp(1_795_522_071_000_000);

    fn forwarding(dir: &Path) -> Forwarding {
        let mut settings = Settings::default();
        settings.server.domains = vec!["example.test".into()];
        settings.srs.domain = "srs.example.test".into();
        let root = Root::under(dir);
        std::fs::create_dir_all(root.run()).unwrap();
        Forwarding::new(Arc::new(Site { root, settings }))
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn sender(forwarding: &Forwarding, from: Option<&str>, is_forwarded: bool, delivery: Delivery) -> String {
        let mut deliveries = [delivery];
        forwarding.outgoing(from.map(address).as_ref(), is_forwarded, &mut deliveries, NOW);
        deliveries[0].sender.clone()
    }

    #[test]
    fn only_a_stranger_who_is_forwarded_to_another_host_gets_another_sender() {
        let dir = tempfile::tempdir().unwrap();
        let forwarding = forwarding(dir.path());
        let out = || Delivery::new(Mailer::Smtp, "x@remote.test");
        let rewritten = sender(&forwarding, Some("a@other.test"), true, out());
        assert!(rewritten.starts_with("SRS0=") && rewritten.ends_with("=other.test=a@srs.example.test"), "{rewritten}");
        let listed = Delivery { sender: "owner-x@example.test".into(), ..out() };
        for (from, is_forwarded, delivery, expected) in [
            (None, true, out(), ""),
            (Some("a@other.test"), false, out(), ""),
            (Some("alice@example.test"), true, out(), ""),
            (Some("SRS0=a=b=c=d@srs.example.test"), true, out(), ""),
            (Some("a@other.test"), true, Delivery::new(Mailer::Mailbox, "bob@example.test"), ""),
            (Some("a@other.test"), true, listed, "owner-x@example.test"),
        ] {
            assert_eq!(sender(&forwarding, from, is_forwarded, delivery), expected, "{from:?}");
        }
    }

    #[test]
    fn reports_come_back_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let ours = forwarding(dir.path());
        let own = address(&sender(&ours, Some("a@other.test"), true, Delivery::new(Mailer::Smtp, "x@remote.test")));
        let back = |from: Option<&Address>, to: &Address, now| {
            ours.incoming(from, to, now).map(|r| r.map_err(|f| f.reply().to_string()))
        };
        assert_eq!(back(None, &own, NOW), Some(Ok(address("a@other.test"))));
        assert_eq!(back(None, &address("alice@example.test"), NOW), None);
        assert_eq!(back(None, &address("bob@srs.example.test"), NOW), None);
        let code = |reply: Option<Result<Address, String>>| reply.unwrap().unwrap_err()[..9].to_string();
        assert_eq!(code(back(Some(&address("x@remote.test")), &own, NOW)), "550 5.7.1");
        assert_eq!(code(back(None, &own, NOW.after(std::time::Duration::from_secs(40 * 86_400)))), "550 5.7.1");
        assert_eq!(code(back(None, &address("SRS0=AAAAAA=AA=v.test=s@srs.example.test"), NOW)), "550 5.1.1");
        // Another process reads the same secret.
        assert_eq!(forwarding(dir.path()).incoming(None, &own, NOW).unwrap().unwrap(), address("a@other.test"));
        let file = std::fs::metadata(dir.path().join("spool/run/srs.secret")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path().join("spool/run")).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn a_new_secret_is_put_in_front_and_the_old_one_still_verifies() {
        let dir = tempfile::tempdir().unwrap();
        let out = || Delivery::new(Mailer::Smtp, "x@remote.test");
        let before = address(&sender(&forwarding(dir.path()), Some("a@other.test"), true, out()));
        let path = dir.path().join("spool/run/srs.secret");
        let old = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("# new\nnew secret\n{old}")).unwrap();
        let rolled = forwarding(dir.path());
        assert!(rolled.incoming(None, &before, NOW).unwrap().is_ok());
        assert_ne!(sender(&rolled, Some("a@other.test"), true, out()), before.to_string());
        std::fs::write(&path, "\n# nothing\n").unwrap();
        let broken = forwarding(dir.path());
        assert_eq!(sender(&broken, Some("a@other.test"), true, out()), "", "forwarded as it came");
        assert!(broken.incoming(None, &before, NOW).unwrap().unwrap_err().is_temporary());
    }
}
