//! A dump into a server's database: the engine's own client reads it on the host, statistics are gathered last.

mod translated;

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::io::AsyncRead;

use super::connect::{DriverError, in_time, own_settings, with};
use super::error::shown;
use super::names::quote;
use super::server_log::is_disk_full;
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::host::{Exec, ExecOutput, Host, HostError};
use crate::event::{TableSize, with_causes};

pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(20);
/// Of a question that touches catalogs only.
const CATALOG_DEADLINE: Duration = Duration::from_secs(60);
/// Of what reads every row that was restored.
const ROWS_DEADLINE: Duration = Duration::from_secs(3600);
/// Of a dump, held between who reads it and who takes it in.
const PIPE: usize = 1 << 18;
/// With less than this no table grows.
const FULL_BYTES: u64 = 16 << 20;

/// Databases that every server has, and this tool's own.
const SYSTEM: &str = "('mysql', 'sys', 'information_schema', 'performance_schema', 'rehearsal_heartbeat')";

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the disk is full")]
    DiskFull,
    /// The server refused a statement of the dump.
    #[error("line {line}: {message} ({number})")]
    Refused { line: u64, number: u16, message: String },
    /// Rows of a captured chunk, by their number in it, from 1.
    #[error("{what}{}: {message}{}", row.map(|row| format!(", row {row}")).unwrap_or_default(), numbered(*number))]
    Rows { what: String, row: Option<u64>, message: String, number: u16 },
    #[error("{program}: {message}")]
    Client { program: &'static str, message: String },
    #[error("the server ended meanwhile")]
    ServerLost,
    #[error("{what}")]
    Database { what: &'static str, source: DriverError },
    #[error(transparent)]
    Host(#[from] HostError),
}

/// The database that is restored into, and the host that its server and client are on.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub host: &'a dyn Host,
    /// As superuser.
    pub endpoint: &'a Endpoint,
    pub deadline: Duration,
}

impl Target<'_> {
    /// Feeds a dump to the engine's client, stopping at its first error. What was left out of it is returned as notes.
    ///
    /// # Errors
    /// [`RestoreError::Refused`] with the dump's line, [`RestoreError::DiskFull`], or what the host could not do.
    pub async fn client(&self, script: &mut (dyn AsyncRead + Send + Unpin)) -> Result<Vec<String>, RestoreError> {
        self.client_at(0, script).await
    }

    /// As [`Target::client`], of a script that this program wrote: comments and line ends in it are part of what it makes.
    ///
    /// # Errors
    /// As there.
    pub async fn own_script(&self, script: &[u8]) -> Result<Vec<String>, RestoreError> {
        self.fed((0, &["--comments", "--binary-mode"]), &mut &*script).await
    }

    /// As [`Target::client`], where several work at the same time: each at a seat of its own, which nobody takes again.
    ///
    /// # Errors
    /// As there.
    pub async fn client_at(
        &self,
        seat: usize,
        script: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Vec<String>, RestoreError> {
        self.fed((seat, &[]), script).await
    }

    async fn fed(
        &self,
        (seat, flags): (usize, &[&str]),
        script: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Vec<String>, RestoreError> {
        let program = if self.endpoint.engine == EngineKind::Mysql { "mysql" } else { "mariadb" };
        let path = self.host.program(program).await?;
        let listen = self.host.listen();
        let options = format!("{}/client-{seat}.cnf", self.host.folder());
        // The manuals' chapter "Using Option Files": a password in it is seen by nobody else.
        let login = format!(
            "[client]\nuser=\"{}\"\npassword=\"{}\"\nsocket=\"{}/{}\"\n",
            self.endpoint.user, self.endpoint.password, listen.socket_dir, listen.port
        );
        self.host.write(&options, login.as_bytes()).await?;
        let exec = Exec::new(path).arg(format!("--defaults-file={options}")).args([
            "--protocol=socket",
            "--batch",
            "--default-character-set=utf8mb4",
            "--max-allowed-packet=1G",
            // Whatever the server's settings, a dump that says nothing of transactions is kept.
            &format!("--init-command=SET SESSION {}", own_settings(self.endpoint.engine)),
            &format!("--database={}", self.endpoint.database),
        ]);
        let exec = exec.args(flags.iter().copied());
        let (output, left_out) = match self.endpoint.engine {
            EngineKind::Mysql => self.translating(&exec, script).await,
            _ => (self.host.exec_reading(&exec, script, self.deadline).await, false),
        };
        self.host.write(&options, b"").await?;
        let output = output?;
        if output.status == 0 {
            let note = format!("the dump's sql_mode {} was left out: MySQL no longer knows it", translated::MODE);
            return Ok(left_out.then_some(note).into_iter().collect());
        }
        if self.host.server_exit().await.is_some() {
            return Err(RestoreError::ServerLost);
        }
        match told(program, output.status, &output.stderr) {
            // ER_RECORD_FILE_FULL: InnoDB says so of a full disk, and others of a table that may grow no more.
            RestoreError::Refused { number: 1114, .. }
                if self.host.free_bytes().await.is_ok_and(|free| free < FULL_BYTES) =>
            {
                Err(RestoreError::DiskFull)
            }
            error => Err(error),
        }
    }

    /// What gives the database that is restored into the character set and the like that `CREATE DATABASE` gave `dumped`; none where it
    /// said nothing of that.
    pub fn alter_database(&self, dumped: &str, create: &str) -> Option<String> {
        let (_, options) = create.split_once(&quote(dumped))?;
        let options = options.trim().trim_end_matches(';').trim();
        (!options.is_empty()).then(|| format!("ALTER DATABASE {} {options};\n", quote(&self.endpoint.database)))
    }

    /// Feeds the client what MySQL understands of the dump.
    async fn translating(
        &self,
        exec: &Exec,
        script: &mut (dyn AsyncRead + Send + Unpin),
    ) -> (Result<ExecOutput, HostError>, bool) {
        let (mut to, mut from) = tokio::io::duplex(PIPE);
        let reading = async {
            let output = self.host.exec_reading(exec, &mut from, self.deadline).await;
            // A client that has ended reads nothing more, and whoever writes to it need not wait.
            drop(from);
            output
        };
        let writing = async {
            let copied = translated::copy(script, &mut to).await;
            drop(to);
            copied
        };
        let (output, copied) = tokio::join!(reading, writing);
        match (output, copied) {
            (Ok(output), Err(error)) if output.status == 0 => {
                let what = "the dump could not be read to its end".to_owned();
                (Err(HostError::Failed { what, source: Some(error.into()) }), false)
            }
            (output, copied) => (output, copied.unwrap_or(false)),
        }
    }

    /// Databases that are neither the server's own nor the one that is restored into.
    ///
    /// # Errors
    /// The server's.
    pub async fn other_databases(&self) -> Result<Vec<String>, RestoreError> {
        let failed = |source| RestoreError::Database { what: "could not ask for databases", source };
        let asked = format!(
            "SELECT schema_name FROM information_schema.schemata
             WHERE schema_name NOT IN {SYSTEM} AND schema_name <> ? ORDER BY 1"
        );
        let ask = async |connection: &mut Conn| connection.exec(asked, (&self.endpoint.database,)).await;
        in_time(CATALOG_DEADLINE, with(&self.endpoint.in_database(""), CONNECT_DEADLINE, ask)).await.map_err(failed)
    }
}

/// None where this program noticed by itself.
fn numbered(number: u16) -> String {
    if number == 0 { String::new() } else { format!(" ({number})") }
}

pub(super) fn failed(what: &'static str) -> impl FnOnce(DriverError) -> RestoreError {
    move |source| RestoreError::Database { what, source }
}

/// What the client said last: "ERROR 1146 (42S02) at line 3: Table 'a.b' doesn't exist".
fn told(program: &'static str, status: i32, stderr: &str) -> RestoreError {
    if is_disk_full(stderr) {
        return RestoreError::DiskFull;
    }
    let refused = stderr.lines().rev().find_map(|line| {
        let (number, rest) = line.strip_prefix("ERROR ")?.split_once(' ')?;
        let (state, rest) = rest.split_once("at line ").unwrap_or(("", rest));
        let (line, message) = rest.split_once(": ")?;
        let state = state.trim().trim_start_matches('(').trim_end_matches(')');
        Some((number.parse::<u16>().ok()?, state, line.parse::<u64>().ok()?, message))
    });
    match refused {
        // ER_DISK_FULL.
        Some((1021, ..)) => RestoreError::DiskFull,
        Some((number, state, line, message)) => {
            RestoreError::Refused { line, number, message: shown(number, state, message) }
        }
        None => {
            let message = format!("it ended with exit status {status}: {}", shown(0, "", stderr.trim_end()));
            RestoreError::Client { program, message }
        }
    }
}

/// Gathers statistics of every table: a restored one has none that a plan could be made from (chapter "ANALYZE TABLE" of the manuals).
/// What could not be gathered is returned as notes.
///
/// # Errors
/// The server's.
pub async fn settle(endpoint: &Endpoint) -> Result<Vec<String>, RestoreError> {
    let gather = async |connection: &mut Conn| {
        let mut notes = Vec::new();
        for table in tables(connection, &endpoint.database).await? {
            // A replica keeps its own.
            let analyze = format!("ANALYZE NO_WRITE_TO_BINLOG TABLE {}", quote(&table));
            if let Err(error) = connection.query_drop(analyze).await {
                notes.push(format!("table {table} is without statistics: {}", with_causes(&error)));
            }
        }
        Ok(notes)
    };
    let failed = |source| RestoreError::Database { what: "could not gather statistics", source };
    in_time(ROWS_DEADLINE, with(endpoint, CONNECT_DEADLINE, gather)).await.map_err(failed)
}

/// Exact rows, and bytes as the server estimates them, of every table.
///
/// # Errors
/// The server's.
pub async fn table_sizes(endpoint: &Endpoint) -> Result<Vec<TableSize>, RestoreError> {
    let count = async |connection: &mut Conn| {
        if endpoint.engine == EngineKind::Mysql {
            // Else they would be a day old.
            connection.query_drop("SET SESSION information_schema_stats_expiry = 0").await?;
        }
        let mut sizes = Vec::new();
        for table in tables(connection, &endpoint.database).await? {
            let count = format!("SELECT COUNT(*) FROM {}", quote(&table));
            let rows: u64 = connection.query_first(count).await?.unwrap_or_default();
            let bytes = "SELECT COALESCE(data_length + index_length, 0) FROM information_schema.tables
                WHERE table_schema = DATABASE() AND table_name = ?";
            let bytes: u64 = connection.exec_first(bytes, (&table,)).await?.unwrap_or_default();
            sizes.push(TableSize { table, rows, bytes });
        }
        Ok(sizes)
    };
    let failed = |source| RestoreError::Database { what: "could not count rows", source };
    in_time(ROWS_DEADLINE, with(endpoint, CONNECT_DEADLINE, count)).await.map_err(failed)
}

async fn tables(connection: &mut Conn, database: &str) -> Result<Vec<String>, DriverError> {
    let asked = "SELECT table_name FROM information_schema.tables
        WHERE table_schema = ? AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1";
    connection.exec(asked, (database,)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_says() {
        let check = |stderr: &str, expected: &str| assert_eq!(told("mysql", 1, stderr).to_string(), expected);
        check("ERROR 1146 (42S02) at line 3: Table 'a.b' doesn't exist\n", "line 3: Table 'a.b' doesn't exist (1146)");
        check(
            "ERROR 1062 (23000) at line 9: Duplicate entry 'secret' for key 'm'",
            "line 9: Duplicate entry … for key 'm' (1062)",
        );
        check("ERROR 1114 (HY000) at line 9: The table 't' is full", "line 9: The table … is full (1114)");
        check("ERROR 1021 (HY000) at line 9: Disk full (x)", "the disk is full");
        check("ERROR 1644 (45000) at line 9: secret", "line 9: a routine raised it; its words are left out (1644)");
        check("ERROR 2013 (HY000) at line 9: Lost connection", "line 9: Lost connection (2013)");
        check("mysql: unknown option '--x'", "mysql: it ended with exit status 1: mysql: unknown option …");
    }
}
