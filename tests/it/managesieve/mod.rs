//! Sieve scripts over the wire (RFC 5804) and from the shell: put, checked, listed, activated, read, deleted.

mod clients;
mod james;
mod wire;

use super::wire::Tls;
use super::world::World;
use wire::{Response, Sieve, plain};

fn open() -> World {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "always");
    world
}

fn alice(world: &World) -> Sieve {
    let mut sieve = Sieve::connect(world.address("managesieve"));
    sieve.log_in("alice@example.test", "demo");
    sieve
}

fn words(text: &str) -> Response {
    Response::Words(text.to_string())
}

#[test]
fn scripts_are_files_beside_the_mailbox() {
    let world = open();
    world.start();
    let mut sieve = alice(&world);
    sieve.ok("PUTSCRIPT \"Urlaub/2026\" {13+}\r\nkeep; # away\n");
    sieve.ok("PUTSCRIPT \"main\" \"keep;\"");
    sieve.ok("SETACTIVE \"Urlaub/2026\"");
    let dir = world.path("mail/example.test/alice/sieve");
    assert_eq!(std::fs::read_to_string(dir.join("active")).unwrap(), "keep; # away\n");
    assert_eq!(std::fs::read_link(dir.join("active")).unwrap().to_str(), Some("Urlaub%2f2026.sieve"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&dir.join("main.sieve").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // Another session, and the shell, see the same.
    assert_eq!(alice(&world).ok("LISTSCRIPTS"), [words("Urlaub/2026 ACTIVE"), words("main")]);
    assert_eq!(world.ok("emuser", &["sieve", "list", "alice"]), "* Urlaub/2026\n  main\n");
    assert_eq!(sieve.no("DELETESCRIPT \"Urlaub/2026\""), "ACTIVE");
    sieve.ok("RENAMESCRIPT \"Urlaub/2026\" \"away\"");
    assert_eq!(std::fs::read_to_string(dir.join("active")).unwrap(), "keep; # away\n");
    sieve.ok("SETACTIVE \"\"");
    assert!(!dir.join("active").exists());
    assert_eq!(sieve.ok("GETSCRIPT \"away\""), [words("keep; # away\n")]);
    // Bob's are his own.
    let mut bob = Sieve::connect(world.address("managesieve"));
    bob.log_in("bob", "demo");
    assert_eq!(bob.ok("LISTSCRIPTS"), []);
    assert_eq!(bob.no("GETSCRIPT \"../../alice/sieve/away\""), "NONEXISTENT");
}

#[test]
fn quotas_are_the_sites() {
    let world = open();
    world.set("managesieve.max_scripts", "2");
    world.set("managesieve.max_script_size", "100");
    world.start();
    let mut sieve = alice(&world);
    sieve.ok("PUTSCRIPT \"1\" \"keep;\"");
    sieve.ok("PUTSCRIPT \"2\" \"keep;\"");
    assert_eq!(sieve.no("PUTSCRIPT \"3\" \"keep;\""), "QUOTA/MAXSCRIPTS");
    assert_eq!(sieve.no("HAVESPACE \"3\" 5"), "QUOTA/MAXSCRIPTS");
    assert_eq!(sieve.no("HAVESPACE \"2\" 101"), "QUOTA/MAXSIZE");
    sieve.ok("HAVESPACE \"2\" 100");
    let large = format!("PUTSCRIPT \"2\" {{101+}}\r\nkeep;{}", " ".repeat(96));
    assert_eq!(sieve.no(&large), "QUOTA/MAXSIZE");
    assert_eq!(sieve.ok("GETSCRIPT \"2\""), [words("keep;")], "the old one stays");
}

#[test]
fn a_large_script_comes_back_as_it_was() {
    let world = open();
    world.start();
    let mut sieve = alice(&world);
    let script = format!("keep;\r\n{}", "# a line of a long comment, again and again\r\n".repeat(23_000));
    assert!((1_000_000..1 << 20).contains(&script.len()));
    sieve.ok(&format!("PUTSCRIPT \"large\" {{{}+}}\r\n{script}", script.len()));
    assert_eq!(sieve.ok("GETSCRIPT \"large\""), [words(&script)]);
}

#[test]
fn starttls_then_everything() {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "never");
    world.start();
    let mut tls = Tls::connect(world.address("managesieve"), b"");
    let mut greeting = Vec::new();
    while !greeting.last().is_some_and(|line: &String| line.starts_with("OK")) {
        greeting.push(tls.line());
    }
    assert!(greeting.contains(&"\"STARTTLS\"".to_string()), "{greeting:?}");
    assert!(!greeting.iter().any(|line| line.starts_with("\"SASL\"") && line.contains("PLAIN")), "{greeting:?}");
    tls.send(&format!("AUTHENTICATE \"PLAIN\" \"{}\"\r\n", plain("alice", "demo")));
    assert!(tls.line().starts_with("NO (ENCRYPT-NEEDED)"));
    tls.send("STARTTLS\r\n");
    assert!(tls.line().starts_with("OK"));
    tls.start();
    // RFC 5804 §2.2: the capabilities come by themselves.
    let mut told = Vec::new();
    while !told.last().is_some_and(|line: &String| line.starts_with("OK")) {
        told.push(tls.line());
    }
    assert!(!told.contains(&"\"STARTTLS\"".to_string()), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("\"SASL\"") && line.contains("PLAIN")), "{told:?}");
    tls.send(&format!(
        "AUTHENTICATE \"PLAIN\" \"{}\"\r\nPUTSCRIPT \"a\" \"keep;\"\r\nLOGOUT\r\n",
        plain("alice", "demo")
    ));
    assert!((0..3).all(|_| tls.line().starts_with("OK")));
    assert_eq!(tls.line(), "");
}

