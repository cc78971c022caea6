//! From the tables as read to a [`Scenario`] in which every name resolves and every file is there.
//!
//! Each function records what is wrong and goes on; `None` is given only where something was recorded.

mod command;
mod expect;
mod group;
mod probes;
mod routing;
mod snapshot;
mod step;
mod subscribers;
mod topology;
mod traffic;

use std::ops::Range;
use std::path::{Path, PathBuf};

#[cfg(test)]
pub(super) use self::step::{BUILT, NOT_BUILT};

use super::grammar::{OneOrMany, ScenarioFile};
use super::leaf::Text;
use super::problem::{Mistake, Problems};
use super::read::Either;
use super::reference::{NodeField, references};
use super::tree::{At, Place};
use super::{EngineKind, Routing, Scenario, Topology};
use crate::finding::Severity;

pub(super) fn scenario(raw: ScenarioFile, file: PathBuf, problems: &mut Problems) -> Option<Scenario> {
    let nodes = topology::Nodes::of(raw.topology.as_ref().map(|table| &table.value));
    let routing = nodes.routing();
    let engine = raw.topology.as_ref().and_then(|table| table.value.engine.as_ref()).map(|engine| engine.value.0);
    let mut raw_topology = raw.topology;
    let consumers = raw_topology.as_mut().and_then(|table| table.value.consumers.take());
    let topology = raw_topology.and_then(|table| topology::topology(table.value, problems));
    let mut check = Check {
        problems,
        nodes,
        engine: engine.unwrap_or(EngineKind::Postgres),
        names: Vec::new(),
        group: Default::default(),
        routing,
    };
    let snapshot = raw.snapshot.and_then(|table| check.snapshot(table.value));
    let setup = raw.setup.map(|steps| check.setup(steps.value)).unwrap_or_default();
    let steps = raw.step.map(|steps| check.plan(steps));
    let probes = check.probes(raw.probes.map(|table| table.value));
    let workloads = raw.workload.map(|workloads| check.workloads(workloads.value)).unwrap_or_default();
    let consumers = consumers.map(|consumers| check.consumers(consumers.value)).unwrap_or_default();
    let limits = raw.limits.map(|table| check.limits(table.value)).unwrap_or_default();
    let expect = raw.expect.map(|table| check.expect(table.value)).unwrap_or_default();
    let fail_on = raw.gate.and_then(|gate| gate.value.fail_on).map_or(Severity::Error, |word| word.value.0);
    Some(Scenario {
        name: raw.name?.value.0,
        file,
        topology: Topology { consumers, ..topology? },
        snapshot: snapshot?,
        setup,
        probes,
        workloads,
        limits,
        steps: steps?,
        expect,
        fail_on,
    })
}

/// What the parts of a scenario are checked against.
struct Check<'p> {
    problems: &'p mut Problems,
    nodes: topology::Nodes,
    engine: EngineKind,
    /// Names of steps so far, each with its line.
    names: Vec<(String, usize)>,
    /// Whose steps are read.
    group: group::Group,
    /// Where users are once the steps so far are done.
    routing: Routing,
}

/// The nodes of a step.
#[derive(Debug, Clone)]
struct On {
    /// In their order, each once; never none.
    nodes: Vec<String>,
    /// The writers, whichever they are when it runs.
    routed: bool,
}

