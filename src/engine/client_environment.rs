//! The environment in which a program of the plan finds a server, whatever the engine.

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::{mysql, postgres};

/// `DATABASE_URL`, and what the engine's own clients read. Holds the password. Files that it names are made in `folder`, which must be
/// private and last as long as the program.
///
/// # Errors
/// A file could not be written.
pub fn environment(endpoint: &Endpoint, folder: &Path) -> io::Result<Vec<(&'static str, String)>> {
    match endpoint.engine {
        EngineKind::Postgres => Ok(postgres::client_programs::environment(endpoint)),
        EngineKind::Mysql | EngineKind::Mariadb => mysql::client_environment::environment(endpoint, folder),
    }
}

/// A file in the program's home folder that clients of this engine would rather follow than the environment, and with it to another
/// server.
pub fn goes_before(engine: EngineKind, home: &Path) -> Option<PathBuf> {
    match engine {
        EngineKind::Postgres => None,
        EngineKind::Mysql | EngineKind::Mariadb => mysql::client_environment::goes_before(home),
    }
}
