//! What the workloads did and what became of the consumers: gathered from the records, and as plain data.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::{Facts, StepRun};
use super::words::{bare, duration, list, number};
use crate::event::{Event, Owner, Phase, Place, Recorded, SqlError, Traffic, WorkloadFailed};
use crate::scenario::During;
use crate::stats::Latencies;

/// Committed traffic, and how it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workload {
    pub name: String,
    /// Iterations a second that were asked for.
    pub rate_per_s: f64,
    pub during: During,
    /// Why it was given up before the plan, if it was; on which nodes, where it went on in other shards.
    pub dropped: Option<String>,
    /// Tables that it writes to, whose rows are not judged.
    pub writes: Vec<String>,
    /// Why these may not be all, where they may not be: no table's rows are judged then.
    pub unseen: Option<String>,
    /// Of control, plan and after, those in which it ran.
    pub phases: Vec<WorkloadPhase>,
    /// The first moments of each kind of failure, by phase and step.
    pub failures: Vec<WorkloadFault>,
}

/// Latencies are those of whole iterations, from the intended start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadPhase {
    pub phase: Phase,
    /// Iterations a second that it came to.
    pub reached_per_s: f64,
    pub count: u64,
    pub errors: u64,
    /// Starts that were let go by, for all its sessions were busy.
    pub missed: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Workload {
    /// "20/s".
    pub fn asked(&self) -> String {
        per_second(self.rate_per_s)
    }
}

impl WorkloadPhase {
    /// "19.8/s".
    pub fn reached(&self) -> String {
        per_second(self.reached_per_s)
    }

    /// The 50th and the 99th, for people; nothing where nothing was answered.
    pub fn percentiles(&self) -> [String; 2] {
        [self.p50_ms, self.p99_ms].map(|ms| if self.count > 0 { duration(ms) } else { String::new() })
    }

    pub fn is_bad(&self) -> bool {
        self.errors > 0
    }

    /// "19.8/s of 20/s, 3 of 40 failed, p50 1.2 ms, p99 8 ms".
    pub fn words(&self, of: &Workload) -> String {
        let mut parts = vec![format!("{} of {}", self.reached(), of.asked())];
        if self.missed > 0 {
            parts.push(format!("{} starts let go by", number(self.missed)));
        }
        if self.errors > 0 {
            parts.push(format!("{} of {} failed", number(self.errors), number(self.count)));
        }
        if self.count > 0 {
            let [p50, p99] = self.percentiles();
            parts.push(format!("p50 {p50}, p99 {p99}"));
        }
        parts.join(", ")
    }
}

fn per_second(rate: f64) -> String {
    format!("{}/s", (rate * 10.0).round() / 10.0)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadFault {
    pub at_ms: f64,
    pub phase: Phase,
    /// The step that ran meanwhile.
    pub step: Option<String>,
    /// Where its session was.
    pub node: String,
    pub place: Place,
    pub error: SqlError,
    /// It waited for longer than its sessions may; nobody refused it.
    pub gave_up: bool,
}

/// A program kept running beside a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Consumer {
    pub name: String,
    pub node: String,
    /// File in the run's folder with its output.
    pub output: String,
    pub started_ms: f64,
    /// None where the log does not know of its end.
    pub ended_ms: Option<f64>,
    /// It was told to end; else it ended by itself.
    pub asked: bool,
    pub exit: Option<i32>,
    pub signal: Option<i32>,
    /// The step that ran when it ended.
    pub step: Option<String>,
}

impl Consumer {
    /// What became of it: "ran to the end", "ended by itself after 3.2 s: exit status 1".
    pub fn in_the_end(&self) -> String {
        let Some(ended_ms) = self.ended_ms else { return "ran when the log ended".into() };
        if self.asked {
            return "ran to the end".into();
        }
        let how = match (self.exit, self.signal) {
            (Some(status), _) => format!(": exit status {status}"),
            (None, Some(signal)) => format!(": signal {signal}"),
            (None, None) => String::new(),
        };
        let during = self.step.as_ref().map_or_else(String::new, |step| format!(", during step \"{step}\""));
        format!("ended by itself after {}{during}{how}", duration(ended_ms - self.started_ms))
    }
}

/// Who commits rows beside the plan, and to which tables.
pub struct TrafficFacts<'a> {
    pub by: &'a Traffic,
    pub tables: &'a [String],
    /// Why there may be others.
    pub unseen: Option<&'a str>,
}

/// The first time that a workload failed in one way, in one phase or step.
pub struct WorkloadFailure<'a> {
    pub seq: u64,
    pub at_ms: f64,
    pub failed: &'a WorkloadFailed,
}

