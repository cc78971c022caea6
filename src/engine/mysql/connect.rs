//! Connections: one driver for both engines. It sets nothing in a session but the character set of the connection, utf8mb4.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;

/// What the driver reports, for those who only pass it on.
pub type DriverError = mysql_async::Error;

/// The most that either server takes at once.
const MOST_BYTES: usize = 1 << 30;
/// For a session to take its leave.
const LEAVE: Duration = Duration::from_secs(3);
/// For the driver's own reckoning alone.
const WAIT_TIMEOUT_S: usize = 28_800;

/// The driver's configuration for an endpoint.
fn options(endpoint: &Endpoint) -> OptsBuilder {
    let database = (!endpoint.database.is_empty()).then_some(endpoint.database.as_str());
    let options = OptsBuilder::default()
        .ip_or_hostname(&endpoint.host)
        .tcp_port(endpoint.port)
        .user(Some(&endpoint.user))
        .pass(Some(&endpoint.password))
        .db_name(database)
        .prefer_socket(false)
        // Given, they are not asked for: a session's first statement is its owner's.
        .max_allowed_packet(Some(MOST_BYTES))
        .wait_timeout(Some(WAIT_TIMEOUT_S));
    match endpoint.application.as_str() {
        "" => options,
        // As the engines' own clients call themselves.
        application => options.connect_attribute("program_name", application),
    }
}

/// Connects, does the work, and takes its leave: a session that only ends is a warning in the server's log. Such a session is the tool's
/// own: it commits by itself, and its statements may take their time, whatever the server's settings. `deadline` is of the connecting alone:
/// whoever calls this times the work, by [`in_time`] or otherwise.
///
/// # Errors
/// The driver's.
pub async fn with<T>(
    endpoint: &Endpoint,
    deadline: Duration,
    work: impl AsyncFnOnce(&mut Conn) -> Result<T, DriverError>,
) -> Result<T, DriverError> {
    let own = if endpoint.application.is_empty() { &endpoint.named("rehearsal") } else { endpoint };
    let mut connection = opened(own, &format!("SET SESSION {}", own_settings(endpoint.engine)), deadline).await?;
    let done = work(&mut connection).await?;
    leave(connection).await;
    Ok(done)
}

/// Ends a session in order, or lets go of it where the server does not take notice.
pub async fn leave(connection: Conn) {
    if let Err(error) = in_time(LEAVE, connection.disconnect()).await {
        tracing::debug!(%error, "a session did not end in order");
    }
}

/// # Errors
/// The driver's, or that there was no answer in time: a connection that was asked is of no use any more.
pub async fn in_time<T>(
    deadline: Duration,
    asking: impl Future<Output = Result<T, DriverError>>,
) -> Result<T, DriverError> {
    match tokio::time::timeout(deadline, asking).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {deadline:?}")).into())
        }
    }
}

/// What the tool's own sessions set.
pub fn own_settings(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Mysql => "autocommit = 1, max_execution_time = 0",
        _ => "autocommit = 1, max_statement_time = 0",
    }
}

/// The comment with which a session of that application begins, so that it is known for the tool's own from its first statement on, even
/// when it has ended; none for a session that must be like any other's.
fn begins(application: &str) -> String {
    if application.is_empty() { String::new() } else { format!("/* {} */ ", application.replace("*/", "")) }
}

/// The application that a session's first statement names.
pub fn application_of(first: &str) -> Option<&str> {
    first.strip_prefix("/* ")?.split_once(" */").map(|(application, _)| application)
}

/// Connects and sends a first statement, both within `deadline`: whatever has the port may accept a connection and never say anything. The
/// endpoint's application stands before it in a comment; a session of the tool's own has one that begins with "rehearsal".
///
/// # Errors
/// The driver's, when the server refuses or does not answer in time.
pub async fn opened(endpoint: &Endpoint, first: &str, deadline: Duration) -> Result<Conn, DriverError> {
    let opening = async {
        let mut connection = Conn::new(options(endpoint)).await?;
        connection.query_drop(format!("{}{first}", begins(&endpoint.application))).await?;
        Ok(connection)
    };
    in_time(deadline, opening).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_never_answers_is_not_waited_for() {
        let silent = std::future::pending::<Result<(), DriverError>>();
        let error = in_time(Duration::from_millis(3), silent).await.expect_err("nobody answered");
        assert!(error.to_string().contains("no answer within 3ms"), "{error}");
        assert_eq!(in_time(LEAVE, async { Ok(7) }).await.expect("answered"), 7);
    }
}
