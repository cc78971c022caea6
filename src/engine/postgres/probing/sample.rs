//! A sample of a table's rows.

use super::shape::Origin;
use crate::engine::probing::{SAMPLE, Sql, Table, WIDEST_ROW};

/// Pages that a sample is drawn from, about.
const SAMPLE_PAGES: i64 = 64;

/// Whatever the database's own settings say: texts that any session reads.
pub(in crate::engine) const PLAIN_TEXTS: &str =
    "SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1";

/// The query for a bounded sample of rows, at random from pages at random. Every column, in the table's order.
pub(in crate::engine) fn sample(origin: &Origin, table: &Table) -> String {
    let mut sql = Sql::to_send(table.engine);
    sql.push("SELECT ").list(table.columns.iter().map(|column| column.quoted.as_str()));
    sql.push(" FROM ").push(&table.quoted);
    if origin.pages > SAMPLE_PAGES {
        let percent = 100.0 * SAMPLE_PAGES as f64 / origin.pages as f64;
        sql.push(&format!(" TABLESAMPLE SYSTEM ({percent})"));
    }
    let wide: Vec<String> = table
        .columns
        .iter()
        .filter(|column| column.variable)
        .map(|column| format!("coalesce(pg_catalog.pg_column_size({}), 0)", column.quoted))
        .collect();
    if !wide.is_empty() {
        sql.push(&format!(" WHERE {} < {WIDEST_ROW}", wide.join(" + ")));
    }
    sql.push(&format!(" ORDER BY pg_catalog.random() LIMIT {SAMPLE}"));
    sql.finish()
}
