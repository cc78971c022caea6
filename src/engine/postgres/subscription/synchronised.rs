//! Whether a subscriber has the rows that were there when it subscribed (`pg_subscription_rel`).

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::catalog::display_name;
use crate::engine::postgres::connect::{Connection, DriverError, connect};
use crate::engine::server::coming_up::ATTEMPT_DEADLINE;
use crate::engine::subscription::Missing;

/// Workers that a table's copy took, one after the other, from which on it fails for a reason that will not pass. Each failure starts
/// another.
const WORKERS_MAX: usize = 3;

/// A look at the first copies of a subscription's tables.
pub struct Copies {
    connection: Connection,
    subscription: String,
    /// By table, each worker that was seen at it.
    workers: BTreeMap<u32, BTreeSet<i32>>,
}

impl Copies {
    /// # Errors
    /// The driver's.
    pub async fn connect(subscriber: &Endpoint, subscription: &str) -> Result<Copies, DriverError> {
        let connection = connect(&subscriber.named("rehearsal replication"), ATTEMPT_DEADLINE).await?;
        Ok(Copies { connection, subscription: subscription.to_owned(), workers: BTreeMap::new() })
    }

    /// Tables that are not copied, or have not come to where the others are.
    ///
    /// # Errors
    /// The driver's.
    pub async fn missing(&mut self) -> Result<Missing, DriverError> {
        let asked = "SELECT class.oid, schema.nspname::text, class.relname::text, worker.pid
            FROM pg_catalog.pg_subscription AS subscription
            JOIN pg_catalog.pg_subscription_rel AS part ON part.srsubid = subscription.oid
            JOIN pg_catalog.pg_class AS class ON class.oid = part.srrelid
            JOIN pg_catalog.pg_namespace AS schema ON schema.oid = class.relnamespace
            LEFT JOIN pg_catalog.pg_stat_subscription AS worker
              ON worker.subid = subscription.oid AND worker.relid = part.srrelid
            WHERE subscription.subname = $1 AND part.srsubstate <> 'r'
            ORDER BY 2, 3";
        let rows = self.connection.client.query(asked, &[&self.subscription]).await?;
        let mut tables = Vec::new();
        let mut failing = false;
        for row in &rows {
            let seen = self.workers.entry(row.get(0)).or_default();
            seen.extend(row.get::<_, Option<i32>>(3));
            failing |= seen.len() > WORKERS_MAX;
            tables.push(display_name(row.get(1), row.get(2)));
        }
        Ok(Missing { tables, failing })
    }
}
