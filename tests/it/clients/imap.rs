//! Clients that read by IMAP.

use super::*;
use crate::world::{bin, has, wait_until};
use std::collections::BTreeMap;
use std::path::Path;

/// What `tests/clients.sh` has put below target/clients.
fn installed(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(name);
    let parent = path.parent().map(Path::to_path_buf);
    parent.filter(|_| path.is_dir()).or_else(|| {
        println!("skipped: {name} is not installed");
        None
    })
}

/// `emlocal` for alice, as arguments of a script.
fn delivery(world: &World) -> [String; 5] {
    let root = world.root().display().to_string();
    [bin("emlocal").display().to_string(), "--root".into(), root, "-d".into(), "alice@example.test".into()]
}

fn running() -> World {
    let world = World::new();
    world.start();
    world
}

/// A message's number, by its subject, and the flags in its file's name.
fn letters(maildir: &Path) -> BTreeMap<usize, (PathBuf, String)> {
    let mut found = BTreeMap::new();
    for sub in ["new", "cur"] {
        for entry in std::fs::read_dir(maildir.join(sub)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let number = text.lines().find_map(|line| line.strip_prefix("Subject: ")?.parse().ok()).unwrap();
            let flags = path.to_str().unwrap().split_once(":2,").map_or("", |(_, flags)| flags).to_string();
            assert!(found.insert(number, (path, flags)).is_none(), "{number} is there twice");
        }
    }
    found
}

fn text_of(number: usize) -> String {
    format!("From: a@side.test\nSubject: {number}\nMessage-ID: <{number}@side.test>\n\nbody {number}\n.\n")
}

#[test]
fn imaplib() {
    if has("python3") {
        let world = running();
        python(&world, include_str!("with_imaplib.py"), &[&world.port("imap"), &world.port("imaps")]);
    }
}

#[test]
fn imapclient() {
    let Some(path) = installed("python/imapclient").filter(|_| has("python3")) else { return };
    let world = running();
    let mut command = client(&world, "python3");
    command.env("PYTHONPATH", path).arg("-c").arg(include_str!("with_imapclient.py")).arg(world.port("imap"));
    succeed(command.args(delivery(&world)), b"");
}

#[test]
fn imapflow() {
    let Some(path) = installed("node_modules/imapflow").filter(|_| has("node")) else { return };
    let world = running();
    let script = write(&world, "with_imapflow.js", include_str!("with_imapflow.js"));
    let mut command = client(&world, "node");
    command.env("NODE_PATH", path).arg(script).args([world.port("imap"), world.port("imaps")]);
    succeed(command.args(delivery(&world)), b"");
}

#[test]
fn curl() {
    if !has("curl") {
        return;
    }
    let world = running();
    let letter = letter("bob@example.test", "curl").replace('\n', "\r\n");
    let file = write(&world, "letter", &letter).display().to_string();
    let ask = |url: &str, extra: &[&str]| {
        let mut command = client(&world, "curl");
        succeed(command.args(["-sS", "-k", "-u", "bob@example.test:demo", url]).args(extra), b"")
    };
    let clear = format!("imap://127.0.0.1:{}", world.port("imap"));
    let tls = format!("imaps://127.0.0.1:{}", world.port("imaps"));
    let extras: [(&str, &[&str]); 4] = [
        (&clear, &["--login-options", "AUTH=CRAM-MD5"]),
        (&clear, &["--ssl-reqd", "--login-options", "AUTH=PLAIN"]),
        (&tls, &["--login-options", "AUTH=LOGIN"]),
        (&tls, &[]),
    ];
    for (count, (base, extra)) in extras.into_iter().enumerate() {
        ask(&format!("{base}/INBOX"), &[extra, &["-T", &file]].concat());
        let uid = count + 1;
        let got = ask(&format!("{base}/INBOX;UID={uid}"), extra);
        assert_eq!(got, letter, "{base} {extra:?}, byte for byte");
        let part = ask(&format!("{base}/INBOX;MAILINDEX={uid};SECTION=HEADER.FIELDS%20(SUBJECT)"), extra);
        assert_eq!(part, "Subject: curl\r\n\r\n");
        let numbers: String = (1..=uid).map(|n| format!(" {n}")).collect();
        assert_eq!(ask(&format!("{base}/INBOX?SUBJECT%20curl"), extra), format!("* SEARCH{numbers}\r\n"));
    }
    assert!(ask(&clear, &[]).contains("\"INBOX\""));
    let told = ask(&format!("{clear}/INBOX"), &["-X", "STORE 1 +FLAGS \\Deleted"]);
    assert!(told.contains("* 1 FETCH (UID 1 FLAGS (\\Deleted"), "{told}");
    ask(&format!("{tls}/INBOX"), &["-X", "EXPUNGE"]);
    assert_eq!(world.mailbox("bob").len(), 3);
}

