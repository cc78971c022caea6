//! `rehearsal ls` and `rehearsal clean`.

use super::{Error, with_causes};
use crate::lab::LabError;
use crate::lab::lease::Base;
use crate::lab::reap;

pub use crate::lab::lease::{LabInfo, LabState};
pub use crate::lab::reap::Reaped;

/// All labs of this machine.
///
/// # Errors
/// Their folder cannot be read.
pub fn list() -> Result<Vec<LabInfo>, Error> {
    Base::open().and_then(|base| base.list()).map_err(failed)
}

/// Removes what killed runs left, and the kept lab of `run` if one is named.
///
/// # Errors
/// As [`list`]; or no such lab is kept.
pub async fn run(run: Option<&str>) -> Result<Vec<Reaped>, Error> {
    let base = Base::open().map_err(failed)?;
    let Some(run) = run else { return reap::reap(&base).await.map_err(failed) };
    let removed = reap::remove(&base, run).await.map_err(failed)?;
    if removed.is_empty() {
        return Err(Error::usage(format!("no lab of a run {run} is kept here"), "`rehearsal ls` lists them"));
    }
    Ok(removed)
}

fn failed(error: LabError) -> Error {
    Error::Inconclusive { what: with_causes(&error), hint: error.hint(), source: None }
}
