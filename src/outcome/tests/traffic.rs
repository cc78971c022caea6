//! Workloads and consumers: what fails since the plan, what is not judged for their sake.

use std::path::PathBuf;

use super::{check, only};
use crate::event::{DataChange, Event, Phase, Place, SqlError, Traffic, WorkloadFailed, WorkloadSummary};
use crate::finding::Code;
use crate::outcome::sample::{Log, PLAN_MS, step};
use crate::outcome::{Gap, Outcome};
use crate::scenario::{Action, Address, ChangedTable, Consumer, During, Invocation, Node, Workload};
use crate::stats::Latencies;

fn log(during: During) -> Log {
    log_on(1, during)
}

/// On so many shards: primary, or a.1 and so on.
fn log_on(shards: u32, during: During) -> Log {
    Log::new(|scenario| {
        if shards > 1 {
            let primary = scenario.topology.nodes[0].clone();
            let node = |shard| Node { name: format!("a.{shard}"), shard: Some(shard), ..primary.clone() };
            scenario.topology.nodes = (1..=shards).map(node).collect();
        }
        let (name, file) = ("checkout".to_owned(), PathBuf::from("checkout.sql"));
        scenario.workloads = vec![Workload { name, file, rate_per_s: 50.0, during, on: Address::Writer }];
        scenario.expect.changed = Some(vec![ChangedTable { table: "users".into(), columns: vec!["name".into()] }]);
        let command = crate::scenario::Command {
            run: Invocation::Shell("consume".into()),
            dir: PathBuf::new(),
            env: Default::default(),
        };
        let (name, of) = ("search".to_owned(), "primary".to_owned());
        scenario.topology.consumers = vec![Consumer { name, of, command, run_as: None }];
        scenario.steps = vec![step("change"), step("restart")];
        scenario.steps[1].action = Action::Restart;
    })
}

fn ran(log: &mut Log, phase: Phase, count: u64, errors: u64) {
    ran_on(log, None, phase, count, errors);
}

fn ran_on(log: &mut Log, shard: Option<u32>, phase: Phase, count: u64, errors: u64) {
    let mut latencies = Latencies::default();
    (0..count).for_each(|nth| latencies.record_us(1000 + nth));
    let histogram = latencies.encode();
    let summary =
        WorkloadSummary { workload: 0, shard, phase, step: None, ran_ms: 2000.0, count, errors, missed: 3, histogram };
    log.at(PLAN_MS, Event::WorkloadSummary(Box::new(summary)));
}

fn failed(log: &mut Log, at_ms: f64, phase: Phase, code: &str, gave_up: bool) {
    failed_on(log, "primary", at_ms, phase, code, gave_up);
}

fn failed_on(log: &mut Log, node: &str, at_ms: f64, phase: Phase, code: &str, gave_up: bool) {
    let error = SqlError {
        code: code.into(),
        message: "column \"note\" does not exist".into(),
        table: None,
        column: None,
        constraint: None,
        position: None,
    };
    let place = Place { file: "checkout.sql".into(), line: 3 };
    let failed = WorkloadFailed { workload: 0, node: node.into(), phase, step: Some(0), place, error, gave_up };
    log.at(at_ms, Event::WorkloadFailed(Box::new(failed)));
}

#[test]
fn what_fails_since_the_plan_is_told_with_moment_code_and_step() {
    let mut log = log(During::All);
    ran(&mut log, Phase::Control, 100, 0);
    log.step(0, 2000.0, 500.0, vec![]);
    failed(&mut log, 2400.0, Phase::Plan, "42703", false);
    failed(&mut log, 3000.0, Phase::After, "42703", false);
    ran(&mut log, Phase::Plan, 90, 30);
    ran(&mut log, Phase::After, 50, 50);
    let finding = only(&mut log, Code::WorkloadFailed);
    assert_eq!(
        finding.condition,
        "workload \"checkout\" failed at checkout.sql:3 from +2.40 s on, during step \"change\": column \"note\" does not \
         exist (42703); 80 of 140 iterations failed while the plan ran and after it"
    );
    assert_eq!((finding.step.as_deref(), finding.evidence.len()), (Some("change"), 2));
}

