//! Catalogs built by hand; `tests/it/diff` has real ones.

use std::collections::BTreeMap;

use super::{SchemaChange, schema};
use crate::engine::catalog::{Catalog, Column, Grant, Relation, RelationKind};

fn column(position: u32, type_name: &str) -> Column {
    Column {
        position,
        type_name: type_name.to_owned(),
        default: None,
        nullable: "NULL".to_owned(),
        identity: None,
        generated: None,
        collation: None,
        options: None,
        comment: None,
        place: None,
        inherited: false,
    }
}

fn relation(name: &str, columns: &[(&str, &str)]) -> Relation {
    Relation {
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: RelationKind::Table,
        persistence: "permanent".to_owned(),
        storage_engine: None,
        collation: None,
        partition: None,
        parents: Vec::new(),
        is_partition: false,
        options: None,
        row_security: None,
        owner: "app".to_owned(),
        comment: None,
        definition: None,
        populated: true,
        valid: true,
        estimated_rows: 0.0,
        columns: columns.iter().zip(1..).map(|((name, kind), at)| ((*name).to_owned(), column(at, kind))).collect(),
        constraints: BTreeMap::new(),
        indexes: BTreeMap::new(),
        triggers: BTreeMap::new(),
        policies: BTreeMap::new(),
        rules: BTreeMap::new(),
        statistics: BTreeMap::new(),
        privileges: Vec::new(),
    }
}

fn partition(name: &str, parent: &str, columns: &[(&str, &str)]) -> Relation {
    Relation {
        is_partition: true,
        parents: vec![parent.to_owned()],
        partition: Some(format!("PARTITION OF {parent} DEFAULT")),
        ..relation(name, columns)
    }
}

fn line(change: &SchemaChange) -> String {
    let property = change.property.map_or("", |property| property.name());
    let (before, after) = (change.before.as_deref().unwrap_or("-"), change.after.as_deref().unwrap_or("-"));
    format!("{:?} {} {property} {before} {after}", change.change, change.object)
}

fn check(before: Vec<Relation>, after: Vec<Relation>, expected: &[&str]) {
    let catalog = |relations: Vec<Relation>| Catalog {
        relations: relations.into_iter().map(|relation| (relation.name.clone(), relation)).collect(),
        ..Catalog::default()
    };
    let changes = schema(&catalog(before), &catalog(after));
    assert_eq!(changes.iter().map(line).collect::<Vec<_>>(), expected);
}

#[test]
fn a_change_of_a_parent_is_told_once() {
    let tables = |kind: &str, other: &str| {
        vec![
            relation("t", &[("x", kind)]),
            partition("t_1", "t", &[("x", kind)]),
            partition("t_2", "t", &[("x", other)]),
        ]
    };
    check(tables("int", "int"), tables("bigint", "bigint"), &["Changed t.x type int bigint"]);
    check(tables("int", "int"), tables("int", "bigint"), &["Changed t_2.x type int bigint"]);
}

#[test]
fn partitions_go_with_their_table() {
    let tables = vec![relation("t", &[]), partition("t_1", "t", &[])];
    check(tables.clone(), Vec::new(), &["Removed t  - -"]);
    check(Vec::new(), tables.clone(), &["Added t  - -"]);
    check(tables, vec![relation("t", &[])], &["Removed t_1  PARTITION OF t DEFAULT -"]);
}

#[test]
fn columns_dropped_and_added_move_no_other() {
    let all = relation("t", &[("a", "int"), ("b", "int"), ("c", "int")]);
    check(vec![all.clone()], vec![relation("t", &[("a", "int"), ("c", "int")])], &["Removed t.b  int -"]);
    let moved = relation("t", &[("b", "int"), ("a", "int"), ("c", "int")]);
    check(vec![all], vec![moved], &["Changed t.a position 1 2", "Changed t.b position 2 1"]);
}

#[test]
fn a_new_owner_is_told_once_and_what_the_old_one_lost_is_told() {
    let grant = |grantee: &str| Grant {
        grantee: grantee.to_owned(),
        privilege: "SELECT".to_owned(),
        column: None,
        grantable: false,
    };
    let owned =
        |owner: &str| Relation { owner: owner.to_owned(), privileges: vec![grant(owner)], ..relation("t", &[]) };
    check(vec![owned("app")], vec![owned("boss")], &["Changed t owner app boss", "Removed SELECT ON t TO app  - -"]);
}
