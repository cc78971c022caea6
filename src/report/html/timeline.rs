//! The picture of the run: steps, downtime and lock waits as lanes over one axis of time, latency beneath.
//!
//! All shapes stand in milliseconds, so that the page zooms by changing one view box.

use std::collections::BTreeMap;

use super::view::{blocker, state};
use crate::event::{Event, Operation, Recorded, StepRole};
use crate::outcome::words::{bare, count, duration, list, moment, one_line};
use crate::outcome::{Outcome, ProbeKind};

/// Height of a lane and of the latency chart, in pixels.
pub const LANE: f64 = 24.0;
pub const CHART: f64 = 150.0;
/// At most this many lanes of probes and of lock waits; the tables below the picture have them all.
const PROBE_LANES: usize = 40;
const WAIT_LANES: usize = 12;
/// Points of one line of the chart.
const BUCKETS: usize = 480;

pub struct Timeline {
    pub start_ms: f64,
    pub end_ms: f64,
    pub lanes: Vec<Lane>,
    pub height: f64,
    pub ticks: Vec<Tick>,
    pub chart: Chart,
    /// "and 12 more lanes", or nothing.
    pub left_out: String,
}

pub struct Lane {
    pub label: String,
    pub group: &'static str,
    /// First of its group: gets a heading's distance.
    pub first: bool,
    pub top: f64,
    pub bars: Vec<Bar>,
}

pub struct Bar {
    pub x: f64,
    pub width: f64,
    pub class: String,
    /// Read out, and shown at pointer and focus.
    pub text: String,
}

pub struct Tick {
    pub at_ms: f64,
    /// Of the picture's width, in percent.
    pub share: f64,
    pub label: String,
}

pub struct Chart {
    pub lines: Vec<Line>,
    /// Heights of powers of ten, with their labels.
    pub grid: Vec<(f64, String)>,
    /// Where `down_after` lies.
    pub down_after: Option<f64>,
}

pub struct Line {
    pub name: &'static str,
    pub points: String,
}

impl Timeline {
    pub fn of(records: &[Recorded], outcome: &Outcome) -> Timeline {
        let (start_ms, end_ms) = span(outcome);
        let mut lanes = steps(outcome);
        let (probes, more_probes) = probes(outcome, start_ms);
        let (waits, more_waits) = waits(outcome);
        lanes.extend(probes);
        lanes.extend(waits);
        let mut top = 0.0;
        for lane in &mut lanes {
            if lane.first {
                top += 6.0;
            }
            lane.top = top;
            top += LANE;
        }
        let left_out = match more_probes + more_waits {
            0 => String::new(),
            more => format!("and {}", count(more as u64, "more lane")),
        };
        Timeline {
            start_ms,
            end_ms,
            height: top + 6.0,
            ticks: ticks(start_ms, end_ms),
            chart: chart(records, start_ms, end_ms),
            lanes,
            left_out,
        }
    }
}

/// The plan and the probes' run before and after it; the whole run where it has no plan.
fn span(outcome: &Outcome) -> (f64, f64) {
    use crate::event::Phase;
    let began = |phase| outcome.phases.iter().find(|run| run.phase == phase).map(|run| run.started_ms);
    let ended = |phase| {
        let run = outcome.phases.iter().find(|run| run.phase == phase)?;
        Some(run.started_ms + run.elapsed_ms?)
    };
    let plan_ms = began(Phase::Plan).unwrap_or(0.0);
    let end_ms = ended(Phase::After).or_else(|| ended(Phase::Plan)).unwrap_or(outcome.totals.elapsed_ms);
    // A long control run would press the plan to the side.
    let lead_ms = ((end_ms - plan_ms) * 0.12).max(50.0);
    let start_ms = (plan_ms - lead_ms).max(began(Phase::Control).unwrap_or(0.0)).max(0.0);
    (start_ms.floor(), end_ms.max(start_ms + 1.0).ceil())
}

