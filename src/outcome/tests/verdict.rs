//! Verdicts, exit codes, what is not judged and what was not rehearsed.

use std::time::Duration;

use super::{check, verdict};
use crate::event::{DiffResult, Event, NotCompared, Phase, StepError, StepResult};
use crate::finding::{Code, Severity};
use crate::outcome::sample::{
    CONNECT, INSERT, Log, READ, UPDATE, exclusive, rewrite, runs, share, statement, step, summary,
};
use crate::outcome::{Gap, LimitKind, Outcome, StepState, Verdict};
use crate::scenario::{Action, Command, ExpectedOutcome, Invocation, Scenario};

#[test]
fn verdicts_and_exit_codes() {
    assert_eq!(verdict(&mut Log::new(|_| {})), (Verdict::Passed, 0));
    let mut log = Log::new(|_| {});
    log.step_ending(0, 2000.0, 40.0, Vec::new(), StepResult::Failed, None);
    assert_eq!(verdict(&mut log), (Verdict::Failed, 1));
    log.at(5000.0, Event::HarnessFailed { what: "the disk is full".into(), hint: None, log: vec![] });
    assert_eq!(verdict(&mut log), (Verdict::Inconclusive, 3));
    log.at(5001.0, Event::Interrupted { signal: 2 });
    assert_eq!(verdict(&mut log), (Verdict::Interrupted, 130));
    let mut log = Log::new(|_| {});
    log.at(5001.0, Event::Interrupted { signal: 15 });
    assert_eq!(verdict(&mut log), (Verdict::Interrupted, 143));
}

#[test]
fn a_log_without_an_end_is_of_a_killed_run() {
    let log = Log::new(|scenario| scenario.steps.push(step("never reached")));
    let outcome = Outcome::from_records(&log.records);
    assert_eq!((outcome.outcome, outcome.exit_code), (Verdict::Inconclusive, 3));
    assert_eq!(outcome.why[0].what, "the run was killed after 1 s: its log has no end");
    assert_eq!(outcome.steps[1].result, StepState::NotReached);
    assert_eq!(outcome.not_rehearsed[0].kind, Gap::StepNotRun);
}

#[test]
fn a_log_without_a_start_is_inconclusive() {
    let records = Log::new(|_| {}).ended();
    assert_eq!(Outcome::from_records(&records[1..]).exit_code, 3);
    assert_eq!(Outcome::from_records(&[]).exit_code, 3);
}

#[test]
fn severity_on_which_a_run_fails() {
    let warned = |fail_on: Severity| {
        let mut log = Log::new(|scenario| scenario.fail_on = fail_on);
        log.step(0, 2000.0, 100.0, vec![rewrite(90.0)]);
        verdict(&mut log)
    };
    assert_eq!(warned(Severity::Error), (Verdict::Passed, 0));
    assert_eq!(warned(Severity::Warning), (Verdict::Failed, 1));
}

fn program(line: &str) -> Action {
    Action::Command(Command { run: Invocation::Shell(line.into()), dir: ".".into(), env: Default::default() })
}

#[test]
fn a_program_that_reaches_no_server_proves_nothing() {
    let program = |statements| {
        let mut log = Log::new(|scenario| {
            scenario.steps[0].action = self::program("migrate");
        });
        log.step(0, 2000.0, 100.0, statements);
        log
    };
    assert_eq!(verdict(&mut program(vec![])), (Verdict::Inconclusive, 3));
    assert_eq!(verdict(&mut program(vec![statement("SELECT 1", 1.0)])), (Verdict::Passed, 0));
    let mut log = program(vec![]);
    log.records.pop();
    let error = Some(StepError { what: "exited with status 1".into(), sql: None, place: None, exit: Some(1) });
    let (result, role) = (StepResult::Failed, crate::event::StepRole::Plan);
    let node = String::new();
    log.at(
        2100.0,
        Event::StepEnded { step: 0, role, node, result, elapsed_ms: 100.0, error, output: None, rows: None },
    );
    assert_eq!(verdict(&mut log), (Verdict::Failed, 1));
}

fn expecting(outcome: Option<ExpectedOutcome>, findings: Option<Vec<Code>>, fails: bool) -> Log {
    let mut log = Log::new(|scenario| {
        scenario.expect.outcome = outcome;
        scenario.expect.findings = findings;
    });
    let result = if fails { StepResult::Failed } else { StepResult::Done };
    log.step_ending(0, 2000.0, 40.0, Vec::new(), result, None);
    log
}

