//! Plans from a zone that the test writes.

use super::resolver::{Answer, Data, DnsError, Found, Kind, Question, Resolver, Tlsa};
use super::*;
use crate::settings::{Families, Root, Settings};
use crate::status::Enhanced;
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

mod policies;

/// A small name service: lines of `name KIND value`; `!` is "no answer". DNSSEC vouches for what ends in `signed.test`.
#[derive(Default)]
struct Zone {
    records: HashMap<Question, Vec<Data>>,
    aliases: HashMap<String, String>,
    broken: Vec<Question>,
    fixed: Vec<String>,
    asked: Mutex<Vec<Question>>,
}

impl Zone {
    fn new(text: &str) -> Zone {
        let mut zone = Zone::default();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (kind, value) = match words[1] {
                "MX" => (
                    Kind::Mx,
                    words.get(3).map(|h| Data::Mx(words[2].parse().unwrap(), h.trim_end_matches('.').into())),
                ),
                "A" => (Kind::A, words[2].parse().ok().map(Data::Address)),
                "AAAA" => (Kind::Aaaa, words[2].parse().ok().map(Data::Address)),
                "FILE" => {
                    zone.fixed.push(words[0].to_string());
                    (Kind::A, words[2].parse().ok().map(Data::Address))
                }
                "CNAME" => {
                    zone.aliases.insert(words[0].to_string(), words[2].to_string());
                    continue;
                }
                "TXT" => (Kind::Txt, Some(Data::Txt(words[2..].join(" ").into_bytes()))),
                "TLSA" => (Kind::Tlsa, words.get(5).map(|data| tlsa(&words[2..5], data))),
                other => panic!("{other}"),
            };
            let question = Question::new(words[0], kind);
            match value {
                Some(data) => zone.records.entry(question).or_default().push(data),
                None => zone.broken.push(question),
            }
        }
        zone
    }
}

/// A record whose data is one octet again and again, of the length that the matching type wants.
fn tlsa(numbers: &[&str], octet: &str) -> Data {
    let [usage, selector, matching] = [0, 1, 2].map(|n: usize| numbers[n].parse().unwrap());
    let length = [10, 32, 64, 5][usize::from(matching)];
    Data::Tlsa(Tlsa { usage, selector, matching, data: vec![octet.parse().unwrap(); length] })
}

impl Resolver for Zone {
    fn ask(&self, questions: &[Question], _: Duration) -> Vec<Found> {
        self.asked.lock().unwrap().extend(questions.iter().cloned());
        let ttl = Duration::from_secs(60);
        let say = |asked: &Question| {
            let name = self.aliases.get(&asked.name).unwrap_or(&asked.name).clone();
            let question = &Question { name, kind: asked.kind };
            if self.broken.contains(question) {
                return Err(DnsError::Trouble("SERVFAIL".to_string()));
            }
            match self.records.get(question) {
                Some(data) => {
                    let secure = [asked, question].iter().all(|q| q.name.ends_with("signed.test"));
                    Ok(Answer { name: question.name.clone(), data: data.clone(), secure, ttl })
                }
                None if self.records.keys().chain(&self.broken).any(|q| q.name == question.name) => {
                    Err(DnsError::NoData { ttl })
                }
                None => Err(DnsError::NoName { ttl }),
            }
        };
        questions.iter().map(say).collect()
    }

    fn is_fixed(&self, name: &str) -> bool {
        self.fixed.iter().any(|fixed| fixed == name)
    }

    fn has_dnssec(&self) -> bool {
        true
    }
}

const NOW: Timestamp = Timestamp(1_795_522_071_000_000);

fn hops_with(zone: Zone, change: impl FnOnce(&mut Settings)) -> NextHops {
    let mut settings = Settings::default();
    settings.server.hostname = "mx.us.test".to_string();
    change(&mut settings);
    let site = Arc::new(Site { root: Root::under(&PathBuf::from("/nonexistent")), settings });
    let own = Own {
        names: vec!["mx.us.test".to_string()],
        listening: vec!["[::]:25".parse().unwrap()],
        interfaces: vec!["192.0.2.200".parse().unwrap()],
    };
    NextHops::new(site, Arc::new(zone), own).with_draw(Box::new(|below| below - 1))
}

