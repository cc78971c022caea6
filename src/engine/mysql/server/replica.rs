//! A replica by GTID, which begins empty and gets everything from the other's binary log (chapters "Replication with Global Transaction
//! Identifiers" of MySQL's manual and "Global Transaction ID" of MariaDB's).

use std::sync::{Arc, OnceLock};

use mysql_async::prelude::Queryable;

use super::{SUPERUSER, Server, sql, within};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::host::Host;
use crate::engine::mysql::connect::with;
use crate::engine::mysql::names::literal;
use crate::engine::server::coming_up::ATTEMPT_DEADLINE;
use crate::engine::server::{self, ServerError, Wanted};

/// How soon a replica looks again for whom it lost, until the plan begins; the servers' own default holds from then on, save for a replica
/// that the plan restarts.
const RETRY_S: u32 = 1;

/// How often a MySQL that has nothing to send says so, likewise: only then does it see that it is being shut down, and without it a
/// shutdown takes 8 s.
const HEARTBEAT_S: u32 = 1;

/// What a replica replicates.
pub(super) struct Upstream {
    host: Arc<dyn Host>,
    /// Of its superuser.
    password: String,
}

impl Upstream {
    pub fn of(server: &dyn server::Server) -> Upstream {
        Upstream { host: Arc::clone(server.host()), password: server.password().to_owned() }
    }
}

impl Server {
    /// Makes a replica of a server of the same engine, which may be of an older version.
    ///
    /// # Errors
    /// As [`Server::init`].
    pub async fn replicate(
        engine: EngineKind,
        host: Arc<dyn Host>,
        wanted: Wanted,
        upstream: &dyn server::Server,
    ) -> Result<Server, ServerError> {
        let server = Server::on_existing(engine, host, wanted, upstream.password().to_owned())?;
        server.make().await?;
        Ok(Server { upstream: OnceLock::from(Upstream::of(upstream)), ..server })
    }

    /// The server of a clone, whose superuser has that password; of a replica, with a clone of whom it replicates.
    ///
    /// # Errors
    /// As [`Server::on_existing`].
    pub fn on_clone(
        engine: EngineKind,
        host: Arc<dyn Host>,
        wanted: Wanted,
        password: String,
        upstream: Option<&dyn server::Server>,
    ) -> Result<Server, ServerError> {
        let server = Server::on_existing(engine, host, wanted, password)?;
        let upstream = upstream.map_or_else(OnceLock::new, |upstream| OnceLock::from(Upstream::of(upstream)));
        Ok(Server { upstream, ..server })
    }

    /// Tells it where the other is, each time that it starts: a port may have changed.
    pub(super) async fn follow(&self, upstream: &Upstream, superuser: &Endpoint) -> Result<(), ServerError> {
        let what = "start replication";
        let (host, port) = upstream.host.peer_address().await?;
        let (host, user, password) = (literal(&host), literal(SUPERUSER), literal(&upstream.password));
        let statements = match self.engine {
            EngineKind::Mysql => [
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = {host}, SOURCE_PORT = {port}, SOURCE_USER = {user}, \
                     SOURCE_PASSWORD = {password}, SOURCE_CONNECT_RETRY = {RETRY_S}, SOURCE_HEARTBEAT_PERIOD = {HEARTBEAT_S}, \
                     SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1"
                ),
                "START REPLICA".to_owned(),
            ],
            _ => [
                format!(
                    "CHANGE MASTER TO MASTER_HOST = {host}, MASTER_PORT = {port}, MASTER_USER = {user}, \
                     MASTER_PASSWORD = {password}, MASTER_CONNECT_RETRY = {RETRY_S}, MASTER_USE_GTID = slave_pos"
                ),
                "START SLAVE".to_owned(),
            ],
        };
        within(what, async {
            with(&superuser.in_database(""), ATTEMPT_DEADLINE, async |connection| {
                for statement in statements {
                    connection.query_drop(statement).await?;
                }
                Ok(())
            })
            .await
            .map_err(sql(what))
        })
        .await
    }
}
