//! The tests.
//!
//! RFC 5228 §5, and the extensions that each arm names.

use super::super::constants;
use super::super::dates::{self, Moment};
use super::super::fault::SieveError;
use super::super::mailto::Mailto;
use super::super::matching::How;
use super::super::message;
use super::super::outcome::Seen;
use super::super::spam;
use super::super::tree::Node;
use super::super::vocabulary::Kind;
use super::{Run, World};
use crate::msg::address::{Listed, read_list};
use std::time::Duration;

/// Tags for a part of an address.
const PARTS: &[&str] = &["localpart", "domain", "user", "detail"];

/// An address as tests see it: its two halves, unquoted.
struct Parted {
    local: String,
    domain: String,
}

impl Run<'_> {
    /// The answer of a test.
    pub(super) fn test(&mut self, node: &Node, world: &mut World) -> Result<bool, SieveError> {
        self.charge(1, node, world)?;
        let answer = self.answer(node, world)?;
        if !matches!(node.kind, Kind::Not | Kind::AllOf | Kind::AnyOf | Kind::True | Kind::False) {
            self.note(node, || format!("{}: {answer}", node.name));
        }
        Ok(answer)
    }

    fn answer(&mut self, node: &Node, world: &mut World) -> Result<bool, SieveError> {
        match node.kind {
            Kind::True => Ok(true),
            Kind::False => Ok(false),
            Kind::Not => match node.tests.first() {
                Some(test) => Ok(!self.test(test, world)?),
                None => Ok(true),
            },
            // The first answer that decides ends both (RFC 5228 §5.2, §5.3).
            Kind::AllOf => {
                for test in &node.tests {
                    if !self.test(test, world)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Kind::AnyOf => {
                for test in &node.tests {
                    if self.test(test, world)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Kind::Size => {
                let size = world.message.size();
                Ok(node.number("over").is_some_and(|n| size > n) || node.number("under").is_some_and(|n| size < n))
            }
            Kind::Exists => self.exists(node, world),
            Kind::Header => {
                let values = self.header_values(node, world)?;
                self.any_match(node, &values, world)
            }
            Kind::Address => {
                let bodies = self.bodies(node, world)?;
                let parted: Vec<Parted> = bodies.iter().flat_map(|body| addresses(body)).collect();
                let values = self.address_parts(node, parted);
                self.any_match(node, &values, world)
            }
            Kind::Envelope => {
                let values = self.envelope(node, world);
                self.any_match(node, &values, world)
            }
            Kind::StringTest => {
                let mut values = self.strings(node.texts(0));
                // RFC 5229 §5: an empty string is not counted.
                if node.matching.as_ref().is_some_and(|m| matches!(m.how, How::Count(_))) {
                    values.retain(|value| !value.is_empty());
                }
                self.any_match(node, &values, world)
            }
            Kind::HasFlag => {
                let values = self.asked_flags(node);
                self.has_flag(node, values, world)
            }
            Kind::Date | Kind::CurrentDate => self.date(node, world),
            Kind::Body => self.body(node, world),
            Kind::Environment => {
                let name = self.argument(node, 0).to_ascii_lowercase();
                match world.environment.item(&name) {
                    Some(value) => self.any_match(node, &[value], world),
                    // RFC 5183 §4: what is not known matches nothing.
                    None => Ok(false),
                }
            }
            Kind::Duplicate => Ok(self.duplicate(node, world)),
            Kind::SpamTest | Kind::VirusTest => self.marks(node, world),
            Kind::Ihave => Ok(self.has_extensions(node)),
            Kind::MailboxExists => {
                let names = self.strings(node.texts(0));
                Ok(names.iter().all(|name| constants::mailbox(name).is_ok() && world.environment.has_mailbox(name)))
            }
            Kind::MailboxIdExists => {
                let ids = self.strings(node.texts(0));
                Ok(ids.iter().all(|id| world.environment.has_mailbox_id(id)))
            }
            Kind::SpecialUseExists => {
                let mailbox = self.strings(node.texts(0)).into_iter().next();
                let flags = self.strings(node.texts(1));
                if mailbox.as_ref().is_some_and(|name| constants::mailbox(name).is_err()) {
                    return Ok(false);
                }
                Ok(flags.iter().all(|flag| world.environment.has_special_use(mailbox.as_deref(), flag)))
            }
            Kind::ValidNotifyMethod => {
                let methods = self.strings(node.texts(0));
                Ok(methods.iter().all(|method| Mailto::parse(method).is_ok()))
            }
            Kind::NotifyMethodCapability => {
                let (method, capability) = (self.argument(node, 0), self.argument(node, 1));
                if Mailto::parse(&method).is_err() || !Self::is_equal(&capability, "online") {
                    return Ok(false);
                }
                // RFC 5436 §2.6: nobody knows whether mail is read at once.
                self.any_match(node, &["maybe".to_string()], world)
            }
            Kind::Unknown => Err(node.place.error(&*node.name)),
            #[cfg(test)]
            Kind::Suite => {
                let call = self.call(node);
                if call.name == "test_error" || call.name == "test_result_action" {
                    let values = world.environment.suite_values(&call, self, world.message);
                    return self.any_match(node, &values, world);
                }
                Ok(world.environment.suite(&call, self, world.message))
            }
            _ => Ok(false),
        }
    }

    /// The addresses of fields, or the part of them that the test names (RFC 5228 §2.7.4, RFC 5233 §4).
    fn address_parts(&self, node: &Node, addresses: Vec<Parted>) -> Vec<String> {
        let separator = self.limits.subaddress;
        let part = |address: Parted| {
            let Parted { local, domain } = address;
            if node.has("localpart") {
                return Some(local);
            }
            if node.has("domain") {
                return Some(domain).filter(|domain| !domain.is_empty());
            }
            let split = local.split_once(separator);
            if node.has("user") {
                return Some(split.map_or(local.as_str(), |(user, _)| user).to_string());
            }
            if node.has("detail") {
                // Without a separator there is no detail, which is not the same as an empty one.
                return split.map(|(_, detail)| detail.to_string());
            }
            Some(if domain.is_empty() { local } else { format!("{local}@{domain}") })
        };
        addresses.into_iter().filter_map(part).collect()
    }

    fn envelope(&self, node: &Node, world: &World) -> Vec<String> {
        let envelope = &world.message.envelope;
        let mut values = Vec::new();
        for part in self.strings(node.texts(0)) {
            let text = match part.to_ascii_lowercase().as_str() {
                "from" => envelope.from.as_str(),
                "to" => envelope.to.as_str(),
                "auth" => match &envelope.auth {
                    Some(auth) => auth.as_str(),
                    None => continue,
                },
                _ => continue,
            };
            match text.rsplit_once('@') {
                // RFC 5228 §5.4: the null path is empty, whichever part of it is asked for.
                None if text.is_empty() => values.push(String::new()),
                // As a whole it is what the envelope says, with its quotes.
                Some(_) if PARTS.iter().all(|tag| !node.has(tag)) => values.push(text.to_string()),
                Some((local, domain)) => {
                    let local = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')).unwrap_or(local);
                    let local = local.replace("\\\"", "\"").replace("\\\\", "\\");
                    values.extend(self.address_parts(node, vec![Parted { local, domain: domain.to_string() }]));
                }
                None => {
                    let parted = Parted { local: text.to_string(), domain: String::new() };
                    values.extend(self.address_parts(node, vec![parted]));
                }
            }
        }
        values
    }

    /// RFC 5232 §4: each flag by itself; several in one key are several keys.
    fn has_flag(&mut self, node: &Node, values: Vec<String>, world: &World) -> Result<bool, SieveError> {
        let how = node.matching.as_ref().map(|matching| (matching.how, matching.comparator));
        if let Some((How::Is | How::Contains, comparator)) = how {
            let is_contains = matches!(how, Some((How::Contains, _)));
            let wanted: Vec<String> = self
                .strings(node.keys())
                .iter()
                .flat_map(|key| key.split([' ', '\t', '\n']).map(str::to_string).collect::<Vec<_>>())
                .filter(|key| !key.is_empty())
                .collect();
            let how = if is_contains { How::Contains } else { How::Is };
            return Ok(values.iter().any(|value| {
                wanted.iter().any(|key| super::super::matching::compare(how, comparator, value, key, &mut Vec::new()))
            }));
        }
        self.any_match(node, &values, world)
    }

    /// RFC 5260 §4.
    fn date(&mut self, node: &Node, world: &mut World) -> Result<bool, SieveError> {
        let zone = match self.tag(node, "zone") {
            None => None,
            Some(zone) => Some(dates::offset(&zone).ok_or_else(|| {
                node.place.error(format!("'{}' is no time zone: write +hhmm or -hhmm", zone.escape_default()))
            })?),
        };
        let (moment, part) = match node.kind {
            Kind::CurrentDate => (Moment::of(world.environment.now(), zone), self.argument(node, 0)),
            _ => {
                let bodies = self.bodies(node, world)?;
                let field = bodies.first().map(|body| message::decoded(body));
                let moment = field.and_then(|value| Moment::of_field(&value, zone, node.has("originalzone")));
                (moment, self.argument(node, 1))
            }
        };
        let values: Vec<String> = moment.and_then(|moment| moment.part(&part)).into_iter().collect();
        self.any_match(node, &values, world)
    }

    /// RFC 5173.
    fn body(&mut self, node: &Node, world: &mut World) -> Result<bool, SieveError> {
        let parts = world.message.parts();
        let mut values: Vec<String> = Vec::new();
        // RFC 5173 §4: what is not there matches nothing, not even the empty text.
        if !parts.has_body() {
            return Ok(false);
        }
        if node.has("raw") {
            values.push(parts.raw_body().into_owned());
        } else if let Some(kinds) = node.tagged("content") {
            let kinds: Vec<String> = self.strings(kinds).iter().map(|kind| kind.to_ascii_lowercase()).collect();
            for (at, part) in parts.list.iter().enumerate() {
                self.charge(1, node, world)?;
                if kinds.iter().any(|kind| is_kind(&part.kind, kind)) {
                    values.push(parts.content(at));
                }
            }
        } else {
            for at in 0..parts.list.len() {
                self.charge(1, node, world)?;
                values.extend(parts.readable(at));
            }
        }
        let octets: usize = values.iter().map(String::len).sum();
        self.charge(octets as u64 / 1000, node, world)?;
        // Match variables must not be set by it (RFC 5173 §6).
        let kept = self.matched();
        let answer = self.any_match(node, &values, world)?;
        self.keep_matched(kept);
        Ok(answer)
    }

    /// RFC 7352.
    fn duplicate(&mut self, node: &Node, world: &mut World) -> bool {
        let id = match (self.tag(node, "uniqueid"), self.tag(node, "header")) {
            (Some(id), _) => Some(id),
            (_, Some(name)) => world.message.value(&name),
            _ => world.message.value("message-id"),
        };
        let Some(id) = id.filter(|id| !id.is_empty()) else { return false };
        let seen = Seen {
            handle: self.tag(node, "handle").unwrap_or_default(),
            id,
            period: node.number("seconds").map(Duration::from_secs),
            from_last: node.has("last"),
        };
        if self.seen.iter().any(|known| known.handle == seen.handle && known.id == seen.id) {
            // Asked twice in one run, the answer stays the same.
            return world.environment.was_seen(&seen);
        }
        let was_seen = world.environment.was_seen(&seen);
        if !was_seen || seen.from_last {
            self.seen.push(seen);
        }
        was_seen
    }

    /// RFC 5235.
    fn marks(&mut self, node: &Node, world: &World) -> Result<bool, SieveError> {
        let rules = world.environment.spam_rules();
        let field = |name: &str| world.message.value(name);
        let value = match node.kind {
            Kind::SpamTest => {
                spam::spam_value(rules.spam.as_ref().and_then(|verdict| verdict.read(&field)), node.has("percent"))
            }
            _ => spam::virus_value(rules.virus.as_ref().and_then(|verdict| verdict.read(&field))),
        };
        self.any_match(node, &[value], world)
    }
}

/// True when a part of this type is one that `:content` names: a whole type, a main type, or all (RFC 5173 §5.2).
fn is_kind(kind: &str, wanted: &str) -> bool {
    let (main, _) = kind.split_once('/').unwrap_or((kind, ""));
    match wanted.split_once('/') {
        None => wanted.is_empty() || wanted == main,
        Some((main, sub)) if main.is_empty() || sub.is_empty() || sub.contains('/') => false,
        Some(_) => wanted == kind,
    }
}

fn addresses(body: &[u8]) -> Vec<Parted> {
    let mut found = Vec::new();
    read_list(body, &mut found);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let parted = |listed: Listed| match listed {
        Listed::Mailbox(mailbox) => Some(Parted { local: text(&mailbox.local), domain: text(&mailbox.domain) }),
        _ => None,
    };
    found.into_iter().filter_map(parted).collect()
}
