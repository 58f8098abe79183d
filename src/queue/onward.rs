//! What a message's wishes mean for the next host: the parameters of MAIL and RCPT, a header field, and what its sender is owed.
//!
//! Called by the conversation once EHLO is answered; pure. An error here is final for this host: the conversation tries the next one
//! of the same domain where there is one, and otherwise settles the recipients with it.
//! RFC 2852 §4.1.4, RFC 6710 §4.2 and §4.3, RFC 6758 §3.3, RFC 8689 §4.2, RFC 3461 §5.2 and §6.1.

use crate::clock::Timestamp;
use crate::envelope::{ByMode, Envelope, Mailer, Notify, Recipient, TlsWish};
use crate::msg;
use crate::proto::smtp::reply::number;
use crate::status::Enhanced;

/// The next host, as far as wishes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHost {
    /// How it is spoken to. LMTP delivers: what is said about relaying does not apply to it.
    pub mailer: Mailer,
    /// DSN was offered.
    pub dsn: bool,
    /// DELIVERBY was offered, with its shortest time in seconds (0 where it names none).
    pub deliver_by: Option<u64>,
    /// MT-PRIORITY was offered.
    pub priority: bool,
    /// REQUIRETLS was offered.
    pub requires_tls: bool,
    /// TLS is on, with a certificate that was verified for the host that the domain's own word names (RFC 8689 §2).
    pub is_verified: bool,
}

impl NextHost {
    /// Reads the lines of EHLO behind the first.
    pub fn of(mailer: Mailer, lines: &[String], is_verified: bool) -> NextHost {
        let mut host =
            NextHost { mailer, dsn: false, deliver_by: None, priority: false, requires_tls: false, is_verified };
        for line in lines {
            let mut words = line.split(' ');
            match words.next().unwrap_or("").to_ascii_uppercase().as_str() {
                "DSN" => host.dsn = true,
                "DELIVERBY" => {
                    let least = words.next().and_then(|word| word.split(',').next()).and_then(number);
                    host.deliver_by = Some(least.unwrap_or(0));
                }
                "MT-PRIORITY" => host.priority = true,
                "REQUIRETLS" => host.requires_tls = true,
                _ => {}
            }
        }
        host
    }
}

