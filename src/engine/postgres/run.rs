//! Runs a script in a release's session, statement by statement, and tells of each.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::blot;
use super::describe::{self, Kind};
use super::error::{DEADLOCK_DETECTED, LOCK_NOT_AVAILABLE, ServerMessage};
use super::exchange::{Limits, ResultSet};
use super::psql::{Next, Script, ScriptStatement};
use super::session::{Outcome, ReleaseSession, SessionError};
use super::wire::TransactionStatus;
pub use crate::engine::release::{RunOptions, Watch};
use crate::engine::script::ScriptProblem;
use crate::event::{Place, SqlError, Statement};
use crate::scenario::Retry;

/// A script that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub statements: usize,
    /// It ended inside a transaction block, which ending the session rolls back.
    pub left_open: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The server refused a statement. The script stops there, as with `ON_ERROR_STOP`; what was open is rolled back.
    #[error("{}:{}: {}", place.file, place.line, error.message)]
    Statement { index: usize, place: Place, error: Box<SqlError> },
    /// A command that is not understood, or a file that cannot be read.
    #[error(transparent)]
    Script(#[from] ScriptProblem),
    #[error("its time was up")]
    TimedOut { index: usize, place: Option<Place> },
    #[error("cancelled")]
    Cancelled,
    /// The connection ended or failed; of a server that ended by itself.
    #[error("the connection was lost: {}", error.message)]
    Lost { index: usize, place: Option<Place>, error: Box<SqlError> },
    /// The harness failed, not the release.
    #[error("could not measure")]
    Harness(#[source] SessionError),
}

/// Runs the script to its end or its first error.
///
/// # Errors
/// The first thing that stopped it; every statement that was started has been told to `watch` as ended, save where the connection was
/// lost or the run was given up.
pub async fn run(
    session: &mut ReleaseSession,
    script: &mut Script,
    options: &RunOptions,
    watch: &mut dyn Watch,
    cancel: &CancellationToken,
) -> Result<Summary, ScriptError> {
    session.show_values = options.show_values;
    let limits = Limits { deadline: options.timeout.map(|timeout| Instant::now() + timeout), cancel };
    for (name, value) in session.variables() {
        script.variables_mut().set_own(name, value);
    }
    let mut runner =
        Runner { session, options, watch, limits, index: 0, place: None, block: Block::default(), holds_rows: false };
    runner.run(script).await
}

/// The open transaction block, for a retry.
#[derive(Debug, Default)]
struct Block {
    statements: Vec<(ScriptStatement, Kind)>,
    /// COPY's rows went by, and `\gset` may have changed what was sent: neither can be done again.
    cannot_replay: bool,
}

struct Runner<'a> {
    session: &'a mut ReleaseSession,
    options: &'a RunOptions,
    watch: &'a mut dyn Watch,
    limits: Limits<'a>,
    index: usize,
    place: Option<Place>,
    block: Block,
    /// `\gset` has put values of rows into variables.
    holds_rows: bool,
}

