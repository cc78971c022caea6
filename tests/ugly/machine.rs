//! A machine that lacks something: exit 3, what is missing, and how to get it.

use std::net::TcpListener;
use std::process::Command;

use crate::docker;
use crate::support::{Room, SCENARIO, each, has, in_ci};

const STEP: &str = "[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n";

#[test]
fn no_docker() {
    let room = Room::new();
    room.scenario(STEP);
    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    elsewhere.set_nonblocking(true).expect("it can be asked without waiting");
    let remote = format!("tcp://{}", elsewhere.local_addr().expect("bound"));
    let own = "hint: unset DOCKER_HOST, or set it to a socket of this machine (unix://…), or use --lab native";
    for (host, error, hint) in [
        (
            "unix:///nonexistent",
            "no Docker Engine answers at unix:///nonexistent".to_owned(),
            "hint: start Docker, or set DOCKER_HOST=unix://… to its socket, or use --lab native",
        ),
        (&remote, format!("DOCKER_HOST is {remote}, and only this machine's own engine"), own),
        ("rubbish", "DOCKER_HOST is rubbish, and only this machine's own engine".to_owned(), own),
    ] {
        let mut command = room.command();
        command.args(["run", "scenario.toml", "--out", "out", "--lab", "docker"]).env("DOCKER_HOST", host);
        let ended = room.start(command).end();
        ended.exits(3).says(&[&format!("error: {error}"), hint]);
        assert!(!ended.out.exists(), "there is no run, so there is no folder of one");
        room.assert_clean();
    }
    assert!(elsewhere.accept().is_err(), "another machine's engine was asked");
}

#[test]
fn no_server() {
    let room = Room::new();
    // A series that Debian's own packages never had next to 15, and that CI does not install.
    let missing = ["14", "16"].into_iter().find(|version| !folder_of(version).exists()).expect("one is not here");
    room.write("scenario.toml", format!("{SCENARIO}{STEP}").replace("\"15\"", &format!("{missing:?}")));
    let ended = room.rehearse("native");
    ended.exits(3).says(&[
        &format!("error: no server of postgres {missing} on this machine; found"),
        &format!("postgresql-{missing}"),
        "hint: install the server",
    ]);
    room.assert_clean();

    // With neither Docker nor a server, the lab that picks itself says so as well.
    let mut command = room.command();
    command.args(["run", "scenario.toml", "--out", "out"]).env("DOCKER_HOST", "unix:///nonexistent").env("PATH", "");
    let ended = room.start(command).end();
    ended.exits(3).says(&[&format!("no server of postgres {missing} on this machine"), "hint: install the server"]);
    room.run(&["check", "scenario.toml", "--lab", "native"]).exits(3).says(&["no server of postgres", "hint:"]);
    room.assert_clean();
}

/// A node may run another version than the topology says: then that one counts, everywhere.
#[test]
fn a_version_of_the_nodes_own() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    let missing = ["14", "16"].into_iter().find(|version| !folder_of(version).exists()).expect("one is not here");
    let of = |topology: &str, node: &str, from: &str| {
        format!("{SCENARIO}{STEP}")
            .replace("\"15\"", &format!("{topology:?}"))
            .replace("[snapshot]", &format!("[topology.nodes.primary]\nversion = {node:?}\n[snapshot]"))
            .replace("\"empty\"", &format!("{from:?}"))
    };
    let check = ["check", "scenario.toml", "--lab", "native"];
    room.write("scenario.toml", of("15", missing, "empty"));
    for ended in [room.run(&check), room.rehearse("native")] {
        ended.exits(3).says(&[&format!("no server of postgres {missing} on this machine")]);
    }
    room.write("scenario.toml", of(missing, "15", "empty"));
    let ended = room.run(&check);
    ended.exits(0);
    assert!(ended.stdout.contains("postgres 15 in the native lab"), "{}", ended.stdout);
    room.rehearse("native").exits(0).says(&["postgres 15, native lab"]);

    let dump = "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 17.2\n\nSELECT 1;\n\n--\n-- PostgreSQL database dump complete\n--\n";
    room.write("new.sql", dump);
    room.write("scenario.toml", of("17", "15", "new.sql"));
    room.run(&check).exits(2).says(&[
        "the snapshot comes from PostgreSQL 17.2, the node runs 15",
        "hint: set version = \"17\" under [topology.nodes.primary]",
    ]);
    room.assert_clean();
}

/// Servers of a lab in memory are faster than any disk lets them be, which a verdict has to say.
#[test]
fn a_lab_in_memory() {
    if !has("native") {
        return;
    }
    let note = "the lab's folder is in memory";
    let room = Room::new();
    room.scenario(STEP);
    let ended = room.rehearse("native");
    ended.exits(0);
    assert!(!ended.stdout.contains(note), "{}", ended.stdout);
    room.assert_clean();

    drop(room);
    let room = Room::new();
    if !room.mount("lab", "500m") {
        return;
    }
    room.scenario(STEP);
    room.rehearse("native").exits(0).assert_reports(&room, "passed").tells(&["Not rehearsed", note]);
    room.assert_clean();
}

