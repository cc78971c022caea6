//! Committed traffic beside the plan: what it reaches, what it writes to, what is wrong with it before anything is rehearsed.

use std::path::Path;

use serde_json::Value;

use crate::run::{Run, alone, beside_others, has, rehearse};

const POSTGRES: &str = r#"name = "traffic"
[topology]
engine = "postgres"
version = "15"
[snapshot]
from = "empty"
[[setup]]
sql = """
CREATE ROLE app LOGIN;
CREATE TABLE notes (id bigserial PRIMARY KEY, body text NOT NULL);
CREATE TABLE audit (id bigserial PRIMARY KEY, note_id bigint NOT NULL);
CREATE TABLE quiet (id integer PRIMARY KEY, body text);
CREATE TABLE bare (id integer PRIMARY KEY);
INSERT INTO notes (body) SELECT 'it''s \\ note ' || n FROM generate_series(1, 500) AS n;
INSERT INTO quiet SELECT n, 'quiet' FROM generate_series(1, 50) AS n;
CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO audit (note_id) VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER audited AFTER INSERT ON notes FOR EACH ROW EXECUTE FUNCTION audited();
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app;
"""
[probes]
as = "app"
"#;

const MARIADB: &str = r#"name = "traffic"
[topology]
engine = "mariadb"
version = "10.11"
[snapshot]
from = "empty"
[[setup]]
sql = """
CREATE TABLE notes (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, body VARCHAR(100) NOT NULL) ENGINE=InnoDB;
CREATE TABLE audit (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, note_id BIGINT NOT NULL) ENGINE=InnoDB;
CREATE TABLE quiet (id INT PRIMARY KEY, body VARCHAR(20)) ENGINE=InnoDB;
CREATE TABLE bare (id INT PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO notes (body) SELECT CONCAT('it''s a \\\\ note ', seq) FROM seq_1_to_500;
INSERT INTO quiet SELECT seq, 'quiet' FROM seq_1_to_50;
CREATE TRIGGER audited AFTER INSERT ON notes FOR EACH ROW INSERT INTO audit (note_id) VALUES (NEW.id);
"""
"#;

const ENGINES: [&str; 2] = [POSTGRES, MARIADB];

const WORKLOAD: &str = "[[workload]]\nname = \"write a note\"\nfile = \"note.sql\"\nrate = \"40/s\"\n";

/// Every value is the column's own: a row that is not found again is NULL where that is refused.
const NOTE: &str = "\
INSERT INTO notes (body) VALUES (${notes.body});
INSERT INTO audit (note_id) VALUES ((SELECT id FROM notes WHERE id = ${notes.id} AND body = ${notes.body}));
SELECT body FROM quiet WHERE id = ${quiet.id};
";

fn run(base: &str, note: &str, rest: &str) -> Run {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!("{base}{WORKLOAD}{rest}");
    let write = |name: &str, text: &str| std::fs::write(Path::new(folder.path()).join(name), text);
    write("scenario.toml", &text).expect("the folder can be written to");
    write("note.sql", note).expect("the folder can be written to");
    rehearse(&folder.path().join("scenario.toml"), "native")
}

fn workload(run: &Run) -> &Value {
    run.report["workloads"].get(0).unwrap_or_else(|| panic!("no workload: {}", run.told()))
}

fn gaps(run: &Run) -> String {
    let gaps = run.report["not_rehearsed"].as_array().unwrap_or_else(|| panic!("no gaps: {}", run.told()));
    gaps.iter().filter_map(|gap| gap["what"].as_str()).collect::<Vec<_>>().join("\n")
}

