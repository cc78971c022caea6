//! What a statement did, worked out from what was seen before and after it: its stages, its rows, its locks, and the files of tables.
//!
//! Pure bookkeeping: [`super::watch`] asks the server, this compares. A table that is written anew gets another id, and so does an index;
//! which way a definition was changed shows in the stages that the session went through. Modes of locks are those of the chapter
//! "Metadata Locking" of the manuals.

mod modes;

use std::collections::{BTreeMap, BTreeSet};

use super::client::words::Words;
use crate::engine::lineage::Lineage;
use crate::event::{Lock, Numbering, Work};
pub use modes::strength;
use modes::{lock, sorted, strongest};

/// What kind of statement it is, by the words that it begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Touches no rows and no tables' definitions: `SET`, `COMMIT`, `LOCK TABLES`.
    Session,
    /// Changes definitions, or writes a table anew: `ALTER`, `CREATE`, `TRUNCATE`, `OPTIMIZE`.
    Definition,
    /// Reads whole tables without counting the rows: `CHECK TABLE`.
    Check,
    /// Reads rows.
    Query,
    /// Changes rows.
    Rows,
    /// May do anything: `CALL`, `EXECUTE`.
    Routine,
}

/// The kind of a statement.
pub fn kind(words: &Words) -> Kind {
    let bare = words.bare.as_slice();
    match bare.first().map_or("", String::as_str) {
        "SET" if words.has("SELECT") => Kind::Query,
        "BEGIN" if bare.get(1).is_none_or(|word| word == "WORK") => Kind::Session,
        "" | "SET" | "USE" | "SHOW" | "START" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "PREPARE"
        | "DEALLOCATE" | "DESCRIBE" | "DESC" | "HELP" | "KILL" | "FLUSH" | "LOCK" | "UNLOCK" | "GRANT" | "REVOKE"
        | "RESET" | "PURGE" => Kind::Session,
        "ALTER" | "CREATE" | "DROP" | "RENAME" | "TRUNCATE" | "OPTIMIZE" | "REPAIR" => Kind::Definition,
        "CHECK" | "CHECKSUM" => Kind::Check,
        "SELECT" | "TABLE" | "VALUES" | "DO" | "ANALYZE" | "EXPLAIN" => Kind::Query,
        "INSERT" | "REPLACE" | "UPDATE" | "DELETE" | "LOAD" | "WITH" => Kind::Rows,
        _ => Kind::Routine,
    }
}

/// Whether a statement commits what is open before it does anything (chapters "Statements That Cause an Implicit Commit" of the manuals).
/// Temporary tables are made and dropped within a transaction.
pub fn commits_first(words: &Words) -> bool {
    let first = words.bare.first().map_or("", String::as_str);
    let always =
        ["ALTER", "RENAME", "TRUNCATE", "OPTIMIZE", "REPAIR", "ANALYZE", "CHECK", "CREATE", "DROP", "GRANT", "REVOKE"];
    let locks = ["LOCK", "UNLOCK", "FLUSH", "START", "BEGIN", "COMMIT", "RESET"];
    let temporary = ["CREATE", "DROP"].contains(&first) && words.bare.iter().take(4).any(|word| word == "TEMPORARY");
    (always.contains(&first) || locks.contains(&first)) && !temporary
}

/// What is known of a table of the release's database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// As the server estimates them; none where it does not.
    pub rows: Option<u64>,
    /// InnoDB's ids of the table, of each partition of its own; none of another engine.
    pub ids: BTreeSet<u64>,
    /// The ids of each index.
    pub indexes: BTreeMap<String, BTreeSet<u64>>,
    /// The column with AUTO_INCREMENT.
    pub numbered: Option<String>,
    /// Its engine locks it whole for each statement, beside the metadata.
    pub locked_whole: bool,
}

/// Stages that the session went through: how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// Prepared to change the definition in place, whatever work that was.
    pub prepared: u64,
    /// Read the table to build from it.
    pub built: u64,
    /// Copied it row by row.
    pub copied: u64,
    /// Applied what others wrote meanwhile: they could write.
    pub caught_up: u64,
}

/// Rows that the session read, changed and wrote, by its `Handler_…` counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handled {
    /// One after the other, not by key.
    pub read: u64,
    pub changed: u64,
    pub written: u64,
}

/// What was seen of the session and its database.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub stages: Stages,
    pub handled: Handled,
    /// Relations and modes that it holds.
    pub locks: Vec<(String, String)>,
    /// Every table; none where nothing can have changed.
    pub tables: Option<BTreeMap<String, Table>>,
}

