//! What the clients' languages have in common: where a script's text comes from, and what can be wrong with it.

mod source;

pub(in crate::engine) use source::Lines;
pub use source::Source;

use crate::event::Place;

#[derive(Debug, thiserror::Error)]
pub enum ScriptProblem {
    /// With the sign that it begins with: `\\!`.
    #[error("{command} is not supported")]
    Unsupported { place: Place, command: String, hint: String },
    #[error("{name} must stay {value}: with another value psql would run the release in a way that is not rehearsed")]
    Setting { place: Place, name: String, value: &'static str },
    /// What the client itself refuses.
    #[error("{what}")]
    Wrong { place: Place, what: String },
    /// With the place that includes it, if any does.
    #[error("could not read {file}")]
    Unreadable { file: String, place: Option<Place>, source: std::io::Error },
    #[error("{file} is included from within itself")]
    Cycle { place: Place, file: String },
    #[error("not UTF-8")]
    Encoding { place: Place },
    #[error("a pg_dump archive, not a script")]
    Archive { place: Place },
}

impl ScriptProblem {
    pub(in crate::engine) fn wrong(place: Place, what: impl Into<String>) -> ScriptProblem {
        ScriptProblem::Wrong { place, what: what.into() }
    }

    /// Where it is, from the script's point of view.
    pub fn place(&self) -> Option<&Place> {
        match self {
            ScriptProblem::Unsupported { place, .. }
            | ScriptProblem::Setting { place, .. }
            | ScriptProblem::Wrong { place, .. }
            | ScriptProblem::Cycle { place, .. }
            | ScriptProblem::Encoding { place }
            | ScriptProblem::Archive { place } => Some(place),
            ScriptProblem::Unreadable { place, .. } => place.as_ref(),
        }
    }

    /// What to do about it, where there is something to say.
    pub fn hint(&self) -> Option<&str> {
        match self {
            ScriptProblem::Unsupported { hint, .. } => Some(hint),
            ScriptProblem::Setting { .. } => {
                Some("take the \\set out, or run the script with psql in a `command` step")
            }
            ScriptProblem::Encoding { .. } => {
                Some("save the script as UTF-8; a SET client_encoding in it says what is sent")
            }
            ScriptProblem::Archive { .. } => {
                Some("restore it under [snapshot], or with pg_restore in a `command` step")
            }
            ScriptProblem::Unreadable { .. } => Some(
                "\\i starts at the scenario's folder, as source does, \\ir at the folder of the script that says it",
            ),
            ScriptProblem::Cycle { .. } => Some("the client would read it without end: take the line out"),
            ScriptProblem::Wrong { .. } => None,
        }
    }

    /// Nothing more can be read from that file.
    pub(in crate::engine) fn ends_reading(&self) -> bool {
        match self {
            ScriptProblem::Encoding { .. } | ScriptProblem::Archive { .. } => true,
            // An include that cannot be opened leaves the file that asks for it readable; a read that fails midway does not.
            ScriptProblem::Unreadable { source, .. } => !matches!(
                source.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::IsADirectory
            ),
            _ => false,
        }
    }
}
