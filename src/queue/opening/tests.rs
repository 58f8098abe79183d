//! Which host of a plan is taken, and what each of them was told.

use super::*;
use crate::sasl::{Channel, Dialog, Found, Mechanism, ScramKeys, Step};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

type Answer = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Hosts by the last number of their address.
#[derive(Clone, Default)]
struct Hosts {
    answers: BTreeMap<u8, Answer>,
    /// Hosts whose TLS works for anybody who does not look closely.
    tls: Vec<u8>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Hosts {
    fn with(mut self, host: u8, answer: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> Hosts {
        let standard = move |line: &str| match (answer(line), line.split(' ').next()) {
            (Some(own), _) => own.to_string(),
            (None, Some("EHLO")) => "250-peer\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN".to_string(),
            (None, Some("STARTTLS" | "CONNECT")) => "220 go on".to_string(),
            _ => "250 ok".to_string(),
        };
        self.answers.insert(host, Arc::new(standard));
        self
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

struct Talk {
    host: u8,
    hosts: Hosts,
    replies: Vec<u8>,
}

impl Talk {
    fn hear(&mut self, line: &str) {
        self.hosts.heard.lock().unwrap().push(format!("{} {line}", self.host));
        let reply = (self.hosts.answers[&self.host])(line);
        if !reply.is_empty() {
            self.replies.extend(format!("{reply}\r\n").bytes());
        }
    }
}

impl Net for Hosts {
    fn connect(&self, to: SocketAddr, from: Option<IpAddr>, _: Duration) -> Result<Box<dyn Wire>, NetError> {
        let IpAddr::V4(ip) = to.ip() else { return Err(NetError("connect: no route".to_string())) };
        let host = ip.octets()[3];
        if !self.answers.contains_key(&host) {
            return Err(NetError("connect: refused".to_string()));
        }
        let mut talk = Talk { host, hosts: self.clone(), replies: Vec::new() };
        talk.hear(&from.map_or("CONNECT".to_string(), |from| format!("CONNECT from {from}")));
        Ok(Box::new(talk))
    }

    fn connect_socket(&self, path: &Path, _: Duration) -> Result<Box<dyn Wire>, NetError> {
        let mut talk = Talk { host: 9, hosts: self.clone(), replies: Vec::new() };
        talk.hear(&format!("CONNECT {}", path.display()));
        Ok(Box::new(talk))
    }
}

impl Wire for Talk {
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().for_each(|line| self.hear(line));
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], _: Duration) -> Result<usize, NetError> {
        let n = self.replies.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.replies[..n]);
        self.replies.drain(..n);
        Ok(n)
    }

    fn start_tls(&mut self, security: &Security, _: Duration) -> Result<(), TlsError> {
        self.hosts.heard.lock().unwrap().push(format!("{} TLS {}", self.host, security.trust));
        match (self.hosts.tls.contains(&self.host), &security.trust) {
            (true, Trust::May | Trust::Encrypt) => Ok(()),
            _ => Err(TlsError::new(TlsFault::NotTrusted, "whose certificate is that?")),
        }
    }

    fn peer(&self) -> String {
        String::new()
    }
}

fn hop(host: u8, trust: Trust) -> Hop {
    let security = Security { trust, ..Security::opportunistic("") };
    let addresses = vec![SocketAddr::from(([192, 0, 2, host], 25))];
    Hop { name: format!("h{host}"), addresses, socket: None, security, login: None, policy: None }
}

fn plan(hops: Vec<Hop>) -> Plan {
    Plan { key: "d.test".to_string(), mailer: Mailer::Smtp, hops }
}

/// The host that was taken, or the outcome.
fn open(hosts: &Hosts, plan: &Plan) -> Result<String, String> {
    let settings = settings::Queue::default();
    let source = ["198.51.100.1".parse().unwrap()];
    let opening = Opening { net: hosts, plan, hello: "us", settings: &settings, source: &source, is_plain: false };
    match opening.open() {
        Ok(open) => Ok(open.host),
        Err((host, stop)) => {
            let outcome = stop.outcome(&host);
            Err(format!("{host}: {} {}", outcome.enhanced, outcome.text))
        }
    }
}

#[test]
fn hosts_are_tried_until_one_greets() {
    let hosts = Hosts::default()
        .with(2, |line| (line.starts_with("CONNECT")).then_some("451 not now"))
        .with(3, |line| (line.starts_with("CONNECT")).then_some("554 never"))
        .with(4, |line| line.starts_with("EHLO").then_some("421 shutting down"))
        .with(5, |_| None)
        .with(6, |_| None);
    let all = plan((1..7).map(|n| hop(n, Trust::Clear)).collect());
    assert_eq!(open(&hosts, &all).unwrap(), "h5");
    let heard = hosts.heard();
    assert_eq!(heard[0], "2 CONNECT from 198.51.100.1");
    assert_eq!(heard.last().unwrap(), "5 EHLO us");
}

#[test]
fn each_address_of_a_host_is_tried() {
    let hosts = Hosts::default().with(7, |_| None);
    let mut many = hop(1, Trust::Clear);
    many.addresses.extend(["[2001:db8::1]:25", "192.0.2.7:25"].map(|a| a.parse::<SocketAddr>().unwrap()));
    assert_eq!(open(&hosts, &plan(vec![many])).unwrap(), "h1");
}

#[test]
fn what_may_pass_counts_more_than_what_is_final() {
    let hosts = Hosts::default()
        .with(2, |line| (line.starts_with("CONNECT")).then_some("451 4.3.2 not now"))
        .with(3, |line| (line.starts_with("CONNECT")).then_some("554 never"));
    let of = |numbers: &[u8]| open(&hosts, &plan(numbers.iter().map(|n| hop(*n, Trust::Clear)).collect())).unwrap_err();
    assert_eq!(of(&[2, 3]), "h2: 4.3.2 451 4.3.2 not now");
    assert_eq!(of(&[3, 2]), "h2: 4.3.2 451 4.3.2 not now");
    assert_eq!(of(&[3]), "h3: 5.0.0 554 never");
    assert_eq!(of(&[3, 1]), "h1: 4.4.2 192.0.2.1:25: connect: refused");
}

#[test]
fn tls_that_is_only_wished_for_is_left_out_when_it_fails() {
    let hosts = Hosts::default().with(1, |_| None);
    assert_eq!(open(&hosts, &plan(vec![hop(1, Trust::May)])).unwrap(), "h1");
    let heard = hosts.heard();
    assert_eq!(heard.iter().filter(|line| line.ends_with("STARTTLS")).count(), 1, "{heard:?}");
    assert_eq!(heard.iter().filter(|line| line.contains("CONNECT")).count(), 2, "{heard:?}");
    // Nobody is asked where it is switched off.
    let clear = Hosts::default().with(1, |_| None);
    open(&clear, &plan(vec![hop(1, Trust::Clear)])).unwrap();
    assert!(!clear.heard().iter().any(|line| line.contains("TLS")), "{:?}", clear.heard());
}

#[test]
fn where_tls_is_demanded_no_mail_goes_in_clear() {
    let names = || Trust::Names(vec!["h1".to_string()]);
    let mut hosts = Hosts::default()
        .with(1, |_| None)
        .with(2, |line| line.starts_with("EHLO").then_some("250 peer"))
        .with(3, |line| (line == "STARTTLS").then_some("454 4.7.0 no certificate"));
    for (host, trust, wanted) in [
        (1, names(), "h1: 4.7.5 whose certificate is that?"),
        (1, Trust::Encrypt, "h1: 4.7.5 whose certificate is that?"),
        (2, Trust::Encrypt, "h2: 4.7.4 STARTTLS is not offered"),
        (3, Trust::Encrypt, "h3: 4.7.4 STARTTLS is refused: 454 4.7.0 no certificate"),
    ] {
        assert_eq!(open(&hosts, &plan(vec![hop(host, trust)])).unwrap_err(), wanted);
    }
    // The next host may do better.
    hosts.tls.push(4);
    hosts = hosts.with(4, |_| None);
    assert_eq!(open(&hosts, &plan(vec![hop(1, names()), hop(4, Trust::Encrypt)])).unwrap(), "h4");
    // TLS from the start has no other way either.
    let mut from_start = hop(1, Trust::May);
    from_start.security.implicit_tls = true;
    assert!(open(&hosts, &plan(vec![from_start])).unwrap_err().starts_with("h1: 4.7.5"));
}

#[test]
fn a_certificate_that_is_only_tested_keeps_no_mail_back_and_tls_on() {
    let mut hosts = Hosts::default().with(1, |_| None);
    hosts.tls.push(1);
    let mut tested = hop(1, Trust::Names(vec!["h1".to_string()]));
    tested.security.lenient = true;
    assert_eq!(open(&hosts, &plan(vec![tested])).unwrap(), "h1");
    let tls: Vec<String> = hosts.heard().into_iter().filter(|line| line.contains(" TLS ")).collect();
    assert_eq!(tls, ["1 TLS verify", "1 TLS may"]);
}

#[test]
fn a_server_of_this_machine_is_reached_by_its_path_and_known_again() {
    let hosts = Hosts::default().with(9, |line| line.starts_with("AUTH PLAIN").then_some("235 welcome"));
    let mut local = hop(1, Trust::Clear);
    (local.addresses, local.socket) = (Vec::new(), Some("/run/a".into()));
    let all = plan(vec![hop(1, Trust::Clear), local.clone()]);
    assert_eq!(open(&hosts, &all).unwrap(), "h1");
    assert_eq!(hosts.heard(), ["9 CONNECT /run/a", "9 EHLO us"]);
    let settings = settings::Queue::default();
    let opened =
        Opening { net: &hosts, plan: &all, hello: "us", settings: &settings, source: &[], is_plain: false }.open();
    let Ok(opened) = opened else { panic!("not open") };
    assert!(opened.fits(&plan(vec![local.clone()])) && !opened.fits(&plan(vec![hop(1, Trust::Clear)])));
    let elsewhere = Hop { socket: Some("/run/b".into()), ..local.clone() };
    assert!(!opened.fits(&plan(vec![elsewhere])));
    // No TLS, and nobody who could hear the password.
    let login = with_login(1, false).login;
    assert_eq!(open(&hosts, &plan(vec![Hop { login, ..local }])).unwrap(), "h1");
}

#[test]
fn plaintext_behind_starttls_ends_it() {
    let mut hosts = Hosts::default().with(1, |line| (line == "STARTTLS").then_some("220 go on\r\n250 injected"));
    hosts.tls.push(1);
    assert_eq!(open(&hosts, &plan(vec![hop(1, Trust::Encrypt)])).unwrap_err(), "h1: 4.7.5 plaintext behind STARTTLS");
}

fn with_login(host: u8, without_tls: bool) -> Hop {
    let login = Login { user: "me".to_string(), password: "pencil".to_string(), without_tls };
    Hop { login: Some(Arc::new(login)), ..hop(host, Trust::May) }
}

#[test]
fn the_password_goes_over_tls_alone_unless_the_settings_say_so() {
    let mut hosts = Hosts::default()
        .with(1, |line| line.starts_with("AUTH PLAIN AG1lAHBlbmNpbA==").then_some("235 welcome"))
        .with(2, |line| line.starts_with("AUTH").then_some("535 5.7.8 who are you?"))
        .with(3, |line| line.starts_with("EHLO").then_some("250 peer"));
    let refused = open(&hosts, &plan(vec![with_login(1, false)])).unwrap_err();
    assert!(refused.starts_with("h1: 4.7.0 the host offers no TLS"), "{refused}");
    assert!(!hosts.heard().iter().any(|line| line.contains("AUTH")));
    assert_eq!(open(&hosts, &plan(vec![with_login(1, true)])).unwrap(), "h1");
    hosts.tls = vec![1, 2];
    assert_eq!(open(&hosts, &plan(vec![with_login(1, false)])).unwrap(), "h1");
    // A wrong password returns no mail.
    let wrong = open(&hosts, &plan(vec![with_login(2, false)])).unwrap_err();
    assert_eq!(wrong, "h2: 4.7.0 the login is refused: 535 5.7.8 who are you?");
    assert!(open(&hosts, &plan(vec![with_login(3, true)])).unwrap_err().contains("no way to log in"));
}

/// A server that knows the password `known`, speaking SCRAM by the product's own server side.
fn scram(known: &'static str) -> Hosts {
    let dialog: Mutex<Option<Dialog>> = Mutex::default();
    let answer = move |line: &str| -> String {
        let mut dialog = dialog.lock().unwrap();
        let step = match line.strip_prefix("AUTH SCRAM-SHA-256 ") {
            Some(initial) => {
                let (started, step) =
                    Dialog::start(Mechanism::ScramSha256, Some(initial), "nonce", "h", &Channel::default(), false);
                *dialog = Some(started);
                step
            }
            None if dialog.is_some() => dialog.as_mut().unwrap().line(line.as_bytes()),
            None => match line.split(' ').next() {
                Some("EHLO") => return "250-peer\r\n250 AUTH SCRAM-SHA-256 PLAIN".to_string(),
                _ => return "220 go on".to_string(),
            },
        };
        let step = match step {
            Step::Look(_) => {
                let keys = ScramKeys::derive(known, b"0123456789abcdef");
                dialog.as_mut().unwrap().found(Found::Scram(keys))
            }
            step => step,
        };
        match step {
            Step::Challenge(challenge) => format!("334 {challenge}"),
            Step::Login(crate::sasl::Evidence::Proven(_)) => "235 welcome".to_string(),
            _ => "535 no".to_string(),
        }
    };
    let mut hosts = Hosts::default();
    hosts.answers.insert(1, Arc::new(answer));
    hosts
}

#[test]
fn scram_goes_before_plain_and_proves_both_sides() {
    let hosts = scram("pencil");
    assert_eq!(open(&hosts, &plan(vec![with_login(1, true)])).unwrap(), "h1");
    assert!(!hosts.heard().iter().any(|line| line.contains("PLAIN")));
    assert!(open(&scram("other"), &plan(vec![with_login(1, true)])).unwrap_err().contains("4.7.0"));
    // A host that says yes without a proof is somebody else.
    let liar = Hosts::default().with(1, |line| match line.split(' ').next() {
        Some("EHLO") => Some("250-peer\r\n250 AUTH SCRAM-SHA-256"),
        Some("AUTH") => Some("235 welcome"),
        _ => None,
    });
    assert!(open(&liar, &plan(vec![with_login(1, true)])).unwrap_err().contains("has not shown"));
}
