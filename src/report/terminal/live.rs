//! The run as it goes, on standard error: lines that move for a person, plain lines for a log.

use std::io::{self, Write};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::paint::Paint;
use crate::event::{Event, Phase, Recorded, ReportError, Reporter, StepResult, StepRole};
use crate::finding::Severity;
use crate::outcome::words::{bytes, count, date, duration, list, number, one_line};
use crate::outcome::{Progress, StepNow, StepState};
use crate::settings::TerminalSettings;

/// Lock waits shown at once; what waits longest comes first.
const WAITS: usize = 3;

/// The display of a run. Nothing at all if settings ask for quiet.
pub struct Live {
    progress: Progress,
    paint: Paint,
    display: Display,
    /// What is done with the scenario: "rehearsing".
    doing: &'static str,
    /// The last record's time on the run's clock and on ours.
    last: (f64, Instant),
}

enum Display {
    Quiet,
    Plain(Box<dyn Write + Send>),
    Bars(Box<Bars>),
}

/// What moves at the foot of the terminal, beneath the lines that stay.
struct Bars {
    all: MultiProgress,
    work: ProgressBar,
    waits: Vec<ProgressBar>,
    status: ProgressBar,
}

impl Live {
    /// On standard error, as the settings say.
    pub fn new(settings: &TerminalSettings) -> Live {
        match (settings.quiet, settings.live) {
            (true, _) => Live::on(Display::Quiet, settings),
            (false, true) => Live::moving(ProgressDrawTarget::stderr_with_hz(10), settings),
            (false, false) => Live::plain(Box::new(io::stderr()), settings),
        }
    }

    /// Moving lines on any terminal.
    pub fn moving(target: ProgressDrawTarget, settings: &TerminalSettings) -> Live {
        Live::on(Display::Bars(Box::new(Bars::new(target))), settings)
    }

    /// Plain lines into any writer.
    pub fn plain(to: Box<dyn Write + Send>, settings: &TerminalSettings) -> Live {
        Live::on(Display::Plain(to), settings)
    }

    fn on(display: Display, settings: &TerminalSettings) -> Live {
        let last = (0.0, Instant::now());
        Live { progress: Progress::default(), paint: Paint::new(settings), display, doing: "rehearsing", last }
    }

    /// Says that this is done with the scenario.
    #[must_use]
    pub fn doing(self, doing: &'static str) -> Live {
        Live { doing, ..self }
    }

    fn now_ms(&self) -> f64 {
        self.last.0 + self.last.1.elapsed().as_secs_f64() * 1e3
    }

    /// A line that stays.
    fn say(&mut self, at_ms: f64, line: &str) -> Result<(), ReportError> {
        let failed = |source| ReportError { what: "could not write to the terminal".into(), source };
        match &mut self.display {
            Display::Quiet => Ok(()),
            Display::Plain(to) => writeln!(to, "[{:>8.2} s] {line}", at_ms / 1e3).map_err(failed),
            Display::Bars(bars) => bars.all.println(format!("  {line}")).map_err(failed),
        }
    }

