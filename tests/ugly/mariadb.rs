//! Rehearsals on MariaDB, and what may befall them: the release's mistakes are exit 1, the machine's exit 3.

use rustix::process::Signal;

use crate::support::{Ended, Room, each, has, kill};

const SCENARIO: &str = r#"
name = "ugly"
[topology]
engine = "mariadb"
version = "10.11"
[snapshot]
from = "shop.sql"
"#;

const DUMP: &str = "\
CREATE TABLE orders (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, note varchar(40) NOT NULL DEFAULT 'none');
INSERT INTO orders (note) VALUES ('secret-1'), ('secret-2'), ('secret-3');
CREATE VIEW notes AS SELECT note FROM orders;
";

fn room(steps: &str) -> Room {
    let room = Room::new();
    room.write("shop.sql", DUMP);
    room.write("scenario.toml", format!("{SCENARIO}{steps}"));
    room
}

fn ended(room: &Room, exit: i32, verdict: &str, says: &[&str]) -> Ended {
    let ended = room.rehearse("native");
    let outcome = if exit == 1 { "failed" } else { "inconclusive" };
    ended.exits(exit).tells(&[verdict]).tells(says).assert_reports(room, outcome);
    room.assert_clean();
    for (path, text) in room.records() {
        assert!(!text.contains("secret-"), "a row's value is in {}", path.display());
    }
    ended
}

#[test]
fn what_the_release_does_wrong() {
    if !has("native") {
        return;
    }
    // What is wrong, the step, and what the verdict says.
    let table: &[(&str, &str, &[&str])] = &[
        ("a misspelt statement", "sql = \"ALTR TABLE orders ADD x INT\"", &["step-failed", "1064", "scenario.toml:8"]),
        ("a row that is there", "sql = \"INSERT INTO orders SELECT * FROM orders\"", &["Duplicate entry …", "1062"]),
        ("a wrong answer", "check = { sql = \"SELECT 1\", rows = [[\"2\"]] }", &["check-failed"]),
        ("its own session ended", "sql = \"KILL CONNECTION_ID()\"", &["step-failed"]),
        ("a timeout", "sql = \"SELECT SLEEP(60)\"\ntimeout = \"300ms\"", &["its timeout passed"]),
        ("a table without statistics", "analyze = { tables = [\"nothing\"] }", &["step-failed", "nothing"]),
        ("a view left behind", "sql = \"ALTER TABLE orders DROP COLUMN note\"", &["view-invalid", "notes"]),
        (
            "what was lost",
            "sql = \"ALTER TABLE orders MODIFY note varchar(40) NULL\"",
            &["default-lost", "not-null-lost"],
        ),
    ];
    each(
        table,
        |case| case.0.to_owned(),
        |(_, step, says)| {
            ended(&room(&format!("[[step]]\nname = \"one\"\n{step}\n")), 1, "FAILED", says);
        },
    );
}

#[test]
fn a_full_disk_in_the_release() {
    if !has("native") {
        return;
    }
    let grow = "INSERT INTO orders (note) SELECT REPEAT('x', 40) FROM seq_1_to_8000000";
    let room = room(&format!("[[step]]\nname = \"one\"\nsql = \"{grow}\"\n"));
    if !room.mount("lab", "420m") {
        return;
    }
    ended(&room, 3, "INCONCLUSIVE", &["is full", "hint: free some space"]);
}

#[test]
fn a_server_that_is_killed_in_the_release() {
    if !has("native") {
        return;
    }
    let room = room("[[step]]\nname = \"one\"\nsql = \"SELECT SLEEP(600)\"\n");
    let mut going = room.begin("native");
    going.reaches_step();
    kill(room.process_in("/primary/pid").expect("a server"), Signal::KILL);
    let ended = going.end();
    ended.exits(3).tells(&["INCONCLUSIVE", "SIGKILL"]).assert_reports(&room, "inconclusive");
    room.assert_clean();
}

#[test]
fn an_interrupt_in_the_release() {
    if !has("native") {
        return;
    }
    let room = room("[[step]]\nname = \"one\"\nsql = \"SELECT SLEEP(600)\"\n");
    let mut going = room.begin("native");
    going.reaches_step();
    going.signal(Signal::INT);
    going.end().exits(130).tells(&["INTERRUPTED"]);
    room.assert_clean();
}
