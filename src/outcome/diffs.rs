//! What changed on the writers, told once where it is the same on all of them.

use super::facts::Diffed;
use crate::event::{DataChange, DiffResult, NotCompared, SchemaChange};

/// One diff of all writers; none where nothing was compared. A change names the nodes that it is on, unless it is on all.
pub fn merged(diffs: &[Diffed<'_>]) -> Option<DiffResult> {
    let [first, ..] = diffs else { return None };
    if diffs.len() == 1 {
        return Some(first.diff.clone());
    }
    let all = diffs.len();
    let schema = once(diffs, |diff| &diff.schema).into_iter().map(|(change, nodes)| {
        let nodes = if nodes.len() == all { Vec::new() } else { nodes };
        SchemaChange { nodes, ..change.clone() }
    });
    let data = once(diffs, |diff| &diff.data).into_iter().map(|(change, nodes)| {
        let nodes = if nodes.len() == all { Vec::new() } else { nodes };
        DataChange { nodes, ..change.clone() }
    });
    let compared = once(diffs, |diff| &diff.compared).into_iter().map(|(name, _)| name.clone());
    let not_compared: Vec<NotCompared> =
        once(diffs, |diff| &diff.not_compared).into_iter().map(|(not, _)| not.clone()).collect();
    Some(DiffResult {
        schema: schema.collect(),
        data: data.collect(),
        tables_compared: diffs.iter().map(|diffed| diffed.diff.tables_compared).max().unwrap_or_default(),
        compared: compared.collect(),
        not_compared,
    })
}

/// Each thing once, in the order in which it was first met, with the nodes that it is on.
fn once<'d, T: PartialEq>(diffs: &[Diffed<'d>], of: impl Fn(&'d DiffResult) -> &'d [T]) -> Vec<(&'d T, Vec<String>)> {
    let mut met: Vec<(&T, Vec<String>)> = Vec::new();
    for diffed in diffs {
        for thing in of(diffed.diff) {
            match met.iter_mut().find(|(known, _)| *known == thing) {
                Some((_, nodes)) => nodes.push(diffed.node.to_owned()),
                None => met.push((thing, vec![diffed.node.to_owned()])),
            }
        }
    }
    met
}
