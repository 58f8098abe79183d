//! Accounts as a sheet that a spreadsheet opens and [`Sheet::read`](super::Sheet::read) takes back.

use super::{ATTRIBUTES, guarded};
use crate::addr::Address;
use crate::users::Account;

/// Whether hashes and keys are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithSecrets {
    /// Nothing that a password could be searched with.
    No,
    /// All that logins need, but for app passwords and the secrets of APOP.
    Yes,
}

fn writer(separator: u8) -> csv::Writer<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new();
    // RFC 4180 §2: lines end with CRLF.
    writer.delimiter(separator).terminator(csv::Terminator::CRLF).from_writer(Vec::new())
}

/// Prints a sheet of accounts.
pub fn print<'a>(
    accounts: impl Iterator<Item = &'a Account>,
    secrets: WithSecrets,
    separator: u8,
) -> csv::Result<Vec<u8>> {
    let mut writer = writer(separator);
    let secret_columns: &[&str] = if secrets == WithSecrets::Yes { &["password_hash", "scram"] } else { &[] };
    let names = ["address"].into_iter().chain(ATTRIBUTES.iter().map(|row| row.name));
    writer.write_record(names.chain(secret_columns.iter().copied()))?;
    for account in accounts {
        writer.write_field(guarded(&account.address.to_string()))?;
        for row in &ATTRIBUTES {
            writer.write_field(guarded(&row.print(account)))?;
        }
        if secrets == WithSecrets::Yes {
            writer.write_field(account.password().unwrap_or_default())?;
            writer.write_field(account.field("scram").unwrap_or_default())?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    finish(writer)
}

/// Prints passwords for a mail merge: address, name, password.
pub fn print_passwords(rows: &[(Address, String, String)]) -> csv::Result<Vec<u8>> {
    let mut writer = writer(b',');
    writer.write_record(["address", "name", "password"])?;
    for (address, name, password) in rows {
        writer.write_record([&guarded(&address.to_string()), &guarded(name), password])?;
    }
    finish(writer)
}

fn finish(writer: csv::Writer<Vec<u8>>) -> csv::Result<Vec<u8>> {
    writer.into_inner().map_err(|e| e.into_error().into())
}
