//! The extensions that a server can create.

use super::{ATTEMPT_DEADLINE, ServerError, sql, within};
use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::connect::connect;
use crate::scenario::Extension;

/// Checks that the server can create these extensions, each at its version where one is asked for.
///
/// # Errors
/// The first that it cannot, with what there is, or where it would come from.
pub async fn require_extensions(superuser: &Endpoint, wanted: &[Extension], version: &str) -> Result<(), ServerError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let what = "ask for extensions";
    within(what, async {
        let connection = connect(superuser, ATTEMPT_DEADLINE).await.map_err(sql(what))?;
        for extension in wanted {
            let found: Vec<String> = connection
                .client
                .query(
                    "SELECT version FROM pg_catalog.pg_available_extension_versions WHERE name = $1 ORDER BY version",
                    &[&extension.name],
                )
                .await
                .map_err(sql(what))?
                .iter()
                .map(|row| row.get(0))
                .collect();
            if !extension.version.as_ref().map_or(!found.is_empty(), |version| found.contains(version)) {
                return Err(no_extension(extension, &found, version));
            }
        }
        Ok(())
    })
    .await
}

fn no_extension(extension: &Extension, found: &[String], version: &str) -> ServerError {
    let series = version.split(['.', ' ']).next().unwrap_or(version);
    let hint = if found.is_empty() {
        format!("install it where the server runs, on Debian most are packages postgresql-{series}-NAME")
    } else {
        format!("there is {}", found.join(", "))
    };
    ServerError::NoExtension { name: extension.name.clone(), version: extension.version.clone(), hint }
}
