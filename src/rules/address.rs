//! From an address to mailer, host and user, and addresses of headers and envelopes as a mailer wants them.

use super::crack::crack;
use super::dollars::expand;
use super::macros::Layers;
use super::mailer::Mailer;
use super::meta;
use super::run::{Run, about, unquoted};
use super::token::Token;
use super::world::exit;

/// Longest address taken, in octets.
pub const ADDRESS_LIMIT: usize = 255;
/// Numbers of the rule sets that are called without being named.
pub mod place {
    /// `parse`.
    pub const PARSE: usize = 0;
    /// `sender`.
    pub const SENDER: usize = 1;
    /// `recipient`.
    pub const RECIPIENT: usize = 2;
    /// `canonify`.
    pub const CANONIFY: usize = 3;
    /// `final`.
    pub const FINAL: usize = 4;
}

/// What an address is, and where: a mailer has four rule sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Role {
    /// In a header; else on the envelope.
    pub header: bool,
    /// A sender; else a recipient.
    pub sender: bool,
}

/// A reply of an error mailer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Enhanced status; empty when none is given.
    pub enhanced: String,
    /// The text.
    pub text: Vec<u8>,
    /// One of [`exit`].
    pub status: u8,
    /// What stands behind `$@`.
    pub host: String,
    /// The text began with the code.
    pub coded: bool,
}

/// Where an address goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a mailer.
    Mailer {
        /// Its number.
        mailer: usize,
        /// The host; empty when there is none.
        host: Vec<u8>,
        /// The user as the mailer is given it.
        user: Vec<u8>,
    },
    /// Nowhere: the rules say so.
    Refused {
        /// What stands behind `$@`; empty when there is nothing.
        host: Vec<u8>,
        /// What stands behind `$:`.
        user: Vec<u8>,
        /// The same as a reply.
        reply: Reply,
    },
    /// Nowhere: the rules gave nothing that can be used.
    Broken,
    /// It is no address.
    NoAddress,
}