/// What came of a statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    pub locks: Vec<Lock>,
    pub rewrote: Vec<String>,
    pub created: Vec<String>,
    pub work: Work,
    pub grows_with: Vec<String>,
    pub algorithm: Option<&'static str>,
    pub numbering: Vec<Numbering>,
}

/// What is known of the database's tables, and of the session.
#[derive(Debug, Default)]
pub struct Tracker {
    tables: BTreeMap<String, Table>,
    stages: Stages,
    handled: Handled,
    held: BTreeMap<String, String>,
    lineage: Lineage,
}

/// A statement that ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    pub kind: Kind,
    pub words: &'a Words,
    /// Rows that it returned or changed.
    pub rows: u64,
    /// It did what it was to do.
    pub done: bool,
    /// Locks that were seen while it ran.
    pub sampled: &'a BTreeMap<String, String>,
}

impl Tracker {
    pub fn new(lineage: Lineage) -> Tracker {
        Tracker { lineage, ..Tracker::default() }
    }

    /// Takes in what is there now as the state to compare with.
    pub fn rebase(&mut self, seen: Seen) {
        (self.stages, self.handled) = (seen.stages, seen.handled);
        self.held = strongest(&seen.locks);
        if let Some(tables) = seen.tables {
            self.tables = tables;
        }
    }

    /// Tables of which MySQL counts the rows at once, by itself, which no counter of the session's tells.
    fn counted(&self, words: &Words) -> Vec<String> {
        if words.has("COUNT") { self.named(words) } else { Vec::new() }
    }

    /// What the statement did, by what is seen after it.
    pub fn after(&mut self, ended: &Ended<'_>, seen: Seen) -> Effects {
        let mut effects = Effects::default();
        let mut grows = BTreeSet::new();
        if ended.done {
            match ended.kind {
                // A function that it calls may do anything.
                Kind::Session if seen.handled != self.handled => self.note_rows(ended, &seen, &mut effects, &mut grows),
                Kind::Session => {}
                Kind::Definition => self.note_definition(ended, &seen, &mut effects, &mut grows),
                Kind::Check => {
                    effects.work = Work::Scans;
                    self.grow_all(&self.named(ended.words), &mut grows);
                }
                Kind::Query | Kind::Rows => self.note_rows(ended, &seen, &mut effects, &mut grows),
                Kind::Routine => {
                    self.note_rows(ended, &seen, &mut effects, &mut grows);
                    self.note_definition(ended, &seen, &mut effects, &mut grows);
                }
            }
        }
        effects.locks = self.new_locks(ended, &seen, effects.algorithm);
        effects.grows_with = grows.into_iter().collect();
        self.follow_lineage(ended, &seen);
        self.rebase(seen);
        effects
    }

    /// Tables that it names, in the order in which it does; all of them where it names none: what it does to them is done by way of a
    /// view or a routine.
    fn named(&self, words: &Words) -> Vec<String> {
        let mut named: Vec<String> = Vec::new();
        for name in &words.names {
            let table = self.tables.keys().find(|table| table.to_lowercase() == *name);
            named.extend(table.filter(|table| !named.contains(table)).cloned());
        }
        if named.is_empty() { self.tables.keys().cloned().collect() } else { named }
    }

    /// Tables that a definition is about, of those that were there.
    fn defined(&self, words: &Words) -> Vec<String> {
        let is_one = |name: &String| self.tables.keys().any(|table| table.to_lowercase() == *name);
        let mut tables = if words.names.iter().any(is_one) { self.named(words) } else { Vec::new() };
        // Further tables are those that it refers to, or copies from.
        let of_several = ["DROP", "RENAME", "OPTIMIZE", "REPAIR"].iter().any(|word| words.begin(&[word]));
        if !of_several {
            tables.truncate(1);
        }
        tables
    }

