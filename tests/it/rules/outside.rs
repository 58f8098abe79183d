//! Maps that ask the world: programs, socketmap servers, DNS; beside Debian's sendmail, and in a running service.

use super::super::name_server::{NameServer, Says, a, cname, mx, name, nobody, nothing, txt};
use super::super::world::{World, bin, feed, has};
use super::sendmail::Bed;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::PTR;
use hickory_resolver::proto::rr::{RData, RecordType};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// A socketmap server that says of each key what its name is.
fn socketmap(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut got = Vec::new();
                let mut piece = [0; 1000];
                while let Ok(n @ 1..) = stream.read(&mut piece) {
                    got.extend_from_slice(&piece[..n]);
                    let Some(question) = got.strip_suffix(b",") else { continue };
                    let text = String::from_utf8_lossy(question).into_owned();
                    let key = text.split_once(' ').unwrap().1;
                    let answer = match key {
                        "value" => "OK a %0 %1 b",
                        "none" => "NOTFOUND ",
                        "temp" => "TEMP later",
                        "perm" => "PERM no",
                        "odd" => "what",
                        "empty" => "OK ",
                        _ => &format!("OK <{key}>"),
                    };
                    got.clear();
                    stream.write_all(format!("{}:{answer},", answer.len()).as_bytes()).unwrap();
                }
            });
        }
    });
}

const ZONE: &str = "$ORIGIN z.test.\n$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nwww CNAME real\nreal A 192.0.2.9\n\
    real A 192.0.2.10\nreal AAAA 2001:db8::9\nmx MX 10 m1\nmx MX 20 m2\nmx MX 30 m3\nm1 A 192.0.2.21\nm2 A 192.0.2.22\n\
    mxonly MX 5 m1\nnull MX 0 .\ntext TXT \"v=x; $y <a@b> (c)\"\ntexts TXT \"one\"\ntexts TXT \"two\"\n_s._tcp SRV 1 2 25 m1\n\
    empty TXT \"\"\n";

/// `DIR` stands for the folder.
const MAPS: &str = "V10/Berkeley\nO OperatorChars=.:%@!^/[]+\nO ServiceSwitchFile=DIR/switch\nO Timeout.resolver.retrans=1s\n\
    O Timeout.resolver.retry=1\nKresolved host -a<OKR> -T<TEMP>\nKa dns -R A -T<TMP>\nKaaaa dns -R AAAA\nKmx dns -R MX\n\
    Kmxs dns -R MX -z|\nKmx1 dns -R MX -z: -Z1\nKmx2 dns -R MX -Z2 -z:\nKtxt dns -R TXT\nKtxts dns -R TXT -z|\nKns dns -R NS\n\
    Kcname dns -R CNAME\nKsrv dns -R SRV\nKbase dns -R A -Bz.test\nKam dns -R A -m\nKaa dns -R A -aXX\nKbest bestmx\n\
    Kbests bestmx -z: -T<TMP>\nKsocket socket -T<TMP> unix:DIR/socket\nKsocketm socket -m -a+ local:DIR/socket\n\
    Kecho program /bin/echo\nKwords program /bin/echo one  two\nKlater program -T<TMP> DIR/later\nKgone program /nonexistent/program\n\
    Ktrue program /bin/true\nKfalse program /bin/false\nMlocal, P=/bin/sh, F=lsDFMAw5:/|@q, A=sh $u\n\
    Sbrackets\nR$*\t$: $[ $1 $]\nSdefault\nR$*\t$: $[ $1 $: default $]\nSresolve\nR$*\t$: $(resolved $1 $: <PERM> $)\n\
    Ssocket\nR$* $| $*\t$: $(socket $1 $@ $2 $: none $)\nSsocketm\nR$*\t$: $(socketm $1 $: none $)\n\
    Sbest\nR$*\t$: $(best $1 $: none $)\nSa\nR$*\t$: $(a $1 $: none $)\nStxt\nR$*\t$: $(txt $1 $: none $)\n\
    Slater\nR$*\t$: $(later $1 $: none $)\nSgone\nR$*\t$: $(gone $1 $: none $)\nSecho\nR$*\t$: $(echo $1 $: none $)\n";

