//! What each window of downtime is put down to, and how long reads and writes were down in all.

use std::collections::BTreeMap;

use super::facts::{Facts, ProbeFacts, StepRun, WindowFacts};
use super::model::{Because, DowntimeTotals, KindDowntime, LimitKind, TableDowntime, Window};
use super::words::bare;
use crate::event::{Operation, Owner, Session, Statement};
use crate::scenario::{Limits, ProbeKind};
use crate::stats::{Interval, covered_ms, outside};

/// Reads or writes: what limits speak of. A connection counts as both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Read,
    Write,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::Read, Side::Write];

    pub fn covers(self, kind: ProbeKind) -> bool {
        match kind {
            ProbeKind::Read => self == Side::Read,
            ProbeKind::Write => self == Side::Write,
            ProbeKind::Connect => true,
        }
    }

    /// The kind of probe that this side is about.
    pub fn kind(self) -> ProbeKind {
        match self {
            Side::Read => ProbeKind::Read,
            Side::Write => ProbeKind::Write,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Side::Read => "reads",
            Side::Write => "writes",
        }
    }

    pub fn limit_kind(self) -> LimitKind {
        match self {
            Side::Read => LimitKind::DowntimeRead,
            Side::Write => LimitKind::DowntimeWrite,
        }
    }

    /// The limit in milliseconds.
    pub fn limit_ms(self, limits: &Limits) -> Option<f64> {
        let limit = match self {
            Side::Read => limits.downtime_read,
            Side::Write => limits.downtime_write,
        };
        limit.map(|limit| limit.as_secs_f64() * 1e3)
    }

    /// By a lock that was held at that time: a brief one is, about as the statement begins and ends.
    fn stopped_by(self, statement: &Statement, table: Option<&str>, at: Interval) -> bool {
        let end_ms = statement.started_ms + statement.elapsed_ms;
        let about = at.start_ms <= statement.started_ms + ABOUT_MS || at.end_ms >= end_ms - ABOUT_MS;
        statement.locks.iter().filter(|lock| about || !lock.brief).any(|lock| {
            let stops = match self {
                Side::Read => lock.stops_reads,
                Side::Write => lock.stops_writes,
            };
            stops && table.is_none_or(|table| bare(&lock.relation) == bare(table))
        })
    }
}

/// Probes come at their own times, and what queued behind a brief lock is done a moment later.
const ABOUT_MS: f64 = 1000.0;

/// A window and what it is put down to.
pub struct Judged<'f, 'a> {
    pub facts: &'f WindowFacts<'a>,
    pub because: Because,
}

/// The limits in force over some stretches of the run: the scenario's, or a step's own while that step runs.
pub struct Regime<'f, 'a> {
    pub limits: &'a Limits,
    /// The run of the step whose own limits these are.
    pub own: Option<&'f StepRun<'a>>,
    own_spans: Vec<Interval>,
}

impl Regime<'_, '_> {
    /// The parts of an interval over which these limits are in force.
    pub fn cut(&self, interval: Interval) -> Vec<Interval> {
        match self.own {
            Some(_) => self.own_spans.iter().filter_map(|&span| interval.within(span)).collect(),
            None => outside(interval, &self.own_spans),
        }
    }

    /// Whether a step's statements run under these limits.
    pub fn governs(&self, run: &StepRun<'_>, facts: &Facts<'_>) -> bool {
        match self.own {
            Some(own) => own.seq == run.seq,
            None => own_limits(run, facts).is_none(),
        }
    }
}

/// Every regime of the run, the scenario's first.
pub fn regimes<'f, 'a>(facts: &'f Facts<'a>) -> Vec<Regime<'f, 'a>> {
    let own: Vec<(&StepRun<'a>, &'a Limits, Interval)> =
        facts.felt().filter_map(|run| Some((run, own_limits(run, facts)?, run.interval(facts.end_ms)))).collect();
    let scenario =
        Regime { limits: &facts.scenario.limits, own: None, own_spans: own.iter().map(|&(_, _, span)| span).collect() };
    let steps = own.iter().map(|&(run, limits, span)| Regime { limits, own: Some(run), own_spans: vec![span] });
    std::iter::once(scenario).chain(steps).collect()
}

