//! `rehearsal doctor` on machines with neither Docker nor a server, with one of them, with both: what is there, how to get the rest, and
//! nothing made.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::docker;
use crate::engines::is_mariadb_here;
use crate::support::{Ended, Room, has, in_ci, is_root};

const SERVERS: &str = "/usr/lib/postgresql";
const VERSIONS: [&str; 6] = ["13", "14", "15", "16", "17", "18"];
/// Of the other engines, in their order after Postgres.
const OTHERS: [(&str, &str); 4] = [("mariadb", "10.5"), ("mariadb", "10.11"), ("mariadb", "11.8"), ("mysql", "9.7")];
const MARIADB: &str = "/usr/sbin/mariadbd";

#[test]
fn neither() {
    let room = Room::alone();
    let Some(found) = doctor(&room, Servers::Hidden, false, "json") else { return };
    found.exits(3);
    let data = data(&found);
    assert_eq!(data["docker"]["why"].as_str().map(|why| why.contains("unix:///nonexistent")), Some(true), "{data}");
    let hint = "start Docker, or set DOCKER_HOST=unix://… to its socket";
    let packages = ["mariadb-server-core", "mariadb-server-core", "mariadb-server-core", "mysql-server-core"];
    for (server, package) in others(&data).iter().zip(packages) {
        assert_eq!(server["docker"]["hint"], hint, "{data}");
        assert!(server["native"]["hint"].as_str().is_some_and(|hint| hint.contains(package)), "{data}");
    }
    for (server, version) in servers(&data).iter().zip(VERSIONS) {
        assert_eq!(server["docker"]["hint"], hint, "{data}");
        let hint = format!("install the server, on Debian the package postgresql-{version}");
        assert_eq!(server["native"]["hint"], json!(hint), "{data}");
    }
    assert!(data["programs"].as_array().expect("a list").iter().all(|program| program["found"]["state"] == "missing"));
    let text = doctor(&room, Servers::Hidden, false, "text").expect("as before");
    text.exits(3).says(&["error: no server can be run on this machine", "hint: install a server, or start Docker"]);
    text.tells(&[
        "✗ Docker no Docker Engine answers at unix:///nonexistent",
        "✗ postgres 18 – –",
        "postgres 13 native install the server, on Debian the package postgresql-13",
        "pg_dump install PostgreSQL's client programs",
        "✗ mariadb 11.8 – –",
        "✗ mysql 9.7 – –",
        "0 of 10 versions can be rehearsed on this machine as it is",
    ]);
    assert_nothing_made(&room);
}

#[test]
fn native_only() {
    if !has("native") {
        return;
    }
    let room = Room::alone();
    let found = doctor(&room, Servers::Here, false, "json").expect("nothing is hidden");
    found.exits(0);
    let data = data(&found);
    assert_eq!(here(&data, "docker"), [""; 0], "{data}");
    assert_eq!(here(&data, "native"), installed(), "{data}");
    let native = &servers(&data)[2]["native"];
    assert_eq!(native["programs"], format!("{SERVERS}/15/bin"), "{data}");
    let release = native["release"].as_str().expect("a release");
    assert!(release.starts_with("15."), "{data}");
    assert_eq!(data["lab_folder"]["state"], "here");
    assert_eq!((&data["lab_folder"]["exists"], &data["lab_folder"]["path"]), (&json!(false), &json!(room.path("lab"))));
    let mariadbs = OTHERS.iter().filter(|(engine, version)| *engine == "mariadb" && is_mariadb_here(version)).count();
    let text = doctor(&room, Servers::Here, false, "text").expect("as before");
    text.exits(0).tells(&[
        &format!("✓ postgres 15 – {release} in {SERVERS}/15/bin"),
        &format!("{} of 10 versions can be rehearsed", installed().len() + mariadbs),
    ]);
    assert_eq!(text.stderr, "");

    // Without room for labs a server is of no use, and the real run says the same.
    let file = room.write("file", "");
    for base in [Path::new("/proc/ugly"), &file, Path::new("/nonexistent/lab")] {
        let mut command = on_machine(&room, Servers::Here, false).expect("as before");
        command.arg("doctor").env("REHEARSAL_LAB_DIR", base);
        room.start(command).end().exits(3).says(&["hint:", "REHEARSAL_LAB_DIR"]).tells(&["✗ lab folder"]);
    }
    assert_nothing_made(&room);
}

