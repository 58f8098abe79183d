//! Changing one key of em.toml; comments and order stay.

use super::{ConfigError, FILE_LIMIT, parse};
use crate::fsx::{self, Lock};
use crate::settings::{self, Root};
use std::time::Duration;
use toml_edit::{DocumentMut, Item, Table, Value};

/// How long a change waits for another one.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Sets `section.name` to a value given as TOML, or as a bare word where a string is wanted.
///
/// The whole file is checked before it is replaced.
pub fn set(root: &Root, key: &str, value: &str) -> Result<(), ConfigError> {
    let path = root.settings_file();
    let whole = |message: String, hint: String| ConfigError::whole(path.clone(), message, hint);
    let (section, name) = split(key).map_err(|(message, hint)| whole(message, hint))?;
    edit(root, |document| {
        let table = document.entry(section).or_insert(Item::Table(Table::new()));
        let Some(table) = table.as_table_like_mut() else {
            return Err(whole(format!("[{section}] is not a section"), String::new()));
        };
        let mut new = parse_value(section, name, value);
        if let Some(Item::Value(old)) = table.get(name) {
            *new.decor_mut() = old.decor().clone();
        }
        table.insert(name, Item::Value(new));
        Ok(())
    })
}

/// Takes a key out, so that its default is in force again.
pub fn remove(root: &Root, key: &str) -> Result<(), ConfigError> {
    let path = root.settings_file();
    let (section, name) = split(key).map_err(|(m, h)| ConfigError::whole(path.clone(), m, h))?;
    edit(root, |document| {
        if let Some(table) = document.get_mut(section).and_then(Item::as_table_like_mut) {
            table.remove(name);
        }
        Ok(())
    })
}

fn edit(root: &Root, change: impl FnOnce(&mut DocumentMut) -> Result<(), ConfigError>) -> Result<(), ConfigError> {
    let path = root.settings_file();
    let io = |e: std::io::Error| ConfigError::whole(path.clone(), e.to_string(), "");
    // Two changes at once would each write what they read: one would be lost.
    let lock = path.with_file_name(".em.toml.lock");
    let _lock = Lock::wait(&lock, LOCK_PATIENCE).map_err(|e| ConfigError::whole(lock.clone(), e.to_string(), ""))?;
    let bytes = fsx::read(&path, FILE_LIMIT).map_err(io)?;
    let not_text = |_| ConfigError::whole(path.clone(), "not UTF-8 text", "save the file as UTF-8");
    let text = String::from_utf8(bytes).map_err(not_text)?;
    // A broken file is reported with its place, as `emconf check` would.
    parse(&text, &path)?;
    let mut document: DocumentMut =
        text.parse().map_err(|e: toml_edit::TomlError| ConfigError::whole(path.clone(), e.message(), ""))?;
    change(&mut document)?;
    let new = document.to_string();
    parse(&new, &path)?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).map_err(io)?.permissions());
    fsx::replace(&path, new.as_bytes(), mode & 0o777).map_err(io)
}

/// Splits `section.name` and checks that it exists.
pub(super) fn split(key: &str) -> Result<(&str, &str), (String, String)> {
    let keys = settings::keys();
    let known = key.split_once('.').filter(|(section, name)| {
        *section == "jobs" && !name.is_empty() || keys.iter().any(|k| k.section == *section && k.name == *name)
    });
    known.ok_or_else(|| {
        let paths: Vec<String> = keys.iter().map(settings::Key::path).collect();
        let hint = match settings::nearest(key, paths.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => "`emconf show --all` lists all settings".to_string(),
        };
        (format!("unknown setting {key}"), hint)
    })
}

/// Reads a value as TOML; a bare word is a string, and a list where the key wants one.
fn parse_value(section: &str, name: &str, text: &str) -> Value {
    let is_list = settings::keys().iter().any(|k| k.section == section && k.name == name && k.kind.contains("list"));
    if is_list && !text.trim_start().starts_with('[') {
        let members = text.split([',', ' ']).map(str::trim).filter(|m| !m.is_empty()).map(|m| m.trim_matches('"'));
        return Value::Array(members.collect());
    }
    let wants_text = settings::keys()
        .iter()
        .any(|k| k.section == section && k.name == name && !["a number", "true or false"].contains(&k.kind));
    match text.parse::<Value>() {
        Ok(value) if !wants_text || value.is_str() || value.is_array() => value,
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    #[test]
    fn set_keeps_comments_and_refuses_nonsense() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::under(dir.path());
        std::fs::create_dir(&root.etc).unwrap();
        let text = "# mine\n[smtp]\nrecipients = 5 # few\n\n# end\n";
        std::fs::write(root.settings_file(), text).unwrap();
        set(&root, "smtp.recipients", "7").unwrap();
        set(&root, "smtp.message_size", "10M").unwrap();
        set(&root, "services.smtp", "127.0.0.1:2525, [::1]:2525").unwrap();
        let site = load(&root).unwrap();
        assert_eq!((site.settings.smtp.recipients, site.settings.smtp.message_size.0), (7, 10 << 20));
        assert_eq!(site.settings.services.smtp.len(), 2);
        let now = std::fs::read_to_string(root.settings_file()).unwrap();
        assert!(now.contains("# mine") && now.contains("7 # few") && now.contains("# end"), "{now}");
        let wrong = set(&root, "smtp.recipient", "7").unwrap_err().to_string();
        assert!(wrong.contains("did you mean smtp.recipients?"), "{wrong}");
        assert!(set(&root, "smtp.recipients", "many").is_err());
        assert_eq!(std::fs::read_to_string(root.settings_file()).unwrap(), now);
        std::fs::write(root.settings_file(), b"# caf\xe9\n[smtp]\n").unwrap();
        assert!(set(&root, "smtp.hops", "7").unwrap_err().to_string().contains("not UTF-8"));
        assert_eq!(std::fs::read(root.settings_file()).unwrap(), b"# caf\xe9\n[smtp]\n");
        std::fs::write(root.settings_file(), &now).unwrap();
        remove(&root, "smtp.recipients").unwrap();
        assert_eq!(load(&root).unwrap().settings.smtp.recipients, 1000);
    }
}
