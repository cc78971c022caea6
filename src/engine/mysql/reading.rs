//! Reading sessions: a connection inside one read-only snapshot, with settings under which equal values print alike on any server.
//!
//! A snapshot is InnoDB's (chapter "Consistent Nonlocking Reads" of the manuals): tables of other engines are read as they are, and so
//! are definitions. Neither engine lets a second session have the snapshot of a first. Several sessions each take one of their own,
//! and are kept only if nothing was committed in between. MariaDB tells the position in the binary log that belongs to a snapshot
//! (chapter "Enhancements for START TRANSACTION WITH CONSISTENT SNAPSHOT"); on MySQL nothing was committed in between if no
//! transaction has its GTID for now, and the set of executed ones is the one from before: a GTID is owned from before the engine
//! commits until it is added to that set. What is kept out of the binary log is not seen by either. Where the log does not tell, or
//! somebody always commits in between, one session reads alone.
//!
//! A table's metadata lock would be held to the end of the transaction, and whoever waits to alter the table would hold up all others.
//! So each query is followed by a return to a savepoint from before it, which gives its locks back; on MariaDB only in a session that
//! writes no binary log, and a login that may not be without keeps the locks to the end.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use tokio::sync::{Mutex, MutexGuard};

use super::connect::{DriverError, opened, own_settings, with};
use super::error::shown;
use super::session::texts;
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::reading::ReadError;
use crate::event::with_causes;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const END_DEADLINE: Duration = Duration::from_secs(5);

/// Tries to have several sessions see one moment.
const ATTEMPTS: usize = 5;

/// What a value's text must not depend on, and what would cut an answer short or end a session that waits for the other side. An empty
/// `sql_mode` gives zero dates as they are and no padding, and leaves quotes and backslashes their usual meaning.
const SETTINGS: &str = "sql_mode = '', time_zone = '+00:00', lock_wait_timeout = 30, net_write_timeout = 3600,
    wait_timeout = 28800, net_read_timeout = 600, sql_select_limit = DEFAULT, sql_safe_updates = 0, sql_big_selects = 1,
    sql_quote_show_create = 1, sort_buffer_size = 8388608";

const SNAPSHOT: [&str; 3] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    "SAVEPOINT reading",
];

/// Sent after a query, and set when the snapshot is taken.
const RETURN: &str = "ROLLBACK TO SAVEPOINT reading";

/// A session that sees one moment of one database, and changes nothing.
pub struct Reading {
    connection: Mutex<Conn>,
    id: u32,
    endpoint: Endpoint,
    /// MySQL or MariaDB, as the server says itself.
    pub engine: EngineKind,
    /// Major and minor.
    pub version: (u32, u32),
    /// Bytes of the longest value that the server computes.
    pub max_allowed_packet: u64,
}

/// As [`crate::engine::reading::Reading::begin`].
///
/// # Errors
/// As there.
pub async fn begin(endpoint: &Endpoint, sessions: usize) -> Result<Vec<Reading>, ReadError> {
    let opening = (0..sessions).map(|_| Reading::open(endpoint));
    let mut readings = futures::future::try_join_all(opening).await?;
    if sessions > 1 && readings[0].log_tells_all().await? {
        for _ in 0..ATTEMPTS {
            if of_one_moment(&readings).await? {
                return Ok(readings);
            }
        }
    }
    for reading in readings.drain(1..) {
        reading.end().await;
    }
    readings[0].take_snapshot().await?;
    tracing::debug!("one session reads alone");
    Ok(readings)
}

/// Takes a snapshot in each session, and says whether they are all of the same moment.
async fn of_one_moment(readings: &[Reading]) -> Result<bool, ReadError> {
    let before = readings[0].executed().await?;
    futures::future::try_join_all(readings.iter().map(Reading::take_snapshot)).await?;
    if readings[0].engine == EngineKind::Mysql {
        // In this order: what is owned no more by now is in the set by then.
        let owned = readings[0].value("SELECT @@GLOBAL.gtid_owned").await?;
        return Ok(owned.is_empty() && readings[0].executed().await? == before);
    }
    let positions = futures::future::try_join_all(readings.iter().map(Reading::snapshot_position)).await?;
    Ok(positions.iter().all(|position| !position.is_empty() && *position == positions[0]))
}

impl Reading {
    async fn open(endpoint: &Endpoint) -> Result<Reading, ReadError> {
        let failed = |error: DriverError| ReadError::Connect { at: format!("{endpoint:?}"), source: told(&error) };
        let mut connection = opened(endpoint, "SET NAMES utf8mb4", CONNECT_DEADLINE).await.map_err(failed)?;
        let version: Option<String> = connection.query_first("SELECT VERSION()").await.map_err(failed)?;
        let version = version.unwrap_or_default();
        let engine = if version.contains("MariaDB") { EngineKind::Mariadb } else { EngineKind::Mysql };
        let numbers = numbers(&version);
        let (oldest, name, too_old) = match engine {
            EngineKind::Mariadb => ("10.5", "MariaDB", numbers < (10, 5)),
            _ => ("8.0", "MySQL", numbers < (8, 0)),
        };
        if too_old {
            return Err(ReadError::TooOld { at: format!("{endpoint:?}"), runs: format!("{name} {version}"), oldest });
        }
        let settings = format!("SET SESSION {}, {SETTINGS}{}", own_settings(engine), settings_of(engine, numbers));
        connection.query_drop(settings).await.map_err(failed)?;
        if engine == EngineKind::Mariadb
            && let Err(error) = connection.query_drop("SET SESSION sql_log_bin = 0").await
        {
            tracing::debug!(%error, "the metadata locks of tables that are read are kept to the end");
        }
        let packet: Option<u64> = connection.query_first("SELECT @@max_allowed_packet").await.map_err(failed)?;
        Ok(Reading {
            id: connection.id(),
            connection: Mutex::new(connection),
            // As what it is, and not as the URL says.
            endpoint: Endpoint { engine, ..endpoint.clone() },
            engine,
            version: numbers,
            max_allowed_packet: packet.unwrap_or_default(),
        })
    }

