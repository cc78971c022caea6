//! Modes of metadata locks by what they stop (chapter "Metadata Locking" of the manuals).

use std::collections::BTreeMap;

use crate::engine::mysql::locks::MODES;
use crate::event::Lock;

/// From 1 to 11; 0 for an unknown one.
pub fn strength(mode: &str) -> usize {
    MODES.iter().position(|known| *known == mode).map_or(0, |at| at + 1)
}

pub(super) fn lock(relation: &str, mode: &str, brief: bool) -> Lock {
    Lock {
        relation: relation.to_owned(),
        mode: mode.to_owned(),
        stops_reads: matches!(mode, "SHARED_NO_READ_WRITE" | "EXCLUSIVE"),
        stops_writes: matches!(mode, "SHARED_READ_ONLY" | "SHARED_NO_WRITE" | "SHARED_NO_READ_WRITE" | "EXCLUSIVE"),
        brief,
    }
}

pub(super) fn sorted(mut locks: Vec<Lock>) -> Vec<Lock> {
    locks.sort_by(|a, b| strength(&b.mode).cmp(&strength(&a.mode)).then_with(|| a.relation.cmp(&b.relation)));
    locks
}

/// The strongest mode of each relation.
pub(super) fn strongest(locks: &[(String, String)]) -> BTreeMap<String, String> {
    let mut strongest: BTreeMap<String, String> = BTreeMap::new();
    for (relation, mode) in locks {
        let known = strongest.entry(relation.clone()).or_insert_with(|| mode.clone());
        if strength(mode) > strength(known) {
            known.clone_from(mode);
        }
    }
    strongest
}
