//! Maps of class ldap: a real directory (OpenLDAP's slapd) answers the rules as it answers sendmail's; one that is slow, gone or says
//! nonsense is a temporary failure.

use super::rules::sendmail::Bed;
use super::wire::Client;
use super::world::{World, bin, feed, free_port, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ENTRIES: &str = include_str!("ldap/entries.ldif");
const REFERRALS: &str = include_str!("ldap/referrals.ldif");
const SCHEMA: &str = include_str!("ldap/sendmail.schema");

/// Where OpenLDAP's server is: unpacked by tests/clients.sh, or installed; `None` with a word where it is not there.
fn openldap() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/openldap");
    let found = [unpacked, "/".into()].into_iter().find(|root| root.join("usr/sbin/slapd").exists());
    if found.is_none() {
        println!("skipped: slapd is not there");
    }
    found
}

/// A directory with our entries, in a folder.
struct Directory {
    root: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl Directory {
    /// Makes it; nothing runs yet.
    fn new(folder: &Path, port: u16) -> Option<Directory> {
        let root = openldap()?;
        let directory = Directory { root, folder: folder.to_path_buf(), port };
        let (here, base) = (folder.display(), directory.root.display());
        let schemas =
            ["core", "cosine", "inetorgperson", "misc"].map(|n| format!("include {base}/etc/ldap/schema/{n}.schema\n"));
        let conf = format!(
            "{}include {here}/sendmail.schema\nmodulepath {base}/usr/lib/ldap\nmoduleload back_mdb\npidfile {here}/slapd.pid\n\
             database mdb\nsuffix \"dc=example,dc=test\"\nrootdn \"cn=admin,dc=example,dc=test\"\nrootpw secret\ndirectory {here}/db\n\
             access to dn.subtree=\"ou=private,dc=example,dc=test\" by dn.exact=\"cn=reader,dc=example,dc=test\" read by * none\n\
             access to attrs=userPassword by anonymous auth by * none\naccess to * by * read\n\
             database mdb\nsuffix \"dc=second,dc=test\"\nrootdn \"cn=admin,dc=second,dc=test\"\ndirectory {here}/db2\n\
             access to * by * read\n",
            schemas.concat()
        );
        ["db", "db2"].iter().for_each(|name| std::fs::create_dir(folder.join(name)).unwrap());
        std::fs::write(folder.join("sendmail.schema"), SCHEMA).unwrap();
        std::fs::write(folder.join("slapd.conf"), conf).unwrap();
        std::fs::write(folder.join("1.ldif"), ENTRIES).unwrap();
        std::fs::write(folder.join("2.ldif"), REFERRALS.replace("PORT", &port.to_string())).unwrap();
        for (file, password) in [("pw", "readsecret\n"), ("wrong", "nope\n")] {
            std::fs::write(folder.join(file), password).unwrap();
            std::fs::set_permissions(folder.join(file), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        for number in ["1", "2"] {
            let mut add = directory.program("slapadd");
            let out = feed(add.args(["-n", number, "-l"]).arg(folder.join(number.to_string() + ".ldif")), b"");
            assert!(out.status.success(), "{out:?}");
        }
        Some(directory)
    }

    fn libraries(&self) -> PathBuf {
        self.root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH))
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.root.join("usr/sbin").join(name));
        command.env("LD_LIBRARY_PATH", self.libraries()).arg("-f").arg(self.folder.join("slapd.conf"));
        command
    }

    /// Starts the server, and waits until it listens.
    fn start(&self) -> Running {
        let mut command = self.program("slapd");
        command.args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{}", self.port)]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the directory", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        Running(child)
    }

