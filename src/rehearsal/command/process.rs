//! A child process in a guarded group, on a thread of its own: the group can be ended as one, and ends with this program, however that
//! ends.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::sync::oneshot;

use super::End;
use crate::engine::child;

/// Leads the group. Its input ends when this program does, and the group with it: the kernel's death signal would reach one process, and
/// not those that it started.
const GUARD: &str = "trap '' HUP INT QUIT TERM; read -r _; kill -KILL 0";

/// A process that runs, or has ended and was not reaped: until then its group's number is its own.
pub struct Running {
    group: Pid,
    child: Pid,
    exited: oneshot::Receiver<()>,
    has_exited: bool,
    /// Dropped to let the thread reap it.
    release: Option<mpsc::Sender<()>>,
    status: oneshot::Receiver<io::Result<ExitStatus>>,
}

/// Starts it with no standard input.
///
/// # Errors
/// The system's, when it cannot be started.
pub async fn start(mut command: Command) -> io::Result<Running> {
    command.stdin(Stdio::null());
    child::prepare(&mut command, Some(Signal::KILL));
    let (tell_started, started) = oneshot::channel();
    // The kernel's death signal follows the thread that spawned: this one lives until the child is reaped.
    std::thread::Builder::new().name("command".to_owned()).spawn(move || {
        let (mut guard, mut child) = match start_guarded(&mut command) {
            Ok(both) => both,
            Err(error) => return drop(tell_started.send(Err(error))),
        };
        // The command holds the writing end of the output.
        drop(command);
        let (tell_exited, exited) = oneshot::channel();
        let (tell_status, status) = oneshot::channel();
        let (release, released) = mpsc::channel::<()>();
        let (group, pid) = (Pid::from_child(&guard), Pid::from_child(&child));
        // If nobody waits for it any more, dropping it ends the group.
        drop(tell_started.send(Ok(Running {
            group,
            child: pid,
            exited,
            has_exited: false,
            release: Some(release),
            status,
        })));
        wait_without_reaping(&child);
        // Both are for whoever still waits.
        let _ = tell_exited.send(());
        let _ = released.recv();
        let status = child.wait();
        end(&mut guard);
        let _ = tell_status.send(status);
    })?;
    started.await.map_err(io::Error::other)?
}

/// The guard is there first.
fn start_guarded(command: &mut Command) -> io::Result<(Child, Child)> {
    let mut guard = Command::new("/bin/sh");
    guard.args(["-c", GUARD]).env_clear().current_dir("/").process_group(0);
    guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut guard = guard.spawn()?;
    command.process_group(Pid::from_child(&guard).as_raw_nonzero().get());
    match command.spawn() {
        Ok(child) => Ok((guard, child)),
        Err(error) => {
            end(&mut guard);
            Err(error)
        }
    }
}

/// Where it was ended with its group already, this reaps it.
fn end(guard: &mut Child) {
    let _ = guard.kill();
    let _ = guard.wait();
}

fn wait_without_reaping(child: &Child) {
    let id = WaitId::Pid(Pid::from_child(child));
    while let Err(rustix::io::Errno::INTR) =
        rustix::process::waitid(id.clone(), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    {}
}

impl Running {
    /// Returns once the process has ended. Safe to cancel, and to call again.
    pub async fn exited(&mut self) {
        if !self.has_exited {
            // The thread tells, or is gone, and with it the process.
            let _ = (&mut self.exited).await;
            self.has_exited = true;
        }
    }

    /// To the whole group; and to the group that the process has made itself, as `timeout` does, where it has.
    pub fn signal(&self, signal: Signal) {
        let own = rustix::process::getpgid(Some(self.child)).is_ok_and(|group| group == self.child);
        for group in [Some(self.group), own.then_some(self.child)].into_iter().flatten() {
            if let Err(error) = rustix::process::kill_process_group(group, signal) {
                tracing::debug!(%error, "no such group any more");
            }
        }
    }

    /// How it ended; to be called after [`Running::exited`].
    ///
    /// # Errors
    /// The system's.
    pub async fn reap(mut self) -> io::Result<End> {
        self.release = None;
        let status = (&mut self.status).await.map_err(io::Error::other)??;
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => End::Exited(code),
            (None, signal) => End::Killed(signal.unwrap_or_default()),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Not reaped: whoever waited for it was cancelled.
        if self.release.is_some() {
            self.signal(Signal::KILL);
        }
    }
}
