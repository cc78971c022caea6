use super::{Kind, is_empty, kind, reads_copy_data, touched_identifiers};

#[track_caller]
fn check(text: &str, expected: Kind) {
    assert_eq!(kind(text), expected, "{text}");
}

#[test]
fn what_may_be_followed_and_what_may_not() {
    check("ALTER TABLE orders ADD COLUMN x int;", Kind::Define);
    check("ALTER TABLE p DETACH PARTITION c CONCURRENTLY", Kind::Build);
    check("CREATE INDEX CONCURRENTLY i ON t (a)", Kind::Build);
    check("CREATE INDEX i ON t (a)", Kind::Define);
    check("DROP INDEX CONCURRENTLY i", Kind::Build);
    check("REINDEX TABLE CONCURRENTLY t", Kind::Build);
    check("REINDEX TABLE t", Kind::Define);
    check("REINDEX (VERBOSE) INDEX i", Kind::Define);
    check("REINDEX SCHEMA s", Kind::Build);
    check("REINDEX DATABASE d", Kind::Build);
    check("REFRESH MATERIALIZED VIEW CONCURRENTLY m", Kind::Define);
    check("VACUUM (FULL) t", Kind::Maintain);
    check("CLUSTER t USING i", Kind::Maintain);
    check("ANALYZE t", Kind::Analyze);
    check("CREATE DATABASE x", Kind::Apart);
    check("ALTER SYSTEM SET work_mem = '1MB'", Kind::Apart);
    check("ALTER TYPE mood ADD VALUE 'meh'", Kind::Apart);
    check("BEGIN ISOLATION LEVEL SERIALIZABLE", Kind::Begin);
    check("START TRANSACTION", Kind::Begin);
    check("COMMIT AND CHAIN", Kind::End);
    check("END", Kind::End);
    check("ABORT", Kind::End);
    check("ROLLBACK", Kind::End);
    check("ROLLBACK TO SAVEPOINT a", Kind::RollbackTo);
    check("ROLLBACK TO a", Kind::RollbackTo);
    check("PREPARE TRANSACTION 'x'", Kind::End);
    check("COMMIT PREPARED 'x'", Kind::Apart);
    check("SAVEPOINT a", Kind::Session);
    check("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Kind::Session);
    check("SET LOCAL lock_timeout = '1s'", Kind::Session);
    check("LOCK TABLE t IN SHARE MODE", Kind::Lock);
    check("DECLARE c CURSOR FOR SELECT 1", Kind::Session);
    check("SELECT 1", Kind::Query);
    check("WITH x AS (SELECT 1) SELECT * FROM x", Kind::Query);
    check("(SELECT 1) UNION (SELECT 2)", Kind::Query);
    check("WITH gone AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM gone", Kind::Change);
    check("SELECT * INTO copy FROM t", Kind::Define);
    check("DO $$ BEGIN COMMIT; END $$", Kind::Routine);
    check("CALL p()", Kind::Routine);
    check("COPY t FROM stdin", Kind::Copy);
    check("TRUNCATE t", Kind::Truncate);
    check("SELECT 1; SELECT 2", Kind::Unknown);
    check("selec 1", Kind::Unknown);
    let rows = "(1, 'x;'), ".repeat(100_000);
    check(&format!("INSERT INTO t VALUES {rows}(2, 'y');"), Kind::Change);
    check(&format!("INSERT INTO t VALUES {rows}(2, 'y'); SELECT 1"), Kind::Unknown);
}

#[test]
fn copy_from_the_script() {
    let check = |text: &str, expected: bool| assert_eq!(reads_copy_data(text), expected, "{text}");
    check("COPY t FROM stdin;", true);
    check("copy public.t (a, \"from\") /* from stdin */ From\n STDIN WITH (FORMAT csv)", true);
    check("COPY (SELECT a FROM stdin) TO stdout", false);
    check("COPY t FROM '/tmp/stdin'", false);
    check("COPY t TO stdout", false);
    check("SELECT a FROM stdin", false);
}

#[test]
fn identifiers_inside_bodies_count() {
    let found = touched_identifiers(
        r#"CREATE FUNCTION f() RETURNS void AS $f$ BEGIN EXECUTE format('ALTER TABLE %I', 'Kept') ; UPDATE Orders SET "Total" = '' ; END $f$ -- users"#,
    );
    for name in ["f", "orders", "Total", "kept", "table"] {
        assert!(found.contains(name), "{name} in {found:?}");
    }
    assert!(!found.contains("users"), "a comment is no statement");
}

#[test]
fn nothing_to_run() {
    assert!(is_empty(" ; /* a */ -- b\n ;"));
    assert!(!is_empty("-- b\n x"));
}
