//! The project's own tasks, for people and for `.ci/run` alike.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

mod bench;
mod cargo;
mod ci;
mod demo;
mod docker;
mod figures;
mod images;
#[path = "../../tests/ugly/leftovers.rs"]
mod leftovers;
mod setup;
mod soak;
mod terminal;
mod test;
mod tidy;

/// The project's own tasks
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Rehearse a release that fails, and the same release mended
    Demo(demo::Args),
    /// Run all tests
    Test(test::Args),
    /// Check style, formatting, lints and generated files
    Ci,
    /// Check what no compiler checks: the direction of imports, and the house style
    Tidy,
    /// Write the generated files in docs/
    Gen(ci::GenArgs),
    /// Build the container images that tests use
    Images(images::Args),
    /// Measure what rehearsing costs, against the bare server
    Bench(bench::Args),
    /// Bring eight nodes up and down again, many times in a row: nothing may be left
    Soak(soak::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    match Task::parse() {
        Task::Demo(args) => demo::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Test(args) => test::run(&args),
        Task::Ci => ci::run(),
        Task::Tidy => tidy::run(),
        Task::Gen(args) => ci::generate(&args),
        Task::Images(args) => images::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Bench(args) => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Soak(args) => soak::run(&args),
    }
}

/// The project's folder: cargo says where at run time, which is right for a binary from a shared target folder too.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    own.parent().expect("xtask lies in the project's folder").to_path_buf()
}
