//! What one RCPT comes to: a recipient for each delivery, and who is told what about it.
//!
//! Called by `smtp` and by `submit` once an address is routed.
//! RFC 3461 §5.2.7: an alias with several members is answered with "expanded", and its members say no more about success; a list is
//! where the message is delivered, and its members know nothing of what was asked for; an alias with one member passes all on.

use crate::addr::Address;
use crate::envelope::{Delivery, Notify, Recipient};

/// The recipients. `notify` and `orcpt` are those of the RCPT.
pub fn recipients(
    original: &Address,
    notify: Notify,
    orcpt: Option<&(String, String)>,
    deliveries: Vec<Delivery>,
) -> Vec<Recipient> {
    let is_list = |delivery: &Delivery| delivery.has_owner();
    let has_list = deliveries.iter().any(is_list);
    let has_members = deliveries.iter().filter(|delivery| !is_list(delivery)).count() > 1;
    let make = |notify, orcpt, delivery| Recipient { original: original.clone(), orcpt, notify, delivery };
    let mut made = Vec::with_capacity(deliveries.len() + 1);
    if notify.success && has_list {
        made.push(make(notify, orcpt.cloned(), Delivery::list(original)));
    } else if notify.success && has_members {
        made.push(make(notify, orcpt.cloned(), Delivery::expansion(original)));
    }
    let members = Notify { success: notify.success && !has_members && !has_list, ..notify };
    for delivery in deliveries {
        made.push(match is_list(&delivery) {
            true => make(Notify::default(), None, delivery),
            false => make(members, orcpt.cloned(), delivery),
        });
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Mailer;

    fn made(notify: &str, deliveries: Vec<Delivery>) -> Vec<(String, String, bool)> {
        let orcpt = ("rfc822".to_string(), "first@o.test".to_string());
        let staff = Address::parse("staff@example.test").unwrap();
        let all = recipients(&staff, notify.parse().unwrap(), Some(&orcpt), deliveries);
        all.into_iter().map(|r| (r.delivery.user, r.notify.to_string(), r.orcpt.is_some())).collect()
    }

    fn member(user: &str) -> Delivery {
        Delivery::new(Mailer::Mailbox, user)
    }

    fn row(user: &str, notify: &str, has_orcpt: bool) -> (String, String, bool) {
        (user.to_string(), notify.to_string(), has_orcpt)
    }

    #[test]
    fn one_member_gets_all_and_several_share() {
        assert_eq!(made("SUCCESS", vec![member("a@x")]), [row("a@x", "SUCCESS", true)]);
        assert_eq!(
            made("NEVER", vec![member("a@x"), member("b@x")]),
            [row("a@x", "NEVER", true), row("b@x", "NEVER", true)]
        );
        assert_eq!(
            made("SUCCESS,FAILURE", vec![member("a@x"), member("b@x")]),
            [
                row("expanded:staff@example.test", "SUCCESS,FAILURE", true),
                row("a@x", "FAILURE", true),
                row("b@x", "FAILURE", true)
            ]
        );
    }

    #[test]
    fn a_list_is_the_end_of_what_was_asked() {
        let listed = |user: &str| Delivery { sender: "owner-staff@example.test".into(), ..member(user) };
        assert_eq!(
            made("SUCCESS", vec![listed("a@x"), listed("b@x")]),
            [
                row("list:staff@example.test", "SUCCESS", true),
                row("a@x", "FAILURE,DELAY", false),
                row("b@x", "FAILURE,DELAY", false)
            ]
        );
        assert_eq!(made("NEVER", vec![listed("a@x")]), [row("a@x", "FAILURE,DELAY", false)]);
    }

    #[test]
    fn a_sender_rewritten_for_forwarding_is_no_owner() {
        let forwarded = Delivery { sender: "SRS0=aaaa=bb=c.test=d@srs.test".into(), ..member("a@x") };
        assert_eq!(made("SUCCESS", vec![forwarded]), [row("a@x", "SUCCESS", true)]);
    }
}
