//! Reports of some eighty mail programs, from public collections: each must be read as its collection says, or as stands here.
//!
//! The collections are read in place from `../shared/corpus`; where that is missing, the tests say that they were skipped.

mod differences;

use differences::{Difference, FLUFL, SISIMAI};
use expressmail::report::{Class, Finding, classify};
use std::path::{Path, PathBuf};

fn corpus(name: &str) -> Option<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = ["../shared/corpus", "../../shared/corpus"].iter().map(|place| top.join(place)).find(|p| p.is_dir());
    if place.is_none() {
        println!("skipped: ../shared/corpus is missing");
    }
    place.map(|place| place.join(name))
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The rows of a table of expectations, without its comments.
fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = String::from_utf8(read(path)).expect("the table is text");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split('\t').map(str::to_string).collect()).collect()
}

fn show(found: &[Finding]) -> String {
    let show = |f: &Finding| {
        let recipient = f.recipient.as_ref().map_or("-".into(), ToString::to_string);
        format!("{recipient} {} {:?} [{}]", f.status, f.class, f.said.chars().take(90).collect::<String>())
    };
    found.iter().map(show).collect::<Vec<_>>().join("\n      ")
}

/// Fails for what differs and is not listed, and for what is listed and does not differ.
fn judge(wrong: Vec<(String, String)>, listed: &[Difference]) {
    let mut said = String::new();
    for (key, what) in &wrong {
        if !listed.iter().any(|difference| difference.key == key) {
            said.push_str(&format!("{key}: {what}\n"));
        }
    }
    for difference in listed {
        if !wrong.iter().any(|(key, _)| key == difference.key) {
            said.push_str(&format!("{}: listed ({}), but as expected now\n", difference.key, difference.why));
        }
    }
    assert!(said.is_empty(), "\n{said}");
}

/// The collection's own codes, 5.0.9xx, stand for reasons that RFC 3463 has codes for.
fn is_expected(expected: &str, reason: &str, finding: &Finding) -> bool {
    let got = finding.status.to_string();
    let detail = got.split_once('.').map_or("", |(_, rest)| rest);
    let private = expected.split_once(".0.9").is_some();
    match reason {
        _ if expected.is_empty() => finding.class == Class::AutoReply,
        _ if got == expected => true,
        _ if !private => false,
        "userunknown" => detail == "1.1",
        "hostunknown" => detail == "1.2",
        "mailboxfull" => detail == "2.2",
        "suspend" => detail == "2.1",
        "mesgtoobig" => detail == "3.4",
        "expired" => detail == "4.7",
        "networkerror" => detail == "4.1",
        "systemerror" => detail == "3.0",
        "rejected" | "blocked" => detail == "7.1",
        // "Refused after the data": a word of that collection's own; the text says which it was.
        "filtered" => ["1.1", "7.1", "2.1"].contains(&detail),
        _ => false,
    }
}

/// What a reason means for a subscription.
fn is_class(reason: &str, finding: &Finding) -> bool {
    let is_policy_status = finding.status.1 == 7;
    let class = finding.class;
    match reason {
        "userunknown" | "hostunknown" | "hasmoved" | "notaccept" if finding.status.0 == 4 => class == Class::Soft,
        "userunknown" | "hostunknown" | "hasmoved" | "notaccept" => (class == Class::Policy) == is_policy_status,
        "mailboxfull" | "expired" | "networkerror" => class == Class::Soft || is_policy_status,
        "delivered" => class == Class::Delivered,
        "vacation" => class == Class::AutoReply,
        "spamdetected" | "authfailure" | "requireptr" | "badreputation" | "policyviolation" | "securityerror"
        | "norelaying" | "rejected" | "blocked" | "mesgtoobig" | "exceedlimit" => class == Class::Policy,
        _ => class != Class::Complaint,
    }
}

#[test]
fn the_collection_of_sisimai() {
    let Some(dir) = corpus("bounces/sisimai") else { return };
    let mut wrong = Vec::new();
    let mut seen = 0;
    for row in rows(&dir.join("EXPECTED.tsv")) {
        let [file, number, status, _, reason, ..] = row.as_slice() else { panic!("{row:?}") };
        let found = classify(&read(&dir.join(file)));
        seen += 1;
        let finding = number.parse::<usize>().ok().and_then(|n| found.get(n - 1));
        let is_right = finding.is_some_and(|f| is_expected(status, reason, f) && is_class(reason, f));
        if !is_right {
            wrong.push((format!("{file} {number}"), format!("wants {status} {reason}\n      {}", show(&found))));
        }
    }
    assert!(seen > 150);
    judge(wrong, SISIMAI);
}