    /// The database that is read.
    pub fn database(&self) -> &str {
        &self.endpoint.database
    }

    /// For [`cancel`], once the session is busy.
    pub fn canceller(&self) -> Canceller {
        Canceller { endpoint: self.endpoint.clone(), id: self.id }
    }

    /// Takes its leave; a session that only ends is a warning in the server's log.
    pub async fn end(self) {
        match tokio::time::timeout(END_DEADLINE, self.connection.into_inner().disconnect()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a reading session did not end in order"),
            Err(_) => tracing::debug!("a reading session did not end in time"),
        }
    }

    /// All rows as text. `what` is for the error.
    pub(super) async fn rows(&self, what: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, ReadError> {
        let mut connection = self.connection().await;
        let rows: Vec<Row> = connection.query(sql).await.map_err(query_failed(what))?;
        give_back(&mut connection).await.map_err(query_failed(what))?;
        Ok(rows.into_iter().map(texts).collect())
    }

    pub(super) async fn connection(&self) -> MutexGuard<'_, Conn> {
        self.connection.lock().await
    }

    async fn take_snapshot(&self) -> Result<(), ReadError> {
        let mut connection = self.connection().await;
        for statement in SNAPSHOT {
            connection.query_drop(statement).await.map_err(query_failed("from a snapshot"))?;
        }
        Ok(())
    }

    /// Every committed transaction is in the binary log, and by its GTID where that is needed.
    async fn log_tells_all(&self) -> Result<bool, ReadError> {
        let sql = match self.engine {
            EngineKind::Mysql => "SELECT @@GLOBAL.log_bin AND @@GLOBAL.gtid_mode = 'ON'",
            _ => "SELECT @@GLOBAL.log_bin AND @@GLOBAL.log_slave_updates",
        };
        Ok(self.value(sql).await? == "1")
    }

    /// The executed transactions, where the engine tells them in time.
    async fn executed(&self) -> Result<String, ReadError> {
        match self.engine {
            EngineKind::Mysql => self.value("SELECT @@GLOBAL.gtid_executed").await,
            _ => Ok(String::new()),
        }
    }

    /// MariaDB's: the position in the binary log that belongs to the snapshot.
    pub(super) async fn snapshot_position(&self) -> Result<String, ReadError> {
        let mut connection = self.connection().await;
        let failed = query_failed("the snapshot's position");
        let rows: Vec<Row> = connection.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await.map_err(failed)?;
        let values = rows.into_iter().filter_map(|row| texts(row).pop().flatten());
        Ok(values.filter(|value| !value.is_empty()).collect::<Vec<_>>().join(":"))
    }

    async fn value(&self, sql: &str) -> Result<String, ReadError> {
        let mut connection = self.connection().await;
        let value: Option<Option<String>> = connection.query_first(sql).await.map_err(query_failed("a variable"))?;
        Ok(value.flatten().unwrap_or_default())
    }
}

/// Gives back the locks of what was read last.
pub(super) async fn give_back(connection: &mut Conn) -> Result<(), DriverError> {
    connection.query_drop(RETURN).await
}

/// Ends one session.
pub struct Canceller {
    endpoint: Endpoint,
    id: u32,
}

/// Ends the session, with what it runs: one that waits for this program to take its rows would not notice the end of its query.
pub async fn cancel(session: &Canceller) {
    let kill = async |connection: &mut Conn| connection.query_drop(format!("KILL {}", session.id)).await;
    let asked = with(&session.endpoint, CONNECT_DEADLINE, kill);
    if !matches!(tokio::time::timeout(CONNECT_DEADLINE, asked).await, Ok(Ok(()))) {
        tracing::debug!("a session could not be ended");
    }
}

/// What the server says while it reads rows may hold some of their values.
pub(super) fn query_failed(what: impl Into<String>) -> impl FnOnce(DriverError) -> ReadError {
    move |error| ReadError::Query { what: what.into(), source: told(&error) }
}

fn told(error: &DriverError) -> crate::engine::server::BoxError {
    match error {
        DriverError::Server(said) => format!("{} ({})", shown(said.code, &said.state, &said.message), said.code).into(),
        other => with_causes(other).into(),
    }
}

/// Besides [`SETTINGS`]: what only one of the two has.
fn settings_of(engine: EngineKind, version: (u32, u32)) -> &'static str {
    match engine {
        // Figures of tables from the engine itself: none that are kept are renewed, which would be a write.
        EngineKind::Mysql => ", information_schema_stats_expiry = 0",
        // A long list stays a list that is searched by halves.
        _ if version >= (10, 6) => {
            ", idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0, in_predicate_conversion_threshold = 0"
        }
        _ => ", idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0",
    }
}

/// "10.11.14-MariaDB-log" is 10 and 11.
fn numbers(version: &str) -> (u32, u32) {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}
