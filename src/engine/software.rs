//! What a lab must find on a host before a server can run there: data that an engine gives and that `lab` looks for.

use std::path::{Path, PathBuf};

use crate::engine::host::StopMode;
use crate::scenario::EngineKind;

pub use crate::scenario::Package;

/// A server of one engine and version, as something to be found.
#[derive(Debug, Clone)]
pub struct Software {
    pub engine: EngineKind,
    /// As the scenario asks for it: "15", or "15.8" where nothing else will do.
    pub version: String,
    /// The server's program, which also tells its version: "postgres".
    pub server: &'static str,
    /// Where package managers put the programs of one series.
    pub places: &'static [Place],
    /// The account that packages make for the server.
    pub user: &'static str,
    pub signals: StopSignals,
    /// Port inside a container.
    pub port: u16,
    /// Images with the server in them, the most wanted first.
    pub images: Vec<String>,
    /// The image that a registry has.
    pub pull: String,
    /// Whether `cargo xtask images` builds an image with it.
    pub built: bool,
    /// How to get the server onto this machine.
    pub install: String,
    /// The version in what `SERVER --version` writes.
    pub parse_version: fn(&str) -> Option<String>,
    /// What has to be installed beside it.
    pub packages: Vec<Package>,
    /// Other parts that it has to have.
    pub parts: Vec<Part>,
}

/// A part of a server's installation that a package of its own may bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// As people call it: "extension unit".
    pub name: String,
    /// Where packages put the file that makes it be there: one of these.
    pub files: Vec<String>,
    /// The package that most likely brings it.
    pub package: Package,
}

/// How a server is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSignals {
    /// Disconnect everybody, write everything.
    pub fast: StopSignal,
    /// End at once; the next start recovers.
    pub immediate: StopSignal,
    /// What the kernel sends when this program is killed: the surest that leaves nothing behind.
    pub death: StopSignal,
}

impl StopSignals {
    pub fn of(self, mode: StopMode) -> StopSignal {
        match mode {
            StopMode::Fast => self.fast,
            StopMode::Immediate => self.immediate,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    Int,
    Quit,
    Term,
    Kill,
}

impl StopSignal {
    /// As `kill -s` takes it.
    pub fn name(self) -> &'static str {
        match self {
            StopSignal::Int => "INT",
            StopSignal::Quit => "QUIT",
            StopSignal::Term => "TERM",
            StopSignal::Kill => "KILL",
        }
    }
}

impl Software {
    /// What its packages are called after: "15" of "15.8" on Postgres, "10.11" of "10.11.6" on the others.
    pub fn series(&self) -> &str {
        let parts = if self.engine == EngineKind::Postgres { 1 } else { 2 };
        self.version.match_indices('.').nth(parts - 1).map_or(&self.version, |(end, _)| &self.version[..end])
    }

    /// How to get an image with the server.
    pub fn image_hint(&self) -> String {
        image_hint(&self.pull, self.built)
    }

    /// Whether a server of version `found` is what was asked for: "15.8" is a "15", and only "15.8" is a "15.8".
    pub fn accepts(&self, found: &str) -> bool {
        found == self.version
            || found.strip_prefix(&self.version).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}

/// How to get an image that a registry has, and that is perhaps built here.
pub fn image_hint(pull: &str, built: bool) -> String {
    let build = ", or build the images from the project's sources with cargo xtask images";
    format!("docker pull {pull}{}", if built { build } else { "" })
}

/// A folder in which packages put a server's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// One for each series: `BEFORE15AFTER`.
    Series { before: &'static str, after: &'static str },
    /// One for whichever is installed.
    Only(&'static str),
}

impl Place {
    pub fn of(&self, series: &str) -> PathBuf {
        match self {
            Place::Series { before, after } => PathBuf::from(format!("{before}{series}{after}")),
            Place::Only(folder) => PathBuf::from(folder),
        }
    }

    /// The folders of every series that are there.
    pub fn all(&self) -> Vec<PathBuf> {
        let Place::Series { before, .. } = self else { return self.there(&[String::new()]) };
        let (parent, start) = before.rsplit_once('/').unwrap_or((".", before));
        let Ok(entries) = std::fs::read_dir(Path::new(parent)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let series: Vec<String> = names.iter().filter_map(|name| name.strip_prefix(start)).map(str::to_owned).collect();
        self.there(&series)
    }

    fn there(&self, series: &[String]) -> Vec<PathBuf> {
        series.iter().map(|series| self.of(series)).filter(|folder| folder.is_dir()).collect()
    }
}

/// Where a server's other programs are, from the folder of the server's own: some packages part those of administrators from the rest.
pub const BESIDE: [&str; 2] = ["../bin", "../scripts"];

#[cfg(test)]
mod tests;
