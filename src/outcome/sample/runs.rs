//! Whole runs, as the harness would have recorded them. `fixtures/runs` holds their logs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::event::{NotProbed, Owner, Place, ProbeSample};
use crate::scenario::{ChangedTable, Retry};

const TABLES: [(&str, u64); 4] = [("orders", 400_000), ("order_items", 1_100_000), ("users", 52_000), ("coupons", 0)];
const DROP: &str = "DROP TABLE orders CASCADE";
const WIDEN: &str = "ALTER TABLE orders ALTER COLUMN id TYPE bigint";
const CONTROL_MS: f64 = 3050.0;
const PLAN_MS: f64 = 5100.0;

/// Name of the log under `fixtures/runs`, and its records.
pub fn all() -> Vec<(&'static str, Vec<Recorded>)> {
    vec![
        ("passed", passed()),
        ("failed", failed()),
        ("not-judged", not_judged()),
        ("inconclusive", inconclusive()),
        ("killed", killed()),
    ]
}

struct Recording {
    log: Log,
    /// Probes that are down from a moment to another.
    downs: Vec<(u32, f64, f64)>,
    plan_end_ms: f64,
}

impl Recording {
    fn begin(scenario: Scenario, plan_end_ms: f64) -> Recording {
        let mut log = Log { records: Vec::new() };
        log.at(0.2, started(scenario));
        log.at(0.3, Event::PhaseStarted { phase: Phase::Start });
        log.at(451.0, ready(BTreeMap::from([("fsync".into(), "off".into())])));
        log.at(452.0, Event::PhaseEnded { phase: Phase::Start, elapsed_ms: 451.7 });
        log.at(452.1, Event::PhaseStarted { phase: Phase::Restore });
        log.at(452.3, Event::Progress { what: "restoring shop.dump".into(), done: Some(0), total: Some(38_000_000) });
        log.at(
            1900.0,
            Event::Progress { what: "restoring shop.dump".into(), done: Some(38_000_000), total: Some(38_000_000) },
        );
        log.at(2302.0, restored(&TABLES));
        log.at(2302.1, Event::PhaseEnded { phase: Phase::Restore, elapsed_ms: 1850.0 });
        log.at(2302.2, Event::PhaseStarted { phase: Phase::Keep });
        log.at(3010.0, kept(CloneKind::Reflink));
        log.at(3010.1, Event::PhaseEnded { phase: Phase::Keep, elapsed_ms: 707.9 });
        log.at(3030.0, derived());
        log.at(CONTROL_MS, Event::PhaseStarted { phase: Phase::Control });
        Recording { log, downs: Vec::new(), plan_end_ms }
    }

    /// A window, and its place in the ticks.
    fn down(&mut self, probe: u32, from_ms: f64, to_ms: f64, change: impl FnOnce(&mut Downtime)) {
        self.downs.push((probe, from_ms, to_ms));
        self.log.down(probe, from_ms, to_ms - from_ms, change);
    }

    fn finish(mut self, diff: DiffResult) -> Vec<Recorded> {
        self.samples();
        let end_ms = self.plan_end_ms + 1000.0;
        self.log.at(end_ms + 1.0, Event::PhaseEnded { phase: Phase::After, elapsed_ms: 1000.0 });
        self.log.at(end_ms + 2.0, Event::PhaseStarted { phase: Phase::Compare });
        self.log
            .at(end_ms + 640.0, Event::Compared { node: "primary".into(), diff: Box::new(diff), elapsed_ms: 611.0 });
        self.log.at(end_ms + 641.0, Event::PhaseEnded { phase: Phase::Compare, elapsed_ms: 639.0 });
        self.log.at(end_ms + 760.0, Event::RunEnded { elapsed_ms: end_ms + 760.0 });
        self.records()
    }

    /// In the order of time, numbered.
    fn records(mut self) -> Vec<Recorded> {
        self.log.records.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        for (index, recorded) in self.log.records.iter_mut().enumerate() {
            recorded.seq = index as u64 + 1;
        }
        self.log.records
    }

