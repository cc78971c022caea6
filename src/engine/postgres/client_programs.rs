//! PostgreSQL's client programs on this machine, and the environment in which every client finds a server.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal};
use tokio::process::Command;

use super::dump::major;
use crate::engine::child;
use crate::engine::endpoint::Endpoint;

/// Those that read snapshots, and what for.
pub const USED: [(&str, &str); 2] =
    [("pg_dump", "to take a snapshot of a live server"), ("pg_restore", "to read an archive before a server runs")];

/// Where installers put one folder a major version: its parent, and where the programs are below it.
const VERSIONED: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", "bin"),
    ("/usr/local/lib/postgresql", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
];

/// What libpq and most frameworks read: `PG…` and `DATABASE_URL`. Holds the password.
pub fn environment(endpoint: &Endpoint) -> Vec<(&'static str, String)> {
    vec![
        ("DATABASE_URL", endpoint.url()),
        ("PGHOST", endpoint.host.clone()),
        ("PGPORT", endpoint.port.to_string()),
        ("PGUSER", endpoint.user.clone()),
        ("PGPASSWORD", endpoint.password.clone()),
        ("PGDATABASE", endpoint.database.clone()),
    ]
}

/// The newest `pg_dump`, `pg_restore`, … of this machine, else the one on `PATH`: they speak to every older server and read every
/// older dump.
pub fn newest(name: &str) -> Option<PathBuf> {
    installed(&VERSIONED, name)
        .max_by_key(|(version, _)| *version)
        .map(|(_, program)| program)
        .or_else(|| which::which(name).ok())
}

/// The program of that major version, where it is in an installer's place.
pub fn of_major(name: &str, major: u32) -> Option<PathBuf> {
    installed(&VERSIONED, name).find(|(version, _)| *version == major).map(|(_, program)| program)
}

/// A program of this machine's to be run with nothing to read. It is asked to end when this process ends, however it ends: killed, it
/// would leave the workers that it has made.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    // The signal follows the thread that starts the program: threads of the runtime live as long as this process.
    child::prepare(command.as_std_mut(), Some(Signal::TERM));
    command
}

/// Asks a running program to end, with the workers that it has made.
pub fn ask_to_end(pid: Option<u32>) {
    if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
        // It may have ended just now.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

/// Every version of the program in these places.
fn installed<'a>(places: &'a [(&'a str, &'a str)], name: &'a str) -> impl Iterator<Item = (u32, PathBuf)> + use<'a> {
    places
        .iter()
        .flat_map(move |(parent, below)| {
            versions(Path::new(parent)).map(move |(version, folder)| (version, folder.join(below).join(name)))
        })
        .filter(|(_, program)| program.is_file())
}

/// Folders named "17", or "postgresql@17" as Homebrew has it.
fn versions(parent: &Path) -> impl Iterator<Item = (u32, PathBuf)> + use<> {
    std::fs::read_dir(parent).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name();
        let name = name.to_str()?;
        Some((major(name.strip_prefix("postgresql@").unwrap_or(name))?, entry.path()))
    })
}

#[cfg(test)]
mod tests {
    use super::installed;

    #[test]
    fn versions_are_told_apart_by_their_folders() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for path in ["15/bin/pg_dump", "postgresql@17/bin/pg_dump", "16/bin/psql", "share/bin/pg_dump"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
            std::fs::write(path, "").expect("a file");
        }
        let places = [(folder.path().to_str().expect("paths here are text"), "bin")];
        let mut versions: Vec<u32> = installed(&places, "pg_dump").map(|(version, _)| version).collect();
        versions.sort_unstable();
        assert_eq!(versions, [15, 17]);
    }
}
