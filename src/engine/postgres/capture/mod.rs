//! What a capture reads of a Postgres database: one exported snapshot for all sessions, tables in ranges of pages, rows by COPY.
//!
//! The tables are locked against whatever would empty or rewrite them, as pg_dump does: neither TRUNCATE nor a rewrite is visible to
//! MVCC, and a reader of an older moment would find nothing. Manual: "Snapshot Synchronization Functions", "MVCC Caveats", "System
//! Columns".

mod facts;
mod sampling;
pub mod schema;
mod shape;

use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::names::quote;
use super::reading::{Reading, begin, query_failed};
use crate::engine::capture::{Database, Part, Planned, Rows, SourceError, Table};
use crate::engine::endpoint::Endpoint;
use crate::engine::reading::Canceller;

/// From here on a condition on `ctid` reads those pages alone.
const HAS_TID_RANGES: u32 = 140_000;

const LOCK_TIMEOUT: &str = "5s";

/// Locks that are asked for before the first is answered.
const LOCKS_AHEAD: usize = 64;

/// A server has room for 64 locks a connection, of all sessions together, as it is delivered. With more than this the first session alone
/// locks: the others' locks then come with what they read, behind whoever waits for one that excludes them.
const LOCKS_MOST: usize = 2000;

/// No lock is waited for long, no other processor is used, and rows come in the order of their pages.
const SETTINGS: &str =
    "SET lock_timeout = '5s'; SET max_parallel_workers_per_gather = 0; SET synchronize_seqscans = off";

/// So that a session whose client was killed ends soon, whatever it does.
const CHECK_CLIENT: &str = "SET client_connection_check_interval = '5s'";

/// The reading sessions; the first one's snapshot is all others'.
pub struct Source {
    readings: Vec<Reading>,
    endpoint: Endpoint,
}

impl Source {
    /// As [`crate::engine::capture::Source::open`].
    ///
    /// # Errors
    /// As there.
    pub async fn open(endpoint: &Endpoint, sessions: usize) -> Result<Source, SourceError> {
        let readings = begin(endpoint, sessions).await?;
        for reading in &readings {
            reading.client().batch_execute(SETTINGS).await.map_err(query_failed("the session's settings"))?;
            if reading.version >= HAS_TID_RANGES {
                let checked = reading.client().batch_execute(&format!("SAVEPOINT before; {CHECK_CLIENT}")).await;
                // Some systems cannot, and refuse.
                if checked.is_err() {
                    let back = reading.client().batch_execute("ROLLBACK TO SAVEPOINT before").await;
                    back.map_err(query_failed("the session's settings"))?;
                }
            }
        }
        let source = Source { readings, endpoint: endpoint.clone() };
        source.lock().await?;
        Ok(source)
    }

    fn locking(&self, tables: usize) -> &[Reading] {
        if tables * self.readings.len() <= LOCKS_MOST { &self.readings } else { &self.readings[..1] }
    }

    fn first(&self) -> &Reading {
        &self.readings[0]
    }

    pub fn sessions(&self) -> usize {
        self.readings.len()
    }

    pub fn cancellers(&self) -> Vec<Canceller> {
        self.readings.iter().map(|reading| Canceller::Postgres(reading.canceller())).collect()
    }

    /// As [`crate::engine::capture::Source::describe`].
    ///
    /// # Errors
    /// As there.
    pub async fn describe(&self, part_bytes: u64) -> Result<(Database, Vec<Planned>), SourceError> {
        let (database, tables) = facts::read(self.first(), &self.endpoint.database).await?;
        let has_ranges = self.first().version >= HAS_TID_RANGES;
        let planned = tables.into_iter().map(|found| {
            let parts = parts(&found, if has_ranges { part_bytes } else { u64::MAX });
            Planned { table: found.table, parts }
        });
        Ok((database, planned.collect()))
    }

    /// As [`crate::engine::capture::Source::schema`].
    ///
    /// # Errors
    /// As there.
    pub async fn schema(&self, version: &str, folder: &Path, cancel: &CancellationToken) -> Result<(), SourceError> {
        schema::dump(&self.endpoint, self.first().snapshot(), version, folder, cancel).await
    }

