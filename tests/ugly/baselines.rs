//! Baselines: a later run begins with a clone of what an earlier one restored, only if nothing that went into it is different, and whatever
//! happens to one costs no more than time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::docker;
use crate::support::{Ended, LABS, Room, SCENARIO, entries, has, in_ci, is_root};

const STEP: &str = "[[step]]\nname = \"one\"\nsql = \"INSERT INTO orders VALUES (7, 'of the plan')\"\n";

fn cached(room: &Room, args: &[&str]) -> Command {
    let mut command = room.command();
    command.env_remove("REHEARSAL_NO_CACHE").args(args);
    command
}

/// A run with baselines, into a folder of its own.
fn rehearse(room: &Room, lab: &str, out: &str) -> Ended {
    let command = cached(room, &["run", "scenario.toml", "--out", out, "--lab", lab]);
    room.start_as(command, out).end()
}

/// How a run began: with a baseline, or by its own setup.
fn began_with_baseline(run: &Ended) -> bool {
    let is = |kind: &'static str| move |event: &Value| event["event"] == kind;
    let cloned = run.events().iter().any(is("baseline-cloned"));
    let set_up = run.events().iter().any(|event| event["event"] == "step-started" && event["role"] == "setup");
    assert!(!(cloned && set_up), "a clone was set up again");
    cloned
}

#[track_caller]
fn check_begins(room: &Room, lab: &str, out: &str, expected: bool) -> Ended {
    let run = rehearse(room, lab, out);
    run.exits(0);
    assert_eq!(began_with_baseline(&run), expected, "{out}: {}", run.stderr);
    run
}

fn baselines(room: &Room) -> Vec<Value> {
    let listed = room.run(&["cache", "ls", "--format", "json"]);
    let Value::Array(baselines) = serde_json::from_str(&listed.exits(0).stdout).expect("JSON") else {
        panic!("no list: {}", listed.stdout)
    };
    baselines
}

/// Folder of the only one.
fn folder(room: &Room) -> PathBuf {
    let listed = baselines(room);
    let [baseline] = &listed[..] else { panic!("not one: {listed:?}") };
    room.path("lab/cache").join(baseline["key"].as_str().expect("a key"))
}

#[track_caller]
fn prune(room: &Room) {
    room.run(&["cache", "prune"]).exits(0).tells(&["freed"]);
    assert_eq!(baselines(room), Vec::<Value>::new());
    room.assert_clean();
}

#[test]
fn a_later_run_begins_where_an_earlier_one_was_ready() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        room.scenario(&format!("[[setup]]\nsql = \"INSERT INTO orders VALUES (1, 'of the setup')\"\n{STEP}"));
        let first = check_begins(&room, lab, "first", false);
        let second = check_begins(&room, lab, "second", true);
        first.tells(&["before state kept by"]);
        second.tells(&["before state kept by", "data of the baseline of 20"]);
        // The plan of the first run is not in it, and what the second one found is the same.
        let changed = |run: &Ended| run.report()["diff"]["data"].clone();
        assert_eq!(changed(&first)[0]["added"], 1, "{}", first.report()["diff"]);
        assert_eq!(changed(&first), changed(&second));
        assert_eq!(first.report()["totals"]["rows"], second.report()["totals"]["rows"]);
        for secret in passwords(&room) {
            let told = room.works().into_iter().find(|(_, text)| text.contains(&secret));
            assert_eq!(told.map(|(path, _)| path), None, "a password was told");
        }

        let listed = baselines(&room);
        assert_eq!((&listed[0]["lab"], &listed[0]["in_use"]), (&lab.into(), &false.into()));
        assert_eq!(listed[0]["what"], "postgres 15, empty and setup");
        assert!(listed[0]["bytes"].as_u64().is_some_and(|bytes| bytes > 10_000_000), "{listed:?}");
        room.run(&["cache", "ls"]).exits(0).tells(&["postgres 15, empty and setup", "used 20", "in all"]);
        room.run(&["cache", "prune", "--unused-for", "1d"]).exits(0).tells(&["0 B freed"]);
        assert_eq!(baselines(&room).len(), 1);
        prune(&room);
    }
}

