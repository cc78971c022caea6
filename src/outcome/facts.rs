//! The records of a run, sorted by what they are about: what every rule reads.

mod windows;

use std::collections::{BTreeMap, BTreeSet};

pub use self::windows::{WaitFacts, WindowFacts, is_only_late};
use super::traffic::{ConsumerFacts, TrafficFacts, WorkloadFailure};
use super::words::bare;
use crate::event::{
    CloneKind, DiffResult, Event, LagSample, NotProbed, Owner, Phase, ProbeSpec, ProbeSummary, Recorded, Session,
    Statement, StepError, StepResult, StepRole, TableSize, WorkloadSummary,
};
use crate::scenario::{self, Routing, Scenario};
use crate::stats::{Interval, covered_ms};

/// Borrowed from the records, in their order.
pub struct Facts<'a> {
    pub run: &'a str,
    pub version: &'a str,
    pub started: jiff::Timestamp,
    pub scenario: &'a Scenario,
    pub lab: &'a str,
    pub cores: usize,
    pub notes: &'a [String],
    pub phases: Vec<PhaseRun>,
    pub nodes: Vec<NodeFacts<'a>>,
    /// The last count of each table, by bare name.
    pub sizes: BTreeMap<&'a str, &'a TableSize>,
    pub clone: Option<CloneKind>,
    /// When the baseline was made that the nodes began with.
    pub baseline: Option<jiff::Timestamp>,
    pub probes: BTreeMap<u32, ProbeFacts<'a>>,
    pub not_probed: Vec<(u64, &'a NotProbed)>,
    /// Tables on which a transaction was kept open, by bare name.
    pub readers: BTreeSet<&'a str>,
    pub steps: Vec<StepRun<'a>>,
    pub windows: Vec<WindowFacts<'a>>,
    pub waits: Vec<WaitFacts<'a>>,
    pub summaries: Vec<(u64, &'a ProbeSummary)>,
    pub workload_summaries: Vec<&'a WorkloadSummary>,
    pub workload_failures: Vec<WorkloadFailure<'a>>,
    /// On which nodes a workload was given up, and why, by its position.
    pub workloads_dropped: BTreeMap<usize, Vec<(&'a str, &'a str)>>,
    pub traffic: Vec<TrafficFacts<'a>>,
    pub consumers: Vec<ConsumerFacts<'a>>,
    pub disk: Vec<(&'a str, Option<u64>, u64)>,
    pub lag: Vec<LagFacts<'a>>,
    pub standstills: Vec<Standstill<'a>>,
    /// Replicas that had everything in the end.
    pub caught_up: BTreeMap<&'a str, f64>,
    /// Of each writer, its state before the plan against what it was after it.
    pub diffs: Vec<Diffed<'a>>,
    pub comparisons: Vec<Comparison<'a>>,
    /// Where users were when the plan began.
    pub routing: Routing,
    pub routed: Vec<Routed<'a>>,
    /// Steps that would have left a shard without a side.
    pub refused: Vec<RefusedRoute<'a>>,
    /// Clients on nodes that were out.
    pub strays: Vec<Stray<'a>>,
    pub failures: Vec<Failure<'a>>,
    pub warned: Vec<&'a str>,
    pub signal: Option<i32>,
    pub lag_max_ms: f64,
    pub cost: Option<(f64, Option<u64>)>,
    pub ended: bool,
    /// The last moment that the log knows of.
    pub end_ms: f64,
}

#[derive(Debug, Clone, Copy)]
pub struct PhaseRun {
    pub phase: Phase,
    pub started_ms: f64,
    pub elapsed_ms: Option<f64>,
}

pub struct NodeFacts<'a> {
    pub name: &'a str,
    pub engine: &'a str,
    pub version: &'a str,
    pub ready_ms: f64,
    pub relaxed: &'a BTreeMap<String, String>,
}

pub struct ProbeFacts<'a> {
    pub spec: &'a ProbeSpec,
    pub node: &'a str,
    pub dropped: Option<(u64, &'a str)>,
}

/// One run of one step. An undo's steps carry the position of the step that they take back.
pub struct StepRun<'a> {
    pub seq: u64,
    pub step: usize,
    pub role: StepRole,
    pub name: &'a str,
    pub node: &'a str,
    pub action: &'a str,
    pub started_ms: f64,
    pub statements: Vec<(u64, &'a Statement)>,
    pub ended: Option<StepEnd<'a>>,
}

pub struct StepEnd<'a> {
    pub seq: u64,
    pub result: StepResult,
    pub elapsed_ms: f64,
    pub error: Option<&'a StepError>,
    pub output: Option<&'a str>,
    pub rows: Option<&'a Vec<Vec<String>>>,
}

