//! `rehearsal check SCENARIO`: is the scenario right, and is everything there? Starts no server.

use std::path::Path;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Error, with_causes};
use crate::engine::script::ScriptProblem;
use crate::engine::server;
use crate::lab::{self, LabError, LabKind, Lacking, Outfit};
use crate::lint;
use crate::rehearsal::run::offer;
use crate::scenario::{
    self, Action, Command, Extension, Package, Scenario, ScenarioErrors, SnapshotSource, Step, Topology,
};
use crate::settings::LabChoice;
use crate::snapshot::{self, Prepared, SnapshotError};

/// What was found right, or wrong.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// None of a scenario file that is wrong itself.
    #[serde(flatten)]
    pub plan: Option<Plan>,
    pub problems: Vec<Problem>,
}

/// What would be rehearsed.
#[derive(Debug, Serialize)]
pub struct Plan {
    pub scenario: String,
    pub engine: String,
    pub version: String,
    /// Where a run would take place: "native" or "docker".
    pub lab: Option<String>,
    pub steps: usize,
    /// Images that a run would build first, and the packages that it would add.
    pub to_build: Vec<String>,
    /// What only a run can tell, and why.
    pub not_checked: Vec<String>,
}

impl Checked {
    /// 0 when all is well, 2 for what files and flags say is wrong, else 3 for what this machine lacks.
    pub fn exit_code(&self) -> i32 {
        match &self.problems[..] {
            [] => 0,
            problems if problems.iter().any(|problem| problem.usage) => 2,
            _ => 3,
        }
    }
}

impl From<&ScenarioErrors> for Checked {
    fn from(errors: &ScenarioErrors) -> Checked {
        Checked { plan: None, problems: errors.problems().iter().map(Problem::of_scenario).collect() }
    }
}

/// Something that a run would end with.
#[derive(Debug, Default, Serialize)]
pub struct Problem {
    /// Its kind, of a problem in the scenario file: "unknown-key".
    pub code: Option<&'static str>,
    pub what: String,
    pub file: Option<String>,
    /// From 1, and so is the column.
    pub line: Option<usize>,
    pub column: Option<usize>,
    /// The form that was expected there.
    pub expected: Option<String>,
    pub hint: Option<String>,
    /// The files are wrong, not this machine.
    pub usage: bool,
}

/// Checks the scenario, its scripts, its snapshot, and this machine.
///
/// # Errors
/// The scenario file itself is wrong.
pub async fn run(path: &Path, choice: LabChoice) -> Result<Checked, Error> {
    let scenario = scenario::load(path)?;
    let mut problems: Vec<Problem> = lint::read(&scenario).problems.iter().map(Problem::of_script).collect();
    problems.extend(missing_variables(&scenario).into_iter().map(|name| Problem {
        what: format!("the environment has no variable {name}"),
        hint: Some(format!("export {name}=…")),
        usage: true,
        ..Problem::default()
    }));
    let mut not_checked = Vec::new();
    let mut prepared = None;
    match snapshot(&scenario, &CancellationToken::new()).await {
        Ok(Snapshot::Prepared(read)) => prepared = Some(read),
        Ok(Snapshot::NotHere(why)) => not_checked.push(why),
        Err(error) => problems.push(Problem::of_snapshot(&error)),
    }
    let lab = match choose(&scenario, choice).await {
        Ok(kind) => Some(kind),
        Err(lacking) => {
            problems.extend(lacking);
            None
        }
    };
    let mut to_build = Vec::new();
    if let Some(kind) = lab {
        for node in &scenario.topology.nodes {
            match lab::outfit(kind, &node.name, &server::software_of(scenario.topology.engine, node)).await {
                Ok(Outfit::Whole) => {}
                Ok(Outfit::ToBuild { base, packages }) => {
                    add(&mut to_build, format!("{} added to {base}", list(&packages)))
                }
                Ok(Outfit::Unknown { program }) => {
                    add(&mut not_checked, format!("packages ({}), for want of {program}", list(&node.packages)));
                }
                Err(error) => problems.push(Problem::of_lab(with_causes(&error), &error)),
            }
        }
        for version in scenario.topology.versions() {
            match extensions(&scenario, version, prepared.as_deref(), kind).await {
                Ok(why) => why.into_iter().for_each(|why| add(&mut not_checked, why)),
                Err(error) => {
                    let problem = Problem::of_snapshot(&error);
                    problems.push(Problem { what: of_nodes(&scenario, Some(version), problem.what), ..problem });
                }
            }
        }
    }
    let plan = Plan {
        scenario: scenario.name.clone(),
        engine: scenario.topology.engine.name().to_owned(),
        version: scenario.version().to_owned(),
        lab: lab.map(|kind| kind.name().to_owned()),
        steps: scenario.steps.len(),
        to_build,
        not_checked,
    };
    Ok(Checked { plan: Some(plan), problems })
}

