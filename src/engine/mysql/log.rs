//! The binary log (chapter "The Binary Log" of the manuals).

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::connect::DriverError;

/// ER_NO_BINARY_LOGGING.
const NOT_KEPT: u16 = 1381;

/// Bytes that the server has written to it so far, in the files that are still there; none where it keeps none.
///
/// # Errors
/// The driver's.
pub async fn written_bytes(connection: &mut Conn) -> Result<Option<u64>, DriverError> {
    written(connection.query("SHOW BINARY LOGS").await)
}

/// The same, of what the server answered to `SHOW BINARY LOGS`.
///
/// # Errors
/// As there.
pub fn written(answer: Result<Vec<Row>, DriverError>) -> Result<Option<u64>, DriverError> {
    match answer {
        Ok(files) => Ok(Some(files.iter().filter_map(|file| file.get_opt::<u64, _>("File_size")?.ok()).sum())),
        Err(DriverError::Server(said)) if said.code == NOT_KEPT => Ok(None),
        Err(error) => Err(error),
    }
}