    fn phases(&mut self) {
        self.log.at(PLAN_MS - 1.0, Event::PhaseEnded { phase: Phase::Control, elapsed_ms: PLAN_MS - CONTROL_MS });
        self.log.at(PLAN_MS, Event::PhaseStarted { phase: Phase::Plan });
        let end_ms = self.plan_end_ms;
        self.log.at(end_ms, Event::PhaseEnded { phase: Phase::Plan, elapsed_ms: end_ms - PLAN_MS });
        self.log.at(end_ms + 0.1, Event::PhaseStarted { phase: Phase::After });
    }

    /// Ticks four times a second, a summary a phase, disk and lag: what the harness tells of itself.
    fn samples(&mut self) {
        let end_ms = self.plan_end_ms + 1000.0;
        let mut at_ms = CONTROL_MS + 250.0;
        let mut turn = 0;
        while at_ms <= end_ms {
            let samples = (0..PROBES).map(|probe| self.sample(probe, at_ms, turn)).collect();
            self.log.at(at_ms, Event::ProbeTick { samples });
            if turn % 4 == 0 {
                self.log.at(at_ms + 0.2, Event::HarnessLag { max_ms: 1.0 + f64::from(turn % 5) * 0.4, p99_ms: 0.6 });
                let data_bytes = Some(93_000_000 + u64::from(turn) * 1_400_000);
                let disk = Event::Disk { node: "primary".into(), data_bytes, free_bytes: 48_000_000_000 };
                self.log.at(at_ms + 0.3, disk);
            }
            turn += 1;
            at_ms += 250.0;
        }
        for probe in 0..PROBES {
            let usual = 0.6 + f64::from(probe) * 0.35;
            self.log.at(
                PLAN_MS - 0.5,
                summary(probe, Phase::Control, None, &[(90, usual), (8, usual * 2.0), (2, usual * 6.0)]),
            );
            let slow: Vec<(u64, f64)> =
                self.downs.iter().filter(|down| down.0 == probe).map(|(_, from, to)| (1, to - from)).collect();
            let plan = [vec![(180, usual * 1.1), (16, usual * 3.0), (3, usual * 12.0)], slow].concat();
            self.log.at(self.plan_end_ms - 0.5, summary(probe, Phase::Plan, Some(0), &plan));
            self.log.at(end_ms + 0.5, summary(probe, Phase::After, None, &[(48, usual), (2, usual * 4.0)]));
        }
        let cost = Event::ObservingCost { harness_cpu_s: 0.21, probe_operations: 2610, probe_wal_bytes: Some(84_000) };
        self.log.at(end_ms + 0.6, cost);
    }

    fn sample(&self, probe: u32, at_ms: f64, turn: u32) -> ProbeSample {
        let usual = 0.8 + f64::from(probe) * 0.4;
        let jitter = f64::from((turn * 7 + probe * 13) % 11) * 0.35;
        let mut sample = ProbeSample { probe, count: 12, errors: 0, max_ms: usual + jitter };
        for (_, from_ms, to_ms) in self.downs.iter().filter(|down| down.0 == probe) {
            if *from_ms < at_ms && *to_ms > at_ms - 250.0 {
                sample.max_ms = sample.max_ms.max(at_ms.min(*to_ms) - from_ms);
                sample.count = 1;
            }
        }
        sample
    }
}

/// Probes of [`derived`].
const PROBES: u32 = 13;
const ORDERS: [u32; 4] = [0, 1, 2, 3];
const ITEMS: [u32; 4] = [4, 5, 6, 7];

