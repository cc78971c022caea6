//! The nodes of a rehearsal, wired as its scenario says: in each shard one that takes the writes, its replicas, its peer, and its
//! subscribers.

mod baseline;
mod node;
mod replication;
mod subscription;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use futures::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use crate::engine::client_login;
use crate::engine::endpoint::Endpoint;
use crate::engine::host::StopMode;
use crate::engine::server::{self, BoxError, Pairing, ServerError, Wanted};
use crate::event::with_causes;
use crate::lab::lease::LeasedNode;
use crate::lab::{self, Lab, LabError};
use crate::scenario::{self, Scenario};

use self::baseline::Origin;
pub use self::baseline::{Began, Keeping, has_baseline, prune_baselines, software};
use self::node::Place;
pub use self::node::{Disk, Kept, Node};
pub use crate::engine::server::Trouble;
pub use crate::lab::{Base, LabKind};
pub use crate::settings::LabChoice;

/// Replicas made at the same time: each takes two of the ten sessions that a server has for them by default.
const AT_ONCE: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error("node {node} failed")]
    Server { node: String, source: ServerError },
    #[error("could not set up replication on node {node}")]
    Replication {
        node: String,
        #[source]
        source: BoxError,
    },
    #[error("a row of the writer did not arrive on node {node} within {deadline:?}; last seen: {last}")]
    NotReplicated { node: String, deadline: Duration, last: String, log: Vec<String> },
    #[error("node {node} did not get the rows of {}", .tables.join(", "))]
    NotCopied { node: String, tables: Vec<String>, log: Vec<String> },
    #[error("could not write {}", .path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("node {node} has no copy of its state before the plan")]
    NothingKept { node: String },
    #[error("interrupted while the servers were starting")]
    Cancelled,
}

impl TopologyError {
    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            TopologyError::Lab(error) => error.hint(),
            TopologyError::Server { source, .. } => source.hint(),
            TopologyError::NotCopied { .. } => Some("its last log lines say why".to_owned()),
            _ => None,
        }
    }

    /// The server's own no, to a role or to its settings: whoever changed those brought it about.
    pub fn is_refusal(&self) -> bool {
        matches!(self, TopologyError::Server { source, .. } if source.is_refusal())
    }

    /// Of a clone that did not come up: what it was cloned from is to blame, as far as can be told, and not the machine.
    fn is_damage(&self) -> bool {
        match self {
            TopologyError::Lab(error) => error.is_damage(),
            error => error.is_refusal(),
        }
    }

    /// The server's last log lines, where they tell more.
    pub fn log(&self) -> &[String] {
        match self {
            TopologyError::Server { source, .. } => source.log(),
            TopologyError::NotReplicated { log, .. } | TopologyError::NotCopied { log, .. } => log,
            TopologyError::Lab(error) => error.log(),
            _ => &[],
        }
    }
}

/// What to bring up, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct TopologyRequest<'a> {
    pub scenario: &'a Scenario,
    pub lab: LabChoice,
    /// Under which the lab lies: [`Base::open`], but for tests.
    pub base: &'a Base,
    /// The run's id, for labels and leases.
    pub run: &'a str,
    /// Folder for the servers' logs; made when there is something to put there.
    pub logs: &'a Path,
    /// Key of the baseline to begin with, if there is one.
    pub baseline: Option<&'a str>,
}

/// Servers that answer. [`Topology::shutdown`] it on every path.
pub struct Topology {
    lab: Lab,
    nodes: Vec<Node>,
    logs: PathBuf,
    pairing: Pairing,
    began: Option<Began>,
    not_cloned: Option<String>,
}