#[test]
fn mutt() {
    read_and_file_with("mutt");
}

#[test]
fn neomutt() {
    read_and_file_with("neomutt");
}

/// mutt and its relatives: copies all letters, flags them, deletes the first.
fn read_and_file_with(program: &str) {
    if !has(program) || !has("script") {
        return;
    }
    let world = running();
    for number in 1..=3 {
        let text = text_of(number);
        assert!(world.run_with("emlocal", &["-d", "bob@example.test"], text.as_bytes()).status.success());
    }
    let url = format!("imap://127.0.0.1:{}", world.port("imap"));
    // It wants a terminal and keys.
    let keys = "<tag-pattern>~A<enter><tag-prefix><copy-message>=Copy<enter><tag-prefix><set-flag>!\
                <untag-pattern>~A<enter><delete-message><sync-mailbox><quit>";
    let config = format!(
        "set imap_user=bob@example.test imap_pass=demo ssl_starttls=no ssl_force_tls=no folder={url}\n\
         set delete=yes quit=yes sleep_time=0 wait_key=no confirmappend=no confirmcreate=no sort=mailbox-order\n\
         push \"<first-entry>{keys}\"\n"
    );
    let config = write(&world, "muttrc", &config);
    let mut command = client(&world, "script");
    let line = format!("stty rows 24 cols 80; {program} -n -F {} -f {url}/INBOX", config.display());
    succeed(command.env("TERM", "xterm").args(["-qec", &line, "/dev/null"]), b"");
    let bob = world.path("mail/example.test/bob/Maildir");
    wait_until("flags in the files' names", || letters(&bob).values().all(|(_, flags)| flags.contains('F')));
    assert_eq!(letters(&bob).len(), 2, "one is deleted");
    assert_eq!(letters(&bob.join(".Copy")).len(), 3);
}

