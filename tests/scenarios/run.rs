//! Runs the program on a scenario and reads what it left.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rehearsal::engine::postgres::server;
use rehearsal::lab;
use rehearsal::settings::LabChoice;
use serde_json::Value;

pub const LABS: [&str; 2] = ["native", "docker"];

/// What one run left. The folder goes with it.
pub struct Run {
    pub exit: i32,
    pub report: Value,
    pub output: Output,
    folder: tempfile::TempDir,
}

static MACHINE: RwLock<()> = RwLock::new(());

/// Held while a run goes on: timings want the machine for themselves.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Held while a run goes on of which no short time is asked: others of the kind may go on beside it.
pub fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this machine has the lab at all. With `CI=true` every lab is there, or the test fails in it.
pub fn has(lab: &str) -> bool {
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        return true;
    }
    match lab {
        "native" => Path::new("/usr/lib/postgresql/15/bin/postgres").exists(),
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(lab::choose(LabChoice::Docker, &[server::software("15")])).is_ok()
        }
    }
}

pub fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name).join("scenario.toml")
}

/// A scenario beside another: the same with some tables laid over it.
pub fn variant(folder: &Path, of: &Path, over: &str) -> PathBuf {
    let file = folder.join("variant.toml");
    let text = format!("extends = {:?}\n{over}\n", of.to_str().expect("paths here are text"));
    std::fs::write(&file, text).expect("the folder can be written to");
    file
}

pub fn rehearse(scenario: &Path, lab: &str) -> Run {
    launch(scenario, lab, &[], &[])
}

/// With these in the program's environment.
pub fn rehearse_with(scenario: &Path, lab: &str, environment: &[(&str, &str)]) -> Run {
    launch(scenario, lab, &[], environment)
}

/// With row values where they are left out otherwise.
pub fn rehearse_showing_values(scenario: &Path, lab: &str) -> Run {
    launch(scenario, lab, &["--show-values"], &[])
}

/// How often a run is made whose own report says that this machine was too busy to tell.
const ATTEMPTS: usize = 3;

/// A run that came to a verdict, or that did not for a reason of its own.
fn launch(scenario: &Path, lab: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let run = || once(scenario, lab, arguments, environment);
    (1..ATTEMPTS).fold(run(), |last, _| if last.was_starved() { run() } else { last })
}

fn once(scenario: &Path, lab: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_rehearsal"))
        .arg("run")
        .arg(scenario)
        .args(["--lab", lab, "--out"])
        .arg(folder.path().join("run"))
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the program starts");
    let report = std::fs::read(folder.path().join("run/report.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or(Value::Null);
    Run { exit: output.status.code().unwrap_or(-1), report, output, folder }
}

impl Run {
    /// Inconclusive, and for nothing but the harness itself having been late.
    fn was_starved(&self) -> bool {
        let why = self.report["why"].as_array().map(Vec::as_slice).unwrap_or_default();
        let late = |why: &Value| why["what"].as_str().is_some_and(|what| what.contains("while the harness itself was"));
        self.exit == 3 && !why.is_empty() && why.iter().all(late)
    }

    /// The error codes found, once each, in order.
    pub fn errors(&self) -> Vec<String> {
        let mut codes: Vec<String> = self.report["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|finding| finding["severity"] == "error")
            .filter_map(|finding| finding["code"].as_str().map(str::to_owned))
            .collect();
        codes.sort();
        codes.dedup();
        codes
    }

    /// One of the files that it left; empty if it is not there.
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join("run").join(name)).unwrap_or_default()
    }

    /// Everything the run said, for a failed assertion.
    pub fn told(&self) -> String {
        format!(
            "exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.exit,
            String::from_utf8_lossy(&self.output.stdout),
            String::from_utf8_lossy(&self.output.stderr)
        )
    }

    #[track_caller]
    pub fn assert_exit(&self, exit: i32) -> &Run {
        assert_eq!(self.exit, exit, "{}", self.told());
        self
    }
}
