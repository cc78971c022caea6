//! What changed on the writers, told once where it is the same on all of them.

use super::facts::{Diffed, Facts};
use crate::event::{DataChange, DiffResult, NotCompared, SchemaChange};

/// One diff of all writers; none where nothing was compared. A change names the nodes that it is on, unless it is on all.
pub fn merged(facts: &Facts<'_>) -> Option<DiffResult> {
    of_writers(&facts.diffs, facts.scenario.topology.shards())
}

fn of_writers(diffs: &[Diffed<'_>], all: usize) -> Option<DiffResult> {
    let [first, ..] = diffs else { return None };
    if all <= 1 {
        return Some(first.diff.clone());
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ObjectKind;
    use crate::outcome::sample::{added, removed};

    fn of_orders(added: u64) -> DataChange {
        DataChange {
            table: "orders".into(),
            rows_before: 10,
            rows_after: 10 + added,
            added: Some(added),
            removed: Some(0),
            changed: Some(0),
            columns: Default::default(),
            matched_by: "primary key".into(),
            samples: Vec::new(),
            keys: None,
            nodes: Vec::new(),
        }
    }

    #[test]
    fn what_differs_names_its_nodes_and_what_does_not_is_told_once() {
        let everywhere = added(ObjectKind::Column, "orders.region", "orders", "integer");
        let on_two = removed(ObjectKind::Index, "by_total", "orders", "(total)");
        let not = |table: &str| NotCompared { table: table.into(), reason: "too large".into() };
        let side =
            |schema: &[&SchemaChange], rows: u64, compared: &[&str], not_compared: Vec<NotCompared>| DiffResult {
                schema: schema.iter().map(|&change| change.clone()).collect(),
                data: vec![of_orders(rows)],
                tables_compared: compared.len(),
                compared: compared.iter().map(|&name| name.to_owned()).collect(),
                not_compared,
            };
        let diffs = [
            side(&[&everywhere, &on_two], 1, &["orders", "users"], Vec::new()),
            side(&[&everywhere], 2, &["orders"], vec![not("users")]),
            side(&[&on_two, &everywhere], 1, &["orders"], vec![not("users")]),
        ];
        let diffed = |index: usize| {
            let (node, diff) = (["a.1", "a.2", "a.3"][index], &diffs[index]);
            Diffed { seq: 1, node, diff }
        };
        let all = of_writers(&[diffed(0), diffed(1), diffed(2)], 3).expect("something was compared");
        let on = |nodes: &[&str]| nodes.iter().map(|&node| node.to_owned()).collect::<Vec<_>>();
        assert_eq!(all.schema, [everywhere, SchemaChange { nodes: on(&["a.1", "a.3"]), ..on_two }]);
        let one = DataChange { nodes: on(&["a.1", "a.3"]), ..of_orders(1) };
        assert_eq!(all.data, [one, DataChange { nodes: on(&["a.2"]), ..of_orders(2) }]);
        assert_eq!((all.tables_compared, all.compared), (2, on(&["orders", "users"])));
        assert_eq!(all.not_compared, [not("users")]);

        let alone = of_writers(&[diffed(1)], 1).expect("something was compared");
        assert_eq!(alone, diffs[1], "one writer needs no names");
        let of_two = of_writers(&[diffed(1)], 2).expect("something was compared");
        assert_eq!(of_two.schema[0].nodes, on(&["a.2"]), "nobody knows of the other");
        assert_eq!(of_writers(&[], 3), None);
    }
}