impl Runner<'_> {
    async fn run(&mut self, script: &mut Script) -> Result<Summary, ScriptError> {
        if let Some(retry) = self.options.retry {
            let set = self.session.set_lock_timeout(retry.lock_timeout, &self.limits).await;
            set.map_err(|error| self.stopped(error))?;
        }
        while let Some(next) = script.next(self.session.standard_strings())? {
            match next {
                Next::Said(_) if self.holds_rows && !self.options.show_values => {
                    self.watch.said("(a line of \\echo, left out: variables hold rows' values since \\gset)");
                }
                Next::Said(line) => self.watch.said(&line),
                Next::Statement(statement) => {
                    self.place = Some(statement.place.clone());
                    self.statement(&statement, script).await?;
                    self.index += 1;
                }
            }
        }
        let left_open = self.session.status() != TransactionStatus::Idle;
        if left_open {
            self.watch.said("the script ended inside a transaction, which is rolled back");
        }
        Ok(Summary { statements: self.index, left_open })
    }

    async fn statement(&mut self, statement: &ScriptStatement, script: &mut Script) -> Result<(), ScriptError> {
        let kind = describe::kind(&statement.text);
        self.watch.started(self.index, &self.shown(statement), &statement.place);
        let mut attempts = 1;
        let outcome = loop {
            let outcome = self.execute(statement, kind, Some(&mut *script)).await?;
            let Some(retry) = self.options.retry.filter(|_| self.may_retry(&outcome, kind, attempts)) else {
                break outcome;
            };
            self.again(statement, retry, &mut attempts).await?;
        };
        self.keep_for_replay(statement, kind, &outcome);
        let show_values = self.options.show_values;
        let error = outcome.error.as_ref().map(|error| error.to_sql_error_of(&self.shown(statement), show_values));
        let result = outcome.result.clone();
        let record = self.record(statement, outcome, attempts, error.clone());
        self.watch.ended(record);
        if let Some(error) = error {
            return Err(ScriptError::Statement {
                index: self.index,
                place: statement.place.clone(),
                error: Box::new(error),
            });
        }
        after_query(script, &result);
        match &statement.gset {
            Some(prefix) => {
                self.holds_rows = true;
                Ok(set_variables(script, prefix, &result, &statement.place)?)
            }
            None => Ok(()),
        }
    }

    /// The statement as it may be told: from the first `\gset` on, a variable in it may be a row's value.
    fn shown<'s>(&self, statement: &'s ScriptStatement) -> Cow<'s, str> {
        if self.holds_rows && !self.options.show_values {
            Cow::Owned(blot::sql(&statement.text))
        } else {
            Cow::Borrowed(&statement.text)
        }
    }

    async fn execute(
        &mut self,
        statement: &ScriptStatement,
        kind: Kind,
        script: Option<&mut Script>,
    ) -> Result<Outcome, ScriptError> {
        let show_values = self.options.show_values;
        let sql = self.shown(statement);
        let watch = &mut *self.watch;
        let mut notice = |message: ServerMessage| {
            watch.said(&format!("{}:  {}", message.severity, message.shown_of(&sql, show_values)));
        };
        let result = self.session.execute(statement, kind, script, &self.limits, &mut notice).await;
        result.map_err(|error| self.stopped(error))
    }

    /// Only what ended for want of a lock, and what leaves nothing behind: a build that was cut off leaves an invalid index.
    fn may_retry(&self, outcome: &Outcome, kind: Kind, attempts: u32) -> bool {
        let Some(retry) = &self.options.retry else { return false };
        outcome.error.as_ref().is_some_and(|error| is_for_want_of_a_lock(&error.code))
            && attempts < retry.times
            && !matches!(kind, Kind::Build | Kind::Maintain | Kind::Copy | Kind::Routine | Kind::Unknown)
            && !self.block.cannot_replay
    }

    /// Waits, and brings a transaction block back to where it was.
    async fn again(
        &mut self,
        statement: &ScriptStatement,
        retry: Retry,
        attempts: &mut u32,
    ) -> Result<(), ScriptError> {
        loop {
            self.watch.retried(self.index, *attempts, retry.times, retry.pause);
            *attempts += 1;
            if self.session.status() != TransactionStatus::Idle {
                let rolled_back = self.session.roll_back(&self.limits).await;
                rolled_back.map_err(|error| self.stopped(error))?;
            }
            self.pause(retry.pause).await?;
            match self.replay().await? {
                None => return Ok(()),
                Some(error) if is_for_want_of_a_lock(&error.code) && *attempts < retry.times => {}
                Some(error) => {
                    let error = error.to_sql_error_of(&self.shown(statement), self.options.show_values);
                    let record = self.record(statement, Outcome::default(), *attempts, Some(error.clone()));
                    self.watch.ended(record);
                    return Err(ScriptError::Statement {
                        index: self.index,
                        place: statement.place.clone(),
                        error: Box::new(error),
                    });
                }
            }
        }
    }

    async fn pause(&self, pause: Duration) -> Result<(), ScriptError> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            reason = self.limits.passed() => Err(self.stopped(reason.into())),
        }
    }

    /// Runs the block's statements again up to the one that failed; answers what stopped it.
    async fn replay(&mut self) -> Result<Option<ServerMessage>, ScriptError> {
        let statements = std::mem::take(&mut self.block.statements);
        let mut stopped = None;
        for (statement, kind) in &statements {
            let outcome = self.execute(statement, *kind, None).await?;
            if outcome.error.is_some() {
                stopped = outcome.error;
                break;
            }
        }
        self.block.statements = statements;
        Ok(stopped)
    }

    fn keep_for_replay(&mut self, statement: &ScriptStatement, kind: Kind, outcome: &Outcome) {
        let ends = self.session.status() == TransactionStatus::Idle;
        if ends || kind == Kind::End {
            self.block = Block::default();
        }
        // COMMIT AND CHAIN opens the next block, with the modes of the last: there is no BEGIN to begin it again with.
        if kind == Kind::End && !ends {
            self.block.cannot_replay = true;
        }
        if self.options.retry.is_none() || ends || kind == Kind::End || outcome.error.is_some() {
            return;
        }
        self.block.cannot_replay |= kind == Kind::Copy || statement.gset.is_some();
        self.block.statements.push((statement.clone(), kind));
    }

    fn record(
        &self,
        statement: &ScriptStatement,
        outcome: Outcome,
        attempts: u32,
        error: Option<SqlError>,
    ) -> Statement {
        let origin = self.options.origin;
        let started = outcome.started.map_or(Duration::ZERO, |started| started.saturating_duration_since(origin));
        Statement {
            index: self.index,
            sql: self.shown(statement).into_owned(),
            place: Some(statement.place.clone()),
            command: outcome.command,
            started_ms: started.as_secs_f64() * 1e3,
            elapsed_ms: outcome.elapsed.as_secs_f64() * 1e3,
            rows: outcome.rows,
            work: outcome.effects.work,
            grows_with: outcome.effects.grows_with,
            locks: outcome.effects.locks,
            rewrote: outcome.effects.rewrote,
            created: outcome.effects.created,
            algorithm: None,
            numbering: Vec::new(),
            wal_bytes: outcome.wal_bytes,
            attempts,
            lock_timeout: self.session.has_lock_timeout(),
            in_transaction: outcome.in_transaction,
            recovered: false,
            error,
        }
    }

    fn stopped(&self, error: SessionError) -> ScriptError {
        let (index, place) = (self.index, self.place.clone());
        match error {
            SessionError::TimedOut => ScriptError::TimedOut { index, place },
            SessionError::Cancelled => ScriptError::Cancelled,
            SessionError::Lost(error) => ScriptError::Lost { index, place, error },
            SessionError::Script(problem) => ScriptError::Script(problem),
            other => ScriptError::Harness(other),
        }
    }
}

