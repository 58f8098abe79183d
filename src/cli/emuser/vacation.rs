//! `emuser vacation`: the answer that an account gives to its mail while nobody reads it.

use super::{account, edit};
use crate::cli::{Done, Ended, say};
use crate::config::Site;
use crate::fsx;
use crate::log;
use crate::status::Exit;
use crate::users::{Account, Attribute, Users};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest text, in octets: the account's line in etc/users has to hold it.
const TEXT_LIMIT: u64 = 8 << 10;
/// Everything about it, as sheets call it.
const FIELDS: [&str; 5] = ["vacation", "vacation_subject", "vacation_from", "vacation_until", "vacation_days"];

#[derive(Debug, clap::Args)]
pub(super) struct Vacation {
    /// user@domain
    user: String,
    /// The text, in UTF-8; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["off", "show"])]
    text_file: Option<PathBuf>,
    /// The answer's subject; "" for the usual one
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["off", "show"])]
    subject: Option<String>,
    /// First day, YYYY-MM-DD; "" for at once
    #[arg(long, value_name = "DATE", conflicts_with_all = ["off", "show"])]
    from: Option<String>,
    /// Last day, YYYY-MM-DD; "" for no end
    #[arg(long, value_name = "DATE", conflicts_with_all = ["off", "show"])]
    until: Option<String>,
    /// After how many days a sender gets another answer; "" for 7
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["off", "show"])]
    days: Option<String>,
    /// Answer no more, and forget all of it
    #[arg(long, conflicts_with = "show")]
    off: bool,
    /// Show it
    #[arg(long)]
    show: bool,
    /// Print JSON
    #[arg(long, requires = "show")]
    json: bool,
}

pub(super) fn vacation(site: &Site, users: &Users, wanted: &Vacation) -> Done {
    let account = account(&wanted.user, site, users)?;
    if wanted.show {
        return show(&account, wanted.json);
    }
    let text = wanted.text_file.as_deref().map(read_text).transpose()?;
    let given = [
        ("vacation", "text-file", text),
        ("vacation_subject", "subject", wanted.subject.clone()),
        ("vacation_from", "from", wanted.from.clone()),
        ("vacation_until", "until", wanted.until.clone()),
        ("vacation_days", "days", wanted.days.clone()),
    ];
    if !wanted.off && given.iter().all(|(_, _, text)| text.is_none()) {
        return Err(Ended::new(Exit::Usage, "nothing to do: --text-file, --off or --show; see emuser vacation --help"));
    }
    let mut values = Vec::new();
    for (field, option, text) in given {
        if let Some((attribute, text)) = Attribute::of(field).zip(text) {
            let value = attribute.read(&text, site).map_err(|e| Ended::new(Exit::Usage, format!("--{option}: {e}")))?;
            values.push((attribute.word, value));
        }
    }
    edit(users, &account.address, |account| {
        if wanted.off {
            FIELDS.iter().for_each(|field| account.put(field, None));
            return Ok(());
        }
        values.into_iter().for_each(|(word, value)| account.put(word, value));
        if account.field("vacation").is_none() {
            return Err(Ended::new(Exit::Usage, "there is no text to answer with: --text-file"));
        }
        match (account.field("vacation_from"), account.field("vacation_until")) {
            // YYYY-MM-DD sorts by date.
            (Some(from), Some(until)) if from > until => {
                Err(Ended::new(Exit::Usage, format!("it would end on {until}, before it begins on {from}")))
            }
            _ => Ok(()),
        }
    })?;
    let event = log::event("vacation-changed").field("user", &account.address);
    event.field("is", if wanted.off { "off" } else { "on" }).write();
    Ok(Exit::Ok)
}

fn read_text(path: &Path) -> Result<String, Ended> {
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(TEXT_LIMIT + 1).read_to_end(&mut bytes)?;
        bytes
    } else {
        fsx::read(path, TEXT_LIMIT).map_err(|e| Ended::new(Exit::NoInput, e.to_string()))?
    };
    let wrong = |text: &str| Ended::new(Exit::DataErr, format!("{}: {text}", path.display()));
    if bytes.len() as u64 > TEXT_LIMIT {
        return Err(wrong("the text is longer than 8 KiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("the text is not UTF-8"))?;
    if text.trim().is_empty() { Err(wrong("the text is empty")) } else { Ok(text) }
}

fn show(account: &Account, json: bool) -> Done {
    let field = |name: &str| account.field(name).unwrap_or_default();
    if json {
        let fields = FIELDS.iter().map(|name| (name.to_string(), account.field(name).into()));
        say(&format!("{}\n", serde_json::Value::Object(fields.collect())))?;
        return Ok(Exit::Ok);
    }
    if field("vacation").is_empty() {
        say("off\n")?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for (name, title) in [
        ("vacation_subject", "Subject"),
        ("vacation_from", "From"),
        ("vacation_until", "Until"),
        ("vacation_days", "Days"),
    ] {
        if !field(name).is_empty() {
            text.push_str(&format!("{title}: {}\n", field(name)));
        }
    }
    say(&format!("{text}\n{}\n", field("vacation").trim_end()))?;
    Ok(Exit::Ok)
}
