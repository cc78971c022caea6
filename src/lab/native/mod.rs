//! Plain processes of this machine as a lab.

mod find;
pub(super) mod overlay;
mod packages;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::baseline::Cloned;
use super::copy::Links;
use super::lease::{self, Lease};
use super::process::{self, Account, Group, Identity};
use super::{Copied, CopyKind, LabError, LabHost, Place, blocking, copy, feed};
use crate::engine::host::{Exec, ExecOutput, Host, HostError, Listen, StopMode};
use crate::engine::software::{BESIDE, Software, StopSignal};

pub use find::Installed;
pub(super) use find::{find, identity, installed};
pub(super) use packages::outfit;

/// Most of a program's standard error that is kept.
const STDERR_BYTES_MAX: usize = 64 * 1024;
/// Of a log, the end in which last lines are looked for.
const TAIL_BYTES: u64 = 64 * 1024;

/// A folder and a port of this machine, and the server that runs there.
pub(super) struct NativeHost {
    software: Software,
    programs: PathBuf,
    account: Option<Account>,
    folder: PathBuf,
    sockets: PathBuf,
    /// Where [`super::reap`] finds which process to end.
    pid_file: PathBuf,
    port: Mutex<u16>,
    cloned: Option<Cloned>,
    outlives: AtomicBool,
    server: tokio::sync::Mutex<Option<Server>>,
}

struct Server {
    child: Child,
    exit: Option<String>,
}

impl NativeHost {
    /// Makes the host's folders; with a copied folder, that becomes its `data`, and with a baseline's, a clone of it does. `stop` ends the
    /// cloning.
    pub async fn create(
        lease: &Lease,
        name: &str,
        software: &Software,
        from: Option<Place>,
        stop: &CancellationToken,
    ) -> Result<NativeHost, LabError> {
        let programs = find(software).await?;
        packages::outfit(name, software).await?;
        let account = Account::for_servers(software.user)?;
        let lab = lease.folder().to_owned();
        let folder = lab.join(name);
        let sockets = {
            let lab = lab.clone();
            blocking(move || sockets_in(&lab, account).map_err(|source| io_in(&lab, source))).await?
        };
        let mut host = NativeHost {
            software: software.clone(),
            programs,
            account,
            sockets,
            pid_file: lab.join(format!("{name}.{}", super::reap::PID)),
            port: Mutex::new(free_port().map_err(|source| LabError::io("find a free port", source))?),
            cloned: None,
            outlives: AtomicBool::new(false),
            server: tokio::sync::Mutex::new(None),
            folder,
        };
        let (folder, stop) = (host.folder.clone(), stop.clone());
        host.cloned = blocking(move || {
            private_folder(&folder, account).map_err(|source| io_in(&folder, source))?;
            let data = folder.join("data");
            match from {
                Some(Place::Folder(copied)) => fs::rename(&copied, &data).map_err(|source| io_in(&data, source))?,
                Some(Place::Stored(stored, bytes)) => return clone_of(&stored, bytes, &data, &stop).map(Some),
                _ => {}
            }
            Ok(None)
        })
        .await?;
        Ok(host)
    }

