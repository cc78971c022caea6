//! `rehearsal report RUN`: every report again, from the event log alone.

use std::path::{Path, PathBuf};

use super::Error;
use crate::event::log::{self, ReadError};
use crate::report;

pub use crate::event::Recorded;
pub use crate::outcome::Outcome;

pub struct Reported {
    pub records: Vec<Recorded>,
    pub outcome: Outcome,
    /// The run's folder.
    pub folder: PathBuf,
}

/// # Errors
/// Where there is no readable log, or its reports could not be written.
pub fn run(run: &Path, write: bool) -> Result<Reported, Error> {
    let records = log::read(run).map_err(unreadable)?;
    let outcome = Outcome::from_records(&records);
    let folder = if run.is_dir() { run.to_owned() } else { run.parent().unwrap_or(Path::new(".")).to_owned() };
    if write {
        report::write_all(&folder, &records, &outcome).map_err(|error| Error::Inconclusive {
            what: format!("could not write the reports to {}", folder.display()),
            hint: None,
            source: Some(error.into()),
        })?;
    }
    Ok(Reported { records, outcome, folder })
}

fn unreadable(error: ReadError) -> Error {
    let hint = match &error {
        ReadError::Unreadable { .. } => "give the folder of a run, as `rehearsal run` printed it",
        ReadError::BadLine { .. } | ReadError::Gap { .. } => {
            "the log is damaged, or of another version of this program"
        }
        ReadError::Empty { .. } => "the run was killed before its first event",
    };
    Error::Usage { what: "no run can be read there".into(), hint: Some(hint.into()), source: Some(error.into()) }
}
