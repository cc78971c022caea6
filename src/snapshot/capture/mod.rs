//! A live database into a snapshot folder: one moment, read by several sessions in parts, each part streamed into a chunk.

mod masking;
mod pace;
mod sampling;
mod sink;
mod worker;

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::detect::Undecided;
use super::mask::{MaskErrors, MaskProblem};
use super::sample::SampleError;
use super::store::{self, Begun, Chunk, Contents, Manifest, StoreError, StoredSample, StoredTable};
use crate::engine::capture::{Database, Part, Planned, Source, SourceError, Table};
use crate::engine::endpoint::Endpoint;
use crate::engine::reading;
use crate::event::snapshot::CaptureProgress;
use masking::Masked;
pub use masking::{KeyError, Masking};
use pace::Pace;
use sampling::Sampling;

/// Bytes on the server that usually become one chunk.
pub const PART_BYTES: u64 = 64 << 20;

/// How often a capture says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The words hold no values.
    #[error("could not transform row {row} of {what}: {why}")]
    Transform { what: String, row: u64, why: String },
    #[error(transparent)]
    Rules(#[from] MaskErrors),
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Nothing was captured. `draft` is a rules file for them.
    #[error("no rule decides about {}", told(columns))]
    Undecided { columns: Vec<Undecided>, draft: String },
    #[error("cancelled")]
    Cancelled,
}

impl CaptureError {
    pub fn hint(&self) -> Option<String> {
        match self {
            CaptureError::Source(error) => error.hint().map(str::to_owned),
            CaptureError::Store(error) => error.hint().map(str::to_owned),
            CaptureError::Rules(errors) => {
                let hints: BTreeSet<String> = errors.problems.iter().filter_map(MaskProblem::hint).collect();
                (!hints.is_empty()).then(|| hints.into_iter().collect::<Vec<_>>().join("; "))
            }
            CaptureError::Undecided { .. } => {
                Some("mask each by a rule, or keep it by `as = \"keep\"` with a reason".to_owned())
            }
            CaptureError::Sample(SampleError::NoColumn { .. }) => {
                Some("see how it is spelt; partitions are sampled as their whole table".to_owned())
            }
            CaptureError::Sample(SampleError::Disk(_)) => {
                Some("keys that wait lie where TMPDIR says: make room there, or name another folder".to_owned())
            }
            CaptureError::Transform { .. } | CaptureError::Cancelled => None,
        }
    }

    pub fn is_usage(&self) -> bool {
        match self {
            CaptureError::Store(error) => error.is_usage(),
            CaptureError::Rules(_) | CaptureError::Undecided { .. } => true,
            CaptureError::Sample(error) => !matches!(error, SampleError::Disk(_)),
            CaptureError::Source(_) | CaptureError::Transform { .. } | CaptureError::Cancelled => false,
        }
    }
}

/// "2 columns that may hold personal data:", and a line for each.
fn told(columns: &[Undecided]) -> String {
    let these = if columns.len() == 1 {
        "1 column that may hold".to_owned()
    } else {
        format!("{} columns that may hold", columns.len())
    };
    columns.iter().fold(format!("{these} personal data:"), |mut told, Undecided { column, looks }| {
        let (what, confidence) = (looks.personal.described(), looks.confidence.name());
        let _ = write!(told, "\n  {column}: {what} ({confidence}: {})", looks.why);
        told
    })
}

/// Changes rows on their way into a snapshot. Asked once a chunk, since chunks are written side by side.
pub trait Transform: Send + Sync {
    /// Sees a table's columns before its rows: their fields are those of [`Table::stored_columns`], in that order. None = the table's
    /// rows go by untouched, and are not taken apart.
    fn of_table(&self, table: &Table) -> Option<Box<dyn RowTransform>>;
}

/// Changes the rows of one chunk, in their order.
pub trait RowTransform: Send {
    /// One row's fields, none = NULL. Gives whether the row is kept.
    ///
    /// # Errors
    /// Why it cannot be changed, without its values: nothing is captured then.
    fn row(&mut self, fields: &mut [Option<Vec<u8>>]) -> Result<bool, String>;

    /// Whether it looks at each field: one that it does not look at is none to it, and goes by as it is. Empty = at all.
    fn looks_at(&self) -> &[bool] {
        &[]
    }
}

/// What is captured, and how.
pub struct CaptureRequest<'a> {
    pub endpoint: &'a Endpoint,
    pub folder: &'a Path,
    /// Sessions on the source, one at least.
    pub workers: usize,
    /// Bytes of rows a second, over all sessions; none = as fast as it goes.
    pub rate: Option<u64>,
    /// Bytes on the server that become one chunk, about.
    pub part_bytes: u64,
    /// None = rows as they are.
    pub transform: Option<&'a dyn Transform>,
    /// Goes before [`CaptureRequest::transform`].
    pub masking: Option<&'a Masking>,
    pub cancel: &'a CancellationToken,
}

