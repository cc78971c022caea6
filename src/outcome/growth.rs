//! No false comfort: limits that were kept on a sample, by work that grows with the table.

use super::downtime::{self, Judged, Regime, Side, counted, regimes};
use super::facts::{Facts, StepRun};
use super::model::{LimitKind, NotJudged};
use super::rules::replication;
use super::rules::steps::window_ms;
use super::words::{bare, duration, number};
use crate::event::{Phase, Statement, Work};
use crate::finding::{Code, Finding};
use crate::scenario::ProbeKind;
use crate::stats::{Interval, Latencies, covered_ms};

/// A table of which production has more rows than were rehearsed.
#[derive(Debug, Clone, PartialEq)]
struct Growth {
    table: String,
    rehearsed: Option<u64>,
    production: u64,
    /// How the work grows with it: "ALTER TABLE rewrites orders".
    how: String,
}

impl Growth {
    fn factor(&self) -> f64 {
        self.production as f64 / self.rehearsed.unwrap_or(0).max(1) as f64
    }
}

/// Rows that production holds, as the scenario says.
pub fn production_rows(facts: &Facts<'_>, table: &str) -> Option<u64> {
    let rows = &facts.scenario.snapshot.production_rows;
    rows.iter().find(|(name, _)| bare(name) == bare(table)).map(|(_, rows)| *rows)
}

/// Tables of which production has more rows than were rehearsed: name, rehearsed, production.
pub fn sampled<'a>(facts: &Facts<'a>) -> Vec<(&'a str, Option<u64>, u64)> {
    let tables = facts.scenario.snapshot.production_rows.iter().map(|(table, production)| {
        let table = bare(table);
        (table, facts.sizes.get(table).map(|size| size.rows), *production)
    });
    tables.filter(|(_, rehearsed, production)| rehearsed.is_none_or(|rows| rows < *production)).collect()
}

/// Every limit that was kept and proves nothing about production. `findings` tells which limits were broken.
pub fn not_judged(facts: &Facts<'_>, judged: &[Judged<'_, '_>], findings: &[Finding]) -> Vec<NotJudged> {
    let mut entries = unseen(facts, judged, findings);
    if sampled(facts).is_empty() {
        return entries;
    }
    let grown = grown(facts, judged, findings);
    let known = |entry: &NotJudged| entries.iter().any(|one| (one.limit, &one.step) == (entry.limit, &entry.step));
    let further: Vec<NotJudged> = grown.into_iter().filter(|entry| !known(entry)).collect();
    entries.extend(further);
    entries
}

/// Limits on what users feel that no probe could have seen broken. A fresh connection says nothing of a table.
fn unseen(facts: &Facts<'_>, judged: &[Judged<'_, '_>], findings: &[Finding]) -> Vec<NotJudged> {
    let mut entries = Vec::new();
    // A run cut short in its plan comes to no verdict, and its probes to no summary.
    if !facts.phases.iter().any(|run| run.phase == Phase::Plan && run.elapsed_ms.is_some()) {
        return entries;
    }
    let ran: Vec<ProbeKind> = facts
        .summaries
        .iter()
        .filter(|(_, summary)| summary.phase == Phase::Plan)
        .filter_map(|(_, summary)| facts.probes.get(&summary.probe))
        .map(|probe| probe.spec.kind)
        .collect();
    let nobody = |limit, regime: &Regime<'_, '_>, limit_ms, what: &str| NotJudged {
        limit,
        step: regime.own.map(|run| run.name.into()),
        limit_ms,
        measured_ms: 0.0,
        table: None,
        rehearsed_rows: None,
        production_rows: None,
        reason: format!("no probe of {what} ran while the plan did"),
    };
    for regime in &regimes(facts) {
        for side in Side::BOTH.into_iter().filter(|side| !ran.contains(&side.kind())) {
            let kept = downtime::counted(facts, judged, side, regime).next().is_none();
            if let Some(limit_ms) = side.limit_ms(regime.limits).filter(|_| kept) {
                entries.push(nobody(side.limit_kind(), regime, limit_ms, side.words()));
            }
        }
        if let Some(limit) = regime.limits.lag.filter(|_| !lag_is_broken(findings, regime))
            && let Some((node, ms)) = unmeasured_lag(facts, regime)
        {
            let limit_ms = limit.as_secs_f64() * 1e3;
            let reason = format!("how far {node} was behind could not be measured for {}", duration(ms));
            entries.push(NotJudged { reason, ..nobody(LimitKind::Lag, regime, limit_ms, "") });
        }
        let none = !ran.iter().any(|kind| *kind != ProbeKind::Connect);
        if let Some(limit) = regime.limits.p99.filter(|_| none && !broken(findings, Code::LatencyExceeded, regime)) {
            entries.push(nobody(LimitKind::P99, regime, limit.as_secs_f64() * 1e3, "reads or writes"));
        }
    }
    entries
}

