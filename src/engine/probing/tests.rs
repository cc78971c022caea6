//! What probes would send, without a server.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::dialect::Form;
use super::recipes::{self, Rows};
use super::script::{Operate, Script, Values};
use super::sql::Sql;
use super::table::{Column, Identity, Origin, Reference, Sequence, Table, Unique};
use super::values::{Style, ValueKind};
use crate::engine::EngineKind;

fn column(name: &str, kind: ValueKind) -> Column {
    Column {
        quoted: name.into(),
        kind,
        form: Form::Quoted,
        variable: false,
        not_null: true,
        default: false,
        identity: Identity::No,
        generated: false,
        sequence: None,
        in_partition_key: false,
        may_select: true,
        may_insert: true,
        may_update: true,
    }
}

fn table(columns: Vec<Column>, key: &[usize], unique: &[&[usize]]) -> Table {
    Table {
        engine: EngineKind::Postgres,
        name: "t".into(),
        quoted: "public.t".into(),
        elsewhere: None,
        kept: None,
        columns,
        key: Some(key.to_vec()),
        unique: unique.iter().map(|columns| Unique { name: None, columns: columns.to_vec(), equality: true }).collect(),
        references: Vec::new(),
        referenced: false,
        known_as: BTreeSet::new(),
        origin: Origin::Postgres(Default::default()),
    }
}

fn serial() -> Column {
    let sequence = Some(Sequence { left: 1_000_000 });
    Column { default: true, sequence, ..column("id", ValueKind::Integer { max: i32::MAX.into() }) }
}

fn text(name: &str) -> Column {
    column(name, ValueKind::Text { max: None })
}

fn rows(values: &[&[&str]]) -> Rows {
    let values: Vec<Values> =
        values.iter().map(|row| row.iter().map(|value| Some((*value).to_owned())).collect()).collect();
    Rows { values: Arc::new(values), exist: true }
}

fn shown(table: Table, operates: Vec<Operate>) -> String {
    let table = Arc::new(table);
    operates.into_iter().map(|operate| Script::new(&table, operate).shown()).collect::<Vec<_>>().join("\n")
}

