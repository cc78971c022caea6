//! The session that runs a release: the one that `mysql` or `mariadb` would have.

use std::time::{Duration, Instant};

use mysql_async::consts::StatusFlags;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use tokio_util::sync::CancellationToken;

use super::connect::{DriverError, opened, with};
use super::error::{CONNECTION_LOST, shown};
use super::server_log::is_disk_full;
use super::unlogged::Unlogged;
use crate::engine::endpoint::Endpoint;
use crate::engine::lineage::Lineage;
use crate::engine::release::SessionError;
use crate::event::{SqlError, with_causes};

/// Answers of a check beyond this many rows are refused.
const MOST_ROWS: usize = 10_000;
/// Of the session that ends a statement.
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// For a statement to end that was killed: a copied table is taken away again.
const END_DEADLINE: Duration = Duration::from_secs(60);
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);
/// ER_DISK_FULL.
const DISK_FULL: u16 = 1021;

/// A step has its own.
pub struct ReleaseSession {
    pub(super) connection: Conn,
    pub(super) superuser: Endpoint,
    pub(super) lineage: Lineage,
    pub(super) asker: Asker,
    /// It is to stay out of the binary log.
    pub(super) unlogged: Option<Unlogged>,
}

/// Whoever ends a statement that is given up, and how errors are told.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    /// A superuser: the release's own account may get in no more.
    superuser: Endpoint,
    pub show_values: bool,
    /// For opening a session.
    pub within: Duration,
}

/// What a statement answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Of its last result with rows, as many as were to be kept.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows that it returned or changed.
    pub count: u64,
}

/// Why there is none.
pub(super) enum Stopped {
    Refused(Box<SqlError>),
    Lost(Box<SqlError>),
    TimedOut,
    Cancelled,
    Driver(DriverError),
}

impl ReleaseSession {
    /// Opens the session with none of the tool's settings. What it does is looked at as `superuser`, in the same database.
    ///
    /// # Errors
    /// If the server refuses it, or does not answer within `deadline`.
    pub async fn connect(
        release: &Endpoint,
        superuser: &Endpoint,
        lineage: Lineage,
        show_values: bool,
        deadline: Duration,
    ) -> Result<ReleaseSession, SessionError> {
        // The driver asks for a collation of its own; the clients ask for the server's.
        match opened(release, "SET NAMES utf8mb4", deadline).await {
            Ok(connection) => {
                let asker = Asker { superuser: superuser.in_database(""), show_values, within: deadline };
                let superuser = superuser.clone();
                Ok(ReleaseSession { connection, superuser, lineage, asker, unlogged: None })
            }
            Err(error) => {
                let refused = match &error {
                    DriverError::Server(said) => Some(Box::new(sql_error(said, show_values))),
                    _ => None,
                };
                Err(SessionError::Connect { refused, source: error.into() })
            }
        }
    }

    /// The server's number for it.
    pub fn id(&self) -> i32 {
        i32::try_from(self.connection.id()).unwrap_or(i32::MAX)
    }

    /// As [`crate::engine::release::ReleaseSession::stay_out_of_log`].
    ///
    /// # Errors
    /// As there.
    pub async fn stay_out_of_log(&mut self, superuser: &Endpoint) -> Result<(), SessionError> {
        let begun = Unlogged::begin(&mut self.connection, superuser, self.asker.within).await;
        self.unlogged = Some(begun.map_err(|error| of_session(stopped(error, self.asker.show_values)))?);
        Ok(())
    }

    /// As [`crate::engine::release::ReleaseSession::last_in_log`].
    ///
    /// # Errors
    /// As there.
    pub async fn last_in_log(&mut self) -> Result<Option<String>, SessionError> {
        let Some(unlogged) = self.unlogged.take() else { return Ok(None) };
        let ended = unlogged.end(&mut self.connection).await;
        ended.map_err(|error| of_session(stopped(error, self.asker.show_values)))
    }

    /// Takes its leave; a server that does not answer is left.
    pub async fn close(self) {
        match tokio::time::timeout(CLOSE_DEADLINE, self.connection.disconnect()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a session did not end in order"),
            Err(_) => tracing::debug!("a session did not end in time"),
        }
    }

