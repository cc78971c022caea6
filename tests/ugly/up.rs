//! `up` and `down`: what was brought up answers, and is taken down again; what did not come up leaves nothing.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Ended, LABS, Room, SCENARIO, entries, has};

const PAIR: &str = "[topology.nodes.primary]\n[topology.nodes.standby]\nreplicates = \"primary\"\n";
const STEP: &str = "[[step]]\nname = \"one\"\nsql = \"DROP TABLE orders\"\n";

/// Within which the standby shows what the primary has.
const ARRIVES: Duration = Duration::from_secs(30);

/// A primary and a standby, and a setup that ends with this.
fn pair(room: &Room, setup: &str) {
    let scenario = SCENARIO.replace("[snapshot]", &format!("{PAIR}[snapshot]"));
    room.write("scenario.toml", format!("{scenario}{setup}{STEP}"));
}

fn up(room: &Room, lab: &str) -> Ended {
    room.run(&["up", "scenario.toml", "--lab", lab])
}

fn up_as_json(room: &Room, lab: &str) -> Value {
    let ended = room.run(&["up", "scenario.toml", "--lab", lab, "--format", "json"]);
    serde_json::from_str(&ended.exits(0).stdout).expect("JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}"))
}

/// What psql says by the password file alone.
pub fn asked(up: &Value, node: &Value, sql: &str) -> Result<String, String> {
    let said = Command::new("psql")
        .args(["-XAtqw", "-c", sql, text(node, "url")])
        .env_remove("PGPASSWORD")
        .env("PGPASSFILE", text(up, "passwords"))
        .env("PGCONNECT_TIMEOUT", "10")
        .output()
        .expect("psql runs");
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if said.status.success() { Ok(told(&said.stdout)) } else { Err(told(&said.stderr)) }
}

#[test]
fn a_primary_and_its_standby() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        pair(&room, "[[setup]]\nsql = \"INSERT INTO orders VALUES (1, 'of the setup')\"\n");
        let up = up_as_json(&room, lab);
        assert_eq!((text(&up, "lab"), text(&up, "scenario")), (lab, "ugly"));
        let [primary, standby] = up["nodes"].as_array().map(Vec::as_slice).expect("nodes") else {
            panic!("not two nodes: {up}")
        };
        assert_eq!((text(primary, "name"), text(primary, "role")), ("primary", "writer"));
        assert_eq!((text(standby, "role"), text(standby, "of")), ("replica", "primary"));
        assert!(text(standby, "version").starts_with("15."), "{standby}");
        let notes = "SELECT string_agg(note, ', ' ORDER BY id) || pg_is_in_recovery() FROM orders";
        assert_eq!(asked(&up, primary, notes), Ok("of the setupfalse".into()), "the plan ran, or the setup did not");
        assert_eq!(asked(&up, standby, notes), Ok("of the setuptrue".into()));

        // They replicate still, though whoever brought them up has gone.
        asked(&up, primary, "INSERT INTO orders VALUES (2, 'later')").expect("it takes writes");
        let began = Instant::now();
        while asked(&up, standby, notes) != Ok("of the setup, latertrue".into()) {
            assert!(began.elapsed() < ARRIVES, "{:?}", asked(&up, standby, notes));
            std::thread::sleep(Duration::from_millis(20));
        }

        let run = text(&up, "run");
        let connect = Command::new("sh").args(["-c", &format!("{} -Atqwc 'SELECT 42'", text(&up, "connect"))]).output();
        assert_eq!(String::from_utf8_lossy(&connect.expect("sh runs").stdout).trim(), "42");
        let passwords = std::fs::read_to_string(text(&up, "passwords")).expect("a password file");
        for line in passwords.lines() {
            let password = line.rsplit(':').next().expect("a last field");
            assert!(password.len() >= 16 && !up.to_string().contains(password), "a password was printed");
        }
        assert_eq!(entries(&room.path("work")), ["scenario.toml"], "what came up well leaves no record");

        room.run(&["ls"]).exits(0).tells(&[run, "kept"]);
        room.run(&["clean"]).exits(0).says(&["nothing was left behind"]);
        room.run(&["down"]).exits(0).tells(&["removed a folder of", run]);
        room.assert_clean();
        room.run(&["down", run]).exits(2).says(&[&format!("no lab {run} is up here"), "hint: `rehearsal ls` lists"]);
    }
}

