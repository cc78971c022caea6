//! Which files are written (chapters "InnoDB File-Per-Table Tablespaces" of the manuals). Those of the log are open from the start.

use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::connect::{DriverError, in_time, with};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;

const DEADLINE: Duration = Duration::from_secs(10);

/// As [`crate::engine::files::written`].
///
/// # Errors
/// As there.
pub async fn written(superuser: &Endpoint) -> Result<Vec<String>, DriverError> {
    let view = if superuser.engine == EngineKind::Mysql { "innodb_tablespaces" } else { "innodb_sys_tablespaces" };
    let asked = format!("SELECT CONCAT(name, '.ibd') FROM information_schema.{view} WHERE name LIKE '%/%'");
    let server = superuser.in_database("");
    in_time(DEADLINE, with(&server, DEADLINE, async |connection| connection.query(asked).await)).await
}
