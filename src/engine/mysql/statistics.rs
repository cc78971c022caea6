//! Statistics for the optimizer. Chapters "ANALYZE TABLE Statement" of the manuals.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::connect::{DriverError, with};
use super::names::quote;
use crate::engine::endpoint::Endpoint;

const DEADLINE: Duration = Duration::from_secs(10);

/// One statement a table, for these tables or for all base tables of the endpoint's database when there are none.
///
/// # Errors
/// The driver's.
pub async fn statements(superuser: &Endpoint, tables: &[String]) -> Result<Vec<String>, DriverError> {
    let tables = match tables {
        [] => all(superuser).await?,
        tables => tables.iter().map(|table| quoted(table)).collect(),
    };
    Ok(tables.iter().map(|table| format!("ANALYZE TABLE {table}")).collect())
}

async fn all(superuser: &Endpoint) -> Result<Vec<String>, DriverError> {
    const TABLES: &str = "SELECT TABLE_NAME FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME";
    let database = &superuser.database;
    let named: Vec<String> = with(&superuser.in_database(""), DEADLINE, async |connection: &mut Conn| {
        connection.exec(TABLES, (database,)).await
    })
    .await?;
    Ok(named.iter().map(|name| quote(name)).collect())
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
    fn a_row_tells_of_a_failure() {
        let row = |cells: [&str; 4]| cells.map(|cell| Some(cell.to_owned())).to_vec();
        let fine = row(["shop.t", "analyze", "status", "OK"]);
        assert_eq!(failure(std::slice::from_ref(&fine)), None);
        let failed = row(["shop.u", "analyze", "Error", "Table 'shop.u' doesn't exist"]);
        assert_eq!(failure(&[fine, failed]), Some("Table 'shop.u' doesn't exist"));
    }
}
