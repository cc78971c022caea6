//! The servers: engine, versions, nodes.

use std::collections::BTreeMap;
use std::iter::successors;

use super::expect::texts;
use super::{is_word, subscribers};
use crate::scenario::grammar::{NodeTable, TopologyTable};
use crate::scenario::leaf::{Count, Scalar, Text};
use crate::scenario::problem::{Mistake, Problems};
use crate::scenario::read::{Found, List, Map};
use crate::scenario::tree::{At, Place};
use crate::scenario::{EngineKind, Extension, Node, OPTIONS_OF_THE_LAB, Package, Route, Routing, Subscribes, Topology};

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

/// More shards than that are a mistake.
const SHARDS_MAX: u64 = 64;

/// The names of the topology's nodes.
pub(super) struct Nodes {
    /// As the file calls them, at least one, in its order.
    sides: Vec<String>,
    /// Those of them that replicate another.
    replicas: Vec<String>,
    /// Those of them that have peers.
    pair: Vec<String>,
    /// Those of them that subscribe to another.
    subscribers: Vec<String>,
    /// Where there are shards, a node `a` is `a.1`, `a.2`, ….
    shards: Option<u32>,
    /// Of all nodes, shard by shard.
    names: Vec<String>,
}

impl Nodes {
    pub fn of(topology: Option<&TopologyTable>) -> Nodes {
        let nodes = topology.and_then(|topology| topology.nodes.as_ref()).map_or(&[][..], |nodes| &nodes.value.0);
        let named = |of: &[&(At<String>, At<NodeTable>)]| of.iter().map(|(name, _)| name.value.clone()).collect();
        let mut sides: Vec<_> = named(&nodes.iter().collect::<Vec<_>>());
        let giving = |key: &str| named(&nodes.iter().filter(|(_, node)| node.value.gives(key)).collect::<Vec<_>>());
        let (replicas, pair, subscribers) = (giving("replicates"), giving("peers"), giving("subscribes"));
        if sides.is_empty() {
            sides.push(ONLY_NODE.to_owned());
        }
        let shards = topology.and_then(|topology| shards(topology.shards.as_ref()?));
        let names = match shards {
            None => sides.clone(),
            Some(count) => (1..=count).flat_map(|shard| sides.iter().map(move |side| on_shard(side, shard))).collect(),
        };
        Nodes { sides, replicas, pair, subscribers, shards, names }
    }

    /// Those of that name, of each shard; none if there is no such name.
    pub fn side(&self, side: &str) -> Vec<String> {
        let known = self.sides.iter().any(|known| known == side);
        self.each(std::slice::from_ref(&side.to_owned())).filter(|_| known).collect()
    }

    pub fn sides(&self) -> &[String] {
        &self.sides
    }

    /// The nodes of a shard; none if there is no such shard.
    pub fn shard(&self, shard: u32) -> Vec<String> {
        let known = self.shards.is_some_and(|count| (1..=count).contains(&shard));
        self.sides.iter().filter(|_| known).map(|side| on_shard(side, shard)).collect()
    }

    pub fn shards(&self) -> Option<u32> {
        self.shards
    }

