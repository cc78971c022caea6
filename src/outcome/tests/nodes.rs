//! Steps on several nodes, and nodes compared.

use std::time::Duration;

use super::{check, only};
use crate::event::{
    Change, DataChange, DiffResult, Event, NotCompared, ObjectKind, Property, SchemaChange, Statement, StepError,
    StepResult, StepRole,
};
use crate::finding::Code;
use crate::outcome::sample::nodes::{failed_on_one, on_three};
use crate::outcome::sample::{Log, changed, property, statement};
use crate::outcome::{Outcome, StepState};

#[test]
fn a_step_that_fails_on_one_node_says_which_hold_what() {
    let outcome = Outcome::from_records(&failed_on_one());
    let found = &outcome.findings[0];
    assert_eq!(found.code, Code::StepFailed);
    assert_eq!(
        found.condition,
        "step \"change\" failed after 50 ms: permission denied; it was done on primary, failed on near and did not come to far"
    );
    assert_eq!(found.node.as_deref(), Some("near"));
    let told: Vec<_> =
        outcome.steps.iter().map(|step| (outcome.step_name(step), step.node.as_str(), step.result)).collect();
    assert_eq!(
        told,
        [
            ("change on primary".to_owned(), "primary", StepState::Done),
            ("change on near".to_owned(), "near", StepState::Failed),
            ("change on far".to_owned(), "far", StepState::Skipped),
            ("then".to_owned(), "primary", StepState::NotReached),
        ]
    );
}

/// Two at a time take the time of one, and what a run did not come to is told node by node.
#[test]
fn a_step_on_several_nodes_counts_once() {
    let mut log = Log::new(|scenario| {
        on_three(scenario);
        scenario.limits.window = Some(Duration::from_millis(350));
    });
    // Both began before either ended.
    let (step, role) = (0, StepRole::Plan);
    for node in ["primary", "near"] {
        let (name, action, node) = ("change".to_owned(), "file".to_owned(), node.to_owned());
        log.at(2000.0, Event::StepStarted { step, name, node, action, role, statements: None });
    }
    let ran = |index, node: &str| Event::StatementEnded {
        step,
        role,
        node: node.into(),
        statement: Box::new(Statement { index, ..statement("SELECT 1", 1.0) }),
    };
    log.at(2100.0, ran(0, "near")).at(2150.0, ran(0, "primary")).at(2160.0, ran(1, "primary"));
    for (node, elapsed_ms) in [("primary", 200.0), ("near", 300.0)] {
        let (node, result, error, output, rows) = (node.to_owned(), StepResult::Done, None, None, None);
        log.at(2000.0 + elapsed_ms, Event::StepEnded { step, role, node, result, elapsed_ms, error, output, rows });
    }
    check(&mut log, &[]);
    let outcome = Outcome::from_records(&log.ended());
    assert!((outcome.totals.window_ms - 300.0).abs() < 1e-6, "{}", outcome.totals.window_ms);
    let told: Vec<_> =
        outcome.steps.iter().map(|step| (step.node.as_str(), step.statements.len(), step.result)).collect();
    assert_eq!(
        told,
        [
            ("primary", 2, StepState::Done),
            ("near", 1, StepState::Done),
            ("far", 0, StepState::NotReached),
            ("primary", 0, StepState::NotReached),
        ]
    );
}

#[test]
fn nodes_that_are_not_alike() {
    let compared = |schema, data| {
        let not_compared = vec![NotCompared { table: "log".into(), reason: "it has no key".into() }];
        let diff = Box::new(DiffResult { schema, data, tables_compared: 2, not_compared, ..DiffResult::default() });
        let nodes = ["primary".to_owned(), "near".to_owned()];
        let mut log = Log::new(on_three);
        let (step, role) = (0, StepRole::Plan);
        let failed = if diff.is_equal() { StepResult::Done } else { StepResult::Failed };
        let (name, action, node) = ("change".to_owned(), "compare".to_owned(), "primary".to_owned());
        log.at(2000.0, Event::StepStarted { step, name, node: node.clone(), action, role, statements: None });
        log.at(2090.0, Event::NodesCompared { step, role, nodes, diff, elapsed_ms: 80.0 });
        let what = "primary and near are not alike".to_owned();
        let error = (failed == StepResult::Failed).then_some(StepError { what, sql: None, place: None, exit: None });
        let (elapsed_ms, output, rows) = (100.0, None, None);
        log.at(2100.0, Event::StepEnded { step, role, node, result: failed, elapsed_ms, error, output, rows });
        log
    };
    let mut alike = compared(Vec::new(), Vec::new());
    check(&mut alike, &[]);
    let gaps = Outcome::from_records(&alike.ended()).not_rehearsed;
    let told = "rows not compared between primary and near of log: it has no key";
    assert!(gaps.iter().any(|gap| gap.what == told), "{gaps:?}");
    let column = SchemaChange { change: Change::Removed, ..changed(ObjectKind::Column, "orders.note", "orders") };
    let kind = property("orders.id", Property::Type, Some("integer"), Some("bigint"));
    let rows = DataChange {
        table: "orders".into(),
        rows_before: 10,
        rows_after: 9,
        removed: Some(1),
        changed: Some(2),
        columns: [("note".to_owned(), 2)].into(),
        ..DataChange::default()
    };
    let mut log = compared(vec![column, kind], vec![rows]);
    check(&mut log, &["schema-drift", "rows-differ"]);
    let drift = only(&mut log, Code::SchemaDrift);
    assert_eq!(
        drift.condition,
        "primary and near are not alike: column orders.id differs in its type and column orders.note is on primary alone"
    );
    assert_eq!((drift.step.as_deref(), drift.node.as_deref()), (Some("change"), Some("near")));
    assert_eq!(
        only(&mut log, Code::RowsDiffer).condition,
        "primary and near are not alike: orders has 1 row on primary alone and 2 rows with other values, in note"
    );
}
