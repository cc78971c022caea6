//! Where this machine keeps its servers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::engine::software::Software;
use crate::lab::LabError;

const VERSION_DEADLINE: Duration = Duration::from_secs(10);

/// A server of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// "15.8".
    pub release: String,
    /// The folder with its programs.
    pub programs: PathBuf,
}

/// The folder with the programs of a server that is what was asked for.
///
/// # Errors
/// [`LabError::NoServer`], with what was found instead.
pub async fn find(software: &Software) -> Result<PathBuf, LabError> {
    installed(software).await.map(|installed| installed.programs)
}

/// The server that is what was asked for.
///
/// # Errors
/// As [`find`].
pub async fn installed(software: &Software) -> Result<Installed, LabError> {
    let mut found = BTreeSet::new();
    for folder in candidates(software) {
        let Some(version) = version(&folder.join(software.server), software).await else { continue };
        if software.accepts(&version) {
            return Ok(Installed { release: version, programs: folder });
        }
        found.insert(version);
    }
    Err(LabError::NoServer {
        engine: software.engine.name(),
        version: software.version.clone(),
        found: found.into_iter().collect(),
        install: software.install.clone(),
    })
}

/// The server's release, where it lies, and when its program was last replaced.
///
/// # Errors
/// As [`find`].
pub async fn identity(software: &Software) -> Result<String, LabError> {
    let Installed { release, programs } = installed(software).await?;
    let server = programs.join(software.server);
    let found = std::fs::metadata(&server).and_then(|found| Ok((found.len(), found.modified()?)));
    let (bytes, replaced) = found.map_err(|source| LabError::io(format!("read {}", server.display()), source))?;
    let replaced = replaced.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    Ok(format!("{release} {} {bytes} {replaced}", server.display()))
}

/// The series' own folders, then the path, then the folders of other series, for the error to name.
fn candidates(software: &Software) -> Vec<PathBuf> {
    let named = software.places.iter().map(|place| place.of(software.series()));
    let on_path = which::which_all(software.server).into_iter().flatten().filter_map(|program| {
        // A link in a common folder leads to the folder with the server's other programs.
        let program = std::fs::canonicalize(&program).unwrap_or(program);
        program.parent().map(Path::to_owned)
    });
    let others = software.places.iter().flat_map(|place| place.all());
    named.chain(on_path).chain(others).filter(|folder| folder.join(software.server).is_file()).collect()
}

async fn version(program: &Path, software: &Software) -> Option<String> {
    let mut command = tokio::process::Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_DEADLINE, command.output()).await.ok()?.ok()?;
    (software.parse_version)(&String::from_utf8_lossy(&output.stdout))
}
