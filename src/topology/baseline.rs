//! A topology that was made ready, kept as a baseline; and one that begins as a clone of it, replication included.

use futures::future::{join, join_all, try_join, try_join_all};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::node::StoredAt;
use super::{Node, Topology, TopologyError, replication};
use crate::engine::host::StopMode;
use crate::engine::server;
use crate::event::{CloneKind, with_causes};
use crate::lab::baseline::{Baseline, Prune, Stored, has, prune};
use crate::lab::{self, Base, LabKind};
use crate::scenario::Scenario;

/// Clusters copied at the same time.
const AT_ONCE: usize = 2;
/// Left free on the disk beside a baseline and one clone of it.
const SPARE_BYTES: u64 = 1 << 30;

/// What a topology began with.
#[derive(Debug, Clone, PartialEq)]
pub struct Began {
    pub made: jiff::Timestamp,
    pub clone: CloneKind,
    /// Of all nodes.
    pub bytes: u64,
    /// What whoever kept it said of it.
    pub facts: serde_json::Value,
}

/// What a baseline is kept with.
#[derive(Debug, Clone, PartialEq)]
pub struct Keeping<'a> {
    pub key: &'a str,
    /// One line for people.
    pub what: String,
    /// For who begins with it.
    pub facts: serde_json::Value,
    /// Larger ones are not kept.
    pub most_bytes: u64,
}

/// What a baseline's manifest holds beside what its lab knows.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    nodes: Vec<StoredNode>,
    facts: serde_json::Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredNode {
    name: String,
    /// The superuser's, which is in the data.
    password: String,
    stored: Stored,
}

/// A baseline as the nodes begin with it.
pub(super) struct Origin {
    baseline: Baseline,
    content: Content,
}

impl Origin {
    /// None where it is of another shape than what is read today.
    pub fn of(baseline: Baseline, scenario: &Scenario) -> Option<Origin> {
        let content: Content = serde_json::from_value(baseline.manifest.content.clone()).ok()?;
        let names = content.nodes.iter().map(|node| &node.name);
        names.eq(scenario.topology.nodes.iter().map(|node| &node.name)).then_some(Origin { baseline, content })
    }

    /// What a node begins with.
    pub fn node(&self, name: &str) -> Option<StoredAt> {
        let node = self.content.nodes.iter().find(|node| node.name == name)?;
        let (baseline, stored, password) = (self.baseline.clone(), node.stored.clone(), node.password.clone());
        Some(StoredAt { baseline, stored, password })
    }

    pub fn began(&self, nodes: &[Node]) -> Began {
        let mut kinds: Vec<CloneKind> = nodes.iter().filter_map(Node::cloned).collect();
        // That of the largest, which shares files.
        kinds.sort_by_key(|kind| *kind != CloneKind::Overlay);
        Began {
            made: self.baseline.manifest.made,
            clone: kinds.first().copied().unwrap_or(CloneKind::Copy),
            bytes: self.baseline.manifest.bytes,
            facts: self.content.facts.clone(),
        }
    }
}

/// What the lab would run on each node, in their order: the same texts as long as the same is installed.
///
/// # Errors
/// The lab lacks something.
pub async fn software(scenario: &Scenario, lab: LabKind) -> Result<Vec<String>, TopologyError> {
    let engine = scenario.topology.engine;
    let mut found = Vec::new();
    for node in &scenario.topology.nodes {
        let software = server::software_of(engine, node);
        let mut one = lab::identity(lab, &software).await?;
        if let Some(programs) = lab::programs(lab, &software).await {
            match server::brought_along(engine, &programs).await {
                Ok(more) => more.into_iter().for_each(|(name, text)| one.extend([name, text])),
                // Without it the installation is a server alone.
                Err(error) => tracing::debug!(%error, "the installation does not say what it brings"),
            }
        }
        found.push(one);
    }
    Ok(found)
}

/// Whether there is a baseline of that key, as far as its folder says.
pub fn has_baseline(base: &Base, key: &str) -> bool {
    has(base, key)
}

/// Removes baselines that nobody uses, the longest unused first, until all together take no more than that.
///
/// # Errors
/// One cannot be removed.
pub async fn prune_baselines(base: &Base, most_bytes: u64) -> Result<(), TopologyError> {
    prune(base, Prune::ToBytes(most_bytes)).await?;
    Ok(())
}