/// Whether the same may have it when it is tried again.
fn is_for_want_of_a_lock(code: &str) -> bool {
    [LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED].contains(&code)
}

/// What psql keeps of the last query for the script to ask.
fn after_query(script: &mut Script, result: &ResultSet) {
    let variables = script.variables_mut();
    variables.set_own("ERROR", "false");
    variables.set_own("SQLSTATE", "00000");
    variables.set_own("ROW_COUNT", result.count().unwrap_or(0).to_string());
}

/// `\gset`: one row, a variable a column.
fn set_variables(script: &mut Script, prefix: &str, result: &ResultSet, place: &Place) -> Result<(), ScriptProblem> {
    let wrong = |what: &str| Err(ScriptProblem::Wrong { place: place.clone(), what: what.to_owned() });
    let row = match result.rows.as_slice() {
        [row] => row,
        [] => return wrong("no rows returned for \\gset"),
        _ => return wrong("more than one row returned for \\gset"),
    };
    for (column, value) in result.columns.iter().zip(row) {
        let name = format!("{prefix}{column}");
        let set = match value {
            Some(value) => script.variables_mut().set(&name, value),
            None => script.variables_mut().unset(&name),
        };
        if set.is_err() {
            return wrong(&format!("\\gset cannot set the variable \"{name}\""));
        }
    }
    Ok(())
}
