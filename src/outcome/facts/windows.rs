//! What users waited for: windows of downtime, and waits for locks.

use crate::event::{DownCause, Downtime, Session, SqlError};
use crate::stats::Interval;

pub struct WindowFacts<'a> {
    pub seq: u64,
    pub window: u64,
    pub probe: u32,
    pub interval: Interval,
    pub cause: DownCause,
    /// None while the window is still open in a killed run's log.
    pub down: Option<&'a Downtime>,
}

pub struct WaitFacts<'a> {
    pub seq: u64,
    pub wait: u64,
    pub started_ms: f64,
    pub elapsed_ms: Option<f64>,
    pub waiter: &'a Session,
    pub relation: Option<&'a str>,
    pub mode: &'a str,
    pub blockers: &'a [Session],
}

impl WindowFacts<'_> {
    pub fn error(&self) -> Option<&SqlError> {
        self.down.and_then(|down| down.error.as_ref())
    }

    /// When the first error came back; its intended start, where the log does not say.
    pub fn refused_ms(&self) -> f64 {
        self.down.and_then(|down| down.first_error_ms).unwrap_or(self.interval.start_ms)
    }

    pub fn blocked_by(&self) -> &[Session] {
        self.down.map_or(&[], |down| &down.blocked_by)
    }

    /// Down until the probes ended, or until the log did.
    pub fn to_the_end(&self) -> bool {
        self.down.is_none_or(|down| down.to_the_end)
    }

    /// The server refused the operation; one that gave up waiting for an answer or a lock, or that a deadlock ended, was only late: done
    /// again, it is done.
    pub fn refused(&self) -> bool {
        match self.error() {
            Some(error) => !is_only_late(&error.code),
            None => self.cause == DownCause::Error,
        }
    }
}

/// Whether that code says that a statement waited for too long, or was undone for others' sake.
pub fn is_only_late(code: &str) -> bool {
    const QUERY_CANCELED: &str = "57014";
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const DEADLOCK_DETECTED: &str = "40P01";
    // ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK, ER_QUERY_INTERRUPTED, ER_STATEMENT_TIMEOUT (MariaDB), ER_QUERY_TIMEOUT (MySQL).
    const OF_MYSQL: [&str; 5] = ["1205", "1213", "1317", "1969", "3024"];
    [QUERY_CANCELED, LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED].contains(&code) || OF_MYSQL.contains(&code)
}
