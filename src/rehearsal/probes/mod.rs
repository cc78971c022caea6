//! Open-loop probes: operations as users would do them, from the control run to the end, on fixed grids in time, whatever the plan does.
//!
//! Each probe's latency counts from its intended start, and a window in which it was down is told as it begins and as it ends. Probes
//! live on threads of their own and wait for nobody in this program.

mod group;
mod lag;
pub(super) mod pace;
mod probe;
pub(super) mod recorder;
mod windows;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::group::{Counted, Group, Plan, Setting};
use self::pace::Wish;
use self::probe::{Seat, Work};
use self::recorder::When;
use super::observing::{Numbers, Observing};
use super::routes::Lane;
use crate::engine::endpoint::Endpoint;
use crate::engine::probing::{self, DeriveError, Derived, Request, Script, TableName};
use crate::event::{Event, NotProbed, Operation, Phase, ProbeSpec};
use crate::scenario::{Address, ProbeKind, Probes};

/// Connections at most, whatever the server allows; never more than half of what it does.
const CONNECTIONS: usize = 40;

/// Sessions that tables beyond that share.
const SHARED: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum ProbesError {
    #[error("the probes could not be derived")]
    Derive(#[from] DeriveError),
    #[error("no thread for the probes")]
    Thread(#[source] std::io::Error),
}

/// What the probes of one node are made from.
#[derive(Debug, Clone, Copy)]
pub struct Preparation<'a> {
    pub node: &'a str,
    /// Reads the catalogs, and samples that the application may not read.
    pub superuser: &'a Endpoint,
    /// The application's login; see [`probing::log_in_as`].
    pub app: &'a Endpoint,
    pub probes: &'a Probes,
    /// Identifiers in the plan's text; none = it may touch any table, as a program may.
    pub touched: Option<&'a BTreeSet<String>>,
    /// Where there are several: "shard 2".
    pub shard: Option<&'a str>,
    /// Of the shards, for the budget that they share.
    pub shards: usize,
    pub numbers: &'a Numbers,
}

/// Probes derived and tried, not started yet.
#[derive(Debug)]
pub struct Prepared {
    node: String,
    superuser: Endpoint,
    app: Endpoint,
    config: Probes,
    shard: Option<String>,
    budget_per_s: f64,
    numbers: Numbers,
    specs: Vec<ProbeSpec>,
    plans: Vec<Plan>,
    connect: Option<Plan>,
    not_probed: Vec<NotProbed>,
    touched: Vec<TableName>,
    shared: usize,
    readers: usize,
}

/// Derives the probes and tries each one; nothing else should write to the database meanwhile.
///
/// # Errors
/// When the catalogs cannot be read, or the application's role cannot log in.
pub async fn prepare(what: &Preparation<'_>, cancel: &CancellationToken) -> Result<Prepared, ProbesError> {
    let Preparation { superuser, app, probes: config, touched, .. } = *what;
    let (superuser, app) = (superuser.named("rehearsal"), app.named("rehearsal probe"));
    let request = Request { superuser: &superuser, app: &app, timeout: config.timeout, touched };
    let mut derived = probing::derive(&request, cancel).await?;
    if !config.auto {
        derived.probes.clear();
        derived.not_probed.clear();
    }
    let connections = (derived.connections / 2).clamp(1, CONNECTIONS);
    let mut prepared = Prepared {
        node: what.node.to_owned(),
        superuser,
        app,
        config: config.clone(),
        shard: what.shard.map(str::to_owned),
        budget_per_s: config.budget_per_s / what.shards as f64,
        numbers: what.numbers.clone(),
        specs: Vec::new(),
        plans: Vec::new(),
        connect: None,
        not_probed: derived.not_probed.split_off(0),
        touched: derived.touched.split_off(0),
        shared: 0,
        readers: (derived.connections / 4).clamp(1, CONNECTIONS),
    };
    prepared.plan(derived, connections);
    Ok(prepared)
}

/// A probe before it has its interval and its seat.
struct Draft {
    name: String,
    table: Option<String>,
    operation: Operation,
    kind: ProbeKind,
    script: Script,
    wish: Wish,
    on: Address,
}

impl Prepared {
    /// Tables that the plan touches and that can be read on this server, for the readers kept open on them: as many as it has connections
    /// to spare.
    pub fn readers(&self) -> &[TableName] {
        &self.touched[..self.touched.len().min(self.readers)]
    }

    pub fn specs(&self) -> &[ProbeSpec] {
        &self.specs
    }

    pub fn not_probed(&self) -> &[NotProbed] {
        &self.not_probed
    }

    fn plan(&mut self, derived: Derived, connections: usize) {
        let engine = self.superuser.engine;
        let custom = self.config.custom.iter().map(|custom| Draft {
            name: custom.name.clone(),
            table: None,
            operation: Operation::Custom,
            kind: custom.kind,
            script: Script::custom(engine, &custom.sql, custom.commit),
            wish: Wish {
                touched: false,
                every: Some(custom.every.unwrap_or(self.config.every)),
                median: Duration::ZERO,
                burns: None,
            },
            on: custom.on.clone(),
        });
        let tables = derived.probes.into_iter().map(|probe| Draft {
            name: format!("{} {}", probe.table, probe.operation.name()),
            table: Some(probe.table),
            operation: probe.operation,
            kind: if probe.operation == Operation::Read { ProbeKind::Read } else { ProbeKind::Write },
            wish: Wish {
                touched: probe.touched,
                every: None,
                median: probe.median,
                burns: probe.script.burns().map(|burns| (burns.each, burns.left)),
            },
            script: probe.script,
            on: Address::Writer,
        });
        // Custom probes first: somebody asked for each of them.
        let drafts: Vec<Draft> = custom.chain(tables).filter(|draft| lasts(draft, &mut self.not_probed)).collect();
        let wishes: Vec<Wish> = drafts.iter().map(|draft| draft.wish).collect();
        let intervals = pace::intervals(&wishes, self.config.every, self.budget_per_s);
        self.shared = if drafts.len() > connections { SHARED.min(connections.div_ceil(4)) } else { 0 };
        let own = connections - self.shared;
        for (nth, (draft, every)) in drafts.into_iter().zip(intervals).enumerate() {
            // The shared ones are the writer's.
            let is_own = nth < own || self.shared == 0 || draft.on != Address::Writer;
            self.add(draft, every, if is_own { Seat::Own } else { Seat::Shared });
        }
        if self.config.auto {
            let id = self.numbers.probe();
            self.specs.push(ProbeSpec {
                id,
                name: self.named("connect".into()),
                table: None,
                operation: Operation::Connect,
                kind: ProbeKind::Connect,
                sql: String::new(),
                every_ms: millis(pace::CONNECT_EVERY),
                custom: false,
                touched: false,
                on: Address::Writer,
            });
            let (every, seat) = (pace::CONNECT_EVERY, Seat::Own);
            let (work, writes, allowance, on) = (Work::Connect, false, None, Address::Writer);
            self.connect = Some(Plan { id, work, writes, seat, every, allowance, on });
        }
    }

    /// A probe's name, which is nobody else's.
    fn named(&self, name: String) -> String {
        match &self.shard {
            Some(shard) => format!("{name}, {shard}"),
            None => name,
        }
    }

    fn add(&mut self, mut draft: Draft, every: Duration, seat: Seat) {
        let id = self.numbers.probe();
        self.specs.push(ProbeSpec {
            id,
            name: self.named(draft.name),
            table: draft.table,
            operation: draft.operation,
            kind: draft.kind,
            sql: draft.script.shown(),
            every_ms: millis(every),
            custom: draft.operation == Operation::Custom,
            touched: draft.wish.touched,
            on: draft.on.clone(),
        });
        let allowance = draft.wish.burns.map(pace::allowance);
        let (work, writes) = (Work::Script(Box::new(draft.script)), draft.kind == ProbeKind::Write);
        self.plans.push(Plan { id, work, writes, seat, every, allowance, on: draft.on });
    }

    /// Starts the probes: from here on they operate, in the control run, each where its address leads. Cancelling ends them at once.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        self,
        lane: &Lane,
        observing: &Observing,
        cancel: &CancellationToken,
    ) -> Result<ProbesHandle, ProbesError> {
        observing.events.send(Event::ProbesDerived {
            node: self.node,
            run_as: self.app.user.clone(),
            probes: self.specs,
            not_probed: self.not_probed,
        });
        let setting = |name, shared| Setting {
            name,
            lane: lane.clone(),
            down_after: self.config.down_after,
            timeout: self.config.timeout,
            every: self.config.every,
            shared,
            observing: observing.clone(),
            cancel: cancel.clone(),
        };
        let mut groups = vec![Group::start(setting("probes", self.shared), self.plans).map_err(ProbesError::Thread)?];
        // Apart, since a login's password costs CPU time here as well.
        if let Some(connect) = self.connect {
            groups.push(Group::start(setting("connect probe", 0), vec![connect]).map_err(ProbesError::Thread)?);
        }
        Ok(ProbesHandle { groups, superuser: self.superuser, wal_each: None, before_plan: None })
    }
}

