//! Programs that this one starts: each begins with the usual signals and, unless it is to be kept, ends with this program, however that
//! ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigHandler, Signal as Ignorable, signal};
use rustix::process::Signal;

/// What a shell lets programs ignore that it starts in the background, and they hand on to theirs.
const OFTEN_IGNORED: [Ignorable; 2] = [Ignorable::SIGINT, Ignorable::SIGQUIT];

/// To be called once for a command, whose child then takes SIGINT and SIGQUIT as programs usually do, and is sent `death` when this
/// program ends. On Linux that signal follows the *thread* that spawns, which must live as long as the child may.
#[expect(
    unsafe_code,
    reason = "what a child is to begin with can only be asked for in the child, between fork and exec"
)]
pub fn prepare(command: &mut Command, death: Option<Signal>) {
    let parent = rustix::process::getpid();
    // SAFETY: a few system calls, no allocation and no lock. They run after a change of user, which would clear the death signal again.
    unsafe {
        command.pre_exec(move || {
            for each in OFTEN_IGNORED {
                signal(each, SigHandler::SigDfl)?;
            }
            match death {
                Some(death) => end_with(parent, death),
                None => Ok(()),
            }
        });
    }
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn end_with(parent: rustix::process::Pid, death: Signal) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(death))?;
    // It may have died before the kernel was asked.
    if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
}

/// Elsewhere the kernel knows no such signal; the next run reaps.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn end_with(_parent: rustix::process::Pid, _death: Signal) -> io::Result<()> {
    Ok(())
}
