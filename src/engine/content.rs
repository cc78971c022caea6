//! A table's content by hashes that the server computes: totals, buckets of rows, and rows column by column.
//!
//! Values are hashed by their text, so that a column that went from `integer` to `bigint` holds what it held. No value leaves the
//! server but by [`keys`] and [`values`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::Pin;

use futures::Stream;

use super::reading::{ReadError, Reading};
use super::{mysql, postgres};

/// What is read of a table on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    pub schema: String,
    pub table: String,
    /// Without the tables that inherit from it; partitions are part of their table.
    pub only: bool,
    /// Compared, by name, in this order on both sides.
    pub columns: Vec<String>,
    /// The columns that tell rows apart; where no key does, all of [`Scan::columns`].
    pub key: Vec<String>,
    /// The type of each of [`Scan::columns`], as the catalog of this side has it.
    pub types: BTreeMap<String, String>,
}

impl Scan {
    /// The columns whose values can differ between rows with the same key.
    pub fn payload(&self) -> impl Iterator<Item = &String> {
        self.columns.iter().filter(|column| !self.key.contains(column))
    }
}

/// Rows, and the sum of their hashes: equal for equal rows in any order, duplicates included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    pub rows: u64,
    pub hash: String,
}

/// Two hashes of a row's key, 128 bits together.
pub type KeyHash = (i64, i64);

/// A row by its hashes alone; the order is that of [`hashed_rows`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashedRow {
    pub key: KeyHash,
    /// Of the columns that are not in the key, in their order.
    pub columns: Vec<i64>,
}

/// A row's values as text, in the order of its columns.
pub type Values = Vec<Option<String>>;

/// In ascending order.
pub type HashedRows<'a> = Pin<Box<dyn Stream<Item = Result<HashedRow, ReadError>> + Send + 'a>>;

/// One scan: rows and hash of the whole table.
///
/// # Errors
/// [`ReadError`] if the table cannot be read.
pub async fn totals(reading: &Reading, scan: &Scan) -> Result<Totals, ReadError> {
    match reading {
        Reading::Postgres(reading) => postgres::content::totals(reading, scan).await,
        Reading::Mysql(reading) => mysql::content::totals(reading, scan).await,
    }
}

/// One scan: rows and hash by bucket, a bucket being the low bits of the key's hash that `mask` (2ⁿ − 1) leaves. Empty buckets are
/// left out.
///
/// # Errors
/// [`ReadError`] if the table cannot be read.
pub async fn buckets(reading: &Reading, scan: &Scan, mask: i64) -> Result<HashMap<i64, Totals>, ReadError> {
    match reading {
        Reading::Postgres(reading) => postgres::content::buckets(reading, scan, mask).await,
        Reading::Mysql(reading) => mysql::content::buckets(reading, scan, mask).await,
    }
}

/// One scan: the rows in these buckets, sorted by the server, streamed. Where a key is not unique, its rows are sorted as well: in
/// whatever order a server keeps them, equal rows meet.
///
/// # Errors
/// [`ReadError`] if the table cannot be read, now or in the stream.
pub async fn hashed_rows<'a>(
    reading: &'a Reading,
    scan: &'a Scan,
    mask: i64,
    buckets: &[i64],
) -> Result<HashedRows<'a>, ReadError> {
    match reading {
        Reading::Postgres(reading) => postgres::content::hashed_rows(reading, scan, mask, buckets).await,
        Reading::Mysql(reading) => Ok(mysql::content::hashed_rows(reading, scan, mask, buckets)),
    }
}

/// One scan: the values of these keys, as many as the key has columns.
///
/// # Errors
/// [`ReadError`] if the table cannot be read.
pub async fn keys(
    reading: &Reading,
    scan: &Scan,
    keys: &HashSet<KeyHash>,
) -> Result<HashMap<KeyHash, Values>, ReadError> {
    match reading {
        Reading::Postgres(reading) => postgres::content::keys(reading, scan, keys).await,
        Reading::Mysql(reading) => mysql::content::keys(reading, scan, keys).await,
    }
}

/// One scan: the values of these rows, of all columns. Of several equal ones, one.
///
/// # Errors
/// [`ReadError`] if the table cannot be read.
pub async fn values(
    reading: &Reading,
    scan: &Scan,
    rows: &HashSet<HashedRow>,
) -> Result<HashMap<HashedRow, Values>, ReadError> {
    match reading {
        Reading::Postgres(reading) => postgres::content::values(reading, scan, rows).await,
        Reading::Mysql(reading) => mysql::content::values(reading, scan, rows).await,
    }
}
