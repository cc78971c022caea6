//! The scenario: what a scenario file says, once it was read and found right.
//!
//! A [`Scenario`] is correct by construction: every name in it resolves, every duration is positive, and nothing in it asks for a
//! part that is not built.

mod forms;
mod grammar;
mod leaf;
mod load;
mod package;
mod problem;
mod read;
mod reference;
mod routing;
pub mod rules;
mod tree;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::forms::{is_one, is_yes, one, one_or_many, yes};
pub use self::forms::{millis, opt_millis};
pub use self::load::{json_schema, load};
pub use self::package::Package;
pub use self::problem::{Mistake, Problem, ScenarioErrors};
pub use self::reference::{NodeField, substitute};
pub use self::routing::{Address, Refusal, Route, Routing};
use crate::finding::{Code, Severity};

/// Options of MySQL and MariaDB that say where a server lives, and who it is among those that replicate: the lab's to choose. With `_`,
/// which the servers take for `-`.
pub const OPTIONS_OF_THE_LAB: &[&str] = &[
    "basedir",
    "bind_address",
    "datadir",
    "defaults_extra_file",
    "defaults_file",
    "enforce_gtid_consistency",
    "gtid_mode",
    "init_file",
    "log_bin",
    "log_error",
    "mysqlx",
    "pid_file",
    "port",
    "require_secure_transport",
    "server_id",
    "skip_grant_tables",
    "skip_log_bin",
    "skip_networking",
    "skip_replica_start",
    "skip_slave_start",
    "socket",
    "tmpdir",
    "user",
];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    pub name: String,
    /// The scenario file itself, as given; relative paths in it were resolved against its folder.
    pub file: PathBuf,
    pub topology: Topology,
    pub snapshot: Snapshot,
    /// Untimed, unjudged, before the state that the diff compares against.
    pub setup: Vec<Step>,
    pub probes: Probes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<Workload>,
    pub limits: Limits,
    /// At least one.
    pub steps: Vec<Step>,
    pub expect: Expect,
    /// The lowest severity on which a run fails.
    pub fail_on: Severity,
}

impl Scenario {
    /// What takes the snapshot and the release: the node that gets nothing from another, of a pair the first in the file. Of several
    /// shards, the first one's.
    pub fn writer(&self) -> &Node {
        self.topology.writer()
    }

    /// Whether that node is a shard's writer, or the only one.
    pub fn is_writer(&self, node: &str) -> bool {
        self.topology.writers().any(|writer| writer.name == node)
    }

    /// Whether the plan changes where users are sent.
    pub fn routes(&self) -> bool {
        let routes =
            |step: &Step| matches!(step.action, Action::TakeOut { .. } | Action::PutBack { .. } | Action::Route { .. });
        self.steps.iter().any(|step| routes(step) || step.undo.iter().any(routes))
    }

    /// The version that the writer runs: its own where it has one, else the topology's.
    pub fn version(&self) -> &str {
        &self.writer().version
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    Postgres,
    Mysql,
    Mariadb,
}

impl EngineKind {
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Postgres => "postgres",
            EngineKind::Mysql => "mysql",
            EngineKind::Mariadb => "mariadb",
        }
    }

    /// Of its servers' URLs, as their clients know it.
    pub fn scheme(self) -> &'static str {
        match self {
            EngineKind::Postgres => "postgresql",
            EngineKind::Mysql | EngineKind::Mariadb => "mysql",
        }
    }

    /// The versions that the tool knows, oldest first.
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            EngineKind::Postgres => &["13", "14", "15", "16", "17", "18"],
            EngineKind::Mysql => &["9.7"],
            EngineKind::Mariadb => &["10.5", "10.11", "11.8"],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    pub engine: EngineKind,
    /// The default of every node: "15" on Postgres, "11.8" on MariaDB.
    pub version: String,
    /// At least one: shard by shard, in each in the file's order. In a shard one gets nothing from another, or two that are a pair; all
    /// others come down from these.
    pub nodes: Vec<Node>,
    /// Programs kept running beside the nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<Consumer>,
}

/// A program kept running beside a node, as the consumer of a feed is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consumer {
    /// Unique, and good for a file's name.
    pub name: String,
    pub of: String,
    pub command: Command,
    /// The role whose URL it is given; none = the superuser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
}

impl Topology {
    /// The node that is nobody's replica and subscribes to none, of a pair the first in the file; of several shards, the first one's.
    pub fn writer(&self) -> &Node {
        self.writers().next().unwrap_or(&self.nodes[0])
    }

    /// Each shard's.
    pub fn writers(&self) -> impl Iterator<Item = &Node> {
        let is_head = |node: &&Node| node.replicates.is_none() && node.subscribes.is_none();
        let first = move |shard| self.nodes.iter().filter(is_head).find(|node| node.shard == shard);
        self.nodes.iter().filter(move |node| first(node.shard).is_some_and(|first| first.name == node.name))
    }