/// A snapshot that was taken.
#[derive(Debug)]
pub struct Captured {
    pub manifest: Manifest,
    /// Lowercase fragments for a warning.
    pub notes: Vec<String>,
    pub elapsed: Duration,
}

/// Told how far it is, about twice a second.
pub type Progress<'p> = dyn FnMut(&CaptureProgress) + Send + 'p;

/// Takes the snapshot. On an error, or when cancelled, nothing is left: no file in the folder and no session on the source.
///
/// # Errors
/// The source, the folder, or a row that cannot be transformed.
pub async fn capture(request: &CaptureRequest<'_>, progress: &mut Progress<'_>) -> Result<Captured, CaptureError> {
    let started = Instant::now();
    let begun = store::begin(request.folder, &format!("{:?}", request.endpoint))?;
    let tracker = TaskTracker::new();
    match in_sessions(request, &begun, &tracker, (started, progress)).await {
        Ok((contents, notes)) => {
            // Its files are written through, which may take a while.
            let sealing = tokio::task::spawn_blocking(move || begun.finish(contents));
            let manifest = sealing.await.expect("sealing does not panic")?;
            Ok(Captured { manifest, notes, elapsed: started.elapsed() })
        }
        Err(error) => {
            tracker.close();
            tracker.wait().await;
            begun.abandon();
            Err(error)
        }
    }
}

