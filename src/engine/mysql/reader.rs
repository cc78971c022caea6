//! A session that reads from one table and then sits in its transaction, holding the metadata lock that a read takes.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::connect::{DriverError, opened, with};
use super::error::sql_error_of;
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::event::SqlError;

const CONNECT: Duration = Duration::from_secs(5);
/// For a request to end that was given up.
const KILL: Duration = Duration::from_secs(5);

/// A session of a reader; its lock requests end by themselves.
pub struct ReaderSession {
    connection: Option<Conn>,
    app: Endpoint,
    id: u32,
    lock_timeout: Duration,
    reading: bool,
}

impl ReaderSession {
    /// # Errors
    /// When the account cannot log in.
    pub async fn open(app: &Endpoint, lock_timeout: Duration) -> Result<ReaderSession, SqlError> {
        // Whatever the server's own settings say: sitting idle in a transaction is what it is for. Lock timeouts are whole seconds here,
        // and only a second line.
        let (statement, idle) = match app.engine {
            EngineKind::Mysql => ("max_execution_time = 0", ""),
            _ => ("max_statement_time = 0", ", idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0"),
        };
        let seconds = lock_timeout.as_secs() + 1;
        let settings = format!("SET SESSION {statement}, wait_timeout = 86400, lock_wait_timeout = {seconds}{idle}");
        let connection = opened(app, &settings, CONNECT).await.map_err(|error| sql_error_of(&error))?;
        let id = connection.id();
        Ok(ReaderSession { connection: Some(connection), app: app.clone(), id, lock_timeout, reading: false })
    }

    /// Begins a transaction and reads a row, by the table's quoted name. On an error no transaction is left open.
    ///
    /// # Errors
    /// When the table is locked for longer than the lock timeout, or may not be read.
    pub async fn read(&mut self, quoted: &str) -> Result<(), SqlError> {
        let Some(connection) = &mut self.connection else { return Err(closed()) };
        let give_up = self.lock_timeout;
        let Err(error) = read(connection, quoted, give_up, &self.app, self.id).await else {
            self.reading = true;
            return Ok(());
        };
        match error {
            DriverError::Server(_) => self.end().await?,
            _ => self.connection = None,
        }
        Err(sql_error_of(&error))
    }

    /// # Errors
    /// When the connection is lost.
    pub async fn end(&mut self) -> Result<(), SqlError> {
        self.reading = false;
        let connection = self.connection.as_mut().ok_or_else(closed)?;
        let ended = match tokio::time::timeout(KILL, connection.query_drop("COMMIT")).await {
            Ok(ended) => ended,
            Err(_) => Err(no_answer()),
        };
        ended.map_err(|error| {
            self.connection = None;
            sql_error_of(&error)
        })
    }

    pub fn is_reading(&self) -> bool {
        self.reading && !self.is_closed()
    }

    pub fn is_closed(&self) -> bool {
        self.connection.is_none()
    }

    /// The server's number for it.
    pub fn id(&self) -> i32 {
        i32::try_from(self.id).unwrap_or(i32::MAX)
    }
}

/// Begins and reads; after a while the request is taken back, and the session goes on.
async fn read(
    connection: &mut Conn,
    quoted: &str,
    give_up: Duration,
    app: &Endpoint,
    id: u32,
) -> Result<(), DriverError> {
    let reading = async {
        connection.query_drop("START TRANSACTION").await?;
        // The row is of no use: only the lock matters.
        connection.query_drop(format!("SELECT 1 FROM {quoted} LIMIT 1")).await
    };
    tokio::pin!(reading);
    if let Ok(read) = tokio::time::timeout(give_up, &mut reading).await {
        return read;
    }
    let kill = async |other: &mut Conn| other.query_drop(format!("KILL QUERY {id}")).await;
    let killed = tokio::time::timeout(KILL, with(&app.in_database(""), CONNECT, kill)).await;
    match (killed, tokio::time::timeout(KILL, &mut reading).await) {
        (_, Ok(read)) => read,
        (Ok(Err(error)), Err(_)) => Err(error),
        _ => Err(no_answer()),
    }
}

fn no_answer() -> DriverError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {KILL:?}")).into()
}

fn closed() -> SqlError {
    sql_error_of(&DriverError::Driver(mysql_async::DriverError::ConnectionClosed))
}
