//! MariaDB and MySQL captured and restored, on real servers.

mod masking;
mod sampling;

use std::path::Path;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rehearsal::diff::{CompareOptions, compare};
use rehearsal::engine::EngineKind;
use rehearsal::engine::capture::{Source, SourceError, Table};
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::mysql::connect::with;
use rehearsal::engine::mysql::load::Loader;
use rehearsal::lab::LabKind;
use rehearsal::report::diff::text;
use rehearsal::scenario::{Snapshot, SnapshotSource};
use rehearsal::snapshot::capture::{CaptureError, CaptureRequest, Captured, RowTransform, Transform, capture};
use rehearsal::snapshot::verify::verify;
use rehearsal::snapshot::{self, RestoreRequest, Restored, SnapshotError};
use tokio_util::sync::CancellationToken;

use crate::mysql::{Server, server};

const EVERYTHING: &str = include_str!("../../fixtures/diff/mysql.sql");
const MORE: &str = include_str!("../../fixtures/capture-mysql.sql");

const MINUTE: Duration = Duration::from_secs(60);

async fn execute(at: &Endpoint, sql: &str) {
    let work = async |connection: &mut Conn| connection.query_drop(sql).await;
    with(at, MINUTE, work).await.unwrap_or_else(|error| panic!("{}: {error}", &sql[..sql.len().min(200)]));
}

async fn database(server: &Server, name: &str) -> Endpoint {
    execute(&server.at, &format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}")).await;
    server.at.in_database(name)
}

/// A database with all of it, and 20,000 rows that are read in parts.
async fn filled(server: &Server) -> Endpoint {
    let from = database(server, "source").await;
    execute(&from, "ALTER DATABASE CHARACTER SET utf8mb4").await;
    // Statement by statement: of several in one, MySQL keeps the semicolons in what it stores.
    server.client(&format!("USE source;\n{EVERYTHING}\n{MORE}")).await;
    let digits = "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6
        UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    let rows = format!(
        "INSERT INTO many SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n - 500, REPEAT('v', 100 + a.n)
         FROM {digits} a, {digits} b, {digits} c, {digits} d; ANALYZE TABLE many"
    );
    execute(&from, &rows).await;
    if server.engine == EngineKind::Mariadb {
        execute(&from, "CREATE SEQUENCE tickets START 7 INCREMENT 3; SELECT NEXTVAL(tickets)").await;
    }
    from
}

async fn captured(from: &Endpoint, folder: &Path, transform: Option<&dyn Transform>) -> Captured {
    let captured = tried(from, folder, transform).await;
    captured.unwrap_or_else(|error| panic!("{}", rehearsal::commands::with_causes(&error)))
}

async fn tried(from: &Endpoint, folder: &Path, transform: Option<&dyn Transform>) -> Result<Captured, CaptureError> {
    let cancel = CancellationToken::new();
    let request = CaptureRequest {
        endpoint: from,
        folder,
        workers: 3,
        rate: None,
        part_bytes: 100_000,
        transform,
        masking: None,
        cancel: &cancel,
    };
    capture(&request, &mut |_| {}).await
}

async fn restored(server: &Server, folder: &Path, into: &Endpoint) -> Result<Restored, SnapshotError> {
    let source = SnapshotSource::Folder { path: folder.to_owned() };
    let database = into.database.clone();
    let wanted = Snapshot { source, database, roles: None, production_rows: Default::default() };
    let never = CancellationToken::new();
    let snapshot = snapshot::prepare(server.engine, &wanted, None, &never).await?;
    let request = RestoreRequest {
        host: server.host.as_ref(),
        endpoint: into,
        snapshot: &snapshot,
        extensions: &[],
        cancel: &never,
        deadline: MINUTE,
    };
    snapshot::restore(&request, &mut |_, _, _| {}).await
}

