//! The sender rewriting scheme: forwarded mail gets a sender in our own domain, which leads back to the first one.
//!
//! Called by `serve` (forwarding out, and bounces coming back) and `bounce`. Pure: secrets and the present come in.
//! A host that checks SPF refuses alice@example.org from us, because we do not send for example.org; with our own domain in the sender it
//! has nothing against the message, and what bounces comes back through us. The scheme is that of libsrs2 and postsrsd:
//!
//! ```text
//! alice@example.org                     forwarded by us       SRS0=HHHHHH=TT=example.org=alice@srs.example.net
//! SRS0=opaque@first.test                forwarded by us       SRS1=HHHHHH=first.test==opaque@srs.example.net
//! SRS1=XXXX=first.test==opaque@other    forwarded by us       SRS1=HHHHHH=first.test==opaque@srs.example.net
//! ```
//! `TT` is a day, `HHHHHH` the beginning of an HMAC-SHA-256 over what follows it. Hosts on the way may change letters to lower case: hashes
//! and days are compared without regard to case, and the hash is made over the lower case.
//! Trust: an address that comes back is hostile. Only with a good hash does it lead anywhere; else we would relay for everybody.
//! An address that would be longer than a local part may be (RFC 5321 §4.5.3.1.1) is not rewritten.

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::sasl::hmac_sha256;
use subtle::ConstantTimeEq;

/// Letters of base32, five bits each.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Characters of a hash: 30 bits. libsrs2 has four; a forger needs a thousand times as long for each two more.
const HASH: usize = 6;
/// Days are counted in a circle of so many.
const CIRCLE: i64 = 1024;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// The scheme with its keys.
#[derive(Debug, Clone)]
pub struct Srs {
    domain: String,
    secrets: Vec<String>,
    valid_days: i64,
}

/// Why an address does not lead back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SrsError {
    /// It is not of the scheme, or not in our domain.
    #[error("no rewritten sender of ours")]
    NotOurs,
    /// The hash is not ours.
    #[error("the hash of the rewritten sender is wrong")]
    Forged,
    /// It is older than it may be.
    #[error("the rewritten sender has expired")]
    Expired,
}

/// True when the local part is one of the scheme: `SRS0` or `SRS1`, and a separator.
pub fn is_rewritten(local: &str) -> bool {
    tagged(local, "SRS0").is_some() || tagged(local, "SRS1").is_some()
}

/// The separator and the rest behind a tag. Forwarders may use other separators than ours, and they are kept (`=`, `+`, `-`).
fn tagged<'a>(local: &'a str, tag: &str) -> Option<&'a str> {
    let rest = local.get(..4).filter(|start| start.eq_ignore_ascii_case(tag)).map(|_| &local[4..])?;
    rest.starts_with(['=', '+', '-']).then_some(rest)
}

impl Srs {
    /// The scheme for a domain of ours. The first secret signs, all of them verify; addresses lead back for so many days.
    ///
    /// `None` without a secret.
    pub fn new(domain: &str, secrets: Vec<String>, valid_days: u32) -> Option<Srs> {
        let valid_days = i64::from(valid_days).min(CIRCLE / 2);
        (!secrets.is_empty()).then(|| Srs { domain: domain.to_string(), secrets, valid_days })
    }

    /// The sender for a message that we forward; `None` when there is no room for it.
    pub fn forward(&self, sender: &Address, now: Timestamp) -> Option<Address> {
        let local = sender.local();
        let signed = if let Some(rest) = tagged(local, "SRS1") {
            // The first forwarder's address, whoever was between: so it never grows.
            let (_, rest) = rest[1..].split_once('=')?;
            rest.to_string()
        } else if let Some(rest) = tagged(local, "SRS0") {
            format!("{}={rest}", sender.domain())
        } else {
            let day = stamp(now.seconds().div_euclid(DAY));
            format!("{day}={}={local}", sender.domain())
        };
        let tag = if is_rewritten(local) { "SRS1" } else { "SRS0" };
        let hash = hash(self.secrets.first()?, &signed);
        Address::new(&format!("{tag}={hash}={signed}"), &self.domain).ok()
    }

