//! Options of the command line: `--name value` pairs, and a command after `--`.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// What can go wrong; the text says enough for the one reader it has.
pub type Problem = Box<dyn std::error::Error + Send + Sync>;

/// The options given, by name, and the words after `--`.
pub struct Args {
    named: BTreeMap<String, String>,
    /// The command to run, for those subcommands that start one.
    pub command: Vec<String>,
}

impl Args {
    /// Reads `--name value` pairs up to `--`.
    pub fn parse(words: &[String]) -> Result<Args, Problem> {
        let mut named = BTreeMap::new();
        let mut left = words.iter();
        while let Some(word) = left.next() {
            if word == "--" {
                break;
            }
            let name = word.strip_prefix("--").ok_or_else(|| format!("{word}: expected --name"))?;
            let value = left.next().ok_or_else(|| format!("--{name} needs a value"))?;
            named.insert(name.to_string(), value.clone());
        }
        Ok(Args { named, command: left.cloned().collect() })
    }

    /// The option's value, or the default.
    pub fn value<T: FromStr>(&self, name: &str, default: T) -> Result<T, Problem> {
        match self.named.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{name} {text}: not understood").into()),
        }
    }

    /// The option's value; its absence is an error.
    pub fn needed<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        let text = self.named.get(name).ok_or_else(|| format!("--{name} is missing"))?;
        text.parse().map_err(|_| format!("--{name} {text}: not understood").into())
    }

    /// `--seconds`, as a duration.
    pub fn seconds(&self) -> Result<Duration, Problem> {
        Ok(Duration::from_secs_f64(self.value("seconds", 3.0)?))
    }

    /// The server's address: `--port` on loopback.
    pub fn server(&self) -> Result<(&'static str, u16), Problem> {
        Ok(("127.0.0.1", self.needed("port")?))
    }

    /// The full address of user number `n`.
    pub fn address(&self, n: usize) -> Result<String, Problem> {
        Ok(format!("user{n}@{}", self.value("domain", "example.test".to_string())?))
    }
}
