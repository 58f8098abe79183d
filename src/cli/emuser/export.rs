//! `emuser export`: accounts as a sheet, or as JSON.

use super::show::to_json;
use crate::cli::{Done, Ended, say};
use crate::config::Site;
use crate::fsx;
use crate::status::Exit;
use crate::users::Users;
use crate::users::sheet::{WithSecrets, print};
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The sheet; standard output without it
    file: Option<PathBuf>,
    /// Only this domain
    #[arg(long)]
    domain: Option<String>,
    /// With hashes of passwords and keys of SCRAM: enough to log in once they are guessed
    #[arg(long, conflicts_with = "json")]
    with_hashes: bool,
    /// What stands between the cells: comma, semicolon or tab
    #[arg(long, value_name = "NAME", default_value = "comma", value_parser = ["comma", "semicolon", "tab"])]
    separator: String,
    /// Begin with a byte-order mark, from which Excel knows UTF-8
    #[arg(long)]
    bom: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn export(site: &Site, users: &Users, wanted: &Export) -> Done {
    let domain = super::domain_option(wanted.domain.as_deref())?;
    let all = users.list().map_err(super::damaged)?;
    let meant = all.iter().filter(|account| domain.as_deref().is_none_or(|d| d == account.address.domain()));
    let mut bytes = if wanted.bom { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
    if wanted.json {
        meant.for_each(|account| bytes.extend(format!("{}\n", to_json(account, site)).into_bytes()));
    } else {
        let secrets = if wanted.with_hashes { WithSecrets::Yes } else { WithSecrets::No };
        let separator = match wanted.separator.as_str() {
            "semicolon" => b';',
            "tab" => b'\t',
            _ => b',',
        };
        bytes.extend(print(meant, secrets, separator).map_err(|e| Ended::new(Exit::Software, e.to_string()))?);
    }
    match &wanted.file {
        None => say(&String::from_utf8_lossy(&bytes))?,
        Some(path) => fsx::replace(path, &bytes, 0o600).map_err(|e| Ended::new(Exit::CantCreat, e.to_string()))?,
    }
    let has_apop = wanted.with_hashes && all.iter().any(|account| account.secret().is_some());
    if has_apop || wanted.with_hashes && all.iter().any(|account| account.app_passwords().next().is_some()) {
        let text = "the recoverable passwords of APOP, and app passwords, are not in it";
        let _ = writeln!(std::io::stderr(), "emuser: {text}");
    }
    Ok(Exit::Ok)
}