fn own_limits<'a>(run: &StepRun<'_>, facts: &Facts<'a>) -> Option<&'a Limits> {
    facts.planned(run).and_then(|planned| planned.limits.as_ref())
}

/// Puts every window down to something.
pub fn judge<'f, 'a>(facts: &'f Facts<'a>) -> Vec<Judged<'f, 'a>> {
    facts.windows.iter().map(|window| Judged { facts: window, because: because(facts, window) }).collect()
}

fn because(facts: &Facts<'_>, window: &WindowFacts<'_>) -> Because {
    let Some(probe) = facts.probes.get(&window.probe) else { return Because::Unexplained };
    if facts.plan_started_ms().is_none_or(|began| window.interval.start_ms < began) {
        return Because::BeforePlan;
    }
    if probe.spec.table.as_deref().is_some_and(|table| facts.retired(table)) {
        return Because::Retired;
    }
    if restarting(facts, window, probe) {
        return Because::Restart;
    }
    if window.refused() {
        return Because::Error;
    }
    // One user behind another is as it is without a release.
    if blocked_by(facts, window).iter().any(|session| !session.owner.is_user()) {
        return Because::Lock;
    }
    let held_ms = holder_on(facts, window, probe, probe.spec.table.as_deref()).map(|holder| holder.held_ms);
    let lag_ms = window.down.map_or(0.0, |down| down.harness_lag_ms);
    let half_ms = window.interval.length_ms() / 2.0;
    let late = lag_ms > half_ms || lag_ms > facts.scenario.probes.down_after.as_secs_f64() * 1e3;
    match held_ms {
        // While this machine stood still, a lock of a moment is no cause of all of it.
        Some(held_ms) if !late || held_ms >= half_ms => Because::Statement,
        _ if late => Because::Harness,
        _ => Because::Unexplained,
    }
}

/// Who held what the probe waited for: as the window says, else as the observer saw the probe's session wait meanwhile.
pub fn blocked_by<'f>(facts: &'f Facts<'_>, window: &'f WindowFacts<'_>) -> &'f [Session] {
    if !window.blocked_by().is_empty() {
        return window.blocked_by();
    }
    let waits = facts.waits.iter().find(|wait| {
        let end_ms = wait.elapsed_ms.map_or(facts.end_ms, |elapsed| wait.started_ms + elapsed);
        wait.waiter.owner == Owner::Probe { probe: window.probe }
            && Interval::new(wait.started_ms, end_ms).overlaps(window.interval)
    });
    waits.map_or(&[], |wait| wait.blockers)
}

fn restarting(facts: &Facts<'_>, window: &WindowFacts<'_>, probe: &ProbeFacts<'_>) -> bool {
    let connection_lost = window.error().is_none_or(|error| is_connection_error(&error.code));
    connection_lost
        && facts
            .felt()
            .filter(|run| run.action == "restart" && facts.is_where(run, probe))
            .any(|run| run.interval(facts.end_ms).overlaps(window.interval))
}

/// Whether the session was lost or could not be made: SQLSTATE class 08, a server shutting down, crashed or starting,
/// or no code at all, since no server answered. Of MySQL's and MariaDB's numbers, those that say the same.
pub fn is_connection_error(code: &str) -> bool {
    match code.len() {
        5 => code.starts_with("08") || matches!(code, "57P01" | "57P02" | "57P03"),
        4 => matches!(code, "1040" | "1053" | "1077" | "1079" | "1080" | "1152" | "1184" | "1203" | "1927" | "4031"),
        _ => true,
    }
}

