//! What is recorded of a release's statements, on a real server.

use std::path::Path;
use std::time::{Duration, Instant};

use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::postgres::connect::{Connection, connect};
use rehearsal::engine::postgres::measure::Lineage;
use rehearsal::engine::postgres::psql::Script;
use rehearsal::engine::postgres::run::{RunOptions, ScriptError, run};
use rehearsal::engine::postgres::session::ReleaseSession;
use rehearsal::engine::release::{self, SessionError};
use rehearsal::engine::script::Source;
use rehearsal::event::{Statement, Work};
use rehearsal::scenario::Retry;
use tokio_util::sync::CancellationToken;

use crate::psql::{Watched, options, release};
use crate::support::server;

const DEADLINE: Duration = Duration::from_secs(10);

/// Ten thousand orders of a hundred customers, analysed.
const SHOP: &str = "
CREATE TABLE customers (id int PRIMARY KEY, email text);
INSERT INTO customers SELECT n, 'a' || n FROM generate_series(1, 100) n;
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, total numeric, note varchar(20), made timestamptz DEFAULT now());
INSERT INTO orders SELECT n, n % 100 + 1, n, 'x' FROM generate_series(1, 10000) n;
CREATE TABLE users (id int PRIMARY KEY, name text);
CREATE SCHEMA side;
CREATE TABLE side.things (a int);
VACUUM ANALYZE;";

async fn open(at: &Endpoint) -> ReleaseSession {
    ReleaseSession::connect(at, at, Lineage::default(), DEADLINE).await.expect("it connects")
}

fn text(sql: &str) -> Source {
    Source::Text { text: sql.to_owned(), file: "release.sql".into(), line: 1 }
}

async fn other(at: &Endpoint) -> Connection {
    connect(at, DEADLINE).await.expect("it connects")
}

async fn shop() -> Option<Endpoint> {
    let at = server::database().await?;
    other(&at).await.client.batch_execute(SHOP.split("VACUUM").next().expect("it begins")).await.expect("a shop");
    other(&at).await.client.batch_execute("VACUUM ANALYZE").await.expect("statistics");
    Some(at)
}

/// A line for each statement: work, what it grows with, locks, files, rows.
fn line(statement: &Statement) -> String {
    // Locks that are sampled may be gone before they are seen, but for those that are known.
    let sampled = ["VACUUM", "CLUSTER", "ANALYZE", "COPY"].contains(&statement.command.as_str())
        || statement.sql.contains("CONCURRENTLY");
    let locks: Vec<String> = statement
        .locks
        .iter()
        .filter(|lock| !sampled || (lock.stops_writes && !lock.relation.contains('_')))
        .map(|lock| format!("{}:{}", lock.relation, lock.mode))
        .collect();
    let mut line = format!(
        "{} {} grows[{}] locks[{}]",
        statement.command,
        statement.work.name(),
        statement.grows_with.join(" "),
        locks.join(" "),
    );
    for (name, list) in [("rewrote", &statement.rewrote), ("created", &statement.created)] {
        if !list.is_empty() {
            line += &format!(" {name}[{}]", list.join(" "));
        }
    }
    if let Some(rows) = statement.rows {
        line += &format!(" rows {rows}");
    }
    line
}

async fn run_all(at: &Endpoint, sql: &str) -> Vec<Statement> {
    let mut session = open(at).await;
    let (result, watched) = release(&mut session, text(sql), Path::new("/"), &options()).await;
    result.unwrap_or_else(|error| panic!("{sql}: {error}"));
    session.close().await;
    watched.statements
}

