//! MariaDB and MySQL brought up: their replicas get what the writer has, and whatever goes wrong on the way is told and leaves nothing.

use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rehearsal::engine::EngineKind;
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::mysql::connect;
use rustix::process::Signal;
use serde_json::Value;

use crate::secrets::{listening, published};
use crate::support::{Ended, Going, Room, each, entries, has, in_ci, kill};

/// Within which a replica shows what the writer has.
const ARRIVES: Duration = Duration::from_secs(30);

/// Versions, and labs that have them.
const SERVERS: [(&str, &str, &str); 5] = [
    ("mariadb", "10.11", "native"),
    ("mariadb", "10.5", "docker"),
    ("mariadb", "10.11", "docker"),
    ("mariadb", "11.8", "docker"),
    ("mysql", "9.7", "docker"),
];

/// As a client writes dumps: with another delimiter, and rows that are not ASCII.
const DUMP: &str = "\
SET NAMES utf8mb4;
CREATE TABLE orders (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, note varchar(40)) DEFAULT CHARSET=utf8mb4;
INSERT INTO orders VALUES (1, 'größer; than'), (2, NULL);
CREATE TABLE log (note varchar(40));
DELIMITER ;;
CREATE TRIGGER copied AFTER INSERT ON orders FOR EACH ROW BEGIN
  INSERT INTO log VALUES (NEW.note);
END;;
DELIMITER ;
CREATE VIEW notes AS SELECT note FROM orders;
";

const CASCADE: &str =
    "[topology.nodes.a]\n[topology.nodes.b]\nreplicates = \"a\"\n[topology.nodes.c]\nreplicates = \"b\"\n";

/// What was merged since the snapshot; a check of it, on a replica too.
const SETUP: &str = r#"
[[setup]]
file = "setup.sql"
[[setup]]
restart = "a"
[[setup]]
sql = "UPDATE orders SET region = 'north;'"
[[setup]]
wait = { for = "caught_up", deadline = "30s" }
[[setup]]
on = "c"
check = { sql = "SELECT region, '${node.c.port}' = '${node.a.port}' FROM orders LIMIT 1", rows = [["north;", "0"]] }
[[setup]]
wait = { sql = "SELECT shout('a') = 'A!'", deadline = "10s" }
"#;
const SETUP_SCRIPT: &str = "\
ALTER TABLE orders ADD COLUMN region varchar(20) DEFAULT 'north;';
DELIMITER //
CREATE FUNCTION shout(what varchar(20)) RETURNS varchar(30) DETERMINISTIC NO SQL
BEGIN
  RETURN CONCAT(UPPER(what), '!');
END//
DELIMITER ;
source more.sql
";

fn has_server(engine: &str, lab: &str) -> bool {
    in_ci()
        || match lab {
            "native" => engine == "mariadb" && is_mariadb_here("10.11"),
            _ => has("docker"),
        }
}

pub fn is_mariadb_here(version: &str) -> bool {
    let said = std::process::Command::new("/usr/sbin/mariadbd").arg("--version").output();
    said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(&format!(" {version}.")))
}

/// A scenario of that engine, whose snapshot is `dump.sql`.
fn scenario(room: &Room, (engine, version): (&str, &str), nodes: &str, dump: &str) {
    room.write("dump.sql", dump);
    let topology = format!("[topology]\nengine = \"{engine}\"\nversion = \"{version}\"\n{nodes}");
    let snapshot = "[snapshot]\nfrom = \"dump.sql\"\ndatabase = \"shop\"\n";
    let step = "[[step]]\nname = \"one\"\nsql = \"DROP TABLE orders\"\n";
    room.write("scenario.toml", format!("name = \"ugly\"\n{topology}{snapshot}{step}"));
}

fn up(room: &Room, lab: &str) -> Ended {
    room.run(&["up", "scenario.toml", "--lab", lab])
}

/// `up`, whose events are recorded while it goes on.
fn going_up(room: &Room, lab: &str) -> Going {
    let mut command = room.command();
    command.args(["up", "scenario.toml", "--lab", lab]);
    room.start_recorded(command)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}"))
}

