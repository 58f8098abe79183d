//! What a sendmail.cf makes of a sender by the mailer that would bring him mail: MeToo, and the character set of C=.
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

    /// What text of this sender's is called that says nothing of its character set: C= of his mailer, else DefaultCharSet.
    pub fn charset_of(&self, sender: Option<&Address>) -> Option<String> {
        let cf = self.site.settings.cf.as_ref()?;
        let rules = self.rules.current().ok()?;
        let of_sender = || {
            // Most files have none.
            let sender = sender.filter(|_| rules.rules.mailers.iter().any(|mailer| !mailer.charset.is_empty()))?;
            let name = match self.routed(&rules, sender, &Steps::unwanted()).ok()? {
                Routed::Agent(delivery) => delivery.by,
                Routed::Local(local) => local.mailer,
                Routed::Away { .. } | Routed::Discard => return None,
            };
            let charset = &rules.rules.mailer(name.as_bytes())?.charset;
            Some(String::from_utf8_lossy(charset).trim().to_string())
        };
        let is_name = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b';');
        of_sender().filter(is_name).or_else(|| Some(cf.charset.clone())).filter(is_name)
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
