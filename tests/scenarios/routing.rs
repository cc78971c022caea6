//! Users sent from one side of a pair to the other, and programs that find out by the list, or do not.

use crate::run::{alone, beside_others, has, rehearse, scenario, variant};

/// The file with the step's output, of the step at that position in the plan.
fn output(nth: usize) -> String {
    format!("step-{}.log", nth + 1)
}

/// A program on the other side, while this one is out: it is told so, and goes there all the same.
#[test]
fn a_program_that_ignores_the_list_is_found() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let over = r#"
[[step]]
name = "out"
take_out = "a"

[[step]]
name = "by the list"
command = "echo out=$REHEARSAL_OUT; cat \"$REHEARSAL_ROUTING\"; mariadb -e 'DO 1'"

[[step]]
name = "to a all the same"
command = """
url='${node.a.url}'; password=${url#*//*:}; password=$(echo "${password%%@*}" | sed 's/%2D/-/g')
MYSQL_PWD=$password mariadb --no-defaults --protocol=tcp -u "$MYSQL_USER" -h ${node.a.host} -P ${node.a.port} -e 'DO SLEEP(2)'
mariadb -e 'DO 1'
"""

[[step]]
name = "on purpose"
on = "a"
command = "mariadb -e 'DO SLEEP(1)'"

[[step]]
name = "in"
put_back = "a"

[expect]
outcome = "failed"
findings = ["connection-to-disabled-node"]
"#;
    let run = rehearse(&variant(folder.path(), &scenario("half-fleet/as-it-should-be"), over), "native");
    run.assert_exit(1);
    let findings = run.report["findings"].as_array().expect("findings");
    let strays: Vec<_> = findings.iter().filter(|found| found["code"] == "connection-to-disabled-node").collect();
    let [stray] = &strays[..] else { panic!("one program went to a: {}", run.told()) };
    assert_eq!(stray["node"], "a");
    assert_eq!(stray["step"], "to a all the same", "{}", run.told());
    let told = stray["condition"].as_str().expect("a text");
    assert!(told.starts_with("mysql as root talked to a at"), "{told}");
    let said = run.file(&output(1));
    assert!(said.starts_with("out=a\n"), "{said}");
    let list: serde_json::Value = serde_json::from_str(said.trim_start_matches("out=a\n")).expect("the list is JSON");
    assert_eq!((&list["out"], &list["shards"][0]["writer"]), (&serde_json::json!(["a"]), &serde_json::json!("b")));
    // The default of a step is wherever the writer is.
    let steps = run.report["steps"].as_array().expect("steps");
    let node = |name: &str| steps.iter().find(|step| step["name"] == name).map(|step| step["node"].clone());
    assert_eq!(node("by the list"), Some("b".into()));
    assert_eq!(node("on purpose"), Some("a".into()));
    assert_eq!(run.report["routing"].as_array().map(Vec::len), Some(2), "{}", run.told());
}

/// A consumer of a side that is out is found by its name, and what it runs is no step's. What a program of the plan left running there is
/// the plan's: a server that computes does not look whether its client is there.
#[test]
fn who_is_whose_on_a_side_that_is_out() {
    if !has("native") {
        return;
    }
    let _machine = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let over = r#"
[topology.consumers.search]
of = "a"
command = "while mariadb -e 'DO SLEEP(0.5)'; do :; done"

[[step]]
name = "out"
take_out = "a"

[[step]]
name = "on purpose"
on = "a"
command = "mariadb -e 'DO SLEEP(2)'"

[[step]]
name = "cut short"
on = "a"
command = "mariadb -e \"DO BENCHMARK(1000000000, SHA2('a', 512))\""
timeout = "1s"

[limits]
downtime = "1m"

[expect]
outcome = "failed"
findings = ["connection-to-disabled-node", "step-failed"]
"#;
    let run = rehearse(&variant(folder.path(), &scenario("half-fleet/as-it-should-be"), over), "native");
    run.assert_exit(1);
    let findings = run.report["findings"].as_array().expect("findings");
    let strays: Vec<_> = findings.iter().filter(|found| found["code"] == "connection-to-disabled-node").collect();
    let [stray] = &strays[..] else { panic!("the consumer alone is one: {}", run.told()) };
    let told = stray["condition"].as_str().expect("a text");
    assert!(told.starts_with("consumer \"search\" talked to a at"), "{told}");
    let log = run.file("events.jsonl");
    let events = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let ended: Vec<_> = events.filter(|event| event["event"] == "statement-ended" && event["step"] == 1).collect();
    let [statement] = &ended[..] else { panic!("the step ran one statement: {ended:?}") };
    assert!(statement["statement"]["sql"].as_str().is_some_and(|sql| sql.starts_with("DO SLEEP")), "{statement}");
}

