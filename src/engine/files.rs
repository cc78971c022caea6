//! Which files of a server's data it opens for writing sooner or later, so that they can be seen to beforehand.

use crate::engine::endpoint::Endpoint;
use crate::engine::server::BoxError;
use crate::engine::{EngineKind, mysql, postgres};

/// Those of the wanted database's tables, and of the log; relative to the data's folder. A large one of Postgres has more behind it: `NAME.1`,
/// `NAME_fsm`. What is open for writing as soon as the server runs is not among them. Locks no table.
///
/// # Errors
/// The driver's.
pub async fn written(superuser: &Endpoint) -> Result<Vec<String>, BoxError> {
    Ok(match superuser.engine {
        EngineKind::Postgres => postgres::files::written(superuser).await?,
        EngineKind::Mysql | EngineKind::Mariadb => mysql::files::written(superuser).await?,
    })
}
