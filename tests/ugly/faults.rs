//! What goes wrong while a run goes on: the release's own mistakes are exit 1, the machine's are exit 3, and neither hangs.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::docker;
use crate::support::{Ended, LABS, Room, SCENARIO, each, has, kill};

/// A failed step: exit 1, and the verdict says which and why.
#[track_caller]
fn step_fails(room: &Room, lab: &str, says: &[&str]) -> Ended {
    let ended = room.rehearse(lab);
    ended.exits(1).tells(&["FAILED", "step-failed"]).tells(says).assert_reports(room, "failed");
    room.assert_clean();
    ended
}

fn inconclusive(room: &Room, ended: &Ended, says: &[&str]) {
    ended.exits(3).tells(&["INCONCLUSIVE"]).tells(says).assert_reports(room, "inconclusive");
    room.assert_clean();
}

#[test]
fn wrong_statements() {
    if !has("native") {
        return;
    }
    // What is wrong, the step, and what the verdict says.
    let table: &[(&str, &str, &[&str])] = &[
        ("a misspelt statement", "sql = \"ALTR TABLE orders ADD note text\"", &["syntax error", "scenario.toml:9"]),
        (
            "a table that is not there",
            "sql = \"SELECT 1; TRUNCATE ordrs\"",
            &["ordrs", "does not exist", "scenario.toml:9"],
        ),
        (
            "a string without an end",
            "sql = \"SELECT 1;\\nSELECT 'open;\"",
            &["unterminated quoted string", "scenario.toml:10"],
        ),
        ("an if without an end", "sql = \"\\\\if true\\nSELECT 1;\"", &["\\endif"]),
        ("a wrong answer", "check = { sql = \"SELECT 1\", rows = [[\"2\"]] }", &["check-failed"]),
        (
            "its own session ended",
            "sql = \"SELECT pg_terminate_backend(pg_backend_pid())\"",
            &["terminating connection"],
        ),
        ("a timeout", "sql = \"SELECT pg_sleep(60)\"\ntimeout = \"300ms\"", &["its timeout passed"]),
        ("a wait in vain", "wait = { sql = \"SELECT false\", deadline = \"300ms\" }", &["one"]),
    ];
    each(
        table,
        |case| case.0.to_owned(),
        |(_, step, says)| {
            let room = Room::new();
            room.scenario(&format!("[[step]]\nname = \"one\"\n{step}\n[[step]]\nname = \"two\"\nsql = \"SELECT 2\"\n"));
            let ended = room.rehearse("native");
            ended.exits(1).tells(&["FAILED", "one"]).tells(says).assert_reports(&room, "failed");
            room.assert_clean();
        },
    );
}

#[test]
fn wrong_programs() {
    if !has("native") {
        return;
    }
    // What is wrong, the step, and what the verdict says.
    let table: &[(&str, &str, &[&str])] = &[
        (
            "a program that fails",
            "command = \"echo that went wrong >&2; exit 7\"",
            &["exit status 7", "its output is in step-1.log"],
        ),
        ("a program that is not there", "command = [\"no-such-program\"]", &["no-such-program"]),
        (
            "a shell's program that is not there",
            "command = \"no-such-program\"",
            &["exit status 127", "its output is in step-1.log"],
        ),
        ("a program that is killed", "command = \"kill -9 $$\"", &["killed by signal 9"]),
        ("a program that hangs", "command = \"sleep 60 & sleep 60\"\ntimeout = \"500ms\"", &["its timeout passed"]),
        (
            "a client of the server that is killed",
            "command = \"psql -c 'SELECT pg_sleep(60)' & P=$!; sleep 0.3; kill -9 $P; wait $P\"",
            &["exit status 137"],
        ),
    ];
    each(
        table,
        |case| case.0.to_owned(),
        |(_, step, says)| {
            let room = Room::new();
            room.scenario(&format!("[[step]]\nname = \"one\"\n{step}\n"));
            let ended = step_fails(&room, "native", says);
            assert!(ended.elapsed < Duration::from_secs(30), "it took {:?}", ended.elapsed);
        },
    );
}

