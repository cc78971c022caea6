//! What the application's own traffic met: statements of workloads that fail since the plan, consumers that ended.

use std::collections::BTreeMap;

use super::finding;
use crate::event::Phase;
use crate::finding::{Code, Finding};
use crate::outcome::downtime::is_connection_error;
use crate::outcome::facts::{Facts, StepRun, is_only_late};
use crate::outcome::traffic::{ConsumerFacts, WorkloadFailure};
use crate::outcome::words::{count, list, moment, number};
use crate::scenario::During;

/// What to do of a workload that had no control run.
const UNTRIED: &str =
    "let its file and the schema that the plan leaves agree: what runs after the plan alone is not tried before it";

pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = first_failures(facts).into_iter().map(|failures| failed(facts, &failures)).collect();
    found.extend(facts.consumers.iter().filter_map(|consumer| ended(facts, consumer)));
    found
}

/// What is of the release, by workload, place and code; each list in order.
fn first_failures<'f, 'a>(facts: &'f Facts<'a>) -> Vec<Vec<&'f WorkloadFailure<'a>>> {
    let before = |failure: &WorkloadFailure<'_>| failure.failed.phase == Phase::Control;
    let alike = |one: &WorkloadFailure<'_>, other: &WorkloadFailure<'_>| {
        one.failed.workload == other.failed.workload
            && facts.shard(&one.failed.node) == facts.shard(&other.failed.node)
            && one.failed.place == other.failed.place
            && one.failed.error.code == other.failed.error.code
    };
    let mut kinds: BTreeMap<(usize, &str, usize, &str), Vec<&WorkloadFailure<'_>>> = BTreeMap::new();
    for failure in facts.workload_failures.iter().filter(|failure| !before(failure)) {
        let known = facts.workload_failures.iter().any(|other| before(other) && alike(failure, other));
        let late = failure.failed.gave_up || is_only_late(&failure.failed.error.code);
        if !known && !late && !while_restarting(facts, failure) {
            let (place, failed) = (&failure.failed.place, failure.failed);
            let kind = (failed.workload, place.file.as_str(), place.line, failed.error.code.as_str());
            kinds.entry(kind).or_default().push(failure);
        }
    }
    kinds.into_values().collect()
}

fn while_restarting(facts: &Facts<'_>, failure: &WorkloadFailure<'_>) -> bool {
    let restarts = |run: &StepRun<'_>| {
        let interval = run.interval(facts.end_ms);
        run.action == "restart" && (interval.start_ms..=interval.end_ms + 1e3).contains(&failure.at_ms)
    };
    is_connection_error(&failure.failed.error.code) && facts.felt().any(restarts)
}

fn failed(facts: &Facts<'_>, failures: &[&WorkloadFailure<'_>]) -> Finding {
    let (first, failed) = (failures[0], failures[0].failed);
    let name = facts.owner(&crate::event::Owner::Workload { workload: failed.workload });
    let (run, step) = step_at(facts, first.at_ms);
    let mut nodes: Vec<&str> = failures.iter().map(|failure| failure.failed.node.as_str()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let shards: Vec<Option<usize>> = nodes.iter().map(|node| facts.shard(node)).collect();
    let on = match facts.routing.shards.len() > 1 && !nodes.contains(&"") {
        true => format!(" on {}", list(&nodes, usize::MAX)),
        false => String::new(),
    };
    let of_them = |shard: Option<u32>| shard.is_none_or(|shard| shards.contains(&(shard as usize).checked_sub(1)));
    let since = facts
        .workload_summaries
        .iter()
        .filter(|summary| summary.workload == failed.workload && matches!(summary.phase, Phase::Plan | Phase::After))
        .filter(|summary| of_them(summary.shard));
    let (errors, all) = since.fold((0, 0), |(errors, all), summary| (errors + summary.errors, all + summary.count));
    let untried = facts.scenario.workloads.get(failed.workload).is_some_and(|planned| planned.during == During::After);
    let when = match untried {
        true => "after the plan, and nobody saw whether it would have worked before",
        false => "while the plan ran and after it",
    };
    let condition = format!(
        "{name} failed{on} at {}:{} from {} on{step}: {} ({}); {} of {} failed {when}",
        failed.place.file,
        failed.place.line,
        moment(first.at_ms),
        failed.error.message,
        failed.error.code,
        number(errors),
        count(all, "iteration"),
    );
    let found = finding(Code::WorkloadFailed, condition).resting_on(failures.iter().map(|failure| failure.seq));
    let found = if untried { found.instead(UNTRIED) } else { found };
    match run {
        Some(run) => found.at(run),
        None => found,
    }
}

/// The step that ran at that moment, or else the last before it, in words.
fn step_at<'f, 'a>(facts: &'f Facts<'a>, at_ms: f64) -> (Option<&'f StepRun<'a>>, String) {
    if let Some(run) = facts.running_at(at_ms) {
        return (Some(run), format!(", during step \"{}\"", run.name));
    }
    match facts.felt().filter(|run| run.started_ms <= at_ms).last() {
        Some(run) => (Some(run), format!(", after step \"{}\"", run.name)),
        None => (None, String::new()),
    }
}

/// A consumer that ended by itself before the plan is no finding: the run says so itself.
fn ended(facts: &Facts<'_>, consumer: &ConsumerFacts<'_>) -> Option<Finding> {
    let end = consumer.ended.as_ref().filter(|end| !end.asked)?;
    facts.plan_started_ms().filter(|began| *began <= end.at_ms)?;
    let how = match (end.exit, end.signal) {
        (Some(status), _) => format!("with exit status {status}"),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => "by itself".to_owned(),
    };
    let (run, step) = step_at(facts, end.at_ms);
    let condition = format!(
        "consumer \"{}\" of {} ended {how} at {}{step}; its output is in {}",
        consumer.name,
        consumer.node,
        moment(end.at_ms),
        consumer.output
    );
    let found = finding(Code::ConsumerEnded, condition).resting_on([consumer.seq, end.seq]);
    Some(match run {
        Some(run) => found.at(run),
        None => found,
    })
}
