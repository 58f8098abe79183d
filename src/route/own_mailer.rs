//! What a sendmail.cf makes of a sender by the mailer that would bring him mail: MeToo.
//!
//! MeToo=False: who writes to a list that he is on does not get his own copy. Asked by whoever resolves a recipient of a message whose
//! sender is known: `serve::smtp`, `submit`, `emsend -bv`. Nothing happens for a site of our own, or with MeToo=True, the default.
//! A sender who names himself, or an alias that leads to nobody else, is no list: the mail is his. sendmail 8.17 takes only the last member of
//! an alias out when it delivers, and whichever it is with -bv and `:include:`; the latter is what its manual says, and what is done here.

use super::Router;
use super::expand::Expansion;
use super::steps::Steps;
use super::triple::Routed;
use crate::addr::Address;
use crate::envelope::Delivery;

impl Router {
    /// Takes the sender's own delivery out of those of a list.
    pub fn spare_sender(&self, sender: Option<&Address>, recipient: &Address, deliveries: &mut Vec<Delivery>) {
        let is_asked = deliveries.len() > 1 && self.site.settings.cf.as_ref().is_some_and(|cf| cf.spares_sender);
        let Some(own) = sender.filter(|_| is_asked).and_then(|sender| self.own_delivery(sender)) else { return };
        if self.own_delivery(recipient).is_some_and(|named| is_same(&named, &own)) {
            return;
        }
        deliveries.retain(|delivery| !is_same(delivery, &own));
    }

    /// Where an address goes without aliases and forward files.
    fn own_delivery(&self, address: &Address) -> Option<Delivery> {
        let (rules, aliases) = (self.rules.current().ok()?, self.aliases().ok()?);
        let steps = Steps::unwanted();
        match self.routed(&rules, address, &steps).ok()? {
            Routed::Agent(delivery) => Some(delivery),
            Routed::Local(local) => {
                let mut expansion = Expansion::new(self, &aliases, &rules, &steps);
                expansion.user(&local, false).ok()?;
                expansion.finish(address).ok()?.pop()
            }
            Routed::Away { .. } | Routed::Discard => None,
        }
    }
}

/// True for the same mailer, host and user, whoever's rights apply.
fn is_same(one: &Delivery, other: &Delivery) -> bool {
    let name = |delivery: &Delivery| delivery.by.split(':').next().unwrap_or_default().to_ascii_lowercase();
    one.mailer == other.mailer
        && name(one) == name(other)
        && one.host.eq_ignore_ascii_case(&other.host)
        && one.user.eq_ignore_ascii_case(&other.user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Mailer;

    #[test]
    fn a_delivery_is_the_same_whoever_owns_it() {
        let delivery = |by: &str, host: &str, user: &str| Delivery {
            by: by.to_string(),
            host: host.to_string(),
            ..Delivery::new(Mailer::Agent, user)
        };
        let root = delivery("local:root", "", "root");
        for (other, same) in [
            (delivery("local", "", "Root"), true),
            (delivery("LOCAL:root", "", "root"), true),
            (delivery("local", "x", "root"), false),
            (delivery("relay", "", "root"), false),
            (delivery("local", "", "bob"), false),
        ] {
            assert_eq!(is_same(&root, &other), same, "{other:?}");
        }
    }
}
