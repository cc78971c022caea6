//! Rules over the comparison of schema and data.

use super::{check, only};
use crate::event::{
    Change, DataChange, DiffResult, DownCause, Event, NotCompared, Numbering, ObjectKind, Property, SchemaChange,
    Statement,
};
use crate::finding::Code;
use crate::outcome::sample::{INSERT, Log, added, changed, exclusive, property, removed, sql_error, statement};
use crate::scenario::ChangedTable;

fn schema(changes: Vec<SchemaChange>, expected: &[&str]) {
    check(Log::new(|_| {}).compared(changes, Vec::new()), expected);
}

#[test]
fn defaults() {
    let default = |before, after| property("orders.status", Property::Default, before, after);
    schema(vec![default(Some("'open'::text"), None)], &["default-lost"]);
    schema(vec![default(Some("'open'::text"), Some("'new'::text"))], &[]);
    schema(vec![default(None, Some("'new'::text"))], &[]);
    let dropped = SchemaChange { change: Change::Removed, ..changed(ObjectKind::Table, "orders", "orders") };
    schema(vec![dropped, default(Some("'open'::text"), None)], &[]);
}

#[test]
fn a_lost_serial_names_its_sequence() {
    let serial = property("orders.id", Property::Default, Some("nextval('orders_id_seq'::regclass)"), None);
    let found = only(Log::new(|_| {}).compared(vec![serial.clone()], Vec::new()), Code::DefaultLost);
    assert_eq!(found.condition, "orders: default lost on id (numbered by sequence orders_id_seq)");
    // From serial to identity nothing is lost.
    let identity = property("orders.id", Property::Identity, None, Some("always"));
    schema(vec![serial, identity], &[]);
}

#[test]
fn numbering_that_was_lost_for_a_while_is_told_where_users_were_refused() {
    let log = |refused: bool| {
        let numbering = |lost| vec![Numbering { table: "orders".into(), column: "id".into(), lost }];
        let mut log = Log::new(|_| {});
        let alter = "ALTER TABLE orders MODIFY id BIGINT NOT NULL";
        let lost = Statement { numbering: numbering(true), started_ms: 1100.0, ..statement(alter, 5.0) };
        log.step(0, 1100.0, 5.0, vec![lost]);
        if refused {
            log.down(INSERT, 1105.0, 900.0, |down| {
                down.cause = DownCause::Error;
                down.error = Some(sql_error("1364", "Field 'id' doesn't have a default value"));
            });
        }
        let again = Statement { numbering: numbering(false), started_ms: 2000.0, ..statement("ALTER …", 5.0) };
        log.step(0, 2000.0, 5.0, vec![again]);
        log
    };
    check(&mut log(false), &[]);
    let found = only(&mut log(true), Code::AutoIncrementLost);
    assert_eq!(
        found.condition,
        "orders: automatic numbering lost on id by `ALTER TABLE orders MODIFY id BIGINT NOT NULL`, and given back 900 ms \
         later, by `ALTER …` of step \"change\""
    );
}

#[test]
fn a_view_that_no_longer_works() {
    let view = |before: &str, after: &str| SchemaChange {
        property: Some(Property::Valid),
        before: Some(before.into()),
        after: Some(after.into()),
        ..changed(ObjectKind::View, "open_orders", "open_orders")
    };
    schema(vec![view("valid", "not valid")], &["view-invalid"]);
    schema(vec![view("not valid", "valid")], &[]);
}

#[test]
fn one_finding_a_table_names_its_columns() {
    let changes = vec![
        property("orders.status", Property::Default, Some("'open'::text"), None),
        property("orders.created_at", Property::Default, Some("now()"), None),
    ];
    let mut log = Log::new(|_| {});
    log.step(
        0,
        1100.0,
        5.0,
        vec![crate::event::Statement { locks: vec![exclusive("orders")], ..statement("DROP TABLE orders", 5.0) }],
    );
    let found = only(log.compared(changes, Vec::new()), Code::DefaultLost);
    assert_eq!(found.condition, "orders: default lost on status ('open'::text) and created_at (now())");
    assert_eq!(found.step.as_deref(), Some("change"));
}

#[test]
fn numbering() {
    let identity = |before, after| property("orders.id", Property::Identity, before, after);
    schema(vec![identity(Some("always"), None)], &["auto-increment-lost"]);
    schema(vec![identity(Some("always"), Some("by default"))], &[]);
    let serial = property("orders.id", Property::Default, None, Some("nextval('s'::regclass)"));
    schema(vec![identity(Some("always"), None), serial], &[]);
}

#[test]
fn not_null() {
    schema(vec![property("orders.id", Property::Nullable, Some("not null"), Some("null"))], &["not-null-lost"]);
    schema(vec![property("orders.id", Property::Nullable, Some("NOT NULL"), Some("NULL"))], &["not-null-lost"]);
    schema(vec![property("orders.id", Property::Nullable, Some("null"), Some("not null"))], &[]);
    schema(vec![property("orders.id", Property::Nullable, Some("NOT NULL"), Some("NOT NULL NOT VALID"))], &[]);
}

