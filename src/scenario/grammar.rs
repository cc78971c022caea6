//! The tables of the scenario file: every key that the grammar has, those included that are not built yet.

use super::leaf::{
    All, AnyText, CaughtUp, Cell, CompareWhat, Count, CustomKind, Layout, Number, Positive, Rate, Scalar, Text, Time,
    UpgradeMode, UpgradeVia, Word,
};
use super::problem::Problems;
use super::read::{Either, Found, KeySchema, Keys, List, Map, Named, Read, key_name, table, table_schema};
use super::tree::{At, Node};
use super::{During, EngineKind, ExpectedOutcome, WhenFailed};
use crate::finding::{Code, Severity};

/// `"a"` or `["a", "b"]`.
pub(super) type OneOrMany = Either<Text, List<Text>>;

table! {
    /// A dress rehearsal of a database release.
    ScenarioFile "the scenario" {
        /// What is rehearsed, in a few words.
        required name: Text,
        /// The servers to bring up.
        required topology: TopologyTable,
        /// The data to restore into them.
        required snapshot: SnapshotTable,
        /// What was merged since the snapshot was taken: same actions as steps, untimed and unjudged.
        optional setup: List<StepTable>,
        /// How users are played.
        optional probes: ProbesTable,
        /// Committed traffic.
        optional workload: List<WorkloadTable>,
        /// What the release may cost; a step's own limits replace these while it runs.
        optional limits: LimitsTable,
        /// The release plan.
        required step: List<Named<StepTable>>,
        /// What the release is meant to change, and how the run is meant to end.
        optional expect: ExpectTable,
        /// What makes a run fail.
        optional gate: GateTable,
    } later {} form_only {
        /// A file that this one builds on: its tables merge key by key under this file's, lists are replaced.
        optional extends: Text,
    }
}

table! {
    /// The servers to bring up.
    TopologyTable "[topology]" {
        required engine: Word<EngineKind>,
        /// Every node's version, unless it has its own.
        required version: Text,
        /// None at all: one node, "primary".
        optional nodes: Map<NodeTable>,
        /// Every node once a shard: a.1, a.2, …; each shard gets the snapshot.
        optional shards: Count<1>,
        /// Programs kept running beside a node, such as the consumer of a feed.
        optional consumers: Map<ConsumerTable>,
    }
}

table! {
    /// A program kept running beside a node.
    ConsumerTable "a consumer" {
        /// The node.
        required of: Text,
        /// The program; text is for the shell, a list is its words.
        required command: Either<Text, Either<List<Text>, CommandTable>>,
        /// The role whose URL it is given; a superuser unless given.
        optional r#as: Text,
    }
}

table! {
    /// One server.
    NodeTable "a node" {
        optional version: Text,
        /// Server settings.
        optional settings: Map<Scalar>,
        /// Extensions it needs: "unit", or "unit@7" for a version.
        optional extensions: List<Text>,
        /// Packages that have to be there beside the server: "postgresql-15-unit", or "postgresql-15-unit=7.7-1" for a version.
        optional packages: List<Text>,
        /// The node it is a replica of.
        optional replicates: Text,
        /// Master-master: the other of its pair.
        optional peers: List<Text>,
        /// Logical replication, on Postgres: the node and the publication that it subscribes to.
        optional subscribes: SubscribesTable,
    } later {
        /// Processors it may use.
        cpus: Number,
        /// Memory it may use.
        memory: Text,
        /// A snapshot of its own.
        snapshot: Text,
    }
}

table! {
    /// Logical replication.
    SubscribesTable "`subscribes`" {
        /// The node that publishes: the writer.
        required to: Text,
        /// Made where the snapshot does not hold it. The subscription is called the same.
        required publication: Text,
        /// What it is made of, as "public.orders" or "public.*" for the schema's tables of then.
        optional tables: List<Text>,
    }
}

table! {
    /// The data to restore.
    SnapshotTable "[snapshot]" {
        /// A folder of `rehearsal snapshot capture`, a dump (.sql, .sql.gz, .sql.zst, pg_dump -Fc or -Fd, mydumper's folder), "env:NAME" for a
        /// live server's URL, or "empty".
        required from: Text,
        /// The database that is restored into; "rehearsal" unless given.
        optional database: Text,
        /// SQL with the roles that the dump needs, as pg_dumpall --roles-only writes it.
        optional roles: Text,
        /// Rows that production holds, by table.
        optional production_rows: Map<Count<0>>,
        /// A live server's rows may be copied as they are.
        optional unmasked: bool,
        /// The rules file by which a live server's rows are masked while they are read; all of them are taken.
        optional rules: Text,
    } later {
        /// The oldest that the snapshot may be.
        max_age: Positive,
    }
}

