//! What each subcommand's result looks like, and the exit code that goes with it.
#![expect(clippy::print_stderr, reason = "this is where the program speaks")]

use std::io::Write;
use std::path::Path;

use console::Term;
use miette::{GraphicalReportHandler, GraphicalTheme};

use super::args::{self, TextFormat};
use super::diff::DiffFormat;
use super::doctor;
use crate::commands::check::{Checked, Plan};
use crate::commands::clean::{LabInfo, LabState, Reaped};
use crate::commands::diff::DiffOutcome;
use crate::commands::doctor::Diagnosis;
use crate::commands::explain::Code;
use crate::commands::report::{Outcome, Recorded, Reported};
use crate::commands::run::{Reporter, RunDone};
use crate::commands::snapshot::{Captured, SnapshotSummary, Verified};
use crate::commands::up::{Role, Up, UpNode};
use crate::commands::{self, Error};
use crate::report;
use crate::settings::{Format, RunSettings, TerminalSettings};

/// Who is told of events while a run goes on. `doing` is what they say that it does with the scenario.
pub fn displays(terminal: &TerminalSettings, doing: &'static str) -> Vec<Box<dyn Reporter>> {
    if terminal.quiet { Vec::new() } else { vec![Box::new(report::terminal::Live::new(terminal).doing(doing))] }
}

pub fn run(done: &RunDone, settings: &RunSettings) -> i32 {
    let shown = render(settings.format, done.records.as_slice(), &done.outcome, &settings.terminal);
    if let Some(lost) = &done.lost {
        eprintln!("warning: {lost}");
    }
    if let Some(kept) = &done.kept {
        for node in &kept.nodes {
            eprintln!("node {} still runs: {}", node.name, kept.connect(node));
        }
        eprintln!("hint: `rehearsal clean {}` removes it", done.outcome.run);
    }
    let page = done.folder.join(report::HTML);
    if !page.exists() {
        return if shown { i32::from(done.outcome.exit_code) } else { 3 };
    }
    if settings.format == Format::Terminal {
        out(&format!("report: {}\n", page.display()));
    } else {
        eprintln!("report: {}", page.display());
    }
    if shown { i32::from(done.outcome.exit_code) } else { 3 }
}

pub fn report(done: &Reported, format: Format, terminal: &TerminalSettings) -> i32 {
    if render(format, &done.records, &done.outcome, terminal) { 0 } else { 3 }
}

/// Whether it could be shown.
fn render(format: Format, records: &[Recorded], outcome: &Outcome, terminal: &TerminalSettings) -> bool {
    match report::render(format, records, outcome, terminal) {
        Ok(text) => out(&text),
        Err(error) => {
            eprintln!("error: {}", commands::with_causes(&error));
            false
        }
    }
}

pub fn check(checked: &Checked, format: TextFormat) -> i32 {
    if format == TextFormat::Json {
        let json = serde_json::to_string_pretty(checked).expect("plain data of strings and numbers");
        out(&format!("{json}\n"));
        return checked.exit_code();
    }
    for problem in &checked.problems {
        let place = problem.file.as_ref().zip(problem.line).map(|(file, line)| format!("{file}:{line}: "));
        let place = place.unwrap_or_default();
        eprintln!("error: {place}{}", problem.what);
        if let Some(hint) = &problem.hint {
            eprintln!("hint: {hint}");
        }
    }
    if let (true, Some(Plan { scenario, engine, version, lab: Some(lab), steps, .. })) =
        (checked.problems.is_empty(), &checked.plan)
    {
        let plural = if *steps == 1 { "" } else { "s" };
        out(&format!("ok: {scenario}, {steps} step{plural}, {engine} {version} in the {lab} lab\n"));
    }
    for what in checked.plan.iter().flat_map(|plan| &plan.to_build) {
        out(&format!("an image will be built: {what}\n"));
    }
    for what in checked.plan.iter().flat_map(|plan| &plan.not_checked) {
        out(&format!("not checked here: {what}\n"));
    }
    checked.exit_code()
}

pub fn up(up: &Up, format: TextFormat) -> i32 {
    let shown = out(&match format {
        TextFormat::Text => nodes(up),
        TextFormat::Json => serde_json::to_string_pretty(up).expect("plain data of strings and numbers") + "\n",
    });
    if shown { 0 } else { 3 }
}

