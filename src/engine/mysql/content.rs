//! A table's content by hashes, as [`crate::engine::content`] has it.
//!
//! A row's values are put into one text, each quoted and NULL not, so that no two rows give the same, and the text is hashed by
//! `SHA2`, which is what both engines have; it costs no more than `MD5`. Long values go into the text by a hash of their own, whatever
//! their type, so that `varchar` and `text` compare. Texts are hashed as utf8mb4, and so is what another character set holds; bytes by
//! their digits; floats and doubles with all their digits, where the servers print six of a float; moments to the microsecond.
//!
//! A value that would be longer than `max_allowed_packet` is NULL to these servers, with a warning (chapter "String Functions and
//! Operators" of the manuals). A table whose rows could give so long a text is refused.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use futures::channel::mpsc;
use futures::{FutureExt, SinkExt, StreamExt, future, stream};
use mysql_async::Row;
use mysql_async::prelude::{FromValue, Queryable};

use super::names::quote;
use super::reading::{Reading, give_back, query_failed};
use super::session::texts;
use crate::engine::content::{HashedRow, HashedRows, KeyHash, Scan, Totals, Values};
use crate::engine::reading::ReadError;

/// Bytes of a value that goes into a row's text as it is.
const SHORT: u32 = 1024;

/// Bytes that a value takes in a row's text at most: short, every byte escaped, and with quotes.
const VALUE_BYTES: u64 = 2 * SHORT as u64 + 8;

/// Rows on their way from the server to whoever merges them.
const ON_THEIR_WAY: usize = 512;

/// How a column's values become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text {
        may_be_long: bool,
    },
    Bytes {
        may_be_long: bool,
    },
    Float,
    /// Bits, and numbers that are printed with zeros before them.
    Number,
    Moment,
    Time,
    /// As it prints.
    Plain,
}

impl Form {
    /// Of a type as `COLUMN_TYPE` has it: "varchar(20)", "int(5) unsigned zerofill".
    fn of(type_name: &str) -> Form {
        let mut words = type_name.split(['(', ')', ' ']);
        let base = words.next().unwrap_or_default().to_ascii_lowercase();
        let length: Option<u32> = words.next().and_then(|length| length.parse().ok());
        match base.as_str() {
            // A character has four bytes at most.
            "char" | "varchar" => Form::Text { may_be_long: length.is_none_or(|length| length > SHORT / 4) },
            "tinytext" | "text" | "mediumtext" | "longtext" | "json" | "enum" | "set" => {
                Form::Text { may_be_long: true }
            }
            "binary" | "varbinary" => Form::Bytes { may_be_long: length.is_none_or(|length| length > SHORT) },
            "tinyblob" | "blob" | "mediumblob" | "longblob" | "vector" | "geometry" | "point" | "linestring"
            | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection"
            | "geomcollection" => Form::Bytes { may_be_long: true },
            "float" | "double" | "real" => Form::Float,
            "datetime" | "timestamp" => Form::Moment,
            "time" => Form::Time,
            "bit" => Form::Number,
            _ if type_name.contains("zerofill") => Form::Number,
            _ => Form::Plain,
        }
    }

    /// The value's part in a row's text; never NULL, and never another value's.
    fn hashed(self, column: &str) -> String {
        let or_hash = |may_be_long: bool, value: &str, short: String| {
            if may_be_long { format!("IF(LENGTH({value}) > {SHORT}, SHA2({value}, 256), {short})") } else { short }
        };
        match self {
            Form::Text { may_be_long } => {
                let value = self.told(column);
                or_hash(may_be_long, &value, format!("QUOTE({value})"))
            }
            Form::Bytes { may_be_long } => {
                or_hash(may_be_long, column, format!("IFNULL(CONCAT('x', HEX({column})), 'NULL')"))
            }
            Form::Moment => format!("QUOTE(CAST({column} AS DATETIME(6)))"),
            Form::Time => format!("QUOTE(TIME_FORMAT({column}, '%H:%i:%s.%f'))"),
            Form::Float | Form::Number | Form::Plain => format!("QUOTE({})", self.told(column)),
        }
    }

    /// The value as text, for a person.
    fn told(self, column: &str) -> String {
        match self {
            Form::Text { .. } => format!("CONVERT({column} USING utf8mb4)"),
            Form::Bytes { .. } => format!("CONCAT('0x', HEX({column}))"),
            Form::Float => format!("{column} * 1e0"),
            Form::Number => format!("{column} + 0"),
            Form::Moment | Form::Time | Form::Plain => column.to_owned(),
        }
    }
}

