//! What can be known of a plan's SQL, and of the workloads', before anything starts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::engine::release::{Checked, Script};
use crate::engine::script::{ScriptProblem, Source};
use crate::engine::workload::Template;
use crate::scenario::{Action, Scenario, Step};

/// What the scenario's scripts hold.
#[derive(Debug, Default)]
pub struct Read {
    /// Commands that are not understood, and files that cannot be read.
    pub problems: Vec<ScriptProblem>,
    /// Identifiers in the steps' statements, in lower case; none where a program may touch any table.
    pub touched: Option<BTreeSet<String>>,
    /// Files of the setup's scripts, with those that they include.
    pub setup_files: BTreeSet<PathBuf>,
    /// One of them includes a file of which only a run knows the name.
    pub setup_is_open: bool,
}

/// Reads every script of the scenario, undo, setup and workloads included, without running any.
pub fn read(scenario: &Scenario) -> Read {
    let folder = scenario.file.parent().unwrap_or(Path::new("."));
    let (mut problems, mut setup_files, mut setup_is_open) = (Vec::new(), BTreeSet::new(), false);
    for step in &scenario.setup {
        let read = read_step(scenario, step, folder, &mut problems);
        setup_is_open |= read.is_open;
        setup_files.extend(read.files);
    }
    let mut touched = Some(BTreeSet::new());
    for step in &scenario.steps {
        let identifiers = read_step(scenario, step, folder, &mut problems).identifiers;
        touched = touched.zip(identifiers).map(|(mut touched, more)| {
            touched.extend(more);
            touched
        });
    }
    for workload in &scenario.workloads {
        // Whatever an address is, it is text.
        let nodes = |node: &str, _| scenario.topology.node(node).map(|_| "0".to_owned());
        if let Err(wrong) = Template::read(scenario.topology.engine, &workload.file, folder, &nodes) {
            problems.extend(wrong);
        }
    }
    Read { problems, touched, setup_files, setup_is_open }
}

/// Of the step's own statements; none may touch any table where it is a program.
fn read_step(scenario: &Scenario, step: &Step, folder: &Path, problems: &mut Vec<ScriptProblem>) -> Checked {
    for undo in &step.undo {
        read_step(scenario, undo, folder, problems);
    }
    let source = match &step.action {
        Action::File { path } => Source::File(path.clone()),
        Action::Sql { text } => Source::Text {
            text: text.clone(),
            file: scenario.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            line: step.line,
        },
        Action::Command(_) => return Checked::default(),
        Action::Analyze { .. }
        | Action::Restart
        | Action::WaitFor { .. }
        | Action::WaitCaughtUp { .. }
        | Action::WaitUntil { .. }
        | Action::Check { .. }
        | Action::Compare { .. }
        | Action::TakeOut { .. }
        | Action::PutBack { .. }
        | Action::Route { .. } => return Checked { identifiers: Some(BTreeSet::new()), ..Checked::default() },
    };
    match Script::open(scenario.topology.engine, source, folder) {
        Ok(script) => {
            let mut checked = script.check();
            problems.append(&mut checked.problems);
            checked
        }
        Err(problem) => {
            problems.push(problem);
            Checked { identifiers: Some(BTreeSet::new()), ..Checked::default() }
        }
    }
}
