//! Mail that an account has sent on (`emuser modify --forward`).
//!
//! Called by [`Expansion`] where an address turned out to be an account of ours. It works as an alias does: what it leads to goes through the
//! rules again, forwarded mail gets a sender of ours where `srs.domain` is set, and circles are found. Only addresses, never programs
//! or files: these are the administrator's to name, in etc/aliases.
//! Two people who stand in for each other, and keep copies, get one copy each; when nobody in a circle keeps one, the address is refused.

use super::expand::Expansion;
use super::steps::Decider;
use crate::addr::Address;
use crate::envelope::Delivery;
use crate::status::Failure;
use crate::tables::aliases::Target;
use crate::users::Account;

impl Expansion<'_> {
    /// The delivery into an account, or where its mail is sent on.
    pub(super) fn deliver_to_account(
        &mut self,
        account: &Account,
        own: Delivery,
        key: &Address,
    ) -> Result<(), Failure> {
        let Some((addresses, keeps_copy)) = account.forward() else { return self.add(own) };
        // No alias has a blank in its name.
        let open = format!("forward of {}", account.address);
        if self.open.contains(&open) {
            self.say(Decider::Account, || format!("{key}: is being forwarded already"));
            // No harm, unless nobody has a copy in the end.
            self.has_circled = true;
            return Ok(());
        }
        if self.open.len() >= self.deepest() {
            return Err(Failure::permanent((4, 6), "Forwarded too often", self.open.join(" -> ")));
        }
        let expanded = (open.clone(), key.domain().to_string(), self.owner.clone());
        self.say(Decider::Account, || {
            let copy = if keeps_copy { "; a copy stays" } else { "" };
            format!("{key}: account {} forwards to {}{copy}", account.address, addresses.join(", "))
        });
        if self.done.contains(&expanded) {
            self.say(Decider::Account, || format!("{key}: forwarded above"));
            return Ok(());
        }
        let copy = keeps_copy.then(|| Target::Mailbox(own.user.clone()));
        let addresses = addresses.into_iter().map(|address| Target::Address(address.to_string()));
        let targets: Vec<Target> = copy.into_iter().chain(addresses).collect();
        self.open.push(open);
        let result = self.targets(&targets, &account.address.to_string(), key);
        self.open.pop();
        if result.is_ok() {
            self.done.insert(expanded);
        }
        result
    }
}
