//! SMTP as a sendmail.cf wants it: the limits of its options, and sendmail's words.
//!
//! Called by `smtp` where `-C FILE` stands in the place of our settings; for a site of our own each of these does nothing. What concerns
//! the conversation alone is the machine's ([`crate::proto::smtp::Manners`]).

use crate::addr::{Address, print_path};
use crate::config::Site;
use crate::envelope::Notify;
use crate::settings::{Cf, EightBits};
use crate::spool::Id;
use crate::status::{Enhanced, Failure, Reply};
use nix::sys::statvfs::statvfs;

fn cf(site: &Site) -> Option<&Cf> {
    site.settings.cf.as_ref()
}

/// Refuses a message when the queue's file system is nearly full (MinFreeBlocks). What can't be asked is no reason to refuse.
pub(super) fn check_room(site: &Site) -> Result<(), Reply> {
    let least = cf(site).map_or(0, |cf| cf.least_free_blocks);
    let has_room = least == 0 || statvfs(&site.root.spool).map_or(true, |there| there.blocks_available() >= least);
    match has_room {
        true => Ok(()),
        false => Err(Reply::new(452, Enhanced(4, 4, 5), "Insufficient disk space; try again later")),
    }
}

/// Nobody hears of success where the file says so (noreceipts).
pub fn granted_receipts(site: &Site, notify: Notify) -> Notify {
    let gives = cf(site).is_none_or(Cf::gives_receipts);
    Notify { success: notify.success && gives, ..notify }
}

/// Refuses a text with octets of value 0 (RejectNUL), and one of eight bits that nobody has called so (EightBitMode=strict).
pub fn check_text(site: &Site, text: &[u8], is_labelled: bool) -> Result<(), Failure> {
    let Some(cf) = cf(site) else { return Ok(()) };
    let refused = |why: &str| Err(Failure::permanent((6, 1), why, "").with_code(554));
    if cf.rejects_nul && memchr::memchr(0, text).is_some() {
        return refused("NUL byte not allowed");
    }
    if cf.eight_bits == EightBits::Strict && !is_labelled && !text.is_ascii() {
        return refused("Eight bit data not allowed");
    }
    Ok(())
}

/// Refuses a message of more octets than may be taken (MaxMessageSize).
pub fn message_too_large(site: &Site, limit: u64) -> Failure {
    let failure = match cf(site) {
        Some(_) => Failure::permanent((2, 3), format!("Message exceeds maximum fixed size ({limit})"), ""),
        None => Failure::permanent((3, 4), format!("Message is larger than {limit} octets"), ""),
    };
    failure.with_code(552)
}

/// Refuses one whose header has more (MaxHeadersLength).
pub(super) fn header_too_large(site: &Site, limit: u64) -> Failure {
    let failure = match cf(site) {
        Some(_) => Failure::permanent((6, 0), format!("Headers too large ({limit} max)"), ""),
        None => Failure::permanent((3, 4), format!("Header is larger than {limit} octets"), ""),
    };
    failure.with_code(552)
}

/// True where a request for a receipt in the header is one for a notification, too (RrtImpliesDsn).
pub(super) fn reads_receipts(site: &Site) -> bool {
    cf(site).is_some_and(|cf| cf.receipts_imply_dsn && cf.gives_receipts())
}

/// What is said of an address that is taken; `None` for our own words.
pub(super) fn taken(site: &Site, enhanced: Enhanced, address: Option<&Address>, what: &str) -> Option<Reply> {
    cf(site).map(|_| Reply::new(250, enhanced, format!("{}... {what} ok", print_path(address))))
}

/// A member of a list as EXPN shows it.
pub(super) fn member(site: &Site, member: &str) -> String {
    match cf(site).is_some() && !member.contains('@') {
        true => format!("{member} <{member}@{}>", site.hostname()),
        false => format!("<{member}>"),
    }
}

/// What is said of a message that is taken.
pub(super) fn accepted(site: &Site, id: &Id) -> Reply {
    let text = match cf(site) {
        Some(_) => format!("{id} Message accepted for delivery"),
        None => format!("Ok: {id}"),
    };
    Reply::new(250, Enhanced(2, 0, 0), text)
}

/// A refused address as sendmail shows it: in front of the text.
pub(super) fn about(site: &Site, address: Option<&Address>, failure: Failure) -> Failure {
    match cf(site) {
        // A trouble of the moment is told without the address.
        Some(_) if !failure.is_temporary() => {
            let public = format!("{}... {}", print_path(address), failure.public);
            Failure { public, ..failure }
        }
        _ => failure,
    }
}