/// What the plan changed on one writer.
pub struct Diffed<'a> {
    pub seq: u64,
    /// Empty in logs of before there were shards.
    pub node: &'a str,
    pub diff: &'a DiffResult,
}

/// What differs between two nodes that a step compared: what is on the first before, what is on the second after.
pub struct Comparison<'a> {
    pub seq: u64,
    pub step: usize,
    pub role: StepRole,
    pub nodes: &'a [String; 2],
    pub diff: &'a DiffResult,
}

/// Where users are from then on.
pub struct Routed<'a> {
    pub seq: u64,
    pub at_ms: f64,
    pub step: usize,
    pub role: StepRole,
    pub routing: &'a Routing,
}

/// A step that the list refused.
pub struct RefusedRoute<'a> {
    pub seq: u64,
    pub step: usize,
    pub role: StepRole,
    pub nodes: &'a [String],
    pub what: &'a str,
}

/// A client that was seen on a node which was out.
pub struct Stray<'a> {
    pub seq: u64,
    pub at_ms: f64,
    pub node: &'a str,
    pub session: &'a Session,
    pub user: &'a str,
}

/// How far a replica was behind between two events.
pub struct LagFacts<'a> {
    pub seq: u64,
    pub at_ms: f64,
    pub sample: &'a LagSample,
}

/// A replica that will not go on.
pub struct Standstill<'a> {
    pub seq: u64,
    pub at_ms: f64,
    pub node: &'a str,
    pub what: &'a str,
    pub behind_bytes: Option<u64>,
    pub log: &'a [String],
}

pub struct Failure<'a> {
    pub what: &'a str,
    pub hint: Option<&'a str>,
    pub log: &'a [String],
}

impl<'a> StepRun<'a> {
    /// Until it ended, or until the log did.
    pub fn interval(&self, end_ms: f64) -> Interval {
        let elapsed = self.ended.as_ref().map(|end| end.elapsed_ms);
        Interval::new(self.started_ms, elapsed.map_or(end_ms, |elapsed| self.started_ms + elapsed))
    }

    pub fn done(&self) -> Option<&StepEnd<'a>> {
        self.ended.as_ref().filter(|end| end.result == StepResult::Done)
    }
}

