//! Ways to write to a table, the most application-like first; a trial decides which of them the table takes.

use std::sync::Arc;

use rand::RngExt;

use super::dialect;
use super::script::{Insert, Operate, Target, Values};
use super::table::{Column, Identity, Table};
use super::values::{Style, ValueKind};

/// Rows that a probe may draw on.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub values: Arc<Vec<Values>>,
    /// They are the table's own, not made up.
    pub exist: bool,
}

impl Rows {
    /// Every `of`-th row from `nth` on, so that operations at the same time do not wait for each other's row; all, where they are few.
    fn share(&self, nth: usize, of: usize) -> Arc<Vec<Values>> {
        if self.values.len() < of {
            return Arc::clone(&self.values);
        }
        Arc::new(self.values.iter().skip(nth).step_by(of).cloned().collect())
    }
}

const SHARES: usize = 3;

/// Columns that the role may read, by key where there is one.
pub(super) fn read(table: &Table, rows: &Rows) -> Operate {
    let columns = positions(table, |column| column.may_select);
    let by_key = rows.exist && table.key.is_some();
    Operate::Read { columns, rows: by_key.then(|| Arc::clone(&rows.values)) }
}

/// Inserts to try, in order.
pub(super) fn inserts(table: &Table, rows: &Rows) -> Vec<Operate> {
    let leave_out = positions(table, |column| !column.is_left_out() && column.may_insert);
    let name_all = positions(table, |column| {
        !column.generated && column.identity == Identity::No && column.sequence.is_none() && column.may_insert
    });
    let mut found: Vec<Insert> = Vec::new();
    let mut mixed: Vec<Insert> = Vec::new();
    for columns in [leave_out, name_all] {
        match fresh_columns(table, &columns) {
            Ok(fresh) => {
                for style in if has_text(table, &fresh) { &[Style::Shape, Style::Suffix][..] } else { &[Style::Shape] }
                {
                    let rows = Arc::clone(&rows.values);
                    found.push(Insert {
                        columns: columns.clone(),
                        fresh: fresh.clone(),
                        style: *style,
                        rows,
                        replaces: false,
                    });
                }
            }
            Err(Stuck { fresh, columns: stuck }) => {
                let rows = Arc::new(mixtures(table, rows, &stuck));
                mixed.push(Insert { columns, fresh, style: Style::Shape, rows, replaces: false });
            }
        }
    }
    found.append(&mut mixed);
    found.retain(|insert| !insert.rows.is_empty());
    if rows.exist && table.key.is_some() {
        let columns = positions(table, |column| !column.generated && column.may_insert);
        let rows = rows.share(2, SHARES);
        found.push(Insert { columns, fresh: Vec::new(), style: Style::Shape, rows, replaces: true });
    }
    found.dedup_by(|a, b| {
        a.columns == b.columns && a.fresh == b.fresh && a.style == b.style && a.replaces == b.replaces
    });
    found.into_iter().map(Operate::Insert).collect()
}

/// Ways to insert under unique indexes that were not there when a way was found.
pub(super) struct Ways {
    /// To try, in order. The same columns are named: what the application leaves out, the table must still give.
    pub inserts: Vec<Insert>,
    /// Each row gets a value of its own in every index.
    pub new_in_all: bool,
}

/// What becomes of an insert into a table `before` that has the unique indexes of `after` now.
pub(super) fn keep_to_new(before: &Table, after: &Table, insert: &Insert) -> Ways {
    let none = Ways { inserts: Vec::new(), new_in_all: false };
    if insert.replaces {
        return none;
    }
    let was_stuck = match fresh_columns(before, &insert.columns) {
        Ok(_) => Vec::new(),
        Err(Stuck { columns, .. }) => columns,
    };
    match fresh_columns(after, &insert.columns) {
        Ok(fresh) => Ways { inserts: in_styles(after, &Insert { fresh, ..insert.clone() }), new_in_all: true },
        Err(Stuck { fresh, columns }) if columns == was_stuck => {
            Ways { inserts: in_styles(after, &Insert { fresh, ..insert.clone() }), new_in_all: false }
        }
        Err(Stuck { fresh, columns }) => {
            let rows = Rows { values: Arc::clone(&insert.rows), exist: true };
            let mixed =
                Insert { fresh: fresh.clone(), rows: Arc::new(mixtures(after, &rows, &columns)), ..insert.clone() };
            let replacing = after.key.is_some().then(|| Insert { fresh, replaces: true, ..insert.clone() });
            let mut inserts = vec![mixed];
            inserts.extend(replacing);
            inserts.retain(|insert| !insert.rows.is_empty());
            Ways { inserts, ..none }
        }
    }
}

