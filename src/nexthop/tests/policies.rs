//! What each host must show, by table, DANE and MTA-STS.

use super::*;
use crate::envelope::TlsWish;
use crate::nexthop::resolver::Tlsa;
use crate::settings::TlsDefault;

/// Two hosts behind a signed domain, one behind an unsigned one.
const ZONE: &str = "d.signed.test MX 10 a.signed.test.\nd.signed.test MX 20 b.signed.test.\n\
    a.signed.test A 192.0.2.1\nb.signed.test A 192.0.2.2\nd.test MX 10 a.signed.test.";

/// `host: policy sni names/records` of each hop.
fn trusts(plan: &Plan) -> Vec<String> {
    let one = |hop: &Hop| {
        let more = match &hop.security.trust {
            Trust::Names(names) => format!(" {}", names.join(",")),
            Trust::Dane { records, names } => {
                let record = |r: &Tlsa| format!("{}{}{}", r.usage, r.selector, r.matching);
                format!(" {} {}", records.iter().map(record).collect::<Vec<_>>().join("+"), names.join(","))
            }
            _ => String::new(),
        };
        let doubt = if hop.security.lenient { "?" } else { "" };
        format!("{}: {}{doubt}{more} @{}", hop.name, hop.security.trust, hop.security.server_name)
    };
    plan.hops.iter().map(one).collect()
}

fn default_with(records: &str, domain: &str) -> Result<Vec<String>, Failure> {
    let hops = hops_with(Zone::new(&format!("{ZONE}\n{records}")), |_| {});
    hops.plan(Mailer::Smtp, domain, NOW).map(|plan| trusts(&plan))
}

#[test]
fn tlsa_records_make_demands_where_everything_is_signed() {
    let records =
        "_25._tcp.a.signed.test TLSA 3 1 1 7\n_25._tcp.a.signed.test TLSA 2 0 1 8\n_25._tcp.a.signed.test TLSA 1 1 1 9";
    let found = default_with(records, "d.signed.test").unwrap();
    assert_eq!(found[0], "a.signed.test: dane 201+311 a.signed.test,d.signed.test @a.signed.test");
    assert_eq!(found[1], "b.signed.test: may @b.signed.test");
    // Whoever can forge the MX records can name any host (RFC 7672 §2.2.1).
    assert_eq!(default_with(records, "d.test").unwrap(), ["a.signed.test: may @a.signed.test"]);
    // Another port has its own records.
    assert_eq!(default_with(records, "d.signed.test:26").unwrap()[0], "a.signed.test: may @a.signed.test");
    assert_eq!(
        default_with(records, "[a.signed.test]").unwrap()[0],
        "a.signed.test: dane 201+311 a.signed.test @a.signed.test"
    );
}

#[test]
fn records_that_nobody_can_use_still_promise_tls() {
    for record in ["1 1 1 7", "3 2 1 7", "3 1 3 7", "0 0 0 7"] {
        let found = default_with(&format!("_25._tcp.a.signed.test TLSA {record}"), "d.signed.test").unwrap();
        assert_eq!(found[0], "a.signed.test: encrypt @a.signed.test", "{record}");
    }
}

#[test]
fn a_host_whose_records_are_unknown_gets_no_mail() {
    let found = default_with("_25._tcp.a.signed.test TLSA !", "d.signed.test").unwrap();
    assert_eq!(found, ["b.signed.test: may @b.signed.test"]);
    let both = "_25._tcp.a.signed.test TLSA !\n_25._tcp.b.signed.test TLSA !";
    let failure = default_with(both, "d.signed.test").unwrap_err();
    assert_eq!(failure.enhanced, Enhanced(4, 4, 3), "{failure}");
}

#[test]
fn a_cname_is_followed_before_the_name_itself_is_asked() {
    let zone = "x.signed.test MX 10 alias.signed.test.\nalias.signed.test CNAME real.signed.test\nreal.signed.test A 192.0.2.5";
    let of = |records: &str| {
        let hops = hops_with(Zone::new(&format!("{zone}\n{records}")), |_| {});
        trusts(&hops.plan(Mailer::Smtp, "x.signed.test", NOW).unwrap()).remove(0)
    };
    assert_eq!(
        of("_25._tcp.real.signed.test TLSA 3 1 1 7\n_25._tcp.alias.signed.test TLSA 3 0 1 7"),
        "alias.signed.test: dane 311 real.signed.test,alias.signed.test,x.signed.test @real.signed.test"
    );
    assert_eq!(
        of("_25._tcp.alias.signed.test TLSA 3 0 1 7"),
        "alias.signed.test: dane 301 alias.signed.test,x.signed.test @alias.signed.test"
    );
}

