//! What the run did not rehearse, said as plainly as what it found.

use std::collections::{BTreeMap, BTreeSet};

use super::diffs;
use super::downtime::Judged;
use super::facts::{Comparison, Facts, ProbeFacts};
use super::growth::sampled;
use super::model::{Because, Gap, NotRehearsed, Step, StepState};
use super::words::{bare, count, duration, list, number, percent};
use crate::event::{DiffResult, Phase, StepRole};
use crate::scenario::{During, EngineKind, Node};

/// At most this many names stand in one line.
const NAMED: usize = 6;

/// Everything left unproven, in the order in which reports list it.
pub fn not_rehearsed(facts: &Facts<'_>, steps: &[Step]) -> Vec<NotRehearsed> {
    let mut gaps = Vec::new();
    gaps.extend(steps_not_run(steps));
    gaps.extend(sampled_tables(facts));
    gaps.extend(empty_tables(facts));
    gaps.extend(not_probed(facts));
    gaps.extend(workloads(facts));
    gaps.extend(load_and_role(facts));
    gaps.extend(replicas(facts));
    gaps.extend(machine(facts));
    gaps.extend(undo(facts));
    gaps.extend(network(facts));
    gaps.extend(comparison(facts));
    gaps.extend(traffic(facts));
    gaps.extend(comparisons(facts));
    gaps.extend(not_compared_nodes(facts));
    gaps
}

fn gap(kind: Gap, what: String, names: Vec<String>) -> NotRehearsed {
    NotRehearsed { kind, what, names }
}

fn steps_not_run(steps: &[Step]) -> Option<NotRehearsed> {
    let plan = || steps.iter().filter(|step| step.role == StepRole::Plan);
    let mut left: BTreeMap<usize, (&str, Vec<&str>)> = BTreeMap::new();
    for step in plan().filter(|step| matches!(step.result, StepState::Skipped | StepState::NotReached)) {
        // Names are each one step's, and those that ran come first.
        let first = plan().position(|other| other.name == step.name).unwrap_or_default();
        left.entry(first).or_insert((&step.name, Vec::new())).1.push(&step.node);
    }
    let names = left.into_values().map(|(name, nodes)| {
        let all = plan().filter(|step| step.name == name).count() == nodes.len();
        if all { name.to_owned() } else { format!("{name} on {}", list(&nodes, NAMED)) }
    });
    let names: Vec<String> = names.collect();
    let what = format!("{} of the plan did not run: {}", count(names.len() as u64, "step"), list(&names, NAMED));
    (!names.is_empty()).then(|| gap(Gap::StepNotRun, what, names))
}

fn sampled_tables(facts: &Facts<'_>) -> Vec<NotRehearsed> {
    let tables = sampled(facts).into_iter().map(|(table, rehearsed, production)| {
        let what = match rehearsed {
            Some(rows) => {
                format!(
                    "{table}: {} of production's {} rows ({})",
                    number(rows),
                    number(production),
                    percent(rows, production)
                )
            }
            None => format!("{table}: production's {} rows; none were counted here", number(production)),
        };
        gap(Gap::SampledTable, what, vec![table.into()])
    });
    tables.collect()
}

fn empty_tables(facts: &Facts<'_>) -> Option<NotRehearsed> {
    let names: Vec<String> =
        facts.sizes.iter().filter(|(_, size)| size.rows == 0).map(|(name, _)| (*name).into()).collect();
    let are = if names.len() == 1 { "is" } else { "are" };
    let what = format!("{} {are} empty: {}", count(names.len() as u64, "table"), list(&names, NAMED));
    (!names.is_empty()).then(|| gap(Gap::EmptyTable, what, names))
}