impl Run<'_> {
    /// Resolves an address: sets 3 and 0, then the recipient's sets of the mailer found. Gives [`exit::TEMPORARY`] beside it when a
    /// look-up failed for now.
    pub fn parse(&mut self, address: &[u8], role: Role) -> (Target, u8) {
        let Ok(mut workspace) = self.scan(address) else { return (Target::NoAddress, exit::DATA) };
        if workspace.is_empty() {
            return (Target::NoAddress, exit::DATA);
        }
        if let Some(fault) = unusable(address) {
            self.watch.complains(&fault);
            return (Target::NoAddress, exit::DATA);
        }
        let mut status = exit::OK;
        for set in [place::CANONIFY, place::PARSE] {
            if self.rewrite(set, &mut workspace) == exit::TEMPORARY {
                status = exit::TEMPORARY;
            }
        }
        let target = self.target(&workspace, address, role);
        self.give_back(workspace);
        (target, status)
    }

    /// Reads a triple `$#mailer $@ host $: user`; `address` is for complaints.
    pub fn target(&mut self, workspace: &[Token], address: &[u8], role: Role) -> Target {
        let rules = self.rules;
        let alphabet = rules.alphabet();
        let Some((_, rest)) = workspace.split_first().filter(|(first, _)| first.is(meta::MAILER)) else {
            return self.broken("no mailer in parsed address");
        };
        let Some((name, rest)) = rest.split_first() else { return self.broken("no mailer name") };
        self.look_at(std::slice::from_ref(name));
        let Some(user_at) = rest.iter().position(|t| t.is(meta::USER)) else { return self.broken("no user") };
        self.look_at(&rest[..user_at]);
        let host = rest[..user_at].split_first().filter(|(first, tail)| first.is(meta::HOST) && !tail.is_empty());
        let host = host.map(|(_, host)| alphabet.join(host, rules.blank));
        let mut user = self.room();
        user.extend_from_slice(&rest[user_at + 1..]);
        if name.eq_ignore_ascii_case(b"error") {
            let text = alphabet.join(&user, b' ');
            let host = host.unwrap_or_default();
            let reply = Reply::read(&host, &text);
            // What may change, and where somebody has gone, is said without the address.
            let alone = reply.code / 100 == 4 || matches!(reply.code, 251 | 551);
            let said = if alone { reply.text.clone() } else { about(address, &reply.text) };
            self.watch.fails(exit_of(&String::from_utf8_lossy(&host)), &said);
            return Target::Refused { host, user: self.without_operators(text), reply };
        }
        let Some(number) = rules.mailers.iter().position(|m| m.name.as_bytes().eq_ignore_ascii_case(name)) else {
            let text = format!("unknown mailer {}", String::from_utf8_lossy(name));
            return self.broken(&text);
        };
        if host.is_none() && !rules.mailers[number].has(b'l') {
            return self.broken("no host");
        }
        let may_be_special = b"|/:".iter().any(|flag| rules.mailers[number].has(*flag));
        let is_special = may_be_special.then(|| special(&alphabet.join(&user, b' '), &rules.mailers[number]));
        let number = match is_special.flatten() {
            None => number,
            Some(other) => rules.mailers.iter().position(|m| m.name == other).unwrap_or(number),
        };
        let mailer = &rules.mailers[number];
        if mailer.name == "*include*" {
            let text = unquoted(&alphabet.join(&user, b' '));
            return Target::Mailer { mailer: number, host: Vec::new(), user: text[":include:".len()..].to_vec() };
        }
        // A user with `@` in front is local for good: no rule set is to send it elsewhere.
        if mailer.has(b'@') && user.first().is_some_and(|t| &t[..] == b"@") {
            user.remove(0);
        }
        let mut host = host.unwrap_or_default();
        self.message.set(b"h", host.clone());
        if rules.level >= 10 || role == Role::default() {
            self.rewrite(place::RECIPIENT, &mut user);
            if mailer.recipient.envelope > 0 {
                self.rewrite(mailer.recipient.envelope, &mut user);
            }
        }
        self.rewrite(place::FINAL, &mut user);
        let tokens = user;
        let mut user = alphabet.join(&tokens, rules.blank);
        self.give_back(tokens);
        if let Some((fault, shown)) = unprintable(&user) {
            self.watch.complains(&fault);
            user = shown;
        }
        let mut user = self.without_operators(user);
        if !mailer.has(b'h') {
            host.make_ascii_lowercase();
        }
        if !mailer.has(b'u') {
            user.make_ascii_lowercase();
        }
        Target::Mailer { mailer: number, host, user }
    }

    /// A user without the operators that rules have left in it.
    fn without_operators(&mut self, user: Vec<u8>) -> Vec<u8> {
        let Some(shown) = masked(&user, |b| (0x80..0xa0).contains(&b)) else { return user };
        let fault = [b"Syntax error in mailbox address \"", &shown[..], b"\" (8-bit character)"].concat();
        self.watch.fails(exit::USAGE, &fault);
        shown
    }

    fn broken(&mut self, text: &str) -> Target {
        self.watch.fails(exit::SOFTWARE, format!("buildaddr: {text}").as_bytes());
        Target::Broken
    }

    /// An address as a mailer wants it in this role, with what stands around it kept. `domain` is added to a name without one (`C`
    /// flag of the sender's mailer).
    pub fn address_for(
        &mut self,
        mailer: &Mailer,
        address: &[u8],
        role: Role,
        domain: Option<&[Token]>,
    ) -> (Vec<u8>, u8) {
        let sets = if role.sender { mailer.sender } else { mailer.recipient };
        let set = if role.header { sets.header } else { sets.envelope };
        // Flag c: nothing but the address.
        let around = if mailer.has(b'c') { vec![meta::MACRO, b'g'] } else { self.cracked(address) };
        let mut workspace = match self.scan(address) {
            Ok(workspace) if !workspace.is_empty() => workspace,
            _ => return (address.to_vec(), exit::OK),
        };
        let mut status = exit::OK;
        let mut apply = |run: &mut Self, set: usize, workspace: &mut Vec<Token>| {
            if run.rewrite(set, workspace) == exit::TEMPORARY {
                status = exit::TEMPORARY;
            }
        };
        apply(self, place::CANONIFY, &mut workspace);
        if let Some(domain) = domain
            && !workspace.iter().any(|t| &t[..] == b"@")
        {
            workspace.extend_from_slice(domain);
            apply(self, place::CANONIFY, &mut workspace);
        }
        apply(self, if role.sender { place::SENDER } else { place::RECIPIENT }, &mut workspace);
        if set > 0 {
            apply(self, set, &mut workspace);
        }
        apply(self, place::FINAL, &mut workspace);
        let text = self.rules.alphabet().join(&workspace, self.rules.blank);
        let mut own = self.message.clone();
        own.set(b"g", text);
        (expand(&around, &Layers { message: &own, file: &self.rules.macros }), status)
    }

    /// Where the mailer that a sender is reached by has flag C: what names without a domain get from him, from `@` on.
    pub fn domain_for_names(&mut self, sender: &[u8]) -> Option<Vec<Token>> {
        let role = Role { header: false, sender: true };
        let (Target::Mailer { mailer, .. }, _) = self.parse(sender, role) else { return None };
        if !self.rules.mailers[mailer].has(b'C') {
            return None;
        }
        let mut workspace = self.scan(sender).ok()?;
        for set in [place::CANONIFY, place::SENDER, place::FINAL] {
            self.rewrite(set, &mut workspace);
        }
        let at = workspace.iter().rposition(|token| &token[..] == b"@")?;
        Some(workspace.split_off(at))
    }

    /// What stands around an address, `$g` in its place.
    pub fn cracked(&self, address: &[u8]) -> Vec<u8> {
        let option = |name| self.rules.option(name).map(|s| &s.value[..]);
        // These need quotes in any phrase; the option adds to them.
        let must_quote = [b"@,;:\\()[]", option("MustQuoteChars").unwrap_or(b".'")].concat();
        let colon_ok = match option("ColonOkInAddr") {
            Some(value) => !matches!(value.first(), Some(b'f' | b'F' | b'n' | b'N' | b'0')),
            None => self.rules.level < 6,
        };
        crack(address, &must_quote, colon_ok)
    }

    /// Applies a check_ rule set to a text, or to several with `$|` between them.
    pub fn check(&mut self, set: usize, texts: &[&[u8]]) -> Verdict {
        let mut workspace = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            if number > 0 {
                // An operator, which mail text never holds.
                workspace.push(Token::new(&[meta::ELSE]));
            }
            match self.scan(text) {
                Ok(tokens) => workspace.extend(tokens),
                Err(_) => {
                    let text = b"Syntax error".to_vec();
                    let enhanced = "5.1.3".to_string();
                    let status = exit::DATA;
                    return Verdict::Refused(Reply {
                        code: 553,
                        enhanced,
                        text,
                        status,
                        coded: true,
                        ..Reply::default()
                    });
                }
            }
        }
        self.judged(set, workspace)
    }

    /// What a check_ rule set makes of a workspace.
    pub(super) fn judged(&mut self, set: usize, mut workspace: Vec<Token>) -> Verdict {
        if self.rewrite(set, &mut workspace) == exit::TEMPORARY {
            let reply = Reply {
                code: 451,
                enhanced: "4.3.0".to_string(),
                text: b"Try again later".to_vec(),
                status: exit::TEMPORARY,
                coded: true,
                ..Reply::default()
            };
            return Verdict::Refused(reply);
        }
        self.look_at(&workspace);
        let alphabet = self.rules.alphabet();
        let [first, name, rest @ ..] = &workspace[..] else {
            return Verdict::Passed(alphabet.join(&workspace, self.rules.blank));
        };
        if !first.is(meta::MAILER) {
            return Verdict::Passed(alphabet.join(&workspace, self.rules.blank));
        }
        let user_at = rest.iter().position(|t| t.is(meta::USER));
        let user = user_at.map_or(&[][..], |at| &rest[at + 1..]);
        let host = &rest[..user_at.unwrap_or(rest.len())];
        let host = alphabet.join(host.get(1..).unwrap_or(&[]), self.rules.blank);
        let text = alphabet.join(user, b' ');
        match name.to_ascii_lowercase().as_slice() {
            b"error" if host == b"quarantine" => Verdict::Quarantined(unquoted(&text)),
            b"error" => Verdict::Refused(Reply::read(&host, &text)),
            b"discard" => Verdict::Discarded,
            _ => Verdict::Accepted(name.to_ascii_uppercase()),
        }
    }
}

