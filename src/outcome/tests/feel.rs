//! Rules over what probes and observer saw.

use std::time::Duration;

use super::{check, only, verdict};
use crate::event::{DownCause, Downtime, Event, NotProbed, Operation, Owner, Phase, Statement};
use crate::finding::Code;
use crate::outcome::sample::{
    CONNECT, INSERT, Log, READ, UPDATE, USERS_INSERT, exclusive, rewrite, session, share, sql_error, statement, step,
    summary,
};
use crate::outcome::{Because, Outcome, Verdict};
use crate::scenario::{Action, Limits, Scenario};

fn second(scenario: &mut Scenario) {
    scenario.limits.downtime_write = Some(Duration::from_secs(1));
    scenario.limits.downtime_read = Some(Duration::from_secs(1));
    scenario.probes.open_transaction = Some(Duration::from_secs(5));
}

fn blocked(down: &mut Downtime) {
    down.blocked_by = vec![session(Owner::Step { step: 0 })];
}

fn refused(down: &mut Downtime) {
    down.cause = DownCause::Error;
    down.error = Some(sql_error("23502", "null value in column \"id\" violates not-null constraint"));
}

/// Windows as (probe, start, length), all of them blocked, under limits of a second.
fn check_down(windows: &[(u32, f64, f64)], expected: &[&str]) {
    let mut log = Log::new(second);
    for (probe, started_ms, elapsed_ms) in windows {
        log.down(*probe, *started_ms, *elapsed_ms, blocked);
    }
    check(&mut log, expected);
}

#[test]
fn downtime_is_a_union_over_tables() {
    check_down(&[(INSERT, 2000.0, 900.0)], &[]);
    check_down(&[(INSERT, 2000.0, 1100.0)], &["downtime-exceeded"]);
    // The same moment on several operations and tables counts once.
    check_down(&[(INSERT, 2000.0, 900.0), (UPDATE, 2050.0, 900.0), (USERS_INSERT, 2000.0, 900.0)], &[]);
    check_down(&[(INSERT, 2000.0, 900.0), (USERS_INSERT, 4000.0, 900.0)], &["downtime-exceeded"]);
    // Reads and writes are held against their own limits.
    check_down(&[(INSERT, 2000.0, 900.0), (READ, 4000.0, 900.0)], &[]);
    // Connections count as both.
    check_down(&[(INSERT, 2000.0, 900.0), (CONNECT, 4000.0, 900.0)], &["downtime-exceeded"]);
    // Before the plan nothing counts.
    check_down(&[(INSERT, 500.0, 1500.0)], &[]);
}

#[test]
fn downtime_says_what_and_behind_whom() {
    let mut log = Log::new(second);
    log.step(0, 2000.0, 1500.0, vec![Statement { locks: vec![exclusive("orders")], ..rewrite(1500.0) }]);
    log.down(INSERT, 2010.0, 1450.0, blocked);
    let found = only(&mut log, Code::DowntimeExceeded);
    assert_eq!(
        found.condition,
        "writes were down for 1.45 s in all, and the limit is 1 s: orders (insert); the longest for 1.45 s from +2.01 s, \
         while `ALTER TABLE orders ALTER id TYPE bigint` of step \"change\" ran; blocked by step \"change\""
    );
    assert_eq!((found.step.as_deref(), found.node.as_deref()), (Some("change"), Some("primary")));
    assert!(!found.evidence.is_empty());
}

#[test]
fn without_a_limit_downtime_is_only_reported() {
    let mut log = Log::new(|_| {});
    log.down(INSERT, 2000.0, 4000.0, blocked);
    let outcome = Outcome::from_records(&log.ended());
    assert_eq!(outcome.downtime.write.total_ms, 4000.0);
    assert_eq!((outcome.downtime.read.total_ms, outcome.findings.len()), (0.0, 0));
}

