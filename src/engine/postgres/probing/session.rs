//! A probe's session: the application's login, one operation at a time, never left inside a transaction.

use std::time::{Duration, Instant};

use tokio_postgres::error::Severity;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::connect::{Connection, config, connect};
use crate::engine::postgres::error::{QUERY_CANCELED, connection_failure, sql_error};
use crate::engine::probing::{Class, Failure, FailureKind, Values};
use crate::event::SqlError;

/// How much longer than the server's own timeout an answer is waited for, before the operation is cancelled; and after that, before the
/// session is given up as lost.
const GRACE: Duration = Duration::from_secs(1);

/// An open session. Statements longer than its timeout are cancelled by the server.
pub struct Session {
    connection: Connection,
    pid: i32,
    timeout: Duration,
}

impl Session {
    /// # Errors
    /// A [`Failure`] of kind [`FailureKind::Lost`].
    pub async fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Session, Failure> {
        match tokio::time::timeout(timeout + GRACE, Session::connect(endpoint, timeout)).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(failed(sql_error(&error, false), FailureKind::Lost)),
            Err(_) => Err(no_answer(timeout + GRACE)),
        }
    }

    async fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<Session, tokio_postgres::Error> {
        let mut config = config(endpoint, timeout);
        // In the start packet, so that it costs no round trip and outlives no session.
        config.options(format!("-c statement_timeout={}", timeout.as_millis().max(1)));
        let connection = Connection::start(&config).await?;
        let idle = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('idle_session_timeout', true)";
        let row = connection.client.query_one(idle, &[]).await?;
        if row.get::<_, Option<&str>>(1).is_some_and(|timeout| timeout != "0") {
            // An application's pool opens another one; here it would look like an outage. Before version 14 there is no such setting.
            connection.client.batch_execute("SET idle_session_timeout = 0").await?;
        }
        Ok(Session { pid: row.get(0), connection, timeout })
    }

    /// Process id of its back end.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The role that acts: a login may begin its sessions as another.
    ///
    /// # Errors
    /// As of [`Session::send`].
    pub async fn role(&mut self) -> Result<String, Failure> {
        let rows = self.send("SELECT current_user").await?;
        Ok(rows.into_iter().flatten().next().flatten().unwrap_or_default())
    }

    /// As [`Session::send`], and how long the server was at it: what a probe costs it, whatever this machine is busy with.
    ///
    /// # Errors
    /// As of [`Session::send`].
    pub async fn send_timed(&mut self, sql: &str) -> Result<(Vec<Values>, Duration), Failure> {
        // The statement's timestamp is that of the message, so the difference spans all that stands before.
        let timed = format!(
            "{sql};\nSELECT extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::float8"
        );
        let mut rows = self.send(&timed).await?;
        let seconds = rows.pop().and_then(|row| row.into_iter().next().flatten()?.parse().ok()).unwrap_or(0.0);
        Ok((rows, Duration::try_from_secs_f64(seconds).unwrap_or_default()))
    }

    /// Sends statements as one message; rows come back as text. After a failure no transaction is left open.
    ///
    /// # Errors
    /// What the server said of the first statement that failed; [`FailureKind::Lost`] also when no answer came long after the timeout.
    pub async fn send(&mut self, sql: &str) -> Result<Vec<Values>, Failure> {
        let sent = Instant::now();
        let mut query = std::pin::pin!(self.connection.client.simple_query(sql));
        let mut answer = tokio::time::timeout(self.timeout + GRACE, &mut query).await;
        if answer.is_err() {
            // The server's timeout is each statement's, and together they may take longer.
            let cancel = self.connection.client.cancel_token();
            let asked = tokio::time::timeout(GRACE, cancel.cancel_query(NoTls)).await;
            tracing::debug!(?asked, "a probe's operation is cancelled");
            answer = tokio::time::timeout(GRACE, &mut query).await;
        }
        let error = match answer {
            Ok(Ok(messages)) => return Ok(rows(messages)),
            Ok(Err(error)) => error,
            Err(_) => return Err(no_answer(sent.elapsed())),
        };
        let kind = match error.as_db_error() {
            None => FailureKind::Lost,
            Some(said) if matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) => {
                FailureKind::Lost
            }
            Some(said) if said.code().code() == QUERY_CANCELED && sent.elapsed() >= self.timeout.mul_f64(0.95) => {
                FailureKind::GaveUp
            }
            Some(_) => FailureKind::Refused,
        };
        let failure = failed(sql_error(&error, false), kind);
        if kind == FailureKind::Lost {
            return Err(failure);
        }
        match tokio::time::timeout(GRACE, self.connection.client.batch_execute("ROLLBACK")).await {
            Ok(Ok(())) => Err(failure),
            Ok(Err(_)) | Err(_) => Err(Failure { kind: FailureKind::Lost, ..failure }),
        }
    }
}

/// Bytes of log that the server has written so far.
///
/// # Errors
/// The driver's.
pub(in crate::engine) async fn wal_position(superuser: &Endpoint) -> Result<u64, tokio_postgres::Error> {
    let connection = connect(superuser, Duration::from_secs(5)).await?;
    let position = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::int8";
    let bytes: i64 = connection.client.query_one(position, &[]).await?.get(0);
    Ok(bytes.unsigned_abs())
}

fn rows(messages: Vec<SimpleQueryMessage>) -> Vec<Values> {
    messages
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|nth| row.get(nth).map(str::to_owned)).collect()),
            _ => None,
        })
        .collect()
}

fn failed(error: SqlError, kind: FailureKind) -> Failure {
    Failure { class: class(&error.code), error, kind }
}

/// Chapter "PostgreSQL Error Codes" of the manual.
fn class(code: &str) -> Class {
    match code {
        "23502" => Class::MissingValue,
        "23503" => Class::ForeignKey,
        "23505" => Class::Unique,
        "23P01" => Class::Exclusion,
        "23514" => Class::Check,
        "42501" => Class::Privilege,
        "42703" => Class::NoColumn,
        "P0001" => Class::Raised,
        _ if code.starts_with("23") => Class::OtherConstraint,
        _ if code.starts_with("22") => Class::BadValue,
        _ => Class::Other,
    }
}

fn no_answer(within: Duration) -> Failure {
    let message = format!("no answer within {} ms", within.as_millis());
    failed(connection_failure(message), FailureKind::Lost)
}
