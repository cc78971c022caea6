//! A plan of every kind of action, through the command line: programs and scripts, restarts, waits, retries, what is taken back.

use std::path::Path;

use serde_json::Value;

use crate::run::{Run, beside_others, has, rehearse};

const BASE: &str = r#"name = "plan"

[topology]
engine = "postgres"
version = "15"

[snapshot]
from = "empty"

[[setup]]
sql = """
CREATE ROLE app LOGIN;
CREATE ROLE builder LOGIN;
GRANT CREATE ON SCHEMA public TO builder;
CREATE TABLE notes (id bigserial PRIMARY KEY, body text NOT NULL DEFAULT 'empty');
INSERT INTO notes (body) SELECT 'note ' || n FROM generate_series(1, 1000) AS n;
GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO app;
GRANT USAGE ON SEQUENCE notes_id_seq TO app;
"""

[probes]
as = "app"
"#;

fn plan(folder: &Path, steps: &str, files: &[(&str, &str)]) -> Run {
    for (name, content) in files.iter().copied().chain([("scenario.toml", format!("{BASE}\n{steps}").as_str())]) {
        std::fs::write(folder.join(name), content).expect("the folder can be written to");
    }
    rehearse(&folder.join("scenario.toml"), "native")
}

fn steps(run: &Run) -> Vec<(&str, &str)> {
    let steps = run.report["steps"].as_array().unwrap_or_else(|| panic!("no steps: {}", run.told()));
    steps
        .iter()
        .filter(|step| step["role"] != "setup")
        .map(|step| (step["name"].as_str().expect("a name"), step["result"].as_str().expect("a result")))
        .collect()
}

fn step<'r>(run: &'r Run, name: &str) -> &'r Value {
    let steps = run.report["steps"].as_array().expect("a report lists its steps");
    steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step {name}: {}", run.told()))
}

fn sql(step: &Value) -> Vec<&str> {
    let statements = step["statements"].as_array().expect("a step lists its statements");
    statements.iter().map(|statement| statement["sql"].as_str().expect("a statement is text")).collect()
}

fn conditions(run: &Run) -> Vec<&str> {
    let findings = run.report["findings"].as_array().unwrap_or_else(|| panic!("no findings: {}", run.told()));
    findings.iter().filter_map(|finding| finding["condition"].as_str()).collect()
}

#[test]
fn every_action_does_its_part() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = r#"
[[step]]
name = "script"
file = "patch.sql"

[[step]]
name = "psql"
command = "psql -X -v ON_ERROR_STOP=1 -f note.sql"

[[step]]
name = "shell"
command = ["sh", "several.sh"]
takes = "3h"
outside_window = true

[[step]]
name = "url"
command = "psql -X ${node.primary.url} -c 'SELECT 1'"

[[step]]
name = "restart"
restart = true
limits = { downtime = "30s" }

[[step]]
name = "statistics"
analyze = { tables = ["notes"], stages = true }

[[step]]
name = "wait"
wait = { sql = "SELECT count(*) > 0 FROM notes", deadline = "10s" }

[[step]]
name = "another role"
as = "builder"
sql = "CREATE TABLE built (id integer)"
sign_off = "the owner"

[[step]]
name = "retried"
sql = "ALTER TABLE notes ADD COLUMN seen boolean"
retry = { lock_timeout = "1s", times = 3, pause = "100ms" }

[[step]]
name = "what became of it"
check = { sql = """
SELECT current_user, tableowner, (SELECT count(*) FROM copied),
       (SELECT string_agg(body, ' ' ORDER BY id) FROM notes WHERE id IN (1, 2) OR id > 1000 AND body LIKE 'from%')
FROM pg_tables WHERE tablename = 'built'""", rows = [["postgres", "builder", "3", "changed from psql from sh"]] }
"#;
    let files = [
        (
            "patch.sql",
            "\\set five 5\n\\i part.sql\nCREATE TABLE copied (id integer PRIMARY KEY, body text);\n\
             COPY copied FROM stdin;\n1\tone\n2\ttwo\\tb\n\\.\nINSERT INTO copied VALUES (:five, 'five');\n\
             CREATE INDEX CONCURRENTLY copied_body ON copied (body);\n",
        ),
        ("part.sql", "ALTER TABLE notes ADD COLUMN kind integer;\n"),
        ("note.sql", "INSERT INTO notes (body) VALUES ('from psql');\n"),
        (
            "several.sh",
            "set -e\npsql -X -c \"INSERT INTO notes (body) VALUES ('from sh')\"\n\
             psql -X -c \"UPDATE notes SET body = 'changed' WHERE id = 1\" -c 'DELETE FROM notes WHERE id = 2'\n",
        ),
    ];
    let run = plan(folder.path(), text, &files);
    run.assert_exit(0);
    assert!(steps(&run).iter().all(|(_, result)| *result == "done"), "{:?}", steps(&run));
    assert_eq!(step(&run, "script")["statements"].as_array().map(Vec::len), Some(5), "{}", step(&run, "script"));
    let shell = sql(step(&run, "shell"));
    assert_eq!(shell.len(), 3, "{shell:?}");
    assert!(shell[1].starts_with("UPDATE notes SET body ="), "{shell:?}");
    assert!(!shell[1].contains("changed"), "no values unless asked for: {shell:?}");
    let window_ms = run.report["totals"]["window_ms"].as_f64().expect("a number");
    assert!(window_ms < 3.0 * 3600.0 * 1e3, "what is outside the window is not in it: {window_ms}");
    let restart_down = run.report["probes"].as_array().expect("probes").iter().any(|probe| {
        probe["downtime"].as_array().is_some_and(|windows| windows.iter().any(|window| window["because"] == "restart"))
    });
    assert!(restart_down, "a restart is felt: {}", run.told());
}