/// Schema and rows as the engine's own program tells them.
async fn dumped(server: &Server, database: &str) -> String {
    let text = server.dump(database).await;
    // Of MariaDB's sequences, what is given out next: what was cached is not given out again.
    let same = |line: &&str| !line.contains("SETVAL") && !line.starts_with("DO ") && !line.starts_with("--");
    text.lines().filter(same).collect::<Vec<_>>().join("\n").replace(&format!("`{database}`."), "")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_database_comes_back_as_it_was() {
    for (engine, version, kind) in [
        (EngineKind::Mariadb, "10.11", LabKind::Native),
        (EngineKind::Mariadb, "10.5", LabKind::Docker),
        (EngineKind::Mariadb, "11.8", LabKind::Docker),
        (EngineKind::Mysql, "9.7", LabKind::Docker),
    ] {
        let Some(server) = server(engine, version, kind).await else { continue };
        let from = filled(&server).await;
        let folder = tempfile::tempdir().unwrap();
        let manifest = captured(&from, folder.path(), None).await.manifest;
        let verified = verify(folder.path(), &CancellationToken::new()).await.unwrap().unwrap();
        assert_eq!((verified.damaged.len(), verified.rows), (0, manifest.rows()), "{version}");
        assert_eq!(manifest.database.left_out, [], "{version}");
        let many = manifest.tables.iter().find(|table| table.table.name == "many").unwrap();
        assert!(many.rows == 10_000 && many.chunks.len() > 5, "{version}: {many:?}");

        let into = database(&server, "copy").await;
        let restored = restored(&server, folder.path(), &into).await;
        let restored =
            restored.unwrap_or_else(|error| panic!("{version}: {}", rehearsal::commands::with_causes(&error)));
        assert_eq!(restored.notes, Vec::<String>::new(), "{version}");
        let options = CompareOptions { schema: true, data: true, ..CompareOptions::default() };
        let found = text(&compare(&from, &into, &options).await.expect("both can be compared"));
        assert_eq!(found, "no difference; content of 16 tables compared\n", "{version}");
        // Natively the programs of a server and its client alone are asked for.
        if kind == LabKind::Docker {
            assert_eq!(dumped(&server, "copy").await, dumped(&server, "source").await, "{version}");
        }
        if engine == EngineKind::Mariadb {
            let next = async |at: &Endpoint| {
                let ask =
                    async |connection: &mut Conn| connection.query_first::<i64, _>("SELECT NEXTVAL(tickets)").await;
                with(at, MINUTE, ask).await.expect("it answers").expect("a row")
            };
            // What was cached is not given out again.
            assert!(next(&into).await > 7, "{version}");
        }
        server.end().await;
    }
}

/// Gives a row a word where a number belongs.
struct Wrong;

impl Transform for Wrong {
    fn of_table(&self, table: &Table) -> Option<Box<dyn RowTransform>> {
        (table.name == "touched").then(|| Box::new(WrongRow) as Box<dyn RowTransform>)
    }
}

struct WrongRow;

impl RowTransform for WrongRow {
    fn row(&mut self, fields: &mut [Option<Vec<u8>>]) -> Result<bool, String> {
        fields[1] = Some(b"s3cret".to_vec());
        Ok(true)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_row_is_told_by_table_chunk_and_number() {
    let Some(server) = server(EngineKind::Mariadb, "10.11", LabKind::Native).await else { return };
    let from = filled(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let manifest = captured(&from, folder.path(), Some(&Wrong)).await.manifest;
    let touched = manifest.tables.iter().find(|table| table.table.name == "touched").unwrap();
    let into = database(&server, "copy").await;
    let refused = restored(&server, folder.path(), &into).await.unwrap_err();
    let told = rehearsal::commands::with_causes(&refused);
    let expected = format!(
        "could not restore touched: touched, chunk {}, row 1: Incorrect integer value: … for column `copy`.`touched`.`n` (1366)",
        touched.chunks[0].file
    );
    assert_eq!(told, expected);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_rights_are_enough_and_what_lacks_them_is_named() {
    let Some(server) = server(EngineKind::Mariadb, "10.11", LabKind::Native).await else { return };
    let from = filled(&server).await;
    execute(&from, "CREATE USER capture_reads@'%' IDENTIFIED BY 'x'; GRANT SELECT ON source.* TO capture_reads@'%'")
        .await;
    let reader = from.as_user("capture_reads", "x");
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("shop");
    let refused = async || {
        let error = tried(&reader, &folder, None).await.expect_err("something is not seen");
        assert!(!folder.exists(), "nothing is left");
        rehearsal::commands::with_causes(&error)
    };
    let told = refused().await;
    assert!(told.contains("the login lacks EVENT and TRIGGER on the database"), "{told}");
    execute(&from, "GRANT EVENT, TRIGGER, SHOW VIEW ON source.* TO capture_reads@'%'").await;
    let told = refused().await;
    assert!(told.contains("the login lacks SELECT on mysql.proc, without which routines are not seen"), "{told}");
    execute(&from, "GRANT SELECT ON mysql.proc TO capture_reads@'%'").await;
    assert_eq!(captured(&reader, &folder, None).await.manifest.tables.len(), 16);
    let programs = std::fs::read_to_string(folder.join("schema/programs.sql")).unwrap();
    let all = ["FUNCTION `taxed`", "PROCEDURE", "TRIGGER touched_second", "EVENT `nightly`", "VIEW `a_later`"];
    assert!(all.iter().all(|one| programs.contains(one)), "{programs}");
    server.end().await;
}

/// Refused before the server asks for a single row, who reads them ahead is let go.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_takes_no_rows_does_not_hang_the_restore() {
    let Some(server) = server(EngineKind::Mariadb, "10.11", LabKind::Native).await else { return };
    let from = database(&server, "source").await;
    execute(&from, "CREATE TABLE gone (n int, v varchar(9)); INSERT INTO gone VALUES (1, 'x')").await;
    let folder = tempfile::tempdir().unwrap();
    let table = captured(&from, folder.path(), None).await.manifest.tables.remove(0).table;
    execute(&from, "DROP TABLE gone").await;
    let mut loader = Loader::open(&from).await.unwrap();
    let (to, pieces) = tokio::sync::mpsc::channel(4);
    let reading = tokio::task::spawn_blocking(move || while to.blocking_send(Some("1\tx\n".into())).is_ok() {});
    let refused = loader.load(&table, ("gone, chunk 1", 1), pieces).await.unwrap_err();
    assert!(refused.to_string().contains("(1146)"), "{refused}");
    tokio::time::timeout(MINUTE, reading).await.expect("it ends").unwrap();
    loader.end().await;
    server.end().await;
}

/// A value that is none of an enum's labels, a row from before its CHECK, one of generated columns alone, a routine with comments and
/// carriage returns, a view behind a routine of another mode, a table that joins others, and its trigger.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_lenient_server_holds_comes_back() {
    let Some(server) = server(EngineKind::Mariadb, "10.11", LabKind::Native).await else { return };
    let from = database(&server, "source").await;
    execute(&from, "SET sql_mode = ''; CREATE TABLE moods (id int PRIMARY KEY, mood enum('good', 'bad')); INSERT INTO moods VALUES (1, 'none'), (2, 'bad')").await;
    execute(
        &from,
        "CREATE TABLE checked (n int CHECK (n > 0)); SET check_constraint_checks = 0; INSERT INTO checked VALUES (-1);
         CREATE TABLE made (one int AS (1) STORED, two int AS (one + 1)); INSERT INTO made VALUES (), ();
         CREATE TABLE part (n int) ENGINE = MyISAM; CREATE TABLE joined (n int) ENGINE = MERGE UNION = (part);
         CREATE TRIGGER on_joined BEFORE INSERT ON joined FOR EACH ROW SET NEW.n = 1",
    )
    .await;
    execute(&from, "CREATE FUNCTION f() RETURNS text DETERMINISTIC RETURN /* why\r\n */ '\r\n' -- how\r\n").await;
    execute(&from, "SET sql_mode = 'ANSI_QUOTES'; CREATE PROCEDURE p() SELECT 1 AS \"x\"").await;
    execute(&from, "CREATE VIEW v AS SELECT CONCAT('\"', mood) AS m FROM moods").await;
    let folder = tempfile::tempdir().unwrap();
    let manifest = captured(&from, folder.path(), None).await.manifest;
    let left_out: Vec<&str> = manifest.database.left_out.iter().map(|one| one.what.as_str()).collect();
    assert_eq!(left_out, ["joined", "the common moment of part", "the trigger on_joined"]);
    let into = database(&server, "copy").await;
    let restored = restored(&server, folder.path(), &into).await;
    restored.unwrap_or_else(|error| panic!("{}", rehearsal::commands::with_causes(&error)));
    let told = async |at: &Endpoint| {
        let sql = "SELECT (SELECT GROUP_CONCAT(id, ':', mood + 0, ':', mood ORDER BY id) FROM moods), (SELECT n FROM checked),
            (SELECT COUNT(*) FROM made WHERE one = 1), f(), (SELECT GROUP_CONCAT(m) FROM v),
            (SELECT HEX(body) FROM mysql.proc WHERE db = DATABASE() AND name = 'f')";
        let ask = async |connection: &mut Conn| {
            connection.query_first::<(String, i32, u32, String, String, String), _>(sql).await
        };
        with(at, MINUTE, ask).await.expect("it answers").expect("a row")
    };
    let before = told(&from).await;
    assert_eq!((before.0.as_str(), before.1, before.2, before.3.as_str()), ("1:0:,2:2:bad", -1, 2, "\r\n"));
    assert_eq!(told(&into).await, before);
    server.end().await;
}

/// As tools do that change a table online: a copy is filled, and takes its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_replaced_meanwhile_is_noticed() {
    for (engine, version, kind) in
        [(EngineKind::Mariadb, "10.11", LabKind::Native), (EngineKind::Mysql, "9.7", LabKind::Docker)]
    {
        let Some(server) = server(engine, version, kind).await else { continue };
        let from = database(&server, "source").await;
        execute(
            &from,
            "CREATE TABLE kept (n int PRIMARY KEY); INSERT INTO kept VALUES (1);
             CREATE TABLE orders (n int PRIMARY KEY); INSERT INTO orders VALUES (1), (2);
             CREATE TABLE _orders_new (n bigint PRIMARY KEY); INSERT INTO _orders_new VALUES (1);
             CREATE TABLE events (n int PRIMARY KEY) PARTITION BY RANGE (n) (PARTITION p1 VALUES LESS THAN (10), PARTITION p2 VALUES LESS THAN (20));
             CREATE TABLE spare (n int PRIMARY KEY); INSERT INTO events VALUES (1), (11)",
        )
        .await;
        let opened = async || {
            let source = Source::open(&from, 2).await.expect("it opens");
            source.describe(1 << 20).await.expect("it is described");
            source
        };
        let replaced = async |source: Source| {
            let found = source.unchanged().await;
            source.end().await;
            match found {
                Ok(()) => Vec::new(),
                Err(SourceError::Replaced { tables }) => tables,
                Err(other) => panic!("{version}: {other}"),
            }
        };
        let source = opened().await;
        execute(&from, "INSERT INTO kept VALUES (2); UPDATE orders SET n = 3 WHERE n = 2; CREATE TABLE other (n int)")
            .await;
        assert_eq!(replaced(source).await, Vec::<String>::new(), "{version}: rows may change, and more tables come");
        let source = opened().await;
        execute(&from, "RENAME TABLE orders TO _orders_old, _orders_new TO orders").await;
        let tables = replaced(source).await;
        assert!(tables.contains(&"orders".to_owned()) && !tables.contains(&"kept".to_owned()), "{version}: {tables:?}");
        for change in
            ["ALTER TABLE events EXCHANGE PARTITION p1 WITH TABLE spare", "ALTER TABLE events DROP PARTITION p2"]
        {
            let source = opened().await;
            execute(&from, change).await;
            assert!(replaced(source).await.contains(&"events".to_owned()), "{version}: {change}");
        }
        server.end().await;
    }
}
