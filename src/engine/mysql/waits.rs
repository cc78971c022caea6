//! Who waits for a lock, and behind whom: read from the performance schema and InnoDB's own tables, which lock no user's table.
//!
//! Metadata locks come from `performance_schema.metadata_locks` (chapters "The metadata_locks Table" of the manuals), for which the server
//! must have been started with its instrument; row locks from `performance_schema.data_lock_waits` (MySQL) and from
//! `information_schema.innodb_lock_waits` (MariaDB). The latter is a copy that is made anew only when nobody has read it for a tenth of a
//! second: whoever asks more often sees nothing new.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::{FromRow, Queryable};
use tokio::sync::Mutex;

use super::connect::{DriverError, in_time, opened, own_settings};
use super::locks::{MetadataLock, TableWait, behind};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::waits::{BackEnd, Client, Waiting};

const CONNECT: Duration = Duration::from_secs(5);
/// After which the server is taken for gone: its own limit is a second.
const ANSWER: Duration = Duration::from_secs(5);

/// Between two readings of InnoDB's tables in MariaDB's information schema.
const COPY: Duration = Duration::from_millis(110);

/// A session of the observer's own. Its statements end by themselves within a second.
pub struct Waits {
    connection: Mutex<Conn>,
    closed: AtomicBool,
    engine: EngineKind,
    database: String,
    /// What MariaDB said last of rows, and when.
    rows: Mutex<(Option<Instant>, Vec<RowWait>)>,
    /// When each wait began that was seen by the last look. The server counts anew every second.
    begun: std::sync::Mutex<HashMap<(i32, String), Instant>>,
}

impl Waits {
    /// # Errors
    /// The driver's.
    pub async fn connect(superuser: &Endpoint) -> Result<Waits, DriverError> {
        let limit = match superuser.engine {
            EngineKind::Mysql => "max_execution_time = 1000",
            _ => "max_statement_time = 1",
        };
        let settings = format!(
            "SET SESSION {}, {limit}, lock_wait_timeout = 1, innodb_lock_wait_timeout = 1",
            own_settings(superuser.engine)
        );
        let own = superuser.named("rehearsal observer").in_database("");
        Ok(Waits {
            connection: Mutex::new(opened(&own, &settings, CONNECT).await?),
            closed: AtomicBool::new(false),
            engine: superuser.engine,
            database: superuser.database.clone(),
            rows: Mutex::default(),
            begun: std::sync::Mutex::default(),
        })
    }

    /// Everyone who waits now. Costs one cheap query when nobody does.
    ///
    /// # Errors
    /// The driver's; a closed connection stays closed.
    pub async fn look(&self) -> Result<Vec<Waiting>, DriverError> {
        let mut waiting = Vec::new();
        let rows = match self.engine {
            EngineKind::Mysql => {
                let (metadata, tables, rows) = self.anybody(ANYBODY_ON_MYSQL).await?;
                if metadata || tables {
                    waiting = self.of_metadata(tables).await?;
                }
                if rows { self.ask(ROWS_OF_MYSQL).await? } else { Vec::new() }
            }
            _ => {
                let mut last = self.rows.lock().await;
                let is_due = last.0.is_none_or(|asked| asked.elapsed() >= COPY);
                let anybody = if is_due { ANYBODY } else { ANYBODY_BUT_ROWS };
                let (metadata, tables, rows) = self.anybody(anybody).await?;
                if metadata || tables {
                    waiting = self.of_metadata(tables).await?;
                }
                if is_due {
                    let found = if rows { self.ask(ROWS_OF_MARIADB).await? } else { Vec::new() };
                    *last = (Some(Instant::now()), found);
                }
                last.1.clone()
            }
        };
        self.of_rows(rows, &mut waiting);
        self.count_on(&mut waiting);
        Ok(waiting)
    }