/// A host that may not have the message: the status, and what the sender is told.
pub type Refusal = (Enhanced, &'static str);

/// What is added to MAIL, each parameter with a blank in front. Asked right before MAIL is sent: BY counts the seconds.
pub fn mail_parameters(envelope: &Envelope, host: &NextHost, now: Timestamp) -> Result<String, Refusal> {
    let handling = &envelope.handling;
    let mut out = String::new();
    if handling.tls == TlsWish::Required {
        // RFC 8689 §5: a report is not lost for it.
        let must = envelope.sender.is_some();
        if must && !host.is_verified {
            return Err((
                Enhanced(5, 7, 10),
                "The message requires TLS, and the next host can't be reached with verified TLS",
            ));
        }
        if must && !host.requires_tls {
            return Err((
                Enhanced(5, 7, 30),
                "The message requires TLS, and the next host does not promise REQUIRETLS",
            ));
        }
        if host.requires_tls && host.is_verified {
            out.push_str(" REQUIRETLS");
        }
    }
    if let Some(by) = handling.by.filter(|_| host.mailer != Mailer::Lmtp) {
        let left = by.left(now);
        match (by.mode, host.deliver_by) {
            (ByMode::Return, _) if left <= 0 => {
                return Err((Enhanced(5, 4, 7), "The time for delivery has passed"));
            }
            (ByMode::Return, None) => {
                return Err((Enhanced(5, 3, 3), "The next host does not take a time for delivery (DELIVERBY)"));
            }
            (ByMode::Return, Some(least)) if (left as u64) < least => {
                return Err((Enhanced(5, 3, 3), "The next host can't deliver in the time that is left"));
            }
            (_, Some(_)) => out.push_str(&format!(" BY={};{}", left.clamp(-BY_LIMIT, BY_LIMIT), by.letters())),
            (ByMode::Notify, None) => {}
        }
    }
    if let Some(priority) = handling.priority.filter(|_| host.priority) {
        out.push_str(&format!(" MT-PRIORITY={priority}"));
    }
    Ok(out)
}

/// The largest `by-time`, in seconds (RFC 2852 §4).
const BY_LIMIT: i64 = 999_999_999;

/// True when the time of a BY=…;N is not the next host's concern any more: it does not know DELIVERBY.
fn is_lost(envelope: &Envelope, host: &NextHost, now: Timestamp) -> bool {
    let by = envelope.handling.by;
    by.is_some_and(|by| by.mode == ByMode::Notify && now < by.at)
        && host.deliver_by.is_none()
        && host.mailer != Mailer::Lmtp
}

/// NOTIFY for a recipient; `None` for no such parameter. Only for hosts that offered DSN.
pub fn notify(recipient: &Recipient, envelope: &Envelope, host: &NextHost, now: Timestamp) -> Option<Notify> {
    if !host.dsn {
        return None;
    }
    if envelope.sender.is_none() {
        // RFC 3461 §6.1.
        return Some(Notify::NEVER);
    }
    let notify = recipient.notify;
    if is_lost(envelope, host, now) && notify != Notify::NEVER {
        // RFC 2852 §4.1.4.2: the host can at least say that it is late.
        return Some(Notify { delay: true, ..notify });
    }
    Some(notify).filter(|notify| !notify.is_default())
}

/// True when the sender must hear that the message was relayed, once this recipient was accepted there: journal
/// [`crate::spool::Record::Relayed`] for it, and not `Reported`.
pub fn owes_relayed(recipient: &Recipient, envelope: &Envelope, host: &NextHost, now: Timestamp) -> bool {
    let traces = envelope.handling.by.is_some_and(|by| by.trace) && host.mailer != Mailer::Lmtp;
    envelope.sender.is_some() && recipient.notify != Notify::NEVER && (traces || is_lost(envelope, host, now))
}

/// The header as the next host gets it: where it does not offer MT-PRIORITY, the field MT-Priority carries the priority past it.
/// `None` when the header stays as it is. Text has LF line ends; `header` ends with the empty line, or with the message.
pub fn tunnelled(header: &[u8], envelope: &Envelope, host: &NextHost) -> Option<Vec<u8>> {
    let priority = envelope.handling.priority.filter(|_| !host.priority)?;
    let mut out = format!("MT-Priority: {priority}\n").into_bytes();
    let mut taken = 0;
    for field in msg::fields(header) {
        taken += field.raw.len();
        if !field.is("MT-Priority") {
            out.extend_from_slice(field.raw);
        }
    }
    out.extend_from_slice(&header[taken..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Address;
    use crate::envelope::{DeliverBy, Delivery, Handling};
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(1_795_522_071_000_000);

    fn envelope(handling: Handling) -> Envelope {
        let address = Address::parse("a@b.test").unwrap();
        let delivery = Delivery::new(Mailer::Smtp, "a@b.test");
        let recipient = Recipient { original: address.clone(), orcpt: None, notify: Notify::default(), delivery };
        Envelope { handling, ..Envelope::local(Some(address), NOW, vec![recipient]) }
    }

    fn by(seconds: i64, letters: &str) -> Handling {
        let (mode, trace) = crate::envelope::by_letters(letters).unwrap();
        let at = Timestamp(NOW.0 + seconds * 1_000_000);
        Handling { by: Some(DeliverBy { at, mode, trace }), ..Handling::default() }
    }

    fn host(lines: &[&str]) -> NextHost {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        NextHost::of(Mailer::Smtp, &lines, false)
    }

    #[test]
    fn ehlo_is_read() {
        let host = host(&["SIZE 5", "deliverby 240,x", "DSN", "MT-PRIORITY STANAG4406", "REQUIRETLS"]);
        assert_eq!((host.deliver_by, host.dsn, host.priority, host.requires_tls), (Some(240), true, true, true));
        assert_eq!(super::tests::host(&["DELIVERBY"]).deliver_by, Some(0));
        assert_eq!(super::tests::host(&["DELIVERBY many", "XDSN"]).deliver_by, Some(0));
    }

    #[test]
    fn by_with_return_goes_only_where_it_is_understood() {
        let later = NOW.after(Duration::from_secs(22));
        let parameters = |seconds, letters, lines: &[&str]| {
            mail_parameters(&envelope(by(seconds, letters)), &host(lines), later).map_err(|(code, _)| code)
        };
        assert_eq!(parameters(120, "R", &["DELIVERBY 30"]), Ok(" BY=98;R".to_string()));
        assert_eq!(parameters(120, "RT", &["DELIVERBY"]), Ok(" BY=98;RT".to_string()));
        assert_eq!(parameters(120, "R", &["DELIVERBY 240"]), Err(Enhanced(5, 3, 3)));
        assert_eq!(parameters(120, "R", &["DSN"]), Err(Enhanced(5, 3, 3)));
        assert_eq!(parameters(22, "R", &["DELIVERBY"]), Err(Enhanced(5, 4, 7)));
        assert_eq!(parameters(2, "N", &["DELIVERBY 240"]), Ok(" BY=-20;N".to_string()));
        assert_eq!(parameters(120, "N", &["DSN"]), Ok(String::new()));
        let lmtp = NextHost { mailer: Mailer::Lmtp, ..host(&[]) };
        assert_eq!(mail_parameters(&envelope(by(120, "R")), &lmtp, later), Ok(String::new()));
    }

    #[test]
    fn a_time_that_gets_lost_is_reported_and_a_trace_always() {
        let owes = |letters: &str, lines: &[&str], notify: Notify| {
            let mut envelope = envelope(by(60, letters));
            envelope.recipients[0].notify = notify;
            owes_relayed(&envelope.recipients[0], &envelope, &host(lines), NOW)
        };
        let usual = Notify::default();
        assert!(owes("N", &[], usual) && owes("N", &["DSN"], usual));
        assert!(!owes("N", &["DELIVERBY"], usual) && !owes("R", &["DELIVERBY"], usual));
        assert!(owes("NT", &["DELIVERBY"], usual) && owes("RT", &["DELIVERBY"], usual));
        assert!(!owes("NT", &["DELIVERBY"], Notify::NEVER) && !owes("N", &[], Notify::NEVER));
        let late = envelope(by(-1, "N"));
        assert!(!owes_relayed(&late.recipients[0], &late, &host(&[]), NOW));
    }

    #[test]
    fn notify_as_it_was_asked_and_delay_where_the_time_gets_lost() {
        let with = |handling, notify: &str, lines: &[&str]| {
            let mut envelope = envelope(handling);
            envelope.recipients[0].notify = notify.parse().unwrap();
            notify_text(&envelope, lines)
        };
        fn notify_text(envelope: &Envelope, lines: &[&str]) -> Option<String> {
            notify(&envelope.recipients[0], envelope, &host(lines), NOW).map(|n| n.to_string())
        }
        let none = Handling::default;
        assert_eq!(with(none(), "SUCCESS", &["DSN"]).as_deref(), Some("SUCCESS"));
        assert_eq!(with(none(), "FAILURE,DELAY", &["DSN"]), None);
        assert_eq!(with(none(), "SUCCESS", &[]), None);
        assert_eq!(with(by(60, "N"), "FAILURE,DELAY", &["DSN"]).as_deref(), Some("FAILURE,DELAY"));
        assert_eq!(with(by(60, "N"), "SUCCESS", &["DSN"]).as_deref(), Some("SUCCESS,DELAY"));
        assert_eq!(with(by(60, "N"), "NEVER", &["DSN"]).as_deref(), Some("NEVER"));
        assert_eq!(with(by(60, "N"), "SUCCESS", &["DSN", "DELIVERBY"]).as_deref(), Some("SUCCESS"));
        let report = Envelope { sender: None, ..envelope(none()) };
        assert_eq!(notify_text(&report, &["DSN"]).as_deref(), Some("NEVER"));
    }

    #[test]
    fn priorities_go_on_as_a_parameter_or_as_a_field() {
        let urgent = envelope(Handling { priority: "3".parse().ok(), ..Handling::default() });
        assert_eq!(mail_parameters(&urgent, &host(&["MT-PRIORITY"]), NOW), Ok(" MT-PRIORITY=3".to_string()));
        assert_eq!(mail_parameters(&urgent, &host(&[]), NOW), Ok(String::new()));
        let header = b"Subject: s\nmt-priority: 9\n (forged)\nTo: x\nno field\n\nMT-Priority: body\n";
        let with = tunnelled(header, &urgent, &host(&[])).unwrap();
        assert_eq!(with, b"MT-Priority: 3\nSubject: s\nTo: x\nno field\n\nMT-Priority: body\n");
        assert_eq!(tunnelled(header, &urgent, &host(&["MT-PRIORITY"])), None);
        assert_eq!(tunnelled(header, &envelope(Handling::default()), &host(&[])), None);
    }

    #[test]
    fn tls_that_is_required_is_promised_by_the_next_host_or_the_message_stays() {
        let required = envelope(Handling { tls: TlsWish::Required, ..Handling::default() });
        let open = host(&["REQUIRETLS"]);
        let code =
            |envelope: &Envelope, host: &NextHost| mail_parameters(envelope, host, NOW).map_err(|(code, _)| code);
        assert_eq!(code(&required, &open), Err(Enhanced(5, 7, 10)));
        let plain = NextHost { is_verified: true, ..host(&[]) };
        assert_eq!(code(&required, &plain), Err(Enhanced(5, 7, 30)));
        assert_eq!(code(&required, &NextHost { is_verified: true, ..open }), Ok(" REQUIRETLS".to_string()));
        let report = Envelope { sender: None, ..required };
        assert_eq!(code(&report, &plain), Ok(String::new()));
        assert_eq!(code(&report, &NextHost { is_verified: true, ..open }), Ok(" REQUIRETLS".to_string()));
    }
}
