//! `rehearsal cache ls` and `rehearsal cache prune`.

use super::{Error, with_causes};
use crate::lab::baseline;
use crate::lab::lease::Base;
use crate::lab::{LabError, reap};

pub use crate::lab::baseline::{Listed, Prune};

/// All baselines of this machine, the last used first.
///
/// # Errors
/// Their folder cannot be read.
pub async fn list() -> Result<Vec<Listed>, Error> {
    let base = Base::open().map_err(failed)?;
    baseline::list(&base).await.map_err(failed)
}

/// Removes baselines that nobody uses; what killed runs left uses none. Gives those that are gone.
///
/// # Errors
/// As [`list`]; or one could not be removed.
pub async fn prune(which: Prune) -> Result<Vec<Listed>, Error> {
    let base = Base::open().map_err(failed)?;
    reap::reap(&base).await.map_err(failed)?;
    baseline::prune(&base, which).await.map_err(failed)
}

fn failed(error: LabError) -> Error {
    Error::Inconclusive { what: with_causes(&error), hint: error.hint(), source: None }
}
