//! What a capture reads of a MySQL or MariaDB database: the sessions of [`super::reading`], tables in ranges of their keys.
//!
//! Nothing is locked: InnoDB refuses to read a table that was rebuilt or emptied since the snapshot was taken, and says so (chapter
//! "Consistent Nonlocking Reads" of the manuals). One that took another's name meanwhile it reads, so that is looked for at the end.
//! Definitions are as they are while they are read, before the first row is.

mod facts;
mod sampling;
mod schema;
mod shape;

use std::path::Path;
use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use futures::channel::mpsc;
use futures::{FutureExt, SinkExt, StreamExt, future, stream};
use mysql_async::Value;
use mysql_async::prelude::Queryable;

use super::names::quote;
use super::reading::{Reading, begin, give_back, query_failed};
use crate::engine::capture::{Database, Kind, Part, Planned, Rows, SourceError, Table, escape};
use crate::engine::endpoint::Endpoint;
use crate::engine::reading::{Canceller, ReadError};

/// Rows are passed on in pieces of about this size, so many at a time.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 4;

/// Names of the schema's files: what rows are put into, and what is made once they are there.
pub const TABLES: &str = "tables.sql";
pub const PROGRAMS: &str = "programs.sql";

/// The reading sessions; fewer than asked for where the log does not tell that all see one moment.
pub struct Source {
    readings: Vec<Reading>,
    scripts: OnceLock<schema::Scripts>,
    /// When it was described.
    identities: OnceLock<facts::Identities>,
}

impl Source {
    /// As [`crate::engine::capture::Source::open`].
    ///
    /// # Errors
    /// As there.
    pub async fn open(endpoint: &Endpoint, sessions: usize) -> Result<Source, SourceError> {
        let readings = begin(endpoint, sessions).await?;
        Ok(Source { readings, scripts: OnceLock::new(), identities: OnceLock::new() })
    }

    fn first(&self) -> &Reading {
        &self.readings[0]
    }

    pub fn sessions(&self) -> usize {
        self.readings.len()
    }

    pub fn cancellers(&self) -> Vec<Canceller> {
        self.readings.iter().map(|reading| Canceller::Mysql(reading.canceller())).collect()
    }

    /// As [`crate::engine::capture::Source::describe`].
    ///
    /// # Errors
    /// As there.
    pub async fn describe(&self, part_bytes: u64) -> Result<(Database, Vec<Planned>), SourceError> {
        super::catalog::check_rights(self.first()).await?;
        let identities = facts::identities(self.first()).await?;
        let mut left_out = Vec::new();
        let tables = facts::tables(self.first(), &mut left_out).await?;
        let sequences = facts::sequences(self.first()).await?;
        let scripts = schema::read(self.first(), (&tables, &sequences), &mut left_out).await?;
        let mut planned = Vec::with_capacity(tables.len());
        for found in tables {
            let parts = self.parts(&found, part_bytes).await?;
            planned.push(Planned { table: found.table, parts });
        }
        let database = Database { sequences, left_out, ..facts::database(self.first()).await? };
        // It is described once.
        let _ = (self.scripts.set(scripts), self.identities.set(identities));
        Ok((database, planned))
    }

    /// As [`crate::engine::capture::Source::schema`], of what was described.
    ///
    /// # Errors
    /// As there.
    pub async fn schema(&self, folder: &Path) -> Result<(), SourceError> {
        let Some(scripts) = self.scripts.get() else { return Ok(()) };
        for (name, text) in [(TABLES, &scripts.tables), (PROGRAMS, &scripts.programs)] {
            let path = folder.join(name);
            tokio::fs::write(&path, text).await.map_err(|error| match error.kind() {
                std::io::ErrorKind::StorageFull => SourceError::DiskFull { path },
                _ => SourceError::Schema { source: error.into() },
            })?;
        }
        Ok(())
    }

    /// As [`crate::engine::capture::Source::rows`].
    pub fn rows<'a>(&'a self, session: usize, table: &'a Table, part: &Part) -> Rows<'a> {
        let condition = part.condition.as_ref().map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
        let mut columns: Vec<String> = table.stored_columns().map(|column| told(&column.name, column.kind)).collect();
        if columns.is_empty() {
            // Of generated columns alone; its rows still count.
            columns.push("''".to_owned());
        }
        let sql = format!("SELECT {} FROM {}{condition}", columns.join(", "), quote(&table.name));
        self.queried(session, format!("the rows of {}", table.name), sql)
    }

