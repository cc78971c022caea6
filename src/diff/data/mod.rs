//! The content of tables compared: by one hash a table, then by buckets of rows, then row by row in the buckets that differ.
//!
//! Both sides' rows come sorted by the hash of their key and are merged as they stream by, so that what is kept in memory is counts,
//! the numbers of differing buckets, as many keys and rows as were asked for, and what waits for its pair under a key that is not unique.

mod merge;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use futures::TryStreamExt;

use super::plan::TablePlan;
use super::{CompareOptions, DiffError, Sides, both};
use crate::engine::content::{self, HashedRow, KeyHash, Totals, Values};
use crate::engine::reading::Reading;
use crate::event::{DataChange, DifferingKeys, RowSample};

use merge::{Difference, Tally};

/// Rows that a bucket should hold on average: few enough that a changed row costs little to find, and not a bucket a row.
const BUCKET_ROWS: u64 = 128;

/// Bounds the memory for buckets' totals: some ten megabytes a table.
const BUCKETS_MAX: u64 = 1 << 16;

/// Compares these tables, one a worker at a time; differing tables by name.
pub(super) async fn data(
    workers: &[Sides<Reading>],
    tables: Vec<TablePlan>,
    options: &CompareOptions,
) -> Result<Vec<DataChange>, DiffError> {
    let queue = Mutex::new(VecDeque::from(tables));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = async |readings: &Sides<Reading>| {
        let mut changes = Vec::new();
        while let Some(table) = next() {
            changes.extend(TableComparison { readings, table: &table, options }.compare().await?);
        }
        Ok::<_, DiffError>(changes)
    };
    let mut changes = futures::future::try_join_all(workers.iter().map(work)).await?.concat();
    changes.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(changes)
}

struct TableComparison<'a> {
    readings: &'a Sides<Reading>,
    table: &'a TablePlan,
    options: &'a CompareOptions,
}

impl TableComparison<'_> {
    /// Nothing where the content is equal.
    async fn compare(&self) -> Result<Option<DataChange>, DiffError> {
        let (scans, readings) = (&self.table.scans, self.readings);
        let totals =
            both(content::totals(&readings.before, &scans.before), content::totals(&readings.after, &scans.after))
                .await?;
        if totals.before == totals.after {
            return Ok(None);
        }
        let mask = bucket_mask(totals.before.rows.max(totals.after.rows));
        let buckets = both(
            content::buckets(&readings.before, &scans.before, mask),
            content::buckets(&readings.after, &scans.after, mask),
        )
        .await?;
        let tally = self.merge(mask, &differing(&buckets)).await?;
        self.change(&totals, tally).await.map(Some)
    }

    async fn merge(&self, mask: i64, buckets: &[i64]) -> Result<Tally, DiffError> {
        let (scans, readings) = (&self.table.scans, self.readings);
        let rows = both(
            content::hashed_rows(&readings.before, &scans.before, mask, buckets),
            content::hashed_rows(&readings.after, &scans.after, mask, buckets),
        )
        .await?;
        // Without a key a sample is all there is to show a row by.
        let keys = if self.table.keyless { 0 } else { self.options.keys };
        let mut tally = Tally::new(scans.before.payload().count(), keys, self.options.samples);
        let before = rows.before.map_err(|source| DiffError::Side { side: "before", source });
        let after = rows.after.map_err(|source| DiffError::Side { side: "after", source });
        merge::merge(before, after, |pair| tally.add(pair)).await?;
        Ok(tally)
    }

    async fn change(&self, totals: &Sides<Totals>, tally: Tally) -> Result<DataChange, DiffError> {
        let columns = self.table.scans.before.payload().cloned().zip(tally.columns.iter().copied());
        let mut change = DataChange {
            table: self.table.table.clone(),
            rows_before: totals.before.rows,
            rows_after: totals.after.rows,
            added: Some(tally.added),
            removed: Some(tally.removed),
            changed: (!self.table.keyless).then_some(tally.changed),
            columns: columns.filter(|(_, rows)| *rows > 0).collect(),
            matched_by: self.table.matched_by.clone(),
            ..DataChange::default()
        };
        if !tally.samples.is_empty() {
            change.samples = self.samples(&tally.samples).await?;
        }
        if !tally.keys.is_empty() {
            change.keys = Some(self.keys(&tally).await?);
        }
        Ok(change)
    }

    async fn samples(&self, rows: &[Sides<Option<HashedRow>>]) -> Result<Vec<RowSample>, DiffError> {
        let (scans, readings) = (&self.table.scans, self.readings);
        let before: HashSet<HashedRow> = rows.iter().filter_map(|row| row.before.clone()).collect();
        let after: HashSet<HashedRow> = rows.iter().filter_map(|row| row.after.clone()).collect();
        let values = both(
            content::values(&readings.before, &scans.before, &before),
            content::values(&readings.after, &scans.after, &after),
        )
        .await?;
        let side = |row: &Option<HashedRow>, values: &HashMap<HashedRow, Values>| {
            let values = values.get(row.as_ref()?)?.iter().cloned();
            Some(scans.before.columns.iter().cloned().zip(values).collect())
        };
        let sample = |row: &Sides<Option<HashedRow>>| {
            let (before, after) = (side(&row.before, &values.before), side(&row.after, &values.after));
            RowSample { key: self.key_of(before.as_ref().or(after.as_ref())), before, after }
        };
        Ok(rows.iter().map(sample).collect())
    }

    fn key_of(&self, row: Option<&BTreeMap<String, Option<String>>>) -> Vec<String> {
        if self.table.keyless {
            return Vec::new();
        }
        let value = |column: &String| row.and_then(|row| row.get(column)).cloned().flatten().unwrap_or_default();
        self.table.scans.before.key.iter().map(value).collect()
    }

    async fn keys(&self, tally: &Tally) -> Result<DifferingKeys, DiffError> {
        let (scans, readings) = (&self.table.scans, self.readings);
        let on = |side: fn(Difference) -> bool| -> HashSet<KeyHash> {
            tally.keys.iter().filter(|(difference, _)| side(*difference)).map(|(_, key)| *key).collect()
        };
        let (before, after) = (on(|of| of != Difference::Added), on(|of| of == Difference::Added));
        let values = both(
            content::keys(&readings.before, &scans.before, &before),
            content::keys(&readings.after, &scans.after, &after),
        )
        .await?;
        let of = |wanted: Difference, values: &HashMap<KeyHash, Values>| {
            let wanted = tally.keys.iter().filter(|(difference, _)| *difference == wanted);
            wanted.map(|(_, key)| values.get(key).cloned().unwrap_or_default()).collect()
        };
        Ok(DifferingKeys {
            columns: scans.before.key.clone(),
            added: of(Difference::Added, &values.after),
            removed: of(Difference::Removed, &values.before),
            changed: of(Difference::Changed, &values.before),
            left_off: tally.added + tally.removed + tally.changed - tally.keys.len() as u64,
        })
    }
}

/// A power of two of buckets, less one.
fn bucket_mask(rows: u64) -> i64 {
    let buckets = (rows / BUCKET_ROWS).clamp(1, BUCKETS_MAX).next_power_of_two();
    i64::try_from(buckets - 1).expect("at most 65,535")
}

fn differing(buckets: &Sides<HashMap<i64, Totals>>) -> Vec<i64> {
    let only_after = buckets.after.keys().filter(|bucket| !buckets.before.contains_key(bucket));
    let changed = buckets.before.iter().filter(|(bucket, totals)| buckets.after.get(bucket) != Some(totals));
    changed.map(|(bucket, _)| *bucket).chain(only_after.copied()).collect()
}
