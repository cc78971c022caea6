//! Ctrl-C and SIGTERM at each phase: the run ends in order, says so, and its reports are whole.

use rustix::process::Signal;

use crate::support::{LABS, Room, has};

const PHASES: [&str; 8] = ["start", "restore", "keep", "control", "plan", "after", "compare", "stop"];

/// A run that was over before the signal reached it shows nothing.
const ATTEMPTS: usize = 5;

fn interrupted_in(phase: &str, lab: &str, signal: Signal) {
    for _ in 0..ATTEMPTS {
        let room = Room::new();
        // Long where the phase is the plan's or the setup's own, so that the signal falls into work.
        let step = if phase == "plan" { "SELECT pg_sleep(60)" } else { "SELECT 1" };
        let setup = if phase == "restore" { "[[setup]]\nsql = \"SELECT pg_sleep(60)\"\n" } else { "" };
        room.scenario(&format!("{setup}[[step]]\nname = \"alter\"\nsql = \"{step}\"\n"));
        let mut run = room.begin(lab);
        if !run.reaches_phase(phase) {
            continue;
        }
        if phase == "plan" {
            run.reaches_step();
        }
        run.signal(signal);
        let ended = run.end();
        room.assert_clean();
        let events = ended.events();
        if !events.iter().any(|event| event["event"] == "interrupted") {
            continue;
        }
        ended.exits(128 + signal.as_raw()).assert_reports(&room, "interrupted");
        assert_eq!(events.last().expect("events")["event"], "run-ended");
        return;
    }
    panic!("no signal reached the {lab} run in its phase {phase}");
}

#[test]
fn interrupts_in_every_phase_of_the_native_lab() {
    if has("native") {
        PHASES.iter().for_each(|phase| interrupted_in(phase, "native", Signal::INT));
    }
}

#[test]
fn terminations_in_every_phase_of_the_native_lab() {
    if has("native") {
        PHASES.iter().for_each(|phase| interrupted_in(phase, "native", Signal::TERM));
    }
}

#[test]
fn interrupts_in_every_phase_of_the_docker_lab() {
    if has("docker") {
        PHASES.iter().for_each(|phase| interrupted_in(phase, "docker", Signal::INT));
    }
}

#[test]
fn terminations_of_the_docker_lab() {
    if has("docker") {
        ["start", "plan"].iter().for_each(|phase| interrupted_in(phase, "docker", Signal::TERM));
    }
}

/// A program of the plan that takes no hint is stopped with all that it started.
#[test]
fn interrupts_in_a_program_that_ignores_them() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        room.scenario("[[step]]\nname = \"stubborn\"\ncommand = \"trap '' TERM INT; echo up; sleep 60 & sleep 60\"\n");
        let mut run = room.begin(lab);
        run.reaches_program();
        run.signal(Signal::INT);
        run.end().exits(130).assert_reports(&room, "interrupted");
        room.assert_clean();
    }
}

#[test]
fn interrupts_while_a_live_server_is_dumped() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    let (run, _server) = room.begin_dumping();
    run.signal(Signal::INT);
    run.end().exits(130).assert_reports(&room, "interrupted");
    room.assert_clean();
}

/// The second one does not wait; what it leaves on disk goes with the next run or `rehearsal clean`.
#[test]
fn a_second_interrupt_ends_at_once() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        // It must be asked twice and takes five seconds, in which the second one comes.
        room.scenario("[[step]]\nname = \"stubborn\"\ncommand = \"trap '' TERM; echo up; sleep 60 & sleep 60\"\n");
        let mut run = room.begin(lab);
        run.reaches_program();
        run.signal(Signal::INT);
        assert!(run.reaches(|event| event["event"] == "interrupted"), "it ended too soon");
        run.signal(Signal::TERM);
        run.end().exits(143);
        room.assert_nothing_runs();
        room.run(&["clean"]).exits(0);
        room.assert_clean();
    }
}