    /// Of these, as the file calls them, those of each shard.
    fn each<'s>(&self, sides: &'s [String]) -> impl Iterator<Item = String> + use<'s> {
        let shards: Vec<Option<u32>> = match self.shards {
            None => vec![None],
            Some(count) => (1..=count).map(Some).collect(),
        };
        shards.into_iter().flat_map(move |shard| {
            sides.iter().map(move |side| shard.map_or_else(|| side.clone(), |shard| on_shard(side, shard)))
        })
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Each shard's.
    pub fn writers(&self) -> Vec<String> {
        self.each(std::slice::from_ref(self.writer())).collect()
    }

    fn writer(&self) -> &String {
        let gets = |name: &&String| self.replicas.contains(name) || self.subscribers.contains(name);
        self.sides.iter().find(|name| !gets(name)).unwrap_or(&self.sides[0])
    }

    /// All that get all that their shard's writer writes.
    pub fn followers(&self) -> Vec<String> {
        let sides: Vec<String> = self.followers_in_file().cloned().collect();
        self.each(&sides).collect()
    }

    /// As the file calls them.
    fn followers_in_file(&self) -> impl Iterator<Item = &String> {
        let (writer, linked) = (self.writer(), self.replicas.iter().chain(&self.pair));
        self.sides.iter().filter(move |name| *name != writer && linked.clone().any(|node| node == *name))
    }

    /// The two of each shard that write to each other; empty where there is no pair.
    pub fn pairs(&self) -> Vec<String> {
        self.each(&self.pair).collect()
    }

    /// Those that get a part of what the writer writes.
    pub fn subscribers(&self) -> Vec<String> {
        self.each(&self.subscribers).collect()
    }

    /// Where users are sent when the plan begins.
    pub fn routing(&self) -> Routing {
        let masters = if self.pair.is_empty() { std::slice::from_ref(self.writer()) } else { &self.pair[..] };
        let readers: Vec<String> = self.followers_in_file().cloned().collect();
        let numbers: Vec<Option<u32>> = self.shards.map_or_else(|| vec![None], |count| (1..=count).map(Some).collect());
        let route = |shard: Option<u32>| {
            let named = |sides: &[String]| {
                sides.iter().map(|side| shard.map_or_else(|| side.clone(), |shard| on_shard(side, shard))).collect()
            };
            Route { masters: named(masters), readers: named(&readers), nodes: named(&self.sides) }
        };
        Routing::new(numbers.into_iter().map(route).collect())
    }

    /// Whether it gets what another writes, and takes no writes itself.
    pub fn is_replica(&self, name: &str) -> bool {
        self.each(&self.replicas).any(|replica| replica == name)
    }

    /// Nobody replicates in any way.
    pub fn are_single(&self) -> bool {
        self.replicas.is_empty() && self.pair.is_empty() && self.subscribers.is_empty()
    }

    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|node| node == name)
    }
}

/// A node's name, where there are shards.
fn on_shard(side: &str, shard: u32) -> String {
    format!("{side}.{shard}")
}

/// None where there are too many.
fn shards(found: &At<Count<1>>) -> Option<u32> {
    u32::try_from(found.value.0).ok().filter(|count| u64::from(*count) <= SHARDS_MAX)
}

pub(super) fn topology(table: TopologyTable, problems: &mut Problems) -> Option<Topology> {
    let engine = table.engine.map(|engine| engine.value.0);
    let default = table.version.map(|found| version(found, engine, problems));
    if let Some(found) = table.shards.as_ref().filter(|found| shards(found).is_none()) {
        let (found, at) = (found.value.0.to_string(), found.at);
        problems.raise(at, Mistake::WrongForm { found, form: format!("1 to {SHARDS_MAX} shards"), hint: None });
    }
    let shards = table.shards.as_ref().and_then(shards);
    let raw = table.nodes.map(|nodes| nodes.value.0).unwrap_or_default();
    lineage(&raw, engine, default.as_deref(), problems);
    subscribers::subscribers(&raw, engine, default.as_deref(), problems);
    let mut nodes = Vec::new();
    for (name, table) in raw {
        nodes.push(node(name, table.value, engine, default.as_deref(), problems));
    }
    let version = default?;
    if nodes.is_empty() {
        let (settings, extensions, packages) = Default::default();
        let name = ONLY_NODE.into();
        let (shard, replicates, peers, subscribes) = Default::default();
        nodes.push(Some(Node {
            name,
            shard,
            version: version.clone(),
            settings,
            extensions,
            packages,
            replicates,
            peers,
            subscribes,
        }));
    }
    let nodes: Vec<Node> = nodes.into_iter().collect::<Option<_>>()?;
    let nodes = match shards {
        None => nodes,
        Some(count) => (1..=count).flat_map(|shard| nodes.iter().map(move |node| on(node, shard))).collect(),
    };
    Some(Topology { engine: engine?, version, nodes, consumers: Vec::new() })
}