#[test]
fn what_failed_is_taken_back_and_the_rest_is_left_out() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = r#"
[[step]]
name = "program"
command = "psql -X -v ON_ERROR_STOP=1 -c \"SELECT no_such_thing\""
when_failed = "continue"

[[step]]
name = "first"
sql = "CREATE TABLE first (id integer)"
undo = { sql = "DROP TABLE first" }

[[step]]
name = "second"
sql = "CREATE TABLE second (id integer); SELECT 1 / 0"
undo = { sql = "DROP TABLE second" }
when_failed = "undo_all"

[[step]]
name = "third"
sql = "SELECT 1"
"#;
    let run = plan(folder.path(), text, &[]);
    run.assert_exit(1);
    assert_eq!(run.errors(), ["step-failed"], "{}", run.told());
    let expected = [
        ("program", "failed"),
        ("first", "done"),
        ("second", "failed"),
        ("undo of second", "done"),
        ("undo of first", "done"),
        ("third", "skipped"),
    ];
    assert_eq!(steps(&run), expected, "{}", run.told());
    let conditions = conditions(&run);
    assert!(
        conditions.iter().any(|text| text.contains("column \"no_such_thing\" does not exist")),
        "a failed program's reason is the error, not the last line: {conditions:?}"
    );
    assert_eq!(run.report["diff"]["schema"], Value::Array(Vec::new()), "all of it was taken back: {}", run.told());
}

#[test]
fn what_lies_before_a_point_of_no_return_stands() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = r#"
[[step]]
name = "first"
sql = "CREATE TABLE first (id integer)"
undo = { sql = "DROP TABLE first" }

[[step]]
name = "second"
sql = "CREATE TABLE second (id integer)"
undo = { sql = "DROP TABLE second" }
point_of_no_return = true

[[step]]
name = "third"
sql = "CREATE TABLE third (id integer)"
undo = { sql = "DROP TABLE third", budget = "1ms" }

[[step]]
name = "fourth"
sql = "SELECT 1 / 0"
when_failed = "undo_all"
"#;
    let run = plan(folder.path(), text, &[]);
    run.assert_exit(1);
    assert_eq!(run.errors(), ["budget-exceeded", "step-failed"], "an undo has its budget too: {}", run.told());
    let expected =
        [("first", "done"), ("second", "done"), ("third", "done"), ("fourth", "failed"), ("undo of third", "done")];
    assert_eq!(steps(&run), expected, "{}", run.told());
}

/// What the plan did to roles and settings is the release's doing, and no fault of whoever rehearses it.
#[test]
fn a_plan_that_locks_itself_out_has_failed() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let table = [
        ("ALTER ROLE builder NOLOGIN", "as = \"builder\"\nsql = \"SELECT 1\"", "is not permitted to log in"),
        (
            "REVOKE CONNECT ON DATABASE rehearsal FROM PUBLIC",
            "as = \"builder\"\nsql = \"SELECT 1\"",
            "permission denied for database",
        ),
        (
            "ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'",
            "restart = true",
            "could not access file \"no_such_library\"",
        ),
    ];
    for (sql, step, says) in table {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = format!("[[step]]\nname = \"one\"\nsql = \"{sql}\"\n[[step]]\nname = \"two\"\n{step}\n");
        let run = plan(folder.path(), &text, &[]);
        run.assert_exit(1);
        assert_eq!(steps(&run), [("one", "done"), ("two", "failed")], "{}", run.told());
        assert!(conditions(&run).iter().any(|text| text.contains(says)), "{says}: {}", run.told());
    }
}

/// However rarely a probe comes round by itself, it is tried before the plan and after it.
#[test]
fn a_rare_probe_still_sees_what_the_last_step_broke() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let probe = |name: &str, sql: &str| {
        format!("[[probes.custom]]\nname = \"{name}\"\nkind = \"read\"\nevery = \"10m\"\nsql = \"{sql}\"\n")
    };
    let text = probe("rare", "SELECT body FROM notes LIMIT 1")
        + &probe("broken by itself", "SELECT no_such_column FROM notes")
        + "[[step]]\nname = \"break it\"\nsql = \"ALTER TABLE notes RENAME body TO text\"\n";
    let run = plan(folder.path(), &text, &[]);
    run.assert_exit(1);
    let failed =
        conditions(&run).into_iter().find(|text| text.contains("rare")).unwrap_or_else(|| panic!("{}", run.told()));
    assert!(failed.contains("body"), "{failed}");
    let gaps = run.report["not_rehearsed"].to_string();
    assert!(gaps.contains("no probe for broken by itself: refused in the control run"), "{gaps}");
}