fn derived() -> Event {
    use Operation::{Delete, Insert, Read, Update};
    let mut probes = Vec::new();
    for table in ["orders", "order_items", "users"] {
        for (operation, kind, sql) in [
            (Read, ProbeKind::Read, format!("SELECT * FROM {table} WHERE id = $1")),
            (Insert, ProbeKind::Write, format!("INSERT INTO {table} (note, amount) VALUES ($1, $2)")),
            (Update, ProbeKind::Write, format!("UPDATE {table} SET note = note WHERE id = $1")),
            (Delete, ProbeKind::Write, format!("DELETE FROM {table} WHERE id = $1")),
        ] {
            let touched = table != "users";
            let every_ms = if touched { 20.0 } else { 60.0 };
            let id = probes.len() as u32;
            probes.push(ProbeSpec { sql, touched, every_ms, ..probe(id, table, operation, kind) });
        }
    }
    let id = probes.len() as u32;
    probes.push(ProbeSpec {
        name: "connect".into(),
        table: None,
        sql: String::new(),
        every_ms: 100.0,
        ..probe(id, "", Operation::Connect, ProbeKind::Connect)
    });
    let not_probed = vec![NotProbed {
        table: "coupons".into(),
        operation: None,
        reason: "the table is empty: there is no key to draw".into(),
    }];
    Event::ProbesDerived { node: "primary".into(), run_as: "app".into(), probes, not_probed }
}

fn shop(name: &str) -> Scenario {
    let mut scenario = scenario(name);
    scenario.snapshot.source = SnapshotSource::Custom { path: "shop.dump".into() };
    scenario.limits.downtime_read = Some(Duration::from_millis(500));
    scenario.limits.downtime_write = Some(Duration::from_secs(1));
    scenario.limits.window = Some(Duration::from_secs(60));
    scenario
}

fn part(index: usize, sql: &str, started_ms: f64, elapsed_ms: f64, change: impl FnOnce(&mut Statement)) -> Statement {
    let place = Some(Place { file: "rebuild.sql".into(), line: 2 + 4 * index });
    let mut statement = Statement { index, started_ms, place, wal_bytes: Some(4096), ..statement(sql, elapsed_ms) };
    change(&mut statement);
    statement
}

fn wait(log: &mut Log, wait: u64, from_ms: f64, to_ms: f64, probe: u32, table: &str, sql: &str) {
    let waiter = Session { pid: 9000 + wait as i32, owner: Owner::Probe { probe }, sql: None };
    let blocker = Session { pid: 8123, owner: Owner::Step { step: 0 }, sql: Some(sql.into()) };
    let mode = "RowExclusive".into();
    let started = Event::LockWaitStarted { wait, waiter, relation: Some(table.into()), mode, blockers: vec![blocker] };
    log.at(from_ms + 12.0, started);
    log.at(to_ms, Event::LockWaitEnded { wait, elapsed_ms: to_ms - from_ms });
}

