//! What happens in a run, as data: every event, the record that carries it, and the trait of those who are told.
//!
//! The log of these records is the evidence. Verdict, findings and every report are folds of it and of nothing else, so whatever a
//! report says must be in here. Times are milliseconds since the run began (`*_ms`, a number).

pub mod log;
pub mod snapshot;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scenario::{Address, ProbeKind, Routing, Scenario};

/// Version of the log's format; raised when an old reader would misread a new log.
pub const FORMAT: u32 = 1;

/// One event as the dispatcher stamped it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// From 1, without gaps.
    pub seq: u64,
    /// Milliseconds since the run began, on a monotonic clock.
    pub at_ms: f64,
    #[serde(flatten)]
    pub event: Event,
}

/// Told of every event, in order, on the dispatcher's own task.
pub trait Reporter: Send {
    fn report(&mut self, recorded: &Recorded) -> Result<(), ReportError>;

    /// Called about ten times a second, for displays that move between events.
    fn tick(&mut self) {}

    fn finish(&mut self) -> Result<(), ReportError> {
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct ReportError {
    pub what: String,
    #[source]
    pub source: std::io::Error,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Always first.
    RunStarted {
        format: u32,
        run: String,
        version: String,
        started: jiff::Timestamp,
        scenario: Box<Scenario>,
        /// "native" or "docker".
        lab: String,
        cores: usize,
        /// What of this machine makes timings unlike production's.
        #[serde(default)]
        notes: Vec<String>,
    },
    PhaseStarted {
        phase: Phase,
    },
    /// One line for a person, of work under way: "restoring shop.dump". `done`/`total` in bytes or objects, where known.
    Progress {
        what: String,
        done: Option<u64>,
        total: Option<u64>,
    },
    PhaseEnded {
        phase: Phase,
        elapsed_ms: f64,
    },
    NodeReady {
        node: String,
        engine: String,
        /// As the server says: "15.18 (Debian 15.18-0+deb12u1)".
        version: String,
        elapsed_ms: f64,
        /// Settings that make the lab unlike production: `fsync` off and the like. Name to value.
        relaxed: BTreeMap<String, String>,
    },
    /// The nodes began as clones of a baseline, and what follows of the restore was told when that was made.
    BaselineCloned {
        made: jiff::Timestamp,
        clone: CloneKind,
        /// Of all nodes.
        bytes: u64,
        /// From when the nodes were asked for until all of them answered.
        elapsed_ms: f64,
    },
    Restored {
        node: String,
        /// "empty", "dump", "url".
        kind: String,
        tables: Vec<TableSize>,
        elapsed_ms: f64,
    },
    BeforeKept {
        node: String,
        clone: CloneKind,
        bytes: u64,
        elapsed_ms: f64,
    },
    ProbesDerived {
        node: String,
        run_as: String,
        probes: Vec<ProbeSpec>,
        not_probed: Vec<NotProbed>,
    },
    /// A probe that was derived and then given up: its operation failed in the control run, or its table is gone.
    ProbeDropped {
        probe: u32,
        reason: String,
    },
    /// A step that runs on several nodes starts and ends once on each.
    StepStarted {
        /// Position in the plan, from 0.
        step: usize,
        name: String,
        node: String,
        /// [`crate::scenario::Action::name`].
        action: String,
        role: StepRole,
        /// Statements found in its text beforehand; none for programs.
        statements: Option<usize>,
    },
    StatementStarted {
        step: usize,
        role: StepRole,
        /// Of the step's, the one that it runs on; empty in logs of before a step could run on several.
        #[serde(default)]
        node: String,
        index: usize,
        sql: String,
        place: Option<Place>,
    },
    StatementEnded {
        step: usize,
        role: StepRole,
        /// As in [`Event::StatementStarted`].
        #[serde(default)]
        node: String,
        statement: Box<Statement>,
    },
    /// A lock timeout ended an attempt; the next comes after `pause_ms`.
    StatementRetried {
        step: usize,
        index: usize,
        attempt: u32,
        of: u32,
        pause_ms: f64,
    },
    StepEnded {
        step: usize,
        role: StepRole,
        /// As in [`Event::StatementStarted`].
        #[serde(default)]
        node: String,
        result: StepResult,
        elapsed_ms: f64,
        error: Option<StepError>,
        /// Output of a `command`: kept in this file of the run's folder.
        output: Option<String>,
        /// Of a `check`: rows as text, only where values were asked for.
        rows: Option<Vec<Vec<String>>>,
    },
    /// Two nodes compared by a step; of the differences, what is on the first is before, and what is on the second after.
    NodesCompared {
        step: usize,
        role: StepRole,
        nodes: [String; 2],
        diff: Box<DiffResult>,
        elapsed_ms: f64,
    },
    /// Users are sent elsewhere from now on: the whole list, as a step changed it.
    Routed {
        step: usize,
        role: StepRole,
        routing: Routing,
    },
    /// The step would have left a shard without a side that serves, so the list stays as it was.
    RoutingRefused {
        step: usize,
        role: StepRole,
        nodes: Vec<String>,
        what: String,
    },
    /// A client was seen on a node after everybody who obeys the list had left it.
    ConnectedToOut {
        node: String,
        session: Session,
        user: String,
    },
    /// A session was seen waiting for a lock.
    LockWaitStarted {
        wait: u64,
        waiter: Session,
        relation: Option<String>,
        mode: String,
        blockers: Vec<Session>,
    },
    LockWaitEnded {
        wait: u64,
        elapsed_ms: f64,
    },
    /// A reader was opened on a table and is kept open (`open_transaction`).
    ReaderOpened {
        table: String,
        for_ms: f64,
    },
    DowntimeStarted {
        window: u64,
        probe: u32,
        started_ms: f64,
        cause: DownCause,
    },
    DowntimeEnded {
        window: u64,
        down: Box<Downtime>,
    },
    /// What the probes saw since the last one; at most a few a second.
    ProbeTick {
        samples: Vec<ProbeSample>,
    },
    /// One probe's latencies over one phase.
    ProbeSummary(Box<ProbeSummary>),
    /// Tables that committed traffic writes to, as the server saw it lock them: their rows change for other reasons than the release.
    TrafficWrites {
        #[serde(flatten)]
        by: Traffic,
        tables: Vec<String>,
        /// Why that may not be all, where it may not be: then it may write to any table.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unseen: Option<String>,
    },
    /// What one workload did in one phase or step; several of one add up.
    WorkloadSummary(Box<WorkloadSummary>),
    /// The first time that a statement of a workload failed in this way, in this phase or step.
    WorkloadFailed(Box<WorkloadFailed>),
    /// A workload that did not work before the plan, and was given up.
    WorkloadDropped {
        /// Position in the scenario, from 0.
        workload: usize,
        /// Where its sessions were: of several shards, it is given up on that node's alone.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        node: String,
        reason: String,
    },
    /// A program that is kept running beside a node has begun.
    ConsumerStarted {
        consumer: String,
        node: String,
        /// File of the run's folder with its output.
        output: String,
    },
    ConsumerEnded {
        consumer: String,
        /// It was told to; else it ended by itself.
        asked: bool,
        /// None where a signal ended it.
        exit: Option<i32>,
        signal: Option<i32>,
    },
    /// How late the harness itself ran since the last one.
    HarnessLag {
        max_ms: f64,
        p99_ms: f64,
    },
    /// CPU seconds that the probes' and observer's threads and their server sessions took, over the plan.
    ObservingCost {
        harness_cpu_s: f64,
        probe_operations: u64,
        probe_wal_bytes: Option<u64>,
    },
    Disk {
        node: String,
        data_bytes: Option<u64>,
        free_bytes: u64,
    },
    /// How far the replicas were behind since the last one; twice a second.
    Lag {
        samples: Vec<LagSample>,
    },
    /// A replica has replayed all that was written when the plan had ended.
    CaughtUp {
        node: String,
        elapsed_ms: f64,
    },
    /// A replica came to a standstill, and will not go on by itself.
    ReplicationBroken {
        node: String,
        what: String,
        /// None where it could not be asked.
        behind_bytes: Option<u64>,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// A writer's state before the plan against what it was after it.
    Compared {
        /// Empty in logs of before there were shards.
        #[serde(default)]
        node: String,
        diff: Box<DiffResult>,
        elapsed_ms: f64,
    },
    /// The release's server ended by itself, or the machine or harness could not go on. Makes the run inconclusive.
    HarnessFailed {
        what: String,
        hint: Option<String>,
        log: Vec<String>,
    },
    Warned {
        what: String,
    },
    /// A signal asked the run to stop.
    Interrupted {
        signal: i32,
    },
    /// Always last; missing from the log of a killed run.
    RunEnded {
        elapsed_ms: f64,
    },
}

/// What the run is at; phases follow each other in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Servers are brought up.
    Start,
    /// The snapshot goes in, then `[[setup]]`.
    Restore,
    /// The node is stopped once and copied, for the diff.
    Keep,
    /// The probes run alone: the baseline.
    Control,
    Plan,
    /// The probes run on for a moment.
    After,
    Compare,
    Stop,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Start => "start",
            Phase::Restore => "restore",
            Phase::Keep => "keep",
            Phase::Control => "control",
            Phase::Plan => "plan",
            Phase::After => "after",
            Phase::Compare => "compare",
            Phase::Stop => "stop",
        }
    }
}

