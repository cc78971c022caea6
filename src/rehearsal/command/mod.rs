//! A program of the plan: run with the node's address in its environment, its output kept, and nothing of it left behind.

mod output;
mod process;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Signal;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

use crate::engine::client_environment;
use crate::engine::endpoint::{self, Endpoint};
use crate::scenario::{self, Invocation};
use output::Kept;
use process::Running;

/// Variables of this program's environment that a program of the plan gets; all `LC_*` besides.
const ALLOWED: [&str; 7] = ["PATH", "HOME", "LANG", "TERM", "TMPDIR", "USER", "LOGNAME"];

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// How long the output is read on after the program ended: what it left running may hold it open.
const DRAIN: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("{variable}, the value of {name}, is not set")]
    NoVariable { name: String, variable: String },
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    #[error("there is no program {program}")]
    NoProgram { program: String },
    #[error("could not run {program}")]
    NotRun { program: String, source: io::Error },
    #[error("{} would send the program to another server than the rehearsal's", .0.display())]
    SentElsewhere(PathBuf),
    #[error("could not make what the program finds the server by")]
    NoEnvironment(#[source] io::Error),
    #[error("could not keep the program's output in {}", path.display())]
    NotKept { path: PathBuf, source: io::Error },
}

impl CommandError {
    /// Whether this machine is why, and not what the plan asks for.
    pub fn is_the_machines(&self) -> bool {
        match self {
            CommandError::NotKept { .. } | CommandError::SentElsewhere(_) | CommandError::NoEnvironment(_) => true,
            // No room for another process or file. What is no program, or may not be run, is the plan's own choice.
            CommandError::NotRun { source, .. } => {
                let scarce = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
                source.raw_os_error().is_some_and(|error| scarce.contains(&error))
            }
            CommandError::NoVariable { .. } | CommandError::NoFolder(_) | CommandError::NoProgram { .. } => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            CommandError::NoVariable { variable, .. } => Some(format!("export {variable}=…")),
            CommandError::NoProgram { program } => Some(format!("install {program}, or give its whole path")),
            CommandError::NoFolder(_) => Some("dir is relative to the scenario file".to_owned()),
            CommandError::NotKept { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space, or use --out for a folder on another disk".to_owned())
            }
            CommandError::SentElsewhere(_) => Some("give the step another home: env = { HOME = \"…\" }".to_owned()),
            CommandError::NotRun { .. } | CommandError::NotKept { .. } | CommandError::NoEnvironment(_) => None,
        }
    }
}

/// What is run, against which node.
pub struct CommandRequest<'a> {
    pub command: &'a scenario::Command,
    /// The node, as the step's role.
    pub endpoint: &'a Endpoint,
    /// Of all nodes, which `${node.….url}` in the command holds.
    pub passwords: &'a [String],
    /// Where files for the program's clients are made: a folder that goes with the lab, though this program be killed.
    pub scratch: &'a Path,
    /// A new file in the run's folder for standard output and standard error, as they come.
    pub output: &'a Path,
    pub cancel: &'a CancellationToken,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    /// By a signal that was not ours.
    Killed(i32),
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEnded {
    pub end: End,
    pub elapsed: Duration,
    /// Its last lines, without secrets.
    pub tail: Vec<String>,
}

/// Runs the program to its end. A cancellation ends its whole process group, by SIGTERM and then SIGKILL; so does dropping the future, at
/// once. One that was cancelled beforehand is not started.
///
/// # Errors
/// Where it could not be started, or its output not be kept. How it ended is no error of this function.
pub async fn run(request: &CommandRequest<'_>) -> Result<CommandEnded, CommandError> {
    let of_step = of_step(request)?;
    // Private, for a password may be in it.
    let folder = tempfile::Builder::new().prefix("clients-").tempdir_in(request.scratch);
    let folder = folder.map_err(CommandError::NoEnvironment)?;
    let environment = environment(request, &of_step, folder.path())?;
    let mut command = command(request.command)?;
    let program = command.get_program().to_string_lossy().into_owned();
    let not_run = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => CommandError::NoProgram { program: program.clone() },
        _ => CommandError::NotRun { program: program.clone(), source },
    };
    let (reader, writer) = io::pipe().map_err(not_run)?;
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdout(writer.try_clone().map_err(not_run)?).stderr(writer);
    let kept = Kept::create(request.output, secrets(request, &of_step));
    let mut kept = kept.await.map_err(|source| not_kept(request, source))?;
    let from = pipe::Receiver::from_owned_fd(reader.into()).map_err(not_run)?;

    let started = Instant::now();
    if request.cancel.is_cancelled() {
        return Ok(CommandEnded { end: End::Cancelled, elapsed: Duration::ZERO, tail: Vec::new() });
    }
    let running = process::start(command).await.map_err(not_run)?;
    let (end, elapsed, read) = follow(request, running, from, &mut kept, started).await.map_err(not_run)?;
    read.map_err(|source| not_kept(request, source))?;
    let tail = kept.finish().await.map_err(|source| not_kept(request, source))?;
    Ok(CommandEnded { end, elapsed, tail })
}

