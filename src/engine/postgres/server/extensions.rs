//! The extensions that a server can create.

use super::{ATTEMPT_DEADLINE, ServerError, sql, within};
use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::connect::connect;
use crate::engine::software::Part;
use crate::scenario::{Extension, Package};

/// Debian's package, and that of the project's own repository, with an extension for servers of a series: "postgresql-15-unit". Most are
/// called so.
pub fn debian_package(series: &str, extension: &str) -> String {
    format!("postgresql-{series}-{}", extension.replace('_', "-").to_ascii_lowercase())
}

/// These extensions as parts of an installation by Debian's packages or of the official images (manual: *Extension Files*). One whose name
/// can be no package's is left to the server.
pub fn parts(series: &str, extensions: &[Extension]) -> Vec<Part> {
    let part = |Extension { name, .. }: &Extension| {
        let files = vec![
            format!("/usr/share/postgresql/{series}/extension/{name}.control"),
            format!("/usr/local/share/postgresql/extension/{name}.control"),
        ];
        let package = Package::parse(&debian_package(series, name))?;
        Some(Part { name: format!("extension {name}"), files, package })
    };
    extensions.iter().filter_map(part).collect()
}

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
        format!("apt-get install {} where the server runs", debian_package(series, &extension.name))
    } else {
        format!("there is {}", found.join(", "))
    };
    ServerError::NoExtension { name: extension.name.clone(), version: extension.version.clone(), hint }
}
