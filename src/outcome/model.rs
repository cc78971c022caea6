//! The outcome of a run as plain data. Serialised it is `report.json`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::{Consumer, Workload};
use super::words::{duration, list, moment};
use crate::event::{CloneKind, DiffResult, Operation, Phase, Place, Session, SqlError, Statement, StepRole, Work};
use crate::finding::{Finding, Severity};
pub use crate::scenario::ProbeKind;

/// Version of `report.json`; raised when a reader of the former version would misread it.
pub const FORMAT: u32 = 1;

/// What a run came to. All times are milliseconds; moments count from the run's beginning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// Version of this form: 1.
    pub format: u32,
    pub outcome: Verdict,
    /// What `rehearsal run` exits with: 0, 1, 3, 130 or 143.
    pub exit_code: u8,
    /// Why the run is inconclusive or was interrupted; empty otherwise.
    pub why: Vec<Why>,
    /// Limits that were kept, on fewer rows than production has, by work that grows with them.
    pub not_judged: Vec<NotJudged>,
    pub not_rehearsed: Vec<NotRehearsed>,
    /// Name of the scenario.
    pub scenario: String,
    /// The scenario's file, as given.
    pub scenario_file: String,
    /// Id of the run.
    pub run: String,
    /// Version of the program that ran it.
    pub rehearsal_version: String,
    /// RFC 3339.
    pub started: String,
    /// "native" or "docker".
    pub lab: String,
    pub cores: usize,
    /// How the before state was kept; none if it was not.
    pub clone: Option<CloneKind>,
    /// When the baseline was made that the nodes began with, RFC 3339; none if the run restored its snapshot itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    pub nodes: Vec<Node>,
    /// Errors first, in the order of the codes.
    pub findings: Vec<Finding>,
    /// The lowest severity on which the run fails.
    pub fail_on: Severity,
    /// Setup, plan and undo in the order in which they ran, then those that were not reached; one entry a node.
    pub steps: Vec<Step>,
    pub probes: Vec<Probe>,
    /// Committed traffic, in the scenario's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<Workload>,
    /// Programs kept running beside the nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<Consumer>,
    pub downtime: DowntimeTotals,
    pub locks: Vec<LockWait>,
    /// Each change of where users were sent, in the order in which the plan made them.
    #[serde(default)]
    pub routing: Vec<RoutingChange>,
    /// Replication lag by node; empty where nothing replicates.
    pub lag: Vec<NodeLag>,
    pub disk: Vec<Disk>,
    /// None if before and after were not compared.
    pub diff: Option<DiffResult>,
    pub phases: Vec<PhaseTime>,
    pub totals: Totals,
    /// Warnings of the run itself, and what it saw that counts for nothing.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    /// Nothing failed, and something was not judged.
    PassedInPart,
    Failed,
    /// The lab, the machine or the harness could not.
    Inconclusive,
    Interrupted,
}

