//! The pure fold of a run's events into its verdict, findings and figures. No I/O: anybody can do it again from the log.

mod diffs;
mod downtime;
mod facts;
mod gaps;
mod growth;
mod model;
mod progress;
mod rules;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
mod traffic;
pub mod words;

use std::collections::BTreeMap;

pub use model::*;
pub use progress::{Progress, StepNow, Wait};
pub use traffic::{Consumer, Workload, WorkloadFault, WorkloadPhase};

use crate::event::{Phase, Recorded, StepResult, StepRole};
use crate::finding::{Finding, Severity};
use crate::stats::{Interval, Latencies, covered_ms};
use downtime::{Judged, Side};
use facts::{Facts, StepRun};
use rules::steps::window_ms;
use words::{count, duration};

/// The form of `report.json`.
pub fn json_schema() -> schemars::Schema {
    schemars::schema_for!(Outcome)
}

impl Outcome {
    /// Folds a run's records, whole or cut short by a kill. Records that do not begin with the run's start make an
    /// inconclusive outcome that says so.
    pub fn from_records(records: &[Recorded]) -> Outcome {
        match Facts::gather(records) {
            Some(facts) => fold(&facts),
            None => without_start(),
        }
    }

    /// A step's name, with its node where it was on several.
    pub fn step_name(&self, step: &Step) -> String {
        let same = |other: &&Step| other.role == step.role && other.name == step.name;
        if self.steps.iter().filter(same).count() > 1 {
            format!("{} on {}", step.name, step.node)
        } else {
            step.name.clone()
        }
    }

    /// What was not judged, limits that share a reason together.
    pub fn not_judged_by_reason(&self) -> Vec<(&str, Vec<String>)> {
        let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
        for entry in &self.not_judged {
            match reasons.iter_mut().find(|(reason, _)| *reason == entry.reason) {
                Some((_, subjects)) => subjects.push(entry.subject()),
                None => reasons.push((&entry.reason, vec![entry.subject()])),
            }
        }
        reasons
    }

    /// Whether that limit of the whole run was left unjudged.
    pub fn unjudged(&self, limit: LimitKind) -> bool {
        self.not_judged.iter().any(|entry| entry.limit == limit && entry.step.is_none())
    }

    /// A limit for people: "limit 2 s", "limit 2 s, not judged", or nothing where there is none.
    pub fn limit_words(&self, limit: LimitKind, limit_ms: Option<f64>) -> Option<String> {
        let open = if self.unjudged(limit) { ", not judged" } else { "" };
        limit_ms.map(|ms| format!("limit {}{open}", duration(ms)))
    }

    /// Findings of one severity.
    pub fn of_severity(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.severity == severity)
    }
}

fn fold(facts: &Facts<'_>) -> Outcome {
    let judged = downtime::judge(facts);
    let mut findings = rules::findings(facts, &judged);
    let not_judged = growth::not_judged(facts, &judged, &findings);
    let why = why(facts, &judged);
    let interrupted = facts.signal.is_some();
    let fail_on = facts.scenario.fail_on;
    let verdict = verdict(interrupted, &why, &findings, fail_on, !not_judged.is_empty());
    if let Some(unmet) = rules::unmet(facts, verdict, &findings) {
        findings.insert(0, unmet);
    }
    let verdict = self::verdict(interrupted, &why, &findings, fail_on, !not_judged.is_empty());
    let steps = steps(facts);
    let downtime = downtime::totals(facts, &judged);
    let (probes, unreadable) = probes(facts, &judged);
    let locks = locks(facts);
    let totals = totals(facts, &downtime, &probes, &locks, &findings);
    Outcome {
        format: FORMAT,
        outcome: verdict,
        exit_code: exit_code(verdict, facts.signal),
        why,
        not_judged,
        not_rehearsed: gaps::not_rehearsed(facts, &steps),
        scenario: facts.scenario.name.clone(),
        scenario_file: facts.scenario.file.display().to_string(),
        run: facts.run.into(),
        rehearsal_version: facts.version.into(),
        started: facts.started.to_string(),
        lab: facts.lab.into(),
        cores: facts.cores,
        clone: facts.clone,
        baseline: facts.baseline.map(|made| made.to_string()),
        nodes: nodes(facts),
        findings,
        fail_on,
        steps,
        probes,
        workloads: traffic::workloads(facts),
        consumers: traffic::consumers(facts),
        downtime,
        locks,
        routing: routing(facts),
        lag: lag(facts),
        disk: disk(facts),
        diff: diffs::merged(facts),
        phases: facts
            .phases
            .iter()
            .map(|run| PhaseTime { phase: run.phase, started_ms: run.started_ms, elapsed_ms: run.elapsed_ms })
            .collect(),
        totals,
        notes: facts.warned.iter().map(|what| (*what).into()).chain(gaps::stalls(&judged)).chain(unreadable).collect(),
    }
}

