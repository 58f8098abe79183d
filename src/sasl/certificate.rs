//! Whom a certificate is about: the addresses in it.
//!
//! Called by the TLS driver with certificates that it has verified; whether one is trusted is not asked here.
//! The addresses of subjectAltName count (RFC 5280 §4.2.1.6). Only a certificate without any is asked for its subject's emailAddress,
//! and only without that for a common name that is a whole address.
//! Not done: internationalized mailboxes (RFC 8398), which are an otherName.

use crate::addr::Address;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};
use x509_parser::x509::AttributeTypeAndValue;

/// Most addresses taken from one certificate.
const ADDRESSES_LIMIT: usize = 16;

/// The addresses that a certificate in DER names, in the order in which they stand; none when it can't be read.
pub fn addresses(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    // A certificate may hold an extension once only; with two nobody can say what is meant.
    let Ok(alternative) = certificate.subject_alternative_name() else { return Vec::new() };
    let mut names: Vec<&str> = Vec::new();
    for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
        if let GeneralName::RFC822Name(name) = name {
            names.push(name);
        }
    }
    if names.is_empty() {
        names = texts(certificate.subject(), X509Name::iter_email);
    }
    if names.is_empty() {
        names = texts(certificate.subject(), X509Name::iter_common_name);
    }
    let is_address = |name: &&str| name.contains('@') && Address::parse(name).is_ok();
    names.into_iter().filter(is_address).take(ADDRESSES_LIMIT).map(str::to_string).collect()
}

/// The texts of one kind of attribute.
fn texts<'a, I>(subject: &'a X509Name<'a>, attributes: impl Fn(&'a X509Name<'a>) -> I) -> Vec<&'a str>
where
    I: Iterator<Item = &'a AttributeTypeAndValue<'a>>,
{
    attributes(subject).filter_map(|attribute| attribute.as_str().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, SanType};

    const EMAIL: [u64; 7] = [1, 2, 840, 113549, 1, 9, 1];

    fn made(alternative: &[SanType], subject: &[(DnType, &str)]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, text) in subject {
            params.distinguished_name.push(kind.clone(), *text);
        }
        params.subject_alt_names = alternative.to_vec();
        params
    }

    fn read(params: CertificateParams) -> Vec<String> {
        let key = KeyPair::generate().unwrap();
        addresses(params.self_signed(&key).unwrap().der())
    }

    fn mail(text: &str) -> SanType {
        SanType::Rfc822Name(text.try_into().unwrap())
    }

    #[test]
    fn subject_alt_name_stands_before_email_and_common_name() {
        let email = (DnType::CustomDnType(EMAIL.to_vec()), "email@b.test");
        let common = (DnType::CommonName, "common@b.test");
        let dns = SanType::DnsName("b.test".try_into().unwrap());
        let both = [email.clone(), common.clone()];
        assert_eq!(read(made(&[dns.clone(), mail("x@b.test"), mail("y@b.test")], &both)), ["x@b.test", "y@b.test"]);
        assert_eq!(read(made(&[dns], &both)), ["email@b.test"]);
        assert_eq!(read(made(&[], &[common])), ["common@b.test"]);
        assert_eq!(read(made(&[], &[(DnType::CommonName, "alice")])), [""; 0]);
        assert_eq!(read(made(&[], &[])), [""; 0]);
        // What stands in subjectAltName is meant: nothing else counts then.
        assert_eq!(read(made(&[mail("no address")], &both)), [""; 0]);
    }

    #[test]
    fn names_that_are_no_addresses_are_nobody() {
        for bad in ["a@b.test\0.evil.test", "Alice <alice@b.test>", "@b.test", "a@", "a@b.test, c@b.test", "a@b.test\n"]
        {
            assert_eq!(read(made(&[], &[(DnType::CommonName, bad)])), [""; 0], "{bad:?}");
        }
    }

    #[test]
    fn nonsense_and_doubled_extensions_name_nobody() {
        assert_eq!(addresses(b""), [""; 0]);
        assert_eq!(addresses(b"\x30\x03\x02\x01\x01"), [""; 0]);
        let mut twice = made(&[mail("x@b.test")], &[]);
        // GeneralNames with one rfc822Name.
        let names = [&[0x30, 10, 0x81, 8][..], b"y@b.test"].concat();
        twice.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], names)];
        assert_eq!(read(twice), [""; 0]);
        let key = KeyPair::generate().unwrap();
        let whole = made(&[mail("x@b.test")], &[]).self_signed(&key).unwrap();
        for end in 0..whole.der().len() {
            assert_eq!(addresses(&whole.der()[..end]), [""; 0], "{end}");
        }
        for at in 0..whole.der().len() {
            let mut spoilt = whole.der().to_vec();
            spoilt[at] ^= 0x41;
            let _ = addresses(&spoilt);
        }
    }
}