/// The insert in its own style, and in the other where that makes a difference.
fn in_styles(table: &Table, insert: &Insert) -> Vec<Insert> {
    let other = match insert.style {
        Style::Shape => Style::Suffix,
        Style::Suffix => Style::Shape,
    };
    let mut inserts = vec![insert.clone()];
    if has_text(table, &insert.fresh) {
        inserts.push(Insert { style: other, ..insert.clone() });
    }
    inserts
}

/// Updates to try, in order: of a row that exists, else of one that `insert` makes.
pub(super) fn updates(table: &Table, rows: &Rows, insert: Option<&Insert>) -> Vec<Operate> {
    let Some(target) = target(table, rows.share(0, SHARES), rows, insert) else { return Vec::new() };
    let mut columns =
        positions(table, |column| column.may_update && !column.generated && column.identity != Identity::Always);
    columns.sort_by_key(|&each| update_rank(table, each));
    columns.truncate(4);
    let plain = |&column: &usize| update_rank(table, column) < UNIQUE_RANK && table.columns[column].sequence.is_none();
    // Where the server takes no write for one that changes nothing, a value that is another row's comes first.
    let changed = columns.iter().copied().filter(|column| dialect::skips_unchanged(table.engine) && plain(column));
    let ways = changed.map(|column| (column, true)).chain(columns.iter().map(|&column| (column, false)));
    ways.map(|(column, changes)| Operate::Update { column, changes, target: target.clone() }).collect()
}

/// Deletes to try, in order. A row that others refer to is kept by them, and one that nothing else works on at that moment is better
/// made for the purpose.
pub(super) fn deletes(table: &Table, rows: &Rows, insert: Option<&Insert>) -> Vec<Operate> {
    if table.key.is_none() {
        return Vec::new();
    }
    let existing = rows.exist.then(|| Target::Existing(rows.share(1, SHARES)));
    let inserted = insert.and_then(|insert| made_for(table, insert)).map(Target::Inserted);
    let few = rows.values.len() < SHARES;
    let targets = if table.referenced || few { [inserted, existing] } else { [existing, inserted] };
    targets.into_iter().flatten().map(Operate::Delete).collect()
}

fn target(table: &Table, share: Arc<Vec<Values>>, rows: &Rows, insert: Option<&Insert>) -> Option<Target> {
    table.key.as_ref()?;
    if rows.exist {
        Some(Target::Existing(share))
    } else {
        insert.and_then(|insert| made_for(table, insert)).map(Target::Inserted)
    }
}

/// An insert whose row something else is done on: its key must be known. Where the server does not say what it inserted, all of the key
/// is named but what the server numbers.
fn made_for(table: &Table, insert: &Insert) -> Option<Insert> {
    let mut insert = insert.clone();
    if dialect::has_returning(table.engine) {
        return Some(insert);
    }
    for &column in table.key.as_ref()? {
        let of = &table.columns[column];
        if insert.columns.contains(&column) || of.sequence.is_some() {
            continue;
        }
        if of.generated || !of.may_insert {
            return None;
        }
        insert.columns.push(column);
        if of.kind.can_be_fresh() {
            insert.fresh.push(column);
        }
    }
    Some(insert)
}

/// From which on a column's value decides where its row belongs.
const UNIQUE_RANK: u32 = 3;