/// The probes at work.
#[derive(Debug)]
pub struct ProbesHandle {
    groups: Vec<Group>,
    superuser: Endpoint,
    /// Log volume of one write, in bytes, as the control run showed it.
    wal_each: Option<f64>,
    /// Operations before the plan.
    before_plan: Option<Counted>,
}

/// What probes did from the plan's beginning on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    pub operations: u64,
    /// Log volume of their writes, in bytes, where it could be measured.
    pub wal_bytes: Option<u64>,
}

impl std::iter::Sum for Spent {
    /// Of the volume nothing is known where one of them does not know it.
    fn sum<I: Iterator<Item = Spent>>(spent: I) -> Spent {
        let both = |one: Spent, other: Spent| Spent {
            operations: one.operations + other.operations,
            wal_bytes: one.wal_bytes.zip(other.wal_bytes).map(|(one, other)| one + other),
        };
        spent.reduce(both).unwrap_or_default()
    }
}

impl ProbesHandle {
    /// The control run: the probes alone, for that long after all their sessions are open. Those that fail in it are given up.
    pub async fn control(&mut self, lasts: Duration) {
        let (wal_before, before) = (self.wal().await, self.counted().await);
        futures::future::join_all(self.groups.iter().map(|group| group.control(lasts))).await;
        let (wal_after, after) = (self.wal().await, self.counted().await);
        let writes = after.writes - before.writes;
        self.wal_each = wal_after
            .zip(wal_before)
            .filter(|_| writes > 0)
            .map(|(after, before)| after.saturating_sub(before) as f64 / writes as f64);
    }

