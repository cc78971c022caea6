//! Rules over steps and statements.

use std::time::Duration;

use super::{check, only, verdict};
use crate::event::{Event, Place, Statement, StepError, StepResult, StepRole};
use crate::finding::{Code, Severity};
use crate::outcome::Verdict;
use crate::outcome::sample::{Log, exclusive, rewrite, share, sql_error, statement, step};
use crate::scenario::{Action, Retry, Scenario, Step};

fn with(change: impl FnOnce(&mut Step)) -> Log {
    Log::new(|scenario| change(&mut scenario.steps[0]))
}

#[test]
fn failed_steps() {
    let mut log = Log::new(|_| {});
    let error = StepError {
        what: "the server refused a statement".into(),
        sql: Some(sql_error("42703", "column \"foo\" does not exist")),
        place: Some(Place { file: "patch.sql".into(), line: 12 }),
        exit: None,
    };
    log.step_ending(0, 2000.0, 40.0, Vec::new(), StepResult::Failed, Some(error));
    let found = only(&mut log, Code::StepFailed);
    assert_eq!(
        found.condition,
        "step \"change\" failed after 40 ms: column \"foo\" does not exist (42703), at patch.sql:12"
    );
    let end = |result| {
        let mut log = Log::new(|_| {});
        log.step_ending(0, 2000.0, 40.0, Vec::new(), result, None);
        log
    };
    check(&mut end(StepResult::Done), &[]);
    check(&mut end(StepResult::Skipped), &[]);
    check(&mut end(StepResult::TimedOut), &["step-failed"]);
}

#[test]
fn failed_checks() {
    let check_step = |sql: Option<&str>| {
        let mut log = with(|step| step.action = Action::Check { sql: "SELECT 1".into(), rows: vec![] });
        let error = StepError {
            what: "1 row was expected, and 2 came".into(),
            sql: sql.map(|code| sql_error(code, "division by zero")),
            place: None,
            exit: None,
        };
        log.step_ending(0, 2000.0, 4.0, Vec::new(), StepResult::Failed, Some(error));
        log
    };
    check(&mut check_step(None), &["check-failed"]);
    check(&mut check_step(Some("22012")), &["step-failed"]);
}

#[test]
fn budgets() {
    let budget = |elapsed_ms: f64, sign_off: Option<&str>| {
        let mut log = with(|step| {
            step.budget = Some(Duration::from_secs(1));
            step.sign_off = sign_off.map(Into::into);
        });
        log.step(0, 2000.0, elapsed_ms, vec![statement("UPDATE orders SET a = 1", elapsed_ms)]);
        log
    };
    check(&mut budget(900.0, None), &[]);
    let found = only(&mut budget(1500.0, None), Code::BudgetExceeded);
    assert_eq!(
        found.condition,
        "step \"change\" took 1.5 s, and its budget is 1 s; 1.5 s of it in `UPDATE orders SET a = 1` (constant)"
    );
    let signed = only(&mut budget(1500.0, Some("Ada")), Code::BudgetExceeded);
    assert_eq!(signed.severity, Severity::Warning);
    assert!(signed.condition.ends_with("; signed off by Ada"));
    assert_eq!(verdict(&mut budget(1500.0, Some("Ada"))), (Verdict::Passed, 0));
}

#[test]
fn an_undo_has_its_budget_too() {
    let mut log = with(|planned| {
        planned.undo = vec![crate::scenario::Step { budget: Some(Duration::from_secs(1)), ..step("back") }];
    });
    log.step(0, 2000.0, 10.0, Vec::new());
    let (step, role) = (0, StepRole::Undo);
    let (name, node, action) = ("back".to_owned(), "primary".to_owned(), "file".to_owned());
    log.at(3000.0, Event::StepStarted { step, name, node, action, role, statements: None });
    let (result, elapsed_ms) = (StepResult::Done, 1500.0);
    log.at(
        4500.0,
        Event::StepEnded { step, role, node: String::new(), result, elapsed_ms, error: None, output: None, rows: None },
    );
    let found = only(&mut log, Code::BudgetExceeded);
    assert_eq!(found.condition, "step \"back\" took 1.5 s, and its budget is 1 s");
}

#[test]
fn the_window_is_a_sum() {
    let window = |change: fn(&mut Scenario)| {
        let mut log = Log::new(|scenario| {
            scenario.limits.window = Some(Duration::from_secs(1));
            scenario.steps = vec![step("one"), step("two")];
            change(scenario);
        });
        log.step(0, 2000.0, 600.0, Vec::new()).step(1, 3000.0, 600.0, Vec::new());
        log
    };
    check(&mut window(|_| {}), &["budget-exceeded"]);
    check(&mut window(|scenario| scenario.steps[1].outside_window = true), &[]);
    check(&mut window(|scenario| scenario.steps[0].takes = Some(Duration::from_millis(300))), &[]);
    let hours = |scenario: &mut Scenario| {
        scenario.steps[1].outside_window = true;
        scenario.steps[0].takes = Some(Duration::from_secs(7200));
    };
    check(&mut window(hours), &["budget-exceeded"]);
}

#[test]
fn rewrites() {
    let one = |statement: Statement, expected: &[&str]| {
        let mut log = Log::new(|scenario| scenario.probes.open_transaction = Some(Duration::from_secs(5)));
        check(log.step(0, 2000.0, 100.0, vec![statement]), expected);
    };
    one(rewrite(90.0), &["table-rewritten"]);
    // A table that the plan made itself is nobody's yet.
    one(Statement { rewrote: vec!["orders_new".into()], ..rewrite(90.0) }, &[]);
    one(Statement { work: crate::event::Work::Builds, ..rewrite(90.0) }, &[]);
}

#[test]
fn locks_without_timeout() {
    let altered = || Statement { locks: vec![exclusive("orders")], ..statement("ALTER TABLE orders ADD b int", 5.0) };
    let one = |change: fn(&mut Scenario), statement: Statement, expected: &[&str]| {
        let mut log = Log::new(change);
        check(log.step(0, 2000.0, 100.0, vec![statement]), expected);
    };
    one(|_| {}, altered(), &["lock-without-timeout"]);
    one(|_| {}, Statement { lock_timeout: true, ..altered() }, &[]);
    one(|_| {}, Statement { locks: vec![share("orders")], ..altered() }, &[]);
    one(|_| {}, Statement { locks: vec![exclusive("orders_new")], ..altered() }, &[]);
    one(|scenario| scenario.probes.open_transaction = Some(Duration::from_secs(5)), altered(), &[]);
    one(|scenario| scenario.expect.retired = vec!["orders".into()], altered(), &[]);
    let retry = |scenario: &mut Scenario| {
        let (lock_timeout, pause) = (Duration::from_millis(100), Duration::from_secs(1));
        scenario.steps[0].retry = Some(Retry { lock_timeout, times: 3, pause });
    };
    one(retry, altered(), &[]);
}