/// Plain columns first, then foreign keys, then what is unique or decides on the partition.
fn update_rank(table: &Table, column: usize) -> u32 {
    let unique = table.unique.iter().any(|unique| unique.columns.contains(&column));
    let key = table.key.as_ref().is_some_and(|key| key.contains(&column));
    let refers = table.references.iter().any(|reference| reference.columns.contains(&column));
    let of = &table.columns[column];
    match () {
        () if key || of.in_partition_key => 4,
        () if unique => UNIQUE_RANK,
        () if refers => 2,
        () if of.sequence.is_some() || of.kind == ValueKind::Other => 1,
        () => 0,
    }
}

fn has_text(table: &Table, columns: &[usize]) -> bool {
    columns.iter().any(|&each| matches!(table.columns[each].kind, ValueKind::Text { .. }))
}

/// Unique indexes for which no column can be made new.
struct Stuck {
    fresh: Vec<usize>,
    columns: Vec<Vec<usize>>,
}

/// Which of the named columns must get a new value, so that no unique index is broken.
fn fresh_columns(table: &Table, named: &[usize]) -> Result<Vec<usize>, Stuck> {
    let (mut fresh, mut stuck) = (Vec::new(), Vec::new());
    let refers = |column: usize| table.references.iter().any(|reference| reference.columns.contains(&column));
    for unique in &table.unique {
        let new_already = unique
            .columns
            .iter()
            .any(|each| fresh.contains(each) || (!named.contains(each) && table.columns[*each].gives_itself()));
        if unique.equality && new_already {
            continue;
        }
        let best = unique
            .columns
            .iter()
            .copied()
            .filter(|&each| named.contains(&each) && !refers(each) && !table.columns[each].in_partition_key)
            .filter(|&each| unique.equality && table.columns[each].kind.can_be_fresh())
            .max_by_key(|&each| table.columns[each].kind.freshness());
        match best {
            Some(best) => fresh.push(best),
            None => stuck.push(unique.columns.clone()),
        }
    }
    if stuck.is_empty() { Ok(fresh) } else { Err(Stuck { fresh, columns: stuck }) }
}

/// Rows that take the first column of a stuck index, with all of its foreign key, from another row: a pair that may be new.
fn mixtures(table: &Table, rows: &Rows, stuck: &[Vec<usize>]) -> Vec<Values> {
    let mut swapped: Vec<usize> = stuck.iter().filter(|columns| columns.len() > 1).map(|columns| columns[0]).collect();
    if swapped.len() < stuck.len() {
        return Vec::new();
    }
    for reference in &table.references {
        if reference.columns.iter().any(|each| swapped.contains(each)) {
            swapped.extend(&reference.columns);
        }
    }
    let count = rows.values.len();
    (0..count)
        .map(|nth| {
            let mut values = rows.values[nth].clone();
            let other = &rows.values[(nth + count / 2) % count];
            for &column in &swapped {
                values[column].clone_from(&other[column]);
            }
            values
        })
        .collect()
}

fn positions(table: &Table, wanted: impl Fn(&Column) -> bool) -> Vec<usize> {
    (0..table.columns.len()).filter(|&nth| wanted(&table.columns[nth])).collect()
}

/// Rows for a table that has none. `parents` are keys that exist, for each of the table's references; an error names the table that a
/// row must refer to and that is empty too.
pub(super) fn made_up(table: &Table, parents: &[Vec<Values>], rng: &mut impl RngExt) -> Result<Vec<Values>, String> {
    let mut rows = Vec::new();
    for nth in 0..8 {
        // Half of them as full as can be, half as empty as may be.
        let full = nth < 4;
        let mut values: Values = table
            .columns
            .iter()
            .map(|column| if full || column.not_null { column.kind.made_up(nth, rng) } else { None })
            .collect();
        for (reference, keys) in table.references.iter().zip(parents) {
            let needed = reference
                .columns
                .iter()
                .any(|&each| table.columns[each].not_null && !table.columns[each].is_left_out());
            let key = if keys.is_empty() { None } else { Some(&keys[nth % keys.len()]) };
            if key.is_none() && needed {
                return Err(format!("the table is empty, and so is {}, to which a row must refer", reference.to_name));
            }
            for (at, &column) in reference.columns.iter().enumerate() {
                values[column] = key.filter(|_| full || needed).and_then(|key| key[at].clone());
            }
        }
        rows.push(values);
    }
    Ok(rows)
}