#[test]
fn expectations() {
    use ExpectedOutcome::{Failed, Passed};
    check(&mut expecting(Some(Passed), None, false), &[]);
    check(&mut expecting(Some(Failed), None, true), &["step-failed"]);
    check(&mut expecting(Some(Failed), None, false), &["expectation-unmet"]);
    check(&mut expecting(Some(Passed), None, true), &["expectation-unmet", "step-failed"]);
    check(&mut expecting(None, Some(vec![Code::StepFailed]), true), &["step-failed"]);
    check(&mut expecting(None, Some(vec![Code::IndexLost]), true), &["expectation-unmet", "step-failed"]);
    check(&mut expecting(None, Some(vec![]), false), &[]);
    // The exit follows the verdict: an unmet expectation fails what else had passed.
    assert_eq!(verdict(&mut expecting(Some(Failed), None, false)), (Verdict::Failed, 1));
    assert_eq!(verdict(&mut expecting(Some(Failed), None, true)), (Verdict::Failed, 1));
    let mut inconclusive = expecting(Some(Passed), None, true);
    inconclusive.at(5000.0, Event::HarnessFailed { what: "the disk is full".into(), hint: None, log: vec![] });
    assert_eq!(verdict(&mut inconclusive), (Verdict::Inconclusive, 3));
}

/// What is not judged of a step with every limit, when production has 50 million orders.
fn check_judged(change: fn(&mut Scenario), statements: Vec<crate::event::Statement>, expected: &[LimitKind]) {
    let mut log = Log::new(|scenario| {
        scenario.snapshot.production_rows = [("public.orders".to_owned(), 50_000_000)].into();
        scenario.limits.window = Some(Duration::from_secs(60));
        scenario.limits.downtime_read = Some(Duration::from_secs(1));
        scenario.limits.downtime_write = Some(Duration::from_secs(1));
        scenario.steps[0].budget = Some(Duration::from_secs(15));
        change(scenario);
    });
    log.step(0, 2000.0, 500.0, statements);
    let outcome = Outcome::from_records(&log.ended());
    let kinds: Vec<LimitKind> = outcome.not_judged.iter().map(|entry| entry.limit).collect();
    assert_eq!(kinds, expected);
    let in_part = if expected.is_empty() { Verdict::Passed } else { Verdict::PassedInPart };
    assert_eq!((outcome.outcome, outcome.exit_code), (in_part, 0));
}

#[test]
fn limits_that_rest_on_a_sample_are_not_judged() {
    use LimitKind::{Budget, DowntimeRead, DowntimeWrite, LockWait, P99, Window};
    let whole = |scenario: &mut Scenario| {
        scenario.snapshot.production_rows.insert("public.orders".into(), 1000);
    };
    check_judged(|_| {}, vec![rewrite(490.0)], &[Budget, Window, DowntimeRead, DowntimeWrite]);
    check_judged(whole, vec![rewrite(490.0)], &[]);
    let build =
        |lock| crate::event::Statement { work: crate::event::Work::Builds, locks: vec![lock], ..rewrite(490.0) };
    check_judged(|_| {}, vec![build(share("orders"))], &[Budget, Window, DowntimeWrite]);
    let concurrently = crate::event::Statement { locks: vec![], ..build(share("orders")) };
    check_judged(|_| {}, vec![concurrently], &[Budget, Window]);
    let instant =
        crate::event::Statement { locks: vec![exclusive("orders")], ..statement("ALTER TABLE orders ADD b int", 2.0) };
    check_judged(|_| {}, vec![instant.clone()], &[]);
    check_judged(
        |scenario| scenario.steps[0].outside_window = true,
        vec![rewrite(490.0)],
        &[Budget, DowntimeRead, DowntimeWrite],
    );
    let more = |scenario: &mut Scenario| {
        scenario.limits.p99 = Some(Duration::from_millis(200));
        scenario.limits.lock_wait = Some(Duration::from_secs(1));
    };
    check_judged(more, vec![rewrite(490.0)], &[Budget, Window, DowntimeRead, DowntimeWrite, P99, LockWait]);
    // An instant change whose transaction then scans holds its lock for the scan.
    let held = crate::event::Statement { in_transaction: true, ..instant };
    let scan = crate::event::Statement {
        in_transaction: true,
        work: crate::event::Work::Scans,
        grows_with: vec!["orders".into()],
        ..statement("SELECT count(*) FROM orders", 100.0)
    };
    check_judged(|_| {}, vec![held, scan], &[Budget, Window, DowntimeRead, DowntimeWrite]);
}

#[test]
fn what_a_program_did_on_a_sample_is_not_judged() {
    use LimitKind::{Budget, DowntimeRead, DowntimeWrite, Window};
    let recovered = |work| {
        let sent = statement("ALTER TABLE orders ALTER id TYPE bigint", 400.0);
        vec![crate::event::Statement { work, recovered: true, ..sent }]
    };
    let program = |scenario: &mut Scenario| scenario.steps[0].action = program("migrate");
    let unknown = recovered(crate::event::Work::Unknown);
    check_judged(program, unknown.clone(), &[Budget, Window, DowntimeRead, DowntimeWrite]);
    check_judged(program, recovered(crate::event::Work::Constant), &[]);
    let whole = |scenario: &mut Scenario| {
        scenario.steps[0].action = self::program("migrate");
        scenario.snapshot.production_rows.insert("public.orders".into(), 1000);
    };
    check_judged(whole, unknown, &[]);
}