/// A node as it is on one of several shards.
fn on(node: &Node, shard: u32) -> Node {
    let there = |name: &String| on_shard(name, shard);
    Node {
        name: there(&node.name),
        shard: Some(shard),
        replicates: node.replicates.as_ref().map(there),
        peers: node.peers.iter().map(there).collect(),
        subscribes: node.subscribes.as_ref().map(|of| Subscribes { to: there(&of.to), ..of.clone() }),
        ..node.clone()
    }
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
    let gives = |table: &NodeTable| ["replicates", "subscribes"].iter().any(|key| table.gives(key));
    let roots = raw.iter().filter(|(_, table)| !gives(&table.value));
    // The second of a pair is none of its own.
    let mut heads = roots.filter(|(name, table)| peer_of(&table.value).is_none_or(|peer| is_before(raw, name, peer)));
    if let Some((second, table)) = heads.nth(1) {
        let what = if table.value.gives("peers") { "a second pair" } else { "a second node that replicates no other" };
        problems.raise(second.at, Mistake::NotSupportedYet { what: what.into() });
    }
    peers(raw, engine, default, problems);
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
        let is_second =
            peer_of(other).is_some_and(|peer| !is_before(raw, &At { value: source.clone(), at: *at }, peer));
        if engine == Some(EngineKind::Postgres) && is_second {
            let what = format!("a replica of the second of a pair, as of \"{source}\",");
            problems.raise(*at, Mistake::NotSupportedYet { what });
        }
        if successors(Some(source.as_str()), |node| upstream(node)).take(raw.len()).any(|node| node == name.value) {
            let message =
                format!("node \"{}\" replicates itself{}", name.value, if is_own { "" } else { ", by way of others" });
            let hint = Some("let one node replicate no other: it takes the writes".to_owned());
            problems.raise(*at, Mistake::Clash { message, hint });
        }
        if let (Some(own), Some(theirs), Some(engine)) =
            (version_of(&table.value, default), version_of(other, default), engine)
            && let Some((message, hint)) = unreadable(engine, &own, &theirs)
        {
            let hint = Some(hint.to_owned());
            problems.raise(table.value.version.as_ref().map_or(*at, |own| own.at), Mistake::Clash { message, hint });
        }
    }
}

pub(super) fn version_of(table: &NodeTable, default: Option<&str>) -> Option<String> {
    table.version.as_ref().map_or(default.map(str::to_owned), |own| Some(own.value.0.clone()))
}

/// The first that it names as its peer.
fn peer_of(table: &NodeTable) -> Option<&str> {
    table.peers.as_ref()?.value.first().map(|peer| peer.value.0.as_str())
}

/// Whether a node stands in the file before another, or the other is not there.
fn is_before(raw: &[(At<String>, At<NodeTable>)], name: &At<String>, other: &str) -> bool {
    let place = |of: &str| raw.iter().position(|(node, _)| node.value == of).unwrap_or(raw.len());
    place(&name.value) < place(other)
}

/// Who writes to whom: two nodes that name each other, of one version.
fn peers(
    raw: &[(At<String>, At<NodeTable>)],
    engine: Option<EngineKind>,
    default: Option<&str>,
    problems: &mut Problems,
) {
    for (name, table) in raw {
        let Some(At { value: named, at }) = &table.value.peers else { continue };
        let mut clash = |at, message: String, hint: &str| {
            problems.raise(at, Mistake::Clash { message, hint: Some(hint.to_owned()) });
        };
        if table.value.gives("replicates") {
            let message = format!("node \"{}\" has a peer and replicates another as well", name.value);
            clash(*at, message, "let it do one of both; a replica may replicate either node of a pair");
        }
        let [At { value: Text(peer), at: place }] = named.as_slice() else {
            if named.is_empty() {
                let (found, form) = ("an empty list".into(), "the other node of its pair".into());
                problems.raise(*at, Mistake::WrongForm { found, form, hint: None });
            } else {
                problems.raise(*at, Mistake::NotSupportedYet { what: "a group of more than two peers".into() });
            }
            continue;
        };
        let Some((_, other)) = raw.iter().find(|(node, _)| node.value == *peer) else {
            let known = raw.iter().map(|(name, _)| name.value.clone()).collect();
            problems.raise(*place, Mistake::UnknownName { what: "node", name: peer.clone(), known });
            continue;
        };
        if *peer == name.value {
            clash(*place, format!("node \"{peer}\" is its own peer"), "name the other node of its pair");
        } else if peer_of(&other.value) != Some(&name.value) {
            let message = format!("node \"{}\" names \"{peer}\" as its peer, and is not named in return", name.value);
            clash(*place, message, &format!("give \"{peer}\" `peers = [\"{}\"]`", name.value));
        }
        let versions = (version_of(&table.value, default), version_of(&other.value, default));
        if versions.0 != versions.1 && is_before(raw, name, peer) {
            let message = format!("nodes \"{}\" and \"{peer}\" are a pair of different versions", name.value);
            clash(*at, message, "give both the same version: each has to understand the other's log");
        }
        if engine == Some(EngineKind::Postgres) && is_before(raw, name, peer) {
            of_postgres(versions.0.as_deref(), &table.value, &other.value, *at, problems);
        }
    }
}

