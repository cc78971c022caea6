//! A snapshot into a server: what it needs is checked before anything starts, then it is restored, and the server settles.
//!
//! [`prepare`] and [`check`] need no server; [`restore`] needs a started one with the empty database in it.

pub mod capture;
pub mod detect;
pub mod digest;
mod error;
mod files;
mod live;
mod load;
pub mod mask;
mod mydumper;
pub mod rows;
pub mod sample;
mod source;
pub mod store;
pub mod verify;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio_util::io::SyncIoBridge;
use tokio_util::sync::CancellationToken;

pub use error::SnapshotError;
use error::newer_dump;
pub use source::{Bench, Prepared, prepare};

use crate::engine::endpoint::Endpoint;
use crate::engine::host::{Exec, Host, HostError};
use crate::engine::postgres::connect::connect;
use crate::engine::postgres::dump::{Requirements, major};
use crate::engine::postgres::restore::{self, RestoreError, Target};
use crate::engine::{EngineKind, mysql};
use crate::event::TableSize;
use crate::scenario::{Compression, Extension};
use source::Ready;

const EXTENSION_DEADLINE: Duration = Duration::from_secs(30);

/// How often a restore says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// What a node is, as far as a snapshot asks.
#[derive(Clone, Copy)]
pub struct Offer<'a> {
    /// Its version as the scenario says: "15".
    pub version: &'a str,
    /// Its name, where the version is its own and not the topology's.
    pub node: Option<&'a str>,
    /// The superuser that it is set up with.
    pub superuser: &'a str,
    pub database: &'a str,
    /// The node's own list.
    pub extensions: &'a [Extension],
    /// Other nodes get everything from it.
    pub replicated: bool,
    /// None = the extensions are left to the server.
    pub host: Option<&'a dyn Host>,
}

/// Whether a node can take the snapshot, before it is started: versions, roles, databases, extensions.
///
/// # Errors
/// The first kind of thing that is missing, all of that kind at once.
pub async fn check(prepared: &Prepared, offer: &Offer<'_>) -> Result<(), SnapshotError> {
    let needed = &prepared.requirements;
    if let (Some(dumped), Some(node)) = (needed.server_major(), major(offer.version))
        && dumped > node
    {
        let dumped = needed.server_version.clone().unwrap_or_default();
        return Err(newer_dump(dumped, offer.version, offer.node));
    }
    if offer.replicated && prepared.is_unlogged {
        return Err(SnapshotError::NotLogged { name: prepared.name.clone() });
    }
    if needed.creates_roles {
        return Err(SnapshotError::WholeCluster);
    }
    if needed.databases.iter().any(|name| name != offer.database) {
        let found = needed.databases.iter().cloned().collect();
        return Err(SnapshotError::OtherDatabase { found, database: offer.database.to_owned() });
    }
    let exists = |role: &String| role == offer.superuser || prepared.roles_made.contains(role);
    let roles: Vec<String> = needed.roles.iter().filter(|role| !exists(role)).cloned().collect();
    if !roles.is_empty() {
        return Err(SnapshotError::MissingRoles { roles });
    }
    match offer.host {
        Some(host) => check_extensions(needed, offer, host).await,
        None => Ok(()),
    }
}

async fn check_extensions(needed: &Requirements, offer: &Offer<'_>, host: &dyn Host) -> Result<(), SnapshotError> {
    let mut missing: Vec<Extension> = Vec::new();
    for extension in needed.extensions.iter().chain(offer.extensions) {
        match restore::has_extension(host, extension, EXTENSION_DEADLINE).await {
            // Without pg_config the server says it, when the extension is made.
            Ok(true) | Err(HostError::NoProgram { .. }) => {}
            Ok(false) if missing.iter().any(|found| found.name == extension.name) => {}
            Ok(false) => missing.push(extension.clone()),
            Err(error) => return Err(RestoreError::from(error).into()),
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(SnapshotError::missing_extensions(missing, offer.version)) }
}

/// What is restored, and where.
pub struct RestoreRequest<'a> {
    pub host: &'a dyn Host,
    /// The database that is restored into, as superuser; it exists and is empty.
    pub endpoint: &'a Endpoint,
    pub snapshot: &'a Prepared,
    /// The node's own list: made beforehand, save where the dump makes them.
    pub extensions: &'a [Extension],
    pub cancel: &'a CancellationToken,
    /// For each program that is run.
    pub deadline: Duration,
}

/// What a restore left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub tables: Vec<TableSize>,
    /// Lowercase fragments for a warning: what the server refused of the database's own settings, statistics that could not be
    /// gathered.
    pub notes: Vec<String>,
}

/// Told what is under way, and how much of how much is done, where that is known.
pub type Progress<'p> = dyn FnMut(&str, Option<u64>, Option<u64>) + Send + 'p;

