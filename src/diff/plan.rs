//! Which tables' content is compared, over which columns, and by which key.

use std::collections::{BTreeMap, BTreeSet};

use super::Sides;
use crate::engine::catalog::{Catalog, Column, Index, Relation, RelationKind};
use crate::engine::content::Scan;
use crate::event::NotCompared;

/// The content of one table on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TablePlan {
    pub table: String,
    pub scans: Sides<Scan>,
    /// "primary key", "unique index NAME", or [`ALL_COLUMNS`].
    pub matched_by: String,
    /// Nothing tells rows apart: they are matched by all their columns.
    pub keyless: bool,
}

pub(super) const ALL_COLUMNS: &str = "all columns";

#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Largest first, so that no worker is left with one at the end.
    pub tables: Vec<TablePlan>,
    pub not_compared: Vec<NotCompared>,
}

impl Plan {
    /// Leaves tables out for which there is a reason.
    pub fn leave_out(&mut self, why: impl Fn(&str) -> Option<&'static str>) {
        for plan in std::mem::take(&mut self.tables) {
            match why(&plan.table) {
                Some(reason) => self.not_compared.push(NotCompared { table: plan.table, reason: reason.to_owned() }),
                None => self.tables.push(plan),
            }
        }
    }
}

/// What the plan must know besides what is in the catalogs.
#[derive(Debug, Default)]
pub(super) struct Circumstances {
    /// A side is a standby, where unlogged tables cannot be read.
    pub in_recovery: bool,
    /// Somebody asked for what is in the catalogs by name, plain views included.
    pub named: bool,
    /// Tables above a foreign one on either side, whether that is in the catalogs or not.
    pub reaching_out: BTreeSet<String>,
}

/// Plans every table on both sides. A partition is compared within its table, not once more by itself; where some of the table's
/// partitions are foreign, which nothing may be read from, the others are compared by themselves.
pub(super) fn plan(catalogs: Sides<&Catalog>, circumstances: &Circumstances) -> Plan {
    let mut plan = Plan::default();
    let mut sized = Vec::new();
    for (name, before) in &catalogs.before.relations {
        let Some(after) = catalogs.after.relations.get(name) else { continue };
        let sides = Sides { before, after };
        if is_plain_view(before) && is_plain_view(after) || is_within_compared_table(sides, catalogs, circumstances) {
            continue;
        }
        match not_comparable(name, sides, circumstances) {
            Some(reason) => plan.not_compared.push(NotCompared { table: name.clone(), reason: reason.to_owned() }),
            None => sized.push((before.estimated_rows.max(after.estimated_rows), table_plan(name, sides))),
        }
    }
    if circumstances.named {
        plan.not_compared.extend(plain_views(catalogs));
    }
    sized.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    plan.tables = sized.into_iter().map(|(_, table)| table).collect();
    plan
}

/// Tables above a foreign one, by name.
pub(super) fn reaching_out(catalog: &Catalog) -> BTreeSet<String> {
    let foreign = |relation: &&Relation| relation.kind == RelationKind::ForeignTable;
    let mut left: Vec<&Relation> = catalog.relations.values().filter(foreign).collect();
    let mut above = BTreeSet::new();
    while let Some(relation) = left.pop() {
        for parent in &relation.parents {
            if above.insert(parent.clone()) {
                left.extend(catalog.relations.get(parent));
            }
        }
    }
    above
}

/// Why the content of something on both sides is not compared.
fn not_comparable(name: &str, sides: Sides<&Relation>, circumstances: &Circumstances) -> Option<&'static str> {
    let either = |holds: &dyn Fn(&Relation) -> bool| holds(sides.before) || holds(sides.after);
    if either(&|r| r.kind == RelationKind::ForeignTable) {
        Some("its rows lie on another server")
    } else if circumstances.reaching_out.contains(name) && either(&|r| r.kind == RelationKind::PartitionedTable) {
        Some(if circumstances.named {
            "some of its rows lie on another server, in foreign partitions; the others can be compared by their own names"
        } else {
            "some of its rows lie on another server, in foreign partitions; the others are compared one by one"
        })
    } else if either(&is_plain_view) {
        Some("it is a view on one side")
    } else if either(&|r| !r.populated) {
        Some("a materialized view without data")
    } else if circumstances.in_recovery && either(&|r| r.persistence == "unlogged") {
        Some("unlogged, and a standby cannot read it")
    } else {
        None
    }
}