fn steps(outcome: &Outcome) -> Vec<Lane> {
    let felt = outcome.steps.iter().filter(|step| step.role != StepRole::Setup);
    let mut lanes = Vec::new();
    for step in felt {
        let (Some(started_ms), Some(elapsed_ms)) =
            (step.started_ms, step.elapsed_ms.or(step.started_ms.map(|at| outcome.totals.elapsed_ms - at)))
        else {
            continue;
        };
        let name = outcome.step_name(step);
        let name = if step.role == StepRole::Undo { format!("undo: {name}") } else { name };
        let words = step.result.words();
        let mut bars = vec![Bar {
            x: started_ms,
            width: elapsed_ms,
            class: format!("step {}", state(step.result)),
            text: format!("{name}: {words} in {}, from {}", duration(elapsed_ms), moment(started_ms)),
        }];
        bars.extend(step.statements.iter().map(|statement| Bar {
            x: statement.started_ms,
            width: statement.elapsed_ms,
            class: format!("statement {}", statement.work.name()),
            text: format!(
                "{} ({}), {}, from {}",
                one_line(&statement.sql, 160),
                statement.work.name().replace('_', " "),
                duration(statement.elapsed_ms),
                moment(statement.started_ms)
            ),
        }));
        lanes.push(Lane { label: name, group: "Steps", first: lanes.is_empty(), top: 0.0, bars });
    }
    lanes
}

/// A lane a probe that was down or whose table the plan touches; and how many did not find room.
fn probes(outcome: &Outcome, start_ms: f64) -> (Vec<Lane>, usize) {
    let shown = |probe: &&crate::outcome::Probe| {
        probe.downtime.iter().any(|window| window.started_ms + window.elapsed_ms > start_ms)
            || (probe.touched && probe.dropped.is_none())
    };
    let mut probes: Vec<_> = outcome.probes.iter().filter(shown).collect();
    let more = probes.len().saturating_sub(PROBE_LANES);
    // Of too many the ones that were down the longest, in their usual order.
    probes.sort_by(|a, b| b.downtime_ms.total_cmp(&a.downtime_ms).then(a.id.cmp(&b.id)));
    probes.truncate(PROBE_LANES);
    probes.sort_by_key(|probe| probe.id);
    let lanes = probes.into_iter().enumerate().map(|(index, probe)| {
        let bars = probe.downtime.iter().map(|window| {
            let error = window.error.as_ref().map(|error| format!(": {} ({})", error.message, error.code));
            let blockers: Vec<String> = window.blocked_by.iter().map(|session| blocker(outcome, session)).collect();
            let blocked =
                if blockers.is_empty() { String::new() } else { format!("; blocked by {}", list(&blockers, 2)) };
            let class = match (window.counts, window.error.is_some()) {
                (false, _) => "down uncounted",
                (true, true) => "down error",
                (true, false) => "down late",
            };
            Bar {
                x: window.started_ms,
                width: window.elapsed_ms,
                class: class.into(),
                text: format!(
                    "{} down for {} from {}: {}{}{blocked}",
                    probe.name,
                    duration(window.elapsed_ms),
                    moment(window.started_ms),
                    window.because.words(),
                    error.unwrap_or_default()
                ),
            }
        });
        Lane { label: probe.name.clone(), group: "Probes", first: index == 0, top: 0.0, bars: bars.collect() }
    });
    (lanes.collect(), more)
}

/// A lane a relation; and how many did not find room.
fn waits(outcome: &Outcome) -> (Vec<Lane>, usize) {
    let mut relations: BTreeMap<String, Vec<Bar>> = BTreeMap::new();
    for wait in &outcome.locks {
        let elapsed_ms = wait.elapsed_ms.unwrap_or(outcome.totals.elapsed_ms - wait.started_ms);
        let relation = wait.relation.as_deref().map_or("no table", bare).to_owned();
        let blockers: Vec<String> = wait.blockers.iter().map(|session| blocker(outcome, session)).collect();
        let behind = if blockers.is_empty() { String::new() } else { format!(" behind {}", list(&blockers, 2)) };
        let text = format!(
            "{} waited {} for {} on {relation}{behind}, from {}",
            wait.waiter_name,
            duration(elapsed_ms),
            wait.mode,
            moment(wait.started_ms)
        );
        let bar = Bar { x: wait.started_ms, width: elapsed_ms, class: "wait".into(), text };
        relations.entry(relation).or_default().push(bar);
    }
    let more = relations.len().saturating_sub(WAIT_LANES);
    let lanes = relations.into_iter().take(WAIT_LANES).enumerate().map(|(index, (relation, bars))| {
        let label = format!("{relation} ({})", count(bars.len() as u64, "wait"));
        Lane { label, group: "Lock waits", first: index == 0, top: 0.0, bars }
    });
    (lanes.collect(), more)
}

