//! The types a setting can have, each with its text form in both directions.

use crate::addr::Address;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use toml_edit::Value;

/// A setting's type.
pub trait Kind: Sized {
    /// How the manual calls it.
    const NAME: &'static str;
    /// Reads a TOML value; the error says what was expected.
    fn read(value: &Value) -> Result<Self, String>;
    /// Prints the value as TOML.
    fn print(&self) -> String;
}

pub(super) fn expected<K: Kind>(value: &Value) -> String {
    format!("expected {}, found {}", K::NAME, value.type_name())
}

pub(super) fn text<K: Kind>(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| expected::<K>(value))
}

/// A string as TOML prints it.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string().trim().to_string()
}

impl Kind for String {
    const NAME: &'static str = "a string";

    fn read(value: &Value) -> Result<String, String> {
        text::<String>(value).map(str::to_string)
    }

    fn print(&self) -> String {
        quoted(self)
    }
}

impl Kind for bool {
    const NAME: &'static str = "true or false";

    fn read(value: &Value) -> Result<bool, String> {
        value.as_bool().ok_or_else(|| expected::<bool>(value))
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl Kind for u32 {
    const NAME: &'static str = "a number";

    fn read(value: &Value) -> Result<u32, String> {
        let number = value.as_integer().ok_or_else(|| expected::<u32>(value))?;
        u32::try_from(number).map_err(|_| format!("{number} is out of range (0 to {})", u32::MAX))
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

/// A number of octets, written `50M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let wrong = || format!("{text:?} is not a size: write a number with k, M or G, as in \"50M\"");
        let trimmed = text.trim().trim_end_matches(['b', 'B']);
        let digits = trimmed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match trimmed[digits.len()..].to_ascii_lowercase().as_str() {
            "" => 1,
            "k" | "ki" => 1 << 10,
            "m" | "mi" => 1 << 20,
            "g" | "gi" => 1 << 30,
            "t" | "ti" => 1u64 << 40,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
        number.checked_mul(factor).map(Size).ok_or_else(wrong)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (unit, shift) in [("T", 40), ("G", 30), ("M", 20), ("K", 10)] {
            if self.0 > 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl Kind for Size {
    const NAME: &'static str = "a size such as \"50M\"";

    fn read(value: &Value) -> Result<Size, String> {
        match value.as_integer() {
            Some(number) => u64::try_from(number).map(Size).map_err(|_| "a size can't be negative".to_string()),
            None => text::<Size>(value)?.parse(),
        }
    }

    fn print(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A span of time, written `5m` (humantime's form).
impl Kind for Duration {
    const NAME: &'static str = "a time span such as \"5m\"";

    fn read(value: &Value) -> Result<Duration, String> {
        let text = text::<Duration>(value)?;
        humantime::parse_duration(text)
            .map_err(|e| format!("{text:?} is not a time span ({e}): write \"90s\", \"15m\", \"4h\" or \"5d\""))
    }

    fn print(&self) -> String {
        quoted(&humantime::format_duration(*self).to_string())
    }
}

/// A network: address and number of leading bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    ip: IpAddr,
    bits: u8,
}

impl Network {
    /// True when the address lies in the network; an IPv4 address mapped into IPv6 counts as IPv4.
    pub fn holds(&self, ip: IpAddr) -> bool {
        match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.bits);
                u32::from(net).checked_shr(shift) == u32::from(ip).checked_shr(shift)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.bits);
                u128::from(net).checked_shr(shift) == u128::from(ip).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let wrong = || format!("{text:?} is not a network: write \"192.0.2.0/24\", \"2001:db8::/32\" or one address");
        let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most {
            return Err(wrong());
        }
        Ok(Network { ip, bits })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

/// When passwords may cross the wire without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plaintext {
    /// Not at all.
    Never,
    /// From the machine itself.
    Loopback,
    /// From everywhere.
    Always,
}

impl std::str::FromStr for Plaintext {
    type Err = String;

    fn from_str(text: &str) -> Result<Plaintext, String> {
        match text {
            "never" => Ok(Plaintext::Never),
            "loopback" => Ok(Plaintext::Loopback),
            "always" => Ok(Plaintext::Always),
            _ => Err(format!("{text:?} is none of \"never\", \"loopback\", \"always\"")),
        }
    }
}

impl std::fmt::Display for Plaintext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Plaintext::Never => "never",
            Plaintext::Loopback => "loopback",
            Plaintext::Always => "always",
        })
    }
}

impl Kind for Plaintext {
    const NAME: &'static str = "\"never\", \"loopback\" or \"always\"";

    fn read(value: &Value) -> Result<Plaintext, String> {
        text::<Plaintext>(value)?.parse()
    }

    fn print(&self) -> String {
        quoted(&self.to_string())
    }
}

/// The members of lists.
pub trait Member: Sized + ToString {
    /// How the manual calls a list of them.
    const LIST: &'static str;
    /// Reads one.
    fn member(text: &str) -> Result<Self, String>;
}

impl Member for String {
    const LIST: &'static str = "a list of strings";

    fn member(text: &str) -> Result<String, String> {
        Ok(text.to_string())
    }
}

impl Member for Network {
    const LIST: &'static str = "a list of networks";

    fn member(text: &str) -> Result<Network, String> {
        text.parse()
    }
}

impl Member for IpAddr {
    const LIST: &'static str = "a list of addresses";

    fn member(text: &str) -> Result<IpAddr, String> {
        text.parse().map_err(|_| format!("{text:?} is not an address: write \"192.0.2.1\" or \"2001:db8::1\""))
    }
}

impl Member for Address {
    const LIST: &'static str = "a list of mail addresses";

    fn member(text: &str) -> Result<Address, String> {
        Address::parse(text).map_err(|e| format!("{text:?}: {e}"))
    }
}

impl Member for SocketAddr {
    const LIST: &'static str = "a list of \"address:port\"";

    fn member(text: &str) -> Result<SocketAddr, String> {
        // A port alone listens on every address, IPv6 included.
        if let Ok(port) = text.parse::<u16>() {
            return Ok(SocketAddr::from(([0u16; 8], port)));
        }
        text.parse()
            .map_err(|_| format!("{text:?} is not an address and port: write \"127.0.0.1:25\", \"[::]:25\" or \"25\""))
    }
}

impl<M: Member> Kind for Vec<M> {
    const NAME: &'static str = M::LIST;

    fn read(value: &Value) -> Result<Vec<M>, String> {
        // One member may stand without brackets.
        if let Some(one) = value.as_str() {
            return if one.is_empty() { Ok(Vec::new()) } else { M::member(one).map(|m| vec![m]) };
        }
        if let (Some(one), true) = (value.as_integer(), M::LIST.contains("port")) {
            return M::member(&one.to_string()).map(|m| vec![m]);
        }
        let array = value.as_array().ok_or_else(|| expected::<Vec<M>>(value))?;
        array
            .iter()
            .map(|member| match (member.as_str(), member.as_integer()) {
                (Some(text), _) => M::member(text),
                (None, Some(number)) => M::member(&number.to_string()),
                _ => Err(format!("expected {}, found one with a {}", M::LIST, member.type_name())),
            })
            .collect()
    }

    fn print(&self) -> String {
        let members: Vec<String> = self.iter().map(|m| quoted(&m.to_string())).collect();
        format!("[{}]", members.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, octets) in [("50M", 50 << 20), ("1k", 1024), ("2GB", 2 << 30), ("7", 7), ("1GiB", 1 << 30)] {
            assert_eq!(text.parse::<Size>().unwrap().0, octets, "{text}");
        }
        assert_eq!(Size(50 << 20).to_string(), "50M");
        assert_eq!(Size(0).to_string(), "0");
        for bad in ["", "M", "5x", "-1", "99999999999T"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn networks() {
        let holds = |net: &str, ip: &str| net.parse::<Network>().unwrap().holds(ip.parse().unwrap());
        assert!(holds("192.0.2.0/24", "192.0.2.255"));
        assert!(holds("192.0.2.0/24", "::ffff:192.0.2.1"));
        assert!(!holds("192.0.2.0/24", "192.0.3.1"));
        assert!(holds("0.0.0.0/0", "203.0.113.1") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("::1", "::1") && !holds("::1", "::2"));
        assert!("192.0.2.0/33".parse::<Network>().is_err() && "x/8".parse::<Network>().is_err());
    }
}
