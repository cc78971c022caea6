//! `cargo xtask tidy`: what no compiler checks. Which module may import which, and the house style of text.
//!
//! The tables here are the law that `ARCHITECTURE.md` explains.

mod imports;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::root;
use crate::terminal::say;

/// A module of the library's top level, and those it may import.
struct Room {
    name: &'static str,
    may: &'static [&'static str],
}

const fn room(name: &'static str, may: &'static [&'static str]) -> Room {
    Room { name, may }
}

/// From top to bottom. A room may only name rooms below it, so there can be no circle.
const ROOMS: &[Room] = &[
    room("main", &["cli"]),
    room("cli", &["commands", "report", "settings"]),
    room(
        "commands",
        &[
            "rehearsal",
            "topology",
            "report",
            "outcome",
            "lint",
            "diff",
            "snapshot",
            "lab",
            "engine",
            "event",
            "scenario",
            "finding",
            "stats",
            "settings",
        ],
    ),
    room("rehearsal", &["topology", "diff", "lint", "snapshot", "engine", "scenario", "event"]),
    // The choice of a lab.
    room("topology", &["lab", "snapshot", "engine", "scenario", "event", "settings"]),
    // How the terminal is written to.
    room("report", &["outcome", "event", "finding", "settings"]),
    room("outcome", &["event", "finding", "scenario", "stats"]),
    room("lint", &["engine", "scenario", "finding", "event"]),
    room("diff", &["engine", "scenario", "finding", "event"]),
    room("snapshot", &["engine", "scenario", "finding", "event"]),
    room("lab", &["engine", "settings"]),
    // Events as plain data: an engine hands over locks and statements in the form in which they are recorded.
    room("engine", &["scenario", "event"]),
    room("event", &["finding", "scenario"]),
    // The table of codes: `[expect] findings` is checked against it.
    room("scenario", &["finding"]),
    room("finding", &[]),
    room("stats", &[]),
    room("settings", &[]),
];

/// Crates that belong to some rooms alone.
const CRATES: &[(&str, &[&str])] = &[
    ("mysql_async", &["engine"]),
    ("tokio_postgres", &["engine"]),
    ("testcontainers", &["lab"]),
    ("bollard", &["lab"]),
    ("askama", &["report"]),
    ("indicatif", &["report"]),
    ("clap", &["cli"]),
];

/// Crates that a room is defined by not knowing.
const ABSENT: &[(&str, &[&str])] = &[
    ("report", &["tokio", "tokio_util", "futures"]),
    ("outcome", &["tokio", "tokio_util", "futures"]),
    ("scenario", &["tokio", "tokio_util", "futures"]),
    ("event", &["tokio", "tokio_util", "futures"]),
];

/// Rooms that write to the terminal.
const SPEAKERS: &[&str] = &["report", "cli", "main"];

/// A breach of a rule, where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Breach {
    path: PathBuf,
    /// From 1; 0 = the whole file.
    line: usize,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path.display(), self.what),
            line => write!(f, "{}:{line}: {}", self.path.display(), self.what),
        }
    }
}

/// # Errors
/// The project's files could not be listed or read.
pub fn run() -> anyhow::Result<ExitCode> {
    let root = root();
    let mut breaches = ordered(ROOMS);
    for path in files(&root)? {
        // A file that is not text has no lines to judge.
        let Ok(content) = std::fs::read_to_string(root.join(&path)) else { continue };
        breaches.extend(text::check(&path, &content, &text::workplaces(&root)));
        if path.starts_with("src") && path.extension().is_some_and(|extension| extension == "rs") {
            breaches.extend(directions(&path, &content)?);
        }
    }
    breaches.sort();
    breaches.dedup();
    for breach in &breaches {
        say(&breach.to_string());
    }
    if breaches.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("tidy: {} to mend", breaches.len()));
    Ok(ExitCode::FAILURE)
}

/// What git tracks, or would: paths relative to `root`, without those that are deleted.
fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("could not run git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    let listed = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    let paths = listed.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from);
    Ok(paths.filter(|path| root.join(path).is_file()).collect())
}

/// The table itself: a room that names one above it would allow a circle.
fn ordered(rooms: &[Room]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (index, room) in rooms.iter().enumerate() {
        for name in room.may.iter().filter(|name| !rooms[index + 1..].iter().any(|below| below.name == **name)) {
            let what = format!("the table lets {} import {name}, which does not stand below it", room.name);
            breaches.push(Breach { path: PathBuf::from("xtask/src/tidy.rs"), line: 0, what });
        }
    }
    breaches
}

/// What a file of the library imports, against the tables.
fn directions(path: &Path, content: &str) -> anyhow::Result<Vec<Breach>> {
    let module = imports::module(path);
    let Some(name) = module.first().cloned() else { return Ok(Vec::new()) };
    let breach = |line, what| Breach { path: path.to_path_buf(), line, what };
    let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
        return Ok(vec![breach(0, format!("{name} is not in the table of rooms"))]);
    };
    let seen = imports::read(&module, content).with_context(|| format!("could not parse {}", path.display()))?;
    let mut breaches = Vec::new();
    for (line, import) in seen.rooms {
        if import != name && !room.may.contains(&import.as_str()) {
            breaches.push(breach(line, format!("{name} may not import {import}")));
        }
    }
    for (line, import) in seen.crates {
        let reserved = CRATES.iter().any(|(krate, rooms)| *krate == import && !rooms.contains(&room.name));
        let absent = ABSENT.iter().any(|(owner, crates)| *owner == room.name && crates.contains(&import.as_str()));
        if reserved || absent {
            breaches.push(breach(line, format!("{name} may not use the crate {import}")));
        }
    }
    for (line, print) in seen.prints {
        if !SPEAKERS.contains(&room.name) {
            breaches.push(breach(line, format!("{name} may not print, and {print}! does")));
        }
    }
    Ok(breaches)
}