/// A program kept running beside a node.
pub struct ConsumerFacts<'a> {
    pub seq: u64,
    pub name: &'a str,
    pub node: &'a str,
    pub output: &'a str,
    pub started_ms: f64,
    pub ended: Option<ConsumerEnd>,
}

pub struct ConsumerEnd {
    pub seq: u64,
    pub at_ms: f64,
    pub asked: bool,
    pub exit: Option<i32>,
    pub signal: Option<i32>,
}

impl<'a> Facts<'a> {
    pub(super) fn take_traffic(&mut self, recorded: &'a Recorded) {
        let (seq, at_ms) = (recorded.seq, recorded.at_ms);
        match &recorded.event {
            Event::TrafficWrites { by, tables, unseen } => {
                self.traffic.push(TrafficFacts { by, tables, unseen: unseen.as_deref() });
            }
            Event::WorkloadSummary(summary) => self.workload_summaries.push(summary),
            Event::WorkloadFailed(failed) => self.workload_failures.push(WorkloadFailure { seq, at_ms, failed }),
            Event::WorkloadDropped { workload, node, reason } => {
                self.workloads_dropped.entry(*workload).or_default().push((node, reason));
            }
            Event::ConsumerStarted { consumer: name, node, output } => {
                self.consumers.push(ConsumerFacts { seq, name, node, output, started_ms: at_ms, ended: None });
            }
            Event::ConsumerEnded { consumer, asked, exit, signal } => {
                let (asked, exit, signal) = (*asked, *exit, *signal);
                if let Some(known) = self.consumers.iter_mut().rev().find(|known| known.name == consumer) {
                    known.ended = Some(ConsumerEnd { seq, at_ms, asked, exit, signal });
                }
            }
            _ => {}
        }
    }

    /// The step that ran at that moment, without those of setup.
    pub fn running_at(&self, at_ms: f64) -> Option<&StepRun<'a>> {
        let runs = |run: &&StepRun<'_>| (run.started_ms..=run.interval(self.end_ms).end_ms).contains(&at_ms);
        self.felt().filter(runs).last()
    }

    /// Who committed rows of that table beside the plan: its rows change for other reasons than the release.
    pub fn traffic_on(&self, table: &str) -> Vec<String> {
        let on = self.traffic.iter().filter(|traffic| traffic.tables.iter().any(|own| bare(own) == bare(table)));
        // Each shard tells of its own.
        let names: BTreeSet<String> = on.map(|traffic| self.committer(traffic.by)).collect();
        names.into_iter().collect()
    }

    /// Who may have committed rows of any table, and why nobody can say of which.
    pub fn traffic_unseen(&self) -> Vec<String> {
        let named = |traffic: &TrafficFacts<'_>| Some(format!("{} ({})", self.committer(traffic.by), traffic.unseen?));
        let names: BTreeSet<String> = self.traffic.iter().filter_map(named).collect();
        names.into_iter().collect()
    }

    fn committer(&self, by: &Traffic) -> String {
        match by {
            Traffic::Workload { workload } => self.owner(&Owner::Workload { workload: *workload }),
            Traffic::Probe { probe } => self.owner(&Owner::Probe { probe: *probe }),
        }
    }

    /// Of several shards, that in which a node is; all are one in logs of before there were shards.
    pub fn shard(&self, node: &str) -> Option<usize> {
        self.routing.shard_of(node)
    }

    /// Why a workload was not run before the plan was through; and where, unless it was run nowhere.
    pub fn dropped(&self, workload: usize) -> Option<(Vec<&'a str>, String)> {
        let dropped = self.workloads_dropped.get(&workload)?;
        let on = &self.scenario.workloads.get(workload)?.on;
        let meant = (0..self.routing.shards.len()).filter(|shard| self.routing.target(on, *shard, 0).is_some()).count();
        let nodes: Vec<&str> = dropped.iter().map(|(node, _)| *node).collect();
        let reasons: BTreeSet<&str> = dropped.iter().map(|(_, reason)| *reason).collect();
        let reason = match reasons.len() {
            1 => dropped[0].1.to_owned(),
            _ => dropped.iter().map(|(node, reason)| format!("on {node}: {reason}")).collect::<Vec<_>>().join("; "),
        };
        Some((if dropped.len() < meant { nodes } else { Vec::new() }, reason))
    }
}

