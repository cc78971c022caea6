//! The terminal: the run as it goes, and the verdict at its end.

mod live;
mod paint;

pub use live::Live;
pub use paint::{Paint, pad};

pub use crate::outcome::words::{bytes, date};

use console::{Style, measure_text_width};

use self::paint::pad_left;
use crate::event::StepRole;
use crate::finding::{Finding, Severity};
use crate::outcome::words::{count, duration, one_line, percent};
use crate::outcome::{KindDowntime, LimitKind, Outcome, Step, StepState};
use crate::settings::TerminalSettings;

/// Names of steps are cut after this many letters in tables.
const NAME: usize = 44;

/// The verdict for a person, some ten to sixty lines: verdict, what it does not prove, findings, steps, downtime. Ends with a
/// line break; the verdict alone if settings ask for quiet.
pub fn verdict(outcome: &Outcome, settings: &TerminalSettings) -> String {
    let paint = Paint::new(settings);
    let mut out = heading(outcome, &paint);
    if settings.quiet {
        return out;
    }
    out.push_str(&unproven(outcome, &paint));
    out.push_str(&findings(outcome, &paint));
    out.push_str(&steps(outcome, &paint));
    out.push_str(&downtime(outcome, &paint));
    out.push_str(&routing(outcome, &paint));
    out.push_str(&replicas(outcome, &paint));
    out.push_str(&workloads(outcome, &paint));
    out.push_str(&consumers(outcome, &paint));
    out.push_str(&notes(outcome, &paint));
    out
}

fn heading(outcome: &Outcome, paint: &Paint) -> String {
    let word = outcome.outcome.words().to_uppercase();
    let first = format!("{}  ", paint.verdict(outcome.outcome, &word));
    let mut out = paint.wrapped(&first, &outcome.scenario);
    let indent = " ".repeat(measure_text_width(&first));
    for why in &outcome.why {
        out.push_str(&paint.wrapped(&indent, &why.what));
        if let Some(hint) = &why.hint {
            out.push_str(&paint.wrapped(&format!("{indent}{} ", paint.bold("hint:")), hint));
        }
        for line in &why.log {
            out.push_str(&format!("{indent}{} {}\n", paint.dim("│"), paint.dim(line)));
        }
    }
    let node = outcome
        .nodes
        .first()
        .map(|node| format!("{} {}", node.engine, node.version.split(' ').next().unwrap_or_default()));
    let mut facts: Vec<String> = node.into_iter().collect();
    if !outcome.lab.is_empty() {
        facts.push(format!("{} lab", outcome.lab));
    }
    if outcome.totals.tables > 0 {
        facts.push(format!("{}, {}", count(outcome.totals.tables, "table"), count(outcome.totals.rows, "row")));
    }
    facts.push(duration(outcome.totals.elapsed_ms));
    out.push_str(&format!("{indent}{}\n", paint.dim(&facts.join(" · "))));
    out.push_str(&paint.wrapped(&indent, &figures(outcome)));
    out
}

/// "8 errors, 1 warning · writes down 5.2 s, limit 1 s · …".
fn figures(outcome: &Outcome) -> String {
    let totals = &outcome.totals;
    let mut parts = Vec::new();
    if totals.errors + totals.warnings > 0 {
        parts.push(format!("{}, {}", count(totals.errors, "error"), count(totals.warnings, "warning")));
    }
    let downtime = &outcome.downtime;
    for (name, measured, limit, limit_ms) in [
        ("writes down", downtime.write.words(), LimitKind::DowntimeWrite, downtime.write.limit_ms),
        ("reads down", downtime.read.words(), LimitKind::DowntimeRead, downtime.read.limit_ms),
        ("window", duration(totals.window_ms), LimitKind::Window, totals.window_limit_ms),
    ] {
        let limit = outcome.limit_words(limit, limit_ms).map_or_else(String::new, |limit| format!(" ({limit})"));
        parts.push(format!("{name} {measured}{limit}"));
    }
    parts.join(" · ")
}

fn unproven(outcome: &Outcome, paint: &Paint) -> String {
    let mut out = String::new();
    if !outcome.not_judged.is_empty() {
        out.push_str(&format!("\n{}\n", paint.with(Style::new().yellow().bold(), "Not judged")));
        for (reason, subjects) in outcome.not_judged_by_reason() {
            out.push_str(&paint.wrapped("  ? ", reason));
            for subject in subjects {
                out.push_str(&paint.wrapped("    - ", &subject));
            }
        }
    }
    if !outcome.not_rehearsed.is_empty() {
        out.push_str(&format!("\n{}\n", paint.bold("Not rehearsed")));
        for gap in &outcome.not_rehearsed {
            out.push_str(&paint.wrapped("  · ", &gap.what));
        }
    }
    out
}