/// A table rebuilt by CREATE TABLE AS and renamed into place: it loses all that makes it a table.
pub fn failed() -> Vec<Recorded> {
    let mut scenario = shop("orders: region added by rebuilding the table");
    let mut rebuild = step("rebuild orders");
    rebuild.budget = Some(Duration::from_secs(2));
    rebuild.action = Action::File { path: "rebuild.sql".into() };
    let mut report = step("count regions");
    report.action = Action::Sql { text: "SELECT region, count(*) FROM orders GROUP BY 1".into() };
    scenario.steps =
        vec![rebuild, report, Step { action: Action::Analyze { tables: vec![], stages: false }, ..step("statistics") }];
    let mut run = Recording::begin(scenario, 9300.0);
    run.phases();
    let transaction = |statement: &mut Statement| statement.in_transaction = true;
    run.log.step(
        0,
        5110.0,
        3480.0,
        vec![
            part(0, "BEGIN", 5110.4, 0.3, transaction),
            part(1, "LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE", 5111.0, 2.1, |statement| {
                transaction(statement);
                let mode = "ShareRowExclusive".into();
                statement.locks = vec![Lock { relation: "orders".into(), mode, stops_reads: false, stops_writes: true, brief: false }];
            }),
            part(
                2,
                "CREATE TABLE orders_new AS\nSELECT o.*, coalesce(u.region, 'eu') AS region\nFROM orders o LEFT JOIN users u ON u.id = o.user_id",
                5114.0,
                2710.0,
                |statement| {
                    transaction(statement);
                    statement.work = Work::Builds;
                    statement.rows = Some(400_000);
                    statement.grows_with = vec!["orders".into(), "users".into()];
                    statement.created = vec!["orders_new".into()];
                    statement.wal_bytes = Some(46_200_000);
                    statement.command = "CREATE TABLE AS".into();
                },
            ),
            part(3, DROP, 7826.0, 41.0, |statement| {
                transaction(statement);
                statement.locks = vec![exclusive("orders"), exclusive("order_items")];
            }),
            part(4, "ALTER TABLE orders_new RENAME TO orders", 7868.0, 1.4, transaction),
            part(5, "CREATE INDEX orders_user ON orders (user_id)", 7871.0, 690.0, |statement| {
                transaction(statement);
                statement.work = Work::Builds;
                statement.grows_with = vec!["orders".into()];
                statement.created = vec!["orders_user".into()];
                statement.wal_bytes = Some(9_100_000);
            }),
            part(6, "COMMIT", 8562.0, 27.0, transaction),
        ],
    );
    let count = "SELECT region, count(*) FROM orders GROUP BY 1";
    run.log.step(
        1,
        8601.0,
        210.0,
        vec![part(0, count, 8602.0, 208.0, |statement| {
            statement.work = Work::Scans;
            statement.rows = Some(4);
            statement.grows_with = vec!["orders".into()];
        })],
    );
    run.log.step(
        2,
        8820.0,
        430.0,
        vec![part(0, "ANALYZE", 8821.0, 428.0, |statement| {
            statement.work = Work::Scans;
            statement.grows_with = vec!["orders".into()];
        })],
    );
    blocked_then_refused(&mut run);
    run.finish(DiffResult { schema: lost_in_rebuild(), data: Vec::new(), tables_compared: 4, ..DiffResult::default() })
}

fn blocked_then_refused(run: &mut Recording) {
    let holder = || Session { pid: 8123, owner: Owner::Step { step: 0 }, sql: Some(DROP.into()) };
    for probe in &ORDERS[1..] {
        run.down(*probe, 5125.0 + f64::from(*probe), 8591.0, |down| {
            (down.step, down.statement, down.bad) = (Some(0), Some(2), 1);
            down.blocked_by = vec![holder()];
        });
        wait(&mut run.log, u64::from(*probe), 5125.0 + f64::from(*probe), 8591.0, *probe, "orders", DROP);
    }
    run.down(ORDERS[0], 7830.0, 8590.0, |down| {
        (down.step, down.statement) = (Some(0), Some(3));
        down.blocked_by = vec![holder()];
    });
    wait(&mut run.log, 20, 7830.0, 8590.0, ORDERS[0], "orders", DROP);
    run.down(ITEMS[1], 7832.0, 8590.0, |down| {
        (down.step, down.statement) = (Some(0), Some(3));
        down.blocked_by = vec![holder()];
    });
    wait(&mut run.log, 21, 7832.0, 8590.0, ITEMS[1], "order_items", DROP);
    run.down(ORDERS[1], 8611.0, 10300.0, |down| {
        (down.cause, down.bad, down.to_the_end) = (DownCause::Error, 84, true);
        (down.step, down.statement) = (Some(1), Some(0));
        down.error = Some(SqlError {
            table: Some("orders".into()),
            column: Some("id".into()),
            ..sql_error("42501", "permission denied for table orders")
        });
    });
    for probe in [ORDERS[0], ORDERS[2], ORDERS[3]] {
        run.down(probe, 8612.0 + f64::from(probe), 10300.0, |down| {
            (down.cause, down.bad, down.to_the_end) = (DownCause::Error, 84, true);
            (down.step, down.statement) = (Some(1), Some(0));
            down.error = Some(sql_error("42501", "permission denied for table orders"));
        });
    }
}

