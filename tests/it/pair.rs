//! A front that everybody reaches and a box that nobody can connect to, paired by one command on each.

use super::wire::Client;
use super::world::{World, wait_until};

fn pair(front: &World, the_box: &World, more: &[&str]) -> std::process::Output {
    let text = front.ok("emd", &["pair", "front", "--domain", "home.test", "--host", "127.0.0.1"]);
    the_box.run_with("emd", &[&["pair", "box", "--every", "1s"][..], more].concat(), text.as_bytes())
}

#[test]
fn mail_comes_in_by_the_front_and_goes_out_by_it() {
    let (front, the_box) = (World::new(), World::empty());
    the_box.set("server.domains", r#"["box.test"]"#);
    let out = pair(&front, &the_box, &[]);
    assert!(out.status.success(), "{out:?}");
    the_box.add("carol@home.test", &[]);
    front.start();
    the_box.start();
    let mut client = Client::connect(front.address("smtp"));
    client.reply();
    for (command, code) in [
        ("EHLO client.test", "250"),
        ("MAIL FROM:<friend@far.test>", "250"),
        ("RCPT TO:<carol@home.test>", "250"),
        ("DATA", "354"),
        ("Subject: in\r\n\r\nhello\r\n.", "250"),
    ] {
        let reply = client.ask(command);
        assert!(reply.starts_with(code), "{command}: {reply}");
    }
    wait_until("mail in the box", || the_box.mailbox_of("home.test", "carol").len() == 1);
    assert!(the_box.mailbox_of("home.test", "carol")[0].contains("Subject: in"));
    wait_until("an empty queue at the front", || front.queued().is_empty());
    let out = the_box.run_with("emsend", &["-f", "carol@home.test", "alice@example.test"], b"Subject: out\n\nx\n");
    assert!(out.status.success(), "{out:?}");
    let text = &front.await_mail("alice", 1)[0];
    assert!(text.contains("Subject: out") && text.contains("ESMTPSA"), "{text}");
    assert!(!the_box.log().contains(&password(&the_box)) && !front.log().contains(&password(&the_box)));
}

fn password(the_box: &World) -> String {
    std::fs::read_to_string(the_box.path("etc/pair-password")).unwrap().trim().to_string()
}

#[test]
fn pairing_again_changes_the_password_alone_and_another_smart_host_is_not_lost() {
    let (front, the_box) = (World::new(), World::empty());
    the_box.set("server.domains", r#"["box.test"]"#);
    assert!(pair(&front, &the_box, &[]).status.success());
    let settings = |world: &World| std::fs::read_to_string(world.path("etc/em.toml")).unwrap();
    let (first, before) = (password(&the_box), (settings(&front), settings(&the_box)));
    assert!(pair(&front, &the_box, &[]).status.success());
    assert_ne!(first, password(&the_box));
    assert_eq!(before, (settings(&front), settings(&the_box)));
    let policies = std::fs::read_to_string(the_box.path("etc/tls-policies")).unwrap();
    assert_eq!(policies.matches("[127.0.0.1] fingerprint sha256:").count(), 1, "{policies}");
    the_box.set("relay.smart_host", "[other.test]:587");
    let out = pair(&front, &the_box, &[]);
    assert!(out.status.code() == Some(64) && String::from_utf8_lossy(&out.stderr).contains("--replace"), "{out:?}");
    assert!(pair(&front, &the_box, &["--replace"]).status.success());
    let ours = front.run("emd", &["pair", "front", "--domain", "example.test"]);
    assert!(String::from_utf8_lossy(&ours.stderr).contains("is delivered here"), "{ours:?}");
    assert_eq!(the_box.run_with("emd", &["pair", "box"], b"front = 1\n").status.code(), Some(65));
}
