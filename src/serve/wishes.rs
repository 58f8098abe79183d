//! Which of a sender's wishes are granted, and what the header of a message asks for by itself.
//!
//! Called by `smtp` at MAIL and by `accept` when a header is complete.
//! RFC 6710 §4.1: nobody lifts a message above the others whom nobody vouches for. RFC 6758 §3.1: where MAIL says nothing about the
//! priority, the field MT-Priority counts. RFC 8689 §4.1: where MAIL does not say REQUIRETLS, the field TLS-Required counts.

use crate::envelope::{Handling, Priority, TlsWish};
use crate::msg::Facts;
use crate::status::{Enhanced, Reply};

/// Lowers what was asked for too much; gives the reply that says so, where something was changed.
pub(super) fn grant(handling: &mut Handling, is_trusted: bool) -> Option<Reply> {
    let asked = handling.priority.filter(|asked| !is_trusted && asked.lowered() != *asked)?;
    let granted = asked.lowered();
    handling.priority = Some(granted);
    // RFC 6710 §4.1: the number comes first.
    Some(Reply::new(250, Enhanced(2, 3, 6), format!("{granted} is the new priority assigned to the message")))
}

/// Adds what the header asks for. `reads_priority` is the setting, `is_trusted` as for [`grant`].
pub(super) fn add_header(handling: &mut Handling, facts: &Facts, reads_priority: bool, is_trusted: bool) {
    if handling.tls == TlsWish::Usual && facts.tls_not_required {
        handling.tls = TlsWish::NotRequired;
    }
    if handling.priority.is_none() && reads_priority {
        let asked = facts.priority.as_deref().and_then(|text| text.parse::<Priority>().ok());
        handling.priority = asked.map(|asked| if is_trusted { asked } else { asked.lowered() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(header: &str, handling: Handling, is_trusted: bool) -> Handling {
        let mut handling = handling;
        add_header(&mut handling, &Facts::of(header.as_bytes()), true, is_trusted);
        handling
    }

    #[test]
    fn strangers_may_lower_and_not_lift() {
        for (asked, is_trusted, granted, replies) in
            [("5", false, 0, true), ("5", true, 5, false), ("-5", false, -5, false)]
        {
            let mut handling = Handling { priority: asked.parse().ok(), ..Handling::default() };
            assert_eq!(grant(&mut handling, is_trusted).is_some(), replies, "{asked}");
            assert_eq!(handling.rank(), granted);
        }
        assert_eq!(grant(&mut Handling::default(), false), None);
    }

    #[test]
    fn the_header_counts_where_mail_said_nothing() {
        let none = Handling::default();
        assert_eq!(wishes("MT-Priority: 4 (ultra)\n", none.clone(), true).rank(), 4);
        assert_eq!(wishes("MT-Priority: 4\n", none.clone(), false).priority, "0".parse().ok());
        assert_eq!(wishes("MT-Priority: 4\nMT-Priority: 5\n", none.clone(), true).priority, None);
        assert_eq!(wishes("MT-Priority: high\n", none.clone(), true).priority, None);
        let said = Handling { priority: "-2".parse().ok(), ..Handling::default() };
        assert_eq!(wishes("MT-Priority: 4\n", said, true).rank(), -2);
        assert_eq!(wishes("TLS-Required: No\n", none.clone(), false).tls, TlsWish::NotRequired);
        assert_eq!(wishes("TLS-Required: no\nTLS-Required: No\n", none.clone(), false).tls, TlsWish::Usual);
        assert_eq!(wishes("TLS-Required: Yes\n", none, false).tls, TlsWish::Usual);
        let required = Handling { tls: TlsWish::Required, ..Handling::default() };
        assert_eq!(wishes("TLS-Required: No\n", required, false).tls, TlsWish::Required);
    }

    #[test]
    fn the_priority_of_the_header_is_read_only_where_the_setting_says_so() {
        let mut handling = Handling::default();
        add_header(&mut handling, &Facts::of(b"MT-Priority: 4\n"), false, true);
        assert_eq!(handling.priority, None);
    }
}
