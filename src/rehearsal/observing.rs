//! What probes, observer and readers share: where they send events, whose session is whose, what the plan runs, who blocks whom, and
//! what watching costs.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::blockers::Blockers;
use super::current::Current;
use super::dispatcher::Events;
use super::owners::Owners;

/// Of one node; copies share everything.
#[derive(Debug, Clone)]
pub struct Observing {
    pub events: Events,
    pub owners: Owners,
    /// Set by whoever runs the plan.
    pub current: Current,
    pub blockers: Blockers,
    /// Of all nodes together.
    pub cost: Cost,
    pub numbers: Numbers,
}

impl Observing {
    pub fn new(events: Events) -> Observing {
        let (owners, current, blockers) = Default::default();
        Observing { events, owners, current, blockers, cost: Cost::default(), numbers: Numbers::default() }
    }

    /// For another node of the same run, where session ids mean something else.
    pub fn of_another_node(&self) -> Observing {
        Observing { cost: self.cost.clone(), numbers: self.numbers.clone(), ..Observing::new(self.events.clone()) }
    }
}

/// What watchers count through, over all nodes of a run. Copies count on.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    probes: Arc<AtomicU32>,
    windows: Arc<AtomicU64>,
    waits: Arc<AtomicU64>,
}

impl Numbers {
    /// From 0.
    pub fn probe(&self) -> u32 {
        self.probes.fetch_add(1, Ordering::Relaxed)
    }

    /// From 0.
    pub fn window(&self) -> u64 {
        self.windows.fetch_add(1, Ordering::Relaxed)
    }

    /// From 1.
    pub fn wait(&self) -> u64 {
        self.waits.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// CPU time of the threads that watch.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    threads: Arc<Mutex<Vec<Arc<AtomicU64>>>>,
}

impl Cost {
    /// A place for the calling thread's figure.
    pub fn thread(&self) -> ThreadCost {
        let nanos = Arc::new(AtomicU64::new(0));
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&nanos));
        ThreadCost { nanos }
    }

    /// Of all threads, as of their last update.
    pub fn cpu(&self) -> Duration {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_nanos(threads.iter().map(|nanos| nanos.load(Ordering::Relaxed)).sum())
    }
}

/// Stays on the thread it was made for.
#[derive(Debug)]
pub struct ThreadCost {
    nanos: Arc<AtomicU64>,
}

impl ThreadCost {
    /// Reads the calling thread's clock.
    pub fn update(&self) {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let nanos = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
        self.nanos.store(nanos, Ordering::Relaxed);
    }
}