impl<'a> Facts<'a> {
    /// Nothing if the records do not begin with a run's start.
    pub fn gather(records: &'a [Recorded]) -> Option<Facts<'a>> {
        let Event::RunStarted { run, version, started, scenario, lab, cores, notes, .. } = &records.first()?.event
        else {
            return None;
        };
        let mut facts = Facts {
            run,
            version,
            started: *started,
            scenario,
            lab,
            cores: *cores,
            notes,
            phases: Vec::new(),
            nodes: Vec::new(),
            sizes: BTreeMap::new(),
            clone: None,
            baseline: None,
            probes: BTreeMap::new(),
            not_probed: Vec::new(),
            readers: BTreeSet::new(),
            steps: Vec::new(),
            windows: Vec::new(),
            waits: Vec::new(),
            summaries: Vec::new(),
            workload_summaries: Vec::new(),
            workload_failures: Vec::new(),
            workloads_dropped: BTreeMap::new(),
            traffic: Vec::new(),
            consumers: Vec::new(),
            disk: Vec::new(),
            lag: Vec::new(),
            standstills: Vec::new(),
            caught_up: BTreeMap::new(),
            diffs: Vec::new(),
            comparisons: Vec::new(),
            routing: Routing::of(&scenario.topology),
            routed: Vec::new(),
            refused: Vec::new(),
            strays: Vec::new(),
            failures: Vec::new(),
            warned: Vec::new(),
            signal: None,
            lag_max_ms: 0.0,
            cost: None,
            ended: false,
            end_ms: 0.0,
        };
        records.iter().for_each(|recorded| facts.take(recorded));
        for window in facts.windows.iter_mut().filter(|window| window.down.is_none()) {
            window.interval = Interval::new(window.interval.start_ms, facts.end_ms);
        }
        Some(facts)
    }

    fn take(&mut self, recorded: &'a Recorded) {
        let seq = recorded.seq;
        self.end_ms = self.end_ms.max(recorded.at_ms);
        match &recorded.event {
            Event::PhaseStarted { phase } => {
                self.phases.push(PhaseRun { phase: *phase, started_ms: recorded.at_ms, elapsed_ms: None });
            }
            Event::PhaseEnded { phase, elapsed_ms } => {
                if let Some(run) = self.phases.iter_mut().rev().find(|run| run.phase == *phase) {
                    run.elapsed_ms = Some(*elapsed_ms);
                }
            }
            Event::NodeReady { node, engine, version, elapsed_ms, relaxed } => {
                self.nodes.retain(|known| known.name != node);
                self.nodes.push(NodeFacts { name: node, engine, version, ready_ms: *elapsed_ms, relaxed });
            }
            Event::Restored { tables, .. } => {
                self.sizes.extend(tables.iter().map(|size| (bare(&size.table), size)));
            }
            Event::BeforeKept { clone, .. } => self.clone = Some(*clone),
            Event::BaselineCloned { made, clone, .. } => {
                self.clone = Some(*clone);
                self.baseline = Some(*made);
            }
            Event::ProbesDerived { node, probes, not_probed, .. } => {
                let known = probes.iter().map(|spec| (spec.id, ProbeFacts { spec, node, dropped: None }));
                self.probes.extend(known);
                self.not_probed.extend(not_probed.iter().map(|none| (seq, none)));
            }
            Event::ProbeDropped { probe, reason } => {
                if let Some(facts) = self.probes.get_mut(probe) {
                    facts.dropped = Some((seq, reason));
                }
            }
            Event::ReaderOpened { table, .. } => {
                self.readers.insert(bare(table));
            }
            Event::ProbeSummary(summary) => self.summaries.push((seq, summary)),
            Event::HarnessLag { max_ms, .. } => self.lag_max_ms = self.lag_max_ms.max(*max_ms),
            Event::ObservingCost { harness_cpu_s, probe_wal_bytes, .. } => {
                self.cost = Some((*harness_cpu_s, *probe_wal_bytes));
            }
            Event::Disk { node, data_bytes, free_bytes } => self.disk.push((node, *data_bytes, *free_bytes)),
            Event::Lag { samples } => {
                let at_ms = recorded.at_ms;
                self.lag.extend(samples.iter().map(|sample| LagFacts { seq, at_ms, sample }));
            }
            Event::CaughtUp { node, elapsed_ms } => {
                self.caught_up.insert(node, *elapsed_ms);
            }
            Event::ReplicationBroken { node, what, behind_bytes, log } => {
                let (at_ms, behind_bytes) = (recorded.at_ms, *behind_bytes);
                self.standstills.push(Standstill { seq, at_ms, node, what, behind_bytes, log });
            }
            Event::Compared { node, diff, .. } => self.diffs.push(Diffed { seq, node, diff }),
            Event::NodesCompared { step, role, nodes, diff, .. } => {
                self.comparisons.push(Comparison { seq, step: *step, role: *role, nodes, diff });
            }
            Event::HarnessFailed { what, hint, log } => {
                self.failures.push(Failure { what, hint: hint.as_deref(), log });
            }
            Event::Warned { what } => self.warned.push(what),
            Event::Interrupted { signal } => self.signal = Some(*signal),
            Event::RunEnded { elapsed_ms } => {
                self.ended = true;
                self.end_ms = self.end_ms.max(*elapsed_ms);
            }
            _ => {
                self.take_traffic(recorded);
                self.take_plan(recorded);
            }
        }
    }

    fn take_plan(&mut self, recorded: &'a Recorded) {
        let (seq, at_ms) = (recorded.seq, recorded.at_ms);
        match &recorded.event {
            Event::StepStarted { step, name, node, action, role, .. } => self.steps.push(StepRun {
                seq,
                step: *step,
                role: *role,
                name,
                node,
                action,
                started_ms: at_ms,
                statements: Vec::new(),
                ended: None,
            }),
            Event::StatementEnded { step, role, node, statement } => {
                if let Some(run) = self.open_step(*step, *role, node) {
                    run.statements.push((seq, statement));
                }
            }
            Event::StepEnded { step, role, node, result, elapsed_ms, error, output, rows } => {
                let end = StepEnd {
                    seq,
                    result: *result,
                    elapsed_ms: *elapsed_ms,
                    error: error.as_ref(),
                    output: output.as_deref(),
                    rows: rows.as_ref(),
                };
                self.end_step(recorded, (*step, *role, node), end);
            }
            Event::LockWaitStarted { wait, waiter, relation, mode, blockers } => self.waits.push(WaitFacts {
                seq,
                wait: *wait,
                started_ms: at_ms,
                elapsed_ms: None,
                waiter,
                relation: relation.as_deref(),
                mode,
                blockers,
            }),
            Event::LockWaitEnded { wait, elapsed_ms } => {
                if let Some(known) = self.waits.iter_mut().rev().find(|known| known.wait == *wait) {
                    known.elapsed_ms = Some(*elapsed_ms);
                    // A wait is seen some time after it began, and its end knows by how much.
                    known.started_ms = (at_ms - elapsed_ms).clamp(0.0, known.started_ms);
                }
            }
            Event::Routed { step, role, routing } => {
                self.routed.push(Routed { seq, at_ms, step: *step, role: *role, routing });
            }
            Event::RoutingRefused { step, role, nodes, what } => {
                self.refused.push(RefusedRoute { seq, step: *step, role: *role, nodes, what });
            }
            Event::ConnectedToOut { node, session, user } => {
                self.strays.push(Stray { seq, at_ms, node, session, user });
            }
            Event::DowntimeStarted { window, probe, started_ms, cause } => self.windows.push(WindowFacts {
                seq,
                window: *window,
                probe: *probe,
                interval: Interval::new(*started_ms, *started_ms),
                cause: *cause,
                down: None,
            }),
            Event::DowntimeEnded { window, down } => {
                let ended = WindowFacts {
                    seq,
                    window: *window,
                    probe: down.probe,
                    interval: Interval::new(down.started_ms, down.started_ms + down.elapsed_ms),
                    cause: down.cause,
                    down: Some(down),
                };
                match self.windows.iter_mut().rev().find(|known| known.window == *window) {
                    Some(known) => *known = ended,
                    None => self.windows.push(ended),
                }
            }
            _ => {}
        }
    }

    /// On that node; on any, where the log does not say.
    fn open_step(&mut self, step: usize, role: StepRole, node: &str) -> Option<&mut StepRun<'a>> {
        let is_it = |run: &&mut StepRun<'_>| run.step == step && run.role == role && run.ended.is_none();
        self.steps.iter_mut().rev().filter(|run| node.is_empty() || run.node == node).find(is_it)
    }

