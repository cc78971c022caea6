//! A probe's session: the application's login, one operation at a time, never left inside a transaction.

use std::time::Duration;

use super::script::Values;
use super::table::{Origin, Table};
use crate::engine::endpoint::Endpoint;
use crate::engine::server::BoxError;
use crate::engine::{EngineKind, mysql, postgres};
use crate::event::SqlError;

/// An operation that did not succeed.
#[derive(Debug, Clone)]
pub struct Failure {
    pub error: SqlError,
    pub kind: FailureKind,
    pub class: Class,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The server refused; the session is good for the next operation.
    Refused,
    /// The probe's own timeout ended it, while it waited. The session is good for the next operation.
    GaveUp,
    /// The connection is gone, or was never made.
    Lost,
    /// The server refused, and what was sent is no longer what an application would send: it says nothing of the release. The session is
    /// good for the next operation.
    Unfit,
}

/// What the server has against a statement, whichever engine's code says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A column got no value and must have one.
    MissingValue,
    ForeignKey,
    Unique,
    Exclusion,
    /// A check constraint, or no partition for the row.
    Check,
    /// A constraint of another kind.
    OtherConstraint,
    /// A value that its column does not take.
    BadValue,
    /// The same, on a server that took such values under other modes: what one row holds says nothing of the next.
    OldValue,
    /// The word of a trigger or a routine.
    Raised,
    Privilege,
    NoColumn,
    /// Others waited for its locks and it for theirs; the transaction is undone, and may be tried again.
    Deadlock,
    Other,
}

impl Class {
    /// Against what the row holds, not against how the statement is written.
    pub(super) fn is_of_data(self) -> bool {
        use Class::{BadValue, Check, Exclusion, ForeignKey, MissingValue, OldValue, OtherConstraint, Unique};
        matches!(self, MissingValue | ForeignKey | Unique | Exclusion | Check | OtherConstraint | BadValue | OldValue)
    }

    /// The next row would fare no better.
    pub(super) fn is_of_every_row(self) -> bool {
        use Class::{BadValue, Deadlock, MissingValue, NoColumn, Other, Privilege};
        matches!(self, MissingValue | BadValue | NoColumn | Privilege | Deadlock | Other)
    }
}

/// An open session. Statements longer than its timeout are ended by the server, or from another session.
pub enum Session {
    Postgres(Box<postgres::probing::Session>),
    Mysql(Box<mysql::probing::Session>),
}

impl Session {
    /// Opens it and has a first answer.
    ///
    /// # Errors
    /// A [`Failure`] of kind [`FailureKind::Lost`].
    pub async fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Session, Failure> {
        Ok(match endpoint.engine {
            EngineKind::Postgres => {
                Session::Postgres(Box::new(postgres::probing::Session::open(endpoint, timeout).await?))
            }
            EngineKind::Mysql | EngineKind::Mariadb => {
                Session::Mysql(Box::new(mysql::probing::Session::open(endpoint, timeout).await?))
            }
        })
    }

    /// Takes its leave, where the server wants that; a server that does not answer is left.
    pub async fn close(self) {
        match self {
            Session::Postgres(session) => drop(session),
            Session::Mysql(session) => session.close().await,
        }
    }

    /// The server's number for it.
    pub fn pid(&self) -> i32 {
        match self {
            Session::Postgres(session) => session.pid(),
            Session::Mysql(session) => session.pid(),
        }
    }

    /// Sends statements as one message; the rows of all of them come back as text. After a failure no transaction is left open.
    ///
    /// # Errors
    /// What the server said of the first statement that failed; [`FailureKind::Lost`] also when no answer came long after the timeout.
    pub async fn send(&mut self, sql: &str) -> Result<Vec<Values>, Failure> {
        match self {
            Session::Postgres(session) => session.send(sql).await,
            Session::Mysql(session) => session.send(sql).await,
        }
    }

    /// As [`Session::send`], and how long the server was at it: what a probe costs it, whatever this machine is busy with.
    ///
    /// # Errors
    /// As of [`Session::send`].
    pub async fn send_timed(&mut self, sql: &str) -> Result<(Vec<Values>, Duration), Failure> {
        match self {
            Session::Postgres(session) => session.send_timed(sql).await,
            Session::Mysql(session) => session.send_timed(sql).await,
        }
    }

    /// A bounded sample of a table's rows, at random as far as that costs little: every column, in the table's order and in its form.
    pub(super) async fn sample(&mut self, table: &Table) -> Result<Vec<Values>, Failure> {
        match (self, &table.origin) {
            (Session::Postgres(session), Origin::Postgres(origin)) => {
                session.send(&postgres::probing::sample(origin, table)).await
            }
            (Session::Mysql(session), Origin::Mysql(origin)) => mysql::probing::sample(session, origin, table).await,
            _ => Ok(Vec::new()),
        }
    }
}

/// Bytes of log that the server has written so far; none where it writes no such log.
///
/// # Errors
/// The driver's.
pub async fn log_position(superuser: &Endpoint) -> Result<Option<u64>, BoxError> {
    Ok(match superuser.engine {
        EngineKind::Postgres => Some(postgres::probing::wal_position(superuser).await?),
        EngineKind::Mysql | EngineKind::Mariadb => mysql::probing::log_position(superuser).await?,
    })
}