    /// A script that runs its arguments beside the server, in whatever network it is run.
    fn script(&self) -> PathBuf {
        let text = format!(
            "#!/bin/sh\nip link set lo up && rm -f {here}/slapd.pid\nLD_LIBRARY_PATH={libraries} {slapd} -d 0 -f {here}/slapd.conf \
             -h 'ldap://127.0.0.1:{port}' >/dev/null 2>&1 &\nserver=$!\n\
             for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -s {here}/slapd.pid ] && break; sleep 0.2; done\n\
             \"$@\"; status=$?; kill $server; wait; exit $status\n",
            here = self.folder.display(),
            libraries = self.libraries().display(),
            slapd = self.root.join("usr/sbin/slapd").display(),
            port = self.port,
        );
        let path = self.folder.join("with-directory");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

/// A server that runs.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What both programs say, but for the system's words about a server that is not there.
fn said(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output).into_owned();
    let plain = |line: &str| match line.split_once("failed to ").and_then(|(_, rest)| rest.split_once(" in map ")) {
        Some((_, rest)) => {
            let map = rest.split(':').next().unwrap_or_default();
            line.split_once(&format!("{map}: ")).map_or(line, |(head, _)| head).to_string()
        }
        None => line.to_string(),
    };
    text.lines().filter(|line| !line.starts_with("WARNING: World writable")).map(plain).collect()
}

#[test]
fn directories_give_the_answers_of_sendmail() {
    let Some(bed) = Bed::new() else { return };
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: we are not root");
    }
    const PORT: u16 = 3890;
    let folder = bed.path().join("directory");
    std::fs::create_dir(&folder).unwrap();
    let Some(directory) = Directory::new(&folder, PORT) else { return };
    let here = folder.display().to_string();
    std::fs::write(folder.join("switch"), "hosts\tfiles\naliases\tfiles\n").unwrap();
    let filled = |text: &str| text.replace("DIR", &here).replace("PORT", &PORT.to_string());
    let script = directory.script();
    let routing = bed.generated(&filled(include_str!("ldap/routing.mc")));
    for (name, text, questions) in [
        ("maps", filled(include_str!("ldap/maps.cf")).into_bytes(), include_str!("ldap/maps.in")),
        ("classes", filled(include_str!("ldap/classes.cf")).into_bytes(), include_str!("ldap/classes.in")),
        ("routing", routing, include_str!("ldap/routing.in")),
    ] {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let run = |program: &Path| {
            let mut command = bed.command(&script);
            command.arg(program).args(["-bt", "-C"]).arg(&file).env_remove("EM_ROOT");
            feed(&mut command, questions.as_bytes())
        };
        let (theirs, ours) = (run(&bed.sendmail()), run(&bin("emsend")));
        assert_eq!(ours.status.code(), theirs.status.code(), "{name}");
        // Mistakes of the file go to standard error there.
        let (their_faults, our_faults) = (said(&theirs.stderr), said(&ours.stderr));
        let (theirs, ours) = (said(&theirs.stdout), said(&ours.stdout));
        let is_fault = |line: &&String| line.starts_with(&here);
        let faults =
            |err: &[String], out: &[String]| err.iter().chain(out).filter(is_fault).cloned().collect::<Vec<_>>();
        assert_eq!(faults(&our_faults, &ours), faults(&their_faults, &theirs), "{name}");
        let (theirs, ours) = (answers(&theirs, questions), answers(&ours, questions));
        assert!(theirs.len() > questions.lines().count(), "{name}: {theirs:?}");
        for (question, (their, our)) in [""].into_iter().chain(questions.lines()).zip(theirs.iter().zip(&ours)) {
            assert_eq!(our, their, "{name}: {question}");
        }
        assert_eq!(ours.len(), theirs.len(), "{name}");
    }
}

/// The answer to each question, behind the greeting; members of a class have no order.
fn answers(lines: &[String], questions: &str) -> Vec<Vec<String>> {
    let mut text =
        lines.iter().filter(|line| !line.starts_with('/')).fold(String::new(), |all, line| all + line + "\n");
    // An answer without lines: the next prompt stands behind its own.
    while text.contains("\n> > ") {
        text = text.replace("\n> > ", "\n> \n> ");
    }
    let blocks = text.split("\n> ").map(|block| block.lines().map(str::to_string).collect::<Vec<_>>());
    let mut blocks: Vec<_> = blocks.collect();
    for (block, question) in blocks.iter_mut().skip(1).zip(questions.lines()) {
        if question.starts_with("$=") {
            block.retain(|line| !line.is_empty());
            block.sort();
        }
    }
    blocks
}

/// Puts maps and rules for senders into the rules of a site.
fn em_cf(world: &World, maps: &str, rules: &str) {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/em.cf")).unwrap();
    let (head, check) = text.split_once("Scheck_mail\n").unwrap();
    std::fs::write(world.path("etc/em.cf"), format!("{head}{maps}Scheck_mail\n{rules}{check}")).unwrap();
}

/// What a service says to a sender, or at once.
fn answer_to(world: &World, sender: &str) -> String {
    let mut smtp = Client::connect(world.address("smtp"));
    let greeting = smtp.reply();
    if !greeting.starts_with("220") {
        return greeting.trim_end().to_string();
    }
    assert!(smtp.ask("EHLO c.test").starts_with("250"));
    smtp.ask(&format!("MAIL FROM:<{sender}>")).trim_end().to_string()
}