fn is_plain_view(relation: &Relation) -> bool {
    relation.kind == RelationKind::View
}

/// What is a view wherever it is.
fn plain_views(catalogs: Sides<&Catalog>) -> impl Iterator<Item = NotCompared> {
    let (before, after) = (&catalogs.before.relations, &catalogs.after.relations);
    let of_after = after.iter().filter(|(name, _)| !before.contains_key(*name));
    before
        .iter()
        .chain(of_after)
        .filter(|(name, relation)| is_plain_view(relation) && after.get(*name).is_none_or(is_plain_view))
        .map(|(name, _)| NotCompared { table: name.clone(), reason: "a view has no rows of its own".to_owned() })
}

/// A partition on both sides, of tables that are themselves compared.
fn is_within_compared_table(sides: Sides<&Relation>, catalogs: Sides<&Catalog>, circumstances: &Circumstances) -> bool {
    let is_compared = |parent: &String| {
        let (before, after) = (catalogs.before.relations.get(parent), catalogs.after.relations.get(parent));
        let sides = before.zip(after).map(|(before, after)| Sides { before, after });
        sides.is_some_and(|sides| not_comparable(parent, sides, circumstances).is_none())
    };
    let within = |relation: &Relation| relation.is_partition && relation.parents.iter().all(is_compared);
    within(sides.before) && within(sides.after)
}

fn table_plan(name: &str, sides: Sides<&Relation>) -> TablePlan {
    let columns = common_columns(&sides);
    let key = key(&sides, &columns);
    let scan = |relation: &Relation| Scan {
        schema: relation.schema.clone(),
        table: relation.name.clone(),
        only: relation.kind == RelationKind::Table,
        columns: columns.clone(),
        types: columns
            .iter()
            .filter_map(|name| Some((name.clone(), relation.columns.get(name)?.type_name.clone())))
            .collect(),
        key: key.as_ref().map_or_else(|| columns.clone(), |(_, index)| index.columns.clone()),
    };
    let matched_by = match &key {
        Some((_, index)) if index.primary => "primary key".to_owned(),
        Some((name, _)) => format!("unique index {name}"),
        None => ALL_COLUMNS.to_owned(),
    };
    TablePlan {
        table: name.to_owned(),
        scans: Sides { before: scan(sides.before), after: scan(sides.after) },
        matched_by,
        keyless: key.is_none(),
    }
}

/// By name, in the order that they have before.
fn common_columns(sides: &Sides<&Relation>) -> Vec<String> {
    let mut common: Vec<(&String, &Column)> =
        sides.before.columns.iter().filter(|(name, _)| sides.after.columns.contains_key(*name)).collect();
    common.sort_by_key(|(_, column)| column.position);
    common.into_iter().map(|(name, _)| name.clone()).collect()
}

/// What tells rows apart on either side: the primary key, else the unique index with the fewest columns, none of which may be null
/// (nobody can declare that of a materialized view's). A key that one side has lost still matches nearly all rows, and rows that it
/// cannot tell apart are paired off one by one.
fn key(sides: &Sides<&Relation>, columns: &[String]) -> Option<(String, Index)> {
    let usable = |relation: &&Relation, index: &Index| {
        let is_view = relation.kind.is_view();
        let not_null = |column: &String| is_view || is_not_null(&relation.columns, column);
        let fits = |column: &String| not_null(column) && columns.contains(column);
        index.unique && index.valid && !index.columns.is_empty() && index.columns.iter().all(fits)
    };
    [sides.before, sides.after]
        .iter()
        .enumerate()
        .flat_map(|(side, relation)| relation.indexes.iter().map(move |(name, index)| (side, relation, name, index)))
        .filter(|(_, relation, _, index)| usable(relation, index))
        .min_by_key(|(side, _, name, index)| (!index.primary, index.columns.len(), *side, *name))
        .map(|(_, _, name, index)| (name.clone(), index.clone()))
}

fn is_not_null(columns: &BTreeMap<String, Column>, column: &str) -> bool {
    columns.get(column).is_some_and(|column| column.nullable == "NOT NULL")
}
