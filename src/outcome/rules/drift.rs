//! Nodes that a step compared, and that are not alike.

use std::collections::BTreeSet;

use super::finding;
use crate::event::{Change, DataChange, SchemaChange};
use crate::finding::{Code, Finding};
use crate::outcome::facts::{Comparison, Facts};
use crate::outcome::words::{bare, count, list, number};

/// Objects and tables that are named before the rest is counted.
const NAMED: usize = 5;

pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    facts.comparisons.iter().flat_map(|compared| [schema(facts, compared), rows(facts, compared)]).flatten().collect()
}

fn schema(facts: &Facts<'_>, compared: &Comparison<'_>) -> Option<Finding> {
    let told: BTreeSet<String> = compared.diff.schema.iter().map(|change| object(change, compared.nodes)).collect();
    let told: Vec<String> = told.into_iter().collect();
    (!told.is_empty()).then(|| found(facts, compared, Code::SchemaDrift, &told))
}

fn rows(facts: &Facts<'_>, compared: &Comparison<'_>) -> Option<Finding> {
    let told: Vec<String> = compared.diff.data.iter().map(|change| table(change, compared.nodes)).collect();
    (!told.is_empty()).then(|| found(facts, compared, Code::RowsDiffer, &told))
}

fn found(facts: &Facts<'_>, compared: &Comparison<'_>, code: Code, told: &[String]) -> Finding {
    let [one, other] = compared.nodes;
    let condition = format!("{one} and {other} are not alike: {}", list(told, NAMED));
    let found = finding(code, condition);
    let run = facts.steps.iter().find(|run| (run.step, run.role) == (compared.step, compared.role));
    let mut found = match run {
        Some(run) => found.at(run).resting_on(run.ended.as_ref().map(|end| end.seq).into_iter().chain([compared.seq])),
        None => found.resting_on([compared.seq]),
    };
    found.node = Some(other.clone());
    found
}

/// "column orders.note is on a alone", "column orders.id differs in its type".
fn object(change: &SchemaChange, [one, other]: &[String; 2]) -> String {
    let subject = format!("{} {}", change.kind.name(), bare(&change.object));
    match (change.change, change.property) {
        (Change::Removed, _) => format!("{subject} is on {one} alone"),
        (Change::Added, _) => format!("{subject} is on {other} alone"),
        (Change::Changed, Some(property)) => format!("{subject} differs in its {}", property.name()),
        (Change::Changed, None) => format!("{subject} differs"),
    }
}

/// "orders has 3 rows on a alone and 2 that differ, in note".
fn table(change: &DataChange, [one, other]: &[String; 2]) -> String {
    let rows = |rows: Option<u64>| rows.filter(|rows| *rows > 0);
    let mut parts = Vec::new();
    parts.extend(rows(change.removed).map(|rows| format!("{} on {one} alone", count(rows, "row"))));
    parts.extend(rows(change.added).map(|rows| format!("{} on {other} alone", count(rows, "row"))));
    parts.extend(rows(change.changed).map(|rows| format!("{} with other values", count(rows, "row"))));
    let table = bare(&change.table);
    if parts.is_empty() {
        let (before, after) = (number(change.rows_before), number(change.rows_after));
        return format!("{table} has other content ({before} rows on {one}, {after} on {other})");
    }
    let columns: Vec<&str> =
        change.columns.iter().filter(|(_, rows)| **rows > 0).map(|(name, _)| name.as_str()).collect();
    let within = if columns.is_empty() { String::new() } else { format!(", in {}", list(&columns, NAMED)) };
    format!("{table} has {}{within}", list(&parts, 3))
}
