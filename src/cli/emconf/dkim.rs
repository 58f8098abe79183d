//! emconf dkim-key: the key that reports on TLS are signed with, and the record that tells others of it.

use super::super::{Done, Ended, say};
use crate::config::Site;
use crate::drive::DkimKey;
use crate::fsx;
use crate::msg::dkim::Algorithm;
use crate::status::Exit;
use std::io::Write;

/// Kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum KeyKind {
    /// Everybody can verify it
    Rsa,
    /// Shorter; not everybody can verify it yet
    Ed25519,
}

/// Longest string of a TXT record, in octets (RFC 1035 §3.3).
const STRING: usize = 255;

/// Makes the key where there is none, and prints the record for a zone file.
pub(super) fn run(site: &Site, selector: &str, kind: KeyKind) -> Done {
    if !is_selector(selector) {
        let text = format!("{selector:?} is no selector: letters, digits and dashes, with dots between");
        return Err(Ended::new(Exit::Usage, text));
    }
    let refused = |text: String| Ended::new(Exit::CantCreat, text);
    let path = DkimKey::path(site);
    if !path.exists() {
        let algorithm = match kind {
            KeyKind::Rsa => Algorithm::Rsa,
            KeyKind::Ed25519 => Algorithm::Ed25519,
        };
        if let Some(dir) = path.parent() {
            fsx::create_dirs(dir, 0o755)?;
        }
        fsx::replace(&path, DkimKey::make(algorithm).map_err(refused)?.as_bytes(), 0o600)?;
        crate::drive::give_to_services(site, &path).map_err(refused)?;
        let _ = writeln!(std::io::stderr(), "emconf: made {}", path.display());
    }
    let record = DkimKey::read(&path).and_then(|key| key.record()).map_err(|e| Ended::new(Exit::Config, e))?;
    let strings: Vec<String> =
        record.as_bytes().chunks(STRING).map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece))).collect();
    say(&format!("{selector}._domainkey.{}. IN TXT ( {} )\n", site.default_domain(), strings.join(" ")))?;
    if site.settings.tls_reports.dkim_selector != selector {
        let next = format!("emconf: when DNS has it: emconf set tls_reports.dkim_selector {selector}");
        let _ = writeln!(std::io::stderr(), "{next}");
    }
    Ok(Exit::Ok)
}

/// Labels of a domain name (RFC 6376 §3.1).
fn is_selector(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 200 && text.split('.').all(is_label)
}
