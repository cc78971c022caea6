//! `cargo xtask ci` and `gen`: every check that needs no database.

use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::cargo::{cargo, exit_code};
use crate::terminal::say;
use crate::tidy;

#[derive(clap::Args)]
pub struct GenArgs {
    /// Write nothing; fail if a file is out of date
    #[arg(long)]
    check: bool,
}

/// All checks, to the end, so that one run shows everything there is to mend.
///
/// # Errors
/// A check could not be run.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut failed = Vec::new();
    if tidy::run()? != ExitCode::SUCCESS {
        failed.push("tidy");
    }
    for (name, arguments) in [
        ("fmt", &["fmt", "--all", "--check"][..]),
        ("clippy", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
    ] {
        if !cargo().args(arguments).status().context("could not run cargo")?.success() {
            failed.push(name);
        }
    }
    if !generator(true).status().context("could not run cargo")?.success() {
        failed.push("gen --check");
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("failed: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// # Errors
/// The generator could not be run.
pub fn generate(args: &GenArgs) -> anyhow::Result<ExitCode> {
    Ok(exit_code(generator(args.check).status().context("could not run cargo")?))
}

/// A program of its own, so that no other task has to wait until the library is built.
fn generator(check: bool) -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--bin", "reference", "--"]);
    if check {
        command.arg("--check");
    }
    command
}
