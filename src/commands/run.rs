//! `rehearsal run SCENARIO`: the main job.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{Error, check, signals, with_causes};
use crate::engine::script::ScriptProblem;
use crate::event::log::LogWriter;
use crate::event::{Event, FORMAT, Recorded};
use crate::lab::lease::Base;
use crate::lab::{self, LabError, LabKind};
use crate::outcome::Outcome;
use crate::outcome::words::bare;
use crate::rehearsal::clock::Clock;
use crate::rehearsal::run::{Caching, Rehearsal};
use crate::rehearsal::{baseline, dispatcher, run};
use crate::scenario::{self, Scenario, SnapshotSource};
use crate::settings::{LabChoice, RunSettings};
use crate::topology::Released;
use crate::{lint, report, snapshot, topology};

pub use crate::event::Reporter;

/// A run that was carried out, whatever came of it.
pub struct RunDone {
    pub outcome: Outcome,
    pub records: Vec<Recorded>,
    pub folder: PathBuf,
    /// With `--keep`: how to reach the servers that still run.
    pub kept: Option<Released>,
    /// Why the evidence or the reports are not whole.
    pub lost: Option<String>,
}

/// Runs the scenario from beginning to end and writes its reports.
///
/// # Errors
/// Before anything started: a wrong scenario, wrong flags, or a machine without any server for it.
pub async fn run(settings: &RunSettings, displays: Vec<Box<dyn Reporter>>) -> Result<RunDone, Error> {
    let Prepared { scenario, lab, snapshot, touched, caching, base } =
        prepare(&settings.scenario, settings.lab, settings.cache_bytes).await?;
    let id = run_id();
    let folder = make_folder(settings, &id)?;
    let clock = Clock::start();
    let log = LogWriter::create(&folder).map_err(|error| no_folder(&folder, error.source))?;

    let cancel = CancellationToken::new();
    let (events, dispatched) = dispatcher::start(clock, Box::new(log), displays, cancel.clone());
    // Before the first server starts, so that no signal finds the run unprepared.
    let signals = signals::watch(events.clone(), cancel.clone());
    events.send(started(&scenario, &id, lab, &base));
    let rehearsal = Rehearsal {
        scenario: &scenario,
        lab,
        base: &base,
        run: &id,
        folder: &folder,
        keep: settings.keep,
        show_values: settings.show_values,
        snapshot,
        touched,
        caching,
    };
    let kept = run::rehearse(&rehearsal, &events, &cancel).await;
    events.send(Event::RunEnded { elapsed_ms: clock.now_ms() });
    drop(events);
    let dispatched = dispatched.await;
    signals.stop().await;
    finish(folder, kept, dispatched)
}

/// What is known before anything starts.
pub(super) struct Prepared {
    pub scenario: Scenario,
    pub lab: LabKind,
    /// Where it could be read without a host's programs; none either where there is a baseline of it.
    pub snapshot: Option<snapshot::Prepared>,
    /// Identifiers in the plan's text; none = a program may touch any table.
    pub touched: Option<BTreeSet<String>>,
    pub caching: Option<Caching>,
    pub base: Base,
}

/// Reads scenario, scripts and snapshot, and chooses the lab.
///
/// # Errors
/// A wrong scenario, wrong flags, or a machine without any server for it.
pub(super) async fn prepare(scenario: &Path, lab: LabChoice, cache_bytes: Option<u64>) -> Result<Prepared, Error> {
    let mut scenario = scenario::load(scenario)?;
    let read = lint::read(&scenario);
    wrong_scripts(&read.problems)?;
    wrong_environment(&scenario)?;
    let lab = check::choose(&scenario, lab).await.map_err(|lacking| lacks(&lacking))?;
    let base = Base::open().map_err(no_lab)?;
    let mut caching = None;
    // Baselines on this machine's disk, that is: memory is for what runs.
    let in_memory = lab == LabKind::Native && base.is_in_memory();
    if let Some(most_bytes) = cache_bytes.filter(|_| !in_memory && !read.setup_is_open) {
        let setup_files = read.setup_files;
        match baseline::key(&scenario, &setup_files, lab, base.path()).await {
            Ok(key) => caching = Some(Caching { key, most_bytes, setup_files }),
            Err(why) => tracing::info!(why, "no baseline is kept"),
        }
    }
    let is_kept = caching.as_ref().is_some_and(|caching| topology::has_baseline(&base, &caching.key));
    // A dump was read to its end when it was restored. What a snapshot says of production is told anew.
    let tells_more = matches!(scenario.snapshot.source, SnapshotSource::Folder { .. });
    let snapshot = if is_kept && !tells_more { None } else { readable(&scenario).await? };
    if let Some(prepared) = &snapshot {
        known_rows(&mut scenario, prepared);
    }
    Ok(Prepared { scenario, lab, snapshot, touched: read.touched, caching, base })
}