#[test]
fn constraints() {
    let check_amount = || removed(ObjectKind::Constraint, "orders_amount", "orders", "CHECK (amount >= 0)");
    schema(vec![check_amount()], &["constraint-lost"]);
    let renamed = added(ObjectKind::Constraint, "amount_positive", "orders", "CHECK (amount >= 0)");
    schema(vec![check_amount(), renamed], &[]);
    let elsewhere = added(ObjectKind::Constraint, "amount_positive", "users", "CHECK (amount >= 0)");
    schema(vec![check_amount(), elsewhere], &["constraint-lost"]);
    let column = removed(ObjectKind::Column, "orders.amount", "orders", "numeric");
    schema(vec![check_amount(), column], &[]);
    let other_column = removed(ObjectKind::Column, "orders.amount_old", "orders", "numeric");
    schema(vec![check_amount(), other_column], &["constraint-lost"]);
    let valid = |before: &str, after: &str| SchemaChange {
        property: Some(Property::Valid),
        before: Some(before.into()),
        after: Some(after.into()),
        ..changed(ObjectKind::Constraint, "orders_amount", "orders")
    };
    schema(vec![valid("valid", "not valid")], &["constraint-lost"]);
    schema(vec![valid("true", "false")], &["constraint-lost"]);
    schema(vec![valid("not valid", "valid")], &[]);
}

#[test]
fn indexes() {
    let index = |name: &str| format!("CREATE INDEX {name} ON public.orders USING btree (created_at)");
    let lost = || removed(ObjectKind::Index, "orders_created", "orders", &index("orders_created"));
    schema(vec![lost()], &["index-lost"]);
    schema(vec![lost(), added(ObjectKind::Index, "orders_created_1", "orders", &index("orders_created_1"))], &[]);
    let nameless = "CREATE INDEX ON public.a_table USING btree (x)";
    let renamed =
        vec![removed(ObjectKind::Index, "a", "a_table", nameless), added(ObjectKind::Index, "b", "a_table", nameless)];
    schema(renamed, &[]);
    let other = "CREATE INDEX o ON public.orders USING btree (user_id)";
    schema(vec![lost(), added(ObjectKind::Index, "o", "orders", other)], &["index-lost"]);
    // A primary key's index is told with the key.
    let key = removed(ObjectKind::Constraint, "orders_pkey", "orders", "PRIMARY KEY (id)");
    let behind = removed(ObjectKind::Index, "orders_pkey", "orders", "CREATE UNIQUE INDEX orders_pkey ON orders (id)");
    schema(vec![key, behind], &["constraint-lost"]);
}

#[test]
fn invalid_indexes() {
    let index = |change, property, after: &str| SchemaChange {
        change,
        property,
        after: Some(after.into()),
        ..changed(ObjectKind::Index, "orders_user", "orders")
    };
    schema(vec![index(Change::Changed, Some(Property::Valid), "invalid")], &["index-invalid"]);
    schema(vec![index(Change::Changed, Some(Property::Valid), "false")], &["index-invalid"]);
    schema(vec![index(Change::Changed, Some(Property::Valid), "valid")], &[]);
    schema(
        vec![index(Change::Added, None, "CREATE INDEX orders_user ON orders (user_id) INVALID")],
        &["index-invalid"],
    );
    schema(vec![index(Change::Added, None, "CREATE INDEX orders_user ON orders (user_id)")], &[]);
}

#[test]
fn privileges() {
    let lost = removed(ObjectKind::Privilege, "orders app SELECT", "orders", "SELECT");
    schema(vec![lost.clone()], &["privilege-lost"]);
    schema(vec![SchemaChange { change: Change::Added, ..lost }], &[]);
    let sequence = SchemaChange { table: None, ..removed(ObjectKind::Sequence, "orders_id_seq", "", "bigint") };
    let on_it = SchemaChange { table: None, ..removed(ObjectKind::Privilege, "orders_id_seq app USAGE", "", "USAGE") };
    schema(vec![on_it.clone()], &["privilege-lost"]);
    schema(vec![sequence, on_it], &[]);
}

#[test]
fn retired_on_purpose() {
    let lost = || vec![removed(ObjectKind::Index, "orders_created", "orders", "CREATE INDEX …")];
    check(Log::new(|scenario| scenario.expect.retired = vec!["public.orders".into()]).compared(lost(), vec![]), &[]);
    check(Log::new(|scenario| scenario.expect.retired = vec!["orders_created".into()]).compared(lost(), vec![]), &[]);
}

