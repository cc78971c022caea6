//! Physical replication as it is observed: a heartbeat that is committed where writes go and read where they arrive, and positions in
//! the log (chapters "High Availability, Load Balancing, and Replication" and "Recovery Information Functions" of the manual).
//!
//! The heartbeat has a database of its own, so that neither a dump nor a plan nor a diff meets it.

pub mod pair;

use std::time::Duration;

use super::connect::{Connection, DriverError, connect};
use crate::engine::endpoint::Endpoint;
use crate::engine::replication::{Position, Shown, Standing};

/// Where the heartbeat lies.
const DATABASE: &str = "rehearsal_heartbeat";

/// Of a connection, and of any statement here: none of them may hold up the server for long, nor be held up.
const CONNECT: Duration = Duration::from_secs(5);
/// A commit waits for no standby, for it is the standby that is looked at.
const SESSION: &str = "SET synchronous_commit = local; SET default_transaction_read_only = off;
    SET statement_timeout = '5s'; SET lock_timeout = '1s'";
/// Before version 14 there is no such setting.
const SESSION_FROM_14: &str = "SET idle_session_timeout = 0";

/// Where writes go.
pub struct Heart {
    connection: Connection,
}

impl Heart {
    /// Makes the heartbeat's database, where it is not there yet.
    ///
    /// # Errors
    /// The driver's.
    pub async fn make(superuser: &Endpoint) -> Result<(), DriverError> {
        let connection = open(superuser).await?;
        let there = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1";
        if connection.client.query_opt(there, &[&DATABASE]).await?.is_some() {
            return Ok(());
        }
        connection.client.batch_execute("SET statement_timeout = '60s'").await?;
        connection.client.batch_execute(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0")).await?;
        let within = open(&superuser.in_database(DATABASE)).await?;
        within
            .client
            .batch_execute("CREATE TABLE public.beat (number bigint NOT NULL); INSERT INTO public.beat VALUES (0)")
            .await
    }

    /// # Errors
    /// The driver's.
    pub async fn connect(superuser: &Endpoint) -> Result<Heart, DriverError> {
        Ok(Heart { connection: open(&superuser.in_database(DATABASE)).await? })
    }

    /// Commits a number, and says where the log ends then, in bytes.
    ///
    /// # Errors
    /// The driver's.
    pub async fn beat(&self, number: i64) -> Result<u64, DriverError> {
        self.connection.client.execute("UPDATE public.beat SET number = $1", &[&number]).await?;
        written(&self.connection).await
    }
}

/// Where they arrive.
pub struct Pulse {
    connection: Connection,
}

impl Pulse {
    /// # Errors
    /// The driver's; also while the heartbeat's database has not arrived.
    pub async fn connect(superuser: &Endpoint) -> Result<Pulse, DriverError> {
        Ok(Pulse { connection: open(&superuser.in_database(DATABASE)).await? })
    }

    /// # Errors
    /// The driver's.
    pub async fn read(&self) -> Result<Shown, DriverError> {
        // The position first: the number is then at least as new.
        let shown = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::int8,
            (SELECT number FROM public.beat)";
        let row = self.connection.client.query_one(shown, &[]).await?;
        Ok(Shown { number: Some(row.get(1)), replayed: Some(bytes(row.get(0))) })
    }

    /// # Errors
    /// The driver's.
    pub async fn standing(&self, to: &Position) -> Result<Standing, DriverError> {
        let standing = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::int8,
            pg_catalog.pg_is_wal_replay_paused(),
            EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver WHERE status = 'streaming')";
        let row = self.connection.client.query_one(standing, &[]).await?;
        let (replayed, halted, receiving) = (bytes(row.get(0)), row.get(1), row.get(2));
        // There is no other kind of position here.
        let missing_bytes = match to {
            Position::Bytes(to) => Some(to.saturating_sub(replayed)),
            Position::Gtid(_) => None,
        };
        let words = match (halted, receiving) {
            (true, _) => "its replay is paused",
            (false, false) => "it receives no log",
            (false, true) => "it receives the log and has not replayed all of it",
        };
        let has_it = missing_bytes == Some(0);
        Ok(Standing { has_it, missing_bytes, progress: replayed, receiving, halted, words: words.to_owned() })
    }
}

/// Where the log ends, in bytes.
///
/// # Errors
/// The driver's.
pub async fn written_by(superuser: &Endpoint) -> Result<u64, DriverError> {
    let connection = open(&superuser.in_database(DATABASE)).await?;
    let end = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::int8";
    let end = bytes(connection.client.query_one(end, &[]).await?.get(0));
    // What is not on disk is not sent, and on disk the log may end within a record, which waits there for the next commit.
    connection.client.execute("UPDATE public.beat SET number = number", &[]).await?;
    Ok(end)
}

/// Takes back what made a replica quicker to look for whom it lost while everything was made ready.
///
/// # Errors
/// The driver's.
pub async fn as_in_production(replica: &Endpoint) -> Result<(), DriverError> {
    let connection = open(&replica.in_database(DATABASE)).await?;
    connection.client.batch_execute("ALTER SYSTEM RESET wal_retrieve_retry_interval").await?;
    connection.client.execute("SELECT pg_catalog.pg_reload_conf()", &[]).await.map(|_| ())
}

async fn open(endpoint: &Endpoint) -> Result<Connection, DriverError> {
    let connection = connect(&endpoint.named("rehearsal replication"), CONNECT).await?;
    connection.client.batch_execute(SESSION).await?;
    let version = connection.client.query_one("SELECT pg_catalog.current_setting('server_version_num')::int4", &[]);
    if version.await?.get::<_, i32>(0) >= 140_000 {
        connection.client.batch_execute(SESSION_FROM_14).await?;
    }
    Ok(connection)
}

async fn written(connection: &Connection) -> Result<u64, DriverError> {
    let written = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_flush_lsn(), '0/0')::int8";
    Ok(bytes(connection.client.query_one(written, &[]).await?.get(0)))
}

/// None of a replica that has replayed nothing yet.
fn bytes(position: Option<i64>) -> u64 {
    position.unwrap_or(0).unsigned_abs()
}
