//! Probes on a real Postgres: what can be probed is, and what they measure is what happened. What they measure is time, so they have the
//! machine for themselves: a test program of their own, one test after the other.

#[expect(dead_code, reason = "some of it serves the other tests alone")]
#[path = "../it/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::postgres::connect::{Connection, connect};
use rehearsal::engine::probing::{LoginError, log_in_as};
use rehearsal::event::{
    DownCause, Downtime, Event, NotProbed, Operation, Owner, Phase, ProbeSpec, Recorded, ReportError, Reporter,
};
use rehearsal::rehearsal::clock::Clock;
use rehearsal::rehearsal::dispatcher::{self, Dispatched};
use rehearsal::rehearsal::observer::Observer;
use rehearsal::rehearsal::observing::{Numbers, Observing};
use rehearsal::rehearsal::probes::{Preparation, Prepared, ProbesHandle, Spent, prepare};
use rehearsal::rehearsal::readers::Readers;
use rehearsal::rehearsal::routes::{Lane, Routes};
use rehearsal::scenario::{Address, CustomProbe, ProbeKind, Probes, Route, Routing};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use support::elsewhere::Elsewhere;
use support::server;

const DEADLINE: Duration = Duration::from_secs(10);

/// Server-wide, as roles are; tests of one process share the server.
const APP: &str = "probes_app";

struct Log;

impl Reporter for Log {
    fn report(&mut self, _: &Recorded) -> Result<(), ReportError> {
        Ok(())
    }
}

/// A database with probes at work on it.
struct Rehearsal {
    superuser: Endpoint,
    observing: Observing,
    dispatched: JoinHandle<Dispatched>,
    probes: ProbesHandle,
    observer: Observer,
    cancel: CancellationToken,
    specs: Vec<ProbeSpec>,
}

fn config() -> Probes {
    Probes {
        auto: true,
        every: Duration::from_millis(20),
        budget_per_s: 200.0,
        down_after: Duration::from_millis(100),
        timeout: Duration::from_secs(5),
        run_as: Some(APP.into()),
        open_transaction: None,
        custom: Vec::new(),
    }
}

/// Runs these statements as superuser, after a role for the application was made that may do all that they grant.
async fn schema(superuser: &Endpoint, sql: &str) -> Connection {
    let connection = connect(superuser, DEADLINE).await.expect("the server answers");
    let role = format!(
        "SELECT pg_advisory_lock(1);
        DO $$ BEGIN IF to_regrole('{APP}') IS NULL THEN CREATE ROLE {APP} LOGIN; END IF; END $$;
        SELECT pg_advisory_unlock(1)"
    );
    // Databases share roles, and advisory locks are one database's: two tests may still make it at once.
    if connection.client.batch_execute(&role).await.is_err() {
        connection.client.batch_execute(&role).await.expect("the other test has made the role");
    }
    connection.client.batch_execute(sql).await.expect("the schema is right");
    connection
}

async fn prepared(superuser: &Endpoint, config: &Probes, touched: Option<&BTreeSet<String>>) -> (Endpoint, Prepared) {
    let app = log_in_as(superuser, config.run_as.as_deref(), "secret").await.expect("the role may log in");
    let (shard, shards, numbers) = (None, 1, &Numbers::default());
    let what = Preparation { node: "primary", superuser, app: &app, probes: config, touched, shard, shards, numbers };
    let prepared = prepare(&what, &CancellationToken::new()).await.expect("probes can be derived");
    (app, prepared)
}

/// Users who are sent to one node, and never to another.
fn to_one(app: &Endpoint, superuser: &Endpoint, observing: &Observing) -> Lane {
    let nodes = vec!["primary".to_owned()];
    let routes = Routes::new(Routing::new(vec![Route { masters: nodes.clone(), readers: Vec::new(), nodes }]));
    routes.let_in("primary", app, superuser, observing);
    Lane { routes, shard: 0 }
}

impl Rehearsal {
    async fn begin(superuser: Endpoint, config: &Probes, touched: &[&str]) -> Rehearsal {
        Rehearsal::begin_after(superuser, config, touched, async || ()).await
    }

    /// Of which `last` is done once the control run is over, before the plan begins.
    async fn begin_after(
        superuser: Endpoint,
        config: &Probes,
        touched: &[&str],
        last: impl AsyncFnOnce(),
    ) -> Rehearsal {
        let touched: BTreeSet<String> = touched.iter().map(|&name| name.to_owned()).collect();
        let (app, prepared) = prepared(&superuser, config, Some(&touched)).await;
        let cancel = CancellationToken::new();
        let (events, dispatched) = dispatcher::start(Clock::start(), Box::new(Log), Vec::new(), cancel.clone());
        let observing = Observing::new(events);
        let lane = to_one(&app, &superuser, &observing);
        let specs = prepared.specs().to_vec();
        let observer = Observer::start("primary", &superuser, &lane.routes, &observing, &cancel).expect("a thread");
        let mut probes = prepared.start(&lane, &observing, &cancel).expect("a thread");
        probes.control(Duration::from_millis(600)).await;
        last().await;
        probes.enter(Phase::Plan, Some(0)).await;
        observing.current.set(0, Some(0));
        Rehearsal { superuser, observing, dispatched, probes, observer, cancel, specs }
    }

    async fn connection(&self) -> Connection {
        let connection = connect(&self.superuser, DEADLINE).await.expect("the server answers");
        let row = connection.client.query_one("SELECT pg_backend_pid()", &[]).await.expect("it answers");
        self.observing.owners.set(row.get(0), Owner::Step { step: 0 });
        connection
    }