fn form(scan: &Scan, column: &str) -> Form {
    scan.types.get(column).map_or(Form::Plain, |type_name| Form::of(type_name))
}

/// The hash of some columns together, as hexadecimal digits.
fn digest<'a>(scan: &Scan, columns: impl IntoIterator<Item = &'a String>) -> String {
    let parts: Vec<String> =
        columns.into_iter().map(|column| form(scan, column).hashed(&format!("t.{}", quote(column)))).collect();
    if parts.is_empty() {
        return "SHA2('', 256)".to_owned();
    }
    // Bytes have no collation, and make the whole of it bytes.
    format!("SHA2(CONCAT_WS(_binary',', {}), 256)", parts.join(", "))
}

/// One of the two hashes that are made of a digest.
fn half(digest: &str, which: usize) -> String {
    format!("CAST(CONV(SUBSTR({digest}, {}, 16), 16, -10) AS SIGNED)", 1 + 16 * which)
}

fn hash<'a>(scan: &Scan, columns: impl IntoIterator<Item = &'a String>, which: usize) -> String {
    half(&digest(scan, columns), which)
}

fn from(scan: &Scan) -> String {
    format!("{}.{} t", quote(&scan.schema), quote(&scan.table))
}

fn what(scan: &Scan) -> String {
    format!("the rows of {}", super::catalog::printed(&scan.table))
}

/// As [`crate::engine::content::totals`].
///
/// # Errors
/// As there; also if a row's text could be too long for the server.
pub async fn totals(reading: &Reading, scan: &Scan) -> Result<Totals, ReadError> {
    let longest = VALUE_BYTES * scan.columns.len() as u64;
    if longest > reading.max_allowed_packet {
        let source = format!("its rows may take {longest} bytes as text, and max_allowed_packet is less").into();
        return Err(ReadError::Query { what: what(scan), source });
    }
    let sql = format!("SELECT COUNT(*), COALESCE(SUM({}), 0) FROM {}", hash(scan, &scan.columns, 0), from(scan));
    let rows = reading.rows(&what(scan), &sql).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let [Some(rows), Some(hash)] = <[Option<String>; 2]>::try_from(row).unwrap_or_default() else {
        return Err(unknown_form(scan, "no totals"));
    };
    Ok(Totals { rows: rows.parse().map_err(|_| unknown_form(scan, "no number of rows"))?, hash })
}

/// As [`crate::engine::content::buckets`].
///
/// # Errors
/// As there.
pub async fn buckets(reading: &Reading, scan: &Scan, mask: i64) -> Result<HashMap<i64, Totals>, ReadError> {
    let sql = format!(
        "SELECT {} & {mask}, COUNT(*), SUM({}) FROM {} GROUP BY 1",
        hash(scan, &scan.key, 0),
        hash(scan, &scan.columns, 0),
        from(scan)
    );
    let rows = reading.rows(&what(scan), &sql).await?;
    let bucket = |row: Vec<Option<String>>| {
        let [Some(bucket), Some(rows), Some(hash)] = <[Option<String>; 3]>::try_from(row).ok()? else { return None };
        Some((bucket.parse().ok()?, Totals { rows: rows.parse().ok()?, hash }))
    };
    rows.into_iter().map(|row| bucket(row).ok_or_else(|| unknown_form(scan, "no bucket"))).collect()
}

