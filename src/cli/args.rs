//! The flags, as clap reads them.

use std::io::IsTerminal;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, Parser, ValueEnum};
use console::Term;

use crate::settings::{Format, LabChoice, RunSettings, TerminalSettings, UpSettings};

const EXIT_CODES: &str = "Exit codes: 0 passed, 1 the release failed its rehearsal, 2 wrong usage or scenario, 3 inconclusive, \
                          130 and 143 interrupted.";

/// What acts without a flag.
const ENVIRONMENT: &str = "\
Environment:
  REHEARSAL_LAB         the lab, where --lab names none
  REHEARSAL_LAB_DIR     folder of the labs and of baselines [default: rehearsal-UID in the temporary folder]
  REHEARSAL_NO_CACHE    as --no-cache, unless it is empty or 0
  REHEARSAL_CACHE_SIZE  as --cache-size, where that is not given
  DOCKER_HOST           where Docker listens [default: /var/run/docker.sock]
  NO_COLOR              no colours, unless it is empty
  CI                    plain lines instead of moving ones
  RUST_LOG              what is logged on standard error, such as rehearsal=debug; goes before -v";

/// A dress rehearsal for database releases.
///
/// Brings up a database like production's, restores a snapshot into it, replays the release plan while probes measure what users
/// would feel, compares schema and data before and after, and says whether the release passed.
#[derive(Debug, Parser)]
#[command(name = "rehearsal", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXIT_CODES}\n\n{ENVIRONMENT}"))]
pub struct Cli {
    /// Say less: no progress, only the result.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more on standard error; twice for still more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Subcommand,
}

impl Cli {
    pub fn terminal(&self) -> TerminalSettings {
        let stderr = std::io::stderr();
        TerminalSettings {
            quiet: self.quiet,
            live: stderr.is_terminal() && std::env::var_os("CI").is_none(),
            colour: takes_colour(&std::io::stdout()) && takes_colour(&stderr),
            columns: columns(&Term::stdout()),
        }
    }
}

pub(super) fn takes_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// 0 for what is no terminal.
pub(super) fn columns(stream: &Term) -> u16 {
    stream.size_checked().map_or(0, |(_, columns)| columns)
}

#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
    Run(RunArgs),
    Check(CheckArgs),
    Up(UpArgs),
    Down(DownArgs),
    Report(ReportArgs),
    Diff(super::diff::DiffArgs),
    Snapshot(super::snapshot::SnapshotArgs),
    Doctor(DoctorArgs),
    /// List the labs on this machine, live and left behind.
    Ls,
    Clean(CleanArgs),
    Cache(super::cache::CacheArgs),
    Explain(ExplainArgs),
}

/// Rehearse a release.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rehearsal run scenarios/rebuilt-table/as-it-happened
  rehearsal run migration.toml --lab docker --out rehearsed
  rehearsal run migration.toml --format json | jq .outcome")]
pub struct RunArgs {
    /// The scenario file, or its folder.
    pub scenario: PathBuf,
    /// Where the servers run.
    #[arg(long, value_enum, default_value_t = Lab::Auto, env = "REHEARSAL_LAB")]
    pub lab: Lab,
    /// Folder for the run's files [default: .rehearsal/runs/ID].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What standard output carries at the end.
    #[arg(long, value_enum, default_value_t = OutputFormat::Terminal)]
    pub format: OutputFormat,
    /// Leave the servers running for a look; `rehearsal down` takes them down.
    #[arg(long)]
    pub keep: bool,
    /// Let row values and literals of error messages into logs and reports.
    #[arg(long)]
    pub show_values: bool,
    #[command(flatten)]
    pub cache: CacheFlags,
}

/// Whether baselines are used and kept.
#[derive(Debug, Args)]
pub struct CacheFlags {
    /// Restore anew, and keep nothing for later runs.
    #[arg(long, env = "REHEARSAL_NO_CACHE", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_cache: bool,
    /// How much of restored clusters stays on this machine for later runs.
    #[arg(long, value_name = "SIZE", env = "REHEARSAL_CACHE_SIZE", default_value = "10GB")]
    pub cache_size: ByteSize,
}

impl CacheFlags {
    fn bytes(&self) -> Option<u64> {
        (!self.no_cache).then_some(self.cache_size.as_u64())
    }
}

impl RunArgs {
    pub fn settings(&self, terminal: TerminalSettings) -> RunSettings {
        RunSettings {
            scenario: self.scenario.clone(),
            lab: self.lab.into(),
            out: self.out.clone(),
            format: self.format.into(),
            keep: self.keep,
            show_values: self.show_values,
            cache_bytes: self.cache.bytes(),
            terminal,
        }
    }
}

