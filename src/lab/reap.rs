//! Clearing away what killed runs left: processes, folders, containers and volumes of labs whose lease is free.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::lease::{Base, Examined, LabState, remove_folder};
use super::process::Identity;
use super::{LabError, baseline, blocking, docker};

/// Ending of the files that name a server's process.
pub(super) const PID: &str = "pid";

/// Between asking a leftover server to quit and killing it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that was left over and is gone now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaped {
    pub lab: String,
    /// Where its lease could still be read.
    pub run: Option<String>,
    /// "a server, pid 123", "a folder", "container abc", "volume rehearsal-abc-primary-copy-1".
    pub what: String,
}

/// Removes what ended runs of this base left; live and kept labs are not touched, nor is anything of another base or user.
///
/// # Errors
/// The base cannot be read. What cannot be removed is logged and tried again by the next.
pub async fn reap(base: &Base) -> Result<Vec<Reaped>, LabError> {
    clear(base, |state, _| state == LabState::Stale).await
}

/// Takes down the kept or left over lab of `run`, or of that lab's name; nothing if there is none, or its run is going on.
///
/// # Errors
/// As [`reap`].
pub async fn remove(base: &Base, run: &str) -> Result<Vec<Reaped>, LabError> {
    let run = run.to_owned();
    clear(base, move |state, lab| state != LabState::Live && (lab.0 == run || lab.1 == Some(&run))).await
}

async fn clear(
    base: &Base,
    wanted: impl Fn(LabState, (&str, Option<&String>)) -> bool + Send + 'static,
) -> Result<Vec<Reaped>, LabError> {
    let here = base.clone();
    let mut reaped = blocking(move || {
        let mut reaped = Vec::new();
        for lab in taken(&here)? {
            let run = lab.info.lease.as_ref().map(|lease| &lease.run);
            if wanted(lab.info.state, (&lab.info.id, run))
                && let Err(error) = clear_folder(&lab, &mut reaped)
            {
                tracing::warn!(%error, lab = lab.info.id, "could not clear away what a run left");
            }
        }
        baseline::clear(&here);
        Ok(reaped)
    })
    .await?;
    reaped.extend(docker::reap(base).await);
    Ok(reaped)
}

/// Every lab, with the leases of those that nobody holds held by us, so that two who reap do not meet.
fn taken(base: &Base) -> Result<Vec<Examined>, LabError> {
    let _lock = base.lock()?;
    Ok(base.folders()?.iter().map(|folder| Examined::of(folder)).collect())
}

fn clear_folder(lab: &Examined, reaped: &mut Vec<Reaped>) -> Result<(), LabError> {
    let run = lab.info.lease.as_ref().map(|lease| lease.run.clone());
    let mut note = |what: String| reaped.push(Reaped { lab: lab.info.id.clone(), run: run.clone(), what });
    for (pid_file, identity) in servers(&lab.info.folder) {
        if identity.alive() {
            if !identity.end(PATIENCE) {
                return Err(LabError::Io {
                    what: format!("end the server of {}", pid_file.display()),
                    source: std::io::Error::from(std::io::ErrorKind::TimedOut),
                });
            }
            note(format!("a server, {}", identity.describe()));
        }
    }
    remove_folder(&lab.info.folder)?;
    note("a folder".to_owned());
    Ok(())
}

fn servers(folder: &Path) -> Vec<(std::path::PathBuf, Identity)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == PID))
        .filter_map(|path| {
            let identity = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            Some((path, identity))
        })
        .collect()
}