/// Roles, extensions, schema and rows; then statistics and a checkpoint. `progress` is told what is under way, and how much of how
/// much is done: bytes of the file for SQL, bytes of the database (without a total) for archives.
///
/// # Errors
/// Which line, object or table the server refused and why, without row values; [`RestoreError::DiskFull`] by itself.
pub async fn restore(request: &RestoreRequest<'_>, progress: &mut Progress<'_>) -> Result<Restored, SnapshotError> {
    tokio::select! {
        restored = restore_all(request, progress) => restored,
        () = request.cancel.cancelled() => Err(SnapshotError::Cancelled),
    }
}

/// Exact rows and bytes of every table: after `[[setup]]` changed them.
///
/// # Errors
/// The server's.
pub async fn sizes(endpoint: &Endpoint) -> Result<Vec<TableSize>, SnapshotError> {
    Ok(match endpoint.engine {
        EngineKind::Postgres => restore::table_sizes(endpoint).await?,
        EngineKind::Mysql | EngineKind::Mariadb => mysql::restore::table_sizes(endpoint).await?,
    })
}

async fn restore_all(request: &RestoreRequest<'_>, progress: &mut Progress<'_>) -> Result<Restored, SnapshotError> {
    match request.endpoint.engine {
        EngineKind::Postgres => restore_postgres(request, progress).await,
        EngineKind::Mysql | EngineKind::Mariadb => restore_mysql(request, progress).await,
    }
}

async fn restore_mysql(request: &RestoreRequest<'_>, progress: &mut Progress<'_>) -> Result<Restored, SnapshotError> {
    let snapshot = request.snapshot;
    let target = mysql::restore::Target { host: request.host, endpoint: request.endpoint, deadline: request.deadline };
    let mut notes = match &snapshot.source {
        Ready::Script { path, compression } => {
            let fed = Fed { name: &snapshot.name, path, compression: *compression };
            let restored = fed.to(async |script| target.client(script).await, progress).await?;
            restored.map_err(|source| SnapshotError::RestoreMysql { name: snapshot.name.clone(), source })?
        }
        Ready::Files(dump) => files::restore(&target, dump, progress).await?,
        Ready::Folder(folder) => load::mysql::restore(&target, folder, &snapshot.name, progress).await?,
        Ready::Empty | Ready::Archive { .. } => {
            return Ok(Restored { tables: Vec::new(), notes: Vec::new() });
        }
    };
    progress("gathering statistics", None, None);
    notes.extend(mysql::restore::settle(request.endpoint).await?);
    let tables = mysql::restore::table_sizes(request.endpoint).await?;
    let found = target.other_databases().await?;
    if tables.is_empty() && !found.is_empty() {
        return Err(SnapshotError::OtherDatabase { found, database: request.endpoint.database.clone() });
    }
    Ok(Restored { tables, notes })
}

async fn restore_postgres(
    request: &RestoreRequest<'_>,
    progress: &mut Progress<'_>,
) -> Result<Restored, SnapshotError> {
    let snapshot = request.snapshot;
    let target = Target { host: request.host, endpoint: request.endpoint, deadline: request.deadline };
    if let Some(path) = &snapshot.roles {
        progress("making roles", None, None);
        let failed = |source| SnapshotError::Roles { path: path.clone(), source };
        restore::roles(request.endpoint, path).await.map_err(failed)?;
    }
    let mut notes = Vec::new();
    if let Ready::Folder(folder) = &snapshot.source {
        progress("making roles", None, None);
        notes = load::make_roles(request.endpoint, folder).await?;
    }
    let made_by_dump =
        |extension: &&Extension| snapshot.requirements.extensions.iter().any(|made| made.name == extension.name);
    let own: Vec<Extension> = request.extensions.iter().filter(|extension| !made_by_dump(extension)).cloned().collect();
    let needs = &snapshot.requirements;
    // Extensions of the node's own list live in `public`, so they come after a dump that makes the schema or the database.
    let makes_room = !needs.databases.is_empty() || needs.creates_public;
    if !needs.databases.is_empty() {
        target.make_way().await?;
    } else if needs.creates_public {
        target.make_way_for_public().await?;
    } else {
        restore::create_extensions(request.endpoint, &own).await?;
    }
    let failed = |source| SnapshotError::Restore { name: snapshot.name.clone(), source };
    match &snapshot.source {
        // A scenario of Postgres cannot name one.
        Ready::Empty | Ready::Files(_) => {}
        Ready::Script { path, compression } => restore_script(&target, snapshot, path, *compression, progress).await?,
        Ready::Archive { path } => {
            let there = format!("{}/snapshot", request.host.folder());
            request.host.put(path, &there).await.map_err(|error| failed(error.into()))?;
            let restored = restore_archive(&target, &there, &snapshot.name, progress).await;
            remove(request.host, &there).await;
            notes.extend(restored.map_err(failed)?);
        }
        Ready::Folder(folder) => notes.extend(load::restore(&target, folder, &snapshot.name, progress).await?),
    }
    if makes_room {
        restore::create_extensions(request.endpoint, &own).await?;
    }
    if matches!(snapshot.source, Ready::Empty) && own.is_empty() {
        return Ok(Restored { tables: Vec::new(), notes: Vec::new() });
    }
    progress("gathering statistics", None, None);
    notes.extend(restore::settle(request.endpoint).await?);
    let tables = restore::table_sizes(request.endpoint).await?;
    Ok(Restored { tables, notes })
}

