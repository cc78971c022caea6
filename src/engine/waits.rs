//! Who waits for a lock, and behind whom, whatever the engine.

use std::time::Duration;

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::server::BoxError;
use crate::engine::{mysql, postgres};

/// A session of the observer's own. Its statements end by themselves within a second.
pub enum Waits {
    Postgres(Box<postgres::waits::Waits>),
    Mysql(Box<mysql::waits::Waits>),
}

/// A session that waits for a lock; it waits for one at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The server's number for it: a process id on Postgres, a connection id on MySQL and MariaDB.
    pub pid: i32,
    /// What it waits for, as far as two waits can be told apart.
    pub target: String,
    /// The engine's name, on Postgres without "Lock": "AccessExclusive", "SHARED_READ", "row X".
    pub mode: String,
    /// "orders" in the usual schema or the endpoint's database, else with its schema or database; none for what is no relation, or not
    /// visible yet.
    pub relation: Option<String>,
    /// How long so far, where the server says.
    pub waited: Option<Duration>,
    /// Directly in its way, whether they hold the lock or queue before it. 0 is a prepared transaction.
    pub blockers: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackEnd {
    pub pid: i32,
    /// How it calls itself, or whose login it is.
    pub application: String,
    /// What it is of the server's own: "autovacuum", "replication"; none for a session.
    pub server: Option<String>,
    /// Its current or last statement, as long as the server keeps it.
    pub sql: String,
}

/// A session of somebody who came to the server: none of the server's own, nor a replica's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub pid: i32,
    /// How it calls itself, or whose login it is.
    pub application: String,
    pub user: String,
}

impl Waits {
    /// # Errors
    /// The driver's.
    pub async fn connect(superuser: &Endpoint) -> Result<Waits, BoxError> {
        Ok(match superuser.engine {
            EngineKind::Postgres => Waits::Postgres(Box::new(postgres::waits::Waits::connect(superuser).await?)),
            EngineKind::Mysql | EngineKind::Mariadb => {
                Waits::Mysql(Box::new(mysql::waits::Waits::connect(superuser).await?))
            }
        })
    }

    /// Everyone who waits now: on Postgres in this database, on MySQL and MariaDB on the server. Costs one cheap query when nobody does.
    ///
    /// # Errors
    /// The driver's; a closed connection stays closed.
    pub async fn look(&self) -> Result<Vec<Waiting>, BoxError> {
        Ok(match self {
            Waits::Postgres(waits) => waits.look().await?,
            Waits::Mysql(waits) => waits.look().await?,
        })
    }

    /// What those sessions are; one that has ended meanwhile is missing.
    ///
    /// # Errors
    /// As of [`Waits::look`].
    pub async fn back_ends(&self, pids: &[i32]) -> Result<Vec<BackEnd>, BoxError> {
        Ok(match self {
            Waits::Postgres(waits) => waits.back_ends(pids).await?,
            Waits::Mysql(waits) => waits.back_ends(pids).await?,
        })
    }

    /// Everyone who is on the server now, but this session.
    ///
    /// # Errors
    /// As of [`Waits::look`].
    pub async fn clients(&self) -> Result<Vec<Client>, BoxError> {
        Ok(match self {
            Waits::Postgres(waits) => waits.clients().await?,
            Waits::Mysql(waits) => waits.clients().await?,
        })
    }

    pub fn is_closed(&self) -> bool {
        match self {
            Waits::Postgres(waits) => waits.is_closed(),
            Waits::Mysql(waits) => waits.is_closed(),
        }
    }
}

/// The statement with every string and number in it replaced by "…": programs write values into their SQL.
pub fn without_literals(engine: EngineKind, sql: &str) -> String {
    match engine {
        EngineKind::Postgres => postgres::waits::without_literals(sql),
        EngineKind::Mysql | EngineKind::Mariadb => mysql::blot::without_literals(sql, engine),
    }
}
