use super::*;
use crate::settings::{Root, Settings};
use std::io;

fn router(dir: &std::path::Path, aliases: &str, routes: &str) -> Router {
    let mut settings = Settings::default();
    settings.server.hostname = "mail.example.test".into();
    settings.server.domains = vec!["example.test".into(), "other.test".into()];
    let site = Site { root: Root::under(dir), settings };
    std::fs::create_dir_all(&site.root.etc).unwrap();
    std::fs::write(site.root.etc.join("aliases"), aliases).unwrap();
    std::fs::write(site.root.etc.join("routes"), routes).unwrap();
    let router = Router::new(Arc::new(site));
    router
        .users()
        .update(|all| {
            for name in ["alice@example.test", "bob@other.test", "carol@example.test"] {
                let account = crate::users::Account::new(&Address::parse(name).unwrap());
                all.insert(name.to_string(), account);
            }
            Ok::<_, io::Error>(())
        })
        .unwrap();
    router
}

fn resolve(router: &Router, address: &str) -> String {
    match router.resolve(&Address::parse(address).unwrap()) {
        Ok(list) => {
            let one = |d: &Delivery| {
                let owner = if d.sender.is_empty() { String::new() } else { format!(" from {}", d.sender) };
                format!("{}:{}{owner}", d.mailer.name(), d.user)
            };
            list.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Err(failure) => format!("{} {}", failure.code, failure.enhanced),
    }
}

#[test]
fn the_order_of_lookups() {
    let dir = tempfile::tempdir().unwrap();
    let aliases = "staff: alice, bob@other.test, alice\nalice+x: carol\nall@other.test: bob\nbob: \\bob, carol\n\
                   @other.test: carol\nprog: \"|/bin/cat -\"\nfile: /tmp/x\nnull: /dev/null\ngone: error:5.1.6 moved\n\
                   mixed: gone, alice\na: b\nb: a\ndead: nobody\nhalf: nobody, alice\n\
                   list: alice, ext@remote.test\nowner-list: carol\nalice: alice, carol\n";
    let routes = "remote.test esmtp:[192.0.2.1]:25\nbad.test error:5.7.1 no\n";
    let router = router(dir.path(), aliases, routes);
    for (address, wanted) in [
        ("Carol@Example.Test", "mailbox:carol@example.test"),
        ("carol+box@example.test", "mailbox:carol+box@example.test"),
        ("alice@example.test", "mailbox:alice@example.test mailbox:carol@example.test"),
        ("alice+x@example.test", "mailbox:carol@example.test"),
        ("all@other.test", "mailbox:bob@other.test mailbox:carol@example.test"),
        ("bob@other.test", "mailbox:bob@other.test mailbox:carol@example.test"),
        ("anyone@other.test", "mailbox:carol@example.test"),
        ("nobody@example.test", "550 5.1.1"),
        ("prog@example.test", "prog:/bin/cat -"),
        ("file@example.test", "file:/tmp/x"),
        ("null@example.test", "discard:"),
        ("gone@example.test", "550 5.1.6"),
        ("a@example.test", "550 5.4.6"),
        ("dead@example.test", "550 5.1.1"),
        ("x@remote.test", "smtp:x@remote.test"),
        ("x@bad.test", "550 5.7.1"),
        ("x@unknown.test", "550 5.4.4"),
        ("postmaster@example.test", "mailbox:postmaster@example.test"),
        ("Postmaster@mail.example.test", "mailbox:postmaster@example.test"),
        ("x@[192.0.2.7]", "smtp:x@[192.0.2.7]"),
    ] {
        assert_eq!(resolve(&router, address), wanted, "{address}");
    }
    let list = resolve(&router, "list@example.test");
    assert!(list.contains("smtp:ext@remote.test from owner-list@example.test"), "{list}");
    let half = resolve(&router, "half@example.test");
    assert!(half.contains("error:5.1.1") && half.contains("mailbox:carol"), "{half}");
    assert!(resolve(&router, "mixed@example.test").contains("error:5.1.6 moved"));
}

#[test]
fn no_address_trick_leaves_the_domain() {
    let dir = tempfile::tempdir().unwrap();
    let router = router(dir.path(), "", "* esmtp:[192.0.2.1]:25\n");
    for address in [
        "user%remote.test@example.test",
        "remote.test!user@example.test",
        "\"user@remote.test\"@example.test",
        "\"@remote.test:user\"@example.test",
        "\"|/bin/sh\"@example.test",
        "\"/etc/passwd\"@example.test",
        "\":include:/etc/passwd\"@example.test",
    ] {
        assert_eq!(resolve(&router, address), "550 5.1.1", "{address}");
    }
}

#[test]
fn included_files_and_their_mistakes() {
    let dir = tempfile::tempdir().unwrap();
    let members = dir.path().join("members");
    std::fs::write(&members, "# list\nalice\nbroken address here\n\ncarol@example.test, bob@other.test\n").unwrap();
    let router =
        router(dir.path(), &format!("list: :include:{}\nnone: :include:/nonexistent\n", members.display()), "");
    assert_eq!(
        resolve(&router, "list@example.test"),
        "mailbox:alice@example.test mailbox:carol@example.test mailbox:bob@other.test"
    );
    assert_eq!(resolve(&router, "none@example.test"), "451 4.2.4");
}

#[test]
fn a_broken_table_refuses_for_now() {
    let dir = tempfile::tempdir().unwrap();
    let router = router(dir.path(), "no colon here\n", "");
    assert_eq!(resolve(&router, "alice@example.test"), "451 4.3.5");
}

#[test]
fn every_decision_can_be_shown() {
    let dir = tempfile::tempdir().unwrap();
    let router = router(dir.path(), "# x\nstaff: alice\n", "");
    let mut steps = Steps::new();
    router.explain(&Address::parse("staff@example.test").unwrap(), &mut steps).unwrap();
    let text = steps.join("\n");
    assert!(text.contains("alias staff (etc/aliases line 2)") && text.contains("mailer mailbox"), "{text}");
}