    fn note_definition(&self, ended: &Ended<'_>, seen: &Seen, effects: &mut Effects, grows: &mut BTreeSet<String>) {
        let now = seen.tables.as_ref().unwrap_or(&self.tables);
        let stages = seen.stages.since(self.stages);
        let written_anew = |name: &&String| {
            let (before, after) = (&self.tables[*name], now.get(*name));
            after.is_some_and(|after| {
                !before.ids.is_empty() && !after.ids.is_empty() && before.ids.is_disjoint(&after.ids)
            })
        };
        let (mut work, mut on) = (Work::Constant, Vec::new());
        if stages.copied > 0 {
            effects.algorithm = Some("COPY");
            work = Work::Rewrites;
            on = self.tables.keys().filter(written_anew).cloned().collect();
            if on.is_empty() {
                on = self.defined(ended.words);
            }
            effects.rewrote.clone_from(&on);
        } else if stages.built > 0 {
            effects.algorithm = Some("INPLACE");
            on = self.tables.keys().filter(written_anew).cloned().collect();
            if on.is_empty() {
                on = self
                    .tables
                    .iter()
                    .filter(|(name, table)| has_new_index(table, now.get(*name)))
                    .map(first)
                    .collect();
                work = if on.is_empty() { Work::Scans } else { Work::Builds };
                if on.is_empty() {
                    on = self.defined(ended.words);
                }
            } else {
                work = Work::Rewrites;
                effects.rewrote.clone_from(&on);
            }
        } else if stages.prepared > 0 {
            let lost_index =
                |(name, table): (&String, &Table)| now.get(name).is_some_and(|now| has_new_index(now, Some(table)));
            effects.algorithm = Some(if self.tables.iter().any(lost_index) { "INPLACE" } else { "INSTANT" });
        } else if ended.words.begin(&["ALTER"]) && ended.rows > 0 {
            // Partitions: rows went from one to another.
            (work, on) = (Work::Rewrites, self.defined(ended.words));
        }
        let new = now.keys().filter(|name| !self.tables.contains_key(*name));
        effects.created.extend(new.cloned());
        if ended.words.begin(&["CREATE"]) && ended.rows > 0 {
            (work, on) = (Work::Builds, self.named(ended.words));
        }
        for (name, table) in &self.tables {
            let Some(now) = now.get(name).filter(|now| !table.ids.is_disjoint(&now.ids)) else { continue };
            effects.created.extend(now.indexes.keys().filter(|index| !table.indexes.contains_key(*index)).cloned());
        }
        effects.created.sort();
        effects.numbering = self.numbering(now);
        effects.work = effects.work.max(work);
        self.grow_all(&on, grows);
    }

    /// Of tables on both sides.
    fn numbering(&self, now: &BTreeMap<String, Table>) -> Vec<Numbering> {
        let both = self.tables.iter().filter_map(|(name, before)| Some((name, before, now.get(name)?)));
        both.filter(|(_, before, after)| before.numbered != after.numbered)
            .flat_map(|(table, before, after)| {
                let change = |column: &String, lost| Numbering { table: table.clone(), column: column.clone(), lost };
                let lost = before.numbered.iter().map(move |column| change(column, true));
                lost.chain(after.numbered.iter().map(move |column| change(column, false)))
            })
            .collect()
    }

    fn note_rows(&self, ended: &Ended<'_>, seen: &Seen, effects: &mut Effects, grows: &mut BTreeSet<String>) {
        let handled = seen.handled.since(self.handled);
        let inserted = if ended.kind == Kind::Rows { ended.rows } else { 0 };
        let named = self.named(ended.words);
        let share_of = |rows: u64| -> Vec<String> {
            let is_large = |name: &&String| is_large_share(rows, self.tables[*name].rows);
            named.iter().filter(is_large).cloned().collect()
        };
        let read = if handled.read > 0 { share_of(handled.read) } else { self.counted(ended.words) };
        if !read.is_empty() {
            effects.work = effects.work.max(Work::Scans);
            self.grow_all(&read, grows);
        }
        if handled.changed + inserted > 0 {
            effects.work = effects.work.max(Work::ChangesRows);
            if handled.changed > 0 {
                self.grow_all(&share_of(handled.changed), grows);
            }
        }
    }

    /// With what they were filled from.
    fn grow_all(&self, tables: &[String], grows: &mut BTreeSet<String>) {
        for name in tables {
            grows.insert(name.clone());
            for id in self.tables.get(name).into_iter().flat_map(|table| &table.ids) {
                grows.extend(self.lineage.of(*id).unwrap_or_default());
            }
        }
    }

    /// A table that was made, filled, written anew.
    fn follow_lineage(&self, ended: &Ended<'_>, seen: &Seen) {
        let Some(now) = &seen.tables else {
            if ended.kind != Kind::Rows || !(ended.words.begin(&["INSERT"]) || ended.words.begin(&["REPLACE"])) {
                return;
            }
            // The first that it names is filled, from the others.
            if let [into, from @ ..] = self.named(ended.words).as_slice() {
                self.fill(&self.tables[into], from);
            }
            return;
        };
        for (name, table) in now {
            match self.tables.get(name) {
                None => {
                    let renamed = self.tables.values().any(|before| !before.ids.is_disjoint(&table.ids));
                    if !renamed {
                        table.ids.iter().for_each(|id| self.lineage.made(*id));
                        if ended.rows > 0 {
                            self.fill(table, &self.named(ended.words));
                        }
                    }
                }
                Some(before) => {
                    let origins = before.ids.iter().find_map(|id| self.lineage.of(*id));
                    for id in origins.iter().flat_map(|_| table.ids.difference(&before.ids)) {
                        self.lineage.made(*id);
                        self.lineage.filled(*id, origins.as_ref().expect("it was found"));
                    }
                }
            }
        }
    }

