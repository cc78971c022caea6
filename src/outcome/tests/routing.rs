//! Users sent elsewhere, and clients that stay where they were.

use super::{check, only};
use crate::event::{DownCause, Event, Owner, StepError, StepResult, StepRole};
use crate::finding::Code;
use crate::outcome::Outcome;
use crate::outcome::sample::{INSERT, Log, rewrite, session, sql_error, step};
use crate::scenario::{Address, EngineKind, Node, Routing, Scenario};

/// A pair: the plan's first step is on the side that is taken out, the second on the other.
fn pair(scenario: &mut Scenario) {
    let primary = scenario.topology.nodes[0].clone();
    scenario.topology.engine = EngineKind::Mariadb;
    scenario.topology.nodes = vec![
        Node { peers: vec!["b".into()], ..primary.clone() },
        Node { name: "b".into(), peers: vec![primary.name.clone()], ..primary },
    ];
    scenario.steps.push(step("then"));
}

fn out(log: &Log, node: &str) -> Event {
    let Event::RunStarted { scenario, .. } = &log.records[0].event else { panic!("a log begins with its start") };
    let mut routing = Routing::of(&scenario.topology);
    routing.take_out(&[node.to_owned()]).expect("the other is in");
    Event::Routed { step: 0, role: StepRole::Plan, routing }
}

/// What a side that is out holds locked keeps nobody up; what the other does.
#[test]
fn a_lock_counts_where_users_are() {
    let held_up = |node: &str| {
        let mut log = Log::new(pair);
        let routed = out(&log, node);
        log.at(1500.0, routed);
        log.step(0, 2000.0, 1000.0, vec![rewrite(1000.0)]);
        log.down(INSERT, 2100.0, 800.0, |down| down.cause = DownCause::Late);
        let outcome = Outcome::from_records(&log.ended());
        outcome.downtime.write.total_ms
    };
    // All steps of a log are on its primary.
    assert_eq!(held_up("primary"), 0.0);
    assert_eq!(held_up("b"), 800.0);
}

/// Whoever has a fixed address is held up by what goes on there.
#[test]
fn a_fixed_address_is_where_it_is() {
    let mut log = Log::new(pair);
    let Some(Event::ProbesDerived { probes, .. }) = log
        .records
        .iter_mut()
        .map(|recorded| &mut recorded.event)
        .find(|event| matches!(event, Event::ProbesDerived { .. }))
    else {
        panic!("a log has probes")
    };
    probes[INSERT as usize].on = Address::Node("primary".into());
    let routed = out(&log, "primary");
    log.at(1500.0, routed);
    log.step(0, 2000.0, 1000.0, vec![rewrite(1000.0)]);
    log.down(INSERT, 2100.0, 800.0, |down| down.cause = DownCause::Late);
    assert_eq!(Outcome::from_records(&log.ended()).downtime.write.total_ms, 800.0);
}

#[test]
fn a_client_on_a_side_that_is_out_is_found_once_however_often_it_came() {
    let mut log = Log::new(pair);
    let routed = out(&log, "primary");
    log.at(1500.0, routed);
    log.step(0, 2000.0, 1000.0, Vec::new());
    for at_ms in [2100.0, 2200.0] {
        let session = session(Owner::Other { application: "scales".into() });
        log.at(at_ms, Event::ConnectedToOut { node: "primary".into(), session, user: "app".into() });
    }
    for (at_ms, owner) in
        [(2300.0, Owner::Probe { probe: INSERT }), (2400.0, Owner::Consumer { consumer: "search".into() })]
    {
        let session = session(owner);
        log.at(at_ms, Event::ConnectedToOut { node: "primary".into(), session, user: "app".into() });
    }
    check(&mut log, &["connection-to-disabled-node"]);
    let outcome = Outcome::from_records(&log.ended());
    let told: Vec<_> = outcome.findings.iter().filter(|found| found.code == Code::ConnectionToDisabledNode).collect();
    assert_eq!(told.len(), 3);
    assert!(told[0].condition.starts_with("consumer \"search\" talked to primary"), "{}", told[0].condition);
    assert_eq!(
        told[2].condition,
        "scales as app talked to primary at +2.10 s, during step \"change\", and it was out since +1.50 s; 2 sessions were seen"
    );
    assert!(
        told[1].condition.starts_with("probe \"orders insert\" talked to primary at +2.30 s"),
        "{}",
        told[1].condition
    );
    assert_eq!((told[2].node.as_deref(), told[2].evidence.len()), (Some("primary"), 3));
}

#[test]
fn a_refused_side_is_told_by_itself() {
    let mut log = Log::new(pair);
    let what = "b, which would take its place, does not answer".to_owned();
    let error = StepError { what: what.clone(), sql: None, place: None, exit: None };
    log.at(1900.0, Event::RoutingRefused { step: 0, role: StepRole::Plan, nodes: vec!["primary".into()], what });
    log.step_ending(0, 1800.0, 200.0, Vec::new(), StepResult::Failed, Some(error));
    check(&mut log, &["shard-without-side"]);
    let found = only(&mut log, Code::ShardWithoutSide);
    assert_eq!(
        found.condition,
        "step \"change\" could not take out primary: b, which would take its place, does not answer"
    );
    assert_eq!(found.step.as_deref(), Some("change"));
    // A step that failed for another reason is told as any.
    let mut log = Log::new(pair);
    let error = StepError { what: "no".into(), sql: Some(sql_error("1", "no")), place: None, exit: None };
    log.step_ending(0, 1800.0, 200.0, Vec::new(), StepResult::Failed, Some(error));
    check(&mut log, &["step-failed"]);
}

#[test]
fn reports_say_who_was_out_when() {
    let mut log = Log::new(pair);
    let routed = out(&log, "primary");
    log.at(
        1500.0,
        Event::StepStarted {
            step: 0,
            name: "out".into(),
            node: "primary".into(),
            action: "take_out".into(),
            role: StepRole::Plan,
            statements: None,
        },
    );
    log.at(1510.0, routed);
    let outcome = Outcome::from_records(&log.ended());
    let [change] = &outcome.routing[..] else { panic!("one change: {:?}", outcome.routing) };
    assert_eq!(change.words(), "primary was out, writes went to b");
    assert_eq!((change.step.as_str(), change.from().as_str()), ("out", "+1.51 s"));
    assert_eq!(change.readers, ["b"]);
}