    /// The address to which mail for a rewritten sender goes.
    pub fn reverse(&self, address: &Address, now: Timestamp) -> Result<Address, SrsError> {
        if address.domain() != self.domain {
            return Err(SrsError::NotOurs);
        }
        let local = address.local();
        let is_first = tagged(local, "SRS0").is_some();
        let rest = tagged(local, "SRS0").or_else(|| tagged(local, "SRS1")).ok_or(SrsError::NotOurs)?;
        let (given, signed) = rest[1..].split_once('=').ok_or(SrsError::Forged)?;
        // All secrets are tried, whichever fits: the time tells nothing.
        let is_ours = self.secrets.iter().fold(false, |found, secret| {
            let own = hash(secret, signed).to_ascii_lowercase();
            found | bool::from(own.as_bytes().ct_eq(given.to_ascii_lowercase().as_bytes()))
        });
        if !is_ours {
            return Err(SrsError::Forged);
        }
        if !is_first {
            let (domain, opaque) = signed.split_once('=').ok_or(SrsError::Forged)?;
            return Address::new(&format!("SRS0{opaque}"), domain).map_err(|_| SrsError::Forged);
        }
        let mut parts = signed.splitn(3, '=');
        let (Some(day), Some(domain), Some(local)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SrsError::Forged);
        };
        let day = unstamp(day).ok_or(SrsError::Forged)?;
        let age = (now.seconds().div_euclid(DAY) - day).rem_euclid(CIRCLE);
        // A day ahead is another host's clock, or ours that was set back.
        if age > self.valid_days && age != CIRCLE - 1 {
            return Err(SrsError::Expired);
        }
        Address::new(local, domain).map_err(|_| SrsError::Forged)
    }
}

fn hash(secret: &str, signed: &str) -> String {
    let mac = hmac_sha256(secret.as_bytes(), signed.to_lowercase().as_bytes());
    let letters = mac.iter().map(|byte| ALPHABET[usize::from(byte & 31)] as char);
    letters.take(HASH).collect()
}

fn stamp(day: i64) -> String {
    let day = day.rem_euclid(CIRCLE);
    [day / 32, day % 32].iter().map(|digit| ALPHABET[*digit as usize & 31] as char).collect()
}