/// Users are felt nowhere near the table that is held for a second on the side that is out.
#[test]
fn what_goes_on_on_a_side_that_is_out_holds_nobody_up() {
    if !has("native") {
        return;
    }
    let _machine = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let held = "SET SESSION sql_log_bin = 0; LOCK TABLES stock WRITE; DO SLEEP(2); UNLOCK TABLES";
    let run = |steps: &str| {
        let over = format!(
            "[probes]\nopen_transaction = \"1s\"\n{steps}\n[expect]\noutcome = \"passed\"\nfindings = []\n[limits]\ndowntime = \"1m\""
        );
        rehearse(&variant(folder.path(), &scenario("half-fleet/as-it-should-be"), &over), "native")
    };
    let hold = format!("[[step]]\nname = \"held\"\non = \"a\"\nsql = \"{held}\"\n");
    let out =
        run(&format!("[[step]]\nname = \"out\"\ntake_out = \"a\"\n{hold}[[step]]\nname = \"in\"\nput_back = \"a\"\n"));
    out.assert_exit(0);
    assert_eq!(out.report["totals"]["downtime_write_ms"], 0.0, "{}", out.told());
    let still = run(&hold);
    still.assert_exit(0);
    assert!(still.report["totals"]["downtime_write_ms"].as_f64().is_some_and(|ms| ms > 1000.0), "{}", still.told());
}

/// Two shards of two, each side and one shard with a table that nobody else has: whoever asks for it elsewhere is refused.
#[test]
fn everybody_goes_where_the_list_says() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("sale.sql"), "INSERT INTO seen (server) VALUES (@@server_id);\n")
        .expect("a file");
    let over = r#"
[topology]
shards = 2

[[setup]]
on = "side:a"
replicated = false
sql = "CREATE TABLE only_a (id INT PRIMARY KEY)"
[[setup]]
on = "side:b"
replicated = false
sql = "CREATE TABLE only_b (id INT PRIMARY KEY)"
[[setup]]
on = "shard:2"
replicated = false
sql = "CREATE TABLE only_2 (id INT PRIMARY KEY)"
[[setup]]
sql = "CREATE TABLE seen (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, server BIGINT NOT NULL)"

[probes]
auto = false
[[probes.custom]]
name = "of side b"
on = "side:b"
kind = "read"
every = "50ms"
sql = "SELECT COUNT(*) FROM only_b"
[[probes.custom]]
name = "of shard 2"
on = "shard:2"
kind = "read"
every = "50ms"
sql = "SELECT COUNT(*) FROM only_2"
[[probes.custom]]
name = "of readers"
on = "readers"
kind = "read"
every = "50ms"
sql = "SELECT COUNT(*) FROM stock"

[[workload]]
name = "sales"
file = "sale.sql"
rate = "40/s"

[limits]
downtime = "1m"