#[test]
fn a_steps_own_limit_replaces_the_scenarios_while_it_runs() {
    let own = |downtime_write: u64| {
        Log::new(|scenario| {
            second(scenario);
            let limits = Limits { downtime_write: Some(Duration::from_millis(downtime_write)), ..Limits::default() };
            scenario.steps = vec![crate::scenario::Step { limits: Some(limits), ..step("change") }];
        })
    };
    let during = |log: &mut Log| {
        log.step(0, 2000.0, 3000.0, vec![statement("SELECT 1", 3000.0)]);
        log.down(INSERT, 2100.0, 2000.0, blocked);
    };
    let mut log = own(5000);
    during(&mut log);
    check(&mut log, &[]);
    let mut log = own(500);
    during(&mut log);
    check(&mut log, &["downtime-exceeded"]);
    // What lies after the step is the scenario's again.
    let mut log = own(5000);
    log.step(0, 2000.0, 1000.0, vec![statement("SELECT 1", 1000.0)]);
    log.down(INSERT, 2100.0, 2000.0, blocked);
    check(&mut log, &["downtime-exceeded"]);
}

#[test]
fn retired_tables_are_not_down() {
    let mut log = Log::new(|scenario| {
        second(scenario);
        scenario.expect.retired = vec!["orders".into()];
    });
    log.down(INSERT, 2000.0, 3000.0, refused);
    check(&mut log, &[]);
}

/// What a late window without blockers on orders' inserts, from 2000 to 4000, is put down to.
fn check_because(statements: Vec<Statement>, lag_ms: f64, expected: Because) {
    let mut log = Log::new(|_| {});
    log.step(0, 1900.0, 3000.0, statements);
    log.down(INSERT, 2000.0, 2000.0, |down| down.harness_lag_ms = lag_ms);
    let outcome = Outcome::from_records(&log.ended());
    assert_eq!(outcome.probes[INSERT as usize].downtime[0].because, expected);
}

#[test]
fn a_late_answer_needs_a_cause() {
    let held = |lock| Statement { locks: vec![lock], ..statement("ALTER TABLE orders …", 2500.0) };
    check_because(vec![held(share("orders"))], 0.0, Because::Statement);
    check_because(vec![held(exclusive("public.orders"))], 0.0, Because::Statement);
    check_because(vec![held(exclusive("users"))], 0.0, Because::Unexplained);
    check_because(vec![statement("SELECT 1", 2500.0)], 0.0, Because::Unexplained);
    check_because(vec![statement("SELECT 1", 2500.0)], 150.0, Because::Harness);
    check_because(vec![held(exclusive("orders"))], 1900.0, Because::Statement);
    let instant = Statement { elapsed_ms: 2.0, started_ms: 2001.0, ..held(exclusive("orders")) };
    check_because(vec![instant.clone()], 0.0, Because::Statement);
    check_because(vec![instant], 1900.0, Because::Harness);
    // A transaction holds its locks until it ends.
    let short = Statement { elapsed_ms: 5.0, in_transaction: true, ..held(exclusive("orders")) };
    let sleep = Statement { started_ms: 1910.0, in_transaction: true, ..statement("SELECT pg_sleep(2)", 2000.0) };
    check_because(vec![short.clone(), sleep.clone()], 0.0, Because::Statement);
    let autocommitted = Statement { in_transaction: false, ..short };
    check_because(vec![autocommitted, Statement { in_transaction: false, ..sleep }], 0.0, Because::Unexplained);
}

#[test]
fn an_unexplained_stall_is_no_downtime() {
    let stall = |lag_ms: f64| {
        let mut log = Log::new(second);
        log.down(INSERT, 2000.0, 2000.0, |down| down.harness_lag_ms = lag_ms);
        log
    };
    assert_eq!(verdict(&mut stall(0.0)), (Verdict::Passed, 0));
    assert_eq!(verdict(&mut stall(1500.0)), (Verdict::Inconclusive, 3));
    let notes = Outcome::from_records(&stall(0.0).ended()).notes;
    assert_eq!(notes, ["1 stall of probes, up to 2 s, had no cause that is the release's, and count for nothing"]);
    // A stall that breaks no limit changes nothing.
    let mut log = Log::new(second);
    log.down(INSERT, 2000.0, 300.0, |down| down.harness_lag_ms = 250.0);
    assert_eq!(verdict(&mut log), (Verdict::Passed, 0));
    // Nor does one beside downtime that has broken the limit by itself.
    let mut log = Log::new(second);
    log.step(0, 2000.0, 2000.0, Vec::new());
    log.down(INSERT, 2100.0, 1800.0, refused);
    log.down(UPDATE, 5000.0, 2000.0, |down| down.harness_lag_ms = 1500.0);
    assert_eq!(verdict(&mut log), (Verdict::Failed, 1));
}

