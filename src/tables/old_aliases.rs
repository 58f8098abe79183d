//! An alias file as sendmail reads it, for a site that works from a sendmail.cf alone.
//!
//! Called by `route`. Where our own aliases are refused whole with the place of the mistake, an old file is taken as it is: a second
//! entry of a name counts, a command needs no path, and what is no target fails by itself when mail comes to it.

use super::aliases::{Alias, Aliases, Target, name_key, parse_target, split_name, split_targets};
use super::{Table, entries};
use crate::config::ConfigError;
use crate::status::Enhanced;
use std::path::Path;
use std::sync::Arc;

/// Such a file.
#[derive(Debug, Clone, Default)]
pub struct OldAliases(pub Arc<Aliases>);

impl Table for OldAliases {
    fn parse(text: &str, _path: &Path) -> Result<OldAliases, ConfigError> {
        let mut all = Aliases::default();
        for entry in entries(text) {
            let Some((name, colon)) = split_name(entry.text) else { continue };
            let Ok(key) = name_key(&name) else { continue };
            let line = text[..entry.start].matches('\n').count() + 1;
            all.put(key, Alias { name, line, targets: targets(&entry.text[colon + 1..], true) });
        }
        Ok(OldAliases(Arc::new(all)))
    }
}

/// Reads a list of targets; one that is none becomes an error of its own.
pub fn targets(text: &str, may_include: bool) -> Vec<Target> {
    let bad = |why: String| Target::Error(Enhanced(5, 1, 3), why);
    let Ok(words) = split_targets(text) else { return vec![bad("Unbalanced '\"'".to_string())] };
    let target = |word: &str| match word.strip_prefix('|').map(str::trim) {
        Some("") => bad("no command behind |".to_string()),
        Some(command) => Target::Program(command.to_string()),
        None => parse_target(word, may_include).unwrap_or_else(|(why, _)| bad(why)),
    };
    words.iter().map(|(_, _, word)| target(word)).collect()
}

/// Octets of each entry's name and right side, as `newaliases` counts them: the line ends of the folding are no part of it.
pub fn sizes(text: &str) -> Vec<(usize, usize)> {
    let value = |entry: &super::Entry| {
        let (name, colon) = split_name(entry.text)?;
        Some((name.len(), entry.text[colon + 1..].lines().map(str::trim).map(str::len).sum()))
    };
    entries(text).iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_file_is_taken_as_it_is() {
        let text =
            "list: root, games\nlist: bin\nprog: \"|cat > /tmp/x; exit 0\"\nbad: <a, b\nno colon here\nx: y, a b c\n";
        let OldAliases(all) = OldAliases::parse(text, Path::new("aliases")).unwrap();
        assert_eq!(all.find("LIST").unwrap().targets, [Target::Address("bin".into())]);
        assert_eq!(all.find("prog").unwrap().targets, [Target::Program("cat > /tmp/x; exit 0".into())]);
        let x = &all.find("x").unwrap().targets;
        assert!(x[0] == Target::Address("y".into()) && matches!(x[1], Target::Error(..)), "{x:?}");
        assert_eq!(sizes("a: root, games\nb: c,\n   d\n"), [(1, 11), (1, 3)]);
    }
}
