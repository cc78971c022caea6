//! Steps on several nodes.

use super::{Log, step};
use crate::event::{Event, Recorded, StepError, StepResult, StepRole};
use crate::scenario::{Node, Scenario};

/// A primary and two standbys, and a step on all of them.
pub fn on_three(scenario: &mut Scenario) {
    let primary = scenario.topology.nodes[0].clone();
    for name in ["near", "far"] {
        let replicates = Some(primary.name.clone());
        scenario.topology.nodes.push(Node { name: name.into(), replicates, ..primary.clone() });
    }
    scenario.steps[0].on = vec!["primary".into(), "near".into(), "far".into()];
    scenario.steps.push(step("then"));
}

pub fn on_node(log: &mut Log, node: &str, at_ms: f64, took_ms: f64, result: StepResult) {
    let (step, role, node) = (0, StepRole::Plan, node.to_owned());
    let (name, action) = ("change".to_owned(), "file".to_owned());
    log.at(at_ms, Event::StepStarted { step, name, node: node.clone(), action, role, statements: None });
    let what = "permission denied".to_owned();
    let error = (result == StepResult::Failed).then_some(StepError { what, sql: None, place: None, exit: None });
    let (output, rows) = (None, None);
    log.at(at_ms + took_ms, Event::StepEnded { step, role, node, result, elapsed_ms: took_ms, error, output, rows });
}

/// Done on the first, failed on the second, and not begun on the third.
pub fn failed_on_one() -> Vec<Recorded> {
    let mut log = Log::new(on_three);
    on_node(&mut log, "primary", 2000.0, 100.0, StepResult::Done);
    on_node(&mut log, "near", 2200.0, 50.0, StepResult::Failed);
    on_node(&mut log, "far", 2300.0, 0.0, StepResult::Skipped);
    log.ended()
}
