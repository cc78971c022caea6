//! The statements that somebody else's program ran, recovered from the server's log.
//!
//! While a [`Recording`] is open, new sessions of the role log every statement with its duration. The server must write its log as CSV
//! (`logging_collector=on`, `log_destination=csvlog`). The log is read through the server itself, so that it may be anywhere.

use std::fs::File;
use std::io::{Seek, Write};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::connect::{Connection, connect};
use super::names::quote;
use super::server_log::{self, LogError, Sought};
use crate::engine::endpoint::Endpoint;
use crate::engine::recover::Recovered;

const CONNECT_DEADLINE: Duration = Duration::from_secs(20);
const CHUNK_BYTES: i64 = 1 << 20;

/// What the role's sessions log: each statement once, as it ends, without parameters.
const SETTINGS: [(&str, &str); 8] = [
    ("log_min_duration_statement", "0"),
    ("log_statement", "none"),
    ("log_duration", "off"),
    ("log_parameter_max_length", "0"),
    ("log_parameter_max_length_on_error", "0"),
    ("log_min_error_statement", "error"),
    ("log_min_messages", "warning"),
    ("log_error_verbosity", "default"),
];

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("the server writes no CSV log")]
    NoLog,
    #[error("could not {what}")]
    Database { what: &'static str, source: tokio_postgres::Error },
    #[error("the server's log did not reach the program's end within {deadline:?}")]
    Deadline { deadline: Duration },
    #[error("could not keep the server's log in a temporary file")]
    NotKept(#[source] std::io::Error),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// An open recording. [`Recording::finish`] must follow, whatever became of the program: it puts the role's settings back.
#[derive(Debug)]
pub struct Recording {
    superuser: Endpoint,
    role: String,
    /// What the role had set in this database before, of [`SETTINGS`].
    before: Vec<(String, String)>,
    file: String,
    offset: i64,
    mark: String,
    begin_ms: f64,
}

/// Makes new sessions of `role` in the endpoint's database log what they run. `now_ms` is the run's clock.
///
/// # Errors
/// [`RecoverError::NoLog`] where there is nothing to read later, or the server's.
pub async fn begin(
    superuser: &Endpoint,
    role: &str,
    now_ms: &(dyn Fn() -> f64 + Sync),
) -> Result<Recording, RecoverError> {
    let superuser = superuser.named("rehearsal recover");
    let connection = open(&superuser).await?;
    let failed = |source| RecoverError::Database { what: "find the server's log", source };
    let row = connection
        .client
        .query_one("SELECT f, (pg_stat_file(f)).size FROM (SELECT pg_current_logfile('csvlog') AS f) AS log", &[])
        .await
        .map_err(failed)?;
    let file = row.get::<_, Option<String>>(0).ok_or(RecoverError::NoLog)?;
    let before = role_settings(&connection, &superuser.database, role).await?;
    let mark = format!("rehearsal mark {:016x}", rand::random::<u64>());
    let recording =
        Recording { role: role.to_owned(), before, file, offset: row.get(1), mark, begin_ms: 0.0, superuser };
    let begun = async {
        for (name, value) in SETTINGS {
            recording.alter(&connection, name, Some(value)).await?;
        }
        recording.write_mark(&connection, "begin", now_ms).await
    };
    match begun.await {
        Ok(begin_ms) => Ok(Recording { begin_ms, ..recording }),
        Err(error) => {
            recording.put_back(&connection).await?;
            Err(error)
        }
    }
}

impl Recording {
    /// Puts the role's settings back and reads what its sessions ran meanwhile; sessions for which `ours` says yes by application
    /// name are left out. Waits until the log has reached this moment, for at most `deadline`.
    ///
    /// # Errors
    /// The server's, or the log's.
    pub async fn finish(
        self,
        ours: &(dyn Fn(&str) -> bool + Sync),
        show_values: bool,
        deadline: Duration,
    ) -> Result<Recovered, RecoverError> {
        let connection = open(&self.superuser).await?;
        self.put_back(&connection).await?;
        self.write_mark(&connection, "end", &|| 0.0).await?;
        let mut log = tempfile::tempfile().map_err(RecoverError::NotKept)?;
        self.copy_log(&connection, &mut log, deadline).await?;
        log.rewind().map_err(RecoverError::NotKept)?;
        let (begin, end) = (self.marked("begin"), self.marked("end"));
        let sought = Sought { role: &self.role, ours, begin: &begin, end: &end, begin_ms: self.begin_ms, show_values };
        Ok(server_log::statements(std::io::BufReader::new(log), &sought)?)
    }

    /// Puts the role's settings back, and asks for nothing.
    ///
    /// # Errors
    /// The server's.
    pub async fn put_back_alone(self) -> Result<(), RecoverError> {
        self.put_back(&open(&self.superuser).await?).await
    }

    fn marked(&self, which: &str) -> String {
        format!("{} {which}", self.mark)
    }

    async fn put_back(&self, connection: &Connection) -> Result<(), RecoverError> {
        for (name, _) in SETTINGS {
            let value = self.before.iter().find(|(set, _)| set == name).map(|(_, value)| value.as_str());
            self.alter(connection, name, value).await?;
        }
        Ok(())
    }

    /// In this database only: a setting there comes before the role's own, which stays untouched.
    async fn alter(&self, connection: &Connection, name: &str, value: Option<&str>) -> Result<(), RecoverError> {
        let change = match value {
            Some(value) => format!("SET {name} TO '{}'", value.replace('\'', "''")),
            None => format!("RESET {name}"),
        };
        let (role, database) = (quote(&self.role), quote(&self.superuser.database));
        connection
            .client
            .batch_execute(&format!("ALTER ROLE {role} IN DATABASE {database} {change}"))
            .await
            .map_err(|source| RecoverError::Database { what: "set what the role logs", source })
    }

    /// A statement that the server logs at its end: all that ended before it stands before it. When that was, by the run's clock: the
    /// middle of its round trip.
    async fn write_mark(
        &self,
        connection: &Connection,
        which: &str,
        now_ms: &(dyn Fn() -> f64 + Sync),
    ) -> Result<f64, RecoverError> {
        let failed = |source| RecoverError::Database { what: "write a mark to the server's log", source };
        connection.client.batch_execute("SET log_min_duration_statement = 0").await.map_err(failed)?;
        let sent_ms = now_ms();
        connection.client.batch_execute(&format!("SELECT '{}'", self.marked(which))).await.map_err(failed)?;
        let marked_ms = f64::midpoint(sent_ms, now_ms());
        connection.client.batch_execute("RESET log_min_duration_statement").await.map_err(failed)?;
        Ok(marked_ms)
    }

    /// Copies the log from where it stood at the beginning to the end mark, over every file that it was rotated to.
    async fn copy_log(&self, connection: &Connection, to: &mut File, deadline: Duration) -> Result<(), RecoverError> {
        let end = self.marked("end").into_bytes();
        let until = Instant::now() + deadline;
        let mut again = tokio::time::interval(Duration::from_millis(20));
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut file, mut offset) = (self.file.clone(), self.offset);
        let mut tail: Vec<u8> = Vec::new();
        loop {
            let chunk = read_chunk(connection, &file, offset).await?;
            to.write_all(&chunk).map_err(RecoverError::NotKept)?;
            offset += i64::try_from(chunk.len()).expect("a chunk is small");
            let full = !chunk.is_empty();
            tail.extend_from_slice(&chunk);
            // The entry must be whole: what follows the mark up to the line's end.
            if let Some(at) = tail.windows(end.len()).position(|window| window == end) {
                if tail[at..].contains(&b'\n') {
                    return Ok(());
                }
            } else {
                tail.drain(..tail.len().saturating_sub(end.len()));
            }
            if full {
                continue;
            }
            if let Some(next) = next_file(connection, &file).await? {
                (file, offset) = (next, 0);
                continue;
            }
            if Instant::now() >= until {
                return Err(RecoverError::Deadline { deadline });
            }
            again.tick().await;
        }
    }
}

/// A session that writes whatever the database's own settings say, and waits neither for a standby nor for ever.
async fn open(endpoint: &Endpoint) -> Result<Connection, RecoverError> {
    const SETTINGS: &str = "SET default_transaction_read_only = off; SET synchronous_commit = local;
        SET statement_timeout = '20s'; SET lock_timeout = '10s'";
    let failed = |source| RecoverError::Database { what: "connect", source };
    let connection = connect(endpoint, CONNECT_DEADLINE).await.map_err(failed)?;
    connection.client.batch_execute(SETTINGS).await.map_err(failed)?;
    Ok(connection)
}

async fn role_settings(
    connection: &Connection,
    database: &str,
    role: &str,
) -> Result<Vec<(String, String)>, RecoverError> {
    // Manual, "System Catalogs", pg_db_role_setting.
    const SET: &str = "SELECT unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting s
        JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
        WHERE d.datname = $1 AND r.rolname = $2";
    let rows = connection
        .client
        .query(SET, &[&database, &role])
        .await
        .map_err(|source| RecoverError::Database { what: "read what the role has set", source })?;
    let pair = |text: String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(rows.iter().filter_map(|row| pair(row.get(0))).collect())
}

async fn read_chunk(connection: &Connection, file: &str, offset: i64) -> Result<Vec<u8>, RecoverError> {
    let row = connection
        .client
        .query_one("SELECT pg_read_binary_file($1, $2, $3, true)", &[&file, &offset, &CHUNK_BYTES])
        .await
        .map_err(|source| RecoverError::Database { what: "read the server's log", source })?;
    Ok(row.get::<_, Option<Vec<u8>>>(0).unwrap_or_default())
}

/// The file that the server went on to; their names sort by time.
async fn next_file(connection: &Connection, file: &str) -> Result<Option<String>, RecoverError> {
    let (folder, name) = file.rsplit_once('/').unwrap_or((".", file));
    let row = connection
        .client
        .query_one(
            "SELECT min(f) FROM pg_ls_dir($1) AS f WHERE f COLLATE \"C\" > $2 AND f LIKE '%.csv'",
            &[&folder, &name],
        )
        .await
        .map_err(|source| RecoverError::Database { what: "find the server's log", source })?;
    Ok(row.get::<_, Option<String>>(0).map(|next| format!("{folder}/{next}")))
}
