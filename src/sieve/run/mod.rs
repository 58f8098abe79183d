//! The interpreter: control flow, variables of the running scripts, limits, the trace.
//!
//! | file | what |
//! |---|---|
//! | `mod` | commands in order, `if`, `include`, loops, limits |
//! | `variables` | strings with references, `set` and its modifiers, flags |
//! | `questions` | the tests |
//! | `compare` | values against keys |
//! | `actions` | commands that decide what happens to the message |
//! | `parts` | loops over MIME parts, and what tests see there |
//!
//! An error ends the run and leaves one action: keep the original (RFC 5228 §2.10.6).

mod actions;
mod compare;
mod parts;
mod questions;
mod variables;

use super::environment::{Environment, Included, Location};
use super::fault::{Place, SieveError};
use super::message::MessageView;
use super::outcome::{Action, Outcome, Seen, Step, Store};
use super::tree::Node;
use super::vocabulary::Kind;
use super::{Limits, Script};
use std::collections::HashMap;
use variables::Frame;

/// The clock is looked at once in so many steps.
const STEPS_BETWEEN_LOOKS: u64 = 256;
/// A trace has at most so many lines.
const TRACE_LIMIT: usize = 10_000;

/// One run.
pub struct Run<'l> {
    limits: &'l Limits,
    steps: u64,
    next_look: u64,
    frames: Vec<Frame>,
    globals: HashMap<Box<str>, String>,
    /// The internal variable of RFC 5232 §2.
    flags: Vec<String>,
    actions: Vec<(Place, Action)>,
    keeps: bool,
    included: Vec<(Location, String)>,
    seen: Vec<Seen>,
    /// The MIME part that the innermost loop looks at.
    part: Option<usize>,
    loop_depth: usize,
    enclosed: u32,
    trace: Option<Vec<Step>>,
}

/// What a script works on.
pub struct World<'w, 'm> {
    /// Its surroundings.
    pub environment: &'w mut dyn Environment,
    /// Its message.
    pub message: &'w mut MessageView<'m>,
}

/// How a command ends.
pub(super) enum Flow {
    /// The next one follows.
    On,
    /// The whole run ends.
    Stop,
    /// This script ends, and the one that included it goes on.
    Return,
    /// A loop ends: the innermost, or that of this name.
    Break(String),
    /// A test of the conformance suite has failed.
    #[cfg(test)]
    Failed,
}

