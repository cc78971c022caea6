//! How often each probe operates: often enough to see, too seldom to disturb.

use std::time::{Duration, Instant};

/// An operation takes at most this share of its interval: one in a hundred.
const REST: u32 = 100;

/// All operations on touched tables together, a second: beyond this the plan itself slows down.
const TOUCHED_PER_S: f64 = 500.0;

/// Fresh connections cost the server most.
pub const CONNECT_EVERY: Duration = Duration::from_millis(200);

/// Of the sequence values left, what the probes may use up.
const BURNT_SHARE: f64 = 0.05;

/// Over this long at least.
const BURNT_OVER: Duration = Duration::from_secs(30 * 60);

/// What decides on a probe's interval.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub touched: bool,
    /// A custom probe's own interval.
    pub every: Option<Duration>,
    /// Of one operation alone.
    pub median: Duration,
    /// Sequence values used up by each operation, and those left.
    pub burns: Option<(u64, u64)>,
}

/// Interval of each probe, in their order.
pub fn intervals(wishes: &[Wish], every: Duration, budget_per_s: f64) -> Vec<Duration> {
    let untouched = wishes.iter().filter(|wish| !wish.touched && wish.every.is_none()).count();
    let shared = Duration::try_from_secs_f64(untouched as f64 / budget_per_s).unwrap_or(Duration::MAX).max(every);
    let asked: Vec<Duration> = wishes
        .iter()
        .map(|wish| {
            let asked = wish.every.unwrap_or(if wish.touched { every } else { shared });
            asked.max(rested(wish.median)).max(wish.burns.map_or(Duration::ZERO, spread))
        })
        .collect();
    let busy: f64 = wishes
        .iter()
        .zip(&asked)
        .filter(|(wish, _)| wish.touched && wish.every.is_none())
        .map(|(_, asked)| 1.0 / asked.as_secs_f64())
        .sum();
    let stretch = (busy / TOUCHED_PER_S).max(1.0);
    wishes
        .iter()
        .zip(asked)
        .map(|(wish, asked)| if wish.touched && wish.every.is_none() { asked.mul_f64(stretch) } else { asked })
        .collect()
}

/// The shortest interval for operations that take this long.
pub fn rested(median: Duration) -> Duration {
    median * REST
}

/// The shortest time in which so many probes may run once each.
pub fn round(probes: usize) -> Duration {
    Duration::from_secs_f64(probes as f64 / TOUCHED_PER_S)
}

/// Operations until the probe must stop, for the sake of the sequence.
pub fn allowance((each, left): (u64, u64)) -> u64 {
    (left as f64 * BURNT_SHARE) as u64 / each.max(1)
}

fn spread(burns: (u64, u64)) -> Duration {
    match allowance(burns) {
        0 => BURNT_OVER,
        operations => BURNT_OVER.div_f64(operations as f64),
    }
}

/// Intended starts: a fixed grid in time.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    origin: Instant,
    every: Duration,
}

impl Grid {
    /// `nth` probe of those that begin together: each has its own offset, evenly spread however many there are.
    pub fn new(begin: Instant, every: Duration, nth: usize) -> Grid {
        const GOLDEN: f64 = 0.618_033_988_749_895;
        Grid { origin: begin + every.mul_f64((nth as f64 * GOLDEN).fract()), every }
    }

    /// The first start after `now`.
    pub fn after(&self, now: Instant) -> Instant {
        match now.checked_duration_since(self.origin) {
            None => self.origin,
            Some(since) => {
                self.origin + self.every.mul_f64((since.as_secs_f64() / self.every.as_secs_f64()).floor() + 1.0)
            }
        }
    }

    /// Starts between two moments that were let go by.
    pub fn missed(&self, intended: Instant, answered: Instant) -> u64 {
        let nth = |at: Instant| at.saturating_duration_since(self.origin).as_secs_f64() / self.every.as_secs_f64();
        // A thousandth of an interval, so that rounding does not count the operation's own start.
        (nth(answered).floor() - (nth(intended) + 0.001).floor()).max(0.0) as u64
    }

    pub fn every(&self) -> Duration {
        self.every
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn wish(touched: bool, median: Duration) -> Wish {
        Wish { touched, every: None, median, burns: None }
    }

    fn check(wishes: &[Wish], expected_ms: &[u64]) {
        let found: Vec<u64> = intervals(wishes, 20 * MS, 200.0).iter().map(|each| each.as_millis() as u64).collect();
        assert_eq!(found, expected_ms, "{wishes:?}");
    }

    #[test]
    fn intervals_keep_to_the_budget_and_to_what_operations_take() {
        check(&[wish(true, MS / 10)], &[20]);
        check(&[wish(true, MS)], &[100]);
        check(&[wish(false, MS / 10)], &[20]);
        check(&[wish(false, MS / 10); 8], &[40; 8]);
        check(&[wish(true, MS / 10); 20], &[40; 20]);
        check(&[Wish { every: Some(250 * MS), ..wish(false, MS / 10) }], &[250]);
    }

    #[test]
    fn a_short_sequence_is_used_up_slowly() {
        // 1,638 values in half an hour, two at a time.
        check(&[Wish { burns: Some((2, 32_767)), ..wish(true, MS / 10) }], &[2197]);
        check(&[Wish { burns: Some((2, 10)), ..wish(true, MS / 10) }], &[1_800_000]);
        check(&[Wish { burns: Some((2, 2_000_000_000)), ..wish(true, MS / 10) }], &[20]);
    }

    #[test]
    fn missed_starts_are_those_between() {
        let begin = Instant::now();
        let grid = Grid::new(begin, 20 * MS, 0);
        assert_eq!(grid.missed(begin, begin + 5 * MS), 0);
        assert_eq!(grid.missed(begin + 20 * MS, begin + 30 * MS), 0);
        assert_eq!(grid.missed(begin + 20 * MS, begin + 3030 * MS), 150);
        assert_eq!(grid.after(begin + 30 * MS), begin + 40 * MS);
        assert_eq!(Grid::new(begin, 20 * MS, 1).after(begin), begin + (20 * MS).mul_f64(0.618_033_988_749_895));
    }
}