async fn in_sessions(
    request: &CaptureRequest<'_>,
    begun: &Begun,
    tracker: &TaskTracker,
    (started, progress): (Instant, &mut Progress<'_>),
) -> Result<(Contents, Vec<String>), CaptureError> {
    let cancel = request.cancel;
    let mut told = CaptureProgress { started_over: begun.started_over, ..CaptureProgress::default() };
    progress(&told);
    let source = tokio::select! {
        source = Source::open(request.endpoint, request.workers.max(1)) => source?,
        () = cancel.cancelled() => return Err(CaptureError::Cancelled),
    };
    // Between the snapshot's own moment and now lies a round trip or two.
    let captured = jiff::Timestamp::now();
    let cancellers = source.cancellers();
    let taken = async {
        let (database, planned) = tokio::select! {
            described = source.describe(request.part_bytes) => described?,
            () = cancel.cancelled() => return Err(CaptureError::Cancelled),
        };
        let masked = match request.masking {
            None => None,
            Some(masking) => Some(tokio::select! {
                masked = Masked::prepare(masking, &source, (&database, &planned)) => masked?,
                () = cancel.cancelled() => return Err(CaptureError::Cancelled),
            }),
        };
        let sampling = match request.masking {
            None => None,
            Some(masking) => tokio::select! {
                sampling = Sampling::prepare(masking, &source, (&database, &planned)) => sampling?,
                () = cancel.cancelled() => return Err(CaptureError::Cancelled),
            },
        };
        let is_sampled = sampling.is_some();
        let transform = masked.as_ref().map(|masked| masked as &dyn Transform).or(request.transform);
        let total_bytes = sampling.as_ref().map(|sampling| sampling.bytes(&planned));
        let work = Work::new(planned, (request, transform), total_bytes, cancel.child_token());
        told.tables = work.planned.len() as u64;
        told.total_bytes = work.total_bytes;
        let sample = take(&work, &source, (&database, sampling), (begun, tracker), &mut |work| {
            told.elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
            work.tell(&mut told);
            progress(&told);
        })
        .await?;
        source.unchanged().await?;
        let mut tables = work.into_tables();
        if let Some(masked) = &masked {
            for stored in &mut tables {
                stored.masks = masked.told(&stored.table);
            }
        }
        let is_masked = masked.as_ref().is_some_and(|_| tables.iter().any(|table| !table.masks.is_empty()))
            || request.transform.is_some();
        let notes = source.lack_of_sessions(request.workers.max(1)).into_iter().collect();
        Ok((Contents { captured, is_masked, is_sampled, sample, database, tables }, notes))
    }
    .await;
    match &taken {
        Ok(_) => source.end().await,
        Err(_) => reading::cancel(&cancellers).await,
    }
    taken
}

/// Takes schema and rows side by side; whatever fails first ends the others.
async fn take(
    work: &Work<'_>,
    source: &Source,
    (database, sampling): (&Database, Option<Sampling>),
    (begun, tracker): (&Begun, &TaskTracker),
    tell: &mut (dyn FnMut(&Work<'_>) + Send),
) -> Result<Option<StoredSample>, CaptureError> {
    for table in 0..work.planned.len() {
        begun.make_table(table)?;
    }
    let schema = async {
        let folder = begun.schema();
        let taken = source.schema(&database.version, &folder, &work.stop).await.map_err(CaptureError::from);
        taken.inspect_err(|_| work.stop.cancel())
    };
    let rows = async {
        let taken = match sampling {
            Some(sampling) => sampling::take(work, source, sampling, (begun.places(), tracker)).await.map(Some),
            None => all_rows(work, source, (begun, tracker)).await.map(|()| None),
        };
        taken.inspect_err(|_| work.stop.cancel())
    };
    let all = async { tokio::join!(schema, rows) };
    tokio::pin!(all);
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    let (schema, rows) = loop {
        tokio::select! {
            ended = &mut all => break ended,
            _ = tick.tick() => tell(work),
        }
    };
    tell(work);
    match (schema, rows) {
        (Ok(()), Ok(sample)) => Ok(sample),
        (Err(error), Ok(_)) | (Ok(()), Err(error)) => Err(first_of(vec![error])),
        (Err(one), Err(other)) => Err(first_of(vec![one, other])),
    }
}

/// Every row, by all sessions.
async fn all_rows(
    work: &Work<'_>,
    source: &Source,
    (begun, tracker): (&Begun, &TaskTracker),
) -> Result<(), CaptureError> {
    let workers = join_all((0..source.sessions()).map(|session| async move {
        worker::work(work, source, session, begun, tracker).await.inspect_err(|_| work.stop.cancel())
    }));
    let failed: Vec<CaptureError> = workers.await.into_iter().filter_map(Result::err).collect();
    if failed.is_empty() { Ok(()) } else { Err(first_of(failed)) }
}

/// Whoever was stopped says less than whoever made them stop. One at least is given.
fn first_of(mut failed: Vec<CaptureError>) -> CaptureError {
    let is_stop =
        |error: &CaptureError| matches!(error, CaptureError::Cancelled | CaptureError::Source(SourceError::Cancelled));
    failed.sort_by_key(is_stop);
    match failed.into_iter().next() {
        Some(CaptureError::Source(SourceError::Cancelled)) | None => CaptureError::Cancelled,
        Some(error) => error,
    }
}

/// One part of one table, by their places.
#[derive(Debug, Clone, Copy)]
struct Job {
    table: usize,
    part: usize,
}

/// What all workers share.
struct Work<'a> {
    planned: Vec<Planned>,
    jobs: Mutex<VecDeque<Job>>,
    done: Mutex<Vec<(Job, u64, Option<Chunk>)>>,
    transform: Option<&'a dyn Transform>,
    pace: Option<Pace>,
    stop: CancellationToken,
    total_bytes: u64,
    /// Rows, bytes of rows, and bytes on the server of the parts that are done.
    rows: AtomicU64,
    bytes: AtomicU64,
    done_bytes: AtomicU64,
}

impl<'a> Work<'a> {
    fn new(
        planned: Vec<Planned>,
        (request, transform): (&CaptureRequest<'_>, Option<&'a dyn Transform>),
        total_bytes: Option<u64>,
        stop: CancellationToken,
    ) -> Work<'a> {
        let jobs = planned
            .iter()
            .enumerate()
            .flat_map(|(table, planned)| (0..planned.parts.len()).map(move |part| Job { table, part }));
        Work {
            jobs: Mutex::new(jobs.collect()),
            done: Mutex::default(),
            transform,
            pace: request.rate.map(Pace::new),
            stop,
            total_bytes: total_bytes.unwrap_or_else(|| planned.iter().map(|planned| planned.table.stored_bytes).sum()),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            done_bytes: AtomicU64::new(0),
            planned,
        }
    }

    fn next(&self) -> Option<Job> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn part(&self, job: Job) -> (&Table, &Part) {
        let Planned { table, parts } = &self.planned[job.table];
        (table, &parts[job.part])
    }

    /// `rows`: of the part on the server.
    fn did(&self, job: Job, rows: u64, chunk: Option<Chunk>) {
        let Planned { table, parts } = &self.planned[job.table];
        self.done_bytes.fetch_add(table.stored_bytes / parts.len() as u64, Ordering::Relaxed);
        self.keep(job, rows, chunk);
    }

    fn keep(&self, job: Job, rows: u64, chunk: Option<Chunk>) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push((job, rows, chunk));
    }

    fn tell(&self, told: &mut CaptureProgress) {
        told.rows = self.rows.load(Ordering::Relaxed);
        told.bytes = self.bytes.load(Ordering::Relaxed);
        told.done_bytes = self.done_bytes.load(Ordering::Relaxed);
        let next = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).front().copied();
        told.table = next.map(|job| self.planned[job.table].table.shown());
    }

    fn into_tables(self) -> Vec<StoredTable> {
        let mut done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(job, ..)| (job.table, job.part));
        let stored =
            |table| StoredTable { table, rows: 0, production_rows: 0, bytes: 0, masks: Vec::new(), chunks: Vec::new() };
        let mut tables: Vec<StoredTable> = self.planned.into_iter().map(|planned| stored(planned.table)).collect();
        for (job, rows, chunk) in done {
            let table = &mut tables[job.table];
            table.production_rows += rows;
            if let Some(chunk) = chunk {
                table.rows += chunk.rows;
                table.bytes += chunk.bytes;
                table.chunks.push(chunk);
            }
        }
        tables
    }
}

/// Where a capture wrote a file, for its errors.
fn of_file(path: PathBuf) -> impl Fn(std::io::Error) -> CaptureError {
    move |error| StoreError::of_write(&path, error).into()
}