#[test]
fn what_is_not_of_the_release_is_no_finding() {
    // Before the plan; the same again in it.
    let mut before = log(During::All);
    failed(&mut before, 500.0, Phase::Control, "42703", false);
    failed(&mut before, 2400.0, Phase::Plan, "42703", false);
    check(&mut before, &[]);
    // It only waited, or was undone for others' sake.
    for (code, gave_up) in [("57014", true), ("55P03", false), ("1213", false)] {
        let mut late = log(During::All);
        failed(&mut late, 2400.0, Phase::Plan, code, gave_up);
        check(&mut late, &[]);
    }
    // A connection lost while a step restarted the server, and one lost at another time.
    let mut restarted = log(During::All);
    restarted.step(1, 2000.0, 500.0, vec![]);
    failed(&mut restarted, 2200.0, Phase::Plan, "57P01", false);
    check(&mut restarted, &[]);
    failed(&mut restarted, 9000.0, Phase::After, "57P01", false);
    check(&mut restarted, &["workload-failed"]);
}

/// What failed before the plan in one shard says nothing of the others.
#[test]
fn each_shard_is_judged_by_itself() {
    let mut log = log_on(2, During::All);
    failed_on(&mut log, "a.1", 500.0, Phase::Control, "42703", false);
    let reason = "refused in the control run: no".to_owned();
    log.at(900.0, Event::WorkloadDropped { workload: 0, node: "a.1".into(), reason });
    log.step(0, 2000.0, 500.0, vec![]);
    failed_on(&mut log, "a.2", 2400.0, Phase::Plan, "42703", false);
    ran_on(&mut log, Some(1), Phase::Plan, 10, 10);
    ran_on(&mut log, Some(2), Phase::Plan, 50, 20);
    let outcome = Outcome::from_records(&log.ended());
    let gaps: Vec<&str> =
        outcome.not_rehearsed.iter().filter(|gap| gap.kind == Gap::Workload).map(|gap| &*gap.what).collect();
    assert_eq!(gaps, ["workload \"checkout\" was not run on a.1: refused in the control run: no"]);
    assert_eq!(outcome.workloads[0].dropped.as_deref(), Some("on a.1: refused in the control run: no"));
    let finding = only(&mut log, Code::WorkloadFailed);
    assert_eq!(
        finding.condition,
        "workload \"checkout\" failed on a.2 at checkout.sql:3 from +2.40 s on, during step \"change\": column \"note\" does \
         not exist (42703); 20 of 50 iterations failed while the plan ran and after it"
    );
}

#[test]
fn each_shard_has_its_part_of_the_rate() {
    let mut log = log_on(2, During::All);
    for shard in [1, 2] {
        ran_on(&mut log, Some(shard), Phase::Plan, 50, 0);
        let (by, tables) = (Traffic::Workload { workload: 0 }, vec!["notes".into(), "users".into()]);
        log.at(900.0, Event::TrafficWrites { by, tables, unseen: None });
    }
    let outcome = Outcome::from_records(&log.ended());
    let workload = &outcome.workloads[0];
    assert_eq!((workload.phases[0].reached_per_s, workload.phases[0].count), (50.0, 100));
    assert_eq!(workload.writes, ["notes", "users"]);
}

#[test]
fn what_runs_after_the_plan_alone_is_not_said_to_have_worked_before() {
    let mut log = log(During::After);
    log.step(0, 2000.0, 500.0, vec![]);
    failed(&mut log, 3000.0, Phase::After, "42703", false);
    ran(&mut log, Phase::After, 50, 50);
    let finding = only(&mut log, Code::WorkloadFailed);
    let told = "50 of 50 iterations failed after the plan, and nobody saw whether it would have worked before";
    assert!(finding.condition.ends_with(told), "{}", finding.condition);
    assert!(finding.remedy.contains("runs after the plan alone"), "{}", finding.remedy);
}

#[test]
fn rows_are_not_judged_where_not_all_writes_were_seen() {
    let mut log = log(During::All);
    let change = DataChange { table: "orders".into(), rows_before: 10, rows_after: 11, ..DataChange::default() };
    log.compared(vec![], vec![change]);
    assert_eq!(Outcome::from_records(&log.ended()).findings.len(), 1);
    let (by, unseen) = (Traffic::Workload { workload: 0 }, Some("checkout.sql:2 commits by itself".into()));
    log.at(900.0, Event::TrafficWrites { by, tables: vec!["users".into()], unseen });
    check(&mut log, &[]);
    let outcome = Outcome::from_records(&log.ended());
    let told: Vec<&str> =
        outcome.not_rehearsed.iter().filter(|gap| gap.kind == Gap::Comparison).map(|gap| &*gap.what).collect();
    assert_eq!(
        told,
        ["what changed in the rows of orders was not judged: it could not be seen what else is written by workload \
             \"checkout\" (checkout.sql:2 commits by itself)"]
    );
}