/// The plan changes one row of a table that the workload writes to as well, and nobody can tell whose a row is; a column that it adds is
/// the plan's all the same.
#[test]
fn it_runs_at_its_rate_and_what_it_writes_to_is_not_judged() {
    if !has("native") {
        return;
    }
    for base in ENGINES {
        let _machine = alone();
        let plan = "\
[[step]]
name = \"add\"
sql = \"ALTER TABLE notes ADD COLUMN seen INT\"
[[step]]
name = \"meanwhile\"
wait = \"2s\"
[expect]
unchanged = [\"audit\", \"quiet\"]
changed = []
";
        let run = run(base, NOTE, plan);
        run.assert_exit(0);
        let workload = workload(&run);
        assert_eq!(workload["dropped"], Value::Null, "{}", run.told());
        assert_eq!(workload["writes"], serde_json::json!(["audit", "notes"]), "{}", run.told());
        let phases = workload["phases"].as_array().expect("it ran");
        let names: Vec<&str> = phases.iter().filter_map(|phase| phase["phase"].as_str()).collect();
        assert_eq!(names, ["control", "plan", "after"], "{}", run.told());
        for phase in phases {
            let of = |name: &str| phase[name].as_f64().expect("a figure");
            assert!(of("count") > 0.0 && of("errors") == 0.0 && of("p50_ms") > 0.0, "{phase}\n{}", run.told());
            // What came of the starts is told, whether they were made or let go by: the first comes at once, the others in their time.
            let seconds = of("count") / of("reached_per_s");
            let starts = of("count") + of("missed");
            assert!((starts - seconds * 40.0).abs() <= 3.0, "{starts} starts in {seconds} s: {phase}");
        }
        let data = run.report["diff"]["data"].as_array().expect("rows changed");
        let mut changed: Vec<&str> = data.iter().filter_map(|change| change["table"].as_str()).collect();
        changed.sort_unstable();
        assert_eq!(changed, ["audit", "notes"], "{}", run.told());
        let schema = run.report["diff"]["schema"].as_array().expect("the schema changed");
        assert!(schema.iter().any(|change| change["object"] == "notes.seen"), "{}", run.told());
        let gaps = gaps(&run);
        let told = "what changed in the rows of audit and notes was not judged: changed by workload \"write a note\"";
        assert!(gaps.contains(told) && !gaps.contains("no committed traffic"), "{gaps}");
        let markdown = run.file("report.md");
        assert!(markdown.contains("| write a note | plan | 40/s |"), "{markdown}");
        assert!(run.file("report.html").contains("<td>write a note</td><td>plan</td>"));
    }
}

/// A quiet table is judged though a workload runs.
#[test]
fn what_it_only_reads_is_judged() {
    if !has("native") {
        return;
    }
    for base in ENGINES {
        let _machine = beside_others();
        let plan =
            "[[step]]\nname = \"all\"\nsql = \"UPDATE quiet SET body = 'loud'\"\n[expect]\nunchanged = [\"quiet\"]\n";
        let run = run(base, NOTE, plan);
        run.assert_exit(1);
        assert_eq!(run.errors(), ["data-changed-unexpectedly"], "{}", run.told());
    }
}

#[test]
fn what_does_not_work_before_the_plan_is_given_up() {
    if !has("native") {
        return;
    }
    for base in ENGINES {
        let _machine = beside_others();
        let run =
            run(base, "SELECT 1;\nSELECT nothing FROM notes;\n", "[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n");
        run.assert_exit(0);
        let dropped = workload(&run)["dropped"].as_str().unwrap_or_else(|| panic!("not dropped: {}", run.told()));
        assert!(dropped.starts_with("refused in the control run: note.sql:2: "), "{dropped}");
        let gaps = gaps(&run);
        assert!(gaps.contains("workload \"write a note\" was not run: refused in the control run"), "{gaps}");
        assert!(gaps.contains("no committed traffic of the application ran beside the plan"), "{gaps}");
    }
}

/// An error that comes with a step is told with its moment and code, once.
#[test]
fn what_fails_since_the_plan_is_a_finding() {
    if !has("native") {
        return;
    }
    // The step goes on for a while, so that whoever asks after the column was dropped asks during it.
    for (base, code, sleep) in [(POSTGRES, "42703", "SELECT pg_sleep(2)"), (MARIADB, "1054", "DO SLEEP(2)")] {
        let _machine = beside_others();
        let drop = format!("ALTER TABLE quiet DROP COLUMN body; {sleep}");
        let plan = format!(
            "[probes]\nauto = false\n[[step]]\nname = \"drop\"\nsql = \"{drop}\"\n[[step]]\nname = \"on\"\nwait = \"100ms\"\n"
        );
        let base = base.replace("[probes]\n", "[probes]\nauto = false\n");
        let plan = if base.contains("[probes]") { plan.replace("[probes]\nauto = false\n", "") } else { plan };
        let run = run(&base, NOTE, &plan);
        run.assert_exit(1);
        assert_eq!(run.errors(), ["workload-failed"], "{}", run.told());
        let finding = &run.report["findings"][0];
        let condition = finding["condition"].as_str().expect("text");
        assert!(condition.starts_with("workload \"write a note\" failed at note.sql:3 from "), "{condition}");
        assert!(condition.contains(&format!("({code})")) && condition.contains("step \"drop\""), "{condition}");
        assert_eq!(finding["step"], "drop", "{}", run.told());
    }
}

#[test]
fn mistakes_in_its_file_are_told_before_anything_starts() {
    if !has("native") {
        return;
    }
    for base in ENGINES {
        let run = run(base, "SELECT '${notes.id}';\n", "[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n");
        run.assert_exit(2);
        assert!(run.told().contains("note.sql:1: ${notes.id} stands in quotes"), "{}", run.told());
    }
}

#[test]
fn what_only_a_server_knows_is_told_before_the_plan() {
    if !has("native") {
        return;
    }
    for base in ENGINES {
        for (note, expected) in [
            ("SELECT ${nowhere.id};\n", "note.sql:1: there is no table nowhere"),
            ("SELECT 1;\nSELECT ${notes.nothing};\n", "note.sql:2: table notes has no column nothing"),
            ("SELECT ${bare.id};\n", "note.sql:1: table bare is empty"),
        ] {
            let run = run(base, note, "[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n");
            run.assert_exit(3);
            let why = run.report["why"][0]["what"].as_str().expect("why");
            assert!(why.contains(expected) && why.contains("write a note"), "{why}");
        }
    }
}

/// What commits by itself runs all the same: no row is judged then, and why is told.
#[test]
fn what_commits_by_itself_is_run_and_not_judged() {
    if !has("native") {
        return;
    }
    let routine = "CREATE PROCEDURE note() BEGIN INSERT INTO notes (body) VALUES ('x'); COMMIT; END";
    let plan = format!(
        "[[setup]]\nsql = \"\"\"DELIMITER //\n{routine}//\n\"\"\"\n[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n\
         [expect]\nchanged = []\n"
    );
    let _machine = beside_others();
    let run = run(MARIADB, "CALL note();\n", &plan);
    run.assert_exit(0);
    assert_eq!(workload(&run)["dropped"], Value::Null, "{}", run.told());
    assert_eq!(workload(&run)["unseen"], "note.sql:1 commits by itself", "{}", run.told());
    // By a trigger as well.
    let told = "what changed in the rows of audit and notes was not judged: it could not be seen what else is written by workload";
    assert!(gaps(&run).contains(told), "{}", gaps(&run));
}

/// An iteration that has no answer when the run ends was begun all the same.
#[test]
fn what_has_no_answer_in_the_end_is_counted() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let base = POSTGRES.replace("[probes]\n", "[probes]\nauto = false\n");
    let plan = "during = \"after\"\n[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n";
    let run = run(&base, "SELECT 1;\nSELECT pg_sleep(50);\n", plan);
    run.assert_exit(0);
    let phase = &workload(&run)["phases"][0];
    let of = |name: &str| phase[name].as_u64().expect("a figure");
    assert!(phase["phase"] == "after" && of("count") > 0 && of("count") == of("errors"), "{}", run.told());
    let failure = &workload(&run)["failures"][0];
    assert_eq!((&failure["place"]["line"], &failure["gave_up"]), (&2.into(), &true.into()), "{}", run.told());
}
