//! The statements that somebody else's program ran, recovered from the server's performance schema.
//!
//! While a [`Recording`] is open, new sessions of the account keep what they ran in `events_statements_history_long`, and nobody else does
//! (chapters "Pre-Filtering by Thread" and "The events_statements_history_long Table" of the manuals). That is a ring: it is read again and
//! again, and what it lost is noticed by what should still be there. Neither the slow log nor the general log has a statement's error, and
//! each holds everybody's statements. MariaDB keeps no text of a statement that a client prepared: it is taken from the list of threads while
//! the statement runs, and of one that is over in a moment it stays unknown.

mod collected;

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::time::Instant;

use super::connect::{DriverError, in_time, leave, opened, own_settings};
use super::names::literal;
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::recover::Recovered;
use collected::{Collected, Event, Key};

const CONNECT: Duration = Duration::from_secs(20);
/// Of any statement here: none of them waits for a user's table.
const ANSWER: Duration = Duration::from_secs(20);
/// Between two readings.
const EVERY: Duration = Duration::from_millis(50);
/// Two sessions' events may be kept in another order than they ended in: never so far apart, in picoseconds.
const OUT_OF_ORDER: u64 = 1_000_000_000_000;

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("the server keeps no statements: its performance schema is off or has no room for them")]
    NotKept,
    #[error("the program ran more statements in a moment than the server keeps, and some were lost")]
    Lost,
    #[error("a session of the program still ran a statement {deadline:?} after its end")]
    Deadline { deadline: Duration },
    #[error("could not {what}")]
    Database { what: &'static str, source: DriverError },
}

/// An open recording. [`Recording::finish`] must follow, whatever became of the program: it puts the server's settings back.
pub struct Recording {
    connection: Conn,
    engine: EngineKind,
    users: Vec<String>,
    ours: fn(&str) -> bool,
    /// Whether new sessions of everybody else kept their statements before.
    before: Before,
    collected: Collected,
    /// The newest event of the last reading but one, and of the last: as long as the first is in the ring, nothing that came after it is
    /// lost. What came while the last reading went on may be older than what that saw last.
    anchors: [Key; 2],
    failed: Option<RecoverError>,
}

struct Before {
    history: Option<String>,
    consumer: String,
}

const CONSUMER: &str = "events_statements_history_long";
const DEFAULT_ACTOR: &str = "HOST = '%' AND USER = '%' AND ROLE = '%'";

/// Makes new sessions of these users keep what they run. Sessions for which `ours` says yes by application are left out. `now_ms` is the
/// run's clock.
///
/// # Errors
/// [`RecoverError::NotKept`] where there is nothing to read later, or the server's.
pub async fn begin(
    superuser: &Endpoint,
    users: &[String],
    ours: fn(&str) -> bool,
    now_ms: &(dyn Fn() -> f64 + Sync),
) -> Result<Recording, RecoverError> {
    let own = superuser.named("rehearsal recover").in_database("");
    // Settings of the performance schema are each server's own.
    let settings = format!("SET SESSION {}, sql_log_bin = 0, lock_wait_timeout = 10", own_settings(own.engine));
    let connection = opened(&own, &settings, CONNECT).await;
    let mut connection = connection.map_err(|source| RecoverError::Database { what: "connect", source })?;
    let before = before(&mut connection).await?;
    let begun = async {
        keep(&mut connection, users).await?;
        mark(&mut connection, now_ms).await
    };
    match begun.await {
        Ok((mark, begin_ms)) => Ok(Recording {
            collected: Collected::new(&mark, begin_ms),
            anchors: [mark.key(), mark.key()],
            engine: superuser.engine,
            users: users.to_vec(),
            connection,
            ours,
            before,
            failed: None,
        }),
        Err(error) => {
            put_back(&mut connection, users, &before).await?;
            Err(error)
        }
    }
}

