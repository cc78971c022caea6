//! The `rehearsal` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    rehearsal::cli::run()
}
