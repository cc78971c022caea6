//! Steps that compare nodes with each other.
//!
//! The nodes are read while others write, and no two of them can be read at the same moment of their logs. So rows that differ are looked at
//! again, once each node has what the others wrote: what was under way has arrived by then, and what differs still does, with the same
//! values on either side. A row that is written all the time never holds still; its table is told as not compared.

use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::failure::Failure;
use super::run::{SAMPLES, millis};
use super::step::{Cut, Ended, Runner, Running};
use crate::diff::{self, CompareOptions, DiffError};
use crate::engine::subscription::{self, Published};
use crate::event::{DataChange, DiffResult, Event, NotCompared, with_causes};
use crate::topology::Node;

/// For each node to get what the others have written.
const ARRIVES: Duration = Duration::from_secs(120);

/// Differing rows of a table that are kept from one look to the next. They stay in memory.
const ROWS: usize = 200;

/// Looks at tables that differ, after the first.
const LOOKS: usize = 4;

/// Compares each of the nodes, at least two, with the first, once each has what the others wrote. `what` is whether schema and data are
/// compared.
pub(super) async fn run(
    runner: &Runner<'_>,
    running: &Running<'_>,
    nodes: &[&Node],
    what: (bool, bool),
) -> Result<Ended, Cut> {
    let behind = behind(runner, running, nodes).await?;
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

/// Who of them has not got what its shard's others have written, and why.
async fn behind(runner: &Runner<'_>, running: &Running<'_>, nodes: &[&Node]) -> Result<Vec<String>, Cut> {
    let writers = runner.topology.writers().map(|writer| {
        let is_of = |node: &&Node| node.shard() == writer.shard();
        let of_shard: Vec<&Node> = nodes.iter().copied().filter(is_of).collect();
        (writer, of_shard)
    });
    let waits = writers.filter(|(_, of_shard)| !of_shard.is_empty()).map(|(writer, of_shard)| {
        let followers = of_shard.into_iter().filter(|node| !node.is_writer()).collect();
        runner.behind(running, writer, followers, ARRIVES)
    });
    Ok(try_join_all(waits).await?.into_iter().flatten().collect())
}

/// Whether they are alike; else, inside, why they could not be compared.
async fn pair(
    runner: &Runner<'_>,
    running: &Running<'_>,
    nodes: [&Node; 2],
    (schema, data): (bool, bool),
) -> Result<Result<bool, String>, Cut> {
    let began = Instant::now();
    let cancel = running.cancel.clone();
    let published = match published(runner, nodes).await? {
        Ok(published) => published,
        Err(refused) => return Ok(Err(refused)),
    };
    let options = CompareOptions { schema, data, published, tables: None, samples: ROWS, keys: 0, cancel };
    let mut diff = match look(nodes, &options).await? {
        Ok(diff) => diff,
        Err(refused) => return Ok(Err(refused)),
    };
    let (mut lasting, mut last) = (Vec::new(), std::mem::take(&mut diff.data));
    for _ in 0..LOOKS {
        if last.is_empty() {
            break;
        }
        let behind = behind(runner, running, &nodes).await?;
        if !behind.is_empty() {
            return Ok(Err(behind.join("; ")));
        }
        let tables = Some(last.iter().map(|change| change.table.clone()).collect());
        let again = match look(nodes, &CompareOptions { schema: false, tables, ..options.clone() }).await? {
            Ok(again) => again.data,
            Err(refused) => return Ok(Err(refused)),
        };
        let (holds, rest) = told_apart(&last, again);
        lasting.extend(holds);
        last = rest;
    }
    let reason = "rows of it change all the time, and whether they are alike could not be seen";
    let restless = last.into_iter().map(|change| NotCompared { table: change.table, reason: reason.to_owned() });
    diff.not_compared.extend(restless);
    diff.data = lasting;
    let shown = if runner.show_values { SAMPLES } else { 0 };
    diff.data.iter_mut().for_each(|change| change.samples.truncate(shown));
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

/// What both are to hold alike where one of them subscribes to a part; none where that is everything. Else, inside, why there is nothing.
async fn published(runner: &Runner<'_>, nodes: [&Node; 2]) -> Result<Result<Option<Published>, String>, Cut> {
    let mut both: Option<Published> = None;
    for (node, feed) in nodes.iter().filter_map(|node| Some((node, node.feed()?))) {
        let writer = runner.topology.writer_of(node);
        let found = subscription::published(&writer.endpoint(), &feed.publication).await;
        let found = found.map_err(|error| Cut::Harness(Failure::harness(&error, None)))?;
        let Some(found) = found.filter(|found| !found.tables.is_empty()) else {
            let (from, to, publication) = (writer.name(), node.name(), &feed.publication);
            return Ok(Err(format!(
                "{from} publishes nothing to {to} any more: publication {publication} is gone or empty"
            )));
        };
        both = Some(both.map_or(found.clone(), |both| both.and(&found)));
    }
    Ok(Ok(both))
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

/// Of the tables that differ now, those of which some row differed before in the same way, and those of which a row differs each time in
/// another. Where more rows differ than were kept, some of them will be the same.
fn told_apart(before: &[DataChange], now: Vec<DataChange>) -> (Vec<DataChange>, Vec<DataChange>) {
    let earlier = |change: &DataChange| before.iter().find(|before| before.table == change.table);
    let lasts = |change: &DataChange| {
        let Some(before) = earlier(change) else { return true };
        let many = before.samples.len() >= ROWS || change.samples.len() >= ROWS;
        many || change.samples.iter().any(|row| before.samples.contains(row))
    };
    let is_restless = |change: &DataChange| {
        let keys = |of: &DataChange| of.samples.iter().map(|row| row.key.clone()).collect::<Vec<_>>();
        earlier(change).is_some_and(|before| keys(before).iter().any(|key| keys(change).contains(key)))
    };
    let (lasting, rest): (Vec<_>, Vec<_>) = now.into_iter().partition(lasts);
    (lasting, rest.into_iter().filter(is_restless).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RowSample;

    #[test]
    fn what_was_under_way_is_no_difference() {
        let change = |rows: &[(&str, &str)]| {
            let row = |(key, value): &(&str, &str)| RowSample {
                key: vec![(*key).to_owned()],
                before: None,
                after: Some([("n".to_owned(), Some((*value).to_owned()))].into()),
            };
            let samples = rows.iter().map(row).collect();
            DataChange { table: "orders".to_owned(), samples, ..DataChange::default() }
        };
        let check = |before: &[(&str, &str)], now: &[(&str, &str)], expected: (usize, usize)| {
            let (lasting, restless) = told_apart(&[change(before)], vec![change(now)]);
            assert_eq!((lasting.len(), restless.len()), expected, "{before:?} {now:?}");
        };
        check(&[("1", "a"), ("2", "b")], &[("3", "c")], (0, 0));
        check(&[("1", "a"), ("2", "b")], &[("2", "b"), ("3", "c")], (1, 0));
        check(&[("1", "a")], &[("1", "b")], (0, 1));
        let many: Vec<(String, String)> = (0..ROWS).map(|at| (at.to_string(), "a".to_owned())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        check(&many, &[("x", "y")], (1, 0));
    }
}
