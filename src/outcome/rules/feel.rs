//! What users felt: downtime, refused operations, slow answers, lock waits, and what could not be probed.

use std::collections::BTreeMap;

use super::finding;
use crate::event::{Operation, Owner, Phase, Session, StepRole};
use crate::finding::{Code, Finding};
use crate::outcome::downtime::{self, Judged, Regime, Side, during, is_connection_error, regimes};
use crate::outcome::facts::{Facts, StepRun, WaitFacts, WindowFacts};
use crate::outcome::model::Because;
use crate::outcome::words::{bare, count, duration, list, moment, one_line};
use crate::scenario::ProbeKind;
use crate::stats::{Interval, Latencies, covered_ms};

/// At most this much of a statement stands in a finding.
const SQL: usize = 80;

pub fn findings(facts: &Facts<'_>, judged: &[Judged<'_, '_>]) -> Vec<Finding> {
    let regimes = regimes(facts);
    let mut found = Vec::new();
    for regime in &regimes {
        found.extend(Side::BOTH.into_iter().filter_map(|side| too_long_down(facts, judged, side, regime)));
        found.extend(slow(facts, regime));
        found.extend(waited(facts, regime));
    }
    found.extend(refused(facts, judged));
    found.extend(not_probed(facts));
    found
}

fn too_long_down(facts: &Facts<'_>, judged: &[Judged<'_, '_>], side: Side, regime: &Regime<'_, '_>) -> Option<Finding> {
    let limit_ms = side.limit_ms(regime.limits)?;
    let counted: Vec<(&Judged<'_, '_>, Interval)> = downtime::counted(facts, judged, side, regime).collect();
    let total_ms = covered_ms(counted.iter().map(|(_, cut)| *cut));
    // What fails when the probes end goes on failing: a limit was not kept because nobody looked for longer.
    let unending = counted.iter().any(|(window, _)| window.because == Because::Error && window.facts.to_the_end());
    if total_ms <= limit_ms && !unending {
        return None;
    }
    let (longest, cut) = counted.iter().max_by(|a, b| a.1.length_ms().total_cmp(&b.1.length_ms()))?;
    let mut condition = format!(
        "{} were down for {} in all{}, and the limit is {}: {}; the longest for {} from {}",
        side.words(),
        duration(total_ms),
        if unending { " and still are" } else { "" },
        duration(limit_ms),
        list(&tables_and_operations(facts, counted.iter().map(|(window, _)| *window)), 4),
        duration(cut.length_ms()),
        moment(cut.start_ms),
    );
    if longest.facts.to_the_end() {
        condition.push_str(", to the end");
    }
    condition.push_str(&cause(facts, longest));
    let mut found =
        finding(Code::DowntimeExceeded, condition).resting_on(counted.iter().map(|(window, _)| window.facts.seq));
    if longest.because == Because::Error {
        // No gentler lock helps against an error.
        found = found.instead("mend what makes the operation fail, in the same transaction that breaks it");
    }
    let run = match longest.because {
        Because::Error => culprit(facts, longest.facts).1,
        _ => during(facts, longest.facts),
    };
    Some(match run {
        Some(run) => found.at(run),
        None => found,
    })
}

/// "orders (insert, update)", by table.
fn tables_and_operations<'j, 'a: 'j>(
    facts: &Facts<'_>,
    windows: impl Iterator<Item = &'j Judged<'j, 'a>>,
) -> Vec<String> {
    let mut tables: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
    for window in windows {
        let Some(probe) = facts.probes.get(&window.facts.probe) else { continue };
        let table = match probe.spec.operation {
            Operation::Connect => "new connections",
            _ => probe.spec.table.as_deref().map_or(probe.spec.name.as_str(), bare),
        };
        tables.entry(table).or_default().push(probe.spec.operation);
    }
    tables
        .into_iter()
        .map(|(table, mut operations)| {
            operations.sort();
            operations.dedup();
            match operations.as_slice() {
                [Operation::Connect | Operation::Custom] => table.into(),
                _ => format!(
                    "{table} ({})",
                    operations.iter().map(|operation| operation.name()).collect::<Vec<_>>().join(", ")
                ),
            }
        })
        .collect()
}