fn folder_of(version: &str) -> std::path::PathBuf {
    format!("/usr/lib/postgresql/{version}/bin/postgres").into()
}

/// An image by the right name in which no server is, or one that does not run.
#[test]
fn dead_image() {
    if !has("docker") {
        return;
    }
    let taken = docker::has_image(Image::NAME);
    assert!(!taken || !in_ci(), "an image of 14 is here, whose name this test needs");
    if taken {
        return;
    }
    let room = Room::alone();
    room.write("scenario.toml", format!("{SCENARIO}{STEP}").replace("\"15\"", "\"14\""));
    let image = Image::without_anything(&room);
    let ended = room.rehearse("docker");
    ended.exits(3);
    room.assert_clean();
    ended.assert_reports(&room, "inconclusive").tells(&["INCONCLUSIVE", image.0, "hint:"]);
    drop(image);

    let _other = Image::of_another_version();
    std::fs::remove_dir_all(room.path("work/out")).expect("the run's folder goes");
    let ended = room.rehearse("docker");
    ended.exits(3);
    room.assert_clean();
    ended.assert_reports(&room, "inconclusive").tells(&["INCONCLUSIVE", "has no postgres 14", "15.", "hint: remove"]);
}

/// An image by a name that the program looks for; gone when dropped.
struct Image(&'static str);

impl Image {
    const REPOSITORY: &str = "rehearsal/postgres";
    const TAG: &str = "14";
    const NAME: &str = "rehearsal/postgres:14";

    fn without_anything(room: &Room) -> Image {
        let tar = room.path("empty.tar");
        let packed = Command::new("tar").args(["-cf"]).arg(&tar).args(["-T", "/dev/null"]).status();
        assert!(packed.expect("tar runs").success());
        docker::import(std::fs::read(&tar).expect("it was packed"), Image::REPOSITORY, Image::TAG);
        Image(Image::NAME)
    }

    fn of_another_version() -> Image {
        docker::tag("rehearsal/postgres:15", Image::REPOSITORY, Image::TAG);
        Image(Image::NAME)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        docker::remove_image(self.0);
    }
}

#[test]
fn missing_extension() {
    for lab in crate::support::LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        room.write(
            "scenario.toml",
            format!("{SCENARIO}{STEP}")
                .replace("[snapshot]", "[topology.nodes.primary]\nextensions = [\"ugly_none\"]\n[snapshot]"),
        );
        let ended = room.rehearse(lab);
        ended.exits(3).assert_reports(&room, "inconclusive");
        if lab == "native" {
            ended.tells(&["INCONCLUSIVE", "ugly_none", "hint: apt-get install postgresql-15-ugly-none where"]);
        } else {
            let refused =
                "apt-get install postgresql-15-ugly-none: E: Unable to locate package postgresql-15-ugly-none";
            ended.tells(&["INCONCLUSIVE", "node primary: extension ugly_none could not be added to", refused]);
            ended.tells(&["hint: name the package that brings it: packages = [\"…\"] in [topology.nodes.primary]"]);
        }
        assert_checked(&room, lab, true);
        room.assert_clean();

        drop(room);
        let room = Room::new();
        room.write("shop.sql", "CREATE EXTENSION ugly_none;\nCREATE TABLE goods (id int PRIMARY KEY);\n");
        room.write("scenario.toml", format!("{SCENARIO}{STEP}").replace("\"empty\"", "\"shop.sql\""));
        let ended = room.rehearse(lab);
        ended.exits(3).assert_reports(&room, "inconclusive");
        ended.tells(&["INCONCLUSIVE", "ugly_none", "hint: apt-get install postgresql-15-ugly-none"]);
        assert_checked(&room, lab, false);
        room.assert_clean();
    }
}

