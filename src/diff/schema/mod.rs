//! Two catalogs compared: every object and property that differs, each told once.

mod described;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::catalog::{Catalog, Column, Grant, Relation};
use crate::event::{Change, ObjectKind, Property, SchemaChange};

use described::Described;

/// What changed from `before` to `after`: schemas, then tables and views in the order of their names, then the rest by kind.
///
/// What comes or goes with something larger is told by that alone: a table's columns, indexes and owned sequences, a constraint's
/// index, an identity column's sequence, a partitioned table's partitions, and whatever partitions inherit.
pub fn schema(before: &Catalog, after: &Catalog) -> Vec<SchemaChange> {
    let mut changes = compare(ObjectKind::Schema, None, &before.schemas, &after.schemas);
    changes.extend(relations(&before.relations, &after.relations));
    changes.extend(sequences(before, after));
    changes.extend(compare(ObjectKind::Type, None, &before.types, &after.types));
    changes.extend(compare(ObjectKind::Function, None, &before.functions, &after.functions));
    changes.extend(compare(ObjectKind::Procedure, None, &before.procedures, &after.procedures));
    changes.extend(compare(ObjectKind::Event, None, &before.events, &after.events));
    changes.extend(compare(ObjectKind::Extension, None, &before.extensions, &after.extensions));
    changes.extend(compare(ObjectKind::EventTrigger, None, &before.event_triggers, &after.event_triggers));
    changes.extend(compare(ObjectKind::Publication, None, &before.publications, &after.publications));
    changes.extend(grants("DATABASE", None, &before.database, &after.database));
    changes.extend(default_privileges(&before.default_privileges, &after.default_privileges));
    changes
}

/// Objects of one kind by name: those that came, those that went, and what changed of the rest.
fn compare<T: Described>(
    kind: ObjectKind,
    table: Option<&str>,
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
) -> Vec<SchemaChange> {
    union(before, after)
        .into_iter()
        .flat_map(|name| compare_one(kind, table, name, before.get(name), after.get(name)))
        .collect()
}

fn union<'a, T>(before: &'a BTreeMap<String, T>, after: &'a BTreeMap<String, T>) -> BTreeSet<&'a String> {
    before.keys().chain(after.keys()).collect()
}

fn compare_one<T: Described>(
    kind: ObjectKind,
    table: Option<&str>,
    name: &str,
    before: Option<&T>,
    after: Option<&T>,
) -> Vec<SchemaChange> {
    let object = match table {
        Some(table) if kind == ObjectKind::Column => format!("{table}.{name}"),
        _ => name.to_owned(),
    };
    let change = |change, property, before, after| SchemaChange {
        kind,
        object: object.clone(),
        table: table.map(str::to_owned),
        change,
        property,
        before,
        after,
        nodes: Vec::new(),
    };
    let told = |definition: String| Some(definition).filter(|definition| !definition.is_empty());
    match (before, after) {
        (Some(before), None) if !before.inherited() => {
            vec![change(Change::Removed, None, told(before.definition()), None)]
        }
        (None, Some(after)) if !after.inherited() => vec![change(Change::Added, None, None, told(after.definition()))],
        (Some(before), Some(after)) => {
            let mut changes: Vec<SchemaChange> = before
                .properties()
                .into_iter()
                .zip(after.properties())
                .filter(|((_, before), (_, after))| before != after)
                .map(|((property, before), (_, after))| change(Change::Changed, Some(property), before, after))
                .collect();
            // What a new owner may do is told by the change of owner; what the old one may no longer do is told.
            let new_owner = after.owner().filter(|_| before.owner() != after.owner());
            let granted = |side: &T| -> Vec<Grant> {
                side.privileges().iter().filter(|grant| Some(grant.grantee.as_str()) != new_owner).cloned().collect()
            };
            changes.extend(grants(&granted_on(kind, name), table, &granted(before), &granted(after)));
            changes
        }
        _ => Vec::new(),
    }
}

/// How a privilege on an object of that kind and name is told.
fn granted_on(kind: ObjectKind, name: &str) -> String {
    match kind {
        ObjectKind::Schema => format!("SCHEMA {name}"),
        ObjectKind::Sequence => format!("SEQUENCE {name}"),
        ObjectKind::Function => format!("FUNCTION {name}"),
        ObjectKind::Procedure => format!("PROCEDURE {name}"),
        ObjectKind::Type => format!("TYPE {name}"),
        _ => name.to_owned(),
    }
}

