//! A snapshot folder into a server, here of Postgres: what tables are, then their rows by several sessions, largest first, then what rests on
//! them.

pub(super) mod mysql;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::SinkExt;
use futures::future::try_join_all;
use tokio::sync::mpsc;

use super::store::{Chunk, ChunkReader, Damage, Manifest, Named, SCHEMA, StoredTable};
use super::{PROGRESS_EVERY, Progress, SnapshotError, jobs, remove};
use crate::engine::endpoint::Endpoint;
use crate::engine::host::Host;
use crate::engine::postgres::capture::schema::ARCHIVE;
use crate::engine::postgres::load::{self, Loader};
use crate::engine::postgres::restore::{RestoreError, Target};

/// Rows are sent in pieces of this size, and so many are read ahead at once, at most.
const PIECE: usize = 256 * 1024;
const PIECES: usize = 4;

/// A folder that is a snapshot.
#[derive(Debug)]
pub(super) struct Folder {
    pub path: PathBuf,
    pub manifest: Manifest,
}

/// Restores all of it, save the database's own settings, extensions of the lab's and statistics. Gives notes, as [`super::Restored`] has
/// them.
///
/// # Errors
/// Which table, chunk and row the server refused, or which file is damaged.
pub(super) async fn restore(
    target: &Target<'_>,
    folder: &Folder,
    name: &str,
    progress: &mut Progress<'_>,
) -> Result<Vec<String>, SnapshotError> {
    for file in &folder.manifest.schema {
        file.check(&folder.path).map_err(|damage| damaged(folder, &format!("{SCHEMA}/{}", file.file), damage))?;
    }
    let there = format!("{}/snapshot", target.host.folder());
    let archive = folder.path.join(SCHEMA).join(ARCHIVE);
    let put = target.host.put(&archive, &there).await;
    put.map_err(|error| SnapshotError::Restore { name: name.to_owned(), source: error.into() })?;
    let restored = in_sections(target, folder, (&there, name), progress).await;
    remove(target.host, &there).await;
    restored
}

/// Makes the roles that the manifest tells of and that are not there. Gives notes, as [`super::Restored`] has them.
///
/// # Errors
/// A role cannot be made.
pub(super) async fn make_roles(superuser: &Endpoint, folder: &Folder) -> Result<Vec<String>, SnapshotError> {
    let made = load::make_roles(superuser, &folder.manifest.database.roles).await;
    made.map_err(|source| SnapshotError::Restore { name: "its roles".to_owned(), source })
}

async fn in_sections(
    target: &Target<'_>,
    folder: &Folder,
    (there, name): (&str, &str),
    progress: &mut Progress<'_>,
) -> Result<Vec<String>, SnapshotError> {
    let failed = |source| SnapshotError::Restore { name: name.to_owned(), source };
    progress("making tables", None, None);
    // First, as in a restore that makes the database: what checks and functions answer may depend on it.
    let notes = target.set_database(there).await.map_err(failed)?;
    target.pg_restore_section(there, "pre-data", 1).await.map_err(failed)?;
    rows(target, folder, progress).await?;
    let loader = Loader::open(target.endpoint).await.map_err(failed)?;
    loader.set(&folder.manifest.database.sequences).await.map_err(failed)?;
    progress("making indexes and constraints", None, None);
    target.pg_restore_section(there, "post-data", jobs()).await.map_err(failed)?;
    Ok(notes)
}

async fn rows(target: &Target<'_>, folder: &Folder, progress: &mut Progress<'_>) -> Result<(), SnapshotError> {
    let queue = Mutex::new(by_size(&folder.manifest));
    let (loaded, total) = (AtomicU64::new(0), folder.manifest.bytes());
    let count = queue.lock().unwrap_or_else(PoisonError::into_inner).len();
    let workers = (0..jobs().min(count)).map(|_| async {
        let opened = Loader::open(target.endpoint).await;
        let loader = opened.map_err(|source| SnapshotError::Restore { name: "its rows".to_owned(), source })?;
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((table, chunk)) = next else { return Ok(()) };
            load(&loader, folder, (table, chunk), (&loaded, target.host)).await?;
        }
    });
    let loading = try_join_all(workers);
    tokio::pin!(loading);
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    loop {
        tokio::select! {
            done = &mut loading => return done.map(|_| ()),
            _ = tick.tick() => progress("restoring rows", Some(loaded.load(Ordering::Relaxed)), Some(total)),
        }
    }
}

/// The largest table's first.
fn by_size(manifest: &Manifest) -> VecDeque<(&StoredTable, &Chunk)> {
    let mut tables: Vec<&StoredTable> = manifest.tables.iter().collect();
    tables.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    tables.into_iter().flat_map(|table| table.chunks.iter().map(move |chunk| (table, chunk))).collect()
}

/// One chunk, of which the server keeps nothing unless all of it is as it was written.
async fn load(
    loader: &Loader,
    folder: &Folder,
    (table, chunk): (&StoredTable, &Chunk),
    (loaded, host): (&AtomicU64, &dyn Host),
) -> Result<(), SnapshotError> {
    let what = Named(table, chunk).to_string();
    let (to, mut from) = mpsc::channel(PIECES);
    let reading = {
        let (path, chunk) = (folder.path.clone(), chunk.clone());
        tokio::task::spawn_blocking(move || read(&path, &chunk, &to))
    };
    let sending = async {
        let copy = loader.copy(&table.table).await?;
        tokio::pin!(copy);
        while let Some(piece) = from.recv().await {
            let Some(piece) = piece else { return copy.finish().await.map(|_| ()) };
            loaded.fetch_add(piece.len() as u64, Ordering::Relaxed);
            copy.send(piece).await?;
        }
        // Cut short: dropped, the server forgets it.
        Ok(())
    };
    let sent = sending.await;
    drop(from);
    let read = reading.await.expect("reading does not panic");
    match (sent, read) {
        (Err(error), _) => Err(refused(&error, &what, table, host).await),
        (Ok(()), Err(damage)) => Err(damaged(folder, &what, damage)),
        (Ok(()), Ok(())) => Ok(()),
    }
}

async fn refused(error: &load::DriverError, what: &str, table: &StoredTable, host: &dyn Host) -> SnapshotError {
    let source = match load::refused_rows(error, what, &table.table) {
        // A server that cannot write its log ends: the client only sees the connection go.
        RestoreError::ServerLost if load::speaks_of_full_disk(&host.log_tail(50).await) => RestoreError::DiskFull,
        other => other,
    };
    SnapshotError::Restore { name: table.table.shown(), source }
}

/// Sends the chunk's rows, and nothing once all were as they should be. Nobody who went away is missed: they tell why.
fn read(folder: &Path, chunk: &Chunk, to: &mpsc::Sender<Option<Bytes>>) -> Result<(), Damage> {
    let mut reader = ChunkReader::open(folder, chunk)?;
    loop {
        let mut piece = vec![0; PIECE];
        let read = reader.read(&mut piece)?;
        piece.truncate(read);
        let is_end = read == 0;
        let sent = to.blocking_send((!is_end).then(|| piece.into()));
        if is_end || sent.is_err() {
            return Ok(());
        }
    }
}

fn damaged(folder: &Folder, what: &str, damage: Damage) -> SnapshotError {
    SnapshotError::DamagedChunk { folder: folder.path.clone(), what: what.to_owned(), damage }
}