    /// That of the shard which the node is in.
    pub fn writer_of<'t>(&'t self, node: &'t Node) -> &'t Node {
        self.writers().find(|writer| writer.shard == node.shard).unwrap_or(node)
    }

    /// How many shards it has; 1 where it has none.
    pub fn shards(&self) -> usize {
        self.writers().count()
    }

    /// What its nodes run, each version once, in their order.
    pub fn versions(&self) -> Vec<&str> {
        let mut versions: Vec<&str> = Vec::new();
        for node in &self.nodes {
            if !versions.contains(&node.version.as_str()) {
                versions.push(&node.version);
            }
        }
        versions
    }

    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// All nodes but the writers, each of which gets what its shard's writes, or a part of it: replicas, its peer, subscribers.
    pub fn followers(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| self.writer_of(node).name != node.name)
    }

    /// The node from which another gets what the writer writes; none of the writer itself.
    pub fn upstream<'t>(&'t self, node: &'t Node) -> Option<&'t str> {
        let subscribed = node.subscribes.as_ref().map(|subscribes| &subscribes.to);
        let from = node.replicates.as_ref().or_else(|| node.peers.first()).or(subscribed);
        from.filter(|_| node.name != self.writer_of(node).name).map(String::as_str)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// With its shard, where there are several: "a.2".
    pub name: String,
    /// From 1; none where the topology has no shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    pub version: String,
    /// Server settings, passed on the server's command line.
    pub settings: BTreeMap<String, String>,
    pub extensions: Vec<Extension>,
    /// What has to be installed beside the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
    /// The node that it is a replica of: physical on Postgres, by GTID on the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicates: Option<String>,
    /// The other of a master-master pair; empty, or one, which names this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// What it gets by logical replication, on Postgres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribes: Option<Subscribes>,
}

/// A subscription to some of another node's tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribes {
    /// The node that publishes.
    pub to: String,
    /// Its name; that of the subscription too.
    pub publication: String,
    /// "public.orders", or "public.*" for all of a schema; empty where the snapshot's publication is taken as it is.
    pub tables: Vec<String>,
}

/// `unit@7`: an extension, and the version asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    pub name: String,
    pub version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub source: SnapshotSource,
    /// The database that is restored into and released on; "rehearsal" when the file does not say.
    pub database: String,
    /// SQL with the roles that the dump needs, as `pg_dumpall --roles-only` writes it.
    pub roles: Option<PathBuf>,
    /// Rows that production holds, by table.
    pub production_rows: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotSource {
    Empty,
    Sql {
        path: PathBuf,
        compression: Compression,
    },
    /// `pg_dump -Fc`.
    Custom {
        path: PathBuf,
    },
    /// `pg_dump -Fd`.
    Directory {
        path: PathBuf,
    },
    /// A folder that mydumper wrote.
    Mydumper {
        path: PathBuf,
    },
    /// A folder that `rehearsal snapshot capture` wrote.
    Folder {
        path: PathBuf,
    },
    /// A live server, its URL in that environment variable.
    Url {
        variable: String,
        /// A rules file that was found right; none: `unmasked = true` was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rules: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    pub auto: bool,
    /// Interval of each operation on tables that the plan touches.
    #[serde(with = "millis")]
    pub every: Duration,
    /// All other tables together, in operations per second.
    pub budget_per_s: f64,
    #[serde(with = "millis")]
    pub down_after: Duration,
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// The application's role; none = a role of the tool's own that owns what the tables' owners own.
    pub run_as: Option<String>,
    #[serde(with = "opt_millis")]
    pub open_transaction: Option<Duration>,
    pub custom: Vec<CustomProbe>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomProbe {
    pub name: String,
    pub kind: ProbeKind,
    pub sql: String,
    /// Rolled back unless this is set.
    pub commit: bool,
    /// None = the probes' own `every`.
    #[serde(with = "opt_millis")]
    pub every: Option<Duration>,
    #[serde(default, skip_serializing_if = "Address::is_writer")]
    pub on: Address,
}

/// Committed traffic: statements that are run over and over at a steady rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Unique among the workloads.
    pub name: String,
    /// Statements in the language of the engine's own client: one iteration.
    pub file: PathBuf,
    /// Iterations a second.
    pub rate_per_s: f64,
    pub during: During,
    #[serde(default, skip_serializing_if = "Address::is_writer")]
    pub on: Address,
}

/// When a workload runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum During {
    /// In the control run.
    Before,
    /// While the plan runs.
    During,
    After,
    All,
}

impl During {
    /// As the scenario file writes it.
    pub fn name(self) -> &'static str {
        match self {
            During::Before => "before",
            During::During => "during",
            During::After => "after",
            During::All => "all",
        }
    }
}