/// Why a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepRole {
    Setup,
    #[default]
    Plan,
    Undo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    Done,
    Failed,
    /// Its `timeout` passed and it was cancelled.
    TimedOut,
    /// An earlier step stopped the plan, or this one did on a node before it.
    Skipped,
    /// The run was interrupted meanwhile.
    Interrupted,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepError {
    /// Lowercase fragment, fit for a report.
    pub what: String,
    pub sql: Option<SqlError>,
    pub place: Option<Place>,
    /// Of a `command`: its exit status.
    pub exit: Option<i32>,
}

/// Where in which file, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Place {
    pub file: String,
    pub line: usize,
}

/// One statement of a step, as it went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Statement {
    /// Within its step, from 0.
    pub index: usize,
    /// The source text that was sent.
    pub sql: String,
    pub place: Option<Place>,
    /// The server's command tag without its count: "ALTER TABLE", "UPDATE".
    pub command: String,
    pub started_ms: f64,
    pub elapsed_ms: f64,
    /// Rows it returned or changed, as the server's tag says.
    pub rows: Option<u64>,
    pub work: Work,
    /// Tables on which that work grows.
    pub grows_with: Vec<String>,
    /// Locks on relations that it newly took, strongest first; of a statement that could not be asked, as sampled from outside.
    pub locks: Vec<Lock>,
    /// Tables and indexes with a new file: "orders", "orders_pkey".
    pub rewrote: Vec<String>,
    /// Tables and indexes that it created.
    pub created: Vec<String>,
    /// How MySQL or MariaDB changed a table, as its stages told: "INSTANT", "INPLACE", "COPY".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Columns that no longer number their rows by themselves, or that do from now on, as MySQL and MariaDB told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbering: Vec<Numbering>,
    /// Log volume of the server meanwhile, less nothing: probes write too, where the server can't tell sessions apart.
    pub wal_bytes: Option<u64>,
    /// Attempts under `retry`, from 1.
    pub attempts: u32,
    /// The session had a lock timeout.
    pub lock_timeout: bool,
    /// Ran inside a transaction block of the script's own.
    pub in_transaction: bool,
    /// Read from the server's log, not sent by this program.
    pub recovered: bool,
    pub error: Option<SqlError>,
}

