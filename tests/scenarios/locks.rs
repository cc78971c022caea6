//! Measured downtime against the time that locks were held, on pgbench's own tables under its own script.
//!
//! The plan says by a notice when it asks for a lock and when it has let go; the probes know nothing of that.

use std::path::Path;

use serde_json::Value;

use crate::run::{LABS, Run, alone, has, rehearse_showing_values};
use crate::server::{Server, done};

/// Half a million accounts: enough for a rewrite and an index build to be felt.
const SCALE: &str = "5";

/// A moment by the server's own clock: a query, after which least is to be looked at before the next statement goes.
fn mark(step: &str, what: &str) -> String {
    format!("SELECT mark('{step} {what}');")
}

/// A step whose statements stand between two marks.
fn marked(step: &str, sql: &str) -> String {
    format!("[[step]]\nname = \"{step}\"\nsql = \"\"\"\n{}\n{sql}\n{}\n\"\"\"\n", mark(step, "from"), mark(step, "to"))
}

/// A step in which users are served: two locks at a moment's distance are one downtime for whoever has not been served in between.
fn calm(nth: usize) -> String {
    format!("[[step]]\nname = \"calm {nth}\"\nwait = \"500ms\"\n")
}

/// The scenario on pgbench's data; its script is a probe, each statement as pgbench itself sends it.
fn write_scenario(folder: &Path, probes: &str, steps: &[String]) {
    let server = Server::start();
    done(server.client("createdb").arg("bench"));
    done(server.client("pgbench").args(["-i", "-q", "-s", SCALE, "bench"]));
    done(server.client("pg_dump").args(["-Fc", "-f"]).arg(folder.join("bench.dump")).arg("bench"));
    drop(server);
    let text = format!(
        r#"name = "pgbench"

[topology]
engine = "postgres"
version = "15"

[snapshot]
from = "bench.dump"

[[setup]]
sql = """
CREATE ROLE teller LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO teller;
CREATE FUNCTION mark(what text) RETURNS void LANGUAGE plpgsql AS
    $$BEGIN RAISE NOTICE 'mark % %', what, extract(epoch FROM clock_timestamp()) * 1000; END$$;
"""

[probes]
as = "teller"
{probes}

[[probes.custom]]
name = "transfer"
kind = "write"
sql = """
UPDATE pgbench_accounts SET abalance = abalance + 7 WHERE aid = 4711;
SELECT abalance FROM pgbench_accounts WHERE aid = 4711;
UPDATE pgbench_tellers SET tbalance = tbalance + 7 WHERE tid = 3;
UPDATE pgbench_branches SET bbalance = bbalance + 7 WHERE bid = 2;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (3, 2, 4711, 7, CURRENT_TIMESTAMP);
"""

[[probes.custom]]
name = "balance"
kind = "read"
sql = "SELECT abalance FROM pgbench_accounts WHERE aid = 42"

{}"#,
        steps.iter().enumerate().map(|(nth, step)| format!("{step}{}", calm(nth))).collect::<String>()
    );
    std::fs::write(folder.join("scenario.toml"), text).expect("the folder can be written to");
}

/// Milliseconds between the marks of a step.
fn held_ms(run: &Run, step: &str) -> f64 {
    let events = run.file("events.jsonl");
    let at = |what: &str| -> f64 {
        let mark = format!("\"NOTICE:  mark {step} {what} ");
        let found = events.split(&mark).nth(1).and_then(|rest| rest.split('"').next());
        found.and_then(|ms| ms.parse().ok()).unwrap_or_else(|| panic!("no {mark:?} among the events: {}", run.told()))
    };
    at("to") - at("from")
}

/// Downtime windows of a step on one side, as `(started_ms, elapsed_ms)`, those that count.
fn windows(run: &Run, step: &str, kind: &str) -> Vec<(f64, f64)> {
    let probes = run.report["probes"].as_array().expect("a report lists its probes");
    let of_kind = probes.iter().filter(|probe| probe["kind"] == kind);
    of_kind
        .flat_map(|probe| probe["downtime"].as_array().expect("a probe lists its windows"))
        .filter(|window| window["step"] == step && window["counts"] == true)
        .map(|window| (ms(&window["started_ms"]), ms(&window["elapsed_ms"])))
        .collect()
}

fn ms(value: &Value) -> f64 {
    value.as_f64().expect("a duration is a number")
}

/// Time covered by at least one window.
fn down_ms(run: &Run, step: &str, kind: &str) -> f64 {
    let mut windows = windows(run, step, kind);
    windows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut down, mut until) = (0.0, f64::MIN);
    for (started, elapsed) in windows {
        let end = started + elapsed;
        down += (end - started.max(until)).max(0.0);
        until = until.max(end);
    }
    down
}

#[track_caller]
fn assert_down(run: &Run, step: &str, kind: &str) {
    let (held, down) = (held_ms(run, step), down_ms(run, step, kind));
    let allowed = (held * 0.05).max(50.0);
    assert!(
        (down - held).abs() <= allowed,
        "{step}: {kind}s were down for {down:.0} ms, the lock was held for {held:.0} ms\n{}",
        run.told()
    );
}