#[test]
fn figures_are_by_phase() {
    let mut log = log(During::All);
    ran(&mut log, Phase::Plan, 60, 1);
    ran(&mut log, Phase::Plan, 20, 0);
    let outcome = Outcome::from_records(&log.ended());
    let [phase] = &outcome.workloads[0].phases[..] else { panic!("one phase") };
    assert_eq!((phase.count, phase.errors, phase.missed), (80, 1, 6));
    assert_eq!(
        phase.words(&outcome.workloads[0]),
        "20/s of 50/s, 6 starts let go by, 1 of 80 failed, p50 1 ms, p99 1.1 ms"
    );
}

#[test]
fn rows_that_traffic_changes_are_not_judged_and_all_others_are() {
    let change = |table: &str| DataChange {
        table: table.into(),
        rows_before: 10,
        rows_after: 11,
        added: Some(1),
        removed: Some(0),
        changed: Some(0),
        ..DataChange::default()
    };
    let mut judged = log(During::All);
    judged.compared(vec![], vec![change("orders"), change("users")]);
    check(&mut judged, &["data-changed-unexpectedly"]);
    let found = Outcome::from_records(&judged.ended()).findings.len();
    assert_eq!(found, 2);

    let mut of_workload = log(During::All);
    let by = Traffic::Workload { workload: 0 };
    of_workload.at(900.0, Event::TrafficWrites { by, tables: vec!["public.orders".into()], unseen: None });
    let by = Traffic::Probe { probe: 1 };
    of_workload.at(900.0, Event::TrafficWrites { by, tables: vec!["users".into()], unseen: None });
    of_workload.compared(vec![], vec![change("orders"), change("users")]);
    check(&mut of_workload, &[]);
    let outcome = Outcome::from_records(&of_workload.ended());
    let told: Vec<&str> =
        outcome.not_rehearsed.iter().filter(|gap| gap.kind == Gap::Comparison).map(|gap| &*gap.what).collect();
    assert_eq!(
        told,
        [
            "what changed in the rows of users was not judged: changed by probe \"orders insert\" as well",
            "what changed in the rows of orders was not judged: changed by workload \"checkout\" as well",
        ]
    );
}

#[test]
fn a_workload_that_did_not_run_is_a_gap() {
    let gaps = |log: &mut Log| {
        let outcome = Outcome::from_records(&log.ended());
        let of = outcome.not_rehearsed.into_iter().filter(|gap| gap.kind == Gap::Workload);
        of.map(|gap| gap.what).collect::<Vec<_>>()
    };
    let none = "no committed traffic of the application ran beside the plan";
    let mut dropped = log(During::All);
    dropped.at(
        900.0,
        Event::WorkloadDropped { workload: 0, node: "primary".into(), reason: "refused in the control run: no".into() },
    );
    assert_eq!(gaps(&mut dropped), [none, "workload \"checkout\" was not run: refused in the control run: no"]);
    let mut silent = log(During::During);
    ran(&mut silent, Phase::Plan, 0, 0);
    assert_eq!(gaps(&mut silent), [none, "workload \"checkout\" came to no iteration while the plan ran"]);
    let mut before = log(During::Before);
    ran(&mut before, Phase::Control, 10, 0);
    assert_eq!(gaps(&mut before), [none]);
    let mut ran_well = log(During::All);
    ran(&mut ran_well, Phase::Plan, 10, 0);
    assert_eq!(gaps(&mut ran_well), [""; 0]);
}

#[test]
fn a_consumer_that_ends_since_the_plan_is_a_finding() {
    let started = |log: &mut Log| {
        let (consumer, node, output) = ("search".into(), "primary".into(), "consumer-search.log".into());
        log.at(900.0, Event::ConsumerStarted { consumer, node, output });
    };
    let ended = |log: &mut Log, at_ms: f64, asked: bool| {
        log.at(at_ms, Event::ConsumerEnded { consumer: "search".into(), asked, exit: Some(3), signal: None });
    };
    let mut asked = log(During::All);
    started(&mut asked);
    ended(&mut asked, 5000.0, true);
    check(&mut asked, &[]);
    let mut before = log(During::All);
    started(&mut before);
    ended(&mut before, 950.0, false);
    check(&mut before, &[]);
    let mut broken = log(During::All);
    started(&mut broken);
    broken.step(0, 2000.0, 500.0, vec![]);
    ended(&mut broken, 2700.0, false);
    let finding = only(&mut broken, Code::ConsumerEnded);
    assert_eq!(
        finding.condition,
        "consumer \"search\" of primary ended with exit status 3 at +2.70 s, after step \"change\"; its output is in \
         consumer-search.log"
    );
    let outcome = Outcome::from_records(&broken.ended());
    assert_eq!(outcome.consumers[0].in_the_end(), "ended by itself after 1.8 s: exit status 3");
}
