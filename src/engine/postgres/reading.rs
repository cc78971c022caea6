//! Reading sessions: a connection inside one read-only snapshot, with settings under which equal values print alike on any server.

use std::time::Duration;

use tokio_postgres::{CancelToken, NoTls, Row};

use super::connect::{Connection, connect};
use super::error::Told;
use crate::engine::endpoint::Endpoint;
use crate::engine::reading::ReadError;

/// The oldest server that the catalog queries are written for, as `server_version_num` counts.
const OLDEST: u32 = 130_000;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// What a session needs so that a value's text does not depend on the server's configuration, and so that a filter of row security
/// or a lock somebody holds becomes an error and not a silent gap or a hang.
///
/// Names are looked up in `pg_catalog` alone: nothing that a user put into another schema can stand in for what is called here.
const SETTINGS: &str = "
    SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres';
    SET extra_float_digits = 3; SET bytea_output = 'hex'; SET xmloption = 'content'; SET lc_monetary = 'C';
    SET row_security = off; SET lock_timeout = '30s'; SET statement_timeout = 0;
    SET idle_in_transaction_session_timeout = 0; SET default_transaction_deferrable = off; SET jit = off;
    SET work_mem = '32MB'";

/// From 17 on sessions have a limit for whole transactions, of which this is one.
///
/// A client that is gone without a word would leave its locks there for hours: two of the system's hours until the first probe. The last is of
/// what was sent and is not taken, which a slow client's rows are as well.
const LATER: &str = "
    SELECT set_config(s.name, l.value, false)
      FROM (VALUES ('transaction_timeout', '0'), ('tcp_keepalives_idle', '60'), ('tcp_keepalives_interval', '15'),
                   ('tcp_keepalives_count', '4'), ('tcp_user_timeout', '900000')) l(name, value)
      JOIN pg_settings s ON s.name = l.name";

/// For [`cancel`].
pub type Canceller = CancelToken;

/// A session that sees one moment of one database, and changes nothing.
pub struct Reading {
    connection: Connection,
    endpoint: Endpoint,
    /// As `server_version_num`: 150018.
    pub version: u32,
    /// The database's encoding: "UTF8".
    pub encoding: String,
    /// A standby.
    pub in_recovery: bool,
    snapshot: String,
}

/// As [`crate::engine::reading::Reading::begin`]; never fewer.
///
/// # Errors
/// As there.
pub async fn begin(endpoint: &Endpoint, sessions: usize) -> Result<Vec<Reading>, ReadError> {
    let first = Reading::begin(endpoint).await?;
    let others = (1..sessions).map(|_| first.another());
    let others = futures::future::try_join_all(others).await?;
    Ok(std::iter::once(first).chain(others).collect())
}

impl Reading {
    /// Connects and takes a snapshot that further sessions can share.
    async fn begin(endpoint: &Endpoint) -> Result<Reading, ReadError> {
        let connection = open(endpoint).await?;
        let failed = query_failed("the server's version");
        let row = connection
            .client
            .query_one(
                "SELECT current_setting('server_version_num')::int4, current_setting('server_version'), \
                 current_setting('server_encoding'), pg_is_in_recovery(), pg_export_snapshot()",
                &[],
            )
            .await
            .map_err(failed)?;
        let version = u32::try_from(row.get::<_, i32>(0)).unwrap_or_default();
        if version < OLDEST {
            let runs = format!("Postgres {}", row.get::<_, String>(1));
            return Err(ReadError::TooOld { at: format!("{endpoint:?}"), runs, oldest: "13" });
        }
        Ok(Reading {
            connection,
            endpoint: endpoint.clone(),
            version,
            encoding: row.get(2),
            in_recovery: row.get(3),
            snapshot: row.get(4),
        })
    }

    /// Another session that sees the same moment, for as long as this one lives.
    async fn another(&self) -> Result<Reading, ReadError> {
        let connection = open(&self.endpoint).await?;
        // The name comes from the server and holds hexadecimal digits and dashes only.
        let sql = format!("SET TRANSACTION SNAPSHOT '{}'", self.snapshot);
        connection.client.batch_execute(&sql).await.map_err(query_failed("from the shared snapshot"))?;
        Ok(Reading {
            connection,
            endpoint: self.endpoint.clone(),
            encoding: self.encoding.clone(),
            snapshot: self.snapshot.clone(),
            ..*self
        })
    }

    /// For [`cancel`], once the session is busy.
    pub fn canceller(&self) -> Canceller {
        self.connection.client.cancel_token()
    }

    /// What other sessions name to see the same moment.
    pub(super) fn snapshot(&self) -> &str {
        &self.snapshot
    }

    pub(super) async fn rows(&self, what: &str, sql: &str) -> Result<Vec<Row>, ReadError> {
        self.client().query(sql, &[]).await.map_err(query_failed(what))
    }

    pub(super) fn client(&self) -> &tokio_postgres::Client {
        &self.connection.client
    }
}

/// Ends what the session runs.
pub async fn cancel(session: &Canceller) {
    let asked = tokio::time::timeout(CONNECT_DEADLINE, session.cancel_query(NoTls)).await;
    if !matches!(asked, Ok(Ok(()))) {
        tracing::debug!("a query could not be cancelled");
    }
}

/// What the server says while it reads rows may hold some of their values.
pub(super) fn query_failed(what: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> ReadError {
    move |error| ReadError::Query { what: what.into(), source: Told::from(&error).into() }
}

async fn open(endpoint: &Endpoint) -> Result<Connection, ReadError> {
    let failed =
        |source: tokio_postgres::Error| ReadError::Connect { at: format!("{endpoint:?}"), source: source.into() };
    let connection = connect(endpoint, CONNECT_DEADLINE).await.map_err(failed)?;
    connection.client.batch_execute(SETTINGS).await.map_err(failed)?;
    connection.client.batch_execute(LATER).await.map_err(failed)?;
    connection.client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(failed)?;
    Ok(connection)
}
