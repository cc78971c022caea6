//! `cargo xtask test`: what the tests need, then all of them. The runner has the last word.

use std::process::ExitCode;

use anyhow::Context;

use crate::cargo::{cargo, exit_code};
use crate::terminal::{ci, say};
use crate::{docker, images, setup};

#[derive(clap::Args)]
pub struct Args {
    /// Handed on to `cargo test`; all tests of the workspace where nothing is given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// # Errors
/// Something the tests need is missing and cannot be had.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    setup::provide(&[&setup::POSTGRES, &setup::MARIADB, &setup::MYDUMPER, &setup::GIT, &setup::CHROMIUM])?;
    // Images come from elsewhere for the most part, and tests from this machine's processors.
    let images = std::thread::spawn(provide_images);
    let built = test(args, &["--no-run"]);
    images.join().expect("building images does not panic")?;
    let built = built?;
    if built == ExitCode::SUCCESS { test(args, &[]) } else { Ok(built) }
}

fn test(args: &Args, options: &[&str]) -> anyhow::Result<ExitCode> {
    let mut command = cargo();
    command.arg("test").args(options).env("RUST_TEST_THREADS", threads());
    if args.rest.is_empty() {
        command.args(["--workspace", "--no-fail-fast"]);
    } else {
        command.args(&args.rest);
    }
    Ok(exit_code(command.status().context("could not run cargo")?))
}

/// One more than there are processors, unless somebody says otherwise: what is tested here waits for servers more than it computes.
fn threads() -> String {
    const NAME: &str = "RUST_TEST_THREADS";
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::env::var(NAME).unwrap_or_else(|_| (processors + 1).to_string())
}

/// A person may do without Docker; then the tests that need it are skipped.
fn provide_images() -> anyhow::Result<()> {
    if !docker::answers()? {
        say("no Docker Engine answers: tests that need one are skipped, and fail where CI=true");
        return Ok(());
    }
    match images::run(&images::Args::default()) {
        Err(error) if !ci() => say(&format!("images are missing, and tests that need them are skipped: {error:#}")),
        other => other?,
    }
    Ok(())
}