#[test]
fn docker_only() {
    if !has("docker") {
        return;
    }
    let room = Room::alone();
    let Some(found) = doctor(&room, Servers::Hidden, true, "json") else { return };
    let data = data(&found);
    assert_eq!(data["docker"]["state"], "here", "{data}");
    assert_eq!(here(&data, "native"), [""; 0], "{data}");
    assert_eq!(here(&data, "docker"), images(), "{data}");
    found.exits(if images().is_empty() && other_images().is_empty() { 3 } else { 0 });
    let text = doctor(&room, Servers::Hidden, true, "text").expect("as before");
    for version in VERSIONS.iter().filter(|version| !images().contains(version)) {
        text.tells(&[&format!("postgres {version} docker docker pull postgres:{version}")]);
    }
    text.tells(&[&format!("{} of 10 versions", images().len() + other_images().len())]);
    for (engine, version) in other_images() {
        text.tells(&[&format!("✓ {engine} {version} rehearsal/{engine}:{version} –")]);
    }
    assert_nothing_made(&room);
}

#[test]
fn both() {
    if !has("docker") || !has("native") {
        return;
    }
    let room = Room::alone();
    let before = images();
    let found = room.run(&["doctor", "--format", "json"]);
    found.exits(0);
    let data = data(&found);
    assert_eq!(here(&data, "native"), installed(), "{data}");
    assert_eq!(here(&data, "docker"), before, "{data}");
    assert_eq!(images(), before, "an image was pulled");
    assert_nothing_made(&room);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Servers {
    Here,
    Hidden,
}

/// None where this machine's servers cannot be hidden.
fn doctor(room: &Room, servers: Servers, docker: bool, format: &str) -> Option<Ended> {
    let mut command = on_machine(room, servers, docker)?;
    command.args(["doctor", "--format", format]);
    Some(room.start(command).end())
}

/// The program on a machine with or without servers, with or without Docker.
fn on_machine(room: &Room, servers: Servers, docker: bool) -> Option<Command> {
    let mut command = room.command();
    if servers == Servers::Hidden {
        if !is_root() && !in_ci() {
            return None;
        }
        // In a view of the file system that ends with the program; nobody else sees it.
        let hide = format!(
            "if [ -d {SERVERS} ]; then mount -t tmpfs none {SERVERS}; fi \
             && if [ -e {MARIADB} ]; then mount --bind /dev/null {MARIADB}; fi && PATH= && exec \"$@\""
        );
        let mut inside = Command::new("unshare");
        inside.args(["--mount", "sh", "-c", &hide, "sh"]).arg(command.get_program());
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        inside.env_remove("REHEARSAL_LAB").env_remove("RUST_LOG");
        inside.current_dir(room.path("work"));
        command = inside;
    }
    if !docker {
        command.env("DOCKER_HOST", "unix:///nonexistent");
    }
    Some(command)
}

/// The versions that lie where Debian's packages put them.
fn installed() -> Vec<&'static str> {
    VERSIONS.into_iter().filter(|version| Path::new(SERVERS).join(version).join("bin/postgres").exists()).collect()
}

fn data(found: &Ended) -> Value {
    let data: Value = serde_json::from_str(&found.stdout).expect("it is JSON");
    let names = |servers: &[Value]| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        servers.iter().map(|server| (text(&server["engine"]), text(&server["version"]))).collect()
    };
    assert_eq!(names(servers(&data)), VERSIONS.map(|version| ("postgres".to_owned(), version.to_owned())));
    assert_eq!(names(others(&data)), OTHERS.map(|(engine, version)| (engine.to_owned(), version.to_owned())));
    data
}

/// Postgres.
fn servers(data: &Value) -> &[Value] {
    &data["servers"].as_array().expect("a list")[..VERSIONS.len()]
}

fn others(data: &Value) -> &[Value] {
    &data["servers"].as_array().expect("a list")[VERSIONS.len()..]
}

/// The versions that this lab has.
fn here<'d>(data: &'d Value, lab: &str) -> Vec<&'d str> {
    let servers = servers(data).iter().filter(|server| server[lab]["state"] == "here");
    servers.filter_map(|server| server["version"].as_str()).collect()
}

/// The versions of which Docker has an image.
fn images() -> Vec<&'static str> {
    let has =
        |version: &str| ["rehearsal/", ""].iter().any(|owner| docker::has_image(&format!("{owner}postgres:{version}")));
    VERSIONS.into_iter().filter(|version| has(version)).collect()
}

fn other_images() -> Vec<(&'static str, &'static str)> {
    OTHERS.into_iter().filter(|(engine, version)| docker::has_image(&format!("rehearsal/{engine}:{version}"))).collect()
}

#[track_caller]
fn assert_nothing_made(room: &Room) {
    assert!(!room.path("lab").exists(), "the labs' folder was made");
    room.assert_clean();
}
