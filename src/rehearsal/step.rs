//! One step: its session or program, its events, its end.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::compare;
use super::dispatcher::Events;
use super::failure::{Failure, SERVER_GONE, machines_trouble};
use super::owners::Owners;
use super::program;
use super::replication::{self, Why};
use super::routes::Routes;
use super::routing;
use super::run::{millis, tell_disk};
use super::sql::{self, StepWatch};
use super::watching::Watching;
use crate::engine::endpoint::Endpoint;
use crate::engine::release::{Lineage, SessionError};
use crate::engine::script::Source;
use crate::event::{Event, SqlError, StepError, StepResult, StepRole, with_causes};
use crate::scenario::{self, Action, NodeField, Scenario, Step};
use crate::topology::{Node, Topology, TopologyError, Trouble};

/// The code of an error that a connection's end is given here.
const CONNECTION_LOST: &str = "08006";

/// What the plan does next depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepEnd {
    Done,
    Failed,
}

/// Runs steps, each on one node at a time.
pub(super) struct Runner<'a> {
    pub scenario: &'a Scenario,
    pub topology: &'a Topology,
    pub events: &'a Events,
    /// None while setting up: nobody watches yet.
    pub watching: Option<&'a Watching>,
    /// The run's folder.
    pub folder: &'a Path,
    pub show_values: bool,
    /// Tables that the plan's own statements made, and from which.
    pub lineage: Lineage,
    /// Roles of steps that could log in when the plan began: where one no longer can, the plan is why.
    pub logins: BTreeSet<String>,
    pub stop: &'a CancellationToken,
}

/// A step that is being run, and why.
#[derive(Clone, Copy)]
pub(super) struct Running<'a> {
    /// Position in the plan; an undo carries that of the step it takes back.
    pub index: usize,
    pub step: &'a Step,
    /// Of the step's, the one that it runs on.
    pub node: &'a Node,
    pub role: StepRole,
    /// Ends this step's work: its timeout, or the whole run's end.
    pub cancel: &'a CancellationToken,
}

/// How an action ended, when it was not cut short.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub error: Option<StepError>,
    pub output: Option<String>,
    pub rows: Option<Vec<Vec<String>>>,
}

/// Why an action did not end as done or failed.
pub(super) enum Cut {
    /// Cancelled: by the step's timeout or with the run.
    Cancelled,
    /// The same, and what was waited for.
    Late(String),
    /// The release brought it about, before the action could begin.
    Failed(Box<Ended>),
    Harness(Failure),
}

impl From<TopologyError> for Cut {
    fn from(error: TopologyError) -> Cut {
        Cut::Harness(error.into())
    }
}

impl Ended {
    pub(super) fn failed(what: impl Into<String>) -> Ended {
        Ended::with(StepError { what: what.into(), sql: None, place: None, exit: None })
    }

    pub(super) fn with(error: StepError) -> Ended {
        Ended { error: Some(error), ..Ended::default() }
    }
}