impl Topology {
    /// Stops all nodes, copies their clusters as the baseline of that key, and starts them again. Their state before the plan is a clone of
    /// it from here on. Gives how each was copied, and its bytes, in the nodes' order; else, inside, why it is not kept: the nodes run as before
    /// then, and no state of theirs is kept.
    ///
    /// # Errors
    /// [`TopologyError`]: a server did not stop, or did not come back.
    pub async fn keep(&self, keeping: Keeping<'_>) -> Result<Result<Vec<(CloneKind, u64)>, String>, TopologyError> {
        if let Some(why) = self.no_room(keeping.most_bytes).await? {
            return Ok(Err(why));
        }
        self.stop_all().await?;
        let copied = async {
            let draft = self.lab.handle().draft().await?;
            let adding = self.nodes.iter().map(|node| node.store(&draft));
            let copied: Vec<_> = futures::stream::iter(adding).buffered(AT_ONCE).try_collect().await?;
            Ok::<_, TopologyError>((draft, copied))
        };
        let (mut draft, copied) = match copied.await {
            Ok(copied) => copied,
            Err(error) => {
                self.start_all().await?;
                return Ok(Err(with_causes(&error)));
            }
        };
        let kept = copied.iter().map(|(kind, stored)| (*kind, stored.bytes)).collect();
        let stored: Vec<Stored> = copied.into_iter().map(|(_, stored)| draft.add(stored)).collect();
        let node = |(node, stored): (&Node, &Stored)| StoredNode {
            name: node.name().to_owned(),
            password: node.password().to_owned(),
            stored: stored.clone(),
        };
        let Keeping { key, what, facts, .. } = keeping;
        let content = Content { nodes: self.nodes.iter().zip(&stored).map(node).collect(), facts };
        let content = serde_json::to_value(content).expect("plain data with text for keys");
        let (published, started) = join(draft.publish(key, what, content), self.start_all()).await;
        started?;
        let baseline = match published {
            Ok(baseline) => baseline,
            Err(error) => return Ok(Err(with_causes(&error))),
        };
        for (node, stored) in self.nodes.iter().zip(stored) {
            node.begins_with(StoredAt { baseline: baseline.clone(), stored, password: node.password().to_owned() });
        }
        Ok(Ok(kept))
    }

    /// Where nodes share files with a baseline: see [`Node::own`].
    ///
    /// # Errors
    /// [`TopologyError`].
    pub async fn own_files(&self) -> Result<(), TopologyError> {
        let sharing = self.nodes.iter().filter(|node| node.cloned() == Some(CloneKind::Overlay));
        try_join_all(sharing.map(Node::own)).await.map(|_| ())
    }

    async fn no_room(&self, most_bytes: u64) -> Result<Option<String>, TopologyError> {
        let disks = try_join_all(self.nodes.iter().map(Node::disk)).await?;
        let bytes: Option<u64> = disks.iter().map(|disk| disk.data_bytes).sum();
        let Some(bytes) = bytes else { return Ok(Some("how large it would be cannot be told".to_owned())) };
        let free = disks.iter().map(|disk| disk.free_bytes).min().unwrap_or_default();
        if bytes > most_bytes {
            return Ok(Some(format!("its {bytes} bytes are more than all may take, {most_bytes}")));
        }
        let needed = bytes.saturating_mul(2).saturating_add(SPARE_BYTES);
        Ok((free < needed).then(|| format!("{needed} bytes would have to be free on the disk, and {free} are")))
    }

    /// Those that get what others write first, for a writer's end waits for them.
    async fn stop_all(&self) -> Result<(), TopologyError> {
        try_join_all(self.nodes.iter().map(Node::rest)).await?;
        for nodes in [self.followers().collect::<Vec<_>>(), self.writers().collect()] {
            let stopped = join_all(nodes.iter().map(|node| node.stop_with(StopMode::Fast))).await;
            stopped.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// Writers first, so that the others find them where they are.
    async fn start_all(&self) -> Result<(), TopologyError> {
        for nodes in [self.writers().collect::<Vec<_>>(), self.followers().collect()] {
            try_join_all(nodes.iter().map(|node| node.start())).await?;
        }
        self.follow_again().await
    }

    /// Makes pairs and subscribers go on from where they were.
    pub(super) async fn follow_again(&self) -> Result<(), TopologyError> {
        for [one, other] in self.pairs() {
            try_join(one.follow_again(other, None), other.follow_again(one, None)).await?;
        }
        for writer in self.writers() {
            for node in self.followers_of(writer) {
                if let Some(feed) = node.feed() {
                    node.follow_again(writer, Some(&feed)).await?;
                }
            }
        }
        Ok(())
    }

    /// Proves that clones replicate, as far as a row of the heartbeat's database gets. For whom it does not, it moves the log, so that their
    /// position tells.
    pub(super) async fn prove_again(&self) -> Result<(), TopologyError> {
        for pair in self.pairs() {
            replication::prove_pair_again(pair).await?;
        }
        for writer in self.writers().filter(|writer| self.followers_of(writer).next().is_some()) {
            let replicas = self.followers_of(writer).filter(|node| node.replicates().is_some()).collect();
            replication::prove_again(writer, replicas).await?;
        }
        Ok(())
    }
}