/// ", while `ALTER …` of step "widen" ran; behind step "widen", which waited for …".
fn cause(facts: &Facts<'_>, window: &Judged<'_, '_>) -> String {
    let mut text = String::new();
    if window.because == Because::Error {
        text = culprit(facts, window.facts).0;
    } else if let Some((run, statement)) = downtime::holder(facts, window) {
        let sql = one_line(&statement.sql, SQL);
        let running = running(run, window.facts.interval.start_ms).is_some_and(|sql| sql == statement.sql);
        text = if running {
            format!(", while `{sql}` of step \"{}\" ran", run.name)
        } else {
            format!(", behind the lock of `{sql}` in step \"{}\"", run.name)
        };
    } else if let Some(run) = during(facts, window.facts) {
        let began = window.facts.interval.start_ms;
        text.push_str(&match running(run, began) {
            Some(sql) => format!(", while `{}` of step \"{}\" ran", one_line(sql, SQL), run.name),
            None => format!(", during step \"{}\"", run.name),
        });
    }
    if let Some(error) = window.facts.error().filter(|_| window.facts.refused()) {
        text.push_str(&format!(": {} ({})", error.message, error.code));
    }
    let mut blockers: Vec<String> = Vec::new();
    for session in downtime::blocked_by(facts, window.facts) {
        let name = facts.owner(&session.owner);
        if !blockers.contains(&name) {
            blockers.push(name);
        }
    }
    if !blockers.is_empty() {
        text.push_str(&format!("; blocked by {}", list(&blockers, 3)));
    }
    text
}

fn running<'a>(run: &StepRun<'a>, at_ms: f64) -> Option<&'a str> {
    let at = Interval::new(at_ms, at_ms);
    let (_, statement) = run.statements.iter().find(|(_, statement)| {
        Interval::new(statement.started_ms, statement.started_ms + statement.elapsed_ms).overlaps(at)
    })?;
    Some(&statement.sql)
}

fn refused(facts: &Facts<'_>, judged: &[Judged<'_, '_>]) -> Vec<Finding> {
    let mut groups: BTreeMap<(Code, &str), Vec<&Judged<'_, '_>>> = BTreeMap::new();
    for window in judged {
        let Some(probe) = facts.probes.get(&window.facts.probe) else { continue };
        let felt = !matches!(window.because, Because::BeforePlan | Because::Retired);
        if !felt || !window.facts.refused() || excused(facts, window, probe.spec.kind) {
            continue;
        }
        let code = match probe.spec.kind {
            ProbeKind::Read => Code::ReadProbeFailed,
            ProbeKind::Write => Code::WriteProbeFailed,
            ProbeKind::Connect => Code::ConnectProbeFailed,
        };
        let about = probe.spec.table.as_deref().map_or(probe.spec.name.as_str(), bare);
        groups.entry((code, about)).or_default().push(window);
    }
    groups.into_iter().map(|((code, about), windows)| refusal(facts, code, about, &windows)).collect()
}

/// Lost connections are downtime only, where they were asked for and ended.
fn excused(facts: &Facts<'_>, window: &Judged<'_, '_>, kind: ProbeKind) -> bool {
    let lost = window.facts.error().is_none_or(|error| is_connection_error(&error.code));
    if !lost || window.facts.to_the_end() {
        return false;
    }
    if window.because == Because::Restart {
        return true;
    }
    let allowed = |run: &StepRun<'_>| {
        let limits = facts.planned(run).and_then(|planned| planned.limits.as_ref());
        limits.is_some_and(|limits| {
            Side::BOTH
                .into_iter()
                .filter(|side| side.covers(kind))
                .all(|side| side.limit_ms(limits).is_some_and(|limit_ms| limit_ms > 0.0))
        })
    };
    facts.felt().any(|run| allowed(run) && run.interval(facts.end_ms).overlaps(window.facts.interval))
}

fn refusal(facts: &Facts<'_>, code: Code, about: &str, windows: &[&Judged<'_, '_>]) -> Finding {
    let first = windows.iter().min_by(|a, b| a.facts.interval.start_ms.total_cmp(&b.facts.interval.start_ms));
    let first = first.expect("a group has a window");
    let mut operations: Vec<Operation> =
        windows.iter().filter_map(|window| Some(facts.probes.get(&window.facts.probe)?.spec.operation)).collect();
    operations.sort();
    operations.dedup();
    let named: Vec<&str> = operations.iter().map(|operation| operation.name()).collect();
    let subject = match operations.as_slice() {
        [Operation::Connect] => "new connections".to_owned(),
        [Operation::Custom] => format!("probe \"{about}\""),
        _ => format!("{} on {about}", list(&named, 4)),
    };
    let began = first.facts.refused_ms();
    let (place, run) = culprit(facts, first.facts);
    let total_ms = covered_ms(windows.iter().map(|window| window.facts.interval));
    let forever = if windows.iter().any(|window| window.facts.to_the_end()) { ", to the end" } else { "" };
    let error = match first.facts.error() {
        Some(error) => format!(": {} ({})", error.message, error.code),
        None => String::new(),
    };
    let condition =
        format!("{subject} failed from {}{place}{error}; down for {}{forever}", moment(began), duration(total_ms));
    let statement = run.and_then(|run| {
        run.statements.iter().rev().find(|(_, statement)| statement.started_ms + statement.elapsed_ms <= began)
    });
    let evidence = windows.iter().map(|window| window.facts.seq).chain(statement.map(|(seq, _)| *seq));
    let found = finding(code, condition).resting_on(evidence);
    match run {
        Some(run) => found.at(run),
        None => found,
    }
}