fn lost_in_rebuild() -> Vec<SchemaChange> {
    use ObjectKind::{Column, Constraint, Index, Privilege, Sequence};
    vec![
        added(Column, "orders.region", "orders", "text"),
        property("orders.id", Property::Default, Some("nextval('orders_id_seq'::regclass)"), None),
        property("orders.id", Property::Nullable, Some("not null"), Some("null")),
        property("orders.status", Property::Default, Some("'open'::text"), None),
        property("orders.created_at", Property::Default, Some("now()"), None),
        property("orders.created_at", Property::Nullable, Some("not null"), Some("null")),
        removed(Constraint, "orders_pkey", "orders", "PRIMARY KEY (id)"),
        removed(Constraint, "orders_amount_check", "orders", "CHECK (amount >= 0)"),
        removed(Constraint, "order_items_order_fk", "order_items", "FOREIGN KEY (order_id) REFERENCES orders(id)"),
        removed(Index, "orders_pkey", "orders", "CREATE UNIQUE INDEX orders_pkey ON public.orders USING btree (id)"),
        removed(
            Index,
            "orders_created",
            "orders",
            "CREATE INDEX orders_created ON public.orders USING btree (created_at)",
        ),
        SchemaChange { table: None, ..removed(Sequence, "orders_id_seq", "", "bigint") },
        removed(Privilege, "INSERT ON orders TO app", "orders", ""),
        removed(Privilege, "SELECT ON orders TO app", "orders", ""),
    ]
}

/// The same change as two patches that nobody feels.
pub fn passed() -> Vec<Recorded> {
    let mut scenario = shop("orders: region added, then filled in batches");
    let mut add = step("add region");
    add.budget = Some(Duration::from_secs(2));
    add.retry = Some(Retry { lock_timeout: Duration::from_millis(100), times: 30, pause: Duration::from_secs(1) });
    let mut fill = step("fill region");
    fill.outside_window = true;
    scenario.probes.open_transaction = Some(Duration::from_secs(5));
    scenario.expect.unchanged = vec!["users".into()];
    scenario.expect.changed = Some(vec![ChangedTable { table: "orders".into(), columns: vec!["region".into()] }]);
    let check =
        Action::Check { sql: "SELECT count(*) FROM orders WHERE region IS NULL".into(), rows: vec![vec!["0".into()]] };
    scenario.steps = vec![add, fill, Step { action: check, ..step("every order has a region") }];
    let mut run = Recording::begin(scenario, 8420.0);
    run.phases();
    for table in ["order_items", "orders"] {
        run.log.at(5105.0, Event::ReaderOpened { table: table.into(), for_ms: 5000.0 });
    }
    run.log.step(
        0,
        5110.0,
        6.0,
        vec![part(0, "ALTER TABLE orders ADD COLUMN region text", 5111.0, 3.2, |statement| {
            statement.locks = vec![exclusive("orders")];
            (statement.lock_timeout, statement.attempts) = (true, 2);
        })],
    );
    run.log.step(
        1,
        5120.0,
        3190.0,
        vec![part(0, "CALL fill_region(batch => 5000)", 5121.0, 3188.0, |statement| {
            statement.work = Work::ChangesRows;
            statement.grows_with = vec!["orders".into()];
            statement.wal_bytes = Some(61_000_000);
            statement.command = "CALL".into();
        })],
    );
    run.log.step(
        2,
        8320.0,
        84.0,
        vec![part(0, "SELECT count(*) FROM orders WHERE region IS NULL", 8321.0, 82.0, |statement| {
            statement.work = Work::Scans;
            (statement.rows, statement.grows_with) = (Some(1), vec!["orders".into()]);
        })],
    );
    let schema = vec![added(ObjectKind::Column, "orders.region", "orders", "text")];
    run.finish(DiffResult { schema, data: Vec::new(), tables_compared: 4, ..DiffResult::default() })
}