#[test]
fn an_account_needs_the_service() {
    let world = open();
    world.ok("emuser", &["modify", "alice", "--services", "imap,pop3"]);
    world.start();
    let mut sieve = Sieve::connect(world.address("managesieve"));
    let command = format!("AUTHENTICATE \"PLAIN\" \"{}\"", plain("alice", "demo"));
    assert_eq!(sieve.no(&command), "");
    world.ok("emuser", &["modify", "alice", "--services", "imap,managesieve"]);
    sieve.ok(&command);
}

#[test]
fn the_shell_puts_and_chooses_scripts() {
    let world = World::new();
    let file = world.path("holiday.sieve");
    std::fs::write(&file, "require \"fileinto\";\nfileinto \"INBOX/x\";\n").unwrap();
    let path = file.to_str().unwrap();
    world.ok("emuser", &["sieve", "put", "alice", path]);
    assert_eq!(world.ok("emuser", &["sieve", "list", "alice@example.test"]), "  holiday\n");
    let out = world.run_with("emuser", &["sieve", "put", "alice", "-", "--name", "main", "--activate"], b"keep;\n");
    assert!(out.status.success(), "{out:?}");
    assert_eq!(world.ok("emuser", &["sieve", "show", "alice"]), "keep;\n");
    assert_eq!(world.ok("emuser", &["sieve", "show", "alice", "holiday"]), std::fs::read_to_string(&file).unwrap());
    assert_eq!(
        world.ok("emuser", &["sieve", "list", "alice", "--json"]),
        "{\"active\":false,\"name\":\"holiday\"}\n{\"active\":true,\"name\":\"main\"}\n"
    );
    world.ok("emuser", &["sieve", "activate", "alice", "holiday"]);
    world.ok("emuser", &["sieve", "delete", "alice", "main"]);
    let out = world.run("emuser", &["sieve", "delete", "alice", "holiday"]);
    assert_eq!(out.status.code(), Some(65), "{out:?}");
    world.ok("emuser", &["sieve", "deactivate", "alice"]);
    assert_eq!(world.run("emuser", &["sieve", "show", "alice"]).status.code(), Some(65));
    world.ok("emuser", &["sieve", "delete", "alice", "holiday"]);
    assert_eq!(world.ok("emuser", &["sieve", "list", "alice"]), "");
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let world = open();
    let file = world.path("wrong.sieve");
    std::fs::write(&file, "keep;\nfoo \"ü\";\n").unwrap();
    let out = world.run("emuser", &["sieve", "put", "alice", file.to_str().unwrap()]);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(65), "{said}");
    assert!(said.contains("wrong.sieve:2:1: ") && said.contains("\n 2 | foo \"ü\";\n   | ^"), "{said}");
    assert_eq!(world.run("emuser", &["sieve", "put", "alice", "/nowhere.sieve"]).status.code(), Some(66));
    assert_eq!(world.run("emuser", &["sieve", "put", "nobody", file.to_str().unwrap()]).status.code(), Some(67));
    assert_eq!(world.run("emuser", &["sieve", "put", "alice", "-"]).status.code(), Some(64));
    world.start();
    let mut sieve = alice(&world);
    for command in ["PUTSCRIPT \"x\"", "CHECKSCRIPT"] {
        sieve.send(format!("{command} \"keep; foo;\"\r\n").as_bytes());
        let line = sieve.line().unwrap();
        assert!(line.starts_with("NO \"line 1, column 7: "), "{line}");
    }
    assert_eq!(sieve.ok("LISTSCRIPTS"), [], "nothing of it was kept");
    sieve.ok("CHECKSCRIPT \"keep;\"");
    assert_eq!(sieve.ok("LISTSCRIPTS"), []);
}

#[test]
fn connections_are_counted() {
    let world = World::new();
    world.set("managesieve.connections_per_client", "1");
    world.start();
    // A look whether the server is up may still hold a place.
    let mut held = None;
    super::world::wait_until("a place", || {
        let mut sieve = Sieve::connect_unread(world.address("managesieve"));
        let is_open = matches!(sieve.reply().pop(), Some(Response::Status(word, _)) if word == "OK");
        held = is_open.then_some(sieve);
        is_open
    });
    let mut second = Sieve::connect_unread(world.address("managesieve"));
    assert_eq!(second.reply(), [Response::Status("BYE".into(), "TRYLATER".into())]);
    held.unwrap().ok("NOOP");
}
