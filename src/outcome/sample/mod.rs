//! Logs for tests, built by hand: a small language for single rules, and in [`runs`] whole runs as they are recorded.

pub mod nodes;
pub mod runs;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::{
    Change, CloneKind, DataChange, DiffResult, DownCause, Downtime, Event, FORMAT, Lock, ObjectKind, Operation, Phase,
    ProbeSpec, ProbeSummary, Property, Recorded, SchemaChange, Session, SqlError, Statement, StepError, StepResult,
    StepRole, TableSize, Work,
};
use crate::finding::Severity;
use crate::scenario::{
    Action, Address, EngineKind, Expect, Limits, Node, ProbeKind, Probes, Scenario, Snapshot, SnapshotSource, Step,
    Topology, WhenFailed,
};
use crate::stats::Latencies;

/// When the plan of a [`Log`] begins.
pub const PLAN_MS: f64 = 1000.0;

/// Ids of the probes of a [`Log`].
pub const READ: u32 = 0;
pub const INSERT: u32 = 1;
pub const UPDATE: u32 = 2;
pub const DELETE: u32 = 3;
pub const CONNECT: u32 = 4;
pub const USERS_INSERT: u32 = 5;

/// A log in the making: one node, tables orders (1,000 rows) and users, a probe of every kind, the plan begun.
pub struct Log {
    pub records: Vec<Recorded>,
}

impl Log {
    /// `change` sets limits, steps and whatever else a rule reads.
    pub fn new(change: impl FnOnce(&mut Scenario)) -> Log {
        let mut scenario = scenario("a rule");
        change(&mut scenario);
        let mut log = Log { records: Vec::new() };
        log.at(0.0, started(scenario));
        log.at(10.0, ready(BTreeMap::new()));
        log.at(20.0, restored(&[("orders", 1000), ("users", 500)]));
        log.at(30.0, kept(CloneKind::Reflink));
        let probes = vec![
            probe(READ, "orders", Operation::Read, ProbeKind::Read),
            probe(INSERT, "orders", Operation::Insert, ProbeKind::Write),
            probe(UPDATE, "orders", Operation::Update, ProbeKind::Write),
            probe(DELETE, "orders", Operation::Delete, ProbeKind::Write),
            ProbeSpec {
                table: None,
                name: "connect".into(),
                ..probe(CONNECT, "", Operation::Connect, ProbeKind::Connect)
            },
            probe(USERS_INSERT, "users", Operation::Insert, ProbeKind::Write),
        ];
        log.at(40.0, Event::ProbesDerived { node: "primary".into(), run_as: "app".into(), probes, not_probed: vec![] });
        log.at(PLAN_MS, Event::PhaseStarted { phase: Phase::Plan });
        log
    }

    pub fn at(&mut self, at_ms: f64, event: Event) -> &mut Log {
        self.records.push(Recorded { seq: self.records.len() as u64 + 1, at_ms, event });
        self
    }

    /// Step `step` as it went, its statements from its beginning on.
    pub fn step(&mut self, step: usize, started_ms: f64, elapsed_ms: f64, statements: Vec<Statement>) -> &mut Log {
        self.step_ending(step, started_ms, elapsed_ms, statements, StepResult::Done, None)
    }

    pub fn step_ending(
        &mut self,
        step: usize,
        started_ms: f64,
        elapsed_ms: f64,
        statements: Vec<Statement>,
        result: StepResult,
        error: Option<StepError>,
    ) -> &mut Log {
        let Event::RunStarted { scenario, .. } = &self.records[0].event else { panic!("a log begins with its start") };
        let planned = &scenario.steps[step];
        let (name, action) = (planned.name.clone(), planned.action.name().to_owned());
        let role = StepRole::Plan;
        let node = "primary".to_owned();
        self.at(started_ms, Event::StepStarted { step, name, node, action, role, statements: Some(statements.len()) });
        for mut statement in statements {
            if statement.started_ms == 0.0 {
                statement.started_ms = started_ms;
            }
            let ended_ms = statement.started_ms + statement.elapsed_ms;
            let (node, statement) = ("primary".to_owned(), Box::new(statement));
            self.at(ended_ms, Event::StatementEnded { step, role, node, statement });
        }
        let node = "primary".to_owned();
        let event = Event::StepEnded { step, role, node, result, elapsed_ms, error, output: None, rows: None };
        self.at(started_ms + elapsed_ms, event)
    }