    /// A skipped step ends without having started.
    fn end_step(&mut self, recorded: &'a Recorded, (step, role, node): (usize, StepRole, &'a str), end: StepEnd<'a>) {
        if let Some(run) = self.open_step(step, role, node) {
            run.ended = Some(end);
            return;
        }
        let steps = if role == StepRole::Setup { &self.scenario.setup } else { &self.scenario.steps };
        let Some(planned) = steps.get(step) else { return };
        self.steps.push(StepRun {
            seq: recorded.seq,
            step,
            role,
            name: &planned.name,
            node: if node.is_empty() { planned.on.first().map_or("", String::as_str) } else { node },
            action: planned.action.name(),
            started_ms: recorded.at_ms,
            statements: Vec::new(),
            ended: Some(end),
        });
    }

    /// When the first step could have been felt; none if the run did not come so far.
    pub fn plan_started_ms(&self) -> Option<f64> {
        let phase = self.phases.iter().find(|run| run.phase == Phase::Plan).map(|run| run.started_ms);
        phase.or_else(|| self.steps.iter().find(|run| run.role == StepRole::Plan).map(|run| run.started_ms))
    }

    /// The scenario's own words on a step that ran; an undo's steps stand below the step that they take back.
    pub fn planned(&self, run: &StepRun<'_>) -> Option<&'a scenario::Step> {
        match run.role {
            StepRole::Setup => self.scenario.setup.get(run.step),
            StepRole::Plan => self.scenario.steps.get(run.step),
            StepRole::Undo => self.scenario.steps.get(run.step)?.undo.iter().find(|undo| undo.name == run.name),
        }
    }

    /// Steps of the plan that began or were skipped, without setup and undo.
    pub fn plan(&self) -> impl Iterator<Item = &StepRun<'a>> {
        self.steps.iter().filter(|run| run.role == StepRole::Plan)
    }

    /// Steps that users could feel: the plan's and their undo's.
    pub fn felt(&self) -> impl Iterator<Item = &StepRun<'a>> {
        self.steps.iter().filter(|run| run.role != StepRole::Setup)
    }

    /// Whether the first is the writer of the other's shard.
    pub fn writes_for(&self, writer: &str, node: &str) -> bool {
        self.scenario.is_writer(writer) && self.routing.shard_of(writer) == self.routing.shard_of(node)
    }

    /// Where users were at that moment.
    pub fn routing_at(&self, at_ms: f64) -> &Routing {
        self.routed.iter().rev().find(|routed| routed.at_ms <= at_ms).map_or(&self.routing, |routed| routed.routing)
    }

    /// Whether a probe was ever sent to that node.
    pub fn was_probed(&self, node: &str) -> bool {
        let mut lists = std::iter::once(&self.routing).chain(self.routed.iter().map(|routed| routed.routing));
        lists.any(|routing| self.probes.values().any(|probe| routing.leads_to(&probe.spec.on, node)))
    }

    /// Whether users wrote on the node of that run when it began.
    pub fn is_on_writer(&self, run: &StepRun<'_>) -> bool {
        run.node.is_empty() || self.routing_at(run.started_ms).is_writer(run.node)
    }

    /// Whether that run was on a node that a probe was sent to when it began: a lock on another is in nobody's way there. Nobody changes the
    /// list while another step runs.
    pub fn is_where(&self, run: &StepRun<'_>, probe: &ProbeFacts<'_>) -> bool {
        let routing = self.routing_at(run.started_ms);
        let shard = routing.shard_of(probe.node);
        run.node.is_empty() || shard.is_some_and(|shard| routing.leads_in(shard, &probe.spec.on, run.node))
    }

    /// The plan's step at that position as it ran on a writer, which are the nodes that are watched; else on its first node.
    pub fn run_of(&self, step: usize) -> Option<&StepRun<'a>> {
        let runs = || self.plan().filter(move |run| run.step == step);
        runs().find(|run| self.is_on_writer(run)).or_else(|| runs().next())
    }

    /// The runs of one step with that one among them, in their order: one a node.
    pub fn siblings<'f>(&'f self, run: &StepRun<'_>) -> impl Iterator<Item = &'f StepRun<'a>> + use<'f, 'a> {
        let (step, role, name) = (run.step, run.role, run.name.to_owned());
        self.steps.iter().filter(move |other| other.step == step && other.role == role && other.name == name)
    }

    /// Milliseconds that the plan's steps took, each but once however many nodes it was on at a time.
    pub fn taken_ms(&self, counts: impl Fn(&StepRun<'a>) -> bool) -> f64 {
        let mut steps: BTreeMap<usize, Vec<Interval>> = BTreeMap::new();
        for run in self.plan().filter(|run| run.ended.is_some() && counts(run)) {
            steps.entry(run.step).or_default().push(run.interval(self.end_ms));
        }
        steps.into_values().map(covered_ms).sum()
    }

    /// The name of the plan's step at that position.
    pub fn step_name(&self, step: usize) -> Option<&'a str> {
        self.scenario.steps.get(step).map(|planned| planned.name.as_str())
    }

    pub fn planned_node(&self, name: &str) -> Option<&'a scenario::Node> {
        self.scenario.topology.node(name)
    }

    pub fn retired(&self, name: &str) -> bool {
        self.scenario.expect.retired.iter().any(|retired| bare(retired) == bare(name))
    }

    /// Tables that were there when the plan began, by bare name.
    pub fn existing(&self) -> BTreeSet<&'a str> {
        let probed = self.probes.values().filter_map(|facts| facts.spec.table.as_deref()).map(bare);
        self.sizes.keys().copied().chain(probed).collect()
    }

    /// A session in the run's own terms: `step "widen"`, `orders insert`, `the transaction kept open on orders`.
    pub fn owner(&self, owner: &Owner) -> String {
        match owner {
            Owner::Step { step } => match self.step_name(*step) {
                Some(name) => format!("step \"{name}\""),
                None => format!("step {}", step + 1),
            },
            Owner::Probe { probe } => match self.probes.get(probe) {
                Some(facts) => format!("probe \"{}\"", facts.spec.name),
                None => format!("probe {probe}"),
            },
            Owner::Workload { workload } => match self.scenario.workloads.get(*workload) {
                Some(planned) => format!("workload \"{}\"", planned.name),
                None => format!("workload {}", workload + 1),
            },
            Owner::Reader { table } => format!("the transaction kept open on {}", bare(table)),
            Owner::Consumer { consumer } => format!("consumer \"{consumer}\""),
            Owner::Server { what } => what.clone(),
            Owner::Other { application } if application.is_empty() => "a session without a name".into(),
            Owner::Other { application } => application.clone(),
        }
    }
}
