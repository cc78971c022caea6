//! Captures as they go, and what is in a snapshot's folder or wrong with it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::event::snapshot::{CaptureProgress, Damaged, SnapshotSummary};
use crate::outcome::words::{bytes, count, duration, number};
use crate::settings::TerminalSettings;

/// Between plain lines, at least.
const PLAIN_EVERY_MS: f64 = 5_000.0;

const BAR: &str = "{spinner} {wide_msg}  {bar:24} {percent:>3} %  {prefix}";

/// A capture on standard error: a bar for a person, plain lines for a log.
pub struct Capturing {
    to: To,
    last_ms: f64,
}

enum To {
    Nobody,
    Plain(Box<dyn Write + Send>),
    Bar(ProgressBar),
}

impl Capturing {
    /// On standard error, as the settings say.
    pub fn new(settings: &TerminalSettings) -> Capturing {
        let to = match (settings.quiet, settings.live) {
            (true, _) => To::Nobody,
            (false, true) => To::Bar(bar(ProgressDrawTarget::stderr_with_hz(10))),
            (false, false) => To::Plain(Box::new(io::stderr())),
        };
        Capturing { to, last_ms: 0.0 }
    }

    /// Plain lines into any writer.
    pub fn plain(to: Box<dyn Write + Send>) -> Capturing {
        Capturing { to: To::Plain(to), last_ms: 0.0 }
    }

    pub fn tell(&mut self, progress: &CaptureProgress) {
        let is_first = progress.tables == 0;
        match &mut self.to {
            To::Nobody => {}
            To::Plain(to) => {
                let is_due = is_first || progress.elapsed_ms - self.last_ms >= PLAIN_EVERY_MS;
                if !is_due {
                    return;
                }
                self.last_ms = progress.elapsed_ms;
                // Nobody who went away stops a capture.
                let _ = writeln!(to, "[{:>8.2} s] {}", progress.elapsed_ms / 1e3, line(progress));
            }
            To::Bar(bar) => {
                if is_first && progress.started_over {
                    bar.println(format!("  {}", line(progress)));
                }
                bar.set_length(progress.total_bytes.max(1));
                bar.set_position(progress.done_bytes);
                bar.set_message(so_far(progress));
                bar.set_prefix(left(progress).unwrap_or_default());
                bar.tick();
            }
        }
    }
}

impl Drop for Capturing {
    fn drop(&mut self) {
        if let To::Bar(bar) = &self.to {
            bar.finish_and_clear();
        }
    }
}

fn bar(target: ProgressDrawTarget) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR).expect("the template is well formed");
    let bar = ProgressBar::with_draw_target(Some(1), target);
    bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ").progress_chars("━━╌"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn line(progress: &CaptureProgress) -> String {
    if progress.tables == 0 {
        let over = "what an unfinished capture had left is removed: its rows are of another moment";
        return if progress.started_over { over.to_owned() } else { "asking the server what is there".to_owned() };
    }
    let mut line = so_far(progress);
    if let Some(left) = left(progress) {
        let percent = progress.done_bytes * 100 / progress.total_bytes.max(1);
        let _ = write!(line, ", {percent} %, {left}");
    }
    line
}

/// "captured 1,200,000 rows, 94 MB, 310,000 rows/s, next orders".
fn so_far(progress: &CaptureProgress) -> String {
    let mut text = format!("captured {}, {}", count(progress.rows, "row"), bytes(progress.bytes));
    if progress.elapsed_ms >= 1.0 {
        let rate = progress.rows as f64 * 1e3 / progress.elapsed_ms;
        let _ = write!(text, ", {} rows/s", number(rate as u64));
    }
    if let Some(table) = &progress.table {
        let _ = write!(text, ", next {table}");
    }
    text
}

/// By how fast it went so far.
fn left(progress: &CaptureProgress) -> Option<String> {
    let remaining = progress.total_bytes.checked_sub(progress.done_bytes)?;
    if progress.done_bytes == 0 {
        return None;
    }
    let left_ms = progress.elapsed_ms * remaining as f64 / progress.done_bytes as f64;
    Some(format!("{} left", duration((left_ms / 1e3).round() * 1e3)))
}

/// What is in a folder, for a person.
pub fn text(summary: &SnapshotSummary) -> String {
    let mut out = String::new();
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<11} {value}");
    };
    let of = if summary.is_standby { ", a standby" } else { "" };
    fact("source", format!("{} of {} {}{of}", summary.database, summary.engine, summary.server));
    fact("captured", summary.captured.to_string());
    let masked = if summary.is_masked { "masked" } else { "rows as they were, nothing masked" };
    fact("content", if summary.is_sampled { format!("a sample, {masked}") } else { masked.to_owned() });
    for (name, lines) in [
        ("masked", &summary.masked),
        ("sampled", &summary.sampled),
        ("not there", &summary.missed),
        ("orphans", &summary.orphans),
    ] {
        lines.iter().for_each(|line| fact(name, one_line(line)));
    }
    fact("text", format!("{}, {}", summary.encoding, summary.collation));
    if let Some(position) = &summary.position {
        fact("position", position.clone());
    }
    if !summary.extensions.is_empty() {
        fact("extensions", summary.extensions.join(", "));
    }
    if !summary.roles.is_empty() {
        fact("roles", summary.roles.join(", "));
    }
    fact("sequences", number(summary.sequences));
    for what in &summary.left_out {
        fact("left out", what.clone());
    }
    out.push('\n');
    let heading = ["table", "rows", "size", "stored", "chunks"].map(str::to_owned);
    let cells = summary.tables.iter().map(|table| {
        let rows = number(table.rows);
        let rows = if table.rows == table.production_rows {
            rows
        } else {
            format!("{rows} of {}", number(table.production_rows))
        };
        [one_line(&table.table), rows, bytes(table.bytes), bytes(table.stored_bytes), number(table.chunks)]
    });
    let rows: Vec<[String; 5]> = std::iter::once(heading).chain(cells).collect();
    let widths: Vec<usize> =
        (0..5).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    for [table, counted, size, stored, chunks] in &rows {
        let [first, second, third, fourth, fifth] = widths[..] else { continue };
        let _ =
            writeln!(out, "{table:<first$}  {counted:>second$}  {size:>third$}  {stored:>fourth$}  {chunks:>fifth$}");
    }
    let _ = writeln!(out, "\n{}", closing(summary));
    out
}

/// A name may hold line ends and the like.
fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// "11 tables, 1,900 rows, 210 kB, 60 kB stored".
pub fn closing(summary: &SnapshotSummary) -> String {
    format!(
        "{}, {}, {}, {} stored",
        count(summary.tables.len() as u64, "table"),
        count(summary.rows, "row"),
        bytes(summary.bytes),
        bytes(summary.stored_bytes)
    )
}

/// A line for each damage.
pub fn damages(damaged: &[Damaged]) -> String {
    let line = |damaged: &Damaged| {
        let table = damaged.table.as_ref().map(|table| format!("{table}: ")).unwrap_or_default();
        let file = damaged.file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default();
        format!("{table}{file}{}\n", damaged.why)
    };
    damaged.iter().map(line).collect()
}

/// "118 chunks, 1,200,000 rows: as they were written".
pub fn whole(chunks: u64, rows: u64) -> String {
    format!("{}, {}: as they were written\n", count(chunks, "chunk"), count(rows, "row"))
}

#[cfg(test)]
mod tests;
