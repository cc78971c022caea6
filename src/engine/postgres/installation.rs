//! What a server's installation on this machine brings, as its files tell without a server.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::scenario::Extension;

const DEADLINE: Duration = Duration::from_secs(10);

/// Of these extensions, those that the installation with its programs in this folder does not have, or not in that version (manual:
/// *Extension Files*).
///
/// # Errors
/// There is no `pg_config` in the folder, or it does not say where extensions lie.
pub async fn lacking(programs: &Path, wanted: &[Extension]) -> io::Result<Vec<Extension>> {
    let share = shared(programs).await?;
    let mut lacking: Vec<Extension> = Vec::new();
    for extension in wanted {
        if !is_there(&share, extension) && !lacking.contains(extension) {
            lacking.push(extension.clone());
        }
    }
    Ok(lacking)
}

/// The control files of all extensions of an installation, which say their versions: file's name to content.
///
/// # Errors
/// As [`lacking`].
pub async fn controls(programs: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut controls = BTreeMap::new();
    for entry in std::fs::read_dir(shared(programs).await?.join("extension"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "control") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            controls.insert(name, std::fs::read_to_string(&path)?);
        }
    }
    Ok(controls)
}

async fn shared(programs: &Path) -> io::Result<PathBuf> {
    let mut command = tokio::process::Command::new(programs.join("pg_config"));
    command.arg("--sharedir").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await.map_err(io::Error::from)??;
    if !output.status.success() {
        return Err(io::Error::other("pg_config --sharedir failed"));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn is_there(share: &Path, extension: &Extension) -> bool {
    let control = share.join("extension").join(format!("{}.control", extension.name));
    let Ok(control) = std::fs::read_to_string(control) else { return false };
    let Some(version) = &extension.version else { return true };
    let scripts = std::fs::read_dir(share.join(folder_of_scripts(&control)));
    let names = scripts.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let end = format!("--{version}.sql");
    // `NAME--1.0.sql` makes it, `NAME--1.0--1.1.sql` brings it there.
    names.into_iter().any(|name| {
        name.strip_prefix(&extension.name).is_some_and(|rest| rest.starts_with("--") && rest.ends_with(&end))
    })
}

/// Where the control file says that the scripts are, below the shared folder unless absolute.
fn folder_of_scripts(control: &str) -> PathBuf {
    let directory = control.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "directory").then(|| value.trim().trim_matches('\'').to_owned())
    });
    PathBuf::from(directory.unwrap_or_else(|| "extension".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_there_with_its_script() {
        let share = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = share.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it lies in one")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        write("extension/unit.control", "default_version = '7'\n");
        write("extension/unit--6.sql", "");
        write("extension/unit--6--7.sql", "");
        write("extension/unit_more--9.sql", "");
        write("extension/far.control", "comment = 'a = b'\ndirectory = 'contrib'\n");
        write("contrib/far--1.0.sql", "");
        let check = |name: &str, version: Option<&str>, expected| {
            let extension = Extension { name: name.into(), version: version.map(Into::into) };
            assert_eq!(is_there(share.path(), &extension), expected, "{extension:?}");
        };
        check("unit", None, true);
        check("unit", Some("6"), true);
        check("unit", Some("7"), true);
        check("unit", Some("8"), false);
        check("unit", Some("9"), false);
        check("unit_more", None, false);
        check("far", Some("1.0"), true);
        check("nope", None, false);
    }
}