    /// The line that stays of an event, for those that are worth one.
    fn line(&self, at_ms: f64, event: &Event) -> Option<String> {
        let paint = &self.paint;
        match event {
            Event::RunStarted { scenario, lab, run, .. } => {
                let name = paint.bold(&scenario.name);
                let engine = scenario.topology.engine.name();
                let facts = format!("{engine} {}, {lab} lab, run {run}", scenario.version());
                Some(format!("{} {name}  {}", self.doing, paint.dim(&facts)))
            }
            Event::NodeReady { node, engine, version, elapsed_ms, .. } => {
                let version = version.split(' ').next().unwrap_or_default();
                Some(format!("{node} is up: {engine} {version}{}", self.aside(&duration(*elapsed_ms))))
            }
            Event::BaselineCloned { made, clone, bytes: size, elapsed_ms } => {
                let how = format!("{}, {}", clone.name(), bytes(*size));
                let made = date(&made.to_string());
                Some(format!("began with the baseline of {made}: {how}{}", self.aside(&duration(*elapsed_ms))))
            }
            Event::Restored { tables, elapsed_ms, .. } => {
                let rows = tables.iter().map(|table| table.rows).sum();
                let size = format!("{}, {}", count(tables.len() as u64, "table"), count(rows, "row"));
                // Nothing is restored again where a clone has it.
                let time = if *elapsed_ms > 0.0 { self.aside(&duration(*elapsed_ms)) } else { String::new() };
                let restored = if *elapsed_ms > 0.0 { "restored" } else { "which holds" };
                Some(format!("{restored} {size}{time}"))
            }
            Event::BeforeKept { clone, bytes: size, elapsed_ms, .. } => {
                let how = clone.name().replace('-', " ");
                Some(format!("kept the state before by {how}, {}{}", bytes(*size), self.aside(&duration(*elapsed_ms))))
            }
            Event::ProbesDerived { probes, run_as, not_probed, .. } => {
                let gaps = match not_probed.len() as u64 {
                    0 => String::new(),
                    gaps => format!(", {} left out", number(gaps)),
                };
                Some(format!("{} as {run_as}{gaps}", count(probes.len() as u64, "probe")))
            }
            Event::StepStarted { step, name, role, node, .. } if matches!(self.display, Display::Plain(_)) => {
                Some(format!("{} \"{name}\" begins on {node}", self.position(*step, *role)))
            }
            Event::StepEnded { step, role, node, result, elapsed_ms, error, .. } => {
                let error = error.as_ref().map(|error| match &error.sql {
                    Some(sql) => format!("{} ({})", sql.message, sql.code),
                    None => error.what.clone(),
                });
                let line = self.ended((*step, *role, node), *result, *elapsed_ms, error);
                Some(line + &self.down_so_far(at_ms))
            }
            Event::WorkloadDropped { node, reason, .. } => {
                let on = if node.is_empty() { String::new() } else { format!(" on {node}") };
                Some(format!("{} a workload is not run{on}: {reason}", paint.step(StepState::Interrupted)))
            }
            Event::ConsumerStarted { consumer, node, .. } => Some(format!("consumer {consumer} runs beside {node}")),
            Event::ConsumerEnded { consumer, asked: false, .. } => {
                Some(format!("{} consumer {consumer} ended by itself", paint.step(StepState::Failed)))
            }
            Event::CaughtUp { node, elapsed_ms } => {
                Some(format!("{node} has everything{}", self.aside(&duration(*elapsed_ms))))
            }
            Event::ReplicationBroken { node, what, .. } => {
                Some(format!("{} {node} stands still: {what}", paint.step(StepState::Failed)))
            }
            Event::Compared { diff, elapsed_ms, .. } => {
                let schema = count(diff.schema.len() as u64, "schema change");
                let data = format!("data of {} changed", count(diff.data.len() as u64, "table"));
                Some(format!("compared before and after: {schema}, {data}{}", self.aside(&duration(*elapsed_ms))))
            }
            Event::HarnessFailed { what, .. } => Some(format!("{} {what}", paint.step(StepState::Failed))),
            Event::Warned { what } => Some(format!("{} {what}", paint.step(StepState::Interrupted))),
            Event::Interrupted { .. } => Some("interrupted: shutting down in order".into()),
            _ => None,
        }
    }

    fn aside(&self, text: &str) -> String {
        format!("  {}", self.paint.dim(text))
    }

    fn position(&self, step: usize, role: StepRole) -> String {
        match role {
            StepRole::Setup => "setup".into(),
            StepRole::Undo => format!("undo of step {}", step + 1),
            StepRole::Plan => format!("step {}/{}", step + 1, self.progress.steps.len()),
        }
    }