/// The statement whose lock stopped the probe: of those that held one, the one that did for most of the window. In a transaction that
/// is often not the one that ran when the window began, and with foreign keys not always on the probe's own table.
pub fn holder<'f, 'a>(facts: &'f Facts<'a>, judged: &Judged<'_, '_>) -> Option<(&'f StepRun<'a>, &'a Statement)> {
    let probe = facts.probes.get(&judged.facts.probe)?;
    if !judged.because.is_lock() {
        return None;
    }
    let of = |table| holder_on(facts, judged.facts, probe, table);
    let behind_step =
        || blocked_by(facts, judged.facts).iter().any(|session| matches!(session.owner, Owner::Step { .. }));
    let holder = of(probe.spec.table.as_deref()).or_else(|| if behind_step() { of(None) } else { None });
    holder.map(|holder| (holder.run, holder.statement))
}

/// A statement with a lock in a window's way.
struct Holder<'f, 'a> {
    run: &'f StepRun<'a>,
    statement: &'a Statement,
    /// Within the window.
    held_ms: f64,
}

fn holder_on<'f, 'a>(
    facts: &'f Facts<'a>,
    window: &WindowFacts<'_>,
    probe: &ProbeFacts<'_>,
    table: Option<&str>,
) -> Option<Holder<'f, 'a>> {
    let kind = probe.spec.kind;
    if kind == ProbeKind::Connect {
        return None;
    }
    let stops = |statement: &Statement| {
        Side::BOTH.into_iter().any(|side| side.covers(kind) && side.stopped_by(statement, table, window.interval))
    };
    let holders = facts.felt().filter(|run| facts.is_where(run, probe)).flat_map(|run| {
        let end_ms = run.interval(facts.end_ms).end_ms;
        (0..run.statements.len()).filter(|&index| stops(run.statements[index].1)).filter_map(move |index| {
            let held_ms = held(run, index, end_ms).within(window.interval)?.length_ms();
            Some(Holder { run, statement: run.statements[index].1, held_ms })
        })
    });
    // Of equals the first: `max_by` gives the last.
    holders.reduce(|best, next| if next.held_ms > best.held_ms { next } else { best })
}

/// How long the locks of a statement were held: until it ended, or its transaction did.
fn held(run: &StepRun<'_>, index: usize, step_end_ms: f64) -> Interval {
    let statement = run.statements[index].1;
    let own_end_ms = statement.started_ms + statement.elapsed_ms;
    if !statement.in_transaction {
        return Interval::new(statement.started_ms, own_end_ms);
    }
    let following = &run.statements[index + 1..];
    let last = following.iter().take_while(|(_, statement)| statement.in_transaction).last();
    let reaches_end = following.iter().all(|(_, statement)| statement.in_transaction);
    let end_ms = match last {
        _ if reaches_end => step_end_ms,
        Some((_, statement)) => statement.started_ms + statement.elapsed_ms,
        None => own_end_ms,
    };
    Interval::new(statement.started_ms, end_ms.max(own_end_ms))
}

/// The windows of one side that limits are held against, cut to a regime's stretches.
pub fn counted<'j, 'f, 'a>(
    facts: &'j Facts<'a>,
    judged: &'j [Judged<'f, 'a>],
    side: Side,
    regime: &'j Regime<'_, '_>,
) -> impl Iterator<Item = (&'j Judged<'f, 'a>, Interval)> {
    of_side(facts, judged, side)
        .filter(|window| window.because.counts())
        .flat_map(|window| regime.cut(window.facts.interval).into_iter().map(move |cut| (window, cut)))
}

/// The windows of one side, whether they count or not.
pub fn of_side<'j, 'f, 'a>(
    facts: &'j Facts<'a>,
    judged: &'j [Judged<'f, 'a>],
    side: Side,
) -> impl Iterator<Item = &'j Judged<'f, 'a>> {
    judged
        .iter()
        .filter(move |window| facts.probes.get(&window.facts.probe).is_some_and(|probe| side.covers(probe.spec.kind)))
}