/// A node as its table and the option file give it.
fn endpoint(up: &Value, node: &Value) -> Endpoint {
    let options = std::fs::read_to_string(text(up, "passwords")).expect("an option file");
    let (_, group) = options.split_once(&format!("[client_{}]", text(node, "name"))).expect("the node's group");
    let password = group.lines().find_map(|line| line.strip_prefix("password = ")).expect("a password");
    Endpoint {
        engine: if text(node, "version").starts_with("9.") { EngineKind::Mysql } else { EngineKind::Mariadb },
        host: text(node, "host").to_owned(),
        port: node["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port"),
        database: text(node, "database").to_owned(),
        user: text(node, "user").to_owned(),
        password: password.to_owned(),
        application: String::new(),
    }
}

/// One text of a node.
fn asked(at: &Endpoint, sql: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ask = async |connection: &mut Conn| connection.query_first::<Option<String>, _>(sql).await;
    runtime
        .block_on(connect::with(at, Duration::from_secs(10), ask))
        .unwrap_or_else(|error| panic!("{error}"))
        .flatten()
}

#[test]
fn every_version_and_its_replicas() {
    let servers = SERVERS.into_iter().filter(|(engine, _, lab)| has_server(engine, lab));
    each(
        servers,
        |(engine, version, lab)| format!("{engine} {version} {lab}"),
        |(engine, version, lab)| {
            let room = Room::new();
            scenario(&room, (engine, version), &format!("{CASCADE}{SETUP}"), DUMP);
            room.write("setup.sql", SETUP_SCRIPT);
            room.write("more.sql", "UPDATE orders SET region = 'north;'");
            let ended = room.run(&["up", "scenario.toml", "--lab", lab, "--format", "json"]);
            ended.exits(0).says(&["restored 2 tables, 2 rows"]);
            let up: Value = serde_json::from_str(&ended.stdout).expect("JSON");
            let nodes = up["nodes"].as_array().expect("nodes");
            let roles: Vec<_> =
                nodes.iter().map(|node| (text(node, "name"), text(node, "role"), node["of"].as_str())).collect();
            assert_eq!(roles, [("a", "writer", None), ("b", "replica", Some("a")), ("c", "replica", Some("b"))]);
            for node in nodes {
                assert!(text(node, "version").starts_with(&format!("{version}.")), "{node}");
                assert!(text(node, "url").starts_with("mysql://root@127.0.0.1:"), "{node}");
            }
            let [a, b, c] = [0, 1, 2].map(|index| endpoint(&up, &nodes[index]));
            for at in [&a, &b, &c] {
                let rows = "SELECT CONCAT(GROUP_CONCAT(note), COUNT(*), (SELECT COUNT(*) FROM log)) FROM orders";
                assert_eq!(
                    asked(at, rows).as_deref(),
                    Some("größer; than20"),
                    "a row is missing, or the trigger was fired"
                );
                assert_eq!(asked(at, "SELECT note FROM notes ORDER BY 1 DESC").as_deref(), Some("größer; than"));
            }
            // They replicate still, though whoever brought them up has gone.
            asked(&a, "INSERT INTO orders (id, note) VALUES (3, 'later')");
            let began = Instant::now();
            for at in [&b, &c] {
                while asked(at, "SELECT CONCAT(note, (SELECT MAX(note) FROM log)) FROM orders WHERE id = 3").as_deref()
                    != Some("laterlater")
                {
                    assert!(began.elapsed() < ARRIVES, "{:?}", asked(at, "SELECT MAX(id) FROM orders"));
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            // Nobody else gets in, and nobody from elsewhere.
            for (user, password) in [("root", ""), ("", ""), ("mysql", "")] {
                let nobody = a.as_user(user, password).in_database("");
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let tried = runtime.block_on(connect::opened(&nobody, "SELECT 1", Duration::from_secs(10)));
                assert!(tried.is_err(), "{user:?} gets in without a password");
            }
            let addresses = if lab == "native" { listening(&room) } else { published(&room) };
            assert!(!addresses.is_empty() && addresses.iter().all(|address| address == "127.0.0.1"), "{addresses:?}");
            let told = format!("{}{}", ended.stdout, ended.stderr);
            assert!(a.password.len() >= 16 && !told.contains(&a.password), "a password was printed");

            room.run(&["ls"]).exits(0).tells(&[text(&up, "run"), "kept"]);
            room.run(&["down"]).exits(0).tells(&["removed a folder of"]);
            room.assert_clean();
        },
    );
}

const PAIR: &str = "[topology.nodes.a]\npeers = [\"b\"]\n[topology.nodes.b]\npeers = [\"a\"]\n[topology.nodes.c]\nreplicates = \"b\"\n";

/// Keys that do not meet, a column that each of the pair is given by itself, and what each has of the other.
const SETUP_OF_PAIR: &str = r#"
[[setup]]
sql = "INSERT INTO orders (note) VALUES ('of a')"
[[setup]]
on = "b"
sql = "INSERT INTO orders (note) VALUES ('of b')"
[[setup]]
wait = { for = "caught_up", deadline = "30s" }
[[setup]]
on = ["a", "b", "c"]
check = { sql = "SELECT note, id % 2 FROM orders WHERE id > 2 ORDER BY note", rows = [["of a", "1"], ["of b", "0"]] }
[[setup]]
on = ["b", "a"]
at_once = "all"
sql = "ALTER TABLE orders ADD COLUMN region varchar(9)"
replicated = false
"#;

#[test]
fn a_pair_and_a_replica_of_it() {
    let servers = [("mariadb", "10.11", "native"), ("mysql", "9.7", "docker")];
    let servers = servers.into_iter().filter(|(engine, _, lab)| has_server(engine, lab));
    each(
        servers,
        |(engine, version, lab)| format!("{engine} {version} {lab}"),
        |(engine, version, lab)| {
            let room = Room::new();
            scenario(&room, (engine, version), &format!("{PAIR}{SETUP_OF_PAIR}"), DUMP);
            let ended = room.run(&["up", "scenario.toml", "--lab", lab, "--format", "json"]);
            let up: Value = serde_json::from_str(&ended.exits(0).stdout).expect("JSON");
            let nodes = up["nodes"].as_array().expect("nodes");
            let roles: Vec<_> =
                nodes.iter().map(|node| (text(node, "name"), text(node, "role"), node["of"].as_str())).collect();
            assert_eq!(roles, [("a", "writer", None), ("b", "peer", Some("a")), ("c", "replica", Some("b"))]);
            let [a, b, c] = [0, 1, 2].map(|index| endpoint(&up, &nodes[index]));
            let region = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'shop' AND column_name = 'region'";
            let regions = [&a, &b, &c].map(|at| asked(at, region));
            assert_eq!(regions.map(Option::unwrap_or_default), ["1", "1", "0"], "what was to stay out of the log");
            // They write to each other still.
            asked(&a, "INSERT INTO log VALUES ('to b')");
            asked(&b, "INSERT INTO log VALUES ('to a')");
            let began = Instant::now();
            for at in [&a, &b, &c] {
                while asked(at, "SELECT COUNT(*) FROM log WHERE note LIKE 'to _'").as_deref() != Some("2") {
                    assert!(began.elapsed() < ARRIVES, "{:?}", asked(at, "SELECT GROUP_CONCAT(note) FROM log"));
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            room.run(&["down"]).exits(0);
            room.assert_clean();
        },
    );
}

/// A script that lets itself into the log again does not pass for one that stayed out of it.
#[test]
fn what_was_to_stay_out_of_the_log_and_did_not() {
    let servers = [("mariadb", "10.11", "native"), ("mysql", "9.7", "docker")];
    let servers = servers.into_iter().filter(|(engine, _, lab)| has_server(engine, lab));
    each(
        servers,
        |(engine, version, lab)| format!("{engine} {version} {lab}"),
        |(engine, version, lab)| {
            let room = Room::new();
            let script =
                "INSERT INTO log VALUES ('a'); SET sql_log_bin = 1; INSERT INTO log VALUES ('b'); SET sql_log_bin = 0";
            let setup = format!("[[setup]]\nsql = \"{script}\"\nreplicated = false\n");
            scenario(&room, (engine, version), &setup, DUMP);
            up(&room, lab).exits(3).says(&["it was to stay out of the binary log, and wrote", "there"]);
            room.assert_clean();
        },
    );
}

/// Settings by which a tool's own sessions would fail, or a server not start.
#[test]
fn settings_of_production() {
    let settings = "autocommit = \"OFF\", sql_mode = \"ANSI,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES\", lower_case_table_names = 1, \
        skip_name_resolve = \"ON\", character-set-server = \"latin1\", innodb_page_size = \"8K\"";
    let servers = [("mariadb", "10.11", "native"), ("mariadb", "11.8", "docker"), ("mysql", "9.7", "docker")];
    let servers = servers.into_iter().filter(|(engine, _, lab)| has_server(engine, lab));
    each(
        servers,
        |(engine, version, lab)| format!("{engine} {version} {lab}"),
        |(engine, version, lab)| {
            let room = Room::new();
            let of = |node: &str, more: &str| format!("[topology.nodes.{node}]\n{more}settings = {{ {settings} }}\n");
            let nodes = format!("{}{}", of("a", ""), of("b", "replicates = \"a\"\n"));
            let setup = "[[setup]]\nsql = \"CREATE TABLE \\\"Upper\\\" (a varchar(9)); INSERT INTO upper VALUES ('a\\\\'); COMMIT\"\n";
            scenario(
                &room,
                (engine, version),
                &format!("{nodes}{setup}"),
                "CREATE TABLE t (a int);\nINSERT INTO t VALUES (7);\n",
            );
            let ended = room.run(&["up", "scenario.toml", "--lab", lab, "--format", "json"]);
            let up: Value = serde_json::from_str(&ended.exits(0).stdout).expect("JSON");
            let b = endpoint(&up, &up["nodes"][1]);
            assert_eq!(asked(&b, "SELECT CONCAT(a) FROM t").as_deref(), Some("7"), "a dump's last rows are not kept");
            assert_eq!(asked(&b, "SELECT CONCAT(a, @@innodb_page_size) FROM UPPER").as_deref(), Some("a\\8192"));
            room.run(&["down"]).exits(0);
            room.assert_clean();
        },
    );
}

#[test]
fn the_client_s_command() {
    if !has_server("mariadb", "native") {
        return;
    }
    let room = Room::new();
    scenario(&room, ("mariadb", "10.11"), "", DUMP);
    let ended = up(&room, "native");
    ended.exits(0).says(&["primary is up: mariadb 10.11"]).tells(&["primary writer 10.11", "mysql://root@127.0.0.1:"]);
    let connect = ended.stdout.lines().find_map(|line| line.strip_prefix("connect    ")).expect("how to connect");
    let said = std::process::Command::new("sh")
        .args(["-c", &format!("{connect} -Ne 'SELECT 42 FROM log RIGHT JOIN orders USING (note)'")])
        .output();
    assert_eq!(String::from_utf8_lossy(&said.expect("sh runs").stdout), "42\n42\n");
    room.run(&["down"]).exits(0);
    room.assert_clean();
}

/// What cannot come up: why, with the server's or the dump's own place, without a row's values.
#[test]
fn what_cannot_come_up() {
    if !has_server("mariadb", "native") {
        return;
    }
    let maria = ("mariadb", "10.11");
    let room = Room::new();
    let refused = |dump: &str, exit, says: &[&str]| {
        scenario(&room, maria, "", dump);
        let ended = up(&room, "native");
        ended.exits(exit).says(says);
        assert_eq!(ended.stdout, "");
        assert!(!ended.stderr.contains("topsecret"), "a row's value was told: {}", ended.stderr);
        for (path, content) in room.records() {
            assert!(!content.contains("topsecret"), "a row's value is in {}", path.display());
        }
        room.assert_clean();
    };
    let table = "CREATE TABLE t (a varchar(40) PRIMARY KEY, b int);\n";
    refused(
        &format!("{table}INSERT INTO t VALUES ('topsecret', 1), ('topsecret', 2);\n"),
        3,
        &["could not restore dump.sql", "line 2: Duplicate entry … for key 'PRIMARY' (1062)"],
    );
    refused(
        &format!("{table}INSERT INTO t VALUES ('a', 'topsecret');\n"),
        3,
        &["line 2: Incorrect integer value: …", "(1366)"],
    );
    refused(
        &format!("{table}\nINSERT topsecret t VALUES (;\n"),
        3,
        &["line 3: You have an error in your SQL syntax", "(1064)"],
    );
    refused(
        "CREATE DATABASE other;\nUSE other;\nCREATE TABLE t (a int);\n",
        3,
        &["is restored into other, not into shop", "set database = \"other\""],
    );

    let settings = |settings: &str| format!("[topology.nodes.a]\nsettings = {{ {settings} }}\n");
    scenario(&room, maria, &settings("innodb_buffer_pool_sise = \"8M\""), DUMP);
    up(&room, "native").exits(3).says(&[
        "the server ended while it was starting",
        "innodb-buffer-pool-sise=8M",
        "mend the node's settings",
    ]);
    scenario(&room, maria, &settings("server-id = 7"), DUMP);
    up(&room, "native").exits(2).says(&["`server-id` is the lab's to set", "scenario.toml:6:14"]);
    room.assert_clean();
    // One replica of three, that does not start, takes the others with it.
    scenario(&room, maria, &CASCADE.replace("\"b\"", "\"b\"\nsettings = { no_such = \"1\" }"), DUMP);
    up(&room, "native").exits(3).says(&["node c failed", "unknown variable 'no-such=1'"]);
    room.assert_clean();
}

#[test]
fn what_is_refused_by_name() {
    let room = Room::new();
    let with = |nodes: &str| scenario(&room, ("mariadb", "10.11"), nodes, DUMP);
    let cases = [
        ("[topology.nodes.a]\nextensions = [\"unit\"]\n", "mariadb has no extensions"),
        (
            "[topology.nodes.a]\n[topology.nodes.b]\nreplicates = \"a\"\nversion = \"10.5\"\n",
            "a replica of version 10.5 may not understand the log of version 10.11",
        ),
        ("[[setup]]\nanalyze = { stages = true }\n", "mariadb gathers statistics in one go"),
        ("[[setup]]\nsql = \"SELECT 1;\\nsystem ls\"\n", "system is not supported"),
        ("[[setup]]\nsql = \"source gone.sql\"\n", "could not read gone.sql"),
    ];
    for (nodes, told) in cases {
        with(nodes);
        up(&room, "native").exits(2).says(&[told]);
    }
    let head = "SET @@SESSION.SQL_LOG_BIN= 0;\nSET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '';\n";
    scenario(&room, ("mysql", "9.7"), CASCADE, &format!("{head}{DUMP}"));
    if has("docker") {
        up(&room, "docker").exits(2).says(&["keeps itself out of the binary log", "--set-gtid-purged=OFF"]);
    }
    with("");
    room.write("dump.sql", b"PGDMP and more");
    up(&room, "native").exits(2).says(&["an archive of pg_dump"]);
    room.assert_clean();
}

/// A dump that waits for somebody to end it.
const ENDLESS: &str = "CREATE TABLE t (a int);\nSELECT SLEEP(600);\n";

fn reaches_the_dump(room: &Room, lab: &str) -> Going {
    let mut going = going_up(room, lab);
    let reached = going.reaches(|event| event["event"] == "progress" && event["what"] == "restoring dump.sql");
    assert!(reached, "{}", going.told());
    going
}

#[test]
fn interrupted_and_killed() {
    let cases = [("native", Signal::INT), ("native", Signal::KILL), ("docker", Signal::TERM), ("docker", Signal::KILL)];
    let cases = cases.into_iter().filter(|(lab, _)| has_server("mariadb", lab));
    each(
        cases,
        |(lab, signal)| format!("{lab} {signal:?}"),
        |(lab, signal)| {
            let room = Room::new();
            scenario(&room, ("mariadb", "10.11"), CASCADE, ENDLESS);
            let going = reaches_the_dump(&room, lab);
            going.signal(signal);
            let ended = going.end();
            if signal == Signal::KILL {
                ended.exits(-9);
                room.assert_nothing_runs();
                room.run(&["clean"]).exits(0).tells(&["removed a folder of"]);
            } else {
                ended.exits(128 + signal.as_raw()).says(&["interrupted"]);
                assert!(!entries(&room.path("work")).contains(&".rehearsal".to_owned()), "a record of nothing is kept");
            }
            room.assert_clean();
        },
    );
}

/// A server that is killed while it takes the dump in is this machine's doing.
#[test]
fn a_server_is_killed() {
    if !has_server("mariadb", "native") {
        return;
    }
    for node in ["a", "b"] {
        let room = Room::new();
        scenario(&room, ("mariadb", "10.11"), CASCADE, ENDLESS);
        let going = reaches_the_dump(&room, "native");
        let server = room.process_in(&format!("/{node}/data")).expect("the server runs");
        kill(server, Signal::KILL);
        going.end().exits(3).says(&[&format!("the server of node {node} ended by itself: signal: 9 (SIGKILL)")]);
        room.assert_clean();
    }
}

/// One of three that is killed before it answers takes the others with it.
#[test]
fn a_server_is_killed_while_it_starts() {
    if !has_server("mariadb", "native") {
        return;
    }
    let room = Room::new();
    scenario(&room, ("mariadb", "10.11"), PAIR, DUMP);
    let mut going = going_up(&room, "native");
    // Not the program that makes its files, which has no such option.
    assert!(going.comes_to(|| room.process_in("/b/pid")), "no server of b; {}", going.told());
    kill(room.process_in("/b/pid").expect("it starts"), Signal::KILL);
    let ended = going.end();
    ended.exits(3).says(&["node b failed", "the server ended while it was starting", "signal: 9 (SIGKILL)"]);
    assert!(ended.out.join("logs/b.log").exists(), "its log is not kept");
    assert!(!ended.events().iter().any(|event| event["event"] == "node-ready"), "it was up already");
    room.assert_clean();
}

/// Each node may be of another version, and each is looked for.
#[test]
fn a_replica_of_a_version_that_is_not_here() {
    if !has_server("mariadb", "native") {
        return;
    }
    let room = Room::new();
    let nodes = "[topology.nodes.a]\n[topology.nodes.b]\nreplicates = \"a\"\nversion = \"11.8\"\n";
    scenario(&room, ("mariadb", "10.11"), nodes, DUMP);
    for ended in [room.run(&["check", "scenario.toml", "--lab", "native"]), room.rehearse("native")] {
        ended.exits(3).says(&["node b: no server of mariadb 11.8 on this machine", "hint: install the server"]);
    }
    room.assert_clean();
}

/// Each of a pair has a password of its own, and a program may be given both.
#[test]
fn a_program_that_prints_the_addresses_of_a_pair() {
    if !has_server("mariadb", "native") {
        return;
    }
    let room = Room::new();
    let nodes = "[topology.nodes.a]\npeers = [\"b\"]\n[topology.nodes.b]\npeers = [\"a\"]\n";
    room.write("dump.sql", DUMP);
    let topology = format!("[topology]\nengine = \"mariadb\"\nversion = \"10.11\"\n{nodes}");
    let rest = "[snapshot]\nfrom = \"dump.sql\"\ndatabase = \"shop\"\n[probes]\nauto = false\n";
    let step = "[[step]]\nname = \"one\"\ncommand = \"echo ${node.a.url} ${node.b.url}; mysql -e 'DELETE FROM log'\"\n";
    room.write("scenario.toml", format!("name = \"ugly\"\n{topology}{rest}{step}"));
    let ended = room.rehearse("native");
    let said = std::fs::read_to_string(ended.out.join("step-1.log"));
    let said = said.unwrap_or_else(|error| panic!("{error}\n{}", ended.stderr));
    assert_eq!(said.matches(":…@").count(), 2, "{said}");
    room.assert_clean();
}
