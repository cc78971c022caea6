//! In which files tables lie (chapter "Database File Layout" of the manual).

use std::collections::BTreeSet;
use std::time::Duration;

use super::connect::{DriverError, connect};
use crate::engine::endpoint::Endpoint;

const DEADLINE: Duration = Duration::from_secs(10);

/// As [`crate::engine::files::of_tables`].
///
/// # Errors
/// As there.
pub async fn of_tables(superuser: &Endpoint, names: Option<&BTreeSet<String>>) -> Result<Vec<String>, DriverError> {
    let connection = connect(superuser, DEADLINE).await?;
    let names: Option<Vec<&String>> = names.map(|names| names.iter().collect());
    // The path comes from the catalog alone.
    let asked = "WITH RECURSIVE named AS (
            SELECT class.oid, reltoastrelid FROM pg_catalog.pg_class AS class
            JOIN pg_catalog.pg_namespace AS schema ON schema.oid = relnamespace
            WHERE relkind IN ('r', 'p', 'm') AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
            AND ($1::text[] IS NULL OR lower(relname) = ANY ($1))
            UNION
            SELECT part.oid, part.reltoastrelid FROM named
            JOIN pg_catalog.pg_inherits ON inhparent = named.oid
            JOIN pg_catalog.pg_class AS part ON part.oid = inhrelid
        ), heaps AS (
            SELECT oid FROM named UNION SELECT reltoastrelid FROM named WHERE reltoastrelid <> 0
        ), all_of_them AS (
            SELECT oid FROM heaps UNION SELECT indexrelid FROM pg_catalog.pg_index JOIN heaps ON heaps.oid = indrelid
        )
        SELECT path FROM all_of_them, pg_catalog.pg_relation_filepath(oid) AS path WHERE path IS NOT NULL ORDER BY 1";
    let rows = connection.client.query(asked, &[&names]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
