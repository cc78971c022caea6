//! The schema as pg_dump has it, of the moment that the rows are of: an archive without rows, from which pg_restore makes the parts before
//! and after them, the latter by several sessions.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::client_programs;
use super::super::dump::major;
use super::super::restore::{self, RestoreError};
use crate::engine::capture::SourceError;
use crate::engine::endpoint::Endpoint;

/// The archive's name in its folder.
pub const ARCHIVE: &str = "schema.dump";

/// How long pg_dump has to end.
const GRACE: Duration = Duration::from_secs(5);

/// Writes the archive. Subscriptions are left out: they hold the publisher's password, and a copy must not reach out.
pub(super) async fn dump(
    endpoint: &Endpoint,
    snapshot: &str,
    version: &str,
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<(), SourceError> {
    let program = major(version)
        .and_then(|major| client_programs::of_major("pg_dump", major))
        .or_else(|| client_programs::newest("pg_dump"))
        .ok_or(SourceError::NoProgram { program: "pg_dump" })?;
    let mut command = client_programs::command(&program);
    command
        .args(["-Fc", "--section=pre-data", "--section=post-data", "--no-subscriptions", "--no-password"])
        .arg("--lock-wait-timeout=5s")
        .arg(format!("--snapshot={snapshot}"))
        .arg("-f")
        .arg(folder.join(ARCHIVE))
        .env_remove("PGSERVICE")
        .env_remove("PGOPTIONS")
        .envs(client_programs::environment(endpoint))
        .env("PGAPPNAME", &endpoint.application)
        .env("LC_ALL", "C.UTF-8")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| SourceError::Schema { source: error.into() })?;
    let pid = child.id();
    let ending = child.wait_with_output();
    tokio::pin!(ending);
    let output = tokio::select! {
        output = &mut ending => output.map_err(|error| SourceError::Schema { source: error.into() })?,
        () = cancel.cancelled() => {
            client_programs::ask_to_end(pid);
            // Past this it is killed, as it goes out of scope.
            let _ = tokio::time::timeout(GRACE, ending).await;
            return Err(SourceError::Cancelled);
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(match restore::failed("pg_dump", output.status.code().unwrap_or(-1), &said) {
        RestoreError::TooNew { .. } => SourceError::OldProgram { program: "pg_dump", server: version.to_owned() },
        RestoreError::DiskFull => SourceError::DiskFull { path: folder.to_owned() },
        other => SourceError::Schema { source: other.into() },
    })
}
