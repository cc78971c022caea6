//! Everyone who watches the plan or works beside it: probes, observers, readers, workloads, and those who look at replication; started and
//! stopped together.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::{OptionFuture, join, join_all, try_join_all};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::current::Current;
use super::dispatcher::Events;
use super::failure::Failure;
use super::observer::Observer;
use super::observing::Observing;
use super::owners::Owners;
use super::probes::{self, Preparation, ProbesHandle, Spent};
use super::readers::Readers;
use super::replication::Replication;
use super::routes::{Lane, Routes};
use super::workloads::{Against, Workloads};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::probing;
use crate::engine::workload::NodeNames;
use crate::event::{Event, Phase};
use crate::scenario::{Address, Probes, Routing, Scenario};
use crate::topology::{Node, Topology};

/// Those of every shard.
pub(super) struct Watching {
    pub routes: Routes,
    /// In the topology's order.
    shards: Vec<OnShard>,
    /// Of any node: what is counted and paid for together.
    observing: Observing,
    /// CPU time before the plan.
    cpu_before: Mutex<Option<Duration>>,
}

/// What they are told of the run beforehand.
#[derive(Clone, Copy)]
pub(super) struct Watched<'a> {
    pub topology: &'a Topology,
    pub scenario: &'a Scenario,
    /// Identifiers in the plan's text; none = a program may touch any table.
    pub touched: Option<&'a BTreeSet<String>>,
    /// What of a node stands in workloads.
    pub nodes: &'a NodeNames<'a>,
    /// Where users are sent when the plan begins.
    pub routing: &'a Routing,
    /// The plan changes that.
    pub routes: bool,
}

/// Those of one shard. Probes, readers and workloads are where its users are sent, which is to its writer when the plan begins.
struct OnShard {
    writer: String,
    /// Its other nodes.
    followers: Vec<String>,
    /// Steps tell them where the plan is, one at a time.
    probes: Mutex<ProbesHandle>,
    observer: Observer,
    /// Other nodes that users may be sent to.
    others: Vec<OnOther>,
    readers: Mutex<Option<Readers>>,
    workloads: Option<Workloads>,
    replication: Option<Replication>,
    observing: Observing,
}

struct OnOther {
    node: String,
    observer: Observer,
    observing: Observing,
}

impl Watching {
    /// Derives the probes and starts everyone. Readers are opened anew with each step.
    pub async fn start(watched: Watched<'_>, events: &Events, stop: &CancellationToken) -> Result<Watching, Failure> {
        let observing = Observing::new(events.clone());
        let consumers = watched.scenario.topology.consumers.iter().map(|consumer| consumer.name.clone());
        let routes = Routes::new(watched.routing.clone()).with_consumers(consumers.collect());
        let writers = watched.topology.writers().enumerate();
        let shards = writers.map(|(shard, writer)| {
            let lane = Lane { routes: routes.clone(), shard };
            OnShard::start(writer, lane, watched, observing.of_another_node(), stop)
        });
        let shards = try_join_all(shards).await?;
        Ok(Watching { routes, shards, observing, cpu_before: Mutex::new(None) })
    }

    pub async fn control(&self, lasts: Duration) {
        join_all(self.shards.iter().map(|shard| shard.control(lasts))).await;
    }

    /// Whose session is whose on that node; none where nobody looks at it.
    pub fn owners(&self, node: &str) -> Option<&Owners> {
        let others = self.shards.iter().flat_map(|shard| &shard.others);
        let mut known = self.shards.iter().map(|shard| (&shard.writer, &shard.observing));
        let other = || others.map(|other| (&other.node, &other.observing)).find(|(name, _)| *name == node);
        let (_, observing) = known.find(|(name, _)| *name == node).or_else(other)?;
        Some(&observing.owners)
    }

    /// Where to tell which statement of a step runs on that node, one of those that the step is on; none where another node's are told
    /// there: of a shard's nodes, those who measure watch the writer.
    pub fn current(&self, node: &str, on: &[String]) -> Option<&Current> {
        let shard = self.shards.iter().find(|shard| shard.has(node))?;
        let routing = self.routes.routing();
        let told = routing.is_writer(node) || !on.iter().any(|node| shard.has(node) && routing.is_writer(node));
        told.then_some(&shard.observing.current)
    }

