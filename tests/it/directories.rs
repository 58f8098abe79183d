//! Accounts that etc/users does not have: a program with the checkpassword interface, the operating system, PAM.

use super::imap_wire::Imap;
use super::wire::Client;
use super::world::{World, has};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Knows carol@example.test and daemon with the password `demo`; is down while the file `down` lies beside it.
const PROGRAM: &str = r#"#!/bin/sh
{ IFS= read -r name; IFS= read -r password; } <<END
$(tr '\0' '\n' <&3)
END
here=$(dirname "$0")
echo "$AUTHORIZED $name $*" >>"$here/asked"
[ -e "$here/down" ] && exit 111
case "$name" in carol@example.test|daemon) ;; *) exit 3 ;; esac
[ "$AUTHORIZED" = 1 ] && AUTHORIZED=2 em_name='Carol Jones' exec "$@"
[ "$password" = demo ] || exit 1
exec "$@"
"#;

fn script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn world(directories: &[&str]) -> World {
    let world = World::new();
    script(&world.path("check"), PROGRAM);
    let program = world.path("check").display().to_string();
    let members: Vec<String> = directories.iter().map(|d| format!("{:?}", d.replace("PROGRAM", &program))).collect();
    world.set("accounts.directories", &format!("[{}]", members.join(", ")));
    world.set("accounts.system_uid_min", "1");
    world
}

fn rcpt(world: &World, address: &str) -> String {
    let mut smtp = Client::connect(world.address("smtp"));
    smtp.reply();
    smtp.ask("EHLO client.test");
    assert!(smtp.ask("MAIL FROM:<x@elsewhere.test>").starts_with("250"));
    smtp.ask(&format!("RCPT TO:<{address}>"))
}

fn pass(world: &World, user: &str, password: &str) -> String {
    let mut pop = Client::connect(world.address("pop3"));
    pop.line();
    pop.send(&format!("USER {user}\r\n"));
    pop.line();
    pop.send(&format!("PASS {password}\r\n"));
    pop.line()
}

#[test]
fn a_program_answers_look_ups_and_logins() {
    let world = world(&["file", "checkpassword:PROGRAM"]);
    world.ok("emconf", &["check"]);
    world.start();
    for (address, code) in [("carol@example.test", "250"), ("alice@example.test", "250"), ("dave@example.test", "550")]
    {
        assert!(rcpt(&world, address).starts_with(code), "{address}");
    }
    let letter = b"Subject: hello\n\nhello\n";
    assert!(world.run_with("emsend", &["-i", "carol@example.test"], letter).status.success());
    let mut imap = Imap::log_in(&world, "carol");
    assert!(imap.lines("SELECT INBOX").contains(&"1 EXISTS".to_string()));
    assert!(pass(&world, "carol@example.test", "demo").starts_with("+OK"));
    assert!(pass(&world, "carol@example.test", "wrong").starts_with("-ERR"));
    assert!(pass(&world, "alice@example.test", "demo").starts_with("+OK"));
    let shown = world.ok("emuser", &["show", "carol@example.test"]);
    assert!(shown.contains("Carol Jones") && shown.contains("program"), "{shown}");
    let asked = std::fs::read_to_string(world.path("asked")).unwrap();
    assert!(!asked.contains("demo") && !asked.contains("alice"), "{asked}");
    assert!(!world.log().contains("demo"));
}

#[test]
fn nothing_is_offered_that_such_accounts_can_not_use() {
    let world = world(&["file", "checkpassword:PROGRAM"]);
    world.set("auth.plaintext_without_tls", "always");
    world.start();
    let mut imap = Imap::connect(world.address("imap"));
    let told = imap.lines("CAPABILITY").concat();
    assert!(told.contains("AUTH=PLAIN") && !told.contains("SCRAM") && !told.contains("CRAM"), "{told}");
}

#[test]
fn a_program_that_is_down_delays_mail_and_loses_none() {
    let world = world(&["file", "checkpassword:PROGRAM"]);
    std::fs::write(world.path("down"), "").unwrap();
    world.start();
    assert!(rcpt(&world, "dave@example.test").starts_with("451"));
    assert!(rcpt(&world, "alice@example.test").starts_with("250"));
    let refused = pass(&world, "carol@example.test", "demo");
    assert!(refused.starts_with("-ERR [SYS/TEMP]"), "{refused}");
    assert!(world.log().contains("directory-failed"));
    std::fs::remove_file(world.path("down")).unwrap();
    assert!(rcpt(&world, "carol@example.test").starts_with("250"));
    assert!(pass(&world, "carol@example.test", "demo").starts_with("+OK"));
}

#[test]
fn accounts_of_the_system_have_mailboxes_here() {
    let world = world(&["file", "system:PROGRAM"]);
    world.start();
    assert!(world.run_with("emsend", &["-i", "daemon"], b"Subject: hello\n\nhello\n").status.success());
    assert_eq!(world.await_mail("daemon", 1).len(), 1);
    assert!(pass(&world, "daemon", "demo").starts_with("+OK"));
    assert!(pass(&world, "daemon", "other").starts_with("-ERR"));
    assert!(rcpt(&world, "root@example.test").starts_with("550"));
}