table! {
    /// How users are played.
    ProbesTable "[probes]" {
        /// Probe every table by key, insert, update and delete, and open fresh connections; true unless given.
        optional auto: bool,
        /// Interval on tables that the plan touches; "20ms" unless given.
        optional every: Positive,
        /// All other tables together; "200/s" unless given.
        optional budget: Rate,
        /// An answer later than this is down; "100ms" unless given.
        optional down_after: Positive,
        /// Then a probe gives up and tries again; "5s" unless given.
        optional timeout: Positive,
        /// The application's role.
        optional r#as: Text,
        /// Keep a reader open this long on each table that the plan touches.
        optional open_transaction: Positive,
        /// Statements of the application's own.
        optional custom: List<CustomProbeTable>,
    }
}

table! {
    /// A statement of the application's own.
    CustomProbeTable "a custom probe" {
        required name: Text,
        required kind: Word<CustomKind>,
        required sql: Text,
        /// "writer", "readers", "side:NODE", "shard:N", or a node's name, which is a fixed address: it does not obey the routing list. The
        /// writer unless given.
        optional on: OneOrMany,
        /// Rolled back unless this is true.
        optional commit: bool,
        /// Its own interval.
        optional every: Positive,
    }
}

table! {
    /// Committed traffic.
    WorkloadTable "a workload" {
        /// Each workload its own.
        required name: Text,
        /// Its statements, which are one iteration; `${TABLE.COLUMN}` in them is a value of a row drawn at random.
        required file: Text,
        /// Iterations, as in "50/s": from "1/h" to "10000/s".
        required rate: Rate,
        /// As a custom probe's: "writer", "readers", "side:NODE", "shard:N", or a node's name. The writer unless given.
        optional on: OneOrMany,
        /// "all" unless given: before the plan, during it, and after it.
        optional during: Word<During>,
    }
}

table! {
    /// What the release may cost.
    LimitsTable "limits" {
        /// Sum of the steps that are not marked outside_window.
        optional window: Positive,
        /// Of reads and writes alike, or of each.
        optional downtime: Either<Time, DowntimeTable>,
        /// The probes' 99th percentile.
        optional p99: Positive,
        /// The longest that any session may wait for a lock.
        optional lock_wait: Time,
        /// The furthest that a replica may be behind.
        optional lag: Time,
    }
}

table! {
    /// Downtime of each kind of operation.
    DowntimeTable "`downtime`" {
        optional read: Time,
        optional write: Time,
    }
}

table! {
    /// One step of the plan: one action, and how it is to be run and judged.
    StepTable "a step" {
        /// Each step its own; not needed in `setup` and for an `undo` of one action.
        optional name: Text,
        /// Where it runs: a node's name, "writer" (of each shard), "readers", "all", "side:a" (a.1, a.2, …), "shard:2", or a list of
        /// these; one after the other.
        optional on: OneOrMany,
        /// How many nodes at a time; 1 unless given.
        optional at_once: Either<Count<1>, Word<All>>,
        /// False keeps the statements out of the binary log, on MySQL and MariaDB.
        optional replicated: bool,
        /// The role it runs as; a superuser unless given.
        optional r#as: Text,
        /// The longest it may take, on each of its nodes.
        optional budget: Positive,
        /// Then it is cancelled, and failed.
        optional timeout: Positive,
        /// Replaces the scenario's limits while it runs.
        optional limits: LimitsTable,
        /// Takes it back: one action, or `steps`.
        optional undo: Box<StepTable>,
        /// Tried again when a lock could not be had.
        optional retry: RetryTable,
        /// Production's known time, for window and runbook.
        optional takes: Positive,
        /// Does not count towards the window.
        optional outside_window: bool,
        /// From here on there is no way back.
        optional point_of_no_return: bool,
        /// Who accepted that it is over its budget.
        optional sign_off: Text,
        /// "stop" unless given.
        optional when_failed: Word<WhenFailed>,
        /// Action: statements, in the language of the engine's own client.
        optional sql: Text,
        /// Action: a file of statements, sent as it stands.
        optional file: Text,
        /// Action: a program; text is for the shell, a list is its words.
        optional command: Either<Text, Either<List<Text>, CommandTable>>,
        /// Action: gather statistics, of all tables or of some.
        optional analyze: Either<bool, AnalyzeTable>,
        /// Action: restart the step's own node, or the one named.
        optional restart: Either<bool, Text>,
        /// Action: a duration, or until something is so.
        optional wait: Either<Positive, WaitTable>,
        /// Action: compare the rows of a query.
        optional check: CheckTable,
        /// Action: compare nodes with each other, once each has what the others wrote.
        optional compare: CompareTable,
        /// Action: send nobody to the step's own nodes, or to those named, and wait until everybody who obeys the list has left.
        optional take_out: Either<bool, OneOrMany>,
        /// Action: send users there again; the first of a pair takes the writes as before.
        optional put_back: Either<bool, OneOrMany>,
        /// Action: who takes the writes and the reads.
        optional route: RouteTable,
        /// Group: steps in order, called "GROUP / STEP"; in an `undo` all that it does.
        optional steps: List<Named<StepTable>>,
        /// Repeats a group's steps for each of these words, which is the `on` of those that give none.
        optional each: List<Text>,
    } later {
        /// Action: a migration tool's files.
        migrations: MigrationsTable,
        /// Action: a new major version.
        upgrade: UpgradeTable,
        /// Action: refuse writes, or take them again.
        read_only: bool,
        /// Action: refuse connections, run the statements, take connections again.
        fast_downtime: FastDowntimeTable,
        /// Action: refuse connections.
        refuse_connections: Either<bool, RefuseConnectionsTable>,
        /// Action: take connections again.
        readmit: bool,
        /// Action: make a replica the writer.
        promote: Text,
        /// Action: make replicas anew.
        rebuild: OneOrMany,
        /// Action: stop a node.
        stop: Either<bool, OneOrMany>,
        /// Action: start a node.
        start: Either<bool, OneOrMany>,
        /// Action: ask a person.
        confirm: ConfirmTable,
        /// Group: steps at once.
        parallel: List<Named<StepTable>>,
    }
}

