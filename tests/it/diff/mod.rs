//! Schema and data of two databases compared, on a real server.

mod changes;
mod mysql;
mod mysql_changes;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::{StreamExt, future, stream};
use rand::{RngExt, SeedableRng};
use rehearsal::commands::diff;
use rehearsal::diff::{CompareOptions, DiffError, compare};
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::postgres::connect::{Connection, connect};
use rehearsal::event::DiffResult;
use rehearsal::report::diff::{json, text};
use rehearsal::settings::DiffSettings;
use rustix::process::{Pid, Signal};
use tokio_util::sync::CancellationToken;

use crate::support::elsewhere::Elsewhere;
use crate::support::server::{database, programs};

const EVERYTHING: &str = include_str!("../../../fixtures/diff/everything.sql");

fn all() -> CompareOptions {
    CompareOptions { schema: true, data: true, ..CompareOptions::default() }
}

async fn execute(endpoint: &Endpoint, sql: &str) {
    let connection = connect(endpoint, Duration::from_secs(10)).await.expect("the server answers");
    if let Err(error) = connection.client.batch_execute(sql).await {
        panic!("{}: {error:?}", &sql[..sql.len().min(200)]);
    }
}

/// A database with this in it.
async fn loaded(sql: &str) -> Option<Endpoint> {
    let endpoint = database().await?;
    execute(&endpoint, sql).await;
    Some(endpoint)
}