/// Each statement in a session of its own, over one database.
#[tokio::test]
async fn work_and_locks_of_every_kind() {
    let Some(at) = shop().await else { return };
    let statements = "\
ALTER TABLE orders ADD COLUMN a int DEFAULT 1
ALTER TABLE orders ADD COLUMN b uuid DEFAULT gen_random_uuid()
ALTER TABLE orders ALTER customer_id TYPE bigint
ALTER TABLE orders ALTER note TYPE varchar(40)
ALTER TABLE orders ALTER customer_id SET NOT NULL
ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0)
ALTER TABLE orders ADD CONSTRAINT small CHECK (total < 1e9) NOT VALID
ALTER TABLE orders VALIDATE CONSTRAINT small
ALTER TABLE orders ADD CONSTRAINT customer FOREIGN KEY (customer_id) REFERENCES customers (id)
CREATE INDEX orders_customer ON orders (customer_id)
CREATE INDEX CONCURRENTLY orders_total ON orders (total)
REINDEX INDEX orders_total
REINDEX TABLE CONCURRENTLY orders
CREATE TABLE orders_copy AS SELECT * FROM orders
CREATE INDEX orders_copy_total ON orders_copy (total)
CREATE TABLE fresh (id serial PRIMARY KEY, name text UNIQUE)
UPDATE orders SET note = 'y'
UPDATE orders SET note = 'z' WHERE id = 7
UPDATE orders SET note = 'z' WHERE id BETWEEN 1 AND 100
DELETE FROM orders WHERE total > 9990
INSERT INTO users VALUES (1, 'one'), (2, 'two')
INSERT INTO users SELECT id + 10, email FROM customers
SELECT count(*) FROM orders
SELECT * FROM orders WHERE id = 1
SELECT pg_sleep(0)
TRUNCATE side.things
VACUUM orders
VACUUM FULL customers
CLUSTER orders USING orders_pkey
CREATE VIEW v AS SELECT * FROM orders
DROP VIEW v
CREATE MATERIALIZED VIEW m AS SELECT customer_id, count(*) FROM orders GROUP BY 1
REFRESH MATERIALIZED VIEW m
ALTER TABLE users RENAME TO people
DROP INDEX CONCURRENTLY orders_total
DROP TABLE orders_copy
ANALYZE orders
DO $$ BEGIN UPDATE orders SET note = 'w'; END $$
GRANT SELECT ON orders TO PUBLIC
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
COPY orders TO '/dev/null'
ALTER TYPE side.mood ADD VALUE 'meh'
SET work_mem = '8MB'";
    other(&at).await.client.batch_execute("CREATE TYPE side.mood AS ENUM ('fine')").await.expect("a type");
    let lineage = Lineage::default();
    let mut seen = String::new();
    for sql in statements.lines() {
        let mut session = ReleaseSession::connect(&at, &at, lineage.clone(), DEADLINE).await.expect("it connects");
        let (result, watched) = release(&mut session, text(sql), Path::new("/"), &options()).await;
        result.unwrap_or_else(|error| panic!("{sql}: {error}"));
        session.close().await;
        seen += &format!("{sql}\n    {}\n", line(&watched.statements[0]));
    }
    insta::assert_snapshot!(seen, @r#"
    ALTER TABLE orders ADD COLUMN a int DEFAULT 1
        ALTER TABLE constant grows[] locks[orders:AccessExclusive]
    ALTER TABLE orders ADD COLUMN b uuid DEFAULT gen_random_uuid()
        ALTER TABLE rewrites grows[orders] locks[orders:AccessExclusive orders_pkey:AccessExclusive] rewrote[orders orders_pkey]
    ALTER TABLE orders ALTER customer_id TYPE bigint
        ALTER TABLE rewrites grows[orders] locks[orders:AccessExclusive orders_pkey:AccessExclusive] rewrote[orders orders_pkey]
    ALTER TABLE orders ALTER note TYPE varchar(40)
        ALTER TABLE constant grows[] locks[orders:AccessExclusive]
    ALTER TABLE orders ALTER customer_id SET NOT NULL
        ALTER TABLE scans grows[orders] locks[orders:AccessExclusive]
    ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0)
        ALTER TABLE scans grows[orders] locks[orders:AccessExclusive]
    ALTER TABLE orders ADD CONSTRAINT small CHECK (total < 1e9) NOT VALID
        ALTER TABLE constant grows[] locks[orders:AccessExclusive]
    ALTER TABLE orders VALIDATE CONSTRAINT small
        ALTER TABLE scans grows[orders] locks[orders:ShareUpdateExclusive]
    ALTER TABLE orders ADD CONSTRAINT customer FOREIGN KEY (customer_id) REFERENCES customers (id)
        ALTER TABLE scans grows[customers orders] locks[customers:ShareRowExclusive orders:ShareRowExclusive]
    CREATE INDEX orders_customer ON orders (customer_id)
        CREATE INDEX builds grows[orders] locks[orders:Share] created[orders_customer]
    CREATE INDEX CONCURRENTLY orders_total ON orders (total)
        CREATE INDEX builds grows[orders] locks[] created[orders_total]
    REINDEX INDEX orders_total
        REINDEX builds grows[orders] locks[orders_total:AccessExclusive orders:Share] rewrote[orders_total]
    REINDEX TABLE CONCURRENTLY orders
        REINDEX builds grows[orders] locks[] rewrote[orders_customer orders_pkey orders_total]
    CREATE TABLE orders_copy AS SELECT * FROM orders
        SELECT builds grows[orders] locks[orders:AccessShare] created[orders_copy] rows 10000
    CREATE INDEX orders_copy_total ON orders_copy (total)
        CREATE INDEX builds grows[orders orders_copy] locks[orders_copy:Share] created[orders_copy_total]
    CREATE TABLE fresh (id serial PRIMARY KEY, name text UNIQUE)
        CREATE TABLE constant grows[] locks[] created[fresh fresh_name_key fresh_pkey]
    UPDATE orders SET note = 'y'
        UPDATE changes_rows grows[orders] locks[orders:RowExclusive] rows 10000
    UPDATE orders SET note = 'z' WHERE id = 7
        UPDATE changes_rows grows[] locks[orders:RowExclusive] rows 1
    UPDATE orders SET note = 'z' WHERE id BETWEEN 1 AND 100
        UPDATE changes_rows grows[] locks[orders:RowExclusive] rows 100
    DELETE FROM orders WHERE total > 9990
        DELETE changes_rows grows[] locks[orders:RowExclusive] rows 10
    INSERT INTO users VALUES (1, 'one'), (2, 'two')
        INSERT changes_rows grows[] locks[users:RowExclusive] rows 2
    INSERT INTO users SELECT id + 10, email FROM customers
        INSERT changes_rows grows[customers] locks[users:RowExclusive customers:AccessShare] rows 100
    SELECT count(*) FROM orders
        SELECT scans grows[orders] locks[orders:AccessShare] rows 1
    SELECT * FROM orders WHERE id = 1
        SELECT constant grows[] locks[orders:AccessShare] rows 1
    SELECT pg_sleep(0)
        SELECT constant grows[] locks[] rows 1
    TRUNCATE side.things
        TRUNCATE TABLE constant grows[] locks[side.things:AccessExclusive]
    VACUUM orders
        VACUUM scans grows[orders] locks[]
    VACUUM FULL customers
        VACUUM rewrites grows[customers] locks[customers:AccessExclusive] rewrote[customers customers_pkey]
    CLUSTER orders USING orders_pkey
        CLUSTER rewrites grows[orders] locks[orders:AccessExclusive] rewrote[orders orders_customer orders_pkey orders_total]
    CREATE VIEW v AS SELECT * FROM orders
        CREATE VIEW constant grows[] locks[orders:AccessShare]
    DROP VIEW v
        DROP VIEW constant grows[] locks[v:AccessExclusive]
    CREATE MATERIALIZED VIEW m AS SELECT customer_id, count(*) FROM orders GROUP BY 1
        SELECT builds grows[orders] locks[orders:AccessShare] created[m] rows 100
    REFRESH MATERIALIZED VIEW m
        REFRESH MATERIALIZED VIEW rewrites grows[m orders] locks[m:AccessExclusive orders:AccessShare] rewrote[m]
    ALTER TABLE users RENAME TO people
        ALTER TABLE constant grows[] locks[users:AccessExclusive]
    DROP INDEX CONCURRENTLY orders_total
        DROP INDEX constant grows[] locks[]
    DROP TABLE orders_copy
        DROP TABLE constant grows[] locks[orders_copy:AccessExclusive orders_copy_total:AccessExclusive]
    ANALYZE orders
        ANALYZE constant grows[] locks[]
    DO $$ BEGIN UPDATE orders SET note = 'w'; END $$
        DO changes_rows grows[orders] locks[orders:RowExclusive]
    GRANT SELECT ON orders TO PUBLIC
        GRANT constant grows[] locks[]
    CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
        CREATE FUNCTION constant grows[] locks[]
    COPY orders TO '/dev/null'
        COPY scans grows[orders] locks[] rows 9990
    ALTER TYPE side.mood ADD VALUE 'meh'
        ALTER TYPE constant grows[] locks[]
    SET work_mem = '8MB'
        SET constant grows[] locks[]
    "#);
}

