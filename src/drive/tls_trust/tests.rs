//! Certificates made for the test, judged by each kind of trust.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority, and a host certificate from it.
struct Made {
    authority: CertificateDer<'static>,
    host: CertificateDer<'static>,
}

fn made(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Made {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(names.iter().map(|n| n.to_string()).collect::<Vec<_>>()).unwrap();
    change(&mut params);
    let host = params.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
    Made { authority: authority.der().clone(), host: host.der().clone() }
}

fn judge(trust: Trust, made: &Made, trusted: Option<&CertificateDer<'static>>) -> Result<(), TlsFault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let judge = Judge { trust, provider, roots: Some(Arc::new(roots)), said: Mutex::default() };
    let name = ServerName::try_from("whatever.test").unwrap();
    let chain = [made.authority.clone()];
    let verdict = judge.verify_server_cert(&made.host, &chain, &name, &[], UnixTime::now());
    match verdict {
        Ok(_) => Ok(()),
        Err(_) => Err(judge.verdict().expect("a reason").fault),
    }
}

fn names(list: &[&str]) -> Trust {
    Trust::Names(list.iter().map(|n| n.to_string()).collect())
}

#[test]
fn names_need_an_authority_and_one_of_the_names() {
    let good = made(&["mx.d.test", "*.wild.test"], |_| {});
    let ca = Some(&good.authority);
    assert_eq!(judge(names(&["mx.d.test"]), &good, ca), Ok(()));
    assert_eq!(judge(names(&["other.test", "mx.wild.test"]), &good, ca), Ok(()));
    assert_eq!(judge(names(&[".d.test"]), &good, ca), Ok(()));
    assert_eq!(judge(names(&["d.test"]), &good, ca), Err(TlsFault::NameMismatch));
    assert_eq!(judge(names(&[".x.d.test", ".mx.d.test"]), &good, ca), Err(TlsFault::NameMismatch));
    assert_eq!(judge(names(&["mx.d.test"]), &good, None), Err(TlsFault::NotTrusted));
    assert_eq!(judge(names(&["mx.d.test"]), &good, Some(&made(&["x"], |_| {}).authority)), Err(TlsFault::NotTrusted));
    let old = made(&["mx.d.test"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert_eq!(judge(names(&["mx.d.test"]), &old, Some(&old.authority)), Err(TlsFault::Expired));
}

#[test]
fn fingerprints_are_of_the_certificate_or_of_its_key() {
    let good = made(&["mx.d.test"], |_| {});
    let of = |octets: &[u8]| Trust::Fingerprints(vec![[0; 32], digest(octets)]);
    assert_eq!(judge(of(&good.host), &good, None), Ok(()));
    assert_eq!(judge(of(&public_key(&good.host).unwrap()), &good, None), Ok(()));
    assert_eq!(judge(of(&good.authority), &good, None), Err(TlsFault::Mismatch));
}

fn dane(usage: u8, selector: u8, matching: u8, certificate: &[u8]) -> Trust {
    let selected = if selector == 0 { certificate.to_vec() } else { public_key(certificate).unwrap() };
    let data = match matching {
        0 => selected,
        1 => Sha256::digest(&selected).to_vec(),
        _ => Sha512::digest(&selected).to_vec(),
    };
    let records = vec![Tlsa { usage, selector, matching, data: vec![7; 32] }, Tlsa { usage, selector, matching, data }];
    Trust::Dane { records, names: vec!["mx.d.test".to_string()] }
}

#[test]
fn dane_ee_looks_at_nothing_but_the_certificate() {
    // Nobody's certificate, for another name, and out of date.
    let odd = made(&["other.test"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        assert_eq!(judge(dane(3, selector, matching, &odd.host), &odd, None), Ok(()), "3 {selector} {matching}");
        let other = made(&["other.test"], |_| {});
        let wrong = judge(dane(3, selector, matching, &other.host), &odd, None);
        assert_eq!(wrong, Err(TlsFault::Mismatch), "3 {selector} {matching}");
    }
    // The issuer's digest under usage 3 is not the host's.
    assert_eq!(judge(dane(3, 0, 1, &odd.authority), &odd, None), Err(TlsFault::Mismatch));
}

#[test]
fn dane_ta_is_an_issuer_with_names_and_dates() {
    let good = made(&["mx.d.test"], |_| {});
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        assert_eq!(judge(dane(2, selector, matching, &good.authority), &good, None), Ok(()), "2 {selector} {matching}");
    }
    let other_name = made(&["other.test"], |_| {});
    assert_eq!(judge(dane(2, 0, 1, &other_name.authority), &other_name, None), Err(TlsFault::NameMismatch));
    let old = made(&["mx.d.test"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert_eq!(judge(dane(2, 1, 1, &old.authority), &old, None), Err(TlsFault::Expired));
    // An authority that did not issue it.
    let other = made(&["mx.d.test"], |_| {});
    let mixed = Made { authority: other.authority.clone(), host: good.host.clone() };
    assert_eq!(judge(dane(2, 0, 1, &other.authority), &mixed, None), Err(TlsFault::NotTrusted));
}

#[test]
fn anybody_is_anybody() {
    let odd = made(&["other.test"], |_| {});
    assert_eq!(judge(Trust::May, &odd, None), Ok(()));
    assert_eq!(judge(Trust::Encrypt, &odd, None), Ok(()));
}
