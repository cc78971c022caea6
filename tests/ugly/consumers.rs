//! Programs kept running beside a node: they never outlive the run, however it ends, and one that ends by itself is told.

use rustix::process::Signal;

use crate::support::{Room, has};

/// Its child stays in its group.
const LOOP: &str = "[topology.consumers.feed]\nof = \"primary\"\ncommand = \"echo up; sleep 60 & sleep 60\"\n";

/// It takes no hint.
const STUBBORN: &str =
    "[topology.consumers.feed]\nof = \"primary\"\ncommand = \"trap '' TERM INT; echo up; while :; do sleep 1; done\"\n";

const LONG: &str = "[[step]]\nname = \"long\"\nsql = \"SELECT pg_sleep(60)\"\n";
const SHORT: &str = "[[step]]\nname = \"short\"\nsql = \"SELECT 1\"\n";

fn said(room: &Room) -> String {
    std::fs::read_to_string(room.path("work/out/consumer-feed.log")).unwrap_or_default()
}

fn end_of(events: &[serde_json::Value]) -> &serde_json::Value {
    events.iter().find(|event| event["event"] == "consumer-ended").expect("its end is told")
}

#[test]
fn it_goes_with_a_run_that_is_killed() {
    if !has("native") {
        return;
    }
    for phase in ["control", "plan"] {
        let room = Room::new();
        room.scenario(&format!("{LOOP}{LONG}"));
        let mut run = room.begin("native");
        assert!(
            run.reaches_phase(phase) && run.comes_to(|| said(&room).contains("up").then_some(())),
            "{}",
            run.told()
        );
        run.signal(Signal::KILL);
        run.end().exits(-9);
        room.assert_nothing_runs();
        room.run(&["clean"]).exits(0);
        room.assert_clean();
    }
}

#[test]
fn it_goes_with_a_run_that_is_interrupted_though_it_ignores_that() {
    if !has("native") {
        return;
    }
    for consumer in [LOOP, STUBBORN] {
        let room = Room::new();
        room.scenario(&format!("{consumer}{LONG}"));
        let mut run = room.begin("native");
        run.reaches_step();
        run.signal(Signal::INT);
        let ended = run.end();
        ended.exits(130).assert_reports(&room, "interrupted");
        assert_eq!(end_of(&ended.events())["asked"], true);
        room.assert_clean();
    }
}

#[test]
fn it_is_asked_to_end_and_then_killed() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    room.scenario(&format!("{STUBBORN}{SHORT}"));
    let ended = room.rehearse("native");
    ended.exits(0).assert_reports(&room, "passed");
    assert_eq!(said(&room), "up\n");
    let report = ended.report();
    assert_eq!(report["consumers"][0]["asked"], true, "{report}");
    let gaps = report["not_rehearsed"].to_string();
    assert!(gaps.contains("feed ran a program with this machine's network"), "{gaps}");
    room.assert_clean();
}

/// The URL in its environment works, and its password is in no file.
#[test]
fn it_finds_the_node_and_its_output_holds_no_password() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    let command = "psql -X -At -c 'SELECT 41 + 1' && echo $DATABASE_URL ${node.primary.url} && exec sleep 60";
    let consumer = format!("[topology.consumers.feed]\nof = \"primary\"\ncommand = \"{command}\"\n");
    room.scenario(&format!("{consumer}{SHORT}"));
    room.rehearse("native").exits(0);
    let said = said(&room);
    assert!(said.starts_with("42\n") && said.matches("postgresql://postgres:…@").count() == 2, "{said}");
    room.assert_clean();
}

#[test]
fn one_that_ends_before_the_plan_makes_the_run_inconclusive() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    room.scenario(&format!("[topology.consumers.feed]\nof = \"primary\"\ncommand = \"echo no; exit 3\"\n{SHORT}"));
    let ended = room.rehearse("native");
    ended.exits(3).tells(&["consumer \"feed\" ended before the plan: exit status 3", "consumer-feed.log"]);
    ended.assert_reports(&room, "inconclusive");
    room.assert_clean();
}

#[test]
fn one_that_cannot_be_started_is_told_by_its_name() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    room.scenario(&format!("[topology.consumers.feed]\nof = \"primary\"\ncommand = [\"no-such-program\"]\n{SHORT}"));
    room.rehearse("native").exits(3).tells(&["consumer \"feed\": there is no program no-such-program"]);
    room.assert_clean();
}

#[test]
fn one_that_ends_in_the_plan_is_a_finding() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    let wait =
        "until psql -X -At -c \\\"SELECT to_regclass('gone') IS NULL\\\" | grep -q t; do sleep 0.05; done; exit 4";
    room.scenario(&format!(
        "[[setup]]\nsql = \"CREATE TABLE gone (id int)\"\n[topology.consumers.feed]\nof = \"primary\"\n\
         command = \"{wait}\"\n[probes]\nauto = false\n\
         [[step]]\nname = \"drop\"\nsql = \"DROP TABLE gone\"\n\
         [[step]]\nname = \"meanwhile\"\nwait = \"2s\"\n"
    ));
    let ended = room.rehearse("native");
    ended.exits(1).tells(&["consumer-ended", "consumer \"feed\" of primary ended with exit status 4"]);
    ended.assert_reports(&room, "failed");
    room.assert_clean();
}

/// `up` runs none, and says so.
#[test]
fn it_is_not_run_where_a_lab_is_only_brought_up() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    room.scenario(&format!("{LOOP}{SHORT}"));
    let up = room.run(&["up", "scenario.toml", "--lab", "native"]);
    up.exits(0).says(&["consumer \"feed\" is not run"]);
    assert!(room.process_in("sleep 60").is_none());
    room.run(&["down"]).exits(0);
    room.assert_clean();
}
