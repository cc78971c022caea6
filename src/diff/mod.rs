//! Two endpoints compared, before against after: their schemas, and the content of the tables on both sides.

mod data;
mod plan;
mod schema;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::catalog::{self, Catalog, Extent, Relation, RelationKind};
use crate::engine::endpoint::Endpoint;
use crate::engine::reading::{self, ReadError, Reading};
use crate::engine::subscription::Published;
use crate::event::{Change, DiffResult, ObjectKind, Property, SchemaChange};

pub use schema::schema;

/// Connections on either side that compare content at once.
const WORKERS: usize = 2;

/// How long a query that was cancelled may take to end.
const CANCEL_DEADLINE: Duration = Duration::from_secs(15);

/// What to compare, and what to tell of it.
#[derive(Debug, Clone, Default)]
pub struct CompareOptions {
    pub schema: bool,
    pub data: bool,
    /// Only what is published, and of that only what is to be alike on a subscriber: columns, their types, and rows.
    pub published: Option<Published>,
    /// Only these, as they print, or with the schema before them in which names print without one; none = all.
    pub tables: Option<Vec<String>>,
    /// Rows a table whose values are told, before and after.
    pub samples: usize,
    /// Rows a table whose keys are told. Keys are values: leave it 0 where values must not leave the server.
    pub keys: usize,
    /// Ends the comparison, with its queries.
    pub cancel: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    #[error("the {side} side could not be compared")]
    Side { side: &'static str, source: ReadError },
    #[error("there is no table {name} on either side")]
    NoSuchTable { name: String },
    #[error("no content was compared ({reasons})")]
    NoContent { reasons: String },
    #[error(
        "the databases have different encodings, {before} and {after}, under which equal text has different hashes"
    )]
    Encodings { before: String, after: String },
    #[error("cancelled")]
    Cancelled,
}

/// The two sides of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sides<T> {
    before: T,
    after: T,
}

impl<T> Sides<T> {
    fn as_ref(&self) -> Sides<&T> {
        Sides { before: &self.before, after: &self.after }
    }
}

/// Runs both sides at once, and says which one failed.
async fn both<T>(
    before: impl Future<Output = Result<T, ReadError>>,
    after: impl Future<Output = Result<T, ReadError>>,
) -> Result<Sides<T>, DiffError> {
    let before = async { before.await.map_err(|source| DiffError::Side { side: "before", source }) };
    let after = async { after.await.map_err(|source| DiffError::Side { side: "after", source }) };
    let (before, after) = futures::try_join!(before, after)?;
    Ok(Sides { before, after })
}

/// Compares two databases, each as one moment of it: sessions of a side share a snapshot. Takes no lock but ACCESS SHARE, and keeps
/// no table in memory. Tables and materialized views that are on one side only are always told, under `schema`.
///
/// # Errors
/// [`DiffError`] if a side is out of reach or refuses, a table asked for is on neither side, nothing that was asked for has content
/// that can be compared, or the comparison was cancelled.
pub async fn compare(before: &Endpoint, after: &Endpoint, options: &CompareOptions) -> Result<DiffResult, DiffError> {
    let sessions = if options.data { WORKERS } else { 1 };
    let connect = both(Reading::begin(before, sessions), Reading::begin(after, sessions));
    let readings = stoppable(&options.cancel, connect).await?;
    let pairs = readings.before.into_iter().zip(readings.after);
    let workers: Vec<_> = pairs.map(|(before, after)| Sides { before, after }).collect();

    let sessions = workers.iter().flat_map(|sides| [&sides.before, &sides.after]);
    let cancellers: Vec<_> = sessions.map(Reading::canceller).collect();
    let compared = stoppable(&options.cancel, compare_readings(&workers, options)).await;
    if compared.is_err() && tokio::time::timeout(CANCEL_DEADLINE, reading::cancel(&cancellers)).await.is_err() {
        tracing::warn!("queries of the comparison could not be cancelled");
    }
    if compared.is_ok() {
        let readings = workers.into_iter().flat_map(|sides| [sides.before, sides.after]);
        futures::future::join_all(readings.map(Reading::end)).await;
    }
    compared
}

async fn stoppable<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, DiffError>>,
) -> Result<T, DiffError> {
    cancel.run_until_cancelled(work).await.unwrap_or(Err(DiffError::Cancelled))
}

async fn compare_readings(workers: &[Sides<Reading>], options: &CompareOptions) -> Result<DiffResult, DiffError> {
    let readings = workers.first().expect("a server gives one session at least");
    let extent = if options.schema { Extent::Whole } else { Extent::Tables };
    let mut catalogs = both(catalog::read(&readings.before, extent), catalog::read(&readings.after, extent)).await?;
    let reaching_out = &plan::reaching_out(&catalogs.before) | &plan::reaching_out(&catalogs.after);
    if let Some(published) = &options.published {
        catalogs = of_publication(catalogs, published);
    }
    if let Some(tables) = &options.tables {
        catalogs = narrowed(catalogs, tables)?;
    }
    let mut changes = schema(&catalogs.before, &catalogs.after);
    changes.retain(|change| options.schema || is_all_rows(change, &catalogs));
    changes.retain(|change| options.published.is_none() || is_of_publication(change));
    let mut result = DiffResult { schema: changes, ..DiffResult::default() };
    if options.data {
        let (before, after) = (readings.before.encoding(), readings.after.encoding());
        if before != after {
            return Err(DiffError::Encodings { before: before.to_owned(), after: after.to_owned() });
        }
        let in_recovery = readings.before.in_recovery() || readings.after.in_recovery();
        let circumstances = plan::Circumstances { in_recovery, named: options.tables.is_some(), reaching_out };
        let mut plan = plan::plan(catalogs.as_ref(), &circumstances);
        plan.leave_out(|table| options.published.as_ref()?.tables.get(table)?.partly);
        result.tables_compared = plan.tables.len();
        result.compared = plan.tables.iter().map(|plan| plan.table.clone()).collect();
        result.compared.sort();
        result.not_compared = plan.not_compared;
        result.data = data::data(workers, plan.tables, options).await?;
        if result.is_equal() {
            something_compared(&result, options)?;
        }
    }
    Ok(result)
}

