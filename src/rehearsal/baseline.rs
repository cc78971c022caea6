//! What goes into the state that a plan begins with, as the key of the baseline that is kept of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::event::{TableSize, with_causes};
use crate::scenario::{Action, EngineKind, Node, Scenario, SnapshotSource, Step};
use crate::snapshot::digest;
use crate::topology::{self, LabKind};

/// Changes with whatever this program puts into servers of its own before a plan, and with how a baseline is kept.
const FORMAT: u32 = 1;

/// Digests of snapshots, remembered below the folder of labs.
const DIGESTS: &str = "cache/digests.json";

/// What was made ready, for who begins with a clone of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub restored: Vec<Restored>,
    /// What was told meanwhile.
    pub notes: Vec<String>,
}

/// What one node holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Restored {
    pub node: String,
    pub kind: String,
    pub tables: Vec<TableSize>,
}

/// Everything that the state before the plan depends on.
#[derive(Serialize)]
struct Ingredients<'a> {
    format: u32,
    program: &'a str,
    lab: LabKind,
    engine: EngineKind,
    /// What each node's server is here.
    software: Vec<String>,
    nodes: &'a [Node],
    snapshot: String,
    setup: Vec<Step>,
    /// Digests of the setup's files.
    files: Vec<String>,
}

/// The key; else why no baseline is kept of that scenario: something in it may be another each time, or cannot be read.
pub async fn key(
    scenario: &Scenario,
    setup_files: &BTreeSet<PathBuf>,
    lab: LabKind,
    base: &Path,
) -> Result<String, String> {
    let setup: Vec<Step> = scenario.setup.iter().map(|step| Step { line: 0, ..step.clone() }).collect();
    if let Some(why) = setup.iter().find_map(unrepeatable) {
        return Err(why);
    }
    let software = topology::software(scenario, lab).await.map_err(|error| with_causes(&error))?;
    let (of_snapshot, memory) = (scenario.snapshot.clone(), base.join(DIGESTS));
    let setup_files = setup_files.clone();
    let hashing = tokio::task::spawn_blocking(move || {
        let files: Result<Vec<String>, _> = setup_files.iter().map(|path| digest::of_file(path)).collect();
        Ok((digest::of(&of_snapshot, &memory)?, files?))
    });
    let hashed: Result<_, crate::snapshot::SnapshotError> = hashing.await.expect("hashing does not panic");
    let (snapshot, files) = hashed.map_err(|error| with_causes(&error))?;
    let snapshot = snapshot.ok_or("its snapshot is a live server")?;
    let ingredients = Ingredients {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION"),
        lab,
        engine: scenario.topology.engine,
        software,
        nodes: &scenario.topology.nodes,
        snapshot,
        setup,
        files,
    };
    let text = serde_json::to_string(&ingredients).expect("plain data with text for keys");
    Ok(digest::digest(&[text])[..32].to_owned())
}

/// One line for people.
pub(super) fn what(scenario: &Scenario) -> String {
    let nodes = scenario.topology.nodes.len();
    let nodes = if nodes == 1 { String::new() } else { format!(", {nodes} nodes") };
    let snapshot = match &scenario.snapshot.source {
        SnapshotSource::Empty => "empty",
        SnapshotSource::Url { variable, .. } => variable,
        SnapshotSource::Sql { path, .. }
        | SnapshotSource::Custom { path }
        | SnapshotSource::Directory { path }
        | SnapshotSource::Folder { path }
        | SnapshotSource::Mydumper { path } => path.file_name().and_then(|name| name.to_str()).unwrap_or("a dump"),
    };
    let setup = if scenario.setup.is_empty() { "" } else { " and setup" };
    format!("{} {}{nodes}, {snapshot}{setup}", scenario.topology.engine.name(), scenario.version())
}

/// Why a step does not do the same each time, as far as the scenario says.
fn unrepeatable(step: &Step) -> Option<String> {
    let text = serde_json::to_string(&step.action).expect("plain data with text for keys");
    match step.action {
        Action::Command(_) => Some(format!("the setup step \"{}\" is a program", step.name)),
        _ if text.contains("${") => Some(format!("the setup step \"{}\" names where nodes are", step.name)),
        _ => None,
    }
}
