//! One session's work: parts read one after the other, each handed to a thread that transforms, compresses, hashes and writes it.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{CaptureError, Job, RowTransform, Work, of_file};
use crate::engine::capture::{Source, SourceError};
use crate::snapshot::rows::{self, Partly};
use crate::snapshot::store::{Begun, Chunk, ChunkWriter};

/// Rows are handed on in pieces of about this size, and so many are under way at once, at most: that is all the memory it takes.
pub(super) const PIECE: usize = 256 * 1024;
const PIECES: usize = 4;

/// Reads parts until there are none.
pub(super) async fn work(
    work: &Work<'_>,
    source: &Source,
    session: usize,
    begun: &Begun,
    tracker: &TaskTracker,
) -> Result<(), CaptureError> {
    while let Some(job) = work.next() {
        if work.stop.is_cancelled() {
            return Err(CaptureError::Cancelled);
        }
        let (rows, chunk) = chunk(work, source, session, job, (begun, tracker)).await?;
        work.did(job, rows, chunk);
    }
    Ok(())
}

/// Rows of the part on the server, and what was kept of them.
///
/// What is wrong with the rows says more than that nobody takes them any more, and what is wrong with the file more than either.
async fn chunk(
    work: &Work<'_>,
    source: &Source,
    session: usize,
    job: Job,
    (begun, tracker): (&Begun, &TaskTracker),
) -> Result<(u64, Option<Chunk>), CaptureError> {
    let (table, _) = work.part(job);
    let (path, file) = begun.chunk(job.table, job.part);
    let transform = work.transform.and_then(|transform| transform.of_table(table));
    let writing = Writing { what: table.shown(), path, file, transform };
    let (to, from) = mpsc::channel(PIECES);
    let written = tracker.spawn_blocking(move || writing.write(from));
    let read = read(work, source, session, job, &to).await;
    if read.is_ok() {
        // The empty piece says that there are no more; without it the thread takes the part for cut short.
        let _ = to.send(Bytes::new()).await;
    }
    drop(to);
    let written = written.await.expect("writing does not panic");
    match (read, written) {
        (Err(Stopped::Read(error)), _) => Err(error.into()),
        (_, Err(error)) => Err(error),
        (Ok(rows), Ok(chunk)) => Ok((rows, chunk)),
        (Err(Stopped::Asked | Stopped::Unheard), Ok(_)) => Err(CaptureError::Cancelled),
    }
}

pub(super) enum Stopped {
    Read(SourceError),
    Asked,
    /// The thread has ended, and says why.
    Unheard,
}

async fn read(
    work: &Work<'_>,
    source: &Source,
    session: usize,
    job: Job,
    to: &mpsc::Sender<Bytes>,
) -> Result<u64, Stopped> {
    let (table, part) = work.part(job);
    let reading = async {
        let mut rows = source.rows(session, table, part).await.map_err(Stopped::Read)?;
        let mut piece = BytesMut::with_capacity(PIECE);
        let mut all = 0;
        while let Some(some) = rows.next().await {
            piece.extend_from_slice(&some.map_err(|error| Stopped::Read(error.into()))?);
            if piece.len() >= PIECE {
                all += hand_on(work, &mut piece, to).await?;
            }
        }
        Ok(all + hand_on(work, &mut piece, to).await?)
    };
    tokio::select! {
        read = reading => read,
        () = work.stop.cancelled() => Err(Stopped::Asked),
    }
}

/// Gives the number of rows.
async fn hand_on(work: &Work<'_>, piece: &mut BytesMut, to: &mpsc::Sender<Bytes>) -> Result<u64, Stopped> {
    if piece.is_empty() {
        return Ok(0);
    }
    let (bytes, count) = (piece.len(), rows::count(piece));
    let full = std::mem::replace(piece, BytesMut::with_capacity(PIECE));
    to.send(full.freeze()).await.map_err(|_| Stopped::Unheard)?;
    work.rows.fetch_add(count, Ordering::Relaxed);
    work.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    if let Some(pace) = &work.pace {
        pace.pay(bytes).await;
    }
    Ok(count)
}

/// The other half, on a thread of its own.
struct Writing {
    what: String,
    path: PathBuf,
    file: String,
    transform: Option<Box<dyn RowTransform>>,
}

impl Writing {
    fn write(mut self, mut from: mpsc::Receiver<Bytes>) -> Result<Option<Chunk>, CaptureError> {
        let failed = of_file(self.path.clone());
        let mut writer = ChunkWriter::create(&self.path, self.file.clone()).map_err(&failed)?;
        let (mut row, mut partly, mut changed) = (0, Partly::default(), Vec::new());
        while let Some(piece) = from.blocking_recv() {
            if piece.is_empty() {
                return writer.finish(&self.path).map_err(failed);
            }
            let Some(transform) = &mut self.transform else {
                writer.write(&piece).map_err(&failed)?;
                continue;
            };
            changed.clear();
            for text in rows::rows(&piece) {
                row += 1;
                partly.read(text, transform.looks_at());
                let kept = transform.row(&mut partly.fields).map_err(|why| CaptureError::Transform {
                    what: format!("{}, chunk {}", self.what, self.file),
                    row,
                    why,
                })?;
                if kept {
                    partly.write(text, transform.looks_at(), &mut changed);
                }
            }
            writer.write(&changed).map_err(&failed)?;
        }
        // Whoever read has stopped, and the file goes with the folder.
        Ok(None)
    }
}