/// A program's own words may hold row values: they stay in the file of its output, and in the verdict only where values were asked for.
#[test]
fn a_program_s_last_words() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    room.scenario("[[step]]\nname = \"one\"\ncommand = \"printf 'row %d\\n' 42 >&2; exit 7\"\n");
    let ended = room.rehearse("native");
    ended.exits(1).tells(&["exit status 7"]);
    assert!(!ended.stdout.contains("row 42"), "{}", ended.stdout);
    assert!(!ended.report().to_string().contains("row 42"), "{}", ended.report());
    let output = std::fs::read_to_string(ended.out.join("step-1.log")).expect("its output");
    assert_eq!(output, "row 42\n");

    let open = ["run", "scenario.toml", "--out", "open", "--lab", "native", "--show-values"];
    room.run(&open).exits(1).tells(&["exit status 7: row 42"]);
    room.assert_clean();

    // What the server says in words of the plan's own may be values to the last word.
    drop(room);
    let room = Room::new();
    room.write(
        "raise.sql",
        "DO $$BEGIN RAISE EXCEPTION 'customer % (%) has open orders', 'Ann Lee', 'ann@example.org'; END$$;\n",
    );
    room.scenario("[[step]]\nname = \"one\"\ncommand = \"psql -v ON_ERROR_STOP=1 -f raise.sql\"\n");
    let ended = room.rehearse("native");
    ended.exits(1).tells(&["exit status 3: the server refused a statement; its output is in step-1.log"]);
    for file in ["events.jsonl", "report.json", "report.md", "report.html", "junit.xml"] {
        let text = std::fs::read_to_string(ended.out.join(file)).expect("the run wrote it");
        assert!(!text.contains("ann@") && !text.contains("Ann Lee"), "{file}: {text}");
    }
    let output = std::fs::read_to_string(ended.out.join("step-1.log")).expect("its output");
    assert!(output.contains("customer Ann Lee (ann@example.org) has open orders"), "{output}");
    room.assert_clean();
}

#[test]
fn roles_that_are_not_there() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    room.scenario("[probes]\nas = \"bob\"\n[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n");
    inconclusive(&room, &room.rehearse("native"), &["bob", "hint:", "roles"]);

    drop(room);
    let room = Room::new();
    room.scenario("[[step]]\nname = \"one\"\nas = \"bob\"\nsql = \"SELECT 1\"\n");
    inconclusive(&room, &room.rehearse("native"), &["bob", "hint:", "roles"]);

    drop(room);
    let room = Room::new();
    room.scenario("[[setup]]\nsql = \"SELECT nonsense\"\n[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n");
    inconclusive(&room, &room.rehearse("native"), &["the setup step", "failed", "nonsense", "hint: setup brings"]);
}

#[test]
fn settings_that_the_server_refuses() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        let text = format!("{SCENARIO}[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n");
        let with = |settings: &str| {
            text.replace("[snapshot]", &format!("[topology.nodes.primary]\nsettings = {settings}\n[snapshot]"))
        };
        room.write("scenario.toml", with("{ shared_buffers = \"rubbish\" }"));
        inconclusive(&room, &room.rehearse(lab), &["shared_buffers", "rubbish", "hint:", "settings"]);
        room.write("scenario.toml", with("{ port = \"5432\" }"));
        std::fs::remove_dir_all(room.path("work/out")).expect("the run's folder goes");
        let ended = room.rehearse(lab);
        ended.exits(2).says(&["port", "scenario.toml"]);
        room.assert_clean();
    }
}

