//! The options that say something about an account: one for each attribute.

use crate::cli::Ended;
use crate::config::Site;
use crate::status::Exit;
use crate::users::{Account, Attribute};

#[derive(Debug, clap::Args)]
pub(super) struct Values {
    /// The person's name
    #[arg(long)]
    name: Option<String>,
    /// Mailbox quota, such as 1G; 0 for none
    #[arg(long)]
    quota: Option<String>,
    /// Most messages in the mailboxes; 0 for no limit
    #[arg(long, value_name = "NUMBER")]
    quota_messages: Option<u32>,
    /// Services that may be used, with commas: smtp, submission, pop3, imap, poppass, managesieve; "all" for all
    #[arg(long)]
    services: Option<String>,
    /// Further addresses of the account, with commas; "" for none
    #[arg(long, value_name = "ADDRESSES")]
    aliases: Option<String>,
    /// Send its mail on to these addresses, with commas; "" for none
    #[arg(long, value_name = "ADDRESSES")]
    forward: Option<String>,
    /// Whether mail that is sent on stays in the mailbox, too: yes or no
    #[arg(long, value_name = "YES-OR-NO")]
    keep_copy: Option<String>,
    /// After how many days mail is old, also in single mailboxes: 30,Trash:7; "" keeps it
    #[arg(long, value_name = "DAYS")]
    expire: Option<String>,
    /// Networks that logins may come from, with commas; "" for all
    #[arg(long)]
    networks: Option<String>,
    /// Take neither logins nor mail: yes or no
    #[arg(long, value_name = "YES-OR-NO")]
    disabled: Option<String>,
    /// Refuse logins until the user has set a new password by empass: yes or no
    #[arg(long, value_name = "YES-OR-NO")]
    must_change_password: Option<String>,
}

impl Values {
    fn given(&self) -> impl Iterator<Item = (&'static str, String)> {
        let all = [
            ("name", self.name.clone()),
            ("quota", self.quota.clone()),
            ("quota-messages", self.quota_messages.map(|n| n.to_string())),
            ("services", self.services.clone()),
            ("aliases", self.aliases.clone()),
            ("forward", self.forward.clone()),
            ("keep-copy", self.keep_copy.clone()),
            ("expire", self.expire.clone()),
            ("networks", self.networks.clone()),
            ("disabled", self.disabled.clone()),
            ("must-change-password", self.must_change_password.clone()),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// True when any of them is there.
    pub(super) fn say_something(&self) -> bool {
        self.given().next().is_some()
    }

    /// Sets what is given.
    pub(super) fn apply(&self, account: &mut Account, site: &Site) -> Result<(), Ended> {
        for (name, text) in self.given() {
            if let Some(attribute) = Attribute::of(name) {
                let value = attribute.read(&text, site);
                account.put(attribute.word, value.map_err(|e| Ended::new(Exit::Usage, format!("--{name}: {e}")))?);
            }
        }
        Ok(())
    }
}