fn manifest(room: &Room) -> Value {
    let text = fs::read_to_string(folder(room).join("baseline.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}

fn volumes(room: &Room) -> Vec<String> {
    let manifest = manifest(room);
    let volumes: Vec<&Value> = manifest["volumes"].as_array().expect("volumes").iter().collect();
    assert!(!volumes.is_empty(), "{manifest}");
    volumes.into_iter().map(|volume| volume.as_str().expect("a name").to_owned()).collect()
}

/// Those of the superusers in all baselines.
fn passwords(room: &Room) -> Vec<String> {
    let manifest = manifest(room);
    let nodes = manifest["content"]["nodes"].as_array().expect("nodes");
    let found: Vec<String> = nodes.iter().filter_map(|node| node["password"].as_str()).map(str::to_owned).collect();
    assert_eq!(found.len(), nodes.len());
    found
}

#[test]
fn what_went_into_it_is_its_key() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    room.write("part.sql", "INSERT INTO orders VALUES (1, 'a');\n");
    room.write("setup.sql", "\\ir part.sql\n");
    let file = "[[setup]]\nfile = \"setup.sql\"\n";
    room.scenario(&format!("{file}{STEP}"));
    check_begins(&room, "native", "first", false);
    check_begins(&room, "native", "same", true);
    // Other plans and limits begin with the same.
    room.scenario(&format!("{file}[limits]\nwindow = \"1h\"\n[[step]]\nname = \"other\"\nsql = \"SELECT 1\"\n"));
    check_begins(&room, "native", "other-plan", true);
    room.write("part.sql", "INSERT INTO orders VALUES (1, 'b');\n");
    check_begins(&room, "native", "other-file", false);
    room.write("scenario.toml", format!("{SCENARIO}{file}{STEP}").replace("note text", "note varchar(90)"));
    check_begins(&room, "native", "other-setup", false);
    let set = "[topology.nodes.primary]\nsettings = { work_mem = \"8MB\" }\n[snapshot]";
    room.write("scenario.toml", format!("{SCENARIO}{file}{STEP}").replace("[snapshot]", set));
    check_begins(&room, "native", "other-settings", false);
    room.write("dump.sql", "CREATE TABLE orders (id int PRIMARY KEY, note text);\n");
    let dump = format!("{SCENARIO}{STEP}")
        .replace("\"empty\"", "\"dump.sql\"")
        .replace("CREATE TABLE orders", "CREATE TABLE b");
    room.write("scenario.toml", &dump);
    check_begins(&room, "native", "dump", false);
    check_begins(&room, "native", "same-dump", true);
    room.write("dump.sql", "CREATE TABLE orders (id int PRIMARY KEY, note  text);\n");
    check_begins(&room, "native", "other-dump", false);
    assert_eq!(baselines(&room).len(), 6);
    // Nothing is left of those that went, and the last used stay.
    room.run(&["cache", "prune", "--to", "100MB"]).exits(0).tells(&["removed", "freed"]);
    let left = baselines(&room).len();
    assert!((1..6).contains(&left), "{left} are left");
    prune(&room);
}

#[test]
fn of_what_is_another_each_time_none_is_kept() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    room.write("part.sql", "SELECT 1;\n");
    for (name, setup) in [
        ("program", "command = \"true\""),
        (
            "include",
            r#"sql = """SELECT 'part.sql' AS name \\gset
\\i :name
""" "#,
        ),
        ("address", "sql = \"INSERT INTO orders VALUES (${node.primary.port}, 'a port')\""),
    ] {
        room.scenario(&format!("[[setup]]\n{setup}\n{STEP}"));
        check_begins(&room, "native", name, false);
        check_begins(&room, "native", &format!("{name}-again"), false);
    }
    room.scenario(STEP);
    let none = cached(&room, &["run", "scenario.toml", "--out", "none", "--lab", "native", "--no-cache"]);
    room.start_as(none, "none").end().exits(0);
    // One that is larger than all of them may be; the state before is kept all the same.
    let small = cached(&room, &["run", "scenario.toml", "--out", "small", "--lab", "native", "--cache-size", "1MB"]);
    let small = room.start_as(small, "small").end();
    small.exits(0).says(&["no baseline is kept: its"]).tells(&["before state kept by"]);
    assert_eq!(small.report()["diff"]["data"][0]["added"], 1);
    assert_eq!(baselines(&room), Vec::<Value>::new());
    let wrong = cached(&room, &["run", "scenario.toml", "--cache-size", "much"]);
    room.start(wrong).end().exits(2).says(&["invalid value 'much' for '--cache-size"]);
    room.assert_clean();
}

#[test]
fn one_that_is_damaged_costs_time() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        room.scenario(STEP);
        check_begins(&room, lab, "first", false);
        match lab {
            "native" => fs::remove_file(folder(&room).join("primary/PG_VERSION")).expect("it is there"),
            _ => volumes(&room).iter().for_each(|volume| docker::remove_volume(volume)),
        }
        let run = check_begins(&room, lab, "anew", false);
        run.says(&["the baseline that was kept was of no use, and all was restored anew"]);
        check_begins(&room, lab, "mended", true);
        prune(&room);
    }
}

#[test]
fn two_at_once_begin_with_one() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        let standby = "[topology.nodes.primary]\n[topology.nodes.standby]\nreplicates = \"primary\"\n[snapshot]";
        room.write("scenario.toml", format!("{SCENARIO}{STEP}").replace("[snapshot]", standby));
        // Both make it, and one is kept.
        for round in ["made", "cloned"] {
            let going: Vec<_> = ["a", "b"]
                .iter()
                .map(|name| {
                    let out = format!("{round}-{name}");
                    let command = cached(&room, &["run", "scenario.toml", "--out", &out, "--lab", lab]);
                    room.start_as(command, &out)
                })
                .collect();
            for run in going {
                let run = run.end();
                run.exits(0);
                // Whoever is slow to begin may find what the other has made.
                assert!(round == "made" || began_with_baseline(&run), "{}", run.stderr);
            }
            assert_eq!(baselines(&room).len(), 1);
        }
        prune(&room);
    }
}

/// What a lab that was left running began with stays.
#[test]
fn one_in_use_stays() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        room.scenario(STEP);
        for round in ["made", "cloned"] {
            let up = room.start(cached(&room, &["up", "scenario.toml", "--lab", lab])).end();
            up.exits(0);
            assert_eq!(up.stderr.contains("began with the baseline of"), round == "cloned", "{}", up.stderr);
            assert_eq!(baselines(&room)[0]["in_use"], true);
            room.run(&["cache", "prune"]).exits(0).tells(&["0 B freed"]);
            assert_eq!(baselines(&room).len(), 1);
            room.run(&["down"]).exits(0);
            assert_eq!(baselines(&room)[0]["in_use"], false);
        }
        prune(&room);
    }
}

/// What a plan writes arrives on all nodes, and no node is that of another run: each topology is cloned twice at once.
#[test]
fn clones_replicate() {
    let topologies = [
        ("native", "mariadb", "10.11", "[topology.nodes.a]\npeers = [\"b\"]\n[topology.nodes.b]\npeers = [\"a\"]\n"),
        ("docker", "mysql", "9.7", "[topology.nodes.a]\n[topology.nodes.b]\nreplicates = \"a\"\n"),
        ("docker", "postgres", "17", "[topology.nodes.a]\npeers = [\"b\"]\n[topology.nodes.b]\npeers = [\"a\"]\n"),
        (
            "native",
            "postgres",
            "15",
            "[topology.nodes.a]\n[topology.nodes.b]\n\
             subscribes = { to = \"a\", publication = \"feed\", tables = [\"public.orders\"] }\n\
             [topology.nodes.c]\nreplicates = \"a\"\n",
        ),
    ];
    for (lab, engine, version, nodes) in topologies {
        let room = Room::new();
        let table = "CREATE TABLE orders (id int PRIMARY KEY, note varchar(90))";
        let text = format!(
            "name = \"clones\"\n[topology]\nengine = \"{engine}\"\nversion = \"{version}\"\n{nodes}\
             [snapshot]\nfrom = \"empty\"\n[[setup]]\nsql = \"{table}\"\n{STEP}\
             [[step]]\nname = \"arrives\"\nwait = {{ for = \"caught_up\", deadline = \"1m\" }}\n\
             [[step]]\nname = \"is the same\"\ncompare = {{ nodes = [\"a\", \"b\"], what = \"data\" }}\n\
             [[step]]\nname = \"and there once\"\non = \"b\"\n\
             check = {{ sql = \"SELECT count(*) FROM orders\", rows = [[\"1\"]] }}\n"
        );
        room.write("scenario.toml", text);
        check_begins(&room, lab, "made", false);
        let both = ["one", "other"].map(|out| {
            let command = cached(&room, &["run", "scenario.toml", "--out", out, "--lab", lab]);
            room.start_as(command, out)
        });
        for run in both {
            let run = run.end();
            run.exits(0);
            assert!(began_with_baseline(&run), "{lab} {engine}: {}", run.stderr);
        }
        prune(&room);
    }
}

/// Killed at the moment at which it lies there and has no name yet.
#[test]
fn half_a_baseline_is_none() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        room.scenario(STEP);
        let command = cached(&room, &["run", "scenario.toml", "--out", "killed", "--lab", lab]);
        let run = room.start_as(command, "killed");
        let began = Instant::now();
        while !drafted(&room) {
            assert!(began.elapsed() < Duration::from_secs(60), "none was begun: {}", run.told());
        }
        run.signal(Signal::KILL);
        run.end().exits(-9);
        room.assert_nothing_runs();
        assert_eq!(baselines(&room), Vec::<Value>::new());
        check_begins(&room, lab, "after", false);
        check_begins(&room, lab, "cloned", true);
        prune(&room);
    }
}

fn drafted(room: &Room) -> bool {
    entries(&room.path("lab")).iter().any(|lab| room.path("lab").join(lab).join("_baseline").exists())
}

/// Its files are shared until they are written, and nobody writes to the baseline.
#[test]
fn a_large_one_is_shared() {
    if !is_root() && !in_ci() {
        return;
    }
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        let rows = "INSERT INTO orders SELECT id, repeat('x', 120) FROM generate_series(10, 2000009) AS id";
        let change = "UPDATE orders SET note = 'of the plan' WHERE id = 10";
        room.scenario(&format!("[[setup]]\nsql = \"{rows}\"\n[[step]]\nname = \"one\"\nsql = \"{change}\"\n"));
        check_begins(&room, lab, "first", false);
        for out in ["second", "third"] {
            let run = check_begins(&room, lab, out, true);
            run.tells(&["before state kept by overlay"]);
            assert_eq!(run.report()["diff"]["data"][0]["changed"], 1, "{}", run.report()["diff"]);
            room.assert_no_overlay();
        }
        // Whoever is killed leaves its mounts to the next.
        let command = cached(&room, &["run", "scenario.toml", "--out", "killed", "--lab", lab]);
        let mut run = room.start_as(command, "killed");
        assert!(run.reaches_phase("control"), "{}", run.told());
        run.signal(Signal::KILL);
        run.end().exits(-9);
        room.assert_nothing_runs();
        room.run(&["clean"]).exits(0).tells(&["removed"]);
        room.assert_no_overlay();
        check_begins(&room, lab, "fourth", true);
        prune(&room);
    }
}