#[test]
fn refused_operations() {
    let mut log = Log::new(|_| {});
    log.step(0, 2000.0, 100.0, vec![statement("ALTER TABLE orders_new RENAME TO orders", 50.0)]);
    log.down(INSERT, 2200.0, 700.0, refused);
    log.down(UPDATE, 2300.0, 100.0, refused);
    let found = only(&mut log, Code::WriteProbeFailed);
    assert_eq!(
        found.condition,
        "insert and update on orders failed from +2.20 s, after `ALTER TABLE orders_new RENAME TO orders` of step \"change\": \
         null value in column \"id\" violates not-null constraint (23502); down for 700 ms"
    );
    let one = |probe: u32, change: fn(&mut Downtime), expected: &[&str]| {
        let mut log = Log::new(|_| {});
        log.down(probe, 2000.0, 700.0, change);
        check(&mut log, expected);
    };
    one(READ, refused, &["read-probe-failed"]);
    one(CONNECT, refused, &["connect-probe-failed"]);
    one(INSERT, blocked, &[]);
    // The probe's own timeouts are lateness.
    one(INSERT, |down| down.error = Some(sql_error("57014", "canceling statement due to statement timeout")), &[]);
    one(INSERT, |down| down.error = Some(sql_error("55P03", "canceling statement due to lock timeout")), &[]);
    // And whom a deadlock hits is chance.
    one(INSERT, |down| down.error = Some(sql_error("40P01", "deadlock detected")), &[]);
}

#[test]
fn users_in_each_other_s_way_are_nobody_s_downtime() {
    let mut log = Log::new(second);
    log.down(INSERT, 2000.0, 2000.0, |down| {
        down.blocked_by = vec![session(Owner::Probe { probe: UPDATE })];
    });
    let outcome = Outcome::from_records(&log.ended());
    assert_eq!(outcome.probes[INSERT as usize].downtime[0].because, Because::Unexplained);
    assert_eq!(outcome.outcome, Verdict::Passed);
}

#[test]
fn errors_before_the_plan_are_not_the_plans() {
    let mut log = Log::new(|_| {});
    log.down(INSERT, 500.0, 700.0, refused);
    check(&mut log, &[]);
}

#[test]
fn a_restart_is_downtime_and_no_failure() {
    fn lost(down: &mut Downtime) {
        down.cause = DownCause::Error;
        down.error = Some(sql_error("57P01", "terminating connection due to administrator command"));
    }
    let restart = |change: fn(&mut Downtime)| {
        let mut log = Log::new(|scenario| {
            second(scenario);
            scenario.limits.downtime_write = Some(Duration::from_secs(3));
            scenario.steps = vec![crate::scenario::Step { action: Action::Restart, ..step("restart") }];
        });
        log.step(0, 2000.0, 2000.0, Vec::new());
        log.down(INSERT, 2100.0, 1800.0, change);
        log
    };
    check(&mut restart(lost), &[]);
    check(
        &mut restart(|down| {
            lost(down);
            down.to_the_end = true;
        }),
        &["write-probe-failed"],
    );
    check(&mut restart(refused), &["write-probe-failed"]);
    let outcome = Outcome::from_records(&restart(lost).ended());
    assert_eq!(outcome.downtime.write.total_ms, 1800.0);
    // Without a restart a lost connection is a failure.
    let mut log = Log::new(|_| {});
    log.step(0, 2000.0, 2000.0, Vec::new());
    log.down(INSERT, 2100.0, 1800.0, lost);
    check(&mut log, &["write-probe-failed"]);
}

