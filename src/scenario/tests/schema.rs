use std::collections::BTreeSet;

use serde_json::Value;

use super::super::load::json_schema;
use super::super::validate::{BUILT, NOT_BUILT};
use super::*;

/// The tables of the schema, by name, the scenario itself included.
fn tables() -> Vec<(String, Value)> {
    let schema = json_schema();
    let mut tables = vec![("ScenarioFile".to_owned(), schema.clone())];
    let definitions = schema["$defs"].as_object().unwrap();
    tables.extend(definitions.iter().map(|(name, table)| (name.clone(), table.clone())));
    tables
}

fn as_json(path: &Path) -> Value {
    let table: toml::Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    serde_json::to_value(table).unwrap()
}

/// All scenario files and their bases, each by itself.
#[test]
fn it_accepts_every_file_as_it_lies_there() {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                found.push(path);
            }
        }
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&project.join("scenarios"), &mut files);
    assert!(files.len() >= 12, "{files:?}");
    collect(&project.join("fixtures/scenarios"), &mut files);
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    for file in files {
        let file = as_json(&file);
        let errors: Vec<_> =
            validator.iter_errors(&file).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{file}: {errors:#?}");
    }
}

#[test]
fn keys_may_be_missing_only_where_a_base_has_them() {
    #[track_caller]
    fn check(text: &str, accepted: bool) {
        let value = serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
        assert_eq!(jsonschema::is_valid(&json_schema(), &value), accepted, "{text}");
    }
    let step = "[[step]]\nname = \"s\"\nsql = \"SELECT 1\"\n";
    for text in [
        "topology = { engine = \"postgres\", version = \"15\" }\nsnapshot.from = \"empty\"\n",
        "name = \"x\"\nsnapshot.from = \"empty\"\n",
        "name = \"x\"\ntopology = { engine = \"postgres\", version = \"15\" }\n",
        "name = \"x\"\ntopology.engine = \"postgres\"\nsnapshot.from = \"empty\"\n",
        "name = \"x\"\ntopology = { engine = \"postgres\", version = \"15\" }\nsnapshot.database = \"shop\"\n",
    ] {
        check(&format!("{text}{step}"), false);
        check(&format!("extends = \"base.toml\"\n{text}{step}"), true);
        check(text, true);
    }
    // What stands there is right or wrong wherever it stands.
    check("extends = \"base.toml\"\nnmae = \"x\"", false);
    check("extends = \"base.toml\"\n[[step]]\nsql = \"SELECT 1\"", false);
    check("[topology]\nversion = 15", false);
}

#[test]
fn it_refuses_what_the_reader_refuses() {
    #[track_caller]
    fn check(lines: &str) {
        let text = whole(lines);
        assert!(load(folder(&[("scenario.toml", text.as_bytes())]).path()).is_err(), "read: {text}");
        let value = serde_json::to_value(toml::from_str::<toml::Table>(&text).unwrap()).unwrap();
        assert!(!jsonschema::is_valid(&json_schema(), &value), "accepted: {text}");
    }
    check("nmae = \"y\"");
    check("[limits]\ndowntime = { raed = \"1s\" }");
    check("[limits]\nwindow = 3");
    check("[probes]\nauto = \"yes\"");
    check("[expect]\nfindings = [\"step-fialed\"]");
    check("[[step]]\nsql = \"SELECT 1\"");
    check("[[step]]\nname = \"s\"\ncheck = { sql = \"SELECT 1\" }");
    check("[[step]]\nname = \"s\"\nsql = \"\"");
    check("[[step]]\nname = \"s\"\nsql = \"SELECT 1\"\nretry = { lock_timeout = \"1s\", times = 0 }");
}

#[test]
fn no_table_takes_unknown_keys() {
    let open: Vec<_> = tables()
        .into_iter()
        .filter(|(_, table)| table["properties"].is_object() && table["additionalProperties"] != false)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(open, Vec::<String>::new());
}

/// The reader is asked about every key of a step's schema, and of the scenario's own: none of them may be unknown to it.
#[test]
fn the_reader_knows_every_key_of_the_schema() {
    let tables = tables();
    let keys = |name: &str| -> Vec<String> {
        let (_, table) = tables.iter().find(|(table, _)| table == name).unwrap();
        table["properties"].as_object().unwrap().keys().cloned().collect()
    };
    for (table, header) in [
        ("ScenarioFile", ""),
        ("TopologyTable", "[topology]\n"),
        ("NodeTable", "[topology.nodes.a]\n"),
        ("SnapshotTable", "[snapshot]\n"),
        ("ProbesTable", "[probes]\n"),
        ("CustomProbeTable", "[[probes.custom]]\n"),
        ("WorkloadTable", "[[workload]]\n"),
        ("ConsumerTable", "[topology.consumers.a]\n"),
        ("LimitsTable", "[limits]\n"),
        ("DowntimeTable", "[limits.downtime]\n"),
        ("StepTable", "[[step]]\n"),
        ("RetryTable", "[step.retry]\n"),
        ("ExpectTable", "[expect]\n"),
        ("ChangedTableEntry", "[[expect.changed]]\n"),
        ("GateTable", "[gate]\n"),
    ] {
        for key in keys(table) {
            let header = if table == "RetryTable" { "step = [{ retry = {" } else { header };
            let close = if table == "RetryTable" { " = 1979-05-27 }}]" } else { " = 1979-05-27" };
            let text = format!("{header}{key}{close}");
            let folder = folder(&[("scenario.toml", text.as_bytes())]);
            let errors = load(folder.path()).unwrap_err();
            let of_key: Vec<_> = errors
                .problems()
                .iter()
                .filter(|problem| matches!(&problem.mistake, Mistake::UnknownKey { .. }))
                .collect();
            assert!(of_key.is_empty(), "{text}: {of_key:#?}");
            // A date is right nowhere, so the key's own form has been looked at.
            let looked_at = |problem: &Problem| matches!(&problem.mistake, Mistake::WrongForm { found, .. } if found == "a date or time");
            assert!(errors.problems().iter().any(looked_at), "{text}: {}", rendered(&errors));
        }
    }
}

#[test]
fn the_actions_are_those_that_the_schema_calls_so() {
    let (_, step) = tables().into_iter().find(|(name, _)| name == "StepTable").unwrap();
    let called: BTreeSet<_> = step["properties"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, key)| {
            let about = key["description"].as_str().unwrap_or_default();
            about.contains("Action: ") || about.contains("Group: ")
        })
        .map(|(key, _)| key.as_str())
        .collect();
    let known: BTreeSet<_> = BUILT.iter().chain(NOT_BUILT).copied().chain(["steps"]).collect();
    assert_eq!(called, known);
}

#[test]
fn it_knows_every_finding() {
    let schema = json_schema().to_string();
    for code in crate::finding::Code::ALL {
        assert!(schema.contains(&format!("\"{code}\"")), "{code}");
    }
}