/// Read a scenario and its SQL, and see whether this machine has all it needs; starts no server.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The scenario file, or its folder.
    pub scenario: PathBuf,
    #[arg(long, value_enum, default_value_t = Lab::Auto, env = "REHEARSAL_LAB")]
    pub lab: Lab,
    #[arg(long, value_enum, default_value_t = TextFormat::Text)]
    pub format: TextFormat,
}

/// Bring a scenario's nodes up, restore the snapshot, run the setup, and leave them running.
///
/// Goes as far as a run does before its plan, and prints where each node is reached. `rehearsal down` takes them down again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rehearsal up scenarios/rebuilt-table/as-it-happened
  rehearsal up migration.toml --lab native
  rehearsal up migration.toml --format json | jq -r '.nodes[].url'")]
pub struct UpArgs {
    /// The scenario file, or its folder.
    pub scenario: PathBuf,
    /// Where the servers run.
    #[arg(long, value_enum, default_value_t = Lab::Auto, env = "REHEARSAL_LAB")]
    pub lab: Lab,
    /// What standard output carries at the end.
    #[arg(long, value_enum, default_value_t = TextFormat::Text)]
    pub format: TextFormat,
    #[command(flatten)]
    pub cache: CacheFlags,
}

impl UpArgs {
    pub fn settings(&self) -> UpSettings {
        UpSettings { scenario: self.scenario.clone(), lab: self.lab.into(), cache_bytes: self.cache.bytes() }
    }
}

/// Take a lab down that `up` or `run --keep` left running.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rehearsal down
  rehearsal down 20261122-010203-9f3a")]
pub struct DownArgs {
    /// The lab, by its run, name or folder, as `rehearsal ls` lists them [default: the only one that is up].
    pub lab: Option<String>,
}

/// Write any report of a recorded run again, from its event log alone.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rehearsal report .rehearsal/runs/ID
  rehearsal report rehearsed --format markdown > comment.md
  rehearsal report rehearsed --write")]
pub struct ReportArgs {
    /// The run's folder, or its events.jsonl.
    pub run: PathBuf,
    #[arg(long, value_enum, default_value_t = OutputFormat::Terminal)]
    pub format: OutputFormat,
    /// Write report.json, report.md, report.html and junit.xml into the run's folder as well.
    #[arg(long)]
    pub write: bool,
}

/// Say what this machine can rehearse, and how to get the rest; starts and makes nothing.
///
/// Looks for a server and an image of every known version, a Docker Engine, room for labs, and the client programs that snapshots need.
/// Exits with 0 when at least one version can be run, 3 when none can.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rehearsal doctor
  rehearsal doctor --format json | jq '.servers[] | select(.native.state == \"here\") | .version'")]
pub struct DoctorArgs {
    #[arg(long, value_enum, default_value_t = TextFormat::Text)]
    pub format: TextFormat,
}

/// Remove what killed runs left: servers, containers, volumes, folders. Baselines are for `rehearsal cache prune`.
#[derive(Debug, Args)]
#[command(
    after_help = "Images that were built for `packages` or `extensions` are kept for the next run. Remove them with
  docker image prune --all --filter label=rehearsal.derived"
)]
pub struct CleanArgs {
    /// Remove the lab that `run --keep` left for this run as well.
    pub run: Option<String>,
}

/// Explain a finding: what was seen, what it does, what to do instead.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A code such as default-lost; none lists them all.
    pub code: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lab {
    /// Plain processes of the servers installed here.
    Native,
    /// Containers.
    Docker,
    /// Docker if an engine answers and an image can be had, else native.
    Auto,
}

impl From<Lab> for LabChoice {
    fn from(lab: Lab) -> LabChoice {
        match lab {
            Lab::Native => LabChoice::Native,
            Lab::Docker => LabChoice::Docker,
            Lab::Auto => LabChoice::Auto,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Terminal,
    Json,
    Markdown,
    Html,
    Junit,
    /// The recorded events, one a line.
    Events,
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Format {
        match format {
            OutputFormat::Terminal => Format::Terminal,
            OutputFormat::Json => Format::Json,
            OutputFormat::Markdown => Format::Markdown,
            OutputFormat::Html => Format::Html,
            OutputFormat::Junit => Format::Junit,
            OutputFormat::Events => Format::Events,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    Text,
    Json,
}
