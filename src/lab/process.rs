//! Child processes that die with this one, run as another user, and are told apart from later processes of the same number.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use crate::engine::child;

/// The account that servers run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    /// The account for servers when this process is root's: `wanted`, else nobody. None when it is not: then it is our own.
    pub fn for_servers(wanted: &'static str) -> Result<Option<Account>, super::LabError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        [wanted, "nobody"]
            .into_iter()
            .find_map(|name| nix::unistd::User::from_name(name).ok().flatten())
            .map(|user| Some(Account { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
            .ok_or(super::LabError::NoAccount { wanted })
    }
}

/// Spawns in a process group of its own. The kernel sends `death` when this process ends, however it ends.
///
/// # Errors
/// The operating system's.
pub(super) fn spawn(mut command: Command, account: Option<Account>, death: Option<Signal>) -> io::Result<Child> {
    command.process_group(0);
    if let Some(account) = account {
        // Standard library and all: with a user given, root's supplementary groups are dropped as well.
        command.uid(account.uid).gid(account.gid);
    }
    child::prepare(command.as_std_mut(), death);
    on_lasting_thread(command)
}

/// "exit status: 1", "signal: 9 (SIGKILL)".
pub(super) fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => describe_signal(signal),
        None => status.to_string(),
    }
}

pub(super) fn describe_signal(signal: i32) -> String {
    match nix_name(signal) {
        Some(name) => format!("signal: {signal} ({name})"),
        None => format!("signal: {signal}"),
    }
}

fn nix_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// The namespace of this process's ids; empty where the system knows only one.
pub(super) fn namespace() -> String {
    std::fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A process, such that a later one of the same number is not taken for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pid: i32,
    namespace: String,
    /// When it was started, in the system's own terms.
    started: String,
}

impl Identity {
    /// Of a running process of this namespace.
    pub fn of(pid: u32) -> Option<Identity> {
        let pid = i32::try_from(pid).ok()?;
        Some(Identity { pid, namespace: namespace(), started: started(pid)? })
    }

    /// Whether that very process is still there and can be seen from here.
    pub fn alive(&self) -> bool {
        self.namespace == namespace() && started(self.pid).as_deref() == Some(&self.started)
    }

    /// For people: "pid 123".
    pub fn describe(&self) -> String {
        format!("pid {}", self.pid)
    }

    /// Asks it to quit, then kills it; true once it is gone.
    pub fn end(&self, patience: Duration) -> bool {
        for signal in [Signal::QUIT, Signal::KILL] {
            let began = Instant::now();
            while self.alive() {
                if began.elapsed() > patience {
                    break;
                }
                if let Some(pid) = Pid::from_raw(self.pid) {
                    let _ = rustix::process::kill_process(pid, signal);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        !self.alive()
    }
}

/// Kills a child's whole process group when dropped before [`Group::disarm`].
pub(super) struct Group(Option<Pid>);

impl Group {
    pub fn of(child: &Child) -> Group {
        Group(child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw))
    }

    pub fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

/// A command with nothing of our environment but a path.
pub(super) fn bare_command(program: &Path, folder: &Path) -> Command {
    let mut path = PathBuf::from(program.parent().unwrap_or(Path::new("/"))).into_os_string();
    path.push(":/usr/local/bin:/usr/bin:/bin");
    let mut command = Command::new(program);
    command.env_clear().env("PATH", path).env("LANG", "C.UTF-8").current_dir(folder).stdin(Stdio::null());
    command
}

/// The death signal follows the *thread* that spawned, so one that lives as long as the process does all the spawning.
fn on_lasting_thread(command: Command) -> io::Result<Child> {
    type Job = (tokio::runtime::Handle, Command, mpsc::SyncSender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, to_do) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (runtime, mut command, reply) in to_do {
                let _guard = runtime.enter();
                // Whoever asked is waiting right there.
                let _ = reply.send(command.spawn());
            }
        });
        jobs
    });
    let (reply, answer) = mpsc::sync_channel(1);
    let gone = || io::Error::other("the thread that starts processes is gone");
    spawner.send((tokio::runtime::Handle::current(), command, reply)).map_err(|_| gone())?;
    // Not awaited: a future dropped here would leave a child that nobody knows.
    answer.recv().map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
fn started(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces and parentheses; state is the first field behind it, start time the twentieth.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    (state != "Z").then(|| fields.nth(18).map(str::to_owned))?
}

#[cfg(not(target_os = "linux"))]
fn started(pid: i32) -> Option<String> {
    let output = std::process::Command::new("ps").args(["-o", "lstart=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