/// Tables of one reason in one line.
fn not_probed(facts: &Facts<'_>) -> Vec<NotRehearsed> {
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if !facts.scenario.probes.auto {
        let tables = facts.existing().into_iter().map(String::from).collect();
        reasons.insert("`auto = false` in `[probes]`".into(), tables);
    }
    for (_, none) in facts.not_probed.iter().filter(|(_, none)| !facts.retired(&none.table)) {
        let operation = none.operation.map_or_else(String::new, |operation| format!(" ({})", operation.name()));
        let (names, name) =
            (reasons.entry(none.reason.clone()).or_default(), format!("{}{operation}", bare(&none.table)));
        // Every shard says so.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for probe in facts.probes.values() {
        let Some((_, reason)) = probe.dropped else { continue };
        let retired = probe.spec.table.as_deref().is_some_and(|table| facts.retired(table));
        if !retired {
            reasons.entry(reason.into()).or_default().push(probe.spec.name.clone());
        }
    }
    let after: Vec<String> = unseen_after(facts).map(|probe| probe.spec.name.clone()).collect();
    if !after.is_empty() {
        reasons.insert("it had no answer after the last step".into(), after);
    }
    reasons
        .into_iter()
        .map(|(reason, names)| gap(Gap::NotProbed, format!("no probe for {}: {reason}", list(&names, NAMED)), names))
        .collect()
}

/// Probes that say nothing of what the plan left behind. One that was down to the end says it by that.
fn unseen_after<'f, 'a>(facts: &'f Facts<'a>) -> impl Iterator<Item = &'f ProbeFacts<'a>> {
    let over = facts.phases.iter().any(|run| run.phase == Phase::After && run.elapsed_ms.is_some());
    facts.probes.iter().filter_map(move |(id, probe)| {
        let answered = || facts.summaries.iter().any(|(_, of)| of.probe == *id && of.phase == Phase::After);
        let down = || facts.windows.iter().any(|window| window.probe == *id && window.to_the_end());
        let retired = || probe.spec.table.as_deref().is_some_and(|table| facts.retired(table));
        (over && probe.dropped.is_none() && !answered() && !down() && !retired()).then_some(probe)
    })
}

fn replicas(facts: &Facts<'_>) -> Option<NotRehearsed> {
    let nodes = facts.scenario.topology.followers();
    let names: Vec<String> = nodes.map(|node| node.name.clone()).filter(|name| !facts.was_probed(name)).collect();
    let probed = facts
        .scenario
        .topology
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .filter(|name| !names.iter().any(|other| other == name));
    let probed = list(&probed.collect::<Vec<_>>(), NAMED);
    let did = if names.iter().any(|name| facts.planned_node(name).is_some_and(|node| !node.peers.is_empty())) {
        "read from or wrote to"
    } else {
        "read from"
    };
    let what = format!("nobody {did} {}: all probes ran on {probed}", list(&names, NAMED));
    (!names.is_empty()).then(|| gap(Gap::NotProbed, what, names))
}

fn writers(facts: &Facts<'_>) -> String {
    let names: Vec<&str> = facts.scenario.topology.writers().map(|writer| writer.name.as_str()).collect();
    list(&names, NAMED)
}

/// Where replication carries rows and not pages, they may land elsewhere and nothing says so.
fn not_compared_nodes(facts: &Facts<'_>) -> Option<NotRehearsed> {
    let topology = &facts.scenario.topology;
    let by_rows =
        |node: &&Node| topology.engine != EngineKind::Postgres || !node.peers.is_empty() || node.subscribes.is_some();
    let compared = |node: &&Node| facts.comparisons.iter().any(|found| found.nodes.contains(&node.name));
    let left = topology.followers().filter(by_rows).filter(|node| !compared(node));
    let names: Vec<String> = left.map(|node| node.name.clone()).collect();
    let (names_of, writers) = (list(&names, NAMED), writers(facts));
    let what = format!("what {names_of} held in the end was not compared with {writers}: a `compare` step does");
    (!names.is_empty()).then(|| gap(Gap::Comparison, what, names))
}

/// Workloads that did not run beside the plan.
fn workloads(facts: &Facts<'_>) -> Vec<NotRehearsed> {
    let ran = |workload: Option<usize>| {
        let of = facts.workload_summaries.iter().filter(|summary| summary.phase == Phase::Plan && summary.count > 0);
        of.map(|summary| summary.workload).any(|ran| workload.is_none_or(|workload| ran == workload))
    };
    let mut gaps = Vec::new();
    if !ran(None) {
        let what = "no committed traffic of the application ran beside the plan".into();
        gaps.push(gap(Gap::Workload, what, Vec::new()));
    }
    for (nth, planned) in facts.scenario.workloads.iter().enumerate() {
        let for_plan = matches!(planned.during, During::During | During::All);
        let what = match facts.dropped(nth) {
            Some((nodes, reason)) if nodes.is_empty() => format!("workload \"{}\" was not run: {reason}", planned.name),
            Some((nodes, reason)) => {
                format!("workload \"{}\" was not run on {}: {reason}", planned.name, list(&nodes, NAMED))
            }
            None if for_plan && !ran(Some(nth)) && facts.plan_started_ms().is_some() => {
                format!("workload \"{}\" came to no iteration while the plan ran", planned.name)
            }
            None => continue,
        };
        gaps.push(gap(Gap::Workload, what, vec![planned.name.clone()]));
    }
    gaps
}