    /// Goes on for that long, and until every probe had its answer to what began in it.
    pub async fn settle(&self, lasts: Duration) {
        futures::future::join_all(self.groups.iter().map(|group| group.settle(lasts))).await;
    }

    /// Keeps what begins from now on under this phase, and within the plan this step.
    pub async fn enter(&mut self, phase: Phase, step: Option<usize>) {
        if phase == Phase::Plan && self.before_plan.is_none() {
            self.before_plan = Some(self.counted().await);
        }
        self.groups.iter().for_each(|group| group.enter(When { phase, step }));
    }

    /// Ends the probes: windows still open are told with `to_the_end`, then the last summaries.
    pub async fn stop(self) -> Spent {
        let stops: Vec<Counted> = futures::future::join_all(self.groups.into_iter().map(Group::stop)).await;
        let (after, before) = (sum(stops), self.before_plan.unwrap_or_default());
        let writes = after.writes.saturating_sub(before.writes);
        Spent {
            operations: after.operations.saturating_sub(before.operations),
            wal_bytes: self.wal_each.map(|each| (each * writes as f64) as u64),
        }
    }

    async fn counted(&self) -> Counted {
        sum(futures::future::join_all(self.groups.iter().map(Group::counted)).await)
    }

    async fn wal(&self) -> Option<u64> {
        probing::log_position(&self.superuser).await.ok().flatten()
    }
}

fn sum(counted: Vec<Counted>) -> Counted {
    counted.into_iter().fold(Counted::default(), |sum, each| Counted {
        operations: sum.operations + each.operations,
        writes: sum.writes + each.writes,
    })
}

/// Whether there are numbers to spare of those that the probe uses up.
fn lasts(draft: &Draft, not_probed: &mut Vec<NotProbed>) -> bool {
    let enough = draft.wish.burns.is_none_or(|burns| pace::allowance(burns) > 0);
    if let (false, Some(table)) = (enough, &draft.table) {
        let reason = probing::HARDLY_ANY_LEFT.to_owned();
        not_probed.push(NotProbed { table: table.clone(), operation: Some(draft.operation), reason });
    }
    enough
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