/// A table of nodes, how a session is opened on one, and how all are taken down.
fn nodes(up: &Up) -> String {
    let cells = |node: &UpNode| {
        let role = match &node.role {
            Role::Writer => "writer".to_owned(),
            Role::Peer { of } => format!("peer of {of}"),
            Role::Replica { of } => format!("replica of {of}"),
            Role::Subscriber { of } => format!("subscriber of {of}"),
        };
        let version = node.version.split(' ').next().unwrap_or_default().to_owned();
        [node.name.clone(), role, version, node.url.clone()]
    };
    let heading = ["node", "role", "version", "url"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(heading).chain(up.nodes.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [name, role, version, url] in &rows {
        let [first, second, third] = widths;
        text.push_str(&format!("{name:<first$}  {role:<second$}  {version:<third$}  {url}\n"));
    }
    text.push_str(&format!("\npasswords  {}\n", up.passwords.display()));
    text.push_str(&format!("connect    {}\n", up.connect));
    text.push_str(&format!("take down  rehearsal down {}\n", up.run));
    text
}

pub fn down(removed: Option<&[Reaped]>) -> i32 {
    match removed {
        Some(removed) => reaped(removed),
        None => {
            eprintln!("nothing is up");
            0
        }
    }
}

pub fn diff(done: &DiffOutcome, format: DiffFormat) -> i32 {
    out(&match format {
        DiffFormat::Text => report::diff::text(&done.result),
        DiffFormat::Json => report::diff::json(&done.before, &done.after, &done.result),
    });
    i32::from(!done.result.is_equal())
}

pub fn captured(captured: &Captured, format: TextFormat) -> i32 {
    let Captured { summary, notes, elapsed_ms } = captured;
    for note in notes {
        eprintln!("warning: {note}");
    }
    for what in &summary.left_out {
        eprintln!("warning: left out {what}");
    }
    let shown = out(&match format {
        TextFormat::Text => {
            let closing = report::snapshot::closing(summary);
            format!("captured {}: {closing}, in {:.2} s\n", summary.folder, elapsed_ms / 1e3)
        }
        TextFormat::Json => serde_json::to_string_pretty(summary).expect("plain data of strings and numbers") + "\n",
    });
    if shown { 0 } else { 3 }
}

pub fn inspected(summary: &SnapshotSummary, format: TextFormat) -> i32 {
    let shown = out(&match format {
        TextFormat::Text => report::snapshot::text(summary),
        TextFormat::Json => serde_json::to_string_pretty(summary).expect("plain data of strings and numbers") + "\n",
    });
    if shown { 0 } else { 3 }
}

pub fn verified(verified: &Verified, format: TextFormat) -> i32 {
    let Verified { chunks, rows, damaged } = verified;
    out(&match format {
        TextFormat::Text if damaged.is_empty() => report::snapshot::whole(*chunks, *rows),
        TextFormat::Text => report::snapshot::damages(damaged),
        TextFormat::Json => {
            let json =
                serde_json::json!({ "whole": damaged.is_empty(), "chunks": chunks, "rows": rows, "damaged": damaged });
            serde_json::to_string_pretty(&json).expect("plain data of strings and numbers") + "\n"
        }
    });
    i32::from(!damaged.is_empty())
}

pub fn doctor(found: &Diagnosis, format: TextFormat, terminal: &TerminalSettings) -> i32 {
    if format == TextFormat::Json {
        let json = serde_json::to_string_pretty(found).expect("plain data of strings and numbers");
        out(&format!("{json}\n"));
        return found.exit_code();
    }
    out(&doctor::text(found, terminal));
    if found.exit_code() != 0 {
        eprintln!("error: no server can be run on this machine");
        eprintln!("hint: {}", doctor::first_hint(found));
    }
    found.exit_code()
}

pub fn labs(labs: &[LabInfo]) -> i32 {
    for lab in labs {
        let state = match lab.state {
            LabState::Live => "live",
            LabState::Kept => "kept",
            LabState::Stale => "left behind",
        };
        let run = lab.lease.as_ref().map_or("unknown run", |lease| lease.run.as_str());
        out(&format!("{run}  {state}  {}\n", Path::new(&lab.id).display()));
    }
    0
}

pub fn reaped(reaped: &[Reaped]) -> i32 {
    for gone in reaped {
        out(&format!("removed {} of {}\n", gone.what, gone.run.as_deref().unwrap_or("an unknown run")));
    }
    if reaped.is_empty() {
        eprintln!("nothing was left behind");
    }
    0
}

/// A result that is text already.
pub fn text(text: &str) -> i32 {
    if out(text) { 0 } else { 3 }
}

pub fn explain(codes: &[Code]) -> i32 {
    match codes {
        [code] => out(&report::explain(*code)),
        codes => out(&codes.iter().fold(String::new(), |all, code| {
            let data = code.data();
            all + &format!("{:<26} {:<8} {}\n", data.name, data.severity.name(), data.condition)
        })),
    };
    0
}

/// An error, with its causes and what to do. Gives the exit code.
pub fn error(error: &Error, terminal: &TerminalSettings) -> i32 {
    if let Error::Scenario(errors) = error {
        let theme = if terminal.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let mut shown = String::new();
        let width = match args::columns(&Term::stderr()) {
            0 => 100,
            columns => usize::from(columns).clamp(40, 100),
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width);
        match handler.render_report(&mut shown, errors.as_ref()) {
            Ok(()) => eprint!("{shown}"),
            Err(_) => eprintln!("error: {error}"),
        }
        return error.exit_code();
    }
    eprintln!("error: {}", commands::with_causes(error));
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
    error.exit_code()
}

/// To standard output. A reader that went away is no error: `rehearsal report … | head`.
fn out(text: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("error: could not write to standard output: {error}");
            false
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests;