    /// As [`crate::engine::capture::Source::rows`].
    ///
    /// # Errors
    /// As there.
    pub async fn rows(&self, session: usize, table: &Table, part: &Part) -> Result<Rows<'static>, SourceError> {
        let what = format!("the rows of {}", table.shown());
        let client = self.readings[session].client();
        let rows = client.copy_out(&copy(table, part)).await;
        let rows = rows.map_err(|error| not_locked(error, table.shown(), &what))?;
        Ok(Box::pin(rows.map_err(move |error| query_failed(what.clone())(error))))
    }

    /// Locks every table that can be read, and sees that nothing befell one between the snapshot and its lock.
    async fn lock(&self) -> Result<(), SourceError> {
        let tables = self.first().rows("tables", &facts::lockable()).await?;
        let names = self.locking(tables.len()).iter().flat_map(|reading| tables.iter().map(move |row| (reading, row)));
        stream::iter(names)
            .map(|(reading, row)| async move {
                let (schema, name): (String, String) = (row.get(0), row.get(1));
                let sql = format!("LOCK TABLE ONLY {}.{} IN ACCESS SHARE MODE", quote(&schema), quote(&name));
                let table = super::catalog::display_name(&schema, &name);
                let what = format!("table {table}, by a lock");
                reading.client().batch_execute(&sql).await.map_err(|error| not_locked(error, table, &what))
            })
            .buffered(LOCKS_AHEAD)
            .try_collect::<Vec<()>>()
            .await?;
        let mut changed = self.first().rows("tables' names", &facts::renamed_since()).await?;
        changed.extend(self.first().rows("tables' files", &facts::rewritten_since()).await?);
        if changed.is_empty() {
            return Ok(());
        }
        let name = |row: &tokio_postgres::Row| super::catalog::display_name(row.get(0), row.get(1));
        Err(SourceError::Changed { tables: changed.iter().map(name).collect() })
    }
}

fn not_locked(error: tokio_postgres::Error, table: String, what: &str) -> SourceError {
    match error.code() {
        Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => SourceError::Locked { table, waited: LOCK_TIMEOUT },
        _ => query_failed(what)(error).into(),
    }
}

/// Ranges of pages; what lies behind the last page counted is the last part's.
fn parts(found: &facts::Found, part_bytes: u64) -> Vec<Part> {
    let whole = vec![Part { condition: None }];
    let parts = found.table.stored_bytes / part_bytes.max(1);
    if parts < 2 || !found.has_pages || found.table.condition.is_some() {
        return whole;
    }
    let pages = (found.pages / parts).max(1);
    let starts: Vec<u64> = (0..found.pages).step_by(usize::try_from(pages).unwrap_or(usize::MAX)).collect();
    if starts.len() < 2 {
        return whole;
    }
    let condition = |at: usize, start: &u64| match starts.get(at + 1) {
        Some(end) => format!("ctid >= '({start},0)' AND ctid < '({end},0)'"),
        None => format!("ctid >= '({start},0)'"),
    };
    starts.iter().enumerate().map(|(at, start)| Part { condition: Some(condition(at, start)) }).collect()
}

fn copy(table: &Table, part: &Part) -> String {
    let from = format!("{}.{}", quote(&table.schema), quote(&table.name));
    let columns: Vec<String> = table.stored_columns().map(|column| quote(&column.name)).collect();
    let columns = columns.join(", ");
    let condition = table.condition.as_ref().or(part.condition.as_ref());
    match condition {
        Some(condition) => format!("COPY (SELECT {columns} FROM ONLY {from} WHERE {condition}) TO STDOUT"),
        // Without a list it would be all columns, which are those that are stored.
        None if columns.is_empty() => format!("COPY {from} TO STDOUT"),
        None => format!("COPY {from} ({columns}) TO STDOUT"),
    }
}

#[cfg(test)]
mod tests;
