//! An account as text and as JSON.

use crate::config::Site;
use crate::mailbox::Quota;
use crate::settings::Size;
use crate::users::{self, ATTRIBUTES, Account, Source};

/// One line for each thing that is set.
pub(super) fn to_text(account: &Account, site: &Site) -> String {
    let quota = account.quota(site.default_quota());
    let mut text = format!("address   {}\n", account.address);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // A text of several lines stays below its name.
            let value = value.replace('\n', &format!("\n{:<10}", ""));
            text.push_str(&format!("{name:<9} {value}\n"));
        }
    };
    let field = |word: &str| account.field(word).unwrap_or_default();
    line("name", account.name());
    line("directory", if account.source() == Source::File { "" } else { account.source().name() });
    line("password", scheme(account));
    line("apop", if account.secret().is_some() { "yes (the password is kept readable)" } else { "" });
    for (name, services) in account.app_passwords() {
        line("app", &format!("{name} ({})", if services.is_empty() { "all services" } else { services }));
    }
    line("quota", &quota_text(quota));
    line("services", account.field("services").unwrap_or("all"));
    line("networks", field("networks"));
    line("login", &login(account));
    line("aliases", field("aliases"));
    let kept = if account.field("keep_copy").is_some() { " (a copy stays)" } else { "" };
    line("forward", &account.field("forward").map(|to| format!("{to}{kept}")).unwrap_or_default());
    line("expire", &account.field("expire").map(|days| format!("{days} days")).unwrap_or_default());
    if account.field("vacation").is_some() {
        let day = |word: &str, text: &str| account.field(word).map(|day| format!("{text} {day}"));
        let span: Vec<String> =
            [day("vacation_from", "from"), day("vacation_until", "until")].into_iter().flatten().collect();
        line("vacation", if span.is_empty() { "always".to_string() } else { span.join(" ") }.as_str());
    }
    line("home", &users::home(&site.root.mail, &account.address).display().to_string());
    text
}

fn login(account: &Account) -> String {
    let states = [
        (account.is_disabled(), "disabled, and takes no mail"),
        (account.is_locked(), "locked"),
        (account.must_change_password(), "waits for a new password"),
    ];
    states.iter().filter(|(is_so, _)| *is_so).map(|(_, text)| *text).collect::<Vec<_>>().join(", ")
}

fn scheme(account: &Account) -> &str {
    match account.password() {
        None if account.source() != Source::File => account.source().name(),
        None => "none",
        Some(hash) => hash.split('$').nth(1).unwrap_or("unknown"),
    }
}

fn quota_text(quota: Quota) -> String {
    let octets = (quota.octets > 0).then(|| Size(quota.octets).to_string());
    let messages = (quota.messages > 0).then(|| format!("{} messages", quota.messages));
    let limits: Vec<String> = octets.into_iter().chain(messages).collect();
    if limits.is_empty() { "none".to_string() } else { limits.join(", ") }
}

/// An object with everything but secrets.
pub(super) fn to_json(account: &Account, site: &Site) -> serde_json::Value {
    let quota = account.quota(site.default_quota());
    let list = |word: &str| account.field(word).map(|s| s.split(',').collect::<Vec<_>>());
    let apps = account.app_passwords().map(|(name, services)| serde_json::json!({"name": name, "services": services}));
    let mut json = serde_json::json!({
        "address": account.address.to_string(),
        "directory": account.source().name(),
        "name": account.name(),
        "password": scheme(account),
        "apop": account.secret().is_some(),
        "app_passwords": apps.collect::<Vec<_>>(),
        "quota": quota.octets,
        "quota_messages": quota.messages,
        "services": list("services"),
        "networks": list("networks"),
        "aliases": list("aliases"),
        "forward": list("forward"),
        "keep_copy": account.field("keep_copy").is_some(),
        "locked": account.is_locked(),
        "disabled": account.is_disabled(),
        "must_change_password": account.must_change_password(),
        "home": users::home(&site.root.mail, &account.address),
    });
    for attribute in &ATTRIBUTES {
        if json.get(attribute.name).is_none()
            && let Some(object) = json.as_object_mut()
        {
            object.insert(attribute.name.to_string(), account.field(attribute.word).into());
        }
    }
    json
}