/// What a check_ rule set came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No triple: what the set left, such as `RELAY`, `OK` or the text itself; other checks decide.
    Passed(Vec<u8>),
    /// A triple that is no error: accepted. Its name in capitals, such as `OK`.
    Accepted(Vec<u8>),
    /// `$#discard`: accepted and thrown away.
    Discarded,
    /// `$#error $@ quarantine`: accepted and kept back, with this reason.
    Quarantined(Vec<u8>),
    /// `$#error`.
    Refused(Reply),
}

/// The built-in mailer that takes a local user beginning with `|`, `/` or `:include:`.
fn special(user: &[u8], mailer: &Mailer) -> Option<&'static str> {
    let bare = user.strip_prefix(b"\"").unwrap_or(user);
    match bare.first() {
        Some(b'|') if mailer.has(b'|') => Some("prog"),
        Some(b'/') if mailer.has(b'/') => Some("*file*"),
        Some(b':') if mailer.has(b':') => {
            let text = unquoted(user);
            let head = text.get(..":include:".len()).unwrap_or(b"");
            head.eq_ignore_ascii_case(b":include:").then_some("*include*")
        }
        _ => None,
    }
}

/// Why a text can't be an address, in the model's words.
pub fn unusable(address: &[u8]) -> Option<Vec<u8>> {
    if address.len() > ADDRESS_LIMIT {
        return Some([b"Address \"", address, b"\" too long (255 bytes max)"].concat());
    }
    let is_operator = |b: u8| (0x80..0xa0).contains(&b);
    let shown = masked(address, is_operator)?;
    Some([b"8-bit character in mailbox address \"", &shown[..], b"\""].concat())
}