impl<'l> Run<'l> {
    /// Nothing has happened yet.
    pub fn new(limits: &'l Limits, traces: bool) -> Run<'l> {
        Run {
            limits,
            steps: 0,
            next_look: STEPS_BETWEEN_LOOKS,
            frames: vec![Frame::default()],
            globals: HashMap::new(),
            flags: Vec::new(),
            actions: Vec::new(),
            keeps: true,
            included: Vec::new(),
            seen: Vec::new(),
            part: None,
            loop_depth: 0,
            enclosed: 0,
            trace: traces.then(Vec::new),
        }
    }

    /// Runs a script to its end.
    pub fn script(mut self, script: &Script, world: &mut World) -> Outcome {
        let error = self.commands(&script.nodes, world).err();
        self.finish(world, error)
    }

    /// The outcome of what has happened so far.
    pub fn finish(self, world: &mut World, error: Option<SieveError>) -> Outcome {
        let trace = self.trace.unwrap_or_default();
        if let Some(error) = error {
            let keep = Action::Store(Store { is_implicit: true, ..Store::default() });
            return Outcome { actions: vec![keep], error: Some(error), trace, seen: Vec::new() };
        }
        let mut actions: Vec<Action> = self.actions.into_iter().map(|(_, action)| action).collect();
        if self.keeps {
            let edition = world.message.edition();
            actions.push(Action::Store(Store { flags: self.flags, is_implicit: true, edition, ..Store::default() }));
        }
        if actions.is_empty() {
            actions.push(Action::Discard);
        }
        Outcome { actions, error: None, trace, seen: self.seen }
    }

    fn commands(&mut self, nodes: &[Node], world: &mut World) -> Result<Flow, SieveError> {
        // True when a branch of the present `if` has been taken.
        let mut is_done = false;
        for node in nodes {
            self.charge(1, node, world)?;
            let flow = match node.kind {
                Kind::If => {
                    is_done = self.condition(node, world)?;
                    if is_done { self.commands(&node.block, world)? } else { Flow::On }
                }
                Kind::Elsif if !is_done => {
                    is_done = self.condition(node, world)?;
                    if is_done { self.commands(&node.block, world)? } else { Flow::On }
                }
                Kind::Else if !is_done => self.commands(&node.block, world)?,
                Kind::Elsif | Kind::Else => Flow::On,
                _ => self.command(node, world)?,
            };
            if !matches!(flow, Flow::On) {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn condition(&mut self, node: &Node, world: &mut World) -> Result<bool, SieveError> {
        let answer = match node.tests.first() {
            Some(test) => self.test(test, world)?,
            None => false,
        };
        self.note(node, || format!("{}: {answer}", node.name));
        Ok(answer)
    }

    fn command(&mut self, node: &Node, world: &mut World) -> Result<Flow, SieveError> {
        match node.kind {
            Kind::Stop => {
                self.note(node, || "stop".to_string());
                return Ok(Flow::Stop);
            }
            Kind::Return => {
                self.note(node, || "return".to_string());
                return Ok(Flow::Return);
            }
            Kind::Break => return Ok(Flow::Break(self.tag(node, "name").unwrap_or_default())),
            Kind::Include => return self.include(node, world),
            Kind::ForEveryPart => return self.every_part(node, world),
            Kind::Error => return Err(node.place.error(self.argument(node, 0))),
            Kind::Unknown => return Err(node.place.error(&*node.name)),
            #[cfg(test)]
            Kind::Suite => return self.suite(node, world),
            Kind::Set => self.set(node)?,
            Kind::Global => self.declare(node)?,
            Kind::SetFlag | Kind::AddFlag | Kind::RemoveFlag => self.change_flags(node)?,
            Kind::ExtractText => self.extract(node, world)?,
            _ => self.act(node, world)?,
        }
        Ok(Flow::On)
    }

    /// Runs another script as if it stood here (RFC 6609 §3.2).
    fn include(&mut self, node: &Node, world: &mut World) -> Result<Flow, SieveError> {
        let location = if node.has("global") { Location::Global } else { Location::Personal };
        let name = self.argument(node, 0);
        super::constants::script_name(&name).map_err(|wrong| node.place.error(wrong))?;
        let key = (location, name.clone());
        let shown = name.escape_default().to_string();
        if self.frames.iter().any(|frame| frame.script.as_ref() == Some(&key)) {
            return Err(node.place.error(format!("script '{shown}' includes itself")));
        }
        if node.has("once") && self.included.contains(&key) {
            return Ok(Flow::On);
        }
        if self.frames.len() > self.limits.include_depth || self.included.len() >= self.limits.includes {
            return Err(node.place.error("too many scripts are included"));
        }
        let script = match world.environment.included(location, &name) {
            Included::Script(script) => script,
            Included::Missing if node.has("optional") => return Ok(Flow::On),
            Included::Missing => return Err(node.place.error(format!("there is no script '{shown}' to include"))),
            Included::Broken(error) => return Err(node.place.error(format!("script '{shown}': {error}"))),
        };
        self.note(node, || format!("include {name:?}"));
        self.included.push(key.clone());
        self.frames.push(Frame::of(key));
        let flow = self.commands(&script.nodes, world);
        self.frames.pop();
        match flow {
            Ok(Flow::Stop) => Ok(Flow::Stop),
            Ok(_) => Ok(Flow::On),
            // Where it was included is what its author can find.
            Err(error) => Err(node.place.error(format!("script '{shown}': {error}"))),
        }
    }

    /// Counts work; the error is for a script that does too much.
    fn charge(&mut self, steps: u64, node: &Node, world: &World) -> Result<(), SieveError> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > self.limits.steps {
            return Err(node.place.error(format!("the script takes more than {} steps", self.limits.steps)));
        }
        if self.steps >= self.next_look {
            self.next_look = self.steps + STEPS_BETWEEN_LOOKS;
            if world.environment.elapsed() > self.limits.time {
                let limit = self.limits.time.as_millis();
                return Err(node.place.error(format!("execution exceeds its CPU time limit of {limit} ms")));
            }
        }
        Ok(())
    }

    /// Adds a line to the trace.
    fn note(&mut self, node: &Node, text: impl FnOnce() -> String) {
        let script = self.frames.last().and_then(|frame| frame.script.as_ref()).map_or("", |(_, name)| name);
        if let Some(trace) = &mut self.trace
            && trace.len() < TRACE_LIMIT
        {
            trace.push(Step { script: script.to_string(), place: node.place, text: text() });
        }
    }

    /// What a test of the conformance suite has decided so far, and whether the message would be kept besides.
    #[cfg(test)]
    pub fn so_far(&self) -> (Vec<Action>, bool, Vec<String>) {
        (self.actions.iter().map(|(_, action)| action.clone()).collect(), self.keeps, self.flags.clone())
    }

    /// Forgets what a test of the conformance suite has decided.
    #[cfg(test)]
    pub fn reset(&mut self) {
        self.actions.clear();
        self.keeps = true;
        self.flags.clear();
    }

    #[cfg(test)]
    fn suite(&mut self, node: &Node, world: &mut World) -> Result<Flow, SieveError> {
        let call = self.call(node);
        let answer = world.environment.suite(&call, self, world.message);
        if node.block.is_empty() {
            return Ok(if answer { Flow::On } else { Flow::Failed });
        }
        if answer {
            let flow = self.commands(&node.block, world);
            world.environment.suite(&call.ended(flow.err()), self, world.message);
        }
        Ok(Flow::On)
    }

    /// A command of the conformance suite with all its strings.
    #[cfg(test)]
    fn call(&self, node: &Node) -> super::tests::vocabulary::Call {
        use super::tree::Value;
        let strings = |value: &Value| match value {
            Value::Set => Vec::new(),
            Value::Number(number) => vec![number.to_string()],
            Value::Texts(texts) => texts.iter().map(|text| self.expand(text).into_owned()).collect(),
        };
        super::tests::vocabulary::Call {
            name: node.name.to_string(),
            tags: node.tags.iter().map(|(name, value)| (*name, strings(value))).collect(),
            arguments: node.arguments.iter().map(|value| value.as_ref().map(strings).unwrap_or_default()).collect(),
            end: None,
        }
    }
}
