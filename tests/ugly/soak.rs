//! `cargo xtask soak` itself: it ends well where nothing is left, and names what is.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::engines::is_mariadb_here;
use crate::support::{Ended, Going, Room, in_ci, kill};

fn soak(room: &Room, program: &Path) -> Going {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["run", "--quiet", "--bin", "xtask", "--", "soak", "--lab", "native", "--times", "2", "--program"])
        .arg(program)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("TMPDIR", room.path("tmp"));
    room.start(command)
}

fn soaked(room: &Room, program: &Path) -> Ended {
    soak(room, program).end()
}

fn rehearsal() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_rehearsal"))
}

/// The program, and a line of the shell before it.
fn with(room: &Room, line: &str) -> std::path::PathBuf {
    let script = format!("#!/bin/sh\n{line}\nexec {} \"$@\"\n", rehearsal().display());
    let path = room.write("program", script);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    path
}

#[test]
fn two_rounds() {
    if !in_ci() && !is_mariadb_here("10.11") {
        return;
    }
    let room = Room::new();
    soaked(&room, rehearsal())
        .exits(0)
        .says(&["native, round 1 of 2, empty: up", "native, round 2 of 2, with a dump: up"])
        .tells(&["native lab, eight nodes, empty: up", "native lab, eight nodes, with a dump: up", "median of 1"]);
    room.assert_clean();
}

#[test]
fn what_is_left_is_named() {
    if !in_ci() && !is_mariadb_here("10.11") {
        return;
    }
    let room = Room::new();
    let program = with(&room, "if [ \"$1\" = down ]; then sleep 600 & fi");
    let ended = soaked(&room, &program);
    ended.exits(1).says(&["left behind:", ": sleep 600", "it is kept as it is"]);
    assert!(!ended.stderr.contains("round 1"), "the round passed for a clean one: {}", ended.stderr);
    kill(room.process_in("sleep").expect("it was left"), Signal::KILL);
    let [kept] = &crate::support::entries(&room.path("tmp"))[..] else { panic!("its folder is not kept") };
    std::fs::remove_dir_all(room.path("tmp").join(kept)).expect("it goes");
    room.assert_clean();
}

/// An interrupt while the nodes come up takes them back.
#[test]
fn interrupted() {
    if !in_ci() && !is_mariadb_here("10.11") {
        return;
    }
    let room = Room::new();
    let mut going = soak(&room, rehearsal());
    assert!(going.comes_to(|| room.process_in("--datadir=")), "no server was made; {}", going.told());
    going.signal(Signal::INT);
    going.end().exits(130).says(&["interrupted; nothing is left"]);
    room.assert_clean();
}