    /// Ends everything, once the probes had time to see that all is well again.
    async fn end(self) -> Seen {
        let calm = Instant::now() + Duration::from_millis(400);
        let connection = connect(&self.superuser, DEADLINE).await.expect("the server answers");
        while Instant::now() < calm {
            connection.client.batch_execute("SELECT pg_sleep(0.05)").await.expect("it answers");
        }
        let spent = self.probes.stop().await;
        self.observer.stop().await;
        drop((self.observing, self.cancel));
        let dispatched = self.dispatched.await.expect("the dispatcher ends");
        let events = dispatched.records.into_iter().map(|recorded| recorded.event).collect();
        Seen { events, specs: self.specs, spent }
    }
}

/// What was recorded.
struct Seen {
    events: Vec<Event>,
    specs: Vec<ProbeSpec>,
    spent: Spent,
}

impl Seen {
    fn windows(&self, of: impl Fn(&ProbeSpec) -> bool) -> Vec<(&ProbeSpec, &Downtime)> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::DowntimeEnded { down, .. } => Some((&self.specs[down.probe as usize], down.as_ref())),
                _ => None,
            })
            .filter(|(spec, _)| of(spec))
            .collect()
    }

    /// Windows with an error, or with a cause that was seen: a busy machine may make any answer late.
    fn caused(&self, of: impl Fn(&ProbeSpec) -> bool) -> Vec<(&ProbeSpec, &Downtime)> {
        let mut windows = self.windows(of);
        windows.retain(|(_, down)| down.error.is_some() || !down.blocked_by.is_empty());
        windows
    }

    /// Milliseconds in which any of these was down.
    fn union_ms(&self, of: impl Fn(&ProbeSpec) -> bool) -> f64 {
        let mut spans: Vec<(f64, f64)> =
            self.caused(of).iter().map(|(_, down)| (down.started_ms, down.started_ms + down.elapsed_ms)).collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut total, mut reached) = (0.0, 0.0_f64);
        for (start, end) in spans {
            total += (end - start.max(reached)).max(0.0);
            reached = reached.max(end);
        }
        total
    }

    /// Writes and reads of the table were down as long as told, each within 5 % or 50 ms.
    fn assert_down(&self, table: &str, writes: Duration, reads: Duration) {
        for (kind, told) in [(ProbeKind::Write, writes), (ProbeKind::Read, reads)] {
            let measured = self.union_ms(|spec| spec.table.as_deref() == Some(table) && spec.kind == kind);
            let told = told.as_secs_f64() * 1e3;
            // A window begins with an intended start: no closer than they are to each other.
            let of = |spec: &&ProbeSpec| spec.table.as_deref() == Some(table) && spec.kind == kind;
            let every = self.specs.iter().filter(of).map(|spec| spec.every_ms).fold(f64::INFINITY, f64::min);
            let tolerance = (told * 0.05).max(50.0).max(every);
            let windows = self.caused(|spec| spec.table.as_deref() == Some(table) && spec.kind == kind);
            assert!(
                (measured - told).abs() <= tolerance,
                "{kind:?}: {measured} for {told}, within {tolerance}: {windows:#?}"
            );
            if told == 0.0 {
                assert!(windows.is_empty(), "{kind:?}: {windows:#?}");
            }
        }
    }

    /// How late the harness was by its own account, at most.
    fn late_ms(&self) -> f64 {
        let late = self.events.iter().filter_map(|event| match event {
            Event::HarnessLag { max_ms, .. } => Some(*max_ms),
            _ => None,
        });
        late.fold(0.0, f64::max)
    }

    fn dropped(&self) -> Vec<&Event> {
        self.events.iter().filter(|event| matches!(event, Event::ProbeDropped { .. })).collect()
    }
}

/// How often something is measured, where this machine had no time for the harness.
const ATTEMPTS: usize = 3;

/// Half of what a figure may be off by: what was measured with timers that were that late is the machine.
const LATE_MS: f64 = 25.0;

/// What was measured while the harness was never late, by its own account; else the last. With it, for how long a lock was held.
async fn measured(measure: impl AsyncFn() -> Option<(Seen, Duration)>) -> Option<(Seen, Duration)> {
    let mut last = measure().await?;
    for _ in 1..ATTEMPTS {
        if last.0.late_ms() <= LATE_MS {
            break;
        }
        last = measure().await?;
    }
    Some(last)
}

const ORDERS: &str = "
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(1, 1000) n;
CREATE TABLE orders (
    id bigserial PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, state text NOT NULL DEFAULT 'new',
    total numeric(10, 2) NOT NULL, code text UNIQUE, placed timestamptz NOT NULL DEFAULT now());
INSERT INTO orders (customer_id, total, code)
    SELECT 1 + n % 1000, n % 90, 'A-' || n FROM generate_series(1, ROWS) n;
GRANT SELECT, INSERT, UPDATE, DELETE ON customers, orders TO probes_app;
GRANT USAGE ON SEQUENCE orders_id_seq TO probes_app;
ANALYZE";

/// Probes at work on that many orders, of which the plan is known to touch the table.
async fn orders(rows: u32) -> Option<Rehearsal> {
    let superuser = server::database().await?;
    schema(&superuser, &ORDERS.replace("ROWS", &rows.to_string())).await;
    Some(Rehearsal::begin(superuser, &config(), &["orders"]).await)
}

/// Enough for work that takes a while, or for work that does not depend on them.
const MANY: u32 = 200_000;
const FEW: u32 = 5_000;

/// Before a transaction that takes locks on both tables, each of which some probe has while it waits for the other: writers wait from here
/// on, and hold nothing.
const WRITERS_WAIT: &str = "LOCK TABLE orders, customers IN SHARE ROW EXCLUSIVE MODE";