impl Topology {
    /// Clears away what killed runs left, chooses the lab, and starts every node: as clones of a baseline, or else fresh. A failure or
    /// `cancel` leaves nothing.
    ///
    /// # Errors
    /// [`TopologyError`]; each is about this machine or its lab, none about the release.
    pub async fn start(request: &TopologyRequest<'_>, cancel: &CancellationToken) -> Result<Topology, TopologyError> {
        let wanted = &request.scenario.topology;
        let software: Vec<_> =
            wanted.versions().into_iter().map(|version| server::software(wanted.engine, version)).collect();
        let base = request.base;
        let chosen = async {
            for left in lab::reap(base).await? {
                tracing::info!(run = left.run, what = left.what, "cleared away what a killed run left");
            }
            Ok(lab::choose(request.lab, &software).await.map_err(|lacking| lacking.first)?)
        };
        let kind = tokio::select! {
            kind = chosen => kind,
            () = cancel.cancelled() => Err(TopologyError::Cancelled),
        }?;
        let mut not_cloned = None;
        if let Some(key) = request.baseline {
            let topology = Topology::open(kind, request).await?;
            match topology.lab.handle().baseline(key).await {
                Ok(None) => return topology.started(request, None, cancel).await,
                Err(error) => {
                    topology.shutdown().await?;
                    return Err(error.into());
                }
                Ok(Some(baseline)) => {
                    let origin = Origin::of(baseline, request.scenario);
                    match topology.started(request, origin.as_ref(), cancel).await {
                        Ok(topology) if topology.began.is_some() => return Ok(topology),
                        Err(TopologyError::Cancelled) => return Err(TopologyError::Cancelled),
                        Err(error) => {
                            if error.is_damage() {
                                lab::baseline::condemn(base, key).await?;
                            }
                            not_cloned = Some(with_causes(&error));
                        }
                        // Of another time: it will be replaced.
                        Ok(topology) => {
                            lab::baseline::condemn(base, key).await?;
                            return Ok(topology);
                        }
                    }
                }
            }
        }
        let topology = Topology::open(kind, request).await?.started(request, None, cancel).await?;
        Ok(Topology { not_cloned, ..topology })
    }

    /// From here on there is something to clear away, so it is not given up half way.
    async fn open(kind: LabKind, request: &TopologyRequest<'_>) -> Result<Topology, TopologyError> {
        let lab = Lab::open(kind, request.run, request.base).await?;
        let pairing = server::pairing(request.scenario.topology.engine);
        let logs = request.logs.to_owned();
        Ok(Topology { lab, nodes: Vec::new(), logs, pairing, began: None, not_cloned: None })
    }

    async fn started(
        mut self,
        request: &TopologyRequest<'_>,
        origin: Option<&Origin>,
        cancel: &CancellationToken,
    ) -> Result<Topology, TopologyError> {
        let started = tokio::select! {
            started = self.start_nodes(request.scenario, origin) => started,
            () = cancel.cancelled() => Err(TopologyError::Cancelled),
        };
        match started {
            Ok(()) => {
                self.began = origin.map(|origin| origin.began(&self.nodes));
                Ok(self)
            }
            Err(error) => {
                if let Err(error) = self.shutdown().await {
                    tracing::warn!(%error, "could not clear away a lab that did not start");
                }
                Err(error)
            }
        }
    }

    /// The baseline that it is a clone of.
    pub fn began(&self) -> Option<&Began> {
        self.began.as_ref()
    }

    /// Why it is no clone of the baseline that there was.
    pub fn not_cloned(&self) -> Option<&str> {
        self.not_cloned.as_deref()
    }

    pub fn lab(&self) -> LabKind {
        self.lab.kind()
    }