    pub async fn enter_plan(&self) {
        *self.cpu_before.lock().await = Some(self.observing.cost.cpu());
        join_all(self.shards.iter().map(|shard| shard.enter(Phase::Plan, None))).await;
    }

    pub async fn enter_step(&self, step: usize) {
        join_all(self.shards.iter().map(|shard| async {
            shard.observing.current.set(step, None);
            for observing in shard.others.iter().map(|other| &other.observing).chain([&shard.observing]) {
                observing.owners.step_begins();
            }
            if let Some(readers) = &*shard.readers.lock().await {
                readers.freshen().await;
            }
            shard.enter(Phase::Plan, Some(step)).await;
        }))
        .await;
    }

    pub async fn leave_step(&self) {
        join_all(self.shards.iter().map(|shard| async {
            shard.observing.current.clear();
            shard.enter(Phase::Plan, None).await;
        }))
        .await;
    }

    pub async fn enter_after(&self) {
        join_all(self.shards.iter().map(|shard| async {
            if let Some(readers) = shard.readers.lock().await.take() {
                readers.close().await;
            }
            shard.enter(Phase::After, None).await;
        }))
        .await;
    }

    /// What the plan left behind: every probe runs once more, for that long at least.
    pub async fn settle(&self, lasts: Duration) {
        join_all(self.shards.iter().map(|shard| shard.settle(lasts))).await;
    }

    pub async fn stop(self) {
        let spent: Spent = join_all(self.shards.into_iter().map(OnShard::stop)).await.into_iter().sum();
        let before = self.cpu_before.into_inner().unwrap_or_default();
        self.observing.events.send(Event::ObservingCost {
            harness_cpu_s: self.observing.cost.cpu().saturating_sub(before).as_secs_f64(),
            probe_operations: spent.operations,
            probe_wal_bytes: spent.wal_bytes,
        });
    }
}

impl OnShard {
    async fn start(
        writer: &Node,
        lane: Lane,
        watched: Watched<'_>,
        observing: Observing,
        stop: &CancellationToken,
    ) -> Result<OnShard, Failure> {
        let Watched { topology, scenario, touched, nodes, .. } = watched;
        let config = &of_shard(&scenario.probes, &lane);
        let superuser = writer.endpoint();
        let app = probing::log_in_as(&superuser, config.run_as.as_deref(), writer.login_password()).await;
        let app = app.map_err(|error| on_node(writer, Failure::harness(&error, error.hint().map(str::to_owned))))?;
        lane.routes.let_in(writer.name(), &app, &superuser, &observing);
        let observer = Observer::start(writer.name(), &superuser, &lane.routes, &observing, stop)
            .map_err(|error| Failure::harness(&error, None))?;
        let mut others = Vec::new();
        for node in topology.followers_of(writer) {
            // Nobody is sent to a subscriber who does not ask for it by name, and it has none of the writer's roles.
            let may_be_sent_to = watched.routes && !node.is_subscriber();
            if may_be_sent_to || addresses(config, scenario).any(|on| watched.routing.leads_to(on, node.name())) {
                let other = OnOther::start(node, &app, &lane.routes, config, &observing, stop).await;
                others.push(other.map_err(|failure| on_node(node, failure))?);
            }
        }
        let shard = writer.shard().map(|shard| format!("shard {shard}"));
        let preparation = Preparation {
            node: writer.name(),
            superuser: &superuser,
            app: &app,
            probes: config,
            touched,
            shard: shard.as_deref(),
            shards: scenario.topology.shards(),
            numbers: &observing.numbers,
        };
        let prepared = probes::prepare(&preparation, stop).await;
        let prepared = prepared.map_err(|error| on_node(writer, Failure::harness(&error, None)))?;
        let against = Against { superuser: &superuser, app: &app, nodes, lane: &lane, probes: prepared.specs() };
        let workloads = Workloads::start(scenario, &against, &observing, stop).await;
        let workloads = workloads.map_err(|failure| on_node(writer, failure))?;
        let readers = match config.open_transaction {
            Some(hold) => Some(Readers::open(&lane, prepared.readers(), hold, &observing, stop).await),
            None => None,
        };
        let probes = prepared.start(&lane, &observing, stop).map_err(|error| Failure::harness(&error, None))?;
        let followers: Vec<&Node> = topology.followers_of(writer).collect();
        let replication = match &followers[..] {
            [] => None,
            followers => Some(
                Replication::start(writer, followers, &lane.routes, &observing, stop)
                    .map_err(|error| Failure::harness(&error, None))?,
            ),
        };
        Ok(OnShard {
            writer: writer.name().to_owned(),
            followers: followers.iter().map(|node| node.name().to_owned()).collect(),
            probes: Mutex::new(probes),
            observer,
            others,
            readers: Mutex::new(readers),
            workloads,
            replication,
            observing,
        })
    }

