//! Wrong files and flags: exit 2 with the place and what to do, before any server starts.

use std::time::Duration;

use crate::support::{Ended, Room, SCENARIO, each};

/// Longer than reading files takes on a busy machine, and far shorter than starting a server and probing it.
const AT_ONCE: Duration = Duration::from_secs(4);

fn head(version: &str, from: &str) -> String {
    format!(
        "name = \"ugly\"\n[topology]\nengine = \"postgres\"\nversion = \"{version}\"\n[snapshot]\nfrom = \"{from}\"\n"
    )
}

/// A step that is right.
const STEP: &str = "[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n";

#[track_caller]
fn refused(room: &Room, ended: &Ended, says: &[&str]) {
    ended.exits(2).says(says);
    assert!(ended.elapsed < AT_ONCE, "it took {:?} to see what a look at the files tells", ended.elapsed);
    assert_eq!(ended.stdout, "", "errors go to standard error");
    assert!(!ended.out.exists(), "there is no run, so there is no folder of one");
    room.assert_clean();
}

#[test]
fn scenario_files() {
    // What is wrong, the file, and what is said about it.
    let table: &[(&str, String, &[&str])] = &[
        (
            "TOML that is none",
            "name = \"ugly\n[topology".to_owned(),
            &["not valid TOML: invalid basic string", "scenario.toml:1:13", "unclosed table, expected `]`"],
        ),
        ("an empty file", String::new(), &["scenario.toml", "topology"]),
        (
            "keys that nobody knows",
            format!(
                "{SCENARIO}[[step]]\nname = \"one\"\nsqll = \"SELECT 1\"\nbuget = \"2s\"\n[limit]\nwindow = \"1s\"\n"
            ),
            &[
                "unknown key `sqll`",
                "unknown key `buget`",
                "`budget`",
                "unknown key `limit`",
                "`limits`",
                "scenario.toml:11:1",
            ],
        ),
        (
            "a version that does not exist",
            head("99", "empty") + STEP,
            &["scenario.toml:4:11", "found \"99\"", "expected a version of postgres that is known here", "17, 18"],
        ),
        (
            "another engine",
            head("15", "empty").replace("postgres", "oracle") + STEP,
            &["scenario.toml:3:10", "oracle", "postgres"],
        ),
        (
            "a dump and a script that are not there",
            head("15", "gone.sql") + "[[step]]\nname = \"one\"\nfile = \"patch.sql\"\n",
            &["gone.sql", "patch.sql", "scenario.toml:6:8", "scenario.toml:9:8"],
        ),
        (
            "a base that is not there",
            format!("extends = \"../base.toml\"\n{SCENARIO}{STEP}"),
            &["base.toml", "scenario.toml:1:11"],
        ),
        (
            "a base that is itself",
            format!("extends = \"scenario.toml\"\n{SCENARIO}{STEP}"),
            &["extends", "scenario.toml"],
        ),
        (
            "two actions in one step",
            format!("{SCENARIO}[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\ncommand = \"true\"\n"),
            &["scenario.toml:9", "`sql`", "`command`"],
        ),
        (
            "durations without a unit",
            format!("{SCENARIO}[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\nbudget = 5\n"),
            &["scenario.toml:12:10", "expected a duration above zero, such as \"20ms\""],
        ),
        (
            "what is not built yet",
            format!("{SCENARIO}[[step]]\nname = \"one\"\npromote = \"s1\"\n"),
            &["`promote`", "not supported yet", "scenario.toml:11"],
        ),
        (
            "a variable that is not set",
            head("15", "env:UGLY_NO_SUCH_VARIABLE").replace("[[", "") + "unmasked = true\n" + STEP,
            &["UGLY_NO_SUCH_VARIABLE", "hint: export"],
        ),
        (
            "a dump of an unknown kind",
            head("15", "scenario.toml") + STEP,
            &["found a file of another kind", "scenario.toml:6:8", "pg_dump -Fc"],
        ),
    ];
    each(
        table,
        |case| case.0.to_owned(),
        |(_, text, says)| {
            let room = Room::new();
            room.write("scenario.toml", text);
            let ended = room.rehearse("native");
            refused(&room, &ended, says);
            // `check` sees it as well.
            room.run(&["check", "scenario.toml", "--lab", "native"]).exits(2).says(says);
        },
    );
}

#[test]
fn files_beside_the_scenario() {
    let gzipped = {
        use std::io::Write;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&b"CREATE TABLE orders (id int);\n".repeat(100)).expect("memory takes it");
        gz.finish().expect("memory takes it")
    };
    let cut_gz = gzipped[..gzipped.len() - 20].to_vec();
    // What is wrong, what the dump is called, what is in it, and what is said about it.
    let dumps: &[(&str, &str, Vec<u8>, &[&str])] = &[
        (
            "a dump that ends in a table's rows",
            "cut.sql",
            b"CREATE TABLE orders (id int);\nCOPY orders FROM stdin;\n1\n2".to_vec(),
            &["cut.sql ends in the middle of a statement or of a table's rows", "hint: take the dump again"],
        ),
        (
            "a dump that ends in a statement",
            "cut.sql",
            b"CREATE TABLE orders (id int,".to_vec(),
            &["cut.sql ends in the middle", "hint: take the dump again"],
        ),
        (
            "a packed dump cut short",
            "cut.sql.gz",
            cut_gz,
            &["cut.sql.gz is damaged or cut short", "hint: take the dump"],
        ),
        (
            "packed rubbish",
            "rubbish.sql.zst",
            b"rubbish that is not packed".to_vec(),
            &["a file that is not compressed as its name says", "scenario.toml:6:8"],
        ),
        (
            "an archive cut short",
            "cut.dump",
            b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec(),
            &["cut.dump is not an archive that pg_restore can read", "hint: take the dump again"],
        ),
        (
            "an archive by the name of a script",
            "archive.sql",
            b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec(),
            &["archive.sql is not an archive that pg_restore can read", "hint: take the dump again"],
        ),
        (
            "a role that nobody makes",
            "shop.sql",
            b"CREATE TABLE orders (id int);\nALTER TABLE orders OWNER TO bob;\n".to_vec(),
            &["needs roles that do not exist: bob", "hint: give them with roles = \"roles.sql\""],
        ),
        (
            "a dump of a newer server",
            "newer.sql",
            b"-- Dumped from database version 17.2\nCREATE TABLE orders (id int);\n".to_vec(),
            &["the snapshot comes from PostgreSQL 17.2, the node runs 15", "hint: set version = \"17\""],
        ),
        (
            "a dump of a whole cluster",
            "all.sql",
            b"CREATE ROLE bob;\nCREATE DATABASE shop;\n\\connect shop\nCREATE TABLE orders (id int);\n".to_vec(),
            &["a dump of a whole cluster", "hint: dump the one database"],
        ),
    ];
    each(
        dumps,
        |case| case.0.to_owned(),
        |(_, name, content, says)| {
            let room = Room::new();
            room.write(name, content);
            room.write("scenario.toml", head("15", name) + STEP);
            refused(&room, &room.rehearse("native"), says);
        },
    );
}