#[test]
fn latency() {
    let plan = |latencies: &[(u64, f64)]| {
        let mut log = Log::new(|scenario| scenario.limits.p99 = Some(Duration::from_millis(200)));
        log.at(3000.0, summary(INSERT, Phase::Plan, None, latencies));
        log
    };
    check(&mut plan(&[(1000, 2.0), (5, 900.0)]), &[]);
    check(&mut plan(&[(100, 2.0), (5, 900.0)]), &["latency-exceeded"]);
    let mut log = Log::new(|scenario| scenario.limits.p99 = Some(Duration::from_millis(200)));
    check(log.at(900.0, summary(INSERT, Phase::Control, None, &[(100, 900.0)])), &[]);
}

#[test]
fn lock_waits() {
    let wait = |elapsed_ms: f64| {
        let mut log = Log::new(|scenario| scenario.limits.lock_wait = Some(Duration::from_secs(1)));
        let waiter = session(Owner::Step { step: 0 });
        let blockers = vec![session(Owner::Reader { table: "orders".into() })];
        let (relation, mode) = (Some("orders".into()), "AccessExclusive".into());
        log.at(2000.0, Event::LockWaitStarted { wait: 1, waiter, relation, mode, blockers });
        log.at(2000.0 + elapsed_ms, Event::LockWaitEnded { wait: 1, elapsed_ms });
        log
    };
    check(&mut wait(900.0), &[]);
    let found = only(&mut wait(4900.0), Code::LockWaitExceeded);
    assert_eq!(
        found.condition,
        "step \"change\" waited 4.9 s for AccessExclusive on orders behind the transaction kept open on orders, and the limit is 1 s"
    );
}

#[test]
fn what_could_not_be_probed() {
    let gaps = |gaps: Vec<NotProbed>, retired: &[&str]| {
        let retired: Vec<String> = retired.iter().map(|name| (*name).into()).collect();
        let mut log = Log::new(|scenario| scenario.expect.retired = retired);
        log.at(
            50.0,
            Event::ProbesDerived { node: "primary".into(), run_as: "app".into(), probes: vec![], not_probed: gaps },
        );
        log
    };
    let gap = |operation, reason: &str| NotProbed { table: "logs".into(), operation, reason: reason.into() };
    check(&mut gaps(vec![], &[]), &[]);
    check(&mut gaps(vec![gap(None, "no primary key")], &["logs"]), &[]);
    let found = only(&mut gaps(vec![gap(None, "no primary key")], &[]), Code::NotProbed);
    assert_eq!(found.condition, "logs was not probed: no primary key");
    let partly = vec![gap(Some(Operation::Insert), "a trigger"), gap(Some(Operation::Update), "a trigger")];
    let found = only(&mut gaps(partly, &[]), Code::NotProbed);
    assert_eq!(found.condition, "logs was probed in part: no insert and update (a trigger)");
    let mut log = Log::new(|_| {});
    log.at(900.0, Event::ProbeDropped { probe: INSERT, reason: "permission denied".into() });
    check(&mut log, &["not-probed"]);
}

#[test]
fn an_operation_that_waited_before_it_was_refused_is_put_down_to_what_had_ended_by_then() {
    let mut log = Log::new(|_| {});
    let renamed = |index, started_ms, sql: &str| crate::event::Statement {
        index,
        sql: sql.into(),
        started_ms,
        elapsed_ms: 400.0,
        ..crate::event::Statement::default()
    };
    log.step(0, 2000.0, 900.0, vec![renamed(0, 2000.0, "LOCK TABLE orders"), renamed(1, 2410.0, "COMMIT")]);
    log.down(INSERT, 2100.0, 1800.0, |down| {
        refused(down);
        down.first_error_ms = Some(2815.0);
    });
    let outcome = Outcome::from_records(&log.ended());
    let found = outcome.findings.iter().find(|found| found.code == crate::finding::Code::WriteProbeFailed);
    let condition = &found.expect("the refusal is found").condition;
    assert!(condition.contains("from +2.81 s, after `COMMIT` of step"), "{condition}");
}
