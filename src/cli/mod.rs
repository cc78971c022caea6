//! The command line: flags, environment and terminal resolved once into settings; results on standard output, everything else on
//! standard error; exit codes.

mod args;
mod cache;
pub mod diff;
mod doctor;
mod show;
mod snapshot;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use tokio_util::sync::CancellationToken;

use self::args::{Cli, Subcommand, TextFormat};
use self::cache::CacheCommand;
use self::snapshot::SnapshotCommand;
use crate::commands;
use crate::report;
use crate::settings::TerminalSettings;

/// The program. Exit codes: 0 passed, 1 the release failed its rehearsal, 2 usage or scenario error, 3 inconclusive, 130 and 143 after
/// a signal.
pub fn run() -> ExitCode {
    let cli = match command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way as well, with code 0.
            let code = error.exit_code();
            return if error.print().is_ok() { exit(code) } else { exit(2) };
        }
    };
    start_tracing(cli.verbose);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit(show::error(&commands::Error::no_runtime(error), &cli.terminal())),
    };
    let code = runtime.block_on(dispatch(&cli));
    // Whatever blocks a thread still, such as a name lookup, must not keep the program from ending.
    runtime.shutdown_background();
    exit(code)
}

/// The command line as clap knows it: for `--help`, completions, man pages and the reference.
pub fn command() -> clap::Command {
    Cli::command()
}

async fn dispatch(cli: &Cli) -> i32 {
    let terminal = cli.terminal();
    let shown = match &cli.command {
        Subcommand::Run(args) => {
            let settings = args.settings(terminal);
            let displays = show::displays(&terminal, "rehearsing");
            commands::run::run(&settings, displays).await.map(|done| show::run(&done, &settings))
        }
        Subcommand::Check(args) => match commands::check::run(&args.scenario, args.lab.into()).await {
            // A person sees the lines of the file; a program is told all problems in one form.
            Err(commands::Error::Scenario(errors)) if args.format == TextFormat::Json => {
                Ok(show::check(&(&*errors).into(), args.format))
            }
            checked => checked.map(|checked| show::check(&checked, args.format)),
        },
        Subcommand::Up(args) => {
            let displays = show::displays(&terminal, "bringing up");
            commands::up::run(&args.settings(), displays).await.map(|up| show::up(&up, args.format))
        }
        Subcommand::Down(args) => {
            commands::down::run(args.lab.as_deref()).await.map(|removed| show::down(removed.as_deref()))
        }
        Subcommand::Report(args) => {
            commands::report::run(&args.run, args.write).map(|done| show::report(&done, args.format.into(), &terminal))
        }
        Subcommand::Diff(args) => {
            let (settings, cancel) = (args.settings(), CancellationToken::new());
            commands::interruptible(cancel.clone(), commands::diff::run(&settings, cancel))
                .await
                .map(|done| show::diff(&done, args.format))
        }
        Subcommand::Snapshot(args) => snapshot(&args.command, &terminal).await,
        Subcommand::Doctor(args) => Ok(show::doctor(&commands::doctor::run().await, args.format, &terminal)),
        Subcommand::Ls => commands::clean::list().map(|labs| show::labs(&labs)),
        Subcommand::Clean(args) => commands::clean::run(args.run.as_deref()).await.map(|reaped| show::reaped(&reaped)),
        Subcommand::Cache(args) => match &args.command {
            CacheCommand::Ls { format } => {
                commands::cache::list().await.map(|baselines| show::text(&cache::listed(&baselines, *format)))
            }
            CacheCommand::Prune { unused_for, to } => {
                let which = cache::which(*unused_for, *to);
                commands::cache::prune(which).await.map(|gone| show::text(&cache::pruned(&gone)))
            }
        },
        Subcommand::Explain(args) => commands::explain::run(&args.code).map(|codes| show::explain(&codes)),
    };
    shown.unwrap_or_else(|error| show::error(&error, &terminal))
}

async fn snapshot(command: &SnapshotCommand, terminal: &TerminalSettings) -> Result<i32, commands::Error> {
    let cancel = CancellationToken::new();
    match command {
        SnapshotCommand::Capture(args) => {
            let mut capturing = report::snapshot::Capturing::new(terminal);
            let mut progress = |progress: &_| capturing.tell(progress);
            let settings = args.settings();
            let capture = commands::snapshot::capture(&settings, &mut progress, cancel.clone());
            let captured = commands::interruptible(cancel, capture).await;
            drop(capturing);
            captured.map(|captured| show::captured(&captured, args.format))
        }
        SnapshotCommand::Inspect(args) => {
            commands::snapshot::inspect(&args.folder).map(|summary| show::inspected(&summary, args.format))
        }
        SnapshotCommand::Verify(args) => {
            let verify = commands::snapshot::verify(&args.folder, cancel.clone());
            let verified = commands::interruptible(cancel, verify).await;
            verified.map(|verified| show::verified(&verified, args.format))
        }
    }
}

/// These write what passwords and row values are in: whole requests, and at `info` what the server remarks.
const TALKATIVE: [&str; 2] = ["bollard=warn", "tokio_postgres=warn"];

/// `RUST_LOG` or `-v` say how much; to standard error.
fn start_tracing(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let default = match verbose {
        0 => "error",
        1 => "rehearsal=info",
        2 => "rehearsal=debug",
        _ => "debug",
    };
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    for quiet in TALKATIVE {
        filter = filter.add_directive(quiet.parse().expect("it is written as a directive is"));
    }
    let colour = args::takes_colour(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr).init();
}

fn exit(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(3))
}