impl Runner<'_> {
    /// Runs one step on one of its nodes, to its end.
    ///
    /// # Errors
    /// When the run was told to stop meanwhile, or the harness failed.
    pub(super) async fn run(&self, index: usize, step: &Step, node: &Node, role: StepRole) -> Result<StepEnd, Failure> {
        if self.stop.is_cancelled() {
            return Err(Failure::Stopped);
        }
        self.events.send(Event::StepStarted {
            step: index,
            name: step.name.clone(),
            node: node.name().to_owned(),
            action: step.action.name().to_owned(),
            role,
            statements: None,
        });
        let started = Instant::now();
        let cancel = self.stop.child_token();
        let running = Running { index, step, node, role, cancel: &cancel };
        let cut = within(step.timeout, &cancel, self.act(&running)).await;
        let (result, ended, failure) = match cut {
            Ok(ended) if ended.error.is_none() => (StepResult::Done, ended, None),
            Ok(ended) => self.failed(node, ended).await,
            Err(Cut::Failed(ended)) => self.failed(node, *ended).await,
            Err(Cut::Cancelled | Cut::Late(_)) if self.stop.is_cancelled() => {
                (StepResult::Interrupted, Ended::default(), Some(Failure::Stopped))
            }
            Err(Cut::Cancelled) => (StepResult::TimedOut, Ended::failed("its timeout passed"), None),
            Err(Cut::Late(what)) => (StepResult::TimedOut, Ended::failed(format!("its timeout passed: {what}")), None),
            Err(Cut::Harness(failure)) => (StepResult::Interrupted, Ended::default(), Some(failure)),
        };
        self.events.send(Event::StepEnded {
            step: index,
            role,
            node: node.name().to_owned(),
            result,
            elapsed_ms: millis(started.elapsed()),
            error: ended.error,
            output: ended.output,
            rows: ended.rows,
        });
        if self.watching.is_some() && failure.is_none() {
            tell_disk(node, self.events).await;
        }
        match failure {
            Some(failure) => Err(failure),
            None if result == StepResult::Done => Ok(StepEnd::Done),
            None => Ok(StepEnd::Failed),
        }
    }

    /// A node of that name.
    pub(super) fn node(&self, name: &str) -> &Node {
        self.topology.node(name).expect("a scenario names only nodes that it has")
    }

    /// Whose session is whose on a node that somebody watches: process ids mean nothing on another.
    pub(super) fn owners(&self, node: &Node) -> Option<&Owners> {
        self.watching?.owners(node.name())
    }

    /// Where users are sent; none while setting up.
    pub(super) fn routes(&self) -> Option<&Routes> {
        Some(&self.watching?.routes)
    }

    async fn failed(&self, node: &Node, mut ended: Ended) -> (StepResult, Ended, Option<Failure>) {
        match self.machines_fault(node, &mut ended).await {
            Some(failure) => (StepResult::Interrupted, ended, Some(failure)),
            None => (StepResult::Failed, ended, None),
        }
    }

    /// A full disk or a killed process says nothing of the release, though a statement of it was what failed. A process that crashed
    /// does: the step is told with it.
    async fn machines_fault(&self, node: &Node, ended: &mut Ended) -> Option<Failure> {
        let error = ended.error.as_mut()?;
        let lost = error.sql.as_ref().is_some_and(|sql| sql.code == CONNECTION_LOST);
        if lost && tokio::time::timeout(SERVER_GONE, self.stop.cancelled()).await.is_ok() {
            return Some(Failure::Stopped);
        }
        let says_full = error.sql.as_ref().is_some_and(SqlError::says_disk_full);
        // What was undone has made room again by the time the node is asked.
        match if says_full { Trouble::DiskFull } else { node.trouble().await? } {
            Trouble::Crashed(told) => {
                if let Some(sql) = error.sql.as_mut().filter(|_| lost) {
                    sql.message = format!("{}: {told}", sql.message);
                }
                None
            }
            trouble => Some(Failure::trouble(trouble, node.name(), &error.what, Vec::new())),
        }
    }

    async fn act(&self, running: &Running<'_>) -> Result<Ended, Cut> {
        match &running.step.action {
            Action::Sql { text } => sql::run(self, running, self.text(running.step, self.substitute(text))).await,
            Action::File { path } => sql::run(self, running, Source::File(path.clone())).await,
            Action::Command(command) => program::run(self, running, command).await,
            Action::Analyze { tables, stages } => sql::analyze(self, running, tables, *stages).await,
            Action::Restart => self.restart(running).await,
            Action::WaitFor { time } => tokio::select! {
                () = tokio::time::sleep(*time) => Ok(Ended::default()),
                () = running.cancel.cancelled() => Err(Cut::Cancelled),
            },
            Action::WaitUntil { sql, deadline } => self.wait_until(running, sql, *deadline).await,
            Action::WaitCaughtUp { deadline } => self.wait_caught_up(running, *deadline).await,
            Action::Check { sql, rows } => self.check(running, sql, rows).await,
            Action::Compare { nodes, schema, data } => {
                let nodes: Vec<&Node> = nodes.iter().map(|name| self.node(name)).collect();
                compare::run(self, running, &nodes, (*schema, *data)).await
            }
            Action::TakeOut { nodes } => routing::take_out(self, running, nodes).await,
            Action::PutBack { nodes } => routing::put_back(self, running, nodes).await,
            Action::Route { writers, readers } => routing::route(self, running, writers, readers).await,
        }
    }

    async fn restart(&self, running: &Running<'_>) -> Result<Ended, Cut> {
        if let Some(routes) = self.routes() {
            routes.ends(running.node.name());
        }
        if let Some(owners) = self.owners(running.node) {
            owners.server_ends();
        }
        match running.node.restart().await {
            Ok(()) => {
                // It may have another address now.
                if let Some(routes) = self.routes() {
                    routes.is_at(running.node.name(), &running.node.endpoint());
                    routing::begin(self.folder, &routes.routing(), self.topology).map_err(Cut::Harness)?;
                }
                // A server cannot be left half way: what its time was up for ended all the same.
                if running.cancel.is_cancelled() { Err(Cut::Cancelled) } else { Ok(Ended::default()) }
            }
            // With the settings that it had before it ran: it is the plan that gave it others.
            Err(error) if error.is_refusal() => {
                let fatal =
                    error.log().iter().rev().find(|line| ["FATAL", "[ERROR]"].iter().any(|mark| line.contains(mark)));
                let why = fatal.map_or_else(String::new, |line| format!(": {}", line.trim()));
                Ok(Ended::failed(format!("{}{why}", with_causes(&error))))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn wait_until(&self, running: &Running<'_>, sql: &str, deadline: Duration) -> Result<Ended, Cut> {
        let mut session = sql::connect(self, running).await?;
        let waited = session.wait_until(&self.substitute(sql), deadline, running.cancel).await;
        session.close().await;
        match waited {
            Ok(()) => Ok(Ended::default()),
            Err(error) => refused(error),
        }
    }

    /// A replica for itself, or all of them; a writer for its peer as well.
    async fn wait_caught_up(&self, running: &Running<'_>, deadline: Duration) -> Result<Ended, Cut> {
        let node = running.node;
        let followers = if node.is_writer() { self.topology.followers_of(node).collect() } else { vec![node] };
        let behind = self.behind(running, self.topology.writer_of(node), followers, deadline).await?;
        Ok(if behind.is_empty() { Ended::default() } else { Ended::failed(behind.join("; ")) })
    }

    /// Waits until a writer has what its peer has written, and these of its shard have what the writer has then; gives who has not, and
    /// why.
    ///
    /// # Errors
    /// The step was cancelled, or a node could not be asked.
    pub(super) async fn behind(
        &self,
        running: &Running<'_>,
        writer: &Node,
        replicas: Vec<&Node>,
        deadline: Duration,
    ) -> Result<Vec<String>, Cut> {
        let began = Instant::now();
        let waits = async {
            if let Some(peer) = self.topology.peer_of(writer)
                && let Some(what) = self.has_not(peer, writer, deadline).await?
            {
                return Ok(vec![what]);
            }
            let left = deadline.saturating_sub(began.elapsed());
            let waited = join_all(replicas.into_iter().map(|replica| self.has_not(writer, replica, left))).await;
            Ok(waited.into_iter().collect::<Result<Vec<_>, Failure>>()?.into_iter().flatten().collect())
        };
        tokio::select! {
            waited = waits => waited.map_err(Cut::Harness),
            () = running.cancel.cancelled() => Err(Cut::Cancelled),
        }
    }

    /// Why a node has not got what another has written; none if it has.
    async fn has_not(&self, from: &Node, replica: &Node, deadline: Duration) -> Result<Option<String>, Failure> {
        let Err(behind) = replication::caught_up(from, replica, Some(deadline)).await else { return Ok(None) };
        let what = format!("{} has not caught up: {}", replica.name(), behind.words());
        match machines_trouble(replica).await {
            Some(trouble) => Err(Failure::trouble(trouble, replica.name(), &what, Vec::new())),
            None if behind.why == Why::Unknown => Err(Failure::Harness { what, hint: None, log: Vec::new() }),
            None => Ok(Some(what)),
        }
    }

    async fn check(&self, running: &Running<'_>, sql: &str, expected: &[Vec<String>]) -> Result<Ended, Cut> {
        let mut session = sql::connect(self, running).await?;
        let answered = session.rows_as_text(&self.substitute(sql), None, running.cancel).await;
        session.close().await;
        let rows = match answered {
            Ok(rows) => rows,
            Err(error) => return refused(error),
        };
        // NULL has no text, so no expected row can ask for it: that is for the SQL to say.
        let as_expected = rows.len() == expected.len()
            && rows.iter().zip(expected).all(|(row, expected)| {
                row.len() == expected.len()
                    && row.iter().zip(expected).all(|(value, expected)| value.as_ref() == Some(expected))
            });
        if as_expected {
            return Ok(Ended::default());
        }
        let mut ended = Ended::failed(format!(
            "found {}, expected {}",
            shape(rows.len(), rows.first().map_or(0, Vec::len)),
            shape(expected.len(), expected.first().map_or(0, Vec::len)),
        ));
        if self.show_values {
            let text = |row: Vec<Option<String>>| row.into_iter().map(|value| value.unwrap_or("NULL".into())).collect();
            ended.rows = Some(rows.into_iter().map(text).collect());
        }
        Ok(ended)
    }

    /// The node as the step's role.
    pub(super) async fn endpoint(&self, running: &Running<'_>) -> Result<Endpoint, Cut> {
        let node = running.node;
        let Some(role) = &running.step.run_as else { return Ok(node.endpoint()) };
        node.endpoint_as(role).await.map_err(|error| {
            if error.is_refusal() && self.logins.contains(role) {
                Cut::Failed(Box::new(could_not(&error)))
            } else {
                error.into()
            }
        })
    }

    /// Why the step has no session.
    pub(super) async fn no_session(&self, running: &Running<'_>, error: SessionError) -> Cut {
        if self.has_ended(running.node).await {
            let what = format!("the server of node {} is not up", running.node.name());
            return Cut::Failed(Box::new(Ended::failed(what)));
        }
        match (error, &running.step.run_as) {
            (SessionError::Connect { refused: Some(error), .. }, Some(role)) if self.logins.contains(role) => {
                let what = format!("the server refused the step's session: {}", error.message);
                Cut::Failed(Box::new(Ended::with(StepError { what, sql: Some(*error), place: None, exit: None })))
            }
            (error, _) => Cut::Harness(Failure::harness(&error, None)),
        }
    }

    /// Whether the plan ended that replica. The news of it may be a moment late.
    async fn has_ended(&self, node: &Node) -> bool {
        let began = Instant::now();
        let is_writer = node.is_writer();
        while !is_writer && node.is_up().await {
            if began.elapsed() > SERVER_GONE {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        !is_writer
    }

    /// Puts addresses in place of `${node.…}`; the scenario names no node that is not there.
    pub(super) fn substitute(&self, text: &str) -> String {
        scenario::substitute(text, |name, field| self.node_field(name, field))
    }

    /// An address of a node that is there.
    pub(super) fn node_field(&self, name: &str, field: NodeField) -> String {
        let endpoint = self.node(name).endpoint();
        match field {
            NodeField::Host => endpoint.host,
            NodeField::Port => endpoint.port.to_string(),
            NodeField::Url => endpoint.url(),
        }
    }

    /// A script that stands in the scenario file itself.
    pub(super) fn text(&self, step: &Step, text: String) -> Source {
        Source::Text { text, file: self.file_name(), line: step.line }
    }

    /// The scenario's.
    pub(super) fn file_name(&self) -> String {
        let name = self.scenario.file.file_name().unwrap_or(self.scenario.file.as_os_str());
        name.to_string_lossy().into_owned()
    }

    pub(super) fn watch<'w>(&'w self, running: &Running<'w>) -> StepWatch<'w> {
        StepWatch {
            events: self.events,
            current: self.watching.and_then(|watching| watching.current(running.node.name(), &running.step.on)),
            step: running.index,
            role: running.role,
            node: running.node.name(),
        }
    }
}

/// What a refused query of a check or a wait is to its step.
pub(super) fn refused(error: SessionError) -> Result<Ended, Cut> {
    match error {
        SessionError::Refused(error) | SessionError::Lost(error) => {
            Ok(Ended::with(StepError { what: error.message.clone(), sql: Some(*error), place: None, exit: None }))
        }
        SessionError::Deadline { .. } | SessionError::TooManyRows { .. } => Ok(Ended::failed(error.to_string())),
        SessionError::Cancelled | SessionError::TimedOut => Err(Cut::Cancelled),
        error => Err(Cut::Harness(Failure::harness(&error, None))),
    }
}

/// Runs `work`, which ends by itself soon after `cancel`; that is cancelled when the time is up.
async fn within<T>(
    timeout: Option<Duration>,
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Cut>>,
) -> Result<T, Cut> {
    let Some(timeout) = timeout else { return work.await };
    tokio::pin!(work);
    tokio::select! {
        result = &mut work => return result,
        () = tokio::time::sleep(timeout) => cancel.cancel(),
    }
    work.await
}

fn shape(rows: usize, columns: usize) -> String {
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    if rows == 1 { format!("another row of {}", plural(columns, "column")) } else { plural(rows, "row") }
}

/// The error of a step that could not be tried, as one line.
pub(super) fn could_not(error: &dyn std::error::Error) -> Ended {
    Ended::failed(with_causes(error))
}
