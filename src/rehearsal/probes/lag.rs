//! How late the harness itself runs: how late timers wake on the probes' own thread, theirs and one that goes on while all of them wait.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::Event;

/// Distance of that timer's wakes. Each costs CPU time that the plan might want, and a stall that matters lasts longer.
pub const EVERY: Duration = Duration::from_millis(20);

/// Wakes no later than this are what timers of a millisecond do, and not kept.
const NOTABLE: Duration = Duration::from_millis(3);

/// Notable wakes that are remembered.
const REMEMBERED: usize = 4096;

#[derive(Debug, Default)]
pub struct Lag {
    /// When the timer should have woken, and how much later it did.
    notable: VecDeque<(Instant, Duration)>,
    since_last: Vec<Duration>,
}

impl Lag {
    pub fn woke(&mut self, intended: Instant, late: Duration) {
        self.since_last.push(late);
        if late > NOTABLE {
            if self.notable.len() == REMEMBERED {
                self.notable.pop_front();
            }
            self.notable.push_back((intended, late));
        }
    }

    /// The worst that overlaps these moments.
    pub fn between(&self, from: Instant, to: Instant) -> Duration {
        let overlapping = self.notable.iter().filter(|(intended, late)| *intended <= to && *intended + *late >= from);
        overlapping.map(|(_, late)| *late).max().unwrap_or_default()
    }

    /// What was seen since the last call.
    pub fn take(&mut self) -> Option<Event> {
        self.since_last.sort();
        let max = *self.since_last.last()?;
        let p99 = self.since_last[(self.since_last.len() - 1) * 99 / 100];
        self.since_last.clear();
        Some(Event::HarnessLag { max_ms: max.as_secs_f64() * 1e3, p99_ms: p99.as_secs_f64() * 1e3 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_overlaps_counts() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let mut lag = Lag::default();
        lag.woke(at(100), Duration::from_millis(50));
        lag.woke(at(400), Duration::from_millis(1));
        let check = |from, to, expected| assert_eq!(lag.between(at(from), at(to)), Duration::from_millis(expected));
        check(0, 90, 0);
        check(0, 110, 50);
        check(140, 500, 50);
        check(160, 500, 0);
    }
}