fn findings(outcome: &Outcome, paint: &Paint) -> String {
    let mut out = String::new();
    // What could not be probed stands under "Not rehearsed" already.
    for finding in outcome.findings.iter().filter(|finding| finding.severity > Severity::Info) {
        out.push('\n');
        out.push_str(&told(finding, paint));
    }
    out
}

fn told(finding: &Finding, paint: &Paint) -> String {
    let code = paint.severity(finding.severity, &format!("{} {}", finding.severity.name(), finding.code.name()));
    let place = finding.step.as_ref().map_or_else(String::new, |step| paint.dim(&format!("  step \"{step}\"")));
    let mut out = format!("{code}{place}\n");
    out.push_str(&paint.wrapped("  ", &finding.condition));
    out.push_str(&paint.wrapped(&format!("  {} ", paint.dim("effect ")), &finding.effect));
    out.push_str(&paint.wrapped(&format!("  {} ", paint.dim("instead")), &finding.remedy));
    out
}

fn steps(outcome: &Outcome, paint: &Paint) -> String {
    let shown: Vec<&Step> = outcome
        .steps
        .iter()
        .filter(|step| step.role != StepRole::Setup || matches!(step.result, StepState::Failed | StepState::TimedOut))
        .collect();
    let several = outcome.nodes.len() > 1;
    let rows: Vec<[String; 5]> = shown.iter().map(|step| cells(step, several, paint)).collect();
    let widths: Vec<usize> =
        (0..5).map(|column| rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or(0)).collect();
    let mut out = format!("\n{}\n", paint.bold("Steps"));
    for (step, row) in shown.iter().zip(&rows) {
        let line = format!(
            "  {} {}  {}  {}  {}  {}",
            paint.step(step.result),
            pad(&row[0], widths[0]),
            pad_left(&row[1], widths[1]),
            pad(&row[2], widths[2]),
            pad(&row[3], widths[3]),
            row[4]
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Name, with its node where there are several, time, budget, work, strongest lock.
fn cells(step: &Step, several: bool, paint: &Paint) -> [String; 5] {
    let on = if several { paint.dim(&format!(" on {}", step.node)) } else { String::new() };
    let undo = if step.role == StepRole::Undo { "undo: " } else { "" };
    let over = step.elapsed_ms.zip(step.budget_ms).is_some_and(|(elapsed, budget)| elapsed > budget);
    let took = match step.elapsed_ms {
        Some(elapsed) if over => paint.severity(Severity::Error, &duration(elapsed)),
        Some(elapsed) => duration(elapsed),
        None => paint.dim(step.result.words()),
    };
    let budget = step.budget_ms.map_or_else(String::new, |budget| paint.dim(&format!("of {}", duration(budget))));
    let work = if step.statements.is_empty() { step.action.clone() } else { step.work.name().replace('_', " ") };
    let lock = step.strongest_lock.clone().unwrap_or_default();
    [format!("{undo}{}{on}", one_line(&step.name, NAME)), took, budget, paint.dim(&work), lock]
}

fn downtime(outcome: &Outcome, paint: &Paint) -> String {
    let sides = [("writes", &outcome.downtime.write), ("reads", &outcome.downtime.read)];
    if sides.iter().all(|(_, side)| side.tables.is_empty()) {
        return format!(
            "\n{}\n  none seen by {}\n",
            paint.bold("Downtime"),
            count(outcome.probes.len() as u64, "probe")
        );
    }
    let mut out = format!("\n{}\n", paint.bold("Downtime"));
    for (name, side) in sides {
        out.push_str(&of_side(name, side, paint));
    }
    out
}

fn of_side(name: &str, side: &KindDowntime, paint: &Paint) -> String {
    const TABLES: usize = 6;
    let broken = side.to_the_end || side.limit_ms.is_some_and(|limit| side.total_ms > limit);
    let total = side.words();
    let total = if broken { paint.severity(Severity::Error, &total) } else { total };
    let limit = side.limit_ms.map_or_else(String::new, |limit| format!(", {} allowed", duration(limit)));
    let mut out = format!("  {} {}{}\n", pad(name, 6), total, paint.dim(&limit));
    let about = |table: &Option<String>| table.clone().unwrap_or_else(|| "(no one table)".into());
    let width =
        side.tables.iter().take(TABLES).map(|table| measure_text_width(&about(&table.table))).max().unwrap_or(0);
    for table in side.tables.iter().take(TABLES) {
        let operations: Vec<&str> = table.operations.iter().map(|operation| operation.name()).collect();
        let about = pad(&about(&table.table), width);
        let times = format!("{}, longest {}", duration(table.total_ms), duration(table.longest_ms));
        out.push_str(&format!("         {about}  {times}  {}\n", paint.dim(&operations.join(", "))));
    }
    if let Some(more) = side.tables.len().checked_sub(TABLES).filter(|more| *more > 0) {
        out.push_str(&format!("         {}\n", paint.dim(&format!("and {} more", count(more as u64, "table")))));
    }
    out
}

fn routing(outcome: &Outcome, paint: &Paint) -> String {
    if outcome.routing.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}\n", paint.bold("Routing"));
    for change in &outcome.routing {
        let told = format!("{}  {}", change.words(), paint.dim(&format!("step \"{}\"", change.step)));
        out.push_str(&paint.wrapped(&format!("  {}  ", change.from()), &told));
    }
    out
}

fn replicas(outcome: &Outcome, paint: &Paint) -> String {
    if outcome.lag.is_empty() {
        return String::new();
    }
    let width = outcome.lag.iter().map(|lag| measure_text_width(&lag.node)).max().unwrap_or(0);
    let mut out = format!("\n{}\n", paint.bold("Replicas"));
    for lag in &outcome.lag {
        let told = format!("behind by {} at most; {}", lag.furthest(), lag.in_the_end());
        let told = if lag.is_bad() { paint.severity(Severity::Error, &told) } else { told };
        out.push_str(&paint.wrapped(&format!("  {}  ", pad(&lag.node, width)), &told));
    }
    out
}

/// A line a workload and phase: iterations a second, errors, latencies.
fn workloads(outcome: &Outcome, paint: &Paint) -> String {
    let ran = outcome.workloads.iter().flat_map(|workload| workload.phases.iter().map(move |phase| (workload, phase)));
    let lines: Vec<[String; 3]> = ran
        .map(|(workload, phase)| [one_line(&workload.name, NAME), phase.phase.name().to_owned(), phase.words(workload)])
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    let width = |column: usize| lines.iter().map(|line| measure_text_width(&line[column])).max().unwrap_or(0);
    let (name, phase) = (width(0), width(1));
    let mut out = format!("\n{}\n", paint.bold("Workloads"));
    for line in &lines {
        out.push_str(&paint.wrapped(&format!("  {}  {}  ", pad(&line[0], name), pad(&line[1], phase)), &line[2]));
    }
    out
}

fn consumers(outcome: &Outcome, paint: &Paint) -> String {
    if outcome.consumers.is_empty() {
        return String::new();
    }
    let width = outcome.consumers.iter().map(|consumer| measure_text_width(&consumer.name)).max().unwrap_or(0);
    let mut out = format!("\n{}\n", paint.bold("Consumers"));
    for consumer in &outcome.consumers {
        let told = format!("of {}; {}; output in {}", consumer.node, consumer.in_the_end(), consumer.output);
        out.push_str(&paint.wrapped(&format!("  {}  ", pad(&consumer.name, width)), &told));
    }
    out
}

fn notes(outcome: &Outcome, paint: &Paint) -> String {
    let totals = &outcome.totals;
    let mut parts = Vec::new();
    if totals.probe_operations > 0 {
        let share = match totals.probe_errors {
            0 => String::new(),
            errors => format!(", {} of them errors", percent(errors, totals.probe_operations)),
        };
        parts.push(format!("{}{share}", count(totals.probe_operations, "probe")));
    }
    parts.extend(totals.wal_bytes.map(|wal| format!("{} of log", bytes(wal))));
    if totals.lock_waits > 0 {
        let longest = duration(totals.lock_wait_max_ms);
        parts.push(format!("{}, the longest {longest}", count(totals.lock_waits, "lock wait")));
    }
    if totals.harness_lag_max_ms > 0.0 {
        parts.push(format!("harness late by {} at most", duration(totals.harness_lag_max_ms)));
    }
    parts.extend(outcome.clone.map(|clone| format!("before state kept by {}", clone.name())));
    parts.extend(outcome.baseline.as_ref().map(|made| format!("data of the baseline of {}", date(made))));
    let mut out = String::new();
    if !parts.is_empty() {
        out.push('\n');
        parts.iter_mut().for_each(|part| *part = part.trim().to_owned());
        out.push_str(&paint.with(Style::new().dim(), paint.wrapped("", &parts.join(" · ")).trim_end()));
        out.push('\n');
    }
    for note in &outcome.notes {
        out.push_str(&paint.wrapped(&format!("{} ", paint.severity(Severity::Warning, "note:")), note));
    }
    out
}