/// What a failing operation is put down to, in words, and its step: the statement that ended last before the first refusal was
/// answered, however long the operation had waited until then.
fn culprit<'f, 'a>(facts: &'f Facts<'a>, window: &WindowFacts<'_>) -> (String, Option<&'f StepRun<'a>>) {
    let at_ms = window.refused_ms();
    let ran = facts.felt().filter(|run| run.started_ms <= at_ms).last();
    let ended = facts.felt().flat_map(|run| run.statements.iter().map(move |(_, statement)| (run, *statement)));
    let ended = ended
        .map(|(run, statement)| (run, statement, statement.started_ms + statement.elapsed_ms))
        .filter(|(_, _, end_ms)| *end_ms <= at_ms)
        .max_by(|a, b| a.2.total_cmp(&b.2));
    match (ended, ran) {
        (Some((run, statement, _)), _) => {
            (format!(", after `{}` of step \"{}\"", one_line(&statement.sql, SQL), run.name), Some(run))
        }
        (None, Some(run)) => (format!(", in step \"{}\"", run.name), Some(run)),
        (None, None) => (String::new(), None),
    }
}

/// A probe above the limit.
struct Slow {
    operation: Operation,
    p99_ms: f64,
    times: u64,
    evidence: Vec<u64>,
}

/// Latencies of the plan under one regime, one finding a table and kind.
fn slow(facts: &Facts<'_>, regime: &Regime<'_, '_>) -> Vec<Finding> {
    let Some(limit) = regime.limits.p99 else { return Vec::new() };
    let limit_ms = limit.as_secs_f64() * 1e3;
    let mut probes: BTreeMap<u32, (Latencies, Vec<u64>)> = BTreeMap::new();
    for (seq, summary) in &facts.summaries {
        if summary.phase != Phase::Plan || !governed(facts, regime, summary.step) {
            continue;
        }
        // A histogram that cannot be read is noted once, where the outcome is put together.
        let Ok(latencies) = Latencies::decode(&summary.histogram) else { continue };
        let (sum, seqs) = probes.entry(summary.probe).or_default();
        sum.add(&latencies);
        seqs.push(*seq);
    }
    let mut groups: BTreeMap<(&str, ProbeKind), Vec<Slow>> = BTreeMap::new();
    for (id, (latencies, seqs)) in probes {
        let Some(probe) = facts.probes.get(&id) else { continue };
        let p99_ms = latencies.percentile_ms(99.0);
        if p99_ms > limit_ms && !probe.spec.table.as_deref().is_some_and(|table| facts.retired(table)) {
            let about = probe.spec.table.as_deref().map_or(probe.spec.name.as_str(), bare);
            let times = latencies.count();
            let slow = Slow { operation: probe.spec.operation, p99_ms, times, evidence: seqs };
            groups.entry((about, probe.spec.kind)).or_default().push(slow);
        }
    }
    let found = groups.into_iter().map(|((about, _), slow)| {
        let operations: Vec<String> = slow
            .iter()
            .map(|slow| {
                let times = count(slow.times, "operation");
                format!("{} {} of {times}", slow.operation.name(), duration(slow.p99_ms))
            })
            .collect();
        let condition = format!(
            "the 99th percentile on {about} was above the limit of {}: {}",
            duration(limit_ms),
            list(&operations, 4)
        );
        let found =
            finding(Code::LatencyExceeded, condition).resting_on(slow.into_iter().flat_map(|slow| slow.evidence));
        match regime.own {
            Some(run) => found.at(run),
            None => found,
        }
    });
    found.collect()
}