    /// A window of downtime; `change` says what it was.
    pub fn down(
        &mut self,
        probe: u32,
        started_ms: f64,
        elapsed_ms: f64,
        change: impl FnOnce(&mut Downtime),
    ) -> &mut Log {
        let mut down = Downtime {
            probe,
            started_ms,
            elapsed_ms,
            cause: DownCause::Late,
            error: None,
            first_error_ms: None,
            bad: 1,
            to_the_end: false,
            step: None,
            statement: None,
            blocked_by: Vec::new(),
            harness_lag_ms: 0.0,
        };
        change(&mut down);
        let window = self.records.len() as u64;
        self.at(started_ms + elapsed_ms, Event::DowntimeEnded { window, down: Box::new(down) })
    }

    pub fn compared(&mut self, schema: Vec<SchemaChange>, data: Vec<DataChange>) -> &mut Log {
        let diff = Box::new(DiffResult { schema, data, tables_compared: 2, ..DiffResult::default() });
        self.at(9000.0, Event::Compared { node: "primary".into(), diff, elapsed_ms: 5.0 })
    }

    /// The records, with the run's end.
    pub fn ended(&mut self) -> Vec<Recorded> {
        self.at(10_000.0, Event::RunEnded { elapsed_ms: 10_000.0 });
        self.records.clone()
    }
}

pub fn scenario(name: &str) -> Scenario {
    Scenario {
        name: name.into(),
        file: "scenario.toml".into(),
        topology: Topology {
            engine: EngineKind::Postgres,
            version: "15".into(),
            nodes: vec![Node {
                name: "primary".into(),
                shard: None,
                version: "15".into(),
                settings: BTreeMap::new(),
                extensions: Vec::new(),
                packages: Vec::new(),
                replicates: None,
                peers: Vec::new(),
                subscribes: None,
            }],
            consumers: Vec::new(),
        },
        snapshot: Snapshot {
            source: SnapshotSource::Empty,
            database: "shop".into(),
            roles: None,
            production_rows: BTreeMap::new(),
        },
        setup: Vec::new(),
        probes: Probes {
            auto: true,
            every: Duration::from_millis(20),
            budget_per_s: 200.0,
            down_after: Duration::from_millis(100),
            timeout: Duration::from_secs(5),
            run_as: Some("app".into()),
            open_transaction: None,
            custom: Vec::new(),
        },
        workloads: Vec::new(),
        limits: Limits::default(),
        steps: vec![step("change")],
        expect: Expect::default(),
        fail_on: Severity::Error,
    }
}

pub fn step(name: &str) -> Step {
    Step {
        name: name.into(),
        line: 10,
        on: vec!["primary".into()],
        routed: false,
        at_once: 1,
        replicated: true,
        run_as: None,
        budget: None,
        timeout: None,
        limits: None,
        undo: Vec::new(),
        retry: None,
        takes: None,
        outside_window: false,
        point_of_no_return: false,
        sign_off: None,
        when_failed: WhenFailed::Stop,
        action: Action::File { path: "patch.sql".into() },
    }
}

pub fn started(scenario: Scenario) -> Event {
    Event::RunStarted {
        format: FORMAT,
        run: "20260301-120000-7f3a".into(),
        version: "0.1.0".into(),
        started: "2026-03-01T12:00:00Z".parse().expect("a timestamp"),
        scenario: Box::new(scenario),
        lab: "native".into(),
        cores: 2,
        notes: Vec::new(),
    }
}

pub fn ready(relaxed: BTreeMap<String, String>) -> Event {
    Event::NodeReady {
        node: "primary".into(),
        engine: "postgres".into(),
        version: "15.18 (Debian 15.18-0+deb12u1)".into(),
        elapsed_ms: 412.0,
        relaxed,
    }
}

