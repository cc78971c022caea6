//! One database, taken in every form that a snapshot may have.

use crate::elsewhere::Elsewhere;
use crate::run::{beside_others, has, rehearse_with};
use crate::server::{Server, done};

const VARIABLE: &str = "REHEARSAL_TEST_SNAPSHOT";

#[test]
fn every_form_holds_the_same_rows() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start();
    done(server.client("createdb").arg("bench"));
    done(server.client("pgbench").args(["-i", "-q", "-s", "1", "bench"]));
    let forms = [
        ("bench.dump", &["-Fc"][..]),
        ("bench.folder", &["-Fd", "-j", "2"]),
        ("bench.sql", &["-Fp"]),
        ("bench.sql.gz", &["-Fp", "-Z", "6"]),
    ];
    for (name, options) in forms {
        done(server.client("pg_dump").args(options).arg("-f").arg(folder.path().join(name)).arg("bench"));
    }
    let url = server.url("bench");
    for from in forms.iter().map(|(name, _)| (*name).to_owned()).chain([format!("env:{VARIABLE}")]) {
        let unmasked = if from.starts_with("env:") { "unmasked = true" } else { "" };
        let text = format!(
            r#"name = "{from}"
[topology]
engine = "postgres"
version = "15"
[snapshot]
from = "{from}"
{unmasked}
[[step]]
name = "count"
check = {{ sql = "SELECT count(*), sum(bid) FROM pgbench_accounts", rows = [["100000", "100000"]] }}
"#
        );
        std::fs::write(folder.path().join("scenario.toml"), text).expect("the folder can be written to");
        let run = rehearse_with(&folder.path().join("scenario.toml"), "native", &[(VARIABLE, &url)]);
        run.assert_exit(0);
        assert_eq!(run.report["totals"]["rows"], 100_011, "{from}: {}", run.told());
    }
}

/// Production is never a target, not even of a table that is partly there: nothing connects to it from beginning to end.
#[test]
fn rows_on_another_server_are_left_there() {
    if !has("native") {
        return;
    }
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let elsewhere = Elsewhere::new();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it can be written to");
    write("shop.sql", &elsewhere.tables());
    write(
        "scenario.toml",
        r#"name = "rows elsewhere"
[topology]
engine = "postgres"
version = "15"
[snapshot]
from = "shop.sql"
[probes]
open_transaction = "1s"
[[step]]
name = "alter"
sql = """
ALTER TABLE events ADD COLUMN seen boolean;
ALTER TABLE notes ADD COLUMN seen boolean;
"""
"#,
    );
    let run = rehearse_with(&folder.path().join("scenario.toml"), "native", &[]);
    run.assert_exit(0);
    elsewhere.assert_left_alone();
    let left = run.report["not_rehearsed"].to_string();
    let told = "no probe for events and notes: some of its rows are on another server";
    assert!(left.contains(told), "{left}\n{}", run.told());
}
