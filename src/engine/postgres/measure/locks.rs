//! Modes of locks on tables, by strength.

use crate::event::Lock;

const MODES: [&str; 8] = [
    "AccessShare",
    "RowShare",
    "RowExclusive",
    "ShareUpdateExclusive",
    "Share",
    "ShareRowExclusive",
    "Exclusive",
    "AccessExclusive",
];
pub(super) const ROW_EXCLUSIVE: u8 = 3;
/// The weakest mode that keeps others from writing.
pub(super) const SHARE: u8 = 5;
const ACCESS_EXCLUSIVE: u8 = 8;

/// From 1 to 8; 0 for what is no lock on a table (`SIReadLock`).
pub(super) fn strength(mode: &str) -> u8 {
    let name = mode.strip_suffix("Lock").unwrap_or(mode);
    MODES.iter().zip(1..).find(|(mode, _)| **mode == name).map_or(0, |(_, strength)| strength)
}

pub(super) fn lock(relation: &str, mode: &str) -> Lock {
    Lock {
        relation: relation.to_owned(),
        mode: mode.strip_suffix("Lock").unwrap_or(mode).to_owned(),
        stops_reads: strength(mode) == ACCESS_EXCLUSIVE,
        stops_writes: strength(mode) >= SHARE,
        brief: false,
    }
}

pub(super) fn sort_locks(locks: &mut [Lock]) {
    locks.sort_by(|a, b| strength(&b.mode).cmp(&strength(&a.mode)).then_with(|| a.relation.cmp(&b.relation)));
}