/// Unions over the whole run.
pub fn totals(facts: &Facts<'_>, judged: &[Judged<'_, '_>]) -> DowntimeTotals {
    DowntimeTotals { read: total(facts, judged, Side::Read), write: total(facts, judged, Side::Write) }
}

fn total(facts: &Facts<'_>, judged: &[Judged<'_, '_>], side: Side) -> KindDowntime {
    let counting: Vec<&Judged<'_, '_>> =
        of_side(facts, judged, side).filter(|window| window.because.counts()).collect();
    let longest = counting.iter().max_by(|a, b| {
        let length = |window: &Judged<'_, '_>| window.facts.interval.length_ms();
        // Of equals the first: `max_by` gives the last.
        length(a).total_cmp(&length(b)).then(b.facts.seq.cmp(&a.facts.seq))
    });
    KindDowntime {
        total_ms: covered_ms(counting.iter().map(|window| window.facts.interval)),
        limit_ms: side.limit_ms(&facts.scenario.limits),
        longest: longest.map(|window| describe(facts, window)),
        tables: by_table(facts, &counting),
        unexplained: of_side(facts, judged, side)
            .filter(|window| matches!(window.because, Because::Unexplained | Because::Harness))
            .count() as u64,
        to_the_end: counting.iter().any(|window| window.facts.to_the_end()),
    }
}

fn by_table(facts: &Facts<'_>, counting: &[&Judged<'_, '_>]) -> Vec<TableDowntime> {
    let mut tables: BTreeMap<Option<&str>, (Vec<Interval>, Vec<Operation>)> = BTreeMap::new();
    for window in counting {
        let Some(probe) = facts.probes.get(&window.facts.probe) else { continue };
        let (intervals, operations) = tables.entry(probe.spec.table.as_deref().map(bare)).or_default();
        intervals.push(window.facts.interval);
        operations.push(probe.spec.operation);
    }
    let mut tables: Vec<TableDowntime> = tables
        .into_iter()
        .map(|(table, (intervals, mut operations))| {
            operations.sort();
            operations.dedup();
            TableDowntime {
                table: table.map(Into::into),
                longest_ms: intervals.iter().map(|interval| interval.length_ms()).fold(0.0, f64::max),
                total_ms: covered_ms(intervals),
                operations,
            }
        })
        .collect();
    tables.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    tables
}

/// The window as reports give it.
pub fn describe(facts: &Facts<'_>, judged: &Judged<'_, '_>) -> Window {
    let window = judged.facts;
    let probe = facts.probes.get(&window.probe);
    let (step, statement) = match holder(facts, judged) {
        Some((run, statement)) => (Some(run), Some(statement.index)),
        None => (during(facts, window), window.down.and_then(|down| down.statement)),
    };
    Window {
        started_ms: window.interval.start_ms,
        elapsed_ms: window.interval.length_ms(),
        table: probe.and_then(|probe| probe.spec.table.clone()),
        operation: probe.map_or(Operation::Custom, |probe| probe.spec.operation),
        error: window.error().cloned(),
        blocked_by: blocked_by(facts, window).to_vec(),
        step: step.map(|run| run.name.to_owned()),
        statement,
        bad: window.down.map_or(1, |down| down.bad),
        to_the_end: window.to_the_end(),
        counts: judged.because.counts(),
        because: judged.because,
        harness_lag_ms: window.down.map_or(0.0, |down| down.harness_lag_ms),
    }
}

/// The step that ran when the window began.
pub fn during<'f, 'a>(facts: &'f Facts<'a>, window: &WindowFacts<'_>) -> Option<&'f StepRun<'a>> {
    let named = window.down.and_then(|down| down.step);
    let began = Interval::new(window.interval.start_ms, window.interval.start_ms);
    facts.felt().filter(|run| run.interval(facts.end_ms).overlaps(began)).last().or_else(|| facts.run_of(named?))
}