    fn command(&self, exec: &Exec) -> Command {
        let mut command = process::bare_command(Path::new(&exec.program), &self.folder);
        command.args(&exec.args).envs(exec.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn stderr_log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        self.account.map_or(Ok(()), |account| copy::give(path, account.uid, account.gid))
    }

    fn current_port(&self) -> u16 {
        *self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(what: String, source: io::Error) -> HostError {
        if source.kind() == io::ErrorKind::StorageFull {
            return HostError::DiskFull { at: what };
        }
        HostError::Failed { what, source: Some(Box::new(source)) }
    }
}

#[async_trait]
impl Host for NativeHost {
    async fn program(&self, name: &str) -> Result<String, HostError> {
        let beside = BESIDE.iter().map(|folder| self.programs.join(folder));
        let mut places = std::iter::once(self.programs.clone()).chain(beside).map(|folder| folder.join(name));
        if let Some(path) = places.find(|path| path.is_file()) {
            return Ok(path.to_string_lossy().into_owned());
        }
        Err(HostError::NoProgram {
            program: name.to_owned(),
            engine: self.software.engine.name().to_owned(),
            version: self.software.version.clone(),
            hint: format!("{}, or use --lab docker", self.software.install),
        })
    }

    async fn exec_reading(
        &self,
        exec: &Exec,
        stdin: &mut (dyn AsyncRead + Send + Unpin),
        deadline: Duration,
    ) -> Result<ExecOutput, HostError> {
        let could_not =
            |source: io::Error| HostError::CouldNotRun { program: exec.program.clone(), source: source.into() };
        let mut command = self.command(exec);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = process::spawn(command, self.account, Some(Signal::KILL)).map_err(could_not)?;
        let group = Group::of(&child);
        let (input, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut said = Vec::new();
        let ended = tokio::time::timeout(deadline, async {
            let mut written = Vec::new();
            let write_stdin = async {
                match input {
                    Some(mut input) => feed(stdin, &mut input).await,
                    None => Ok(()),
                }
            };
            let read_stdout = async {
                match stdout {
                    Some(mut stdout) => stdout.read_to_end(&mut written).await.map(|_| ()),
                    None => Ok(()),
                }
            };
            tokio::try_join!(write_stdin, read_stdout, read_end(stderr, &mut said))?;
            Ok::<_, io::Error>((child.wait().await?, written))
        })
        .await;
        match ended {
            Ok(result) => {
                let (status, stdout) = result.map_err(could_not)?;
                group.disarm();
                let stderr = String::from_utf8_lossy(&said).into_owned();
                Ok(ExecOutput { status: exit_code(status), stdout, stderr })
            }
            Err(_) => Err(HostError::Deadline {
                what: exec.program.clone(),
                deadline,
                last: String::from_utf8_lossy(&said).lines().last().unwrap_or("nothing").to_owned(),
            }),
        }
    }

    async fn start_server(&self, exec: &Exec) -> Result<(), HostError> {
        let mut server = self.server.lock().await;
        let could_not =
            |source: io::Error| HostError::CouldNotRun { program: exec.program.clone(), source: source.into() };
        let log = OpenOptions::new().create(true).append(true).open(self.stderr_log()).map_err(could_not)?;
        let mut command = self.command(exec);
        command.stdout(log.try_clone().map_err(could_not)?).stderr(log);
        let death = (!self.outlives.load(Ordering::Relaxed)).then_some(signal(self.software.signals.death));
        let child = process::spawn(command, self.account, death).map_err(could_not)?;
        let identity = child.id().and_then(Identity::of);
        *server = Some(Server { child, exit: None });
        if let Some(identity) = identity {
            let text = serde_json::to_vec(&identity).map_err(|error| could_not(error.into()))?;
            fs::write(&self.pid_file, text).map_err(could_not)?;
        }
        Ok(())
    }

    async fn stop_server(&self, mode: StopMode, deadline: Duration) -> Result<(), HostError> {
        let mut server = self.server.lock().await;
        let Some(server) = server.as_mut() else { return Ok(()) };
        if server.ended().is_some() {
            return Ok(());
        }
        let signal = signal(self.software.signals.of(mode));
        let failed = |source| NativeHost::failed("could not stop the server".to_owned(), source);
        server.signal(signal).map_err(failed)?;
        match tokio::time::timeout(deadline, server.child.wait()).await {
            Ok(status) => {
                server.exit = Some(process::describe(status.map_err(failed)?));
                Ok(())
            }
            Err(_) => {
                server.child.kill().await.map_err(failed)?;
                server.exit = Some(process::describe_signal(9));
                let last = self.log_tail(1).await.pop().unwrap_or_else(|| "nothing".to_owned());
                Err(HostError::Deadline { what: "the server".to_owned(), deadline, last })
            }
        }
    }

    async fn server_exit(&self) -> Option<String> {
        self.server.lock().await.as_mut().and_then(Server::ended)
    }

    async fn put(&self, local: &Path, path: &str) -> Result<(), HostError> {
        let (local, target) = (local.to_owned(), PathBuf::from(path));
        let copied = tokio::task::spawn_blocking(move || copy::plain(&local, &target)).await;
        copied
            .map_err(io::Error::other)
            .and_then(|copied| copied)
            .and_then(|()| self.give(Path::new(path)))
            .map_err(|source| NativeHost::failed(format!("could not copy to {path}"), source))
    }

    async fn write(&self, path: &str, content: &[u8]) -> Result<(), HostError> {
        let written = async {
            let file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            drop(file);
            tokio::fs::write(path, content).await?;
            self.give(Path::new(path))
        };
        written.await.map_err(|source| NativeHost::failed(format!("could not write {path}"), source))
    }

    async fn read_from(&self, path: &str, offset: u64) -> Result<Vec<u8>, HostError> {
        let file = path.to_owned();
        let read = tokio::task::spawn_blocking(move || read_from(Path::new(&file), offset)).await;
        read.map_err(io::Error::other)
            .and_then(|read| read)
            .map_err(|source| NativeHost::failed(format!("could not read {path}"), source))
    }

    async fn size(&self, path: &str) -> Result<u64, HostError> {
        let found = fs::metadata(path);
        found.map(|found| found.len()).map_err(|source| NativeHost::failed(format!("could not read {path}"), source))
    }

    async fn log_tail(&self, lines: usize) -> Vec<String> {
        let path = self.stderr_log();
        let start = fs::metadata(&path).map_or(0, |found| found.len().saturating_sub(TAIL_BYTES));
        let text = read_from(&path, start).unwrap_or_default();
        last_lines(&text, lines)
    }

    fn folder(&self) -> String {
        self.folder.to_string_lossy().into_owned()
    }

    fn listen(&self) -> Listen {
        Listen {
            address: "127.0.0.1".to_owned(),
            port: self.current_port(),
            socket_dir: self.sockets.to_string_lossy().into_owned(),
        }
    }

    fn move_port(&self) -> bool {
        let mut port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        match (TcpListener::bind(("127.0.0.1", *port)), free_port()) {
            (Err(error), Ok(free)) if error.kind() == io::ErrorKind::AddrInUse => {
                *port = free;
                true
            }
            _ => false,
        }
    }

    async fn address(&self) -> Result<(String, u16), HostError> {
        Ok(("127.0.0.1".to_owned(), self.current_port()))
    }

    async fn peer_address(&self) -> Result<(String, u16), HostError> {
        self.address().await
    }

    async fn free_bytes(&self) -> Result<u64, HostError> {
        let found = rustix::fs::statvfs(&self.folder)
            .map_err(|error| NativeHost::failed("could not ask for free space".to_owned(), error.into()))?;
        Ok(found.f_bavail * found.f_frsize)
    }
}

#[async_trait]
impl LabHost for NativeHost {
    async fn fetch(&self, path: &str, local: &Path) -> Result<(), HostError> {
        let copied = tokio::fs::copy(path, local).await;
        copied.map(|_| ()).map_err(|source| NativeHost::failed(format!("could not fetch {path}"), source))
    }

    async fn outlive(&self) -> Result<bool, HostError> {
        // The death signal was asked for when the server was started, and only the server itself could take it back.
        Ok(!self.outlives.swap(true, Ordering::Relaxed))
    }

    async fn copy(&self, folder: &str, stop: &CancellationToken) -> Result<Copied, LabError> {
        let from = PathBuf::from(folder);
        let to = PathBuf::from(format!("{}.before", self.folder.display()));
        let stop = stop.clone();
        blocking(move || copy::tree(&from, &to, Links::Absolute, &stop)).await
    }

    async fn store(&self, folder: &str, to: &Path, stop: &CancellationToken) -> Result<Copied, LabError> {
        let (from, to, stop) = (PathBuf::from(folder), to.to_owned(), stop.clone());
        blocking(move || copy::tree(&from, &to, Links::Relative, &stop)).await
    }

    fn cloned(&self) -> Option<Cloned> {
        self.cloned
    }

    async fn destroy(&self) -> Result<(), LabError> {
        self.stop_server(StopMode::Immediate, Duration::from_secs(10)).await.or_else(|error| match error {
            // It was killed then, which is all that is wanted here.
            HostError::Deadline { .. } => Ok(()),
            error => Err(error),
        })?;
        let folders = [self.folder.clone(), self.sockets.clone()];
        blocking(move || folders.iter().try_for_each(|folder| lease::remove_folder(folder))).await
    }
}

impl Drop for NativeHost {
    fn drop(&mut self) {
        if self.outlives.load(Ordering::Relaxed) {
            return;
        }
        if let Some(server) = self.server.get_mut()
            && server.ended().is_none()
        {
            tracing::warn!(folder = %self.folder.display(), "a server was left to its last resort");
            let _ = server.signal(signal(self.software.signals.death));
        }
    }
}

impl Server {
    fn ended(&mut self) -> Option<String> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().ok().flatten().map(process::describe);
        }
        self.exit.clone()
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        // Without an id it was waited for already.
        let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) else {
            return Ok(());
        };
        Ok(rustix::process::kill_process(pid, signal)?)
    }
}