/// Tables whose rows changed by traffic, by who it was.
fn traffic(facts: &Facts<'_>) -> Vec<NotRehearsed> {
    let Some(diff) = diffs::merged(facts) else { return Vec::new() };
    let mut by: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
    let (unseen, mut perhaps) = (facts.traffic_unseen(), BTreeSet::new());
    let expected = facts.scenario.expect.unchanged.iter();
    let tables = diff.data.iter().map(|change| &change.table).chain(expected);
    for table in tables {
        let who = facts.traffic_on(table);
        if !who.is_empty() {
            by.entry(who).or_default().insert(bare(table).into());
        } else if !unseen.is_empty() {
            perhaps.insert(bare(table).to_owned());
        }
    }
    let line = |(who, tables): (Vec<String>, BTreeSet<String>)| {
        let names: Vec<String> = tables.into_iter().collect();
        let what = format!(
            "what changed in the rows of {} was not judged: changed by {} as well",
            list(&names, NAMED),
            list(&who, NAMED)
        );
        gap(Gap::Comparison, what, names)
    };
    let mut gaps: Vec<NotRehearsed> = by.into_iter().map(line).collect();
    if !perhaps.is_empty() {
        let names: Vec<String> = perhaps.into_iter().collect();
        let what = format!(
            "what changed in the rows of {} was not judged: it could not be seen what else is written by {}",
            list(&names, NAMED),
            list(&unseen, NAMED)
        );
        gaps.push(gap(Gap::Comparison, what, names));
    }
    gaps
}

fn load_and_role(facts: &Facts<'_>) -> Vec<NotRehearsed> {
    let probes = &facts.scenario.probes;
    let mut gaps = Vec::new();
    if probes.open_transaction.is_none() {
        let what = "no long transaction was kept open, so nothing had to queue behind one".into();
        gaps.push(gap(Gap::LongReader, what, Vec::new()));
    } else {
        gaps.extend(without_reader(facts));
    }
    if probes.run_as.is_none() && !facts.probes.is_empty() {
        let what = "probes ran as a role of the tool's own: lost grants of the application's role do not show in them";
        gaps.push(gap(Gap::Role, what.into(), Vec::new()));
    }
    gaps
}

/// Where a reader was asked for: tables that the plan touches and nobody could keep a transaction open on.
fn without_reader(facts: &Facts<'_>) -> Option<NotRehearsed> {
    let touched =
        facts.probes.values().filter(|probe| probe.spec.touched).filter_map(|probe| probe.spec.table.as_deref());
    let without: BTreeSet<&str> = touched.map(bare).filter(|table| !facts.readers.contains(table)).collect();
    let names: Vec<String> = without.into_iter().map(String::from).collect();
    let what = format!("no long transaction was kept open on {}", list(&names, NAMED));
    (!names.is_empty() && facts.plan_started_ms().is_some()).then(|| gap(Gap::LongReader, what, names))
}

fn machine(facts: &Facts<'_>) -> Vec<NotRehearsed> {
    let mut gaps = Vec::new();
    for node in facts.nodes.iter().filter(|node| !node.relaxed.is_empty()) {
        let settings: Vec<String> = node.relaxed.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let what =
            format!("{} ran with {}: its writes are faster than production's", node.name, list(&settings, NAMED));
        gaps.push(gap(Gap::RelaxedSettings, what, node.relaxed.keys().cloned().collect()));
    }
    for node in &facts.nodes {
        let asked = facts.scenario.topology.nodes.iter().find(|planned| planned.name == node.name);
        if let Some(asked) = asked.filter(|asked| !is_version(node.version, &asked.version)) {
            let what = format!(
                "{} ran {} {}, and the scenario asks for {}",
                node.name, node.engine, node.version, asked.version
            );
            gaps.push(gap(Gap::Version, what, vec![node.name.into()]));
        }
    }
    gaps.extend(facts.notes.iter().map(|note| gap(Gap::Clone, note.clone(), Vec::new())));
    gaps
}

