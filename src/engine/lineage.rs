//! Where the rows of tables came from that a plan made itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Origins = HashMap<u64, BTreeSet<String>>;

/// Tables that the plan itself made, by the server's number for them, and the tables whose rows went into them: work on such a copy grows
/// with its origin. Copies share one, so that the sessions of a plan can.
#[derive(Debug, Clone, Default)]
pub struct Lineage {
    origins: Arc<Mutex<Origins>>,
}

impl Lineage {
    pub(super) fn made(&self, table: u64) {
        self.locked().entry(table).or_default();
    }

    /// Of a table that the plan did not make, nothing is kept.
    pub(super) fn filled(&self, table: u64, from: &BTreeSet<String>) {
        if let Some(origins) = self.locked().get_mut(&table) {
            origins.extend(from.iter().cloned());
        }
    }

    /// None of a table that the plan did not make.
    pub(super) fn of(&self, table: u64) -> Option<BTreeSet<String>> {
        self.locked().get(&table).cloned()
    }

    fn locked(&self) -> MutexGuard<'_, Origins> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
