//! What the plan did to the replicas: standstills, and lag beyond the limit.

use super::finding;
use crate::finding::{Code, Finding};
use crate::outcome::downtime::{Regime, regimes};
use crate::outcome::facts::{Facts, LagFacts, Standstill, StepRun};
use crate::outcome::words::{bytes, duration, moment, one_line};
use crate::stats::Interval;

/// At most this much of a line of a log stands in a finding.
const LINE: usize = 160;

pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = facts.standstills.iter().map(|standstill| broken(facts, standstill)).collect();
    for regime in &regimes(facts) {
        found.extend(replicas(facts).filter_map(|node| lagged(facts, regime, node)));
    }
    found
}

/// Those that replicated to the end; of the others a standstill says more than a lag that only grew.
fn replicas<'f, 'a>(facts: &'f Facts<'a>) -> impl Iterator<Item = &'a str> + use<'f, 'a> {
    let replicas = facts.scenario.topology.followers();
    let stood = |name: &str| facts.standstills.iter().any(|standstill| standstill.node == name);
    replicas.map(|node| node.name.as_str()).filter(move |name| !stood(name))
}

fn broken(facts: &Facts<'_>, standstill: &Standstill<'_>) -> Finding {
    let mut seen = facts.lag.iter().filter(|lag| lag.sample.node == standstill.node && lag.at_ms <= standstill.at_ms);
    let last = seen.next_back();
    // The first commit that never arrived.
    let since = last.and_then(|lag| lag.sample.since_ms).unwrap_or(standstill.at_ms);
    let subscribes = facts.planned_node(standstill.node).is_some_and(|node| node.subscribes.is_some());
    let did = if subscribes { "applied" } else { "replayed" };
    let mut condition = format!("{} has {did} nothing since {}: {}", standstill.node, moment(since), standstill.what);
    if let Some(missing) = standstill.behind_bytes {
        condition.push_str(&format!("; {} of log are missing there", bytes(missing)));
    }
    if let Some(line) = reason(standstill.log) {
        condition.push_str(&format!("; its log says: {}", one_line(line, LINE)));
    }
    let evidence = last.map(|lag| lag.seq).into_iter().chain([standstill.seq]);
    let mut found = finding(Code::ReplicationBroken, condition).resting_on(evidence);
    found.step = began_before(facts, standstill.node, since).map(|run| run.name.into());
    found.node = Some(standstill.node.into());
    found
}

/// The line of a log that says why: the last that is a complaint.
fn reason(log: &[String]) -> Option<&str> {
    let complaint =
        |line: &str| ["PANIC:", "FATAL:", "ERROR:", "[ERROR]", "WARNING:"].iter().find_map(|mark| line.find(mark));
    log.iter().rev().find_map(|line| complaint(line).map(|at| line[at..].trim()))
}

/// The step that ran at that moment, or the last before it. A writer of the node's that was restarted just before could commit nothing
/// that might have been missed.
fn began_before<'f, 'a>(facts: &'f Facts<'a>, node: &str, at_ms: f64) -> Option<&'f StepRun<'a>> {
    const JUST_BEFORE_MS: f64 = 1000.0;
    let lately = Interval::new((at_ms - JUST_BEFORE_MS).max(0.0), at_ms);
    let restart = facts.felt().filter(|run| run.action == "restart" && facts.writes_for(run.node, node));
    let restart = restart.filter(|run| run.interval(facts.end_ms).overlaps(lately));
    let before = facts.felt().filter(|run| run.started_ms <= at_ms);
    restart.last().or_else(|| before.last()).or_else(|| facts.felt().next())
}

/// The furthest that a node was behind under one regime, where that is too far.
fn lagged(facts: &Facts<'_>, regime: &Regime<'_, '_>, node: &str) -> Option<Finding> {
    let limit_ms = regime.limits.lag?.as_secs_f64() * 1e3;
    let over: Vec<(&LagFacts<'_>, f64)> = behind(facts, regime, node).filter(|(_, ms)| *ms > limit_ms).collect();
    let (worst, worst_ms) = over.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let since = worst.sample.since_ms.unwrap_or(worst.at_ms - worst_ms);
    let run = regime.own.or_else(|| began_before(facts, node, since));
    let condition = format!(
        "{node} was up to {} behind, at {}, and the limit is {}{}",
        duration(*worst_ms),
        moment(worst.at_ms),
        duration(limit_ms),
        run.map_or_else(String::new, |run| format!("; it fell behind in step \"{}\"", run.name)),
    );
    let mut found = finding(Code::LagExceeded, condition).resting_on(over.iter().map(|(lag, _)| lag.seq));
    found.step = run.map(|run| run.name.into());
    found.node = Some(node.into());
    Some(found)
}

/// A node's lag from the plan's beginning on, under the regime in force when it was told: event, milliseconds.
pub fn behind<'r, 'f: 'r, 'a>(
    facts: &'f Facts<'a>,
    regime: &'r Regime<'f, 'a>,
    node: &'r str,
) -> impl Iterator<Item = (&'f LagFacts<'a>, f64)> + use<'r, 'f, 'a> {
    let began = facts.plan_started_ms().unwrap_or(f64::INFINITY);
    let told = facts.lag.iter().filter(move |lag| lag.sample.node == node && lag.at_ms >= began);
    let under = told.filter(move |lag| !regime.cut(Interval::new(lag.at_ms - 1.0, lag.at_ms)).is_empty());
    // What was behind before is nothing of the release's.
    under.map(move |lag| (lag, lag.sample.max_ms.min(lag.at_ms - began)))
}
