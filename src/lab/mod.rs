//! Labs: the hosts on which servers run, as plain processes or in containers. Start, stop, copy, and clear away whatever happens.
//!
//! A [`Lab`] belongs to one run and holds a locked lease file. Whoever kills the run frees the lock with it, so the next run can tell
//! what is left over ([`reap`]) from what is alive.

pub mod baseline;
pub mod lease;
pub mod reap;

mod copy;
mod docker;
mod native;
mod process;
pub mod survey;

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::host::{Host, HostError};
use crate::engine::software::{self, Package, Software};
use crate::settings::LabChoice;

pub use lease::{Base, LabInfo, LabState};
pub use reap::{Reaped, reap, remove};
pub use survey::{Survey, survey};

/// Longest that clearing away waits for work in flight, and for each host.
const CLOSE_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabKind {
    Native,
    Docker,
}

impl LabKind {
    pub fn name(self) -> &'static str {
        match self {
            LabKind::Native => "native",
            LabKind::Docker => "docker",
        }
    }
}

impl From<LabKind> for LabChoice {
    fn from(kind: LabKind) -> LabChoice {
        match kind {
            LabKind::Native => LabChoice::Native,
            LabKind::Docker => LabChoice::Docker,
        }
    }
}

impl fmt::Display for LabKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why this machine or its lab could not. Never about the release: a run that ends so is inconclusive.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("no Docker Engine answers at {socket}")]
    NoDocker {
        socket: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("DOCKER_HOST is {host}, and only this machine's own engine, by its unix socket, can be a lab")]
    RemoteDocker { host: String },
    #[error("no image with {engine} {version}: {} not here, and {pull} could not be pulled: {why}", .tried.join(", "))]
    NoImage { engine: &'static str, version: String, tried: Vec<String>, pull: String, why: String, built: bool },
    #[error("image {image} has no {engine} {version}: {found}")]
    BadImage { image: String, engine: &'static str, version: String, found: String },
    #[error("no server of {engine} {version} on this machine; found {}", listed(.found))]
    NoServer { engine: &'static str, version: String, found: Vec<String>, install: String },
    #[error("node {node}: not installed: {}", .missing.join(", "))]
    NoPackages { node: String, missing: Vec<String>, install: String },
    #[error(transparent)]
    NotAdded(Box<NotAdded>),
    #[error("interrupted while an image was being built")]
    BuildStopped,
    #[error("{} cannot hold labs: {why}", .path.display())]
    BadBase { path: PathBuf, why: String },
    #[error("no account to run servers as: neither {wanted} nor nobody exists, and servers refuse root")]
    NoAccount { wanted: &'static str },
    #[error("{what} of a baseline is gone")]
    NotStored { what: String },
    #[error("the disk is full; could not {what}")]
    DiskFull { what: String },
    #[error("{what} took longer than {deadline:?}")]
    Deadline { what: String, deadline: Duration },
    #[error("could not {what}")]
    Docker {
        what: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("could not {what}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Host(#[from] HostError),
}

/// What could not be brought into an image. Nothing of the build is left.
#[derive(Debug, thiserror::Error)]
#[error("node {node}: {what} could not be added to {base}: {command}: {}", .said.last().map_or("it said nothing", |line| line))]
pub struct NotAdded {
    pub node: String,
    /// "extension unit", "package a", "packages a, b".
    pub what: String,
    pub base: String,
    /// What was tried in the image.
    pub command: String,
    /// Its last lines.
    pub said: Vec<String>,
    pub hint: String,
}

impl LabError {
    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        let other = match self {
            LabError::NoDocker { .. } | LabError::RemoteDocker { .. } | LabError::Docker { .. } => LabKind::Native,
            LabError::NoServer { .. } | LabError::NoPackages { .. } => LabKind::Docker,
            _ => return self.remedy(),
        };
        self.remedy().map(|remedy| format!("{remedy}, or use --lab {other}"))
    }

    /// As [`LabError::hint`], to get this lab and no other.
    pub fn remedy(&self) -> Option<String> {
        match self {
            LabError::NoDocker { .. } => Some("start Docker, or set DOCKER_HOST=unix://… to its socket".to_owned()),
            LabError::RemoteDocker { .. } => {
                Some("unset DOCKER_HOST, or set it to a socket of this machine (unix://…)".to_owned())
            }
            LabError::NoImage { pull, built, .. } => Some(software::image_hint(pull, *built)),
            LabError::NoServer { install, .. } | LabError::NoPackages { install, .. } => Some(install.clone()),
            LabError::NotAdded(refused) => Some(refused.hint.clone()),
            LabError::BadImage { image, .. } => {
                Some(format!("remove {image}, and pull or build one with all of the server's programs"))
            }
            LabError::Docker { .. } => {
                Some("see that Docker is well (`docker info`, and `docker run` of that image)".to_owned())
            }
            LabError::NoAccount { wanted } => Some(format!("make the account {wanted}, or be another user than root")),
            LabError::BadBase { .. } => {
                Some(format!("set {} to a folder of your own with a short path", lease::VARIABLE))
            }
            LabError::DiskFull { .. } | LabError::Host(HostError::DiskFull { .. }) => {
                Some(format!("free some space, or set {} to a folder on another disk", lease::VARIABLE))
            }
            LabError::Host(HostError::NoProgram { hint, .. }) => Some(hint.clone()),
            _ => None,
        }
    }

    /// The last lines of what failed, where they tell more.
    pub fn log(&self) -> &[String] {
        match self {
            LabError::NotAdded(refused) => &refused.said,
            _ => &[],
        }
    }

    /// A part of a baseline is not there.
    pub fn is_damage(&self) -> bool {
        let is_gone = |source: &io::Error| source.kind() == ErrorKind::NotFound;
        matches!(self, LabError::NotStored { .. }) || matches!(self, LabError::Io { source, .. } if is_gone(source))
    }

    /// The version that is not there; none where it is the lab itself that is not.
    pub fn version(&self) -> Option<&str> {
        match self {
            LabError::NoImage { version, .. }
            | LabError::BadImage { version, .. }
            | LabError::NoServer { version, .. } => Some(version),
            _ => None,
        }
    }

    fn io(what: impl Into<String>, source: std::io::Error) -> LabError {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return LabError::DiskFull { what: what.into() };
        }
        LabError::Io { what: what.into(), source }
    }
}

fn listed(found: &[String]) -> String {
    if found.is_empty() { "none".to_owned() } else { found.join(", ") }
}

/// A copy of a folder of a host whose server was stopped.
#[derive(Debug, Clone)]
pub struct Copied {
    pub kind: CopyKind,
    pub bytes: u64,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyKind {
    /// Blocks shared until written.
    Reflink,
    /// Files shared until written.
    Overlay,
    Files,
}

#[derive(Debug, Clone)]
enum Place {
    Folder(PathBuf),
    /// In a Docker Engine.
    Volume(String),
    /// A baseline's, of so many bytes, which is to be cloned.
    Stored(PathBuf, u64),
    /// As [`Place::Stored`], in a Docker Engine.
    StoredVolume(String, u64),
}

/// A host of a lab: what engine code sees of it, and what only its lab's owner may do.
#[async_trait]
pub trait LabHost: Host {
    /// Copies a file of the host to this machine.
    async fn fetch(&self, path: &str, local: &Path) -> Result<(), HostError>;

    /// From now on, neither the end of this process nor the drop of this value ends the server. Whether the server must be started
    /// again for that.
    async fn outlive(&self) -> Result<bool, HostError>;

    /// Copies a folder of the host, whose server must be stopped. `stop` is cancelled once nobody wants the copy any more.
    async fn copy(&self, folder: &str, stop: &CancellationToken) -> Result<Copied, LabError>;

    /// As [`LabHost::copy`], for a baseline: natively to a folder, or to a volume that outlives the lab.
    async fn store(&self, folder: &str, to: &Path, stop: &CancellationToken) -> Result<Copied, LabError>;

    /// How it was cloned from a baseline, if it was.
    fn cloned(&self) -> Option<baseline::Cloned>;

    /// Ends the server at once and removes everything. Again is no error.
    async fn destroy(&self) -> Result<(), LabError>;
}

/// What a lab has not of all that a run asks for, and why.
#[derive(Debug)]
pub struct Lacking {
    pub first: LabError,
    pub others: Vec<LabError>,
}

/// Which lab a run gets: what it asks for, or Docker where an engine answers and images of all its servers are here or can be pulled, else
/// plain processes.
///
/// # Errors
/// What the lab that was asked for lacks; for [`LabChoice::Auto`], where neither has all, what the native one does.
pub async fn choose(choice: LabChoice, software: &[Software]) -> Result<LabKind, Lacking> {
    match choice {
        LabChoice::Native => all_in(LabKind::Native, software).await,
        LabChoice::Docker => all_in(LabKind::Docker, software).await,
        LabChoice::Auto => match all_in(LabKind::Docker, software).await {
            Ok(kind) => Ok(kind),
            Err(Lacking { first, .. }) => {
                tracing::info!(error = %first, "no Docker lab; using plain processes");
                all_in(LabKind::Native, software).await
            }
        },
    }
}

async fn all_in(kind: LabKind, software: &[Software]) -> Result<LabKind, Lacking> {
    let mut errors = Vec::new();
    for software in software {
        let found = match kind {
            LabKind::Native => native::find(software).await.map(drop),
            LabKind::Docker => docker::image_for(software).await.map(drop),
        };
        if let Err(error) = found {
            // The next would meet the same.
            let is_the_labs = error.version().is_none();
            errors.push(error);
            if is_the_labs {
                break;
            }
        }
    }
    let mut errors = errors.into_iter();
    match errors.next() {
        None => Ok(kind),
        Some(first) => Err(Lacking { first, others: errors.collect() }),
    }
}

/// What a lab has of the packages and parts that a server is to have beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outfit {
    Whole,
    /// An image that has them is built when it is first wanted.
    ToBuild {
        /// The image that it is made from.
        base: String,
        /// The packages that are asked for, and those that most likely bring the other parts.
        packages: Vec<Package>,
    },
    /// There is no program that could tell.
    Unknown {
        program: &'static str,
    },
}

/// What a lab has of the packages and parts of a node's server. Installs and builds nothing.
///
/// # Errors
/// What a host for it would end with: packages that are missing natively, no image to start from.
pub async fn outfit(kind: LabKind, node: &str, software: &Software) -> Result<Outfit, LabError> {
    if software.packages.is_empty() && software.parts.is_empty() {
        return Ok(Outfit::Whole);
    }
    match kind {
        LabKind::Native => native::outfit(node, software).await,
        LabKind::Docker => {
            // An image is looked into through a container, which must belong to somebody.
            let lab = Lab::open(kind, "check", &Base::open()?).await?;
            let (lease, software) = (Arc::clone(&lab.handle.lease), software.clone());
            let found = joined(lab.handle.work.spawn(async move { docker::outfit(&lease, &software).await })).await;
            lab.close().await?;
            found
        }
    }
}

/// What that lab would run as this server: the same text as long as it is the same installation, or the same image with the same additions.
///
/// # Errors
/// There is no such server, or the Docker Engine does not say.
pub async fn identity(kind: LabKind, software: &Software) -> Result<String, LabError> {
    match kind {
        LabKind::Native => native::identity(software).await,
        LabKind::Docker => docker::identity(software).await,
    }
}

/// The folder with the server's programs, where that lab runs the server from this machine's own files.
pub async fn programs(kind: LabKind, software: &Software) -> Option<PathBuf> {
    match kind {
        LabKind::Native => native::find(software).await.ok(),
        LabKind::Docker => None,
    }
}

/// The hosts of one run. [`Lab::close`] it on every path; what is only dropped ends its servers but leaves folders to [`reap`].
pub struct Lab {
    handle: LabHandle,
}

/// What makes hosts and copies in a lab; copies of it mean the same lab.
#[derive(Clone)]
pub struct LabHandle {
    kind: LabKind,
    lease: Arc<lease::Lease>,
    hosts: Arc<Mutex<Vec<Arc<dyn LabHost>>>>,
    /// Work that must not be dropped half way: a container in the making would be known to nobody.
    work: TaskTracker,
}

impl LabHandle {
    /// See [`Lab::folder`].
    pub fn folder(&self) -> &Path {
        self.lease.folder()
    }

    /// A fresh host called `name`, unique in this lab.
    ///
    /// # Errors
    /// There is no such server here, or the host could not be made.
    pub async fn host(&self, name: &str, software: &Software) -> Result<Arc<dyn LabHost>, LabError> {
        self.make(name, software, None).await
    }

    /// A host that begins with what was copied; natively the copy becomes its own, so this works once.
    ///
    /// # Errors
    /// As [`LabHandle::host`].
    pub async fn host_from(
        &self,
        name: &str,
        software: &Software,
        copied: &Copied,
    ) -> Result<Arc<dyn LabHost>, LabError> {
        self.make(name, software, Some(copied.place.clone())).await
    }

    /// Copies a folder of a host, whose server must be stopped.
    ///
    /// # Errors
    /// The disk is full, or a file cannot be read.
    pub async fn copy(&self, host: &Arc<dyn LabHost>, folder: &str) -> Result<Copied, LabError> {
        let (host, folder) = (Arc::clone(host), folder.to_owned());
        // Whoever stops waiting for it does not want it.
        let stop = CancellationToken::new();
        let _unwanted = stop.clone().drop_guard();
        joined(self.work.spawn(async move { host.copy(&folder, &stop).await })).await
    }

    async fn make(&self, name: &str, software: &Software, from: Option<Place>) -> Result<Arc<dyn LabHost>, LabError> {
        let (lease, hosts, kind) = (Arc::clone(&self.lease), Arc::clone(&self.hosts), self.kind);
        let (name, software) = (name.to_owned(), software.clone());
        // Whoever stops waiting for it does not want an image for it.
        let stop = CancellationToken::new();
        let _unwanted = stop.clone().drop_guard();
        let task = self.work.spawn(async move {
            let host: Arc<dyn LabHost> = match kind {
                LabKind::Native => Arc::new(native::NativeHost::create(&lease, &name, &software, from, &stop).await?),
                LabKind::Docker => Arc::new(docker::DockerHost::create(&lease, &name, &software, from, &stop).await?),
            };
            hosts.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&host));
            Ok(host)
        });
        joined(task).await
    }

    fn take_hosts(&self) -> Vec<Arc<dyn LabHost>> {
        std::mem::take(&mut *self.hosts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lab {
    /// Takes a lease for `run`.
    ///
    /// # Errors
    /// The base folder cannot be used, or the disk is full.
    pub async fn open(kind: LabKind, run: &str, base: &Base) -> Result<Lab, LabError> {
        let (base, run) = (base.clone(), run.to_owned());
        let lease = Arc::new(blocking(move || lease::Lease::take(&base, kind, &run)).await?);
        Ok(Lab { handle: LabHandle { kind, lease, hosts: Arc::default(), work: TaskTracker::new() } })
    }

    pub fn kind(&self) -> LabKind {
        self.handle.kind
    }

    /// On this machine, under its lease: removed with the lab, or by whoever reaps it.
    pub fn folder(&self) -> &Path {
        self.handle.folder()
    }

    pub fn handle(&self) -> LabHandle {
        self.handle.clone()
    }

    /// Ends every server and removes everything of this lab, work in flight included.
    ///
    /// # Errors
    /// The first thing that could not be removed; the others were.
    pub async fn close(self) -> Result<(), LabError> {
        let LabHandle { kind, lease, work, .. } = &self.handle;
        work.close();
        let settled = within("the lab's work in flight", CLOSE_DEADLINE, async {
            work.wait().await;
            Ok(())
        })
        .await;
        let hosts = self.handle.take_hosts();
        let destroyed = futures::future::join_all(hosts.iter().map(|host| host.destroy())).await;
        let swept = match kind {
            LabKind::Native => Ok(()),
            LabKind::Docker => docker::sweep(lease.id(), lease.base()).await,
        };
        destroyed.into_iter().chain([settled, swept]).collect::<Result<(), LabError>>()?;
        // What could not be removed keeps its folder, and the next run tries again.
        let lease = Arc::clone(lease);
        blocking(move || lease.end()).await
    }

    /// Leaves these hosts running when this process ends; all others of the lab are destroyed. [`remove`] takes them down later.
    ///
    /// # Errors
    /// A host could not be destroyed, or the lease not written: then nothing of the lab is left running.
    pub async fn release(self, kept: &[Arc<dyn LabHost>], nodes: Vec<lease::LeasedNode>) -> Result<PathBuf, LabError> {
        let hosts = self.handle.take_hosts();
        let released = async {
            for host in hosts.iter().filter(|host| !kept.iter().any(|kept| Arc::ptr_eq(kept, host))) {
                host.destroy().await?;
            }
            let lease = Arc::clone(&self.handle.lease);
            blocking(move || lease.keep(nodes)).await
        };
        if let Err(error) = released.await {
            *self.handle.hosts.lock().unwrap_or_else(PoisonError::into_inner) = hosts;
            if let Err(error) = self.close().await {
                tracing::warn!(%error, "could not clear away a lab that was to be kept");
            }
            return Err(error);
        }
        Ok(self.folder().to_owned())
    }
}

/// Passes a program's input on to it. That it ends before it has read everything is no error here.
async fn feed(from: &mut (dyn AsyncRead + Send + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let unreadable = |error: io::Error| io::Error::new(error.kind(), format!("its input cannot be read: {error}"));
        let count = from.read(&mut buffer).await.map_err(unreadable)?;
        let written = match count {
            0 => to.shutdown().await,
            count => to.write_all(&buffer[..count]).await,
        };
        match written {
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => return Ok(()),
            Err(error) => return Err(error),
            Ok(()) if count == 0 => return Ok(()),
            Ok(()) => {}
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LabError> + Send + 'static,
) -> Result<T, LabError> {
    joined(tokio::task::spawn_blocking(work)).await
}

async fn joined<T>(task: tokio::task::JoinHandle<Result<T, LabError>>) -> Result<T, LabError> {
    match task.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(LabError::io("finish work of the lab", std::io::Error::other(error))),
        },
    }
}

async fn within<T>(
    what: &str,
    deadline: Duration,
    work: impl Future<Output = Result<T, LabError>>,
) -> Result<T, LabError> {
    match tokio::time::timeout(deadline, work).await {
        Ok(result) => result,
        Err(_) => Err(LabError::Deadline { what: what.to_owned(), deadline }),
    }
}
