use super::*;
use crate::rules::macros::Macros;
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
        .file()
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
        ("x@unknown.test", "smtp:x@unknown.test"),
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
    let steps = Steps::wanted();
    router.explain(&Address::parse("staff@example.test").unwrap(), &steps).unwrap();
    let text = steps.into_list().iter().map(Step::to_string).collect::<Vec<_>>().join("\n");
    assert!(text.contains("aliases:2: staff@example.test: alias staff") && text.contains("mailer mailbox"), "{text}");
}

#[test]
fn a_list_file_that_others_may_write_names_no_programs() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let members = dir.path().join("members");
    std::fs::write(&members, "alice\n\"|/bin/sh -c id\"\n/tmp/box\n").unwrap();
    let router = router(dir.path(), &format!("list: :include:{}\n", members.display()), "");
    let mode = |mode| std::fs::set_permissions(&members, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let safe = resolve(&router, "list@example.test");
    assert!(safe.contains("prog:/bin/sh -c id") && safe.contains("file:/tmp/box"), "{safe}");
    for unsafe_mode in [0o664, 0o646] {
        mode(unsafe_mode);
        let found = resolve(&router, "list@example.test");
        assert!(found.starts_with("mailbox:alice@example.test error:5.7.1"), "{found}");
        assert!(!found.contains("prog:") && !found.contains("file:"), "{found}");
    }
}

#[test]
fn a_list_without_members_is_not_a_way_to_lose_mail() {
    let dir = tempfile::tempdir().unwrap();
    let members = dir.path().join("members");
    let router = router(dir.path(), &format!("list: :include:{}\n", members.display()), "");
    for text in ["", "# nobody yet\n", "a broken line here\n"] {
        std::fs::write(&members, text).unwrap();
        assert_eq!(resolve(&router, "list@example.test"), "451 4.2.4", "{text:?}");
    }
}

#[test]
fn one_mailbox_gets_one_copy_by_whatever_ways() {
    let dir = tempfile::tempdir().unwrap();
    let aliases = "all: staff, alice, one, two\nstaff: alice, carol\nowner-staff: carol\none: \"|/bin/cat\"\ntwo: \"|/bin/cat\"\n";
    let router = router(dir.path(), aliases, "");
    assert_eq!(
        resolve(&router, "all@example.test"),
        "mailbox:alice@example.test from owner-staff@example.test \
         mailbox:carol@example.test from owner-staff@example.test prog:/bin/cat"
    );
}

#[test]
fn aliases_that_fan_out_at_each_step_take_linear_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut aliases: String = (0..18).map(|i| format!("a{i}: a{0}, b{0}\nb{i}: a{0}, b{0}\n", i + 1)).collect();
    aliases.push_str("a18: alice\nb18: carol\n");
    let router = router(dir.path(), &aliases, "");
    let started = std::time::Instant::now();
    assert_eq!(resolve(&router, "a0@example.test"), "mailbox:alice@example.test mailbox:carol@example.test");
    assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn a_quoted_local_part_is_no_address_and_no_domain() {
    let dir = tempfile::tempdir().unwrap();
    let aliases = "old@other.test: alice\n@other.test: carol\n";
    let router = router(dir.path(), aliases, "");
    for address in ["\"old@other.test\"@example.test", "\"@other.test\"@example.test"] {
        assert_eq!(resolve(&router, address), "550 5.1.1", "{address}");
    }
}

#[test]
fn the_owner_of_a_list_with_a_domain_is_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let aliases = "list@other.test: alice\nowner-list@other.test: bob\n";
    let router = router(dir.path(), aliases, "");
    assert_eq!(resolve(&router, "list@other.test"), "mailbox:alice@example.test from owner-list@other.test");
}