/// What logical replication asks of both.
fn of_postgres(version: Option<&str>, one: &NodeTable, other: &NodeTable, at: Place, problems: &mut Problems) {
    if version.and_then(|version| version.parse::<u32>().ok()).is_some_and(|version| version < 16) {
        let message = "a pair of Postgres needs version 16 or a newer one".to_owned();
        let hint = "before it, a row that came from the other would be sent back: subscriptions had no `origin = none`";
        problems.raise(at, Mistake::Clash { message, hint: Some(hint.to_owned()) });
    }
    for table in [one, other] {
        logical_log(table, "a pair", problems);
    }
}

/// That a node's own settings leave its log fit to be decoded; `who` needs that.
pub(super) fn logical_log(table: &NodeTable, who: &str, problems: &mut Problems) {
    let settings = table.settings.iter().flat_map(|all| &all.value.0);
    for (name, value) in settings.filter(|(name, _)| name.value.eq_ignore_ascii_case("wal_level")) {
        if value.value.0 != "logical" {
            let message = format!("{who} needs `wal_level = \"logical\"`");
            let hint = Some("leave it out: the lab sets it".to_owned());
            problems.raise(name.at, Mistake::Clash { message, hint });
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
    let packages = table.packages.map(|found| packages(found.value, problems)).unwrap_or_default();
    let replicates = table.replicates.map(|node| node.value.0);
    let peers = table.peers.map(|nodes| nodes.value.into_iter().map(|node| node.value.0).collect()).unwrap_or_default();
    let subscribes = table.subscribes.and_then(|table| {
        let (to, publication) = table.value.to.zip(table.value.publication)?;
        let tables = table.value.tables.map(|tables| texts(tables.value)).unwrap_or_default();
        Some(Subscribes { to: to.value.0, publication: publication.value.0, tables })
    });
    let version = own.or(default.map(str::to_owned))?;
    Some(Node { name: name.value, shard: None, version, settings, extensions, packages, replicates, peers, subscribes })
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
        // It becomes the name of a file and of a package.
        let is_name = is_word(name, "_-.+") && name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !is_name || version.as_ref().is_some_and(|version| version.trim().is_empty()) {
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

fn packages(found: List<Text>, problems: &mut Problems) -> Vec<Package> {
    let mut packages: Vec<Package> = Vec::new();
    for At { value: Text(text), at } in found {
        match Package::parse(&text) {
            None => {
                let form = "a Debian package, as \"postgresql-15-unit\", or \"postgresql-15-unit=7.7-1\" for a version";
                problems.raise(at, Mistake::WrongForm { found: format!("\"{text}\""), form: form.into(), hint: None });
            }
            Some(package) if packages.iter().any(|other| other.name() == package.name()) => {
                let message = format!("package \"{}\" is asked for twice", package.name());
                problems.raise(at, Mistake::Clash { message, hint: None });
            }
            Some(package) => packages.push(package),
        }
    }
    packages
}
