//! What a statement did, worked out from what was seen before and after it: locks, new files, counters.
//!
//! Pure bookkeeping: [`super::session`] asks the server, this compares. Modes are those of "Table-Level Locks", counters those of
//! `pg_stat_xact_all_tables`.

mod locks;
mod seen;

use std::collections::{BTreeSet, HashMap, HashSet};

use super::describe::Kind;
pub use crate::engine::lineage::Lineage;
use crate::event::{Lock, Work};
use locks::{ROW_EXCLUSIVE, SHARE, lock, sort_locks, strength};
pub use seen::{CLOCK, Counters, Relation, Seen, baseline_sql, measure_sql, relation_name};

/// What came of a statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    pub locks: Vec<Lock>,
    pub rewrote: Vec<String>,
    pub created: Vec<String>,
    pub work: Work,
    pub grows_with: Vec<String>,
}

impl Effects {
    /// Adds what was seen in another way.
    pub fn join(&mut self, other: Effects) {
        let mut rest = other.locks;
        rest.retain(|lock| {
            self.locks
                .iter()
                .all(|known| known.relation != lock.relation || strength(&known.mode) < strength(&lock.mode))
        });
        self.locks.retain(|known| rest.iter().all(|lock| lock.relation != known.relation));
        self.locks.append(&mut rest);
        sort_locks(&mut self.locks);
        self.work = self.work.max(other.work);
        for (into, from) in [
            (&mut self.rewrote, other.rewrote),
            (&mut self.created, other.created),
            (&mut self.grows_with, other.grows_with),
        ] {
            into.extend(from);
            into.sort();
            into.dedup();
        }
    }
}

/// What is known of the database's relations, and of the open transaction.
#[derive(Debug, Default)]
pub struct Tracker {
    /// As committed.
    relations: HashMap<u32, Relation>,
    /// As the open transaction has them; none where it dropped them.
    open: HashMap<u32, Option<Relation>>,
    created: HashSet<u32>,
    /// Strongest mode held by the open transaction.
    held: HashMap<u32, u8>,
    counters: HashMap<u32, Counters>,
    lineage: Lineage,
}

impl Tracker {
    pub fn new(lineage: Lineage) -> Tracker {
        Tracker { lineage, ..Tracker::default() }
    }

    /// All relations anew, as committed.
    pub fn set_relations(&mut self, relations: HashMap<u32, Relation>) {
        self.relations = relations;
    }

    pub fn set_counters(&mut self, counters: HashMap<u32, Counters>) {
        self.counters = counters;
    }

    /// The transaction ended; what it did is in the catalogs, or is not.
    pub fn end_transaction(&mut self, committed: bool) {
        let open = std::mem::take(&mut self.open);
        if committed {
            for (oid, relation) in open {
                match relation {
                    Some(relation) => self.relations.insert(oid, relation),
                    None => self.relations.remove(&oid),
                };
            }
        }
        self.created.clear();
        self.held.clear();
        self.counters.clear();
    }

    /// Takes in what is locked now as the state to compare with: after a rollback to a savepoint.
    pub fn rebase(&mut self, seen: Vec<Seen>) {
        self.held.clear();
        self.open.clear();
        self.created.retain(|oid| seen.iter().any(|seen| seen.oid == *oid && seen.relation.is_some()));
        for seen in seen {
            self.remember(&seen);
        }
    }

    /// What the statement did, as its own session saw it in the same transaction.
    pub fn after(&mut self, kind: Kind, seen: Vec<Seen>) -> Effects {
        let seen: Vec<Seen> = seen.into_iter().filter(|seen| !seen.is_toast()).collect();
        let new: HashSet<u32> = seen
            .iter()
            .filter(|seen| seen.relation.is_some() && self.relation(seen.oid).is_none())
            .map(|seen| seen.oid)
            .collect();
        self.created.extend(&new);
        let mut effects = Effects { locks: self.new_locks(&seen), ..Effects::default() };
        let mut grows = BTreeSet::new();
        for seen in &seen {
            self.note_files(kind, seen, &new, &mut effects, &mut grows);
        }
        let read = self.note_rows(&seen, &new, &mut effects, &mut grows);
        for seen in &seen {
            if new.contains(&seen.oid) && seen.relation.as_ref().is_some_and(Relation::is_table) {
                self.lineage.made(seen.oid.into());
            }
            if self.counters_of(seen).inserted > 0 {
                self.lineage.filled(seen.oid.into(), &read);
            }
            self.remember(seen);
        }
        effects.rewrote.sort();
        effects.created.sort();
        effects.grows_with = grows.into_iter().collect();
        effects
    }

