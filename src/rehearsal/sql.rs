//! Steps of SQL: a script in the session that the engine's own client would have.

use std::time::Duration;

use super::current::Current;
use super::dispatcher::Events;
use super::failure::Failure;
use super::step::{Cut, Ended, Runner, Running, could_not, refused};
use crate::engine::release::{ReleaseSession, RunOptions, Script, ScriptError, Watch};
use crate::engine::script::Source;
use crate::engine::statistics::{self, Gathering};
use crate::event::{Event, Owner, Place, Statement, StepError, StepRole};

const CONNECT: Duration = Duration::from_secs(10);

/// Runs a script as the step's role, in a session of its own.
pub(super) async fn run(runner: &Runner<'_>, running: &Running<'_>, source: Source) -> Result<Ended, Cut> {
    let folder = runner.scenario.file.parent().unwrap_or(std::path::Path::new("."));
    let mut script = match Script::open(runner.scenario.topology.engine, source, folder) {
        Ok(script) => script,
        Err(problem) => return Ok(could_not(&problem)),
    };
    let mut session = connect(runner, running).await?;
    if !running.step.replicated
        && let Err(error) = session.stay_out_of_log(&running.node.endpoint()).await
    {
        session.close().await;
        return refused(error);
    }
    let mut watch = runner.watch(running);
    let result = session.run(&mut script, &options(runner, running), &mut watch, running.cancel).await;
    close(running, session, result).await
}

/// Gathers statistics for the planner, as the step's role.
pub(super) async fn analyze(
    runner: &Runner<'_>,
    running: &Running<'_>,
    tables: &[String],
    stages: bool,
) -> Result<Ended, Cut> {
    let superuser = running.node.endpoint();
    let gathering = tokio::select! {
        gathering = statistics::gathering(&superuser, tables, stages) => gathering,
        () = running.cancel.cancelled() => return Err(Cut::Cancelled),
    };
    let statements = match gathering.map_err(|error| Cut::Harness(Failure::harness(error.as_ref(), None)))? {
        Gathering::Script(text) => return run(runner, running, runner.text(running.step, text)).await,
        Gathering::Statements(statements) => statements,
    };
    let place = Place { file: runner.file_name(), line: running.step.line };
    let (options, mut watch) = (options(runner, running), runner.watch(running));
    let mut session = connect(runner, running).await?;
    let result = statistics::gather(&mut session, &statements, &options, &place, &mut watch, running.cancel).await;
    close(running, session, result).await
}

fn options(runner: &Runner<'_>, running: &Running<'_>) -> RunOptions {
    RunOptions {
        origin: runner.events.clock.origin(),
        retry: running.step.retry,
        timeout: None,
        show_values: runner.show_values,
    }
}

async fn close(
    running: &Running<'_>,
    mut session: ReleaseSession,
    result: Result<(), ScriptError>,
) -> Result<Ended, Cut> {
    // Of a session that failed nobody knows whether it answers.
    let asked = !running.step.replicated && result.is_ok();
    let in_log = if asked { session.last_in_log().await } else { Ok(None) };
    session.close().await;
    if let Err(error) = result {
        return failed(error);
    }
    match in_log {
        Ok(None) => Ok(Ended::default()),
        Ok(Some(gtid)) => Ok(Ended::failed(format!("it was to stay out of the binary log, and wrote {gtid} there"))),
        Err(error) => Err(Cut::Harness(Failure::harness(&error, None))),
    }
}

/// The step's session, known to whoever explains locks.
pub(super) async fn connect(runner: &Runner<'_>, running: &Running<'_>) -> Result<ReleaseSession, Cut> {
    let release = runner.endpoint(running).await?;
    let node = running.node;
    // Until it is known whose session that is.
    let _guest = runner.routes().map(|routes| routes.invite(node.name(), std::slice::from_ref(&release.user)));
    let observer = node.endpoint().named("rehearsal observer");
    let (lineage, show_values) = (runner.lineage.clone(), runner.show_values);
    let session = match ReleaseSession::connect(&release, &observer, lineage, show_values, CONNECT).await {
        Ok(session) => session,
        Err(error) => return Err(runner.no_session(running, error).await),
    };
    if let Some(owners) = runner.owners(node) {
        owners.set(session.id(), Owner::Step { step: running.index });
    }
    Ok(session)
}

fn failed(error: ScriptError) -> Result<Ended, Cut> {
    match error {
        ScriptError::Statement { place, error } => Ok(Ended::with(StepError {
            what: error.message.clone(),
            sql: Some(*error),
            place: Some(place),
            exit: None,
        })),
        ScriptError::Lost { ref place, error: ref sql } => Ok(Ended::with(StepError {
            what: error.to_string(),
            sql: Some((**sql).clone()),
            place: place.clone(),
            exit: None,
        })),
        ScriptError::Script(problem) => Ok(Ended::with(StepError {
            what: problem.to_string(),
            sql: None,
            place: problem.place().cloned(),
            exit: None,
        })),
        ScriptError::Cancelled => Err(Cut::Cancelled),
        ScriptError::NoSession(error) => Ok(could_not(error.as_ref())),
        ScriptError::Harness(error) => Err(Cut::Harness(Failure::harness(error.as_ref(), None))),
    }
}

/// Tells of every statement, and keeps what runs now for those who explain.
pub(super) struct StepWatch<'a> {
    pub events: &'a Events,
    pub current: Option<&'a Current>,
    pub step: usize,
    pub role: StepRole,
    pub node: &'a str,
}

impl Watch for StepWatch<'_> {
    fn started(&mut self, index: usize, sql: &str, place: &Place) {
        if let Some(current) = self.current {
            current.set(self.step, Some(index));
        }
        self.events.send(Event::StatementStarted {
            step: self.step,
            role: self.role,
            node: self.node.to_owned(),
            index,
            sql: sql.to_owned(),
            place: Some(place.clone()),
        });
    }

    fn ended(&mut self, statement: Statement) {
        if let Some(current) = self.current {
            current.set(self.step, None);
        }
        self.events.send(Event::StatementEnded {
            step: self.step,
            role: self.role,
            node: self.node.to_owned(),
            statement: Box::new(statement),
        });
    }

    fn retried(&mut self, index: usize, attempt: u32, of: u32, pause: Duration) {
        self.events.send(Event::StatementRetried {
            step: self.step,
            index,
            attempt,
            of,
            pause_ms: pause.as_secs_f64() * 1e3,
        });
    }

    fn progressed(&mut self, stage: &str, done: Option<u64>, total: Option<u64>) {
        self.events.send(Event::Progress { what: stage.to_owned(), done, total });
    }

    fn said(&mut self, line: &str) {
        self.events.send(Event::Progress { what: line.to_owned(), done: None, total: None });
    }
}
