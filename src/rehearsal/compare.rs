//! Steps that compare nodes with each other.
//!
//! The nodes are read while others write, and no two of them can be read at the same moment of their logs. So rows that differ are looked at
//! a second time, once each node has what the others wrote: what was under way has arrived by then, and what differs still does.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::run::{Failure, SAMPLES, millis};
use super::step::{Cut, Ended, Runner, Running};
use crate::diff::{self, CompareOptions, DiffError};
use crate::event::{DataChange, DiffResult, DifferingKeys, Event, with_causes};
use crate::topology::Node;

/// For each node to get what the others have written.
const ARRIVES: Duration = Duration::from_secs(120);

/// Keys of a table's differing rows that are kept from one look to the next. They stay in memory.
const KEYS: usize = 1000;

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
    let cancel = running.cancel.clone();
    let options = CompareOptions { schema, data, tables: None, samples, keys: KEYS, cancel };
    let mut diff = match look(nodes, &options).await? {
        Ok(diff) => diff,
        Err(refused) => return Ok(Err(refused)),
    };
    if !diff.data.is_empty() {
        let others = nodes.into_iter().filter(|node| !runner.topology.is_writer(node)).collect();
        let behind = runner.behind(running, others, ARRIVES).await?;
        if !behind.is_empty() {
            return Ok(Err(behind.join("; ")));
        }
        let tables = Some(diff.data.iter().map(|change| change.table.clone()).collect());
        match look(nodes, &CompareOptions { schema: false, tables, ..options }).await? {
            Ok(again) => diff.data = lasting(&diff.data, again.data),
            Err(refused) => return Ok(Err(refused)),
        }
    }
    // Keys are values.
    diff.data.iter_mut().for_each(|change| change.keys = None);
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

async fn look(nodes: [&Node; 2], options: &CompareOptions) -> Result<Result<DiffResult, String>, Cut> {
    match diff::compare(&nodes[0].endpoint(), &nodes[1].endpoint(), options).await {
        Ok(diff) => Ok(Ok(diff)),
        Err(DiffError::Cancelled) => Err(Cut::Cancelled),
        Err(DiffError::Side { side, source }) => {
            let node = nodes[usize::from(side == "after")];
            let what = format!("node {} could not be compared: {}", node.name(), with_causes(&source));
            Err(Cut::Harness(Failure::Harness { what, hint: None, log: Vec::new() }))
        }
        Err(error) => Ok(Err(with_causes(&error))),
    }
}

/// Of the tables that differ now, those of which some row differed before as well. Where rows have no key, or more of them differ than
/// were kept, nobody can tell, and the table differs.
fn lasting(before: &[DataChange], now: Vec<DataChange>) -> Vec<DataChange> {
    let lasts = |change: &DataChange| {
        let Some(before) = before.iter().find(|before| before.table == change.table) else { return true };
        let (Some(keys_before), Some(keys)) = (&before.keys, &change.keys) else { return true };
        let all = |keys: &DifferingKeys| -> BTreeSet<Vec<Option<String>>> {
            keys.added.iter().chain(&keys.removed).chain(&keys.changed).cloned().collect()
        };
        keys_before.left_off > 0 || keys.left_off > 0 || !all(keys_before).is_disjoint(&all(keys))
    };
    now.into_iter().filter(lasts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_under_way_is_no_difference() {
        let change = |added: &[&str], left_off| {
            let added = added.iter().map(|key| vec![Some((*key).to_owned())]).collect();
            let keys = DifferingKeys { columns: vec!["id".to_owned()], added, left_off, ..DifferingKeys::default() };
            DataChange { table: "orders".to_owned(), keys: Some(keys), ..DataChange::default() }
        };
        let check = |before, now, lasts| assert_eq!(!lasting(&[before], vec![now]).is_empty(), lasts);
        check(change(&["1", "2"], 0), change(&["3"], 0), false);
        check(change(&["1", "2"], 0), change(&["2", "3"], 0), true);
        check(change(&["1"], 1), change(&["2"], 0), true);
        let keyless = DataChange { keys: None, ..change(&[], 0) };
        check(keyless.clone(), keyless, true);
    }
}
