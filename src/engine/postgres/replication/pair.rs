//! How one of a pair stands to what the other wrote (chapters "Logical Replication" and "The Cumulative Statistics System" of the manual).
//!
//! Logical replication carries one database, which is not the heartbeat's: what it carries is told by positions in the writer's log.

use super::{CONNECT, DATABASE, bytes, open};
use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::connect::{Connection, DriverError, connect};
use crate::engine::replication::{Position, Standing};

/// Names, the same on both sides. No replica's slot is called so.
pub const PUBLICATION: &str = "rehearsal";
pub const SUBSCRIPTION: &str = "rehearsal";
pub const SLOT: &str = "rehearsal__pair";

/// Where a row is put to prove that rows arrive; gone before anybody looks.
const SCHEMA: &str = "rehearsal_proof";

/// A subscriber, and the server that it subscribes to.
pub struct PairPulse {
    subscriber: Connection,
    publisher: Connection,
    /// How often it had failed to apply something before anybody looked: what was mended since says nothing.
    failed_before: i64,
}

const SUBSCRIBED: &str = "SELECT subenabled, apply_error_count FROM pg_catalog.pg_subscription
    LEFT JOIN pg_catalog.pg_stat_subscription_stats ON subid = oid WHERE pg_subscription.subname = $1";

impl PairPulse {
    /// # Errors
    /// The driver's.
    pub async fn connect(subscriber: &Endpoint, publisher: &Endpoint) -> Result<PairPulse, DriverError> {
        let (subscriber, publisher) = (subscriber.in_database(DATABASE), publisher.in_database(DATABASE));
        let (subscriber, publisher) = futures::try_join!(open(&subscriber), open(&publisher))?;
        let row = subscriber.client.query_opt(SUBSCRIBED, &[&SUBSCRIPTION]).await?;
        let failed_before = row.and_then(|row| row.get::<_, Option<i64>>(1)).unwrap_or_default();
        Ok(PairPulse { subscriber, publisher, failed_before })
    }

    /// Up to where the subscriber has applied the other's log, in bytes; none while it has no slot there.
    ///
    /// # Errors
    /// The driver's.
    pub async fn applied(&self) -> Result<Option<u64>, DriverError> {
        Ok(self.slot().await?.map(|(applied, _)| applied))
    }

    /// # Errors
    /// The driver's.
    pub async fn standing(&self, to: &Position) -> Result<Standing, DriverError> {
        let row = self.subscriber.client.query_opt(SUBSCRIBED, &[&SUBSCRIPTION]).await?;
        let (Some(row), Some((applied, active))) = (row, self.slot().await?) else {
            let words = "its subscription is gone".to_owned();
            return Ok(Standing { halted: true, words, ..Standing::default() });
        };
        let failed = row.get::<_, Option<i64>>(1).unwrap_or_default();
        let (enabled, errors) = (row.get::<_, bool>(0), failed - self.failed_before);
        // There is no other kind of position here.
        let missing_bytes = match to {
            Position::Bytes(to) => Some(to.saturating_sub(applied)),
            Position::Gtid(_) => None,
        };
        let words = match (enabled, errors, active) {
            (false, ..) => "its subscription is disabled".to_owned(),
            (true, 1.., _) => format!("it failed {errors} times to apply what it received"),
            (true, _, false) => "it receives no log".to_owned(),
            (true, _, true) => "it receives the log and has not applied all of it".to_owned(),
        };
        Ok(Standing {
            has_it: missing_bytes == Some(0),
            missing_bytes,
            progress: applied,
            // A worker that fails is started again and again, and receives each time.
            receiving: active && errors == 0,
            halted: !enabled,
            words,
        })
    }

    /// Up to where it has applied the other's log, and whether it receives it. What was applied and is not on disk there yet is known only
    /// while it is connected.
    async fn slot(&self) -> Result<Option<(u64, bool)>, DriverError> {
        let slot =
            "SELECT pg_catalog.pg_wal_lsn_diff(greatest(slot.confirmed_flush_lsn, sender.replay_lsn), '0/0')::int8,
                slot.active
            FROM pg_catalog.pg_replication_slots AS slot
            LEFT JOIN pg_catalog.pg_stat_replication AS sender ON sender.pid = slot.active_pid
            WHERE slot.slot_name = $1";
        let row = self.publisher.client.query_opt(slot, &[&SLOT]).await?;
        Ok(row.map(|row| (bytes(row.get(0)), row.get(1))))
    }
}

/// Makes the table for the proof. To be made on both before they subscribe.
///
/// # Errors
/// The driver's.
pub async fn prepare_proof(superuser: &Endpoint) -> Result<(), DriverError> {
    let make = format!("CREATE SCHEMA {SCHEMA}; CREATE TABLE {SCHEMA}.row (number int PRIMARY KEY)");
    connect(superuser, CONNECT).await?.client.batch_execute(&make).await
}

/// # Errors
/// The driver's.
pub async fn put_proof(superuser: &Endpoint, number: i32) -> Result<(), DriverError> {
    let put = format!("INSERT INTO {SCHEMA}.row VALUES ($1)");
    connect(superuser, CONNECT).await?.client.execute(&put, &[&number]).await.map(|_| ())
}

/// Whether that row arrived.
///
/// # Errors
/// The driver's.
pub async fn has_proof(superuser: &Endpoint, number: i32) -> Result<bool, DriverError> {
    let seen = format!("SELECT 1 FROM {SCHEMA}.row WHERE number = $1");
    Ok(connect(superuser, CONNECT).await?.client.query_opt(&seen, &[&number]).await?.is_some())
}

/// Removes what the proof took.
///
/// # Errors
/// The driver's.
pub async fn remove_proof(superuser: &Endpoint) -> Result<(), DriverError> {
    let drop = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE");
    connect(superuser, CONNECT).await?.client.batch_execute(&drop).await
}