    /// In the order in which they were started, the writer first, each after the one that it replicates.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What takes the snapshot and the release, of each shard; of a pair the first in the file.
    pub fn writers(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_writer())
    }

    /// That of the node's own shard.
    pub fn writer_of<'t>(&'t self, node: &'t Node) -> &'t Node {
        self.writers().find(|writer| writer.shard() == node.shard()).unwrap_or(node)
    }

    /// All nodes but the writers: each gets what its shard's writes, a peer as well, and subscribers a part of it.
    pub fn followers(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.is_writer())
    }

    /// The others of a writer's shard.
    pub fn followers_of<'t>(&'t self, writer: &'t Node) -> impl Iterator<Item = &'t Node> {
        self.followers().filter(|node| node.shard() == writer.shard())
    }

    /// The other of a node's pair.
    pub fn peer_of(&self, node: &Node) -> Option<&Node> {
        self.node(node.peer()?)
    }

    /// Each shard's pair, the writer first.
    fn pairs(&self) -> impl Iterator<Item = [&Node; 2]> {
        self.writers().filter_map(|writer| Some([writer, self.peer_of(writer)?]))
    }

    /// Whose writes are to arrive where: a writer's on all the others of its shard, and its peer's on the writer.
    pub fn links(&self) -> impl Iterator<Item = (&Node, &Node)> {
        let from_writer = self.followers().map(|follower| (self.writer_of(follower), follower));
        from_writer.chain(self.pairs().map(|[writer, peer]| (peer, writer)))
    }

    /// The nodes that the snapshot goes into: the writers, and their peers where replication does not carry all of it there.
    pub fn filled(&self) -> impl Iterator<Item = &Node> {
        let peer = |writer| self.peer_of(writer).filter(|_| self.pairing == Pairing::Alike);
        self.writers().flat_map(move |writer| std::iter::once(writer).chain(peer(writer)))
    }

    /// Makes pairs of nodes that had to be filled first, and proves them in both directions; nothing where there are none. Gives the
    /// tables whose rows can no longer be updated or deleted for that.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub async fn join_peers(&self) -> Result<BTreeSet<String>, TopologyError> {
        let alike = self.pairs().filter(|_| self.pairing == Pairing::Alike);
        let joined = alike.map(|pair| async move {
            replication::join(pair).await?;
            pair[0].without_identity().await
        });
        Ok(try_join_all(joined).await?.into_iter().flatten().collect())
    }

    /// Makes the nodes subscribe that are to, once the writer holds what it is to hold; nothing where there are none. Gives what to tell
    /// of each.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub async fn subscribe(&self) -> Result<Vec<String>, TopologyError> {
        let mut told = Vec::new();
        for writer in self.writers() {
            let subscribers: Vec<_> = self.followers_of(writer).filter_map(|node| Some((node, node.feed()?))).collect();
            if !subscribers.is_empty() {
                told.extend(subscription::subscribe(writer, &subscribers).await?);
            }
        }
        Ok(told)
    }

    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name() == name)
    }

    /// From here on replication behaves as the scenario's settings say: so far, a replica was quicker to find a server that came back.
    ///
    /// # Errors
    /// A replica refused it.
    pub async fn as_in_production(&self) -> Result<(), TopologyError> {
        let followers: Vec<&Node> = self.links().map(|(_, follower)| follower).collect();
        replication::as_in_production(&followers).await
    }

    /// Passwords of all nodes: their superusers', and their login roles'.
    pub fn passwords(&self) -> Vec<String> {
        let of = |node: &Node| [node.endpoint().password, node.login_password().to_owned()];
        self.nodes.iter().flat_map(of).collect()
    }

    /// Settings of any node that make the lab unlike production, name to value.
    pub fn relaxed(&self) -> BTreeMap<String, String> {
        self.nodes.iter().flat_map(Node::relaxed).collect()
    }

    /// Collects the servers' logs, ends the servers, and removes everything.
    ///
    /// # Errors
    /// The first thing that could not be written or removed; the others were.
    pub async fn shutdown(self) -> Result<(), TopologyError> {
        join_all(self.nodes.iter().map(|node| async {
            if let Err(error) = node.stop_with(StopMode::Immediate).await {
                tracing::warn!(%error, node = node.name(), "a server did not stop");
            }
        }))
        .await;
        let collected = self.collect_logs().await;
        self.nodes.iter().for_each(Node::forget);
        self.lab.close().await?;
        collected
    }

    /// Leaves the nodes running when this process ends; everything else of the lab is removed.
    ///
    /// # Errors
    /// A server could not be started again apart from this process, or how to reach it not be written. The lab is then shut down.
    pub async fn release(self) -> Result<Released, TopologyError> {
        let (passwords, nodes) = match self.let_go().await {
            Ok(let_go) => let_go,
            Err(error) => {
                self.shutdown().await?;
                return Err(error);
            }
        };
        let kept = |node: &&Node| nodes.iter().any(|kept| kept.name == node.name());
        let hosts: Vec<_> = self.nodes.iter().filter(kept).map(Node::lab_host).collect();
        let folder = self.lab.release(&hosts, nodes.clone()).await?;
        Ok(Released { folder, passwords, nodes })
    }

    /// Makes every node outlive this process, and writes down how to reach them.
    async fn let_go(&self) -> Result<(PathBuf, Vec<LeasedNode>), TopologyError> {
        let mut nodes = Vec::new();
        for node in &self.nodes {
            match node.outlive().await {
                // One that the plan broke is no reason to lose the others.
                Err(error) if !node.is_writer() => {
                    tracing::warn!(%error, node = node.name(), "a replica could not be kept");
                    continue;
                }
                done => done?,
            }
            nodes.push((node.name().to_owned(), node.endpoint()));
        }
        let engine = self.nodes[0].endpoint().engine;
        let passwords = self.lab.folder().join(client_login::file_name(engine));
        write_passwords(&passwords, &nodes)
            .map_err(|source| TopologyError::Unwritable { path: passwords.clone(), source })?;
        let leased = |(name, endpoint): (String, Endpoint)| {
            let Endpoint { engine, host, port, user, database, .. } = endpoint;
            LeasedNode { name, engine, host, port, user, database }
        };
        Ok((passwords, nodes.into_iter().map(leased).collect()))
    }

    async fn start_nodes(&mut self, scenario: &Scenario, origin: Option<&Origin>) -> Result<(), TopologyError> {
        let lab = self.lab.handle();
        let engine = scenario.topology.engine;
        let hosts = scenario.topology.nodes.iter().zip(1..).map(|(node, number)| {
            let lab = &lab;
            async move {
                let software = server::software_of(engine, node);
                let stored = origin.and_then(|origin| origin.node(&node.name));
                let host = match &stored {
                    None => lab.host(&node.name, &software).await?,
                    Some(at) => lab.host_of(&node.name, &software, &at.baseline, &at.stored).await?,
                };
                Ok::<_, TopologyError>((node, number, host, stored))
            }
        });
        let mut waiting = try_join_all(hosts).await?;
        let login_password = node::login_password();
        while !waiting.is_empty() {
            let upstream_of = |node: &scenario::Node| node.replicates.as_ref().map(|name| self.node(name));
            let (ready, rest): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|(node, ..)| upstream_of(node).is_none_or(|upstream| upstream.is_some()));
            let launches = ready.into_iter().map(|(node, number, host, stored)| {
                let database = scenario.snapshot.database.clone();
                let (version, settings) = (node.version.clone(), node.settings.clone());
                let in_pair = node.peers.first().map(|_| if scenario.is_writer(&node.name) { 1 } else { 2 });
                let subscribes_to =
                    |other: &scenario::Node| other.subscribes.as_ref().is_some_and(|of| of.to == node.name);
                let publishes = scenario.topology.nodes.iter().any(subscribes_to);
                let wanted = Wanted { number, version, settings, database, in_pair, publishes };
                let upstream = upstream_of(node).flatten();
                let is_writer = scenario.is_writer(&node.name);
                let place = Place { node, is_writer, upstream, login_password: &login_password, stored };
                Node::launch(lab.clone(), host, engine, place, wanted, &self.logs)
            });
            let started: Vec<Node> = futures::stream::iter(launches).buffered(AT_ONCE).try_collect().await?;
            self.nodes.extend(started);
            waiting = rest;
        }
        if origin.is_some() {
            self.follow_again().await?;
            return self.prove_again().await;
        }
        try_join_all(self.pairs().filter(|_| self.pairing == Pairing::Empty).map(replication::join)).await?;
        let replicas = |writer| self.followers_of(writer).filter(|node| node.replicates().is_some()).collect();
        let shards = self.writers().map(|writer| (writer, replicas(writer)));
        let proven = shards.filter(|(_, replicas): &(_, Vec<&Node>)| !replicas.is_empty());
        try_join_all(proven.map(|(writer, replicas)| replication::prove(writer, replicas))).await.map(|_| ())
    }

    async fn collect_logs(&self) -> Result<(), TopologyError> {
        for node in &self.nodes {
            node.collect_logs(&self.logs).await?;
        }
        Ok(())
    }
}

/// A lab left running, and how to get at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// The lab's folder.
    pub folder: PathBuf,
    /// A file that the engine's own client reads passwords from, readable by this user alone.
    pub passwords: PathBuf,
    pub nodes: Vec<LeasedNode>,
}

impl Released {
    /// A shell command that opens a session on a node. Holds no password.
    pub fn connect(&self, node: &LeasedNode) -> String {
        client_login::command(&self.passwords, &node.name, &node.endpoint())
    }
}

fn write_passwords(path: &Path, nodes: &[(String, Endpoint)]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    nodes.iter().try_for_each(|(name, endpoint)| file.write_all(client_login::entry(name, endpoint).as_bytes()))
}