#[test]
fn rows_given_for_a_table_that_is_not_there_leave_limits_open() {
    use LimitKind::{Budget, DowntimeRead, DowntimeWrite, Window};
    let misnamed = |scenario: &mut Scenario| {
        scenario.snapshot.production_rows = [("ordrs".to_owned(), 50_000_000)].into();
    };
    check_judged(misnamed, vec![rewrite(490.0)], &[Budget, Window, DowntimeRead, DowntimeWrite]);
    let quoted = |scenario: &mut Scenario| {
        scenario.snapshot.production_rows = [("\"orders\"".to_owned(), 1000)].into();
    };
    check_judged(quoted, vec![rewrite(490.0)], &[]);
}

#[test]
fn a_limit_that_nobody_could_see_broken_is_not_judged() {
    use LimitKind::{DowntimeRead, DowntimeWrite, P99};
    let kinds = |probes: &[u32]| {
        let mut log = Log::new(|scenario| {
            scenario.limits.downtime_read = Some(Duration::ZERO);
            scenario.limits.downtime_write = Some(Duration::ZERO);
            scenario.limits.p99 = Some(Duration::from_millis(200));
        });
        log.step(0, 2000.0, 1.0, vec![]);
        for probe in probes {
            log.at(2500.0, summary(*probe, Phase::Plan, None, &[(10, 1.0)]));
        }
        log.at(2600.0, Event::PhaseEnded { phase: Phase::Plan, elapsed_ms: 1600.0 });
        let outcome = Outcome::from_records(&log.ended());
        outcome.not_judged.iter().map(|entry| entry.limit).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&[READ, INSERT, CONNECT]), []);
    assert_eq!(kinds(&[READ, CONNECT]), [DowntimeWrite]);
    assert_eq!(kinds(&[CONNECT]), [DowntimeRead, DowntimeWrite, P99]);
}

#[test]
fn a_limit_broken_on_the_sample_is_broken() {
    let mut log = Log::new(|scenario| {
        scenario.snapshot.production_rows = [("orders".to_owned(), 50_000_000)].into();
        scenario.steps[0].budget = Some(Duration::from_millis(100));
    });
    log.step(0, 2000.0, 500.0, vec![rewrite(490.0)]);
    let outcome = Outcome::from_records(&log.ended());
    assert_eq!((outcome.outcome, outcome.not_judged.len()), (Verdict::Failed, 0));
}

/// Of two shards, the writer of one was not up in the end.
#[test]
fn a_shard_that_was_not_compared_is_told() {
    let mut log = Log::new(|scenario| {
        let writer = scenario.topology.nodes[0].clone();
        let of =
            |shard: u32| crate::scenario::Node { name: format!("a.{shard}"), shard: Some(shard), ..writer.clone() };
        scenario.topology.nodes = vec![of(1), of(2)];
    });
    let schema = vec![crate::outcome::sample::changed(crate::event::ObjectKind::Column, "orders.note", "orders")];
    let diff = Box::new(crate::event::DiffResult { schema, tables_compared: 2, ..Default::default() });
    log.at(9000.0, Event::Compared { node: "a.1".into(), diff, elapsed_ms: 5.0 });
    let outcome = Outcome::from_records(&log.ended());
    let told: Vec<_> = outcome.not_rehearsed.iter().filter(|gap| gap.kind == Gap::Comparison).collect();
    let [gap] = &told[..] else { panic!("{told:?}") };
    assert_eq!(gap.what, "schema and data before and after were not compared on a.2");
    assert_eq!(outcome.diff.expect("the other was compared").schema[0].nodes, ["a.1"]);
}