    /// What a query gives, in the text form.
    fn queried(&self, session: usize, what: String, sql: String) -> Rows<'_> {
        // The driver's rows borrow the connection, which is behind a lock: whoever holds it passes them on.
        let (mut sender, receiver) = mpsc::channel::<Bytes>(PIECES);
        let sending = async move {
            let mut connection = self.readings[session].connection().await;
            let failed = || query_failed(what.clone());
            let mut rows = connection.query_iter(sql).await.map_err(|error| failed()(error))?;
            let mut piece = BytesMut::with_capacity(PIECE);
            let mut text = Vec::new();
            while let Some(row) = rows.next().await.map_err(|error| failed()(error))? {
                write(row.unwrap_raw(), &mut text);
                piece.extend_from_slice(&text);
                if piece.len() >= PIECE && sender.send(piece.split().freeze()).await.is_err() {
                    break;
                }
            }
            drop(rows);
            if !piece.is_empty() {
                // Who went away wants none.
                let _ = sender.send(piece.freeze()).await;
            }
            give_back(&mut connection).await.map_err(|error| failed()(error))
        };
        let failure = sending.into_stream().filter_map(|sent| future::ready(sent.err().map(Err)));
        Box::pin(stream::select(receiver.map(Ok), failure))
    }

    /// As [`crate::engine::capture::Source::unchanged`].
    ///
    /// # Errors
    /// As there.
    pub async fn unchanged(&self) -> Result<(), SourceError> {
        let Some(before) = self.identities.get() else { return Ok(()) };
        let after = facts::identities(self.first()).await?;
        let tables = facts::replaced(before, &after);
        if tables.is_empty() { Ok(()) } else { Err(SourceError::Replaced { tables }) }
    }

    /// Takes its leave.
    pub async fn end(self) {
        for reading in self.readings {
            reading.end().await;
        }
    }

    /// Ranges of the first column of the primary key, where that is an integer.
    async fn parts(&self, found: &facts::Found, part_bytes: u64) -> Result<Vec<Part>, ReadError> {
        let whole = vec![Part { condition: None }];
        let wanted = found.table.stored_bytes / part_bytes.max(1);
        let Some(key) = found.integer_key.as_deref().filter(|_| wanted >= 2) else { return Ok(whole) };
        let (key, from) = (quote(key), quote(&found.table.name));
        let what = format!("the keys of {}", found.table.name);
        let bounds = self.first().rows(&what, &format!("SELECT MIN({key}), MAX({key}) FROM {from}")).await?;
        let bound = |at: usize| bounds.first()?.get(at)?.as_deref()?.parse::<i128>().ok();
        let (Some(least), Some(most)) = (bound(0), bound(1)) else { return Ok(whole) };
        Ok(ranges(&key, (least, most), wanted))
    }
}

/// Ranges without gap, the first and the last without an end.
fn ranges(key: &str, (least, most): (i128, i128), wanted: u64) -> Vec<Part> {
    let wanted = i128::from(wanted);
    let mut bounds: Vec<i128> = (1..wanted).map(|at| least + (most - least) * at / wanted).collect();
    bounds.retain(|bound| *bound > least);
    bounds.dedup();
    let after = |at: usize| format!("{key} >= {}", bounds[at]);
    let before = |at: usize| format!("{key} < {}", bounds[at]);
    let conditions = (0..=bounds.len()).map(|at| match at {
        _ if bounds.is_empty() => None,
        0 => Some(before(0)),
        _ if at == bounds.len() => Some(after(at - 1)),
        _ => Some(format!("{} AND {}", after(at - 1), before(at))),
    });
    conditions.map(|condition| Part { condition }).collect()
}

/// As text that gives the same value again.
fn told(name: &str, kind: Kind) -> String {
    let column = quote(name);
    match kind {
        Kind::Binary | Kind::Geometry => format!("HEX({column})"),
        Kind::Bits => format!("{column} + 0"),
        // The servers print six digits of a float.
        Kind::Float => format!("{column} * 1e0"),
        _ => column,
    }
}

/// A row in the text form, over what was there before.
fn write(row: Vec<Option<Value>>, to: &mut Vec<u8>) {
    to.clear();
    for (at, value) in row.into_iter().enumerate() {
        if at > 0 {
            to.push(b'\t');
        }
        match value {
            None | Some(Value::NULL) => to.extend_from_slice(b"\\N"),
            Some(Value::Bytes(bytes)) => escape(&bytes, to),
            // The text protocol has no others.
            Some(other) => to.extend_from_slice(other.as_sql(true).as_bytes()),
        }
    }
    to.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_parted_without_gap() {
        let check = |bounds, wanted, expected: &[&str]| {
            let parts = ranges("`id`", bounds, wanted);
            let told: Vec<&str> = parts.iter().map(|part| part.condition.as_deref().unwrap_or("all")).collect();
            assert_eq!(told, expected);
        };
        check((1, 300), 3, &["`id` < 100", "`id` >= 100 AND `id` < 200", "`id` >= 200"]);
        check((-5, 5), 2, &["`id` < 0", "`id` >= 0"]);
        check((7, 7), 9, &["all"]);
        check((7, 8), 9, &["all"]);
        check((0, 3), 9, &["`id` < 1", "`id` >= 1 AND `id` < 2", "`id` >= 2"]);
        check((0, i128::from(u64::MAX)), 2, &["`id` < 9223372036854775807", "`id` >= 9223372036854775807"]);
    }
}