/// What one of them writes comes to the other, and nothing is left of what proved it.
#[test]
fn a_pair() {
    if !has("docker") {
        return;
    }
    let room = Room::new();
    let nodes = "[topology.nodes.a]\npeers = [\"b\"]\n[topology.nodes.b]\npeers = [\"a\"]\n";
    let scenario = SCENARIO.replace("[snapshot]", &format!("{nodes}[snapshot]")).replace("\"15\"", "\"17\"");
    let setup = "[[setup]]\nsql = \"ALTER TABLE orders ADD COLUMN region text; INSERT INTO orders VALUES (1, 'of the setup')\"\n";
    let unkeyed = "[[setup]]\nsql = \"CREATE SCHEMA other; CREATE TABLE other.log (note text); CREATE TABLE whole (note text); ALTER TABLE whole REPLICA IDENTITY FULL\"\n";
    room.write("scenario.toml", format!("{scenario}{setup}{unkeyed}{STEP}"));
    let ended = room.run(&["up", "scenario.toml", "--lab", "docker", "--format", "json"]);
    ended.exits(0).says(&["pair: table other.log has no key: updates and deletes of it are refused"]);
    assert_eq!(ended.stderr.matches("has no key").count(), 1, "{}", ended.stderr);
    let up: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let [a, b] = up["nodes"].as_array().map(Vec::as_slice).expect("nodes") else { panic!("not two nodes: {up}") };
    assert_eq!((text(a, "name"), text(a, "role")), ("a", "writer"));
    assert_eq!((text(b, "name"), text(b, "role"), text(b, "of")), ("b", "peer", "a"));
    asked(&up, a, "INSERT INTO orders VALUES (2, 'of a')").expect("it takes writes");
    asked(&up, b, "INSERT INTO orders VALUES (3, 'of b')").expect("it takes writes");
    let rows = "SELECT string_agg(id || note || coalesce(region, '-'), ' ' ORDER BY id) FROM orders";
    let began = Instant::now();
    for node in [a, b] {
        while asked(&up, node, rows) != Ok("1of the setup- 2of a- 3of b-".into()) {
            assert!(began.elapsed() < ARRIVES, "{:?}", asked(&up, node, rows));
            std::thread::sleep(Duration::from_millis(20));
        }
        let update = |table: &str| asked(&up, node, &format!("UPDATE {table} SET note = 'x'"));
        assert!(update("other.log").is_err_and(|said| said.contains("replica identity")));
        assert_eq!(update("whole"), Ok(String::new()));
        let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'rehearsal%'";
        assert_eq!(asked(&up, node, left), Ok("0".into()));
        let retry = "SELECT current_setting('wal_retrieve_retry_interval')";
        assert_eq!(asked(&up, node, retry), Ok("5s".into()), "as in production");
    }
    room.run(&["down"]).exits(0);
    room.assert_clean();
}

#[test]
fn the_table() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    pair(&room, "");
    let ended = up(&room, "native");
    ended
        .exits(0)
        .says(&["bringing up ugly", "primary is up: postgres 15", "standby is up: postgres 15", "restored 1 table"])
        .tells(&[
            "node role version url",
            "primary writer 15",
            "standby replica of primary 15",
            "connect PGPASSFILE='",
        ]);
    let down = ended.stdout.lines().find_map(|line| line.strip_prefix("take down  rehearsal ")).expect("how to end it");
    let quiet = room.run(&["up", "scenario.toml", "--lab", "native", "--quiet"]);
    assert_eq!(quiet.exits(0).stderr, "");
    room.run(&down.split(' ').collect::<Vec<_>>()).exits(0);
    room.run(&["down"]).exits(0);
    room.assert_clean();
}

