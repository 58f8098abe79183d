//! Addresses that can't be read, and texts that are not taken, where a sendmail.cf stands in the place of our settings: who is told, and
//! how, is ErrorMode's affair; beside an address that can't be read, the other recipients get the message nevertheless.
//!
//! Called by `deliver`. A message that nobody gets is mailed back whole to its sender (-oem, -oee), as sendmail does; where that fails,
//! he is told on standard output after all, and by the exit code.

use super::super::{Done, Ended, say};
use super::arguments::Arguments;
use super::old_file::{self, Modes};
use crate::addr::{Address, parse_list};
use crate::bounce::tell_untaken;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::msg::{Field, fields};
use crate::serve::Gate;
use crate::settings::{DeliveryMode, ErrorMode};
use crate::status::{Exit, Failure};
use std::collections::HashSet;
use std::io::Read;

/// Most octets of a message that are mailed back.
const RETURNED: u64 = 8 << 20;

/// The recipients of a command line, and why the other words are none.
pub(super) fn usable(arguments: &Arguments, site: &Site) -> (Vec<Address>, Vec<String>) {
    let (mut found, mut seen, mut unusable) = (Vec::new(), HashSet::new(), Vec::new());
    for word in &arguments.recipients {
        match crate::submit::command_line_recipients(std::slice::from_ref(word), site) {
            Ok(list) => found.extend(list.into_iter().filter(|address| seen.insert(address.clone()))),
            Err(_) => unusable.push(old_file::unusable(word)),
        }
    }
    (found, unusable)
}

/// Why members of a header's lists of recipients can't be used.
pub(super) fn unusable_in(header: &[u8], site: &Site) -> Vec<String> {
    let is_list = |field: &Field| ["To", "Cc", "Bcc", "Apparently-To"].iter().any(|name| field.is(name));
    let wrong = |word: &&str| !word.is_empty() && parse_list(word, &site.default_domain()).is_err();
    let of_list =
        |list: String| list.split(',').map(str::trim).filter(wrong).map(old_file::unusable).collect::<Vec<_>>();
    fields(header).filter(is_list).flat_map(|field| of_list(field.value().to_string())).collect()
}

/// True when a message is refused for its size or its octets, and not for a recipient (RFC 3463 §3.7; 552).
pub(super) fn is_of_text(failure: &Failure) -> bool {
    !failure.is_temporary() && (failure.code == 552 || failure.enhanced.1 == 6)
}

/// Who is told of such addresses, and what about.
pub(super) struct Refusal<'a> {
    pub(super) gate: &'a Gate,
    pub(super) modes: &'a Modes,
    pub(super) sender: Option<&'a Address>,
    /// Why, a line for each address.
    pub(super) said: &'a [String],
    /// They stand in the header: the caller has not written them down for us, and is told of them in any case; so is the sender, but
    /// where errors are kept quiet.
    pub(super) is_of_header: bool,
}

impl Refusal<'_> {
    /// What the command ends with because of them.
    pub(super) fn exit(&self) -> Exit {
        if self.said.is_empty() || self.modes.errors == ErrorMode::Always { Exit::Ok } else { Exit::Usage }
    }

    /// Tells the caller, where errors are printed.
    pub(super) fn print(&self) -> Result<(), Ended> {
        match self.is_of_header || self.modes.errors == ErrorMode::Print {
            true => self.said.iter().try_for_each(|line| say(&format!("{line}\n"))),
            false => Ok(()),
        }
    }

    /// Tells the sender, where errors are mailed; `text` is what he gets back.
    pub(super) fn mail(&self, text: &mut dyn Read) -> Result<(), Ended> {
        let is_mailed = match self.modes.errors {
            ErrorMode::Mail | ErrorMode::Always => true,
            ErrorMode::Print => self.is_of_header,
            ErrorMode::Quiet => false,
        };
        if self.said.is_empty() || !is_mailed {
            return Ok(());
        }
        let mut whole = Vec::new();
        text.take(RETURNED).read_to_end(&mut whole)?;
        let told = |to: &Address| tell_untaken(self.gate, to, self.said, &whole, Timestamp::now());
        match self.sender.map(told) {
            Some(Ok(id)) if self.gate.spool.is_queued(&id) => match self.modes.delivery {
                DeliveryMode::Queue => Ok(()),
                DeliveryMode::Background => super::deliver::start_delivery(self.gate, &id, false),
                DeliveryMode::Interactive => old_file::wait(self.gate, &id, self.modes).map(|_| ()),
            },
            Some(Ok(_)) => Ok(()),
            // Somebody has to hear of it.
            Some(Err(_)) | None => Err(Ended::new(Exit::Usage, self.said.join("\n"))),
        }
    }

    /// The end of a message that is not taken for its text. sendmail ends with 0 in any case; who wants no mail would not hear of it.
    pub(super) fn end_of_text(&self, text: &mut dyn Read) -> Done {
        self.print()?;
        self.mail(text)?;
        Ok(if self.modes.errors == ErrorMode::Quiet { Exit::DataErr } else { Exit::Ok })
    }

    /// The end of a message that nobody gets.
    pub(super) fn end(&self, text: &mut dyn Read) -> Done {
        self.print()?;
        self.mail(text)?;
        Ok(self.exit())
    }
}
