//! A sample instead of all rows: one thread decides which rows are taken and writes them, and the sessions fetch what it asks for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::join_all;
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::TaskTracker;

use super::sink::{Sink, Sunk};
use super::worker::{PIECE, Stopped};
use super::{CaptureError, Job, Masking, Work};
use crate::engine::capture::{Database, Planned, Source, SourceError, Wanted, Whole};
use crate::scenario::rules::Rows;
use crate::snapshot::rows;
use crate::snapshot::sample::{Bounds, Coverage, Open, Reference, Request, Row, Sampler, Table};
use crate::snapshot::store::{Places, StoredMissed, StoredOrphans, StoredSample, StoredSampledTable};

/// What is sampled, and how.
pub(super) struct Sampling {
    wholes: Vec<Whole>,
    /// As rules name them.
    names: Vec<String>,
    sampler: Sampler,
    seed: u64,
    /// Planned tables whose rows nothing else counts.
    uncounted: Vec<usize>,
}

/// What a session fetches.
enum Fetch {
    Survey { whole: usize, planned: usize, part: usize },
    Count { planned: usize },
    Rows { id: u64, request: Request },
}

/// What it says of it.
enum Answer {
    Surveyed { whole: usize, planned: usize, rows: Bytes },
    Rows { id: u64, rows: Bytes },
    Counted { planned: usize, rows: u64 },
    Done { id: Option<u64> },
}

impl Sampling {
    /// None where the rules take all rows.
    ///
    /// # Errors
    /// The rules do not fit, or the source cannot be read.
    pub(super) async fn prepare(
        masking: &Masking,
        source: &Source,
        (database, planned): (&Database, &[Planned]),
    ) -> Result<Option<Sampling>, CaptureError> {
        let rules = &masking.rules;
        if rules.take_all() {
            return Ok(None);
        }
        let (wholes, foreign_keys) = source.wholes(planned).await.map_err(SourceError::from)?;
        // A schema's name where a database has none, so that rules may say it.
        let schema =
            |whole: &Whole| if whole.name.schema.is_empty() { &database.name } else { &whole.name.schema }.clone();
        let mut uncounted = Vec::new();
        let mut tables = Vec::with_capacity(wholes.len());
        for whole in &wholes {
            let schema = schema(whole);
            let (rows, _) = rules.sample.of(&schema, &whole.name.name);
            let is_looked_at = rules.coverage.on && !whole.key.is_empty() && !matches!(rows, Rows::All | Rows::None);
            if !is_looked_at && rows != Rows::All {
                uncounted.extend(whole.parts.iter().map(|part| part.planned));
            }
            let coverage = is_looked_at.then(|| Coverage::new(&whole.columns, &whole.key, rules.coverage.budget));
            let columns = whole.columns.iter().map(|column| column.name.clone()).collect();
            tables.push(Table { schema, name: whole.name.name.clone(), columns, coverage, key: whole.key.clone() });
        }
        let references = foreign_keys.into_iter().map(|key| Reference {
            from: key.from,
            from_columns: key.from_columns,
            to: key.to,
            to_columns: key.to_columns,
            when: None,
        });
        let names = wholes.iter().map(shown).collect();
        let sampler = Sampler::new(tables, references.collect(), rules, Bounds::default())?;
        Ok(Some(Sampling { wholes, names, sampler, seed: rules.sample.seed, uncounted }))
    }

    /// Bytes on the server that are read.
    pub(super) fn bytes(&self, planned: &[Planned]) -> u64 {
        let of = |whole: &Whole| whole.parts.iter().map(|part| planned[part.planned].table.stored_bytes).sum::<u64>();
        let reads = |(at, whole): (usize, &Whole)| match self.sampler.rows_of(at) {
            Rows::None => 0,
            _ if self.sampler.is_covered(at) => 2 * of(whole),
            _ => of(whole),
        };
        self.wholes.iter().enumerate().map(reads).sum()
    }
}

fn shown(whole: &Whole) -> String {
    match whole.name.schema.as_str() {
        "public" | "" => whole.name.name.clone(),
        schema => format!("{schema}.{}", whole.name.name),
    }
}