fn rows(table: &str, column: &str) -> DataChange {
    DataChange {
        table: table.into(),
        rows_before: 1000,
        rows_after: 1000,
        added: Some(0),
        removed: Some(0),
        changed: Some(3),
        columns: [(column.to_owned(), 3)].into(),
        matched_by: "primary key".into(),
        samples: Vec::new(),
        keys: None,
        nodes: Vec::new(),
    }
}

#[test]
fn data() {
    fn check_data(unchanged: &[&str], changed: Option<Vec<(&str, &[&str])>>, data: DataChange, expected: &[&str]) {
        let mut log = Log::new(|scenario| {
            scenario.expect.unchanged = unchanged.iter().map(|name| (*name).into()).collect();
            scenario.expect.changed = changed.map(|tables| {
                tables
                    .into_iter()
                    .map(|(table, columns)| ChangedTable {
                        table: table.into(),
                        columns: columns.iter().map(|name| (*name).into()).collect(),
                    })
                    .collect()
            });
        });
        check(log.compared(Vec::new(), vec![data]), expected);
    }
    const UNEXPECTED: &[&str] = &["data-changed-unexpectedly"];
    check_data(&[], None, rows("users", "email"), &[]);
    check_data(&["users"], None, rows("public.users", "email"), UNEXPECTED);
    check_data(&["orders"], None, rows("users", "email"), &[]);
    check_data(&[], Some(vec![]), rows("users", "email"), UNEXPECTED);
    check_data(&[], Some(vec![("users", &[])]), rows("users", "email"), &[]);
    check_data(&[], Some(vec![("users", &["email"])]), rows("users", "email"), &[]);
    check_data(&[], Some(vec![("users", &["name"])]), rows("users", "email"), UNEXPECTED);
    check_data(&[], Some(vec![]), rows("schema_migrations", "version"), &[]);
    check_data(&[], Some(vec![]), DataChange { changed: Some(0), ..rows("users", "email") }, &[]);
    check_data(
        &[],
        Some(vec![]),
        DataChange { added: None, removed: None, changed: None, ..rows("users", "email") },
        UNEXPECTED,
    );
    let more = DataChange { rows_after: 1003, added: Some(3), changed: Some(0), ..rows("users", "email") };
    check_data(&[], Some(vec![("users", &["email"])]), more, UNEXPECTED);
}

#[test]
fn the_definition_of_an_unchanged_table_stays_too() {
    let unchanged = || Log::new(|scenario| scenario.expect.unchanged = vec!["users".into()]);
    let column = |table: &str| added(ObjectKind::Column, &format!("{table}.note"), table, "text");
    check(unchanged().compared(vec![column("users")], vec![]), &["data-changed-unexpectedly"]);
    check(unchanged().compared(vec![column("orders")], vec![]), &[]);
}

#[test]
fn a_table_that_went_took_its_rows_along() {
    let dropped = || SchemaChange {
        change: Change::Removed,
        before: Some("table".into()),
        ..changed(ObjectKind::Table, "public.audit", "public.audit")
    };
    let found = |change: fn(&mut crate::scenario::Scenario), expected: &[&str]| {
        check(Log::new(change).compared(vec![dropped()], vec![]), expected);
    };
    const UNEXPECTED: &[&str] = &["data-changed-unexpectedly"];
    fn audit() -> ChangedTable {
        ChangedTable { table: "audit".into(), columns: vec![] }
    }
    found(|_| {}, &[]);
    found(|scenario| scenario.expect.changed = Some(vec![]), UNEXPECTED);
    found(|scenario| scenario.expect.changed = Some(vec![audit()]), &[]);
    found(|scenario| (scenario.expect.changed, scenario.expect.retired) = (Some(vec![]), vec!["audit".into()]), &[]);
}

#[test]
fn expectations_of_what_was_not_compared_are_unmet() {
    let found = |unchanged: &str, expected: &[&str]| {
        let mut log = Log::new(|scenario| scenario.expect.unchanged = vec![unchanged.into()]);
        let far = NotCompared { table: "far".into(), reason: "its rows lie on another server".into() };
        let compared = vec!["users".to_owned(), "\"Order Items\"".to_owned()];
        let diff = DiffResult { tables_compared: 2, compared, not_compared: vec![far], ..DiffResult::default() };
        check(
            log.at(9000.0, Event::Compared { node: "primary".into(), diff: Box::new(diff), elapsed_ms: 5.0 }),
            expected,
        );
    };
    const UNMET: &[&str] = &["expectation-unmet"];
    found("users", &[]);
    found("public.users", &[]);
    found("Order Items", &[]);
    found("usres", UNMET);
    found("far", UNMET);
}

#[test]
fn a_new_table_changes_no_rows() {
    let table = SchemaChange { change: Change::Added, ..changed(ObjectKind::Table, "orders_new", "orders_new") };
    let filled = DataChange { rows_before: 0, added: Some(1000), ..rows("orders_new", "id") };
    let mut log = Log::new(|scenario| scenario.expect.changed = Some(vec![]));
    check(log.compared(vec![table], vec![filled]), &[]);
}