#[test]
fn scripts() {
    // What is wrong, the script, and what is said about it.
    let scripts: &[(&str, &str, &[&str])] = &[
        (
            "an include that is not there",
            "SELECT 1;\n\\i gone.sql\n",
            &["patch.sql:2", "gone.sql", "hint: \\i starts at"],
        ),
        (
            "a command of psql's that is not understood",
            "SELECT 1\n\\gexec\n",
            &["patch.sql:2", "\\gexec is not supported", "hint: write the statements out"],
        ),
        ("a script that includes itself", "\\i patch.sql\n", &["patch.sql:1", "hint:"]),
    ];
    each(
        scripts,
        |case| case.0.to_owned(),
        |(_, script, says)| {
            let room = Room::new();
            room.write("patch.sql", script);
            room.scenario("[[step]]\nname = \"one\"\nfile = \"patch.sql\"\n");
            refused(&room, &room.rehearse("native"), says);
        },
    );
}

#[test]
fn flags_and_folders() {
    let room = Room::new();
    refused(
        &room,
        &room.run(&["run", "gone.toml"]),
        &["there is no scenario file at gone.toml", "help: give the scenario"],
    );
    refused(&room, &room.run(&["run", "."]), &["there is no scenario file at ./scenario.toml"]);
    refused(&room, &room.run(&["run"]), &["<SCENARIO>", "--help"]);
    room.scenario(STEP);
    refused(&room, &room.run(&["run", "scenario.toml", "--lab", "cloud"]), &["cloud", "native, docker, auto"]);
    refused(&room, &room.run(&["run", "scenario.toml", "--ouut", "x"]), &["--ouut", "--out"]);

    let run = |out: &str| room.run(&["run", "scenario.toml", "--lab", "native", "--out", out]);
    room.write("file", "");
    refused(&room, &run("file"), &["could not write to file", "hint: give a folder that can be written to with --out"]);
    // Not even root may write there.
    refused(&room, &run("/proc/ugly"), &["could not write to /proc/ugly", "hint: give a folder"]);
    std::fs::create_dir(room.path("work/other")).expect("a folder");
    room.write("other/events.jsonl", "another run's");
    refused(&room, &run("other"), &["other holds another run already", "hint: give another folder with --out"]);
    assert_eq!(std::fs::read_to_string(room.path("work/other/events.jsonl")).expect("it is there"), "another run's");
}

#[test]
fn reports_of_what_is_no_run() {
    let room = Room::new();
    let event = "{\"seq\":1,\"at_ms\":0.1,\"event\":\"phase-started\",\"phase\":\"start\"}\n";
    let third = event.replace("\"seq\":1", "\"seq\":3");
    // The log, none for a folder without one, and what is said about it.
    let table: &[(Option<String>, &[&str])] = &[
        (None, &["no run can be read there", "events.jsonl: No such file", "hint: give the folder of a run"]),
        (Some(String::new()), &["events.jsonl has no events", "hint: the run was killed before its first event"]),
        (Some("{\"seq\":1,\"at".to_owned()), &["events.jsonl has no events", "hint: the run was killed"]),
        (Some("rubbish\n".to_owned()), &["events.jsonl, line 1, is not an event", "hint: the log is damaged"]),
        (
            Some(format!("{event}rubbish\n{event}")),
            &["events.jsonl, line 2, is not an event", "hint: the log is damaged"],
        ),
        (Some(format!("{event}\u{0}\u{0}\n")), &["events.jsonl, line 2, is not an event", "hint: the log is damaged"]),
        (
            Some(format!("{event}{third}")),
            &["events.jsonl, line 2, lacks events before it", "hint: the log is damaged"],
        ),
    ];
    for (number, (log, says)) in table.iter().enumerate() {
        let name = format!("run-{number}");
        std::fs::create_dir(room.path("work").join(&name)).expect("a folder");
        if let Some(log) = log {
            room.write(&format!("{name}/events.jsonl"), log);
        }
        for write in [&[][..], &["--write"]] {
            let ended = room.run(&[&["report", &name], write].concat());
            ended.exits(2).says(says);
            assert_eq!(ended.stdout, "");
        }
        assert!(!room.path("work").join(&name).join("report.json").exists());
    }
    room.run(&["report", "gone"]).exits(2).says(&["could not read gone", "hint: give the folder of a run"]);
}
