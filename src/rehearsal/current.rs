//! Which step and statement of the plan is running now, for those who measure beside it.

use std::sync::{Arc, Mutex, PoisonError};

/// A place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    pub step: usize,
    /// Within the step; none between statements.
    pub statement: Option<usize>,
}

/// Set by whoever runs the plan, before a statement is sent; copies share one place.
#[derive(Debug, Clone, Default)]
pub struct Current {
    running: Arc<Mutex<Option<Running>>>,
}

impl Current {
    pub fn set(&self, step: usize, statement: Option<usize>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running { step, statement });
    }

    /// Between steps.
    pub fn clear(&self) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn get(&self) -> Option<Running> {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