const NAMES: [&str; 13] = [
    "real.z.test",
    "REAL.z.test",
    "real.z.test.",
    "www.z.test",
    "mx.z.test",
    "mxonly.z.test",
    "null.z.test",
    "text.z.test",
    "texts.z.test",
    "_s._tcp.z.test",
    "nosuch.z.test",
    "empty.z.test",
    "www.refused.org",
];

fn questions() -> String {
    let mut text = String::new();
    for map in
        ["a", "aaaa", "mx", "mxs", "mx1", "mx2", "txt", "cname", "srv", "am", "aa", "best", "bests", "host", "resolved"]
    {
        // Of another name of a host without MX records the model's bestmx says nothing.
        for name in NAMES.iter().filter(|name| !(map.starts_with("best") && name.starts_with("www.z"))) {
            text.push_str(&format!("/map {map} {name}\n"));
        }
    }
    for set in ["brackets", "default", "resolve", "best", "a", "txt"] {
        for name in NAMES.iter().filter(|name| !(set == "best" && name.starts_with("www.z"))) {
            text.push_str(&format!("{set} {name}\n"));
        }
    }
    for name in NAMES.iter().filter(|name| !name.starts_with("www.z")) {
        text.push_str(&format!("/mx {name}\n/canon {name}\n"));
    }
    for key in ["value", "VALUE", "none", "temp", "perm", "odd", "empty", "x@y"] {
        text.push_str(&format!("/map socket {key}\nsocket {key} $| arg\nsocketm {key}\n"));
    }
    for line in
        ["ns z.test", "base real", "base nosuch", "echo Key x", "words Key", "later x", "gone x", "true x", "false x"]
    {
        text.push_str(&format!("/map {line}\n"));
    }
    text + "later x\ngone x\necho a;b|c `d` $x\n/gethostbyname real.z.test\n"
}