/// Takes the sample: the rows of each table, chunk by chunk, are then with `work`.
pub(super) async fn take(
    work: &Work<'_>,
    source: &Source,
    sampling: Sampling,
    (places, tracker): (Places, &TaskTracker),
) -> Result<StoredSample, CaptureError> {
    // Which table is next, nobody knows.
    work.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    let sessions = source.sessions();
    let (requests, asked) = mpsc::channel(sessions);
    let (answers, answered) = mpsc::channel(2 * sessions);
    let asked = Mutex::new(asked);
    let wholes = sampling.wholes.clone();
    let sink = Sink::new(&work.planned, &wholes, work.transform, places);
    let parts: Vec<usize> = work.planned.iter().map(|planned| planned.parts.len()).collect();
    let deciding = Deciding {
        wholes: wholes.clone(),
        sampler: sampling.sampler,
        sink,
        seed: sampling.seed,
        first: first_fetches(&sampling.wholes, &parts, sampling.uncounted),
        open: HashMap::new(),
        counts: vec![0; work.planned.len()],
    };
    let deciding = tracker.spawn_blocking(move || deciding.run(&requests, answered, sessions));
    let fetching = join_all((0..sessions).map(|session| {
        let answers = answers.clone();
        let (asked, wholes) = (&asked, &wholes);
        async move {
            let fetched = fetch_all(work, (source, session), wholes, asked, answers).await;
            fetched.inspect_err(|_| work.stop.cancel())
        }
    }));
    drop(answers);
    let (fetched, decided) = tokio::join!(fetching, deciding);
    let decided = decided.expect("sampling does not panic");
    let mut failed: Vec<CaptureError> = fetched.into_iter().filter_map(Result::err).collect();
    let (sampler, sunk, counts) = match decided {
        Ok(decided) if failed.is_empty() => decided,
        decided => {
            failed.extend(decided.err());
            return Err(super::first_of(failed));
        }
    };
    for (planned, rows) in counts.into_iter().enumerate() {
        work.keep(Job { table: planned, part: 0 }, rows, None);
    }
    for Sunk { planned, part, chunk } in sunk {
        work.keep(Job { table: planned, part }, 0, Some(chunk));
    }
    Ok(stored(&sampler, &wholes, &sampling.names, sampling.seed))
}

fn first_fetches(wholes: &[Whole], parts: &[usize], uncounted: Vec<usize>) -> VecDeque<(usize, Fetch)> {
    let surveys = wholes.iter().enumerate().flat_map(|(whole, of)| {
        of.parts.iter().flat_map(move |place| {
            (0..parts[place.planned]).map(move |part| (whole, Fetch::Survey { whole, planned: place.planned, part }))
        })
    });
    surveys.chain(uncounted.into_iter().map(|planned| (usize::MAX, Fetch::Count { planned }))).collect()
}

/// Decides which rows are taken, on a thread of its own.
struct Deciding {
    wholes: Vec<Whole>,
    sampler: Sampler,
    sink: Sink,
    seed: u64,
    /// What is fetched before rows are, with the whole table that it is of.
    first: VecDeque<(usize, Fetch)>,
    open: HashMap<u64, Open>,
    /// Production's rows, by planned table.
    counts: Vec<u64>,
}

impl Deciding {
    fn run(
        mut self,
        requests: &mpsc::Sender<Fetch>,
        mut answers: mpsc::Receiver<Answer>,
        sessions: usize,
    ) -> Result<(Sampler, Vec<Sunk>, Vec<u64>), CaptureError> {
        let sampler = &self.sampler;
        self.first.retain(|(whole, _)| *whole == usize::MAX || sampler.is_covered(*whole));
        let (mut under_way, mut next_id, mut is_surveyed) = (0, 0, false);
        loop {
            while under_way < sessions {
                let fetch = match self.first.pop_front() {
                    Some((_, fetch)) => fetch,
                    None if !is_surveyed => break,
                    None => {
                        let Some(open) = self.sampler.request()? else { break };
                        next_id += 1;
                        let request = open.request.clone();
                        self.open.insert(next_id, open);
                        Fetch::Rows { id: next_id, request }
                    }
                };
                requests.blocking_send(fetch).map_err(|_| CaptureError::Cancelled)?;
                under_way += 1;
            }
            if under_way == 0 {
                // Once all rows were seen, the rest is decided; once nothing is missing, it is done.
                if std::mem::replace(&mut is_surveyed, true) && !self.sampler.cover()? {
                    break;
                }
                continue;
            }
            let Some(answer) = answers.blocking_recv() else { return Err(CaptureError::Cancelled) };
            under_way -= usize::from(self.take(answer)?);
        }
        let sunk = self.sink.finish()?;
        Ok((self.sampler, sunk, self.counts))
    }

