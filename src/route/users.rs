//! Users of this host where a sendmail.cf stands in the place of our settings: accounts of the system, their forward files, and the
//! file's own mailers for users, programs and files.
//!
//! Called by `expand`. Trust: a home is hostile ground. A forward file that is no plain file, that somebody else owns or may write, or
//! that can't be read is not obeyed, and the mail goes to its user, as with sendmail; programs and files that it names are run
//! and written with its owner's rights.

use super::expand::{DEPTH_LIMIT, Expansion, in_sendmails_order};
use super::mailboxes::is_login_name;
use super::surroundings::from_rules;
use super::triple::Local;
use super::{Decider, Router};
use crate::addr::Address;
use crate::envelope::{Delivery, Mailer};
use crate::fsx;
use crate::rules::dollars::expand;
use crate::rules::macros::{Layers, Macros};
use crate::status::Failure;
use crate::tables::{Target, old_aliases};
use nix::unistd::User;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Largest forward file, in octets.
const FORWARD_LIMIT: u64 = 64 << 10;

impl Expansion<'_> {
    /// Delivers to a user of ours, or to whom his forward file names. False when there is no such user.
    pub(super) fn user(&mut self, local: &Local, follows: bool) -> Result<bool, Failure> {
        let text = from_rules(&local.user);
        // The rules write `user+*` when they have looked a detail up.
        let name = text.strip_suffix("+*").unwrap_or(&text).to_string();
        let mailer = self.rules.rules.mailer(local.mailer.as_bytes());
        let mut delivery = Delivery {
            host: from_rules(&local.host),
            by: local.mailer.clone(),
            ..Delivery::new(Mailer::Agent, name.clone())
        };
        // Flag w: the user must have an account; without it the mailer knows best.
        if mailer.is_none_or(|mailer| mailer.has(b'w')) {
            let Some(account) = self.account(&name)? else { return Ok(false) };
            self.say(Decider::Account, || format!("{name}: system account {}", account.name));
            if follows && self.follow(&account, local)? {
                return Ok(true);
            }
            delivery.by.push_str(&format!(":{}", account.name));
        }
        self.add(delivery)?;
        Ok(true)
    }

    /// `\user`, and a user's own name in his forward file: no alias and no forward file.
    pub(super) fn own_user(&mut self, address: &Address) -> Result<(), Failure> {
        let local = Local::named(address);
        match self.user(&local, false)? {
            true => Ok(()),
            false => Err(Failure::permanent((1, 1), "User unknown", "no such user")),
        }
    }

    /// A program or a file of the aliases or of a forward file.
    pub(super) fn agent_of_target(&mut self, target: &Target) -> Result<(), Failure> {
        let (mailer, user) = match target {
            Target::Program(command) => ("prog", command),
            Target::File(path) => ("*file*", path),
            _ => return Ok(()),
        };
        let by = match &self.forwards {
            Some(login) => format!("{mailer}:{login}"),
            None => mailer.to_string(),
        };
        self.add(Delivery { by, ..Delivery::new(Mailer::Agent, user.clone()) })
    }

    /// A list that a forward file names: its owner's own, or it is not read. What root may read is nobody's list.
    pub(super) fn include_of_user(&mut self, path: &Path, name: &str, key: &Address) -> Result<(), Failure> {
        let account = match &self.forwards {
            Some(login) => self.account(login)?,
            None => None,
        };
        let own = format!("~{}", path.display());
        let text = account.filter(|_| !self.open.contains(&own)).and_then(|account| readable(path, &account));
        let Some(text) = text else {
            return Err(Failure::permanent((2, 4), "Can't open the list of a .forward file", path.display()));
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let targets: Vec<Target> =
            lines.flat_map(|line| in_sendmails_order(old_aliases::targets(line, true))).collect();
        self.open.push(own);
        let result = self.targets(&targets, name, key);
        self.open.pop();
        result
    }

    /// What stands for a member of a list that can't be reached. A sendmail.cf's user is told its name.
    pub(super) fn failed_member(&self, member: &Target, failure: &Failure) -> Delivery {
        let by = match member {
            Target::Address(text) if self.router.site().settings.cf.is_some() => {
                format!("{}{text}", self.place.as_deref().unwrap_or_default())
            }
            _ => String::new(),
        };
        Delivery { by, ..Delivery::new(Mailer::Error, format!("{} {}", failure.enhanced, failure.public)) }
    }

    /// Deepest nesting of aliases: the file's (MaxAliasRecursion), or our own.
    pub(super) fn deepest(&self) -> usize {
        self.router.site().settings.cf.as_ref().map_or(DEPTH_LIMIT, |cf| cf.alias_depth)
    }

    /// Why an alias is not followed that is open already, or lies too deep.
    pub(super) fn circle(&self, name: &str) -> Failure {
        let way = format!("{} -> {name}", self.open.join(" -> "));
        match &self.router.site().settings.cf {
            None => Failure::permanent((4, 6), "Alias loop", way),
            Some(cf) => {
                let (deep, most) = (self.open.len() + 1, cf.alias_depth);
                let text = format!("aliasing/forwarding loop broken ({deep} aliases deep; {most} max)");
                Failure::permanent((4, 6), text, way)
            }
        }
    }

    /// True when the system has an account of this name.
    pub(super) fn is_login(&self, name: &str) -> bool {
        self.account(name).is_ok_and(|account| account.is_some())
    }

    fn account(&self, name: &str) -> Result<Option<User>, Failure> {
        if !is_login_name(name) {
            return Ok(None);
        }
        User::from_name(name).map_err(|e| Failure::temporary((3, 0), "Local error in processing, try again later", e))
    }

    /// Follows a user's forward file. False when there is none that may be obeyed.
    fn follow(&mut self, account: &User, local: &Local) -> Result<bool, Failure> {
        let own = format!("~{}", account.name);
        if self.open.contains(&own) {
            return Ok(false);
        }
        let Some(mut targets) = forward_file(self.router, self.rules, account, local) else { return Ok(false) };
        let key = local.address.to_key();
        for target in &mut targets {
            if matches!(target, Target::Address(text) if text.eq_ignore_ascii_case(&account.name)) {
                *target = Target::Mailbox(account.name.clone());
            }
        }
        self.open.push(own);
        let before = self.forwards.replace(account.name.clone());
        let result = self.targets(&targets, &account.name, &key);
        self.forwards = before;
        self.open.pop();
        result.map(|()| true)
    }
}

