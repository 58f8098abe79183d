//! The same questions to each kind of directory; and each of them out of order.

use super::*;
use crate::settings::{Root, Settings};
use crate::users::{Cache, Source};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Knows alice@example.test and daemon, both with the password `secret`, as any directory should.
const PROGRAM: &str = r#"#!/bin/sh
{ IFS= read -r name; IFS= read -r password; } <<END
$(tr '\0' '\n' <&3)
END
[ "$name" = down@example.test ] && exit 111
[ "$name" = killed@example.test ] && kill -9 $$
[ "$name" = odd@example.test ] && [ "$AUTHORIZED" = 1 ] && exec "$@"
if [ "$name" = slow@example.test ]; then sleep 60 & sleep 60; fi
case "$name" in alice@example.test|alice|daemon) ;; *) exit 3 ;; esac
export em_quota=1K em_services=imap em_node=node2.example.test em_quota_messages=many
if [ "$AUTHORIZED" = 1 ]; then AUTHORIZED=2 exec "$@"; fi
[ "$password" = secret ] || exit 1
exec "$@"
"#;

fn site(dir: &Path, directories: &[&str]) -> Site {
    let program = dir.join("checkpassword");
    std::fs::write(&program, PROGRAM).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir_all(dir.join("etc")).unwrap();
    let mut settings = Settings::default();
    settings.server.hostname = "mail.example.test".into();
    settings.server.domains = vec!["example.test".into()];
    settings.accounts.system_uid_min = 1;
    settings.accounts.directory_timeout = Duration::from_secs(20);
    let path = program.display().to_string();
    settings.accounts.directories = directories.iter().map(|d| d.replace("PROGRAM", &path).parse().unwrap()).collect();
    Site { root: Root::under(dir), settings }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// What every directory owes: `user` has the password `secret`.
fn answers_as_a_directory_should(accounts: &Accounts, user: &str, source: Source) {
    let known = address(user);
    let account = accounts.find(&known).unwrap().expect("the account is there");
    assert_eq!((account.address.to_string(), account.source()), (user.to_string(), source));
    assert!(accounts.find(&address(&user.to_uppercase())).unwrap().is_some(), "any case");
    for stranger in
        ["nobody-of-that-name@example.test", "alice@elsewhere.test", "\"a b\"@example.test", "root@example.test"]
    {
        assert_eq!(accounts.find(&address(stranger)).unwrap(), None, "{stranger}");
        assert!(accounts.log_in(&address(stranger), "secret").unwrap().is_none(), "{stranger}");
    }
    let login = accounts.log_in(&known, "secret").unwrap().expect("the right password");
    for wrong in ["", "Secret", "secret ", "secret\0", "x\0secret", &"x".repeat(5000)] {
        assert!(accounts.log_in(&known, wrong).unwrap().is_none(), "{wrong:?}");
    }
    let (cache, now) = (Cache::new(Duration::from_secs(60)), Instant::now());
    cache.remember(&login, "secret", now);
    assert!(cache.recall(&account, "secret", now + Duration::from_secs(59)).is_some());
    assert!(cache.recall(&account, "other", now).is_none());
    assert!(cache.recall(&account, "secret", now + Duration::from_secs(60)).is_none());
}

fn add(site: &Site, user: &str) {
    let add = |all: &mut std::collections::BTreeMap<String, Account>| {
        let mut account = Account::new(&address(user));
        account.set_password("secret", "sha512-crypt", false).unwrap();
        all.insert(crate::users::key(&account.address), account);
        Ok::<_, std::io::Error>(())
    };
    Users::of(site).update(add).unwrap();
}

#[test]
fn a_file() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path(), &["file"]);
    add(&site, "alice@example.test");
    let accounts = Accounts::of(&site);
    assert!(!accounts.may_wait());
    answers_as_a_directory_should(&accounts, "alice@example.test", Source::File);
}

#[test]
fn the_operating_system() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path(), &["system:PROGRAM"]);
    let accounts = Accounts::of(&site);
    answers_as_a_directory_should(&accounts, "daemon@example.test", Source::System);
    let other = accounts.find(&address("daemon@mail.example.test")).unwrap().unwrap();
    assert_eq!(other.address.to_string(), "daemon@example.test", "our host's name is another spelling");
    let mut narrow = site;
    narrow.settings.accounts.system_uid_min = 1000;
    assert_eq!(Accounts::of(&narrow).find(&address("daemon@example.test")).unwrap(), None);
    narrow.settings.accounts.directories = vec![DirectoryChoice::System(None)];
    narrow.settings.accounts.system_uid_min = 0;
    let accounts = Accounts::of(&narrow);
    assert_eq!(accounts.find(&address("root@example.test")).unwrap(), None);
    assert!(accounts.log_in(&address("daemon@example.test"), "secret").unwrap().is_none(), "nobody checks passwords");
}

