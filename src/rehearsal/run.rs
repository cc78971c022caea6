//! One rehearsal from beginning to end: servers up, snapshot in, before state kept, probes alone, plan through, compared, servers down.
//!
//! Nothing here judges: whatever happens becomes an event, and the outcome is a fold of those.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use tokio_util::sync::CancellationToken;

use super::consumers::{Around, Consumers, Planned};
use super::dispatcher::Events;
use super::failure::{Failure, LOG_LINES, died, explained, machines_trouble};
use super::plan;
use super::program;
use super::replication::{self, Why};
use super::routes::consumer_login;
use super::routing;
use super::step::Runner;
use super::watching::{Watched, Watching};
use crate::diff::{self, CompareOptions, DiffError};
use crate::engine::reading::ReadError;
use crate::engine::release::Lineage;
use crate::engine::server;
use crate::event::{DiffResult, Event, Phase, with_causes};
use crate::scenario::{Routing, Scenario};
use crate::snapshot::{self, Offer};
use crate::topology::{Base, LabKind, Node, Released, Topology, TopologyRequest};

/// How long the probes run alone before the plan: a hundred operations of each on a touched table.
const CONTROL: Duration = Duration::from_secs(2);

/// How long they run on after it, so that what the last statement broke shows.
const AFTER: Duration = Duration::from_secs(1);

/// Samples of each table's differing rows, where values were asked for.
pub(super) const SAMPLES: usize = 5;

/// For a server to let somebody in that had to recover.
const RECOVERS: Duration = Duration::from_secs(20);

/// What is rehearsed, and where its files go.
pub struct Rehearsal<'a> {
    pub scenario: &'a Scenario,
    pub lab: LabKind,
    /// Where labs live on this machine.
    pub base: &'a Base,
    pub run: &'a str,
    pub folder: &'a Path,
    pub keep: bool,
    pub show_values: bool,
    /// The snapshot, where it could be read without a host's programs.
    pub snapshot: Option<snapshot::Prepared>,
    /// Identifiers in the plan's text; none = a program may touch any table.
    pub touched: Option<BTreeSet<String>>,
    /// None = no baseline is used or kept.
    pub caching: Option<Caching>,
}

/// The baseline that a run may begin with, and that is kept of it otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caching {
    pub key: String,
    /// How much of baselines stays on this machine.
    pub most_bytes: u64,
    /// Files of the setup's scripts.
    pub setup_files: BTreeSet<PathBuf>,
}

/// Rehearses. Gives what `--keep` left running; every other server that it started is gone when it returns.
pub async fn rehearse(rehearsal: &Rehearsal<'_>, events: &Events, cancel: &CancellationToken) -> Option<Released> {
    carry_out(rehearsal, Extent::Whole, events, cancel).await
}

/// The beginning alone: servers up, snapshot in, setup done. Gives the lab, left running; none, with nothing left of it, where an event
/// says why.
pub async fn bring_up(rehearsal: &Rehearsal<'_>, events: &Events, cancel: &CancellationToken) -> Option<Released> {
    carry_out(rehearsal, Extent::UpToPlan, events, cancel).await
}

/// How much of a rehearsal is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    UpToPlan,
}

async fn carry_out(
    rehearsal: &Rehearsal<'_>,
    extent: Extent,
    events: &Events,
    cancel: &CancellationToken,
) -> Option<Released> {
    let topology = match start(rehearsal, events, cancel).await {
        Ok(topology) => topology,
        Err(failure) => {
            tell(events, failure);
            return None;
        }
    };
    let stop = cancel.child_token();
    let gone = Gone::new();
    let ended = {
        let released = Arc::new(AtomicBool::new(false));
        let stages = Stages { rehearsal, events, topology: &topology, stop: &stop, released: &released };
        let writers = topology.writers().map(|writer| watch_server(writer, &gone, &stop));
        let replicas = topology.followers().map(|replica| watch_replica(replica, events, &gone, &stop, &released));
        tokio::select! {
            ended = stages.to(extent) => ended,
            // Polled beside the stages: they tell them to stop, and they end by themselves.
            _ = join_all(writers) => unreachable!("they watch to the end"),
            _ = join_all(replicas), if topology.followers().next().is_some() => unreachable!("they watch to the end"),
        }
    };
    let keep = match extent {
        Extent::Whole => rehearsal.keep,
        Extent::UpToPlan => ended.is_ok() && !stop.is_cancelled(),
    };
    if let Some((node, how)) = gone.into_inner() {
        tell(events, died(node, how).await);
    } else if let Err(failure) = ended
        // Once it was told to stop, what failed on the way is no news.
        && !stop.is_cancelled()
    {
        tell(events, explained(failure, &topology).await);
    }
    // Whoever a failure left watching holds the events open until told to stop.
    stop.cancel();
    finish(topology, keep, events, cancel).await
}

