//! Reports to other domains on how TLS with their hosts went: who wants them, what they say, the message. Pure.
//!
//! Called by `emqueue tls-report` with the counts of one day (`ledger`).
//! Trust: whom a domain names in its TXT record gets numbers about that domain and nothing else.
//! RFC 8460 §3, §4.4, §5.3. Not done: sending by HTTPS; reports are not signed here.

use super::ledger::Session;
use crate::addr::Address;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Most addresses of one domain that get its report.
const ADDRESSES: usize = 4;
/// Length of a line of base64 (RFC 2045 §6.8).
const LINE: usize = 76;

/// Who wants reports, by the texts at `_smtp._tls.DOMAIN`; `None` where there is no such record, or more than one.
pub fn wanted_by<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Address>> {
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
    let mailto = uris.split(',').filter_map(|uri| uri.trim().strip_prefix("mailto:"));
    // What follows a question mark are header fields that nobody asked us to obey.
    let addresses = mailto.filter_map(|address| Address::parse(address.split('?').next().unwrap_or("")).ok());
    Some(addresses.take(ADDRESSES).collect())
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

/// The message that carries a report (RFC 8460 §5.3), with LF line ends.
pub fn message(from: &Reporter<'_>, about: &str, to: &Address, report: &Value) -> io::Result<String> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(report.to_string().as_bytes())?;
    let packed = encodify::base64::STANDARD.encode(gzip.finish()?);
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
        assert_eq!(of(&["other", one]).unwrap(), "a@d.test b@d.test");
        assert_eq!(of(&["v=TLSRPTv1;rua=https://d.test/x"]).unwrap(), "");
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
