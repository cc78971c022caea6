//! `kill -9` of the program: servers and programs go with it, and what lies on disk is reaped by the next run or by `rehearsal clean`.

use rustix::process::Signal;

use crate::support::{LABS, Room, entries, has};

const PHASES: [&str; 4] = ["start", "keep", "control", "plan"];

const STEP: &str = "[[step]]\nname = \"one\"\ncommand = \"echo up; sleep 60 & sleep 60\"\n";

fn killed_in(phase: &str, lab: &str, room: &Room) {
    room.scenario(STEP);
    let mut run = room.begin(lab);
    assert!(run.reaches_phase(phase), "{}", run.told());
    match phase {
        "plan" => run.reaches_program(),
        // Before that a container ends by itself, within a minute, and one that was never started goes with the next run.
        "start" if lab == "docker" => room.wait_for_leash(),
        _ => {}
    }
    run.signal(Signal::KILL);
    let ended = run.end();
    ended.exits(-9);
    room.assert_nothing_runs();

    // The log of a killed run is evidence of that, and of no more.
    let told = room.run(&["report", "out"]);
    told.exits(0).tells(&["INCONCLUSIVE", "the run was killed", "hint: run it again"]);
    room.run(&["report", "out", "--write"]).exits(0);
    ended.assert_reports(room, "inconclusive");
}

#[test]
fn cleaned_by_command() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        for phase in PHASES {
            let room = Room::new();
            killed_in(phase, lab, &room);
            let left = room.labs();
            if !left.is_empty() {
                room.run(&["ls"]).exits(0).tells(&["left behind"]);
                room.run(&["clean"]).exits(0).tells(&["removed a folder of"]);
            }
            room.run(&["clean"]).exits(0).says(&["nothing was left behind"]);
            room.assert_clean();
        }
    }
}

#[test]
fn reaped_by_the_next_run() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        killed_in("plan", lab, &room);
        assert_eq!(room.labs().len(), 1);
        std::fs::remove_dir_all(room.path("work/out")).expect("the run's folder goes");
        room.scenario("[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n");
        room.rehearse(lab).exits(0).assert_reports(&room, "passed");
        room.assert_clean();
    }
}

/// The rows of a live server lie on disk as they are until they are restored: they go with the lab, and never outlive its reaping.
#[test]
fn while_a_live_server_is_dumped() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    let (run, _server) = room.begin_dumping();
    let dumping: Vec<String> = room.processes().into_iter().filter(|process| process.contains("pg_dump")).collect();
    assert!(!dumping.is_empty() && !dumping.concat().contains("of-production"), "{dumping:?}");
    run.signal(Signal::KILL);
    run.end().exits(-9);
    room.assert_nothing_runs();
    assert_eq!(entries(&room.path("tmp")), Vec::<String>::new());
    assert_eq!(room.labs().len(), 1);
    room.run(&["clean"]).exits(0).tells(&["removed a folder of"]);
    room.assert_clean();
}

/// What was kept on purpose is no leftover, until it is named.
#[test]
fn kept_on_purpose() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        room.scenario("[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n");
        let mut command = room.command();
        command.args(["run", "scenario.toml", "--out", "out", "--lab", lab, "--keep"]);
        let ended = room.start(command).end();
        ended.exits(0).says(&["node primary still runs", "hint: `rehearsal clean "]);
        let run = ended.report()["run"].as_str().expect("a run has an id").to_owned();
        room.run(&["ls"]).exits(0).tells(&[&run, "kept"]);
        room.run(&["clean"]).exits(0).says(&["nothing was left behind"]);
        let running = if lab == "native" { room.processes() } else { room.containers() };
        assert!(!running.is_empty(), "it was to be kept");
        room.run(&["clean", &run]).exits(0).tells(&["removed"]);
        room.assert_clean();
        room.run(&["clean", &run]).exits(2).says(&["no lab of a run", "hint: `rehearsal ls` lists them"]);
    }
}
