//! Telling a sender of a message that was never taken: where a sendmail.cf stands in the place of our settings, who hands a message in may
//! want to hear of mistakes by mail alone (ErrorMode mail, and always).
//!
//! Called by `cli` (emsend). It is no delivery status notification: no recipient has a status, because none could be read. What came is
//! returned whole, as far as it was kept: nobody else has it.

use super::deliver;
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::Handling;
use crate::log;
use crate::serve::Gate;
use crate::spool::Id;
use crate::status::Failure;

/// Queues (or delivers) the report; on return it is durable. `said` is why, a line each; `text` the message.
pub fn tell_untaken(gate: &Gate, to: &Address, said: &[String], text: &[u8], now: Timestamp) -> Result<Id, Failure> {
    let id = Id::new(now);
    let report = print(gate, to, said, text, &id, now);
    deliver(gate, &id, to, &report, Handling::default(), now)?;
    log::event("report").id(&id).field("to", to).field("about", "a message that was not taken").write();
    Ok(id)
}

fn print(gate: &Gate, to: &Address, said: &[String], text: &[u8], id: &Id, now: Timestamp) -> Vec<u8> {
    let (boundary, host, domain) = (format!("={id}="), &gate.host, gate.site.default_domain());
    let mut out = format!(
        "Date: {}\nFrom: Mail Delivery System <MAILER-DAEMON@{domain}>\nTo: <{to}>\n\
         Subject: Your message was not taken\nMessage-ID: <{id}@{host}>\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\n--{boundary}\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nThis is the mail system at {host}.\n\n\
         Your message was not taken for the addresses below.\n\n",
        now.rfc5322()
    );
    for line in said {
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        out.push_str(&format!("    {line}\n"));
    }
    out.push_str(&format!("\n--{boundary}\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n"));
    [out.as_bytes(), text, format!("\n--{boundary}--\n").as_bytes()].concat()
}