/// A site whose table says this.
fn with_table(
    table: &str,
    zone: &str,
    fetch: Option<Arc<dyn Fetch>>,
    default: TlsDefault,
) -> (tempfile::TempDir, NextHops) {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.relay.tls = default;
    let site = Arc::new(Site { root: Root::under(dir.path()), settings });
    std::fs::create_dir_all(&site.root.etc).unwrap();
    std::fs::write(site.root.etc.join("tls-policies"), table).unwrap();
    let mut hops = NextHops::new(site, Arc::new(Zone::new(zone)), Own::default());
    if let Some(fetch) = fetch {
        hops = hops.with_sts(fetch);
    }
    (dir, hops)
}

#[test]
fn an_entry_of_the_table_says_all() {
    let records = "_25._tcp.a.signed.test TLSA 3 1 1 7";
    for (entry, wanted) in [
        ("d.signed.test none", "a.signed.test: none @a.signed.test"),
        ("* may", "a.signed.test: may @a.signed.test"),
        (".signed.test encrypt", "a.signed.test: encrypt @a.signed.test"),
        ("d.signed.test verify", "a.signed.test: verify a.signed.test @a.signed.test"),
        ("d.signed.test secure", "a.signed.test: verify d.signed.test,.d.signed.test @a.signed.test"),
        ("d.signed.test verify match=x.test,.y.test", "a.signed.test: verify x.test,.y.test @a.signed.test"),
        ("d.signed.test dane", "a.signed.test: dane 311 a.signed.test,d.signed.test @a.signed.test"),
    ] {
        let (_dir, hops) = with_table(entry, &format!("{ZONE}\n{records}"), None, TlsDefault::Auto);
        let found = trusts(&hops.plan(Mailer::Smtp, "d.signed.test", NOW).unwrap());
        assert_eq!(found[0], wanted, "{entry}");
    }
    // Hosts without records are left out where nothing else will do.
    let (_dir, hops) = with_table("* dane-only", &format!("{ZONE}\n{records}"), None, TlsDefault::Auto);
    assert_eq!(trusts(&hops.plan(Mailer::Smtp, "d.signed.test", NOW).unwrap()).len(), 1);
    assert_eq!(code(hops.plan(Mailer::Smtp, "d.test", NOW)), (Enhanced(4, 7, 5), 451));
    assert_eq!(code(hops.plan(Mailer::Smtp, "[192.0.2.1]", NOW)), (Enhanced(4, 7, 5), 451));
    let (_dir, hops) = with_table("d.test sometimes", ZONE, None, TlsDefault::Auto);
    assert_eq!(code(hops.plan(Mailer::Smtp, "d.test", NOW)), (Enhanced(4, 3, 5), 451));
}

#[test]
fn the_default_is_the_settings() {
    let records = format!("{ZONE}\n_25._tcp.a.signed.test TLSA 3 1 1 7");
    for (default, wanted) in [
        (TlsDefault::Auto, "dane 311"),
        (TlsDefault::Dane, "dane 311"),
        (TlsDefault::May, "may"),
        (TlsDefault::Clear, "none"),
        (TlsDefault::Encrypt, "encrypt"),
    ] {
        let (_dir, hops) = with_table("", &records, None, default);
        let found = trusts(&hops.plan(Mailer::Smtp, "d.signed.test", NOW).unwrap());
        assert!(found[0].starts_with(&format!("a.signed.test: {wanted}")), "{found:?}");
    }
}

/// Serves one text for every domain.
struct Web(&'static str);

impl Fetch for Web {
    fn policy(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_string())
    }
}