    /// What those sessions are; one that has ended meanwhile is missing.
    ///
    /// # Errors
    /// As of [`Waits::look`].
    pub async fn back_ends(&self, sessions: &[i32]) -> Result<Vec<BackEnd>, DriverError> {
        let ids: Vec<String> = sessions.iter().map(i32::to_string).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<Known> = self.ask(&BACK_ENDS.replace("SESSIONS", &ids.join(", "))).await?;
        Ok(found.into_iter().map(back_end).collect())
    }

    /// Everyone who is on the server now, but this session and replicas.
    ///
    /// # Errors
    /// As of [`Waits::look`].
    pub async fn clients(&self) -> Result<Vec<Client>, DriverError> {
        let found: Vec<(i32, Vec<u8>, String)> = self.ask(CLIENTS).await?;
        let client = |(pid, application, user): (i32, Vec<u8>, String)| Client {
            pid,
            application: String::from_utf8_lossy(&application).into_owned(),
            user,
        };
        // Who has not been let in yet has no name: it may be anybody.
        let is_in = |client: &Client| !["", "unauthenticated user"].contains(&client.user.as_str());
        Ok(found.into_iter().map(client).filter(is_in).collect())
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for a metadata lock, for a whole table, and for a row.
    async fn anybody(&self, sql: &str) -> Result<(bool, bool, bool), DriverError> {
        let found: Vec<(bool, bool, bool)> = self.ask(&sql.replace("TABLE_WAITS", TABLE_WAITS)).await?;
        Ok(found.first().copied().unwrap_or_default())
    }

    async fn ask<T: FromRow + Send + 'static>(&self, sql: &str) -> Result<Vec<T>, DriverError> {
        let mut connection = self.connection.lock().await;
        let answer = in_time(ANSWER, connection.query(sql)).await;
        // Whatever the server says itself, it goes on talking.
        if answer.as_ref().is_err_and(|error| !matches!(error, DriverError::Server(_))) {
            self.closed.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// Waits for metadata locks; and for what comes after them where `with_tables`.
    async fn of_metadata(&self, with_tables: bool) -> Result<Vec<Waiting>, DriverError> {
        let stuck: Vec<Stuck> = match with_tables {
            true => self.ask(&STUCK.replace("TABLE_WAITS", TABLE_WAITS)).await?,
            false => Vec::new(),
        };
        let found: Vec<Held> = self.ask(METADATA).await?;
        let held: Vec<(MetadataLock, Option<Duration>)> = found.into_iter().map(described).collect();
        let mut waiting = self.for_metadata(&held);
        self.of_tables(&stuck, held.into_iter().map(|(lock, _)| lock).collect(), &mut waiting);
        Ok(waiting)
    }

    fn of_tables(&self, stuck: &[Stuck], held: Vec<MetadataLock>, waiting: &mut Vec<Waiting>) {
        let waits: Vec<TableWait> =
            stuck.iter().map(|(session, is_flush, _)| TableWait { session: *session, is_flush: *is_flush }).collect();
        for (wait, (.., waited)) in waits.iter().zip(stuck) {
            let (table, blockers) = behind(*wait, &waits, &held);
            let relation = table.and_then(|table| Some(self.relation(&table.schema?, &table.name?)));
            // It has got what it waited for, between two questions.
            if waiting.iter().any(|each| each.pid == wait.session) || (relation.is_none() && !wait.is_flush) {
                continue;
            }
            let mode = if wait.is_flush { "table flush" } else { "table level lock" };
            waiting.push(Waiting {
                pid: wait.session,
                target: format!("{mode} {}", relation.as_deref().unwrap_or_default()),
                mode: mode.to_owned(),
                relation,
                waited: waited.map(|picoseconds| Duration::from_nanos(picoseconds / 1000)),
                blockers,
            });
        }
    }

    fn for_metadata(&self, held: &[(MetadataLock, Option<Duration>)]) -> Vec<Waiting> {
        let requests = held.iter().filter(|(lock, _)| !lock.granted);
        let waiting = requests.filter_map(|(lock, waited)| {
            let mut blockers: Vec<i32> =
                held.iter().filter(|(other, _)| lock.waits_for(other)).filter_map(|(other, _)| other.session).collect();
            blockers.sort_unstable();
            blockers.dedup();
            let named = [lock.schema.as_deref(), lock.name.as_deref()].into_iter().flatten().collect::<Vec<_>>();
            Some(Waiting {
                pid: lock.session?,
                target: format!("{} {} {} {}", lock.kind, named.join("."), lock.mode, lock.event),
                mode: lock.mode.clone(),
                relation: match (lock.kind.as_str(), &lock.schema, &lock.name) {
                    ("TABLE", Some(schema), Some(name)) => Some(self.relation(schema, name)),
                    _ => None,
                },
                waited: *waited,
                blockers,
            })
        });
        waiting.collect()
    }

    /// Several rows can tell of one wait: one for each session in its way.
    fn of_rows(&self, found: Vec<RowWait>, waiting: &mut Vec<Waiting>) {
        for (pid, blocker, schema, name, kind, mode, lock) in found {
            let target = format!("row {lock}");
            if let Some(known) = waiting.iter_mut().find(|known| known.pid == pid) {
                if known.target == target && !known.blockers.contains(&blocker) {
                    known.blockers.push(blocker);
                    known.blockers.sort_unstable();
                }
                continue;
            }
            let (schema, name) = match schema {
                Some(schema) => (schema, name),
                None => names(&name),
            };
            // "X,REC_NOT_GAP"
            let mode = mode.split(',').next().unwrap_or(&mode);
            let what = if kind == "RECORD" { "row" } else { "table" };
            waiting.push(Waiting {
                pid,
                target,
                mode: format!("{what} {mode}"),
                relation: Some(self.relation(&schema, &name)),
                waited: None,
                blockers: vec![blocker],
            });
        }
    }

    fn relation(&self, schema: &str, name: &str) -> String {
        if schema == self.database { name.to_owned() } else { format!("{schema}.{name}") }
    }

    /// Gives every wait its time since it was first seen, and what the server said it had taken by then.
    fn count_on(&self, waiting: &mut [Waiting]) {
        let now = Instant::now();
        let mut begun = self.begun.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut still = HashMap::new();
        for wait in waiting {
            let key = (wait.pid, wait.target.clone());
            let since = begun.get(&key).copied();
            let since = since.unwrap_or_else(|| now.checked_sub(wait.waited.unwrap_or_default()).unwrap_or(now));
            wait.waited = Some(now - since);
            still.insert(key, since);
        }
        *begun = still;
    }
}

/// A session: number, thread, application, statement. Of the last two either may be in another character set, or cut within a character.
type Known = (i32, String, Vec<u8>, Vec<u8>);

fn back_end((pid, thread, application, sql): Known) -> BackEnd {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    BackEnd { pid, application: text(application), server: own_thread(&thread), sql: text(sql) }
}

/// What a thread of the server's own does; none for a session's, by the thread's name: "thread/sql/one_connection".
fn own_thread(name: &str) -> Option<String> {
    let name = name.rsplit('/').next().unwrap_or(name);
    match name {
        "one_connection" | "admin_interface" => None,
        _ if ["slave", "replica"].iter().any(|word| name.contains(word)) => Some("replication".to_owned()),
        _ => Some(name.replace('_', " ")),
    }
}

/// Database and table of "`shop`.`t`", behind which a partition may stand.
fn names(quoted: &str) -> (String, String) {
    let mut names = Vec::new();
    let mut rest = quoted;
    while let Some(inside) = rest.strip_prefix('`').or_else(|| rest.strip_prefix(".`")) {
        let mut end = 0;
        while let Some(at) = inside[end..].find('`') {
            end += at;
            if !inside[end + 1..].starts_with('`') {
                break;
            }
            end += 2;
        }
        names.push(inside[..end].replace("``", "`"));
        rest = inside.get(end + 1..).unwrap_or_default();
    }
    let mut names = names.into_iter();
    (names.next().unwrap_or_default(), names.next().unwrap_or_default())
}

/// A metadata lock: kind, schema, name, mode, whether it was granted, event, session, picoseconds of the wait.
type Held = (String, Option<String>, Option<String>, String, bool, u64, Option<i32>, Option<u64>);

fn described((kind, schema, name, mode, granted, event, session, waited): Held) -> (MetadataLock, Option<Duration>) {
    let lock = MetadataLock { session, kind, schema, name, mode, granted, event };
    (lock, waited.map(|picoseconds| Duration::from_nanos(picoseconds / 1000)))
}

/// Who waits for a whole table: session, whether it was flushed, picoseconds of the wait.
type Stuck = (i32, bool, Option<u64>);

/// A wait for a row: waiter, who is in its way (0 = a prepared transaction), schema (none where the name has it), name, kind, mode, lock.
type RowWait = (i32, i32, Option<String>, String, String, String, String);

const ANYBODY_ON_MYSQL: &str = "
SELECT EXISTS (SELECT 1 FROM performance_schema.metadata_locks WHERE LOCK_STATUS = 'PENDING'),
    EXISTS (SELECT 1 FROM performance_schema.threads WHERE PROCESSLIST_STATE IN TABLE_WAITS),
    EXISTS (SELECT 1 FROM performance_schema.data_lock_waits)";

const ANYBODY: &str = "
SELECT EXISTS (SELECT 1 FROM performance_schema.metadata_locks WHERE LOCK_STATUS = 'PENDING'),
    EXISTS (SELECT 1 FROM performance_schema.threads WHERE PROCESSLIST_STATE IN TABLE_WAITS),
    EXISTS (SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT')";

const ANYBODY_BUT_ROWS: &str = "
SELECT EXISTS (SELECT 1 FROM performance_schema.metadata_locks WHERE LOCK_STATUS = 'PENDING'),
    EXISTS (SELECT 1 FROM performance_schema.threads WHERE PROCESSLIST_STATE IN TABLE_WAITS), FALSE";

/// Chapters "General Thread States" of the manuals.
const TABLE_WAITS: &str = "('Waiting for table level lock', 'Waiting for table flush')";

const STUCK: &str = "
SELECT t.PROCESSLIST_ID, t.PROCESSLIST_STATE = 'Waiting for table flush', s.TIMER_WAIT
FROM performance_schema.threads t
LEFT JOIN performance_schema.events_stages_current s ON s.THREAD_ID = t.THREAD_ID AND s.END_EVENT_ID IS NULL
    AND s.EVENT_NAME LIKE 'stage/%/Waiting for table %'
WHERE t.PROCESSLIST_STATE IN TABLE_WAITS AND t.PROCESSLIST_ID IS NOT NULL AND t.PROCESSLIST_ID <> CONNECTION_ID()";

const METADATA: &str = "
SELECT m.OBJECT_TYPE, m.OBJECT_SCHEMA, m.OBJECT_NAME, m.LOCK_TYPE, m.LOCK_STATUS = 'GRANTED',
    COALESCE(m.OWNER_EVENT_ID, 0), t.PROCESSLIST_ID, s.TIMER_WAIT
FROM performance_schema.metadata_locks m
JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID
LEFT JOIN performance_schema.events_stages_current s ON s.THREAD_ID = m.OWNER_THREAD_ID AND m.LOCK_STATUS = 'PENDING'
    AND s.END_EVENT_ID IS NULL AND s.EVENT_NAME LIKE 'stage/sql/Waiting for %'
WHERE m.LOCK_STATUS IN ('GRANTED', 'PENDING') AND t.PROCESSLIST_ID <> CONNECTION_ID()";

const ROWS_OF_MYSQL: &str = "
SELECT r.PROCESSLIST_ID, COALESCE(b.PROCESSLIST_ID, 0), l.OBJECT_SCHEMA, l.OBJECT_NAME, l.LOCK_TYPE, l.LOCK_MODE,
    CONCAT_WS(' ', w.REQUESTING_ENGINE_LOCK_ID, w.REQUESTING_EVENT_ID)
FROM performance_schema.data_lock_waits w
JOIN performance_schema.data_locks l ON l.ENGINE_LOCK_ID = w.REQUESTING_ENGINE_LOCK_ID
JOIN performance_schema.threads r ON r.THREAD_ID = w.REQUESTING_THREAD_ID
LEFT JOIN performance_schema.threads b ON b.THREAD_ID = w.BLOCKING_THREAD_ID
WHERE r.PROCESSLIST_ID IS NOT NULL";

const ROWS_OF_MARIADB: &str = "
SELECT r.trx_mysql_thread_id, b.trx_mysql_thread_id, NULL, l.lock_table, l.lock_type, l.lock_mode, w.requested_lock_id
FROM information_schema.INNODB_LOCK_WAITS w
JOIN information_schema.INNODB_LOCKS l ON l.lock_id = w.requested_lock_id
JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id
JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id";

/// The statement is the running one, or the last.
const BACK_ENDS: &str = "
SELECT t.PROCESSLIST_ID, t.NAME, COALESCE(a.ATTR_VALUE, t.PROCESSLIST_USER, ''),
    COALESCE(e.SQL_TEXT, t.PROCESSLIST_INFO, '')
FROM performance_schema.threads t
LEFT JOIN performance_schema.session_connect_attrs a
    ON a.PROCESSLIST_ID = t.PROCESSLIST_ID AND a.ATTR_NAME = 'program_name'
LEFT JOIN performance_schema.events_statements_current e ON e.THREAD_ID = t.THREAD_ID AND e.NESTING_EVENT_LEVEL = 0
WHERE t.PROCESSLIST_ID IN (SESSIONS)";

/// Whoever reads the binary log is a replica.
const CLIENTS: &str = "
SELECT t.PROCESSLIST_ID, COALESCE(a.ATTR_VALUE, t.PROCESSLIST_USER, ''), COALESCE(t.PROCESSLIST_USER, '')
FROM performance_schema.threads t
LEFT JOIN performance_schema.session_connect_attrs a
    ON a.PROCESSLIST_ID = t.PROCESSLIST_ID AND a.ATTR_NAME = 'program_name'
WHERE t.NAME = 'thread/sql/one_connection' AND t.PROCESSLIST_ID IS NOT NULL AND t.PROCESSLIST_ID <> CONNECTION_ID()
    AND COALESCE(t.PROCESSLIST_COMMAND, '') NOT LIKE 'Binlog Dump%'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_told_from_its_database() {
        let check = |quoted: &str, schema: &str, name: &str| {
            assert_eq!(names(quoted), (schema.to_owned(), name.to_owned()), "{quoted}");
        };
        check("`shop`.`t`", "shop", "t");
        check("`shop`.`a``b` /* Partition `p0` */", "shop", "a`b");
    }

    #[test]
    fn a_statement_that_is_cut_within_a_character_is_shown() {
        let cut = b"SELECT 'caf\xc3".to_vec();
        let known = back_end((7, "thread/sql/one_connection".to_owned(), b"caf\xe9".to_vec(), cut));
        assert_eq!((known.application.as_str(), known.sql.as_str()), ("caf\u{fffd}", "SELECT 'caf\u{fffd}"));
    }

    #[test]
    fn threads_of_the_server_are_told_from_sessions() {
        let check = |name: &str, expected: Option<&str>| assert_eq!(own_thread(name).as_deref(), expected);
        check("thread/sql/one_connection", None);
        check("thread/sql/slave_sql", Some("replication"));
        check("thread/sql/replica_worker", Some("replication"));
        check("thread/sql/event_scheduler", Some("event scheduler"));
    }
}