fn unstamp(text: &str) -> Option<i64> {
    let digit = |c: &u8| ALPHABET.iter().position(|letter| letter.eq_ignore_ascii_case(c)).map(|at| at as i64);
    match text.as_bytes() {
        [high, low] => Some(digit(high)? * 32 + digit(low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_795_522_071_000_000);

    fn srs() -> Srs {
        Srs::new("srs.example.net", vec!["secret".into()], 21).unwrap()
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn days(n: i64) -> Timestamp {
        Timestamp(NOW.0 + n * DAY * 1_000_000)
    }

    #[test]
    fn a_sender_goes_out_in_our_domain_and_leads_back() {
        for text in ["alice@example.org", "Alice.B+x=y@example.org", "\"a b\"@example.org", "用户@example.org"] {
            let out = srs().forward(&address(text), NOW).unwrap();
            assert_eq!(out.domain(), "srs.example.net");
            assert!(is_rewritten(out.local()) && out.local().starts_with("SRS0="), "{out}");
            assert_eq!(srs().reverse(&address(&out.to_string()), days(3)).unwrap(), address(text));
        }
    }

    #[test]
    fn letters_may_be_changed_on_the_way() {
        let out = srs().forward(&address("alice@example.org"), NOW).unwrap();
        let lower = address(&out.to_string().to_lowercase());
        assert_eq!(srs().reverse(&lower, NOW).unwrap(), address("alice@example.org"));
    }

    #[test]
    fn a_chain_of_forwarders_stays_short_and_leads_to_the_first() {
        let second = Srs::new("second.test", vec!["other".into()], 21).unwrap();
        let third = Srs::new("third.test", vec!["third".into()], 21).unwrap();
        let one = srs().forward(&address("alice@example.org"), NOW).unwrap();
        let two = second.forward(&one, NOW).unwrap();
        let three = third.forward(&two, NOW).unwrap();
        assert!(two.local().starts_with("SRS1=") && three.local().starts_with("SRS1="));
        assert_eq!(two.local().len(), three.local().len());
        assert_eq!(third.reverse(&three, NOW).unwrap(), one);
        assert_eq!(second.reverse(&two, NOW).unwrap(), one);
        assert_eq!(second.reverse(&three, NOW), Err(SrsError::NotOurs));
    }

    #[test]
    fn other_separators_are_kept() {
        for text in ["SRS0+abcd=TT=example.org=alice@first.test", "srs0-abcd=TT=example.org=alice@first.test"] {
            let out = srs().forward(&address(text), NOW).unwrap();
            let back = srs().reverse(&out, NOW).unwrap();
            assert_eq!(back.to_string().to_lowercase(), text.to_lowercase());
        }
    }

    #[test]
    fn what_was_tampered_with_leads_nowhere() {
        let out = srs().forward(&address("alice@example.org"), NOW).unwrap();
        let local = out.local();
        for at in 5..local.len() {
            let mut bytes = local.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'q' { b'p' } else { b'q' };
            let Ok(forged) = Address::new(&String::from_utf8(bytes).unwrap(), "srs.example.net") else { continue };
            assert!(srs().reverse(&forged, NOW).is_err(), "{forged}");
        }
        for text in [
            "SRS0=@srs.example.net",
            "SRS0==@srs.example.net",
            "SRS1=a=b@srs.example.net",
            "SRS0=AAAAAA=AA=victim.test=spam@srs.example.net",
            "SRS1=AAAAAA=victim.test==spam@srs.example.net",
        ] {
            assert_eq!(srs().reverse(&address(text), NOW), Err(SrsError::Forged), "{text}");
        }
        let shorter = local.replacen(&local[5..11], &local[5..9], 1);
        assert_eq!(srs().reverse(&Address::new(&shorter, "srs.example.net").unwrap(), NOW), Err(SrsError::Forged));
        assert_eq!(srs().reverse(&address("SRS0@srs.example.net"), NOW), Err(SrsError::NotOurs));
        assert_eq!(srs().reverse(&address("alice@srs.example.net"), NOW), Err(SrsError::NotOurs));
        // The first forwarder's address may not become another's by moving the hash.
        let one = srs().forward(&address("SRS0=a=b=c.test=d@first.test"), NOW).unwrap();
        let moved = one.local().replacen("SRS1", "SRS0", 1);
        assert!(srs().reverse(&Address::new(&moved, "srs.example.net").unwrap(), NOW).is_err());
    }

    #[test]
    fn it_expires_and_the_circle_of_days_closes() {
        let out = srs().forward(&address("alice@example.org"), NOW).unwrap();
        for (day, is_good) in [(-1, true), (0, true), (21, true), (22, false), (500, false), (1023, true), (-2, false)]
        {
            assert_eq!(srs().reverse(&out, days(day)).is_ok(), is_good, "{day}");
        }
        assert_eq!(srs().reverse(&out, days(22)), Err(SrsError::Expired));
        // The first forwarder knows how old it is.
        let one = srs().forward(&address("SRS0=a=b=c.test=d@first.test"), NOW).unwrap();
        assert!(srs().reverse(&one, days(300)).is_ok());
    }

    #[test]
    fn old_secrets_verify_and_the_first_one_signs() {
        let out = srs().forward(&address("alice@example.org"), NOW).unwrap();
        let rolled = Srs::new("srs.example.net", vec!["new".into(), "secret".into()], 21).unwrap();
        assert!(rolled.reverse(&out, NOW).is_ok());
        let new = rolled.forward(&address("alice@example.org"), NOW).unwrap();
        assert_eq!(srs().reverse(&new, NOW), Err(SrsError::Forged));
        assert!(Srs::new("srs.example.net", vec![], 21).is_none());
    }

    #[test]
    fn what_has_no_room_is_left_as_it_is() {
        let long = format!("{}@a-rather-long-domain.example.org", "x".repeat(40));
        assert_eq!(srs().forward(&address(&long), NOW), None);
        assert_eq!(srs().forward(&address("SRS1=nothing@x.test"), NOW), None);
    }

    proptest! {
        #[test]
        fn every_address_with_room_leads_back(local in "[a-zA-Z0-9.=+_-]{1,20}", domain in "[a-z]{1,8}\\.test") {
            if let Ok(sender) = Address::new(&local, &domain)
                && let Some(out) = srs().forward(&sender, NOW)
                && !is_rewritten(&local)
            {
                prop_assert_eq!(srs().reverse(&out, NOW), Ok(sender));
            }
        }

        #[test]
        fn nothing_that_comes_in_is_taken_without_its_hash(local in "(SRS|srs)[01][=+-][a-zA-Z0-9=.]{0,50}") {
            if let Ok(address) = Address::new(&local, "srs.example.net") {
                prop_assert!(srs().reverse(&address, NOW).is_err());
            }
        }
    }
}