#[test]
fn what_was_not_rehearsed() {
    let kinds = |log: &mut Log| {
        let outcome = Outcome::from_records(&log.ended());
        outcome.not_rehearsed.iter().map(|gap| gap.kind).collect::<Vec<_>>()
    };
    let mut log = Log::new(|scenario| scenario.probes.open_transaction = Some(Duration::from_secs(5)));
    log.step(0, 2000.0, 1.0, vec![]);
    log.compared(vec![], vec![]);
    assert_eq!(kinds(&mut log), [Gap::Workload, Gap::LongReader]);
    for table in ["orders", "public.users"] {
        log.at(1500.0, Event::ReaderOpened { table: table.into(), for_ms: 5000.0 });
    }
    assert_eq!(kinds(&mut log), [Gap::Workload]);
    let mut log = Log::new(|scenario| {
        scenario.probes.run_as = None;
        scenario.steps[0].undo = vec![step("back")];
        scenario.snapshot.production_rows = [("orders".to_owned(), 50_000_000)].into();
        scenario.topology.nodes[0].version = "16".into();
    });
    log.at(11.0, crate::outcome::sample::ready([("fsync".to_owned(), "off".to_owned())].into()));
    log.at(50.0, crate::outcome::sample::restored(&[("coupons", 0)]));
    let Event::RunStarted { notes, .. } = &mut log.records[0].event else { panic!("a log begins with its start") };
    notes.push("the lab lies in memory".into());
    log.step_ending(0, 2000.0, 1.0, vec![], StepResult::Skipped, None);
    use Gap::{
        Clone, Comparison, EmptyTable, LongReader, RelaxedSettings, Role, SampledTable, StepNotRun, Undo, Version,
        Workload,
    };
    let all = [
        StepNotRun,
        SampledTable,
        EmptyTable,
        Workload,
        LongReader,
        Role,
        RelaxedSettings,
        Version,
        Clone,
        Undo,
        Comparison,
    ];
    assert_eq!(kinds(&mut log), all);
}

#[test]
fn what_nobody_looked_at() {
    let gaps = |log: &mut Log, kind: Gap| {
        let outcome = Outcome::from_records(&log.ended());
        let of_kind = outcome.not_rehearsed.into_iter().filter(|gap| gap.kind == kind);
        of_kind.map(|gap| gap.what).collect::<Vec<_>>()
    };
    let mut log = Log::new(|scenario| scenario.steps[0].action = program("migrate"));
    log.step(0, 2000.0, 1.0, vec![statement("SELECT 1", 1.0)]);
    let network = "change ran a program with this machine's network and files: nothing kept them from servers other than the lab's";
    assert_eq!(gaps(&mut log, Gap::Network), [network]);
    assert_eq!(gaps(&mut Log::new(|_| {}), Gap::Network), [""; 0]);

    let far = NotCompared { table: "public.far".into(), reason: "its rows lie on another server".into() };
    let diff = DiffResult { not_compared: vec![far], ..DiffResult::default() };
    let mut log = Log::new(|_| {});
    log.at(9000.0, Event::Compared { node: "primary".into(), diff: Box::new(diff), elapsed_ms: 5.0 });
    assert_eq!(gaps(&mut log, Gap::Comparison), ["rows not compared of far: its rows lie on another server"]);

    let mut log = Log::new(|scenario| scenario.probes.auto = false);
    assert_eq!(gaps(&mut log, Gap::NotProbed), ["no probe for orders and users: `auto = false` in `[probes]`"]);

    // One that was down to the end is no gap: it says what it saw.
    let mut log = Log::new(|scenario| scenario.expect.retired = vec!["users".into()]);
    log.step(0, 2000.0, 1.0, vec![]);
    log.at(3000.0, Event::PhaseStarted { phase: Phase::After });
    log.down(INSERT, 2000.0, 2500.0, |down| down.to_the_end = true);
    for probe in [READ, UPDATE, CONNECT] {
        log.at(4600.0, summary(probe, Phase::After, None, &[(5, 1.0)]));
    }
    log.at(4700.0, Event::PhaseEnded { phase: Phase::After, elapsed_ms: 1700.0 });
    assert_eq!(gaps(&mut log, Gap::NotProbed), ["no probe for orders delete: it had no answer after the last step"]);
}

#[test]
fn whole_runs() {
    let lines = runs::all().into_iter().map(|(name, records)| {
        let outcome = Outcome::from_records(&records);
        let codes: Vec<&str> = outcome.findings.iter().map(|finding| finding.code.name()).collect();
        format!("{name}: {}, exit {}: {}", outcome.outcome.name(), outcome.exit_code, codes.join(" "))
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    passed: passed, exit 0: not-probed
    failed: failed, exit 1: budget-exceeded downtime-exceeded downtime-exceeded write-probe-failed read-probe-failed default-lost not-null-lost constraint-lost constraint-lost index-lost privilege-lost lock-without-timeout not-probed
    not-judged: passed_in_part, exit 0: table-rewritten lock-without-timeout not-probed
    inconclusive: inconclusive, exit 3: step-failed not-probed
    killed: inconclusive, exit 3: not-probed
    ");
}

#[test]
fn the_schema_describes_the_report() {
    let schema = serde_json::to_value(super::super::json_schema()).expect("a schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for (name, records) in runs::all() {
        let report = serde_json::to_value(Outcome::from_records(&records)).expect("an outcome is JSON");
        let errors: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}
