//! Senders as they are shown outside: genericstable and masquerading, as the rules of the mailer for other hosts say.
//!
//! Called for what is submitted here (the submission service, emsend), never for mail that only passes through. One text serves all
//! recipients, so it is written as it goes to other hosts: sets 3 and 1, the mailer's S=, set 4.
//! Trust: the header is a user's. A field that can't be read as a list of addresses, or that has a group, stays as it is, and so does
//! every octet around an address that changes.

use super::em_cf::Compiled;
use super::mailers::Act;
use super::steps::Steps;
use super::surroundings::{from_rules, to_rules};
use super::{Router, broken_table};
use crate::addr::{Address, parse_list};
use crate::msg;
use crate::rules::address::Role;
use crate::rules::macros::Macros;
use crate::rules::mailer::Mailer;
use crate::rules::world::exit;
use crate::status::Failure;

/// Fields that name a sender.
const FIELDS: [&str; 6] = ["From", "Sender", "Reply-To", "Resent-From", "Resent-Sender", "Resent-Reply-To"];
/// Mailers for other hosts, the first that a file defines.
const MAILERS: [&[u8]; 3] = [b"esmtp", b"smtp", b"relay"];
/// Longest field that is looked at, in octets: a sender's field is a line or two.
const FIELD_LIMIT: usize = 64 << 10;

impl Router {
    /// An envelope's sender as it is shown outside.
    pub fn outside_sender(&self, sender: &Address) -> Result<Address, Failure> {
        let cf = self.rules.current().map_err(broken_table)?;
        let Some(mailer) = outside_mailer(&cf) else { return Ok(sender.clone()) };
        Ok(self.shown(&cf, mailer, sender, false)?.unwrap_or_else(|| sender.clone()))
    }

    /// A header (without the empty line) with its senders as they are shown outside; `None` when nothing changes.
    pub fn outside_header(&self, header: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let cf = self.rules.current().map_err(broken_table)?;
        let Some(mailer) = outside_mailer(&cf) else { return Ok(None) };
        let mut out: Option<Vec<u8>> = None;
        let mut read = 0;
        for field in msg::fields(header) {
            let is_sender = FIELDS.iter().any(|name| field.is(name)) && field.raw.len() <= FIELD_LIMIT;
            let changed = match is_sender {
                true => self.field(&cf, mailer, field.raw)?,
                false => None,
            };
            if let Some(changed) = changed {
                out.get_or_insert_with(|| header[..read].to_vec()).extend(changed);
            } else if let Some(out) = &mut out {
                out.extend_from_slice(field.raw);
            }
            read += field.raw.len();
        }
        Ok(out.map(|mut out| {
            out.extend_from_slice(&header[read..]);
            out
        }))
    }

    /// A field with its addresses rewritten; `None` when none changes.
    fn field(&self, cf: &Compiled, mailer: &Mailer, raw: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let Some(text) = std::str::from_utf8(raw).ok() else { return Ok(None) };
        let Some(colon) = text.find(':') else { return Ok(None) };
        let mut out = text[..colon + 1].to_string();
        let mut is_changed = false;
        for (number, member) in members(&text[colon + 1..]).into_iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            // A name without a domain, a group and what is broken stay.
            let only = match parse_list(member, "").as_deref() {
                Ok([only]) => Some(only.address.clone()),
                _ => None,
            };
            let shown = match &only {
                Some(address) => self.shown(cf, mailer, address, true)?,
                None => None,
            };
            match (only, shown) {
                (Some(address), Some(shown)) if address != shown => {
                    is_changed = true;
                    out.push_str(&replaced(member, &address, &shown));
                }
                _ => out.push_str(member),
            }
        }
        Ok(is_changed.then(|| out.into_bytes()))
    }

    /// What the rules make of a sender; `None` for what is no address any more.
    fn shown(
        &self,
        cf: &Compiled,
        mailer: &Mailer,
        sender: &Address,
        header: bool,
    ) -> Result<Option<Address>, Failure> {
        let text = to_rules(&sender.to_string());
        let mut message = Macros::default();
        self.with_rules(cf, &Steps::unwanted(), &mut message, |run| {
            let (text, status) = run.address_for(mailer, &text, Role { header, sender: true }, None);
            match status {
                exit::TEMPORARY => Err(Failure::temporary((4, 3), "Temporary failure of a table, try again later", "")),
                _ => Ok(Address::parse(&from_rules(&text)).ok()),
            }
        })
    }
}

fn outside_mailer(cf: &Compiled) -> Option<&Mailer> {
    let named = MAILERS.iter().find_map(|name| cf.rules.mailer(name));
    named.or_else(|| {
        let mut both = cf.rules.mailers.iter().zip(&cf.acts);
        both.find(|(_, act)| matches!(act, Act::Smtp(_))).map(|(mailer, _)| mailer)
    })
}

/// The members of a list, cut at commas outside quotes, comments, angles and literals.
pub(super) fn members(text: &str) -> Vec<&str> {
    let (mut found, mut start) = (Vec::new(), 0);
    let (mut quoted, mut comments, mut inside) = (false, 0usize, false);
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' => escaped = true,
            '"' if comments == 0 => quoted = !quoted,
            _ if quoted => {}
            '(' => comments += 1,
            ')' => comments = comments.saturating_sub(1),
            _ if comments > 0 => {}
            '<' | '[' => inside = true,
            '>' | ']' => inside = false,
            ',' if !inside => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found
}

/// A member with another address in the place of its own.
fn replaced(member: &str, old: &Address, new: &Address) -> String {
    let old = old.to_string();
    let (folded, old_folded) = (member.to_ascii_lowercase(), old.to_ascii_lowercase());
    match folded.rfind(&old_folded) {
        Some(at) => format!("{}{new}{}", &member[..at], &member[at + old.len()..]),
        // Comments or blanks inside the address: the whole member is written anew, its line end kept.
        None => {
            let end = &member[member.trim_end().len()..];
            format!(" <{new}>{end}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_at_their_commas() {
        let text = " \"a, b\" <x@y>, c (d, e) @f, <@g,@h:i@j>, k@[IPv6:1::2]\n";
        let parts = members(text);
        assert_eq!(parts, [" \"a, b\" <x@y>", " c (d, e) @f", " <@g,@h:i@j>", " k@[IPv6:1::2]\n"]);
        assert_eq!(members(""), [""]);
    }

    #[test]
    fn an_address_is_replaced_where_it_stands() {
        let (old, new) = (Address::parse("joe@a.test").unwrap(), Address::parse("j@b.test").unwrap());
        for (member, wanted) in [
            (" Joe <Joe@A.test>\n", " Joe <j@b.test>\n"),
            ("joe@a.test (joe@a.tes)", "j@b.test (joe@a.tes)"),
            (" joe @ a.test\n", " <j@b.test>\n"),
        ] {
            assert_eq!(replaced(member, &old, &new), wanted);
        }
    }
}
