//! A probe's session on MySQL or MariaDB: what an application would have, but for the tool's own timeouts.

use std::pin::pin;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, ServerError};

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::mysql::connect::{DriverError, opened, with};
use crate::engine::mysql::error::CONNECTION_LOST;
use crate::engine::mysql::session::{lost, sql_error, texts};
use crate::engine::probing::{Class, Failure, FailureKind, Values};
use crate::event::{SqlError, with_causes};

/// How much longer than its timeout an answer is waited for before the operation is killed; and after that, before the session is given
/// up as lost.
const GRACE: Duration = Duration::from_secs(1);

/// Of a query to the server's own tables.
const DEADLINE: Duration = Duration::from_secs(5);

/// Seconds that an idle session lives, the servers' own default: an application's pool opens another one, here it would look like an
/// outage.
const IDLE_S: u32 = 28_800;

/// ER_QUERY_INTERRUPTED
const INTERRUPTED: u16 = 1317;

/// An open session.
pub struct Session {
    connection: Conn,
    endpoint: Endpoint,
    timeout: Duration,
}

impl Session {
    /// # Errors
    /// A [`Failure`] of kind [`FailureKind::Lost`].
    pub async fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Session, Failure> {
        match opened(endpoint, &settings(endpoint.engine, timeout), timeout + GRACE).await {
            Ok(connection) => Ok(Session { connection, endpoint: endpoint.clone(), timeout }),
            Err(error) => Err(Failure { kind: FailureKind::Lost, ..failed(endpoint.engine, error, false) }),
        }
    }

    pub async fn close(self) {
        if let Ok(Err(error)) = tokio::time::timeout(GRACE, self.connection.disconnect()).await {
            tracing::debug!(%error, "a probe's session did not end in order");
        }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.connection.id()).unwrap_or(i32::MAX)
    }

    /// As [`crate::engine::probing::Session::send_timed`].
    ///
    /// # Errors
    /// As there.
    pub async fn send_timed(&mut self, sql: &str) -> Result<(Vec<Values>, Duration), Failure> {
        // NOW is when a statement began.
        let timed = format!(
            "SET @rehearsal_began = SYSDATE(6);\n{sql};\nSELECT TIMESTAMPDIFF(MICROSECOND, @rehearsal_began, SYSDATE(6))"
        );
        let mut rows = self.send(&timed).await?;
        let micros = rows.pop().and_then(|row| row.into_iter().next().flatten()?.parse().ok()).unwrap_or(0);
        Ok((rows, Duration::from_micros(micros)))
    }

    /// As [`crate::engine::probing::Session::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, sql: &str) -> Result<Vec<Values>, Failure> {
        let (id, endpoint, sent) = (self.connection.id(), self.endpoint.clone(), Instant::now());
        let mut killed = false;
        let answer = {
            let mut asking = pin!(rows(&mut self.connection, sql));
            match tokio::time::timeout(self.timeout + GRACE, &mut asking).await {
                Ok(answer) => Some(answer),
                Err(_) => {
                    // The server's timeouts are of one statement, and do not hold for all of them.
                    killed = true;
                    kill(&endpoint, id).await;
                    tokio::time::timeout(GRACE, &mut asking).await.ok()
                }
            }
        };
        let failure = match answer {
            Some(Ok(rows)) if !killed || self.undo().await => return Ok(rows),
            Some(Err(error)) => failed(endpoint.engine, error, sent.elapsed() >= self.timeout.mul_f64(0.95)),
            _ => {
                let message = format!("no answer within {} ms", sent.elapsed().as_millis());
                Failure { error: lost(message), kind: FailureKind::Lost, class: Class::Other }
            }
        };
        if failure.kind == FailureKind::Lost || self.undo().await {
            return Err(failure);
        }
        Err(Failure { kind: FailureKind::Lost, ..failure })
    }

    /// Leaves the transaction. A kill that comes late meets this and no operation.
    async fn undo(&mut self) -> bool {
        for _ in 0..2 {
            match tokio::time::timeout(GRACE, self.connection.query_drop("ROLLBACK")).await {
                Ok(Ok(())) => return true,
                Ok(Err(DriverError::Server(said))) if said.code == INTERRUPTED => {}
                _ => return false,
            }
        }
        false
    }
}

