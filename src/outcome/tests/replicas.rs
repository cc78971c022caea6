//! Rules over what was seen of replication.

use std::time::Duration;

use super::{check, codes, only, verdict};
use crate::event::{Event, LagSample, Phase};
use crate::finding::Code;
use crate::outcome::sample::{Log, rewrite};
use crate::outcome::{LimitKind, Outcome, Verdict};
use crate::scenario::{Limits, Scenario, Subscribes};

/// A standby of the node, at most a second behind.
fn second(scenario: &mut Scenario) {
    let mut standby = scenario.topology.nodes[0].clone();
    standby.replicates = Some(std::mem::replace(&mut standby.name, "standby".into()));
    scenario.topology.nodes.push(standby);
    scenario.limits.lag = Some(Duration::from_secs(1));
}

fn behind(log: &mut Log, at_ms: f64, max_ms: f64) {
    let since_ms = Some(at_ms - max_ms);
    let sample = LagSample { node: "standby".into(), max_ms, since_ms, unmeasured_ms: 120.0, behind_bytes: Some(4096) };
    let samples = vec![sample];
    log.at(at_ms, Event::Lag { samples });
}

fn broken(log: &mut Log, at_ms: f64) {
    log.at(
        at_ms,
        Event::ReplicationBroken {
            node: "standby".into(),
            what: "its replay is paused".into(),
            behind_bytes: Some(5000),
            log: vec!["x WARNING:  hot standby is not possible".into(), "x DETAIL:  too few".into()],
        },
    );
}

#[test]
fn lag_is_held_against_the_limit_from_the_plan_on() {
    let mut log = Log::new(second);
    behind(&mut log, 2500.0, 900.0);
    check(&mut log, &[]);
    let mut log = Log::new(second);
    log.step(0, 2000.0, 1500.0, vec![rewrite(1500.0)]);
    behind(&mut log, 3600.0, 1100.0);
    behind(&mut log, 4100.0, 1600.0);
    let found = only(&mut log, Code::LagExceeded);
    assert_eq!(
        found.condition,
        "standby was up to 1.6 s behind, at +4.10 s, and the limit is 1 s; it fell behind in step \"change\""
    );
    assert_eq!((found.step.as_deref(), found.node.as_deref()), (Some("change"), Some("standby")));
    assert_eq!(found.evidence.len(), 2);
    // What was behind before the plan began is nothing of the release's.
    let mut log = Log::new(second);
    behind(&mut log, 1500.0, 1400.0);
    check(&mut log, &[]);
}

#[test]
fn a_steps_own_limit_holds_while_it_runs() {
    let own = |lag_ms| {
        let mut log = Log::new(|scenario| {
            second(scenario);
            let lag = Some(Duration::from_millis(lag_ms));
            scenario.steps[0].limits = Some(Limits { lag, ..Limits::default() });
        });
        log.step(0, 2000.0, 3000.0, Vec::new());
        behind(&mut log, 4900.0, 2000.0);
        log
    };
    check(&mut own(2500), &[]);
    check(&mut own(1500), &["lag-exceeded"]);
}

#[test]
fn a_standstill_is_told_with_its_beginning_and_its_log() {
    let mut log = Log::new(second);
    log.step(0, 2000.0, 500.0, vec![rewrite(500.0)]);
    behind(&mut log, 9000.0, 6800.0);
    broken(&mut log, 9500.0);
    let found = only(&mut log, Code::ReplicationBroken);
    assert_eq!(
        found.condition,
        "standby has replayed nothing since +2.20 s: its replay is paused; 5 kB of log are missing there; its log says: \
         WARNING: hot standby is not possible"
    );
    assert_eq!((found.step.as_deref(), found.node.as_deref()), (Some("change"), Some("standby")));
    // The lag of a replica that stands still is that.
    assert!(!codes(&mut log).contains(&"lag-exceeded"));
    assert_eq!(verdict(&mut log), (Verdict::Failed, 1));
}

