//! What a mailer of em.cf means here.
//!
//! Our ways to deliver are few (`envelope::Mailer`); a file of rules may define any mailer. What can't be acted on is named by
//! `emconf check` and refused when mail comes to it, never guessed.

use crate::rules::mailer::Mailer;

/// What we do for a mailer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Aliases and accounts; `unknown` when set 5 is asked about users that nobody knows.
    Local {
        /// Flag 5.
        unknown: bool,
    },
    /// SMTP to the host, at this port where A= names one.
    Smtp(Option<u16>),
    /// LMTP to the host, at this port where A= names one.
    Lmtp(Option<u16>),
    /// The mailer of a sendmail.cf that stands in the place of our settings: it is run as the file says.
    Agent,
    /// Accepted and dropped.
    Discard,
    /// Programs, files and lists: never for an address that comes from outside.
    Inside(&'static str),
    /// Nothing we can do: why.
    Unable(String),
}

impl Act {
    /// What a mailer means.
    pub fn of(mailer: &Mailer) -> Act {
        match mailer.name.to_ascii_lowercase().as_str() {
            "prog" => return Act::Inside("programs"),
            "*file*" => return Act::Inside("files"),
            "*include*" => return Act::Inside(":include:s"),
            "discard" => return Act::Discard,
            "local" => return Act::Local { unknown: mailer.has(b'5') },
            _ => {}
        }
        match &mailer.path[..] {
            b"[IPC]" | b"[TCP]" => Act::network(mailer),
            // Another agent for local users, as `cyrus` of m4, looks users up as `local` does.
            _ if mailer.has(b'A') => Act::Local { unknown: mailer.has(b'5') },
            path => {
                let path = String::from_utf8_lossy(path).into_owned();
                Act::Unable(format!(
                    "its program {path} is not run: mail goes to accounts, or to hosts by SMTP and LMTP"
                ))
            }
        }
    }

    /// What a mailer means where its file stands in the place of our settings: P=, A= and the rest are acted upon.
    pub fn of_cf(mailer: &Mailer) -> Act {
        match mailer.name.to_ascii_lowercase().as_str() {
            "prog" => Act::Inside("programs"),
            "*file*" => Act::Inside("files"),
            "*include*" => Act::Inside(":include:s"),
            "discard" => Act::Discard,
            name if name == "local" || mailer.has(b'A') => Act::Local { unknown: mailer.has(b'5') },
            _ => Act::Agent,
        }
    }

    fn network(mailer: &Mailer) -> Act {
        let is_tcp = mailer.arguments.first().is_some_and(|word| matches!(&word[..], b"TCP" | b"IPC"));
        if !is_tcp {
            return Act::Unable("only TCP is spoken to hosts".to_string());
        }
        let port = match mailer.arguments.get(2) {
            None => None,
            Some(port) => match String::from_utf8_lossy(port).parse() {
                Ok(port) => Some(port),
                Err(_) => return Act::Unable("its port is no number".to_string()),
            },
        };
        if mailer.has(b'z') { Act::Lmtp(port) } else { Act::Smtp(port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(line: &str) -> Act {
        let text: Vec<u8> = line.replace("$h", "\u{1}").bytes().map(|b| if b == 1 { 0x81 } else { b }).collect();
        let (mailer, _) = Mailer::read(&text, 1, 10, &mut |_| Ok(1));
        Act::of(&mailer.unwrap())
    }

    #[test]
    fn mailers_are_understood_or_named() {
        for (line, wanted) in [
            ("local, P=/usr/bin/procmail, F=A5, A=procmail", Act::Local { unknown: true }),
            ("cyrus, P=/usr/lib/cyrus/deliver, F=A, A=deliver", Act::Local { unknown: false }),
            ("esmtp, P=[IPC], F=a, A=TCP $h", Act::Smtp(None)),
            ("relay, P=[IPC], F=a, A=TCP $h 2525", Act::Smtp(Some(2525))),
            ("lmtp, P=[IPC], F=z, A=TCP $h", Act::Lmtp(None)),
            ("discard, P=[discard], F=l, A=discard $u", Act::Discard),
            ("prog, P=/bin/sh, F=l, A=sh -c $u", Act::Inside("programs")),
        ] {
            assert_eq!(act(line), wanted, "{line}");
        }
        for line in [
            "uucp, P=/usr/bin/uux, F=h, A=uux - $h",
            "sock, P=[IPC], F=z, A=FILE /run/lmtp",
            "x, P=[IPC], A=TCP $h smtp",
        ] {
            assert!(matches!(act(line), Act::Unable(_)), "{line}");
        }
    }
}