async fn readable(scenario: &Scenario) -> Result<Option<snapshot::Prepared>, Error> {
    let snapshot = check::snapshot(scenario, &CancellationToken::new()).await;
    snapshot.map(check::Snapshot::into_prepared).map_err(|error| {
        let (what, hint) = (with_causes(&error), error.hint());
        if error.is_usage() {
            Error::Usage { what, hint, source: None }
        } else {
            Error::Inconclusive { what, hint, source: None }
        }
    })
}

/// Rows that production held as the snapshot was taken, of tables of which the scenario says nothing.
fn known_rows(scenario: &mut Scenario, prepared: &snapshot::Prepared) {
    let given = &mut scenario.snapshot.production_rows;
    for (table, rows) in prepared.production_rows() {
        if !given.keys().any(|name| bare(name) == bare(&table)) {
            given.insert(table, rows);
        }
    }
}

fn finish(
    folder: PathBuf,
    kept: Option<Released>,
    dispatched: Result<dispatcher::Dispatched, tokio::task::JoinError>,
) -> Result<RunDone, Error> {
    let mut dispatched = dispatched.map_err(|error| Error::Inconclusive {
        what: "the run's dispatcher failed".into(),
        hint: None,
        source: Some(error.into()),
    })?;
    let mut lost = dispatched.log_lost.map(|error| with_causes(&error));
    if let Some(what) = &lost {
        // The log cannot hold this one, so that only this process knows.
        let hint = Some("make room for the run's folder, or give another --out".to_owned());
        let event = Event::HarnessFailed { what: what.clone(), hint, log: Vec::new() };
        let seq = dispatched.records.len() as u64 + 1;
        let at_ms = dispatched.records.last().map_or(0.0, |last| last.at_ms);
        dispatched.records.push(Recorded { seq, at_ms, event });
    }
    let outcome = Outcome::from_records(&dispatched.records);
    if let Err(error) = report::write_all(&folder, &dispatched.records, &outcome) {
        let again = format!("`rehearsal report {} --write` writes the reports once that is mended", folder.display());
        lost.get_or_insert_with(|| format!("{}\nhint: {again}", with_causes(&error)));
    }
    Ok(RunDone { outcome, records: dispatched.records, folder, kept, lost })
}

pub(super) fn no_lab(error: LabError) -> Error {
    Error::Inconclusive { what: with_causes(&error), hint: error.hint(), source: None }
}

/// All that the lab lacks.
fn lacks(lacking: &[check::Problem]) -> Error {
    let what = lacking.iter().map(|problem| problem.what.as_str()).collect::<Vec<_>>().join("\n");
    Error::Inconclusive { what, hint: lacking.iter().find_map(|problem| problem.hint.clone()), source: None }
}

/// A plan that cannot be read to its end is not begun.
fn wrong_scripts(problems: &[ScriptProblem]) -> Result<(), Error> {
    let Some(first) = problems.first() else { return Ok(()) };
    let told = problems.iter().map(|problem| match problem.place() {
        Some(place) => format!("{}:{}: {}", place.file, place.line, with_causes(problem)),
        None => with_causes(problem),
    });
    let what = told.collect::<Vec<_>>().join("\n");
    Err(Error::Usage { what, hint: first.hint().map(str::to_owned), source: None })
}

fn wrong_environment(scenario: &Scenario) -> Result<(), Error> {
    let missing = check::missing_variables(scenario);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::usage(
        format!("the environment lacks what the scenario takes from it: {}", missing.join(", ")),
        "export them, and run it again",
    ))
}

pub(super) fn started(scenario: &Scenario, id: &str, lab: LabKind, base: &Base) -> Event {
    let in_memory = || {
        let variable = lab::lease::VARIABLE;
        format!("the lab's folder is in memory: writes and fsyncs are faster than on a disk, which {variable} can name")
    };
    Event::RunStarted {
        format: FORMAT,
        run: id.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: jiff::Timestamp::now(),
        scenario: Box::new(scenario.clone()),
        lab: lab.name().to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        notes: (lab == LabKind::Native && base.is_in_memory()).then(in_memory).into_iter().collect(),
    }
}

/// Sorts by time, and is unlike any other run's: "20261122-010203-9f3a".
pub(super) fn run_id() -> String {
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    format!("{time}-{:04x}", rand::random::<u16>())
}

fn make_folder(settings: &RunSettings, id: &str) -> Result<PathBuf, Error> {
    let folder = settings.out.clone().unwrap_or_else(|| Path::new(".rehearsal/runs").join(id));
    if folder.join(crate::event::log::FILE).exists() {
        return Err(Error::usage(
            format!("{} holds another run already", folder.display()),
            "give another folder with --out, or remove that one",
        ));
    }
    std::fs::create_dir_all(&folder).map_err(|error| no_folder(&folder, error))?;
    Ok(folder)
}

fn no_folder(folder: &Path, error: std::io::Error) -> Error {
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    let what = format!("could not write to {}", folder.display());
    let source = Some(error.into());
    if full {
        Error::Inconclusive { what, hint: Some("the disk is full: make room, or give another --out".into()), source }
    } else {
        Error::Usage { what, hint: Some("give a folder that can be written to with --out".into()), source }
    }
}
