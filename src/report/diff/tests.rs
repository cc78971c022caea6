//! A result built by hand, as text and as JSON.

use std::collections::BTreeMap;

use super::{json, text};
use crate::event::{
    Change, DataChange, DiffResult, DifferingKeys, NotCompared, ObjectKind, Property, RowSample, SchemaChange,
};

fn example() -> DiffResult {
    let row = |a: &str| Some(BTreeMap::from([("a".to_owned(), Some(a.to_owned())), ("b".to_owned(), None)]));
    DiffResult {
        schema: vec![
            SchemaChange {
                kind: ObjectKind::Column,
                object: "orders.id".into(),
                table: Some("orders".into()),
                change: Change::Changed,
                property: Some(Property::Default),
                before: Some("nextval('orders_id_seq'::regclass)".into()),
                after: None,
                nodes: vec![],
            },
            SchemaChange {
                kind: ObjectKind::Index,
                object: "orders_at_idx".into(),
                table: Some("orders".into()),
                change: Change::Removed,
                property: None,
                before: Some("CREATE INDEX ON public.orders\n  USING btree (at)".into()),
                after: None,
                nodes: vec![],
            },
        ],
        data: vec![DataChange {
            table: "orders".into(),
            rows_before: 10,
            rows_after: 11,
            added: Some(1),
            removed: Some(0),
            changed: Some(2),
            columns: BTreeMap::from([("a".to_owned(), 2)]),
            matched_by: "primary key".into(),
            samples: vec![RowSample { key: vec!["1".into()], before: row("x"), after: row("y") }],
            keys: Some(DifferingKeys {
                columns: vec!["id".into()],
                added: vec![vec![Some("11".into())]],
                removed: Vec::new(),
                changed: vec![vec![Some("1".into())]],
                left_off: 1,
            }),
            nodes: Vec::new(),
        }],
        tables_compared: 3,
        compared: Vec::new(),
        not_compared: vec![NotCompared { table: "far".into(), reason: "its rows lie on another server".into() }],
    }
}

#[test]
fn text_shows_samples_and_no_keys() {
    insta::assert_snapshot!(text(&example()), @r"
    schema
      ~ column orders.id: default nextval('orders_id_seq'::regclass) -> none
      - index orders_at_idx on orders: CREATE INDEX ON public.orders USING btree (at)

    data
      ~ orders: 10 -> 11 rows, 1 added, 2 changed (a in 2); matched by primary key
          - a=x b=NULL
          + a=y b=NULL

    content not compared
      far: its rows lie on another server

    2 differences in the schema, 1 table with other content; content of 3 tables compared
    ");
}

#[test]
fn text_of_nothing() {
    insta::assert_snapshot!(text(&DiffResult { tables_compared: 1, ..DiffResult::default() }), @"no difference; content of 1 table compared");
}

#[test]
fn long_definitions_show_where_they_differ() {
    let definition = |end: &str| Some(format!("SELECT {} {end}", "a, ".repeat(200)));
    let change = SchemaChange {
        kind: ObjectKind::View,
        object: "v".into(),
        table: None,
        change: Change::Changed,
        property: Some(Property::Definition),
        before: definition("FROM x"),
        after: definition("FROM y"),
        nodes: vec![],
    };
    insta::assert_snapshot!(text(&DiffResult { schema: vec![change], ..DiffResult::default() }), @r"
    schema
      ~ view v: definition …, a, a, a, a, a, a, a, a, a, a, a, FROM x -> …, a, a, a, a, a, a, a, a, a, a, a, FROM y

    1 difference in the schema, 0 tables with other content; content of 0 tables compared
    ");
}

#[test]
fn json_is_whole() {
    insta::assert_snapshot!(json("a", "b", &example()), @r#"
    {
      "format": 1,
      "before": "a",
      "after": "b",
      "equal": false,
      "schema": [
        {
          "kind": "column",
          "object": "orders.id",
          "table": "orders",
          "change": "changed",
          "property": "default",
          "before": "nextval('orders_id_seq'::regclass)",
          "after": null
        },
        {
          "kind": "index",
          "object": "orders_at_idx",
          "table": "orders",
          "change": "removed",
          "property": null,
          "before": "CREATE INDEX ON public.orders\n  USING btree (at)",
          "after": null
        }
      ],
      "data": [
        {
          "table": "orders",
          "rows_before": 10,
          "rows_after": 11,
          "added": 1,
          "removed": 0,
          "changed": 2,
          "columns": {
            "a": 2
          },
          "matched_by": "primary key",
          "samples": [
            {
              "key": [
                "1"
              ],
              "before": {
                "a": "x",
                "b": null
              },
              "after": {
                "a": "y",
                "b": null
              }
            }
          ],
          "keys": {
            "columns": [
              "id"
            ],
            "added": [
              [
                "11"
              ]
            ],
            "removed": [],
            "changed": [
              [
                "1"
              ]
            ],
            "left_off": 1
          }
        }
      ],
      "tables_compared": 3,
      "compared": [],
      "not_compared": [
        {
          "table": "far",
          "reason": "its rows lie on another server"
        }
      ]
    }
    "#);
}
