//! Every pair: as it happened fails with exactly its error codes, as it should be passes.

use crate::run::{LABS, Run, alone, beside_others, has, rehearse, scenario, variant};

/// The codes as the scenario file itself declares them.
fn declared(pair: &str) -> Vec<String> {
    let text = std::fs::read_to_string(scenario(&format!("{pair}/as-it-happened"))).expect("the scenario is there");
    let file: toml::Table = text.parse().expect("a scenario is TOML");
    let findings = file["expect"]["findings"].as_array().expect("it declares its findings");
    findings.iter().map(|code| code.as_str().expect("a code is text").to_owned()).collect()
}

fn write_downtime_ms(run: &Run) -> f64 {
    run.report["totals"]["downtime_write_ms"].as_f64().unwrap_or_else(|| panic!("no downtime: {}", run.told()))
}

/// Limits that the measured run broke, whatever this machine's speed: a third of what it took.
fn pair_with_measured_limits(pair: &str, lab: &str, budget: bool) {
    if !has(lab) {
        return;
    }
    let _machine = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let happened = scenario(&format!("{pair}/as-it-happened"));
    let generous = "[limits]\nwindow = \"10m\"\ndowntime = \"10m\"\n[expect]\noutcome = \"passed\"\nfindings = []";
    let over = if budget {
        format!("{generous}\n[[step]]\nname = \"tokens\"\nfile = \"tokens.sql\"")
    } else {
        generous.to_owned()
    };
    if budget {
        let from = happened.with_file_name("tokens.sql");
        std::fs::copy(from, folder.path().join("tokens.sql")).expect("the script can be copied");
    }
    let measured = rehearse(&variant(folder.path(), &happened, &over), lab);
    measured.assert_exit(0);
    let third_ms = (write_downtime_ms(&measured) / 3.0).ceil();
    assert!(third_ms >= 120.0, "the statement is too quick here to be felt: {third_ms} ms\n{}", measured.told());

    let limits = format!("[limits]\ndowntime = {{ read = \"{third_ms}ms\", write = \"{third_ms}ms\" }}");
    let failed = rehearse(&variant(folder.path(), &happened, &limits), lab);
    failed.assert_exit(1);
    assert_eq!(failed.errors(), declared(pair), "{}", failed.told());
    let passed = rehearse(&variant(folder.path(), &scenario(&format!("{pair}/as-it-should-be")), &limits), lab);
    passed.assert_exit(0);
    assert_eq!(passed.errors(), Vec::<String>::new(), "{}", passed.told());
}

/// The pair with its engine and version replaced. Its limits are seconds, or none.
fn pair_on(pair: &str, lab: &str, engine: &str, version: &str) {
    let _machine = beside_others();
    pair_over(pair, lab, &format!("[topology]\nengine = \"{engine}\"\nversion = \"{version}\""));
}

fn pair_over(pair: &str, lab: &str, over: &str) {
    if !has(lab) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let failed = rehearse(&variant(folder.path(), &scenario(&format!("{pair}/as-it-happened")), over), lab);
    failed.assert_exit(1);
    assert_eq!(failed.errors(), declared(pair), "{}", failed.told());
    let passed = rehearse(&variant(folder.path(), &scenario(&format!("{pair}/as-it-should-be")), over), lab);
    passed.assert_exit(0);
    assert_eq!(passed.errors(), Vec::<String>::new(), "{}", passed.told());
}

#[test]
fn rebuilt_table() {
    for lab in LABS {
        pair_on("rebuilt-table", lab, "postgres", "15");
    }
}

#[test]
fn rebuilt_table_on_13() {
    pair_on("rebuilt-table", "docker", "postgres", "13");
}

#[test]
fn rebuilt_table_on_17() {
    pair_on("rebuilt-table", "docker", "postgres", "17");
}

#[test]
fn rebuilt_table_on_18() {
    pair_on("rebuilt-table", "docker", "postgres", "18");
}

#[test]
fn rebuilt_table_on_two_shards() {
    for lab in LABS {
        let _machine = beside_others();
        pair_over("rebuilt-table", lab, "[topology]\nversion = \"15\"\nshards = 2");
    }
}

#[test]
fn standby_settings() {
    pair_on("standby-settings", "native", "postgres", "15");
}

/// Where a standby does not pause but ends.
#[test]
fn standby_settings_on_13() {
    pair_on("standby-settings", "docker", "postgres", "13");
}

