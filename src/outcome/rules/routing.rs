//! What the plan did to where users are sent: sides that nobody could have stood in for, and clients that did not obey.

use std::collections::BTreeMap;

use super::finding;
use crate::event::Owner;
use crate::finding::{Code, Finding};
use crate::outcome::facts::{Facts, RefusedRoute, StepRun, Stray};
use crate::outcome::words::{count, list, moment};

pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = facts.refused.iter().map(|refused| without_side(facts, refused)).collect();
    let mut whose: BTreeMap<(&str, String), Vec<&Stray<'_>>> = BTreeMap::new();
    for stray in &facts.strays {
        whose.entry((stray.node, who(facts, stray))).or_default().push(stray);
    }
    found.extend(whose.into_iter().map(|((node, who), strays)| connected(facts, node, &who, &strays)));
    found
}

fn without_side(facts: &Facts<'_>, refused: &RefusedRoute<'_>) -> Finding {
    let run = facts.steps.iter().rfind(|run| (run.step, run.role) == (refused.step, refused.role));
    let subject = run.map_or_else(|| "a step".to_owned(), |run| format!("step \"{}\"", run.name));
    let condition = format!("{subject} could not take out {}: {}", list(refused.nodes, 5), refused.what);
    let found = finding(Code::ShardWithoutSide, condition).resting_on([refused.seq]);
    match run {
        Some(run) => found.at(run),
        None => found,
    }
}

/// `probe "checkout"`, `mysql as root`.
fn who(facts: &Facts<'_>, stray: &Stray<'_>) -> String {
    let name = facts.owner(&stray.session.owner);
    match &stray.session.owner {
        Owner::Other { application } if application != stray.user && !stray.user.is_empty() => {
            format!("{name} as {}", stray.user)
        }
        _ => name,
    }
}

/// What one client did on one node, first to last.
fn connected(facts: &Facts<'_>, node: &str, who: &str, strays: &[&Stray<'_>]) -> Finding {
    let first = strays[0];
    let step = running(facts, first.at_ms);
    let since = taken_out(facts, node, first.at_ms);
    let mut condition = format!("{who} talked to {node} at {}", moment(first.at_ms));
    if let Some(run) = step {
        condition.push_str(&format!(", during step \"{}\"", run.name));
    }
    if let Some((out_ms, _)) = since {
        condition.push_str(&format!(", and it was out since {}", moment(out_ms)));
    }
    if strays.len() > 1 {
        condition.push_str(&format!("; {} were seen", count(strays.len() as u64, "session")));
    }
    let evidence = strays.iter().map(|stray| stray.seq).chain(since.map(|(_, seq)| seq));
    let mut found = finding(Code::ConnectionToDisabledNode, condition).resting_on(evidence);
    found.step = step.map(|run| run.name.into());
    found.node = Some(node.into());
    found
}

/// The step that ran at that moment, or the last before it.
fn running<'f, 'a>(facts: &'f Facts<'a>, at_ms: f64) -> Option<&'f StepRun<'a>> {
    facts.felt().filter(|run| run.started_ms <= at_ms).last()
}

/// When a node was taken out that was out at that moment, and the event that says so.
fn taken_out(facts: &Facts<'_>, node: &str, at_ms: f64) -> Option<(f64, u64)> {
    let until = facts.routed.iter().rev().skip_while(|routed| routed.at_ms > at_ms);
    let out = until.take_while(|routed| routed.routing.is_out(node)).last()?;
    Some((out.at_ms, out.seq))
}