#[test]
fn a_service_asks_its_directory() {
    let world = World::new();
    let folder = world.path("directory");
    std::fs::create_dir(&folder).unwrap();
    let Some(directory) = Directory::new(&folder, free_port()) else { return };
    let running = directory.start();
    let maps = format!(
        "O LDAPDefaultSpec=-h 127.0.0.1 -p {} -b dc=example,dc=test -c 2\nKwho ldap -T<later> -k (mail=%0) -v uid\n\
         Khidden ldap -k (uid=%0) -v mail -d cn=reader,dc=example,dc=test -P {}/pw\n\
         Kname ldap -k (uid=%0) -v sn\nF{{Routed}}@ldap:-k (cn=route2) -v sendmailMTAClassValue\n",
        directory.port,
        folder.display(),
    );
    em_cf(
        &world,
        &maps,
        "R< $+ @ example.test >\t$: who $(who $1@example.test $: none $)\n\
         Rwho none\t$#error $@ 5.1.8 $: \"553 nobody knows you\"\n\
         Rwho $+\t$#error $@ 5.7.1 $: \"550 you are \" $1\n\
         R< $+ @ hidden.test >\t$#error $@ 5.7.1 $: \"550 you are \" $(hidden $1 $: none $)\n\
         R< $+ @ name.test >\t$: name $(name $1 $: none $)\n\
         Rname none\t$#error $@ 5.1.8 $: \"553 nobody knows you\"\n\
         R< $+ @ $={Routed} >\t$#error $@ 5.7.1 $: \"550 routed\"\n",
    );
    assert_eq!(world.ok("emconf", &["check"]), "");
    world.start();
    let ask = |sender: &str| answer_to(&world, sender);
    for (sender, wanted) in [
        ("alice.a@example.test", "550 5.7.1 you are alice"),
        ("*@example.test", "553 5.1.8 nobody knows you"),
        ("hidden@hidden.test", "550 5.7.1 you are hidden@example.test"),
        ("x@indirect.test", "550 5.7.1 routed"),
        ("nobody@name.test", "553 5.1.8 nobody knows you"),
    ] {
        assert_eq!(ask(sender), wanted, "{sender}");
    }
    drop(running);
    assert_eq!(ask("alice.a@example.test"), "451 4.3.0 Try again later");
    assert!(world.log().contains("map who: 127.0.0.1:"), "{}", world.log());
    let _again = directory.start();
    // A directory that was not there is left alone for some seconds.
    wait_until("the directory to be asked again", || ask("alice.a@example.test") == "550 5.7.1 you are alice");
}

#[test]
fn mail_waits_while_a_class_has_no_answer() {
    let world = World::new();
    let folder = world.path("directory");
    std::fs::create_dir(&folder).unwrap();
    let Some(directory) = Directory::new(&folder, free_port()) else { return };
    let class = format!(
        "F{{Routed}}@ldap:-h 127.0.0.1 -p {} -b dc=example,dc=test -k (cn=route2) -v sendmailMTAClassValue\n",
        directory.port
    );
    em_cf(&world, &class, "R< $+ @ $={Routed} >\t$#error $@ 5.7.1 $: \"550 routed\"\n");
    let out = world.run("emconf", &["check"]);
    let told = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && told.contains("fileclass: F{Routed}: map open failed: map Routed: "), "{told}");
    world.start();
    assert!(answer_to(&world, "x@indirect.test").starts_with("421 4.3.5"));
    let running = directory.start();
    wait_until("the class", || answer_to(&world, "x@indirect.test") == "550 5.7.1 routed");
    drop(running);
    // What was read is kept.
    assert_eq!(answer_to(&world, "x@indirect.test"), "550 5.7.1 routed");
    // The file is read anew, and its directory takes connections but says nothing: nobody waits for it.
    let mut silent = None;
    wait_until("the port", || {
        silent = TcpListener::bind(("127.0.0.1", directory.port)).ok();
        silent.is_some()
    });
    em_cf(&world, &class, "R< $+ @ $={Routed} >\t$#error $@ 5.7.1 $: \"550 routed anew\"\n");
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(answer_to(&world, "x@indirect.test"), "550 5.7.1 routed");
    }
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn what_is_wrong_with_a_map_is_told_by_the_check() {
    let world = World::new();
    std::fs::write(world.path("open"), "secret\n").unwrap();
    std::fs::set_permissions(world.path("open"), std::fs::Permissions::from_mode(0o666)).unwrap();
    let maps = format!(
        "Ka ldap -h h.test -k (uid=%0 -v mail\nKb ldap -h ldaps://h.test -d cn=x -P {} -k (uid=%0) -v mail\nKc nis passwd\n\
         Kd ldap -h h.test -d cn=x -P /nonexistent/file -k (uid=%0) -v mail -w 2\nKe ldap -h h.test:x -k (uid=%0) -v mail\n",
        world.path("open").display()
    );
    em_cf(&world, &maps, "");
    let out = world.run("emconf", &["check"]);
    let told = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    for wanted in [
        "map a: its filter is none (a closing bracket is missing): look-ups fail for now",
        "open: others may write it, or it is no file: look-ups fail for now",
        "map c: class nis is not served: look-ups fail for now",
        "map d: -w 2: version 3 is spoken in any case",
        "map d: its password goes to h.test:389 in clear: ldaps://HOST keeps it",
        "map d: /nonexistent/file: No such file or directory",
        "map e: server \"h.test:x\": no port: look-ups fail for now",
    ] {
        assert!(told.contains(wanted), "{wanted} in {told}");
    }
    em_cf(&world, "Kx ldap -v mail\n", "");
    let out = world.run("emconf", &["check"]);
    let told = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && told.contains("No filter given in map x"), "{told}");
}

