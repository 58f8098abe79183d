//! `emuser app-password`: passwords for single devices.

use super::{account, edit};
use crate::cli::{Done, Ended, say};
use crate::config::Site;
use crate::log;
use crate::status::Exit;
use crate::users::{APP_PASSWORDS_LIMIT, Attribute, Users, is_app_name};

#[derive(Debug, clap::Args)]
pub(super) struct AppPassword {
    /// user@domain
    user: String,
    #[command(subcommand)]
    action: AppAction,
}

#[derive(Debug, clap::Subcommand)]
enum AppAction {
    /// Make a password for a device, and print it: it is shown this once
    Add {
        /// What it is called, such as phone: small letters, digits, - and _
        name: String,
        /// Services that it may be used for, with commas; all without it. Never poppass
        #[arg(long)]
        services: Option<String>,
    },
    /// List names and services
    List {
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Take one away
    Remove {
        /// What it is called
        name: String,
    },
}

pub(super) fn app_password(site: &Site, users: &Users, wanted: &AppPassword) -> Done {
    let account = account(&wanted.user, site, users)?;
    let address = &account.address;
    match &wanted.action {
        AppAction::Add { name, services } => {
            if !is_app_name(name) {
                let text = format!("{name:?}: a name has up to 32 small letters, digits, - and _");
                return Err(Ended::new(Exit::Usage, text));
            }
            let services = services_of(services.as_deref(), site)?;
            let mut password = None;
            edit(users, address, |account| {
                if account.app_passwords().any(|(known, _)| known == name) {
                    return Err(Ended::new(Exit::CantCreat, format!("{address} has an app password {name} already")));
                }
                if account.app_passwords().count() >= APP_PASSWORDS_LIMIT {
                    let text = format!("{address} has {APP_PASSWORDS_LIMIT} app passwords: remove one first");
                    return Err(Ended::new(Exit::CantCreat, text));
                }
                password = account.add_app_password(name, &services);
                let none = || Ended::new(Exit::OsErr, "no random numbers from the system");
                password.is_some().then_some(()).ok_or_else(none)
            })?;
            log::event("app-password-added").field("user", address).field("name", name).write();
            say(&format!("{}\n", password.unwrap_or_default()))?;
        }
        AppAction::List { json } => {
            let lines = account.app_passwords().map(|(name, services)| match json {
                true => format!("{}\n", serde_json::json!({"name": name, "services": services})),
                false => format!("{name} {}\n", if services.is_empty() { "all" } else { services }),
            });
            say(&lines.collect::<String>())?;
        }
        AppAction::Remove { name } => {
            let missing = || Ended::new(Exit::No, format!("{address} has no app password {name}"));
            edit(users, address, |account| account.remove_app_password(name).then_some(()).ok_or_else(missing))?;
            log::event("app-password-removed").field("user", address).field("name", name).write();
        }
    }
    Ok(Exit::Ok)
}

fn services_of(text: Option<&str>, site: &Site) -> Result<String, Ended> {
    let Some((text, attribute)) = text.zip(Attribute::of("services")) else { return Ok(String::new()) };
    let wrong = |e: String| Ended::new(Exit::Usage, format!("--services: {e}"));
    let list = attribute.read(text, site).map_err(wrong)?.unwrap_or_default();
    match list.split(',').any(|service| service == "poppass") {
        true => Err(wrong("app passwords never change the account's password".to_string())),
        false => Ok(list),
    }
}
