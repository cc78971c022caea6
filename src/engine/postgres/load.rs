//! Rows of a snapshot folder into a lab's server: sessions that take them by COPY, and what else the folder's manifest tells to be made.

use bytes::Bytes;
use tokio_postgres::CopyInSink;
use tokio_postgres::error::SqlState;

use super::blot;
use super::connect::Connection;
pub use super::connect::DriverError;
use super::names::{literal, quote};
pub use super::restore::speaks_of_full_disk;
use super::restore::{RestoreError, open};
use crate::engine::capture::{Role, Sequence, Table};
use crate::engine::endpoint::Endpoint;

/// Under which the captured text means what it meant.
const SETTINGS: &str = "
    SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres';
    SET bytea_output = 'hex'; SET xmloption = 'content'; SET lc_monetary = 'C'; SET row_security = off; SET jit = off;
    SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0;
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'";

/// Settings of a role that are lists: their text has its quotes already.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Where rows go: whole ones, in COPY's text form.
pub type CopyIn = CopyInSink<Bytes>;

/// A session that rows go in by.
pub struct Loader {
    connection: Connection,
}

impl Loader {
    /// # Errors
    /// The server does not answer or refuses.
    pub async fn open(superuser: &Endpoint) -> Result<Loader, RestoreError> {
        let connection = open(superuser).await?;
        connection.client.batch_execute(SETTINGS).await.map_err(|error| refused(&error, "the session's settings"))?;
        Ok(Loader { connection })
    }

    /// Begins to take rows of a table. Dropped before its end, the server keeps none of them.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn copy(&self, table: &Table) -> Result<CopyIn, tokio_postgres::Error> {
        let columns: Vec<String> = table.stored_columns().map(|column| quote(&column.name)).collect();
        let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
        let sql = format!("COPY {}.{}{columns} FROM STDIN", quote(&table.schema), quote(&table.name));
        self.connection.client.copy_in(&sql).await
    }

    /// Gives sequences their values.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn set(&self, sequences: &[Sequence]) -> Result<(), RestoreError> {
        let sql =
            "SELECT pg_catalog.setval(pg_catalog.format('%I.%I', $1::text, $2::text)::pg_catalog.regclass, $3, $4)";
        for Sequence { schema, name, last_value, is_called } in sequences {
            let set = self.connection.client.execute(sql, &[schema, name, last_value, is_called]).await;
            set.map_err(|error| refused(&error, &format!("sequence {}", super::catalog::display_name(schema, name))))?;
        }
        Ok(())
    }
}

/// Makes roles that are not there. A setting or a membership that the server refuses is told as a note: most often it rests on what only
/// production has.
///
/// # Errors
/// A role cannot be made.
pub async fn make_roles(superuser: &Endpoint, roles: &[Role]) -> Result<Vec<String>, RestoreError> {
    let client = &open(superuser).await?.client;
    let there = client.query("SELECT rolname::text FROM pg_catalog.pg_roles", &[]).await;
    let there = there.map_err(|error| refused(&error, "the roles"))?;
    let there: std::collections::BTreeSet<String> = there.iter().map(|row| row.get(0)).collect();
    let new: Vec<&Role> = roles.iter().filter(|role| !there.contains(&role.name)).collect();
    for role in &new {
        let sql = format!("CREATE ROLE {} {}", quote(&role.name), role.attributes.join(" "));
        client.batch_execute(&sql).await.map_err(|error| refused(&error, &format!("role {}", role.name)))?;
    }
    let mut notes = Vec::new();
    for role in &new {
        let settings = role.settings.iter().filter_map(|setting| setting.split_once('='));
        let settings = settings.map(|(name, value)| {
            let value = if LISTS.contains(&name) { value.to_owned() } else { literal(value) };
            // A setting of an extension's has a dot between its names.
            let quoted: Vec<String> = name.split('.').map(quote).collect();
            let sql = format!("ALTER ROLE {} SET {} TO {value}", quote(&role.name), quoted.join("."));
            (sql, format!("the setting {name}"))
        });
        let memberships = role.member_of.iter().map(|group| {
            (format!("GRANT {} TO {}", quote(group), quote(&role.name)), format!("its membership of {group}"))
        });
        for (sql, what) in settings.chain(memberships) {
            if let Err(error) = client.batch_execute(&sql).await {
                notes.push(format!("role {} is without {what}: {}", role.name, words(&error)));
            }
        }
    }
    Ok(notes)
}

/// Why a table's rows were not taken: behind `what`, the row's number, from 1, and its column where the server says them. No values.
pub fn refused_rows(error: &tokio_postgres::Error, what: &str, table: &Table) -> RestoreError {
    let place = error.as_db_error().and_then(|server| row_and_column(server.where_()?, &table.name));
    match place {
        Some(place) => refused(error, &format!("{what}, {place}")),
        None => refused(error, what),
    }
}

fn refused(error: &tokio_postgres::Error, what: &str) -> RestoreError {
    let Some(server) = error.as_db_error() else {
        return if error.is_closed() {
            RestoreError::ServerLost
        } else {
            // The driver's own words hold no rows.
            RestoreError::Refused { line: None, object: Some(what.to_owned()), message: words(error), code: None }
        };
    };
    if *server.code() == SqlState::DISK_FULL {
        return RestoreError::DiskFull;
    }
    RestoreError::Refused {
        line: None,
        object: Some(what.to_owned()),
        message: words(error),
        code: Some(server.code().code().to_owned()),
    }
}

fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => blot::message(Some(server.code().code()), server.message()),
        None => crate::event::with_causes(error),
    }
}

/// `COPY orders, line 17, column total: "abc"`, of table orders → "row 17, column total".
fn row_and_column(context: &str, table: &str) -> Option<String> {
    let rest =
        context.lines().find_map(|line| line.strip_prefix("COPY ")?.strip_prefix(table)?.strip_prefix(", line "))?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = rest.split_at(digits);
    Some(match rest.strip_prefix(", column ").and_then(|rest| rest.split(':').next()) {
        Some(column) => format!("row {number}, column {column}"),
        None => format!("row {number}"),
    })
}

#[cfg(test)]
mod tests {
    use super::row_and_column;

    #[test]
    fn a_row_is_told_by_its_number_and_never_by_its_values() {
        let check = |table: &str, context: &str, expected: Option<&str>| {
            assert_eq!(row_and_column(context, table).as_deref(), expected, "{context}");
        };
        check("orders", "COPY orders, line 17, column total: \"abc\"", Some("row 17, column total"));
        check("orders", "COPY orders, line 17", Some("row 17"));
        check("orders", "COPY orders, line 17: \"1, line 2, column secret\"", Some("row 17"));
        check("a, line 9", "SQL function \"f\"\nCOPY a, line 9, line 3, column c: \"x\"", Some("row 3, column c"));
        check("orders", "PL/pgSQL function f() line 3 at RAISE", None);
    }
}