fn grown(facts: &Facts<'_>, judged: &[Judged<'_, '_>], findings: &[Finding]) -> Vec<NotJudged> {
    let mut entries: Vec<NotJudged> = facts.felt().filter_map(|run| budget(facts, run)).collect();
    entries.extend(window(facts));
    for regime in &regimes(facts) {
        for side in Side::BOTH {
            entries.extend(down(facts, judged, side, regime));
        }
        entries.extend(p99(facts, regime, findings));
        entries.extend(lock_wait(facts, regime, findings));
        entries.extend(lag(facts, regime, findings));
    }
    entries
}

fn budget(facts: &Facts<'_>, run: &StepRun<'_>) -> Option<NotJudged> {
    let limit_ms = facts.planned(run)?.budget?.as_secs_f64() * 1e3;
    let measured_ms = run.done()?.elapsed_ms;
    let growth = worst(grows(facts, run))?;
    (measured_ms <= limit_ms).then(|| entry(LimitKind::Budget, Some(run.name), limit_ms, measured_ms, growth))
}

fn window(facts: &Facts<'_>) -> Option<NotJudged> {
    let limit_ms = facts.scenario.limits.window?.as_secs_f64() * 1e3;
    let measured_ms = window_ms(facts);
    let counts = |run: &&StepRun<'_>| {
        facts.planned(run).is_some_and(|planned| !planned.outside_window && planned.takes.is_none())
    };
    let growth = worst(facts.plan().filter(counts).flat_map(|run| grows(facts, run)))?;
    (measured_ms <= limit_ms).then(|| entry(LimitKind::Window, None, limit_ms, measured_ms, growth))
}

fn down(facts: &Facts<'_>, judged: &[Judged<'_, '_>], side: Side, regime: &Regime<'_, '_>) -> Option<NotJudged> {
    let limit_ms = side.limit_ms(regime.limits)?;
    let measured_ms = covered_ms(counted(facts, judged, side, regime).map(|(_, cut)| cut));
    let growth = worst(blocking(facts, regime, Some(side)))?;
    let step = regime.own.map(|run| run.name);
    (measured_ms <= limit_ms).then(|| entry(side.limit_kind(), step, limit_ms, measured_ms, growth))
}

fn p99(facts: &Facts<'_>, regime: &Regime<'_, '_>, findings: &[Finding]) -> Option<NotJudged> {
    let limit_ms = regime.limits.p99?.as_secs_f64() * 1e3;
    if broken(findings, Code::LatencyExceeded, regime) {
        return None;
    }
    let plan = facts.summaries.iter().filter(|(_, summary)| summary.phase == Phase::Plan);
    let worst_ms = plan
        .filter_map(|(_, summary)| Latencies::decode(&summary.histogram).ok())
        .map(|latencies| latencies.percentile_ms(99.0))
        .fold(0.0, f64::max);
    let growth = worst(blocking(facts, regime, None))?;
    Some(entry(LimitKind::P99, regime.own.map(|run| run.name), limit_ms, worst_ms.min(limit_ms), growth))
}

