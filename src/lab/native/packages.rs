//! Whether packages are installed on this machine, as dpkg says.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use crate::engine::software::{Package, Software};
use crate::lab::{LabError, Outfit};

const DPKG_QUERY: &str = "dpkg-query";
const DEADLINE: Duration = Duration::from_secs(30);

/// What is here of a server's packages. Its other parts, the server itself tells of.
///
/// # Errors
/// [`LabError::NoPackages`] with all that are missing.
pub async fn outfit(node: &str, software: &Software) -> Result<Outfit, LabError> {
    if software.packages.is_empty() {
        return Ok(Outfit::Whole);
    }
    let Some(installed) = installed(&software.packages).await else {
        tracing::info!("nobody looks for packages without dpkg-query");
        return Ok(Outfit::Unknown { program: DPKG_QUERY });
    };
    let missing: Vec<(&Package, Option<&String>)> = software
        .packages
        .iter()
        .map(|package| (package, installed.get(package.name())))
        .filter(|(package, found)| match (package.version(), found) {
            (Some(wanted), Some(found)) => wanted != found.as_str(),
            (_, found) => found.is_none(),
        })
        .collect();
    if missing.is_empty() {
        return Ok(Outfit::Whole);
    }
    let told = missing.iter().map(|(package, found)| match found {
        Some(found) => format!("{package} (there is {found})"),
        None => package.to_string(),
    });
    let names: Vec<String> = missing.iter().map(|(package, _)| package.to_string()).collect();
    let install = format!("apt-get install {}", names.join(" "));
    Err(LabError::NoPackages { node: node.to_owned(), missing: told.collect(), install })
}

/// Version by name of those that are; none where nobody can tell. Names that dpkg does not know are an exit status of its own.
async fn installed(packages: &[Package]) -> Option<BTreeMap<String, String>> {
    let mut command = tokio::process::Command::new(DPKG_QUERY);
    command.args(["--show", "--showformat=${db:Status-Status} ${Package} ${Version}\\n", "--"]);
    command.args(packages.iter().map(Package::name)).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await.ok()?.ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let versions = said.lines().filter_map(|line| {
        let (name, version) = line.strip_prefix("installed ")?.split_once(' ')?;
        Some((name.to_owned(), version.to_owned()))
    });
    Some(versions.collect())
}
