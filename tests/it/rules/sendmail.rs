//! Beside Debian's sendmail: files that its m4 makes, a list of odd addresses, and line by line the same answers.
//!
//! Both programs run with a host name, a hosts file and a network of their own (unshare(1)): sendmail waits for minutes where the
//! machine's name has no dot, and asks whatever name server it finds.

use super::super::world::{bin, feed, has};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Eight ways to set a host up; `DIR` stands for the folder of the tables.
const CONFIGURATIONS: [&str; 8] = [
    "MAILER(`local')dnl\nMAILER(`smtp')dnl\n",
    "FEATURE(`use_cw_file')dnl\nFEATURE(`mailertable',`hash -o DIR/mailertable')dnl\n\
     FEATURE(`virtusertable',`hash -o DIR/virtusertable')dnl\nFEATURE(`access_db',`hash -o -T<TMPF> DIR/access')dnl\n\
     MAILER(`local')dnl\nMAILER(`smtp')dnl\n",
    "MASQUERADE_AS(`example.com')dnl\nFEATURE(`masquerade_envelope')dnl\nFEATURE(`masquerade_entire_domain')dnl\n\
     MASQUERADE_DOMAIN(`other.test')dnl\nEXPOSED_USER(`root')dnl\nFEATURE(`allmasquerade')dnl\n\
     MAILER(`local')dnl\nMAILER(`smtp')dnl\n",
    "define(`SMART_HOST',`relay.example.net')dnl\nFEATURE(`nocanonify')dnl\nFEATURE(`always_add_domain')dnl\n\
     MAILER(`local')dnl\nMAILER(`smtp')dnl\nMAILER(`uucp')dnl\n",
    "define(`LUSER_RELAY',`local:postmaster')dnl\ndefine(`MAIL_HUB',`hub.example.com')dnl\nLOCAL_USER(`root')dnl\n\
     FEATURE(`stickyhost')dnl\nFEATURE(`genericstable',`hash -o DIR/generics')dnl\nGENERICS_DOMAIN(`example.com')dnl\n\
     MAILER(`local')dnl\nMAILER(`smtp')dnl\n",
    "FEATURE(`nullclient',`hub.example.com')dnl\n",
    "FEATURE(`domaintable',`hash -o DIR/domaintable')dnl\nFEATURE(`redirect')dnl\nFEATURE(`relay_entire_domain')dnl\n\
     FEATURE(`access_db',`hash -o -T<TMPF> DIR/access')dnl\nFEATURE(`blocklist_recipients')dnl\n\
     FEATURE(`delay_checks')dnl\nFEATURE(`local_procmail')dnl\n\
     MAILER(`local')dnl\nMAILER(`smtp')dnl\nMAILER(`procmail')dnl\n",
    "define(`UUCP_RELAY',`uucp:uurelay')dnl\ndefine(`BITNET_RELAY',`bit.example.net')dnl\n\
     LOCAL_DOMAIN(`example.com example.org')dnl\nFEATURE(`preserve_local_plus_detail')dnl\n\
     FEATURE(`bestmx_is_local')dnl\nFEATURE(`badmx')dnl\n\
     MAILER(`local')dnl\nMAILER(`smtp')dnl\nMAILER(`uucp')dnl\nMAILER(`usenet')dnl\n",
];
const TABLES: [(&str, &str); 5] = [
    (
        "mailertable",
        "route.test esmtp:[127.0.0.2]\n.sub.test smtp:hub.sub.test\nerr.test error:5.7.0:550 no way\n\
         loc.test local:bob\n. relay:default.test\n",
    ),
    (
        "virtusertable",
        "joe@virt.test bob\n@virt.test %1@real.test\nann+*@virt.test ann%2@x.test\nbad@virt.test error:5.1.1:550 gone\n",
    ),
    (
        "access",
        "From:spam@bad.test REJECT\nTo:x@other.test ERROR:5.7.1:550 no\nConnect:10.0.0.1 REJECT\nConnect:10 RELAY\n\
         spam.test 550 go away\nTo:relay.test RELAY\ndisc.test DISCARD\n",
    ),
    ("generics", "alice alice.b@example.com\nbob@example.com b@other.test\n"),
    ("domaintable", "old.test new.test\n"),
];
const USERS: [&str; 12] =
    ["a", "alice", "joe.user", "\"q q\"", "a+b", "root", "postmaster", "a%h.test", "h!u", "u\\@x", "\"a@b\"", ""];