#[test]
fn what_the_rules_said_is_remembered_until_a_table_or_a_rule_changes() {
    let dir = tempfile::tempdir().unwrap();
    let router = router(dir.path(), "", "remote.test esmtp:[192.0.2.1]\n");
    let etc = dir.path().join("etc");
    let known = |address: &str| {
        let rules = router.rules.current().unwrap();
        let address = Address::parse(address).unwrap();
        let domain = address.domain().to_string();
        router.addresses.find(&rules, &address, |_| Some(())).is_some()
            || router.domains.find(&rules, &domain, |_| Some(())).is_some()
    };
    for address in ["carol@example.test", "x@remote.test"] {
        assert!(!known(address));
        let first = resolve(&router, address);
        assert!(known(address), "{address}");
        assert_eq!(resolve(&router, address), first);
    }
    let hop = |address: &str| {
        let delivery = router.resolve(&Address::parse(address).unwrap()).unwrap().remove(0);
        router.next_hop(&delivery).unwrap().1
    };
    assert_eq!(hop("x@remote.test"), "[192.0.2.1]");
    // One that was asked, and one that was not there.
    std::fs::write(etc.join("routes"), "remote.test esmtp:[192.0.2.99]\n").unwrap();
    assert!(!known("x@remote.test") && known("carol@example.test"));
    assert_eq!(hop("x@remote.test"), "[192.0.2.99]");
    std::fs::write(etc.join("virtusers"), "carol@example.test alice@example.test\n").unwrap();
    assert_eq!(resolve(&router, "carol@example.test"), "mailbox:alice@example.test");
    assert!(known("carol@example.test"));
    // A refusal is found out anew each time, and who wants to know why is told.
    std::fs::write(etc.join("routes"), "remote.test error:5.7.1 no\n").unwrap();
    assert_eq!((resolve(&router, "x@remote.test"), known("x@remote.test")), ("550 5.7.1".into(), false));
    let steps = Steps::wanted();
    router.explain(&Address::parse("carol@example.test").unwrap(), &steps).unwrap();
    assert!(steps.into_list().iter().any(|step| step.decider == Decider::Table));
    // Another file of rules; and rules that ask more than tables.
    std::fs::write(etc.join("em.cf"), BUILT_IN).unwrap();
    assert!(!known("carol@example.test"));
    let ours = "R$+ < @ $=w >\t\t$#local";
    assert!(BUILT_IN.contains(ours));
    let asking = format!("R$+ < @ $=w >\t\t$: $(user $1 $) < @ $2 >\n{ours}");
    let asking = BUILT_IN.replace("Sparse=0", "Kuser user\nSparse=0").replace(ours, &asking);
    std::fs::write(etc.join("em.cf"), asking).unwrap();
    assert_eq!(resolve(&router, "carol@example.test"), "mailbox:alice@example.test");
    assert!(!known("carol@example.test") && !known("alice@example.test"));
}

#[test]
fn a_verdict_is_remembered_for_one_client_sender_and_recipient_until_a_table_changes() {
    let dir = tempfile::tempdir().unwrap();
    let router = router(dir.path(), "", "");
    let etc = dir.path().join("etc");
    let check = |ip: &str, sender: &str, to: &str| {
        let sender = Address::parse(sender).ok();
        let client = Client { ip: ip.parse().ok(), ..Client::default() };
        let told = client.tell(sender.as_ref());
        let client = Client { told: Some(&told), ..client };
        let to = Address::parse(to).unwrap();
        let verdict = router.check_recipient(&client, sender.as_ref(), &to, &Steps::unwanted());
        let rules = router.rules.current().unwrap();
        let set = rules.sets.rcpt.unwrap();
        let key = (set, Box::from(format!("<{to}>").as_bytes()));
        let same = |macros: &Macros| (*macros == *told.macros()).then_some(());
        let is_known = router.verdicts.find(&rules, &key, |(macros, _)| same(macros)).is_some();
        let domain = (set, to.domain().to_string());
        let of_all = router.domain_verdicts.find(&rules, &domain, |(macros, _)| same(macros)).is_some();
        (verdict.map_or_else(|failure| failure.code, |_| 250), is_known || of_all)
    };
    let (from, to) = ("s@spam.test", "alice@example.test");
    assert_eq!(check("192.0.2.7", from, to), (250, true));
    // What is allowed to one is not allowed to another.
    let rows = "To:alice@example.test\tOK\nConnect:192.0.2.9\tRELAY\n";
    std::fs::write(etc.join("access"), rows).unwrap();
    assert_eq!(check("192.0.2.9", from, "x@remote.test"), (250, true));
    assert_eq!(check("192.0.2.7", from, "x@remote.test"), (550, false));
    assert_eq!(check("192.0.2.9", from, "x@remote.test"), (250, true));
    assert_eq!(check("192.0.2.9", "other@b.test", "x@remote.test"), (250, true));
    // A table that was asked has changed.
    std::fs::write(etc.join("access"), rows.replace("RELAY", "REJECT")).unwrap();
    assert_eq!(check("192.0.2.9", "other@b.test", "x@remote.test"), (550, false));
    std::fs::write(etc.join("relay-domains"), "remote.test\n").unwrap();
    assert_eq!(check("192.0.2.9", "other@b.test", "x@remote.test"), (250, true));
    std::fs::write(etc.join("relay-domains"), "other.test\n").unwrap();
    assert_eq!(check("192.0.2.9", "other@b.test", "x@remote.test"), (550, false));
}

