//! One file a subcommand: wiring only. Each returns data that `cli` and `report` show, or an [`Error`] that knows its exit code.

pub mod cache;
pub mod check;
pub mod clean;
pub mod diff;
pub mod doctor;
pub mod down;
pub mod explain;
pub mod report;
pub mod run;
mod signals;
pub mod snapshot;
pub mod up;

use crate::scenario::ScenarioErrors;

pub use self::signals::interruptible;
pub use crate::event::with_causes;

/// Why a subcommand gave no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The scenario file is wrong; every problem, with its place.
    #[error("the scenario has problems")]
    Scenario(Box<ScenarioErrors>),
    /// What flags and files say is wrong. Exit code 2.
    #[error("{what}")]
    Usage {
        what: String,
        hint: Option<String>,
        #[source]
        source: Option<Source>,
    },
    /// This machine, lab or harness could not. Exit code 3.
    #[error("{what}")]
    Inconclusive {
        what: String,
        hint: Option<String>,
        #[source]
        source: Option<Source>,
    },
    /// A signal came before the result. Exit code 128 and its number.
    #[error("interrupted")]
    Interrupted { signal: i32 },
}

impl From<diff::DiffCommandError> for Error {
    fn from(error: diff::DiffCommandError) -> Error {
        let (what, hint) = (with_causes(&error), error.hint().map(str::to_owned));
        if error.is_usage() {
            Error::Usage { what, hint, source: None }
        } else {
            Error::Inconclusive { what, hint, source: None }
        }
    }
}

pub type Source = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Usage { what: what.into(), hint: Some(hint.into()), source: None }
    }

    pub fn no_runtime(error: std::io::Error) -> Error {
        Error::Inconclusive {
            what: "could not start the program's threads".into(),
            hint: Some("look at the limit of processes and threads (`ulimit -u`)".into()),
            source: Some(error.into()),
        }
    }

    pub fn exit_code(&self) -> i32 {
        match self {
            Error::Scenario(_) | Error::Usage { .. } => 2,
            Error::Inconclusive { .. } => 3,
            Error::Interrupted { signal } => 128 + signal,
        }
    }

    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Scenario(_) | Error::Interrupted { .. } => None,
            Error::Usage { hint, .. } | Error::Inconclusive { hint, .. } => hint.as_deref(),
        }
    }
}

impl From<ScenarioErrors> for Error {
    fn from(errors: ScenarioErrors) -> Error {
        Error::Scenario(Box::new(errors))
    }
}
