//! A snapshot folder into a MySQL or MariaDB server.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures::future::try_join_all;
use tokio::sync::mpsc;

use super::{Folder, PIECES, by_size, damaged, read};
use crate::engine::host::Host;
use crate::engine::mysql::capture::{PROGRAMS, TABLES};
use crate::engine::mysql::load::{self, Loader};
use crate::engine::mysql::restore::{RestoreError, Target};
use crate::snapshot::store::{Chunk, Named, SCHEMA, StoredTable};
use crate::snapshot::{PROGRESS_EVERY, Progress, SnapshotError, jobs};

/// With less than this no table grows.
const FULL_BYTES: u64 = 16 << 20;

/// Restores all of it, save statistics. Gives notes, as [`super::super::Restored`] has them.
///
/// # Errors
/// Which table, chunk and row the server refused, or which file is damaged.
pub(in crate::snapshot) async fn restore(
    target: &Target<'_>,
    folder: &Folder,
    name: &str,
    progress: &mut Progress<'_>,
) -> Result<Vec<String>, SnapshotError> {
    for file in &folder.manifest.schema {
        file.check(&folder.path).map_err(|damage| damaged(folder, &format!("{SCHEMA}/{}", file.file), damage))?;
    }
    progress("making tables", None, None);
    let mut notes = script(target, folder, TABLES).await?;
    let failed = |source| SnapshotError::RestoreMysql { name: name.to_owned(), source };
    let was_off = load::allow(target.endpoint).await.map_err(failed)?;
    let loaded = rows(target, folder, progress).await;
    if was_off {
        load::disallow(target.endpoint).await.map_err(failed)?;
    }
    loaded?;
    progress("making views, routines, triggers and events", None, None);
    notes.extend(script(target, folder, PROGRAMS).await?);
    Ok(notes)
}

async fn script(target: &Target<'_>, folder: &Folder, file: &str) -> Result<Vec<String>, SnapshotError> {
    let path = folder.path.join(SCHEMA).join(file);
    let script = tokio::fs::read(&path).await.map_err(|source| SnapshotError::Unreadable { path, source })?;
    let failed = |source| SnapshotError::RestoreMysql { name: format!("{SCHEMA}/{file}"), source };
    target.own_script(&script).await.map_err(failed)
}

async fn rows(target: &Target<'_>, folder: &Folder, progress: &mut Progress<'_>) -> Result<(), SnapshotError> {
    let queue: Mutex<VecDeque<(&StoredTable, &Chunk)>> = Mutex::new(by_size(&folder.manifest));
    let (loaded, total) = (AtomicU64::new(0), folder.manifest.bytes());
    let count = queue.lock().unwrap_or_else(PoisonError::into_inner).len();
    let workers = (0..jobs().min(count)).map(|_| async {
        let opened = Loader::open(target.endpoint).await;
        let mut loader =
            opened.map_err(|source| SnapshotError::RestoreMysql { name: "its rows".to_owned(), source })?;
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((table, chunk)) = next else { break };
            one(&mut loader, folder, (table, chunk), target.host).await?;
            loaded.fetch_add(chunk.bytes, Ordering::Relaxed);
        }
        loader.end().await;
        Ok(())
    });
    let loading = try_join_all(workers);
    tokio::pin!(loading);
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    loop {
        tokio::select! {
            done = &mut loading => return done.map(|_: Vec<()>| ()),
            _ = tick.tick() => progress("restoring rows", Some(loaded.load(Ordering::Relaxed)), Some(total)),
        }
    }
}

/// One chunk, of which the server keeps nothing unless all of it is as it was written.
async fn one(
    loader: &mut Loader,
    folder: &Folder,
    (table, chunk): (&StoredTable, &Chunk),
    host: &dyn Host,
) -> Result<(), SnapshotError> {
    let what = Named(table, chunk).to_string();
    let (to, from) = mpsc::channel(PIECES);
    let reading = {
        let (path, chunk) = (folder.path.clone(), chunk.clone());
        tokio::task::spawn_blocking(move || read(&path, &chunk, &to))
    };
    let sent = loader.load(&table.table, (&what, chunk.rows), from).await;
    let read = reading.await.expect("reading does not panic");
    // Of half a chunk it is said here that rows are missing, and why they are is said there.
    read.map_err(|damage| damaged(folder, &what, damage))?;
    let failed = |source| SnapshotError::RestoreMysql { name: table.table.name.clone(), source };
    match sent {
        Ok(()) => loader.keep().await.map_err(failed),
        // ER_RECORD_FILE_FULL: InnoDB says so of a full disk, and others of a table that may grow no more.
        Err(RestoreError::Rows { number: 1114, .. }) if host.free_bytes().await.is_ok_and(|free| free < FULL_BYTES) => {
            Err(failed(RestoreError::DiskFull))
        }
        Err(error) => Err(failed(error)),
    }
}
