//! The session that runs a release: the very one that `psql -X` would have, and what is seen of its statements.
//!
//! A statement that others may follow goes as the first of a pipeline, and what it locked, read and rewrote is asked in the same
//! transaction, before the locks are gone. Of all others an observer samples the locks from outside.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::describe::{self, Kind};
use super::error::{ServerMessage, connection_error, sql_error};
use super::exchange::{
    ExchangeError, Interruption, Keep, Limits, Reply, ResultSet, exchange, write_pipeline, write_query,
};
use super::measure::{CLOCK, Counters, Effects, Lineage, Seen, Tracker, baseline_sql, measure_sql};
use super::observe::Observer;
use super::psql::{Script, ScriptStatement};
use super::wire::{Canceller, TransactionStatus, Wire, WireError};
use crate::engine::endpoint::Endpoint;
use crate::event::SqlError;

/// psql's own.
const APPLICATION: &str = "psql";
/// Answers of a check beyond this many rows are refused.
pub const MOST_ROWS: usize = 10_000;
/// Within which nobody else writes anything worth counting to the log, and where it ended need not be asked again.
const MOMENT: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("could not open the release's session")]
    Connect(#[from] WireError),
    #[error("could not read the catalogs")]
    Observe(#[source] tokio_postgres::Error),
    /// The connection ended or failed.
    #[error("{}", .0.message)]
    Lost(Box<SqlError>),
    /// The server refused a query of the tool's own, or a check's.
    #[error("{}", .0.message)]
    Refused(Box<SqlError>),
    #[error("measuring the statement failed, and undid it: {}", .0.message)]
    Measuring(Box<SqlError>),
    #[error(transparent)]
    Script(#[from] crate::engine::script::ScriptProblem),
    #[error("more than {MOST_ROWS} rows")]
    TooManyRows,
    #[error("its time was up")]
    TimedOut,
    #[error("cancelled")]
    Cancelled,
}

impl SessionError {
    fn from_exchange(error: ExchangeError, show_values: bool) -> SessionError {
        match error {
            ExchangeError::Wire(error) => SessionError::Lost(Box::new(error.to_sql_error(show_values))),
            ExchangeError::Script(problem) => SessionError::Script(problem),
            ExchangeError::Stuck(Interruption::TimedOut) => SessionError::TimedOut,
            ExchangeError::Stuck(Interruption::Cancelled) => SessionError::Cancelled,
        }
    }
}

impl From<Interruption> for SessionError {
    fn from(interruption: Interruption) -> SessionError {
        match interruption {
            Interruption::TimedOut => SessionError::TimedOut,
            Interruption::Cancelled => SessionError::Cancelled,
        }
    }
}

/// How one statement went.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub command: String,
    pub rows: Option<u64>,
    pub started: Option<Instant>,
    pub elapsed: Duration,
    pub wal_bytes: Option<u64>,
    pub effects: Effects,
    pub in_transaction: bool,
    pub error: Option<ServerMessage>,
    /// The statement's own first result, for `\gset`: two rows at most.
    pub result: ResultSet,
}

/// The release's session and its observer. A step has its own.
pub struct ReleaseSession {
    wire: Wire,
    observer: Observer,
    tracker: Tracker,
    status: TransactionStatus,
    version: u32,
    measure_sql: String,
    pub show_values: bool,
    /// What the session did since the relations and counters were last in step with it.
    relations_stale: bool,
    counters_stale: bool,
    lock_timeout: bool,
    /// Where the log ended after the last statement, and when that was.
    position: Option<(Instant, i64)>,
    endpoint: Endpoint,
}

impl ReleaseSession {
    /// Opens the session as `release`, under psql's application name, with none of the tool's settings; `observer`, best a superuser in
    /// the same database, looks on from a second one.
    ///
    /// # Errors
    /// If the server refuses either, or does not answer within `deadline`.
    pub async fn connect(
        release: &Endpoint,
        observer: &Endpoint,
        lineage: Lineage,
        deadline: Duration,
    ) -> Result<ReleaseSession, SessionError> {
        let wire = Wire::connect(release, APPLICATION, deadline).await?;
        let version = major_version(wire.parameters.get("server_version").map_or("", String::as_str));
        let mut session = ReleaseSession {
            wire,
            observer: Observer::new(observer, deadline),
            tracker: Tracker::new(lineage),
            status: TransactionStatus::Idle,
            version,
            measure_sql: measure_sql(version),
            show_values: false,
            relations_stale: true,
            counters_stale: true,
            lock_timeout: false,
            position: None,
            endpoint: release.clone(),
        };
        session.refresh_relations().await.map_err(SessionError::Observe)?;
        Ok(session)
    }

    /// The server process of the session, as `pg_stat_activity` has it.
    pub fn backend_pid(&self) -> i32 {
        self.wire.process_id
    }

    /// Cancels what the session runs, from anywhere.
    pub fn canceller(&self) -> Canceller {
        self.wire.canceller()
    }

    pub fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Whether the session had a lock timeout when last looked at.
    pub(super) fn has_lock_timeout(&self) -> bool {
        self.lock_timeout
    }

    /// What decides where a string ends.
    pub fn standard_strings(&self) -> bool {
        self.wire.parameters.get("standard_conforming_strings").is_none_or(|value| value == "on")
    }

    /// psql's variables that tell of the connection.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let parameter = |name: &str| self.wire.parameters.get(name).cloned().unwrap_or_default();
        let server = parameter("server_version");
        vec![
            ("DBNAME", self.endpoint.database.clone()),
            ("USER", self.endpoint.user.clone()),
            ("HOST", self.endpoint.host.clone()),
            ("PORT", self.endpoint.port.to_string()),
            ("ENCODING", parameter("client_encoding")),
            ("SERVER_VERSION_NUM", version_number(&server).to_string()),
            ("SERVER_VERSION_NAME", server),
        ]
    }

    /// Says goodbye; an open transaction is rolled back, as when psql ends.
    pub async fn close(self) {
        self.wire.close().await;
    }

    /// The rows that the statement answers, as text; its last result if there are several.
    ///
    /// # Errors
    /// If the server refuses it, it answers more than ten thousand rows, or it is given up.
    pub async fn rows_as_text(
        &mut self,
        sql: &str,
        deadline: Option<Instant>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Vec<Option<String>>>, SessionError> {
        let limits = Limits { deadline, cancel };
        let reply = self.simple(sql, &limits, Keep::Up(MOST_ROWS + 1), None, &mut |_| {}).await?;
        self.counters_stale = true;
        self.relations_stale = true;
        let mut reply = self.accepted(reply)?;
        let rows = reply.results.pop().unwrap_or_default().rows;
        if rows.len() > MOST_ROWS { Err(SessionError::TooManyRows) } else { Ok(rows) }
    }

    /// Sets the session's lock timeout, for a step that retries.
    pub(super) async fn set_lock_timeout(
        &mut self,
        timeout: Duration,
        limits: &Limits<'_>,
    ) -> Result<(), SessionError> {
        let sql = format!("SET lock_timeout = {}", timeout.as_millis().max(1));
        self.own(&sql, limits).await?;
        self.lock_timeout = true;
        Ok(())
    }

    /// Rolls the open transaction back, for a retry.
    pub(super) async fn roll_back(&mut self, limits: &Limits<'_>) -> Result<(), SessionError> {
        self.own("ROLLBACK", limits).await?;
        self.tracker.end_transaction(false);
        Ok(())
    }

    /// Runs one statement and measures it.
    pub(super) async fn execute(
        &mut self,
        statement: &ScriptStatement,
        kind: Kind,
        script: Option<&mut Script>,
        limits: &Limits<'_>,
        notice: &mut (dyn FnMut(ServerMessage) + Send),
    ) -> Result<Outcome, SessionError> {
        let in_transaction = self.status != TransactionStatus::Idle && kind != Kind::Begin;
        self.prepare(kind, limits).await?;
        let weighed = !matches!(kind, Kind::Begin | Kind::Session | Kind::RollbackTo);
        let log_before = match self.position.take().filter(|(asked, _)| asked.elapsed() < MOMENT) {
            Some((_, position)) if weighed => Some(position),
            _ if weighed => self.log_position().await,
            _ => None,
        };
        let pipelined = kind.can_be_followed() && statement.closed && self.status != TransactionStatus::Failed;
        let mut outcome = if pipelined {
            self.execute_followed(statement, kind, limits, notice).await?
        } else {
            self.execute_alone(statement, kind, script, limits, notice).await?
        };
        if let (Some(before), Some(after)) = (log_before, if weighed { self.log_position().await } else { None }) {
            outcome.wal_bytes = u64::try_from(after - before).ok();
            self.position = Some((Instant::now(), after));
        }
        outcome.in_transaction = in_transaction;
        Ok(outcome)
    }

    /// Brings relations and counters in step before a statement that is compared with them.
    async fn prepare(&mut self, kind: Kind, limits: &Limits<'_>) -> Result<(), SessionError> {
        if matches!(kind, Kind::Session | Kind::End | Kind::RollbackTo) {
            return Ok(());
        }
        if self.relations_stale
            && self.status == TransactionStatus::Idle
            && let Err(error) = self.refresh_relations().await
        {
            tracing::warn!(%error, "the catalogs could not be read: what statements rewrite may be missed");
        }
        let idle = self.status == TransactionStatus::Idle;
        // Only a session that can be told to hand in its counters stays in step by itself.
        if idle && (self.counters_stale || self.version < 15) {
            let mut counters = HashMap::new();
            for sql in baseline_sql(self.version) {
                let reply = self.own(sql, limits).await?;
                counters = reply
                    .results
                    .iter()
                    .flat_map(|result| &result.rows)
                    .filter_map(|row| Some((row.first()?.as_deref()?.parse().ok()?, Counters::read(row.get(1..)?))))
                    .collect();
            }
            self.tracker.set_counters(counters);
            self.counters_stale = false;
        }
        Ok(())
    }

    async fn execute_followed(
        &mut self,
        statement: &ScriptStatement,
        kind: Kind,
        limits: &Limits<'_>,
        notice: &mut (dyn FnMut(ServerMessage) + Send),
    ) -> Result<Outcome, SessionError> {
        let texts = [statement.text.as_str(), CLOCK, &self.measure_sql, CLOCK];
        write_pipeline(&texts, statement.gset.is_some(), self.wire.outgoing()).map_err(WireError::Io)?;
        let keep = Keep::FirstUpAndRest(if statement.gset.is_some() { 2 } else { 0 });
        let mut sampled = HashMap::new();
        let pid = self.wire.process_id;
        let started = Instant::now();
        let result = {
            let round = exchange(&mut self.wire, limits, keep, None, notice);
            watched(round, kind.is_sampled().then_some((&mut self.observer, &mut sampled)), pid).await
        };
        let wall = started.elapsed();
        let reply = self.settled(result)?;
        let mut results = reply.results.into_iter();
        let own = results.next();
        let measured: Vec<ResultSet> = results.collect();
        let mut outcome = Outcome {
            command: own.as_ref().map(|own| own.command().to_owned()).unwrap_or_default(),
            rows: own.as_ref().and_then(ResultSet::count),
            started: Some(started),
            elapsed: wall,
            ..Outcome::default()
        };
        if let Some(error) = reply.error {
            // After the statement and before the commit, it was the measuring that failed.
            if own.is_some() && measured.len() < 3 {
                return Err(SessionError::Measuring(Box::new(error.to_sql_error(self.show_values))));
            }
            outcome.error = Some(error);
            self.fail(kind);
            return Ok(outcome);
        }
        let [before, seen, after] = measured.as_slice() else {
            return Err(SessionError::Measuring(Box::new(connection_error(&WireError::Closed(None)))));
        };
        outcome.elapsed = wall.saturating_sub(own_time(before, after));
        self.lock_timeout = has_timeout(after);
        outcome.effects = self.tracker.after(kind, seen.rows.iter().filter_map(|row| Seen::read(row)).collect());
        outcome.result = own.unwrap_or_default();
        if self.status == TransactionStatus::Idle {
            self.tracker.end_transaction(true);
            if kind == Kind::Routine {
                let more = self.seen_from_outside(kind, &statement.text, &sampled, outcome.rows).await;
                outcome.effects.join(more);
            }
        }
        Ok(outcome)
    }

    async fn execute_alone(
        &mut self,
        statement: &ScriptStatement,
        kind: Kind,
        script: Option<&mut Script>,
        limits: &Limits<'_>,
        notice: &mut (dyn FnMut(ServerMessage) + Send),
    ) -> Result<Outcome, SessionError> {
        write_query(&statement.text, self.wire.outgoing()).map_err(WireError::Io)?;
        let keep = Keep::Up(if statement.gset.is_some() { 2 } else { 0 });
        let mut sampled = HashMap::new();
        let pid = self.wire.process_id;
        let started = Instant::now();
        let result = {
            let round = exchange(&mut self.wire, limits, keep, script, notice);
            watched(round, kind.is_sampled().then_some((&mut self.observer, &mut sampled)), pid).await
        };
        let elapsed = started.elapsed();
        let mut reply = self.settled(result)?;
        let looked_at_data = reply.results.iter().any(|result| takes_snapshot(result.command()));
        let last = reply.results.pop().unwrap_or_default();
        let mut outcome = Outcome {
            command: last.command().to_owned(),
            rows: last.count(),
            started: Some(started),
            elapsed,
            ..Outcome::default()
        };
        if let Some(error) = reply.error {
            outcome.error = Some(error);
            self.fail(kind);
            return Ok(outcome);
        }
        outcome.effects = self.effects_alone(statement, kind, &last, looked_at_data, sampled, limits).await?;
        outcome.result = last;
        self.look_at_lock_timeout(kind, limits).await?;
        Ok(outcome)
    }

    /// What came of a statement that went alone, and the books that follow from it.
    async fn effects_alone(
        &mut self,
        statement: &ScriptStatement,
        kind: Kind,
        last: &ResultSet,
        looked_at_data: bool,
        mut sampled: HashMap<u32, Vec<String>>,
        limits: &Limits<'_>,
    ) -> Result<Effects, SessionError> {
        match kind {
            Kind::Begin | Kind::Session | Kind::Apart => return Ok(Effects::default()),
            Kind::End => {
                self.tracker.end_transaction(last.tag == "COMMIT");
                self.relations_stale |= last.tag == "PREPARE TRANSACTION";
                return Ok(Effects::default());
            }
            _ => {}
        }
        self.counters_stale = true;
        if self.status == TransactionStatus::Open {
            // These have had a snapshot taken, so that a question changes nothing for what follows.
            let had_snapshot = matches!(kind, Kind::Copy | Kind::RollbackTo | Kind::Maintain)
                || kind.can_be_followed()
                || (kind == Kind::Unknown && looked_at_data);
            if had_snapshot {
                let reply = self.own(&self.measure_sql.clone(), limits).await?;
                let seen: Vec<Seen> =
                    reply.results.iter().flat_map(|result| &result.rows).filter_map(|row| Seen::read(row)).collect();
                if kind != Kind::RollbackTo {
                    return Ok(self.tracker.after(kind, seen));
                }
                self.tracker.rebase(seen);
                return Ok(Effects::default());
            }
            // What it locked it holds still.
            if let Ok(locks) = self.observer.locks(self.wire.process_id).await {
                locks.into_iter().for_each(|(oid, mode)| sampled.entry(oid).or_default().push(mode));
            }
        }
        let effects = self.seen_from_outside(kind, &statement.text, &sampled, last.count()).await;
        if self.status == TransactionStatus::Idle {
            self.tracker.end_transaction(false);
        }
        Ok(effects)
    }

    async fn seen_from_outside(
        &mut self,
        kind: Kind,
        text: &str,
        sampled: &HashMap<u32, Vec<String>>,
        rows: Option<u64>,
    ) -> Effects {
        let look = kind.may_change_relations() && self.status == TransactionStatus::Idle;
        let relations = if look { self.observer.relations().await.ok() } else { None };
        // In an open transaction nobody outside sees yet what it did.
        self.relations_stale |= kind.may_change_relations() && relations.is_none();
        self.tracker.from_outside(kind, sampled, relations, &describe::touched_identifiers(text), rows)
    }

    /// The books after a statement that failed.
    fn fail(&mut self, kind: Kind) {
        self.counters_stale = true;
        self.relations_stale |= kind.may_change_relations();
        if self.status == TransactionStatus::Idle {
            self.tracker.end_transaction(false);
        }
    }

    /// `SHOW` takes no snapshot, so that it may be asked anywhere, before SET TRANSACTION too.
    async fn look_at_lock_timeout(&mut self, kind: Kind, limits: &Limits<'_>) -> Result<(), SessionError> {
        let may_have_changed = matches!(kind, Kind::Session | Kind::End | Kind::RollbackTo | Kind::Unknown);
        if may_have_changed && self.status != TransactionStatus::Failed {
            let reply = self.own("SHOW lock_timeout", limits).await?;
            let value = reply.results.first().and_then(|result| result.rows.first()?.first()?.as_deref());
            self.lock_timeout = value.is_some_and(|value| value != "0");
        }
        Ok(())
    }

    async fn refresh_relations(&mut self) -> Result<(), tokio_postgres::Error> {
        let relations = self.observer.relations().await?;
        self.tracker.set_relations(relations);
        self.relations_stale = false;
        Ok(())
    }

    async fn log_position(&mut self) -> Option<i64> {
        match self.observer.log_position().await {
            Ok(position) => position,
            Err(error) => {
                let error = sql_error(&error, false);
                tracing::warn!(error = error.message, "the log's position could not be read");
                None
            }
        }
    }

    /// A query of the tool's own, all rows kept.
    async fn own(&mut self, sql: &str, limits: &Limits<'_>) -> Result<Reply, SessionError> {
        let reply = self.simple(sql, limits, Keep::Up(usize::MAX), None, &mut |_| {}).await?;
        self.accepted(reply)
    }

    async fn simple(
        &mut self,
        sql: &str,
        limits: &Limits<'_>,
        keep: Keep,
        script: Option<&mut Script>,
        notice: &mut (dyn FnMut(ServerMessage) + Send),
    ) -> Result<Reply, SessionError> {
        write_query(sql, self.wire.outgoing()).map_err(WireError::Io)?;
        let result = exchange(&mut self.wire, limits, keep, script, notice).await;
        self.settled(result)
    }

    fn accepted(&self, reply: Reply) -> Result<Reply, SessionError> {
        match &reply.error {
            Some(error) => Err(SessionError::Refused(Box::new(error.to_sql_error(self.show_values)))),
            None => Ok(reply),
        }
    }

    /// Notes the transaction's status; a round that was given up and failed for it is no error of the statement's.
    fn settled(&mut self, result: Result<Reply, ExchangeError>) -> Result<Reply, SessionError> {
        let reply = result.map_err(|error| SessionError::from_exchange(error, self.show_values))?;
        self.status = reply.status;
        match (reply.interrupted, &reply.error) {
            (Some(interruption), Some(_)) => Err(interruption.into()),
            _ => Ok(reply),
        }
    }
}

/// Waits for the round, sampling locks meanwhile where that is asked.
async fn watched(
    round: impl Future<Output = Result<Reply, ExchangeError>>,
    sampling: Option<(&mut Observer, &mut HashMap<u32, Vec<String>>)>,
    pid: i32,
) -> Result<Reply, ExchangeError> {
    match sampling {
        None => round.await,
        Some((observer, into)) => tokio::select! {
            reply = round => reply,
            never = observer.sample_locks(pid, into) => match never {},
        },
    }
}

/// Whether a statement with this tag cannot have run without a snapshot; some that can are not among these.
fn takes_snapshot(command: &str) -> bool {
    let first = command.split(' ').next().unwrap_or_default();
    ["ALTER", "CREATE", "DROP", "TRUNCATE", "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REINDEX", "CLUSTER"]
        .contains(&first)
}

/// The time between two answers of [`CLOCK`].
fn own_time(before: &ResultSet, after: &ResultSet) -> Duration {
    let micros = |result: &ResultSet| -> Option<i64> { result.rows.first()?.first()?.as_deref()?.parse().ok() };
    match (micros(before), micros(after)) {
        (Some(before), Some(after)) => Duration::from_micros(u64::try_from(after - before).unwrap_or(0)),
        _ => Duration::ZERO,
    }
}

fn has_timeout(clock: &ResultSet) -> bool {
    clock.rows.first().and_then(|row| row.get(1)?.as_deref()).is_some_and(|value| value != "0")
}

/// "15.18 (Debian 15.18-0+deb12u1)" is 15.
fn major_version(server: &str) -> u32 {
    version_number(server) / 10_000
}

/// psql's number: "15.18 …" is 150018, "18beta1" is 180000.
fn version_number(server: &str) -> u32 {
    let mut parts = server.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let major: u32 = parts.next().unwrap_or(0);
    let minor =
        if server.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('.') { parts.next() } else { None };
    major * 10_000 + minor.unwrap_or(0)
}
