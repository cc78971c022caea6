//! In which files of a server's data its tables lie, so that they can be seen to beforehand.

use std::collections::BTreeSet;

use crate::engine::endpoint::Endpoint;
use crate::engine::server::BoxError;
use crate::engine::{EngineKind, mysql, postgres};

/// Files of the tables with these names (in lower case), their parts and indexes, or of all tables; relative to the data's folder. A large
/// one of Postgres has more behind it: `NAME.1`, `NAME_fsm`. Locks no table.
///
/// # Errors
/// The driver's.
pub async fn of_tables(superuser: &Endpoint, names: Option<&BTreeSet<String>>) -> Result<Vec<String>, BoxError> {
    Ok(match superuser.engine {
        EngineKind::Postgres => postgres::files::of_tables(superuser, names).await?,
        EngineKind::Mysql | EngineKind::Mariadb => mysql::files::of_tables(superuser, names).await?,
    })
}
