//! Tables that a session has locked to write to (chapters "The metadata_locks Table" of the manuals): triggers' and cascades' among them.

use std::collections::BTreeSet;
use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::read::SYSTEM;
use crate::engine::endpoint::Endpoint;
use crate::engine::mysql::connect::{DriverError, in_time, with};

const DEADLINE: Duration = Duration::from_secs(10);

/// As long as its transaction is open. One of another database has that before its name.
///
/// # Errors
/// The driver's.
pub(in crate::engine) async fn written(superuser: &Endpoint, session: i32) -> Result<BTreeSet<String>, DriverError> {
    let asked = format!(
        "SELECT m.object_schema, m.object_name FROM performance_schema.metadata_locks m
        JOIN performance_schema.threads t ON t.thread_id = m.owner_thread_id
        WHERE t.processlist_id = {session} AND m.object_type = 'TABLE' AND m.lock_status = 'GRANTED'
            AND m.lock_type IN ('SHARED_WRITE', 'SHARED_WRITE_LOW_PRIO', 'SHARED_NO_READ_WRITE', 'EXCLUSIVE')
            AND m.object_schema NOT IN {SYSTEM}"
    );
    let look = async |connection: &mut mysql_async::Conn| connection.query::<(String, String), _>(asked).await;
    let rows = in_time(DEADLINE, with(superuser, DEADLINE, look)).await?;
    let named = |(schema, name): (String, String)| match schema == superuser.database {
        true => name,
        false => format!("{schema}.{name}"),
    };
    Ok(rows.into_iter().map(named).collect())
}
