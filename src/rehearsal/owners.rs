//! Which server session belongs to what in this run, so that a lock wait can be told in the run's own terms.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::Owner;

/// Back-end process id to owner, shared by everything that opens a session. Copies share one table.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    by_pid: HashMap<i32, Owner>,
    /// Sessions of steps that ended before the last one began.
    over: HashSet<i32>,
}

impl Owners {
    pub fn set(&self, pid: i32, owner: Owner) {
        let mut table = self.table();
        table.over.remove(&pid);
        table.by_pid.insert(pid, owner);
    }

    pub fn remove(&self, pid: i32) {
        self.table().by_pid.remove(&pid);
    }

    pub fn get(&self, pid: i32) -> Option<Owner> {
        self.table().by_pid.get(&pid).cloned()
    }

    /// The sessions of all steps so far are closed. Each is known for one step more, for a server may show it a moment longer; then its
    /// number may be somebody else's.
    pub fn step_begins(&self) {
        let mut table = self.table();
        let of_steps: HashSet<i32> =
            table.by_pid.iter().filter(|(_, owner)| matches!(owner, Owner::Step { .. })).map(|(pid, _)| *pid).collect();
        let over = std::mem::replace(&mut table.over, of_steps);
        for pid in over {
            if table.over.remove(&pid) {
                table.by_pid.remove(&pid);
            }
        }
    }

    /// The server is about to end all sessions, and may count anew.
    pub fn server_ends(&self) {
        let mut table = self.table();
        table.over.clear();
        table.by_pid.retain(|_, owner| !matches!(owner, Owner::Step { .. }));
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_s_session_is_known_until_its_number_may_be_another_s() {
        let owners = Owners::default();
        let (step, probe) = (|step| Owner::Step { step }, Owner::Probe { probe: 1 });
        owners.set(1, probe.clone());
        owners.set(2, step(0));
        owners.set(3, step(0));
        owners.step_begins();
        assert_eq!(owners.get(2), Some(step(0)), "it may be closing");
        owners.set(3, step(1));
        owners.step_begins();
        assert_eq!((owners.get(2), owners.get(3)), (None, Some(step(1))));
        owners.server_ends();
        assert_eq!((owners.get(1), owners.get(3)), (Some(probe), None));
    }
}