/// Sent first. Where the application's own time for a lock is shorter, it is what a user meets. Chapters "Server System Variables" of the
/// manuals, "InnoDB Startup Options and System Variables", "Aborting Statements that Exceed a Certain Time to Execute".
fn settings(engine: EngineKind, timeout: Duration) -> String {
    let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
    let own = match engine {
        // Of a SELECT alone.
        EngineKind::Mysql => format!("max_execution_time = {}", timeout.as_millis().max(1)),
        _ => format!("max_statement_time = {:.3}", timeout.as_secs_f64().max(0.001)),
    };
    format!(
        "SET SESSION autocommit = 1, completion_type = 'NO_CHAIN', wait_timeout = {IDLE_S}, {own}, \
        lock_wait_timeout = CAST(LEAST(@@lock_wait_timeout, {seconds}) AS UNSIGNED), \
        innodb_lock_wait_timeout = CAST(LEAST(@@innodb_lock_wait_timeout, {seconds}) AS UNSIGNED)"
    )
}

/// Ends what a session of the same account is at; a session may do that to its own account's.
async fn kill(endpoint: &Endpoint, id: u32) {
    let kill = async |connection: &mut Conn| connection.query_drop(format!("KILL QUERY {id}")).await;
    match tokio::time::timeout(GRACE, with(&endpoint.in_database(""), GRACE, kill)).await {
        Ok(Ok(())) => tracing::debug!("a probe's operation is killed"),
        Ok(Err(error)) => tracing::debug!(%error, "could not kill a probe's operation"),
        Err(_) => tracing::debug!("nobody answered who was to kill a probe's operation"),
    }
}

/// Of all results.
async fn rows(connection: &mut Conn, sql: &str) -> Result<Vec<Values>, DriverError> {
    let mut results = connection.query_iter(sql).await?;
    let mut rows = Vec::new();
    while !results.is_empty() {
        while let Some(row) = results.next().await? {
            rows.push(texts(row));
        }
    }
    // What a later statement was refused for is kept by the driver until somebody asks on.
    results.next().await?;
    Ok(rows)
}

/// `waited`: as long as its timeout.
fn failed(engine: EngineKind, error: DriverError, waited: bool) -> Failure {
    let DriverError::Server(said) = error else {
        return Failure { error: lost(with_causes(&error)), kind: FailureKind::Lost, class: Class::Other };
    };
    let error = SqlError { constraint: constraint(engine, &said), ..sql_error(&said, false) };
    let kind = match said.code {
        // ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN, ER_CONNECTION_KILLED, ER_SESSION_WAS_KILLED, ER_CLIENT_INTERACTION_TIMEOUT
        1053 | 1077 | 1927 | 3169 | 4031 => {
            let error = SqlError { code: CONNECTION_LOST.to_owned(), ..error };
            return Failure { error, kind: FailureKind::Lost, class: Class::Other };
        }
        // ER_LOCK_WAIT_TIMEOUT, ER_STATEMENT_TIMEOUT (MariaDB), ER_QUERY_TIMEOUT (MySQL)
        1205 | INTERRUPTED | 1969 | 3024 if waited => FailureKind::GaveUp,
        _ => FailureKind::Refused,
    };
    Failure { error, kind, class: class(said.code, &said.state) }
}

/// Chapters "Server Error Message Reference" of MySQL's manual and "MariaDB Error Code Reference".
fn class(number: u16, state: &str) -> Class {
    match number {
        1048 | 1364 => Class::MissingValue,
        1216 | 1217 | 1451 | 1452 | 1761 | 1762 => Class::ForeignKey,
        1022 | 1062 | 1586 | 1859 => Class::Unique,
        // ER_CHECK_CONSTRAINT_VIOLATED (MySQL), ER_CONSTRAINT_FAILED (MariaDB), and a row without a partition.
        3819 | 4025 | 1526 | 1748 => Class::Check,
        1044 | 1142 | 1143 | 1227 | 1370 => Class::Privilege,
        1054 => Class::NoColumn,
        1213 => Class::Deadlock,
        1644 => Class::Raised,
        // Dates of zeros, labels that are none, texts that are no numbers: what lax modes let in.
        1265 | 1292 | 1366 | 1411 | 1525 => Class::OldValue,
        _ if state.starts_with("45") => Class::Raised,
        _ if state.starts_with("23") => Class::OtherConstraint,
        _ if state.starts_with("22") => Class::OldValue,
        _ => Class::Other,
    }
}

