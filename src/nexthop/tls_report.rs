//! Reports to other domains on how TLS with their hosts went: who wants them, what they say, the message. Pure.
//!
//! Called by `emqueue tls-report` with the counts of one day (`ledger`).
//! Trust: whom a domain names in its TXT record gets numbers about that domain and nothing else.
//! RFC 8460 §3, §4.4, §5.3, §5.4. Who sends them signs those that go by mail.

use super::ledger::Session;
use crate::addr::{Address, normal_domain};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Most destinations of one domain that get its report.
const DESTINATIONS: usize = 4;
/// Longest URL taken, in octets.
const URL_LIMIT: usize = 1024;
/// Length of a line of base64 (RFC 2045 §6.8).
const LINE: usize = 76;

/// Where a domain wants its reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// By mail.
    Mail(Address),
    /// By POST to a web server.
    Web(WebPlace),
}

/// A place at a web server that is reached by HTTPS at its usual port. Nobody's record makes us knock at others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebPlace {
    /// The server's name.
    pub host: String,
    /// Path and query, as they stand in the request.
    pub target: String,
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Destination::Mail(address) => address.fmt(f),
            Destination::Web(WebPlace { host, target }) => write!(f, "https://{host}{target}"),
        }
    }
}

impl Destination {
    fn parse(uri: &str) -> Option<Destination> {
        let (scheme, rest) = uri.split_once(':')?;
        if scheme.eq_ignore_ascii_case("mailto") {
            // What follows a question mark are header fields that nobody asked us to obey.
            return Address::parse(rest.split('?').next().unwrap_or("")).ok().map(Destination::Mail);
        }
        let rest = rest.strip_prefix("//").filter(|_| scheme.eq_ignore_ascii_case("https"))?;
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host = normal_domain(authority.strip_suffix(":443").unwrap_or(authority)).ok()?;
        let target = target.split('#').next().unwrap_or("");
        let is_clean = target.len() <= URL_LIMIT && target.bytes().all(|b| b.is_ascii_graphic());
        let target = if target.starts_with('/') { target.to_string() } else { format!("/{target}") };
        is_clean.then_some(Destination::Web(WebPlace { host, target }))
    }
}

/// Who wants reports, by the texts at `_smtp._tls.DOMAIN`; `None` where there is no such record, or more than one.
pub fn wanted_by<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Destination>> {
    let mut records = texts.filter(|text| text.starts_with(b"v=TLSRPTv1"));
    let record = std::str::from_utf8(records.next()?).ok()?;
    if records.next().is_some() {
        return None;
    }
    let mut fields = record.split(';').map(str::trim);
    if fields.next()? != "v=TLSRPTv1" {
        return None;
    }
    let uris = fields.filter_map(|field| field.split_once('=')).find(|(name, _)| name.trim_end() == "rua")?.1;
    Some(uris.split(',').filter_map(|uri| Destination::parse(uri.trim())).take(DESTINATIONS).collect())
}

/// Who reports, and about when.
pub struct Reporter<'a> {
    /// The organization's name.
    pub organization: &'a str,
    /// Our domain.
    pub domain: &'a str,
    /// Where questions go.
    pub contact: &'a str,
    /// `2026-11-25`, all of it in UTC.
    pub day: &'a str,
    /// A word that no other report of ours has.
    pub id: &'a str,
    /// The date of the message (RFC 5322 §3.3).
    pub date: &'a str,
}

/// The sessions under each policy.
type ByPolicy<'a> = BTreeMap<(&'a str, &'a [String]), Vec<&'a (Session, u64)>>;

/// The report on one domain (RFC 8460 §4.4).
pub fn report(from: &Reporter<'_>, sessions: &[(Session, u64)]) -> Value {
    let mut policies = ByPolicy::new();
    for session in sessions {
        let policy = &session.0.policy;
        policies.entry((&policy.kind, &policy.text)).or_default().push(session);
    }
    let one = |sessions: &Vec<&(Session, u64)>| {
        let policy = &sessions[0].0.policy;
        let sum = |is_good: bool| -> u64 {
            sessions.iter().filter(|(s, _)| s.fault.is_empty() == is_good).map(|(_, count)| count).sum()
        };
        let failed = sessions.iter().filter(|(session, _)| !session.fault.is_empty());
        let details: Vec<Value> = failed
            .map(|(session, count)| {
                json!({
                    "result-type": session.fault,
                    "receiving-mx-hostname": session.host,
                    "receiving-ip": session.ip,
                    "failed-session-count": count,
                    "failure-reason-code": session.reason,
                })
            })
            .collect();
        let mut about = json!({ "policy-type": policy.kind, "policy-domain": policy.domain });
        if !policy.text.is_empty() {
            about["policy-string"] = json!(policy.text);
        }
        if !policy.hosts.is_empty() {
            about["mx-host"] = json!(policy.hosts);
        }
        json!({
            "policy": about,
            "summary": {
                "total-successful-session-count": sum(true),
                "total-failure-session-count": sum(false),
            },
            "failure-details": details,
        })
    };
    json!({
        "organization-name": from.organization,
        "date-range": {
            "start-datetime": format!("{}T00:00:00Z", from.day),
            "end-datetime": format!("{}T23:59:59Z", from.day),
        },
        "contact-info": from.contact,
        "report-id": from.id,
        "policies": policies.values().map(one).collect::<Vec<Value>>(),
    })
}

