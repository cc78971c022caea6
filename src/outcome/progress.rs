//! The run so far, folded event by event: what a display shows while it goes on.

use std::collections::BTreeMap;

use super::downtime::Side;
use super::words::bare;
use crate::event::{Event, Owner, Phase, ProbeSpec, Recorded, Session, StepRole};
use crate::scenario;
use crate::stats::{Interval, covered_ms, union};

/// Empty before the run's start.
#[derive(Debug, Default)]
pub struct Progress {
    /// Names and budgets of the plan's steps, in its order.
    pub steps: Vec<(String, Option<f64>)>,
    pub phase: Option<Phase>,
    /// The step that runs, once for each node that it runs on, in the order in which they began.
    running: Vec<StepNow>,
    /// On how many nodes each step is, of setup and of the plan.
    on: [Vec<usize>; 2],
    probes: BTreeMap<u32, ProbeSpec>,
    /// Names of the workloads, in the scenario's order.
    workloads: Vec<String>,
    open: BTreeMap<u64, (u32, f64)>,
    read: Vec<Interval>,
    write: Vec<Interval>,
    waits: BTreeMap<u64, Wait>,
    ticks: Option<(f64, f64)>,
    plan_started_ms: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StepNow {
    /// Position in the plan, from 0.
    pub step: usize,
    pub role: StepRole,
    pub name: String,
    pub node: String,
    /// It is on other nodes as well.
    pub several: bool,
    pub started_ms: f64,
    pub budget_ms: Option<f64>,
    /// How many statements it has, where that is known beforehand.
    pub statements: Option<usize>,
    /// The statement that runs: its position and text.
    pub statement: Option<(usize, String)>,
    /// "attempt 3 of 30", after a lock timeout.
    pub retry: Option<String>,
}

/// A session that waits for a lock.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    pub started_ms: f64,
    pub waiter: String,
    pub mode: String,
    pub relation: Option<String>,
    pub blockers: Vec<String>,
}