const HOSTS: [&str; 21] = [
    "",
    "vm",
    "localhost",
    "mail.example.com",
    "example.com",
    "other.test",
    "a.b.c.d",
    "[127.0.0.1]",
    "[10.1.2.3]",
    "[IPv6:::1]",
    "x.UUCP",
    "y.BITNET",
    "virt.test",
    "route.test",
    "h.sub.test",
    "err.test",
    "loc.test",
    "old.test",
    "REDIRECT",
    "example.com.",
    "relay.test",
];
const ODD: [&str; 54] = [
    "<>",
    "<a@b>",
    "<@a,@b:c@d>",
    "@a:b@c",
    "Joe <j@x.test>",
    "\"J. R\" <j@x.test>",
    "j@x.test (c)",
    "a@b@c",
    "h1!h2!u@d.test",
    "node::u",
    "list: a@b, c@d;",
    "a b",
    "a@",
    "@b",
    "@",
    ".",
    "a..b@c",
    "a@b..c",
    "%",
    "!",
    "a%b%c@mail.example.com",
    "u@[1.2.3",
    "u@1.2.3.4]",
    "|prog",
    "/file",
    ":include:/x",
    "\"|p x\"@vm",
    "é@x.test",
    ";",
    "a;b",
    "a,b",
    "\"",
    "(",
    "<",
    ">",
    "\\",
    "a\\ b@c",
    "$x@y",
    "a@b:c",
    "a:b@c",
    "a@*LOCAL*",
    "u@h.REDIRECT",
    "a%b@c%d",
    "!u@h",
    "h!@x",
    "a@.b",
    ".a@b",
    "\"\"@x",
    "a@[b",
    "a@b]",
    "((a)b)c@d",
    "a<b>c<d>",
    "+@x",
    "a++b@virt.test",
];

fn addresses() -> Vec<String> {
    let mut all = Vec::new();
    for user in USERS {
        all.extend(HOSTS.map(|host| if host.is_empty() { user.to_string() } else { format!("{user}@{host}") }));
    }
    all.retain(|address| !address.is_empty());
    all.extend(ODD.map(str::to_string));
    all.push(format!("{}@y", "x".repeat(200)));
    all
}

/// Each address resolved, and a part of them as senders and recipients, headers and envelopes, and before the checks.
fn input(addresses: &[String]) -> String {
    let mut text = String::new();
    for a in addresses {
        text.push_str(&format!("3,0 {a}\n/parse {a}\n"));
    }
    for flags in ["ES", "HS", "HR", "ER"] {
        text.push_str(&format!("/tryflags {flags}\n"));
        for a in addresses.iter().step_by(3) {
            text.push_str(&format!("/try esmtp {a}\n/try local {a}\n"));
        }
    }
    for a in addresses.iter().step_by(5) {
        text.push_str(&format!("check_rcpt {a}\ncheck_mail {a}\n"));
    }
    text + "check_relay foo.test $| 10.0.0.1\ncheck_compat a $| b\n=M\n=Sparse\n=S98\n=Scanonify\n"
}

/// A sendmail.cf that Debian's m4 makes of these lines; `None` where the packages are not there.
pub fn generated(lines: &str) -> Option<String> {
    let root = sendmail_root()?;
    let cf = root.join("usr/share/sendmail/cf");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("test.mc"), lines).unwrap();
    let define = format!("-D_CF_DIR_={}/", cf.display());
    let out = feed(packaged(&root, "m4").arg(define).arg(cf.join("m4/cf.m4")).arg(dir.path().join("test.mc")), b"");
    assert!(out.status.success(), "{out:?}");
    Some(String::from_utf8(out.stdout).unwrap())
}

/// Where Debian's packages are: named by EM_SENDMAIL_ROOT, unpacked by tests/clients.sh, or installed.
fn sendmail_root() -> Option<PathBuf> {
    let named = std::env::var_os("EM_SENDMAIL_ROOT").map(PathBuf::from);
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/sendmail");
    let whole = |root: &PathBuf| {
        ["usr/libexec/sendmail/sendmail", "usr/share/sendmail/cf/m4/cf.m4"].iter().all(|file| root.join(file).exists())
    };
    named.into_iter().chain([unpacked, "/".into()]).find(whole)
}

/// A command of the unpacked packages, with their libraries.
fn packaged(root: &Path, program: &str) -> Command {
    let inside = ["usr/bin", "usr/sbin", "usr/libexec/sendmail"].map(|dir| root.join(dir).join(program));
    let mut command = Command::new(inside.into_iter().find(|path| path.exists()).unwrap_or_else(|| program.into()));
    command.env("LD_LIBRARY_PATH", libraries(root)).env("LC_ALL", "C");
    command
}

fn libraries(root: &Path) -> PathBuf {
    root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH))
}

