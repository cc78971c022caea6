//! No false comfort: what was measured on fewer rows than production has is not judged, and no report says that it passed.

use std::path::Path;

use serde_json::Value;

use crate::run::{Run, beside_others, has, rehearse, scenario, variant};

/// A rewrite of 400,000 rows, well within a minute, and a table into which no row can be put. No foreign key hangs on the column: such
/// a change locks two tables, and once in a while meets a probe that locks them the other way round.
const PLAN: &str = r#"
[[setup]]
name = "more orders"
sql = """
INSERT INTO orders (customer_id, status, amount, note, placed_at)
SELECT 1 + n % 2000, 'new', n % 500 + 0.99, 'leave order ' || n, timestamptz '2025-02-01' + n * interval '10 seconds'
FROM generate_series(1, 400000) AS n;
VACUUM ANALYZE orders;
CREATE TABLE outbox (id bigint PRIMARY KEY, note text NOT NULL CHECK (note <> note || ''));
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO shop_app;
"""

[limits]
downtime = "SECONDS"

[[step]]
name = "rewrite"
sql = "ALTER TABLE orders ALTER COLUMN amount TYPE double precision"
budget = "SECONDS"
"#;

/// Every text that a run leaves for somebody to read.
fn reports(run: &Run) -> Vec<(&'static str, String)> {
    let mut all: Vec<(&str, String)> = ["report.md", "report.html", "report.json", "junit.xml"]
        .into_iter()
        .map(|name| (name, run.file(name)))
        .collect();
    all.push(("stdout", String::from_utf8_lossy(&run.output.stdout).into_owned()));
    all.push(("stderr", String::from_utf8_lossy(&run.output.stderr).into_owned()));
    all
}

/// "passed" as a word of its own, said of the run and with nothing to it.
fn bare_passed(text: &str) -> Option<&str> {
    text.lines().find(|line| {
        let line = line.to_lowercase();
        line.match_indices("passed").any(|(at, word)| {
            let rest = &line[at + word.len()..];
            !rest.starts_with(" in part") && !rest.starts_with("_in_part") && !rest.starts_with("-in-part")
        })
    })
}

fn rewrite(folder: &Path, limit: &str, over: &str) -> Run {
    let plan = format!("{over}\n{}", PLAN.replace("SECONDS", limit));
    rehearse(&variant(folder, &scenario("shop").with_file_name("base.toml"), &plan), "native")
}

#[test]
fn a_time_on_a_sample_is_not_production_s() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = rewrite(folder.path(), "1m", "");
    whole.assert_exit(0);
    assert_eq!(whole.report["outcome"], "passed", "{}", whole.told());
    assert_eq!(whole.report["not_judged"], Value::Array(Vec::new()), "{}", whole.told());

    let sampled = rewrite(folder.path(), "1m", "[snapshot]\nproduction_rows = { orders = 50_000_000 }");
    sampled.assert_exit(0);
    assert_eq!(sampled.report["outcome"], "passed_in_part", "{}", sampled.told());
    let limits: Vec<&str> = sampled.report["not_judged"]
        .as_array()
        .expect("a report lists what was not judged")
        .iter()
        .filter_map(|entry| entry["limit"].as_str())
        .collect();
    assert!(limits.contains(&"budget"), "{limits:?}");
    assert!(limits.contains(&"downtime_write") && limits.contains(&"downtime_read"), "{limits:?}");
    for (name, text) in reports(&sampled) {
        assert!(!text.is_empty(), "{name} is empty");
        assert_eq!(bare_passed(&text), None, "{name}");
    }
}

#[test]
fn a_limit_that_a_sample_breaks_is_broken() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = rewrite(folder.path(), "50ms", "[snapshot]\nproduction_rows = { orders = 50_000_000 }");
    run.assert_exit(1);
    assert_eq!(run.errors(), ["budget-exceeded", "downtime-exceeded"], "{}", run.told());
}

#[test]
fn a_table_whose_writes_cannot_be_probed_is_listed_with_the_reason() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = rewrite(folder.path(), "1m", "");
    let finding = run.report["findings"].as_array().expect("a report lists its findings").iter().find(|finding| {
        finding["code"] == "not-probed" && finding["condition"].as_str().is_some_and(|text| text.contains("outbox"))
    });
    let finding = finding.unwrap_or_else(|| panic!("outbox is not listed: {}", run.told()));
    let condition = finding["condition"].as_str().expect("a condition is text");
    assert!(condition.contains("insert"), "{condition}");
    let gaps = run.report["not_rehearsed"].to_string();
    assert!(gaps.contains("outbox"), "{gaps}");
    for name in ["report.md", "report.html"] {
        let text = run.file(name);
        let (before, _) = text.split_once("outbox").unwrap_or_else(|| panic!("{name} does not name the table"));
        assert!(before.to_lowercase().contains("not rehearsed"), "{name}");
    }
}
