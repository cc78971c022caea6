//! Looks at a release's session from a second one, a superuser's: what it went through, what it holds, what became of the tables.
//!
//! Everything comes from the performance schema and from InnoDB's own tables, which lock no user's table (chapters "MySQL Performance
//! Schema" and "InnoDB INFORMATION_SCHEMA Tables" of the manuals, and MariaDB's of the same names). A look is never given up half way: what
//! it had not read yet would be taken for the answer to the next one.

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::{FromRow, Queryable};

use super::connect::{DriverError, leave, opened, own_settings};
use super::locks::locks_whole;
use super::log;
use super::measure::{Handled, Seen, Stages, Table};
use super::names::literal;
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;

/// Databases that hold what is the server's own: the last is where MySQL locks what it writes of a table's definition beside its rows.
const OF_THE_SERVER: &str = "('mysql', 'sys', 'performance_schema', 'information_schema', 'dummy_sdi_db')";

/// For one look.
const LOOK: Duration = Duration::from_secs(20);

/// What the server is at for the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    /// "copy to tmp table".
    pub name: String,
    pub done: Option<u64>,
    pub total: Option<u64>,
}

/// The second session, and the one that it looks at.
pub(super) struct Observer {
    connection: Conn,
    engine: EngineKind,
    database: String,
    /// The server's number for the thread that serves the session.
    thread: u64,
    /// It was given up while it answered.
    spent: bool,
}

impl Observer {
    /// Looks at the session of that connection id. None where the server was started without its performance schema.
    ///
    /// # Errors
    /// The driver's.
    pub async fn connect(
        superuser: &Endpoint,
        session: u32,
        within: Duration,
    ) -> Result<Option<Observer>, DriverError> {
        let first = format!("SET SESSION {}, sql_mode = '', lock_wait_timeout = 2", own_settings(superuser.engine));
        let mut connection = opened(&superuser.in_database(""), &first, within).await?;
        let asked = "SELECT thread_id FROM performance_schema.threads WHERE processlist_id = ?";
        let thread = match connection.exec_first::<u64, _, _>(asked, (session,)).await? {
            Some(thread) => thread,
            None => return Ok(None),
        };
        let (engine, database) = (superuser.engine, superuser.database.clone());
        Ok(Some(Observer { connection, engine, database, thread, spent: false }))
    }

    /// Everything; the tables where `with_tables`.
    ///
    /// # Errors
    /// The driver's.
    pub async fn look(&mut self, with_tables: bool) -> Result<Seen, DriverError> {
        Ok(Seen {
            stages: self.stages().await?,
            handled: self.handled().await?,
            locks: self.locks().await?,
            tables: if with_tables { Some(self.tables().await?) } else { None },
        })
    }