impl Check<'_> {
    fn not_yet(&mut self, at: Place, what: impl Into<String>) {
        self.problems.raise(at, Mistake::NotSupportedYet { what: what.into() });
    }

    fn clash(&mut self, at: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.raise(at, Mistake::Clash { message: message.into(), hint: Some(hint.into()) });
    }

    fn wrong(&mut self, at: Place, found: impl Into<String>, form: impl Into<String>) {
        self.problems.raise(at, Mistake::WrongForm { found: found.into(), form: form.into(), hint: None });
    }

    /// The nodes that `on` means, in its order.
    fn on(&mut self, on: At<OneOrMany>) -> On {
        let At { value, at } = on;
        let routed = matches!(&value, Either::A(Text(word)) if word == "writer");
        let words = match value {
            Either::A(word) => vec![At { value: word, at }],
            Either::B(words) if words.is_empty() => {
                self.wrong(at, "an empty list", "at least one node");
                Vec::new()
            }
            Either::B(words) => words,
        };
        let mut nodes: Vec<String> = Vec::new();
        for At { value: Text(word), at } in words {
            for node in self.nodes_of(word, at) {
                if nodes.contains(&node) {
                    self.clash(at, format!("node \"{node}\" is named twice"), "name each node once");
                } else {
                    nodes.push(node);
                }
            }
        }
        On { nodes: if nodes.is_empty() { self.nodes.writers() } else { nodes }, routed }
    }

    /// The nodes that one word of `on` means; none after recording that there are none.
    fn nodes_of(&mut self, word: String, at: Place) -> Vec<String> {
        match word.as_str() {
            "writer" => self.routing.writers().map(str::to_owned).collect(),
            "all" => self.nodes.names().to_vec(),
            "readers" => {
                let readers = self.nodes.followers();
                if readers.is_empty() && self.nodes.are_single() {
                    self.no_replica(at);
                } else if readers.is_empty() {
                    let message = "no node holds all that the writer does, so there are no readers";
                    self.clash(at, message, "name the subscriber: it holds a part, and serves other users");
                }
                readers
            }
            _ => match (word.strip_prefix("side:"), word.strip_prefix("shard:")) {
                (Some(side), _) => self.side(side, at),
                (_, Some(shard)) => self.shard(shard, at),
                _ => vec![self.node(word, at)],
            },
        }
    }

    /// The node of that name, in each shard.
    fn side(&mut self, side: &str, at: Place) -> Vec<String> {
        let nodes = self.nodes.side(side);
        if nodes.is_empty() {
            let known = self.nodes.sides().to_vec();
            self.problems.raise(at, Mistake::UnknownName { what: "side", name: side.to_owned(), known });
        }
        nodes
    }

    fn shard(&mut self, shard: &str, at: Place) -> Vec<String> {
        let Some(count) = self.nodes.shards() else {
            self.clash(at, "the topology has no shards", "give it `shards = N`, or name nodes");
            return Vec::new();
        };
        let nodes = shard.parse().map(|shard| self.nodes.shard(shard)).unwrap_or_default();
        if nodes.is_empty() {
            self.wrong(at, format!("shard \"{shard}\""), format!("a shard from 1 to {count}"));
        }
        nodes
    }

    fn no_replica(&mut self, at: Place) {
        self.clash(at, "no node replicates another", "give the topology a node with `replicates`, or leave it out");
    }

    fn node(&mut self, name: String, at: Place) -> String {
        if !self.nodes.has(&name) {
            let known = self.nodes.names().to_vec();
            self.problems.raise(at, Mistake::UnknownName { what: "node", name: name.clone(), known });
        }
        name
    }

    /// Text in which `${node.…}` may stand.
    fn text(&mut self, text: At<Text>) -> String {
        self.references(&text.value.0, text.at);
        text.value.0
    }

    fn references(&mut self, text: &str, at: Place) {
        for reference in references(text) {
            let at = self.within(at, text, reference.range.clone());
            if reference.field().is_none() {
                let forms = NodeField::NAMES.map(|field| format!("`${{node.NODE.{field}}}`")).join(" or ");
                self.wrong(at, format!("`{}`", &text[reference.range.clone()]), forms);
            } else {
                self.node(reference.node.to_owned(), at);
            }
        }
    }

    /// Where a part of a value's text stands; the whole value where it is written with escapes.
    fn within(&self, at: Place, text: &str, part: Range<usize>) -> Place {
        match self.problems.written(at).find(text) {
            None => at,
            Some(offset) => {
                let start = at.start + offset;
                Place { start: start + part.start, end: start + part.end, ..at }
            }
        }
    }

    /// A path that stands in the file, taken from the file's own folder.
    fn path(&self, path: &At<Text>) -> PathBuf {
        self.problems.folder(path.at).join(&path.value.0)
    }

    /// None if there is no such file.
    fn file(&mut self, path: &At<Text>, what: &'static str) -> Option<PathBuf> {
        let resolved = self.path(path);
        self.there(resolved, path.at, what, Path::is_file)
    }

    /// None if there is no such folder.
    fn folder(&mut self, path: &At<Text>) -> Option<PathBuf> {
        let resolved = self.path(path);
        self.there(resolved, path.at, "folder", Path::is_dir)
    }

    fn there(&mut self, path: PathBuf, at: Place, what: &'static str, is: fn(&Path) -> bool) -> Option<PathBuf> {
        if is(&path) {
            return Some(path);
        }
        let path = path.display().to_string();
        self.problems.raise(at, Mistake::NotFound { what, path });
        None
    }

    /// `env:NAME` names an environment variable; what does not begin like that is no such name.
    fn variable(&mut self, text: &str, at: Place) -> Option<String> {
        let name = text.strip_prefix("env:")?;
        if !is_variable(name) {
            self.wrong(at, format!("\"{text}\""), "\"env:NAME\", with the name of an environment variable");
        }
        Some(name.to_owned())
    }
}

/// Whether a shell could set an environment variable of that name.
pub(super) fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && is_word(name, "_")
}

/// Something, all of it ASCII letters, digits, or `others`.
fn is_word(name: &str, others: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}
