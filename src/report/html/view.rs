//! The outcome in the words and figures of the page.

use crate::event::{CloneKind, Phase, Statement, StepRole};
use crate::finding::{Finding, Severity};
use crate::outcome::words::{bytes, count, date, duration, list, moment, number, one_line};
use crate::outcome::{LimitKind, Outcome, PhaseLatency, Probe, Step, StepState, Verdict, Window};
use crate::report::markdown::{on_nodes, schema_words};

pub struct Fact {
    pub name: &'static str,
    pub value: String,
}

/// One of the large figures under the verdict.
pub struct Figure {
    pub name: &'static str,
    pub value: String,
    pub limit: String,
    /// "bad", "good", "open" or nothing.
    pub state: &'static str,
    /// Share of the limit in percent, at most 100; none without a limit.
    pub share: Option<f64>,
}

pub struct FindingView<'a> {
    pub finding: &'a Finding,
    pub severity: &'static str,
    pub code: &'static str,
    /// The condition in pieces: text, and whether it is code.
    pub condition: Vec<(String, bool)>,
    pub evidence: String,
}

pub struct StepRow<'a> {
    pub step: &'a Step,
    pub position: String,
    pub state: &'static str,
    pub state_words: &'static str,
    pub elapsed: String,
    pub budget: String,
    pub over: bool,
    /// Of the budget, in percent, at most 100.
    pub share: Option<f64>,
    pub work: String,
    pub wal: String,
    pub error: String,
    /// Opened at once: there is something to see.
    pub open: bool,
    pub statements: Vec<StatementRow<'a>>,
}

pub struct StatementRow<'a> {
    pub statement: &'a Statement,
    pub elapsed: String,
    pub rows: String,
    pub work: String,
    pub locks: String,
    pub rewrote: String,
    pub wal: String,
    pub place: String,
    pub notes: String,
}

pub struct WindowRow {
    pub from: String,
    pub elapsed: String,
    pub about: String,
    pub operation: &'static str,
    pub because: &'static str,
    pub detail: String,
    pub step: String,
    pub counts: bool,
    pub started_ms: f64,
    pub ended_ms: f64,
}

pub struct WaitRow {
    pub from: String,
    pub elapsed: String,
    pub waiter: String,
    pub mode: String,
    pub relation: String,
    pub blockers: String,
}

pub struct ProbeRow {
    pub name: String,
    pub control: String,
    pub plan: String,
    pub plan_p99: String,
    pub plan_max: String,
    pub count: String,
    pub errors: u64,
    pub missed: String,
    pub down: String,
    pub is_down: bool,
    pub dropped: String,
    pub sql: String,
}

pub struct Change {
    pub change: &'static str,
    pub words: String,
}

pub struct DataRow {
    pub table: String,
    pub before: String,
    pub after: String,
    pub added: String,
    pub removed: String,
    pub changed: String,
    pub columns: String,
    pub matched_by: String,
    pub samples: Vec<String>,
}

/// One sentence under the verdict.
pub fn headline(outcome: &Outcome) -> String {
    let totals = &outcome.totals;
    match outcome.outcome {
        Verdict::Passed => "Nothing in the rehearsal speaks against this release.".into(),
        Verdict::PassedInPart => {
            let limits = count(outcome.not_judged.len() as u64, "limit");
            format!("Nothing failed, but {limits} could not be judged on the rows that were rehearsed.")
        }
        Verdict::Failed => {
            let warnings = match totals.warnings {
                0 => String::new(),
                warnings => format!(" and {}", count(warnings, "warning")),
            };
            format!("{}{warnings}: this release should not go out as it is.", count(totals.errors, "error"))
        }
        Verdict::Inconclusive => "This run says nothing of the release, neither good nor bad.".into(),
        Verdict::Interrupted => "The run was stopped before it came to a verdict.".into(),
    }
}

pub fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "good",
        Verdict::Failed => "bad",
        Verdict::PassedInPart | Verdict::Inconclusive | Verdict::Interrupted => "open",
    }
}