    /// "✓ step 1/3 "rebuild orders"  3.48 s of 2 s  writes down 3.47 s".
    fn ended(
        &self,
        (step, role, node): (usize, StepRole, &str),
        result: StepResult,
        elapsed_ms: f64,
        error: Option<String>,
    ) -> String {
        let state = match result {
            StepResult::Done => StepState::Done,
            StepResult::Failed => StepState::Failed,
            StepResult::TimedOut => StepState::TimedOut,
            StepResult::Skipped => StepState::Skipped,
            StepResult::Interrupted => StepState::Interrupted,
        };
        let known = self.progress.step_on(node);
        let on = if known.is_some_and(|now| now.several) { format!(" on {node}") } else { String::new() };
        let name = known.map(|now| now.name.as_str());
        let name = name.or_else(|| self.progress.steps.get(step).map(|step| step.0.as_str())).unwrap_or("?");
        let mut line = format!("{} {} \"{name}\"{on}  ", self.paint.step(state), self.position(step, role));
        if result == StepResult::Skipped {
            return line + &self.paint.dim("skipped");
        }
        line.push_str(&duration(elapsed_ms));
        let budget_ms = self.progress.steps.get(step).filter(|_| role == StepRole::Plan).and_then(|step| step.1);
        if let Some(budget_ms) = budget_ms {
            line.push_str(&self.paint.dim(&format!(" of {}", duration(budget_ms))));
        }
        if !matches!(result, StepResult::Done) {
            line.push_str(&format!("  {}", state.words()));
        }
        if let Some(error) = error {
            line.push_str(&format!(": {error}"));
        }
        line
    }

    fn down_so_far(&self, at_ms: f64) -> String {
        let (read_ms, write_ms) = self.progress.down_ms(at_ms);
        match () {
            () if read_ms + write_ms == 0.0 => String::new(),
            () => self.aside(&format!("so far writes down {}, reads {}", duration(write_ms), duration(read_ms))),
        }
    }

    fn redraw(&mut self) {
        let now_ms = self.now_ms();
        let (progress, paint) = (&self.progress, &self.paint);
        let Display::Bars(bars) = &mut self.display else { return };
        if let Some(step) = progress.step() {
            bars.work.set_message(running(step, progress.steps.len(), now_ms, paint));
        }
        bars.show_waits(&waits(progress, now_ms, paint));
        bars.status.set_message(status(progress, now_ms, paint));
        bars.work.tick();
        bars.status.tick();
    }
}

fn running(step: &StepNow, of: usize, now_ms: f64, paint: &Paint) -> String {
    let elapsed_ms = (now_ms - step.started_ms).max(0.0);
    let position = match step.role {
        StepRole::Plan => format!("step {}/{of}", step.step + 1),
        StepRole::Setup => "setup".into(),
        StepRole::Undo => "undo".into(),
    };
    let mut text = format!("{position} {}  {}", paint.bold(&step.name), duration(elapsed_ms));
    if let Some(budget_ms) = step.budget_ms {
        let budget = format!(" of {}", duration(budget_ms));
        text.push_str(&if elapsed_ms > budget_ms {
            paint.severity(Severity::Error, &budget)
        } else {
            paint.dim(&budget)
        });
    }
    if let Some((index, sql)) = &step.statement {
        let all = step.statements.filter(|all| *all > 1).map(|all| format!("{}/{all} ", index + 1));
        text.push_str(&format!("  {}{}", all.unwrap_or_default(), paint.dim(&one_line(sql, 60))));
    }
    if let Some(retry) = &step.retry {
        text.push_str(&format!("  {retry}"));
    }
    text
}

fn waits(progress: &Progress, now_ms: f64, paint: &Paint) -> Vec<String> {
    let waits = progress.waits();
    let mut lines: Vec<String> = waits
        .iter()
        .take(WAITS)
        .map(|wait| {
            let on = wait.relation.as_ref().map_or_else(String::new, |name| format!(" on {name}"));
            let behind =
                if wait.blockers.is_empty() { String::new() } else { format!(" behind {}", list(&wait.blockers, 2)) };
            let waited = duration((now_ms - wait.started_ms).max(0.0));
            format!("  {} {} waits {waited} for {}{on}{behind}", paint.dim("⧗"), wait.waiter, wait.mode)
        })
        .collect();
    if waits.len() > WAITS {
        lines.push(paint.dim(&format!("    and {} more", count((waits.len() - WAITS) as u64, "lock wait"))));
    }
    lines
}