    /// Gives whether a session is free again.
    fn take(&mut self, answer: Answer) -> Result<bool, CaptureError> {
        match answer {
            Answer::Surveyed { whole, planned, rows } => {
                self.counts[planned] += rows::count(&rows);
                let Some(coverage) = self.sampler.coverage(whole) else { return Ok(false) };
                let mut fields = Vec::new();
                for text in rows::rows(&rows) {
                    rows::read(text, &mut fields);
                    coverage.survey(&fields, |key| Sampler::order(self.seed, key));
                }
                Ok(false)
            }
            Answer::Rows { id, rows } => {
                let Some(open) = self.open.get_mut(&id) else { return Ok(false) };
                let table = open.request.table();
                let is_whole = matches!(open.request, Request::Draw { rows: Rows::All, .. });
                let all: Vec<Row> = rows::rows(&rows)
                    .map(|text| {
                        let mut fields = Vec::new();
                        rows::read(text, &mut fields);
                        fields
                    })
                    .collect();
                for row in self.sampler.take(open, all)? {
                    let planned = self.sink.put(table, &self.wholes[table], row)?;
                    self.counts[planned] += u64::from(is_whole);
                }
                Ok(false)
            }
            Answer::Counted { planned, rows } => {
                self.counts[planned] = rows;
                Ok(false)
            }
            Answer::Done { id } => {
                if let Some(open) = id.and_then(|id| self.open.remove(&id)) {
                    self.sampler.finish(&open);
                }
                Ok(true)
            }
        }
    }
}

/// One session: fetches until nothing more is asked for.
async fn fetch_all(
    work: &Work<'_>,
    (source, session): (&Source, usize),
    wholes: &[Whole],
    asked: &Mutex<mpsc::Receiver<Fetch>>,
    answers: mpsc::Sender<Answer>,
) -> Result<(), CaptureError> {
    let fetching = async {
        loop {
            let next = asked.lock().await.recv().await;
            let Some(fetch) = next else { return Ok(()) };
            fetched(work, (source, session), wholes, &fetch, &answers).await?;
            let id = match &fetch {
                Fetch::Rows { id, .. } => Some(*id),
                Fetch::Survey { .. } | Fetch::Count { .. } => None,
            };
            answers.send(Answer::Done { id }).await.map_err(|_| Stopped::Unheard)?;
        }
    };
    let fetched = tokio::select! {
        fetched = fetching => fetched,
        () = work.stop.cancelled() => Err(Stopped::Asked),
    };
    match fetched {
        Ok(()) => Ok(()),
        Err(Stopped::Read(error)) => Err(error.into()),
        Err(Stopped::Asked | Stopped::Unheard) => Err(CaptureError::Cancelled),
    }
}

