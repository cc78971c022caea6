//! How a subscriber, as each of a pair is, stands to what the other wrote (chapters "Logical Replication" and "The Cumulative Statistics System" of the manual).
//!
//! Logical replication carries one database, which is not the heartbeat's: what it carries is told by positions in the writer's log.

use std::sync::{Mutex, PoisonError};

use super::{CONNECT, DATABASE, bytes, open};
use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::connect::{Connection, DriverError, connect};
use crate::engine::postgres::subscription::PROOF;
use crate::engine::replication::{Position, Standing, Subscribed};

/// Names, the same on both sides. No replica's slot is called so.
pub const PUBLICATION: &str = "rehearsal";
pub const SUBSCRIPTION: &str = "rehearsal";
pub const SLOT: &str = "rehearsal__pair";

/// A subscriber, and the server that it subscribes to.
pub struct SubscriberPulse {
    subscriber: Connection,
    publisher: Connection,
    subscription: String,
    slot: String,
    /// [`SUBSCRIBED`], or what serves before it.
    asked: &'static str,
    /// How often it had failed to apply something before anybody looked: what was mended since says nothing.
    failed_before: i64,
    /// Where nobody counts its failures: the worker seen last, and how many there were before that one.
    workers: Mutex<(Option<i32>, i64)>,
}

const SUBSCRIBED: &str = "SELECT subenabled, apply_error_count, NULL::int4 FROM pg_catalog.pg_subscription
    LEFT JOIN pg_catalog.pg_stat_subscription_stats ON subid = oid WHERE pg_subscription.subname = $1";
/// Before version 15 failures are counted nowhere. A worker that fails is followed by another.
const SUBSCRIBED_BEFORE_15: &str = "SELECT subenabled, NULL::int8, pid FROM pg_catalog.pg_subscription
    LEFT JOIN pg_catalog.pg_stat_subscription ON subid = oid AND relid IS NULL WHERE pg_subscription.subname = $1";

impl SubscriberPulse {
    /// # Errors
    /// The driver's.
    pub async fn connect(subscriber: &Endpoint, to: &Subscribed) -> Result<SubscriberPulse, DriverError> {
        let (subscriber, publisher) = (subscriber.in_database(DATABASE), to.publisher.in_database(DATABASE));
        let (subscriber, publisher) = futures::try_join!(open(&subscriber), open(&publisher))?;
        let version = "SELECT pg_catalog.current_setting('server_version_num')::int4";
        let version: i32 = subscriber.client.query_one(version, &[]).await?.get(0);
        let asked = if version >= 150_000 { SUBSCRIBED } else { SUBSCRIBED_BEFORE_15 };
        let row = subscriber.client.query_opt(asked, &[&to.subscription]).await?;
        let failed_before = row.and_then(|row| row.get::<_, Option<i64>>(1)).unwrap_or_default();
        let (subscription, slot) = (to.subscription.clone(), to.slot.clone());
        let workers = Mutex::default();
        Ok(SubscriberPulse { subscriber, publisher, subscription, slot, asked, failed_before, workers })
    }

    /// How often it failed since somebody looks.
    fn failed(&self, counted: Option<i64>, worker: Option<i32>) -> i64 {
        if let Some(counted) = counted {
            return counted - self.failed_before;
        }
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, ended) = &mut *workers;
        if let Some(worker) = worker {
            let before = last.replace(worker);
            *ended += i64::from(before.is_some_and(|before| before != worker));
        }
        *ended
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
        let row = self.subscriber.client.query_opt(self.asked, &[&self.subscription]).await?;
        let (Some(row), Some((applied, active))) = (row, self.slot().await?) else {
            let words = "its subscription is gone".to_owned();
            return Ok(Standing { halted: true, words, ..Standing::default() });
        };
        let (enabled, errors) = (row.get::<_, bool>(0), self.failed(row.get(1), row.get(2)));
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
        let row = self.publisher.client.query_opt(slot, &[&self.slot]).await?;
        Ok(row.map(|row| (bytes(row.get(0)), row.get(1))))
    }
}

/// Makes the table for the proof, where it is not there for another subscriber. To be made on both before they subscribe.
///
/// # Errors
/// The driver's.
pub async fn prepare_proof(superuser: &Endpoint) -> Result<(), DriverError> {
    let make =
        format!("CREATE SCHEMA IF NOT EXISTS {PROOF}; CREATE TABLE IF NOT EXISTS {PROOF}.row (number int PRIMARY KEY)");
    connect(superuser, CONNECT).await?.client.batch_execute(&make).await
}

/// # Errors
/// The driver's.
pub async fn put_proof(superuser: &Endpoint, number: i32) -> Result<(), DriverError> {
    let put = format!("INSERT INTO {PROOF}.row VALUES ($1)");
    connect(superuser, CONNECT).await?.client.execute(&put, &[&number]).await.map(|_| ())
}

/// Whether that row arrived.
///
/// # Errors
/// The driver's.
pub async fn has_proof(superuser: &Endpoint, number: i32) -> Result<bool, DriverError> {
    let seen = format!("SELECT 1 FROM {PROOF}.row WHERE number = $1");
    Ok(connect(superuser, CONNECT).await?.client.query_opt(&seen, &[&number]).await?.is_some())
}

/// Removes what the proof took.
///
/// # Errors
/// The driver's.
pub async fn remove_proof(superuser: &Endpoint) -> Result<(), DriverError> {
    let drop = format!("DROP SCHEMA IF EXISTS {PROOF} CASCADE");
    connect(superuser, CONNECT).await?.client.batch_execute(&drop).await
}