#[test]
fn a_program() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = Accounts::of(&site(dir.path(), &["checkpassword:PROGRAM"]));
    answers_as_a_directory_should(&accounts, "alice@example.test", Source::Program);
    let alice = accounts.find(&address("alice@example.test")).unwrap().unwrap();
    assert_eq!(alice.quota(Default::default()).octets, 1024);
    assert!(alice.may_use("imap") && !alice.may_use("pop3"));
    assert_eq!((alice.field("node"), alice.field("quota_messages")), (Some("node2.example.test"), None));
}

#[test]
fn the_first_that_knows_a_name_answers_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path(), &["file", "checkpassword:PROGRAM"]);
    let accounts = Accounts::of(&site);
    let alice = address("alice@example.test");
    assert!(accounts.log_in(&alice, "secret").unwrap().is_some());
    let block = |all: &mut std::collections::BTreeMap<String, Account>| {
        let account = Account::new(&alice);
        all.insert(crate::users::key(&account.address), account);
        Ok::<_, std::io::Error>(())
    };
    Users::of(&site).update(block).unwrap();
    assert!(accounts.log_in(&alice, "secret").unwrap().is_none(), "the file says that no password fits");
}

#[test]
fn a_directory_that_is_down_never_says_no_such_user() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = site(dir.path(), &["checkpassword:PROGRAM"]);
    site.settings.accounts.directory_timeout = Duration::from_millis(500);
    let accounts = Accounts::of(&site);
    let started = Instant::now();
    for name in ["down", "killed", "odd", "slow"] {
        let failure = accounts.find(&address(&format!("{name}@example.test"))).unwrap_err();
        assert!(failure.is_temporary(), "{name}: {failure}");
        assert!(!failure.public.contains("checkpassword"), "{failure}");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    std::fs::remove_file(dir.path().join("checkpassword")).unwrap();
    assert!(accounts.find(&address("alice@example.test")).unwrap_err().is_temporary());
    assert!(accounts.log_in(&address("alice@example.test"), "secret").unwrap_err().is_temporary());
    std::fs::write(site.root.etc.join("users"), "# em-users 1\nalice@example.test pw=%zz\n").unwrap();
    site.settings.accounts.directories = vec![DirectoryChoice::File];
    assert!(Accounts::of(&site).find(&address("alice@example.test")).unwrap_err().is_temporary());
}

#[test]
fn many_at_once_wait_for_their_turn() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = Accounts::of(&site(dir.path(), &["checkpassword:PROGRAM"]));
    std::thread::scope(|scope| {
        for number in 0..40 {
            let accounts = &accounts;
            scope.spawn(move || {
                let password = if number % 2 == 0 { "secret" } else { "wrong" };
                let granted = accounts.log_in(&address("alice@example.test"), password).unwrap();
                assert_eq!(granted.is_some(), number % 2 == 0);
            });
        }
    });
}

#[test]
fn a_list_has_what_each_directory_can_list_and_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("etc")).unwrap();
    let text = "# em-users 1\nalice@example.test\ndaemon@example.test name=Mine\n";
    std::fs::write(dir.path().join("etc/users"), text).unwrap();
    let list = |directories: &[&str]| Accounts::of(&site(dir.path(), directories)).list().unwrap();
    let (file, is_whole) = list(&["file"]);
    assert_eq!((file.len(), is_whole), (2, true));
    let (all, is_whole) = list(&["file", "system", "checkpassword:PROGRAM"]);
    assert!(!is_whole && all.is_sorted_by_key(Account::key));
    let source = |name: &str, all: &[Account]| {
        all.iter().find(|a| a.address == address(name)).map(|a| (a.source(), a.name().to_string()))
    };
    assert_eq!(source("daemon@example.test", &all), Some((Source::File, "Mine".to_string())));
    assert_eq!(source("bin@example.test", &all).map(|(source, _)| source), Some(Source::System));
    assert_eq!(source("root@example.test", &all), None);
    let (system, _) = list(&["system", "file"]);
    assert_eq!(source("daemon@example.test", &system).map(|(source, _)| source), Some(Source::System));
    let one = Accounts::of(&site(dir.path(), &["system"]));
    assert_eq!(
        one.find(&address("bin@example.test")).unwrap().as_deref(),
        system.iter().find(|a| a.address == address("bin@example.test"))
    );
}
