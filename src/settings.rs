//! What flags, environment and configuration file add up to, resolved once.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Which lab a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabChoice {
    Native,
    Docker,
    /// Docker if an engine answers and an image can be had, else plain processes.
    #[default]
    Auto,
}

/// What standard output carries when a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Terminal,
    Json,
    Markdown,
    /// The recorded events, one a line.
    Events,
    Junit,
    Html,
}

/// The settings of `rehearsal run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSettings {
    pub scenario: PathBuf,
    pub lab: LabChoice,
    /// Where the run's files go; `.rehearsal/runs/ID` when not given.
    pub out: Option<PathBuf>,
    pub format: Format,
    /// Leaves the servers running for a look.
    pub keep: bool,
    /// Row values and literals of error messages go into the reports.
    pub show_values: bool,
    /// How much of baselines stays on this machine; none = no baseline is used or kept.
    pub cache_bytes: Option<u64>,
    pub terminal: TerminalSettings,
}

/// The settings of `rehearsal up`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpSettings {
    pub scenario: PathBuf,
    pub lab: LabChoice,
    /// As in [`RunSettings`].
    pub cache_bytes: Option<u64>,
}

/// How the terminal is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TerminalSettings {
    pub quiet: bool,
    /// A person is looking: progress bars instead of plain lines.
    pub live: bool,
    pub colour: bool,
    /// Of standard output; 0 where it is no terminal.
    pub columns: u16,
}

/// The settings of `rehearsal diff`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffSettings {
    /// An endpoint: a URL, or `env:NAME` for one in the environment.
    pub before: String,
    pub after: String,
    pub schema: bool,
    pub data: bool,
    /// None = all.
    pub tables: Option<Vec<String>>,
    /// Rows a table whose values are shown.
    pub samples: usize,
    /// Keys of differing rows are read, up to a bound; they go into the JSON only.
    pub keys: bool,
}

/// The settings of `rehearsal snapshot capture`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureSettings {
    /// A URL, or `env:NAME` for one in the environment.
    pub source: String,
    pub out: PathBuf,
    /// Rows may be copied as they are.
    pub unmasked: bool,
    /// The rules file by which they are masked.
    pub rules: Option<PathBuf>,
    /// Where a draft of rules goes for columns about which none decides.
    pub draft: Option<PathBuf>,
    /// None = as many as this machine has cores, up to a bound.
    pub workers: Option<usize>,
    /// Bytes of rows a second.
    pub rate: Option<u64>,
}
