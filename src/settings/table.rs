//! The table of settings. A row: name, type, default, what it does.

use super::relay::{Dnssec, Families, TlsDefault};
use super::value::{Kind, Network, Plaintext, Size};
use super::{Cf, DirectoryChoice, Fetched, HostLimit, Key, PriorityRule};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use toml_edit::Value;

macro_rules! settings {
    ($($(#[doc = $section_doc:literal])* $section:ident: $type:ident {
        $($name:ident: $kind:ty = $default:expr, $doc:literal;)*
    })*) => {
        $(
            $(#[doc = $section_doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $type { $(#[doc = $doc] pub $name: $kind,)* }

            impl Default for $type {
                fn default() -> Self { $type { $($name: $default,)* } }
            }
        )*

        /// All settings.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct Settings {
            $($(#[doc = $section_doc])* pub $section: $type,)*
            /// Timed jobs: name, and when and what.
            pub jobs: BTreeMap<String, String>,
            /// What a sendmail.cf says that stands in the place of em.toml.
            pub cf: Option<Cf>,
        }

        impl Settings {
            /// Sets one key; `None` when there is no such key, an error when the value does not fit.
            pub fn set(&mut self, section: &str, name: &str, value: &Value) -> Option<Result<(), String>> {
                match (section, name) {
                    $($((stringify!($section), stringify!($name)) => {
                        Some(<$kind as Kind>::read(value).map(|v| self.$section.$name = v))
                    })*)*
                    ("jobs", name) => Some(String::read(value).map(|v| { self.jobs.insert(name.to_string(), v); })),
                    _ => None,
                }
            }

            /// The value of one key, as TOML; `None` when there is no such key.
            pub fn print(&self, section: &str, name: &str) -> Option<String> {
                match (section, name) {
                    $($((stringify!($section), stringify!($name)) => Some(self.$section.$name.print()),)*)*
                    ("jobs", name) => self.jobs.get(name).map(Kind::print),
                    _ => None,
                }
            }
        }

        /// Every key, in the order of the sample file.
        pub fn keys() -> Vec<Key> {
            let defaults = Settings::default();
            vec![$($(Key {
                section: stringify!($section),
                name: stringify!($name),
                kind: <$kind as Kind>::NAME,
                doc: $doc,
                default: defaults.$section.$name.print(),
            },)*)*]
        }

        /// Every section's name and purpose.
        pub const SECTIONS: &[(&str, &str)] = &[
            $((stringify!($section), concat!($($section_doc,)*).trim_ascii()),)*
            ("jobs", "Timed jobs: NAME = \"every SPAN: COMMAND\" or \"at HH:MM: COMMAND\"."),
        ];
    };
}

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

settings! {
    /// Who this server is.
    server: Server {
        hostname: String = String::new(), "Our own name in greetings, HELO and Received fields; empty takes the system's host name.";
        domains: Vec<String> = Vec::new(), "The domains whose mail is ours to deliver.";
        postmaster: String = String::new(), "Where mail for postmaster goes when neither an alias nor an account of that name exists; empty keeps it in the first domain's postmaster mailbox.";
        detail_separator: String = "+".to_string(), "One character: user+detail@domain is delivered to user@domain; empty switches it off.";
        networks_trusted: Vec<Network> = Vec::new(), "Networks whose clients may send anywhere without logging in.";
    }
    /// Which services run, and where they listen: lists of "address:port", empty for off.
    services: Services {
        smtp: Vec<SocketAddr> = Vec::new(), "SMTP from other servers (port 25).";
        submission: Vec<SocketAddr> = Vec::new(), "Message submission with STARTTLS (port 587).";
        submissions: Vec<SocketAddr> = Vec::new(), "Message submission with TLS from the start (port 465).";
        lmtp: Vec<SocketAddr> = Vec::new(), "LMTP from other programs of this site (port 24).";
        odmr: Vec<SocketAddr> = Vec::new(), "On-demand mail relay: customers fetch the mail of their domains with ATRN (port 366).";
        pop3: Vec<SocketAddr> = Vec::new(), "POP3 (port 110).";
        pop3s: Vec<SocketAddr> = Vec::new(), "POP3 with TLS from the start (port 995).";
        imap: Vec<SocketAddr> = Vec::new(), "IMAP (port 143).";
        imaps: Vec<SocketAddr> = Vec::new(), "IMAP with TLS from the start (port 993).";
        poppass: Vec<SocketAddr> = Vec::new(), "Password changes as poppassd (port 106).";
        managesieve: Vec<SocketAddr> = Vec::new(), "ManageSieve: clients edit Sieve scripts (port 4190).";
        queue: bool = true, "Run the queue: deliver, retry, return.";
    }
    /// Certificates.
    tls: Tls {
        certificate: String = String::new(), "PEM file with our certificate and its chain; empty uses a self-signed one in etc/tls, made at the first start.";
        key: String = String::new(), "PEM file with the certificate's private key.";
        client_ca: String = String::new(), "PEM file with the certificates of those who certify our users: their client certificates log in without a password (SASL EXTERNAL) by IMAP, POP3 and submission; empty asks for none.";
        client_crl: String = String::new(), "PEM file with the revocation lists of everybody who issued client certificates; empty knows none revoked.";
        minimum: String = "1.2".to_string(), "The oldest TLS version taken: \"1.2\" or \"1.3\".";
    }
    /// Limits and policy of the SMTP, submission and LMTP server.
    smtp: Smtp {
        message_size: Size = Size(50 << 20), "Largest message taken.";
        recipients: u32 = 1000, "Most recipients of one message.";
        header_size: Size = Size(256 << 10), "Largest header taken.";
        hops: u32 = 50, "Most Received fields before a message is taken for a loop.";
        errors: u32 = 20, "Wrong commands and refused recipients before the connection is closed.";
        commands: u32 = 1000, "Commands without a message between before the connection is closed.";
        connections: u32 = 4000, "Most connections at once.";
        connections_per_client: u32 = 100, "Most connections at once from one address.";
        timeout_command: Duration = minutes(5), "Wait for the next command.";
        timeout_data: Duration = minutes(10), "Wait for the next piece of a message.";
        client_names: bool = true, "Look the names of clients up in DNS, where there is a name server: the address's name, which must lead back to it. The hosts file alone names this machine and private networks.";
        client_names_time: Duration = seconds(5), "Longest wait for a client's name, before the greeting.";
        vrfy: bool = false, "Answer VRFY truthfully; otherwise 252 for everything.";
        expn: bool = false, "Answer EXPN with an alias's members.";
        etrn: Vec<Network> = Vec::new(), "Networks whose clients may start a queue run with ETRN.";
        xclient_from: Vec<Network> = Vec::new(), "Networks whose clients may speak for others with XCLIENT.";
        proxy_from: Vec<Network> = Vec::new(), "Networks whose connections begin with a PROXY protocol header.";
        deliver_by: bool = false, "Offer DELIVERBY: senders may say by when a message is to be delivered.";
        deliver_by_least: Duration = seconds(0), "The shortest time for messages that are to be returned afterwards, announced with DELIVERBY.";
        priorities: bool = false, "Offer MT-PRIORITY, and read the field MT-Priority; above 0 only for those who have logged in and for server.networks_trusted.";
        priorities_policy: String = String::new(), "Name of the priority policy that MT-PRIORITY announces, such as MIXER; empty announces none.";
        require_tls: bool = false, "Offer REQUIRETLS inside TLS: such a message goes on only over verified TLS, to hosts that offer the same.";
        future_release: Duration = seconds(0), "Longest time that a message may wait in the queue for its release (FUTURERELEASE, on the submission ports); 0 does not offer it.";
    }
    /// The POP3 server.
    pop3: Pop3 {
        idle: Duration = minutes(10), "Wait for the next command.";
        connections: u32 = 10000, "Most connections at once.";
        connections_per_client: u32 = 10000, "Most connections at once from one address.";
        login_delay: Duration = seconds(0), "Shortest time between two logins that is announced to clients (LOGIN-DELAY).";
        apop: bool = true, "Greet with a challenge for APOP; it works for accounts made with --apop.";
    }
    /// The IMAP server.
    imap: Imap {
        connections: u32 = 20000, "Most connections at once.";
        connections_per_client: u32 = 20000, "Most connections at once from one address.";
        connections_per_user: u32 = 100, "Most connections at once of one account.";
        login: Duration = minutes(3), "Wait for a login.";
        autologout: Duration = minutes(30), "Wait for a command after login; at least 30 minutes, says the standard.";
        idle: Duration = minutes(29), "Longest IDLE; clients begin anew before that.";
        errors: u32 = 20, "Bad commands in a row before the connection is closed.";
        trash: Duration = hours(0), "How long expunged messages are kept in the account's trash, to be restored; 0 removes them at once.";
        proxy_from: Vec<Network> = Vec::new(), "Networks whose connections begin with a PROXY protocol header.";
        progress: Duration = seconds(10), "How often a client hears that its search goes on (INPROGRESS); 0 never tells.";
        message_limit: u32 = 0, "Most messages that one command handles, announced as MESSAGELIMIT; clients that don't know it miss older messages. 0 for no limit; less than 1000 is not allowed by the standard.";
        save_limit: u32 = 0, "The same for COPY and APPEND alone, announced as SAVELIMIT where there is no imap.message_limit.";
        submission_servers: Vec<String> = Vec::new(), "Accounts as which submission servers log in: they alone follow URLs that are authorised for submission (URLAUTH=submit+).";
        delays_new_mail: bool = false, "Tell of new messages at NOOP, CHECK and IDLE alone, for old Outlook Express, which loses messages that it is told of at other times.";
        lsub_shows_noselect: bool = false, "LSUB marks subscribed names that have no mailbox as Noselect, so that Thunderbird shows them in grey instead of failing to open them.";
        tolerates_spaces: bool = false, "Take more than one blank between the words of a command, as some old clients send.";
        tolerates_utf8_headers: bool = false, "Take and show header fields in raw UTF-8 as they are, also from and to clients that did not say ENABLE UTF8=ACCEPT: for moving old mail in, and for backups.";
    }
    /// The ManageSieve server, and what scripts may be.
    managesieve: ManageSieve {
        max_scripts: u32 = 100, "Most Sieve scripts of one account.";
        max_script_size: Size = Size(1 << 20), "Largest Sieve script that is taken; no more than sieve.script_size and 1M.";
        connections: u32 = 2000, "Most connections at once.";
        connections_per_client: u32 = 2000, "Most connections at once from one address.";
        login: Duration = minutes(3), "Wait for a login.";
        autologout: Duration = minutes(30), "Wait for a command after login; at least 30 minutes, says the standard.";
        proxy_from: Vec<Network> = Vec::new(), "Networks whose connections begin with a PROXY protocol header.";
    }
    /// Logging in.
    auth: Auth {
        plaintext_without_tls: Plaintext = Plaintext::Never, "When passwords may cross the wire without TLS.";
        mechanisms: Vec<String> = ["EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"].map(String::from).to_vec(), "SASL mechanisms offered where they can work, best first.";
        cache: Duration = minutes(5), "How long a verified password is remembered (as a keyed digest in memory).";
        failure_delay: Duration = seconds(1), "Pause before the answer to a failed login; doubles with each failure of a client, up to 15 seconds.";
        attempts: u32 = 5, "Failed logins before the connection is closed.";
    }
    /// Accounts.
    accounts: Accounts {
        password_scheme: String = "argon2id".to_string(), "How new passwords are hashed: argon2id, yescrypt, sha512-crypt or bcrypt.";
        password_length: u32 = 8, "Shortest password that users may set by empass, in characters.";
        passwords_refused: Vec<String> = ["00000000", "11111111", "12345678", "123456789", "1234567890", "1q2w3e4r", "1qaz2wsx", "abcd1234", "adminadmin", "asdfghjkl", "baseball", "changeme", "computer", "football", "iloveyou", "letmein1", "passw0rd", "password", "password1", "password123", "princess", "qwerty123", "qwertyui", "qwertyuiop", "starwars", "sunshine", "superman", "trustno1", "welcome1", "whatever"].map(String::from).to_vec(), "Passwords that users may not set by empass, in any case of letters: the first ones that are guessed.";
        directories: Vec<DirectoryChoice> = vec![DirectoryChoice::File], "Where accounts are looked up, the first that knows a name answers for it: \"file\" is etc/users; \"system\" the operating system's accounts, in the first domain; \"system:PROGRAM ARGUMENTS\" the same, with their passwords checked by a program with the checkpassword interface; \"checkpassword:PROGRAM ARGUMENTS\" a program that answers look-ups, too. See em-users(5).";
        directory_timeout: Duration = seconds(10), "Wait for such a program.";
        system_uid_min: u32 = 1000, "The least user number of a system account in that directory.";
        system_uid_max: u32 = 60000, "The greatest.";
        system: bool = false, "Accounts of the operating system are recipients too: mail goes to their homes (~/Maildir or ~/.forward), which no service here reads.";
        trash: Duration = hours(720), "How long a deleted account is kept with its mail, to be restored (emuser restore); 0 removes it at once.";
        quota: Size = Size(0), "Quota of accounts that have none of their own; 0 for none.";
        quota_messages: u32 = 0, "The same in messages.";
        quota_shared: Size = Size(0), "Quota of each domain's shared mailboxes together, and of its public ones; 0 for none.";
        quota_shared_messages: u32 = 0, "The same in messages.";
    }
    /// The queue.
    queue: Queue {
        retry: Duration = minutes(5), "Pause after a message's first failed attempt; later pauses grow with its age.";
        retry_max: Duration = hours(4), "Longest pause between attempts.";
        warn: Duration = hours(4), "Age at which the sender is told once that a message is late.";
        expire: Duration = hours(120), "Age at which a message is returned.";
        expire_bounces: Duration = hours(120), "Age at which a report that can't be delivered is given up, and shown to the postmaster.";
        priorities: Vec<PriorityRule> = Vec::new(), "Other times for messages with a priority (MT-PRIORITY), such as \"1..9 retry=1m warn=30m expire=1d\" and \"-9..-1 retry=1h\"; the first that fits counts.";
        concurrency: u32 = 100, "Most deliveries at once.";
        concurrency_per_host: u32 = 20, "Most connections at once to one host.";
        limits: Vec<HostLimit> = Vec::new(), "Other limits for some destinations, such as \"example.org messages=10/1m connections=2\" and \"* messages=100/1s\": a domain, \".domain\" for everything below it, the host part of a route as `emqueue hosts` names it, or \"*\". The first that fits counts.";
        on_demand: Vec<String> = Vec::new(), "Domains whose mail waits until `emqueue flush`, `release` or `run`, for sites that are not always connected: a domain, \".domain\" for everything below it, \"*\" for all; one with ! in front does not wait. The first that fits counts.";
        timeout_connect: Duration = seconds(30), "Wait for a connection to another host.";
        timeout_command: Duration = minutes(5), "Wait for a reply of another host.";
        timeout_data: Duration = minutes(10), "Wait for the reply after a message's end.";
        bounce_size: Size = Size(64 << 10), "Most of a returned message that is sent back, when the sender wants the whole.";
    }
    /// Sending to other hosts.
    relay: Relay {
        smart_host: String = String::new(), "Where mail for others goes that no route matches, instead of the hosts that DNS names: \"host\" (by its MX), \"[host]\", \"[host]:587\", or \"smtps:[host]\" for TLS from the start (port 465).";
        smart_host_user: String = String::new(), "The name to log in with at the smart host; empty does not log in.";
        smart_host_password_file: String = String::new(), "File whose first line is the password for that; only its owner may read it.";
        login_without_tls: bool = false, "Send that name and password also where the connection has no TLS.";
        fallback: String = String::new(), "Host that is tried after all hosts of a domain, and when DNS fails for now, written as a smart host is.";
        address_families: Families = Families::PreferV4, "Which addresses of a host are used, and which first: \"prefer-ipv4\", \"prefer-ipv6\", \"ipv4\" or \"ipv6\" (the last two alone).";
        source: Vec<IpAddr> = Vec::new(), "Our own addresses that connections come from, at most one of each family; empty leaves it to the system.";
        tls: TlsDefault = TlsDefault::Auto, "TLS to hosts for which etc/tls-policies says nothing: \"none\", \"may\" (where it is offered), \"encrypt\" (no mail without), \"dane\" (by TLSA records, else may), or \"auto\": dane where DNS answers are secured, else may.";
        encode_8bit: bool = true, "Encode 8-bit text (quoted-printable, base64) for hosts that do not offer 8BITMIME; signed parts stay as they are. Signatures by DKIM do not survive it; false sends the text as it is.";
        mta_sts: bool = true, "Obey the MTA-STS policies of domains.";
        ca_file: String = String::new(), "PEM file with the authorities that certificates of other hosts must come from where they are verified; empty takes the system's.";
        certificate: String = String::new(), "PEM file with the certificate, and its chain, that we show to hosts that ask for one; empty shows none.";
        key: String = String::new(), "PEM file with the private key of that.";
    }
    /// Reports to other domains on TLS with their hosts (`emqueue tls-report`).
    tls_reports: TlsReports {
        dkim_selector: String = String::new(), "Selector of the key that reports by mail are signed with; `emconf dkim-key` makes the key and prints the record for DNS. Empty leaves them unsigned, and most who get them will not believe them.";
        dkim_key: String = String::new(), "PEM file with that key (RSA or Ed25519); empty is etc/tls/dkim.key.";
    }
    /// The domain name system, as the sender of mail uses it.
    dns: Dns {
        servers: Vec<SocketAddr> = Vec::new(), "Name servers, \"address:port\"; empty takes those of /etc/resolv.conf.";
        search: String = String::new(), "Domain that is added to host names without a dot.";
        hosts: String = "/etc/hosts".to_string(), "File of hosts(5) whose addresses go before DNS; empty for none.";
        timeout: Duration = seconds(5), "Wait for an answer of a server.";
        attempts: u32 = 2, "How often a question is sent again without an answer.";
        time: Duration = seconds(20), "Longest time that one message waits for DNS at an attempt.";
        mx: u32 = 20, "Most MX records of a domain that are looked at.";
        addresses: u32 = 8, "Most addresses of a host that are looked at.";
        cname_steps: u32 = 8, "Most CNAME records between a name and its answer.";
        answer_size: Size = Size(64 << 10), "Largest answer taken, in octets.";
        dnssec: Dnssec = Dnssec::Auto, "Whose word on DNSSEC counts: \"off\" nobody's, \"trust-ad\" the servers' (their AD bit), \"validate\" our own checks, \"auto\" the servers' when all are on this machine, else nobody's.";
        trust_anchor: String = String::new(), "File with the DNSKEY records where \"validate\" begins; empty takes the root's.";
    }
    /// Forwarded mail: senders rewritten so that hosts that check SPF take it (SRS).
    srs: SrsSettings {
        domain: String = String::new(), "Domain of rewritten senders; its mail must come to this server. Empty forwards mail with the senders it came with.";
        secret_file: String = String::new(), "File with the secrets, one a line: the first one signs, all verify. Empty is run/srs.secret in the spool, made when it is first needed.";
        valid_days: u32 = 21, "So many days a bounce of forwarded mail finds its way back; 512 at the most.";
    }
    /// Mail that others fetch (ATRN).
    odmr: Odmr {
        domains: Vec<Fetched> = Vec::new(), "Domains whose mail is taken from everybody and kept until an account fetches it by ATRN: a domain and the account's address each.";
    }
    /// Local delivery.
    delivery: Delivery {
        programs: bool = true, "Aliases may name programs.";
        files: bool = true, "Aliases may name files.";
        program_user: String = "nobody".to_string(), "Who runs the aliases' programs; never root.";
        program_timeout: Duration = minutes(10), "Longest run of a program.";
        shell: String = "/bin/sh".to_string(), "The shell of entries that ask for one.";
    }
    /// Users' mail filters in the language Sieve.
    sieve: Sieve {
        enabled: bool = true, "Run the active scripts of accounts on their mail.";
        script_size: Size = Size(1 << 20), "Largest script taken.";
        redirects: u32 = 5, "Redirects of one script on one message.";
        time: Duration = Duration::from_millis(50), "Longest run of a script on one message; one that takes longer files to the inbox.";
        spam_field: String = String::new(), "The header field in which a spam filter in front of us gives its score, for spamtest; empty says that nothing is tested.";
        spam_pattern: String = "(-?[0-9.]+)".to_string(), "An expression whose first group finds the score in that field.";
        spam_most: u32 = 10, "The score that is surely spam.";
        virus_field: String = String::new(), "The header field in which a virus filter in front of us says what it found, for virustest; empty says that nothing is tested.";
        virus_pattern: String = "(?i)infected|virus|found".to_string(), "An expression that matches in that field when there is a virus.";
    }
    /// The log.
    log: Log {
        target: String = "file".to_string(), "\"file\" (log/em.log), \"stderr\", \"syslog\", \"journal\" or \"file:/path\".";
    }
}