async fn fetched(
    work: &Work<'_>,
    (source, session): (&Source, usize),
    wholes: &[Whole],
    fetch: &Fetch,
    answers: &mpsc::Sender<Answer>,
) -> Result<(), Stopped> {
    let failed = |error| Stopped::Read(SourceError::from(error));
    match fetch {
        Fetch::Count { planned } => {
            let rows = source.counted(session, &work.planned[*planned]).await.map_err(failed)?;
            answers.send(Answer::Counted { planned: *planned, rows }).await.map_err(|_| Stopped::Unheard)
        }
        Fetch::Survey { whole, planned, part } => {
            let of = &work.planned[*planned];
            let rows = source.surveyed(session, &wholes[*whole], (of, &of.parts[*part])).await.map_err(failed)?;
            let answer = |rows| Answer::Surveyed { whole: *whole, planned: *planned, rows };
            pass_on(work, rows, (answers, &answer)).await?;
            work.done_bytes.fetch_add(of.table.stored_bytes / of.parts.len() as u64, Ordering::Relaxed);
            Ok(())
        }
        Fetch::Rows { id, request } => {
            let whole = &wholes[request.table()];
            let rows = source.wanted(session, (whole, &work.planned), &wanted(request)).await.map_err(failed)?;
            pass_on(work, rows, (answers, &|rows| Answer::Rows { id: *id, rows })).await?;
            if matches!(request, Request::Draw { .. }) {
                let bytes = whole.parts.iter().map(|part| work.planned[part.planned].table.stored_bytes);
                work.done_bytes.fetch_add(bytes.sum(), Ordering::Relaxed);
            }
            Ok(())
        }
    }
}

fn wanted(request: &Request) -> Wanted<'_> {
    match request {
        Request::Draw { rows, seed, .. } => Wanted::Draw { rows: *rows, seed: *seed },
        Request::Rows { columns, when, keys, most, .. } => Wanted::Keys {
            columns,
            when: when.as_ref().map(|(field, text)| (*field, text.as_str())),
            keys,
            most: *most,
        },
    }
}

async fn pass_on(
    work: &Work<'_>,
    mut rows: crate::engine::capture::Rows<'_>,
    (to, answer): (&mpsc::Sender<Answer>, &(dyn Fn(Bytes) -> Answer + Sync)),
) -> Result<(), Stopped> {
    let mut piece = BytesMut::with_capacity(PIECE);
    loop {
        let next = rows.next().await;
        let is_end = next.is_none();
        if let Some(some) = next {
            piece.extend_from_slice(&some.map_err(|error| Stopped::Read(error.into()))?);
        }
        if (is_end || piece.len() >= PIECE) && !piece.is_empty() {
            let full = std::mem::replace(&mut piece, BytesMut::with_capacity(PIECE)).freeze();
            work.rows.fetch_add(rows::count(&full), Ordering::Relaxed);
            work.bytes.fetch_add(full.len() as u64, Ordering::Relaxed);
            let length = full.len();
            to.send(answer(full)).await.map_err(|_| Stopped::Unheard)?;
            if let Some(pace) = &work.pace {
                pace.pay(length).await;
            }
        }
        if is_end {
            return Ok(());
        }
    }
}

fn stored(sampler: &Sampler, wholes: &[Whole], names: &[String], seed: u64) -> StoredSample {
    let table = |at: usize| {
        let covered = sampler.covered(at);
        let missed = covered.iter().flat_map(|covered| &covered.missed).map(|missed| StoredMissed {
            columns: missed.columns.clone(),
            what: missed.what.name().to_owned(),
            count: missed.count,
        });
        StoredSampledTable {
            table: names[at].clone(),
            rows: told(sampler.rows_of(at)),
            found: covered.as_ref().map(|covered| covered.found),
            rare: covered.as_ref().map(|covered| covered.rare),
            drawn: covered.as_ref().map(|covered| covered.drawn),
            added: covered.as_ref().map(|covered| covered.added),
            missed: missed.collect(),
        }
    };
    let orphans = sampler.orphans().into_iter().map(|orphans| StoredOrphans {
        table: names[orphans.table].clone(),
        columns: orphans
            .columns
            .iter()
            .filter_map(|at| Some(wholes[orphans.table].columns.get(*at)?.name.clone()))
            .collect(),
        keys: orphans.keys,
    });
    let orphans: BTreeMap<_, _> =
        orphans.map(|orphans| ((orphans.table.clone(), orphans.columns.clone()), orphans)).collect();
    StoredSample { seed, tables: (0..wholes.len()).map(table).collect(), orphans: orphans.into_values().collect() }
}

/// As the rules file says it.
fn told(rows: Rows) -> String {
    match rows {
        Rows::All => "all".to_owned(),
        Rows::None => "none".to_owned(),
        Rows::Share(share) => format!("{}%", share * 100.0),
        Rows::Count(count) => count.to_string(),
    }
}