/// Where tables have nothing to say, one user of a domain stands for all; where they have, for himself.
#[test]
fn what_holds_for_a_user_of_a_domain_holds_for_all_whom_no_table_names() {
    let dir = tempfile::tempdir().unwrap();
    let router = router(dir.path(), "", "remote.test esmtp:[192.0.2.1]\n.remote.test esmtp:[192.0.2.2]\n");
    let etc = dir.path().join("etc");
    // A program that asks a few times does without.
    let ask = || router.rules.current().unwrap().stranger("x", "remote.test").is_some();
    assert!(!ask() && (0..10).any(|_| ask()) && ask());
    let count = || (router.addresses.len(), router.domains.len());
    let hop = |address: &str| {
        let delivery = router.resolve(&Address::parse(address).unwrap()).unwrap().remove(0);
        (router.next_hop(&delivery).unwrap().1, delivery.user)
    };
    for user in ["x", "y", "postmaster", "a.very-long_name"] {
        assert_eq!(hop(&format!("{user}@remote.test")), ("[192.0.2.1]".into(), format!("{user}@remote.test")));
        assert_eq!(hop(&format!("{user}@a.remote.test")).0, "[192.0.2.2]");
        assert_eq!(count(), (0, 2), "{user}");
    }
    // A word of the rules, and what is more than a word, is looked at by itself.
    for (number, user) in ["local", "error", "\"a b\"", "A"].into_iter().enumerate() {
        assert_eq!(hop(&format!("{user}@remote.test")).1, format!("{user}@remote.test"));
        assert_eq!(count(), (number + 1, 2), "{user}");
    }
    std::fs::write(etc.join("virtusers"), "x@remote.test y@a.remote.test\n").unwrap();
    assert_eq!(hop("x@remote.test"), ("[192.0.2.2]".into(), "y@a.remote.test".into()));
    assert_eq!(hop("y@remote.test"), ("[192.0.2.1]".into(), "y@remote.test".into()));
    assert_eq!(count().1, 2);
    std::fs::remove_file(etc.join("virtusers")).unwrap();
    // Refusals too: a client that may send to one user of a domain may not send to all.
    let client = Client { ip: "192.0.2.7".parse().ok(), ..Client::default() };
    let told = client.tell(None);
    let client = Client { told: Some(&told), ..client };
    let check = |to: &str| {
        let to = Address::parse(to).unwrap();
        router.check_recipient(&client, None, &to, &Steps::unwanted()).map_or_else(|failure| failure.code, |_| 250)
    };
    assert_eq!((check("x@example.test"), router.domain_verdicts.len()), (550, 1));
    assert_eq!((check("alice@example.test"), check("x@remote.test")), (250, 550));
    std::fs::write(etc.join("access"), "To:x@remote.test\tRELAY\nTo:alice@example.test\tREJECT\n").unwrap();
    assert_eq!((check("x@remote.test"), check("y@remote.test")), (250, 550));
    assert_eq!((check("alice@example.test"), check("x@example.test")), (550, 550));
}
