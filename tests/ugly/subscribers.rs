//! A primary with a subscriber, and what may become of either.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Room, SCENARIO, has, kill};

const STEP: &str = "[[step]]\nname = \"one\"\nsql = \"SELECT pg_sleep(60)\"\n";

/// Its one step goes on for a minute.
fn room(tables: &str, more: &str) -> Room {
    let room = Room::new();
    let node =
        format!("[topology.nodes.warehouse]\nsubscribes = {{ to = \"primary\", publication = \"feed\"{tables} }}\n");
    let scenario = SCENARIO.replace("[snapshot]", &format!("[topology.nodes.primary]\n{node}[snapshot]"));
    room.write("scenario.toml", format!("{scenario}{more}{STEP}"));
    room
}

/// For a row to come over.
const ARRIVES: Duration = Duration::from_secs(30);

const ALL: &str = ", tables = [\"public.*\"]";

fn fails(room: &Room, told: &[&str]) {
    let ended = room.rehearse("native");
    ended.exits(3).tells(told);
    ended.assert_reports(room, "inconclusive");
    room.assert_clean();
}

#[test]
fn a_subscriber_s_server_is_killed_before_the_plan() {
    if !has("native") {
        return;
    }
    let room = room(ALL, "");
    let mut run = room.begin("native");
    assert!(run.reaches_phase("control"), "{}", run.told());
    kill(room.server_of("warehouse").expect("a server"), Signal::KILL);
    let ended = run.end();
    ended.exits(3).tells(&["the server of node warehouse ended by itself: signal: 9 (SIGKILL)", "hint:"]);
    ended.assert_reports(&room, "inconclusive");
    assert!(ended.out.join("logs/warehouse.log").exists(), "the server's log is kept");
    room.assert_clean();
}

#[test]
fn a_table_that_the_subscriber_cannot_hold() {
    if !has("native") {
        return;
    }
    let setup =
        "[[setup]]\nsql = \"CREATE EXTENSION citext; CREATE TABLE people (id int PRIMARY KEY, email citext)\"\n";
    fails(
        &room(ALL, setup),
        &["node warehouse failed", "extension citext", "hint: give the node extensions = [\"citext\"]"],
    );
    // A type of that name is there, and another's.
    let setup = "[[setup]]\nsql = \"CREATE TYPE mood AS ENUM ('well'); CREATE TABLE people (id int PRIMARY KEY, is mood DEFAULT 'well')\"\n\
        [[setup]]\non = \"warehouse\"\nsql = \"CREATE TYPE mood AS ENUM ('ill')\"\n";
    fails(
        &room(ALL, &setup.replace("is mood", "feels mood")),
        &["node warehouse failed", "it cannot hold TABLE public.people"],
    );
}