impl Problem {
    fn of_scenario(problem: &scenario::Problem) -> Problem {
        Problem {
            code: Some(problem.code),
            what: problem.message.clone(),
            file: Some(problem.file.display().to_string()),
            line: Some(problem.line),
            column: Some(problem.column),
            expected: problem.expected.clone(),
            hint: problem.hint.clone(),
            usage: true,
        }
    }

    fn of_script(problem: &ScriptProblem) -> Problem {
        Problem {
            what: with_causes(problem),
            file: problem.place().map(|place| place.file.clone()),
            line: problem.place().map(|place| place.line),
            hint: problem.hint().map(str::to_owned),
            usage: true,
            ..Problem::default()
        }
    }

    fn of_lab(what: String, error: &LabError) -> Problem {
        Problem { what, hint: error.hint(), ..Problem::default() }
    }

    fn of_snapshot(error: &SnapshotError) -> Problem {
        Problem { what: with_causes(error), hint: error.hint(), usage: error.is_usage(), ..Problem::default() }
    }
}

/// The snapshot, as far as this machine can read it without a server.
pub(super) enum Snapshot {
    Prepared(Box<Prepared>),
    /// It takes a host's programs, or a live server: what is left for the run, and why.
    NotHere(String),
}

impl Snapshot {
    pub(super) fn into_prepared(self) -> Option<Prepared> {
        match self {
            Snapshot::Prepared(prepared) => Some(*prepared),
            Snapshot::NotHere(_) => None,
        }
    }
}

pub(super) async fn snapshot(scenario: &Scenario, cancel: &CancellationToken) -> Result<Snapshot, SnapshotError> {
    let prepared = match snapshot::prepare(scenario.topology.engine, &scenario.snapshot, None, cancel).await {
        Ok(prepared) => prepared,
        // A variable that is not set is told with the others.
        Err(SnapshotError::NeedsLab | SnapshotError::NoVariable { .. }) => {
            let of = match &scenario.snapshot.source {
                SnapshotSource::Url { variable, .. } => variable,
                _ => "a live server",
            };
            return Ok(Snapshot::NotHere(format!("the database of {of}, which only a run reads")));
        }
        Err(SnapshotError::NoClientProgram { program }) => {
            return Ok(Snapshot::NotHere(format!("the snapshot, for want of {program} on this machine")));
        }
        Err(error) => return Err(error),
    };
    snapshot::check(&prepared, &offer(scenario, None)).await?;
    Ok(Snapshot::Prepared(Box::new(prepared)))
}

fn add(lines: &mut Vec<String>, line: String) {
    if !lines.contains(&line) {
        lines.push(line);
    }
}

fn list(packages: &[Package]) -> String {
    packages.iter().map(Package::to_string).collect::<Vec<_>>().join(", ")
}

/// The lab that has the servers of all nodes; else what it lacks.
pub(super) async fn choose(scenario: &Scenario, choice: LabChoice) -> Result<LabKind, Vec<Problem>> {
    let Topology { engine, .. } = scenario.topology;
    let versions = scenario.topology.versions();
    let software: Vec<_> = versions.into_iter().map(|version| server::software(engine, version)).collect();
    let problem = |error: LabError| Problem::of_lab(of_nodes(scenario, error.version(), with_causes(&error)), &error);
    lab::choose(choice, &software)
        .await
        .map_err(|Lacking { first, others }| std::iter::once(first).chain(others).map(problem).collect())
}