/// A shell in namespaces of its own that runs its arguments; the folder has the files of this host.
fn alone(dir: &Path) -> Command {
    const SCRIPT: &str = "hostname mail.example.com && for f in hosts resolv.conf nsswitch.conf; do
        mount --bind \"$0/$f\" /etc/$f || exit 99; done; exec \"$@\"";
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--uts", "--mount", "--net", "sh", "-c", SCRIPT]).arg(dir).env("LC_ALL", "C");
    command
}

/// The lines of an answer.
pub fn answers(out: &Output) -> Vec<String> {
    String::from_utf8_lossy(&out.stdout).lines().map(str::to_string).collect()
}

fn is_open_to_all(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0)
}

/// A folder in which sendmail and ours run beside each other.
pub struct Bed {
    root: PathBuf,
    dir: tempfile::TempDir,
}

impl Bed {
    /// Makes it; `None`, with a word, where that can't be done here.
    pub fn new() -> Option<Bed> {
        let Some(root) = sendmail_root() else {
            println!("skipped: sendmail-bin and sendmail-cf are not there");
            return None;
        };
        // sendmail warns of tables below a folder that everybody may write, as /tmp is.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        if dir.path().ancestors().any(is_open_to_all) {
            println!(
                "skipped: this tree lies below a folder that everybody may write, and sendmail reads no tables there"
            );
            return None;
        }
        for (name, text) in [
            ("hosts", "127.0.0.1 localhost\n127.0.0.1 mail.example.com mail\n"),
            ("resolv.conf", ""),
            ("nsswitch.conf", "hosts: files\npasswd: files\ngroup: files\nservices: files\n"),
            ("switch", "hosts\tfiles\naliases\tfiles\n"),
            // makemap wants some file of rules.
            ("empty.cf", ""),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        if !has("unshare") || !feed(alone(dir.path()).arg("true"), b"").status.success() {
            println!("skipped: there may be no namespaces here");
            return None;
        }
        Some(Bed { root, dir })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A sendmail.cf that m4 makes of these lines.
    pub fn generated(&self, lines: &str) -> Vec<u8> {
        std::fs::write(self.path().join("test.mc"), lines).unwrap();
        let cf = self.root.join("usr/share/sendmail/cf");
        let define = format!("-D_CF_DIR_={}/", cf.display());
        let mut m4 = packaged(&self.root, "m4");
        let out = feed(m4.arg(define).arg(cf.join("m4/cf.m4")).arg(self.path().join("test.mc")), b"");
        assert!(out.status.success(), "{out:?}");
        out.stdout
    }

    /// A program in namespaces of its own, with the packages' libraries.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = alone(self.path());
        command.arg("env").arg(format!("LD_LIBRARY_PATH={}", libraries(&self.root).display())).arg(program);
        command
    }

    /// The real one.
    pub fn sendmail(&self) -> PathBuf {
        self.root.join("usr/libexec/sendmail/sendmail")
    }
}

#[test]
fn generated_files_give_the_answers_of_sendmail() {
    let Some(bed) = Bed::new() else { return };
    let (root, dir) = (&bed.root, &bed.dir);
    let path = |name: &str| dir.path().join(name);
    for (name, text) in TABLES {
        std::fs::write(path(name), text).unwrap();
        let out = feed(
            packaged(root, "makemap").arg("-C").arg(path("empty.cf")).arg("hash").arg(path(name)),
            text.as_bytes(),
        );
        assert!(out.status.success(), "{out:?}");
    }
    let addresses = addresses();
    assert!(addresses.len() >= 300);
    let input = input(&addresses);
    for (number, lines) in CONFIGURATIONS.iter().enumerate() {
        // Neither side asks the DNS.
        let switch = path("switch");
        let head = format!(
            "OSTYPE(`linux')dnl\ndefine(`confSERVICE_SWITCH_FILE',`{}')dnl\ndefine(`confDOMAIN_NAME',`mail.example.com')dnl\n",
            switch.display()
        );
        let made = bed.generated(&(head + &lines.replace("DIR", &dir.path().display().to_string())));
        std::fs::write(path("test.cf"), made).unwrap();
        let run = |program: &Path| {
            let mut command = bed.command(program);
            command.args(["-bt", "-C"]).arg(path("test.cf")).env_remove("EM_ROOT");
            feed(&mut command, input.as_bytes())
        };
        let (theirs, ours) = (run(&bed.sendmail()), run(&bin("emsend")));
        assert_eq!(ours.status.code(), theirs.status.code(), "configuration {number}");
        let (theirs, ours) = (answers(&theirs), answers(&ours));
        assert!(theirs.len() > 20_000, "{:?}", theirs.last());
        for (line, (their, our)) in theirs.iter().zip(&ours).enumerate() {
            assert_eq!(our, their, "configuration {number}, line {line}");
        }
        assert_eq!(ours.len(), theirs.len(), "configuration {number}");
    }
}
