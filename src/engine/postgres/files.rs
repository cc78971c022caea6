//! Which files are written (chapters "Database File Layout" and "WAL Configuration" of the manual).

use std::time::Duration;

use super::connect::{DriverError, connect};
use crate::engine::endpoint::Endpoint;

const DEADLINE: Duration = Duration::from_secs(10);

/// As [`crate::engine::files::written`].
///
/// # Errors
/// As there.
pub async fn written(superuser: &Endpoint) -> Result<Vec<String>, DriverError> {
    let connection = connect(superuser, DEADLINE).await?;
    // The path comes from the catalog alone. Segments of the log are used again under other names.
    let asked = "SELECT path FROM pg_catalog.pg_class AS class
        JOIN pg_catalog.pg_namespace AS schema ON schema.oid = relnamespace,
        pg_catalog.pg_relation_filepath(class.oid) AS path
        WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND path IS NOT NULL
        UNION ALL SELECT 'pg_wal/' || name FROM pg_catalog.pg_ls_waldir()";
    let rows = connection.client.query(asked, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
