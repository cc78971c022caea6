use std::time::Duration;

use super::*;
use crate::finding::{Code, Severity};

fn loaded(lines: &str) -> Scenario {
    let folder = folder(&[("scenario.toml", whole(lines).as_bytes())]);
    load(folder.path()).unwrap_or_else(|errors| panic!("{}", rendered(&errors)))
}

fn first_action(lines: &str) -> Action {
    loaded(&format!("[[step]]\nname = \"s\"\n{lines}")).steps.remove(0).action
}

#[test]
fn a_base_lies_under_the_file() {
    let scenario = load(&fixture("whole.toml")).unwrap();
    let node = &scenario.topology.nodes[0];
    let settings: Vec<_> = node.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(settings, ["auto_explain.log_analyze=true", "jit=off", "max_connections=60", "work_mem=8MB"]);
    assert_eq!((scenario.topology.engine, node.version.as_str()), (EngineKind::Postgres, "15"));
    assert!(scenario.probes.auto);
    assert_eq!(scenario.probes.every, Duration::from_millis(25));
    assert_eq!(scenario.limits.window, Some(Duration::from_secs(600)));
    assert_eq!(scenario.limits.downtime_read, Some(Duration::from_secs(1)));
}

#[test]
fn every_key_of_a_single_node_is_understood() {
    let scenario = load(&fixture("whole.toml")).unwrap();
    assert_eq!(scenario.snapshot.production_rows["parcels"], 12_000_000);
    assert_eq!(scenario.snapshot.roles, Some(fixture("roles.sql")));
    assert_eq!(scenario.probes.budget_per_s, 10.0);
    assert_eq!(scenario.setup.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["setup 1", "labels"]);
    assert_eq!(scenario.fail_on, Severity::Warning);
    assert_eq!(scenario.expect.findings, Some(vec![Code::BudgetExceeded, Code::DowntimeExceeded]));
    let outline: Vec<_> = scenario.steps.iter().map(outline).collect();
    insta::assert_snapshot!(outline.join("\n"), @r#"
    column: sql by depot_owner on main, line 43 [undo of column: sql by depot_owner on main, line 52]
    backfill: command by superuser on main, line 55 [empty the column: sql by depot_owner on main, line 62, tell: command by superuser on main, line 63]
    patch: file by superuser on main, line 66
    statistics: analyze by superuser on main, line 73
    all statistics: analyze by superuser on main, line 77
    settle: wait by superuser on main, line 82
    no long transaction: wait by superuser on main, line 86
    again: restart by superuser on main, line 90
    grams are there: check by superuser on main, line 95
    "#);
}

fn outline(step: &Step) -> String {
    let undo: Vec<_> = step.undo.iter().map(outline).collect();
    let by = step.run_as.as_deref().unwrap_or("superuser");
    let undo = if undo.is_empty() { String::new() } else { format!(" [{}]", undo.join(", ")) };
    format!("{}: {} by {by} on {}, line {}{undo}", step.name, step.action.name(), step.on.join(", "), step.line)
}

#[test]
fn it_survives_the_event_log() {
    let scenario = load(&fixture("whole.toml")).unwrap();
    let text = serde_json::to_string(&scenario).unwrap();
    assert_eq!(serde_json::from_str::<Scenario>(&text).unwrap(), scenario);
}

#[test]
fn what_the_file_leaves_out_has_a_default() {
    let scenario = load(&fixture("smallest.toml")).unwrap();
    assert_eq!(scenario.topology.nodes.len(), 1);
    assert_eq!(scenario.topology.nodes[0].name, "primary");
    assert_eq!(scenario.steps[0].on, ["primary"]);
    assert_eq!(scenario.snapshot.source, SnapshotSource::Empty);
    assert_eq!(scenario.snapshot.database, "rehearsal");
    assert_eq!(scenario.fail_on, Severity::Error);
    assert_eq!(scenario.limits, Limits::default());
    let probes = scenario.probes;
    assert!(probes.auto && probes.custom.is_empty() && probes.open_transaction.is_none());
    assert_eq!(
        (probes.every, probes.down_after, probes.timeout),
        (Duration::from_millis(20), Duration::from_millis(100), Duration::from_secs(5))
    );
}

#[test]
fn durations() {
    #[track_caller]
    fn check(text: &str, expected_ms: u64) {
        let action = first_action(&format!("wait = \"{text}\""));
        assert_eq!(action, Action::WaitFor { time: Duration::from_millis(expected_ms) });
    }
    check("20ms", 20);
    check("1h30m", 5_400_000);
    check("1h 30m", 5_400_000);
    check("1.5s", 1_500);
    check("2 minutes", 120_000);
    check("1d", 86_400_000);
}

#[test]
fn commands() {
    #[track_caller]
    fn check(text: &str, expected: Invocation) {
        match first_action(text) {
            Action::Command(command) => assert_eq!(command.run, expected),
            other => panic!("{other:?}"),
        }
    }
    check("command = \"a | b\"", Invocation::Shell("a | b".into()));
    check("command = [\"a\", \"b c\"]", Invocation::Argv(vec!["a".into(), "b c".into()]));
    check("command = { run = \"a\" }", Invocation::Shell("a".into()));
    check("command = { run = [\"a\"] }", Invocation::Argv(vec!["a".into()]));
}

#[test]
fn on_means_the_one_node() {
    #[track_caller]
    fn check(lines: &str, expected: &str) {
        let topology =
            "topology = { engine = \"postgres\", version = \"15\", nodes.pg = { extensions = [\"unit@7\"] } }";
        let scenario = loaded(&format!("{topology}\n[[step]]\nname = \"s\"\n{lines}"));
        assert_eq!(scenario.steps[0].on, [expected]);
        let unit = Extension { name: "unit".into(), version: Some("7".into()) };
        assert_eq!(scenario.topology.nodes[0].extensions, [unit]);
    }
    check("analyze = true", "pg");
    check("on = \"writer\"\nanalyze = true", "pg");
    check("on = \"all\"\nanalyze = true", "pg");
    check("on = \"pg\"\nanalyze = true", "pg");
    check("restart = true", "pg");
    check("restart = \"pg\"", "pg");
}

#[test]
fn dumps_are_told_by_what_is_in_them() {
    #[track_caller]
    fn check(from: &str, expected: fn(PathBuf) -> SnapshotSource) {
        let text = whole("").replace("\"empty\"", &format!("\"{from}\""));
        let folder = folder(&[
            ("scenario.toml", text.as_bytes()),
            ("a.sql", b"SELECT 1;"),
            ("a.sql.gz", &[0x1f, 0x8b, 8, 0]),
            ("a.sql.zst", &[0x28, 0xb5, 0x2f, 0xfd, 0]),
            ("a.dump", b"PGDMP\x01\x0e"),
            ("misnamed.sql", b"PGDMP\x01\x0e"),
            ("a.dir/toc.dat", b"PGDMP\x01\x0e"),
        ]);
        let scenario = load(folder.path()).unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
        assert_eq!(scenario.snapshot.source, expected(folder.path().join(from)));
    }
    check("a.sql", |path| SnapshotSource::Sql { path, compression: Compression::None });
    check("a.sql.gz", |path| SnapshotSource::Sql { path, compression: Compression::Gzip });
    check("a.sql.zst", |path| SnapshotSource::Sql { path, compression: Compression::Zstd });
    check("a.dump", |path| SnapshotSource::Custom { path });
    check("misnamed.sql", |path| SnapshotSource::Custom { path });
    check("a.dir", |path| SnapshotSource::Directory { path });
}

#[test]
fn a_folder_of_mydumper_is_told_by_its_metadata() {
    let text = whole("topology = { engine = \"mariadb\", version = \"11.8\" }").replace("\"empty\"", "\"a.my\"");
    let folder = folder(&[("scenario.toml", text.as_bytes()), ("a.my/metadata", b"Started dump at")]);
    let scenario = load(folder.path()).unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    assert_eq!(scenario.snapshot.source, SnapshotSource::Mydumper { path: folder.path().join("a.my") });
    std::fs::remove_file(folder.path().join("a.my/metadata")).unwrap();
    let errors = load(folder.path()).unwrap_err();
    assert_eq!(errors.problems()[0].message, "found a folder without metadata, which mydumper writes last");
}

#[test]
fn a_live_server_is_known_by_its_variable_only() {
    let text = whole("").replace("\"empty\"", "\"env:SHOP_URL\"\nsnapshot.unmasked = true");
    let folder = folder(&[("scenario.toml", text.as_bytes())]);
    let scenario = load(folder.path()).unwrap();
    assert_eq!(scenario.snapshot.source, SnapshotSource::Url { variable: "SHOP_URL".into(), rules: None });
}

#[test]
fn paths_are_taken_from_the_file_they_stand_in() {
    let folder = folder(&[
        ("scenario.toml", b"extends = \"base/base.toml\"\nname = \"x\""),
        (
            "base/base.toml",
            whole("[[step]]\nname = \"s\"\nfile = \"patch.sql\"\n[[step]]\nname = \"c\"\ncommand = \"true\"")
                .as_bytes(),
        ),
        ("base/patch.sql", b"SELECT 1;"),
    ]);
    let scenario = load(&folder.path().join("scenario.toml")).unwrap();
    assert_eq!(scenario.steps[0].action, Action::File { path: folder.path().join("base/patch.sql") });
    let Action::Command(command) = &scenario.steps[1].action else { panic!("{:?}", scenario.steps[1].action) };
    assert_eq!(command.dir, folder.path().join("base"));
}

#[test]
fn a_base_may_have_a_base_and_lists_are_replaced() {
    let folder = folder(&[
        ("scenario.toml", b"extends = \"b.toml\"\n[[step]]\nname = \"mine\"\nanalyze = true\n[limits]\np99 = \"1s\""),
        ("b.toml", b"extends = \"more\"\nname = \"b\"\n[limits]\np99 = \"2s\"\nwindow = \"2h\""),
        ("more/scenario.toml", whole("[limits]\nwindow = \"1h\"\nlock_wait = \"3s\"").as_bytes()),
    ]);
    let scenario = load(folder.path()).unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    assert_eq!(scenario.name, "b");
    assert_eq!(scenario.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["mine"]);
    assert_eq!(scenario.limits.p99, Some(Duration::from_secs(1)));
    assert_eq!(scenario.limits.window, Some(Duration::from_secs(7200)));
    assert_eq!(scenario.limits.lock_wait, Some(Duration::from_secs(3)));
}
