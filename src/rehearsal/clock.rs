//! The run's one clock.

use std::time::Instant;

/// Milliseconds since the run began; copies agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// The instant from which everything counts.
    pub fn origin(&self) -> Instant {
        self.start
    }

    pub fn now_ms(&self) -> f64 {
        self.at_ms(Instant::now())
    }

    pub fn at_ms(&self, instant: Instant) -> f64 {
        instant.saturating_duration_since(self.start).as_secs_f64() * 1e3
    }
}