fn verdict(interrupted: bool, why: &[Why], findings: &[Finding], fail_on: Severity, in_part: bool) -> Verdict {
    if interrupted {
        Verdict::Interrupted
    } else if !why.is_empty() {
        Verdict::Inconclusive
    } else if findings.iter().any(|finding| finding.severity >= fail_on) {
        Verdict::Failed
    } else if in_part {
        Verdict::PassedInPart
    } else {
        Verdict::Passed
    }
}

fn exit_code(verdict: Verdict, signal: Option<i32>) -> u8 {
    match verdict {
        Verdict::Passed | Verdict::PassedInPart => 0,
        Verdict::Failed => 1,
        Verdict::Inconclusive => 3,
        Verdict::Interrupted => signal.and_then(|signal| u8::try_from(128 + signal).ok()).unwrap_or(130),
    }
}

/// Why there is no verdict; empty where there is one.
fn why(facts: &Facts<'_>, judged: &[Judged<'_, '_>]) -> Vec<Why> {
    let plain = |what: String, hint: &str| Why { what, hint: Some(hint.into()), log: Vec::new() };
    if let Some(signal) = facts.signal {
        let name = match signal {
            2 => "SIGINT".into(),
            15 => "SIGTERM".into(),
            other => format!("signal {other}"),
        };
        return vec![Why { what: format!("the run was interrupted by {name}"), hint: None, log: Vec::new() }];
    }
    let mut why: Vec<Why> = facts
        .failures
        .iter()
        .map(|failure| Why { what: failure.what.into(), hint: failure.hint.map(Into::into), log: failure.log.to_vec() })
        .collect();
    if !facts.ended {
        let what = format!("the run was killed after {}: its log has no end", duration(facts.end_ms));
        why.push(plain(what, "run it again; `rehearsal clean` removes what the killed run left"));
    }
    why.extend(silent_commands(facts));
    why.extend(Side::BOTH.into_iter().filter_map(|side| starved(facts, judged, side)));
    why
}

/// A program that reached no server proves nothing about the release.
fn silent_commands(facts: &Facts<'_>) -> impl Iterator<Item = Why> {
    let silent =
        facts.plan().filter(|run| run.action == "command" && run.done().is_some() && run.statements.is_empty());
    silent.map(|run| Why {
        what: format!("no statement of step \"{}\" reached a node", run.name),
        hint: Some("let the program connect to the URL in its environment, DATABASE_URL".into()),
        log: Vec::new(),
    })
}

/// Stalls while the harness itself was late, where counting them would break a limit that holds without them: nobody can say
/// whether users would have felt them.
fn starved(facts: &Facts<'_>, judged: &[Judged<'_, '_>], side: Side) -> Option<Why> {
    let late: Vec<&Judged<'_, '_>> =
        downtime::of_side(facts, judged, side).filter(|window| window.because == Because::Harness).collect();
    let broken = downtime::regimes(facts).iter().any(|regime| {
        let doubtful: Vec<Interval> = late.iter().flat_map(|window| regime.cut(window.facts.interval)).collect();
        let counted: Vec<Interval> = downtime::counted(facts, judged, side, regime).map(|(_, cut)| cut).collect();
        let kept = |limit_ms: &f64| covered_ms(counted.iter().copied()) <= *limit_ms;
        let limit_ms = side.limit_ms(regime.limits).filter(kept);
        limit_ms.is_some_and(|limit_ms| covered_ms(counted.iter().copied().chain(doubtful)) > limit_ms)
    });
    let lag_ms = late.iter().filter_map(|window| window.facts.down).map(|down| down.harness_lag_ms).fold(0.0, f64::max);
    broken.then(|| Why {
        what: format!(
            "{} of {} came while the harness itself was up to {} late, and would break the limit if they were downtime",
            count(late.len() as u64, "stall"),
            side.words(),
            duration(lag_ms)
        ),
        hint: Some("run it on a machine with less to do, or with more cores".into()),
        log: Vec::new(),
    })
}

