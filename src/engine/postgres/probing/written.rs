//! Tables that a session has locked to write to (chapter "pg_locks" of the manual): triggers' and cascades' among them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::catalog::display_name;
use crate::engine::postgres::connect::{DriverError, connect};

const DEADLINE: Duration = Duration::from_secs(10);

/// Whoever writes to a partition changes its table's rows, and locks the partition alone.
const WRITTEN: &str = "
SELECT DISTINCT n.nspname::text, c.relname::text
FROM pg_catalog.pg_locks l
CROSS JOIN LATERAL (
  SELECT l.relation UNION SELECT a.relid::oid FROM pg_catalog.pg_partition_ancestors(l.relation::regclass) a (relid)
) AS written (oid)
JOIN pg_catalog.pg_class c ON c.oid = written.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = $1 AND l.granted AND l.locktype = 'relation' AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// As long as its transaction is open; named as the catalog names them.
///
/// # Errors
/// The driver's.
pub(in crate::engine) async fn written(superuser: &Endpoint, session: i32) -> Result<BTreeSet<String>, DriverError> {
    let connection = connect(superuser, DEADLINE).await?;
    let rows = connection.client.query(WRITTEN, &[&session]).await?;
    Ok(rows.iter().map(|row| display_name(row.get(0), row.get(1))).collect())
}
