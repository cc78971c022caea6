//! A session that reads from one table and then sits in its transaction, whatever the engine.

use std::time::Duration;

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::{mysql, postgres};
use crate::event::SqlError;

/// A session of a reader; its lock requests end by themselves.
pub enum ReaderSession {
    Postgres(postgres::reader::ReaderSession),
    Mysql(Box<mysql::reader::ReaderSession>),
}

impl ReaderSession {
    /// # Errors
    /// When the role cannot log in.
    pub async fn open(app: &Endpoint, lock_timeout: Duration) -> Result<ReaderSession, SqlError> {
        Ok(match app.engine {
            EngineKind::Postgres => {
                ReaderSession::Postgres(postgres::reader::ReaderSession::open(app, lock_timeout).await?)
            }
            EngineKind::Mysql | EngineKind::Mariadb => {
                ReaderSession::Mysql(Box::new(mysql::reader::ReaderSession::open(app, lock_timeout).await?))
            }
        })
    }

    /// Begins a transaction and reads a row, by the table's quoted name. On an error no transaction is left open.
    ///
    /// # Errors
    /// When the table is locked for longer than the lock timeout, or may not be read.
    pub async fn read(&mut self, quoted: &str) -> Result<(), SqlError> {
        match self {
            ReaderSession::Postgres(session) => session.read(quoted).await,
            ReaderSession::Mysql(session) => session.read(quoted).await,
        }
    }

    /// # Errors
    /// When the connection is lost.
    pub async fn end(&mut self) -> Result<(), SqlError> {
        match self {
            ReaderSession::Postgres(session) => session.end().await,
            ReaderSession::Mysql(session) => session.end().await,
        }
    }

    pub fn is_reading(&self) -> bool {
        match self {
            ReaderSession::Postgres(session) => session.is_reading(),
            ReaderSession::Mysql(session) => session.is_reading(),
        }
    }

    pub fn is_closed(&self) -> bool {
        match self {
            ReaderSession::Postgres(session) => session.is_closed(),
            ReaderSession::Mysql(session) => session.is_closed(),
        }
    }

    /// The server's number for it.
    pub fn id(&self) -> i32 {
        match self {
            ReaderSession::Postgres(session) => session.pid(),
            ReaderSession::Mysql(session) => session.id(),
        }
    }
}