/// What a statement's time grows with. Ordered: later ones hide earlier ones.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    #[default]
    Constant,
    /// Reads a whole table.
    Scans,
    /// Inserts, updates or deletes rows.
    ChangesRows,
    /// Builds an index, or a table from a query.
    Builds,
    /// Writes a whole table anew.
    Rewrites,
    /// Of a statement that was recovered: what it did was not measured, and it may be any of these.
    Unknown,
}

impl Work {
    pub fn name(self) -> &'static str {
        match self {
            Work::Constant => "constant",
            Work::Scans => "scans",
            Work::ChangesRows => "changes_rows",
            Work::Builds => "builds",
            Work::Rewrites => "rewrites",
            Work::Unknown => "unknown",
        }
    }
}

/// A column that gained or lost its AUTO_INCREMENT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Numbering {
    pub table: String,
    pub column: String,
    pub lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Lock {
    pub relation: String,
    /// The engine's name without "Lock": "AccessExclusive".
    pub mode: String,
    /// Keeps users of the table from reading.
    pub stops_reads: bool,
    /// Keeps users of the table from writing.
    pub stops_writes: bool,
    /// Held only for a moment as the work begins and ends, and not while it lasts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub brief: bool,
}

/// An error of the server, with row values and literals left out unless they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SqlError {
    /// SQLSTATE, or the engine's number.
    pub code: String,
    pub message: String,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
    /// Characters into the statement, from 1.
    pub position: Option<u32>,
}