/// A report as it is sent: JSON, compressed (RFC 8460 §5.2).
pub fn packed(report: &Value) -> io::Result<Vec<u8>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(report.to_string().as_bytes())?;
    gzip.finish()
}

/// The message that carries a report (RFC 8460 §5.3), with LF line ends.
pub fn message(from: &Reporter<'_>, about: &str, to: &Address, report: &Value) -> io::Result<String> {
    let packed = encodify::base64::STANDARD.encode(packed(report)?);
    let Reporter { domain, contact, id, date, day, .. } = from;
    let boundary = format!("={id}=");
    let mut text = format!(
        "Date: {date}\nFrom: <{contact}>\nTo: <{to}>\n\
         Subject: Report Domain: {about}\n Submitter: {domain}\n Report-ID: <{id}@{domain}>\n\
         Message-ID: <{id}@{domain}>\nTLS-Report-Domain: {about}\nTLS-Report-Submitter: {domain}\nTLS-Required: No\n\
         Auto-Submitted: auto-generated\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=\"tlsrpt\";\n\tboundary=\"{boundary}\"\n\n\
         --{boundary}\nContent-Type: text/plain; charset=us-ascii\n\n\
         This is an aggregate TLS report from {domain} about {about}, {day} (UTC).\n\n\
         --{boundary}\nContent-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n\
         Content-Disposition: attachment;\n\tfilename=\"{domain}!{about}!{day}.json.gz\"\n\n"
    );
    for line in packed.as_bytes().chunks(LINE) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(&format!("\n--{boundary}--\n"));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::TlsFault;
    use super::super::ledger::Applied;
    use super::*;
    use std::io::Read;

    #[test]
    fn who_wants_reports() {
        let of = |texts: &[&'static str]| {
            let found = wanted_by(texts.iter().map(|t| t.as_bytes()));
            found.map(|all| all.iter().map(|a| a.to_string()).collect::<Vec<_>>().join(" "))
        };
        let one = "v=TLSRPTv1; rua=mailto:a@d.test,https://d.test/x, mailto:b@d.test?subject=x";
        assert_eq!(of(&["other", one]).unwrap(), "a@d.test https://d.test/x b@d.test");
        for (uri, wanted) in [
            ("https://D.test:443/v1/x?y=1#z", "https://d.test/v1/x?y=1"),
            ("https://d.test", "https://d.test/"),
            ("HTTPS://d.test?y", "https://d.test/?y"),
            ("http://d.test/x", ""),
            ("https://d.test:8443/x", ""),
            ("https://me@d.test/x", ""),
            ("https://[::1]/x", ""),
            ("https:d.test", ""),
            ("https://d.test/a b", ""),
            ("mailto:nobody", ""),
        ] {
            let record: &'static str = Box::leak(format!("v=TLSRPTv1;rua={uri}").into_boxed_str());
            assert_eq!(of(&[record]).unwrap(), wanted, "{uri}");
        }
        for none in [
            &[][..],
            &["v=TLSRPTv1"],
            &["v=TLSRPTv2; rua=mailto:a@d.test"],
            &["v=TLSRPTv1 x; rua=mailto:a@d.test"],
            &[one, one],
        ] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_report_says_what_was_counted() {
        let from = Reporter {
            organization: "Us",
            domain: "us.test",
            contact: "postmaster@us.test",
            day: "2026-11-25",
            id: "k10",
            date: "Thu, 26 Nov 2026 04:00:00 +0000",
        };
        let policy = Applied::none("d.test");
        let session = |failure| Session::new(&policy, "mx.d.test", [192, 0, 2, 1].into(), failure);
        let counts = [(session(None), 7), (session(Some((TlsFault::NotOffered, "none"))), 2)];
        let value = report(&from, &counts);
        assert_eq!(value["date-range"]["start-datetime"], "2026-11-25T00:00:00Z");
        let first = &value["policies"][0];
        assert_eq!(first["policy"], json!({"policy-type": "no-policy-found", "policy-domain": "d.test"}));
        assert_eq!(first["summary"]["total-successful-session-count"], 7);
        assert_eq!(first["summary"]["total-failure-session-count"], 2);
        assert_eq!(first["failure-details"][0]["result-type"], "starttls-not-supported");
        let to = Address::parse("r@d.test").unwrap();
        let text = message(&from, "d.test", &to, &value).unwrap();
        for wanted in
            ["report-type=\"tlsrpt\"", "TLS-Report-Domain: d.test", "Report-ID: <k10@us.test>", "To: <r@d.test>"]
        {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        let packed: String =
            text.split("json.gz\"\n\n").nth(1).unwrap().split("\n\n--").next().unwrap().replace('\n', "");
        let packed = encodify::base64::STANDARD.decode(&packed).unwrap();
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut unpacked).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&unpacked).unwrap(), value);
    }
}