#[test]
fn rows_that_do_not_fit() {
    if !has("native") {
        return;
    }
    let setup = "[[setup]]\nsql = \"INSERT INTO orders VALUES (1, 'secret')\"\n\
        [[setup]]\non = \"warehouse\"\nsql = \"CREATE TABLE orders (id int PRIMARY KEY, note int)\"\n";
    let room = room(ALL, setup);
    let ended = room.rehearse("native");
    ended
        .exits(3)
        .tells(&["node warehouse did not get the rows of orders", "invalid input syntax for type integer: \"…\""]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    for file in ["events.jsonl", "logs/warehouse.log"] {
        let text = std::fs::read_to_string(ended.out.join(file)).expect("it is kept");
        let setup = text.matches("'secret'").count();
        assert_eq!(text.matches("secret").count(), setup, "{file}: {text}");
    }
    room.assert_clean();
}

#[test]
fn nothing_to_subscribe_to() {
    if !has("native") {
        return;
    }
    fails(&room("", ""), &["node warehouse failed", "publication feed is not in the snapshot", "hint: name them"]);
    fails(
        &room(", tables = [\"sales.*\"]", ""),
        &["node warehouse failed", "\"sales.*\", which is to be published, is no table"],
    );
}

/// What proves the one reaches the others, by the same publication and by one of all tables: each goes on from there.
#[test]
fn several_subscribers() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    let subscriber = |name: &str, publication: &str| {
        let tables = "[\"public.orders\"]";
        format!(
            "[topology.nodes.{name}]\nsubscribes = {{ to = \"primary\", publication = \"{publication}\", tables = {tables} }}\n"
        )
    };
    let nodes = ["[topology.nodes.primary]\n".to_owned(), subscriber("whole", "whole"), subscriber("one", "feed")];
    let nodes = nodes.concat() + &subscriber("other", "feed");
    let scenario = SCENARIO.replace("[snapshot]", &format!("{nodes}[snapshot]"));
    let setup =
        "[[setup]]\nsql = \"INSERT INTO orders VALUES (1, 'before'); CREATE PUBLICATION whole FOR ALL TABLES\"\n";
    room.write("scenario.toml", format!("{scenario}{setup}[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n"));
    let ended = room.run(&["up", "scenario.toml", "--lab", "native", "--format", "json"]);
    ended.exits(0);
    let up: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let nodes = up["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 4, "{up}");
    let asked = |node: &Value, sql: &str| crate::up::asked(&up, node, sql);
    asked(&nodes[0], "INSERT INTO orders VALUES (2, 'after')").expect("it takes writes");
    for node in &nodes[1..] {
        let began = Instant::now();
        let rows = "SELECT string_agg(note, ' ' ORDER BY id) FROM orders";
        while asked(node, rows) != Ok("before after".to_owned()) {
            assert!(began.elapsed() < ARRIVES, "{}: {:?}", node["name"], asked(node, rows));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    for node in nodes {
        let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'rehearsal%'";
        assert_eq!(asked(node, left), Ok("0".to_owned()), "{}", node["name"]);
    }
    room.run(&["down"]).exits(0);
    room.assert_clean();
}

/// A publication of the snapshot's, partitions, a type, a table that is there already; nothing is left of the proof.
#[test]
fn what_a_subscriber_holds() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    let nodes = "[topology.nodes.primary]\n[topology.nodes.warehouse]\n\
        subscribes = { to = \"primary\", publication = \"Feed\", tables = [\"public.orders\"] }\n";
    let scenario = SCENARIO.replace("[snapshot]", &format!("{nodes}[snapshot]"));
    let setup = "[[setup]]\nsql = \"\"\"
CREATE TYPE mood AS ENUM ('well', 'ill');
CREATE SCHEMA sales;
CREATE FUNCTION sales.usual() RETURNS mood LANGUAGE sql AS $$ SELECT 'well'::mood $$;
CREATE TABLE sales.visits (id bigint GENERATED ALWAYS AS IDENTITY, at date NOT NULL, feels mood DEFAULT sales.usual(), PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE sales.visits_2025 PARTITION OF sales.visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE sales.stays (id bigint GENERATED ALWAYS AS IDENTITY, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE sales.stays_2024 PARTITION OF sales.stays FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE sales.stays_2025 PARTITION OF sales.stays FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE sales.log (note text);
INSERT INTO sales.visits (at) VALUES ('2025-05-05');
INSERT INTO sales.stays (at) VALUES ('2024-04-04'), ('2025-05-05');
INSERT INTO orders VALUES (1, 'there');
CREATE PUBLICATION \"Feed\" FOR TABLE orders, sales.visits, sales.stays, sales.log;
\"\"\"
[[setup]]
on = \"warehouse\"
sql = \"\"\"
CREATE TABLE orders (id int PRIMARY KEY, loaded timestamptz DEFAULT now(), note text);
CREATE SCHEMA sales;
CREATE TABLE sales.stays (id bigint GENERATED ALWAYS AS IDENTITY, at date NOT NULL, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
CREATE TABLE sales.stays_2024 PARTITION OF sales.stays FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
\"\"\"
";
    let step = "[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n";
    room.write("scenario.toml", format!("{scenario}{setup}{step}"));
    let ended = room.run(&["up", "scenario.toml", "--lab", "native", "--format", "json"]);
    ended.exits(0).says(&[
        "subscriber warehouse: publication Feed is taken as the snapshot has it, and holds more than `tables` says: sales.log, sales.stays_2024, sales.stays_2025, sales.visits_2025",
        "subscriber warehouse: table sales.log has no key",
    ]);
    let up: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let [primary, warehouse] = up["nodes"].as_array().map(Vec::as_slice).expect("nodes") else { panic!("{up}") };
    assert_eq!((&warehouse["role"], &warehouse["of"]), (&"subscriber".into(), &"primary".into()));
    let asked = |node: &Value, sql: &str| crate::up::asked(&up, node, sql).expect("it answers");
    let held = "SELECT (SELECT string_agg(note, ',') FROM orders), (SELECT string_agg(feels::text, ',') FROM sales.visits), \
            (SELECT string_agg(at::text, ',' ORDER BY at) FROM sales.stays)";
    assert_eq!(asked(warehouse, held), "there|well|2024-04-04,2025-05-05");
    let key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'sales.stays'::regclass AND contype = 'p'";
    assert_eq!(asked(warehouse, key), "PRIMARY KEY (at, id)", "what is there is left as it is");
    assert_eq!(asked(primary, "SELECT count(*) FROM pg_publication_tables WHERE tablename = 'row'"), "0");
    for node in [primary, warehouse] {
        assert_eq!(asked(node, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'rehearsal%'"), "0");
    }
    assert_eq!(asked(warehouse, "SELECT current_setting('wal_retrieve_retry_interval')"), "5s");
    room.run(&["down"]).exits(0);
    room.assert_clean();
}