fn relations(before: &BTreeMap<String, Relation>, after: &BTreeMap<String, Relation>) -> Vec<SchemaChange> {
    let changes: BTreeMap<&String, Vec<SchemaChange>> = union(before, after)
        .into_iter()
        .filter(|name| !goes_with_parent(name, before, after) && !goes_with_parent(name, after, before))
        .map(|name| (name, relation(name, before.get(name), after.get(name))))
        .collect();
    let parents =
        |name: &String| after.get(name).or_else(|| before.get(name)).map_or(&[][..], |r| r.parents.as_slice());
    let told_at_parent = |name: &String, change: &SchemaChange| {
        let at_parents = parents(name).iter().filter_map(|parent| changes.get(parent)).flatten();
        at_parents.into_iter().any(|at_parent| is_same_change(change, at_parent))
    };
    changes
        .iter()
        .flat_map(|(name, of_relation)| of_relation.iter().filter(|change| !told_at_parent(name, change)).cloned())
        .collect()
}

/// A partition that is on `side` only, and its table as well.
fn goes_with_parent(name: &str, side: &BTreeMap<String, Relation>, other: &BTreeMap<String, Relation>) -> bool {
    let partition = side.get(name).filter(|relation| relation.is_partition && !other.contains_key(name));
    partition.is_some_and(|relation| relation.parents.iter().any(|parent| !other.contains_key(parent)))
}

/// What `ALTER` of a parent does to its children: the same change to the column or constraint of the same name.
fn is_same_change(child: &SchemaChange, parent: &SchemaChange) -> bool {
    let local = |change: &SchemaChange| {
        let table = change.table.as_deref().unwrap_or_default();
        change.object.strip_prefix(table).unwrap_or(&change.object).to_owned()
    };
    matches!(child.kind, ObjectKind::Column | ObjectKind::Constraint | ObjectKind::Trigger)
        && (child.kind, child.change, child.property, &child.before, &child.after, local(child))
            == (parent.kind, parent.change, parent.property, &parent.before, &parent.after, local(parent))
}

fn relation(name: &str, before: Option<&Relation>, after: Option<&Relation>) -> Vec<SchemaChange> {
    let is_view = after.or(before).is_some_and(|relation| relation.kind.is_view());
    let kind = if is_view { ObjectKind::View } else { ObjectKind::Table };
    let mut changes = compare_one(kind, None, name, before, after);
    for change in &mut changes {
        if change.kind == ObjectKind::Privilege {
            change.table = Some(name.to_owned());
        }
    }
    if let (Some(before), Some(after)) = (before, after) {
        changes.extend(columns(name, before, after));
        changes.extend(constraints_and_indexes(name, before, after));
        let table = Some(name);
        changes.extend(compare(ObjectKind::Trigger, table, &before.triggers, &after.triggers));
        changes.extend(compare(ObjectKind::Policy, table, &before.policies, &after.policies));
        changes.extend(compare(ObjectKind::Rule, table, &before.rules, &after.rules));
        changes.extend(compare(ObjectKind::Statistics, table, &before.statistics, &after.statistics));
    }
    changes
}

fn columns(table: &str, before: &Relation, after: &Relation) -> Vec<SchemaChange> {
    // A view's query says what its columns are.
    if before.kind.is_view() || after.kind.is_view() {
        return Vec::new();
    }
    let mut changes = compare(ObjectKind::Column, Some(table), &before.columns, &after.columns);
    // What the table's collation was and is: told of the table.
    if before.collation != after.collation {
        changes.retain(|change| {
            change.property != Some(Property::Collation)
                || (&change.before, &change.after) != (&before.collation, &after.collation)
        });
    }
    let (ranks_before, ranks_after) = (ranks(&before.columns, &after.columns), ranks(&after.columns, &before.columns));
    for (column, rank_before) in ranks_before {
        let rank_after = ranks_after[column];
        if rank_before != rank_after {
            changes.push(SchemaChange {
                kind: ObjectKind::Column,
                object: format!("{table}.{column}"),
                table: Some(table.to_owned()),
                change: Change::Changed,
                property: Some(Property::Position),
                before: Some(rank_before.to_string()),
                after: Some(rank_after.to_string()),
                nodes: Vec::new(),
            });
        }
    }
    changes
}