#[test]
fn mbsync_both_ways() {
    if !has("mbsync") {
        return;
    }
    let world = running();
    let far = world.path("mail/example.test/alice/Maildir");
    let near = world.path("near");
    for dir in [&far, &near.join("INBOX")] {
        for sub in ["tmp", "new", "cur"] {
            std::fs::create_dir_all(dir.join(sub)).unwrap();
        }
    }
    // Half of the 500 letters are here, half are there.
    for number in 0..500 {
        let dir = if number % 2 == 0 { &far } else { &near.join("INBOX") };
        std::fs::write(dir.join(format!("new/{}.M{number}P1.host", 1_700_000_000 + number)), text_of(number)).unwrap();
    }
    let config = format!(
        "IMAPAccount a\nHost 127.0.0.1\nPort {}\nUser alice@example.test\nPass demo\nSSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount a\n\nMaildirStore near\nPath {near}/\nInbox {near}/INBOX\nSubFolders Verbatim\n\n\
         Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nRemove Both\nSyncState *\n\
         CopyArrivalDate yes\n",
        world.port("imap"),
        near = near.display()
    );
    let config = write(&world, "mbsyncrc", &config);
    let sync = || succeed(client(&world, "mbsync").arg("-c").arg(&config).args(["-q", "-a"]), b"");
    sync();
    let near = near.join("INBOX");
    let (here, there) = (letters(&near), letters(&far));
    assert_eq!((here.len(), there.len()), (500, 500));
    for (number, (path, _)) in here.iter().chain(&there) {
        let text = std::fs::read_to_string(path).unwrap();
        // mbsync leaves its mark in the copies that it makes.
        let lines: String = text.split_inclusive('\n').filter(|line| !line.starts_with("X-TUID: ")).collect();
        assert_eq!(lines, text_of(*number), "{}", path.display());
    }
    // Both sides change flags and remove letters.
    let change = |letters: &BTreeMap<usize, (PathBuf, String)>, rest: usize, flag: &str| {
        for (number, (path, _)) in letters {
            if number % 50 == rest {
                std::fs::remove_file(path).unwrap();
            } else if number % 5 == rest {
                let name = path.file_name().unwrap().to_str().unwrap().split(":2,").next().unwrap();
                std::fs::rename(path, path.parent().unwrap().with_file_name("cur").join(format!("{name}:2,{flag}")))
                    .unwrap();
            }
        }
    };
    change(&here, 0, "S");
    change(&there, 2, "F");
    sync();
    let flags = |dir: &Path| -> Vec<(usize, String)> { letters(dir).into_iter().map(|(n, (_, f))| (n, f)).collect() };
    let wanted: Vec<(usize, String)> = (0..500)
        .filter(|n| n % 50 != 0 && n % 50 != 2)
        .map(|n| (n, ["S", "", "F", "", ""][n % 5].to_string()))
        .collect();
    assert_eq!(flags(&near), wanted);
    wait_until("flags in the files' names", || flags(&far) == wanted);
    sync();
    assert_eq!((flags(&near), flags(&far)), (wanted.clone(), wanted), "another run changes nothing");
}

#[test]
fn offlineimap() {
    if !has("offlineimap") {
        return;
    }
    let world = running();
    for number in 1..=3 {
        let text = text_of(number);
        assert!(world.run_with("emlocal", &["-d", "alice@example.test"], text.as_bytes()).status.success());
    }
    let near = world.path("near");
    let config = format!(
        "[general]\nmetadata = {root}/meta\naccounts = a\nui = quiet\n\
         [Account a]\nlocalrepository = near\nremoterepository = far\n\
         [Repository near]\ntype = Maildir\nlocalfolders = {near}\n\
         [Repository far]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {port}\nremoteuser = alice@example.test\n\
         remotepass = demo\nssl = no\nstarttls = no\nauth_mechanisms = PLAIN\n",
        root = world.root().display(),
        near = near.display(),
        port = world.port("imap")
    );
    let config = write(&world, "offlineimaprc", &config);
    let sync = || succeed(client(&world, "offlineimap").arg("-o").arg("-c").arg(&config), b"");
    sync();
    let near = near.join("INBOX");
    let far = world.path("mail/example.test/alice/Maildir");
    for (number, (path, _)) in letters(&near) {
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, format!("Return-Path: <>\nDelivered-To: alice@example.test\n{}", text_of(number)));
    }
    let here = letters(&near);
    assert_eq!(here.len(), 3);
    let name = here[&1].0.file_name().unwrap().to_str().unwrap().split(":2,").next().unwrap().to_string();
    std::fs::rename(&here[&1].0, near.join("cur").join(format!("{name}:2,FS"))).unwrap();
    std::fs::remove_file(&here[&2].0).unwrap();
    std::fs::write(near.join("new/4.up.host"), text_of(4)).unwrap();
    sync();
    wait_until("the changes", || letters(&far).get(&1).is_some_and(|(_, flags)| flags == "FS"));
    let there = letters(&far);
    assert_eq!(there.keys().collect::<Vec<_>>(), [&1, &3, &4]);
    assert!(std::fs::read_to_string(&there[&4].0).unwrap().ends_with("\n\nbody 4\n.\n"));
}