/// A complaint about control characters, and the text with question marks for them.
fn unprintable(address: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let shown = masked(address, |b| b < b' ' && b != b'\t' || b == 0x7f)?;
    let fault = [b"Syntax error in mailbox address \"", &shown[..], b"\" (non-printable character)"].concat();
    Some((fault, shown))
}

fn masked(text: &[u8], is_bad: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
    if !text.iter().any(|b| is_bad(*b)) {
        return None;
    }
    Some(text.iter().map(|b| if is_bad(*b) { b'?' } else { *b }).collect())
}

impl Reply {
    /// The reply that `$#error $@ host $: text` stands for.
    pub fn read(host: &[u8], text: &[u8]) -> Reply {
        let text = unquoted(text);
        let host_text = String::from_utf8_lossy(host).into_owned();
        let (enhanced_text, status) = ("5.3.0".to_string(), exit_of(&host_text));
        let mut reply =
            Reply { code: 553, enhanced: enhanced_text, status, text, host: host_text.clone(), coded: false };
        let code = reply.text.get(..3).filter(|c| matches!(c[0], b'2'..=b'5') && c.iter().all(u8::is_ascii_digit));
        if let Some(code) = code.filter(|_| reply.text.get(3) == Some(&b' ')) {
            reply.code = code.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
            reply.coded = true;
            reply.enhanced = if enhanced(host).is_some_and(|n| n == host.len()) { host_text } else { String::new() };
            reply.text.drain(..4);
            if let Some(length) = enhanced(&reply.text).filter(|n| reply.text.get(*n) == Some(&b' ')) {
                reply.enhanced = String::from_utf8_lossy(&reply.text[..length]).into_owned();
                reply.text.drain(..length + 1);
            }
            if reply.code / 100 == 4 {
                reply.status = exit::TEMPORARY;
            }
        }
        reply
    }
}

/// Length of an enhanced status at the start (RFC 3463 §2).
fn enhanced(text: &[u8]) -> Option<usize> {
    if !matches!(text.first(), Some(b'2' | b'4' | b'5')) {
        return None;
    }
    let mut at = 1;
    for _ in 0..2 {
        if text.get(at) != Some(&b'.') {
            return None;
        }
        let digits = text[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 3 {
            return None;
        }
        at += 1 + digits;
    }
    Some(at)
}

/// The exit code of what stands behind `$@` of an error mailer: an enhanced status, a number, or a name.
fn exit_of(host: &str) -> u8 {
    const NAMES: &[(&str, u8)] = &[
        ("nouser", exit::NO_USER),
        ("nohost", exit::NOT_FOUND),
        ("unavailable", exit::UNAVAILABLE),
        ("tempfail", exit::TEMPORARY),
        ("usage", exit::USAGE),
        ("protocol", exit::PROTOCOL),
        ("config", exit::CONFIG),
    ];
    if host.contains('.') {
        let mut parts = host.split('.').map(|part| part.parse::<u16>().unwrap_or(0));
        let (class, subject, detail) = (parts.next(), parts.next(), parts.next());
        return match (class, subject.unwrap_or(0), detail.unwrap_or(0)) {
            (Some(2), _, _) => exit::OK,
            (Some(4), _, _) | (_, 4, 1 | 3 | 5) => exit::TEMPORARY,
            (_, 1, 1 | 6) => exit::NO_USER,
            (_, 1, 2 | 8) => exit::NOT_FOUND,
            (_, 1, 3 | 7) => exit::USAGE,
            (_, 1, 5) | (_, 4, 6) => exit::CONFIG,
            (_, 1, 0) | (_, 2, 3) | (_, 7, _) => exit::DATA,
            (_, 3, _) => exit::SYSTEM,
            (_, 4, 0 | 2) => exit::IO,
            (_, 4, 4) | (_, 5, _) => exit::PROTOCOL,
            _ => exit::UNAVAILABLE,
        };
    }
    let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(host)).map(|(_, code)| *code);
    named.or_else(|| host.parse().ok()).unwrap_or(exit::UNAVAILABLE)
}
