//! The servers: engine, versions, nodes.

use std::collections::BTreeMap;
use std::iter::successors;

use super::is_word;
use crate::scenario::grammar::{NodeTable, TopologyTable};
use crate::scenario::leaf::{Scalar, Text};
use crate::scenario::problem::{Mistake, Problems};
use crate::scenario::read::{Found, List, Map};
use crate::scenario::tree::At;
use crate::scenario::{EngineKind, Extension, Node, OPTIONS_OF_THE_LAB, Topology};

/// The one node of a topology that names none.
const ONLY_NODE: &str = "primary";

/// Settings that say where a server lives: the lab's to choose.
const SETTINGS_OF_THE_LAB: &[&str] = &[
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "port",
    "primary_conninfo",
    "primary_slot_name",
    "unix_socket_directories",
];

/// What `on` can name and a node cannot be called.
const RESERVED: &[&str] = &["all", "readers", "writer"];

/// The names of the topology's nodes.
pub(super) struct Nodes {
    /// At least one, in the file's order.
    names: Vec<String>,
    /// Those of them that replicate another.
    replicas: Vec<String>,
    /// Some replicate in a way that is refused.
    others: bool,
    /// A node `a` is then `a.1`, `a.2`, … as well.
    sharded: bool,
}

impl Nodes {
    pub fn of(topology: Option<&TopologyTable>) -> Nodes {
        let nodes = topology.and_then(|topology| topology.nodes.as_ref()).map_or(&[][..], |nodes| &nodes.value.0);
        let named = |of: &[&(At<String>, At<NodeTable>)]| of.iter().map(|(name, _)| name.value.clone()).collect();
        let mut names: Vec<_> = named(&nodes.iter().collect::<Vec<_>>());
        let replicas = named(&nodes.iter().filter(|(_, node)| node.value.gives("replicates")).collect::<Vec<_>>());
        if names.is_empty() {
            names.push(ONLY_NODE.to_owned());
        }
        let sharded = topology.is_some_and(|topology| topology.gives("shards"));
        let others = nodes.iter().any(|(_, node)| node.value.gives("peers") || node.value.gives("subscribes"));
        Nodes { names, replicas, others, sharded }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn writer(&self) -> String {
        self.names.iter().find(|name| !self.replicas.contains(name)).unwrap_or(&self.names[0]).clone()
    }

    pub fn replicas(&self) -> &[String] {
        &self.replicas
    }

    /// Nobody replicates in any way.
    pub fn are_single(&self) -> bool {
        self.replicas.is_empty() && !self.others
    }

    pub fn has(&self, name: &str) -> bool {
        let shard = name.rsplit_once('.').filter(|(_, shard)| self.sharded && shard.parse::<u32>().is_ok());
        let name = shard.map_or(name, |(node, _)| node);
        self.names.iter().any(|node| node == name)
    }
}

pub(super) fn topology(table: TopologyTable, problems: &mut Problems) -> Option<Topology> {
    let engine = table.engine.map(|engine| engine.value.0);
    let default = table.version.map(|found| version(found, engine, problems));
    let raw = table.nodes.map(|nodes| nodes.value.0).unwrap_or_default();
    lineage(&raw, engine, default.as_deref(), problems);
    let mut nodes = Vec::new();
    for (name, table) in raw {
        nodes.push(node(name, table.value, engine, default.as_deref(), problems));
    }
    let version = default?;
    if nodes.is_empty() {
        let (settings, extensions) = Default::default();
        let name = ONLY_NODE.into();
        nodes.push(Some(Node { name, version: version.clone(), settings, extensions, replicates: None }));
    }
    Some(Topology { engine: engine?, version, nodes: nodes.into_iter().collect::<Option<_>>()? })
}

/// Who replicates whom: one node that replicates none, and no circles.
fn lineage(
    raw: &[(At<String>, At<NodeTable>)],
    engine: Option<EngineKind>,
    default: Option<&str>,
    problems: &mut Problems,
) {
    let of = |name: &str| raw.iter().find(|(node, _)| node.value == name).map(|(_, table)| &table.value);
    let upstream = |name: &str| of(name).and_then(|table| table.replicates.as_ref()).map(|node| node.value.0.as_str());
    let gives = |table: &NodeTable| ["replicates", "peers", "subscribes"].iter().any(|key| table.gives(key));
    let mut roots = raw.iter().filter(|(_, table)| !gives(&table.value));
    if let Some((second, _)) = roots.nth(1) {
        problems.raise(second.at, Mistake::NotSupportedYet { what: "a second node that replicates no other".into() });
    }
    let slot = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    for (nth, (name, _)) in raw.iter().enumerate() {
        if let Some((other, _)) = raw[..nth].iter().find(|(other, _)| slot(&other.value) == slot(&name.value)) {
            let message = format!("nodes \"{}\" and \"{}\" are called too much alike", other.value, name.value);
            let hint = Some("let them differ in more than small letters, `-` and `_`".to_owned());
            problems.raise(name.at, Mistake::Clash { message, hint });
        }
    }
    for (name, table) in raw {
        let Some(At { value: Text(source), at }) = &table.value.replicates else { continue };
        let Some(other) = of(source) else {
            let known = raw.iter().map(|(name, _)| name.value.clone()).collect();
            problems.raise(*at, Mistake::UnknownName { what: "node", name: source.clone(), known });
            continue;
        };
        let is_own = source == &name.value;
        if successors(Some(source.as_str()), |node| upstream(node)).take(raw.len()).any(|node| node == name.value) {
            let message =
                format!("node \"{}\" replicates itself{}", name.value, if is_own { "" } else { ", by way of others" });
            let hint = Some("let one node replicate no other: it takes the writes".to_owned());
            problems.raise(*at, Mistake::Clash { message, hint });
        }
        let version = |table: &NodeTable| {
            table.version.as_ref().map_or(default.map(str::to_owned), |own| Some(own.value.0.clone()))
        };
        if let (Some(own), Some(theirs), Some(engine)) = (version(&table.value), version(other), engine)
            && let Some((message, hint)) = unreadable(engine, &own, &theirs)
        {
            let hint = Some(hint.to_owned());
            problems.raise(table.value.version.as_ref().map_or(*at, |own| own.at), Mistake::Clash { message, hint });
        }
    }
}

/// Why a replica of version `own` cannot read the log of version `theirs`, and what to do about it; none if it can.
fn unreadable(engine: EngineKind, own: &str, theirs: &str) -> Option<(String, &'static str)> {
    let age = |version: &str| engine.versions().iter().position(|known| *known == version);
    match engine {
        EngineKind::Postgres if own != theirs => Some((
            format!("a physical replica of version {own} cannot read the log of version {theirs}"),
            "give both the same version",
        )),
        EngineKind::Mysql | EngineKind::Mariadb if age(own) < age(theirs) => Some((
            format!("a replica of version {own} may not understand the log of version {theirs}, which is newer"),
            "let the replica be of the same version or of a newer one",
        )),
        _ => None,
    }
}

fn node(
    name: At<String>,
    table: NodeTable,
    engine: Option<EngineKind>,
    default: Option<&str>,
    problems: &mut Problems,
) -> Option<Node> {
    let is_name = is_word(&name.value, "_-") && name.value.starts_with(|c: char| c.is_ascii_alphabetic());
    if !is_name || RESERVED.contains(&name.value.as_str()) {
        let form = "a node's name: a letter, then letters, digits, `_` or `-`, and none of the words that `on` takes";
        let found = format!("\"{}\"", name.value);
        problems.raise(name.at, Mistake::WrongForm { found, form: form.into(), hint: None });
    }
    let own = table.version.map(|found| version(found, engine, problems));
    let settings = table.settings.map(|settings| self::settings(settings.value, engine, problems)).unwrap_or_default();
    let extensions = table.extensions.map(|found| extensions(found, engine, problems)).unwrap_or_default();
    let replicates = table.replicates.map(|node| node.value.0);
    Some(Node { name: name.value, version: own.or(default.map(str::to_owned))?, settings, extensions, replicates })
}

fn version(found: At<Text>, engine: Option<EngineKind>, problems: &mut Problems) -> String {
    let At { value: Text(version), at } = found;
    if let Some(engine) = engine
        && !engine.versions().contains(&version.as_str())
    {
        let known = engine.versions().join(", ");
        let form = format!("a version of {} that is known here: {known}", engine.name());
        problems.raise(at, Mistake::WrongForm { found: format!("\"{version}\""), form, hint: None });
    }
    version
}

fn settings(found: Map<Scalar>, engine: Option<EngineKind>, problems: &mut Problems) -> BTreeMap<String, String> {
    let is_postgres = engine.is_none_or(|engine| engine == EngineKind::Postgres);
    let (of_the_lab, signs) = if is_postgres { (SETTINGS_OF_THE_LAB, "_.") } else { (OPTIONS_OF_THE_LAB, "_-.") };
    let mut settings = BTreeMap::new();
    for (name, value) in found.0 {
        // Both spellings are one option on MySQL and MariaDB; Postgres has no setting with a hyphen.
        let plain = name.value.to_ascii_lowercase().replace('-', "_");
        if of_the_lab.contains(&plain.as_str()) {
            let message = format!("`{}` is the lab's to set", name.value);
            let hint = Some("leave it out: the lab gives each server its own place".to_owned());
            problems.raise(name.at, Mistake::Clash { message, hint });
        } else if is_postgres && plain == "recovery_min_apply_delay" {
            problems.raise(name.at, Mistake::NotSupportedYet { what: "a replica that is behind on purpose".into() });
        } else if !is_word(&name.value, signs) {
            let found = format!("`{}`", name.value);
            problems.raise(name.at, Mistake::WrongForm { found, form: "the name of a setting".into(), hint: None });
        }
        settings.insert(name.value, value.value.0);
    }
    settings
}

fn extensions(found: At<List<Text>>, engine: Option<EngineKind>, problems: &mut Problems) -> Vec<Extension> {
    if let Some(engine) = engine
        && engine != EngineKind::Postgres
    {
        let message = format!("{} has no extensions", engine.name());
        let hint =
            Some("load a plugin with the node's setting `plugin-load-add`, or INSTALL it in [[setup]]".to_owned());
        problems.raise(found.at, Mistake::Clash { message, hint });
    }
    let mut extensions: Vec<Extension> = Vec::new();
    for At { value: Text(text), at } in found.value {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (text.as_str(), None),
        };
        if name.trim().is_empty() || version.as_ref().is_some_and(|version| version.trim().is_empty()) {
            let form = "an extension, as \"unit\", or \"unit@7\" for a version".to_owned();
            problems.raise(at, Mistake::WrongForm { found: format!("\"{text}\""), form, hint: None });
        } else if extensions.iter().any(|other| other.name == name) {
            let message = format!("extension \"{name}\" is asked for twice");
            problems.raise(at, Mistake::Clash { message, hint: None });
        }
        extensions.push(Extension { name: name.to_owned(), version });
    }
    extensions
}