/// Positions among the columns on both sides, from 1: a column dropped or added moves no other.
fn ranks<'a>(side: &'a BTreeMap<String, Column>, other: &BTreeMap<String, Column>) -> BTreeMap<&'a str, usize> {
    let mut common: Vec<(&String, &Column)> = side.iter().filter(|(name, _)| other.contains_key(*name)).collect();
    common.sort_by_key(|(_, column)| column.position);
    common.into_iter().zip(1..).map(|((name, _), rank)| (name.as_str(), rank)).collect()
}

/// An index that comes, goes or is made another with its constraint is told by the constraint.
fn constraints_and_indexes(table: &str, before: &Relation, after: &Relation) -> Vec<SchemaChange> {
    let mut changes = compare(ObjectKind::Constraint, Some(table), &before.constraints, &after.constraints);
    let with_constraint = |index: &SchemaChange| {
        let side = if index.change == Change::Removed { before } else { after };
        if !matches!(index.property, None | Some(Property::Definition)) {
            return false;
        }
        let constraint = side.indexes.get(&index.object).and_then(|index| index.constraint.as_ref());
        changes.iter().any(|change| {
            (change.change, change.property) == (index.change, index.property) && Some(&change.object) == constraint
        })
    };
    let indexes = compare(ObjectKind::Index, Some(table), &before.indexes, &after.indexes);
    let indexes: Vec<SchemaChange> = indexes.into_iter().filter(|index| !with_constraint(index)).collect();
    changes.extend(indexes);
    changes
}

fn sequences(before: &Catalog, after: &Catalog) -> Vec<SchemaChange> {
    let with_owner = |change: &SchemaChange| {
        let (side, other) = match change.change {
            Change::Added => (after, before),
            Change::Removed => (before, after),
            Change::Changed => return false,
        };
        let Some(sequence) = side.sequences.get(&change.object) else { return false };
        let table_on_one_side = |table: &String| !other.relations.contains_key(table);
        sequence.identity || sequence.owning_table.as_ref().is_some_and(table_on_one_side)
    };
    let changes = compare(ObjectKind::Sequence, None, &before.sequences, &after.sequences);
    changes.into_iter().filter(|change| !with_owner(change)).collect()
}

fn default_privileges(
    before: &BTreeMap<String, Vec<Grant>>,
    after: &BTreeMap<String, Vec<Grant>>,
) -> Vec<SchemaChange> {
    let of = |side: &BTreeMap<String, Vec<Grant>>, on: &String| side.get(on).cloned().unwrap_or_default();
    let changes = |on: &String| grants(&format!("FUTURE {on}"), None, &of(before, on), &of(after, on));
    union(before, after).into_iter().flat_map(changes).collect()
}

/// One change a privilege, named as it was granted: "SELECT (id) ON orders TO app".
fn grants(on: &str, table: Option<&str>, before: &[Grant], after: &[Grant]) -> Vec<SchemaChange> {
    let by_name = |grants: &[Grant]| -> BTreeMap<String, bool> {
        grants.iter().map(|grant| (grant_name(grant, on), grant.grantable)).collect()
    };
    let (before, after) = (by_name(before), by_name(after));
    let option = |grantable: &bool| grantable.then(|| "WITH GRANT OPTION".to_owned());
    let change = |name: &String| {
        let (change, property) = match (before.get(name), after.get(name)) {
            (None, _) => (Change::Added, None),
            (_, None) => (Change::Removed, None),
            (before, after) if before == after => return None,
            _ => (Change::Changed, Some(Property::Options)),
        };
        Some(SchemaChange {
            kind: ObjectKind::Privilege,
            object: name.clone(),
            table: table.map(str::to_owned),
            change,
            property,
            before: before.get(name).and_then(option),
            after: after.get(name).and_then(option),
            nodes: Vec::new(),
        })
    };
    union(&before, &after).into_iter().filter_map(change).collect()
}

fn grant_name(grant: &Grant, on: &str) -> String {
    let column = grant.column.as_ref().map(|column| format!(" ({column})")).unwrap_or_default();
    format!("{}{column} ON {on} TO {}", grant.privilege, grant.grantee)
}