/// An answer to a search with number 1: one entry with one mail address, and its end.
const ANSWER: &[u8] = b"\x30\x1b\x02\x01\x01\x64\x16\x04\x04dc=x\x30\x0e\x30\x0c\x04\x04mail\x31\x04\x04\x02a@\
    \x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00";

/// A server that says the same to everybody who asks, hangs up or not, and goes on if it is to.
fn hostile(says: &'static [u8], hangs_up: bool, repeats: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut piece = [0; 1000];
                while let Ok(1..) = stream.read(&mut piece) {
                    while stream.write_all(says).is_ok() && repeats {}
                    if hangs_up {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[test]
fn servers_that_are_none_are_a_temporary_failure() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.cf");
    let mut text = String::from("V10/Berkeley\nMlocal, P=/bin/sh, F=lsDFMAw5:/|@q, A=sh $u\n");
    let mut questions = String::new();
    let cases: [(&str, &'static [u8], bool, bool, &str); 11] = [
        ("right", ANSWER, false, false, "returns a@ (0)"),
        ("closing", ANSWER, true, false, "returns a@ (0)"),
        ("web", b"HTTP/1.1 200 OK\r\n\r\n", false, false, "no match (75)"),
        ("silent", b"", false, false, "no match (75)"),
        ("gone", b"", true, false, "no match (75)"),
        ("half", &ANSWER[..20], true, false, "no match (75)"),
        ("halfslow", &ANSWER[..20], false, false, "no match (75)"),
        ("huge", b"\x30\x84\x7f\xff\xff\xff\x02\x01\x01", false, false, "no match (75)"),
        ("endless", &ANSWER[..29], false, true, "no match (75)"),
        ("other", b"\x30\x0c\x02\x01\x07\x65\x07\x0a\x01\x00\x04\x00\x04\x00", false, false, "no match (75)"),
        ("refusing", b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x32\x04\x00\x04\x00", false, false, "no match (75)"),
    ];
    for (name, says, hangs_up, repeats, _) in cases {
        let port = hostile(says, hangs_up, repeats);
        text.push_str(&format!("K{name} ldap -l 1 -h 127.0.0.1:{port} -b dc=x -k (uid=%0) -v mail\n"));
        questions.push_str(&format!("/map {name} key\n"));
    }
    // Twice over the connection that its server has closed in between.
    questions.push_str("/map closing key\n");
    std::fs::write(&file, text).unwrap();
    let started = Instant::now();
    let out =
        feed(Command::new(bin("emsend")).args(["-bt", "-C"]).arg(&file).env_remove("EM_ROOT"), questions.as_bytes());
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    for (name, _, _, _, answer) in cases {
        let at = told.find(&format!("map_lookup: {name} (key) ")).unwrap_or_else(|| panic!("{name} in {told}"));
        let end = told[at..].find("\n>").map_or(told.len(), |end| at + end);
        assert!(told[at..end].ends_with(answer), "{name}: {}", &told[at..end]);
    }
    assert_eq!(told.matches("closing (key) returns a@ (0)").count(), 2, "{told}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// A server with a certificate for `localhost` that answers every search alike; its authority's certificate.
fn with_tls() -> (u16, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_string()]).unwrap().signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream.unwrap());
            let mut piece = [0; 1000];
            while let Ok(1..) = tls.read(&mut piece) {
                let _ = tls.write_all(ANSWER).and_then(|()| tls.flush());
            }
        }
    });
    (port, authority.pem())
}

#[test]
fn tls_is_with_the_server_that_is_named_and_nobody_else() {
    let (port, authority) = with_tls();
    let world = World::new();
    std::fs::write(world.path("ca.pem"), authority).unwrap();
    let maps = format!(
        "Kright ldap -H ldaps://localhost:{port} -l 5 -b dc=x -k (uid=%0) -v mail\n\
         Kwrong ldap -H ldaps://127.0.0.1:{port} -l 5 -b dc=x -k (uid=%0) -v mail\n"
    );
    em_cf(&world, &maps, "");
    let ask = || {
        let out = feed(world.command("emsend").arg("-bt"), b"/map right x\n/map wrong x\n");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let told = ask();
    assert!(told.contains("right (x) no match (75)"), "an unknown authority: {told}");
    world.set("relay.ca_file", &world.path("ca.pem").display().to_string());
    let told = ask();
    assert!(told.contains("right (x) returns a@ (0)"), "{told}");
    assert!(told.contains("wrong (x) no match (75)"), "another name: {told}");
}
