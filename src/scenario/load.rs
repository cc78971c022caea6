//! From a path to a scenario: the file, the files it extends, and all their problems at once.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::grammar::ScenarioFile;
use super::leaf::Text;
use super::problem::{Mistake, Problems, SCENARIO_FILE, ScenarioErrors};
use super::read::read;
use super::tree::{self, At, Node, Place, Table};
use super::{Scenario, validate};

/// The file that a scenario's folder holds.
const FILE_NAME: &str = "scenario.toml";

/// Reads the scenario at `path`, which is the file or its folder, and checks all of it, the files included that it names.
///
/// # Errors
/// Everything that is wrong with it, and everything that it asks for and is not built yet.
pub fn load(path: &Path) -> Result<Scenario, ScenarioErrors> {
    let mut problems = Problems::default();
    let file = in_folder(path);
    let mut loader = Loader { problems: &mut problems, chain: Vec::new(), whole: true };
    let document = loader.read(&file, None);
    let whole = loader.whole;
    let raw = document.and_then(|document| read::<ScenarioFile>(document, &mut problems));
    let scenario = if whole {
        raw.and_then(|raw| validate::scenario(raw.value, file, &mut problems))
    } else {
        // Names and keys may stand in the base that could not be read: only the forms of what is here can be judged.
        problems.forget_missing_keys();
        None
    };
    match (problems.into_errors(), scenario) {
        (None, Some(scenario)) => Ok(scenario),
        (Some(errors), _) => Err(errors),
        (None, None) => unreachable!("whatever yields no scenario has recorded why"),
    }
}

/// The scenario file's JSON Schema, from the tables that the reader reads. It judges a file as it lies there: where a base may stand
/// under it, or it is itself a base, keys may be missing.
pub fn json_schema() -> Value {
    let generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<ScenarioFile>().to_value();
    let of_whole = required_of_whole(&mut schema);
    schema["anyOf"] = json!([
        { "description": "A file that builds on another.", "required": ["extends"] },
        { "description": "A file that others build on: it has no plan.", "not": { "required": ["step"] } },
        of_whole,
    ]);
    schema
}

/// Takes what the scenario and its tables require out of their own schemas, and gives it as a schema of a file that is whole by itself.
/// Tables in lists keep theirs, since lists are not merged.
fn required_of_whole(schema: &mut Value) -> Value {
    let mut of_whole = json!({ "description": "A whole scenario.", "required": schema["required"].take() });
    let keys = schema["properties"].as_object().into_iter().flatten();
    let tables: Vec<(String, String)> = keys
        .filter_map(|(key, form)| Some((key.clone(), form["$ref"].as_str()?.strip_prefix("#/$defs/")?.to_owned())))
        .collect();
    for (key, table) in tables {
        if let Some(required) = schema["$defs"][&table].as_object_mut().and_then(|table| table.remove("required")) {
            of_whole["properties"][key] = json!({ "required": required });
        }
    }
    schema.as_object_mut().and_then(|schema| schema.remove("required"));
    of_whole
}

fn in_folder(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() }
}

struct Loader<'p> {
    problems: &'p mut Problems,
    /// Canonical paths from the scenario file to the base being read.
    chain: Vec<PathBuf>,
    /// No base is missing from what was read.
    whole: bool,
}

impl Loader<'_> {
    /// The file with what it extends laid under it. `named_at` is where its name stands, for a base.
    fn read(&mut self, file: &Path, named_at: Option<Place>) -> Option<At<Node>> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                let at = named_at.unwrap_or_else(|| self.unread(file));
                let what = if named_at.is_some() { "base" } else { SCENARIO_FILE };
                self.problems.raise(at, unreadable(file, what, &error));
                return None;
            }
        };
        let canonical = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        if let (Some(at), true) = (named_at, self.chain.contains(&canonical)) {
            let chain = self.chain.iter().chain([&canonical]).map(|file| file.display().to_string());
            let chain = chain.collect::<Vec<_>>().join(" → ");
            self.problems.raise(at, Mistake::ExtendsCycle { chain });
            return None;
        }
        self.chain.push(canonical);
        let number = self.problems.add_file(file.to_owned(), text.clone());
        match tree::parse(number, &text) {
            Ok(table) => self.extend(table),
            Err(errors) => {
                for error in errors {
                    self.problems.raise(error.at, Mistake::Syntax { message: error.message });
                }
                None
            }
        }
    }

    fn extend(&mut self, mut document: At<Table>) -> Option<At<Node>> {
        let at = document.at;
        let Some((_, extends)) = document.value.take("extends") else {
            return Some(At { value: Node::Table(document.value), at });
        };
        let base = self.base(extends);
        let Some(mut merged) = base else {
            self.whole = false;
            return Some(At { value: Node::Table(document.value), at });
        };
        if let Node::Table(under) = &mut merged.value {
            under.merge(document.value);
        }
        Some(At { value: merged.value, at })
    }

    fn base(&mut self, extends: At<Node>) -> Option<At<Node>> {
        let name: At<Text> = read(extends, self.problems)?;
        let path = in_folder(&self.problems.folder(name.at).join(&name.value.0));
        self.read(&path, Some(name.at))
    }

    /// A place for a problem with a file of which there is no text.
    fn unread(&mut self, file: &Path) -> Place {
        let number = self.problems.add_file(file.to_owned(), String::new());
        Place { file: number, start: 0, end: 0 }
    }
}

pub(super) fn unreadable(file: &Path, what: &'static str, error: &std::io::Error) -> Mistake {
    let path = file.display().to_string();
    match error.kind() {
        std::io::ErrorKind::NotFound => Mistake::NotFound { what, path },
        std::io::ErrorKind::InvalidData => Mistake::Unreadable { path, reason: "it is not UTF-8 text".into() },
        _ => Mistake::Unreadable { path, reason: error.to_string() },
    }
}