#[test]
fn a_subscriber_applies_and_may_hold_other_rows() {
    let mut log = Log::new(|scenario| {
        second(scenario);
        let (to, publication) = ("primary".to_owned(), "feed".to_owned());
        scenario.topology.nodes[1].replicates = None;
        scenario.topology.nodes[1].subscribes = Some(Subscribes { to, publication, tables: Vec::new() });
    });
    log.step(0, 2000.0, 500.0, vec![rewrite(500.0)]);
    behind(&mut log, 9000.0, 6800.0);
    broken(&mut log, 9500.0);
    let found = only(&mut log, Code::ReplicationBroken);
    assert!(found.condition.starts_with("standby has applied nothing since +2.20 s: "), "{}", found.condition);
    let outcome = Outcome::from_records(&log.ended());
    let lag = &outcome.lag[0];
    assert_eq!((lag.node.as_str(), lag.from.as_str()), ("standby", "primary"));
    let told = "what standby held in the end was not compared with primary: a `compare` step does";
    assert!(outcome.not_rehearsed.iter().any(|gap| gap.what == told), "{:?}", outcome.not_rehearsed);
}

#[test]
fn figures_of_a_replica() {
    let mut log = Log::new(second);
    behind(&mut log, 500.0, 3000.0);
    behind(&mut log, 2500.0, 250.0);
    log.at(3000.0, Event::PhaseEnded { phase: Phase::Plan, elapsed_ms: 2000.0 });
    log.at(3100.0, Event::CaughtUp { node: "standby".into(), elapsed_ms: 40.0 });
    let outcome = Outcome::from_records(&log.ended());
    let lag = &outcome.lag[0];
    assert_eq!((lag.node.as_str(), lag.from.as_str(), lag.max_ms), ("standby", "primary", 250.0));
    assert_eq!((lag.behind_bytes_max, lag.limit_ms, lag.caught_up_ms), (Some(4096), Some(1000.0), Some(40.0)));
    assert_eq!(lag.furthest(), "250 ms of 1 s allowed");
    assert_eq!(lag.in_the_end(), "had everything 40 ms after the plan");
    assert!(!lag.is_bad());
}

#[test]
fn lag_that_nobody_measured_is_not_judged() {
    let check = |unmeasured_ms, expected: &[LimitKind]| {
        let mut log = Log::new(second);
        let node = "standby".to_owned();
        let sample = LagSample { node, max_ms: 0.0, since_ms: None, unmeasured_ms, behind_bytes: None };
        log.at(9000.0, Event::Lag { samples: vec![sample] });
        log.at(9500.0, Event::PhaseEnded { phase: Phase::Plan, elapsed_ms: 8500.0 });
        let outcome = Outcome::from_records(&log.ended());
        let open: Vec<_> = outcome.not_judged.iter().map(|open| open.limit).collect();
        assert_eq!(open, expected);
    };
    check(500.0, &[]);
    check(5000.0, &[LimitKind::Lag]);
}

#[test]
fn lag_across_a_step_with_other_limits_is_one_lag() {
    let mut log = Log::new(|scenario| {
        second(scenario);
        scenario.steps[0].limits = Some(Limits::default());
    });
    log.step(0, 2000.0, 2000.0, Vec::new());
    behind(&mut log, 4100.0, 1200.0);
    check(&mut log, &["lag-exceeded"]);
}

#[test]
fn lag_on_a_sample_is_not_production_s() {
    let mut log = Log::new(|scenario| {
        second(scenario);
        scenario.snapshot.production_rows.insert("orders".into(), 1_000_000);
    });
    log.step(0, 2000.0, 500.0, vec![rewrite(500.0)]);
    behind(&mut log, 2600.0, 300.0);
    let outcome = Outcome::from_records(&log.ended());
    let open: Vec<_> = outcome.not_judged.iter().map(|open| (open.limit, open.measured_ms)).collect();
    assert_eq!(open, [(LimitKind::Lag, 300.0)]);
    assert_eq!(outcome.outcome, Verdict::PassedInPart);
}