    /// What a statement did that could not be asked in its own transaction: `locks` as sampled meanwhile, `relations` as they are
    /// now if they may have changed, `named` the identifiers in the statement.
    pub fn from_outside(
        &mut self,
        kind: Kind,
        locks: &HashMap<u32, Vec<String>>,
        relations: Option<HashMap<u32, Relation>>,
        named: &BTreeSet<String>,
        rows: Option<u64>,
    ) -> Effects {
        let seen: Vec<Seen> = locks
            .iter()
            .map(|(oid, modes)| Seen {
                oid: *oid,
                modes: modes.clone(),
                relation: self.relation(*oid).cloned(),
                rows: -1.0,
                counters: Counters::default(),
            })
            .collect();
        let mut effects = Effects { locks: self.new_locks(&seen), ..Effects::default() };
        let mut grows = BTreeSet::new();
        for seen in &seen {
            self.hold(seen);
        }
        if let Some(relations) = relations {
            self.compare_relations(kind, &relations, &mut effects, &mut grows);
            self.relations = relations;
            if kind == Kind::Maintain {
                self.add_locks_of_rewrites(&mut effects);
            }
        }
        self.guess_work(kind, &effects.locks.clone(), named, rows, &mut effects, &mut grows);
        effects.rewrote.sort();
        effects.created.sort();
        effects.grows_with = grows.into_iter().collect();
        effects
    }

    fn relation(&self, oid: u32) -> Option<&Relation> {
        match self.open.get(&oid) {
            Some(relation) => relation.as_ref(),
            None => self.relations.get(&oid),
        }
    }

    fn remember(&mut self, seen: &Seen) {
        self.hold(seen);
        self.counters.insert(seen.oid, seen.counters);
        self.open.insert(seen.oid, seen.relation.clone());
    }

    fn hold(&mut self, seen: &Seen) {
        let held = self.held.entry(seen.oid).or_default();
        *held = seen.modes.iter().map(|mode| strength(mode)).max().unwrap_or(0).max(*held);
    }

    /// Locks stronger than those held before, one a relation. Not those on what this transaction made itself, which nobody else
    /// can see, nor weak ones on indexes.
    fn new_locks(&self, seen: &[Seen]) -> Vec<Lock> {
        let mut locks = Vec::new();
        for seen in seen {
            let Some(mode) = seen.modes.iter().max_by_key(|mode| strength(mode)) else { continue };
            let held = self.held.get(&seen.oid).copied().unwrap_or(0);
            let Some(relation) = self.relation(seen.oid) else { continue };
            let own = self.created.contains(&seen.oid);
            let weak = relation.is_index() && strength(mode) < SHARE;
            if !own && !weak && strength(mode) > held {
                locks.push(lock(&relation.name, mode));
            }
        }
        sort_locks(&mut locks);
        locks
    }

    /// New files and new relations, and the work they stand for.
    fn note_files(
        &self,
        kind: Kind,
        seen: &Seen,
        new: &HashSet<u32>,
        effects: &mut Effects,
        grows: &mut BTreeSet<String>,
    ) {
        let Some(now) = &seen.relation else { return };
        if new.contains(&seen.oid) {
            if now.is_table() || now.is_index() {
                effects.created.push(now.name.clone());
            }
            // An index of a table made by the same statement is empty, or part of the building of that table.
            let table = now.table.filter(|table| now.is_index() && !new.contains(table));
            if let Some(table) = table {
                effects.work = effects.work.max(Work::Builds);
                self.grow(table, grows);
            }
            return;
        }
        let Some(before) = self.relation(seen.oid) else { return };
        let rewritten = before.file != now.file && before.file != 0 && now.file != 0;
        // TRUNCATE gives new files as well, empty ones.
        if !rewritten || kind == Kind::Truncate {
            return;
        }
        self.note_rewrite(seen.oid, before, effects, grows);
    }

    fn note_rewrite(&self, oid: u32, relation: &Relation, effects: &mut Effects, grows: &mut BTreeSet<String>) {
        if relation.is_table() {
            effects.work = effects.work.max(Work::Rewrites);
            self.grow(oid, grows);
        } else if let Some(table) = relation.table.filter(|_| relation.is_index()) {
            effects.work = effects.work.max(Work::Builds);
            self.grow(table, grows);
        } else {
            return;
        }
        effects.rewrote.push(relation.name.clone());
    }

