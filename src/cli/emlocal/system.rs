//! Delivery to an account of the operating system: as that account, where its .forward says, or its Sieve script, or into its ~/Maildir.
//!
//! Order: find the account → become it (groups, group, user; for good) → only then look into its home.
//! Trust: the home is hostile ground: files are opened without following links; a .forward that is a link or that others may
//! write is not obeyed, and the mail goes to the mailbox. A script (~/.dovecot.sieve, ~/.sieve) may be a link, followed with the account's own rights;
//! what it leads to must be the account's or root's, and nobody else's to write.

use super::super::Ended;
use crate::addr::{Address, print_path};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::deliver::{Exec, Mail, Outbox, Outgoing, Postman, run_program, stamp};
use crate::dot;
use crate::envelope::{Delivery, Mailer};
use crate::fsx;
use crate::status::{Exit, Failure};
use crate::store::{self, Arrival};
use crate::tables::Target;
use crate::tables::aliases::{parse_targets, split_command};
use crate::users::Accounts;
use nix::unistd::{Uid, User, getegid, geteuid, getgid, getuid, initgroups, setgid, setuid};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Largest .forward, in octets.
const FORWARD_LIMIT: u64 = 64 << 10;

/// Set-uid rights are lent to root and to group em only (the file's mode says the same).
pub(super) fn check_caller() -> Result<(), Ended> {
    let em = nix::unistd::Group::from_name("em").ok().flatten().map(|g| g.gid);
    let is_member = em.is_some_and(|em| getgid() == em || getegid() == em)
        || nix::unistd::User::from_name("em").ok().flatten().is_some_and(|u| u.uid == getuid());
    if is_member { Ok(()) } else { Err(Ended::new(Exit::NoPerm, "only the mail system may call this")) }
}

/// Delivers to the account `login` (with +detail).
pub(super) fn deliver(site: &Site, login: &str, sender: Option<&Address>, text: &[u8]) -> Result<(), Failure> {
    let base = site.separator().and_then(|s| login.split(s).next()).unwrap_or(login);
    let later = |cause: String| Failure::temporary((3, 0), "Local error in processing, try again later", cause);
    let user = User::from_name(base).map_err(|e| later(e.to_string()))?;
    let user = user.ok_or_else(|| Failure::permanent((1, 1), format!("{base}: User unknown"), ""))?;
    if user.uid.is_root() {
        return Err(Failure::permanent((7, 1), "Mail for root needs an alias", "delivery never runs as root"));
    }
    become_user(&user).map_err(later)?;
    let own = Address::new(login, &site.default_domain()).map_err(|e| Failure::permanent((1, 3), e.to_string(), ""))?;
    if crate::deliver::loops(text, &own.to_string()) {
        return Err(Failure::permanent((4, 6), "Mail forwarding loop", format!("Delivered-To: {own}")));
    }
    as_user(site, &user, sender, &own, text)
}