[[step]]
name = "out"
take_out = "side:a"
[[step]]
name = "mark"
on = "side:a"
replicated = false
sql = "CREATE TABLE mark AS SELECT COUNT(*) AS n FROM seen WHERE server = @@server_id"
[[step]]
name = "a while"
wait = "1s"
[[step]]
name = "nobody came to a"
on = "side:a"
check = { sql = "SELECT n > 0, n = (SELECT COUNT(*) FROM seen WHERE server = @@server_id) FROM mark", rows = [["1", "1"]] }
[[step]]
name = "somebody came to b"
on = "side:b"
check = { sql = "SELECT COUNT(*) > 0 FROM seen WHERE server = @@server_id", rows = [["1"]] }
[[step]]
name = "the writer is b"
check = { sql = "SELECT COUNT(*) FROM only_b", rows = [["0"]] }
[[step]]
name = "no mark"
on = "side:a"
replicated = false
sql = "DROP TABLE mark"
[[step]]
name = "in"
put_back = "side:a"
[[step]]
name = "b writes"
route = { writer = "side:b" }
[[step]]
name = "it does"
check = { sql = "SELECT COUNT(*) FROM only_b", rows = [["0"]] }
[[step]]
name = "a writes"
route = { writer = "side:a" }
[[step]]
name = "it does again"
check = { sql = "SELECT COUNT(*) FROM only_a", rows = [["0"]] }
"#;
    let run = rehearse(&variant(folder.path(), &scenario("half-fleet/as-it-should-be"), over), "native");
    run.assert_exit(0);
    for (list, figures, name, shards) in [
        ("probes", "latency", "of side b", 2),
        ("probes", "latency", "of shard 2", 1),
        ("probes", "latency", "of readers", 2),
        ("workloads", "phases", "sales", 1),
    ] {
        let all = run.report[list].as_array().into_iter().flatten();
        let found: Vec<_> =
            all.filter(|each| each["name"].as_str().is_some_and(|found| found.starts_with(name))).collect();
        assert_eq!(found.len(), shards, "{name}: {found:?}\n{}", run.told());
        for each in found {
            let phases = each[figures].as_array().cloned().unwrap_or_default();
            let count = |of: &str| phases.iter().filter_map(|phase| phase[of].as_u64()).sum::<u64>();
            assert!(count("count") > 20 && count("errors") == 0, "{name}: {phases:?}");
        }
    }
}

/// Who asks for readers gets the standby, and where that is out the primary; a subscriber has neither their role nor all tables.
#[test]
fn a_subscriber_has_users_of_its_own() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = r#"
name = "a feed beside a standby"
[topology]
engine = "postgres"
version = "15"
[topology.nodes.primary]
settings = { wal_level = "logical" }
[topology.nodes.standby]
replicates = "primary"
[topology.nodes.warehouse]
subscribes = { to = "primary", publication = "feed", tables = ["public.orders"] }
[snapshot]
from = "empty"
[[setup]]
sql = """
CREATE ROLE app LOGIN;
CREATE TABLE orders (id int PRIMARY KEY);
CREATE TABLE notes (id int PRIMARY KEY);
GRANT SELECT ON notes TO app;
"""
[probes]
as = "app"
auto = false
[[probes.custom]]
name = "notes"
on = "readers"
kind = "read"
every = "50ms"
sql = "SELECT count(*) FROM notes"

[[step]]
name = "out"
take_out = "standby"
[[step]]
name = "the list"
command = "cat \"$REHEARSAL_ROUTING\"; psql -qc 'DO $$ BEGIN END $$'"
[[step]]
name = "in"
put_back = "standby"
"#;
    let file = folder.path().join("scenario.toml");
    std::fs::write(&file, text).expect("a file");
    let run = rehearse(&file, "native");
    run.assert_exit(0);
    let list: serde_json::Value = serde_json::from_str(&run.file(&output(1))).expect("the list is JSON");
    assert_eq!(list["shards"][0]["readers"], serde_json::json!(["primary"]), "the standby is out");
    assert_eq!(list["shards"][0]["nodes"], serde_json::json!(["primary", "standby", "warehouse"]));
}

/// A transaction that is kept open stays where it is, and whoever waits for it says so once the step's time is up.
#[test]
fn who_does_not_leave_in_time_is_named() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let over = r#"
[probes]
open_transaction = "20s"
[[step]]
name = "out"
take_out = "a"
timeout = "1s"
undo = { put_back = "a" }
[[step]]
name = "change"
sql = "UPDATE stock SET sold = sold"
[expect]
outcome = "failed"
findings = ["step-failed"]
"#;
    let run = rehearse(&variant(folder.path(), &scenario("half-fleet/as-it-should-be"), over), "native");
    run.assert_exit(1);
    let finding = &run.report["findings"][0];
    let condition = finding["condition"].as_str().expect("a text");
    let told = "its timeout passed: a session of the rehearsal reader is still on a";
    assert!(finding["code"] == "step-failed" && condition.contains(told), "{condition}\n{}", run.told());
}