fn governed(facts: &Facts<'_>, regime: &Regime<'_, '_>, step: Option<usize>) -> bool {
    match step.and_then(|step| facts.run_of(step)) {
        Some(run) => regime.governs(run, facts),
        None => regime.own.is_none(),
    }
}

/// Lock waits under one regime, one finding a relation.
fn waited(facts: &Facts<'_>, regime: &Regime<'_, '_>) -> Vec<Finding> {
    let (Some(limit), Some(began)) = (regime.limits.lock_wait, facts.plan_started_ms()) else { return Vec::new() };
    let limit_ms = limit.as_secs_f64() * 1e3;
    let mut relations: BTreeMap<&str, Vec<(&WaitFacts<'_>, f64)>> = BTreeMap::new();
    for wait in facts.waits.iter().filter(|wait| wait.started_ms >= began) {
        let relation = wait.relation.unwrap_or("a lock on no table");
        let is_user = |session: &Session| session.owner.is_user();
        let among_users = is_user(wait.waiter) && !wait.blockers.is_empty() && wait.blockers.iter().all(is_user);
        if among_users || matches!(wait.waiter.owner, Owner::Server { .. }) || facts.retired(relation) {
            continue;
        }
        let end_ms = wait.elapsed_ms.map_or(facts.end_ms, |elapsed| wait.started_ms + elapsed);
        let under: f64 = regime.cut(Interval::new(wait.started_ms, end_ms)).into_iter().map(Interval::length_ms).sum();
        if under > limit_ms {
            relations.entry(bare(relation)).or_default().push((wait, under));
        }
    }
    let found = relations.into_iter().map(|(relation, waits)| {
        let (longest, waited_ms) = waits.iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("a relation has a wait");
        let blockers: Vec<String> = longest.blockers.iter().map(|session| facts.owner(&session.owner)).collect();
        let behind = if blockers.is_empty() { String::new() } else { format!(" behind {}", list(&blockers, 3)) };
        let condition = format!(
            "{} waited {} for {} on {relation}{behind}, and the limit is {}{}",
            facts.owner(&longest.waiter.owner),
            duration(*waited_ms),
            longest.mode,
            duration(limit_ms),
            if waits.len() > 1 {
                format!("; {} in all", count(waits.len() as u64, "such wait"))
            } else {
                String::new()
            },
        );
        let found = finding(Code::LockWaitExceeded, condition).resting_on(waits.iter().map(|(wait, _)| wait.seq));
        let step = facts.felt().filter(|run| run.started_ms <= longest.started_ms).last();
        match step.filter(|run| run.role != StepRole::Setup) {
            Some(run) => found.at(run),
            None => found,
        }
    });
    found.collect()
}

/// An operation, or all of them, why it is not probed, and the event that says so.
type Gap<'a> = (Option<Operation>, &'a str, u64);

/// One finding a table, with every operation and reason.
fn not_probed(facts: &Facts<'_>) -> Vec<Finding> {
    let mut tables: BTreeMap<&str, Vec<Gap<'_>>> = BTreeMap::new();
    for (seq, none) in &facts.not_probed {
        tables.entry(bare(&none.table)).or_default().push((none.operation, &none.reason, *seq));
    }
    for probe in facts.probes.values() {
        if let Some((seq, reason)) = probe.dropped {
            let about = probe.spec.table.as_deref().map_or(probe.spec.name.as_str(), bare);
            tables.entry(about).or_default().push((Some(probe.spec.operation), reason, seq));
        }
    }
    tables
        .into_iter()
        .filter(|(table, _)| !facts.retired(table))
        .map(|(table, gaps)| {
            let reasons = by_reason(&gaps);
            let whole = gaps.iter().any(|(operation, ..)| operation.is_none());
            let subject = if whole { format!("{table} was not probed") } else { format!("{table} was probed in part") };
            finding(Code::NotProbed, format!("{subject}: {}", reasons.join("; ")))
                .resting_on(gaps.iter().map(|(.., seq)| *seq))
        })
        .collect()
}

/// "no insert, update: reason", operations of one reason together.
fn by_reason(gaps: &[Gap<'_>]) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (operation, reason, _) in gaps {
        let names = match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, names)) => names,
            None => &mut reasons.push_mut((reason, Vec::new())).1,
        };
        names.extend(operation.map(Operation::name));
    }
    reasons
        .into_iter()
        .map(
            |(reason, names)| {
                if names.is_empty() { reason.into() } else { format!("no {} ({reason})", list(&names, 5)) }
            },
        )
        .collect()
}