/// The targets of the first forward file of ForwardPath that may be obeyed.
fn forward_file(router: &Router, rules: &super::em_cf::Compiled, account: &User, local: &Local) -> Option<Vec<Target>> {
    let cf = router.site().settings.cf.as_ref()?;
    let mut own = Macros::default();
    own.set(b"z", account.dir.as_os_str().as_encoded_bytes().to_vec());
    own.set(b"u", account.name.clone().into_bytes());
    own.set(b"h", local.host.clone());
    let values = Layers { message: &own, file: &rules.rules.macros };
    let paths = String::from_utf8_lossy(&expand(&cf.forward, &values)).into_owned();
    for path in paths.split(':').map(Path::new).filter(|path| path.is_absolute()) {
        let Some(text) = readable(path, account) else { continue };
        let mut targets = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            targets.extend(in_sendmails_order(old_aliases::targets(line, true)));
        }
        if !targets.is_empty() {
            return Some(targets);
        }
    }
    None
}

/// The text of a forward file that may be obeyed.
fn readable(path: &Path, account: &User) -> Option<String> {
    let ignored = |reason: String| {
        crate::log::event("forward-not-obeyed").field("file", path.display()).field("reason", reason).error().write();
        None
    };
    let file = match fsx::open_read(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(e) => return ignored(e.to_string()),
    };
    // Asked of the open file, and that one is read: the name may lead to another by now.
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(e) => return ignored(e.to_string()),
    };
    if metadata.uid() != account.uid.as_raw() || metadata.mode() & 0o022 != 0 {
        return ignored("others may write it".to_string());
    }
    match fsx::read_opened(file, path, FORWARD_LIMIT) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) => ignored(e.to_string()),
    }
}