pub fn facts(outcome: &Outcome) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |name, value: String| {
        if !value.is_empty() {
            facts.push(Fact { name, value });
        }
    };
    let nodes: Vec<String> =
        outcome.nodes.iter().map(|node| format!("{}: {} {}", node.name, node.engine, node.version)).collect();
    fact("Server", list(&nodes, 6));
    fact("Lab", format!("{}, {}", outcome.lab, count(outcome.cores as u64, "core")));
    fact("Scenario", outcome.scenario_file.clone());
    fact("Run", outcome.run.clone());
    fact("Began", outcome.started.replace('T', " ").replace('Z', " UTC"));
    fact("Took", duration(outcome.totals.elapsed_ms));
    fact("Data", format!("{}, {}", count(outcome.totals.tables, "table"), count(outcome.totals.rows, "row")));
    fact("Baseline", outcome.baseline.as_deref().map_or_else(String::new, |made| format!("of {}", date(made))));
    fact("State before", outcome.clone.map_or_else(String::new, |clone| clone_words(clone).into()));
    let grown: Vec<String> = outcome
        .disk
        .iter()
        .filter_map(|disk| {
            let (first, max) = (disk.data_bytes_first?, disk.data_bytes_max?);
            Some(format!("{}: {} at first, {} at most", disk.node, bytes(first), bytes(max)))
        })
        .collect();
    fact("Disk", list(&grown, 6));
    fact("log of the plan", outcome.totals.wal_bytes.map_or_else(String::new, bytes));
    fact("Probes", probing(outcome));
    fact("Harness late", format!("{} at most", duration(outcome.totals.harness_lag_max_ms)));
    fact("Written by", format!("rehearsal {}", outcome.rehearsal_version));
    facts
}

fn clone_words(clone: CloneKind) -> &'static str {
    match clone {
        CloneKind::Reflink => "kept by reflink",
        CloneKind::Overlay => "kept by overlay",
        CloneKind::Copy => "kept by copy",
    }
}

fn probing(outcome: &Outcome) -> String {
    let totals = &outcome.totals;
    let cost = totals.harness_cpu_s.map_or_else(String::new, |cpu_s| format!(", {cpu_s:.2} CPU seconds"));
    let wal = totals.probe_wal_bytes.map_or_else(String::new, |wal| format!(", {} of log", bytes(wal)));
    format!("{}{cost}{wal}", count(totals.probe_operations, "operation"))
}

pub fn figures(outcome: &Outcome) -> Vec<Figure> {
    let (totals, downtime) = (&outcome.totals, &outcome.downtime);
    let mut figures = vec![
        limited(outcome, "Writes down", downtime.write.total_ms, LimitKind::DowntimeWrite, downtime.write.limit_ms),
        limited(outcome, "Reads down", downtime.read.total_ms, LimitKind::DowntimeRead, downtime.read.limit_ms),
        limited(outcome, "Window", totals.window_ms, LimitKind::Window, totals.window_limit_ms),
    ];
    for (figure, side) in figures.iter_mut().zip([&downtime.write, &downtime.read]) {
        if side.to_the_end {
            figure.limit.push_str("; still down at the end");
            figure.state = "bad";
        }
    }
    figures.push(Figure {
        name: "Longest lock wait",
        value: duration(totals.lock_wait_max_ms),
        limit: count(totals.lock_waits, "wait"),
        state: "",
        share: None,
    });
    let plan = || outcome.steps.iter().filter(|step| step.role == StepRole::Plan);
    let done = plan().filter(|step| step.result == StepState::Done).count();
    figures.push(Figure {
        name: "Steps done",
        value: format!("{done} of {}", plan().count()),
        limit: count(totals.statements, "statement"),
        state: if done == plan().count() { "" } else { "bad" },
        share: None,
    });
    figures
}