impl Progress {
    pub fn take(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::RunStarted { scenario, .. } => {
                self.workloads = scenario.workloads.iter().map(|workload| workload.name.clone()).collect();
                let on = |steps: &[scenario::Step]| steps.iter().map(|step| step.on.len()).collect();
                self.on = [on(&scenario.setup), on(&scenario.steps)];
                let budget = |budget: std::time::Duration| budget.as_secs_f64() * 1e3;
                self.steps = scenario.steps.iter().map(|step| (step.name.clone(), step.budget.map(budget))).collect();
            }
            Event::PhaseStarted { phase } => {
                self.phase = Some(*phase);
                if *phase == Phase::Plan {
                    self.plan_started_ms = Some(recorded.at_ms);
                }
            }
            Event::ProbesDerived { probes, .. } => {
                self.probes.extend(probes.iter().map(|spec| (spec.id, spec.clone())));
            }
            Event::ProbeTick { samples } => {
                let count: u64 = samples.iter().map(|sample| sample.count).sum();
                let since_ms = self.ticks.map_or(recorded.at_ms - 250.0, |(at_ms, _)| at_ms);
                let rate = count as f64 * 1e3 / (recorded.at_ms - since_ms).max(1.0);
                self.ticks = Some((recorded.at_ms, rate));
            }
            Event::DowntimeStarted { window, probe, started_ms, .. } => {
                self.open.insert(*window, (*probe, *started_ms));
            }
            Event::DowntimeEnded { window, down } => {
                self.open.remove(window);
                self.add_down(down.probe, Interval::new(down.started_ms, down.started_ms + down.elapsed_ms));
            }
            Event::LockWaitStarted { wait, waiter, relation, mode, blockers } => {
                let known = Wait {
                    started_ms: recorded.at_ms,
                    waiter: self.owner(waiter),
                    mode: mode.clone(),
                    relation: relation.as_deref().map(|name| bare(name).to_owned()),
                    blockers: blockers.iter().map(|session| self.owner(session)).collect(),
                };
                self.waits.insert(*wait, known);
            }
            Event::LockWaitEnded { wait, .. } => {
                self.waits.remove(wait);
            }
            _ => self.take_step(recorded),
        }
    }

    fn take_step(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::StepStarted { step, name, node, role, statements, .. } => {
                let budget_ms = self.steps.get(*step).filter(|_| *role == StepRole::Plan).and_then(|step| step.1);
                let on = &self.on[usize::from(*role != StepRole::Setup)];
                let several = on.get(*step).is_some_and(|nodes| *nodes > 1);
                self.running.push(StepNow {
                    step: *step,
                    role: *role,
                    name: name.clone(),
                    node: node.clone(),
                    several,
                    started_ms: recorded.at_ms,
                    budget_ms,
                    statements: *statements,
                    statement: None,
                    retry: None,
                });
            }
            Event::StatementStarted { index, sql, node, .. } => {
                if let Some(now) = self.on_mut(node) {
                    (now.statement, now.retry) = (Some((*index, sql.clone())), None);
                }
            }
            Event::StatementRetried { attempt, of, .. } => {
                if let Some(now) = self.running.last_mut() {
                    now.retry = Some(format!("attempt {attempt} of {of}"));
                }
            }
            Event::StatementEnded { node, .. } => {
                if let Some(now) = self.on_mut(node) {
                    now.statement = None;
                }
            }
            Event::StepEnded { node, .. } => self.running.retain(|now| !is_on(now, node)),
            _ => {}
        }
    }

    /// The step that runs; of several nodes, as it runs on the one where it began last.
    pub fn step(&self) -> Option<&StepNow> {
        self.running.last()
    }

    /// The step that runs on that node.
    pub fn step_on(&self, node: &str) -> Option<&StepNow> {
        self.running.iter().find(|now| is_on(now, node))
    }

    fn on_mut(&mut self, node: &str) -> Option<&mut StepNow> {
        self.running.iter_mut().find(|now| is_on(now, node))
    }

    fn add_down(&mut self, probe: u32, interval: Interval) {
        let Some(spec) = self.probes.get(&probe) else { return };
        if self.plan_started_ms.is_none_or(|began| interval.start_ms < began) {
            return;
        }
        for (side, intervals) in [(Side::Read, &mut self.read), (Side::Write, &mut self.write)] {
            if side.covers(spec.kind) {
                intervals.push(interval);
                *intervals = union(std::mem::take(intervals));
            }
        }
    }

    /// Downtime of reads and of writes so far in milliseconds, windows that are open included. Causes are known only at the end.
    pub fn down_ms(&self, now_ms: f64) -> (f64, f64) {
        let of = |side: Side, closed: &[Interval]| {
            let open = self.open.values().filter(|(probe, _)| {
                self.plan_started_ms.is_some() && self.probes.get(probe).is_some_and(|spec| side.covers(spec.kind))
            });
            let open = open.map(|(_, started_ms)| Interval::new(*started_ms, now_ms));
            covered_ms(closed.iter().copied().chain(open))
        };
        (of(Side::Read, &self.read), of(Side::Write, &self.write))
    }

    /// Names of the probes that are down now.
    pub fn down_now(&self) -> Vec<&str> {
        self.open.values().filter_map(|(probe, _)| Some(self.probes.get(probe)?.name.as_str())).collect()
    }

    /// Longest first.
    pub fn waits(&self) -> Vec<&Wait> {
        let mut waits: Vec<&Wait> = self.waits.values().collect();
        waits.sort_by(|a, b| a.started_ms.total_cmp(&b.started_ms));
        waits
    }

    /// Operations a second, of all probes; none before they ran.
    pub fn probe_rate(&self) -> Option<f64> {
        self.ticks.map(|(_, rate)| rate)
    }

    fn owner(&self, session: &Session) -> String {
        match &session.owner {
            Owner::Step { step } => match self.steps.get(*step) {
                Some((name, _)) => format!("step \"{name}\""),
                None => format!("step {}", step + 1),
            },
            Owner::Probe { probe } => {
                self.probes.get(probe).map_or_else(|| format!("probe {probe}"), |spec| spec.name.clone())
            }
            Owner::Workload { workload } => {
                let named = self.workloads.get(*workload);
                named.map_or_else(|| format!("workload {}", workload + 1), |name| format!("workload \"{name}\""))
            }
            Owner::Reader { table } => format!("the transaction kept open on {}", bare(table)),
            Owner::Consumer { consumer } => format!("consumer \"{consumer}\""),
            Owner::Server { what } => what.clone(),
            Owner::Other { application } => application.clone(),
        }
    }
}

/// In logs of before a step could run on several nodes, it is on any.
fn is_on(now: &StepNow, node: &str) -> bool {
    node.is_empty() || now.node == node
}