/// In the way that costs least: blocks shared; else files, where there are many bytes, for a file of an overlay is copied as a whole when it
/// is first written; else copied.
fn clone_of(stored: &Path, bytes: u64, data: &Path, stop: &CancellationToken) -> Result<Cloned, LabError> {
    let shares_blocks = copy::can_reflink(stored, data).map_err(|source| io_in(data, source))?;
    // Links to what lies beside it would lead elsewhere.
    if !shares_blocks && bytes >= super::baseline::OVERLAY_BYTES_MIN && !copy::beside(stored).exists() {
        match overlay::mount(stored, data) {
            Ok(()) => return Ok(Cloned { kind: CopyKind::Overlay, bytes }),
            Err(error) => tracing::debug!(%error, "no overlay; files are copied"),
        }
    }
    let Copied { kind, bytes, .. } = copy::tree(stored, data, Links::Absolute, stop)?;
    Ok(Cloned { kind, bytes })
}

fn signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Term => Signal::TERM,
        StopSignal::Kill => Signal::KILL,
    }
}

/// The last `lines` lines of a text.
pub(super) fn last_lines(text: &[u8], lines: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Reads to the end, keeping the last [`STDERR_BYTES_MAX`].
async fn read_end(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        keep_end(kept, &buffer[..count]);
    }
}

/// Appends, dropping from the front what is more than a program's standard error may be.
pub(super) fn keep_end(kept: &mut Vec<u8>, more: &[u8]) {
    kept.extend_from_slice(more);
    if kept.len() > STDERR_BYTES_MAX {
        kept.drain(..kept.len() - STDERR_BYTES_MAX);
    }
}

fn read_from(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn private_folder(path: &Path, account: Option<Account>) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    account.map_or(Ok(()), |account| chown(path, Some(account.uid), Some(account.gid)))
}

/// A new folder for sockets. It has a number for a name, since a node's name may be long and a socket's path may not, and no node is
/// called like that.
fn sockets_in(lab: &Path, account: Option<Account>) -> io::Result<PathBuf> {
    let mut number = 0;
    loop {
        let path = lab.join(format!("_{number}"));
        match private_folder(&path, account) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|()| path),
        }
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn io_in(path: &Path, source: io::Error) -> LabError {
    LabError::io(format!("make {}", path.display()), source)
}