fn limited(outcome: &Outcome, name: &'static str, measured_ms: f64, limit: LimitKind, limit_ms: Option<f64>) -> Figure {
    let state = match limit_ms {
        None => "",
        Some(limit_ms) if measured_ms > limit_ms => "bad",
        Some(_) if outcome.unjudged(limit) => "open",
        Some(_) => "good",
    };
    Figure {
        name,
        value: duration(measured_ms),
        limit: outcome.limit_words(limit, limit_ms).unwrap_or_else(|| "no limit".into()),
        state,
        share: limit_ms.map(|limit_ms| share(measured_ms, limit_ms)),
    }
}

fn share(part: f64, whole: f64) -> f64 {
    match whole {
        whole if whole > 0.0 => (part / whole * 100.0).min(100.0),
        _ if part > 0.0 => 100.0,
        _ => 0.0,
    }
}

pub fn findings(outcome: &Outcome) -> Vec<FindingView<'_>> {
    let views = outcome.findings.iter().map(|finding| {
        let evidence: Vec<String> = finding.evidence.iter().map(|seq| format!("#{seq}")).collect();
        FindingView {
            finding,
            severity: finding.severity.name(),
            code: finding.code.name(),
            // Between back ticks stands SQL.
            condition: finding
                .condition
                .split('`')
                .enumerate()
                .map(|(index, piece)| (piece.to_owned(), index % 2 == 1))
                .filter(|(piece, _)| !piece.is_empty())
                .collect(),
            evidence: list(&evidence, 8),
        }
    });
    views.collect()
}

pub fn severities(outcome: &Outcome) -> Vec<(&'static str, usize)> {
    [Severity::Error, Severity::Warning, Severity::Info]
        .into_iter()
        .map(|severity| (severity.name(), outcome.of_severity(severity).count()))
        .filter(|(_, found)| *found > 0)
        .collect()
}

pub fn state(state: StepState) -> &'static str {
    match state {
        StepState::Done => "done",
        StepState::Failed | StepState::TimedOut => "failed",
        StepState::Interrupted | StepState::Unfinished => "cut",
        StepState::Skipped | StepState::NotReached => "skipped",
    }
}

pub fn steps(outcome: &Outcome) -> Vec<StepRow<'_>> {
    let names = plan_names(outcome);
    let rows = outcome.steps.iter().map(|step| {
        let position = names.iter().position(|name| *name == step.name).map_or(0, |index| index + 1);
        let over = step.elapsed_ms.zip(step.budget_ms).is_some_and(|(elapsed, budget)| elapsed > budget);
        StepRow {
            step,
            position: match step.role {
                StepRole::Plan => position.to_string(),
                StepRole::Setup => "setup".into(),
                StepRole::Undo => "undo".into(),
            },
            state: state(step.result),
            state_words: step.result.words(),
            elapsed: step.elapsed_ms.map_or_else(String::new, duration),
            budget: step.budget_ms.map_or_else(String::new, duration),
            over,
            share: step.elapsed_ms.zip(step.budget_ms).map(|(elapsed, budget)| share(elapsed, budget)),
            work: step.work.name().replace('_', " "),
            wal: step.wal_bytes.map_or_else(String::new, bytes),
            error: step.error.as_ref().map_or_else(String::new, |error| match &error.sql {
                Some(sql) => format!("{} ({})", sql.message, sql.code),
                None => error.what.clone(),
            }),
            open: over || state(step.result) == "failed",
            statements: step.statements.iter().map(statement).collect(),
        }
    });
    rows.collect()
}

/// Names of the plan's steps in its order, each once however many nodes it is on.
fn plan_names(outcome: &Outcome) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for step in outcome.steps.iter().filter(|step| step.role == StepRole::Plan) {
        if !names.contains(&step.name.as_str()) {
            names.push(&step.name);
        }
    }
    names
}

