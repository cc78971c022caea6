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
/// own: it commits by itself, and its statements may take their time, whatever the server's settings.
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
    connection.disconnect().await?;
    Ok(done)
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
    match tokio::time::timeout(deadline, opening).await {
        Ok(opened) => opened,
        Err(_) => {
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {deadline:?}")).into())
        }
    }
}
