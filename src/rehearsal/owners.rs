//! Which server session belongs to what in this run, so that a lock wait can be told in the run's own terms.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Owner;

/// Back-end process id to owner, shared by everything that opens a session. Copies share one table.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    by_pid: Arc<Mutex<HashMap<i32, Owner>>>,
}

impl Owners {
    pub fn set(&self, pid: i32, owner: Owner) {
        self.by_pid.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, owner);
    }

    pub fn remove(&self, pid: i32) {
        self.by_pid.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    }

    pub fn get(&self, pid: i32) -> Option<Owner> {
        self.by_pid.lock().unwrap_or_else(PoisonError::into_inner).get(&pid).cloned()
    }
}