fn not_kept(request: &CommandRequest<'_>, source: io::Error) -> CommandError {
    CommandError::NotKept { path: request.output.to_owned(), source }
}

/// Reads what it says until it has ended, by itself or by us.
async fn follow(
    request: &CommandRequest<'_>,
    mut running: Running,
    mut from: pipe::Receiver,
    kept: &mut Kept,
    started: Instant,
) -> io::Result<(End, Duration, io::Result<()>)> {
    let reading = kept.read(&mut from);
    tokio::pin!(reading);
    let mut read = None;
    let mut ending = None;
    loop {
        let stopped = tokio::select! {
            () = running.exited() => break,
            result = &mut reading, if read.is_none() => {
                // A full disk must not leave the program running.
                let failed = result.is_err();
                read = Some(result);
                if !failed {
                    continue;
                }
                End::Cancelled
            }
            () = request.cancel.cancelled() => End::Cancelled,
        };
        ending = Some(stopped);
        running.signal(Signal::TERM);
        if tokio::time::timeout(GRACE, running.exited()).await.is_err() {
            running.signal(Signal::KILL);
        }
        running.exited().await;
        break;
    }
    let elapsed = started.elapsed();
    if read.is_none() {
        read = tokio::time::timeout(DRAIN, &mut reading).await.ok();
    }
    // Whatever it left in its group ends with it; then the pipe has no writer but one that left the group.
    running.signal(Signal::KILL);
    if read.is_none() {
        read = tokio::time::timeout(DRAIN, &mut reading).await.ok();
    }
    let status = running.reap().await?;
    Ok((ending.unwrap_or(status), elapsed, read.unwrap_or(Ok(()))))
}

fn command(command: &scenario::Command) -> Result<Command, CommandError> {
    if !command.dir.is_dir() {
        return Err(CommandError::NoFolder(command.dir.clone()));
    }
    let mut built = match &command.run {
        Invocation::Shell(line) => {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", line]);
            shell
        }
        Invocation::Argv(words) => {
            let (program, args) = words.split_first().expect("a scenario's argv has at least one word");
            let mut built = Command::new(program);
            built.args(args);
            built
        }
    };
    built.current_dir(&command.dir);
    Ok(built)
}

/// The whole environment: an allow-list, the node, and what the step names.
fn environment(
    request: &CommandRequest<'_>,
    of_step: &[(String, String)],
    folder: &Path,
) -> Result<Vec<(String, String)>, CommandError> {
    // What is not text is nobody's to pass on: none of these may be anything else.
    let inherited = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| ALLOWED.contains(&name.as_str()) || name.starts_with("LC_"));
    let node = client_environment::environment(request.endpoint, folder).map_err(CommandError::NoEnvironment)?;
    let node = node.into_iter().map(|(name, value)| (name.to_owned(), value));
    let environment: Vec<(String, String)> = inherited.chain(node).chain(of_step.iter().cloned()).collect();
    let home = environment.iter().rev().find(|(name, _)| name == "HOME");
    match home.and_then(|(_, home)| client_environment::goes_before(request.endpoint.engine, Path::new(home))) {
        Some(file) => Err(CommandError::SentElsewhere(file)),
        None => Ok(environment),
    }
}

/// What the step names, with values of this program's environment.
fn of_step(request: &CommandRequest<'_>) -> Result<Vec<(String, String)>, CommandError> {
    let named = request.command.env.iter().map(|(name, value)| {
        let value = match value.strip_prefix("env:") {
            None => value.clone(),
            Some(variable) => std::env::var(variable)
                .map_err(|_| CommandError::NoVariable { name: name.clone(), variable: variable.to_owned() })?,
        };
        Ok((name.clone(), value))
    });
    named.collect()
}

/// What of a program's environment is nobody's to read; nothing where it could not be run.
pub fn secrets_of(request: &CommandRequest<'_>) -> Vec<String> {
    of_step(request).map(|of_step| secrets(request, &of_step)).unwrap_or_default()
}

/// What must not be read in its output: the nodes' passwords as they are and as they stand in a URL, and what came from this program's
/// environment.
fn secrets(request: &CommandRequest<'_>, of_step: &[(String, String)]) -> Vec<String> {
    let of_nodes = request.passwords.iter().chain([&request.endpoint.password]);
    let passwords = of_nodes.flat_map(|password| endpoint::forms_of(password));
    let named =
        of_step.iter().filter(|(name, _)| request.command.env.get(name).is_some_and(|value| value.starts_with("env:")));
    // Output comes line by line, and so must what is looked for in it.
    let lines =
        named.flat_map(|(_, value)| value.lines().map(str::trim_end).chain([value.as_str()]).map(str::to_owned));
    // Very short values are no secrets, and blotting them would eat the output.
    let mut secrets: Vec<String> = lines.chain(passwords).collect();
    secrets.retain(|secret| secret.len() >= 4);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    secrets
}