fn lock_wait(facts: &Facts<'_>, regime: &Regime<'_, '_>, findings: &[Finding]) -> Option<NotJudged> {
    let limit_ms = regime.limits.lock_wait?.as_secs_f64() * 1e3;
    if broken(findings, Code::LockWaitExceeded, regime) {
        return None;
    }
    let longest_ms = facts.waits.iter().filter_map(|wait| wait.elapsed_ms).fold(0.0, f64::max);
    let growth = worst(blocking(facts, regime, None))?;
    Some(entry(LimitKind::LockWait, regime.own.map(|run| run.name), limit_ms, longest_ms.min(limit_ms), growth))
}

/// Whatever writes more log in production keeps a replica busy for longer.
fn lag(facts: &Facts<'_>, regime: &Regime<'_, '_>, findings: &[Finding]) -> Option<NotJudged> {
    let limit_ms = regime.limits.lag?.as_secs_f64() * 1e3;
    if lag_is_broken(findings, regime) {
        return None;
    }
    let nodes = facts.scenario.topology.nodes.iter();
    let worst_ms =
        nodes.flat_map(|node| replication::behind(facts, regime, &node.name).map(|(_, ms)| ms)).fold(0.0, f64::max);
    let runs = facts.plan().filter(|run| regime.governs(run, facts));
    let growth = worst(runs.flat_map(|run| grows(facts, run)))?;
    Some(entry(LimitKind::Lag, regime.own.map(|run| run.name), limit_ms, worst_ms.min(limit_ms), growth))
}

fn lag_is_broken(findings: &[Finding], regime: &Regime<'_, '_>) -> bool {
    broken(findings, Code::LagExceeded, regime) || findings.iter().any(|one| one.code == Code::ReplicationBroken)
}

/// The node of whose lag nothing was known for longest, where that is longer than a look may take. While the writer restarts there is
/// nothing to be behind of.
fn unmeasured_lag<'a>(facts: &Facts<'a>, regime: &Regime<'_, 'a>) -> Option<(&'a str, f64)> {
    const LOOK_MS: f64 = 3000.0;
    let began = facts.plan_started_ms()?;
    let restarts = |span: Interval, node: &str| {
        let runs = facts.felt().filter(|run| run.action == "restart" && facts.writes_for(run.node, node));
        runs.map(|run| run.interval(facts.end_ms)).any(|restart| restart.overlaps(span))
    };
    let told = facts.lag.iter().filter(|lag| lag.at_ms >= began);
    let long = told.filter_map(|lag| {
        let ms = lag.sample.unmeasured_ms.min(lag.at_ms - began);
        let span = Interval::new(lag.at_ms - ms, lag.at_ms);
        let open = ms > LOOK_MS && !restarts(span, &lag.sample.node) && !regime.cut(span).is_empty();
        open.then_some((lag.sample.node.as_str(), ms))
    });
    long.max_by(|a, b| a.1.total_cmp(&b.1))
}

fn broken(findings: &[Finding], code: Code, regime: &Regime<'_, '_>) -> bool {
    findings.iter().any(|finding| {
        let own = regime.own.is_none_or(|run| finding.step.as_deref() == Some(run.name));
        finding.code == code && own
    })
}

/// Growth of every statement of a step; of a program whose statements are not known, of the most sampled table.
fn grows(facts: &Facts<'_>, run: &StepRun<'_>) -> Vec<Growth> {
    if run.action == "command" && run.statements.is_empty() {
        return unknown(facts, &format!("step \"{}\"", run.name));
    }
    run.statements.iter().flat_map(|(_, statement)| growth(facts, statement)).collect()
}