/// Delivers with the account's rights.
///
/// Targets that may have to be tried again come first: what is done before such a failure would be done again. A final failure of
/// one target stops none of the others.
fn as_user(site: &Site, user: &User, sender: Option<&Address>, own: &Address, text: &[u8]) -> Result<(), Failure> {
    let Some(mut targets) = forward_file(user)? else { return filed(site, user, sender, own, text) };
    targets.iter_mut().for_each(|target| {
        if matches!(target, Target::Address(address) if is_own(site, user, address)) {
            *target = Target::Mailbox(user.name.clone());
        }
    });
    targets.sort_by_key(|target| match target {
        Target::Program(_) | Target::Error(..) | Target::Include(_) => 0,
        Target::Address(_) => 1,
        Target::File(_) => 2,
        Target::Mailbox(_) => 3,
    });
    targets.dedup();
    let mut refused = None;
    for target in targets {
        match forward(site, user, &target, sender, own, text) {
            Ok(()) => {}
            Err(failure) if failure.is_temporary() => return Err(failure),
            Err(failure) => refused = refused.or(Some(failure)),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// True for the account's own name and address: forwarded, they would only come back.
fn is_own(site: &Site, user: &User, address: &str) -> bool {
    let Ok(address) = Address::parse_loose(address, &site.default_domain()) else { return false };
    let local = site.separator().map_or(address.local(), |s| address.split_detail(s).0);
    site.is_local(address.domain()) && local.eq_ignore_ascii_case(&user.name)
}

/// Gives up every right but the account's. Without root rights only the account itself can deliver.
fn become_user(user: &User) -> Result<(), String> {
    if !geteuid().is_root() {
        return if user.uid == geteuid() { Ok(()) } else { Err(format!("no rights to become {}", user.name)) };
    }
    let name = std::ffi::CString::new(user.name.as_str()).map_err(|e| e.to_string())?;
    initgroups(&name, user.gid).map_err(|e| format!("initgroups: {e}"))?;
    setgid(user.gid).map_err(|e| format!("setgid: {e}"))?;
    setuid(user.uid).map_err(|e| format!("setuid: {e}"))?;
    // Asked back, because a half-made change would be worse than none.
    if geteuid() != user.uid || getuid() != user.uid || getegid() != user.gid || setuid(Uid::from_raw(0)).is_ok() {
        return Err("the change of rights did not hold".to_string());
    }
    Ok(())
}

/// The targets of ~/.forward; `None` when there is none that may be obeyed.
fn forward_file(user: &User) -> Result<Option<Vec<Target>>, Failure> {
    let path = user.dir.join(".forward");
    let ignored = |reason: &str| {
        crate::log::event("forward-not-obeyed").field("file", path.display()).field("reason", reason).error().write();
        Ok(None)
    };
    let file = match fsx::open_read(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(_) if std::fs::symlink_metadata(&path).is_ok_and(|m| !m.is_file()) => return ignored("not a plain file"),
        Err(e) => return Err(Failure::local(&e)),
    };
    // Asked of the open file, and that one is read: the name may lead to another by now.
    let metadata = file.metadata().map_err(|e| Failure::local(&e))?;
    if metadata.uid() != user.uid.as_raw() || metadata.mode() & 0o022 != 0 {
        return ignored("others may write it");
    }
    let bytes = match fsx::read_opened(file, &path, FORWARD_LIMIT) {
        Err(e) if e.kind() == std::io::ErrorKind::FileTooLarge => return ignored("too large"),
        other => other.map_err(|e| Failure::local(&e))?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut targets = Vec::new();
    for line in text.lines().filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#')) {
        let found = parse_targets(line, false).map_err(|wrong| {
            Failure::temporary(
                (3, 5),
                "The account's .forward has a mistake",
                format!("{}: {}", path.display(), wrong.message),
            )
        })?;
        targets.extend(found);
    }
    Ok(Some(targets).filter(|t| !t.is_empty()))
}

fn forward(
    site: &Site,
    user: &User,
    target: &Target,
    sender: Option<&Address>,
    own: &Address,
    text: &[u8],
) -> Result<(), Failure> {
    match target {
        Target::Mailbox(_) => filed(site, user, sender, own, text),
        Target::Address(address) => resend(site, address, sender, own, text),
        Target::File(path) if path == "/dev/null" => Ok(()),
        Target::File(path) => append(Path::new(path), user, sender, own, text),
        Target::Program(command) => {
            let argv = split_command(command).unwrap_or_default();
            let argv = match argv.as_slice() {
                [first, script] if first == "sh:" => {
                    vec![site.settings.delivery.shell.clone(), "-c".to_string(), script.clone()]
                }
                _ => argv,
            };
            let exec = Exec { argv, user: None, timeout: site.settings.delivery.program_timeout };
            let top = stamp(sender, Some(&own.to_string()));
            let mut whole = std::io::Read::chain(top.as_bytes(), text);
            run_program(&exec, sender, own, &mut whole).map(|_| ())
        }
        Target::Include(_) => Err(Failure::temporary((3, 5), "A .forward can't include files", "")),
        Target::Error(code, text) if code.0 == 4 => Err(Failure::temporary((code.1, code.2), text.clone(), ".forward")),
        Target::Error(code, text) => Err(Failure::permanent((code.1, code.2), text.clone(), ".forward")),
    }
}

/// Hands a forwarded message to emsend, as the account: it then goes the way of any message.
fn resend(site: &Site, address: &str, sender: Option<&Address>, own: &Address, text: &[u8]) -> Result<(), Failure> {
    let top = format!("Delivered-To: {own}\n");
    send(site, sender, address, &mut std::io::Read::chain(top.as_bytes(), text))
}

fn send(site: &Site, sender: Option<&Address>, to: &str, text: &mut dyn std::io::Read) -> Result<(), Failure> {
    let later = |e: std::io::Error| Failure::temporary((3, 0), "Can't forward now", e);
    let mut command = Command::new(super::super::bin_dir().join("emsend"));
    if let Some(dir) = &site.root.dir {
        command.arg("--root").arg(dir);
    }
    command.args(["-i", "-oem", "-f"]).arg(print_path(sender)).arg("--").arg(to);
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(later)?;
    if let Some(mut stdin) = child.stdin.take() {
        std::io::copy(text, &mut stdin).map_err(later)?;
    }
    match child.wait().map_err(later)?.code() {
        Some(0) => Ok(()),
        code => Err(Failure::temporary((3, 0), "Can't forward now", format!("emsend exited with {code:?}"))),
    }
}

/// What a script sends goes the same way.
struct Emsend<'a>(&'a Site);

impl Outbox for Emsend<'_> {
    fn send(&self, message: Outgoing<'_>, _now: Timestamp) -> Result<(), Failure> {
        send(self.0, message.sender, &message.to.to_string(), message.text)
    }
}

fn append(path: &Path, user: &User, sender: Option<&Address>, own: &Address, text: &[u8]) -> Result<(), Failure> {
    let top = stamp(sender, Some(&own.to_string()));
    let mut whole = std::io::Read::chain(top.as_bytes(), text);
    let path = if path.is_absolute() { path.to_path_buf() } else { user.dir.join(path) };
    crate::deliver::append_file(&path, sender, &mut whole, Timestamp::now()).map(|_| ())
}

/// Into the account's mailboxes, by its script if it has one.
fn filed(site: &Site, user: &User, sender: Option<&Address>, own: &Address, text: &[u8]) -> Result<(), Failure> {
    let local = |e: std::io::Error| Failure::local(&e);
    let now = Timestamp::now();
    let top = stamp(sender, Some(&own.to_string()));
    let shared = Arc::new(site.clone());
    let postman = Postman::new(shared.clone(), Accounts::of(&shared), super::super::emlocal_path());
    let rule = postman.rule_in_home(&user.dir, user.uid.as_raw())?;
    let tmp = user.dir.join("Maildir").join("tmp");
    fsx::create_dirs(&tmp, 0o700).map_err(local)?;
    let mut draft = fsx::Draft::new(tmp.join(store::name(now, &site.hostname(), 0, 0)), 0o600);
    draft.write(top.as_bytes()).map_err(local)?;
    draft.write(text).map_err(local)?;
    let size = draft.size();
    let wire_size = dot::crlf_size(top.as_bytes()) + dot::crlf_size(text);
    let mut arrival = Arrival { draft, size, wire_size };
    let Some(rule) = rule else {
        let results = store::deliver(&mut arrival, std::slice::from_ref(&user.dir), now, &site.hostname());
        return results.into_iter().collect::<std::io::Result<Vec<()>>>().map(|_| ()).map_err(local);
    };
    let login = Address::new(&user.name, own.domain()).map_or_else(|_| own.to_string(), |address| address.to_string());
    let delivery = Delivery::new(Mailer::System, login);
    let mail = Mail {
        home: &user.dir,
        delivery: &delivery,
        sender,
        original: own,
        skip: top.len() as u64,
        checks_quota: false,
        now,
    };
    postman.filter(&rule, &mail, &mut arrival, &Emsend(site))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Root, Settings};
    use std::os::unix::fs::PermissionsExt;

    fn site(dir: &Path) -> Site {
        let mut settings = Settings::default();
        settings.server.domains = vec!["example.test".into()];
        settings.server.hostname = "mail.example.test".into();
        Site { root: Root::under(dir), settings }
    }

    fn user(home: &Path) -> User {
        let mut user = User::from_uid(geteuid()).unwrap().unwrap();
        user.name = "carol".to_string();
        user.dir = home.to_path_buf();
        user
    }

    fn deliver_to(home: &Path, forward: &str) -> (Result<(), Failure>, usize) {
        let path = home.join(".forward");
        std::fs::write(&path, forward).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let own = Address::parse("carol@example.test").unwrap();
        let result = as_user(&site(home), &user(home), None, &own, b"Subject: x\n\ny\n");
        (result, copies(home))
    }

    fn copies(home: &Path) -> usize {
        std::fs::read_dir(home.join("Maildir/new")).map_or(0, |d| d.count())
    }

    #[test]
    fn the_own_address_in_any_spelling_is_the_mailbox() {
        for forward in ["\\carol", "carol", "Carol@Example.test", "carol, \\carol, carol@example.test"] {
            let home = tempfile::tempdir().unwrap();
            let (result, copies) = deliver_to(home.path(), forward);
            assert!(result.is_ok() && copies == 1, "{forward}: {result:?} {copies}");
        }
    }

    #[test]
    fn what_has_to_be_tried_again_leaves_no_copy_and_what_is_final_stops_no_other() {
        let home = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let (result, copies) = deliver_to(home.path(), "\\carol\n\"|/bin/sh -c 'exit 75'\"\n");
            assert!(result.unwrap_err().is_temporary());
            assert_eq!(copies, 0);
        }
        let (result, copies) = deliver_to(home.path(), "\"|/bin/sh -c 'exit 69'\", \\carol\n");
        assert!(!result.unwrap_err().is_temporary());
        assert_eq!(copies, 1);
    }

    #[test]
    fn the_null_device_drops_and_errors_have_their_class() {
        let home = tempfile::tempdir().unwrap();
        let (result, copies) = deliver_to(home.path(), "/dev/null\n");
        assert!(result.is_ok() && copies == 0, "{result:?}");
        assert!(deliver_to(home.path(), "error:4.2.1 away").0.unwrap_err().is_temporary());
        assert!(!deliver_to(home.path(), "error:5.2.1 gone").0.unwrap_err().is_temporary());
    }

    #[test]
    fn a_forward_that_others_may_write_or_that_is_a_link_is_not_obeyed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".forward");
        let own = Address::parse("carol@example.test").unwrap();
        std::fs::write(&path, "/dev/null\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).unwrap();
        as_user(&site(home.path()), &user(home.path()), None, &own, b"Subject: x\n\ny\n").unwrap();
        assert_eq!(copies(home.path()), 1);
        std::fs::rename(&path, home.path().join("real")).unwrap();
        std::os::unix::fs::symlink(home.path().join("real"), &path).unwrap();
        as_user(&site(home.path()), &user(home.path()), None, &own, b"Subject: x\n\ny\n").unwrap();
        assert_eq!(copies(home.path()), 2);
    }

    fn script(home: &Path, name: &str, text: &str, mode: u32) {
        let path = home.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn deliver_detail(home: &Path) {
        let own = Address::parse("carol+lists@example.test").unwrap();
        as_user(&site(home), &user(home), None, &own, b"Subject: x\n\ny\n").unwrap();
    }

    #[test]
    fn a_script_in_the_home_sorts_its_mail() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let sorted = || std::fs::read_dir(home.join("Maildir/.lists/new")).map_or(0, |dir| dir.count());
        let text = "require [\"fileinto\", \"mailbox\", \"envelope\", \"subaddress\"];\n\
                    if envelope :detail \"to\" \"lists\" { fileinto :create \"lists\"; }\n";
        script(home, ".sieve", text, 0o600);
        deliver_detail(home);
        assert_eq!((copies(home), sorted()), (0, 1));
        // Dovecot's name comes first; it is a link where ManageSieve made it.
        std::fs::create_dir(home.join("sieve")).unwrap();
        script(home, "sieve/main.sieve", "discard;\n", 0o644);
        std::os::unix::fs::symlink("sieve/main.sieve", home.join(".dovecot.sieve")).unwrap();
        deliver_detail(home);
        assert_eq!((copies(home), sorted()), (0, 1));
        // Others may write it; it is broken; it leads nowhere; it is a folder: the mail is kept.
        script(home, "sieve/main.sieve", "discard;\n", 0o664);
        deliver_detail(home);
        assert_eq!(copies(home), 1);
        script(home, "sieve/main.sieve", "discard\n", 0o644);
        deliver_detail(home);
        assert_eq!(copies(home), 3, "the message, and a word about the mistake");
        std::fs::remove_file(home.join("sieve/main.sieve")).unwrap();
        deliver_detail(home);
        assert_eq!(copies(home), 4);
        std::fs::remove_file(home.join(".dovecot.sieve")).unwrap();
        std::fs::create_dir(home.join(".dovecot.sieve")).unwrap();
        deliver_detail(home);
        assert_eq!((copies(home), sorted()), (5, 1));
    }

    #[test]
    fn the_script_of_somebody_else_is_not_obeyed() {
        if !geteuid().is_root() {
            println!("skipped: we are not root");
            return;
        }
        let home = tempfile::tempdir().unwrap();
        script(home.path(), ".sieve", "discard;\n", 0o644);
        std::os::unix::fs::chown(home.path().join(".sieve"), Some(65_534), None).unwrap();
        deliver_detail(home.path());
        assert_eq!(copies(home.path()), 1);
    }
}