/// What is wrong with a version, and on which nodes where others run another.
fn of_nodes(scenario: &Scenario, version: Option<&str>, what: String) -> String {
    let nodes = scenario.topology.nodes.iter();
    let names: Vec<&str> =
        nodes.filter(|node| Some(node.version.as_str()) == version).map(|node| node.name.as_str()).collect();
    match &names[..] {
        [] => what,
        _ if names.len() == scenario.topology.nodes.len() => what,
        [name] => format!("node {name}: {what}"),
        _ => format!("nodes {}: {what}", names.join(", ")),
    }
}

/// Whether the lab's servers of that version have the extensions that their nodes and the snapshot ask for; else what could not be looked
/// at, and why.
async fn extensions(
    scenario: &Scenario,
    version: &str,
    prepared: Option<&Prepared>,
    kind: LabKind,
) -> Result<Option<String>, SnapshotError> {
    let nodes = scenario.topology.nodes.iter().filter(|node| node.version == version);
    // A subscriber gets a part of it, and has its own list.
    let is_restored = nodes.clone().any(|node| node.subscribes.is_none());
    let of_snapshot = prepared.filter(|_| is_restored).map(|prepared| &prepared.requirements.extensions);
    let of_nodes: Vec<&Extension> = nodes.flat_map(|node| &node.extensions).collect();
    // Into a container those of the nodes are brought where they are missing; in which version, shows there.
    let is_brought = |wanted: &Extension| {
        kind == LabKind::Docker && wanted.version.is_none() && of_nodes.iter().any(|other| other.name == wanted.name)
    };
    let mut wanted: Vec<Extension> = Vec::new();
    for extension in of_nodes.iter().copied().chain(of_snapshot.into_iter().flatten()) {
        if !wanted.contains(extension) && !is_brought(extension) {
            wanted.push(extension.clone());
        }
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    let named = |Extension { name, version }: &Extension| match version {
        Some(version) => format!("{name}@{version}"),
        None => name.clone(),
    };
    let names: Vec<String> = wanted.iter().map(named).collect();
    let left = |why: &str| Ok(Some(format!("extensions ({}), {why}", names.join(", "))));
    let engine = scenario.topology.engine;
    let Some(programs) = lab::programs(kind, &server::software(engine, version)).await else {
        return left("which lie in the container's image");
    };
    match server::lacking_extensions(engine, &programs, &wanted).await {
        Ok(lacking) if lacking.is_empty() => Ok(None),
        Ok(lacking) => Err(SnapshotError::missing_extensions(lacking, version)),
        Err(error) => {
            tracing::info!(%error, "the installation does not say where extensions lie");
            left("for want of pg_config beside the server")
        }
    }
}

/// Variables that the scenario takes from the environment and that are not there.
pub(super) fn missing_variables(scenario: &Scenario) -> Vec<String> {
    let mut names = Vec::new();
    if let SnapshotSource::Url { variable, .. } = &scenario.snapshot.source {
        names.push(variable.as_str());
    }
    for step in scenario.setup.iter().chain(&scenario.steps) {
        of_step(step, &mut names);
    }
    for consumer in &scenario.topology.consumers {
        names.extend(of_command(&consumer.command));
    }
    names.retain(|name| std::env::var_os(name).is_none());
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(str::to_owned).collect()
}

fn of_step<'s>(step: &'s Step, names: &mut Vec<&'s str>) {
    if let Action::Command(command) = &step.action {
        names.extend(of_command(command));
    }
    for undo in &step.undo {
        of_step(undo, names);
    }
}

fn of_command(command: &Command) -> impl Iterator<Item = &str> {
    command.env.values().filter_map(|value| value.strip_prefix("env:"))
}
