//! Statistics for the optimizer. Chapters "ANALYZE TABLE Statement" of the manuals.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::connect::{DriverError, in_time, with};
use super::locks::locks_whole;
use super::names::quote;
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;

const CONNECT: Duration = Duration::from_secs(10);
/// Of a question for tables, which may wait for one whose definition is being changed.
const ANSWER: Duration = Duration::from_secs(60);

/// A statement that analyzes a table, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    pub sql: String,
    /// "orders", in another database than the endpoint's "shop.orders".
    pub table: String,
    /// It reads every row: it is no sample of pages, as InnoDB's is.
    pub reads_all: bool,
    /// Meanwhile nobody writes to the table.
    pub stops_writes: bool,
}

/// One statement a table, for these tables or for all base tables of the endpoint's database when there are none.
///
/// # Errors
/// The driver's.
pub async fn statements(superuser: &Endpoint, tables: &[String]) -> Result<Vec<Analysis>, DriverError> {
    let database = superuser.database.as_str();
    let ask = async |connection: &mut Conn| {
        let by_column = match superuser.engine {
            EngineKind::Mysql => false,
            // Chapter "Engine-Independent Table Statistics" of MariaDB's manual.
            _ => {
                let use_of: Option<String> = connection.query_first("SELECT @@GLOBAL.use_stat_tables").await?;
                reads_columns(&use_of.unwrap_or_default())
            }
        };
        let mut found = Vec::new();
        if tables.is_empty() {
            for (name, engine) in connection.exec::<(String, Option<String>), _, _>(TABLES, (database,)).await? {
                found.push(analysis(&name, quote(&name), engine.as_deref(), by_column));
            }
        }
        for table in tables {
            let (of, name) = table.split_once('.').unwrap_or((database, table));
            let engine: Option<Option<String>> = connection.exec_first(ENGINE, (of, name)).await?;
            let known_as = if of == database { name } else { table };
            found.push(analysis(known_as, quoted(table), engine.flatten().as_deref(), by_column));
        }
        Ok(found)
    };
    in_time(ANSWER, with(&superuser.in_database(""), CONNECT, ask)).await
}

const TABLES: &str = "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = ? AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME";

const ENGINE: &str = "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";

/// Whether ANALYZE TABLE counts the values of each column, whatever the engine, by the setting `use_stat_tables`.
fn reads_columns(use_of: &str) -> bool {
    ["preferably", "complementary"].iter().any(|each| use_of.eq_ignore_ascii_case(each))
}

/// Of what is no table, or not there, nothing is read.
fn analysis(table: &str, quoted: String, engine: Option<&str>, by_column: bool) -> Analysis {
    let is_sampled = engine.is_none_or(|engine| engine.eq_ignore_ascii_case("InnoDB"));
    Analysis {
        sql: format!("ANALYZE TABLE {quoted}"),
        table: table.to_owned(),
        reads_all: !is_sampled || (by_column && engine.is_some()),
        stops_writes: engine.is_some_and(locks_whole),
    }
}

/// "orders" or "shop.orders", each part quoted.
fn quoted(table: &str) -> String {
    match table.split_once('.') {
        Some((database, name)) => format!("{}.{}", quote(database), quote(name)),
        None => quote(table),
    }
}

/// What the server says of the table in the rows that it answers, where it could not analyze it: a failure is no error of the statement.
/// Rows are table, operation, kind of message and message.
pub fn failure(rows: &[Vec<Option<String>>]) -> Option<&str> {
    let is_error = |row: &&Vec<Option<String>>| matches!(row.as_slice(), [_, _, Some(kind), _] if kind.eq_ignore_ascii_case("error"));
    rows.iter().find(is_error).map(|row| row[3].as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_as_they_are_given() {
        assert_eq!(quoted("a"), "`a`");
        assert_eq!(quoted("b.c"), "`b`.`c`");
    }

    #[test]
    fn what_is_read_is_the_engine_s_and_the_setting_s() {
        let check = |engine: Option<&str>, use_of: &str, expected: (bool, bool)| {
            let found = analysis("t", quote("t"), engine, reads_columns(use_of));
            assert_eq!((found.reads_all, found.stops_writes), expected, "{engine:?} {use_of}");
        };
        check(Some("InnoDB"), "PREFERABLY_FOR_QUERIES", (false, false));
        check(Some("InnoDB"), "", (false, false));
        check(Some("InnoDB"), "PREFERABLY", (true, false));
        check(Some("InnoDB"), "COMPLEMENTARY", (true, false));
        check(Some("MyISAM"), "NEVER", (true, true));
        check(Some("ROCKSDB"), "NEVER", (true, false));
        check(None, "PREFERABLY", (false, false));
    }

    #[test]
    fn a_row_tells_of_a_failure() {
        let row = |cells: [&str; 4]| cells.map(|cell| Some(cell.to_owned())).to_vec();
        let fine = row(["shop.t", "analyze", "status", "OK"]);
        assert_eq!(failure(std::slice::from_ref(&fine)), None);
        let failed = row(["shop.u", "analyze", "Error", "Table 'shop.u' doesn't exist"]);
        assert_eq!(failure(&[fine, failed]), Some("Table 'shop.u' doesn't exist"));
    }
}