/// A rewrite well within its limits, on 400,000 of 50 million rows.
pub fn not_judged() -> Vec<Recorded> {
    let mut scenario = shop("orders: id to bigint");
    scenario.limits.downtime_read = Some(Duration::from_secs(2));
    scenario.limits.downtime_write = Some(Duration::from_secs(2));
    scenario.snapshot.production_rows = BTreeMap::from([("public.orders".into(), 50_000_000)]);
    let mut widen = step("widen id");
    widen.budget = Some(Duration::from_secs(15));
    widen.undo = vec![step("narrow id")];
    scenario.steps = vec![widen];
    let mut run = Recording::begin(scenario, 6480.0);
    run.phases();
    let widening = part(0, WIDEN, 5112.0, 1204.0, |statement| {
        *statement = Statement { index: 0, started_ms: 5112.0, place: statement.place.clone(), ..rewrite(1204.0) };
    });
    run.log.step(0, 5110.0, 1209.0, vec![widening]);
    for probe in ORDERS {
        run.down(probe, 5116.0 + f64::from(probe), 6317.0, |down| {
            (down.step, down.statement) = (Some(0), Some(0));
            let sql = Some(WIDEN.into());
            down.blocked_by = vec![Session { pid: 8123, owner: Owner::Step { step: 0 }, sql }];
        });
        wait(&mut run.log, u64::from(probe), 5116.0 + f64::from(probe), 6317.0, probe, "orders", WIDEN);
    }
    let schema = vec![property("orders.id", Property::Type, Some("integer"), Some("bigint"))];
    run.finish(DiffResult { schema, data: Vec::new(), tables_compared: 4, ..DiffResult::default() })
}

/// The server died by itself in the middle of a step.
pub fn inconclusive() -> Vec<Recorded> {
    let mut scenario = shop("orders: id to bigint");
    scenario.steps = vec![step("widen id"), step("drop the old column")];
    let mut run = Recording::begin(scenario, 6000.0);
    run.phases();
    let sql = sql_error("57P02", "terminating connection because of crash of another server process");
    let error = StepError { what: "the server closed the connection".into(), sql: Some(sql), place: None, exit: None };
    run.log.step_ending(0, 5110.0, 802.0, Vec::new(), StepResult::Failed, Some(error));
    run.log.at(
        5930.0,
        Event::HarnessFailed {
            what: "the server of node primary ended by itself: no space left on device".into(),
            hint: Some("free some space under the lab's folder, or give another with --out".into()),
            log: vec![
                "PANIC:  could not write to file \"pg_wal/xlogtemp.8123\": No space left on device".into(),
                "LOG:  server process (PID 8123) was terminated by signal 6: Aborted".into(),
            ],
        },
    );
    run.log.at(6004.0, Event::RunEnded { elapsed_ms: 6004.0 });
    run.samples();
    let mut records = run.records();
    // The run's end stays last, whatever the probes had left to say.
    records.retain(|recorded| recorded.at_ms <= 6004.0);
    records
}

/// A run that was killed while the table was being rewritten: no end.
pub fn killed() -> Vec<Recorded> {
    let mut records = not_judged();
    records.retain(|recorded| recorded.at_ms < 6000.0 && !matches!(recorded.event, Event::DowntimeEnded { .. }));
    let probe = ORDERS[1];
    let started = Event::DowntimeStarted { window: 1, probe, started_ms: 5117.0, cause: DownCause::Late };
    let at = records.iter().position(|recorded| recorded.at_ms > 5217.0).unwrap_or(records.len());
    records.insert(at, Recorded { seq: 0, at_ms: 5217.0, event: started });
    for (index, recorded) in records.iter_mut().enumerate() {
        recorded.seq = index as u64 + 1;
    }
    records
}
