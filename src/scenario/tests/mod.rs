//! The file format from end to end: files that load, files that are refused and what is said about them, and the schema.

mod files;
mod groups;
mod loads;
mod mistakes;
mod references;
mod schema;
mod topology;
mod traffic;

use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};
use tempfile::TempDir;

use super::*;

/// A scenario of the project's own, written to cover the grammar.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios").join(name)
}

/// A folder with these files in it, by path.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, contents) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }
    folder
}

/// What is said about `scenario.toml` in that folder, as a person sees it.
fn said_in(folder: &TempDir) -> String {
    match load(folder.path()) {
        Ok(_) => "nothing is wrong".to_owned(),
        Err(errors) => rendered(&errors).replace(folder.path().to_str().unwrap(), "."),
    }
}

/// What is said about the text as a scenario file.
fn said(text: &str) -> String {
    said_in(&folder(&[("scenario.toml", text.as_bytes())]))
}

/// What is said about a file that is right but for these lines.
fn said_of(lines: &str) -> String {
    said(&whole(lines))
}

/// A file that is right but for these lines, which come first if they are keys of the scenario itself.
fn whole(lines: &str) -> String {
    let mut text = "name = \"x\"\nsnapshot.from = \"empty\"\n".to_owned();
    if !lines.contains("topology") {
        text += "topology = { engine = \"postgres\", version = \"15\" }\n";
    }
    text += lines;
    if !lines.contains("[[step]]") {
        text += "\n[[step]]\nname = \"s\"\nsql = \"SELECT 1\"\n";
    }
    text
}

fn rendered(errors: &ScenarioErrors) -> String {
    let mut text = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(120)
        .render_report(&mut text, errors)
        .unwrap();
    // The first line names the file, the lines between problems say nothing.
    text.lines().map(str::trim_end).filter(|line| !line.is_empty() && *line != "Error:").collect::<Vec<_>>().join("\n")
}