impl Verdict {
    /// As in `report.json`.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::PassedInPart => "passed_in_part",
            Verdict::Failed => "failed",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Interrupted => "interrupted",
        }
    }

    /// For people: "passed in part".
    pub fn words(self) -> &'static str {
        if self == Verdict::PassedInPart { "passed in part" } else { self.name() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    pub what: String,
    pub hint: Option<String>,
    /// The last lines of the server's log, where it died.
    pub log: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NotJudged {
    pub limit: LimitKind,
    /// None for the whole plan.
    pub step: Option<String>,
    pub limit_ms: f64,
    /// What was measured on the rehearsed rows.
    pub measured_ms: f64,
    /// The table with whose rows the work grows; none where it is not rows that were missing.
    pub table: Option<String>,
    /// None if the table's rows were never counted.
    pub rehearsed_rows: Option<u64>,
    pub production_rows: Option<u64>,
    /// Why the limit says nothing of production, for people.
    pub reason: String,
}

impl NotJudged {
    /// The limit in words: `budget of step "widen" (1.2 s of 15 s)`.
    pub fn subject(&self) -> String {
        let of_step = self.step.as_ref().map_or_else(String::new, |step| format!(" of step \"{step}\""));
        let figures = format!("{} of {}", duration(self.measured_ms), duration(self.limit_ms));
        format!("{}{of_step} ({figures})", self.limit.words())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    Budget,
    Window,
    DowntimeRead,
    DowntimeWrite,
    P99,
    LockWait,
    Lag,
}

impl LimitKind {
    pub fn words(self) -> &'static str {
        match self {
            LimitKind::Budget => "budget",
            LimitKind::Window => "window",
            LimitKind::DowntimeRead => "downtime of reads",
            LimitKind::DowntimeWrite => "downtime of writes",
            LimitKind::P99 => "99th percentile",
            LimitKind::LockWait => "lock wait",
            LimitKind::Lag => "lag",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotRehearsed {
    pub kind: Gap,
    /// For people, without a full stop.
    pub what: String,
    /// The tables or steps that it is about.
    pub names: Vec<String>,
}

/// What kind of thing a run leaves unproven. In the order in which reports list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    StepNotRun,
    SampledTable,
    EmptyTable,
    NotProbed,
    Workload,
    LongReader,
    Role,
    RelaxedSettings,
    Version,
    Clone,
    Undo,
    Comparison,
    Network,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    pub name: String,
    pub engine: String,
    /// As the server says.
    pub version: String,
    pub ready_ms: f64,
    /// Settings that make it unlike production.
    pub relaxed: BTreeMap<String, String>,
    /// The node that it is a replica of.
    pub replicates: Option<String>,
    /// The other of a master-master pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// The node of which it takes some tables by logical replication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribes: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    Done,
    Failed,
    TimedOut,
    /// An earlier step stopped the plan, or this one did on a node before it.
    Skipped,
    Interrupted,
    /// It ran when the run ended.
    Unfinished,
    /// The run ended before it.
    NotReached,
}

impl StepState {
    pub fn words(self) -> &'static str {
        match self {
            StepState::Done => "done",
            StepState::Failed => "failed",
            StepState::TimedOut => "timed out",
            StepState::Skipped => "skipped",
            StepState::Interrupted => "interrupted",
            StepState::Unfinished => "unfinished",
            StepState::NotReached => "not reached",
        }
    }
}

/// A step on one of its nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    pub name: String,
    pub node: String,
    pub role: StepRole,
    /// "sql", "command", "check" and so on.
    pub action: String,
    /// Line of the scenario's file on which it begins.
    pub line: usize,
    pub result: StepState,
    /// None if it never began.
    pub started_ms: Option<f64>,
    pub elapsed_ms: Option<f64>,
    pub budget_ms: Option<f64>,
    /// Production's known time, which counts for the window.
    pub takes_ms: Option<f64>,
    pub outside_window: bool,
    pub error: Option<StepFault>,
    /// The strongest work of its statements.
    pub work: Work,
    /// The mode of the strongest lock that it took on a table that was there before, by what the lock stops.
    pub strongest_lock: Option<String>,
    pub wal_bytes: Option<u64>,
    pub statements: Vec<Statement>,
    /// File in the run's folder with a program's output.
    pub output: Option<String>,
    /// Rows of a check, only where values were asked for.
    pub rows: Option<Vec<Vec<String>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepFault {
    pub what: String,
    pub sql: Option<SqlError>,
    pub place: Option<Place>,
    pub exit: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    pub id: u32,
    pub name: String,
    pub node: String,
    pub table: Option<String>,
    pub operation: Operation,
    pub kind: ProbeKind,
    pub sql: String,
    pub custom: bool,
    /// On a table that the plan touches.
    pub touched: bool,
    /// Why it was given up, if it was.
    pub dropped: Option<String>,
    /// Of control, plan and after, those in which it ran.
    pub latency: Vec<PhaseLatency>,
    pub downtime: Vec<Window>,
    /// Union of the windows that count.
    pub downtime_ms: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseLatency {
    pub phase: Phase,
    pub count: u64,
    pub errors: u64,
    /// Starts that went by while the probe was blocked.
    pub missed: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// One stretch in which one probe was down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    pub started_ms: f64,
    pub elapsed_ms: f64,
    pub table: Option<String>,
    pub operation: Operation,
    /// The first error; none where it only waited.
    pub error: Option<SqlError>,
    /// Who held what it waited for.
    pub blocked_by: Vec<Session>,
    /// The step that ran when it began.
    pub step: Option<String>,
    /// The statement of that step, from 0.
    pub statement: Option<usize>,
    /// Attempts that failed or were late.
    pub bad: u64,
    /// Still down when the probes ended, or when the run was killed.
    pub to_the_end: bool,
    /// Whether limits are held against it.
    pub counts: bool,
    pub because: Because,
    pub harness_lag_ms: f64,
}

/// What a window is put down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// The server answered with an error.
    Error,
    /// Another session held what it waited for.
    Lock,
    /// A statement of the plan held a lock that stops the operation.
    Statement,
    /// The server was restarted on purpose.
    Restart,
    /// Late without a cause that is the release's: none was seen on the server, or other probes alone. Does not count.
    Unexplained,
    /// The same, while the harness itself was late: does not count.
    Harness,
    /// Before the plan began: does not count.
    BeforePlan,
    /// On a table retired on purpose: does not count.
    Retired,
}

impl Because {
    /// Whether limits are held against such a window.
    pub fn counts(self) -> bool {
        matches!(self, Because::Error | Because::Lock | Because::Statement | Because::Restart)
    }

    /// Whether a lock of somebody's was in the way.
    pub fn is_lock(self) -> bool {
        matches!(self, Because::Lock | Because::Statement)
    }

    pub fn words(self) -> &'static str {
        match self {
            Because::Error => "error",
            Because::Lock => "waited for a lock",
            Because::Statement => "stopped by the statement's lock",
            Because::Restart => "restart",
            Because::Unexplained => "no cause that is the release's; does not count",
            Because::Harness => "the harness itself was late; does not count",
            Because::BeforePlan => "before the plan; does not count",
            Because::Retired => "table retired on purpose; does not count",
        }
    }
}

/// Unions of the windows that count. A connection that fails is downtime of reads and of writes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DowntimeTotals {
    pub read: KindDowntime,
    pub write: KindDowntime,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KindDowntime {
    /// Union over all tables.
    pub total_ms: f64,
    /// The scenario's own limit; steps may have others.
    pub limit_ms: Option<f64>,
    pub longest: Option<Window>,
    /// Longest first.
    pub tables: Vec<TableDowntime>,
    /// Windows without a cause, which do not count.
    pub unexplained: u64,
    /// Something was still down when the probes ended: the total is only what was seen of it.
    pub to_the_end: bool,
}

impl KindDowntime {
    /// "1.2 s", or "1.2 s and still down at the end".
    pub fn words(&self) -> String {
        let end = if self.to_the_end { " and still down at the end" } else { "" };
        format!("{}{end}", duration(self.total_ms))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableDowntime {
    /// None: connections, and custom probes of no one table.
    pub table: Option<String>,
    pub total_ms: f64,
    pub longest_ms: f64,
    pub operations: Vec<Operation>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LockWait {
    pub started_ms: f64,
    /// None: it waited when the log ended.
    pub elapsed_ms: Option<f64>,
    pub waiter: Session,
    /// The waiter for people: "step \"widen\"", "orders insert".
    pub waiter_name: String,
    pub relation: Option<String>,
    pub mode: String,
    pub blockers: Vec<Session>,
    pub blocker_names: Vec<String>,
}

/// Where users were sent from a moment on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoutingChange {
    pub at_ms: f64,
    /// The step that changed it.
    pub step: String,
    /// Who took the writes, one a shard.
    pub writers: Vec<String>,
    /// Who took the reads that need not be of the moment.
    pub readers: Vec<String>,
    pub out: Vec<String>,
}

impl RoutingChange {
    /// "+12.30 s"
    pub fn from(&self) -> String {
        moment(self.at_ms)
    }

    /// "a was out, writes went to b"; "nobody was out, writes went to a".
    pub fn words(&self) -> String {
        let out = match &self.out[..] {
            [] => "nobody was out".to_owned(),
            [node] => format!("{node} was out"),
            nodes => format!("{} were out", list(nodes, 8)),
        };
        format!("{out}, writes went to {}", list(&self.writers, 8))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeLag {
    pub node: String,
    /// The node that it replicates.
    pub from: String,
    /// While the plan ran and until everything had arrived.
    pub max_ms: f64,
    /// Log that was not replayed there.
    pub behind_bytes_max: Option<u64>,
    /// The scenario's own limit; steps may have others.
    pub limit_ms: Option<f64>,
    /// After the plan, until all of it had arrived; none if it never did.
    pub caught_up_ms: Option<f64>,
    /// Why it came to a standstill, if it did.
    pub broken: Option<String>,
}

impl NodeLag {
    /// "1.2 s", or "420 ms of 5 s allowed".
    pub fn furthest(&self) -> String {
        let allowed = self.limit_ms.map_or_else(String::new, |limit| format!(" of {} allowed", duration(limit)));
        format!("{}{allowed}", duration(self.max_ms))
    }

    /// What became of it after the plan.
    pub fn in_the_end(&self) -> String {
        match (&self.broken, self.caught_up_ms) {
            (Some(broken), _) => format!("stands still: {broken}"),
            (None, Some(after)) => format!("had everything {} after the plan", duration(after)),
            (None, None) => "was not seen to have everything".to_owned(),
        }
    }

    /// Behind for too long, or for ever.
    pub fn is_bad(&self) -> bool {
        self.broken.is_some() || self.limit_ms.is_some_and(|limit| self.max_ms > limit)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disk {
    pub node: String,
    pub data_bytes_first: Option<u64>,
    pub data_bytes_max: Option<u64>,
    pub data_bytes_last: Option<u64>,
    pub free_bytes_min: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseTime {
    pub phase: Phase,
    pub started_ms: f64,
    /// None: it did not end.
    pub elapsed_ms: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    pub elapsed_ms: f64,
    /// Sum of the plan's steps as measured.
    pub steps_ms: f64,
    /// Sum of the steps not outside the window, `takes` in place of a step's own time.
    pub window_ms: f64,
    pub window_limit_ms: Option<f64>,
    pub downtime_read_ms: f64,
    pub downtime_write_ms: f64,
    pub lock_wait_max_ms: f64,
    pub lock_waits: u64,
    pub statements: u64,
    pub wal_bytes: Option<u64>,
    pub probe_operations: u64,
    pub probe_errors: u64,
    pub probe_wal_bytes: Option<u64>,
    pub harness_cpu_s: Option<f64>,
    pub harness_lag_max_ms: f64,
    pub tables: u64,
    pub rows: u64,
    pub errors: u64,
    pub warnings: u64,
}
