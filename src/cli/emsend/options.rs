//! sendmail's options: -o with a letter, -O with a name.

use super::arguments::Arguments;
use crate::rules::option;
use crate::settings::{DeliveryMode, ErrorMode};

/// -oX[value]: the old one-letter options.
pub(super) fn option_letter(arguments: &mut Arguments, text: &str) -> Result<(), String> {
    let mut chars = text.chars();
    match (chars.next(), chars.as_str()) {
        (Some('i'), value) => arguments.dot_ends = Some(!is_on(value)),
        (Some('v'), value) => arguments.verbose = is_on(value),
        (Some('d'), value) => delivery_mode(arguments, value)?,
        (Some('e'), value) => errors(arguments, value)?,
        // The others set the daemon's numbers, or say what we do anyway (-om, -o7, -o8).
        (Some(letter), _) if letter.is_ascii_alphanumeric() => {}
        _ => return Err(format!("-o{text}: a letter and its value")),
    }
    Ok(())
}

/// -O Name=value: the long names of the same, in any case, shortened where that is clear.
pub(super) fn option_name(arguments: &mut Arguments, text: &str) -> Result<(), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    // Timeout.queuereturn and the like.
    let name = name.split('.').next().unwrap_or(name);
    let known = match option::read(format!(" {text}").as_bytes(), 0) {
        option::Read::Known(setting) | option::Read::Shortened(setting, _) => setting.name,
        option::Read::Unknown(_) => {
            let near = crate::settings::nearest(name, option::NAMES.iter().map(|(_, name)| *name));
            let hint = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            return Err(format!("-O {name}: unknown option name{hint}"));
        }
    };
    match known {
        "IgnoreDots" => arguments.dot_ends = Some(!is_on(value)),
        "DeliveryMode" => delivery_mode(arguments, value)?,
        "ErrorMode" => errors(arguments, value)?,
        "Verbose" => arguments.verbose = is_on(value),
        _ => {}
    }
    Ok(())
}

/// sendmail's booleans: nothing is yes.
fn is_on(value: &str) -> bool {
    !value.to_ascii_lowercase().starts_with(['f', 'n', '0'])
}

fn delivery_mode(arguments: &mut Arguments, value: &str) -> Result<(), String> {
    let mode = DeliveryMode::parse(value).ok_or_else(|| format!("-od{value}: one of -odi -odb -odq -odd"))?;
    arguments.delivery = Some(mode);
    Ok(())
}

pub(super) fn errors(arguments: &mut Arguments, value: &str) -> Result<(), String> {
    let mode = ErrorMode::parse(value).ok_or_else(|| format!("-oe{value}: one of -oem -oep -oeq -oew -oee"))?;
    arguments.errors = Some(mode);
    Ok(())
}
