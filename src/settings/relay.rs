//! Settings of outgoing mail that are one word out of a few.

use super::value::{Kind, expected, quoted};
use toml_edit::Value;

/// A setting whose value is one of some words.
macro_rules! words {
    ($(#[doc = $doc:literal])* $name:ident, $kind:literal { $($(#[doc = $about:literal])* $variant:ident = $word:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $about])* $variant,)* }

        impl Kind for $name {
            const NAME: &'static str = $kind;

            fn read(value: &Value) -> Result<$name, String> {
                let text = value.as_str().ok_or_else(|| expected::<$name>(value))?;
                match text {
                    $($word => Ok($name::$variant),)*
                    _ => Err(format!("{text:?} is none of {}", [$(concat!("\"", $word, "\"")),*].join(", "))),
                }
            }

            fn print(&self) -> String {
                quoted(match self { $($name::$variant => $word,)* })
            }
        }
    };
}

words! {
    /// Which addresses of other hosts are used.
    Families, "\"prefer-ipv4\", \"prefer-ipv6\", \"ipv4\" or \"ipv6\"" {
        /// Both, IPv4 first.
        PreferV4 = "prefer-ipv4",
        /// Both, IPv6 first.
        PreferV6 = "prefer-ipv6",
        /// IPv4 alone.
        V4 = "ipv4",
        /// IPv6 alone.
        V6 = "ipv6",
    }
}

words! {
    /// TLS to hosts that no policy names.
    TlsDefault, "\"auto\", \"none\", \"may\", \"encrypt\" or \"dane\"" {
        /// DANE where DNS answers are secured, else where it is offered.
        Auto = "auto",
        /// Never.
        Clear = "none",
        /// Where it is offered.
        May = "may",
        /// Always, whatever the certificate.
        Encrypt = "encrypt",
        /// By TLSA records where there are any, else where it is offered.
        Dane = "dane",
    }
}

words! {
    /// Whose word on DNSSEC counts.
    Dnssec, "\"auto\", \"off\", \"trust-ad\" or \"validate\"" {
        /// The servers' when all of them are on this machine.
        Auto = "auto",
        /// Nobody's.
        Off = "off",
        /// The servers'.
        TrustAd = "trust-ad",
        /// Our own.
        Validate = "validate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_others_are_named() {
        for (word, value) in [("prefer-ipv6", Families::PreferV6), ("ipv4", Families::V4)] {
            assert_eq!(Families::read(&Value::from(word)), Ok(value));
            assert_eq!(value.print(), format!("\"{word}\""));
        }
        let error = Dnssec::read(&Value::from("on")).unwrap_err();
        assert_eq!(error, "\"on\" is none of \"auto\", \"off\", \"trust-ad\", \"validate\"");
        assert!(TlsDefault::read(&Value::from(true)).unwrap_err().contains("expected"));
    }
}