fn plan(zone: &str, host: &str) -> Result<Arc<Plan>, Failure> {
    hops_with(Zone::new(zone), |_| {}).plan(Mailer::Smtp, host, NOW)
}

/// `name=address,address name=…`
fn print(plan: &Plan) -> String {
    let hop = |hop: &Hop| {
        let addresses: Vec<String> = hop.addresses.iter().map(SocketAddr::to_string).collect();
        format!("{}={}", hop.name, addresses.join(","))
    };
    plan.hops.iter().map(hop).collect::<Vec<_>>().join(" ")
}

fn code(result: Result<Arc<Plan>, Failure>) -> (Enhanced, u16) {
    let failure = result.unwrap_err();
    (failure.enhanced, failure.code)
}

#[test]
fn a_path_is_a_server_of_this_machine_in_its_place() {
    let found =
        hops_with(Zone::new("a.test A 192.0.2.1"), |_| {}).plan(Mailer::Lmtp, "/run/l:[a.test]:24", NOW).unwrap();
    assert_eq!((print(&found).as_str(), found.key.as_str()), ("/run/l= a.test=192.0.2.1:24", "/run/l,[a.test]:24"));
    assert_eq!(found.hops[0].socket.as_deref(), Some(std::path::Path::new("/run/l")));
    assert!(found.hops[0].security == Security::clear() && found.hops[1].socket.is_none());
}

#[test]
fn mx_records_give_hosts_in_order_with_both_families() {
    let zone =
        "d.test MX 20 b.test.\nd.test MX 10 a.test.\na.test A 192.0.2.1\na.test AAAA 2001:db8::1\nb.test A 192.0.2.2";
    let found = plan(zone, "d.test").unwrap();
    assert_eq!(print(&found), "a.test=192.0.2.1:25,[2001:db8::1]:25 b.test=192.0.2.2:25");
    assert_eq!((found.key.as_str(), found.mailer), ("d.test", Mailer::Smtp));
    assert_eq!(print(&plan(zone, "d.test:26").unwrap()), "a.test=192.0.2.1:26,[2001:db8::1]:26 b.test=192.0.2.2:26");
    let families = |families| {
        let hops = hops_with(Zone::new(zone), |s| s.relay.address_families = families);
        print(&hops.plan(Mailer::Smtp, "[a.test]", NOW).unwrap())
    };
    assert_eq!(families(Families::PreferV6), "a.test=[2001:db8::1]:25,192.0.2.1:25");
    assert_eq!(families(Families::V4), "a.test=192.0.2.1:25");
    assert_eq!(families(Families::V6), "a.test=[2001:db8::1]:25");
}

#[test]
fn a_domain_without_mx_is_its_own_host() {
    assert_eq!(print(&plan("d.test A 192.0.2.1", "d.test").unwrap()), "d.test=192.0.2.1:25");
    assert_eq!(code(plan("d.test AAAA !\nd.test A 192.0.2.1\nx.test MX 0 .", "x.test")), (Enhanced(5, 1, 10), 556));
    assert_eq!(code(plan("", "d.test")), (Enhanced(5, 1, 2), 550));
    assert_eq!(code(plan("d.test MX 10 a.test.", "d.test")), (Enhanced(5, 4, 4), 550));
    assert_eq!(code(plan("d.test MX !", "d.test")), (Enhanced(4, 4, 3), 451));
    assert_eq!(code(plan("d.test A !", "d.test")), (Enhanced(4, 4, 3), 451));
}

#[test]
fn hosts_that_are_unknown_now_make_it_temporary_only_where_no_other_is_left() {
    let zone = "d.test MX 10 a.test.\nd.test MX 20 b.test.\na.test A !\na.test AAAA !";
    assert_eq!(code(plan(zone, "d.test")), (Enhanced(4, 4, 3), 451));
    let zone = format!("{zone}\nb.test A 192.0.2.2");
    assert_eq!(print(&plan(&zone, "d.test").unwrap()), "b.test=192.0.2.2:25");
    // One family says no, the other nothing: it may have one.
    assert_eq!(code(plan("a.test AAAA !", "[a.test]")), (Enhanced(4, 4, 3), 451));
}