fn statement(statement: &Statement) -> StatementRow<'_> {
    let locks: Vec<String> = statement.locks.iter().map(|lock| format!("{} on {}", lock.mode, lock.relation)).collect();
    let mut notes = Vec::new();
    if statement.attempts > 1 {
        notes.push(count(u64::from(statement.attempts), "attempt"));
    }
    if statement.in_transaction {
        notes.push("in a transaction".into());
    }
    if statement.recovered {
        notes.push("read from the server's log".into());
    }
    notes.extend(statement.error.as_ref().map(|error| format!("{} ({})", error.message, error.code)));
    StatementRow {
        statement,
        elapsed: duration(statement.elapsed_ms),
        rows: statement.rows.map_or_else(String::new, number),
        work: statement.work.name().replace('_', " "),
        locks: list(&locks, 6),
        rewrote: list(&statement.rewrote, 6),
        wal: statement.wal_bytes.map_or_else(String::new, bytes),
        place: statement.place.as_ref().map_or_else(String::new, |place| format!("{}:{}", place.file, place.line)),
        notes: notes.join(", "),
    }
}

/// Longest first.
pub fn windows(outcome: &Outcome) -> Vec<WindowRow> {
    let mut windows: Vec<(&Probe, &Window)> =
        outcome.probes.iter().flat_map(|probe| probe.downtime.iter().map(move |window| (probe, window))).collect();
    windows.sort_by(|a, b| b.1.counts.cmp(&a.1.counts).then(b.1.elapsed_ms.total_cmp(&a.1.elapsed_ms)));
    windows.into_iter().map(|(probe, window)| window_row(outcome, probe, window)).collect()
}

fn window_row(outcome: &Outcome, probe: &Probe, window: &Window) -> WindowRow {
    let error = window.error.as_ref().map(|error| format!("{} ({})", error.message, error.code));
    let mut blockers: Vec<String> = Vec::new();
    for session in &window.blocked_by {
        let name = blocker(outcome, session);
        if !blockers.contains(&name) {
            blockers.push(name);
        }
    }
    let blocked = (!blockers.is_empty()).then(|| format!("blocked by {}", list(&blockers, 3)));
    let detail: Vec<String> = error.into_iter().chain(blocked).collect();
    let to_the_end = if window.to_the_end { ", to the end" } else { "" };
    WindowRow {
        from: moment(window.started_ms),
        elapsed: format!("{}{to_the_end}", duration(window.elapsed_ms)),
        about: window.table.clone().unwrap_or_else(|| probe.name.clone()),
        operation: window.operation.name(),
        because: window.because.words(),
        detail: detail.join("; "),
        step: window.step.clone().unwrap_or_default(),
        counts: window.counts,
        started_ms: window.started_ms,
        ended_ms: window.started_ms + window.elapsed_ms,
    }
}

/// A session that held a lock; the observer's waits know the names of all that they saw.
pub fn blocker(outcome: &Outcome, session: &crate::event::Session) -> String {
    use crate::event::Owner;
    let waits = outcome.locks.iter();
    let known = waits
        .flat_map(|wait| wait.blockers.iter().zip(&wait.blocker_names))
        .find(|(blocker, _)| blocker.owner == session.owner);
    let name = match (&session.owner, known) {
        (_, Some((_, name))) => name.clone(),
        (Owner::Step { step }, None) => {
            plan_names(outcome).get(*step).map(|name| format!("step \"{name}\"")).unwrap_or_default()
        }
        (Owner::Probe { probe }, None) => {
            let known = outcome.probes.iter().find(|known| known.id == *probe);
            known.map_or_else(String::new, |known| format!("probe \"{}\"", known.name))
        }
        (Owner::Workload { workload }, None) => {
            let known = outcome.workloads.get(*workload);
            known.map_or_else(String::new, |known| format!("workload \"{}\"", known.name))
        }
        (Owner::Reader { table }, None) => format!("the transaction kept open on {table}"),
        (Owner::Consumer { consumer }, None) => format!("consumer \"{consumer}\""),
        (Owner::Server { what }, None) => what.clone(),
        (Owner::Other { application }, None) => application.clone(),
    };
    match &session.sql {
        Some(sql) => format!("{name}: {}", one_line(sql, 80)),
        None => name,
    }
}

