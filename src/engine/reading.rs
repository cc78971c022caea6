//! Sessions that read one moment of one database and change nothing, whatever the engine.

use super::endpoint::Endpoint;
use super::server::BoxError;
use super::{EngineKind, mysql, postgres};

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// `at` is the endpoint without its password.
    #[error("could not connect to {at}")]
    Connect { at: String, source: BoxError },
    #[error("{at} runs {runs}, and {oldest} is the oldest that can be read")]
    TooOld { at: String, runs: String, oldest: &'static str },
    /// The source holds no row values.
    #[error("could not read {what}")]
    Query { what: String, source: BoxError },
    #[error("the server described {what} in an unknown form")]
    Form { what: String, source: BoxError },
}

/// A session that sees one moment of one database, and changes nothing. Equal values print alike on any server of its engine.
pub enum Reading {
    Postgres(Box<postgres::reading::Reading>),
    Mysql(Box<mysql::reading::Reading>),
}

impl Reading {
    /// Connects with as many sessions as asked for, all of which see the same moment for as long as the first one lives; with fewer,
    /// but one at least, where the server cannot give more that do.
    ///
    /// # Errors
    /// [`ReadError`] if the server is out of reach, refuses, or is too old.
    pub async fn begin(endpoint: &Endpoint, sessions: usize) -> Result<Vec<Reading>, ReadError> {
        match endpoint.engine {
            EngineKind::Postgres => {
                let readings = postgres::reading::begin(endpoint, sessions).await?;
                Ok(readings.into_iter().map(|reading| Reading::Postgres(Box::new(reading))).collect())
            }
            EngineKind::Mysql | EngineKind::Mariadb => {
                let readings = mysql::reading::begin(endpoint, sessions).await?;
                Ok(readings.into_iter().map(|reading| Reading::Mysql(Box::new(reading))).collect())
            }
        }
    }

    /// The encoding of text when it is hashed: "UTF8".
    pub fn encoding(&self) -> &str {
        match self {
            Reading::Postgres(reading) => &reading.encoding,
            Reading::Mysql(_) => "utf8mb4",
        }
    }

    /// A standby that cannot read unlogged tables.
    pub fn in_recovery(&self) -> bool {
        match self {
            Reading::Postgres(reading) => reading.in_recovery,
            Reading::Mysql(_) => false,
        }
    }

    /// For [`cancel`], once the session is busy.
    pub fn canceller(&self) -> Canceller {
        match self {
            Reading::Postgres(reading) => Canceller::Postgres(reading.canceller()),
            Reading::Mysql(reading) => Canceller::Mysql(reading.canceller()),
        }
    }

    /// Takes its leave.
    pub async fn end(self) {
        match self {
            // Its server says nothing of a session that only ends.
            Reading::Postgres(_) => {}
            Reading::Mysql(reading) => reading.end().await,
        }
    }
}

/// Ends what one session runs.
pub enum Canceller {
    Postgres(postgres::reading::Canceller),
    Mysql(mysql::reading::Canceller),
}

/// Ends whatever these sessions run on the server; a connection merely dropped would leave a long scan running to its end.
pub async fn cancel(sessions: &[Canceller]) {
    for session in sessions {
        match session {
            Canceller::Postgres(session) => postgres::reading::cancel(session).await,
            Canceller::Mysql(session) => mysql::reading::cancel(session).await,
        }
    }
}