/// Two servers that write to each other, and a column that only one of them got.
#[test]
fn pair_columns() {
    pair_on("pair-columns", "docker", "postgres", "17");
}

/// A subscriber that lacks a column which the publisher sends.
#[test]
fn subscriber_columns() {
    pair_on("subscriber-columns", "native", "postgres", "15");
}

#[test]
fn subscriber_columns_of_two_versions() {
    let _machine = beside_others();
    let versions = "[topology]\nversion = \"13\"\n[topology.nodes.warehouse]\nversion = \"17\"";
    pair_over("subscriber-columns", "docker", versions);
}

/// What the application commits meanwhile fails, or does not.
#[test]
fn renamed_column() {
    pair_on("renamed-column", "native", "postgres", "15");
}

/// A program that reads a feed ends, or does not.
#[test]
fn feed_consumer() {
    for lab in LABS {
        pair_on("feed-consumer", lab, "mariadb", "10.11");
    }
}

#[test]
fn index() {
    for lab in LABS {
        pair_with_measured_limits("index", lab, false);
    }
}

#[test]
fn check_constraint() {
    for lab in LABS {
        pair_with_measured_limits("check-constraint", lab, false);
    }
}

#[test]
fn volatile_default() {
    for lab in LABS {
        pair_with_measured_limits("volatile-default", lab, true);
    }
}

#[test]
fn queued_ddl() {
    for lab in LABS {
        let _machine = alone();
        pair_over("queued-ddl", lab, "[topology]\nversion = \"15\"");
    }
}

#[test]
fn auto_increment() {
    pair_on("auto-increment", "native", "mariadb", "10.11");
}

#[test]
fn auto_increment_on_mysql() {
    pair_on("auto-increment", "docker", "mysql", "9.7");
}

#[test]
fn shifted_columns() {
    pair_on("shifted-columns", "native", "mariadb", "10.11");
}

#[test]
fn shifted_columns_on_mysql() {
    pair_on("shifted-columns", "docker", "mysql", "9.7");
}

#[test]
fn half_fleet() {
    pair_on("half-fleet", "native", "mariadb", "10.11");
}

#[test]
fn half_fleet_on_10_5() {
    pair_on("half-fleet", "docker", "mariadb", "10.5");
}

#[test]
fn half_fleet_on_mysql() {
    pair_on("half-fleet", "docker", "mysql", "9.7");
}

#[test]
fn read_only_side() {
    pair_on("read-only-side", "native", "mariadb", "10.11");
}

#[test]
fn drifted_replica_on_11() {
    pair_on("drifted-replica", "docker", "mariadb", "11.8");
}

#[test]
fn drifted_replica_on_mysql() {
    pair_on("drifted-replica", "docker", "mysql", "9.7");
}

/// Four servers: two shards of two that write to each other.
#[test]
fn forgotten_shard() {
    for lab in LABS {
        pair_on("forgotten-shard", lab, "mariadb", "10.11");
    }
}

#[test]
fn forgotten_shard_on_mysql() {
    pair_on("forgotten-shard", "docker", "mysql", "9.7");
}

/// Half of four servers at a time: the side of every shard at once.
#[test]
fn half_fleet_on_two_shards() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let over = r#"
[topology]
shards = 2

[[step]]
name = "half the fleet"
each = ["side:a", "side:b"]
steps = [
  { name = "out", take_out = true },
  { name = "change", sql = "ALTER TABLE stock ADD COLUMN damaged INT NOT NULL DEFAULT 0", replicated = false, at_once = "all" },
  { name = "caught up", wait = { for = "caught_up", deadline = "30s" } },
  { name = "in", put_back = true },
]

[[step]]
name = "alike"
compare = { nodes = ["a.1", "b.1"] }
[[step]]
name = "alike, second shard"
compare = { nodes = ["a.2", "b.2"] }
"#;
    let run = rehearse(&variant(folder.path(), &scenario("half-fleet/as-it-should-be"), over), "native");
    run.assert_exit(0);
    let routing = run.report["routing"].as_array().expect("changes of the routing");
    let out: Vec<&serde_json::Value> = routing.iter().map(|change| &change["out"]).collect();
    let sides = [serde_json::json!(["a.1", "a.2"]), serde_json::json!(["b.1", "b.2"])];
    assert!(sides.iter().all(|side| out.contains(&side)), "{routing:?}");
}
