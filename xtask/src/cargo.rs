//! Cargo, called from within a task, and the binary it builds.

use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, ensure};

use crate::root;

/// The cargo that runs this task, in the project's folder.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds `rehearsal` and says where it lies.
///
/// # Errors
/// It does not compile.
pub fn build(release: bool) -> anyhow::Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--bin", "rehearsal"]);
    if release {
        command.arg("--release");
    }
    ensure!(command.status().context("could not run cargo")?.success(), "rehearsal does not build");
    // Beside this program, or in the release folder beside its folder: that holds for any target folder.
    let own = std::env::current_exe().context("could not find this program's own path")?;
    let folder = own.parent().context("this program lies in no folder")?;
    let folder = if release { folder.with_file_name("release") } else { folder.to_path_buf() };
    let binary = folder.join(format!("rehearsal{}", std::env::consts::EXE_SUFFIX));
    ensure!(binary.exists(), "cargo built no {}", binary.display());
    Ok(binary)
}

/// The status of a child as this program's own.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
