//! Schema and data of two databases compared, on MariaDB and MySQL.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, future, stream};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rehearsal::commands::diff;
use rehearsal::diff::{CompareOptions, DiffError, compare};
use rehearsal::engine::EngineKind;
use rehearsal::engine::content;
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::mysql::connect::with;
use rehearsal::engine::reading::Reading;
use rehearsal::lab::LabKind;
use rehearsal::settings::DiffSettings;
use tokio_util::sync::CancellationToken;

use super::changes::Case;
use super::mysql_changes::{CHANGES, CHANGES_ON_MYSQL};
use super::{all, differences, lines};
use crate::mysql::{Server, server};

const EVERYTHING: &str = include_str!("../../../fixtures/diff/mysql.sql");

const MINUTE: Duration = Duration::from_secs(60);

async fn mariadb() -> Option<Server> {
    server(EngineKind::Mariadb, "10.11", LabKind::Native).await
}

async fn execute(at: &Endpoint, sql: &str) {
    let work = async |connection: &mut Conn| connection.query_drop(sql).await;
    with(at, MINUTE, work).await.unwrap_or_else(|error| panic!("{}: {error}", &sql[..sql.len().min(200)]));
}

/// A fresh database with this in it.
async fn loaded(server: &Server, sql: &str) -> Endpoint {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    execute(&server.at, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
    let at = server.at.in_database(&name);
    execute(&at, sql).await;
    at
}

/// Makes each change alone in a copy of the database; tells those of which a comparison says something else than it should.
async fn told_wrongly(server: &Server, cases: &[Case]) -> String {
    execute(&server.at, "SET GLOBAL innodb_flush_log_at_trx_commit = 0; SET GLOBAL sync_binlog = 0").await;
    execute(&server.at, "CREATE USER app@'%'; CREATE USER reader@'%'").await;
    let before = loaded(server, EVERYTHING).await;
    let cases = cases.iter().map(async |(change, expected)| {
        let after = loaded(server, EVERYTHING).await;
        execute(&after, change).await;
        let found = lines(&differences(&before, &after, &all()).await);
        (found != *expected).then(|| format!("{change}\n  expected {expected:#?}\n  found {found:#?}"))
    });
    let wrong: Vec<String> = stream::iter(cases).buffer_unordered(3).filter_map(future::ready).collect().await;
    wrong.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_change_is_told_once_and_exactly() {
    for (engine, version, kind, changes) in [
        (EngineKind::Mariadb, "10.11", LabKind::Native, CHANGES),
        (EngineKind::Mysql, "9.7", LabKind::Docker, CHANGES_ON_MYSQL),
    ] {
        let Some(server) = server(engine, version, kind).await else { continue };
        let wrong = told_wrongly(&server, changes).await;
        assert!(wrong.is_empty(), "{wrong}");
        server.end().await;
    }
}

/// On every version: what is equal is told to be, and one change of data and one of the schema are found.
#[tokio::test(flavor = "multi_thread")]
async fn equal_databases_have_no_difference_on_any_version() {
    for (engine, version, kind) in [
        (EngineKind::Mariadb, "10.11", LabKind::Native),
        (EngineKind::Mariadb, "10.5", LabKind::Docker),
        (EngineKind::Mariadb, "11.8", LabKind::Docker),
        (EngineKind::Mysql, "9.7", LabKind::Docker),
    ] {
        let Some(server) = server(engine, version, kind).await else { continue };
        let (before, after) = (loaded(&server, EVERYTHING).await, loaded(&server, EVERYTHING).await);
        let result = differences(&before, &after, &all()).await;
        assert_eq!(
            (lines(&result), result.tables_compared, &result.not_compared[..]),
            (vec![], 7, &[][..]),
            "{version}"
        );

        execute(&after, "UPDATE orders SET at = at, weight = 16777218 WHERE id = 2; UPDATE orders SET at = at, note = NULL WHERE id = 2")
            .await;
        execute(&after, "ALTER TABLE items MODIFY line int NOT NULL").await;
        let kinds = if engine == EngineKind::Mysql { ("smallint", "int") } else { ("smallint(6)", "int(11)") };
        assert_eq!(
            lines(&differences(&before, &after, &all()).await),
            [
                format!("~ column items.line: type {} -> {}", kinds.0, kinds.1),
                "~ orders: 3 rows, 1 changed (note in 1, weight in 1); matched by primary key".to_owned(),
            ],
            "{version}"
        );
        server.end().await;
    }
}

/// A table of 3,000 rows; `key` is "PRIMARY KEY" or nothing.
fn ledger(key: &str) -> String {
    format!(
        "CREATE TABLE digits (d int); INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
         CREATE TABLE ledger (id int {key}, a varchar(20), b double, c blob);
         INSERT INTO ledger SELECT n, CONCAT('a', n % 50), n / 8e0, UNHEX(HEX(n)) FROM
            (SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * k.d n FROM digits a, digits b, digits c, digits k) x WHERE n <= 3000"
    )
}

/// Rows are found wherever they are, by their keys; values leave the server where they are asked for.
#[tokio::test(flavor = "multi_thread")]
async fn differing_rows_and_their_keys() {
    let Some(server) = mariadb().await else { return };
    let (before, after) =
        (loaded(&server, &ledger("PRIMARY KEY")).await, loaded(&server, &ledger("PRIMARY KEY")).await);
    execute(
        &after,
        "UPDATE ledger SET a = 'secret' WHERE id % 300 = 0; UPDATE ledger SET c = x'00' WHERE id = 7;
         DELETE FROM ledger WHERE id IN (1, 2999); INSERT INTO ledger VALUES (5000, NULL, 0, '')",
    )
    .await;
    let silent = differences(&before, &after, &all()).await;
    assert!(!format!("{silent:?}").contains("secret"));
    assert_eq!(
        lines(&silent),
        ["~ ledger: 3000 -> 2999 rows, 1 added, 2 removed, 11 changed (a in 10, c in 1); matched by primary key"]
    );
    let told = differences(&before, &after, &CompareOptions { keys: 100, samples: 100, ..all() }).await;
    let keys = told.data[0].keys.as_ref().expect("keys were asked for");
    let numbers = |keys: &[Vec<Option<String>>]| {
        let mut numbers: Vec<u32> = keys.iter().filter_map(|key| key[0].as_ref()?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    };
    assert_eq!((numbers(&keys.added), numbers(&keys.removed)), (vec![5000], vec![1, 2999]));
    assert_eq!(numbers(&keys.changed), [7, 300, 600, 900, 1200, 1500, 1800, 2100, 2400, 2700, 3000]);
    let sample = told.data[0].samples.iter().find(|sample| sample.key == ["7"]).expect("row 7 was changed");
    let value =
        |row: &Option<std::collections::BTreeMap<String, Option<String>>>| row.as_ref().map(|row| row["c"].clone());
    assert_eq!((value(&sample.before), value(&sample.after)), (Some(Some("0x07".into())), Some(Some("0x00".into()))));
    server.end().await;
}

/// Types and character sets may change where the values do not.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_values_in_other_types_are_the_same() {
    let Some(server) = mariadb().await else { return };
    let table = |types: [&str; 7]| {
        let columns: Vec<String> = types.iter().zip('a'..).map(|(kind, name)| format!("{name} {kind}")).collect();
        format!(
            "CREATE TABLE t (id int PRIMARY KEY, {});
             INSERT INTO t VALUES (1, 42, 'größe', 'x', REPEAT('ä', 400), '2024-01-01 00:00:00', 7, '-100:30:00'),
                 (2, NULL, '', NULL, '', NULL, NULL, '12:30:01')",
            columns.join(", ")
        )
    };
    let before = table([
        "int",
        "varchar(20) CHARACTER SET latin1",
        "char(5)",
        "varchar(400)",
        "datetime",
        "int(8) zerofill",
        "time",
    ]);
    let after = table([
        "bigint",
        "varchar(20) CHARACTER SET utf8mb4",
        "varchar(9)",
        "longtext",
        "datetime(6)",
        "int unsigned",
        "time(3)",
    ]);
    let (before, after) = (loaded(&server, &before).await, loaded(&server, &after).await);
    let options = CompareOptions { schema: false, data: true, ..CompareOptions::default() };
    assert_eq!(differences(&before, &after, &options).await.data, []);
    server.end().await;
}

/// Sessions share one moment, and a table that was read can be altered while they live.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_one_moment_hold_no_lock() {
    for (engine, version, kind) in
        [(EngineKind::Mariadb, "10.11", LabKind::Native), (EngineKind::Mysql, "9.7", LabKind::Docker)]
    {
        let Some(server) = server(engine, version, kind).await else { continue };
        let at = loaded(&server, "CREATE TABLE t (id int PRIMARY KEY) ENGINE = InnoDB; INSERT INTO t VALUES (1)").await;
        let readings = Reading::begin(&at, 3).await.expect("it answers");
        assert_eq!(readings.len(), 3, "{version}: nobody writes, and the log tells so");
        execute(&at, "INSERT INTO t VALUES (2)").await;
        let scan = content::Scan {
            schema: at.database.clone(),
            table: "t".into(),
            only: true,
            columns: vec!["id".into()],
            key: vec!["id".into()],
            types: [("id".to_owned(), "int".to_owned())].into(),
        };
        for reading in &readings {
            let totals = content::totals(reading, &scan).await.expect("it can be read");
            assert_eq!(totals.rows, 1, "{version}");
        }
        execute(&at, "SET SESSION lock_wait_timeout = 5; ALTER TABLE t ADD COLUMN n int").await;
        future::join_all(readings.into_iter().map(Reading::end)).await;

        // Whoever writes meanwhile: as many sessions as there are, all of them see the same.
        let written = async {
            for id in 3..300 {
                execute(&at, &format!("INSERT INTO t VALUES ({id}, 0)")).await;
            }
        };
        let read = async {
            let mut several = 0;
            for _ in 0..20 {
                let readings = Reading::begin(&at, 3).await.expect("it answers");
                several += u32::from(readings.len() == 3);
                let totals = readings.iter().map(|reading| content::totals(reading, &scan));
                let totals = future::try_join_all(totals).await.expect("it can be read");
                assert!(totals.iter().all(|seen| *seen == totals[0]), "{version}: {totals:?}");
                future::join_all(readings.into_iter().map(Reading::end)).await;
            }
            assert!(several > 0, "{version}: nobody ever had three of one moment");
        };
        tokio::join!(written, read);
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_comparison_leaves_no_query_behind() {
    let Some(server) = mariadb().await else { return };
    let (before, after) = (loaded(&server, &ledger("")).await, loaded(&server, &ledger("")).await);
    let cancel = CancellationToken::new();
    let options = CompareOptions { cancel: cancel.clone(), ..all() };
    // Holding the table keeps the comparison waiting for as long as the test needs.
    let held = async |connection: &mut Conn| {
        connection.query_drop("LOCK TABLES ledger WRITE").await?;
        let task = tokio::spawn({
            let (before, after) = (before.clone(), after.clone());
            async move { compare(&before, &after, &options).await }
        });
        let waiting =
            "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table metadata lock'";
        until(&server, waiting, "1").await;
        cancel.cancel();
        assert!(matches!(task.await.expect("no panic"), Err(DiffError::Cancelled)));
        until(&server, waiting, "0").await;
        Ok(())
    };
    with(&after, MINUTE, held).await.expect("the table can be locked");
    server.end().await;
}

async fn until(server: &Server, count: &str, wanted: &str) {
    let began = Instant::now();
    loop {
        let seen = server.ask(count).await;
        if seen == [wanted] {
            return;
        }
        assert!(began.elapsed() < MINUTE, "{count}: still {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_takes_urls_of_one_engine() {
    let Some(server) = mariadb().await else { return };
    let (before, after) = (loaded(&server, EVERYTHING).await, loaded(&server, EVERYTHING).await);
    execute(&after, "DELETE FROM log WHERE line = 'b'").await;
    let settings = |a: &str, b: &str, tables: Option<&str>| DiffSettings {
        before: a.to_owned(),
        after: b.to_owned(),
        schema: true,
        data: true,
        tables: tables.map(|table| vec![table.to_owned()]),
        samples: 0,
        keys: false,
    };
    let run = async |a: &str, b: &str, tables| diff::run(&settings(a, b, tables), CancellationToken::new()).await;
    let (a, b) = (before.url().replace("mysql://", "mariadb://"), after.url());
    let found = run(&a, &b, None).await.expect("both answer").result;
    assert_eq!(lines(&found), ["~ log: 5 -> 4 rows, 1 removed; matched by all columns"]);
    let regions = format!("{}.regions", before.database);
    let of_one = run(&a, &b, Some(&regions)).await.expect("both answer").result;
    assert_eq!((lines(&of_one), of_one.tables_compared), (vec![], 1));
    let other = run(&a, "postgresql://x@127.0.0.1:1/x", None).await.expect_err("another engine");
    assert!(other.is_usage() && other.to_string().contains("Postgres"), "{other}");
    let nobody = run(&a, &b.replace("root:", "nobody:"), None).await.expect_err("no such login");
    assert_eq!(rehearsal::commands::Error::from(nobody).exit_code(), 3);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_login_may_not_see_is_an_error_and_no_equality() {
    let Some(server) = mariadb().await else { return };
    let (before, after) = (loaded(&server, EVERYTHING).await, loaded(&server, EVERYTHING).await);
    execute(&server.at, "CREATE USER narrow@'%' IDENTIFIED BY 'Secret-1'").await;
    for at in [&before, &after] {
        execute(&server.at, &format!("GRANT SELECT ON {}.* TO narrow@'%'", at.database)).await;
    }
    let narrow = |at: &Endpoint| at.as_user("narrow", "Secret-1");
    let refused = compare(&narrow(&before), &narrow(&after), &all()).await.expect_err("it may not see all");
    let said = rehearsal::event::with_causes(&refused);
    assert!(said.contains("could not read") && !said.contains("Secret"), "{said}");
    // With everything that is read as a table, there is still what a server does not show.
    execute(&server.at, "GRANT SELECT, SHOW VIEW ON *.* TO narrow@'%'").await;
    let refused = compare(&narrow(&before), &narrow(&after), &all()).await.expect_err("it may not see all");
    let said = rehearsal::event::with_causes(&refused);
    assert!(said.contains("the login lacks EVENT and TRIGGER on the database"), "{said}");
    // By a role that it has on, it is shown all of it.
    let role = "CREATE ROLE sees; GRANT EVENT, TRIGGER ON *.* TO sees; GRANT sees TO narrow@'%'; SET DEFAULT ROLE sees FOR narrow@'%'";
    execute(&server.at, role).await;
    assert_eq!(lines(&differences(&narrow(&before), &narrow(&after), &all()).await), Vec::<String>::new());
    // Content alone needs no more than to read tables.
    let data = CompareOptions { data: true, ..CompareOptions::default() };
    assert_eq!(differences(&narrow(&before), &narrow(&after), &data).await.tables_compared, 7);
    server.end().await;
}
