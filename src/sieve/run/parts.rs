//! Loops over MIME parts, and which header a test sees there.
//!
//! RFC 5703, RFC 5260 §6 (`:index`).

use super::super::fault::SieveError;
use super::super::message;
use super::super::parts::Parts;
use super::super::tree::Node;
use super::{Flow, Run, World};
use crate::msg::content::{Content, Parameter};
use crate::msg::{self, words};

impl Run<'_> {
    /// `foreverypart`: the message and all parts inside; inside another loop, those of the part at hand.
    pub(super) fn every_part(&mut self, node: &Node, world: &mut World) -> Result<Flow, SieveError> {
        let name = self.tag(node, "name").unwrap_or_default();
        let around = self.part;
        // Loops of included scripts count with those around them.
        if self.loop_depth >= crate::sieve::LOOP_DEPTH_LIMIT {
            return Err(node.place.error("'foreverypart' is nested too deep"));
        }
        self.loop_depth += 1;
        let flow = self.each_part(node, world, around, &name);
        self.loop_depth -= 1;
        flow
    }

    fn each_part(
        &mut self,
        node: &Node,
        world: &mut World,
        around: Option<usize>,
        name: &str,
    ) -> Result<Flow, SieveError> {
        let parts = world.message.parts();
        let inside: Vec<usize> = match around {
            None => (0..parts.list.len()).collect(),
            Some(part) => parts.inside(part).collect(),
        };
        drop(parts);
        for part in inside {
            self.charge(1, node, world)?;
            self.part = Some(part);
            let flow = self.commands(&node.block, world);
            self.part = around;
            match flow? {
                Flow::On => {}
                Flow::Break(wanted) if wanted.is_empty() || wanted == name => break,
                other => return Ok(other),
            }
        }
        Ok(Flow::On)
    }

    /// `extracttext`: the text of the part at hand, into a variable.
    pub(super) fn extract(&mut self, node: &Node, world: &mut World) -> Result<(), SieveError> {
        let mut text = self.part.and_then(|part| world.message.parts().readable(part)).unwrap_or_default();
        self.charge(1 + text.len() as u64 / 1000, node, world)?;
        if let Some(first) = node.number("first") {
            let first = usize::try_from(first).unwrap_or(usize::MAX);
            text = text.chars().take(first).collect();
        }
        let name = self.argument(node, 0);
        let value = self.modified(node, text);
        self.assign(node, &name, value)
    }

    /// `exists`: every field is there (RFC 5228 §5.5).
    pub(super) fn exists(&mut self, node: &Node, world: &mut World) -> Result<bool, SieveError> {
        let names = self.strings(node.texts(0));
        if !node.has("mime") {
            return Ok(names.iter().all(|name| world.message.bodies(name).next().is_some()));
        }
        let parts = world.message.parts();
        let seen = self.seen_parts(node, &parts);
        self.charge_headers(&seen, &parts, node, world)?;
        let has = |name: &str| {
            let mut headers = seen.iter().map(|part| parts.header(*part));
            headers.any(|header| msg::all_fields(header).any(|field| field.is(name)))
        };
        Ok(names.iter().all(|name| has(name)))
    }

    fn charge_headers(&mut self, seen: &[usize], parts: &Parts, node: &Node, world: &World) -> Result<(), SieveError> {
        let octets: usize = seen.iter().map(|part| parts.header(*part).len()).sum();
        self.charge(seen.len() as u64 + octets as u64 / 1000, node, world)
    }

    /// The parts whose headers a test with `:mime` sees (RFC 5703 §4).
    fn seen_parts(&self, node: &Node, parts: &Parts) -> Vec<usize> {
        let at = self.part.unwrap_or(0);
        let mut seen = vec![at];
        if node.has("anychild") {
            seen.extend(parts.inside(at));
        }
        seen
    }

    /// The bodies of the fields that a test names, as they stand.
    pub(super) fn bodies(&mut self, node: &Node, world: &mut World) -> Result<Vec<Vec<u8>>, SieveError> {
        let names = self.strings(node.texts(0));
        let mut bodies = Vec::new();
        if node.has("mime") {
            let parts = world.message.parts();
            let seen = self.seen_parts(node, &parts);
            self.charge_headers(&seen, &parts, node, world)?;
            for name in &names {
                for part in &seen {
                    let fields = msg::all_fields(parts.header(*part)).filter(|field| field.is(name));
                    bodies.extend(fields.map(|field| field.body().to_vec()));
                }
            }
            return Ok(bodies);
        }
        for name in &names {
            match node.number("index").map(|index| usize::try_from(index).unwrap_or(usize::MAX)) {
                None => bodies.extend(world.message.bodies(name).map(<[u8]>::to_vec)),
                Some(index) => {
                    let mut found = world.message.bodies(name);
                    let nth = index.saturating_sub(1);
                    let body = if node.has("last") { found.nth_back(nth) } else { found.nth(nth) };
                    bodies.extend(body.map(<[u8]>::to_vec));
                }
            }
        }
        self.charge(bodies.len() as u64, node, world)?;
        Ok(bodies)
    }

    /// The values that `header` compares.
    pub(super) fn header_values(&mut self, node: &Node, world: &mut World) -> Result<Vec<String>, SieveError> {
        let bodies = self.bodies(node, world)?;
        let option = ["type", "subtype", "contenttype", "param"].into_iter().find(|option| node.has(option));
        let Some(option) = option else { return Ok(bodies.iter().map(|body| message::decoded(body)).collect()) };
        let names = node.tagged("param").map(|texts| self.strings(texts)).unwrap_or_default();
        Ok(bodies.iter().flat_map(|body| elements(body, option, &names)).collect())
    }
}

/// Parts of a structured MIME field: of its type, or a parameter (RFC 5703 §4.2).
fn elements(body: &[u8], option: &str, names: &[String]) -> Vec<String> {
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // Both fields are a word, or two with a slash, and parameters.
    let as_type = [b"Content-Type:", body].concat();
    let as_disposition = [b"Content-Disposition:", body].concat();
    let media = Content::read(&as_type).media.filter(|_| memchr::memchr(b'/', first_word(body)).is_some());
    let disposition = Content::read(&as_disposition).disposition;
    let parameters: &[Parameter] = match (&media, &disposition) {
        (Some(media), _) => &media.parameters,
        (None, Some(disposition)) => &disposition.parameters,
        (None, None) => &[],
    };
    let (kind, subtype) = match (&media, &disposition) {
        (Some(media), _) => (word(media.kind), Some(word(media.subtype))),
        (None, Some(disposition)) => (word(disposition.kind), None),
        (None, None) => return Vec::new(),
    };
    match option {
        "type" => vec![kind],
        // A disposition has no subtype, which reads as an empty one (RFC 5703 §4.2).
        "subtype" => vec![subtype.unwrap_or_default()],
        "contenttype" => vec![subtype.map_or(kind.clone(), |subtype| format!("{kind}/{subtype}"))],
        _ => names.iter().filter_map(|name| words::parameter(parameters, name)).collect(),
    }
}

fn first_word(body: &[u8]) -> &[u8] {
    body.split(|b| *b == b';').next().unwrap_or_default()
}