#[test]
fn maps_of_the_world_give_the_answers_of_sendmail() {
    let Some(bed) = Bed::new() else { return };
    if !has("nsd") || !has("ip") || !nix::unistd::geteuid().is_root() {
        return println!("skipped: nsd or ip is not there, or we are not root");
    }
    // The users for programs come in here, too.
    let dir = tempfile::Builder::new().prefix("maps").tempdir_in("/var/lib").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = |name: &str| dir.path().join(name);
    let here = dir.path().display().to_string();
    std::fs::write(path("zone"), ZONE).unwrap();
    std::fs::write(path("outer"), "$ORIGIN example.com.\n$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n").unwrap();
    let nsd = format!(
        "server:\n  ip-address: 127.0.0.1\n  port: 53\n  username: \"\"\n  zonesdir: \"{here}\"\n  database: \"\"\n  pidfile: \"{here}/pid\"\n\
         \x20 logfile: \"{here}/log\"\n  xfrdfile: \"{here}/xfrd\"\nremote-control:\n  control-enable: no\n\
         zone:\n  name: z.test\n  zonefile: zone\nzone:\n  name: example.com\n  zonefile: outer\n"
    );
    std::fs::write(path("nsd.conf"), nsd).unwrap();
    std::fs::write(path("switch"), "hosts\tfiles dns\naliases\tfiles\n").unwrap();
    std::fs::write(path("maps.cf"), MAPS.replace("DIR", &here)).unwrap();
    std::fs::write(path("later"), "#!/bin/sh\nexit 75\n").unwrap();
    std::fs::set_permissions(path("later"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(bed.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    socketmap(&path("socket"));
    let script = format!(
        "ip link set lo up && rm -f {here}/pid && {{ nsd -d -c {here}/nsd.conf >/dev/null 2>&1 & }} && nsd=$! &&
         for n in 1 2 3 4 5 6 7 8 9 10; do [ -s {here}/pid ] && break; sleep 0.3; done; \"$@\"; status=$?; kill $nsd; exit $status"
    );
    std::fs::write(path("with-names"), format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path("with-names"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let questions = questions();
    let run = |program: &Path| {
        let mut command = bed.command(&path("with-names"));
        command.arg(program).args(["-bt", "-C"]).arg(path("maps.cf")).env_remove("EM_ROOT");
        let out = feed(&mut command, questions.as_bytes());
        String::from_utf8_lossy(&out.stdout).lines().map(str::to_string).collect::<Vec<_>>()
    };
    let (theirs, ours) = (run(&bed.sendmail()), run(&bin("emsend")));
    assert!(theirs.len() > 300, "{theirs:?}");
    for (line, (their, our)) in theirs.iter().zip(&ours).enumerate() {
        assert_eq!(our, their, "line {line}, behind {:?}", &ours[line.saturating_sub(2)..line]);
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn rules_are_traced_as_sendmail_traces_them() {
    let Some(bed) = Bed::new() else { return };
    let made = bed.generated(
        "OSTYPE(`linux')dnl\ndefine(`confDOMAIN_NAME',`mail.example.com')dnl\nMASQUERADE_AS(`example.com')dnl\n\
         FEATURE(`nocanonify')dnl\nMAILER(`local')dnl\nMAILER(`smtp')dnl\n",
    );
    std::fs::write(bed.path().join("test.cf"), made).unwrap();
    let mut input = String::new();
    for level in ["21", "21.2", "21.3", "21.4", "21.10", "21.12", "99.5", "21.0"] {
        input.push_str(&format!("-d{level}\n"));
        for address in ["alice", "joe@other.test", "a%b@mail.example.com", "h!u", "<>"] {
            input.push_str(&format!("3,0 {address}\n/parse {address}\n/try esmtp {address}\ncheck_rcpt {address}\n"));
        }
    }
    let run = |program: &Path| {
        let mut command = bed.command(program);
        command.args(["-bt", "-C"]).arg(bed.path().join("test.cf")).env_remove("EM_ROOT");
        let out = feed(&mut command, input.as_bytes());
        // The model tells of a macro on a left side as often as its search comes by; ours takes fewer steps.
        let is_of_search = |line: &&str| line.starts_with("rewrite: LHS");
        String::from_utf8_lossy(&out.stdout)
            .lines()
            .filter(|l| !is_of_search(l))
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    let (theirs, ours) = (run(&bed.sendmail()), run(&bin("emsend")));
    assert!(theirs.len() > 2000, "{}", theirs.len());
    for (line, (their, our)) in theirs.iter().zip(&ours).enumerate() {
        assert_eq!(our, their, "line {line}, behind {:?}", &ours[line.saturating_sub(3)..line]);
    }
    assert_eq!(ours.len(), theirs.len());
}

/// Names that the rules of a service look up.
fn zone(asked: &str, kind: RecordType) -> Says {
    match (asked, kind) {
        ("www.z.test", _) => Says::Chain(vec![
            ("www.z.test".to_string(), cname("real.z.test")),
            ("real.z.test".to_string(), a("192.0.2.9")),
        ]),
        ("real.z.test", RecordType::A) => Says::Records(vec![a("192.0.2.9")]),
        ("mx.z.test", RecordType::MX) => Says::Records(vec![mx(20, "b.z.test"), mx(10, "a.z.test")]),
        ("listed.rules.test", RecordType::TXT) => Says::Records(vec![txt(&["refused by the list"])]),
        ("9.2.0.192.in-addr.arpa", RecordType::PTR) => Says::Records(vec![RData::PTR(PTR(name("real.z.test")))]),
        ("broken.z.test", _) => Says::Code(ResponseCode::ServFail),
        (asked, _) if asked.ends_with("z.test") || asked.ends_with("rules.test") => nobody(),
        _ => nothing(),
    }
}

fn em_cf(world: &World, maps: &str, rules: &str) {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/em.cf")).unwrap();
    let (head, check) = text.split_once("Scheck_mail\n").unwrap();
    std::fs::write(world.path("etc/em.cf"), format!("{head}{maps}Scheck_mail\n{rules}{check}")).unwrap();
}

#[test]
fn rules_of_a_service_ask_names_programs_and_servers() {
    let server = NameServer::start(zone);
    let world = World::new();
    world.set("dns.servers", &server.address.to_string());
    world.set("dns.timeout", "300ms");
    world.set("dns.attempts", "1");
    world.set("dns.hosts", "");
    socketmap(&world.path("socket"));
    let maps = format!(
        "Klist dns -R TXT -Brules.test -T<later>\nKserver socket -T<later> unix:{}\nKprogram program /bin/sh {}\nKresolve host -T<later>\n",
        world.path("socket").display(),
        world.path("program").display(),
    );
    std::fs::write(world.path("program"), "[ \"$1\" = from@program.test ] && echo yes\nexit 0\n").unwrap();
    em_cf(
        &world,
        &maps,
        "R< $+ @ listed.test >\t$: listed $(list listed $: $)\n\
         Rlisted $+\t$#error $@ 5.7.1 $: \"550 list: \" $1\n\
         R< $+ @ server.test >\t$: server $(server $1 $: $)\n\
         Rserver $+\t$#error $@ 5.7.1 $: \"550 server: \" $1\n\
         R< $+ @ program.test >\t$: program $(program $1@program.test $: no $)\n\
         Rprogram yes\t$#error $@ 5.7.1 $: \"550 program says so\"\n\
         R< host @ $+ >\t$: host $(resolve $1 $: none $)\n\
         Rhost none\t$#error $@ 5.1.8 $: \"553 no such host\"\n\
         Rhost $+\t$#error $@ 5.7.1 $: \"550 it is \" $1\n",
    );
    assert_eq!(world.ok("emconf", &["check"]), "");
    world.start();
    let mut smtp = super::super::wire::Client::connect(world.address("smtp"));
    assert!(smtp.reply().starts_with("220"));
    assert!(smtp.ask("EHLO c.test").starts_with("250"));
    for (sender, wanted) in [
        ("x@listed.test", "550 5.7.1 list: refused by the list"),
        ("temp@server.test", "451 4.3.0 Try again later"),
        ("value@server.test", "550 5.7.1 server: a value b"),
        ("from@program.test", "550 5.7.1 program says so"),
        ("host@www.z.test", "550 5.7.1 it is real.z.test"),
        ("host@nosuch.z.test", "553 5.1.8 no such host"),
        ("host@broken.z.test", "451 4.3.0 Try again later"),
    ] {
        let said = smtp.ask(&format!("MAIL FROM:<{sender}>"));
        assert_eq!(said.trim_end(), wanted, "{sender}");
    }
    assert!(smtp.ask("MAIL FROM:<x@other.test>").starts_with("250"));
}

#[test]
fn a_map_of_class_syslog_writes_to_the_log_each_time() {
    let world = World::new();
    em_cf(&world, "Knote syslog -LNOTICE -D\n", "R$+\t$: $1 $(note seen $1 $)\n");
    let parse = "Sparse=0\nR$+ < @ $+ >\t$: $1 < @ $2 > $(note routed $1 $)";
    let text = std::fs::read_to_string(world.path("etc/em.cf")).unwrap();
    std::fs::write(world.path("etc/em.cf"), text.replace("Sparse=0", parse)).unwrap();
    assert_eq!(world.ok("emconf", &["check"]), "");
    let message = "MAIL FROM:<x@other.test>\r\nRCPT TO:<alice@example.test>\r\nRSET\r\n";
    let talk = format!("EHLO c.test\r\n{message}{message}QUIT\r\n");
    let out = super::super::world::feed(&mut world.command("emsmtp"), talk.as_bytes());
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(said.matches("250 2.1.5 ").count(), 2, "{said}");
    let log = world.log();
    for text in ["text=seen<x@other.test>", "text=\"routed alice\""] {
        assert_eq!(log.matches(&format!("event=rules map=note {text}")).count(), 2, "{text}: {log}");
    }
    // Who only asks makes no entry.
    world.ok("emsend", &["-bv", "alice@example.test"]);
    assert_eq!(world.log().matches("event=rules").count(), 4);
}