    fn fill(&self, table: &Table, from: &[String]) {
        let mut origins = BTreeSet::new();
        self.grow_all(from, &mut origins);
        table.ids.iter().for_each(|id| self.lineage.filled(*id, &origins));
    }

    /// Those that it newly took. A definition's are known by how it was changed: most are gone when it has ended.
    fn new_locks(&self, ended: &Ended<'_>, seen: &Seen, algorithm: Option<&str>) -> Vec<Lock> {
        let mut locks: BTreeMap<String, Lock> = BTreeMap::new();
        let seen_modes = ended.sampled.iter().map(|(relation, mode)| (relation.clone(), mode.clone()));
        for (relation, mode) in seen_modes.chain(strongest(&seen.locks)) {
            let is_whole = self.is_locked_whole(&relation, seen);
            // Those locks end with each statement, and the next takes its own.
            let takes_anew = is_whole && ended.words.names.contains(&relation.to_lowercase());
            let held = self.held.get(&relation).filter(|_| !takes_anew).map_or(0, |mode| strength(mode));
            let known = locks.get(&relation).map_or(0, |lock| strength(&lock.mode));
            if strength(&mode) > held.max(known) {
                let mut taken = lock(&relation, &mode, false);
                if is_whole && ended.kind != Kind::Definition {
                    taken.stops_reads |= matches!(mode.as_str(), "SHARED_WRITE" | "SHARED_WRITE_LOW_PRIO");
                    taken.stops_writes |= taken.stops_reads || mode == "SHARED_READ";
                }
                // On MariaDB, LOCK TABLES … READ holds no more than that, and a lock of another layer that stops writers.
                taken.stops_writes |= ended.words.begin(&["LOCK"]) && mode == "SHARED_READ";
                locks.insert(relation.clone(), taken);
            }
        }
        if ended.kind != Kind::Definition || !ended.done || !is_of_tables(ended.words) {
            return sorted(locks.into_values().collect());
        }
        let stages = seen.stages.since(self.stages);
        let mut of_definition = Vec::new();
        for table in self.defined(ended.words) {
            locks.remove(&table);
            let works = matches!(algorithm, Some("COPY" | "INPLACE")) && (stages.copied > 0 || stages.built > 0);
            if works && stages.caught_up == 0 {
                of_definition.push(lock(&table, "SHARED_NO_WRITE", false));
            }
            of_definition.push(lock(&table, "EXCLUSIVE", works));
        }
        let others = sorted(locks.into_values().collect());
        of_definition.into_iter().chain(others).collect()
    }

    /// Tables of other databases are not known, and taken for InnoDB's.
    fn is_locked_whole(&self, relation: &str, seen: &Seen) -> bool {
        let now = seen.tables.as_ref().and_then(|tables| tables.get(relation));
        now.or_else(|| self.tables.get(relation)).is_some_and(|table| table.locked_whole)
    }
}

impl Stages {
    fn since(self, before: Stages) -> Stages {
        Stages {
            prepared: self.prepared.saturating_sub(before.prepared),
            built: self.built.saturating_sub(before.built),
            copied: self.copied.saturating_sub(before.copied),
            caught_up: self.caught_up.saturating_sub(before.caught_up),
        }
    }
}

impl Handled {
    fn since(self, before: Handled) -> Handled {
        Handled {
            read: self.read.saturating_sub(before.read),
            changed: self.changed.saturating_sub(before.changed),
            written: self.written.saturating_sub(before.written),
        }
    }
}

/// Whether the definition is of a table, of an index or of a trigger on one.
fn is_of_tables(words: &Words) -> bool {
    let of = ["TABLE", "TABLES", "INDEX", "KEY", "TRIGGER"];
    let truncates = words.begin(&["TRUNCATE"]);
    // `CREATE OR REPLACE DEFINER = a TRIGGER …`.
    truncates || words.bare.iter().take(8).any(|word| of.contains(&word.as_str()))
}

fn has_new_index(before: &Table, after: Option<&Table>) -> bool {
    let of = |table: &Table| table.indexes.values().flatten().copied().collect::<BTreeSet<u64>>();
    after.is_some_and(|after| !of(after).is_subset(&of(before)))
}

fn first((name, _): (&String, &Table)) -> String {
    name.clone()
}

/// Whether that much of a table is a share of it, which grows as the table does, or a handful of rows, which stays one.
fn is_large_share(rows: u64, of: Option<u64>) -> bool {
    of.is_none_or(|of| rows as f64 >= of as f64 * 0.1)
}

#[cfg(test)]
mod tests;
