//! What a row wants: an account, what to do with it, its values and its password.

use super::{Column, Refused, Row, Sheet};
use crate::addr::Address;
use crate::config::Site;
use crate::sasl::ScramKeys;
use crate::users::{Attribute, check_new, is_known_hash, key};
use std::collections::HashMap;

/// What to do with the account of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Make it, or change it (an empty cell).
    Put,
    /// Make it; it must not be there, unless it is just like that.
    Add,
    /// Change it; it must be there.
    Update,
    /// Take it away, if it is there.
    Delete,
}

/// What a row says of the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordWish {
    /// Nothing: the old one stays.
    Keep,
    /// A password in clear.
    Clear(String),
    /// A hash.
    Hash(String),
}

/// What a row wants.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Line and column of the row.
    pub at: (usize, usize),
    /// The account.
    pub address: Address,
    /// What to do.
    pub action: Action,
    /// Columns and what to store; `None` takes the value away.
    pub values: Vec<(&'static Attribute, Option<String>)>,
    /// Its password.
    pub password: PasswordWish,
    /// The password was made by us, and nobody can guess it.
    pub is_made: bool,
    /// Keys of SCRAM, from an export with hashes.
    pub scram: Option<String>,
}

impl Wish {
    /// A refusal of the row as a whole.
    pub fn refused(&self, column: &'static str, reason: impl Into<String>) -> Refused {
        Refused { at: self.at, column, reason: reason.into() }
    }

    /// The key of its account.
    pub fn key(&self) -> String {
        key(&self.address)
    }
}

/// The wishes of all rows, and what is wrong with the others.
pub fn wishes(sheet: &Sheet, site: &Site) -> (Vec<Wish>, Vec<Refused>) {
    let mut lines = Lines { at: 0, line: 1 };
    let (mut good, mut refused) = (Vec::with_capacity(sheet.len()), Vec::new());
    let mut seen: HashMap<String, usize> = HashMap::new();
    for row in &sheet.rows {
        let line = lines.line_of(&sheet.text, row.start);
        match wish(sheet, row, line, site) {
            Err(reasons) => refused.extend(reasons),
            Ok(wish) => match seen.insert(wish.key(), line) {
                Some(first) => {
                    seen.insert(wish.key(), first);
                    refused.push(wish.refused("address", format!("{} stands in line {first}, too", wish.address)));
                }
                None => good.push(wish),
            },
        }
    }
    (good, refused)
}

/// Counts lines as the rows go by.
struct Lines {
    at: usize,
    line: usize,
}

impl Lines {
    fn line_of(&mut self, text: &str, at: usize) -> usize {
        let passed = text.as_bytes().get(self.at..at).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', passed).count();
        self.at = at;
        self.line
    }
}

fn wish(sheet: &Sheet, row: &Row, line: usize, site: &Site) -> Result<Wish, Vec<Refused>> {
    let mut refused = Vec::new();
    let at = |index: usize| sheet.place(row, index, line);
    let extra = row.cells.iter().skip(sheet.columns.len()).position(|cell| !cell.trim().is_empty());
    if let Some(extra) = extra {
        let reason = "a cell to the right of all columns".to_string();
        return Err(vec![Refused { at: at(sheet.columns.len() + extra), column: "", reason }]);
    }
    if row.cells.len() < sheet.columns.len() {
        let reason = format!("{} cells, where the header has {}", row.cells.len(), sheet.columns.len());
        return Err(vec![Refused { at: at(0), column: "", reason }]);
    }
    let (mut address, mut action) = (None, Action::Put);
    let (mut password, mut hash, mut scram) = (None, None, None);
    let mut values = Vec::new();
    for (index, column) in sheet.columns.iter().enumerate() {
        let read = sheet.cell(row, index).and_then(|cell| {
            match column {
                Column::Address => address = Some(own_address(cell, site)?),
                Column::Action => action = action_of(cell)?,
                Column::Password => password = Some(cell).filter(|cell| !cell.is_empty()),
                Column::PasswordHash => hash = hash_of(cell.trim())?,
                Column::Scram => scram = scram_of(cell)?,
                Column::Attribute(attribute) => values.push((*attribute, attribute.read(cell, site)?)),
            }
            Ok(())
        });
        if let Err(reason) = read {
            refused.push(Refused { at: at(index), column: column.name(), reason });
        }
    }
    if let Some(clear) = password {
        let wrong = match hash {
            Some(_) => Err("a password and a hash of it: one of both".to_string()),
            None => check_new(clear, &site.settings.accounts.password_scheme).map_err(|e| e.to_string()),
        };
        if let Err(reason) = wrong {
            let index = sheet.columns.iter().position(|column| matches!(column, Column::Password)).unwrap_or(0);
            refused.push(Refused { at: at(index), column: "password", reason });
        }
    }
    let password = match (password, hash) {
        (Some(clear), _) => PasswordWish::Clear(clear.to_string()),
        (None, Some(hash)) => PasswordWish::Hash(hash),
        (None, None) => PasswordWish::Keep,
    };
    match address {
        Some(address) if refused.is_empty() => {
            Ok(Wish { at: (line, 1), address, action, values, password, is_made: false, scram })
        }
        _ => Err(refused),
    }
}

fn action_of(cell: &str) -> Result<Action, String> {
    match cell.to_lowercase().as_str() {
        "" => Ok(Action::Put),
        "add" => Ok(Action::Add),
        "update" | "modify" => Ok(Action::Update),
        "delete" => Ok(Action::Delete),
        _ => Err(format!("{cell:?} is none of add, update, delete")),
    }
}

fn hash_of(cell: &str) -> Result<Option<String>, String> {
    match cell {
        "" => Ok(None),
        hash if is_known_hash(hash) => Ok(Some(hash.to_string())),
        _ => Err("not a hash of argon2, yescrypt, sha512, sha256 or bcrypt".to_string()),
    }
}

fn scram_of(cell: &str) -> Result<Option<String>, String> {
    match (cell, ScramKeys::parse(cell)) {
        ("", _) => Ok(None),
        (_, Some(keys)) => Ok(Some(keys.print())),
        (_, None) => Err("these are no keys of SCRAM-SHA-256".to_string()),
    }
}

/// An address that can be an account's: in a domain of ours, without detail.
fn own_address(cell: &str, site: &Site) -> Result<Address, String> {
    let address = match cell.contains('@') {
        true => Address::parse(cell),
        false => Address::new(cell, &site.default_domain()),
    };
    let address = address.map_err(|e| format!("{cell:?}: {e}"))?.to_key();
    if !site.is_local(address.domain()) {
        return Err(format!("{} is not a domain of ours", address.domain()));
    }
    match site.separator().filter(|separator| address.local().contains(*separator)) {
        Some(separator) => Err(format!("{address}: {separator:?} separates the detail")),
        None => Ok(address),
    }
}

/// The rows of a file of passwords: address, name and password.
pub fn passwords(sheet: &Sheet) -> Result<Vec<(Address, String, String)>, String> {
    let index = |name: &str| sheet.columns.iter().position(|column| column.name() == name);
    let (Some(address), Some(name), Some(password)) = (index("address"), index("name"), index("password")) else {
        return Err("its columns are not address, name, password".to_string());
    };
    let rows = sheet.rows.iter().map(|row| {
        let wrong = |e| format!("{:?}: {e}", row.cells.get(address).unwrap_or_default());
        let key = Address::parse(sheet.cell(row, address)?).map_err(wrong)?.to_key();
        Ok((key, sheet.cell(row, name)?.to_string(), sheet.cell(row, password)?.to_string()))
    });
    rows.collect()
}