/// The kinds that limits speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    Read,
    Write,
    /// Fresh connections; counted as reads and as writes by a downtime limit, since neither works without.
    Connect,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Sum of the steps not marked `outside_window`.
    #[serde(with = "opt_millis")]
    pub window: Option<Duration>,
    #[serde(with = "opt_millis")]
    pub downtime_read: Option<Duration>,
    #[serde(with = "opt_millis")]
    pub downtime_write: Option<Duration>,
    #[serde(with = "opt_millis")]
    pub p99: Option<Duration>,
    #[serde(with = "opt_millis")]
    pub lock_wait: Option<Duration>,
    #[serde(with = "opt_millis", default)]
    pub lag: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique among the steps.
    pub name: String,
    /// Line on which it begins, from 1; of the base file for a step that stands there.
    pub line: usize,
    /// The nodes it runs on, in their order; at least one. A text alone in logs where it is one.
    #[serde(with = "one_or_many")]
    pub on: Vec<String>,
    /// It runs wherever the writers are at that moment: on `on`, if all goes as planned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub routed: bool,
    /// How many of them at a time, at least one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub at_once: usize,
    /// False keeps what it writes out of the binary log, and fails the step where it got there.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub replicated: bool,
    /// The role; none = the superuser.
    pub run_as: Option<String>,
    #[serde(with = "opt_millis")]
    pub budget: Option<Duration>,
    #[serde(with = "opt_millis")]
    pub timeout: Option<Duration>,
    /// Replaces the scenario's limits while the step runs.
    pub limits: Option<Limits>,
    /// Steps that take it back, in order; empty = none.
    pub undo: Vec<Step>,
    pub retry: Option<Retry>,
    /// Production's known time, for the window.
    #[serde(with = "opt_millis")]
    pub takes: Option<Duration>,
    pub outside_window: bool,
    pub point_of_no_return: bool,
    /// Who accepted a step over its budget.
    pub sign_off: Option<String>,
    pub when_failed: WhenFailed,
    pub action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFailed {
    #[default]
    Stop,
    Continue,
    Undo,
    UndoAll,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    #[serde(with = "millis")]
    pub lock_timeout: Duration,
    /// Attempts in all, at least one.
    pub times: u32,
    #[serde(with = "millis")]
    pub pause: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Statements in the language of the engine's own client.
    Sql {
        text: String,
    },
    File {
        path: PathBuf,
    },
    Command(Command),
    /// ANALYZE of these tables, or of all when there are none; `stages` as `vacuumdb --analyze-in-stages` does.
    Analyze {
        tables: Vec<String>,
        stages: bool,
    },
    Restart,
    WaitFor {
        #[serde(with = "millis")]
        time: Duration,
    },
    /// Until the statement answers one row whose first column is true.
    WaitUntil {
        sql: String,
        #[serde(with = "millis")]
        deadline: Duration,
    },
    /// Until whoever replicates has what was written when the step began.
    WaitCaughtUp {
        #[serde(with = "millis")]
        deadline: Duration,
    },
    /// Rows compared as text.
    Check {
        sql: String,
        rows: Vec<Vec<String>>,
    },
    /// Nodes that should be equal, once each has what the others wrote.
    Compare {
        /// At least two; each is compared with the first.
        nodes: Vec<String>,
        schema: bool,
        data: bool,
    },
    /// Nobody is sent to these nodes any more, and whoever obeys the list has left them.
    TakeOut {
        nodes: Vec<String>,
    },
    PutBack {
        nodes: Vec<String>,
    },
    Route {
        /// At most one a shard.
        writers: Vec<String>,
        /// Empty = as before.
        readers: Vec<String>,
    },
}

impl Action {
    pub fn name(&self) -> &'static str {
        match self {
            Action::Sql { .. } => "sql",
            Action::File { .. } => "file",
            Action::Command(_) => "command",
            Action::Analyze { .. } => "analyze",
            Action::Restart => "restart",
            Action::WaitFor { .. } | Action::WaitUntil { .. } | Action::WaitCaughtUp { .. } => "wait",
            Action::Check { .. } => "check",
            Action::Compare { .. } => "compare",
            Action::TakeOut { .. } => "take_out",
            Action::PutBack { .. } => "put_back",
            Action::Route { .. } => "route",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub run: Invocation,
    /// Working directory; the folder of the file that the command stands in when that does not say.
    pub dir: PathBuf,
    /// Values may be `env:NAME`.
    pub env: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invocation {
    /// For `sh -c`.
    Shell(String),
    /// At least one word.
    Argv(Vec<String>),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// Any change there is an error.
    pub unchanged: Vec<String>,
    /// Once given, any other change of data is an error.
    pub changed: Option<Vec<ChangedTable>>,
    /// Dropped or renamed on purpose.
    pub retired: Vec<String>,
    pub outcome: Option<ExpectedOutcome>,
    /// The error codes, exactly.
    pub findings: Option<Vec<Code>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedTable {
    pub table: String,
    /// Empty = any column.
    pub columns: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedOutcome {
    Passed,
    Failed,
    Inconclusive,
}
