//! A primary and its replicas, one of them of another: who is behind, for how long, and what runs where.

use crate::run::{LABS, Run, alone, beside_others, has, rehearse, scenario, variant};

const CASCADE: &str = r#"
name = "a cascade"
[topology.nodes.far]
replicates = "near-by"
[topology.nodes.primary]
[topology.nodes.near-by]
replicates = "primary"
settings = { work_mem = "8MB" }
"#;

/// Held for so long, and not allowed for so long.
const HELD: &str = r#"
[limits]
lag = "2s"
[[step]]
name = "hold the far one"
on = "far"
sql = "SELECT pg_wal_replay_pause(); SELECT pg_sleep(2)"
[[step]]
name = "write"
sql = "UPDATE orders SET note = 'x' WHERE id = 1"
[[step]]
name = "meanwhile"
wait = "2s"
[[step]]
name = "the near one has it"
on = "near-by"
wait = { for = "caught_up", deadline = "10s" }
[[step]]
name = "it is there"
on = "near-by"
check = { sql = "SELECT note, current_setting('work_mem') FROM orders WHERE id = 1", rows = [["x", "8MB"]] }
[[step]]
name = "let go"
on = "far"
sql = "SELECT pg_wal_replay_resume()"
[[step]]
name = "all have it"
wait = { for = "caught_up", deadline = "10s" }
[[step]]
name = "it is there too"
on = "far"
check = { sql = "SELECT note, '${node.far.port}' = '${node.primary.port}' FROM orders WHERE id = 1", rows = [["x", "f"]] }
"#;

#[test]
fn a_replica_that_is_held_up_is_behind_for_so_long() {
    for lab in LABS {
        if !has(lab) {
            continue;
        }
        let _machine = alone();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = rehearse(
            &variant(folder.path(), &scenario("shop").with_file_name("base.toml"), &format!("{CASCADE}{HELD}")),
            lab,
        );
        run.assert_exit(1);
        assert_eq!(run.errors(), ["lag-exceeded"], "{}", run.told());
        let lag = run.report["lag"].as_array().expect("two replicas").clone();
        let of = |node: &str| lag.iter().find(|lag| lag["node"] == node).unwrap_or_else(|| panic!("{}", run.told()));
        assert_eq!((&of("far")["from"], &of("near-by")["from"]), (&"near-by".into(), &"primary".into()));
        let behind = of("far")["max_ms"].as_f64().expect("a figure");
        let (least, most) = held_ms(&run);
        assert!(least > 2000.0 && (least..most).contains(&behind), "{behind} of {least} to {most} ms\n{}", run.told());
        assert!(of("near-by")["max_ms"].as_f64().expect("a figure") < 2000.0, "{}", run.told());
        for replica in &lag {
            assert!(replica["caught_up_ms"].is_number() && replica["broken"].is_null(), "{}", run.told());
        }
        let finding = &run.report["findings"][0];
        assert_eq!((&finding["node"], &finding["step"]), (&"far".into(), &"hold the far one".into()), "{}", run.told());
    }
}

/// For how long the far one was held up at least and at most, from the run's own times. A beat every 100 ms and a look every 100 ms
/// see 200 ms less than there was, and less by as much as the harness was late.
fn held_ms(run: &Run) -> (f64, f64) {
    let steps = run.report["steps"].as_array().expect("steps");
    let times = |step: &str| {
        let step = steps.iter().find(|each| each["name"] == step).unwrap_or_else(|| panic!("{}", run.told()));
        let statement = step["statements"].get(0).unwrap_or(step);
        let (began, took) = (statement["started_ms"].as_f64(), statement["elapsed_ms"].as_f64());
        let began = began.expect("it began");
        (began, began + took.expect("it ended"))
    };
    let late = run.report["totals"]["harness_lag_max_ms"].as_f64().expect("a figure");
    let (paused, resumed) = (times("hold the far one"), times("let go"));
    (resumed.0 - paused.1 - 200.0 - late, times("all have it").1 - paused.0)
}

/// A standby with settings that the plan gave it does not start again, and a check there is a check that failed.
#[test]
fn a_replica_that_the_plan_broke_fails_what_runs_there() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let steps = r#"
[[step]]
name = "a library on the standby"
on = "standby"
sql = "ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'"
[[step]]
name = "restart the standby"
restart = "standby"
when_failed = "continue"
[[step]]
name = "look at the standby"
on = "standby"
check = { sql = "SELECT 1", rows = [["1"]] }
[expect]
outcome = "failed"
findings = ["step-failed", "check-failed", "replication-broken"]
"#;
    let run = rehearse(&variant(folder.path(), &scenario("standby-settings/as-it-happened"), steps), "native");
    run.assert_exit(1);
    assert_eq!(run.errors(), ["check-failed", "replication-broken", "step-failed"], "{}", run.told());
    let told = run.told();
    assert!(told.contains("the server of node standby is not up"), "{told}");
    assert!(told.contains("no_such_library"), "{told}");
}

/// On all nodes at once, node against node, and where a step went and where not.
#[test]
fn steps_on_several_nodes() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let steps = r#"
name = "several nodes"
[topology.nodes.primary]
[topology.nodes.standby]
replicates = "primary"
[[step]]
name = "read everywhere"
on = "all"
at_once = "all"
sql = "SELECT count(*) FROM orders; SELECT 1"
[[step]]
name = "write everywhere"
on = ["primary", "standby"]
sql = "UPDATE orders SET note = 'everywhere' WHERE id = 1"
when_failed = "continue"
[[step]]
name = "alike"
compare = { nodes = ["primary", "standby"] }
[[step]]
name = "there"
on = ["standby", "primary"]
check = { sql = "SELECT note FROM orders WHERE id = 1", rows = [["everywhere"]] }
[[step]]
name = "pause"
on = ["standby", "primary"]
sql = "SELECT pg_wal_replay_pause()"
undo = { sql = "SELECT pg_wal_replay_resume()" }
when_failed = "undo"
[[step]]
name = "never"
on = "all"
sql = "SELECT 1"
[expect]
outcome = "failed"
findings = ["step-failed"]
"#;
    let run = rehearse(&variant(folder.path(), &scenario("shop").with_file_name("base.toml"), steps), "native");
    run.assert_exit(1);
    assert_eq!(run.errors(), ["step-failed"], "{}", run.told());
    let steps = run.report["steps"].as_array().expect("steps");
    let told: Vec<String> = steps
        .iter()
        .map(|step| {
            let statements = step["statements"].as_array().map_or(0, Vec::len);
            format!("{} {} {} {statements}", step["name"], step["node"], step["result"]).replace('"', "")
        })
        .collect();
    let mut at_once = told[..2].to_vec();
    at_once.sort();
    assert_eq!(at_once, ["read everywhere primary done 2", "read everywhere standby done 2"], "{}", run.told());
    assert_eq!(
        told[2..],
        [
            "write everywhere primary done 1",
            "write everywhere standby failed 1",
            "alike primary done 0",
            "there standby done 0",
            "there primary done 0",
            "pause standby done 1",
            "pause primary failed 1",
            "undo of pause primary failed 1",
            "undo of pause standby done 1",
            "never primary skipped 0",
            "never standby skipped 0",
        ],
        "{}",
        run.told()
    );
    let finding = &run.report["findings"][0];
    assert_eq!((&finding["node"], &finding["step"]), (&"standby".into(), &"write everywhere".into()));
    let condition = finding["condition"].as_str().expect("a condition");
    assert!(condition.ends_with("; it was done on primary and failed on standby"), "{condition}");
}