/// Growth of the statements under a regime that keep users from a table while they work; of either side if none is named.
fn blocking(facts: &Facts<'_>, regime: &Regime<'_, '_>, side: Option<Side>) -> Vec<Growth> {
    let mut found = Vec::new();
    for run in facts.plan().filter(|run| regime.governs(run, facts) && facts.is_on_writer(run)) {
        if run.action == "command" && run.statements.is_empty() {
            found.extend(unknown(facts, &format!("step \"{}\"", run.name)));
        }
        // Locks last to the end of the transaction, so what runs later in it is waited for as well.
        let mut held = false;
        for (_, statement) in &run.statements {
            let stops = stops(statement, side);
            held = statement.in_transaction && (held || stops);
            if held || stops {
                found.extend(growth(facts, statement));
            }
        }
    }
    found
}

fn stops(statement: &Statement, side: Option<Side>) -> bool {
    // What is held for a moment is held no longer on a larger table.
    let by_table = statement.locks.iter().filter(|lock| !lock.brief).any(|lock| match side {
        Some(Side::Read) => lock.stops_reads,
        Some(Side::Write) => lock.stops_writes,
        None => lock.stops_reads || lock.stops_writes,
    });
    // Changed rows are locked against other writers until the end, which no lock on the table shows.
    let by_row = statement.work == Work::ChangesRows && side != Some(Side::Read);
    // The locks of a program's statements were sampled from outside, and a short one can be missed.
    let unseen = statement.recovered && statement.locks.is_empty();
    by_table || by_row || unseen
}

fn growth(facts: &Facts<'_>, statement: &Statement) -> Vec<Growth> {
    let verb = match statement.work {
        Work::Constant => return Vec::new(),
        Work::Unknown => {
            let what = if statement.command.is_empty() { "a statement" } else { &statement.command };
            return unknown(facts, &format!("{what} of a program"));
        }
        Work::Scans => "reads all of",
        Work::ChangesRows => "changes rows of",
        Work::Builds => "builds from",
        Work::Rewrites => "rewrites",
    };
    let what = if statement.command.is_empty() { "a statement" } else { &statement.command };
    let grown = statement.grows_with.iter().filter_map(|table| {
        let how = format!("{what} {verb} {}", bare(table));
        let Some(production) = production_rows(facts, table) else { return misnamed(facts, how) };
        let rehearsed = facts.sizes.get(bare(table)).map(|size| size.rows);
        let more = rehearsed.is_none_or(|rows| rows < production);
        more.then(|| Growth { table: bare(table).into(), rehearsed, production, how })
    });
    grown.collect()
}

/// Rows are given for a table that is not there: it may well be this one.
fn misnamed(facts: &Facts<'_>, how: String) -> Option<Growth> {
    let (table, rehearsed, production) = sampled(facts).into_iter().find(|(_, rehearsed, _)| rehearsed.is_none())?;
    let how = format!("{how}, and `production_rows` speaks of {table}, which is not there");
    Some(Growth { table: table.into(), rehearsed, production, how })
}

/// Of what was not measured, every table that was sampled may be what it grows with.
fn unknown(facts: &Facts<'_>, what: &str) -> Vec<Growth> {
    let tables = sampled(facts).into_iter();
    tables
        .map(|(table, rehearsed, production)| {
            let how = format!("what {what} does to {table} was not measured");
            Growth { table: table.into(), rehearsed, production, how }
        })
        .collect()
}

fn worst(growths: impl IntoIterator<Item = Growth>) -> Option<Growth> {
    growths.into_iter().max_by(|a, b| a.factor().total_cmp(&b.factor()))
}

fn entry(limit: LimitKind, step: Option<&str>, limit_ms: f64, measured_ms: f64, growth: Growth) -> NotJudged {
    let rehearsed = growth.rehearsed.map_or_else(|| "an unknown number of".into(), number);
    let production = number(growth.production);
    let reason = format!("{}: {rehearsed} of production's {production} rows were rehearsed", growth.how);
    NotJudged {
        limit,
        step: step.map(Into::into),
        limit_ms,
        measured_ms,
        table: Some(growth.table),
        rehearsed_rows: growth.rehearsed,
        production_rows: Some(growth.production),
        reason,
    }
}
