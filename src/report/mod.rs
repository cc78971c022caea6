//! Every report of a run: pure functions of its recorded events and of the outcome folded from them.

pub mod diff;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
mod reference;
pub mod snapshot;
pub mod terminal;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use reference::{explain, reference};

use crate::event::Recorded;
use crate::outcome::Outcome;
use crate::settings::{Format, TerminalSettings};

/// Names of the reports in a run's folder.
pub const JSON: &str = "report.json";
pub const MARKDOWN: &str = "report.md";
pub const HTML: &str = "report.html";
pub const JUNIT: &str = "junit.xml";

#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("could not write {path}")]
    NotWritten { path: PathBuf, source: io::Error },
    #[error("could not render the outcome as JSON")]
    Json(#[from] serde_json::Error),
    #[error("could not render the page")]
    Html(#[from] askama::Error),
    #[error("could not render the outcome as JUnit XML")]
    Junit(#[from] quick_junit::SerializeError),
}

/// A report as text, for standard output. The same records and outcome always give the same bytes.
///
/// # Errors
/// Only what the libraries that write JSON, HTML and XML could refuse.
pub fn render(
    format: Format,
    records: &[Recorded],
    outcome: &Outcome,
    terminal: &TerminalSettings,
) -> Result<String, RenderError> {
    match format {
        Format::Terminal => Ok(terminal::verdict(outcome, terminal)),
        Format::Json => Ok(json::text(outcome)?),
        Format::Markdown => Ok(markdown::text(outcome)),
        Format::Html => Ok(html::text(records, outcome)?),
        Format::Junit => Ok(junit::text(outcome)?),
        Format::Events => {
            let lines: Result<Vec<String>, _> = records.iter().map(serde_json::to_string).collect();
            Ok(lines?.into_iter().map(|line| line + "\n").collect())
        }
    }
}

/// Writes `report.json`, `report.md`, `report.html` and `junit.xml` into a run's folder, over what was there.
///
/// # Errors
/// [`RenderError`] with the file that could not be written; those before it are in place.
pub fn write_all(folder: &Path, records: &[Recorded], outcome: &Outcome) -> Result<(), RenderError> {
    let files = [(Format::Json, JSON), (Format::Markdown, MARKDOWN), (Format::Html, HTML), (Format::Junit, JUNIT)];
    for (format, name) in files {
        let path = folder.join(name);
        let text = render(format, records, outcome, &TerminalSettings::default())?;
        if let Err(source) = std::fs::write(&path, text) {
            // Half a report would be taken for one; that this one cannot be removed says no more than that it could not be written.
            let _ = std::fs::remove_file(&path);
            return Err(RenderError::NotWritten { path, source });
        }
    }
    Ok(())
}