table! {
    /// How often a lock is tried for.
    RetryTable "`retry`" {
        required lock_timeout: Positive,
        /// Attempts in all.
        required times: Count<1>,
        /// Between attempts; "1s" unless given.
        optional pause: Time,
    }
}

table! {
    /// A program.
    CommandTable "`command`" {
        /// Text is for the shell, a list is its words.
        required run: Either<Text, List<Text>>,
        /// Its working directory; the file's own folder unless given.
        optional dir: Text,
        /// Added to its environment; values may be "env:NAME".
        optional env: Map<AnyText>,
    } later {
        /// The image to run it in.
        image: Text,
    }
}

table! {
    /// Which statistics.
    AnalyzeTable "`analyze`" {
        /// All unless given.
        optional tables: List<Text>,
        /// First rough ones, then better ones, as vacuumdb --analyze-in-stages does.
        optional stages: bool,
    }
}

table! {
    /// What to wait for.
    WaitTable "`wait`" {
        /// Until its first row's first column is true.
        optional sql: Text,
        /// Until the node's replicas, or the node where it is one, have all that was written.
        optional r#for: Word<CaughtUp>,
        /// The longest to wait.
        required deadline: Positive,
    }
}

table! {
    /// A query, and the rows it is to answer.
    CheckTable "`check`" {
        required sql: Text,
        /// Compared as text.
        required rows: List<List<Cell>>,
    }
}

table! {
    /// A migration tool's files.
    MigrationsTable "`migrations`" form_only {
        required dir: Text,
        required layout: Word<Layout>,
        optional from: Text,
        optional to: Text,
    }
}

table! {
    /// A new major version.
    UpgradeTable "`upgrade`" form_only {
        required to: Text,
        optional mode: Word<UpgradeMode>,
        optional via: Word<UpgradeVia>,
    }
}

table! {
    /// Connections refused while the statements run.
    FastDowntimeTable "`fast_downtime`" form_only {
        /// Roles that may still connect.
        optional except: List<Text>,
        /// Roles whose sessions are left alone.
        optional protect: List<Text>,
        optional sql: Text,
    }
}

table! {
    /// Whose connections are not refused.
    RefuseConnectionsTable "`refuse_connections`" form_only {
        optional except: List<Text>,
        optional protect: List<Text>,
    }
}

table! {
    /// Nodes that should be equal.
    CompareTable "`compare`" {
        /// At least two; each is compared with the first.
        required nodes: List<Text>,
        /// "both" unless given.
        optional what: Word<CompareWhat>,
    }
}

table! {
    /// Who takes the writes and the reads.
    RouteTable "`route`" {
        /// One node a shard: the writer, or its peer.
        optional writer: OneOrMany,
        /// Nodes that take the reads which need not be of the moment.
        optional readers: OneOrMany,
    }
}

table! {
    /// A question to a person.
    ConfirmTable "`confirm`" form_only {
        required ask: Text,
        /// Time until the answer; added, not waited for.
        optional takes: Positive,
        /// "stop", "undo", or "undo_to: STEP".
        optional if_no: Text,
    }
}

table! {
    /// What the release is meant to change, and how the run is meant to end.
    ExpectTable "[expect]" {
        /// Tables in which any change is an error.
        optional unchanged: List<Text>,
        /// Tables that are meant to change; once given, any other change of data is an error.
        optional changed: List<ChangedTableEntry>,
        /// Tables dropped or renamed on purpose: not downtime.
        optional retired: List<Text>,
        optional outcome: Word<ExpectedOutcome>,
        /// The error codes, exactly.
        optional findings: List<Word<Code>>,
    }
}

table! {
    /// A table that is meant to change.
    ChangedTableEntry "`changed`" {
        required table: Text,
        /// Any column unless given.
        optional columns: List<Text>,
    }
}

table! {
    /// What makes a run fail.
    GateTable "[gate]" {
        /// The lowest severity that fails a run; "error" unless given.
        optional fail_on: Word<Severity>,
    }
}