fn nodes(facts: &Facts<'_>) -> Vec<Node> {
    let nodes = facts.nodes.iter().map(|node| Node {
        name: node.name.into(),
        engine: node.engine.into(),
        version: node.version.into(),
        ready_ms: node.ready_ms,
        relaxed: node.relaxed.clone(),
        replicates: facts.planned_node(node.name).and_then(|planned| planned.replicates.clone()),
        peers: facts.planned_node(node.name).map(|planned| planned.peers.clone()).unwrap_or_default(),
        subscribes: facts.planned_node(node.name).and_then(|planned| Some(planned.subscribes.as_ref()?.to.clone())),
    });
    nodes.collect()
}

fn routing(facts: &Facts<'_>) -> Vec<RoutingChange> {
    let changes = facts.routed.iter().map(|routed| {
        let by = facts
            .steps
            .iter()
            .rfind(|run| (run.step, run.role) == (routed.step, routed.role) && run.started_ms <= routed.at_ms);
        let readers = routed.routing.shards.iter().flat_map(|shard| routed.routing.readers_of(shard));
        RoutingChange {
            at_ms: routed.at_ms,
            step: by.map_or_else(String::new, |run| run.name.into()),
            writers: routed.routing.writers().map(str::to_owned).collect(),
            readers: readers.map(str::to_owned).collect(),
            out: routed.routing.out.clone(),
        }
    });
    changes.collect()
}

fn lag(facts: &Facts<'_>) -> Vec<NodeLag> {
    let Some(began) = facts.plan_started_ms() else { return Vec::new() };
    let topology = &facts.scenario.topology;
    let followers = topology.followers().filter_map(|node| Some((node, topology.upstream(node)?.to_owned())));
    let lag = followers.map(|(node, from)| {
        let seen = || facts.lag.iter().filter(|lag| lag.sample.node == node.name && lag.at_ms >= began);
        NodeLag {
            node: node.name.clone(),
            from,
            max_ms: seen().map(|lag| lag.sample.max_ms).fold(0.0, f64::max),
            behind_bytes_max: seen().filter_map(|lag| lag.sample.behind_bytes).max(),
            limit_ms: facts.scenario.limits.lag.map(|limit| limit.as_secs_f64() * 1e3),
            caught_up_ms: facts.caught_up.get(node.name.as_str()).copied(),
            broken: facts.standstills.iter().find(|broken| broken.node == node.name).map(|broken| broken.what.into()),
        }
    });
    lag.collect()
}

/// Those that ran, then those of the plan that the run did not come to, each on each of its nodes.
fn steps(facts: &Facts<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = facts.steps.iter().map(|run| step(facts, run)).collect();
    let of_plan = facts.scenario.steps.iter().enumerate();
    let places = of_plan.flat_map(|(index, planned)| planned.on.iter().map(move |node| (index, planned, node)));
    let reached = |index: usize, node: &str| {
        facts.plan().any(|run| run.step == index && (run.node == node || run.node.is_empty()))
    };
    steps.extend(places.filter(|(index, _, node)| !reached(*index, node)).map(|(_, planned, node)| Step {
        name: planned.name.clone(),
        node: node.clone(),
        role: StepRole::Plan,
        action: planned.action.name().into(),
        line: planned.line,
        result: StepState::NotReached,
        started_ms: None,
        elapsed_ms: None,
        budget_ms: planned.budget.map(|budget| budget.as_secs_f64() * 1e3),
        takes_ms: planned.takes.map(|takes| takes.as_secs_f64() * 1e3),
        outside_window: planned.outside_window,
        error: None,
        work: Default::default(),
        strongest_lock: None,
        wal_bytes: None,
        statements: Vec::new(),
        output: None,
        rows: None,
    }));
    steps
}