#[test]
fn mta_sts_names_the_hosts_and_wants_their_certificates() {
    let zone = format!(
        "{ZONE}\nd.test MX 20 c.test.\nc.test A 192.0.2.3\n_mta-sts.d.test TXT v=STSv1; id=1;\n_mta-sts.d.signed.test TXT v=STSv1; id=1;"
    );
    let enforce = "version: STSv1\nmode: enforce\nmx: *.signed.test\nmax_age: 86400\n";
    let of = |table: &str, text: &'static str, more: &str, domain: &str| {
        let zone = format!("{zone}\n{more}");
        let (_dir, hops) = with_table(table, &zone, Some(Arc::new(Web(text))), TlsDefault::Auto);
        hops.plan(Mailer::Smtp, domain, NOW).map(|plan| trusts(&plan))
    };
    assert_eq!(of("", enforce, "", "d.test").unwrap(), ["a.signed.test: verify a.signed.test @a.signed.test"]);
    let testing = "version: STSv1\nmode: testing\nmx: nobody.test\nmax_age: 86400\n";
    assert_eq!(of("", testing, "", "d.test").unwrap(), ["a.signed.test: may @a.signed.test", "c.test: may @c.test"]);
    let named = "version: STSv1\nmode: testing\nmx: a.signed.test\nmax_age: 86400\n";
    assert_eq!(
        of("", named, "", "d.test").unwrap(),
        ["a.signed.test: verify? a.signed.test @a.signed.test", "c.test: may @c.test"]
    );
    let others = "version: STSv1\nmode: enforce\nmx: nobody.test\nmax_age: 86400\n";
    assert_eq!(of("", others, "", "d.test").unwrap_err().enhanced, Enhanced(4, 7, 5));
    // The table goes before it; a host with TLSA records is judged by them.
    assert_eq!(of("d.test may", others, "", "d.test").unwrap().len(), 2);
    let found = of("", others, "_25._tcp.a.signed.test TLSA 3 1 1 7", "d.signed.test").unwrap();
    assert_eq!(found, ["a.signed.test: dane 311 a.signed.test,d.signed.test @a.signed.test"]);
    // Not for a host that the administrator names, and not without a record.
    assert_eq!(of("", others, "", "[c.test]").unwrap(), ["c.test: may @c.test"]);
    assert_eq!(of("", others, "x.test A 192.0.2.4", "x.test").unwrap(), ["x.test: may @x.test"]);
}

#[test]
fn a_message_that_requires_tls_goes_only_where_names_can_not_be_forged() {
    let records = "_25._tcp.a.signed.test TLSA 3 1 1 7\nmx.u.test A 192.0.2.7\nu.test MX 10 mx.u.test.\nself.test A 192.0.2.8\n\
        s.test MX 10 mx.u.test.\n_mta-sts.s.test TXT v=STSv1; id=1;";
    let testing = "version: STSv1\nmode: testing\nmx: mx.u.test\nmax_age: 86400\n";
    let zone = format!("{ZONE}\n{records}");
    let (_dir, hops) = with_table("", &zone, Some(Arc::new(Web(testing))), TlsDefault::Auto);
    let of = |host: &str| hops.plan_for(Mailer::Smtp, host, TlsWish::Required, NOW).map(|plan| trusts(&plan));
    assert_eq!(
        of("d.signed.test").unwrap(),
        [
            "a.signed.test: dane 311 a.signed.test,d.signed.test @a.signed.test",
            "b.signed.test: verify b.signed.test @b.signed.test"
        ]
    );
    assert_eq!(of("self.test").unwrap(), ["self.test: verify self.test @self.test"]);
    assert_eq!(of("[mx.u.test]").unwrap(), ["mx.u.test: verify mx.u.test @mx.u.test"]);
    assert_eq!(of("s.test").unwrap(), ["mx.u.test: verify mx.u.test @mx.u.test"]);
    for host in ["u.test", "[192.0.2.1]"] {
        assert_eq!(of(host).unwrap_err().enhanced, Enhanced(5, 7, 10), "{host}");
    }
    let plan = hops.plan_for(Mailer::Smtp, "s.test", TlsWish::Required, NOW).unwrap();
    assert!(plan.hops.iter().all(|hop| hop.security.is_verified()));
}

#[test]
fn a_message_that_does_not_require_tls_is_kept_back_by_no_policy() {
    let records = "_25._tcp.a.signed.test TLSA 3 1 1 7\n_25._tcp.b.signed.test TLSA !";
    let of = |table: &str| {
        let (_dir, hops) = with_table(table, &format!("{ZONE}\n{records}"), None, TlsDefault::Auto);
        trusts(&hops.plan_for(Mailer::Smtp, "d.signed.test", TlsWish::NotRequired, NOW).unwrap())
    };
    let may = ["a.signed.test: may @a.signed.test", "b.signed.test: may @b.signed.test"];
    assert_eq!(of(""), may);
    assert_eq!(of("* dane-only"), may);
    assert_eq!(of("* encrypt"), may);
    assert_eq!(of("* none"), ["a.signed.test: none @a.signed.test", "b.signed.test: none @b.signed.test"]);
}
