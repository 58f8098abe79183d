//! Networks with a mask among the keys of etc/access: `192.0.2.0/24`, `IPv6:2001:db8::/32`.
//!
//! A table knows which lengths of masks it has ([`Lengths`]), kept as a row of its own; a search asks for those and no others, so that tables
//! without masks cost nothing. A mask stands in order with the leading octets that sendmail has: the longer, the more exact.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The key of the row that holds the lengths. No address and no domain looks like it.
pub(super) const LENGTHS: &str = "/networks";

/// The network that an item (a key without its tag, in lower case) names, in the one form in which it is looked for; `None` when it names none.
pub(super) fn read(item: &str) -> Option<Result<String, String>> {
    let (address, bits) = item.rsplit_once('/')?;
    let ip: IpAddr = address.strip_prefix("ipv6:").unwrap_or(address).parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    Some(match bits.parse::<u8>() {
        Ok(bits) if bits <= most && item.ends_with(&format!("/{bits}")) => Ok(print(ip, bits)),
        _ => Err(format!("{bits:?} is no length of a mask for it")),
    })
}

fn print(ip: IpAddr, bits: u8) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            format!("{}/{bits}", Ipv4Addr::from_bits(ip.to_bits() & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            format!("ipv6:{}/{bits}", Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
    }
}

/// The lengths of the masks in a table.
#[derive(Debug, Default)]
pub(super) struct Lengths(BTreeSet<(bool, u8)>);

impl Lengths {
    /// Takes note of a key.
    pub(super) fn see(&mut self, key: &str) {
        let item = ["connect:", "from:", "to:", "spam:"].iter().find_map(|tag| key.strip_prefix(tag)).unwrap_or(key);
        if let Some(Ok(network)) = read(item)
            && let Some(bits) = network.rsplit_once('/').and_then(|(_, bits)| bits.parse().ok())
        {
            self.0.insert((network.starts_with("ipv6:"), bits));
        }
    }

    /// The row that holds them; none for a table without masks.
    pub(super) fn print(&self) -> Option<String> {
        let word = |(is_v6, bits): &(bool, u8)| format!("{}/{bits}", if *is_v6 { 6 } else { 4 });
        let words: Vec<String> = self.0.iter().map(word).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

/// What stands for an address in a table with these lengths, the most exact first: networks, and leading octets or groups. The address
/// itself is not among them.
pub(super) fn around(ip: IpAddr, lengths: &str) -> Vec<String> {
    let family = if ip.is_ipv4() { "4/" } else { "6/" };
    let lengths = lengths.split(' ').filter_map(|word| word.strip_prefix(family)).filter_map(|bits| bits.parse().ok());
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let lengths = lengths.filter(|bits: &u8| *bits <= most);
    let mut found: Vec<(u8, String)> = lengths.map(|bits| (bits, print(ip, bits))).collect();
    let (text, step, separator) = match ip {
        IpAddr::V4(ip) => (ip.to_string(), 8, '.'),
        IpAddr::V6(ip) => (format!("ipv6:{ip}"), 16, ':'),
    };
    let start = if ip.is_ipv4() { 0 } else { "ipv6:".len() };
    let mut rest = text.as_str();
    while let Some(at) = rest.rfind(separator).filter(|at| *at >= start.max(1)) {
        rest = rest[..at].trim_end_matches(':');
        if rest.len() > start {
            let parts = rest[start..].split(separator).filter(|part| !part.is_empty()).count() as u8;
            found.push((parts * step, rest.to_string()));
        } else {
            break;
        }
    }
    // A stable order: a mask goes before octets of the same length.
    found.sort_by_key(|(bits, _)| std::cmp::Reverse(*bits));
    found.into_iter().map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_one_form() {
        for (item, wanted) in [
            ("192.0.2.0/24", Some(Ok("192.0.2.0/24"))),
            ("192.0.2.77/24", Some(Ok("192.0.2.0/24"))),
            ("0.0.0.0/0", Some(Ok("0.0.0.0/0"))),
            ("192.0.2.1/32", Some(Ok("192.0.2.1/32"))),
            ("ipv6:2001:db8::1/32", Some(Ok("ipv6:2001:db8::/32"))),
            ("2001:db8::/0", Some(Ok("ipv6:::/0"))),
            ("192.0.2.0/33", Some(Err(()))),
            ("192.0.2.0/024", Some(Err(()))),
            ("192.0.2.0/x", Some(Err(()))),
            ("192.0.2.0", None),
            ("a/b@c.test", None),
            ("a.test/24", None),
        ] {
            let found = read(item).map(|found| found.map_err(|_| ()));
            assert_eq!(found, wanted.map(|wanted| wanted.map(str::to_string)), "{item}");
        }
    }

    #[test]
    fn the_longer_goes_first() {
        let around = |ip: &str, lengths: &str| around(ip.parse().unwrap(), lengths).join(" ");
        assert_eq!(around("192.0.2.77", ""), "192.0.2 192.0 192");
        assert_eq!(
            around("192.0.2.77", "4/0 4/20 4/24 4/26 6/32"),
            "192.0.2.64/26 192.0.2.0/24 192.0.2 192.0.0.0/20 192.0 192 0.0.0.0/0"
        );
        assert_eq!(around("192.0.2.77", "4/99 4/x"), "192.0.2 192.0 192");
        assert_eq!(around("2001:db8::1", ""), "ipv6:2001:db8 ipv6:2001");
        assert_eq!(around("2001:db8::1", "6/32 6/48"), "ipv6:2001:db8::/48 ipv6:2001:db8::/32 ipv6:2001:db8 ipv6:2001");
    }

    #[test]
    fn a_table_knows_its_lengths() {
        let mut lengths = Lengths::default();
        assert_eq!(lengths.print(), None);
        for key in ["connect:192.0.2.0/24", "10.0.0.0/8", "connect:ipv6:2001:db8::/32", "from:a.test", "to:x/24@b.test"]
        {
            lengths.see(key);
        }
        assert_eq!(lengths.print().unwrap(), "4/8 4/24 6/32");
    }
}