fn step(facts: &Facts<'_>, run: &StepRun<'_>) -> Step {
    let planned = facts.planned(run);
    let end = run.ended.as_ref();
    let result = match end.map(|end| end.result) {
        Some(StepResult::Done) => StepState::Done,
        Some(StepResult::Failed) => StepState::Failed,
        Some(StepResult::TimedOut) => StepState::TimedOut,
        Some(StepResult::Skipped) => StepState::Skipped,
        Some(StepResult::Interrupted) => StepState::Interrupted,
        None => StepState::Unfinished,
    };
    let began = result != StepState::Skipped;
    let logged: Vec<u64> = run.statements.iter().filter_map(|(_, statement)| statement.wal_bytes).collect();
    Step {
        name: run.name.into(),
        node: run.node.into(),
        role: run.role,
        action: run.action.into(),
        line: planned.map_or(0, |planned| planned.line),
        result,
        started_ms: began.then_some(run.started_ms),
        elapsed_ms: end.filter(|_| began).map(|end| end.elapsed_ms),
        budget_ms: planned.and_then(|planned| planned.budget).map(|budget| budget.as_secs_f64() * 1e3),
        takes_ms: planned.and_then(|planned| planned.takes).map(|takes| takes.as_secs_f64() * 1e3),
        outside_window: planned.is_some_and(|planned| planned.outside_window),
        error: end.and_then(|end| end.error).map(|error| StepFault {
            what: error.what.clone(),
            sql: error.sql.clone(),
            place: error.place.clone(),
            exit: error.exit,
        }),
        work: run.statements.iter().map(|(_, statement)| statement.work).max().unwrap_or_default(),
        strongest_lock: strongest_lock(facts, run),
        wal_bytes: (!logged.is_empty()).then(|| logged.iter().sum()),
        statements: run.statements.iter().map(|(_, statement)| (*statement).clone()).collect(),
        output: end.and_then(|end| end.output).map(Into::into),
        rows: end.and_then(|end| end.rows).cloned(),
    }
}

fn strongest_lock(facts: &Facts<'_>, run: &StepRun<'_>) -> Option<String> {
    let existing = facts.existing();
    let locks = run.statements.iter().flat_map(|(_, statement)| &statement.locks);
    let mut felt: Vec<_> = locks.filter(|lock| existing.contains(words::bare(&lock.relation))).collect();
    // Stable: of equal locks the first is kept, and each statement gives its strongest first.
    // What was held for a moment is told only where nothing else was.
    felt.sort_by_key(|lock| std::cmp::Reverse((!lock.brief, lock.stops_reads, lock.stops_writes)));
    felt.first().map(|lock| lock.mode.clone())
}

/// Every probe with its latencies and windows, and a note for histograms that cannot be read.
fn probes(facts: &Facts<'_>, judged: &[Judged<'_, '_>]) -> (Vec<Probe>, Option<String>) {
    let mut phases: BTreeMap<(u32, Phase), (Latencies, PhaseLatency)> = BTreeMap::new();
    let mut unreadable = 0;
    for (_, summary) in &facts.summaries {
        let (sum, latency) = phases
            .entry((summary.probe, summary.phase))
            .or_insert_with(|| (Latencies::default(), PhaseLatency::empty(summary.phase)));
        latency.count += summary.count;
        latency.errors += summary.errors;
        latency.missed += summary.missed;
        match Latencies::decode(&summary.histogram) {
            Ok(latencies) => sum.add(&latencies),
            Err(_) => unreadable += 1,
        }
    }
    for (sum, latency) in phases.values_mut() {
        latency.p50_ms = sum.percentile_ms(50.0);
        latency.p90_ms = sum.percentile_ms(90.0);
        latency.p99_ms = sum.percentile_ms(99.0);
        latency.max_ms = sum.max_ms();
    }
    let probes = facts.probes.values().map(|probe| {
        let id = probe.spec.id;
        let windows = || judged.iter().filter(move |window| window.facts.probe == id);
        Probe {
            id,
            name: probe.spec.name.clone(),
            node: probe.node.into(),
            table: probe.spec.table.clone(),
            operation: probe.spec.operation,
            kind: probe.spec.kind,
            sql: probe.spec.sql.clone(),
            custom: probe.spec.custom,
            touched: probe.spec.touched,
            dropped: probe.dropped.map(|(_, reason)| reason.into()),
            latency: phases.range((id, Phase::Start)..=(id, Phase::Stop)).map(|(_, (_, latency))| *latency).collect(),
            downtime: windows().map(|window| downtime::describe(facts, window)).collect(),
            downtime_ms: covered_ms(
                windows().filter(|window| window.because.counts()).map(|window| window.facts.interval),
            ),
        }
    });
    let probes = probes.collect();
    (probes, (unreadable > 0).then(|| format!("{} in the log could not be read", count(unreadable, "histogram"))))
}

impl PhaseLatency {
    fn empty(phase: Phase) -> PhaseLatency {
        PhaseLatency { phase, count: 0, errors: 0, missed: 0, p50_ms: 0.0, p90_ms: 0.0, p99_ms: 0.0, max_ms: 0.0 }
    }
}