#[test]
fn literals_and_names_in_brackets_ask_for_no_mx() {
    let zone = Zone::new("a.test A 192.0.2.1\na.test MX 10 b.test.");
    let hops = hops_with(zone, |_| {});
    assert_eq!(print(&hops.plan(Mailer::Smtp, "[a.test]:26", NOW).unwrap()), "a.test=192.0.2.1:26");
    let lmtp = hops.plan(Mailer::Lmtp, "a.test", NOW).unwrap();
    assert_eq!(print(&lmtp), "a.test=192.0.2.1:24");
    // Without any DNS.
    let none = NextHops::new(hops.site.clone(), Arc::new(NoDns), Own::default());
    let literals = none.plan(Mailer::Smtp, "[192.0.2.7]:2525,[IPv6:2001:db8::7]", NOW).unwrap();
    assert_eq!(print(&literals), "[192.0.2.7]=192.0.2.7:2525 [IPv6:2001:db8::7]=[2001:db8::7]:25");
    assert_eq!(literals.hops[0].security.server_name, "");
    assert_eq!(code(none.plan(Mailer::Smtp, "d.test", NOW)), (Enhanced(4, 4, 3), 451));
    assert_eq!(code(none.plan(Mailer::Smtp, "d..test", NOW)), (Enhanced(4, 3, 5), 451));
}

#[test]
fn a_file_of_hosts_goes_before_dns_that_is_down() {
    assert_eq!(print(&plan("hub FILE 192.0.2.5\nhub MX !", "hub").unwrap()), "hub=192.0.2.5:25");
    let search =
        hops_with(Zone::new("hub.in.test A 192.0.2.6\nfixed FILE 192.0.2.5"), |s| s.dns.search = "in.test".into());
    assert_eq!(print(&search.plan(Mailer::Smtp, "[hub]", NOW).unwrap()), "hub=192.0.2.6:25");
    assert_eq!(print(&search.plan(Mailer::Smtp, "[fixed]", NOW).unwrap()), "fixed=192.0.2.5:25");
}

#[test]
fn mail_does_not_come_back_to_us() {
    let by_name =
        "d.test MX 10 a.test.\nd.test MX 20 mx.us.test.\nd.test MX 30 c.test.\na.test A 192.0.2.1\nc.test A 192.0.2.3";
    assert_eq!(print(&plan(by_name, "d.test").unwrap()), "a.test=192.0.2.1:25");
    let by_address = "d.test MX 10 a.test.\nd.test MX 20 b.test.\nd.test MX 20 alias.test.\nd.test MX 30 c.test.\na.test A 192.0.2.1\nb.test A 192.0.2.2\nalias.test A 192.0.2.200\nc.test A 192.0.2.3";
    assert_eq!(print(&plan(by_address, "d.test").unwrap()), "a.test=192.0.2.1:25");
    for (zone, host) in [
        ("d.test MX 10 mx.us.test.", "d.test"),
        ("d.test MX 10 alias.test.\nalias.test A 192.0.2.200", "d.test"),
        ("d.test A 192.0.2.200", "d.test"),
        ("", "[192.0.2.200]"),
        ("", "[127.0.0.1]"),
    ] {
        assert_eq!(code(plan(zone, host)), (Enhanced(5, 4, 6), 550), "{zone} {host}");
    }
    assert!(plan("", "[127.0.0.1]:26").is_ok());
}

#[test]
fn a_plan_is_bounded_whatever_dns_says() {
    let mut zone = String::new();
    for host in 0..50 {
        zone.push_str(&format!("d.test MX {host} h{host}.test.\n"));
        for address in 0..50 {
            zone.push_str(&format!(
                "h{host}.test A 10.0.{host}.{address}\nh{host}.test AAAA 2001:db8:{host}::{address}\n"
            ));
        }
    }
    let zone = Zone::new(&zone);
    let hops = hops_with(zone, |_| {});
    let found = hops.plan(Mailer::Smtp, "d.test", NOW).unwrap();
    assert_eq!(found.hops.len(), HOPS);
    assert_eq!(found.hops.iter().map(|hop| hop.addresses.len()).sum::<usize>(), ADDRESSES);
    let both =
        |hop: &Hop| hop.addresses.iter().any(SocketAddr::is_ipv4) && hop.addresses.iter().any(SocketAddr::is_ipv6);
    assert!(found.hops.iter().all(both));
    // Fifty exchangers without addresses: no more than dns.mx of them are asked for.
    let dead: String = (0..50).map(|n| format!("d.test MX {n} h{n}.test.\n")).collect();
    let zone = Arc::new(Zone::new(&dead));
    let hops = NextHops::new(hops.site.clone(), zone.clone(), Own::default());
    assert_eq!(code(hops.plan(Mailer::Smtp, "d.test", NOW)), (Enhanced(5, 4, 4), 550));
    assert_eq!(zone.asked.lock().unwrap().len(), 1 + 2 * 20);
}

