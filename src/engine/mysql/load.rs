//! Rows of a snapshot folder into a lab's server, by LOAD DATA LOCAL. Under LOCAL the servers make warnings of errors, so that a warning
//! counts as one here, unless it is known to lose nothing (chapter "LOAD DATA" of the manuals).

use bytes::Bytes;
use futures::{StreamExt, stream};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc;

use super::connect::{leave, opened, own_settings, with};
use super::error::shown;
use super::names::quote;
use super::restore::{CONNECT_DEADLINE, RestoreError, failed};
use crate::engine::EngineKind;
use crate::engine::capture::{Kind, Table};
use crate::engine::endpoint::Endpoint;

/// Under which the captured text means what it meant, whatever the rows hold.
const SETTINGS: &str =
    "sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00', foreign_key_checks = 0,
    unique_checks = 0, lock_wait_timeout = 600, net_read_timeout = 3600, wait_timeout = 28800, max_error_count = 65535";

/// What MariaDB alone has: production may hold rows from before a constraint, and so does its copy. MySQL enforces what is enforced there.
const UNCHECKED: &str = ", check_constraint_checks = 0";

/// Deprecations, which say nothing of values.
const HARMLESS: [u16; 4] = [1287, 1681, 3719, 3720];

/// WARN_DATA_TRUNCATED.
const TRUNCATED: u16 = 1265;

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
        let unchecked = if superuser.engine == EngineKind::Mariadb { UNCHECKED } else { "" };
        let settings = format!("SET SESSION {}, {SETTINGS}{unchecked}", own_settings(superuser.engine));
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
            // A server that refuses before it asks for rows leaves the driver with who would give them, and these with nobody to take them.
            self.connection
                .set_infile_handler(async { Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()) });
            return Err(match error {
                mysql_async::Error::Server(said) => refused(what, said.code, &said.state, &said.message),
                source => RestoreError::Database { what: "could not load rows", source },
            });
        }
        let loaded = self.connection.affected_rows();
        let all: Option<u64> = self
            .connection
            .query_first("SHOW COUNT(*) WARNINGS")
            .await
            .map_err(failed("could not ask for warnings"))?;
        let told: Vec<(String, u16, String)> = match all {
            Some(0) | None => Vec::new(),
            _ => self.connection.query("SHOW WARNINGS").await.map_err(failed("could not ask for warnings"))?,
        };
        let untold = all.unwrap_or_default().saturating_sub(told.len() as u64);
        match told.into_iter().find(|(level, number, message)| loses(table, level, *number, message)) {
            Some((_, number, message)) => Err(refused(what, number, "", &message)),
            None if untold > 0 => Err(RestoreError::Rows {
                what: what.to_owned(),
                row: None,
                message: format!("the server does not tell {untold} of its warnings"),
                number: 0,
            }),
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
    // Rows of generated columns alone have one field, which is empty.
    if columns.is_empty() {
        columns.push("@v0".to_owned());
    }
    let set = if set.is_empty() { String::new() } else { format!(" SET {}", set.join(", ")) };
    format!(
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET utf8mb4 ({}){set}",
        quote(&table.name),
        columns.join(", ")
    )
}

/// Whether a warning may mean that a value is not what it was.
fn loses(table: &Table, level: &str, number: u16, message: &str) -> bool {
    if number == TRUNCATED {
        // An enum's value that is none of its labels is empty in text, comes back as that, and is warned of.
        let of_enum = |name: &str| message.starts_with(&format!("Data truncated for column '{name}' at row "));
        return !table.stored_columns().any(|column| column.kind == Kind::Enum && of_enum(&column.name));
    }
    // Of a note's values only this one says that they were cut.
    level != "Note" && !HARMLESS.contains(&number)
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
    use super::{loses, refused};
    use crate::engine::capture::{Column, Kind, Table};

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

    #[test]
    fn a_warning_is_judged_by_what_it_may_have_lost() {
        let column = |name: &str, kind| Column {
            name: name.into(),
            type_name: String::new(),
            kind,
            is_nullable: true,
            is_generated: false,
            is_hex: false,
            distinct: None,
            null_fraction: None,
            correlation: None,
        };
        let table = Table {
            schema: String::new(),
            name: "t".into(),
            part_of: None,
            columns: vec![column("mood", Kind::Enum), column("n", Kind::Integer)],
            estimated_rows: None,
            stored_bytes: 0,
            privileges: Vec::new(),
            condition: None,
        };
        let check =
            |level, number, message, expected| assert_eq!(loses(&table, level, number, message), expected, "{message}");
        check("Warning", 1265, "Data truncated for column 'mood' at row 2", false);
        check("Warning", 1265, "Data truncated for column 'n' at row 2", true);
        check("Note", 1265, "Data truncated for column 'n' at row 2", true);
        check("Warning", 1264, "Out of range value for column 'n' at row 2", true);
        check("Note", 1051, "Unknown table", false);
        check("Warning", 1287, "'x' is deprecated", false);
    }
}