async fn start(rehearsal: &Rehearsal<'_>, events: &Events, cancel: &CancellationToken) -> Result<Topology, Failure> {
    let logs = rehearsal.folder.join("logs");
    let request = TopologyRequest {
        scenario: rehearsal.scenario,
        lab: rehearsal.lab.into(),
        run: rehearsal.run,
        logs: &logs,
        base: rehearsal.base,
        baseline: rehearsal.caching.as_ref().map(|caching| caching.key.as_str()),
    };
    let started = Instant::now();
    events.send(Event::PhaseStarted { phase: Phase::Start });
    let topology = Topology::start(&request, cancel).await?;
    if let Some(why) = topology.not_cloned() {
        events.send(Event::Warned {
            what: format!("the baseline that was kept was of no use, and all was restored anew: {why}"),
        });
    }
    if let Some(began) = topology.began() {
        let elapsed_ms = millis(started.elapsed());
        events.send(Event::BaselineCloned { made: began.made, clone: began.clone, bytes: began.bytes, elapsed_ms });
    }
    for node in topology.nodes() {
        events.hide(&node.endpoint().password);
        events.hide(node.login_password());
        events.send(Event::NodeReady {
            node: node.name().to_owned(),
            engine: rehearsal.scenario.topology.engine.name().to_owned(),
            version: node.version(),
            elapsed_ms: millis(started.elapsed()),
            relaxed: node.relaxed(),
        });
    }
    events.send(Event::PhaseEnded { phase: Phase::Start, elapsed_ms: millis(started.elapsed()) });
    Ok(topology)
}

/// The first node whose server ended without being asked, which ends the run, and how it did.
type Gone<'n> = OnceLock<(&'n Node, String)>;

/// A server that ends without being asked makes the run inconclusive, whatever was going on. All work is told to stop at once: what fails
/// with the server must not be taken for a failure of its own.
async fn watch_server<'n>(node: &'n Node, gone: &Gone<'n>, stop: &CancellationToken) -> std::convert::Infallible {
    let how = node.exited().await;
    // Whoever was first is the reason.
    let _ = gone.set((node, how));
    stop.cancel();
    std::future::pending().await
}

/// A replica that the plan ended is the release's doing, and the run goes on without it.
async fn watch_replica<'n>(
    replica: &'n Node,
    events: &Events,
    gone: &Gone<'n>,
    stop: &CancellationToken,
    released: &AtomicBool,
) -> std::convert::Infallible {
    let how = replica.exited().await;
    let by_itself = how.starts_with("exit status") && machines_trouble(replica).await.is_none();
    if released.load(Ordering::Relaxed) && by_itself {
        let what = format!("its server ended by itself: {how}");
        let (node, log) = (replica.name().to_owned(), replica.log_tail(LOG_LINES).await);
        events.send(Event::ReplicationBroken { node, what, behind_bytes: None, log });
        replica.gone().await;
    } else {
        // Whoever was first is the reason.
        let _ = gone.set((replica, how));
        stop.cancel();
    }
    std::future::pending().await
}

async fn finish(topology: Topology, keep: bool, events: &Events, cancel: &CancellationToken) -> Option<Released> {
    let started = Instant::now();
    events.send(Event::PhaseStarted { phase: Phase::Stop });
    let ended = if keep && !cancel.is_cancelled() {
        topology.release().await.map(Some)
    } else {
        topology.shutdown().await.map(|()| None)
    };
    let released = ended.unwrap_or_else(|error| {
        events.send(Event::Warned { what: format!("the lab did not end in order: {}", with_causes(&error)) });
        None
    });
    events.send(Event::PhaseEnded { phase: Phase::Stop, elapsed_ms: millis(started.elapsed()) });
    released
}

pub(super) struct Stages<'a> {
    pub rehearsal: &'a Rehearsal<'a>,
    pub events: &'a Events,
    pub topology: &'a Topology,
    pub stop: &'a CancellationToken,
    /// The plan has begun.
    released: &'a Arc<AtomicBool>,
}