#[test]
fn inserts_leave_out_what_has_a_default_and_then_less_and_less() {
    let with_default = Column { default: true, ..text("state") };
    let orders = table(vec![serial(), text("note"), with_default], &[0], &[&[0]]);
    let rows = rows(&[&["1", "a", "new"], &["2", "b", "new"], &["3", "c", "old"]]);
    let inserts = recipes::inserts(&orders, &rows);
    insta::assert_snapshot!(shown(orders, inserts), @r"
    BEGIN; INSERT INTO public.t (note) VALUES ($1); INSERT INTO public.t (note) VALUES ($2); SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK
    BEGIN; INSERT INTO public.t (note, state) VALUES ($1, $2); INSERT INTO public.t (note, state) VALUES ($3, $4); SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK
    BEGIN; DELETE FROM public.t WHERE id = $1; INSERT INTO public.t (id, note, state) VALUES ($2, $3, $4); SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK
    ");
}

#[test]
fn of_a_unique_index_the_best_column_is_made_new() {
    let check = |columns: Vec<Column>, unique: &[&[usize]], expected: &[usize]| {
        let table = table(columns, unique[0], unique);
        let values = ["1"; 4];
        let inserts = recipes::inserts(&table, &rows(&[&values[..table.columns.len()]]));
        let Operate::Insert(first) = &inserts[0] else { panic!("{inserts:?}") };
        assert_eq!(first.fresh, expected, "{unique:?}");
    };
    let number = || column("n", ValueKind::Integer { max: 100 });
    check(vec![number(), text("a")], &[&[0]], &[0]);
    check(vec![number(), text("a")], &[&[0, 1]], &[1]);
    check(vec![number(), text("a"), text("b")], &[&[0, 1], &[1, 2]], &[1]);
    check(vec![serial(), text("a"), text("b")], &[&[0], &[2]], &[2]);
    let partitioned = Column { in_partition_key: true, ..text("a") };
    check(vec![number(), partitioned], &[&[0, 1]], &[0]);
}

#[test]
fn an_insert_keeps_to_unique_indexes_that_were_made_since() {
    let reference = Reference {
        columns: vec![2],
        to_quoted: "public.other".into(),
        to_name: "other".into(),
        to_columns: vec!["id".into()],
        acts: false,
    };
    let columns = vec![serial(), text("mail"), column("other", ValueKind::Integer { max: 100 })];
    let before = Table { references: vec![reference], ..table(columns, &[0], &[&[0]]) };
    let rows = rows(&[&["1", "a@b", "7"], &["2", "c@d", "8"]]);
    let Operate::Insert(insert) = &recipes::inserts(&before, &rows)[0] else { panic!("no insert") };
    assert_eq!((insert.columns.as_slice(), insert.fresh.as_slice()), (&[1, 2][..], &[][..]));
    let check = |new: &[usize], new_in_all, expected: &[(&[usize], Style, bool)]| {
        let mut after = before.clone();
        after.unique.push(Unique { name: None, columns: new.to_vec(), equality: true });
        let ways = recipes::keep_to_new(&before, &after, insert);
        let found: Vec<_> = ways.inserts.iter().map(|way| (way.fresh.as_slice(), way.style, way.replaces)).collect();
        assert_eq!((found.as_slice(), ways.new_in_all), (expected, new_in_all), "{new:?}");
        assert!(ways.inserts.iter().all(|way| way.columns == insert.columns));
    };
    check(&[1], true, &[(&[1], Style::Shape, false), (&[1], Style::Suffix, false)]);
    check(&[1, 2], true, &[(&[1], Style::Shape, false), (&[1], Style::Suffix, false)]);
    check(&[2], false, &[(&[], Style::Shape, true)]);
}

#[test]
fn a_pair_of_foreign_keys_is_mixed_from_two_rows() {
    let number = |name| column(name, ValueKind::Integer { max: 100 });
    let mut pairs = table(vec![number("a"), number("b")], &[0, 1], &[&[0, 1]]);
    let reference = |column| Reference {
        columns: vec![column],
        to_quoted: "public.other".into(),
        to_name: "other".into(),
        to_columns: vec!["id".into()],
        acts: false,
    };
    pairs.references = vec![reference(0), reference(1)];
    let inserts = recipes::inserts(&pairs, &rows(&[&["1", "2"], &["3", "4"]]));
    let Operate::Insert(first) = &inserts[0] else { panic!("{inserts:?}") };
    let values: Vec<Vec<&str>> =
        first.rows.iter().map(|row| row.iter().map(|value| value.as_deref().unwrap_or("")).collect()).collect();
    assert_eq!(values, [["3", "2"], ["1", "4"]]);
}

#[test]
fn a_row_that_others_refer_to_is_made_to_be_deleted() {
    let check = |referenced, expected: &[&str]| {
        let parents = Table { referenced, ..table(vec![serial(), text("a")], &[0], &[&[0]]) };
        let rows = rows(&[&["1", "a"], &["2", "b"], &["3", "c"]]);
        let inserts = recipes::inserts(&parents, &rows);
        let Operate::Insert(insert) = &inserts[0] else { panic!("{inserts:?}") };
        let deletes = recipes::deletes(&parents, &rows, Some(insert));
        assert_eq!(shown(parents, deletes).lines().collect::<Vec<_>>(), expected);
    };
    let existing = "BEGIN; DELETE FROM public.t WHERE id = $1; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK";
    let made = "BEGIN; INSERT INTO public.t (a) VALUES ($1) RETURNING id; \
        DELETE FROM public.t WHERE id = $2; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK";
    check(true, &[made, existing]);
    check(false, &[existing, made]);
}

/// MySQL has no RETURNING, MariaDB has.
#[test]
fn the_key_of_a_row_that_was_made_is_known() {
    let check = |engine, key: Column, expected: &str| {
        let made = Table { engine, referenced: true, ..table(vec![key, text("a")], &[0], &[&[0]]) };
        let rows = rows(&[&["1", "a"], &["2", "b"], &["3", "c"]]);
        let inserts = recipes::inserts(&made, &rows);
        let Operate::Insert(insert) = &inserts[0] else { panic!("{inserts:?}") };
        let deletes = recipes::deletes(&made, &rows, Some(insert));
        assert_eq!(shown(made, deletes).lines().next(), Some(expected));
    };
    let numbered = || Column { identity: Identity::ByDefault, form: Form::Number, ..serial() };
    check(
        EngineKind::Mariadb,
        numbered(),
        "START TRANSACTION; INSERT INTO public.t (a) VALUES ($1) RETURNING id; DELETE FROM public.t WHERE id = $2; ROLLBACK",
    );
    check(
        EngineKind::Mysql,
        numbered(),
        "START TRANSACTION; INSERT INTO public.t (a) VALUES ($1); SELECT LAST_INSERT_ID(); \
        DELETE FROM public.t WHERE id = $2; ROLLBACK",
    );
    let by_default = Column { default: true, form: Form::Hex, ..column("id", ValueKind::Uuid) };
    check(
        EngineKind::Mysql,
        by_default,
        "START TRANSACTION; INSERT INTO public.t (a, id) VALUES ($1, $2); SELECT $3; \
        DELETE FROM public.t WHERE id = $4; ROLLBACK",
    );
}

#[test]
fn an_update_changes_something_where_it_is_no_write_else() {
    let check = |engine, expected: &[bool]| {
        let table = Table { engine, ..table(vec![serial(), text("a"), text("b")], &[0], &[&[0], &[2]]) };
        let updates = recipes::updates(&table, &rows(&[&["1", "a", "x"], &["2", "b", "y"], &["3", "c", "z"]]), None);
        let changes = updates.iter().map(|update| matches!(update, Operate::Update { changes: true, .. }));
        assert_eq!(changes.collect::<Vec<_>>(), expected, "{engine:?}");
    };
    check(EngineKind::Postgres, &[false, false, false]);
    check(EngineKind::Mysql, &[true, false, false, false]);
}

#[test]
fn a_key_that_the_server_numbers_is_never_named_with_a_new_value() {
    // An explicit number would be where the server goes on counting, whatever is rolled back.
    let numbered = Column { identity: Identity::ByDefault, ..serial() };
    let table = Table { engine: EngineKind::Mysql, ..table(vec![numbered, text("a")], &[0], &[&[0], &[1]]) };
    let inserts = recipes::inserts(&table, &rows(&[&["1", "a"], &["2", "b"]]));
    assert!(inserts.len() > 1);
    for insert in inserts {
        let Operate::Insert(insert) = insert else { panic!("{insert:?}") };
        assert!(insert.replaces || !insert.columns.contains(&0), "{insert:?}");
    }
}

#[test]
fn fresh_values_keep_to_their_type() {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut fresh = |kind: ValueKind, sample: &str, style| kind.fresh(sample, style, &mut rng);
    let text = |max| ValueKind::Text { max };
    for _ in 0..50 {
        let shaped = fresh(text(None), "AB-12 é", Style::Shape).expect("texts can be new");
        let kinds: Vec<bool> = shaped.chars().map(|each| each.is_ascii_uppercase()).collect();
        assert_eq!(kinds, [true, true, false, false, false, false, false], "{shaped}");
        assert_eq!(&shaped[2..3], "-");
        let suffixed = fresh(text(Some(5)), "hello", Style::Suffix).expect("texts can be new");
        assert_eq!(suffixed.chars().count(), 5);
        let uuid = fresh(ValueKind::Uuid, "", Style::Shape).expect("uuids can be new");
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        let time = fresh(ValueKind::Timestamp, "2024-05-17 10:00:00+02", Style::Shape).expect("times can be new");
        assert!(time.starts_with("2024-05-17 "), "{time}");
        let number = fresh(ValueKind::Numeric { digits: Some((4, 2)) }, "", Style::Shape).expect("numbers can be new");
        assert_eq!(number.len(), 4);
        let number = fresh(ValueKind::Integer { max: 32_767 }, "", Style::Shape).and_then(|text| text.parse().ok());
        assert!(number.is_some_and(|number: i64| (16_383..=32_767).contains(&number)));
    }
    assert_eq!(fresh(ValueKind::Boolean, "t", Style::Shape), None);
}

#[test]
fn values_are_literals_or_numbered() {
    let values = || [(Form::Quoted, Some("a")), (Form::Quoted, None)];
    let mut sql = Sql::to_send(EngineKind::Postgres);
    sql.push("VALUES (").values(values()).push(")");
    assert_eq!(sql.finish(), "VALUES ('a', NULL)");
    let mut sql = Sql::to_show(EngineKind::Postgres);
    sql.values(values());
    assert_eq!(sql.finish(), "$1, $2");
}
