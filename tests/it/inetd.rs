//! Under inetd and xinetd: one process a connection, the socket on standard input and output.

use super::clients::{client, letter, succeed, write};
use super::wire::Client;
use super::world::{World, feed, free_port, has, wait_until};
use std::process::{Child, Command, Stdio};

/// The services tried: name, program, port.
fn services() -> Vec<(&'static str, &'static str, u16)> {
    [
        ("smtp", "emsmtp"),
        ("submissions", "emsmtp"),
        ("pop3", "empop"),
        ("pop3s", "empop"),
        ("poppass", "empass"),
        ("managesieve", "emsieve"),
    ]
    .map(|(service, program)| (service, program, free_port()))
    .to_vec()
}

fn arguments(world: &World, service: &str, program: &str) -> String {
    let service =
        if ["empass", "emsieve"].contains(&program) { String::new() } else { format!(" --service {service}") };
    format!("--root {}{service}", world.root().display())
}

fn own_name() -> String {
    nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name
}

/// A super-server that ends with the test.
struct SuperServer(Child);

impl SuperServer {
    fn start(command: &mut Command, services: &[(&str, &str, u16)]) -> SuperServer {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = SuperServer(child);
        for (service, _, port) in services {
            wait_until(service, || std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok());
        }
        server
    }
}

impl Drop for SuperServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In by SMTP and with TLS, out by POP3 and with TLS, a changed password.
fn mail_goes_through(world: &World, services: &[(&str, &str, u16)]) {
    let address = |name: &str| {
        let port = services.iter().find(|(service, ..)| *service == name).unwrap().2;
        std::net::SocketAddr::from(([127, 0, 0, 1], port))
    };
    let mut smtp = Client::connect(address("smtp"));
    assert!(smtp.reply().starts_with("220 mail.example.test ESMTP"));
    assert!(smtp.ask("EHLO client.test").starts_with("250"));
    smtp.send("MAIL FROM:<out@side.test>\r\nRCPT TO:<nobody@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n");
    let codes: Vec<String> = (0..4).map(|_| smtp.reply()[..3].to_string()).collect();
    assert_eq!(codes, ["250", "550", "250", "354"]);
    smtp.send(&letter("bob@example.test", "first").replace('\n', "\r\n").replace("\r\n.", "\r\n.."));
    assert!(smtp.ask(".").starts_with("250 2.0.0 Ok"));
    assert!(smtp.ask("QUIT").starts_with("221"));
    assert_eq!(smtp.rest(), "", "the process ends");

    let texts = world.await_mail("bob", 1);
    // Its name is what the machine's hosts file says.
    let from = texts[0].lines().find(|line| line.starts_with("Received: from client.test (")).unwrap_or_default();
    assert!(from.contains("[127.0.0.1])"), "inetd's peer is known: {}", texts[0]);
    if has("curl") {
        let text = letter("bob@example.test", "second").replace('\n', "\r\n");
        let letter = write(world, "letter", &text).display().to_string();
        let mut send = client(world, "curl");
        send.args(["-sS", "-k", &format!("smtps://{}", address("submissions")), "-T", &letter]);
        send.args(["--mail-from", "alice@example.test", "--mail-rcpt", "bob@example.test"]);
        succeed(send.args(["-u", "alice@example.test:demo", "--login-options", "AUTH=PLAIN"]), b"");
        let texts = world.await_mail("bob", 2);
        for (scheme, number) in [("pop3", 1), ("pop3s", 2)] {
            let mut get = client(world, "curl");
            get.args(["-sS", "-k", "-u", "bob@example.test:demo", &format!("{scheme}://{}/{number}", address(scheme))]);
            let out = feed(&mut get, b"");
            assert_eq!(
                String::from_utf8_lossy(&out.stdout),
                texts[number - 1].replace('\n', "\r\n"),
                "{scheme}: {out:?}"
            );
        }
    }
    let mut sieve = Client::connect(address("managesieve"));
    while !sieve.line().starts_with("OK") {}
    sieve.send("LOGOUT\r\n");
    assert!(sieve.rest().starts_with("OK"));
    let mut pass = Client::connect(address("poppass"));
    assert!(pass.line().starts_with("200 "));
    for (command, code) in
        [("USER alice@example.test", "300"), ("PASS demo", "200"), ("NEWPASS another-one", "200"), ("QUIT", "200")]
    {
        let reply = pass.ask(command);
        assert!(reply.starts_with(code), "{command}: {reply}");
    }
    let mut pop = Client::connect(address("pop3"));
    pop.line();
    pop.send("USER alice\r\nPASS another-one\r\nQUIT\r\n");
    assert!(pop.rest().contains("+OK 0 messages"));
}

#[test]
fn openbsd_inetd() {
    if !has("inetd") {
        return;
    }
    let world = World::new();
    let services = services();
    let mut config = String::new();
    for (service, program, port) in &services {
        let path = super::world::bin(program);
        config.push_str(&format!(
            "127.0.0.1:{port} stream tcp nowait {} {} {program} {}\n",
            own_name(),
            path.display(),
            arguments(&world, service, program)
        ));
    }
    let config = write(&world, "inetd.conf", &config);
    let _server = SuperServer::start(Command::new("/usr/sbin/inetd").arg("-d").arg(config), &services);
    mail_goes_through(&world, &services);

    // Standard error is the peer's connection, too: our own troubles are not its business.
    std::fs::write(world.path("etc/em.toml"), "[smtp]\nno_such_key = 1\n").unwrap();
    let smtp = Client::connect(([127, 0, 0, 1], services[0].2).into());
    assert_eq!(smtp.rest(), "");
}

#[test]
fn xinetd() {
    let unpacked = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients/xinetd/usr/sbin/xinetd");
    let program = [unpacked, "/usr/sbin/xinetd"].into_iter().find(|p| std::path::Path::new(p).exists());
    let Some(xinetd) = program else {
        println!("skipped: xinetd is not installed");
        return;
    };
    let world = World::new();
    let services = services();
    let mut config = String::from("defaults\n{\n\tinstances = 60\n\tcps = 1000 1\n}\n");
    for (service, program, port) in &services {
        config.push_str(&format!(
            "service em-{service}\n{{\n\ttype = UNLISTED\n\tsocket_type = stream\n\tprotocol = tcp\n\twait = no\n\
             \tbind = 127.0.0.1\n\tport = {port}\n\tuser = {}\n\tserver = {}\n\tserver_args = {}\n}}\n",
            own_name(),
            super::world::bin(program).display(),
            arguments(&world, service, program)
        ));
    }
    let config = write(&world, "xinetd.conf", &config);
    let pid = world.path("xinetd.pid");
    let mut command = Command::new(xinetd);
    command.arg("-dontfork").arg("-f").arg(config).arg("-pidfile").arg(pid);
    let _server = SuperServer::start(&mut command, &services);
    mail_goes_through(&world, &services);
}
