//! A table's content by hashes, as [`crate::engine::content`] has it.
//!
//! A value is hashed by its text, as the type's own output function prints it under the settings of a [`Reading`]. So a column that
//! went from `integer` to `bigint` holds what it held, and types without an equality of their own (`json`, `xml`, `point`) compare
//! like any other. `hashtextextended` answers alike on 13 to 18.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use futures::{StreamExt, TryStreamExt};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::names::quote;
use super::reading::{Reading, query_failed};
use crate::engine::content::{HashedRow, HashedRows, KeyHash, Scan, Totals, Values};
use crate::engine::reading::ReadError;

fn from(scan: &Scan) -> String {
    let only = if scan.only { "ONLY " } else { "" };
    format!("{only}{}.{} t", quote(&scan.schema), quote(&scan.table))
}

fn what(scan: &Scan) -> String {
    format!("the rows of {}", super::catalog::display_name(&scan.schema, &scan.table))
}

/// Hash of some columns together. The text of a row keeps NULL and the empty string apart.
fn hash<'a>(columns: impl IntoIterator<Item = &'a String>, seed: u8) -> String {
    let columns: Vec<String> = columns.into_iter().map(|column| format!("t.{}", quote(column))).collect();
    format!("hashtextextended(ROW({})::text COLLATE \"C\", {seed})", columns.join(", "))
}

/// As [`crate::engine::content::totals`].
///
/// # Errors
/// As there.
pub async fn totals(reading: &Reading, scan: &Scan) -> Result<Totals, ReadError> {
    let sql = format!("SELECT count(*), coalesce(sum({}), 0)::text FROM {}", hash(&scan.columns, 0), from(scan));
    let row = reading.client().query_one(&sql, &[]).await.map_err(query_failed(what(scan)))?;
    Ok(Totals { rows: row.get::<_, i64>(0).unsigned_abs(), hash: row.get(1) })
}

/// As [`crate::engine::content::buckets`].
///
/// # Errors
/// As there.
pub async fn buckets(reading: &Reading, scan: &Scan, mask: i64) -> Result<HashMap<i64, Totals>, ReadError> {
    let sql = format!(
        "SELECT {} & {mask}, count(*), sum({})::text FROM {} GROUP BY 1",
        hash(&scan.key, 0),
        hash(&scan.columns, 0),
        from(scan)
    );
    let rows = reading.client().query(&sql, &[]).await.map_err(query_failed(what(scan)))?;
    let totals = |row: &Row| Totals { rows: row.get::<_, i64>(1).unsigned_abs(), hash: row.get(2) };
    Ok(rows.iter().map(|row| (row.get(0), totals(row))).collect())
}

/// As [`crate::engine::content::hashed_rows`].
///
/// # Errors
/// As there.
pub async fn hashed_rows<'a>(
    reading: &'a Reading,
    scan: &'a Scan,
    mask: i64,
    buckets: &[i64],
) -> Result<HashedRows<'a>, ReadError> {
    let hashes = row_hashes(scan);
    let order: Vec<String> = (1..=hashes.len()).map(|at| at.to_string()).collect();
    // A subquery and not an array: it is hashed on every version, where 13 would search an array row by row.
    let sql = format!(
        "SELECT {} FROM {} WHERE ({} & {mask}) IN (SELECT unnest($1::int8[])) ORDER BY {}",
        hashes.join(", "),
        from(scan),
        hashes[0],
        order.join(", ")
    );
    let parameters: [&(dyn ToSql + Sync); 1] = [&buckets];
    let rows = reading.client().query_raw(&sql, parameters).await.map_err(query_failed(what(scan)))?;
    Ok(Box::pin(rows.map(move |row| {
        let row = row.map_err(query_failed(what(scan)))?;
        Ok(hashed_row(&row, row.len()))
    })))
}

/// As [`crate::engine::content::keys`].
///
/// # Errors
/// As there.
pub async fn keys(
    reading: &Reading,
    scan: &Scan,
    keys: &HashSet<KeyHash>,
) -> Result<HashMap<KeyHash, Values>, ReadError> {
    let hashes = [hash(&scan.key, 0), hash(&scan.key, 1)];
    let first = keys.iter().map(|key| key.0).collect();
    told(reading, scan, (&hashes, &scan.key), first, |row, _| {
        Some((row.get(0), row.get(1))).filter(|key| keys.contains(key))
    })
    .await
}

/// As [`crate::engine::content::values`].
///
/// # Errors
/// As there.
pub async fn values(
    reading: &Reading,
    scan: &Scan,
    rows: &HashSet<HashedRow>,
) -> Result<HashMap<HashedRow, Values>, ReadError> {
    let first = rows.iter().map(|row| row.key.0).collect();
    told(reading, scan, (&row_hashes(scan), &scan.columns), first, |row, hashes| {
        Some(hashed_row(row, hashes)).filter(|row| rows.contains(row))
    })
    .await
}

/// The texts of the wanted `columns` of rows whose key has one of these first hashes, by what `wanted` makes of the row's hashes, of
/// which it is told the number. Streamed, since a key that is not unique may have any number of rows.
async fn told<K: Eq + Hash>(
    reading: &Reading,
    scan: &Scan,
    (hashes, columns): (&[String], &[String]),
    first: Vec<i64>,
    wanted: impl Fn(&Row, usize) -> Option<K>,
) -> Result<HashMap<K, Values>, ReadError> {
    if first.is_empty() {
        return Ok(HashMap::new());
    }
    let texts: Vec<String> = columns.iter().map(|column| format!("t.{}::text", quote(column))).collect();
    let sql = format!(
        "SELECT {}, ARRAY[{}]::text[] FROM {} WHERE {} IN (SELECT unnest($1::int8[]))",
        hashes.join(", "),
        texts.join(", "),
        from(scan),
        hashes[0]
    );
    let failed = || query_failed(what(scan));
    let parameters: [&(dyn ToSql + Sync); 1] = [&first];
    let rows = reading.client().query_raw(&sql, parameters).await.map_err(|error| failed()(error))?;
    let mut rows = std::pin::pin!(rows);
    let mut told = HashMap::new();
    while let Some(row) = rows.try_next().await.map_err(|error| failed()(error))? {
        if let Some(key) = wanted(&row, hashes.len()) {
            told.entry(key).or_insert_with(|| row.get(hashes.len()));
        }
    }
    Ok(told)
}

/// The columns of a query that [`hashed_row`] reads: two hashes of the key, and one of each other column.
fn row_hashes(scan: &Scan) -> Vec<String> {
    let of_key = [hash(&scan.key, 0), hash(&scan.key, 1)];
    of_key.into_iter().chain(scan.payload().map(|column| hash([column], 0))).collect()
}

fn hashed_row(row: &Row, hashes: usize) -> HashedRow {
    HashedRow { key: (row.get(0), row.get(1)), columns: (2..hashes).map(|at| row.get(at)).collect() }
}