    /// All rows of a query, which ends within [`LOOK`]: after one that did not, the session answers nothing more.
    async fn rows<T: FromRow + Send + 'static>(&mut self, sql: String) -> Result<Vec<T>, DriverError> {
        let late = || {
            DriverError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {LOOK:?}")))
        };
        if self.spent {
            return Err(late());
        }
        // A query that is given up leaves its answer for the next.
        self.spent = true;
        let rows = tokio::time::timeout(LOOK, self.connection.query(sql)).await.map_err(|_| late())?;
        self.spent = false;
        rows
    }

    /// Bytes of the binary log; none where there is none.
    ///
    /// # Errors
    /// The driver's.
    pub async fn written_bytes(&mut self) -> Result<Option<u64>, DriverError> {
        log::written(self.rows("SHOW BINARY LOGS".to_owned()).await)
    }

    /// Relations and modes that the session holds. One in another database has that before its name.
    ///
    /// # Errors
    /// The driver's.
    pub async fn locks(&mut self) -> Result<Vec<(String, String)>, DriverError> {
        let asked = format!(
            "SELECT object_type, object_schema, object_name, lock_type FROM performance_schema.metadata_locks
            WHERE owner_thread_id = {} AND lock_status = 'GRANTED' AND object_type IN ('TABLE', 'GLOBAL', 'BACKUP')
                AND COALESCE(object_name, '') NOT LIKE '#sql%'
                AND COALESCE(object_schema, '') NOT IN {OF_THE_SERVER}",
            self.thread
        );
        let rows: Vec<(String, Option<String>, Option<String>, String)> = self.rows(asked).await?;
        Ok(rows.into_iter().filter_map(|(kind, schema, name, mode)| self.lock(&kind, schema, name, mode)).collect())
    }

    fn lock(&self, kind: &str, schema: Option<String>, name: Option<String>, mode: String) -> Option<(String, String)> {
        match (kind, schema, name) {
            ("TABLE", Some(schema), Some(name)) if schema == self.database => Some((name, mode)),
            ("TABLE", Some(schema), Some(name)) => Some((format!("{schema}.{name}"), mode)),
            // FLUSH TABLES WITH READ LOCK; MariaDB keeps it among its backup locks.
            ("GLOBAL", ..) if mode == "SHARED" => Some(("all tables".to_owned(), "SHARED_NO_WRITE".to_owned())),
            ("BACKUP", ..) if mode.starts_with("BACKUP_FTWRL") => {
                Some(("all tables".to_owned(), "SHARED_NO_WRITE".to_owned()))
            }
            _ => None,
        }
    }

    /// What the session is at.
    ///
    /// # Errors
    /// The driver's.
    pub async fn stage(&mut self) -> Result<Option<Stage>, DriverError> {
        let asked = format!(
            "SELECT event_name, work_completed, work_estimated FROM performance_schema.events_stages_current
            WHERE thread_id = {}",
            self.thread
        );
        let row: Option<(String, Option<u64>, Option<u64>)> = self.rows(asked).await?.pop();
        Ok(row.map(|(name, done, total)| {
            let name = name.rsplit('/').next().unwrap_or(&name).to_owned();
            Stage { name, done, total }
        }))
    }

    /// Seconds for which a session waits for a table's lock that was not told otherwise.
    ///
    /// # Errors
    /// The driver's.
    pub async fn usual_lock_timeout_s(&mut self) -> Result<u64, DriverError> {
        Ok(self.rows("SELECT @@GLOBAL.lock_wait_timeout".to_owned()).await?.pop().unwrap_or(u64::MAX))
    }

    /// Takes its leave.
    pub async fn close(self) {
        leave(self.connection).await;
    }

    async fn stages(&mut self) -> Result<Stages, DriverError> {
        let asked = format!(
            "SELECT event_name, count_star FROM performance_schema.events_stages_summary_by_thread_by_event_name
            WHERE thread_id = {} AND count_star > 0",
            self.thread
        );
        let rows: Vec<(String, u64)> = self.rows(asked).await?;
        let mut stages = Stages::default();
        for (name, count) in rows {
            let name = name.trim_start_matches("stage/").to_lowercase();
            match name.as_str() {
                "sql/copy to tmp table" => stages.copied += count,
                "sql/preparing for alter table" => stages.prepared += count,
                "sql/apply log event" => stages.caught_up += count,
                _ if name.starts_with("innodb/alter table (log apply") => stages.caught_up += count,
                _ if name.starts_with("innodb/alter table (") => stages.built += count,
                _ => {}
            }
        }
        Ok(stages)
    }

    async fn handled(&mut self) -> Result<Handled, DriverError> {
        let asked = format!(
            "SELECT variable_name, variable_value FROM performance_schema.status_by_thread
            WHERE thread_id = {} AND variable_name LIKE 'Handler%'",
            self.thread
        );
        let rows: Vec<(String, String)> = self.rows(asked).await?;
        let mut handled = Handled::default();
        for (name, value) in rows {
            let value = value.parse::<u64>().unwrap_or(0);
            match name.to_lowercase().as_str() {
                "handler_read_rnd_next" | "handler_read_next" | "handler_read_prev" => handled.read += value,
                "handler_update" | "handler_delete" => handled.changed += value,
                "handler_write" => handled.written += value,
                _ => {}
            }
        }
        Ok(handled)
    }

    /// Every table of the database.
    async fn tables(&mut self) -> Result<BTreeMap<String, Table>, DriverError> {
        let asked = format!(
            "SELECT table_name, engine FROM information_schema.tables
            WHERE table_schema = {} AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')",
            literal(&self.database)
        );
        let named: Vec<(String, Option<String>)> = self.rows(asked).await?;
        let known = |(name, engine): (String, Option<String>)| {
            (name, Table { locked_whole: engine.as_deref().is_some_and(locks_whole), ..Table::default() })
        };
        let mut tables: BTreeMap<String, Table> = named.into_iter().map(known).collect();
        let asked = format!(
            "SELECT table_name, column_name FROM information_schema.columns
            WHERE table_schema = {} AND extra LIKE '%auto_increment%'",
            literal(&self.database)
        );
        let numbered: Vec<(String, String)> = self.rows(asked).await?;
        for (table, column) in numbered {
            tables.entry(table).and_modify(|table| table.numbered = Some(column));
        }
        // MariaDB keeps the names that MySQL's tables had before 8.0.
        let of = if self.engine == EngineKind::Mysql { "innodb_" } else { "innodb_sys_" };
        let asked = format!(
            "SELECT t.name, t.table_id, s.num_rows, i.name, i.index_id FROM information_schema.{of}tables t
            LEFT JOIN information_schema.{of}tablestats s ON s.table_id = t.table_id
            LEFT JOIN information_schema.{of}indexes i ON i.table_id = t.table_id
            WHERE t.name LIKE {}",
            literal(&format!("{}/%", as_file_name(&self.database).replace('_', "\\_")))
        );
        type Row = (String, u64, Option<u64>, Option<String>, Option<u64>);
        let rows: Vec<Row> = self.rows(asked).await?;
        let mut counted: BTreeMap<u64, String> = BTreeMap::new();
        for (file, id, count, index, index_id) in rows {
            let Some(table) = table_of(&file, &tables) else { continue };
            let entry = tables.entry(table.clone()).or_default();
            entry.ids.insert(id);
            if counted.insert(id, table).is_none()
                && let Some(count) = count
            {
                *entry.rows.get_or_insert(0) += count;
            }
            if let (Some(index), Some(index_id)) = (index, index_id) {
                entry.indexes.entry(index).or_default().insert(index_id);
            }
        }
        Ok(tables)
    }
}

