//! Rows of a snapshot folder into a lab's server, by LOAD DATA LOCAL. Under LOCAL the servers make warnings of errors, so that a warning
//! counts as one here (chapter "LOAD DATA" of the manuals).

use bytes::Bytes;
use futures::{StreamExt, stream};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc;

use super::connect::{leave, opened, own_settings, with};
use super::error::shown;
use super::names::quote;
use super::restore::{CONNECT_DEADLINE, RestoreError, failed};
use crate::engine::capture::{Kind, Table};
use crate::engine::endpoint::Endpoint;

/// Under which the captured text means what it meant, whatever the rows hold.
const SETTINGS: &str =
    "sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00', foreign_key_checks = 0,
    unique_checks = 0, lock_wait_timeout = 600, net_read_timeout = 3600, wait_timeout = 28800";

/// Lets rows be loaded for as long as it takes; gives whether that had to be allowed.
///
/// # Errors
/// The server's.
pub async fn allow(superuser: &Endpoint) -> Result<bool, RestoreError> {
    let allow = async |connection: &mut Conn| {
        let is_on: Option<bool> = connection.query_first("SELECT @@GLOBAL.local_infile").await?;
        if is_on != Some(true) {
            connection.query_drop("SET GLOBAL local_infile = 1").await?;
        }
        Ok(is_on != Some(true))
    };
    with(superuser, CONNECT_DEADLINE, allow).await.map_err(failed("could not let rows be loaded"))
}

/// Takes back what [`allow`] did.
///
/// # Errors
/// The server's.
pub async fn disallow(superuser: &Endpoint) -> Result<(), RestoreError> {
    let disallow = async |connection: &mut Conn| connection.query_drop("SET GLOBAL local_infile = 0").await;
    with(superuser, CONNECT_DEADLINE, disallow).await.map_err(failed("could not set local_infile back"))
}

/// A session that rows go in by.
pub struct Loader {
    connection: Conn,
}

impl Loader {
    /// # Errors
    /// The server does not answer or refuses.
    pub async fn open(superuser: &Endpoint) -> Result<Loader, RestoreError> {
        let connection = opened(superuser, "SET NAMES utf8mb4", CONNECT_DEADLINE).await;
        let mut connection = connection.map_err(failed("could not connect"))?;
        let settings = format!("SET SESSION {}, {SETTINGS}", own_settings(superuser.engine));
        connection.query_drop(settings).await.map_err(failed("could not set the session's settings"))?;
        Ok(Loader { connection })
    }

    /// Loads so many rows of a table, which `what` names in errors, up to the first piece that is none. They are kept by [`Loader::keep`]
    /// alone.
    ///
    /// # Errors
    /// The server refuses; or it changed a value, or left a row out.
    pub async fn load(
        &mut self,
        table: &Table,
        (what, rows): (&str, u64),
        pieces: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<(), RestoreError> {
        self.connection.query_drop("START TRANSACTION").await.map_err(failed("could not begin"))?;
        self.connection.set_infile_handler(async move {
            let next = async |mut from: mpsc::Receiver<Option<Bytes>>| Some((Ok(from.recv().await.flatten()?), from));
            Ok(stream::unfold(pieces, next).boxed())
        });
        if let Err(error) = self.connection.query_drop(load(table)).await {
            return Err(match error {
                mysql_async::Error::Server(said) => refused(what, said.code, &said.state, &said.message),
                source => RestoreError::Database { what: "could not load rows", source },
            });
        }
        let loaded = self.connection.affected_rows();
        let first: Option<(String, u16, String)> =
            self.connection.query_first("SHOW WARNINGS LIMIT 1").await.map_err(failed("could not ask for warnings"))?;
        match first {
            Some((_, number, message)) => Err(refused(what, number, "", &message)),
            None if loaded != rows => Err(RestoreError::Rows {
                what: what.to_owned(),
                row: None,
                message: format!("{loaded} rows were taken instead of {rows}"),
                number: 0,
            }),
            None => Ok(()),
        }
    }

    /// Keeps what was loaded last.
    ///
    /// # Errors
    /// The server's.
    pub async fn keep(&mut self) -> Result<(), RestoreError> {
        self.connection.query_drop("COMMIT").await.map_err(failed("could not commit rows"))
    }

    /// Takes its leave.
    pub async fn end(self) {
        leave(self.connection).await;
    }
}

fn load(table: &Table) -> String {
    let mut columns = Vec::new();
    let mut set = Vec::new();
    for (at, column) in table.stored_columns().enumerate() {
        let name = quote(&column.name);
        let value = match column.kind {
            _ if column.is_hex => format!("UNHEX(@v{at})"),
            Kind::Bits => format!("CAST(@v{at} AS UNSIGNED)"),
            _ => {
                columns.push(name);
                continue;
            }
        };
        columns.push(format!("@v{at}"));
        set.push(format!("{name} = {value}"));
    }
    let set = if set.is_empty() { String::new() } else { format!(" SET {}", set.join(", ")) };
    format!(
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET utf8mb4 ({}){set}",
        quote(&table.name),
        columns.join(", ")
    )
}

fn refused(what: &str, number: u16, state: &str, message: &str) -> RestoreError {
    // ER_DISK_FULL.
    if number == 1021 {
        return RestoreError::DiskFull;
    }
    // "Incorrect integer value: 'x' for column `shop`.`orders`.`total` at row 17".
    let (said, row) = match message.rsplit_once(" at row ") {
        Some((said, row)) => (said, row.parse().ok()),
        None => (message, None),
    };
    let message = match said.rsplit_once(" for column ") {
        Some((said, column)) => format!("{} for column {column}", shown(number, state, said)),
        None => shown(number, state, said),
    };
    RestoreError::Rows { what: what.to_owned(), row, message, number }
}

#[cfg(test)]
mod tests {
    use super::refused;

    #[test]
    fn a_row_is_told_by_its_number_and_never_by_its_values() {
        let check = |number, message: &str, expected: &str| {
            assert_eq!(refused("t, chunk 1", number, "", message).to_string(), expected);
        };
        check(
            1366,
            "Incorrect integer value: 's3cret' for column `shop`.`t`.`n` at row 17",
            "t, chunk 1, row 17: Incorrect integer value: … for column `shop`.`t`.`n` (1366)",
        );
        check(
            1265,
            "Data truncated for column 'n' at row 2",
            "t, chunk 1, row 2: Data truncated for column 'n' (1265)",
        );
        check(1062, "Duplicate entry '7' for key 'PRIMARY'", "t, chunk 1: Duplicate entry … for key 'PRIMARY' (1062)");
        check(1021, "Disk full", "the disk is full");
    }
}