pub fn waits(outcome: &Outcome) -> Vec<WaitRow> {
    let mut waits: Vec<_> = outcome.locks.iter().collect();
    let length = |elapsed_ms: Option<f64>| elapsed_ms.unwrap_or(f64::INFINITY);
    waits.sort_by(|a, b| length(b.elapsed_ms).total_cmp(&length(a.elapsed_ms)));
    let rows = waits.into_iter().map(|wait| WaitRow {
        from: moment(wait.started_ms),
        elapsed: wait.elapsed_ms.map_or_else(|| "to the end".into(), duration),
        waiter: wait.waiter_name.clone(),
        mode: wait.mode.clone(),
        relation: wait.relation.clone().unwrap_or_default(),
        blockers: list(&wait.blockers.iter().map(|session| blocker(outcome, session)).collect::<Vec<_>>(), 3),
    });
    rows.collect()
}

/// Those that were down first, then by name.
pub fn probes(outcome: &Outcome) -> Vec<ProbeRow> {
    let mut probes: Vec<&Probe> = outcome.probes.iter().collect();
    probes.sort_by(|a, b| b.downtime_ms.total_cmp(&a.downtime_ms).then(a.id.cmp(&b.id)));
    let rows = probes.into_iter().map(|probe| {
        let of = |phase: Phase| probe.latency.iter().find(|latency| latency.phase == phase);
        let p50 = |latency: Option<&PhaseLatency>| latency.map_or_else(String::new, |latency| duration(latency.p50_ms));
        let plan = of(Phase::Plan);
        ProbeRow {
            name: probe.name.clone(),
            control: p50(of(Phase::Control)),
            plan: p50(plan),
            plan_p99: plan.map_or_else(String::new, |latency| duration(latency.p99_ms)),
            plan_max: plan.map_or_else(String::new, |latency| duration(latency.max_ms)),
            count: plan.map_or_else(String::new, |latency| number(latency.count)),
            errors: probe.latency.iter().map(|latency| latency.errors).sum(),
            missed: plan.map_or_else(String::new, |latency| number(latency.missed)),
            down: if probe.downtime_ms > 0.0 { duration(probe.downtime_ms) } else { String::new() },
            is_down: probe.downtime_ms > 0.0,
            dropped: probe.dropped.clone().unwrap_or_default(),
            sql: probe.sql.clone(),
        }
    });
    rows.collect()
}

pub fn changes(outcome: &Outcome) -> Vec<Change> {
    use crate::event::Change as Kind;
    let Some(diff) = &outcome.diff else { return Vec::new() };
    let rows = diff.schema.iter().map(|change| Change {
        change: match change.change {
            Kind::Added => "added",
            Kind::Removed => "removed",
            Kind::Changed => "changed",
        },
        words: schema_words(change),
    });
    rows.collect()
}

pub fn data(outcome: &Outcome) -> Vec<DataRow> {
    let Some(diff) = &outcome.diff else { return Vec::new() };
    let figure = |rows: Option<u64>| rows.map_or_else(|| "?".into(), number);
    let rows = diff.data.iter().map(|change| DataRow {
        table: format!("{}{}", change.table, on_nodes(&change.nodes)),
        before: number(change.rows_before),
        after: number(change.rows_after),
        added: figure(change.added),
        removed: figure(change.removed),
        changed: figure(change.changed),
        columns: change
            .columns
            .iter()
            .map(|(column, rows)| format!("{column} ({})", number(*rows)))
            .collect::<Vec<_>>()
            .join(", "),
        matched_by: change.matched_by.clone(),
        samples: change.samples.iter().map(sample).collect(),
    });
    rows.collect()
}

/// Rows are in the log only where values were asked for.
fn sample(sample: &crate::event::RowSample) -> String {
    let values = |row: &Option<std::collections::BTreeMap<String, Option<String>>>| match row {
        Some(row) => {
            let cells: Vec<String> =
                row.iter().map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("NULL"))).collect();
            cells.join(", ")
        }
        None => "no row".into(),
    };
    format!("[{}] {} → {}", sample.key.join(", "), values(&sample.before), values(&sample.after))
}