#[tokio::test]
async fn a_transaction_block_statement_by_statement() {
    let Some(at) = shop().await else { return };
    let statements = run_all(
        &at,
        "BEGIN;
SET LOCAL lock_timeout = '3s';
LOCK TABLE users IN SHARE MODE;
ALTER TABLE orders ADD COLUMN a int;
ALTER TABLE orders ADD CHECK (total > 0);
SAVEPOINT s;
ALTER TABLE orders ALTER total TYPE float8;
ROLLBACK TO s;
ALTER TABLE orders ALTER total TYPE float4;
CREATE TABLE copy AS SELECT * FROM orders;
CREATE INDEX ON copy (id);
COMMIT;
UPDATE users SET name = 'x';
SHOW lock_timeout;",
    )
    .await;
    let told: Vec<String> = statements
        .iter()
        .map(|s| {
            format!(
                "{}{}{}",
                line(s),
                if s.in_transaction { " in" } else { "" },
                if s.lock_timeout { " timeout" } else { "" }
            )
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    BEGIN constant grows[] locks[]
    SET constant grows[] locks[] in timeout
    LOCK TABLE constant grows[] locks[users:Share] in timeout
    ALTER TABLE constant grows[] locks[orders:AccessExclusive] in timeout
    ALTER TABLE scans grows[orders] locks[] in timeout
    SAVEPOINT constant grows[] locks[] in timeout
    ALTER TABLE rewrites grows[orders] locks[orders_pkey:AccessExclusive] rewrote[orders orders_pkey] in timeout
    ROLLBACK constant grows[] locks[] in timeout
    ALTER TABLE rewrites grows[orders] locks[orders_pkey:AccessExclusive] rewrote[orders orders_pkey] in timeout
    SELECT builds grows[orders] locks[] created[copy] rows 10000 in timeout
    CREATE INDEX builds grows[copy orders] locks[] created[copy_id_idx] in timeout
    COMMIT constant grows[] locks[] in
    UPDATE scans grows[users] locks[users:RowExclusive] rows 0
    SHOW constant grows[] locks[]
    "#);
}

/// The server's own count is what the log grew by, and the time is the statement's.
#[tokio::test]
async fn time_and_log_volume() {
    let Some(at) = shop().await else { return };
    let before = Instant::now();
    let statements = run_all(&at, "SELECT pg_sleep(0.3); UPDATE orders SET note = 'long enough'; SELECT 1;").await;
    let slept = statements[0].elapsed_ms;
    assert!(slept >= 300.0 && slept <= before.elapsed().as_secs_f64() * 1e3, "{slept}");
    assert!(statements[1].started_ms >= statements[0].started_ms + slept);
    assert!(statements[1].wal_bytes.expect("there is a log") > 1_000_000, "{:?}", statements[1].wal_bytes);
    assert!(statements[2].wal_bytes.is_some(), "other tests write here too");
}

#[tokio::test]
async fn an_error_stops_the_script_and_undoes_the_block() {
    let Some(at) = shop().await else { return };
    let mut session = open(&at).await;
    let sql = "CREATE TABLE kept (a int);\n\nBEGIN;\nCREATE TABLE gone (a int);\n  INSERT INTO orders\n  SELECT 1, 'secret'::text::int;\nSELECT 1;";
    let (result, watched) = release(&mut session, text(sql), Path::new("/"), &options()).await;
    session.close().await;
    let Err(ScriptError::Statement { index, place, error }) = result else { panic!("{result:?}") };
    assert_eq!((index, place.file.as_str(), place.line), (3, "release.sql", 5));
    assert_eq!(error.code, "22P02");
    assert_eq!(error.message, "invalid input syntax for type integer: \"…\"");
    assert_eq!(watched.statements.len(), 4);
    assert_eq!(watched.statements[3].error, Some(*error));
    let rows = other(&at)
        .await
        .client
        .query("SELECT to_regclass('kept')::text, to_regclass('gone')::text", &[])
        .await
        .expect("rows");
    assert_eq!(
        (rows[0].get::<_, Option<String>>(0).as_deref(), rows[0].get::<_, Option<String>>(1)),
        (Some("kept"), None)
    );

    let mut session = open(&at).await;
    let (result, _) =
        release(&mut session, text("SELECT 1;\nSELECT nothing FROM orders;"), Path::new("/"), &options()).await;
    let Err(ScriptError::Statement { error, .. }) = result else { panic!("{result:?}") };
    assert_eq!(
        (error.code.as_str(), error.position, error.message.as_str()),
        ("42703", Some(8), "column \"nothing\" does not exist")
    );
}

/// A deferred constraint speaks at the commit, after the measuring: it is the statement's error all the same.
#[tokio::test]
async fn an_error_at_commit_is_the_statements() {
    let Some(at) = shop().await else { return };
    let mut session = open(&at).await;
    let sql = "ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers DEFERRABLE INITIALLY DEFERRED;
UPDATE orders SET customer_id = 0 WHERE id = 1;";
    let (result, _) = release(&mut session, text(sql), Path::new("/"), &options()).await;
    let Err(ScriptError::Statement { index: 1, error, .. }) = result else { panic!("{result:?}") };
    assert_eq!(error.code, "23503");
    assert_eq!(error.constraint.as_deref(), Some("orders_customer_id_fkey"));
}

#[tokio::test]
async fn notices_and_echoes_are_said() {
    let Some(at) = server::database().await else { return };
    let mut session = open(&at).await;
    let sql = "\\echo begin\nDROP TABLE IF EXISTS t;\nDO $$ BEGIN RAISE WARNING 'row 42 of \"x\"'; END $$;\nBEGIN;";
    let (result, watched) = release(&mut session, text(sql), Path::new("/"), &options()).await;
    assert!(result.expect("it runs").left_open);
    assert_eq!(
        watched.said,
        [
            "begin",
            "NOTICE:  table \"t\" does not exist, skipping",
            "WARNING:  row 42 of \"x\"",
            "the script ended inside a transaction, which is rolled back"
        ]
    );
}

/// A session that holds a lock on a table until told.
async fn blocker(at: &Endpoint, table: &str) -> Connection {
    let blocker = other(at).await;
    blocker.client.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS SHARE MODE")).await.expect("a lock");
    blocker
}

fn retry(times: u32) -> RunOptions {
    let retry = Retry { lock_timeout: Duration::from_millis(20), times, pause: Duration::from_millis(5) };
    RunOptions { retry: Some(retry), ..options() }
}

/// Lets the blocker go once that many attempts have failed.
struct LetGo {
    watched: Watched,
    after: u32,
    blocker: Option<Connection>,
}

impl rehearsal::engine::postgres::run::Watch for LetGo {
    fn started(&mut self, index: usize, sql: &str, place: &rehearsal::event::Place) {
        self.watched.started(index, sql, place);
    }
    fn ended(&mut self, statement: Statement) {
        self.watched.ended(statement);
    }
    fn retried(&mut self, index: usize, attempt: u32, of: u32, pause: Duration) {
        self.watched.retried(index, attempt, of, pause);
        if attempt == self.after {
            self.blocker = None;
        }
    }
    fn said(&mut self, line: &str) {
        self.watched.said(line);
    }
}

/// Several statements sent as one, and CLUSTER, are not measured as others are; what they rewrote is theirs all the same, or nobody's.
#[tokio::test]
async fn a_rewrite_is_not_blamed_on_a_later_statement() {
    let Some(at) = shop().await else { return };
    let later = "ALTER TABLE orders ADD COLUMN";
    let scripts = [
        format!(
            "BEGIN; SELECT 1\\; ALTER TABLE orders ALTER customer_id TYPE bigint; {later} a int; COMMIT; {later} b int;"
        ),
        format!("BEGIN; CLUSTER orders USING orders_pkey; {later} c int; COMMIT; {later} d int;"),
        // One that may not have looked at anything yet is not asked in its own transaction.
        format!("BEGIN; SET LOCAL jit = off\\; DO $$ BEGIN CLUSTER orders; END $$; COMMIT; {later} e int;"),
    ];
    let mut told = Vec::new();
    for script in scripts {
        told.extend(run_all(&at, &script).await.iter().map(line));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    BEGIN constant grows[] locks[]
    ALTER TABLE rewrites grows[orders] locks[orders:AccessExclusive orders_pkey:AccessExclusive] rewrote[orders orders_pkey]
    ALTER TABLE constant grows[] locks[]
    COMMIT constant grows[] locks[]
    ALTER TABLE constant grows[] locks[orders:AccessExclusive]
    BEGIN constant grows[] locks[]
    CLUSTER rewrites grows[orders] locks[orders:AccessExclusive] rewrote[orders orders_pkey]
    ALTER TABLE constant grows[] locks[]
    COMMIT constant grows[] locks[]
    ALTER TABLE constant grows[] locks[orders:AccessExclusive]
    BEGIN constant grows[] locks[]
    DO changes_rows grows[orders orders_pkey] locks[orders:AccessExclusive orders_pkey:AccessExclusive]
    COMMIT constant grows[] locks[]
    ALTER TABLE constant grows[] locks[orders:AccessExclusive]
    ");
}

#[tokio::test]
async fn a_lock_timeout_is_tried_again() {
    let Some(at) = shop().await else { return };
    let mut session = open(&at).await;
    let mut watch = LetGo { watched: Watched::default(), after: 2, blocker: Some(blocker(&at, "orders").await) };
    let mut script =
        Script::open(text("SELECT 1; ALTER TABLE orders ADD COLUMN a int;"), Path::new("/")).expect("it opens");
    run(&mut session, &mut script, &retry(500), &mut watch, &CancellationToken::new()).await.expect("it gets the lock");
    assert_eq!(watch.watched.retried[..2], [(1, 1), (1, 2)]);
    let altered = &watch.watched.statements[1];
    assert!(altered.attempts > 2 && altered.lock_timeout, "{altered:?}");
    assert_eq!(altered.error, None);
}

#[tokio::test]
async fn a_transaction_block_is_tried_again_from_its_beginning() {
    let Some(at) = shop().await else { return };
    let mut session = open(&at).await;
    let mut watch = LetGo { watched: Watched::default(), after: 3, blocker: Some(blocker(&at, "orders").await) };
    let sql = "BEGIN; INSERT INTO users VALUES (1, 'once'); ALTER TABLE orders ADD COLUMN a int; COMMIT; SELECT 1;";
    let mut script = Script::open(text(sql), Path::new("/")).expect("it opens");
    run(&mut session, &mut script, &retry(500), &mut watch, &CancellationToken::new()).await.expect("it gets the lock");
    let attempts: Vec<bool> = watch.watched.statements.iter().map(|statement| statement.attempts > 1).collect();
    assert_eq!(attempts, [false, false, true, false, false]);
    let rows = session.rows_as_text("SELECT id, name FROM users", None, &CancellationToken::new()).await.expect("rows");
    assert_eq!(rows, [[Some("1".to_owned()), Some("once".to_owned())]]);
}

#[tokio::test]
async fn attempts_end() {
    let Some(at) = shop().await else { return };
    let _blocker = blocker(&at, "orders").await;
    for sql in ["DROP TABLE orders;", "BEGIN; CREATE TABLE x (a int); DROP TABLE orders;"] {
        let mut session = open(&at).await;
        let (result, watched) = release(&mut session, text(sql), Path::new("/"), &retry(3)).await;
        let Err(ScriptError::Statement { error, .. }) = result else { panic!("{result:?}") };
        assert_eq!(error.code, "55P03");
        assert_eq!(watched.retried.len(), 2);
        assert_eq!(watched.statements.last().expect("one").attempts, 3);
    }
}

#[tokio::test]
async fn a_script_is_given_up_in_time_or_when_told() {
    let Some(at) = shop().await else { return };
    let mut session = open(&at).await;
    let limited = RunOptions { timeout: Some(Duration::from_secs(2)), ..options() };
    let before = Instant::now();
    let (result, _) = release(&mut session, text("SELECT 1; SELECT pg_sleep(30);"), Path::new("/"), &limited).await;
    assert!(matches!(result, Err(ScriptError::TimedOut { index: 1, .. })), "{result:?}");
    assert!(before.elapsed() < Duration::from_secs(10));

    let cancel = CancellationToken::new();
    let mut script = Script::open(text("VACUUM; SELECT pg_sleep(30);"), Path::new("/")).expect("it opens");
    let mut watched = Watched::default();
    let unlimited = options();
    let running = run(&mut session, &mut script, &unlimited, &mut watched, &cancel);
    let observer = other(&at).await;
    let cancelling = async {
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%' AND state = 'active' AND datname = current_database()";
        while observer.client.query_one(sleeping, &[]).await.expect("an answer").get::<_, i64>(0) == 0 {}
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(running, cancelling);
    assert!(matches!(result, Err(ScriptError::Cancelled)), "{result:?}");
}

/// While a script's rows are sent to a server that waits for somebody else's lock, and so takes no more of them.
#[tokio::test]
async fn a_copy_that_the_server_does_not_take_is_given_up() {
    let Some(at) = shop().await else { return };
    let holder = other(&at).await;
    holder.client.batch_execute("BEGIN; INSERT INTO users VALUES (1, 'somebody')").await.expect("it holds the key");
    // More than what lies between two processes.
    let rows: String = (1..=400_000).map(|n| format!("{n}\t{}\n", "x".repeat(80))).collect();
    let copy = format!("COPY users FROM stdin;\n{rows}\\.\nSELECT 1;\n");
    let mut session = open(&at).await;
    let limited = RunOptions { timeout: Some(Duration::from_millis(500)), ..options() };
    let timed = release(&mut session, text(&copy), Path::new("/"), &limited);
    let (result, _) = tokio::time::timeout(DEADLINE, timed).await.expect("it ends in time");
    assert!(matches!(result, Err(ScriptError::TimedOut { index: 0, .. })), "{result:?}");

    let cancel = CancellationToken::new();
    let mut script = Script::open(text(&copy), Path::new("/")).expect("it opens");
    let mut watched = Watched::default();
    let (unlimited, mut again) = (options(), open(&at).await);
    let observer = other(&at).await;
    let cancelling = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE query LIKE 'COPY users%' AND wait_event_type = 'Lock' AND datname = current_database()";
        while observer.client.query_one(waiting, &[]).await.expect("an answer").get::<_, i64>(0) == 0 {}
        cancel.cancel();
    };
    let running = run(&mut again, &mut script, &unlimited, &mut watched, &cancel);
    let both = async { tokio::join!(running, cancelling) };
    let (result, ()) = tokio::time::timeout(DEADLINE, both).await.expect("it ends when told");
    assert!(matches!(result, Err(ScriptError::Cancelled)), "{result:?}");

    // The session has said the rest, and goes on.
    holder.client.batch_execute("ROLLBACK").await.expect("it lets go");
    let rows = session.rows_as_text("SELECT count(*) FROM users", None, &CancellationToken::new()).await.expect("rows");
    assert_eq!(rows, [[Some("0".to_owned())]]);
}

#[tokio::test]
async fn a_session_that_was_ended_is_lost() {
    let Some(at) = shop().await else { return };
    let mut session = open(&at).await;
    let sql = "SELECT 1; SELECT pg_terminate_backend(pg_backend_pid());";
    let (result, _) = release(&mut session, text(sql), Path::new("/"), &options()).await;
    let Err(ScriptError::Lost { index: 1, error, .. }) = result else { panic!("{result:?}") };
    assert_eq!(error.code, "57P01");
}

/// Upgrade scripts do that; the tool's own session is among the others.
#[tokio::test]
async fn the_observer_comes_back() {
    let Some(at) = shop().await else { return };
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
VACUUM FULL customers;";
    let statements = run_all(&at, sql).await;
    assert_eq!(statements[1].work, Work::Rewrites);
    assert_eq!(statements[1].locks[0].relation, "customers");
}

#[tokio::test]
async fn checks_and_waits() {
    let Some(at) = server::database().await else { return };
    let mut session = release::ReleaseSession::Postgres(Box::new(open(&at).await));
    let cancel = CancellationToken::new();
    let rows = session.rows_as_text("SELECT 1.50, NULL, 'ä', true", None, &cancel).await.expect("rows");
    assert_eq!(rows, [[Some("1.50".to_owned()), None, Some("ä".to_owned()), Some("t".to_owned())]]);
    let refused = session.rows_as_text("SELECT 1/0", None, &cancel).await;
    assert!(matches!(&refused, Err(SessionError::Refused(error)) if error.code == "22012"), "{refused:?}");
    let many = session.rows_as_text("SELECT generate_series(1, 10001)", None, &cancel).await;
    assert!(matches!(many, Err(SessionError::TooManyRows { .. })));
    session.wait_until("SELECT count(*) > 0 FROM pg_class", DEADLINE, &cancel).await.expect("it is true");
    let late = session.wait_until("SELECT false", Duration::from_secs(2), &cancel).await;
    assert_eq!(
        late.expect_err("never true").to_string(),
        "no row with a true first column within 2s; last seen: false"
    );
}

/// The tool's questions must not count as a transaction's first query, nor take its snapshot.
#[tokio::test]
async fn measuring_changes_nothing_for_the_release() {
    let Some(at) = shop().await else { return };
    run_all(
        &at,
        "BEGIN; SET LOCAL lock_timeout = '1s'; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY; SELECT count(*) FROM orders; COMMIT;
CREATE TABLE pg_temp.pg_locks (a int);
CREATE FUNCTION never(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = never);
SET search_path = pg_temp, public, pg_catalog;
UPDATE public.orders SET total = 1 WHERE id = 1;",
    )
    .await;
    let sql = "CREATE TABLE said (q text); CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO said VALUES (current_query()); RETURN NULL; END $$;
CREATE TRIGGER say AFTER UPDATE ON users EXECUTE FUNCTION say(); UPDATE users SET name = 'x';";
    run_all(&at, sql).await;
    let rows = other(&at).await.client.query("SELECT q FROM said", &[]).await.expect("rows");
    assert_eq!(rows[0].get::<_, String>(0), "UPDATE users SET name = 'x';");
}