fn status(progress: &Progress, now_ms: f64, paint: &Paint) -> String {
    let Some(rate) = progress.probe_rate() else { return String::new() };
    let (read_ms, write_ms) = progress.down_ms(now_ms);
    let down = |name: &str, ms: f64| format!("{name} down {}", duration(ms));
    let mut parts = vec![down("writes", write_ms), down("reads", read_ms), format!("{rate:.0} probes/s")];
    let now = progress.down_now();
    if !now.is_empty() {
        let text = format!("down now: {}", list(&now, 3));
        parts.push(paint.severity(Severity::Error, &text));
    }
    format!("  {}", parts.join(" · "))
}

impl Reporter for Live {
    fn report(&mut self, recorded: &Recorded) -> Result<(), ReportError> {
        let line = self.line(recorded.at_ms, &recorded.event);
        self.progress.take(recorded);
        self.last = (recorded.at_ms, Instant::now());
        if let Some(line) = line {
            self.say(recorded.at_ms, &line)?;
        }
        if let Display::Bars(bars) = &mut self.display {
            bars.take(&recorded.event);
        }
        Ok(())
    }

    fn tick(&mut self) {
        self.redraw();
    }

    fn finish(&mut self) -> Result<(), ReportError> {
        if let Display::Bars(bars) = &mut self.display {
            bars.clear();
        }
        Ok(())
    }
}

impl Bars {
    fn new(target: ProgressDrawTarget) -> Bars {
        let all = MultiProgress::with_draw_target(target);
        let line = |style: &str| {
            let style = ProgressStyle::with_template(style).expect("the template is well formed");
            all.add(ProgressBar::new_spinner().with_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")))
        };
        let work = line("{spinner} {wide_msg}");
        let status = line("{wide_msg}");
        Bars { all, work, waits: Vec::new(), status }
    }

    /// Work whose size is known gets a bar with the time left.
    fn take(&mut self, event: &Event) {
        match event {
            Event::Progress { what, done, total } => {
                self.work.set_message(what.clone());
                let template = match (done, total) {
                    (Some(done), Some(total)) if *total > 0 => {
                        self.work.set_length(*total);
                        self.work.set_position(*done);
                        "{spinner} {msg}  {bar:24} {percent:>3} %  {eta} left"
                    }
                    _ => "{spinner} {wide_msg}",
                };
                self.style(template);
            }
            Event::PhaseStarted { phase } => {
                self.style("{spinner} {wide_msg}");
                // Rates and time left are of this work alone.
                self.work.reset();
                self.work.set_message(phase_words(*phase));
            }
            Event::StepEnded { .. } => self.work.set_message(""),
            _ => {}
        }
    }

    fn style(&self, template: &str) {
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        self.work.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ").progress_chars("━━╌"));
    }

    fn show_waits(&mut self, lines: &[String]) {
        while self.waits.len() > lines.len() {
            if let Some(bar) = self.waits.pop() {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
        }
        while self.waits.len() < lines.len() {
            let style = ProgressStyle::with_template("{wide_msg}").expect("the template is well formed");
            self.waits.push(self.all.insert_before(&self.status, ProgressBar::new_spinner().with_style(style)));
        }
        for (bar, line) in self.waits.iter().zip(lines) {
            bar.set_message(line.clone());
            bar.tick();
        }
    }

    fn clear(&mut self) {
        self.show_waits(&[]);
        self.work.finish_and_clear();
        self.status.finish_and_clear();
        // What a slow terminal lost is no reason to fail a run.
        let _ = self.all.clear();
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.clear();
    }
}

fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Start => "starting servers",
        Phase::Restore => "restoring the snapshot",
        Phase::Keep => "keeping the state before",
        Phase::Control => "probing before the plan",
        Phase::Plan => "running the plan",
        Phase::After => "probing after the plan",
        Phase::Compare => "comparing before and after",
        Phase::Stop => "stopping servers",
    }
}