/// Real PAM, with a module that asks a script of ours.
#[test]
fn pam_checks_the_passwords_of_system_accounts() {
    let module =
        ["/lib/x86_64-linux-gnu/security", "/lib/aarch64-linux-gnu/security", "/usr/lib/security", "/lib64/security"];
    if !module.iter().any(|dir| Path::new(dir).join("pam_exec.so").exists()) || !has("python3") {
        println!("skipped: python3 or pam_exec.so is not installed");
        return;
    }
    let world = World::new();
    script(&world.path("right"), "#!/bin/sh\nread -r password; [ \"$PAM_USER $password\" = 'daemon demo' ]\n");
    let service = format!(
        "auth sufficient pam_exec.so quiet expose_authtok {}\nauth required pam_deny.so\naccount required pam_permit.so\n",
        world.path("right").display()
    );
    std::fs::write(world.path("em-test"), service).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pam/checkpassword-pam");
    let directory = format!("system:{} --confdir {} em-test", program.display(), world.root().display());
    world.set("accounts.directories", &format!("[\"file\", {directory:?}]"));
    world.set("accounts.system_uid_min", "1");
    world.start();
    assert!(pass(&world, "daemon", "demo").starts_with("+OK"));
    assert!(pass(&world, "daemon", "wrong").starts_with("-ERR [AUTH]"));
    assert!(pass(&world, "alice", "demo").starts_with("+OK"));
}

/// A hash of `Hello world!`.
const SHA512: &str =
    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";

#[test]
fn accounts_of_the_system_are_taken_over_once() {
    let world = World::new();
    let passwd = "root:x:0:0::/:/\nalice:x:1000:1000::/:/\nerin:x:1001:1::/:/\nfrank:x:1002:1:Frank Sun,,,:/:/\nnobody:x:65534:1::/:/\n";
    std::fs::write(world.path("passwd"), passwd).unwrap();
    std::fs::write(world.path("shadow"), format!("erin:{SHA512}:1::::::\nfrank:$1$md5$x:1::::::\n")).unwrap();
    let (passwd, shadow) = (world.path("passwd").display().to_string(), world.path("shadow").display().to_string());
    let arguments = ["takeover", "system", "--passwd", &passwd, "--shadow", &shadow];
    let plan = world.ok("emuser", &[arguments.as_slice(), &["--dry-run"]].concat());
    assert!(
        plan.contains("add erin@example.test\n") && plan.contains("2 accounts would be added, 1 were here"),
        "{plan}"
    );
    assert!(!world.ok("emuser", &["list"]).contains("erin"));
    // The same by the import, of the accounts of this machine; no sheet beside them.
    let plan = world.ok("emuser", &["import", "--system", "--min-uid", "60000", "--dry-run"]);
    assert!(plan.contains("0 accounts would be added, 0 were here"), "{plan}");
    assert_eq!(world.run("emuser", &["import", "--system", "x.csv"]).status.code(), Some(64));
    assert_eq!(world.run("emuser", &["import", "--min-uid", "5", "x.csv"]).status.code(), Some(64));
    assert_eq!(world.run("emuser", &["import"]).status.code(), Some(64));
    let told = world.ok("emuser", &arguments);
    assert!(told.contains("without password: frank@example.test: a hash that can't be checked here"), "{told}");
    assert!(world.ok("emuser", &arguments).contains("0 accounts added, 3 were here"));
    world.start();
    assert!(pass(&world, "erin", "Hello world!").starts_with("+OK"));
    assert!(pass(&world, "alice", "demo").starts_with("+OK"));
    assert!(world.ok("emuser", &["show", "frank@example.test"]).contains("Frank Sun"));
}

#[test]
fn files_of_dovecot_and_postfix_are_taken_over_whole_or_not_at_all() {
    let world = World::new();
    let file = world.path("passwd-file").display().to_string();
    let text = format!(
        "erin@example.test:{{SHA512-CRYPT}}{SHA512}::::::userdb_quota_rule=*:storage=3M\nfrank:{{PLAIN}}demo\n"
    );
    std::fs::write(&file, format!("{text}gina@elsewhere.test:x\n")).unwrap();
    let out = world.run("emuser", &["takeover", "dovecot", &file]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.code() == Some(65) && said.contains("passwd-file:3:1: elsewhere.test is not a domain"),
        "{said}"
    );
    assert!(!world.ok("emuser", &["list"]).contains("erin"));
    std::fs::write(&file, text).unwrap();
    assert!(world.ok("emuser", &["takeover", "dovecot", &file]).contains("2 accounts added"));
    assert!(world.ok("emuser", &["show", "erin@example.test"]).contains("3M"));
    let table = world.path("virtual").display().to_string();
    std::fs::write(&table, "henry@example.test example.test/henry/\nalice@example.test x\n").unwrap();
    let told = world.ok("emuser", &["takeover", "postfix-mailboxes", &table]);
    assert!(told.contains("1 accounts added, 1 were here"), "{told}");
    std::fs::write(&table, "sales@example.test alice@example.test, henry\n@example.test bob\n").unwrap();
    let aliases = world.ok("emuser", &["takeover", "postfix-aliases", &table]);
    assert_eq!(aliases, "sales@example.test: alice@example.test, henry\n@example.test: bob\n");
    std::fs::write(world.path("etc/aliases"), aliases).unwrap();
    world.ok("emconf", &["check"]);
    world.start();
    assert!(pass(&world, "frank", "demo").starts_with("+OK"));
    assert!(rcpt(&world, "sales@example.test").starts_with("250"));
}
