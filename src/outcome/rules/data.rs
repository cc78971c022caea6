//! Rows that changed although the scenario says that they stay as they are.

use std::collections::BTreeSet;

use super::{finding, on_writers};
use crate::event::{Change, DataChange, DiffResult, ObjectKind};
use crate::finding::{Code, Finding};
use crate::outcome::facts::{Diffed, Facts};
use crate::outcome::words::{bare, count, list, number};
use crate::scenario::ChangedTable;

/// Where migration tools keep what they have applied.
const BOOKKEEPING: &[&str] = &[
    "__diesel_schema_migrations",
    "_prisma_migrations",
    "_sqlx_migrations",
    "alembic_version",
    "ar_internal_metadata",
    "databasechangelog",
    "databasechangeloglock",
    "django_migrations",
    "flyway_schema_history",
    "goose_db_version",
    "refinery_schema_history",
    "schema_migrations",
];

pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    on_writers(facts, |diffed| of_one(facts, diffed))
}

fn of_one(facts: &Facts<'_>, &Diffed { seq, diff, .. }: &Diffed<'_>) -> Vec<Finding> {
    let schema = facts.scenario.expect.unchanged.iter().filter_map(|table| schema_changed(bare(table), diff));
    let came_or_went = came_or_went(diff);
    let data = diff
        .data
        .iter()
        .filter(|change| differs(change) && !bookkeeping(&change.table) && !facts.retired(&change.table))
        .filter(|change| !came_or_went.contains(bare(&change.table)))
        // Nobody can tell its rows from the release's.
        .filter(|change| facts.traffic_unseen().is_empty() && facts.traffic_on(&change.table).is_empty())
        .filter_map(|change| unexpected(facts, change));
    let dropped = dropped(facts, diff);
    let unexpected = schema.chain(data).chain(dropped);
    let mut found: Vec<Finding> =
        unexpected.map(|condition| finding(Code::DataChangedUnexpectedly, condition).resting_on([seq])).collect();
    found.extend(unproven(facts, diff).map(|condition| finding(Code::ExpectationUnmet, condition).resting_on([seq])));
    found
}

/// Tables that went, with all their rows, where everything that may change is declared.
fn dropped<'a>(facts: &'a Facts<'_>, diff: &'a DiffResult) -> impl Iterator<Item = String> + 'a {
    let declared = facts.scenario.expect.changed.as_ref();
    let went = diff.schema.iter().filter(move |change| {
        let known = |declared: &[ChangedTable]| declared.iter().any(|may| bare(&may.table) == bare(&change.object));
        change.kind == ObjectKind::Table
            && change.change == Change::Removed
            && declared.is_some_and(|declared| !known(declared))
            && !facts.retired(&change.object)
            && !bookkeeping(&change.object)
    });
    went.map(|change| format!("{} is gone, and is declared neither changed nor retired", bare(&change.object)))
}

/// Expectations of tables whose rows nobody compared: of a name that is not there, or that cannot be compared by itself.
fn unproven<'a>(facts: &'a Facts<'_>, diff: &'a DiffResult) -> impl Iterator<Item = String> + 'a {
    let expect = &facts.scenario.expect;
    let unchanged = expect.unchanged.iter().map(|table| ("unchanged", table));
    let changed = expect.changed.iter().flatten().map(|may| ("changed", &may.table));
    let came_or_went = came_or_went(diff);
    unchanged.chain(changed).filter_map(move |(key, table)| {
        let names = |name: &String| bare(name) == bare(table);
        // Logs of before the names were kept hold none.
        if diff.compared.len() < diff.tables_compared || diff.compared.iter().any(names) {
            return None;
        }
        let told = format!("`{key}` in `[expect]` names {table}");
        match diff.not_compared.iter().find(|not| names(&not.table)) {
            Some(not) => Some(format!("{told}, whose rows could not be compared: {}", not.reason)),
            None if came_or_went.contains(bare(table)) => None,
            None => Some(format!("{told}, and no table of that name was there to compare")),
        }
    })
}

/// Tables that are on one side only have no rows that could have changed.
fn came_or_went(diff: &DiffResult) -> BTreeSet<&str> {
    let whole = |change: Change| matches!(change, Change::Added | Change::Removed);
    let tables = diff.schema.iter().filter(|change| change.kind == ObjectKind::Table && whole(change.change));
    tables.map(|change| bare(&change.object)).collect()
}

fn bookkeeping(table: &str) -> bool {
    let name = table.rsplit('.').next().unwrap_or(table);
    BOOKKEEPING.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Rows that were not matched one by one differ by their hash alone.
fn differs(change: &DataChange) -> bool {
    let counted = [change.added, change.removed, change.changed];
    change.rows_before != change.rows_after
        || counted.iter().all(Option::is_none)
        || counted.into_iter().flatten().any(|rows| rows > 0)
}

fn schema_changed(table: &str, diff: &DiffResult) -> Option<String> {
    let changed: Vec<&str> = diff
        .schema
        .iter()
        .filter(|change| {
            change.table.as_deref().map(bare) == Some(table)
                || (change.kind == ObjectKind::Table && bare(&change.object) == table)
        })
        .map(|change| change.object.as_str())
        .collect();
    (!changed.is_empty())
        .then(|| format!("{table} is declared unchanged, and its definition changed: {}", list(&changed, 5)))
}

/// What is wrong with a change of data, if the scenario does not allow it.
fn unexpected(facts: &Facts<'_>, change: &DataChange) -> Option<String> {
    let (expect, table) = (&facts.scenario.expect, bare(&change.table));
    if expect.unchanged.iter().any(|unchanged| bare(unchanged) == table) {
        return Some(format!("{table} is declared unchanged, and {}", words(change)));
    }
    let declared = expect.changed.as_ref()?;
    let Some(allowed) = declared.iter().find(|allowed| bare(&allowed.table) == table) else {
        return Some(format!("{table} is not declared changed, and {}", words(change)));
    };
    if allowed.columns.is_empty() {
        return None;
    }
    let others: Vec<&str> = change
        .columns
        .iter()
        .filter(|(column, rows)| **rows > 0 && !allowed.columns.contains(column))
        .map(|(column, _)| column.as_str())
        .collect();
    let only = list(&allowed.columns, 5);
    if !others.is_empty() {
        return Some(format!("{table}: only {only} may change, and {} changed as well", list(&others, 5)));
    }
    (change.rows_before != change.rows_after).then(|| format!("{table}: only {only} may change, and {}", words(change)))
}

/// "3 rows were added, 1 changed (12,000 rows before, 12,003 after)".
fn words(change: &DataChange) -> String {
    let counted = [(change.added, "added"), (change.removed, "removed"), (change.changed, "changed")];
    let parts: Vec<String> = counted
        .into_iter()
        .filter_map(|(rows, verb)| Some(format!("{} {verb}", count(rows.filter(|rows| *rows > 0)?, "row"))))
        .collect();
    let what = if parts.is_empty() { "its content differs".to_owned() } else { list(&parts, 3) };
    let columns: Vec<&str> =
        change.columns.iter().filter(|(_, rows)| **rows > 0).map(|(name, _)| name.as_str()).collect();
    let within = if columns.is_empty() { String::new() } else { format!(" in {}", list(&columns, 5)) };
    format!("{what}{within} ({} before, {} after)", number(change.rows_before), number(change.rows_after))
}
