//! Runs a script in a release's session, statement by statement, and tells of each what it did.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::words::{Words, words};
use super::client::{Script, ScriptStatement};
use super::connect::DriverError;
use super::measure::{Effects, Ended, Kind, Tracker, commits_first, kind, strength};
use super::session::{Answer, ReleaseSession, Stopped};
use super::watch::{Observer, Stage};
use crate::engine::release::{RunOptions, ScriptError, Watch};
use crate::event::{SqlError, Statement, Work};
use crate::scenario::Retry;

/// Within which nobody else writes anything worth counting to the log, and where it ended need not be asked again.
const MOMENT: Duration = Duration::from_millis(10);
/// A statement that lasts this long is looked at while it runs, and from then on after as much again, up to [`LOOK_EVERY`].
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A statement that lasts this long is told of while it runs, and so often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// ER_LOCK_WAIT_TIMEOUT and ER_LOCK_DEADLOCK: the same may have the lock when it is tried again.
const FOR_WANT_OF_A_LOCK: [&str; 2] = ["1205", "1213"];

/// Seconds of `lock_wait_timeout` that nobody chose (chapter "Server System Variables" of the manuals).
const USUAL_TIMEOUT_S: u64 = 86_400;

/// As [`crate::engine::release::ReleaseSession::run`].
///
/// # Errors
/// As there.
pub async fn run(
    session: &mut ReleaseSession,
    script: &mut Script,
    options: &RunOptions,
    watch: &mut dyn Watch,
    cancel: &CancellationToken,
) -> Result<(), ScriptError> {
    let deadline = options.timeout.map(|timeout| Instant::now() + timeout);
    let mut tracker = Tracker::new(session.lineage.clone());
    let mut observer =
        Observer::connect(&session.superuser, session.connection.id(), session.asker.within).await.map_err(not_seen)?;
    match &mut observer {
        Some(observer) => tracker.rebase(observer.look(true).await.map_err(not_seen)?),
        None => watch.said("the performance schema is off: what the statements lock and write anew is not known"),
    }
    let lock_timeout = match &mut observer {
        Some(observer) => observer.usual_lock_timeout_s().await.map_err(not_seen)? < USUAL_TIMEOUT_S,
        None => false,
    };
    let mut runner = Runner {
        session,
        options,
        watch,
        cancel,
        deadline,
        tracker,
        observer,
        index: 0,
        lock_timeout,
        block: Vec::new(),
        position: None,
    };
    let ran = runner.run(script).await;
    if let Some(observer) = runner.observer {
        observer.close().await;
    }
    ran
}

struct Runner<'a> {
    session: &'a mut ReleaseSession,
    options: &'a RunOptions,
    watch: &'a mut dyn Watch,
    cancel: &'a CancellationToken,
    deadline: Option<Instant>,
    tracker: Tracker,
    /// None where the server has no performance schema.
    observer: Option<Observer>,
    index: usize,
    /// The session gives up waiting for a table's lock.
    lock_timeout: bool,
    /// Statements of the open transaction, for a retry.
    block: Vec<(ScriptStatement, Kind)>,
    /// Where the log ended after the last statement, and when that was.
    position: Option<(Instant, u64)>,
}

/// How one statement went.
struct Outcome {
    started: Instant,
    elapsed: Duration,
    rows: Option<u64>,
    effects: Effects,
    log_bytes: Option<u64>,
    in_transaction: bool,
    error: Option<Box<SqlError>>,
}

