//! A second session that looks at the release's own from outside: relations, locks, log position. It reads catalogs only, never a
//! user's table, and gives up rather than wait.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connect::{Connection, connect};
use super::measure::{Relation, relation_name};
use crate::engine::endpoint::Endpoint;

/// Each query's own limit.
const QUERY_LIMITS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '500ms'";

/// Relations that are no part of the server itself, with the table that an index belongs to.
const RELATIONS: &str = "\
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relfilenode, coalesce(i.indrelid, 0)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
WHERE c.oid >= 16384 AND n.nspname !~ '^pg_toast' AND c.relkind IN ('r', 'm', 'i', 'p', 'I', 'S', 'v', 'f')";

/// Locks on relations that a session holds (`pg_locks`).
const LOCKS: &str = "\
SELECT l.relation, l.mode
FROM pg_catalog.pg_locks l
WHERE l.pid = $1 AND l.granted AND l.locktype = 'relation' AND l.relation >= 16384
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";

/// Bytes of log written so far; null on a standby.
const LOG_POSITION: &str = "\
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint END";

/// The observing session; connects when first asked, and once more when it was cut off.
pub struct Observer {
    endpoint: Endpoint,
    deadline: Duration,
    open: Option<Open>,
}

struct Open {
    connection: Connection,
    /// [`LOG_POSITION`], which is asked after each statement while its transaction holds its locks: in one round trip.
    log_position: tokio_postgres::Statement,
}

/// What is asked.
#[derive(Clone, Copy)]
enum Question<'a> {
    Sql(&'a str, &'a [&'a (dyn ToSql + Sync)]),
    LogPosition,
}

impl Observer {
    /// `endpoint` should be a superuser's, in the release's own database.
    pub fn new(endpoint: &Endpoint, deadline: Duration) -> Observer {
        Observer { endpoint: endpoint.clone(), deadline, open: None }
    }

    async fn ask(&mut self, question: Question<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        let was_open = self.open.is_some();
        match self.ask_once(question).await {
            // A release may end everybody else's session.
            Err(error)
                if was_open
                    && (error.is_closed()
                        || error.as_db_error().is_some_and(|e| e.code().code().starts_with("57P"))) =>
            {
                self.open = None;
                self.ask_once(question).await
            }
            result => result,
        }
    }

    async fn ask_once(&mut self, question: Question<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let connection = connect(&self.endpoint, self.deadline).await?;
                connection.client.batch_execute(QUERY_LIMITS).await?;
                let log_position = connection.client.prepare(LOG_POSITION).await?;
                Open { connection, log_position }
            }
        };
        let Open { connection, log_position } = self.open.insert(open);
        match question {
            Question::Sql(sql, parameters) => connection.client.query(sql, parameters).await,
            Question::LogPosition => connection.client.query(&*log_position, &[]).await,
        }
    }

    /// All relations as committed, by oid.
    pub async fn relations(&mut self) -> Result<HashMap<u32, Relation>, tokio_postgres::Error> {
        let rows = self.ask(Question::Sql(RELATIONS, &[])).await?;
        Ok(rows
            .iter()
            .map(|row| {
                let (schema, name): (String, String) = (row.get(1), row.get(2));
                let kind: String = row.get(3);
                let relation = Relation {
                    name: relation_name(&schema, &name),
                    kind: kind.chars().next().unwrap_or('r'),
                    file: row.get(4),
                    table: Some(row.get::<_, u32>(5)).filter(|table| *table != 0),
                };
                (row.get(0), relation)
            })
            .collect())
    }

    /// Locks on relations that the session of that process holds now: oid and mode as `pg_locks` names it.
    pub async fn locks(&mut self, pid: i32) -> Result<Vec<(u32, String)>, tokio_postgres::Error> {
        let rows = self.ask(Question::Sql(LOCKS, &[&pid])).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Bytes of log written since the server was made; none on a standby.
    pub async fn log_position(&mut self) -> Result<Option<i64>, tokio_postgres::Error> {
        let rows = self.ask(Question::LogPosition).await?;
        Ok(rows.first().and_then(|row| row.get(0)))
    }

    /// Collects the locks of that session for as long as it is polled: often at first, then at a twentieth of the time gone by, so
    /// that watching costs little.
    pub async fn sample_locks(&mut self, pid: i32, into: &mut HashMap<u32, Vec<String>>) -> std::convert::Infallible {
        let start = Instant::now();
        loop {
            tokio::time::sleep((start.elapsed() / 20).clamp(Duration::from_millis(2), Duration::from_millis(100)))
                .await;
            match self.locks(pid).await {
                Ok(locks) => {
                    for (relation, mode) in locks {
                        let modes = into.entry(relation).or_default();
                        if !modes.contains(&mode) {
                            modes.push(mode);
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "locks could not be sampled"),
            }
        }
    }
}
