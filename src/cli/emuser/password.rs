//! Where a password comes from: standard input, a terminal, or a hash on the command line.

use crate::cli::Ended;
use crate::config::Site;
use crate::status::Exit;
use crate::users::{self, Account};
use std::io::{BufRead, IsTerminal, Read, Write};

#[derive(Debug, clap::Args)]
pub(super) struct Password {
    /// Read the password from standard input, up to a line end
    #[arg(long)]
    password_stdin: bool,
    /// Take this crypt(3) or argon2 hash as it is
    #[arg(long, value_name = "HASH", conflicts_with_all = ["password_stdin", "apop"])]
    password_hash: Option<String>,
    /// No password: nobody can log in yet
    #[arg(long, conflicts_with_all = ["password_stdin", "password_hash", "apop"])]
    no_password: bool,
    /// Keep the password recoverable, as APOP and CRAM-MD5 need it
    #[arg(long)]
    apop: bool,
}

pub(super) fn set_password(options: &Password, account: &mut Account, site: &Site) -> Result<(), Ended> {
    if options.no_password || options.password_hash.is_some() {
        ["pw", "scram", "apop"].into_iter().for_each(|field| account.put(field, None));
    }
    if options.no_password {
        return Ok(());
    }
    if let Some(hash) = &options.password_hash {
        if !users::is_known_hash(hash) {
            let text = "--password-hash: not a hash of argon2, yescrypt, sha512, sha256 or bcrypt";
            return Err(Ended::new(Exit::Usage, text));
        }
        account.put("pw", Some(hash.clone()));
        return Ok(());
    }
    let password = read_password(options.password_stdin)?;
    let scheme = &site.settings.accounts.password_scheme;
    account.set_password(&password, scheme, options.apop).map_err(|e| Ended::new(Exit::DataErr, e.to_string()))
}

/// From standard input, or twice from the terminal without echo.
pub(super) fn read_password(from_stdin: bool) -> Result<String, Ended> {
    let stdin = std::io::stdin();
    if from_stdin || !stdin.is_terminal() {
        if !from_stdin {
            return Err(Ended::new(Exit::Usage, "give the password with --password-stdin"));
        }
        let mut text = String::new();
        stdin
            .lock()
            .take(64 << 10)
            .read_to_string(&mut text)
            .map_err(|e| Ended::new(Exit::DataErr, format!("standard input: {e}")))?;
        return Ok(text.lines().next().unwrap_or("").to_string());
    }
    let first = prompt("Password: ")?;
    if first != prompt("Again: ")? {
        return Err(Ended::new(Exit::DataErr, "the two are not the same"));
    }
    Ok(first)
}

pub(super) fn prompt(text: &str) -> Result<String, Ended> {
    let mut err = std::io::stderr();
    let _ = write!(err, "{text}");
    let _ = err.flush();
    // stty is everywhere a terminal is; termios would need another feature of nix for this one place.
    let echo = |word: &str| std::process::Command::new("stty").arg(word).status();
    let _ = echo("-echo");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    let _ = echo("echo");
    let _ = writeln!(err);
    read.map_err(|e| Ended::new(Exit::DataErr, e.to_string()))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_string())
}
