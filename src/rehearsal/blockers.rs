//! Who was seen holding what a session waits for: written by the observer, read by the probes when they explain a window.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Session;

/// Back-end process id of a waiter to the sessions seen blocking it, since its wait began. Copies share one table.
#[derive(Debug, Clone, Default)]
pub struct Blockers {
    by_waiter: Arc<Mutex<HashMap<i32, Vec<Session>>>>,
}

impl Blockers {
    /// Adds what one look saw.
    pub fn saw(&self, waiter: i32, blockers: &[Session]) {
        let mut table = self.by_waiter.lock().unwrap_or_else(PoisonError::into_inner);
        let known = table.entry(waiter).or_default();
        for blocker in blockers {
            if !known.iter().any(|other| other.pid == blocker.pid) {
                known.push(blocker.clone());
            }
        }
    }

    /// Everyone seen blocking that session so far, and starts anew for it.
    pub fn take(&self, waiter: i32) -> Vec<Session> {
        self.by_waiter.lock().unwrap_or_else(PoisonError::into_inner).remove(&waiter).unwrap_or_default()
    }

    /// As [`Blockers::take`], without forgetting.
    pub fn of(&self, waiter: i32) -> Vec<Session> {
        self.by_waiter.lock().unwrap_or_else(PoisonError::into_inner).get(&waiter).cloned().unwrap_or_default()
    }
}