impl Runner<'_> {
    async fn run(&mut self, script: &mut Script) -> Result<(), ScriptError> {
        if let Some(retry) = self.options.retry {
            // Whole seconds are the least that both engines know.
            let seconds = retry.lock_timeout.as_secs_f64().ceil().max(1.0);
            let set = format!("SET SESSION lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}");
            self.own(&set).await?;
            self.lock_timeout = true;
        }
        while let Some(statement) = script.next(self.session.backslash_escapes())? {
            self.statement(&statement).await?;
            self.index += 1;
        }
        if self.session.in_transaction() {
            self.watch.said("the script ended inside a transaction, which is rolled back");
        }
        Ok(())
    }

    async fn statement(&mut self, statement: &ScriptStatement) -> Result<(), ScriptError> {
        let words = words(&statement.text, self.session.superuser.engine);
        let kind = kind(&words);
        self.watch.started(self.index, &statement.text, &statement.place);
        let mut attempts = 1;
        let outcome = loop {
            if commits_first(&words) {
                self.block.clear();
            }
            let outcome = self.execute(statement, &words, kind).await?;
            let Some(retry) = self.options.retry.filter(|retry| self.may_retry(&outcome, kind, attempts, retry)) else {
                break outcome;
            };
            if let Some(stopped) = self.again(retry, &mut attempts).await? {
                break Outcome { error: Some(stopped), ..outcome };
            }
        };
        let in_transaction = self.session.in_transaction();
        if !in_transaction {
            self.block.clear();
        } else if outcome.error.is_none() && self.options.retry.is_some() {
            self.block.push((statement.clone(), kind));
        }
        let error = outcome.error.clone();
        let record = self.record(statement, &words, outcome, attempts);
        self.watch.ended(record);
        match error {
            Some(error) => Err(ScriptError::Statement { place: statement.place.clone(), error }),
            None => Ok(()),
        }
    }

    async fn execute(
        &mut self,
        statement: &ScriptStatement,
        words: &Words,
        kind: Kind,
    ) -> Result<Outcome, ScriptError> {
        let in_transaction = self.session.in_transaction();
        let before = match self.position.take().filter(|(asked, _)| asked.elapsed() < MOMENT) {
            Some((_, position)) => Some(position),
            None => self.log_position().await,
        };
        let mut sampled = BTreeMap::new();
        let started = Instant::now();
        let asking =
            self.session.asker.ask(&mut self.session.connection, &statement.text, 0, self.deadline, self.cancel);
        let (answered, elapsed) = match &mut self.observer {
            Some(observer) => looked_at(asking, observer, &mut sampled, self.watch, started).await,
            None => (asking.await, started.elapsed()),
        };
        let (rows, error) = match answered {
            Ok(answer) => (Some(answer.count), None),
            Err(Stopped::Refused(error)) => (None, Some(error)),
            Err(Stopped::Lost(error)) => {
                return Err(ScriptError::Lost { place: Some(statement.place.clone()), error });
            }
            Err(Stopped::TimedOut | Stopped::Cancelled) => return Err(ScriptError::Cancelled),
            Err(Stopped::Driver(error)) => return Err(ScriptError::Harness(error.into())),
        };
        if let Some(unlogged) = &mut self.session.unlogged {
            unlogged.look(self.session.connection.id()).await.map_err(not_seen)?;
        }
        let ended = Ended { kind, words, rows: rows.unwrap_or(0), done: error.is_none(), sampled: &sampled };
        let effects = self.effects(&ended).await?;
        let after = self.log_position().await;
        self.position = after.map(|position| (Instant::now(), position));
        let log_bytes = before.zip(after).map(|(before, after)| after.saturating_sub(before));
        if kind == Kind::Session && error.is_none() && words.names.iter().any(|name| name == "lock_wait_timeout") {
            self.lock_timeout = self.session_timeout_s().await? < USUAL_TIMEOUT_S;
        }
        Ok(Outcome { started, elapsed, rows, effects, log_bytes, in_transaction, error })
    }

    async fn effects(&mut self, ended: &Ended<'_>) -> Result<Effects, ScriptError> {
        let Some(observer) = &mut self.observer else {
            return Ok(Effects { work: Work::Unknown, ..Effects::default() });
        };
        let with_tables = matches!(ended.kind, Kind::Definition | Kind::Routine);
        let seen = observer.look(with_tables).await.map_err(not_seen)?;
        Ok(self.tracker.after(ended, seen))
    }

    /// None where the server keeps no log, or does not say.
    async fn log_position(&mut self) -> Option<u64> {
        match self.observer.as_mut()?.written_bytes().await {
            Ok(position) => position,
            Err(error) => {
                tracing::debug!(%error, "where the log ends could not be asked");
                None
            }
        }
    }

    /// Only what ended for want of a lock. What a routine had done before cannot be known.
    fn may_retry(&self, outcome: &Outcome, kind: Kind, attempts: u32, retry: &Retry) -> bool {
        let wants_a_lock =
            outcome.error.as_ref().is_some_and(|error| FOR_WANT_OF_A_LOCK.contains(&error.code.as_str()));
        let can_replay = kind != Kind::Routine && self.block.iter().all(|(_, kind)| *kind != Kind::Routine);
        wants_a_lock && attempts < retry.times && can_replay
    }

    /// Waits, and brings an open transaction back to where it was; returns what stopped that for good.
    async fn again(&mut self, retry: Retry, attempts: &mut u32) -> Result<Option<Box<SqlError>>, ScriptError> {
        loop {
            self.watch.retried(self.index, *attempts, retry.times, retry.pause);
            *attempts += 1;
            if !self.block.is_empty() {
                self.own("ROLLBACK").await?;
            }
            tokio::select! {
                () = sleep(retry.pause) => {}
                () = self.cancel.cancelled() => return Err(ScriptError::Cancelled),
            }
            let Some(error) = self.replay().await? else { return Ok(None) };
            if !FOR_WANT_OF_A_LOCK.contains(&error.code.as_str()) || *attempts >= retry.times {
                return Ok(Some(error));
            }
        }
    }

    /// Runs the open transaction's statements again; returns what stopped it.
    async fn replay(&mut self) -> Result<Option<Box<SqlError>>, ScriptError> {
        let block = std::mem::take(&mut self.block);
        let mut stopped = None;
        for (statement, kind) in &block {
            let outcome =
                self.execute(statement, &words(&statement.text, self.session.superuser.engine), *kind).await?;
            if outcome.error.is_some() {
                stopped = outcome.error;
                break;
            }
        }
        self.block = block;
        Ok(stopped)
    }

    /// A statement of this tool's own, in the release's session.
    async fn own(&mut self, sql: &str) -> Result<Answer, ScriptError> {
        let answered = self.session.asker.ask(&mut self.session.connection, sql, 1, self.deadline, self.cancel).await;
        answered.map_err(|stopped| match stopped {
            Stopped::Refused(error) => ScriptError::Harness(error.message.into()),
            Stopped::Lost(error) => ScriptError::Lost { place: None, error },
            Stopped::TimedOut | Stopped::Cancelled => ScriptError::Cancelled,
            Stopped::Driver(error) => ScriptError::Harness(error.into()),
        })
    }

    /// Asked only behind a SET, which leaves nothing for a script to ask after that this would change.
    async fn session_timeout_s(&mut self) -> Result<u64, ScriptError> {
        let answer = self.own("SELECT @@SESSION.lock_wait_timeout").await?;
        let value = answer.rows.into_iter().flatten().next().flatten();
        Ok(value.and_then(|seconds| seconds.parse::<f64>().ok()).map_or(USUAL_TIMEOUT_S, |seconds| seconds as u64))
    }

    fn record(&self, statement: &ScriptStatement, words: &Words, outcome: Outcome, attempts: u32) -> Statement {
        let started = outcome.started.saturating_duration_since(self.options.origin);
        Statement {
            index: self.index,
            sql: statement.text.clone(),
            place: Some(statement.place.clone()),
            command: command(words),
            started_ms: started.as_secs_f64() * 1e3,
            elapsed_ms: outcome.elapsed.as_secs_f64() * 1e3,
            rows: outcome.rows,
            work: outcome.effects.work,
            grows_with: outcome.effects.grows_with,
            locks: outcome.effects.locks,
            rewrote: outcome.effects.rewrote,
            created: outcome.effects.created,
            algorithm: outcome.effects.algorithm.map(str::to_owned),
            numbering: outcome.effects.numbering,
            wal_bytes: outcome.log_bytes,
            attempts,
            lock_timeout: self.lock_timeout || has_own_timeout(words),
            in_transaction: outcome.in_transaction,
            recovered: false,
            error: outcome.error.map(|error| *error),
        }
    }
}