async fn restore_script(
    target: &Target<'_>,
    snapshot: &Prepared,
    path: &Path,
    compression: Compression,
    progress: &mut Progress<'_>,
) -> Result<(), SnapshotError> {
    // `pg_dump -C` makes the database itself, so it begins elsewhere.
    let begin_in = if snapshot.requirements.databases.is_empty() { &target.endpoint.database } else { "postgres" };
    let fed = Fed { name: &snapshot.name, path, compression };
    let restored = fed.to(async |script| target.psql(begin_in, script).await, progress).await?;
    restored.map_err(|source| SnapshotError::Restore { name: snapshot.name.clone(), source })
}

/// A plain dump, decompressed into a client.
struct Fed<'a> {
    name: &'a str,
    path: &'a Path,
    compression: Compression,
}

impl Fed<'_> {
    /// What the client made of it. That the client failed says more than that the file could not be read to its end.
    async fn to<T, E>(
        &self,
        client: impl AsyncFnOnce(&mut DuplexStream) -> Result<T, E>,
        progress: &mut Progress<'_>,
    ) -> Result<Result<T, E>, SnapshotError> {
        let path = self.path;
        let unreadable = |source| SnapshotError::Unreadable { path: path.to_owned(), source };
        let total = std::fs::metadata(path).map_err(unreadable)?.len();
        let read = Arc::new(AtomicU64::new(0));
        let script = source::open(path, self.compression, Arc::clone(&read))?;
        let (mut ours, theirs) = tokio::io::duplex(256 * 1024);
        let feeding = tokio::task::spawn_blocking(move || feed(script, theirs));
        let what = format!("restoring {}", self.name);
        let restored = {
            let restoring = client(&mut ours);
            tokio::pin!(restoring);
            let mut tick = tokio::time::interval(PROGRESS_EVERY);
            loop {
                tokio::select! {
                    restored = &mut restoring => break restored,
                    _ = tick.tick() => progress(&what, Some(read.load(Ordering::Relaxed).min(total)), Some(total)),
                }
            }
        };
        // The feeder ends with its pipe.
        drop(ours);
        let fed = feeding.await.expect("feeding does not panic");
        match (restored, fed) {
            (Err(error), _) => Ok(Err(error)),
            (Ok(made), Ok(())) => Ok(Ok(made)),
            (Ok(_), Err(source)) => Err(SnapshotError::Damaged { path: path.to_owned(), source }),
        }
    }
}

/// A reader that went away is told by the program's own exit status.
fn feed(mut script: Box<dyn io::Read + Send>, to: DuplexStream) -> io::Result<()> {
    let mut to = SyncIoBridge::new(to);
    match io::copy(&mut script, &mut to) {
        Ok(_) => to.shutdown(),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives notes, as [`Restored`] has them.
async fn restore_archive(
    target: &Target<'_>,
    there: &str,
    name: &str,
    progress: &mut Progress<'_>,
) -> Result<Vec<String>, RestoreError> {
    let what = format!("restoring {name}");
    progress(&what, None, None);
    // First, as in a restore that makes the database: what checks and functions answer may depend on it.
    let notes = target.set_database(there).await?;
    // Only for the display: a restore without it is as good.
    let watching = connect(&target.endpoint.named("rehearsal snapshot"), Duration::from_secs(5)).await.ok();
    let restoring = target.pg_restore(there, jobs());
    tokio::pin!(restoring);
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    loop {
        tokio::select! {
            restored = &mut restoring => return restored.map(|()| notes),
            _ = tick.tick() => {
                if let Some(connection) = &watching {
                    let bytes = tokio::select! {
                        bytes = restore::database_bytes(connection) => bytes.ok(),
                        restored = &mut restoring => return restored.map(|()| notes),
                    };
                    progress(&what, bytes, None);
                }
            }
        }
    }
}

/// Frees the host's disk; what cannot be removed goes with the host's folder.
async fn remove(host: &dyn Host, path: &str) {
    let removed = host.exec(&Exec::new("/bin/rm").args(["-rf", "--", path]), Duration::from_secs(60)).await;
    if let Err(error) = removed {
        tracing::debug!(%error, path, "not removed");
    }
}

/// Parallel jobs of pg_dump and pg_restore.
fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(8)
}