fn locks(facts: &Facts<'_>) -> Vec<LockWait> {
    let waits = facts.waits.iter().map(|wait| LockWait {
        started_ms: wait.started_ms,
        elapsed_ms: wait.elapsed_ms,
        waiter: wait.waiter.clone(),
        waiter_name: facts.owner(&wait.waiter.owner),
        relation: wait.relation.map(Into::into),
        mode: wait.mode.into(),
        blockers: wait.blockers.to_vec(),
        blocker_names: wait.blockers.iter().map(|session| facts.owner(&session.owner)).collect(),
    });
    waits.collect()
}

fn disk(facts: &Facts<'_>) -> Vec<Disk> {
    let mut nodes: BTreeMap<&str, Disk> = BTreeMap::new();
    for &(node, data_bytes, free_bytes) in &facts.disk {
        let disk = nodes.entry(node).or_insert_with(|| Disk {
            node: node.into(),
            data_bytes_first: data_bytes,
            data_bytes_max: data_bytes,
            data_bytes_last: data_bytes,
            free_bytes_min: free_bytes,
        });
        disk.data_bytes_max = disk.data_bytes_max.max(data_bytes);
        disk.data_bytes_last = data_bytes.or(disk.data_bytes_last);
        disk.free_bytes_min = disk.free_bytes_min.min(free_bytes);
    }
    nodes.into_values().collect()
}

fn totals(
    facts: &Facts<'_>,
    downtime: &DowntimeTotals,
    probes: &[Probe],
    locks: &[LockWait],
    findings: &[Finding],
) -> Totals {
    let statements = || facts.plan().flat_map(|run| run.statements.iter().map(|(_, statement)| *statement));
    let logged: Vec<u64> = statements().filter_map(|statement| statement.wal_bytes).collect();
    let latencies = || probes.iter().flat_map(|probe| &probe.latency);
    let of_severity = |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    Totals {
        elapsed_ms: facts.end_ms,
        steps_ms: facts.taken_ms(|_| true),
        window_ms: window_ms(facts),
        window_limit_ms: facts.scenario.limits.window.map(|limit| limit.as_secs_f64() * 1e3),
        downtime_read_ms: downtime.read.total_ms,
        downtime_write_ms: downtime.write.total_ms,
        lock_wait_max_ms: locks
            .iter()
            .map(|wait| wait.elapsed_ms.unwrap_or(facts.end_ms - wait.started_ms))
            .fold(0.0, f64::max),
        lock_waits: locks.len() as u64,
        statements: statements().count() as u64,
        wal_bytes: (!logged.is_empty()).then(|| logged.iter().sum()),
        probe_operations: latencies().map(|latency| latency.count).sum(),
        probe_errors: latencies().map(|latency| latency.errors).sum(),
        probe_wal_bytes: facts.cost.and_then(|(_, wal_bytes)| wal_bytes),
        harness_cpu_s: facts.cost.map(|(cpu_s, _)| cpu_s),
        harness_lag_max_ms: facts.lag_max_ms,
        tables: facts.sizes.len() as u64,
        rows: facts.sizes.values().map(|size| size.rows).sum(),
        errors: of_severity(Severity::Error),
        warnings: of_severity(Severity::Warning),
    }
}

fn without_start() -> Outcome {
    Outcome {
        format: FORMAT,
        outcome: Verdict::Inconclusive,
        exit_code: exit_code(Verdict::Inconclusive, None),
        why: vec![Why { what: "the log does not begin with the start of a run".into(), hint: None, log: Vec::new() }],
        not_judged: Vec::new(),
        not_rehearsed: Vec::new(),
        scenario: "unknown".into(),
        scenario_file: String::new(),
        run: String::new(),
        rehearsal_version: String::new(),
        started: String::new(),
        lab: String::new(),
        cores: 0,
        clone: None,
        baseline: None,
        nodes: Vec::new(),
        findings: Vec::new(),
        fail_on: Severity::Error,
        steps: Vec::new(),
        probes: Vec::new(),
        workloads: Vec::new(),
        consumers: Vec::new(),
        downtime: DowntimeTotals::default(),
        locks: Vec::new(),
        routing: Vec::new(),
        lag: Vec::new(),
        disk: Vec::new(),
        diff: None,
        phases: Vec::new(),
        totals: Totals::default(),
        notes: Vec::new(),
    }
}
