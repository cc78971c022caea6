use super::part::{Part, State};
use super::template::Piece;
use super::{NodeNames, Template};
use crate::engine::EngineKind;
use crate::scenario::NodeField;

fn nodes(node: &str, field: NodeField) -> Option<String> {
    (node == "primary").then(|| format!("{field:?}").to_lowercase())
}

fn read(engine: EngineKind, text: &str) -> Result<Template, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("buy.sql");
    std::fs::write(&file, text).expect("the folder can be written to");
    let names: &NodeNames<'_> = &nodes;
    Template::read(engine, &file, folder.path(), names).map_err(|problems| {
        let told = problems.iter().map(|problem| match problem.place() {
            Some(place) => format!("{}:{}: {problem}", place.file, place.line),
            None => problem.to_string(),
        });
        told.collect::<Vec<_>>().join("\n")
    })
}

/// Its statements with references in angle brackets.
fn shown(template: &Template) -> Vec<String> {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Value(nth) => {
            let reference = &template.references[*nth];
            format!("<{} {}>", reference.table, reference.column)
        }
    };
    template.statements.iter().map(|statement| statement.pieces.iter().map(piece).collect()).collect()
}

#[test]
fn references_are_found_where_values_may_stand() {
    for engine in [EngineKind::Postgres, EngineKind::Mariadb, EngineKind::Mysql] {
        let check = |text: &str, expected: &[&str]| {
            let template = read(engine, text).unwrap_or_else(|problems| panic!("{text}: {problems}"));
            let found: Vec<String> = shown(&template).iter().map(|sql| sql.trim_end_matches(';').to_owned()).collect();
            assert_eq!(found, expected, "{engine:?}: {text}");
        };
        check("SELECT ${orders.id};", &["SELECT <orders id>"]);
        check("SELECT(${billing.orders.id}+1);", &["SELECT(<billing.orders id>+1)"]);
        check("SELECT 1; SELECT ${a.b},${a.b};", &["SELECT 1", "SELECT <a b>,<a b>"]);
        check("SELECT '${not a reference}';", &["SELECT '${not a reference}'"]);
        check("SELECT '${node.primary.host}', ${a.b};", &["SELECT 'host', <a b>"]);
        check("SELECT ';', ${größen.größe};", &["SELECT ';', <größen größe>"]);
    }
}

#[test]
fn what_cannot_be_a_value_is_refused_with_its_place() {
    for engine in [EngineKind::Postgres, EngineKind::Mariadb] {
        let check = |text: &str, expected: &str| {
            let told = read(engine, text).expect_err("it is wrong");
            assert!(told.contains(expected), "{engine:?}: {text}: {told}");
        };
        check("SELECT 1;\nSELECT '${orders.id}';", "buy.sql:2: ${orders.id} stands in quotes");
        check("SELECT ${orders};", "buy.sql:1: ${orders} is no reference");
        check("SELECT ${orders.id;", "${ is no reference");
        check("SELECT x${orders.id};", "stands against another word");
        check("SELECT ${node.primary.name};", "is no reference");
        check("SELECT '${node.b.host}';", "no node is called \"b\"");
        check("-- nothing\n", "a workload without a statement");
    }
    let check = |engine, text: &str, expected: &str| {
        let told = read(engine, text).expect_err("it is wrong");
        assert!(told.contains(expected), "{text}: {told}");
    };
    check(EngineKind::Postgres, "SELECT 1 AS a \\gset\n", "\\gset is not supported");
    check(EngineKind::Postgres, "\\! ls\n", "\\! is not supported");
    check(EngineKind::Postgres, "COPY t FROM stdin;\n1\n\\.\n", "COPY … FROM stdin in a workload is not supported");
    check(EngineKind::Postgres, "VACUUM t;", "VACUUM in a workload is not supported");
    check(EngineKind::Postgres, "SELECT $$${orders.id}$$;", "stands in quotes");
    check(EngineKind::Postgres, "SELECT \"${orders.id}\";", "stands in quotes");
    check(EngineKind::Mariadb, "SELECT `${orders.id}`;", "stands in quotes");
    check(EngineKind::Mariadb, "system ls\n", "system is not supported");
}

#[test]
fn what_is_left_open_is_known() {
    use Part::{Apart, Autocommit, Begins, Chains, Ends, Routine, Within};
    let check = |engine, text: &str, expected: &[(Part, bool)], ending: Option<&str>| {
        let template = read(engine, text).unwrap_or_else(|problems| panic!("{text}: {problems}"));
        let found: Vec<(Part, bool)> =
            template.statements.iter().map(|statement| (statement.part, statement.open)).collect();
        assert_eq!((&found[..], template.state.ending()), (expected, ending), "{text}");
    };
    let (on, off) = (true, false);
    let commit = Some("COMMIT");
    for engine in [EngineKind::Postgres, EngineKind::Mariadb, EngineKind::Mysql] {
        check(engine, "BEGIN; UPDATE t SET a = 1; COMMIT;", &[(Begins, on), (Within, on), (Ends, off)], None);
        check(engine, "SELECT 1; START TRANSACTION; SELECT 2;", &[(Within, off), (Begins, on), (Within, on)], commit);
        check(
            engine,
            "BEGIN; SAVEPOINT a; ROLLBACK TO a; ROLLBACK;",
            &[(Begins, on), (Apart, on), (Apart, on), (Ends, off)],
            None,
        );
        check(engine, "BEGIN; COMMIT AND CHAIN; SELECT 1;", &[(Begins, on), (Chains, on), (Within, on)], commit);
        check(engine, "BEGIN; COMMIT AND NO CHAIN;", &[(Begins, on), (Ends, off)], None);
        check(
            engine,
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; BEGIN; COMMIT;",
            &[(Apart, off), (Begins, on), (Ends, off)],
            None,
        );
    }
    check(EngineKind::Postgres, "CALL p(); DO $$ BEGIN END $$;", &[(Routine, off), (Routine, off)], None);
    let mariadb = |text: &str, expected: &[(Part, bool)], ending| check(EngineKind::Mariadb, text, expected, ending);
    let again = Some("SET autocommit = 1");
    mariadb(
        "SET autocommit = 0; SELECT 2; COMMIT; SELECT 3;",
        &[(Autocommit(false), on), (Within, on), (Ends, on), (Within, on)],
        again,
    );
    mariadb("SET autocommit = 0; SET autocommit = 1;", &[(Autocommit(false), on), (Autocommit(true), off)], None);
    mariadb("BEGIN; SET @@session.autocommit = ON;", &[(Begins, on), (Autocommit(true), on)], commit);
    for text in
        ["SET @@autocommit := OFF;", "SET sql_mode = '', SESSION `autocommit` = 'off';", "set autocommit=false;"]
    {
        mariadb(text, &[(Autocommit(false), on)], again);
    }
    for text in ["SET GLOBAL autocommit = 0;", "SET @@global.autocommit = 0;", "SET NAMES utf8mb4;"] {
        mariadb(text, &[(Apart, off)], None);
    }
    mariadb("SET @autocommit = 0; CALL p();", &[(Within, off), (Within, off)], None);
    mariadb("SET STATEMENT max_statement_time = 1 FOR UPDATE t SET a = 1;", &[(Within, off)], None);
    mariadb("DELIMITER //\nBEGIN NOT ATOMIC UPDATE t SET a = 1; END//\n", &[(Within, off)], None);
    assert_eq!(State::BEGIN.ending(), None);
}