/// Round moments, six to twelve of them.
fn ticks(start_ms: f64, end_ms: f64) -> Vec<Tick> {
    let span_ms = end_ms - start_ms;
    let rough = span_ms / 8.0;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough).unwrap_or(rough);
    let first = (start_ms / step).ceil() as i64;
    let last = (end_ms / step).floor() as i64;
    (first..=last)
        .map(|index| {
            let at_ms = index as f64 * step;
            Tick { at_ms, share: (at_ms - start_ms) / span_ms * 100.0, label: axis_label(at_ms, step) }
        })
        .collect()
}

/// Digits as the distance of the ticks asks for: "5.2 s".
fn axis_label(at_ms: f64, step_ms: f64) -> String {
    let digits = if step_ms >= 1000.0 { 0 } else { (3.0 - step_ms.log10().floor()).clamp(1.0, 3.0) as usize };
    format!("{:.digits$} s", at_ms / 1e3)
}

/// The slowest answer of each moment, by kind, on a scale of powers of ten.
fn chart(records: &[Recorded], start_ms: f64, end_ms: f64) -> Chart {
    let mut kinds: BTreeMap<u32, &'static str> = BTreeMap::new();
    let mut slowest: BTreeMap<&'static str, BTreeMap<usize, f64>> = BTreeMap::new();
    let mut down_after_ms = None;
    let bucket_ms = (end_ms - start_ms) / BUCKETS as f64;
    for recorded in records {
        match &recorded.event {
            Event::RunStarted { scenario, .. } => {
                down_after_ms = Some(scenario.probes.down_after.as_secs_f64() * 1e3);
            }
            Event::ProbesDerived { probes, .. } => {
                kinds.extend(probes.iter().map(|spec| (spec.id, kind(spec.operation, spec.kind))));
            }
            Event::ProbeTick { samples } if (start_ms..=end_ms).contains(&recorded.at_ms) => {
                let bucket = ((recorded.at_ms - start_ms) / bucket_ms) as usize;
                for sample in samples.iter().filter(|sample| sample.count + sample.errors > 0) {
                    let Some(kind) = kinds.get(&sample.probe) else { continue };
                    let worst = slowest.entry(kind).or_default().entry(bucket).or_default();
                    *worst = worst.max(sample.max_ms);
                }
            }
            _ => {}
        }
    }
    let all = || slowest.values().flat_map(BTreeMap::values).copied();
    let low = all().fold(f64::INFINITY, f64::min).clamp(0.01, 1.0).log10().floor();
    let high = all().chain(down_after_ms).fold(1.0, f64::max).log10().ceil().max(low + 1.0);
    let height = |ms: f64| CHART - (ms.max(0.001).log10().clamp(low, high) - low) / (high - low) * CHART;
    let lines = ["write", "read", "connect"].into_iter().filter_map(|name| {
        let points = slowest.get(name)?.iter().map(|(bucket, ms)| {
            let at_ms = start_ms + (*bucket as f64 + 0.5) * bucket_ms;
            format!("{at_ms:.1},{:.1}", height(*ms))
        });
        Some(Line { name, points: points.collect::<Vec<_>>().join(" ") })
    });
    Chart {
        lines: lines.collect(),
        grid: (low as i32..=high as i32)
            .map(|power| (height(10f64.powi(power)), duration(10f64.powi(power))))
            .collect(),
        down_after: down_after_ms.map(height),
    }
}

fn kind(operation: Operation, kind: ProbeKind) -> &'static str {
    match (operation, kind) {
        (Operation::Connect, _) | (_, ProbeKind::Connect) => "connect",
        (_, ProbeKind::Read) => "read",
        (_, ProbeKind::Write) => "write",
    }
}