impl Stages<'_> {
    async fn to(&self, extent: Extent) -> Result<(), Failure> {
        match extent {
            Extent::Whole => self.all().await,
            Extent::UpToPlan => {
                let facts = self.phase(Phase::Restore, self.ready()).await?;
                if let (Some(caching), Some(facts)) = (&self.rehearsal.caching, &facts) {
                    self.phase(Phase::Keep, self.unless_stopped(self.keep_baseline(caching, facts))).await?;
                }
                for consumer in &self.rehearsal.scenario.topology.consumers {
                    let what = format!("consumer \"{}\" is not run: it belongs to a rehearsal", consumer.name);
                    self.events.send(Event::Warned { what });
                }
                self.unless_stopped(async { Ok(self.topology.as_in_production().await?) }).await
            }
        }
    }

    async fn all(&self) -> Result<(), Failure> {
        let facts = self.phase(Phase::Restore, self.ready()).await?;
        self.phase(Phase::Keep, self.unless_stopped(self.keep(facts.as_ref()))).await?;
        let consumers = self.unless_stopped(self.consumers()).await?;
        let after = self.watched().await;
        consumers.stop().await;
        after?;
        self.phase(Phase::Compare, self.unless_stopped(self.compare())).await
    }

    /// The plan, and whoever watches it.
    async fn watched(&self) -> Result<(), Failure> {
        let watching = self.phase(Phase::Control, self.unless_stopped(self.watch())).await?;
        let plan = self.phase(Phase::Plan, self.plan(&watching)).await;
        let after = match plan {
            Ok(()) => self.phase(Phase::After, self.after(&watching)).await,
            stopped => stopped,
        };
        watching.stop().await;
        after
    }

    /// Starts the programs that are kept running beside the nodes.
    async fn consumers(&self) -> Result<Consumers, Failure> {
        let runner = self.runner(None);
        let mut planned = Vec::new();
        for (position, consumer) in self.rehearsal.scenario.topology.consumers.iter().enumerate() {
            let node = runner.node(&consumer.of);
            let endpoint = match &consumer.run_as {
                Some(role) => node.endpoint_as(role).await?,
                None => node.endpoint_of_program(&consumer_login(position)).await?,
            };
            let command = program::substituted(&runner, &consumer.command);
            planned.push(Planned { name: consumer.name.clone(), node: consumer.of.clone(), command, endpoint });
        }
        let around = Around {
            passwords: self.topology.passwords(),
            scratch: self.writer().lab_folder().to_owned(),
            folder: self.rehearsal.folder.to_owned(),
            events: self.events.clone(),
            released: Arc::clone(self.released),
            stop: self.stop.clone(),
        };
        Ok(Consumers::start(planned, &around))
    }

    async fn phase<T>(&self, phase: Phase, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        if self.stop.is_cancelled() {
            return Err(Failure::Stopped);
        }
        let started = Instant::now();
        self.events.send(Event::PhaseStarted { phase });
        let result = work.await;
        self.events.send(Event::PhaseEnded { phase, elapsed_ms: millis(started.elapsed()) });
        result
    }

    /// For work that may be dropped at any point.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            result = work => result,
            () = self.stop.cancelled() => Err(Failure::Stopped),
        }
    }

    async fn watch(&self) -> Result<Watching, Failure> {
        let Rehearsal { scenario, touched, .. } = self.rehearsal;
        let runner = self.runner(None);
        let nodes = |name: &str, field| Some(runner.node_field(name, field));
        let watched = Watched {
            topology: self.topology,
            scenario,
            touched: touched.as_ref(),
            nodes: &nodes,
            routing: &Routing::of(&scenario.topology),
            routes: scenario.routes(),
        };
        let watching = Watching::start(watched, self.events, self.stop).await?;
        watching.control(CONTROL).await;
        Ok(watching)
    }

    async fn plan(&self, watching: &Watching) -> Result<(), Failure> {
        let steps = &self.rehearsal.scenario.steps;
        let mut logins = BTreeSet::new();
        for role in steps.iter().flat_map(|step| step.undo.iter().chain([step])).filter_map(|step| step.run_as.as_ref())
        {
            if self.writer().endpoint_as(role).await.is_ok() {
                logins.insert(role.clone());
            }
        }
        // From here on a replica that ends is the release's doing.
        for replica in self.topology.followers() {
            if let Some(how) = replica.exit().await {
                return Err(died(replica, how).await);
            }
        }
        routing::begin(self.rehearsal.folder, &watching.routes.routing(), self.topology)?;
        self.released.store(true, Ordering::Relaxed);
        // Workloads rest or begin with the plan, and not with its first step.
        watching.enter_plan().await;
        plan::run(&Runner { logins, ..self.runner(Some(watching)) }, steps).await
    }

    async fn after(&self, watching: &Watching) -> Result<(), Failure> {
        watching.enter_after().await;
        tokio::select! {
            _ = join(watching.settle(AFTER), self.replicas_settle()) => Ok(()),
            () = self.stop.cancelled() => Err(Failure::Stopped),
        }
    }

    /// Whether what the plan wrote arrives on every replica.
    async fn replicas_settle(&self) {
        let links = self.topology.links().map(|(from, replica)| async move { (from, from.is_up().await, replica) });
        let links = join_all(links).await.into_iter().filter(|(_, is_up, _)| *is_up);
        join_all(links.map(|(from, _, replica)| async move {
            let (began, node) = (Instant::now(), replica.name().to_owned());
            let behind = match replication::caught_up(from, replica, None).await {
                Ok(()) => return self.events.send(Event::CaughtUp { node, elapsed_ms: millis(began.elapsed()) }),
                Err(behind) => behind,
            };
            if replica.is_gone() {
                return;
            }
            let log = replica.log_tail(LOG_LINES).await;
            match (machines_trouble(replica).await, behind.why) {
                (Some(trouble), _) => tell(self.events, Failure::trouble(trouble, &node, &behind.words(), log)),
                (None, Why::ForGood) => {
                    let (what, behind_bytes) = (behind.what, behind.bytes);
                    self.events.send(Event::ReplicationBroken { node, what, behind_bytes, log });
                }
                (None, Why::Late | Why::Unknown) => {
                    let what = format!("whether {node} has everything was not seen: {}", behind.words());
                    let hint = "let the plan wait for it, with `wait = { for = \"caught_up\", deadline = … }`";
                    tell(self.events, Failure::Harness { what, hint: Some(hint.to_owned()), log });
                }
            }
        }))
        .await;
    }

    /// One writer after the other.
    async fn compare(&self) -> Result<(), Failure> {
        for node in self.topology.writers() {
            self.compare_on(node).await?;
        }
        Ok(())
    }

    async fn compare_on(&self, node: &Node) -> Result<(), Failure> {
        let started = Instant::now();
        if !node.is_up().await {
            let name = node.name();
            let what =
                format!("the server of node {name} was not up after the plan, so that there was nothing to compare");
            self.events.send(Event::Warned { what });
            return Ok(());
        }
        let before = node.start_before().await?;
        let samples = if self.rehearsal.show_values { SAMPLES } else { 0 };
        let cancel = self.stop.clone();
        let options = CompareOptions { schema: true, data: true, samples, cancel, ..CompareOptions::default() };
        let diff = compared(&before, node, &options).await;
        before.stop().await?;
        let diff = diff.map_err(|error| match error {
            DiffError::Cancelled => Failure::Stopped,
            error => Failure::harness(&error, None),
        })?;
        let node = node.name().to_owned();
        self.events.send(Event::Compared { node, diff: Box::new(diff), elapsed_ms: millis(started.elapsed()) });
        Ok(())
    }

    /// The first shard's.
    pub fn writer(&self) -> &Node {
        self.topology.writers().next().expect("a topology has a writer")
    }

    pub fn runner<'s>(&'s self, watching: Option<&'s Watching>) -> Runner<'s> {
        Runner {
            scenario: self.rehearsal.scenario,
            topology: self.topology,
            events: self.events,
            watching,
            folder: self.rehearsal.folder,
            show_values: self.rehearsal.show_values,
            lineage: Lineage::default(),
            logins: BTreeSet::new(),
            stop: self.stop,
        }
    }
}