    fn has(&self, node: &str) -> bool {
        self.writer == node || self.followers.iter().any(|follower| follower == node)
    }

    async fn control(&self, lasts: Duration) {
        let traffic: OptionFuture<_> = self.workloads.as_ref().map(|workloads| workloads.control(lasts)).into();
        join(async { self.probes.lock().await.control(lasts).await }, traffic).await;
    }

    /// Tells everybody where the run is, whatever begins from now on.
    async fn enter(&self, phase: Phase, step: Option<usize>) {
        if let Some(workloads) = &self.workloads {
            workloads.enter(phase, step);
        }
        self.probes.lock().await.enter(phase, step).await;
    }

    async fn settle(&self, lasts: Duration) {
        let traffic: OptionFuture<_> = self.workloads.as_ref().map(|workloads| workloads.settle(lasts)).into();
        join(async { self.probes.lock().await.settle(lasts).await }, traffic).await;
    }

    async fn stop(self) -> Spent {
        if let Some(readers) = self.readers.into_inner() {
            readers.close().await;
        }
        if let Some(workloads) = self.workloads {
            workloads.stop().await;
        }
        let spent = self.probes.into_inner().stop().await;
        self.observer.stop().await;
        join_all(self.others.into_iter().map(|other| other.observer.stop())).await;
        if let Some(replication) = self.replication {
            replication.stop().await;
        }
        spent
    }
}

impl OnOther {
    /// `app` is the application's login on the shard's writer.
    async fn start(
        node: &Node,
        app: &Endpoint,
        routes: &Routes,
        config: &Probes,
        of_writer: &Observing,
        stop: &CancellationToken,
    ) -> Result<OnOther, Failure> {
        let (superuser, observing) = (node.endpoint(), of_writer.of_another_node());
        let login = if superuser.engine == EngineKind::Postgres && node.replicates().is_some() {
            // A physical replica has its writer's roles, and makes none.
            Endpoint { host: superuser.host.clone(), port: superuser.port, ..app.clone() }
        } else {
            probing::log_in_as(&superuser, config.run_as.as_deref(), node.login_password())
                .await
                .map_err(|error| Failure::harness(&error, error.hint().map(str::to_owned)))?
        };
        routes.let_in(node.name(), &login, &superuser, &observing);
        let observer = Observer::start(node.name(), &superuser, routes, &observing, stop)
            .map_err(|error| Failure::harness(&error, None))?;
        Ok(OnOther { node: node.name().to_owned(), observer, observing })
    }
}

/// Of several, which one it was.
fn on_node(node: &Node, failure: Failure) -> Failure {
    failure.of(&format!("node {}", node.name()))
}

/// Those by which somebody asks for other nodes than the writer.
fn addresses<'a>(probes: &'a Probes, scenario: &'a Scenario) -> impl Iterator<Item = &'a Address> {
    let of_probes = probes.custom.iter().map(|probe| &probe.on);
    of_probes.chain(scenario.workloads.iter().map(|workload| &workload.on))
}

/// The probes of one shard: of the custom ones, those whose address leads to one of its nodes.
fn of_shard(probes: &Probes, lane: &Lane) -> Probes {
    let routing = lane.routes.routing();
    let is_of = |on: &_| routing.target(on, lane.shard, 0).is_some();
    let custom = probes.custom.iter().filter(|probe| is_of(&probe.on)).cloned().collect();
    Probes { custom, ..probes.clone() }
}
