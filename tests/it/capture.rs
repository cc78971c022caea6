//! Live databases captured, looked at and restored, on real servers.

pub mod masking;
mod sampling;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rehearsal::diff::{CompareOptions, compare};
use rehearsal::engine::EngineKind;
use rehearsal::engine::capture::{SourceError, Table};
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::postgres::connect::{Connection, connect};
use rehearsal::report::diff::text;
use rehearsal::scenario::{Snapshot, SnapshotSource};
use rehearsal::snapshot::capture::{
    CaptureError, CaptureRequest, Captured, PART_BYTES, RowTransform, Transform, capture,
};
use rehearsal::snapshot::store::{DATA, Manifest};
use rehearsal::snapshot::verify::verify;
use rehearsal::snapshot::{Bench, Offer, RestoreRequest, Restored, SnapshotError, check, prepare, restore};
use tokio_util::sync::CancellationToken;

use crate::support::local_host::LocalHost;
use crate::support::server::{alone, database, programs};

const EVERYTHING: &str = include_str!("../../fixtures/diff/everything.sql");
const MORE: &str = include_str!("../../fixtures/capture.sql");

async fn open(endpoint: &Endpoint) -> Connection {
    connect(endpoint, Duration::from_secs(10)).await.expect("the server answers")
}

async fn run(endpoint: &Endpoint, sql: &str) {
    if let Err(error) = open(endpoint).await.client.batch_execute(sql).await {
        panic!("{error:?}");
    }
}

/// With transactions of its own, as psql reads it.
fn psql(endpoint: &Endpoint, sql: &str) {
    let mut command = Command::new(programs().expect("checked by database()").join("psql"));
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null"]);
    command.args(["-p", &endpoint.port.to_string(), "-d", &endpoint.database, "-c", sql]);
    let output = command.output().expect("psql runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn request<'a>(endpoint: &'a Endpoint, folder: &'a Path, cancel: &'a CancellationToken) -> CaptureRequest<'a> {
    CaptureRequest {
        endpoint,
        folder,
        workers: 3,
        rate: None,
        part_bytes: PART_BYTES,
        transform: None,
        masking: None,
        cancel,
    }
}

async fn captured(endpoint: &Endpoint, folder: &Path) -> Result<Captured, CaptureError> {
    let cancel = CancellationToken::new();
    capture(&request(endpoint, folder, &cancel), &mut |_| {}).await
}

async fn restored(folder: &Path, into: &Endpoint) -> Result<Restored, SnapshotError> {
    let host = LocalHost::beside(into);
    let cancel = CancellationToken::new();
    let bench = Bench { host: &host, folder: host.folder.path(), version: "15", node: None };
    let source = SnapshotSource::Folder { path: folder.to_owned() };
    let snapshot = Snapshot { source, database: "rehearsal".into(), roles: None, production_rows: BTreeMap::new() };
    let prepared = prepare(EngineKind::Postgres, &snapshot, Some(bench), &cancel).await?;
    let (superuser, database) = ("postgres", into.database.as_str());
    let offer =
        Offer { version: "15", node: None, superuser, database, extensions: &[], replicated: false, host: Some(&host) };
    check(&prepared, &offer).await?;
    let deadline = Duration::from_secs(120);
    let request =
        RestoreRequest { host: &host, endpoint: into, snapshot: &prepared, extensions: &[], cancel: &cancel, deadline };
    let restored = restore(&request, &mut |_, _, _| {}).await;
    assert!(!host.folder.path().join("snapshot").exists(), "the copy on the host is removed");
    restored
}

/// Schema and rows as pg_dump tells them, less what differs from dump to dump.
fn told(endpoint: &Endpoint) -> String {
    let mut command = Command::new(programs().expect("checked by database()").join("pg_dump"));
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &endpoint.port.to_string(), &endpoint.database]);
    let output = command.output().expect("pg_dump runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it is UTF-8");
    let same = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    text.lines().filter(same).collect::<Vec<_>>().join("\n")
}

async fn differences(before: &Endpoint, after: &Endpoint) -> String {
    let options = CompareOptions { schema: true, data: true, ..CompareOptions::default() };
    text(&compare(before, after, &options).await.expect("both can be compared"))
}

