//! Each rule, on a file that keeps it and on one that does not.

use std::path::Path;

use super::{ROOMS, Room, directions, ordered, text};

fn imported(path: &str, content: &str) -> Vec<String> {
    directions(Path::new(path), content).unwrap().iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(path: &str, content: &str, expected: &[&str]) {
    assert_eq!(imported(path, content), expected);
}

#[track_caller]
fn check_text(path: &str, content: &str, expected: &[&str]) {
    let workplaces = text::workplaces(Path::new("/srv/checkout"));
    let breaches: Vec<String> =
        text::check(Path::new(path), content, &workplaces).iter().map(ToString::to_string).collect();
    assert_eq!(breaches, expected);
}

#[test]
fn the_table_has_no_circle() {
    assert_eq!(ordered(ROOMS), []);
    let circle = [Room { name: "a", may: &["b"] }, Room { name: "b", may: &["a"] }];
    assert_eq!(ordered(&circle).len(), 1);
}

#[test]
fn imports_down_the_table_are_fine() {
    check("src/rehearsal/plan.rs", "use crate::event::Event;\nuse super::clock::Clock;", &[]);
    check("src/event/mod.rs", "use crate::{finding::Code, scenario};", &[]);
    check("src/main.rs", "fn main() { rehearsal::cli::run() }", &[]);
    check("src/lib.rs", "pub mod cli;", &[]);
}

#[test]
fn imports_up_the_table_are_not() {
    check("src/event/log.rs", "\nuse crate::report::html;", &["src/event/log.rs:2: event may not import report"]);
    check("src/main.rs", "fn main() { rehearsal::lab::run() }", &["src/main.rs:1: main may not import lab"]);
    check(
        "src/lab/native/mod.rs",
        "use {crate::engine::host, super::super::topology::Node};",
        &["src/lab/native/mod.rs:1: lab may not import topology"],
    );
    check("src/lab/mod.rs", "use crate::*;", &["src/lab/mod.rs:1: lab may not import *"]);
    check("src/odds/ends.rs", "", &["src/odds/ends.rs: odds is not in the table of rooms"]);
}

#[test]
fn paths_count_wherever_they_stand() {
    let expected = ["src/stats.rs:1: stats may not import report"];
    check("src/stats.rs", "fn f() -> crate::report::Page { todo() }", &expected);
    check("src/stats.rs", "fn f() { format!(\"{}\", crate::report::page()) }", &expected);
    check("src/stats.rs", "#[serde(with = \"crate::report::millis\")] struct S;", &expected);
    check("src/stats.rs", "mod inner { use super::super::report; }", &expected);
}

#[test]
fn tests_may_import_what_they_like() {
    check("src/stats.rs", "#[cfg(test)]\nmod tests { use crate::report::html; }", &[]);
    check("src/stats/tests.rs", "use crate::report::html;", &[]);
    check("src/stats.rs", "#[cfg(unix)] use crate::report::html;", &["src/stats.rs:1: stats may not import report"]);
}

#[test]
fn some_crates_belong_to_a_room() {
    check("src/engine/postgres.rs", "use tokio_postgres::Client;", &[]);
    check(
        "src/diff/mod.rs",
        "use tokio_postgres::Row;",
        &["src/diff/mod.rs:1: diff may not use the crate tokio_postgres"],
    );
    check(
        "src/report/html.rs",
        "fn f(_: tokio::time::Instant) {}",
        &["src/report/html.rs:1: report may not use the crate tokio"],
    );
}

#[test]
fn only_some_rooms_print() {
    check("src/report/terminal.rs", "fn f() { println!() }", &[]);
    check("src/diff/mod.rs", "fn f() { println!() }", &["src/diff/mod.rs:1: diff may not print, and println! does"]);
}

#[test]
fn files_say_what_they_are_for() {
    check_text("src/a.rs", "//! Adds.\n", &[]);
    check_text("src/a.rs", "use b;\n", &["src/a.rs:1: opens without //!: say in a sentence what it is for"]);
    check_text("src/a/tests.rs", "use super::f;\n", &[]);
    check_text("src/utils.rs", "//! Things.\n", &["src/utils.rs: utils.rs says nothing of what is in it"]);
}

#[test]
fn files_are_not_endless() {
    check_text(
        "src/a.rs",
        &format!("//! Adds.\n{}", "\n".repeat(600)),
        &["src/a.rs: 601 lines, more than 600: split it by idea"],
    );
    check_text("docs/a.md", &"\n".repeat(700), &[]);
}

#[test]
fn nothing_is_left_for_later() {
    let mark = concat!("// TO", "DO: later");
    check_text("a.toml", mark, &[concat!("a.toml:1: TO", "DO: finish it, or leave it out")]);
}

#[test]
fn no_machine_is_named() {
    check_text("a.md", "see src/work/item and /usr/lib/postgresql", &[]);
    check_text(
        "a.md",
        &["see /ho", "me/me/x"].concat(),
        &[&["a.md:1: a path below /ho", "me/ means nothing on another machine"].concat()],
    );
    check_text(
        "a.md",
        "in /srv/checkout/src",
        &["a.md:1: a path below /srv/checkout means nothing on another machine"],
    );
}

#[test]
fn no_package_host_is_named() {
    check_text("a.md", "https://www.example.org/index.html, docs.rs", &[]);
    let host = ["mirror", ".example.org"].concat();
    let expected = format!("a.md:1: {host} serves packages: leave it to the machine's own settings");
    check_text("a.md", &format!("from https://{host}/debian"), &[&expected]);
}
