//! A session that reads from one table and then sits in its transaction, holding the lock that a read takes.

use std::time::Duration;

use super::connect::{Connection, config};
use super::error::sql_error;
use crate::engine::endpoint::Endpoint;
use crate::event::SqlError;

/// A session of a reader; its lock requests end by themselves.
pub struct ReaderSession {
    connection: Connection,
    pid: i32,
    reading: bool,
}

impl ReaderSession {
    /// # Errors
    /// When the role cannot log in.
    pub async fn open(app: &Endpoint, lock_timeout: Duration) -> Result<ReaderSession, SqlError> {
        let mut config = config(app, Duration::from_secs(5));
        // Whatever the role's own settings say: sitting idle in a transaction is what it is for.
        config.options(format!(
            "-c lock_timeout={} -c statement_timeout=0 -c idle_in_transaction_session_timeout=0",
            lock_timeout.as_millis().max(1)
        ));
        let connection = Connection::start(&config).await.map_err(|error| sql_error(&error, false))?;
        let row = connection.client.query_one("SELECT pg_catalog.pg_backend_pid()", &[]).await;
        let pid = row.map_err(|error| sql_error(&error, false))?.get(0);
        Ok(ReaderSession { connection, pid, reading: false })
    }

    /// Begins a transaction and reads a row, by the table's quoted name. On an error no transaction is left open.
    ///
    /// # Errors
    /// When the table is locked for longer than the lock timeout, or may not be read.
    pub async fn read(&mut self, quoted: &str) -> Result<(), SqlError> {
        // The row is not sent: only the lock matters.
        let read = format!("BEGIN; SELECT FROM {quoted} LIMIT 1");
        if let Err(error) = self.connection.client.batch_execute(&read).await {
            self.end().await?;
            return Err(sql_error(&error, false));
        }
        self.reading = true;
        Ok(())
    }

    /// # Errors
    /// When the connection is lost.
    pub async fn end(&mut self) -> Result<(), SqlError> {
        self.reading = false;
        self.connection.client.batch_execute("COMMIT").await.map_err(|error| sql_error(&error, false))
    }

    pub fn is_reading(&self) -> bool {
        self.reading && !self.is_closed()
    }

    pub fn is_closed(&self) -> bool {
        self.connection.client.is_closed()
    }

    /// Process id of its back end.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}
