//! `emqueue requeue`: routes what is still owed again, after an alias or a route has been corrected.
//!
//! Each original recipient is routed once, and whoever is settled by the old message is left out: nobody gets a second copy.
//! A message whose sender still has to be told something is not touched: the report would be forgotten with it.

use super::super::Ended;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::envelope::{Delivery, Envelope, Recipient};
use crate::serve::{Gate, Request};
use crate::spool::{Claim, Id};
use crate::status::Exit;
use std::io::{Read, Write};
use std::sync::Arc;

pub(super) fn requeue(site: &Arc<Site>, ids: &[Id]) -> super::super::Done {
    let gate = crate::cli::gate(site.clone());
    let mut exit = Exit::Ok;
    for id in ids {
        let result = match gate.spool.claim(id) {
            Ok(claim) if owes_report(&claim) => {
                Err("its sender is still to be told something; run it first".to_string())
            }
            Ok(claim) => {
                one(&gate, claim)?;
                Ok(())
            }
            Err(e) => Err(e.to_string()),
        };
        if let Err(reason) = result {
            let _ = writeln!(std::io::stderr(), "emqueue: {id}: {reason}");
            exit = Exit::TempFail;
        }
    }
    Ok(exit)
}

fn owes_report(claim: &Claim) -> bool {
    let mut all = claim.envelope().recipients.iter().zip(&claim.progress().states);
    all.any(|(recipient, state)| crate::bounce::is_owed(recipient, state))
}

fn one(gate: &Gate, claim: Claim) -> Result<(), Ended> {
    let now = Timestamp::now();
    let recipients = recipients(gate, &claim);
    let id = claim.id().clone();
    if !recipients.is_empty() {
        let mut envelope = Envelope::clone(claim.envelope());
        envelope.recipients = recipients;
        let new = Id::new(now);
        let request =
            Request { id: new.clone(), envelope, received: String::new(), completes: false, is_checked: false };
        let mut incoming = gate.open(request)?;
        let mut text = claim.message();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match text.read(&mut buffer)? {
                0 => break,
                n => incoming.chunk(&buffer[..n], now)?,
            }
        }
        for result in incoming.commit(gate, now) {
            result?;
        }
        crate::log::event("requeued").id(&id).field("as", &new).write();
    }
    claim.finish()?;
    Ok(())
}

/// Where the owed recipients go now.
fn recipients(gate: &Gate, claim: &Claim) -> Vec<Recipient> {
    let same = |a: &Delivery, b: &Delivery| (a.mailer, &a.user) == (b.mailer, &b.user);
    let all = || claim.envelope().recipients.iter().zip(&claim.progress().states);
    let is_settled = |delivery: &Delivery| all().any(|(r, state)| !state.is_owed() && same(&r.delivery, delivery));
    let mut routed = Vec::new();
    let mut made: Vec<Recipient> = Vec::new();
    for (recipient, _) in all().filter(|(_, state)| state.is_owed()) {
        if recipient.delivery.stands_for_members() {
            made.push(recipient.clone());
            continue;
        }
        if routed.contains(&&recipient.original) {
            continue;
        }
        let deliveries = match gate.router.resolve(&recipient.original) {
            Ok(deliveries) => {
                routed.push(&recipient.original);
                deliveries
            }
            // Not routable now: it stays as it is.
            Err(_) => vec![recipient.delivery.clone()],
        };
        for delivery in deliveries {
            if !is_settled(&delivery) && !made.iter().any(|r| same(&r.delivery, &delivery)) {
                made.push(Recipient { delivery, ..recipient.clone() });
            }
        }
    }
    made
}