impl SqlError {
    /// There was no room for what the statement would have written: 53100 of Postgres, ER_DISK_FULL of MySQL and MariaDB.
    pub fn says_disk_full(&self) -> bool {
        ["53100", "1021"].contains(&self.code.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TableSize {
    pub table: String,
    pub rows: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CloneKind {
    Reflink,
    /// Files shared until they are written, and then copied as a whole.
    Overlay,
    Copy,
}

impl CloneKind {
    pub fn name(self) -> &'static str {
        match self {
            CloneKind::Reflink => "reflink",
            CloneKind::Overlay => "overlay",
            CloneKind::Copy => "copy",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// Within the run, from 0.
    pub id: u32,
    /// "orders insert", or the name in the scenario.
    pub name: String,
    pub table: Option<String>,
    pub operation: Operation,
    pub kind: ProbeKind,
    /// What is sent, with `$1` for values.
    pub sql: String,
    /// As derived; after the control run at least a hundred times the median there.
    pub every_ms: f64,
    pub custom: bool,
    /// On a table that the plan touches.
    pub touched: bool,
    /// Whom it asks for.
    #[serde(default, skip_serializing_if = "Address::is_writer")]
    pub on: Address,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    Read,
    Insert,
    Update,
    Delete,
    Connect,
    Custom,
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Insert => "insert",
            Operation::Update => "update",
            Operation::Delete => "delete",
            Operation::Connect => "connect",
            Operation::Custom => "custom",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NotProbed {
    pub table: String,
    /// None = all of them.
    pub operation: Option<Operation>,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DownCause {
    /// The server answered with an error.
    Error,
    /// The answer came later than `down_after`, or the probe gave up waiting.
    Late,
}

/// One window in which one probe was down, from the first intended start to the answer or to the next good start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Downtime {
    pub probe: u32,
    pub started_ms: f64,
    pub elapsed_ms: f64,
    pub cause: DownCause,
    /// The first error.
    pub error: Option<SqlError>,
    /// When that was answered: an operation may have waited before it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error_ms: Option<f64>,
    /// Attempts that failed or were late.
    pub bad: u64,
    /// It was still down when the probes ended.
    pub to_the_end: bool,
    /// The step and statement that ran when it began.
    pub step: Option<usize>,
    pub statement: Option<usize>,
    /// Who held what it waited for, as the observer saw it.
    pub blocked_by: Vec<Session>,
    /// How late the harness itself was meanwhile.
    pub harness_lag_ms: f64,
}

/// A session of the server, by what it is to this run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Session {
    pub pid: i32,
    #[serde(flatten)]
    pub owner: Owner,
    /// The statement it runs, for steps and programs.
    pub sql: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "owner", rename_all = "kebab-case")]
pub enum Owner {
    Step {
        step: usize,
    },
    Probe {
        probe: u32,
    },
    Workload {
        /// Position in the scenario, from 0.
        workload: usize,
    },
    /// The transaction kept open on a table.
    Reader {
        table: String,
    },
    /// A program that is kept running beside a node, by its name.
    Consumer {
        consumer: String,
    },
    /// The server's own: autovacuum.
    Server {
        what: String,
    },
    /// A program of the plan, or somebody else's session, by application name.
    Other {
        application: String,
    },
}

/// Who commits rows beside the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Traffic {
    /// By its position in the scenario, from 0.
    Workload { workload: usize },
    /// A custom probe with `commit = true`.
    Probe { probe: u32 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadSummary {
    /// Position in the scenario, from 0.
    pub workload: usize,
    /// From 1; none where the topology has no shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// [`Phase::Control`], [`Phase::Plan`] or [`Phase::After`].
    pub phase: Phase,
    /// Within the plan: the step during which the iterations began; none between steps.
    pub step: Option<usize>,
    /// How long it was meant to run meanwhile.
    pub ran_ms: f64,
    /// Iterations, those that failed among them.
    pub count: u64,
    pub errors: u64,
    /// Starts that were let go by, for all its sessions were busy.
    pub missed: u64,
    /// Of iterations from their intended start, in microseconds: an HDR histogram, V2 deflate, base64.
    pub histogram: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadFailed {
    /// Position in the scenario, from 0.
    pub workload: usize,
    /// Where its session was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    pub phase: Phase,
    /// The step that ran when the answer came.
    pub step: Option<usize>,
    pub place: Place,
    pub error: SqlError,
    /// It waited for longer than its sessions may; nobody refused it.
    pub gave_up: bool,
}

impl Owner {
    /// Somebody who is there without a release too: a probe, or a workload.
    pub fn is_user(&self) -> bool {
        matches!(self, Owner::Probe { .. } | Owner::Workload { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LagSample {
    pub node: String,
    /// The longest for which a commit on the writer could not be seen there.
    pub max_ms: f64,
    /// When that was committed; none where everything was there.
    pub since_ms: Option<f64>,
    /// For how long nothing could be said of it: no commit was made, or the replica did not answer.
    pub unmeasured_ms: f64,
    /// Log that was not replayed there, at the end; none where it could not be asked.
    pub behind_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeSample {
    pub probe: u32,
    pub count: u64,
    pub errors: u64,
    pub max_ms: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeSummary {
    pub probe: u32,
    /// [`Phase::Control`], [`Phase::Plan`] or [`Phase::After`].
    pub phase: Phase,
    /// Within the plan: the step during which the operations began; none between steps.
    pub step: Option<usize>,
    pub count: u64,
    pub errors: u64,
    /// Starts that a blocked probe let go by.
    pub missed: u64,
    /// Latencies from the intended start in microseconds: an HDR histogram, V2 deflate, base64.
    pub histogram: String,
}

/// What differs between two endpoints, before against after.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DiffResult {
    pub schema: Vec<SchemaChange>,
    pub data: Vec<DataChange>,
    /// Tables whose content was compared.
    pub tables_compared: usize,
    /// Their names.
    #[serde(default)]
    pub compared: Vec<String>,
    /// Tables on both sides whose content was not, and why.
    #[serde(default)]
    pub not_compared: Vec<NotCompared>,
}

impl DiffResult {
    /// Nothing differs, in what was compared.
    pub fn is_equal(&self) -> bool {
        self.schema.is_empty() && self.data.is_empty()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NotCompared {
    pub table: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SchemaChange {
    pub kind: ObjectKind,
    /// "orders.region_id", "orders_pkey".
    pub object: String,
    pub table: Option<String>,
    pub change: Change,
    /// Which property changed; none where the whole object came or went.
    pub property: Option<Property>,
    /// The property's value, or the definition of what went; a definition leaves the object's own name out, so that a renamed
    /// constraint or index shows as one removed and one added with the same text.
    pub before: Option<String>,
    pub after: Option<String>,
    /// Of several shards' writers those on which it changed; empty where it did on all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    Schema,
    Table,
    Column,
    Constraint,
    Index,
    Sequence,
    View,
    Function,
    Procedure,
    Trigger,
    Event,
    Type,
    Extension,
    Privilege,
    Policy,
    Rule,
    Statistics,
    EventTrigger,
    Publication,
}

impl ObjectKind {
    pub fn name(self) -> &'static str {
        match self {
            ObjectKind::Schema => "schema",
            ObjectKind::Table => "table",
            ObjectKind::Column => "column",
            ObjectKind::Constraint => "constraint",
            ObjectKind::Index => "index",
            ObjectKind::Sequence => "sequence",
            ObjectKind::View => "view",
            ObjectKind::Function => "function",
            ObjectKind::Procedure => "procedure",
            ObjectKind::Event => "event",
            ObjectKind::Trigger => "trigger",
            ObjectKind::Type => "type",
            ObjectKind::Extension => "extension",
            ObjectKind::Privilege => "privilege",
            ObjectKind::Policy => "policy",
            ObjectKind::Rule => "rule",
            ObjectKind::Statistics => "statistics",
            ObjectKind::EventTrigger => "event trigger",
            ObjectKind::Publication => "publication",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    Added,
    Removed,
    Changed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    Type,
    Default,
    Nullable,
    Identity,
    Generated,
    Collation,
    Definition,
    Valid,
    Owner,
    OwnedBy,
    Version,
    Enabled,
    Comment,
    Options,
    Kind,
    Position,
    Persistence,
    Partition,
    RowSecurity,
    StorageEngine,
}

impl Property {
    pub fn name(self) -> &'static str {
        match self {
            Property::Type => "type",
            Property::Default => "default",
            Property::Nullable => "nullability",
            Property::Identity => "identity",
            Property::Generated => "generated",
            Property::Collation => "collation",
            Property::Definition => "definition",
            Property::Valid => "validity",
            Property::Owner => "owner",
            Property::OwnedBy => "owned by",
            Property::Version => "version",
            Property::Enabled => "enabled",
            Property::Comment => "comment",
            Property::Options => "options",
            Property::Kind => "kind",
            Property::Position => "position",
            Property::Persistence => "persistence",
            Property::Partition => "partition",
            Property::RowSecurity => "row security",
            Property::StorageEngine => "storage engine",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DataChange {
    pub table: String,
    pub rows_before: u64,
    pub rows_after: u64,
    pub added: Option<u64>,
    pub removed: Option<u64>,
    pub changed: Option<u64>,
    /// Column to the number of rows in which it differs, of the columns on both sides.
    pub columns: BTreeMap<String, u64>,
    /// "primary key", "all columns", or why rows were not matched.
    pub matched_by: String,
    /// Rows before and after as text, only where values were asked for.
    pub samples: Vec<RowSample>,
    /// Only where keys were asked for, and rows have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<DifferingKeys>,
    /// As of a [`SchemaChange`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

/// Keys of differing rows as text, each in the order of `columns`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DifferingKeys {
    pub columns: Vec<String>,
    pub added: Vec<Vec<Option<String>>>,
    pub removed: Vec<Vec<Option<String>>>,
    pub changed: Vec<Vec<Option<String>>>,
    /// Rows that differ beyond those listed.
    pub left_off: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RowSample {
    pub key: Vec<String>,
    pub before: Option<BTreeMap<String, Option<String>>>,
    pub after: Option<BTreeMap<String, Option<String>>>,
}

/// An error and what caused it, in one line: as events tell it. A cause that stands at the end of its effect's own words is not told
/// again.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !told.ends_with(&words) {
            told = format!("{told}: {words}");
        }
        source = cause.source();
    }
    told
}