/// Samples what a statement holds, and tells what it is at, for as long as it runs. With the time that it took.
async fn looked_at(
    asking: impl Future<Output = Result<Answer, Stopped>>,
    observer: &mut Observer,
    sampled: &mut BTreeMap<String, String>,
    watch: &mut dyn Watch,
    started: Instant,
) -> (Result<Answer, Stopped>, Duration) {
    let ended = CancellationToken::new();
    let asking = async {
        let answered = asking.await;
        let elapsed = started.elapsed();
        ended.cancel();
        (answered, elapsed)
    };
    let looking = async {
        let mut told: Option<(Instant, Stage)> = None;
        let mut next = FIRST_LOOK;
        while ended.run_until_cancelled(sleep(next)).await.is_some() {
            next = (next * 2).min(LOOK_EVERY);
            match observer.locks().await {
                Ok(locks) => keep_strongest(sampled, locks),
                Err(error) => tracing::debug!(%error, "a statement could not be looked at"),
            }
            if started.elapsed() < TELL_EVERY || told.as_ref().is_some_and(|(at, _)| at.elapsed() < TELL_EVERY) {
                continue;
            }
            let Ok(Some(stage)) = observer.stage().await else { continue };
            if told.as_ref().is_none_or(|(_, last)| *last != stage) {
                watch.progressed(&stage.name, stage.done, stage.total);
            }
            told = Some((Instant::now(), stage));
        }
    };
    tokio::join!(asking, looking).0
}

fn keep_strongest(sampled: &mut BTreeMap<String, String>, locks: Vec<(String, String)>) {
    for (relation, mode) in locks {
        let known = sampled.entry(relation).or_insert_with(|| mode.clone());
        if strength(&mode) > strength(known) {
            *known = mode;
        }
    }
}

fn not_seen(error: DriverError) -> ScriptError {
    ScriptError::Harness(error.into())
}

/// The words by which people know the statement: "ALTER TABLE", "INSERT".
fn command(words: &Words) -> String {
    let mut bare = words.bare.iter();
    let first = bare.next().map_or("", String::as_str);
    match (first, bare.next()) {
        ("ALTER" | "CREATE" | "DROP" | "RENAME" | "TRUNCATE" | "OPTIMIZE" | "LOCK" | "START", Some(second)) => {
            format!("{first} {second}")
        }
        _ => first.to_owned(),
    }
}

/// Whether the statement itself says how long it waits: MariaDB's `WAIT n`, `NOWAIT` and `SET STATEMENT … FOR`.
fn has_own_timeout(words: &Words) -> bool {
    let waits = kind(words) == Kind::Definition && (words.has("WAIT") || words.has("NOWAIT"));
    waits || words.set_for_it.iter().any(|name| name == "lock_wait_timeout")
}
