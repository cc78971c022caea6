//! Sessions that are to stay out of the binary log, and whether they did: others write beside them, so it is the session's own
//! transactions that are looked at (chapters "The performance_schema.events_transactions_history Table" of MySQL's manual and
//! "last_gtid" of MariaDB's).

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::connect::{DriverError, in_time, with};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;

/// What a session has in the binary log since it was to stay out of it.
#[derive(Debug)]
pub(super) struct Unlogged {
    /// Who looks.
    superuser: Endpoint,
    within: Duration,
    /// The first transaction that got there, of MySQL.
    seen: Option<String>,
    /// MySQL keeps no account of the session's transactions.
    blind: bool,
}

impl Unlogged {
    /// From here on the session writes no binary log, unless it says otherwise itself.
    ///
    /// # Errors
    /// The driver's.
    pub async fn begin(connection: &mut Conn, superuser: &Endpoint, within: Duration) -> Result<Unlogged, DriverError> {
        connection.query_drop("SET SESSION sql_log_bin = 0").await?;
        let blind = match superuser.engine {
            EngineKind::Mysql => {
                let keeps = "SELECT COUNT(*) = 2 FROM performance_schema.setup_consumers
                    WHERE name IN ('events_transactions_current', 'events_transactions_history') AND enabled = 'YES'";
                let ask = async |connection: &mut Conn| connection.query_first::<bool, _>(keeps).await;
                in_time(within, with(&superuser.in_database(""), within, ask)).await? != Some(true)
            }
            _ => false,
        };
        Ok(Unlogged { superuser: superuser.in_database(""), within, seen: None, blind })
    }

    /// To be asked after each statement, for MySQL remembers a session's last transactions alone. From another session: in this one it
    /// would be seen by the script's next statement.
    ///
    /// # Errors
    /// The driver's.
    pub async fn look(&mut self, session: u32) -> Result<(), DriverError> {
        if self.superuser.engine != EngineKind::Mysql || self.seen.is_some() {
            return Ok(());
        }
        let logged = "SELECT gtid FROM performance_schema.events_transactions_history
            JOIN performance_schema.threads USING (thread_id) WHERE processlist_id = ? AND gtid LIKE '%:%'
            ORDER BY event_id LIMIT 1";
        let ask = async |connection: &mut Conn| connection.exec_first::<String, _, _>(logged, (session,)).await;
        self.seen = in_time(self.within, with(&self.superuser, self.within, ask)).await?;
        Ok(())
    }

    /// A transaction of the session's that is in the log; none where there is none.
    ///
    /// # Errors
    /// The driver's; or nobody can tell.
    pub async fn end(self, connection: &mut Conn) -> Result<Option<String>, DriverError> {
        match self.superuser.engine {
            EngineKind::Mysql if self.blind && self.seen.is_none() => {
                let said = "performance_schema keeps no history of transactions, by which to tell what is in the log";
                Err(std::io::Error::other(said).into())
            }
            EngineKind::Mysql => Ok(self.seen),
            _ => {
                let last = connection.query_first::<String, _>("SELECT @@SESSION.last_gtid").await?;
                Ok(last.filter(|gtid| !gtid.is_empty()))
            }
        }
    }
}