#[test]
fn several_hosts_are_tried_in_their_order() {
    let zone = "a.test A 192.0.2.1\nb.test MX 10 c.test.\nc.test A 192.0.2.3";
    let found = plan(zone, "none.test:a.test:b.test").unwrap();
    assert_eq!(print(&found), "a.test=192.0.2.1:25 c.test=192.0.2.3:25");
    assert_eq!(found.key, "none.test,a.test,b.test");
}

#[test]
fn the_smart_host_alone_gets_our_password() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let set = |s: &mut Settings| {
        s.relay.smart_host = "smtps:smart.test".into();
        s.relay.smart_host_user = "me".into();
        s.relay.smart_host_password_file = file.to_string_lossy().into_owned();
        s.relay.fallback = "[backup.test]".into();
    };
    let zone = "smart.test A 192.0.2.1\nbackup.test A 192.0.2.9\nd.test A 192.0.2.2";
    let hops = hops_with(Zone::new(zone), set);
    // The rules may give the host with or without what stands before it.
    for text in ["smtps:smart.test", "smart.test:465"] {
        let found = hops.plan(Mailer::Smtp, text, NOW).unwrap();
        assert_eq!(print(&found), "smart.test=192.0.2.1:465 backup.test=192.0.2.9:25");
        let logins: Vec<Option<&str>> =
            found.hops.iter().map(|hop| hop.login.as_ref().map(|l| l.user.as_str())).collect();
        assert_eq!(logins, [Some("me"), None]);
        let implicit: Vec<bool> = found.hops.iter().map(|hop| hop.security.implicit_tls).collect();
        assert_eq!(implicit, [true, false]);
    }
    assert!(hops.plan(Mailer::Smtp, "d.test", NOW).unwrap().hops.iter().all(|hop| hop.login.is_none()));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let failure = hops.plan(Mailer::Smtp, "smtps:smart.test", NOW).unwrap_err();
    assert_eq!(failure.enhanced, Enhanced(4, 3, 5));
    assert!(failure.cause.contains("chmod 600") && !failure.public.contains("password"), "{failure}");
}

#[test]
fn the_fallback_comes_last_and_alone_when_dns_is_down() {
    let zone = "d.test MX 10 a.test.\na.test A 192.0.2.1\nbackup.test A 192.0.2.9\ndown.test MX !";
    let hops = hops_with(Zone::new(zone), |s| s.relay.fallback = "[backup.test]:26".into());
    let print = |text: &str| hops.plan(Mailer::Smtp, text, NOW).map(|found| print(&found));
    assert_eq!(print("d.test").unwrap(), "a.test=192.0.2.1:25 backup.test=192.0.2.9:26");
    assert_eq!(print("down.test").unwrap(), "backup.test=192.0.2.9:26");
    assert_eq!(print("none.test").unwrap_err().enhanced, Enhanced(5, 1, 2));
    // A fixed host is where the administrator wants it.
    assert_eq!(print("[a.test]").unwrap(), "a.test=192.0.2.1:25");
}

#[test]
fn equal_preferences_are_shuffled_anew_for_each_plan() {
    let zone = "d.test MX 10 a.test.\nd.test MX 10 b.test.\na.test A 192.0.2.1\nb.test A 192.0.2.2";
    let hops = hops_with(Zone::new(zone), |_| {}).with_draw(Box::new(random));
    let first = |_| hops.plan(Mailer::Smtp, "d.test", NOW).unwrap().hops[0].name.clone();
    let firsts: std::collections::BTreeSet<String> = (0..100).map(first).collect();
    assert_eq!(firsts.len(), 2);
}