/// The fixtures' roles, with what they may and what is set for them. The server is shared, and others make their own.
async fn roles(endpoint: &Endpoint) -> Vec<String> {
    let sql = "SELECT format('%s %s %s %s %s', r.rolname, r.rolcanlogin, r.rolconnlimit, r.rolconfig,
                      ARRAY(SELECT m.roleid::regrole::text FROM pg_auth_members m WHERE m.member = r.oid))
                 FROM pg_roles r WHERE r.rolname IN ('capture_app', 'capture_group', 'diff_app', 'diff_reader') ORDER BY 1";
    open(endpoint).await.client.query(sql, &[]).await.expect("it answers").iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_database_comes_back_as_it_was() {
    let (Some(from), Some(other)) = (database().await, alone().await) else { return };
    run(&from, EVERYTHING).await;
    psql(&from, MORE);
    let folder = tempfile::tempdir().unwrap();
    let captured = captured(&from, folder.path()).await.unwrap();
    let verified = verify(folder.path(), &CancellationToken::new()).await.unwrap().unwrap();
    assert_eq!((verified.damaged.len(), verified.rows), (0, captured.manifest.rows()));
    assert_eq!(Manifest::read(folder.path()).unwrap(), captured.manifest);

    // Another server, which has none of the roles.
    run(&other.endpoint("postgres"), "CREATE DATABASE shop").await;
    let into = other.endpoint("shop");
    let restored = restored(folder.path(), &into).await.unwrap();
    assert_eq!(restored.notes, Vec::<String>::new());
    let found = differences(&from, &into).await;
    assert!(found.ends_with("no difference; content of 20 tables compared\n"), "{found}");
    assert_eq!(told(&into), told(&from));
    assert_eq!(roles(&into).await, roles(&from).await);
    assert_eq!(roles(&into).await.len(), 4, "two of each file's");

    let database = &captured.manifest.database;
    assert_eq!((database.encoding.as_str(), database.name.as_str()), ("UTF8", from.database.as_str()));
    let extensions: Vec<_> = database.extensions.iter().map(|one| format!("{} in {}", one.name, one.schema)).collect();
    assert_eq!(extensions, ["pg_trgm in public", "citext in sales"]);
    let orders = captured.manifest.tables.iter().find(|table| table.table.name == "orders").expect("it is there");
    let told = |name: &str| {
        let column = orders.table.columns.iter().find(|column| column.name == name).expect("it is there");
        format!("{} {:?} {} {}", column.type_name, column.kind, column.is_nullable, column.is_generated)
    };
    assert_eq!(told("doubled"), "numeric Number true true");
    assert_eq!(told("customer"), "public.email Text true false");
    assert_eq!(told("tags"), "text[] Array true false");
    assert_eq!(told("feeling"), "public.mood Enum true false");
    assert_eq!((orders.rows, orders.production_rows, orders.table.estimated_rows), (400, 400, Some(400)));
    let region = &orders.table.columns[1];
    assert_eq!((region.distinct, region.null_fraction), (Some(2.0), Some(0.0)));
    let production = captured.manifest.production_rows();
    assert_eq!((production["events"], production["sales.lines"]), (700, 150));
    assert!(!production.contains_key("events_2023"));
}

const LEDGERS: &str = "
    CREATE TABLE ledger (id integer PRIMARY KEY, amount bigint NOT NULL, filler text NOT NULL);
    CREATE TABLE other (LIKE ledger);
    INSERT INTO ledger SELECT n, 1000, repeat('x', 100) FROM generate_series(1, 20000) n;
    INSERT INTO other SELECT n, 1000, repeat('x', 100) FROM generate_series(1, 20000) n;
    ANALYZE";

