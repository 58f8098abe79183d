//! Real clients: sieve-connect, sievelib (Python) and Net_Sieve (PHP, which Roundcube and Horde use).

use super::super::clients::{client, succeed, write};
use super::super::world::{World, feed, has};

const SCRIPT: &str = "require [\"fileinto\", \"copy\"];\nif header :contains \"subject\" \"Gr\u{fc}\u{df}e\" {\n    fileinto :copy \"x\";\n}\n";

/// Runs sieve-connect for bob, who has the secret of CRAM-MD5: it takes that wherever it is offered.
fn sieve_connect(world: &World, arguments: &[&str]) -> (bool, String) {
    let mut command = client(world, "sieve-connect");
    command.args(["--server", "127.0.0.1", "--nosrv", "--port", &world.port("managesieve")]);
    command.args(["--notlsverify", "--user", "bob@example.test", "--passwordfd", "0", "--noclearauth"]);
    let out = feed(command.args(arguments), b"demo\n");
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    (out.status.success(), said)
}

#[test]
fn sieve_connect_puts_checks_and_gets() {
    if !has("sieve-connect") {
        return;
    }
    let world = World::new();
    world.start();
    let good = write(&world, "good.sieve", SCRIPT).display().to_string();
    let wrong = write(&world, "wrong.sieve", "keep;\nif true { fooo; }\n").display().to_string();
    let run = |arguments: &[&str]| {
        let (is_done, said) = sieve_connect(&world, arguments);
        assert!(is_done, "{arguments:?}: {said}");
        said
    };
    run(&["--localsieve", &good, "--remotesieve", "a script", "--upload"]);
    run(&["--remotesieve", "a script", "--activate"]);
    assert!(run(&["--list"]).contains("\"a script\" ACTIVE"));
    assert_eq!(world.ok("emuser", &["sieve", "show", "bob"]).replace("\r\n", "\n"), SCRIPT);
    let back = world.path("home/back.sieve");
    run(&["--remotesieve", "a script", "--localsieve", back.to_str().unwrap(), "--download"]);
    assert_eq!(std::fs::read_to_string(back).unwrap().replace("\r\n", "\n"), SCRIPT);
    let (_, said) = sieve_connect(&world, &["--localsieve", &wrong, "--remotesieve", "wrong", "--upload"]);
    assert!(said.contains("line 2, column 11"), "{said}");
    assert_eq!(world.ok("emuser", &["sieve", "list", "bob"]), "* a script\n");
    run(&["--deactivate"]);
    run(&["--remotesieve", "a script", "--delete"]);
    assert_eq!(world.ok("emuser", &["sieve", "list", "bob"]), "");
}

#[test]
fn sievelib_goes_through_all_commands() {
    let test = "import sievelib.managesieve";
    if !has("python3") || !feed(std::process::Command::new("/usr/bin/python3").args(["-c", test]), b"").status.success()
    {
        println!("skipped: sievelib is not installed");
        return;
    }
    let world = World::new();
    world.set("auth.plaintext_without_tls", "loopback");
    world.start();
    let script = "
import sys
from sievelib.managesieve import Client
c = Client('127.0.0.1', int(sys.argv[1]))
assert not c.connect('alice@example.test', 'wrong', starttls=False, authmech='PLAIN')
c = Client('127.0.0.1', int(sys.argv[1]))
assert c.connect('alice@example.test', 'demo', starttls=False, authmech='PLAIN'), c.errmsg
assert 'fileinto' in c.get_sieve_capabilities()
assert c.havespace('m', 100)
assert c.checkscript('keep;')
assert not c.checkscript('kept;')
assert b'line 1, column 1' in c.errmsg, c.errmsg
assert c.putscript('m', 'keep;\\n# \\u00fc\\n'), c.errmsg
assert c.putscript('n', 'stop;')
assert c.setactive('m')
assert c.listscripts() == ('m', ['n']), c.listscripts()
assert c.getscript('m').rstrip('\\n') == 'keep;\\n# \\u00fc', repr(c.getscript('m'))
assert not c.deletescript('m')
assert c.renamescript('m', 'o')
assert c.setactive('')
assert c.deletescript('o') and c.deletescript('n')
assert c.listscripts() == (None, []) or c.listscripts() == ('', [])
c.logout()
";
    let mut command = client(&world, "/usr/bin/python3");
    succeed(command.args(["-c", script, &world.port("managesieve")]), b"");
}

#[test]
fn net_sieve_goes_through_all_commands() {
    if !has("php") || !std::path::Path::new("/usr/share/php/Net/Sieve.php").exists() {
        println!("skipped: Net_Sieve is not installed");
        return;
    }
    let world = World::new();
    world.start();
    let script = "
error_reporting(E_ALL & ~E_DEPRECATED & ~E_STRICT);
require 'Net/Sieve.php';
$s = new Net_Sieve();
$o = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false, 'allow_self_signed' => true]];
function ok($r) { if ($r instanceof PEAR_Error) { fwrite(STDERR, $r->getMessage().\"\\n\"); exit(1); } return $r; }
ok($s->connect('127.0.0.1', $argv[1], $o, true));
ok($s->login('alice@example.test', 'demo', 'PLAIN'));
ok($s->haveSpace('m', 100));
ok($s->installScript('m', \"keep;\\r\\n# \\u{fc}\\r\\n\", true));
if (ok($s->getActive()) !== 'm' || ok($s->listScripts()) !== ['m']) exit(2);
if (rtrim(ok($s->getScript('m'))) !== \"keep;\\r\\n# \\u{fc}\") exit(3);
$r = $s->installScript('n', 'kept;');
if (!($r instanceof PEAR_Error) || strpos($r->getMessage(), 'line 1, column 1') === false) exit(4);
if (!ok($s->hasExtension('vacation'))) exit(5);
ok($s->setActive(''));
ok($s->removeScript('m'));
ok($s->disconnect());
";
    let mut command = client(&world, "php");
    let port = world.port("managesieve");
    succeed(command.args(["-d", "include_path=/usr/share/php", "-r", script, "--", &port]), b"");
}