#[test]
fn down_of_nothing() {
    let room = Room::new();
    room.run(&["down"]).exits(0).says(&["nothing is up"]);
    room.run(&["down", "nonsense"]).exits(2).says(&["no lab nonsense is up here", "hint: `rehearsal ls` lists them"]);
    room.assert_clean();
}

#[test]
fn two_labs_up() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    room.scenario(STEP);
    let [first, second] = [(); 2].map(|()| up_as_json(&room, "native"));
    let (run, folder) = (text(&first, "run"), text(&second, "folder"));
    room.run(&["down"]).exits(2).says(&["2 labs are up:", run, text(&second, "run"), "hint: name one, as in"]);
    for up in [&first, &second] {
        assert_eq!(asked(up, &up["nodes"][0], "SELECT count(*) FROM orders"), Ok("0".into()));
    }
    room.run(&["down", run]).exits(0).tells(&[run]);
    assert_eq!(room.labs(), [format!("lab {}", Path::new(folder).file_name().expect("a name").display())]);
    asked(&second, &second["nodes"][0], "SELECT 1").expect("the other one is up still");
    room.run(&["down", folder]).exits(0);
    room.assert_clean();
}

/// Whatever it was doing, the first signal takes back all of it.
#[test]
fn interrupted_while_it_comes_up() {
    let native = [("start", Signal::INT), ("setup", Signal::INT), ("setup", Signal::TERM), ("stop", Signal::INT)];
    let all =
        native.map(|(phase, signal)| ("native", phase, signal)).into_iter().chain([("docker", "setup", Signal::INT)]);
    for (lab, phase, signal) in all.filter(|(lab, ..)| has(lab)) {
        interrupted_in(phase, lab, signal);
    }
}

fn interrupted_in(phase: &str, lab: &str, signal: Signal) {
    // One that was up before the signal reached it shows nothing.
    for _ in 0..5 {
        let room = Room::new();
        pair(&room, if phase == "setup" { "[[setup]]\nsql = \"SELECT pg_sleep(60)\"\n" } else { "" });
        let mut command = room.command();
        command.args(["up", "scenario.toml", "--lab", lab]);
        let mut going = room.start_recorded(command);
        let reached = going.reaches(|event| match phase {
            "setup" => event["event"] == "step-started" && event["step"] == 1,
            phase => event["event"] == "phase-started" && event["phase"] == phase,
        });
        if reached {
            going.signal(signal);
        }
        let ended = going.end();
        if ended.exit == 0 {
            room.run(&["down"]).exits(0);
            continue;
        }
        ended.exits(128 + signal.as_raw()).says(&["interrupted"]);
        assert_eq!(ended.stdout, "");
        room.assert_clean();
        assert_eq!(entries(&room.path("work")), ["scenario.toml"]);
        room.run(&["down"]).exits(0).says(&["nothing is up"]);
        return;
    }
    panic!("no signal reached `up` in the {lab} lab at {phase}");
}

#[test]
fn what_cannot_come_up() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    pair(&room, "[[setup]]\nname = \"wrong\"\nsql = \"SELECT 1 FROM nowhere\"\n");
    let ended = up(&room, "native");
    ended.exits(3).says(&["error: the setup step \"wrong\" failed", "hint: what happened is recorded in"]);
    assert_eq!(ended.stdout, "");
    room.assert_clean();
    let runs = room.path("work/.rehearsal/runs");
    let [run] = &entries(&runs)[..] else { panic!("the record of a failure is kept") };
    assert!(runs.join(run).join("logs").is_dir(), "the servers' logs are not in it");

    room.write("scenario.toml", SCENARIO.replace("[topology]", "[topologie]"));
    up(&room, "native").exits(2).says(&["topologie"]);
    room.write("scenario.toml", SCENARIO.replace("\"empty\"", "\"missing.dump\"").to_owned() + STEP);
    up(&room, "native").exits(2).says(&["there is no dump at ./missing.dump"]);
    room.assert_clean();
}