/// Rows came or went with what holds them: a table or a materialized view.
fn is_all_rows(change: &SchemaChange, catalogs: &Sides<Catalog>) -> bool {
    let holds_rows = |catalog: &Catalog| {
        catalog.relations.get(&change.object).is_some_and(|relation| relation.kind != RelationKind::View)
    };
    let is_relation = matches!(change.kind, ObjectKind::Table | ObjectKind::View);
    is_relation && change.change != Change::Changed && (holds_rows(&catalogs.before) || holds_rows(&catalogs.after))
}

/// The published tables with the published columns: what else is on either side is its own.
fn of_publication(catalogs: Sides<Catalog>, published: &Published) -> Sides<Catalog> {
    let names: BTreeSet<String> = published.tables.keys().cloned().collect();
    let narrow = |mut catalog: Catalog| {
        for (name, relation) in &mut catalog.relations {
            if let Some(table) = published.tables.get(name) {
                relation.columns.retain(|column, _| table.columns.contains(column));
            }
        }
        only(catalog, &names)
    };
    Sides { before: narrow(catalogs.before), after: narrow(catalogs.after) }
}

/// A subscriber has keys, indexes, defaults and grants of its own.
fn is_of_publication(change: &SchemaChange) -> bool {
    match change.kind {
        ObjectKind::Table | ObjectKind::View => change.change != Change::Changed,
        ObjectKind::Column => matches!(change.property, None | Some(Property::Type)),
        _ => false,
    }
}

/// Where content was asked for and none was compared, no difference is no equality.
fn something_compared(result: &DiffResult, options: &CompareOptions) -> Result<(), DiffError> {
    // A whole database without content to compare still had its schema compared.
    let only_content = options.tables.is_some() || !options.schema;
    if result.tables_compared > 0 || result.not_compared.is_empty() || !only_content {
        return Ok(());
    }
    let reasons = result.not_compared.iter().map(|table| format!("{}: {}", table.table, table.reason));
    Err(DiffError::NoContent { reasons: reasons.collect::<Vec<_>>().join("; ") })
}

/// These tables and views alone. One whose parent is not among them stands by itself, and what came or went with the parent is its own.
fn narrowed(catalogs: Sides<Catalog>, tables: &[String]) -> Result<Sides<Catalog>, DiffError> {
    let known =
        |name: &str| catalogs.before.relations.contains_key(name) || catalogs.after.relations.contains_key(name);
    let resolve = |name: &String| {
        let usual = [&catalogs.before.usual_schema, &catalogs.after.usual_schema].into_iter();
        let short = usual.filter_map(|schema| name.strip_prefix(schema.as_str())?.strip_prefix('.')).next();
        let found = [Some(name.as_str()), short].into_iter().flatten().find(|name| known(name));
        found.map(str::to_owned).ok_or_else(|| DiffError::NoSuchTable { name: name.clone() })
    };
    let names = tables.iter().map(resolve).collect::<Result<BTreeSet<String>, _>>()?;
    Ok(Sides { before: only(catalogs.before, &names), after: only(catalogs.after, &names) })
}

fn only(catalog: Catalog, names: &BTreeSet<String>) -> Catalog {
    let (usual_schema, mut relations) = (catalog.usual_schema, catalog.relations);
    relations.retain(|name, _| names.contains(name));
    for relation in relations.values_mut().filter(|relation| relation.parents.iter().all(|p| !names.contains(p))) {
        stand_alone(relation);
    }
    Catalog { usual_schema, relations, ..Catalog::default() }
}

/// Nothing of it is told at a parent any more.
fn stand_alone(relation: &mut Relation) {
    relation.is_partition = false;
    relation.columns.values_mut().for_each(|column| column.inherited = false);
    relation.constraints.values_mut().for_each(|constraint| constraint.inherited = false);
    relation.indexes.values_mut().for_each(|index| index.inherited = false);
    relation.triggers.values_mut().for_each(|trigger| trigger.inherited = false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_subscriber_columns_and_types_are_told() {
        let check = |kind, change, property, expected: bool| {
            let change = SchemaChange {
                kind,
                object: "orders.note".to_owned(),
                table: Some("orders".to_owned()),
                change,
                property,
                before: None,
                after: None,
                nodes: Vec::new(),
            };
            assert_eq!(is_of_publication(&change), expected, "{change:?}");
        };
        check(ObjectKind::Table, Change::Removed, None, true);
        check(ObjectKind::Table, Change::Changed, Some(Property::Owner), false);
        check(ObjectKind::Column, Change::Removed, None, true);
        check(ObjectKind::Column, Change::Changed, Some(Property::Type), true);
        for property in [Property::Default, Property::Nullable, Property::Position] {
            check(ObjectKind::Column, Change::Changed, Some(property), false);
        }
        for kind in [ObjectKind::Index, ObjectKind::Constraint, ObjectKind::Trigger, ObjectKind::Privilege] {
            check(kind, Change::Removed, None, false);
        }
    }
}