/// As [`crate::engine::content::hashed_rows`].
///
/// # Errors
/// As there.
pub fn hashed_rows<'a>(reading: &'a Reading, scan: &'a Scan, mask: i64, buckets: &[i64]) -> HashedRows<'a> {
    let hashes = row_hashes(scan);
    let order: Vec<String> = (1..=hashes.len()).map(|at| at.to_string()).collect();
    let sql = format!(
        "SELECT {} FROM {} WHERE ({} & {mask}) IN ({}) ORDER BY {}",
        hashes.join(", "),
        from(scan),
        hashes[0],
        list(buckets),
        order.join(", ")
    );
    // The driver's rows borrow the connection, which is behind a lock: whoever holds it sends them on.
    let (mut sender, receiver) = mpsc::channel(ON_THEIR_WAY);
    let sending = async move {
        let mut connection = reading.connection().await;
        let failed = || query_failed(what(scan));
        let mut rows = connection.query_iter(sql).await.map_err(|error| failed()(error))?;
        while let Some(row) = rows.next().await.map_err(|error| failed()(error))? {
            let hashes = row.len();
            let row = hashed_row(&row, hashes).ok_or_else(|| unknown_form(scan, "a row without a hash"))?;
            if sender.send(row).await.is_err() {
                break;
            }
        }
        drop(rows);
        give_back(&mut connection).await.map_err(|error| failed()(error))
    };
    let failure = sending.into_stream().filter_map(|sent| future::ready(sent.err().map(Err)));
    Box::pin(stream::select(receiver.map(Ok), failure))
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
    let digest = digest(scan, &scan.key);
    let hashes = [half(&digest, 0), half(&digest, 1)];
    let first: Vec<i64> = keys.iter().map(|key| key.0).collect();
    told(reading, scan, (&hashes, &scan.key), &first, |row, _| {
        Some((number(row, 0)?, number(row, 1)?)).filter(|key| keys.contains(key))
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
    let first: Vec<i64> = rows.iter().map(|row| row.key.0).collect();
    told(reading, scan, (&row_hashes(scan), &scan.columns), &first, |row, hashes| {
        hashed_row(row, hashes).filter(|row| rows.contains(row))
    })
    .await
}

/// The texts of the wanted `columns` of rows whose key has one of these first hashes, by what `wanted` makes of the row's hashes, of
/// which it is told the number. Streamed, since a key that is not unique may have any number of rows.
async fn told<K: Eq + Hash>(
    reading: &Reading,
    scan: &Scan,
    (hashes, columns): (&[String], &[String]),
    first: &[i64],
    wanted: impl Fn(&Row, usize) -> Option<K>,
) -> Result<HashMap<K, Values>, ReadError> {
    if first.is_empty() {
        return Ok(HashMap::new());
    }
    let values = columns.iter().map(|column| form(scan, column).told(&format!("t.{}", quote(column))));
    let selected: Vec<String> = hashes.iter().cloned().chain(values).collect();
    let sql = format!("SELECT {} FROM {} WHERE {} IN ({})", selected.join(", "), from(scan), hashes[0], list(first));
    let failed = || query_failed(what(scan));
    let mut connection = reading.connection().await;
    let mut rows = connection.query_iter(sql).await.map_err(|error| failed()(error))?;
    let mut told = HashMap::new();
    while let Some(row) = rows.next().await.map_err(|error| failed()(error))? {
        if let Some(key) = wanted(&row, hashes.len()) {
            told.entry(key).or_insert_with(|| texts(row).split_off(hashes.len()));
        }
    }
    drop(rows);
    give_back(&mut connection).await.map_err(|error| failed()(error))?;
    Ok(told)
}

/// The columns of a query that [`hashed_row`] reads: two hashes of the key, and one of each other column.
fn row_hashes(scan: &Scan) -> Vec<String> {
    let digest = digest(scan, &scan.key);
    let of_key = [half(&digest, 0), half(&digest, 1)];
    of_key.into_iter().chain(scan.payload().map(|column| hash(scan, [column], 0))).collect()
}

fn hashed_row(row: &Row, hashes: usize) -> Option<HashedRow> {
    let columns = (2..hashes).map(|at| number(row, at)).collect::<Option<_>>()?;
    Some(HashedRow { key: (number(row, 0)?, number(row, 1)?), columns })
}

fn number(row: &Row, at: usize) -> Option<i64> {
    let value = row.as_ref(at)?.clone();
    <i64 as FromValue>::from_value_opt(value).ok()
}

fn list(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}

fn unknown_form(scan: &Scan, found: &'static str) -> ReadError {
    ReadError::Form { what: what(scan), source: found.into() }
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[test]
    fn types_and_their_forms() {
        let check = |type_name, expected| assert_eq!(Form::of(type_name), expected, "{type_name}");
        check("varchar(20)", Form::Text { may_be_long: false });
        check("varchar(256)", Form::Text { may_be_long: false });
        check("varchar(257)", Form::Text { may_be_long: true });
        check("longtext", Form::Text { may_be_long: true });
        check("enum('a)','b')", Form::Text { may_be_long: true });
        check("binary(16)", Form::Bytes { may_be_long: false });
        check("longblob", Form::Bytes { may_be_long: true });
        check("int(5) unsigned zerofill", Form::Number);
        check("bit(64)", Form::Number);
        check("double(9,2)", Form::Float);
        check("timestamp(3)", Form::Moment);
        check("date", Form::Plain);
        check("decimal(12,2)", Form::Plain);
    }
}