#[test]
fn the_collection_of_flufl() {
    let Some(dir) = corpus("bounces/flufl") else { return };
    let mut wrong = Vec::new();
    let mut seen = 0;
    for row in rows(&dir.join("EXPECTED.tsv")) {
        let [file, kind, ..] = row.as_slice() else { panic!("{row:?}") };
        let mut expected: Vec<String> =
            row.get(2).map(|list| list.split_whitespace().map(str::to_ascii_lowercase).collect()).unwrap_or_default();
        let found = classify(&read(&dir.join("tests/data").join(file)));
        let is_failure = |f: &&Finding| matches!(f.class, Class::Hard | Class::Soft | Class::Policy);
        let mut got: Vec<String> = found
            .iter()
            .filter(is_failure)
            .filter_map(|f| Some(f.recipient.as_ref()?.to_string().to_ascii_lowercase()))
            .collect();
        expected.sort();
        got.sort();
        got.dedup();
        let is_soft = found.iter().all(|f| f.class != Class::Hard);
        seen += 1;
        if got != expected || (kind == "temporary" && !is_soft) {
            wrong.push((file.clone(), format!("wants {kind} {expected:?}\n      {}", show(&found))));
        }
    }
    assert!(seen > 70);
    judge(wrong, FLUFL);
}

#[test]
fn other_collections() {
    let Some(dir) = corpus("bounces") else { return };
    let of = |name: &str| classify(&read(&dir.join(name)));
    let brief = |name: &str| {
        let show = |f: &Finding| format!("{} {:?}", f.status, f.class);
        of(name).iter().map(show).collect::<Vec<_>>().join(", ")
    };
    let mut wrong = String::new();
    for (name, expected) in [
        ("flanker/broken-mime.eml", "4.4.7 Soft"),
        ("flanker/delayed-broken.eml", "4.2.2 Soft"),
        ("flanker/gmail-invalid-address.eml", "5.1.0 Hard"),
        ("flanker/gmail-no-dns.eml", "5.1.2 Hard"),
        ("flanker/no-mx.eml", "4.4.4 Soft"),
        ("flanker/office365.eml", "5.1.10 Hard"),
        ("ruby-mail-reports/multi_address_bounce1.eml", "5.1.1 Hard, 5.1.1 Hard, 5.1.1 Hard, 5.1.1 Hard, 5.1.1 Hard"),
        ("ruby-mail-reports/multi_address_bounce2.eml", "5.1.1 Hard, 5.1.1 Hard, 5.1.1 Hard, 5.1.1 Hard, 5.1.1 Hard"),
        ("ruby-mail-reports/report_422.eml", "4.2.2 Soft"),
        ("ruby-mail-reports/report_530.eml", "5.3.0 Hard"),
        ("sisimai-line-endings/dos/lhost-postfix-01.eml", "5.1.1 Hard"),
        ("sisimai-line-endings/dos/lhost-sendmail-01.eml", "5.1.1 Hard"),
        ("sisimai-line-endings/not/is-not-bounce-01.eml", ""),
        ("sisimai-line-endings/not/is-not-bounce-02.eml", ""),
        // Carriage returns alone end no line of a mail (RFC 5322 §2.1): this is one long line.
        ("sisimai-line-endings/mac/lhost-postfix-01.eml", ""),
        ("sisimai-line-endings/mac/lhost-sendmail-01.eml", ""),
    ] {
        if brief(name) != expected {
            wrong.push_str(&format!("{name}: wants {expected:?}, is {:?}\n      {}\n", brief(name), show(&of(name))));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    for entry in std::fs::read_dir(dir.join("sisimai-line-endings/err")).expect("a folder").flatten() {
        // Broken ones: whatever comes out, nothing breaks.
        classify(&read(&entry.path()));
    }
}

#[test]
fn complaints() {
    let Some(dir) = corpus("arf") else { return };
    for row in rows(&dir.join("sisimai/EXPECTED.tsv")) {
        let found = classify(&read(&dir.join("sisimai").join(&row[0])));
        let number: usize = row[1].parse().expect("a number");
        assert!(found.len() >= number, "{row:?}\n{}", show(&found));
        // A report of failed authentication is nobody's complaint (RFC 6591).
        let expected =
            if row.last().is_some_and(|kind| kind == "auth-failure") { Class::AutoReply } else { Class::Complaint };
        assert!(found.iter().all(|f| f.class == expected), "{row:?}\n{}", show(&found));
    }
    for name in ["flanker/aol.eml", "flanker/yahoo.eml"] {
        let found = classify(&read(&dir.join(name)));
        assert!(found.iter().any(|f| f.class == Class::Complaint), "{name}\n{}", show(&found));
    }
}