async fn differences(before: &Endpoint, after: &Endpoint, options: &CompareOptions) -> DiffResult {
    match compare(before, after, options).await {
        Ok(result) => result,
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

/// The lines about differences, as a person reads them.
fn lines(result: &DiffResult) -> Vec<String> {
    let text = text(result);
    text.lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| line.starts_with(['+', '-', '~']))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_databases_have_no_difference() {
    let (Some(before), Some(after)) = (loaded(EVERYTHING).await, loaded(EVERYTHING).await) else { return };
    let result = differences(&before, &after, &all()).await;
    assert_eq!(lines(&result), [""; 0]);
    insta::assert_snapshot!(text(&result), @r"
    content not compared
      later: a materialized view without data

    no difference; content of 11 tables compared
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_restored_has_no_difference() {
    let (Some(before), Some(after), Some(programs)) = (loaded(EVERYTHING).await, database().await, programs()) else {
        return;
    };
    let run = |program: &str, endpoint: &Endpoint, more: &[&str]| {
        let mut command = Command::new(programs.join(program));
        command.arg("-d").arg(endpoint.url().replace(":@", "@")).args(more).stderr(Stdio::inherit());
        command
    };
    let dump = run("pg_dump", &before, &[]).output().expect("pg_dump runs");
    assert!(dump.status.success());
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), &dump.stdout).expect("the dump can be kept");
    let path = file.path().to_str().expect("temporary paths are text");
    let restored = run("psql", &after, &["-q", "-v", "ON_ERROR_STOP=1", "-f", path]).stdout(Stdio::null()).status();
    assert!(restored.expect("psql runs").success());
    assert_eq!(lines(&differences(&before, &after, &all()).await), [""; 0]);
}

/// Each change alone, against a database without it.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_change_is_told_once_and_exactly() {
    let Some(before) = loaded(EVERYTHING).await else { return };
    let cases = changes::CHANGES.iter().map(async |(change, expected)| {
        let after = loaded(EVERYTHING).await?;
        execute(&after, change).await;
        let found = lines(&differences(&before, &after, &all()).await);
        (found != *expected).then(|| format!("{change}\n  expected {expected:#?}\n  found {found:#?}"))
    });
    let wrong: Vec<String> = stream::iter(cases).buffer_unordered(3).filter_map(future::ready).collect().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A table of 3,000 rows; `key` is "PRIMARY KEY" or nothing.
fn ledger(key: &str) -> String {
    format!(
        "CREATE TABLE ledger (id integer {key}, a text, b numeric, c jsonb); \
         INSERT INTO ledger SELECT n, 'a' || n % 50, n / 8.0, jsonb_build_object('n', n) FROM generate_series(1, 3000) n"
    )
}

/// Random edits of distinct rows, and how many rows each kind touched.
#[derive(Debug, Default)]
struct Edits {
    sql: String,
    added: Vec<i32>,
    removed: Vec<i32>,
    changed: Vec<i32>,
    columns: BTreeMap<String, u64>,
}

fn random_edits(seed: u64) -> Edits {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut edits = Edits::default();
    for id in 1..=3000 {
        if random.random_bool(0.98) {
            continue;
        }
        let column = ["a", "b", "c"][random.random_range(0..3)];
        match random.random_range(0..3) {
            0 => {
                edits.sql.push_str(&format!("DELETE FROM ledger WHERE id = {id};"));
                edits.removed.push(id);
            }
            1 => {
                edits.sql.push_str(&format!("INSERT INTO ledger VALUES ({}, 'new', 0, '[]');", id + 5000));
                edits.added.push(id + 5000);
            }
            _ => {
                edits.sql.push_str(&format!("UPDATE ledger SET {column} = NULL WHERE id = {id};"));
                edits.changed.push(id);
                *edits.columns.entry(column.to_owned()).or_default() += 1;
            }
        }
    }
    edits
}

#[tokio::test(flavor = "multi_thread")]
async fn random_edits_are_all_found() {
    let (Some(before), Some(before_keyless)) = (loaded(&ledger("PRIMARY KEY")).await, loaded(&ledger("")).await) else {
        return;
    };
    let options = CompareOptions { keys: usize::MAX, ..all() };
    for seed in 0..8 {
        let edits = random_edits(seed);
        let (added, removed, changed) = (edits.added.len(), edits.removed.len(), edits.changed.len());
        let Some(after) = loaded(&ledger("PRIMARY KEY")).await else { return };
        execute(&after, &edits.sql).await;
        let result = differences(&before, &after, &options).await;
        let [change] = &result.data[..] else { panic!("seed {seed}: one table differs: {result:?}") };
        let found = (change.added, change.removed, change.changed, &change.columns);
        let counts = (Some(added as u64), Some(removed as u64), Some(changed as u64), &edits.columns);
        assert_eq!(found, counts, "seed {seed}");
        let keys = change.keys.as_ref().expect("keys were asked for");
        assert_eq!(numbers(&keys.added), edits.added, "seed {seed}");
        assert_eq!(numbers(&keys.removed), edits.removed, "seed {seed}");
        assert_eq!(numbers(&keys.changed), edits.changed, "seed {seed}");

        let Some(after) = loaded(&ledger("")).await else { return };
        execute(&after, &edits.sql).await;
        let result = differences(&before_keyless, &after, &options).await;
        let [change] = &result.data[..] else { panic!("seed {seed}: one table differs: {result:?}") };
        let found = (change.added, change.removed, change.changed, &change.keys);
        assert_eq!(
            found,
            (Some((added + changed) as u64), Some((removed + changed) as u64), None, &None),
            "seed {seed}"
        );
    }
}

/// Keys of one integer column, sorted.
fn numbers(keys: &[Vec<Option<String>>]) -> Vec<i32> {
    let number = |key: &Vec<Option<String>>| key[0].as_ref().and_then(|text| text.parse().ok()).expect("a number");
    let mut numbers: Vec<i32> = keys.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_told_only_when_asked_for() {
    let (Some(before), Some(after)) = (loaded(&ledger("PRIMARY KEY")).await, loaded(&ledger("PRIMARY KEY")).await)
    else {
        return;
    };
    execute(&after, "UPDATE ledger SET a = 'secret' WHERE id BETWEEN 10 AND 14; DELETE FROM ledger WHERE id > 2999")
        .await;
    let silent = differences(&before, &after, &all()).await;
    assert!(!format!("{silent:?}").contains("secret"));
    assert_eq!((silent.data[0].samples.len(), &silent.data[0].keys), (0, &None));

    let keys = differences(&before, &after, &CompareOptions { keys: 4, ..all() }).await;
    assert!(!json("a", "b", &keys).contains("secret"));
    let told = keys.data[0].keys.as_ref().expect("keys were asked for");
    assert_eq!((told.changed.len() + told.removed.len(), told.left_off), (4, 2));

    let sampled = differences(&before, &after, &CompareOptions { samples: 10, ..all() }).await;
    let samples = &sampled.data[0].samples;
    assert_eq!(samples.len(), 6);
    let removed = samples.iter().find(|sample| sample.after.is_none()).expect("one row was removed");
    assert_eq!(removed.key, ["3000"]);
    let changed = samples.iter().find(|sample| sample.key == ["12"]).expect("row 12 was changed");
    let value = |row: &Option<BTreeMap<String, Option<String>>>| row.as_ref().and_then(|row| row["a"].clone());
    assert_eq!((value(&changed.before), value(&changed.after)), (Some("a12".to_owned()), Some("secret".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_can_be_narrowed() {
    let (Some(before), Some(after)) = (loaded(EVERYTHING).await, loaded(EVERYTHING).await) else { return };
    execute(&after, "DELETE FROM sales.lines; DROP INDEX orders_tags_idx; DELETE FROM ONLY base; DROP TABLE scratch")
        .await;
    let only = |tables: &[&str]| Some(tables.iter().map(|table| (*table).to_owned()).collect());
    let found = async |options: CompareOptions| lines(&differences(&before, &after, &options).await);

    let base = "~ base: 20 -> 0 rows, 20 removed; matched by all columns";
    let sold = "~ sales.lines: 150 -> 0 rows, 150 removed; matched by primary key";
    let index = "- index orders_tags_idx on orders: CREATE INDEX ON public.orders USING gin (tags)";
    assert_eq!(
        found(CompareOptions { data: true, ..CompareOptions::default() }).await,
        ["- table scratch", base, sold]
    );
    assert_eq!(found(CompareOptions { schema: true, ..CompareOptions::default() }).await, [index, "- table scratch"]);
    assert_eq!(found(CompareOptions { tables: only(&["public.base", "orders"]), ..all() }).await, [index, base]);
    let missing = compare(&before, &after, &CompareOptions { tables: only(&["orders", "nowhere"]), ..all() }).await;
    assert!(matches!(missing, Err(DiffError::NoSuchTable { name }) if name == "nowhere"));
}

/// A partition named by itself is compared by itself, and nothing of it hides in what is told of its table.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_can_be_compared_alone() {
    let (Some(before), Some(after)) = (loaded(EVERYTHING).await, loaded(EVERYTHING).await) else { return };
    let found = async |tables: &[&str]| {
        let tables = Some(tables.iter().map(|table| (*table).to_owned()).collect());
        let result = differences(&before, &after, &CompareOptions { tables, ..all() }).await;
        (result.tables_compared, lines(&result))
    };
    assert_eq!(found(&["events_2023"]).await, (1, vec![]));
    assert_eq!(found(&["events", "events_2023", "events_2024_rest"]).await, (2, vec![]));

    execute(&after, "DELETE FROM events_2023; ALTER TABLE events ADD COLUMN who text").await;
    let who = |table: &str| format!("+ column {table}.who: text");
    let lost = |table: &str, rows: &str| format!("~ {table}: {rows}, 364 removed; matched by primary key");
    assert_eq!(found(&["events_2023"]).await, (1, vec![who("events_2023"), lost("events_2023", "364 -> 0 rows")]));
    assert_eq!(found(&["events_2024_rest"]).await, (1, vec![who("events_2024_rest")]));
    assert_eq!(found(&["events"]).await, (1, vec![who("events"), lost("events", "700 -> 336 rows")]));

    execute(&after, "DROP TABLE events").await;
    let (compared, told) = found(&["events_2023"]).await;
    assert_eq!(compared, 0);
    assert!(told.len() == 1 && told[0].starts_with("- table events_2023: PARTITION OF events"), "{told:?}");
}

/// No difference where nothing was looked at is not equality.
#[tokio::test(flavor = "multi_thread")]
async fn a_selection_without_content_to_compare_is_an_error() {
    let (Some(before), Some(after)) = (loaded(EVERYTHING).await, loaded(EVERYTHING).await) else { return };
    let compared = async |tables: &[&str], schema: bool| {
        let tables = Some(tables.iter().map(|table| (*table).to_owned()).collect());
        compare(&before, &after, &CompareOptions { schema, data: true, tables, ..CompareOptions::default() }).await
    };
    let nothing = async |tables: &[&str], schema: bool| match compared(tables, schema).await {
        Err(error @ DiffError::NoContent { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let view = "no content was compared (happy: a view has no rows of its own)";
    let both =
        "no content was compared (later: a materialized view without data; happy: a view has no rows of its own)";
    assert_eq!(nothing(&["happy"], true).await, view);
    assert_eq!(nothing(&["happy"], false).await, view);
    assert_eq!(nothing(&["happy", "later"], true).await, both);

    let partly = compared(&["happy", "orders"], true).await.expect("orders can be compared");
    assert_eq!((partly.tables_compared, partly.not_compared[0].table.as_str()), (1, "happy"));

    execute(&after, "DROP VIEW happy").await;
    assert_eq!(nothing(&["happy"], false).await, view);
    assert_eq!(lines(&compared(&["happy"], true).await.expect("the view went")).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_or_go_with_a_materialized_view_are_data() {
    let (Some(before), Some(after)) = (loaded(EVERYTHING).await, loaded(EVERYTHING).await) else { return };
    execute(&before, "DROP VIEW happy").await;
    execute(&after, "DROP MATERIALIZED VIEW totals").await;
    let result = differences(&before, &after, &CompareOptions { data: true, ..CompareOptions::default() }).await;
    let [told] = &lines(&result)[..] else { panic!("one view with rows went: {result:?}") };
    assert!(told.starts_with("- view totals: materialized view SELECT"), "{told}");
}

/// Rows as (k, a, b), put into the table in that order.
fn rows_of_one_key(key: &str, rows: &[(i32, i32)]) -> String {
    let rows: Vec<String> = rows.iter().map(|(a, b)| format!("({key}, {a}, {b})")).collect();
    format!("CREATE TABLE heap (k integer, a integer, b integer); INSERT INTO heap VALUES {};", rows.join(", "))
}

/// A unique index leaves NULLs alone, so that many rows have one key, and a server gives them in any order.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_key_that_is_not_unique_meet_in_any_order() {
    let view = "CREATE MATERIALIZED VIEW seen AS SELECT * FROM heap; CREATE UNIQUE INDEX seen_k ON seen (k);";
    let rows: Vec<(i32, i32)> = (0..200).map(|n| (n, n % 7)).collect();
    let mut turned: Vec<(i32, i32)> = rows.iter().rev().copied().collect();
    turned[50].1 = 99;
    turned.remove(120);
    let (Some(before), Some(after)) = (
        loaded(&(rows_of_one_key("NULL", &rows) + view)).await,
        loaded(&(rows_of_one_key("NULL", &turned) + view)).await,
    ) else {
        return;
    };
    let options = CompareOptions {
        tables: Some(vec!["seen".into()]),
        samples: 5,
        keys: 5,
        data: true,
        ..CompareOptions::default()
    };
    let result = differences(&before, &after, &options).await;
    let [change] = &result.data[..] else { panic!("one view differs: {result:?}") };
    assert_eq!(change.matched_by, "unique index seen_k");
    assert_eq!((change.added, change.removed, change.changed), (Some(0), Some(1), Some(1)), "{change:?}");
    // A sample shows the rows themselves, and not any others of that key.
    let before_and_after = |column: &str| {
        let value = |row: &Option<BTreeMap<String, Option<String>>>| row.as_ref().and_then(|row| row[column].clone());
        let of_samples = change.samples.iter().map(|sample| (value(&sample.before), value(&sample.after)));
        of_samples.collect::<Vec<_>>()
    };
    assert!(before_and_after("b").iter().any(|(_, after)| after.as_deref() == Some("99")), "{:?}", change.samples);
    assert_eq!(before_and_after("a").iter().filter(|(before, after)| before.is_some() && after.is_none()).count(), 1);
    let keys = change.keys.as_ref().expect("keys were asked for");
    assert_eq!((&keys.removed, &keys.changed), (&vec![vec![None]], &vec![vec![None]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_under_a_key_that_was_lost_meet_their_equals() {
    let copies: Vec<(i32, i32)> = (0..50).map(|n| (n, n)).collect();
    let key = "ALTER TABLE heap ADD PRIMARY KEY (k);";
    let (Some(before), Some(after)) =
        (loaded(&(rows_of_one_key("1", &copies[25..26]) + key)).await, loaded(&rows_of_one_key("1", &copies)).await)
    else {
        return;
    };
    let result = differences(&before, &after, &CompareOptions { data: true, ..CompareOptions::default() }).await;
    assert_eq!(lines(&result), ["~ heap: 1 -> 50 rows, 49 added; matched by primary key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_on_another_server_is_not_read() {
    let elsewhere = Elsewhere::new();
    let tables = elsewhere.tables();
    let (Some(before), Some(after)) = (loaded(&tables).await, loaded(&tables).await) else { return };
    execute(&after, "DELETE FROM events_new WHERE ctid = '(0,1)'; UPDATE ONLY notes SET body = 'x' WHERE id = 1").await;
    let result = differences(&before, &after, &all()).await;
    elsewhere.assert_left_alone();
    insta::assert_snapshot!(text(&result), @r"
    data
      ~ events_new: 20 -> 19 rows, 1 removed; matched by all columns
      ~ notes: 5 rows, 1 changed (body in 1); matched by primary key

    content not compared
      events: some of its rows lie on another server, in foreign partitions; the others are compared one by one
      events_old: its rows lie on another server
      notes_old: its rows lie on another server

    0 differences in the schema, 2 tables with other content; content of 3 tables compared
    ");

    // Named alone, without its foreign partition.
    let named = CompareOptions { tables: Some(vec!["events".into()]), ..all() };
    let told = compare(&before, &after, &named).await.expect_err("some of its rows are out of reach").to_string();
    elsewhere.assert_left_alone();
    assert!(told.contains("in foreign partitions; the others can be compared by their own names"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_comparison_leaves_no_query_behind() {
    let (Some(before), Some(after)) = (loaded(&ledger("")).await, loaded(&ledger("")).await) else { return };
    // Holding the table keeps the comparison waiting for as long as the test needs.
    let holder = connect(&after, Duration::from_secs(10)).await.expect("the server answers");
    holder.client.batch_execute("BEGIN; LOCK TABLE ledger").await.expect("the table can be locked");
    let cancel = CancellationToken::new();
    let options = CompareOptions { cancel: cancel.clone(), ..all() };
    let task = tokio::spawn({
        let (before, after) = (before.clone(), after.named("cancelled diff"));
        async move { compare(&before, &after, &options).await }
    });
    let waiters = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cancelled diff' \
                   AND wait_event_type = 'Lock'";
    until(&holder, waiters, 1).await;
    cancel.cancel();
    assert!(matches!(task.await.expect("no panic"), Err(DiffError::Cancelled)));
    until(&holder, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cancelled diff'", 0).await;
}

/// Ctrl-C in a comparison that may take hours must not leave its scans running on somebody's servers.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_command_leaves_no_query_behind() {
    let (Some(before), Some(after)) = (loaded(&ledger("")).await, loaded(&ledger("")).await) else { return };
    let holder = connect(&after, Duration::from_secs(10)).await.expect("the server answers");
    holder.client.batch_execute("BEGIN; LOCK TABLE ledger").await.expect("the table can be locked");
    for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let name = format!("interrupted-{exit}");
        let url = format!("{}?application_name={name}", after.url());
        let mut command = Command::new(env!("CARGO_BIN_EXE_rehearsal"));
        command.args(["diff", &before.url(), &url]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the program starts");
        let waiters = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND wait_event_type = 'Lock'"
        );
        until(&holder, &waiters, 1).await;
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("an id")).expect("it is not 0");
        rustix::process::kill_process(pid, signal).expect("it runs");
        let ended = tokio::task::spawn_blocking(|| child.wait_with_output()).await.expect("no panic").expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), said.trim()), (Some(exit), "error: interrupted"));
        assert_eq!(String::from_utf8_lossy(&ended.stdout), "");
        let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'");
        until(&holder, &sessions, 0).await;
    }
}

/// Asks until the count is `wanted`, for ten seconds.
async fn until(connection: &Connection, count: &str, wanted: i64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        // Within a transaction the view shows what it showed first.
        connection.client.execute("SELECT pg_stat_clear_snapshot()", &[]).await.expect("the server answers");
        let seen: i64 = connection.client.query_one(count, &[]).await.expect("the server answers").get(0);
        if seen == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{count}: still {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_compares_urls_and_names_what_it_cannot() {
    let (Some(before), Some(after)) = (loaded(&ledger("PRIMARY KEY")).await, loaded(&ledger("PRIMARY KEY")).await)
    else {
        return;
    };
    execute(&after, "DELETE FROM ledger WHERE id = 7").await;
    let settings = |a: &str, b: &str| DiffSettings {
        before: a.to_owned(),
        after: b.to_owned(),
        schema: true,
        data: true,
        tables: None,
        samples: 0,
        keys: true,
    };
    let (a, b) = (before.url(), after.url());
    let outcome = diff::run(&settings(&a, &b), CancellationToken::new()).await.expect("both answer");
    let document: serde_json::Value =
        serde_json::from_str(&json(&outcome.before, &outcome.after, &outcome.result)).expect("it is JSON");
    assert_eq!(document["equal"], false);
    assert_eq!(document["data"][0]["keys"]["removed"], serde_json::json!([["7"]]));

    let refused = async |argument: &str| match diff::run(&settings(argument, &b), CancellationToken::new()).await {
        Ok(_) => panic!("{argument} is refused"),
        Err(error) => (error.is_usage(), error.to_string()),
    };
    assert_eq!(refused("Cargo.toml").await, (true, "comparing dumps is not supported yet: Cargo.toml".into()));
    assert_eq!(
        refused("src").await,
        (true, "comparing snapshots and dumps in a folder is not supported yet: src".into())
    );
    assert_eq!(refused("env:NOT_SET_HERE").await, (true, "the environment has no variable NOT_SET_HERE".into()));
    assert_eq!(refused("postgresql://x@127.0.0.1:1/x").await, (false, "could not compare".into()));

    execute(&before, "CREATE VIEW seen AS SELECT * FROM ledger").await;
    execute(&after, "CREATE VIEW seen AS SELECT * FROM ledger").await;
    let of_view = DiffSettings { tables: Some(vec!["seen".into()]), ..settings(&a, &b) };
    let error = diff::run(&of_view, CancellationToken::new()).await.expect_err("a view holds no rows");
    assert_eq!(error.hint(), Some("name tables that hold rows, or compare definitions alone with --schema"));
    assert_eq!(rehearsal::commands::Error::from(error).exit_code(), 3);
}