/// A node's state before the plan against what it is now. A server that recovers from a session's crash lets nobody in meanwhile.
async fn compared(before: &Node, now: &Node, options: &CompareOptions) -> Result<DiffResult, DiffError> {
    let began = Instant::now();
    loop {
        match diff::compare(&before.endpoint(), &now.endpoint(), options).await {
            Err(DiffError::Side { source: ReadError::Connect { .. }, .. }) if began.elapsed() < RECOVERS => {
                tokio::time::sleep(RECOVERS / 100).await;
            }
            compared => return compared,
        }
    }
}

/// What the scenario's node is, for a snapshot that asks. Without the node itself, extensions are left for later.
pub fn offer<'a>(scenario: &'a Scenario, node: Option<&'a Node>) -> Offer<'a> {
    Offer {
        version: scenario.version(),
        node: own_version(scenario),
        superuser: server::superuser(scenario.topology.engine),
        database: &scenario.snapshot.database,
        extensions: &scenario.writer().extensions,
        replicated: scenario.topology.nodes.len() > 1,
        host: node.map(Node::host),
    }
}

/// The node's name, where its version is its own and not the topology's.
pub(super) fn own_version(scenario: &Scenario) -> Option<&str> {
    (scenario.version() != scenario.topology.version).then_some(&scenario.writer().name)
}

/// What the node's data takes at this moment.
pub(super) async fn tell_disk(node: &Node, events: &Events) {
    match node.disk().await {
        Ok(disk) => events.send(Event::Disk {
            node: node.name().to_owned(),
            data_bytes: disk.data_bytes,
            free_bytes: disk.free_bytes,
        }),
        Err(error) => events.send(Event::Warned { what: with_causes(&error) }),
    }
}

fn tell(events: &Events, failure: Failure) {
    if let Failure::Harness { what, hint, log } = failure {
        events.send(Event::HarnessFailed { what, hint, log });
    }
}

pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
