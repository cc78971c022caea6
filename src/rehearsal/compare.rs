//! Steps that compare nodes with each other.

use std::time::{Duration, Instant};

use super::run::{Failure, SAMPLES, millis};
use super::step::{Cut, Ended, Runner, Running};
use crate::diff::{self, CompareOptions, DiffError};
use crate::event::{Event, with_causes};
use crate::topology::Node;

/// For each node to get what the others have written.
const ARRIVES: Duration = Duration::from_secs(120);

/// Compares each of the nodes, at least two, with the first, once each has what the others wrote. `what` is whether schema and data are
/// compared.
pub(super) async fn run(
    runner: &Runner<'_>,
    running: &Running<'_>,
    nodes: &[&Node],
    what: (bool, bool),
) -> Result<Ended, Cut> {
    let others = nodes.iter().copied().filter(|node| !runner.topology.is_writer(node)).collect();
    let behind = runner.behind(running, others, ARRIVES).await?;
    if !behind.is_empty() {
        return Ok(Ended::failed(behind.join("; ")));
    }
    let mut unlike = Vec::new();
    for other in &nodes[1..] {
        match pair(runner, running, [nodes[0], other], what).await? {
            Ok(true) => {}
            Ok(false) => unlike.push(format!("{} and {} are not alike", nodes[0].name(), other.name())),
            Err(refused) => unlike.push(refused),
        }
    }
    Ok(if unlike.is_empty() { Ended::default() } else { Ended::failed(unlike.join("; ")) })
}

/// Whether they are alike; else, inside, why they could not be compared.
async fn pair(
    runner: &Runner<'_>,
    running: &Running<'_>,
    nodes: [&Node; 2],
    (schema, data): (bool, bool),
) -> Result<Result<bool, String>, Cut> {
    let began = Instant::now();
    let samples = if runner.show_values { SAMPLES } else { 0 };
    let options = CompareOptions { schema, data, tables: None, samples, keys: 0, cancel: running.cancel.clone() };
    let diff = match diff::compare(&nodes[0].endpoint(), &nodes[1].endpoint(), &options).await {
        Ok(diff) => diff,
        Err(DiffError::Cancelled) => return Err(Cut::Cancelled),
        Err(DiffError::Side { side, source }) => {
            let node = nodes[usize::from(side == "after")];
            let what = format!("node {} could not be compared: {}", node.name(), with_causes(&source));
            return Err(Cut::Harness(Failure::Harness { what, hint: None, log: Vec::new() }));
        }
        Err(error) => return Ok(Err(with_causes(&error))),
    };
    let alike = diff.is_equal();
    runner.events.send(Event::NodesCompared {
        step: running.index,
        role: running.role,
        nodes: nodes.map(|node| node.name().to_owned()),
        diff: Box::new(diff),
        elapsed_ms: millis(began.elapsed()),
    });
    Ok(Ok(alike))
}