/// "15.18 (Debian …)" is a "15", and not a "1".
fn is_version(server: &str, asked: &str) -> bool {
    server.strip_prefix(asked).is_some_and(|rest| !rest.starts_with(|letter: char| letter.is_ascii_digit()))
}

fn undo(facts: &Facts<'_>) -> Option<NotRehearsed> {
    let undone = |step: usize| facts.steps.iter().any(|run| run.role == StepRole::Undo && run.step == step);
    let names: Vec<String> = facts
        .scenario
        .steps
        .iter()
        .enumerate()
        .filter(|(index, planned)| !planned.undo.is_empty() && !undone(*index))
        .map(|(_, planned)| planned.name.clone())
        .collect();
    let what = format!("the undo of {} was not run", list(&names, NAMED));
    (!names.is_empty()).then(|| gap(Gap::Undo, what, names))
}

/// A program has this machine's whole network: production was not the target because nobody named it, not because nothing could.
fn network(facts: &Facts<'_>) -> Option<NotRehearsed> {
    let mut names: Vec<String> =
        facts.steps.iter().filter(|run| run.action == "command").map(|run| run.name.into()).collect();
    names.extend(facts.consumers.iter().map(|consumer| consumer.name.into()));
    names.dedup();
    let ran = if names.len() == 1 { "a program" } else { "programs" };
    let what = format!(
        "{} ran {ran} with this machine's network and files: nothing kept them from servers other than the lab's",
        list(&names, NAMED)
    );
    (!names.is_empty()).then(|| gap(Gap::Network, what, names))
}

/// Tables of one reason in one line.
fn comparison(facts: &Facts<'_>) -> Vec<NotRehearsed> {
    let Some(diff) = diffs::merged(facts) else {
        return vec![gap(Gap::Comparison, "schema and data before and after were not compared".into(), Vec::new())];
    };
    let mut gaps = not_compared(&diff, "");
    let writers = facts.scenario.topology.writers().map(|writer| writer.name.clone());
    let missed: Vec<String> = writers.filter(|name| !facts.diffs.iter().any(|diffed| diffed.node == *name)).collect();
    // A single one may have no name in an older log.
    if !missed.is_empty() && facts.scenario.topology.shards() > 1 {
        let what = format!("schema and data before and after were not compared on {}", list(&missed, NAMED));
        gaps.push(gap(Gap::Comparison, what, missed));
    }
    gaps
}

/// What the comparisons of nodes left out.
fn comparisons(facts: &Facts<'_>) -> Vec<NotRehearsed> {
    let of = |found: &Comparison<'_>| not_compared(found.diff, &format!(" between {}", found.nodes.join(" and ")));
    facts.comparisons.iter().flat_map(of).collect()
}

fn not_compared(diff: &DiffResult, between: &str) -> Vec<NotRehearsed> {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for not in &diff.not_compared {
        reasons.entry(&not.reason).or_default().push(bare(&not.table).into());
    }
    let line = |(reason, names): (&str, Vec<String>)| {
        gap(Gap::Comparison, format!("rows not compared{between} of {}: {reason}", list(&names, NAMED)), names)
    };
    reasons.into_iter().map(line).collect()
}

/// Stalls that count for nothing, for the reader to judge.
pub fn stalls(judged: &[Judged<'_, '_>]) -> Vec<String> {
    let mut notes = Vec::new();
    for (because, tail) in [
        (Because::Unexplained, "had no cause that is the release's, and count for nothing"),
        (Because::Harness, "came while the harness itself was late, and count for nothing"),
    ] {
        let lengths: Vec<f64> = judged
            .iter()
            .filter(|window| window.because == because)
            .map(|window| window.facts.interval.length_ms())
            .collect();
        if !lengths.is_empty() {
            let longest = duration(lengths.iter().copied().fold(0.0, f64::max));
            notes.push(format!("{} of probes, up to {longest}, {tail}", count(lengths.len() as u64, "stall")));
        }
    }
    notes
}