    /// As [`crate::engine::release::ReleaseSession::rows_as_text`].
    ///
    /// # Errors
    /// As there.
    pub async fn rows_as_text(
        &mut self,
        sql: &str,
        deadline: Option<Instant>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Vec<Option<String>>>, SessionError> {
        let asked = self.asker.ask(&mut self.connection, sql, MOST_ROWS + 1, deadline, cancel).await;
        let answer = asked.map_err(of_session)?;
        if answer.rows.len() > MOST_ROWS { Err(SessionError::TooManyRows { most: MOST_ROWS }) } else { Ok(answer.rows) }
    }

    /// Ends what a query has begun where the server's settings leave it open: the next one is to see what others commit meanwhile.
    ///
    /// # Errors
    /// If the connection is lost.
    pub async fn roll_back(&mut self, cancel: &CancellationToken) -> Result<(), SessionError> {
        if !self.in_transaction() {
            return Ok(());
        }
        self.asker.ask(&mut self.connection, "ROLLBACK", 0, None, cancel).await.map(drop).map_err(of_session)
    }

    /// What the client's own reading of strings depends on, as the server said last.
    pub(super) fn backslash_escapes(&self) -> bool {
        !self.has(StatusFlags::SERVER_STATUS_NO_BACKSLASH_ESCAPES)
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.has(StatusFlags::SERVER_STATUS_IN_TRANS)
    }

    fn has(&self, flag: StatusFlags) -> bool {
        self.connection.last_ok_packet().is_some_and(|ok| ok.status_flags().contains(flag))
    }
}

impl Asker {
    /// Sends a statement and reads all that it answers, keeping at most so many rows. Given up, it is killed and its end waited for.
    pub async fn ask(
        &self,
        connection: &mut Conn,
        sql: &str,
        keep: usize,
        deadline: Option<Instant>,
        cancel: &CancellationToken,
    ) -> Result<Answer, Stopped> {
        let id = connection.id();
        let late = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let asking = answer(connection, sql, keep);
        tokio::pin!(asking);
        let given_up = tokio::select! {
            answered = &mut asking => return answered.map_err(|error| stopped(error, self.show_values)),
            () = cancel.cancelled() => Stopped::Cancelled,
            () = late => Stopped::TimedOut,
        };
        let kill = async |connection: &mut Conn| connection.query_drop(format!("KILL QUERY {id}")).await;
        match tokio::time::timeout(KILL_DEADLINE, with(&self.superuser, self.within, kill)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "could not end a statement"),
            Err(_) => tracing::debug!("nobody answered who was to end a statement"),
        }
        if tokio::time::timeout(END_DEADLINE, asking).await.is_err() {
            tracing::warn!("a statement that was killed goes on");
        }
        Err(given_up)
    }
}

fn of_session(stopped: Stopped) -> SessionError {
    match stopped {
        Stopped::Refused(error) => SessionError::Refused(error),
        Stopped::Lost(error) => SessionError::Lost(error),
        Stopped::TimedOut => SessionError::TimedOut,
        Stopped::Cancelled => SessionError::Cancelled,
        Stopped::Driver(error) => SessionError::Harness(error.into()),
    }
}

async fn answer(connection: &mut Conn, sql: &str, keep: usize) -> Result<Answer, DriverError> {
    let mut results = connection.query_iter(sql).await?;
    let mut answer = Answer::default();
    while !results.is_empty() {
        answer.rows.clear();
        let mut count = 0;
        let with_rows = results.columns().is_some_and(|columns| !columns.is_empty());
        while let Some(row) = results.next().await? {
            count += 1;
            if answer.rows.len() < keep {
                answer.rows.push(texts(row));
            }
        }
        answer.count = if with_rows { count } else { results.affected_rows() };
    }
    // What the last result is an error instead of is kept by the driver until somebody asks on.
    results.next().await?;
    if answer.count == 0 {
        answer.count = results.affected_rows();
    }
    drop(results);
    Ok(answer)
}

/// A row of the text protocol.
pub(super) fn texts(row: Row) -> Vec<Option<String>> {
    row.unwrap_raw()
        .into_iter()
        .map(|value| match value {
            None | Some(Value::NULL) => None,
            Some(Value::Bytes(bytes)) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            // The text protocol has no others.
            Some(other) => Some(other.as_sql(true)),
        })
        .collect()
}

fn stopped(error: DriverError, show_values: bool) -> Stopped {
    match error {
        // ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN, ER_CONNECTION_KILLED.
        DriverError::Server(said) if [1053, 1077, 1927].contains(&said.code) => {
            Stopped::Lost(Box::new(SqlError { code: CONNECTION_LOST.to_owned(), ..sql_error(&said, show_values) }))
        }
        DriverError::Server(said) => Stopped::Refused(Box::new(sql_error(&said, show_values))),
        DriverError::Io(_) => Stopped::Lost(Box::new(lost(with_causes(&error)))),
        DriverError::Driver(mysql_async::DriverError::ConnectionClosed) => {
            Stopped::Lost(Box::new(lost("the server closed the connection".to_owned())))
        }
        other => Stopped::Driver(other),
    }
}

pub(super) fn lost(message: String) -> SqlError {
    SqlError { code: CONNECTION_LOST.to_owned(), message, table: None, column: None, constraint: None, position: None }
}

/// With the server's own number, which is what people look up; a full disk has one number, whatever was to be written.
pub(super) fn sql_error(said: &mysql_async::ServerError, show_values: bool) -> SqlError {
    let message = if show_values { said.message.clone() } else { shown(said.code, &said.state, &said.message) };
    let code = if is_disk_full(&said.message) { DISK_FULL } else { said.code };
    SqlError { code: code.to_string(), ..lost(message) }
}