/// `check` says so beforehand, or that an image will be built, or that it does not look into the image for what only the dump wants.
fn assert_checked(room: &Room, lab: &str, is_of_node: bool) {
    let text = room.run(&["check", "scenario.toml", "--lab", lab]);
    let json = room.run(&["check", "scenario.toml", "--lab", lab, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    if lab == "native" {
        text.exits(3).says(&["lacks ugly_none", "hint: apt-get install postgresql-15-ugly-none"]);
        assert_eq!(json["not_checked"], serde_json::json!([]), "{json}");
    } else if is_of_node {
        text.exits(0).tells(&["an image will be built: postgresql-15-ugly-none added to"]);
        let line = json["to_build"][0].as_str().unwrap_or_default();
        assert!(line.starts_with("postgresql-15-ugly-none added to ") && line.ends_with("postgres:15"), "{json}");
    } else {
        text.exits(0);
        let line = "extensions (ugly_none), which lie in the container's image";
        assert!(text.stdout.contains(&format!("not checked here: {line}\n")), "{}", text.stdout);
        assert_eq!(json["not_checked"], serde_json::json!([line]), "{json}");
    }
}

/// Packages are looked for where servers run as plain processes, and nothing is installed.
#[test]
fn missing_package() {
    if !has("native") || !std::path::Path::new("/usr/bin/dpkg-query").exists() {
        return;
    }
    let with = |packages: &str| {
        let text = format!("[topology.nodes.primary]\npackages = [{packages}]\n[snapshot]");
        format!("{SCENARIO}{STEP}").replace("[snapshot]", &text)
    };
    let room = Room::new();
    room.write("scenario.toml", with("\"dpkg\", \"ugly-none\", \"tar=0.0-1\""));
    let told = ["node primary: not installed: ugly-none, tar=0.0-1 (there is "];
    let hint = ["hint: apt-get install ugly-none tar=0.0-1, or use --lab docker"];
    room.rehearse("native").exits(3).assert_reports(&room, "inconclusive").tells(&told).tells(&hint);
    room.run(&["check", "scenario.toml", "--lab", "native"]).exits(3).says(&told).says(&hint);
    room.write("scenario.toml", with("\"dpkg\", \"tar\""));
    room.run(&["check", "scenario.toml", "--lab", "native"]).exits(0);
    std::fs::remove_dir_all(room.path("work/out")).expect("the first run's");
    room.rehearse("native").exits(0);
    room.assert_clean();
    room.write("scenario.toml", with("\"a\\nRUN rm\""));
    room.run(&["check", "scenario.toml", "--lab", "native"]).exits(2).says(&["expected a Debian package"]);
}

/// What a live server holds is not asked beforehand, and `check` says that it was not.
#[test]
fn a_snapshot_that_only_a_run_reads() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    let live = "\"env:SHOP_URL\"\nunmasked = true";
    room.write("scenario.toml", format!("{SCENARIO}{STEP}").replace("\"empty\"", live));
    let mut command = room.command();
    command.args(["check", "scenario.toml", "--lab", "native"]).env("SHOP_URL", "postgresql://nobody@127.0.0.1/shop");
    let ended = room.start(command).end();
    ended.exits(0);
    let line = "not checked here: the database of SHOP_URL, which only a run reads\n";
    assert!(ended.stdout.contains(line), "{}", ended.stdout);
    room.assert_clean();
}

/// The lab's disk fills up while the snapshot goes in, while it is copied, or before there is anything.
#[test]
fn full_disk_of_the_lab() {
    if !has("native") {
        return;
    }
    let fill = "[[setup]]\nsql = \"INSERT INTO orders SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) n\"\n";
    let filling = fill.replace("[[setup]]", "[[step]]\nname = \"one\"").replace("20000", "200000");
    // Free space, what the setup does, and what the release does: its room ends before the server starts, in the restore, in the
    // setup, in the copy, in the release.
    let cases = [("2m", "", STEP), ("45m", "", STEP), ("60m", fill, STEP), ("75m", "", STEP), ("140m", "", &filling)];
    each(
        cases,
        |case| case.0.to_owned(),
        |(size, setup, step)| {
            let room = Room::new();
            if !room.mount("lab", size) {
                return;
            }
            room.scenario(&format!("{setup}{step}"));
            let ended = room.rehearse("native");
            ended.exits(3).tells(&["INCONCLUSIVE"]);
            let told = ended.stdout.to_lowercase();
            assert!(told.contains("is full"), "{}\n{}", ended.stdout, ended.stderr);
            ended.tells(&["hint: free some space"]).assert_reports(&room, "inconclusive");
            room.assert_clean();
        },
    );
}

/// Without its log there is no evidence, whatever the release did.
#[test]
fn full_disk_of_the_run() {
    if !has("native") {
        return;
    }
    for size in ["4k", "12k"] {
        let room = Room::new();
        if !room.mount("work/out", size) {
            return;
        }
        if size == "4k" {
            // Not a byte is left.
            room.write("out/filler", [0; 4096]);
        }
        room.scenario(STEP);
        let ended = room.rehearse("native");
        ended.exits(3);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains("hint: "), "{said}");
        assert!(said.contains("--out"), "{said}");
        room.assert_clean();
    }
}

/// A base folder that cannot hold labs.
#[test]
fn no_place_for_labs() {
    let room = Room::new();
    room.scenario(STEP);
    let long = format!("/tmp/{}", "x".repeat(100));
    let file = room.write("file", "");
    for (base, why) in [
        ("/proc/ugly", "cannot hold labs"),
        (&long, "too long for a socket"),
        (file.to_str().expect("a path"), "cannot hold labs"),
    ] {
        let mut command = room.command();
        command.args(["run", "scenario.toml", "--out", "out", "--lab", "native"]).env("REHEARSAL_LAB_DIR", base);
        room.start(command).end().exits(3).says(&[why, "hint: set REHEARSAL_LAB_DIR to a folder of your own"]);
        room.assert_clean();
    }
}