#[track_caller]
fn assert_up(run: &Run, step: &str, kind: &str) {
    assert_eq!(windows(run, step, kind), [], "{step}: {kind}s\n{}", run.told());
}

/// How often it is measured, where this machine had no time for the harness.
const ATTEMPTS: usize = 3;

/// Half of what a figure may be off by: a run whose own timers were that late has measured the machine.
const LATE_MS: f64 = 25.0;

/// A run in whose plan the harness was never late, by its own account; else the last.
fn measured(scenario: &Path, lab: &str) -> Run {
    let run = || rehearse_showing_values(scenario, lab);
    let late = |run: &Run| late_ms(run).max(between_statements_ms(run)) > LATE_MS;
    (1..ATTEMPTS).fold(run(), |last, _| if late(&last) { run() } else { last })
}

/// Within the marks of a step, the most time in which none of its statements ran: the harness was late to send them.
fn between_statements_ms(run: &Run) -> f64 {
    let steps = run.report["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let gaps = steps.iter().flat_map(|step| {
        let statements = step["statements"].as_array().map(Vec::as_slice).unwrap_or_default();
        let gap = |pair: &[Value]| ms(&pair[1]["started_ms"]) - ms(&pair[0]["started_ms"]) - ms(&pair[0]["elapsed_ms"]);
        statements.windows(2).map(gap)
    });
    gaps.fold(0.0, f64::max)
}

/// How late the harness was while the plan ran.
fn late_ms(run: &Run) -> f64 {
    let log = run.file("events.jsonl");
    let events: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let at = |name: &str| {
        let found = events.iter().find(|event| event["event"] == name && event["phase"] == "plan");
        found.map_or(f64::MAX, |event| ms(&event["at_ms"]))
    };
    // Each tells of the second before it.
    let plan = at("phase-started")..=at("phase-ended") + 1000.0;
    let told = events.iter().filter(|event| event["event"] == "harness-lag" && plan.contains(&ms(&event["at_ms"])));
    told.map(|event| ms(&event["max_ms"])).fold(0.0, f64::max)
}

fn each_lab(probes: &str, steps: &[String], judge: impl Fn(&Run)) {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let _machine = alone();
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_scenario(folder.path(), probes, steps);
        let run = measured(&folder.path().join("scenario.toml"), lab);
        run.assert_exit(0);
        judge(&run);
    }
}

#[test]
fn downtime_lasts_as_long_as_the_lock() {
    // Work of seconds: beside it, the moments between a mark and its statement are short.
    let steps = [
        marked(
            "late-commit",
            "BEGIN; ALTER TABLE pgbench_accounts ADD COLUMN region text; SELECT pg_sleep(3); COMMIT;",
        ),
        marked("index", "CREATE INDEX accounts_bid ON pgbench_accounts (md5(repeat(filler, 16)), bid);"),
        marked("concurrently", "CREATE INDEX CONCURRENTLY accounts_balance ON pgbench_accounts (abalance, filler);"),
        marked(
            "rewrite",
            "ALTER TABLE pgbench_accounts ALTER COLUMN abalance TYPE bigint USING abalance + 0 * length(md5(repeat(filler, 16)));",
        ),
    ];
    each_lab("", &steps, |run| {
        assert_down(run, "late-commit", "write");
        assert_down(run, "late-commit", "read");
        assert_down(run, "index", "write");
        assert_up(run, "index", "read");
        assert_up(run, "concurrently", "write");
        assert_up(run, "concurrently", "read");
        assert_down(run, "rewrite", "write");
        assert_down(run, "rewrite", "read");
        let total = ms(&run.report["totals"]["downtime_write_ms"]);
        let steps: f64 = ["late-commit", "index", "rewrite"].iter().map(|step| down_ms(run, step, "write")).sum();
        assert!((total - steps).abs() < 1.0, "{total} ms in all, {steps} ms over the steps: {}", run.told());
    });
}

#[test]
fn downtime_begins_when_an_exclusive_lock_is_asked_for() {
    let steps = [marked("queued", "ALTER TABLE pgbench_accounts ADD COLUMN region text;")];
    each_lab("open_transaction = \"3s\"", &steps, |run| {
        let held = held_ms(run, "queued");
        assert!(held > 1000.0, "it waited for a reader: {held:.0} ms\n{}", run.told());
        assert_down(run, "queued", "write");
        assert_down(run, "queued", "read");
        let owners: Vec<&Value> = run.report["probes"]
            .as_array()
            .expect("a report lists its probes")
            .iter()
            .flat_map(|probe| probe["downtime"].as_array().expect("a probe lists its windows"))
            .filter(|window| window["counts"] == true && window["because"] == "lock")
            .flat_map(|window| window["blocked_by"].as_array().expect("a window lists who was in the way"))
            .map(|session| &session["owner"])
            .collect();
        assert!(owners.contains(&&Value::from("step")), "the statement is named: {owners:?}");
        assert!(owners.contains(&&Value::from("reader")), "and the reader before it: {owners:?}");
    });
}
