//! What a rehearsal can find: the one table of codes, and a finding as data.

use serde::{Deserialize, Serialize};

/// How much a finding weighs. A run fails on [`Severity::Error`], or from the severity that `[gate] fail_on` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Info,
    Warning,
    Error,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// One row of the table of codes: what a code means, whatever run it turns up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeData {
    pub name: &'static str,
    pub severity: Severity,
    /// What was seen, in general terms.
    pub condition: &'static str,
    /// What it does to users or to the release.
    pub effect: &'static str,
    /// What to do instead.
    pub remedy: &'static str,
}

macro_rules! codes {
    ($( $variant:ident, $name:literal, $severity:ident, $condition:literal, $effect:literal, $remedy:literal; )*) => {
        /// The code of a finding, kebab-case in every file and report.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Code { $($variant),* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            pub fn data(self) -> CodeData {
                match self {
                    $(Code::$variant => CodeData {
                        name: $name,
                        severity: Severity::$severity,
                        condition: $condition,
                        effect: $effect,
                        remedy: $remedy,
                    },)*
                }
            }
        }
    };
}

codes! {
    StepFailed, "step-failed", Error,
        "a step of the plan failed",
        "what went before it is in place, and the release stops here unless `when_failed` lets it go on",
        "mend the statement or program that failed, and give the step an undo";
    CheckFailed, "check-failed", Error,
        "a check found other rows than it expected",
        "the release is not in the state that its author believes",
        "compare what the check expects with what the step before it does";
    BudgetExceeded, "budget-exceeded", Error,
        "a step took longer than its budget, or the steps together longer than the window",
        "the window for the release would be overrun",
        "do the growing part outside the window: in batches, concurrently, or before the release";
    DowntimeExceeded, "downtime-exceeded", Error,
        "operations failed or waited for longer than the limit allows",
        "users wait or see errors for this long, longer still where production has more rows",
        "take a weaker lock, hold it for less work, or ask for it with a lock timeout and retries";
    LatencyExceeded, "latency-exceeded", Error,
        "the 99th percentile of the probes' latency was above the limit",
        "users see slow answers while the plan runs",
        "do less at once: smaller batches, with pauses";
    LockWaitExceeded, "lock-wait-exceeded", Error,
        "a session waited for a lock for longer than the limit allows",
        "whatever comes behind the waiting session waits as well",
        "ask for the lock with a lock timeout and retries";
    WriteProbeFailed, "write-probe-failed", Error,
        "a write that worked before the plan was refused with an error",
        "the application's writes fail from this moment on",
        "look at what the statement before the first error dropped or changed";
    ReadProbeFailed, "read-probe-failed", Error,
        "a read that worked before the plan was refused with an error",
        "the application's reads fail from this moment on",
        "look at what the statement before the first error dropped or changed";
    ConnectProbeFailed, "connect-probe-failed", Error,
        "a fresh connection was refused",
        "new sessions of the application cannot start",
        "keep the server up and accepting, or mark the downtime in the limits";
    WorkloadFailed, "workload-failed", Error,
        "a statement of a workload was refused with an error: of one that worked before the plan, or that runs after it alone",
        "what the application commits fails from this moment on",
        "change the schema in steps that both the old and the new application can work with: expand, move over, contract";
    ConsumerEnded, "consumer-ended", Error,
        "a program kept running beside a node ended by itself since the plan began",
        "whatever it feeds gets nothing more until somebody starts it again",
        "look at its output, and keep what it reads until it reads something else";
    ReplicationBroken, "replication-broken", Error,
        "a replica came to a standstill and will not go on by itself",
        "its readers see the past, the log that it has not read fills the writer's disk, and it cannot take over",
        "bring the replica to where it can replay before the writer goes on: settings that it must match first, files and tablespaces in place, a subscriber's columns";
    LagExceeded, "lag-exceeded", Error,
        "a replica was behind for longer than the limit allows",
        "its readers see the past, and a failover would lose what it has not got",
        "write less at once: smaller batches, with pauses in which the replica catches up";
    SchemaDrift, "schema-drift", Error,
        "nodes that should be alike have different schemas",
        "a statement works on one and fails on the other, and rows that replicate between them stop or land in the wrong columns",
        "run what is missing on the node that lacks it before anything is written that rests on it";
    RowsDiffer, "rows-differ", Error,
        "nodes that should be alike hold different rows",
        "readers see one state or another by the node that answers, and replication stops at the first row that it does not find",
        "find who wrote on one node alone, and bring the rows in line before the nodes change places";
    ShardWithoutSide, "shard-without-side", Error,
        "a node was to be taken out while the other side of its shard could not serve",
        "users of that shard would have had no node at all; the step was refused, and they stayed where they were",
        "see that the other side is up and put back before this one goes, and let the plan stop where that fails";
    ConnectionToDisabledNode, "connection-to-disabled-node", Error,
        "a client talked to a node that had been taken out",
        "its reads and writes meet a node that is being changed: they wait for the change's locks, and are lost or wrong where the schema differs",
        "let every program obey the routing list, and end what it holds open to a node when that is taken out";
    DefaultLost, "default-lost", Error,
        "a column lost its default",
        "inserts that leave the column out store NULL or fail",
        "restate the default; for a serial column, set it to nextval of its sequence and own the sequence by the column";
    AutoIncrementLost, "auto-increment-lost", Error,
        "a key column lost its automatic numbering",
        "inserts that leave the key out fail, or store the same key twice",
        "restate the whole column definition, the automatic numbering included";
    NotNullLost, "not-null-lost", Error,
        "a column lost its NOT NULL",
        "rows without a value get in unnoticed",
        "restate NOT NULL: add a CHECK NOT VALID, validate it, then SET NOT NULL";
    ConstraintLost, "constraint-lost", Error,
        "a constraint is gone or no longer valid",
        "rows that break it get in unnoticed",
        "create it again: foreign keys and checks NOT VALID first, then VALIDATE";
    IndexLost, "index-lost", Error,
        "an index is gone",
        "queries that rest on it read the whole table",
        "create it again, concurrently where the table is in use";
    IndexInvalid, "index-invalid", Error,
        "an index was left invalid",
        "it costs every write, and no query uses it",
        "drop it concurrently and build it again";
    ViewInvalid, "view-invalid", Error,
        "a view no longer works: what it reads is gone",
        "whoever reads from it gets an error",
        "make the view again in the same step, on what is there now";
    PrivilegeLost, "privilege-lost", Error,
        "a role lost a privilege",
        "the role's statements are refused with permission denied",
        "grant it again in the same step";
    TableRewritten, "table-rewritten", Warning,
        "a statement wrote a whole table anew",
        "it takes as long as the table is large, and holds its lock meanwhile",
        "find a form that does not rewrite: a constant default, a new column with a backfill in batches";
    LockWithoutTimeout, "lock-without-timeout", Warning,
        "a lock that stops users was asked for without a lock timeout",
        "behind one long transaction it queues, and everything else queues behind it",
        "SET lock_timeout, and retry; or give the step retry = { lock_timeout = … }";
    DataChangedUnexpectedly, "data-changed-unexpectedly", Error,
        "rows changed that the scenario says stay as they are",
        "the release alters data nobody meant it to alter",
        "mend the statement, or declare the change under [expect] changed";
    NotProbed, "not-probed", Info,
        "a table or operation could not be probed",
        "what users would feel there was not measured",
        "give a custom probe for it, or a role that may do it";
    ExpectationUnmet, "expectation-unmet", Error,
        "the run ended otherwise than [expect] says",
        "the scenario no longer shows what it documents",
        "compare the error codes found with those expected";
}

impl Code {
    pub fn name(self) -> &'static str {
        self.data().name
    }

    /// The code of that name, or nothing.
    pub fn parse(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Something found in one run, with the events it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    pub code: Code,
    pub severity: Severity,
    /// What was seen in this run: "column orders.id lost its default nextval('orders_id_seq')".
    pub condition: String,
    pub effect: String,
    pub remedy: String,
    /// Sequence numbers of the events it rests on.
    pub evidence: Vec<u64>,
    /// The step it came from, by name; none where it is about the whole run.
    pub step: Option<String>,
    pub node: Option<String>,
}
