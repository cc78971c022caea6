//! A primary with a replica, and what may become of either.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Going, LABS, Room, SCENARIO, each, has, kill};

const NODES: &str = "[topology.nodes.primary]\n[topology.nodes.standby]\nreplicates = \"primary\"\n";

/// Its one step goes on for a minute.
fn room(settings: &str) -> Room {
    let room = Room::new();
    let scenario = SCENARIO.replace("[snapshot]", &format!("{NODES}{settings}[snapshot]"));
    room.write("scenario.toml", format!("{scenario}[[step]]\nname = \"one\"\nsql = \"SELECT pg_sleep(60)\"\n"));
    room
}

/// The replica's files are being copied by a process of this id.
fn copying(room: &Room, run: &Going) -> i32 {
    let began = Instant::now();
    loop {
        let found = room.processes().into_iter().find(|process| process.contains("/pg_basebackup "));
        if let Some(pid) = found.and_then(|process| process.split([' ', ':']).nth(1)?.parse().ok()) {
            return pid;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "no base backup; {}", run.told());
    }
}

#[test]
fn a_replica_s_server_is_killed() {
    if !has("native") {
        return;
    }
    each(
        ["control", "plan"],
        |phase| (*phase).to_owned(),
        |phase| {
            let room = room("");
            let mut run = room.begin("native");
            assert!(run.reaches_phase(phase), "{}", run.told());
            kill(room.server_of("standby").expect("a server"), Signal::KILL);
            let ended = run.end();
            ended.exits(3).tells(&["the server of node standby ended by itself: signal: 9 (SIGKILL)", "hint:"]);
            ended.assert_reports(&room, "inconclusive");
            assert!(ended.out.join("logs/standby.log").exists(), "the server's log is kept");
            room.assert_clean();
        },
    );
}

#[test]
fn a_base_backup_is_killed() {
    if !has("native") {
        return;
    }
    let room = room("");
    let run = room.begin("native");
    kill(copying(&room, &run), Signal::KILL);
    let ended = run.end();
    ended.exits(3).tells(&["node standby failed", "pg_basebackup failed"]);
    ended.assert_reports(&room, "inconclusive");
    room.assert_clean();
}

#[test]
fn a_replica_does_not_start() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = room("settings = { shared_buffers = \"rubbish\" }\n");
        let ended = room.rehearse(lab);
        ended.exits(3).tells(&["node standby failed", "shared_buffers", "rubbish", "hint: mend the node's settings"]);
        ended.assert_reports(&room, "inconclusive");
        room.assert_clean();
    }
}

#[test]
fn an_interrupt_while_replicas_are_made() {
    if !has("native") {
        return;
    }
    let room = room("");
    let run = room.begin("native");
    copying(&room, &run);
    run.signal(Signal::INT);
    run.end().exits(130);
    room.assert_clean();
}

#[test]
fn a_kill_leaves_no_server_of_several() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = room("");
        let mut run = room.begin(lab);
        run.reaches_step();
        run.signal(Signal::KILL);
        run.end();
        room.assert_nothing_runs();
        room.run(&["clean"]).exits(0);
        room.assert_clean();
    }
}
