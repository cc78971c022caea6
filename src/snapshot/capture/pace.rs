//! A bound on what all workers together read a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may be read at once after a while without reading.
const AHEAD: Duration = Duration::from_millis(200);

/// Lets through so many bytes a second.
pub(super) struct Pace {
    bytes_per_second: u64,
    /// When all that was let through is paid for.
    paid: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Pace {
        Pace { bytes_per_second: bytes_per_second.max(1), paid: Mutex::new(Instant::now()) }
    }

    /// Waits until these bytes, which were read just now, are paid for.
    pub(super) async fn pay(&self, bytes: usize) {
        tokio::time::sleep_until(self.paid_at(Instant::now(), bytes)).await;
    }

    fn paid_at(&self, now: Instant, bytes: usize) -> Instant {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = (*paid).max(now.checked_sub(AHEAD).unwrap_or(now)) + cost;
        *paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_holds_over_all_who_read() {
        let pace = Pace::new(1000);
        let now = Instant::now() + Duration::from_secs(1);
        let paid_after = |at: Instant, bytes| pace.paid_at(at, bytes).duration_since(now).as_millis();
        assert_eq!([paid_after(now, 500), paid_after(now, 500), paid_after(now, 2000)], [300, 800, 2800]);
        // Time in which nobody read is not saved up, but for a moment.
        assert_eq!(paid_after(now + Duration::from_secs(60), 1000), 60_800);
    }
}