    /// What was read and changed; answers the tables that were read to a share that grows, with their origins.
    fn note_rows(
        &self,
        seen: &[Seen],
        new: &HashSet<u32>,
        effects: &mut Effects,
        grows: &mut BTreeSet<String>,
    ) -> BTreeSet<String> {
        let estimates: HashMap<u32, f64> = seen.iter().map(|seen| (seen.oid, seen.rows)).collect();
        let mut read = BTreeSet::new();
        for seen in seen {
            let counters = self.counters_of(seen);
            let relation = seen.relation.as_ref().or_else(|| self.relation(seen.oid));
            let Some(relation) = relation else { continue };
            let table = relation.table.unwrap_or(seen.oid);
            let rows = estimates.get(&table).copied().unwrap_or(-1.0);
            let scanned = if relation.is_index() {
                counters.read > 0 && is_large_share(counters.read, rows)
            } else {
                counters.scans > 0 && is_large_share(counters.read, rows)
            };
            if scanned && !new.contains(&table) {
                effects.work = effects.work.max(Work::Scans);
                self.grow(table, &mut read);
            }
            if !relation.is_table() || counters.changed() <= 0 {
                continue;
            }
            if new.contains(&seen.oid) {
                effects.work = effects.work.max(Work::Builds);
                continue;
            }
            effects.work = effects.work.max(Work::ChangesRows);
            if counters.updated + counters.deleted > 0 && is_large_share(counters.updated + counters.deleted, rows) {
                self.grow(seen.oid, grows);
            }
        }
        grows.extend(read.iter().cloned());
        read
    }

    fn counters_of(&self, seen: &Seen) -> Counters {
        seen.counters.since(self.counters.get(&seen.oid).copied().unwrap_or_default())
    }

    /// Adds a table by the name it had before the statement, with what it was filled from.
    fn grow(&self, table: u32, into: &mut BTreeSet<String>) {
        if let Some(relation) = self.relation(table) {
            into.insert(relation.name.clone());
        }
        into.extend(self.lineage.of(table.into()).unwrap_or_default());
    }

    fn compare_relations(
        &mut self,
        kind: Kind,
        now: &HashMap<u32, Relation>,
        effects: &mut Effects,
        grows: &mut BTreeSet<String>,
    ) {
        let names_before: HashSet<&str> = self.relations.values().map(|relation| relation.name.as_str()).collect();
        for (oid, relation) in now {
            let before = self.relations.get(oid);
            match before {
                Some(before) if before.file != relation.file && before.file != 0 => {
                    self.note_rewrite(*oid, before, effects, grows);
                }
                Some(_) => {}
                // REINDEX CONCURRENTLY puts a new index in the place of the old.
                None if kind == Kind::Build && names_before.contains(relation.name.as_str()) => {
                    self.note_rewrite(*oid, relation, effects, grows);
                }
                None if relation.is_index() || relation.is_table() => {
                    effects.created.push(relation.name.clone());
                    if let Some(table) = relation.table.filter(|table| self.relations.contains_key(table)) {
                        effects.work = effects.work.max(Work::Builds);
                        self.grow(table, grows);
                    }
                    if relation.is_table() {
                        self.lineage.made((*oid).into());
                    }
                }
                None => {}
            }
        }
    }

    /// VACUUM FULL and CLUSTER hold this lock on what they rewrite, whether or not a sample was taken in time.
    fn add_locks_of_rewrites(&self, effects: &mut Effects) {
        let tables = self.relations.values().filter(|relation| relation.is_table());
        let locks = tables
            .filter(|relation| effects.rewrote.contains(&relation.name))
            .map(|relation| lock(&relation.name, "AccessExclusive"))
            .collect();
        effects.join(Effects { locks, ..Effects::default() });
    }

    /// The work of a statement that could not be counted, by its kind; rather too much than too little.
    fn guess_work(
        &self,
        kind: Kind,
        locks: &[Lock],
        named: &BTreeSet<String>,
        rows: Option<u64>,
        effects: &mut Effects,
        grows: &mut BTreeSet<String>,
    ) {
        let tables = || self.relations.iter().filter(|(_, relation)| relation.is_table());
        let bare = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
        let named_tables: Vec<u32> =
            tables().filter(|(_, relation)| named.contains(&bare(&relation.name))).map(|(oid, _)| *oid).collect();
        match kind {
            // Without a name it is for all of them.
            Kind::Maintain => {
                effects.work = effects.work.max(Work::Scans);
                let all = if named_tables.is_empty() { tables().map(|(oid, _)| *oid).collect() } else { named_tables };
                all.into_iter().for_each(|oid| self.grow(oid, grows));
            }
            Kind::Copy if named.contains("stdin") => {
                let work = if rows == Some(0) { Work::Constant } else { Work::ChangesRows };
                effects.work = effects.work.max(work);
            }
            Kind::Copy => {
                effects.work = effects.work.max(Work::Scans);
                named_tables.into_iter().for_each(|oid| self.grow(oid, grows));
            }
            Kind::Unknown if effects.work == Work::Constant => {
                for lock in locks {
                    let work = if strength(&lock.mode) >= ROW_EXCLUSIVE { Work::ChangesRows } else { Work::Scans };
                    effects.work = effects.work.max(work);
                    grows.insert(lock.relation.clone());
                }
            }
            _ => {}
        }
    }
}

/// Whether that much of a table is a share of it, which grows as the table does, or a handful of rows, which stays one.
fn is_large_share(rows: i64, of: f64) -> bool {
    of <= 0.0 || rows as f64 >= of * 0.1
}

#[cfg(test)]
mod tests;