pub fn restored(tables: &[(&str, u64)]) -> Event {
    let size = |(table, rows): &(&str, u64)| TableSize { table: (*table).into(), rows: *rows, bytes: rows * 110 };
    Event::Restored {
        node: "primary".into(),
        kind: "dump".into(),
        tables: tables.iter().map(size).collect(),
        elapsed_ms: 1830.0,
    }
}

pub fn kept(clone: CloneKind) -> Event {
    Event::BeforeKept { node: "primary".into(), clone, bytes: 93_000_000, elapsed_ms: 220.0 }
}

pub fn probe(id: u32, table: &str, operation: Operation, kind: ProbeKind) -> ProbeSpec {
    ProbeSpec {
        id,
        name: format!("{table} {}", operation.name()),
        table: Some(table.into()),
        operation,
        kind,
        sql: "SELECT 1".into(),
        every_ms: 20.0,
        custom: false,
        touched: true,
        on: Address::Writer,
    }
}

/// An autocommitted statement of `elapsed_ms`, which begins with its step unless its `started_ms` is set.
pub fn statement(sql: &str, elapsed_ms: f64) -> Statement {
    let command: Vec<&str> = sql.split_whitespace().take(2).collect();
    Statement { sql: sql.into(), command: command.join(" "), elapsed_ms, attempts: 1, ..Statement::default() }
}

pub fn exclusive(relation: &str) -> Lock {
    Lock {
        relation: relation.into(),
        mode: "AccessExclusive".into(),
        stops_reads: true,
        stops_writes: true,
        brief: false,
    }
}

pub fn share(relation: &str) -> Lock {
    Lock { relation: relation.into(), mode: "Share".into(), stops_reads: false, stops_writes: true, brief: false }
}

/// A statement that rewrites orders under an exclusive lock.
pub fn rewrite(elapsed_ms: f64) -> Statement {
    Statement {
        work: Work::Rewrites,
        grows_with: vec!["orders".into()],
        locks: vec![exclusive("orders")],
        rewrote: vec!["orders".into(), "orders_pkey".into()],
        wal_bytes: Some(48_000_000),
        ..statement("ALTER TABLE orders ALTER id TYPE bigint", elapsed_ms)
    }
}

pub fn sql_error(code: &str, message: &str) -> SqlError {
    SqlError { code: code.into(), message: message.into(), table: None, column: None, constraint: None, position: None }
}

pub fn session(owner: crate::event::Owner) -> Session {
    Session { pid: 4711, owner, sql: None }
}

pub fn changed(kind: ObjectKind, object: &str, table: &str) -> SchemaChange {
    SchemaChange {
        kind,
        object: object.into(),
        table: Some(table.into()),
        change: Change::Changed,
        property: None,
        before: None,
        after: None,
        nodes: Vec::new(),
    }
}

/// A column's property, before and after.
pub fn property(object: &str, property: Property, before: Option<&str>, after: Option<&str>) -> SchemaChange {
    let table = object.split('.').next().unwrap_or(object);
    SchemaChange {
        property: Some(property),
        before: before.map(Into::into),
        after: after.map(Into::into),
        ..changed(ObjectKind::Column, object, table)
    }
}

pub fn removed(kind: ObjectKind, object: &str, table: &str, definition: &str) -> SchemaChange {
    SchemaChange { change: Change::Removed, before: Some(definition.into()), ..changed(kind, object, table) }
}

pub fn added(kind: ObjectKind, object: &str, table: &str, definition: &str) -> SchemaChange {
    SchemaChange { change: Change::Added, after: Some(definition.into()), ..changed(kind, object, table) }
}

pub fn summary(probe: u32, phase: Phase, step: Option<usize>, latencies_ms: &[(u64, f64)]) -> Event {
    let mut latencies = Latencies::default();
    for (times, ms) in latencies_ms {
        (0..*times).for_each(|_| latencies.record_us((ms * 1e3) as u64));
    }
    Event::ProbeSummary(Box::new(ProbeSummary {
        probe,
        phase,
        step,
        count: latencies.count(),
        errors: 0,
        missed: 0,
        histogram: latencies.encode(),
    }))
}