/// The server's main process is killed while the phase goes on.
fn server_killed(lab: &str, phase: &str) {
    let room = Room::new();
    let setup = if phase == "restore" { "[[setup]]\nsql = \"SELECT pg_sleep(60)\"\n" } else { "" };
    room.scenario(&format!("{setup}[[step]]\nname = \"one\"\nsql = \"SELECT pg_sleep(60)\"\n"));
    let mut run = room.begin(lab);
    assert!(run.reaches_phase(phase), "{}", run.told());
    match phase {
        "plan" => run.reaches_step(),
        "restore" => assert!(run.reaches(|event| event["event"] == "statement-started" && event["index"] == 0)),
        _ => {}
    }
    if lab == "native" {
        kill(room.server().expect("a server"), Signal::KILL);
    } else {
        let container = room.containers().pop().expect("a container");
        docker::shell(&container, "kill -9 $(cat /rehearsal/server.pid)");
    }
    let ended = run.end();
    inconclusive(
        &room,
        &ended,
        &["the server of node primary ended by itself: signal: 9 (SIGKILL)", "hint: its last log lines"],
    );
    assert!(ended.out.join("logs/primary.log").exists(), "the server's log is kept");
}

#[test]
fn a_killed_server() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        each(["restore", "control", "plan"], |phase| format!("{lab}, {phase}"), |phase| server_killed(lab, phase));
    }
}

#[test]
fn a_killed_container() {
    if !has("docker") {
        return;
    }
    let room = Room::new();
    room.scenario("[[step]]\nname = \"one\"\nsql = \"SELECT pg_sleep(60)\"\n");
    let mut run = room.begin("docker");
    run.reaches_step();
    let container = room.containers().pop().expect("a container");
    docker::kill(&container);
    inconclusive(&room, &run.end(), &["the server of node primary ended by itself", "hint:"]);
}

/// One session's process is killed, as the kernel does where memory runs out: the server ends all sessions and recovers.
#[test]
fn a_killed_session() {
    if let Some((room, ended)) = session_ended_by(Signal::KILL) {
        inconclusive(&room, &ended, &["terminated by signal 9"]);
    }
}

/// One session's process crashes, as a broken extension makes it: whatever the statement was that did it, the release has failed.
#[test]
fn a_crashed_session() {
    if let Some((room, ended)) = session_ended_by(Signal::SEGV) {
        ended.exits(1).tells(&["FAILED", "step-failed", "terminated by signal 11"]).assert_reports(&room, "failed");
        room.assert_clean();
    }
}

fn session_ended_by(signal: Signal) -> Option<(Room, Ended)> {
    if !has("native") {
        return None;
    }
    let room = Room::new();
    room.scenario("[[step]]\nname = \"one\"\nsql = \"SELECT pg_sleep(60)\"\n");
    let mut run = room.begin("native");
    run.reaches_step();
    // The observers' own statements are over at once.
    let began = Instant::now();
    let mut seen: Option<(String, Instant)> = None;
    let session = loop {
        let running = |process: &String| process.contains("SELECT") && !process.contains("rehearsal_probe");
        let found: Vec<String> = room.processes().into_iter().filter(running).collect();
        match &seen {
            Some((session, since)) if found.contains(session) => {
                if since.elapsed() > Duration::from_millis(500) {
                    break session.clone();
                }
            }
            _ => seen = found.into_iter().next().map(|session| (session, Instant::now())),
        }
        assert!(began.elapsed() < Duration::from_secs(10), "no session: {:#?}", room.processes());
    };
    let pid = session.split([' ', ':']).nth(1).and_then(|pid| pid.parse().ok()).expect("an id");
    kill(pid, signal);
    let ended = run.end();
    Some((room, ended))
}

/// Whoever takes the server's port while it is down for a copy does not end the run.
#[test]
fn a_port_that_is_taken() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    room.scenario("[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n");
    let mut run = room.begin("native");
    assert!(run.reaches(|event| event["event"] == "node-ready"));
    let pid = room.server().expect("a server");
    let port = std::fs::read_dir(room.path("lab")).expect("a lab").flatten().find_map(|lab| {
        let text = std::fs::read_to_string(lab.path().join("primary/data/postmaster.pid")).ok()?;
        text.lines().nth(3)?.parse::<u16>().ok()
    });
    let port = port.unwrap_or_else(|| panic!("server {pid} has no port"));
    assert!(run.reaches_phase("keep"));
    let began = Instant::now();
    let _taken = loop {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            break listener;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "the server never let go of its port");
    };
    run.end().exits(0).assert_reports(&room, "passed");
    room.assert_clean();
}