/// The unique index or the check constraint that the server names.
fn constraint(engine: EngineKind, said: &ServerError) -> Option<String> {
    let message = said.message.as_str();
    let between = |from: &str, to: &str| Some(message.split_once(from)?.1.rsplit_once(to)?.0.to_owned());
    match (said.code, engine) {
        (1062, EngineKind::Mysql) => {
            let (_, key) = message.rsplit_once(" for key '")?;
            // With the table's name before it.
            let key = key.strip_suffix('\'')?;
            Some(key.rsplit_once('.').map_or(key, |(_, index)| index).to_owned())
        }
        (1062, _) => Some(message.rsplit_once(" for key '")?.1.strip_suffix('\'')?.to_owned()),
        (3819, _) => between("Check constraint '", "' is violated"),
        (4025, _) => between("CONSTRAINT `", "` failed for "),
        _ => None,
    }
}

/// Bytes of the binary log that there are (chapter "SHOW BINARY LOGS" of the manuals); none where it is off.
///
/// # Errors
/// The driver's.
pub(in crate::engine) async fn log_position(superuser: &Endpoint) -> Result<Option<u64>, DriverError> {
    with(&superuser.in_database(""), DEADLINE, async |connection| {
        if connection.query_first::<bool, _>("SELECT @@log_bin").await? != Some(true) {
            return Ok(None);
        }
        let files: Vec<Row> = connection.query("SHOW BINARY LOGS").await?;
        Ok(Some(files.iter().filter_map(|file| file.get::<u64, _>("File_size")).sum()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, state: &str, message: &str) -> DriverError {
        DriverError::Server(ServerError { code, state: state.into(), message: message.into() })
    }

    #[test]
    fn refusals_are_told_apart() {
        let check = |number, state: &str, waited, kind, of| {
            let failure = failed(EngineKind::Mariadb, said(number, state, "x"), waited);
            assert_eq!((failure.kind, failure.class), (kind, of), "{number}");
        };
        use FailureKind::{GaveUp, Lost, Refused};
        check(1364, "HY000", false, Refused, Class::MissingValue);
        check(1062, "23000", false, Refused, Class::Unique);
        check(1452, "23000", false, Refused, Class::ForeignKey);
        check(4025, "23000", false, Refused, Class::Check);
        check(1143, "42000", false, Refused, Class::Privilege);
        check(1054, "42S22", false, Refused, Class::NoColumn);
        check(1644, "45000", false, Refused, Class::Raised);
        check(1264, "22003", false, Refused, Class::OldValue);
        check(1146, "42S02", true, Refused, Class::Other);
        check(1213, "40001", true, Refused, Class::Deadlock);
        check(1205, "HY000", false, Refused, Class::Other);
        check(1205, "HY000", true, GaveUp, Class::Other);
        check(1969, "70100", true, GaveUp, Class::Other);
        check(1317, "70100", false, Refused, Class::Other);
        check(1927, "70100", false, Lost, Class::Other);
    }

    #[test]
    fn a_refusal_names_its_constraint() {
        let check = |engine, number, message: &str, expected: Option<&str>| {
            let error = failed(engine, said(number, "23000", message), false).error;
            assert_eq!(error.constraint.as_deref(), expected, "{message}");
            assert!(!error.message.contains("secret"), "{}", error.message);
        };
        let (mariadb, mysql) = (EngineKind::Mariadb, EngineKind::Mysql);
        check(mariadb, 1062, "Duplicate entry 'secret for key 'x'' for key 'PRIMARY'", Some("PRIMARY"));
        check(mysql, 1062, "Duplicate entry 'secret' for key 'carts.by_user'", Some("by_user"));
        check(mariadb, 4025, "CONSTRAINT `t.price` failed for `shop`.`t`", Some("t.price"));
        check(mysql, 3819, "Check constraint 't_chk_1' is violated.", Some("t_chk_1"));
        check(mysql, 1526, "Table has no partition for value 7", None);
    }
}