/// The table, of those that are there, whose rows lie in a file of that name: "shop/orders#P#p0".
fn table_of(file: &str, tables: &BTreeMap<String, Table>) -> Option<String> {
    let (_, name) = file.split_once('/')?;
    let lower = name.to_lowercase();
    let name = lower.find("#p#").map_or(name, |at| &name[..at]);
    if tables.contains_key(name) {
        return Some(name.to_owned());
    }
    tables.keys().find(|table| as_file_name(table) == name).cloned()
}

/// A name as the servers' files have it: what is neither a letter of ASCII, nor a digit or `_`, is `@` and four digits (chapter "Mapping of
/// Identifiers to File Names" of the manuals). Some letters beyond ASCII have shorter forms, which are not known here.
fn as_file_name(name: &str) -> String {
    let mut file = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            file.push(c);
        } else {
            file.push_str(&format!("@{:04x}", u32::from(c)));
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_of_tables() {
        let tables = ["orders", "a-b", "p"].map(|name| (name.to_owned(), Table::default())).into();
        let check = |file: &str, expected: Option<&str>| assert_eq!(table_of(file, &tables).as_deref(), expected);
        check("shop/orders", Some("orders"));
        check("shop/orders#P#p0#SP#s1", Some("orders"));
        check("shop/orders#p#p0", Some("orders"));
        check("shop/a@002db", Some("a-b"));
        check("shop/#sql-ib23", None);
        check("SYS_FOREIGN", None);
    }
}