impl Recording {
    /// Reads what the sessions run while the work goes on; what goes wrong is told by [`Recording::finish`].
    pub async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(EVERY), if self.failed.is_none() => {}
            }
            // Not dropped half way: the connection would be of no use any more.
            if self.failed.is_none() {
                let (done, read) = both(&mut work, self.read()).await;
                self.failed = read.err();
                if let Some(done) = done {
                    return done;
                }
            }
        }
    }

    /// Reads what is left, once no session of the program runs a statement any more, for at most `deadline`; and puts the server's
    /// settings back.
    ///
    /// # Errors
    /// The server's; or not all statements are known.
    pub async fn finish(mut self, show_values: bool, deadline: Duration) -> Result<Recovered, RecoverError> {
        let read = match self.failed.take() {
            Some(error) => Err(error),
            None => self.rest(deadline).await,
        };
        let back = put_back(&mut self.connection, &self.users, &self.before).await;
        read?;
        back?;
        leave(self.connection).await;
        Ok(self.collected.recovered(self.engine, show_values))
    }

    async fn rest(&mut self, deadline: Duration) -> Result<(), RecoverError> {
        let until = Instant::now() + deadline;
        loop {
            // Asked first: what has ended by then is read.
            let running = self.running().await?;
            self.read().await?;
            if running.iter().all(|thread| self.collected.is_ours(*thread)) {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(RecoverError::Deadline { deadline });
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Threads of recorded sessions that run a statement now. Somebody who reads the binary log does so until the connection ends.
    async fn running(&mut self) -> Result<Vec<u64>, RecoverError> {
        const RUNNING: &str = "SELECT DISTINCT e.THREAD_ID FROM performance_schema.events_statements_current e
            JOIN performance_schema.threads t ON t.THREAD_ID = e.THREAD_ID
            WHERE t.HISTORY = 'YES' AND t.TYPE = 'FOREGROUND' AND t.PROCESSLIST_ID <> CONNECTION_ID()
                AND e.END_EVENT_ID IS NULL AND e.EVENT_NAME NOT LIKE 'statement/com/Binlog%'";
        within("see what the program's sessions run", self.connection.query(RUNNING)).await
    }

    async fn read(&mut self) -> Result<(), RecoverError> {
        let [anchor, newest] = self.anchors;
        let since = anchor.end.saturating_sub(OUT_OF_ORDER);
        let events = within("read what the program ran", self.connection.query(collected::since(since))).await?;
        let events: Vec<Event> = events.into_iter().map(Event::of).collect();
        if !events.iter().any(|event| event.key() == anchor) {
            return Err(RecoverError::Lost);
        }
        let last = events.iter().map(Event::key).max_by_key(|key| key.end).unwrap_or(newest);
        self.collected.add(events, self.ours);
        self.anchors = [newest, last];
        if self.engine == EngineKind::Mariadb {
            let running = within("see what the program prepared", self.connection.query(EXECUTED)).await?;
            self.collected.look_at(running);
        }
        Ok(())
    }
}

/// Prepared statements that recorded sessions run now.
const EXECUTED: &str = "
SELECT e.THREAD_ID, e.EVENT_ID, t.PROCESSLIST_INFO
FROM performance_schema.threads t JOIN performance_schema.events_statements_current e ON e.THREAD_ID = t.THREAD_ID
WHERE t.HISTORY = 'YES' AND t.TYPE = 'FOREGROUND' AND t.PROCESSLIST_INFO IS NOT NULL
    AND e.NESTING_EVENT_LEVEL = 0 AND e.END_EVENT_ID IS NULL AND e.EVENT_NAME LIKE 'statement/com/%xecute'";

/// Waits for the second, and goes on with the first meanwhile.
async fn both<A, B>(first: &mut (impl Future<Output = A> + Unpin), second: impl Future<Output = B>) -> (Option<A>, B) {
    tokio::pin!(second);
    tokio::select! {
        second = &mut second => (None, second),
        first = first => (Some(first), second.await),
    }
}

async fn before(connection: &mut Conn) -> Result<Before, RecoverError> {
    let what = "see what sessions keep";
    let room =
        "SELECT @@GLOBAL.performance_schema AND @@GLOBAL.performance_schema_events_statements_history_long_size > 0";
    if within(what, connection.query_first::<bool, _>(room)).await? != Some(true) {
        return Err(RecoverError::NotKept);
    }
    let history = format!("SELECT HISTORY FROM performance_schema.setup_actors WHERE {DEFAULT_ACTOR}");
    let history = within(what, connection.query_first::<String, _>(history)).await?;
    let consumer = format!("SELECT ENABLED FROM performance_schema.setup_consumers WHERE NAME = '{CONSUMER}'");
    let consumer = within(what, connection.query_first::<String, _>(consumer)).await?;
    Ok(Before { history, consumer: consumer.ok_or(RecoverError::NotKept)? })
}

async fn keep(connection: &mut Conn, users: &[String]) -> Result<(), RecoverError> {
    let mut statements = vec![forget(users), "UPDATE performance_schema.setup_actors SET HISTORY = 'NO'".to_owned()];
    statements.extend(users.iter().map(|user| {
        format!(
            "INSERT INTO performance_schema.setup_actors (HOST, USER, ROLE, ENABLED, HISTORY)
                VALUES ('%', {}, '%', 'YES', 'YES')",
            literal(user)
        )
    }));
    statements.extend([
        "UPDATE performance_schema.threads SET HISTORY = 'NO' WHERE TYPE = 'FOREGROUND'".to_owned(),
        format!(
            "UPDATE performance_schema.setup_consumers SET ENABLED = 'YES'
                WHERE NAME IN ('events_statements_current', '{CONSUMER}')"
        ),
        format!("TRUNCATE TABLE performance_schema.{CONSUMER}"),
    ]);
    for statement in statements {
        within("set what sessions keep", connection.query_drop(statement)).await?;
    }
    Ok(())
}

fn forget(users: &[String]) -> String {
    let users: Vec<String> = users.iter().map(|user| literal(user)).collect();
    format!("DELETE FROM performance_schema.setup_actors WHERE HOST = '%' AND USER IN ({})", users.join(", "))
}

async fn put_back(connection: &mut Conn, users: &[String], before: &Before) -> Result<(), RecoverError> {
    let mut statements = vec![forget(users)];
    if let Some(history) = &before.history {
        let history = literal(history);
        statements
            .push(format!("UPDATE performance_schema.setup_actors SET HISTORY = {history} WHERE {DEFAULT_ACTOR}"));
    }
    let enabled = literal(&before.consumer);
    statements
        .push(format!("UPDATE performance_schema.setup_consumers SET ENABLED = {enabled} WHERE NAME = '{CONSUMER}'"));
    for statement in statements {
        within("put back what sessions keep", connection.query_drop(statement)).await?;
    }
    Ok(())
}

/// A statement of this session's own, from which times are counted: when it ran by the server's timer, and by the run's clock, in the
/// middle of its round trip.
async fn mark(connection: &mut Conn, now_ms: &(dyn Fn() -> f64 + Sync)) -> Result<(Event, f64), RecoverError> {
    let what = "write a mark";
    let mark = format!("SELECT 'rehearsal mark {:016x}'", rand::random::<u64>());
    let history = |value| {
        format!("UPDATE performance_schema.threads SET HISTORY = '{value}' WHERE PROCESSLIST_ID = CONNECTION_ID()")
    };
    within(what, connection.query_drop(history("YES"))).await?;
    let sent_ms = now_ms();
    within(what, connection.query_drop(&mark)).await?;
    let marked_ms = f64::midpoint(sent_ms, now_ms());
    within(what, connection.query_drop(history("NO"))).await?;
    let events = within(what, connection.query(collected::since(0))).await?;
    let marked = events.into_iter().map(Event::of).find(|event| event.sql.as_deref() == Some(mark.as_str()));
    Ok((marked.ok_or(RecoverError::NotKept)?, marked_ms))
}

async fn within<T>(
    what: &'static str,
    asking: impl Future<Output = Result<T, DriverError>>,
) -> Result<T, RecoverError> {
    in_time(ANSWER, asking).await.map_err(|source| RecoverError::Database { what, source })
}
