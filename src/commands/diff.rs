//! `rehearsal diff`: two endpoints compared.

use tokio_util::sync::CancellationToken;

use crate::diff::{self, CompareOptions, DiffError};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::url::{self, UrlError};
use crate::event::DiffResult;
use crate::settings::DiffSettings;

/// Keys of differing rows that a table may put into the JSON.
const KEYS_MAX: usize = 100_000;

/// What differs, and between which two places (without their passwords).
#[derive(Debug, Clone, PartialEq)]
pub struct DiffOutcome {
    pub before: String,
    pub after: String,
    pub result: DiffResult,
}

#[derive(Debug, thiserror::Error)]
pub enum DiffCommandError {
    #[error("{what} is not supported yet: {argument}")]
    Unsupported { what: &'static str, argument: String },
    #[error("the environment has no variable {name}")]
    NoVariable { name: String },
    #[error("{argument} is neither a URL, nor env:NAME, nor a file or folder that is there")]
    Unknown { argument: String },
    #[error("the {side} endpoint is no usable URL")]
    Url { side: &'static str, source: UrlError },
    #[error("a Postgres database has no counterpart on MySQL or MariaDB")]
    OtherEngine,
    #[error("could not compare")]
    Compare(#[from] DiffError),
}

impl DiffCommandError {
    /// What flags say is wrong, before any server was asked.
    pub fn is_usage(&self) -> bool {
        !matches!(self, DiffCommandError::Compare(_))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            DiffCommandError::Unsupported { .. } => Some("restore it into a server and give that server's URL"),
            DiffCommandError::NoVariable { .. } => Some("export it with the URL of the endpoint"),
            DiffCommandError::Unknown { .. } => {
                Some("an endpoint reads postgresql://, mysql:// or mariadb://user@host:port/database")
            }
            DiffCommandError::OtherEngine => {
                Some("give two of one engine; MySQL and MariaDB can be compared with each other")
            }
            DiffCommandError::Compare(DiffError::NoSuchTable { .. }) => Some(
                "on Postgres, tables outside of public go by schema.table; of MySQL and MariaDB, one database is read",
            ),
            DiffCommandError::Compare(DiffError::NoContent { .. }) => {
                Some("name tables that hold rows, or compare definitions alone with --schema")
            }
            DiffCommandError::Url { .. } | DiffCommandError::Compare(_) => None,
        }
    }
}

/// Compares the two endpoints of the settings.
///
/// # Errors
/// [`DiffCommandError`]: an argument that names no endpoint, or a comparison that failed.
pub async fn run(settings: &DiffSettings, cancel: CancellationToken) -> Result<DiffOutcome, DiffCommandError> {
    let before = endpoint(&settings.before, "before")?;
    let after = endpoint(&settings.after, "after")?;
    if (before.engine == EngineKind::Postgres) != (after.engine == EngineKind::Postgres) {
        return Err(DiffCommandError::OtherEngine);
    }
    let options = CompareOptions {
        published: None,
        schema: settings.schema,
        data: settings.data,
        tables: settings.tables.clone(),
        samples: settings.samples,
        keys: if settings.keys { KEYS_MAX } else { 0 },
        cancel,
    };
    let result = diff::compare(&before, &after, &options).await?;
    Ok(DiffOutcome { before: format!("{before:?}"), after: format!("{after:?}"), result })
}

fn endpoint(argument: &str, side: &'static str) -> Result<Endpoint, DiffCommandError> {
    let unusable = |source| DiffCommandError::Url { side, source };
    if let Some(name) = argument.strip_prefix("env:") {
        let value = std::env::var(name).map_err(|_| DiffCommandError::NoVariable { name: name.to_owned() })?;
        return url::endpoint(&value).map_err(unusable);
    }
    if argument.contains("://") {
        return url::endpoint(argument).map_err(unusable);
    }
    let path = std::path::Path::new(argument);
    if path.join(crate::event::log::FILE).exists() {
        Err(unsupported("comparing nodes of a kept run", argument))
    } else if path.is_dir() {
        Err(unsupported("comparing snapshots and dumps in a folder", argument))
    } else if path.exists() {
        Err(unsupported("comparing dumps", argument))
    } else {
        Err(DiffCommandError::Unknown { argument: argument.to_owned() })
    }
}

fn unsupported(what: &'static str, argument: &str) -> DiffCommandError {
    DiffCommandError::Unsupported { what, argument: argument.to_owned() }
}