/// In the scenario's order.
pub fn workloads(facts: &Facts<'_>) -> Vec<Workload> {
    let planned = facts.scenario.workloads.iter().enumerate();
    let workload = |(nth, planned): (usize, &crate::scenario::Workload)| Workload {
        name: planned.name.clone(),
        rate_per_s: planned.rate_per_s,
        during: planned.during,
        dropped: facts.dropped(nth).map(|(nodes, reason)| match nodes.is_empty() {
            true => reason,
            false => format!("on {}: {reason}", list(&nodes, usize::MAX)),
        }),
        writes: written(facts, &Traffic::Workload { workload: nth }),
        unseen: of(facts, &Traffic::Workload { workload: nth }).find_map(|traffic| traffic.unseen).map(str::to_owned),
        phases: phases(facts, nth),
        failures: failures(facts, nth),
    };
    planned.map(workload).collect()
}

pub fn consumers(facts: &Facts<'_>) -> Vec<Consumer> {
    let consumer = |known: &ConsumerFacts<'_>| Consumer {
        name: known.name.to_owned(),
        node: known.node.to_owned(),
        output: known.output.to_owned(),
        started_ms: known.started_ms,
        ended_ms: known.ended.as_ref().map(|end| end.at_ms),
        asked: known.ended.as_ref().is_some_and(|end| end.asked),
        exit: known.ended.as_ref().and_then(|end| end.exit),
        signal: known.ended.as_ref().and_then(|end| end.signal),
        step: known.ended.as_ref().and_then(|end| facts.running_at(end.at_ms)).map(|run| run.name.to_owned()),
    };
    facts.consumers.iter().map(consumer).collect()
}

fn written(facts: &Facts<'_>, by: &Traffic) -> Vec<String> {
    let tables: BTreeSet<&String> = of(facts, by).flat_map(|traffic| traffic.tables).collect();
    tables.into_iter().cloned().collect()
}

fn of<'f, 'a>(facts: &'f Facts<'a>, by: &'f Traffic) -> impl Iterator<Item = &'f TrafficFacts<'a>> {
    facts.traffic.iter().filter(move |traffic| traffic.by == by)
}

/// For how many milliseconds a workload ran in each shard, and how often: each shard has its part of the rate.
type Shards = BTreeMap<Option<u32>, (f64, u64)>;

fn phases(facts: &Facts<'_>, workload: usize) -> Vec<WorkloadPhase> {
    let mut phases: BTreeMap<Phase, (Shards, Latencies, WorkloadPhase)> = BTreeMap::new();
    for summary in facts.workload_summaries.iter().filter(|summary| summary.workload == workload) {
        let (shards, latencies, phase) = phases
            .entry(summary.phase)
            .or_insert_with(|| (Shards::new(), Latencies::default(), WorkloadPhase::empty(summary.phase)));
        let (ran_ms, iterations) = shards.entry(summary.shard).or_default();
        *ran_ms += summary.ran_ms;
        *iterations += summary.count;
        phase.count += summary.count;
        phase.errors += summary.errors;
        phase.missed += summary.missed;
        // One that cannot be read leaves its counts.
        if let Ok(more) = Latencies::decode(&summary.histogram) {
            latencies.add(&more);
        }
    }
    let phase = |(shards, latencies, mut phase): (Shards, Latencies, WorkloadPhase)| {
        let per_s =
            |(ran_ms, iterations): (f64, u64)| if ran_ms > 0.0 { iterations as f64 / (ran_ms / 1e3) } else { 0.0 };
        phase.reached_per_s = shards.into_values().map(per_s).sum();
        phase.p50_ms = latencies.percentile_ms(50.0);
        phase.p99_ms = latencies.percentile_ms(99.0);
        phase.max_ms = latencies.max_ms();
        phase
    };
    phases.into_values().map(phase).collect()
}

fn failures(facts: &Facts<'_>, workload: usize) -> Vec<WorkloadFault> {
    let of = facts.workload_failures.iter().filter(|failure| failure.failed.workload == workload);
    let fault = |failure: &WorkloadFailure<'_>| WorkloadFault {
        at_ms: failure.at_ms,
        phase: failure.failed.phase,
        step: failure.failed.step.and_then(|step| facts.step_name(step)).map(str::to_owned),
        node: failure.failed.node.clone(),
        place: failure.failed.place.clone(),
        error: failure.failed.error.clone(),
        gave_up: failure.failed.gave_up,
    };
    of.map(fault).collect()
}

impl WorkloadPhase {
    fn empty(phase: Phase) -> WorkloadPhase {
        let (reached_per_s, p50_ms, p99_ms, max_ms) = Default::default();
        WorkloadPhase { phase, reached_per_s, count: 0, errors: 0, missed: 0, p50_ms, p99_ms, max_ms }
    }
}