/// Somebody moves amounts from one table to the other meanwhile; whoever reads two moments sees a wrong sum.
#[tokio::test(flavor = "multi_thread")]
async fn all_parts_are_of_one_moment_whatever_is_written_meanwhile() {
    let (Some(from), Some(into)) = (database().await, database().await) else { return };
    run(&from, LEDGERS).await;
    let stop = CancellationToken::new();
    let writing = tokio::spawn({
        let (from, stop) = (from.clone(), stop.clone());
        async move {
            let connection = open(&from).await;
            let mut moves = 0;
            while !stop.is_cancelled() {
                let id = moves * 7919 % 20000 + 1;
                let sql = format!(
                    "BEGIN; UPDATE ledger SET amount = amount - 10, filler = repeat('y', 150) WHERE id = {id};
                     UPDATE other SET amount = amount + 10 WHERE id = {id};
                     INSERT INTO ledger VALUES ({}, -5, ''); INSERT INTO other VALUES (0, 5, ''); COMMIT",
                    30000 + moves
                );
                connection.client.batch_execute(&sql).await.expect("nothing stops a writer");
                moves += 1;
            }
            moves
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let request = CaptureRequest { part_bytes: 100_000, ..request(&from, folder.path(), &cancel) };
    let captured = capture(&request, &mut |_| {}).await.unwrap();
    stop.cancel();
    assert!(writing.await.expect("no panic") > 0);
    assert!(captured.manifest.tables.iter().all(|table| table.chunks.len() > 10), "{:?}", captured.manifest.tables);
    restored(folder.path(), &into).await.unwrap();
    let row = "SELECT (SELECT sum(amount) FROM ledger)::int8 + (SELECT sum(amount) FROM other)::int8,
                      (SELECT count(*) FROM ledger) - (SELECT count(*) FROM other)";
    let row = open(&into).await.client.query_one(row, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (40_000_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_rights_are_enough_and_what_lacks_them_is_named() {
    let Some(from) = database().await else { return };
    run(
        &from,
        "DROP ROLE IF EXISTS capture_reads; CREATE ROLE capture_reads LOGIN;
         CREATE TABLE open (id serial); CREATE TABLE closed (id serial); CREATE SCHEMA hidden; CREATE TABLE hidden.t ();
         GRANT SELECT ON open, open_id_seq TO capture_reads",
    )
    .await;
    let reader = from.as_user("capture_reads", "");
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("shop");
    let refused = captured(&reader, &folder).await.unwrap_err();
    assert_eq!(refused.to_string(), "the role may not read closed, closed_id_seq, hidden.t");
    assert!(!folder.exists(), "nothing is left");
    run(&from, "GRANT pg_read_all_data TO capture_reads").await;
    let captured = captured(&reader, &folder).await.unwrap();
    assert_eq!(captured.manifest.tables.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_snapshot_holds_is_refused_by_name() {
    let Some(from) = database().await else { return };
    run(&from, "CREATE TABLE t (id integer)").await;
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("shop");
    let holder = open(&from).await;
    holder.client.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let began = Instant::now();
    let locked = captured(&from, &folder).await.unwrap_err();
    assert!(matches!(&locked, CaptureError::Source(SourceError::Locked { table, .. }) if table == "t"), "{locked}");
    assert!(began.elapsed() < Duration::from_secs(20), "production's locks are not waited for long");
    holder.client.batch_execute("ROLLBACK; SELECT lo_create(0)").await.unwrap();
    let refused = captured(&from, &folder).await.unwrap_err();
    assert_eq!(refused.to_string(), "the database holds 1 large objects, which no snapshot holds");
}

/// Gives every row of a table a word where a number belongs, and leaves some rows out.
struct Wrong;

impl Transform for Wrong {
    fn of_table(&self, table: &Table) -> Option<Box<dyn RowTransform>> {
        let names: Vec<&str> = table.stored_columns().map(|column| column.name.as_str()).collect();
        (table.name == "ledger").then(|| {
            assert_eq!(names, ["id", "amount", "filler"]);
            Box::new(WrongRows { seen: 0 }) as Box<dyn RowTransform>
        })
    }
}

struct WrongRows {
    seen: u64,
}

impl RowTransform for WrongRows {
    fn row(&mut self, fields: &mut [Option<Vec<u8>>]) -> Result<bool, String> {
        self.seen += 1;
        if self.seen == 30 {
            fields[1] = Some(b"s3cret".to_vec());
        }
        // The tenth is not kept, so the thirtieth is the twenty-ninth.
        Ok(self.seen != 10)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_row_is_told_by_table_chunk_and_number() {
    let (Some(from), Some(into)) = (database().await, database().await) else { return };
    run(&from, LEDGERS).await;
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let taken = CaptureRequest { transform: Some(&Wrong), ..request(&from, folder.path(), &cancel) };
    let manifest = capture(&taken, &mut |_| {}).await.unwrap().manifest;
    assert!(manifest.is_masked);
    let ledger = manifest.tables.iter().find(|table| table.table.name == "ledger").unwrap();
    assert_eq!((ledger.rows, ledger.production_rows), (19_999, 20_000));
    let refused = restored(folder.path(), &into).await.unwrap_err();
    let (chunk, told) = (&ledger.chunks[0].file, rehearsal::commands::with_causes(&refused));
    assert_eq!(
        told,
        format!(
            "could not restore ledger: ledger, chunk {chunk}, row 29, column amount: \
             invalid input syntax for type bigint: \"…\" (22P02)"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_chunk_is_not_restored() {
    let (Some(from), Some(into)) = (database().await, database().await) else { return };
    run(&from, LEDGERS).await;
    let folder = tempfile::tempdir().unwrap();
    let manifest = captured(&from, folder.path()).await.unwrap().manifest;
    let chunk = &manifest.tables[0].chunks[0];
    let path = folder.path().join(DATA).join(&chunk.file);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = restored(folder.path(), &into).await.unwrap_err();
    let expected =
        format!("{}, chunk {}: it was changed after it was written", manifest.tables[0].table.name, chunk.file);
    assert!(refused.is_usage() && refused.to_string().ends_with(&expected), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_capture_leaves_no_file_and_no_session() {
    let Some(from) = database().await else { return };
    run(&from, LEDGERS).await;
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("shop");
    let cancel = CancellationToken::new();
    let from = from.named("cancelled capture");
    // So slow that it would take a minute.
    let request = CaptureRequest { rate: Some(100_000), ..request(&from, &folder, &cancel) };
    let mut has_rows = false;
    let taken = capture(&request, &mut |progress| {
        has_rows |= progress.rows > 0;
        if has_rows {
            cancel.cancel();
        }
    })
    .await;
    assert!(matches!(taken, Err(CaptureError::Cancelled)), "{taken:?}");
    assert!(!folder.exists());
    let watcher = open(&from.named("watcher")).await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cancelled capture'";
    let deadline = Instant::now() + Duration::from_secs(10);
    while watcher.client.query_one(sessions, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        assert!(Instant::now() < deadline, "a session is left");
    }
}