/// Held by every test.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instant_alter_is_down_until_its_transaction_commits() {
    let _alone = ALONE.lock().await;
    let held_for_three_seconds = async || {
        let rehearsal = orders(FEW).await?;
        let plan = rehearsal.connection().await;
        plan.client.batch_execute("BEGIN").await.expect("begins");
        let locked = Instant::now();
        plan.client.batch_execute("ALTER TABLE orders ADD COLUMN region int").await.expect("alters");
        rehearsal.observing.current.set(0, Some(1));
        plan.client.batch_execute("SELECT pg_sleep(3)").await.expect("sleeps");
        plan.client.batch_execute("COMMIT").await.expect("commits");
        let held = locked.elapsed();
        Some((rehearsal.end().await, held))
    };
    let Some((seen, held)) = measured(held_for_three_seconds).await else { return };
    seen.assert_down("orders", held, held);
    assert_eq!(seen.dropped(), Vec::<&Event>::new());
    for (spec, down) in seen.caused(|spec| spec.table.as_deref() == Some("orders")) {
        assert_eq!(down.cause, DownCause::Late, "{spec:?}");
        assert!(down.blocked_by.iter().any(|session| session.owner == Owner::Step { step: 0 }), "{spec:?}: {down:?}");
        assert_eq!(down.step, Some(0));
    }
    assert!(
        seen.events
            .iter()
            .any(|event| matches!(event, Event::LockWaitEnded { elapsed_ms, .. } if *elapsed_ms > 2500.0))
    );
    assert!(seen.spent.operations > 100, "{:?}", seen.spent);
    assert!(seen.events.iter().any(|event| matches!(event, Event::HarnessLag { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alter_behind_an_idle_reader_is_down_while_it_queues() {
    let _alone = ALONE.lock().await;
    let behind_a_reader = async || {
        let rehearsal = orders(FEW).await?;
        let (reader, plan) = (rehearsal.connection().await, rehearsal.connection().await);
        reader.client.batch_execute("BEGIN; SELECT id FROM orders LIMIT 1").await.expect("reads");
        let asked = Instant::now();
        let (alter, ()) = tokio::join!(plan.client.batch_execute("ALTER TABLE orders ADD COLUMN region int"), async {
            reader.client.batch_execute("SELECT pg_sleep(2)").await.expect("sleeps");
            reader.client.batch_execute("COMMIT").await.expect("commits");
        });
        alter.expect("alters");
        let held = asked.elapsed();
        Some((rehearsal.end().await, held))
    };
    let Some((seen, held)) = measured(behind_a_reader).await else { return };
    seen.assert_down("orders", held, held);
    // Behind the step that waits, and behind it the one that the step waits for.
    let (_, down) = seen.caused(|spec| spec.operation == Operation::Insert && spec.touched)[0];
    assert_eq!(down.blocked_by.len(), 2, "{down:?}");
}

/// Whoever asked before the plan began, and has no answer since, waits for the plan from its beginning on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_as_the_plan_begins_is_down_from_then_on() {
    let _alone = ALONE.lock().await;
    let held_already = async || {
        let superuser = server::database().await?;
        schema(&superuser, &ORDERS.replace("ROWS", &FEW.to_string())).await;
        let holder = connect(&superuser, DEADLINE).await.expect("the server answers");
        let lock = async || {
            holder.client.batch_execute("BEGIN; LOCK TABLE orders").await.expect("locks");
            let began = Instant::now();
            // All that there are of the table: none of them begins in the plan.
            let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'orders'::regclass AND NOT granted";
            while holder.client.query_one(waiting, &[]).await.expect("it answers").get::<_, i64>(0) < 4 {
                assert!(began.elapsed() < DEADLINE, "the probes do not come");
            }
        };
        let rehearsal = Rehearsal::begin_after(superuser.clone(), &config(), &["orders"], lock).await;
        let began = Instant::now();
        holder.client.batch_execute("SELECT pg_sleep(1); COMMIT").await.expect("sleeps");
        let held = began.elapsed();
        Some((rehearsal.end().await, held))
    };
    let Some((seen, held)) = measured(held_already).await else { return };
    seen.assert_down("orders", held, held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_index_stops_writes_and_not_reads() {
    let _alone = ALONE.lock().await;
    let builds = async || {
        let rehearsal = orders(MANY).await?;
        let plan = rehearsal.connection().await;
        let started = Instant::now();
        let index = "CREATE INDEX ON orders (code, placed, total, md5(code), state)";
        plan.client.batch_execute(index).await.expect("builds");
        let held = started.elapsed();
        Some((rehearsal.end().await, held))
    };
    let Some((seen, held)) = measured(builds).await else { return };
    seen.assert_down("orders", held, Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_concurrent_index_stops_nobody() {
    let _alone = ALONE.lock().await;
    let Some(rehearsal) = orders(MANY).await else { return };
    let plan = rehearsal.connection().await;
    plan.client.batch_execute("CREATE INDEX CONCURRENTLY ON orders (code, md5(code))").await.expect("builds");
    let seen = rehearsal.end().await;
    seen.assert_down("orders", Duration::ZERO, Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrite_stops_everybody() {
    let _alone = ALONE.lock().await;
    let rewrites = async || {
        let rehearsal = orders(MANY).await?;
        let plan = rehearsal.connection().await;
        let started = Instant::now();
        plan.client.batch_execute("ALTER TABLE orders ALTER total TYPE double precision").await.expect("rewrites");
        let held = started.elapsed();
        Some((rehearsal.end().await, held))
    };
    let Some((seen, held)) = measured(rewrites).await else { return };
    seen.assert_down("orders", held, held);
}

/// Windows of errors, by the operation: the first error's code.
fn errors(seen: &Seen) -> Vec<(String, String)> {
    let windows = seen.windows(|_| true);
    let errors = windows.iter().filter_map(|(spec, down)| Some((spec.name.clone(), down.error.as_ref()?.code.clone())));
    let distinct: BTreeSet<(String, String)> = errors.collect();
    distinct.into_iter().collect()
}

fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, code)| ((*name).to_owned(), (*code).to_owned())).collect()
}

/// What is wrong only while the plan has it so: in between, the statements that do it and that undo it.
async fn errors_between(doing: &str, undoing: &str) -> Option<Vec<(String, String)>> {
    let rehearsal = orders(FEW).await?;
    let plan = rehearsal.connection().await;
    plan.client.batch_execute(doing).await.expect("it is done");
    plan.client.batch_execute("SELECT pg_sleep(0.5)").await.expect("sleeps");
    plan.client.batch_execute(undoing).await.expect("it is undone");
    let seen = rehearsal.end().await;
    for (spec, down) in seen.windows(|_| true) {
        assert!(!down.to_the_end, "{spec:?}: {down:?}");
    }
    Some(errors(&seen))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_default_fails_inserts() {
    let _alone = ALONE.lock().await;
    let doing = "ALTER TABLE orders ALTER id DROP DEFAULT";
    let undoing = "ALTER TABLE orders ALTER id SET DEFAULT nextval('orders_id_seq')";
    let Some(found) = errors_between(doing, undoing).await else { return };
    assert_eq!(found, named(&[("orders insert", "23502")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_grant_fails_what_it_allowed() {
    let _alone = ALONE.lock().await;
    let (doing, undoing) = ("REVOKE ALL ON orders FROM probes_app", "GRANT ALL ON orders TO probes_app");
    let Some(found) = errors_between(doing, undoing).await else { return };
    let denied = ["orders delete", "orders insert", "orders read", "orders update"].map(|name| (name, "42501"));
    assert_eq!(found, named(&denied));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_column_fails_who_names_it_and_an_added_one_nobody() {
    let _alone = ALONE.lock().await;
    let doing = "ALTER TABLE orders RENAME code TO label; ALTER TABLE orders ADD COLUMN note text";
    let undoing = "ALTER TABLE orders RENAME label TO code";
    let Some(found) = errors_between(doing, undoing).await else { return };
    assert_eq!(found, named(&[("orders insert", "42703"), ("orders read", "42703")]));
}

/// Who still needs it has a probe of its own, or a trigger: those fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_column_is_named_no_more() {
    let _alone = ALONE.lock().await;
    let Some(found) = errors_between("ALTER TABLE orders DROP COLUMN code", "SELECT 1").await else { return };
    assert_eq!(found, Vec::new());
    let needed = "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN IF NEW.code IS NULL THEN RETURN NEW; END IF; RETURN NEW; END';
        CREATE TRIGGER note BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION note();
        ALTER TABLE orders DROP COLUMN code";
    let Some(found) = errors_between(needed, "DROP TRIGGER note ON orders").await else { return };
    assert_eq!(found, named(&[("orders insert", "42703")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_plan_takes_away_are_not_missed() {
    let _alone = ALONE.lock().await;
    let doing = format!(
        "BEGIN; {WRITERS_WAIT};
        CREATE TEMP TABLE gone AS SELECT id FROM customers WHERE id % 2 = 0;
        DELETE FROM orders WHERE customer_id IN (SELECT id FROM gone);
        DELETE FROM customers WHERE id IN (SELECT id FROM gone); COMMIT"
    );
    let Some(found) = errors_between(&doing, "SELECT 1").await else { return };
    assert_eq!(found, Vec::new());
}

/// One profile and one badge a person, though nothing says so yet.
const PEOPLE: &str = "
CREATE TABLE people (id bigserial PRIMARY KEY, email text NOT NULL, note text);
INSERT INTO people (email) SELECT 'p' || n || '@example.com' FROM generate_series(1, 2000) n;
CREATE TABLE profiles (id bigserial PRIMARY KEY, person bigint NOT NULL REFERENCES people, bio text);
INSERT INTO profiles (person) SELECT id FROM people;
CREATE TABLE badges (LIKE profiles INCLUDING ALL, FOREIGN KEY (person) REFERENCES people);
INSERT INTO badges (person) SELECT id FROM people;
GRANT SELECT, INSERT, UPDATE, DELETE ON people, profiles TO probes_app;
GRANT SELECT, INSERT ON badges TO probes_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO probes_app;
ANALYZE";

async fn people() -> Option<Rehearsal> {
    let superuser = server::database().await?;
    schema(&superuser, PEOPLE).await;
    Some(Rehearsal::begin(superuser, &config(), &["people", "profiles", "badges"]).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unique_index_of_the_plans_fails_nobody_who_writes_no_copies() {
    let _alone = ALONE.lock().await;
    let Some(rehearsal) = people().await else { return };
    let plan = rehearsal.connection().await;
    plan.client.batch_execute("CREATE UNIQUE INDEX CONCURRENTLY ON people (lower(email))").await.expect("builds");
    let unique = "ALTER TABLE profiles ADD UNIQUE (person); ALTER TABLE badges ADD UNIQUE (person)";
    plan.client.batch_execute(unique).await.expect("alters");
    plan.client.batch_execute("SELECT pg_sleep(0.5)").await.expect("sleeps");
    let (probes, superuser) = (rehearsal.specs.clone(), rehearsal.superuser.clone());
    let seen = rehearsal.end().await;
    assert_eq!(errors(&seen), Vec::new());
    // Whoever may not take a row away cannot put a like one in its place, and is told to have gone.
    let dropped: Vec<(&str, &str)> = seen
        .dropped()
        .into_iter()
        .filter_map(|event| match event {
            Event::ProbeDropped { probe, reason } => Some((probes[*probe as usize].name.as_str(), reason.as_str())),
            _ => None,
        })
        .collect();
    let [("badges insert", reason)] = dropped[..] else { panic!("{dropped:?}") };
    assert!(reason.contains("badges_person_key"), "{reason}");
    let left = connect(&superuser, DEADLINE).await.expect("the server answers");
    let count = left.client.query_one("SELECT count(*) FROM profiles", &[]).await.expect("counts");
    assert_eq!(count.get::<_, i64>(0), 2000);
}

/// Keys given out twice, whether the new index came with it or was followed before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unique_index_of_the_plans_hides_no_lost_sequence() {
    let _alone = ALONE.lock().await;
    let (unique, restart) = ("CREATE UNIQUE INDEX ON people (email)", "ALTER SEQUENCE people_id_seq RESTART");
    for together in [true, false] {
        let Some(rehearsal) = people().await else { return };
        let plan = rehearsal.connection().await;
        if together {
            plan.client.batch_execute(&format!("BEGIN; {unique}; {restart}; COMMIT")).await.expect("done");
        } else {
            plan.client.batch_execute(unique).await.expect("builds");
            plan.client.batch_execute("SELECT pg_sleep(0.3)").await.expect("sleeps");
            plan.client.batch_execute(restart).await.expect("restarts");
        }
        plan.client.batch_execute("SELECT pg_sleep(0.3)").await.expect("sleeps");
        let seen = rehearsal.end().await;
        assert_eq!(errors(&seen), named(&[("people delete", "23505"), ("people insert", "23505")]), "{together}");
        assert_eq!(seen.dropped(), Vec::<&Event>::new());
    }
}

/// It refuses some of the rows that an application writes, and others not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_the_plans_fails_writes_as_long_as_it_stands() {
    let _alone = ALONE.lock().await;
    let Some(rehearsal) = orders(FEW).await else { return };
    let plan = rehearsal.connection().await;
    plan.client
        .batch_execute("ALTER TABLE orders ADD CONSTRAINT low CHECK (total < 20) NOT VALID")
        .await
        .expect("alters");
    plan.client.batch_execute("SELECT pg_sleep(1)").await.expect("sleeps");
    plan.client.batch_execute("ALTER TABLE orders DROP CONSTRAINT low").await.expect("drops");
    let seen = rehearsal.end().await;
    assert_eq!(errors(&seen), named(&[("orders insert", "23514"), ("orders update", "23514")]));
    assert_eq!(seen.dropped(), Vec::<&Event>::new());
    for operation in [Operation::Insert, Operation::Update] {
        let windows = seen.caused(|spec| spec.table.as_deref() == Some("orders") && spec.operation == operation);
        let [(_, down)] = windows[..] else { panic!("{windows:#?}") };
        assert!(down.elapsed_ms > 700.0 && !down.to_the_end, "{down:?}");
        assert_eq!(down.error.as_ref().and_then(|error| error.constraint.as_deref()), Some("low"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_a_plan_takes_away_is_not_missed() {
    let _alone = ALONE.lock().await;
    let Some(superuser) = server::database().await else { return };
    let events = "
        CREATE TABLE events (id bigserial, day date NOT NULL, what text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE old PARTITION OF events FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
        CREATE TABLE new PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        INSERT INTO events (day) SELECT date '2023-07-01' + n FROM generate_series(0, 300) n;
        GRANT ALL ON events TO probes_app;
        GRANT USAGE ON SEQUENCE events_id_seq TO probes_app";
    schema(&superuser, events).await;
    let rehearsal = Rehearsal::begin(superuser, &config(), &["events"]).await;
    let plan = rehearsal.connection().await;
    plan.client.batch_execute("DROP TABLE old").await.expect("drops");
    plan.client.batch_execute("SELECT pg_sleep(0.3)").await.expect("sleeps");
    let seen = rehearsal.end().await;
    assert_eq!(errors(&seen), Vec::new());
    assert_eq!(seen.dropped(), Vec::<&Event>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_an_error_and_is_opened_again() {
    let _alone = ALONE.lock().await;
    let Some(rehearsal) = orders(FEW).await else { return };
    let plan = rehearsal.connection().await;
    let killed = plan
        .client
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name = 'rehearsal probe' AND datname = current_database()",
            &[],
        )
        .await
        .expect("they are ended");
    assert!(killed >= 8, "{killed}");
    let seen = rehearsal.end().await;
    let windows = seen.caused(|spec| spec.touched);
    assert_eq!(windows.len(), 4, "{windows:#?}");
    for (spec, down) in windows {
        assert!(down.error.is_some() && !down.to_the_end && down.elapsed_ms < 2000.0, "{spec:?}: {down:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_gone_is_down_to_the_end() {
    let _alone = ALONE.lock().await;
    let Some(rehearsal) = orders(FEW).await else { return };
    let plan = rehearsal.connection().await;
    let drop = format!("BEGIN; {WRITERS_WAIT}; DROP TABLE orders; COMMIT");
    plan.client.batch_execute(&drop).await.expect("drops");
    let seen = rehearsal.end().await;
    assert_eq!(errors(&seen).len(), 4);
    assert!(seen.caused(|spec| spec.touched).iter().all(|(_, down)| down.to_the_end));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ddl_queues_behind_a_fresh_reader() {
    let _alone = ALONE.lock().await;
    let Some(rehearsal) = orders(FEW).await else { return };
    let plan = rehearsal.connection().await;
    let (app, prepared) = prepared(&rehearsal.superuser, &config(), Some(&BTreeSet::from(["orders".to_owned()]))).await;
    let (hold, cancel) = (Duration::from_secs(2), CancellationToken::new());
    let readers = Readers::open(
        &to_one(&app, &rehearsal.superuser, &rehearsal.observing),
        prepared.readers(),
        hold,
        &rehearsal.observing,
        &cancel,
    )
    .await;
    readers.freshen().await;
    let asked = Instant::now();
    plan.client.batch_execute("ALTER TABLE orders ADD COLUMN region int").await.expect("alters");
    let held = asked.elapsed();
    assert!(held > hold.mul_f64(0.9) && held < hold.mul_f64(1.5), "{held:?}");
    // Between two transactions there is time for a statement that comes again.
    let again = Instant::now();
    plan.client.batch_execute("SET lock_timeout = 500; ALTER TABLE orders ADD COLUMN b int").await.expect("alters");
    assert!(again.elapsed() < Duration::from_millis(500));
    readers.close().await;
    let seen = rehearsal.end().await;
    seen.assert_down("orders", held, held);
    let (_, down) = seen.caused(|spec| spec.operation == Operation::Read)[0];
    assert!(
        down.blocked_by.iter().any(|session| session.owner == Owner::Reader { table: "orders".into() }),
        "{down:?}"
    );
}

/// As varied as tables are.
const VARIED: &str = "
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE EXTENSION IF NOT EXISTS dblink;
CREATE TYPE mood AS ENUM ('calm', 'cross');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN email AS citext CHECK (VALUE ~ '^[^@ ]+@[^@ ]+$');
CREATE DOMAIN code5 AS varchar(5) NOT NULL CHECK (VALUE ~ '^[A-Z]{2}[0-9]{3}$');
CREATE SCHEMA \"Billing\";
CREATE TABLE people (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mail email UNIQUE, feeling mood NOT NULL,
    tags text[] NOT NULL DEFAULT '{}', doc jsonb, home pair, raw bytea, at inet, span tstzrange,
    \"Full Name\" text GENERATED ALWAYS AS (mail::text || '!') STORED, mentor int REFERENCES people);
INSERT INTO people (mail, feeling, doc, home, raw, at, span)
    SELECT 'p' || n || '@example.com', 'cross', '{\"a\": [1, \"x''y\"]}', ROW(n, 'b\\c'::text)::pair, '\\x00ff', '10.0.0.1', '[2024-01-01,2024-02-01)'
    FROM generate_series(1, 200) n;
CREATE TABLE countries (code char(2) PRIMARY KEY, name text UNIQUE CHECK (length(name) < 12));
INSERT INTO countries SELECT chr(65 + n / 26) || chr(65 + n % 26), 'land ' || n FROM generate_series(0, 60) n;
CREATE TABLE parts (code code5 PRIMARY KEY, weight numeric(6, 2) CHECK (weight > 0));
INSERT INTO parts SELECT 'AB' || to_char(n, 'FM000'), n FROM generate_series(1, 300) n;
CREATE TABLE memberships (person int NOT NULL REFERENCES people ON DELETE CASCADE, country char(2) NOT NULL REFERENCES countries,
    PRIMARY KEY (person, country));
INSERT INTO memberships SELECT n, (SELECT code FROM countries OFFSET n % 50 LIMIT 1) FROM generate_series(1, 150) n;
CREATE TABLE profiles (person int PRIMARY KEY REFERENCES people, bio text);
INSERT INTO profiles SELECT id, 'bio' FROM people;
CREATE TABLE \"Billing\".\"Invoices\" (\"Id\" uuid PRIMARY KEY DEFAULT gen_random_uuid(), \"order\" int UNIQUE, amount money);
INSERT INTO \"Billing\".\"Invoices\" (\"order\", amount) SELECT n, n FROM generate_series(1, 100) n;
CREATE TABLE events (id bigint GENERATED BY DEFAULT AS IDENTITY, day date NOT NULL, what text, PRIMARY KEY (id, day))
    PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2024-07-01') TO ('2025-01-01');
INSERT INTO events (day, what) SELECT date '2024-01-01' + n, 'x' FROM generate_series(0, 300) n;
CREATE TABLE bookings (room int, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&), id serial PRIMARY KEY);
INSERT INTO bookings (room, during) SELECT n, '[2024-01-01,2024-01-02)' FROM generate_series(1, 50) n;
CREATE TABLE ranked (place int PRIMARY KEY, CONSTRAINT one_place UNIQUE (place) DEFERRABLE INITIALLY DEFERRED,
    other int REFERENCES ranked DEFERRABLE INITIALLY DEFERRED);
INSERT INTO ranked SELECT n, n FROM generate_series(1, 20) n;
CREATE TABLE tenants (id serial PRIMARY KEY, tenant text NOT NULL DEFAULT current_user, note text);
INSERT INTO tenants (tenant, note) SELECT CASE n % 2 WHEN 0 THEN 'probes_app' ELSE 'other' END, 'n' FROM generate_series(1, 40) n;
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON tenants USING (tenant = current_user);
CREATE TABLE logins (mail text, CHECK (mail = lower(mail)), seen timestamptz DEFAULT now(), id bigserial PRIMARY KEY);
CREATE UNIQUE INDEX ON logins (lower(mail)) WHERE mail IS NOT NULL;
INSERT INTO logins (mail) SELECT 'l' || n || '@example.com' FROM generate_series(1, 30) n;
CREATE TABLE empties (id serial PRIMARY KEY, person int NOT NULL REFERENCES people, feeling mood, email email NOT NULL);
CREATE TABLE singles (sole boolean PRIMARY KEY DEFAULT true CHECK (sole), note text);
INSERT INTO singles VALUES (true, 'x');
CREATE TABLE bare ();
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN PERFORM pg_notify('changes', TG_TABLE_NAME); RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END; END$$;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE OR DELETE ON logins FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON parts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stamp();
GRANT USAGE ON SCHEMA \"Billing\" TO probes_app;
GRANT ALL ON ALL TABLES IN SCHEMA public, \"Billing\" TO probes_app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public, \"Billing\" TO probes_app;";

/// Tables that cannot be probed, or not wholly.
const AWKWARD: &str = "
CREATE TABLE keyless (a int, b text);
INSERT INTO keyless VALUES (1, 'x');
CREATE TABLE small (id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int);
INSERT INTO small (a) VALUES (1);
ALTER TABLE small ALTER id RESTART WITH 32760;
INSERT INTO small (a) VALUES (1);
CREATE TABLE hidden (id serial PRIMARY KEY, a int);
CREATE FUNCTION call_out() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN PERFORM dblink_exec('dbname=other', 'SELECT 1'); RETURN NEW; END$$;
CREATE TABLE wired (id serial PRIMARY KEY, a int);
INSERT INTO wired (a) VALUES (1);
CREATE TRIGGER out AFTER INSERT ON wired FOR EACH ROW EXECUTE FUNCTION call_out();
CREATE TABLE letters (id serial PRIMARY KEY, a int);
INSERT INTO letters (a) VALUES (1);
CREATE TABLE outbox (id serial PRIMARY KEY, a int, letter int REFERENCES letters ON DELETE CASCADE);
CREATE TRIGGER out AFTER INSERT OR DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION call_out();
CREATE FUNCTION put_out() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO outbox (a) VALUES (NEW.a); RETURN NEW; END$$;
CREATE TABLE sender (id serial PRIMARY KEY, a int);
INSERT INTO sender (a) VALUES (1);
CREATE TRIGGER put AFTER INSERT ON sender FOR EACH ROW EXECUTE FUNCTION put_out();
CREATE TABLE frozen (id serial PRIMARY KEY, a int);
INSERT INTO frozen (a) VALUES (1);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'row 17 of ''Ann'' is frozen'; END$$;
CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON frozen FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TABLE orphans (id serial PRIMARY KEY, parent int NOT NULL REFERENCES hidden);
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE remote (a int) SERVER elsewhere;
GRANT ALL ON keyless, small, wired, letters, outbox, sender, frozen, orphans, remote TO probes_app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO probes_app;";

/// Tables and operations not probed, a line each.
fn told(prepared: &Prepared) -> String {
    let line =
        |each: &NotProbed| format!("{} {}: {}", each.table, each.operation.map_or("all", Operation::name), each.reason);
    prepared.not_probed().iter().map(line).collect::<Vec<String>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_can_be_probed_is_probed_without_errors() {
    let _alone = ALONE.lock().await;
    let Some(superuser) = server::database().await else { return };
    schema(&superuser, VARIED).await;
    let mut config = config();
    let sql = "INSERT INTO parts VALUES ('ZZ999', 1);\nSELECT count(*) FROM parts -- all of them";
    config.custom = vec![CustomProbe {
        name: "new part".into(),
        kind: ProbeKind::Write,
        sql: sql.into(),
        commit: false,
        every: None,
        on: Address::Writer,
    }];
    let (_, derived) = prepared(&superuser, &config, None).await;
    insta::assert_snapshot!(told(&derived), @r"
    bare update: no primary key, nor a unique index over NOT NULL columns
    bare delete: no primary key, nor a unique index over NOT NULL columns
    ");
    let rehearsal = Rehearsal::begin(superuser, &config, &[]).await;
    let plan = rehearsal.connection().await;
    let seen = rehearsal.end().await;
    assert_eq!(seen.dropped(), Vec::<&Event>::new());
    assert_eq!(errors(&seen), Vec::new());
    let left = plan.client.query_one("SELECT count(*) FROM parts", &[]).await.expect("counts");
    assert_eq!(left.get::<_, i64>(0), 300);
}

/// One new code in seven exists already, and of all rows the application sees only one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_that_exists_by_chance_is_no_error() {
    let _alone = ALONE.lock().await;
    let Some(superuser) = server::database().await else { return };
    let grades = "CREATE TABLE grades (code char(2) PRIMARY KEY);
        INSERT INTO grades SELECT 1 + n / 9 || '' || 1 + n % 9 FROM generate_series(0, 11) n;
        INSERT INTO grades SELECT chr(97 + n / 26) || chr(97 + n % 26) FROM generate_series(0, 96) n;
        ALTER TABLE grades ENABLE ROW LEVEL SECURITY;
        CREATE POLICY one ON grades USING (code = '11') WITH CHECK (true);
        GRANT ALL ON grades TO probes_app";
    schema(&superuser, grades).await;
    let rehearsal = Rehearsal::begin(superuser, &config(), &["grades"]).await;
    let seen = rehearsal.end().await;
    assert!(seen.specs.iter().any(|probe| probe.name == "grades insert"));
    assert_eq!(seen.dropped(), Vec::<&Event>::new());
    assert_eq!(errors(&seen), Vec::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_probed_is_told_with_the_reason() {
    let _alone = ALONE.lock().await;
    let Some(superuser) = server::database().await else { return };
    schema(&superuser, &format!("CREATE EXTENSION dblink; {AWKWARD}")).await;
    let (_, prepared) = prepared(&superuser, &config(), None).await;
    insta::assert_snapshot!(told(&prepared), @r"
    frozen update: refused before the plan: a function or a DO block raised it; its words are left out
    frozen delete: refused before the plan: a function or a DO block raised it; its words are left out
    hidden all: not allowed to probes_app before the plan: permission denied for table hidden
    keyless update: no primary key, nor a unique index over NOT NULL columns
    keyless delete: no primary key, nor a unique index over NOT NULL columns
    letters insert: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    letters update: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    letters delete: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    orphans insert: the table is empty, and so is hidden, to which a row must refer
    orphans update: the table is empty, and so is hidden, to which a row must refer
    orphans delete: the table is empty, and so is hidden, to which a row must refer
    outbox insert: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    outbox update: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    outbox delete: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    remote all: a foreign table: its rows are on another server, and what is written there is not this one's to undo
    sender insert: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    sender update: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    sender delete: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    wired insert: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    wired update: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    wired delete: a trigger reaches outside the database: function dblink_exec of the extension dblink acts outside the transaction
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_asks_another_server_for_its_rows() {
    let _alone = ALONE.lock().await;
    let Some(superuser) = server::database().await else { return };
    let elsewhere = Elsewhere::new();
    let grants = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO probes_app";
    schema(&superuser, &format!("{} {grants}", elsewhere.tables())).await;
    let (_, prepared) = prepared(&superuser, &config(), None).await;
    elsewhere.assert_left_alone();
    insta::assert_snapshot!(told(&prepared), @r"
    events all: some of its rows are on another server, in a foreign table that is a part of it
    notes all: some of its rows are on another server, in a foreign table that is a part of it
    notes_old all: a foreign table: its rows are on another server, and what is written there is not this one's to undo
    ");
    // No reader is kept open on the others.
    let read: Vec<&str> = prepared.readers().iter().map(|table| table.name.as_str()).collect();
    assert_eq!(read, ["tags"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_reads_as_an_application_would_write_it() {
    let _alone = ALONE.lock().await;
    let Some(superuser) = server::database().await else { return };
    schema(&superuser, &ORDERS.replace("ROWS", "100")).await;
    let (_, prepared) = prepared(&superuser, &config(), None).await;
    let sql: Vec<&str> = prepared.specs().iter().map(|spec| spec.sql.as_str()).collect();
    insta::assert_snapshot!(sql.join("\n"), @r"
    SELECT id, name FROM public.customers WHERE id = $1
    BEGIN; INSERT INTO public.customers (id, name) VALUES ($1, $2); INSERT INTO public.customers (id, name) VALUES ($3, $4); SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK
    BEGIN; UPDATE public.customers SET name = $1 WHERE id = $2; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK
    BEGIN; INSERT INTO public.customers (id, name) VALUES ($1, $2) RETURNING id; DELETE FROM public.customers WHERE id = $3; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK
    SELECT id, customer_id, state, total, code, placed FROM public.orders WHERE id = $1
    BEGIN; INSERT INTO public.orders (customer_id, total, code) VALUES ($1, $2, $3); INSERT INTO public.orders (customer_id, total, code) VALUES ($4, $5, $6); SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK
    BEGIN; UPDATE public.orders SET state = $1 WHERE id = $2; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK
    BEGIN; DELETE FROM public.orders WHERE id = $1; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK

    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_login_is_the_applications_or_owns_what_owners_own() {
    let _alone = ALONE.lock().await;
    let Some(superuser) = server::database().await else { return };
    let roles = "CREATE ROLE login_owner; CREATE ROLE login_group; CREATE SCHEMA shop AUTHORIZATION login_owner;
        CREATE TABLE shop.t (a int); ALTER TABLE shop.t OWNER TO login_owner";
    schema(&superuser, roles).await;
    let who = async |role: Option<&str>| {
        let login = log_in_as(&superuser, role, "secret").await.expect("a login can be made");
        let connection = connect(&login, DEADLINE).await.expect("it may log in");
        let row = connection
            .client
            .query_one("SELECT session_user::text, current_user::text, current_setting('is_superuser')", &[])
            .await
            .expect("it answers");
        let owns =
            connection.client.batch_execute("ALTER TABLE shop.t ADD COLUMN b int; ALTER TABLE shop.t DROP b").await;
        let [session, current, is_superuser] = [0, 1, 2].map(|nth| row.get::<_, String>(nth));
        (session, current, is_superuser, owns.is_ok())
    };
    let expected =
        |session: &str, current: &str, owns| (session.to_owned(), current.to_owned(), "off".to_owned(), owns);
    assert_eq!(who(Some(APP)).await, expected(APP, APP, false));
    // A login that ran out in production would let nobody in, where the server asks for passwords.
    let late =
        "CREATE ROLE login_late LOGIN VALID UNTIL '2001-01-01'; ALTER ROLE rehearsal_probe VALID UNTIL '2001-01-01'";
    assert_eq!(who(None).await.0, "rehearsal_probe");
    let connection = schema(&superuser, late).await;
    assert_eq!((who(Some("login_late")).await.0, who(None).await.0), ("login_late".into(), "rehearsal_probe".into()));
    let until =
        "SELECT bool_and(rolvaliduntil = 'infinity') FROM pg_roles WHERE rolname IN ('login_late', 'rehearsal_probe')";
    assert!(connection.client.query_one(until, &[]).await.expect("it answers").get::<_, bool>(0));
    assert_eq!(who(None).await, expected("rehearsal_probe", "rehearsal_probe", true));
    assert_eq!(who(Some("login_group")).await, expected("rehearsal_probe", "login_group", false));
    let refused = log_in_as(&superuser, Some("postgres"), "secret").await;
    assert!(matches!(refused, Err(LoginError::Superuser { .. })), "{refused:?}");
    let missing = log_in_as(&superuser, Some("nobody_here"), "secret").await;
    assert!(matches!(missing, Err(LoginError::NoRole { .. })), "{missing:?}");
}
